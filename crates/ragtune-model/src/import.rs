//! Models of other forms as the folders that transformers and its kin read.

use std::io::Write;

use burn::tensor::Device;
use half::{bf16, f16};
use ragtune_kernels::Format;
use ragtune_text::Tokenizer;
use ragtune_text::storage::Directory;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::files::{FileTensor, read_tensors};
use crate::gguf::{self, Gguf};
use crate::{CausalLm, Decoder, ModelError, llama2c};

const CONFIG: &str = "config.json";
const TOKENIZER: &str = "tokenizer.json";

/// How numbers are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Numbers {
    /// 32-bit floats.
    F32,
    /// 16-bit floats.
    F16,
    /// 16 bits with the range of 32.
    Bf16,
}

impl Numbers {
    /// What holds a file's numbers without any loss.
    fn holding(format: Format) -> Self {
        match format {
            Format::F16 => Self::F16,
            Format::Bf16 => Self::Bf16,
            _ => Self::F32,
        }
    }

    fn bytes(self) -> u64 {
        if self == Self::F32 { 4 } else { 2 }
    }

    /// As safetensors name it.
    fn name(self) -> &'static str {
        match self {
            Self::F32 => "F32",
            Self::F16 => "F16",
            Self::Bf16 => "BF16",
        }
    }

    /// As transformers names it.
    pub fn torch_name(self) -> &'static str {
        match self {
            Self::F32 => "float32",
            Self::F16 => "float16",
            Self::Bf16 => "bfloat16",
        }
    }

    fn write(self, values: &[f32]) -> Vec<u8> {
        match self {
            Self::F32 => values.iter().flat_map(|x| x.to_le_bytes()).collect(),
            Self::F16 => values.iter().flat_map(|x| f16::from_f32(*x).to_le_bytes()).collect(),
            Self::Bf16 => values.iter().flat_map(|x| bf16::from_f32(*x).to_le_bytes()).collect(),
        }
    }
}

enum Source {
    /// Tensors as safetensors name and hold them.
    Tensors,
    Gguf {
        gguf: Box<Gguf>,
        /// Width of a head.
        head: usize,
        /// What its gains have and the family's files do not.
        gain: f32,
    },
    Llama2c(Box<CausalLm>),
}

/// A model that can be written as Hugging Face lays models out.
pub struct Import(Source);

impl Import {
    /// A model's folder: safetensors, one GGUF file, or a llama2.c `.bin` with its `tok*.bin`.
    ///
    /// # Errors
    /// Those of reading such a model's settings.
    pub fn of(dir: &dyn Directory) -> Result<Self, ModelError> {
        if let Some(gguf) = gguf::of(dir)? {
            let config = Decoder::from_dir(dir)?.config;
            let gain = if config.model_type.starts_with("gemma") { 1.0 } else { 0.0 };
            return Ok(Self(Source::Gguf { gguf: Box::new(gguf), head: config.head_dim, gain }));
        }
        if !dir.exists(CONFIG)
            && let Some(model) = llama2c::load(dir, &Device::flex())?
        {
            return Ok(Self(Source::Llama2c(Box::new(model))));
        }
        Ok(Self(Source::Tensors))
    }

    /// The model's `config.json`; none where the source has one.
    ///
    /// # Errors
    /// Those of reading the model's settings.
    pub fn config(&self, dir: &dyn Directory) -> Result<Option<Value>, ModelError> {
        let mut config = match &self.0 {
            Source::Tensors => return Ok(None),
            Source::Gguf { gguf, .. } => {
                let mut config = gguf.config(dir)?;
                // Defaults of some families lie beyond small vocabularies.
                config["pad_token_id"] = Value::Null;
                if let Some(id) = gguf.token_id("bos") {
                    config["bos_token_id"] = id.into();
                }
                config
            }
            Source::Llama2c(model) => {
                let c = &model.decoder.config;
                json!({
                    "model_type": "llama", "vocab_size": c.vocab_size, "hidden_size": c.hidden_size,
                    "intermediate_size": c.intermediate_size, "num_hidden_layers": c.num_hidden_layers,
                    "num_attention_heads": c.num_attention_heads, "num_key_value_heads": c.num_key_value_heads,
                    "head_dim": c.head_dim, "hidden_act": "silu", "rms_norm_eps": c.norm.eps, "rope_theta": llama2c::THETA,
                    "max_position_embeddings": c.max_position_embeddings, "tie_word_embeddings": c.tie_word_embeddings,
                    "bos_token_id": 1, "eos_token_id": model.eos,
                })
            }
        };
        // transformers takes three fields for this family, and computes the fourth.
        if config["model_type"] == "phi3"
            && let Some(scaling) = config.get_mut("rope_scaling").and_then(Value::as_object_mut)
            && let Some(kind) = scaling.remove("rope_type")
        {
            scaling.remove("attention_factor");
            scaling.insert("type".to_owned(), kind);
        }
        config["architectures"] = json!([class_of(config["model_type"].as_str().unwrap_or_default())]);
        config["torch_dtype"] = Numbers::F32.torch_name().into();
        Ok(Some(config))
    }

