//! In virtual time: what happens, and what is tried when.

use super::{Attempt, Family, race};
use alloc::format;
use alloc::rc::Rc;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::cell::{Cell, RefCell};
use core::net::IpAddr;
use fata_libos::testing::run;
use fata_libos::time::{Duration, Instant, sleep};

type Found = Result<Vec<IpAddr>, &'static str>;

/// `AFTER_MS ADDRESS...`, or `AFTER_MS error`; nothing: never.
async fn look_up(answer: &'static str) -> Found {
    let mut words = answer.split_whitespace();
    let Some(after) = words.next() else { return core::future::pending().await };
    sleep(Duration::from_millis(after.parse().unwrap())).await;
    words.map(|word| word.parse().map_err(|_| "no such name")).collect()
}

/// How long an address takes to answer, by its last part: 1 at once, 2 after 100 ms, 3 after 300 ms, 7 refuses at once, 8
/// after 100 ms, 9 is silent.
async fn answer(address: IpAddr) -> Result<IpAddr, &'static str> {
    let text = address.to_string();
    let (time, result) = match text.as_bytes().last() {
        Some(b'1') => (0, Ok(address)),
        Some(b'2') => (100, Ok(address)),
        Some(b'3') => (300, Ok(address)),
        Some(b'7') => (0, Err("refused")),
        Some(b'8') => (100, Err("refused")),
        _ => return core::future::pending().await,
    };
    sleep(Duration::from_millis(time)).await;
    result
}

/// One attempt that is open until it is dropped.
struct Open(Rc<Cell<i32>>);

impl Drop for Open {
    fn drop(&mut self) {
        self.0.set(self.0.get() - 1);
    }
}

/// When which address was tried, and how it ended.
fn story(six: &'static str, four: &'static str) -> String {
    run(async move {
        let (tried, open, began) =
            (Rc::new(RefCell::new(String::new())), Rc::new(Cell::new(0)), Instant::now());
        let now = move || (Instant::now().duration_since(began).as_millis()).to_string();
        let dial = |address: IpAddr| -> Attempt<'_, IpAddr, &'static str> {
            tried.borrow_mut().push_str(&format!("{}@{} ", address, now()));
            open.set(open.get() + 1);
            let open = Open(open.clone());
            alloc::boxed::Box::pin(async move {
                let _open = open;
                answer(address).await
            })
        };
        let won = race(look_up(four), look_up(six), dial, "nothing").await;
        assert_eq!(open.get(), 0, "attempts that did not win are closed");
        let end = won.map_or_else(|error| error.to_string(), |address| address.to_string());
        let tried = tried.take();
        format!("{tried}= {end}@{}", now())
    })
}

#[test]
fn stories() {
    for (name, six, four, expected) in [
        ("both at once: IPv6 first", "0 ::1", "0 10.0.0.1", "::1@0 = ::1@0"),
        ("IPv6 answers first", "10 ::1", "60 10.0.0.1", "::1@10 = ::1@10"),
        ("IPv4 first, IPv6 within 50 ms", "40 ::1", "0 10.0.0.1", "::1@40 = ::1@40"),
        ("IPv4 first, IPv6 too late", "60 ::1", "0 10.0.0.1", "10.0.0.1@50 = 10.0.0.1@50"),
        ("IPv4 first, IPv6 without addresses", "20", "0 10.0.0.1", "10.0.0.1@20 = 10.0.0.1@20"),
        ("IPv4 first, IPv6 unknown", "20 error", "0 10.0.0.1", "10.0.0.1@20 = 10.0.0.1@20"),
        ("a name server silent about IPv6", "", "5 10.0.0.1", "10.0.0.1@55 = 10.0.0.1@55"),
        ("a name server silent about IPv4", "5 ::1", "", "::1@5 = ::1@5"),
        ("IPv6 a black hole", "0 ::9", "0 10.0.0.1", "::9@0 10.0.0.1@250 = 10.0.0.1@250"),
        ("IPv6 slow, and there before IPv4 begins", "0 ::2", "0 10.0.0.1", "::2@0 = ::2@100"),
        ("IPv6 slower than IPv4", "0 ::3", "0 10.0.0.1", "::3@0 10.0.0.1@250 = 10.0.0.1@250"),
        ("IPv6 slow, and wins all the same", "0 ::3", "0 10.0.0.9", "::3@0 10.0.0.9@250 = ::3@300"),
        ("IPv6 refused: IPv4 at once", "0 ::7", "0 10.0.0.1", "::7@0 10.0.0.1@0 = 10.0.0.1@0"),
        ("IPv6 refused later", "0 ::8", "0 10.0.0.1", "::8@0 10.0.0.1@100 = 10.0.0.1@100"),
        (
            "in turns",
            "0 ::9 ::19 ::29",
            "0 10.0.0.9 10.0.0.19 10.0.0.1",
            "::9@0 10.0.0.9@250 ::19@500 10.0.0.19@750 ::29@1000 10.0.0.1@1250 = 10.0.0.1@1250",
        ),
        (
            "one family has more",
            "0 ::9",
            "0 10.0.0.9 10.0.0.19 10.0.0.1",
            "::9@0 10.0.0.9@250 10.0.0.19@500 10.0.0.1@750 = 10.0.0.1@750",
        ),
        ("IPv6 comes while IPv4 is tried", "100 ::1", "0 10.0.0.9 10.0.0.1", "10.0.0.9@50 ::1@300 = ::1@300"),
        (
            "a failure does not stop what goes on",
            "0 ::9 ::7",
            "0 10.0.0.3 10.0.0.9",
            "::9@0 10.0.0.3@250 ::7@500 10.0.0.9@500 = 10.0.0.3@550",
        ),
        ("all refused", "0 ::7", "0 10.0.0.7", "::7@0 10.0.0.7@0 = refused@0"),
        ("all refused, one after the other", "0 ::8", "0 10.0.0.8", "::8@0 10.0.0.8@100 = refused@200"),
        ("no addresses", "0", "30", "= nothing@30"),
        ("no such name", "0 error", "30 error", "= no such name@30"),
        (
            "not more than twelve",
            "0 ::7 ::7 ::7 ::7 ::7 ::7 ::7 ::7 ::7 ::7 ::7 ::7 ::7 ::1",
            "0",
            "::7@0 ::7@0 ::7@0 ::7@0 ::7@0 ::7@0 ::7@0 ::7@0 ::7@0 ::7@0 ::7@0 ::7@0 = refused@0",
        ),
    ] {
        let six = if six.is_empty() { "" } else { six };
        assert_eq!(story(six, four), expected, "{name}");
    }
    assert_eq!(Family::Four.other(), Family::Six);
}
