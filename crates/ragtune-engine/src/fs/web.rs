//! What the engine uses of `std::fs`, over the disk of this worker.

use std::cell::{Cell, RefCell};
use std::ffi::{OsStr, OsString};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::{Duration, SystemTime};

use ragtune_text::storage::FileBytes;

use super::opfs::Handles;
use super::tree::{Disk, Node, Opening, Slots as _, plain};

thread_local! {
    /// None on the page, which has no files; there everything fails.
    pub(super) static DISK: RefCell<Option<Disk<Handles>>> = const { RefCell::new(None) };
}

pub(super) fn with<T>(work: impl FnOnce(&mut Disk<Handles>) -> io::Result<T>) -> io::Result<T> {
    DISK.with_borrow_mut(|disk| match disk {
        Some(disk) => work(disk),
        None => Err(io::Error::new(io::ErrorKind::Unsupported, "files are not at hand here")),
    })
}

/// What is known of a file or folder.
#[derive(Debug, Clone)]
pub struct Metadata {
    len: u64,
    dir: bool,
    modified: u64,
}

impl Metadata {
    fn of(node: &Node, disk: &Disk<Handles>) -> io::Result<Self> {
        Ok(match node {
            Node::Dir => Self { len: 0, dir: true, modified: 0 },
            Node::File { slot, modified } => Self { len: disk.slots.len(*slot)?, dir: false, modified: *modified },
        })
    }

    /// Whether it is a folder.
    pub fn is_dir(&self) -> bool {
        self.dir
    }

    /// Whether it is a file.
    pub fn is_file(&self) -> bool {
        !self.dir
    }

    /// Bytes.
    #[allow(clippy::len_without_is_empty, reason = "std's has none")]
    pub fn len(&self) -> u64 {
        self.len
    }

    /// When it was written.
    pub fn modified(&self) -> io::Result<SystemTime> {
        Ok(SystemTime::UNIX_EPOCH + Duration::from_millis(self.modified))
    }
}

/// Whether something is a file, a folder, a link.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FileType {
    dir: bool,
}

impl FileType {
    /// Whether it is a folder.
    pub fn is_dir(&self) -> bool {
        self.dir
    }

    /// There are no links here.
    pub fn is_symlink(&self) -> bool {
        false
    }
}

/// Something in a folder.
#[derive(Debug, Clone)]
pub struct DirEntry {
    path: PathBuf,
    dir: bool,
}

impl DirEntry {
    /// Its path.
    pub fn path(&self) -> PathBuf {
        self.path.clone()
    }

    /// Its name.
    pub fn file_name(&self) -> OsString {
        self.path.file_name().map(OsStr::to_owned).unwrap_or_default()
    }

    /// What it is.
    pub fn file_type(&self) -> io::Result<FileType> {
        Ok(FileType { dir: self.dir })
    }
}

/// An open file.
#[derive(Debug)]
pub struct File {
    slot: u32,
    /// Clones share it.
    position: Rc<Cell<u64>>,
    append: bool,
    locked: Cell<bool>,
}

/// Why a file cannot be locked.
#[derive(Debug)]
pub enum TryLockError {
    /// Something else is wrong.
    Error(io::Error),
    /// Another holds it.
    WouldBlock,
}

impl File {
    /// Opens a file to read.
    pub fn open(path: impl AsRef<Path>) -> io::Result<Self> {
        OpenOptions::new().read(true).open(path)
    }

    /// The same file, read on from the same place.
    pub fn try_clone(&self) -> io::Result<Self> {
        with(|disk| {
            disk.reopen(self.slot);
            Ok(())
        })?;
        Ok(Self { slot: self.slot, position: self.position.clone(), append: self.append, locked: Cell::default() })
    }

    /// What is known of it.
    pub fn metadata(&self) -> io::Result<Metadata> {
        with(|disk| Ok(Metadata { len: disk.slots.len(self.slot)?, dir: false, modified: disk.slots.now() }))
    }

    /// Makes what was written last.
    pub fn sync_all(&self) -> io::Result<()> {
        with(|disk| disk.slots.sync(self.slot))
    }

    /// Takes the file for oneself.
    pub fn lock(&self) -> io::Result<()> {
        // Nobody else could give it back while this thread waits.
        self.try_lock().map_err(|_| io::Error::from(io::ErrorKind::WouldBlock))
    }

    /// Takes the file for oneself, unless another has it.
    pub fn try_lock(&self) -> Result<(), TryLockError> {
        match with(|disk| Ok(disk.lock(self.slot))) {
            Ok(true) => {
                self.locked.set(true);
                Ok(())
            }
            Ok(false) => Err(TryLockError::WouldBlock),
            Err(error) => Err(TryLockError::Error(error)),
        }
    }
}

impl Drop for File {
    fn drop(&mut self) {
        let _ = with(|disk| {
            if self.locked.get() {
                disk.unlock(self.slot);
            }
            disk.close(self.slot);
            Ok(())
        });
    }
}

impl Read for File {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let n = with(|disk| disk.slots.read_at(self.slot, self.position.get(), buffer))?;
        self.position.update(|at| at + n as u64);
        Ok(n)
    }
}

impl Write for File {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        with(|disk| {
            if self.append {
                self.position.set(disk.slots.len(self.slot)?);
            }
            disk.write_at(self.slot, self.position.get(), bytes)
        })?;
        self.position.update(|at| at + bytes.len() as u64);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Seek for File {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let (from, by) = match to {
            SeekFrom::Start(at) => (at, 0),
            SeekFrom::Current(by) => (self.position.get(), by),
            SeekFrom::End(by) => (self.metadata()?.len(), by),
        };
        self.position.set(from.checked_add_signed(by).ok_or(io::ErrorKind::InvalidInput)?);
        Ok(self.position.get())
    }
}