    /// The small files that the source does not have as they are wanted: its config, and its tokenizer where none lies
    /// beside it.
    ///
    /// # Errors
    /// Those of reading the model's settings and its vocabulary.
    pub fn files(&self, dir: &dyn Directory) -> Result<Vec<(String, Vec<u8>)>, ModelError> {
        let Some(config) = self.config(dir)? else { return Ok(Vec::new()) };
        let mut files = vec![json_file(CONFIG, &config)];
        if dir.exists(TOKENIZER) {
            return Ok(files);
        }
        let mut about = json!({
            "tokenizer_class": "PreTrainedTokenizerFast", "model_max_length": config["max_position_embeddings"],
        });
        match &self.0 {
            Source::Tensors => {}
            Source::Gguf { gguf, .. } => {
                let json = gguf.tokenizer(dir)?;
                let tokenizer = Tokenizer::from_bytes(&json, gguf.file())?;
                for end in ["bos", "eos"] {
                    if let Some(token) = gguf.token_id(end).and_then(|id| tokenizer.token(id)) {
                        about[format!("{end}_token")] = token.into();
                    }
                }
                if let Some(template) = gguf.chat_template() {
                    about["chat_template"] = template.into();
                }
                files.push((TOKENIZER.to_owned(), json));
            }
            Source::Llama2c(model) => {
                for (name, token) in [("bos_token", "<s>"), ("eos_token", "</s>"), ("unk_token", "<unk>")] {
                    about[name] = token.into();
                }
                files.push((TOKENIZER.to_owned(), model.tokenizer.json().to_vec()));
            }
        }
        files.push(json_file("tokenizer_config.json", &about));
        Ok(files)
    }

    /// Writes the weights as one safetensors file, tensor by tensor, under the names and in the layouts of the family's
    /// own files: in these numbers, or in those that hold the source's without loss. `each` hears how many tensors of how
    /// many are written, and may stop it; then the answer is false.
    ///
    /// # Errors
    /// Those of reading the model, and of writing.
    pub fn write_weights(
        &self,
        dir: &dyn Directory,
        numbers: Option<Numbers>,
        to: &mut dyn Write,
        each: &mut dyn FnMut(u64, u64) -> bool,
    ) -> Result<bool, ModelError> {
        let mut header = Map::new();
        header.insert("__metadata__".to_owned(), json!({"format": "pt"}));
        let (mut end, mut count) = (0u64, 0u64);
        self.tensors(dir, &mut |tensor| {
            let Some(format) = tensor.format else { return Ok(()) };
            let numbers = numbers.unwrap_or(Numbers::holding(format));
            let start = end;
            end += numbers.bytes() * tensor.shape.iter().product::<usize>() as u64;
            let place = json!({"dtype": numbers.name(), "shape": tensor.shape, "data_offsets": [start, end]});
            header.insert(tensor.name.clone(), place);
            count += 1;
            Ok(())
        })?;
        let mut header = Value::Object(header).to_string().into_bytes();
        header.resize(header.len().next_multiple_of(8), b' ');
        let file = "model.safetensors";
        let mut put =
            |bytes: &[u8]| to.write_all(bytes).map_err(|source| ModelError::Io { file: file.to_owned(), source });
        put(&(header.len() as u64).to_le_bytes())?;
        put(&header)?;
        let (mut done, mut goes_on) = (0, true);
        self.tensors(dir, &mut |tensor| {
            let Some(format) = tensor.format.filter(|_| goes_on) else { return Ok(()) };
            let mut values = tensor.values()?;
            if let Source::Gguf { gain, .. } = self.0
                && tensor.name.contains("norm")
            {
                values.iter_mut().for_each(|x| *x -= gain);
            }
            put(&numbers.unwrap_or(Numbers::holding(format)).write(&values))?;
            done += 1;
            goes_on = each(done, count);
            Ok(())
        })?;
        Ok(goes_on)
    }

    fn tensors(
        &self,
        dir: &dyn Directory,
        take: &mut dyn FnMut(&FileTensor<'_>) -> Result<(), ModelError>,
    ) -> Result<(), ModelError> {
        match &self.0 {
            Source::Tensors => read_tensors(dir, take),
            Source::Gguf { gguf, head, .. } => gguf.read(dir, *head, take),
            Source::Llama2c(model) => model.weights.iter().try_for_each(|(name, weight)| {
                let fetch = || Ok(Numbers::F32.write(&weight.values()));
                take(&FileTensor {
                    file: dir.describe(""),
                    name: name.clone(),
                    shape: weight.shape(),
                    format: Some(Format::F32),
                    pairs: None,
                    fetch: &fetch,
                })
            }),
        }
    }
}

/// The class that transformers opens a family as.
fn class_of(model_type: &str) -> String {
    let stem = match model_type {
        "qwen2" => "Qwen2",
        "qwen3" => "Qwen3",
        "phi3" => "Phi3",
        "gemma" => "Gemma",
        "gemma2" => "Gemma2",
        "gemma3_text" => "Gemma3",
        "olmo2" => "Olmo2",
        "mistral" => "Mistral",
        _ => "Llama",
    };
    format!("{stem}ForCausalLM")
}

fn json_file(name: &str, value: &Value) -> (String, Vec<u8>) {
    (name.to_owned(), format!("{value:#}\n").into_bytes())
}
