//! What each family calls the tensors that go by BERT's names here.

use super::config::BertConfig;

/// Per layer: BERT's name, DistilBERT's, MPNet's.
const LAYER: [[&str; 3]; 8] = [
    ["attention.self.query", "attention.q_lin", "attention.attn.q"],
    ["attention.self.key", "attention.k_lin", "attention.attn.k"],
    ["attention.self.value", "attention.v_lin", "attention.attn.v"],
    ["attention.output.dense", "attention.out_lin", "attention.attn.o"],
    ["attention.output.LayerNorm", "sa_layer_norm", "attention.LayerNorm"],
    ["intermediate.dense", "ffn.lin1", "intermediate.dense"],
    ["output.dense", "ffn.lin2", "output.dense"],
    ["output.LayerNorm", "output_layer_norm", "output.LayerNorm"],
];

/// Of the language modelling head: BERT's name, DistilBERT's, RoBERTa's and MPNet's, ModernBERT's, `new`'s.
const HEAD: [[&str; 5]; 3] = [
    ["cls.predictions.transform.dense", "vocab_transform", "lm_head.dense", "head.dense", "lm_head.dense"],
    ["cls.predictions.transform.LayerNorm", "vocab_layer_norm", "lm_head.layer_norm", "head.norm", "lm_head.norm"],
    ["cls.predictions", "vocab_projector", "lm_head", "decoder", "lm_head.decoder"],
];

impl BertConfig {
    /// What the names of the body begin with beside a head.
    fn prefix(&self) -> &'static str {
        match self.model_type.as_str() {
            "distilbert" => "distilbert.",
            "roberta" | "xlm-roberta" | "camembert" => "roberta.",
            "mpnet" => "mpnet.",
            "modernbert" => "model.",
            "new" => "new.",
            _ => "bert.",
        }
    }

    /// A name without what it begins with beside a head.
    pub(crate) fn without_prefix<'a>(&self, name: &'a str) -> &'a str {
        name.strip_prefix(self.prefix()).unwrap_or(name)
    }

    /// The name that a weight of the body has in files without a language modelling head.
    pub fn written_name(&self, name: &str) -> String {
        self.file_name(name, false)
    }

    /// A name as the family's files have it; `head`: of those with a language modelling head.
    pub(crate) fn file_name(&self, name: &str, head: bool) -> String {
        let is_body = ["embeddings.", "encoder.", "layers.", "final_norm."].iter().any(|part| name.starts_with(part));
        let prefix = if head && is_body { self.prefix() } else { "" };
        format!("{prefix}{}", self.family_name(name))
    }

    /// A name as the family has it.
    pub(crate) fn family_name(&self, name: &str) -> String {
        let (part, kind) = name.rsplit_once('.').unwrap_or((name, ""));
        let head = match self.model_type.as_str() {
            "distilbert" => 1,
            "roberta" | "xlm-roberta" | "camembert" | "mpnet" => 2,
            "modernbert" => 3,
            "new" => 4,
            _ => 0,
        };
        if let Some(names) = HEAD.iter().find(|names| names[0] == part) {
            return format!("{}.{kind}", names[head]);
        }
        if self.model_type == "modernbert" {
            return match part {
                "embeddings.word_embeddings" => format!("embeddings.tok_embeddings.{kind}"),
                "embeddings.LayerNorm" => format!("embeddings.norm.{kind}"),
                _ => name.to_owned(),
            };
        }
        let column = match self.model_type.as_str() {
            "distilbert" => 1,
            "mpnet" => 2,
            _ => 0,
        };
        let in_layer = part.strip_prefix("encoder.layer.").and_then(|rest| rest.split_once('.'));
        let Some((layer, rest)) = in_layer else { return name.to_owned() };
        let rest = LAYER.iter().find(|names| names[0] == rest).map_or(rest, |names| names[column]);
        let layers = if column == 1 { "transformer.layer" } else { "encoder.layer" };
        format!("{layers}.{layer}.{rest}.{kind}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_of_the_families_files() {
        let of = |family: &str| BertConfig { model_type: family.to_owned(), ..BertConfig::default() };
        let query = "encoder.layer.3.attention.self.query.weight";
        assert_eq!(of("bert").file_name(query, true), "bert.encoder.layer.3.attention.self.query.weight");
        assert_eq!(of("bert").file_name(query, false), query);
        assert_eq!(of("distilbert").file_name(query, true), "distilbert.transformer.layer.3.attention.q_lin.weight");
        assert_eq!(of("mpnet").file_name(query, false), "encoder.layer.3.attention.attn.q.weight");
        assert_eq!(of("roberta").file_name("cls.predictions.bias", true), "lm_head.bias");
        assert_eq!(of("distilbert").file_name("cls.predictions.transform.dense.bias", true), "vocab_transform.bias");
        assert_eq!(of("modernbert").file_name("layers.1.attn.Wqkv.weight", true), "model.layers.1.attn.Wqkv.weight");
        assert_eq!(of("new").file_name("encoder.layer.0.attn_ln.bias", true), "new.encoder.layer.0.attn_ln.bias");
        assert_eq!(of("new").file_name("cls.predictions.bias", true), "lm_head.decoder.bias");
        assert_eq!(of("modernbert").file_name("head.LayerNorm.weight", false), "head.LayerNorm.weight");
        assert_eq!(of("roberta").without_prefix("roberta.embeddings.LayerNorm.bias"), "embeddings.LayerNorm.bias");
    }
}
