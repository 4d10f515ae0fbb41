//! Decoders: one architecture whose families differ in data. Llama, Mistral, Qwen, Phi-3, Gemma, OLMo 2, GPT-2 and
//! GPT-NeoX, with weights under the names of Hugging Face's `LlamaForCausalLM`, whatever their files call them.
//!
//! | module | what it holds |
//! |---|---|
//! | `config` | what a decoder is: sizes, and the ways in which families differ |
//! | `families` | the `config.json` of each family |
//! | `layer` | norms, attention and feed-forward of one layer |
//! | `masks` | what a token may not look at |
//! | `rope` | rotary positions and how they are stretched |
//! | `places` | which tensor of a file is which weight |

use burn::tensor::{Bool, Device, Int, Tensor, TensorData};
use ragtune_kernels::units::{in_halves, units};
use ragtune_kernels::{bent, is_cpu, log_probs, of_logits};
use ragtune_text::storage::Directory;
use rand::Rng;

use crate::bert::{check_shapes, normal};
use crate::files::{FileTensor, read_tensors};
use crate::table::Table;
use crate::{ModelError, Weight, Weights, gguf};

mod config;
mod families;
mod layer;
mod masks;
mod places;
mod rope;

pub use config::{Act, Biases, Blocks, DecoderConfig, FeedForward, Norm, Positions, QueryKeyNorm};
pub use rope::{Rope, Scaling};

pub(crate) use families::ends;
use layer::Layer;
use masks::Masks;
use places::{Place, Use, take_apart, take_rows};
pub(crate) use rope::Turn;

/// Parameters from which on a model's matrices stay as their file holds them.
const PACKED_FROM: usize = 32 << 20;

/// The functions of a decoder; its weights are passed in, tracked or not.
#[derive(Debug, Clone)]
pub struct Decoder {
    /// What it is.
    pub config: DecoderConfig,
}

/// Keys and values of the tokens read so far, for a batch of texts.
#[derive(Clone)]
pub struct KvCache {
    /// Per layer: keys and values [batch, kv heads, columns, head width].
    layers: Vec<(Tensor<4>, Tensor<4>)>,
    /// Per text: which columns hold a token (the others are padding).
    valid: Vec<Vec<bool>>,
    /// Per text: the tokens.
    ids: Vec<Vec<u32>>,
}

impl KvCache {
    /// The cache of some of the texts, in the given order, repeats allowed.
    pub fn rows(&self, rows: &[usize]) -> Self {
        let Some((first, _)) = self.layers.first() else { return self.clone() };
        let ids: Vec<i32> = rows.iter().map(|&r| r as i32).collect();
        let index = Tensor::<1, Int>::from_data(TensorData::new(ids, [rows.len()]), &first.device());
        Self {
            layers: self
                .layers
                .iter()
                .map(|(k, v)| (k.clone().select(0, index.clone()), v.clone().select(0, index.clone())))
                .collect(),
            valid: rows.iter().map(|&r| self.valid[r].clone()).collect(),
            ids: rows.iter().map(|&r| self.ids[r].clone()).collect(),
        }
    }

    fn is_empty(&self) -> bool {
        self.layers.is_empty()
    }

    /// Tokens read so far by a text.
    pub fn tokens(&self, row: usize) -> usize {
        self.valid[row].iter().filter(|&&v| v).count()
    }
}

impl Decoder {
    /// Reads and checks `config.json`.
    pub fn from_dir(dir: &dyn Directory) -> Result<Self, ModelError> {
        Ok(Self { config: DecoderConfig::from_dir(dir)? })
    }

    /// Reads and checks the weights, one tensor at a time.
    ///
    /// # Errors
    /// Besides what every file can be: a tensor that the family does not have, or one that is missing. What is not
    /// understood is never left out, because the rest would compute something else.
    pub fn read_weights(&self, dir: &dyn Directory, device: &Device) -> Result<Weights, ModelError> {
        self.read(dir, device, self.stays_packed())
    }

    /// Whether the matrices stay as the file holds them: those of a small model take little, and floats compute faster.
    pub fn stays_packed(&self) -> bool {
        let parameters: usize = self.config.shapes().iter().map(|(_, shape)| shape.iter().product::<usize>()).sum();
        parameters >= PACKED_FROM && !self.config.has_own_order()
    }

    /// As [`Decoder::read_weights`], but matrices stay as the file holds them whatever the model's size.
    pub fn read_packed(&self, dir: &dyn Directory, device: &Device) -> Result<Weights, ModelError> {
        self.read(dir, device, true)
    }

