//! Does the language model's score (RAG score) tell passages that lead to the right answer from those that do not?

use serde::{Deserialize, Serialize};

/// The area under the ROC curve: the chance that a positive scores above a negative, ties counting half
/// (Mann and Whitney 1947). `None` when one of the classes is empty or a score is NaN.
///
/// Takes pairs of score and label.
pub fn roc_auc(scored: &[(f64, bool)]) -> Option<f64> {
    let positives = scored.iter().filter(|(_, label)| *label).count();
    let negatives = scored.len() - positives;
    if positives == 0 || negatives == 0 || scored.iter().any(|(score, _)| score.is_nan()) {
        return None;
    }
    let mut order = scored.to_vec();
    order.sort_by(|a, b| a.0.total_cmp(&b.0));
    // Sum of the positives' ranks, each twice so that the mean rank of a tie stays whole.
    let (mut twice_ranks, mut before) = (0u128, 0usize);
    for tie in order.chunk_by(|a, b| a.0 == b.0) {
        let in_tie = tie.iter().filter(|(_, label)| *label).count();
        twice_ranks += in_tie as u128 * (2 * before + tie.len() + 1) as u128;
        before += tie.len();
    }
    let least = positives as u128 * (positives as u128 + 1);
    Some((twice_ranks - least) as f64 / (2.0 * positives as f64 * negatives as f64))
}

/// One bin of a calibration curve.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct CalibrationBin {
    /// Lower end of the bin.
    pub low: f64,
    /// Upper end; it belongs to the next bin, but 1 belongs to the last.
    pub high: f64,
    /// Pairs in the bin.
    pub count: usize,
    /// Mean probability of the bin's pairs; `None` in an empty bin.
    pub mean_score: Option<f64>,
    /// Share of the bin's pairs that are positive; `None` in an empty bin.
    pub positive_share: Option<f64>,
}

/// The calibration curve over `bins` bins of equal width.
///
/// Takes pairs of probability (limited to 0..1; NaN is left out) and label.
pub fn calibration(scored: &[(f64, bool)], bins: usize) -> Vec<CalibrationBin> {
    let mut sums = vec![(0usize, 0.0f64, 0usize); bins];
    for &(score, label) in scored.iter().filter(|(score, _)| !score.is_nan()) {
        let score = score.clamp(0.0, 1.0);
        let at = ((score * bins as f64) as usize).min(bins.saturating_sub(1));
        if let Some((count, sum, positives)) = sums.get_mut(at) {
            *count += 1;
            *sum += score;
            *positives += usize::from(label);
        }
    }
    let edge = |at: usize| at as f64 / bins as f64;
    let bin = |(at, (count, sum, positives)): (usize, (usize, f64, usize))| CalibrationBin {
        low: edge(at),
        high: edge(at + 1),
        count,
        mean_score: (count > 0).then(|| sum / count as f64),
        positive_share: (count > 0).then(|| positives as f64 / count as f64),
    };
    sums.into_iter().enumerate().map(bin).collect()
}

/// The expected calibration error: the mean distance between a bin's probability and its share of positives, weighted
/// by its pairs (Naeini et al. 2015). `None` without pairs.
pub fn calibration_error(bins: &[CalibrationBin]) -> Option<f64> {
    let total: usize = bins.iter().map(|bin| bin.count).sum();
    let gap = |bin: &CalibrationBin| Some(bin.count as f64 * (bin.mean_score? - bin.positive_share?).abs());
    (total > 0).then(|| bins.iter().filter_map(gap).sum::<f64>() / total as f64)
}

/// What the online stage's threshold rule says of a passage (OpenRAG, section 3.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Call {
    /// Scores above every known negative.
    Positive,
    /// Scores below every known positive.
    Negative,
    /// Neither, or both.
    LeftOut,
}

