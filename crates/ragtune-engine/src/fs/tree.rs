//! Folders and names over numbered slots: a disk for places that only give nameless files.
//!
//! A browser lets a worker read and write a file without waiting only once the file is open, and opening takes a wait. So
//! a number of nameless files are opened beforehand, and this tree says which name each of them bears. The tree itself
//! is written into the first two slots in turns, with a checksum and a counter: whenever the tab dies, the last whole
//! copy counts, and a rename has happened or has not.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Component, Path, PathBuf};

use serde::{Deserialize, Serialize};

/// Slots that hold the tree itself.
const COPIES: u32 = 2;
const MAGIC: [u8; 4] = *b"rtd1";
/// Magic, checksum of the rest, length of the JSON.
const HEADER: usize = 4 + 4 + 8;

/// Nameless files by number.
pub(super) trait Slots {
    /// How many there are.
    fn count(&self) -> u32;
    /// Bytes in a slot.
    fn len(&self, slot: u32) -> io::Result<u64>;
    /// Reads from an offset; gives how many bytes were there.
    fn read_at(&self, slot: u32, offset: u64, buffer: &mut [u8]) -> io::Result<usize>;
    /// Writes all bytes at an offset.
    fn write_at(&mut self, slot: u32, offset: u64, bytes: &[u8]) -> io::Result<()>;
    /// Cuts or lengthens a slot.
    fn set_len(&mut self, slot: u32, len: u64) -> io::Result<()>;
    /// Makes what was written last.
    fn sync(&mut self, slot: u32) -> io::Result<()>;
    /// Milliseconds since 1970.
    fn now(&self) -> u64;
}

/// What bears a name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Node {
    /// A folder.
    Dir,
    /// A file: its slot, and when it was written.
    File {
        /// Where its bytes are.
        slot: u32,
        /// Milliseconds since 1970.
        modified: u64,
    },
}

#[derive(Serialize, Deserialize)]
struct Stored {
    sequence: u64,
    nodes: BTreeMap<PathBuf, Node>,
}

/// How a file is to be opened.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Opening {
    pub(super) create: bool,
    pub(super) create_new: bool,
    pub(super) truncate: bool,
}

/// The disk. Paths may be relative; they all start at the one root.
pub(super) struct Disk<S> {
    pub(super) slots: S,
    nodes: BTreeMap<PathBuf, Node>,
    free: BTreeSet<u32>,
    /// How often each slot is open; one without a name is freed when the last one closes it.
    open: BTreeMap<u32, usize>,
    locked: BTreeSet<u32>,
    sequence: u64,
}

fn error(kind: io::ErrorKind, text: &str) -> io::Error {
    io::Error::new(kind, text.to_owned())
}

/// The path from the root, without detours.
pub(super) fn plain(path: &Path) -> PathBuf {
    let mut plain = PathBuf::new();
    for part in path.components() {
        match part {
            Component::Normal(name) => plain.push(name),
            Component::ParentDir => {
                plain.pop();
            }
            _ => {}
        }
    }
    plain
}

impl<S: Slots> Disk<S> {
    /// The disk that the slots hold; an empty one when they hold none.
    pub(super) fn open(slots: S) -> io::Result<Self> {
        let mut best: Option<Stored> = None;
        for copy in 0..COPIES.min(slots.count()) {
            if let Some(stored) = read_copy(&slots, copy)
                && best.as_ref().is_none_or(|best| stored.sequence > best.sequence)
            {
                best = Some(stored);
            }
        }
        let Stored { sequence, nodes } = best.unwrap_or(Stored { sequence: 0, nodes: BTreeMap::new() });
        let mut disk =
            Self { slots, nodes, free: BTreeSet::new(), open: BTreeMap::new(), locked: BTreeSet::new(), sequence };
        // A slot that is no longer there takes its file with it; that happens when the browser lost it.
        let count = disk.slots.count();
        disk.nodes.retain(|_, node| !matches!(node, Node::File { slot, .. } if *slot >= count));
        disk.more();
        Ok(disk)
    }

    /// Counts slots that were added.
    pub(super) fn more(&mut self) {
        let used: BTreeSet<u32> = self.nodes.values().filter_map(slot_of).chain(self.open.keys().copied()).collect();
        self.free = (COPIES..self.slots.count()).filter(|slot| !used.contains(slot)).collect();
    }

    /// Slots without a file.
    pub(super) fn free(&self) -> usize {
        self.free.len()
    }

