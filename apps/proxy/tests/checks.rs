//! The proxy as a process that checks its servers: what it asks them, and what becomes of their answers while nobody else asks anything.

mod common;

use common::*;
use fata::testing::{Process, free_port};
use std::io::{Read, Write};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

const SOON: Duration = Duration::from_secs(20);

/// What is answered with a status, and without content.
fn answer(status: u16) -> String {
    // 204 is without a length too (RFC 9110 section 8.6).
    let length = if status == 204 { "" } else { "Content-Length: 0\r\n" };
    format!("HTTP/1.1 {status} S\r\n{length}\r\n")
}

/// A server that answers `/` with 200, and checks as it is told.
struct Stepped {
    port: u16,
    requests: Arc<AtomicUsize>,
    heads: Receiver<String>,
    answers: Sender<u16>,
}

impl Stepped {
    fn start() -> Self {
        let (say, heads) = channel();
        let (answers, hear) = channel();
        let (say, hear, requests) = (Mutex::new(say), Mutex::new(hear), Arc::<AtomicUsize>::default());
        let count = requests.clone();
        let port = server_that(move |mut stream| {
            while let Some(head) = head(&mut stream) {
                let status = if head.starts_with("GET / ") {
                    count.fetch_add(1, Ordering::SeqCst);
                    200
                } else {
                    let _ = say.lock().unwrap().send(head);
                    let Ok(status) = hear.lock().unwrap().recv() else { return };
                    status
                };
                let _ = stream.write_all(answer(status).as_bytes());
            }
        });
        Self { port, requests, heads, answers }
    }

    /// The next check, which is not answered yet: what came of the one before is known by then.
    fn check(&self) -> String {
        self.heads.recv_timeout(SOON).expect("no check comes")
    }
}

/// What is answered there to a GET of that path.
fn get(port: u16, path: &str) -> String {
    raw(port, &format!("GET {path} HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n"))
}

/// How many of four requests, which are all answered, have come to a server.
fn asked(of: &AtomicUsize, port: u16) -> usize {
    let before = of.load(Ordering::SeqCst);
    for _ in 0..4 {
        let answer = get(port, "/");
        assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    }
    of.load(Ordering::SeqCst) - before
}

/// One of two servers says that it is ill, and that it is well, while it answers all that is asked of it.
#[test]
fn what_checks_are_answered_decides() {
    let (ill, well, admin) = (Stepped::start(), Stepped::start(), free_port());
    for _ in 0..100_000 {
        well.answers.send(204).unwrap();
    }
    // Nobody is hurried: a check waits until the test has looked at what came of the one before.
    let config = format!(
        "pool app\n server 127.0.0.1:{}\n server 127.0.0.1:{}\n \
         check /health?deep=1 every=20ms timeout=60s rise=3 fall=2 expect=204 host=app.internal\ndefault app\n",
        ill.port, well.port
    );
    let folder = Folder::new("checks");
    let (process, port, _) = configured(&folder, &config, &[&format!("admin-port={admin}")]);
    let figure = |name: &str, of: &Stepped| {
        let name = format!("proxy_backend_{name}{{pool=\"app\",server=\"127.0.0.1:{}\"}} ", of.port);
        let all = get(admin, "/metrics");
        let value = all.lines().find_map(|line| line.strip_prefix(&name)?.parse::<u64>().ok());
        value.unwrap_or_else(|| panic!("no {name}: {all}"))
    };
    let head =
        "GET /health?deep=1 HTTP/1.1\r\nHost: app.internal\r\nUser-Agent: fata-check\r\n".to_lowercase();
    let mut bad = 0;
    assert!(ill.check().to_lowercase().starts_with(&head));
    for (n, (answered, is_up)) in [
        (500, true),
        (204, true),
        (500, true),
        (500, false),
        (204, false),
        (204, false),
        (503, false),
        (204, false),
        (204, false),
        (204, true),
        // It is none of those that are good here.
        (200, true),
        (200, false),
        (204, false),
        (204, false),
        (204, true),
    ]
    .into_iter()
    .enumerate()
    {
        ill.answers.send(answered).unwrap();
        let next = ill.check().to_lowercase();
        assert!(next.starts_with(&head) && next.matches("\r\nhost:").count() == 1, "{n}: {next}");
        bad += u64::from(answered != 204);
        let seen = (figure("up", &ill), figure("bad_checks_total", &ill));
        assert_eq!(seen, (u64::from(is_up), bad), "check {n}, which was answered {answered}");
        assert_eq!(asked(&ill.requests, port) > 0, is_up, "check {n}, which was answered {answered}");
    }
    for status in [500, 200] {
        let port = ill.port;
        process.wait_for(&format!("backend 127.0.0.1:{port} is down: a check was answered {status}"));
    }
    assert!(well.check().to_lowercase().starts_with(&head));
    assert!(well.heads.try_iter().all(|next| next.to_lowercase().starts_with(&head)));
    assert_eq!((figure("up", &well), figure("bad_checks_total", &well)), (1, 0));
    // Checks are no requests.
    let all = ill.requests.load(Ordering::SeqCst) as u64;
    assert_eq!(figure("requests_total", &ill), all);
    assert_eq!(process.leave().code(), Some(0));
}

