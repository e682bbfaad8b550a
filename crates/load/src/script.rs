//! A server for tests that says what it was told to.

use std::io::{self, Cursor, Read, Write};

/// Answers with bytes known beforehand, and keeps what was asked.
pub(crate) struct Script {
    answer: Cursor<Vec<u8>>,
    pub(crate) asked: Vec<u8>,
}

pub(crate) fn script(answer: &[u8]) -> Script {
    Script { answer: Cursor::new(answer.to_vec()), asked: Vec::new() }
}

impl Read for Script {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.answer.read(buffer)
    }
}

impl Write for Script {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.asked.extend(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
