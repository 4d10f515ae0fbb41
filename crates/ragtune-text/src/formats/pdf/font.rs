//! Fonts: which letters a code stands for, and how far its glyph moves the pen.

use std::collections::HashMap;
use std::rc::Rc;

use lopdf::{Dictionary, Document, Object, ObjectId, Stream};

use super::cmap::CMap;
use super::encodings;

/// Bytes that a font's map or program may unpack to.
const MOST_STREAM: usize = 16 << 20;
/// Codes whose width a font may list one by one.
const MOST_WIDTHS: usize = 1 << 17;

/// Widths of Helvetica from the space to `~`, in thousandths of the size. Files need not bring the widths of the standard
/// fonts; near enough for their bold and slanted forms too.
#[rustfmt::skip]
const HELVETICA: [u16; 95] = [
    278, 278, 355, 556, 556, 889, 667, 191, 333, 333, 389, 584, 278, 333, 278, 278, 556, 556, 556, 556, 556, 556, 556, 556,
    556, 556, 278, 278, 584, 584, 584, 556, 1015, 667, 667, 722, 722, 667, 611, 778, 722, 278, 500, 667, 556, 833, 722, 778,
    667, 778, 722, 667, 611, 722, 667, 944, 667, 667, 611, 278, 278, 278, 469, 556, 333, 556, 556, 500, 556, 556, 278, 556,
    556, 222, 222, 500, 222, 833, 556, 556, 556, 556, 333, 500, 278, 556, 500, 722, 500, 500, 500, 334, 260, 334, 584,
];
/// Those of Times.
#[rustfmt::skip]
const TIMES: [u16; 95] = [
    250, 333, 408, 500, 500, 833, 778, 180, 333, 333, 500, 564, 250, 333, 250, 278, 500, 500, 500, 500, 500, 500, 500, 500,
    500, 500, 278, 278, 564, 564, 564, 444, 921, 722, 667, 667, 722, 611, 556, 722, 722, 333, 389, 722, 611, 889, 722, 722,
    556, 722, 667, 556, 611, 722, 722, 944, 722, 722, 611, 333, 278, 333, 469, 500, 333, 444, 500, 444, 500, 444, 333, 500,
    500, 278, 278, 500, 278, 778, 500, 500, 500, 500, 333, 389, 278, 500, 500, 722, 500, 500, 444, 480, 200, 480, 541,
];

/// The fonts of a file that were met so far.
#[derive(Default)]
pub(super) struct Fonts {
    known: HashMap<ObjectId, Rc<Font>>,
    /// Letters of a glyph's name, as looked up.
    names: HashMap<Vec<u8>, Option<String>>,
}

impl Fonts {
    /// The font that an entry of a page's resources leads to.
    pub(super) fn get(&mut self, object: &Object, document: &Document) -> Option<Rc<Font>> {
        let (id, object) = document.dereference(object).ok()?;
        if let Some(known) = id.and_then(|id| self.known.get(&id)) {
            return Some(known.clone());
        }
        let font = Rc::new(Font::read(object.as_dict().ok()?, document, self));
        if let Some(id) = id {
            self.known.insert(id, font.clone());
        }
        Some(font)
    }

    /// The letters of a glyph's name.
    fn letters(&mut self, name: &[u8]) -> Option<String> {
        if let Some(known) = self.names.get(name) {
            return known.clone();
        }
        let letters = letters_of_name(name);
        self.names.insert(name.to_owned(), letters.clone());
        letters
    }
}

/// How codes of more than one byte become letters without a `ToUnicode`.
#[derive(PartialEq)]
enum Direct {
    No,
    /// The code is the letter.
    Unicode,
}

/// A font, as far as its text is concerned.
pub(super) struct Font {
    /// Codes may have several bytes.
    composite: bool,
    /// How a string divides into codes, of a composite font with a map of its own.
    codes: Option<CMap>,
    to_unicode: Option<CMap>,
    direct: Direct,
    /// Letters of single bytes.
    table: Vec<Option<String>>,
    /// Its glyphs are pictures or signs: nothing is missing when they have no letters.
    symbols: bool,
    widths: HashMap<u32, f64>,
    standard: Option<&'static [u16; 95]>,
    default_width: f64,
    /// It writes from top to bottom.
    pub(super) vertical: bool,
}

