//! A client that fetches much at once from servers of all kinds: how many connections it has, what it takes for whose answer,
//! how long it waits, and whom it tells what.

use crate::corpus;
use crate::network::{Act, Bounds, Network, REDIRECTS, World, name_of};
use fata_fuzz::{fuzz, mutated};
use fata_http::client::{Client, Error, FetchError, Policy, Response};
use fata_libos::time::{Duration, Instant, sleep, timeout};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select};

const BOUNDS: Bounds = Bounds { per_origin: 2, all: 3 };
const IDLE: Duration = Duration::from_secs(30);
const TOTAL: Duration = Duration::from_secs(100);
/// The most content that is wanted, octets.
const MOST: usize = 2000;

const ORIGINS: [&str; 6] = [
    "http://a.test",
    "http://a.test:81",
    "https://a.test",
    "http://b.test",
    "http://refused.test",
    "http://silent.test",
];

const LOCATIONS: [&str; 12] = [
    "/there",
    "../x?y#z",
    "?q",
    "",
    "//b.test/c",
    "http://a.test/d",
    "https://a.test/e",
    "HTTP://A.test:80/f",
    "http://a.test:81/g",
    "http://u:p@a.test/",
    "ftp://a.test/",
    "http://silent.test/",
];

/// A request's content.
#[derive(Clone, Copy, Debug)]
enum Content {
    None,
    Octets(usize),
    /// Made while it is sent, its length told before or not.
    Stream(usize, bool),
    /// Its maker gives up.
    Aborted(usize),
}

/// What is done with a response.
#[derive(Clone, Copy, Debug)]
enum Use {
    /// Its content is read whole.
    All,
    /// It is read in part, after a while.
    Part(u64),
    /// It is let go.
    Nothing,
    /// Nobody waits for it for longer than this.
    GivenUp(u64),
}

/// A fetch. Times are seconds.
#[derive(Clone, Debug)]
struct Fetch {
    after: u64,
    origin: &'static str,
    method: &'static str,
    content: Content,
    expects_continue: bool,
    used: Use,
}

fn fetches() -> impl Strategy<Value = Vec<Fetch>> {
    let content = prop_oneof![
        Just(Content::None),
        (0..3000_usize).prop_map(Content::Octets),
        (0..3000_usize, any::<bool>()).prop_map(|(n, is_known)| Content::Stream(n, is_known)),
        (0..3000_usize).prop_map(Content::Aborted),
    ];
    let used = prop_oneof![
        5 => Just(Use::All),
        1 => (0..40_u64).prop_map(Use::Part),
        1 => Just(Use::Nothing),
        1 => (0..40_u64).prop_map(Use::GivenUp),
    ];
    let methods = select(vec!["GET", "GET", "GET", "HEAD", "POST", "PUT"]);
    // The first ones are asked most.
    let origin = (0..ORIGINS.len(), 0..ORIGINS.len()).prop_map(|(a, b)| ORIGINS[a.min(b)]);
    let one = (0..60_u64, origin, methods, content, any::<bool>(), used).prop_map(
        |(after, origin, method, content, expects_continue, used)| {
            let content = if matches!(method, "GET" | "HEAD") { Content::None } else { content };
            let expects_continue = expects_continue && !matches!(content, Content::None);
            Fetch { after, origin, method, content, expects_continue, used }
        },
    );
    vec(one, 1..10)
}

/// What servers do, of which a share leads elsewhere.
fn acts(redirections: u32) -> impl Strategy<Value = Vec<Act>> {
    let locations = LOCATIONS.iter().map(|text| text.as_bytes().to_vec()).collect();
    let (status, location) = (select(vec![301, 302, 303, 307, 308]), mutated(locations));
    let act = prop_oneof![
        6 => prop_oneof![Just(0), 0..40_u64].prop_map(Act::Honest),
        redirections => (status, location).prop_map(|(status, location)| Act::Redirect(status, location)),
        2 => mutated(corpus()).prop_map(Act::Says),
        2 => (0..20_u64, mutated(corpus())).prop_map(|(time, octets)| Act::Behind(time, octets)),
        2 => (0..20_u64).prop_map(Act::Ends),
        1 => (any::<Index>(), 0..40_u64).prop_map(|(at, time)| Act::Part(at, time)),
        1 => Just(Act::Early),
        1 => Just(Act::Refuses),
        1 => Just(Act::Silent),
    ];
    vec(act, 1..20)
}

