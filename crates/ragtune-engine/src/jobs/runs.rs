//! Runs: listing, showing, exporting.

mod report;

use crate::fs;
use std::path::{Path, PathBuf};

use ragtune_eval::rag::Metrics;
use ragtune_text::storage::Directory;
use ragtune_tune::{BEST, Record, Stage, Supervision};

use crate::command::{ExportRun, ListRuns, ReadRun};
use crate::directory::{Folder, write_file};
use crate::event::{ExportedRun, Report, RunDetails, RunReport, RunState, TuneReport};
use crate::jobs::tune::{BEFORE, CONFIG, REPORT, RunConfig, read_config, read_json};
use crate::session::JobContext;
use crate::{EngineError, Result};

const METRICS: &str = "metrics.jsonl";
/// The file without which an encoder's folder is none.
const WEIGHTS: &str = "model.safetensors";
/// How deep below a folder runs are looked for: a demo keeps its own in `ragtune-demo/runs/both`.
const DEPTH: usize = 3;
const MODEL: &str = "model";
const TEXT: &str = "report.md";

/// `runs list`
pub(super) fn list(list: &ListRuns, context: &mut JobContext<'_>) -> Result<()> {
    let kind = fs::metadata(&list.folder).map_err(|source| EngineError::io(&list.folder, source))?;
    if !kind.is_dir() {
        return Err(EngineError::input(format!("{}: this is a file; give a folder of runs", list.folder.display())));
    }
    let mut paths = Vec::new();
    walk(&list.folder, DEPTH, &mut paths);
    let mut runs = Vec::with_capacity(paths.len());
    for path in paths {
        context.check()?;
        // A run whose files cannot be read is no reason to hide the others.
        match read(&path) {
            Ok(details) => runs.push(details.run),
            Err(error) => context.warn(error.to_string()),
        }
    }
    context.report(Report::Runs(runs));
    Ok(())
}

/// `runs show`
pub(super) fn show(show: &ReadRun, context: &mut JobContext<'_>) -> Result<()> {
    let details = read(&existing(&show.run)?)?;
    context.report(Report::Run(Box::new(details)));
    Ok(())
}

/// `runs export`
pub(super) fn export(export: &ExportRun, context: &mut JobContext<'_>) -> Result<()> {
    let run = existing(&export.run)?;
    let details = read(&run)?;
    let best = run.join(BEST);
    if !fs::is_file(&best.join(WEIGHTS)) {
        return Err(EngineError::input(format!(
            "{}: this run has no encoder yet; go on with it by ragtune tune --resume {}",
            best.display(),
            run.display()
        )));
    }
    let from = Folder::open(&best).map_err(|source| EngineError::io(&best, source))?;
    let model = export.out.join(MODEL);
    refuse_another(&from, &model, &export.out)?;
    let to = Folder::create(&model).map_err(|source| EngineError::io(&model, source))?;
    let mut names = from.list("").map_err(|source| EngineError::io(&best, source))?;
    // The weights come last: a copy that broke off has none and is not taken for an encoder.
    names.sort_by_key(|name| name == WEIGHTS);
    context.begin("exporting", "files", Some(names.len() as u64));
    for (at, name) in names.iter().enumerate() {
        context.check()?;
        let bytes = from.read(name).map_err(|source| EngineError::io(&best.join(name), source))?;
        to.write(name, &bytes).map_err(|source| EngineError::io(&model.join(name), source))?;
        context.advance(at as u64 + 1);
    }
    let report = export.out.join(TEXT);
    let text = report::markdown(&details);
    write_file(&report, &mut |file| file.write_all(text.as_bytes()))
        .map_err(|source| EngineError::io(&report, source))?;
    context.report(Report::ExportedRun(ExportedRun {
        model: model.display().to_string(),
        report: report.display().to_string(),
    }));
    Ok(())
}

/// An export of another encoder is not overwritten: it may be the last copy.
fn refuse_another(from: &Folder, model: &Path, out: &Path) -> Result<()> {
    let there = model.join(WEIGHTS);
    let another = fs::exists(&there) && {
        let old = fs::read(&there).map_err(|source| EngineError::io(&there, source))?;
        let new = from.read(WEIGHTS).map_err(|source| EngineError::io(&there, source))?;
        old != new[..]
    };
    if another {
        return Err(EngineError::input(format!(
            "{}: another encoder lies here already. Choose another --out, or remove {} first",
            model.display(),
            out.display()
        )));
    }
    Ok(())
}

