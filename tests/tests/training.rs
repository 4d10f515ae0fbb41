//! Gradients, loss and one training step against references made with PyTorch.

use burn::tensor::Device;
use ragtune_kernels::{BatchForms, from_vec, to_vec};
use ragtune_model::{Bert, Encoder, Keep, Kind, Weight};
use ragtune_tests::{assert_close, ids, numbers, reference_dir, reference_json};
use ragtune_tune::{AdamW, LossInput, LossOptions, OptimSettings, Temperatures, contrastive_loss};
use serde_json::{Value, json};

/// The reference's tiny BERT, as an encoder: its folder has no tokenizer, so one is made whose ids 0..20 are special.
fn tiny_encoder(reference: &Value) -> Encoder {
    use ragtune_text::storage::{Directory, MemoryDirectory};
    let dir = MemoryDirectory::default();
    let source = reference_dir("bert/model");
    for name in ["config.json", "model.safetensors"] {
        dir.write(name, &source.read(name).expect(name)).expect("memory");
    }
    let start = reference["lexical_start"].as_u64().expect("lexical_start") as u32;
    let bert = Bert::from_dir(&source).expect("config");
    let vocab: serde_json::Map<String, Value> =
        (0..bert.config.vocab_size).map(|id| (format!("t{id}"), json!(id))).collect();
    let added: Vec<Value> = (0..start)
        .map(|id| {
            json!({"id": id, "content": format!("t{id}"), "single_word": false, "lstrip": false, "rstrip": false,
                   "normalized": false, "special": true})
        })
        .collect();
    let tokenizer = json!({
        "version": "1.0", "truncation": null, "padding": null, "added_tokens": added, "normalizer": null,
        "pre_tokenizer": {"type": "WhitespaceSplit"}, "decoder": null,
        "post_processor": {"type": "TemplateProcessing",
            "single": [{"SpecialToken": {"id": "t1", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}},
                       {"SpecialToken": {"id": "t2", "type_id": 0}}],
            "pair": [{"SpecialToken": {"id": "t1", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}},
                     {"SpecialToken": {"id": "t2", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 0}},
                     {"SpecialToken": {"id": "t2", "type_id": 0}}],
            "special_tokens": {"t1": {"id": "t1", "ids": [1], "tokens": ["t1"]},
                               "t2": {"id": "t2", "ids": [2], "tokens": ["t2"]}}},
        "model": {"type": "WordLevel", "vocab": vocab, "unk_token": "t0"}
    });
    dir.write("tokenizer.json", &serde_json::to_vec(&tokenizer).expect("json")).expect("memory");
    let mut encoder = Encoder::load(&dir, &Device::flex(), None).expect("tiny encoder");
    for (name, value) in reference["head"].as_object().expect("head") {
        let values = numbers(value);
        let n = values.len();
        encoder.question.weights.insert(name.clone(), Weight::from_vec(values, &[n], &Device::flex()));
    }
    encoder
}

#[test]
fn vectors_gradients_and_adamw_steps_equal_pytorch() {
    let reference = reference_json("bert/reference.json");
    let mut encoder = tiny_encoder(&reference);
    let batch: Vec<Vec<u32>> = reference["batch"].as_array().expect("batch").iter().map(ids).collect();
    let texts: Vec<&[u32]> = batch.iter().map(Vec::as_slice).collect();
    let dims = encoder.vocab.len();
    assert_eq!(dims, 100);
    let w = numbers(&reference["w"]);
    let setting = |name: &str| reference["optimiser"][name].as_f64().expect(name) as f32;
    let mut optimiser = AdamW::new(OptimSettings {
        lr: setting("lr"),
        beta1: setting("beta1"),
        beta2: setting("beta2"),
        eps: setting("eps"),
        weight_decay: setting("weight_decay"),
        clip: setting("clip"),
    });
    for (i, step) in reference["steps"].as_array().expect("steps").iter().enumerate() {
        let scale = step["scale"].as_f64().expect("scale") as f32;
        let tower = encoder.tower_of(Kind::Passage);
        let pass = tower.pass(&texts, Keep::Everything);
        let vectors = to_vec(pass.vectors.clone());
        let grad: Vec<f32> = w.iter().map(|w| w * scale).collect();
        let loss: f64 = vectors.iter().zip(&grad).map(|(v, g)| f64::from(v * g)).sum();
        let want = step["loss"].as_f64().expect("loss");
        assert!((loss - want).abs() <= 1e-4 * (1.0 + want.abs()), "step {i}: loss {loss}, want {want}");
        let gradients = tower.gradients(pass, from_vec(grad, [texts.len(), dims], &Device::flex()));
        if i == 0 {
            assert_close("vectors", &vectors, &numbers(&reference["vectors"]), 1e-5);
            for (name, want) in reference["gradients"].as_object().expect("gradients") {
                let got = gradients.get(name).unwrap_or_else(|| panic!("no gradient for {name}")).values();
                assert_close(name, &got, &numbers(want), 2e-4);
            }
        }
        let norm = optimiser.step(&mut encoder.question.weights, &gradients, setting("lr"));
        let want = step["grad_norm"].as_f64().expect("grad_norm");
        assert!((norm - want).abs() <= 1e-4 * want, "step {i}: norm {norm}, want {want}");
        for (name, want) in step["values"].as_object().into_iter().flatten() {
            let got = encoder.question.weights.get(name).expect(name).values();
            assert_close(name, &got, &numbers(want), 5e-6);
        }
    }
}

