//! What the tests share: where references and shared data lie, and a read-only folder as a `Directory`.

use std::path::PathBuf;

use burn::tensor::Device;
use ragtune_engine::device::{DeviceChoice, choose};
use ragtune_engine::directory::Folder;

/// A file or folder below `tests/references`.
pub fn reference(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("references").join(name)
}

/// A json reference.
pub fn reference_json(name: &str) -> serde_json::Value {
    let path = reference(name);
    let bytes = std::fs::read(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    serde_json::from_slice(&bytes).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

/// A folder below `tests/references` as a directory.
pub fn reference_dir(name: &str) -> Folder {
    Folder::open(reference(name)).unwrap_or_else(|e| panic!("{name}: {e}"))
}

/// A path below `../shared`, or none with a line that says so.
pub fn shared(name: &str) -> Option<PathBuf> {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../shared").join(name);
    if path.exists() {
        return Some(path);
    }
    eprintln!("skipped: no ../shared/{name}");
    None
}

/// An adapter that computes rightly, or none with a line that says so; with `RAGTUNE_NEEDS_ADAPTER` there must be one.
pub fn adapter() -> Option<Device> {
    match choose(DeviceChoice::Gpu(None)) {
        Ok(chosen) => Some(chosen.device),
        Err(error) if std::env::var_os("RAGTUNE_NEEDS_ADAPTER").is_some() => panic!("{error}"),
        Err(error) => {
            eprintln!("skipped: no adapter ({error})");
            None
        }
    }
}

/// Numbers of a json array, nested or flat.
pub fn numbers(value: &serde_json::Value) -> Vec<f32> {
    match value {
        serde_json::Value::Array(all) => all.iter().flat_map(numbers).collect(),
        serde_json::Value::Number(n) => n.as_f64().map(|n| n as f32).into_iter().collect(),
        serde_json::Value::Object(tensor) => tensor.get("data").map(numbers).unwrap_or_default(),
        _ => Vec::new(),
    }
}

/// Token ids of a json array.
pub fn ids(value: &serde_json::Value) -> Vec<u32> {
    numbers(value).into_iter().map(|n| n as u32).collect()
}

/// Panics unless all pairs are within `tolerance`, absolute and relative.
pub fn assert_close(what: &str, got: &[f32], want: &[f32], tolerance: f32) {
    assert_eq!(got.len(), want.len(), "{what}: length");
    for (i, (g, w)) in got.iter().zip(want).enumerate() {
        assert!((g - w).abs() <= tolerance * (1.0 + w.abs()), "{what} at {i}: got {g}, want {w}");
    }
}
