//! A folder on disk as a [`Directory`].

use crate::fs::{self, File, OpenOptions};
use std::cell::RefCell;
use std::collections::BTreeSet;
use std::io::{self, BufWriter, Read, Seek, SeekFrom, Write};
use std::path::{Component, Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use ragtune_text::storage::{Directory, FileBytes, FileWriter};

const BUFFER: usize = 1 << 18;
const TEMPORARY: &str = "tmp";

/// Tells the temporary files of one process apart.
static COUNTER: AtomicU64 = AtomicU64::new(0);

/// A folder on disk.
///
/// A file is written as `NAME.PID.N.tmp`, synced, and renamed; then the folder is synced. The temporary file is locked
/// while it is being written, so that what a killed process left behind can be told from the work of a living one: it
/// is removed when the folder is opened.
#[derive(Debug)]
pub struct Folder {
    root: PathBuf,
    /// The file of a model beside which other models' files are not looked at.
    model: Option<String>,
    /// Sub-folders whose leftovers were removed.
    swept: RefCell<BTreeSet<PathBuf>>,
}

impl Folder {
    /// Opens a folder that exists.
    pub fn open(path: impl Into<PathBuf>) -> io::Result<Self> {
        let root = path.into();
        let kind = fs::metadata(&root).map_err(|error| named(&root, error))?;
        if !kind.is_dir() {
            return Err(with_text(io::ErrorKind::NotADirectory, &root, "this is a file, a folder is needed"));
        }
        let folder = Self { root, model: None, swept: RefCell::default() };
        folder.sweep(&folder.root);
        Ok(folder)
    }

    /// Opens a folder, making it and those above it if needed.
    pub fn create(path: impl Into<PathBuf>) -> io::Result<Self> {
        let root = path.into();
        fs::create_dir_all(&root).map_err(|error| named(&root, error))?;
        Self::open(root)
    }

    /// The same folder as one of several models in it sees it: without the other files of weights.
    pub fn with_model(self, name: &str) -> Self {
        Self { model: Some(name.to_owned()), ..self }
    }

    /// Whether a name is of another model than the one that is looked at.
    fn is_hidden(&self, name: &str) -> bool {
        let weights = name.ends_with(".gguf") || name.contains(".safetensors") || name == "config.json";
        self.model.as_deref().is_some_and(|model| weights && model != name)
    }

    /// The folder's path.
    pub fn path(&self) -> &Path {
        &self.root
    }

    /// Removes temporary files that no living process holds. A failure is no harm: the files are only litter.
    fn sweep(&self, folder: &Path) {
        if !self.swept.borrow_mut().insert(folder.to_owned()) {
            return;
        }
        for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
            let path = entry.path();
            let free = || OpenOptions::new().write(true).open(&path).is_ok_and(|file| file.try_lock().is_ok());
            if is_temporary(&path) && free() {
                let _ = fs::remove_file(&path);
            }
        }
    }

    fn full(&self, name: &str) -> io::Result<PathBuf> {
        let relative = Path::new(name);
        let plain = !name.is_empty() && relative.components().all(|part| matches!(part, Component::Normal(_)));
        if !plain {
            return Err(with_text(io::ErrorKind::InvalidInput, &self.root.join(name), "this name leaves the folder"));
        }
        Ok(self.root.join(relative))
    }
}

/// Whether the name is `NAME.PID.N.tmp`.
fn is_temporary(path: &Path) -> bool {
    let Some(name) = path.file_name().and_then(|name| name.to_str()) else { return false };
    let mut parts = name.rsplit('.');
    let number =
        |part: Option<&str>| part.is_some_and(|part| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit()));
    parts.next() == Some(TEMPORARY) && number(parts.next()) && number(parts.next()) && parts.next().is_some()
}

