//! Retrieval: from questions to passages, in the five modes of method section 3.

use std::collections::HashMap;
use std::str::FromStr;

use ragtune_index::Index;
use ragtune_kernels::{Bags, side_by_side};
use ragtune_model::{Encoder, Forms, HeadKind, Kind};
use ragtune_text::{Hit, SparseVector};
use serde::{Deserialize, Serialize};

use crate::{RagError, Result};

/// What is multiplied with what.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SearchMode {
    /// <S(q), BoT(d)>
    Bot,
    /// <V(q) on the question's own tokens, BoT(d)>
    Own,
    /// <S(q), S+(d)> with the parametric index.
    Full,
    /// <BoT(q), S+(d)> with the parametric index.
    Alpha,
    /// The first stage's best, encoded now and re-ranked by <S(q), S+(d)>.
    #[default]
    Late,
}

/// The first stage of [`SearchMode::Late`]: both need no parametric index.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum FirstStage {
    /// As [`SearchMode::Bot`].
    #[default]
    Bot,
    /// As [`SearchMode::Own`].
    Own,
}

impl SearchMode {
    /// All modes.
    pub const ALL: [Self; 5] = [Self::Bot, Self::Own, Self::Full, Self::Alpha, Self::Late];

    /// The mode's name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Bot => "bot",
            Self::Own => "own",
            Self::Full => "full",
            Self::Alpha => "alpha",
            Self::Late => "late",
        }
    }
}

impl FirstStage {
    /// The mode that searches as this stage does.
    pub fn mode(self) -> SearchMode {
        match self {
            Self::Bot => SearchMode::Bot,
            Self::Own => SearchMode::Own,
        }
    }
}

impl FromStr for SearchMode {
    type Err = RagError;

    fn from_str(name: &str) -> Result<Self> {
        Self::ALL.into_iter().find(|mode| mode.name() == name).ok_or_else(|| RagError::Setting {
            name: "mode",
            reason: format!("{name:?} is no search mode; the modes are bot, own, full, alpha and late"),
        })
    }
}

impl FromStr for FirstStage {
    type Err = RagError;

    fn from_str(name: &str) -> Result<Self> {
        match name {
            "bot" => Ok(Self::Bot),
            "own" => Ok(Self::Own),
            _ => Err(RagError::Setting {
                name: "first-stage",
                reason: format!("{name:?} is no first stage; it is bot or own"),
            }),
        }
    }
}

/// How to search.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SearchSettings {
    /// What is multiplied with what.
    pub mode: SearchMode,
    /// First stage of `late`.
    pub first_stage: FirstStage,
    /// Passages that the first stage of `late` hands on.
    pub m: usize,
    /// Passages that come back; at most `m` in `late`.
    pub k: usize,
    /// Dimensions of S, the sparse form of a vector.
    pub top_k: usize,
    /// Tokens that the encoder reads at once, padding included.
    pub batch_tokens: usize,
}

impl Default for SearchSettings {
    fn default() -> Self {
        Self { mode: SearchMode::Late, first_stage: FirstStage::Bot, m: 100, k: 10, top_k: 768, batch_tokens: 4096 }
    }
}

/// One dimension's part in a score.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ExplainedToken {
    /// The token, spelled as in the vocabulary.
    pub token: String,
    /// Its id.
    pub id: u32,
    /// The question's value.
    pub query_weight: f32,
    /// The passage's value.
    pub passage_weight: f32,
    /// Their product.
    pub product: f32,
}

/// Passages that were found for a question, best first, with what makes their scores.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ExplainedHits {
    /// The passages.
    pub hits: Vec<Hit>,
    /// Of each, every dimension with a part in its score, largest product first. The products sum to the score.
    pub tokens: Vec<Vec<ExplainedToken>>,
}

/// Passages' vectors that [`SearchMode::Late`] has computed, for later questions to the same index and encoder.
#[derive(Debug, Clone, Default)]
pub struct PassageVectors {
    kept: HashMap<u32, SparseVector>,
    limit: usize,
}

impl PassageVectors {
    /// Keeps about `limit` vectors from one search to the next, of about 7 kB each with 768 dimensions.
    pub fn new(limit: usize) -> Self {
        Self { kept: HashMap::new(), limit }
    }

