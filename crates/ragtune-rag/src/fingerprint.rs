//! Fingerprints of models: what tells a stale index or a stale score from a good one.

use ragtune_model::{CausalLm, Encoder, HeadKind, Weights};

use crate::PromptTemplate;

/// Eight hex digits over what decides an encoder's vectors: head, lengths, vocabulary and all weights (names, shapes
/// and values). Reads the weights back from their device, so ask once per checkpoint.
pub fn encoder_fingerprint(encoder: &Encoder) -> String {
    let mut crc = crc32fast::Hasher::new();
    crc.update(match encoder.meta.head {
        HeadKind::Sidr => b"sidr",
        HeadKind::Splade => b"splade",
        HeadKind::Dense => b"dense",
    });
    for tokens in [encoder.meta.question_tokens, encoder.meta.passage_tokens] {
        crc.update(&(tokens as u64).to_le_bytes());
    }
    crc.update(encoder.tokenizer.fingerprint().as_bytes());
    hash_weights(&encoder.question.weights, &mut crc);
    if let Some(passage) = &encoder.passage {
        crc.update(b"passage");
        hash_weights(&passage.weights, &mut crc);
    }
    format!("{:08x}", crc.finalize())
}

/// Eight hex digits over a language model's tokenizer and weights. Reads the weights back from their device, so ask
/// once per model.
pub fn lm_fingerprint(lm: &CausalLm) -> String {
    let mut crc = crc32fast::Hasher::new();
    crc.update(lm.tokenizer.fingerprint().as_bytes());
    hash_weights(&lm.weights, &mut crc);
    format!("{:08x}", crc.finalize())
}

/// What scores depend on beside the questions: the model, and its chat template where prompts are put as messages.
pub fn scorer_fingerprint(lm: &CausalLm, template: &PromptTemplate) -> String {
    let model = lm_fingerprint(lm);
    match lm.chat.as_ref().filter(|_| template.chat) {
        Some(chat) => format!("{model}-{:08x}", crc32fast::hash(chat.source().as_bytes())),
        None => model,
    }
}

fn hash_weights(weights: &Weights, crc: &mut crc32fast::Hasher) {
    let mut bytes = Vec::new();
    for (name, weight) in weights.iter() {
        crc.update(name.as_bytes());
        for size in weight.shape() {
            crc.update(&(size as u64).to_le_bytes());
        }
        for values in weight.values().chunks(1 << 16) {
            bytes.clear();
            bytes.extend(values.iter().flat_map(|value| value.to_le_bytes()));
            crc.update(&bytes);
        }
    }
}

#[cfg(test)]
mod tests {
    use ragtune_model::{Encoder, Weight};
    use ragtune_text::storage::MemoryDirectory;

    use super::*;
    use crate::testing;

    #[test]
    fn saving_keeps_the_fingerprint_and_one_changed_number_does_not() {
        let mut encoder = testing::encoder(1);
        let before = encoder_fingerprint(&encoder);
        let dir = MemoryDirectory::default();
        encoder.save(&dir).unwrap();
        let loaded = Encoder::load(&dir, &testing::device(), None).unwrap();
        assert_eq!(encoder_fingerprint(&loaded), before);
        let name = "head.LayerNorm.bias";
        let mut values = encoder.question.weights.get(name).unwrap().values();
        values[3] += 1e-3;
        let shape = [values.len()];
        encoder.question.weights.insert(name, Weight::from_vec(values, &shape, &testing::device()));
        assert_ne!(encoder_fingerprint(&encoder), before);
    }
}
