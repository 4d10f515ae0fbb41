//! Questions with their answers, judgements and splits, from the files that people have.

pub mod check;

use crate::fs::{self, File};
use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::io::{self, BufRead};
use std::path::{Path, PathBuf};
use std::rc::Rc;

use ragtune_eval::ir::Judgements;
use ragtune_index::Index;
use ragtune_text::formats::{Qrels, beir, decompress, dpr, pairs};
use ragtune_text::split::assign_splits;
use ragtune_text::{Question, Split, TextError};
use serde::{Deserialize, Serialize};

use crate::corpus::{ALIASES, Counted, first_line, plain_name, read_aliases};
use crate::{EngineError, Result};

/// Splits by hash are the same whatever the seed of a job: else what one job learns from another would report on.
pub(crate) const SPLIT_SEED: u64 = 0;

/// How the gold passages of questions are called in the corpus at hand.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct IdMapping {
    /// Put before every gold id, with a `/` between: a corpus made of several sets names passages `SET/ID`.
    pub prefix: Option<String>,
    /// Ids of duplicates that the corpus left out, with the id of the passage that it kept.
    pub aliases: BTreeMap<String, String>,
}

impl IdMapping {
    /// The id in the corpus.
    pub fn map(&self, id: &str) -> String {
        let id = match &self.prefix {
            Some(prefix) => format!("{}/{id}", prefix.trim_end_matches('/')),
            None => id.to_owned(),
        };
        self.aliases.get(&id).cloned().unwrap_or(id)
    }
}

/// Judgements of the qrels files, each with the split that its name says.
type Judged = Vec<(Option<Split>, Qrels)>;

/// Questions, with a split and judgements for each.
#[derive(Debug, Clone)]
pub struct Questions {
    /// As the user named them, for messages.
    pub name: String,
    /// All questions, in the order of their file; ids are unique, gold ids those of the corpus.
    pub questions: Vec<Question>,
    /// The split of each question.
    pub splits: Vec<Split>,
    judgements: HashMap<String, Judgements>,
}

impl Questions {
    /// Reads a BEIR folder (`qa.jsonl` or `queries.jsonl`, and `qrels/*.tsv`), a questions file (`qa.jsonl`, with the
    /// `qrels` beside it), DPR's json, or lines of question and answers with tabs or commas between; each may be packed
    /// with gzip.
    ///
    /// A question's split is the one that its file gives, else that of the qrels file (`train.tsv`, `dev.tsv`,
    /// `test.tsv`) that judges it, else it follows from a hash of its gold passage.
    pub fn open(path: &Path, mapping: &IdMapping) -> Result<Self> {
        let kind = fs::metadata(path).map_err(|error| EngineError::io(path, error))?;
        let file = if kind.is_dir() { inside(path)? } else { path.to_owned() };
        let questions = read(&file, true)?;
        if questions.is_empty() {
            return Err(EngineError::input(format!(
                "{}: no questions in it. Give a qa.jsonl, a BEIR folder or DPR's json",
                file.display()
            )));
        }
        let judged = read_qrels(&file.with_file_name("qrels"))?;
        Ok(Self::assemble(file.display().to_string(), questions, &judged, mapping))
    }

    /// Gives every question its split, judgements and the gold ids of the corpus.
    fn assemble(name: String, mut questions: Vec<Question>, judged: &Judged, mapping: &IdMapping) -> Self {
        for question in &mut questions {
            if question.split.is_none() {
                question.split =
                    judged.iter().find_map(|(split, qrels)| split.filter(|_| qrels.get(&question.id).is_some()));
            }
            if question.gold_ids.is_empty() {
                let gold: BTreeSet<&str> = judged.iter().flat_map(|(_, qrels)| qrels.relevant(&question.id)).collect();
                question.gold_ids = gold.into_iter().map(str::to_owned).collect();
            }
        }
        let splits = assign_splits(&questions, SPLIT_SEED);
        let mut judgements = HashMap::new();
        for question in &mut questions {
            let mut grades = Judgements::new();
            for (id, &grade) in judged.iter().filter_map(|(_, qrels)| qrels.get(&question.id)).flatten() {
                let best = grades.entry(mapping.map(id)).or_insert(grade);
                *best = grade.max(*best);
            }
            question.gold_ids = question.gold_ids.iter().map(|id| mapping.map(id)).collect();
            if grades.is_empty() {
                grades.extend(question.gold_ids.iter().map(|id| (id.clone(), 1)));
            }
            if !grades.is_empty() {
                judgements.insert(question.id.clone(), grades);
            }
        }
        Self { name, questions, splits, judgements }
    }

