//! Bodies of encoders: token ids to last hidden states. BERT and its kin (DistilBERT, RoBERTa, XLM-R, MPNet), whose weights
//! go by the names of Hugging Face's `BertModel`, and two that are computed in another way: ModernBERT (`modern`) and GTE's (`gte`).
//!
//! | module | what it holds |
//! |---|---|
//! | `config` | the `config.json` of each family |
//! | `gte` | the layers of GTE's v1.5 models |
//! | `modern` | ModernBERT's layers |
//! | `names` | what each family calls its tensors |
//! | `rows` | BERT over rows without padding, on the CPU |

mod config;
mod gte;
mod modern;
mod names;
pub(crate) mod rows;

use std::collections::BTreeMap;

use burn::tensor::{Bool, Device, Tensor, TensorData, module};
use ragtune_kernels::on_gpu::attend;
use ragtune_kernels::rows::Activation;
use ragtune_kernels::units::{in_halves, units};
use ragtune_kernels::{activate, layer_norm, select};
use ragtune_text::storage::Directory;
use rand::{Rng, RngExt};

pub use config::{BertConfig, ModernConfig};

use crate::decoder::{Rope, Turn};
use crate::{ModelError, Weight, Weights, authors, read_weights};

/// Weights of relative positions, one row per bucket and a column per head: MPNet.
const RELATIVE: &str = "encoder.relative_attention_bias.weight";

/// The functions of an encoder's body; its weights are passed in, tracked or not.
#[derive(Debug, Clone)]
pub struct Bert {
    /// What it is.
    pub config: BertConfig,
}

impl Bert {
    /// Reads and checks `config.json`.
    pub fn from_dir(dir: &dyn Directory) -> Result<Self, ModelError> {
        Ok(Self { config: BertConfig::from_dir(dir)? })
    }

    /// Reads the body's weights and, of those in `extra`, what is there; all under BERT's names.
    pub fn read_weights(&self, dir: &dyn Directory, device: &Device, extra: &[String]) -> Result<Weights, ModelError> {
        self.read_weights_of("", dir, device, extra)
    }

    /// As [`Bert::read_weights`], of the tensors whose names begin so.
    pub(crate) fn read_weights_of(
        &self,
        prefix: &str,
        dir: &dyn Directory,
        device: &Device,
        extra: &[String],
    ) -> Result<Weights, ModelError> {
        let shapes = self.shapes();
        let all = || shapes.iter().map(|(name, _)| name).chain(extra);
        let names: BTreeMap<String, &String> = all().map(|name| (self.config.family_name(name), name)).collect();
        let wanted = |name: &str| all().any(|known| known == name);
        let keep = |name: &str| {
            let name = name.strip_prefix(prefix)?;
            let bare = self.config.without_prefix(name);
            let known = names.get(bare).or_else(|| names.get(name)).map(|name| (*name).clone());
            known.or_else(|| authors::name(name).filter(|name| wanted(name)))
        };
        let weights = read_weights(dir, device, &keep)?;
        check_shapes(&weights, &shapes, &dir.describe("model.safetensors"))?;
        Ok(weights)
    }

    /// The same weights under the names of the family, as its files have them; `head`: with those of its language
    /// modelling head, beside which the body's names begin with the family's.
    pub(crate) fn named_as_family(&self, weights: &Weights, head: bool) -> Weights {
        let mut out = Weights::default();
        for (name, weight) in weights.iter() {
            out.insert(self.config.file_name(name, head), weight.clone());
        }
        out
    }

    /// Whether the CPU computes it over rows without padding, else by tensor operations as other devices do.
    pub(crate) fn has_rows(&self) -> bool {
        let c = &self.config;
        c.modern.is_none() && c.rotary.is_none() && c.relative_attention_num_buckets.is_none()
    }

    /// Fresh weights, as BERT initialises them: normal with deviation 0.02, LayerNorms at one.
    pub fn init(&self, device: &Device, rng: &mut impl Rng) -> Weights {
        let mut weights = Weights::default();
        for (name, shape) in self.shapes() {
            let n: usize = shape.iter().product();
            let values = if name.ends_with("orm.weight") {
                vec![1.0; n]
            } else if name.ends_with("bias") {
                vec![0.0; n]
            } else {
                normal(n, 0.02, rng)
            };
            weights.insert(name, Weight::from_vec(values, &shape, device));
        }
        weights
    }

