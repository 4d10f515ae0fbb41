//! What was opened stays open: a second question to the same index with the same models loads nothing.

use crate::fs;
use std::cell::OnceCell;
use std::ops::Deref;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use burn::tensor::Device;
use ragtune_index::Index;
use ragtune_kernels::units::in_halves;
use ragtune_model::{CausalLm, Encoder, HeadKind};
use ragtune_rag::encoder_fingerprint;

use crate::Result;
use crate::command::EncoderSource;
use crate::device::{self, ChosenDevice, DeviceChoice};
use crate::jobs::open_index;
use crate::models::{open_encoder, open_lm};

/// Indexes that stay open. They are mapped files, and cost little.
const INDEXES: usize = 4;
/// Encoders that stay in memory: one before and one after tuning, and one to spare.
const ENCODERS: usize = 3;
/// Language models that stay in memory.
const LMS: usize = 1;

/// An encoder with its fingerprint, which takes a pass over all weights and is computed once.
pub struct OpenEncoder {
    encoder: Encoder,
    fingerprint: OnceCell<String>,
}

impl OpenEncoder {
    /// What tells the encoder from all others.
    pub fn fingerprint(&self) -> &str {
        self.fingerprint.get_or_init(|| encoder_fingerprint(&self.encoder))
    }
}

impl Deref for OpenEncoder {
    type Target = Encoder;

    fn deref(&self) -> &Encoder {
        &self.encoder
    }
}

/// Opened indexes and models of one engine, the ones used last. A folder whose files have changed is opened again.
#[derive(Default)]
pub struct Shelf {
    devices: Vec<(DeviceChoice, ChosenDevice)>,
    indexes: Drawer<PathBuf, Index>,
    encoders: Drawer<(PathBuf, Option<HeadKind>, Place), OpenEncoder>,
    lms: Drawer<(PathBuf, Place), CausalLm>,
}

impl Shelf {
    /// The device for a choice; it is looked for and tested once.
    pub(crate) fn device(&mut self, choice: &DeviceChoice) -> Result<ChosenDevice> {
        if let Some((_, chosen)) = self.devices.iter().find(|(known, _)| known == choice) {
            device::settle(choice, chosen);
            // The user has read the note.
            return Ok(ChosenDevice { note: None, ..chosen.clone() });
        }
        let chosen = device::choose(choice)?;
        device::settle(choice, &chosen);
        self.devices.push((choice.clone(), chosen.clone()));
        Ok(chosen)
    }

    /// A device that computes no longer, where there is one, with its name; it is not used again, nor what lies on it.
    pub(crate) fn lost_device(&mut self) -> Option<(DeviceChoice, String)> {
        let lost = self.devices.iter().position(|(_, chosen)| !device::answers(&chosen.device))?;
        let (device, chosen) = self.devices.remove(lost);
        let there = place(&chosen.device);
        self.encoders.0.retain(|((.., device), ..)| device.0 != there.0);
        self.lms.0.retain(|((_, device), ..)| device.0 != there.0);
        Some((device, chosen.name))
    }

    /// An index.
    pub(crate) fn index(&mut self, path: &Path) -> Result<Rc<Index>> {
        self.indexes.get(path.to_owned(), stamp(path, &["meta.json"]), INDEXES, || open_index(path))
    }

    /// An encoder on a device.
    pub(crate) fn encoder(&mut self, source: &EncoderSource, device: &Device) -> Result<Rc<OpenEncoder>> {
        let key = (source.folder.clone(), source.head, place(device));
        let stamp = stamp(&source.folder, &MODEL_FILES);
        self.encoders.get(key, stamp, ENCODERS, || {
            Ok(OpenEncoder { encoder: open_encoder(source, device)?, fingerprint: OnceCell::new() })
        })
    }

    /// A language model on a device.
    pub(crate) fn lm(&mut self, path: &Path, device: &Device) -> Result<Rc<CausalLm>> {
        let key = (path.to_owned(), place(device));
        // A GGUF file is a path of its own.
        let mut seen = stamp(path, &MODEL_FILES);
        seen.extend(stamp(path, &[""]));
        self.lms.get(key, seen, LMS, || open_lm(path, device))
    }
}

/// Where a model lies, and whether it multiplies in 16 bits there.
type Place = (String, bool);

fn place(device: &Device) -> Place {
    (format!("{device:?}"), in_halves(device))
}

/// Files whose change makes another model.
const MODEL_FILES: [&str; 7] = [
    "config.json",
    "ragtune.json",
    "tokenizer.json",
    "model.safetensors",
    "model.safetensors.index.json",
    "pytorch_model.bin",
    "pytorch_model.bin.index.json",
];

/// Sizes and times of files; those that are missing count as such.
fn stamp(folder: &Path, files: &[&str]) -> Vec<Option<(u64, Option<std::time::SystemTime>)>> {
    let look = |name: &&str| fs::metadata(folder.join(name)).ok().map(|meta| (meta.len(), meta.modified().ok()));
    files.iter().map(look).collect()
}

type Stamp = Vec<Option<(u64, Option<std::time::SystemTime>)>>;

/// Opened things, the one used last at the end.
struct Drawer<K, T>(Vec<(K, Stamp, Rc<T>)>);

impl<K, T> Default for Drawer<K, T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<K: PartialEq, T> Drawer<K, T> {
    fn get(&mut self, key: K, stamp: Stamp, most: usize, open: impl FnOnce() -> Result<T>) -> Result<Rc<T>> {
        if let Some(at) = self.0.iter().position(|(known, ..)| *known == key) {
            let (key, seen, thing) = self.0.remove(at);
            if seen == stamp {
                self.0.push((key, seen, thing.clone()));
                return Ok(thing);
            }
        }
        // Room is made before: two large models at once may be more than fits.
        while self.0.len() >= most {
            self.0.remove(0);
        }
        let thing = Rc::new(open()?);
        self.0.push((key, stamp, thing.clone()));
        Ok(thing)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn opened(drawer: &mut Drawer<u32, u32>, key: u32, size: u64) -> bool {
        let mut opened = false;
        drawer
            .get(key, vec![Some((size, None))], 2, || {
                opened = true;
                Ok(key)
            })
            .unwrap();
        opened
    }

    #[test]
    fn what_is_used_stays_and_what_has_changed_is_opened_again() {
        let mut drawer = Drawer::default();
        assert!(opened(&mut drawer, 1, 0) && opened(&mut drawer, 2, 0));
        assert!(!opened(&mut drawer, 1, 0), "still open");
        assert!(opened(&mut drawer, 1, 7), "its files have changed");
        assert!(opened(&mut drawer, 3, 0));
        assert!(!opened(&mut drawer, 1, 7) && opened(&mut drawer, 2, 0), "the one that was not used made room");
    }
}
