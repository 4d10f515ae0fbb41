//! A layer's functions: norms, attention, feed-forward.

use burn::tensor::{Bool, Tensor, activation, module};
use ragtune_kernels::on_gpu::attend_back;
use ragtune_kernels::{self as kernels, Gate, layer_norm, root_norm};

use super::config::{Act, DecoderConfig, FeedForward, QueryKeyNorm};
use super::rope::Turn;
use crate::Weights;

/// One layer's weights, or those around all layers, by the beginning of their names.
pub(super) struct Layer<'a> {
    pub(super) config: &'a DecoderConfig,
    pub(super) weights: &'a Weights,
    pub(super) prefix: String,
    /// Whether attention goes to the device's matrix units.
    pub(super) on_units: bool,
}

impl Layer<'_> {
    fn vector(&self, name: &str) -> Tensor<1> {
        self.weights.vector(&format!("{}{name}", self.prefix))
    }

    fn linear(&self, x: Tensor<3>, name: &str, bias: bool) -> Tensor<3> {
        let weight = self.weights.table(&format!("{}{name}.weight", self.prefix));
        weight.linear(x, bias.then(|| self.vector(&format!("{name}.bias"))))
    }

    /// States of the last dimension normed.
    pub(super) fn norm(&self, x: Tensor<3>, name: &str) -> Tensor<3> {
        let gain = self.vector(&format!("{name}.weight"));
        if self.config.norm.layer {
            return layer_norm(x, None, gain, Some(self.vector(&format!("{name}.bias"))), self.config.norm.eps);
        }
        root_norm(x, gain, self.config.norm.eps)
    }

    /// Attention's output for normed states, with the keys and values of all tokens so far.
    pub(super) fn attention(
        &self,
        x: Tensor<3>,
        turn: Option<&Turn>,
        mask: Option<Tensor<4, Bool>>,
        past: Option<&(Tensor<4>, Tensor<4>)>,
    ) -> (Tensor<3>, Tensor<4>, Tensor<4>) {
        let c = self.config;
        let (heads, kv_heads, width) = (c.num_attention_heads, c.num_key_value_heads, c.head_dim);
        let [batch, length, _] = x.dims();
        let split = |x: Tensor<3>, n: usize| x.reshape([batch, length, n, width]).swap_dims(1, 2);
        let bias = c.biases.query_key_value;
        let turned = |name: &str, n: usize| {
            let mut x = self.linear(x.clone(), &format!("self_attn.{name}_proj"), bias);
            let gain = format!("self_attn.{name}_norm");
            if c.query_key_norm == Some(QueryKeyNorm::Whole) {
                x = self.norm(x, &gain);
            }
            let mut x = split(x, n);
            if c.query_key_norm == Some(QueryKeyNorm::Heads) {
                x = root_norm(x, self.vector(&format!("{gain}.weight")), c.norm.eps);
            }
            match turn {
                Some(turn) => turn.apply(x),
                None => x,
            }
        };
        let (q, mut k) = (turned("q", heads), turned("k", kv_heads));
        let mut v = split(self.linear(x.clone(), "self_attn.v_proj", bias), kv_heads);
        if let Some((past_k, past_v)) = past {
            k = Tensor::cat(vec![past_k.clone(), k], 2);
            v = Tensor::cat(vec![past_v.clone(), v], 2);
        }
        let plain = past.is_none() && mask.is_none() && c.attention_softcap.is_none();
        if plain && let Some(attended) = attend_back(&q, &k, &v, c.attention_scale as f32, self.on_units) {
            return (self.linear(attended, "self_attn.o_proj", c.biases.output), k, v);
        }
        let columns = k.dims()[2];
        let shared = |x: Tensor<4>| {
            if kv_heads == heads {
                return x;
            }
            let group = heads / kv_heads;
            x.reshape([batch, kv_heads, 1, columns, width])
                .expand([batch, kv_heads, group, columns, width])
                .reshape([batch, heads, columns, width])
        };
        let usual = (width as f64).powf(-0.5);
        let options = burn::tensor::ops::AttentionModuleOptions {
            is_causal: mask.is_none(),
            scale: (c.attention_scale != usual).then_some(c.attention_scale),
            softcap: c.attention_softcap,
        };
        let attended = module::attention(q, shared(k.clone()), shared(v.clone()), mask, None, options);
        let attended = attended.swap_dims(1, 2).reshape([batch, length, heads * width]);
        (self.linear(attended, "self_attn.o_proj", c.biases.output), k, v)
    }

    pub(super) fn feed_forward(&self, x: Tensor<3>) -> Tensor<3> {
        let FeedForward { gated, activation } = self.config.feed_forward;
        let bias = self.config.biases.feed_forward;
        let up = self.linear(x.clone(), "mlp.up_proj", bias);
        let inner = if gated {
            kernels::gated(gate(activation), self.linear(x, "mlp.gate_proj", bias), up)
        } else {
            act(activation, up)
        };
        self.linear(inner, "mlp.down_proj", bias)
    }
}

fn gate(kind: Act) -> Gate {
    match kind {
        Act::Silu => Gate::Silu,
        Act::Gelu => Gate::Gelu,
        Act::GeluTanh => Gate::GeluTanh,
        Act::Relu => Gate::Relu,
    }
}

fn act(kind: Act, x: Tensor<3>) -> Tensor<3> {
    match kind {
        Act::Silu => activation::silu(x),
        Act::Gelu => activation::gelu(x),
        Act::GeluTanh => activation::gelu_approximate(x),
        Act::Relu => activation::relu(x),
    }
}
