//! What can go wrong, and what an authority says that went wrong (RFC 8555 section 6.7, RFC 7807).

use alloc::string::String;
use alloc::vec::Vec;
use fata_libos::time::{Duration, SystemTime};
use fata_tls::issue::IssueError;
use serde::Deserialize;

/// Octets that are kept of each text of a problem.
const MAX_TEXT: usize = 512;
/// Of how many names it is kept what is wrong with each.
const MAX_SUBPROBLEMS: usize = 8;
/// What the types of ACME's problems begin with.
const NAMESPACE: &str = "urn:ietf:params:acme:error:";

/// What an authority says that went wrong. It is text from elsewhere: of bounded length, without control characters.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(from = "RawProblem")]
pub struct Problem {
    /// Its type: of those of ACME the last word alone, such as `rateLimited`. Empty where there is none.
    pub kind: String,
    /// What is wrong, for people.
    pub detail: String,
}

#[derive(Deserialize)]
struct RawProblem {
    #[serde(default, rename = "type")]
    kind: String,
    #[serde(default)]
    detail: String,
    /// Where a person has to go, with `userActionRequired`.
    instance: Option<String>,
    /// What is wrong with each name (RFC 8555 section 6.7.1).
    subproblems: Option<Vec<Subproblem>>,
}

#[derive(Deserialize)]
struct Subproblem {
    #[serde(default)]
    detail: String,
    identifier: Option<crate::wire::Identifier>,
}

impl From<RawProblem> for Problem {
    fn from(raw: RawProblem) -> Self {
        let kind = raw.kind.strip_prefix(NAMESPACE).unwrap_or(&raw.kind);
        let mut detail = raw.detail;
        if let Some(instance) = &raw.instance {
            detail = alloc::format!("{detail} ({instance})");
        }
        for problem in raw.subproblems.iter().flatten().take(MAX_SUBPROBLEMS) {
            let name = problem.identifier.as_ref().map_or("", |identifier| &identifier.value);
            detail = alloc::format!("{}; {name}: {}", bounded(&detail), bounded(&problem.detail));
        }
        Self { kind: bounded(kind), detail: bounded(&detail) }
    }
}

impl core::fmt::Display for Problem {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match (self.kind.as_str(), self.detail.as_str()) {
            ("", "") => f.write_str("no reason is given"),
            ("", detail) => f.write_str(detail),
            (kind, "") => f.write_str(kind),
            (kind, detail) => write!(f, "{kind}: {detail}"),
        }
    }
}

/// So much of a text from elsewhere as is fit to be logged.
pub(crate) fn bounded(text: &str) -> String {
    let clean = |c: char| if c.is_control() { ' ' } else { c };
    let mut length = 0;
    let fits = |c: &char| {
        length += c.len_utf8();
        length <= MAX_TEXT
    };
    text.chars().map(clean).take_while(fits).collect()
}

