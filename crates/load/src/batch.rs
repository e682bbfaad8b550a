//! The commands a connection has sent together, and how far they are answered.

use crate::data::Data;
use crate::protocol::{Echo, Protocol, Reply};
use crate::tally::Tally;

/// One command: a set of one key, or a get of one or more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Command {
    pub(crate) set: bool,
    pub(crate) keys: u32,
}

/// Commands in the order in which they are sent and answered.
#[derive(Debug, Default)]
pub(crate) struct Batch {
    commands: Vec<Command>,
    /// The keys of all commands, one after the other.
    ids: Vec<u32>,
    /// Commands that are answered.
    done: usize,
    /// Where the keys of the command that is being answered begin.
    first: usize,
    /// How many of them are answered.
    place: usize,
}

/// What a connection cannot go on after.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Garbage;

impl Batch {
    /// Forgets the commands, which are answered.
    pub(crate) fn clear(&mut self) {
        self.commands.clear();
        self.ids.clear();
        (self.done, self.first, self.place) = (0, 0, 0);
    }

    /// Appends a command.
    pub(crate) fn push(&mut self, set: bool, ids: impl Iterator<Item = u32>) {
        let first = self.ids.len();
        self.ids.extend(ids);
        let keys = u32::try_from(self.ids.len() - first).expect("at most 10,000 keys a command");
        self.commands.push(Command { set, keys });
    }

    /// Writes all commands.
    pub(crate) fn write(&self, protocol: Protocol, ttl: u32, data: &Data, out: &mut Vec<u8>) {
        let mut first = 0;
        for &command in &self.commands {
            let ids = &self.ids[first..first + command.keys as usize];
            protocol.write(command, ids, ttl, data, out);
            first += ids.len();
        }
    }

    /// Whether all commands are answered, or there are none.
    pub(crate) fn is_done(&self) -> bool {
        self.done == self.commands.len()
    }

    /// Reads and checks replies, and returns how many bytes they had.
    ///
    /// # Errors
    ///
    /// [`Garbage`], counted, if something is no reply to what was asked.
    pub(crate) fn answer(
        &mut self,
        input: &[u8],
        protocol: Protocol,
        data: &Data,
        tally: &mut Tally,
    ) -> Result<usize, Garbage> {
        let mut used = 0;
        while let Some(&command) = self.commands.get(self.done) {
            let (reply, length) = protocol.read(command, &input[used..]);
            match reply {
                Reply::Partial => return Ok(used),
                Reply::Garbage => return Err(self.garbage(&input[used..], data, tally)),
                Reply::Value(echo, value) => {
                    self.value(protocol, command, &echo, value, data, tally)?;
                }
                Reply::Stored => self.stored(tally),
                Reply::Miss | Reply::End => self.end(command, tally),
                Reply::Refused(text) => {
                    tally.refused += 1;
                    tally.note(|| format!("{}: {}", self.asked(data), text.escape_ascii()));
                    if !protocol.closes(command) {
                        self.next(command, tally);
                    }
                }
            }
            used += length;
        }
        // Bytes that nobody asked for.
        if used < input.len() { Err(self.garbage(&input[used..], data, tally)) } else { Ok(used) }
    }

    #[inline]
    fn value(
        &mut self,
        protocol: Protocol,
        command: Command,
        echo: &Echo<'_>,
        value: &[u8],
        data: &Data,
        tally: &mut Tally,
    ) -> Result<(), Garbage> {
        let ids = &self.ids[self.first..self.first + command.keys as usize];
        let rest = &ids[self.place..];
        let skipped = match *echo {
            Echo::Next => (!rest.is_empty()).then_some(0),
            Echo::Key(key) => rest.iter().position(|&id| data.is_key(id, key)),
            Echo::Place(place) => {
                (place as usize).checked_sub(self.place).filter(|&skipped| skipped < rest.len())
            }
        };
        let Some(skipped) = skipped else {
            tally.wrong += 1;
            tally.note(|| format!("{}: a value for another key", self.asked(data)));
            tally.lost += 1;
            return Err(Garbage);
        };
        let id = rest[skipped];
        tally.misses += skipped as u64;
        if value == data.value(id) {
            tally.hits += 1;
        } else {
            tally.wrong += 1;
            tally.note(|| difference(id, value, data));
        }
        self.place += skipped + 1;
        if command.keys == 1 && protocol != Protocol::Text {
            self.next(command, tally);
        }
        Ok(())
    }

    fn stored(&mut self, tally: &mut Tally) {
        tally.sets += 1;
        self.next(Command { set: true, keys: 1 }, tally);
    }

    fn end(&mut self, command: Command, tally: &mut Tally) {
        tally.misses += u64::from(command.keys) - self.place as u64;
        self.next(command, tally);
    }

    fn next(&mut self, command: Command, tally: &mut Tally) {
        tally.commands += 1;
        self.done += 1;
        self.first += command.keys as usize;
        self.place = 0;
    }

    #[cold]
    fn garbage(&self, input: &[u8], data: &Data, tally: &mut Tally) -> Garbage {
        tally.wrong += 1;
        tally.lost += 1;
        let shown = &input[..input.len().min(60)];
        tally.note(|| format!("{}: not a reply: {}", self.asked(data), shown.escape_ascii()));
        Garbage
    }

