//! What the project promises about its own source, held by tests: who may do IO, who may see what, sizes, links.
//!
//! Every rule collects all its violations before it fails, so that one run shows the whole list.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// Libraries below the engine: they take bytes, readers, writers and a `Directory`.
const BELOW_THE_ENGINE: [&str; 8] = [
    "ragtune-text",
    "ragtune-index",
    "ragtune-eval",
    "ragtune-kernels",
    "ragtune-model",
    "ragtune-rag",
    "ragtune-tune",
    "ragtune-sample",
];
/// The platform's doors: files, network, threads, clock, environment, and the question which platform this is.
const DOORS: [&str; 8] =
    ["std::fs", "std::net", "std::process", "std::thread", "std::time", "std::env::", "target_arch", "target_family"];
/// Longest source file in lines. Well before that, ask which room is missing.
const MOST_LINES: usize = 700;
/// What tools keep, and no part of the project; beside it, what .gitignore names at the top.
const NOT_OURS: [&str; 3] = [".git", "node_modules", "__pycache__"];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").canonicalize().expect("the workspace")
}

/// All files below a folder, in a fixed order, with names relative to the workspace.
fn files(under: &str) -> Vec<(String, PathBuf)> {
    fn walk(folder: &Path, root: &Path, ignored: &[PathBuf], all: &mut Vec<(String, PathBuf)>) {
        let entries = fs::read_dir(folder).unwrap_or_else(|e| panic!("{}: {e}", folder.display()));
        for entry in entries.map(|entry| entry.expect("a folder's entry")) {
            let (path, name) = (entry.path(), entry.file_name().to_string_lossy().into_owned());
            let kind = entry.file_type().expect("a file's type");
            if NOT_OURS.contains(&name.as_str()) || ignored.contains(&path) {
                continue;
            }
            if kind.is_dir() {
                walk(&path, root, ignored, all);
            } else if kind.is_file() {
                let relative = path.strip_prefix(root).expect("below the workspace").display().to_string();
                all.push((relative.replace('\\', "/"), path));
            }
        }
    }
    let (root, mut all) = (root(), Vec::new());
    let ignored: Vec<PathBuf> = read(&root.join(".gitignore"))
        .lines()
        .filter_map(|line| line.strip_prefix('/').map(|name| root.join(name.trim_end_matches('/'))))
        .collect();
    walk(&root.join(under), &root, &ignored, &mut all);
    all.sort();
    all
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

fn sources(package: &str) -> Vec<(String, PathBuf)> {
    files(&format!("crates/{package}/src")).into_iter().filter(|(name, _)| name.ends_with(".rs")).collect()
}

fn none(rule: &str, violations: &[String]) {
    assert!(violations.is_empty(), "{rule}:\n  {}", violations.join("\n  "));
}

/// The lines of a source file that ship: without comments, and up to its test module.
fn shipped(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let mut lines = text.lines().enumerate().map(|(at, line)| (at + 1, line)).peekable();
    std::iter::from_fn(move || {
        loop {
            let (at, line) = lines.next()?;
            if line.trim() == "#[cfg(test)]" {
                // A test module in a file of its own is one line; one that opens here runs to the end of the file.
                let elsewhere = lines.peek().is_some_and(|(_, next)| next.trim_end().ends_with(';'));
                lines.next().filter(|_| elsewhere)?;
            } else if !line.trim_start().starts_with("//") {
                return Some((at, line));
            }
        }
    })
}

/// Which registers the processor has is no question of the platform's doors, and is asked in two places.
const REGISTERS: [&str; 2] = ["crates/ragtune-kernels/src/wide.rs", "crates/ragtune-kernels/src/lanes.rs"];

/// What a line of code names of the platform.
fn doors(line: &str) -> impl Iterator<Item = &'static str> {
    DOORS.into_iter().filter(move |door| line.contains(door))
}

