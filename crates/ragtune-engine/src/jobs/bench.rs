//! How fast a device is at ragtune's work, beside the ceiling that is measured on it and beside the figures of others.

use std::path::Path;

use burn::tensor::{Device, Tensor};
use ragtune_kernels::{
    elu1p, from_vec, is_cpu, to_vec, vocab_max, vocab_max_backward, vocab_max_backward_by_text, vocab_max_in_tiles,
    vocab_max_rows, vocab_max_rows_back,
};
use ragtune_model::{CausalLm, Continuation, Encoder, Keep, Kind};
use ragtune_tune::{Batch, OptimSettings, Temperatures, Trainer, TuneSettings};
use rand_pcg::Pcg64Mcg;
use rand_pcg::rand_core::{Rng as _, SeedableRng};
use serde_json::Value;

use super::ceiling::{self, Ceiling};
use crate::command::{Bench, EncoderSource};
use crate::event::{BenchReport, BenchRow, Report};
use crate::models::{open_encoder, open_lm};
use crate::session::JobContext;
use crate::{EngineError, Result, device, fs, host};

/// Texts that a model reads at once.
const TEXTS: usize = 8;
/// Texts of the head alone.
const HEAD_TEXTS: usize = 32;
const GIB: f64 = (1u64 << 30) as f64;
/// Floats of a tile of the head's product.
const TILE: usize = 1 << 22;
/// Tokens that a language model writes.
const WRITTEN: usize = 32;
/// Largest tensor that the naive head may make away from the CPU: WebGPU's smallest binding.
const BINDING: usize = 128 << 20;
/// Figures that are measured.
const FIGURES: u64 = 11;

/// `bench`
pub(super) fn bench(bench: &Bench, context: &mut JobContext<'_>) -> Result<()> {
    if bench.rounds == 0 {
        return Err(EngineError::input("--rounds 0: at least one is needed"));
    }
    if bench.questions == 0 || bench.tokens < 2 {
        return Err(EngineError::input("--questions and --tokens: one question and two tokens are needed at least"));
    }
    let peers = bench.peers.as_deref().map(read_peers).transpose()?;
    let chosen = context.shelf().device(&bench.device)?;
    let device = chosen.device;
    let encoder = match &bench.encoder {
        Some(folder) => {
            let source = EncoderSource { folder: folder.clone(), head: None };
            open_encoder(&source, &device)?
        }
        None => Encoder::load(&sample(ragtune_sample::models::encoder())?, &device, None)?,
    };
    let lm = match &bench.llm {
        Some(folder) => open_lm(folder, &device)?,
        None => CausalLm::load(&sample(ragtune_sample::models::reader())?, &device)?,
    };
    context.begin("measuring", "figures", Some(FIGURES));
    let mut measured = Measured {
        device: device.clone(),
        rounds: bench.rounds,
        questions: bench.questions,
        tokens: bench.tokens,
        ceiling: None,
        peers,
        rows: Vec::new(),
        context,
    };
    measured.ceilings()?;
    measured.encoder(encoder)?;
    measured.language_model(&lm)?;
    let (rows, ceiling) = (measured.rows, measured.ceiling);
    context.report(Report::Bench(BenchReport {
        device: chosen.name,
        threads: if is_cpu(&device) { Some(rayon::current_num_threads()) } else { None },
        gflops_ceiling: ceiling.map(|flops| flops / 1e9),
        rounds: bench.rounds,
        rows,
    }));
    Ok(())
}

fn sample<T>(read: std::io::Result<T>) -> Result<T> {
    read.map_err(|source| EngineError::io(Path::new("the shipped model"), source))
}

/// Figures of somebody else, as `tests/references/torch_bench.py` prints them.
fn read_peers(path: &Path) -> Result<Value> {
    let text = fs::read(path).map_err(|source| EngineError::io(path, source))?;
    serde_json::from_slice(&text).map_err(|error| {
        EngineError::input(format!(
            "{}, line {}: {error}; a JSON object is needed, as tests/references/torch_bench.py prints it",
            path.display(),
            error.line()
        ))
    })
}

