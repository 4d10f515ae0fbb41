//! The files of DPR (Karpukhin et al. 2020): questions with positive and hard negative contexts, and the Wikipedia
//! passages of `psgs_w100.tsv`.

use std::io::BufRead;

use serde::Deserialize;

use super::fields::fields;
use super::json_items::JsonItems;
use super::lines::Lines;
use super::{Id, json_reason};
use crate::error::TextError;
use crate::hash::hash64;
use crate::types::{Passage, Question};

/// A question with its contexts.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DprQuestion {
    /// The question; its gold ids are the ids of the positives. Its id is the file's, else its number from 0.
    pub question: Question,
    /// Passages that answer the question.
    pub positives: Vec<Passage>,
    /// Passages that look right and are not.
    pub hard_negatives: Vec<Passage>,
    /// Other passages that do not answer it.
    pub negatives: Vec<Passage>,
}

#[derive(Deserialize)]
struct Item {
    id: Option<Id>,
    q_id: Option<Id>,
    question: String,
    #[serde(default)]
    answers: Vec<Id>,
    #[serde(default)]
    positive_ctxs: Vec<Context>,
    #[serde(default)]
    hard_negative_ctxs: Vec<Context>,
    #[serde(default)]
    negative_ctxs: Vec<Context>,
}

#[derive(Deserialize)]
struct Context {
    title: Option<String>,
    text: String,
    passage_id: Option<Id>,
    psg_id: Option<Id>,
}

/// Reads DPR's question json (an array of objects, or one object a line), holding one question at a time.
///
/// A question with neither answers nor positives is an error. A context without an id gets one made from its content.
pub fn questions<R: BufRead>(reader: R, name: &str) -> impl Iterator<Item = Result<DprQuestion, TextError>> + use<R> {
    let mut items = JsonItems::new(reader, name);
    let mut count = 0usize;
    std::iter::from_fn(move || {
        let item = items.next()?;
        let number = count;
        count += 1;
        Some(item.and_then(|(line, bytes)| question(items.name(), line, number, &bytes)))
    })
}

fn question(name: &str, line: u64, number: usize, bytes: &[u8]) -> Result<DprQuestion, TextError> {
    let item: Item = serde_json::from_slice(bytes).map_err(|error| {
        let hint = "Each object needs \"question\", \"answers\" and \"positive_ctxs\" with \"title\" and \"text\"";
        TextError::line(name, line, json_reason(&error), hint)
    })?;
    let passages = |contexts: Vec<Context>| contexts.into_iter().map(Context::into_passage).collect::<Vec<_>>();
    let positives = passages(item.positive_ctxs);
    let answers: Vec<_> = item.answers.into_iter().map(Id::into_string).filter(|a| !a.trim().is_empty()).collect();
    if answers.is_empty() && positives.is_empty() {
        let reason = format!("the question {:?} has neither an answer nor a positive context", item.question);
        return Err(TextError::line(name, line, reason, "Add \"answers\", or leave the question out"));
    }
    let question = Question {
        id: item.id.or(item.q_id).map_or_else(|| number.to_string(), Id::into_string),
        text: item.question,
        answers,
        gold_ids: positives.iter().map(|passage| passage.id.clone()).collect(),
        ..Question::default()
    };
    let (hard_negatives, negatives) = (passages(item.hard_negative_ctxs), passages(item.negative_ctxs));
    Ok(DprQuestion { question, positives, hard_negatives, negatives })
}

impl Context {
    fn into_passage(self) -> Passage {
        let title = self.title.unwrap_or_default();
        let id = match self.passage_id.or(self.psg_id).map(Id::into_string).filter(|id| !id.is_empty()) {
            Some(id) => id,
            None => format!("p{:016x}", hash64(format!("{title}\n{}", self.text).as_bytes(), 0)),
        };
        Passage { id, title, text: self.text, source: None }
    }
}

/// Reads `psgs_w100.tsv`: id, text and title separated by tabs, quoted as in csv. A header line may name the columns,
/// in any order; without one they are in that order. The title may be missing.
pub fn psgs_w100<R: BufRead>(reader: R, name: &str) -> impl Iterator<Item = Result<Passage, TextError>> + use<R> {
    let mut lines = Lines::new(reader, name);
    let mut columns: Option<Columns> = None;
    std::iter::from_fn(move || {
        loop {
            let line = lines.next()?;
            let (number, line) = match line {
                Ok(line) => line,
                Err(error) => return Some(Err(error)),
            };
            let fields = match fields(&line, '\t') {
                Some(fields) => fields,
                None => {
                    let hint = "Double the quotes inside a quoted field, and keep each passage on one line";
                    return Some(Err(TextError::line(lines.name(), number, "a quote is not closed", hint)));
                }
            };
            if columns.is_none()
                && let Some(header) = Columns::of(&fields)
            {
                columns = Some(header);
                continue;
            }
            return Some(passage(fields, columns.get_or_insert_default(), lines.name(), number));
        }
    })
}

