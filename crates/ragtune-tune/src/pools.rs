//! Pools of positives and negatives, the thresholds that come from them, and the walk of the online stage
//! (method, sections 5 and 6).

use ragtune_text::TaskKind;
use rand::seq::IndexedRandom;
use rand::{Rng, RngExt};
use serde::{Deserialize, Serialize};

use crate::cache::PairScore;

/// D+ and D- of one question: ordinals with log RAG scores (none under gold supervision).
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Pool {
    /// Passages that lead to the right answer.
    pub positives: Vec<(u32, Option<f32>)>,
    /// Passages that do not.
    pub negatives: Vec<(u32, Option<f32>)>,
}

impl Pool {
    /// Pools by label.
    pub fn from_labels(scored: &[(u32, PairScore)]) -> Self {
        let mut pool = Self::default();
        for (ordinal, pair) in scored {
            let side = if pair.label == Some(true) { &mut pool.positives } else { &mut pool.negatives };
            side.push((*ordinal, Some(pair.score)));
        }
        pool
    }

    /// Whether the question can be trained on: a question with an empty pool is dropped.
    pub fn usable(&self) -> bool {
        !self.positives.is_empty() && !self.negatives.is_empty()
    }

    /// Whether a passage is a known positive.
    pub fn is_positive(&self, ordinal: u32) -> bool {
        self.positives.iter().any(|(p, _)| *p == ordinal)
    }

    /// `(max S(D-), min S(D+))`: the question's own thresholds.
    pub fn thresholds(&self) -> (f32, f32) {
        let scores = |side: &[(u32, Option<f32>)]| side.iter().filter_map(|(_, s)| *s).collect::<Vec<_>>();
        let highest_negative = scores(&self.negatives).into_iter().fold(f32::NEG_INFINITY, f32::max);
        let lowest_positive = scores(&self.positives).into_iter().fold(f32::INFINITY, f32::min);
        (highest_negative, lowest_positive)
    }

    /// Whether a newly scored passage is positive (`Some(true)`), negative (`Some(false)`) or left out.
    pub fn call(&self, kind: TaskKind, pair: &PairScore) -> Option<bool> {
        if kind == TaskKind::ClosedSet {
            return Some(pair.preferred == Some(true));
        }
        let (highest_negative, lowest_positive) = self.thresholds();
        match (pair.score > highest_negative, pair.score < lowest_positive) {
            (true, false) => Some(true),
            (false, true) => Some(false),
            _ => None,
        }
    }
}

/// The walk down one question's ranking: collects positives and stops at the first negative.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Walk {
    /// Positives met, best first.
    pub positives: Vec<(u32, f32)>,
    /// The first negative, where the walk ends.
    pub negative: Option<(u32, f32)>,
    /// Passages judged: blocks of the ranking at a time, of which the last may reach behind the negative.
    pub passages: usize,
}

impl Walk {
    /// Takes the next passage of the ranking; false when the walk is over.
    pub fn take(&mut self, pool: &Pool, kind: TaskKind, ordinal: u32, pair: &PairScore) -> bool {
        match pool.call(kind, pair) {
            Some(true) => self.positives.push((ordinal, pair.score)),
            Some(false) => self.negative = Some((ordinal, pair.score)),
            None => {}
        }
        self.negative.is_none()
    }

    /// The step's positive and negative: uniform among the positives met, and the first negative. What is missing is
    /// drawn from the pools, without what the walk found to be the opposite: a closed-set question's label comes from
    /// the generation and the walk's call from the options' probabilities, so the two may disagree.
    ///
    /// Both pools must hold something. When the walk disagrees with a whole pool, that pool is drawn from all the same.
    pub fn pair(&self, pool: &Pool, rng: &mut impl Rng) -> [(u32, Option<f32>); 2] {
        let negative = self.negative.map(|(ordinal, score)| (ordinal, Some(score)));
        let positive = match self.positives.choose(rng) {
            Some(&(ordinal, score)) => (ordinal, Some(score)),
            None => draw(&pool.positives, &|p| negative.is_some_and(|(n, _)| n == p), rng),
        };
        let called_positive = |n: u32| self.positives.iter().any(|&(p, _)| p == n);
        [positive, negative.unwrap_or_else(|| draw(&pool.negatives, &called_positive, rng))]
    }
}

