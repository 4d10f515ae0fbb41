//! A tower over rows without padding, on the CPU.

use burn::tensor::{Device, Tensor};
use ragtune_kernels::rows::{Activation, Normed, activate, activate_back};
use ragtune_kernels::{from_vec, to_vec, vocab_max_rows, vocab_max_rows_back};

use super::{HEAD, TRANSFORM, Tower, WORDS};
use crate::bert::rows::{Kept as Body, Names, tensor};
use crate::{HeadKind, Keep, Weight, Weights};

/// What the way back needs.
pub(super) struct Kept {
    body: Body,
    /// Of a head with a transform: what goes in, in front of its activation.
    transform: Option<(Tensor<2>, Vec<f32>)>,
    norm: Normed,
    /// States in front of the vocabulary product, [rows, hidden].
    states: Tensor<2>,
    lengths: Vec<usize>,
    argmax: Vec<u32>,
}

impl Tower {
    /// The largest products of every dimension, [batch, V], and what the way back needs if `keep` says so.
    pub(super) fn rows_pass(&self, texts: &[&[u32]], keep: Keep) -> (Tensor<2>, Option<Kept>) {
        let (h, eps) = (self.bert.config.hidden_size, self.bert.config.layer_norm_eps as f32);
        let (hidden, body) = self.bert.rows(&self.weights, texts, keep);
        let names = self.names();
        let (hidden, transform) = match self.head {
            HeadKind::Splade => {
                let hidden = tensor(hidden, h);
                let mut inner = names.product(&hidden, "dense");
                let activated = activate(Activation::Gelu, &mut inner, &names.vector("dense", "bias"));
                (activated, Some((hidden, inner)))
            }
            _ => (hidden, None),
        };
        let (states, normed) = names.norm(hidden, None, None, "LayerNorm", eps);
        let states = tensor(states, h);
        let lengths: Vec<usize> = texts.iter().map(|text| text.len()).collect();
        let (max, argmax) = vocab_max_rows(&states, &lengths, &self.all_rows());
        let max = from_vec(max, [texts.len(), self.dims()], &Device::flex());
        (max, body.map(|body| Kept { body, transform, norm: normed, states, lengths, argmax }))
    }

    /// Gradients of the weights from that of the products' maxima, [batch, V].
    pub(super) fn rows_gradients(&self, kept: Kept, grad: Tensor<2>) -> Weights {
        let h = self.bert.config.hidden_size;
        let rows = to_vec(self.all_rows());
        let (mut d, d_rows) =
            vocab_max_rows_back(&to_vec(grad), &kept.argmax, &to_vec(kept.states), &kept.lengths, &rows, h);
        // Words are looked up at one end and compared at the other: their gradient has both parts.
        let mut d_words = vec![0.0f32; self.bert.config.vocab_size * h];
        for (row, &id) in d_rows.chunks_exact(h).zip(&self.lexical_ids) {
            d_words[id as usize * h..][..h].copy_from_slice(row);
        }
        let mut out = Weights::default();
        let names = self.names();
        names.norm_back(&mut d, &kept.norm, "LayerNorm", &mut out);
        if let Some((hidden, inner)) = kept.transform {
            activate_back(Activation::Gelu, &mut d, &inner);
            d = names.dense_back(d, &hidden, "dense", &mut out);
        }
        out.accumulate(self.bert.rows_back(&self.weights, kept.body, d, &mut d_words));
        out.insert(WORDS, Weight::Matrix(tensor(d_words, h)));
        out
    }

    /// E_lex, [V, hidden]: the CPU needs no parts.
    fn all_rows(&self) -> Tensor<2> {
        let mut rows = self.rows(&self.weights);
        if rows.len() == 1 { rows.remove(0) } else { Tensor::cat(rows, 0) }
    }

    /// The head's own weights.
    fn names(&self) -> Names<'_> {
        let prefix = if self.head == HeadKind::Splade { TRANSFORM } else { HEAD };
        Names::new(&self.weights, format!("{prefix}."))
    }
}

#[cfg(test)]
mod tests {
    use burn::tensor::Device;
    use rand::{RngExt, SeedableRng};
    use rand_pcg::Pcg64Mcg;

    use super::super::{NORM_BIAS, NORM_GAIN, PassOptions, TowerPass};
    use super::*;
    use crate::{Bert, BertConfig};

    const DIMS: usize = 40;

    /// A small tower with weights large enough that attention looks somewhere.
    fn tower(head: HeadKind, hidden_act: &str) -> Tower {
        tower_of("bert", head, hidden_act)
    }

