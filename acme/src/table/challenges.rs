//! Showing that a name is ours.

use super::*;

#[test]
fn the_dearest_way_is_taken_that_is_offered() {
    run(async {
        for (ways, token) in [
            (&[Way::Http, Way::TlsAlpn][..], "token_1"),
            (&[Way::TlsAlpn, Way::Http], "token_2"),
            (&[Way::TlsAlpn], "token_2"),
        ] {
            assert_eq!(Table::new(ways).reach_challenge().token, token);
        }
        for (ways, offer) in [
            (&[][..], TO_SHOW.into()),
            (&[Way::Http], TO_SHOW.replace("http-01", "http-02")),
            // Tokens that would be something else in a path, or are none.
            (&[Way::Http], TO_SHOW.replace("token_1", "../token")),
            (&[Way::Http], TO_SHOW.replace("token_1", "a b")),
            (&[Way::Http], TO_SHOW.replace("token_1", "")),
            (&[Way::Http], TO_SHOW.replace("token_1", &"a".repeat(257))),
        ] {
            let mut table = Table::new(ways);
            table.reach_order();
            let result = table.turn("https://a.test/authz/1", answer(200, &[], &offer));
            assert_eq!(result, Err(Error::NoChallenge("host.test".into())), "{offer}");
        }
    });
}

/// Whoever asks for a name that was not asked for is shown nothing.
#[test]
fn what_was_not_ordered_is_not_shown() {
    run(async {
        for (name, is_ours) in [
            ("HOST.test", true),
            ("192.0.2.1", true),
            ("other.test", false),
            ("host.test.", false),
            ("", false),
        ] {
            let mut table = Table::new(&[Way::TlsAlpn]);
            table.reach_order();
            let offer = TO_SHOW.replace("host.test", name);
            let result = table.turn("https://a.test/authz/1", answer(200, &[], &offer));
            assert_eq!(result.is_ok(), is_ours, "{name}: {result:?}");
            if let Err(error) = result {
                assert!(error.to_string().ends_with("a name that the order does not have"), "{error}");
            }
        }
    });
}

/// What is to be shown, where the authority has this against one of its tokens.
fn in_vain(token: &str, detail: &str) -> String {
    let error = format!(
        r#""{token}","error":{{"type":"urn:ietf:params:acme:error:connection","detail":"{detail}"}}"#
    );
    TO_SHOW.replace(&format!(r#""{token}""#), &error)
}

#[test]
fn who_has_looked_in_vain_is_told_to_look_again() {
    run(async {
        let mut table = Table::new(&[Way::Http]);
        table.reach_challenge();
        for n in 0..3 {
            table.turn("https://a.test/chall/1", answer(200, &[], LOOKING)).unwrap();
            let vain = in_vain("token_1", &format!("no host {n}"));
            table.turn("https://a.test/authz/1", answer(200, &[], &vain)).unwrap();
        }
        table.turn("https://a.test/chall/1", answer(200, &[], LOOKING)).unwrap();
        let vain = in_vain("token_1", "no host at all");
        let end = table.turn("https://a.test/authz/1", answer(200, &[], &vain));
        let problem = Problem { kind: "connection".into(), detail: "no host at all".into() };
        assert_eq!(end, Err(Error::NotOurs { name: "host.test".into(), problem }));
    });
}

#[test]
fn what_was_said_before_is_not_said_again() {
    run(async {
        let old = in_vain("token_1", "no host");
        let mut table = Table::new(&[Way::Http]);
        table.reach_order();
        // Of an order before, which has got the same authorization.
        table.turn("https://a.test/authz/1", answer(200, &[], &old)).unwrap();
        assert!(matches!(table.next(), Ok(Did::Present(_))));
        for _ in 0..3 {
            table.turn("https://a.test/chall/1", answer(200, &[], LOOKING)).unwrap();
            // It may have looked in vain again, and have the same to say.
            for _ in 0..2 {
                table.turn("https://a.test/authz/1", answer(200, &[], &old)).unwrap();
            }
        }
        assert!(matches!(table.ask(), Ok(Did::Post { url, .. }) if url == "https://a.test/chall/1"));
        // What is shown meanwhile counts.
        let mut table = Table::new(&[Way::Http]);
        table.reach_order();
        table.turn("https://a.test/authz/1", answer(200, &[], &old)).unwrap();
        table.next().unwrap();
        table.turn("https://a.test/chall/1", answer(200, &[], LOOKING)).unwrap();
        table.turn("https://a.test/authz/1", answer(200, &[], &old)).unwrap();
        table.turn("https://a.test/authz/1", answer(200, &[], SHOWN)).unwrap();
        table.turn("https://a.test/final", answer(200, &[], VALID)).unwrap();
    });
}

#[test]
fn what_another_challenge_says_is_not_ours() {
    run(async {
        let mut table = Table::new(&[Way::Http]);
        table.reach_challenge();
        table.turn("https://a.test/chall/1", answer(200, &[], LOOKING)).unwrap();
        let others = in_vain("token_2", "of another order");
        for _ in 0..10 {
            table.turn("https://a.test/authz/1", answer(200, &[], &others)).unwrap();
        }
        // The authority tries again by itself, and is not to be told to.
        let busy = in_vain("token_1", "not yet").replace("pending\"}", "processing\"}");
        for _ in 0..3 {
            table.turn("https://a.test/authz/1", answer(200, &[], &busy)).unwrap();
        }
        // When it has ended, it is ours that says why.
        let ended =
            in_vain("token_1", "ours").replace("\"pending\",\"identifier", "\"invalid\",\"identifier");
        let ended = ended.replace("\"dns\"}", "\"dns\",\"error\":{\"detail\":\"another's\"}}");
        let end = table.turn("https://a.test/authz/1", answer(200, &[], &ended)).unwrap_err();
        assert_eq!(end.to_string(), "the authority does not find host.test to be ours: connection: ours");
    });
}

#[test]
fn what_has_ended_ends_it() {
    run(async {
        for status in ["invalid", "expired", "deactivated", "revoked", "unheard-of"] {
            let mut table = Table::new(&[Way::Http]);
            table.reach_challenge();
            table.turn("https://a.test/chall/1", answer(200, &[], LOOKING)).unwrap();
            let ended = SHOWN.replace("valid", status);
            let end = table.turn("https://a.test/authz/1", answer(200, &[], &ended)).unwrap_err();
            assert_eq!(
                end.to_string(),
                "the authority does not find host.test to be ours: no reason is given"
            );
        }
        let mut table = Table::new(&[Way::Http]);
        table.reach_final();
        let ended = r#"{"status":"invalid","authorizations":[],"finalize":"https://a.test/final",
            "error":{"type":"urn:ietf:params:acme:error:caa","detail":"CAA forbids it"}}"#;
        let end = table.turn("https://a.test/final", answer(200, &[], ended)).unwrap_err();
        assert_eq!(end.to_string(), "the authority has ended the order: caa: CAA forbids it");
    });
}
