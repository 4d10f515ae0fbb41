//! What `worker.js` calls.

use ragtune_engine::device::Graphics;
use ragtune_engine::{fs, host};
use wasm_bindgen::JsValue;
use wasm_bindgen::prelude::wasm_bindgen;

/// Opens the disk. A failure has been told to the page; then there is nothing to start.
#[wasm_bindgen]
pub async fn worker_mount() -> bool {
    std::panic::set_hook(Box::new(|panic| host::tell(&host::ToPage::Crashed(panic.to_string()), None)));
    match fs::mount().await {
        Ok(()) => true,
        Err(reason) => {
            host::tell(&host::ToPage::NoFiles(reason), None);
            false
        }
    }
}

/// Begins: `graphics` is what the browser offers as JSON, `listens` whether it can hold WebAssembly, `lock` the name of
/// what this worker holds as long as it lives.
#[wasm_bindgen]
pub fn worker_start(graphics: &str, listens: bool, lock: String) {
    let graphics: Graphics = serde_json::from_str(graphics).unwrap_or_default();
    host::start(graphics, listens, lock);
}

/// Takes a message of the page, and the file that came with it.
#[wasm_bindgen]
pub fn worker_receive(text: &str, file: JsValue) {
    host::receive(text, file);
}

/// Whether something waits to be done.
#[wasm_bindgen]
pub fn worker_has_work() -> bool {
    host::has_work()
}

/// What is to be awaited between two turns.
#[wasm_bindgen]
pub async fn worker_between_turns() {
    if let Err(error) = host::between_turns().await {
        host::tell(&host::ToPage::Failed(error), None);
    }
}

/// Does the next order. Exported as it is: a wrapper's frame could not be held.
#[allow(unsafe_code)]
#[unsafe(no_mangle)]
pub extern "C" fn ragtune_take_turn() {
    host::take_turn();
}
