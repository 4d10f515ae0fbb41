//! BEIR folders: `corpus.jsonl`, `queries.jsonl`, `qrels/*.tsv`; and `qa.jsonl` beside them, which adds answers.
//!
//! | file | fields of a line |
//! |---|---|
//! | corpus | `_id` or `id`, `text`, optional `title`; others are left out |
//! | queries | `_id` or `id`, `text`; others are left out |
//! | qrels | question, passage, whole-number grade, separated by tabs; a header is allowed, and TREC's four columns |
//! | qa | see [`qa`] |

use std::io::BufRead;

use serde::Deserialize;
use serde_json::Value;

use super::lines::Lines;
pub use super::qa::qa;
use super::{Id, Qrels, json_reason};
use crate::error::TextError;
use crate::types::{Passage, Question};

#[derive(Deserialize)]
struct Record {
    #[serde(rename = "_id")]
    beir_id: Option<Id>,
    id: Option<Id>,
    title: Option<String>,
    text: Option<String>,
    #[serde(default)]
    source: Value,
}

/// Reads `corpus.jsonl`, one passage a line. `name` is the file's name, for messages.
///
/// A line that cannot be used is an error that names it; the lines after it can still be read. A `source` as ragtune
/// itself writes it (file, start, end, heading, page) is kept.
pub fn passages<R: BufRead>(reader: R, name: &str) -> impl Iterator<Item = Result<Passage, TextError>> + use<R> {
    records(reader, name).map(|record| {
        let (id, record) = record?;
        let source = serde_json::from_value(record.source).ok();
        let (title, text) = (record.title.unwrap_or_default(), record.text.unwrap_or_default());
        Ok(Passage { id, title, text, source })
    })
}

/// Reads `queries.jsonl`, one question a line, without answers.
pub fn queries<R: BufRead>(reader: R, name: &str) -> impl Iterator<Item = Result<Question, TextError>> + use<R> {
    records(reader, name).map(|record| {
        let (id, record) = record?;
        Ok(Question { id, text: record.text.unwrap_or_default(), ..Question::default() })
    })
}

/// Reads a qrels file. Contradicting grades for one question and passage are an error.
pub fn qrels<R: BufRead>(reader: R, name: &str) -> Result<Qrels, TextError> {
    const HINT: &str = "Write question id, passage id and a whole number, separated by tabs";
    let mut qrels = Qrels::default();
    let mut first = true;
    for line in Lines::new(reader, name) {
        let (number, line) = line?;
        let mut fields: Vec<&str> = line.split('\t').map(str::trim).collect();
        if fields.len() == 1 {
            fields = line.split_whitespace().collect();
        }
        let (question, passage, grade) = match fields[..] {
            [question, passage, grade] | [question, _, passage, grade] => (question, passage, grade),
            _ => return Err(TextError::line(name, number, format!("{} columns, not 3", fields.len()), HINT)),
        };
        let header = std::mem::take(&mut first);
        let Some(grade) = whole_number(grade) else {
            if header {
                continue;
            }
            return Err(TextError::line(name, number, format!("the grade {grade:?} is not a whole number"), HINT));
        };
        if qrels.insert(question, passage, grade).is_some_and(|old| old != grade) {
            let reason = format!("{question} and {passage} were judged differently above");
            return Err(TextError::line(name, number, reason, "Keep one of the lines"));
        }
    }
    Ok(qrels)
}

/// "2", and "2.0" as some tools write it.
fn whole_number(text: &str) -> Option<i32> {
    let whole =
        text.split_once('.').map_or(text, |(whole, rest)| if rest.bytes().all(|b| b == b'0') { whole } else { text });
    whole.parse().ok()
}

fn records<R: BufRead>(reader: R, name: &str) -> impl Iterator<Item = Result<(String, Record), TextError>> + use<R> {
    let mut lines = Lines::new(reader, name);
    std::iter::from_fn(move || {
        let line = lines.next()?;
        Some(line.and_then(|(number, line)| record(lines.name(), number, &line)))
    })
}

fn record(name: &str, number: u64, line: &str) -> Result<(String, Record), TextError> {
    let mut record: Record = parse(name, number, line)?;
    let id = record.beir_id.take().or(record.id.take());
    let Some(id) = id.map(Id::into_string).filter(|id| !id.is_empty()) else {
        return Err(TextError::line(name, number, "no id", "Give every line an \"_id\" or \"id\""));
    };
    if record.text.is_none() {
        let reason = format!("{id} has no text");
        return Err(TextError::line(name, number, reason, "Give every line a \"text\""));
    }
    Ok((id, record))
}

