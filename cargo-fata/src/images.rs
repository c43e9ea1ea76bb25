//! The images that tests take: each is built once, when it is first asked for or when its turn has come.
//!
//! Each has a copy in a place of its own: another build of the same appliance, with other features, takes the place where cargo
//! puts it.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use anyhow::{Error, Result, anyhow};

use crate::boot_tests::web_tls;
use crate::interrupt;
use crate::workspace::{ImageTarget, Workspace};

/// How often who builds for nobody looks whether somebody waits.
const PERIOD: Duration = Duration::from_millis(20);

/// What was built, by name, or why it could not be.
static BUILT: Mutex<BTreeMap<String, Result<PathBuf, String>>> = Mutex::new(BTreeMap::new());
/// Held by who builds: cargo's place for an image is another build's next.
static TURN: Mutex<()> = Mutex::new(());
/// How many wait for an image.
static WAITING: AtomicUsize = AtomicUsize::new(0);
static WORKSPACE: OnceLock<Workspace> = OnceLock::new();

/// An image of an example, an appliance or a test guest; `NAME+FEATURE` is one with features. Building it is not the time of
/// who asks for it.
pub fn image(name: &str) -> Result<PathBuf> {
    if let Some(known) = known(name) {
        return known;
    }
    interrupt::paused(|| {
        WAITING.fetch_add(1, Ordering::SeqCst);
        let turn = lock(&TURN);
        WAITING.fetch_sub(1, Ordering::SeqCst);
        built(name, &turn)
    })
}

/// Builds all of these names; who asks for one meanwhile comes first. The errors of those that could not be built.
pub fn build(names: impl IntoIterator<Item = String>) -> Vec<Error> {
    let build = |name: String| {
        while WAITING.load(Ordering::SeqCst) > 0 && !interrupt::requested() {
            std::thread::sleep(PERIOD);
        }
        interrupt::check().and_then(|()| built(&name, &lock(&TURN))).err()
    };
    names.into_iter().filter_map(build).collect()
}

/// Builds what is no test's but for its size, under that name.
pub fn build_as(name: &str, target: &ImageTarget) -> Result<PathBuf> {
    let _turn = lock(&TURN);
    let workspace = workspace()?;
    target.build_as(name, &folder(workspace), workspace)
}

fn known(name: &str) -> Option<Result<PathBuf>> {
    let built = lock(&BUILT);
    Some(built.get(name)?.clone().map_err(|error| anyhow!("no image {name}: {error}")))
}

fn built(name: &str, _turn: &MutexGuard<'_, ()>) -> Result<PathBuf> {
    if let Some(known) = known(name) {
        return known;
    }
    let build = || {
        let workspace = workspace()?;
        let target = workspace.find(name, false)?;
        let target = match name {
            web_tls::WITH_FILES => target.with_site(&web_tls::site_of_files(workspace)?),
            _ => target,
        };
        target.build_as(name, &folder(workspace), workspace)
    };
    let outcome = build().map_err(|error: Error| format!("{error:#}"));
    lock(&BUILT).insert(name.to_owned(), outcome);
    known(name).unwrap_or_else(|| Err(anyhow!("no image {name}")))
}

fn workspace() -> Result<&'static Workspace> {
    if let Some(workspace) = WORKSPACE.get() {
        return Ok(workspace);
    }
    let workspace = Workspace::current()?;
    Ok(WORKSPACE.get_or_init(|| workspace))
}

fn folder(workspace: &Workspace) -> PathBuf {
    workspace.target_dir.join("fata-images")
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
