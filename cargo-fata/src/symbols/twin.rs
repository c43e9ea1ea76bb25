//! An image is sealed without symbols. Its twin is linked from the same source with them, and is taken only if what it
//! loads is what the image loads, byte for byte.

use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use anyhow::{Context, Result, ensure};
use object::{Object, ObjectSegment};

use crate::note::Note;
use crate::workspace::{self, ImageTarget, Workspace};
use crate::{image_file, interrupt, ui};

/// The size of an ELF header, which says where the symbols are.
const HEADER_SIZE: usize = 64;

/// The twin of an image, built if it is not there. The image's name says what is built: that of a binary or example.
pub fn of(image: &Path) -> Result<PathBuf> {
    let file = image.file_name().unwrap_or_default().to_string_lossy();
    let name = if image_file::is_packed(image)? { file.trim_end_matches(".gz") } else { &file };
    let (name, _) = workspace::name_and_features(name);
    let features = Note::of(image)?.map(|note| note.features).unwrap_or_default();
    let is_example = image.parent().is_some_and(|folder| folder.ends_with("examples"));
    let workspace = Workspace::current()
        .context("an image's symbols come from its source: run this in its package's folder")?;
    let target = workspace.find(name, is_example).with_context(|| {
        format!(
            "{} has no symbols: they come from its source, so run this in the folder of its package",
            image.display()
        )
    })?;
    let target = target.with_features(features);
    interrupt::paused(|| build(image, name, &target, &workspace))
}

fn build(image: &Path, name: &str, target: &ImageTarget, workspace: &Workspace) -> Result<PathBuf> {
    // Others may build twins in the same place.
    static TURN: Mutex<()> = Mutex::new(());
    let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    let step = ui::step(format!("building the symbols of {name}"));
    let twin = target.build_twin(workspace)?;
    ensure!(
        loaded(&twin)? == loaded(image)?,
        "{} is not what its source now builds, or was built with other options",
        image.display()
    );
    step.done();
    Ok(twin)
}

/// The segments of an image: address and contents.
fn loaded(image: &Path) -> Result<Vec<(u64, Vec<u8>)>> {
    let bytes = image_file::read(image)?;
    let file = object::File::parse(&*bytes)?;
    let segments = file.segments().map(|segment| {
        let header = if segment.file_range().0 == 0 { HEADER_SIZE } else { 0 };
        Ok((segment.address(), segment.data()?.get(header..).unwrap_or_default().to_vec()))
    });
    segments.collect()
}