    fn store(&mut self) -> io::Result<()> {
        self.sequence += 1;
        let stored = Stored { sequence: self.sequence, nodes: self.nodes.clone() };
        let json = serde_json::to_vec(&stored).map_err(io::Error::other)?;
        let mut bytes = Vec::with_capacity(HEADER + json.len());
        bytes.extend(MAGIC);
        bytes.extend(crc32fast::hash(&json).to_le_bytes());
        bytes.extend((json.len() as u64).to_le_bytes());
        bytes.extend(json);
        let copy = (self.sequence % u64::from(COPIES)) as u32;
        self.slots.write_at(copy, 0, &bytes)?;
        self.slots.sync(copy)
    }

    /// Changes the tree, or leaves it as it was when it cannot be stored.
    fn change(&mut self, change: impl FnOnce(&mut BTreeMap<PathBuf, Node>)) -> io::Result<()> {
        let before = self.nodes.clone();
        change(&mut self.nodes);
        let stored = self.store();
        if stored.is_err() {
            self.nodes = before;
            return stored;
        }
        // Slots that have lost their names and are not open.
        let used: BTreeSet<u32> = self.nodes.values().filter_map(slot_of).collect();
        for slot in before.values().filter_map(slot_of).filter(|slot| !used.contains(slot)) {
            self.release(slot);
        }
        Ok(())
    }

    fn release(&mut self, slot: u32) {
        if !self.open.contains_key(&slot) {
            // Its bytes count against the quota until it is cut; a failure only wastes them.
            let _ = self.slots.set_len(slot, 0);
            self.free.insert(slot);
        }
    }

    /// What is at a path.
    pub(super) fn node(&self, path: &Path) -> io::Result<Node> {
        let path = plain(path);
        if path.as_os_str().is_empty() {
            return Ok(Node::Dir);
        }
        self.nodes.get(&path).cloned().ok_or_else(|| error(io::ErrorKind::NotFound, "no such file or folder"))
    }

    /// Names and nodes directly below a folder, in their order.
    pub(super) fn list(&self, path: &Path) -> io::Result<Vec<(PathBuf, Node)>> {
        match self.node(path)? {
            Node::File { .. } => Err(error(io::ErrorKind::NotADirectory, "this is a file, a folder is needed")),
            Node::Dir => {
                let folder = plain(path);
                let inside = |at: &PathBuf| at.parent() == Some(&folder);
                Ok(self
                    .nodes
                    .iter()
                    .filter(|(at, _)| inside(at))
                    .map(|(at, node)| (at.clone(), node.clone()))
                    .collect())
            }
        }
    }

    fn parent_exists(&self, path: &Path) -> io::Result<()> {
        match path.parent().map(|parent| self.node(parent)) {
            Some(Ok(Node::Dir)) => Ok(()),
            Some(Ok(_)) => Err(error(io::ErrorKind::NotADirectory, "its folder is a file")),
            _ => Err(error(io::ErrorKind::NotFound, "its folder does not exist")),
        }
    }

    /// Opens a file and counts it as open; gives its slot.
    pub(super) fn open_file(&mut self, path: &Path, opening: Opening) -> io::Result<u32> {
        let path = plain(path);
        let slot = match self.node(&path) {
            Ok(Node::Dir) => return Err(error(io::ErrorKind::IsADirectory, "this is a folder, a file is needed")),
            Ok(Node::File { .. }) if opening.create_new => {
                return Err(error(io::ErrorKind::AlreadyExists, "there is such a file already"));
            }
            Ok(Node::File { slot, .. }) => {
                if opening.truncate {
                    self.slots.set_len(slot, 0)?;
                    self.touch(slot);
                }
                slot
            }
            Err(_) if opening.create || opening.create_new => {
                self.parent_exists(&path)?;
                let Some(slot) = self.free.pop_first() else {
                    return Err(error(io::ErrorKind::StorageFull, "the browser gave no more files; run it again"));
                };
                self.slots.set_len(slot, 0)?;
                let modified = self.slots.now();
                if let Err(error) = self.change(|nodes| _ = nodes.insert(path, Node::File { slot, modified })) {
                    self.free.insert(slot);
                    return Err(error);
                }
                slot
            }
            Err(error) => return Err(error),
        };
        *self.open.entry(slot).or_default() += 1;
        Ok(slot)
    }

    /// The same file once more.
    #[cfg(target_family = "wasm")]
    pub(super) fn reopen(&mut self, slot: u32) {
        *self.open.entry(slot).or_default() += 1;
    }

    /// One open file less.
    pub(super) fn close(&mut self, slot: u32) {
        if let Some(count) = self.open.get_mut(&slot) {
            *count -= 1;
            if *count == 0 {
                self.open.remove(&slot);
                if !self.nodes.values().any(|node| slot_of(node) == Some(slot)) {
                    self.release(slot);
                }
            }
        }
    }