/// Until it is so.
fn wait(process: &Process, what: &str, is_so: impl Fn() -> bool) {
    let until = Instant::now() + SOON;
    while !is_so() {
        assert!(Instant::now() < until, "it is not {what}: {}", process.said());
        thread::sleep(Duration::from_millis(50));
    }
}

/// The one server answers all that is asked of it, but checks too late.
#[test]
fn an_answer_that_comes_too_late_is_none() {
    let (is_late, late) = (Arc::<AtomicBool>::default(), Arc::<AtomicUsize>::default());
    let (requests, heads) = (Arc::<AtomicUsize>::default(), Arc::<Mutex<Vec<String>>>::default());
    let seen = (is_late.clone(), late.clone(), requests.clone(), heads.clone());
    let behind = server_that(move |mut stream| {
        let (is_late, late, requests, heads) = &seen;
        while let Some(head) = head(&mut stream) {
            if head.starts_with("GET / ") {
                requests.fetch_add(1, Ordering::SeqCst);
            } else {
                heads.lock().unwrap().push(head);
                // Nobody waits for it any more then.
                if is_late.load(Ordering::SeqCst) && matches!(stream.read(&mut [0]), Ok(0) | Err(_)) {
                    late.fetch_add(1, Ordering::SeqCst);
                }
            }
            let _ = stream.write_all(answer(200).as_bytes());
        }
    });
    let (folder, admin) = (Folder::new("late-checks"), free_port());
    let config = format!(
        "pool app\n server 127.0.0.1:{behind}\n check /up every=20ms timeout=2s rise=2 fall=2\ndefault app\n"
    );
    let (process, port, _) = configured(&folder, &config, &[&format!("admin-port={admin}")]);
    let url = format!("http://127.0.0.1:{port}/");
    let is_up = || metric(admin, "proxy_backend_up{") == 1;
    wait(&process, "checked", || heads.lock().unwrap().len() > 2);
    assert_eq!(status(&[&url]), "200");

    is_late.store(true, Ordering::SeqCst);
    process.wait_for(&format!("backend 127.0.0.1:{behind} is down: a check was not answered in time"));
    assert!(late.load(Ordering::SeqCst) >= 1 && metric(admin, "proxy_backend_bad_checks_total") >= 2);
    let before = requests.load(Ordering::SeqCst);
    let answer = curl(&["-i", &url]).to_lowercase();
    assert!(answer.starts_with("http/1.1 503 ") && answer.contains("\r\nretry-after: "), "{answer}");
    assert_eq!((requests.load(Ordering::SeqCst), metric(admin, "proxy_none_up_total")), (before, 1));

    is_late.store(false, Ordering::SeqCst);
    wait(&process, "up again", || is_up() && status(&[&url]) == "200");
    // Without a name of its own it is asked by its address.
    let head = format!("get /up http/1.1\r\nhost: 127.0.0.1:{behind}\r\n");
    assert!(heads.lock().unwrap().iter().all(|seen| seen.to_lowercase().starts_with(&head)));
    assert_eq!(process.leave().code(), Some(0));
}
