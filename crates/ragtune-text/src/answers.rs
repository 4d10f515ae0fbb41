//! Does a generation contain the answer? Normalisation as in SQuAD (Rajpurkar et al. 2016, official evaluation script).

use std::borrow::Cow;
use std::collections::HashMap;

use serde::{Deserialize, Serialize};
use unicode_normalization::{UnicodeNormalization, is_nfc};

/// How a generation is compared with the gold answers.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum MatchMode {
    /// The generation contains an answer, after [`normalise`] on both sides, at word borders.
    #[default]
    Normalised,
    /// The whole generation is an answer, after [`normalise`] on both sides.
    Exact,
    /// As `Normalised`, but with upper and lower case kept apart.
    CaseSensitive,
}

/// Gold answers, prepared once to be looked for in many texts.
#[derive(Debug, Clone)]
pub struct AnswerMatcher {
    mode: MatchMode,
    needles: Vec<Needle>,
}

#[derive(Debug, Clone)]
enum Needle {
    Normalised(String),
    /// An answer of which normalisation leaves nothing ("A", "The The", "?"): looked for as it stands.
    Verbatim(String),
}

impl AnswerMatcher {
    /// Prepares the answers; blank ones match nothing.
    pub fn new(answers: &[String], mode: MatchMode) -> Self {
        let needle = |answer: &String| {
            let normalised = prepare(answer, mode);
            let verbatim = collapse(&nfc(answer));
            if !normalised.is_empty() {
                Some(Needle::Normalised(normalised))
            } else if !verbatim.is_empty() {
                Some(Needle::Verbatim(verbatim))
            } else {
                None
            }
        };
        Self { mode, needles: answers.iter().filter_map(needle).collect() }
    }

    /// Whether any answer is in the text.
    pub fn is_in(&self, text: &str) -> bool {
        let normalised = prepare(text, self.mode);
        self.needles.iter().any(|needle| match needle {
            Needle::Normalised(answer) if self.mode == MatchMode::Exact => normalised == *answer,
            Needle::Normalised(answer) => contains_words(&normalised, answer),
            Needle::Verbatim(answer) if self.mode == MatchMode::Exact => collapse(&nfc(text)) == *answer,
            Needle::Verbatim(answer) => contains_words(&collapse(&nfc(text)), answer),
        })
    }
}

/// Lower-cases, strips ASCII punctuation, the articles a, an and the, and extra space, in SQuAD's order. Letters with
/// accents are composed first, so that both ways to write "é" are equal.
pub fn normalise(text: &str) -> String {
    strip(&nfc(text).to_lowercase())
}

/// Whether a generation contains any gold answer. At word borders: "12" is not in "1912".
pub fn contains_answer(generation: &str, answers: &[String], mode: MatchMode) -> bool {
    AnswerMatcher::new(answers, mode).is_in(generation)
}

/// Whether a generation is one of the gold answers after normalisation (SQuAD's EM).
pub fn exact_match(generation: &str, answers: &[String]) -> bool {
    contains_answer(generation, answers, MatchMode::Exact)
}

/// SQuAD's F1 over the words of generation and answer, the largest over the gold answers, in 0..=1.
pub fn f1(generation: &str, answers: &[String]) -> f64 {
    let generation = normalise(generation);
    answers.iter().map(|answer| f1_of(&generation, &normalise(answer))).fold(0.0, f64::max)
}

/// Both sides are normalised.
fn f1_of(generation: &str, answer: &str) -> f64 {
    let mut counts: HashMap<&str, usize> = HashMap::new();
    for word in answer.split(' ').filter(|word| !word.is_empty()) {
        *counts.entry(word).or_default() += 1;
    }
    let total: usize = counts.values().sum();
    let (mut words, mut shared) = (0usize, 0usize);
    for word in generation.split(' ').filter(|word| !word.is_empty()) {
        words += 1;
        if let Some(left) = counts.get_mut(word).filter(|left| **left > 0) {
            *left -= 1;
            shared += 1;
        }
    }
    // 2PR / (P + R) with P = shared / words and R = shared / total.
    if shared == 0 { 0.0 } else { 2.0 * shared as f64 / (words + total) as f64 }
}

fn prepare(text: &str, mode: MatchMode) -> String {
    if mode == MatchMode::CaseSensitive { strip(&nfc(text)) } else { normalise(text) }
}

fn nfc(text: &str) -> Cow<'_, str> {
    if is_nfc(text) { Cow::Borrowed(text) } else { Cow::Owned(text.nfc().collect()) }
}

/// Strips punctuation, then articles, then extra space.
fn strip(text: &str) -> String {
    let kept: String = text.chars().filter(|c| !c.is_ascii_punctuation()).collect();
    let mut result = String::with_capacity(kept.len());
    let mut rest = kept.as_str();
    while let Some(first) = rest.chars().next() {
        let same = |c: char| c.is_alphanumeric() == first.is_alphanumeric();
        let run = rest.find(|c: char| !same(c)).unwrap_or(rest.len());
        let (word, after) = rest.split_at(run);
        result.push_str(if is_article(word) { " " } else { word });
        rest = after;
    }
    collapse(&result)
}

fn is_article(word: &str) -> bool {
    ["a", "an", "the"].iter().any(|article| word.eq_ignore_ascii_case(article))
}

