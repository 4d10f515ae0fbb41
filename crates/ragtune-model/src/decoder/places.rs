//! Where a family's tensors go: from the names and layouts of its files to those of Llama.

use ragtune_kernels::Packed;

use super::config::DecoderConfig;

/// How a tensor's rows stand in the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Order {
    /// As they are used.
    Rows,
    /// Columns are what rows are elsewhere: GPT-2.
    Transposed,
    /// Queries, keys and values of a head behind each other, head after head: GPT-NeoX.
    ByHead,
}

/// What becomes of a tensor of the file.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Place {
    /// Names of the weights that it holds, with their rows.
    pub(super) parts: Vec<(String, usize)>,
    /// How they stand in it.
    pub(super) order: Order,
    /// Added to every number: Gemma keeps gains without their 1.
    pub(super) add: f32,
}

impl Place {
    /// Whether its rows are the weights' rows, number for number.
    pub(super) fn is_plain(&self) -> bool {
        self.order == Order::Rows && self.add == 0.0
    }
}

/// What a tensor of the file is for.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Use {
    /// It goes somewhere.
    Place(Place),
    /// It can be computed, or is another name of one that is there.
    Needless,
    /// The family has none of that name.
    Unknown,
}

/// Buffers that old files hold, and that are computed here.
const BUFFERS: [&str; 7] = [
    ".rotary_emb.inv_freq",
    ".attn.bias",
    ".attn.masked_bias",
    ".attention.bias",
    ".attention.masked_bias",
    ".rotary_emb.cos_cached",
    ".rotary_emb.sin_cached",
];

impl DecoderConfig {
    /// Whether files of the family hold matrices in an order of their own.
    pub(super) fn has_own_order(&self) -> bool {
        ["gpt2", "gpt_neox"].contains(&self.model_type.as_str())
    }

    /// What a tensor of this name is for.
    pub(super) fn use_of(&self, name: &str) -> Use {
        // Models that also see keep the text's weights one folder deeper.
        let text = name.strip_prefix("language_model.").or_else(|| name.strip_prefix("model.language_model."));
        let name = match text {
            Some(rest) if rest.starts_with("model.") || rest.starts_with("lm_head.") => rest.to_owned(),
            Some(rest) => format!("model.{rest}"),
            None => name.to_owned(),
        };
        if BUFFERS.iter().any(|buffer| name.ends_with(buffer))
            || ["vision_tower.", "multi_modal_projector.", "model.vision_tower.", "model.multi_modal_projector."]
                .iter()
                .any(|part| name.starts_with(part))
        {
            return Use::Needless;
        }
        let place = match self.model_type.as_str() {
            "gpt2" => self.gpt2(&name),
            "gpt_neox" => self.gpt_neox(&name),
            "phi3" => self.phi3(&name),
            _ => Some(self.same(name.clone())),
        };
        let Some(place) = place else { return Use::Unknown };
        if self.tie_word_embeddings && place.parts.iter().any(|(name, _)| name == "lm_head.weight") {
            return Use::Needless;
        }
        Use::Place(place)
    }

    fn same(&self, name: String) -> Place {
        // The norms of Gemma multiply with 1 + w.
        let add = if self.model_type.starts_with("gemma") && name.contains("norm") { 1.0 } else { 0.0 };
        Place { parts: vec![(name, 0)], order: Order::Rows, add }
    }

    fn widths(&self) -> (usize, usize) {
        (self.num_attention_heads * self.head_dim, self.num_key_value_heads * self.head_dim)
    }

    fn phi3(&self, name: &str) -> Option<Place> {
        let Some((layer, rest)) = in_layer(name, "model.layers.") else { return Some(self.same(name.to_owned())) };
        let (queries, keys) = self.widths();
        let parts = match rest {
            "self_attn.qkv_proj.weight" | "self_attn.qkv_proj.bias" => {
                let kind = rest.rsplit('.').next()?;
                let of = |part: &str, rows| (format!("model.layers.{layer}.self_attn.{part}_proj.{kind}"), rows);
                vec![of("q", queries), of("k", keys), of("v", keys)]
            }
            "mlp.gate_up_proj.weight" => {
                let of = |part: &str| (format!("model.layers.{layer}.mlp.{part}_proj.weight"), self.intermediate_size);
                vec![of("gate"), of("up")]
            }
            _ => return Some(self.same(name.to_owned())),
        };
        Some(Place { parts, order: Order::Rows, add: 0.0 })
    }

