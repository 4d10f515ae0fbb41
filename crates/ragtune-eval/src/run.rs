//! TREC run files: what was retrieved for each query.

use std::collections::{BTreeMap, HashSet};
use std::io::{BufRead, Write};

use crate::EvalError;

/// A document and its score.
#[derive(Debug, Clone, PartialEq)]
pub struct Retrieved {
    /// Document (passage) identifier.
    pub id: String,
    /// Score, higher is better. 32 bits, as trec_eval keeps it: what ties there ties here.
    pub score: f32,
}

/// For every query the documents retrieved, best first.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Run {
    /// By query identifier.
    pub queries: BTreeMap<String, Vec<Retrieved>>,
}

impl Run {
    /// Reads lines of `query Q0 document rank score tag`. Documents keep the order of the file. `name` is for messages.
    pub fn read(reader: impl BufRead, name: &str) -> Result<Self, EvalError> {
        let mut run = Self::default();
        let mut seen: BTreeMap<String, HashSet<String>> = BTreeMap::new();
        for (at, line) in reader.lines().enumerate() {
            let line = line.map_err(|source| EvalError::Io { file: name.to_owned(), source })?;
            let fail = |reason: String| EvalError::Line { file: name.to_owned(), line: at + 1, reason };
            let fields: Vec<&str> = line.split_whitespace().collect();
            let [query, _, document, _, score, _] = fields[..] else {
                if fields.is_empty() {
                    continue;
                }
                return Err(fail(format!("{} fields instead of 6", fields.len())));
            };
            // By way of 64 bits, as trec_eval reads it, so that rounding is the same.
            let score = match score.parse::<f64>() {
                Ok(score) if !score.is_nan() => score as f32,
                _ => return Err(fail(format!("{score:?} is not a score"))),
            };
            if !seen.entry(query.to_owned()).or_default().insert(document.to_owned()) {
                return Err(fail(format!("document {document:?} occurs twice for query {query:?}")));
            }
            let retrieved = Retrieved { id: document.to_owned(), score };
            run.queries.entry(query.to_owned()).or_default().push(retrieved);
        }
        Ok(run)
    }

    /// Writes the run, ranks from 1 in the order of the documents. Queries without documents leave no line. `name` is
    /// for messages, `tag` names the system in every line.
    pub fn write(&self, mut out: impl Write, name: &str, tag: &str) -> Result<(), EvalError> {
        check("the run's tag", tag)?;
        for (query, documents) in &self.queries {
            check("the query id", query)?;
            for (at, Retrieved { id, score }) in documents.iter().enumerate() {
                check("the document id", id)?;
                writeln!(out, "{query} Q0 {id} {} {score} {tag}", at + 1)
                    .map_err(|source| EvalError::Io { file: name.to_owned(), source })?;
            }
        }
        out.flush().map_err(|source| EvalError::Io { file: name.to_owned(), source })
    }
}

fn check(what: &'static str, name: &str) -> Result<(), EvalError> {
    if name.is_empty() || name.contains(char::is_whitespace) {
        return Err(EvalError::Name { what, name: name.to_owned() });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn retrieved(id: &str, score: f32) -> Retrieved {
        Retrieved { id: id.to_owned(), score }
    }

    #[test]
    fn a_run_file_of_another_system_is_read() {
        let text = "q1\tQ0\td2 1 12.5 bm25\r\n\nq1 Q0 d1 2 1e-3 bm25\nq2 0 d1 1 -3 bm25\n";
        let run = Run::read(text.as_bytes(), "run.txt").unwrap();
        assert_eq!(run.queries["q1"], [retrieved("d2", 12.5), retrieved("d1", 0.001)]);
        assert_eq!(run.queries["q2"], [retrieved("d1", -3.0)]);
    }

    #[test]
    fn a_bad_line_is_named_by_file_and_number() {
        for (bad, reason) in [
            ("q1 Q0 d2 1 2.0", "5 fields"),
            ("q1 Q0 d2 1 high tag", "\"high\" is not a score"),
            ("q1 Q0 d2 1 nan tag", "not a score"),
            ("q1 Q0 d1 2 1.0 tag", "twice"),
        ] {
            let text = format!("q1 Q0 d1 1 3.0 tag\n{bad}\n");
            let message = Run::read(text.as_bytes(), "run.txt").unwrap_err().to_string();
            assert!(message.starts_with("run.txt, line 2: ") && message.contains(reason), "{message}");
        }
    }

    #[test]
    fn names_with_spaces_are_refused() {
        let run = Run { queries: [("q 1".to_owned(), vec![])].into() };
        assert!(matches!(run.write(Vec::new(), "run.txt", "tag"), Err(EvalError::Name { .. })));
        assert!(matches!(Run::default().write(Vec::new(), "run.txt", ""), Err(EvalError::Name { .. })));
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_again(
            scores in prop::collection::btree_map("[a-z0-9é:/]{1,6}", prop::collection::vec(-1e9f32..1e9, 1..9), 0..6),
        ) {
            let documents = |scores: Vec<f32>| {
                scores.into_iter().enumerate().map(|(n, score)| retrieved(&format!("d{n}"), score)).collect()
            };
            let run = Run { queries: scores.into_iter().map(|(query, scores)| (query, documents(scores))).collect() };
            let mut bytes = Vec::new();
            run.write(&mut bytes, "run.txt", "ragtune").unwrap();
            prop_assert_eq!(Run::read(&bytes[..], "run.txt").unwrap(), run);
        }
    }
}
