//! The lexical encoder: a body, a head over the vocabulary, and the forms of its vectors (method, section 2).

use burn::tensor::Device;
use ragtune_kernels::{largest_dims, lexical_forms, to_vec};
use ragtune_text::storage::{Directory, SubDirectory};
use ragtune_text::{LexicalVocab, SparseVector, Tokenizer};
use rand::Rng;
use serde::{Deserialize, Serialize};

use crate::{Bert, BertConfig, ModelError, Tower, read_json};

/// Longest question in tokens, special ones included.
const QUESTION_TOKENS: usize = 128;
/// Longest passage in tokens, special ones included.
const PASSAGE_TOKENS: usize = 256;

const META: &str = "ragtune.json";

/// How hidden states become a vector.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum HeadKind {
    /// LayerNorm, tied word embeddings, max over positions, elu1p.
    Sidr,
    /// MLM transform, tied word embeddings and bias, max over positions, log(1 + relu).
    Splade,
    /// Mean of the hidden states, L2-normalised; not lexical.
    Dense,
}

/// What ragtune adds to a Hugging Face folder, in `ragtune.json`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct EncoderMeta {
    /// The head.
    pub head: HeadKind,
    /// 1 when questions and passages share the weights, 2 when each has its own.
    pub towers: usize,
    /// Temperature of the training scores: 1 for a trained SiDR head, calibrated for a fresh one.
    pub temperature: f32,
    /// Those of the scores V(q).BoT(d) and BoT(q).V(d) where they are others.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bag_temperatures: Option<[f32; 2]>,
    /// False for a body whose head was never trained.
    pub trained: bool,
    /// Fingerprint of the lexical vocabulary.
    pub vocabulary: String,
    /// Longest question in tokens.
    #[serde(default = "question_tokens")]
    pub question_tokens: usize,
    /// Longest passage in tokens.
    #[serde(default = "passage_tokens")]
    pub passage_tokens: usize,
}

fn question_tokens() -> usize {
    QUESTION_TOKENS
}
fn passage_tokens() -> usize {
    PASSAGE_TOKENS
}

/// Question or passage: which tower, which length.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A question.
    Question,
    /// A passage.
    Passage,
}

/// The three forms of one text's vector.
#[derive(Debug, Clone)]
pub struct Forms {
    /// V(x), all dimensions.
    pub dense: Vec<f32>,
    /// Dimensions of the text's own tokens, ascending: BoT(x).
    pub own: Vec<u32>,
}

impl Forms {
    /// S(x): the `k` largest dimensions.
    pub fn s(&self, k: usize) -> SparseVector {
        self.on(largest_dims(&self.dense, k))
    }

    /// S+(x): the `k` largest dimensions and the text's own.
    pub fn s_plus(&self, k: usize) -> SparseVector {
        self.on(lexical_forms(&self.dense, k, &self.own))
    }

    /// The text's own tokens with their values: what `own` search asks with.
    pub fn own(&self) -> SparseVector {
        self.on(self.own.clone())
    }

    /// BoT(x).
    pub fn bag(&self) -> SparseVector {
        SparseVector::binary(self.own.clone())
    }

    fn on(&self, indices: Vec<u32>) -> SparseVector {
        // SPLADE vectors are zero on most dimensions: those are not stored.
        let indices: Vec<u32> = indices.into_iter().filter(|&d| self.dense[d as usize] != 0.0).collect();
        let values = indices.iter().map(|&d| self.dense[d as usize]).collect();
        SparseVector { indices, values }
    }
}

/// Tokenizer, lexical vocabulary and one or two towers.
#[derive(Clone)]
pub struct Encoder {
    /// The tokenizer.
    pub tokenizer: Tokenizer,
    /// Token ids of the dimensions.
    pub vocab: LexicalVocab,
    /// What `ragtune.json` says.
    pub meta: EncoderMeta,
    /// The question tower, and the passages' too when there is no second one.
    pub question: Tower,
    /// The passage tower of a two-tower encoder.
    pub passage: Option<Tower>,
    config_json: Vec<u8>,
}

impl Encoder {
    /// Loads a Hugging Face folder. A body without `ragtune.json` is given a fresh head of the given kind (SiDR if
    /// none is named), with `trained` false.
    pub fn load(dir: &dyn Directory, device: &Device, head: Option<HeadKind>) -> Result<Self, ModelError> {
        let tokenizer_file = dir.describe("tokenizer.json");
        let json =
            dir.read("tokenizer.json").map_err(|source| ModelError::Io { file: tokenizer_file.clone(), source })?;
        let tokenizer = Tokenizer::from_bytes(&json, &tokenizer_file)?;
        let vocab = LexicalVocab::from_tokenizer(&tokenizer);
        let bert = Bert::from_dir(dir)?;
        let too_large = vocab.ids().iter().find(|&&id| id as usize >= bert.config.vocab_size);
        if let Some(id) = too_large {
            let reason = format!(
                "token id {id} is beyond the model's vocab_size {}: tokenizer and weights come from different models",
                bert.config.vocab_size
            );
            return Err(ModelError::Tokenizer { file: tokenizer_file, reason });
        }
        let mut meta = if dir.exists(META) {
            read_json::<EncoderMeta>(dir, META)?
        } else {
            EncoderMeta {
                head: head.unwrap_or(HeadKind::Sidr),
                towers: 1,
                temperature: 1.0,
                bag_temperatures: None,
                trained: false,
                vocabulary: vocab.fingerprint(),
                question_tokens: QUESTION_TOKENS,
                passage_tokens: PASSAGE_TOKENS,
            }
        };
        if meta.vocabulary != vocab.fingerprint() {
            let reason = format!(
                "it gives another lexical vocabulary than {} names; use the tokenizer.json that was saved with this encoder",
                dir.describe(META)
            );
            return Err(ModelError::Tokenizer { file: tokenizer_file, reason });
        }
        if let Some(head) = head {
            meta.head = head;
        }
        let limit = bert.config.longest();
        meta.question_tokens = meta.question_tokens.min(limit);
        meta.passage_tokens = meta.passage_tokens.min(limit);
        let config_json = dir
            .read("config.json")
            .map_err(|source| ModelError::Io { file: dir.describe("config.json"), source })?
            .to_vec();
        let question = Tower::load(dir, &bert, meta.head, vocab.ids(), device)?;
        let passage = match meta.towers {
            2 => Some(Tower::load(&SubDirectory::new(dir, "passage"), &bert, meta.head, vocab.ids(), device)?),
            _ => None,
        };
        Ok(Self { tokenizer, vocab, meta, question, passage, config_json })
    }

