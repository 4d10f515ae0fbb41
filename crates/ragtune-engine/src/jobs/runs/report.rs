//! A run as a document for people.

use ragtune_eval::rag::{Figures, Metrics};
use ragtune_tune::{PoolReport, Record};

use crate::event::{RunDetails, RunState};

/// Rows of the curve on dev: a long run shows every so many evaluations.
const CURVE: usize = 20;
/// Characters of the longest bar.
const BAR: f64 = 40.0;

/// The report of a run in Markdown.
pub(super) fn markdown(details: &RunDetails) -> String {
    let run = &details.run;
    let mut text = format!("# Tuning run {}\n\n{}.\n\n", run.run, run.summary);
    let mut facts = vec![("Steps", run.steps.to_string())];
    if let Some(seconds) = run.seconds {
        facts.push(("Seconds", format!("{seconds:.1}")));
    }
    facts.extend(run.online.map(|online| ("Online steps", online.to_string())));
    if let Some((step, accuracy)) = run.best_dev {
        facts.push(("Best on dev", format!("{accuracy:.3} at step {step}")));
    }
    if run.state == RunState::Unfinished {
        facts.push(("State", "unfinished: the encoder is the best so far".to_owned()));
    }
    for (name, value) in facts {
        text += &format!("- {name}: {value}\n");
    }
    text += "\n## Figures on the test questions\n\n";
    text += &match (&run.before, &run.after) {
        (Some(before), Some(after)) => figures(&["before", "after"], &[before, after]),
        (Some(before), None) => figures(&["before"], &[before]),
        _ => "None were computed.\n".to_owned(),
    };
    let pools = details.records.iter().rev().find_map(|record| match record {
        Record::Pools { report } => Some(report),
        _ => None,
    });
    if let Some(pools) = pools {
        text += &format!("\n## Pools\n\n{}", self::pools(pools));
    }
    if !run.warnings.is_empty() {
        text += "\n## Warnings\n\n";
        run.warnings.iter().for_each(|warning| text += &format!("- {warning}\n"));
    }
    let curve = curve(&details.records);
    if !curve.is_empty() {
        text += &format!("\n## Accuracy on dev\n\n```text\n{curve}```\n");
    }
    if !details.config.is_empty() {
        text += &format!("\n## Settings\n\n```toml\n{}\n```\n", details.config.trim_end());
    }
    text
}

fn share(value: Option<f64>) -> String {
    value.map_or_else(|| "-".to_owned(), |value| format!("{value:.3}"))
}

/// A table with a column for each of the metrics; a figure that none of them has is left out.
fn figures(names: &[&str], metrics: &[&Metrics]) -> String {
    let mut text = format!("| | {} |\n|---|{}\n", names.join(" | "), "---|".repeat(names.len()));
    let mut row = |name: String, values: Vec<Option<f64>>| {
        if values.iter().any(Option::is_some) {
            text += &format!("| {name} | {} |\n", values.into_iter().map(share).collect::<Vec<_>>().join(" | "));
        }
    };
    type Of = fn(&Metrics) -> &Figures;
    let groups: [(&str, Of); 5] = [
        ("RAG accuracy", |m| &m.rag_accuracy),
        ("exact match", |m| &m.em),
        ("F1", |m| &m.f1),
        ("answer recall", |m| &m.answer_recall),
        ("recall", |m| &m.recall),
    ];
    for (name, of) in groups {
        for n in metrics.iter().flat_map(|m| of(m).keys()).collect::<std::collections::BTreeSet<_>>() {
            let name = if name.ends_with("recall") { format!("{name}@{n}") } else { format!("{name}, {n} in context") };
            row(name, metrics.iter().map(|m| of(m).get(n).copied().flatten()).collect());
        }
    }
    row("MRR@10".to_owned(), metrics.iter().map(|m| m.mrr_at_10).collect());
    row("nDCG@10".to_owned(), metrics.iter().map(|m| m.ndcg_at_10).collect());
    let questions = metrics.last().map_or(0, |m| m.questions);
    format!("{text}\n{questions} questions.\n")
}

