//! Which option of a closed-set question a generation chooses.

use std::cmp::Reverse;

use ragtune_text::answers::{MatchMode, normalise};

/// The option that occurs first in a generation, at word borders; of two that start at the same place the longer one.
///
/// Generation and options are normalised as answers are. When nothing would be left of an option ("A" is an article) or
/// in [`MatchMode::CaseSensitive`], all are compared as they stand but for their white space. In [`MatchMode::Exact`]
/// the whole generation must be the option.
pub fn chosen_option(generation: &str, options: &[String], mode: MatchMode) -> Option<usize> {
    let verbatim = mode == MatchMode::CaseSensitive || options.iter().any(|option| normalise(option).is_empty());
    let form = |text: &str| {
        if verbatim { text.split_whitespace().collect::<Vec<_>>().join(" ") } else { normalise(text) }
    };
    let text = form(generation);
    let options = options.iter().map(|option| form(option)).enumerate().filter(|(_, option)| !option.is_empty());
    if mode == MatchMode::Exact {
        return options.into_iter().find(|(_, option)| *option == text).map(|(i, _)| i);
    }
    options
        .filter_map(|(i, option)| find_words(&text, &option).map(|at| (at, Reverse(option.len()), i)))
        .min()
        .map(|(_, _, i)| i)
}

/// Where `needle` first occurs in `text` without a letter or digit going on at either end.
fn find_words(text: &str, needle: &str) -> Option<usize> {
    let joins =
        |a: Option<char>, b: Option<char>| a.is_some_and(char::is_alphanumeric) && b.is_some_and(char::is_alphanumeric);
    let mut from = 0;
    while let Some(at) = text[from..].find(needle).map(|at| from + at) {
        let joined_before = joins(text[..at].chars().next_back(), needle.chars().next());
        let joined_after = joins(needle.chars().next_back(), text[at + needle.len()..].chars().next());
        if !joined_before && !joined_after {
            return Some(at);
        }
        from = at + text[at..].chars().next().map_or(1, char::len_utf8);
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chosen(generation: &str, options: &[&str], mode: MatchMode) -> Option<usize> {
        let options: Vec<String> = options.iter().map(|&option| option.to_owned()).collect();
        chosen_option(generation, &options, mode)
    }

    #[test]
    fn the_first_option_in_the_text_counts() {
        for (generation, options, expected) in [
            ("Yes, because no other", &["no", "yes"][..], Some(1)),
            ("I know nothing", &["no", "yes"], None),
            ("New York City.", &["new york", "New York City", "york"], Some(1)),
            ("B. is right, not A", &["A", "B", "C"], Some(1)),
            ("a bird: C", &["A", "B", "C"], Some(2)),
            ("", &["yes", "no"], None),
            ("42nd", &["42", "42nd"], Some(1)),
        ] {
            assert_eq!(chosen(generation, options, MatchMode::Normalised), expected, "{generation:?}");
        }
    }

    #[test]
    fn modes_differ_as_they_say() {
        assert_eq!(chosen("the Yes!", &["yes", "no"], MatchMode::Exact), Some(0));
        assert_eq!(chosen("yes, it is", &["yes", "no"], MatchMode::Exact), None);
        assert_eq!(chosen("Yes", &["yes", "no"], MatchMode::CaseSensitive), None);
        assert_eq!(chosen("it is no", &["yes", "no"], MatchMode::CaseSensitive), Some(1));
    }
}