/// The same error with the path in front, and the way out where there is one.
fn named(path: &Path, error: io::Error) -> io::Error {
    match error.kind() {
        io::ErrorKind::NotFound => with_text(error.kind(), path, "no such file or folder"),
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge => with_text(
            error.kind(),
            path,
            &format!("the disk is full or its quota is used up ({error}); make room and run again"),
        ),
        io::ErrorKind::PermissionDenied => {
            with_text(error.kind(), path, "permission denied; check the rights of file and folder")
        }
        kind => with_text(kind, path, &error.to_string()),
    }
}

fn with_text(kind: io::ErrorKind, path: &Path, text: &str) -> io::Error {
    io::Error::new(kind, format!("{}: {text}", path.display()))
}

struct FolderWriter {
    /// `None` once the file has its final name.
    file: Option<BufWriter<File>>,
    temporary: PathBuf,
    path: PathBuf,
}

impl FolderWriter {
    fn create(path: PathBuf) -> io::Result<Self> {
        loop {
            let n = COUNTER.fetch_add(1, Ordering::Relaxed);
            let mut temporary = path.clone().into_os_string();
            temporary.push(format!(".{}.{n}.{TEMPORARY}", fs::process()));
            let temporary = PathBuf::from(temporary);
            let file = match OpenOptions::new().write(true).create_new(true).open(&temporary) {
                Ok(file) => file,
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => continue,
                Err(error) => return Err(named(&path, error)),
            };
            // Between making and locking the file a sweep may have taken it for litter: then another one is made.
            // A file system without locks keeps its litter and its files.
            let locked = file.lock();
            if locked.is_err() || fs::exists(&temporary) {
                return Ok(Self { file: Some(BufWriter::with_capacity(BUFFER, file)), temporary, path });
            }
        }
    }
}

impl Write for FolderWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match &mut self.file {
            Some(file) => file.write(bytes).map_err(|error| named(&self.path, error)),
            None => Ok(0),
        }
    }
    fn flush(&mut self) -> io::Result<()> {
        self.file.as_mut().map_or(Ok(()), |file| file.flush()).map_err(|error| named(&self.path, error))
    }
}

impl FileWriter for FolderWriter {
    fn finish(mut self: Box<Self>) -> io::Result<()> {
        let Some(file) = self.file.take() else { return Ok(()) };
        let file = file.into_inner().map_err(io::IntoInnerError::into_error);
        // The file stays open, and so locked, until it has its name: nobody takes it for litter.
        let result = file.and_then(|file| file.sync_all().and_then(|()| fs::rename(&self.temporary, &self.path)));
        if let Err(error) = result {
            let _ = fs::remove_file(&self.temporary);
            return Err(named(&self.path, error));
        }
        sync_folder(&self.path);
        Ok(())
    }
}

impl Drop for FolderWriter {
    fn drop(&mut self) {
        if self.file.take().is_some() {
            let _ = fs::remove_file(&self.temporary);
        }
    }
}

/// Makes a rename durable. Where a folder cannot be opened as a file, the system takes care of it.
fn sync_folder(path: &Path) {
    if let Some(folder) = path.parent()
        && let Ok(folder) = File::open(folder)
    {
        let _ = folder.sync_all();
    }
}

impl Directory for Folder {
    fn read(&self, name: &str) -> io::Result<FileBytes> {
        let path = self.full(name)?;
        let fail = |error| named(&path, error);
        let file = File::open(&path).map_err(fail)?;
        let kind = file.metadata().map_err(fail)?;
        if kind.is_dir() {
            return Err(with_text(io::ErrorKind::IsADirectory, &path, "this is a folder, a file is needed"));
        }
        fs::whole(&file, kind.len()).map_err(fail)
    }

    fn size(&self, name: &str) -> io::Result<u64> {
        let path = self.full(name)?;
        Ok(fs::metadata(&path).map_err(|error| named(&path, error))?.len())
    }

