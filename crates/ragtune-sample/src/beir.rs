//! Writes a world in the layout of BEIR data sets.

use std::io::{self, Write};

use ragtune_text::Split;
use serde::Serialize;

use crate::world::World;

/// Where the files of a BEIR folder go.
pub struct BeirWriters<'a> {
    /// `corpus.jsonl`: `_id`, `title`, `text`.
    pub corpus: &'a mut dyn Write,
    /// `queries.jsonl`: `_id`, `text`.
    pub queries: &'a mut dyn Write,
    /// `qrels/train.tsv`: `query-id`, `corpus-id`, `score`.
    pub train: &'a mut dyn Write,
    /// `qrels/dev.tsv`.
    pub dev: &'a mut dyn Write,
    /// `qrels/test.tsv`.
    pub test: &'a mut dyn Write,
    /// `qa.jsonl`: `id`, `question`, `answers`, `choices` (closed-set only), `gold_ids`, `split`.
    pub qa: &'a mut dyn Write,
}

/// What was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct SampleCounts {
    /// Passages in the corpus.
    pub passages: u64,
    /// Questions.
    pub questions: u64,
    /// Bytes in all files together.
    pub bytes: u64,
}

#[derive(Serialize)]
struct CorpusLine<'a> {
    _id: &'a str,
    title: &'a str,
    text: &'a str,
}

#[derive(Serialize)]
struct QueryLine<'a> {
    _id: &'a str,
    text: &'a str,
}

impl World {
    /// Streams the world into the files of a BEIR folder; memory does not grow with its size. The writers should
    /// be buffered. Their errors end the work.
    pub fn write_beir(&self, to: BeirWriters<'_>) -> io::Result<SampleCounts> {
        let mut counts = SampleCounts::default();
        let mut put = |writer: &mut dyn Write, line: &str| -> io::Result<()> {
            counts.bytes += line.len() as u64 + 1;
            writer.write_all(line.as_bytes())?;
            writer.write_all(b"\n")
        };
        for passage in self.passages() {
            let line = CorpusLine { _id: &passage.id, title: &passage.title, text: &passage.text };
            put(to.corpus, &serde_json::to_string(&line)?)?;
        }
        for qrels in [&mut *to.train, &mut *to.dev, &mut *to.test] {
            put(qrels, "query-id\tcorpus-id\tscore")?;
        }
        for question in self.questions() {
            put(to.queries, &serde_json::to_string(&QueryLine { _id: &question.id, text: &question.text })?)?;
            put(to.qa, &serde_json::to_string(&question)?)?;
            let qrels = match question.split {
                Some(Split::Dev) => &mut *to.dev,
                Some(Split::Test) => &mut *to.test,
                _ => &mut *to.train,
            };
            for gold in &question.gold_ids {
                put(qrels, &format!("{}\t{gold}\t1", question.id))?;
            }
        }
        for writer in [to.corpus, to.queries, to.train, to.dev, to.test, to.qa] {
            writer.flush()?;
        }
        counts.passages = self.config().passages;
        counts.questions = self.config().questions;
        Ok(counts)
    }
}
