//! Which models are there, what they are, whether they work.

use crate::fs;
use std::path::{Path, PathBuf};

use burn::tensor::Device;
use ragtune_model::{BertConfig, ChatTemplate, Decoder, DecoderConfig, Kind, authors_body, gguf_summary, read_json};
use ragtune_rag::{encoder_fingerprint, lm_fingerprint};
use ragtune_text::storage::Directory;
use serde_json::Value;

use crate::command::{EncoderSource, ListModels, ModelPath, PullModel, RemoveModel};
use crate::directory::READS_PICKLES;
use crate::event::{ModelReport, RemovedModel, Report};
use crate::hub::{self, Cache, Hub, ModelId};
use crate::models::{model_folder, open_encoder, open_lm, open_tokenizer};
use crate::session::JobContext;
use crate::{EngineError, Result, room};

/// `models list`
pub(super) fn list(list: &ListModels, context: &mut JobContext<'_>) -> Result<()> {
    let fail = |source| EngineError::io(&list.folder, source);
    let mut folders = Vec::new();
    for entry in fs::read_dir(&list.folder).map_err(fail)? {
        let path = entry.map_err(fail)?.path();
        if fs::is_dir(&path) || path.extension().is_some_and(|kind| kind == "gguf") {
            folders.push(path);
        }
    }
    folders.sort();
    let mut reports = Vec::new();
    for folder in folders {
        context.check()?;
        // What is no model is left out; what is a broken one is for `models verify`.
        reports.extend(describe(&folder).ok());
    }
    context.report(Report::Models(reports));
    Ok(())
}

/// `models info`
pub(super) fn info(model: &ModelPath, context: &mut JobContext<'_>) -> Result<()> {
    let report = describe(&model.model)?;
    context.report(Report::Model(report));
    Ok(())
}

/// `models pull`: brings a model from the Hub into the cache.
pub(super) fn pull(pull: &PullModel, context: &mut JobContext<'_>) -> Result<()> {
    let model = ModelId::parse(&pull.model)?;
    let options = hub::Options { file: pull.file.clone(), offline: pull.offline };
    let pulled = Hub::find().pull(&Cache::find()?, &model, &options, context)?;
    // Of several GGUF files in the cache the one that was asked for.
    let weights = pull.file.as_ref().filter(|name| name.ends_with(".gguf"));
    let path = weights.map_or_else(|| PathBuf::from(model.address()), |name| pulled.folder.join(name));
    context.report(Report::Model(describe(&path)?));
    Ok(())
}

/// `models rm`: removes a model of the Hub from the cache.
pub(super) fn remove(remove: &RemoveModel, context: &mut JobContext<'_>) -> Result<()> {
    let model = ModelId::parse(&remove.model)?;
    let bytes = Cache::find()?.remove(&model)?;
    context.report(Report::Removed(RemovedModel { model: model.address(), bytes }));
    Ok(())
}

/// `models verify`: reads every weight and computes once.
pub(super) fn verify(model: &ModelPath, context: &mut JobContext<'_>) -> Result<()> {
    let mut report = describe(&model.model)?;
    let device = super::device(&model.device, context)?;
    context.check()?;
    match report.kind.as_str() {
        "encoder" => verify_encoder(&model.model, &device, &mut report)?,
        "llm" => verify_lm(&model.model, &device, &mut report)?,
        _ => {
            open_tokenizer(&model.model)?;
        }
    }
    report.verified = true;
    context.report(Report::Model(report));
    Ok(())
}

fn verify_encoder(path: &Path, device: &Device, report: &mut ModelReport) -> Result<()> {
    let encoder = open_encoder(&EncoderSource { folder: path.to_owned(), head: None }, device)?;
    let ids = encoder.question_ids("a test")?;
    if encoder.encode(Kind::Question, &[&ids]).iter().any(|forms| forms.dense.iter().any(|v| !v.is_finite())) {
        return Err(EngineError::input(format!(
            "{}: its vectors are not finite; the weights are damaged",
            path.display()
        )));
    }
    let passage = encoder.passage.as_ref().map_or(0, |tower| tower.weights.parameters());
    report.parameters = Some((encoder.question.weights.parameters() + passage) as u64);
    report.lexical_dims = Some(encoder.vocab.len() as u64);
    report.fingerprint = Some(encoder_fingerprint(&encoder));
    Ok(())
}

fn verify_lm(path: &Path, device: &Device, report: &mut ModelReport) -> Result<()> {
    let lm = open_lm(path, device)?;
    let text = lm.continuation(&lm.prompt("a test")?, " of words")?;
    if lm.score(&[&text]).iter().any(|answer| !answer.log_prob.is_finite()) {
        return Err(EngineError::input(format!(
            "{}: its probabilities are not finite; the weights are damaged",
            path.display()
        )));
    }
    report.parameters = Some(lm.weights.parameters() as u64);
    report.vocabulary = Some(lm.tokenizer.vocab_size() as u64);
    report.context = Some(lm.context() as u64);
    report.fingerprint = Some(lm_fingerprint(&lm));
    Ok(())
}

