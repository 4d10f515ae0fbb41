//! The score cache: every (question, passage, answers, score, label) is computed once for one LLM and template.
//!
//! One json line per pair in `scores-<fingerprint>.jsonl`, where the fingerprint covers the LLM, the template and the
//! settings that a label depends on. Lines are appended as they are made; a line that a killed process left unfinished
//! is dropped when the file is read.

use std::collections::HashMap;

use ragtune_rag::{Judge, JudgeItem, JudgeSettings, PromptTemplate, RagScore};
use ragtune_text::hash::hash64;
use ragtune_text::storage::Directory;
use ragtune_text::{Passage, Question};
use serde::{Deserialize, Serialize};

use crate::error::{Result, TuneError};

/// What is known about one (question, passage) pair.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct PairScore {
    /// Logarithm of the RAG score.
    pub score: f32,
    /// The RAG label, where a generation was made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub label: Option<bool>,
    /// Closed-set rule: the correct option is more probable than every other.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub preferred: Option<bool>,
}

#[derive(Serialize, Deserialize)]
struct Line {
    key: u64,
    question: String,
    passage: String,
    #[serde(flatten)]
    pair: PairScore,
}

/// The cache of one LLM and template.
pub struct ScoreCache {
    file: String,
    pairs: HashMap<u64, PairScore>,
    computed: usize,
    reused: usize,
}

impl ScoreCache {
    /// Opens or starts the cache of an LLM (by its fingerprint) with a template in a run's folder.
    pub fn open(dir: &dyn Directory, lm: &str, template: &PromptTemplate, settings: &JudgeSettings) -> Result<Self> {
        // How many tokens are read at once changes no label.
        let settings = JudgeSettings { batch_tokens: 0, ..settings.clone() };
        let settings = serde_json::to_string(&settings).unwrap_or_default();
        let of = format!("{lm} {} {settings}", template.fingerprint());
        let file = format!("scores-{:016x}.jsonl", hash64(of.as_bytes(), 0));
        let mut pairs = HashMap::new();
        if dir.exists(&file) {
            let io = |source| TuneError::Io { file: dir.describe(&file), source };
            let bytes = dir.read(&file).map_err(io)?;
            let mut whole = 0;
            for line in bytes.split_inclusive(|&b| b == b'\n') {
                let Ok(parsed) = serde_json::from_slice::<Line>(line) else { break };
                if !line.ends_with(b"\n") {
                    break;
                }
                whole += line.len();
                pairs.insert(parsed.key, parsed.pair);
            }
            if whole < bytes.len() {
                // The end was cut off in the middle of a line: keep what is whole.
                dir.write(&file, &bytes[..whole]).map_err(io)?;
            }
        }
        Ok(Self { file, pairs, computed: 0, reused: 0 })
    }

    /// Pairs that were computed and pairs that were found, since the cache was opened.
    pub fn counts(&self) -> (usize, usize) {
        (self.computed, self.reused)
    }

    /// What is known about a pair; with `label`, only if its label is known.
    pub fn get(&mut self, question: &Question, passage: &Passage, label: bool) -> Option<PairScore> {
        let found = self.pairs.get(&key(question, passage)).copied().filter(|p| !label || p.label.is_some());
        self.reused += usize::from(found.is_some());
        found
    }

    /// Scores of pairs, in their order: found, or computed and appended. With `label`, generations are made too.
    ///
    /// `on_batch` is told how many pairs are computed and may cancel by returning false; what was computed is kept
    /// and the result is none.
    pub fn judge(
        &mut self,
        dir: &dyn Directory,
        judge: &Judge<'_>,
        pairs: &[(&Question, &Passage)],
        label: bool,
        on_batch: &mut dyn FnMut(usize) -> bool,
    ) -> Result<Option<Vec<PairScore>>> {
        let mut missing: Vec<usize> = Vec::new();
        for (i, (question, passage)) in pairs.iter().enumerate() {
            if self.get(question, passage, label).is_none() {
                missing.push(i);
            }
        }
        missing.dedup_by_key(|i| key(pairs[*i].0, pairs[*i].1));
        // Blocks bound what a cancel or a kill can lose.
        for block in missing.chunks(256) {
            let contexts: Vec<[&Passage; 1]> = block.iter().map(|&i| [pairs[i].1]).collect();
            let items: Vec<JudgeItem<'_>> = block
                .iter()
                .zip(&contexts)
                .map(|(&i, context)| JudgeItem { question: pairs[i].0, passages: context })
                .collect();
            let mut go_on = true;
            let mut tick = |n: usize| {
                go_on &= on_batch(n);
                true
            };
            let scored: Vec<PairScore> = if label {
                let all = judge.batch(&items, &mut tick)?;
                all.iter().map(|j| PairScore { label: Some(j.label), ..of(&j.rag) }).collect()
            } else {
                judge.score_only(&items, &mut tick)?.iter().map(of).collect()
            };
            let mut lines = Vec::new();
            for (&i, pair) in block.iter().zip(scored) {
                let (question, passage) = pairs[i];
                let key = key(question, passage);
                self.pairs.insert(key, pair);
                let line = Line { key, question: question.id.clone(), passage: passage.id.clone(), pair };
                lines.extend(serde_json::to_vec(&line).unwrap_or_default());
                lines.push(b'\n');
            }
            self.computed += block.len();
            dir.append(&self.file, &lines)
                .map_err(|source| TuneError::Io { file: dir.describe(&self.file), source })?;
            if !go_on {
                return Ok(None);
            }
        }
        Ok(Some(pairs.iter().filter_map(|(q, p)| self.pairs.get(&key(q, p)).copied()).collect()))
    }
}

fn of(score: &RagScore) -> PairScore {
    PairScore { score: score.score, label: None, preferred: score.closed_set_positive() }
}

fn key(question: &Question, passage: &Passage) -> u64 {
    let mut bytes = Vec::new();
    let fields = [&question.text, &passage.title, &passage.text];
    for field in fields.into_iter().chain(&question.choices).chain(&question.answers) {
        bytes.extend_from_slice(field.as_bytes());
        bytes.push(0);
    }
    hash64(&bytes, 1)
}
