//! What the window remembers between two starts.

use std::path::{Path, PathBuf};

use eframe::egui;
use serde::{Deserialize, Serialize};

use crate::pages::Page;

/// Projects that are remembered.
const RECENT: usize = 12;
/// Where it lies in eframe's storage.
const KEY: &str = "ragtune";

/// Dark, light, or as the system is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Look {
    /// As the system is.
    #[default]
    System,
    /// Light on dark.
    Dark,
    /// Dark on light.
    Light,
}

impl Look {
    /// All of them, with their names.
    pub const ALL: [(Self, &str); 3] = [(Self::System, "System"), (Self::Dark, "Dark"), (Self::Light, "Light")];

    /// For egui.
    pub fn preference(self) -> egui::ThemePreference {
        match self {
            Self::System => egui::ThemePreference::System,
            Self::Dark => egui::ThemePreference::Dark,
            Self::Light => egui::ThemePreference::Light,
        }
    }
}

/// The settings of the window. Those of a project lie in its folder.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Settings {
    /// Projects, the last one first.
    pub recent: Vec<PathBuf>,
    /// Dark or light.
    pub look: Look,
    /// Size of everything, 1 for normal.
    pub zoom: f32,
    /// The page that was open.
    pub page: Page,
    /// Where the sample world's project is made.
    pub home: PathBuf,
    /// Model folders that were chosen before.
    pub models: Vec<PathBuf>,
    /// The run that is being tuned: a tab that is closed in the middle goes on with it.
    pub tuning: Option<PathBuf>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            recent: Vec::new(),
            look: Look::default(),
            zoom: 1.0,
            page: Page::Home,
            home: PathBuf::from("ragtune-projects"),
            models: Vec::new(),
            tuning: None,
        }
    }
}

impl Settings {
    /// Reads them; defaults where there are none, or where an older version left something else.
    pub fn load(storage: Option<&dyn eframe::Storage>) -> Self {
        let text = storage.and_then(|storage| storage.get_string(KEY));
        text.and_then(|text| serde_json::from_str(&text).ok()).unwrap_or_default()
    }

    /// Writes them.
    pub fn save(&self, storage: &mut dyn eframe::Storage) {
        if let Ok(text) = serde_json::to_string(self) {
            storage.set_string(KEY, text);
        }
    }

    /// Puts a project first in the list.
    pub fn remember(&mut self, folder: &Path) {
        self.recent.retain(|known| known != folder);
        self.recent.insert(0, folder.to_owned());
        self.recent.truncate(RECENT);
    }

    /// Puts a model folder first in the list.
    pub fn remember_model(&mut self, folder: &Path) {
        self.models.retain(|known| known != folder);
        self.models.insert(0, folder.to_owned());
        self.models.truncate(RECENT);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_project_used_last_stands_first_and_once() {
        let mut settings = Settings::default();
        for name in ["a", "b", "a"] {
            settings.remember(Path::new(name));
        }
        assert_eq!(settings.recent, [PathBuf::from("a"), PathBuf::from("b")]);
    }

    #[test]
    fn settings_of_another_version_keep_what_is_known() {
        let text = r#"{"recent": ["x"], "look": "Dark", "of the future": 7}"#;
        let settings: Settings = serde_json::from_str(text).unwrap();
        assert_eq!((settings.recent, settings.look, settings.zoom), (vec![PathBuf::from("x")], Look::Dark, 1.0));
    }
}
