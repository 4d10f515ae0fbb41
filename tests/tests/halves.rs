//! A device that is asked to multiply in 16 bits gives what it gives in 32, to the third digit: vectors, scores, an index.
//!
//! Alone in its process: what is asked of a device holds for all that compute on it. Without an adapter the test says so.

use burn::tensor::Device;
use ragtune_kernels::units::{in_halves, multiply_in_halves};
use ragtune_model::{CausalLm, Kind};
use ragtune_tests::{adapter, tiny_encoder};

#[test]
fn a_device_asked_for_16_bits_gives_what_it_gives_in_32_to_the_third_digit() {
    let Some(gpu) = adapter() else { return };
    if !gpu.supports_dtype(burn::tensor::FloatDType::F16) {
        eprintln!("skipped: this adapter does not compute in 16 bits");
        return;
    }
    let encoder = tiny_encoder(&gpu);
    let files = ragtune_sample::models::reader().expect("memory");
    let lm = CausalLm::load(&files, &gpu).expect("reader");
    let ids: Vec<u32> = encoder.question_ids("the bridge was built in 1407 by a mason").expect("ids");
    let text = lm.continuation(&lm.prompt("the bridge").expect("ids"), " was built").expect("continuation");
    let all = |lm: &CausalLm| {
        let vectors = encoder.encode(Kind::Passage, &[&ids, &ids[..3]]);
        let mut numbers: Vec<f32> = vectors.into_iter().flat_map(|forms| forms.dense).collect();
        numbers.push(lm.score(&[&text])[0].log_prob);
        numbers
    };
    let want = all(&lm);
    multiply_in_halves(&gpu, true);
    assert!(in_halves(&gpu) && !in_halves(&Device::flex()));
    let found = all(&lm.halved());
    multiply_in_halves(&gpu, false);
    assert_eq!(all(&lm), want, "the same bits as before");
    let away = |(f, w): (&f32, &f32)| (f - w).abs() / (1.0 + w.abs());
    let most = found.iter().zip(&want).map(away).fold(0.0f32, f32::max);
    assert!(most > 0.0 && most < 1e-2, "the largest difference is {most}");
}
