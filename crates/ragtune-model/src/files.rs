//! Reading and writing safetensors files and their json companions.

use std::collections::{BTreeMap, BTreeSet};

use burn::tensor::Device;
use ragtune_text::storage::Directory;
use safetensors::{Dtype, SafeTensors};
use serde::de::DeserializeOwned;

use crate::{ModelError, Weight, Weights};

const REDOWNLOAD: &str = "Copy or download the file again";

/// Reads and parses a json file.
pub fn read_json<T: DeserializeOwned>(dir: &dyn Directory, name: &str) -> Result<T, ModelError> {
    let file = dir.describe(name);
    let bytes = dir.read(name).map_err(|source| ModelError::Io { file: file.clone(), source })?;
    serde_json::from_slice(&bytes).map_err(|e| ModelError::damaged(&file, e, REDOWNLOAD))
}

/// Reads `model.safetensors`, or the shards that `model.safetensors.index.json` names, as f32.
///
/// `keep` chooses the tensors by name and may rename them; what it drops is not read. Every value must be finite.
pub fn read_weights(
    dir: &dyn Directory,
    device: &Device,
    keep: &dyn Fn(&str) -> Option<String>,
) -> Result<Weights, ModelError> {
    const SINGLE: &str = "model.safetensors";
    const INDEX: &str = "model.safetensors.index.json";
    let mut weights = Weights::default();
    if dir.exists(SINGLE) || !dir.exists(INDEX) {
        read_file(dir, SINGLE, device, keep, &mut weights)?;
        return Ok(weights);
    }
    #[derive(serde::Deserialize)]
    struct Index {
        weight_map: BTreeMap<String, String>,
    }
    let index: Index = read_json(dir, INDEX)?;
    let shards: BTreeSet<&String> = index.weight_map.values().collect();
    for shard in shards {
        if shard.contains("..") || shard.contains('/') || shard.contains('\\') {
            let reason = format!("shard name `{shard}` leaves the folder");
            return Err(ModelError::damaged(&dir.describe(INDEX), reason, REDOWNLOAD));
        }
        read_file(dir, shard, device, keep, &mut weights)?;
    }
    for name in index.weight_map.keys() {
        if let Some(kept) = keep(name)
            && weights.get(&kept).is_none()
        {
            return Err(ModelError::MissingTensor { file: dir.describe(INDEX), name: name.clone() });
        }
    }
    Ok(weights)
}

fn read_file(
    dir: &dyn Directory,
    name: &str,
    device: &Device,
    keep: &dyn Fn(&str) -> Option<String>,
    weights: &mut Weights,
) -> Result<(), ModelError> {
    let file = dir.describe(name);
    let bytes = dir.read(name).map_err(|source| ModelError::Io { file: file.clone(), source })?;
    let tensors = SafeTensors::deserialize(&bytes)
        .map_err(|e| ModelError::damaged(&file, format!("not a whole safetensors file ({e})"), REDOWNLOAD))?;
    for (name, view) in tensors.iter() {
        let Some(kept) = keep(name) else { continue };
        if !(1..=2).contains(&view.shape().len()) {
            let reason = format!("tensor `{name}` has rank {}", view.shape().len());
            return Err(ModelError::damaged(&file, reason, "Only vectors and matrices are read"));
        }
        let values = to_f32(view.dtype(), view.data()).ok_or_else(|| {
            let reason = format!("tensor `{name}` has type {:?}", view.dtype());
            ModelError::damaged(&file, reason, "Weights are read as F32, F16 or BF16: convert them first")
        })?;
        if let Some(at) = values.iter().position(|v| !v.is_finite()) {
            let reason = format!("tensor `{name}` holds {} at element {at}", values[at]);
            return Err(ModelError::damaged(&file, reason, "The weights are unusable: train or download them again"));
        }
        weights.insert(kept, Weight::from_vec(values, view.shape(), device));
    }
    Ok(())
}

fn to_f32(dtype: Dtype, data: &[u8]) -> Option<Vec<f32>> {
    let halves = || data.chunks_exact(2).map(|b| [b[0], b[1]]);
    Some(match dtype {
        Dtype::F32 => data.chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect(),
        Dtype::F16 => halves().map(|b| half::f16::from_le_bytes(b).to_f32()).collect(),
        Dtype::BF16 => halves().map(|b| half::bf16::from_le_bytes(b).to_f32()).collect(),
        _ => return None,
    })
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