    /// Names and shapes of all weights.
    pub fn shapes(&self) -> Vec<(String, Vec<usize>)> {
        let c = &self.config;
        let h = c.hidden_size;
        if let Some(modern) = &c.modern {
            return self.modern_shapes(modern);
        }
        if c.rotary.is_some() {
            return self.gte_shapes();
        }
        let mut shapes = vec![
            ("embeddings.word_embeddings.weight".to_owned(), vec![c.vocab_size, h]),
            ("embeddings.position_embeddings.weight".to_owned(), vec![c.max_position_embeddings, h]),
            ("embeddings.LayerNorm.weight".to_owned(), vec![h]),
            ("embeddings.LayerNorm.bias".to_owned(), vec![h]),
        ];
        if c.has_segments() {
            shapes.push(("embeddings.token_type_embeddings.weight".to_owned(), vec![c.type_vocab_size, h]));
        }
        if let Some(buckets) = c.relative_attention_num_buckets {
            shapes.push((RELATIVE.to_owned(), vec![buckets, c.num_attention_heads]));
        }
        for i in 0..c.num_hidden_layers {
            let mut linear = |name: &str, out: usize, input: usize| {
                shapes.push((format!("encoder.layer.{i}.{name}.weight"), vec![out, input]));
                shapes.push((format!("encoder.layer.{i}.{name}.bias"), vec![out]));
            };
            for name in ["attention.self.query", "attention.self.key", "attention.self.value", "attention.output.dense"]
            {
                linear(name, h, h);
            }
            linear("intermediate.dense", c.intermediate_size, h);
            linear("output.dense", h, c.intermediate_size);
            for name in ["attention.output.LayerNorm", "output.LayerNorm"] {
                shapes.push((format!("encoder.layer.{i}.{name}.weight"), vec![h]));
                shapes.push((format!("encoder.layer.{i}.{name}.bias"), vec![h]));
            }
        }
        shapes
    }

    /// Last hidden states [batch, length, hidden] of right-padded texts; `length` is that of the longest or a little more.
    ///
    /// Every text has at least one token and at most [`BertConfig::longest`]. States at padded positions are
    /// meaningless; those at real positions do not depend on the padding beyond rounding.
    pub fn forward(&self, weights: &Weights, texts: &[&[u32]]) -> Tensor<3> {
        let around = self.around(weights, texts, false);
        let first = self.embedded(weights, texts);
        let last = (0..self.config.num_hidden_layers).fold(first, |x, i| self.layer(weights, &around, i, x));
        self.finished(weights, last)
    }

    /// What every layer needs beside the states; `half`: whether their products are computed in 16 bits.
    pub(crate) fn around(&self, weights: &Weights, texts: &[&[u32]], half: bool) -> Around {
        let (c, device) = (&self.config, weights.device());
        let length = self.length(texts, &device);
        let mask = padding_mask(texts, length, c.num_attention_heads, &device);
        let modern = c.modern.as_ref().map(|modern| self.modern_around(modern, texts, &device));
        let turn = c.rotary.as_ref().map(|rope| turn(rope, length, &device));
        let lengths = texts.iter().map(|text| text.len()).collect();
        let half = half || in_halves(&device);
        Around { lengths, mask, bias: self.relative_bias(weights, texts), modern, turn, half }
    }

    /// The length to which texts are padded: that of the longest, or what a device's matrix units take.
    fn length(&self, texts: &[&[u32]], device: &Device) -> usize {
        let longest = texts.iter().map(|text| text.len()).max().unwrap_or(0);
        let most = self.config.longest().max(longest);
        if units(device).is_some() { longest.next_multiple_of(4).min(most) } else { longest }
    }

    /// The bias of relative positions, [batch, heads, length, length], where the family has one: the part of
    /// [`Around`] that is computed of weights.
    pub(crate) fn relative_bias(&self, weights: &Weights, texts: &[&[u32]]) -> Option<Tensor<4>> {
        let buckets = self.config.relative_attention_num_buckets?;
        let (batch, heads, device) = (texts.len(), self.config.num_attention_heads, weights.device());
        let length = self.length(texts, &device);
        let places: Vec<_> = relative_buckets(length, buckets).into_iter().map(Some).collect();
        let bias = select(weights.matrix(RELATIVE), &places).reshape([length, length, heads]);
        Some(bias.permute([2, 0, 1]).unsqueeze::<4>().expand([batch, heads, length, length]))
    }

