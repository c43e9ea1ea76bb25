//! The way from nothing to a certificate, and its short cuts.

use super::*;

#[test]
fn the_whole_way() {
    run(async {
        let mut table = Table::new(&[Way::Http]);
        assert_eq!(table.next(), Ok(Did::Get("https://a.test/dir".into())));
        table.tell(answer(200, &[], DIRECTORY)).unwrap();
        assert_eq!(table.next(), Ok(Did::Head("https://a.test/nonce".into())));
        table.tell(answer(204, &[("Replay-Nonce", "first")], "")).unwrap();
        let account = |payload: &str| Did::Post {
            url: "https://a.test/account".into(),
            payload: payload.into(),
            kid: None,
        };
        assert_eq!(table.next(), Ok(account("{}")));
        let fields = [("Replay-Nonce", "second"), ("Location", "https://a.test/acct/1")];
        table.tell(answer(201, &fields, "{}")).unwrap();
        let by_account = |url: &str, payload: &str| Did::Post {
            url: url.into(),
            payload: payload.into(),
            kid: Some("https://a.test/acct/1".into()),
        };
        // RFC 8738 section 3 has addresses as a type of their own.
        let identifiers =
            r#"{"identifiers":[{"type":"dns","value":"host.test"},{"type":"ip","value":"192.0.2.1"}]}"#;
        assert_eq!(table.next(), Ok(by_account("https://a.test/order", identifiers)));
        let fields = [("Replay-Nonce", "third"), ("Location", "https://a.test/order/1")];
        table.tell(answer(201, &fields, PENDING)).unwrap();
        assert_eq!(table.next(), Ok(by_account("https://a.test/authz/1", "")));
        table.tell(answer(200, &[], TO_SHOW)).unwrap();
        let Ok(Did::Present(challenge)) = table.next() else { panic!() };
        assert_eq!((challenge.way, &*challenge.token, &*challenge.name), (Way::Http, "token_1", "host.test"));
        let thumbprint = challenge.key_authorization.strip_prefix("token_1.").unwrap();
        assert_eq!(thumbprint.len(), 43);
        // There was no nonce with the last answer.
        assert_eq!(table.ask(), Ok(by_account("https://a.test/chall/1", "{}")));
        table.tell(answer(200, &[("Replay-Nonce", "fifth")], LOOKING)).unwrap();
        assert_eq!(table.next(), Ok(Did::Waited(1)));
        assert_eq!(table.next(), Ok(by_account("https://a.test/authz/1", "")));
        table.tell(answer(200, &[("Replay-Nonce", "sixth")], SHOWN)).unwrap();
        let Ok(Did::Post { url, payload, .. }) = table.next() else { panic!() };
        assert_eq!(url, "https://a.test/final");
        assert!(payload.starts_with(r#"{"csr":"MII"#) || payload.starts_with(r#"{"csr":"MI"#), "{payload}");
        table.tell(answer(200, &[("Replay-Nonce", "seventh")], PROCESSING)).unwrap();
        assert_eq!(table.next(), Ok(Did::Waited(1)));
        assert_eq!(table.next(), Ok(by_account("https://a.test/order/1", "")));
        table.tell(answer(200, &[("Replay-Nonce", "eighth")], VALID)).unwrap();
        assert_eq!(table.next(), Ok(by_account("https://a.test/cert", "")));
        let chain = table.certificate();
        table.tell(answer(200, &[], &chain)).unwrap();
        assert_eq!(table.next(), Ok(Did::Done));
        assert_eq!(table.next(), Ok(Did::Done));
        let Ok(Action::Done(issued)) = table.acquisition.next(table.now()) else { panic!() };
        assert_eq!(issued.chain_pem, chain);
        assert_eq!(table.acquisition.account().url.as_ref().unwrap().as_str(), "https://a.test/acct/1");
        assert_eq!(table.nonces, 1);
    });
}

#[test]
fn orders_that_are_done_already_skip_what_is() {
    run(async {
        // All names were ours before.
        let mut table = Table::new(&[Way::Http]);
        table.turn("https://a.test/dir", answer(200, &[], DIRECTORY)).unwrap();
        table
            .turn("https://a.test/account", answer(200, &[("Location", "https://a.test/acct/1")], "{}"))
            .unwrap();
        table
            .turn("https://a.test/order", answer(201, &[("Location", "https://a.test/order/1")], READY))
            .unwrap();
        table.turn("https://a.test/final", answer(200, &[], VALID)).unwrap();
        let chain = table.certificate();
        table.turn("https://a.test/cert", answer(200, &[], &chain)).unwrap();
        assert_eq!(table.next(), Ok(Did::Done));
        // One of them was.
        let mut table = Table::new(&[Way::Http]);
        table.reach_order();
        table.turn("https://a.test/authz/1", answer(200, &[], SHOWN)).unwrap();
        table.turn("https://a.test/final", answer(200, &[], VALID)).unwrap();
        // An answer was lost, and the authority has looked meanwhile.
        let mut table = Table::new(&[Way::Http]);
        table.reach_challenge();
        table.turn("https://a.test/chall/1", Err("lost".into())).unwrap();
        table.turn("https://a.test/chall/1", problem(400, "malformed")).unwrap();
        table.turn("https://a.test/authz/1", answer(200, &[], SHOWN)).unwrap();
        table.turn("https://a.test/final", answer(200, &[], VALID)).unwrap();
    });
}

/// RFC 9773 section 5.
#[test]
fn an_order_says_what_it_replaces_to_who_wants_to_know() {
    run(async {
        let chain = include_str!("../../tests/renewal.pem");
        let new = DIRECTORY.replace("{", r#"{"renewalInfo":"https://a.test/info","#);
        for (directory, chain, replaces) in [
            (&*new, chain, true),
            (DIRECTORY, chain, false),
            // Nobody knows who has signed it.
            (&new, &Table::new(&[Way::Http]).certificate(), false),
        ] {
            // An authority that knows better, or does not know it as this account's, gets an order without it, once.
            for (status, kind) in [(409, "alreadyReplaced"), (400, "malformed"), (403, "unauthorized")] {
                let mut table = Table::new(&[Way::Http]);
                table.acquisition = table.acquisition.replacing(chain);
                table.turn("https://a.test/dir", answer(200, &[], directory)).unwrap();
                table
                    .turn(
                        "https://a.test/account",
                        answer(201, &[("Location", "https://a.test/acct/1")], "{}"),
                    )
                    .unwrap();
                let Ok(Did::Post { payload, .. }) = table.ask() else { panic!() };
                let name = r#"],"replaces":"UBt5QLoqIfmnEpcBB_kT1plImMU.Ag"}"#;
                assert_eq!(payload.ends_with(name), replaces, "{payload}");
                for is_last in [false, true].into_iter().skip(usize::from(!replaces)) {
                    let end = table.tell(problem(status, kind));
                    assert_eq!(end.is_err(), is_last, "{end:?}");
                    if !is_last {
                        let Ok(Did::Post { payload, .. }) = table.ask() else { panic!() };
                        assert!(!payload.contains("replaces"), "{payload}");
                    }
                }
            }
        }
    });
}

/// What the account before has got is not what the new one replaces.
#[test]
fn an_account_that_is_made_anew_replaces_nothing() {
    run(async {
        let directory = DIRECTORY.replace("{", r#"{"renewalInfo":"https://a.test/info","#);
        let mut table = Table::new(&[Way::Http]);
        table.acquisition = table.acquisition.replacing(include_str!("../../tests/renewal.pem"));
        table.turn("https://a.test/dir", answer(200, &[], &directory)).unwrap();
        let made = |url| answer(201, &[("Location", url)], "{}");
        table.turn("https://a.test/account", made("https://a.test/acct/1")).unwrap();
        let Ok(Did::Post { payload, .. }) = table.ask() else { panic!() };
        assert!(payload.contains("replaces"), "{payload}");
        table.tell(problem(400, "accountDoesNotExist")).unwrap();
        table.turn("https://a.test/account", made("https://a.test/acct/2")).unwrap();
        let Ok(Did::Post { payload, kid, .. }) = table.ask() else { panic!() };
        assert_eq!(kid.as_deref(), Some("https://a.test/acct/2"));
        assert!(!payload.contains("replaces"), "{payload}");
    });
}
