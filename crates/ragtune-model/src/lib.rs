//! Models on burn: encoders with a lexical head, causal language models of many families, and their weights
//! under the names that Hugging Face gives them.
//!
//! A model is its config, its [`Weights`] and plain functions from ids to tensors. The same forward code serves
//! inference and training: what differs is only whether the weights are tracked ([`Weights::tracked`]).

use burn::tensor::{Device, Int, Tensor, TensorData};

mod authors;
mod bert;
mod chat;
mod decoder;
mod encoder;
mod error;
mod files;
mod gguf;
mod import;
mod linear;
mod llama2c;
mod lm;
mod rounding;
mod table;
mod tower;
mod weights;

pub use authors::authors_body;
pub use bert::{Bert, BertConfig, ModernConfig};
pub use chat::ChatTemplate;
pub use decoder::{
    Act, Biases, Blocks, Decoder, DecoderConfig, FeedForward, KvCache, Norm, Positions, QueryKeyNorm, Rope, Scaling,
};
pub use encoder::{Encoder, EncoderMeta, Forms, HeadKind, Kind};
pub use error::ModelError;
pub use files::{read_json, read_weights, write_weights, write_weights_f16};
pub use gguf::{GgufSummary, gguf_summary, gguf_tokenizer};
pub use import::{Import, Numbers};
pub use lm::{AnswerLogProb, CausalLm, Continuation, Generated, Prompt, TokenLogProb};
pub use rounding::Rounding;
pub use tower::{Keep, PassOptions, Tower, TowerPass};
pub use weights::{Weight, Weights};

/// Token ids as a tensor.
fn id_tensor(ids: &[u32], device: &Device) -> Tensor<1, Int> {
    let values: Vec<i32> = ids.iter().map(|&id| id as i32).collect();
    Tensor::from_data(TensorData::new(values, [ids.len()]), device)
}

/// Ids of texts, each filled up to `length` with 0, behind each other.
fn padded(texts: &[&[u32]], length: usize) -> Vec<u32> {
    let filled = |text: &&[u32]| text.iter().copied().chain(std::iter::repeat(0)).take(length).collect::<Vec<_>>();
    texts.iter().flat_map(filled).collect()
}