/// One code of a string.
pub(super) struct Glyph {
    /// Letters; `None` when nobody says which.
    pub(super) letters: Option<String>,
    /// Part of the font's size by which the pen moves.
    pub(super) width: f64,
    /// The single byte 32, which word spacing widens.
    pub(super) is_space: bool,
}

impl Font {
    fn read(font: &Dictionary, document: &Document, fonts: &mut Fonts) -> Self {
        let name = |key: &[u8]| font.get_deref(key, document).and_then(Object::as_name).unwrap_or_default();
        let subtype = name(b"Subtype");
        let base = name(b"BaseFont");
        let base = base.iter().position(|&byte| byte == b'+').map_or(base, |at| &base[at + 1..]);
        let mut read = Self {
            composite: subtype == b"Type0",
            codes: None,
            to_unicode: stream(font, b"ToUnicode", document).map(|bytes| CMap::parse(&bytes)),
            direct: Direct::No,
            table: Vec::new(),
            symbols: base.starts_with(b"Symbol") || base.starts_with(b"ZapfDingbats") || base.starts_with(b"Wingdings"),
            widths: HashMap::new(),
            standard: None,
            default_width: 0.0,
            vertical: false,
        };
        if read.composite {
            read.composite(font, document)
        } else {
            read.simple(font, subtype, base, document, fonts)
        }
        read
    }

    fn composite(&mut self, font: &Dictionary, document: &Document) {
        match font.get_deref(b"Encoding", document) {
            Ok(Object::Name(name)) => {
                self.vertical = name.ends_with(b"-V");
                let has = |part: &[u8]| name.windows(part.len()).any(|window| window == part);
                if has(b"UCS2") || has(b"UTF16") {
                    self.direct = Direct::Unicode;
                }
            }
            Ok(Object::Stream(map)) => {
                let map = plain(map).map(|bytes| CMap::parse(&bytes)).unwrap_or_default();
                self.vertical = map.vertical;
                self.codes = map.has_spaces().then_some(map);
            }
            _ => {}
        }
        let descendants = font.get_deref(b"DescendantFonts", document).and_then(Object::as_array);
        let descendant = descendants.ok().and_then(|list| list.first()).and_then(|first| dictionary(first, document));
        self.default_width = 1.0;
        let Some(descendant) = descendant else { return };
        if let Some(width) = number(descendant, b"DW", document) {
            self.default_width = width / 1000.0;
        }
        let Ok(list) = descendant.get_deref(b"W", document).and_then(Object::as_array) else { return };
        let float = |object: Option<&Object>| number_of(object?, document);
        let mut at = 0;
        while let Some(first) = float(list.get(at)) {
            let first = first.max(0.0) as u32;
            let next = list.get(at + 1).and_then(|object| document.dereference(object).ok());
            if let Some((_, Object::Array(widths))) = next {
                for (code, width) in (first..).zip(widths) {
                    self.width(code, number_of(width, document).unwrap_or(0.0));
                }
                at += 2;
            } else if let (Some(last), Some(width)) = (float(list.get(at + 1)), float(list.get(at + 2))) {
                for code in first..=(last.max(0.0) as u32) {
                    if !self.width(code, width) {
                        break;
                    }
                }
                at += 3;
            } else {
                return;
            }
        }
    }

    /// Remembers a width in thousandths; false when there are too many.
    fn width(&mut self, code: u32, width: f64) -> bool {
        if self.widths.len() < MOST_WIDTHS {
            self.widths.insert(code, width / 1000.0);
        }
        self.widths.len() < MOST_WIDTHS
    }

    fn simple(&mut self, font: &Dictionary, subtype: &[u8], base: &[u8], document: &Document, fonts: &mut Fonts) {
        let descriptor = font.get(b"FontDescriptor").ok().and_then(|object| dictionary(object, document));
        // In a Type 3 font, widths are in units of its own.
        let unit = match font.get_deref(b"FontMatrix", document).and_then(Object::as_array) {
            Ok(matrix) if subtype == b"Type3" => {
                matrix.first().and_then(|a| number_of(a, document)).unwrap_or(0.001).abs() * 1000.0
            }
            _ => 1.0,
        };
        let first = number(font, b"FirstChar", document).unwrap_or(0.0).clamp(0.0, 255.0) as u32;
        if let Ok(widths) = font.get_deref(b"Widths", document).and_then(Object::as_array) {
            for (code, width) in (first..256).zip(widths) {
                self.width(code, number_of(width, document).unwrap_or(0.0) * unit);
            }
        }
        let missing = descriptor.and_then(|descriptor| number(descriptor, b"MissingWidth", document));
        self.default_width = missing.unwrap_or(if self.widths.is_empty() { 500.0 } else { 0.0 }) / 1000.0;
        if self.widths.is_empty() && missing.is_none() {
            let has = |part: &[u8]| base.windows(part.len()).any(|window| window == part);
            self.standard = match base {
                _ if has(b"Courier") => None,
                _ if has(b"Times") => Some(&TIMES),
                _ => Some(&HELVETICA),
            };
            if has(b"Courier") {
                self.default_width = 0.6;
            }
        }
        self.encoding(font, subtype, descriptor, document, fonts);
    }

