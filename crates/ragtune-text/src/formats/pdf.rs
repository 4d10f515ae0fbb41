//! PDF: the text of each page in reading order, with large type as headings.
//!
//! | module | what it does |
//! |---|---|
//! | [`walk`] | runs a page's content and says which glyph stands where |
//! | [`font`], [`cmap`] | which letters a glyph's code stands for, and how wide it is |
//! | [`layout`] | glyphs to words, lines and paragraphs |
//!
//! `lopdf` reads the file's objects. Its own `extract_text` joins words and lines that are set apart by moving the pen
//! alone, and leaves a font's `ToUnicode` aside when there is an encoding too, so the text is found here.

mod cmap;
mod encodings;
mod font;
mod layout;
#[cfg(test)]
mod tests;
mod walk;

use std::collections::BTreeMap;
use std::io::{self, Read};
use std::panic::{AssertUnwindSafe, catch_unwind};

use flate2::read::DeflateDecoder;
use lopdf::{LoadOptions, Object, ObjectId};

use self::font::Fonts;
use self::layout::{Block, Layout};
use super::document::{Document, Part};
use super::pieces::whole;
use crate::error::TextError;

/// Bytes of a file: its objects are held in memory, so several times as much is needed.
const MOST_FILE: u64 = 512 << 20;
/// Bytes that one compressed stream of the file's structure may unpack to.
const MOST_STREAM: usize = 64 << 20;
/// Bytes that the content of one page may unpack to.
const MOST_PAGE: usize = 64 << 20;
/// Bytes that the content of all pages together, forms counted as often as they are drawn, may unpack to.
const MOST_CONTENT: usize = 2 << 30;
/// Largest part of the words that may stay unread.
const MOST_UNKNOWN: f64 = 0.5;
/// Type that is so much larger than the page's text is a heading.
const HEADING: f64 = 1.15;
/// Characters of a heading.
const MOST_HEADING: usize = 200;

/// The pages of a PDF file. Ends after the first error.
pub(super) fn parts<'a>(reader: impl Read + 'a, file: &'a str) -> impl Iterator<Item = Result<Part, TextError>> + 'a {
    let mut opened = Some(move || Pages::open(reader, file));
    let mut pages = None;
    std::iter::from_fn(move || {
        if let Some(open) = opened.take() {
            match open() {
                Ok(opened) => pages = Some(opened),
                Err(error) => return Some(Err(error)),
            }
        }
        let part = pages.as_mut()?.next();
        if !matches!(part, Some(Ok(_))) {
            pages = None;
        }
        part
    })
}

const AGAIN: &str = "Copy or download it again, or print it to a new PDF";

struct Pages<'a> {
    file: &'a str,
    document: lopdf::Document,
    pages: Vec<ObjectId>,
    /// The page to read, from 0.
    next: usize,
    fonts: Fonts,
    /// Bytes of content that may still be unpacked.
    budget: usize,
    /// The heading above the page.
    heading: String,
    letters: u64,
    unknown: u64,
}

impl<'a> Pages<'a> {
    fn open(reader: impl Read, file: &'a str) -> Result<Self, TextError> {
        let bytes = whole(reader, file, MOST_FILE, "PDF")?;
        let fail = |reason: String, hint: &str| Err(TextError::document(file, None, reason, hint));
        if bytes.is_empty() {
            return fail("the file is empty".to_owned(), AGAIN);
        }
        let options = LoadOptions::with_max_decompressed_size(MOST_STREAM);
        let document = match guarded(|| lopdf::Document::load_mem_with_options(&bytes, options)) {
            Ok(Ok(document)) => document,
            Ok(Err(lopdf::Error::InvalidPassword | lopdf::Error::Decryption(_))) => return Err(locked(file)),
            Ok(Err(lopdf::Error::UnsupportedSecurityHandler(_) | lopdf::Error::Unimplemented(_))) => {
                return Err(locked(file));
            }
            Ok(Err(error)) => return fail(format!("not a readable PDF ({error})"), AGAIN),
            Err(()) => return fail("not a readable PDF: its structure is damaged".to_owned(), AGAIN),
        };
        if document.trailer.has(b"Encrypt") && !document.was_encrypted() {
            return Err(locked(file));
        }
        let pages: Vec<ObjectId> = guarded(|| document.page_iter().collect()).unwrap_or_default();
        if pages.is_empty() {
            return fail("no page can be found in it".to_owned(), AGAIN);
        }
        // What could be saved of a damaged file may be less than there was, which must not go unnoticed.
        let declared = declared(&document).unwrap_or(0);
        if document.xref_recovery.is_some() && declared > pages.len() as u64 {
            return fail(format!("damaged or cut off: {} of {declared} pages are there", pages.len()), AGAIN);
        }
        Ok(Self {
            file,
            document,
            pages,
            next: 0,
            fonts: Fonts::default(),
            budget: MOST_CONTENT,
            heading: String::new(),
            letters: 0,
            unknown: 0,
        })
    }

