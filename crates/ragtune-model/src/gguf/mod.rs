//! GGUF, llama.cpp's file of a language model: its settings, and its weights, which may be quantised.
//!
//! Blocks become 32-bit floats when they are read, tensor by tensor. The tokenizer is that of the folder's
//! `tokenizer.json`, or else the file's own.
//!
//! | module | what it holds |
//! |---|---|
//! | `keys` | a model's settings as the `config.json` that they came from |
//! | `names` | which tensor is which weight |
//! | `vocabulary` | a model's vocabulary as the `tokenizer.json` that it came from |

mod keys;
mod names;
mod vocabulary;

use std::collections::BTreeMap;

use ragtune_kernels::Format;
use ragtune_text::Tokenizer;
use ragtune_text::storage::Directory;

use crate::ModelError;
use crate::files::FileTensor;
use names::{family_name, has_pairs};
pub(crate) use vocabulary::merges_by_score;

const HINT: &str = "Copy or download the file again";
/// Most bytes that are read as the file's head: keys with a vocabulary of some hundred thousand tokens take a few MB.
const HEAD: u64 = 256 << 20;
/// Most dimensions, keys and tensors that are believed.
const MANY: u64 = 1 << 20;

/// A value of the file's head. A vocabulary is passed over unless it is asked for.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Value {
    /// Any whole number.
    Int(i64),
    /// Any other number.
    Float(f64),
    /// Yes or no.
    Bool(bool),
    /// A text.
    Text(String),
    /// Numbers or flags, one per layer for example.
    List(Vec<Value>),
    /// Tokens, for example.
    Texts(Vec<String>),
    /// Something else, by its number of entries.
    Other(u64),
}

impl Value {
    fn as_f64(&self) -> Option<f64> {
        match self {
            Self::Int(n) => Some(*n as f64),
            Self::Float(x) => Some(*x),
            _ => None,
        }
    }
}

/// A tensor's place in the file.
#[derive(Debug, Clone, PartialEq)]
struct Info {
    name: String,
    /// Rows first.
    shape: Vec<usize>,
    format: Format,
    /// From the beginning of the file.
    start: u64,
    bytes: usize,
}

/// The head of a GGUF file.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Gguf {
    /// Its name in the folder.
    name: String,
    /// Where it is, for messages.
    file: String,
    values: BTreeMap<String, Value>,
    tensors: Vec<Info>,
}

/// What the head of a GGUF file says of its model.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GgufSummary {
    /// The file's name.
    pub name: String,
    /// Its architecture, as llama.cpp names it.
    pub architecture: String,
    /// Numbers in all tensors.
    pub parameters: u64,
    /// Numbers in the largest one.
    pub largest_tensor: u64,
    /// Bytes of the tensors when matrices stay as the file holds them.
    pub packed_bytes: u64,
    /// The same on a GPU, which takes some formats alone.
    pub gpu_bytes: u64,
    /// Formats of the tensors, as GGML names them; what holds most numbers first.
    pub formats: Vec<String>,
    /// The licence, if the file names one.
    pub licence: Option<String>,
}

/// What the head of a folder's GGUF file says, if its model is one, without reading any weight.
pub fn gguf_summary(dir: &dyn Directory) -> Result<Option<GgufSummary>, ModelError> {
    Ok(of(dir)?.map(|gguf| gguf.summary()))
}

/// The tokenizer that a folder's GGUF file holds, if its model is one.
///
/// # Errors
/// Besides what every file can be: a vocabulary of a kind that is not known here.
pub fn gguf_tokenizer(dir: &dyn Directory) -> Result<Option<Tokenizer>, ModelError> {
    let Some(gguf) = of(dir)? else { return Ok(None) };
    Ok(Some(Tokenizer::from_bytes(&gguf.tokenizer(dir)?, gguf.file())?))
}

/// The head of a folder's GGUF file, if its model is one: safetensors are taken first.
pub(crate) fn of(dir: &dyn Directory) -> Result<Option<Gguf>, ModelError> {
    if dir.exists("model.safetensors") || dir.exists("model.safetensors.index.json") {
        return Ok(None);
    }
    find(dir)?.map(|name| Gguf::open(dir, &name)).transpose()
}

/// The GGUF file of a folder, if it has exactly one.
fn find(dir: &dyn Directory) -> Result<Option<String>, ModelError> {
    let names = dir.list("").map_err(|source| ModelError::Io { file: dir.describe(""), source })?;
    let mut files = names.into_iter().filter(|name| name.ends_with(".gguf") && !name.contains('/'));
    let first = files.next();
    match files.next() {
        Some(second) => Err(ModelError::damaged(
            &dir.describe(""),
            format!("it holds several GGUF files ({} and {second})", first.unwrap_or_default()),
            "Keep one of them in the folder; a model in parts must be joined first (llama.cpp's gguf-split --merge)",
        )),
        None => Ok(first),
    }
}

impl Gguf {
    /// Reads a file's head.
    pub(crate) fn open(dir: &dyn Directory, name: &str) -> Result<Self, ModelError> {
        let (values, tensors) = Self::head(dir, name, false)?;
        Ok(Self { name: name.to_owned(), file: dir.describe(name), values, tensors })
    }