    fn gpt2(&self, name: &str) -> Option<Place> {
        let name = name.strip_prefix("transformer.").unwrap_or(name);
        let one = |name: String, order| Some(Place { parts: vec![(name, 0)], order, add: 0.0 });
        if let Some(kind) = name.strip_prefix("ln_f.") {
            return one(format!("model.norm.{kind}"), Order::Rows);
        }
        match name {
            "wte.weight" => return one("model.embed_tokens.weight".to_owned(), Order::Rows),
            "wpe.weight" => return one("model.embed_positions.weight".to_owned(), Order::Rows),
            "lm_head.weight" => return one(name.to_owned(), Order::Rows),
            _ => {}
        }
        let (layer, rest) = in_layer(name, "h.")?;
        let (part, kind) = rest.rsplit_once('.')?;
        let to = |part: &str| format!("model.layers.{layer}.{part}.{kind}");
        match part {
            "ln_1" => one(to("input_layernorm"), Order::Rows),
            "ln_2" => one(to("post_attention_layernorm"), Order::Rows),
            "attn.c_attn" => {
                let parts = ["q", "k", "v"].map(|part| (to(&format!("self_attn.{part}_proj")), self.hidden_size));
                Some(Place { parts: parts.to_vec(), order: Order::Transposed, add: 0.0 })
            }
            "attn.c_proj" => one(to("self_attn.o_proj"), Order::Transposed),
            "mlp.c_fc" => one(to("mlp.up_proj"), Order::Transposed),
            "mlp.c_proj" => one(to("mlp.down_proj"), Order::Transposed),
            _ => None,
        }
    }

    fn gpt_neox(&self, name: &str) -> Option<Place> {
        let one = |name: String| Some(Place { parts: vec![(name, 0)], order: Order::Rows, add: 0.0 });
        match name {
            "gpt_neox.embed_in.weight" => return one("model.embed_tokens.weight".to_owned()),
            "embed_out.weight" => return one("lm_head.weight".to_owned()),
            _ => {}
        }
        if let Some(kind) = name.strip_prefix("gpt_neox.final_layer_norm.") {
            return one(format!("model.norm.{kind}"));
        }
        let (layer, rest) = in_layer(name, "gpt_neox.layers.")?;
        let (part, kind) = rest.rsplit_once('.')?;
        let to = |part: &str| format!("model.layers.{layer}.{part}.{kind}");
        match part {
            "input_layernorm" | "post_attention_layernorm" => one(to(part)),
            "attention.query_key_value" => {
                let parts = ["q", "k", "v"].map(|part| (to(&format!("self_attn.{part}_proj")), self.hidden_size));
                Some(Place { parts: parts.to_vec(), order: Order::ByHead, add: 0.0 })
            }
            "attention.dense" => one(to("self_attn.o_proj")),
            "mlp.dense_h_to_4h" => one(to("mlp.up_proj")),
            "mlp.dense_4h_to_h" => one(to("mlp.down_proj")),
            _ => None,
        }
    }
}

/// A layer's number and what is behind it.
fn in_layer<'a>(name: &'a str, prefix: &str) -> Option<(usize, &'a str)> {
    let (layer, rest) = name.strip_prefix(prefix)?.split_once('.')?;
    Some((layer.parse().ok()?, rest))
}

/// The weights that a packed matrix with plain rows holds; none when its rows are not as many as they need.
pub(super) fn take_rows(place: &Place, packed: &Packed) -> Option<Vec<(String, Packed)>> {
    if let [(name, _)] = &place.parts[..] {
        return Some(vec![(name.clone(), packed.clone())]);
    }
    let mut start = 0;
    let mut parts = Vec::new();
    for (name, rows) in &place.parts {
        parts.push((name.clone(), start..start + rows));
        start += rows;
    }
    let [rows, _] = packed.shape();
    (start == rows).then(|| parts.into_iter().map(|(name, rows)| (name, packed.rows(rows))).collect())
}

/// A weight: its name, its values row by row, its shape.
pub(super) type Part = (String, Vec<f32>, Vec<usize>);

