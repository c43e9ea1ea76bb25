//! Ciphers on processors with instructions for them and without: that they give known answers, and by which code, which is told by
//! the instructions that QEMU had to translate.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, ensure};

use super::Machine;

/// What instructions for AES and for products without carry are called, with or without AVX's `v`.
const INSTRUCTIONS: [&str; 2] = ["aesenc", "pclmulqdq"];

pub(super) fn known_answers(logs: &Path) -> Result<()> {
    for (processor, is_by_instructions) in [("max", true), ("qemu64", false)] {
        let translated = logs.join(format!("translated-{processor}.log"));
        let machine = format!("-M q35 -no-reboot -cpu {processor} -d in_asm -D {}", translated.display());
        let (status, log) = Machine::start(logs, "ciphers", "", &machine)?.wait_end()?;
        for line in [
            "SHA-256 good",
            "AES-128-GCM good",
            "AES-256-GCM good",
            "ChaCha20-Poly1305 good",
            "generator good",
        ] {
            ensure!(status == 0 && log.contains(line), "{processor}: no {line:?}: {status}: {log}");
        }
        let text = fs::read(&translated).context("QEMU has said nothing of what it translated")?;
        let text = String::from_utf8_lossy(&text);
        // What each guest has: else QEMU was built without names of instructions.
        ensure!(text.contains("cpuid"), "QEMU names no instructions");
        for instruction in INSTRUCTIONS {
            ensure!(text.contains(instruction) == is_by_instructions, "{instruction} on -cpu {processor}");
        }
        fs::remove_file(translated)?;
    }
    Ok(())
}
