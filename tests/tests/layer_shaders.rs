//! The shaders of what stands between a layer's products, and of their gradients, beside burn's operations on the CPU and the
//! twins over rows, on sizes around their 64 threads, 16 rows and 256 columns.
//!
//! Tolerance: 1e-4 relative to 1 + |value|; sums run in another order. Without an adapter the tests say so.

use burn::tensor::{Device, Tensor};
use ragtune_kernels::rows::{self, Activation};
use ragtune_kernels::{Gate, activate, from_vec, gated, layer_norm, root_norm, select, select_back, to_vec, turn};
use ragtune_tests::{adapter, assert_close, numbers_up_to};

const TOLERANCE: f32 = 1e-4;

fn random(n: usize, seed: u64) -> Vec<f32> {
    numbers_up_to(2.0, n, seed)
}

#[test]
fn activations_and_their_slopes_equal_their_twins() {
    let Some(gpu) = adapter() else { return };
    for kind in [Activation::Gelu, Activation::GeluTanh, Activation::Relu] {
        for count in [1, 256, 1000] {
            let what = format!("{kind:?} of {count}");
            let mut values: Vec<f32> = random(count, 1).iter().map(|x| 4.0 * x).collect();
            values[0] = 80.0;
            let grad = random(count, 2);
            let x: Tensor<1> = from_vec(values.clone(), [count], &gpu).autodiff().require_grad();
            let y = activate(kind, x.clone());
            let mut summed = values.clone();
            let want = rows::activate(kind, &mut summed, &vec![0.0; count]);
            assert_close(&what, &to_vec(y.clone().inner()), &want, TOLERANCE);
            let mut found = (y * from_vec(grad.clone(), [count], &gpu).autodiff()).sum().backward();
            let mut back = grad;
            rows::activate_back(kind, &mut back, &values);
            assert_close(&what, &to_vec(x.grad_remove(&mut found).expect("a gradient")), &back, TOLERANCE);
        }
    }
}

/// Rows and width.
const SIZES: [[usize; 2]; 7] = [[1, 1], [3, 5], [17, 64], [33, 65], [130, 257], [2, 2048], [5, 2052]];

#[test]
fn norms_and_their_gradients_equal_burns_on_the_cpu() {
    let Some(gpu) = adapter() else { return };
    for ([count, width], sum) in SIZES.into_iter().flat_map(|size| [(size, false), (size, true)]) {
        let what = format!("{count} x {width}, {}", if sum { "of a sum" } else { "alone" });
        let all = |device: &Device| {
            let matrix = |seed: u64| {
                from_vec::<2>(random(count * width, seed), [count, width], device).autodiff().require_grad()
            };
            let vector = |seed: u64| from_vec::<1>(random(width, seed), [width], device).autodiff().require_grad();
            let (x, added, gain, shift) = (matrix(1), matrix(2), vector(3), vector(4));
            let y = layer_norm(x.clone(), sum.then(|| added.clone()), gain.clone(), Some(shift.clone()), 1e-3);
            let out = to_vec(y.clone().inner());
            let grad = from_vec::<2>(random(count * width, 5), [count, width], device).autodiff();
            let mut found = (y * grad).sum().backward();
            let mut parts = vec![("result", out)];
            parts.push(("d x", to_vec(x.grad_remove(&mut found).expect("a gradient"))));
            parts.push(("d gain", to_vec(gain.grad_remove(&mut found).expect("a gradient"))));
            parts.push(("d shift", to_vec(shift.grad_remove(&mut found).expect("a gradient"))));
            parts.extend(sum.then(|| ("d added", to_vec(added.grad_remove(&mut found).expect("a gradient")))));
            parts
        };
        for ((part, got), (_, want)) in all(&gpu).iter().zip(&all(&Device::flex())) {
            assert_close(&format!("{what}: {part}"), got, want, TOLERANCE);
        }
    }
}

#[test]
fn what_is_not_asked_for_a_gradient_gets_none() {
    let Some(gpu) = adapter() else { return };
    let tensor = |seed: u64| from_vec::<2>(random(6 * 8, seed), [6, 8], &gpu).autodiff();
    let vector = |seed: u64| from_vec::<1>(random(8, seed), [8], &gpu).autodiff();
    let gain = vector(1).require_grad();
    let y = layer_norm(tensor(2), Some(tensor(3)), gain.clone(), Some(vector(4)), 1e-3);
    let mut found = activate(Activation::Gelu, y).sum().backward();
    assert_eq!(gain.grad_remove(&mut found).map(|d| d.dims()), Some([8]));
}

