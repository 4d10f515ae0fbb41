//! How much memory a model takes, known before it is loaded.

use std::collections::BTreeSet;
use std::path::Path;

use ragtune_model::{GgufSummary, gguf_summary};
use ragtune_text::storage::Directory;
use serde_json::Value;

use crate::{EngineError, Result, host};

/// Longest header of a safetensors file that is read.
const HEADER: u64 = 100 << 20;
/// Bytes of a 32-bit float.
const NUMBER: u64 = 4;

/// What the headers of a model's files of weights say.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Sizes {
    /// Numbers in all tensors.
    pub(crate) parameters: u64,
    /// Types, in alphabetical order.
    pub(crate) dtypes: Vec<String>,
    /// Numbers in the largest tensor.
    largest_tensor: u64,
    /// Bytes of all tensors when matrices stay as the file holds them, where the CPU computes.
    packed: u64,
    /// The same where a GPU computes.
    packed_on_gpu: u64,
}

impl Sizes {
    /// Bytes that the weights take when they are loaded, with matrices as the file holds them or as 32-bit floats.
    pub(crate) fn memory(&self, packs: bool) -> u64 {
        if packs { self.packed } else { self.parameters.saturating_mul(NUMBER) }
    }

    /// The same on a GPU.
    pub(crate) fn gpu_memory(&self, packs: bool) -> u64 {
        if packs { self.packed_on_gpu } else { self.memory(false) }
    }
}

/// Sizes of a folder's model. None when there are no weights that can be read: to say so is for who loads them.
pub(crate) fn sizes(folder: &dyn Directory) -> Option<Sizes> {
    if let Some(gguf) = gguf_summary(folder).ok()? {
        let GgufSummary { parameters, formats, largest_tensor, packed_bytes, gpu_bytes, .. } = gguf;
        let (packed, packed_on_gpu) = (packed_bytes, gpu_bytes);
        return Some(Sizes { parameters, dtypes: formats, largest_tensor, packed, packed_on_gpu });
    }
    of_safetensors(folder, &folder.list("").ok()?)
}

fn of_safetensors(folder: &dyn Directory, names: &[String]) -> Option<Sizes> {
    let (mut sizes, mut dtypes) = (Sizes::default(), BTreeSet::new());
    for name in names.iter().filter(|name| name.ends_with(".safetensors")) {
        let bytes = folder.size(name).ok()?;
        let length = u64::from_le_bytes(folder.read_part(name, 0, 8).ok()?.try_into().ok()?);
        if length > HEADER.min(bytes) {
            return None;
        }
        let header = folder.read_part(name, 8, length as usize).ok()?;
        let tensors: serde_json::Map<String, Value> = serde_json::from_slice(&header).ok()?;
        for (_, tensor) in tensors.iter().filter(|(name, _)| *name != "__metadata__") {
            let shape = tensor.get("shape")?.as_array()?;
            let count = shape.iter().try_fold(1u64, |product, n| product.checked_mul(n.as_u64()?))?;
            let dtype = tensor.get("dtype")?.as_str()?;
            let number = if shape.len() == 2 && ["F16", "BF16"].contains(&dtype) { 2 } else { NUMBER };
            sizes.parameters = sizes.parameters.checked_add(count)?;
            sizes.packed = sizes.packed.saturating_add(count.saturating_mul(number));
            sizes.largest_tensor = sizes.largest_tensor.max(count);
            dtypes.insert(dtype.to_owned());
        }
    }
    sizes.dtypes = dtypes.into_iter().collect();
    sizes.packed_on_gpu = sizes.packed;
    (sizes.parameters > 0).then_some(sizes)
}

/// Refuses a model that cannot fit into the memory that a browser gives a tab; `given` is how the user names it.
///
/// # Errors
/// Bad input, with what it takes and what there is.
pub(crate) fn check(folder: &dyn Directory, given: &Path, packs: bool) -> Result<()> {
    let Some(limit) = host::memory_limit() else { return Ok(()) };
    // Whoever loads it says what is wrong.
    let Some(sizes) = sizes(folder) else { return Ok(()) };
    fits(&sizes, packs, limit, host::resident_bytes().unwrap_or(0))
        .map_err(|reason| EngineError::input(format!("{}: {reason}", given.display())))
}

fn fits(sizes: &Sizes, packs: bool, limit: u64, taken: u64) -> std::result::Result<(), String> {
    let megabytes = |bytes: u64| format!("{:.0} MB", bytes as f64 / 1e6);
    // One tensor at a time is there twice: as it is in the file, and as numbers.
    let needed = sizes.memory(packs).saturating_add(sizes.largest_tensor.saturating_mul(2 * NUMBER));
    if taken.saturating_add(needed) <= limit {
        return Ok(());
    }
    let held = if packs { "as the file holds them" } else { "in 32-bit floats" };
    Err(format!(
        "loading it takes {} ({} parameters {held}, and its largest tensor while it is read), but a browser gives a tab {}, \
         of which {} are in use. Choose a smaller model, or use the program on your machine",
        megabytes(needed),
        sizes.parameters,
        megabytes(limit),
        megabytes(taken)
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fs;

    #[test]
    fn what_cannot_fit_is_refused_with_what_it_takes_and_what_there_is() {
        let sizes = Sizes { parameters: 100_000_000, largest_tensor: 40_000_000, ..Sizes::default() };
        let mega = 1_000_000;
        assert_eq!(fits(&sizes, false, 820 * mega, 100 * mega), Ok(()));
        let error = fits(&sizes, false, 820 * mega, 101 * mega).unwrap_err();
        let packed = Sizes { packed: 60 * mega, ..sizes.clone() };
        assert_eq!(fits(&packed, true, 480 * mega, 100 * mega), Ok(()));
        assert!(error.contains("takes 720 MB") && error.contains("a tab 820 MB, of which 101 MB"), "{error}");
    }

    #[test]
    fn sizes_are_those_of_the_headers() {
        let folder = tempfile::tempdir().unwrap();
        let header = br#"{"__metadata__":{"format":"pt"},"a":{"dtype":"F32","shape":[2,3],"data_offsets":[0,24]},"b":{"dtype":"F16","shape":[5,1],"data_offsets":[24,34]}}"#;
        let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
        bytes.extend(header);
        bytes.extend([0; 34]);
        fs::write(folder.path().join("model.safetensors"), &bytes).unwrap();
        let names = ["config.json", "model.safetensors"].map(str::to_owned);
        let open = crate::directory::Folder::open(folder.path()).unwrap();
        let found = of_safetensors(&open, &names).unwrap();
        assert_eq!((found.parameters, found.largest_tensor), (11, 6));
        assert_eq!(
            (found.memory(false), found.memory(true), found.dtypes),
            (44, 34, vec!["F16".to_owned(), "F32".to_owned()])
        );
        fs::write(folder.path().join("model.safetensors"), &bytes[..20]).unwrap();
        assert_eq!(of_safetensors(&open, &names), None);
    }
}
