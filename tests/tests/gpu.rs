//! The same loop on burn-wgpu: scores and one training step on any adapter equal the CPU's.
//!
//! Tolerances: vectors and log-probabilities 1e-3 relative to 1 + |value|, loss 1e-3, gradients 1 % of the largest
//! gradient of their weight. A software adapter (Vulkan lavapipe) is enough; without any adapter the tests say so.

use burn::tensor::{Device, FloatDType};
use ragtune_kernels::to_vec;
use ragtune_model::{CausalLm, Decoder, DecoderConfig, Kind, Weights};
use ragtune_tests::{adapter, assert_close, growth, tiny_batch, tiny_encoder, tiny_step, tokenizer};
use ragtune_tune::{Batch, OptimSettings, StepSettings, Trainer};
use rand::SeedableRng;

/// A batch of texts of four tokens, other ones for each `first`.
fn batch_from(mut first: u32) -> Batch {
    tiny_batch(|| {
        first += 3;
        (0..4).map(|at| 5 + (first + at) % 200).collect()
    })
}

/// A language model of one layer.
fn tiny_lm(device: &Device) -> CausalLm {
    let tokenizer = tokenizer();
    let config = serde_json::json!({
        "model_type": "llama", "vocab_size": tokenizer.vocab_size(), "hidden_size": 16, "intermediate_size": 32,
        "num_hidden_layers": 1, "num_attention_heads": 2, "num_key_value_heads": 1, "head_dim": 8,
        "max_position_embeddings": 64, "rms_norm_eps": 1e-5, "tie_word_embeddings": true, "eos_token_id": 3,
    });
    let config = DecoderConfig::from_json(&config, "config.json").expect("the config is valid");
    let decoder = Decoder { config };
    let weights = decoder.init(device, &mut rand_pcg::Pcg64Mcg::seed_from_u64(4));
    CausalLm { tokenizer, decoder, weights, eos: vec![3], chat: None }
}

/// Asserts that gradients are those of the CPU.
fn assert_near(want: &Weights, got: &Weights) {
    for (name, weight) in want.iter() {
        let (want, got) = (weight.values(), got.get(name).expect("gradient").values());
        let largest = want.iter().fold(1e-6f32, |m, v| m.max(v.abs()));
        for (w, g) in want.iter().zip(&got) {
            assert!((w - g).abs() <= 1e-2 * largest, "{name}: cpu {w}, gpu {g}");
        }
    }
}

#[test]
fn scores_and_one_training_step_equal_the_cpus() {
    let Some(gpu) = adapter() else { return };
    let cpu = Device::flex();

    // Lexical vectors.
    let (a, b) = (tiny_encoder(&cpu), tiny_encoder(&gpu));
    let texts = ["who founded the town ?", "the bridge was built in 1407 by a mason", "a ship"];
    let ids: Vec<Vec<u32>> = texts.iter().map(|t| a.question_ids(t).expect("ids")).collect();
    let borrowed: Vec<&[u32]> = ids.iter().map(Vec::as_slice).collect();
    for (x, y) in a.encode(Kind::Question, &borrowed).iter().zip(b.encode(Kind::Question, &borrowed)) {
        assert_close("vectors", &y.dense, &x.dense, 1e-3);
    }

    // One training step.
    let batch = Batch {
        questions: ids[..2].to_vec(),
        passages: vec![ids[1].clone(), ids[2].clone(), ids[0].clone(), ids[2].clone()],
        masked: vec![false; 8],
        rag_scores: vec![None; 2],
    };
    let settings = tiny_step(4096, 4096);
    let (mut on_cpu, mut on_gpu) =
        (Trainer::new(a, OptimSettings::default()), Trainer::new(b, OptimSettings::default()));
    let (x, want, _) = on_cpu.gradients(&batch, &settings);
    let (y, got, _) = on_gpu.gradients(&batch, &settings);
    assert_close("loss", &[y.loss.total], &[x.loss.total], 1e-3);
    assert_near(&want, &got);
    let (x, y) = (on_cpu.step(&batch, &settings, 1e-3), on_gpu.step(&batch, &settings, 1e-3));
    assert!(x.updated && y.updated);
    assert_close("norm", &[y.gradient_norm as f32], &[x.gradient_norm as f32], 1e-2);

    // Answer scores of a language model, padded batch.
    let (a, b) = (tiny_lm(&cpu), tiny_lm(&gpu));
    let long = a.continuation(&a.prompt(texts[1]).expect("ids"), " the mason").expect("continuation");
    let short = a.continuation(&a.prompt(texts[2]).expect("ids"), " year").expect("continuation");
    for (x, y) in a.score(&[&long, &short]).iter().zip(b.score(&[&long, &short])) {
        assert_close("log probability", &[y.log_prob], &[x.log_prob], 1e-3);
    }
    assert!(to_vec(a.weights.matrix("model.embed_tokens.weight")).iter().all(|v| v.is_finite()));
}

