//! One step of an authority's protocol after the other: what holds for all of them. Requests are signed with a nonce (RFC 8555
//! section 6.5), asked again where that is worth it (sections 6.5 and 6.6), and later where the authority says when.

use crate::jws::{self, Signer};
use crate::transport::MAX_BODY;
use crate::wire::Directory;
use crate::{Account, Error, Method, Problem, Request, Response, Url};
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use fata_http::HttpDate;
use fata_libos::time::{Duration, Instant, SystemTime};

/// How often a request is sent at most, before the authority counts as not reached.
const MAX_TRIES: u32 = 6;
/// How often it is sent anew with another nonce.
const MAX_NONCES: u32 = 6;
/// Octets of a nonce, at most.
const MAX_NONCE: usize = 512;
/// What is waited for within an order: an authority that wants more is asked another day.
pub(crate) const MAX_WAIT: Duration = Duration::from_secs(300);
/// The longest time that a `Retry-After` is believed.
const MAX_LATER: Duration = Duration::from_secs(7 * 86_400);

/// Now, by both clocks.
#[derive(Clone, Copy, Debug)]
pub struct Now {
    /// By which is waited.
    pub instant: Instant,
    /// By which the authority may say how long.
    pub wall: SystemTime,
}

impl Now {
    /// As the platform has it.
    pub fn get() -> Self {
        Self { instant: Instant::now(), wall: SystemTime::now() }
    }
}

/// What is asked, and how that is said to people.
#[derive(Debug)]
pub(crate) struct Ask {
    pub(crate) doing: &'static str,
    pub(crate) how: How,
}

#[derive(Debug)]
pub(crate) enum How {
    Get(Url),
    /// Signed by the key, whose account is not known yet.
    ByKey(Url, Vec<u8>),
    /// Signed by the account. A body that is empty asks for what is there (POST-as-GET, section 6.3).
    ByAccount(Url, Vec<u8>),
}

/// What came of an answer.
pub(crate) enum Came {
    /// What was asked for.
    Answer(Response),
    /// A nonce, or nothing yet: it has to be asked again.
    Again,
    /// A refusal.
    Refusal(u16, Problem),
}

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Exchange {
    nonce: Option<String>,
    tries: u32,
    nonces: u32,
    /// Whether what is on its way asks for a nonce alone.
    is_for_nonce: bool,
    /// Nothing is asked before.
    pub(crate) not_before: Option<Instant>,
}

impl Exchange {
    /// The request: for a nonce first, if one is needed and not there.
    pub(crate) fn request(
        &mut self,
        ask: Ask,
        directory: Option<&Directory>,
        account: &Account,
    ) -> Result<Request, Error> {
        let (url, signer, payload) = match ask.how {
            How::Get(url) => return Ok(Request { method: Method::Get, url, body: Vec::new() }),
            How::ByKey(url, payload) => (url, Signer::Key, payload),
            How::ByAccount(url, payload) => {
                let known = account.url.as_ref().ok_or_else(|| no_directory(ask.doing))?;
                (url, Signer::Account(known.as_str()), payload)
            }
        };
        let Some(nonce) = self.nonce.take() else {
            let url = directory.ok_or_else(|| no_directory(ask.doing))?.new_nonce.clone();
            self.is_for_nonce = true;
            return Ok(Request { method: Method::Head, url, body: Vec::new() });
        };
        let body = jws::sign(&account.key, signer, &nonce, url.as_str(), &payload)?;
        Ok(Request { method: Method::Post, url, body })
    }

    /// Looks at what came of it.
    pub(crate) fn came(
        &mut self,
        doing: &'static str,
        now: Now,
        result: Result<Response, String>,
    ) -> Result<Came, Error> {
        let was_for_nonce = core::mem::take(&mut self.is_for_nonce);
        let response = match result {
            Ok(response) => response,
            Err(why) => return self.again(now, || Error::Unreachable(crate::error::bounded(&why))),
        };
        let nonce =
            response.field("Replay-Nonce").filter(|nonce| nonce.len() <= MAX_NONCE && jws::is_base64(nonce));
        self.nonce = nonce.map(ToString::to_string);
        if response.body.len() > MAX_BODY {
            return Err(Error::BadAnswer { doing, why: "it is too long".into() });
        }
        match response.status {
            200..=299 if was_for_nonce && self.nonce.is_none() => {
                Err(Error::BadAnswer { doing: "give a nonce", why: "there is none".into() })
            }
            200..=299 if was_for_nonce => Ok(Came::Again),
            200..=299 => {
                (self.tries, self.nonces) = (0, 0);
                Ok(Came::Answer(response))
            }
            status => self.refused(doing, now, status, &response),
        }
    }

    fn refused(
        &mut self,
        doing: &'static str,
        now: Now,
        status: u16,
        response: &Response,
    ) -> Result<Came, Error> {
        // What has another form was not said by the authority itself.
        let nothing = Problem { kind: String::new(), detail: String::new() };
        let problem = serde_json::from_slice::<Problem>(&response.body).unwrap_or(nothing);
        if problem.kind == "badNonce" && self.nonces < MAX_NONCES {
            self.nonces += 1;
            return Ok(Came::Again);
        }
        let is_busy = matches!(status, 408 | 425 | 429 | 500..=599) || problem.kind == "rateLimited";
        if !is_busy {
            return Ok(Came::Refusal(status, problem));
        }
        match retry_after(response, now.wall) {
            Some(wait) if wait > MAX_WAIT => {
                let until = SystemTime::from_unix(now.wall.since_unix().saturating_add(wait));
                Err(Error::Later { doing, until, problem })
            }
            Some(wait) if self.tries + 1 < MAX_TRIES => {
                self.tries += 1;
                self.not_before = Some(now.instant + wait);
                Ok(Came::Again)
            }
            _ => self.again(now, || Error::Refused { doing, status, problem }),
        }
    }

    /// Once more, each time after twice as long, unless it was tried often enough.
    fn again(&mut self, now: Now, error: impl FnOnce() -> Error) -> Result<Came, Error> {
        self.tries += 1;
        if self.tries >= MAX_TRIES {
            return Err(error());
        }
        self.not_before = Some(now.instant + Duration::from_secs(1 << self.tries.min(8)));
        Ok(Came::Again)
    }
}

fn no_directory(doing: &'static str) -> Error {
    Error::BadAnswer { doing, why: "nothing is known of the authority".into() }
}

/// Seconds or a date (RFC 9110 section 10.2.3).
pub(crate) fn retry_after(response: &Response, wall: SystemTime) -> Option<Duration> {
    let text = response.field("Retry-After")?;
    let wait = match text.parse() {
        Ok(seconds) => Duration::from_secs(seconds),
        Err(_) => {
            let date: SystemTime = HttpDate::parse(text.as_bytes())?.into();
            date.since_unix().saturating_sub(wall.since_unix())
        }
    };
    Some(wait.min(MAX_LATER))
}
