//! Checkpoints: everything that a tuning needs to go on, in `checkpoints/step_000100/`.
//!
//! A checkpoint is the encoder's folder, the optimisers' moments, and `state.json`, which is written last: a folder
//! without it is unfinished and is not looked at. The two newest are kept. A step that is saved again (the end of a stage)
//! gets a folder of its own, `step_000100_01`, so that a disk that fills up takes no checkpoint that stood. `best/` holds
//! the encoder that did best on dev.

use ragtune_model::{Encoder, Weights, read_json, read_weights, write_weights};
use ragtune_text::storage::{Directory, SubDirectory};
use serde::{Deserialize, Serialize};

use crate::error::{Result, TuneError};
use crate::settings::TuneSettings;
use crate::tuner::Position;
use crate::{AdamW, Temperatures, Trainer};

const STATE: &str = "state.json";
const FOLDER: &str = "checkpoints";
/// The encoder that did best on dev.
pub const BEST: &str = "best";

#[derive(Serialize, Deserialize)]
struct State {
    position: Position,
    temperature: f32,
    #[serde(default)]
    bag_temperatures: Option<[f32; 2]>,
    optimiser_steps: u32,
    passage_optimiser_steps: Option<u32>,
}

/// Writes a checkpoint and removes all but the two newest; returns its folder below the run.
pub(crate) fn save(dir: &dyn Directory, trainer: &Trainer, position: &Position, at: Temperatures) -> Result<String> {
    let folder = next_folder(&finished(dir)?, position.step);
    // What a save that broke off left takes the room that this one needs.
    remove_unfinished(dir)?;
    let sub = SubDirectory::new(dir, &folder);
    let io = |name: &str, source| TuneError::Io { file: sub.describe(name), source };
    trained(&trainer.encoder, at).save(&sub)?;
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
        temperature: at.vectors,
        bag_temperatures: Some([at.passage_bags, at.question_bags]),
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
pub(crate) fn save_best(dir: &dyn Directory, encoder: &Encoder, at: Temperatures) -> Result<()> {
    Ok(trained(encoder, at).save(&SubDirectory::new(dir, BEST))?)
}

/// The newest finished checkpoint's folder.
pub(crate) fn latest(dir: &dyn Directory) -> Result<Option<String>> {
    Ok(finished(dir)?.pop())
}

/// The place of the newest finished checkpoint; none before the first.
///
/// # Errors
/// When the run's folder cannot be read or the checkpoint is damaged.
pub fn saved_position(dir: &dyn Directory) -> Result<Option<Position>> {
    let Some(folder) = latest(dir)? else { return Ok(None) };
    let state: State = read_json(&SubDirectory::new(dir, &folder), STATE)?;
    Ok(Some(state.position))
}

/// Loads a checkpoint onto the device of the encoder that the run started from.
pub(crate) fn load(
    dir: &dyn Directory,
    folder: &str,
    start: &Encoder,
    settings: &TuneSettings,
) -> Result<(Trainer, Position, Temperatures)> {
    let sub = SubDirectory::new(dir, folder);
    let state: State = read_json(&sub, STATE)?;
    let device = start.question.weights.device();
    let mut encoder = Encoder::load(&sub, &device, None)?;
    // Whether the head was trained before this run decides nothing any more: the temperatures are in the state.
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
    let [passage_bags, question_bags] = state.bag_temperatures.unwrap_or([state.temperature; 2]);
    Ok((trainer, state.position, Temperatures { vectors: state.temperature, passage_bags, question_bags }))
}

fn trained(encoder: &Encoder, at: Temperatures) -> Encoder {
    let mut encoder = encoder.clone();
    encoder.meta.trained = true;
    at.note(&mut encoder.meta);
    encoder
}

/// The folder of a step's next checkpoint, after all of its that are finished.
fn next_folder(finished: &[String], step: usize) -> String {
    let first = format!("{FOLDER}/step_{step:06}");
    let taken = finished.iter().filter_map(|folder| folder.strip_prefix(&first)).filter_map(|rest| match rest {
        "" => Some(1),
        _ => Some(rest.strip_prefix('_')?.parse::<usize>().ok()? + 1),
    });
    match taken.max() {
        None => first,
        // Two digits keep the order of the names for a hundred saves of one step; there are at most a few.
        Some(next) => format!("{first}_{next:02}"),
    }
}

/// Folders of finished checkpoints, oldest first.
fn finished(dir: &dyn Directory) -> Result<Vec<String>> {
    let names = dir.list(FOLDER).map_err(|source| TuneError::Io { file: dir.describe(FOLDER), source })?;
    let mut all: Vec<String> =
        names.iter().filter_map(|n| n.strip_suffix(&format!("/{STATE}"))).map(str::to_owned).collect();
    // Without what follows the folder in a path, `step_000100` stands before `step_000100_01`.
    all.sort();
    Ok(all)
}

/// Removes the files of checkpoints that were never finished.
fn remove_unfinished(dir: &dyn Directory) -> Result<()> {
    let whole = finished(dir)?;
    let io = |file: &str, source| TuneError::Io { file: dir.describe(file), source };
    for name in dir.list(FOLDER).map_err(|e| io(FOLDER, e))? {
        if !whole.iter().any(|folder| name.strip_prefix(folder).is_some_and(|rest| rest.starts_with('/'))) {
            dir.remove(&name).map_err(|e| io(&name, e))?;
        }
    }
    Ok(())
}

fn remove(dir: &dyn Directory, folder: &str) -> Result<()> {
    let io = |source| TuneError::Io { file: dir.describe(folder), source };
    dir.remove(&format!("{folder}/{STATE}")).map_err(io)?;
    for name in dir.list(folder).map_err(io)? {
        dir.remove(&name).map_err(io)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_that_is_saved_again_overwrites_nothing_and_comes_later() {
        let mut all: Vec<String> = Vec::new();
        for step in [3, 3, 3, 6] {
            all.push(next_folder(&all, step));
        }
        let names: Vec<&str> = all.iter().map(|folder| &folder[FOLDER.len() + 1..]).collect();
        assert_eq!(names, ["step_000003", "step_000003_01", "step_000003_02", "step_000006"]);
        assert!(all.is_sorted());
    }

    #[test]
    fn unfinished_checkpoints_go_and_finished_ones_stay() {
        let dir = ragtune_text::storage::MemoryDirectory::default();
        for name in ["step_000003/state.json", "step_000003/a", "step_000003_01/a", "step_000006/optim/b"] {
            dir.write(&format!("{FOLDER}/{name}"), b"x").unwrap();
        }
        remove_unfinished(&dir).unwrap();
        let left = dir.list("").unwrap();
        assert_eq!(left, ["checkpoints/step_000003/a", "checkpoints/step_000003/state.json"]);
    }
}
