//! The one way to standard output and standard error.

use std::io::{self, Write};

/// Writes a piece of a result. `false` when nobody reads any more (`ragtune … | head`).
pub(crate) fn piece(text: &str) -> bool {
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes()).and_then(|()| out.flush()).is_ok()
}

/// Writes a line of a result; as [`piece`].
pub(crate) fn line(text: &str) -> bool {
    let mut out = io::stdout().lock();
    writeln!(out, "{text}").and_then(|()| out.flush()).is_ok()
}

/// Writes a line for the user; a closed standard error is nobody's concern.
pub(crate) fn note(text: &str) {
    let _ = writeln!(io::stderr().lock(), "{text}");
}

/// Writes an error.
pub(crate) fn error(text: &str) {
    note(&format!("error: {text}"));
}
