//! Looking through questions: every good one is kept, every bad line is named.

use crate::fs::File;
use std::cell::Cell;
use std::collections::{BTreeSet, HashMap};
use std::io::{self, BufRead};
use std::path::Path;
use std::rc::Rc;

use ragtune_index::Index;
use ragtune_text::answers::{AnswerMatcher, MatchMode};
use ragtune_text::formats::decompress;
use ragtune_text::{Question, Split, TaskKind, TextError};

use super::{Form, IdMapping, Judged, Questions, inside, read_qrels, twice};
use crate::corpus::{Counted, first_line};
use crate::event::{QuestionProblem, QuestionsReport};
use crate::{EngineError, Result};

/// Name of questions that came without a file, for messages.
const PASTED: &str = "pasted text";

/// A question with the line where it stands, if its format has lines.
type Numbered = (Option<u64>, Question);

/// Looks through a file, or a folder as [`Questions::open`] takes it. With an index, gold passages are looked up in it.
///
/// # Errors
/// When there is no such file, or the index cannot be read: what is wrong with the questions stands in the report.
pub fn file(path: &Path, mapping: &IdMapping, index: Option<&Index>) -> Result<QuestionsReport> {
    let kind = crate::fs::metadata(path).map_err(|error| EngineError::io(path, error))?;
    let path = if kind.is_dir() { inside(path)? } else { path.to_owned() };
    let name = path.display().to_string();
    let file = File::open(&path).map_err(|error| EngineError::io(&path, error))?;
    let mut checked = Checked::read(Box::new(decompress(file)), &first_line(&path)?, name);
    let judged = match read_qrels(&path.with_file_name("qrels")) {
        Ok(judged) => judged,
        Err(error) => {
            checked.problem(None, error.to_string(), true);
            Judged::new()
        }
    };
    checked.finish(&judged, mapping, index)
}

/// Looks through a text; `name` is where it came from, for messages.
///
/// # Errors
/// When the index cannot be read.
pub fn text(text: &str, name: &str, mapping: &IdMapping, index: Option<&Index>) -> Result<QuestionsReport> {
    let name = if name.is_empty() { PASTED } else { name };
    let first = text.lines().find(|line| !line.trim().is_empty()).unwrap_or_default();
    let reader = Box::new(io::Cursor::new(text.as_bytes().to_vec()));
    Checked::read(reader, first, name.to_owned()).finish(&Judged::new(), mapping, index)
}

struct Checked {
    name: String,
    questions: Vec<Numbered>,
    problems: Vec<QuestionProblem>,
}

impl Checked {
    fn read(reader: Box<dyn BufRead>, first: &str, name: String) -> Self {
        let mut form = Form::of(first, &name, true);
        let queries = name.rsplit(['/', '\\']).next().unwrap_or_default().starts_with("queries");
        if form == Form::Queries && !queries {
            // The first line may be the bad one.
            form = Form::Qa;
        }
        let lines = Rc::new(Cell::new(0));
        let questions = form.read(Counted::new(reader, lines.clone()), &name);
        let mut checked = Self { name, questions: Vec::new(), problems: Vec::new() };
        let mut seen: HashMap<String, u64> = HashMap::new();
        for question in questions {
            match question {
                Ok(question) => {
                    let line = (form != Form::Dpr).then(|| lines.get());
                    match seen.get(&question.id) {
                        Some(&first) if line.is_some() => {
                            checked.problem(
                                line,
                                format!("{} (it stands on line {first} too)", twice(&question)),
                                true,
                            );
                        }
                        Some(_) => checked.problem(line, twice(&question), true),
                        None => {
                            seen.insert(question.id.clone(), lines.get());
                            checked.questions.push((line, question));
                        }
                    }
                }
                Err(TextError::Line { line, reason, hint, .. }) => {
                    checked.problem(Some(line), format!("{reason}. {hint}"), true);
                }
                // The rest of the file cannot be read.
                Err(error) => checked.problem(None, error.to_string(), true),
            }
        }
        checked
    }

    fn problem(&mut self, line: Option<u64>, reason: String, fatal: bool) {
        self.problems.push(QuestionProblem { line, reason, fatal });
    }