fn pools(pools: &PoolReport) -> String {
    let mut text = format!(
        "- Train questions: {}, of which {} could be used\n- Without a positive: {}; without a negative: {}\n\
         - Passages per question that helped: {:.1}; that did not: {:.1}\n",
        pools.questions, pools.usable, pools.without_positive, pools.without_negative, pools.positives, pools.negatives
    );
    if let Some(auc) = pools.auc {
        text += &format!("- ROC-AUC of the scores for the labels: {auc:.3}\n");
    }
    text
}

/// Step, accuracy and a bar for the evaluations on dev; the best is marked.
fn curve(records: &[Record]) -> String {
    let dev: Vec<(usize, f64)> = records
        .iter()
        .filter_map(|record| match *record {
            Record::Dev { step, accuracy, .. } => Some((step, accuracy)),
            _ => None,
        })
        .collect();
    let most = dev.iter().map(|(_, accuracy)| *accuracy).fold(0.0, f64::max);
    let best = dev.iter().rposition(|(_, accuracy)| *accuracy == most);
    let every = dev.len().div_ceil(CURVE).max(1);
    let last = dev.len().saturating_sub(1);
    let shown = dev.iter().enumerate().filter(|(at, _)| at % every == 0 || *at == last || Some(*at) == best);
    let mut text = String::new();
    for (at, (step, accuracy)) in shown {
        let bar = "#".repeat((accuracy.clamp(0.0, 1.0) * BAR).round() as usize);
        let mark = if Some(at) == best { "  best" } else { "" };
        text += format!("{step:>7}  {accuracy:.3}  {bar}{mark}\n").as_str();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::RunReport;

    fn dev(step: usize, accuracy: f64) -> Record {
        Record::Dev { step, accuracy, questions: 10, best: false }
    }

    #[test]
    fn a_report_holds_figures_pools_warnings_curve_and_settings() {
        let before = Metrics { rag_accuracy: [(1, Some(0.25)), (10, None)].into(), questions: 7, ..Metrics::default() };
        let after = Metrics { rag_accuracy: [(1, Some(0.5)), (10, None)].into(), questions: 7, ..Metrics::default() };
        let run = RunReport {
            run: "runs/a".to_owned(),
            state: RunState::Finished,
            checkpoint: None,
            summary: "rag, offline 4 epochs".to_owned(),
            before: Some(before),
            after: Some(after),
            best_dev: Some((4, 0.5)),
            steps: 8,
            seconds: Some(3.0),
            online: None,
            warnings: vec!["too few".to_owned()],
        };
        let pools = PoolReport { questions: 9, usable: 8, auc: Some(0.75), ..PoolReport::default() };
        let records = vec![Record::Pools { report: pools }, dev(0, 0.25), dev(4, 0.5), dev(8, 0.4)];
        let text = markdown(&RunDetails { run, config: "[tune]\nk = 8\n".to_owned(), records });
        for part in [
            "| RAG accuracy, 1 in context | 0.250 | 0.500 |\n",
            "7 questions",
            "9, of which 8",
            "0.750",
            "- too few",
            "      4  0.500  ####################  best\n",
            "```toml\n[tune]\nk = 8\n```",
        ] {
            assert!(text.contains(part), "{part:?} is not in:\n{text}");
        }
        assert!(!text.contains("10 in context"), "what was not computed is no row:\n{text}");
    }

    #[test]
    fn a_long_curve_keeps_its_best_and_its_end() {
        let records: Vec<Record> = (0..=1000).map(|i| dev(i, if i == 333 { 0.9 } else { 0.1 })).collect();
        let curve = curve(&records);
        assert!(curve.lines().count() <= CURVE + 2, "{curve}");
        assert!(curve.contains("    333  0.900") && curve.trim_end().ends_with("####"), "{curve}");
        assert!(curve.contains("   1000  "));
    }
}
