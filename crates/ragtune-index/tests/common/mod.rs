//! Small indexes in memory.

use ragtune_index::{BuildConfig, IndexBuilder, IndexMeta, ParametricBuilder};
use ragtune_text::storage::MemoryDirectory;
use ragtune_text::{Passage, Source, SparseVector};

/// A configuration with `dims` dimensions; dimension j is tokenizer id j + 999.
pub(crate) fn config(dims: u32, block: u32) -> BuildConfig {
    let vocab_ids = (0..dims).map(|dim| dim + 999).collect();
    BuildConfig { block, ..BuildConfig::new(vocab_ids, "tokenizer-a", "vocab-a") }
}

/// A passage whose fields all depend on `n`; every third has a source.
pub(crate) fn passage(n: usize) -> Passage {
    let source = n.is_multiple_of(3).then(|| Source {
        file: format!("notes/{n}.md"),
        start: n as u64,
        end: n as u64 + 20,
        heading: "Über uns".to_owned(),
        page: n.is_multiple_of(2).then_some(n as u32 + 1),
    });
    Passage { id: format!("p{}", n * 7919 % 10_007), title: String::new(), text: format!("Text № {n}"), source }
}

/// An index over the given vectors: their dimensions are the bags, their values the parametric part.
pub(crate) fn build(dims: u32, block: u32, vectors: &[SparseVector]) -> (MemoryDirectory, IndexMeta) {
    let dir = MemoryDirectory::default();
    let mut builder = IndexBuilder::new(&dir, config(dims, block)).unwrap();
    for (n, vector) in vectors.iter().enumerate() {
        assert_eq!(builder.add(&passage(n), &vector.indices).unwrap(), n as u32);
    }
    builder.finish().unwrap();
    let mut builder = ParametricBuilder::with_block(&dir, block).unwrap();
    for vector in vectors {
        builder.add(vector).unwrap();
    }
    let meta = builder.finish("encoder-a").unwrap();
    (dir, meta)
}
