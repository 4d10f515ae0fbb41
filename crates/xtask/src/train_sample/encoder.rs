//! The initial encoder: a BERT of about one million parameters with the SiDR head, trained from scratch with gold
//! supervision, so that it ranks passages by what they are about and knows nothing of what the reader can use.

use std::time::Instant;

use anyhow::Result;
use burn::tensor::Device;
use ragtune_index::{BuildConfig, Index, IndexBuilder};
use ragtune_model::{BertConfig, Encoder, write_weights_f16};
use ragtune_rag::PromptTemplate;
use ragtune_sample::{Population, World, WorldConfig};
use ragtune_text::storage::{Directory, MemoryDirectory};
use ragtune_text::{LexicalVocab, Tokenizer};
use ragtune_tune::{Advance, BEST, OptimSettings, Record, Stage, Supervision, TuneInput, TuneSettings, Tuner};
use rand::SeedableRng;
use rand_pcg::Pcg64Mcg;

use super::{Options, SEED};

const STEPS: usize = 800;
const PASSAGES: u64 = 4000;
const QUESTIONS: u64 = 3000;

pub(crate) fn config(vocab_size: usize) -> BertConfig {
    BertConfig {
        model_type: "bert".to_owned(),
        vocab_size,
        hidden_size: 128,
        num_hidden_layers: 4,
        num_attention_heads: 4,
        intermediate_size: 512,
        max_position_embeddings: 256,
        type_vocab_size: 2,
        layer_norm_eps: 1e-12,
        hidden_act: "gelu".to_owned(),
        ..BertConfig::default()
    }
}

pub(crate) fn run(options: &Options) -> Result<()> {
    let path = options.out.join("tokenizer.json");
    let tokenizer = Tokenizer::from_bytes(&std::fs::read(&path)?, &path.display().to_string())?;
    let world = World::new(WorldConfig {
        seed: SEED + 1000,
        passages: PASSAGES,
        questions: QUESTIONS,
        population: Population::Models,
    })?;
    let memory = MemoryDirectory::default();
    let vocab = LexicalVocab::from_tokenizer(&tokenizer);
    let config_of_index = BuildConfig::new(vocab.ids().to_vec(), tokenizer.fingerprint(), vocab.fingerprint());
    let mut builder = IndexBuilder::new(&memory, config_of_index)?;
    for passage in world.passages() {
        let ids = tokenizer.passage(&passage.title, &passage.text, 256)?;
        builder.add(&passage, &vocab.bag(&ids))?;
    }
    builder.finish()?;
    let index = Index::open(&memory)?;
    let questions: Vec<_> = world.questions().collect();

    let mut rng = Pcg64Mcg::seed_from_u64(SEED + 2);
    let encoder = Encoder::init(config(tokenizer.vocab_size()), tokenizer, &Device::flex(), &mut rng)?;
    eprintln!("encoder: {} parameters, {} dimensions", encoder.question.weights.parameters(), encoder.vocab.len());
    let settings = TuneSettings {
        supervision: Supervision::Gold,
        stages: vec![Stage::Offline],
        seed: SEED,
        k: 30,
        m: 30,
        offline_epochs: 1000,
        max_steps: options.steps.unwrap_or(STEPS),
        warmup_epochs: 1.0,
        batch: 32,
        optim: OptimSettings { lr: 5e-4, weight_decay: 0.01, ..Default::default() },
        evaluate_steps: 100,
        checkpoint_steps: 1_000_000,
        ..Default::default()
    };
    let run = MemoryDirectory::default();
    let template = PromptTemplate::default();
    let input = TuneInput {
        index: &index,
        questions: &questions,
        lm: None,
        lm_fingerprint: String::new(),
        template: &template,
        dir: &run,
        cache_dir: &run,
        settings,
    };
    let mut tuner = Tuner::open(input, encoder)?;
    let started = Instant::now();
    loop {
        match tuner.advance(&mut || true)? {
            Advance::Recorded(Record::Step(r)) if r.step % 20 == 0 => eprintln!(
                "step {}/{}: loss {:.3} in-batch accuracy {:.2} spread {:.1}, {:.2} s/step",
                r.step,
                r.stage_steps,
                r.loss,
                r.batch_accuracy,
                r.score_spread,
                started.elapsed().as_secs_f32() / r.step as f32
            ),
            Advance::Recorded(Record::Dev { step, accuracy, best, .. }) => {
                eprintln!("step {step}: dev hit@1 {accuracy:.3}{}", if best { " (best)" } else { "" });
            }
            Advance::Recorded(Record::Pools { report }) => eprintln!("{report:?}"),
            Advance::Done => break,
            _ => {}
        }
        for warning in std::mem::take(&mut tuner.warnings) {
            eprintln!("warning: {warning}");
        }
    }
    let best = ragtune_text::storage::SubDirectory::new(&run, BEST);
    let encoder = Encoder::load(&best, &Device::flex(), None)?;
    let folder = options.out.join("encoder");
    std::fs::create_dir_all(&folder)?;
    for name in ["config.json", "ragtune.json"] {
        std::fs::write(folder.join(name), &best.read(name)?[..])?;
    }
    std::fs::write(folder.join("model.safetensors"), write_weights_f16(&encoder.question.weights)?)?;
    Ok(())
}