#[test]
fn nothing_below_the_engine_knows_the_platform() {
    let mut violations = Vec::new();
    for package in BELOW_THE_ENGINE {
        let own = sources(package);
        assert!(!own.is_empty(), "{package} has no sources: is the list of this test still right?");
        for (name, path) in own.iter().filter(|(name, _)| {
            !name.ends_with("/tests.rs") && !name.ends_with("/testing.rs") && !REGISTERS.contains(&name.as_str())
        }) {
            for (at, line) in shipped(&read(path)) {
                violations.extend(doors(line).map(|door| format!("{name}:{at}: {door}")));
            }
        }
    }
    none("take bytes, readers, writers or a `Directory`, and leave the platform to ragtune-engine", &violations);
}

/// The packages of Cargo.lock: (name, version, names of dependencies).
fn locked() -> Vec<(String, String, Vec<String>)> {
    let text = read(&root().join("Cargo.lock"));
    let value = |block: &str, key: &str| {
        let line = block.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(" = "));
        line.map(|quoted| quoted.trim_matches('"').to_owned())
    };
    let packages: Vec<_> = text
        .split("[[package]]")
        .filter_map(|block| {
            let dependencies = block.split_once("dependencies = [").map_or("", |(_, rest)| rest);
            let names = dependencies.lines().filter_map(|line| line.trim().strip_prefix('"')?.split(['"', ' ']).next());
            Some((value(block, "name")?, value(block, "version")?, names.map(str::to_owned).collect()))
        })
        .collect();
    assert!(packages.len() > 50, "Cargo.lock is not read as it is written");
    packages
}

/// Everything that a package pulls in, tests included.
fn closure(package: &str) -> BTreeSet<String> {
    let graph: BTreeMap<String, Vec<String>> =
        locked().into_iter().fold(BTreeMap::new(), |mut graph, (name, _, needs)| {
            graph.entry(name).or_default().extend(needs);
            graph
        });
    assert!(graph.contains_key(package), "{package} is not in Cargo.lock");
    let (mut seen, mut todo) = (BTreeSet::new(), vec![package.to_owned()]);
    while let Some(name) = todo.pop() {
        if seen.insert(name.clone()) {
            todo.extend(graph.get(&name).into_iter().flatten().cloned());
        }
    }
    seen
}

#[test]
fn text_index_and_evaluation_never_see_burn_and_the_command_line_no_window() {
    let mut violations = Vec::new();
    let rules: [(&[&str], &[&str]); 2] = [
        (&["ragtune-text", "ragtune-index", "ragtune-eval"], &["burn", "burn-tensor", "cubecl", "wgpu"]),
        (&["ragtune", "ragtune-engine"], &["egui", "eframe", "winit"]),
    ];
    for (packages, forbidden) in rules {
        for package in packages {
            let all = closure(package);
            violations
                .extend(forbidden.iter().filter(|f| all.contains(**f)).map(|f| format!("{package} pulls in {f}")));
        }
    }
    none("dependencies point down only", &violations);
    assert!(closure("ragtune").contains("burn"), "the walk over Cargo.lock finds nothing");
}

#[test]
fn there_is_one_burn_one_wgpu_and_one_naga() {
    let packages = locked();
    for name in ["burn", "wgpu", "naga"] {
        let versions: Vec<_> = packages.iter().filter(|p| p.0 == name).map(|p| p.1.as_str()).collect();
        assert_eq!(versions.len(), 1, "{name} must be in Cargo.lock once, found {versions:?}");
    }
}

/// Shaders beside a card's matrix units, which need more than WebGPU promises.
const ON_UNITS: [&str; 2] = ["product_units.wgsl", "vocab_max_units.wgsl"];

/// Why a shader is not valid WGSL, if it is not.
fn shader_error(name: &str, source: &str) -> Option<String> {
    use naga::valid::{Capabilities, ValidationFlags, Validator};
    let needs = match ON_UNITS.iter().any(|file| name.ends_with(file)) {
        true => Capabilities::SHADER_FLOAT16 | Capabilities::SUBGROUP | Capabilities::COOPERATIVE_MATRIX,
        false => Capabilities::empty(),
    };
    match naga::front::wgsl::parse_str(source) {
        Err(error) => Some(error.emit_to_string(source)),
        Ok(module) => Validator::new(ValidationFlags::all(), needs)
            .validate(&module)
            .err()
            .map(|error| error.emit_to_string(source)),
    }
}