    /// What the bytes stand for: the base encoding, and the differences from it.
    fn encoding(
        &mut self,
        font: &Dictionary,
        subtype: &[u8],
        descriptor: Option<&Dictionary>,
        document: &Document,
        fonts: &mut Fonts,
    ) {
        let encoding = font.get_deref(b"Encoding", document).ok();
        let base = match encoding {
            Some(Object::Name(name)) => Some(name.as_slice()),
            Some(Object::Dictionary(given)) => {
                given.get_deref(b"BaseEncoding", document).and_then(Object::as_name).ok()
            }
            _ => None,
        };
        let differs = matches!(encoding, Some(Object::Dictionary(_)));
        self.table = match base {
            Some(base) => encodings::table(base),
            None if self.symbols => vec![None; 256],
            None if subtype == b"TrueType" && !differs => encodings::table(b"WinAnsiEncoding"),
            None => encodings::table(b"StandardEncoding"),
        };
        // A Type 1 font without a base encoding uses the one in its program, where TeX has its ligatures.
        if base.is_none()
            && let Some(program) = descriptor.and_then(|descriptor| stream(descriptor, b"FontFile", document))
        {
            for (code, name) in built_in(&program) {
                self.table[code] = fonts.letters(name);
            }
        }
        let Some(Object::Dictionary(given)) = encoding else { return };
        let Ok(list) = given.get_deref(b"Differences", document).and_then(Object::as_array) else { return };
        let mut code = 0;
        for object in list {
            match document.dereference(object) {
                Ok((_, Object::Integer(n))) => code = usize::try_from(*n).unwrap_or(usize::MAX),
                Ok((_, Object::Name(name))) => {
                    if let Some(slot) = self.table.get_mut(code) {
                        *slot = fonts.letters(name);
                    }
                    code = code.saturating_add(1);
                }
                _ => {}
            }
        }
    }

    /// Divides a string into its glyphs.
    pub(super) fn glyphs<'a>(&'a self, bytes: &'a [u8]) -> impl Iterator<Item = Glyph> + 'a {
        let mut rest = bytes;
        std::iter::from_fn(move || {
            let first = *rest.first()?;
            let (code, length) = match (&self.codes, self.composite) {
                (Some(codes), _) => codes.code(rest),
                (None, true) => (rest.iter().take(2).fold(0, |code, &byte| code << 8 | u32::from(byte)), 2),
                (None, false) => (u32::from(first), 1),
            };
            rest = rest.get(length..).unwrap_or_default();
            Some(Glyph {
                letters: self.letters(code),
                width: self.advance(code),
                is_space: length == 1 && first == b' ',
            })
        })
    }

    fn letters(&self, code: u32) -> Option<String> {
        let mapped = self.to_unicode.as_ref().and_then(|map| map.letters(code));
        // A map that leads nowhere is worth less than a name.
        let mapped = mapped.filter(|text| !text.chars().all(|c| matches!(c, '\0' | '\u{fffd}')));
        mapped
            .or_else(|| match self.composite {
                false => self.table.get(code as usize).cloned().flatten(),
                true if self.direct == Direct::Unicode => char::from_u32(code).map(String::from),
                true => None,
            })
            .or_else(|| self.symbols.then(String::new))
    }

    fn advance(&self, code: u32) -> f64 {
        let code = match &self.codes {
            Some(codes) => codes.glyph(code).unwrap_or(code),
            None => code,
        };
        if let Some(&width) = self.widths.get(&code) {
            return width;
        }
        let standard = self.standard.and_then(|widths| widths.get((code as usize).checked_sub(32)?));
        standard.map_or(self.default_width, |&width| f64::from(width) / 1000.0)
    }
}

