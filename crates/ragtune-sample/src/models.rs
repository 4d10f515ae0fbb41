//! The small models that ship with the sample world, made by `cargo xtask train-sample`.
//!
//! Both read the same word pieces. Their figures stand in `models/README.md`. A build with the feature `embedded` holds
//! the files; another one asks whoever runs it for them ([`fetch_with`]).

use std::borrow::Cow;
use std::io;
use std::sync::OnceLock;

use ragtune_text::storage::{Directory, MemoryDirectory};

/// A file of a model's folder, and where it lies below `models/`.
type File = (&'static str, &'static str);

const TOKENIZER: File = ("tokenizer.json", "tokenizer.json");
const READER: [File; 3] =
    [("config.json", "reader/config.json"), TOKENIZER, ("model.safetensors", "reader/model.safetensors")];
const ENCODER: [File; 4] = [
    ("config.json", "encoder/config.json"),
    ("ragtune.json", "encoder/ragtune.json"),
    TOKENIZER,
    ("model.safetensors", "encoder/model.safetensors"),
];

/// Gives the bytes of a file below `models/`.
pub type Fetch = fn(&str) -> io::Result<Vec<u8>>;

static FETCH: OnceLock<Fetch> = OnceLock::new();

/// Says where a build without the models finds them; only the first call counts.
pub fn fetch_with(fetch: Fetch) {
    let _ = FETCH.set(fetch);
}

/// All files below `models/`, tokenizer first: what must be laid out for a build without them.
pub fn files() -> Vec<&'static str> {
    let mut files: Vec<_> = READER.iter().chain(&ENCODER).map(|(_, path)| *path).collect();
    files.sort_by_key(|path| (path.contains('/'), *path));
    files.dedup();
    files
}

#[cfg(feature = "embedded")]
fn bytes(path: &str) -> io::Result<Cow<'static, [u8]>> {
    macro_rules! held {
        ($($file:literal),*) => {
            match path {
                $($file => include_bytes!(concat!("../models/", $file)).as_slice(),)*
                _ => return Err(io::Error::new(io::ErrorKind::NotFound, format!("the sample has no {path}"))),
            }
        };
    }
    Ok(Cow::Borrowed(held!(
        "tokenizer.json",
        "reader/config.json",
        "reader/model.safetensors",
        "encoder/config.json",
        "encoder/ragtune.json",
        "encoder/model.safetensors"
    )))
}

#[cfg(not(feature = "embedded"))]
fn bytes(path: &str) -> io::Result<Cow<'static, [u8]>> {
    let fetch = FETCH.get().ok_or_else(|| io::Error::other("this build does not hold the sample's models"))?;
    fetch(path).map(Cow::Owned)
}

fn write(files: &[File], dir: &dyn Directory) -> io::Result<()> {
    files.iter().try_for_each(|(name, path)| dir.write(name, &bytes(path)?))
}

/// Writes the reader, a language model's folder, into a directory.
pub fn write_reader(dir: &dyn Directory) -> io::Result<()> {
    write(&READER, dir)
}

/// Writes the initial encoder's folder into a directory.
pub fn write_encoder(dir: &dyn Directory) -> io::Result<()> {
    write(&ENCODER, dir)
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

#[cfg(all(test, feature = "embedded"))]
mod tests {
    use super::*;

    #[test]
    fn every_file_is_held() {
        for file in files() {
            assert!(!bytes(file).unwrap().is_empty(), "{file}");
        }
        assert!(bytes("other").is_err());
    }
}