/// Figures as they come.
struct Measured<'a, 'b> {
    device: Device,
    rounds: usize,
    questions: usize,
    tokens: usize,
    /// Operations a second of the matrix product.
    ceiling: Option<f64>,
    peers: Option<Value>,
    rows: Vec<BenchRow>,
    context: &'a mut JobContext<'b>,
}

impl Measured<'_, '_> {
    /// Median seconds of some rounds.
    fn seconds(&mut self, mut work: impl FnMut()) -> Result<f64> {
        ceiling::median(self.rounds, self.context, &mut work)
    }

    /// Notes a figure; `flops` are the operations a second that it stands for, `peer` a path in the peers' file.
    fn note(&mut self, figure: &str, value: f64, unit: &str, flops: Option<f64>, peer: &[&str]) {
        let of_peers = |peers: &Value| peer.iter().try_fold(peers, |json, key| json.get(key))?.as_f64();
        let peer = self.peers.as_ref().filter(|_| !peer.is_empty()).and_then(of_peers);
        let ceiling = flops.and_then(|flops| Some(flops / self.ceiling?));
        self.rows.push(BenchRow { figure: figure.to_owned(), value, unit: unit.to_owned(), ceiling, peer });
        self.context.advance(self.rows.len() as u64);
    }

    fn ceilings(&mut self) -> Result<()> {
        let Ceiling { flops, bytes } = ceiling::measure(&self.device, ceiling::SIDE, self.rounds, self.context)?;
        self.ceiling = Some(flops);
        self.note("matrix product of 1024 x 1024, the ceiling", flops / 1e9, "GFLOP/s", Some(flops), &[]);
        self.note("64 MiB read and written", bytes / 1e9, "GB/s", None, &[]);
        Ok(())
    }

    fn encoder(&mut self, encoder: Encoder) -> Result<()> {
        let config = encoder.question.bert.config.clone();
        let (width, dims) = (config.hidden_size, encoder.vocab.len());
        let mut rng = Pcg64Mcg::seed_from_u64(1);
        let vocabulary = config.vocab_size as u32;
        let (questions, tokens) = (self.questions, self.tokens.min(config.longest()));
        let mut text = || (0..tokens).map(|_| rng.next_u32() % vocabulary).collect::<Vec<u32>>();
        let texts: Vec<Vec<u32>> = (0..TEXTS).map(|_| text()).collect();
        // Multiply-adds of the matrices and of attention, for one token.
        let layer = 8 * width * width + 4 * width * config.intermediate_size + 4 * tokens * width;
        let (body, head) = ((layer * config.num_hidden_layers) as f64, (2 * width * dims) as f64);

        let refs: Vec<&[u32]> = texts.iter().map(Vec::as_slice).collect();
        let all = (TEXTS * tokens) as f64;
        let tower = encoder.tower_of(Kind::Passage).clone();
        let seconds = self.seconds(|| {
            let vectors = tower.pass(&refs, Keep::Nothing).vectors;
            drop(to_vec(vectors.slice([0..1, 0..1])));
        })?;
        let (rate, flops) = (all / seconds, all * (body + head) / seconds);
        self.note("encoder, reading", rate, "tokens/s", Some(flops), &["forward_sidr", "tokens_per_second"]);

        let batch = Batch {
            questions: (0..questions).map(|_| text()).collect(),
            passages: (0..2 * questions).map(|_| text()).collect(),
            masked: vec![false; 2 * questions * questions],
            rag_scores: vec![None; questions],
        };
        let mut settings = TuneSettings::default().step(Temperatures::all(1000.0));
        let mut trainer = Trainer::new(encoder, OptimSettings::default());
        let all = (3 * questions * tokens) as f64;
        // The way back is twice the way forth; the head's touches one position of each dimension.
        let back = (3 * questions * 4 * width * dims) as f64;
        let work = all * (3.0 * body + head) + back;
        let peer = ["train", "tokens_per_second"];
        let seconds = self.seconds(|| {
            trainer.step(&batch, &settings, 1e-7);
        })?;
        self.note("encoder, training step", all / seconds, "tokens/s", Some(work / seconds), &peer);
        let mut vectors = |n: usize| -> Tensor<2> {
            let numbers = (0..n * dims).map(|_| rng.next_u32() as f32 / u32::MAX as f32).collect();
            from_vec(numbers, [n, dims], &self.device)
        };
        let (of_questions, of_passages) = (vectors(questions), vectors(2 * questions));
        let seconds = self.seconds(|| {
            let out = trainer.loss(&batch, &settings, of_questions.clone(), of_passages.clone());
            drop(to_vec(out.d_passages.slice([0..1, 0..1])));
        })?;
        self.note("its loss alone, from vectors to their gradients", seconds * 1e3, "ms", None, &[]);
        if let Some(bytes) = self.held() {
            self.note("memory up to here, at most", bytes as f64 / GIB, "GiB", None, &[]);
        }
        if !is_cpu(&self.device) && device::halves(&self.device) == Some(true) {
            settings.half = true;
            let seconds = self.seconds(|| {
                trainer.step(&batch, &settings, 1e-7);
            })?;
            let name = "training step, products in 16 bits";
            self.note(name, all / seconds, "tokens/s", Some(work / seconds), &["train_half", "tokens_per_second"]);
        }
        drop(trainer);
        self.head(width, dims, tokens)
    }

