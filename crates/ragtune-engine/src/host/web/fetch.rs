//! Files from a URL, in parts, so that a large one neither fills the memory nor is lost half way.

use std::collections::BTreeSet;
use std::io::Write as _;
use std::path::Path;

use js_sys::{Function, Reflect, Uint8Array};
use sha2::{Digest as _, Sha256};
use wasm_bindgen::{JsCast as _, JsValue};

use super::ToPage;
use super::worker::{breathe, method, new, tell};
use crate::fs;

/// Bytes that are asked for at once.
const PART: u64 = 8 << 20;
/// The index of weights in shards.
const SHARDS: &str = "model.safetensors.index.json";
/// The folder beside the page that holds the sample's models.
const SAMPLE: &str = "sample";

/// Fetches a file unless it is there whole, and tells that it is kept.
pub(super) fn fetch(url: &str, path: &Path, sha256: Option<&str>) -> Result<(), String> {
    bring(url, path, sha256)?;
    tell(&ToPage::Kept { path: path.to_owned() }, None);
    Ok(())
}

/// Fetches the files of a model's folder, as Hugging Face names them: what every model has, ragtune's own settings and a
/// chat template if there are any, and the weights, in one file or in the shards that its index names.
pub(super) fn model(address: &str, folder: &Path) -> Result<(), String> {
    let address = address.trim_end_matches('/');
    let bring = |name: &str| bring(&format!("{address}/{name}"), &folder.join(name), None);
    for name in ["config.json", "tokenizer.json"] {
        bring(name)?;
    }
    for name in ["ragtune.json", "tokenizer_config.json", "chat_template.jinja"] {
        if let Err(fault @ Fault { missing: false, .. }) = bring(name) {
            return Err(fault.text);
        }
    }
    match bring("model.safetensors") {
        Err(Fault { missing: true, text }) => {
            bring(SHARDS).map_err(|fault| if fault.missing { text } else { fault.text })?;
            for name in shards(&folder.join(SHARDS))? {
                bring(&name)?;
            }
        }
        whole => whole?,
    }
    tell(&ToPage::Kept { path: folder.to_owned() }, None);
    Ok(())
}

/// The files that an index of shards names.
fn shards(index: &Path) -> Result<BTreeSet<String>, String> {
    let wrong = |why: &str| format!("{}: {why}; is it the index of a model in shards?", index.display());
    let text = fs::read(index).map_err(|error| wrong(&error.to_string()))?;
    let json: serde_json::Value = serde_json::from_slice(&text).map_err(|error| wrong(&error.to_string()))?;
    let map = json["weight_map"].as_object().ok_or_else(|| wrong("it has no weight_map"))?;
    let names: BTreeSet<String> = map.values().filter_map(|name| Some(name.as_str()?.to_owned())).collect();
    if names.is_empty() || names.iter().any(|name| name.contains(['/', '\\'])) {
        return Err(wrong("its weight_map names no files beside it"));
    }
    Ok(names)
}

/// Why a file did not come.
struct Fault {
    /// The server has none of this name.
    missing: bool,
    text: String,
}

impl From<String> for Fault {
    fn from(text: String) -> Self {
        Self { missing: false, text }
    }
}

impl From<Fault> for String {
    fn from(fault: Fault) -> Self {
        fault.text
    }
}