fn loss_input(reference: &Value, case: &Value) -> LossInput {
    let device = Device::flex();
    let (n, dims) = (3, 12);
    let tensor = |value: &Value, rows: usize| from_vec(numbers(value), [rows, dims], &device);
    let lists = |value: &Value| -> Vec<Vec<u32>> {
        let row = |row: &[f32]| (0..dims as u32).filter(|d| row[*d as usize] != 0.0).collect();
        numbers(value).chunks_exact(dims).map(row).collect()
    };
    let forms = |kept: &Value, bags: &Value| BatchForms::of_lists(lists(kept), lists(bags), dims, &device);
    LossInput {
        questions: tensor(&reference["v_q"], n),
        passages: tensor(&reference["v_d"], 2 * n),
        question_forms: forms(&case["s_plus_q"], &reference["bot_q"]),
        passage_forms: forms(&case["s_plus_d"], &reference["bot_d"]),
        masked: vec![false; 2 * n * n],
        temperatures: Temperatures::all(case["temperature"].as_f64().expect("temperature") as f32),
    }
}

#[test]
fn the_loss_and_its_gradients_equal_pytorch() {
    let reference = reference_json("loss/reference.json");
    for case in reference["cases"].as_array().expect("cases") {
        let out = contrastive_loss(&loss_input(&reference, case), &LossOptions::default(), &[]);
        for (name, got) in [("l_para", out.terms.para), ("l_semi", out.terms.semi), ("loss", out.terms.total)] {
            assert_close(name, &[got], &[case[name].as_f64().expect(name) as f32], 1e-5);
        }
        assert_close("grad q", &to_vec(out.d_questions), &numbers(&case["grad_v_q"]), 1e-5);
        assert_close("grad d", &to_vec(out.d_passages), &numbers(&case["grad_v_d"]), 1e-5);
    }
}

#[test]
fn every_loss_term_agrees_with_finite_differences() {
    let reference = reference_json("loss/reference.json");
    let scores = [Some((-0.4, -2.0)), None, Some((-1.0, -0.2))];
    let options = |flops, margin_mse, kl| LossOptions { flops, margin_mse, kl };
    let cases = [options(0.0, 0.0, 0.0), options(0.3, 0.0, 0.0), options(0.0, 0.01, 0.0), options(0.0, 0.0, 0.5)];
    for options in cases {
        let mut input = loss_input(&reference, &reference["cases"][1]);
        let at = input.temperatures.vectors;
        input.temperatures = Temperatures { vectors: at, passage_bags: 0.7 * at, question_bags: 1.5 * at };
        // One passage is masked for one question: it must not pull.
        input.masked[4] = true;
        let out = contrastive_loss(&input, &options, &scores);
        let (dq, dd) = (to_vec(out.d_questions), to_vec(out.d_passages));
        let (vq, vd) = (to_vec(input.questions.clone()), to_vec(input.passages.clone()));
        let eps = 2e-2f32;
        let mut at = |q: Vec<f32>, d: Vec<f32>| {
            input.questions = from_vec(q, [3, 12], &Device::flex());
            input.passages = from_vec(d, [6, 12], &Device::flex());
            f64::from(contrastive_loss(&input, &options, &scores).terms.total)
        };
        for i in 0..vq.len() {
            let (mut up, mut down) = (vq.clone(), vq.clone());
            up[i] += eps;
            down[i] -= eps;
            let slope = (at(up, vd.clone()) - at(down, vd.clone())) / f64::from(2.0 * eps);
            assert!(
                (slope - f64::from(dq[i])).abs() < 2e-3 * (1.0 + slope.abs()),
                "{options:?} q {i}: {slope} {}",
                dq[i]
            );
        }
        for i in 0..vd.len() {
            let (mut up, mut down) = (vd.clone(), vd.clone());
            up[i] += eps;
            down[i] -= eps;
            let slope = (at(vq.clone(), up) - at(vq.clone(), down)) / f64::from(2.0 * eps);
            assert!(
                (slope - f64::from(dd[i])).abs() < 2e-3 * (1.0 + slope.abs()),
                "{options:?} d {i}: {slope} {}",
                dd[i]
            );
        }
    }
}
