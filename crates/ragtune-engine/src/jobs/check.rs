//! What becomes of a model's scores when its weights are stored with fewer bits, or are those of another file.

use std::path::Path;

use burn::tensor::Device;
use ragtune_model::{CausalLm, Encoder, Kind, Rounding, Weights};
use ragtune_rag::PromptTemplate;
use ragtune_rag::prompt::put;
use ragtune_sample::{Population, World, WorldConfig};
use ragtune_text::{Passage, Question};

use super::models::describe;
use crate::command::{CheckModel, EncoderSource};
use crate::event::{CheckReport, CheckRow, Report};
use crate::models::{open_encoder, open_lm};
use crate::session::JobContext;
use crate::{EngineError, Result};

/// Seed of the world that the questions are about.
const SEED: u64 = 5;
/// Passages of that world for one question.
const PASSAGES: u64 = 10;
/// Scores that are computed at once.
const BATCH: usize = 8;

/// A question with a passage that answers it and one that does not.
struct Triple {
    question: Question,
    passages: [Passage; 2],
}

/// `models check`
pub(super) fn check(check: &CheckModel, context: &mut JobContext<'_>) -> Result<()> {
    let device = super::device(&check.device, context)?;
    let triples = triples(check.questions)?;
    let kind = describe(&check.model)?.kind;
    if kind == "tokenizer" {
        return Err(EngineError::input(format!("{}: a tokenizer alone gives no scores", check.model.display())));
    }
    let ways = 1 + Rounding::ALL.len() as u64 + u64::from(check.against.is_some());
    context.begin("scoring", "passages", Some(ways * 2 * triples.len() as u64));
    let mut rows = Vec::new();
    let mut plain = Vec::new();
    let mut done = 0;
    let mut model = Model::open(&check.model, &kind, &device)?;
    let as_it_is = model.weights();
    for way in std::iter::once(None).chain(Rounding::ALL.map(Some)) {
        let (name, bytes) = match way {
            None => {
                let formats = as_it_is.first().map(|weights| weights.formats().join(", ")).unwrap_or_default();
                (formats, as_it_is.iter().map(Weights::bytes).sum())
            }
            Some(rounding) => {
                let rounded = as_it_is.iter().map(|weights| weights.rounded(rounding, &device));
                let (weights, bytes): (Vec<Weights>, Vec<u64>) = rounded.unzip();
                model.put(weights);
                (rounding.name().to_owned(), bytes.iter().sum())
            }
        };
        let scores = model.scores(&triples, &mut done, context)?;
        if way.is_none() {
            plain.clone_from(&scores);
        }
        rows.push(row(name, Some(bytes), &plain, &scores));
    }
    drop((model, as_it_is));
    if let Some(other) = &check.against {
        let model = Model::open(other, &kind, &device)?;
        rows.push(row(other.display().to_string(), None, &plain, &model.scores(&triples, &mut done, context)?));
    }
    let model = check.model.display().to_string();
    context.report(Report::Checked(CheckReport { model, kind, questions: triples.len(), rows }));
    Ok(())
}

fn triples(questions: usize) -> Result<Vec<Triple>> {
    if questions == 0 {
        return Err(EngineError::input("--questions must be at least 1"));
    }
    let questions = questions as u64;
    let config = WorldConfig {
        seed: SEED,
        passages: (PASSAGES * questions).max(50),
        questions,
        population: Population::TuningAndTest,
    };
    let world = World::new(config).map_err(|error| EngineError::input(format!("--questions: {error}")))?;
    let passages: Vec<Passage> = world.passages().collect();
    let mut triples = Vec::new();
    for (at, question) in world.questions().enumerate() {
        let gold = |passage: &&Passage| question.gold_ids.contains(&passage.id);
        let right = passages.iter().find(gold);
        let wrong = passages.iter().cycle().skip(at * 7).take(passages.len()).find(|passage| !gold(passage));
        if let (Some(right), Some(wrong)) = (right, wrong) {
            triples.push(Triple { passages: [right.clone(), wrong.clone()], question });
        }
    }
    Ok(triples)
}

enum Model {
    Encoder(Box<Encoder>),
    Lm(Box<CausalLm>),
}

impl Model {
    fn open(path: &Path, kind: &str, device: &Device) -> Result<Self> {
        Ok(if kind == "encoder" {
            let source = EncoderSource { folder: path.to_owned(), head: None };
            Self::Encoder(Box::new(open_encoder(&source, device)?))
        } else {
            Self::Lm(Box::new(open_lm(path, device)?))
        })
    }