    /// Number of questions.
    pub fn len(&self) -> usize {
        self.questions.len()
    }

    /// Never true: a file without questions is not opened.
    pub fn is_empty(&self) -> bool {
        self.questions.is_empty()
    }

    /// The questions of a split, or all; an error when there is none.
    pub fn of(&self, split: Option<Split>) -> Result<Vec<&Question>> {
        let chosen: Vec<_> = self
            .questions
            .iter()
            .zip(&self.splits)
            .filter(|(_, of)| split.is_none_or(|split| split == **of))
            .map(|(question, _)| question)
            .collect();
        match (chosen.is_empty(), split) {
            (true, Some(split)) => {
                let name = format!("{split:?}").to_lowercase();
                Err(EngineError::input(format!(
                    "{}: none of its {} questions belongs to the split {name}; choose another with --split, or --split all",
                    self.name,
                    self.len()
                )))
            }
            _ => Ok(chosen),
        }
    }

    /// Judgements of a question: those of the qrels files, else its gold passages with grade 1. `None` without either.
    pub fn judgements(&self, question: &str) -> Option<&Judgements> {
        self.judgements.get(question)
    }

    /// Refuses questions whose judged or gold passages the index does not hold: every figure would be wrong.
    pub fn check_ids(&self, index: &Index, chosen: &[&Question]) -> Result<()> {
        let mut unknown = BTreeSet::new();
        let mut first = None;
        for question in chosen {
            let judged = self.judgements(&question.id).into_iter().flatten().map(|(id, _)| id);
            for id in judged.chain(&question.gold_ids) {
                if index.ordinal(id).is_none() {
                    first.get_or_insert((question.id.as_str(), id.as_str()));
                    unknown.insert(id.as_str());
                }
            }
        }
        let Some((question, id)) = first else { return Ok(()) };
        Err(EngineError::input(format!(
            "{}: {} passage ids of its judgements are not in the index, the first is {id:?} of question {question:?}. \
             Give the index of the corpus that these questions were made for; if it names its passages SET/ID, say --id-prefix SET",
            self.name,
            unknown.len()
        )))
    }
}

/// Aliases from an `aliases.tsv` beside a file or in a folder; none when there is no such file.
pub fn aliases_at(folder: &Path) -> Result<BTreeMap<String, String>> {
    let path = folder.join(ALIASES);
    if fs::is_file(&path) { read_aliases(&path) } else { Ok(BTreeMap::new()) }
}

/// The questions file of a BEIR folder: with answers if there is one.
fn inside(folder: &Path) -> Result<PathBuf> {
    ["qa.jsonl", "qa.jsonl.gz", "queries.jsonl", "queries.jsonl.gz"]
        .iter()
        .map(|name| folder.join(name))
        .find(|path| fs::is_file(path))
        .ok_or_else(|| {
            EngineError::input(format!(
                "{}: no questions in this folder. It needs a qa.jsonl (with answers) or a queries.jsonl",
                folder.display()
            ))
        })
}

/// Questions to search for: as [`Questions::open`] reads them, but answers are not needed.
pub fn read_queries(path: &Path) -> Result<Vec<Question>> {
    let kind = fs::metadata(path).map_err(|error| EngineError::io(path, error))?;
    let file = match kind.is_dir() {
        true => ["queries.jsonl", "queries.jsonl.gz"]
            .iter()
            .map(|name| path.join(name))
            .find(|path| fs::is_file(path))
            .map_or_else(|| inside(path), Ok)?,
        false => path.to_owned(),
    };
    let queries = read(&file, false)?;
    if queries.is_empty() {
        return Err(EngineError::input(format!(
            "{}: no queries in it. Write one JSON object per line with \"id\" and \"text\"",
            file.display()
        )));
    }
    Ok(queries)
}

/// Reads questions in any of the formats of files, from a text; `name` is where it came from, for messages.
pub fn parse(text: &str, name: &str) -> Result<Vec<Question>> {
    let first = text.lines().find(|line| !line.trim().is_empty()).unwrap_or_default();
    let lines = Rc::new(Cell::new(0));
    let reader = Counted::new(io::Cursor::new(text.as_bytes().to_vec()), lines.clone());
    unique(Form::of(first, name, true).read(reader, name), name, &lines)
}

/// How a file of questions is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    Qa,
    Queries,
    Dpr,
    Pairs,
}

