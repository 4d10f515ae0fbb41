//! Rotary positions: how fast each pair of a head's dimensions is turned.

use std::f64::consts::PI;

use burn::tensor::{Device, Tensor};
use ragtune_kernels::{from_vec, turn};
use serde_json::Value;

/// One way to turn queries and keys.
#[derive(Debug, Clone, PartialEq)]
pub struct Rope {
    /// Base of the frequencies.
    pub theta: f64,
    /// How many of a head's dimensions are turned, the first ones.
    pub width: usize,
    /// How the frequencies are stretched for long contexts.
    pub scaling: Scaling,
}

/// How rotary frequencies are stretched.
#[derive(Debug, Clone, PartialEq)]
pub enum Scaling {
    /// Not at all.
    None,
    /// All by one factor.
    Linear(f64),
    /// Llama 3: wavelengths longer than context / low are stretched fully, those shorter than context / high not at all.
    Llama3 {
        /// By how much.
        factor: f64,
        /// See above.
        low: f64,
        /// See above.
        high: f64,
        /// The context that the model was first trained with.
        context: f64,
    },
    /// YaRN (arXiv 2309.00071): stretched by how often a dimension turns within the first context.
    Yarn {
        /// By how much.
        factor: f64,
        /// Turns above which a dimension is left alone.
        fast: f64,
        /// Turns below which it is stretched fully.
        slow: f64,
        /// The context that the model was first trained with.
        context: f64,
        /// What queries and keys are multiplied with.
        magnitude: f64,
        /// Whether the borders are whole dimensions.
        truncate: bool,
    },
    /// GTE's encoders: the base times a factor, and every frequency divided by factor^(2 / width).
    Ntk(f64),
    /// Phi-3: a factor for each pair of dimensions, others for texts longer than the first context.
    Long {
        /// For texts up to it.
        short: Vec<f64>,
        /// For longer ones.
        long: Vec<f64>,
        /// The context that the model was first trained with.
        context: usize,
        /// What queries and keys are multiplied with.
        magnitude: f64,
    },
}

impl Rope {
    /// Whether all of a head's dimensions are turned, unstretched.
    pub(super) fn is_plain(&self, head: usize) -> bool {
        self.width == head && self.scaling == Scaling::None
    }

    /// Up to how many tokens a text has other angles than longer ones, if there is such a border.
    pub(super) fn first_context(&self) -> Option<usize> {
        match self.scaling {
            Scaling::Long { context, .. } => Some(context),
            _ => None,
        }
    }

    pub(super) fn check(&self, head: usize) -> Result<(), String> {
        if self.width == 0 || !self.width.is_multiple_of(2) || self.width > head {
            return Err(format!("rotary positions of {} dimensions in heads of {head}", self.width));
        }
        if let Scaling::Long { short, long, .. } = &self.scaling
            && (short.len() != self.width / 2 || long.len() != self.width / 2)
        {
            return Err(format!("short_factor and long_factor do not have {} numbers", self.width / 2));
        }
        Ok(())
    }

    /// Angle per position for each pair of dimensions, in a text of so many tokens, and what cosines and sines are
    /// multiplied with.
    pub fn frequencies(&self, tokens: usize) -> (Vec<f32>, f32) {
        let half = self.width / 2;
        let plain = |i: usize| self.theta.powf(-(2.0 * i as f64) / self.width as f64);
        let all = |f: &dyn Fn(usize, f64) -> f64| (0..half).map(|i| f(i, plain(i)) as f32).collect();
        match &self.scaling {
            Scaling::None => (all(&|_, f| f), 1.0),
            Scaling::Linear(factor) => (all(&|_, f| f / factor), 1.0),
            Scaling::Ntk(factor) => {
                let rest = |i: usize| factor.powf(-2.0 * (i + 1) as f64 / self.width as f64);
                (all(&|i, f| f * rest(i)), 1.0)
            }
            Scaling::Llama3 { factor, low, high, context } => {
                let stretched = |_, f: f64| {
                    let wavelength = 2.0 * PI / f;
                    if wavelength < context / high {
                        f
                    } else if wavelength > context / low {
                        f / factor
                    } else {
                        let smooth = (context / wavelength - low) / (high - low);
                        (1.0 - smooth) * f / factor + smooth * f
                    }
                };
                (all(&stretched), 1.0)
            }
            Scaling::Yarn { factor, fast, slow, context, magnitude, truncate } => {
                let turns = |n: f64| self.width as f64 * (context / (n * 2.0 * PI)).ln() / (2.0 * self.theta.ln());
                let (mut low, mut high) = (turns(*fast), turns(*slow));
                if *truncate {
                    (low, high) = (low.floor(), high.ceil());
                }
                low = low.max(0.0);
                high = high.min(self.width as f64 - 1.0);
                let span = if high > low { high - low } else { 0.001 };
                let stretched = |i: usize, f: f64| {
                    let ramp = ((i as f64 - low) / span).clamp(0.0, 1.0);
                    f / factor * ramp + f * (1.0 - ramp)
                };
                (all(&stretched), *magnitude as f32)
            }
            Scaling::Long { short, long, context, magnitude } => {
                let factors = if tokens > *context { long } else { short };
                (all(&|i, f| f / factors[i]), *magnitude as f32)
            }
        }
    }
}

