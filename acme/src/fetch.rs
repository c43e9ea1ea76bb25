//! The library's own client of HTTP as a [`Transport`].

use crate::{MAX_BODY, Method, Request, Response, Transport};
use alloc::string::ToString;
use fata_http::client::{Client, Connector, FetchError, Policy};
use fata_libos::time::Duration;

/// From a request's beginning to its answer's end.
const TOTAL_TIME: Duration = Duration::from_secs(60);

/// What a client should do by itself that is a [`Transport`]: follow no redirections, which ACME has none of, and end within a minute.
pub fn policy() -> Policy {
    Policy { redirects: 0, total_time: Some(TOTAL_TIME), connections: 2, ..Policy::default() }
}

/// With a [`policy`] such as the one above.
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Url;
    use alloc::rc::Rc;
    use alloc::string::String;
    use alloc::vec::Vec;
    use core::cell::RefCell;
    use embedded_io_async::{ErrorKind, ErrorType, Read, Write};
    use fata_http::client::{Origin, Scheme};
    use fata_libos::testing::run;
    use fata_libos::time::Instant;

    /// A server that answers each connection alike, and then is silent.
    struct Canned {
        answer: Vec<u8>,
        asked: Rc<RefCell<Vec<u8>>>,
    }

    struct Answer(Vec<u8>);
    struct Asked(Rc<RefCell<Vec<u8>>>);

    impl Connector for Canned {
        type Reader = Answer;
        type Writer = Asked;
        type Error = &'static str;

        async fn connect(&self, origin: &Origin) -> Result<(Answer, Asked), &'static str> {
            assert_eq!((origin.scheme(), origin.host(), origin.port()), (Scheme::Https, "a.test", 14000));
            if self.answer.is_empty() {
                return Err("no route");
            }
            Ok((Answer(self.answer.clone()), Asked(self.asked.clone())))
        }

        fn has_input(&self, _: &mut Answer) -> Option<bool> {
            None
        }
    }

    impl ErrorType for Answer {
        type Error = ErrorKind;
    }

    impl Read for Answer {
        async fn read(&mut self, buf: &mut [u8]) -> Result<usize, ErrorKind> {
            if self.0.is_empty() {
                core::future::pending::<()>().await;
            }
            let n = buf.len().min(self.0.len());
            buf[..n].copy_from_slice(&self.0[..n]);
            self.0.drain(..n);
            Ok(n)
        }
    }

    impl ErrorType for Asked {
        type Error = ErrorKind;
    }

    impl Write for Asked {
        async fn write(&mut self, buf: &[u8]) -> Result<usize, ErrorKind> {
            self.0.borrow_mut().extend_from_slice(buf);
            Ok(buf.len())
        }

        async fn flush(&mut self) -> Result<(), ErrorKind> {
            Ok(())
        }
    }

    /// Asks a server that answers so; what came, and what it was asked.
    async fn ask(
        method: Method,
        body: &str,
        answer: impl Into<Vec<u8>>,
    ) -> (Result<Response, FetchError<&'static str>>, String) {
        let asked = Rc::new(RefCell::default());
        let mut client = Client::with(Canned { answer: answer.into(), asked: asked.clone() }, policy());
        let url = Url::new("https://a.test:14000/dir").unwrap();
        let result = Transport::send(&mut client, &Request { method, url, body: body.into() }).await;
        (result, String::from_utf8(asked.take()).unwrap())
    }

    #[test]
    fn requests_and_answers_are_carried() {
        run(async {
            let plain = "HTTP/1.1 200 OK\r\nReplay-Nonce: abc\r\nX: \u{ff}\r\nContent-Length: 2\r\n\r\n{}";
            let plain: Vec<u8> = plain.chars().map(|c| c as u8).collect();
            let (result, asked) = ask(Method::Get, "", plain).await;
            let response = result.unwrap();
            assert!(asked.starts_with("GET /dir HTTP/1.1\r\n"), "{asked}");
            assert!(asked.contains("Host: a.test:14000\r\n"), "{asked}");
            assert!(asked.contains(&format!("User-Agent: {}\r\n", Request::USER_AGENT)), "{asked}");
            assert_eq!(
                (response.status, response.field("replay-nonce"), &*response.body),
                (200, Some("abc"), &b"{}"[..])
            );
            // What is no text is left out.
            assert_eq!(response.field("X"), None);
            // A length without content belongs to HEAD.
            let (result, asked) =
                ask(Method::Head, "", "HTTP/1.1 200 OK\r\nReplay-Nonce: d\r\nContent-Length: 9\r\n\r\n")
                    .await;
            let response = result.unwrap();
            assert!(asked.starts_with("HEAD /dir HTTP/1.1\r\n"), "{asked}");
            assert_eq!((response.field("Replay-Nonce"), response.body.len()), (Some("d"), 0));
            let refusal = "HTTP/1.1 400 Bad Request\r\nContent-Length: 13\r\n\r\n{\"type\":\"no\"}";
            let (result, asked) = ask(Method::Post, "{\"a\":1}", refusal).await;
            let response = result.unwrap();
            assert!(asked.starts_with("POST /dir HTTP/1.1\r\n"), "{asked}");
            assert!(asked.contains("Content-Type: application/jose+json\r\n"), "{asked}");
            assert!(
                asked.contains("Content-Length: 7\r\n") && asked.ends_with("\r\n\r\n{\"a\":1}"),
                "{asked}"
            );
            assert_eq!((response.status, &*response.body), (400, &b"{\"type\":\"no\"}"[..]));
        });
    }

    #[test]
    fn what_acme_has_none_of_is_not_done() {
        run(async {
            // A redirection is an answer like others, which the protocol refuses.
            let elsewhere = "HTTP/1.1 302 Found\r\nLocation: https://b.test/\r\nContent-Length: 0\r\n\r\n";
            let (result, _) = ask(Method::Get, "", elsewhere).await;
            let response = result.unwrap();
            assert_eq!((response.status, response.field("location")), (302, Some("https://b.test/")));
            for (length, is_taken) in [(MAX_BODY, true), (MAX_BODY + 1, false)] {
                let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n");
                let (result, _) =
                    ask(Method::Get, "", [head.into_bytes(), alloc::vec![b'a'; length]].concat()).await;
                assert_eq!(result.is_ok_and(|response| response.body.len() == length), is_taken, "{length}");
            }
            // Who sends something now and then is not waited for for ever.
            let began = Instant::now();
            let (result, _) = ask(Method::Get, "", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nab").await;
            assert!(result.is_err() && began.elapsed() <= TOTAL_TIME, "{:?}", began.elapsed());
            let (result, _) = ask(Method::Get, "", "").await;
            assert!(result.unwrap_err().to_string().contains("no route"));
        });
    }
}
