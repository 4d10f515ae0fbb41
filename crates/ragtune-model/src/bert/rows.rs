//! The body over rows: texts behind each other without padding, forward and back, on the CPU. The twin of
//! [`Bert::forward`] and its tape.
//!
//! Matrix products are the device's; everything between them is one loop over plain slices where tensor operations
//! would read and write the same memory many times.

use burn::tensor::{Device, Tensor};
use ragtune_kernels::attend::{Qkv, Texts, attend, attend_back};
use ragtune_kernels::product::{times, times_turned, turned_times};
use ragtune_kernels::rows::{Activation, Normed, activate, activate_back, add, add_bias, norm, norm_back, sum_rows};
use ragtune_kernels::{from_vec, pause, to_vec};

use super::Bert;
use crate::{Keep, Weight, Weights};

/// What the way back needs.
pub(crate) struct Kept {
    ids: Vec<u32>,
    texts: Texts,
    embedded: Normed,
    layers: Vec<KeptLayer>,
}

enum KeptLayer {
    Everything(Box<Layer>),
    /// What comes in, row-major [rows, hidden]: the rest is computed again.
    Input(Vec<f32>),
}

struct Layer {
    /// What comes in, [rows, hidden].
    x: Tensor<2>,
    qkv: Qkv,
    /// Weights of attention.
    weights: Vec<f32>,
    attended: Tensor<2>,
    attention_norm: Normed,
    /// The states between attention and feed-forward.
    y: Tensor<2>,
    /// In front of the activation, [rows, intermediate], and behind it.
    inner: Vec<f32>,
    activated: Tensor<2>,
    norm: Normed,
}

/// Weights of a dense layer or a LayerNorm by the beginning of their names.
pub(crate) struct Names<'w> {
    weights: &'w Weights,
    prefix: String,
}

impl<'w> Names<'w> {
    pub(crate) fn new(weights: &'w Weights, prefix: impl Into<String>) -> Self {
        Self { weights, prefix: prefix.into() }
    }

    fn name(&self, name: &str, part: &str) -> String {
        format!("{}{name}.{part}", self.prefix)
    }

    fn matrix(&self, name: &str) -> Tensor<2> {
        self.weights.matrix(&self.name(name, "weight"))
    }

    pub(crate) fn vector(&self, name: &str, part: &str) -> Vec<f32> {
        to_vec(self.weights.vector(&self.name(name, part)))
    }

    /// x Wᵀ without the bias, row-major [rows, out].
    pub(crate) fn product(&self, x: &Tensor<2>, name: &str) -> Vec<f32> {
        to_vec(times_turned(x.clone(), self.matrix(name)))
    }

    pub(crate) fn norm(
        &self,
        x: Vec<f32>,
        bias: Option<&str>,
        residual: Option<&[f32]>,
        name: &str,
        eps: f32,
    ) -> (Vec<f32>, Normed) {
        let bias = bias.map(|name| self.vector(name, "bias"));
        let (gain, shift) = (self.vector(name, "weight"), self.vector(name, "bias"));
        norm(x, bias.as_deref(), residual, (&gain, &shift), eps)
    }

    /// The way back through a norm: `d` becomes the gradient of what was normed.
    pub(crate) fn norm_back(&self, d: &mut [f32], kept: &Normed, name: &str, out: &mut Weights) {
        let (d_gain, d_shift) = norm_back(d, kept, &self.vector(name, "weight"));
        let width = d_gain.len();
        out.insert(self.name(name, "weight"), Weight::from_vec(d_gain, &[width], &Device::flex()));
        out.insert(self.name(name, "bias"), Weight::from_vec(d_shift, &[width], &Device::flex()));
    }

    /// The way back through a dense layer: the gradient of its input, row-major; those of its weights go to `out`.
    pub(crate) fn dense_back(&self, d: Vec<f32>, x: &Tensor<2>, name: &str, out: &mut Weights) -> Vec<f32> {
        let matrix = self.matrix(name);
        let [width, _] = matrix.dims();
        let bias = sum_rows(&d, width);
        out.insert(self.name(name, "bias"), Weight::from_vec(bias, &[width], &Device::flex()));
        let d: Tensor<2> = tensor(d, width);
        out.insert(self.name(name, "weight"), Weight::Matrix(turned_times(d.clone(), x.clone())));
        to_vec(times(d, matrix))
    }
}

/// Row-major values as a matrix with rows of that width.
pub(crate) fn tensor(values: Vec<f32>, width: usize) -> Tensor<2> {
    let rows = values.len() / width;
    from_vec(values, [rows, width], &Device::flex())
}

impl Bert {
    fn activation(&self) -> Activation {
        match self.config.hidden_act.as_str() {
            "relu" => Activation::Relu,
            "gelu_new" => Activation::GeluTanh,
            _ => Activation::Gelu,
        }
    }

