//! "Did you mean": the name that was probably meant.

/// `: did you mean "memory"?`, or nothing where no name is near.
pub fn hint<'n>(name: &str, known: impl IntoIterator<Item = &'n str>) -> String {
    let allowed = 1 + name.len() / 4;
    let near = known.into_iter().map(|candidate| (distance(name, candidate), candidate));
    match near.min_by_key(|(distance, _)| *distance) {
        Some((distance, candidate)) if distance <= allowed => format!(": did you mean {candidate:?}?"),
        _ => String::new(),
    }
}

/// How many letters are to be added, left out, changed or swapped with the next. Case and the kind of dash do not count.
fn distance(a: &str, b: &str) -> usize {
    let plain = |text: &str| -> Vec<u8> { text.to_ascii_lowercase().replace('_', "-").into_bytes() };
    let (a, b) = (plain(a), plain(b));
    let mut rows: Vec<Vec<usize>> = vec![(0..=b.len()).collect()];
    for i in 1..=a.len() {
        let mut row = vec![i];
        for j in 1..=b.len() {
            let other = usize::from(a[i - 1] != b[j - 1]);
            let mut least = (rows[i - 1][j] + 1).min(row[j - 1] + 1).min(rows[i - 1][j - 1] + other);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                least = least.min(rows[i - 2][j - 2] + 1);
            }
            row.push(least);
        }
        rows.push(row);
    }
    rows[a.len()][b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn near_names_are_found_and_far_ones_are_not() {
        let known = ["name", "memory", "max-size"];
        let of = |name| hint(name, known);
        assert_eq!(of("memroy"), ": did you mean \"memory\"?");
        assert_eq!(of("max_size"), ": did you mean \"max-size\"?");
        assert_eq!(of("Name"), ": did you mean \"name\"?");
        assert_eq!(of("vcpus"), "");
        assert_eq!(hint("x", []), "");
    }
}
