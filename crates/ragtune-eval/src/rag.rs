//! The figures of an evaluation: answers given with the retrieved passages, and the retrieval itself.

use std::collections::BTreeMap;

use serde::de::Error;
use serde::{Deserialize, Deserializer, Serialize};

use crate::ir::IrScores;

/// Numbers of documents in context unless told otherwise.
pub const DOCS: [usize; 2] = [1, 10];

/// Figures by a number of documents or a cut-off; `None` where a figure was not computed.
pub type Figures = BTreeMap<usize, Option<f64>>;

/// The figures of one evaluation, shares in 0..1. A figure that was not computed is `None` (null), never 0.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Metrics {
    /// Share of questions answered rightly (the generation contains a gold answer, or names the right option), by the
    /// number of documents in context.
    #[serde(deserialize_with = "figures")]
    pub rag_accuracy: Figures,
    /// Share of questions whose generation is a gold answer after normalisation, by number of documents.
    #[serde(deserialize_with = "figures")]
    pub em: Figures,
    /// Mean token F1 of the generation with the nearest gold answer, by number of documents.
    #[serde(deserialize_with = "figures")]
    pub f1: Figures,
    /// Share of questions with a gold answer's text among the first k passages, by k.
    #[serde(deserialize_with = "figures")]
    pub answer_recall: Figures,
    /// recall@k against relevance judgements, by k.
    #[serde(deserialize_with = "figures")]
    pub recall: Figures,
    /// Mean reciprocal rank, cut at 10.
    #[serde(rename = "mrr@10")]
    pub mrr_at_10: Option<f64>,
    /// nDCG cut at 10.
    #[serde(rename = "ndcg@10")]
    pub ndcg_at_10: Option<f64>,
    /// Number of questions evaluated.
    pub questions: usize,
}

/// Figures with their numbers as the text that JSON makes of them: where serde reads through another document (a field
/// that is flattened into it), it does not turn them back by itself.
fn figures<'de, D: Deserializer<'de>>(source: D) -> Result<Figures, D::Error> {
    let read = BTreeMap::<String, Option<f64>>::deserialize(source)?;
    let number = |(n, value): (String, Option<f64>)| {
        n.parse().map(|n| (n, value)).map_err(|_| D::Error::custom(format!("{n:?} is no number")))
    };
    read.into_iter().map(number).collect()
}

/// One generated answer and how it compares with the gold answers.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Generation {
    /// What the language model wrote.
    pub text: String,
    /// Whether it is right: contains a gold answer, or names the right option.
    pub correct: bool,
    /// Whether it is a gold answer after normalisation.
    pub em: bool,
    /// Token F1 with the nearest gold answer.
    pub f1: f64,
}

/// Everything about one question of an evaluation.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct PerQuestion {
    /// Question identifier.
    pub id: String,
    /// The question's text.
    pub question: String,
    /// Gold answers.
    pub answers: Vec<String>,
    /// Identifiers of the passages put in context, best first.
    pub passages: Vec<String>,
    /// Generations by the number of documents in context; empty without a language model.
    pub generations: BTreeMap<usize, Generation>,
    /// Number of passages that the search was asked for; it may have found fewer in a small corpus. Figures beyond
    /// this depth count as not computed.
    pub depth: usize,
    /// Rank (from 1) of the first passage that holds a gold answer, `None` when none within `depth` does. Not counted
    /// for a question without gold answers.
    pub answer_rank: Option<usize>,
    /// Figures against relevance judgements, when the question has any.
    pub ir: Option<IrScores>,
}

impl PerQuestion {
    fn answer_found(&self, k: usize) -> Option<f64> {
        let known = !self.answers.is_empty() && k <= self.depth;
        known.then(|| share(self.answer_rank.is_some_and(|rank| rank <= k)))
    }

    /// The judged figures, if the search went as deep as `k`.
    fn ir_within(&self, k: usize) -> Option<&IrScores> {
        self.ir.as_ref().filter(|_| k <= self.depth)
    }
}

fn share(yes: bool) -> f64 {
    if yes { 1.0 } else { 0.0 }
}

/// The mean over the questions that have the figure; `None` when none has.
fn mean(values: impl Iterator<Item = Option<f64>>) -> Option<f64> {
    let (sum, count) = values.flatten().fold((0.0, 0usize), |(sum, count), value| (sum + value, count + 1));
    (count > 0).then(|| sum / count as f64)
}

