//! Small corpora and models on disk, and the binary that reads them.
#![allow(dead_code, reason = "every test file uses its own part")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use ragtune_engine::directory::Folder;
use serde_json::{Value, json};

/// Words that the small tokenizer knows, beside its special tokens.
pub(crate) const WORDS: [&str; 20] = [
    "question", "answer", "oil", "price", "rose", "crisis", "of", "the", "why", "tea", "green", "leaf", "cup", "in",
    "1973", "yes", "no", "?", ".", ":",
];

/// A folder for one test, removed at its end.
pub(crate) struct Place(tempfile::TempDir);

/// What a run of the binary left.
pub(crate) struct Ran {
    /// Exit code.
    pub(crate) code: i32,
    /// Standard output.
    pub(crate) out: String,
    /// Standard error.
    pub(crate) err: String,
}

impl Ran {
    fn of(output: Output) -> Self {
        Self {
            code: output.status.code().unwrap_or(-1),
            out: String::from_utf8(output.stdout).unwrap(),
            err: String::from_utf8(output.stderr).unwrap(),
        }
    }

    /// Standard output as one JSON document, of a run that went well.
    pub(crate) fn json(&self) -> Value {
        assert_eq!(self.code, 0, "{}", self.err);
        serde_json::from_str(&self.out).unwrap_or_else(|error| panic!("{error}: {}", self.out))
    }

    /// Standard output as JSON lines, of a run that went well.
    pub(crate) fn lines(&self) -> Vec<Value> {
        assert_eq!(self.code, 0, "{}", self.err);
        self.out.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    /// Asserts that the run was refused as bad input, with these words in its message and nothing on standard output.
    #[track_caller]
    pub(crate) fn refused(&self, parts: &[&str]) {
        assert_eq!((self.code, self.out.as_str()), (2, ""), "{}", self.err);
        for part in parts {
            assert!(self.err.contains(part), "{part:?} is not in: {}", self.err);
        }
        assert!(!self.err.contains("panicked"), "{}", self.err);
    }
}

impl Place {
    pub(crate) fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    pub(crate) fn write(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, content).unwrap();
        path
    }

    /// The binary with these arguments, in this folder, on the CPU.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        self.command_on("cpu", arguments)
    }

    /// The same on another device.
    pub(crate) fn command_on(&self, device: &str, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_ragtune"));
        command.current_dir(self.0.path()).args(arguments).args(["--device", device]);
        command
    }

    pub(crate) fn run(&self, arguments: &[&str]) -> Ran {
        Ran::of(self.command(arguments).output().unwrap())
    }

    pub(crate) fn run_on(&self, device: &str, arguments: &[&str]) -> Ran {
        Ran::of(self.command_on(device, arguments).output().unwrap())
    }

    /// Names of all files below a folder, sorted.
    pub(crate) fn files(&self, folder: &str) -> Vec<String> {
        let mut names = Vec::new();
        walk(&self.path(folder), "", &mut names);
        names.sort();
        names
    }

    /// A sample world of 200 passages and 80 questions, with the encoder and the reader that ship with it.
    pub(crate) fn world() -> Self {
        let place = Self::new();
        let sample = place.run(&["sample", "generate", "--passages", "200", "--questions", "80", "--out", "world"]);
        assert_eq!(sample.code, 0, "{}", sample.err);
        let folder = |name| Folder::create(place.path(name)).unwrap();
        ragtune_sample::models::write_encoder(&folder("encoder")).unwrap();
        ragtune_sample::models::write_reader(&folder("reader")).unwrap();
        place
    }

    /// A corpus of six passages, a tokenizer, an encoder and a language model.
    pub(crate) fn small() -> Self {
        let place = Self::new();
        place.write("corpus.jsonl", corpus());
        place.write("tokenizer.json", tokenizer(&WORDS).to_string());
        bert(&place, "encoder", 1);
        llama(&place, "llm");
        place
    }

    /// The same with an index, with its parametric part.
    pub(crate) fn indexed() -> Self {
        let place = Self::small();
        let build = place.run(&[
            "index",
            "build",
            "--corpus",
            "corpus.jsonl",
            "--encoder",
            "encoder",
            "--parametric",
            "--out",
            "index",
        ]);
        assert_eq!(build.code, 0, "{}", build.err);
        place
    }
}

