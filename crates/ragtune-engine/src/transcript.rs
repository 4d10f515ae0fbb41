//! The transcript of a session: every command that was given, one JSON document a line. Read again and run in order, it
//! leads to the same results.

use crate::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::path::Path;

use crate::{Command, EngineError, Result};

/// Appends a command.
pub fn append(path: &Path, command: &Command) -> io::Result<()> {
    let mut line = serde_json::to_vec(command).map_err(io::Error::other)?;
    line.push(b'\n');
    OpenOptions::new().create(true).append(true).open(path)?.write_all(&line)
}

/// Reads the commands of a transcript.
///
/// # Errors
/// When the file cannot be read, or a line is no command; the error names the line.
pub fn read(path: &Path) -> Result<Vec<Command>> {
    let text = fs::read_to_string(path).map_err(|source| EngineError::io(path, source))?;
    let mut commands = Vec::new();
    for (at, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
        let command = serde_json::from_str(line).map_err(|error| {
            EngineError::input(format!(
                "{}, line {}: no command of this version: {error}; take the line out to replay the others",
                path.display(),
                at + 1
            ))
        })?;
        commands.push(command);
    }
    Ok(commands)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::{IndexPath, TestDevices};

    #[test]
    fn commands_come_back_as_they_were_given() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("transcript.jsonl");
        let given = [
            Command::Devices(TestDevices { measure: true }),
            Command::IndexInfo(IndexPath { index: "an index".into() }),
        ];
        given.iter().for_each(|command| append(&path, command).unwrap());
        assert_eq!(read(&path).unwrap(), given);
        fs::write(&path, "{\"command\": \"devices\"}\n\n{\"command\": \"fly\"}\n").unwrap();
        let error = read(&path).unwrap_err().to_string();
        assert!(error.contains("line 3"), "{error}");
    }
}
