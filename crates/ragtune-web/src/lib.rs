//! ragtune in a browser tab: the same module starts twice, as the page and as the worker that computes.
//!
//! | module | what it holds |
//! |---|---|
//! | `page` | the window, drawn on a canvas |
//! | `worker` | the engine, and what its script calls |

#![cfg(target_family = "wasm")]
// What scripts call is public to them alone.
#![allow(unreachable_pub)]

use wasm_bindgen::prelude::wasm_bindgen;

mod page;
mod worker;

#[allow(unsafe_code)]
unsafe extern "C" {
    /// The linker's: runs what crates register before anything else runs (`inventory`).
    fn __wasm_call_ctors();
}

/// Runs once, when the module is loaded. A module that never calls its constructors gets them called by the linker at
/// every entry from a script, which are thousands of registrations at a time and made everything ten times slower.
#[allow(unsafe_code)]
#[wasm_bindgen(start)]
fn start() {
    // SAFETY: the linker's function takes nothing, and nothing else of this module has run.
    unsafe { __wasm_call_ctors() };
}
