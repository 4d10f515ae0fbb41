//! Results as people read them.

mod bench;
mod files;
mod look;
mod questions;
mod runs;

use ragtune_engine::event::{
    AnswerReport, BuildReport, CheckReport, DemoReport, EvaluationReport, Figures, IndexReport, LentReport, Metrics,
    ModelReport, Report, SearchReport, TuneReport,
};

use crate::progress::{bytes, count};

/// Characters of a passage that are shown.
const PREVIEW: usize = 200;
/// Words of an explanation that are shown.
const WORDS: usize = 10;

/// A report as text, without a line end.
pub(crate) fn report(report: &Report) -> String {
    match report {
        Report::Built(report) => built(report),
        Report::Index(report) => index(report),
        Report::Updated(report) => files::updated(report),
        Report::Passages(list) => files::passages(list),
        // The window's own.
        Report::Project(report) => format!("{} in {}", report.project.name, report.folder.display()),
        Report::Inspected(texts) => look::inspected(texts),
        Report::Weighed(passages) => look::weighed(passages),
        Report::Questions(report) => questions::checked(report),
        Report::Drafted(drafts) => questions::drafted(drafts),
        Report::Estimate(report) => runs::estimate(report),
        Report::Runs(reports) => runs::list(reports),
        Report::Run(details) => runs::show(details),
        Report::ExportedRun(report) => facts(&[("model", report.model.clone()), ("report", report.report.clone())]),
        Report::Search(report) => search(report),
        // Was shown while it was generated.
        Report::Generated(_) => String::new(),
        Report::Answer(report) => answer(report),
        Report::Evaluated(report) => evaluated(report),
        Report::Tuned(report) => tuned(report),
        Report::Demo(report) => demo(report),
        Report::Sample(report) => format!(
            "{} passages and {} questions ({}) in {}",
            count(report.passages),
            count(report.questions),
            bytes(report.bytes),
            report.out
        ),
        Report::Exported(report) => {
            format!("{} passages ({}) in {}", count(report.passages), bytes(report.bytes), report.file)
        }
        Report::Checked(report) => checked(report),
        Report::Removed(report) => format!("{} is removed: {} are free", report.model, bytes(report.bytes)),
        Report::Models(reports) => models(reports),
        Report::Model(report) => model(report),
        Report::Devices(reports) => bench::devices(reports),
        Report::Bench(report) => bench::measured(report),
        Report::Lent(report) => lent(report),
    }
}

fn checked(report: &CheckReport) -> String {
    let head = ["weights", "size", "mean difference", "largest", "order kept", "right passage first"];
    let mut rows = vec![head.map(str::to_owned).to_vec()];
    for row in &report.rows {
        rows.push(vec![
            row.precision.clone(),
            row.bytes.map_or_else(String::new, bytes),
            report.difference(row.mean_difference),
            report.difference(row.largest_difference),
            format!("{:.0} %", 100.0 * row.order_kept),
            format!("{:.0} %", 100.0 * row.answered),
        ]);
    }
    let what = match report.kind.as_str() {
        "encoder" => "products of question and passage",
        _ => "log-probabilities of the right answer",
    };
    format!(
        "{}: {what} of {} questions with two passages each\n\n{}",
        report.model,
        report.questions,
        columns(&rows, &[1, 2, 3, 4, 5])
    )
}

fn lent(report: &LentReport) -> String {
    let LentReport { device, helper } = report;
    format!(
        "{device} is lent until Ctrl-C is pressed. On the other machine:\n\n  ragtune … --device {helper}\n  ragtune tune … --helper {helper}\n"
    )
}

