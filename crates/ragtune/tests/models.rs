//! Models of other families and formats from the command line, what is wrong with them, and encoders for other programs.

mod common;

use std::fs;
use std::path::{Path, PathBuf};

use common::Place;
use serde_json::Value;

/// A folder of the references with models.
fn reference(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/references").join(name)
}

/// A GGUF file beside a tokenizer that fits any of the references' vocabularies of 96.
fn gguf(place: &Place, name: &str) -> String {
    let from = reference("gguf").join(name);
    place.write(name, fs::read(from).unwrap());
    fs::copy(place.path("llm/tokenizer.json"), place.path("tokenizer.json")).unwrap();
    name.to_owned()
}

#[test]
fn a_gguf_file_is_told_of_checked_and_scores() {
    let place = Place::small();
    let (first, second) = (gguf(&place, "llama-q8.gguf"), gguf(&place, "qwen3.gguf"));
    let info = place.run(&["models", "info", &first, "--json"]).json();
    assert_eq!((&info["kind"], &info["architecture"]), (&"llm".into(), &"llama, GGUF".into()), "{info}");
    assert!(info["dtype"].as_str().unwrap().contains("Q8_0"), "{info}");
    let (parameters, memory) = (info["parameters"].as_u64().unwrap(), info["memory_bytes"].as_u64().unwrap());
    assert_eq!(memory, 4 * parameters);
    for file in [&first, &second] {
        assert_eq!(place.run(&["models", "verify", file, "--json"]).json()["verified"], true);
    }
    place.write("items.jsonl", r#"{"id": "a", "prompt": "oil price", "answers": ["rose", "tea"]}"#);
    let scores = place.run(&["score", "--llm", &first, "--items", "items.jsonl"]).lines();
    assert!(scores[0]["answers"][0]["log_prob"].as_f64().unwrap() < 0.0, "{scores:?}");
    // Their folder holds two, and a list tells them apart.
    place.run(&["models", "info", "."]).refused(&["several GGUF files"]);
    let all = place.run(&["models", "list", ".", "--json"]).json();
    let named: Vec<&str> = all.as_array().unwrap().iter().map(|model| model["folder"].as_str().unwrap()).collect();
    assert!(named.iter().any(|name| name.ends_with("llama-q8.gguf")), "{named:?}");
}

#[test]
fn a_broken_gguf_file_is_named_with_what_is_wrong() {
    let place = Place::small();
    let name = gguf(&place, "qwen3.gguf");
    let whole = fs::read(place.path(&name)).unwrap();
    let check = |bytes: &[u8], parts: &[&str]| {
        place.write(&name, bytes);
        let mut all = vec!["qwen3.gguf"];
        all.extend(parts);
        place.run(&["models", "verify", &name]).refused(&all);
    };
    check(&whole[..whole.len() - 100], &["beyond the end of the file"]);
    check(&whole[..200], &["ends within its head"]);
    check(b"GGML....", &["does not begin with `GGUF`"]);
    let mut version = whole.clone();
    version[4] = 9;
    check(&version, &["of version 9"]);
    let mut many = whole.clone();
    many[8..16].copy_from_slice(&u64::MAX.to_le_bytes());
    check(&many, &["it claims 18446744073709551615 tensors"]);
    let mut text = whole.clone();
    text[24..32].copy_from_slice(&(1u64 << 62).to_le_bytes());
    check(&text, &["claims 4611686018427387904 bytes"]);
    // A number that is none, in the middle of the weights.
    let mut nan = whole.clone();
    let at = nan.len() - 40;
    nan[at..at + 4].copy_from_slice(&f32::NAN.to_le_bytes());
    check(&nan, &["NaN"]);
    place.write(&name, &whole);
    fs::remove_file(place.path("tokenizer.json")).unwrap();
    place.run(&["generate", "--llm", &name, "--prompt", "oil"]).refused(&["tokenizer.json", "beside it"]);
}

#[test]
fn what_a_family_does_not_have_and_families_that_are_not_known_are_named() {
    let place = Place::small();
    let config = |text: &str| {
        place.write("strange/config.json", text);
        place.write("strange/model.safetensors", fs::read(place.path("llm/model.safetensors")).unwrap());
        place.write("strange/tokenizer.json", fs::read(place.path("llm/tokenizer.json")).unwrap());
        place.run(&["generate", "--llm", "strange", "--prompt", "oil"])
    };
    config(r#"{"model_type": "mamba"}"#).refused(&["`mamba` is not supported", "qwen2", "gpt_neox"]);
    let llama: Value = serde_json::from_slice(&fs::read(place.path("llm/config.json")).unwrap()).unwrap();
    let mut quantised = llama.clone();
    quantised["quantization_config"] = serde_json::json!({"quant_method": "gptq"});
    config(&quantised.to_string()).refused(&["quantised (gptq)", "GGUF"]);
    let mut stretched = llama.clone();
    stretched["rope_scaling"] = serde_json::json!({"rope_type": "dynamic", "factor": 2.0});
    config(&stretched.to_string()).refused(&["`dynamic` is not known", "yarn"]);
    // Weights that this family has no place for are never left out.
    let mut other = llama;
    other["model_type"] = "gpt2".into();
    for (name, value) in [("n_embd", 8), ("n_head", 2), ("n_layer", 1), ("n_positions", 64)] {
        other[name] = value.into();
    }
    config(&other.to_string()).refused(&["has no place in a `gpt2`"]);
}

#[test]
fn an_encoder_is_exported_for_other_programs_and_is_still_itself() {
    let place = Place::small();
    place.write("texts.txt", "oil price\nthe green tea leaf\n");
    let vectors = |encoder: &str| {
        let arguments = ["encode", "--encoder", encoder, "--texts", "texts.txt", "--kind", "passage", "--form", "s+"];
        place.run(&arguments).lines()
    };
    let export = ["models", "export", "--encoder", "encoder", "--out"];
    let shown = place.run(&[&export[..], &["sparse", "--json"]].concat()).json();
    assert_eq!(shown["kind"], "encoder");
    let modules: Value = serde_json::from_slice(&fs::read(place.path("sparse/modules.json")).unwrap()).unwrap();
    assert_eq!(modules[1]["type"], "ragtune_sidr.SidrPooling");
    let settings = fs::read(place.path("sparse/1_SidrPooling/config.json")).unwrap();
    let settings: Value = serde_json::from_slice(&settings).unwrap();
    assert!(settings["kept"] == 768 && settings["words"] == "embeddings.word_embeddings.weight", "{settings}");
    assert!(fs::read_to_string(place.path("sparse/ragtune_sidr.py")).unwrap().contains("class SidrPooling"));
    assert_eq!(vectors("sparse"), vectors("encoder"));
    place.run(&[&export[..], &["plain", "--format", "hugging-face"]].concat());
    assert!(!place.path("plain/modules.json").exists() && place.path("plain/tokenizer_config.json").is_file());
    assert_eq!(vectors("plain"), vectors("encoder"));
    place.run(&[&export[..], &["plain"]].concat()).refused(&["a model lies here already"]);
}

/// The tensors of a safetensors file: name, type, shape, bytes.
fn tensors(path: &Path) -> Vec<(String, Value, Value, Vec<u8>)> {
    let bytes = fs::read(path).unwrap();
    let length = u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
    let header: serde_json::Map<String, Value> = serde_json::from_slice(&bytes[8..8 + length]).unwrap();
    let data = &bytes[8 + length..];
    let tensor = |(name, tensor): (String, Value)| {
        let at = |i: usize| tensor["data_offsets"][i].as_u64().unwrap() as usize;
        (name, tensor["dtype"].clone(), tensor["shape"].clone(), data[at(0)..at(1)].to_vec())
    };
    let mut all: Vec<_> = header.into_iter().filter(|(name, _)| name != "__metadata__").map(tensor).collect();
    all.sort_by(|a, b| a.0.cmp(&b.0));
    all
}

#[test]
fn pickled_weights_are_read_and_become_safetensors() {
    let place = Place::small();
    for (name, family) in [("bert", "encoders"), ("qwen3", "decoders")] {
        let from = reference(&format!("pickled/{name}"));
        let out = format!("{name}-written");
        let shown = place.run(&["models", "import", from.to_str().unwrap(), "--out", &out, "--json"]).json();
        assert_eq!(shown["kind"], if name == "bert" { "encoder" } else { "llm" }, "{shown}");
        let written = tensors(&place.path(&out).join("model.safetensors"));
        let original = tensors(&reference(&format!("{family}/{name}/model.safetensors")));
        for tensor in &original {
            let found = written.iter().find(|found| found.0 == tensor.0).unwrap_or_else(|| panic!("{}", tensor.0));
            // Those that were rounded to 16 bits on purpose stay so.
            assert!(found == tensor || found.1 == "F16" && found.2 == tensor.2, "{}", tensor.0);
        }
        assert!(written.iter().all(|tensor| !tensor.0.ends_with("position_ids")));
        place.run(&["models", "import", from.to_str().unwrap(), "--out", &out]).refused(&["a model lies here already"]);
    }
    // They compute as they lie, too.
    fs::copy(place.path("llm/tokenizer.json"), place.path("qwen3-written/tokenizer.json")).unwrap();
    for file in [
        "config.json",
        "pytorch_model.bin.index.json",
        "pytorch_model-00001-of-00002.bin",
        "pytorch_model-00002-of-00002.bin",
    ] {
        place.write(&format!("pickled/{file}"), fs::read(reference("pickled/qwen3").join(file)).unwrap());
    }
    fs::copy(place.path("llm/tokenizer.json"), place.path("pickled/tokenizer.json")).unwrap();
    let verified = |folder: &str| place.run(&["models", "verify", folder, "--json"]).json();
    assert_eq!(verified("pickled")["fingerprint"], verified("qwen3-written")["fingerprint"]);
    let short = fs::read(place.path("pickled/pytorch_model-00001-of-00002.bin")).unwrap();
    place.write("pickled/pytorch_model-00001-of-00002.bin", &short[..short.len() / 2]);
    place.run(&["models", "verify", "pickled"]).refused(&["pytorch_model-00001-of-00002.bin", "Download it again"]);
}

#[test]
fn a_gguf_file_is_imported_and_gives_the_same_scores() {
    let place = Place::small();
    let file = gguf(&place, "llama-q8.gguf");
    place.write("items.jsonl", r#"{"id": "a", "prompt": "oil price", "answers": ["rose", "tea"]}"#);
    let score = |llm: &str| {
        let scores = place.run(&["score", "--llm", llm, "--items", "items.jsonl"]).lines();
        scores[0]["answers"][0]["log_prob"].as_f64().unwrap()
    };
    let import = ["models", "import", &file, "--json", "--out"];
    let shown = place.run(&[&import[..], &["whole"]].concat()).json();
    assert_eq!(
        (&shown["architecture"], &shown["memory_bytes"]),
        (&"llama".into(), &shown["gpu_memory_bytes"]),
        "{shown}"
    );
    assert!((score("whole") - score(&file)).abs() < 1e-5);
    place.run(&[&import[..], &["half", "--dtype", "bf16"]].concat());
    let (half, whole) =
        (fs::metadata(place.path("half/model.safetensors")), fs::metadata(place.path("whole/model.safetensors")));
    assert!(half.unwrap().len() < whole.unwrap().len() * 3 / 4);
    assert!((score("half") - score(&file)).abs() < 0.1);
    place.run(&["models", "import", "llm/tokenizer.json", "--out", "none"]).refused(&["tokenizer.json"]);
}

#[test]
fn a_model_of_the_hub_that_is_not_here_is_named_with_the_command_that_brings_it() {
    let place = Place::small();
    let offline = |arguments: &[&str]| {
        let mut command = place.command(arguments);
        command.env("HF_HOME", place.path("hub")).env("HF_HUB_OFFLINE", "1");
        let output = command.output().unwrap();
        (output.status.code(), String::from_utf8(output.stderr).unwrap())
    };
    let (code, said) = offline(&["models", "pull", "owner/model"]);
    assert!(code == Some(2) && said.contains("hf:owner/model") && said.contains("network"), "{said}");
    let (code, said) = offline(&["models", "info", "hf:owner/model"]);
    assert!(code == Some(2) && said.contains("ragtune models pull owner/model"), "{said}");
    let (code, said) = offline(&["models", "pull", "not/a/model"]);
    assert!(code == Some(2) && said.contains("OWNER/NAME"), "{said}");
    // One that Python's tools have left is used as it lies.
    let snapshot = "hub/hub/models--owner--model/snapshots/0123456789abcdef0123456789abcdef01234567";
    for file in ["config.json", "tokenizer.json", "model.safetensors"] {
        place.write(&format!("{snapshot}/{file}"), fs::read(place.path(&format!("encoder/{file}"))).unwrap());
    }
    place.write("hub/hub/models--owner--model/refs/main", "0123456789abcdef0123456789abcdef01234567");
    place.write("texts.txt", "oil price\n");
    let (code, said) = offline(&["encode", "--encoder", "hf:owner/model", "--texts", "texts.txt"]);
    assert_eq!(code, Some(0), "{said}");
    let (code, said) = offline(&["models", "pull", "owner/model"]);
    assert_eq!(code, Some(0), "{said}");
}

#[test]
fn what_fewer_bits_do_to_scores_is_measured() {
    let place = Place::small();
    place.run(&["sample", "models", "--out", "sample"]);
    for (model, kind) in [("sample/encoder", "encoder"), ("sample/reader", "llm")] {
        let check = ["models", "check", model, "--questions", "4", "--against", model, "--json"];
        let report = place.run(&check).json();
        assert_eq!((&report["kind"], &report["questions"]), (&kind.into(), &4.into()));
        let rows = report["rows"].as_array().unwrap();
        let names: Vec<&str> = rows.iter().map(|row| row["precision"].as_str().unwrap()).collect();
        assert_eq!(names, ["F32", "F16", "BF16", "Q8_0", "Q4_0", model]);
        let of = |at: usize, what: &str| rows[at][what].as_f64().unwrap();
        // The same file has the same scores; the shipped weights are halves already; the fewer bits, the farther off.
        assert_eq!((of(5, "largest_difference"), of(1, "largest_difference")), (0.0, 0.0));
        assert!(of(3, "mean_difference") > 0.0 && of(4, "mean_difference") > of(3, "mean_difference"), "{report}");
        assert!(of(0, "bytes") > of(1, "bytes") && of(1, "bytes") > of(3, "bytes") && of(3, "bytes") > of(4, "bytes"));
        assert_eq!(of(0, "order_kept"), 1.0);
    }
    place.run(&["models", "check", "sample/reader", "--questions", "0"]).refused(&["--questions must be at least 1"]);
}

#[test]
fn an_instruct_model_is_addressed_by_its_chat_template() {
    let place = Place::small();
    let ask = ["generate", "--llm", "llm", "--prompt", "oil price", "--max-new-tokens", "3", "--chat"];
    place.run(&ask).refused(&["chat template", "chat_template.jinja"]);
    place.write(
        "items.jsonl",
        r#"{"id": "a", "question": "oil price", "passage": {"title": "", "text": "tea"}, "answers": ["rose"]}"#,
    );
    let score = |template: &str| {
        let scored = place.run(&["score", "--llm", "llm", "--items", "items.jsonl", "--template", template]).lines();
        scored[0]["score"].as_f64().unwrap()
    };
    place.write("llm/chat_template.jinja", "{{ messages[0].content }}");
    place.run(&ask);
    assert_eq!(place.run(&["models", "info", "llm", "--json"]).json()["chat"], true);
    // With a template that adds nothing only the tokenizer's own first token is missing.
    place.write("plain.toml", "answer_prefix = \"\"\n");
    let (chat, plain) = (score("chat"), score("plain.toml"));
    assert!(chat < 0.0 && chat != plain, "{chat} {plain}");
    place.write("llm/chat_template.jinja", "[CLS]{{ messages[0].content }}");
    assert!((score("chat") - plain).abs() < 1e-4, "{} {plain}", score("chat"));
    place.write("system.toml", "chat = true\nsystem = \"tea\"\n");
    place.write("llm/chat_template.jinja", "{% if messages|length > 1 %}{{ raise_exception('no system') }}{% endif %}");
    let refused = place.run(&["score", "--llm", "llm", "--items", "items.jsonl", "--template", "system.toml"]);
    refused.refused(&["chat_template.jinja", "no system"]);
    place.write("system.toml", "system = \"tea\"\n");
    let refused = place.run(&["score", "--llm", "llm", "--items", "items.jsonl", "--template", "system.toml"]);
    refused.refused(&["system.toml", "chat = true"]);
}
