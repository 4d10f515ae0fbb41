//! Word's `.docx`: a zip archive with the document as XML. Paragraphs, headings, tables and notes.

use std::collections::{HashMap, HashSet};
use std::io::{BufReader, Cursor, Read};

use quick_xml::events::{BytesStart, Event};
use quick_xml::{Reader, XmlVersion};
use zip::ZipArchive;
use zip::result::ZipError;

use super::document::{Document, Part};
use super::pieces::whole;
use crate::error::TextError;

/// Bytes of a file.
const MOST_FILE: u64 = 256 << 20;
/// Bytes that the parts which are read may unpack to, together.
const MOST_UNPACKED: u64 = 256 << 20;
/// Elements inside of elements.
const MOST_DEPTH: usize = 10_000;
/// Where the document is, unless the archive says otherwise.
const USUAL: &str = "word/document.xml";
/// What one side of a document that keeps its changes, or its fallback for old programs, would say twice.
const SKIPPED: [&str; 3] = ["Fallback", "moveFrom", "del"];

/// Reads a whole file.
pub(super) fn read(reader: impl Read, file: &str) -> Result<Part, TextError> {
    read_within(reader, file, MOST_UNPACKED)
}

fn read_within(reader: impl Read, file: &str, unpacked: u64) -> Result<Part, TextError> {
    let bytes = whole(reader, file, MOST_FILE, "Word files")?;
    let fail = |reason: &str, hint: &str| Err(TextError::document(file, None, reason, hint));
    if bytes.starts_with(&[0xd0, 0xcf, 0x11, 0xe0]) {
        return fail(
            "protected by a password, or an old .doc under a new name",
            "Open it in a word processor and save it as .docx without a password",
        );
    }
    if bytes.is_empty() {
        return fail("the file is empty", AGAIN);
    }
    let mut package = Package { file, zip: open(&bytes, file)?, left: unpacked };
    let main = package.main()?;
    let folder = main.rsplit_once('/').map_or(String::new(), |(folder, _)| format!("{folder}/"));
    let headings = package.headings(&format!("{folder}styles.xml"))?;
    let mut text = Text::new(headings);
    if !package.part(&main, &mut |event| text.take(event))? {
        return fail("there is no document in it", AGAIN);
    }
    text.end_paragraph();
    for notes in ["footnotes.xml", "endnotes.xml"] {
        package.part(&format!("{folder}{notes}"), &mut |event| text.take(event))?;
        text.end_paragraph();
    }
    Ok(Part { page: None, document: text.finish() })
}

const AGAIN: &str = "Copy or download it again, or save it anew as .docx";

fn open<'a>(bytes: &'a [u8], file: &str) -> Result<ZipArchive<Cursor<&'a [u8]>>, TextError> {
    ZipArchive::new(Cursor::new(bytes))
        .map_err(|error| TextError::document(file, None, format!("not a readable Word file ({error})"), AGAIN))
}

/// The archive.
struct Package<'a> {
    file: &'a str,
    zip: ZipArchive<Cursor<&'a [u8]>>,
    /// Bytes that may still be unpacked.
    left: u64,
}

