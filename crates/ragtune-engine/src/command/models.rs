//! Commands about models.

use std::path::PathBuf;

use ragtune_model::Numbers;
use serde::{Deserialize, Serialize};

use super::{EncoderSource, TextRole};
use crate::DeviceChoice;

/// Settings of [`Command::WriteSampleModels`](super::Command::WriteSampleModels).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WriteSampleModels {
    /// Folder for the models' folders.
    pub out: PathBuf,
}

/// Settings of [`Command::PullModel`](super::Command::PullModel).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PullModel {
    /// `OWNER/NAME`, with `@REVISION` for another than `main`.
    pub model: String,
    /// The file of weights, where a model has several GGUF files.
    pub file: Option<String>,
    /// Nothing is asked of the network: the model must be in the cache.
    pub offline: bool,
}

/// Settings of [`Command::ExportModel`](super::Command::ExportModel).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExportModel {
    /// The encoder.
    pub encoder: EncoderSource,
    /// For whom.
    pub format: ExportFormat,
    /// Which tower, where questions and passages have one each.
    pub tower: Option<TextRole>,
    /// A new folder.
    pub out: PathBuf,
}

/// Settings of [`Command::ImportModel`](super::Command::ImportModel).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImportModel {
    /// A model of any form that is read: a folder (safetensors or PyTorch's `.bin`), a GGUF file, llama2.c, `hf:OWNER/NAME`.
    pub model: PathBuf,
    /// How its numbers are written; without it as they are, quantised ones as 32-bit floats.
    pub numbers: Option<Numbers>,
    /// A new folder.
    pub out: PathBuf,
}

/// Who is to read an exported encoder.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ExportFormat {
    /// transformers, and what reads its folders.
    HuggingFace,
    /// sentence-transformers, as a `SparseEncoder`.
    SentenceTransformers,
}

/// Settings of [`Command::ListModels`](super::Command::ListModels).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ListModels {
    /// A folder of model folders.
    pub folder: PathBuf,
}

/// A model on disk.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ModelPath {
    /// Its folder.
    pub model: PathBuf,
    /// Computes, for verification.
    pub device: DeviceChoice,
}

/// Settings of [`Command::CheckModel`](super::Command::CheckModel).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CheckModel {
    /// The model: an encoder or a language model.
    pub model: PathBuf,
    /// Another file of the same model, whose scores are put beside.
    pub against: Option<PathBuf>,
    /// Questions that it is asked, each with a passage that answers it and one that does not.
    pub questions: usize,
    /// Computes.
    pub device: DeviceChoice,
}

/// Settings of [`Command::Devices`](super::Command::Devices).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TestDevices {
    /// The whole self-test, in 16 bits too, and what each device reaches: some seconds, on a software adapter a minute.
    #[serde(default)]
    pub measure: bool,
}

/// Settings of [`Command::RemoveModel`](super::Command::RemoveModel).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RemoveModel {
    /// `OWNER/NAME`, of which all revisions are removed.
    pub model: String,
}