#[test]
fn every_shader_is_valid_without_a_gpu() {
    let shaders: Vec<_> = files("shaders").into_iter().filter(|(name, _)| name.ends_with(".wgsl")).collect();
    eprintln!("{} shaders", shaders.len());
    let errors =
        shaders.iter().filter_map(|(name, path)| Some(format!("{name}: {}", shader_error(name, &read(path))?)));
    none("shaders must pass naga", &errors.collect::<Vec<_>>());
}

#[test]
fn no_source_file_outgrows_the_head() {
    let mut violations = Vec::new();
    for (name, path) in files("crates") {
        if name.ends_with(".rs") && name.contains("/src/") {
            let lines = read(&path).lines().count();
            if lines > MOST_LINES {
                violations.push(format!("{name}: {lines} lines"));
            }
        }
    }
    none(&format!("split files of more than {MOST_LINES} lines"), &violations);
}

/// Targets of the Markdown links outside of code, with their line.
fn links(text: &str) -> Vec<(usize, String)> {
    let (mut found, mut code) = (Vec::new(), false);
    for (at, line) in text.lines().enumerate() {
        if line.trim_start().starts_with("```") {
            code = !code;
        }
        if code {
            continue;
        }
        // Every second piece between backticks is code.
        let prose: String = line.split('`').step_by(2).collect::<Vec<_>>().join("`");
        let targets = prose.split("](").skip(1).filter_map(|rest| rest.split([')', ' ']).next());
        found.extend(targets.map(|target| (at + 1, target.to_owned())));
    }
    found
}

#[test]
fn every_relative_link_of_the_documents_leads_somewhere() {
    let mut violations = Vec::new();
    let mut checked = 0;
    for (name, path) in files("").into_iter().filter(|(name, _)| name.ends_with(".md")) {
        for (at, target) in links(&read(&path)) {
            let file = target.split('#').next().unwrap_or_default();
            if file.is_empty() || file.contains("://") || file.starts_with("mailto:") {
                continue;
            }
            checked += 1;
            if !path.with_file_name("").join(file).exists() {
                violations.push(format!("{name}:{at}: {target}"));
            }
        }
    }
    none("links must resolve", &violations);
    assert!(checked > 0, "the README links to the other documents");
}

#[test]
fn nothing_names_a_path_of_one_machine() {
    // Put together here, so that this file does not name them either.
    let paths = [["/ro", "ot/"].concat(), ["/wo", "rk/"].concat()];
    let mut violations = Vec::new();
    for (name, path) in files("") {
        let bytes = fs::read(&path).unwrap_or_else(|e| panic!("{name}: {e}"));
        let Ok(text) = String::from_utf8(bytes) else { continue };
        for (at, line) in text.lines().enumerate() {
            violations.extend(paths.iter().filter(|p| line.contains(*p)).map(|p| format!("{name}:{}: {p}", at + 1)));
        }
    }
    none("write paths relative to the repository", &violations);
}

#[test]
fn the_rules_see_what_they_forbid() {
    let source = "use std::fs;\n// std::time in a comment\n#[cfg(test)]\nmod testing;\nfn f() { std::thread::spawn(g); }\n#[cfg(test)]\nmod tests {\n    use std::time;\n}\n";
    let seen: Vec<_> = shipped(source).flat_map(|(at, line)| doors(line).map(move |door| (at, door))).collect();
    assert_eq!(seen, [(1, "std::fs"), (5, "std::thread")]);

    let text = "[a](A.md) and `[no](code.md)`, [b](b/c.md#part \"title\")\n```\n[no](fence.md)\n```\n[c](#here)";
    assert_eq!(links(text), [(1, "A.md".to_owned()), (1, "b/c.md#part".to_owned()), (5, "#here".to_owned())]);

    assert_eq!(shader_error("a.wgsl", "@compute @workgroup_size(1) fn main() {}"), None);
    assert!(shader_error("a.wgsl", "@compute @workgroup_size(1) fn main() { let x = 1u + 1.0f; }").is_some());
}
