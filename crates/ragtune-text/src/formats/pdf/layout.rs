//! Glyphs, in the order in which a page shows them, to words, lines and paragraphs.
//!
//! That order is nearly always the order of reading, in columns too, where sorting by place would mix the columns. The
//! place of a glyph against the pen's says whether it goes on with the word, begins another, or another line.

use std::collections::BTreeMap;

/// A gap of so much of the type's size is a space. Kerning stays below, justified text above.
const WORD_GAP: f64 = 0.15;
/// Going back by so much of the size begins something else.
const BACK: f64 = 0.7;
/// A baseline that moves by less of the size is the same line, with an index or an exponent.
const SAME_LINE: f64 = 0.5;
/// Lines that are further apart than the ones before by this factor are paragraphs.
const LOOSE: f64 = 1.3;
/// The distance of lines, in sizes, when none was seen before.
const WIDE: f64 = 1.9;
/// Type that changes by this factor from line to line begins a paragraph.
const OTHER_SIZE: f64 = 1.15;

/// A paragraph, or what looks like one.
#[derive(Debug, PartialEq)]
pub(super) struct Block {
    pub(super) text: String,
    /// Size of most of its letters, in units of the page.
    pub(super) size: f64,
}

/// What stands between the pen and the next glyph.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
enum Gap {
    #[default]
    None,
    Space,
    Line,
    Paragraph,
}

struct Pen {
    at: (f64, f64),
    along: (f64, f64),
    /// Size of the largest type on the line.
    size: f64,
    /// A place on the line's baseline.
    line: (f64, f64),
}

/// Collects the text of a page.
#[derive(Default)]
pub(super) struct Layout {
    blocks: Vec<Block>,
    text: String,
    /// Letters by size, in quarters of a unit.
    sizes: BTreeMap<i64, usize>,
    gap: Gap,
    pen: Option<Pen>,
    /// Distance of the last two lines of a paragraph.
    leading: Option<f64>,
    /// The distance at hand, should the glyph turn out to begin a line.
    step: Option<f64>,
    /// Glyphs with letters.
    pub(super) letters: u64,
    /// Glyphs of which nobody says what they are.
    pub(super) unknown: u64,
}

impl Layout {
    /// The next glyph: its letters if they are known, where it starts and where the pen is after it, the direction of
    /// its line (of length 1), its size.
    pub(super) fn glyph(
        &mut self,
        letters: Option<&str>,
        start: (f64, f64),
        end: (f64, f64),
        along: (f64, f64),
        size: f64,
    ) {
        let Some(letters) = letters else {
            self.unknown += 1;
            return;
        };
        let blank = letters.chars().all(|c| c.is_whitespace() || is_nothing(c));
        let (gap, same_line) = self.between(start, along, size);
        if !blank {
            self.gap = self.gap.max(gap);
            self.letters += 1;
        }
        for c in letters.chars() {
            self.push(c, size);
        }
        match &mut self.pen {
            // A space alone neither begins a line nor makes it large.
            Some(pen) if blank => {
                if same_line {
                    pen.at = end;
                }
            }
            Some(pen) if same_line => {
                pen.at = end;
                pen.size = pen.size.max(size);
            }
            pen => *pen = Some(Pen { at: end, along, size, line: start }),
        }
        if !blank && !same_line {
            self.leading = self.step.take();
        }
    }

    /// What lies between the pen and a glyph, and whether they are on one line.
    fn between(&mut self, start: (f64, f64), along: (f64, f64), size: f64) -> (Gap, bool) {
        self.step = None;
        let Some(pen) = &self.pen else { return (Gap::None, false) };
        if pen.along.0 * along.0 + pen.along.1 * along.1 < 0.9 {
            return (Gap::Paragraph, false);
        }
        let em = pen.size.max(size);
        let part = |from: (f64, f64)| (start.0 - from.0, start.1 - from.1);
        let forward = |d: (f64, f64)| d.0 * along.0 + d.1 * along.1;
        let down = |d: (f64, f64)| d.0 * along.1 - d.1 * along.0;
        let gap = forward(part(pen.at));
        // Against the baseline of the line, not of an index on it.
        let step = down(part(pen.line));
        if step.abs() <= SAME_LINE * em {
            let space = gap > WORD_GAP * size.min(pen.size).max(0.5 * em) || gap < -BACK * em;
            return (if space { Gap::Space } else { Gap::None }, true);
        }
        if step.abs() <= em && gap > -0.3 * em && gap < em {
            // Above or below its neighbour, as in a fraction.
            return (Gap::Space, true);
        }
        let other = size > OTHER_SIZE * pen.size || pen.size > OTHER_SIZE * size;
        if step < 0.0 || other {
            // To another column, or other type.
            return (Gap::Paragraph, false);
        }
        match self.leading {
            Some(usual) if step > LOOSE * usual => {
                self.step = Some(usual);
                (Gap::Paragraph, false)
            }
            None if step > WIDE * em => (Gap::Paragraph, false),
            _ => {
                self.step = Some(step);
                (Gap::Line, false)
            }
        }
    }

