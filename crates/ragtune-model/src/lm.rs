//! A causal language model with its tokenizer: answer log-probabilities and generation.

use burn::tensor::{Device, Int, Tensor, TensorData};
use ragtune_kernels::{binding_bytes, to_ids, to_vec};
use ragtune_text::Tokenizer;
use ragtune_text::storage::Directory;
use rand::{Rng, RngExt};
use serde::Serialize;

use crate::decoder::ends;
use crate::files::read_json;
use crate::{ChatTemplate, Decoder, KvCache, ModelError, Weights, gguf_tokenizer, llama2c};

/// Rows of hidden states whose logits are computed at once: bounds the memory of [rows, vocabulary].
const LOGIT_ROWS: usize = 256;

/// Tokenizer, decoder and weights.
#[derive(Clone)]
pub struct CausalLm {
    /// The tokenizer.
    pub tokenizer: Tokenizer,
    /// The decoder.
    pub decoder: Decoder,
    /// Its weights.
    pub weights: Weights,
    /// Tokens that end a generation.
    pub eos: Vec<u32>,
    /// How it is addressed, where it was taught to answer messages.
    pub chat: Option<ChatTemplate>,
}

/// The log-probability of one answer after its prompt (method, section 4).
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct AnswerLogProb {
    /// Sum over the answer's tokens, natural logarithm, no end token.
    pub log_prob: f32,
    /// One entry per token of the answer.
    pub tokens: Vec<TokenLogProb>,
}

/// The log-probability of one token.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct TokenLogProb {
    /// Token id.
    pub id: u32,
    /// Natural logarithm of its probability after what stands before it.
    pub log_prob: f32,
}

/// A token sequence of which the tokens from `start` on are scored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Continuation {
    /// Prompt and answer, tokenised together.
    pub ids: Vec<u32>,
    /// First token of the answer.
    pub start: usize,
}

/// A text that a model continues.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Prompt {
    /// The text.
    pub text: String,
    /// Its tokens, with the special ones that the tokenizer puts before a text; a chat template has written its own.
    pub ids: Vec<u32>,
    /// Whether the text holds its special tokens itself.
    framed: bool,
}

/// A generated text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Generated {
    /// New tokens, without the end token.
    pub ids: Vec<u32>,
    /// Their text.
    pub text: String,
}

impl CausalLm {
    /// Loads a Hugging Face folder, one with a GGUF file (whose own vocabulary serves where there is no `tokenizer.json`), or
    /// one with a llama2.c `.bin` and its `tok*.bin`.
    pub fn load(dir: &dyn Directory, device: &Device) -> Result<Self, ModelError> {
        if !dir.exists("config.json")
            && let Some(model) = llama2c::load(dir, device)?
        {
            return Ok(model);
        }
        let decoder = Decoder::from_dir(dir)?;
        let file = dir.describe("tokenizer.json");
        let own = if dir.exists("tokenizer.json") { None } else { gguf_tokenizer(dir)? };
        let tokenizer = match own {
            Some(own) => own,
            None => {
                let json =
                    dir.read("tokenizer.json").map_err(|source| ModelError::Io { file: file.clone(), source })?;
                Tokenizer::from_bytes(&json, &file)?
            }
        };
        if tokenizer.vocab_size() > decoder.config.vocab_size {
            let reason = format!(
                "{} tokens, the model knows {}: tokenizer and weights come from different models",
                tokenizer.vocab_size(),
                decoder.config.vocab_size
            );
            return Err(ModelError::Tokenizer { file: tokenizer.name().to_owned(), reason });
        }
        let weights = decoder.read_weights(dir, device)?;
        let mut eos = decoder.config.eos.clone();
        eos.extend(other_ends(dir)?);
        let chat = ChatTemplate::of(dir, &tokenizer)?;
        Ok(Self { tokenizer, decoder, weights, eos, chat })
    }

    /// The same model with the matrices of its layers in 16 bits: their products are computed in 16 bits, everything else in
    /// 32. For a device that multiplies rightly in them; what a file holds in fewer bits stays.
    pub fn halved(&self) -> Self {
        let layers = |name: &str| name.starts_with("model.layers.");
        Self { weights: self.weights.halved(layers), ..self.clone() }
    }

