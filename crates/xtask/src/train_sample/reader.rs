//! The reader: a Llama of about one million parameters that answers from the passages in its context.

use std::time::Instant;

use anyhow::Result;
use burn::tensor::Device;
use ragtune_model::{CausalLm, Continuation, Llama, LlamaConfig, write_weights_f16};
use ragtune_rag::PromptTemplate;
use ragtune_sample::{ReaderExample, ReaderLevel, reader_example};
use ragtune_text::{Passage, Tokenizer};
use ragtune_tune::{OptimSettings, ReaderTrainer};
use rand::{Rng, RngExt, SeedableRng};
use rand_pcg::Pcg64Mcg;

use super::{Options, SEED};

const STEPS: usize = 9000;
const WARMUP: usize = 50;
/// Padded tokens of one step.
const STEP_TOKENS: usize = 2048;
const LR: f32 = 2e-3;
/// Weight of the prompt's loss beside the answer's, after the phases in which it is 1: names come back within a
/// passage, and predicting them teaches copying before questions do.
const LM_SHARE: f32 = 0.1;
/// Share of the steps at the end over which the learning rate falls.
const DECAY: f32 = 0.7;
const WINDOW: usize = 50;

/// A phase of the curriculum. Contexts grow from one fact to ten passages; without that nothing is learnt.
struct Phase {
    /// Progress of the training at which the phase ends, in 0..1.
    until: f32,
    /// Most passages in context.
    passages: usize,
    /// Most facts in the usable passage.
    facts: usize,
    /// Share of closed-set questions.
    closed_set: f64,
    /// Weight of the prompt's loss.
    lm_share: f32,
}

const PHASES: [Phase; 6] = [
    Phase { until: 0.25, passages: 1, facts: 1, closed_set: 0.0, lm_share: 1.0 },
    Phase { until: 0.4, passages: 1, facts: 3, closed_set: 0.0, lm_share: 1.0 },
    Phase { until: 0.65, passages: 1, facts: 3, closed_set: 0.4, lm_share: LM_SHARE },
    Phase { until: 0.75, passages: 2, facts: 3, closed_set: 0.4, lm_share: LM_SHARE },
    Phase { until: 0.87, passages: 5, facts: 3, closed_set: 0.4, lm_share: LM_SHARE },
    Phase { until: 1.1, passages: 10, facts: 3, closed_set: 0.4, lm_share: LM_SHARE },
];

const SEP: u32 = 3;

pub(crate) fn config(vocab_size: usize) -> LlamaConfig {
    LlamaConfig {
        model_type: "llama".to_owned(),
        vocab_size,
        hidden_size: 128,
        intermediate_size: 384,
        num_hidden_layers: 4,
        num_attention_heads: 4,
        num_key_value_heads: Some(4),
        head_dim: Some(32),
        max_position_embeddings: 1024,
        rms_norm_eps: 1e-5,
        rope_theta: 10000.0,
        rope_scaling: None,
        tie_word_embeddings: true,
        eos_token_id: serde_json::json!(SEP),
    }
}

fn exercise(phase: &Phase, rng: &mut impl Rng) -> ReaderLevel {
    // One passage in context stays the most frequent case: labels and scores are made with one.
    let passages = if rng.random_bool(0.75) { 1 } else { rng.random_range(1..=phase.passages) };
    ReaderLevel { passages, max_facts: phase.facts, closed_set: phase.closed_set, ..ReaderLevel::default() }
}

fn continuation(example: &ReaderExample, tokenizer: &Tokenizer, template: &PromptTemplate) -> Result<Continuation> {
    let passages: Vec<&Passage> = example.passages.iter().collect();
    let prompt = template.render(&example.question, &passages);
    let mut ids = tokenizer.with_prefix(&prompt)?;
    let start = ids.len();
    ids.extend(tokenizer.ids(&example.question.answers[0])?);
    ids.push(SEP);
    Ok(Continuation { ids, start })
}

pub(crate) fn run(options: &Options) -> Result<()> {
    let path = options.out.join("tokenizer.json");
    let tokenizer = Tokenizer::from_bytes(&std::fs::read(&path)?, &path.display().to_string())?;
    let template = PromptTemplate::default();
    let device = Device::flex();
    let llama = Llama { config: config(tokenizer.vocab_size()) };
    let weights = match &options.start {
        Some(start) => llama.read_weights(&ragtune_engine::directory::Folder::open(start)?, &device)?,
        None => llama.init(&device, &mut Pcg64Mcg::seed_from_u64(SEED)),
    };
    eprintln!("reader: {} parameters", weights.parameters());
    let lm = CausalLm { tokenizer: tokenizer.clone(), eos: vec![SEP], llama, weights };
    let settings = OptimSettings { lr: LR, beta2: 0.98, weight_decay: 0.01, clip: 1.0, ..Default::default() };
    let mut trainer = ReaderTrainer::new(lm, settings);
    let steps = options.steps.unwrap_or(STEPS);
    let started = Instant::now();
    let first = (options.progress * steps as f32) as usize;
    let (mut sum, mut count) = ([0.0f32; 3], 0);
    for step in first..steps {
        let progress = step as f32 / steps as f32;
        let phase = PHASES.iter().find(|p| progress < p.until).unwrap_or(&PHASES[PHASES.len() - 1]);
        let mut rng = Pcg64Mcg::seed_from_u64(SEED ^ (step as u64 + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15));
        let exercise = exercise(phase, &mut rng);
        let mut batch: Vec<Continuation> = Vec::new();
        let mut longest = 0;
        loop {
            let next = continuation(&reader_example(&mut rng, &exercise), &tokenizer, &template)?;
            longest = longest.max(next.ids.len());
            if longest * (batch.len() + 1) > STEP_TOKENS && !batch.is_empty() {
                break;
            }
            batch.push(next);
        }
        let rise = ((step + 1 - first) as f32 / WARMUP as f32).min(1.0);
        let fall = ((steps - step) as f32 / (DECAY * steps as f32)).min(1.0);
        let loss = trainer.step(&batch, LR * rise * fall, phase.lm_share);
        for (sum, value) in sum.iter_mut().zip([loss.answer, loss.prompt, loss.exact]) {
            *sum += value;
        }
        count += 1;
        if count == WINDOW || step + 1 == steps {
            let [answer, prompt, exact] = sum.map(|s| s / count as f32);
            let rate = started.elapsed().as_secs_f32() / (step + 1 - first) as f32;
            eprintln!(
                "step {}/{steps} ({} passages): answer {answer:.3} prompt {prompt:.3} exact {exact:.2}, {rate:.2} s/step",
                step + 1,
                phase.passages
            );
            (sum, count) = ([0.0; 3], 0);
        }
        if (step + 1) % 500 == 0 || step + 1 == steps {
            save(&trainer.lm, options)?;
        }
    }
    Ok(())
}

fn save(lm: &CausalLm, options: &Options) -> Result<()> {
    let folder = options.out.join("reader");
    std::fs::create_dir_all(&folder)?;
    std::fs::write(folder.join("config.json"), serde_json::to_vec_pretty(&lm.llama.config)?)?;
    std::fs::write(folder.join("model.safetensors"), write_weights_f16(&lm.weights)?)?;
    Ok(())
}
