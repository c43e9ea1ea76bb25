//! Boot parameters: `name=value` words on the kernel command line (`extra=` in an xl configuration).
//!
//! Every parameter is declared with a default and a help text before the guest runs; a word that names none of them, or
//! whose value does not parse, stops the boot with one line ([`ParamError`]). A value with blanks stands in double
//! quotes: `greeting="good morning"`. The word `help` asks for all of this ([`Params::help`]).
//!
//! In code a parameter is a [`Key`], which knows the type of its values ([`Value`]).

mod key;
mod kinds;
mod prefix;
mod size;

pub use key::{Key, Value};
pub use kinds::{
    BOOL, DISK, DURATION, HOSTNAME, IP, IP_LIST, IPV4, IPV4_DHCP_OR_NONE, IPV4_LIST, IPV4_OR_DHCP,
    IPV4_PREFIX, IPV6, IPV6_OR_AUTO, IPV6_PREFIX, LOG, MTU, NUMBER, PORT, QUEUES, SIZE, TEXT,
};
pub use prefix::{BadPrefix, Ipv4Prefix, Ipv6Prefix};
pub use size::{BadSize, Size};

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
}

/// As text: `dyn Error` brings the `Debug` of every error that reaches `main` into the image, and a derived one is long.
impl fmt::Debug for ParamError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The parameters of this boot.
///
/// Those of a network interface have its name before a dot, `main.ipv4`. Without it, `ipv4` is that of the first interface
/// that is declared.
#[derive(Debug, Default)]
pub struct Params {
    declared: Vec<&'static [Param]>,
    given: Vec<(&'static Param, String)>,
    wants_help: bool,
}

impl Params {
    /// Reads a command line. `declared` are the parameters that there are.
    pub fn parse(line: &str, declared: &[&'static [Param]]) -> Result<Self, ParamError> {
        let mut params = Self { declared: declared.to_vec(), given: Vec::new(), wants_help: false };
        let mut rest = line.as_bytes();
        while let Some(word) = next_word(&mut rest)? {
            params.add(&word)?;
        }
        Ok(params)
    }

    fn add(&mut self, word: &str) -> Result<(), ParamError> {
        let (name, value) = match split_once(word, b'=') {
            Some((name, value)) => (name, Some(value)),
            None => (word, None),
        };
        let Some(param) = self.find(name) else {
            if word != "help" {
                return Err(self.unknown(name));
            }
            self.wants_help = true;
            return Ok(());
        };
        let Some(value) = value else { return Err(ParamError::NoValue(owned(name))) };
        if !(param.kind.check)(value) {
            return Err(ParamError::BadValue {
                name: owned(name),
                value: owned(value),
                what: param.kind.what,
            });
        }
        if self.given(param).is_some() {
            return Err(ParamError::Twice(owned(param.name)));
        }
        self.given.push((param, owned(value)));
        Ok(())
    }

    /// The value of a parameter: what was given, else its default.
    #[inline(never)]
    pub fn value(&self, param: &'static Param) -> Option<&str> {
        self.given(param).or(param.default)
    }

    /// The same, by name.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.value(self.find(name)?)
    }

    /// The value, as a type. Every value was checked at boot, so that only a type that is not the parameter's own, or a
    /// missing default, gives `None`.
    pub fn get_as<T: core::str::FromStr>(&self, name: &str) -> Option<T> {
        self.get(name)?.parse().ok()
    }

    /// The value that the command line gives, if it does.
    pub fn get_given(&self, name: &str) -> Option<&str> {
        self.given(self.find(name)?)
    }

    /// All parameters that are declared.
    pub fn declared(&self) -> impl Iterator<Item = &'static Param> {
        self.declared.iter().copied().flatten()
    }

    /// Whether the command line asks for [`help`](Self::help).
    pub fn wants_help(&self) -> bool {
        self.wants_help
    }

    /// All parameters: name and default in a line, what it is for and what values it takes in the next.
    pub fn help(&self) -> String {
        let mut text = String::new();
        for Param { name, kind, default, help } in self.declared() {
            let default = default.unwrap_or("");
            for part in ["  ", name, "=", default, "\n      ", help, ": ", kind.what, "\n"] {
                text.push_str(part);
            }
        }
        text
    }

    fn given(&self, param: &'static Param) -> Option<&str> {
        self.given.iter().find(|(p, _)| core::ptr::eq(*p, param)).map(|(_, v)| v.as_str())
    }

    fn find(&self, name: &str) -> Option<&'static Param> {
        self.declared().find(|p| p.name == name || without_interface(p.name) == name)
    }

    fn unknown(&self, name: &str) -> ParamError {
        let (mut hint, mut known) = (String::new(), String::new());
        for param in self.declared() {
            for near in [param.name, without_interface(param.name)] {
                if hint.is_empty() && is_near(near, name) {
                    hint = alloc::format!(": did you mean \"{near}\"?");
                }
            }
            known.push_str(if known.is_empty() { "" } else { ", " });
            known.push_str(param.name);
        }
        ParamError::Unknown { name: owned(name), hint, known }
    }
}

