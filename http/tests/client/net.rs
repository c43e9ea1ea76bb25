//! A network in memory, for a client whose servers are tasks.

use crate::common::{End, PEER, duplex};
use embedded_io_async::{ErrorKind, ErrorType, Read, Write};
use fata_http::client::{Client, Connector, Origin, Policy};
use fata_http::{Router, Server};
use fata_libos::net::Abort;
use std::cell::RefCell;
use std::rc::Rc;

/// A server's end of a connection, of which the client has the two halves apart.
pub struct Both {
    pub read: End,
    pub write: End,
}

impl ErrorType for Both {
    type Error = ErrorKind;
}

impl Read for Both {
    async fn read(&mut self, buf: &mut [u8]) -> Result<usize, ErrorKind> {
        self.read.read(buf).await
    }
}

impl Write for Both {
    async fn write(&mut self, buf: &[u8]) -> Result<usize, ErrorKind> {
        self.write.write(buf).await
    }
    async fn flush(&mut self) -> Result<(), ErrorKind> {
        Ok(())
    }
}

impl Abort for Both {
    fn abort(&mut self) {
        self.write.abort();
    }
}

impl Both {
    /// Waits for a whole head, and gives it.
    pub async fn head(&mut self) -> String {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let mut octet = [0];
            if self.read(&mut octet).await != Ok(1) {
                break;
            }
            head.push(octet[0]);
        }
        String::from_utf8(head).unwrap()
    }
}

type Serve = Rc<dyn Fn(&Origin, Both)>;

/// Connects to what `serve` makes of an origin.
pub struct Net {
    serve: Serve,
    /// The origins that were connected to.
    pub seen: Rc<RefCell<Vec<String>>>,
    /// What it says of connections that wait.
    pub has_input: Option<bool>,
}

impl Connector for Net {
    type Reader = End;
    type Writer = End;
    type Error = &'static str;

    async fn connect(&self, origin: &Origin) -> Result<(End, End), &'static str> {
        match origin.host() {
            "refused" => return Err("refused"),
            "silent" => core::future::pending().await,
            _ => {}
        }
        self.seen.borrow_mut().push(format!("{}:{}", origin.scheme().as_str(), origin.authority()));
        let ((ours, read), (other, write)) = (duplex(4096), duplex(4096));
        (self.serve)(origin, Both { read, write });
        Ok((other, ours))
    }

    fn has_input(&self, _reader: &mut End) -> Option<bool> {
        self.has_input
    }
}

/// A client, and the origins that it has connected to.
pub fn client_of(
    serve: impl Fn(&Origin, Both) + 'static,
    has_input: Option<bool>,
    policy: Policy,
) -> (Client<Net>, Rc<RefCell<Vec<String>>>) {
    let seen = Rc::<RefCell<Vec<String>>>::default();
    let net = Net { serve: Rc::new(serve), seen: seen.clone(), has_input };
    (Client::with(net, policy), seen)
}

/// The same, where one site is at all origins.
pub fn client_of_site(router: Router, policy: Policy) -> (Client<Net>, Rc<RefCell<Vec<String>>>) {
    let server = Server::new(router);
    let serve = move |_: &Origin, end: Both| {
        let server = server.clone();
        fata_libos::spawn_detached(async move { server.serve_connection(end, PEER).await });
    };
    client_of(serve, Some(false), policy)
}

/// The same, where each connection is served by `serve`.
pub fn client_of_task<F: Future<Output = ()> + 'static>(
    serve: impl Fn(Both) -> F + 'static,
    has_input: Option<bool>,
    policy: Policy,
) -> (Client<Net>, Rc<RefCell<Vec<String>>>) {
    client_of(move |_, end| fata_libos::spawn_detached(serve(end)), has_input, policy)
}
