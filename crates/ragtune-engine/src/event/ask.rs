//! Closer looks at texts and answers.

use serde::{Deserialize, Serialize};

/// A text's vector as tokens.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct InspectedText {
    /// Id of a stored passage; empty for a text that was given.
    pub id: String,
    /// The text, with its title before it.
    pub text: String,
    /// Heaviest first.
    pub tokens: Vec<WeightedToken>,
    /// Dimensions that the stored form of the vector has.
    pub dims: usize,
}

/// A token with its weight in a vector.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct WeightedToken {
    /// The token, spelled as in the vocabulary.
    pub token: String,
    /// Its id.
    pub id: u32,
    /// Its value.
    pub weight: f32,
    /// Whether the text holds it; else the encoder added it.
    pub own: bool,
}

/// The probability of an answer with one passage in context.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct WeighedPassage {
    /// Id of the passage.
    pub id: String,
    /// The answer.
    pub answer: String,
    /// Whether the language model wrote the answer; else the user did.
    pub generated: bool,
    /// Natural logarithm of its probability; none when the language model wrote nothing.
    pub log_prob: Option<f32>,
}
