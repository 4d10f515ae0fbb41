//! The reader: a Llama of about one million parameters that answers from the passages in its context.

use std::time::Instant;

use anyhow::{Context, Result};
use burn::tensor::Device;
use ragtune_model::{CausalLm, Continuation, Decoder, DecoderConfig, write_weights_f16};
use ragtune_rag::PromptTemplate;
use ragtune_sample::{Population, ReaderLevel, World, WorldConfig, reader_example};
use ragtune_text::{Passage, Question, Tokenizer};
use ragtune_tune::{ReaderLoss, ReaderRates, ReaderTrainer, Reading};
use rand::{RngExt, SeedableRng};
use rand_pcg::Pcg64Mcg;

use super::{Options, SEED};

const STEPS: usize = 9000;
const WARMUP: usize = 50;
const RATES: ReaderRates = ReaderRates { adam: 2e-3, muon: 5e-3 };
/// Share of the steps at the end over which the learning rates fall.
const DECAY: f32 = 0.7;
const WINDOW: usize = 100;
/// Steps between two measurements on held-out entities, which also store the weights.
const MEASURE: usize = 500;

/// A phase of the curriculum. Contexts grow from one fact to ten passages; without that nothing is learnt.
struct Phase {
    /// Progress of the training at which the phase ends, in 0..1.
    until: f32,
    /// Most passages in context.
    passages: usize,
    /// Share of the steps with one passage: labels and scores are made with one.
    single: f64,
    /// Most facts in the usable passage.
    facts: usize,
    /// Questions about a context.
    questions: usize,
    /// Share of closed-set questions.
    closed_set: f64,
    /// Share of the exercises without any passage, whose answer is that nothing is known.
    none: f64,
    /// Share of the questions that ask for a name: words and numbers are learnt long before.
    names: f64,
    /// Weight of the prompt's loss. Names come back within a passage, and predicting them teaches copying before
    /// questions do.
    prompt_share: f32,
    /// Tokens of one step.
    tokens: usize,
}

const PHASES: [Phase; 4] = [
    Phase {
        until: 0.18,
        passages: 1,
        single: 1.0,
        facts: 1,
        questions: 2,
        closed_set: 0.0,
        none: 0.0,
        names: 0.0,
        prompt_share: 1.0,
        tokens: 2048,
    },
    Phase {
        until: 0.55,
        passages: 1,
        single: 1.0,
        facts: 3,
        questions: 6,
        closed_set: 0.2,
        none: 0.0,
        names: 0.3,
        prompt_share: 0.5,
        tokens: 2048,
    },
    Phase {
        until: 0.85,
        passages: 1,
        single: 1.0,
        facts: 3,
        questions: 8,
        closed_set: 0.5,
        none: 0.02,
        names: 0.5,
        prompt_share: 0.1,
        tokens: 2048,
    },
    Phase {
        until: 1.10,
        passages: 10,
        single: 0.85,
        facts: 3,
        questions: 8,
        closed_set: 0.6,
        none: 0.04,
        names: 0.4,
        prompt_share: 0.05,
        tokens: 3072,
    },
];

const SEP: u32 = 3;

/// The reader's `config.json`.
pub(crate) fn config(vocab_size: usize) -> serde_json::Value {
    serde_json::json!({
        "model_type": "llama", "vocab_size": vocab_size, "hidden_size": 128, "intermediate_size": 384,
        "num_hidden_layers": 4, "num_attention_heads": 4, "num_key_value_heads": 4, "head_dim": 32,
        "max_position_embeddings": 1024, "rms_norm_eps": 1e-5, "rope_theta": 10000.0, "tie_word_embeddings": true,
        "eos_token_id": SEP,
    })
}

/// A batch of readings; all its contexts have the same number of passages, or none.
fn batch(phase: &Phase, step: usize, tokenizer: &Tokenizer, template: &PromptTemplate) -> Result<Vec<Reading>> {
    let mut rng = Pcg64Mcg::seed_from_u64(SEED ^ (step as u64 + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15));
    let passages = if rng.random_bool(phase.single) { 1 } else { rng.random_range(1..=phase.passages) };
    let level = ReaderLevel {
        passages,
        questions: phase.questions,
        max_facts: phase.facts,
        closed_set: phase.closed_set,
        names: phase.names,
        ..ReaderLevel::default()
    };
    let (mut batch, mut tokens) = (Vec::new(), 0);
    while tokens < phase.tokens {
        let alone = rng.random_bool(phase.none);
        let example = reader_example(&mut rng, &ReaderLevel { passages: if alone { 0 } else { passages }, ..level });
        let next = reading(&example.questions, &example.passages.iter().collect::<Vec<_>>(), tokenizer, template)?;
        tokens += next.tokens();
        batch.push(next);
    }
    Ok(batch)
}

/// Questions about a context, as tokens.
pub(crate) fn reading(
    questions: &[Question],
    passages: &[&Passage],
    tokenizer: &Tokenizer,
    template: &PromptTemplate,
) -> Result<Reading> {
    let mut texts = Vec::new();
    for question in questions {
        let mut ids = tokenizer.with_prefix(&template.render(question, passages))?;
        let start = ids.len();
        ids.extend(tokenizer.ids(question.answers.first().context("a question has no answer")?)?);
        ids.push(SEP);
        texts.push(Continuation { ids, start });
    }
    Reading::new(&texts).context("a question is empty")
}

