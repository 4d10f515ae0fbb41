//! AdamW with clipping by the global norm, and the learning-rate schedule (method, section 7).

use burn::tensor::Tensor;
use ragtune_kernels::{AdamWStep, adamw, sum_of_squares};
use ragtune_model::{Weight, Weights};
use serde::{Deserialize, Serialize};

/// Settings of the optimiser.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct OptimSettings {
    /// Highest learning rate.
    pub lr: f32,
    /// Decay of the first moment.
    pub beta1: f32,
    /// Decay of the second moment.
    pub beta2: f32,
    /// Added to the root of the second moment.
    pub eps: f32,
    /// Decoupled weight decay.
    pub weight_decay: f32,
    /// Largest norm of all gradients together; 0 switches clipping off.
    pub clip: f32,
}

impl Default for OptimSettings {
    fn default() -> Self {
        Self { lr: 2e-5, beta1: 0.9, beta2: 0.999, eps: 1e-8, weight_decay: 0.0, clip: 2.0 }
    }
}

/// AdamW and its state.
#[derive(Clone)]
pub struct AdamW {
    settings: OptimSettings,
    first: Weights,
    second: Weights,
    step: u32,
}

impl AdamW {
    /// An optimiser that has not seen a gradient yet.
    pub fn new(settings: OptimSettings) -> Self {
        Self { settings, first: Weights::default(), second: Weights::default(), step: 0 }
    }

    /// Steps taken so far.
    pub fn steps(&self) -> u32 {
        self.step
    }

    /// Updates the weights that have a gradient. Returns the norm of all gradients before clipping; when it is not
    /// finite nothing is changed.
    pub fn step(&mut self, weights: &mut Weights, gradients: &Weights, lr: f32) -> f64 {
        let flat = |matrix: &Tensor<2>| matrix.clone().flatten::<1>(0, 1);
        let all = gradients.iter().flat_map(|(_, gradient)| match gradient {
            Weight::Vector(g) => vec![g.clone()],
            Weight::Matrix(g) => vec![flat(g)],
            Weight::Parts(parts) => parts.iter().map(flat).collect(),
            // What is packed has no gradient.
            Weight::Packed(_) => Vec::new(),
        });
        let squares = sum_of_squares(all.collect());
        let norm = squares.sqrt();
        if !norm.is_finite() {
            return norm;
        }
        self.step += 1;
        let s = &self.settings;
        let grad_scale = if s.clip > 0.0 { (f64::from(s.clip) / (norm + 1e-6)).min(1.0) as f32 } else { 1.0 };
        let update = AdamWStep {
            lr,
            beta1: s.beta1,
            beta2: s.beta2,
            eps: s.eps,
            weight_decay: s.weight_decay,
            grad_scale,
            step: self.step,
        };
        for (name, gradient) in gradients.iter() {
            // Taken out of the map, so that the kernel owns the only handle and needs no copy.
            let (Some(weight), first, second) =
                (weights.remove(name), self.first.remove(name), self.second.remove(name))
            else {
                continue;
            };
            let (weight, first, second) = match (weight, gradient, first, second) {
                (Weight::Vector(w), Weight::Vector(g), m, v) => {
                    let old = (vector(m, &w), vector(v, &w));
                    let (w, m, v) = adamw(w, g.clone(), old, &update);
                    (Weight::Vector(w), Weight::Vector(m), Weight::Vector(v))
                }
                (Weight::Matrix(w), Weight::Matrix(g), m, v) => {
                    let old = (matrix(m, &w), matrix(v, &w));
                    let (w, m, v) = adamw(w, g.clone(), old, &update);
                    (Weight::Matrix(w), Weight::Matrix(m), Weight::Matrix(v))
                }
                (Weight::Parts(w), Weight::Parts(g), m, v) => {
                    let (m, v) = (parts(m, &w), parts(v, &w));
                    let steps = w.into_iter().zip(g).zip(m.into_iter().zip(v));
                    let stepped = steps.map(|((w, g), old)| adamw(w, g.clone(), old, &update));
                    let mut all = (Vec::new(), Vec::new(), Vec::new());
                    for (w, m, v) in stepped {
                        all.0.push(w);
                        all.1.push(m);
                        all.2.push(v);
                    }
                    (Weight::Parts(all.0), Weight::Parts(all.1), Weight::Parts(all.2))
                }
                (weight, ..) => {
                    weights.insert(name.clone(), weight);
                    continue;
                }
            };
            weights.insert(name.clone(), weight);
            self.first.insert(name.clone(), first);
            self.second.insert(name.clone(), second);
        }
        norm
    }

