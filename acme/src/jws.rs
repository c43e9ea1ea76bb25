//! What a request to an authority is signed with: JWS (RFC 7515, RFC 7518), the key's thumbprint (RFC 7638), and the binding to an account
//! that the authority knows otherwise (RFC 8555 section 7.3.4).

use crate::Error;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use base64ct::{Base64UrlUnpadded, Encoding};
use fata_tls::issue::PrivateKey;
use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

/// base64url without padding (RFC 7515, section 2).
pub(crate) fn base64(octets: &[u8]) -> String {
    Base64UrlUnpadded::encode_string(octets)
}

/// Whether a text has the letters of base64url alone, and some.
pub(crate) fn is_base64(text: &str) -> bool {
    !text.is_empty()
        && text.bytes().all(|octet| octet.is_ascii_alphanumeric() || matches!(octet, b'-' | b'_'))
}

/// The public key (RFC 7518, section 6.2), its members in the order of a thumbprint (RFC 7638, section 3.2).
fn public(key: &PrivateKey) -> String {
    let (x, y) = key.public();
    format!(r#"{{"crv":"P-256","kty":"EC","x":"{}","y":"{}"}}"#, base64(&x), base64(&y))
}

fn thumbprint_of(public: &str) -> String {
    base64(&Sha256::digest(public.as_bytes()))
}

/// What a challenge's token and an account's key make together (RFC 8555, section 8.1).
pub(crate) fn key_authorization(token: &str, key: &PrivateKey) -> String {
    format!("{token}.{}", thumbprint_of(&public(key)))
}

/// Who signs: a key that the authority does not know yet, or an account, by its URL.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Signer<'a> {
    Key,
    Account(&'a str),
}

/// A request's body. The nonce and both URLs have nothing that JSON would write otherwise.
pub(crate) fn sign(
    key: &PrivateKey,
    signer: Signer<'_>,
    nonce: &str,
    url: &str,
    payload: &[u8],
) -> Result<Vec<u8>, Error> {
    let who = match signer {
        Signer::Key => format!(r#""jwk":{}"#, public(key)),
        Signer::Account(account) => format!(r#""kid":"{account}""#),
    };
    let protected = format!(r#"{{"alg":"ES256",{who},"nonce":"{nonce}","url":"{url}"}}"#);
    let (protected, payload) = (base64(protected.as_bytes()), base64(payload));
    let signature = key.sign_es256(format!("{protected}.{payload}").as_bytes())?;
    Ok(flat(&protected, &payload, &signature).into())
}

/// The flattened serialisation (RFC 7515, section 7.2.2).
fn flat(protected: &str, payload: &str, signature: &[u8]) -> String {
    let signature = base64(signature);
    format!(r#"{{"protected":"{protected}","payload":"{payload}","signature":"{signature}"}}"#)
}

/// An account that the authority knows otherwise, by the key's name and the key that it has given out.
#[derive(Clone)]
pub struct ExternalAccount {
    name: String,
    key: Zeroizing<Vec<u8>>,
}

impl core::fmt::Debug for ExternalAccount {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("ExternalAccount").field("name", &self.name).finish_non_exhaustive()
    }
}

impl ExternalAccount {
    /// The key's name, and the key in base64url, as authorities give them out.
    pub fn new(name: &str, key: &str) -> Result<Self, Error> {
        let is_good =
            !name.is_empty() && name.bytes().all(|o| o.is_ascii_graphic() && !matches!(o, b'"' | b'\\'));
        let key = Base64UrlUnpadded::decode_vec(key.trim_end_matches('=')).unwrap_or_default();
        match is_good && !key.is_empty() {
            true => Ok(Self { name: name.into(), key: key.into() }),
            false => Err(Error::BadExternalAccount),
        }
    }

    /// The account's public key, signed with the key that the authority knows.
    pub(crate) fn bind(&self, account: &PrivateKey, url: &str) -> Result<String, Error> {
        let protected = format!(r#"{{"alg":"HS256","kid":"{}","url":"{url}"}}"#, self.name);
        let (protected, payload) = (base64(protected.as_bytes()), base64(public(account).as_bytes()));
        let mac = mac(&self.key, format!("{protected}.{payload}").as_bytes())?;
        Ok(flat(&protected, &payload, &mac))
    }
}

fn mac(key: &[u8], message: &[u8]) -> Result<Vec<u8>, Error> {
    let mut mac = <Hmac<Sha256> as KeyInit>::new_from_slice(key).map_err(|_| Error::BadExternalAccount)?;
    mac.update(message);
    Ok(mac.finalize().into_bytes().as_slice().into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use fata_libos::testing::run;
    use p256::ecdsa::signature::Verifier;

    /// RFC 7515 appendix A.3.1, as PKCS#8.
    fn key_of_the_rfc() -> PrivateKey {
        let d = Base64UrlUnpadded::decode_vec("jpsQnnGQmL-YBIffH1136cspYG6-0iY7X1fCE9-E9LI").unwrap();
        let head = [
            0x30, 0x41, 2, 1, 0, 0x30, 0x13, 6, 7, 0x2a, 0x86, 0x48, 0xce, 0x3d, 2, 1, 6, 8, 0x2a, 0x86,
            0x48, 0xce, 0x3d, 3, 1, 7, 4, 0x27, 0x30, 0x25, 2, 1, 1, 4, 0x20,
        ];
        let text = base64ct::Base64::encode_string(&[&head[..], &d].concat());
        let lines: Vec<_> =
            text.as_bytes().chunks(64).map(|line| core::str::from_utf8(line).unwrap()).collect();
        let pem = format!("-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----\n", lines.join("\n"));
        PrivateKey::from_pem(&pem).unwrap()
    }

    #[test]
    fn the_public_key_of_rfc_7515() {
        let public = public(&key_of_the_rfc());
        assert_eq!(
            public,
            r#"{"crv":"P-256","kty":"EC","x":"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU","y":"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"}"#
        );
    }

    /// RFC 7638 section 3.1.
    #[test]
    fn the_thumbprint_of_rfc_7638() {
        let public = concat!(
            r#"{"e":"AQAB","kty":"RSA","n":"0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7a"#,
            "PFFxuhDR1L6tSoc_BJECPebWKRXjBZCiFV4n3oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_",
            "FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4l",
            r#"Fd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzKnqDKgw"}"#
        );
        assert_eq!(thumbprint_of(public), "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs");
    }

    /// RFC 7515 appendix A.3.1: the input of its signature, and that signature.
    #[test]
    fn the_signature_of_rfc_7515_is_one() {
        let protected = base64(br#"{"alg":"ES256"}"#);
        assert_eq!(protected, "eyJhbGciOiJFUzI1NiJ9");
        let payload =
            base64(b"{\"iss\":\"joe\",\r\n \"exp\":1300819380,\r\n \"http://example.com/is_root\":true}");
        assert_eq!(
            payload,
            "eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ"
        );
        let known = "DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q";
        let known = Base64UrlUnpadded::decode_vec(known).unwrap();
        run(async {
            let key = key_of_the_rfc();
            let (x, y) = key.public();
            let public = p256::ecdsa::VerifyingKey::from_sec1_bytes(&[&[4][..], &x, &y].concat()).unwrap();
            let message = format!("{protected}.{payload}");
            let ours = key.sign_es256(message.as_bytes()).unwrap();
            for signature in [&known[..], &ours] {
                let signature = p256::ecdsa::Signature::from_slice(signature).unwrap();
                public.verify(message.as_bytes(), &signature).unwrap();
            }
        });
    }

    /// RFC 7515 appendix A.1.1.
    #[test]
    fn the_mac_of_rfc_7515() {
        let key = "AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-1qS0gZH75aKtMN3Yj0iPS4hcgUuTwjAzZr1Z9CAow";
        let account = ExternalAccount::new("kid-1", key).unwrap();
        let message = "eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9.\
                       eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ";
        let mac = mac(&account.key, message.as_bytes()).unwrap();
        assert_eq!(base64(&mac), "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk");
        for (name, key) in [("", key), ("a b", key), ("a\"", key), ("a", ""), ("a", "no base64!")] {
            assert!(ExternalAccount::new(name, key).is_err(), "{name} {key}");
        }
    }

    /// Its parts as RFC 8555 section 6.2 wants them, and its signature over them.
    #[test]
    fn a_request_is_signed_as_a_whole() {
        run(async {
            let key = key_of_the_rfc();
            for (signer, who) in [
                (Signer::Account("https://a.test/acct/1"), r#""kid":"https://a.test/acct/1""#.into()),
                (Signer::Key, format!(r#""jwk":{}"#, public(&key))),
            ] {
                let body = sign(&key, signer, "nonce_1", "https://a.test/new", b"{}").unwrap();
                let body: serde_json::Value = serde_json::from_slice(&body).unwrap();
                let part = |name: &str| body[name].as_str().unwrap().to_owned();
                let protected = Base64UrlUnpadded::decode_vec(&part("protected")).unwrap();
                let wanted =
                    format!(r#"{{"alg":"ES256",{who},"nonce":"nonce_1","url":"https://a.test/new"}}"#);
                assert_eq!(String::from_utf8(protected).unwrap(), wanted);
                assert_eq!(part("payload"), "e30");
                let signature = Base64UrlUnpadded::decode_vec(&part("signature")).unwrap();
                let (x, y) = key.public();
                let public =
                    p256::ecdsa::VerifyingKey::from_sec1_bytes(&[&[4][..], &x, &y].concat()).unwrap();
                let message = format!("{}.{}", part("protected"), part("payload"));
                let signature = p256::ecdsa::Signature::from_slice(&signature).unwrap();
                public.verify(message.as_bytes(), &signature).unwrap();
            }
        });
    }
}