    /// Keys, with the vocabulary if it is wanted, and tensors.
    fn head(
        dir: &dyn Directory,
        name: &str,
        vocabulary: bool,
    ) -> Result<(BTreeMap<String, Value>, Vec<Info>), ModelError> {
        let file = dir.describe(name);
        let io = |source| ModelError::Io { file: file.clone(), source };
        let size = dir.size(name).map_err(io)?;
        // As much of the beginning as holds the head.
        let mut length = size.min(1 << 20);
        loop {
            let bytes = dir.read_part(name, 0, length as usize).map_err(io)?;
            match (Head { bytes: &bytes, at: 0, vocabulary }).read(size) {
                Ok(read) => return Ok(read),
                Err(Broken::Short) if length < size.min(HEAD) => length = (length * 4).min(size.min(HEAD)),
                Err(Broken::Short) => return Err(ModelError::damaged(&file, "it ends within its head", HINT)),
                Err(Broken::Wrong { reason, hint }) => return Err(ModelError::damaged(&file, reason, hint)),
            }
        }
    }

    /// Goes through the weights, each under the name and in the order of rows that Hugging Face's files of the family have;
    /// `head` is the width of a head.
    pub(crate) fn read(
        &self,
        dir: &dyn Directory,
        head: usize,
        take: &mut dyn FnMut(&FileTensor<'_>) -> Result<(), ModelError>,
    ) -> Result<(), ModelError> {
        for info in &self.tensors {
            let Some(name) = family_name(self.architecture(), &info.name) else { continue };
            if info.shape.len() > 2 {
                let reason = format!("tensor `{}` has rank {}", info.name, info.shape.len());
                return Err(ModelError::damaged(&self.file, reason, "Only vectors and matrices are read"));
            }
            let fetch = || {
                dir.read_part(&self.name, info.start, info.bytes)
                    .map_err(|source| ModelError::Io { file: self.file.clone(), source })
            };
            let whole_heads = head > 0 && info.shape[0].is_multiple_of(head);
            take(&FileTensor {
                file: self.file.clone(),
                pairs: (has_pairs(self.architecture(), &name) && whole_heads).then_some(head),
                name,
                shape: info.shape.clone(),
                format: Some(info.format),
                fetch: &fetch,
            })?;
        }
        Ok(())
    }

    /// Where it is, for messages.
    pub(crate) fn file(&self) -> &str {
        &self.file
    }

    fn summary(&self) -> GgufSummary {
        let mut formats: BTreeMap<&str, u64> = BTreeMap::new();
        let numbers = |info: &Info| info.shape.iter().product::<usize>() as u64;
        let packed = |info: &Info| if info.shape.len() == 2 { info.bytes as u64 } else { 4 * numbers(info) };
        let on_gpu = |info: &Info| {
            if info.format.in_shaders().is_some() { packed(info) } else { 4 * numbers(info) }
        };
        for info in &self.tensors {
            *formats.entry(info.format.name()).or_default() += numbers(info);
        }
        let mut formats: Vec<(&str, u64)> = formats.into_iter().collect();
        formats.sort_by_key(|(_, n)| std::cmp::Reverse(*n));
        let text = |key: &str| match self.values.get(key) {
            Some(Value::Text(text)) => Some(text.clone()),
            _ => None,
        };
        GgufSummary {
            name: self.name.clone(),
            architecture: self.architecture().to_owned(),
            parameters: self.tensors.iter().map(numbers).sum(),
            largest_tensor: self.tensors.iter().map(numbers).max().unwrap_or(0),
            packed_bytes: self.tensors.iter().map(packed).sum(),
            gpu_bytes: self.tensors.iter().map(on_gpu).sum(),
            formats: formats.into_iter().map(|(name, _)| name.to_owned()).collect(),
            licence: text("general.license"),
        }
    }
}

/// Why a head cannot be read.
enum Broken {
    /// More bytes are needed.
    Short,
    /// It is none.
    Wrong { reason: String, hint: &'static str },
}

fn wrong(reason: impl Into<String>) -> Broken {
    Broken::Wrong { reason: reason.into(), hint: HINT }
}

/// Reads little-endian values one after another.
struct Head<'a> {
    bytes: &'a [u8],
    at: usize,
    /// Whether long lists and texts are kept.
    vocabulary: bool,
}

impl<'a> Head<'a> {
    fn take(&mut self, n: u64) -> Result<&'a [u8], Broken> {
        let n = usize::try_from(n).map_err(|_| wrong("a text in it has an absurd length"))?;
        let end = self.at.checked_add(n).ok_or_else(|| wrong("a text in it has an absurd length"))?;
        let part = self.bytes.get(self.at..end).ok_or(Broken::Short)?;
        self.at = end;
        Ok(part)
    }

    fn number<const N: usize>(&mut self) -> Result<[u8; N], Broken> {
        let part = self.take(N as u64)?;
        part.try_into().map_err(|_| Broken::Short)
    }

    fn u32(&mut self) -> Result<u32, Broken> {
        Ok(u32::from_le_bytes(self.number()?))
    }

