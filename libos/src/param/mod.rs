//! Boot parameters: `name=value` words on the kernel command line (`extra=` in an xl configuration).
//!
//! Every parameter is declared with a default and a help text before the guest runs; a word that names none of them, or
//! whose value does not parse, stops the boot with one line ([`ParamError`]). A value with blanks stands in double
//! quotes: `greeting="good morning"`.

mod kinds;

pub use kinds::{
    BOOL, DURATION_SECONDS, IPV4, IPV4_LIST, IPV4_OR_DHCP, IPV4_PREFIX, Ipv4Prefix, LOG, NUMBER, PORT, TEXT,
};

use crate::text::split_once;
use alloc::borrow::ToOwned;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

/// What values a parameter takes.
#[derive(Debug)]
pub struct Kind {
    /// What a value is, as it ends the sentence "... is not".
    pub what: &'static str,
    /// Whether a text is such a value.
    pub check: fn(&str) -> bool,
}

/// One parameter that an appliance knows.
#[derive(Debug)]
pub struct Param {
    /// The name before `=`.
    pub name: &'static str,
    /// What values it takes.
    pub kind: &'static Kind,
    /// The value when the command line says nothing; `None`: then there is no value.
    pub default: Option<&'static str>,
    /// What it is for, one line.
    pub help: &'static str,
}

/// A command line that makes no sense. Its `Display` is the one line that stops the boot.
#[derive(Clone, PartialEq, Eq, thiserror::Error)]
pub enum ParamError {
    /// No parameter has that name.
    #[error("boot parameter \"{name}\" is unknown{hint}; known are: {known}")]
    Unknown {
        /// The name given.
        name: String,
        /// `: did you mean ...?` or nothing.
        hint: String,
        /// All names there are.
        known: String,
    },
    /// A word without `=`.
    #[error("boot parameter \"{0}\" has no value: write {0}=VALUE")]
    NoValue(String),
    /// The value is not of the parameter's kind.
    #[error("boot parameter {name}: \"{value}\" is not {what}")]
    BadValue {
        /// The parameter.
        name: String,
        /// Its value.
        value: String,
        /// What it should be.
        what: &'static str,
    },
    /// The same parameter twice.
    #[error("boot parameter {0} is given twice")]
    Twice(String),
    /// A quote that does not end.
    #[error("a quote in the boot parameters does not end: {0}")]
    OpenQuote(String),
    /// The appliance has no network interface of that name.
    #[error(
        "boot parameter \"{name}\": this appliance has no network interface \"{interface}\"; it has: {known}"
    )]
    NoInterface {
        /// The parameter.
        name: String,
        /// The interface named.
        interface: String,
        /// The interfaces there are.
        known: String,
    },
}

/// As text: `dyn Error` brings the `Debug` of every error that reaches `main` into the image, and a derived one is long.
impl fmt::Debug for ParamError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The parameters of this boot.
#[derive(Debug, Default)]
pub struct Params {
    declared: Vec<&'static [Param]>,
    given: Vec<(String, String)>,
}

impl Params {
    /// Reads a command line. `declared` are the guest's own parameters, `per_interface` those that every network
    /// interface has, as `NAME.PARAM`, or without `NAME.` for the first.
    pub fn parse(
        line: &str,
        declared: &[&'static [Param]],
        interfaces: &[&str],
        per_interface: &'static [Param],
    ) -> Result<Self, ParamError> {
        let mut params = Self { declared: declared.to_vec(), given: Vec::new() };
        if !interfaces.is_empty() {
            params.declared.push(per_interface);
        }
        let mut rest = line.as_bytes();
        while let Some(word) = next_word(&mut rest)? {
            params.add(&word, interfaces, per_interface)?;
        }
        Ok(params)
    }

    fn add(&mut self, word: &str, interfaces: &[&str], per_interface: &[Param]) -> Result<(), ParamError> {
        let Some((name, value)) = split_once(word, b'=') else { return Err(self.no_value(word)) };
        let bare = bare_name(name, interfaces, per_interface)?;
        let Some(param) = self.find(bare) else { return Err(self.unknown(name)) };
        if !(param.kind.check)(value) {
            return Err(ParamError::BadValue {
                name: owned(name),
                value: owned(value),
                what: param.kind.what,
            });
        }
        let full = match (per_interface.iter().any(|p| p.name == name), interfaces.first()) {
            (true, Some(first)) => alloc::format!("{first}.{name}"),
            _ => owned(name),
        };
        if self.given(&full).is_some() {
            return Err(ParamError::Twice(full));
        }
        self.given.push((full, owned(value)));
        Ok(())
    }

    /// The value of a parameter: what was given, else its default.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.given(name).or_else(|| self.find(name).and_then(|p| p.default))
    }

