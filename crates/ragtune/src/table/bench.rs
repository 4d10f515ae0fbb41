//! Figures of speed as people read them.

use ragtune_engine::event::{BenchReport, BenchRow, DeviceReport, DeviceSpeed};
use ragtune_engine::figures::three_digits;

use super::columns;
use crate::progress::bytes;

/// Every figure with its share of the ceiling, and beside the peer's.
pub(super) fn measured(report: &BenchReport) -> String {
    let mut head = vec!["figure", "median", "", "of the ceiling"];
    let with_peer = report.rows.iter().any(|row| row.peer.is_some());
    if with_peer {
        head.extend(["peer", "times the peer"]);
    }
    let mut rows = vec![head.into_iter().map(str::to_owned).collect::<Vec<_>>()];
    for row in &report.rows {
        let share = row.ceiling.map_or_else(String::new, |share| format!("{:.0} %", share * 100.0));
        let mut cells = vec![row.figure.clone(), three_digits(row.value), row.unit.clone(), share];
        if with_peer {
            cells.push(row.peer.map_or_else(String::new, three_digits));
            cells.push(times(row).map_or_else(String::new, |times| format!("{times:.2}")));
        }
        rows.push(cells);
    }
    let threads = report.threads.map_or_else(String::new, |threads| format!(", {threads} threads"));
    format!("{}{threads}, medians of {}\n{}", report.device, report.rounds, columns(&rows, &[1, 3, 4, 5]))
}

/// How many times as fast as the peer.
fn times(row: &BenchRow) -> Option<f64> {
    let peer = row.peer.filter(|peer| *peer > 0.0)?;
    // Of time and memory less is better.
    Some(if matches!(row.unit.as_str(), "ms" | "GiB") { peer / row.value } else { row.value / peer })
}

/// Devices with what they hold and reach.
pub(super) fn devices(reports: &[DeviceReport]) -> String {
    let head =
        ["device", "name", "kind", "self-test", "memory", "largest buffer", "f16", "GFLOP/s", "in f16", "GB/s", ""];
    let mut rows = vec![head.map(str::to_owned).to_vec()];
    for report in reports {
        let test = if report.usable { "passed" } else { "failed" };
        let limits = report.limits.clone().unwrap_or_default();
        let size = |size: Option<u64>| size.map_or_else(|| "-".to_owned(), bytes);
        let half = match limits.f16 {
            Some(true) if limits.matrix_units => "on matrix units",
            Some(true) => "yes",
            Some(false) => "wrong",
            None => "-",
        };
        let of = |figure: fn(&DeviceSpeed) -> Option<f64>| {
            report.speed.as_ref().and_then(figure).map_or_else(|| "-".to_owned(), |figure| format!("{figure:.1}"))
        };
        let note =
            report.note.clone().unwrap_or_else(|| if report.chosen { "used by --device auto" } else { "" }.to_owned());
        let cells = [report.device.clone(), report.name.clone(), report.kind.clone(), test.to_owned()];
        let figures = [size(limits.memory_bytes), size(limits.buffer_bytes), half.to_owned()];
        let products = [of(|speed| Some(speed.gflops)), of(|speed| speed.half_gflops)];
        let copy = [of(|speed| Some(speed.gigabytes)), note];
        rows.push(cells.into_iter().chain(figures).chain(products).chain(copy).collect());
    }
    columns(&rows, &[4, 5, 7, 8, 9])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_peer_is_beaten_by_more_tokens_and_by_fewer_milliseconds() {
        let row = |value, unit: &str, peer| BenchRow {
            figure: "a figure".to_owned(),
            value,
            unit: unit.to_owned(),
            ceiling: Some(0.5),
            peer,
        };
        assert_eq!(times(&row(200.0, "tokens/s", Some(100.0))), Some(2.0));
        assert_eq!(times(&row(50.0, "ms", Some(100.0))), Some(2.0));
        assert_eq!(times(&row(50.0, "ms", None)), None);
        let rows = vec![row(1234.5, "tokens/s", Some(1000.0)), row(3.21, "ms", None)];
        let report =
            BenchReport { device: "CPU".to_owned(), threads: Some(2), gflops_ceiling: Some(1.0), rounds: 5, rows };
        let text = measured(&report);
        assert!(text.contains("2 threads") && text.contains("50 %") && text.contains("1.23"), "{text}");
        assert!(text.contains("1234") && text.contains("3.21"), "{text}");
    }
}
