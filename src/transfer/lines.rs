//! Owns reading lines of bounded length.

use std::io::{self, BufRead, Read};

/// The longest row of a file, in bytes: every field at its longest fits several times. What is longer is not held in memory.
pub const MAX_ROW_BYTES: usize = 64 * 1024;

/// How much of one line is passed over: a device, or a file that has no lines, has no end of one.
const MAX_PASSED_OVER_BYTES: u64 = 64 * 1024 * 1024;

/// A line, without its end.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Line {
    Whole(Vec<u8>),
    /// Longer than [`MAX_ROW_BYTES`]: it was passed over.
    TooLong,
}

/// The lines of a file, and how many bytes have been read of it.
pub(super) struct Lines<R> {
    input: R,
    pub(super) bytes: u64,
}

impl<R: BufRead> Lines<R> {
    pub(super) const fn new(input: R) -> Self {
        Self { input, bytes: 0 }
    }

    /// The next line; none at the end.
    ///
    /// # Errors
    /// The input's; of the kind `InvalidData` if a line does not end.
    pub(super) fn next(&mut self) -> io::Result<Option<Line>> {
        let mut line = Vec::new();
        let read = self.input.by_ref().take(MAX_ROW_BYTES as u64 + 1).read_until(b'\n', &mut line)?;
        self.bytes += read as u64;
        if read == 0 {
            return Ok(None);
        }
        if line.last() == Some(&b'\n') {
            line.pop();
        } else if read > MAX_ROW_BYTES {
            self.pass_over()?;
            return Ok(Some(Line::TooLong));
        }
        if line.last() == Some(&b'\r') {
            line.pop();
        }
        Ok(Some(Line::Whole(line)))
    }

    /// Goes to the beginning of the next line.
    fn pass_over(&mut self) -> io::Result<()> {
        let end_by = self.bytes + MAX_PASSED_OVER_BYTES;
        while self.bytes < end_by {
            let (length, end) = match self.input.fill_buf()? {
                [] => return Ok(()),
                buffer => buffer
                    .iter()
                    .position(|byte| *byte == b'\n')
                    .map_or((buffer.len(), false), |at| (at + 1, true)),
            };
            self.input.consume(length);
            self.bytes += length as u64;
            if end {
                return Ok(());
            }
        }
        Err(io::Error::new(
            io::ErrorKind::InvalidData,
            "a line is longer than 64 MiB: it is no file of records",
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_that_does_not_end_ends_the_input() {
        let mut lines = Lines::new(io::BufReader::new(io::repeat(0)));
        assert_eq!(lines.next().unwrap_err().kind(), io::ErrorKind::InvalidData);
        let mut lines = Lines::new(io::BufReader::new(io::repeat(b'x').take(10 << 20)));
        assert_eq!((lines.next().unwrap(), lines.next().unwrap()), (Some(Line::TooLong), None));
    }

    #[test]
    fn lines_end_with_either_end_and_long_ones_are_passed_over() {
        let long = "x".repeat(MAX_ROW_BYTES + 1);
        let longest = "y".repeat(MAX_ROW_BYTES);
        let text = format!("a\r\n\n{long}\nb\n{longest}\n{long}{long}");
        let mut lines = Lines::new(io::BufReader::with_capacity(100, text.as_bytes()));
        let whole = |text: &str| Line::Whole(text.as_bytes().to_vec());
        for expected in [whole("a"), whole(""), Line::TooLong, whole("b"), whole(&longest), Line::TooLong] {
            assert_eq!(lines.next().unwrap(), Some(expected));
        }
        assert_eq!(lines.next().unwrap(), None);
        assert_eq!(lines.bytes, text.len() as u64);
    }
}
