//! `cargo xtask fuzz`: damaged models.
//!
//! Files of small models are changed at random, and whatever reads them must either read them or say what is wrong: a panic,
//! a computation without end or memory without bound is a bug. A case is its kind and its number, so `--kind K --first N
//! --cases 1` repeats one.

mod damage;

use std::fs;
use std::io::{Seek as _, Write as _};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use burn::tensor::Device;
use ragtune_engine::directory::{Folder, unpickled};
use ragtune_model::{Bert, ChatTemplate, Decoder, Encoder, gguf_summary, gguf_tokenizer};
use ragtune_text::Tokenizer;
use ragtune_text::storage::{Directory, MemoryDirectory};
use rand::{RngExt, SeedableRng};
use rand_pcg::Pcg64Mcg;

/// A case may take so long, and so much memory beyond what all kinds need.
const LONGEST: Duration = Duration::from_secs(20);
const MOST_BYTES: u64 = 4 << 30;
/// The case that is being run, for whoever finds the process dead.
const CURRENT: &str = "ragtune-fuzz-current";

/// Small files under their names.
type Files = Vec<(String, Vec<u8>)>;

/// One way in.
struct Kind {
    name: &'static str,
    /// Models to begin with.
    seeds: Vec<Files>,
    /// Reads one; an error in words is as good as a model.
    read: fn(&MemoryDirectory) -> Result<()>,
}

pub(crate) fn run(args: &[String]) -> Result<()> {
    let (mut minutes, mut only, mut first, mut cases) = (10.0f64, None, 0u64, u64::MAX);
    let mut args = args.iter();
    while let Some(arg) = args.next() {
        let value = args.next().with_context(|| format!("{arg} needs a value"))?;
        match arg.as_str() {
            "--minutes" => minutes = value.parse()?,
            "--kind" => only = Some(value.clone()),
            "--first" => first = value.parse()?,
            "--cases" => cases = value.parse()?,
            other => bail!("unknown argument {other}; there are --minutes M, --kind K, --first N and --cases N"),
        }
    }
    let mut kinds = kinds()?;
    let names: Vec<&str> = kinds.iter().map(|kind| kind.name).collect();
    if let Some(only) = &only
        && !names.contains(&only.as_str())
    {
        bail!("unknown kind {only}; there are {}", names.join(", "));
    }
    kinds.retain(|kind| only.as_ref().is_none_or(|only| kind.name == only));
    let said = Arc::new(Mutex::new(String::new()));
    let heard = said.clone();
    std::panic::set_hook(Box::new(move |panic| {
        if let Ok(mut heard) = heard.lock() {
            *heard = panic.to_string();
        }
    }));
    let current = std::env::temp_dir().join(CURRENT);
    let mut note = fs::File::create(&current)?;
    let begin = Instant::now();
    let mut counts = vec![(0u64, 0u64); kinds.len()];
    let mut faults: Vec<String> = Vec::new();
    let mut case = first;
    'all: while case - first < cases && begin.elapsed().as_secs_f64() < minutes * 60.0 {
        for (kind, (done, refused)) in kinds.iter().zip(&mut counts) {
            let files = damaged(kind, case);
            note.set_len(0)?;
            note.rewind()?;
            writeln!(note, "{} {case}", kind.name)?;
            let start = Instant::now();
            let memory = MemoryDirectory::default();
            for (name, bytes) in &files {
                memory.write(name, bytes)?;
            }
            let end = catch_unwind(AssertUnwindSafe(|| (kind.read)(&memory)));
            *done += 1;
            let fault = match end {
                Ok(Ok(())) => None,
                Ok(Err(_)) => {
                    *refused += 1;
                    None
                }
                Err(_) => Some(said.lock().map(|said| said.clone()).unwrap_or_default()),
            };
            let slow = (start.elapsed() > LONGEST).then(|| format!("took {:?}", start.elapsed()));
            let large = (done.is_multiple_of(16) && peak() > MOST_BYTES)
                .then(|| format!("or one of the 15 before it took {} MB", peak() >> 20));
            if let Some(fault) = fault.or(slow).or(large) {
                let line = format!("{} {case}: {}", kind.name, fault.replace('\n', " "));
                crate::println(&line);
                faults.push(line);
                if faults.len() >= 20 || peak() > MOST_BYTES {
                    break 'all;
                }
            }
        }
        case += 1;
    }
    for (kind, (done, refused)) in kinds.iter().zip(&counts) {
        crate::println(&format!("{:<12} {done:>8} cases, {refused:>8} refused in words", kind.name));
    }
    crate::println(&format!("{:.1} minutes, {} MB at most", begin.elapsed().as_secs_f64() / 60.0, peak() >> 20));
    fs::remove_file(&current).ok();
    if faults.is_empty() { Ok(()) } else { bail!("{} faults, the first: {}", faults.len(), faults[0]) }
}

