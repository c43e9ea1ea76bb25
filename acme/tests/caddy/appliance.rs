//! An appliance over the host's sockets: servers on ports 80 and 443, a transport over TLS, a storage in memory.

use crate::authority::Authority;
use embedded_io_async::{ErrorKind, ErrorType, Read, Write};
use fata_acme::{
    Account, Acquisition, Error, Issued, Keeper, Names, Responder, Settings, Storage, Url, Way, obtain,
    policy,
};
use fata_http::client::{Client, Connector, Origin};
use fata_http::{Router, Server};
use fata_libos::net::Abort;
use fata_libos::task::{Task, block_on};
use fata_libos::time::{Duration, SystemTime, timeout};
use fata_tls::issue::{MAX_DATE, self_signed};
use fata_tls::{ClientConfig, ServerConfig, TlsAcceptor, TlsConnector, TlsReader, TlsWriter};
use fata_unix::UnixPlatform;
use fata_unix::socket::{TcpListener, TcpStream};
use std::cell::RefCell;
use std::fs;
use std::future::poll_fn;
use std::rc::Rc;

/// A host's stream with the traits. A clone is the same one.
#[derive(Clone)]
struct Socket(Rc<TcpStream>);

impl ErrorType for Socket {
    type Error = ErrorKind;
}

impl Read for Socket {
    async fn read(&mut self, buf: &mut [u8]) -> Result<usize, ErrorKind> {
        poll_fn(|cx| self.0.poll_read(cx, buf)).await.map_err(|_| ErrorKind::Other)
    }
}

impl Write for Socket {
    async fn write(&mut self, buf: &[u8]) -> Result<usize, ErrorKind> {
        poll_fn(|cx| self.0.poll_write(cx, buf)).await.map_err(|_| ErrorKind::Other)
    }
    async fn flush(&mut self) -> Result<(), ErrorKind> {
        Ok(())
    }
}

impl Abort for Socket {
    fn abort(&mut self) {
        self.0.abort();
    }
}

/// Connections to the authority, for the library's own client.
struct Dialer {
    platform: &'static UnixPlatform,
    connector: TlsConnector,
}

impl Connector for Dialer {
    type Reader = TlsReader<Socket>;
    type Writer = TlsWriter<Socket>;
    type Error = String;

    async fn connect(&self, origin: &Origin) -> Result<(Self::Reader, Self::Writer), String> {
        let address = ([127, 0, 0, 1], origin.port()).into();
        let stream = TcpStream::connect(self.platform.reactor(), address).await.map_err(|e| e.to_string())?;
        let stream = Socket(Rc::new(stream));
        let stream = self.connector.connect(origin.host(), stream).await.map_err(|e| e.to_string())?;
        stream.split(|socket| (socket.clone(), socket)).await.map_err(|e| e.to_string())
    }

    fn has_input(&self, _: &mut Self::Reader) -> Option<bool> {
        None
    }
}

type Fetcher = Client<Dialer>;

/// Keeps a state for as long as somebody has it.
#[derive(Clone, Default)]
pub struct Memory(Rc<RefCell<Option<Vec<u8>>>>);

impl Memory {
    pub fn octets(&self) -> Vec<u8> {
        self.0.borrow().clone().expect("something was kept")
    }
}

impl Storage for Memory {
    type Error = std::convert::Infallible;

    async fn load(&mut self) -> Result<Option<Vec<u8>>, Self::Error> {
        Ok(self.0.borrow().clone())
    }

    async fn save(&mut self, octets: &[u8]) -> Result<(), Self::Error> {
        *self.0.borrow_mut() = Some(octets.into());
        Ok(())
    }
}

/// What runs.
pub struct Appliance {
    pub entry: Url,
    root: String,
    names: Names,
    ways: Vec<Way>,
    storage: Memory,
}

fn config(issued: &Issued, responder: &Responder) -> ServerConfig {
    let config = ServerConfig::from_pem(&issued.chain_pem, &issued.key_pem).unwrap();
    config.alpn(&["http/1.1"]).acme_challenges(responder.certificates())
}

impl Appliance {
    pub fn new(authority: &Authority, names: &[&str], ways: &[Way], storage: Memory) -> Self {
        Self {
            entry: Url::new(Authority::DIRECTORY).unwrap(),
            root: fs::read_to_string(authority.root()).unwrap(),
            names: Names::parse(names).unwrap(),
            ways: ways.into(),
            storage,
        }
    }

    fn transport(&self, platform: &'static UnixPlatform) -> Fetcher {
        let connector = TlsConnector::new(ClientConfig::from_roots_pem(&self.root).unwrap()).unwrap();
        Client::with(Dialer { platform, connector }, policy())
    }

