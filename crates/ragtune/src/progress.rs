//! How far the job is: a bar on a terminal, a line every few seconds elsewhere.

use std::io::IsTerminal;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};
use ragtune_engine::event::Progress;
pub(crate) use ragtune_engine::figures::{bytes, count};

use crate::output;

/// Time between two lines.
const PAUSE: Duration = Duration::from_secs(5);

/// Draws progress.
pub(crate) enum Display {
    /// Nothing.
    Silent,
    /// A bar that is redrawn.
    Bar(Option<ProgressBar>),
    /// Lines.
    Lines {
        /// When the last line was written.
        last: Instant,
    },
}

impl Display {
    pub(crate) fn new(quiet: bool) -> Self {
        match (quiet, std::io::stderr().is_terminal()) {
            (true, _) => Self::Silent,
            (false, true) => Self::Bar(None),
            (false, false) => Self::Lines { last: Instant::now() },
        }
    }

    pub(crate) fn show(&mut self, progress: &Progress) {
        match self {
            Self::Silent => {}
            Self::Bar(bar) => {
                let bar = bar.get_or_insert_with(|| new_bar(progress.total.is_some()));
                bar.set_length(progress.total.unwrap_or(progress.done.max(1)));
                bar.set_position(progress.done);
                bar.set_message(progress.label.clone());
                bar.set_prefix(pace(progress));
            }
            Self::Lines { last } => {
                if last.elapsed() >= PAUSE {
                    *last = Instant::now();
                    output::note(&format!("{}: {}", progress.label, pace(progress)));
                }
            }
        }
    }

    /// Makes room for other output.
    pub(crate) fn clear(&mut self) {
        if let Self::Bar(bar) = self
            && let Some(bar) = bar.take()
        {
            bar.finish_and_clear();
        }
    }
}

fn new_bar(known: bool) -> ProgressBar {
    let bar = ProgressBar::new(1);
    let template = if known { "{msg} {wide_bar} {prefix}" } else { "{msg} {prefix}" };
    if let Ok(style) = ProgressStyle::with_template(template) {
        bar.set_style(style);
    }
    bar
}

/// `1,200 of 3,000 passages, 400/s, 0:05 left`
fn pace(progress: &Progress) -> String {
    let amount = |n: u64| if progress.unit == "bytes" { bytes(n) } else { count(n) };
    let mut text = amount(progress.done);
    if let Some(total) = progress.total {
        text = format!("{text} of {}", amount(total));
    }
    if progress.unit != "bytes" {
        text = format!("{text} {}", progress.unit);
    }
    // One in ten seconds is too slow for a rate: the remaining time says it better.
    if let Some(rate) = progress.rate.filter(|rate| *rate >= 0.1) {
        let rate = match progress.unit.as_str() {
            "bytes" => bytes(rate as u64),
            _ if rate < 10.0 => format!("{rate:.1}"),
            _ => count(rate as u64),
        };
        text = format!("{text}, {rate}/s");
    }
    match progress.eta_seconds.filter(|_| progress.total.is_some_and(|total| progress.done < total)) {
        Some(seconds) => format!("{text}, {} left", time(seconds)),
        None => text,
    }
}

/// A duration as a clock shows it.
pub(crate) fn time(seconds: f64) -> String {
    let seconds = seconds.min(1e9) as u64;
    let (hours, minutes, seconds) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    if hours > 0 { format!("{hours}:{minutes:02}:{seconds:02}") } else { format!("{minutes}:{seconds:02}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paces_read_well() {
        let progress = Progress {
            label: "encoding".to_owned(),
            done: 1200,
            total: Some(3_000_000),
            unit: "passages".to_owned(),
            rate: Some(400.4),
            eta_seconds: Some(7497.0),
        };
        assert_eq!(pace(&progress), "1,200 of 3,000,000 passages, 400/s, 2:04:57 left");
        let progress = Progress { unit: "bytes".to_owned(), total: None, rate: None, eta_seconds: None, ..progress };
        assert_eq!(pace(&progress), "1.2 kB");
    }
}