/// The weights that a tensor holds, row-major, with their shapes; none when its rows are not as many as they need.
pub(super) fn take_apart(place: &Place, mut values: Vec<f32>, shape: &[usize], head: usize) -> Option<Vec<Part>> {
    if place.add != 0.0 {
        values.iter_mut().for_each(|value| *value += place.add);
    }
    let (mut rows, mut columns) = (shape[0], shape[1..].iter().product::<usize>());
    let is_matrix = shape.len() == 2;
    if place.order == Order::Transposed && is_matrix {
        values = (0..columns)
            .flat_map(|column| (0..rows).map(move |row| row * columns + column))
            .map(|at| values[at])
            .collect();
        (rows, columns) = (columns, rows);
    }
    let shape_of = |rows: usize| if is_matrix { vec![rows, columns] } else { vec![rows] };
    if let [(name, _)] = &place.parts[..] {
        return Some(vec![(name.clone(), values, shape_of(rows))]);
    }
    if place.parts.iter().map(|(_, rows)| rows).sum::<usize>() != rows {
        return None;
    }
    let mut parts = Vec::new();
    let mut start = 0;
    for (at, (name, rows)) in place.parts.iter().enumerate() {
        let part = if place.order == Order::ByHead {
            let step = place.parts.len() * head * columns;
            values
                .chunks_exact(step)
                .flat_map(|one| &one[at * head * columns..(at + 1) * head * columns])
                .copied()
                .collect()
        } else {
            values[start * columns..(start + rows) * columns].to_vec()
        };
        start += rows;
        parts.push((name.clone(), part, shape_of(*rows)));
    }
    Some(parts)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numbers(n: usize) -> Vec<f32> {
        (0..n).map(|i| i as f32).collect()
    }

    #[test]
    fn fused_rows_are_parted_transposed_or_taken_head_by_head() {
        let part = |order, shape: &[usize]| {
            let parts = vec![("q".to_owned(), 2), ("k".to_owned(), 2)];
            let n = shape.iter().product();
            take_apart(&Place { parts, order, add: 0.0 }, numbers(n), shape, 1).unwrap()
        };
        let rows = part(Order::Rows, &[4, 2]);
        assert_eq!(rows[0], ("q".to_owned(), vec![0.0, 1.0, 2.0, 3.0], vec![2, 2]));
        assert_eq!(rows[1].1, [4.0, 5.0, 6.0, 7.0]);
        let transposed = part(Order::Transposed, &[2, 4]);
        assert_eq!(transposed[0], ("q".to_owned(), vec![0.0, 4.0, 1.0, 5.0], vec![2, 2]));
        assert_eq!(transposed[1].1, [2.0, 6.0, 3.0, 7.0]);
        let heads = part(Order::ByHead, &[4, 2]);
        assert_eq!(heads[0].1, [0.0, 1.0, 4.0, 5.0]);
        assert_eq!(heads[1].1, [2.0, 3.0, 6.0, 7.0]);
        assert_eq!(part(Order::ByHead, &[4])[1], ("k".to_owned(), vec![1.0, 3.0], vec![2]));
    }

    #[test]
    fn packed_rows_are_parted_as_they_are() {
        let data = (0..8).flat_map(|i| half::f16::from_f32(i as f32).to_le_bytes()).collect();
        let packed = Packed::new(ragtune_kernels::Format::F16, [4, 2], data).unwrap();
        let place = |rows: [usize; 2]| {
            let parts = vec![("q".to_owned(), rows[0]), ("k".to_owned(), rows[1])];
            take_rows(&Place { parts, order: Order::Rows, add: 0.0 }, &packed)
        };
        let parts = place([3, 1]).unwrap();
        assert_eq!((&*parts[0].0, parts[0].1.values()), ("q", numbers(6)));
        assert_eq!((&*parts[1].0, parts[1].1.values()), ("k", vec![6.0, 7.0]));
        assert!(place([3, 2]).is_none());
    }

    #[test]
    fn other_numbers_of_rows_are_refused() {
        let place = Place { parts: vec![("q".to_owned(), 2), ("k".to_owned(), 1)], order: Order::Rows, add: 0.0 };
        assert_eq!(take_apart(&place, numbers(8), &[4, 2], 1), None);
    }
}
