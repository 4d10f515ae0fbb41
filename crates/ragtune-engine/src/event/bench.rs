//! What a measurement of speed found.

use serde::{Deserialize, Serialize};

/// How fast a device is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct BenchReport {
    /// Its name.
    pub device: String,
    /// Threads of the CPU device.
    pub threads: Option<usize>,
    /// Billions of operations a second of a large matrix product.
    pub gflops_ceiling: Option<f64>,
    /// Times that everything was measured.
    pub rounds: usize,
    /// The figures, medians.
    pub rows: Vec<BenchRow>,
}

/// One figure.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct BenchRow {
    /// What was measured.
    pub figure: String,
    /// The median.
    pub value: f64,
    /// What it counts; of milliseconds fewer are better, of all others more.
    pub unit: String,
    /// Share of the ceiling that its matrix products reach.
    pub ceiling: Option<f64>,
    /// The same figure of the peer.
    pub peer: Option<f64>,
}
