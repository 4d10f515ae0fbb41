//! CMaps: from a glyph's code to letters (`ToUnicode`), or to the number of a glyph in a font.

use std::collections::HashMap;

/// Codes that one range may list one by one. A longer list is no font's.
const MOST_LISTED: u32 = 1 << 16;
/// Entries of all kinds.
const MOST_ENTRIES: usize = 1 << 20;

/// A CMap. Codes are told apart by their value alone: files disagree about the length of the same code.
#[derive(Debug, Default)]
pub(super) struct CMap {
    /// Lowest and highest code of a length in bytes; each byte has bounds of its own.
    spaces: Vec<(u32, u32, usize)>,
    chars: HashMap<u32, String>,
    /// First code, last code, what the first stands for in UTF-16.
    ranges: Vec<(u32, u32, Vec<u16>)>,
    /// First code, last code, number of the first glyph.
    glyphs: Vec<(u32, u32, u32)>,
    /// Whether it writes from top to bottom.
    pub(super) vertical: bool,
}

enum Token<'a> {
    Hex(u32, usize, Vec<u16>),
    Number(u32),
    Word(&'a [u8]),
    Open,
    Close,
}

impl CMap {
    /// Reads what is there and passes over the rest.
    pub(super) fn parse(bytes: &[u8]) -> Self {
        let mut map = Self::default();
        let mut tokens = Tokens { bytes, at: 0 };
        while let Some(token) = tokens.next() {
            if map.chars.len() + map.ranges.len() + map.glyphs.len() > MOST_ENTRIES {
                break;
            }
            match token {
                Token::Word(b"begincodespacerange") => map.spaces(&mut tokens),
                Token::Word(b"beginbfchar") => map.bf_chars(&mut tokens),
                Token::Word(b"beginbfrange") => map.bf_ranges(&mut tokens),
                Token::Word(b"begincidrange") => map.cid_ranges(&mut tokens),
                Token::Word(b"begincidchar") => map.cid_chars(&mut tokens),
                Token::Word(b"/WMode") => {
                    if let Some(Token::Number(n)) = tokens.next() {
                        map.vertical = n == 1;
                    }
                }
                _ => {}
            }
        }
        map.ranges.sort_by_key(|range| range.0);
        map.glyphs.sort_unstable();
        map
    }

    /// What a code stands for; `None` when the map does not say.
    pub(super) fn letters(&self, code: u32) -> Option<String> {
        if let Some(text) = self.chars.get(&code) {
            return Some(text.clone());
        }
        let at = self.ranges.partition_point(|range| range.0 <= code).checked_sub(1)?;
        let (first, last, start) = self.ranges.get(at)?;
        if code > *last {
            return None;
        }
        let mut units = start.clone();
        let unit = units.last_mut()?;
        *unit = unit.wrapping_add((code - first) as u16);
        Some(utf16(&units))
    }

    /// The number of a code's glyph.
    pub(super) fn glyph(&self, code: u32) -> Option<u32> {
        let at = self.glyphs.partition_point(|range| range.0 <= code).checked_sub(1)?;
        let (first, last, start) = *self.glyphs.get(at)?;
        (code <= last).then(|| start.wrapping_add(code - first))
    }

    /// Whether the map says how long codes are.
    pub(super) fn has_spaces(&self) -> bool {
        !self.spaces.is_empty()
    }

    /// The code at the start of a string, and its length in bytes, which is at least 1.
    pub(super) fn code(&self, bytes: &[u8]) -> (u32, usize) {
        let mut code = 0;
        for (at, &byte) in bytes.iter().take(4).enumerate() {
            code = code << 8 | u32::from(byte);
            let inside = |&(low, high, length): &(u32, u32, usize)| {
                length == at + 1
                    && (0..length).all(|n| {
                        let part = |word: u32| word >> (8 * n) & 0xff;
                        (part(low)..=part(high)).contains(&part(code))
                    })
            };
            if self.spaces.iter().any(inside) {
                return (code, at + 1);
            }
        }
        let shortest = self.spaces.iter().map(|space| space.2).min().unwrap_or(1).clamp(1, bytes.len().max(1));
        (bytes.iter().take(shortest).fold(0, |code, &byte| code << 8 | u32::from(byte)), shortest)
    }

