//! The storage contract: a flat folder of files that are written once.
//!
//! Libraries above and below take a [`Directory`]; the engine has the real ones (a folder on disk, the browser's
//! private file system), [`MemoryDirectory`] serves the tests.
//!
//! Every binary file ends in a footer of 24 bytes, written by [`seal`] and checked by [`unseal`]:
//!
//! | bytes | content |
//! |---|---|
//! | 8 | magic, one per kind of file |
//! | 4 | format version, little endian |
//! | 8 | length of the payload in bytes, little endian |
//! | 4 | CRC-32 of the payload, little endian |

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::io::{self, Write};
use std::ops::Deref;
use std::rc::Rc;
use std::sync::Arc;

/// The bytes of one file: owned, or mapped by whoever made them.
#[derive(Clone)]
pub struct FileBytes(Arc<dyn AsRef<[u8]> + Send + Sync>);

impl FileBytes {
    /// Wraps anything that can show its bytes.
    pub fn new(bytes: impl AsRef<[u8]> + Send + Sync + 'static) -> Self {
        Self(Arc::new(bytes))
    }
}

impl Deref for FileBytes {
    type Target = [u8];
    fn deref(&self) -> &[u8] {
        (*self.0).as_ref()
    }
}

/// A file that is being written under a temporary name.
///
/// Dropping it without [`FileWriter::finish`] leaves nothing behind under the final name.
pub trait FileWriter: Write {
    /// Syncs the content and gives the file its final name, replacing an older one in one step.
    fn finish(self: Box<Self>) -> io::Result<()>;
}

/// A flat folder of files, each written once and then only read.
///
/// Contract:
/// - [`create`](Directory::create) followed by `finish` is atomic: a reader sees the old content or the new, never a part;
/// - [`read`](Directory::read) of a missing file is `io::ErrorKind::NotFound`;
/// - names may hold `/` for sub-folders, never `..`;
/// - errors name the file.
pub trait Directory {
    /// The whole content of a file.
    fn read(&self, name: &str) -> io::Result<FileBytes>;
    /// Bytes of a file.
    fn size(&self, name: &str) -> io::Result<u64> {
        Ok(self.read(name)?.len() as u64)
    }
    /// Some bytes of a file, for those that are too large to be in memory as a whole.
    ///
    /// # Errors
    /// `io::ErrorKind::UnexpectedEof` for a part that lies beyond the end.
    fn read_part(&self, name: &str, start: u64, length: usize) -> io::Result<Vec<u8>> {
        let bytes = self.read(name)?;
        let part = usize::try_from(start).ok().and_then(|start| bytes.get(start..start.checked_add(length)?));
        part.map(<[u8]>::to_vec).ok_or_else(|| {
            io::Error::new(io::ErrorKind::UnexpectedEof, format!("{}: it ends too early", self.describe(name)))
        })
    }
    /// Starts a new file.
    fn create(&self, name: &str) -> io::Result<Box<dyn FileWriter>>;
    /// Adds bytes at the end of a log file (metrics, caches), creating it if needed.
    fn append(&self, name: &str, bytes: &[u8]) -> io::Result<()>;
    /// Whether a file of that name exists.
    fn exists(&self, name: &str) -> bool;
    /// Removes a file; a missing one is not an error.
    fn remove(&self, name: &str) -> io::Result<()>;
    /// Names of all files below a folder (`""` for all), sorted.
    fn list(&self, under: &str) -> io::Result<Vec<String>>;
    /// Where this is, for messages.
    fn describe(&self, name: &str) -> String;

    /// Writes a whole file at once, atomically.
    fn write(&self, name: &str, bytes: &[u8]) -> io::Result<()> {
        let mut file = self.create(name)?;
        file.write_all(bytes)?;
        file.finish()
    }
}

/// A directory in memory.
#[derive(Clone, Default)]
pub struct MemoryDirectory(Rc<RefCell<BTreeMap<String, Vec<u8>>>>);

struct MemoryWriter {
    files: Rc<RefCell<BTreeMap<String, Vec<u8>>>>,
    name: String,
    bytes: Vec<u8>,
}

impl Write for MemoryWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.bytes.write(bytes)
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl FileWriter for MemoryWriter {
    fn finish(self: Box<Self>) -> io::Result<()> {
        self.files.borrow_mut().insert(self.name, self.bytes);
        Ok(())
    }
}

impl Directory for MemoryDirectory {
    fn read(&self, name: &str) -> io::Result<FileBytes> {
        match self.0.borrow().get(name) {
            Some(bytes) => Ok(FileBytes::new(bytes.clone())),
            None => Err(io::Error::new(io::ErrorKind::NotFound, format!("{name}: no such file"))),
        }
    }
    fn create(&self, name: &str) -> io::Result<Box<dyn FileWriter>> {
        Ok(Box::new(MemoryWriter { files: self.0.clone(), name: name.to_owned(), bytes: Vec::new() }))
    }
    fn append(&self, name: &str, bytes: &[u8]) -> io::Result<()> {
        self.0.borrow_mut().entry(name.to_owned()).or_default().extend_from_slice(bytes);
        Ok(())
    }
    fn exists(&self, name: &str) -> bool {
        self.0.borrow().contains_key(name)
    }
    fn remove(&self, name: &str) -> io::Result<()> {
        self.0.borrow_mut().remove(name);
        Ok(())
    }
    fn list(&self, under: &str) -> io::Result<Vec<String>> {
        Ok(self.0.borrow().keys().filter(|name| name.starts_with(under)).cloned().collect())
    }
    fn describe(&self, name: &str) -> String {
        format!("memory:{name}")
    }
}