/// One line as JSON.
pub(super) fn parse<T: serde::de::DeserializeOwned>(name: &str, number: u64, line: &str) -> Result<T, TextError> {
    serde_json::from_str(line).map_err(|error| {
        let hint = if line.trim_start().starts_with('[') {
            "One JSON object per line is expected, not an array: write each of its items on a line of its own"
        } else {
            "One JSON object per line is expected"
        };
        TextError::line(name, number, json_reason(&error), hint)
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::types::Source;

    fn read(text: &str) -> Vec<Result<Passage, TextError>> {
        passages(text.as_bytes(), "corpus.jsonl").collect()
    }

    #[test]
    fn ids_may_be_text_or_numbers_under_either_name() {
        let text = r#"{"_id": "a", "title": "T", "text": "x", "metadata": {"url": 1}}
{"id": 7, "text": "y", "title": null}
{"_id": "b", "id": "c", "text": ""}"#;
        let passages: Vec<_> = read(text).into_iter().map(Result::unwrap).collect();
        let seen: Vec<_> = passages.iter().map(|p| (p.id.as_str(), p.title.as_str(), p.text.as_str())).collect();
        assert_eq!(seen, [("a", "T", "x"), ("7", "", "y"), ("b", "", "")]);
    }

    #[test]
    fn a_bad_line_is_named_and_the_next_is_read() {
        let text = "{\"_id\": \"a\", \"text\": \"x\"}\n{\"_id\": \"b\"}\n{oops\n{\"text\": \"x\"}\n[1]\n{\"_id\": \"c\", \"text\": 3}\n{\"_id\": \"d\", \"text\": \"x\"}\n";
        let results = read(text);
        assert_eq!(results.len(), 7);
        assert_eq!(results[6].as_ref().unwrap().id, "d");
        for (n, part) in [(1, "no text"), (2, "not valid JSON"), (3, "_id"), (4, "not an array"), (5, "string")] {
            let error = results[n].as_ref().unwrap_err().to_string();
            assert!(error.contains(&format!("corpus.jsonl, line {}", n + 1)) && error.contains(part), "{error}");
        }
    }

    #[test]
    fn qrels_with_and_without_header_and_trec_columns_agree() {
        let expected = qrels("query-id\tcorpus-id\tscore\nq 1\td1\t1\nq 1\td2\t0\n".as_bytes(), "q").unwrap();
        assert_eq!(expected.relevant("q 1").collect::<Vec<_>>(), ["d1"]);
        assert_eq!((expected.len(), expected.grade("q 1", "d2"), expected.grade("q 1", "d9")), (2, 0, 0));
        assert_eq!(qrels("q 1\td1\t1.0\r\nq 1\td2\t0\r\n".as_bytes(), "q").unwrap(), expected);
        assert_eq!(qrels("q 1\t0\td1\t1\nq 1\t0\td2\t0".as_bytes(), "q").unwrap(), expected);
        assert_eq!(qrels("q1 0 d1 2\n".as_bytes(), "q").unwrap().grade("q1", "d1"), 2);
    }

    #[test]
    fn qrels_errors_name_the_line() {
        for (text, part) in [
            ("q\td\t1\nq\td\tyes\n", "line 2"),
            ("q\td\t1\nq\td\t2\n", "differently"),
            ("q\td\n", "2 columns"),
            ("q\td\t1\nq\td2\t1.5\n", "1.5"),
        ] {
            let error = qrels(text.as_bytes(), "test.tsv").unwrap_err().to_string();
            assert!(error.contains("test.tsv") && error.contains(part), "{error}");
        }
    }

    proptest! {
        #[test]
        fn a_written_passage_is_read_back(id in "\\PC{1,12}", title in any::<String>(), text in any::<String>(), at in any::<u32>()) {
            let source = Some(Source { file: "a/b.md".into(), start: u64::from(at), end: u64::from(at) + 1, heading: title.clone(), page: (at % 2 == 0).then_some(at / 2) });
            let passage = Passage { id, title, text, source };
            let line = serde_json::to_string(&passage).unwrap();
            let read = read(&line).pop().unwrap().unwrap();
            prop_assert_eq!(read, passage);
        }
    }
}