    fn tower_of(family: &str, head: HeadKind, hidden_act: &str) -> Tower {
        let config = BertConfig {
            model_type: family.to_owned(),
            relative_attention_num_buckets: (family == "mpnet").then_some(32),
            modern: (family == "modernbert").then_some(crate::ModernConfig {
                global_attn_every_n_layers: 2,
                local_attention: 8,
                global_rope_theta: 1000.0,
                local_rope_theta: Some(100.0),
            }),
            rotary: (family == "new").then_some(crate::Rope {
                theta: 100.0,
                width: 8,
                scaling: crate::Scaling::Ntk(2.0),
            }),
            vocab_size: 50,
            hidden_size: 24,
            num_hidden_layers: 2,
            num_attention_heads: 3,
            intermediate_size: 56,
            max_position_embeddings: 64,
            type_vocab_size: 2,
            layer_norm_eps: 1e-12,
            hidden_act: hidden_act.to_owned(),
            ..BertConfig::default()
        };
        let bert = Bert { config };
        let mut rng = Pcg64Mcg::seed_from_u64(5);
        let mut weights = bert.init(&Device::flex(), &mut rng);
        let h = bert.config.hidden_size;
        let mut shapes = bert.shapes();
        shapes.extend([(NORM_GAIN.to_owned(), vec![h]), (NORM_BIAS.to_owned(), vec![h])]);
        if head == HeadKind::Splade {
            let more = [("dense.weight", vec![h, h]), ("dense.bias", vec![h])];
            let norms = [("LayerNorm.weight", vec![h]), ("LayerNorm.bias", vec![h])];
            shapes.extend(more.into_iter().chain(norms).map(|(name, shape)| (format!("{TRANSFORM}.{name}"), shape)));
            shapes.push(("cls.predictions.bias".to_owned(), vec![bert.config.vocab_size]));
        }
        for (name, shape) in shapes {
            let values = (0..shape.iter().product()).map(|_| rng.random_range(-0.3f32..0.3));
            weights.insert(name, Weight::from_vec(values.collect(), &shape, &Device::flex()));
        }
        Tower { bert, head, weights, lexical_ids: (10..10 + DIMS as u32).collect() }
    }

    fn texts() -> Vec<Vec<u32>> {
        let mut rng = Pcg64Mcg::seed_from_u64(6);
        [1usize, 7, 33, 12].map(|n| (0..n).map(|_| rng.random_range(0..50)).collect()).to_vec()
    }

    #[test]
    fn rows_and_tape_give_the_same_vectors_and_gradients() {
        let kinds = [
            ("bert", HeadKind::Sidr, "gelu"),
            ("bert", HeadKind::Sidr, "gelu_new"),
            ("bert", HeadKind::Splade, "relu"),
            ("roberta", HeadKind::Sidr, "gelu"),
            ("distilbert", HeadKind::Splade, "gelu"),
        ];
        for (family, head, act) in kinds {
            let tower = tower_of(family, head, act);
            assert!(tower.bert.has_rows());
            let texts = texts();
            let texts: Vec<&[u32]> = texts.iter().map(Vec::as_slice).collect();
            let (rows, tape) =
                (tower.pass(&texts, Keep::Everything), tower.taped_pass(&texts, Keep::Everything.into()));
            let (a, b) = (to_vec(rows.vectors.clone()), to_vec(tape.vectors.clone()));
            assert!(a.iter().zip(&b).all(|(a, b)| (a - b).abs() <= 1e-4 * (1.0 + b.abs())), "{family} {head:?} {act}");
            let mut rng = Pcg64Mcg::seed_from_u64(7);
            let grad: Vec<f32> = a.iter().map(|_| rng.random_range(-1.0f32..1.0)).collect();
            let grad: Tensor<2> = from_vec(grad, [texts.len(), DIMS], &Device::flex());
            let (rows, tape) = (tower.gradients(rows, grad.clone()), tower.gradients(tape, grad));
            for (name, want) in tape.iter() {
                let (got, want) = (rows.get(name).expect(name).values(), want.values());
                let size = want.iter().map(|v| v.abs()).fold(0.0, f32::max);
                for (a, b) in got.iter().zip(&want) {
                    assert!((a - b).abs() <= 2e-4 * size + 1e-5, "{family} {head:?} {act} {name}: {a} {b}");
                }
            }
            assert_eq!(rows.len(), tape.len());
        }
    }

    /// Largest difference of two gradients relative to the largest entry of each weight's.
    fn apart(got: &Weights, want: &Weights) -> f32 {
        assert_eq!(got.len(), want.len());
        let differences = want.iter().map(|(name, want)| {
            let (got, want) = (got.get(name).expect(name).values(), want.values());
            let size = want.iter().map(|v| v.abs()).fold(1e-3, f32::max);
            got.iter().zip(&want).map(|(a, b)| (a - b).abs() / size).fold(0.0, f32::max)
        });
        differences.fold(0.0, f32::max)
    }

