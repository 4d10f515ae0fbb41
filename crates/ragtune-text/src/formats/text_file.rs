//! Plain text, Markdown, HTML, PDF and Word files, cut to passages that know their place in the file.

use std::collections::VecDeque;
use std::io::Read;

use serde::{Deserialize, Serialize};

use super::chunk::{ChunkConfig, chunks};
use super::document::Part;
use super::{docx, pdf, pieces};
use crate::error::TextError;
use crate::tokenizer::Tokenizer;
use crate::types::{Passage, Source};

/// How a document is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TextKind {
    /// No markup; blank lines separate paragraphs.
    Plain,
    /// Markdown; headings become titles.
    Markdown,
    /// HTML; headings, and before them the page's title, become titles.
    Html,
    /// PDF; large type becomes titles, and passages name their page.
    Pdf,
    /// Word's `.docx`; headings become titles.
    Docx,
}

impl TextKind {
    /// The kind that a file's extension says; `None` for another kind of file.
    pub fn of(file: &str) -> Option<Self> {
        let (_, extension) = file.rsplit_once('.')?;
        match extension.to_ascii_lowercase().as_str() {
            "txt" | "text" => Some(Self::Plain),
            "md" | "markdown" => Some(Self::Markdown),
            "html" | "htm" | "xhtml" => Some(Self::Html),
            "pdf" => Some(Self::Pdf),
            "docx" => Some(Self::Docx),
            _ => None,
        }
    }
}

/// Cuts a file to passages with ids `file#0`, `file#1` and so on. None when the file has no text.
///
/// A passage's title is the nearest heading above it, cut to a quarter of the budget; its [`Source`] has the whole
/// heading and the bytes from the passage's first word to its last. `file` is the name as the user gave it.
pub fn passages(
    bytes: &[u8],
    file: &str,
    kind: TextKind,
    tokenizer: &Tokenizer,
    config: &ChunkConfig,
) -> Result<Vec<Passage>, TextError> {
    stream(bytes, file, kind, tokenizer, *config)?.collect()
}

/// [`passages`] of a file that is read bit by bit: plain text and Markdown of any size, the other kinds up to a limit.
/// Ends after the first error.
///
/// Texts of more than a megabyte are cut into pieces at paragraph borders first, and no passage crosses a cut.
pub fn stream<'a>(
    reader: impl Read + 'a,
    file: &'a str,
    kind: TextKind,
    tokenizer: &'a Tokenizer,
    config: ChunkConfig,
) -> Result<impl Iterator<Item = Result<Passage, TextError>> + 'a, TextError> {
    config.check()?;
    let mut parts: Box<dyn Iterator<Item = Result<Part, TextError>> + 'a> = match kind {
        TextKind::Plain | TextKind::Markdown => Box::new(pieces::Pieces::new(reader, file, kind)),
        TextKind::Html => Box::new(std::iter::once_with(move || pieces::html(reader, file))),
        TextKind::Pdf => Box::new(pdf::parts(reader, file)),
        TextKind::Docx => Box::new(std::iter::once_with(move || docx::read(reader, file))),
    };
    let mut cutter = Cutter { file, tokenizer, config, count: 0 };
    let mut waiting = VecDeque::new();
    let mut failed = false;
    Ok(std::iter::from_fn(move || {
        loop {
            if let Some(passage) = waiting.pop_front() {
                return Some(Ok(passage));
            }
            if failed {
                return None;
            }
            if let Err(error) = parts.next()?.and_then(|part| cutter.cut(&part, &mut waiting)) {
                failed = true;
                return Some(Err(error));
            }
        }
    }))
}

/// Cuts the parts of one file, one after another.
struct Cutter<'a> {
    file: &'a str,
    tokenizer: &'a Tokenizer,
    config: ChunkConfig,
    /// Passages so far.
    count: usize,
}

impl Cutter<'_> {
    fn cut(&mut self, part: &Part, passages: &mut VecDeque<Passage>) -> Result<(), TextError> {
        let Self { file, tokenizer, config, count } = self;
        for section in part.document.sections.iter().filter(|section| !section.text.is_empty()) {
            let title = fitting(&section.heading, config.max_tokens / 4, tokenizer)?;
            let around = tokenizer.overhead(!title.is_empty()) + tokenizer.ids(title)?.len();
            // Special tokens and title take at most half of the smallest budget.
            let budget = config.max_tokens.saturating_sub(around).max(1);
            let overlap = config.overlap_tokens.min(budget / 2);
            for range in chunks(&section.text, budget, overlap, tokenizer)? {
                let place = section.file_range(range.clone());
                passages.push_back(Passage {
                    id: format!("{file}#{count}"),
                    title: title.to_owned(),
                    text: section.text[range].to_owned(),
                    source: Some(Source {
                        file: (*file).to_owned(),
                        start: place.start as u64,
                        end: place.end as u64,
                        heading: section.heading.clone(),
                        page: part.page,
                    }),
                });
                *count += 1;
            }
        }
        Ok(())
    }
}

