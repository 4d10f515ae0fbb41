//! Text to token ids, the three ways ragtune needs it: as a question, as a passage, as a prompt.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::sync::Arc;

use serde::Deserialize;
use serde_json::Value;
use tokenizers::{Encoding, Token};

use crate::error::TextError;

/// A `tokenizer.json`, with its truncation and padding settings reset: lengths are the caller's business.
///
/// Cheap to clone. Special tokens that stand in a text (`"[SEP]"`, `"<|im_start|>"`) are read as the special tokens
/// that they spell, as Hugging Face's tokenizers do.
#[derive(Clone)]
pub struct Tokenizer(Arc<Inner>);

struct Inner {
    name: String,
    json: Vec<u8>,
    tokenizer: tokenizers::Tokenizer,
    fingerprint: String,
    special_ids: Vec<u32>,
    frame: Frame,
}

/// The special tokens that the post-processor puts around one text and around a pair of texts.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Frame {
    prefix: Vec<u32>,
    suffix: Vec<u32>,
    pair_prefix: Vec<u32>,
    pair_middle: Vec<u32>,
    pair_suffix: Vec<u32>,
}

impl Tokenizer {
    /// Reads a `tokenizer.json`; `name` is the file's name, for messages.
    pub fn from_bytes(json: &[u8], name: &str) -> Result<Self, TextError> {
        let fail = |reason: String| TextError::tokenizer(name, reason);
        let broken = |what: &dyn std::fmt::Display| {
            fail(format!("not a tokenizer.json: {what}; give the tokenizer.json that belongs to the model"))
        };
        // The library takes all this for granted, and panics without.
        let text = std::str::from_utf8(json).map_err(|error| broken(&error))?;
        let parsed: Parsed = serde_json::from_str(text).map_err(|error| broken(&error))?;
        if let Some(fault) = fault_of_template(&parsed.post_processor) {
            return Err(broken(&fault));
        }
        let mut tokenizer = tokenizers::Tokenizer::from_bytes(json).map_err(|error| broken(&error))?;
        tokenizer.with_padding(None);
        tokenizer.with_truncation(None).map_err(|error| fail(error.to_string()))?;
        let frame = Frame::of(&tokenizer)
            .ok_or_else(|| fail("its post-processor drops the text; give another tokenizer.json".to_owned()))?;
        let mut special_ids: BTreeSet<u32> = tokenizer.get_added_tokens_decoder().keys().copied().collect();
        special_ids.extend(frame.all());
        let fingerprint = fingerprint(&tokenizer, json).map_err(|error| fail(error.to_string()))?;
        let special_ids = special_ids.into_iter().collect();
        Ok(Self(Arc::new(Inner {
            name: name.to_owned(),
            json: json.to_owned(),
            tokenizer,
            fingerprint,
            special_ids,
            frame,
        })))
    }

    /// The bytes of the `tokenizer.json` as they were read, to be saved beside a checkpoint or an index.
    pub fn json(&self) -> &[u8] {
        &self.0.json
    }

    /// The file's name, for messages.
    pub fn name(&self) -> &str {
        &self.0.name
    }

    /// Eight hex digits that tell tokenizers apart: a CRC-32 over the vocabulary (ids and tokens), the normaliser, the
    /// pre-tokeniser and the post-processor. Layout of the file, padding and truncation do not count.
    pub fn fingerprint(&self) -> String {
        self.0.fingerprint.clone()
    }

    /// Number of tokens, added ones included.
    pub fn vocab_size(&self) -> usize {
        self.0.tokenizer.get_vocab_size(true)
    }

    /// All token ids, ascending, with their tokens.
    pub fn vocabulary(&self) -> BTreeMap<u32, String> {
        vocabulary(&self.0.tokenizer)
    }

    /// The token of an id.
    pub fn token(&self, id: u32) -> Option<String> {
        self.0.tokenizer.id_to_token(id)
    }

    /// The id of a token, spelled as in the vocabulary (`##ing`, `Ġthe`).
    pub fn id(&self, token: &str) -> Option<u32> {
        self.0.tokenizer.token_to_id(token)
    }

    /// The ids of special and added tokens, ascending.
    pub fn special_ids(&self) -> &[u32] {
        &self.0.special_ids
    }

    /// Token ids of a text, without special tokens around it.
    pub fn ids(&self, text: &str) -> Result<Vec<u32>, TextError> {
        let encoding = self.0.tokenizer.encode_fast(text, false).map_err(|error| {
            self.fail(format!("cannot tokenise {:?}: {error}", text.chars().take(40).collect::<String>()))
        })?;
        Ok(encoding.get_ids().to_vec())
    }

