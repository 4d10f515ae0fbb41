//! RAG score and RAG label: what a language model makes of a question with passages (method, section 4).

use ragtune_model::{AnswerLogProb, CausalLm, Continuation, TokenLogProb};
use ragtune_text::answers::{AnswerMatcher, MatchMode, normalise};
use ragtune_text::{Passage, Question, TaskKind};
use serde::{Deserialize, Serialize};

use crate::batch;
use crate::options::chosen_option;
use crate::prompt::{FittedPrompt, fit};
use crate::{PromptTemplate, RagError, Result};

/// Items that are tokenised together and sorted by length among themselves: bounds the memory of a long list.
const WINDOW: usize = 1024;

/// How generations are made and compared.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct JudgeSettings {
    /// How a generation is compared with the gold answers.
    pub match_mode: MatchMode,
    /// Most new tokens for a free-form question.
    pub max_new_tokens: usize,
    /// Most new tokens for a closed-set question.
    pub max_new_tokens_closed_set: usize,
    /// Tokens in one forward pass, padding included: what fits into the device's memory.
    pub batch_tokens: usize,
}

impl Default for JudgeSettings {
    fn default() -> Self {
        Self {
            match_mode: MatchMode::Normalised,
            max_new_tokens: 100,
            max_new_tokens_closed_set: 20,
            batch_tokens: 4096,
        }
    }
}

impl JudgeSettings {
    /// Most new tokens for a task kind.
    pub fn new_tokens(&self, kind: TaskKind) -> usize {
        match kind {
            TaskKind::FreeForm => self.max_new_tokens,
            TaskKind::ClosedSet => self.max_new_tokens_closed_set,
        }
    }
}

/// A question with the passages that stand in context, best first.
#[derive(Debug, Clone, Copy)]
pub struct JudgeItem<'a> {
    /// The question, with gold answers.
    pub question: &'a Question,
    /// The passages; none asks the language model alone.
    pub passages: &'a [&'a Passage],
}

/// The log-probability of one gold answer.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct AnswerScore {
    /// The answer.
    pub text: String,
    /// Sum over its tokens, natural logarithm, not length-normalised.
    pub log_prob: f32,
    /// One entry per token.
    pub tokens: Vec<TokenLogProb>,
}

/// The RAG score of a question with its passages.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct RagScore {
    /// Logarithm of the score S(q, d, y): the largest over the gold answers, or that of the correct option.
    pub score: f32,
    /// The gold answers in their order, blank ones left out; for a closed-set question the correct option.
    pub answers: Vec<AnswerScore>,
    /// Log-probabilities of a closed-set question's options, in their order; empty for a free-form question.
    pub options: Vec<f32>,
    /// The correct option's place.
    pub correct: Option<usize>,
    /// Passages that were left out because the context was full.
    pub dropped_passages: usize,
    /// Whether the last passage lost the end of its text because the context was full.
    pub cut: bool,
}

/// RAG score and RAG label of a question with its passages.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Judgement {
    /// The score's part.
    #[serde(flatten)]
    pub rag: RagScore,
    /// First line of the greedy generation.
    pub generated: String,
    /// The option that the generation chooses; `None` for a free-form question, or when it names no option.
    pub chosen: Option<usize>,
    /// Whether the generation holds a gold answer, or chooses the correct option.
    pub label: bool,
}

impl std::ops::Deref for Judgement {
    type Target = RagScore;
    fn deref(&self) -> &RagScore {
        &self.rag
    }
}

impl RagScore {
    /// The online rule for closed-set questions (method, section 6): the correct option is more probable than every
    /// other. `None` for a free-form question.
    pub fn closed_set_positive(&self) -> Option<bool> {
        let correct = self.correct?;
        Some(self.options.iter().enumerate().all(|(i, &p)| i == correct || self.options[correct] > p))
    }

    /// The options' probabilities, renormalised over the options: for display only.
    pub fn option_probabilities(&self) -> Vec<f32> {
        let top = self.options.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        let weights: Vec<f32> = self.options.iter().map(|p| (p - top).exp()).collect();
        let sum: f32 = weights.iter().sum();
        weights.into_iter().map(|w| w / sum).collect()
    }
}

/// A language model with its template, ready to judge.
#[derive(Clone)]
pub struct Judge<'a> {
    /// The language model.
    pub lm: &'a CausalLm,
    /// The wording of its prompts.
    pub template: &'a PromptTemplate,
    /// How generations are made and compared.
    pub settings: JudgeSettings,
}

