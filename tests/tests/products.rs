//! The shaders for products and attention, of numbers in 32 bits and on matrix units, beside their twins and beside what the CPU
//! computes in 32 bits, on sizes around their tiles of 64 and 128 and their depth of 8, 16 and 32.
//!
//! Tolerance: 1e-4 relative to 1 + |value| beside a twin that rounds in the same places, and beside 32 bits 2 % of the largest
//! value where numbers are of 16. Without an adapter, or one that has matrix units, the tests say so.

use burn::tensor::{Device, Tensor};
use ragtune_kernels::on_gpu::{
    attend, attend_back, probabilities, probabilities_back, products, rounded, times_turned,
};
use ragtune_kernels::{from_vec, to_ids, to_vec, units, vocab_max_in, vocab_max_rows};
use ragtune_tests::{adapter, assert_close, random};

fn with_units() -> Option<Device> {
    let device = adapter()?;
    if units(&device).is_none() {
        eprintln!("skipped: this adapter has no matrix units");
        return None;
    }
    Some(device)
}

/// An adapter, and whether it multiplies numbers in 16 bits: in either way that it can.
fn ways() -> impl Iterator<Item = (Device, bool)> {
    adapter().map(|device| (device, false)).into_iter().chain(with_units().map(|device| (device, true)))
}

/// Beside what is computed in 32 bits.
fn assert_near(what: &str, half: bool, got: &[f32], want: &[f32]) {
    let most = want.iter().fold(0.0f32, |most, w| most.max(w.abs()));
    if !half {
        // Gradients of any size.
        let scaled = |side: &[f32]| side.iter().map(|x| x / most.max(f32::MIN_POSITIVE)).collect::<Vec<f32>>();
        return assert_close(what, &scaled(got), &scaled(want), 1e-4);
    }
    assert_eq!(got.len(), want.len(), "{what}");
    for (at, (g, w)) in got.iter().zip(want).enumerate() {
        assert!((g - w).abs() <= 0.02 * most, "{what} at {at}: {g} for {w}, the largest is {most}");
    }
}

/// Rows, columns, depth.
const SIZES: [[usize; 3]; 7] =
    [[1, 4, 4], [7, 12, 20], [64, 64, 32], [65, 128, 36], [130, 68, 100], [300, 260, 64], [5, 8, 1200]];

/// Such as only numbers in 32 bits have.
const ODD: [[usize; 3]; 4] = [[16, 1, 1], [17, 129, 7], [129, 3, 33], [130, 127, 770]];

#[test]
fn products_equal_their_twin() {
    for (gpu, half) in ways() {
        let odd = ODD.iter().filter(|_| !half);
        for [rows, columns, depth] in SIZES.iter().chain(odd).copied().filter(|[rows, ..]| half || *rows >= 16) {
            let what = format!("{rows} x {columns} x {depth}, in 16 bits: {half}");
            let (left, right, bias) = (random(rows * depth, 1), random(columns * depth, 2), random(columns, 3));
            let mut want =
                if half { products(&rounded(&left), &rounded(&right), depth) } else { products(&left, &right, depth) };
            let on_gpu = |values: &[f32], shape: [usize; 2]| from_vec::<2>(values.to_vec(), shape, &gpu);
            let (x, w) = (on_gpu(&left, [rows, depth]), on_gpu(&right, [columns, depth]));
            let times = |x: &Tensor<2>, w: &Tensor<2>| to_vec(times_turned(x, w, None, half).expect(&what));
            assert_close(&what, &times(&x, &w), &want, 1e-4);
            if half {
                // Weights that are of 16 bits already.
                assert_close(&what, &times(&x, &w.clone().cast(burn::tensor::DType::F16)), &want, 1e-4);
            }
            // Sides whose rows lie behind each other.
            if !half || rows.is_multiple_of(4) {
                let turned: Tensor<2> = on_gpu(&to_vec(x.clone().transpose()), [depth, rows]).transpose();
                assert_close(&what, &times(&turned, &w), &want, 1e-4);
            }
            let turned: Tensor<2> = on_gpu(&to_vec(w.clone().transpose()), [depth, columns]).transpose();
            assert_close(&what, &times(&x, &turned), &want, 1e-4);
            want.chunks_exact_mut(columns).for_each(|row| row.iter_mut().zip(&bias).for_each(|(sum, b)| *sum += b));
            let found = times_turned(&x, &w, Some(from_vec(bias, [columns], &gpu)), half).expect(&what);
            assert_eq!(found.dims(), [rows, columns]);
            assert_close(&what, &to_vec(found), &want, 1e-4);
        }
    }
}

