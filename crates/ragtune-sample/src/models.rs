//! The small models that ship with the sample world, made by `cargo xtask train-sample`.
//!
//! Both read the same word pieces. Their figures stand in `models/README.md`.

use std::io;

use ragtune_text::storage::{Directory, MemoryDirectory};

const TOKENIZER: &[u8] = include_bytes!("../models/tokenizer.json");

const READER: [(&str, &[u8]); 3] = [
    ("config.json", include_bytes!("../models/reader/config.json")),
    ("tokenizer.json", TOKENIZER),
    ("model.safetensors", include_bytes!("../models/reader/model.safetensors")),
];

const ENCODER: [(&str, &[u8]); 4] = [
    ("config.json", include_bytes!("../models/encoder/config.json")),
    ("ragtune.json", include_bytes!("../models/encoder/ragtune.json")),
    ("tokenizer.json", TOKENIZER),
    ("model.safetensors", include_bytes!("../models/encoder/model.safetensors")),
];

/// Writes the reader, a language model's folder, into a directory.
pub fn write_reader(dir: &dyn Directory) -> io::Result<()> {
    READER.iter().try_for_each(|(name, bytes)| dir.write(name, bytes))
}

/// Writes the initial encoder's folder into a directory.
pub fn write_encoder(dir: &dyn Directory) -> io::Result<()> {
    ENCODER.iter().try_for_each(|(name, bytes)| dir.write(name, bytes))
}

/// The reader's folder in memory.
pub fn reader() -> io::Result<MemoryDirectory> {
    let dir = MemoryDirectory::default();
    write_reader(&dir)?;
    Ok(dir)
}

/// The initial encoder's folder in memory.
pub fn encoder() -> io::Result<MemoryDirectory> {
    let dir = MemoryDirectory::default();
    write_encoder(&dir)?;
    Ok(dir)
}