/// `ipv4` of `main.ipv4`.
fn without_interface(name: &str) -> &str {
    split_once(name, b'.').map_or(name, |(_, name)| name)
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
        Param { name: "greeting", kind: &TEXT, default: Some("hello"), help: "what to answer" },
    ];
    const IPV4_PARAM: Param =
        Param { name: "main.ipv4", kind: &IPV4_OR_DHCP, default: Some("dhcp"), help: "" };
    const GATEWAY: Param = Param { name: "main.gateway", kind: &IPV4, default: None, help: "the router" };
    static NET: [Param; 4] = [
        IPV4_PARAM,
        GATEWAY,
        Param { name: "back.ipv4", default: Some("10.9.0.1/8"), ..IPV4_PARAM },
        Param { name: "back.gateway", default: Some("10.9.0.2"), ..GATEWAY },
    ];

    fn parse(line: &str) -> Result<Params, ParamError> {
        Params::parse(line, &[&OWN, &NET])
    }

    #[test]
    fn values_defaults_and_interfaces() {
        let p = parse("  ipv4=10.0.2.15/24 gateway=10.0.2.2 back.ipv4=10.0.3.1/8 greeting=\"good  day\" ")
            .unwrap();
        assert_eq!(p.get("greeting"), Some("good  day"));
        assert_eq!(p.get("log"), Some("info"));
        assert_eq!(p.get("main.ipv4"), Some("10.0.2.15/24"));
        assert_eq!(p.get("back.ipv4"), Some("10.0.3.1/8"));
        assert_eq!(p.get("main.gateway"), Some("10.0.2.2"));
        assert_eq!(p.get("back.gateway"), Some("10.9.0.2"));
        let p = parse("").unwrap();
        assert_eq!(p.get("main.ipv4"), Some("dhcp"));
        assert_eq!(p.get("main.gateway"), None);
        assert_eq!(p.get("back.ipv4"), Some("10.9.0.1/8"));
        assert_eq!(p.get_given("back.ipv4"), None);
        assert!(!p.wants_help());
    }

    #[test]
    fn help_names_all_parameters() {
        let p = parse("ipv4=10.0.2.15/24 help greeting=hi").unwrap();
        assert!(p.wants_help());
        let help = p.help();
        let names: Vec<&str> = help.lines().step_by(2).map(str::trim).collect();
        let expected = [
            "log=info",
            "greeting=hello",
            "main.ipv4=dhcp",
            "main.gateway=",
            "back.ipv4=10.9.0.1/8",
            "back.gateway=10.9.0.2",
        ];
        assert_eq!(names, expected);
        assert!(help.contains("\n      what to answer: a text\n"), "{help}");
        assert!(help.ends_with("the router: an IPv4 address, such as 10.0.0.1\n"), "{help}");
    }

    #[test]
    fn what_makes_no_sense_is_one_clear_line() {
        for (line, said) in [
            (
                "ipv5=1.2.3.4",
                r#"boot parameter "ipv5" is unknown: did you mean "ipv4"?; known are: log, greeting, main.ipv4, main.gateway, back.ipv4, back.gateway"#,
            ),
            (
                "colour=red",
                r#"boot parameter "colour" is unknown; known are: log, greeting, main.ipv4, main.gateway, back.ipv4, back.gateway"#,
            ),
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
            (
                "debug",
                r#"boot parameter "debug" is unknown; known are: log, greeting, main.ipv4, main.gateway, back.ipv4, back.gateway"#,
            ),
            ("log=info log=warn", "boot parameter log is given twice"),
            ("ipv4=dhcp main.ipv4=dhcp", "boot parameter main.ipv4 is given twice"),
            ("greeting=\"hi", "a quote in the boot parameters does not end: greeting=hi"),
            (
                "side.ipv4=dhcp",
                r#"boot parameter "side.ipv4" is unknown; known are: log, greeting, main.ipv4, main.gateway, back.ipv4, back.gateway"#,
            ),
            (
                "bck.ipv4=dhcp",
                r#"boot parameter "bck.ipv4" is unknown: did you mean "back.ipv4"?; known are: log, greeting, main.ipv4, main.gateway, back.ipv4, back.gateway"#,
            ),
            (
                "main.log=info",
                r#"boot parameter "main.log" is unknown; known are: log, greeting, main.ipv4, main.gateway, back.ipv4, back.gateway"#,
            ),
        ] {
            assert_eq!(parse(line).unwrap_err().to_string(), said);
        }
    }

    #[test]
    fn an_appliance_without_network_has_no_network_parameters() {
        for line in ["ipv4=dhcp", "main.ipv4=dhcp"] {
            let e = Params::parse(line, &[&OWN]).unwrap_err();
            assert!(matches!(e, ParamError::Unknown { .. }), "{e}");
        }
    }
}
