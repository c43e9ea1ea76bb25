//! What a C compiler makes of the protocol headers of Xen, beside what is here. Needs `cc` and the package libxen-dev; fails
//! without.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::process::Command;

/// The most words that a message has.
const WORDS: usize = 28;

/// A header's numbers and messages, as C spells them and as they are here.
pub struct Header<'a> {
    /// In `xen/io/`, its name without `.h`.
    pub name: &'a str,
    /// What else is included.
    pub includes: &'a [&'a str],
    /// Expressions and their values.
    pub values: Vec<(&'static str, i64)>,
    /// Definitions of a variable `m`, and its octets as words.
    pub messages: Vec<(&'static str, Vec<u32>)>,
}

impl Header<'_> {
    fn program(&self) -> String {
        let mut c = String::new();
        for include in
            ["stddef.h", "stdint.h", "stdio.h", "string.h", "xen/xen.h"].iter().chain(self.includes)
        {
            writeln!(c, "#include <{include}>").unwrap();
        }
        writeln!(c, "#include <xen/io/{}.h>\nint main(void) {{", self.name).unwrap();
        for (name, _) in &self.values {
            let shown = name.replace('"', "\\\"");
            writeln!(c, "printf(\"%s\\t%lld\\n\", \"{shown}\", (long long)({name}));").unwrap();
        }
        for (i, (message, words)) in self.messages.iter().enumerate() {
            writeln!(c, "{{ {message}; uint32_t w[{WORDS}] = {{0}}; memcpy(w, &m, sizeof m);").unwrap();
            for word in 0..words.len() {
                writeln!(c, "printf(\"message {i} word {word}\\t%lld\\n\", (long long)w[{word}]);").unwrap();
            }
            c.push_str("}\n");
        }
        c + "return 0; }\n"
    }

    /// What the C compiler makes of it, by name.
    fn seen_by_c(&self) -> BTreeMap<String, i64> {
        let dir = std::path::Path::new(env!("CARGO_TARGET_TMPDIR"));
        let binary = dir.join(format!("{}_layout", self.name));
        let source = binary.with_extension("c");
        std::fs::write(&source, self.program()).unwrap();
        let compiled = Command::new("cc").arg("-o").arg(&binary).arg(&source).output();
        let compiled = compiled.unwrap_or_else(|e| panic!("no C compiler: install gcc and libxen-dev ({e})"));
        let errors = String::from_utf8_lossy(&compiled.stderr);
        assert!(
            compiled.status.success(),
            "cannot compile against the Xen headers: install libxen-dev\n{errors}"
        );
        let output = Command::new(&binary).output().unwrap();
        let lines = String::from_utf8(output.stdout).unwrap();
        lines
            .lines()
            .filter_map(|l| l.split_once('\t'))
            .map(|(n, v)| (n.into(), v.parse().unwrap()))
            .collect()
    }

    /// Compares.
    pub fn is_the_same(&self) {
        let seen = self.seen_by_c();
        let mut expected: Vec<(String, i64)> = self.values.iter().map(|(n, v)| (n.to_string(), *v)).collect();
        for (i, (_, words)) in self.messages.iter().enumerate() {
            let numbered = words.iter().enumerate();
            expected.extend(numbered.map(|(j, w)| (format!("message {i} word {j}"), i64::from(*w))));
        }
        assert_eq!(seen.len(), expected.len());
        for (name, value) in expected {
            assert_eq!(seen[&name], value, "{name}: the header says {}, fata-xen says {value}", seen[&name]);
        }
    }
}
