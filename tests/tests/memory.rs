//! What is allocated on the heap: flat over a thousand training steps, and never a [batch, length, V] tensor in the vocabulary
//! head.
//!
//! Bytes are counted as they are asked for, so that what the system's allocator keeps for itself does not blur them. One test at
//! a time may count; an adapter's buffers are looked at in `gpu.rs`.

use std::sync::{Mutex, PoisonError};

use burn::tensor::{Device, Tensor};
use peak_alloc::PeakAlloc;
use ragtune_kernels::{elu1p, from_vec, to_vec, vocab_max_rows, vocab_max_rows_back};
use ragtune_model::Encoder;
use ragtune_tests::{assert_close, growth, tiny_batch, tiny_step};
use ragtune_tune::{OptimSettings, Trainer};
use rand::{RngExt, SeedableRng};

#[global_allocator]
static HEAP: PeakAlloc = PeakAlloc;
static COUNTING: Mutex<()> = Mutex::new(());

const STEPS: usize = 1000;
const GROWTH: f64 = 1.02;
/// The head's peak, of the one that writes [batch, length, V].
const SHARE: f64 = 1.0 / 20.0;

#[test]
fn a_thousand_steps_hold_memory_flat() {
    let _one = COUNTING.lock().unwrap_or_else(PoisonError::into_inner);
    let files = ragtune_sample::models::encoder().expect("memory");
    let encoder = Encoder::load(&files, &Device::flex(), None).expect("the shipped encoder");
    let mut trainer = Trainer::new(encoder, OptimSettings::default());
    let mut rng = rand_pcg::Pcg64Mcg::seed_from_u64(5);
    // Texts of every length, read twice.
    let settings = tiny_step(64, 32);
    let growth = growth(STEPS, |step| {
        let batch = tiny_batch(|| (0..rng.random_range(2..=24)).map(|_| rng.random_range(5..200)).collect());
        assert!(trainer.step(&batch, &settings, 1e-4).updated, "step {step}");
        HEAP.current_usage() as u64
    });
    eprintln!("memory became {growth:.6} of what it was");
    assert!(growth > 0.0 && growth <= GROWTH, "grew to {growth:.3} of what it was");
}

#[test]
fn the_heads_peak_is_a_twentieth_of_the_naive_ones() {
    let _one = COUNTING.lock().unwrap_or_else(PoisonError::into_inner);
    // 32 texts of 128 tokens; the width is small, since it is in neither's peak.
    let (texts, tokens, width, dims) = (32, 128, 16, 8192);
    let device = Device::flex();
    let mut rng = rand_pcg::Pcg64Mcg::seed_from_u64(6);
    let mut numbers = |n: usize| (0..n).map(|_| rng.random_range(-0.5..0.5)).collect::<Vec<f32>>();
    let (plain_states, plain_rows) = (numbers(texts * tokens * width), numbers(dims * width));
    let states: Tensor<2> = from_vec(plain_states.clone(), [texts * tokens, width], &device);
    let rows: Tensor<2> = from_vec(plain_rows.clone(), [dims, width], &device);
    let lengths = vec![tokens; texts];
    let peak = |work: &mut dyn FnMut()| {
        HEAP.reset_peak_usage();
        let before = HEAP.current_usage();
        work();
        (HEAP.peak_usage() - before) as f64
    };

    let mut ours = Vec::new();
    let fused = peak(&mut || {
        let (values, argmax) = vocab_max_rows(&states, &lengths, &rows);
        // The largest product's way through elu1p: 1 where it is not negative, its own value elsewhere.
        let slopes: Vec<f32> = values.iter().map(|&product| if product < 0.0 { product.exp() } else { 1.0 }).collect();
        (_, ours) = vocab_max_rows_back(&slopes, &argmax, &plain_states, &lengths, &plain_rows, width);
    });
    let mut theirs = Vec::new();
    let naive = peak(&mut || {
        let states = states.clone().reshape([texts, tokens, width]).autodiff().require_grad();
        let rows = rows.clone().autodiff().require_grad();
        let products = states.matmul(rows.clone().transpose().unsqueeze::<3>());
        let mut gradients = elu1p(products).max_dim(1).sum().backward();
        theirs = to_vec(rows.grad_remove(&mut gradients).expect("a gradient"));
    });

    assert_close("the gradient of the rows", &ours, &theirs, 1e-3);
    eprintln!("{:.1} MB beside {:.1} MB: 1/{:.0}", fused / 1e6, naive / 1e6, naive / fused);
    assert!(fused <= naive * SHARE, "{fused} bytes are more than a twentieth of {naive}");
}