    /// Bytes that the process has held at most, or an adapter's buffers.
    fn held(&self) -> Option<u64> {
        if is_cpu(&self.device) {
            return host::peak_bytes();
        }
        self.device.memory_pool_usage().map(|usage| usage.bytes_reserved)
    }

    /// The vocabulary head forth and back, beside the naive form that makes [batch, length, V].
    fn head(&mut self, width: usize, dims: usize, tokens: usize) -> Result<()> {
        let mut rng = Pcg64Mcg::seed_from_u64(2);
        let mut numbers =
            |n: usize| (0..n).map(|_| rng.next_u32() as f32 / u32::MAX as f32 - 0.5).collect::<Vec<f32>>();
        let flat = HEAD_TEXTS * tokens;
        let states: Tensor<2> = from_vec(numbers(flat * width), [flat, width], &self.device);
        let rows: Tensor<2> = from_vec(numbers(dims * width), [dims, width], &self.device);
        let lengths = vec![tokens; HEAD_TEXTS];
        let read = |tensor: Tensor<2>| drop(to_vec(tensor.slice([0..1, 0..1])));
        let product = (2 * flat * width * dims) as f64;
        let seconds = if is_cpu(&self.device) {
            let grad = vec![1.0f32; HEAD_TEXTS * dims];
            let (plain_states, plain_rows) = (to_vec(states.clone()), to_vec(rows.clone()));
            self.seconds(|| {
                let (_, argmax) = vocab_max_rows(&states, &lengths, &rows);
                drop(vocab_max_rows_back(&grad, &argmax, &plain_states, &lengths, &plain_rows, width));
            })?
        } else {
            let cube = states.clone().reshape([HEAD_TEXTS, tokens, width]);
            let grad = Tensor::<2>::ones([HEAD_TEXTS, dims], &self.device);
            self.seconds(|| {
                let argmax = vocab_max(cube.clone(), &lengths, rows.clone()).argmax;
                read(vocab_max_backward(grad.clone(), argmax, cube.clone(), rows.clone()).1);
            })?
        };
        self.note(
            "vocabulary head, forth and back",
            seconds * 1e3,
            "ms",
            Some(product / seconds),
            &["head_naive", "ms"],
        );
        if !is_cpu(&self.device) {
            let cube = states.clone().reshape([HEAD_TEXTS, tokens, width]);
            let grad = Tensor::<2>::ones([HEAD_TEXTS, dims], &self.device);
            let tiled = self.seconds(|| {
                let argmax = vocab_max_in_tiles(cube.clone(), &lengths, rows.clone()).argmax;
                read(vocab_max_backward_by_text(grad.clone(), argmax, cube.clone(), rows.clone()).1);
            })?;
            self.note("the same in tensor operations", tiled * 1e3, "ms", Some(product / tiled), &["head_naive", "ms"]);
        }
        // In tiles: the whole product would be the naive head's tensor.
        let tile = (TILE / flat).clamp(1, dims);
        let bare = self.seconds(|| {
            for start in (0..dims).step_by(tile) {
                let part = rows.clone().slice([start..(start + tile).min(dims), 0..width]);
                read(states.clone().matmul(part.transpose()));
            }
        })?;
        self.note("its matrix product alone", bare * 1e3, "ms", Some(product / bare), &[]);
        if !is_cpu(&self.device) && 4 * flat * dims > BINDING {
            return Ok(());
        }
        let naive = self.seconds(|| {
            let states = states.clone().reshape([HEAD_TEXTS, tokens, width]).autodiff().require_grad();
            let rows = rows.clone().autodiff().require_grad();
            let products = states.clone().matmul(rows.clone().transpose().unsqueeze::<3>());
            let mut gradients = elu1p(products).max_dim(1).sum().backward();
            rows.grad_remove(&mut gradients).into_iter().for_each(read);
        })?;
        self.note(
            "the head as [batch, length, V] tensors",
            naive * 1e3,
            "ms",
            Some(product / naive),
            &["head_naive", "ms"],
        );
        Ok(())
    }