    /// Longest context in tokens.
    pub fn context(&self) -> usize {
        self.decoder.config.max_position_embeddings
    }

    /// A text that the model continues as it is.
    pub fn prompt(&self, text: &str) -> Result<Prompt, ModelError> {
        self.prompt_of(text.to_owned(), false)
    }

    /// A message that the model answers, worded by its chat template; `system` may be empty.
    ///
    /// # Errors
    /// When the model has no chat template, or one that cannot be used.
    pub fn chat_prompt(&self, system: &str, user: &str) -> Result<Prompt, ModelError> {
        let chat = self.chat.as_ref().ok_or_else(|| ModelError::Chat {
            file: self.tokenizer.name().to_owned(),
            reason: "the model has none, neither in a tokenizer_config.json nor in a chat_template.jinja".to_owned(),
        })?;
        self.prompt_of(chat.render(system, user)?, true)
    }

    fn prompt_of(&self, text: String, framed: bool) -> Result<Prompt, ModelError> {
        Ok(Prompt { ids: self.ids(&text, framed)?, text, framed })
    }

    fn ids(&self, text: &str, framed: bool) -> Result<Vec<u32>, ModelError> {
        Ok(if framed { self.tokenizer.ids(text)? } else { self.tokenizer.with_prefix(text)? })
    }

    /// Prompt and answer tokenised together; the answer's tokens are those after the longest prefix that is shared
    /// with the prompt's own tokenisation, so that a merge across the border is scored, not lost.
    pub fn continuation(&self, prompt: &Prompt, answer: &str) -> Result<Continuation, ModelError> {
        let ids = self.ids(&format!("{}{answer}", prompt.text), prompt.framed)?;
        let start = prompt.ids.iter().zip(&ids).take_while(|(a, b)| a == b).count();
        self.fits(ids.len())?;
        Ok(Continuation { ids, start })
    }

    fn fits(&self, tokens: usize) -> Result<(), ModelError> {
        let limit = self.context();
        if tokens > limit { Err(ModelError::TooLong { tokens, limit }) } else { Ok(()) }
    }

    /// Log-probabilities of a batch of continuations, in its order, from one forward pass with logits at the answers'
    /// positions only. The caller chooses batches of similar length.
    ///
    /// The first token of a text without any prompt has no probability: it is left out of `tokens`.
    pub fn score(&self, batch: &[&Continuation]) -> Vec<AnswerLogProb> {
        if batch.is_empty() {
            return Vec::new();
        }
        // The last token is only predicted, never read.
        let texts: Vec<&[u32]> = batch.iter().map(|c| &c.ids[..c.ids.len().saturating_sub(1).max(1)]).collect();
        let states = self.decoder.forward(&self.weights, &texts, None);
        let wanted = batch
            .iter()
            .enumerate()
            .flat_map(|(b, c)| (c.start.max(1)..c.ids.len()).map(move |t| (b, t - 1, c.ids[t])));
        self.log_probs(states, &wanted.collect::<Vec<_>>(), batch.len())
    }

    /// Log-probabilities of the tokens `(text, position, token)`, grouped by text.
    fn log_probs(&self, states: Tensor<3>, wanted: &[(usize, usize, u32)], texts: usize) -> Vec<AnswerLogProb> {
        let [batch, length, width] = states.dims();
        let flat = states.reshape([batch * length, width]);
        let mut answers = vec![AnswerLogProb { log_prob: 0.0, tokens: Vec::new() }; texts];
        let most = binding_bytes(&flat.device()).map(|bytes| bytes as usize / (4 * self.decoder.config.vocab_size));
        for part in wanted.chunks(most.map_or(LOGIT_ROWS, |most| most.clamp(1, LOGIT_ROWS))) {
            let rows = ints(part.iter().map(|&(b, l, _)| (b * length + l) as i32).collect(), &flat.device());
            let tokens: Vec<u32> = part.iter().map(|&(_, _, id)| id).collect();
            let chosen = self.decoder.log_probs(&self.weights, flat.clone().select(0, rows), &tokens);
            for (&(b, _, id), log_prob) in part.iter().zip(chosen) {
                answers[b].tokens.push(TokenLogProb { id, log_prob });
                answers[b].log_prob += log_prob;
            }
        }
        answers
    }