fn walk(folder: &Path, prefix: &str, names: &mut Vec<String>) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let name = format!("{prefix}{}", entry.file_name().to_string_lossy());
        if entry.path().is_dir() {
            walk(&entry.path(), &format!("{name}/"), names);
        } else {
            names.push(name);
        }
    }
}

pub(crate) fn corpus() -> String {
    let passages = [
        ("oil", "oil crisis", "the price of oil rose in 1973 ."),
        ("tea", "", "green tea leaf in the cup ."),
        ("cup", "cup", "the cup of tea ."),
        ("price", "", "the price of tea rose ."),
        ("leaf", "leaf", "green leaf ."),
        ("why", "why", "why ? the crisis of oil ."),
    ];
    passages.iter().map(|(id, title, text)| format!("{}\n", json!({"_id": id, "title": title, "text": text}))).collect()
}

/// A word-level tokenizer, framed as BERT's.
pub(crate) fn tokenizer(words: &[&str]) -> Value {
    let special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]"];
    let vocab: serde_json::Map<_, _> =
        special.iter().chain(words).enumerate().map(|(id, &token)| (token.to_owned(), json!(id))).collect();
    let added: Vec<_> = special
        .iter()
        .enumerate()
        .map(|(id, token)| {
            json!({"id": id, "content": token, "special": true, "single_word": false, "lstrip": false,
                   "rstrip": false, "normalized": false})
        })
        .collect();
    json!({
        "version": "1.0", "truncation": null, "padding": null, "added_tokens": added,
        "normalizer": {"type": "Lowercase"},
        "pre_tokenizer": {"type": "BertPreTokenizer"},
        "post_processor": {"type": "BertProcessing", "sep": ["[SEP]", 3], "cls": ["[CLS]", 2]},
        "decoder": null,
        "model": {"type": "WordLevel", "unk_token": "[UNK]", "vocab": vocab},
    })
}

/// A safetensors file: length of the header, header, numbers.
pub(crate) fn safetensors(tensors: &[(String, Vec<usize>, Vec<f32>)]) -> Vec<u8> {
    let (mut header, mut data) = (serde_json::Map::new(), Vec::new());
    for (name, shape, values) in tensors {
        let start = data.len();
        data.extend(values.iter().flat_map(|value| value.to_le_bytes()));
        header.insert(name.clone(), json!({"dtype": "F32", "shape": shape, "data_offsets": [start, data.len()]}));
    }
    let mut header = Value::Object(header).to_string();
    while !header.len().is_multiple_of(8) {
        header.push(' ');
    }
    let mut file = (header.len() as u64).to_le_bytes().to_vec();
    file.extend(header.into_bytes());
    file.extend(data);
    file
}

/// Numbers without pattern, of about unit size.
fn numbers(n: usize, state: &mut u64) -> Vec<f32> {
    let next = || {
        *state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        ((*state >> 40) as f32 / (1u64 << 24) as f32 - 0.5) * 2.0
    };
    std::iter::repeat_with(next).take(n).collect()
}

fn weights(shapes: Vec<(String, Vec<usize>)>, seed: u64) -> Vec<(String, Vec<usize>, Vec<f32>)> {
    let mut state = seed;
    let fill = |(name, shape): (String, Vec<usize>)| {
        let n = shape.iter().product();
        let norm = name.contains("norm") || name.contains("LayerNorm");
        let values =
            if norm { vec![if name.ends_with("bias") { 0.0 } else { 1.0 }; n] } else { numbers(n, &mut state) };
        (name, shape, values)
    };
    shapes.into_iter().map(fill).collect()
}