    /// Length of all gradients as one vector, or of their difference to others.
    fn norm(weights: &Weights, beside: Option<&Weights>) -> f32 {
        let of = |(name, weight): (&String, &Weight)| {
            let values = weight.values();
            let others = beside.map_or(vec![0.0; values.len()], |other| other.get(name).expect(name).values());
            values.iter().zip(others).map(|(a, b)| (a - b).powi(2)).sum::<f32>()
        };
        weights.iter().map(of).sum::<f32>().sqrt()
    }

    #[test]
    fn layers_that_are_computed_again_give_the_same_gradients() {
        let kinds = [
            ("bert", HeadKind::Sidr),
            ("distilbert", HeadKind::Splade),
            ("mpnet", HeadKind::Sidr),
            ("modernbert", HeadKind::Sidr),
            ("new", HeadKind::Splade),
        ];
        for (family, head) in kinds {
            let tower = tower_of(family, head, "gelu");
            let texts = texts();
            let texts: Vec<&[u32]> = texts.iter().map(Vec::as_slice).collect();
            let mut rng = Pcg64Mcg::seed_from_u64(9);
            let grad: Vec<f32> = (0..texts.len() * DIMS).map(|_| rng.random_range(-1.0f32..1.0)).collect();
            let grad: Tensor<2> = from_vec(grad, [texts.len(), DIMS], &Device::flex());
            let of = |pass: TowerPass| (to_vec(pass.vectors.clone()), tower.gradients(pass, grad.clone()));
            let (vectors, want) = of(tower.pass(&texts, Keep::Everything));
            let (again, got) = of(tower.pass(&texts, Keep::Inputs));
            // Attention is one step without a tape, and several with one.
            assert!(vectors.iter().zip(again).all(|(a, b)| (a - b).abs() <= 1e-5), "{family}");
            assert!(apart(&got, &want) <= 1e-5, "{family}: {}", apart(&got, &want));
            let (_, got) = of(tower.taped_pass(&texts, Keep::Inputs.into()));
            assert!(apart(&got, &want) <= 2e-4, "{family}, by the tape: {}", apart(&got, &want));
        }
    }

    #[test]
    fn gradients_of_products_in_16_bits_are_near_those_in_32() {
        for family in ["bert", "modernbert"] {
            let tower = tower_of(family, HeadKind::Sidr, "gelu");
            let texts = texts();
            let texts: Vec<&[u32]> = texts.iter().map(Vec::as_slice).collect();
            let mut rng = Pcg64Mcg::seed_from_u64(10);
            let grad: Vec<f32> = (0..texts.len() * DIMS).map(|_| rng.random_range(-1.0f32..1.0)).collect();
            let grad: Tensor<2> = from_vec(grad, [texts.len(), DIMS], &Device::flex());
            let of = |options: PassOptions, size: f32| {
                let pass = tower.taped_pass(&texts, options);
                let vectors = to_vec(pass.vectors.clone());
                (vectors, tower.gradients(pass, grad.clone().mul_scalar(size)).scaled(1.0 / size))
            };
            let (vectors, want) = of(Keep::Everything.into(), 1.0);
            for keep in [Keep::Everything, Keep::Inputs] {
                let half = PassOptions { keep, half: true };
                let (got, gradients) = of(half, 1.0);
                assert_ne!(got, vectors);
                assert!(got.iter().zip(&vectors).all(|(a, b)| (a - b).abs() <= 0.02 * (1.0 + b.abs())), "{family}");
                // Where two positions are nearly equally large, the other one may be the largest now.
                let away = norm(&gradients, Some(&want)) / norm(&want, None);
                assert!(away > 0.0 && away <= 0.15, "{family} {keep:?}: {away}");
                // Without scaling, the first of them would be 0 in 16 bits and the second infinite.
                for size in [2f32.powi(-40), 2f32.powi(30)] {
                    let (_, scaled) = of(half, size);
                    assert_eq!(norm(&scaled, Some(&gradients)), 0.0, "{family} {keep:?} {size}");
                }
            }
        }
    }

