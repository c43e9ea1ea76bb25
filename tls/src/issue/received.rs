//! What an authority gives out as a certificate: looked at before it is shown to anybody.

use super::{IssueError, Names, PrivateKey, certificate};
use crate::pem::{self, ConfigError};
use alloc::string::{String, ToString};
use rustls::pki_types::ServerName;
use webpki::EndEntityCert;

/// Certificates of a chain, at most: clients follow fewer (webpki six).
pub const MAX_CHAIN: usize = 10;

/// Why a chain is not the one that was asked for.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum BadChain {
    /// Not a chain of certificates, or that of another key.
    #[error(transparent)]
    Chain(#[from] ConfigError),
    /// More than [`MAX_CHAIN`].
    #[error("{0} certificates, where {MAX_CHAIN} are the most")]
    TooLong(usize),
    /// Its first certificate is for others.
    #[error("it is not for {0}")]
    OtherNames(String),
    /// What cannot be but for want of memory.
    #[error(transparent)]
    Issue(#[from] IssueError),
}

/// Looks whether the first certificate of a PEM text has this key and is for each of these names. Gives the certificates again, and
/// nothing that the text has beside them: who has written it is not to say what else is kept and read (RFC 8555, section 9.1, has
/// nothing else in it). Dates are not looked at, nor who has signed.
pub fn received(chain_pem: &str, key: &PrivateKey, names: &Names) -> Result<String, BadChain> {
    let certified = pem::certified(&crate::provider::signing(), chain_pem, &key.to_pem()?)?;
    let chain = &certified.cert;
    if chain.len() > MAX_CHAIN {
        return Err(BadChain::TooLong(chain.len()));
    }
    let first = chain.first().map(EndEntityCert::try_from);
    let Some(Ok(first)) = first else { return Err(ConfigError::BadCertificate(1).into()) };
    for name in names.iter().map(ToString::to_string) {
        let is_for = |name: ServerName<'_>| first.verify_is_valid_for_subject_name(&name).is_ok();
        if !ServerName::try_from(name.as_str()).is_ok_and(is_for) {
            return Err(BadChain::OtherNames(name));
        }
    }
    let mut text = String::new();
    for certificate in chain {
        text += &certificate::text("CERTIFICATE", certificate)?;
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::super::{MAX_DATE, self_signed, self_signed_with};
    use super::*;
    use fata_libos::testing::run;
    use fata_libos::time::SystemTime;

    const NAMES: [&str; 3] = ["a.test", "10.0.0.2", "2001:db8::2"];

    #[test]
    fn the_chain_of_the_key_for_the_names_and_nothing_else() {
        run(async {
            let key = PrivateKey::generate().unwrap();
            let own = self_signed_with(&key, &NAMES, SystemTime::now(), MAX_DATE).unwrap().chain_pem;
            let other = self_signed(&NAMES, SystemTime::now(), MAX_DATE).unwrap();
            let names = |names: &[&str]| Names::parse(names).unwrap();
            let look = |text: &str| received(text, &key, &names(&NAMES));
            let whole = [&*own, &other.chain_pem].concat();
            assert_eq!(look(&whole).as_ref(), Ok(&whole));
            // Another order of the names, and fewer of them.
            assert_eq!(received(&own, &key, &names(&["10.0.0.2", "A.test"])).as_ref(), Ok(&own));
            // What is beside the certificates does not come along.
            let beside = ["part account 1 0\n", &*own.replace('\n', "\r\n"), &other.key_pem, "x"].concat();
            assert_eq!(look(&beside).as_ref(), Ok(&own));
            assert_eq!(look(&own.repeat(MAX_CHAIN)).map(|text| text.len()), Ok(own.len() * MAX_CHAIN));
            for (text, error) in [
                (own.repeat(MAX_CHAIN + 1), BadChain::TooLong(MAX_CHAIN + 1)),
                ([&*other.chain_pem, &own].concat(), ConfigError::KeyMismatch.into()),
                (String::new(), ConfigError::NoCertificate("no section".into()).into()),
            ] {
                assert_eq!(look(&text), Err(error));
            }
            for missing in ["b.test", "www.a.test", "10.0.0.3", "2001:db8::3"] {
                let error = received(&own, &key, &names(&["a.test", missing])).unwrap_err();
                assert_eq!(error, BadChain::OtherNames(missing.into()));
            }
        });
    }
}
