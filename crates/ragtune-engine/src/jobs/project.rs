//! Opening and saving projects.

use ragtune_index::Index;
use ragtune_sample::{Population, World, WorldConfig};
use ragtune_text::storage::Directory;
use ragtune_tune::Stage;

use crate::command::{OpenProject, SampleSize, SaveProject};
use crate::directory::Folder;
use crate::event::{ProjectReport, Report};
use crate::fs;
use crate::jobs::demo;
use crate::jobs::sample::{write_models, write_world};
use crate::project::{INDEX, Project, QUESTIONS, RUNS};
use crate::session::JobContext;
use crate::{EngineError, Result};

/// `project open`
pub(super) fn open(open: &OpenProject, context: &mut JobContext<'_>) -> Result<()> {
    let root = &open.folder;
    let folder = Folder::create(root).map_err(|source| EngineError::io(root, source))?;
    let project = match (Project::read(root)?, open.sample) {
        (Some(project), _) => project,
        (None, None) => {
            let name = root.file_name().map_or_else(String::new, |name| name.to_string_lossy().into_owned());
            let own = root.join(QUESTIONS);
            let questions = fs::is_file(&own).then_some(own);
            let project = Project { name, questions, ..Project::default() };
            project.write(root)?;
            project
        }
        (None, Some(size)) => {
            let project = sample(open, size, context)?;
            project.write(root)?;
            project
        }
    };
    let index = root.join(INDEX);
    // A broken index is no reason to keep the project shut: whoever uses the index is told.
    let opened = Folder::open(&index).ok().and_then(|folder| Index::open(&folder).ok());
    context.report(Report::Project(Box::new(ProjectReport {
        folder: folder.path().to_owned(),
        project,
        index,
        passages: opened.as_ref().map(|index| u64::from(index.len())),
        parametric: opened.as_ref().is_some_and(Index::has_parametric),
        runs: root.join(RUNS),
    })));
    Ok(())
}

/// Writes the sample world with its models and makes a project of it.
fn sample(open: &OpenProject, size: SampleSize, context: &mut JobContext<'_>) -> Result<Project> {
    let path = open.folder.join("world");
    let world = Folder::create(&path).map_err(|source| EngineError::io(&path, source))?;
    if !world.exists("qa.jsonl") || !world.exists("corpus.jsonl") {
        let SampleSize { passages, questions } = size;
        let config = WorldConfig { seed: 0, passages, questions, population: Population::TuningAndTest };
        write_world(&World::new(config)?, &world, context)?;
    }
    let (encoder, reader) = write_models(&open.folder.join("models"))?;
    Ok(Project {
        name: "The sample world".to_owned(),
        sources: vec![world.path().join("corpus.jsonl")],
        questions: Some(world.path().join("qa.jsonl")),
        encoder: Some(encoder),
        llm: Some(reader),
        tune: demo::settings(0, &[Stage::Offline, Stage::Online]),
        sample: true,
        ..Project::default()
    })
}

/// `project save`
pub(super) fn save(save: &SaveProject, _: &mut JobContext<'_>) -> Result<()> {
    save.project.write(&save.folder)
}
