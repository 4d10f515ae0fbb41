//! What `main.js` calls.

use std::path::PathBuf;

use eframe::{WebOptions, WebRunner};
use ragtune_app::{App, Settings};
use ragtune_engine::host::bridge;
use wasm_bindgen::prelude::wasm_bindgen;
use wasm_bindgen::{JsCast as _, JsValue};
use web_sys::HtmlCanvasElement;

/// Where projects lie in the tab's storage.
const PROJECTS: &str = "/projects";

#[wasm_bindgen(raw_module = "./broken.js")]
extern "C" {
    /// Shows a page that can be read instead of a canvas that no longer answers.
    fn broken(reason: &str);
}

/// Opens the window on a canvas; `worker` is the address of the engine's script.
#[wasm_bindgen]
pub async fn start_page(canvas: JsValue, worker: &str) -> Result<(), JsValue> {
    std::panic::set_hook(Box::new(|panic| broken(&panic.to_string())));
    bridge().script(worker);
    let canvas: HtmlCanvasElement = canvas.dyn_into()?;
    let create: eframe::AppCreator<'static> = Box::new(|creation| {
        let mut settings = Settings::load(creation.storage);
        settings.home = PathBuf::from(PROJECTS);
        // Whoever reloads finds what was open.
        let project = settings.recent.first().cloned();
        Ok(Box::new(App::new(&creation.egui_ctx, settings, project)?))
    });
    WebRunner::new().start(canvas, WebOptions::default(), create).await
}
