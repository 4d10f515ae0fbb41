//! The lexical encoder: a body, a head over the vocabulary, and the forms of its vectors (method, section 2).

use burn::tensor::Device;
use ragtune_kernels::{largest_dims, lexical_forms, to_vec};
use ragtune_text::storage::{Directory, SubDirectory};
use ragtune_text::{LexicalVocab, SparseVector, Tokenizer};
use rand::Rng;
use serde::{Deserialize, Serialize};

use crate::authors::{self, Authors};
use crate::{Bert, BertConfig, Keep, ModelError, Tower, read_json};

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
    /// Mean or first of the hidden states, L2-normalised; not lexical.
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
    /// Whether a dense vector is the first token's state and not the mean of all.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub first_token: bool,
}

fn question_tokens() -> usize {
    QUESTION_TOKENS
}
fn passage_tokens() -> usize {
    PASSAGE_TOKENS
}

/// The head that sentence-transformers' list of modules names, where it is a lexical one.
fn said_by_modules(dir: &dyn Directory) -> Result<Option<HeadKind>, ModelError> {
    const MODULES: &str = "modules.json";
    if !dir.exists(MODULES) {
        return Ok(None);
    }
    let modules: serde_json::Value = read_json(dir, MODULES)?;
    let mut kinds = modules.as_array().into_iter().flatten().filter_map(|module| module["type"].as_str());
    Ok(kinds.any(|kind| kind.ends_with("SpladePooling")).then_some(HeadKind::Splade))
}

/// Whether sentence-transformers takes the first token's state for the text's.
fn pools_first_token(dir: &dyn Directory) -> Result<bool, ModelError> {
    const POOLING: &str = "1_Pooling/config.json";
    if !dir.exists(POOLING) {
        return Ok(false);
    }
    let pooling: serde_json::Value = read_json(dir, POOLING)?;
    Ok(pooling["pooling_mode_cls_token"] == true)
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
    /// V(x), all dimensions; of a dense head the body's.
    pub dense: Vec<f32>,
    /// Dimensions of the text's own tokens, ascending: BoT(x). A dense head has none.
    pub own: Vec<u32>,
    /// Whether the dimensions are words.
    lexical: bool,
}

impl Forms {
    /// S(x): the `k` largest dimensions. Those of a dense head are all kept: the largest say nothing without the others.
    pub fn s(&self, k: usize) -> SparseVector {
        if self.lexical { self.on(largest_dims(&self.dense, k)) } else { self.all() }
    }

    /// S+(x): the `k` largest dimensions and the text's own; all of a dense head.
    pub fn s_plus(&self, k: usize) -> SparseVector {
        if self.lexical { self.on(lexical_forms(&self.dense, k, &self.own)) } else { self.all() }
    }

    /// V(x) itself.
    pub fn all(&self) -> SparseVector {
        SparseVector { indices: (0..self.dense.len() as u32).collect(), values: self.dense.clone() }
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
        let authors = Authors::of(dir)?;
        let bert = match &authors {
            Some(authors) => authors.body(dir)?,
            None => Bert::from_dir(dir)?,
        };
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
                head: head.or(said_by_modules(dir)?).unwrap_or(HeadKind::Sidr),
                towers: if authors.as_ref().is_some_and(|authors| !authors.shared) { 2 } else { 1 },
                temperature: 1.0,
                bag_temperatures: None,
                trained: authors.is_some(),
                vocabulary: vocab.fingerprint(),
                question_tokens: QUESTION_TOKENS,
                passage_tokens: PASSAGE_TOKENS,
                first_token: pools_first_token(dir)?,
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
        if authors.is_some() {
            // Both towers lie in one file, under names that begin with theirs.
            let tower = |prefix| Tower::load_of(prefix, dir, &bert, meta.head, vocab.ids(), device);
            let question = tower(authors::QUESTION)?;
            let passage = if meta.towers == 2 { Some(tower(authors::PASSAGE)?) } else { None };
            let config_json = serde_json::to_vec_pretty(&bert.config)
                .map_err(|error| ModelError::damaged(&dir.describe("config.json"), error, "This is a bug"))?;
            return Ok(Self { tokenizer, vocab, meta, question, passage, config_json });
        }
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
        let meta = EncoderMeta {
            head: HeadKind::Sidr,
            towers: 1,
            temperature: 1.0,
            bag_temperatures: None,
            trained: false,
            vocabulary: vocab.fingerprint(),
            question_tokens: QUESTION_TOKENS.min(limit),
            passage_tokens: PASSAGE_TOKENS.min(limit),
            first_token: false,
        };
        let question = Tower::init(config, vocab.ids(), device, rng);
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

    /// The same encoder on another device.
    pub fn to_device(&self, device: &Device) -> Self {
        let mut there = self.clone();
        for tower in std::iter::once(&mut there.question).chain(&mut there.passage) {
            tower.weights = tower.weights.to_device(device);
        }
        there
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
        let lexical = self.meta.head != HeadKind::Dense;
        let vectors =
            if lexical { tower.pass(texts, Keep::Nothing).vectors } else { tower.pooled(texts, self.meta.first_token) };
        let [_, dims] = vectors.dims();
        let own = |ids: &[u32]| if lexical { self.vocab.bag(ids) } else { Vec::new() };
        let vectors = to_vec(vectors);
        let forms = texts.iter().zip(vectors.chunks_exact(dims));
        forms.map(|(ids, dense)| Forms { dense: dense.to_vec(), own: own(ids), lexical }).collect()
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
