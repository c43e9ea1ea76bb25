//! Fetching from servers that others have made: nginx, OpenSSL's `s_server`, Python's `http.server`.

mod servers {
    use std::fs;
    use std::io::Write as _;
    use std::net::{Ipv4Addr, SocketAddr, TcpStream};
    use std::path::PathBuf;
    use std::process::{Child, Command, Stdio};
    use std::thread::sleep;
    use std::time::{Duration, Instant};

    pub const CERTIFICATES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tls/tests/certificates");

    /// A server that ends with the test, and its folder.
    pub struct Server {
        child: Child,
        pub folder: PathBuf,
    }

    impl Drop for Server {
        fn drop(&mut self) {
            let _ = self.child.kill();
            let _ = self.child.wait();
            let _ = fs::remove_dir_all(&self.folder);
        }
    }

    pub fn folder(name: &str) -> PathBuf {
        let folder = std::env::temp_dir().join(format!("fata-fetch-{name}-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        folder
    }

    fn start(mut command: Command, folder: PathBuf, ports: &[u16]) -> Server {
        let name = command.get_program().to_string_lossy().into_owned();
        let child = command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null()).spawn();
        let child = child.unwrap_or_else(|error| panic!("{name}, which this test needs: {error}"));
        let server = Server { child, folder };
        let began = Instant::now();
        for &port in ports {
            while TcpStream::connect(SocketAddr::from((Ipv4Addr::LOCALHOST, port))).is_err() {
                assert!(began.elapsed() < Duration::from_secs(60), "{name} does not listen on {port}");
                sleep(Duration::from_millis(20));
            }
        }
        server
    }

    /// nginx with this text in its `http` part, `FOLDER` and `CERTIFICATES` replaced.
    pub fn nginx(name: &str, config: &str, ports: &[u16]) -> Server {
        let folder = folder(name);
        let place = folder.display();
        let text = format!(
            "daemon off; master_process off; pid {place}/pid; error_log {place}/error.log; worker_processes 1;\n\
             events {{}}\nhttp {{ access_log off; keepalive_timeout 60; client_body_temp_path {place}/body;\n\
             proxy_temp_path {place}/proxy; fastcgi_temp_path {place}/fastcgi; uwsgi_temp_path {place}/uwsgi;\n\
             scgi_temp_path {place}/scgi; default_type text/plain; {config} }}\n"
        );
        let text = text.replace("FOLDER", &place.to_string()).replace("CERTIFICATES", CERTIFICATES);
        fs::write(folder.join("nginx.conf"), text).unwrap();
        fs::write(folder.join("page"), "a page of nginx\n").unwrap();
        fs::File::create(folder.join("large")).unwrap().write_all(&super::large()).unwrap();
        let mut command = Command::new("/usr/sbin/nginx");
        command.arg("-p").arg(&folder).arg("-c").arg(folder.join("nginx.conf"));
        start(command, folder, ports)
    }

    pub fn python(port: u16) -> Server {
        let folder = folder("python");
        fs::write(folder.join("page"), "a page of Python\n").unwrap();
        let mut command = Command::new("/usr/bin/python3");
        command.args(["-m", "http.server", "--bind", "127.0.0.1", &port.to_string()]).current_dir(&folder);
        start(command, folder, &[port])
    }

    pub fn openssl(port: u16, version: &str) -> Server {
        let folder = folder(&format!("openssl{version}"));
        let mut command = Command::new("openssl");
        command.args(["s_server", "-www", version, "-accept", &port.to_string()]);
        command.args([
            "-cert",
            &format!("{CERTIFICATES}/server.pem"),
            "-key",
            &format!("{CERTIFICATES}/server-key.pem"),
        ]);
        start(command, folder, &[port])
    }
}

use fata::Env;
use fata::fetch::{Client, ConnectError, Connector, Error, Policy};
use fata::net::Network;
use fata::testing::{MAIN, free_port, run};
use fata::tls::{CertificateProblem, ClientConfig, Versions};
use std::fs;

fn large() -> Vec<u8> {
    (0..3_000_000_u32).map(|n| (n ^ (n >> 8)) as u8).collect()
}

fn root(name: &str) -> String {
    fs::read_to_string(format!("{}/{name}.pem", servers::CERTIFICATES)).unwrap()
}

fn on_network<F: Future>(test: impl FnOnce(Network) -> F) -> F::Output {
    run("log=off", async |env: Env| test(env.network(MAIN).await.unwrap()).await)
}

fn trusting(network: &Network, name: &str) -> Client {
    Client::new(Connector::new(network).roots_pem(&root(name)).unwrap())
}

#[test]
fn nginx_over_http() {
    let port = free_port();
    let config = format!(
        "server {{ listen 127.0.0.1:{port}; root FOLDER; client_max_body_size 1k;
           location /there {{ return 302 /page; }} location /round {{ return 301 /round; }}
           location /ssi {{ alias FOLDER/page; ssi on; ssi_types *; }} location /204 {{ return 204; }}
           location /close {{ alias FOLDER/page; keepalive_timeout 0; }} }}"
    );
    let _nginx = servers::nginx("plain", &config, &[port]);
    on_network(async |network| {
        let client = Client::new(Connector::new(&network));
        let get = async |path: &str| client.get(&format!("http://localhost:{port}{path}")).send().await;
        for (path, status, content) in [
            ("/page", 200, "a page of nginx\n"),
            ("/there", 200, "a page of nginx\n"),
            ("/204", 204, ""),
            ("/ssi", 200, "a page of nginx\n"),
        ] {
            let response = get(path).await.unwrap();
            assert_eq!(response.status().code(), status, "{path}");
            assert_eq!(response.text(1000).await.unwrap(), content, "{path}");
        }
        // The SSI page comes in chunks.
        assert_eq!(get("/ssi").await.unwrap().field("Transfer-Encoding"), Some("chunked"));
        assert_eq!(get("/large").await.unwrap().bytes(3_000_000).await.unwrap(), large());
        assert_eq!(
            get("/large").await.unwrap().bytes(2_999_999).await.unwrap_err(),
            Error::TooLarge(2_999_999)
        );
        assert_eq!(get("/round").await.unwrap_err(), Error::RedirectLoop);
        let head = client.head(&format!("http://127.0.0.1:{port}/large")).send().await.unwrap();
        assert_eq!((head.field("Content-Length"), head.status().code()), (Some("3000000"), 200));
        assert!(head.bytes(0).await.unwrap().is_empty());
        let before = client.stats().connections();
        for _ in 0..10 {
            get("/page").await.unwrap().bytes(100).await.unwrap();
        }
        assert!(client.stats().connections() <= before + 1, "they are kept");
        assert_eq!(get("/close").await.unwrap().text(100).await.unwrap(), "a page of nginx\n");
        let post = client.post(&format!("http://localhost:{port}/page")).body(vec![b'x'; 500_000]);
        assert_eq!(post.send().await.unwrap().status().code(), 413);
        let refused = client.get(&format!("http://127.0.0.1:{}/", free_port())).send().await.unwrap_err();
        assert_eq!(refused, Error::Connect(ConnectError::Network(fata::net::Error::ConnectionRefused)));
        let unknown = client.get("http://name.invalid/").send().await.unwrap_err();
        assert!(matches!(unknown, Error::Connect(ConnectError::Network(_))), "{unknown}");
        let https = client.get(&format!("https://localhost:{port}/")).send().await.unwrap_err();
        assert_eq!(https, Error::Connect(ConnectError::NoTls));
    });
}

