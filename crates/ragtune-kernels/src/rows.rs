//! Loops over rows of plain slices: what a transformer computes between its matrix products, on the CPU.
//!
//! One pass over the memory does what tensor operations would do in five. The loops run with the widest registers that
//! the processor has; sums keep sixteen running parts, so a result is the same for every row wherever it stands.

use crate::wide::wide;

/// Running parts of a sum.
const LANES: usize = 16;

/// exp, to about 1e-6 of the value; the compiler can compute several at once.
#[inline(always)]
pub fn exp(x: f32) -> f32 {
    // 2^t = 2^round(t) 2^(t - round(t)); adding 1.5 * 2^23 rounds to an integer and leaves it in the low bits.
    const ROUND: f32 = 12_582_912.0;
    let t = x.clamp(-87.0, 87.0) * std::f32::consts::LOG2_E;
    let shifted = t + ROUND;
    let f = t - (shifted - ROUND);
    let power = 1.0
        + f * (std::f32::consts::LN_2
            + f * (0.240_226_5 + f * (0.055_504_11 + f * (0.009_618_129 + f * (0.001_333_356 + f * 1.540_353e-4)))));
    let whole = (shifted.to_bits() as i32).wrapping_sub(ROUND.to_bits() as i32);
    f32::from_bits((power.to_bits() as i32).wrapping_add(whole << 23) as u32)
}

/// Inner product.
#[inline(always)]
pub fn dot(a: &[f32], b: &[f32]) -> f32 {
    let mut sums = [0.0f32; LANES];
    let (a_whole, b_whole) = (a.chunks_exact(LANES), b.chunks_exact(LANES));
    let rest: f32 = a_whole.remainder().iter().zip(b_whole.remainder()).map(|(a, b)| a * b).sum();
    for (a, b) in a_whole.zip(b_whole) {
        for i in 0..LANES {
            sums[i] += a[i] * b[i];
        }
    }
    sums.iter().sum::<f32>() + rest
}

/// Sum.
#[inline(always)]
pub fn sum(a: &[f32]) -> f32 {
    let mut sums = [0.0f32; LANES];
    let whole = a.chunks_exact(LANES);
    let rest: f32 = whole.remainder().iter().sum();
    for a in whole {
        for i in 0..LANES {
            sums[i] += a[i];
        }
    }
    sums.iter().sum::<f32>() + rest
}

/// y += factor x
#[inline(always)]
pub fn axpy(factor: f32, x: &[f32], y: &mut [f32]) {
    for (y, x) in y.iter_mut().zip(x) {
        *y += factor * x;
    }
}

/// y += x
pub fn add(y: &mut [f32], x: &[f32]) {
    wide(|| axpy(1.0, x, y));
}

/// Adds the bias to every row.
pub fn add_bias(y: &mut [f32], bias: &[f32]) {
    wide(|| {
        for row in y.chunks_exact_mut(bias.len()) {
            axpy(1.0, bias, row);
        }
    });
}

/// Sum of all rows: the gradient of a bias.
pub fn sum_rows(d: &[f32], width: usize) -> Vec<f32> {
    wide(|| {
        let mut sums = vec![0.0f32; width];
        for row in d.chunks_exact(width) {
            axpy(1.0, row, &mut sums);
        }
        sums
    })
}

/// What [`norm_back`] needs of a LayerNorm's forward pass.
#[derive(Debug, Clone, Default)]
pub struct Normed {
    /// Rows of mean 0 and variance 1, before gain and shift.
    pub unit: Vec<f32>,
    /// One over the standard deviation of every row.
    pub scales: Vec<f32>,
}

/// LayerNorm of `x + bias + residual`, [rows, width]; gives the result and what the way back needs.
pub fn norm(
    mut x: Vec<f32>,
    bias: Option<&[f32]>,
    residual: Option<&[f32]>,
    (gain, shift): (&[f32], &[f32]),
    eps: f32,
) -> (Vec<f32>, Normed) {
    let width = gain.len();
    let mut out = vec![0.0f32; x.len()];
    let mut scales = Vec::with_capacity(x.len() / width);
    wide(|| {
        for (i, (row, out)) in x.chunks_exact_mut(width).zip(out.chunks_exact_mut(width)).enumerate() {
            if let Some(bias) = bias {
                axpy(1.0, bias, row);
            }
            if let Some(residual) = residual {
                axpy(1.0, &residual[i * width..][..width], row);
            }
            let mean = sum(row) / width as f32;
            row.iter_mut().for_each(|x| *x -= mean);
            let scale = 1.0 / (dot(row, row) / width as f32 + eps).sqrt();
            for ((x, out), (gain, shift)) in row.iter_mut().zip(out).zip(gain.iter().zip(shift)) {
                *x *= scale;
                *out = *x * gain + shift;
            }
            scales.push(scale);
        }
    });
    (out, Normed { unit: x, scales })
}

