//! The table of an image's bytes by crate.

use std::collections::BTreeMap;

use super::pieces::{Kind, Piece};

/// Crates by size, with what is code, constants and data of it.
pub fn by_crate(image: &str, pieces: &[Piece]) -> String {
    let mut crates: BTreeMap<&str, [u64; 3]> = BTreeMap::new();
    for piece in pieces {
        let column = match piece.kind {
            Kind::Code => 0,
            Kind::Constants => 1,
            Kind::Data | Kind::Format => 2,
        };
        crates.entry(&piece.owner.krate).or_default()[column] += piece.octets;
    }
    let mut rows: Vec<(&str, [u64; 3])> = crates.into_iter().collect();
    rows.sort_by_key(|(_, sizes)| std::cmp::Reverse(sizes.iter().sum::<u64>()));
    let total: u64 = pieces.iter().map(|piece| piece.octets).sum();
    let mut text = line(["crate", "code", "constants", "other", "octets", "%"].map(str::to_owned));
    let sums = |column: usize| rows.iter().map(|(_, sizes)| sizes[column]).sum();
    let all = (image, [sums(0), sums(1), sums(2)]);
    for (name, sizes) in rows.iter().chain([&all]) {
        let sum: u64 = sizes.iter().sum();
        let share = format!("{:.1}", 100.0 * sum as f64 / total.max(1) as f64);
        let [code, constants, other] = sizes.map(|size| size.to_string());
        text += &line([(*name).to_owned(), code, constants, other, sum.to_string(), share]);
    }
    text
}

fn line([name, code, constants, other, sum, share]: [String; 6]) -> String {
    format!("{name:<24}{code:>9}{constants:>11}{other:>8}{sum:>9}{share:>7}\n")
}

#[cfg(test)]
mod tests {
    use super::super::owner::Owner;
    use super::*;

    #[test]
    fn crates_come_by_size_and_all_of_them_last() {
        let piece = |krate: &str, kind, octets| Piece {
            owner: Owner::new(krate, ""),
            name: String::new(),
            kind,
            octets,
        };
        let pieces = [
            piece("core", Kind::Code, 10),
            piece("xen", Kind::Code, 50),
            piece("xen", Kind::Constants, 20),
            piece("(ELF)", Kind::Format, 20),
        ];
        let table = by_crate("hello", &pieces);
        let words: Vec<Vec<&str>> = table.lines().map(|line| line.split_whitespace().collect()).collect();
        assert_eq!(words[1], ["xen", "50", "20", "0", "70", "70.0"]);
        assert_eq!(
            words[2..4],
            [["(ELF)", "0", "0", "20", "20", "20.0"], ["core", "10", "0", "0", "10", "10.0"]]
        );
        assert_eq!(words[4], ["hello", "60", "20", "20", "100", "100.0"]);
    }
}
