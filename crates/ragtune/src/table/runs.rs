//! Runs and estimates as people read them.

use ragtune_engine::event::{EstimateReport, PoolReport, Record, RunDetails, RunReport, RunState};

use super::{columns, compared, facts, share};
use crate::progress::{bytes, count, time};

/// Rows of the way of loss and accuracy.
const ROWS: usize = 20;

fn state(run: &RunReport) -> &'static str {
    match run.state {
        RunState::Finished => "finished",
        RunState::Unfinished => "unfinished",
    }
}

/// One row for each run.
pub(super) fn list(runs: &[RunReport]) -> String {
    if runs.is_empty() {
        return "no runs here".to_owned();
    }
    let head = ["run", "state", "steps", "best on dev", "before", "after", ""];
    let mut rows = vec![head.map(str::to_owned).to_vec()];
    for run in runs {
        // The figure that tuning is for: answers with one passage; without a language model the ranking's.
        let figure = |metrics: &Option<ragtune_engine::event::Metrics>| {
            let metrics = metrics.as_ref()?;
            metrics.rag_accuracy.get(&1).copied().flatten().or(metrics.mrr_at_10)
        };
        rows.push(vec![
            run.run.clone(),
            state(run).to_owned(),
            count(run.steps),
            share(run.best_dev.map(|(_, accuracy)| accuracy)),
            share(figure(&run.before)),
            share(figure(&run.after)),
            run.summary.clone(),
        ]);
    }
    let note = "before and after: RAG accuracy with 1 passage; without a language model MRR@10";
    format!("{}\n\n{note}", columns(&rows, &[2, 3, 4, 5]))
}

/// A run with its figures, pools and the way of loss and accuracy.
pub(super) fn show(details: &RunDetails) -> String {
    let run = &details.run;
    let mut rows = vec![
        ("run", run.run.clone()),
        ("state", state(run).to_owned()),
        ("settings", run.summary.clone()),
        ("steps", count(run.steps)),
    ];
    if let Some((step, accuracy)) = run.best_dev {
        rows.push(("best on dev", format!("{accuracy:.3} at step {}", count(step as u64))));
    }
    rows.extend(run.seconds.map(|seconds| ("seconds", format!("{seconds:.1}"))));
    rows.extend(run.online.map(|online| ("online steps", online.to_string())));
    rows.extend(run.checkpoint.clone().map(|checkpoint| ("checkpoint", checkpoint)));
    let mut text = facts(&rows);
    match (&run.before, &run.after) {
        (Some(before), Some(after)) => text += &format!("\n\n{}", compared(&["before", "after"], &[before, after])),
        (Some(before), None) => text += &format!("\n\n{}", compared(&["before"], &[before])),
        _ => {}
    }
    if let Some(pools) = details.records.iter().rev().find_map(|record| match record {
        Record::Pools { report } => Some(report),
        _ => None,
    }) {
        text += &format!("\n\n{}", self::pools(pools));
    }
    let way = way(&details.records);
    if !way.is_empty() {
        text += &format!("\n\n{way}");
    }
    for warning in &run.warnings {
        text += &format!("\n\nwarning: {warning}");
    }
    text
}

fn pools(report: &PoolReport) -> String {
    let number = |n: usize| count(n as u64);
    facts(&[
        ("train questions", number(report.questions)),
        ("usable", number(report.usable)),
        ("without a positive", number(report.without_positive)),
        ("without a negative", number(report.without_negative)),
        ("positives per question", format!("{:.1}", report.positives)),
        ("negatives per question", format!("{:.1}", report.negatives)),
        ("ROC-AUC of scores for labels", share(report.auc)),
    ])
}

/// Loss and accuracy on dev at some of the steps, evaluations before others.
fn way(records: &[Record]) -> String {
    let mut loss = None;
    let mut all: Vec<(usize, Option<f32>, Option<f64>)> = Vec::new();
    for record in records {
        match record {
            Record::Step(step) => loss = Some((step.step, step.loss)),
            Record::Dev { step, accuracy, .. } => all.push((*step, loss.map(|(_, loss)| loss), Some(*accuracy))),
            Record::Pools { .. } => {}
        }
    }
    if all.is_empty() {
        let steps = records.iter().filter_map(|record| match record {
            Record::Step(step) => Some((step.step, Some(step.loss), None)),
            _ => None,
        });
        all = steps.collect();
    }
    if all.is_empty() {
        return String::new();
    }
    let every = all.len().div_ceil(ROWS).max(1);
    let mut rows = vec![["step", "loss", "dev"].map(str::to_owned).to_vec()];
    for (at, (step, loss, dev)) in all.iter().enumerate() {
        if at % every == 0 || at + 1 == all.len() {
            let loss = loss.map_or_else(|| "-".to_owned(), |loss| format!("{loss:.3}"));
            rows.push(vec![count(*step as u64), loss, share(*dev)]);
        }
    }
    columns(&rows, &[0, 1, 2])
}

/// What a tuning would cost.
pub(super) fn estimate(report: &EstimateReport) -> String {
    let total = report.pool_seconds + report.train_seconds + report.evaluation_seconds;
    let rows = facts(&[
        ("device", report.device.clone()),
        ("train questions", count(report.questions)),
        ("passages to judge", count(report.pairs - report.cached_pairs.min(report.pairs))),
        ("judged before", count(report.cached_pairs)),
        ("steps", count(report.steps)),
        ("time for the pools", time(report.pool_seconds)),
        ("time for the steps", time(report.train_seconds)),
        ("time for evaluations", time(report.evaluation_seconds)),
        ("time altogether", time(total)),
        ("memory", bytes(report.memory_bytes)),
    ]);
    let notes: Vec<String> = report.notes.iter().map(|note| format!("- {note}")).collect();
    format!("{rows}\n\n{}", notes.join("\n"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_without_figures_shows_none() {
        let run = RunReport {
            run: "runs/a".to_owned(),
            state: RunState::Unfinished,
            checkpoint: None,
            summary: "gold".to_owned(),
            before: None,
            after: None,
            best_dev: Some((4, 0.25)),
            steps: 1200,
            seconds: None,
            online: None,
            warnings: vec!["too few".to_owned()],
        };
        let listed = list(std::slice::from_ref(&run));
        assert!(listed.contains("runs/a  unfinished  1,200        0.250       -      -  gold"), "{listed}");
        let dev = |step| Record::Dev { step, accuracy: 0.5, questions: 1, best: true };
        let shown = show(&RunDetails { run, config: String::new(), records: (0..100).map(dev).collect() });
        assert!(shown.contains("warning: too few") && !shown.contains("MRR"), "{shown}");
        assert!(shown.lines().count() < 40 && shown.contains("  99     -  0.500"), "{shown}");
    }
}