#[test]
fn a_training_step_in_16_bits_is_near_the_one_in_32() {
    let Some(gpu) = adapter() else { return };
    if !gpu.supports_dtype(FloatDType::F16) {
        eprintln!("skipped: this adapter does not compute in 16 bits");
        return;
    }
    let trainer = Trainer::new(tiny_encoder(&gpu), OptimSettings::default());
    let batch = batch_from(0);
    let (report, want, _) = trainer.gradients(&batch, &tiny_step(4096, 4096));
    // With layers that are computed again: both ways at once, since a driver in software takes a minute for either.
    let half = StepSettings { half: true, checkpointing: true, ..tiny_step(4096, 4096) };
    let (found, got, _) = trainer.gradients(&batch, &half);
    assert!((found.loss.total - report.loss.total).abs() < 0.02 * report.loss.total);
    let (mut away, mut length) = (0.0f32, 0.0f32);
    for (name, want) in want.iter() {
        let (got, want) = (got.get(name).expect(name).values(), want.values());
        away += got.iter().zip(&want).map(|(a, b)| (a - b).powi(2)).sum::<f32>();
        length += want.iter().map(|b| b * b).sum::<f32>();
    }
    let away = (away / length).sqrt();
    assert!(away > 0.0 && away < 0.1, "the gradient is {away:.4} of its length away");

    // A language model's layers.
    let lm = tiny_lm(&gpu);
    let prompt = lm.prompt("the bridge was built in 1407 by a mason").expect("ids");
    let text = lm.continuation(&prompt, " the mason").expect("continuation");
    let (want, found) = (lm.score(&[&text])[0].log_prob, lm.halved().score(&[&text])[0].log_prob);
    let away = (found - want).abs();
    assert!(away > 0.0 && away < 1e-2 * want.abs(), "{found} in 16 bits, {want} in 32");
}

#[test]
fn a_step_shared_with_an_adapter_is_the_cpus_own() {
    let Some(gpu) = adapter() else { return };
    let mut trainer = Trainer::new(tiny_encoder(&Device::flex()), OptimSettings::default());
    let batch = batch_from(0);
    // Two texts a chunk: one chunk of questions and two of passages.
    let settings = tiny_step(8, 4096);
    let (report, want, _) = trainer.gradients(&batch, &settings);
    trainer.share_with(vec![gpu]);
    let (shared, got, _) = trainer.gradients(&batch, &settings);
    assert_close("loss", &[shared.loss.total], &[report.loss.total], 1e-3);
    assert_near(&want, &got);
    let differs = want.iter().any(|(name, want)| got.get(name).expect("gradient").values() != want.values());
    assert!(differs, "the adapter has computed nothing");
}

#[test]
fn training_steps_hold_an_adapters_memory_flat() {
    let Some(gpu) = adapter() else { return };
    // A driver in software takes a third of a second for a step; 1,000 steps on a card of its own.
    let steps: usize = std::env::var("RAGTUNE_STEPS").ok().and_then(|steps| steps.parse().ok()).unwrap_or(150);
    let mut trainer = Trainer::new(tiny_encoder(&gpu), OptimSettings::default());
    let settings = tiny_step(4096, 4096);
    let growth = growth(steps, |step| {
        let batch = batch_from(7 * step as u32);
        assert!(trainer.step(&batch, &settings, 1e-4).updated, "step {step}");
        gpu.memory_pool_usage().map_or(0, |usage| usage.bytes_reserved)
    });
    assert!(growth > 0.0 && growth <= 1.02, "grew to {growth:.3} of what it was");
}