/// Aligned columns; the first row is the head. Columns named in `right` are aligned right.
fn columns(rows: &[Vec<String>], right: &[usize]) -> String {
    let width = |column: usize| rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max();
    let line = |row: &Vec<String>| {
        let mut text = String::new();
        for (column, cell) in row.iter().enumerate() {
            let pad = " ".repeat(width(column).unwrap_or(0).saturating_sub(cell.chars().count()));
            let gap = if column > 0 { "  " } else { "" };
            text += &if right.contains(&column) { format!("{gap}{pad}{cell}") } else { format!("{gap}{cell}{pad}") };
        }
        text.trim_end().to_owned()
    };
    rows.iter().map(line).collect::<Vec<_>>().join("\n")
}

fn facts(rows: &[(&str, String)]) -> String {
    let rows: Vec<_> = rows.iter().map(|(name, value)| vec![(*name).to_owned(), value.clone()]).collect();
    columns(&rows, &[])
}

fn share(value: Option<f64>) -> String {
    value.map_or_else(|| "-".to_owned(), |value| format!("{value:.3}"))
}

fn built(report: &BuildReport) -> String {
    let mut rows = vec![
        ("index", report.index.clone()),
        ("passages", count(report.passages)),
        ("postings", count(report.postings)),
        ("size", bytes(report.bytes)),
        ("bits per posting", report.bits_per_posting.map_or_else(|| "-".to_owned(), |bits| format!("{bits:.1}"))),
        ("seconds", format!("{:.1}", report.seconds)),
        ("passages per second", count(report.passages_per_second as u64)),
    ];
    if let Some(weights) = report.parametric_weights {
        rows.insert(3, ("parametric weights", count(weights)));
    }
    facts(&rows)
}

fn index(report: &IndexReport) -> String {
    let meta = &report.meta;
    let mut rows = vec![
        ("index", report.index.clone()),
        ("passages", count(report.passages)),
        ("lexical dimensions", count(u64::from(report.dims))),
        ("postings", count(report.postings)),
        ("parametric weights", report.parametric_weights.map_or_else(|| "none".to_owned(), count)),
        ("size", bytes(report.bytes)),
        ("tokens per passage", format!("at most {}", meta.max_tokens)),
        ("format", meta.format.to_string()),
        ("tokenizer", meta.tokenizer_fingerprint.clone()),
        ("vocabulary", meta.vocab_fingerprint.clone()),
    ];
    if let Some(part) = &meta.parametric {
        rows.push(("encoder", part.encoder_fingerprint.clone()));
    }
    if report.verified {
        rows.push(("checked", "every byte: all is well".to_owned()));
    }
    let mut files = vec![vec!["file".to_owned(), "bytes".to_owned(), "checksum".to_owned()]];
    for (name, file) in &meta.files {
        files.push(vec![name.clone(), count(file.bytes), format!("{:08x}", file.crc32)]);
    }
    format!("{}\n\n{}", facts(&rows), columns(&files, &[1]))
}

fn search(report: &SearchReport) -> String {
    let mut text = String::new();
    for query in &report.queries {
        if report.queries.len() > 1 {
            text += &format!("query {}\n", query.id);
        }
        for hit in &query.hits {
            let title = if hit.title.is_empty() { String::new() } else { format!("  {}", hit.title) };
            text += &format!("{:>3}. {:.3}  {}{title}\n     {}\n", hit.rank, hit.score, hit.id, preview(&hit.text));
            if let Some(source) = &hit.source {
                text += &format!("     {}\n", files::place(source));
            }
            if let Some(tokens) = &hit.explain {
                let words = tokens.iter().take(WORDS).map(|token| format!("{} {:.2}", token.token, token.product));
                let more =
                    if tokens.len() > WORDS { format!(", and {} more", tokens.len() - WORDS) } else { String::new() };
                text += &format!("     {}{more}\n", words.collect::<Vec<_>>().join(", "));
            }
        }
    }
    text + &format!("{:.2} seconds", report.seconds)
}

/// The beginning of a text on one line.
fn preview(text: &str) -> String {
    let flat = text.split_whitespace().collect::<Vec<_>>().join(" ");
    match flat.char_indices().nth(PREVIEW) {
        Some((end, _)) => format!("{}…", &flat[..end]),
        None => flat,
    }
}

