//! Encoders and language models against references made with PyTorch (see `references/README.md`).

use burn::tensor::Device;
use ragtune_engine::directory::Folder;
use ragtune_kernels::to_vec;
use ragtune_model::{Bert, CausalLm, Encoder, Kind};
use ragtune_tests::{assert_close, ids, numbers, reference_dir, reference_json, shared};

#[test]
fn bert_states_equal_the_reference_in_a_padded_batch() {
    let reference = reference_json("bert/reference.json");
    let dir = reference_dir("bert/model");
    let bert = Bert::from_dir(&dir).expect("config");
    let weights = bert.read_weights(&dir, &Device::flex(), &[]).expect("weights");
    let batch: Vec<Vec<u32>> = reference["batch"].as_array().expect("batch").iter().map(ids).collect();
    let texts: Vec<&[u32]> = batch.iter().map(Vec::as_slice).collect();
    let states = bert.forward(&weights, &texts);
    let [_, _, h] = states.dims();
    for (b, text) in texts.iter().enumerate() {
        let got = to_vec(states.clone().slice([b..b + 1, 0..text.len(), 0..h]));
        assert_close("padded", &got, &numbers(&reference["hidden"][b]), 1e-5);
        assert_close("alone", &to_vec(bert.forward(&weights, &[text])), &numbers(&reference["hidden"][b]), 1e-5);
    }
}

#[test]
fn minilm_ids_states_and_lexical_vectors_equal_the_reference() {
    let Some(path) = shared("models/all-MiniLM-L6-v2") else { return };
    let reference = reference_json("minilm/reference.json");
    let dir = Folder::open(path).expect("folder");
    let encoder = Encoder::load(&dir, &Device::flex(), None).expect("all-MiniLM-L6-v2 loads");
    assert_eq!(encoder.vocab.len(), 29523);
    for text in reference["texts"].as_array().expect("texts") {
        let name = text["name"].as_str().unwrap_or("?");
        let field = |f: &str| text[f].as_str().unwrap_or("");
        let got = encoder.passage_ids(field("title"), field("text")).expect(name);
        assert_eq!(got, ids(&text["ids"]), "{name}: token ids");
        let tower = encoder.tower_of(Kind::Passage);
        let states = to_vec(tower.bert.forward(&tower.weights, &[&got]));
        let h = tower.bert.config.hidden_size;
        for (position, want) in
            numbers(&text["hidden"]["positions"]).iter().zip(text["hidden"]["first8"].as_array().expect("rows"))
        {
            let at = *position as usize * h;
            assert_close(name, &states[at..at + 8], &numbers(want), 1e-4);
        }
        let forms = encoder.encode(Kind::Passage, &[&got]).remove(0);
        let top: Vec<(u32, f32)> =
            ids(&text["sidr"]["top_ids"]).into_iter().zip(numbers(&text["sidr"]["top_values"])).collect();
        for (id, value) in top {
            let dim = encoder.vocab.dim(id).expect("lexical id");
            assert_close(name, &[forms.dense[dim as usize]], &[value], 1e-4);
        }
        let sum: f64 = forms.dense.iter().map(|&v| f64::from(v)).sum();
        let want = text["sidr"]["sum"].as_f64().expect("sum");
        assert!((sum - want).abs() <= 1e-4 * want, "{name}: sum {sum}, want {want}");
    }
}

#[test]
fn stories260k_writes_its_known_story() {
    let Some(path) = shared("models/stories260K") else { return };
    let reference = reference_json("stories260K/reference.json");
    let lm = CausalLm::load(&Folder::open(path).expect("folder"), &Device::flex()).expect("stories260K loads");
    let prompt = lm.prompt("").expect("prompt").ids;
    assert_eq!(prompt, vec![1], "an empty prompt is BOS");
    let want = ids(&reference["ids"]);
    let mut rng = <rand_pcg::Pcg64Mcg as rand::SeedableRng>::seed_from_u64(0);
    let got = lm.generate(&prompt, want.len(), 0.0, &mut rng, &mut |_| true).expect("generation");
    assert_eq!(got.ids, want);
    assert_eq!(got.text.trim_start(), reference["text"].as_str().unwrap_or("").trim_start());
}
