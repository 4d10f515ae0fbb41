//! The generated sample world: an encyclopedia of invented entities, with questions, of any size.
//!
//! It holds in the small what the method is about: *a passage that is relevant is not always one that helps*. Towns,
//! bridges, fairs, workshops, ships, schools and persons have five or six facts each. For every entity, three of the
//! facts are asked for, and the corpus speaks of them in six [registers](Register):
//!
//! | register | gold | a small reader can use it | per asked fact |
//! |---|---|---|---|
//! | Plain | yes | yes | 1 or 2 |
//! | Table | yes | no: values stand in columns, away from their names | 1 or 2 |
//! | Correction | yes | no: a wrong value comes first and loudly | 1 or 2 |
//! | Rumour | no | no: wrong values by hearsay | 0 or 1 |
//! | Outdated | no | no: former values | 0 or 1 |
//! | Overview | no | no: the question's words, no answer | 1 per entity |
//!
//! Gold is every passage that states the current answer, in any register. There are more than two gold passages that
//! do not help for each one that does, so a retriever that is trained on gold alone keeps fetching the wrong ones. Each
//! register has words of its own, so a lexical encoder *can* learn what its reader likes. (BM25 puts a usable passage
//! first for about one question in six, and one among the first ten for five in six.)
//!
//! # Questions
//! 60 % are free-form, 20 % yes/no (half each), 20 % one of four. Train, dev and test are 60, 10 and 30 % of the
//! entities, and no passage serves two splits. The names of the entities that trained the shipped models, of those
//! that tuning uses and of those that test are disjoint, whatever the seeds: see [`Partition`] and
//! [`partition_of_name`].
//!
//! # Size
//! A world is a function of its settings with random access; it stores nothing, so millions of passages stream in
//! constant memory, and equal settings give equal bytes everywhere. Four entities form a group of one kind with the
//! same asked attributes, 12 passages each and two tables together: 50 passages. What is left over is filled with
//! Plain passages of entities that nobody asks for.
//!
//! ```
//! use ragtune_sample::{Population, World, WorldConfig};
//!
//! let world = World::new(WorldConfig { seed: 7, passages: 200, questions: 40, population: Population::default() })?;
//! assert_eq!(world.passages().count(), 200);
//! let question = world.questions().next().unwrap();
//! assert!(world.passages().any(|passage| question.gold_ids.contains(&passage.id)));
//! # Ok::<(), ragtune_sample::WorldError>(())
//! ```
//!
//! # Training material
//! The encoder trains on the gold ids of a [`Population::Models`] world; the reader on [`reader_example`]s, in
//! which the answer always stands in a Plain passage. It never sees how the other registers treat the asked fact, so
//! it does not learn to read them, and that is the gap that tuning has to find.

mod beir;
mod draw;
mod entity;
mod frames;
mod kinds;
pub mod models;
mod names;
mod questions;
mod reader;
mod register;
mod render;
mod words;
mod world;

pub use beir::{BeirWriters, SampleCounts};
pub use entity::EntityId;
pub use names::{Partition, name_pieces, partition_of_name};
pub use reader::{ReaderExample, ReaderLevel, UNKNOWN, reader_example};
pub use register::{Fact, PassageMeta, Register};
pub use world::{Population, World, WorldConfig, WorldError};