/// Gradients of [`norm`]: that of the result becomes that of the sum that was normed; gives those of gain and shift.
pub fn norm_back(d: &mut [f32], kept: &Normed, gain: &[f32]) -> (Vec<f32>, Vec<f32>) {
    let width = gain.len();
    let (mut d_gain, mut d_shift) = (vec![0.0f32; width], vec![0.0f32; width]);
    wide(|| {
        for ((d, unit), &scale) in d.chunks_exact_mut(width).zip(kept.unit.chunks_exact(width)).zip(&kept.scales) {
            for i in 0..width {
                d_gain[i] += d[i] * unit[i];
                d_shift[i] += d[i];
                d[i] *= gain[i];
            }
            let (mean, along) = (sum(d) / width as f32, dot(d, unit) / width as f32);
            for (d, unit) in d.iter_mut().zip(unit) {
                *d = scale * (*d - mean - unit * along);
            }
        }
    });
    (d_gain, d_shift)
}

/// What stands between the two products of a feed-forward layer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Activation {
    /// x Φ(x), with the error function to 2e-7.
    Gelu,
    /// The form of it with a hyperbolic tangent.
    GeluTanh,
    /// max(x, 0).
    Relu,
}

/// The activation and its slope.
#[inline(always)]
fn activated(activation: Activation, x: f32) -> (f32, f32) {
    match activation {
        Activation::Gelu => {
            // Abramowitz and Stegun 7.1.26: erf(z) = 1 - poly(1 / (1 + p z)) exp(-z²) for z >= 0.
            let z = x.abs() * std::f32::consts::FRAC_1_SQRT_2;
            let t = 1.0 / (1.0 + 0.327_591_1 * z);
            let poly = t * (0.254_829_6 + t * (-0.284_496_74 + t * (1.421_413_7 + t * (-1.453_152 + t * 1.061_405_4))));
            let bell = exp(-z * z);
            let tail = 0.5 * poly * bell;
            let phi = if x < 0.0 { tail } else { 1.0 - tail };
            // 1 / sqrt(2 π)
            (x * phi, phi + x * 0.398_942_3 * bell)
        }
        Activation::GeluTanh => {
            // sqrt(2 / π)
            let (c, cubic) = (0.797_884_6_f32, 0.044_715_f32);
            let inner = c * (x + cubic * x * x * x);
            let tanh = 1.0 - 2.0 / (exp(2.0 * inner) + 1.0);
            let slope = 0.5 * (1.0 + tanh) + 0.5 * x * (1.0 - tanh * tanh) * c * (1.0 + 3.0 * cubic * x * x);
            (0.5 * x * (1.0 + tanh), slope)
        }
        Activation::Relu => (x.max(0.0), f32::from(x > 0.0)),
    }
}

/// Adds the bias to `x` [rows, width], and gives the activation of the sums.
pub fn activate(activation: Activation, x: &mut [f32], bias: &[f32]) -> Vec<f32> {
    let mut out = vec![0.0f32; x.len()];
    wide(|| {
        // The kind is looked at outside of the loops, so that each is a loop of its own.
        match activation {
            Activation::Gelu => each(x, bias, &mut out, |x| activated(Activation::Gelu, x).0),
            Activation::GeluTanh => each(x, bias, &mut out, |x| activated(Activation::GeluTanh, x).0),
            Activation::Relu => each(x, bias, &mut out, |x| activated(Activation::Relu, x).0),
        }
    });
    out
}

#[inline(always)]
fn each(x: &mut [f32], bias: &[f32], out: &mut [f32], f: impl Fn(f32) -> f32) {
    for (row, out) in x.chunks_exact_mut(bias.len()).zip(out.chunks_exact_mut(bias.len())) {
        for ((x, bias), out) in row.iter_mut().zip(bias).zip(out) {
            *x += bias;
            *out = f(*x);
        }
    }
}

/// The gradient of the activation becomes that of the sums `x` that [`activate`] left.
pub fn activate_back(activation: Activation, d: &mut [f32], x: &[f32]) {
    wide(|| match activation {
        Activation::Gelu => each_back(d, x, |x| activated(Activation::Gelu, x).1),
        Activation::GeluTanh => each_back(d, x, |x| activated(Activation::GeluTanh, x).1),
        Activation::Relu => each_back(d, x, |x| activated(Activation::Relu, x).1),
    });
}

