use super::output::MAX_BACKLOG;
use super::{OUT_RING, PATIENCE, XenConsole};
use crate::fake::{FakeConsoled, FakeHypervisor, run};
use fata_libos::console::{Console, MAX_LINE};
use fata_libos::spawn;
use fata_libos::time::{Duration, sleep, timeout};
use std::rc::Rc;

const SOON: Duration = Duration::from_secs(1);

fn on_console<R>(
    test: impl AsyncFnOnce(&'static FakeHypervisor, Rc<FakeConsoled>, Rc<XenConsole>) -> R,
) -> R {
    run(async |hv, xen| {
        let (daemon, console) = FakeConsoled::start(hv, &xen);
        test(hv, daemon, console).await
    })
}

#[test]
fn lines_come_out_with_both_ends() {
    on_console(async |_, daemon, console| {
        console.write(b"hello\nwor");
        console.write(b"ld\r\n\n");
        sleep(SOON).await;
        assert_eq!(daemon.take_output(), "hello\r\nworld\r\n\r\n");
    });
}

#[test]
fn a_burst_longer_than_the_ring_comes_out_whole_however_slow_the_daemon() {
    on_console(async |_, daemon, console| {
        for appetite in [usize::MAX, 100] {
            daemon.set_appetite(appetite);
            let lines: String = (0..1000).map(|n| format!("line {n}\n")).collect();
            console.write(lines.as_bytes());
            sleep(SOON).await;
            assert_eq!(daemon.take_output(), lines.replace('\n', "\r\n"));
        }
    });
}

#[test]
fn what_is_too_much_is_dropped_by_lines_and_told_where_it_was() {
    on_console(async |_, daemon, console| {
        daemon.set_appetite(0);
        let lines: Vec<String> = (0..20_000).map(|n| format!("line {n}\r\n")).collect();
        lines.iter().for_each(|l| console.write(l.as_bytes()));
        sleep(SOON).await;
        daemon.set_appetite(usize::MAX);
        sleep(SOON).await;
        let seen = daemon.take_output();
        let (before, after) = seen.split_once("[console: ").expect("a line that says so");
        let (octets, after) = after.split_once(" octets dropped]\r\n").unwrap();
        let dropped: usize = octets.parse().unwrap();
        let all = lines.concat();
        assert!(all.starts_with(before.trim_end()), "{before}");
        assert!(after.starts_with("line ") && all.ends_with(after), "whole lines, and the last ones");
        assert!(after.len() <= MAX_BACKLOG && after.len() > MAX_BACKLOG - 20, "{}", after.len());
        let told = before.len() + dropped + after.len();
        // A line that was cut got an end of its own.
        assert!(told == all.len() || told == all.len() + 2, "{told} of {}", all.len());
    });
}

#[test]
fn a_line_without_end_is_bounded_too() {
    on_console(async |_, daemon, console| {
        daemon.set_appetite(0);
        console.write(&vec![b'x'; 3 * MAX_BACKLOG]);
        console.write(b"\nlast\n");
        daemon.set_appetite(usize::MAX);
        sleep(SOON).await;
        let seen = daemon.take_output();
        assert!(seen.len() < MAX_BACKLOG + 4096 && seen.ends_with("last\r\n"), "{}", seen.len());
    });
}

#[test]
fn a_blocking_write_returns_when_the_daemon_has_everything() {
    on_console(async |hv, daemon, console| {
        daemon.set_appetite(100);
        let lines: String = (0..1000).map(|n| format!("line {n}\n")).collect();
        console.write(lines.as_bytes());
        assert!(console.write_blocking(&|| hv.now(), b"\npanic:\nlast words\r\n"));
        assert!(daemon.take_output().ends_with("line 999\r\n\r\npanic:\r\nlast words\r\n"));
        let long = "y".repeat(10_000);
        assert!(console.write_blocking(&|| hv.now(), long.as_bytes()));
        assert_eq!(daemon.take_output(), long);
    });
}

#[test]
fn a_blocking_write_gives_up_on_a_daemon_that_hangs() {
    on_console(async |hv, daemon, console| {
        daemon.set_appetite(0);
        let start = hv.now();
        assert!(!console.write_blocking(&|| hv.now(), &[b'z'; 5000]));
        assert_eq!(hv.now(), start + PATIENCE);
        assert!(!console.flush_blocking(&|| hv.now()));
    });
}

#[test]
fn a_panic_while_the_console_writes_still_gets_its_words_out() {
    on_console(async |hv, daemon, console| {
        console.write(b"before\n");
        let writing = console.output.borrow_mut();
        console.write(b"lost");
        assert!(console.write_blocking(&|| hv.now(), b"panic\n"));
        drop(writing);
        assert_eq!(daemon.take_output(), "before\r\npanic\r\n");
    });
}

#[test]
fn lines_are_read_by_whoever_asks() {
    on_console(async |_, daemon, console| {
        daemon.type_in(b"one\rtwo\nthree\r\n\rhalf");
        for expected in ["one", "two", "three", ""] {
            assert_eq!(timeout(SOON, console.read_line()).await.unwrap().unwrap(), expected);
        }
        assert!(timeout(SOON, console.read_line()).await.is_err());
        let readers: Vec<_> = (0..2)
            .map(|_| {
                let console = console.clone();
                spawn(async move { console.read_line().await.unwrap() })
            })
            .collect();
        daemon.type_in(b" done\nm\xffre\n");
        let mut lines = Vec::new();
        for reader in readers {
            lines.push(timeout(SOON, reader).await.unwrap());
        }
        lines.sort();
        assert_eq!(lines, ["half done", "m?re"]);
    });
}

#[test]
fn a_line_that_is_too_long_is_cut() {
    on_console(async |_, daemon, console| {
        daemon.type_in(&[b'a'; MAX_LINE + 100]);
        daemon.type_in(b"\nnext\n");
        let line = timeout(SOON, console.read_line()).await.unwrap().unwrap();
        assert_eq!(line, "a".repeat(MAX_LINE));
        assert_eq!(timeout(SOON, console.read_line()).await.unwrap().unwrap(), "next");
    });
}

#[test]
fn impossible_indices_end_the_console_and_nothing_else() {
    on_console(async |hv, daemon, console| {
        let reader = {
            let console = console.clone();
            spawn(async move { console.read_line().await })
        };
        sleep(SOON).await;
        let producer = daemon.page().load_u32(OUT_RING.producer);
        daemon.page().store_u32(OUT_RING.consumer, producer.wrapping_add(1));
        console.write(b"x");
        assert_eq!(reader.await, None);
        assert!(!console.write_blocking(&|| hv.now(), b"x"));
        console.write(b"y");
    });
}
