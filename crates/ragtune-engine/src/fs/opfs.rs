//! Nameless files of the origin's private file system, opened beforehand so that a worker reads and writes without
//! waiting.

use std::io;

use js_sys::{Array, Function, Object, Promise, Reflect, Uint8Array};
use wasm_bindgen::{JsCast, JsValue};
use wasm_bindgen_futures::JsFuture;

use super::tree::{Disk, Slots};
use super::web::DISK;

/// The folder in the origin's private file system.
const ROOT: &str = "ragtune";
/// Files that are at hand after mounting, and how many are always kept free: a checkpoint takes about ten.
const SPARE: usize = 48;

/// Open files, `FileSystemSyncAccessHandle` each.
pub(super) struct Handles(Vec<JsValue>);

/// What the disk holds and what the browser allows.
#[derive(Debug, Clone, Copy, Default, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Usage {
    /// Bytes of ragtune's files.
    pub files: u64,
    /// Bytes that the origin uses, as the browser tells.
    pub used: u64,
    /// Bytes that the browser grants the origin.
    pub quota: u64,
    /// Whether the browser promised not to clear them by itself.
    pub persistent: bool,
}

fn call(object: &JsValue, method: &str, args: &[&JsValue]) -> Result<JsValue, JsValue> {
    let function: Function = Reflect::get(object, &method.into())?.dyn_into()?;
    function.apply(object, &args.iter().collect::<Array>())
}

async fn wait(promise: JsValue) -> Result<JsValue, JsValue> {
    JsFuture::from(promise.dyn_into::<Promise>()?).await
}

/// An error of the browser as one of a system; a full quota is a full disk.
fn mapped(error: JsValue) -> io::Error {
    let text = |key: &str| Reflect::get(&error, &key.into()).ok().and_then(|text| text.as_string()).unwrap_or_default();
    let (name, message) = (text("name"), text("message"));
    let kind = match name.as_str() {
        "QuotaExceededError" => io::ErrorKind::StorageFull,
        "NotFoundError" => io::ErrorKind::NotFound,
        "NoModificationAllowedError" => io::ErrorKind::WouldBlock,
        _ => io::ErrorKind::Other,
    };
    io::Error::new(kind, format!("{name}: {message}"))
}

fn at(offset: u64) -> JsValue {
    let options = Object::new();
    // Setting a property of a fresh object does not fail.
    let _ = Reflect::set(&options, &"at".into(), &JsValue::from_f64(offset as f64));
    options.into()
}

impl Slots for Handles {
    fn count(&self) -> u32 {
        self.0.len() as u32
    }

    fn len(&self, slot: u32) -> io::Result<u64> {
        let size = call(&self.0[slot as usize], "getSize", &[]).map_err(mapped)?;
        Ok(size.as_f64().unwrap_or(0.0) as u64)
    }

    fn read_at(&self, slot: u32, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        // A copy on JavaScript's side: a view of wasm's memory would be stale as soon as the memory grows.
        let bytes = Uint8Array::new_with_length(buffer.len() as u32);
        let n = call(&self.0[slot as usize], "read", &[&bytes, &at(offset)]).map_err(mapped)?;
        let n = (n.as_f64().unwrap_or(0.0) as usize).min(buffer.len());
        bytes.subarray(0, n as u32).copy_to(&mut buffer[..n]);
        Ok(n)
    }

    fn write_at(&mut self, slot: u32, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let mut done = 0;
        while done < bytes.len() {
            let part = Uint8Array::from(&bytes[done..]);
            let n = call(&self.0[slot as usize], "write", &[&part, &at(offset + done as u64)]).map_err(mapped)?;
            match n.as_f64().unwrap_or(0.0) as usize {
                0 => return Err(io::Error::new(io::ErrorKind::StorageFull, "the browser wrote nothing")),
                n => done += n,
            }
        }
        Ok(())
    }

    fn set_len(&mut self, slot: u32, len: u64) -> io::Result<()> {
        call(&self.0[slot as usize], "truncate", &[&JsValue::from_f64(len as f64)]).map_err(mapped).map(drop)
    }

    fn sync(&mut self, slot: u32) -> io::Result<()> {
        call(&self.0[slot as usize], "flush", &[]).map_err(mapped).map(drop)
    }

    fn now(&self) -> u64 {
        js_sys::Date::now() as u64
    }
}

fn storage() -> Result<JsValue, JsValue> {
    let navigator = Reflect::get(&js_sys::global(), &"navigator".into())?;
    Reflect::get(&navigator, &"storage".into())
}

