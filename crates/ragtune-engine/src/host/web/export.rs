//! A folder of the disk as a zip for the user.

use std::io::{Cursor, Write as _};
use std::path::Path;

use zip::write::{SimpleFileOptions, ZipWriter};

use super::ToPage;
use super::worker::tell;
use crate::fs;

/// Sends a folder, or a single file as it is.
pub(super) fn export(path: &Path) -> Result<(), String> {
    let said = |error: std::io::Error| format!("{}: {error}", path.display());
    let name = path.file_name().map_or_else(|| "ragtune".into(), |name| name.to_string_lossy().into_owned());
    if fs::is_file(path) {
        let bytes = fs::read(path).map_err(said)?;
        tell(&ToPage::Exported { name }, Some(&bytes));
        return Ok(());
    }
    let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
    add(&mut zip, path, &name).map_err(said)?;
    let bytes = zip.finish().map_err(|error| format!("{}: {error}", path.display()))?.into_inner();
    tell(&ToPage::Exported { name: format!("{name}.zip") }, Some(&bytes));
    Ok(())
}

fn add(zip: &mut ZipWriter<Cursor<Vec<u8>>>, folder: &Path, prefix: &str) -> std::io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let name = format!("{prefix}/{}", entry.file_name().to_string_lossy());
        if entry.file_type()?.is_dir() {
            add(zip, &entry.path(), &name)?;
        } else {
            // Weights do not shrink; time does.
            let options = SimpleFileOptions::default().compression_method(zip::CompressionMethod::Stored);
            zip.start_file(name, options).map_err(std::io::Error::other)?;
            zip.write_all(&fs::read(entry.path())?)?;
        }
    }
    Ok(())
}