/// The first words of a title that take at most `most` tokens.
fn fitting<'a>(title: &'a str, most: usize, tokenizer: &Tokenizer) -> Result<&'a str, TextError> {
    let mut title = title;
    while !title.is_empty() && tokenizer.ids(title)?.len() > most {
        // A title without spaces goes as a whole.
        title = title.rsplit_once(' ').map_or("", |(words, _)| words);
    }
    Ok(title)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::testing;

    const SMALL: ChunkConfig = ChunkConfig { max_tokens: 16, overlap_tokens: 4 };

    fn read(text: &str, file: &str) -> Vec<Passage> {
        let kind = TextKind::of(file).unwrap();
        passages(text.as_bytes(), file, kind, &testing::bert(), &SMALL).unwrap()
    }

    #[test]
    fn passages_carry_ids_titles_and_places() {
        let text = "\u{feff}# Oil\r\n\r\nThe *price* rose.\r\n\r\n## Crisis of 1973\r\n\r\nThe oil rose.";
        let passages = read(text, "notes/a.md");
        let seen: Vec<_> = passages.iter().map(|p| (p.id.as_str(), p.title.as_str(), p.text.as_str())).collect();
        assert_eq!(
            seen,
            [("notes/a.md#0", "Oil", "The price rose."), ("notes/a.md#1", "Crisis of 1973", "The oil rose.")]
        );
        let source = passages[0].source.as_ref().unwrap();
        assert_eq!((source.file.as_str(), source.heading.as_str()), ("notes/a.md", "Oil"));
        assert_eq!(&text[source.start as usize..source.end as usize], "The *price* rose.");
        let source = passages[1].source.as_ref().unwrap();
        assert_eq!(&text[source.start as usize..source.end as usize], "The oil rose.");
    }

    #[test]
    fn long_headings_are_cut_in_the_title_only() {
        let heading = "the price of oil rose the price of oil";
        let passages = read(&format!("# {heading}\n\nThe oil rose.\n"), "a.md");
        assert_eq!(passages[0].title, "the price of oil");
        assert_eq!(passages[0].source.as_ref().unwrap().heading, heading);
    }

    #[test]
    fn files_that_are_not_utf8_are_named_with_the_byte() {
        let tokenizer = testing::bert();
        let error =
            |bytes: &[u8]| passages(bytes, "a.txt", TextKind::Plain, &tokenizer, &SMALL).unwrap_err().to_string();
        let latin = error(b"caf\xe9 ");
        assert!(latin.contains("a.txt") && latin.contains("byte 3") && latin.contains("UTF-8"), "{latin}");
        let utf16 = error(b"\xff\xfea\0");
        assert!(utf16.contains("UTF-16"), "{utf16}");
    }

    #[test]
    fn files_without_text_give_no_passage() {
        for (text, file) in
            [("", "a.txt"), (" \r\n ", "a.txt"), ("# Title\n", "a.md"), ("<script>x</script>", "a.html")]
        {
            assert!(read(text, file).is_empty(), "{text:?}");
        }
    }

    #[test]
    fn kinds_follow_extensions() {
        assert_eq!(TextKind::of("a/b.MD"), Some(TextKind::Markdown));
        assert_eq!(TextKind::of("b.htm"), Some(TextKind::Html));
        assert_eq!(TextKind::of("b.PDF"), Some(TextKind::Pdf));
        assert_eq!(TextKind::of("b.doc"), None);
        assert_eq!(TextKind::of("txt"), None);
    }

    proptest! {
        #[test]
        fn passages_fit_the_encoder_and_are_the_files_own_words(
            text in "([a-z]{1,6}[ .]{1,2}|\\r\\n|\\n\\n|the |oil |\\. |# oil\\n|é){0,80}",
            file in prop::sample::select(vec!["a.txt", "a.md", "a.html"])
        ) {
            let tokenizer = testing::bert();
            for passage in read(&text, file) {
                let whole = tokenizer.passage(&passage.title, &passage.text, usize::MAX).unwrap();
                prop_assert!(whole.len() <= SMALL.max_tokens);
                let source = passage.source.unwrap();
                let words = text[source.start as usize..source.end as usize].split_whitespace().collect::<Vec<_>>();
                if file != "a.md" {
                    prop_assert_eq!(words, passage.text.split_whitespace().collect::<Vec<_>>());
                }
            }
        }
    }
}
