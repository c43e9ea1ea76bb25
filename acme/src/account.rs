//! Who asks: the account and its key.

use crate::jws::ExternalAccount;
use crate::{Error, Url};
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use fata_tls::issue::PrivateKey;

/// Asks for an account that has to be there (RFC 8555 section 7.3.1).
pub(crate) const EXISTING: &str = r#"{"onlyReturnExisting":true}"#;

/// What an account is made of.
#[derive(Clone, Debug, Default)]
pub struct Settings {
    /// Addresses of mail, at which the authority warns.
    contacts: Vec<String>,
    terms: Terms,
    existence: Existence,
    external: Option<ExternalAccount>,
}

/// Whether the authority's terms of service are agreed to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Terms {
    /// No: an authority that has some is not used.
    #[default]
    NotAgreed,
    /// Yes, whatever they are.
    Agreed,
}

/// Whether an account may be made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Existence {
    /// It is made where there is none.
    #[default]
    MayBeNew,
    /// The key has to have one (`onlyReturnExisting`).
    Required,
}

impl Settings {
    /// Addresses of mail.
    pub fn contacts<T: AsRef<str>>(mut self, contacts: &[T]) -> Result<Self, Error> {
        for contact in contacts.iter().map(AsRef::as_ref) {
            let (local, host) = contact.split_once('@').unwrap_or_default();
            // One address each, and no fields of a mail (RFC 8555 section 7.3).
            let is_plain =
                |octet: u8| octet.is_ascii_graphic() && !matches!(octet, b'"' | b'\\' | b',' | b'?');
            if local.is_empty() || host.is_empty() || contact.len() > 254 || !contact.bytes().all(is_plain) {
                return Err(Error::BadContact(crate::error::bounded(contact)));
            }
            self.contacts.push(contact.into());
        }
        Ok(self)
    }

    /// Whether the authority's terms are agreed to.
    pub fn terms(mut self, terms: Terms) -> Self {
        self.terms = terms;
        self
    }

    /// Whether an account may be made.
    pub fn existence(mut self, existence: Existence) -> Self {
        self.existence = existence;
        self
    }

    /// An account that the authority knows otherwise.
    pub fn external_account(mut self, account: ExternalAccount) -> Self {
        self.external = Some(account);
        self
    }

    /// Whether an authority that wants this can be used.
    pub(crate) fn check(&self, meta: &crate::wire::Meta) -> Result<(), Error> {
        if let (Some(terms), Terms::NotAgreed) = (&meta.terms_of_service, self.terms) {
            return Err(Error::TermsNotAgreed(crate::error::bounded(terms)));
        }
        Ok(())
    }

    /// Whether there is an account that the authority knows otherwise.
    pub(crate) fn is_bound(&self) -> bool {
        self.external.is_some()
    }

    /// What asks for the account of a key (RFC 8555 section 7.3).
    pub(crate) fn payload(&self, key: &PrivateKey, url: &str) -> Result<String, Error> {
        if self.existence == Existence::Required {
            return Ok(EXISTING.into());
        }
        let mut members = Vec::new();
        if self.terms == Terms::Agreed {
            members.push(r#""termsOfServiceAgreed":true"#.to_string());
        }
        if !self.contacts.is_empty() {
            let contacts: Vec<_> = self.contacts.iter().map(|c| alloc::format!(r#""mailto:{c}""#)).collect();
            members.push(alloc::format!(r#""contact":[{}]"#, contacts.join(",")));
        }
        if let Some(external) = &self.external {
            members.push(alloc::format!(r#""externalAccountBinding":{}"#, external.bind(key, url)?));
        }
        Ok(alloc::format!("{{{}}}", members.join(",")))
    }
}

/// An account's key, and its URL once the authority has said it.
#[derive(Clone, Debug)]
pub struct Account {
    /// The key.
    pub key: PrivateKey,
    /// Where the authority has it: what requests name as their signer.
    pub url: Option<Url>,
}

impl Account {
    /// With a new key.
    pub fn generate() -> Result<Self, Error> {
        Ok(Self { key: PrivateKey::generate()?, url: None })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use fata_libos::testing::run;

    #[test]
    fn what_is_asked_for() {
        run(async {
            let key = PrivateKey::generate().unwrap();
            let payload = |settings: &Settings| settings.payload(&key, "https://a.test/new").unwrap();
            let settings = Settings::default();
            assert_eq!(payload(&settings), "{}");
            let settings = settings.contacts(&["a@b.test", "c+d@e.test"]).unwrap().terms(Terms::Agreed);
            let whole = r#"{"termsOfServiceAgreed":true,"contact":["mailto:a@b.test","mailto:c+d@e.test"]}"#;
            assert_eq!(payload(&settings), whole);
            let bound = settings.clone().external_account(ExternalAccount::new("kid", "a2V5").unwrap());
            let json: serde_json::Value = serde_json::from_str(&payload(&bound)).unwrap();
            assert_eq!(
                json["externalAccountBinding"]["protected"],
                crate::jws::base64(br#"{"alg":"HS256","kid":"kid","url":"https://a.test/new"}"#,)
            );
            assert_eq!(payload(&settings.existence(Existence::Required)), r#"{"onlyReturnExisting":true}"#);
            for contact in
                ["", "a", "@", "a@", "@b", "a@b\",\"c@d", "a@b,c@d", "a@b?subject=c", "a @b", "ä@b"]
            {
                let refused = Settings::default().contacts(&[contact]).unwrap_err();
                assert_eq!(refused, Error::BadContact(contact.into()));
            }
        });
    }

    #[test]
    fn which_authority_can_be_used() {
        let meta =
            crate::wire::Meta { terms_of_service: Some("terms".into()), external_account_required: true };
        let settings = Settings::default();
        assert_eq!(settings.check(&meta), Err(Error::TermsNotAgreed("terms".into())));
        assert_eq!(settings.terms(Terms::Agreed).check(&meta), Ok(()));
        assert_eq!(Settings::default().check(&Default::default()), Ok(()));
    }
}