    fn weights(&self) -> Vec<Weights> {
        match self {
            Self::Encoder(encoder) => {
                let towers = std::iter::once(&encoder.question).chain(&encoder.passage);
                towers.map(|tower| tower.weights.clone()).collect()
            }
            Self::Lm(lm) => vec![lm.weights.clone()],
        }
    }

    fn put(&mut self, weights: Vec<Weights>) {
        let mut weights = weights.into_iter();
        match self {
            Self::Encoder(encoder) => {
                for tower in std::iter::once(&mut encoder.question).chain(&mut encoder.passage) {
                    tower.weights = weights.next().unwrap_or_default();
                }
            }
            Self::Lm(lm) => lm.weights = weights.next().unwrap_or_default(),
        }
    }

    /// Two scores for each question: with the passage that answers it, and with the other.
    fn scores(&self, triples: &[Triple], done: &mut u64, context: &mut JobContext<'_>) -> Result<Vec<[f64; 2]>> {
        let mut scores = Vec::new();
        for batch in triples.chunks(BATCH) {
            context.check()?;
            match self {
                Self::Encoder(encoder) => scores.extend(products(encoder, batch)?),
                Self::Lm(lm) => scores.extend(log_probs(lm, batch)?),
            }
            *done += 2 * batch.len() as u64;
            context.advance(*done);
        }
        Ok(scores)
    }
}

fn products(encoder: &Encoder, triples: &[Triple]) -> Result<Vec<[f64; 2]>> {
    let mut scores = Vec::new();
    for triple in triples {
        let question = encoder.question_ids(&triple.question.text)?;
        let question = encoder.encode(Kind::Question, &[&question]).remove(0).dense;
        let mut both = [0.0; 2];
        for (score, passage) in both.iter_mut().zip(&triple.passages) {
            let passage = encoder.passage_ids(&passage.title, &passage.text)?;
            let passage = encoder.encode(Kind::Passage, &[&passage]).remove(0).dense;
            *score = question.iter().zip(&passage).map(|(q, p)| f64::from(q * p)).sum();
        }
        scores.push(both);
    }
    Ok(scores)
}

fn log_probs(lm: &CausalLm, triples: &[Triple]) -> Result<Vec<[f64; 2]>> {
    let template = PromptTemplate::default();
    let mut texts = Vec::new();
    for triple in triples {
        let answer = triple.question.answers.first().map_or("", String::as_str);
        for passage in &triple.passages {
            let prompt = put(lm, &template, &triple.question, &[passage])?;
            texts.push(lm.continuation(&prompt, &format!("{}{answer}", template.answer_prefix))?);
        }
    }
    let found = lm.score(&texts.iter().collect::<Vec<_>>());
    Ok(found.chunks_exact(2).map(|both| [0, 1].map(|i| f64::from(both[i].log_prob))).collect())
}

/// How scores differ from those that they should be.
fn row(precision: String, bytes: Option<u64>, wanted: &[[f64; 2]], found: &[[f64; 2]]) -> CheckRow {
    let pairs = || wanted.iter().flatten().zip(found.iter().flatten());
    let differences: Vec<f64> = pairs().map(|(wanted, found)| (wanted - found).abs()).collect();
    let size = pairs().map(|(wanted, _)| wanted.abs()).sum::<f64>() / differences.len().max(1) as f64;
    let kept = wanted.iter().zip(found).filter(|(w, f)| (w[0] > w[1]) == (f[0] > f[1])).count();
    CheckRow {
        precision,
        bytes,
        mean_difference: differences.iter().sum::<f64>() / differences.len().max(1) as f64,
        largest_difference: differences.iter().copied().fold(0.0, f64::max),
        mean_score: size,
        order_kept: kept as f64 / wanted.len().max(1) as f64,
        answered: found.iter().filter(|both| both[0] > both[1]).count() as f64 / found.len().max(1) as f64,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_tells_differences_and_orders() {
        let wanted = [[-1.0, -5.0], [-2.0, -1.0]];
        let same = row("F32".to_owned(), Some(8), &wanted, &wanted);
        assert_eq!(
            (same.mean_difference, same.largest_difference, same.order_kept, same.answered),
            (0.0, 0.0, 1.0, 0.5)
        );
        let other = row("Q4_0".to_owned(), None, &wanted, &[[-1.5, -5.0], [-1.0, -1.5]]);
        assert_eq!((other.mean_difference, other.largest_difference, other.mean_score), (0.5, 1.0, 2.25));
        assert_eq!((other.order_kept, other.answered), (0.5, 1.0));
    }
}
