//! Readers for the files that corpora and questions come in. They stream: records one at a time, texts in pieces. HTML,
//! PDF and Word files are the exception, they are read whole up to a limit.
//!
//! | module | reads |
//! |---|---|
//! | [`beir`] | `corpus.jsonl`, `queries.jsonl`, `qrels/*.tsv`, `qa.jsonl` |
//! | [`dpr`] | DPR's question json and `psgs_w100.tsv` |
//! | [`pairs`] | questions and answers as tab- or comma-separated lines |
//! | [`text_file`] | `.txt`, `.md`, `.html`, `.pdf`, `.docx`, cut to passages |

pub mod beir;
pub mod chunk;
mod document;
mod docx;
pub mod dpr;
mod fields;
mod html;
mod json_items;
mod lines;
mod markdown;
pub mod pairs;
mod pdf;
mod pieces;
mod qa;
mod qrels;
pub mod text_file;

use std::io::{self, BufRead, BufReader, Read};

use flate2::read::MultiGzDecoder;
use serde::Deserialize;

pub use chunk::ChunkConfig;
pub use qrels::Qrels;
pub use text_file::TextKind;

const BUFFER: usize = 1 << 16;

/// Reads gzip (of one or several members) unpacked and anything else as it is; told apart by the first two bytes.
pub fn decompress<'a>(mut reader: impl Read + 'a) -> Box<dyn BufRead + 'a> {
    let mut start = Vec::with_capacity(2);
    match reader.by_ref().take(2).read_to_end(&mut start) {
        Err(error) => Box::new(BufReader::new(Failed(Some(error)))),
        Ok(_) => {
            let gzip = start == [0x1f, 0x8b];
            let whole = io::Cursor::new(start).chain(reader);
            if gzip {
                Box::new(BufReader::with_capacity(BUFFER, MultiGzDecoder::new(BufReader::with_capacity(BUFFER, whole))))
            } else {
                Box::new(BufReader::with_capacity(BUFFER, whole))
            }
        }
    }
}

/// A reader that could not be opened, so that the error arrives where errors of reading are handled.
struct Failed(Option<io::Error>);

impl Read for Failed {
    fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
        self.0.take().map_or(Ok(0), Err)
    }
}

/// An identifier as files write it: text or a whole number.
#[derive(Deserialize)]
#[serde(untagged)]
enum Id {
    Text(String),
    Number(i64),
}

impl Id {
    fn into_string(self) -> String {
        match self {
            Self::Text(text) => text,
            Self::Number(number) => number.to_string(),
        }
    }
}

/// The message of a JSON error without serde's own line number, which counts within one record.
fn json_reason(error: &serde_json::Error) -> String {
    let message = error.to_string();
    let plain = message.rfind(" at line ").map_or(message.as_str(), |at| &message[..at]);
    if error.is_data() { plain.to_owned() } else { format!("not valid JSON at column {}: {plain}", error.column()) }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use flate2::{Compression, write::GzEncoder};

    use super::*;

    fn gzip(text: &str) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
        encoder.write_all(text.as_bytes()).unwrap();
        encoder.finish().unwrap()
    }

    #[test]
    fn gzip_of_several_members_and_plain_text_read_alike() {
        let packed = [gzip("one\n"), gzip("two\n")].concat();
        for bytes in [packed.as_slice(), b"one\ntwo\n"] {
            let mut text = String::new();
            decompress(bytes).read_to_string(&mut text).unwrap();
            assert_eq!(text, "one\ntwo\n");
        }
        for short in ["", "x"] {
            let mut text = String::new();
            decompress(short.as_bytes()).read_to_string(&mut text).unwrap();
            assert_eq!(text, short);
        }
    }

    #[test]
    fn a_cut_gzip_file_is_an_error_that_names_it() {
        let line = "{\"_id\": \"1\", \"text\": \"x\"}\n";
        let packed = gzip(&line.repeat(2000));
        let passages = beir::passages(decompress(&packed[..packed.len() / 2]), "corpus.jsonl.gz");
        let error = passages.last().unwrap().unwrap_err().to_string();
        assert!(error.contains("corpus.jsonl.gz") && error.contains("again"), "{error}");
    }
}
