//! One job from its start to exactly one end.

use serde::Serialize;

use crate::clock::Clock;
use crate::device::{DeviceChoice, panic_text};
use crate::event::{EventKind, Report};
use crate::panics::{Caught, caught};
use crate::progress::Meter;
use crate::{CancelFlag, Command, EngineError, Event, JobId, Result, Shelf, jobs};

/// What a running job speaks through.
pub struct JobContext<'a> {
    job: JobId,
    emit: &'a mut dyn FnMut(Event),
    cancel: &'a CancelFlag,
    shelf: &'a mut Shelf,
    clock: Clock,
    /// Seconds that the job was paused.
    paused: f64,
    meter: Option<Meter>,
    resume: Option<String>,
}

impl<'a> JobContext<'a> {
    fn new(job: JobId, emit: &'a mut dyn FnMut(Event), cancel: &'a CancelFlag, shelf: &'a mut Shelf) -> Self {
        Self { job, emit, cancel, shelf, clock: Clock::start(), paused: 0.0, meter: None, resume: None }
    }

    /// Indexes and models that are open.
    pub fn shelf(&mut self) -> &mut Shelf {
        self.shelf
    }

    /// Sends an event. Jobs do not send the ends themselves.
    pub fn emit(&mut self, kind: EventKind) {
        (self.emit)(Event { job: self.job, kind });
    }

    /// Seconds since the job began, pauses left out: so no rate and no duration counts them.
    pub fn seconds(&self) -> f64 {
        self.clock.seconds() - self.paused
    }

    /// To be called between steps: waits while the user wants a pause, and is the error [`EngineError::Cancelled`] once
    /// the user asked to stop.
    pub fn check(&mut self) -> Result<()> {
        if self.cancelled() { Err(EngineError::Cancelled) } else { Ok(()) }
    }

    /// Whether the user asked to stop; as [`JobContext::check`], it waits while the user wants a pause.
    pub fn cancelled(&mut self) -> bool {
        if self.cancel.is_paused() {
            self.emit(EventKind::Paused);
            let since = self.clock.seconds();
            self.cancel.wait();
            self.paused += self.clock.seconds() - since;
            if !self.cancel.is_set() {
                self.emit(EventKind::Resumed);
            }
        }
        self.cancel.is_set()
    }

    /// The flag itself, for work that asks it while this context is lent out. Such work stops but does not pause.
    pub fn cancel_flag(&self) -> CancelFlag {
        self.cancel.clone()
    }

    /// What to tell the user about going on, should the job be stopped from here on.
    pub fn on_cancel(&mut self, resume: impl Into<String>) {
        self.resume = Some(resume.into());
    }

    /// Tells the user something that stops nothing.
    pub fn warn(&mut self, text: impl Into<String>) {
        self.emit(EventKind::Warning(text.into()));
    }

    /// Begins to count something new.
    pub fn begin(&mut self, label: &str, unit: &str, total: Option<u64>) {
        let mut meter = Meter::new(label, unit, total, self.seconds());
        let first = meter.set(0, self.seconds());
        self.meter = Some(meter);
        first.into_iter().for_each(|progress| self.emit(EventKind::Progress(progress)));
    }

    /// Says how much of it is done.
    pub fn advance(&mut self, done: u64) {
        let now = self.seconds();
        if let Some(progress) = self.meter.as_mut().and_then(|meter| meter.set(done, now)) {
            self.emit(EventKind::Progress(progress));
        }
    }

    /// Changes what is said to be done.
    pub fn relabel(&mut self, label: String) {
        if let Some(meter) = &mut self.meter {
            meter.relabel(label);
        }
    }

    /// Sends one line of a result in JSON lines.
    pub fn record(&mut self, record: &impl Serialize) -> Result<()> {
        let line = serde_json::to_string(record)
            .map_err(|error| EngineError::Failed(format!("a result cannot be written as JSON: {error}")))?;
        self.emit(EventKind::Record(line));
        Ok(())
    }

    /// Sends the whole result.
    pub fn report(&mut self, report: Report) {
        self.emit(EventKind::Report(Box::new(report)));
    }
}

/// Runs one job on this thread. `emit` hears everything; its last event is exactly one of Finished, Cancelled, Failed.
/// What the job opens stays on the shelf for the next one.
///
/// All tensors must live on one thread (burn orders work by thread): call it always from the same one.
pub fn run(job: JobId, command: &Command, emit: &mut dyn FnMut(Event), cancel: &CancelFlag, shelf: &mut Shelf) {
    let mut context = JobContext::new(job, emit, cancel, shelf);
    context.emit(EventKind::Started { command: command.name().to_owned() });
    // A panic is our bug; the others' jobs shall not suffer from it.
    let result = caught(|| jobs::run(command, &mut context));
    let end = match result {
        Ok(Ok(())) => EventKind::Finished { seconds: context.seconds() },
        Ok(Err(EngineError::Cancelled)) => EventKind::Cancelled { resume: context.resume.take() },
        Ok(Err(error)) => EventKind::Failed { exit_code: error.exit_code(), error: error.to_string() },
        Err(Caught { panic, printed }) => {
            let error = match context.shelf.lost_device() {
                Some((device, name)) => lost(&device, &name, context.resume.as_deref()),
                None => {
                    eprintln!("{printed}");
                    let panic = panic_text(&*panic);
                    format!("internal error, please report it with the command that led here: {panic}")
                }
            };
            EventKind::Failed { error, exit_code: 1 }
        }
    };
    context.emit(end);
}

/// What to say when a device takes its job along.
fn lost(device: &DeviceChoice, name: &str, resume: Option<&str>) -> String {
    let why = match device {
        DeviceChoice::Lent(_) => {
            "`ragtune lend` stopped there, or the network did. Start it again with a fresh token, or do without that device."
        }
        _ => "its driver stopped, or its memory did not suffice. Start ragtune again, or take --device cpu.",
    };
    let mut resume = resume.map_or_else(String::new, |resume| format!("\n{resume}"));
    // A sentence begins here.
    resume.get_mut(1..2).map(str::make_ascii_uppercase);
    format!("{name} was lost while it computed: {why}{resume}")
}

/// Gives work that is no whole job a context to speak through.
pub fn with_context<T>(
    emit: &mut dyn FnMut(Event),
    cancel: &CancelFlag,
    work: impl FnOnce(&mut JobContext<'_>) -> T,
) -> T {
    work(&mut JobContext::new(JobId(0), emit, cancel, &mut Shelf::default()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pause_is_told_and_counts_in_no_duration() {
        let cancel = CancelFlag::default();
        let waker = cancel.clone();
        let mut told = Vec::new();
        let mut emit = |event: Event| {
            if event.kind == EventKind::Paused {
                let waker = waker.clone();
                std::thread::spawn(move || waker.resume());
            }
            told.push(event.kind);
        };
        let mut shelf = Shelf::default();
        let mut context = JobContext::new(JobId(1), &mut emit, &cancel, &mut shelf);
        assert!(context.check().is_ok());
        cancel.pause();
        assert!(context.check().is_ok());
        assert!(context.paused > 0.0);
        assert!(context.seconds() <= context.clock.seconds() - context.paused);
        cancel.set();
        assert!(matches!(context.check(), Err(EngineError::Cancelled)));
        assert_eq!(told, [EventKind::Paused, EventKind::Resumed]);
    }
}
