//! A window in a browser tab: files lie in the tab's own storage, which only the worker sees.

use std::path::{Path, PathBuf};

use eframe::egui;
use js_sys::{Array, Uint8Array};
use ragtune_engine::host::{ToPage, ToWorker, bridge};
use wasm_bindgen::JsCast as _;

use super::Told;

/// Whether projects lie in a browser's storage rather than on the user's disk.
pub const IN_BROWSER: bool = true;

/// Where the user's own files go.
pub const DOCUMENTS: &str = "/documents";

/// The worker knows, and says so.
pub fn exists(_: &Path) -> bool {
    true
}

/// The worker knows, and says so.
pub fn is_dir(_: &Path) -> bool {
    true
}

/// No program of the user's sees these files.
pub fn can_show(_: &Path) -> bool {
    false
}

/// Files that were dropped on the window: sent to the worker, which keeps them before it does anything else.
pub fn dropped(ctx: &egui::Context) -> Vec<PathBuf> {
    let files = ctx.input(|input| input.raw.dropped_files.clone());
    let mut paths = Vec::new();
    for file in files {
        let Some(handle) = file.web_file() else { continue };
        let path = Path::new(DOCUMENTS).join(handle.name());
        bridge().import(path.clone(), handle);
        paths.push(path);
    }
    paths
}

/// Hands the user what a job wrote, as a download.
pub fn deliver(path: &Path) {
    bridge().ask(&ToWorker::Export { path: path.to_owned() });
}

/// Tells people who do not see the canvas what it shows, in the text beside it.
pub fn announce(text: &str) {
    let status = web_sys::window().and_then(|window| window.document()?.get_element_by_id("status"));
    if let Some(status) = status {
        status.set_text_content(Some(text));
    }
}

/// Asks how full the storage is.
pub fn ask_usage() {
    bridge().ask(&ToWorker::Usage);
}

/// Removes all files.
pub fn wipe() {
    bridge().ask(&ToWorker::Wipe);
}

/// Removes one folder.
pub fn remove(path: &Path) {
    bridge().ask(&ToWorker::Remove { path: path.to_owned() });
    ask_usage();
}

/// Fetches a model's files from an address into a folder.
pub fn fetch_model(address: &str, folder: &Path) {
    bridge().ask(&ToWorker::FetchModel { url: address.to_owned(), path: folder.to_owned() });
}

/// What was told beside jobs since the last call.
pub fn told() -> Vec<Told> {
    let mut told = Vec::new();
    for (notice, bytes) in bridge().notices() {
        match notice {
            ToPage::Ready { listens, device, .. } => {
                told.push(Told::Engine { device, listens });
                ask_usage();
            }
            ToPage::NoFiles(reason) | ToPage::Failed(reason) => {
                told.push(Told::Status(None));
                told.push(Told::Error(reason));
            }
            ToPage::Received { path, done, total } => {
                let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
                let of = total.map_or_else(String::new, |total| format!(" of {}", crate::widgets::bytes(total)));
                told.push(Told::Status(Some(format!("{name}: {}{of}", crate::widgets::bytes(done)))));
            }
            ToPage::Kept { .. } => {
                told.push(Told::Status(None));
                ask_usage();
            }
            ToPage::Exported { name } => {
                if let Err(error) = download(&name, &bytes.unwrap_or_default()) {
                    told.push(Told::Error(format!("{name} cannot be saved: {error:?}")));
                }
            }
            ToPage::Usage(usage) => {
                told.push(Told::Storage { files: usage.files, quota: usage.quota, kept: usage.persistent })
            }
            ToPage::Wiped => told.push(Told::Wiped),
            ToPage::Crashed(reason) => told.push(Told::Error(format!(
                "The engine stopped and was started again; what was saved is there. It said: {reason}"
            ))),
            ToPage::Event { .. } => {}
        }
    }
    told
}

/// Lets the browser save bytes under a name.
fn download(name: &str, bytes: &[u8]) -> Result<(), wasm_bindgen::JsValue> {
    let blob = web_sys::Blob::new_with_u8_array_sequence(&Array::of1(&Uint8Array::from(bytes)))?;
    let url = web_sys::Url::create_object_url_with_blob(&blob)?;
    let document = web_sys::window().and_then(|window| window.document()).ok_or("no document")?;
    let link: web_sys::HtmlAnchorElement = document.create_element("a")?.dyn_into()?;
    link.set_href(&url);
    link.set_download(name);
    link.click();
    // The browser has taken it by then.
    web_sys::Url::revoke_object_url(&url)
}