/// What is scored for an item.
struct Asked {
    /// Gold answers or options.
    texts: Vec<String>,
    /// The correct option's place.
    correct: Option<usize>,
}

impl<'a> Judge<'a> {
    /// A judge with default settings.
    pub fn new(lm: &'a CausalLm, template: &'a PromptTemplate) -> Self {
        Self { lm, template, settings: JudgeSettings::default() }
    }

    /// Scores and labels. Items are grouped by length; the results come in the order of the items and do not depend on
    /// the grouping, but for rounding.
    ///
    /// After every batch `on_batch` hears how many items are done and may stop by returning false.
    pub fn batch(&self, items: &[JudgeItem<'_>], on_batch: &mut dyn FnMut(usize) -> bool) -> Result<Vec<Judgement>> {
        let mut judgements = Vec::with_capacity(items.len());
        self.run(items, true, on_batch, &mut |item, rag, generated| {
            let question = item.question;
            let mode = self.settings.match_mode;
            let (chosen, label) = match rag.correct {
                Some(correct) => {
                    let chosen = chosen_option(&generated, &question.choices, mode);
                    (chosen, chosen == Some(correct))
                }
                None => (None, AnswerMatcher::new(&question.answers, mode).is_in(&generated)),
            };
            judgements.push(Judgement { rag, generated, chosen, label });
        })?;
        Ok(judgements)
    }

    /// Scores without generating: what the online stage asks for.
    pub fn score_only(
        &self,
        items: &[JudgeItem<'_>],
        on_batch: &mut dyn FnMut(usize) -> bool,
    ) -> Result<Vec<RagScore>> {
        let mut scores = Vec::with_capacity(items.len());
        self.run(items, false, on_batch, &mut |_, rag, _| scores.push(rag))?;
        Ok(scores)
    }

    fn run(
        &self,
        items: &[JudgeItem<'_>],
        generate: bool,
        on_batch: &mut dyn FnMut(usize) -> bool,
        collect: &mut dyn FnMut(&JudgeItem<'_>, RagScore, String),
    ) -> Result<()> {
        let mut done = 0;
        for window in items.chunks(WINDOW) {
            let mut prompts = Vec::with_capacity(window.len());
            let mut asked = Vec::with_capacity(window.len());
            let mut limits = Vec::with_capacity(window.len());
            for item in window {
                let (prompt, scored) = self.prepare(item)?;
                prompts.push(prompt);
                asked.push(scored);
                limits.push(if generate { self.settings.new_tokens(item.question.kind()) } else { 0 });
            }
            let mut count = |more: usize| {
                done += more;
                on_batch(done)
            };
            let outcomes = batch::run(self.lm, &prompts, &limits, self.settings.batch_tokens, &mut count)?;
            let outcomes = outcomes.ok_or(RagError::Cancelled { done, total: items.len() })?;
            for (((item, asked), prompt), outcome) in window.iter().zip(asked).zip(&prompts).zip(outcomes) {
                collect(item, asked.score(prompt, outcome.answers), outcome.generated);
            }
        }
        Ok(())
    }

    fn prepare(&self, item: &JudgeItem<'_>) -> Result<(FittedPrompt, Asked)> {
        let question = item.question;
        let fail = |reason: String| RagError::Question { id: question.id.clone(), reason };
        let (mut texts, correct) = match question.kind() {
            TaskKind::FreeForm => {
                let answers = question.answers.iter().filter(|answer| !answer.trim().is_empty());
                (answers.cloned().collect::<Vec<_>>(), None)
            }
            TaskKind::ClosedSet => {
                let correct = correct_option(question).ok_or_else(|| {
                    let (answers, options) = (question.answers.join("\", \""), question.choices.join("\", \""));
                    fail(format!("none of its answers (\"{answers}\") is one of its options (\"{options}\"); correct its line in the question file"))
                })?;
                (question.choices.clone(), Some(correct))
            }
        };
        if texts.is_empty() {
            return Err(fail("it has no gold answer to score; give it \"answers\" or leave it out".to_owned()));
        }
        let room = self.settings.new_tokens(question.kind());
        let answers: Vec<&str> = texts.iter().map(String::as_str).collect();
        let mut prompt = fit(self.lm, self.template, question, item.passages, &answers, room)?;
        // An answer of which the tokenizer leaves nothing would have probability 1.
        let empty = |c: &Continuation| c.start.max(1) >= c.ids.len();
        if let Some(at) = prompt.continuations.iter().position(empty) {
            let solid: Vec<bool> = prompt.continuations.iter().map(|c| !empty(c)).collect();
            if correct.is_some() || !solid.contains(&true) {
                let text = &texts[at];
                return Err(fail(format!("the language model's tokenizer makes no token of {text:?}; reword it")));
            }
            texts = std::iter::zip(texts, &solid).filter(|(_, solid)| **solid).map(|(text, _)| text).collect();
            prompt.continuations.retain(|c| !empty(c));
        }
        Ok((prompt, Asked { texts, correct }))
    }
}

impl Asked {
    fn score(self, prompt: &FittedPrompt, log_probs: Vec<AnswerLogProb>) -> RagScore {
        let options = match self.correct {
            Some(_) => log_probs.iter().map(|p| p.log_prob).collect(),
            None => Vec::new(),
        };
        let answers: Vec<AnswerScore> = self
            .texts
            .into_iter()
            .zip(log_probs)
            .enumerate()
            .filter(|(i, _)| self.correct.is_none_or(|correct| correct == *i))
            .map(|(_, (text, p))| AnswerScore { text, log_prob: p.log_prob, tokens: p.tokens })
            .collect();
        let score = answers.iter().map(|a| a.log_prob).fold(f32::NEG_INFINITY, f32::max);
        let (dropped_passages, cut) = (prompt.dropped_passages, prompt.cut);
        RagScore { score, answers, options, correct: self.correct, dropped_passages, cut }
    }
}

/// The place of the option that is a gold answer: as it stands, or else normalised.
fn correct_option(question: &Question) -> Option<usize> {
    let place = |same: &dyn Fn(&str, &str) -> bool| {
        question.answers.iter().find_map(|answer| question.choices.iter().position(|option| same(option, answer)))
    };
    place(&|option, answer| option.trim() == answer.trim())
        .or_else(|| place(&|option, answer| !normalise(option).is_empty() && normalise(option) == normalise(answer)))
}

/// A prompt that is scored as it stands, without a template.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PromptItem {
    /// The prompt.
    pub prompt: String,
    /// The texts that may follow it, verbatim.
    pub answers: Vec<String>,
}

/// Scores answers after prompts as they stand: results in the order of the items, answers in theirs, duplicates kept.
///
/// # Errors
/// When a prompt has no token, or is too long together with an answer.
pub fn score_prompts(
    lm: &CausalLm,
    items: &[PromptItem],
    batch_tokens: usize,
    on_batch: &mut dyn FnMut(usize) -> bool,
) -> Result<Vec<Vec<AnswerScore>>> {
    let mut all = Vec::with_capacity(items.len());
    let mut done = 0;
    for window in items.chunks(WINDOW) {
        let mut prompts = Vec::with_capacity(window.len());
        for (i, item) in window.iter().enumerate() {
            let prompt = lm.prompt(&item.prompt)?;
            if prompt.ids.is_empty() {
                let reason =
                    "its prompt is empty and the tokenizer puts no token before a text; give it a prompt".to_owned();
                return Err(RagError::Question { id: format!("item {}", all.len() + i + 1), reason });
            }
            let continuation = |answer: &String| lm.continuation(&prompt, answer);
            let continuations = item.answers.iter().map(continuation).collect::<std::result::Result<Vec<_>, _>>()?;
            prompts.push(FittedPrompt {
                text: prompt.text,
                ids: prompt.ids,
                continuations,
                dropped_passages: 0,
                cut: false,
            });
        }
        let mut count = |more: usize| {
            done += more;
            on_batch(done)
        };
        let outcomes = batch::run(lm, &prompts, &vec![0; prompts.len()], batch_tokens, &mut count)?;
        for (item, outcome) in window.iter().zip(outcomes.ok_or(RagError::Cancelled { done, total: items.len() })?) {
            let scored = item.answers.iter().cloned().zip(outcome.answers);
            all.push(scored.map(|(text, p)| AnswerScore { text, log_prob: p.log_prob, tokens: p.tokens }).collect());
        }
    }
    Ok(all)
}

#[cfg(test)]
mod tests;