/// One of a pool's passages, uniform among those that are not left out; among all when none remains.
fn draw(from: &[(u32, Option<f32>)], left_out: &dyn Fn(u32) -> bool, rng: &mut impl Rng) -> (u32, Option<f32>) {
    let remaining: Vec<_> = from.iter().filter(|(ordinal, _)| !left_out(*ordinal)).collect();
    match remaining.choose(rng) {
        Some(&&passage) => passage,
        None => from[rng.random_range(0..from.len())],
    }
}

/// Row-major [N, 2N]: true where a passage of the batch must not count as a negative of a question, because it is the
/// question's own positive once more or a known positive of it (method, section 7).
///
/// `ordinals` are the N positives, then the N negatives; `known(i, ordinal)` tells the known positives of question i.
pub fn in_batch_mask(ordinals: &[u32], known: &dyn Fn(usize, u32) -> bool) -> Vec<bool> {
    let n = ordinals.len() / 2;
    let mut masked = vec![false; 2 * n * n];
    for i in 0..n {
        for (j, &ordinal) in ordinals.iter().enumerate() {
            let own = j == i || j == n + i;
            masked[i * 2 * n + j] = !own && (ordinal == ordinals[i] || known(i, ordinal));
        }
    }
    masked
}

/// Counts over all pools, for the report and the warnings.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct PoolReport {
    /// Questions asked.
    pub questions: usize,
    /// Questions with both pools.
    pub usable: usize,
    /// Questions without a positive.
    pub without_positive: usize,
    /// Questions without a negative.
    pub without_negative: usize,
    /// Mean size of D+ over all questions.
    pub positives: f64,
    /// Mean size of D- over all questions.
    pub negatives: f64,
    /// ROC-AUC of the RAG score for the RAG label over all pairs, free-form questions only.
    pub auc: Option<f64>,
    /// RAG scores of the pairs in D+ and in D-; empty with gold supervision.
    #[serde(default)]
    pub scores: ScoreHistogram,
}

/// How many log RAG scores lie between neighbouring edges.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct ScoreHistogram {
    /// Natural logarithms, ascending; scores below the first and above the last are counted at the ends.
    pub edges: Vec<f32>,
    /// Pairs of D+, one count fewer than edges.
    pub positives: Vec<u32>,
    /// Pairs of D-.
    pub negatives: Vec<u32>,
}

/// Bins of a histogram.
const BINS: usize = 24;

impl ScoreHistogram {
    /// Counts the scores of all pools. The edges are whole numbers of log probability between which 96 of 100 scores
    /// lie: one answer of a hundred tokens would else squeeze all the others into one bin.
    pub fn of(pools: &[Pool]) -> Self {
        type Side = [(u32, Option<f32>)];
        fn known(side: &Side) -> impl Iterator<Item = f32> + '_ {
            side.iter().filter_map(|(_, score)| *score).filter(|score| !score.is_nan())
        }
        let all = pools.iter().flat_map(|pool| known(&pool.positives).chain(known(&pool.negatives)));
        let mut finite: Vec<f32> = all.filter(|score| score.is_finite()).collect();
        finite.sort_unstable_by(f32::total_cmp);
        let (Some(&lowest), Some(&highest)) =
            (finite.get(finite.len() / 50), finite.get(finite.len().saturating_sub(1 + finite.len() / 50)))
        else {
            return Self::default();
        };
        // Log probabilities are at most 0.
        let top = highest.ceil().min(0.0);
        let bottom = lowest.floor().min(top - 1.0);
        let width = (top - bottom) / BINS as f32;
        let edges = (0..=BINS).map(|i| if i == BINS { top } else { bottom + width * i as f32 }).collect();
        let count = |side: fn(&Pool) -> &Side| {
            let mut counts = vec![0; BINS];
            for score in pools.iter().flat_map(|pool| known(side(pool))) {
                let bin = ((score - bottom) / width).clamp(0.0, (BINS - 1) as f32);
                counts[bin as usize] += 1;
            }
            counts
        };
        Self { edges, positives: count(|pool| &pool.positives), negatives: count(|pool| &pool.negatives) }
    }
}