pub(crate) fn run(options: &Options) -> Result<()> {
    let path = options.out.join("tokenizer.json");
    let tokenizer = Tokenizer::from_bytes(&std::fs::read(&path)?, &path.display().to_string())?;
    let template = PromptTemplate::default();
    let device = Device::flex();
    let decoder = Decoder { config: DecoderConfig::from_json(&config(tokenizer.vocab_size()), "config.json")? };
    let weights = match &options.start {
        Some(start) => decoder.read_weights(&ragtune_engine::directory::Folder::open(start)?, &device)?,
        None => decoder.init(&device, &mut Pcg64Mcg::seed_from_u64(SEED)),
    };
    eprintln!("reader: {} parameters", weights.parameters());
    let lm = CausalLm { tokenizer: tokenizer.clone(), eos: vec![SEP], decoder, weights, chat: None };
    let held_out = HeldOut::new(&tokenizer, &template)?;
    let mut trainer = ReaderTrainer::new(lm).context("the reader's architecture is not plain")?;
    let steps = options.steps.unwrap_or(STEPS);
    let started = Instant::now();
    let first = (options.progress * steps as f32) as usize;
    let mut window = Window::default();
    for step in first..steps {
        let progress = step as f32 / steps as f32;
        let phase = PHASES.iter().find(|p| progress < p.until).unwrap_or(&PHASES[PHASES.len() - 1]);
        let batch = batch(phase, step, &tokenizer, &template)?;
        let rise = ((step + 1 - first) as f32 / WARMUP as f32).min(1.0);
        let fall = ((steps - step) as f32 / (DECAY * steps as f32)).min(1.0);
        let rates = ReaderRates { adam: RATES.adam * rise * fall, muon: RATES.muon * rise * fall };
        window.add(&trainer.step(&batch, &rates, phase.prompt_share));
        let done = step + 1;
        if done.is_multiple_of(WINDOW) || done == steps {
            let rate = started.elapsed().as_secs_f32() / (done - first) as f32;
            eprintln!("step {done}/{steps} ({} passages): {}, {rate:.2} s/step", phase.passages, window.text());
            window = Window::default();
        }
        if done.is_multiple_of(MEASURE) || done == steps {
            save(&trainer.lm(), options)?;
            eprintln!("held out, one usable passage: {}", held_out.text(&trainer));
        }
    }
    Ok(())
}

/// Sums over some steps, for the log.
#[derive(Default)]
struct Window {
    steps: usize,
    answer: f32,
    prompt: f32,
    exact: usize,
    asked: usize,
}

impl Window {
    fn add(&mut self, loss: &ReaderLoss) {
        self.steps += 1;
        self.answer += loss.answer;
        self.prompt += loss.prompt;
        let exact = loss.exact.iter().flatten();
        self.asked += exact.clone().count();
        self.exact += exact.filter(|&&exact| exact).count();
    }

    fn text(&self) -> String {
        let (steps, asked) = (self.steps.max(1) as f32, self.asked.max(1) as f32);
        let (answer, prompt, exact) = (self.answer / steps, self.prompt / steps, self.exact as f32 / asked);
        format!("answer {answer:.3} prompt {prompt:.3} exact {exact:.3}")
    }
}

/// Questions about entities that the reader does not train on, each with a passage that it is to read.
struct HeldOut {
    readings: Vec<Reading>,
    /// Kind of each question: 0 free-form, 1 yes/no, 2 one of four.
    kinds: Vec<usize>,
}

impl HeldOut {
    fn new(tokenizer: &Tokenizer, template: &PromptTemplate) -> Result<Self> {
        let population = Population::TuningAndTest;
        let world = World::new(WorldConfig { seed: SEED + 76, passages: 1000, questions: 300, population })?;
        let passages: Vec<_> = world.passages_with_meta().filter(|(_, meta)| meta.register.usable()).collect();
        let (mut readings, mut kinds) = (Vec::new(), Vec::new());
        for (question, fact) in world.questions_with_facts() {
            let Some((passage, _)) = passages.iter().find(|(_, meta)| meta.facts.contains(&fact)) else { continue };
            kinds.push(question.choices.len() / 2);
            readings.push(reading(&[question], &[passage], tokenizer, template)?);
        }
        Ok(Self { readings, kinds })
    }

    fn text(&self, trainer: &ReaderTrainer) -> String {
        let (mut right, mut asked) = ([0; 3], [0; 3]);
        for (readings, kinds) in self.readings.chunks(32).zip(self.kinds.chunks(32)) {
            for (exact, &kind) in trainer.measure(readings).exact.iter().flatten().zip(kinds) {
                right[kind] += usize::from(*exact);
                asked[kind] += 1;
            }
        }
        let share = |kind: usize| right[kind] as f32 / asked[kind].max(1) as f32;
        format!("free-form {:.3} yes/no {:.3} one of four {:.3}", share(0), share(1), share(2))
    }
}

fn save(lm: &CausalLm, options: &Options) -> Result<()> {
    let folder = options.out.join("reader");
    std::fs::create_dir_all(&folder)?;
    std::fs::write(folder.join("config.json"), serde_json::to_vec_pretty(&config(lm.tokenizer.vocab_size()))?)?;
    std::fs::write(folder.join("model.safetensors"), write_weights_f16(&lm.weights)?)?;
    Ok(())
}
