//! What is asked again, when, and how often.

use super::*;

#[test]
fn a_bad_nonce_is_another_try() {
    run(async {
        let mut table = Table::new(&[Way::Http]);
        table.turn("https://a.test/dir", answer(200, &[], DIRECTORY)).unwrap();
        for _ in 0..6 {
            // With the nonce that comes along: at once, and without asking for one.
            table.turn("https://a.test/account", problem(400, "badNonce")).unwrap();
            assert_eq!(table.nonces, 1);
        }
        let end = table.turn("https://a.test/account", problem(400, "badNonce"));
        assert_eq!(end, Err(refused("give an account", 400, "badNonce")));
        // A nonce that is none is as one that is not there.
        let mut table = Table::new(&[Way::Http]);
        table.turn("https://a.test/dir", answer(200, &[], DIRECTORY)).unwrap();
        let fields = [("Replay-Nonce", "a\"b"), ("Location", "https://a.test/acct/1")];
        table.turn("https://a.test/account", answer(201, &fields, "{}")).unwrap();
        assert_eq!(table.next(), Ok(Did::Head("https://a.test/nonce".into())));
        let none = Error::BadAnswer { doing: "give a nonce", why: "there is none".into() };
        assert_eq!(table.tell(answer(200, &[], "")), Err(none));
    });
}

#[test]
fn what_fails_is_tried_again_later_each_time() {
    run(async {
        for (failure, end) in [
            (Err("no route".to_string()), Error::Unreachable("no route".into())),
            (problem(500, "serverInternal"), refused("say what it offers", 500, "serverInternal")),
            (problem(429, "rateLimited"), refused("say what it offers", 429, "rateLimited")),
            (
                answer(502, &[], "<html>"),
                Error::Refused {
                    doing: "say what it offers",
                    status: 502,
                    problem: Problem { kind: String::new(), detail: String::new() },
                },
            ),
        ] {
            let mut table = Table::new(&[Way::Http]);
            for wait in [2, 4, 8, 16, 32] {
                assert_eq!(table.next(), Ok(Did::Get("https://a.test/dir".into())));
                table.tell(failure.clone()).unwrap();
                assert_eq!(table.next(), Ok(Did::Waited(wait)));
            }
            assert_eq!(table.next(), Ok(Did::Get("https://a.test/dir".into())));
            assert_eq!(table.tell(failure), Err(end));
        }
        // An answer that is good lets all begin anew.
        let mut table = Table::new(&[Way::Http]);
        for _ in 0..5 {
            table.turn("https://a.test/dir", Err("lost".into())).unwrap();
        }
        table.turn("https://a.test/dir", answer(200, &[], DIRECTORY)).unwrap();
        for _ in 0..5 {
            table.turn("https://a.test/account", Err("lost".into())).unwrap();
        }
    });
}

#[test]
fn retry_after_is_heeded() {
    run(async {
        // The clock stands at 1000 s after 1970-01-01T00:00:00Z.
        for (text, wait) in [
            ("7", 7),
            ("300", 300),
            ("Thu, 01 Jan 1970 00:17:00 GMT", 20),
            // What is over, or no time, is as the rule is.
            ("Thu, 01 Jan 1970 00:00:00 GMT", 0),
            ("soon", 2),
            ("-1", 2),
        ] {
            let mut table = Table::new(&[Way::Http]);
            assert_eq!(table.next(), Ok(Did::Get("https://a.test/dir".into())));
            table.tell(answer(503, &[("Retry-After", text)], "")).unwrap();
            match wait {
                0 => assert_eq!(table.next(), Ok(Did::Get("https://a.test/dir".into()))),
                wait => assert_eq!(table.next(), Ok(Did::Waited(wait)), "{text}"),
            }
        }
        for (text, until) in [
            ("301", 1301),
            ("86400", 87_400),
            // Nobody is believed for more than a week.
            ("999999999999", 1000 + 7 * 86_400),
            ("Fri, 31 Dec 9999 00:00:00 GMT", 1000 + 7 * 86_400),
        ] {
            let mut table = Table::new(&[Way::Http]);
            table.next().unwrap();
            let mut limited = problem(429, "rateLimited").unwrap();
            limited.fields.push(("retry-after".into(), text.into()));
            let error = table.tell(Ok(limited)).unwrap_err();
            assert_eq!(error.until(), Some(SystemTime::from_unix(Duration::from_secs(until))), "{text}");
        }
        // While it looks, too.
        let mut table = Table::new(&[Way::Http]);
        table.reach_challenge();
        table.turn("https://a.test/chall/1", answer(200, &[("Retry-After", "11")], LOOKING)).unwrap();
        assert_eq!(table.next(), Ok(Did::Waited(11)));
        let waiting = TO_SHOW.replace("pending", "processing");
        table.turn("https://a.test/authz/1", answer(200, &[("Retry-After", "100000")], &waiting)).unwrap();
        assert_eq!(table.next(), Ok(Did::Waited(300)));
    });
}

#[test]
fn who_does_not_get_ready_is_not_waited_for_for_ever() {
    run(async {
        let mut table = Table::new(&[Way::Http]);
        table.reach_challenge();
        table.turn("https://a.test/chall/1", answer(200, &[], LOOKING)).unwrap();
        let (began, mut waits) = (table.now, Vec::new());
        let end = loop {
            match table.next() {
                Ok(Did::Waited(wait)) => waits.push(wait),
                Ok(Did::Head(_)) => table.tell(answer(200, &[("Replay-Nonce", "n")], "")).unwrap(),
                Ok(_) => {
                    if let Err(end) = table.tell(answer(200, &[], &TO_SHOW.replace("pending", "processing")))
                    {
                        break end;
                    }
                }
                Err(end) => break end,
            }
        };
        assert_eq!(waits[..6], [1, 2, 4, 8, 15, 15]);
        let after = table.now - began;
        assert_eq!(end, Error::TooSlow { doing: "look whether a name is ours", after });
        assert!((600..660).contains(&after.as_secs()), "{after:?}");
        // The order, in each state that says that there is more to wait for.
        for order in [PENDING, PROCESSING, READY] {
            let mut table = Table::new(&[Way::Http]);
            table.reach_final();
            let began = table.now;
            let end = loop {
                let result = match table.ask() {
                    Ok(Did::Post { url, .. }) if url.ends_with("/final") && order != READY => {
                        table.tell(problem(403, "orderNotReady"))
                    }
                    Ok(_) => table.tell(answer(200, &[], order)),
                    Err(end) => break end,
                };
                if let Err(end) = result {
                    break end;
                }
            };
            assert!(matches!(end, Error::TooSlow { doing: "make a certificate", .. }), "{end:?}");
            assert!((600..660).contains(&(table.now - began).as_secs()), "{order}");
        }
    });
}