    fn read(&self, dir: &dyn Directory, device: &Device, packs: bool) -> Result<Weights, ModelError> {
        let mut weights = Weights::default();
        let shapes = self.config.shapes();
        let known = |name: &str| shapes.iter().any(|(known, _)| known == name);
        let gguf = gguf::of(dir)?;
        let mut take = |tensor: &FileTensor<'_>| {
            let place = match self.config.use_of(&tensor.name) {
                // GGUF's gains have their 1.
                Use::Place(place) if gguf.is_some() => Use::Place(Place { add: 0.0, ..place }),
                other => other,
            };
            let place = match place {
                Use::Needless => return Ok(()),
                Use::Place(place) if place.parts.iter().all(|(name, _)| known(name)) => place,
                _ => {
                    let reason = format!(
                        "tensor `{}` has no place in a `{}` with this config.json",
                        tensor.name, self.config.model_type
                    );
                    let hint = "Weights and config.json come from different models, or the model is of a kind that is \
                                not known here";
                    return Err(ModelError::damaged(&tensor.file, reason, hint));
                }
            };
            let (file, name, shape) = (tensor.file.clone(), tensor.name.clone(), tensor.shape.clone());
            let other_rows = || {
                let mut expected = shape.clone();
                expected[0] = place.parts.iter().map(|(_, rows)| rows).sum();
                ModelError::Shape { file: file.clone(), name: name.clone(), found: shape.clone(), expected }
            };
            if packs
                && place.is_plain()
                && let Some(packed) = tensor.packed()?
            {
                for (name, packed) in take_rows(&place, &packed).ok_or_else(other_rows)? {
                    weights.insert(name, Weight::packed(&packed, device));
                }
                return Ok(());
            }
            let parts = take_apart(&place, tensor.values()?, &shape, self.config.head_dim).ok_or_else(other_rows)?;
            for (name, values, shape) in parts {
                weights.insert(name, Weight::from_vec(values, &shape, device));
            }
            Ok(())
        };
        let file = match &gguf {
            Some(gguf) => {
                gguf.read(dir, self.config.head_dim, &mut take)?;
                gguf.file().to_owned()
            }
            None => {
                read_tensors(dir, &mut take)?;
                dir.describe("model.safetensors")
            }
        };
        check_shapes(&weights, &shapes, &file)?;
        Ok(weights)
    }

    /// Fresh weights: normal with deviation 0.02, the projections into the residual stream scaled down by depth.
    pub fn init(&self, device: &Device, rng: &mut impl Rng) -> Weights {
        let mut weights = Weights::default();
        let residual = 0.02 / (2.0 * self.config.num_hidden_layers as f32).sqrt();
        for (name, shape) in self.config.shapes() {
            let n: usize = shape.iter().product();
            let values = if name.ends_with("bias") {
                vec![0.0; n]
            } else if shape.len() == 1 {
                vec![1.0; n]
            } else if name.ends_with("o_proj.weight") || name.ends_with("down_proj.weight") {
                normal(n, residual, rng)
            } else {
                normal(n, 0.02, rng)
            };
            weights.insert(name, Weight::from_vec(values, &shape, device));
        }
        weights
    }

    /// Hidden states [batch, length, hidden] of the next tokens of each text, right-padded to the longest or a little further.
    ///
    /// With a cache, the tokens follow those that it holds, and it grows by `length` columns; a text may have no new
    /// token. Without one, every text has at least one. States at padding are meaningless.
    pub fn forward(&self, weights: &Weights, texts: &[&[u32]], mut cache: Option<&mut KvCache>) -> Tensor<3> {
        let c = &self.config;
        if let Some(cache) = cache.as_deref_mut()
            && !cache.is_empty()
            && self.outgrows(cache, texts)
        {
            return self.read_again(weights, texts, cache);
        }
        let device = weights.device();
        let on_units = units(&device).is_some() && (in_halves(&device) || weights.are_halved());
        let batch = texts.len();
        let longest = texts.iter().map(|t| t.len()).max().unwrap_or(0);
        // A text that goes on is read a token at a time: padding would only make its cache longer.
        let begins = cache.as_ref().is_none_or(|cache| cache.is_empty());
        let length = if on_units && begins { longest.next_multiple_of(4) } else { longest };
        let past = cache.as_ref().filter(|cache| !cache.is_empty()).map(|cache| cache.valid.clone());
        let starts: Vec<usize> = match &cache {
            Some(cache) if past.is_some() => (0..batch).map(|b| cache.tokens(b)).collect(),
            _ => vec![0; batch],
        };
        let mut x = self.embed(weights, texts, &starts, length);
        let turns = self.turns(&starts, texts, length, &device);
        let masks = Masks { texts, past: past.as_deref(), starts: &starts, length, device: &device };
        // Layers of a kind share their mask.
        let mut drawn: Vec<(Option<usize>, Option<Tensor<4, Bool>>)> = Vec::new();
        let mut grown = Vec::new();
        for i in 0..c.num_hidden_layers {
            ragtune_kernels::pause();
            let window = c.windows[i];
            if !drawn.iter().any(|(of, _)| *of == window) {
                drawn.push((window, masks.draw(window, c.num_attention_heads)));
            }
            let mask = drawn.iter().find(|(of, _)| *of == window).and_then(|(_, mask)| mask.clone());
            let layer = Layer { config: c, weights, prefix: format!("model.layers.{i}."), on_units };
            let turn = turns.get(if window.is_some() { turns.len().saturating_sub(1) } else { 0 });
            let past = cache.as_ref().and_then(|cache| cache.layers.get(i));
            let mut attend = |x: Tensor<3>| {
                let (out, keys, values) = layer.attention(x, turn, mask.clone(), past);
                if cache.is_some() {
                    grown.push((keys, values));
                }
                out
            };
            x = match c.blocks {
                Blocks::Before => {
                    let x = x.clone() + attend(layer.norm(x, "input_layernorm"));
                    x.clone() + layer.feed_forward(layer.norm(x, "post_attention_layernorm"))
                }
                Blocks::After => {
                    let x = x.clone() + layer.norm(attend(x), "post_attention_layernorm");
                    x.clone() + layer.norm(layer.feed_forward(x), "post_feedforward_layernorm")
                }
                Blocks::Around => {
                    let attended = attend(layer.norm(x.clone(), "input_layernorm"));
                    let x = x + layer.norm(attended, "post_attention_layernorm");
                    let inner = layer.feed_forward(layer.norm(x.clone(), "pre_feedforward_layernorm"));
                    x + layer.norm(inner, "post_feedforward_layernorm")
                }
                Blocks::Parallel => {
                    let inner = layer.feed_forward(layer.norm(x.clone(), "post_attention_layernorm"));
                    x.clone() + attend(layer.norm(x, "input_layernorm")) + inner
                }
            };
        }
        if let Some(cache) = cache {
            cache.layers = grown;
            cache.ids.resize(batch, Vec::new());
            cache.ids.iter_mut().zip(texts).for_each(|(past, text)| past.extend_from_slice(text));
            let mut valid = past.unwrap_or_else(|| vec![Vec::new(); batch]);
            for (row, text) in valid.iter_mut().zip(texts) {
                row.extend((0..length).map(|l| l < text.len()));
            }
            cache.valid = valid;
        }
        Layer { config: c, weights, prefix: "model.".to_owned(), on_units }.norm(x, "norm")
    }

    /// An empty cache.
    pub fn cache(&self) -> KvCache {
        KvCache { layers: Vec::new(), valid: Vec::new(), ids: Vec::new() }
    }

    /// Logits [n, vocabulary] of some hidden states [n, hidden].
    pub fn logits(&self, weights: &Weights, states: Tensor<2>) -> Tensor<2> {
        bent(weights.table(self.head()).times_turned(states), self.cap())
    }

    /// Log-probabilities of a word after each of some hidden states [n, hidden]: n numbers.
    pub fn log_probs(&self, weights: &Weights, states: Tensor<2>, words: &[u32]) -> Vec<f32> {
        match weights.table(self.head()) {
            Table::Parts(parts) if !is_cpu(&states.device()) => log_probs(&states, parts, words, self.cap()),
            Table::Packed(head) if !is_cpu(&states.device()) => log_probs(&states, head.slabs(), words, self.cap()),
            head => of_logits(bent(head.times_turned(states), self.cap()), words),
        }
    }

    /// The weight that turns states into logits.
    fn head(&self) -> &'static str {
        if self.config.tie_word_embeddings { "model.embed_tokens.weight" } else { "lm_head.weight" }
    }

    fn cap(&self) -> Option<f32> {
        self.config.logit_softcap.map(|cap| cap as f32)
    }

    /// Embeddings [batch, length, hidden] of texts that begin at `starts`; 0 is the id of padding.
    fn embed(&self, weights: &Weights, texts: &[&[u32]], starts: &[usize], length: usize) -> Tensor<3> {
        let (c, batch) = (&self.config, texts.len());
        let rows = |name: &str, ids: &[u32]| weights.table(name).select(ids).reshape([batch, length, c.hidden_size]);
        let mut x = rows("model.embed_tokens.weight", &crate::padded(texts, length));
        if c.embedding_scale != 1.0 {
            x = x * c.embedding_scale;
        }
        if c.positions == Positions::Learned {
            // Padding may stand beyond the last position.
            let last = c.max_position_embeddings - 1;
            let at = starts.iter().flat_map(|&start| (start..start + length).map(|p| p.min(last) as u32));
            x = x + rows("model.embed_positions.weight", &at.collect::<Vec<_>>());
        }
        x
    }

    /// Cosines and sines for each way of turning.
    fn turns(&self, starts: &[usize], texts: &[&[u32]], length: usize, device: &Device) -> Vec<Turn> {
        let Positions::Rotary(ropes) = &self.config.positions else { return Vec::new() };
        let tokens: Vec<usize> = starts.iter().zip(texts).map(|(start, text)| start + text.len()).collect();
        let positions: Vec<Vec<usize>> = starts.iter().map(|&start| (start..start + length).collect()).collect();
        ropes.iter().map(|rope| Turn::new(rope, &positions, &tokens, device)).collect()
    }

    /// Whether a text becomes longer than the context up to which other angles hold: then what the cache holds of it
    /// was computed with the wrong ones.
    fn outgrows(&self, cache: &KvCache, texts: &[&[u32]]) -> bool {
        let Positions::Rotary(ropes) = &self.config.positions else { return false };
        let limits = ropes.iter().filter_map(Rope::first_context);
        let crosses = |limit| {
            let mut lengths = cache.ids.iter().zip(texts).map(|(past, text)| (past.len(), past.len() + text.len()));
            lengths.any(|(before, after)| before <= limit && limit < after)
        };
        limits.into_iter().any(crosses)
    }

    /// As [`Decoder::forward`], with everything that the cache holds read once more.
    fn read_again(&self, weights: &Weights, texts: &[&[u32]], cache: &mut KvCache) -> Tensor<3> {
        let whole: Vec<Vec<u32>> = cache.ids.iter().zip(texts).map(|(past, text)| [past, *text].concat()).collect();
        let whole: Vec<&[u32]> = whole.iter().map(Vec::as_slice).collect();
        *cache = self.cache();
        let states = self.forward(weights, &whole, Some(cache));
        let [batch, columns, width] = states.dims();
        let length = texts.iter().map(|t| t.len()).max().unwrap_or(0);
        let rows = whole.iter().zip(texts).enumerate().flat_map(|(b, (whole, text))| {
            let first = whole.len() - text.len();
            (first..first + length).map(move |l| (b * columns + l.min(columns - 1)) as u32)
        });
        let rows = crate::id_tensor(&rows.collect::<Vec<_>>(), &states.device());
        states.reshape([batch * columns, width]).select(0, rows).reshape([batch, length, width])
    }
}