/// The figures over all questions, each the mean over the questions for which it was computed.
///
/// `docs` and `cutoffs` name the keys of the result; a key for which nothing was computed is `None`.
pub fn aggregate(questions: &[PerQuestion], docs: &[usize], cutoffs: &[usize]) -> Metrics {
    let generated = |figure: fn(&Generation) -> f64| -> Figures {
        docs.iter().map(|&n| (n, mean(questions.iter().map(|q| q.generations.get(&n).map(figure))))).collect()
    };
    let retrieved = |figure: fn(&PerQuestion, usize) -> Option<f64>| -> Figures {
        cutoffs.iter().map(|&k| (k, mean(questions.iter().map(|q| figure(q, k))))).collect()
    };
    let judged = |figure: fn(&IrScores) -> f64| mean(questions.iter().map(|q| q.ir_within(10).map(figure)));
    Metrics {
        rag_accuracy: generated(|generation| share(generation.correct)),
        em: generated(|generation| share(generation.em)),
        f1: generated(|generation| generation.f1),
        answer_recall: retrieved(PerQuestion::answer_found),
        recall: retrieved(|question, k| question.ir_within(k)?.recall.get(&k).copied()),
        mrr_at_10: judged(|scores| scores.mrr_at_10),
        ndcg_at_10: judged(|scores| scores.ndcg_at_10),
        questions: questions.len(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ir::CUTOFFS;
    use serde_json::json;

    fn question(answer_rank: Option<usize>, depth: usize) -> PerQuestion {
        PerQuestion { answers: vec!["42".to_owned()], answer_rank, depth, ..PerQuestion::default() }
    }

    #[test]
    fn what_was_not_computed_is_null_and_what_was_keeps_its_name() {
        let ir = IrScores { recall: [(1, 0.0), (5, 0.5)].into(), mrr_at_10: 0.25, ndcg_at_10: 0.75 };
        let right = Generation { text: "it is 42".to_owned(), correct: true, em: false, f1: 0.5 };
        let questions = [
            PerQuestion { ir: Some(ir), generations: [(1, right)].into(), ..question(Some(3), 20) },
            PerQuestion { generations: [(1, Generation::default())].into(), ..question(None, 20) },
        ];
        let metrics = aggregate(&questions, &DOCS, &CUTOFFS);
        let expected = json!({
            "rag_accuracy": {"1": 0.5, "10": null},
            "em": {"1": 0.0, "10": null},
            "f1": {"1": 0.25, "10": null},
            "answer_recall": {"1": 0.0, "5": 0.5, "20": 0.5, "100": null},
            "recall": {"1": 0.0, "5": 0.5, "20": null, "100": null},
            "mrr@10": 0.25,
            "ndcg@10": 0.75,
            "questions": 2,
        });
        assert_eq!(serde_json::to_value(&metrics).unwrap(), expected);
        assert_eq!(serde_json::from_str::<Metrics>(&expected.to_string()).unwrap(), metrics);
    }

    #[test]
    fn nothing_evaluated_is_null_everywhere() {
        let metrics = aggregate(&[], &[1], &[5]);
        assert_eq!((metrics.rag_accuracy[&1], metrics.answer_recall[&5], metrics.mrr_at_10), (None, None, None));
        assert_eq!(metrics.questions, 0);
    }

    #[test]
    fn figures_deeper_than_the_search_are_not_invented() {
        let ir = IrScores { recall: [(5, 1.0)].into(), mrr_at_10: 1.0, ndcg_at_10: 1.0 };
        let metrics = aggregate(&[PerQuestion { ir: Some(ir), ..question(Some(1), 5) }], &[], &[1, 5, 20]);
        assert_eq!(metrics.answer_recall, [(1, Some(1.0)), (5, Some(1.0)), (20, None)].into());
        assert_eq!((metrics.recall[&5], metrics.recall[&20]), (Some(1.0), None));
        assert_eq!((metrics.mrr_at_10, metrics.ndcg_at_10), (None, None));
    }

    #[test]
    fn questions_without_answers_do_not_count_as_misses() {
        let judged_only = PerQuestion { depth: 20, ..PerQuestion::default() };
        let metrics = aggregate(&[question(Some(1), 20), judged_only], &[], &[1]);
        assert_eq!((metrics.answer_recall[&1], metrics.questions), (Some(1.0), 2));
    }
}
