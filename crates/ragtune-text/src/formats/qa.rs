//! Questions with answers.

use std::io::BufRead;

use serde::Deserialize;
use serde_json::Value;

use super::Id;
use super::beir::parse;
use super::lines::Lines;
use crate::error::TextError;
use crate::types::{Question, Split};

#[derive(Deserialize)]
struct Record {
    id: Option<Id>,
    #[serde(rename = "_id")]
    beir_id: Option<Id>,
    question: Option<String>,
    text: Option<String>,
    answers: Option<Vec<Id>>,
    choices: Option<Vec<String>>,
    label: Option<Value>,
    gold_ids: Option<Vec<Id>>,
    split: Option<String>,
}

/// Reads `qa.jsonl`, one question a line: `id`, `question`, `answers`, and optionally `choices`, `label` (the position of
/// the right choice from 0, or its text), `gold_ids`, `split` (train, dev or test; validation is dev).
///
/// A closed-set question (one with choices) gets its right options as answers. A question without an answer is an error.
pub fn qa<R: BufRead>(reader: R, name: &str) -> impl Iterator<Item = Result<Question, TextError>> + use<R> {
    let mut lines = Lines::new(reader, name);
    std::iter::from_fn(move || {
        let line = lines.next()?;
        Some(line.and_then(|(number, line)| question(lines.name(), number, &line)))
    })
}

fn question(name: &str, number: u64, line: &str) -> Result<Question, TextError> {
    let record: Record = parse(name, number, line)?;
    let fail = |reason: String, hint: &str| Err(TextError::line(name, number, reason, hint));
    let Some(id) = record.id.or(record.beir_id).map(Id::into_string).filter(|id| !id.is_empty()) else {
        return fail("no id".to_owned(), "Give every question an \"id\"");
    };
    let Some(text) = record.question.or(record.text).filter(|text| !text.trim().is_empty()) else {
        return fail(format!("{id} has no question"), "Give every line a \"question\"");
    };
    let choices = record.choices.unwrap_or_default();
    let given: Vec<String> = record.answers.unwrap_or_default().into_iter().map(Id::into_string).collect();
    let given: Vec<String> = given.into_iter().filter(|answer| !answer.trim().is_empty()).collect();
    let answers = match (choices.is_empty(), record.label.filter(|label| !label.is_null())) {
        (true, _) => given,
        (false, Some(label)) => {
            let Some(right) = chosen(&label, &choices) else {
                let reason = format!("{id} has label {label} for {} choices", choices.len());
                return fail(reason, "The label is the position of the right choice, from 0, or its text");
            };
            let contradicted = !given.contains(right) && given.iter().any(|answer| choices.contains(answer));
            if contradicted {
                let reason = format!("{id} has label {label} ({right}) but answers {given:?}");
                return fail(reason, "Leave out the one that is wrong");
            }
            vec![right.clone()]
        }
        (false, None) => {
            let right: Vec<String> = given.iter().filter(|answer| choices.contains(answer)).cloned().collect();
            if right.is_empty() && !given.is_empty() {
                let reason = format!("{id}: no answer is one of its choices");
                return fail(reason, "Write the right choice as the answer, or add its position as \"label\"");
            }
            right
        }
    };
    if answers.is_empty() {
        let hint = "Add \"answers\": [\"…\"], or \"choices\" with a \"label\", or leave the question out";
        return fail(format!("{id} has no answer"), hint);
    }
    let split = match record.split.as_deref().map(|split| (split, parse_split(split))) {
        Some((split, None)) => {
            return fail(format!("{id} has the unknown split {split:?}"), "Use train, dev or test, or leave it out");
        }
        Some((_, split)) => split,
        None => None,
    };
    let gold_ids = record.gold_ids.unwrap_or_default().into_iter().map(Id::into_string).collect();
    Ok(Question { id, text, answers, choices, gold_ids, split })
}

fn chosen<'a>(label: &Value, choices: &'a [String]) -> Option<&'a String> {
    let by_text = label.as_str().and_then(|label| choices.iter().find(|choice| *choice == label));
    let position = || match label {
        Value::Number(number) => number.as_u64(),
        Value::String(text) => text.parse().ok(),
        _ => None,
    };
    by_text.or_else(|| choices.get(usize::try_from(position()?).ok()?))
}

pub(super) fn parse_split(text: &str) -> Option<Split> {
    match text.to_ascii_lowercase().as_str() {
        "train" | "training" => Some(Split::Train),
        "dev" | "development" | "valid" | "val" | "validation" => Some(Split::Dev),
        "test" => Some(Split::Test),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(line: &str) -> Result<Question, TextError> {
        qa(line.as_bytes(), "qa.jsonl").next().unwrap()
    }

    #[test]
    fn free_form_questions_keep_their_answers() {
        let question = one(r#"{"id": 3, "question": "When?", "answers": ["1973", " ", 12], "gold_ids": ["p", 4], "split": "validation", "x": 1}"#).unwrap();
        assert_eq!((question.id.as_str(), question.text.as_str()), ("3", "When?"));
        assert_eq!(question.answers, ["1973", "12"]);
        assert_eq!(question.gold_ids, ["p", "4"]);
        assert_eq!(question.split, Some(Split::Dev));
    }

    #[test]
    fn closed_set_questions_take_the_chosen_option() {
        for line in [
            r#"{"id": "q", "question": "?", "choices": ["no", "yes"], "label": 1}"#,
            r#"{"id": "q", "question": "?", "choices": ["no", "yes"], "label": "1"}"#,
            r#"{"id": "q", "question": "?", "choices": ["no", "yes"], "label": "yes"}"#,
            r#"{"id": "q", "question": "?", "choices": ["no", "yes"], "answers": ["yes"]}"#,
            r#"{"id": "q", "question": "?", "choices": ["no", "yes"], "answers": ["yes", "sure"], "label": 1}"#,
        ] {
            assert_eq!(one(line).unwrap().answers, ["yes"], "{line}");
        }
    }

    #[test]
    fn unusable_questions_are_named_with_the_way_out() {
        for (line, part) in [
            (r#"{"id": "q", "question": "?"}"#, "no answer"),
            (r#"{"id": "q", "question": "?", "answers": [""]}"#, "no answer"),
            (r#"{"id": "q", "question": "?", "choices": ["a"], "label": 1}"#, "position"),
            (r#"{"id": "q", "question": "?", "choices": ["a"], "label": -1}"#, "position"),
            (r#"{"id": "q", "question": "?", "choices": ["a"], "answers": ["b"]}"#, "choices"),
            (r#"{"id": "q", "question": "?", "choices": ["a", "b"], "answers": ["b"], "label": 0}"#, "wrong"),
            (r#"{"id": "q", "answers": ["b"]}"#, "no question"),
            (r#"{"question": "?", "answers": ["b"]}"#, "no id"),
            (r#"{"id": "q", "question": "?", "answers": ["b"], "split": "all"}"#, "\"all\""),
        ] {
            let error = one(line).unwrap_err().to_string();
            assert!(error.contains("qa.jsonl, line 1") && error.contains(part), "{line}: {error}");
        }
    }
}
