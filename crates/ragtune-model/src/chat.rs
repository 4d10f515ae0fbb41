//! How an instruct model wants to be addressed: the chat template of its `tokenizer_config.json`, of a
//! `chat_template.jinja` beside it, or of its GGUF file.

use std::fmt;
use std::sync::Arc;

use minijinja::syntax::SyntaxConfig;
use minijinja::{Environment, ErrorKind, context};
use ragtune_text::Tokenizer;
use ragtune_text::storage::Directory;
use serde_json::Value as Json;

use crate::files::read_json;
use crate::{ModelError, gguf};

const CONFIG: &str = "tokenizer_config.json";
const ALONE: &str = "chat_template.jinja";
const NAME: &str = "chat";
/// Steps that wording one message may take; templates of today take some thousands.
const FUEL: u64 = 1_000_000;

/// A model's template with the special tokens that it writes.
#[derive(Clone)]
pub struct ChatTemplate {
    /// Where it came from, for messages.
    file: String,
    source: Arc<str>,
    /// What cannot be read is told when it is wanted: most uses of a model need no template.
    compiled: Result<Arc<Environment<'static>>, String>,
    bos: String,
    eos: String,
}

impl fmt::Debug for ChatTemplate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ChatTemplate").field("file", &self.file).field("source", &self.source).finish_non_exhaustive()
    }
}

impl ChatTemplate {
    /// The template of a model's folder, if it has one; `tokenizer` is the model's.
    pub(crate) fn of(dir: &dyn Directory, tokenizer: &Tokenizer) -> Result<Option<Self>, ModelError> {
        let config: Json = if dir.exists(CONFIG) { read_json(dir, CONFIG)? } else { Json::Null };
        let token = |name: &str| {
            // A token is its text, or an object that holds it.
            let token = config.get(name).map(|token| token.get("content").unwrap_or(token));
            token.and_then(Json::as_str).unwrap_or_default().to_owned()
        };
        let (bos, eos) = (token("bos_token"), token("eos_token"));
        if dir.exists(ALONE) {
            let file = dir.describe(ALONE);
            let bytes = dir.read(ALONE).map_err(|source| ModelError::Io { file: file.clone(), source })?;
            return Ok(Some(Self::new(file, &String::from_utf8_lossy(&bytes), bos, eos)));
        }
        // One, or several by their names.
        let template = match config.get("chat_template") {
            Some(Json::Array(all)) => {
                let named = |name: &str| all.iter().find(|one| one["name"] == name);
                named("default").or(all.first()).and_then(|one| one["template"].as_str())
            }
            one => one.and_then(Json::as_str),
        };
        if let Some(template) = template {
            return Ok(Some(Self::new(dir.describe(CONFIG), template, bos, eos)));
        }
        let Some(gguf) = gguf::of(dir)? else { return Ok(None) };
        let token = |name: &str| gguf.token_id(name).and_then(|id| tokenizer.token(id)).unwrap_or_default();
        let chat = |source| Self::new(gguf.file().to_owned(), source, token("bos"), token("eos"));
        Ok(gguf.chat_template().map(chat))
    }

    /// Whether a model's folder has one; what cannot be read has none.
    pub fn is_in(dir: &dyn Directory) -> bool {
        let config = || read_json::<Json>(dir, CONFIG).is_ok_and(|config| !config["chat_template"].is_null());
        let gguf = || gguf::of(dir).is_ok_and(|gguf| gguf.is_some_and(|gguf| gguf.chat_template().is_some()));
        dir.exists(ALONE) || (dir.exists(CONFIG) && config()) || gguf()
    }

    /// A template of that text, which may turn out to be none when it is wanted.
    pub fn new(file: String, source: &str, bos: String, eos: String) -> Self {
        Self { file, source: source.into(), compiled: compile(source).map(Arc::new), bos, eos }
    }

    /// The template itself.
    pub fn source(&self) -> &str {
        &self.source
    }

    /// A conversation of one message, up to where the answer begins, with its special tokens. `system` may be empty: then
    /// what the template says by itself stands.
    ///
    /// Models that can think before they answer are asked not to (`enable_thinking` is false): the answer is what is scored.
    ///
    /// # Errors
    /// When the template is none that can be read, or refuses the message.
    pub fn render(&self, system: &str, user: &str) -> Result<String, ModelError> {
        let fail = |reason: String| ModelError::Chat { file: self.file.clone(), reason };
        let compiled = self.compiled.as_ref().map_err(|reason| fail(reason.clone()))?;
        let mut messages = Vec::new();
        if !system.is_empty() {
            messages.push(context! { role => "system", content => system });
        }
        messages.push(context! { role => "user", content => user });
        let template = compiled.get_template(NAME).map_err(|error| fail(said(&error)))?;
        let values = context! {
            messages, add_generation_prompt => true, enable_thinking => false,
            bos_token => &*self.bos, eos_token => &*self.eos,
        };
        template.render(values).map_err(|error| fail(said(&error)))
    }
}

fn compile(source: &str) -> Result<Environment<'static>, String> {
    let mut environment = Environment::new();
    // As transformers has it.
    let blocks = SyntaxConfig::builder().trim_blocks(true).lstrip_blocks(true).build();
    environment.set_syntax(blocks.map_err(|error| said(&error))?);
    // A template of no good will ends too.
    environment.set_fuel(Some(FUEL));
    environment.set_unknown_method_callback(minijinja_contrib::pycompat::unknown_method_callback);
    environment.add_function("raise_exception", |reason: String| -> Result<String, minijinja::Error> {
        Err(minijinja::Error::new(ErrorKind::InvalidOperation, reason))
    });
    environment.add_template_owned(NAME, source.to_owned()).map_err(|error| said(&error))?;
    Ok(environment)
}

fn said(error: &minijinja::Error) -> String {
    let what = error.detail().map_or_else(|| error.kind().to_string(), str::to_owned);
    error.line().map_or(what.clone(), |line| format!("line {line}: {what}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn template(source: &str) -> ChatTemplate {
        ChatTemplate::new("m/tokenizer_config.json".to_owned(), source, "<s>".to_owned(), "</s>".to_owned())
    }

    #[test]
    fn a_conversation_ends_where_the_answer_begins() {
        let source = "{{ bos_token }}{% for m in messages %}\n    [{{ m['role'].upper() }}] {{ m.content.strip() }}\n{% endfor %}\
                      {% if add_generation_prompt %}[ANSWER]{% endif %}";
        let template = template(source);
        assert_eq!(template.render("", " Who? ").unwrap(), "<s>    [USER] Who?\n[ANSWER]");
        assert_eq!(
            template.render("Be brief.", "Who?").unwrap(),
            "<s>    [SYSTEM] Be brief.\n    [USER] Who?\n[ANSWER]"
        );
    }

    #[test]
    fn what_a_template_refuses_is_said_with_its_file_and_line() {
        let refusing =
            template("{% if messages[0].role == 'system' %}\n{{ raise_exception('no system here') }}{% endif %}ok");
        assert_eq!(refusing.render("", "Who?").unwrap(), "ok");
        let error = refusing.render("Be brief.", "Who?").unwrap_err().to_string();
        assert!(error.starts_with("m/tokenizer_config.json: ") && error.contains("line 2: no system here"), "{error}");
        let error = template("{% for %}").render("", "Who?").unwrap_err().to_string();
        assert!(error.contains("line 1"), "{error}");
    }
}