    fn read_part(&self, name: &str, start: u64, length: usize) -> io::Result<Vec<u8>> {
        let path = self.full(name)?;
        let part = || {
            let mut file = File::open(&path)?;
            file.seek(SeekFrom::Start(start))?;
            // Room is made as bytes come: a length that a damaged file claims is no reason to take so much.
            let mut bytes = Vec::new();
            file.take(length as u64).read_to_end(&mut bytes)?;
            if bytes.len() < length {
                return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "it ends too early; copy the file again"));
            }
            Ok(bytes)
        };
        part().map_err(|error| named(&path, error))
    }

    fn create(&self, name: &str) -> io::Result<Box<dyn FileWriter>> {
        let path = self.full(name)?;
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder).map_err(|error| named(folder, error))?;
            self.sweep(folder);
        }
        Ok(Box::new(FolderWriter::create(path)?))
    }

    fn append(&self, name: &str, bytes: &[u8]) -> io::Result<()> {
        let path = self.full(name)?;
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder).map_err(|error| named(folder, error))?;
        }
        let append = || OpenOptions::new().append(true).create(true).open(&path)?.write_all(bytes);
        append().map_err(|error| named(&path, error))
    }

    fn exists(&self, name: &str) -> bool {
        !self.is_hidden(name) && self.full(name).is_ok_and(|path| fs::is_file(&path))
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        let path = self.full(name)?;
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(named(&path, error)),
            _ => {
                // Folders come and go with their files; the system keeps those that are not empty.
                let below = |folder: &&Path| *folder != self.root && folder.starts_with(&self.root);
                let mut folders = path.ancestors().skip(1).take_while(below);
                while folders.next().is_some_and(|folder| fs::remove_dir(folder).is_ok()) {}
                Ok(())
            }
        }
    }

    fn list(&self, under: &str) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        // A folder, or the beginning of names in it.
        let start = under.rsplit_once('/').map_or("", |(folder, _)| folder);
        let root = if start.is_empty() { self.root.clone() } else { self.full(start)? };
        if fs::is_dir(&root) {
            walk(&root, start, &mut names)?;
        }
        names.retain(|name| name.starts_with(under) && !is_temporary(Path::new(name)) && !self.is_hidden(name));
        names.sort();
        Ok(names)
    }

    fn describe(&self, name: &str) -> String {
        self.root.join(name).display().to_string()
    }
}

fn walk(folder: &Path, prefix: &str, names: &mut Vec<String>) -> io::Result<()> {
    for entry in fs::read_dir(folder).map_err(|error| named(folder, error))? {
        let entry = entry.map_err(|error| named(folder, error))?;
        let Ok(name) = entry.file_name().into_string() else { continue };
        let name = if prefix.is_empty() { name } else { format!("{prefix}/{name}") };
        let path = entry.path();
        if fs::is_dir(&path) {
            walk(&path, &name, names)?;
        } else {
            names.push(name);
        }
    }
    Ok(())
}