fn answer(report: &AnswerReport) -> String {
    let mut rows = vec![["", "passage", "score", "source"].map(str::to_owned).to_vec()];
    for cited in &report.citations {
        let source = cited.source.as_ref().map(|source| source.file.clone()).unwrap_or_default();
        rows.push(vec![format!("[{}]", cited.rank), cited.id.clone(), format!("{:.3}", cited.score), source]);
    }
    // The answer itself was shown while it was generated.
    format!("\n{}", columns(&rows, &[2]))
}

fn figures(rows: &mut Vec<Vec<String>>, name: &str, figures: &Figures) {
    for (n, value) in figures {
        rows.push(vec![format!("{name}@{n}"), share(*value)]);
    }
}

fn metric_rows(metrics: &Metrics) -> Vec<Vec<String>> {
    let mut rows = Vec::new();
    for (name, of) in [("RAG accuracy", &metrics.rag_accuracy), ("exact match", &metrics.em), ("F1", &metrics.f1)] {
        for (n, value) in of {
            let passages = if *n == 1 { "passage" } else { "passages" };
            rows.push(vec![format!("{name}, {n} {passages}"), share(*value)]);
        }
    }
    figures(&mut rows, "answer recall", &metrics.answer_recall);
    figures(&mut rows, "recall", &metrics.recall);
    rows.push(vec!["MRR@10".to_owned(), share(metrics.mrr_at_10)]);
    rows.push(vec!["nDCG@10".to_owned(), share(metrics.ndcg_at_10)]);
    rows
}

fn evaluated(report: &EvaluationReport) -> String {
    let mut rows = metric_rows(&report.metrics);
    rows.push(vec!["questions".to_owned(), count(report.metrics.questions as u64)]);
    rows.push(vec!["seconds".to_owned(), format!("{:.1}", report.seconds)]);
    let mut text = columns(&rows, &[1]);
    for (n, prompts) in report.dropped.iter().filter(|(_, prompts)| **prompts > 0) {
        text += &format!("\n{prompts} prompts with {n} passages were too long for the context and lost some");
    }
    for question in report.per_question.iter().flatten() {
        let rank = question.answer_rank.map_or_else(|| "-".to_owned(), |rank| rank.to_string());
        text += &format!(
            "\n\n{}  {}\n  answers: {}\n  rank of the first passage with an answer: {rank}",
            question.id,
            question.question,
            question.answers.join(" | ")
        );
        for (n, generation) in &question.generations {
            let mark = if generation.correct { "right" } else { "wrong" };
            text += &format!("\n  with {n}: {} ({mark})", generation.text);
        }
    }
    text
}

/// Figures side by side.
fn compared(names: &[&str], metrics: &[&Metrics]) -> String {
    let mut rows = vec![std::iter::once("").chain(names.iter().copied()).map(str::to_owned).collect::<Vec<_>>()];
    let all: Vec<_> = metrics.iter().map(|metrics| metric_rows(metrics)).collect();
    let Some(first) = all.first() else { return String::new() };
    for (at, row) in first.iter().enumerate() {
        let values = all.iter().map(|rows| rows.get(at).and_then(|row| row.get(1)).cloned().unwrap_or_default());
        rows.push(std::iter::once(row[0].clone()).chain(values).collect());
    }
    columns(&rows, &(1..=names.len()).collect::<Vec<_>>())
}

fn tuned(report: &TuneReport) -> String {
    let mut rows = vec![
        ("test questions", count(report.after.questions as u64)),
        ("steps", count(report.steps)),
        ("seconds", format!("{:.1}", report.seconds)),
        ("checkpoint", report.checkpoint.clone()),
        ("run", report.run.clone()),
    ];
    if let Some(online) = report.online {
        rows.insert(3, ("online steps", online.to_string()));
    }
    let facts = facts(&rows);
    format!("{}\n\n{facts}", compared(&["before", "after"], &[&report.before, &report.after]))
}