/// Brings a file unless it is there whole. What came before a broken line is kept and gone on from.
fn bring(url: &str, path: &Path, sha256: Option<&str>) -> Result<(), Fault> {
    if fs::is_file(path) {
        if sha256.is_none_or(|wanted| hash_of(path).is_ok_and(|found| found == wanted)) {
            return Ok(());
        }
        fs::remove_file(path).map_err(|error| format!("{}: {error}", path.display()))?;
    }
    let full = |error: std::io::Error| format!("{}: {error}; make room in this browser's storage", path.display());
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder).map_err(full)?;
    }
    let half = path.with_added_extension("part");
    let mut done = fs::metadata(&half).map_or(0, |kind| kind.len());
    // Asked first: a file that is not there leaves nothing behind.
    let mut next = Some(ask(url, done)?);
    let mut out = fs::OpenOptions::new().append(true).create(true).open(&half).map_err(full)?;
    loop {
        let part = next.take().map_or_else(|| ask(url, done), Ok)?;
        let Part { bytes, total, whole } = part;
        if whole {
            // A server without ranges sends everything; what was here is of no use.
            drop(out);
            out = fs::OpenOptions::new().write(true).create(true).truncate(true).open(&half).map_err(full)?;
            done = 0;
        }
        out.write_all(&bytes).map_err(full)?;
        done += bytes.len() as u64;
        tell(&ToPage::Received { path: path.to_owned(), done, total }, None);
        breathe();
        if whole || bytes.is_empty() || total.is_some_and(|total| done >= total) {
            break;
        }
    }
    out.sync_all().map_err(full)?;
    drop(out);
    if let Some(wanted) = sha256 {
        let found = hash_of(&half).map_err(full)?;
        if found != wanted {
            fs::remove_file(&half).map_err(full)?;
            return Err(format!(
                "{url}: its SHA-256 is {found} and not {wanted}; it was not kept. Fetch it again, or ask who gave the checksum"
            )
            .into());
        }
    }
    fs::rename(&half, path).map_err(full)?;
    Ok(())
}

/// A file of the sample's models, which lie beside the page.
pub(super) fn sample(path: &str) -> std::io::Result<Vec<u8>> {
    let url = format!("./{SAMPLE}/{path}");
    let mut bytes = Vec::new();
    loop {
        let part = ask(&url, bytes.len() as u64).map_err(|fault| std::io::Error::other(fault.text))?;
        if part.whole {
            return Ok(part.bytes);
        }
        bytes.extend(&part.bytes);
        if part.bytes.is_empty() || part.total.is_some_and(|total| bytes.len() as u64 >= total) {
            return Ok(bytes);
        }
    }
}

struct Part {
    bytes: Vec<u8>,
    total: Option<u64>,
    whole: bool,
}

/// A part from an offset on. The request is synchronous, which a worker may do.
fn ask(url: &str, from: u64) -> Result<Part, Fault> {
    let said = |error: JsValue| {
        let text = Reflect::get(&error, &"message".into()).ok().and_then(|text| text.as_string());
        format!(
            "{url}: it cannot be fetched ({}); is the address right, is its server up and does it allow other sites' pages (CORS)?",
            text.unwrap_or_default()
        )
    };
    let request = new("XMLHttpRequest").map_err(said)?;
    method(&request, "open", &["GET".into(), url.into(), false.into()]).map_err(said)?;
    let range = format!("bytes={from}-{}", from + PART - 1);
    method(&request, "setRequestHeader", &["Range".into(), range.into()]).map_err(said)?;
    Reflect::set(&request, &"responseType".into(), &"arraybuffer".into()).map_err(said)?;
    method(&request, "send", &[]).map_err(said)?;
    let status = Reflect::get(&request, &"status".into()).map_err(said)?.as_f64().unwrap_or(0.0) as u32;
    let header = |name: &str| {
        let function: Function = Reflect::get(&request, &"getResponseHeader".into()).ok()?.dyn_into().ok()?;
        function.call1(&request, &name.into()).ok()?.as_string()
    };
    match status {
        200 | 206 => {}
        // Nothing is left to ask for.
        416 if from > 0 => return Ok(Part { bytes: Vec::new(), total: Some(from), whole: false }),
        404 => return Err(Fault { missing: true, text: format!("{url}: there is no such file (404)") }),
        status => return Err(format!("{url}: the server answered {status}").into()),
    }
    let response = Reflect::get(&request, &"response".into()).map_err(said)?;
    let bytes = Uint8Array::new(&response).to_vec();
    let total = header("content-range").and_then(|range| range.rsplit_once('/')?.1.parse().ok());
    Ok(Part { bytes, total, whole: status == 200 })
}

fn hash_of(path: &Path) -> std::io::Result<String> {
    use std::io::Read as _;
    let (mut file, mut hash, mut buffer) = (fs::File::open(path)?, Sha256::new(), vec![0; 1 << 20]);
    loop {
        match file.read(&mut buffer)? {
            0 => break,
            n => hash.update(&buffer[..n]),
        }
    }
    Ok(hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect())
}