/// A view of one folder below a directory.
pub struct SubDirectory<'a> {
    inner: &'a dyn Directory,
    folder: &'a str,
}

impl<'a> SubDirectory<'a> {
    /// The folder of that name below `inner`.
    pub fn new(inner: &'a dyn Directory, folder: &'a str) -> Self {
        Self { inner, folder }
    }

    fn full(&self, name: &str) -> String {
        format!("{}/{name}", self.folder)
    }
}

impl Directory for SubDirectory<'_> {
    fn read(&self, name: &str) -> io::Result<FileBytes> {
        self.inner.read(&self.full(name))
    }
    fn size(&self, name: &str) -> io::Result<u64> {
        self.inner.size(&self.full(name))
    }
    fn read_part(&self, name: &str, start: u64, length: usize) -> io::Result<Vec<u8>> {
        self.inner.read_part(&self.full(name), start, length)
    }
    fn create(&self, name: &str) -> io::Result<Box<dyn FileWriter>> {
        self.inner.create(&self.full(name))
    }
    fn append(&self, name: &str, bytes: &[u8]) -> io::Result<()> {
        self.inner.append(&self.full(name), bytes)
    }
    fn exists(&self, name: &str) -> bool {
        self.inner.exists(&self.full(name))
    }
    fn remove(&self, name: &str) -> io::Result<()> {
        self.inner.remove(&self.full(name))
    }
    fn list(&self, under: &str) -> io::Result<Vec<String>> {
        self.inner.list(&self.full(under))
    }
    fn describe(&self, name: &str) -> String {
        self.inner.describe(&self.full(name))
    }
}

/// Length of the footer in bytes.
pub const FOOTER: usize = 24;

/// Writes a payload and computes its footer on the way; [`SealedWriter::finish`] appends it.
pub struct SealedWriter<W: Write> {
    inner: W,
    magic: [u8; 8],
    version: u32,
    length: u64,
    crc: crc32fast::Hasher,
}

impl<W: Write> SealedWriter<W> {
    /// Starts a payload of the given kind and version.
    pub fn new(inner: W, magic: [u8; 8], version: u32) -> Self {
        Self { inner, magic, version, length: 0, crc: crc32fast::Hasher::new() }
    }

    /// Bytes of payload written so far.
    pub fn position(&self) -> u64 {
        self.length
    }

    /// Appends the footer and gives the writer back.
    pub fn finish(mut self) -> io::Result<W> {
        self.inner.write_all(&self.magic)?;
        self.inner.write_all(&self.version.to_le_bytes())?;
        self.inner.write_all(&self.length.to_le_bytes())?;
        self.inner.write_all(&self.crc.finalize().to_le_bytes())?;
        Ok(self.inner)
    }
}

impl<W: Write> Write for SealedWriter<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let n = self.inner.write(bytes)?;
        self.crc.update(&bytes[..n]);
        self.length += n as u64;
        Ok(n)
    }
    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

/// Appends the footer to a payload held in memory.
pub fn seal(mut payload: Vec<u8>, magic: [u8; 8], version: u32) -> Vec<u8> {
    let crc = crc32fast::hash(&payload);
    let length = payload.len() as u64;
    payload.extend_from_slice(&magic);
    payload.extend_from_slice(&version.to_le_bytes());
    payload.extend_from_slice(&length.to_le_bytes());
    payload.extend_from_slice(&crc.to_le_bytes());
    payload
}

/// What a footer says, or why it cannot be trusted.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum FooterError {
    /// The file is shorter than its footer says, or has none.
    #[error("truncated: {found} bytes, expected {expected}")]
    Truncated {
        /// Bytes that the file should have.
        expected: u64,
        /// Bytes that it has.
        found: u64,
    },
    /// Another kind of file.
    #[error("not a {expected} file")]
    Magic {
        /// The kind that was expected.
        expected: String,
    },
    /// A version that this build does not read.
    #[error("format version {found} is newer than {supported}, the newest this build reads")]
    Version {
        /// Version in the file.
        found: u32,
        /// Newest readable version.
        supported: u32,
    },
    /// The bytes changed after they were written.
    #[error("checksum mismatch: the file is damaged")]
    Checksum,
}

/// Splits a sealed file into payload and version after checking magic, version and length; the checksum only if `verify`.
pub fn unseal(bytes: &[u8], magic: [u8; 8], supported: u32, verify: bool) -> Result<(&[u8], u32), FooterError> {
    let found = bytes.len() as u64;
    let Some(split) = bytes.len().checked_sub(FOOTER) else {
        return Err(FooterError::Truncated { expected: FOOTER as u64, found });
    };
    let (payload, footer) = bytes.split_at(split);
    if footer[..8] != magic {
        return Err(FooterError::Magic { expected: String::from_utf8_lossy(&magic).trim_end().to_owned() });
    }
    let word = |at: usize| u32::from_le_bytes([footer[at], footer[at + 1], footer[at + 2], footer[at + 3]]);
    let version = word(8);
    if version > supported {
        return Err(FooterError::Version { found: version, supported });
    }
    let length = u64::from(word(12)) | u64::from(word(16)) << 32;
    if length != payload.len() as u64 {
        return Err(FooterError::Truncated { expected: length.saturating_add(FOOTER as u64), found });
    }
    if verify && crc32fast::hash(payload) != word(20) {
        return Err(FooterError::Checksum);
    }
    Ok((payload, version))
}