/// Whether a folder is a run, finished or not. A `config.toml` alone may belong to any program, or be one for
/// `--config`: that of a run names its encoder.
fn is_run(path: &Path) -> bool {
    let config = path.join(CONFIG);
    fs::is_file(&path.join(METRICS))
        || (fs::is_file(&config) && read_config(&config).is_ok_and(|config| config.input.encoder.is_some()))
}

fn existing(path: &Path) -> Result<PathBuf> {
    if !fs::is_dir(path) || !is_run(path) {
        return Err(EngineError::input(format!(
            "{}: there is no run here; `ragtune runs list` shows those in a folder",
            path.display()
        )));
    }
    Ok(path.to_owned())
}

/// Runs in and below a folder, in the order of their names. Nothing is looked for inside a run.
fn walk(folder: &Path, depth: usize, found: &mut Vec<PathBuf>) {
    if is_run(folder) {
        return found.push(folder.to_owned());
    }
    if depth == 0 {
        return;
    }
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let mut folders: Vec<PathBuf> = entries
        .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()))
        .filter(|entry| !entry.file_name().to_string_lossy().starts_with('.'))
        .map(|entry| entry.path())
        .collect();
    folders.sort();
    folders.iter().for_each(|folder| walk(folder, depth - 1, found));
}

/// Everything about a run. Lines of its records that cannot be read are left out and counted in a warning: the run may
/// be writing one just now.
fn read(path: &Path) -> Result<RunDetails> {
    let folder = Folder::open(path).map_err(|source| EngineError::io(path, source))?;
    let config = fs::read_to_string(path.join(CONFIG)).unwrap_or_default();
    let settings = toml::from_str::<RunConfig>(&config).ok().filter(|_| !config.is_empty());
    let (records, lost) = records(&folder);
    let report = read_json::<TuneReport>(&folder, REPORT);
    let mut warnings = report.as_ref().map(|report| report.warnings.clone()).unwrap_or_default();
    if report.is_none() {
        let pools = records.iter().find_map(|record| match record {
            Record::Pools { report } => Some(report),
            _ => None,
        });
        let rag = settings.as_ref().is_none_or(|settings| settings.tune.supervision == Supervision::Rag);
        warnings.extend(pools.filter(|_| rag).map(|pools| pools.warnings()).unwrap_or_default());
    }
    if lost > 0 {
        warnings.push(format!("{METRICS}: {lost} lines cannot be read and are left out"));
    }
    let best_dev = records.iter().fold(None, |best: Option<(usize, f64)>, record| match *record {
        // As the tuner chooses: the later of equals.
        Record::Dev { step, accuracy, .. } if best.is_none_or(|(_, most)| accuracy >= most) => Some((step, accuracy)),
        _ => best,
    });
    let step = |record: &Record| if let Record::Step(step) = record { Some(step.step as u64) } else { None };
    let steps = records.iter().filter_map(step).max();
    let best = path.join(BEST);
    let run = RunReport {
        run: path.display().to_string(),
        state: if report.is_some() { RunState::Finished } else { RunState::Unfinished },
        checkpoint: fs::is_file(&best.join(WEIGHTS)).then(|| best.display().to_string()),
        summary: settings.as_ref().map_or_else(|| stages_of(&records), summary),
        before: read_json::<Metrics>(&folder, BEFORE).or_else(|| report.as_ref().map(|report| report.before.clone())),
        after: report.as_ref().map(|report| report.after.clone()),
        best_dev,
        steps: steps.or_else(|| report.as_ref().map(|report| report.steps)).unwrap_or(0),
        seconds: report.as_ref().map(|report| report.seconds),
        online: report.as_ref().and_then(|report| report.online),
        warnings,
    };
    Ok(RunDetails { run, config, records })
}

