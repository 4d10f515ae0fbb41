//! Text files in pieces, so that a file of any size takes the memory of one.

use std::io::Read;

use super::document::{Document, Part};
use super::text_file::TextKind;
use super::{html, markdown};
use crate::error::TextError;

/// Bytes after which a piece ends at the next paragraph. A smaller file is one piece.
const PIECE: usize = 1 << 20;
/// Bytes of an HTML file, which is read whole.
const MOST_HTML: u64 = 128 << 20;

/// Cuts plain text and Markdown at paragraph borders; a text without any is cut at a line end, else between words.
/// Where it is cut depends on the bytes alone.
pub(super) struct Pieces<R> {
    reader: R,
    file: String,
    kind: TextKind,
    piece: usize,
    /// What was read and not yet given away.
    buffer: Vec<u8>,
    /// Where the buffer starts in the file.
    base: usize,
    ended: bool,
    done: bool,
    /// The heading above the piece.
    heading: String,
}

impl<R: Read> Pieces<R> {
    pub(super) fn new(reader: R, file: &str, kind: TextKind) -> Self {
        Self {
            reader,
            file: file.to_owned(),
            kind,
            piece: PIECE,
            buffer: Vec::new(),
            base: 0,
            ended: false,
            done: false,
            heading: String::new(),
        }
    }

    fn fill(&mut self) -> Result<(), TextError> {
        let want = 2 * self.piece;
        if !self.ended && self.buffer.len() < want {
            let missing = (want - self.buffer.len()) as u64;
            let read = self.reader.by_ref().take(missing).read_to_end(&mut self.buffer);
            self.ended = (read.map_err(|error| TextError::io(&self.file, error))? as u64) < missing;
        }
        Ok(())
    }

    fn read(&mut self) -> Result<Option<Part>, TextError> {
        self.fill()?;
        if self.buffer.is_empty() && self.base > 0 {
            return Ok(None);
        }
        let end = if self.ended && self.buffer.len() <= self.piece {
            self.buffer.len()
        } else {
            border(&self.buffer, self.piece, self.kind, self.ended)
        };
        let (base, bytes) = (self.base, &self.buffer[..end]);
        let text = utf8(bytes, &self.file, base)?;
        let content = if base == 0 { text.trim_start_matches('\u{feff}') } else { text };
        let at = base + text.len() - content.len();
        let mut document = match self.kind {
            TextKind::Markdown => markdown::read(content, at),
            _ => plain(content, at),
        };
        if let Some(first) = document.sections.first_mut() {
            first.heading = std::mem::take(&mut self.heading);
        }
        self.heading = document.sections.last().map(|section| section.heading.clone()).unwrap_or_default();
        self.buffer.drain(..end);
        self.base += end;
        self.done = self.ended && self.buffer.is_empty();
        Ok(Some(Part { page: None, document }))
    }
}

impl<R: Read> Iterator for Pieces<R> {
    type Item = Result<Part, TextError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.done {
            return None;
        }
        let part = self.read().transpose();
        self.done |= !matches!(part, Some(Ok(_)));
        part
    }
}

/// The bytes as text, which starts at byte `base` of the file.
fn utf8<'a>(bytes: &'a [u8], file: &str, base: usize) -> Result<&'a str, TextError> {
    let text = std::str::from_utf8(bytes).map_err(|error| {
        TextError::encoding(file, (base + error.valid_up_to()) as u64, if base == 0 { bytes } else { &[] })
    })?;
    match bytes.iter().position(|&byte| byte == 0) {
        Some(at) => Err(TextError::Binary { file: file.to_owned(), byte: (base + at) as u64 }),
        None => Ok(text),
    }
}

/// Where the piece at the start of the buffer ends: the first paragraph border after `piece` bytes, else the end of the
/// file, else the last line end, the last space, the last character.
fn border(buffer: &[u8], piece: usize, kind: TextKind, ended: bool) -> usize {
    let (mut at, mut blank, mut fenced) = (0, false, false);
    for line in buffer.split_inclusive(|&byte| byte == b'\n') {
        let content = line.trim_ascii();
        // `---` at the start of a Markdown text would be read as front matter.
        let front = kind == TextKind::Markdown && (content.starts_with(b"---") || content.starts_with(b"+++"));
        if at >= piece && blank && !fenced && !front && !content.is_empty() {
            return at;
        }
        blank = content.is_empty();
        fenced ^= kind == TextKind::Markdown && (content.starts_with(b"```") || content.starts_with(b"~~~"));
        at += line.len();
    }
    if ended && buffer.len() < 2 * piece {
        return buffer.len();
    }
    let last = |wanted: fn(u8) -> bool| buffer.iter().rposition(|&byte| wanted(byte)).filter(|&at| at >= piece);
    let line = last(|byte| byte == b'\n');
    let space = || last(|byte| byte.is_ascii_whitespace());
    if let Some(at) = line.or_else(space) {
        return at + 1;
    }
    // Only an unfinished character is left for the next piece; bytes that are no UTF-8 at all fail where they are.
    let open = buffer.iter().rev().take(3).take_while(|&&byte| byte & 0xc0 == 0x80).count();
    match buffer.len().checked_sub(open + 1) {
        Some(at) if at > 0 && buffer[at] >= 0xc0 => at,
        _ => buffer.len(),
    }
}