fn demo(report: &DemoReport) -> String {
    let (mut names, mut all) = (vec!["before", "after"], vec![&report.before, &report.after]);
    if let Some(stages) = &report.stages {
        names.extend(["offline only", "online only"]);
        all.extend([&stages.offline_only, &stages.online_only]);
    }
    let mut rows = vec![
        ("passages", count(report.passages)),
        ("questions", count(report.questions)),
        ("seconds", format!("{:.1}", report.seconds)),
        ("run", report.run.clone()),
    ];
    if let Some(best) = report.oracle_accuracy.get(&1) {
        rows.insert(0, ("RAG accuracy if the language model sorted the passages", share(*best)));
    }
    format!("{}\n\n{}", compared(&names, &all), facts(&rows))
}

fn models(reports: &[ModelReport]) -> String {
    let mut rows = vec![["folder", "kind", "architecture", "size"].map(str::to_owned).to_vec()];
    for report in reports {
        rows.push(vec![report.folder.clone(), report.kind.clone(), report.architecture.clone(), bytes(report.bytes)]);
    }
    columns(&rows, &[3])
}

fn model(report: &ModelReport) -> String {
    let mut rows = vec![
        ("folder", report.folder.clone()),
        ("kind", report.kind.clone()),
        ("architecture", report.architecture.clone()),
        ("size", bytes(report.bytes)),
    ];
    let mut number = |name, value: Option<u64>| rows.extend(value.map(|value| (name, count(value))));
    number("parameters", report.parameters);
    number("vocabulary", report.vocabulary);
    number("context in tokens", report.context);
    number("lexical dimensions", report.lexical_dims);
    rows.extend(report.dtype.clone().map(|dtype| ("stored as", dtype)));
    rows.extend(memory(report).map(|memory| ("memory", memory)));
    rows.extend(report.licence.clone().map(|licence| ("licence", licence)));
    if report.chat {
        rows.push(("chat template", "yes: `--template chat` puts prompts as messages".to_owned()));
    }
    rows.extend(report.head.clone().map(|head| ("head", head)));
    rows.extend(report.fingerprint.clone().map(|fingerprint| ("fingerprint", fingerprint)));
    if report.verified {
        rows.push(("checked", "read whole and computed with: it works".to_owned()));
    }
    facts(&rows)
}

/// What a model takes once it is loaded.
fn memory(report: &ModelReport) -> Option<String> {
    let (cpu, gpu) = (report.memory_bytes?, report.gpu_memory_bytes?);
    let held = if report.parameters.is_some_and(|parameters| cpu < 4 * parameters) {
        "as its file has them"
    } else {
        "in 32-bit floats"
    };
    Some(if cpu == gpu {
        format!("{}, {held} on any device", bytes(cpu))
    } else {
        format!("{} on the CPU, {held}; {} on a GPU", bytes(cpu), bytes(gpu))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_not_computed_is_not_shown_as_zero() {
        let metrics = Metrics { rag_accuracy: [(1, None), (10, Some(0.5))].into(), ..Metrics::default() };
        let rows = metric_rows(&metrics);
        assert_eq!(rows[0], ["RAG accuracy, 1 passage", "-"]);
        assert_eq!(rows[1], ["RAG accuracy, 10 passages", "0.500"]);
    }

    #[test]
    fn columns_are_aligned_and_previews_cut_at_characters() {
        let rows = [vec!["a".to_owned(), "12".to_owned()], vec!["éé".to_owned(), "3".to_owned()]];
        assert_eq!(columns(&rows, &[1]), "a   12\néé   3");
        assert_eq!(preview(&"é ".repeat(500)).chars().count(), PREVIEW + 1);
    }
}