/// Writes one file anywhere on disk in one step, with the folders above it.
pub fn write_file(path: &Path, write: &mut dyn FnMut(&mut dyn Write) -> io::Result<()>) -> io::Result<()> {
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    let name = path
        .file_name()
        .and_then(|name| name.to_str())
        .ok_or_else(|| with_text(io::ErrorKind::InvalidInput, path, "this is not the name of a file"))?;
    let mut file = Folder::create(folder)?.create(name)?;
    write(&mut *file)?;
    file.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(path: &Path) -> Vec<String> {
        let mut names: Vec<_> =
            fs::read_dir(path).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    #[test]
    fn a_file_appears_whole_or_not_at_all() {
        let temp = tempfile::tempdir().unwrap();
        let folder = Folder::open(temp.path()).unwrap();
        folder.write("a.bin", b"old").unwrap();
        let mut writer = folder.create("a.bin").unwrap();
        writer.write_all(b"new content").unwrap();
        assert_eq!(&*folder.read("a.bin").unwrap(), b"old");
        writer.finish().unwrap();
        assert_eq!(&*folder.read("a.bin").unwrap(), b"new content");
        let mut dropped = folder.create("sub/b.bin").unwrap();
        dropped.write_all(b"half").unwrap();
        drop(dropped);
        assert!(!folder.exists("sub/b.bin"));
        assert_eq!(names(temp.path()), ["a.bin", "sub"]);
        assert!(names(&temp.path().join("sub")).is_empty());
    }

    #[test]
    fn a_mapped_file_keeps_its_content_when_it_is_replaced() {
        let temp = tempfile::tempdir().unwrap();
        let folder = Folder::open(temp.path()).unwrap();
        folder.write("big", &vec![1; 1 << 18]).unwrap();
        let old = folder.read("big").unwrap();
        folder.write("big", &vec![2; 1 << 17]).unwrap();
        assert!(old.len() == 1 << 18 && old.iter().all(|&byte| byte == 1));
        assert!(folder.read("big").unwrap().iter().all(|&byte| byte == 2));
    }

    #[test]
    fn leftovers_of_the_dead_go_and_those_of_the_living_stay() {
        let temp = tempfile::tempdir().unwrap();
        let folder = Folder::open(temp.path()).unwrap();
        let mut living = folder.create("a.bin").unwrap();
        living.write_all(b"x").unwrap();
        fs::write(temp.path().join("a.bin.4000000.7.tmp"), b"dead").unwrap();
        fs::write(temp.path().join("notes.tmp"), b"not ours").unwrap();
        let again = Folder::open(temp.path()).unwrap();
        assert_eq!(names(temp.path()).len(), 2);
        assert_eq!(again.list("").unwrap(), ["notes.tmp"]);
        living.finish().unwrap();
        assert_eq!(names(temp.path()), ["a.bin", "notes.tmp"]);
    }

    #[test]
    fn errors_name_the_file_and_names_stay_inside() {
        let temp = tempfile::tempdir().unwrap();
        let folder = Folder::open(temp.path()).unwrap();
        let error = folder.read("deep/none.bin").err().unwrap();
        assert_eq!(error.kind(), io::ErrorKind::NotFound);
        assert!(error.to_string().contains("none.bin"), "{error}");
        for name in ["../a", "/etc/passwd", "a/../../b", ""] {
            assert!(folder.read(name).is_err() && folder.create(name).is_err(), "{name}");
        }
        assert!(Folder::open(temp.path().join("none")).is_err());
        fs::write(temp.path().join("file"), b"").unwrap();
        assert!(Folder::open(temp.path().join("file")).unwrap_err().to_string().contains("folder is needed"));
    }

    #[test]
    fn logs_grow_and_lists_are_sorted() {
        let temp = tempfile::tempdir().unwrap();
        let folder = Folder::create(temp.path().join("run")).unwrap();
        folder.append("log/metrics.jsonl", b"1\n").unwrap();
        folder.append("log/metrics.jsonl", b"2\n").unwrap();
        folder.write("b", b"").unwrap();
        folder.write("a", b"").unwrap();
        assert_eq!(&*folder.read("log/metrics.jsonl").unwrap(), b"1\n2\n");
        assert_eq!(folder.list("").unwrap(), ["a", "b", "log/metrics.jsonl"]);
        assert_eq!(folder.list("log/").unwrap(), ["log/metrics.jsonl"]);
        assert_eq!(folder.list("log").unwrap(), ["log/metrics.jsonl"]);
        assert!(folder.list("none/").unwrap().is_empty());
        folder.remove("a").unwrap();
        folder.remove("a").unwrap();
        assert!(!folder.exists("a"));
    }

    #[test]
    fn a_folder_goes_with_its_last_file() {
        let temp = tempfile::tempdir().unwrap();
        let folder = Folder::create(temp.path().join("run")).unwrap();
        for name in ["old/optim/state", "old/encoder", "kept"] {
            folder.write(name, b"").unwrap();
        }
        folder.remove("old/optim/state").unwrap();
        assert_eq!(names(&temp.path().join("run")), ["kept", "old"]);
        assert_eq!(names(&temp.path().join("run/old")), ["encoder"]);
        folder.remove("old/encoder").unwrap();
        assert_eq!(names(&temp.path().join("run")), ["kept"]);
        folder.remove("kept").unwrap();
        assert!(temp.path().join("run").is_dir(), "the folder itself stays");
    }
}