    /// The value of an interface's parameter.
    pub fn get_for(&self, interface: &str, name: &str) -> Option<&str> {
        self.given(&alloc::format!("{interface}.{name}")).or_else(|| self.find(name).and_then(|p| p.default))
    }

    /// The value, as a type. Every value was checked at boot, so that only a type that is not the parameter's own, or a
    /// missing default, gives `None`.
    pub fn get_as<T: core::str::FromStr>(&self, name: &str) -> Option<T> {
        self.get(name)?.parse().ok()
    }

    /// All parameters that are declared.
    pub fn declared(&self) -> impl Iterator<Item = &'static Param> {
        self.declared.iter().copied().flatten()
    }

    fn given(&self, name: &str) -> Option<&str> {
        self.given.iter().find(|(n, _)| n == name).map(|(_, v)| v.as_str())
    }

    fn find(&self, name: &str) -> Option<&'static Param> {
        self.declared().find(|p| p.name == name)
    }

    fn no_value(&self, word: &str) -> ParamError {
        match self.find(word) {
            Some(_) => ParamError::NoValue(owned(word)),
            None => self.unknown(word),
        }
    }

    fn unknown(&self, name: &str) -> ParamError {
        let names: Vec<&str> = self.declared().map(|p| p.name).collect();
        let near = names.iter().find(|n| is_near(n, name));
        let hint = near.map_or_else(String::new, |n| alloc::format!(": did you mean \"{n}\"?"));
        ParamError::Unknown { name: owned(name), hint, known: listed(&names) }
    }
}

/// The parameter's own name, without the interface before it.
fn bare_name<'n>(name: &'n str, interfaces: &[&str], per_interface: &[Param]) -> Result<&'n str, ParamError> {
    let Some((interface, bare)) = split_once(name, b'.') else { return Ok(name) };
    if !per_interface.iter().any(|p| p.name == bare) {
        return Ok(name);
    }
    if interfaces.contains(&interface) {
        return Ok(bare);
    }
    let known = if interfaces.is_empty() { owned("none") } else { listed(interfaces) };
    Err(ParamError::NoInterface { name: owned(name), interface: owned(interface), known })
}

fn listed(names: &[&str]) -> String {
    let mut list = String::new();
    for name in names {
        list.push_str(if list.is_empty() { "" } else { ", " });
        list.push_str(name);
    }
    list
}

/// By itself, so that its code is there once.
#[inline(never)]
fn owned(text: &str) -> String {
    text.to_owned()
}

/// One letter more, less, other, or two swapped.
fn is_near(a: &str, b: &str) -> bool {
    let (a, b) = if a.len() < b.len() { (b.as_bytes(), a.as_bytes()) } else { (a.as_bytes(), b.as_bytes()) };
    let start = a.iter().zip(b).take_while(|(x, y)| x == y).count();
    let end = a[start..].iter().rev().zip(b[start..].iter().rev()).take_while(|(x, y)| x == y).count();
    let (left_a, left_b) = (a.len() - start - end, b.len() - start - end);
    let swapped = left_a == 2 && left_b == 2 && a[start] == b[start + 1] && a[start + 1] == b[start];
    (left_a <= 1 && left_b <= 1) || swapped
}