fn plain(text: &str, base: usize) -> Document {
    let mut document = Document::new();
    let mut at = base;
    for line in text.split_inclusive('\n') {
        if line.trim().is_empty() {
            document.paragraph();
        } else {
            document.text(line, at..at + line.len());
        }
        at += line.len();
    }
    document
}

/// An HTML file, whole.
pub(super) fn html(reader: impl Read, file: &str) -> Result<Part, TextError> {
    let bytes = whole(reader, file, MOST_HTML, "HTML")?;
    let text = utf8(&bytes, file, 0)?;
    let content = text.trim_start_matches('\u{feff}');
    Ok(Part { page: None, document: html::read(content, text.len() - content.len()) })
}

/// All bytes of a file that cannot be read in pieces.
pub(super) fn whole(reader: impl Read, file: &str, most: u64, what: &str) -> Result<Vec<u8>, TextError> {
    let mut bytes = Vec::new();
    reader.take(most + 1).read_to_end(&mut bytes).map_err(|error| TextError::io(file, error))?;
    if bytes.len() as u64 > most {
        let reason = format!("larger than {} MB, the most for {what}, which is read at once", most >> 20);
        return Err(TextError::document(
            file,
            None,
            reason,
            "Split it, or save it as plain text, which may be of any size",
        ));
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn cut(bytes: &[u8], kind: TextKind, piece: usize) -> Result<Vec<Part>, TextError> {
        Pieces { piece, ..Pieces::new(bytes, "f", kind) }.collect()
    }

    fn text(parts: &[Part]) -> Vec<String> {
        parts.iter().flat_map(|part| &part.document.sections).map(|section| section.text.clone()).collect()
    }

    proptest! {
        #[test]
        fn pieces_lose_no_word_and_know_their_bytes(text in "([a-zé]{1,6}[ .]|\\n|\\n\\n|石){0,80}", piece in 4usize..60) {
            let parts = cut(text.as_bytes(), TextKind::Plain, piece).unwrap();
            let mut words = Vec::new();
            for section in parts.iter().flat_map(|part| &part.document.sections).filter(|s| !s.text.is_empty()) {
                let range = section.file_range(0..section.text.len());
                prop_assert_eq!(
                    text[range].split_whitespace().collect::<String>(), section.text.split_whitespace().collect::<String>()
                );
                words.push(section.text.split_whitespace().collect::<String>());
            }
            prop_assert_eq!(words.concat(), text.split_whitespace().collect::<String>());
        }
    }

    #[test]
    fn pieces_end_at_paragraphs_outside_of_code_and_keep_the_heading() {
        let file = b"# Oil\n\none two\n\n```\na\n\nb\n```\n\n---\n\nthree\n\nfour\n";
        let parts = cut(file, TextKind::Markdown, 12).unwrap();
        assert!(parts.len() > 2);
        for section in parts.iter().flat_map(|part| &part.document.sections).filter(|s| !s.text.is_empty()) {
            assert_eq!(section.heading, "Oil");
        }
        assert_eq!(
            text(&parts).join(" ").split_whitespace().collect::<Vec<_>>(),
            ["one", "two", "a", "b", "three", "four"]
        );
        assert!(text(&parts).contains(&"a\nb".to_owned()), "{:?}", text(&parts));
    }

    #[test]
    fn a_small_text_is_one_piece_and_an_endless_one_many() {
        assert_eq!(cut(b"a\n\nb\n\nc", TextKind::Plain, 100).unwrap().len(), 1);
        let endless = "é".repeat(1000);
        let parts = cut(endless.as_bytes(), TextKind::Plain, 50).unwrap();
        assert!(parts.len() > 10);
        assert_eq!(text(&parts).concat(), endless);
    }

    #[test]
    fn bytes_that_are_no_text_are_named_wherever_they_are() {
        let mut file = "word ".repeat(100).into_bytes();
        file[333] = 0xff;
        for piece in [10, 1000] {
            let error = cut(&file, TextKind::Plain, piece).err().unwrap().to_string();
            assert!(error.contains("byte 333") && error.contains("UTF-8"), "{error}");
        }
        file[333] = 0;
        let error = cut(&file, TextKind::Plain, 10).err().unwrap().to_string();
        assert!(error.contains("byte 333") && error.contains("zero byte"), "{error}");
        assert!(cut(&[0xff; 300], TextKind::Plain, 10).is_err());
        assert!(cut(&[0x80; 300], TextKind::Plain, 10).is_err());
    }

    #[test]
    fn a_file_above_the_limit_is_refused_with_a_way_out() {
        let error = whole(std::io::repeat(b'x'), "a.html", 2 << 20, "HTML").unwrap_err().to_string();
        assert!(error.contains("a.html") && error.contains("2 MB") && error.contains("Split"), "{error}");
    }
}
