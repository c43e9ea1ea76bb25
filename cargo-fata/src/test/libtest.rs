//! Reads what `cargo test` prints: which program runs, and a line for each of its tests.

/// What a line says.
#[derive(Debug, PartialEq, Eq)]
pub enum Line<'a> {
    /// The tests of this crate follow.
    Crate(String),
    /// A test has ended.
    Test(&'a str, Outcome),
    /// Anything else.
    Other,
}

/// How a test ended.
#[derive(Debug, PartialEq, Eq, Clone, Copy)]
pub enum Outcome {
    /// It passed.
    Passed,
    /// It failed.
    Failed,
    /// It was not run.
    Ignored,
}

/// What a line of `cargo test` says.
pub fn parse(line: &str) -> Line<'_> {
    let trimmed = line.trim();
    if let Some(name) = trimmed.strip_prefix("Doc-tests ") {
        return Line::Crate(format!("{name}::doc"));
    }
    if let Some(program) = trimmed.strip_prefix("Running ").and_then(program) {
        return Line::Crate(program);
    }
    let test = || {
        let (name, outcome) = line.strip_prefix("test ")?.rsplit_once(" ... ")?;
        Some(Line::Test(name.trim_end_matches(" - should panic"), outcome_of(outcome)?))
    };
    test().unwrap_or(Line::Other)
}

/// `unittests src/lib.rs (target/debug/deps/fata_libos-0123456789abcdef)` is `fata_libos`.
fn program(text: &str) -> Option<String> {
    let path = text.split_once('(')?.1.strip_suffix(')')?;
    let file = path.rsplit('/').next()?;
    Some(file.rsplit_once('-')?.0.to_owned())
}

fn outcome_of(text: &str) -> Option<Outcome> {
    match text.split([' ', ',']).next()? {
        "ok" => Some(Outcome::Passed),
        "FAILED" => Some(Outcome::Failed),
        "ignored" => Some(Outcome::Ignored),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_cargo_test() {
        let running = "     Running unittests src/lib.rs (/x/debug/deps/fata_libos-0123456789abcdef)";
        assert_eq!(parse(running), Line::Crate("fata_libos".into()));
        assert_eq!(parse("   Doc-tests fata_libos"), Line::Crate("fata_libos::doc".into()));
        assert_eq!(
            parse("test time::tests::order ... ok"),
            Line::Test("time::tests::order", Outcome::Passed)
        );
        assert_eq!(parse("test a - should panic ... FAILED"), Line::Test("a", Outcome::Failed));
        assert_eq!(parse("test a ... ignored, too long"), Line::Test("a", Outcome::Ignored));
        assert_eq!(parse("test result: ok. 3 passed; 0 failed"), Line::Other);
    }
}
