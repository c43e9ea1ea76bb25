//! Reads `table.tsv`. Its own file, so that the tests of processes and the boot tests include the same with `#[path]`.

/// Boot parameters that make no sense.
pub struct Case {
    /// The image.
    pub image: &'static str,
    /// Its command line.
    pub parameters: &'static str,
    /// What comes of it, behind `fata: `.
    pub said: &'static str,
}

/// All cases in order.
pub fn cases() -> Vec<Case> {
    let lines = include_str!("table.tsv").lines().filter(|line| !line.starts_with('#'));
    let case = |line: &'static str| {
        let mut columns = line.split('\t');
        Some(Case { image: columns.next()?, parameters: columns.next()?, said: columns.next()? })
    };
    lines.map(|line| case(line).unwrap_or_else(|| panic!("not a case: {line}"))).collect()
}