impl Scaling {
    /// Understands `rope_scaling` or `rope_parameters`; `longest` is the model's context, `first` the one that it was
    /// first trained with, where the config says so itself.
    pub(super) fn read(json: &Value, longest: usize, first: Option<usize>) -> Result<Self, String> {
        let number = |name: &str| json.get(name).and_then(Value::as_f64);
        let needed = |name: &str| number(name).ok_or_else(|| format!("rope scaling without `{name}`"));
        let kind = json.get("rope_type").or_else(|| json.get("type")).and_then(Value::as_str).unwrap_or("default");
        let own = json.get("original_max_position_embeddings").and_then(Value::as_u64).map(|n| n as usize);
        match kind {
            "default" => Ok(Self::None),
            "linear" => Ok(Self::Linear(needed("factor")?)),
            "llama3" => Ok(Self::Llama3 {
                factor: needed("factor")?,
                low: needed("low_freq_factor")?,
                high: needed("high_freq_factor")?,
                context: needed("original_max_position_embeddings")?,
            }),
            "yarn" => {
                let context = own.or(first).unwrap_or(longest) as f64;
                let factor = number("factor").unwrap_or(longest as f64 / context);
                let of = |m: f64| if factor <= 1.0 { 1.0 } else { 0.1 * m * factor.ln() + 1.0 };
                let magnitude = match (number("attention_factor"), number("mscale"), number("mscale_all_dim")) {
                    (Some(given), _, _) => given,
                    (None, Some(one), Some(all)) if one != 0.0 && all != 0.0 => of(one) / of(all),
                    _ => of(1.0),
                };
                let truncate = json.get("truncate").and_then(Value::as_bool).unwrap_or(true);
                let (fast, slow) = (number("beta_fast").unwrap_or(32.0), number("beta_slow").unwrap_or(1.0));
                Ok(Self::Yarn { factor, fast, slow, context, magnitude, truncate })
            }
            // `su` is its older name.
            "longrope" | "su" => {
                let list = |name: &str| {
                    let list = json
                        .get(name)
                        .and_then(Value::as_array)
                        .ok_or_else(|| format!("rope scaling without `{name}`"))?;
                    let list: Option<Vec<f64>> = list.iter().map(Value::as_f64).collect();
                    list.ok_or_else(|| format!("`{name}` holds something that is no number"))
                };
                let context = first.or(own).unwrap_or(longest);
                let factor = match first.or(own) {
                    Some(context) => longest as f64 / context as f64,
                    None => number("factor").unwrap_or(1.0),
                };
                let magnitude = number("attention_factor").unwrap_or(if factor <= 1.0 {
                    1.0
                } else {
                    (1.0 + factor.ln() / (context as f64).ln()).sqrt()
                });
                Ok(Self::Long { short: list("short_factor")?, long: list("long_factor")?, context, magnitude })
            }
            other => Err(format!("rope_type `{other}` is not known (default, linear, llama3, yarn, longrope)")),
        }
    }
}

/// Cosines and sines [batch, 1, length, turned width / 2].
pub(crate) struct Turn {
    cos: Tensor<4>,
    sin: Tensor<4>,
}

impl Turn {
    /// For tokens at these positions of texts of so many tokens.
    pub(crate) fn new(rope: &Rope, positions: &[Vec<usize>], tokens: &[usize], device: &Device) -> Self {
        let same_angles = rope.first_context().is_none() || tokens.windows(2).all(|w| w[0] == w[1]);
        let same = same_angles && positions.windows(2).all(|w| w[0] == w[1]);
        let rows = if same { 1 } else { positions.len() };
        let length = positions.first().map_or(0, Vec::len);
        let (mut cos, mut sin) = (Vec::new(), Vec::new());
        for (positions, &tokens) in positions.iter().zip(tokens).take(rows) {
            let (frequencies, magnitude) = rope.frequencies(tokens);
            for &p in positions {
                let angles = frequencies.iter().map(|f| p as f32 * f);
                cos.extend(angles.clone().map(|a| a.cos() * magnitude));
                sin.extend(angles.map(|a| a.sin() * magnitude));
            }
        }
        let shape = [rows, 1, length, rope.width / 2];
        Self { cos: from_vec(cos, shape, device), sin: from_vec(sin, shape, device) }
    }

    /// Turns the halves of what is turned of each head: (a, b) -> (a cos - b sin, b cos + a sin).
    pub(crate) fn apply(&self, x: Tensor<4>) -> Tensor<4> {
        turn(x, &self.cos, &self.sin)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_scaling_needs_is_named_when_it_is_missing() {
        let read = |json: Value| Scaling::read(&json, 128, None);
        assert_eq!(read(serde_json::json!({"rope_type": "default"})), Ok(Scaling::None));
        assert_eq!(read(serde_json::json!({"type": "linear", "factor": 2})), Ok(Scaling::Linear(2.0)));
        assert!(read(serde_json::json!({"rope_type": "llama3", "factor": 2})).unwrap_err().contains("low_freq_factor"));
        assert!(read(serde_json::json!({"rope_type": "dynamic"})).unwrap_err().contains("`dynamic` is not known"));
    }

    #[test]
    fn long_factors_come_into_force_beyond_the_first_context() {
        let scaling = Scaling::Long { short: vec![1.0; 2], long: vec![4.0; 2], context: 32, magnitude: 1.25 };
        let rope = Rope { theta: 100.0, width: 4, scaling };
        assert_eq!(rope.frequencies(32), (vec![1.0, 0.1], 1.25));
        assert_eq!(rope.frequencies(33), (vec![0.25, 0.025], 1.25));
    }
}