impl Package<'_> {
    /// Reads a part, event by event; false when there is none of that name.
    fn part(&mut self, name: &str, take: &mut dyn FnMut(&Event<'_>)) -> Result<bool, TextError> {
        let fail = |reason: String| TextError::document(self.file, None, reason, AGAIN);
        let entry = match self.zip.by_name(name) {
            Ok(entry) => entry,
            Err(ZipError::FileNotFound) => return Ok(false),
            Err(error) => return Err(fail(format!("{name} in it cannot be read ({error})"))),
        };
        let mut limited = entry.take(self.left);
        let mut reader = Reader::from_reader(BufReader::new(&mut limited));
        reader.config_mut().check_end_names = false;
        let (mut buffer, mut depth) = (Vec::new(), 0usize);
        let result = loop {
            buffer.clear();
            match reader.read_event_into(&mut buffer) {
                Ok(Event::Eof) => break Ok(()),
                Ok(event) => {
                    match event {
                        Event::Start(_) => depth += 1,
                        Event::End(_) => depth = depth.saturating_sub(1),
                        _ => {}
                    }
                    if depth > MOST_DEPTH {
                        break Err(fail(format!("{name} in it is nested too deeply")));
                    }
                    take(&event);
                }
                Err(error) => break Err(fail(format!("{name} in it is damaged ({error})"))),
            }
        };
        drop(reader);
        self.left = limited.limit();
        if self.left == 0 {
            let hint = "Save its text alone, or leave it out";
            return Err(TextError::document(self.file, None, "it unpacks to more than is sensible", hint));
        }
        result.map(|()| true)
    }

    /// The name of the document's part.
    fn main(&mut self) -> Result<String, TextError> {
        let mut found = None;
        self.part("_rels/.rels", &mut |event| {
            if let Event::Start(tag) | Event::Empty(tag) = event
                && attribute(tag, "Type").is_some_and(|kind| kind.ends_with("/officeDocument"))
            {
                found = attribute(tag, "Target").map(|target| target.trim_start_matches('/').to_owned());
            }
        })?;
        Ok(found.unwrap_or_else(|| USUAL.to_owned()))
    }

    /// The ids of the styles that are headings.
    fn headings(&mut self, name: &str) -> Result<HashSet<String>, TextError> {
        // Of every style: whether it is a heading itself, and the style that it is based on.
        let mut styles: HashMap<String, (bool, String)> = HashMap::new();
        let mut current = None;
        self.part(name, &mut |event| {
            let (Event::Start(tag) | Event::Empty(tag)) = event else { return };
            match tag.local_name().into_inner() {
                "style" => {
                    current = attribute(tag, "styleId");
                    if let Some(id) = &current {
                        styles.insert(id.clone(), (false, String::new()));
                    }
                }
                "name" | "outlineLvl" | "basedOn" => {
                    let style = current.as_ref().and_then(|id| styles.get_mut(id));
                    let (Some((heading, based)), Some(value)) = (style, attribute(tag, "val")) else { return };
                    match tag.local_name().into_inner() {
                        "basedOn" => *based = value,
                        "outlineLvl" => *heading |= is_heading_level(&value),
                        _ => *heading |= is_heading_name(&value),
                    }
                }
                _ => {}
            }
        })?;
        let is_heading = |id: &String| {
            let mut id = id;
            for _ in 0..16 {
                match styles.get(id) {
                    Some((true, _)) => return true,
                    Some((false, based)) => id = based,
                    None => return false,
                }
            }
            false
        };
        Ok(styles.keys().filter(|id| is_heading(id)).cloned().collect())
    }
}

/// Names of built-in styles are English in every language's Word.
fn is_heading_name(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    name == "title" || name.strip_prefix("heading ").is_some_and(|level| level.bytes().all(|b| b.is_ascii_digit()))
}

/// Levels 0 to 8 are headings, 9 is text.
fn is_heading_level(level: &str) -> bool {
    level.parse::<u32>().is_ok_and(|level| level < 9)
}

fn attribute(tag: &BytesStart<'_>, name: &str) -> Option<String> {
    let mut attributes = tag.attributes();
    let mut attributes = attributes.with_checks(false).flatten();
    let found = attributes.find(|attribute| attribute.key.local_name().into_inner() == name)?;
    Some(found.normalized_value(XmlVersion::Implicit1_0).ok()?.into_owned())
}

/// Collects the text of a document.
struct Text {
    headings: HashSet<String>,
    document: Document,
    paragraph: String,
    /// The paragraph at hand is a heading.
    heading: bool,
    /// In a paragraph's or a run's properties, whose elements share names with those of the text.
    properties: usize,
    /// In an element that holds letters.
    letters: usize,
    /// In elements that are left out.
    skipped: usize,
    /// In tables' rows.
    rows: usize,
    /// Bytes of text so far.
    at: usize,
    /// Headings that nothing has followed yet.
    pending: String,
}

impl Text {
    fn new(headings: HashSet<String>) -> Self {
        Self {
            headings,
            document: Document::new(),
            paragraph: String::new(),
            heading: false,
            properties: 0,
            letters: 0,
            skipped: 0,
            rows: 0,
            at: 0,
            pending: String::new(),
        }
    }

    fn take(&mut self, event: &Event<'_>) {
        match event {
            Event::Start(tag) => self.start(tag, false),
            Event::Empty(tag) => self.start(tag, true),
            Event::End(tag) => self.end(tag.local_name().into_inner()),
            _ if self.skipped > 0 || self.letters == 0 => {}
            Event::Text(text) => self.paragraph.push_str(&text.xml10_content()),
            Event::CData(text) => self.paragraph.push_str(&text.xml10_content()),
            Event::GeneralRef(reference) => match reference.resolve_char_ref() {
                Ok(Some(c)) => self.paragraph.push(c),
                _ => self.paragraph.push_str(match &**reference {
                    "amp" => "&",
                    "lt" => "<",
                    "gt" => ">",
                    "quot" => "\"",
                    "apos" => "'",
                    _ => "",
                }),
            },
            _ => {}
        }
    }

