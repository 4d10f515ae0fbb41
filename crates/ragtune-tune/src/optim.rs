//! AdamW with clipping by the global norm, and the learning-rate schedule (method, section 7).

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
        let mut squares = 0.0;
        for (_, gradient) in gradients.iter() {
            squares += match gradient {
                Weight::Vector(g) => sum_of_squares(g.clone()),
                Weight::Matrix(g) => sum_of_squares(g.clone()),
            };
        }
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
                    let zero = w.zeros_like();
                    let old = (vector(m, &zero), vector(v, &zero));
                    let (w, m, v) = adamw(w, g.clone(), old, &update);
                    (Weight::Vector(w), Weight::Vector(m), Weight::Vector(v))
                }
                (Weight::Matrix(w), Weight::Matrix(g), m, v) => {
                    let zero = w.zeros_like();
                    let old = (matrix(m, &zero), matrix(v, &zero));
                    let (w, m, v) = adamw(w, g.clone(), old, &update);
                    (Weight::Matrix(w), Weight::Matrix(m), Weight::Matrix(v))
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

fn vector(moment: Option<Weight>, zero: &burn::tensor::Tensor<1>) -> burn::tensor::Tensor<1> {
    match moment {
        Some(Weight::Vector(m)) => m,
        _ => zero.clone(),
    }
}

fn matrix(moment: Option<Weight>, zero: &burn::tensor::Tensor<2>) -> burn::tensor::Tensor<2> {
    match moment {
        Some(Weight::Matrix(m)) => m,
        _ => zero.clone(),
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
    use super::*;

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
