//! Runs one command and draws its events.

use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context, Result};
use ragtune_engine::event::EventKind;
use ragtune_engine::figures::three_digits;
use ragtune_engine::{CancelFlag, Command, Session};

use crate::progress::Display;
use crate::{output, table};

/// Exit code of an interrupted job.
const INTERRUPTED: u8 = 130;

/// How results are shown.
#[derive(Debug, Clone, Copy)]
pub(crate) struct View {
    /// As JSON.
    pub(crate) json: bool,
    /// Without progress and warnings.
    pub(crate) quiet: bool,
}

/// Runs commands one after another, on one engine, up to the first that does not finish; its exit code, or 0.
pub(crate) fn drive_all(commands: Vec<Command>, view: View) -> Result<u8> {
    let mut session = Session::spawn().context("the engine's thread cannot be started")?;
    let current: Arc<Mutex<CancelFlag>> = Arc::default();
    let theirs = current.clone();
    let on_interrupt = move || {
        let stop = theirs.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if stop.is_set() {
            // Asked twice: at once. What is being written has a temporary name.
            std::process::exit(i32::from(INTERRUPTED));
        }
        stop.set();
    };
    ctrlc::set_handler(on_interrupt).context("Ctrl-C cannot be caught")?;
    for command in commands {
        let job = session.submit(command);
        let flag = session.cancel_flag(job);
        current.lock().unwrap_or_else(PoisonError::into_inner).clone_from(&flag);
        match follow(&session, &flag, view)? {
            0 => {}
            code => return Ok(code),
        }
    }
    Ok(0)
}

/// Draws the events of the running command up to its end.
fn follow(session: &Session, flag: &CancelFlag, view: View) -> Result<u8> {
    let mut screen = Screen { view, display: Display::new(view.quiet), streaming: false, listened: true };
    for event in session.events() {
        if let Some(code) = screen.draw(event.kind) {
            return Ok(code);
        }
        if !screen.listened {
            // Nobody reads the results: `ragtune … | head` has what it wanted.
            flag.set();
        }
    }
    anyhow::bail!("the engine ended without a word, please report it")
}

struct Screen {
    view: View,
    display: Display,
    /// A text is being shown as it is generated, and its line is open.
    streaming: bool,
    /// Standard output is still read.
    listened: bool,
}

impl Screen {
    /// Shows an event; the exit code when it was the last one.
    fn draw(&mut self, event: EventKind) -> Option<u8> {
        match event {
            EventKind::Started { .. }
            | EventKind::Hits(_)
            | EventKind::Steps(_)
            | EventKind::Example(_)
            | EventKind::Resources { .. }
            | EventKind::Paused
            | EventKind::Resumed
            | EventKind::Files(_)
            | EventKind::Weighed(_)
            | EventKind::Draft(_) => {}
            EventKind::Progress(progress) => {
                if !self.streaming {
                    self.display.show(&progress);
                }
            }
            EventKind::Text(text) => {
                if !self.view.json {
                    self.display.clear();
                    self.streaming = true;
                    self.listened &= output::piece(&text);
                }
            }
            EventKind::Record(line) => self.result(&line),
            EventKind::Report(report) => {
                self.end_line();
                match self.view.json {
                    true => match report.json() {
                        Ok(json) => self.result(&json),
                        Err(error) => output::error(&format!("the result cannot be written as JSON: {error}")),
                    },
                    false => {
                        let text = table::report(&report);
                        if !text.is_empty() {
                            self.result(&text);
                        }
                    }
                }
            }
            EventKind::Measured(row) => {
                if !self.view.quiet {
                    self.display.clear();
                    output::note(&format!("{}: {} {}", row.figure, three_digits(row.value), row.unit));
                }
            }
            EventKind::Warning(text) => {
                if !self.view.quiet {
                    self.end_line();
                    self.display.clear();
                    output::note(&format!("warning: {text}"));
                }
            }
            EventKind::Finished { .. } => {
                self.end_line();
                self.display.clear();
                return Some(0);
            }
            EventKind::Cancelled { resume } => {
                self.end_line();
                self.display.clear();
                if !self.listened {
                    return Some(0);
                }
                output::note(&match resume {
                    Some(resume) => format!("interrupted: {resume}"),
                    None => "interrupted: nothing was changed; run the same command again".to_owned(),
                });
                return Some(INTERRUPTED);
            }
            EventKind::Failed { error, exit_code } => {
                self.end_line();
                self.display.clear();
                output::error(&error);
                return Some(exit_code);
            }
        }
        None
    }

    fn result(&mut self, text: &str) {
        self.display.clear();
        self.listened &= output::line(text);
    }

    fn end_line(&mut self) {
        if std::mem::take(&mut self.streaming) {
            self.listened &= output::line("");
        }
    }
}