    /// Attention of queries, keys and values that come behind each other, [batch, length, 3 hidden]; queries and keys are
    /// turned by their positions.
    fn attend_turned(&self, around: &Around, qkv: Tensor<3>, turn: &Turn, near: Option<&Tensor<4, Bool>>) -> Tensor<3> {
        let [batch, length, _] = qkv.dims();
        let (h, heads) = (self.config.hidden_size, self.config.num_attention_heads);
        let [q, k, v] = [0, 1, 2].map(|part| {
            let part = qkv.clone().slice([0..batch, 0..length, part * h..(part + 1) * h]);
            part.reshape([batch, length, heads, h / heads]).swap_dims(1, 2)
        });
        around.attend(turn.apply(q), turn.apply(k), v, near)
    }

    /// The states in front of the first layer.
    pub(crate) fn embedded(&self, weights: &Weights, texts: &[&[u32]]) -> Tensor<3> {
        let c = &self.config;
        let (length, h) = (self.length(texts, &weights.device()), c.hidden_size);
        let words = weights.table("embeddings.word_embeddings.weight").of_texts(texts, length);
        let words = words.reshape([texts.len(), length, h]);
        if c.modern.is_some() {
            return self.norm(weights, words, "embeddings.LayerNorm");
        }
        let segment =
            c.has_segments().then(|| weights.matrix("embeddings.token_type_embeddings.weight").slice([0..1, 0..h]));
        let positions = c.rotary.is_none().then(|| {
            let first = c.first_position();
            weights.matrix("embeddings.position_embeddings.weight").slice([first..first + length, 0..h])
        });
        let added = match (positions, segment) {
            (Some(positions), Some(segment)) => Some(positions + segment),
            (positions, segment) => positions.or(segment),
        };
        let x = added.into_iter().fold(words, |words, added| words + added.unsqueeze::<3>());
        self.norm(weights, x, "embeddings.LayerNorm")
    }

    /// The states behind layer `i`, from those in front of it.
    pub(crate) fn layer(&self, weights: &Weights, around: &Around, i: usize, x: Tensor<3>) -> Tensor<3> {
        ragtune_kernels::pause();
        if let Some(modern) = &around.modern {
            return self.modern_layer(weights, around, modern, i, x);
        }
        if let Some(turn) = &around.turn {
            return self.gte_layer(weights, around, turn, i, x);
        }
        let c = &self.config;
        let [batch, length, h] = x.dims();
        let heads = c.num_attention_heads;
        let layer = format!("encoder.layer.{i}");
        let linear = |x: Tensor<3>, name: &str| {
            let weight = weights.matrix(&format!("{layer}.{name}.weight"));
            let bias = weights.vector(&format!("{layer}.{name}.bias"));
            crate::linear::linear_in(around.half, x, weight, Some(bias))
        };
        let split = |x: Tensor<3>| x.reshape([batch, length, heads, h / heads]).swap_dims(1, 2);
        let [q, k, v] = ["query", "key", "value"].map(|of| split(linear(x.clone(), &format!("attention.self.{of}"))));
        let attended = around.attend(q, k, v, None);
        let added = linear(attended, "attention.output.dense");
        let x = self.added_norm(weights, x, added, &format!("{layer}.attention.output.LayerNorm"));
        let inner = act(&c.hidden_act, linear(x.clone(), "intermediate.dense"));
        self.added_norm(weights, x, linear(inner, "output.dense"), &format!("{layer}.output.LayerNorm"))
    }

    /// The last hidden states, from those behind the last layer.
    pub(crate) fn finished(&self, weights: &Weights, x: Tensor<3>) -> Tensor<3> {
        if self.config.modern.is_some() { self.norm(weights, x, "final_norm") } else { x }
    }

    fn norm(&self, weights: &Weights, x: Tensor<3>, name: &str) -> Tensor<3> {
        let (gain, shift) = (weights.vector(&format!("{name}.weight")), weights.optional(&format!("{name}.bias")));
        layer_norm(x, None, gain, shift, self.config.layer_norm_eps)
    }

    /// The norm of a sum.
    fn added_norm(&self, weights: &Weights, x: Tensor<3>, added: Tensor<3>, name: &str) -> Tensor<3> {
        let (gain, shift) = (weights.vector(&format!("{name}.weight")), weights.optional(&format!("{name}.bias")));
        layer_norm(x, Some(added), gain, shift, self.config.layer_norm_eps)
    }
}