/// How to open a file.
#[derive(Debug, Clone, Default)]
pub struct OpenOptions {
    opening: Opening,
    append: bool,
}

impl OpenOptions {
    /// Nothing is set.
    pub fn new() -> Self {
        Self::default()
    }

    /// Every file can be read.
    pub fn read(&mut self, _: bool) -> &mut Self {
        self
    }

    /// Every file can be written.
    pub fn write(&mut self, _: bool) -> &mut Self {
        self
    }

    /// To write at the end.
    pub fn append(&mut self, append: bool) -> &mut Self {
        self.append = append;
        self
    }

    /// Made when it is not there.
    pub fn create(&mut self, create: bool) -> &mut Self {
        self.opening.create = create;
        self
    }

    /// It must not be there.
    pub fn create_new(&mut self, create_new: bool) -> &mut Self {
        self.opening.create_new = create_new;
        self
    }

    /// Emptied.
    pub fn truncate(&mut self, truncate: bool) -> &mut Self {
        self.opening.truncate = truncate;
        self
    }

    /// Opens.
    pub fn open(&self, path: impl AsRef<Path>) -> io::Result<File> {
        let slot = with(|disk| disk.open_file(path.as_ref(), self.opening))?;
        Ok(File { slot, position: Rc::default(), append: self.append, locked: Cell::default() })
    }
}

/// What is known of a file or folder.
pub fn metadata(path: impl AsRef<Path>) -> io::Result<Metadata> {
    with(|disk| Metadata::of(&disk.node(path.as_ref())?, disk))
}

/// Whether there is something at the path.
pub fn exists(path: &Path) -> bool {
    metadata(path).is_ok()
}

/// Whether there is a file at the path.
pub fn is_file(path: &Path) -> bool {
    metadata(path).is_ok_and(|kind| kind.is_file())
}

/// Whether there is a folder at the path.
pub fn is_dir(path: &Path) -> bool {
    metadata(path).is_ok_and(|kind| kind.is_dir())
}

/// The path from the root, without detours.
pub fn canonicalize(path: impl AsRef<Path>) -> io::Result<PathBuf> {
    metadata(&path)?;
    Ok(Path::new("/").join(plain(path.as_ref())))
}

/// A whole file.
pub fn read(path: impl AsRef<Path>) -> io::Result<Vec<u8>> {
    let mut file = File::open(path)?;
    let mut bytes = Vec::with_capacity(file.metadata()?.len() as usize);
    file.read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// A whole file as text.
pub fn read_to_string(path: impl AsRef<Path>) -> io::Result<String> {
    let utf8 = |_| io::Error::new(io::ErrorKind::InvalidData, "stream did not contain valid UTF-8");
    String::from_utf8(read(path)?).map_err(utf8)
}

/// Writes a whole file.
pub fn write(path: impl AsRef<Path>, bytes: impl AsRef<[u8]>) -> io::Result<()> {
    OpenOptions::new().write(true).create(true).truncate(true).open(path)?.write_all(bytes.as_ref())
}

/// Copies a file.
pub fn copy(from: impl AsRef<Path>, to: impl AsRef<Path>) -> io::Result<u64> {
    let bytes = read(from)?;
    write(to, &bytes)?;
    Ok(bytes.len() as u64)
}

/// What is in a folder.
pub fn read_dir(path: impl AsRef<Path>) -> io::Result<impl Iterator<Item = io::Result<DirEntry>>> {
    let path = path.as_ref();
    let found = with(|disk| disk.list(path))?;
    let entries: Vec<io::Result<DirEntry>> = found
        .into_iter()
        .map(|(at, node)| Ok(DirEntry { path: path.join(at.file_name().unwrap_or_default()), dir: node == Node::Dir }))
        .collect();
    Ok(entries.into_iter())
}

/// Makes a folder and those above it.
pub fn create_dir_all(path: impl AsRef<Path>) -> io::Result<()> {
    with(|disk| disk.create_dir_all(path.as_ref()))
}

/// Removes a file.
pub fn remove_file(path: impl AsRef<Path>) -> io::Result<()> {
    with(|disk| disk.remove_file(path.as_ref()))
}

/// Removes an empty folder.
pub fn remove_dir(path: impl AsRef<Path>) -> io::Result<()> {
    with(|disk| disk.remove_dir(path.as_ref(), false))
}

/// Removes a folder with all that is in it.
pub fn remove_dir_all(path: impl AsRef<Path>) -> io::Result<()> {
    with(|disk| disk.remove_dir(path.as_ref(), true))
}

/// Gives another name.
pub fn rename(from: impl AsRef<Path>, to: impl AsRef<Path>) -> io::Result<()> {
    with(|disk| disk.rename(from.as_ref(), to.as_ref()))
}

/// There is one worker with files.
pub fn process() -> u32 {
    0
}

/// All bytes of an open file, `len` of them.
pub fn whole(file: &File, len: u64) -> io::Result<FileBytes> {
    let mut bytes = vec![0; len as usize];
    let read = with(|disk| disk.slots.read_at(file.slot, 0, &mut bytes))?;
    bytes.truncate(read);
    Ok(FileBytes::new(bytes))
}