    /// Vectors that are here now.
    pub fn len(&self) -> usize {
        self.kept.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.kept.is_empty()
    }
}

/// Largest index whose bags of tokens are put beside the encoder, in bytes.
const RESIDENT: u64 = 2 << 30;

/// The bags of tokens of an index on the encoder's device, where that searches them and the index is not too large for it: for
/// [`Retriever::with`].
pub fn resident_bags(index: &Index, encoder: &Encoder) -> Result<Option<Bags>> {
    let device = encoder.question.weights.device();
    if !Bags::serves(&device) || 4 * (index.meta().postings + u64::from(index.len())) > RESIDENT {
        return Ok(None);
    }
    let bags = (0..index.len()).map(|ordinal| index.bag(ordinal));
    Ok(Some(Bags::new(bags, encoder.vocab.len(), &device)?))
}

/// An index with the encoder that asks it.
#[derive(Clone, Copy)]
pub struct Retriever<'a> {
    index: &'a Index,
    encoder: &'a Encoder,
    bags: Option<&'a Bags>,
}

impl<'a> Retriever<'a> {
    /// Joins an index and an encoder.
    ///
    /// # Errors
    /// When they do not share tokenizer and lexical vocabulary.
    pub fn new(index: &'a Index, encoder: &'a Encoder) -> Result<Self> {
        index.check_vocab(&encoder.vocab.fingerprint())?;
        let (theirs, ours) = (&index.meta().tokenizer_fingerprint, encoder.tokenizer.fingerprint());
        if *theirs != ours {
            let reason = format!(
                "the index was built with another tokenizer ({theirs}) than the encoder's ({ours}); rebuild it with `ragtune index build --tokenizer` and the encoder's folder"
            );
            return Err(RagError::Setting { name: "tokenizer", reason });
        }
        Ok(Self { index, encoder, bags: None })
    }

    /// The same with the index's bags on the encoder's device, where they are searched then: with the same hits.
    pub fn with(self, bags: Option<&'a Bags>) -> Self {
        Self { bags, ..self }
    }

    /// The `k` best passages of every query by its bag of tokens.
    fn by_bags(&self, queries: &[SparseVector], k: usize) -> Vec<Vec<Hit>> {
        let Some(bags) = self.bags else { return self.index.bot_many(queries, k) };
        let dims = self.encoder.vocab.len();
        let mut weights = vec![0.0f32; queries.len() * dims];
        for (query, row) in queries.iter().zip(weights.chunks_exact_mut(dims)) {
            query.iter().for_each(|(dim, weight)| row[dim as usize] = weight);
        }
        let hits = |found: Vec<(u32, f32)>| found.into_iter().map(|(ordinal, score)| Hit { ordinal, score }).collect();
        bags.best(&weights, k).into_iter().map(hits).collect()
    }