    fn start(&mut self, tag: &BytesStart<'_>, empty: bool) {
        let name = tag.local_name().into_inner();
        let open = usize::from(!empty);
        if self.skipped > 0 || SKIPPED.contains(&name) {
            // Only elements of the same kind nest; a counter over all of them needs no names.
            self.skipped += open;
            return;
        }
        match name {
            "pPr" | "rPr" | "tblPr" | "trPr" | "tcPr" | "sectPr" => self.properties += open,
            "pStyle" => {
                self.heading |= attribute(tag, "val").is_some_and(|id| self.headings.contains(&id));
            }
            "outlineLvl" => self.heading |= attribute(tag, "val").is_some_and(|level| is_heading_level(&level)),
            _ if self.properties > 0 => {}
            "p" => self.begin_paragraph(),
            "tr" => {
                self.end_paragraph();
                self.rows += open;
            }
            "tc" => self.paragraph.push(' '),
            "t" => self.letters += open,
            "tab" | "ptab" | "br" | "cr" => self.paragraph.push(' '),
            "noBreakHyphen" => self.paragraph.push('-'),
            _ => {}
        }
    }

    fn end(&mut self, name: &str) {
        if self.skipped > 0 {
            self.skipped -= 1;
            return;
        }
        match name {
            "pPr" | "rPr" | "tblPr" | "trPr" | "tcPr" | "sectPr" => self.properties = self.properties.saturating_sub(1),
            _ if self.properties > 0 => {}
            "t" => self.letters = self.letters.saturating_sub(1),
            // A row of a table is one paragraph, its cells are set apart by spaces.
            "p" if self.rows > 0 => self.paragraph.push(' '),
            "p" => self.end_paragraph(),
            "tr" => {
                self.rows = self.rows.saturating_sub(1);
                if self.rows == 0 {
                    self.end_paragraph();
                }
            }
            _ => {}
        }
    }

    /// A paragraph inside of another one, as in a text box, ends the outer one.
    fn begin_paragraph(&mut self) {
        if self.rows == 0 {
            self.end_paragraph();
        }
        self.heading = false;
    }

    fn end_paragraph(&mut self) {
        let words = self.paragraph.split_whitespace().collect::<Vec<_>>().join(" ");
        self.paragraph.clear();
        let heading = std::mem::take(&mut self.heading) && self.rows == 0;
        if words.is_empty() {
            return;
        }
        let file = self.at..self.at + words.len();
        self.at = file.end + 1;
        if heading {
            if !self.pending.is_empty() {
                self.pending.push(' ');
            }
            self.pending.push_str(&words);
            return;
        }
        if !self.pending.is_empty() {
            self.document.heading(&std::mem::take(&mut self.pending));
        }
        self.document.paragraph();
        self.document.text(&words, file);
    }

