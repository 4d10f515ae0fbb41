//! Exact search: sums posting lists dimension by dimension, block by block, and keeps the best.
//!
//! Within a passage the products are added in ascending order of dimension, as `SparseVector::dot` does, so that the
//! scores are the same to the last bit.

use ragtune_text::{Hit, SparseVector};
use rayon::prelude::*;

use crate::postings::{Block, Postings};

/// The best `k` passages by score, ties to the lower ordinal.
pub(crate) fn search(postings: &Postings, query: &SparseVector, k: usize) -> Vec<Hit> {
    if k == 0 {
        return Vec::new();
    }
    let start = || (Best::new(k), vec![0f32; postings.block_len()]);
    let best = (0..postings.blocks())
        .into_par_iter()
        .fold(start, |(mut best, mut scores), at| {
            let block = postings.block(at);
            let scores_of_block = &mut scores[..block.len];
            score_block(&block, query, scores_of_block);
            best.offer(block.base, scores_of_block);
            (best, scores)
        })
        .map(|(best, _)| best)
        .reduce(|| Best::new(k), Best::merge);
    best.into_sorted()
}

/// Searches several queries at once.
pub(crate) fn search_many(postings: &Postings, queries: &[SparseVector], k: usize) -> Vec<Vec<Hit>> {
    queries.par_iter().map(|query| search(postings, query, k)).collect()
}

fn score_block(block: &Block<'_>, query: &SparseVector, scores: &mut [f32]) {
    scores.fill(0.0);
    for (dim, weight) in query.iter() {
        let (locals, values) = block.list(dim);
        // `get_mut` instead of indexing: a damaged file that was not verified must not bring the program down.
        if values.is_empty() {
            for local in locals {
                if let Some(score) = scores.get_mut(usize::from(u16::from_le_bytes(*local))) {
                    *score += weight;
                }
            }
        } else {
            for (local, value) in locals.iter().zip(values) {
                if let Some(score) = scores.get_mut(usize::from(u16::from_le_bytes(*local))) {
                    *score += weight * f32::from_le_bytes(*value);
                }
            }
        }
    }
}

/// The best hits so far: a buffer that is cut back to `k` whenever it is twice as long.
struct Best {
    k: usize,
    hits: Vec<Hit>,
    /// Score of the k-th best at the last cut; what comes later must be above it.
    bar: Option<f32>,
}

impl Best {
    fn new(k: usize) -> Self {
        Self { k, hits: Vec::new(), bar: None }
    }

    /// Takes the scores of a block. Blocks must come in ascending order.
    fn offer(&mut self, base: u32, scores: &[f32]) {
        let limit = self.k.saturating_mul(2).max(256);
        for (local, &score) in scores.iter().enumerate() {
            if self.bar.is_some_and(|bar| score <= bar) {
                continue;
            }
            self.hits.push(Hit { ordinal: base + local as u32, score });
            if self.hits.len() >= limit {
                self.cut();
            }
        }
    }

    fn cut(&mut self) {
        if self.hits.len() > self.k {
            let (_, last, _) = self.hits.select_nth_unstable_by(self.k - 1, better);
            self.bar = Some(last.score);
            self.hits.truncate(self.k);
        }
    }

    fn merge(mut self, mut other: Self) -> Self {
        self.hits.append(&mut other.hits);
        self.cut();
        self
    }

    fn into_sorted(mut self) -> Vec<Hit> {
        self.cut();
        self.hits.sort_unstable_by(better);
        self.hits
    }
}

fn better(a: &Hit, b: &Hit) -> std::cmp::Ordering {
    b.score.total_cmp(&a.score).then(a.ordinal.cmp(&b.ordinal))
}
