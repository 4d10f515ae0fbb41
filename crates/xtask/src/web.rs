//! `cargo xtask web`: the folder that any static host serves as the browser's ragtune. `cargo xtask serve` serves it here.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};
use wasm_bindgen_cli_support::Bindgen;

use crate::println;

const TARGET: &str = "wasm32-unknown-unknown";
/// Where the folder is made, unless told otherwise.
pub(crate) const OUT: &str = "dist";
/// Its folder with the window's fonts, which the page hands to the module: a module that holds them takes longer to load.
const FONTS: &str = "fonts";
/// The fonts by the names that the window knows them by.
const FONT_FILES: [(&str, &[u8]); 5] = [
    ("Ubuntu-Light", epaint_default_fonts::UBUNTU_LIGHT),
    ("Hack", epaint_default_fonts::HACK_REGULAR),
    ("egui-icons", epaint_default_fonts::EGUI_ICONS),
    ("NotoEmoji-Regular", epaint_default_fonts::NOTO_EMOJI_REGULAR),
    ("emoji-icon-font", epaint_default_fonts::EMOJI_ICON),
];
/// Its folder with the sample's models, which the module asks for when they are wanted.
const SAMPLE: &str = "sample";
/// Oldest `wasm-opt` that is used: version 108 takes the table of references for one of functions.
const WASM_OPT: u32 = 116;
/// In the pages and scripts: the build's name, the module's size, the files that are kept for visits without a network.
const BUILD: &str = "%BUILD%";
const WASM_BYTES: &str = "%WASM_BYTES%";
const FILES: &str = "%FILES%";

pub(crate) fn run(args: &[String]) -> Result<()> {
    let mut out = PathBuf::from(OUT);
    // Larger, and a profiler can read it.
    let mut names = false;
    let mut args = args.iter();
    while let Some(arg) = args.next() {
        match arg.as_str() {
            "--out" => out = PathBuf::from(args.next().context("--out needs a folder")?),
            "--names" => names = true,
            other => bail!("unknown argument {other}; there are --out DIR and --names"),
        }
    }
    let root = root();
    fs::create_dir_all(&out)?;
    let module = build(&root)?;
    let mut bindgen = Bindgen::new();
    bindgen.input_path(&module).out_name("ragtune").typescript(true).omit_default_module_path(false);
    bindgen.remove_name_section(!names).remove_producers_section(true).web(true)?;
    bindgen.generate(&out)?;
    if !names {
        optimise(&out.join("ragtune_bg.wasm"))?;
    }
    // The name of the build: the same input gives the same one.
    let module = fs::read(out.join("ragtune_bg.wasm"))?;
    let mut hash = crc32fast::Hasher::new();
    hash.update(&module);
    let mut files = vec![root.join("index.html")];
    for entry in fs::read_dir(root.join("web"))? {
        let path = entry?.path();
        if path.is_file() && path.extension().is_some_and(|kind| kind != "md") {
            files.push(path);
        }
    }
    files.sort();
    for file in &files {
        hash.update(&fs::read(file)?);
    }
    let mut kept = vec!["./".to_owned(), "ragtune.js".to_owned(), "ragtune_bg.wasm".to_owned()];
    for file in ragtune_sample::models::files() {
        let to = out.join(SAMPLE).join(file);
        fs::create_dir_all(to.parent().context("a file has a folder")?)?;
        let bytes = fs::read(root.join("crates/ragtune-sample/models").join(file))?;
        hash.update(&bytes);
        fs::write(to, bytes)?;
        kept.push(format!("{SAMPLE}/{file}"));
    }
    fs::create_dir_all(out.join(FONTS))?;
    for (name, bytes) in FONT_FILES {
        let file = format!("{FONTS}/{name}.ttf");
        hash.update(bytes);
        fs::write(out.join(&file), bytes)?;
        kept.push(file);
    }
    let build = format!("{:08x}", hash.finalize());
    kept.extend(
        files.iter().filter_map(|file| Some(file.file_name()?.to_str()?.to_owned())).filter(|name| name != "sw.js"),
    );
    let kept = serde_json::to_string(&kept)?;
    for file in files {
        let name = file.file_name().context("a file has a name")?;
        let bytes = fs::read(&file)?;
        let bytes = match String::from_utf8(bytes) {
            Ok(text) => text
                .replace(BUILD, &build)
                .replace(WASM_BYTES, &module.len().to_string())
                .replace(FILES, &kept)
                .into_bytes(),
            Err(binary) => binary.into_bytes(),
        };
        fs::write(out.join(name), bytes)?;
    }
    sizes(&out)?;
    println(&format!("built {} in {}; see it with: cargo xtask serve --dir {}", build, out.display(), out.display()));
    Ok(())
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// Compiles the module; gives its path.
fn build(root: &Path) -> Result<PathBuf> {
    let installed = Command::new("rustup").args(["target", "list", "--installed"]).output();
    // Without rustup the compiler itself says what is missing.
    if let Ok(installed) = installed
        && !String::from_utf8_lossy(&installed.stdout).contains(TARGET)
    {
        bail!("the browser's target is missing; install it with: rustup target add {TARGET}");
    }
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let status = Command::new(&cargo)
        .current_dir(root)
        .args(["build", "--profile", "web", "--target", TARGET, "--package", "ragtune-web"])
        // Flags of the caller's would take the place of the target's own.
        .env_remove("RUSTFLAGS")
        .status()
        .context("cargo cannot be started")?;
    if !status.success() {
        bail!("the module does not build");
    }
    let metadata = Command::new(&cargo)
        .current_dir(root)
        .args(["metadata", "--format-version", "1", "--no-deps"])
        .output()
        .context("cargo cannot be started")?;
    let metadata: serde_json::Value = serde_json::from_slice(&metadata.stdout)?;
    let folder = metadata["target_directory"].as_str().context("cargo metadata names no target directory")?;
    Ok(Path::new(folder).join(TARGET).join("web/ragtune_web.wasm"))
}

/// Shrinks the module with binaryen's `wasm-opt`, where one is installed that is new enough.
fn optimise(module: &Path) -> Result<()> {
    let kept = |why: &str| println(&format!("{why}; the module stays as the compiler made it"));
    let Ok(version) = Command::new("wasm-opt").arg("--version").output() else {
        kept("wasm-opt is not installed (package binaryen)");
        return Ok(());
    };
    let version = String::from_utf8_lossy(&version.stdout).into_owned();
    let number = version.split_whitespace().find_map(|word| word.parse::<u32>().ok());
    if number.is_none_or(|number| number < WASM_OPT) {
        kept(&format!("wasm-opt {WASM_OPT} or newer is needed, this one is `{}`", version.trim()));
        return Ok(());
    }
    let smaller = module.with_extension("opt.wasm");
    let status = Command::new("wasm-opt")
        .args(["-Os", "--all-features", "--strip-debug", "--strip-producers", "-o"])
        .args([&smaller, module])
        .status()
        .context("wasm-opt cannot be started")?;
    if !status.success() {
        bail!("wasm-opt: {status}");
    }
    Ok(fs::rename(&smaller, module)?)
}

fn sizes(out: &Path) -> Result<()> {
    let mut names = Vec::new();
    collect(out, &mut names)?;
    names.sort();
    let (mut raw, mut gzipped, mut brotlied) = (0, 0, 0);
    println(&format!("{:<32} {:>12} {:>12} {:>12}", "file", "bytes", "gzip -9", "brotli 9"));
    for path in &names {
        let bytes = fs::read(path)?;
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
        gzip.write_all(&bytes)?;
        let gzip = gzip.finish()?.len();
        let mut brotli = Vec::new();
        let settings = brotli::enc::BrotliEncoderParams { quality: 9, lgwin: 22, ..Default::default() };
        brotli::BrotliCompress(&mut bytes.as_slice(), &mut brotli, &settings)?;
        let name = path.strip_prefix(out).unwrap_or(path).to_string_lossy();
        println(&format!("{name:<32} {:>12} {gzip:>12} {:>12}", bytes.len(), brotli.len()));
        raw += bytes.len();
        gzipped += gzip;
        brotlied += brotli.len();
    }
    println(&format!("{:<32} {raw:>12} {gzipped:>12} {brotlied:>12}", "in total"));
    Ok(())
}

/// All files below a folder.
fn collect(folder: &Path, files: &mut Vec<PathBuf>) -> Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            collect(&path, files)?;
        } else {
            files.push(path);
        }
    }
    Ok(())
}

