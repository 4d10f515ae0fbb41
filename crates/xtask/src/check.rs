//! One way to check everything: formatting, lints, tests, documentation.

use std::process::Command;

use anyhow::{Result, bail};

/// Runs every check in the workspace's one profile and stops at the first that fails.
pub(crate) fn run() -> Result<()> {
    let steps: [(&str, &[&str]); 4] = [
        ("formatting", &["fmt", "--all", "--check"]),
        ("lints", &["clippy", "--release", "--workspace", "--all-targets", "--", "-D", "warnings"]),
        ("tests", &["test", "--release", "--workspace"]),
        ("documentation", &["doc", "--release", "--workspace", "--no-deps"]),
    ];
    for (name, args) in steps {
        eprintln!("== {name}: cargo {}", args.join(" "));
        if !Command::new("cargo").args(args).status()?.success() {
            bail!("{name} failed");
        }
    }
    Ok(())
}