    /// Reads a batch of prompts once, scores each prompt's continuations and generates greedily after it.
    ///
    /// `continuations[r]` are those of `prompts[r]`; `done(r, ids)` may end a row early. Keys and values of what a
    /// prompt shares with its continuations are computed once. Every prompt has at least one token.
    pub fn judge(
        &self,
        prompts: &[&[u32]],
        continuations: &[&[Continuation]],
        max_new_tokens: usize,
        done: &dyn Fn(usize, &[u32]) -> bool,
    ) -> Result<(Vec<Vec<AnswerLogProb>>, Vec<Generated>), ModelError> {
        let shared: Vec<usize> = prompts
            .iter()
            .zip(continuations)
            .map(|(p, all)| all.iter().map(|c| c.start).min().unwrap_or(p.len()).min(p.len()).max(1))
            .collect();
        let prefixes: Vec<&[u32]> = prompts.iter().zip(&shared).map(|(p, &n)| &p[..n]).collect();
        let mut cache = self.decoder.cache();
        let states = self.decoder.forward(&self.weights, &prefixes, Some(&mut cache));
        let last = last_states(states, &shared.iter().map(|&n| n - 1).collect::<Vec<_>>());

        let rows: Vec<(usize, &Continuation)> =
            continuations.iter().enumerate().flat_map(|(r, all)| all.iter().map(move |c| (r, c))).collect();
        let mut scores: Vec<Vec<AnswerLogProb>> = vec![Vec::new(); prompts.len()];
        if !rows.is_empty() {
            let tails: Vec<&[u32]> =
                rows.iter().map(|&(r, c)| c.ids.get(shared[r]..c.ids.len().saturating_sub(1)).unwrap_or(&[])).collect();
            let index: Vec<usize> = rows.iter().map(|&(r, _)| r).collect();
            // Column 0 is the prefix's last state, so that one place serves the first token and the later ones.
            let [_, width] = last.dims();
            let mut states = last
                .clone()
                .select(0, ints(index.iter().map(|&r| r as i32).collect(), &last.device()))
                .reshape([rows.len(), 1, width]);
            if tails.iter().any(|t| !t.is_empty()) {
                let mut branch = cache.rows(&index);
                let more = self.decoder.forward(&self.weights, &tails, Some(&mut branch));
                states = Tensor::cat(vec![states, more], 1);
            }
            let wanted: Vec<(usize, usize, u32)> = rows
                .iter()
                .enumerate()
                .flat_map(|(i, &(r, c))| {
                    let shared = shared[r];
                    (c.start.max(1)..c.ids.len()).map(move |t| (i, t - shared, c.ids[t]))
                })
                .collect();
            for ((r, _), score) in rows.iter().zip(self.log_probs(states, &wanted, rows.len())) {
                scores[*r].push(score);
            }
        }

        let tails: Vec<&[u32]> = prompts.iter().zip(&shared).map(|(p, &n)| &p[n..]).collect();
        let last = if tails.iter().any(|t| !t.is_empty()) {
            let more = self.decoder.forward(&self.weights, &tails, Some(&mut cache));
            let [batch, width] = last.dims();
            let states = Tensor::cat(vec![last.reshape([batch, 1, width]), more], 1);
            last_states(states, &tails.iter().map(|t| t.len()).collect::<Vec<_>>())
        } else {
            last
        };
        let generated = self.continue_greedily(cache, last, prompts, max_new_tokens, done)?;
        Ok((scores, generated))
    }

