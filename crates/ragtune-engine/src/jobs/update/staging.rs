//! The new index is written in a folder inside the old one's, and moved from there in one go.
//!
//! Whoever kills the process finds the old index whole, until the new one is: from then on, what is left of the moving is
//! made up for by whoever opens the index next.

use crate::fs::{self, File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};

use super::manifest::MANIFEST;
use crate::directory::Folder;
use crate::{EngineError, Result};

/// The folder in the index's folder.
const STAGING: &str = ".update";
/// In it, an index that is complete and waits to be moved.
const READY: &str = "ready";
const LOCK: &str = "lock";
const META: &str = "meta.json";
const PARAMETRIC: &str = "parametric.bin";

/// The place for a new index; what is left in it goes at the end.
pub(super) struct Staging {
    index: PathBuf,
    folder: PathBuf,
    /// Locked as long as the update runs.
    _lock: File,
}

impl Staging {
    /// Makes the place. One update of an index at a time.
    pub(super) fn begin(index: &Path) -> Result<Self> {
        let folder = index.join(STAGING);
        let fail = |source| EngineError::io(&folder, source);
        fs::create_dir_all(&folder).map_err(fail)?;
        let path = folder.join(LOCK);
        let lock = OpenOptions::new().write(true).create(true).truncate(false).open(&path).map_err(fail)?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(fs::TryLockError::WouldBlock) => {
                return Err(EngineError::input(format!(
                    "{}: another update of this index is running; wait for its end",
                    index.display()
                )));
            }
            // A file system without locks: as before, people do not start two.
            Err(fs::TryLockError::Error(_)) => {}
        }
        let staging = Self { index: index.to_owned(), folder, _lock: lock };
        if fs::is_dir(&staging.folder.join(READY)) {
            install(&staging.folder.join(READY), index).map_err(|source| EngineError::io(index, source))?;
        }
        for half in staging.halves() {
            clear(&half).map_err(|source| EngineError::io(&half, source))?;
        }
        Ok(staging)
    }

    fn halves(&self) -> [PathBuf; 2] {
        ["a", "b"].map(|name| self.folder.join(name))
    }

    /// Two folders: an index is written in one, and when passages must be taken back, copied to the other.
    pub(super) fn folders(&self) -> Result<[Folder; 2]> {
        let [a, b] = self.halves();
        let create = |path: &PathBuf| Folder::create(path).map_err(|source| EngineError::io(path, source));
        Ok([create(&a)?, create(&b)?])
    }

    /// Puts a complete index from one of the folders in the place of the old one.
    pub(super) fn finish(&self, built: &Folder) -> Result<()> {
        let ready = self.folder.join(READY);
        fs::rename(built.path(), &ready)
            .and_then(|()| sync(&self.folder))
            .and_then(|()| install(&ready, &self.index))
            .map_err(|source| EngineError::io(&self.index, source))
    }
}

impl Drop for Staging {
    fn drop(&mut self) {
        // Litter, should it fail; but an index that is ready is needed.
        for half in self.halves() {
            let _ = clear(&half);
        }
        if !fs::exists(&self.folder.join(READY)) {
            let _ = fs::remove_file(self.folder.join(LOCK));
            let _ = fs::remove_dir(&self.folder);
        }
    }
}

/// Brings to its end what an update began when it was killed: nothing, as long as the old index is whole.
pub(in crate::jobs) fn recover(index: &Path) {
    let ready = index.join(STAGING).join(READY);
    if fs::is_dir(&ready) && !fs::exists(&index.join(META)) {
        // In a folder that may only be read this fails, and the index is missing, as is then said.
        let _ = install(&ready, index);
    }
}

fn clear(folder: &Path) -> io::Result<()> {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// Moves every file. Can be done again when it was broken off, by two at once too.
fn install(ready: &Path, index: &Path) -> io::Result<()> {
    let gone_is_fine = |result: io::Result<()>| match result {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        result => result,
    };
    let mut names = Vec::new();
    for entry in fs::read_dir(ready)? {
        names.push(entry?.file_name());
    }
    // Without its meta the older index is gone as a whole. When the new meta has been moved, it must stay.
    if names.iter().any(|name| name == META) {
        for name in [META, PARAMETRIC] {
            gone_is_fine(fs::remove_file(index.join(name)))?;
        }
    }
    let last = |name: &std::ffi::OsString| (name == META, name == MANIFEST);
    names.sort_by_key(|name| match last(name) {
        (true, _) => 1,
        (_, true) => 2,
        _ => 0,
    });
    for name in names {
        if name == META {
            sync(index)?;
        }
        gone_is_fine(fs::rename(ready.join(&name), index.join(&name)))?;
    }
    sync(index)?;
    clear(ready)
}

/// Makes renames durable. Where a folder cannot be opened as a file, the system takes care of it.
fn sync(folder: &Path) -> io::Result<()> {
    if let Ok(folder) = File::open(folder) {
        let _ = folder.sync_all();
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(folder: &Path, files: &[(&str, &str)]) {
        fs::create_dir_all(folder).unwrap();
        for (name, text) in files {
            fs::write(folder.join(name), text).unwrap();
        }
    }

    fn read(folder: &Path, name: &str) -> String {
        fs::read_to_string(folder.join(name)).unwrap_or_default()
    }

    #[test]
    fn a_move_that_was_broken_off_anywhere_is_brought_to_its_end() {
        let new = [("bot.bin", "new"), ("passages.bin", "new"), (META, "new"), (MANIFEST, "new")];
        for moved in 0..=new.len() {
            let temp = tempfile::tempdir().unwrap();
            let index = temp.path();
            write(index, &[("bot.bin", "old"), ("passages.bin", "old"), ("mine.txt", "mine"), (PARAMETRIC, "old")]);
            let ready = index.join(STAGING).join(READY);
            write(&ready, &new);
            for (name, _) in &new[..moved] {
                fs::rename(ready.join(name), index.join(name)).unwrap();
            }
            recover(index);
            drop(Staging::begin(index).unwrap());
            for (name, text) in new {
                assert_eq!(read(index, name), text, "{name} after {moved}");
            }
            assert_eq!(read(index, "mine.txt"), "mine");
            assert!(!index.join(STAGING).exists());
        }
    }

    #[test]
    fn an_old_index_that_is_whole_waits_for_the_next_update() {
        let temp = tempfile::tempdir().unwrap();
        write(temp.path(), &[(META, "old")]);
        write(&temp.path().join(STAGING).join(READY), &[(META, "new")]);
        recover(temp.path());
        assert_eq!(read(temp.path(), META), "old");
        drop(Staging::begin(temp.path()).unwrap());
        assert_eq!(read(temp.path(), META), "new");
    }

    #[test]
    fn two_updates_of_one_index_do_not_meet() {
        let temp = tempfile::tempdir().unwrap();
        let first = Staging::begin(temp.path()).unwrap();
        let error = Staging::begin(temp.path()).err().unwrap().to_string();
        assert!(error.contains("another update"), "{error}");
        drop(first);
        assert!(Staging::begin(temp.path()).is_ok());
    }
}