type Read = Box<dyn Iterator<Item = std::result::Result<Question, TextError>>>;

impl Form {
    /// Told by the first line, and where that could be anything by the name. Lines of question and answers are only
    /// looked for where answers are wanted.
    fn of(first: &str, name: &str, answers: bool) -> Self {
        let start = first.trim_start_matches('\u{feff}').trim_start();
        let stem = name.rsplit(['/', '\\']).next().unwrap_or_default().to_lowercase();
        let plain = plain_name(&stem);
        let json = start.starts_with('{') || plain.ends_with(".jsonl") || plain.ends_with(".json");
        let with_answers = ["\"question\"", "\"answers\"", "\"choices\""].iter().any(|field| first.contains(field));
        if start.starts_with('[') || first.contains("\"positive_ctxs\"") {
            Self::Dpr
        } else if answers && !json && !start.is_empty() {
            Self::Pairs
        } else if plain.starts_with("queries") || !with_answers {
            Self::Queries
        } else {
            Self::Qa
        }
    }

    fn read(self, reader: impl BufRead + 'static, name: &str) -> Read {
        match self {
            Self::Qa => Box::new(beir::qa(reader, name)),
            Self::Queries => Box::new(beir::queries(reader, name)),
            Self::Dpr => Box::new(dpr::questions(reader, name).map(|question| question.map(|dpr| dpr.question))),
            Self::Pairs => Box::new(pairs::pairs(reader, name)),
        }
    }
}

/// Reads one file of questions, whatever it is; ids are unique.
fn read(path: &Path, answers: bool) -> Result<Vec<Question>> {
    let name = path.display().to_string();
    let form = Form::of(&first_line(path)?, &name, answers);
    let lines = Rc::new(Cell::new(0));
    let file = File::open(path).map_err(|error| EngineError::io(path, error))?;
    unique(form.read(Counted::new(decompress(file), lines.clone()), &name), &name, &lines)
}

fn unique(
    questions: impl Iterator<Item = std::result::Result<Question, TextError>>,
    name: &str,
    lines: &Cell<u64>,
) -> Result<Vec<Question>> {
    let mut seen = BTreeSet::new();
    let mut all = Vec::new();
    for question in questions {
        let question = question?;
        if !seen.insert(question.id.clone()) {
            let line = lines.get();
            return Err(EngineError::input(format!("{name}, line {line}: {}", twice(&question))));
        }
        all.push(question);
    }
    Ok(all)
}

/// What is wrong with a question whose id came before.
fn twice(question: &Question) -> String {
    if question.id == pairs::question_id(&question.text) {
        return format!("the question {:?} occurs a second time. Leave one of them out", question.text);
    }
    format!("the question id {:?} occurs a second time. Give every question its own id", question.id)
}

