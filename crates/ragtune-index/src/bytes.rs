//! Little-endian words in byte slices, and files that end in a footer.

use std::io::{BufWriter, Write};
use std::ops::Range;

use ragtune_text::storage::{Directory, FOOTER, FileBytes, FileWriter, SealedWriter, unseal};

use crate::meta::{FORMAT, IndexMeta};
use crate::{IndexError, Result};

/// The `at`-th byte and the three after it as a word.
pub(crate) fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    let (word, _) = bytes.get(at..)?.split_first_chunk::<4>()?;
    Some(u32::from_le_bytes(*word))
}

/// The `at`-th byte and the seven after it as a word that counts bytes or entries.
pub(crate) fn u64_at(bytes: &[u8], at: usize) -> Option<usize> {
    let (word, _) = bytes.get(at..)?.split_first_chunk::<8>()?;
    usize::try_from(u64::from_le_bytes(*word)).ok()
}

/// A file that is being written and will end in a footer.
pub(crate) struct SealedFile {
    place: String,
    out: BufWriter<SealedWriter<Box<dyn FileWriter>>>,
    position: u64,
}

impl SealedFile {
    pub(crate) fn create(dir: &dyn Directory, name: &str, magic: [u8; 8]) -> Result<Self> {
        let place = dir.describe(name);
        let file = dir.create(name).map_err(|e| IndexError::io(&place, e))?;
        let out = BufWriter::with_capacity(1 << 18, SealedWriter::new(file, magic, FORMAT));
        Ok(Self { place, out, position: 0 })
    }

    /// Bytes written so far.
    pub(crate) fn position(&self) -> u64 {
        self.position
    }

    pub(crate) fn write(&mut self, bytes: &[u8]) -> Result<()> {
        self.out.write_all(bytes).map_err(|e| IndexError::io(&self.place, e))?;
        self.position += bytes.len() as u64;
        Ok(())
    }

    pub(crate) fn write_u32(&mut self, word: u32) -> Result<()> {
        self.write(&word.to_le_bytes())
    }

    pub(crate) fn write_u64(&mut self, word: u64) -> Result<()> {
        self.write(&word.to_le_bytes())
    }

    /// Writes the footer and gives the file its name.
    pub(crate) fn finish(self) -> Result<()> {
        let Self { place, out, .. } = self;
        let sealed = out.into_inner().map_err(|e| IndexError::io(&place, e.into_error()))?;
        let file = sealed.finish().map_err(|e| IndexError::io(&place, e))?;
        file.finish().map_err(|e| IndexError::io(&place, e))
    }
}

/// The payload of a file that was checked against its footer and against `meta.json`.
pub(crate) struct Payload {
    /// Name for messages.
    pub(crate) place: String,
    file: FileBytes,
    length: usize,
}

impl Payload {
    /// Reads a file and checks kind, version, length and stored checksum; the content's own checksum only if `verify`.
    pub(crate) fn read(
        dir: &dyn Directory,
        meta: &IndexMeta,
        name: &str,
        magic: [u8; 8],
        verify: bool,
    ) -> Result<Self> {
        let place = dir.describe(name);
        let Some(expected) = meta.files.get(name) else {
            return Err(IndexError::corrupt(&dir.describe("meta.json"), format!("does not list {name}")));
        };
        let file = dir.read(name).map_err(|e| match e.kind() {
            std::io::ErrorKind::NotFound => IndexError::corrupt(&place, "the file is missing"),
            _ => IndexError::io(&place, e),
        })?;
        if file.len() as u64 != expected.bytes {
            let reason = format!("the file has {} bytes, meta.json says {}", file.len(), expected.bytes);
            return Err(IndexError::corrupt(&place, reason));
        }
        let (payload, version) = unseal(&file, magic, FORMAT, verify).map_err(|e| IndexError::footer(&place, e))?;
        if version != FORMAT {
            return Err(IndexError::Format { file: place, found: u64::from(version), supported: FORMAT });
        }
        let length = payload.len();
        if u32_at(&file, file.len() - 4) != Some(expected.crc32) {
            return Err(IndexError::corrupt(&place, "another build's file: its checksum is not the one in meta.json"));
        }
        Ok(Self { place, file, length })
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        &self.file[..self.length]
    }

    /// The bytes of a range, or an error that names the file.
    pub(crate) fn slice(&self, range: Range<usize>) -> Result<&[u8]> {
        self.bytes().get(range).ok_or_else(|| self.corrupt("an offset points outside the file"))
    }

    pub(crate) fn u32(&self, at: usize) -> Result<u32> {
        u32_at(self.bytes(), at).ok_or_else(|| self.corrupt("ends too early"))
    }

    pub(crate) fn u64(&self, at: usize) -> Result<usize> {
        u64_at(self.bytes(), at).ok_or_else(|| self.corrupt("ends too early"))
    }

    pub(crate) fn corrupt(&self, reason: &str) -> IndexError {
        IndexError::corrupt(&self.place, reason)
    }
}

/// Length and checksum of a finished file, from its footer.
pub(crate) fn file_meta(dir: &dyn Directory, name: &str) -> Result<crate::FileMeta> {
    let place = dir.describe(name);
    let file = dir.read(name).map_err(|e| IndexError::io(&place, e))?;
    let crc32 = file
        .len()
        .checked_sub(FOOTER)
        .and_then(|_| u32_at(&file, file.len() - 4))
        .ok_or_else(|| IndexError::corrupt(&place, "the file was not written whole"))?;
    Ok(crate::FileMeta { bytes: file.len() as u64, crc32 })
}
