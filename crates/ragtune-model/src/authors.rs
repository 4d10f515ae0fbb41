//! Checkpoints as SiDR's authors publish them: both towers in one file, a body and the norm of the head in each.

use ragtune_text::storage::Directory;
use serde_json::Value;

use crate::tower::{NORM_BIAS, NORM_GAIN};
use crate::{Bert, BertConfig, ModelError, read_json};

/// What the names of each tower's tensors begin with.
pub(crate) const QUESTION: &str = "encoder_q.";
pub(crate) const PASSAGE: &str = "encoder_p.";
const FILE: &str = "config.json";

/// The settings of the question tower's body in the `config.json` of such a checkpoint, taken out of it; none in any other.
pub fn authors_body(config: &mut Value) -> Option<Value> {
    let mut body = config.get_mut("encoder_q").filter(|body| body.is_object())?.take();
    body["model_type"] = "bert".into();
    Some(body)
}

/// What the `config.json` of such a checkpoint says.
pub(crate) struct Authors {
    /// The settings of the question tower's body.
    body: Value,
    /// Whether both towers are one.
    pub(crate) shared: bool,
}

impl Authors {
    /// None for any other folder.
    pub(crate) fn of(dir: &dyn Directory) -> Result<Option<Self>, ModelError> {
        if !dir.exists(FILE) {
            return Ok(None);
        }
        let mut config: Value = read_json(dir, FILE)?;
        let shared = config["shared_encoder"] == true;
        Ok(authors_body(&mut config).map(|body| Self { body, shared }))
    }

    /// The body.
    pub(crate) fn body(&self, dir: &dyn Directory) -> Result<Bert, ModelError> {
        Ok(Bert { config: BertConfig::from_json(self.body.clone(), &dir.describe(FILE))? })
    }
}

/// The name here of a tower's tensor; none for what is no such name.
pub(crate) fn name(theirs: &str) -> Option<String> {
    match theirs {
        "ln.weight" => Some(NORM_GAIN.to_owned()),
        "ln.bias" => Some(NORM_BIAS.to_owned()),
        other => other.strip_prefix("bert_model.").map(str::to_owned),
    }
}

#[cfg(test)]
mod tests {
    use burn::tensor::Device;
    use ragtune_text::storage::{Directory as _, MemoryDirectory};
    use rand::SeedableRng;

    use super::*;
    use crate::{Encoder, Kind, Weights, write_weights};

    /// A small tokenizer with the words of one sentence.
    fn tokenizer() -> Vec<u8> {
        let words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "the", "bridge", "mill", "river"];
        let vocab: serde_json::Map<String, Value> =
            words.iter().enumerate().map(|(id, word)| ((*word).to_owned(), id.into())).collect();
        let special = |id: usize| {
            serde_json::json!({"id": id, "content": words[id], "single_word": false, "lstrip": false, "rstrip": false,
                               "normalized": false, "special": true})
        };
        let json = serde_json::json!({
            "version": "1.0", "truncation": null, "padding": null, "added_tokens": (0..4).map(special).collect::<Vec<_>>(),
            "normalizer": null, "pre_tokenizer": {"type": "Whitespace"},
            "post_processor": {"type": "BertProcessing", "sep": ["[SEP]", 3], "cls": ["[CLS]", 2]}, "decoder": null,
            "model": {"type": "WordLevel", "vocab": vocab, "unk_token": "[UNK]"}
        });
        serde_json::to_vec(&json).unwrap()
    }

    #[test]
    fn towers_in_one_file_are_the_encoder_that_they_were_written_from() {
        let body = serde_json::json!({
            "type": "vdr", "vocab_size": 8, "hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2,
            "intermediate_size": 12, "max_position_embeddings": 32, "type_vocab_size": 2, "shift_vocab_num": 4,
        });
        let config = BertConfig::from_json(
            {
                let mut body = body.clone();
                body["model_type"] = "bert".into();
                body
            },
            "config.json",
        );
        let text = ragtune_text::Tokenizer::from_bytes(&tokenizer(), "tokenizer.json").unwrap();
        let mut rng = rand_pcg::Pcg64Mcg::seed_from_u64(2);
        let made = Encoder::init(config.unwrap(), text, &Device::flex(), &mut rng).unwrap();
        for shared in [true, false] {
            let mut weights = Weights::default();
            for prefix in [QUESTION, PASSAGE].iter().take(if shared { 1 } else { 2 }) {
                for (name, weight) in made.question.weights.iter() {
                    let theirs = match name.as_str() {
                        NORM_GAIN => "ln.weight".to_owned(),
                        NORM_BIAS => "ln.bias".to_owned(),
                        other => format!("bert_model.{other}"),
                    };
                    weights.insert(format!("{prefix}{theirs}"), weight.clone());
                }
            }
            let dir = MemoryDirectory::default();
            let config = serde_json::json!({"encoder_q": body, "encoder_p": body, "shared_encoder": shared});
            dir.write("config.json", config.to_string().as_bytes()).unwrap();
            dir.write("tokenizer.json", &tokenizer()).unwrap();
            dir.write("model.safetensors", &write_weights(&weights).unwrap()).unwrap();
            let read = Encoder::load(&dir, &Device::flex(), None).unwrap();
            assert!(read.meta.trained && read.passage.is_some() != shared);
            let ids = read.question_ids("the mill river").unwrap();
            for kind in [Kind::Question, Kind::Passage] {
                let (a, b) = (read.encode(kind, &[&ids]).remove(0), made.encode(kind, &[&ids]).remove(0));
                assert_eq!(a.dense, b.dense);
            }
            // Saved, it is a folder as all others are.
            let again = MemoryDirectory::default();
            read.save(&again).unwrap();
            assert_eq!(
                Encoder::load(&again, &Device::flex(), None).unwrap().encode(Kind::Question, &[&ids])[0].dense,
                read.encode(Kind::Question, &[&ids])[0].dense
            );
        }
    }
}