impl PoolReport {
    /// Counts the pools.
    pub fn of(pools: &[Pool], auc: Option<f64>) -> Self {
        let n = pools.len().max(1) as f64;
        Self {
            questions: pools.len(),
            usable: pools.iter().filter(|p| p.usable()).count(),
            without_positive: pools.iter().filter(|p| p.positives.is_empty()).count(),
            without_negative: pools.iter().filter(|p| p.negatives.is_empty()).count(),
            positives: pools.iter().map(|p| p.positives.len()).sum::<usize>() as f64 / n,
            negatives: pools.iter().map(|p| p.negatives.len()).sum::<usize>() as f64 / n,
            auc,
            scores: ScoreHistogram::of(pools),
        }
    }

    /// The failure signatures that these counts show, each with its numbers and what to try (method, section 10).
    pub fn warnings(&self) -> Vec<String> {
        let mut warnings = Vec::new();
        if self.questions == 0 {
            return warnings;
        }
        let share = |n: usize| 100.0 * n as f64 / self.questions as f64;
        if let Some(auc) = self.auc
            && auc < 0.6
        {
            warnings.push(format!(
                "RAG scores hardly predict labels (ROC-AUC {auc:.2}; 0.5 is chance): the online stage would learn noise. Check the prompt template and the answers' form, or use the offline stage alone"
            ));
        }
        if share(self.without_positive) > 50.0 {
            warnings.push(format!(
                "weak initial retriever: {:.0} % of the questions have no passage that leads the LLM to the answer among their candidates. Raise k, tune with gold supervision first, or check that the LLM can answer from a good passage",
                share(self.without_positive)
            ));
        }
        if share(self.without_negative) > 50.0 {
            warnings.push(format!(
                "single-class pools: for {:.0} % of the questions every candidate leads to the answer. The LLM may know the answers by heart; use harder questions or a smaller LLM",
                share(self.without_negative)
            ));
        }
        warnings
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pool() -> Pool {
        Pool { positives: vec![(1, Some(-0.5)), (2, Some(-1.5))], negatives: vec![(3, Some(-2.0)), (4, Some(-4.0))] }
    }

    fn score(score: f32) -> PairScore {
        PairScore { score, label: None, preferred: None }
    }

    #[test]
    fn thresholds_are_the_questions_own() {
        assert_eq!(pool().thresholds(), (-2.0, -1.5));
        let call = |s| pool().call(TaskKind::FreeForm, &score(s));
        assert_eq!(call(-1.0), Some(true), "above every negative and not below the lowest positive");
        assert_eq!(call(-3.0), Some(false), "below every positive and not above the highest negative");
        assert_eq!(call(-1.75), None, "above every negative, below every positive: left out");
        let mut crossed = pool();
        crossed.negatives.push((5, Some(-1.0)));
        assert_eq!(crossed.call(TaskKind::FreeForm, &score(-1.2)), None, "neither: left out");
    }

    #[test]
    fn closed_set_questions_follow_the_preferred_option() {
        let call = |preferred| {
            pool().call(TaskKind::ClosedSet, &PairScore { score: -9.0, label: None, preferred: Some(preferred) })
        };
        assert_eq!(call(true), Some(true));
        assert_eq!(call(false), Some(false));
    }

    #[test]
    fn known_positives_of_a_question_are_no_negatives_for_it() {
        // Questions 0, 1 share positive 7; question 0 also knows passage 9, which is question 1's negative.
        let ordinals = [7, 7, 8, 9];
        let mask = in_batch_mask(&ordinals, &|i, ordinal| i == 0 && ordinal == 9);
        assert_eq!(mask, [false, true, false, true, true, false, false, false]);
    }

    #[test]
    fn the_walk_stops_at_the_first_negative() {
        let mut walk = Walk::default();
        let ranking = [(7, -0.1), (8, -1.75), (9, -1.0), (10, -5.0), (11, -0.2)];
        let mut taken = 0;
        for (ordinal, s) in ranking {
            taken += 1;
            if !walk.take(&pool(), TaskKind::FreeForm, ordinal, &score(s)) {
                break;
            }
        }
        assert_eq!(taken, 4);
        assert_eq!(walk.positives, vec![(7, -0.1), (9, -1.0)]);
        assert_eq!(walk.negative, Some((10, -5.0)));
    }

    #[test]
    fn every_score_is_counted_once_in_its_bin() {
        let scores = |values: &[f32]| values.iter().map(|&s| (0, Some(s))).collect::<Vec<_>>();
        let mut spread = scores(&(0..200).map(|i| -6.0 + 0.03 * i as f32).collect::<Vec<_>>());
        // Outliers are counted at the end and do not stretch the rest.
        spread.extend(scores(&[-400.0, f32::NEG_INFINITY]));
        let pools = [
            Pool { positives: scores(&[-0.1, -0.2]), negatives: spread },
            Pool { positives: Vec::new(), negatives: scores(&[f32::NAN]) },
        ];
        let histogram = ScoreHistogram::of(&pools);
        assert_eq!((histogram.edges.len(), histogram.positives.len()), (BINS + 1, BINS));
        assert_eq!((histogram.edges[0], histogram.edges[BINS]), (-6.0, 0.0));
        assert!(histogram.edges.is_sorted());
        assert_eq!(histogram.negatives.iter().sum::<u32>(), 202, "what is no number is no score");
        assert_eq!(histogram.positives[BINS - 1], 2, "-0.1 and -0.2 lie in the last quarter");
        assert!(histogram.negatives[0] >= 2 + 8, "{:?}", histogram.negatives);
        // Scores in a narrow place still have a width; gold pools have no scores.
        let narrow = ScoreHistogram::of(&[Pool { positives: scores(&[0.0]), negatives: scores(&[0.0]) }]);
        assert_eq!((narrow.edges[0], narrow.positives[BINS - 1], narrow.negatives[BINS - 1]), (-1.0, 1, 1));
        assert_eq!(
            ScoreHistogram::of(&[Pool { positives: vec![(1, None)], negatives: vec![(2, None)] }]),
            Default::default()
        );
    }

    #[test]
    fn what_the_walk_calls_positive_is_not_drawn_as_the_negative() {
        use rand::SeedableRng;
        let mut rng = rand_pcg::Pcg64Mcg::seed_from_u64(1);
        // The generation labelled 3 and 4 as unhelpful; the options' probabilities say that 3 helps.
        let walk = Walk { positives: vec![(3, -0.1)], ..Walk::default() };
        for _ in 0..50 {
            assert_eq!(walk.pair(&pool(), &mut rng), [(3, Some(-0.1)), (4, Some(-4.0))]);
        }
        let walk = Walk { negative: Some((1, -0.5)), ..Walk::default() };
        for _ in 0..50 {
            assert_eq!(walk.pair(&pool(), &mut rng), [(2, Some(-1.5)), (1, Some(-0.5))], "nor the other way round");
        }
        let walk = Walk { positives: vec![(3, -0.1), (4, -0.2)], ..Walk::default() };
        let [_, (negative, _)] = walk.pair(&pool(), &mut rng);
        assert!([3, 4].contains(&negative), "a pool that the walk contradicts as a whole still serves");
        let drawn: std::collections::HashSet<_> =
            (0..200).map(|_| Walk::default().pair(&pool(), &mut rng).map(|p| p.0)).collect();
        assert_eq!(drawn, [[1, 3], [1, 4], [2, 3], [2, 4]].into(), "without a walk every pair is drawn");
    }

    #[test]
    fn warnings_name_the_numbers() {
        let weak = PoolReport { questions: 10, without_positive: 8, auc: Some(0.5), ..Default::default() };
        let warnings = weak.warnings().join("\n");
        assert!(warnings.contains("80 %") && warnings.contains("0.50"), "{warnings}");
        let fine = PoolReport { questions: 10, usable: 9, auc: Some(0.9), ..Default::default() };
        assert!(fine.warnings().is_empty());
    }
}
