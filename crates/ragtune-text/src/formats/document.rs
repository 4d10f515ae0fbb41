//! The text of a file without its markup, in sections, with the way back to the file's bytes.

use std::ops::Range;

/// A file's text, cut at its headings.
pub(super) struct Document {
    pub(super) sections: Vec<Section>,
}

/// A part of a file that is cut to passages by itself.
pub(super) struct Part {
    /// The page that it is, from 1.
    pub(super) page: Option<u32>,
    pub(super) document: Document,
}

/// The text under one heading: paragraphs separated by `\n`, words by single spaces.
#[derive(Default)]
pub(super) struct Section {
    pub(super) heading: String,
    pub(super) text: String,
    /// In order of text; they cover everything but the separators between words and paragraphs.
    pieces: Vec<Piece>,
    gap: Gap,
}

/// A stretch of text and the stretch of the file that it comes from. When both are equally long they are the same
/// bytes; otherwise the text was decoded (`&amp;`) and only the whole maps to the whole.
struct Piece {
    text: Range<usize>,
    file: Range<usize>,
}

/// What to write before the next word.
#[derive(Default, Clone, Copy, PartialEq, PartialOrd)]
enum Gap {
    #[default]
    None,
    Space,
    Paragraph,
}

impl Document {
    pub(super) fn new() -> Self {
        Self { sections: vec![Section::default()] }
    }

    /// Starts a section.
    pub(super) fn heading(&mut self, heading: &str) {
        let heading = heading.split_whitespace().collect::<Vec<_>>().join(" ");
        self.sections.push(Section { heading, ..Section::default() });
    }

    /// Adds running text; white space of any length becomes one space. `file` is where it stands in the file.
    pub(super) fn text(&mut self, text: &str, file: Range<usize>) {
        let verbatim = text.len() == file.len();
        let section = self.section();
        let mut rest = text;
        while let Some(first) = rest.chars().next() {
            if first.is_whitespace() {
                section.gap(Gap::Space);
                rest = rest.trim_start();
                continue;
            }
            let (word, after) = rest.split_at(rest.find(char::is_whitespace).unwrap_or(rest.len()));
            let at = text.len() - rest.len();
            section.push(word, if verbatim { file.start + at..file.start + at + word.len() } else { file.clone() });
            rest = after;
        }
    }

    /// Adds preformatted text: line ends and the space at the start of lines are kept.
    pub(super) fn code(&mut self, text: &str, file: Range<usize>) {
        let verbatim = text.len() == file.len();
        let section = self.section();
        let mut at = file.start;
        for line in text.split_inclusive('\n') {
            let content = line.trim_end();
            if !content.is_empty() {
                section.push(content, if verbatim { at..at + content.len() } else { file.clone() });
            }
            if line.ends_with('\n') {
                section.gap(Gap::Paragraph);
            }
            at += line.len();
        }
    }

    /// A word border.
    pub(super) fn space(&mut self) {
        self.section().gap(Gap::Space);
    }

    /// Ends a paragraph.
    pub(super) fn paragraph(&mut self) {
        self.section().gap(Gap::Paragraph);
    }

    fn section(&mut self) -> &mut Section {
        if self.sections.is_empty() {
            self.sections.push(Section::default());
        }
        let last = self.sections.len() - 1;
        &mut self.sections[last]
    }
}

impl Section {
    fn gap(&mut self, gap: Gap) {
        if !self.text.is_empty() && gap > self.gap {
            self.gap = gap;
        }
    }

    fn push(&mut self, word: &str, file: Range<usize>) {
        let gap = std::mem::take(&mut self.gap);
        match gap {
            Gap::None => {}
            Gap::Space => self.text.push(' '),
            Gap::Paragraph => self.text.push('\n'),
        }
        let start = self.text.len();
        self.text.push_str(word);
        let text = start..self.text.len();
        let skipped = usize::from(gap != Gap::None);
        match self.pieces.last_mut() {
            // Words that stand in the file as in the text, one byte apart, are one piece.
            Some(last) if last.is_verbatim() && text.len() == file.len() && last.file.end + skipped == file.start => {
                last.text.end = text.end;
                last.file.end = file.end;
            }
            _ => self.pieces.push(Piece { text, file }),
        }
    }

    /// The bytes of the file that a stretch of the text comes from. The stretch starts and ends in words.
    pub(super) fn file_range(&self, text: Range<usize>) -> Range<usize> {
        let (Some(first), Some(last)) = (self.piece(text.start), self.piece(text.end.saturating_sub(1))) else {
            return 0..0;
        };
        let start = if first.is_verbatim() {
            first.file.start + text.start.saturating_sub(first.text.start).min(first.text.len())
        } else {
            first.file.start
        };
        let end = if last.is_verbatim() {
            last.file.start + text.end.saturating_sub(last.text.start).min(last.text.len())
        } else {
            last.file.end
        };
        start..end.max(start)
    }

    /// The last piece that starts at or before a position of the text.
    fn piece(&self, at: usize) -> Option<&Piece> {
        self.pieces.get(self.pieces.partition_point(|piece| piece.text.start <= at).saturating_sub(1))
    }
}

impl Piece {
    fn is_verbatim(&self) -> bool {
        self.text.len() == self.file.len()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn every_word_leads_back_to_its_bytes(file in "[a-cé \\n\\t]{0,60}") {
            let mut document = Document::new();
            document.text(&file, 0..file.len());
            let section = &document.sections[0];
            let mut from = 0;
            for word in section.text.split(' ').filter(|word| !word.is_empty()) {
                let at = from + section.text[from..].find(word).unwrap();
                let range = section.file_range(at..at + word.len());
                prop_assert_eq!(&file[range], word);
                from = at + word.len();
            }
            prop_assert_eq!(section.text.split_whitespace().collect::<Vec<_>>(), file.split_whitespace().collect::<Vec<_>>());
        }
    }

    #[test]
    fn decoded_text_maps_to_its_whole_source() {
        let mut document = Document::new();
        document.text("a ", 0..2);
        document.text("&", 2..7);
        document.text(" b", 7..9);
        let section = &document.sections[0];
        assert_eq!(section.text, "a & b");
        assert_eq!(section.file_range(2..3), 2..7);
        assert_eq!(section.file_range(0..5), 0..9);
    }

    #[test]
    fn code_keeps_its_lines_and_indentation() {
        let mut document = Document::new();
        let code = "fn f() {\r\n    g();\r\n}\n";
        document.code(code, 10..10 + code.len());
        assert_eq!(document.sections[0].text, "fn f() {\n    g();\n}");
    }
}