    /// Takes the only lock of a file; false when another has it.
    pub(super) fn lock(&mut self, slot: u32) -> bool {
        self.locked.insert(slot)
    }

    /// Gives it back.
    pub(super) fn unlock(&mut self, slot: u32) {
        self.locked.remove(&slot);
    }

    /// Writes at an offset of an open file.
    pub(super) fn write_at(&mut self, slot: u32, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.slots.write_at(slot, offset, bytes)?;
        self.touch(slot);
        Ok(())
    }

    /// The time is stored with the next change of the tree; it only tells a changed file from an unchanged one.
    fn touch(&mut self, slot: u32) {
        let now = self.slots.now();
        for node in self.nodes.values_mut() {
            if let Node::File { slot: this, modified } = node
                && *this == slot
            {
                *modified = now;
            }
        }
    }

    /// Makes a folder and those above it.
    pub(super) fn create_dir_all(&mut self, path: &Path) -> io::Result<()> {
        let path = plain(path);
        let mut missing = Vec::new();
        for at in path.ancestors().filter(|at| !at.as_os_str().is_empty()) {
            match self.nodes.get(at) {
                Some(Node::Dir) => break,
                Some(Node::File { .. }) => {
                    return Err(error(io::ErrorKind::NotADirectory, "this is a file, a folder is needed"));
                }
                None => missing.push(at.to_owned()),
            }
        }
        if missing.is_empty() {
            return Ok(());
        }
        self.change(|nodes| nodes.extend(missing.into_iter().map(|at| (at, Node::Dir))))
    }

    /// Removes a file.
    pub(super) fn remove_file(&mut self, path: &Path) -> io::Result<()> {
        let path = plain(path);
        match self.node(&path)? {
            Node::Dir => Err(error(io::ErrorKind::IsADirectory, "this is a folder")),
            Node::File { .. } => self.change(|nodes| _ = nodes.remove(&path)),
        }
    }

    /// Removes a folder, with all below it or only when it is empty.
    pub(super) fn remove_dir(&mut self, path: &Path, all: bool) -> io::Result<()> {
        let path = plain(path);
        if !all && !self.list(&path)?.is_empty() {
            return Err(error(io::ErrorKind::DirectoryNotEmpty, "this folder is not empty"));
        }
        match self.node(&path)? {
            Node::File { .. } => Err(error(io::ErrorKind::NotADirectory, "this is a file")),
            Node::Dir => self.change(|nodes| nodes.retain(|at, _| !at.starts_with(&path))),
        }
    }

    /// Gives a file or a folder another name; a file takes the place of another.
    pub(super) fn rename(&mut self, from: &Path, to: &Path) -> io::Result<()> {
        let (from, to) = (plain(from), plain(to));
        let node = self.node(&from)?;
        self.parent_exists(&to)?;
        match (node, self.node(&to)) {
            _ if from == to => return Ok(()),
            (Node::Dir, _) if to.starts_with(&from) => {
                return Err(error(io::ErrorKind::InvalidInput, "a folder cannot be moved into itself"));
            }
            (Node::Dir, Ok(Node::Dir)) if !self.list(&to)?.is_empty() => {
                return Err(error(io::ErrorKind::DirectoryNotEmpty, "there is such a folder already"));
            }
            (Node::Dir, Ok(Node::File { .. })) => {
                return Err(error(io::ErrorKind::NotADirectory, "there is a file of this name"));
            }
            (Node::File { .. }, Ok(Node::Dir)) => {
                return Err(error(io::ErrorKind::IsADirectory, "there is a folder of this name"));
            }
            _ => {}
        }
        self.change(|nodes| {
            let moved: Vec<PathBuf> = nodes.keys().filter(|at| at.starts_with(&from)).cloned().collect();
            for at in moved {
                if let (Some(node), Ok(rest)) = (nodes.remove(&at), at.strip_prefix(&from)) {
                    // Joining an empty rest would add a slash.
                    let target = if rest.as_os_str().is_empty() { to.clone() } else { to.join(rest) };
                    nodes.insert(target, node);
                }
            }
        })
    }

    /// Bytes of all files.
    pub(super) fn bytes(&self) -> u64 {
        self.nodes.values().filter_map(slot_of).filter_map(|slot| self.slots.len(slot).ok()).sum()
    }
}

fn slot_of(node: &Node) -> Option<u32> {
    match node {
        Node::File { slot, .. } => Some(*slot),
        Node::Dir => None,
    }
}

