//! Rate and remaining time.

use crate::event::Progress;

/// Seconds between two messages.
const PAUSE: f64 = 0.1;
/// Seconds over which the rate is averaged: it follows changes and does not jump.
const MEMORY: f64 = 5.0;

/// Counts what is done and says how fast it goes. Takes the time from whoever asks.
#[derive(Debug, Clone)]
pub struct Meter {
    label: String,
    unit: String,
    total: Option<u64>,
    done: u64,
    began: f64,
    told: Option<f64>,
    /// Time and count at which the rate was last brought up to date.
    last: (f64, u64),
    rate: Option<f64>,
}

impl Meter {
    /// Starts at 0, at `now` seconds.
    pub fn new(label: &str, unit: &str, total: Option<u64>, now: f64) -> Self {
        let (label, unit) = (label.to_owned(), unit.to_owned());
        Self { label, unit, total, done: 0, began: now, told: None, last: (now, 0), rate: None }
    }

    /// Changes what is said to be done.
    pub fn relabel(&mut self, label: String) {
        self.label = label;
    }

    /// Sets how much is done. Gives a message when the last one is a tenth of a second old, or when all is done.
    pub fn set(&mut self, done: u64, now: f64) -> Option<Progress> {
        let complete = self.total.is_some_and(|total| done >= total) && done != self.done;
        self.done = done;
        if !complete && self.told.is_some_and(|told| now - told < PAUSE) {
            return None;
        }
        self.told = Some(now);
        self.measure(now);
        Some(self.message())
    }

    fn measure(&mut self, now: f64) {
        let (then, before) = self.last;
        let passed = now - then;
        // The first rate needs a while to mean something.
        if passed < PAUSE || now - self.began < PAUSE {
            return;
        }
        let recent = self.done.saturating_sub(before) as f64 / passed;
        let keep = (-passed / MEMORY).exp();
        self.rate = Some(self.rate.map_or(recent, |rate| rate * keep + recent * (1.0 - keep)));
        self.last = (now, self.done);
    }

    fn message(&self) -> Progress {
        let left = self.total.map(|total| total.saturating_sub(self.done) as f64);
        Progress {
            label: self.label.clone(),
            done: self.done,
            total: self.total,
            unit: self.unit.clone(),
            rate: self.rate,
            eta_seconds: left.zip(self.rate).filter(|(_, rate)| *rate > 0.0).map(|(left, rate)| left / rate),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn at_most_ten_messages_a_second_and_the_last_one_always() {
        let mut meter = Meter::new("work", "steps", Some(1000), 0.0);
        let told: Vec<u64> = (1..=1000).filter_map(|n| meter.set(n, n as f64 / 1000.0)).map(|p| p.done).collect();
        assert!(told.len() <= 12, "{told:?}");
        assert_eq!(told.last(), Some(&1000));
        assert!(meter.set(1000, 1.001).is_none(), "told once that it is done");
    }

    #[test]
    fn a_steady_pace_gives_the_right_rate_and_time() {
        let mut meter = Meter::new("work", "steps", Some(100), 5.0);
        let last = (1..=50).filter_map(|n| meter.set(n, 5.0 + n as f64 / 2.0)).last().unwrap();
        assert!((last.rate.unwrap() - 2.0).abs() < 1e-9);
        assert!((last.eta_seconds.unwrap() - 25.0).abs() < 1e-6);
    }

    #[test]
    fn without_a_total_or_a_pace_there_is_no_time_to_tell() {
        let mut meter = Meter::new("work", "steps", None, 0.0);
        assert_eq!(meter.set(1, 1.0).unwrap().eta_seconds, None);
        let mut meter = Meter::new("work", "steps", Some(9), 0.0);
        assert_eq!(meter.set(0, 1.0).unwrap().eta_seconds, None);
    }
}
