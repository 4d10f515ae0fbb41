//! One file per job.

mod answer;
mod bench;
mod ceiling;
mod check;
pub mod demo;
mod devices;
mod encode;
mod estimate;
pub mod eval;
mod export;
mod generate;
mod import;
mod index;
mod inspect;
#[cfg(not(target_family = "wasm"))]
mod lend;
mod models;
mod passages;
mod project;
mod questions;
mod rewrite;
mod runs;
pub mod sample;
mod score;
pub mod search;
pub mod tune;
mod update;
mod weigh;

pub use index::{build_index, open_index};

use std::path::Path;

use burn::tensor::Device;
use ragtune_text::storage::Directory as _;

use crate::device::DeviceChoice;
use crate::directory::Folder;
use crate::session::JobContext;
use crate::{Command, EngineError, Result};

/// Runs a job to its end.
pub(crate) fn run(command: &Command, context: &mut JobContext<'_>) -> Result<()> {
    context.check()?;
    match command {
        Command::OpenProject(open) => project::open(open, context),
        Command::SaveProject(save) => project::save(save, context),
        Command::BuildIndex(build) => index::build(build, context),
        Command::UpdateIndex(update) => update::update(update, context),
        Command::ListPassages(list) => passages::list(list, context),
        Command::IndexInfo(path) => index::info(path, false, context),
        Command::VerifyIndex(path) => index::info(path, true, context),
        Command::RewriteIndex(rewrite) => rewrite::rewrite(rewrite, context),
        Command::ExportIndex(export) => rewrite::export(export, context),
        Command::Search(search) => search::search(search, context),
        Command::Inspect(inspect) => inspect::inspect(inspect, context),
        Command::Weigh(weigh) => weigh::weigh(weigh, context),
        Command::Encode(encode) => encode::encode(encode, context),
        Command::Score(score) => score::score(score, context),
        Command::Generate(generate) => generate::generate(generate, context),
        Command::Answer(answer) => answer::answer(answer, context),
        Command::Evaluate(evaluate) => eval::run(evaluate, context),
        Command::CheckQuestions(check) => questions::check(check, context),
        Command::WriteQuestions(write) => questions::write(write, context),
        Command::DraftQuestions(draft) => questions::draft(draft, context),
        Command::Tune(tune) => tune::tune(tune, context),
        Command::EstimateTuning(tune) => estimate::estimate(tune, context),
        Command::ListRuns(list) => runs::list(list, context),
        Command::ReadRun(read) => runs::show(read, context),
        Command::ExportRun(export) => runs::export(export, context),
        Command::Demo(demo) => demo::demo(demo, context),
        Command::GenerateSample(sample) => sample::generate(sample, context),
        Command::WriteSampleModels(models) => sample::models(models, context),
        Command::ExportModel(wanted) => export::export(wanted, context),
        Command::ImportModel(wanted) => import::import(wanted, context),
        Command::PullModel(pull) => models::pull(pull, context),
        Command::ListModels(list) => models::list(list, context),
        Command::ModelInfo(model) => models::info(model, context),
        Command::VerifyModel(model) => models::verify(model, context),
        Command::RemoveModel(model) => models::remove(model, context),
        Command::CheckModel(wanted) => check::check(wanted, context),
        Command::Devices(wanted) => devices::devices(wanted, context),
        Command::Bench(bench) => bench::bench(bench, context),
        #[cfg(not(target_family = "wasm"))]
        Command::Lend(wanted) => lend::lend(wanted, context),
        #[cfg(target_family = "wasm")]
        Command::Lend(_) => Err(EngineError::input("a browser's tab lends no device")),
    }
}

/// A folder for a model that is written now.
///
/// # Errors
/// Bad input when a model lies there.
fn new_model_folder(path: &Path) -> Result<Folder> {
    let folder = Folder::create(path).map_err(|source| EngineError::io(path, source))?;
    if folder.exists("model.safetensors") {
        return Err(EngineError::input(format!(
            "{}: a model lies here already; choose another --out, or remove it first",
            path.display()
        )));
    }
    Ok(folder)
}

/// The device for a choice; the user hears when it is not the one that might be expected.
pub fn device(choice: &DeviceChoice, context: &mut JobContext<'_>) -> Result<Device> {
    let chosen = context.shelf().device(choice)?;
    if let Some(note) = chosen.note {
        context.warn(note);
    }
    Ok(chosen.device)
}

/// Devices that help the one of a choice, each once.
pub fn helpers(helpers: &[DeviceChoice], choice: &DeviceChoice, context: &mut JobContext<'_>) -> Result<Vec<Device>> {
    let mut all = vec![device(choice, context)?];
    for helper in helpers {
        let other = device(helper, context)?;
        if all.contains(&other) {
            let name = helper.shown();
            return Err(EngineError::input(format!("helper {name}: that device computes already; leave it out")));
        }
        all.push(other);
    }
    Ok(all.split_off(1))
}
