//! How much memory a model takes, known before it is loaded.

use std::collections::BTreeSet;
use std::io::Read;
use std::path::Path;

use ragtune_model::{GgufSummary, gguf_summary};
use ragtune_text::storage::Directory as _;
use serde_json::Value;

use crate::directory::Folder;
use crate::models::model_folder;
use crate::{EngineError, Result, fs, host};

/// Longest header of a safetensors file that is read.
const HEADER: u64 = 100 << 20;
/// Bytes of a number in memory, whatever it takes in the file.
const NUMBER: u64 = 4;

/// What the headers of a model's safetensors files say.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Sizes {
    /// Numbers in all tensors.
    pub(crate) parameters: u64,
    /// Types, in alphabetical order.
    pub(crate) dtypes: Vec<String>,
    /// Numbers in the largest tensor.
    largest_tensor: u64,
}

impl Sizes {
    /// Bytes that the weights take when they are loaded.
    pub(crate) fn memory(&self) -> u64 {
        self.parameters.saturating_mul(NUMBER)
    }
}

/// Sizes of a folder's model. None when there are no weights that can be read: to say so is for who loads them.
pub(crate) fn sizes(folder: &Folder) -> Option<Sizes> {
    if let Some(gguf) = gguf_summary(folder).ok()? {
        let GgufSummary { parameters, formats, largest_tensor, .. } = gguf;
        return Some(Sizes { parameters, dtypes: formats, largest_tensor });
    }
    of_safetensors(folder.path(), &folder.list("").ok()?)
}

fn of_safetensors(folder: &Path, names: &[String]) -> Option<Sizes> {
    let (mut sizes, mut dtypes) = (Sizes::default(), BTreeSet::new());
    for name in names.iter().filter(|name| name.ends_with(".safetensors")) {
        let mut file = fs::File::open(folder.join(name)).ok()?;
        let bytes = file.metadata().ok()?.len();
        let mut length = [0; 8];
        file.read_exact(&mut length).ok()?;
        let length = u64::from_le_bytes(length);
        if length > HEADER.min(bytes) {
            return None;
        }
        let mut header = vec![0; length as usize];
        file.read_exact(&mut header).ok()?;
        let tensors: serde_json::Map<String, Value> = serde_json::from_slice(&header).ok()?;
        for (_, tensor) in tensors.iter().filter(|(name, _)| *name != "__metadata__") {
            let shape = tensor.get("shape")?.as_array()?;
            let count = shape.iter().try_fold(1u64, |product, n| product.checked_mul(n.as_u64()?))?;
            sizes.parameters = sizes.parameters.checked_add(count)?;
            sizes.largest_tensor = sizes.largest_tensor.max(count);
            dtypes.insert(tensor.get("dtype")?.as_str()?.to_owned());
        }
    }
    sizes.dtypes = dtypes.into_iter().collect();
    (sizes.parameters > 0).then_some(sizes)
}

/// Refuses a model that cannot fit into the memory that a browser gives a tab.
///
/// # Errors
/// Bad input, with what it takes and what there is.
pub(crate) fn check(folder: &Path) -> Result<()> {
    let Some(limit) = host::memory_limit() else { return Ok(()) };
    // Whoever loads it says what is wrong.
    let Some(sizes) = model_folder(folder, "model").ok().and_then(|folder| sizes(&folder)) else { return Ok(()) };
    fits(&sizes, limit, host::resident_bytes().unwrap_or(0))
        .map_err(|reason| EngineError::input(format!("{}: {reason}", folder.display())))
}

fn fits(sizes: &Sizes, limit: u64, taken: u64) -> std::result::Result<(), String> {
    let megabytes = |bytes: u64| format!("{:.0} MB", bytes as f64 / 1e6);
    // One tensor at a time is there twice: as it is in the file, and as numbers.
    let needed = sizes.memory().saturating_add(sizes.largest_tensor.saturating_mul(2 * NUMBER));
    if taken.saturating_add(needed) <= limit {
        return Ok(());
    }
    Err(format!(
        "loading it takes {} ({} parameters in 32-bit floats, and its largest tensor while it is read), but a browser gives \
         a tab {}, of which {} are in use. Choose a smaller model, or use the program on your machine",
        megabytes(needed),
        sizes.parameters,
        megabytes(limit),
        megabytes(taken)
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_fit_is_refused_with_what_it_takes_and_what_there_is() {
        let sizes = Sizes { parameters: 100_000_000, largest_tensor: 40_000_000, ..Sizes::default() };
        let mega = 1_000_000;
        assert_eq!(fits(&sizes, 820 * mega, 100 * mega), Ok(()));
        let error = fits(&sizes, 820 * mega, 101 * mega).unwrap_err();
        assert!(error.contains("takes 720 MB") && error.contains("a tab 820 MB, of which 101 MB"), "{error}");
    }

    #[test]
    fn sizes_are_those_of_the_headers() {
        let folder = tempfile::tempdir().unwrap();
        let header = br#"{"__metadata__":{"format":"pt"},"a":{"dtype":"F32","shape":[2,3],"data_offsets":[0,24]},"b":{"dtype":"F16","shape":[5],"data_offsets":[24,34]}}"#;
        let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
        bytes.extend(header);
        bytes.extend([0; 34]);
        fs::write(folder.path().join("model.safetensors"), &bytes).unwrap();
        let names = ["config.json", "model.safetensors"].map(str::to_owned);
        let found = of_safetensors(folder.path(), &names).unwrap();
        assert_eq!((found.parameters, found.largest_tensor), (11, 6));
        assert_eq!((found.memory(), found.dtypes), (44, vec!["F16".to_owned(), "F32".to_owned()]));
        fs::write(folder.path().join("model.safetensors"), &bytes[..20]).unwrap();
        assert_eq!(of_safetensors(folder.path(), &names), None);
    }
}