/// Positions of the columns, and how many there are at most.
struct Columns {
    id: usize,
    text: usize,
    title: Option<usize>,
    most: usize,
}

impl Default for Columns {
    fn default() -> Self {
        Self { id: 0, text: 1, title: Some(2), most: 3 }
    }
}

impl Columns {
    /// The columns that a header names; `None` when the line is none.
    fn of(fields: &[String]) -> Option<Self> {
        let position = |column: &str| fields.iter().position(|field| field == column);
        Some(Self { id: position("id")?, text: position("text")?, title: position("title"), most: fields.len() })
    }
}

fn passage(mut fields: Vec<String>, columns: &Columns, name: &str, number: u64) -> Result<Passage, TextError> {
    let count = fields.len();
    let mut take = |column: usize| fields.get_mut(column).map(std::mem::take);
    match (take(columns.id), take(columns.text), columns.title.and_then(take)) {
        (Some(id), Some(text), title) if !id.is_empty() && count <= columns.most => {
            Ok(Passage { id, title: title.unwrap_or_default(), text, source: None })
        }
        _ => {
            let reason = format!("{count} columns do not make id, text and title");
            Err(TextError::line(name, number, reason, "Separate id, text and title by tabs"))
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(text: &str) -> Vec<Result<Passage, TextError>> {
        psgs_w100(text.as_bytes(), "psgs.tsv").collect()
    }

    #[test]
    fn questions_come_with_their_contexts() {
        let text = r#"[{"dataset": "nq", "question": "who?", "answers": ["Bell"],
  "positive_ctxs": [{"title": "T", "text": "by Bell", "score": 1.5, "passage_id": "12"}],
  "negative_ctxs": [], "hard_negative_ctxs": [{"title": "U", "text": "x", "psg_id": 7}, {"text": "y"}]},
 {"question": "and?", "answers": [], "positive_ctxs": [], "negative_ctxs": []}]"#;
        let read: Vec<_> = questions(text.as_bytes(), "nq.json").collect();
        let first = read[0].as_ref().unwrap();
        assert_eq!((first.question.id.as_str(), first.question.answers[0].as_str()), ("0", "Bell"));
        assert_eq!(first.question.gold_ids, ["12"]);
        assert_eq!(first.positives[0].title, "T");
        assert_eq!(first.hard_negatives[0].id, "7");
        assert!(first.hard_negatives[1].id.starts_with('p') && first.hard_negatives[1].id.len() == 17);
        let error = read[1].as_ref().unwrap_err().to_string();
        assert!(error.contains("nq.json, line 4") && error.contains("leave the question out"), "{error}");
    }

    #[test]
    fn wikipedia_passages_are_unquoted() {
        let passages = read("id\ttext\ttitle\n1\t\"He said \"\"no\"\".\"\t\"\"\"Weird Al\"\" Y.\"\n2\tplain\tT\n");
        let passages: Vec<_> = passages.into_iter().map(Result::unwrap).collect();
        assert_eq!((passages[0].text.as_str(), passages[0].title.as_str()), ("He said \"no\".", "\"Weird Al\" Y."));
        assert_eq!(
            (passages[1].id.as_str(), passages[1].text.as_str(), passages[1].title.as_str()),
            ("2", "plain", "T")
        );
    }

    #[test]
    fn a_header_names_the_columns_and_may_be_missing() {
        let named = read("id\ttitle\ttext\n1\tT\tx\n").pop().unwrap().unwrap();
        let plain = read("1\tx\tT\n").pop().unwrap().unwrap();
        assert_eq!(named, plain);
        assert_eq!(read("1\tx\n")[0].as_ref().unwrap().title, "");
    }

    #[test]
    fn bad_lines_are_named() {
        for (text, part) in [("id\ttext\ttitle\n1\n", "line 2"), ("1\t\"x\n", "quote"), ("1\ta\tb\tc\n", "4 columns")] {
            let error = read(text).pop().unwrap().unwrap_err().to_string();
            assert!(error.contains("psgs.tsv") && error.contains(part), "{error}");
        }
    }

    proptest! {
        #[test]
        fn what_csv_writers_write_is_read_back(id in "[a-z0-9]{1,5}", text in "[a-z\"\t ]{0,20}", title in "[a-z\"\t ]{0,20}") {
            prop_assume!(id != "id");
            let quote = |field: &str| format!("\"{}\"", field.replace('"', "\"\""));
            let line = format!("{id}\t{}\t{}\n", quote(&text), quote(&title));
            let passage = read(&line).pop().unwrap().unwrap();
            prop_assert_eq!((passage.text, passage.title), (text, title));
        }
    }
}