    fn push(&mut self, c: char, size: f64) {
        let c = match c {
            // A soft hyphen that is shown is a hyphen.
            '\u{ad}' | '\u{2010}' | '\u{2011}' => '-',
            c if c.is_whitespace() => {
                self.gap = self.gap.max(Gap::Space);
                return;
            }
            c if is_nothing(c) => return,
            c => c,
        };
        self.close_gap(c);
        match ligature(c) {
            Some(letters) => self.text.push_str(letters),
            None => self.text.push(c),
        }
        *self.sizes.entry((size * 4.0).round().clamp(0.0, 1e9) as i64).or_default() += 1;
    }

    /// Writes what stands before the next letter.
    fn close_gap(&mut self, next: char) {
        let gap = std::mem::take(&mut self.gap);
        if self.text.is_empty() || gap == Gap::None {
            return;
        }
        let mut end = self.text.chars().rev();
        let (last, before) = (end.next().unwrap_or(' '), end.next().unwrap_or(' '));
        if gap >= Gap::Line && last == '-' && before.is_alphabetic() && next.is_lowercase() {
            // A word that was divided at the end of a line.
            self.text.pop();
        } else if gap == Gap::Paragraph {
            self.end_block();
        } else if !(gap == Gap::Line && is_cjk(last) && is_cjk(next)) {
            self.text.push(' ');
        }
    }

    fn end_block(&mut self) {
        let size = self.sizes.iter().max_by_key(|(_, count)| **count).map_or(0, |(size, _)| *size);
        let text = std::mem::take(&mut self.text);
        self.sizes.clear();
        if !text.is_empty() {
            self.blocks.push(Block { text, size: size as f64 / 4.0 });
        }
    }

    /// The paragraphs of the page.
    pub(super) fn finish(mut self) -> Vec<Block> {
        self.end_block();
        self.blocks
    }
}

/// Characters that are no text: control characters, unknown ones, and private ones, which are a font's own pictures.
fn is_nothing(c: char) -> bool {
    c.is_control() && !c.is_whitespace()
        || matches!(c, '\u{fffd}' | '\u{feff}' | '\u{200b}' | '\u{e000}'..='\u{f8ff}' | '\u{f0000}'..)
}

/// The letters of a ligature: nobody searches for `ﬁ`.
fn ligature(c: char) -> Option<&'static str> {
    Some(match c {
        '\u{fb00}' => "ff",
        '\u{fb01}' => "fi",
        '\u{fb02}' => "fl",
        '\u{fb03}' => "ffi",
        '\u{fb04}' => "ffl",
        '\u{fb05}' | '\u{fb06}' => "st",
        _ => return None,
    })
}

