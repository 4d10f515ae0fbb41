//! Leafing through an index's passages.

use std::collections::HashMap;

use ragtune_index::Index;
use ragtune_text::Passage;
use rayon::prelude::*;

use crate::Result;
use crate::command::ListPassages;
use crate::event::{ListedPassage, PassageList, Report};
use crate::session::JobContext;

/// Passages that are looked at between two looks at the cancel flag, on all cores.
const STEP: u32 = 8192;

/// `index passages`
pub(super) fn list(list: &ListPassages, context: &mut JobContext<'_>) -> Result<()> {
    let index = context.shelf().index(&list.index)?;
    let index = &*index;
    context.on_cancel("nothing was changed");
    context.begin("looking through passages", "passages", Some(u64::from(index.len())));
    let find = list.find.to_lowercase();
    let mut result = PassageList { offset: list.offset, ..PassageList::default() };
    let mut places: HashMap<String, usize> = HashMap::new();
    let mut next = 0;
    while next < index.len() {
        context.check()?;
        let end = index.len().min(next.saturating_add(STEP));
        let looked = (next..end).into_par_iter().map(|ordinal| look(index, ordinal, &find, list.file.as_deref()));
        for (ordinal, looked) in (next..end).zip(looked.collect::<Result<Vec<_>>>()?) {
            if let Some(file) = &looked.file {
                let place = places.get(file).copied().unwrap_or_else(|| {
                    places.insert(file.clone(), result.files.len());
                    result.files.push((file.clone(), 0));
                    result.files.len() - 1
                });
                result.files[place].1 += 1;
            }
            let Some(passage) = looked.fits else { continue };
            result.total += 1;
            if result.total > list.offset && result.passages.len() < list.limit {
                let Passage { id, title, text, source } = passage;
                result.passages.push(ListedPassage { ordinal, id, title, text, source });
            }
        }
        next = end;
        context.advance(u64::from(next));
    }
    context.report(Report::Passages(result));
    Ok(())
}

struct Looked {
    /// The file that it was cut from.
    file: Option<String>,
    /// The passage, if it is asked for.
    fits: Option<Passage>,
}

fn look(index: &Index, ordinal: u32, find: &str, file: Option<&str>) -> Result<Looked> {
    let passage = index.passage(ordinal)?;
    let from = passage.source.as_ref().map(|source| source.file.clone());
    let of_file = file.is_none_or(|file| from.as_deref() == Some(file));
    let holds = |text: &str| text.to_lowercase().contains(find);
    let fits = of_file && (find.is_empty() || holds(&passage.text) || holds(&passage.title) || holds(&passage.id));
    Ok(Looked { file: from, fits: fits.then_some(passage) })
}
