//! Encoders as other programs read them.

use burn::tensor::Device;
use ragtune_kernels::to_vec;
use ragtune_model::{Encoder, HeadKind, Tower, Weight};
use ragtune_text::storage::Directory;
use serde_json::{Map, Value, json};

use crate::command::{ExportFormat, ExportModel, TextRole};
use crate::event::Report;
use crate::models::open_encoder;
use crate::session::JobContext;
use crate::{EngineError, Result};

/// The Python module that computes a SiDR head in sentence-transformers.
const SIDR_MODULE: &str = include_str!("export/ragtune_sidr.py");
/// The bias that keeps a dimension at 0 behind log(1 + relu).
const NEVER: f32 = -1e9;
/// Dimensions that are kept of a SiDR vector, beside the text's own tokens (method, section 2).
const KEPT: usize = 768;
const BIAS: &str = "cls.predictions.bias";

/// `models export`
pub(super) fn export(export: &ExportModel, context: &mut JobContext<'_>) -> Result<()> {
    let encoder = open_encoder(&export.encoder, &Device::flex())?;
    let tower = match (&encoder.passage, export.tower) {
        (Some(_), None) => {
            return Err(EngineError::input(format!(
                "{}: it has two towers, and other programs read one; export each with --tower query and --tower passage",
                export.encoder.folder.display()
            )));
        }
        (Some(passage), Some(TextRole::Passage)) => passage,
        _ => &encoder.question,
    };
    if export.format == ExportFormat::SentenceTransformers && tower.head == HeadKind::Dense {
        return Err(EngineError::input(
            "a dense head is no lexical one; the folder that it came from is what sentence-transformers reads",
        ));
    }
    context.check()?;
    let fail = |source| EngineError::io(&export.out, source);
    let out = super::new_model_folder(&export.out)?;
    let mut files = vec![
        ("config.json".to_owned(), pretty(&config(&encoder, tower)?)?),
        ("tokenizer.json".to_owned(), encoder.tokenizer.json().to_vec()),
        ("tokenizer_config.json".to_owned(), pretty(&tokenizer_config(&encoder))?),
        ("ragtune.json".to_owned(), pretty(&meta(&encoder))?),
    ];
    if export.format == ExportFormat::SentenceTransformers {
        files.extend(sentence_transformers(&encoder, tower)?);
    }
    // The weights come last: a folder without them is no model.
    files.push(("model.safetensors".to_owned(), weights(&encoder, tower)?));
    context.begin("exporting", "files", Some(files.len() as u64));
    for (at, (name, bytes)) in files.iter().enumerate() {
        context.check()?;
        out.write(name, bytes).map_err(fail)?;
        context.advance(at as u64 + 1);
    }
    let report = super::models::describe(&export.out)?;
    context.report(Report::Model(report));
    Ok(())
}

fn pretty(value: &Value) -> Result<Vec<u8>> {
    serde_json::to_vec_pretty(value).map_err(|error| EngineError::Failed(error.to_string()))
}

/// Weights under the family's names. What is no lexical dimension can never be above 0 in other programs either.
fn weights(encoder: &Encoder, tower: &Tower) -> Result<Vec<u8>> {
    let mut tower = tower.clone();
    if tower.head == HeadKind::Splade {
        let mut bias = to_vec(tower.weights.vector(BIAS));
        for (id, value) in bias.iter_mut().enumerate() {
            if encoder.vocab.dim(id as u32).is_none() {
                *value = NEVER;
            }
        }
        let shape = [bias.len()];
        tower.weights.insert(BIAS, Weight::from_vec(bias, &shape, &Device::flex()));
    }
    Ok(tower.written()?)
}