/// A question's own thresholds, from its offline pools.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Thresholds {
    /// Largest score among the known negatives; `None` without any.
    pub max_negative: Option<f64>,
    /// Smallest score among the known positives; `None` without any.
    pub min_positive: Option<f64>,
}

impl Thresholds {
    /// The thresholds of a pool of scored and labelled passages.
    pub fn of(pool: &[(f64, bool)]) -> Self {
        let scores = |label: bool| pool.iter().filter(move |pair| pair.1 == label).map(|pair| pair.0);
        Self { max_negative: scores(false).reduce(f64::max), min_positive: scores(true).reduce(f64::min) }
    }

    /// What the rule says of a score. A class without known members has no threshold, so the rule never calls by it.
    pub fn call(&self, score: f64) -> Call {
        let above = self.max_negative.is_some_and(|bar| score > bar);
        let below = self.min_positive.is_some_and(|bar| score < bar);
        match (above, below) {
            (true, false) => Call::Positive,
            (false, true) => Call::Negative,
            _ => Call::LeftOut,
        }
    }
}

/// How well the rule's calls agree with the labels. Shares are `None` where nothing was called or labelled so.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct RuleQuality {
    /// Of the passages called positive, the share that is.
    pub positive_precision: Option<f64>,
    /// Of the positive passages, the share called so.
    pub positive_recall: Option<f64>,
    /// Of the passages called negative, the share that is.
    pub negative_precision: Option<f64>,
    /// Of the negative passages, the share called so.
    pub negative_recall: Option<f64>,
    /// Share of all passages that the rule leaves out.
    pub left_out: Option<f64>,
}

