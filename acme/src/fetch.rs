//! The library's own client of HTTP as a [`Transport`].

use crate::{MAX_BODY, Method, Request, Response, Transport};
use alloc::string::ToString;
use fata_http::client::{Client, Connector, FetchError};

/// Its [`Policy`](fata_http::client::Policy) should follow no redirections, which ACME has none of, and bound the whole time: a minute is
/// plenty.
impl<C: Connector> Transport for Client<C>
where
    FetchError<C::Error>: core::fmt::Display,
{
    type Error = FetchError<C::Error>;

    async fn send(&mut self, request: &Request) -> Result<Response, Self::Error> {
        let url = request.url.as_str();
        let asked = match request.method {
            Method::Get => self.get(url),
            Method::Head => self.head(url),
            Method::Post => {
                self.post(url).field("Content-Type", Request::CONTENT_TYPE).body(request.body.clone())
            }
        };
        let response = asked.field("User-Agent", Request::USER_AGENT).send().await?;
        let status = response.status().code();
        // A field that is no text is none of those that are used.
        let text = |value: &[u8]| core::str::from_utf8(value).ok().map(ToString::to_string);
        let fields =
            response.head().fields().filter_map(|(name, value)| Some((name.to_string(), text(value)?)));
        let fields = fields.collect();
        Ok(Response { status, fields, body: response.bytes(MAX_BODY).await? })
    }
}