    fn language_model(&mut self, lm: &CausalLm) -> Result<()> {
        let config = &lm.decoder.config;
        let (width, heads) = (config.hidden_size, config.num_attention_heads);
        let (per_head, keys) = (config.head_dim, config.num_key_value_heads * config.head_dim);
        let inner = if config.feed_forward.gated { 3 } else { 2 };
        let tokens = self.tokens.min(lm.context().saturating_sub(1)).max(2);
        let matrices = 2 * width * heads * per_head + 2 * width * keys + inner * width * config.intermediate_size;
        let layer = 2 * matrices + 2 * tokens * heads * per_head;
        let mut rng = Pcg64Mcg::seed_from_u64(3);
        let vocabulary = config.vocab_size as u32;
        let mut text = || (0..tokens).map(|_| rng.next_u32() % vocabulary).collect::<Vec<u32>>();
        let texts: Vec<Continuation> = (0..TEXTS).map(|_| Continuation { ids: text(), start: tokens - 1 }).collect();
        let refs: Vec<&Continuation> = texts.iter().collect();
        let seconds = self.seconds(|| drop(lm.score(&refs)))?;
        let all = (TEXTS * (tokens - 1)) as f64;
        let flops = all * (layer * config.num_hidden_layers) as f64 / seconds;
        self.note(
            "language model, reading prompts",
            all / seconds,
            "tokens/s",
            Some(flops),
            &["llm", "tokens_per_second"],
        );
        // One text, a token at a time, until its end or the last of them.
        let prompt = text()[..tokens / 2].to_vec();
        let (mut written, mut failed) = (0, None);
        let seconds = self.seconds(|| {
            written = 0;
            let count = &mut |_: u32| {
                written += 1;
                true
            };
            failed = lm.generate(&prompt, WRITTEN, 0.0, &mut Pcg64Mcg::seed_from_u64(4), count).err();
        })?;
        match failed {
            Some(error) => Err(error.into()),
            // One that ends at once writes nothing that could be measured.
            None => {
                self.note("language model, writing", written.max(1) as f64 / seconds, "tokens/s", None, &[]);
                Ok(())
            }
        }
    }
}
