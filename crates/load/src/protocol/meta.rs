//! The meta commands. A get of several keys is as many quiet `mg` commands that ask for the key, and
//! `mn` to end them: misses are not answered then.

use super::{Echo, Reply, line, number, push_number, refused, unfinished, value};
use crate::batch::Command;
use crate::data::Data;

pub(super) fn write(command: Command, ids: &[u32], ttl: u32, data: &Data, out: &mut Vec<u8>) {
    if command.set {
        let stored = data.value(ids[0]);
        out.extend_from_slice(b"ms ");
        data.push_key(ids[0], out);
        out.push(b' ');
        push_number(stored.len(), out);
        if ttl > 0 {
            out.extend_from_slice(b" T");
            push_number(ttl as usize, out);
        }
        out.extend_from_slice(b"\r\n");
        out.extend_from_slice(stored);
        out.extend_from_slice(b"\r\n");
        return;
    }
    let flags: &[u8] = if command.keys > 1 { b" v k q\r\n" } else { b" v\r\n" };
    for &id in ids {
        out.extend_from_slice(b"mg ");
        data.push_key(id, out);
        out.extend_from_slice(flags);
    }
    if command.keys > 1 {
        out.extend_from_slice(b"mn\r\n");
    }
}

#[inline]
pub(super) fn read(command: Command, input: &[u8]) -> (Reply<'_>, usize) {
    let Some((line, used)) = line(input) else {
        return unfinished(input);
    };
    match line {
        b"HD" if command.set => (Reply::Stored, used),
        b"EN" if !command.set && command.keys == 1 => (Reply::Miss, used),
        b"MN" if command.keys > 1 => (Reply::End, used),
        _ if command.set => refused(line, used),
        _ => match line.strip_prefix(b"VA ") {
            Some(rest) => match head(rest) {
                Some((echo, size)) => value(input, echo, used, size),
                None => (Reply::Garbage, 0),
            },
            None => refused(line, used),
        },
    }
}

/// The size, and the key if there is one, in `SIZE kKEY`.
#[inline]
fn head(line: &[u8]) -> Option<(Echo<'_>, usize)> {
    let (size, echo) = match line.iter().position(|&byte| byte == b' ') {
        Some(space) => (&line[..space], Echo::Key(line[space..].strip_prefix(b" k")?)),
        None => (line, Echo::Next),
    };
    Some((echo, number(size)?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load::Sizes;

    #[test]
    fn commands_are_written() {
        let data = Data::new(12, Sizes { min: 2, max: 2 });
        let text = |command, ids: &[u32], ttl| {
            let mut out = Vec::new();
            write(command, ids, ttl, &data, &mut out);
            out
        };
        let get = |keys| Command { set: false, keys };
        assert_eq!(text(get(1), &[1], 0), b"mg key:00000001 v\r\n");
        assert_eq!(
            text(get(2), &[1, 2], 0),
            b"mg key:00000001 v k q\r\nmg key:00000002 v k q\r\nmn\r\n"
        );
        let set = Command { set: true, keys: 1 };
        assert!(text(set, &[1], 0).starts_with(b"ms key:00000001 2\r\n"));
        assert!(text(set, &[1], 60).starts_with(b"ms key:00000001 2 T60\r\n"));
    }

    #[test]
    fn replies_are_read() {
        let get = |keys| Command { set: false, keys };
        let set = Command { set: true, keys: 1 };
        assert_eq!(read(get(1), b"VA 2\r\nab\r\n"), (Reply::Value(Echo::Next, b"ab"), 10));
        let keyed = Reply::Value(Echo::Key(b"some"), b"ab");
        assert_eq!(read(get(2), b"VA 2 ksome\r\nab\r\nMN\r\n"), (keyed, 16));
        assert_eq!(read(get(2), b"MN\r\n"), (Reply::End, 4));
        assert_eq!(read(get(1), b"EN\r\n"), (Reply::Miss, 4));
        assert_eq!(read(set, b"HD\r\n"), (Reply::Stored, 4));
        assert_eq!(read(set, b"NS\r\n"), (Reply::Refused(b"NS"), 4));
    }
}