/// All qrels files of a folder, those of splits first.
fn read_qrels(folder: &Path) -> Result<Judged> {
    let mut all = Vec::new();
    if !fs::is_dir(folder) {
        return Ok(all);
    }
    let entries = fs::read_dir(folder).map_err(|error| EngineError::io(folder, error))?;
    let mut paths: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
    paths.sort();
    for path in paths {
        let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        let Some(stem) = plain_name(&name).strip_suffix(".tsv").or_else(|| plain_name(&name).strip_suffix(".txt"))
        else {
            continue;
        };
        let split = match stem {
            "train" => Some(Split::Train),
            "dev" | "validation" | "valid" => Some(Split::Dev),
            "test" => Some(Split::Test),
            _ => None,
        };
        let file = File::open(&path).map_err(|error| EngineError::io(&path, error))?;
        let reader: Box<dyn BufRead> = decompress(file);
        all.push((split, beir::qrels(reader, &path.display().to_string())?));
    }
    all.sort_by_key(|(split, _)| split.map_or(3, |split| split as u8));
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(folder: &Path, files: &[(&str, &str)]) {
        for (name, text) in files {
            let path = folder.join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
    }

    fn open(path: &Path) -> Result<Questions> {
        Questions::open(path, &IdMapping::default())
    }

    #[test]
    fn splits_come_from_the_question_then_the_qrels_then_a_hash() {
        let temp = tempfile::tempdir().unwrap();
        write(
            temp.path(),
            &[
                (
                    "qa.jsonl",
                    "{\"id\": \"a\", \"question\": \"?\", \"answers\": [\"x\"], \"split\": \"dev\"}\n\
                     {\"id\": \"b\", \"question\": \"?\", \"answers\": [\"x\"]}\n\
                     {\"id\": \"c\", \"question\": \"other\", \"answers\": [\"x\"], \"gold_ids\": [\"p9\"]}\n",
                ),
                ("qrels/all.tsv", "query-id\tcorpus-id\tscore\na\tp1\t1\nb\tp2\t2\n"),
                ("qrels/test.tsv", "query-id\tcorpus-id\tscore\na\tp1\t1\nb\tp2\t2\n"),
            ],
        );
        let questions = open(temp.path()).unwrap();
        assert_eq!(questions.splits[..2], [Split::Dev, Split::Test]);
        assert_eq!(questions.splits[2], ragtune_text::split::split_of(&questions.questions[2], SPLIT_SEED));
        assert_eq!(questions.questions[1].gold_ids, ["p2"]);
        assert_eq!(questions.judgements("b").unwrap()["p2"], 2);
        assert_eq!(questions.judgements("c").unwrap()["p9"], 1);
        let file = open(&temp.path().join("qa.jsonl")).unwrap();
        assert_eq!(file.splits, questions.splits);
        assert_eq!(questions.of(Some(Split::Dev)).unwrap().len(), 1);
    }

    #[test]
    fn gold_ids_are_mapped_to_the_mixed_corpus() {
        let temp = tempfile::tempdir().unwrap();
        write(
            temp.path(),
            &[(
                "qa.jsonl",
                "{\"id\": \"a\", \"question\": \"?\", \"answers\": [\"x\"], \"gold_ids\": [\"p1\", \"p2\"]}\n",
            )],
        );
        let aliases = [("nq/p2".to_owned(), "fever/7".to_owned())].into();
        let mapping = IdMapping { prefix: Some("nq".to_owned()), aliases };
        let questions = Questions::open(temp.path(), &mapping).unwrap();
        assert_eq!(questions.questions[0].gold_ids, ["nq/p1", "fever/7"]);
        assert!(questions.judgements("a").unwrap().contains_key("fever/7"));
    }

    #[test]
    fn unusable_questions_name_file_and_line() {
        let temp = tempfile::tempdir().unwrap();
        for (text, part) in [
            (
                "{\"id\": \"a\", \"question\": \"?\", \"answers\": [\"x\"]}\n\n{\"id\": \"a\", \"question\": \"?\", \"answers\": [\"x\"]}\n",
                "line 3",
            ),
            (
                "{\"id\": \"a\", \"question\": \"?\", \"answers\": [\"x\"]}\n{\"id\": \"b\", \"question\": \"?\"}\n",
                "line 2",
            ),
            ("", "no questions"),
        ] {
            write(temp.path(), &[("qa.jsonl", text)]);
            let error = open(temp.path()).unwrap_err();
            assert!(error.exit_code() == 2 && error.to_string().contains(part), "{error}");
            assert!(error.to_string().contains("qa.jsonl"), "{error}");
        }
        assert_eq!(open(&temp.path().join("none")).unwrap_err().exit_code(), 2);
    }

    #[test]
    fn a_table_of_questions_and_answers_is_a_questions_file() {
        let temp = tempfile::tempdir().unwrap();
        write(
            temp.path(),
            &[("mine.csv", "question,answer\nWho?,Ada\nWhy?,tea\n"), ("mine.tsv", "Who?\tAda\n\nwho?\tB\n")],
        );
        let questions = open(&temp.path().join("mine.csv")).unwrap();
        assert_eq!((questions.len(), questions.questions[1].answers[0].as_str()), (2, "tea"));
        let error = open(&temp.path().join("mine.tsv")).unwrap_err().to_string();
        assert!(error.contains("line 3") && error.contains("second time"), "{error}");
        // A jsonl file that is none is said to be none.
        write(temp.path(), &[("qa.jsonl", "oops\n")]);
        assert!(open(&temp.path().join("qa.jsonl")).unwrap_err().to_string().contains("JSON"));
        let pasted = parse("Who?\tAda\tA.\n", "pasted text").unwrap();
        assert_eq!(pasted[0].answers, ["Ada", "A."]);
    }

    #[test]
    fn queries_need_no_answers() {
        let temp = tempfile::tempdir().unwrap();
        write(temp.path(), &[("mine.jsonl", "{\"_id\": \"a\", \"text\": \"oil\"}\n")]);
        assert_eq!(read_queries(&temp.path().join("mine.jsonl")).unwrap()[0].text, "oil");
    }
}
