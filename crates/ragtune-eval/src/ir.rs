//! Retrieval figures against relevance judgements, equal to trec_eval's.
//!
//! As there: documents are ordered by score (32 bits, descending) and on a tie by identifier (bytes, descending); a
//! document is relevant from grade 1; gains are the grades themselves; unjudged documents count as irrelevant.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::run::{Retrieved, Run};

/// Grades of documents by identifier, for one query.
pub type Judgements = BTreeMap<String, i32>;

/// Cut-offs of recall unless told otherwise.
pub const CUTOFFS: [usize; 4] = [1, 5, 20, 100];

/// The figures of one query, or their means.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct IrScores {
    /// recall@k by k: the share of the relevant documents that is among the first k.
    pub recall: BTreeMap<usize, f64>,
    /// 1 / rank of the first relevant document, 0 when it is beyond rank 10.
    #[serde(rename = "mrr@10")]
    pub mrr_at_10: f64,
    /// Normalised discounted cumulative gain of the first 10.
    #[serde(rename = "ndcg@10")]
    pub ndcg_at_10: f64,
}

/// The identifiers in trec_eval's order.
pub fn trec_order(retrieved: &[Retrieved]) -> Vec<&str> {
    let mut order: Vec<&Retrieved> = retrieved.iter().collect();
    order.sort_by(|a, b| b.score.total_cmp(&a.score).then_with(|| b.id.cmp(&a.id)));
    order.into_iter().map(|document| document.id.as_str()).collect()
}

fn grade(judged: &Judgements, id: &str) -> i32 {
    judged.get(id).copied().unwrap_or(0)
}

/// The share of the relevant documents that is among the first `k`; 0 when none is relevant.
pub fn recall(ranked: &[&str], judged: &Judgements, k: usize) -> f64 {
    let relevant = judged.values().filter(|&&grade| grade > 0).count();
    let found = ranked.iter().take(k).filter(|id| grade(judged, id) > 0).count();
    if relevant == 0 { 0.0 } else { found as f64 / relevant as f64 }
}

/// 1 / rank of the first relevant document, 0 when it is not among the first `k`.
pub fn reciprocal_rank(ranked: &[&str], judged: &Judgements, k: usize) -> f64 {
    let first = ranked.iter().take(k).position(|id| grade(judged, id) > 0);
    first.map_or(0.0, |at| 1.0 / (at as f64 + 1.0))
}

/// Discounted cumulative gain of the first `k` over that of the best order; 0 when no document is relevant.
pub fn ndcg(ranked: &[&str], judged: &Judgements, k: usize) -> f64 {
    let mut ideal: Vec<i32> = judged.values().copied().collect();
    ideal.sort_unstable_by(|a, b| b.cmp(a));
    let best = discounted(ideal.into_iter(), k);
    if best > 0.0 { discounted(ranked.iter().map(|id| grade(judged, id)), k) / best } else { 0.0 }
}

fn discounted(gains: impl Iterator<Item = i32>, k: usize) -> f64 {
    gains.take(k).enumerate().map(|(at, gain)| f64::from(gain.max(0)) / (at as f64 + 2.0).log2()).sum()
}

/// All figures of one query.
pub fn score_query(retrieved: &[Retrieved], judged: &Judgements, cutoffs: &[usize]) -> IrScores {
    let ranked = trec_order(retrieved);
    IrScores {
        recall: cutoffs.iter().map(|&k| (k, recall(&ranked, judged, k))).collect(),
        mrr_at_10: reciprocal_rank(&ranked, judged, 10),
        ndcg_at_10: ndcg(&ranked, judged, 10),
    }
}

/// The figures of every query that has both a ranking and judgements, as pytrec_eval gives them.
///
/// A query whose judgements hold no relevant document scores 0; one that found nothing scores 0 if the run lists it.
pub fn score_run(run: &Run, qrels: &BTreeMap<String, Judgements>, cutoffs: &[usize]) -> BTreeMap<String, IrScores> {
    let judged = |query: &String| qrels.get(query).filter(|judged| !judged.is_empty());
    run.queries
        .iter()
        .filter_map(|(query, found)| Some((query.clone(), score_query(found, judged(query)?, cutoffs))))
        .collect()
}

/// Means over queries; `None` without queries.
pub fn mean<'a>(scores: impl IntoIterator<Item = &'a IrScores>) -> Option<IrScores> {
    let mut sum = IrScores::default();
    let mut count = 0.0;
    for scores in scores {
        for (&k, recall) in &scores.recall {
            *sum.recall.entry(k).or_default() += recall;
        }
        sum.mrr_at_10 += scores.mrr_at_10;
        sum.ndcg_at_10 += scores.ndcg_at_10;
        count += 1.0;
    }
    if count == 0.0 {
        return None;
    }
    sum.recall.values_mut().for_each(|recall| *recall /= count);
    sum.mrr_at_10 /= count;
    sum.ndcg_at_10 /= count;
    Some(sum)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hand_computed_ranking() {
        let judged = [("a", 2), ("b", 0), ("c", 1)].map(|(id, grade)| (id.to_owned(), grade)).into();
        let ranked = ["b", "c", "x", "a"];
        assert_eq!(recall(&ranked, &judged, 1), 0.0);
        assert_eq!(recall(&ranked, &judged, 2), 0.5);
        assert_eq!(recall(&ranked, &judged, 9), 1.0);
        assert_eq!(reciprocal_rank(&ranked, &judged, 10), 0.5);
        assert_eq!(reciprocal_rank(&ranked, &judged, 1), 0.0);
        let (found, best) = (1.0 / 3f64.log2() + 2.0 / 5f64.log2(), 2.0 + 1.0 / 3f64.log2());
        assert!((ndcg(&ranked, &judged, 10) - found / best).abs() < 1e-12);
    }

    #[test]
    fn no_queries_have_no_mean() {
        assert_eq!(mean([]), None);
    }
}
