//! Models of other forms, written as the folders that Python's tools read too.

use ragtune_model::{Encoder, Import, Numbers, authors_body, read_json};
use ragtune_text::storage::Directory;
use serde_json::Value;

use super::models::describe;
use crate::command::ImportModel;
use crate::event::Report;
use crate::models::model_folder;
use crate::session::JobContext;
use crate::{EngineError, Result, hub};

const WEIGHTS: &str = "model.safetensors";
const CONFIG: &str = "config.json";

/// `models import`
pub(super) fn import(wanted: &ImportModel, context: &mut JobContext<'_>) -> Result<()> {
    let described = describe(&wanted.model)?;
    if described.kind == "tokenizer" {
        return Err(EngineError::input(format!(
            "{}: a tokenizer without a model; there is nothing to import",
            wanted.model.display()
        )));
    }
    let from = &*model_folder(&wanted.model, "model")?;
    let fail = |source| EngineError::io(&wanted.out, source);
    let out = super::new_model_folder(&wanted.out)?;
    if described.kind == "encoder" && is_ours_or_its_authors(from) {
        // Towers of their own, which only we write.
        if wanted.numbers.is_some_and(|numbers| numbers != Numbers::F32) {
            return Err(EngineError::input("an encoder with towers is written in 32-bit floats; leave --dtype out"));
        }
        Encoder::load(from, &burn::tensor::Device::flex(), None)?.save(&out)?;
        context.report(Report::Model(describe(&wanted.out)?));
        return Ok(());
    }
    let import = Import::of(from)?;
    for name in hub::SETTINGS.into_iter().filter(|name| from.exists(name)) {
        out.write(name, &from.read(name).map_err(|source| EngineError::io(&wanted.model, source))?).map_err(fail)?;
    }
    for (name, bytes) in import.files(from)? {
        out.write(&name, &bytes).map_err(fail)?;
    }
    if let Some(numbers) = wanted.numbers {
        out.write(CONFIG, &with_numbers(&out.read(CONFIG).map_err(fail)?, numbers)?).map_err(fail)?;
    }
    // The weights come last: a folder without them is no model.
    let mut file = out.create(WEIGHTS).map_err(fail)?;
    let mut begun = false;
    let whole = import.write_weights(from, wanted.numbers, &mut file, &mut |done, all| {
        if !begun {
            context.begin("importing", "tensors", Some(all));
            begun = true;
        }
        context.advance(done);
        context.check().is_ok()
    })?;
    if !whole {
        context.check()?;
    }
    file.finish().map_err(fail)?;
    context.report(Report::Model(describe(&wanted.out)?));
    Ok(())
}

fn is_ours_or_its_authors(from: &dyn Directory) -> bool {
    from.exists("ragtune.json") || read_json(from, CONFIG).is_ok_and(|mut config| authors_body(&mut config).is_some())
}

/// A config that says which numbers its weights are.
fn with_numbers(config: &[u8], numbers: Numbers) -> Result<Vec<u8>> {
    let mut config: Value =
        serde_json::from_slice(config).map_err(|error| EngineError::Failed(format!("{CONFIG}: {error}")))?;
    config["torch_dtype"] = numbers.torch_name().into();
    Ok(format!("{config:#}\n").into_bytes())
}
