//! Captures as tshark reads them, which dissects what tcpdump shows.

use std::path::Path;
use std::process::Command;

use anyhow::{Result, ensure};

use crate::command;

/// A field of each packet that a display filter lets through (wireshark-filter(4)).
pub(super) fn fields(capture: &Path, filter: &str, field: &str) -> Result<Vec<String>> {
    let mut tshark = Command::new("tshark");
    tshark.args(["-n", "-Y", filter, "-T", "fields", "-e", field, "-r"]).arg(capture);
    Ok(command::run(&mut tshark)?.stdout.lines().map(str::to_owned).collect())
}

/// That a capture has requests for this path alone, and their answers.
pub(super) fn has_answered_requests(capture: &Path, path: &str) -> Result<()> {
    let uris = fields(capture, "http", "http.request.uri")?;
    let asked: Vec<&String> = uris.iter().filter(|uri| !uri.is_empty()).collect();
    ensure!(!asked.is_empty() && asked.iter().all(|uri| *uri == path), "tshark sees requests for {asked:?}");
    let codes = fields(capture, "http.response", "http.response.code")?;
    ensure!(!codes.is_empty() && codes.iter().all(|code| code == "200"), "tshark sees answers {codes:?}");
    Ok(())
}
