//! The lines of a text file, numbered, without byte-order mark, line ends and blank lines.

use std::io::{BufRead, Read};

use crate::error::TextError;

/// Longest line in bytes; a longer one is another kind of file.
const MAX_LINE: u64 = 256 << 20;

/// Iterates over `(line number from 1, line)`; ends after the first error of reading.
pub(super) struct Lines<R> {
    reader: R,
    name: String,
    line: u64,
    /// Bytes read before the current line.
    offset: u64,
    failed: bool,
}

impl<R: BufRead> Lines<R> {
    pub(super) fn new(reader: R, name: &str) -> Self {
        Self { reader, name: name.to_owned(), line: 0, offset: 0, failed: false }
    }

    /// The file's name.
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    fn read(&mut self) -> Result<Option<String>, TextError> {
        let mut bytes = Vec::new();
        let read = self.reader.by_ref().take(MAX_LINE).read_until(b'\n', &mut bytes);
        let read = read.map_err(|error| TextError::io(&self.name, error))? as u64;
        if read == 0 {
            return Ok(None);
        }
        self.line += 1;
        if read == MAX_LINE {
            let hint = "One record per line is expected; check that this is a jsonl or tsv file";
            return Err(TextError::line(&self.name, self.line, "the line is too long", hint));
        }
        let start = self.offset;
        self.offset += read;
        match String::from_utf8(bytes) {
            Ok(text) => Ok(Some(text)),
            Err(error) => {
                let byte = start + error.utf8_error().valid_up_to() as u64;
                Err(TextError::encoding(&self.name, byte, if start == 0 { error.as_bytes() } else { &[] }))
            }
        }
    }
}

impl<R: BufRead> Iterator for Lines<R> {
    type Item = Result<(u64, String), TextError>;

    fn next(&mut self) -> Option<Self::Item> {
        while !self.failed {
            match self.read() {
                Ok(None) => return None,
                Ok(Some(mut line)) => {
                    line.truncate(line.trim_end_matches(['\n', '\r']).len());
                    if self.line == 1 && line.starts_with('\u{feff}') {
                        line.drain(..'\u{feff}'.len_utf8());
                    }
                    if !line.trim().is_empty() {
                        return Some(Ok((self.line, line)));
                    }
                }
                Err(error) => {
                    self.failed = true;
                    return Some(Err(error));
                }
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn byte_order_mark_and_line_ends_are_dropped_and_numbers_kept() {
        let text = "\u{feff}one\r\n\r\n  \ntwo";
        let lines: Vec<_> = Lines::new(text.as_bytes(), "f").map(Result::unwrap).collect();
        assert_eq!(lines, [(1, "one".to_owned()), (4, "two".to_owned())]);
    }

    #[test]
    fn a_byte_that_is_not_utf8_is_located_in_the_file() {
        let error = Lines::new(&b"one\ntw\xe9\n"[..], "f.jsonl").last().unwrap().unwrap_err().to_string();
        assert!(error.contains("f.jsonl") && error.contains("byte 6") && error.contains("iconv"), "{error}");
    }
}