    fn keeper(&self, platform: &'static UnixPlatform, responder: Responder) -> Keeper<Fetcher, Memory> {
        Keeper {
            authority: self.entry.clone(),
            settings: Settings::default(),
            names: self.names.clone(),
            ways: self.ways.clone(),
            responder,
            transport: self.transport(platform),
            storage: self.storage.clone(),
        }
    }

    /// Starts its servers, with a certificate of its own at first.
    fn serve(platform: &'static UnixPlatform, responder: &Responder) -> (TlsAcceptor, [Task<()>; 2]) {
        let listen =
            |port: u16| TcpListener::bind(platform.reactor(), ([127, 0, 0, 1], port).into()).unwrap();
        let (plain, secure) = (listen(80), listen(443));
        let own = self_signed(&["appliance.test"], SystemTime::now(), MAX_DATE).unwrap();
        let acceptor = TlsAcceptor::new(config(&own, responder)).unwrap();
        let http = Server::new(responder.route(Router::new()));
        let http = fata_libos::spawn(async move {
            let accept = async || {
                poll_fn(|cx| plain.poll_accept(cx))
                    .await
                    .map(|(stream, peer)| (Socket(Rc::new(stream)), peer))
            };
            http.serve(accept).await.unwrap();
        });
        let https = Server::new(Router::new().get_sync("/", |_| fata_http::Response::text("hello over TLS")));
        let tls = acceptor.listen(async move || {
            poll_fn(|cx| secure.poll_accept(cx)).await.map(|(stream, peer)| (Socket(Rc::new(stream)), peer))
        });
        let https = fata_libos::spawn(async move {
            https.serve(async move || tls.accept().await).await.unwrap();
        });
        (acceptor, [http, https])
    }

    /// Runs until so many certificates were shown; for each, what `look` finds on another thread meanwhile.
    pub fn run_until_certificates<R: Send + 'static>(
        &self,
        count: usize,
        look: impl Fn(&str) -> R + Clone + Send + 'static,
    ) -> Vec<R> {
        let platform = UnixPlatform::new().unwrap();
        block_on(platform, async {
            let responder = Responder::default();
            let (acceptor, servers) = Self::serve(platform, &responder);
            let shown = Rc::new(RefCell::new(Vec::new()));
            let keeper = self.keeper(platform, responder.clone());
            let keeping = {
                let shown = shown.clone();
                fata_libos::spawn(async move {
                    let end = keeper
                        .run(|issued| {
                            acceptor.replace(config(issued, &responder)).unwrap();
                            shown.borrow_mut().push(issued.chain_pem.clone());
                            Ok::<(), core::convert::Infallible>(())
                        })
                        .await;
                    panic!("it ended: {end:?}");
                })
            };
            let mut found = Vec::new();
            for n in 0..count {
                let mut waited = 0;
                while shown.borrow().len() <= n {
                    fata_libos::time::sleep(Duration::from_millis(20)).await;
                    waited += 1;
                    assert!(waited < 3000, "no certificate in a minute");
                }
                let chain = shown.borrow()[n].clone();
                let look = look.clone();
                found.push(beside(move || look(&chain)).await);
            }
            // A kept one is not replaced before its time.
            fata_libos::time::sleep(Duration::from_millis(500)).await;
            assert_eq!(shown.borrow().len(), count);
            drop(keeping);
            end(servers).await;
            found
        })
    }

    /// One acquisition, within a time.
    pub fn try_once(&self, within: Duration) -> Result<Issued, Error> {
        let platform = UnixPlatform::new().unwrap();
        block_on(platform, async {
            let responder = Responder::default();
            let account = Account::generate()?;
            let mut acquisition = Acquisition::new(
                self.entry.clone(),
                Settings::default(),
                account,
                self.names.clone(),
                &self.ways,
            )?;
            let (_acceptor, servers) = Self::serve(platform, &responder);
            let mut transport = self.transport(platform);
            let result = timeout(within, obtain(&mut acquisition, &mut transport, &responder)).await;
            end(servers).await;
            result.expect("it ends by itself")
        })
    }
}

/// Ends what serves, and lets its ports go.
async fn end(servers: [Task<()>; 2]) {
    drop(servers);
    fata_libos::time::sleep(Duration::from_millis(50)).await;
}

/// What a function gives that blocks its thread.
async fn beside<R: Send + 'static>(function: impl FnOnce() -> R + Send + 'static) -> R {
    let thread = std::thread::spawn(function);
    while !thread.is_finished() {
        fata_libos::time::sleep(Duration::from_millis(10)).await;
    }
    thread.join().unwrap()
}
