//! Reading and writing safetensors files and their json companions.

use std::collections::{BTreeMap, BTreeSet};

use burn::tensor::Device;
use ragtune_kernels::{Format, Packed};
use ragtune_text::storage::Directory;
use safetensors::Dtype;
use safetensors::tensor::Metadata;
use serde::de::DeserializeOwned;

use crate::{ModelError, Weight, Weights};

/// Longest header of a safetensors file that is believed.
const HEADER: u64 = 100 << 20;
const REDOWNLOAD: &str = "Copy or download the file again";

/// Reads and parses a json file.
pub fn read_json<T: DeserializeOwned>(dir: &dyn Directory, name: &str) -> Result<T, ModelError> {
    let file = dir.describe(name);
    let bytes = dir.read(name).map_err(|source| ModelError::Io { file: file.clone(), source })?;
    serde_json::from_slice(&bytes).map_err(|e| ModelError::damaged(&file, e, REDOWNLOAD))
}

/// A tensor of a file that is being read; its values are fetched when they are asked for.
pub(crate) struct FileTensor<'a> {
    /// The file, for messages.
    pub(crate) file: String,
    /// Its name, as the family has it.
    pub(crate) name: String,
    /// Rank 1 or 2.
    pub(crate) shape: Vec<usize>,
    /// How its numbers are held; none where they are no floats, and cannot be fetched.
    pub(crate) format: Option<Format>,
    /// Width of the heads whose rows stand in pairs in the file; none when rows are in their order.
    pub(crate) pairs: Option<usize>,
    pub(crate) fetch: &'a dyn Fn() -> Result<Vec<u8>, ModelError>,
}

impl FileTensor<'_> {
    /// Row-major values, all of them finite.
    pub(crate) fn values(&self) -> Result<Vec<f32>, ModelError> {
        let data = (self.fetch)()?;
        let values = self.format.unwrap_or(Format::F32).values(&data);
        if let Some(at) = values.iter().position(|v| !v.is_finite()) {
            return Err(self.not_finite(values[at], at));
        }
        let (rows, columns) = (self.shape[0], self.shape.get(1).copied().unwrap_or(1));
        Ok(match self.pairs {
            Some(head) => halves_from_pairs(&values, rows, columns, head),
            None => values,
        })
    }

    /// The matrix as the file holds it, all of its numbers finite; none when it is none, or holds 32-bit floats.
    pub(crate) fn packed(&self) -> Result<Option<Packed>, ModelError> {
        let (&[rows, columns], Some(format)) = (&self.shape[..], self.format) else { return Ok(None) };
        if format == Format::F32 || format.bytes(columns).is_none() {
            return Ok(None);
        }
        let Some(packed) = Packed::new(format, [rows, columns], (self.fetch)()?) else { return Ok(None) };
        if let Some((row, column, value)) = packed.not_finite() {
            return Err(self.not_finite(value, row * columns + column));
        }
        Ok(Some(match self.pairs {
            Some(head) => packed.rows(row_of_halves(rows, head)),
            None => packed,
        }))
    }

    fn not_finite(&self, value: f32, at: usize) -> ModelError {
        let reason = format!("tensor `{}` holds {value} at element {at}", self.name);
        ModelError::damaged(&self.file, reason, "The weights are unusable: train or download them again")
    }
}

/// Where the rows of a projection stand in a file that has neighbouring pairs for rotation, while the decoder turns the
/// two halves of a head.
pub(crate) fn row_of_halves(rows: usize, head: usize) -> impl Iterator<Item = usize> {
    let source = move |i: usize| if i < head / 2 { 2 * i } else { 2 * (i - head / 2) + 1 };
    (0..rows).step_by(head.max(1)).flat_map(move |first| (0..head).map(move |i| first + source(i)))
}

/// Reorders the rows of such a projection.
pub(crate) fn halves_from_pairs(values: &[f32], rows: usize, columns: usize, head: usize) -> Vec<f32> {
    row_of_halves(rows, head).flat_map(|row| &values[row * columns..][..columns]).copied().collect()
}

/// A size that a config.json names, if a model can have it: shapes are computed from it before any weight is read.
///
/// # Errors
/// In words, when it is beyond any model's.
pub(crate) fn believable(name: &str, n: u64) -> Result<usize, String> {
    let most = if name.ends_with("layers") || name == "n_layer" { 1 << 12 } else { 1 << 28 };
    match usize::try_from(n) {
        Ok(size) if n <= most => Ok(size),
        _ => Err(format!("`{name}` is {n}, and no model has more than {most}")),
    }
}

/// Reads `model.safetensors`, or the shards that `model.safetensors.index.json` names, as f32.
///
/// `keep` chooses the tensors by name and may rename them; what it drops is not read. Every value must be finite.
pub fn read_weights(
    dir: &dyn Directory,
    device: &Device,
    keep: &dyn Fn(&str) -> Option<String>,
) -> Result<Weights, ModelError> {
    let mut weights = Weights::default();
    read_tensors(dir, &mut |tensor| {
        if let Some(kept) = keep(&tensor.name) {
            weights.insert(kept, Weight::from_vec(tensor.values()?, &tensor.shape, device));
        }
        Ok(())
    })?;
    Ok(weights)
}

