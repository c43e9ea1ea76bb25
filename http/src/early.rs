//! Interim answers: what is said of a request before its response (RFC 9110 section 15.2), a proxy's above all.

use crate::body::Received;
use crate::request::Version;
use crate::{Response, Status};

/// Where a request's interim answers go, also while its content is read: [`Request::early`](crate::Request::early).
#[derive(Clone, Copy)]
pub struct Early<'a> {
    pub(crate) to: Received<'a>,
    pub(crate) version: Version,
}

impl Early<'_> {
    /// Sends status and fields of `answer`, whose status is one of 1xx but 101; of others nothing is sent, and nothing to clients of HTTP/1.0, which know
    /// none (RFC 9110 section 15.2). Waits while the client takes less than comes. How many there are is the caller's to bound.
    pub async fn send(&self, answer: &Response) {
        let is_interim = (100..200).contains(&answer.status.code());
        if !is_interim || answer.status == Status::SWITCHING_PROTOCOLS || self.version == Version::Http10 {
            return;
        }
        match self.to {
            Received::Http1(content) => content.put_interim(answer).await,
            #[cfg(feature = "h2")]
            Received::Http2(content) => content.send_interim(answer).await,
        }
    }
}