/// Tensors of a BERT of width 8 with one layer.
pub(crate) fn bert_tensors(seed: u64) -> Vec<(String, Vec<usize>, Vec<f32>)> {
    let (h, wide, vocab) = (8, 16, WORDS.len() + 4);
    let mut shapes = vec![
        ("embeddings.word_embeddings.weight".to_owned(), vec![vocab, h]),
        ("embeddings.position_embeddings.weight".to_owned(), vec![64, h]),
        ("embeddings.token_type_embeddings.weight".to_owned(), vec![2, h]),
        ("embeddings.LayerNorm.weight".to_owned(), vec![h]),
        ("embeddings.LayerNorm.bias".to_owned(), vec![h]),
    ];
    let mut linear = |name: &str, out, input| {
        shapes.push((format!("encoder.layer.0.{name}.weight"), vec![out, input]));
        shapes.push((format!("encoder.layer.0.{name}.bias"), vec![out]));
    };
    for name in ["attention.self.query", "attention.self.key", "attention.self.value", "attention.output.dense"] {
        linear(name, h, h);
    }
    linear("intermediate.dense", wide, h);
    linear("output.dense", h, wide);
    for name in ["attention.output.LayerNorm", "output.LayerNorm"] {
        shapes.push((format!("encoder.layer.0.{name}.weight"), vec![h]));
        shapes.push((format!("encoder.layer.0.{name}.bias"), vec![h]));
    }
    weights(shapes, seed)
}

pub(crate) fn bert(place: &Place, folder: &str, seed: u64) {
    let config = json!({
        "model_type": "bert", "vocab_size": WORDS.len() + 4, "hidden_size": 8, "num_hidden_layers": 1,
        "num_attention_heads": 2, "intermediate_size": 16, "max_position_embeddings": 64,
    });
    place.write(&format!("{folder}/config.json"), config.to_string());
    place.write(&format!("{folder}/tokenizer.json"), tokenizer(&WORDS).to_string());
    place.write(&format!("{folder}/model.safetensors"), safetensors(&bert_tensors(seed)));
}

/// Tensors of a Llama of width 8 with one layer.
pub(crate) fn llama_tensors() -> Vec<(String, Vec<usize>, Vec<f32>)> {
    let (h, wide, vocab) = (8, 16, WORDS.len() + 4);
    let mut shapes = vec![
        ("model.embed_tokens.weight".to_owned(), vec![vocab, h]),
        ("model.norm.weight".to_owned(), vec![h]),
        ("lm_head.weight".to_owned(), vec![vocab, h]),
    ];
    for (name, shape) in [
        ("self_attn.q_proj", vec![h, h]),
        ("self_attn.k_proj", vec![h, h]),
        ("self_attn.v_proj", vec![h, h]),
        ("self_attn.o_proj", vec![h, h]),
        ("mlp.gate_proj", vec![wide, h]),
        ("mlp.up_proj", vec![wide, h]),
        ("mlp.down_proj", vec![h, wide]),
        ("input_layernorm", vec![h]),
        ("post_attention_layernorm", vec![h]),
    ] {
        shapes.push((format!("model.layers.0.{name}.weight"), shape));
    }
    weights(shapes, 3)
}

pub(crate) fn llama(place: &Place, folder: &str) {
    let config = json!({
        "model_type": "llama", "vocab_size": WORDS.len() + 4, "hidden_size": 8, "intermediate_size": 16,
        "num_hidden_layers": 1, "num_attention_heads": 2, "num_key_value_heads": 2, "max_position_embeddings": 128,
    });
    place.write(&format!("{folder}/config.json"), config.to_string());
    place.write(&format!("{folder}/tokenizer.json"), tokenizer(&WORDS).to_string());
    place.write(&format!("{folder}/model.safetensors"), safetensors(&llama_tensors()));
}

/// A path of the shared folder beside the workspace, or `None` after saying that it is absent.
pub(crate) fn shared(path: &str) -> Option<String> {
    let file = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../../shared").join(path);
    if file.exists() {
        return Some(file.display().to_string());
    }
    eprintln!("skipped: no ../shared/{path}");
    None
}

/// Inner product of two vectors as `encode` writes them.
pub(crate) fn dot(a: &Value, b: &Value) -> f64 {
    let pairs = |v: &Value| -> Vec<(u64, f64)> {
        let indices = v["indices"].as_array().unwrap().iter().map(|i| i.as_u64().unwrap());
        indices.zip(v["values"].as_array().unwrap().iter().map(|x| x.as_f64().unwrap())).collect()
    };
    let b: std::collections::HashMap<u64, f64> = pairs(b).into_iter().collect();
    pairs(a).iter().filter_map(|(index, value)| Some(value * b.get(index)?)).sum()
}