#[cfg(test)]
mod tests {
    use ragtune_kernels::to_vec;
    use rand::SeedableRng;

    use super::*;

    #[test]
    fn weights_in_parts_give_the_logits_of_the_whole() {
        let models = [
            serde_json::json!({"model_type": "llama", "rms_norm_eps": 1e-5, "tie_word_embeddings": true}),
            serde_json::json!({"model_type": "gpt2", "n_embd": 16, "n_layer": 2, "n_head": 2, "n_positions": 64}),
        ];
        for mut json in models {
            for (name, size) in [("vocab_size", 50), ("hidden_size", 16), ("intermediate_size", 24)] {
                json[name] = size.into();
            }
            for (name, size) in [("num_hidden_layers", 2), ("num_attention_heads", 2), ("max_position_embeddings", 64)]
            {
                json[name] = size.into();
            }
            let decoder = Decoder { config: DecoderConfig::from_json(&json, "config.json").unwrap() };
            let whole = decoder.init(&Device::flex(), &mut rand_pcg::Pcg64Mcg::seed_from_u64(1));
            let mut cut = Weights::default();
            let mut parts = 0;
            for (name, weight) in whole.iter() {
                // Seven rows of the narrow ones.
                let cut_one = Weight::within(weight.values(), &weight.shape(), &Device::flex(), Some(7 * 16 * 4));
                parts += usize::from(matches!(cut_one, Weight::Parts(_)));
                cut.insert(name.clone(), cut_one);
            }
            assert!(parts > 10, "{parts} in parts");
            let texts: [&[u32]; 2] = [&[1, 49, 7, 7, 6], &[13, 14]];
            let logits = |weights: &Weights| {
                let states = decoder.forward(weights, &texts, None);
                to_vec(decoder.logits(weights, states.reshape([10, 16])))
            };
            for (a, b) in logits(&cut).iter().zip(logits(&whole)) {
                assert!((a - b).abs() <= 1e-5 * (1.0 + b.abs()), "{}: {a} {b}", decoder.config.model_type);
            }
        }
    }
}
