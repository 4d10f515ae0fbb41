//! What a tuning tells of itself between its records.

use ragtune_tune::StepRecord;

use crate::event::{EventKind, OnlineRates};
use crate::host::resident_bytes;
use crate::session::JobContext;

/// Seconds between two messages about what the tuning uses and works on.
const TELL: f64 = 0.5;

/// What was told last, and what has come together since.
#[derive(Default)]
pub(super) struct Told {
    /// Second at which an example was shown.
    example: Option<f64>,
    /// Second at which the resources were told.
    resources: f64,
    /// Tokens encoded since.
    tokens: usize,
    /// Seconds, questions and passages of all online steps.
    online: (f64, usize, usize),
}

impl Told {
    /// Takes a step that took so many seconds.
    pub(super) fn step(&mut self, step: &StepRecord, seconds: f64) {
        self.tokens += step.tokens;
        if let Some(passages) = step.online_passages {
            let (all, asked, judged) = self.online;
            self.online = (all + seconds, asked + step.questions, judged + passages);
        }
    }

    /// How fast the online steps were; none where there were none.
    pub(super) fn online(&self) -> Option<OnlineRates> {
        let (seconds, questions, passages) = self.online;
        let rate = |n: usize| n as f64 / seconds.max(1e-9);
        (questions > 0).then(|| OnlineRates { questions: rate(questions), passages: rate(passages) })
    }

    /// Whether it is time to show another example; then it counts as shown.
    pub(super) fn wants_example(&mut self, now: f64) -> bool {
        let wants = self.example.is_none_or(|at| now - at >= TELL);
        self.example = if wants { Some(now) } else { self.example };
        wants
    }

    /// Tells what the tuning uses, where it is time for that.
    pub(super) fn resources(&mut self, context: &mut JobContext<'_>) {
        let now = context.seconds();
        let passed = now - self.resources;
        if passed < TELL {
            return;
        }
        let tokens_per_second = (self.tokens > 0 && self.resources > 0.0).then(|| self.tokens as f64 / passed);
        context.emit(EventKind::Resources { tokens_per_second, memory_bytes: resident_bytes() });
        (self.resources, self.tokens) = (now, 0);
    }
}