/// A whole copy of the tree, or none.
fn read_copy(slots: &impl Slots, copy: u32) -> Option<Stored> {
    let len = slots.len(copy).ok()?;
    let mut header = [0u8; HEADER];
    if slots.read_at(copy, 0, &mut header).ok()? < HEADER || header[..4] != MAGIC {
        return None;
    }
    let checksum = u32::from_le_bytes(header[4..8].try_into().ok()?);
    let length = u64::from_le_bytes(header[8..].try_into().ok()?);
    if length > len.saturating_sub(HEADER as u64) {
        return None;
    }
    let mut json = vec![0u8; usize::try_from(length).ok()?];
    let read = slots.read_at(copy, HEADER as u64, &mut json).ok()?;
    (read == json.len() && crc32fast::hash(&json) == checksum).then(|| serde_json::from_slice(&json).ok())?
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::RefCell;
    use std::rc::Rc;

    /// Slots in memory that outlive a disk, as a browser's do, and fail on demand.
    #[derive(Clone, Default)]
    struct Memory(Rc<RefCell<(Vec<Vec<u8>>, bool)>>);

    impl Memory {
        fn new(slots: usize) -> Self {
            Self(Rc::new(RefCell::new((vec![Vec::new(); slots], false))))
        }
    }

    impl Slots for Memory {
        fn count(&self) -> u32 {
            self.0.borrow().0.len() as u32
        }
        fn len(&self, slot: u32) -> io::Result<u64> {
            Ok(self.0.borrow().0[slot as usize].len() as u64)
        }
        fn read_at(&self, slot: u32, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
            let inner = self.0.borrow();
            let bytes = inner.0[slot as usize].get(offset as usize..).unwrap_or_default();
            let n = bytes.len().min(buffer.len());
            buffer[..n].copy_from_slice(&bytes[..n]);
            Ok(n)
        }
        fn write_at(&mut self, slot: u32, offset: u64, bytes: &[u8]) -> io::Result<()> {
            let mut inner = self.0.borrow_mut();
            if inner.1 {
                return Err(io::ErrorKind::StorageFull.into());
            }
            let end = offset as usize + bytes.len();
            let file = &mut inner.0[slot as usize];
            file.resize(file.len().max(end), 0);
            file[offset as usize..end].copy_from_slice(bytes);
            Ok(())
        }
        fn set_len(&mut self, slot: u32, len: u64) -> io::Result<()> {
            self.0.borrow_mut().0[slot as usize].resize(len as usize, 0);
            Ok(())
        }
        fn sync(&mut self, _: u32) -> io::Result<()> {
            Ok(())
        }
        fn now(&self) -> u64 {
            7
        }
    }

    fn write(disk: &mut Disk<Memory>, path: &str, text: &str) -> io::Result<()> {
        let opening = Opening { create: true, truncate: true, ..Opening::default() };
        let slot = disk.open_file(Path::new(path), opening)?;
        let result = disk.write_at(slot, 0, text.as_bytes());
        disk.close(slot);
        result
    }

    fn read(disk: &mut Disk<Memory>, path: &str) -> io::Result<String> {
        let slot = disk.open_file(Path::new(path), Opening::default())?;
        let mut bytes = vec![0; disk.slots.len(slot)? as usize];
        disk.slots.read_at(slot, 0, &mut bytes)?;
        disk.close(slot);
        Ok(String::from_utf8(bytes).unwrap())
    }

    fn names(disk: &Disk<Memory>, path: &str) -> Vec<String> {
        disk.list(Path::new(path)).unwrap().into_iter().map(|(at, _)| at.display().to_string()).collect()
    }

    #[test]
    fn what_was_written_is_there_after_the_tab_was_closed() {
        let memory = Memory::new(8);
        let mut disk = Disk::open(memory.clone()).unwrap();
        disk.create_dir_all(Path::new("/home/project/index")).unwrap();
        write(&mut disk, "/home/project/a.json", "first").unwrap();
        write(&mut disk, "home/project/a.json", "second").unwrap();
        write(&mut disk, "/home/project/index/b.tmp", "bytes").unwrap();
        disk.rename(Path::new("/home/project/index/b.tmp"), Path::new("/home/project/index/b")).unwrap();
        drop(disk);
        let mut disk = Disk::open(memory).unwrap();
        assert_eq!(read(&mut disk, "/home/project/a.json").unwrap(), "second");
        assert_eq!(read(&mut disk, "/home/./x/../project/index/b").unwrap(), "bytes");
        assert_eq!(names(&disk, "/home/project"), ["home/project/a.json", "home/project/index"]);
        assert_eq!(disk.bytes(), 11);
    }

    #[test]
    fn a_torn_copy_of_the_tree_gives_way_to_the_one_before() {
        let memory = Memory::new(8);
        let mut disk = Disk::open(memory.clone()).unwrap();
        write(&mut disk, "a", "1").unwrap();
        write(&mut disk, "b", "2").unwrap();
        let torn = (disk.sequence % 2) as usize;
        drop(disk);
        let last = memory.0.borrow().0[torn].len() - 1;
        memory.0.borrow_mut().0[torn][last] ^= 1;
        let mut disk = Disk::open(memory).unwrap();
        assert_eq!(read(&mut disk, "a").unwrap(), "1");
        assert_eq!(names(&disk, ""), ["a"], "the last change did not happen");
        write(&mut disk, "c", "3").unwrap();
        assert_eq!(read(&mut disk, "c").unwrap(), "3");
    }

    #[test]
    fn a_file_that_is_replaced_or_removed_keeps_its_bytes_while_it_is_open() {
        let mut disk = Disk::open(Memory::new(5)).unwrap();
        write(&mut disk, "a", "old").unwrap();
        write(&mut disk, "b", "new").unwrap();
        let slot = disk.open_file(Path::new("a"), Opening::default()).unwrap();
        disk.rename(Path::new("b"), Path::new("a")).unwrap();
        let mut bytes = [0; 3];
        disk.slots.read_at(slot, 0, &mut bytes).unwrap();
        assert_eq!((&bytes, read(&mut disk, "a").unwrap().as_str()), (b"old", "new"));
        assert_eq!(disk.free(), 1);
        disk.close(slot);
        assert_eq!(disk.free(), 2, "now it is free");
        disk.remove_file(Path::new("a")).unwrap();
        assert_eq!(disk.free(), 3);
    }

    #[test]
    fn folders_move_and_go_with_all_that_is_in_them() {
        let mut disk = Disk::open(Memory::new(8)).unwrap();
        disk.create_dir_all(Path::new("index/.update/a")).unwrap();
        write(&mut disk, "index/.update/a/meta", "m").unwrap();
        disk.rename(Path::new("index/.update/a"), Path::new("index/.update/ready")).unwrap();
        assert_eq!(read(&mut disk, "index/.update/ready/meta").unwrap(), "m");
        assert!(disk.remove_dir(Path::new("index"), false).is_err());
        disk.remove_dir(Path::new("index/.update"), true).unwrap();
        assert!(names(&disk, "index").is_empty());
        assert_eq!(disk.free(), 6);
        assert!(disk.rename(Path::new("index"), Path::new("index/inside")).is_err());
    }

    #[test]
    fn a_full_disk_changes_nothing() {
        let memory = Memory::new(8);
        let mut disk = Disk::open(memory.clone()).unwrap();
        write(&mut disk, "a", "1").unwrap();
        memory.0.borrow_mut().1 = true;
        assert_eq!(write(&mut disk, "b", "2").unwrap_err().kind(), io::ErrorKind::StorageFull);
        assert!(disk.rename(Path::new("a"), Path::new("c")).is_err());
        memory.0.borrow_mut().1 = false;
        assert_eq!(names(&disk, ""), ["a"]);
        write(&mut disk, "b", "2").unwrap();
        assert_eq!(read(&mut disk, "b").unwrap(), "2");
    }

    #[test]
    fn slots_run_out_and_more_can_be_added() {
        let memory = Memory::new(3);
        let mut disk = Disk::open(memory.clone()).unwrap();
        write(&mut disk, "a", "1").unwrap();
        assert_eq!(write(&mut disk, "b", "2").unwrap_err().kind(), io::ErrorKind::StorageFull);
        memory.0.borrow_mut().0.push(Vec::new());
        disk.more();
        write(&mut disk, "b", "2").unwrap();
    }

    #[test]
    fn names_are_files_or_folders_and_errors_say_which() {
        let mut disk = Disk::open(Memory::new(8)).unwrap();
        write(&mut disk, "a", "1").unwrap();
        let new = Opening { create_new: true, ..Opening::default() };
        assert_eq!(disk.open_file(Path::new("a"), new).unwrap_err().kind(), io::ErrorKind::AlreadyExists);
        assert_eq!(disk.open_file(Path::new("none/b"), new).unwrap_err().kind(), io::ErrorKind::NotFound);
        assert_eq!(disk.create_dir_all(Path::new("a/b")).unwrap_err().kind(), io::ErrorKind::NotADirectory);
        assert_eq!(read(&mut disk, "").unwrap_err().kind(), io::ErrorKind::IsADirectory);
        assert!(disk.lock(3) && !disk.lock(3));
        disk.unlock(3);
        assert!(disk.lock(3));
    }
}
