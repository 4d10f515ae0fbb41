//! What `main.js` calls.

use std::path::PathBuf;
use std::sync::Arc;

use eframe::egui::{FontData, FontDefinitions, FontFamily, FontTweak};
use eframe::{WebOptions, WebRunner};
use js_sys::{Array, Object, Uint8Array};
use ragtune_app::{App, Settings};
use ragtune_engine::host::bridge;
use wasm_bindgen::prelude::wasm_bindgen;
use wasm_bindgen::{JsCast as _, JsValue};
use web_sys::{HtmlCanvasElement, Worker};

/// The font for code.
const CODE: &str = "Hack";
/// Where projects lie in the tab's storage.
const PROJECTS: &str = "/projects";

#[wasm_bindgen(raw_module = "./broken.js")]
extern "C" {
    /// Shows a page that can be read instead of a canvas that no longer answers.
    fn broken(reason: &str);
}

/// Opens the window on a canvas; `script` is the address of the engine's script, `worker` the first worker with it,
/// `module` this module as it was compiled, `fonts` an object of fonts' bytes by their names, those for text first.
#[wasm_bindgen]
pub async fn start_page(
    canvas: JsValue,
    script: &str,
    worker: Worker,
    module: JsValue,
    fonts: &Object,
) -> Result<(), JsValue> {
    std::panic::set_hook(Box::new(|panic| broken(&panic.to_string())));
    bridge().begin(script, worker, module);
    let canvas: HtmlCanvasElement = canvas.dyn_into()?;
    let fonts = with_fonts(fonts);
    let create: eframe::AppCreator<'static> = Box::new(|creation| {
        creation.egui_ctx.set_fonts(fonts);
        let mut settings = Settings::load(creation.storage);
        settings.home = PathBuf::from(PROJECTS);
        // Whoever reloads finds what was open.
        let project = settings.recent.first().cloned();
        Ok(Box::new(App::new(&creation.egui_ctx, settings, project)?))
    });
    WebRunner::new().start(canvas, WebOptions::default(), create).await
}

/// The fonts of the desktop's window: one for text, one for code, and then what has the signs that those lack.
fn with_fonts(fonts: &Object) -> FontDefinitions {
    let mut all = FontDefinitions::empty();
    for entry in Object::entries(fonts).iter() {
        let entry: Array = entry.unchecked_into();
        let (Some(name), bytes) = (entry.get(0).as_string(), Uint8Array::new(&entry.get(1)).to_vec()) else { continue };
        // Emoji are drawn larger than letters.
        let scale = match name.as_str() {
            "NotoEmoji-Regular" => 0.81,
            "egui-icons" | "emoji-icon-font" => 0.9,
            _ => 1.0,
        };
        let data = FontData::from_owned(bytes).tweak(FontTweak { scale, ..FontTweak::default() });
        all.font_data.insert(name.clone(), Arc::new(data));
        for (family, list) in &mut all.families {
            match (family, name.as_str()) {
                (FontFamily::Monospace, CODE) => list.insert(0, name.clone()),
                (_, CODE) => {}
                _ => list.push(name.clone()),
            }
        }
    }
    all
}
