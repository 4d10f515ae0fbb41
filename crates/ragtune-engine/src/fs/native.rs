//! The system's own files.

use std::io::{self, Read};
use std::path::Path;

use memmap2::Mmap;
use ragtune_text::storage::FileBytes;

pub use std::fs::{
    DirEntry, File, Metadata, OpenOptions, TryLockError, canonicalize, copy, create_dir_all, metadata, read, read_dir,
    read_to_string, remove_dir, remove_dir_all, remove_file, rename, write,
};

/// Whether there is something at the path.
pub fn exists(path: &Path) -> bool {
    path.exists()
}

/// Whether there is a file at the path.
pub fn is_file(path: &Path) -> bool {
    path.is_file()
}

/// Whether there is a folder at the path.
pub fn is_dir(path: &Path) -> bool {
    path.is_dir()
}

/// Makes a link that leads to `target`, which counts from the link's folder.
pub fn link(target: &Path, at: &Path) -> io::Result<()> {
    #[cfg(unix)]
    return std::os::unix::fs::symlink(target, at);
    #[cfg(windows)]
    return std::os::windows::fs::symlink_file(target, at);
    #[cfg(not(any(unix, windows)))]
    return Err(io::Error::new(
        io::ErrorKind::Unsupported,
        format!("{}: no links here to {}", at.display(), target.display()),
    ));
}

/// Files from this size on are mapped, smaller ones read.
const MAP_FROM: u64 = 1 << 16;

/// Number of this process, for names of temporary files.
pub fn process() -> u32 {
    std::process::id()
}

/// All bytes of an open file of a [`Directory`](ragtune_text::storage::Directory), `len` of them.
pub fn whole(mut file: &File, len: u64) -> io::Result<FileBytes> {
    if len < MAP_FROM {
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes)?;
        return Ok(FileBytes::new(bytes));
    }
    // SAFETY: the mapping is read only. Files of a `Directory` are written once under a temporary name and replaced
    // by a rename, which leaves a mapped file as it is; nobody shortens them in place.
    #[allow(unsafe_code)]
    let map = unsafe { Mmap::map(file) }?;
    Ok(FileBytes::new(map))
}
