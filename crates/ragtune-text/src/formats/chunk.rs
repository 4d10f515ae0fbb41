//! Cuts a text at sentence borders into pieces that fit a budget of tokens.

use std::ops::Range;

use serde::{Deserialize, Serialize};
use unicode_segmentation::UnicodeSegmentation;

use crate::error::TextError;
use crate::tokenizer::Tokenizer;

/// How files are cut to passages.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ChunkConfig {
    /// Most tokens of a passage as an encoder sees it: title, text and the special tokens around them. At least 16.
    pub max_tokens: usize,
    /// Most tokens that a passage repeats from the end of the one before it, in whole sentences. At most half of
    /// `max_tokens`.
    pub overlap_tokens: usize,
}

impl Default for ChunkConfig {
    /// 256 tokens, the encoder's length for passages (SiDR), and 32 of overlap.
    fn default() -> Self {
        Self { max_tokens: 256, overlap_tokens: 32 }
    }
}

impl ChunkConfig {
    /// An error when a setting is out of its range.
    pub fn check(&self) -> Result<(), TextError> {
        let fail = |name, value: usize, hint: &str| {
            Err(TextError::Setting { name, value: value.to_string(), hint: hint.to_owned() })
        };
        if self.max_tokens < 16 {
            return fail("max_tokens", self.max_tokens, "a passage needs at least 16 tokens");
        }
        if self.overlap_tokens > self.max_tokens / 2 {
            return fail("overlap_tokens", self.overlap_tokens, "at most half of max_tokens");
        }
        Ok(())
    }
}

/// A stretch of text that is not cut further, and what it costs.
struct Unit {
    range: Range<usize>,
    cost: usize,
}

/// Cuts `text` into stretches of at most `budget` tokens each, at sentence borders; a sentence that is longer than the
/// budget is cut at words, and a word that is at characters. Stretches ascend, start and end in words, cover every
/// word, and repeat whole sentences of at most `overlap` tokens.
///
/// A single character that costs more than the budget is kept whole.
pub(super) fn chunks(
    text: &str,
    budget: usize,
    overlap: usize,
    tokenizer: &Tokenizer,
) -> Result<Vec<Range<usize>>, TextError> {
    let mut units = Vec::new();
    for (start, sentence) in text.split_sentence_bound_indices() {
        divide(text, start..start + sentence.len(), budget, tokenizer, &mut units)?;
    }
    let mut chunks = Vec::new();
    // A chunk is units[first..end]; those before `new` were in the chunk before.
    let (mut first, mut new) = (0, 0);
    while new < units.len() {
        let mut total = units[first..=new].iter().map(|unit| unit.cost).sum::<usize>();
        while first < new && total > budget {
            total -= units[first].cost;
            first += 1;
        }
        let mut end = new + 1;
        while end < units.len() && total + units[end].cost <= budget {
            total += units[end].cost;
            end += 1;
        }
        // Tokens may differ where sentences meet, so the whole is counted too.
        let range = |first: usize, end: usize| units[first].range.start..units[end - 1].range.end;
        while end - first > 1 && cost(&text[range(first, end)], tokenizer)? > budget {
            if end > new + 1 { end -= 1 } else { first += 1 }
        }
        chunks.push(range(first, end));
        let (mut back, mut repeated) = (end, 0);
        while back > first + 1 && repeated + units[back - 1].cost <= overlap {
            back -= 1;
            repeated += units[back].cost;
        }
        (first, new) = (back, end);
    }
    Ok(chunks)
}

/// Adds a stretch as one unit when it fits, else its halves.
fn divide(
    text: &str,
    range: Range<usize>,
    budget: usize,
    tokenizer: &Tokenizer,
    units: &mut Vec<Unit>,
) -> Result<(), TextError> {
    let range = trim(text, range);
    let part = &text[range.clone()];
    if part.is_empty() {
        return Ok(());
    }
    // What its bytes alone make too long is cut before it is tokenised: a file may be one endless sentence.
    let cost = if part.len() / 32 > budget { part.len() / 32 } else { cost(part, tokenizer)? };
    match if cost > budget { middle(part) } else { None } {
        None => units.push(Unit { range, cost }),
        Some(at) => {
            divide(text, range.start..range.start + at, budget, tokenizer, units)?;
            divide(text, range.start + at..range.end, budget, tokenizer, units)?;
        }
    }
    Ok(())
}

