//! Boot parameters that make no sense, given to a process: the same table as the boot tests give to guests.

use fata::testing::Process;

#[path = "../bad_parameters/table.rs"]
mod table;

/// The words of a command line as a shell would give them to a program, with their quotes.
fn words(line: &str) -> Vec<String> {
    let (mut words, mut is_quoted) = (vec![String::new()], false);
    for c in line.chars() {
        is_quoted ^= c == '"';
        match c {
            ' ' if !is_quoted => words.push(String::new()),
            c => words.last_mut().unwrap().push(c),
        }
    }
    words
}

#[test]
fn each_is_one_line_and_nothing_starts() {
    let cases = table::cases();
    assert!(cases.len() > 80, "the table has {} lines", cases.len());
    for table::Case { image, parameters, said } in cases {
        let program = match image {
            "probe" => env!("CARGO_BIN_EXE_probe"),
            "manifest" => env!("CARGO_BIN_EXE_manifest"),
            "block" => env!("CARGO_BIN_EXE_block"),
            other => panic!("no image {other}"),
        };
        let mut process = Process::start(program, words(parameters));
        process.wait_for("fata: ");
        assert_eq!(process.wait().code(), Some(64), "{parameters}: {}", process.said());
        let line = process.said();
        let more = line.strip_prefix("fata: ").and_then(|line| line.strip_prefix(said));
        let more = more.unwrap_or_else(|| panic!("{parameters}: it said\n{line}instead of\nfata: {said}"));
        // A process knows of its interfaces' taps and its disks' files too, after all others.
        let of_host = if image == "block" { ", data.file\n" } else { ", main.tap, back.tap\n" };
        let is_all = more == "\n" || (said.contains("; known are: ") && more == of_host);
        assert!(is_all, "{parameters}: more than the line: {more:?}");
    }
}
