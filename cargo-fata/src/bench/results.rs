//! Writes what was measured: JSON, and a plot.

use std::fs;

use anyhow::Result;
use serde_json::{Value, json};

use super::contest::Contest;
use super::servers::Server;
use super::{Bench, plot};
use crate::ui;

/// Writes contests of servers as `NAME.json` and `NAME.svg`.
pub fn write(
    bench: &Bench,
    name: &str,
    title: &str,
    linux: &'static str,
    servers: &[&Server],
    contests: &[Contest],
) -> Result<()> {
    let loads: Vec<Value> = contests.iter().map(Contest::to_json).collect();
    let servers: Vec<Value> = servers.iter().map(|server| server.to_json()).collect();
    let json = json!({ "servers": servers, "loads": loads });
    let bars: Vec<plot::Group> = contests.iter().map(|contest| contest.bars(linux)).collect();
    write_both(bench, name, &json, &plot::bars(title, &bars))
}

/// Writes both files, and says where they are.
pub fn write_both(bench: &Bench, name: &str, json: &Value, plot: &str) -> Result<()> {
    let file = |extension: &str| bench.folder.join(format!("{name}.{extension}"));
    fs::write(file("json"), serde_json::to_string_pretty(json)?)?;
    fs::write(file("svg"), plot)?;
    ui::say(format!("written: {} and {}", file("json").display(), file("svg").display()));
    Ok(())
}
