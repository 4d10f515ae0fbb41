//! Tokens a second of an encoder: reading, and a training step. `cargo bench --workspace --bench encoder -- FOLDER`;
//! without a folder the sample world's encoder.

#![allow(clippy::print_stdout, reason = "a benchmark prints")]

use std::path::Path;
use std::time::Instant;

use burn::tensor::Device;
use ragtune_engine::directory::Folder;
use ragtune_model::{Encoder, Kind};
use ragtune_tune::{Batch, LossOptions, OptimSettings, StepSettings, Temperatures, Trainer};
use rand::{RngExt, SeedableRng};
use rand_pcg::Pcg64Mcg;

/// Questions of a step; a positive and a negative belong to each.
const QUESTIONS: usize = 16;
const QUESTION_TOKENS: usize = 16;
const PASSAGE_TOKENS: usize = 160;
const ROUNDS: usize = 5;

fn main() {
    let folder = std::env::args().nth(1).filter(|argument| !argument.starts_with('-'));
    let device = Device::flex();
    let encoder = match &folder {
        Some(folder) => {
            let folder = Folder::open(Path::new(folder)).expect("the encoder's folder");
            Encoder::load(&folder, &device, None).expect("an encoder")
        }
        None => Encoder::load(&ragtune_sample::models::encoder().expect("sample"), &device, None).expect("an encoder"),
    };
    let words = encoder.question.bert.config.vocab_size as u32;
    let mut rng = Pcg64Mcg::seed_from_u64(1);
    let mut text = |tokens: usize| -> Vec<u32> {
        // Of unequal lengths, as texts are.
        let tokens = rng.random_range(tokens / 2..tokens * 3 / 2);
        (0..tokens).map(|_| rng.random_range(0..words)).collect()
    };
    let questions: Vec<Vec<u32>> = (0..QUESTIONS).map(|_| text(QUESTION_TOKENS)).collect();
    let passages: Vec<Vec<u32>> = (0..2 * QUESTIONS).map(|_| text(PASSAGE_TOKENS)).collect();
    let tokens = |texts: &[Vec<u32>]| texts.iter().map(Vec::len).sum::<usize>() as f64;
    println!("{} parameters", encoder.question.weights.parameters());

    let mut order: Vec<&[u32]> = passages.iter().map(Vec::as_slice).collect();
    order.sort_by_key(|text| text.len());
    let seconds = median(|| {
        for block in order.chunks(8) {
            encoder.encode(Kind::Passage, block);
        }
    });
    println!("reading passages: {:.0} tokens/s", tokens(&passages) / seconds);
    let seconds = median(|| drop(encoder.encode(Kind::Question, &[&questions[0]])));
    println!("one question of {} tokens: {:.1} ms", questions[0].len(), seconds * 1e3);

    let all = tokens(&questions) + tokens(&passages);
    let batch = Batch {
        masked: vec![false; 2 * QUESTIONS * QUESTIONS],
        rag_scores: vec![None; QUESTIONS],
        questions,
        passages,
    };
    let settings = StepSettings {
        top_k: 768,
        chunk_tokens: 2048,
        kept_tokens: 12288,
        temperatures: Temperatures::all(1.0),
        loss: LossOptions::default(),
    };
    let mut trainer = Trainer::new(encoder, OptimSettings::default());
    let seconds = median(|| drop(trainer.gradients(&batch, &settings)));
    println!("gradients of a step: {:.0} tokens/s, {seconds:.2} s", all / seconds);
    let seconds = median(|| {
        trainer.step(&batch, &settings, 1e-6);
    });
    println!("a whole step: {:.0} tokens/s, {seconds:.2} s", all / seconds);
}

fn median(mut work: impl FnMut()) -> f64 {
    let mut seconds: Vec<f64> = (0..ROUNDS)
        .map(|_| {
            let started = Instant::now();
            work();
            started.elapsed().as_secs_f64()
        })
        .collect();
    seconds.sort_by(f64::total_cmp);
    seconds[ROUNDS / 2]
}
