//! The classic text protocol. A get's values come in the order of its keys, without those that are
//! missing, and then `END`.

use super::{Echo, Reply, line, number, push_number, refused, unfinished, value};
use crate::batch::Command;
use crate::data::Data;

pub(super) fn write(command: Command, ids: &[u32], ttl: u32, data: &Data, out: &mut Vec<u8>) {
    if command.set {
        let stored = data.value(ids[0]);
        out.extend_from_slice(b"set ");
        data.push_key(ids[0], out);
        out.extend_from_slice(b" 0 ");
        push_number(ttl as usize, out);
        out.push(b' ');
        push_number(stored.len(), out);
        out.extend_from_slice(b"\r\n");
        out.extend_from_slice(stored);
    } else {
        out.extend_from_slice(b"get");
        for &id in ids {
            out.push(b' ');
            data.push_key(id, out);
        }
    }
    out.extend_from_slice(b"\r\n");
}

#[inline]
pub(super) fn read(command: Command, input: &[u8]) -> (Reply<'_>, usize) {
    let Some((line, used)) = line(input) else {
        return unfinished(input);
    };
    match line {
        b"STORED" if command.set => (Reply::Stored, used),
        b"END" if !command.set => (Reply::End, used),
        _ if command.set => refused(line, used),
        _ => match line.strip_prefix(b"VALUE ") {
            Some(rest) => match head(rest) {
                Some((key, size)) => value(input, Echo::Key(key), used, size),
                None => (Reply::Garbage, 0),
            },
            None => refused(line, used),
        },
    }
}

/// The key and the size in `KEY 0 SIZE`: what was stored here has no flags.
#[inline]
fn head(line: &[u8]) -> Option<(&[u8], usize)> {
    let space = line.iter().position(|&byte| byte == b' ')?;
    let size = line[space..].strip_prefix(b" 0 ")?;
    Some((&line[..space], number(size)?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load::Sizes;

    #[test]
    fn commands_are_written() {
        let data = Data::new(12, Sizes { min: 2, max: 2 });
        let mut out = Vec::new();
        write(Command { set: false, keys: 2 }, &[1, 22], 9, &data, &mut out);
        assert_eq!(out, b"get key:00000001 key:00000022\r\n");
        out.clear();
        write(Command { set: true, keys: 1 }, &[3], 9, &data, &mut out);
        let mut expected = b"set key:00000003 0 9 2\r\n".to_vec();
        expected.extend(data.value(3));
        assert_eq!(out, [&expected[..], b"\r\n"].concat());
    }

    #[test]
    fn replies_are_read() {
        let (get, set) = (Command { set: false, keys: 1 }, Command { set: true, keys: 1 });
        let input = b"VALUE k 0 3\r\na\nb\r\nEND\r\n";
        assert_eq!(read(get, input), (Reply::Value(Echo::Key(b"k"), b"a\nb"), 18));
        assert_eq!(read(get, &input[18..]), (Reply::End, 5));
        assert_eq!(read(set, b"STORED\r\nx"), (Reply::Stored, 8));
        assert_eq!(read(set, b"NOT_STORED\r\n"), (Reply::Refused(b"NOT_STORED"), 12));
        assert_eq!(read(get, b"VALUE k 1 3\r\nabc\r\n").0, Reply::Garbage, "flags nobody set");
    }
}
