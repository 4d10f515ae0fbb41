//! Which of a model's files are wanted.

use super::SETTINGS;

/// The files to fetch of those that a model has: its settings and its weights, which are `weights` where that is named.
///
/// # Errors
/// In words, when there are no weights that can be read or several to choose from.
pub(super) fn choose(files: &[String], weights: Option<&str>) -> Result<Vec<String>, String> {
    let has = |name: &str| files.iter().any(|file| file == name);
    let mut chosen: Vec<String> = SETTINGS.into_iter().filter(|name| has(name)).map(str::to_owned).collect();
    if let Some(name) = weights {
        if !has(name) {
            return Err(format!("it has no file `{name}`; it has {}", list(files)));
        }
        chosen.push(name.to_owned());
        return Ok(chosen);
    }
    let plain = |file: &&String| !file.contains('/') && file.ends_with(".safetensors");
    if has("model.safetensors") {
        chosen.push("model.safetensors".to_owned());
    } else if has("model.safetensors.index.json") {
        chosen.push("model.safetensors.index.json".to_owned());
        chosen.extend(files.iter().filter(plain).filter(|file| file.starts_with("model-")).cloned());
    } else if has("pytorch_model.bin") {
        chosen.push("pytorch_model.bin".to_owned());
    } else if has("pytorch_model.bin.index.json") {
        let part = |file: &&String| file.starts_with("pytorch_model-") && file.ends_with(".bin");
        chosen.push("pytorch_model.bin.index.json".to_owned());
        chosen.extend(files.iter().filter(part).cloned());
    } else {
        let gguf: Vec<String> = files.iter().filter(|file| file.ends_with(".gguf")).cloned().collect();
        match &gguf[..] {
            [] => {
                let reason = "it has no weights as safetensors, GGUF or pytorch_model.bin";
                return Err(format!("{reason}; it has {}", list(files)));
            }
            [one] => chosen.push(one.clone()),
            several => return Err(format!("it has several GGUF files; choose one with --file: {}", list(several))),
        }
    }
    // What two towers add.
    chosen.extend(files.iter().filter(|file| file.as_str() == "passage/model.safetensors").cloned());
    Ok(chosen)
}

fn list(files: &[String]) -> String {
    match files {
        [] => "no files".to_owned(),
        _ => files.iter().take(12).cloned().collect::<Vec<_>>().join(", "),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(files: &[&str], weights: Option<&str>) -> Result<Vec<String>, String> {
        choose(&files.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>(), weights)
    }

    #[test]
    fn settings_and_one_set_of_weights_are_wanted() {
        let files = ["config.json", "model.safetensors", "pytorch_model.bin", "onnx/model.onnx", "tokenizer.json"];
        assert_eq!(of(&files, None).unwrap(), ["config.json", "tokenizer.json", "model.safetensors"]);
        let shards = [
            "config.json",
            "model-00001-of-00002.safetensors",
            "model-00002-of-00002.safetensors",
            "model.safetensors.index.json",
            "other.safetensors",
        ];
        assert_eq!(of(&shards, None).unwrap()[1..], [shards[3], shards[1], shards[2]]);
        assert_eq!(of(&["a.Q8_0.gguf", "README.md"], None).unwrap(), ["README.md", "a.Q8_0.gguf"]);
    }

    #[test]
    fn what_cannot_be_chosen_is_said() {
        assert!(of(&["a.gguf", "b.gguf"], None).unwrap_err().contains("--file: a.gguf, b.gguf"));
        assert_eq!(of(&["a.gguf", "b.gguf"], Some("b.gguf")).unwrap(), ["b.gguf"]);
        assert!(of(&["a.gguf"], Some("c.gguf")).unwrap_err().contains("no file `c.gguf`"));
        assert!(of(&["config.json", "model.pt"], None).unwrap_err().contains("no weights as safetensors"));
        assert!(of(&[], None).unwrap_err().contains("no files"));
    }
}
