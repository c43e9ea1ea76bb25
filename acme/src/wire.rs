//! What an authority answers (RFC 8555 sections 7.1 and 8), as far as it is used.

use crate::{Error, Problem};
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use fata_tls::issue::{Name, Names};
use serde::Deserialize;

/// Octets of a URL, at most.
const MAX_URL: usize = 2048;
/// Authorizations of an order, at most: one for each name.
pub(crate) const MAX_AUTHORIZATIONS: usize = fata_tls::issue::MAX_NAMES;
/// Octets of a token, at most: RFC 8555 wants 128 bits, which are 22.
const MAX_TOKEN: usize = 256;

/// A URL that is `https`, and has nothing that would have to be written otherwise in JSON or in a request's first line.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct Url(String);

impl Url {
    /// Looks at a text.
    pub fn new(text: &str) -> Result<Self, Error> {
        Self::try_from(String::from(text))
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for Url {
    type Error = Error;

    fn try_from(text: String) -> Result<Self, Error> {
        let is_plain =
            |octet: u8| octet.is_ascii_graphic() && !matches!(octet, b'"' | b'\\' | b'<' | b'>' | b'#');
        let host = text.strip_prefix("https://").unwrap_or_default();
        match text.len() <= MAX_URL
            && !host.is_empty()
            && !host.starts_with('/')
            && text.bytes().all(is_plain)
        {
            true => Ok(Self(text)),
            false => Err(Error::BadUrl(crate::error::bounded(&text))),
        }
    }
}

/// What an authority offers (section 7.1.1).
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Directory {
    pub(crate) new_nonce: Url,
    pub(crate) new_account: Url,
    pub(crate) new_order: Url,
    /// RFC 9773 section 4.
    pub(crate) renewal_info: Option<Url>,
    #[serde(default)]
    pub(crate) meta: Meta,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct Meta {
    pub(crate) terms_of_service: Option<String>,
    pub(crate) external_account_required: bool,
}

/// When a certificate is to be replaced (RFC 9773 section 4.2).
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Suggested {
    pub(crate) suggested_window: Window,
}

/// Two dates of RFC 3339.
#[derive(Debug, Deserialize)]
pub(crate) struct Window {
    pub(crate) start: String,
    pub(crate) end: String,
}

/// Of accounts, orders, authorizations and challenges (section 7.1.6). What is not known is as what has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Status {
    Pending,
    Ready,
    Processing,
    Valid,
    Invalid,
    #[serde(other)]
    Ended,
}

/// Section 7.1.3.
#[derive(Debug, Deserialize)]
pub(crate) struct Order {
    pub(crate) status: Status,
    pub(crate) authorizations: Vec<Url>,
    pub(crate) finalize: Url,
    pub(crate) certificate: Option<Url>,
    pub(crate) error: Option<Problem>,
}

/// Section 7.1.4.
#[derive(Debug, Deserialize)]
pub(crate) struct Authorization {
    pub(crate) status: Status,
    pub(crate) identifier: Identifier,
    pub(crate) challenges: Vec<Offered>,
}

impl Authorization {
    /// Which of these names it is for. Of others we show nothing.
    pub(crate) fn name<'a>(&self, names: &'a Names) -> Option<&'a Name> {
        let asked: Name = self.identifier.value.parse().ok()?;
        names.iter().find(|name| **name == asked)
    }
}

#[derive(Debug, Deserialize)]
pub(crate) struct Identifier {
    pub(crate) value: String,
}

/// A challenge of any type (section 8).
#[derive(Debug, Deserialize)]
pub(crate) struct Offered {
    #[serde(rename = "type")]
    pub(crate) kind: String,
    /// Types that are not known may have none.
    pub(crate) url: Option<Url>,
    #[serde(default)]
    pub(crate) token: String,
    pub(crate) status: Option<Status>,
    pub(crate) error: Option<Problem>,
}

impl Offered {
    /// Whether its token is one: it becomes part of a path, and of what is answered there (section 8.3).
    pub(crate) fn has_token(&self) -> bool {
        self.token.len() <= MAX_TOKEN && crate::jws::is_base64(&self.token)
    }
}