    fn finish(mut self) -> Document {
        // A heading with nothing below it is text, or it would be lost.
        let pending = std::mem::take(&mut self.pending);
        if !pending.is_empty() {
            self.document.paragraph();
            self.document.text(&pending, self.at - 1 - pending.len()..self.at - 1);
        }
        self.document
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use proptest::prelude::*;
    use zip::write::SimpleFileOptions;

    use super::*;

    const STYLES: &str = r#"<w:styles xmlns:w="w"><w:style w:styleId="berschrift1"><w:name w:val="heading 1"/></w:style>
        <w:style w:styleId="Mine"><w:name w:val="Mine"/><w:basedOn w:val="berschrift1"/></w:style>
        <w:style w:styleId="Normal"><w:name w:val="Normal"/></w:style></w:styles>"#;

    fn archive(parts: &[(&str, &str)]) -> Vec<u8> {
        let mut zip = zip::ZipWriter::new(Cursor::new(Vec::new()));
        for (name, text) in parts {
            zip.start_file(*name, SimpleFileOptions::default()).unwrap();
            zip.write_all(text.as_bytes()).unwrap();
        }
        zip.finish().unwrap().into_inner()
    }

    fn docx(body: &str) -> Vec<u8> {
        let document = format!("<?xml version=\"1.0\"?><w:document xmlns:w=\"w\"><w:body>{body}</w:body></w:document>");
        archive(&[(USUAL, &document), ("word/styles.xml", STYLES)])
    }

    fn sections(bytes: &[u8]) -> Vec<(String, String)> {
        let part = read(bytes, "a.docx").unwrap();
        part.document.sections.into_iter().filter(|s| !s.text.is_empty()).map(|s| (s.heading, s.text)).collect()
    }

    fn paragraph(style: &str, text: &str) -> String {
        format!(
            "<w:p><w:pPr><w:pStyle w:val=\"{style}\"/><w:tabs><w:tab w:val=\"left\"/></w:tabs></w:pPr><w:r><w:rPr><w:b/></w:rPr><w:t>{text}</w:t></w:r></w:p>"
        )
    }

    #[test]
    fn headings_cut_sections_and_runs_join() {
        let body = [
            paragraph("Normal", "Before."),
            paragraph("berschrift1", "Part 1"),
            paragraph("Mine", "Oil &amp; crisis"),
            "<w:p><w:r><w:t xml:space=\"preserve\">The pri</w:t></w:r><w:r><w:t>ce</w:t><w:tab/><w:t>rose</w:t><w:br/><w:t>fast&#46;</w:t></w:r></w:p>".to_owned(),
            paragraph("Normal", "Then."),
            paragraph("berschrift1", "Last"),
        ]
        .concat();
        assert_eq!(
            sections(&docx(&body)),
            [
                (String::new(), "Before.".to_owned()),
                ("Part 1 Oil & crisis".to_owned(), "The price rose fast.\nThen.\nLast".to_owned()),
            ]
        );
    }

    #[test]
    fn rows_of_tables_are_paragraphs_and_changes_are_read_once() {
        let cell = |text: &str| format!("<w:tc><w:tcPr/><w:p><w:r><w:t>{text}</w:t></w:r></w:p></w:tc>");
        let body = format!(
            "<w:tbl><w:tr>{}{}</w:tr><w:tr>{}{}</w:tr></w:tbl>\
             <w:p><w:del><w:r><w:delText>old</w:delText><w:t>old</w:t></w:r></w:del><w:ins><w:r><w:t>new</w:t></w:r></w:ins>\
             <mc:AlternateContent><mc:Choice><w:r><w:t> box</w:t></w:r></mc:Choice><mc:Fallback><w:r><w:t> box</w:t></w:r></mc:Fallback></mc:AlternateContent></w:p>",
            cell("a"),
            cell("b"),
            cell("c"),
            cell("d")
        );
        assert_eq!(sections(&docx(&body)), [(String::new(), "a b\nc d\nnew box".to_owned())]);
    }

    #[test]
    fn notes_and_documents_at_other_places_are_found() {
        let relations = r#"<Relationships><Relationship Id="1" Type="http://x/officeDocument" Target="/w/main.xml"/></Relationships>"#;
        let text = |text: &str| format!("<d xmlns:w=\"w\"><w:p><w:r><w:t>{text}</w:t></w:r></w:p></d>");
        let bytes =
            archive(&[("_rels/.rels", relations), ("w/main.xml", &text("body")), ("w/footnotes.xml", &text("note"))]);
        assert_eq!(sections(&bytes), [(String::new(), "body\nnote".to_owned())]);
    }

    #[test]
    fn what_is_no_word_file_is_refused_with_a_way_out() {
        let bomb = docx(&"<w:p><w:r><w:t>oil</w:t></w:r></w:p>".repeat(100_000));
        assert!(bomb.len() < 100_000);
        let deep = docx(&"<w:ins>".repeat(20_000));
        for (bytes, part) in [
            (Vec::new(), "empty"),
            (b"PK\x03\x04 not".to_vec(), "not a readable Word file"),
            (vec![0xd0, 0xcf, 0x11, 0xe0, 0], "password"),
            (archive(&[("other.xml", "<a/>")]), "no document"),
            (archive(&[(USUAL, "<w:p><w:t>x</w:")]), "damaged"),
            (bomb, "unpacks to more than"),
            (deep, "nested"),
        ] {
            let error = read_within(&*bytes, "b/a.docx", 1 << 20).err().unwrap().to_string();
            assert!(error.contains("b/a.docx") && error.contains(part), "{part}: {error}");
        }
    }

    proptest! {
        #[test]
        fn damage_is_an_error_or_a_text_and_never_a_panic(at in any::<prop::sample::Index>(), bit in 0u8..8, cut in any::<prop::sample::Index>(), shorten in any::<bool>()) {
            let mut bytes = docx(&[paragraph("Mine", "Oil"), paragraph("Normal", "The price rose.")].concat());
            let place = at.index(bytes.len());
            bytes[place] ^= 1 << bit;
            if shorten {
                bytes.truncate(cut.index(bytes.len()));
            }
            let _ = read(&*bytes, "a.docx");
        }
    }
}
