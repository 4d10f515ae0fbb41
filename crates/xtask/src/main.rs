//! Project tasks: `cargo xtask check` proves what CI proves, `cargo xtask web` builds the browser's ragtune and `serve`
//! serves it, `cargo xtask screens` opens the window and makes its pictures, `cargo xtask fuzz` reads damaged models,
//! `cargo xtask train-sample` makes the models that ship.

use std::io::Write as _;

use anyhow::{Result, bail};

mod check;
mod fuzz;
mod screens;
mod train_sample;
mod web;

/// Tensors of many sizes come and go with every step; the system's allocator returns their pages each time.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const USAGE: &str = "usage: cargo xtask check | web [--out DIR] | serve [--dir DIR] [--port N] | screens [--quick] [--out DIR] | fuzz [--minutes M] [--kind K] [--first N] [--cases N] | train-sample [tokenizer|reader|encoder|figures] [--steps N] [--out DIR]";

fn main() -> Result<()> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    match args.first().map(String::as_str) {
        Some("check") => check::run(),
        Some("screens") => screens::run(&args[1..]),
        Some("fuzz") => fuzz::run(&args[1..]),
        Some("web") => web::run(&args[1..]),
        Some("serve") => web::serve(&args[1..]),
        Some("train-sample") => train_sample::run(&args[1..]),
        _ => bail!(USAGE),
    }
}

/// What a person reads at the terminal.
fn println(text: &str) {
    let _ = writeln!(std::io::stdout(), "{text}");
}