/// Compares calls with labels.
pub fn rule_quality(calls: &[(Call, bool)]) -> RuleQuality {
    let count = |which: &dyn Fn(Call, bool) -> bool| calls.iter().filter(|(call, label)| which(*call, *label)).count();
    let share = |part: usize, whole: usize| (whole > 0).then(|| part as f64 / whole as f64);
    let of_class = |call: Call, label: bool| {
        let right = count(&|c, l| c == call && l == label);
        (share(right, count(&|c, _| c == call)), share(right, count(&|_, l| l == label)))
    };
    let (positive_precision, positive_recall) = of_class(Call::Positive, true);
    let (negative_precision, negative_recall) = of_class(Call::Negative, false);
    let left_out = share(count(&|c, _| c == Call::LeftOut), calls.len());
    RuleQuality { positive_precision, positive_recall, negative_precision, negative_recall, left_out }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn auc_by_pairs(scored: &[(f64, bool)]) -> Option<f64> {
        let (mut sum, mut pairs) = (0.0, 0.0);
        for (positive, _) in scored.iter().filter(|pair| pair.1) {
            for (negative, _) in scored.iter().filter(|pair| !pair.1) {
                sum += if positive > negative { 1.0 } else { f64::from(u8::from(positive == negative)) / 2.0 };
                pairs += 1.0;
            }
        }
        (pairs > 0.0).then(|| sum / pairs)
    }

    /// Scores of which many tie; 0 comes with both signs.
    fn score() -> impl Strategy<Value = f64> {
        prop_oneof![Just(-0.0), (0..5i32).prop_map(|level| f64::from(level) / 4.0), 0.0..=1.0]
    }

    proptest! {
        #[test]
        fn auc_is_the_share_of_rightly_ordered_pairs(scored in prop::collection::vec((score(), any::<bool>()), 0..40)) {
            match (roc_auc(&scored), auc_by_pairs(&scored)) {
                (Some(fast), Some(slow)) => prop_assert!((fast - slow).abs() < 1e-12, "{} {}", fast, slow),
                (fast, slow) => prop_assert_eq!(fast, slow),
            }
        }

        #[test]
        fn calibration_bins_hold_every_pair_once(
            scored in prop::collection::vec((score(), any::<bool>()), 1..40),
            bins in 1usize..12,
        ) {
            let curve = calibration(&scored, bins);
            prop_assert_eq!(curve.len(), bins);
            prop_assert_eq!(curve.iter().map(|bin| bin.count).sum::<usize>(), scored.len());
            for bin in &curve {
                let inside = |mean: f64| (bin.low - 1e-12..=bin.high + 1e-12).contains(&mean);
                prop_assert!(bin.mean_score.is_none_or(inside), "{:?}", bin);
            }
            let positives: f64 = curve.iter().filter_map(|bin| Some(bin.positive_share? * bin.count as f64)).sum();
            let expected = scored.iter().filter(|pair| pair.1).count() as f64;
            prop_assert!((positives - expected).abs() < 1e-9);
            prop_assert!((0.0..=1.0).contains(&calibration_error(&curve).unwrap()));
        }

        #[test]
        fn on_its_own_pool_the_rule_is_never_wrong(pool in prop::collection::vec((score(), any::<bool>()), 0..30)) {
            let thresholds = Thresholds::of(&pool);
            let calls: Vec<_> = pool.iter().map(|&(score, label)| (thresholds.call(score), label)).collect();
            let quality = rule_quality(&calls);
            prop_assert!(quality.positive_precision.is_none_or(|share| share == 1.0));
            prop_assert!(quality.negative_precision.is_none_or(|share| share == 1.0));
        }
    }

    #[test]
    fn the_ends_of_the_scale() {
        assert_eq!(roc_auc(&[(0.9, true), (0.1, false)]), Some(1.0));
        assert_eq!(roc_auc(&[(0.1, true), (0.9, false)]), Some(0.0));
        assert_eq!(roc_auc(&[(0.5, true), (0.5, false)]), Some(0.5));
        assert_eq!(roc_auc(&[(0.5, true)]), None);
        assert_eq!(roc_auc(&[(f64::NAN, true), (0.5, false)]), None);
        assert_eq!(roc_auc(&[(f64::NEG_INFINITY, false), (-3.0, true)]), Some(1.0));
        assert_eq!(calibration_error(&calibration(&[], 10)), None);
        let sure_and_right = calibration(&[(1.0, true), (0.0, false)], 10);
        assert_eq!((sure_and_right[9].count, sure_and_right[0].count), (1, 1));
        assert_eq!(calibration_error(&sure_and_right), Some(0.0));
    }

    #[test]
    fn the_rule_leaves_out_what_its_thresholds_do_not_settle() {
        let overlapping = Thresholds { max_negative: Some(0.6), min_positive: Some(0.4) };
        let calls = [0.7, 0.5, 0.3].map(|score| overlapping.call(score));
        assert_eq!(calls, [Call::Positive, Call::LeftOut, Call::Negative]);
        let apart = Thresholds { max_negative: Some(0.4), min_positive: Some(0.6) };
        assert_eq!([0.6, 0.5, 0.4].map(|score| apart.call(score)), [Call::Positive, Call::LeftOut, Call::Negative]);
        assert_eq!(Thresholds::default().call(0.5), Call::LeftOut);
        let one_sided = Thresholds { max_negative: Some(0.4), min_positive: None };
        assert_eq!([0.5, 0.1].map(|score| one_sided.call(score)), [Call::Positive, Call::LeftOut]);
    }

    #[test]
    fn precision_and_recall_of_calls() {
        use Call::{LeftOut, Negative, Positive};
        let calls = [(Positive, true), (Positive, false), (Negative, false), (LeftOut, true), (LeftOut, false)];
        let quality = rule_quality(&calls);
        assert_eq!((quality.positive_precision, quality.positive_recall), (Some(0.5), Some(0.5)));
        assert_eq!((quality.negative_precision, quality.negative_recall), (Some(1.0), Some(1.0 / 3.0)));
        assert_eq!(quality.left_out, Some(0.4));
        assert_eq!(rule_quality(&[]), RuleQuality::default());
    }
}