/// The model's own config, with the class that other programs open it as.
fn config(encoder: &Encoder, tower: &Tower) -> Result<Value> {
    let mut config: Value = serde_json::from_slice(encoder.config_json())
        .map_err(|error| EngineError::Failed(format!("config.json: {error}")))?;
    let stem = match tower.bert.config.model_type.as_str() {
        "distilbert" => "DistilBert",
        "roberta" => "Roberta",
        "xlm-roberta" => "XLMRoberta",
        "camembert" => "Camembert",
        "mpnet" => "MPNet",
        "modernbert" => "ModernBert",
        "new" => "New",
        _ => "Bert",
    };
    let kind = if tower.head == HeadKind::Splade { "ForMaskedLM" } else { "Model" };
    config["architectures"] = json!([format!("{stem}{kind}")]);
    Ok(config)
}

/// ragtune's own settings, of one tower.
fn meta(encoder: &Encoder) -> Value {
    let mut meta = encoder.meta.clone();
    meta.towers = 1;
    serde_json::to_value(meta).unwrap_or_default()
}

/// What transformers needs to open a `tokenizer.json`: which tokens are special, under their usual names.
fn tokenizer_config(encoder: &Encoder) -> Value {
    let kinds = [
        ("pad_token", ["[PAD]", "<pad>"]),
        ("cls_token", ["[CLS]", "<s>"]),
        ("sep_token", ["[SEP]", "</s>"]),
        ("unk_token", ["[UNK]", "<unk>"]),
        ("mask_token", ["[MASK]", "<mask>"]),
    ];
    let mut config = Map::new();
    config.insert("tokenizer_class".to_owned(), "PreTrainedTokenizerFast".into());
    config.insert("model_max_length".to_owned(), encoder.meta.passage_tokens.into());
    if !encoder.question.bert.config.has_segments() {
        // A body that takes no segments refuses them.
        config.insert("model_input_names".to_owned(), json!(["input_ids", "attention_mask"]));
    }
    for (kind, names) in kinds {
        if let Some(name) = names.into_iter().find(|name| encoder.tokenizer.id(name).is_some()) {
            config.insert(kind.to_owned(), name.into());
        }
    }
    Value::Object(config)
}

/// The files that make the folder a `SparseEncoder`.
fn sentence_transformers(encoder: &Encoder, tower: &Tower) -> Result<Vec<(String, Vec<u8>)>> {
    let dimension = tower.bert.config.vocab_size;
    let (first, second, pooling, settings) = if tower.head == HeadKind::Splade {
        let settings = json!({
            "pooling_strategy": "max", "activation_function": "relu", "word_embedding_dimension": dimension,
        });
        (
            "sentence_transformers.sparse_encoder.models.MLMTransformer",
            "sentence_transformers.sparse_encoder.models.SpladePooling",
            "1_SpladePooling",
            settings,
        )
    } else {
        let words = tower.bert.config.written_name("embeddings.word_embeddings.weight");
        let settings = json!({
            "words": words, "dimension": dimension, "lexical": encoder.vocab, "kept": KEPT,
            "eps": tower.bert.config.layer_norm_eps,
        });
        ("sentence_transformers.models.Transformer", "ragtune_sidr.SidrPooling", "1_SidrPooling", settings)
    };
    let modules = json!([
        {"idx": 0, "name": "0", "path": "", "type": first},
        {"idx": 1, "name": "1", "path": pooling, "type": second},
    ]);
    let about = json!({
        "model_type": "SparseEncoder", "prompts": {}, "default_prompt_name": null, "similarity_fn_name": "dot",
    });
    let limits = json!({"max_seq_length": encoder.meta.passage_tokens, "do_lower_case": false});
    let mut files = vec![
        ("modules.json".to_owned(), pretty(&modules)?),
        ("config_sentence_transformers.json".to_owned(), pretty(&about)?),
        ("sentence_bert_config.json".to_owned(), pretty(&limits)?),
        (format!("{pooling}/config.json"), pretty(&settings)?),
    ];
    if tower.head != HeadKind::Splade {
        files.push(("ragtune_sidr.py".to_owned(), SIDR_MODULE.as_bytes().to_vec()));
    }
    Ok(files)
}