/// Why there is no certificate.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The authority was not reached, again and again.
    #[error("the authority is not reached: {0}")]
    Unreachable(String),
    /// The authority refuses.
    #[error("the authority refuses to {doing} (status {status}): {problem}")]
    Refused {
        /// What was asked of it.
        doing: &'static str,
        /// Of the HTTP answer.
        status: u16,
        /// Why.
        problem: Problem,
    },
    /// The authority wants to be asked later.
    #[error("the authority wants to be asked to {doing} later, not before {}: {problem}", until.utc())]
    Later {
        /// What was asked of it.
        doing: &'static str,
        /// When it may be asked again.
        until: SystemTime,
        /// Why.
        problem: Problem,
    },
    /// The authority found no proof that a name is ours.
    #[error("the authority does not find {name} to be ours: {problem}")]
    NotOurs {
        /// Which name.
        name: String,
        /// Why.
        problem: Problem,
    },
    /// The authority has given an order up.
    #[error("the authority has ended the order: {0}")]
    OrderEnded(Problem),
    /// None of the ways that are there to show that a name is ours.
    #[error("{0} can be shown to be ours by no challenge that there is")]
    NoChallenge(String),
    /// A wildcard is shown to be ours by DNS alone.
    #[error("{0} is a wildcard, which wants a challenge by DNS: there is none here")]
    Wildcard(String),
    /// The authority's terms have to be agreed to, first.
    #[error("the authority's terms are not agreed to: {0}")]
    TermsNotAgreed(String),
    /// The authority wants to know the account otherwise.
    #[error("the authority wants an account that it knows otherwise (external account binding)")]
    NoExternalAccount,
    /// The name or key of that account.
    #[error("the external account has a name without blanks and a key in base64url")]
    BadExternalAccount,
    /// An address that is none of a person's.
    #[error("{0:?} is no address of mail")]
    BadContact(String),
    /// A URL that is none, or not `https`.
    #[error("{0:?} is not an https URL")]
    BadUrl(String),
    /// The authority does not get ready.
    #[error("the authority was not done to {doing} after {} s", after.as_secs())]
    TooSlow {
        /// What was waited for.
        doing: &'static str,
        /// How long.
        after: Duration,
    },
    /// An answer that RFC 8555 does not have.
    #[error("the authority's answer cannot be used, when it was asked to {doing}: {why}")]
    BadAnswer {
        /// What was asked of it.
        doing: &'static str,
        /// What is wrong with it.
        why: String,
    },
    /// A key, a certificate or a request.
    #[error(transparent)]
    Issue(#[from] IssueError),
    /// What has come, or was kept, is not shown.
    #[error("the certificate cannot be shown: {0}")]
    Unshown(String),
    /// What was kept cannot be read.
    #[error("the kept state cannot be read, its {part}: {why}")]
    BadState {
        /// Which part of it: the account, the certificate, or where both begin.
        part: &'static str,
        /// What is wrong with it.
        why: &'static str,
    },
}

impl Error {
    /// What kind it is, in one word: for figures.
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Unreachable(_) => "unreachable",
            Self::Refused { .. } => "refused",
            Self::Later { .. } => "later",
            Self::NotOurs { .. } => "not_ours",
            Self::OrderEnded(_) => "order_ended",
            Self::NoChallenge(_) => "no_challenge",
            Self::TooSlow { .. } => "too_slow",
            Self::BadAnswer { .. } => "bad_answer",
            Self::Issue(_) => "issue",
            Self::Unshown(_) => "unshown",
            Self::BadState { .. } => "state",
            _ => "settings",
        }
    }

    /// From when on the authority wants to be asked again, if it said so.
    pub fn until(&self) -> Option<SystemTime> {
        match self {
            Self::Later { until, .. } => Some(*until),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn problems_are_of_bounded_length_and_fit_to_be_logged() {
        let read = |text: &str| serde_json::from_str::<Problem>(text).unwrap().to_string();
        // RFC 8555 section 6.7.1.
        let known = r#"{"type": "urn:ietf:params:acme:error:malformed", "detail": "Some of the identifiers requested were rejected",
            "subproblems": [{"type": "urn:ietf:params:acme:error:malformed", "identifier": {"type": "dns", "value": "_example.org"}}]}"#;
        let said = "malformed: Some of the identifiers requested were rejected; _example.org: ";
        assert_eq!(read(known), said);
        let moved = r#"{"type":"urn:ietf:params:acme:error:userActionRequired","detail":"new terms","instance":"https://a.test/terms"}"#;
        assert_eq!(read(moved), "userActionRequired: new terms (https://a.test/terms)");
        let many = r#"{"detail":"no","identifier":{"type":"dns","value":"a.test"}},"#.repeat(20);
        let many = format!(r#"{{"detail":"none","subproblems":[{many}{{}}]}}"#);
        assert_eq!(read(&many), format!("none{}", "; a.test: no".repeat(8)));
        assert_eq!(read("{}"), "no reason is given");
        assert_eq!(read(r#"{"detail":"a\nb\u001b[31m"}"#), "a b [31m");
        assert_eq!(read(r#"{"type":"about:blank"}"#), "about:blank");
        let long = format!(r#"{{"detail":"{}"}}"#, "ä".repeat(100_000));
        assert_eq!(read(&long), "ä".repeat(256));
    }
}
