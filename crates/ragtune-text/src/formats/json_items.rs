//! The objects of a JSON array (or of a file of JSON lines), one at a time, whatever the size of the file.

use std::io::BufRead;

use crate::error::TextError;

/// Iterates over `(line where the object starts, its bytes)`; ends after the first error.
pub(super) struct JsonItems<R> {
    reader: R,
    name: String,
    line: u64,
    done: bool,
}

/// Where the scan stands inside an object.
#[derive(Default)]
struct Scan {
    depth: usize,
    in_string: bool,
    escaped: bool,
}

impl<R: BufRead> JsonItems<R> {
    pub(super) fn new(reader: R, name: &str) -> Self {
        Self { reader, name: name.to_owned(), line: 1, done: false }
    }

    /// The file's name.
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    fn read(&mut self) -> Result<Option<(u64, Vec<u8>)>, TextError> {
        let (mut scan, mut item, mut start) = (Scan::default(), Vec::new(), 0);
        loop {
            let buffer = match self.reader.fill_buf() {
                Ok(buffer) => buffer,
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(TextError::io(&self.name, error)),
            };
            if buffer.is_empty() {
                if item.is_empty() {
                    return Ok(None);
                }
                let hint = "The file ends inside it: copy or download it again";
                return Err(TextError::line(&self.name, start, "the object that starts here is not closed", hint));
            }
            let (mut used, mut closed) = (0, false);
            for &byte in buffer {
                used += 1;
                self.line += u64::from(byte == b'\n');
                if scan.depth > 0 {
                    item.push(byte);
                    if scan.step(byte) {
                        closed = true;
                        break;
                    }
                } else if byte == b'{' {
                    start = self.line;
                    item.push(byte);
                    scan.depth = 1;
                } else if !byte.is_ascii_whitespace() && !b"[],\xef\xbb\xbf".contains(&byte) {
                    let reason = format!("{:?} where an object should start", char::from(byte));
                    let hint = "An array of JSON objects is expected, as in DPR's data";
                    return Err(TextError::line(&self.name, self.line, reason, hint));
                }
            }
            self.reader.consume(used);
            if closed {
                return Ok(Some((start, item)));
            }
        }
    }
}

impl Scan {
    /// Takes the next byte of an object; true when it closes the object.
    fn step(&mut self, byte: u8) -> bool {
        if self.in_string {
            match byte {
                _ if self.escaped => self.escaped = false,
                b'\\' => self.escaped = true,
                b'"' => self.in_string = false,
                _ => {}
            }
            return false;
        }
        match byte {
            b'"' => self.in_string = true,
            b'{' | b'[' => self.depth += 1,
            b'}' | b']' => self.depth -= 1,
            _ => {}
        }
        self.depth == 0
    }
}

impl<R: BufRead> Iterator for JsonItems<R> {
    type Item = Result<(u64, Vec<u8>), TextError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.done {
            return None;
        }
        let item = self.read().transpose();
        self.done = !matches!(item, Some(Ok(_)));
        item
    }
}

#[cfg(test)]
mod tests {
    use std::io::BufReader;

    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;

    fn objects() -> impl Strategy<Value = Vec<Value>> {
        let pair = ("\\PC{0,6}", any::<String>(), prop::collection::vec("[\\[\\]{}\",\\\\]{0,4}", 0..3));
        let object = prop::collection::vec(pair, 0..3).prop_map(|pairs| {
            pairs.into_iter().map(|(key, text, list)| (key, json!({"text": text, "list": list}))).collect()
        });
        prop::collection::vec(object.prop_map(Value::Object), 0..6)
    }

    proptest! {
        #[test]
        fn every_object_comes_back_whatever_the_buffer(objects in objects(), buffer in 1usize..20, pretty in any::<bool>()) {
            let text = if pretty { serde_json::to_string_pretty(&objects) } else { serde_json::to_string(&objects) }.unwrap();
            let items = JsonItems::new(BufReader::with_capacity(buffer, text.as_bytes()), "f");
            let read: Vec<Value> = items.map(|item| serde_json::from_slice(&item.unwrap().1).unwrap()).collect();
            prop_assert_eq!(read, objects);
        }
    }

    #[test]
    fn lines_of_objects_and_errors_are_counted() {
        let mut items = JsonItems::new("\u{feff}[\n{\"a\": 1},\n\n{\"b\":\n 2}\n x".as_bytes(), "f.json");
        assert_eq!(items.next().unwrap().unwrap().0, 2);
        assert_eq!(items.next().unwrap().unwrap().0, 4);
        let error = items.next().unwrap().unwrap_err().to_string();
        assert!(error.contains("f.json, line 6"), "{error}");
        assert!(items.next().is_none());
        let error = JsonItems::new("[{\"a\": 1".as_bytes(), "f.json").next().unwrap().unwrap_err().to_string();
        assert!(error.contains("not closed"), "{error}");
    }
}
