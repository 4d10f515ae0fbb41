//! Every shader beside its twin on the CPU, on sizes around its tiles of 8, 64 and 128, its depth of 16, its blocks of 512 and
//! its strips of 1,024.
//!
//! Tolerance: 1e-5 relative to 1 + |value|; sums run in another order. Without an adapter the tests say so.

use burn::tensor::{Device, Int, Tensor, TensorData};
use ragtune_kernels::{
    Bags, Format, Packed, bent, from_vec, log_probs, of_logits, to_ids, to_vec, vocab_max, vocab_max_backward,
    vocab_max_rows, vocab_max_rows_back,
};
use ragtune_model::Decoder;
use ragtune_tests::{adapter, assert_close, random, reference_dir, reference_json};
use rand::{RngExt, SeedableRng};

const TOLERANCE: f32 = 1e-5;
/// Texts, positions, width, dimensions.
const SIZES: [[usize; 4]; 8] = [
    [1, 1, 1, 1],
    [3, 7, 5, 13],
    [2, 64, 16, 64],
    [2, 65, 17, 129],
    [4, 130, 33, 200],
    [1, 3, 300, 70],
    [2, 9, 20, 1025],
    [1, 8, 256, 512],
];

/// Lengths from one position to all.
fn lengths(batch: usize, length: usize) -> Vec<usize> {
    (0..batch).map(|b| (length * (b + 1) / batch).max(1)).collect()
}

/// The real positions behind each other.
fn packed(states: &[f32], lengths: &[usize], length: usize, width: usize) -> Vec<f32> {
    let texts = lengths.iter().enumerate();
    texts.flat_map(|(b, n)| &states[b * length * width..][..n * width]).copied().collect()
}

#[test]
fn the_vocabulary_head_and_its_way_back_equal_their_twins() {
    let Some(gpu) = adapter() else { return };
    for [batch, length, width, dims] in SIZES {
        let what = format!("{batch} x {length} x {width} x {dims}");
        let (states, rows) = (random(batch * length * width, 1), random(dims * width, 2));
        let lengths = lengths(batch, length);
        let flat = packed(&states, &lengths, length, width);
        let total = lengths.iter().sum();
        let (max, argmax) = vocab_max_rows(
            &from_vec(flat.clone(), [total, width], &Device::flex()),
            &lengths,
            &from_vec(rows.clone(), [dims, width], &Device::flex()),
        );
        let hidden: Tensor<3> = from_vec(states, [batch, length, width], &gpu);
        let words: Tensor<2> = from_vec(rows.clone(), [dims, width], &gpu);
        let found = vocab_max(hidden.clone(), &lengths, words.clone());
        assert_close(&what, &to_vec(found.max), &max, TOLERANCE);
        assert_eq!(to_ids(found.argmax.clone()), argmax, "{what}");

        // Some gradients are 0, as they are behind a vector that keeps its largest dimensions.
        let mut grad = random(batch * dims, 3);
        grad.iter_mut().step_by(3).for_each(|g| *g = 0.0);
        let (d_states, d_rows) = vocab_max_rows_back(&grad, &argmax, &flat, &lengths, &rows, width);
        let (found_states, found_rows) =
            vocab_max_backward(from_vec(grad, [batch, dims], &gpu), found.argmax, hidden, words);
        assert_close(&what, &to_vec(found_rows), &d_rows, TOLERANCE);
        let found_states = to_vec(found_states);
        assert_close(&what, &packed(&found_states, &lengths, length, width), &d_states, TOLERANCE);
        // Padding gets nothing.
        for (b, n) in lengths.iter().enumerate() {
            assert!(found_states[(b * length + n) * width..(b + 1) * length * width].iter().all(|d| *d == 0.0));
        }
    }
}

#[test]
fn views_of_tensors_are_read_as_what_they_show() {
    let Some(gpu) = adapter() else { return };
    // Transposed rows, and states that are part of a longer tensor.
    let states: Tensor<3> = from_vec(random(2 * 9 * 8, 1), [2, 9, 8], &gpu);
    let rows: Tensor<2> = from_vec(random(8 * 20, 2), [8, 20], &gpu);
    let shown = vocab_max(states.clone().slice([0..2, 3..9, 0..8]), &[6, 2], rows.clone().transpose());
    let on_cpu = |tensor: Vec<f32>, shape: [usize; 3]| from_vec::<3>(tensor, shape, &Device::flex());
    let states = on_cpu(to_vec(states), [2, 9, 8]).slice([0..2, 3..9, 0..8]);
    let rows = from_vec::<2>(to_vec(rows), [8, 20], &Device::flex()).transpose();
    let wanted = vocab_max(states, &[6, 2], rows);
    assert_close("views", &to_vec(shown.max), &to_vec(wanted.max), TOLERANCE);
    assert_eq!(to_ids(shown.argmax), to_ids(wanted.argmax));
}

#[test]
fn ties_go_to_the_first_position() {
    let Some(gpu) = adapter() else { return };
    let states: Tensor<3> = from_vec(vec![0.5; 130 * 4], [1, 130, 4], &gpu);
    let rows: Tensor<2> = from_vec(random(70 * 4, 1), [70, 4], &gpu);
    let places: Tensor<2, Int> = vocab_max(states, &[130], rows).argmax;
    assert_eq!(to_ids(places), [0; 70]);
}