    fn spaces(&mut self, tokens: &mut Tokens<'_>) {
        while let (Some(Token::Hex(low, length, _)), Some(Token::Hex(high, ..))) = (tokens.next(), tokens.next()) {
            self.spaces.push((low, high, length));
            if self.spaces.len() >= 256 || tokens.ends() {
                return;
            }
        }
    }

    fn bf_chars(&mut self, tokens: &mut Tokens<'_>) {
        while let Some(Token::Hex(code, ..)) = tokens.next() {
            match tokens.next() {
                Some(Token::Hex(_, _, units)) => {
                    self.chars.insert(code, utf16(&units));
                }
                Some(Token::Word(b"endbfchar")) | None => return,
                _ => {}
            }
            if self.chars.len() > MOST_ENTRIES {
                return;
            }
        }
    }

    fn bf_ranges(&mut self, tokens: &mut Tokens<'_>) {
        while let (Some(Token::Hex(first, ..)), Some(Token::Hex(last, ..))) = (tokens.next(), tokens.next()) {
            match tokens.next() {
                Some(Token::Hex(_, _, units)) => self.ranges.push((first, last, units)),
                Some(Token::Open) => {
                    let mut code = first;
                    while let Some(Token::Hex(_, _, units)) = tokens.next() {
                        if code <= last && code - first < MOST_LISTED {
                            self.chars.insert(code, utf16(&units));
                        }
                        code = code.saturating_add(1);
                    }
                }
                _ => return,
            }
            if self.ranges.len() > MOST_ENTRIES || tokens.ends() {
                return;
            }
        }
    }

    fn cid_ranges(&mut self, tokens: &mut Tokens<'_>) {
        while let (Some(Token::Hex(first, ..)), Some(Token::Hex(last, ..)), Some(Token::Number(glyph))) =
            (tokens.next(), tokens.next(), tokens.next())
        {
            self.glyphs.push((first, last, glyph));
            if self.glyphs.len() > MOST_ENTRIES || tokens.ends() {
                return;
            }
        }
    }

    fn cid_chars(&mut self, tokens: &mut Tokens<'_>) {
        while let (Some(Token::Hex(code, ..)), Some(Token::Number(glyph))) = (tokens.next(), tokens.next()) {
            self.glyphs.push((code, code, glyph));
            if self.glyphs.len() > MOST_ENTRIES || tokens.ends() {
                return;
            }
        }
    }
}

fn utf16(units: &[u16]) -> String {
    String::from_utf16_lossy(units)
}

struct Tokens<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Tokens<'a> {
    /// Whether the section ends here: the next token starts with `end`.
    fn ends(&self) -> bool {
        self.bytes.get(self.at..).unwrap_or_default().trim_ascii_start().starts_with(b"end")
    }

    fn rest(&self) -> &'a [u8] {
        self.bytes.get(self.at..).unwrap_or_default()
    }

    /// Takes bytes as long as they fit.
    fn take(&mut self, fits: impl Fn(u8) -> bool) -> &'a [u8] {
        let rest = self.rest();
        let length = rest.iter().position(|&byte| !fits(byte)).unwrap_or(rest.len());
        self.at += length;
        &rest[..length]
    }

    fn hex(&mut self) -> Token<'a> {
        let digits: Vec<u8> = self
            .take(|byte| byte != b'>')
            .iter()
            .filter_map(|&byte| char::from(byte).to_digit(16).map(|digit| digit as u8))
            .collect();
        self.at += 1;
        // An odd digit at the end counts as if a 0 followed.
        let bytes: Vec<u8> = digits.chunks(2).map(|pair| pair[0] << 4 | pair.get(1).copied().unwrap_or(0)).collect();
        let code = bytes.iter().take(4).fold(0u32, |code, &byte| code << 8 | u32::from(byte));
        let units = match bytes.as_slice() {
            [one] => vec![u16::from(*one)],
            bytes => bytes.chunks_exact(2).map(|pair| u16::from_be_bytes([pair[0], pair[1]])).collect(),
        };
        Token::Hex(code, bytes.len(), units)
    }
}