async fn folder() -> Result<JsValue, JsValue> {
    let root = wait(call(&storage()?, "getDirectory", &[])?).await?;
    let options = Object::new();
    Reflect::set(&options, &"create".into(), &true.into())?;
    wait(call(&root, "getDirectoryHandle", &[&ROOT.into(), &options])?).await
}

async fn open(folder: &JsValue, number: usize) -> Result<JsValue, JsValue> {
    let options = Object::new();
    Reflect::set(&options, &"create".into(), &true.into())?;
    let file = wait(call(folder, "getFileHandle", &[&format!("{number:05}").into(), &options])?).await?;
    wait(call(&file, "createSyncAccessHandle", &[])?).await
}

/// Opens the disk of this origin for this worker.
///
/// # Errors
/// When the browser has no such file system, or another tab has it open; the text says which.
pub async fn mount() -> Result<(), String> {
    let told = |error: JsValue| {
        let error = mapped(error);
        match error.kind() {
            io::ErrorKind::WouldBlock => {
                "ragtune is open in another tab of this browser, which holds its files. Close that tab and reload this one."
                    .to_owned()
            }
            _ => format!("this browser gives no place for files (origin private file system): {error}"),
        }
    };
    let folder = folder().await.map_err(told)?;
    let names = Reflect::get(&folder, &"keys".into()).map_err(told)?;
    let names: Function = names.dyn_into().map_err(told)?;
    let names = names.call0(&folder).map_err(told)?;
    let mut count = 0;
    loop {
        let next = wait(call(&names, "next", &[]).map_err(told)?).await.map_err(told)?;
        if Reflect::get(&next, &"done".into()).is_ok_and(|done| done.is_truthy()) {
            break;
        }
        count += 1;
    }
    let mut handles = Vec::new();
    for number in 0..count.max(SPARE) {
        handles.push(open(&folder, number).await.map_err(told)?);
    }
    let disk = Disk::open(Handles(handles)).map_err(|error| error.to_string())?;
    DISK.with_borrow_mut(|here| *here = Some(disk));
    Ok(())
}

/// Opens more files when few are free. To be called between jobs, where waiting is possible.
pub async fn prepare() -> Result<(), String> {
    let (free, count) =
        DISK.with_borrow(|disk| disk.as_ref().map_or((SPARE, 0), |disk| (disk.free(), disk.slots.0.len())));
    if free >= SPARE {
        return Ok(());
    }
    let told = |error| mapped(error).to_string();
    let folder = folder().await.map_err(told)?;
    for number in count..count + SPARE - free {
        let handle = open(&folder, number).await.map_err(told)?;
        DISK.with_borrow_mut(|disk| {
            if let Some(disk) = disk {
                disk.slots.0.push(handle);
                disk.more();
            }
        });
    }
    Ok(())
}

/// How full the disk is.
pub async fn usage() -> Usage {
    let mut usage = Usage { files: DISK.with_borrow(|disk| disk.as_ref().map_or(0, Disk::bytes)), ..Usage::default() };
    let estimate = async {
        let storage = storage()?;
        let estimate = wait(call(&storage, "estimate", &[])?).await?;
        let number = |key: &str| Ok::<_, JsValue>(Reflect::get(&estimate, &key.into())?.as_f64().unwrap_or(0.0) as u64);
        let persisted = wait(call(&storage, "persisted", &[])?).await?.is_truthy();
        Ok::<_, JsValue>((number("usage")?, number("quota")?, persisted))
    };
    if let Ok((used, quota, persistent)) = estimate.await {
        (usage.used, usage.quota, usage.persistent) = (used, quota, persistent);
    }
    usage
}

/// Removes everything; the worker is to be ended afterwards.
pub async fn wipe() -> Result<(), String> {
    let told = |error| mapped(error).to_string();
    if let Some(disk) = DISK.with_borrow_mut(Option::take) {
        for handle in disk.slots.0 {
            call(&handle, "close", &[]).map_err(told)?;
        }
    }
    let root = wait(call(&storage().map_err(told)?, "getDirectory", &[]).map_err(told)?).await.map_err(told)?;
    let options = Object::new();
    Reflect::set(&options, &"recursive".into(), &true.into()).map_err(told)?;
    wait(call(&root, "removeEntry", &[&ROOT.into(), &options]).map_err(told)?).await.map_err(told)?;
    Ok(())
}