/// Whether a line may end after this character without a space being meant.
fn is_cjk(c: char) -> bool {
    matches!(c, '\u{3000}'..='\u{30ff}' | '\u{3400}'..='\u{4dbf}' | '\u{4e00}'..='\u{9fff}' | '\u{f900}'..='\u{faff}' | '\u{ff00}'..='\u{ffef}' | '\u{20000}'..='\u{2ffff}')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Shows words, each glyph half as wide as its size.
    fn show(layout: &mut Layout, text: &str, (mut x, y): (f64, f64), size: f64) {
        for c in text.chars() {
            let end = x + size / 2.0;
            layout.glyph(Some(&c.to_string()), (x, y), (end, y), (1.0, 0.0), size);
            x = end;
        }
    }

    fn laid(pieces: &[(&str, f64, f64, f64)]) -> Vec<String> {
        let mut layout = Layout::default();
        for &(text, x, y, size) in pieces {
            show(&mut layout, text, (x, y), size);
        }
        layout.finish().into_iter().map(|block| block.text).collect()
    }

    #[test]
    fn a_move_of_the_pen_is_a_space_and_kerning_is_not() {
        assert_eq!(laid(&[("oil", 0.0, 0.0, 10.0), ("price", 18.0, 0.0, 10.0)]), ["oil price"]);
        assert_eq!(laid(&[("oil", 0.0, 0.0, 10.0), ("s", 15.5, 0.0, 10.0)]), ["oils"]);
        assert_eq!(laid(&[("A", 0.0, 0.0, 10.0), ("V", 4.0, 0.0, 10.0)]), ["AV"]);
    }

    #[test]
    fn lines_join_and_paragraphs_do_not() {
        let lines = [("the oil", 0.0, 100.0, 10.0), ("price rose.", 0.0, 88.0, 10.0), ("Then", 0.0, 60.0, 10.0)];
        assert_eq!(laid(&lines), ["the oil price rose.", "Then"]);
        let heading = [("Oil", 0.0, 100.0, 18.0), ("the price", 0.0, 80.0, 10.0)];
        assert_eq!(laid(&heading), ["Oil", "the price"]);
    }

    #[test]
    fn divided_words_are_made_whole_also_over_columns() {
        assert_eq!(laid(&[("embar-", 0.0, 100.0, 10.0), ("go in", 0.0, 88.0, 10.0)]), ["embargo in"]);
        assert_eq!(laid(&[("embar-", 0.0, 0.0, 10.0), ("go in", 300.0, 500.0, 10.0)]), ["embargo in"]);
        assert_eq!(laid(&[("oil-", 0.0, 100.0, 10.0), ("Price", 0.0, 88.0, 10.0)]), ["oil- Price"]);
        assert_eq!(laid(&[("1973-", 0.0, 100.0, 10.0), ("and", 0.0, 88.0, 10.0)]), ["1973- and"]);
    }

    #[test]
    fn exponents_stay_on_their_line_and_columns_stay_apart() {
        let line = [("E = mc", 0.0, 100.0, 10.0), ("2", 30.0, 104.0, 7.0), ("holds", 40.0, 100.0, 10.0)];
        assert_eq!(laid(&line), ["E = mc2 holds"]);
        let columns = [("left one", 0.0, 100.0, 10.0), ("left two", 0.0, 88.0, 10.0), ("right", 300.0, 100.0, 10.0)];
        assert_eq!(laid(&columns), ["left one left two", "right"]);
    }

    #[test]
    fn ligatures_become_letters_and_pictures_nothing() {
        assert_eq!(laid(&[("e\u{fb03}cient \u{f0b7}\u{0}", 0.0, 0.0, 10.0)]), ["efficient"]);
        assert_eq!(laid(&[("石油", 0.0, 100.0, 10.0), ("危機", 0.0, 88.0, 10.0)]), ["石油危機"]);
    }

    #[test]
    fn text_that_runs_upwards_has_words_and_lines_too() {
        let mut layout = Layout::default();
        for (line, x) in [("the oil", 100.0), ("price", 112.0)] {
            let mut y = 0.0;
            for c in line.chars() {
                layout.glyph(Some(&c.to_string()), (x, y), (x, y + 5.0), (0.0, 1.0), 10.0);
                y += 5.0;
            }
        }
        assert_eq!(layout.finish()[0].text, "the oil price");
    }

    proptest! {
        #[test]
        fn no_letter_is_lost_wherever_it_stands(
            glyphs in prop::collection::vec(("[a-z-]", prop::num::f64::ANY, -50f64..50.0, 0f64..30.0), 0..60)
        ) {
            let mut layout = Layout::default();
            for (c, x, y, size) in &glyphs {
                layout.glyph(Some(c), (*x, *y), (x + size, *y), (1.0, 0.0), *size);
            }
            let text: String = layout.finish().into_iter().map(|block| block.text).collect();
            let letters = |text: &str| text.chars().filter(char::is_ascii_lowercase).collect::<String>();
            prop_assert_eq!(letters(&text), letters(&glyphs.iter().map(|glyph| glyph.0.as_str()).collect::<String>()));
        }
    }
}
