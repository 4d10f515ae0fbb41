//! Models of the Hugging Face Hub: what they are called, where the cache that Python's tools share keeps them, and how they
//! come there.
//!
//! | module | what it holds |
//! |---|---|
//! | `cache` | the cache's layout |
//! | `choose` | which of a model's files are wanted |
//! | `native` | requests; a browser fetches by address instead |

mod cache;
#[cfg(any(not(target_family = "wasm"), test))]
mod choose;
#[cfg(not(target_family = "wasm"))]
mod native;
#[cfg(target_family = "wasm")]
mod web;

use std::path::{Path, PathBuf};

use crate::{EngineError, Result};
pub use cache::Cache;
#[cfg(not(target_family = "wasm"))]
pub use native::{Hub, Options, Pulled};
#[cfg(target_family = "wasm")]
pub use web::{Hub, Options, Pulled};

/// What an address at the Hub begins with.
pub const PREFIX: &str = "hf:";
/// Small files that say what a model is.
pub(crate) const SETTINGS: [&str; 11] = [
    "config.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "chat_template.jinja",
    "special_tokens_map.json",
    "generation_config.json",
    "ragtune.json",
    "modules.json",
    "sentence_bert_config.json",
    "1_Pooling/config.json",
    "README.md",
];
/// The revision where none is named.
pub const MAIN: &str = "main";

/// A model at the Hub: `hf:OWNER/NAME`, with `@REVISION` (a branch, a tag or a commit) where it is not `main`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ModelId {
    /// `OWNER/NAME`, or `NAME` alone for the oldest.
    pub name: String,
    /// Branch, tag or commit.
    pub revision: String,
}

impl ModelId {
    /// Understands an address, with or without its beginning.
    ///
    /// # Errors
    /// What is not of that form, with what is.
    pub fn parse(address: &str) -> Result<Self> {
        let text = address.strip_prefix(PREFIX).unwrap_or(address);
        let (name, revision) = text.split_once('@').unwrap_or((text, MAIN));
        let plain = |part: &str| {
            let letter = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
            !part.is_empty() && part.chars().all(letter) && !part.contains("..")
        };
        let parts: Vec<&str> = name.split('/').collect();
        let good_revision = !revision.is_empty() && revision.split('/').all(plain);
        if parts.len() > 2 || !parts.iter().all(|part| plain(part)) || !good_revision {
            return Err(EngineError::input(format!(
                "{address}: this names no model of the Hub; write OWNER/NAME, and @REVISION behind it for another than `{MAIN}`"
            )));
        }
        Ok(Self { name: name.to_owned(), revision: revision.to_owned() })
    }

    /// Where a browser fetches its files from.
    pub fn url(&self) -> String {
        format!("https://huggingface.co/{}/resolve/{}", self.name, self.revision)
    }

    /// The address.
    pub fn address(&self) -> String {
        match self.revision.as_str() {
            MAIN => format!("{PREFIX}{}", self.name),
            revision => format!("{PREFIX}{}@{revision}", self.name),
        }
    }
}

/// Whether a path is the address of a model at the Hub.
pub fn is_address(path: &Path) -> bool {
    path.to_string_lossy().starts_with(PREFIX)
}

/// The folder that a path stands for: of a model at the Hub, the one in the cache; any other path is itself.
///
/// # Errors
/// A model that is not in the cache, with the command that brings it.
pub fn resolve(path: &Path) -> Result<PathBuf> {
    let text = path.to_string_lossy();
    if !is_address(path) {
        return Ok(path.to_owned());
    }
    let model = ModelId::parse(&text)?;
    Cache::find()?.snapshot(&model).ok_or_else(|| {
        EngineError::input(format!(
            "{text}: it is not on this machine yet; fetch it with `ragtune models pull {}`",
            model.address().trim_start_matches(PREFIX)
        ))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_owner_name_and_revision() {
        let of = |text: &str| ModelId::parse(text).map(|model| (model.name, model.revision)).ok();
        let pair = |a: &str, b: &str| Some((a.to_owned(), b.to_owned()));
        assert_eq!(of("hf:a-b/c.d_e"), pair("a-b/c.d_e", "main"));
        assert_eq!(of("gpt2@v1.0"), pair("gpt2", "v1.0"));
        assert_eq!(of("a/b@refs/pr/2"), pair("a/b", "refs/pr/2"));
        for bad in ["hf:", "a/b/c", "../x", "a/..", "a b/c", "a/b@", "a/b@../x", "https://x/y"] {
            assert_eq!(of(bad), None, "{bad}");
        }
        assert_eq!(ModelId::parse("a/b@x").unwrap().address(), "hf:a/b@x");
        assert_eq!(ModelId::parse("a/b").unwrap().address(), "hf:a/b");
    }
}