    /// A new encoder with random weights, for training from scratch.
    pub fn init(
        config: BertConfig,
        tokenizer: Tokenizer,
        device: &Device,
        rng: &mut impl Rng,
    ) -> Result<Self, ModelError> {
        let vocab = LexicalVocab::from_tokenizer(&tokenizer);
        let config_json = serde_json::to_vec_pretty(&config)
            .map_err(|e| ModelError::damaged("config.json", e, "This is a bug: please report it"))?;
        let limit = config.longest();
        let bert = Bert { config };
        let mut weights = bert.init(device, rng);
        crate::tower::fresh_norm(&mut weights, bert.config.hidden_size, device);
        let meta = EncoderMeta {
            head: HeadKind::Sidr,
            towers: 1,
            temperature: 1.0,
            bag_temperatures: None,
            trained: false,
            vocabulary: vocab.fingerprint(),
            question_tokens: QUESTION_TOKENS.min(limit),
            passage_tokens: PASSAGE_TOKENS.min(limit),
        };
        let question = Tower { bert, head: HeadKind::Sidr, weights, lexical_ids: vocab.ids().to_vec() };
        Ok(Self { tokenizer, vocab, meta, question, passage: None, config_json })
    }

    /// Writes a folder that [`Encoder::load`] reads back with the same bits.
    pub fn save(&self, dir: &dyn Directory) -> Result<(), ModelError> {
        let io = |name: &str, source| ModelError::Io { file: dir.describe(name), source };
        let meta = serde_json::to_vec_pretty(&self.meta)
            .map_err(|e| ModelError::damaged(META, e, "This is a bug: please report it"))?;
        let mut files = vec![
            ("config.json", self.config_json.clone()),
            ("tokenizer.json", self.tokenizer.json().to_vec()),
            (META, meta),
        ];
        if let Some(passage) = &self.passage {
            files.push(("passage/model.safetensors", passage.written()?));
        }
        files.push(("model.safetensors", self.question.written()?));
        for (name, bytes) in files {
            dir.write(name, &bytes).map_err(|source| io(name, source))?;
        }
        Ok(())
    }

    /// The bytes of the `config.json` that it was loaded with.
    pub fn config_json(&self) -> &[u8] {
        &self.config_json
    }

    /// Gives passages a tower of their own, a copy of the shared one; nothing happens if there are two already.
    pub fn split_towers(&mut self) {
        if self.passage.is_none() {
            self.passage = Some(self.question.clone());
            self.meta.towers = 2;
        }
    }

    /// The tower that encodes texts of a kind.
    pub fn tower_of(&self, kind: Kind) -> &Tower {
        match (kind, &self.passage) {
            (Kind::Passage, Some(tower)) => tower,
            _ => &self.question,
        }
    }

    /// Token ids of a question, at most `meta.question_tokens`.
    pub fn question_ids(&self, text: &str) -> Result<Vec<u32>, ModelError> {
        Ok(self.tokenizer.question(text, self.meta.question_tokens)?)
    }

    /// Token ids of a passage, at most `meta.passage_tokens`.
    pub fn passage_ids(&self, title: &str, text: &str) -> Result<Vec<u32>, ModelError> {
        Ok(self.tokenizer.passage(title, text, self.meta.passage_tokens)?)
    }

    /// Vectors of a batch of texts, in its order. The caller chooses batches of similar length.
    pub fn encode(&self, kind: Kind, texts: &[&[u32]]) -> Vec<Forms> {
        if texts.is_empty() {
            return Vec::new();
        }
        let tower = self.tower_of(kind);
        let dense = to_vec(tower.pass(texts, false).vectors);
        let dims = tower.dims();
        texts
            .iter()
            .zip(dense.chunks_exact(dims))
            .map(|(ids, dense)| Forms { dense: dense.to_vec(), own: self.vocab.bag(ids) })
            .collect()
    }

    /// Groups texts into batches of similar length with at most `budget` padded tokens each, longest first.
    ///
    /// Returns positions into `lengths`. One text longer than the budget is a batch of its own.
    pub fn batches(lengths: &[usize], budget: usize) -> Vec<Vec<usize>> {
        let mut order: Vec<usize> = (0..lengths.len()).collect();
        order.sort_by_key(|&i| (std::cmp::Reverse(lengths[i]), i));
        let mut batches: Vec<Vec<usize>> = Vec::new();
        let mut longest = 0;
        for i in order {
            match batches.last_mut() {
                Some(batch) if longest * (batch.len() + 1) <= budget => batch.push(i),
                _ => {
                    longest = lengths[i].max(1);
                    batches.push(vec![i]);
                }
            }
        }
        batches
    }
}
