//! Tables of text, for people.

/// Which side of its column a cell is on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Side {
    /// Words.
    Left,
    /// Numbers.
    Right,
}

/// A table: headings and rows of as many cells.
#[derive(Debug)]
pub(crate) struct Table {
    columns: Vec<(String, Side)>,
    rows: Vec<Vec<String>>,
}

impl Table {
    pub(crate) fn new<'a>(columns: impl IntoIterator<Item = (&'a str, Side)>) -> Table {
        let columns = columns.into_iter().map(|(heading, side)| (heading.to_owned(), side));
        Table { columns: columns.collect(), rows: Vec::new() }
    }

    /// Adds a row; cells that are missing are empty.
    pub(crate) fn row(&mut self, cells: impl IntoIterator<Item = String>) {
        let mut cells: Vec<_> = cells.into_iter().collect();
        cells.resize(self.columns.len(), String::new());
        self.rows.push(cells);
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// The table, each line ended. `bold` and `end` go around the headings.
    pub(crate) fn text(&self, (bold, end): (&str, &str)) -> String {
        let length = |text: &str| text.chars().count();
        let widths: Vec<_> = (0..self.columns.len())
            .map(|at| {
                let cells = self.rows.iter().map(|row| length(&row[at]));
                cells.chain([length(&self.columns[at].0)]).max().unwrap_or(0)
            })
            .collect();
        let line = |cells: &mut dyn Iterator<Item = &str>| {
            let mut line = String::new();
            for (at, cell) in cells.enumerate() {
                let space = " ".repeat(widths[at] - length(cell));
                let gap = if at == 0 { "" } else { "  " };
                line += &match self.columns[at].1 {
                    Side::Left => format!("{gap}{cell}{space}"),
                    Side::Right => format!("{gap}{space}{cell}"),
                };
            }
            line.truncate(line.trim_end().len());
            line
        };
        let headings = line(&mut self.columns.iter().map(|column| column.0.as_str()));
        let mut text = format!("{bold}{headings}{end}\n");
        for row in &self.rows {
            text += &line(&mut row.iter().map(String::as_str));
            text.push('\n');
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_left_and_numbers_right() {
        let mut table =
            Table::new([("NAME", Side::Left), ("SIZE", Side::Right), ("NOTE", Side::Left)]);
        assert!(table.is_empty());
        table.row(["shop".into(), "25 MiB".into(), "é".into()]);
        table.row(["a-long-name".into(), "1 GiB".into()]);
        let text = "<NAME           SIZE  NOTE>\nshop         25 MiB  é\na-long-name   1 GiB\n";
        assert_eq!(table.text(("<", ">")), text);
    }
}