/// The most memory that this process ever had, where the system tells.
fn peak() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    line.and_then(|line| line.trim().split(' ').next()?.parse::<u64>().ok()).unwrap_or(0) << 10
}

/// A case's files: one of the seeds with one to four of its places changed.
fn damaged(kind: &Kind, case: u64) -> Files {
    let mut rng = Pcg64Mcg::seed_from_u64(case ^ u64::from(crc32fast::hash(kind.name.as_bytes())) << 32);
    let mut files = kind.seeds[rng.random_range(0..kind.seeds.len())].clone();
    for _ in 0..rng.random_range(1..=4) {
        let at = rng.random_range(0..files.len());
        let other = kind.seeds[rng.random_range(0..kind.seeds.len())].clone();
        let (name, bytes) = &mut files[at];
        let spare = other.iter().find(|(known, _)| known == name).map_or(&[][..], |(_, bytes)| bytes);
        damage::damage(name, bytes, spare, &mut rng);
    }
    files
}

fn kinds() -> Result<Vec<Kind>> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let references = root.join("tests/references");
    let sample = root.join("crates/ragtune-sample/models");
    let folder = |path: PathBuf, names: &[&str]| -> Result<Files> {
        let read = |name: &&str| -> Result<(String, Vec<u8>)> {
            let file = path.join(name);
            Ok(((*name).to_owned(), fs::read(&file).with_context(|| file.display().to_string())?))
        };
        names.iter().map(read).collect()
    };
    let models = |set: &str| -> Result<Vec<Files>> {
        let mut all = Vec::new();
        for entry in fs::read_dir(references.join(set))? {
            let path = entry?.path();
            if path.join("model.safetensors").is_file() {
                all.push(folder(path, &["config.json", "model.safetensors"])?);
            }
        }
        Ok(all)
    };
    let gguf = |vocabularies: bool| -> Result<Vec<Files>> {
        let mut all = Vec::new();
        for entry in fs::read_dir(references.join("gguf"))? {
            let path = entry?.path();
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            if name.ends_with(".gguf") && name.starts_with("vocabulary-") == vocabularies {
                all.push(vec![("model.gguf".to_owned(), fs::read(&path)?)]);
            }
        }
        Ok(all)
    };
    let tokenizer = fs::read(sample.join("tokenizer.json"))?;
    let mut encoder = folder(sample.join("encoder"), &["config.json", "ragtune.json", "model.safetensors"])?;
    encoder.push(("tokenizer.json".to_owned(), tokenizer.clone()));
    let sharded = folder(
        references.join("llama/sharded"),
        &[
            "config.json",
            "model.safetensors.index.json",
            "model-00001-of-00002.safetensors",
            "model-00002-of-00002.safetensors",
        ],
    )?;
    let pickled = references.join("pickled");
    let pickled_encoder = folder(pickled.join("bert"), &["config.json", "pytorch_model.bin"])?;
    let pickled_decoder = folder(
        pickled.join("qwen3"),
        &[
            "config.json",
            "pytorch_model.bin.index.json",
            "pytorch_model-00001-of-00002.bin",
            "pytorch_model-00002-of-00002.bin",
        ],
    )?;
    let chat: serde_json::Value = serde_json::from_slice(&fs::read(references.join("chat/reference.json"))?)?;
    let templates = chat["cases"].as_object().context("cases")?.values();
    let templates = templates.filter_map(|case| case["template"].as_str());
    let mut decoders = models("decoders")?;
    decoders.push(sharded);
    Ok(vec![
        Kind { name: "encoder", seeds: vec![encoder], read: read_encoder },
        Kind { name: "body", seeds: models("encoders")?, read: |dir| read_body(dir) },
        Kind { name: "decoder", seeds: decoders, read: read_decoder },
        Kind { name: "pickled", seeds: vec![pickled_encoder, pickled_decoder], read: read_pickled },
        Kind { name: "gguf", seeds: gguf(false)?, read: read_gguf },
        Kind { name: "vocabulary", seeds: gguf(true)?, read: read_vocabulary },
        Kind { name: "tokenizer", seeds: vec![vec![("tokenizer.json".to_owned(), tokenizer)]], read: read_tokenizer },
        Kind {
            name: "chat",
            seeds: templates.map(|text| vec![("chat_template.jinja".to_owned(), text.as_bytes().to_vec())]).collect(),
            read: read_chat,
        },
    ])
}