/// Goes through the tensors of `model.safetensors`, or of the shards that `model.safetensors.index.json` names, one after
/// another: no more than one is in memory beside what `take` keeps.
pub(crate) fn read_tensors(
    dir: &dyn Directory,
    take: &mut dyn FnMut(&FileTensor<'_>) -> Result<(), ModelError>,
) -> Result<(), ModelError> {
    const SINGLE: &str = "model.safetensors";
    const INDEX: &str = "model.safetensors.index.json";
    if dir.exists(SINGLE) || !dir.exists(INDEX) {
        return read_file(dir, SINGLE, &mut |tensor| take(tensor));
    }
    #[derive(serde::Deserialize)]
    struct Index {
        weight_map: BTreeMap<String, String>,
    }
    let index: Index = read_json(dir, INDEX)?;
    let mut missing: BTreeSet<&String> = index.weight_map.keys().collect();
    let shards: BTreeSet<&String> = index.weight_map.values().collect();
    for shard in shards {
        if shard.contains("..") || shard.contains('/') || shard.contains('\\') {
            let reason = format!("shard name `{shard}` leaves the folder");
            return Err(ModelError::damaged(&dir.describe(INDEX), reason, REDOWNLOAD));
        }
        read_file(dir, shard, &mut |tensor| {
            missing.remove(&tensor.name);
            take(tensor)
        })?;
    }
    match missing.first() {
        Some(name) => Err(ModelError::MissingTensor { file: dir.describe(INDEX), name: (*name).clone() }),
        None => Ok(()),
    }
}

fn read_file(
    dir: &dyn Directory,
    name: &str,
    take: &mut dyn FnMut(&FileTensor<'_>) -> Result<(), ModelError>,
) -> Result<(), ModelError> {
    let file = dir.describe(name);
    let io = |source| ModelError::Io { file: file.clone(), source };
    let bad = |reason: String| ModelError::damaged(&file, reason, REDOWNLOAD);
    let whole = |reason: &dyn std::fmt::Display| bad(format!("not a whole safetensors file ({reason})"));
    let size = dir.size(name).map_err(io)?;
    let start = dir.read_part(name, 0, size.min(8) as usize).map_err(io)?;
    let length = start.try_into().map(u64::from_le_bytes).map_err(|_| whole(&"it is shorter than its header"))?;
    if length > HEADER.min(size - 8) {
        return Err(whole(&format!("its header claims {length} of {size} bytes")));
    }
    let header = dir.read_part(name, 8, length as usize).map_err(io)?;
    // Checks that the tensors lie behind each other and have the size of their shape.
    let metadata: Metadata = serde_json::from_slice(&header).map_err(|e| whole(&e))?;
    let first = 8 + length;
    let mut tensors: Vec<_> = metadata.tensors().into_iter().collect();
    // In the order of the file.
    tensors.sort_by_key(|(name, info)| (info.data_offsets, name.clone()));
    let end = metadata.data_len() as u64;
    if first + end != size {
        return Err(whole(&format!("it has {size} bytes, its header says {}", first + end)));
    }
    for (tensor, info) in tensors {
        let (from, to) = info.data_offsets;
        let format = match info.dtype {
            Dtype::F32 => Some(Format::F32),
            Dtype::F16 => Some(Format::F16),
            Dtype::BF16 => Some(Format::Bf16),
            _ => None,
        };
        let fetch = || {
            if !(1..=2).contains(&info.shape.len()) {
                let reason = format!("tensor `{tensor}` has rank {}", info.shape.len());
                return Err(ModelError::damaged(&file, reason, "Only vectors and matrices are read"));
            }
            if format.is_none() {
                let reason = format!("tensor `{tensor}` has type {:?}", info.dtype);
                return Err(ModelError::damaged(
                    &file,
                    reason,
                    "Weights are read as F32, F16 or BF16: convert them first",
                ));
            }
            dir.read_part(name, first + from as u64, to - from).map_err(io)
        };
        take(&FileTensor {
            file: file.clone(),
            name: tensor.clone(),
            shape: info.shape.clone(),
            format,
            pairs: None,
            fetch: &fetch,
        })?;
    }
    Ok(())
}

/// Serialises weights as an f32 safetensors file; reading it back gives the same bits.
pub fn write_weights(weights: &Weights) -> Result<Vec<u8>, ModelError> {
    serialise(weights, Dtype::F32, |v| v.to_le_bytes().to_vec())
}

/// Serialises weights as an f16 safetensors file of half the size, each value rounded to the nearest.
pub fn write_weights_f16(weights: &Weights) -> Result<Vec<u8>, ModelError> {
    serialise(weights, Dtype::F16, |v| half::f16::from_f32(v).to_le_bytes().to_vec())
}

fn serialise(weights: &Weights, dtype: Dtype, bytes: impl Fn(f32) -> Vec<u8>) -> Result<Vec<u8>, ModelError> {
    let bug =
        |e: safetensors::SafeTensorError| ModelError::damaged("safetensors", e, "This is a bug: please report it");
    let buffers: Vec<(&String, Vec<usize>, Vec<u8>)> = weights
        .iter()
        .map(|(name, weight)| (name, weight.shape(), weight.values().into_iter().flat_map(&bytes).collect()))
        .collect();
    let views = buffers
        .iter()
        .map(|(name, shape, bytes)| {
            safetensors::tensor::TensorView::new(dtype, shape.clone(), bytes).map(|view| (name.as_str(), view))
        })
        .collect::<Result<Vec<_>, _>>()
        .map_err(bug)?;
    safetensors::serialize(views, None).map_err(bug)
}