    fn finish(mut self, judged: &Judged, mapping: &IdMapping, index: Option<&Index>) -> Result<QuestionsReport> {
        let (lines, questions): (Vec<_>, Vec<_>) = std::mem::take(&mut self.questions).into_iter().unzip();
        if questions.is_empty() && self.problems.is_empty() {
            let reason = "no questions in it. Write one question a line: the question, a tab and its answer, or JSON as in a qa.jsonl";
            self.problem(None, reason.to_owned(), true);
        }
        let all = Questions::assemble(self.name.clone(), questions, judged, mapping);
        let mut kept = Vec::with_capacity(all.len());
        let mut strangers = 0;
        for ((line, question), split) in lines.into_iter().zip(&all.questions).zip(&all.splits) {
            if let Some(index) = index {
                if let Some(reason) = unknown(&all, question, index) {
                    self.problem(line, reason, true);
                    strangers += 1;
                    continue;
                }
                if let Some(reason) = unsupported(question, index)? {
                    self.problem(line, reason, false);
                }
            }
            kept.push((line, Question { split: Some(*split), ..question.clone() }));
        }
        if strangers > 0 && strangers == all.questions.iter().filter(|q| !q.gold_ids.is_empty()).count() {
            let reason = "no gold passage at all is in the index. Give the index of the corpus that these questions were made for; if it names its passages SET/ID, give the prefix SET";
            self.problem(None, reason.to_owned(), true);
        }
        self.repeated(&kept);
        let mut report = QuestionsReport {
            name: self.name,
            questions: kept.into_iter().map(|(_, question)| question).collect(),
            problems: self.problems,
            ..QuestionsReport::default()
        }
        .counted();
        general(&mut report);
        // As the file reads from top to bottom, and what concerns all of it first.
        report.problems.sort_by_key(|problem| problem.line);
        Ok(report)
    }

    /// Warns of questions that are asked twice under different ids.
    fn repeated(&mut self, questions: &[Numbered]) {
        let mut seen: HashMap<String, &Numbered> = HashMap::new();
        for numbered in questions {
            let words: Vec<String> = numbered.1.text.split_whitespace().map(str::to_lowercase).collect();
            match seen.get(&words.join(" ")) {
                Some((_, first)) => {
                    let reason = format!("{}: the same question as {}. It counts twice", numbered.1.id, first.id);
                    self.problem(numbered.0, reason, false);
                }
                None => drop(seen.insert(words.join(" "), numbered)),
            }
        }
    }
}

/// Why a question's gold or judged passages cannot be used with an index.
fn unknown(all: &Questions, question: &Question, index: &Index) -> Option<String> {
    let judged = all.judgements(&question.id).into_iter().flatten().map(|(id, _)| id);
    let ids: BTreeSet<&String> = judged.chain(&question.gold_ids).filter(|id| index.ordinal(id).is_none()).collect();
    let first = ids.first()?;
    let more = if ids.len() > 1 { format!(" and {} more", ids.len() - 1) } else { String::new() };
    let id = &question.id;
    Some(format!("{id}: the index holds no passage {first:?}{more}. Correct its gold_ids, or leave them out"))
}

/// Why a question's gold passages do not support its answers.
fn unsupported(question: &Question, index: &Index) -> Result<Option<String>> {
    if question.gold_ids.is_empty() || question.answers.is_empty() || question.kind() == TaskKind::ClosedSet {
        return Ok(None);
    }
    let matcher = AnswerMatcher::new(&question.answers, MatchMode::Normalised);
    for ordinal in question.gold_ids.iter().filter_map(|id| index.ordinal(id)) {
        let passage = index.passage(ordinal)?;
        if matcher.is_in(&passage.text) || matcher.is_in(&passage.title) {
            return Ok(None);
        }
    }
    let id = &question.id;
    Ok(Some(format!("{id}: none of its answers stands in its gold passages. Check the answers, or the gold_ids")))
}

/// Warnings that concern no single line.
fn general(report: &mut QuestionsReport) {
    let mut warn = |reason: String| report.problems.push(QuestionProblem { line: None, reason, fatal: false });
    let all = report.questions.len();
    if all == 0 {
        return;
    }
    let without = report.questions.iter().filter(|question| question.answers.is_empty()).count();
    if without > 0 {
        warn(format!(
            "{without} of {all} questions have no answers: they can be searched, and tuned on with gold passages, but no language model can be judged by them"
        ));
    }
    for (split, count, lost) in [
        (Split::Train, report.train, "tuning has nothing to learn from"),
        (Split::Dev, report.dev, "tuning cannot choose its best checkpoint and keeps the last"),
        (Split::Test, report.test, "no figures before and after can be given"),
    ] {
        if count == 0 {
            let name = format!("{split:?}").to_lowercase();
            warn(format!(
                "no question belongs to the split {name}: {lost}. Add questions, or write \"split\": \"{name}\" in some"
            ));
        }
    }
}

#[cfg(test)]
mod tests {
    use ragtune_index::{BuildConfig, IndexBuilder};
    use ragtune_text::storage::MemoryDirectory;
    use ragtune_text::{LexicalVocab, Passage};

    use super::*;
    use crate::testing;

    fn index() -> Index {
        let tokenizer = testing::tokenizer();
        let vocab = LexicalVocab::from_tokenizer(&tokenizer);
        let config = BuildConfig::new(vocab.ids().to_vec(), tokenizer.fingerprint(), vocab.fingerprint());
        let dir = MemoryDirectory::default();
        let mut builder = IndexBuilder::new(&dir, config).unwrap();
        for (id, text) in [("p1", "the price of oil rose ."), ("p2", "the crisis .")] {
            let passage = Passage { id: id.to_owned(), text: text.to_owned(), ..Passage::default() };
            builder.add(&passage, &vocab.bag(&tokenizer.passage("", text, 64).unwrap())).unwrap();
        }
        builder.finish().unwrap();
        Index::open(&dir).unwrap()
    }