fn dictionary<'a>(object: &'a Object, document: &'a Document) -> Option<&'a Dictionary> {
    document.dereference(object).ok()?.1.as_dict().ok()
}

fn number(dictionary: &Dictionary, key: &[u8], document: &Document) -> Option<f64> {
    number_of(dictionary.get(key).ok()?, document)
}

fn number_of(object: &Object, document: &Document) -> Option<f64> {
    document.dereference(object).ok()?.1.as_float().ok().map(f64::from)
}

fn stream(dictionary: &Dictionary, key: &[u8], document: &Document) -> Option<Vec<u8>> {
    plain(dictionary.get_deref(key, document).and_then(Object::as_stream).ok()?)
}

fn plain(stream: &Stream) -> Option<Vec<u8>> {
    stream.get_plain_content_with_limit(MOST_STREAM).ok()
}

/// `fi`, `uni00E9`, `f_f_i`, `a.alt`: the names that the Adobe Glyph List has, and those that follow its rules.
fn letters_of_name(name: &[u8]) -> Option<String> {
    let stem = name.split(|&byte| byte == b'.').next().filter(|stem| !stem.is_empty())?;
    if stem.contains(&b'_') {
        let parts: Option<Vec<String>> = stem.split(|&byte| byte == b'_').map(letters_of_name).collect();
        return parts.map(|parts| parts.concat());
    }
    let text = std::str::from_utf8(stem).ok()?;
    let hex = |digits: &str| u32::from_str_radix(digits, 16).ok().and_then(char::from_u32);
    if let Some(digits) = text.strip_prefix("uni")
        && digits.len() >= 4
        && digits.len().is_multiple_of(4)
        && digits.is_ascii()
    {
        let letters: Option<String> = (0..digits.len() / 4).map(|n| hex(&digits[4 * n..4 * n + 4])).collect();
        if letters.is_some() {
            return letters;
        }
    }
    if let Some(digits) = text.strip_prefix('u')
        && (4..=6).contains(&digits.len())
        && let Some(letter) = hex(digits)
    {
        return Some(letter.to_string());
    }
    encodings::listed(text)
}

/// The encoding in the readable part of a Type 1 font program: `dup 12 /fi put`.
fn built_in(program: &[u8]) -> Vec<(usize, &[u8])> {
    let find = |bytes: &[u8], part: &[u8]| bytes.windows(part.len()).position(|window| window == part);
    let clear = &program[..find(program, b"eexec").unwrap_or(program.len())];
    let Some(start) = find(clear, b"/Encoding") else { return Vec::new() };
    let mut words = clear[start..].split(|byte| byte.is_ascii_whitespace()).filter(|word| !word.is_empty());
    let mut found = Vec::new();
    while let Some(word) = words.next() {
        match word {
            b"def" | b"readonly" if !found.is_empty() => break,
            b"dup" => {
                let code = words.next().and_then(|word| std::str::from_utf8(word).ok()?.parse::<usize>().ok());
                let name = words.next().and_then(|word| word.strip_prefix(b"/"));
                if let (Some(code @ 0..256), Some(name)) = (code, name) {
                    found.push((code, name));
                }
            }
            _ => {}
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_glyphs_become_letters() {
        for (name, letters) in [
            ("A", Some("A")),
            ("fi", Some("\u{fb01}")),
            ("f_f_i", Some("ffi")),
            ("eacute", Some("é")),
            ("uni20AC", Some("€")),
            ("u1F600", Some("😀")),
            ("a.alt", Some("a")),
            ("union", Some("∪")),
            ("g123", None),
            (".notdef", None),
            ("unié00", None),
        ] {
            assert_eq!(letters_of_name(name.as_bytes()).as_deref(), letters, "{name}");
        }
    }

    #[test]
    fn the_encoding_inside_a_type_1_font_is_read() {
        let program = b"%!PS-AdobeFont-1.0: CMR10\n/Encoding 256 array\n0 1 255 {1 index exch /.notdef put} for\n\
            dup 12 /fi put\ndup 65 /A put\nreadonly def\ndup 66 /C put currentfile eexec dup 1 /x put";
        assert_eq!(built_in(program), [(12, &b"fi"[..]), (65, &b"A"[..])]);
        assert!(built_in(b"/Encoding StandardEncoding def").is_empty());
    }
}