#[test]
fn what_16_bits_do_not_hold_is_left_to_others() {
    let Some(gpu) = with_units() else { return };
    let side = |rows: usize, depth: usize| from_vec::<2>(random(rows * depth, 1), [rows, depth], &gpu);
    assert!(times_turned(&side(4, 6), &side(4, 6), None, true).is_none(), "a depth that is no multiple of 4");
    assert!(times_turned(&side(4, 8), &side(6, 8), None, true).is_none(), "columns that are no multiple of 4");
}

#[test]
fn what_no_shader_serves_is_left_to_others() {
    let side = |rows: usize, device: &Device| from_vec::<2>(random(rows * 8, 1), [rows, 8], device);
    let cpu = Device::flex();
    assert!(times_turned(&side(64, &cpu), &side(4, &cpu), None, false).is_none(), "the CPU");
    let Some(gpu) = adapter() else { return };
    assert!(times_turned(&side(4, &gpu), &side(4, &gpu), None, false).is_none(), "a few rows");
}

/// Gradients of a product's sides, of whatever size the gradient is.
#[test]
fn gradients_of_products_equal_those_in_32_bits() {
    for (gpu, half) in ways() {
        for ([rows, columns, depth], size) in SIZES.into_iter().zip([1.0, 1e-7, 1e7, 1.0, 1e-4, 1.0, 1e5]) {
            let rows = if half { rows } else { rows.max(16) };
            let what = format!("{rows} x {columns} x {depth}, in 16 bits: {half}");
            let (left, right, bias) = (random(rows * depth, 1), random(columns * depth, 2), random(columns, 3));
            let grad: Vec<f32> = random(rows * columns, 4).into_iter().map(|g| g * size).collect();
            let gradients = |device: &Device, by_shader: bool| {
                let leaf = |values: &[f32], shape: [usize; 2]| {
                    from_vec::<2>(values.to_vec(), shape, device).autodiff().require_grad()
                };
                let (x, w) = (leaf(&left, [rows, depth]), leaf(&right, [columns, depth]));
                let b: Tensor<1> = from_vec(bias.clone(), [columns], device).autodiff().require_grad();
                let y = match by_shader {
                    true => times_turned(&x, &w, Some(b.clone()), half).expect(&what),
                    false => x.clone().matmul(w.clone().transpose()) + b.clone().unsqueeze::<2>(),
                };
                let grad = from_vec::<2>(grad.clone(), [rows, columns], device).autodiff();
                let mut found = (y * grad).sum().backward();
                let side = |tensor: Option<Tensor<2>>| to_vec(tensor.expect("a gradient"));
                (
                    side(x.grad_remove(&mut found)),
                    side(w.grad_remove(&mut found)),
                    to_vec(b.grad_remove(&mut found).expect("a gradient")),
                )
            };
            let (got, want) = (gradients(&gpu, true), gradients(&Device::flex(), false));
            assert_near(&format!("{what}: left"), half, &got.0, &want.0);
            assert_near(&format!("{what}: right"), half, &got.1, &want.1);
            assert_near(&format!("{what}: bias"), half, &got.2, &want.2);
        }
    }
}

/// Texts, heads, length, width, and how many positions of each text are real.
const TEXTS: [([usize; 4], &[usize]); 5] = [
    ([1, 1, 4, 4], &[3]),
    ([2, 3, 20, 8], &[20, 7]),
    ([2, 2, 132, 32], &[1, 132]),
    ([1, 2, 260, 64], &[259]),
    ([3, 2, 37, 5], &[37, 2, 31]),
];

