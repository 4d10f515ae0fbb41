//! Many prompts through one language model, in batches of similar length.

use std::ops::Range;

use ragtune_kernels::side_by_side;
use ragtune_model::{AnswerLogProb, CausalLm, Continuation, Generated};

use crate::Result;
use crate::prompt::FittedPrompt;

/// What the passes over the language model leave for one prompt.
#[derive(Debug, Clone, Default)]
pub(crate) struct Outcome {
    /// One entry per continuation.
    pub(crate) answers: Vec<AnswerLogProb>,
    /// First line of the greedy generation.
    pub(crate) generated: String,
}

/// One row of a batch: a prompt with some of its continuations. Only a prompt's first row generates.
struct Row {
    prompt: usize,
    continuations: Range<usize>,
}

/// Scores every prompt's continuations and generates at most `limits[i]` tokens after prompt `i`.
///
/// A forward pass reads at most `budget` tokens, padding included. After every batch `on_batch` hears how many prompts
/// were done in it; when it returns false, the result is `None`.
pub(crate) fn run(
    lm: &CausalLm,
    prompts: &[FittedPrompt],
    limits: &[usize],
    budget: usize,
    on_batch: &mut dyn FnMut(usize) -> bool,
) -> Result<Option<Vec<Outcome>>> {
    let rows = rows(prompts, budget);
    let mut answers: Vec<Vec<Option<AnswerLogProb>>> =
        prompts.iter().map(|prompt| vec![None; prompt.continuations.len()]).collect();
    let mut texts = vec![String::new(); prompts.len()];
    let device = lm.weights.device();
    for group in batches(prompts, &rows, budget).chunks(rayon::current_num_threads()) {
        let group: Vec<Vec<&Row>> = group.iter().map(|batch| batch.iter().map(|&row| &rows[row]).collect()).collect();
        let passed =
            side_by_side(&device, group.iter().collect(), |batch: &Vec<&Row>| pass(lm, prompts, batch, limits));
        for (batch, passed) in group.iter().zip(passed) {
            let (scores, generated) = passed?;
            for (row, scores) in batch.iter().zip(scores) {
                for (at, score) in row.continuations.clone().zip(scores) {
                    answers[row.prompt][at] = Some(score);
                }
            }
            for (row, Generated { text, .. }) in batch.iter().zip(generated) {
                if row.is_first() {
                    texts[row.prompt] = first_line(&text).to_owned();
                }
            }
        }
        if !on_batch(group.iter().flatten().filter(|row| row.is_first()).count()) {
            return Ok(None);
        }
    }
    let outcome = |(answers, generated): (Vec<Option<AnswerLogProb>>, String)| Outcome {
        answers: answers.into_iter().flatten().collect(),
        generated,
    };
    Ok(Some(answers.into_iter().zip(texts).map(outcome).collect()))
}

/// Per row: the log-probabilities of its continuations, and its generation when any row generates.
type Passed = (Vec<Vec<AnswerLogProb>>, Vec<Generated>);

/// One batch through the language model.
fn pass(lm: &CausalLm, prompts: &[FittedPrompt], rows: &[&Row], limits: &[usize]) -> Result<Passed> {
    let continuations: Vec<&[Continuation]> =
        rows.iter().map(|row| &prompts[row.prompt].continuations[row.continuations.clone()]).collect();
    let limits: Vec<usize> = rows.iter().map(|row| if row.is_first() { limits[row.prompt] } else { 0 }).collect();
    let most = limits.iter().copied().max().unwrap_or(0);
    if most == 0 && continuations.iter().all(|all| all.len() == 1) {
        // Nothing to share between continuations: a single pass serves.
        let batch: Vec<&Continuation> = continuations.iter().copied().flatten().collect();
        return Ok((lm.score(&batch).into_iter().map(|score| vec![score]).collect(), Vec::new()));
    }
    let ids: Vec<&[u32]> = rows.iter().map(|row| &prompts[row.prompt].ids[..]).collect();
    let done = |row: usize, new: &[u32]| new.len() >= limits[row] || line_ends(lm, new);
    Ok(lm.judge(&ids, &continuations, most, &done)?)
}

