//! Vectors of texts.

use crate::fs::File;
use std::io::BufRead;
use std::path::Path;

use ragtune_model::{Encoder, Forms, HeadKind, Kind};
use ragtune_rag::retriever;
use ragtune_text::formats::{beir, decompress};
use ragtune_text::{Passage, SparseVector};
use serde::Serialize;

use crate::command::{Encode, Form, TextRole};
use crate::corpus::first_line;
use crate::models::open_encoder;
use crate::session::JobContext;
use crate::{EngineError, Result};

/// Texts that are encoded between two looks at the cancel flag, sorted by length among themselves.
const BATCH: usize = 256;
const BATCH_TOKENS: usize = 4096;

#[derive(Serialize)]
struct Line<'a> {
    id: &'a str,
    indices: Vec<u32>,
    values: Vec<f32>,
}

/// `encode`
pub(super) fn encode(encode: &Encode, context: &mut JobContext<'_>) -> Result<()> {
    let device = super::device(&encode.device, context)?;
    let encoder = open_encoder(&encode.encoder, &device)?;
    let dense_head = encoder.meta.head == HeadKind::Dense;
    let form = match (encode.form, dense_head, encode.role) {
        (Some(Form::Dense) | None, true, _) | (Some(Form::Dense), ..) => Form::Dense,
        (Some(_), true, _) => {
            return Err(EngineError::input(
                "a dense head has no lexical dimensions: leave --form out, or choose another --head",
            ));
        }
        (Some(form), ..) => form,
        (None, false, TextRole::Query) => Form::S,
        (None, false, TextRole::Passage) => Form::SPlus,
    };
    if encode.top_k == 0 {
        return Err(EngineError::input("--top-k must be at least 1"));
    }
    let kind = match encode.role {
        TextRole::Query => Kind::Question,
        TextRole::Passage => Kind::Passage,
    };
    context.begin("encoding", "texts", None);
    let mut texts = texts(&encode.texts)?;
    let mut done = 0;
    loop {
        context.check()?;
        let batch: Vec<Passage> = texts.by_ref().take(BATCH).collect::<Result<_>>()?;
        if batch.is_empty() {
            break;
        }
        let ids: Vec<Vec<u32>> = batch
            .iter()
            .map(|text| match kind {
                // A question has no title of its own.
                Kind::Question => encoder.question_ids(&text.text),
                Kind::Passage => encoder.passage_ids(&text.title, &text.text),
            })
            .collect::<std::result::Result<_, _>>()?;
        let take = |forms: &Forms| match dense_head {
            true => forms.all(),
            false => lexical(&encoder, forms, form, encode.top_k),
        };
        let vectors = retriever::encode(&encoder, kind, &ids, BATCH_TOKENS, &take);
        for (text, SparseVector { indices, values }) in batch.iter().zip(vectors) {
            context.record(&Line { id: &text.id, indices, values })?;
        }
        done += batch.len() as u64;
        context.advance(done);
    }
    if done == 0 {
        return Err(EngineError::input(format!("{}: no texts in it; write one per line", encode.texts.display())));
    }
    Ok(())
}

/// A form of a vector, by tokenizer ids.
fn lexical(encoder: &Encoder, forms: &Forms, form: Form, top_k: usize) -> SparseVector {
    let SparseVector { indices, values } = match form {
        Form::S => forms.s(top_k),
        Form::SPlus => forms.s_plus(top_k),
        Form::Bot => forms.bag(),
        Form::Dense => forms.all(),
    };
    SparseVector { indices: indices.into_iter().map(|dim| encoder.vocab.id(dim)).collect(), values }
}

/// Texts of a file: jsonl when its first line is an object, else lines, whose ids are their numbers from 0.
fn texts(path: &Path) -> Result<Box<dyn Iterator<Item = Result<Passage>>>> {
    let name = path.display().to_string();
    let first = first_line(path)?;
    let reader = decompress(File::open(path).map_err(|source| EngineError::io(path, source))?);
    if first.trim_start_matches('\u{feff}').trim_start().starts_with('{') {
        return Ok(Box::new(beir::passages(reader, &name).map(|text| text.map_err(EngineError::from))));
    }
    let path = path.to_owned();
    let lines = reader.lines().enumerate().map(move |(number, line)| {
        let text = line.map_err(|source| EngineError::io(&path, source))?;
        Ok(Passage {
            id: number.to_string(),
            text: text.trim_start_matches('\u{feff}').to_owned(),
            ..Passage::default()
        })
    });
    Ok(Box::new(lines))
}