    /// The state as named weights, for a checkpoint.
    pub fn state(&self) -> Weights {
        let mut all = Weights::default();
        for (prefix, moments) in [("first.", &self.first), ("second.", &self.second)] {
            for (name, weight) in moments.iter() {
                all.insert(format!("{prefix}{name}"), weight.clone());
            }
        }
        all
    }

    /// Takes up a saved state.
    pub fn restore(settings: OptimSettings, state: &Weights, step: u32) -> Self {
        let mut optimiser = Self { step, ..Self::new(settings) };
        for (name, weight) in state.iter() {
            if let Some(name) = name.strip_prefix("first.") {
                optimiser.first.insert(name, weight.clone());
            } else if let Some(name) = name.strip_prefix("second.") {
                optimiser.second.insert(name, weight.clone());
            }
        }
        optimiser
    }
}

/// A moment, at first zeros of its own: a browser refuses to bind the same memory for both.
fn vector(moment: Option<Weight>, weight: &Tensor<1>) -> Tensor<1> {
    match moment {
        Some(Weight::Vector(m)) => m,
        _ => weight.zeros_like(),
    }
}

fn matrix(moment: Option<Weight>, weight: &Tensor<2>) -> Tensor<2> {
    match moment {
        Some(Weight::Matrix(m)) => m,
        _ => weight.zeros_like(),
    }
}

fn parts(moment: Option<Weight>, weight: &[Tensor<2>]) -> Vec<Tensor<2>> {
    match moment {
        Some(Weight::Parts(m)) => m,
        _ => weight.iter().map(|part| part.zeros_like()).collect(),
    }
}

/// Linear warm-up to 1 over `warmup` steps, then linear decay to 0 at `total`: the factor for step `step`, from 0.
pub fn schedule(step: usize, warmup: usize, total: usize) -> f32 {
    if step < warmup {
        return (step + 1) as f32 / warmup as f32;
    }
    let rest = total.saturating_sub(warmup).max(1);
    (total.saturating_sub(step)) as f32 / rest as f32
}

#[cfg(test)]
mod tests {
    use burn::tensor::Device;

    use super::*;

    #[test]
    fn a_matrix_in_parts_is_updated_as_the_whole() {
        let values = |seed: usize| (0..6 * 4).map(|i| ((i * 37 + seed) % 101) as f32 / 50.0 - 1.0).collect::<Vec<_>>();
        let matrix = |values: &[f32]| {
            let rows = values.len() / 4;
            Tensor::<2>::from_data(burn::tensor::TensorData::new(values.to_vec(), [rows, 4]), &Device::flex())
        };
        let named = |weight: Weight| {
            let mut all = Weights::default();
            all.insert("words", weight);
            all
        };
        let whole = |values: &[f32]| named(Weight::Matrix(matrix(values)));
        let parts = |values: &[f32]| named(Weight::Parts(values.chunks(4 * 4).map(matrix).collect()));
        let (mut a, mut b) = (AdamW::new(OptimSettings::default()), AdamW::new(OptimSettings::default()));
        let (mut w, mut v) = (whole(&values(0)), parts(&values(0)));
        for seed in 1..4 {
            let norms = (a.step(&mut w, &whole(&values(seed)), 0.1), b.step(&mut v, &parts(&values(seed)), 0.1));
            assert!((norms.0 - norms.1).abs() < 1e-5, "{norms:?}");
            for (a, b) in w.get("words").unwrap().values().iter().zip(v.get("words").unwrap().values()) {
                assert!((a - b).abs() < 1e-6, "{a} {b}");
            }
        }
        assert!(matches!(b.state().get("first.words"), Some(Weight::Parts(parts)) if parts.len() == 2));
    }

    #[test]
    fn the_schedule_rises_to_one_and_falls_to_nearly_zero() {
        assert_eq!(schedule(0, 4, 12), 0.25);
        assert_eq!(schedule(3, 4, 12), 1.0);
        assert_eq!(schedule(4, 4, 12), 1.0);
        assert_eq!(schedule(11, 4, 12), 0.125);
        assert!((0..12).all(|s| schedule(s, 4, 12) > 0.0));
        assert_eq!(schedule(0, 0, 5), 1.0);
    }
}
