//! What jobs say of models and devices.

use serde::{Deserialize, Serialize};

/// What a model is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ModelReport {
    /// Its folder.
    pub folder: String,
    /// `encoder`, `llm` or `tokenizer`.
    pub kind: String,
    /// `model_type` of its config, or its format.
    pub architecture: String,
    /// Number of parameters, when the weights are safetensors or were read.
    pub parameters: Option<u64>,
    /// Types of the stored numbers, `F32` or `F16`, say.
    #[serde(default)]
    pub dtype: Option<String>,
    /// Bytes of memory that the weights take once they are loaded where the CPU computes: 4 for a parameter, but a large
    /// language model's matrices stay as their file holds them.
    #[serde(default)]
    pub memory_bytes: Option<u64>,
    /// The same where a GPU computes, which has matrices of F16, BF16, Q8_0 and Q4_0 as they are.
    #[serde(default)]
    pub gpu_memory_bytes: Option<u64>,
    /// Tokens of its vocabulary.
    pub vocabulary: Option<u64>,
    /// Longest input in tokens.
    pub context: Option<u64>,
    /// An encoder's head, and whether it was trained.
    pub head: Option<String>,
    /// An encoder's lexical dimensions.
    pub lexical_dims: Option<u64>,
    /// Bytes of all files.
    pub bytes: u64,
    /// Eight hex digits over the weights, when they were read.
    pub fingerprint: Option<String>,
    /// The licence that the model's card states.
    #[serde(default)]
    pub licence: Option<String>,
    /// Whether a language model has a chat template.
    #[serde(default)]
    pub chat: bool,
    /// Whether the weights were read whole and computed with.
    pub verified: bool,
}

/// A model that was removed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RemovedModel {
    /// Its address.
    pub model: String,
    /// Bytes that are free now.
    pub bytes: u64,
}

/// A model's scores when its weights are stored with fewer bits.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CheckReport {
    /// The model.
    pub model: String,
    /// `encoder`, whose scores are products of vectors, or `llm`, whose scores are log-probabilities of the right answer.
    pub kind: String,
    /// Questions that it was asked, each with two passages.
    pub questions: usize,
    /// As it is, then with fewer and fewer bits, then another file.
    pub rows: Vec<CheckRow>,
}

impl CheckReport {
    /// A difference as people read it: of an encoder's products the share of their size, which is the model's own, of
    /// log-probabilities itself.
    pub fn difference(&self, difference: f64) -> String {
        let size = self.rows.first().map_or(1.0, |row| row.mean_score).max(f64::MIN_POSITIVE);
        if self.kind == "encoder" { format!("{:.3} %", 100.0 * difference / size) } else { format!("{difference:.4}") }
    }
}

/// One way of storing the weights.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CheckRow {
    /// The format by GGML's name, or another model's place.
    pub precision: String,
    /// Bytes that the weights take so.
    pub bytes: Option<u64>,
    /// Mean distance of a score from that of the model as it is.
    pub mean_difference: f64,
    /// The largest one.
    pub largest_difference: f64,
    /// How large scores are, without their signs.
    pub mean_score: f64,
    /// Share of the questions whose two passages keep their order.
    pub order_kept: f64,
    /// Share of the questions whose right passage scores higher.
    pub answered: f64,
}

/// A device that can compute.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DeviceReport {
    /// What to write after `--device`.
    pub device: String,
    /// Its name.
    pub name: String,
    /// `cpu`, or the adapter's kind.
    pub kind: String,
    /// Whether the self-test gave the right numbers.
    pub usable: bool,
    /// Whether `--device auto` takes it.
    pub chosen: bool,
    /// What it holds.
    pub limits: Option<DeviceLimits>,
    /// What it reaches; none where that was not measured.
    pub speed: Option<DeviceSpeed>,
    /// What is to be known about it.
    pub note: Option<String>,
}

/// What a device holds, where it tells.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeviceLimits {
    /// Bytes that it may hold at once.
    pub memory_bytes: Option<u64>,
    /// Bytes of its largest buffer.
    pub buffer_bytes: Option<u64>,
    /// Bytes that the threads of a workgroup share.
    pub shared_bytes: Option<u64>,
    /// Threads of a workgroup.
    pub threads: Option<u32>,
    /// Threads that run in step: least and most.
    pub in_step: Option<(u32, u32)>,
    /// Whether it multiplies rightly in 16-bit floats; none where it has none.
    pub f16: Option<bool>,
    /// Whether it has matrix units that kernels can reach.
    pub matrix_units: bool,
}

/// What a device reaches, medians.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DeviceSpeed {
    /// Side of the square matrices whose product was measured.
    pub side: usize,
    /// 10^9 operations a second of that product in 32-bit floats.
    pub gflops: f64,
    /// The same in 16-bit floats, where the device multiplies rightly in them.
    #[serde(default)]
    pub half_gflops: Option<f64>,
    /// 10^9 bytes a second that are read and written.
    pub gigabytes: f64,
}

/// A device that is lent from now on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LentReport {
    /// Its name.
    pub device: String,
    /// `TOKEN@HOST:PORT`, as the other machine names it.
    pub helper: String,
}