#[test]
fn nginx_over_https_and_across_origins() {
    let [plain, secure, expired, wrong] = core::array::from_fn(|_| free_port());
    let tls = "root FOLDER; ssl_protocols TLSv1.2 TLSv1.3;";
    let config = format!(
        "server {{ listen 127.0.0.1:{plain}; location / {{ return 301 https://localhost:{secure}/echo; }} }}
         server {{ listen 127.0.0.1:{secure} ssl; {tls} ssl_certificate CERTIFICATES/server.pem;
           ssl_certificate_key CERTIFICATES/server-key.pem;
           location /echo {{ return 200 \"[$http_authorization]\"; }}
           location /post {{ return 200 \"$request_method $http_n of $connection_requests\"; }}
           location /down {{ return 302 http://localhost:{plain}/; }} }}
         server {{ listen 127.0.0.1:{expired} ssl; {tls} ssl_certificate CERTIFICATES/expired.pem;
           ssl_certificate_key CERTIFICATES/expired-key.pem; }}
         server {{ listen 127.0.0.1:{wrong} ssl; {tls} ssl_certificate CERTIFICATES/rsa.pem;
           ssl_certificate_key CERTIFICATES/rsa-key.pem; }}"
    );
    let _nginx = servers::nginx("tls", &config, &[plain, secure, expired, wrong]);
    on_network(async |network| {
        for versions in [Versions::Tls12, Versions::Tls13] {
            let config = ClientConfig::from_roots_pem(&root("root")).unwrap().versions(versions);
            let client = Client::new(Connector::new(&network).tls(config).unwrap());
            for _ in 0..3 {
                let response = client.get(&format!("https://localhost:{secure}/page")).send().await.unwrap();
                assert_eq!(response.text(100).await.unwrap(), "a page of nginx\n");
            }
            assert_eq!(client.stats().connections(), 1, "{versions:?}: it is kept");
            // What cannot be sent again goes on it too, as surely nobody has ended it: tickets of TLS 1.3 are no end.
            for n in 1..4 {
                let post = client.post(&format!("https://localhost:{secure}/post")).field("n", n.to_string());
                let response = post.body(vec![b'x'; n * 5000]).send().await.unwrap();
                assert_eq!(response.text(100).await.unwrap(), format!("POST {n} of {}", n + 3));
            }
            assert_eq!((client.stats().connections(), client.stats().retried()), (1, 0), "{versions:?}");
            let response = client.get(&format!("https://127.0.0.1:{secure}/large")).send().await.unwrap();
            assert_eq!(response.bytes(3_000_000).await.unwrap(), large());
        }
        let client = trusting(&network, "root");
        let secret = async |url: String| client.get(&url).field("Authorization", "secret").send().await;
        let direct = secret(format!("https://localhost:{secure}/echo")).await.unwrap();
        assert_eq!(direct.text(100).await.unwrap(), "[secret]");
        let led = secret(format!("http://localhost:{plain}/")).await.unwrap();
        assert_eq!(led.url().to_string(), format!("https://localhost:{secure}/echo"));
        assert_eq!(led.text(100).await.unwrap(), "[]", "it is for the first origin alone");
        let down = secret(format!("https://localhost:{secure}/down")).await.unwrap_err();
        assert_eq!(down, Error::Downgrade);

        let problem = async |client: &Client, port: u16| match client
            .get(&format!("https://localhost:{port}/"))
            .send()
            .await
            .unwrap_err()
        {
            Error::Connect(ConnectError::Tls(fata::tls::Error::Certificate(problem))) => problem,
            other => panic!("{port}: {other}"),
        };
        let of_expired = problem(&client, expired).await;
        assert!(matches!(of_expired, CertificateProblem::Expired { .. }), "{of_expired}");
        let of_unknown = problem(&trusting(&network, "other"), secure).await;
        assert_eq!(of_unknown, CertificateProblem::UnknownIssuer);
        let of_name = problem(&client, wrong).await;
        assert!(matches!(of_name, CertificateProblem::WrongName(_)), "{of_name}");
        let stats = client.stats();
        assert_eq!((stats.redirects(), client.connections().1), (1, 0));
    });
}

#[test]
fn python_and_openssl() {
    let [python, tls12, tls13] = core::array::from_fn(|_| free_port());
    let _servers =
        (servers::python(python), servers::openssl(tls12, "-tls1_2"), servers::openssl(tls13, "-tls1_3"));
    on_network(async |network| {
        let client = trusting(&network, "root");
        for (path, status) in [("/page", 200), ("/", 200), ("/none", 404)] {
            let response = client.get(&format!("http://localhost:{python}{path}")).send().await.unwrap();
            assert_eq!((response.status().code(), response.head().is_http_1_0()), (status, true), "{path}");
            let text = response.text(10_000).await.unwrap();
            assert!(path != "/page" || text == "a page of Python\n", "{path}: {text}");
        }
        assert_eq!(client.stats().reused(), 0, "HTTP/1.0 closes");
        for (port, version) in [(tls12, "TLSv1.2"), (tls13, "TLSv1.3")] {
            let response = client.get(&format!("https://localhost:{port}/")).send().await.unwrap();
            let text = response.text(100_000).await.unwrap();
            assert!(text.contains(version), "{text}");
        }
    });
}

#[test]
fn a_server_that_is_silent() {
    let port = free_port();
    let _listener = std::net::TcpListener::bind(("127.0.0.1", port)).unwrap();
    on_network(async |network| {
        let policy = Policy { head_time: core::time::Duration::from_millis(300), ..Policy::default() };
        let client = Client::with(Connector::new(&network), policy);
        let error = client.get(&format!("http://127.0.0.1:{port}/")).send().await.unwrap_err();
        assert_eq!(error, Error::TimedOut(fata::fetch::Waiting::Head));
    });
}