    fn continue_greedily(
        &self,
        mut cache: KvCache,
        mut last: Tensor<2>,
        prompts: &[&[u32]],
        max_new_tokens: usize,
        done: &dyn Fn(usize, &[u32]) -> bool,
    ) -> Result<Vec<Generated>, ModelError> {
        let mut new: Vec<Vec<u32>> = vec![Vec::new(); prompts.len()];
        // Rows still being generated, as positions in the batch; the cache is cut down as rows finish.
        let mut alive: Vec<usize> = (0..prompts.len()).collect();
        for step in 0..max_new_tokens {
            let best = self.decoder.logits(&self.weights, last.clone()).argmax(1);
            let best = to_ids(best);
            let mut keep = Vec::new();
            for (i, (&row, id)) in alive.iter().zip(best).enumerate() {
                if self.eos.contains(&id) {
                    continue;
                }
                new[row].push(id);
                let full = prompts[row].len() + new[row].len() >= self.context();
                if !full && !done(row, &new[row]) {
                    keep.push(i);
                }
            }
            if keep.is_empty() || step + 1 == max_new_tokens {
                break;
            }
            if keep.len() < alive.len() {
                cache = cache.rows(&keep);
                alive = keep.iter().map(|&i| alive[i]).collect();
            }
            let tokens: Vec<&[u32]> = alive.iter().map(|&row| &new[row][new[row].len() - 1..]).collect();
            let states = self.decoder.forward(&self.weights, &tokens, Some(&mut cache));
            last = last_states(states, &vec![0; alive.len()]);
        }
        new.into_iter().map(|ids| Ok(Generated { text: self.tokenizer.decode(&ids)?, ids })).collect()
    }

    /// Greedy generation after one prompt, one token at a time: `on_token` sees each and may stop it.
    ///
    /// With a temperature above 0 tokens are drawn from the softmax of logits / temperature.
    pub fn generate(
        &self,
        prompt: &[u32],
        max_new_tokens: usize,
        temperature: f32,
        rng: &mut impl Rng,
        on_token: &mut dyn FnMut(u32) -> bool,
    ) -> Result<Generated, ModelError> {
        if prompt.is_empty() {
            return Err(ModelError::Tokenizer {
                file: "prompt".to_owned(),
                reason: "the prompt is empty and the tokenizer puts no token before a text".to_owned(),
            });
        }
        self.fits(prompt.len())?;
        let mut cache = self.decoder.cache();
        let mut ids: Vec<u32> = Vec::new();
        let mut next: Vec<u32> = prompt.to_vec();
        while ids.len() < max_new_tokens && prompt.len() + ids.len() < self.context() {
            let states = self.decoder.forward(&self.weights, &[&next], Some(&mut cache));
            let logits = self.decoder.logits(&self.weights, last_states(states, &[next.len() - 1]));
            let id = if temperature > 0.0 {
                sample(&to_vec(logits), temperature, rng)
            } else {
                to_ids(logits.argmax(1)).first().copied().unwrap_or(0)
            };
            if self.eos.contains(&id) {
                break;
            }
            ids.push(id);
            if !on_token(id) {
                break;
            }
            next = vec![id];
        }
        Ok(Generated { text: self.tokenizer.decode(&ids)?, ids })
    }
}

/// Tokens that end a generation by a `generation_config.json`: those of models that answer messages stand there alone at
/// times.
fn other_ends(dir: &dyn Directory) -> Result<Vec<u32>, ModelError> {
    const FILE: &str = "generation_config.json";
    if !dir.exists(FILE) {
        return Ok(Vec::new());
    }
    Ok(ends(&read_json(dir, FILE)?))
}

/// The state at one position of each text: [batch, hidden] from [batch, length, hidden].
fn last_states(states: Tensor<3>, positions: &[usize]) -> Tensor<2> {
    let [batch, length, width] = states.dims();
    let rows = positions.iter().enumerate().map(|(b, &l)| (b * length + l) as i32).collect();
    let index = ints(rows, &states.device());
    states.reshape([batch * length, width]).select(0, index)
}

fn ints(values: Vec<i32>, device: &Device) -> Tensor<1, Int> {
    let n = values.len();
    Tensor::from_data(TensorData::new(values, [n]), device)
}

fn sample(logits: &[f32], temperature: f32, rng: &mut impl Rng) -> u32 {
    let top = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let weights: Vec<f32> = logits.iter().map(|l| ((l - top) / temperature).exp()).collect();
    let mut at = rng.random_range(0.0..1.0f32) * weights.iter().sum::<f32>();
    for (id, weight) in weights.iter().enumerate() {
        at -= weight;
        if at <= 0.0 {
            return id as u32;
        }
    }
    weights.len() as u32 - 1
}