#[test]
fn bags_of_tokens_are_searched_as_on_the_cpu() {
    let Some(gpu) = adapter() else { return };
    let dims = 40;
    for passages in [1, 255, 256, 257, 1000] {
        let mut rng = rand_pcg::Pcg64Mcg::seed_from_u64(passages as u64);
        // Some bags are empty, and many passages have equal scores.
        let bag = |rng: &mut rand_pcg::Pcg64Mcg| {
            let share = rng.random_range(0.0..0.3);
            (0..dims as u32).filter(|_| rng.random_bool(share)).collect::<Vec<u32>>()
        };
        let bags: Vec<Vec<u32>> = (0..passages).map(|_| bag(&mut rng)).collect();
        let all = || bags.iter().cloned().map(Ok::<_, std::convert::Infallible>);
        let (Ok(there), Ok(here)) = (Bags::new(all(), dims, &gpu), Bags::new(all(), dims, &Device::flex()));
        assert_eq!(there.bytes(), here.bytes());
        // Negative weights too; most dimensions have none.
        let mut weights = random(3 * dims, 9);
        weights.iter_mut().enumerate().filter(|(i, _)| i % 4 != 0).for_each(|(_, w)| *w = 0.0);
        for m in [1, 20, passages + 1] {
            let (found, want) = (there.best(&weights, m), here.best(&weights, m));
            assert_eq!(found, want, "{passages} passages, {m} best");
            assert_eq!(found[0].len(), m.min(passages));
        }
    }
}

#[test]
fn log_probabilities_equal_those_of_written_logits() {
    let Some(gpu) = adapter() else { return };
    for (count, width, words) in [(1, 1, 1), (3, 17, 5), (65, 16, 1024), (2, 40, 2500)] {
        // Large enough for some probabilities to be nearly 0.
        let states: Vec<f32> = random(count * width, 4).iter().map(|x| 4.0 * x).collect();
        let rows = random(words * width, 5);
        let wanted: Vec<u32> = (0..count).map(|i| (i * 977 % words) as u32).collect();
        for cap in [None, Some(3.0)] {
            let cpu: Tensor<2> = from_vec(states.clone(), [count, width], &Device::flex());
            let head: Tensor<2> = from_vec(rows.clone(), [words, width], &Device::flex());
            let expected = of_logits(bent(cpu.matmul(head.transpose()), cap), &wanted);
            let on_gpu: Tensor<2> = from_vec(states.clone(), [count, width], &gpu);
            // Whole, and in two parts.
            for cut in [words, words.div_ceil(3)] {
                let part =
                    |rows: &[f32]| Tensor::from_data(TensorData::new(rows.to_vec(), [rows.len() / width, width]), &gpu);
                let parts: Vec<Tensor<2>> = rows.chunks(cut * width).map(part).collect();
                let found = log_probs(&on_gpu, parts, &wanted, cap);
                assert_close(&format!("{count} x {width} x {words}, {cap:?}"), &found, &expected, 2e-5);
            }
        }
    }
}

#[test]
fn packed_matrices_expand_to_the_same_bits() {
    let Some(gpu) = adapter() else { return };
    let mut rng = rand_pcg::Pcg64Mcg::seed_from_u64(6);
    for format in [Format::F16, Format::Bf16, Format::Q8_0, Format::Q4_0] {
        // Rows of a number of bytes that no word divides, where the format has such.
        let [rows, columns] = if format.block().0 == 1 { [9, 7] } else { [9, 96] };
        let bytes = format.bytes(columns).expect("whole blocks") * rows;
        // Small exponents in every place where a scale or a number of 16 bits may begin: all are finite.
        let data: Vec<u8> = (0..bytes).map(|_| rng.random::<u8>() & 0xbb).collect();
        let packed = Packed::new(format, [rows, columns], data).expect("a matrix");
        let there = packed.on_device(&gpu).expect("the format is taken");
        let wanted = packed.values();
        assert!(wanted.iter().all(|x| x.is_finite()));
        assert_eq!(there.values(), wanted, "{}", format.name());
        let ids = [8, 0, 3, 3];
        assert_eq!(to_vec(there.select(&ids)), to_vec(packed.select(&ids)), "{}", format.name());
        for n in [1, 10] {
            let x = random(n * columns, 7);
            let found = there.times_turned(from_vec(x.clone(), [n, columns], &gpu));
            let expected = packed.times_turned(from_vec(x, [n, columns], &Device::flex()));
            let most = to_vec(expected.clone()).iter().fold(1.0f32, |most, x| most.max(x.abs()));
            for (found, expected) in to_vec(found).iter().zip(to_vec(expected)) {
                assert!((found - expected).abs() <= TOLERANCE * most, "{}: {found} {expected}", format.name());
            }
        }
    }
    // Others become floats.
    let block = Format::Q6K.bytes(256).expect("a block");
    let other = Packed::new(Format::Q6K, [1, 256], vec![0; block]).expect("a matrix");
    assert!(other.on_device(&gpu).is_none());
}

#[test]
fn a_packed_language_model_gives_its_reference_on_an_adapter() {
    let Some(gpu) = adapter() else { return };
    let case = &reference_json("gguf/reference.json")["models"]["llama-q8"];
    let dir = reference_dir("gguf").with_model("llama-q8.gguf");
    let decoder = Decoder::from_dir(&dir).expect("a config");
    let weights = decoder.read_packed(&dir, &gpu).expect("weights");
    assert!(weights.formats().contains(&"Q8_0"), "{:?}", weights.formats());
    let ids = ragtune_tests::ids(&case["short"]["ids"]);
    let states = decoder.forward(&weights, &[&ids], None);
    let [_, n, width] = states.dims();
    let logits = decoder.logits(&weights, states.clone().reshape([n, width]));
    let wanted = ragtune_tests::numbers(&case["short"]["logits"]);
    assert_close("logits", &to_vec(logits.clone()), &wanted, 2e-4);
    let next: Vec<u32> = (0..n as u32).map(|i| i % 96).collect();
    let found = decoder.log_probs(&weights, states.reshape([n, width]), &next);
    assert_close("log-probabilities", &found, &of_logits(logits, &next), 2e-5);
}
