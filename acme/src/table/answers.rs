//! Refusals, and answers that cannot be.

use super::*;

#[test]
fn refusals_say_why() {
    run(async {
        let mut table = Table::new(&[Way::Http]);
        table.turn("https://a.test/dir", answer(200, &[], DIRECTORY)).unwrap();
        let end = table.turn("https://a.test/account", problem(403, "unauthorized"));
        assert_eq!(end, Err(refused("give an account", 403, "unauthorized")));
        let mut table = Table::new(&[Way::Http]);
        table.reach_final();
        let end = table.turn("https://a.test/final", problem(400, "badCSR"));
        assert_eq!(end, Err(refused("make a certificate", 400, "badCSR")));
        // A redirection is none of an authority's answers.
        let mut table = Table::new(&[Way::Http]);
        let elsewhere = answer(301, &[("Location", "https://b.test/")], "");
        let end = table.turn("https://a.test/dir", elsewhere).unwrap_err();
        assert!(matches!(end, Error::Refused { status: 301, .. }), "{end:?}");
    });
}

/// Whatever an authority says, there is an error or another question, and no panic.
#[test]
fn answers_that_cannot_be() {
    run(async {
        let many: Vec<_> = (0..101).map(|n| format!("\"https://a.test/{n}\"")).collect();
        let many = format!(
            r#"{{"status":"pending","authorizations":[{}],"finalize":"https://a.test/final"}}"#,
            many.join(",")
        );
        let deep = "[".repeat(10_000);
        let long = " ".repeat(MAX_BODY + 1);
        let bodies = ["", "{}", "[]", "null", "\"", "{\"status\":7}", &many, &deep, &long, "\u{0}"];
        let plain = bodies.map(|body| answer(200, &[("Location", "https://a.test/x")], body));
        let other = [
            answer(200, &[], PENDING),
            answer(200, &[("Location", "http://a.test/plain")], PENDING),
            answer(200, &[("Location", "https://a.test/\"")], PENDING),
            answer(200, &[("Location", "https://a.test/x")], &PENDING.replace("https", "http")),
            answer(
                200,
                &[("Location", "https://a.test/x")],
                &PENDING.replace(r#""https://a.test/authz/1""#, ""),
            ),
            answer(200, &[("Location", "https://a.test/x")], &VALID.replace("certificate", "other")),
        ];
        for said in plain.iter().chain(&other) {
            let mut table = Table::new(&[Way::Http]);
            table.turn("https://a.test/dir", answer(200, &[], DIRECTORY)).unwrap();
            table
                .turn("https://a.test/account", answer(201, &[("Location", "https://a.test/acct/1")], "{}"))
                .unwrap();
            let end = table.turn("https://a.test/order", said.clone()).unwrap_err();
            assert!(matches!(end, Error::BadAnswer { .. } | Error::BadUrl(_)), "{end:?}");
            assert!(end.to_string().len() < 3000);
        }
        for said in &plain {
            for reach in [
                Table::reach_order as fn(&mut Table),
                |table: &mut Table| drop(table.reach_challenge()),
                Table::reach_final,
            ] {
                let mut table = Table::new(&[Way::Http]);
                reach(&mut table);
                table.ask().unwrap();
                // What the answer to a challenge says is not looked at: the authorization says it.
                let _ = table.tell(said.clone());
                let _ = table.ask();
            }
        }
        assert!(table_of_a_wildcard().is_err());
    });
}

/// A certificate that is none, or another's, or for others.
#[test]
fn certificates_that_were_not_asked_for() {
    run(async {
        type Make = fn(&Table) -> String;
        let makes: [(Make, &str); 5] = [
            (|_| String::new(), "no certificate in the PEM text"),
            (|_| "no certificate".into(), "no certificate in the PEM text"),
            (|_| Table::new(&[Way::Http]).certificate(), "does not belong to the first certificate"),
            (|table| table.certificate().repeat(11), "11 certificates, where 10 are the most"),
            (|table| table.certificate_for(&["host.test", "b.test"]), "it is not for 192.0.2.1"),
        ];
        for (make, why) in makes {
            let mut table = Table::new(&[Way::Http]);
            table.reach_final();
            let said = &make(&table);
            table.turn("https://a.test/final", answer(200, &[], VALID)).unwrap();
            let end = table.turn("https://a.test/cert", answer(200, &[], said)).unwrap_err();
            assert!(matches!(end, Error::BadAnswer { doing: "give the certificate out", .. }), "{end:?}");
            assert!(end.to_string().contains(why), "{end}");
        }
    });
}

fn table_of_a_wildcard() -> Result<Acquisition, Error> {
    let entry = Url::new("https://a.test/dir")?;
    let names = Names::parse(&["*.host.test"])?;
    Acquisition::new(entry, Settings::default(), Account::generate()?, names, &[Way::Http])
}
