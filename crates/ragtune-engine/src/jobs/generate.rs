//! Continuing a prompt.

use rand_pcg::Pcg64Mcg;
use rand_pcg::rand_core::SeedableRng;

use crate::command::Generate;
use crate::event::{EventKind, GenerateReport, Report};
use crate::session::JobContext;
use crate::{EngineError, Result};

/// `generate`
pub(super) fn generate(generate: &Generate, context: &mut JobContext<'_>) -> Result<()> {
    if !(generate.temperature.is_finite() && generate.temperature >= 0.0) {
        return Err(EngineError::input(format!("--temperature {}: it must be 0 or more", generate.temperature)));
    }
    let device = super::device(&generate.device, context)?;
    let lm = context.shelf().lm(&generate.llm, &device)?;
    let prompt = if generate.chat { lm.chat_prompt("", &generate.prompt)? } else { lm.prompt(&generate.prompt)? }.ids;
    if prompt.is_empty() {
        return Err(EngineError::input(
            "the prompt is empty, and this model's tokenizer puts no token before a text: write a prompt",
        ));
    }
    context.begin("generating", "tokens", Some(generate.max_new_tokens as u64));
    let start = context.seconds();
    let mut rng = Pcg64Mcg::seed_from_u64(generate.seed);
    let (mut ids, mut told) = (Vec::new(), String::new());
    let generated = lm.generate(&prompt, generate.max_new_tokens, generate.temperature, &mut rng, &mut |id| {
        ids.push(id);
        let text = lm.tokenizer.decode(&ids).unwrap_or_default();
        // Half a character is shown as a replacement: the next token completes it.
        if !text.ends_with('\u{fffd}')
            && let Some(piece) = text.strip_prefix(&told)
            && !piece.is_empty()
        {
            context.emit(EventKind::Text(piece.to_owned()));
            told = text;
        }
        context.advance(ids.len() as u64);
        !context.cancelled()
    })?;
    context.check()?;
    if let Some(rest) = generated.text.strip_prefix(&told).filter(|rest| !rest.is_empty()) {
        context.emit(EventKind::Text(rest.to_owned()));
    }
    let seconds = context.seconds() - start;
    context.report(Report::Generated(GenerateReport { text: generated.text, tokens: generated.ids, seconds }));
    Ok(())
}
