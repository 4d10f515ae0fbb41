//! A model's folder whose weights are PyTorch's `pytorch_model.bin`, shown as if they were safetensors.
//!
//! Such files are pickled Python objects. They are never run: the reader knows the few objects that tensors are made of.

use std::collections::{BTreeMap, BTreeSet};
use std::io;

use pytorch_reader::{DType, PytorchReader, Tensor};
use ragtune_text::storage::{Directory, FileBytes, FileWriter};
use serde_json::{Map, Value, json};

use super::Folder;

/// Whether they are read here.
pub(crate) const READS_PICKLES: bool = true;

const ONE: &str = "pytorch_model.bin";
const PARTS: &str = "pytorch_model.bin.index.json";
const SHOWN: &str = "model.safetensors";

/// The folder, its weights shown as safetensors where they are pickled and there are no others.
///
/// # Errors
/// When they cannot be read, or hold what is no tensor.
pub fn unpickled(folder: Folder) -> io::Result<Box<dyn Directory>> {
    let others = [SHOWN, "model.safetensors.index.json"].iter().any(|name| folder.exists(name));
    if others || !(folder.exists(ONE) || folder.exists(PARTS)) {
        return Ok(Box::new(folder));
    }
    Ok(Box::new(Pickled::open(folder)?))
}

struct Pickled {
    folder: Folder,
    /// The beginning of the file that is shown.
    head: Vec<u8>,
    /// Tensors by where they begin in it.
    tensors: BTreeMap<u64, Tensor>,
    size: u64,
}

impl Pickled {
    fn open(folder: Folder) -> io::Result<Self> {
        let mut named = BTreeMap::new();
        for file in files(&folder)? {
            let reader = PytorchReader::new(folder.path().join(&file)).map_err(|error| {
                invalid(format!(
                    "{}: {error}. Download it again, or take the model's safetensors",
                    folder.describe(&file)
                ))
            })?;
            named.extend(reader.into_tensors());
        }
        let (mut header, mut tensors, mut end) = (Map::new(), BTreeMap::new(), 0);
        for (name, tensor) in named {
            let start = end;
            end += tensor.byte_len() as u64;
            let place = json!({"dtype": dtype(tensor.dtype()), "shape": tensor.shape(), "data_offsets": [start, end]});
            header.insert(name, place);
            if start < end {
                tensors.insert(start, tensor);
            }
        }
        let header = Value::Object(header).to_string();
        let head: Vec<u8> = (header.len() as u64).to_le_bytes().into_iter().chain(header.bytes()).collect();
        let first = head.len() as u64;
        let tensors = tensors.into_iter().map(|(start, tensor)| (first + start, tensor)).collect();
        Ok(Self { folder, head, tensors, size: first + end })
    }

    /// A part of the header, or of a single tensor.
    fn part(&self, start: u64, length: usize) -> Option<io::Result<Vec<u8>>> {
        let end = start.checked_add(length as u64).filter(|end| *end <= self.size)?;
        if length == 0 {
            return Some(Ok(Vec::new()));
        }
        if end <= self.head.len() as u64 {
            return Some(Ok(self.head[start as usize..end as usize].to_vec()));
        }
        let (first, tensor) = self.tensors.range(..=start).next_back()?;
        let from = (start - first) as usize;
        let inside = from + length <= tensor.byte_len();
        inside.then(|| {
            tensor.read().map(|bytes| {
                if from == 0 && bytes.len() == length { bytes } else { bytes[from..from + length].to_vec() }
            })
        })
    }
}

/// The file of weights, or its parts.
fn files(folder: &Folder) -> io::Result<BTreeSet<String>> {
    if folder.exists(ONE) {
        return Ok(BTreeSet::from([ONE.to_owned()]));
    }
    let bad =
        |reason: String| invalid(format!("{}: {reason}. Copy or download the file again", folder.describe(PARTS)));
    let index: Value = serde_json::from_slice(&folder.read(PARTS)?).map_err(|error| bad(error.to_string()))?;
    let map = index["weight_map"].as_object().ok_or_else(|| bad("it names no tensors in `weight_map`".to_owned()))?;
    let names: BTreeSet<String> = map.values().filter_map(Value::as_str).map(str::to_owned).collect();
    match names.iter().find(|name| name.contains(['/', '\\']) || name.contains("..")) {
        Some(name) => Err(bad(format!("shard name `{name}` leaves the folder"))),
        None => Ok(names),
    }
}

fn invalid(reason: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, reason)
}

/// As safetensors name it.
fn dtype(dtype: DType) -> &'static str {
    match dtype {
        DType::F64 => "F64",
        DType::F32 => "F32",
        DType::F16 => "F16",
        DType::BF16 => "BF16",
        DType::I64 => "I64",
        DType::I32 => "I32",
        DType::I16 => "I16",
        DType::I8 => "I8",
        DType::U64 => "U64",
        DType::U32 => "U32",
        DType::U16 => "U16",
        DType::U8 => "U8",
        DType::Bool => "BOOL",
    }
}

impl Directory for Pickled {
    fn read(&self, name: &str) -> io::Result<FileBytes> {
        if name != SHOWN {
            return self.folder.read(name);
        }
        let mut all = self.head.clone();
        for tensor in self.tensors.values() {
            all.extend(tensor.read()?);
        }
        Ok(FileBytes::new(all))
    }

    fn size(&self, name: &str) -> io::Result<u64> {
        if name == SHOWN { Ok(self.size) } else { self.folder.size(name) }
    }

    fn read_part(&self, name: &str, start: u64, length: usize) -> io::Result<Vec<u8>> {
        if name != SHOWN {
            return self.folder.read_part(name, start, length);
        }
        self.part(start, length).unwrap_or_else(|| {
            Err(io::Error::new(io::ErrorKind::UnexpectedEof, format!("{}: it ends too early", self.describe(name))))
        })
    }

    fn create(&self, name: &str) -> io::Result<Box<dyn FileWriter>> {
        self.folder.create(name)
    }

    fn append(&self, name: &str, bytes: &[u8]) -> io::Result<()> {
        self.folder.append(name, bytes)
    }

    fn exists(&self, name: &str) -> bool {
        name == SHOWN || self.folder.exists(name)
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.folder.remove(name)
    }

    fn list(&self, under: &str) -> io::Result<Vec<String>> {
        let mut names = self.folder.list(under)?;
        if SHOWN.starts_with(under) {
            names.push(SHOWN.to_owned());
            names.sort();
        }
        Ok(names)
    }

    fn describe(&self, name: &str) -> String {
        // Where the numbers are.
        let name = if name != SHOWN {
            name
        } else if self.folder.exists(ONE) {
            ONE
        } else {
            PARTS
        };
        self.folder.describe(name)
    }
}