#[inline(always)]
fn each_back(d: &mut [f32], x: &[f32], slope: impl Fn(f32) -> f32) {
    for (d, &x) in d.iter_mut().zip(x) {
        *d *= slope(x);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::{RngExt, SeedableRng};

    fn random(n: usize, seed: u64) -> Vec<f32> {
        let mut rng = rand_pcg::Pcg64Mcg::seed_from_u64(seed);
        (0..n).map(|_| rng.random_range(-2.0f32..2.0)).collect()
    }

    /// The error function by its series, in double precision.
    fn erf(x: f64) -> f64 {
        let (mut term, mut sum) = (x, x);
        for n in 1..80 {
            term *= -x * x / f64::from(n);
            sum += term / f64::from(2 * n + 1);
        }
        sum * 2.0 / std::f64::consts::PI.sqrt()
    }

    #[test]
    fn activations_equal_their_definitions() {
        for i in -500..=500 {
            let x = i as f32 / 100.0;
            let d = f64::from(x);
            let want = 0.5 * d * (1.0 + erf(d / 2f64.sqrt()));
            assert!((f64::from(activated(Activation::Gelu, x).0) - want).abs() < 2e-6, "{x}");
            let want = 0.5 * d * (1.0 + ((2.0 / std::f64::consts::PI).sqrt() * (d + 0.044_715 * d.powi(3))).tanh());
            assert!((f64::from(activated(Activation::GeluTanh, x).0) - want).abs() < 2e-6, "{x}");
            assert_eq!(activated(Activation::Relu, x).0, x.max(0.0));
        }
        for (x, want) in [(-87.0f32, 0.0), (-1.0, (-1.0f64).exp()), (0.0, 1.0), (3.3, 3.3f64.exp())] {
            assert!((f64::from(exp(x)) - want).abs() <= 2e-6 * want.max(1e-30), "{x}");
        }
    }

    #[test]
    fn slopes_equal_finite_differences() {
        let x = random(37, 1);
        let at = |activation, x: f32| f64::from(activated(activation, x).0);
        for activation in [Activation::Gelu, Activation::GeluTanh, Activation::Relu] {
            let mut d = vec![1.0; x.len()];
            activate_back(activation, &mut d, &x);
            for (&x, d) in x.iter().zip(d) {
                let slope = (at(activation, x + 1e-2) - at(activation, x - 1e-2)) / 2e-2;
                assert!((slope - f64::from(d)).abs() < 1e-3, "{activation:?} at {x}: {slope} {d}");
            }
        }
    }

    #[test]
    fn a_norm_equals_its_definition_and_its_gradients_finite_differences() {
        let (rows, width, eps) = (3, 21, 1e-5f32);
        let (x, bias, residual) = (random(rows * width, 1), random(width, 2), random(rows * width, 3));
        let (gain, shift, weights) = (random(width, 4), random(width, 5), random(rows * width, 6));
        let naive = |x: &[f32], gain: &[f32], shift: &[f32]| -> Vec<f64> {
            let mut out = Vec::new();
            for r in 0..rows {
                let sums: Vec<f64> = (0..width)
                    .map(|i| f64::from(x[r * width + i]) + f64::from(bias[i]) + f64::from(residual[r * width + i]))
                    .collect();
                let mean = sums.iter().sum::<f64>() / width as f64;
                let variance = sums.iter().map(|s| (s - mean).powi(2)).sum::<f64>() / width as f64;
                let scale = 1.0 / (variance + f64::from(eps)).sqrt();
                out.extend((0..width).map(|i| (sums[i] - mean) * scale * f64::from(gain[i]) + f64::from(shift[i])));
            }
            out
        };
        let (out, kept) = norm(x.clone(), Some(&bias), Some(&residual), (&gain, &shift), eps);
        let want = naive(&x, &gain, &shift);
        assert!(out.iter().zip(&want).all(|(a, b)| (f64::from(*a) - b).abs() < 1e-5));
        let mut d = weights.clone();
        let (d_gain, d_shift) = norm_back(&mut d, &kept, &gain);
        let loss = |x: &[f32], gain: &[f32], shift: &[f32]| -> f64 {
            naive(x, gain, shift).iter().zip(&weights).map(|(a, w)| a * f64::from(*w)).sum()
        };
        let moved = |values: &[f32], i: usize, by: f32| {
            let mut values = values.to_vec();
            values[i] += by;
            values
        };
        let e = 1e-2f32;
        let check = |what: &str, got: &[f32], at: &dyn Fn(usize, f32) -> f64| {
            for (i, got) in got.iter().enumerate() {
                let slope = (at(i, e) - at(i, -e)) / f64::from(2.0 * e);
                assert!((slope - f64::from(*got)).abs() < 2e-3, "{what} {i}: {slope} {got}");
            }
        };
        check("x", &d, &|i, by| loss(&moved(&x, i, by), &gain, &shift));
        check("gain", &d_gain, &|i, by| loss(&x, &moved(&gain, i, by), &shift));
        check("shift", &d_shift, &|i, by| loss(&x, &gain, &moved(&shift, i, by)));
    }

    #[test]
    fn sums_over_rows_and_biases_are_what_they_say() {
        let mut y = vec![1.0, 2.0, 3.0, 4.0];
        add_bias(&mut y, &[10.0, 20.0]);
        assert_eq!(y, [11.0, 22.0, 13.0, 24.0]);
        assert_eq!(sum_rows(&y, 2), [24.0, 46.0]);
        add(&mut y, &[1.0; 4]);
        assert_eq!(y, [12.0, 23.0, 14.0, 25.0]);
        let mut x = vec![-1.0, 1.0];
        assert_eq!(activate(Activation::Relu, &mut x, &[0.5, 0.5]), [0.0, 1.5]);
        assert_eq!(x, [-0.5, 1.5]);
    }
}
