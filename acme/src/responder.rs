//! Shows challenges: under a path of a web server (RFC 8555 section 8.3), and as certificates of its TLS (RFC 8737).

use crate::{Challenge, Error, Way};
use alloc::rc::Rc;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::cell::RefCell;
use fata_http::{Response, Router, Status};
use fata_libos::time::SystemTime;
use fata_tls::issue::IssueError;
use fata_tls::{AcmeChallenges, issue};

/// Where authorities look.
const PATH: &str = "/.well-known/acme-challenge/{token}";

/// The challenges of now. Cloning gives another handle of the same ones.
#[derive(Clone, Debug, Default)]
pub struct Responder {
    texts: Rc<RefCell<Vec<(String, String)>>>,
    certificates: AcmeChallenges,
}

impl Responder {
    /// The route, for a server on port 80. A server that redirects to HTTPS may keep it: authorities follow.
    pub fn route(&self, router: Router) -> Router {
        let texts = self.texts.clone();
        router.get_sync(PATH, move |request| {
            let token = request.param("token").unwrap_or_default();
            let texts = texts.borrow();
            match texts.iter().find(|(known, _)| *known == token) {
                Some((_, text)) => Response::text(text.clone()).content_type("application/octet-stream"),
                None => Response::error(Status::NOT_FOUND),
            }
        })
    }

    /// For [`ServerConfig::acme_challenges`](fata_tls::ServerConfig::acme_challenges) of the server on port 443.
    pub fn certificates(&self) -> AcmeChallenges {
        self.certificates.clone()
    }

    /// From now on shows it.
    pub fn present(&self, challenge: &Challenge) -> Result<(), Error> {
        match challenge.way {
            Way::Http => {
                self.withdraw(challenge);
                let Challenge { token, key_authorization, .. } = challenge;
                self.texts.borrow_mut().push((token.clone(), key_authorization.clone()));
            }
            Way::TlsAlpn => {
                let issued =
                    issue::acme_certificate(&challenge.name, &challenge.digest(), SystemTime::now())?;
                self.certificates
                    .present(&challenge.name, &issued.chain_pem, &issued.key_pem)
                    .map_err(|_| IssueError::Failed)?;
            }
        }
        Ok(())
    }

    /// Shows it no more.
    pub fn withdraw(&self, challenge: &Challenge) {
        match challenge.way {
            Way::Http => self.texts.borrow_mut().retain(|(token, _)| *token != challenge.token),
            Way::TlsAlpn => self.certificates.withdraw(&challenge.name.to_string()),
        }
    }
}