/// What a folder's config says, without reading the weights.
pub(super) fn describe(given: &Path) -> Result<ModelReport> {
    let path = &hub::resolve(given)?;
    let folder = &*model_folder(path, "model")?;
    let names = folder.list("").map_err(|source| EngineError::io(path, source))?;
    let bytes = names.iter().filter_map(|name| folder.size(name).ok()).sum();
    let has = |end: &str| names.iter().any(|name| name.ends_with(end));
    let mut report = ModelReport {
        folder: given.display().to_string(),
        kind: String::new(),
        architecture: String::new(),
        parameters: None,
        dtype: None,
        memory_bytes: None,
        gpu_memory_bytes: None,
        vocabulary: None,
        context: None,
        head: None,
        lexical_dims: None,
        bytes,
        fingerprint: None,
        licence: None,
        chat: false,
        verified: false,
    };
    if let Some(size) = room::sizes(folder) {
        report.parameters = Some(size.parameters);
        report.dtype = Some(size.dtypes.join(", "));
        // Encoders learn, and do that in floats.
        let packs = Decoder::from_dir(folder).is_ok_and(|decoder| decoder.stays_packed());
        report.memory_bytes = Some(size.memory(packs));
        report.gpu_memory_bytes = Some(size.gpu_memory(packs));
    }
    report.licence = licence(folder);
    report.chat = ChatTemplate::is_in(folder);
    if let Some(gguf) = gguf_summary(folder)? {
        let config = DecoderConfig::from_dir(folder)?;
        (report.kind, report.architecture) = ("llm".to_owned(), format!("{}, GGUF", config.model_type));
        report.vocabulary = Some(config.vocab_size as u64);
        report.context = Some(config.max_position_embeddings as u64);
        report.bytes = folder.size(&gguf.name).unwrap_or(bytes);
        report.licence = gguf.licence.or(report.licence);
    } else if folder.exists("config.json") {
        let mut config: Value = read_json(folder, "config.json")?;
        // SiDR's authors keep both towers in one file, and a body's settings for each.
        if let Some(tower) = authors_body(&mut config) {
            config = tower;
        }
        let number = |field: &str| config.get(field).and_then(Value::as_u64);
        report.architecture = config.get("model_type").and_then(Value::as_str).unwrap_or("unknown").to_owned();
        report.vocabulary = number("vocab_size");
        report.context = number("max_position_embeddings").or(number("n_positions"));
        report.kind = if BertConfig::knows(&report.architecture) { "encoder" } else { "llm" }.to_owned();
        // Two towers lie in folders of their own.
        if !has(".safetensors") && !folder.exists("question/model.safetensors") {
            let pickled = names.iter().any(|name| name.starts_with("pytorch_model"));
            let reason = if pickled && !READS_PICKLES {
                "its weights are PyTorch's, which are not read in a browser; `ragtune models import` on your machine \
                 makes model.safetensors of them"
            } else {
                "it has a config.json but no weights: model.safetensors (or its shards) is missing; copy it there"
            };
            return Err(EngineError::input(format!("{}: {reason}", path.display())));
        }
        if report.kind == "encoder" {
            report.head = Some(head(folder)?);
        }
    } else if has(".bin") && names.iter().any(|name| name.starts_with("tok") && name.ends_with(".bin")) {
        (report.kind, report.architecture) = ("llm".to_owned(), "llama2.c".to_owned());
    } else if folder.exists("tokenizer.json") {
        let tokenizer = open_tokenizer(path)?;
        (report.kind, report.architecture) = ("tokenizer".to_owned(), "tokenizer.json".to_owned());
        report.vocabulary = Some(tokenizer.vocab_size() as u64);
        report.lexical_dims = Some(ragtune_text::LexicalVocab::from_tokenizer(&tokenizer).len() as u64);
        report.fingerprint = Some(tokenizer.fingerprint());
    } else {
        return Err(EngineError::input(format!(
            "{}: no model in this folder. A model has a config.json with model.safetensors and tokenizer.json, or is a llama2.c .bin with its tok*.bin",
            path.display()
        )));
    }
    Ok(report)
}

/// The licence that a model's card states in its head.
fn licence(folder: &dyn Directory) -> Option<String> {
    let card = folder.read("README.md").ok()?;
    let text = std::str::from_utf8(&card).ok()?;
    let head = text.strip_prefix("---")?.split("\n---").next()?;
    let line = head.lines().find_map(|line| line.strip_prefix("license:"))?;
    Some(line.trim().trim_matches(['"', '\'']).to_owned()).filter(|licence| !licence.is_empty())
}

fn head(folder: &dyn Directory) -> Result<String> {
    if !folder.exists("ragtune.json") {
        return Ok("sidr, untrained".to_owned());
    }
    let meta: Value = read_json(folder, "ragtune.json")?;
    let head = meta.get("head").and_then(Value::as_str).unwrap_or("sidr");
    let trained = meta.get("trained").and_then(Value::as_bool).unwrap_or(false);
    Ok(if trained { head.to_owned() } else { format!("{head}, untrained") })
}
