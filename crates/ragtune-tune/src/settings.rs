//! The settings of a tuning, as they stand in a run's `config.toml`.

use ragtune_rag::{FirstStage, JudgeSettings, SearchMode};
use serde::{Deserialize, Serialize};

use crate::error::{Result, TuneError};
use crate::{LossOptions, OptimSettings, StepSettings, Temperatures};

/// What says which passages are positive.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Supervision {
    /// The gold passages of the questions; negatives share words with the question (bag-of-tokens hard negatives).
    Gold,
    /// The LLM: a passage is positive if it leads to the right answer.
    #[default]
    Rag,
}

/// A stage of tuning.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Stage {
    /// Positives and negatives from fixed pools.
    Offline,
    /// Positives and negatives from what the current encoder retrieves.
    Online,
}

/// Bits of the encoder's products while it is trained.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Precision {
    /// 32 bits.
    #[default]
    F32,
    /// 16 bits, gradients scaled so that they fit (mixed precision). For graphics cards that compute in 16 bits.
    F16,
}

/// Everything that decides what a tuning computes. The defaults are the paper's.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TuneSettings {
    /// Gold passages or the LLM's feedback.
    pub supervision: Supervision,
    /// Stages, in order. Gold supervision knows the offline one only.
    pub stages: Vec<Stage>,
    /// Seed of every draw.
    pub seed: u64,
    /// Candidates per question that are labelled and scored for the pools (gold supervision: from which a hard
    /// negative is drawn).
    pub k: usize,
    /// Window of the online stage's late retrieval.
    pub m: usize,
    /// First stage of late retrieval.
    pub first_stage: FirstStage,
    /// How dev questions are searched when a checkpoint is chosen: `late`, `bot` or `own`, as the encoder will be used.
    pub dev_mode: SearchMode,
    /// Epochs of the offline stage.
    pub offline_epochs: usize,
    /// Epochs of the online stage.
    pub online_epochs: usize,
    /// Epochs of linear warm-up at the start of a stage.
    pub warmup_epochs: f32,
    /// Questions per step.
    pub batch: usize,
    /// Stops a stage after this many steps; 0 for none.
    pub max_steps: usize,
    /// Trains on at most this many questions; 0 for all.
    pub max_questions: usize,
    /// Optimiser.
    pub optim: OptimSettings,
    /// Optional loss terms.
    pub loss: LossOptions,
    /// 2 gives questions and passages weights of their own, both starting from the encoder's; 0 leaves it as it is.
    pub towers: usize,
    /// Dimensions of S.
    pub top_k: usize,
    /// Divides every score; 0 takes the encoder's own, calibrated for a head that was never trained: then one for scores of
    /// vectors, and one for each kind of score with a bag of tokens.
    pub temperature: f32,
    /// Padded tokens that the encoder reads at once.
    pub chunk_tokens: usize,
    /// Padded tokens of a batch whose states are kept between the two passes of a step; above, they are computed twice.
    pub kept_tokens: usize,
    /// GiB of those states at most; where they would take more, they are computed twice.
    pub kept_gib: f32,
    /// Activation checkpointing: of the states only those in front of each layer are kept, and the layers are computed again,
    /// one by one. A third more time for a fraction of the memory; for long texts.
    pub checkpointing: bool,
    /// Bits of the layers' products while training; weights, optimiser and everything else have 32.
    pub precision: Precision,
    /// Steps between checkpoints.
    pub checkpoint_steps: usize,
    /// Steps between evaluations on dev; 0 evaluates at the end of each epoch.
    pub evaluate_steps: usize,
    /// Dev questions of one evaluation; 0 for all.
    pub dev_questions: usize,
    /// How the LLM is asked and its answers compared.
    pub judge: JudgeSettings,
}

const GIB: f64 = (1u64 << 30) as f64;

impl Default for TuneSettings {
    fn default() -> Self {
        Self {
            supervision: Supervision::Rag,
            stages: vec![Stage::Offline, Stage::Online],
            seed: 0,
            k: 100,
            m: 20,
            first_stage: FirstStage::Bot,
            dev_mode: SearchMode::Late,
            offline_epochs: 40,
            online_epochs: 40,
            warmup_epochs: 1.0,
            batch: 128,
            max_steps: 0,
            max_questions: 0,
            optim: OptimSettings::default(),
            loss: LossOptions::default(),
            towers: 0,
            top_k: 768,
            temperature: 0.0,
            chunk_tokens: 2048,
            kept_tokens: 12288,
            kept_gib: 3.0,
            checkpointing: false,
            precision: Precision::F32,
            checkpoint_steps: 100,
            evaluate_steps: 0,
            dev_questions: 200,
            judge: JudgeSettings::default(),
        }
    }
}

impl TuneSettings {
    /// How its steps are computed.
    pub fn step(&self, temperatures: Temperatures) -> StepSettings {
        StepSettings {
            top_k: self.top_k,
            chunk_tokens: self.chunk_tokens,
            kept_tokens: self.kept_tokens,
            kept_bytes: (f64::from(self.kept_gib) * GIB) as u64,
            checkpointing: self.checkpointing,
            half: self.precision == Precision::F16,
            temperatures,
            loss: self.loss,
        }
    }

    /// Refuses settings that cannot work.
    pub fn check(&self) -> Result<()> {
        let bad = |name, reason: &str| Err(TuneError::Setting { name, reason: reason.to_owned() });
        if self.stages.is_empty() {
            return bad("stages", "name at least one of offline, online");
        }
        if self.supervision == Supervision::Gold && self.stages.contains(&Stage::Online) {
            return bad("stages", "the online stage asks the LLM; gold supervision has the offline stage only");
        }
        if !matches!(self.towers, 0 | 2) {
            return bad("towers", "write 2 for two towers, or 0 to leave the encoder as it is");
        }
        if self.batch < 2 {
            return bad("batch", "in-batch negatives need at least 2 questions");
        }
        if matches!(self.dev_mode, SearchMode::Full | SearchMode::Alpha) {
            return bad("dev_mode", "write late, bot or own: full and alpha need an index that training makes stale");
        }
        if self.k == 0 || self.m == 0 || self.top_k == 0 {
            return bad("k, m, top_k", "must be at least 1");
        }
        if self.chunk_tokens == 0 || self.checkpoint_steps == 0 {
            return bad("chunk_tokens, checkpoint_steps", "must be at least 1");
        }
        if !(self.kept_gib >= 0.0 && self.kept_gib.is_finite()) {
            return bad("kept_gib", "must be 0 (nothing is kept) or positive");
        }
        if !(self.temperature >= 0.0 && self.temperature.is_finite()) {
            return bad("temperature", "must be 0 (automatic) or positive");
        }
        Ok(())
    }

    /// Epochs of a stage.
    pub fn epochs(&self, stage: Stage) -> usize {
        match stage {
            Stage::Offline => self.offline_epochs,
            Stage::Online => self.online_epochs,
        }
    }
}
