//! Opening encoders, language models, tokenizers and templates from the paths that users give.

use crate::fs;
use std::path::Path;

use burn::tensor::Device;
use ragtune_kernels::units::in_halves;
use ragtune_model::{CausalLm, Decoder, Encoder};
use ragtune_rag::PromptTemplate;
use ragtune_text::Tokenizer;
use ragtune_text::storage::Directory;

use crate::command::EncoderSource;
use crate::directory::{Folder, unpickled};
use crate::{EngineError, Result, hub, room};

/// The template that needs no file.
pub const CHAT: &str = "chat";

/// Loads an encoder's folder.
pub fn open_encoder(source: &EncoderSource, device: &Device) -> Result<Encoder> {
    let folder = model_folder(&source.folder, "encoder")?;
    room::check(&*folder, &source.folder, false)?;
    Ok(Encoder::load(&*folder, device, source.head)?)
}

/// Loads a language model's folder.
pub fn open_lm(path: &Path, device: &Device) -> Result<CausalLm> {
    if path.to_string_lossy().contains("://") {
        return Err(EngineError::input(format!(
            "{}: a language model behind an address is not supported; give the folder of a model on this machine",
            path.display()
        )));
    }
    let folder = model_folder(path, "language model")?;
    let packs = Decoder::from_dir(&*folder).is_ok_and(|decoder| decoder.stays_packed());
    room::check(&*folder, path, packs)?;
    let lm = CausalLm::load(&*folder, device)?;
    Ok(if in_halves(device) { lm.halved() } else { lm })
}

/// A folder that holds a model, one of its GGUF files, or the address of a model at the Hub that is in the cache; the
/// message for another file is the way to the folder.
pub(crate) fn model_folder(path: &Path, what: &str) -> Result<Box<dyn Directory>> {
    let path = &*hub::resolve(path)?;
    if let (Some(folder), Some(name)) = (path.parent(), gguf_name(path))
        && fs::is_file(path)
    {
        let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
        let folder = Folder::open(folder).map_err(|source| EngineError::io(path, source))?;
        return Ok(Box::new(folder.with_model(name)));
    }
    if fs::is_file(path) {
        return Err(EngineError::input(format!(
            "{}: this is a file; give the folder of the {what}, with its config and tokenizer",
            path.display()
        )));
    }
    Folder::open(path).and_then(unpickled).map_err(|source| EngineError::io(path, source))
}

/// The name of a GGUF file, if the path is one's.
fn gguf_name(path: &Path) -> Option<&str> {
    path.file_name()?.to_str().filter(|name| name.ends_with(".gguf"))
}

/// Reads a `tokenizer.json`, given itself or by the folder that holds it.
pub fn open_tokenizer(path: &Path) -> Result<Tokenizer> {
    let path = &*hub::resolve(path)?;
    let file = if fs::is_dir(path) { path.join("tokenizer.json") } else { path.to_owned() };
    let json = fs::read(&file).map_err(|source| EngineError::io(&file, source))?;
    Ok(Tokenizer::from_bytes(&json, &file.display().to_string())?)
}

/// Reads a prompt template: TOML with its parts, or any other text file, which then words the whole prompt of every
/// question and holds `{passages}` and `{question}`. The default without a file; `chat` is the default put to an instruct
/// model as a message, unless there is a file of that name.
pub fn open_template(path: Option<&Path>) -> Result<PromptTemplate> {
    let Some(path) = path else { return Ok(PromptTemplate::default()) };
    let name = path.display().to_string();
    if path.file_name().is_some_and(|name| name == CHAT) && !fs::is_file(path) {
        return Ok(PromptTemplate::chat());
    }
    let text = fs::read_to_string(path).map_err(|source| EngineError::io(path, source))?;
    if path.extension().is_some_and(|extension| extension == "toml") {
        return Ok(PromptTemplate::from_toml(&text, &name)?);
    }
    let frame = text.trim_end_matches(['\r', '\n']).to_owned();
    let template = PromptTemplate { free_form: frame.clone(), closed_set: frame, ..PromptTemplate::default() };
    template.validate(&name)?;
    Ok(template)
}