    fn problems(report: &QuestionsReport) -> Vec<(Option<u64>, bool, &str)> {
        let all = report.problems.iter().filter(|problem| problem.line.is_some());
        all.map(|problem| (problem.line, problem.fatal, problem.reason.as_str())).collect()
    }

    #[test]
    fn good_questions_are_kept_and_every_bad_line_is_named() {
        let temp = tempfile::tempdir().unwrap();
        let path = temp.path().join("qa.jsonl");
        let lines = [
            r#"{oops"#,
            r#"{"id": "a", "question": "What rose?", "answers": ["oil"], "gold_ids": ["p1"], "split": "train"}"#,
            r#"{"id": "b", "question": "What rose?", "answers": []}"#,
            r#"{"id": "a", "question": "Again?", "answers": ["oil"]}"#,
            "",
            r#"{"id": "c", "question": "Which?", "choices": ["x", "y"], "label": 2}"#,
            r#"{"id": "d", "question": "Where?", "answers": ["oil"], "gold_ids": ["p9", "p1"]}"#,
            r#"{"id": "e", "question": "what  rose?", "answers": ["tea"], "gold_ids": ["p2"], "split": "dev"}"#,
            r#"{"id": "f", "question": "Which?", "choices": ["yes", "no"], "label": 0, "gold_ids": ["p2"], "split": "test"}"#,
        ];
        std::fs::write(&path, lines.join("\r\n")).unwrap();
        let report = file(&path, &IdMapping::default(), Some(&index())).unwrap();
        let ids: Vec<&str> = report.questions.iter().map(|question| question.id.as_str()).collect();
        assert_eq!(ids, ["a", "e", "f"]);
        assert_eq!((report.train, report.dev, report.test), (1, 1, 1));
        assert!(report.questions.iter().all(|question| question.split.is_some()));
        let found = problems(&report);
        let expected = [
            (1, true, "not valid JSON"),
            (3, true, "no answer"),
            (4, true, "line 2 too"),
            (6, true, "position"),
            (7, true, "\"p9\""),
            (8, false, "none of its answers"),
            (8, false, "the same question as a"),
        ];
        assert_eq!(found.len(), expected.len(), "{found:?}");
        for (found, (line, fatal, part)) in found.iter().zip(expected) {
            assert_eq!((found.0, found.1), (Some(line), fatal), "{found:?}");
            assert!(found.2.contains(part), "{found:?} does not say {part}");
        }
        // Without an index nobody knows what it holds.
        let report = file(&path, &IdMapping::default(), None).unwrap();
        assert_eq!(report.questions.len(), 4);
    }

    #[test]
    fn the_wrong_index_is_named_once_for_all() {
        let text = "{\"id\": \"a\", \"question\": \"?\", \"answers\": [\"x\"], \"gold_ids\": [\"set/p1\"]}";
        let report = super::text(text, "", &IdMapping::default(), Some(&index())).unwrap();
        assert!(report.questions.is_empty());
        assert!(report.problems[0].line.is_none() && report.problems[0].reason.contains("prefix"), "{report:?}");
    }

    #[test]
    fn pasted_text_of_any_format_is_read() {
        let mapping = IdMapping::default();
        for text in [
            "What rose?\toil\nWhy?\ttea\n",
            "What rose?,oil\r\nWhy?,tea\r\n",
            "{\"id\": 1, \"question\": \"What rose?\", \"answers\": [\"oil\"]}\n{\"id\": 2, \"question\": \"Why?\", \"answers\": [\"tea\"]}",
            "[{\"question\": \"What rose?\", \"answers\": [\"oil\"]}, {\"question\": \"Why?\", \"answers\": [\"tea\"]}]",
        ] {
            let report = super::text(text, "", &mapping, None).unwrap();
            let read: Vec<_> = report.questions.iter().map(|q| (q.text.as_str(), q.answers[0].as_str())).collect();
            assert_eq!(read, [("What rose?", "oil"), ("Why?", "tea")], "{text}");
            assert_eq!(report.name, PASTED);
            assert!(report.problems.iter().all(|problem| !problem.fatal), "{report:?}");
        }
        let empty = super::text(" \n", "", &mapping, None).unwrap();
        assert!(empty.problems[0].fatal && empty.problems[0].reason.contains("no questions"), "{empty:?}");
        let half = super::text("What rose?\toil\nWhy?\n", "", &mapping, None).unwrap();
        assert_eq!((half.questions.len(), problems(&half)[0].0), (1, Some(2)));
    }
}