impl Row {
    fn is_first(&self) -> bool {
        self.continuations.start == 0
    }
}

/// Cuts prompts with very many continuations into several rows, so that none exceeds the budget.
fn rows(prompts: &[FittedPrompt], budget: usize) -> Vec<Row> {
    let mut rows = Vec::new();
    for (at, prompt) in prompts.iter().enumerate() {
        let total = prompt.continuations.len();
        let longest = prompt.continuations.iter().map(|c| c.ids.len()).max().unwrap_or(1);
        let at_once = (budget / longest.max(1)).max(1);
        let starts = (0..total.max(1)).step_by(at_once);
        rows.extend(starts.map(|start| Row { prompt: at, continuations: start..(start + at_once).min(total) }));
    }
    rows
}

/// Groups rows of similar length, longest first; a row counts once per continuation, because each has its own keys and
/// values. Gives positions in `rows`.
fn batches(prompts: &[FittedPrompt], rows: &[Row], budget: usize) -> Vec<Vec<usize>> {
    let length = |row: usize| prompts[rows[row].prompt].ids.len();
    let mut order: Vec<usize> = (0..rows.len()).collect();
    order.sort_by_key(|&row| (std::cmp::Reverse(length(row)), row));
    let mut batches: Vec<Vec<usize>> = Vec::new();
    let (mut longest, mut texts) = (0, 0);
    for row in order {
        let more = rows[row].continuations.len().max(1);
        match batches.last_mut() {
            Some(batch) if longest * (texts + more) <= budget => {
                batch.push(row);
                texts += more;
            }
            _ => {
                (longest, texts) = (length(row), more);
                batches.push(vec![row]);
            }
        }
    }
    batches
}

/// Whether a generation has ended its first line. Half a character cannot be decoded yet: the next token completes it.
pub(crate) fn line_ends(lm: &CausalLm, ids: &[u32]) -> bool {
    lm.tokenizer.decode(ids).is_ok_and(|text| text.trim_start().contains('\n'))
}

/// The first line with something in it, without space around it.
pub(crate) fn first_line(text: &str) -> &str {
    text.trim_start().lines().next().unwrap_or("").trim_end()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn prompt(length: usize, answers: usize) -> FittedPrompt {
        let continuation = Continuation { ids: vec![5; length + 2], start: length };
        FittedPrompt {
            text: String::new(),
            ids: vec![5; length],
            continuations: vec![continuation; answers],
            dropped_passages: 0,
            cut: false,
        }
    }

    proptest! {
        #[test]
        fn every_continuation_is_read_once_and_within_the_budget(
            sizes in prop::collection::vec((1usize..40, 0usize..9), 0..20), budget in 1usize..200
        ) {
            let prompts: Vec<_> = sizes.iter().map(|&(length, answers)| prompt(length, answers)).collect();
            let rows = rows(&prompts, budget);
            let mut seen: Vec<Vec<usize>> = vec![Vec::new(); prompts.len()];
            let mut first = vec![0; prompts.len()];
            for batch in batches(&prompts, &rows, budget) {
                let longest = batch.iter().map(|&row| prompts[rows[row].prompt].ids.len()).max().unwrap();
                let texts: usize = batch.iter().map(|&row| rows[row].continuations.len().max(1)).sum();
                prop_assert!(longest * texts <= budget || texts == 1);
                for row in batch {
                    seen[rows[row].prompt].extend(rows[row].continuations.clone());
                    first[rows[row].prompt] += usize::from(rows[row].is_first());
                }
            }
            for (i, &(_, answers)) in sizes.iter().enumerate() {
                seen[i].sort_unstable();
                prop_assert_eq!(&seen[i], &(0..answers).collect::<Vec<_>>());
                prop_assert_eq!(first[i], 1);
            }
        }
    }

    #[test]
    fn a_generation_counts_up_to_its_first_line_end() {
        for (text, line) in [("\n Paris \nFrance", "Paris"), ("Paris", "Paris"), (" \n ", ""), ("", "")] {
            assert_eq!(first_line(text), line, "{text:?}");
        }
    }
}
