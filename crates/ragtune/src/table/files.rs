//! Tables of files and passages.

use ragtune_engine::event::{FileOutcome, FileState, PassageList, Source, UpdateReport};

use super::{built, columns, preview};
use crate::progress::count;

/// Files of a kind that are listed; those that failed are listed all.
const LISTED: usize = 20;

/// Where a passage was cut from.
pub(super) fn place(source: &Source) -> String {
    match source.page {
        Some(page) => format!("{}, page {page}", source.file),
        None => format!("{} (bytes {} to {})", source.file, source.start, source.end),
    }
}

pub(super) fn updated(report: &UpdateReport) -> String {
    let mut rows = vec![["file", "", "passages", ""].map(str::to_owned).to_vec()];
    let mut more = Vec::new();
    let mut list = |what: &str, most: usize, wanted: fn(&FileState) -> bool| {
        let files: Vec<_> = report.files.iter().filter(|outcome| wanted(&outcome.state)).collect();
        rows.extend(files.iter().take(most).map(|outcome| row(what, outcome)));
        if files.len() > most {
            more.push(format!("{} more {what}", count((files.len() - most) as u64)));
        }
    };
    list("indexed", LISTED, |state| matches!(state, FileState::Indexed { .. }));
    list("removed", LISTED, |state| matches!(state, FileState::Removed));
    list("skipped", LISTED, |state| matches!(state, FileState::Skipped { .. }));
    list("failed", usize::MAX, |state| matches!(state, FileState::Failed { .. }));
    let counts = [
        (report.indexed, "indexed"),
        (report.unchanged, "unchanged"),
        (report.removed, "removed"),
        (report.skipped, "skipped"),
        (report.failed, "failed"),
    ];
    let counts = counts.map(|(n, what)| format!("{} {what}", count(n as u64))).join(", ");
    let table = if rows.len() > 1 { format!("{}\n", columns(&rows, &[2])) } else { String::new() };
    let more = if more.is_empty() { String::new() } else { format!("and {}: --json lists all\n", more.join(", ")) };
    let gap = if table.is_empty() { "" } else { "\n" };
    format!("{table}{more}{gap}files: {counts}\n\n{}", built(&report.built))
}

fn row(what: &str, outcome: &FileOutcome) -> Vec<String> {
    let (passages, reason) = match &outcome.state {
        FileState::Indexed { passages } | FileState::Unchanged { passages } => (count(*passages), String::new()),
        FileState::Skipped { reason } | FileState::Failed { reason } => (String::new(), reason.clone()),
        FileState::Removed => (String::new(), String::new()),
    };
    vec![outcome.file.clone(), what.to_owned(), passages, reason]
}

pub(super) fn passages(list: &PassageList) -> String {
    let mut text = String::new();
    for passage in &list.passages {
        let title = if passage.title.is_empty() { String::new() } else { format!("  {}", passage.title) };
        text += &format!("{}{title}\n     {}\n", passage.id, preview(&passage.text));
        if let Some(source) = &passage.source {
            text += &format!("     {}\n", place(source));
        }
    }
    let first = list.offset + 1;
    let last = list.offset + list.passages.len() as u64;
    let shown = match list.passages.len() {
        0 => "none".to_owned(),
        _ => format!("{} to {}", count(first), count(last)),
    };
    text += &format!("{shown} of {} passages", count(list.total));
    if !list.files.is_empty() {
        let mut rows = vec![["file", "passages"].map(str::to_owned).to_vec()];
        rows.extend(list.files.iter().map(|(file, passages)| vec![file.clone(), count(*passages)]));
        text += &format!("\n\n{}", columns(&rows, &[1]));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_is_named_and_bytes_are_where_there_is_none() {
        let source = Source { file: "a.pdf".to_owned(), start: 3, end: 9, page: Some(7), ..Source::default() };
        assert_eq!(place(&source), "a.pdf, page 7");
        assert_eq!(place(&Source { page: None, ..source }), "a.pdf (bytes 3 to 9)");
    }
}