#[test]
fn gates_and_norms_of_language_models_equal_burns_on_the_cpu() {
    let Some(gpu) = adapter() else { return };
    for [count, width] in SIZES {
        let what = format!("{count} x {width}");
        let all = |device: &Device| {
            let matrix = |seed: u64| from_vec::<2>(random(count * width, seed), [count, width], device);
            let normed = root_norm(matrix(1), from_vec(random(width, 2), [width], device), 1e-5);
            let kinds = [Gate::Silu, Gate::Gelu, Gate::GeluTanh, Gate::Relu];
            let gates = kinds.map(|kind| to_vec(gated(kind, matrix(3).mul_scalar(5.0), matrix(4))));
            std::iter::once(to_vec(normed)).chain(gates).collect::<Vec<_>>()
        };
        for (got, want) in all(&gpu).iter().zip(&all(&Device::flex())) {
            assert_close(&what, got, want, TOLERANCE);
        }
    }
}

/// Texts, heads, length, width, what is turned of it, and texts with angles of their own.
const TURNS: [[usize; 6]; 4] = [[1, 1, 1, 2, 2, 1], [2, 3, 5, 8, 8, 1], [3, 2, 7, 20, 8, 3], [2, 4, 65, 64, 64, 2]];

#[test]
fn rotary_positions_and_their_gradients_equal_burns_on_the_cpu() {
    let Some(gpu) = adapter() else { return };
    for [batch, heads, length, width, turned, angles] in TURNS {
        let what = format!("{batch} x {heads} x {length} x {width}, {turned} turned");
        let all = |device: &Device| {
            let count = batch * heads * length * width;
            // Heads beside each other, as a product gives them.
            let x: Tensor<3> = from_vec(random(count, 1), [batch, length, heads * width], device);
            let x = x.autodiff().require_grad();
            let angle = |seed: u64| {
                let count = angles * length * turned / 2;
                from_vec::<4>(random(count, seed), [angles, 1, length, turned / 2], device)
            };
            let split = x.clone().reshape([batch, length, heads, width]).swap_dims(1, 2);
            let y = turn(split, &angle(2).autodiff(), &angle(3).autodiff());
            let grad: Tensor<4> = from_vec(random(count, 4), [batch, heads, length, width], device);
            let mut found = (y.clone() * grad.autodiff()).sum().backward();
            [to_vec(y.inner()), to_vec(x.grad_remove(&mut found).expect("a gradient"))]
        };
        for (got, want) in all(&gpu).iter().zip(&all(&Device::flex())) {
            assert_close(&what, got, want, TOLERANCE);
        }
    }
}

#[test]
fn selected_rows_and_their_gradients_equal_the_twin() {
    let Some(gpu) = adapter() else { return };
    for (rows, width, count) in [(1, 1, 1), (5, 3, 40), (300, 257, 70), (7, 768, 9)] {
        let what = format!("{count} of {rows} x {width}");
        // Every fifth place is padding, and rows are shown by none, one or many.
        let place = |at: usize| (at % 5 != 3).then_some((at * at % 13 * rows / 13) as u32);
        let places: Vec<Option<u32>> = (0..count).map(place).collect();
        let (values, grad) = (random(rows * width, 1), random(count * width, 2));
        let table: Tensor<2> = from_vec(values.clone(), [rows, width], &gpu).autodiff().require_grad();
        let found = select(table.clone(), &places);
        let shown = places.iter().flat_map(|row| &values[row.unwrap_or(0) as usize * width..][..width]);
        assert_eq!(to_vec(found.clone().inner()), shown.copied().collect::<Vec<f32>>(), "{what}");
        let mut found = (found * from_vec(grad.clone(), [count, width], &gpu).autodiff()).sum().backward();
        let back = to_vec(table.grad_remove(&mut found).expect("a gradient"));
        assert_close(&what, &back, &select_back(&grad, &places, rows, width), TOLERANCE);
    }
}