const TEXTS: [&str; 3] = ["", "Who built the bridge, in 1912?", "Мост 橋 🙂\u{0}\u{feff}\n\n   <s>[MASK]"];

fn read_encoder(dir: &MemoryDirectory) -> Result<()> {
    let encoder = Encoder::load(dir, &Device::flex(), None)?;
    let ids: Vec<Vec<u32>> = TEXTS.iter().map(|text| encoder.question_ids(text)).collect::<Result<_, _>>()?;
    let texts: Vec<&[u32]> = ids.iter().map(Vec::as_slice).filter(|ids| !ids.is_empty()).collect();
    encoder.encode(ragtune_model::Kind::Question, &texts);
    Ok(())
}

fn read_body(dir: &dyn Directory) -> Result<()> {
    let bert = Bert::from_dir(dir)?;
    let weights = bert.read_weights(dir, &Device::flex(), &[])?;
    bert.forward(&weights, &[&[1, 2, 3], &[4]]);
    Ok(())
}

fn read_decoder(dir: &MemoryDirectory) -> Result<()> {
    compute(dir, false)
}

fn compute(dir: &dyn Directory, packed: bool) -> Result<()> {
    let decoder = Decoder::from_dir(dir)?;
    let read = if packed { Decoder::read_packed } else { Decoder::read_weights };
    let weights = read(&decoder, dir, &Device::flex())?;
    let states = decoder.forward(&weights, &[&[1, 2, 3], &[4]], None);
    let [batch, length, width] = states.dims();
    decoder.logits(&weights, states.reshape([batch * length, width]));
    Ok(())
}

fn read_gguf(dir: &MemoryDirectory) -> Result<()> {
    gguf_summary(dir)?;
    compute(dir, false)?;
    compute(dir, true)
}

/// PyTorch's files are read by their path.
fn read_pickled(dir: &MemoryDirectory) -> Result<()> {
    let folder = std::env::temp_dir().join(format!("{CURRENT}-{}", std::process::id()));
    fs::create_dir_all(&folder)?;
    for name in dir.list("")? {
        fs::write(folder.join(&name), &*dir.read(&name)?)?;
    }
    let read = unpickled(Folder::open(&folder)?).map_err(Into::into).and_then(|dir| {
        if dir.exists("pytorch_model.bin.index.json") { compute(&*dir, false) } else { read_body(&*dir) }
    });
    fs::remove_dir_all(&folder)?;
    read
}

fn read_vocabulary(dir: &MemoryDirectory) -> Result<()> {
    if let Some(tokenizer) = gguf_tokenizer(dir)? {
        tokenise(&tokenizer)?;
    }
    Ok(())
}

fn read_tokenizer(dir: &MemoryDirectory) -> Result<()> {
    tokenise(&Tokenizer::from_bytes(&dir.read("tokenizer.json")?, "tokenizer.json")?)
}

fn tokenise(tokenizer: &Tokenizer) -> Result<()> {
    for text in TEXTS {
        let ids = tokenizer.with_prefix(text)?;
        tokenizer.decode(&ids)?;
        tokenizer.question(text, 8)?;
        tokenizer.spans(text)?;
    }
    Ok(())
}

fn read_chat(dir: &MemoryDirectory) -> Result<()> {
    let source = String::from_utf8_lossy(&dir.read("chat_template.jinja")?).into_owned();
    let template = ChatTemplate::new("chat_template.jinja".to_owned(), &source, "<s>".to_owned(), "</s>".to_owned());
    template.render("Be brief.", TEXTS[1])?;
    Ok(())
}
