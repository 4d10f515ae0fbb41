//! Where positives and negatives come from: the pools before training, the walk during the online stage.

use ragtune_rag::{Judge, SearchMode, SearchSettings};
use ragtune_text::{Passage, Question, SparseVector, TaskKind};

use super::{Advance, Record, Tuner};
use crate::cache::PairScore;
use crate::error::{Result, TuneError};
use crate::pools::{Pool, PoolReport, Walk};
use crate::settings::Supervision;

/// Questions whose candidates are labelled in one unit of work.
const POOL_BLOCK: usize = 16;
/// Passages of a ranking that the online walk scores at once.
const WALK_BLOCK: usize = 4;
const POOLS: &str = "pools.json";

impl Tuner<'_> {
    pub(super) fn fill_pools(&mut self, go_on: &mut dyn FnMut() -> bool) -> Result<Advance> {
        if self.pools.is_empty() && self.input.dir.exists(POOLS) {
            let damaged = |reason: String| TuneError::Damaged { file: self.input.dir.describe(POOLS), reason };
            let bytes = self.input.dir.read(POOLS).map_err(|e| self.io(POOLS, e))?;
            let pools: Vec<Pool> = serde_json::from_slice(&bytes).map_err(|e| damaged(e.to_string()))?;
            if pools.len() != self.train.len() {
                return Err(damaged(format!("{} pools for {} questions", pools.len(), self.train.len())));
            }
            self.pools = pools;
            return self.finish_pools(false);
        }
        let (done, total) = (self.pools.len(), self.train.len());
        if done == total {
            return self.finish_pools(true);
        }
        let block: Vec<usize> = self.train[done..(done + POOL_BLOCK).min(total)].to_vec();
        let questions: Vec<&Question> = block.iter().map(|&i| &self.input.questions[i]).collect();
        let new = match self.input.settings.supervision {
            Supervision::Gold => self.gold_pools(&questions)?,
            Supervision::Rag => match self.rag_pools(&questions, go_on)? {
                Some(pools) => pools,
                None => return Ok(Advance::Cancelled),
            },
        };
        self.pools.extend(new);
        Ok(Advance::Scored { done: self.pools.len(), total })
    }

    /// Positives are the gold passages; negatives the passages that share most tokens with the question.
    fn gold_pools(&self, questions: &[&Question]) -> Result<Vec<Pool>> {
        let encoder = &self.trainer.encoder;
        let bags = questions
            .iter()
            .map(|q| Ok(SparseVector::binary(encoder.vocab.bag(&encoder.question_ids(&q.text)?))))
            .collect::<Result<Vec<_>>>()?;
        let hits = self.input.index.bot_many(&bags, self.input.settings.k);
        Ok(questions
            .iter()
            .zip(hits)
            .map(|(q, hits)| {
                let gold: Vec<u32> = q.gold_ids.iter().filter_map(|id| self.input.index.ordinal(id)).collect();
                Pool {
                    negatives: hits.iter().filter(|h| !gold.contains(&h.ordinal)).map(|h| (h.ordinal, None)).collect(),
                    positives: gold.into_iter().map(|g| (g, None)).collect(),
                }
            })
            .collect())
    }

    /// The top k by the initial retriever, labelled and scored by the LLM (method, section 5).
    fn rag_pools(&mut self, questions: &[&Question], go_on: &mut dyn FnMut() -> bool) -> Result<Option<Vec<Pool>>> {
        let settings = &self.input.settings;
        let search = SearchSettings {
            // As a set, late with m = k is its first stage: the cheaper of the two serves.
            mode: match settings.first_stage {
                ragtune_rag::FirstStage::Bot => SearchMode::Bot,
                ragtune_rag::FirstStage::Own => SearchMode::Own,
            },
            first_stage: settings.first_stage,
            m: settings.k,
            k: settings.k,
            top_k: settings.top_k,
            batch_tokens: settings.chunk_tokens,
        };
        let texts: Vec<&str> = questions.iter().map(|q| q.text.as_str()).collect();
        let hits = self.retriever()?.search(&texts, &search)?;
        let mut pairs: Vec<(usize, u32)> = Vec::new();
        for (i, hits) in hits.iter().enumerate() {
            pairs.extend(hits.iter().map(|h| (i, h.ordinal)));
        }
        let Some(scores) = self.judge(questions, &pairs, true, go_on)? else { return Ok(None) };
        let mut scored: Vec<Vec<(u32, PairScore)>> = vec![Vec::new(); questions.len()];
        for ((i, ordinal), score) in pairs.into_iter().zip(scores) {
            scored[i].push((ordinal, score));
        }
        Ok(Some(scored.iter().map(|s| Pool::from_labels(s)).collect()))
    }

    fn finish_pools(&mut self, fresh: bool) -> Result<Advance> {
        if fresh {
            let bytes = serde_json::to_vec(&self.pools).unwrap_or_default();
            self.input.dir.write(POOLS, &bytes).map_err(|e| self.io(POOLS, e))?;
        }
        self.pools_done = true;
        self.usable = (0..self.pools.len()).filter(|&i| self.pools[i].usable()).collect();
        let auc = self.label_score_auc();
        let report = PoolReport::of(&self.pools, auc);
        if self.input.settings.supervision == Supervision::Rag {
            self.warnings.extend(report.warnings());
        }
        if self.usable.len() < 2 {
            let reason = format!(
                "of {} train questions {} have no positive and {} no negative among their {} candidates; raise k, or make the initial retriever better with gold supervision",
                report.questions, report.without_positive, report.without_negative, self.input.settings.k
            );
            return Err(TuneError::NoQuestions { reason });
        }
        self.record(Record::Pools { report })
    }

    fn label_score_auc(&self) -> Option<f64> {
        let mut pairs = Vec::new();
        for (pool, &q) in self.pools.iter().zip(&self.train) {
            if self.input.questions[q].kind() == TaskKind::FreeForm {
                for (side, label) in [(&pool.positives, true), (&pool.negatives, false)] {
                    pairs.extend(side.iter().filter_map(|(_, s)| s.map(|s| (f64::from(s), label))));
                }
            }
        }
        ragtune_eval::correlation::roc_auc(&pairs)
    }

    /// Late retrieval with the current encoder, and the walk down each ranking (method, section 6).
    pub(super) fn walk(&mut self, members: &[usize], go_on: &mut dyn FnMut() -> bool) -> Result<Option<Vec<Walk>>> {
        let settings = &self.input.settings;
        let search = SearchSettings {
            mode: SearchMode::Late,
            first_stage: settings.first_stage,
            m: settings.m,
            k: settings.m,
            top_k: settings.top_k,
            batch_tokens: settings.chunk_tokens,
        };
        let questions: Vec<&Question> = members.iter().map(|&p| &self.input.questions[self.train[p]]).collect();
        let texts: Vec<&str> = questions.iter().map(|q| q.text.as_str()).collect();
        let rankings = self.retriever()?.search(&texts, &search)?;
        let mut walks = vec![Walk::default(); members.len()];
        let mut open: Vec<usize> = (0..members.len()).collect();
        let mut from = 0;
        let longest = rankings.iter().map(Vec::len).max().unwrap_or(0);
        while !open.is_empty() && from < longest {
            let mut pairs: Vec<(usize, u32)> = Vec::new();
            for &i in &open {
                pairs.extend(rankings[i].iter().skip(from).take(WALK_BLOCK).map(|h| (i, h.ordinal)));
            }
            let Some(scores) = self.judge(&questions, &pairs, false, go_on)? else { return Ok(None) };
            for ((i, ordinal), score) in pairs.into_iter().zip(scores) {
                walks[i].passages += 1;
                if walks[i].negative.is_none() {
                    walks[i].take(&self.pools[members[i]], questions[i].kind(), ordinal, &score);
                }
            }
            open.retain(|&i| walks[i].negative.is_none());
            from += WALK_BLOCK;
        }
        Ok(Some(walks))
    }

    /// Log RAG scores of (question, ordinal) pairs from the cache or the LLM.
    pub(super) fn judge(
        &mut self,
        questions: &[&Question],
        pairs: &[(usize, u32)],
        label: bool,
        go_on: &mut dyn FnMut() -> bool,
    ) -> Result<Option<Vec<PairScore>>> {
        let (Some(lm), Some(cache)) = (self.input.lm, &mut self.cache) else { return Ok(Some(Vec::new())) };
        let mut judge = Judge::new(lm, self.input.template);
        judge.settings = self.input.settings.judge.clone();
        let passages: Vec<Passage> =
            pairs.iter().map(|&(_, o)| Ok(self.input.index.passage(o)?)).collect::<Result<_>>()?;
        let pairs: Vec<(&Question, &Passage)> =
            pairs.iter().zip(&passages).map(|(&(i, _), p)| (questions[i], p)).collect();
        cache.judge(self.input.cache_dir, &judge, &pairs, label, &mut |_| go_on())
    }
}