/// Reads an answer.
pub(crate) fn read<'a, T: Deserialize<'a>>(doing: &'static str, body: &'a [u8]) -> Result<T, Error> {
    serde_json::from_slice(body)
        .map_err(|e| Error::BadAnswer { doing, why: crate::error::bounded(&e.to_string()) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls() {
        let long = format!("https://a.test/{}", "a".repeat(2048));
        for (text, is_one) in [
            ("https://a.test/dir", true),
            ("https://a.test:14000/dir?a=b", true),
            ("https://[::1]/", true),
            ("http://a.test/dir", false),
            ("HTTPS://a.test", false),
            ("https://", false),
            ("https:///dir", false),
            ("https://a.test/a b", false),
            ("https://a.test/\"", false),
            ("https://a.test/\r\nHost: b", false),
            ("https://a.test/ä", false),
            ("", false),
            (&long, false),
        ] {
            assert_eq!(Url::new(text).is_ok(), is_one, "{text}");
        }
    }

    /// RFC 8555 sections 7.1.1, 7.1.3 and 7.1.4.
    #[test]
    fn the_examples_of_rfc_8555() {
        let directory: Directory = read(
            "",
            br#"{
     "newNonce": "https://example.com/acme/new-nonce",
     "newAccount": "https://example.com/acme/new-account",
     "newOrder": "https://example.com/acme/new-order",
     "newAuthz": "https://example.com/acme/new-authz",
     "revokeCert": "https://example.com/acme/revoke-cert",
     "keyChange": "https://example.com/acme/key-change",
     "meta": {
       "termsOfService": "https://example.com/acme/terms/2017-5-30",
       "website": "https://www.example.com/",
       "caaIdentities": ["example.com"],
       "externalAccountRequired": false
     }
   }"#,
        )
        .unwrap();
        assert_eq!(directory.new_order.as_str(), "https://example.com/acme/new-order");
        assert_eq!(
            directory.meta.terms_of_service.as_deref(),
            Some("https://example.com/acme/terms/2017-5-30")
        );
        let order: Order = read(
            "",
            br#"{
     "status": "valid",
     "expires": "2016-01-20T14:09:07.99Z",
     "identifiers": [
       { "type": "dns", "value": "www.example.org" },
       { "type": "dns", "value": "example.org" }
     ],
     "notBefore": "2016-01-01T00:00:00Z",
     "notAfter": "2016-01-08T00:00:00Z",
     "authorizations": [
       "https://example.com/acme/authz/PAniVnsZcis",
       "https://example.com/acme/authz/r4HqLzrSrpI"
     ],
     "finalize": "https://example.com/acme/order/TOlocE8rfgo/finalize",
     "certificate": "https://example.com/acme/cert/mAt3xBGaobw"
   }"#,
        )
        .unwrap();
        assert_eq!((order.status, order.authorizations.len()), (Status::Valid, 2));
        assert_eq!(order.certificate.unwrap().as_str(), "https://example.com/acme/cert/mAt3xBGaobw");
        let authorization: Authorization = read(
            "",
            br#"{
     "status": "valid",
     "expires": "2015-03-01T14:09:07.99Z",
     "identifier": { "type": "dns", "value": "www.example.org" },
     "challenges": [
       {
         "url": "https://example.com/acme/chall/prV_B7yEyA4",
         "type": "http-01",
         "status": "valid",
         "token": "DGyRejmCefe7v4NfDGDKfA",
         "validated": "2014-12-01T12:05:58.16Z"
       }
     ],
     "wildcard": false
   }"#,
        )
        .unwrap();
        assert_eq!(
            (authorization.status, &*authorization.identifier.value),
            (Status::Valid, "www.example.org")
        );
        assert!(authorization.challenges[0].has_token());
        let status = |text: &str| serde_json::from_str::<Status>(text).unwrap();
        assert_eq!(status("\"deactivated\""), Status::Ended);
    }
}