#[test]
fn attention_and_its_gradients_equal_those_in_32_bits() {
    let all: Vec<_> = ways().flat_map(|way| TEXTS.map(|texts| (way.clone(), texts))).collect();
    for ((gpu, half), ([batch, heads, length, width], lengths)) in all {
        let what = format!("{batch} x {heads} x {length} x {width}, in 16 bits: {half}");
        if half && !(length.is_multiple_of(4) && width.is_multiple_of(4)) {
            let side = from_vec::<4>(random(batch * heads * length * width, 1), [batch, heads, length, width], &gpu);
            assert!(attend(&side, &side, &side, lengths, true).is_none(), "{what}");
            continue;
        }
        let count = batch * heads * length * width;
        let sides: Vec<Vec<f32>> = (1..4).map(|seed| random(count, seed).iter().map(|x| 2.0 * x).collect()).collect();
        // Nothing comes back from padding.
        let mut grad = random(count, 4);
        for (text, real) in grad.chunks_exact_mut(heads * length * width).zip(lengths) {
            text[real * heads * width..].fill(0.0);
        }
        let all = |device: &Device, by_shader: bool| {
            // Heads lie beside each other, as a layer's products give them.
            let leaves: Vec<Tensor<3>> = sides
                .iter()
                .map(|values| {
                    from_vec::<3>(values.clone(), [batch, length, heads * width], device).autodiff().require_grad()
                })
                .collect();
            let split = |x: &Tensor<3>| x.clone().reshape([batch, length, heads, width]).swap_dims(1, 2);
            let [q, k, v] = [split(&leaves[0]), split(&leaves[1]), split(&leaves[2])];
            let y = if by_shader {
                attend(&q, &k, &v, lengths, half).expect(&what)
            } else {
                let hidden: Vec<f32> = lengths
                    .iter()
                    .flat_map(|real| (0..length).map(move |at| if at < *real { 0.0 } else { -1e30 }))
                    .collect();
                let hidden = from_vec::<4>(hidden, [batch, 1, 1, length], device).autodiff();
                let scores = q.matmul(k.swap_dims(2, 3)).div_scalar((width as f32).sqrt()) + hidden;
                let attended = burn::tensor::activation::softmax(scores, 3).matmul(v);
                attended.swap_dims(1, 2).reshape([batch, length, heads * width])
            };
            let grad = from_vec::<3>(grad.clone(), [batch, length, heads * width], device).autodiff();
            let mut attended = to_vec(y.clone().inner());
            for (text, real) in attended.chunks_exact_mut(length * heads * width).zip(lengths) {
                text[real * heads * width..].fill(0.0);
            }
            let mut found = (y * grad).sum().backward();
            let back = leaves.iter().map(|x| to_vec(x.grad_remove(&mut found).expect("a gradient")));
            std::iter::once(attended).chain(back).collect::<Vec<_>>()
        };
        let (got, want) = (all(&gpu, true), all(&Device::flex(), false));
        for (part, (got, want)) in ["attended", "d q", "d k", "d v"].into_iter().zip(got.iter().zip(&want)) {
            assert_near(&format!("{what}: {part}"), half, got, want);
        }
    }
}

/// Texts, heads, heads of the keys, length, width.
const LOOKING_BACK: [[usize; 5]; 5] =
    [[1, 1, 1, 4, 4], [2, 4, 2, 20, 8], [1, 6, 1, 132, 16], [3, 2, 2, 64, 64], [2, 4, 2, 35, 6]];

