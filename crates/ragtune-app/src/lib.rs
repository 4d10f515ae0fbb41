//! ragtune in a window: what people see of the engine. Every click becomes a command that the command line could send
//! too; every picture is drawn from events.
//!
//! | module | what it holds |
//! |---|---|
//! | [`app`] | the window: navigation, the open project, the state of work |
//! | [`pages`] | one file per page: what it shows, draws, and hears of its jobs |
//! | [`link`] | the engines, and who sent which job |
//! | [`dialog`] | file dialogs |
//! | [`platform`] | where a desktop and a browser tab differ |
//! | [`settings`] | what is remembered between two starts |
//! | [`theme`], [`widgets`] | how things look |

pub mod app;
pub mod dialog;
pub mod link;
pub mod pages;
pub mod platform;
pub mod settings;
pub mod theme;
pub mod widgets;

pub use app::App;
pub use settings::Settings;
