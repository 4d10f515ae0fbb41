//! Log-probabilities of answers after their prompts.

use crate::fs::File;
use std::io::BufRead;
use std::path::Path;

use ragtune_model::{CausalLm, Continuation, Encoder, ModelError, TokenLogProb};
use ragtune_rag::PromptTemplate;
use ragtune_rag::prompt::put;
use ragtune_text::formats::decompress;
use ragtune_text::{Passage, Question, TextError};
use serde::{Deserialize, Serialize};

use crate::command::Score;
use crate::models::{open_lm, open_template};
use crate::session::JobContext;
use crate::{EngineError, Result};

/// Items that are scored between two looks at the cancel flag.
const BATCH: usize = 64;
const BATCH_TOKENS: usize = 4096;
const HINT: &str = "Write \"id\", \"answers\", and \"prompt\" or \"question\" with \"passage\"";

#[derive(Deserialize)]
struct Item {
    id: serde_json::Value,
    prompt: Option<String>,
    question: Option<String>,
    passage: Option<ItemPassage>,
    #[serde(default)]
    choices: Vec<String>,
    answers: Vec<String>,
}

#[derive(Deserialize)]
struct ItemPassage {
    #[serde(default)]
    title: String,
    text: String,
}

#[derive(Serialize)]
struct Scored<'a> {
    id: &'a serde_json::Value,
    /// Largest log-probability over the answers.
    score: f32,
    /// The answer that has it; the first of several.
    best: &'a str,
    answers: Vec<ScoredAnswer<'a>>,
}

#[derive(Serialize)]
struct ScoredAnswer<'a> {
    text: &'a str,
    log_prob: f32,
    tokens: Vec<ScoredToken>,
}

#[derive(Serialize)]
struct ScoredToken {
    id: u32,
    text: String,
    log_prob: f32,
}

/// `score`
pub(super) fn score(score: &Score, context: &mut JobContext<'_>) -> Result<()> {
    let template = open_template(score.template.as_deref())?;
    let items = read_items(&score.items)?;
    let device = super::device(&score.device, context)?;
    let lm = open_lm(&score.llm, &device)?;
    context.begin("scoring", "items", Some(items.len() as u64));
    let name = score.items.display().to_string();
    let mut done = 0;
    for part in items.chunks(BATCH) {
        let mut continuations: Vec<Continuation> = Vec::new();
        for (line, item) in part {
            for continuation in prepare(&lm, &template, item) {
                continuations.push(continuation.map_err(|error| at_line(&name, *line, error))?);
            }
        }
        let lengths: Vec<usize> = continuations.iter().map(|c| c.ids.len()).collect();
        let mut scores = vec![None; continuations.len()];
        for batch in Encoder::batches(&lengths, BATCH_TOKENS) {
            context.check()?;
            let texts: Vec<&Continuation> = batch.iter().map(|&at| &continuations[at]).collect();
            for (&at, scored) in batch.iter().zip(lm.score(&texts)) {
                scores[at] = Some(scored);
            }
        }
        let mut scores = scores.into_iter().flatten();
        for (_, item) in part {
            let mut answers = Vec::with_capacity(item.answers.len());
            for (text, scored) in item.answers.iter().zip(scores.by_ref()) {
                let tokens = with_texts(&lm, &scored.tokens)?;
                answers.push(ScoredAnswer { text, log_prob: scored.log_prob, tokens });
            }
            let (mut score, mut best) = (f32::NEG_INFINITY, "");
            for answer in &answers {
                if best.is_empty() || answer.log_prob > score {
                    (score, best) = (answer.log_prob, answer.text);
                }
            }
            context.record(&Scored { id: &item.id, score, best, answers })?;
            done += 1;
        }
        context.advance(done);
    }
    Ok(())
}

/// The continuations of an item, one per answer.
fn prepare(
    lm: &CausalLm,
    template: &PromptTemplate,
    item: &Item,
) -> Vec<std::result::Result<Continuation, ModelError>> {
    let (prompt, prefix) = match (&item.prompt, &item.question) {
        (None, Some(text)) => {
            let question = Question { text: text.clone(), choices: item.choices.clone(), ..Question::default() };
            let passage = item.passage.as_ref().map(|passage| Passage {
                title: passage.title.clone(),
                text: passage.text.clone(),
                ..Passage::default()
            });
            let passages: Vec<&Passage> = passage.iter().collect();
            (put(lm, template, &question, &passages), template.answer_prefix.as_str())
        }
        (prompt, _) => (lm.prompt(prompt.as_deref().unwrap_or_default()), ""),
    };
    let prompt = match prompt {
        Ok(prompt) => prompt,
        Err(error) => return vec![Err(error)],
    };
    item.answers.iter().map(|answer| lm.continuation(&prompt, &format!("{prefix}{answer}"))).collect()
}

fn at_line(name: &str, line: u64, error: ModelError) -> EngineError {
    match error {
        ModelError::TooLong { .. } => EngineError::input(format!("{name}, line {line}: {error}")),
        other => other.into(),
    }
}

/// Every token with its piece of the text: the pieces together are the answer.
fn with_texts(lm: &CausalLm, tokens: &[TokenLogProb]) -> Result<Vec<ScoredToken>> {
    let ids: Vec<u32> = tokens.iter().map(|token| token.id).collect();
    let mut before = String::new();
    let mut texts = Vec::with_capacity(tokens.len());
    for (at, token) in tokens.iter().enumerate() {
        let so_far = lm.tokenizer.decode(&ids[..=at])?;
        // A token that holds a part of a character changes what stood before it: then its own spelling is shown.
        let text = match so_far.strip_prefix(&before) {
            Some(piece) => piece.to_owned(),
            None => lm.tokenizer.token(token.id).unwrap_or_default(),
        };
        texts.push(ScoredToken { id: token.id, text, log_prob: token.log_prob });
        before = so_far;
    }
    Ok(texts)
}

/// All items with their lines.
fn read_items(path: &Path) -> Result<Vec<(u64, Item)>> {
    let name = path.display().to_string();
    let fail = |source| EngineError::io(path, source);
    let reader = decompress(File::open(path).map_err(fail)?);
    let mut items = Vec::new();
    for (at, line) in reader.lines().enumerate() {
        let (line, number) = (line.map_err(fail)?, at as u64 + 1);
        let text = line.trim_start_matches('\u{feff}').trim();
        if text.is_empty() {
            continue;
        }
        let bad = |reason: String| EngineError::from(TextError::line(&name, number, reason, HINT));
        let item: Item = serde_json::from_str(text).map_err(|error| bad(error.to_string()))?;
        if item.answers.is_empty() || item.answers.iter().any(String::is_empty) {
            return Err(bad("every item needs answers, and none of them empty".to_owned()));
        }
        match (&item.prompt, &item.question) {
            (None, None) => return Err(bad("neither a prompt nor a question".to_owned())),
            (Some(_), Some(_)) => return Err(bad("both a prompt and a question".to_owned())),
            (None, Some(_)) if item.passage.is_none() => return Err(bad("a question without a passage".to_owned())),
            _ => items.push((number, item)),
        }
    }
    if items.is_empty() {
        return Err(EngineError::input(format!("{name}: no items in it. {HINT}, one object per line")));
    }
    Ok(items)
}