/// `cargo xtask serve [--dir DIR] [--port N]`
pub(crate) fn serve(args: &[String]) -> Result<()> {
    let (mut dir, mut port) = (PathBuf::from(OUT), 8080u16);
    let mut args = args.iter();
    while let Some(arg) = args.next() {
        match arg.as_str() {
            "--dir" => dir = PathBuf::from(args.next().context("--dir needs a folder")?),
            "--port" => port = args.next().context("--port needs a number")?.parse()?,
            other => bail!("unknown argument {other}; there are --dir DIR and --port N"),
        }
    }
    if !dir.join("index.html").is_file() {
        bail!("{}: there is no page yet; make it with: cargo xtask web", dir.display());
    }
    let server = tiny_http::Server::http(("127.0.0.1", port))
        .map_err(|error| anyhow::anyhow!("port {port} cannot be opened ({error}); choose another with --port"))?;
    println(&format!("http://localhost:{port} serves {}; stop it with Ctrl-C", dir.display()));
    for request in server.incoming_requests() {
        // A browser that hangs up is no reason to stop.
        let _ = answer(request, &dir);
    }
    Ok(())
}

fn answer(request: tiny_http::Request, dir: &Path) -> Result<()> {
    let path = request.url().split(['?', '#']).next().unwrap_or_default().trim_start_matches('/').to_owned();
    let name = if path.is_empty() { "index.html" } else { &path };
    let plain = Path::new(name).components().all(|part| matches!(part, std::path::Component::Normal(_)));
    let found = plain.then(|| fs::read(dir.join(name)).ok()).flatten();
    let header = |name: &str, value: &str| tiny_http::Header::from_bytes(name, value);
    match found {
        Some(bytes) => {
            let mut response = tiny_http::Response::from_data(bytes);
            if let Ok(kind) = header("Content-Type", kind(name)) {
                response.add_header(kind);
            }
            // What was built anew is to be seen at once.
            if let Ok(fresh) = header("Cache-Control", "no-cache") {
                response.add_header(fresh);
            }
            request.respond(response)?;
        }
        None => request.respond(tiny_http::Response::from_string("there is no such file").with_status_code(404))?,
    }
    Ok(())
}

fn kind(name: &str) -> &'static str {
    match Path::new(name).extension().and_then(|kind| kind.to_str()) {
        Some("html") => "text/html; charset=utf-8",
        Some("js") => "text/javascript; charset=utf-8",
        Some("wasm") => "application/wasm",
        Some("json" | "webmanifest") => "application/json",
        Some("svg") => "image/svg+xml",
        Some("png") => "image/png",
        Some("css") => "text/css; charset=utf-8",
        Some("ttf") => "font/ttf",
        _ => "application/octet-stream",
    }
}