    fn u64(&mut self) -> Result<u64, Broken> {
        Ok(u64::from_le_bytes(self.number()?))
    }

    fn count(&mut self, what: &str) -> Result<u64, Broken> {
        match self.u64()? {
            n if n <= MANY => Ok(n),
            n => Err(wrong(format!("it claims {n} {what}"))),
        }
    }

    fn text(&mut self) -> Result<String, Broken> {
        let length = self.u64()?;
        if length > HEAD {
            return Err(wrong(format!("a text in it claims {length} bytes")));
        }
        Ok(String::from_utf8_lossy(self.take(length)?).into_owned())
    }

    fn value(&mut self, kind: u32, depth: u8) -> Result<Value, Broken> {
        Ok(match kind {
            0 => Value::Int(i64::from(self.number::<1>()?[0])),
            1 => Value::Int(i64::from(self.number::<1>()?[0] as i8)),
            2 => Value::Int(i64::from(u16::from_le_bytes(self.number()?))),
            3 => Value::Int(i64::from(i16::from_le_bytes(self.number()?))),
            4 => Value::Int(i64::from(self.u32()?)),
            5 => Value::Int(i64::from(i32::from_le_bytes(self.number()?))),
            6 => Value::Float(f64::from(f32::from_le_bytes(self.number()?))),
            7 => Value::Bool(self.number::<1>()?[0] != 0),
            8 => Value::Text(self.text()?),
            9 if depth == 0 => {
                let (kind, count) = (self.u32()?, self.u64()?);
                let (mut list, mut texts) = (Vec::new(), Vec::new());
                for _ in 0..count {
                    match self.value(kind, 1)? {
                        Value::Text(text) if self.vocabulary => texts.push(text),
                        Value::Text(_) => {}
                        // Long ones are vocabularies.
                        value if list.len() < 4096 || self.vocabulary => list.push(value),
                        _ => {}
                    }
                }
                match (list.len() as u64 == count, texts.is_empty()) {
                    (_, false) => Value::Texts(texts),
                    (true, _) => Value::List(list),
                    _ => Value::Other(count),
                }
            }
            10 => Value::Int(i64::try_from(self.u64()?).unwrap_or(i64::MAX)),
            11 => Value::Int(i64::from_le_bytes(self.number()?)),
            12 => Value::Float(f64::from_le_bytes(self.number()?)),
            other => return Err(wrong(format!("a key in it has a value of the unknown type {other}"))),
        })
    }

    /// Keys and tensors of a file of so many bytes.
    fn read(&mut self, size: u64) -> Result<(BTreeMap<String, Value>, Vec<Info>), Broken> {
        if self.take(4)? != b"GGUF" {
            return Err(wrong("it does not begin with `GGUF`"));
        }
        let version = self.u32()?;
        if !(2..=3).contains(&version) {
            let hint = "Convert the model again with a current llama.cpp; versions 2 and 3 are read";
            return Err(Broken::Wrong { reason: format!("it is of version {version}"), hint });
        }
        let (tensors, keys) = (self.count("tensors")?, self.count("keys")?);
        let mut values = BTreeMap::new();
        for _ in 0..keys {
            let key = self.text()?;
            let kind = self.u32()?;
            let value = self.value(kind, 0)?;
            values.insert(key, value);
        }
        let mut infos = Vec::new();
        for _ in 0..tensors {
            infos.push(self.info()?);
        }
        let alignment = values.get("general.alignment").and_then(Value::as_f64).unwrap_or(32.0) as u64;
        let first = (self.at as u64).next_multiple_of(alignment.clamp(1, 1 << 20));
        for info in &mut infos {
            let end = first.checked_add(info.start).and_then(|start| start.checked_add(info.bytes as u64));
            if end.is_none_or(|end| end > size) {
                return Err(wrong(format!("tensor `{}` lies beyond the end of the file, {size} bytes", info.name)));
            }
            info.start += first;
        }
        Ok((values, infos))
    }

    fn info(&mut self) -> Result<Info, Broken> {
        let name = self.text()?;
        let rank = self.u32()?;
        if !(1..=4).contains(&rank) {
            return Err(wrong(format!("tensor `{name}` has rank {rank}")));
        }
        let mut shape = Vec::new();
        for _ in 0..rank {
            shape.push(self.u64()? as usize);
        }
        // The file has what changes fastest first.
        shape.reverse();
        let number = self.u32()?;
        let start = self.u64()?;
        let format = Format::of(number).ok_or_else(|| Broken::Wrong {
            reason: format!("tensor `{name}` is stored in GGML's format {number}"),
            hint: "F32, F16, BF16, Q8_0, Q5_0, Q5_1, Q4_0, Q4_1, Q4_K, Q5_K and Q6_K are read: take another file of the model",
        })?;
        let numbers = shape.iter().try_fold(1usize, |product, &n| product.checked_mul(n));
        let bytes = numbers.and_then(|n| format.bytes(n));
        let bytes =
            bytes.ok_or_else(|| wrong(format!("tensor `{name}` of shape {shape:?} is no whole number of blocks")))?;
        Ok(Info { name, shape, format, start, bytes })
    }
}