    /// The command that is being answered, for an error.
    fn asked(&self, data: &Data) -> String {
        let Some(command) = self.commands.get(self.done) else {
            return "after the last reply".to_owned();
        };
        let mut key = Vec::new();
        data.push_key(self.ids[self.first], &mut key);
        let more = if command.keys > 1 { " …" } else { "" };
        let verb = if command.set { "set" } else { "get" };
        format!("{verb} {}{more}", key.escape_ascii())
    }
}

/// Where a value begins to be wrong.
#[cold]
fn difference(id: u32, value: &[u8], data: &Data) -> String {
    let expected = data.value(id);
    let mut key = Vec::new();
    data.push_key(id, &mut key);
    let key = key.escape_ascii();
    if value.len() != expected.len() {
        let (found, stored) = (value.len(), expected.len());
        return format!("get {key}: a value of {found} bytes, {stored} were stored");
    }
    let at = value.iter().zip(expected).position(|(found, stored)| found != stored).unwrap_or(0);
    let (found, stored) = (value[at], expected[at]);
    format!("get {key}: byte {at} is {found:#04x}, {stored:#04x} was stored")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load::Sizes;

    fn data() -> Data {
        Data::new(12, Sizes { min: 4, max: 4 })
    }

    fn gets(ids: &[&[u32]]) -> Batch {
        let mut batch = Batch::default();
        for ids in ids {
            batch.push(false, ids.iter().copied());
        }
        batch
    }

    fn hit(id: u32) -> Vec<u8> {
        let data = data();
        let mut out = b"VALUE ".to_vec();
        data.push_key(id, &mut out);
        out.extend(b" 0 4\r\n");
        out.extend(data.value(id));
        out.extend(b"\r\n");
        out
    }

    fn answer(batch: &mut Batch, input: &[u8]) -> (Result<usize, Garbage>, Tally) {
        let mut tally = Tally::default();
        let result = batch.answer(input, Protocol::Text, &data(), &mut tally);
        (result, tally)
    }

    #[test]
    fn hits_and_misses_are_told_apart() {
        let mut batch = gets(&[&[1, 2, 3, 4], &[5], &[6]]);
        let input = [&hit(2)[..], &hit(4), b"END\r\nEND\r\n", &hit(6), b"END\r\n"].concat();
        let (used, tally) = answer(&mut batch, &input);
        assert_eq!(used, Ok(input.len()));
        assert!(batch.is_done());
        assert_eq!((tally.hits, tally.misses, tally.commands, tally.errors()), (3, 3, 3, 0));
    }

    #[test]
    fn replies_may_come_in_any_pieces() {
        let input = [&hit(1)[..], &hit(3), b"END\r\n", &hit(4), b"END\r\n"].concat();
        for cut in 0..input.len() {
            let mut batch = gets(&[&[1, 2, 3], &[4]]);
            let mut tally = Tally::default();
            let mut at = batch.answer(&input[..cut], Protocol::Text, &data(), &mut tally).unwrap();
            assert!(!batch.is_done());
            at += batch.answer(&input[at..], Protocol::Text, &data(), &mut tally).unwrap();
            assert_eq!((at, tally.hits, tally.misses), (input.len(), 3, 1), "cut at {cut}");
            assert!(batch.is_done());
        }
    }

    #[test]
    fn the_same_key_twice_is_two_values() {
        let mut batch = gets(&[&[1, 1]]);
        let input = [&hit(1)[..], &hit(1), b"END\r\n"].concat();
        let (_, tally) = answer(&mut batch, &input);
        assert_eq!((tally.hits, tally.misses), (2, 0));
    }

    #[test]
    fn every_wrong_byte_of_a_value_is_counted() {
        let right = hit(7);
        let value = right.len() - 6..right.len() - 2;
        for at in value {
            let mut input = [&right[..], b"END\r\n"].concat();
            input[at] ^= 1;
            let (used, tally) = answer(&mut gets(&[&[7]]), &input);
            assert_eq!((used, tally.wrong, tally.hits), (Ok(input.len()), 1, 0));
            let note = tally.first_error.unwrap();
            assert!(note.starts_with("get key:00000007: byte "), "{note}");
        }
    }

    #[test]
    fn a_value_of_another_key_ends_the_connection() {
        let mut batch = gets(&[&[1, 2]]);
        let input = [&hit(2)[..], &hit(1), b"END\r\n"].concat();
        let (result, tally) = answer(&mut batch, &input);
        assert_eq!(result, Err(Garbage), "1 after 2 was not asked for");
        assert_eq!((tally.wrong, tally.lost, tally.hits), (1, 1, 1));
        assert!(tally.first_error.unwrap().contains("another key"));
    }

    #[test]
    fn bytes_after_the_last_reply_are_an_error() {
        let (result, tally) = answer(&mut gets(&[&[1]]), b"END\r\nEND\r\n");
        assert_eq!((result, tally.wrong), (Err(Garbage), 1));
    }

    #[test]
    fn a_refusal_is_counted_and_survived() {
        let mut batch = Batch::default();
        batch.push(true, [1].into_iter());
        batch.push(true, [2].into_iter());
        let (result, tally) = answer(&mut batch, b"SERVER_ERROR out of memory\r\nSTORED\r\n");
        assert!(result.is_ok() && batch.is_done());
        assert_eq!((tally.refused, tally.sets, tally.commands), (1, 1, 2));
        assert_eq!(tally.first_error.unwrap(), "set key:00000001: SERVER_ERROR out of memory");
    }
}