    /// Token ids of a text with the bytes of the text that each comes from, without special tokens around it.
    pub fn spans(&self, text: &str) -> Result<Vec<(u32, Range<usize>)>, TextError> {
        let encoding = self.0.tokenizer.encode(text, false).map_err(|error| {
            self.fail(format!("cannot tokenise {:?}: {error}", text.chars().take(40).collect::<String>()))
        })?;
        // A normaliser may count within a character: then the whole character is meant.
        let border = |mut at: usize, step: isize| {
            while !text.is_char_boundary(at.min(text.len())) {
                at = at.saturating_add_signed(step);
            }
            at.min(text.len())
        };
        let spans = encoding.get_ids().iter().zip(encoding.get_offsets());
        Ok(spans.map(|(&id, &(start, end))| (id, border(start, -1)..border(end, 1))).collect())
    }

    /// Token ids of a prompt: the special tokens that the post-processor puts before a text, then the text. The closing
    /// ones are dropped, because the model continues the prompt.
    pub fn with_prefix(&self, text: &str) -> Result<Vec<u32>, TextError> {
        let mut ids = self.0.frame.prefix.clone();
        ids.extend(self.ids(text)?);
        Ok(ids)
    }

    /// `[CLS] text [SEP]`, the text truncated so that there are at most `max_tokens` in all.
    pub fn question(&self, text: &str, max_tokens: usize) -> Result<Vec<u32>, TextError> {
        let frame = &self.0.frame;
        let room = max_tokens.saturating_sub(self.overhead(false));
        let mut ids = frame.prefix.clone();
        ids.extend(self.ids(text)?.into_iter().take(room));
        ids.extend(&frame.suffix);
        ids.truncate(max_tokens);
        Ok(ids)
    }

    /// `[CLS] title [SEP] text [SEP]` with at most `max_tokens` in all: the text is truncated, and the title only when
    /// it alone is too long. Without a title, `[CLS] text [SEP]`.
    pub fn passage(&self, title: &str, text: &str, max_tokens: usize) -> Result<Vec<u32>, TextError> {
        if title.trim().is_empty() {
            return self.question(text, max_tokens);
        }
        let frame = &self.0.frame;
        let room = max_tokens.saturating_sub(self.overhead(true));
        let mut title = self.ids(title)?;
        title.truncate(room);
        let room = room - title.len();
        let mut ids = frame.pair_prefix.clone();
        ids.extend(title);
        ids.extend(&frame.pair_middle);
        ids.extend(self.ids(text)?.into_iter().take(room));
        ids.extend(&frame.pair_suffix);
        ids.truncate(max_tokens);
        Ok(ids)
    }

    /// Number of special tokens around one text, or around a title and a text (`pair`).
    pub fn overhead(&self, pair: bool) -> usize {
        let frame = &self.0.frame;
        if pair {
            frame.pair_prefix.len() + frame.pair_middle.len() + frame.pair_suffix.len()
        } else {
            frame.prefix.len() + frame.suffix.len()
        }
    }

    /// The text of token ids, special tokens left out.
    pub fn decode(&self, ids: &[u32]) -> Result<String, TextError> {
        self.0.tokenizer.decode(ids, true).map_err(|error| self.fail(format!("cannot decode: {error}")))
    }

    fn fail(&self, reason: String) -> TextError {
        TextError::tokenizer(&self.0.name, reason)
    }
}

impl std::fmt::Debug for Tokenizer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tokenizer").field("name", &self.0.name).field("fingerprint", &self.0.fingerprint).finish()
    }
}

impl Frame {
    /// Sends marker tokens through the post-processor and looks at what it puts around them. No special token is
    /// known by its name, so BERT's, RoBERTa's and the language models' conventions all work.
    ///
    /// `None` when the post-processor drops the text.
    fn of(tokenizer: &tokenizers::Tokenizer) -> Option<Self> {
        const FIRST: u32 = u32::MAX;
        const SECOND: u32 = u32::MAX - 1;
        let marker = |id| Encoding::from_tokens(vec![Token::new(id, "a".to_owned(), (0, 1))], 0);
        let single = tokenizer.post_process(marker(FIRST), None, true).ok()?;
        let single = single.get_ids();
        let at = single.iter().position(|&id| id == FIRST)?;
        let (prefix, suffix) = (single[..at].to_vec(), single[at + 1..].to_vec());
        let pair = tokenizer.post_process(marker(FIRST), Some(marker(SECOND)), true).ok();
        let pair = pair.as_ref().map_or(&[][..], |pair| pair.get_ids());
        let first = pair.iter().position(|&id| id == FIRST);
        let second = pair.iter().position(|&id| id == SECOND);
        Some(match (first, second) {
            (Some(first), Some(second)) if first < second => Self {
                prefix,
                suffix,
                pair_prefix: pair[..first].to_vec(),
                pair_middle: pair[first + 1..second].to_vec(),
                pair_suffix: pair[second + 1..].to_vec(),
            },
            // No usable rule for pairs (most language models): the second text follows the first.
            _ => Self {
                pair_prefix: prefix.clone(),
                pair_middle: Vec::new(),
                pair_suffix: suffix.clone(),
                prefix,
                suffix,
            },
        })
    }

