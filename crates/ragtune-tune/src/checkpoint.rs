//! Checkpoints: everything that a tuning needs to go on, in `checkpoints/step_000100/`.
//!
//! A checkpoint is the encoder's folder, the optimisers' moments, and `state.json`, which is written last: a folder
//! without it is unfinished and is not looked at. The two newest are kept. `best/` holds the encoder that did best on
//! dev.

use ragtune_model::{Encoder, Weights, read_json, read_weights, write_weights};
use ragtune_text::storage::{Directory, SubDirectory};
use serde::{Deserialize, Serialize};

use crate::error::{Result, TuneError};
use crate::settings::TuneSettings;
use crate::tuner::Position;
use crate::{AdamW, Trainer};

const STATE: &str = "state.json";
const FOLDER: &str = "checkpoints";
/// The encoder that did best on dev.
pub const BEST: &str = "best";

#[derive(Serialize, Deserialize)]
struct State {
    position: Position,
    temperature: f32,
    optimiser_steps: u32,
    passage_optimiser_steps: Option<u32>,
}

/// Writes a checkpoint and removes all but the two newest; returns its folder below the run.
pub(crate) fn save(dir: &dyn Directory, trainer: &Trainer, position: &Position, temperature: f32) -> Result<String> {
    let folder = format!("{FOLDER}/step_{:06}", position.step);
    let sub = SubDirectory::new(dir, &folder);
    let io = |name: &str, source| TuneError::Io { file: sub.describe(name), source };
    // The same step may be saved twice (the end of a stage): the marker goes first, so that no mixture looks whole.
    sub.remove(STATE).map_err(|e| io(STATE, e))?;
    trained(&trainer.encoder, temperature).save(&sub)?;
    let (question, passage) = trainer.optimisers();
    let write = |name: &str, optimiser: &AdamW| -> Result<()> {
        let bytes = write_weights(&optimiser.state())?;
        sub.write(name, &bytes).map_err(|e| io(name, e))
    };
    write("optim/model.safetensors", question)?;
    if let Some(passage) = passage {
        write("optim.passage/model.safetensors", passage)?;
    }
    let state = State {
        position: position.clone(),
        temperature,
        optimiser_steps: question.steps(),
        passage_optimiser_steps: passage.map(AdamW::steps),
    };
    sub.write(STATE, &serde_json::to_vec_pretty(&state).unwrap_or_default()).map_err(|e| io(STATE, e))?;
    let mut all = finished(dir)?;
    all.retain(|f| *f != folder);
    while all.len() > 1 {
        remove(dir, &all.remove(0))?;
    }
    Ok(folder)
}

/// Writes the encoder to `best/`.
pub(crate) fn save_best(dir: &dyn Directory, encoder: &Encoder, temperature: f32) -> Result<()> {
    Ok(trained(encoder, temperature).save(&SubDirectory::new(dir, BEST))?)
}

/// The newest finished checkpoint's folder.
pub(crate) fn latest(dir: &dyn Directory) -> Result<Option<String>> {
    Ok(finished(dir)?.pop())
}

/// Loads a checkpoint onto the device of the encoder that the run started from.
pub(crate) fn load(
    dir: &dyn Directory,
    folder: &str,
    start: &Encoder,
    settings: &TuneSettings,
) -> Result<(Trainer, Position, f32)> {
    let sub = SubDirectory::new(dir, folder);
    let state: State = read_json(&sub, STATE)?;
    let device = start.question.weights.device();
    let mut encoder = Encoder::load(&sub, &device, None)?;
    // Whether the head was trained before this run decides nothing any more: the temperature is in the state.
    encoder.meta.trained = true;
    let read = |name: &str| -> Result<Weights> {
        Ok(read_weights(&SubDirectory::new(&sub, name), &device, &|n| Some(n.to_owned()))?)
    };
    // An optimiser that has not taken a step has no moments, and an empty file nothing to read.
    let moments = |name: &str, steps: u32| if steps == 0 { Ok(Weights::default()) } else { read(name) };
    let question = moments("optim", state.optimiser_steps)?;
    let passage = match state.passage_optimiser_steps {
        Some(steps) => Some((moments("optim.passage", steps)?, steps)),
        None => None,
    };
    let trainer = Trainer::restore(
        encoder,
        settings.optim.clone(),
        (&question, state.optimiser_steps),
        passage.as_ref().map(|(weights, steps)| (weights, *steps)),
    );
    Ok((trainer, state.position, state.temperature))
}

fn trained(encoder: &Encoder, temperature: f32) -> Encoder {
    let mut encoder = encoder.clone();
    encoder.meta.trained = true;
    encoder.meta.temperature = temperature;
    encoder
}

/// Folders of finished checkpoints, oldest first.
fn finished(dir: &dyn Directory) -> Result<Vec<String>> {
    let names = dir.list(FOLDER).map_err(|source| TuneError::Io { file: dir.describe(FOLDER), source })?;
    Ok(names.iter().filter_map(|n| n.strip_suffix(&format!("/{STATE}"))).map(str::to_owned).collect())
}

fn remove(dir: &dyn Directory, folder: &str) -> Result<()> {
    let io = |source| TuneError::Io { file: dir.describe(folder), source };
    dir.remove(&format!("{folder}/{STATE}")).map_err(io)?;
    for name in dir.list(folder).map_err(io)? {
        dir.remove(&name).map_err(io)?;
    }
    Ok(())
}
