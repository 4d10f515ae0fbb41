//! What the tests share: where references and shared data lie, and a read-only folder as a `Directory`.

use std::path::PathBuf;

use burn::tensor::Device;
use ragtune_engine::device::{DeviceChoice, choose};
use ragtune_engine::directory::Folder;
use ragtune_model::{BertConfig, Encoder};
use ragtune_text::Tokenizer;
use ragtune_text::storage::Directory;
use ragtune_tune::{Batch, LossOptions, StepSettings, Temperatures};
use rand::{RngExt, SeedableRng};

/// A file or folder below `tests/references`.
pub fn reference(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("references").join(name)
}

/// A json reference.
pub fn reference_json(name: &str) -> serde_json::Value {
    let path = reference(name);
    let bytes = std::fs::read(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    serde_json::from_slice(&bytes).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

/// A folder below `tests/references` as a directory.
pub fn reference_dir(name: &str) -> Folder {
    Folder::open(reference(name)).unwrap_or_else(|e| panic!("{name}: {e}"))
}

/// A path below `../shared`, or none with a line that says so.
pub fn shared(name: &str) -> Option<PathBuf> {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../shared").join(name);
    if path.exists() {
        return Some(path);
    }
    eprintln!("skipped: no ../shared/{name}");
    None
}

/// An adapter that computes rightly, or none with a line that says so; with `RAGTUNE_NEEDS_ADAPTER` there must be one.
pub fn adapter() -> Option<Device> {
    match choose(&DeviceChoice::Gpu(None)) {
        Ok(chosen) => Some(chosen.device),
        Err(error) if std::env::var_os("RAGTUNE_NEEDS_ADAPTER").is_some() => panic!("{error}"),
        Err(error) => {
            eprintln!("skipped: no adapter ({error})");
            None
        }
    }
}

/// Numbers without pattern in -1..1, the same for the same seed.
pub fn random(n: usize, seed: u64) -> Vec<f32> {
    numbers_up_to(1.0, n, seed)
}

/// The same of sizes up to `most`.
pub fn numbers_up_to(most: f32, n: usize, seed: u64) -> Vec<f32> {
    let mut rng = rand_pcg::Pcg64Mcg::seed_from_u64(seed);
    (0..n).map(|_| rng.random_range(-most..most)).collect()
}

/// The tokenizer that ships.
pub fn tokenizer() -> Tokenizer {
    let files = ragtune_sample::models::encoder().expect("memory");
    Tokenizer::from_bytes(&files.read("tokenizer.json").expect("tokenizer"), "tokenizer.json").expect("tokenizer")
}

/// A tiny encoder; its weights are drawn on the host, the same for every device.
pub fn tiny_encoder(device: &Device) -> Encoder {
    let tokenizer = tokenizer();
    let config = tiny_config(&tokenizer, 64);
    Encoder::init(config, tokenizer, device, &mut rand_pcg::Pcg64Mcg::seed_from_u64(3)).expect("encoder")
}

/// The config of a body of one layer for texts of so many tokens: tests ask whether the machinery is right, not how good.
pub fn tiny_config(tokenizer: &Tokenizer, tokens: usize) -> BertConfig {
    BertConfig {
        model_type: "bert".to_owned(),
        vocab_size: tokenizer.vocab_size(),
        hidden_size: 16,
        num_hidden_layers: 1,
        num_attention_heads: 2,
        intermediate_size: 32,
        max_position_embeddings: tokens,
        type_vocab_size: 2,
        layer_norm_eps: 1e-12,
        hidden_act: "gelu".to_owned(),
        ..BertConfig::default()
    }
}

/// Settings of a step of such an encoder; chunks of so many tokens, kept from the first pass up to as many.
pub fn tiny_step(chunk_tokens: usize, kept_tokens: usize) -> StepSettings {
    StepSettings {
        top_k: 64,
        chunk_tokens,
        kept_tokens,
        kept_bytes: u64::MAX,
        checkpointing: false,
        half: false,
        temperatures: Temperatures::all(1.0),
        loss: LossOptions::default(),
    }
}

/// A step's batch of two questions and their four passages.
pub fn tiny_batch(mut text: impl FnMut() -> Vec<u32>) -> Batch {
    Batch {
        questions: (0..2).map(|_| text()).collect(),
        passages: (0..4).map(|_| text()).collect(),
        masked: vec![false; 8],
        rag_scores: vec![None; 2],
    }
}

/// How much what is held grows over training steps: the least of the last tenth of `steps` to the least of the tenth behind the
/// first. `held` is asked after each step. What a step took and is not yet given back lies on top, and differs from step to
/// step; what is never given back raises the least.
pub fn growth(steps: usize, mut held: impl FnMut(usize) -> u64) -> f64 {
    let tenth = steps / 10;
    let all: Vec<u64> = (1..=steps).map(&mut held).collect();
    let least = |part: &[u64]| part.iter().copied().min().unwrap_or(0) as f64;
    least(&all[steps - tenth..]) / least(&all[tenth..2 * tenth])
}

/// Numbers of a json array, nested or flat.
pub fn numbers(value: &serde_json::Value) -> Vec<f32> {
    match value {
        serde_json::Value::Array(all) => all.iter().flat_map(numbers).collect(),
        serde_json::Value::Number(n) => n.as_f64().map(|n| n as f32).into_iter().collect(),
        serde_json::Value::Object(tensor) => tensor.get("data").map(numbers).unwrap_or_default(),
        _ => Vec::new(),
    }
}

/// Token ids of a json array.
pub fn ids(value: &serde_json::Value) -> Vec<u32> {
    numbers(value).into_iter().map(|n| n as u32).collect()
}

/// Panics unless all pairs are within `tolerance`, absolute and relative.
pub fn assert_close(what: &str, got: &[f32], want: &[f32], tolerance: f32) {
    assert_eq!(got.len(), want.len(), "{what}: length");
    for (i, (g, w)) in got.iter().zip(want).enumerate() {
        assert!((g - w).abs() <= tolerance * (1.0 + w.abs()), "{what} at {i}: got {g}, want {w}");
    }
}