    fn all(&self) -> impl Iterator<Item = u32> + '_ {
        [&self.prefix, &self.suffix, &self.pair_prefix, &self.pair_middle, &self.pair_suffix]
            .into_iter()
            .flatten()
            .copied()
    }
}

/// What is looked at of a `tokenizer.json` before the library reads it.
#[derive(Deserialize)]
struct Parsed {
    #[serde(default)]
    post_processor: Value,
}

/// What a post-processor's template puts though it has not got it.
fn fault_of_template(processor: &Value) -> Option<String> {
    let mut all = vec![processor];
    while let Some(one) = all.pop() {
        all.extend(one["processors"].as_array().into_iter().flatten());
        for frame in ["single", "pair"] {
            for piece in one[frame].as_array().into_iter().flatten() {
                if let Some(id) =
                    piece["SpecialToken"]["id"].as_str().filter(|id| one["special_tokens"].get(id).is_none())
                {
                    return Some(format!("its post-processor names a special token `{id}` that it does not explain"));
                }
                if frame == "single" && piece["Sequence"]["id"] == "B" {
                    return Some("its post-processor wants a second text after a single one".to_owned());
                }
            }
        }
    }
    None
}

fn vocabulary(tokenizer: &tokenizers::Tokenizer) -> BTreeMap<u32, String> {
    tokenizer.get_vocab(true).into_iter().map(|(token, id)| (id, token)).collect()
}

/// The parts of a `tokenizer.json` that decide, beside the vocabulary, how a text is cut.
#[derive(Deserialize)]
struct Parts {
    #[serde(default)]
    normalizer: Value,
    #[serde(default)]
    pre_tokenizer: Value,
    #[serde(default)]
    post_processor: Value,
}

fn fingerprint(tokenizer: &tokenizers::Tokenizer, json: &[u8]) -> serde_json::Result<String> {
    let parts: Parts = serde_json::from_slice(json)?;
    let mut crc = crc32fast::Hasher::new();
    for (id, token) in vocabulary(tokenizer) {
        crc.update(&id.to_le_bytes());
        crc.update(token.as_bytes());
        crc.update(&[0]);
    }
    for part in [&parts.normalizer, &parts.pre_tokenizer, &parts.post_processor] {
        hash_value(part, &mut crc);
    }
    Ok(format!("{:08x}", crc.finalize()))
}