/// What the layers need beside the states.
pub(crate) struct Around {
    /// Real positions of each text.
    lengths: Vec<usize>,
    mask: Option<Tensor<4, Bool>>,
    /// Of relative positions.
    pub(crate) bias: Option<Tensor<4>>,
    modern: Option<modern::Around>,
    /// Of rotary positions, but ModernBERT's.
    turn: Option<Turn>,
    half: bool,
}

impl Around {
    /// Attended values [batch, length, hidden] of queries, keys and values [batch, heads, length, width].
    ///
    /// `near`: who sees whom where that is not only a matter of padding.
    fn attend(&self, q: Tensor<4>, k: Tensor<4>, v: Tensor<4>, near: Option<&Tensor<4, Bool>>) -> Tensor<3> {
        let [batch, heads, length, width] = q.dims();
        // The shaders know of padding, and of nothing else.
        let only_padded = self.bias.is_none() && near.is_none();
        let attended = if only_padded { attend(&q, &k, &v, &self.lengths, self.half) } else { None };
        attended.unwrap_or_else(|| {
            let mask = near.or(self.mask.as_ref()).cloned();
            let attended = module::attention(q, k, v, mask, self.bias.clone(), Default::default());
            attended.swap_dims(1, 2).reshape([batch, length, heads * width])
        })
    }
}

/// Rotary positions of the tokens of texts of that length.
fn turn(rope: &Rope, length: usize, device: &Device) -> Turn {
    Turn::new(rope, &[(0..length).collect()], &[length], device)
}

/// The two halves of a gated layer's product, [batch, length, 2 wide].
fn halves(product: Tensor<3>) -> [Tensor<3>; 2] {
    let [batch, length, both] = product.dims();
    [0, both / 2].map(|from| product.clone().slice([0..batch, 0..length, from..from + both / 2]))
}

fn act(name: &str, x: Tensor<3>) -> Tensor<3> {
    let kind = match name {
        "relu" => Activation::Relu,
        "gelu_new" => Activation::GeluTanh,
        _ => Activation::Gelu,
    };
    activate(kind, x)
}

/// The bucket of the distance from each token to each other one, row-major [length, length]: half of the buckets for each
/// direction, half of those for single distances, the others ever wider, up to 128 tokens away (T5's, as MPNet has them).
fn relative_buckets(length: usize, buckets: usize) -> Vec<u32> {
    let half = buckets / 2;
    let exact = half / 2;
    let bucket = |query: usize, key: usize| {
        let (away, later) = (query.abs_diff(key), key > query);
        let wide = || {
            let share = (away as f32 / exact as f32).ln() / (128.0 / exact as f32).ln();
            (exact + (share * (half - exact) as f32) as usize).min(half - 1)
        };
        (if later { half } else { 0 } + if away < exact { away } else { wide() }) as u32
    };
    (0..length).flat_map(|query| (0..length).map(move |key| bucket(query, key))).collect()
}

/// True where a key is padding, [batch, heads, length, length]; none when no text is padded.
fn padding_mask(texts: &[&[u32]], length: usize, heads: usize, device: &Device) -> Option<Tensor<4, Bool>> {
    if texts.iter().all(|t| t.len() == length) {
        return None;
    }
    let batch = texts.len();
    let padded: Vec<bool> = texts.iter().flat_map(|t| (0..length).map(|l| l >= t.len())).collect();
    let mask = Tensor::<4, Bool>::from_data(TensorData::new(padded, [batch, 1, 1, length]), device);
    Some(mask.expand([batch, heads, length, length]))
}

/// Checks that every weight is there with its shape.
pub(crate) fn check_shapes(weights: &Weights, shapes: &[(String, Vec<usize>)], file: &str) -> Result<(), ModelError> {
    for (name, expected) in shapes {
        match weights.get(name) {
            None => return Err(ModelError::MissingTensor { file: file.to_owned(), name: name.clone() }),
            Some(weight) if weight.shape() != *expected => {
                return Err(ModelError::Shape {
                    file: file.to_owned(),
                    name: name.clone(),
                    found: weight.shape(),
                    expected: expected.clone(),
                });
            }
            Some(_) => {}
        }
    }
    Ok(())
}

/// Normal deviates by the Box-Muller transform.
pub(crate) fn normal(n: usize, deviation: f32, rng: &mut impl Rng) -> Vec<f32> {
    (0..n)
        .map(|_| {
            let u: f32 = rng.random_range(f32::MIN_POSITIVE..1.0);
            let v: f32 = rng.random_range(0.0..1.0);
            deviation * (-2.0 * u.ln()).sqrt() * (2.0 * std::f32::consts::PI * v).cos()
        })
        .collect()
}
