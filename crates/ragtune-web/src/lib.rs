//! ragtune in a browser tab: the same module starts twice, as the page and as the worker that computes.
//!
//! | module | what it holds |
//! |---|---|
//! | `page` | the window, drawn on a canvas |
//! | `worker` | the engine, and what its script calls |

#![cfg(target_family = "wasm")]
// What scripts call is public to them alone.
#![allow(unreachable_pub)]

mod page;
mod worker;