/// Hashes a JSON value with its object keys in order, whatever their order in the file.
fn hash_value(value: &Value, crc: &mut crc32fast::Hasher) {
    match value {
        Value::Array(items) => {
            crc.update(b"[");
            items.iter().for_each(|item| hash_value(item, crc));
            crc.update(b"]");
        }
        Value::Object(fields) => {
            crc.update(b"{");
            let fields: BTreeMap<_, _> = fields.iter().collect();
            for (key, value) in fields {
                crc.update(key.as_bytes());
                crc.update(b":");
                hash_value(value, crc);
            }
            crc.update(b"}");
        }
        plain => {
            crc.update(plain.to_string().as_bytes());
            crc.update(b",");
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::testing;

    #[test]
    fn bert_frames_questions_and_passages() {
        let tokenizer = testing::bert();
        let id = |token: &str| tokenizer.id(token).unwrap();
        let (cls, sep) = (id("[CLS]"), id("[SEP]"));
        assert_eq!(tokenizer.question("Oil crisis", 8).unwrap(), [cls, id("oil"), id("crisis"), sep]);
        assert_eq!(
            tokenizer.passage("crisis", "the price of oil", 8).unwrap(),
            [cls, id("crisis"), sep, id("the"), id("price"), id("of"), id("oil"), sep]
        );
        assert_eq!(
            tokenizer.passage("crisis", "the price of oil", 6).unwrap(),
            [cls, id("crisis"), sep, id("the"), id("price"), sep]
        );
        assert_eq!(tokenizer.passage("  ", "oil", 8).unwrap(), tokenizer.question("oil", 8).unwrap());
        assert_eq!(tokenizer.with_prefix("oil").unwrap(), [cls, id("oil")]);
        assert_eq!(tokenizer.overhead(true), 3);
    }

    #[test]
    fn roberta_frames_pairs_with_two_separators() {
        let tokenizer = testing::roberta();
        let id = |token: &str| tokenizer.id(token).unwrap();
        let (bos, eos) = (id("<s>"), id("</s>"));
        assert_eq!(tokenizer.question("oil", 8).unwrap(), [bos, id("oil"), eos]);
        assert_eq!(tokenizer.passage("crisis", "oil", 8).unwrap(), [bos, id("crisis"), eos, eos, id("oil"), eos]);
        assert_eq!(tokenizer.with_prefix("oil").unwrap(), [bos, id("oil")]);
    }

    #[test]
    fn a_tokenizer_without_post_processor_adds_nothing() {
        let tokenizer = testing::plain();
        assert_eq!(tokenizer.with_prefix("oil").unwrap(), tokenizer.ids("oil").unwrap());
        assert_eq!(tokenizer.passage("oil", "price", 8).unwrap(), tokenizer.ids("oil price").unwrap());
    }

    #[test]
    fn truncation_and_padding_of_the_file_are_reset() {
        let ids = testing::bert().ids(&"oil ".repeat(50)).unwrap();
        assert_eq!(ids.len(), 50);
    }

    #[test]
    fn the_fingerprint_sees_what_changes_ids_and_nothing_else() {
        let (bert, roberta, plain) = (testing::bert(), testing::roberta(), testing::plain());
        assert_ne!(bert.fingerprint(), roberta.fingerprint());
        assert_ne!(bert.fingerprint(), plain.fingerprint());
        let value: Value = serde_json::from_slice(bert.json()).unwrap();
        let pretty = serde_json::to_vec_pretty(&value).unwrap();
        assert_eq!(Tokenizer::from_bytes(&pretty, "again").unwrap().fingerprint(), bert.fingerprint());
        let mut cased = value.clone();
        cased["normalizer"]["lowercase"] = Value::Bool(false);
        let cased = Tokenizer::from_bytes(&serde_json::to_vec(&cased).unwrap(), "cased").unwrap();
        assert_ne!(cased.fingerprint(), bert.fingerprint());
    }

    #[test]
    fn decoding_leaves_special_tokens_out() {
        let tokenizer = testing::bert();
        let ids = tokenizer.passage("crisis", "the price of oil", 16).unwrap();
        assert_eq!(tokenizer.decode(&ids).unwrap(), "crisis the price of oil");
    }

    #[test]
    fn an_unusable_file_is_named() {
        let error = Tokenizer::from_bytes(b"hello", "models/x/vocab.txt").unwrap_err().to_string();
        assert!(error.contains("models/x/vocab.txt") && error.contains("tokenizer.json"), "{error}");
    }

    #[test]
    fn what_the_library_would_panic_at_is_refused_in_words() {
        let json: Value = serde_json::from_slice(testing::bert().json()).unwrap();
        let refused = |json: &[u8]| Tokenizer::from_bytes(json, "x").map(drop).unwrap_err().to_string();
        let text = serde_json::to_string(&json).unwrap();
        let cut = text.replacen("\"decoder\":", "\"decoder\":{1", 1);
        assert!(cut != text && refused(cut.as_bytes()).contains("not a tokenizer.json"));
        let at = text.find("decoder").unwrap();
        let mut unreadable = text.clone().into_bytes();
        unreadable[at] = 0xff;
        assert!(refused(&unreadable).contains("utf-8"));
        let mut framed = json.clone();
        framed["post_processor"] = serde_json::json!({
            "type": "TemplateProcessing",
            "single": [{"SpecialToken": {"id": "[CLS]", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}],
            "pair": [{"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 0}}],
            "special_tokens": {"[CLS]": {"id": "[CLS]", "ids": [2], "tokens": ["[CLS]"]}}
        });
        assert!(Tokenizer::from_bytes(framed.to_string().as_bytes(), "x").is_ok());
        let mut unexplained = framed.clone();
        unexplained["post_processor"]["special_tokens"] = serde_json::json!({});
        let error = refused(unexplained.to_string().as_bytes());
        assert!(error.contains("does not explain"), "{error}");
        let mut second = framed;
        second["post_processor"]["single"][1]["Sequence"]["id"] = "B".into();
        let error = refused(second.to_string().as_bytes());
        assert!(error.contains("a second text"), "{error}");
    }

    proptest! {
        #[test]
        fn lengths_never_exceed_the_limit(title in "[a-z ]{0,60}", text in "[a-z ]{0,200}", max in 0usize..40) {
            for tokenizer in [testing::bert(), testing::roberta(), testing::plain()] {
                let passage = tokenizer.passage(&title, &text, max).unwrap();
                prop_assert!(passage.len() <= max);
                let question = tokenizer.question(&text, max).unwrap();
                prop_assert_eq!(question.len(), max.min(tokenizer.ids(&text).unwrap().len() + tokenizer.overhead(false)));
            }
        }
    }
}