    fn page(&mut self) -> Result<Part, TextError> {
        let id = self.pages[self.next];
        self.next += 1;
        let page = u32::try_from(self.next).unwrap_or(u32::MAX);
        let fail = |reason: &str, hint: &str| Err(TextError::document(self.file, Some(page), reason, hint));
        let (document, fonts, budget) = (&self.document, &mut self.fonts, &mut self.budget);
        let there = |id: &ObjectId| document.get_object(*id).is_ok();
        if !there(&id) || (document.xref_recovery.is_some() && !document.get_page_contents(id).iter().all(there)) {
            return fail("it is not there: the file is damaged or cut off", AGAIN);
        }
        if guarded(|| document.get_page_contents(id).iter().any(|id| is_broken(document, *id))) != Ok(false) {
            return fail("its content is damaged", AGAIN);
        }
        let walked = guarded(|| {
            let mut layout = Layout::default();
            let content = document.get_page_content_with_limit(id, MOST_PAGE)?;
            walk::page(document, id, &content, fonts, budget, &mut layout)?;
            Ok::<_, lopdf::Error>(layout)
        });
        let layout = match walked {
            Ok(Ok(layout)) => layout,
            Ok(Err(lopdf::Error::Decompress(lopdf::DecompressError::MemoryLimitExceeded { .. }))) => {
                return fail(
                    "its content unpacks to more than is sensible",
                    "Print the file to a new PDF, or leave it out",
                );
            }
            Ok(Err(error)) => {
                return fail(&format!("cannot be read ({error})"), "Print the file to a new PDF, or leave it out");
            }
            Err(()) => return fail("its content is damaged", "Print the file to a new PDF, or leave it out"),
        };
        self.letters += layout.letters;
        self.unknown += layout.unknown;
        let last = self.next == self.pages.len();
        Ok(Part { page: Some(page), document: arrange(&layout.finish(), &mut self.heading, last) })
    }

    /// Why there is no text, or too little, after the last page.
    fn missing(&self) -> Option<TextError> {
        let fail = |reason: String, hint: &str| Some(TextError::document(self.file, None, reason, hint));
        let all = self.letters + self.unknown;
        if self.unknown > 0 && self.unknown as f64 > MOST_UNKNOWN * all as f64 {
            let reason = format!(
                "{} of its {all} letters are glyphs without a meaning: its fonts do not say which",
                self.unknown
            );
            return fail(reason, "Run it through text recognition, for example with `ocrmypdf --force-ocr`");
        }
        if self.letters > 0 {
            return None;
        }
        if self.document.objects.values().any(is_image) {
            let pages = self.pages.len();
            let reason = format!(
                "no text in it, its pages are images: a scan of {pages} page{}",
                if pages == 1 { "" } else { "s" }
            );
            return fail(reason, "Run it through text recognition, for example with `ocrmypdf`");
        }
        fail("no text in it".to_owned(), "Leave it out")
    }
}

impl Iterator for Pages<'_> {
    type Item = Result<Part, TextError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.next < self.pages.len() {
            return Some(self.page());
        }
        self.missing().map(Err)
    }
}

fn locked(file: &str) -> TextError {
    let hint = "Save a copy without a password, for example with `qpdf --decrypt --password=… IN OUT`";
    TextError::document(file, None, "it is protected by a password", hint)
}

/// Whether a stream breaks off when it is unpacked. The library takes what comes before that for the whole.
fn is_broken(document: &lopdf::Document, id: ObjectId) -> bool {
    let Ok(stream) = document.get_object(id).and_then(Object::as_stream) else { return false };
    // The two bytes of the header and the checksum at the end are left aside: some programs write wrong ones.
    let packed = stream.content.get(2..).unwrap_or_default();
    let only_flate = stream.filters().is_ok_and(|filters| filters == [b"FlateDecode"]);
    only_flate
        && !packed.is_empty()
        && io::copy(&mut DeflateDecoder::new(packed).take(MOST_PAGE as u64), &mut io::sink()).is_err()
}

/// The number of pages that the file says it has.
fn declared(document: &lopdf::Document) -> Option<u64> {
    let tree = document.catalog().ok()?.get_deref(b"Pages", document).and_then(Object::as_dict).ok()?;
    u64::try_from(tree.get_deref(b"Count", document).and_then(Object::as_i64).ok()?).ok()
}

fn is_image(object: &Object) -> bool {
    let Object::Stream(stream) = object else { return false };
    stream.dict.get(b"Subtype").and_then(Object::as_name).is_ok_and(|name| name == b"Image")
}

/// Runs a step over bytes that anybody may have written. Arithmetic on them can overflow inside the PDF library, which
/// panics there; such a file is damaged, and no reason to stop.
fn guarded<T>(work: impl FnOnce() -> T) -> Result<T, ()> {
    catch_unwind(AssertUnwindSafe(work)).map_err(|_| ())
}

/// The blocks of a page as sections. `heading` is the one above the page, and becomes the one above the next; what would
/// be a heading with nothing below it on the `last` page is text.
fn arrange(blocks: &[Block], heading: &mut String, last: bool) -> Document {
    // The size of most letters is that of the text.
    let mut letters: BTreeMap<i64, usize> = BTreeMap::new();
    for block in blocks {
        *letters.entry((block.size * 4.0) as i64).or_default() += block.text.len();
    }
    let body = letters.iter().max_by_key(|(_, count)| **count).map_or(0.0, |(size, _)| *size as f64 / 4.0);
    let large = |block: &Block| block.size > HEADING * body && block.text.chars().count() <= MOST_HEADING;
    let text_follows = |at: usize| blocks[at..].iter().any(|block| !large(block));
    let mut document = Document::new();
    if let Some(first) = document.sections.first_mut() {
        first.heading.clone_from(heading);
    }
    let (mut at, mut pending) = (0, String::new());
    for (n, block) in blocks.iter().enumerate() {
        // Of several in a row, such as a chapter's number and its name, none may be lost.
        let fits = pending.chars().count() + block.text.chars().count() < MOST_HEADING;
        if large(block) && fits && (!last || text_follows(n)) {
            if !pending.is_empty() {
                pending.push(' ');
            }
            pending.push_str(&block.text);
        } else {
            if !pending.is_empty() {
                document.heading(&pending);
                *heading = std::mem::take(&mut pending);
            }
            document.paragraph();
            document.text(&block.text, at..at + block.text.len());
        }
        at += block.text.len() + 1;
    }
    if !pending.is_empty() {
        *heading = pending;
    }
    document
}