    /// The index.
    pub fn index(&self) -> &'a Index {
        self.index
    }

    /// The encoder.
    pub fn encoder(&self) -> &'a Encoder {
        self.encoder
    }

    /// What a search in this mode should be warned about: a parametric index that another encoder made
    /// (`encoder_fingerprint` is that of [`encoder_fingerprint`](crate::encoder_fingerprint)), bags of another length
    /// than the encoder's passages.
    pub fn warnings(&self, mode: SearchMode, encoder_fingerprint: &str) -> Vec<String> {
        let mut warnings = Vec::new();
        let parametric = matches!(mode, SearchMode::Full | SearchMode::Alpha);
        if parametric
            && self.index.has_parametric()
            && let Err(stale) = self.index.check_encoder(encoder_fingerprint)
        {
            warnings.push(stale.to_string());
        }
        let (indexed, read) = (self.index.meta().max_tokens as usize, self.encoder.meta.passage_tokens);
        if !parametric && indexed != read {
            warnings.push(format!(
                "the index covers the first {indexed} tokens of a passage, the encoder reads {read}: the first stage and the re-ranking see different texts; rebuild with `ragtune index build --encoder` and this encoder"
            ));
        }
        warnings
    }

    /// The `k` best passages of every question, best first, ties to the lower ordinal.
    pub fn search(&self, questions: &[&str], settings: &SearchSettings) -> Result<Vec<Vec<Hit>>> {
        self.search_keeping(questions, settings, &mut PassageVectors::default())
    }

    /// As [`search`](Retriever::search), with the passages' vectors that earlier calls have computed. The caller starts
    /// anew when index, encoder or settings change.
    pub fn search_keeping(
        &self,
        questions: &[&str],
        settings: &SearchSettings,
        vectors: &mut PassageVectors,
    ) -> Result<Vec<Vec<Hit>>> {
        Ok(self.found(questions, settings, vectors)?.1)
    }

    /// [`search_keeping`](Retriever::search_keeping) and [`explain`](Retriever::explain) in one: every question is encoded
    /// once, and `late` explains with the vectors by which it has ranked.
    pub fn search_explained(
        &self,
        questions: &[&str],
        settings: &SearchSettings,
        vectors: &mut PassageVectors,
    ) -> Result<Vec<ExplainedHits>> {
        let (queries, found) = self.found(questions, settings, vectors)?;
        let explained = |(query, hits): (&SparseVector, Vec<Hit>)| {
            let ordinals: Vec<u32> = hits.iter().map(|hit| hit.ordinal).collect();
            let tokens = self.explanations(query, &ordinals, settings, &vectors.kept)?;
            Ok(ExplainedHits { hits, tokens })
        };
        queries.iter().zip(found).map(explained).collect()
    }

    /// The questions' vectors with the hits of each.
    fn found(
        &self,
        questions: &[&str],
        settings: &SearchSettings,
        vectors: &mut PassageVectors,
    ) -> Result<(Vec<SparseVector>, Vec<Vec<Hit>>)> {
        self.check(settings)?;
        let k = settings.k;
        if settings.mode == SearchMode::Late {
            let first = settings.first_stage.mode();
            let both = |forms: &Forms| (query(forms, first, settings), query(forms, SearchMode::Late, settings));
            let (firsts, queries): (Vec<_>, Vec<_>) = self.questions(questions, settings, &both)?.into_iter().unzip();
            let found = self.rerank(self.by_bags(&firsts, settings.m), &queries, settings, vectors)?;
            return Ok((queries, found));
        }
        let queries = self.questions(questions, settings, &|forms| query(forms, settings.mode, settings))?;
        let found = match settings.mode {
            SearchMode::Full | SearchMode::Alpha => self.index.parametric_many(&queries, k)?,
            _ => self.by_bags(&queries, k),
        };
        Ok((queries, found))
    }

    /// [`SearchMode::Late`] for one question, telling the order on the way: first that of the first stage, then after
    /// every `part` passages the re-ranked ones, best first, with the others behind them. `tell` hears the `k` best, how
    /// many candidates are re-ranked and how many there are, and stops by returning false; then there is no result.
    ///
    /// The result is that of [`search_explained`](Retriever::search_explained), up to the rounding of differently shaped
    /// batches.
    pub fn late_in_parts(
        &self,
        question: &str,
        settings: &SearchSettings,
        part: usize,
        tell: &mut dyn FnMut(&[Hit], usize, usize) -> bool,
    ) -> Result<Option<ExplainedHits>> {
        let settings = SearchSettings { mode: SearchMode::Late, ..settings.clone() };
        self.check(&settings)?;
        let first = settings.first_stage.mode();
        let both = |forms: &Forms| (query(forms, first, &settings), query(forms, SearchMode::Late, &settings));
        let Some((first, query)) = self.questions(&[question], &settings, &both)?.pop() else { return Ok(None) };
        let mut hits = self.by_bags(&[first], settings.m).pop().unwrap_or_default();
        let total = hits.len();
        let best = |hits: &[Hit]| hits[..settings.k.min(hits.len())].to_vec();
        let mut vectors = HashMap::with_capacity(total);
        let mut done = 0;
        while done < total {
            if !tell(&best(&hits), done, total) {
                return Ok(None);
            }
            let end = total.min(done + part.max(1));
            let ordinals: Vec<u32> = hits[done..end].iter().map(|hit| hit.ordinal).collect();
            for (hit, vector) in hits[done..end].iter_mut().zip(self.passages(&ordinals, &settings)?) {
                hit.score = query.dot(&vector);
                vectors.insert(hit.ordinal, vector);
            }
            hits[..end].sort_unstable_by(|a, b| b.score.total_cmp(&a.score).then(a.ordinal.cmp(&b.ordinal)));
            done = end;
        }
        let hits = best(&hits);
        let ordinals: Vec<u32> = hits.iter().map(|hit| hit.ordinal).collect();
        let tokens = self.explanations(&query, &ordinals, &settings, &vectors)?;
        Ok(Some(ExplainedHits { hits, tokens }))
    }

    /// Encodes those of all candidates that are not there yet, once, and keeps every question's `k` best of its own.
    fn rerank(
        &self,
        mut candidates: Vec<Vec<Hit>>,
        queries: &[SparseVector],
        settings: &SearchSettings,
        vectors: &mut PassageVectors,
    ) -> Result<Vec<Vec<Hit>>> {
        let mut union: Vec<u32> = candidates.iter().flatten().map(|hit| hit.ordinal).collect();
        union.sort_unstable();
        union.dedup();
        let missing: Vec<u32> = union.iter().copied().filter(|ordinal| !vectors.kept.contains_key(ordinal)).collect();
        if vectors.kept.len() + missing.len() > vectors.limit {
            vectors.kept.retain(|ordinal, _| union.binary_search(ordinal).is_ok());
        }
        let new = self.passages(&missing, settings)?;
        vectors.kept.extend(missing.into_iter().zip(new));
        for (hits, query) in candidates.iter_mut().zip(queries) {
            for hit in hits.iter_mut() {
                hit.score = vectors.kept.get(&hit.ordinal).map_or(0.0, |passage| query.dot(passage));
            }
            hits.sort_unstable_by(|a, b| b.score.total_cmp(&a.score).then(a.ordinal.cmp(&b.ordinal)));
            hits.truncate(settings.k);
        }
        Ok(candidates)
    }

    /// Which tokens make the scores of some passages: for each passage every dimension with a part in its score, largest
    /// product first. The products sum to the score that [`search`](Retriever::search) gives.
    pub fn explain(
        &self,
        question: &str,
        ordinals: &[u32],
        settings: &SearchSettings,
    ) -> Result<Vec<Vec<ExplainedToken>>> {
        self.check(settings)?;
        let queries = self.questions(&[question], settings, &|forms| query(forms, settings.mode, settings))?;
        let Some(query) = queries.first() else { return Ok(Vec::new()) };
        self.explanations(query, ordinals, settings, &HashMap::new())
    }

    /// What makes the scores of passages for a question's vector; `known` are passages' vectors that are there already.
    fn explanations(
        &self,
        query: &SparseVector,
        ordinals: &[u32],
        settings: &SearchSettings,
        known: &HashMap<u32, SparseVector>,
    ) -> Result<Vec<Vec<ExplainedToken>>> {
        if self.is_dense() {
            // Its dimensions are no words.
            return Ok(vec![Vec::new(); ordinals.len()]);
        }
        let missing: Vec<u32> = match settings.mode {
            SearchMode::Late => ordinals.iter().copied().filter(|ordinal| !known.contains_key(ordinal)).collect(),
            _ => Vec::new(),
        };
        let new: HashMap<u32, SparseVector> = missing.iter().copied().zip(self.passages(&missing, settings)?).collect();
        let explained = |ordinal: &u32| {
            let passage = match settings.mode {
                SearchMode::Bot | SearchMode::Own => SparseVector::binary(self.index.bag(*ordinal)?),
                SearchMode::Full | SearchMode::Alpha => {
                    let values = self.index.parametric_weights(*ordinal, &query.indices)?;
                    SparseVector { indices: query.indices.clone(), values }
                }
                SearchMode::Late => {
                    let vector = known.get(ordinal).or_else(|| new.get(ordinal));
                    return Ok(vector.map_or_else(Vec::new, |vector| self.explained(query, vector)));
                }
            };
            Ok(self.explained(query, &passage))
        };
        ordinals.iter().map(explained).collect()
    }

    fn is_dense(&self) -> bool {
        self.encoder.meta.head == HeadKind::Dense
    }

    fn explained(&self, query: &SparseVector, passage: &SparseVector) -> Vec<ExplainedToken> {
        let part = |(dim, query_weight): (u32, f32)| {
            let passage_weight = passage.get(dim);
            let id = self.encoder.vocab.id(dim);
            let token = self.encoder.tokenizer.token(id).unwrap_or_default();
            ExplainedToken { token, id, query_weight, passage_weight, product: query_weight * passage_weight }
        };
        let mut parts: Vec<_> = query.iter().map(part).filter(|part| part.product != 0.0).collect();
        parts.sort_by(|a, b| b.product.total_cmp(&a.product).then(a.id.cmp(&b.id)));
        parts
    }

    /// Questions in a form of their vectors.
    fn questions<T: Send>(
        &self,
        texts: &[&str],
        settings: &SearchSettings,
        form: &(dyn Fn(&Forms) -> T + Sync),
    ) -> Result<Vec<T>> {
        let ids =
            texts.iter().map(|text| self.encoder.question_ids(text)).collect::<std::result::Result<Vec<_>, _>>()?;
        Ok(encode(self.encoder, Kind::Question, &ids, settings.batch_tokens, form))
    }

    /// S+ of passages of the index, encoded now.
    fn passages(&self, ordinals: &[u32], settings: &SearchSettings) -> Result<Vec<SparseVector>> {
        let mut ids = Vec::with_capacity(ordinals.len());
        for &ordinal in ordinals {
            let passage = self.index.passage(ordinal)?;
            ids.push(self.encoder.passage_ids(&passage.title, &passage.text)?);
        }
        let form = |forms: &Forms| forms.s_plus(settings.top_k);
        Ok(encode(self.encoder, Kind::Passage, &ids, settings.batch_tokens, &form))
    }

    fn check(&self, settings: &SearchSettings) -> Result<()> {
        let setting = |name, reason: String| Err(RagError::Setting { name, reason });
        for (name, value) in [("k", settings.k), ("top_k", settings.top_k), ("batch_tokens", settings.batch_tokens)] {
            if value == 0 {
                return setting(name, "it must be at least 1".to_owned());
            }
        }
        if self.is_dense() && settings.mode != SearchMode::Full {
            return setting(
                "mode",
                format!(
                    "a dense head has no words, which `{}` needs: search with `full`, or load the encoder with the sidr or splade head",
                    settings.mode.name()
                ),
            );
        }
        match settings.mode {
            SearchMode::Full | SearchMode::Alpha if !self.index.has_parametric() => setting(
                "mode",
                format!(
                    "`{}` needs a parametric index and this index has none; add it with `ragtune index build --parametric --encoder DIR`, or search with `late`, which encodes the first stage's passages on the fly",
                    settings.mode.name()
                ),
            ),
            SearchMode::Late if settings.k > settings.m => setting(
                "k",
                format!(
                    "{} passages cannot come out of a first stage of m = {}; raise m or lower k",
                    settings.k, settings.m
                ),
            ),
            _ => Ok(()),
        }
    }
}