fn collapse(text: &str) -> String {
    let mut result = String::with_capacity(text.len());
    for word in text.split_whitespace() {
        if !result.is_empty() {
            result.push(' ');
        }
        result.push_str(word);
    }
    result
}

/// Whether `needle` occurs in `text` without a letter or digit going on at either end.
fn contains_words(text: &str, needle: &str) -> bool {
    let joins =
        |a: Option<char>, b: Option<char>| a.is_some_and(char::is_alphanumeric) && b.is_some_and(char::is_alphanumeric);
    let mut from = 0;
    while let Some(at) = text[from..].find(needle) {
        let (start, end) = (from + at, from + at + needle.len());
        let joined_before = joins(text[..start].chars().next_back(), needle.chars().next());
        let joined_after = joins(needle.chars().next_back(), text[end..].chars().next());
        if !joined_before && !joined_after {
            return true;
        }
        from = start + text[start..].chars().next().map_or(1, char::len_utf8);
    }
    false
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn contains(generation: &str, answer: &str) -> bool {
        contains_answer(generation, &[answer.to_owned()], MatchMode::Normalised)
    }

    #[test]
    fn normalises_as_squad_does() {
        // Expected values from SQuAD's normalize_answer.
        for (text, expected) in [
            ("The  Eiffel Tower!", "eiffel tower"),
            ("a banana, an apple and the theatre", "banana apple and theatre"),
            ("forty-two", "fortytwo"),
            ("U.S.", "us"),
            ("$12", "12"),
            ("the", ""),
            ("\tNew\u{a0}York \n", "new york"),
            ("“The Who”", "“ who”"),
            ("ÅNGSTRÖM", "ångström"),
        ] {
            assert_eq!(normalise(text), expected, "{text:?}");
        }
    }

    #[test]
    fn composed_and_decomposed_accents_are_equal() {
        assert_eq!(normalise("Cafe\u{301}"), normalise("Café"));
    }

    #[test]
    fn an_answer_is_found_at_word_borders_only() {
        assert!(!contains("It was in 1912.", "12"));
        assert!(contains("There were 12.", "12"));
        assert!(contains("It rose to nearly $12 a barrel", "nearly $12"));
        assert!(contains("I think it's the beatles", "The Beatles"));
        assert!(!contains("art history", "art his"));
        assert!(contains("from 1990\u{2013}1995", "1990"));
        assert!(contains("aa ab aab ab", "ab"));
        assert!(!contains("whatever", ""));
        assert!(!contains("", "Paris"));
    }

    #[test]
    fn an_answer_that_normalises_to_nothing_does_not_match_everything() {
        assert!(contains("The blood type is A.", "A"));
        assert!(!contains("a banana", "A"));
        assert!(!contains("Paris", "?"));
        assert!(!contains("Paris", "The The"));
        assert!(contains("a song by The The", "The The"));
    }

    #[test]
    fn modes_differ_as_they_say() {
        let answers = ["US".to_owned()];
        assert!(contains_answer("he told us", &answers, MatchMode::Normalised));
        assert!(!contains_answer("he told us", &answers, MatchMode::CaseSensitive));
        assert!(contains_answer("The U.S. did", &answers, MatchMode::CaseSensitive));
        assert!(contains_answer("the U.S.", &answers, MatchMode::Exact));
        assert!(!contains_answer("the U.S. did", &answers, MatchMode::Exact));
    }

    #[test]
    fn f1_is_squads() {
        let f1 = |generation: &str, answer: &str| super::f1(generation, &[answer.to_owned()]);
        assert_eq!(f1("the cat sat", "cat sat"), 1.0);
        assert!((f1("the cat sat down", "a cat sat") - 0.8).abs() < 1e-12);
        assert!((f1("new new york", "new york") - 0.8).abs() < 1e-12);
        assert_eq!(f1("dog", "cat"), 0.0);
        assert_eq!(super::f1("york", &["dog".to_owned(), "York".to_owned()]), 1.0);
        assert_eq!(super::f1("york", &[]), 0.0);
    }

    proptest! {
        #[test]
        fn normalising_twice_changes_nothing_for_plain_text(text in "[A-Za-z0-9 .,'-]{0,60}") {
            let once = normalise(&text);
            prop_assert_eq!(normalise(&once), once);
        }

        #[test]
        fn an_answer_between_words_is_always_found(
            before in "\\PC{0,20}", answer in "\\PC{1,20}", after in "\\PC{0,20}"
        ) {
            prop_assume!(!answer.trim().is_empty());
            let found = contains(&format!("{before} {answer} {after}"), &answer);
            prop_assert!(found);
        }

        #[test]
        fn an_answer_inside_a_longer_word_is_not(answer in "[b-z0-9]{1,8}", before in "[a-z0-9]", after in "[a-z0-9]{0,3}") {
            let generation = format!("{before}{answer}{after}");
            let found = contains(&generation, &answer);
            prop_assert!(!found);
        }

        #[test]
        fn exact_implies_contained_and_full_f1(answer in "[a-zA-Z0-9 ]{1,20}") {
            prop_assume!(!normalise(&answer).is_empty());
            let answers = [answer.clone()];
            prop_assert!(exact_match(&answer, &answers));
            prop_assert!(contains(&answer, &answer));
            prop_assert_eq!(f1(&answer, &answers), 1.0);
        }
    }
}