/// Tokens of a text; never fewer than a 32nd of its bytes, because a tokenizer may read an endless word as one unknown
/// token.
fn cost(text: &str, tokenizer: &Tokenizer) -> Result<usize, TextError> {
    Ok(tokenizer.ids(text)?.len().max(text.len() / 32))
}

fn trim(text: &str, range: Range<usize>) -> Range<usize> {
    let part = &text[range.clone()];
    let start = range.start + part.len() - part.trim_start().len();
    start..start + part.trim().len()
}

/// Where to cut a text in two: at the border nearest to its middle, between words if there is one, else between the
/// words of scripts without spaces, else between characters. `None` for a single character.
fn middle(text: &str) -> Option<usize> {
    let half = text.len() / 2;
    let nearest = |borders: &mut dyn Iterator<Item = usize>| {
        borders.filter(|&at| at > 0 && at < text.len()).min_by_key(|at| at.abs_diff(half))
    };
    let spaces = nearest(&mut text.char_indices().filter(|(_, c)| c.is_whitespace()).map(|(at, _)| at));
    // A space far from the middle would leave a scrap and the same long rest.
    let spaces = spaces.filter(|at| at.abs_diff(half) <= text.len() / 4);
    let words = || nearest(&mut text.split_word_bound_indices().map(|(at, _)| at));
    let characters = || nearest(&mut text.char_indices().map(|(at, _)| at));
    spaces.or_else(words).or_else(characters)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::testing;

    fn cut(text: &str, budget: usize, overlap: usize) -> Vec<&str> {
        chunks(text, budget, overlap, &testing::bert()).unwrap().into_iter().map(|range| &text[range]).collect()
    }

    #[test]
    fn sentences_stay_whole() {
        let text = "The oil rose. The price rose. The crisis rose.";
        assert_eq!(cut(text, 8, 0), ["The oil rose. The price rose.", "The crisis rose."]);
        assert_eq!(cut(text, 8, 4), ["The oil rose. The price rose.", "The price rose. The crisis rose."]);
        assert_eq!(cut(text, 4, 4), ["The oil rose.", "The price rose.", "The crisis rose."]);
    }

    #[test]
    fn a_long_sentence_is_cut_at_words_and_a_long_word_at_characters() {
        let text = "oil price oil price oil price";
        assert!(cut(text, 4, 0).iter().all(|part| part.split(' ').all(|word| word == "oil" || word == "price")));
        assert_eq!(cut("zzzzzz", 3, 0), ["zzz", "zzz"]);
        let endless = "x".repeat(10_000);
        assert!(cut(&endless, 20, 0).iter().all(|part| part.len() <= 20 * 33));
        assert_eq!(cut("", 3, 0), Vec::<&str>::new());
    }

    #[test]
    fn settings_out_of_range_are_named() {
        let error = ChunkConfig { max_tokens: 3, overlap_tokens: 0 }.check().unwrap_err().to_string();
        assert!(error.contains("max_tokens = 3"), "{error}");
        assert!(ChunkConfig { max_tokens: 64, overlap_tokens: 33 }.check().is_err());
        assert!(ChunkConfig::default().check().is_ok());
    }

    proptest! {
        #[test]
        fn chunks_fit_the_budget_and_cover_every_word(
            text in "([a-z]{1,6}[ .\\n]{1,2}|the |oil|\\. |石油|é){0,60}", budget in 4usize..30, overlap in 0usize..8
        ) {
            let tokenizer = testing::bert();
            let chunks = chunks(&text, budget, overlap, &tokenizer).unwrap();
            let mut covered = 0;
            for (n, chunk) in chunks.iter().enumerate() {
                prop_assert!(tokenizer.ids(&text[chunk.clone()]).unwrap().len() <= budget);
                prop_assert!(text[covered..chunk.start.max(covered)].trim().is_empty());
                prop_assert!(chunk.end > covered, "a chunk adds nothing");
                if n > 0 && chunk.start < covered {
                    prop_assert!(tokenizer.ids(&text[chunk.start..covered]).unwrap().len() <= overlap);
                }
                covered = chunk.end;
            }
            prop_assert!(text[covered..].trim().is_empty());
        }
    }
}