    /// Last hidden states of texts behind each other, row-major [sum of lengths, hidden], and what [`Bert::rows_back`] needs
    /// if `keep` says so. Texts are as for [`Bert::forward`]; weights lie on the CPU and are not tracked.
    pub(crate) fn rows(&self, weights: &Weights, texts: &[&[u32]], keep: Keep) -> (Vec<f32>, Option<Kept>) {
        let c = &self.config;
        let (h, eps) = (c.hidden_size, c.layer_norm_eps as f32);
        let ids: Vec<u32> = texts.concat();
        let mut end = 0;
        let rows = texts.iter().map(|text| {
            end += text.len();
            end - text.len()..end
        });
        let texts = Texts { rows: rows.collect(), heads: c.num_attention_heads, width: h / c.num_attention_heads };
        let top = Names::new(weights, "");
        let mut x = to_vec(weights.table("embeddings.word_embeddings.weight").select(&ids));
        let longest = texts.rows.iter().map(|rows| rows.len()).max().unwrap_or(0);
        let first = c.first_position();
        let places = [first..first + longest, 0..h];
        let mut positions = to_vec(top.matrix("embeddings.position_embeddings").slice(places));
        if c.has_segments() {
            add_bias(&mut positions, &to_vec(top.matrix("embeddings.token_type_embeddings").slice([0..1, 0..h])));
        }
        for rows in &texts.rows {
            add(&mut x[rows.start * h..rows.end * h], &positions[..rows.len() * h]);
        }
        let (mut states, embedded) = top.norm(x, None, None, "embeddings.LayerNorm", eps);
        let mut layers = Vec::new();
        for i in 0..c.num_hidden_layers {
            match keep {
                Keep::Nothing => states = self.layer_rows(weights, i, &texts, states, false).0,
                Keep::Inputs => {
                    layers.push(KeptLayer::Input(states.clone()));
                    states = self.layer_rows(weights, i, &texts, states, false).0;
                }
                Keep::Everything => {
                    let (next, layer) = self.layer_rows(weights, i, &texts, states, true);
                    layers.push(KeptLayer::Everything(Box::new(layer)));
                    states = next;
                }
            }
        }
        (states, (keep != Keep::Nothing).then_some(Kept { ids, texts, embedded, layers }))
    }

    /// The states behind layer `i`, from those in front of it; attention's weights are kept if `keep` says so.
    fn layer_rows(
        &self,
        weights: &Weights,
        i: usize,
        texts: &Texts,
        states: Vec<f32>,
        keep: bool,
    ) -> (Vec<f32>, Layer) {
        pause();
        let c = &self.config;
        let (h, eps) = (c.hidden_size, c.layer_norm_eps as f32);
        let layer = Names::new(weights, format!("encoder.layer.{i}."));
        let x = tensor(states.clone(), h);
        let [q, k, v] = ["query", "key", "value"].map(|part| {
            let name = format!("attention.self.{part}");
            let mut product = layer.product(&x, &name);
            add_bias(&mut product, &layer.vector(&name, "bias"));
            product
        });
        let qkv = Qkv { q, k, v };
        let (attended, attention) = attend(texts, &qkv, keep);
        let attended = tensor(attended, h);
        let dense = "attention.output.dense";
        let (between, attention_norm) =
            layer.norm(layer.product(&attended, dense), Some(dense), Some(&states), "attention.output.LayerNorm", eps);
        let y = tensor(between.clone(), h);
        let mut inner = layer.product(&y, "intermediate.dense");
        let activated = activate(self.activation(), &mut inner, &layer.vector("intermediate.dense", "bias"));
        let activated = tensor(activated, c.intermediate_size);
        let product = layer.product(&activated, "output.dense");
        let (next, norm) = layer.norm(product, Some("output.dense"), Some(&between), "output.LayerNorm", eps);
        (next, Layer { x, qkv, weights: attention, attended, attention_norm, y, inner, activated, norm })
    }

    /// Gradients of the body's weights from that of the last hidden states, `d` row-major as [`Bert::rows`] gave them.
    /// The word embeddings' is added to `d_words`, row-major [vocab, hidden].
    pub(crate) fn rows_back(&self, weights: &Weights, kept: Kept, mut d: Vec<f32>, d_words: &mut [f32]) -> Weights {
        let c = &self.config;
        let h = c.hidden_size;
        let mut out = Weights::default();
        for (i, at) in kept.layers.into_iter().enumerate().rev() {
            pause();
            let at = match at {
                KeptLayer::Everything(layer) => *layer,
                KeptLayer::Input(states) => self.layer_rows(weights, i, &kept.texts, states, true).1,
            };
            let layer = Names::new(weights, format!("encoder.layer.{i}."));
            layer.norm_back(&mut d, &at.norm, "output.LayerNorm", &mut out);
            let mut d_inner = layer.dense_back(d.clone(), &at.activated, "output.dense", &mut out);
            activate_back(self.activation(), &mut d_inner, &at.inner);
            add(&mut d, &layer.dense_back(d_inner, &at.y, "intermediate.dense", &mut out));
            layer.norm_back(&mut d, &at.attention_norm, "attention.output.LayerNorm", &mut out);
            let d_attended = layer.dense_back(d.clone(), &at.attended, "attention.output.dense", &mut out);
            let parts = attend_back(&kept.texts, &at.qkv, &at.weights, &d_attended);
            for (name, part) in [("query", parts.q), ("key", parts.k), ("value", parts.v)] {
                add(&mut d, &layer.dense_back(part, &at.x, &format!("attention.self.{name}"), &mut out));
            }
        }
        let top = Names::new(weights, "");
        top.norm_back(&mut d, &kept.embedded, "embeddings.LayerNorm", &mut out);
        for (row, &id) in d.chunks_exact(h).zip(&kept.ids) {
            add(&mut d_words[id as usize * h..][..h], row);
        }
        let mut positions = vec![0.0f32; c.max_position_embeddings * h];
        let first = c.first_position() * h;
        for rows in &kept.texts.rows {
            add(&mut positions[first..first + rows.len() * h], &d[rows.start * h..rows.end * h]);
        }
        let mut add_table = |name: &str, values: Vec<f32>| {
            out.insert(format!("embeddings.{name}_embeddings.weight"), Weight::Matrix(tensor(values, h)));
        };
        add_table("position", positions);
        if c.has_segments() {
            let mut segments = vec![0.0f32; c.type_vocab_size * h];
            segments[..h].copy_from_slice(&sum_rows(&d, h));
            add_table("token_type", segments);
        }
        out
    }
}