/// The records of a run, and how many lines are none.
fn records(folder: &Folder) -> (Vec<Record>, usize) {
    let Ok(bytes) = folder.read(METRICS) else { return (Vec::new(), 0) };
    let mut lost = 0;
    let lines = bytes.split(|&byte| byte == b'\n').filter(|line| !line.trim_ascii().is_empty());
    let read = lines.filter_map(|line| {
        let record = serde_json::from_slice::<Record>(line).ok();
        lost += usize::from(record.is_none());
        record
    });
    (read.collect(), lost)
}

fn name(stage: Stage) -> &'static str {
    match stage {
        Stage::Offline => "offline",
        Stage::Online => "online",
    }
}

/// Supervision, stages and what decides most of the rest, in one line.
fn summary(config: &RunConfig) -> String {
    let tune = &config.tune;
    let supervision = match tune.supervision {
        Supervision::Gold => "gold",
        Supervision::Rag => "rag",
    };
    let stages = tune.stages.iter().map(|&stage| format!("{} {}", name(stage), tune.epochs(stage)));
    let stages = stages.collect::<Vec<_>>().join(" + ");
    let most = if tune.max_steps > 0 { format!(", at most {} steps a stage", tune.max_steps) } else { String::new() };
    format!("{supervision}, {stages} epochs{most}, batch {}, k {}, lr {:e}", tune.batch, tune.k, tune.optim.lr)
}

/// What can be said of a run without settings.
fn stages_of(records: &[Record]) -> String {
    let mut stages: Vec<&str> = Vec::new();
    for record in records {
        if let Record::Step(step) = record
            && !stages.contains(&name(step.stage))
        {
            stages.push(name(step.stage));
        }
    }
    if stages.is_empty() {
        "no settings recorded".to_owned()
    } else {
        format!("{}; no settings recorded", stages.join(" + "))
    }
}

#[cfg(test)]
mod tests {
    use ragtune_tune::{PoolReport, TuneSettings};

    use super::*;

    fn write(folder: &Path, name: &str, text: &str) {
        let path = folder.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    fn line(record: &Record) -> String {
        serde_json::to_string(record).unwrap() + "\n"
    }

    #[test]
    fn half_a_line_hides_nothing_else() {
        let temp = tempfile::tempdir().unwrap();
        let pools = PoolReport { questions: 10, without_positive: 9, ..PoolReport::default() };
        let dev = |step, accuracy| Record::Dev { step, accuracy, questions: 5, best: true };
        let text = [line(&Record::Pools { report: pools }), line(&dev(0, 0.5)), line(&dev(4, 0.5)), line(&dev(8, 0.2))]
            .concat();
        write(temp.path(), METRICS, &format!("{text}{{\"kind\": \"dev\", \"st"));
        let details = read(temp.path()).unwrap();
        assert_eq!((details.records.len(), details.run.best_dev), (4, Some((4, 0.5))));
        assert_eq!((details.run.state, details.run.checkpoint), (RunState::Unfinished, None));
        let warnings = details.run.warnings.join("\n");
        assert!(warnings.contains("90 %") && warnings.contains("1 lines"), "{warnings}");
    }

    #[test]
    fn runs_are_found_where_they_lie_and_other_folders_are_none() {
        let temp = tempfile::tempdir().unwrap();
        let mut config = RunConfig::default();
        write(temp.path(), "config.toml", &toml::to_string(&config).unwrap());
        config.input.encoder = Some("encoder".into());
        write(temp.path(), "b/config.toml", &toml::to_string(&config).unwrap());
        write(temp.path(), "b/index/metrics.jsonl", "");
        write(temp.path(), "a/runs/both/metrics.jsonl", "");
        write(temp.path(), "cargo/config.toml", "[build]\njobs = 2\n");
        write(temp.path(), ".hidden/metrics.jsonl", "");
        let mut found = Vec::new();
        walk(temp.path(), DEPTH, &mut found);
        assert_eq!(found, [temp.path().join("a/runs/both"), temp.path().join("b")]);
        assert!(existing(&temp.path().join("cargo")).is_err());
    }

    #[test]
    fn a_summary_says_what_was_tuned_how() {
        let tune = TuneSettings { offline_epochs: 4, max_steps: 12, batch: 8, ..TuneSettings::default() };
        let summary = summary(&RunConfig { tune, ..RunConfig::default() });
        assert_eq!(summary, "rag, offline 4 + online 40 epochs, at most 12 steps a stage, batch 8, k 100, lr 2e-5");
    }
}
