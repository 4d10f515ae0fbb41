//! Vectors and probabilities as people read them.

use ragtune_engine::event::{InspectedText, WeighedPassage};

use super::columns;

/// Tokens of each text, its own ones marked.
pub(super) fn inspected(texts: &[InspectedText]) -> String {
    let one = |text: &InspectedText| {
        let mut rows = vec![vec!["token".to_owned(), "weight".to_owned(), "from".to_owned()]];
        rows.extend(text.tokens.iter().map(|token| {
            let from = if token.own { "the text" } else { "the encoder" };
            vec![token.token.clone(), format!("{:.3}", token.weight), from.to_owned()]
        }));
        let title: String = text.text.chars().take(100).map(|c| if c.is_whitespace() { ' ' } else { c }).collect();
        format!("{title}\n{} dimensions\n{}", text.dims, columns(&rows, &[1]))
    };
    texts.iter().map(one).collect::<Vec<_>>().join("\n\n")
}

/// Each passage with the probability of the answer.
pub(super) fn weighed(passages: &[WeighedPassage]) -> String {
    let mut rows = vec![["passage", "log P", "P", "answer"].map(str::to_owned).to_vec()];
    rows.extend(passages.iter().map(|passage| {
        let (log, p) = match passage.log_prob {
            Some(log_prob) => (format!("{log_prob:.3}"), format!("{:.4}", f64::from(log_prob).exp())),
            None => ("-".to_owned(), "-".to_owned()),
        };
        let answer = match (passage.generated, passage.answer.is_empty()) {
            (true, true) => "(it wrote nothing)".to_owned(),
            (true, false) => format!("{} (its own)", passage.answer),
            (false, _) => passage.answer.clone(),
        };
        vec![passage.id.clone(), log, p, answer]
    }));
    columns(&rows, &[1, 2])
}
