//! A thousand training steps hold memory flat: what the last hundred take at least is 2 % more at most than what the first
//! hundred took.
//!
//! Resident memory is read where the system tells it (Linux); elsewhere the test says that it was skipped. It has a process of
//! its own, so that nothing else takes memory meanwhile; an adapter's buffers are looked at in `gpu.rs`.

use burn::tensor::Device;
use ragtune_model::{BertConfig, Encoder};
use ragtune_text::Tokenizer;
use ragtune_text::storage::Directory;
use ragtune_tune::{Batch, LossOptions, OptimSettings, StepSettings, Temperatures, Trainer};
use rand::{RngExt, SeedableRng};

const STEPS: usize = 1000;
const SETTLED: usize = 100;
const GROWTH: f64 = 1.02;

/// Bytes of this process that are in memory.
fn resident() -> Option<u64> {
    let pages: u64 = std::fs::read_to_string("/proc/self/statm").ok()?.split(' ').nth(1)?.parse().ok()?;
    Some(pages * 4096)
}

fn trainer() -> Trainer {
    let files = ragtune_sample::models::encoder().expect("memory");
    let tokenizer =
        Tokenizer::from_bytes(&files.read("tokenizer.json").expect("tokenizer"), "tokenizer.json").expect("tokenizer");
    let config = BertConfig {
        model_type: "bert".to_owned(),
        vocab_size: tokenizer.vocab_size(),
        hidden_size: 16,
        num_hidden_layers: 1,
        num_attention_heads: 2,
        intermediate_size: 32,
        max_position_embeddings: 64,
        type_vocab_size: 2,
        layer_norm_eps: 1e-12,
        hidden_act: "gelu".to_owned(),
        ..BertConfig::default()
    };
    let encoder = Encoder::init(config, tokenizer, &Device::flex(), &mut rand_pcg::Pcg64Mcg::seed_from_u64(3));
    Trainer::new(encoder.expect("an encoder"), OptimSettings::default())
}

#[test]
fn a_thousand_steps_hold_memory_flat() {
    if resident().is_none() {
        eprintln!("skipped: this system does not tell what is resident");
        return;
    }
    let mut trainer = trainer();
    let mut rng = rand_pcg::Pcg64Mcg::seed_from_u64(5);
    let settings = StepSettings {
        top_k: 64,
        chunk_tokens: 256,
        kept_tokens: 64,
        temperatures: Temperatures::all(1.0),
        loss: LossOptions::default(),
    };
    // What is resident goes up and down by some pages: the most of the first steps, and the least of the last.
    let (mut settled, mut last) = (0, u64::MAX);
    for step in 1..=STEPS {
        let mut text = || (0..rng.random_range(2..=60)).map(|_| rng.random_range(5..200)).collect::<Vec<u32>>();
        let batch = Batch {
            questions: (0..2).map(|_| text()).collect(),
            passages: (0..4).map(|_| text()).collect(),
            masked: vec![false; 8],
            rag_scores: vec![None; 2],
        };
        assert!(trainer.step(&batch, &settings, 1e-4).updated, "step {step}");
        let now = resident().unwrap_or(0);
        if step <= SETTLED {
            settled = settled.max(now);
        } else if step > STEPS - SETTLED {
            last = last.min(now);
        }
    }
    let growth = last as f64 / settled as f64;
    assert!(growth <= GROWTH, "grew to {growth:.3} of what it was at step {SETTLED}");
}
