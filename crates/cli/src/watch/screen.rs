//! A terminal that is drawn anew again and again, and is left as it was.

use std::io::IsTerminal;

use crate::tell;

/// The other screen of the terminal, without a cursor; given back when dropped.
#[derive(Debug)]
pub(super) struct Screen(());

impl Screen {
    /// Takes the screen, if standard output is a terminal.
    pub(super) fn take() -> Option<Screen> {
        std::io::stdout().is_terminal().then(|| {
            tell::out("\x1b[?1049h\x1b[?25l");
            Screen(())
        })
    }

    /// Shows `text`, as much of it as fits.
    pub(super) fn draw(&self, text: &str) {
        let (columns, rows) = size();
        // From the corner, each line cleared to its end, and at last what is below: nothing flickers.
        let mut drawn = String::from("\x1b[H");
        for (at, line) in text.lines().take(rows).enumerate() {
            if at > 0 {
                drawn += "\r\n";
            }
            drawn += &cut(line, columns);
            drawn += "\x1b[0m\x1b[K";
        }
        drawn += "\x1b[J";
        tell::out(drawn);
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        tell::out("\x1b[?25h\x1b[?1049l");
    }
}

/// Columns and rows of the terminal.
fn size() -> (usize, usize) {
    let size = rustix::termios::tcgetwinsize(std::io::stdout()).ok();
    let size = size.map(|size| (usize::from(size.ws_col), usize::from(size.ws_row)));
    size.filter(|(columns, rows)| *columns > 0 && *rows > 0).unwrap_or((80, 24))
}

/// The first `columns` characters of a line; escape sequences take no room and stay.
fn cut(line: &str, columns: usize) -> String {
    let (mut kept, mut shown, mut inside) = (String::new(), 0, false);
    for c in line.chars() {
        if inside {
            inside = !c.is_ascii_alphabetic();
        } else if c == '\x1b' {
            inside = true;
        } else {
            shown += 1;
            if shown > columns {
                continue;
            }
        }
        kept.push(c);
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_cut_by_what_is_seen_of_it() {
        assert_eq!(cut("abcdef", 4), "abcd");
        assert_eq!(cut("\x1b[1mabc\x1b[0mdef", 4), "\x1b[1mabc\x1b[0md");
        assert_eq!(cut("éé", 5), "éé");
        assert_eq!(cut("abc\x1b[0m", 1), "a\x1b[0m");
    }
}