impl<'a> Iterator for Tokens<'a> {
    type Item = Token<'a>;

    fn next(&mut self) -> Option<Token<'a>> {
        loop {
            self.take(|byte| byte.is_ascii_whitespace() || byte == 0);
            let &first = self.rest().first()?;
            match first {
                b'%' => {
                    self.take(|byte| byte != b'\n' && byte != b'\r');
                }
                b'<' if self.rest().starts_with(b"<<") => self.at += 2,
                b'>' | b'{' | b'}' => self.at += 1,
                b'<' => {
                    self.at += 1;
                    return Some(self.hex());
                }
                b'(' => {
                    self.take(|byte| byte != b')');
                    self.at += 1;
                }
                b')' => self.at += 1,
                b'[' => {
                    self.at += 1;
                    return Some(Token::Open);
                }
                b']' => {
                    self.at += 1;
                    return Some(Token::Close);
                }
                _ => {
                    let rest = self.rest();
                    self.at += 1;
                    let more = self.take(|byte| !byte.is_ascii_whitespace() && !b"<>[](){}/%\0".contains(&byte));
                    let word = &rest[..1 + more.len()];
                    let number = std::str::from_utf8(word).ok().and_then(|text| text.parse().ok());
                    return Some(number.map_or(Token::Word(word), Token::Number));
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn characters_ranges_and_lists_are_read() {
        let map = CMap::parse(
            b"/CIDInit /ProcSet findresource begin 12 dict begin begincmap /CMapName /X def\n\
              1 begincodespacerange <0000> <FFFF> endcodespacerange\n\
              2 beginbfchar <0003> <0020> <0010> <006600660069> endbfchar\n\
              2 beginbfrange <0041><0043><0061> <0050> <0051> [<0078> <D83DDE00>] endbfrange\n\
              1 beginbfrange <0100> <01FF> <4E00> endbfrange endcmap",
        );
        for (code, text) in
            [(3, " "), (0x10, "ffi"), (0x42, "b"), (0x43, "c"), (0x50, "x"), (0x51, "😀"), (0x101, "丁")]
        {
            assert_eq!(map.letters(code).as_deref(), Some(text), "{code:x}");
        }
        assert_eq!((map.letters(0x44), map.letters(0)), (None, None));
        assert_eq!(map.code(b"\x00\x41\x00"), (0x41, 2));
    }

    #[test]
    fn codes_of_mixed_length_are_told_apart() {
        let map = CMap::parse(b"2 begincodespacerange <00> <80> <8140> <9FFC> endcodespacerange 1 begincidrange <20> <7e> 231 endcidrange");
        assert_eq!(map.code(b"A\x81"), (0x41, 1));
        assert_eq!(map.code(b"\x81\x50"), (0x8150, 2));
        // Outside of every space.
        assert_eq!(map.code(b"\xff\xff"), (0xff, 1));
        assert_eq!((map.glyph(0x21), map.glyph(0x7f)), (Some(232), None));
    }

    #[test]
    fn a_range_over_everything_takes_no_memory() {
        let map = CMap::parse(b"1 beginbfrange <00000000> <FFFFFFFF> <0041> endbfrange");
        assert_eq!(map.letters(1).as_deref(), Some("B"));
        assert_eq!(map.ranges.len(), 1);
    }

    proptest! {
        #[test]
        fn nothing_brings_it_down(bytes in prop::collection::vec(any::<u8>(), 0..200), words in "(begin(bfchar|bfrange|cidrange|codespacerange)|<[0-9a-f]{0,9}>|\\[|\\]| |end|[0-9]{1,12}|/WMode ){0,40}") {
            for map in [CMap::parse(&bytes), CMap::parse(words.as_bytes())] {
                for code in [0, 1, 0x41, u32::MAX] {
                    let _ = (map.letters(code), map.glyph(code));
                }
                prop_assert!(map.code(&bytes).1 >= 1);
            }
        }
    }
}