/// The question's vector in a mode.
fn query(forms: &Forms, mode: SearchMode, settings: &SearchSettings) -> SparseVector {
    match mode {
        SearchMode::Own => forms.own(),
        SearchMode::Alpha => forms.bag(),
        SearchMode::Bot | SearchMode::Full | SearchMode::Late => forms.s(settings.top_k),
    }
}

/// Encodes texts in batches of similar length and keeps one form of each vector, in the order of the texts: the dense
/// vectors of a large batch would not fit into memory.
pub fn encode<T: Send>(
    encoder: &Encoder,
    kind: Kind,
    texts: &[Vec<u32>],
    batch_tokens: usize,
    form: &(dyn Fn(&Forms) -> T + Sync),
) -> Vec<T> {
    let lengths: Vec<usize> = texts.iter().map(Vec::len).collect();
    let device = encoder.tower_of(kind).weights.device();
    let batches = side_by_side(&device, Encoder::batches(&lengths, batch_tokens), |batch| {
        let ids: Vec<&[u32]> = batch.iter().map(|&i| &texts[i][..]).collect();
        let forms: Vec<T> = encoder.encode(kind, &ids).iter().map(form).collect();
        (batch, forms)
    });
    let mut encoded: Vec<Option<T>> = texts.iter().map(|_| None).collect();
    for (i, form) in batches.into_iter().flat_map(|(batch, forms)| batch.into_iter().zip(forms)) {
        encoded[i] = Some(form);
    }
    encoded.into_iter().flatten().collect()
}

#[cfg(test)]
mod tests;