    #[test]
    fn an_embedding_in_parts_gives_the_vectors_and_gradients_of_the_whole() {
        for (family, head) in
            [("bert", HeadKind::Sidr), ("distilbert", HeadKind::Splade), ("modernbert", HeadKind::Sidr)]
        {
            let whole = tower_of(family, head, "gelu");
            let mut cut = whole.clone();
            let words = whole.weights.get(WORDS).expect("there");
            // Six rows a part: the lexical rows begin in the middle of one.
            let bytes = 6 * 4 * whole.bert.config.hidden_size as u64;
            cut.weights.insert(WORDS, Weight::within(words.values(), &words.shape(), &Device::flex(), Some(bytes)));
            assert!(matches!(cut.weights.get(WORDS), Some(Weight::Parts(parts)) if parts.len() == 9));
            assert_eq!(cut.weights.get(WORDS).expect("there").shape(), words.shape());
            let texts = texts();
            let texts: Vec<&[u32]> = texts.iter().map(Vec::as_slice).collect();
            let (a, b) =
                (whole.taped_pass(&texts, Keep::Everything.into()), cut.taped_pass(&texts, Keep::Everything.into()));
            assert_eq!(to_vec(a.vectors.clone()), to_vec(b.vectors.clone()));
            let mut rng = Pcg64Mcg::seed_from_u64(7);
            let grad: Vec<f32> = (0..texts.len() * DIMS).map(|_| rng.random_range(-1.0f32..1.0)).collect();
            let grad: Tensor<2> = from_vec(grad, [texts.len(), DIMS], &Device::flex());
            let (a, b) = (whole.gradients(a, grad.clone()), cut.gradients(b, grad));
            assert_eq!(a.len(), b.len());
            for (name, want) in a.iter() {
                let got = b.get(name).expect(name);
                assert_eq!(got.shape(), want.shape(), "{name}");
                for (a, b) in got.values().iter().zip(want.values()) {
                    assert!((a - b).abs() <= 1e-5 * (1.0 + b.abs()), "{family} {name}: {a} {b}");
                }
            }
        }
    }

    #[test]
    fn gradients_of_what_only_has_a_tape_equal_finite_differences() {
        let mpnet = ["encoder.relative_attention_bias.weight", "encoder.layer.0.attention.self.key.weight"];
        let modern = ["layers.0.attn.Wqkv.weight", "layers.1.attn.Wqkv.weight", "layers.1.mlp.Wi.weight"];
        let gte = ["encoder.layer.0.attention.qkv_proj.weight", "encoder.layer.1.mlp.up_gate_proj.weight"];
        for (family, names) in [("mpnet", &mpnet[..]), ("modernbert", &modern[..]), ("new", &gte[..])] {
            let mut tower = tower_of(family, HeadKind::Sidr, "gelu");
            assert!(!tower.bert.has_rows());
            let texts = texts();
            let texts: Vec<&[u32]> = texts.iter().map(Vec::as_slice).collect();
            let mut rng = Pcg64Mcg::seed_from_u64(8);
            let grad: Vec<f32> = (0..texts.len() * DIMS).map(|_| rng.random_range(-1.0f32..1.0)).collect();
            let loss = |tower: &Tower| -> f64 {
                let vectors = to_vec(tower.pass(&texts, Keep::Nothing).vectors);
                vectors.iter().zip(&grad).map(|(v, g)| f64::from(v * g)).sum()
            };
            let pass = tower.pass(&texts, Keep::Everything);
            let gradients = tower.gradients(pass, from_vec(grad.clone(), [texts.len(), DIMS], &Device::flex()));
            for name in names {
                let (weight, found) =
                    (tower.weights.get(name).unwrap().clone(), gradients.get(name).expect(name).values());
                let values = weight.values();
                // Where the slope is large enough to be seen beside the rounding of a loss in 32 bits.
                let mut steepest: Vec<usize> = (0..found.len()).collect();
                steepest.sort_by(|&a, &b| found[b].abs().total_cmp(&found[a].abs()));
                let mut moved = |at: usize, by: f32| {
                    let mut values = values.clone();
                    values[at] += by;
                    tower.weights.insert(*name, Weight::from_vec(values, &weight.shape(), &Device::flex()));
                    loss(&tower)
                };
                for &at in &steepest[..3] {
                    let e = 1e-3f32;
                    let slope = (moved(at, e) - moved(at, -e)) / f64::from(2.0 * e);
                    let got = f64::from(found[at]);
                    assert!((slope - got).abs() <= 0.03 * got.abs() + 0.02, "{family} {name} {at}: {slope} {got}");
                }
                tower.weights.insert(*name, weight);
            }
        }
    }

    #[test]
    fn a_text_has_the_same_vector_alone_and_among_others() {
        let tower = tower(HeadKind::Sidr, "gelu");
        let texts = texts();
        let all = to_vec(tower.pass(&texts.iter().map(Vec::as_slice).collect::<Vec<_>>(), Keep::Nothing).vectors);
        for (text, row) in texts.iter().zip(all.chunks_exact(DIMS)) {
            let alone = to_vec(tower.pass(&[text], Keep::Nothing).vectors);
            assert!(alone.iter().zip(row).all(|(a, b)| (a - b).abs() <= 1e-5 * (1.0 + b.abs())));
        }
    }

    #[test]
    fn a_pass_that_keeps_nothing_has_no_gradients() {
        let tower = tower(HeadKind::Sidr, "gelu");
        let pass = tower.pass(&[&[3, 4, 5]], Keep::Nothing);
        let grad = pass.vectors.ones_like();
        assert!(tower.gradients(pass, grad).is_empty());
    }
}