/// Takes the first word off a line: it ends at a blank outside double quotes, and the quotes go away.
fn next_word(line: &mut &[u8]) -> Result<Option<String>, ParamError> {
    *line = line.trim_ascii_start();
    if line.is_empty() {
        return Ok(None);
    }
    let (mut word, mut quoted) = (Vec::new(), false);
    while let Some((&byte, rest)) = line.split_first()
        && (quoted || !byte.is_ascii_whitespace())
    {
        *line = rest;
        match byte {
            b'"' => quoted = !quoted,
            byte => word.push(byte),
        }
    }
    let word = String::from_utf8(word).unwrap_or_default();
    if quoted { Err(ParamError::OpenQuote(word)) } else { Ok(Some(word)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    static OWN: [Param; 2] = [
        Param { name: "log", kind: &LOG, default: Some("info"), help: "" },
        Param { name: "greeting", kind: &TEXT, default: Some("hello"), help: "" },
    ];
    static NET: [Param; 2] = [
        Param { name: "ipv4", kind: &IPV4_OR_DHCP, default: Some("dhcp"), help: "" },
        Param { name: "gateway", kind: &IPV4, default: None, help: "" },
    ];

    fn parse(line: &str) -> Result<Params, ParamError> {
        Params::parse(line, &[&OWN], &["main", "back"], &NET)
    }

    #[test]
    fn values_defaults_and_interfaces() {
        let p = parse("  ipv4=10.0.2.15/24 gateway=10.0.2.2 back.ipv4=10.0.3.1/8 greeting=\"good  day\" ")
            .unwrap();
        assert_eq!(p.get("greeting"), Some("good  day"));
        assert_eq!(p.get("log"), Some("info"));
        assert_eq!(p.get_for("main", "ipv4"), Some("10.0.2.15/24"));
        assert_eq!(p.get_for("back", "ipv4"), Some("10.0.3.1/8"));
        assert_eq!(p.get_for("back", "gateway"), None);
        assert_eq!(parse("").unwrap().get_for("back", "ipv4"), Some("dhcp"));
    }

    #[test]
    fn what_makes_no_sense_is_one_clear_line() {
        for (line, said) in [
            (
                "ipv5=1.2.3.4",
                r#"boot parameter "ipv5" is unknown: did you mean "ipv4"?; known are: log, greeting, ipv4, gateway"#,
            ),
            ("colour=red", r#"boot parameter "colour" is unknown; known are: log, greeting, ipv4, gateway"#),
            (
                "ipv4=10.0.2.300/24",
                r#"boot parameter ipv4: "10.0.2.300/24" is not dhcp or an IPv4 address with its prefix length, such as 10.0.0.2/24"#,
            ),
            (
                "ipv4=10.0.2.1",
                r#"boot parameter ipv4: "10.0.2.1" is not dhcp or an IPv4 address with its prefix length, such as 10.0.0.2/24"#,
            ),
            ("gateway=", r#"boot parameter gateway: "" is not an IPv4 address, such as 10.0.0.1"#),
            (
                "log=loud",
                r#"boot parameter log: "loud" is not a log filter, such as info or warn,fata_xen=debug"#,
            ),
            ("log", r#"boot parameter "log" has no value: write log=VALUE"#),
            ("debug", r#"boot parameter "debug" is unknown; known are: log, greeting, ipv4, gateway"#),
            ("log=info log=warn", "boot parameter log is given twice"),
            ("ipv4=dhcp main.ipv4=dhcp", "boot parameter main.ipv4 is given twice"),
            ("greeting=\"hi", "a quote in the boot parameters does not end: greeting=hi"),
            (
                "side.ipv4=dhcp",
                r#"boot parameter "side.ipv4": this appliance has no network interface "side"; it has: main, back"#,
            ),
            (
                "main.log=info",
                r#"boot parameter "main.log" is unknown; known are: log, greeting, ipv4, gateway"#,
            ),
        ] {
            assert_eq!(parse(line).unwrap_err().to_string(), said);
        }
    }

    #[test]
    fn an_appliance_without_network_has_no_network_parameters() {
        let e = Params::parse("ipv4=dhcp", &[&OWN], &[], &NET).unwrap_err();
        assert!(matches!(e, ParamError::Unknown { .. }), "{e}");
        let e = Params::parse("main.ipv4=dhcp", &[&OWN], &[], &NET).unwrap_err();
        assert_eq!(
            e.to_string(),
            r#"boot parameter "main.ipv4": this appliance has no network interface "main"; it has: none"#
        );
    }
}
