//! The optimiser of a reader: Muon for the matrices of the layers, AdamW for embedding and norms.
//!
//! Muon (Jordan et al. 2024) replaces the momentum of a matrix by the nearest orthogonal one, so that directions which
//! are seldom seen move as far as frequent ones. Small readers learn to copy names several times faster with it than
//! with AdamW alone.

use std::ops::Range;

use super::layout::Layout;
use super::products::Matrix;

const MOMENTUM: f32 = 0.95;
const BETA1: f32 = 0.9;
const BETA2: f32 = 0.98;
const EPS: f32 = 1e-8;
/// Decoupled, as in AdamW.
const WEIGHT_DECAY: f32 = 0.01;
/// Largest norm of all gradients together.
const CLIP: f64 = 1.0;
/// Newton-Schulz steps, and their coefficients: they need not converge, only bring all singular values near 1.
const ITERATIONS: usize = 5;
const COEFFICIENTS: [f32; 3] = [3.4445, -4.775, 2.0315];

/// Learning rates of one step.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ReaderRates {
    /// Of embedding and norms (AdamW).
    pub adam: f32,
    /// Of the layers' matrices (Muon); the update's root mean square is about a fifth of it, as AdamW's would be.
    pub muon: f32,
}

/// State of the optimiser: moments of every weight, in the layout's places.
pub(super) struct Optimiser {
    places: Vec<(Range<usize>, Option<usize>)>,
    first: Vec<f32>,
    second: Vec<f32>,
    step: i32,
}

impl Optimiser {
    pub(super) fn new(layout: &Layout) -> Self {
        let columns = |name: &str, shape: &[usize]| match shape {
            [_, columns] if name.starts_with("model.layers.") => Some(*columns),
            _ => None,
        };
        let places = layout.named.iter().map(|(name, shape, place)| (place.clone(), columns(name, shape))).collect();
        let n = layout.parameters();
        Self { places, first: vec![0.0; n], second: vec![0.0; n], step: 0 }
    }

    /// Updates the weights; a gradient that is not finite changes nothing.
    pub(super) fn step(&mut self, flat: &mut [f32], gradient: &mut [f32], rates: &ReaderRates) {
        let norm = gradient.iter().map(|g| f64::from(g * g)).sum::<f64>().sqrt();
        if !norm.is_finite() {
            return;
        }
        let clip = (CLIP / (norm + 1e-6)).min(1.0) as f32;
        gradient.iter_mut().for_each(|g| *g *= clip);
        self.step += 1;
        for (place, columns) in &self.places {
            let (weights, gradient) = (&mut flat[place.clone()], &gradient[place.clone()]);
            let first = &mut self.first[place.clone()];
            match columns {
                Some(columns) => muon(weights, gradient, first, *columns, rates),
                None => adam(weights, gradient, first, &mut self.second[place.clone()], self.step, rates.adam),
            }
        }
    }
}

fn adam(weights: &mut [f32], gradient: &[f32], first: &mut [f32], second: &mut [f32], step: i32, rate: f32) {
    let (c1, c2) = (1.0 - BETA1.powi(step), 1.0 - BETA2.powi(step));
    for i in 0..weights.len() {
        first[i] = BETA1 * first[i] + (1.0 - BETA1) * gradient[i];
        second[i] = BETA2 * second[i] + (1.0 - BETA2) * gradient[i] * gradient[i];
        let update = first[i] / c1 / ((second[i] / c2).sqrt() + EPS);
        weights[i] -= rate * (update + WEIGHT_DECAY * weights[i]);
    }
}

fn muon(weights: &mut [f32], gradient: &[f32], momentum: &mut [f32], columns: usize, rates: &ReaderRates) {
    for (m, g) in momentum.iter_mut().zip(gradient) {
        *m = MOMENTUM * *m + g;
    }
    let ahead: Vec<f32> = momentum.iter().zip(gradient).map(|(m, g)| g + MOMENTUM * m).collect();
    let update = orthogonal(&ahead, columns);
    // An orthogonal matrix has entries of root mean square 1 / sqrt(longer side).
    let longer = columns.max(weights.len() / columns);
    let rate = rates.muon * 0.2 * (longer as f32).sqrt();
    for (w, u) in weights.iter_mut().zip(update) {
        *w -= rate * u + rates.adam * WEIGHT_DECAY * *w;
    }
}

/// Nearly the nearest matrix with orthogonal rows or columns, [rows, columns] as the given one.
fn orthogonal(matrix: &[f32], columns: usize) -> Vec<f32> {
    let rows = matrix.len() / columns;
    if rows > columns {
        return transposed(&orthogonal(&transposed(matrix, columns), rows), rows);
    }
    let norm = matrix.iter().map(|v| f64::from(v * v)).sum::<f64>().sqrt() as f32 + 1e-7;
    let mut x: Vec<f32> = matrix.iter().map(|v| v / norm).collect();
    let [a, b, c] = COEFFICIENTS;
    for _ in 0..ITERATIONS {
        // x <- (a + b x xᵀ + c (x xᵀ)²) x
        let square = Matrix::new(&x, columns).times_transposed(Matrix::new(&x, columns));
        let fourth = Matrix::new(&square, rows).times(Matrix::new(&square, rows));
        let factor: Vec<f32> = square.iter().zip(fourth).map(|(s, f)| b * s + c * f).collect();
        let change = Matrix::new(&factor, rows).times(Matrix::new(&x, columns));
        for (x, change) in x.iter_mut().zip(change) {
            *x = a * *x + change;
        }
    }
    x
}

fn transposed(matrix: &[f32], columns: usize) -> Vec<f32> {
    (0..columns).flat_map(|column| matrix.iter().skip(column).step_by(columns)).copied().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn updates_are_nearly_orthogonal_whatever_the_matrix_is_scaled_by() {
        let matrix: Vec<f32> = (0..6 * 4).map(|i| ((i * 37 % 11) as f32 - 5.0) * 1e-3).collect();
        for (values, columns) in [(matrix.clone(), 4), (transposed(&matrix, 4), 6)] {
            let x = orthogonal(&values, columns);
            let x = if columns == 4 { transposed(&x, 4) } else { x };
            let square = Matrix::new(&x, 6).times_transposed(Matrix::new(&x, 6));
            for row in 0..4 {
                for column in 0..4 {
                    let value = square[row * 4 + column];
                    // Five steps bring singular values into 0.7..1.2, their squares into 0.5..1.45.
                    let fine = if row == column { (0.4..1.5).contains(&value) } else { value.abs() < 0.35 };
                    assert!(fine, "({row}, {column}): {value}");
                }
            }
        }
    }
}