#[test]
fn attention_that_looks_back_equals_the_one_in_32_bits() {
    let all: Vec<_> = ways().flat_map(|way| LOOKING_BACK.map(|sizes| (way.clone(), sizes))).collect();
    for ((gpu, half), [batch, heads, shared, length, width]) in all {
        if half && !(length.is_multiple_of(4) && width.is_multiple_of(4)) {
            continue;
        }
        let what = format!("{batch} x {heads} of {shared} x {length} x {width}, in 16 bits: {half}");
        let side = |heads: usize, seed: u64, device: &Device| {
            let x = random(batch * length * heads * width, seed).iter().map(|x| 2.0 * x).collect();
            from_vec::<4>(x, [batch, length, heads, width], device).swap_dims(1, 2)
        };
        let sides = |device: &Device| [side(heads, 1, device), side(shared, 2, device), side(shared, 3, device)];
        let [q, k, v] = sides(&gpu);
        let found = attend_back(&q, &k, &v, 0.3, half).expect(&what);
        let [q, k, v] = sides(&Device::flex()).map(to_vec);
        let at = |x: &[f32], heads: usize, b: usize, h: usize, l: usize| {
            // Views are read as what they show: [batch, heads, length, width].
            let from = ((b * heads + h) * length + l) * width;
            x[from..from + width].to_vec()
        };
        let mut want = Vec::new();
        for (b, l) in (0..batch).flat_map(|b| (0..length).map(move |l| (b, l))) {
            for h in 0..heads {
                let (own, key) = (at(&q, heads, b, h, l), h / (heads / shared));
                let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f32>();
                let scores: Vec<f32> = (0..=l).map(|j| dot(&own, &at(&k, shared, b, key, j))).collect();
                let shares = probabilities(&scores, l + 1, l + 1, 0.3);
                let mut sum = vec![0.0f32; width];
                for (j, share) in shares.iter().enumerate() {
                    sum.iter_mut().zip(at(&v, shared, b, key, j)).for_each(|(sum, v)| *sum += share * v);
                }
                want.extend(sum);
            }
        }
        assert_near(&what, half, &to_vec(found), &want);
    }
}

/// The twins of the parts, beside their definitions.
#[test]
fn the_twins_are_what_they_say() {
    let (length, real, factor) = (6, 4, 0.5);
    let scores = random(3 * length, 1);
    let found = probabilities(&scores, length, real, factor);
    for row in found.chunks_exact(length) {
        assert!((row.iter().sum::<f32>() - 1.0).abs() < 1e-6 && row[real..].iter().all(|p| *p == 0.0));
    }
    // By differences.
    let weights = random(3 * length, 2);
    let value = |scores: &[f32]| {
        let found = probabilities(scores, length, real, factor);
        found.iter().zip(&weights).map(|(p, w)| f64::from(p * w)).sum::<f64>()
    };
    let back = probabilities_back(&found, &weights, length, factor);
    for (at, back) in back.iter().enumerate() {
        let mut moved = [scores.clone(), scores.clone()];
        moved[0][at] += 1e-2;
        moved[1][at] -= 1e-2;
        let slope = (value(&moved[0]) - value(&moved[1])) / 2e-2;
        assert!((slope - f64::from(*back)).abs() < 1e-3, "{at}: {slope} {back}");
    }
}

#[test]
fn the_vocabulary_head_equals_its_twin() {
    let Some(gpu) = with_units() else { return };
    for [batch, length, width, dims] in
        [[1, 1, 4, 1], [3, 7, 8, 13], [2, 64, 16, 64], [2, 65, 20, 129], [2, 130, 36, 200], [1, 3, 300, 70]]
    {
        let what = format!("{batch} x {length} x {width} x {dims}");
        // Numbers of few bits, so that rounding changes none of them and places are the same.
        let coarse =
            |n: usize, seed: u64| -> Vec<f32> { random(n, seed).iter().map(|x| (x * 32.0).round() / 32.0).collect() };
        let (states, rows) = (coarse(batch * length * width, 1), coarse(dims * width, 2));
        let lengths: Vec<usize> = (0..batch).map(|b| (length * (b + 1) / batch).max(1)).collect();
        let flat: Vec<f32> =
            lengths.iter().enumerate().flat_map(|(b, n)| &states[b * length * width..][..n * width]).copied().collect();
        let total = lengths.iter().sum();
        let (max, argmax) = vocab_max_rows(
            &from_vec(flat, [total, width], &Device::flex()),
            &lengths,
            &from_vec(rows.clone(), [dims, width], &Device::flex()),
        );
        let found = vocab_max_in(
            true,
            from_vec(states, [batch, length, width], &gpu),
            &lengths,
            from_vec(rows, [dims, width], &gpu),
        );
        assert_close(&what, &to_vec(found.max), &max, 1e-4);
        assert_eq!(to_ids(found.argmax), argmax, "{what}");
    }
}