/// Few redirections: what is shared by many requests.
#[test]
fn client_pool() {
    fuzz(&(fetches(), acts(1)), |(fetches, acts)| all(fetches, acts));
}

/// Little else.
#[test]
fn client_redirects() {
    fuzz(&(fetches(), acts(30)), |(fetches, acts)| all(fetches, acts));
}

fn all(fetches: Vec<Fetch>, acts: Vec<Act>) {
    fata_libos::testing::run(async {
        let world = World::new(acts, BOUNDS);
        let policy = Policy {
            redirects: REDIRECTS,
            connections: BOUNDS.all,
            connections_per_origin: BOUNDS.per_origin,
            waiting: 3,
            idle_time: IDLE,
            total_time: Some(TOTAL),
            ..Policy::default()
        };
        let client = Client::with(Network(world.clone()), policy);
        let under_way: Vec<_> = (fetches.into_iter().enumerate())
            .map(|(id, fetch)| fata_libos::spawn(one(client.clone(), id, fetch)))
            .collect();
        for fetch in under_way {
            fetch.await;
        }
        let (idle, in_use) = client.connections();
        assert_eq!((world.connections(), in_use), (idle, 0), "as many as it says");
        sleep(IDLE + Duration::from_secs(1)).await;
        assert_eq!((client.connections(), world.connections()), ((0, 0), 0), "nobody wants them any more");
        // And it still works.
        let response = client.get("http://a.test/last").field("X-Id", "last").send().await;
        assert!(!matches!(response, Err(FetchError::TooManyConnections)));
    });
}

async fn one(client: Client<Network>, id: usize, fetch: Fetch) {
    sleep(Duration::from_secs(fetch.after)).await;
    let mut request = (client.request(fetch.method, &format!("{}/{id}", fetch.origin)))
        .field("X-Id", id.to_string())
        .field("Authorization", fetch.origin);
    if fetch.origin.starts_with("https:") {
        request = request.field("X-Secure", "1");
    }
    if !matches!(fetch.content, Content::None) {
        request = request.field("Content-Type", "a/b");
    }
    request = match fetch.content {
        Content::None => request,
        Content::Octets(n) => request.body(vec![b'x'; n]),
        Content::Stream(n, is_known) => {
            request.stream(is_known.then_some(n as u64), async move |body| body.write(&vec![b'x'; n]).await)
        }
        Content::Aborted(n) => request.stream(None, async move |body| {
            body.write(&vec![b'x'; n]).await?;
            sleep(Duration::from_secs(1)).await;
            Err(fata_http::Aborted)
        }),
    };
    if fetch.expects_continue {
        request = request.expect_continue();
    }
    let began = Instant::now();
    let sent = match fetch.used {
        Use::GivenUp(time) => match timeout(Duration::from_secs(time), request.send()).await {
            Ok(sent) => sent,
            Err(_) => return,
        },
        _ => request.send().await,
    };
    let outcome = match sent {
        Ok(response) => read(response, id, fetch.used).await,
        Err(error) => Err(error),
    };
    if let Err(error) = outcome {
        assert!(!matches!(error, FetchError::Http(Error::OutOfTurn | Error::ContentLength)), "{error}");
        assert!(
            !matches!(error, FetchError::Aborted) || matches!(fetch.content, Content::Aborted(_)),
            "{error}"
        );
        assert!(!error.to_string().is_empty());
    }
    let pause = if let Use::Part(time) = fetch.used { Duration::from_secs(time) } else { Duration::ZERO };
    assert!(began.elapsed() <= TOTAL + pause, "{:?}", began.elapsed());
}

async fn read(mut response: Response<Network>, id: usize, used: Use) -> Result<(), FetchError<&'static str>> {
    let url = response.url().clone();
    match used {
        Use::Nothing => Ok(()),
        Use::Part(time) => {
            sleep(Duration::from_secs(time)).await;
            response.read(&mut [0; 3]).await.map(|_| ())
        }
        Use::All | Use::GivenUp(_) => {
            let content = response.bytes(MOST).await?;
            assert!(content.len() <= MOST);
            let text = String::from_utf8_lossy(&content);
            let origin = name_of(url.origin());
            if let Some(rest) = text.strip_prefix("answer clean ") {
                assert_eq!(rest, format!("{origin} {} {id}", url.target()), "an answer to another request");
            } else if let Some(rest) = text.strip_prefix("answer perhaps ") {
                assert_eq!(rest.split(' ').next(), Some(&origin[..]), "an answer of another server");
            }
            Ok(())
        }
    }
}
