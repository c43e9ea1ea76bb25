use super::*;
use fata_libos::testing::run;
use fata_libos::time::SystemTime;
use fata_tls::issue::{MAX_DATE, self_signed};

fn authority() -> Url {
    Url::new("https://a.test/dir").unwrap()
}

fn state(url: Option<&str>, names: &[&str]) -> State {
    let url = url.map(|url| Url::new(url).unwrap());
    let issued = (!names.is_empty()).then(|| self_signed(names, SystemTime::now(), MAX_DATE).unwrap());
    let certificate =
        |issued| Certificate { authority: authority(), names: Names::parse(names).unwrap(), issued };
    State {
        account: Some((authority(), Account { url, ..Account::generate().unwrap() })),
        certificate: issued.map(certificate),
    }
}

/// What of it can be compared.
fn account(state: &State) -> Option<impl PartialEq + core::fmt::Debug> {
    let (authority, account) = state.account.as_ref()?;
    Some((authority.clone(), account.url.clone(), account.key.public()))
}

fn certificate(state: &State) -> Option<impl PartialEq + core::fmt::Debug> {
    let Certificate { authority, names, issued } = state.certificate.clone()?;
    Some((authority, names, issued.chain_pem, issued.key_pem))
}

#[test]
fn states_go_there_and_back() {
    run(async {
        for (url, names) in [
            (None, &[][..]),
            (Some("https://a.test/acct/1"), &[]),
            (Some("https://a.test/acct/1"), &["a.test", "10.0.0.2"]),
        ] {
            for has_account in [true, false] {
                let mut state = state(url, names);
                if !has_account {
                    state.account = None;
                }
                let mut octets = state.to_octets().unwrap().to_vec();
                octets.extend([0; 512]);
                let (read, errors) = State::from_octets(&octets);
                assert!(errors.is_empty(), "{errors:?}");
                assert_eq!(read.to_octets().unwrap()[..], octets[..octets.len() - 512]);
                assert_eq!(account(&read), account(&state));
                assert_eq!(certificate(&read), certificate(&state));
            }
        }
    });
}

/// Wherever it is damaged or cut off, what is not hit is there, and what is hit is none.
#[test]
fn damage_costs_one_part() {
    run(async {
        let state = state(Some("https://a.test/acct/1"), &["a.test"]);
        let octets = state.to_octets().unwrap();
        let second = octets.windows(17).position(|w| w == b"part certificate ").unwrap();
        let first = MAGIC.len();
        // Each octet would take a minute: keys are checked each time.
        let edges = [first - 1, first + 1, second - 1, second, second + 1, octets.len() - 1];
        for at in (0..octets.len()).step_by(29).chain(edges) {
            let mut changed = octets.to_vec();
            changed[at] ^= 1;
            let (read, _) = State::from_octets(&changed);
            if at < first || at >= second {
                assert_eq!(account(&read), account(&state), "changed at {at}");
            } else {
                assert!(account(&read).is_none(), "changed at {at}");
            }
            if at < second {
                assert_eq!(certificate(&read), certificate(&state), "changed at {at}");
            } else {
                assert!(certificate(&read).is_none(), "changed at {at}");
            }
            let (read, _) = State::from_octets(&octets[..at]);
            assert_eq!(account(&read).is_some(), at >= second, "cut at {at}");
            assert!(certificate(&read).is_none(), "cut at {at}");
        }
    });
}

#[test]
fn what_is_broken_is_an_error() {
    run(async {
        let parts = |octets: &[u8]| {
            let (state, errors) = State::from_octets(octets);
            assert!(state.account.is_none() && state.certificate.is_none());
            errors.iter().map(ToString::to_string).collect::<Vec<_>>()
        };
        let unknown = "the kept state cannot be read, its beginning: it is of no version that is known";
        for octets in [&b""[..], &[0; 512], b"fata-acme 3\n"] {
            assert_eq!(parts(octets), [unknown]);
        }
        // Fields with a checksum, but nothing that makes sense.
        for body in ["", "authority 3\nabc\n", "a 99999999999999999999\n", "a 5\nb", "a\n", "a -1\n\n"] {
            for name in [ACCOUNT, CERTIFICATE] {
                let head = format!("part {name} {} {}\n", body.len(), hex(&Sha256::digest(body.as_bytes())));
                let octets = [MAGIC, head.as_bytes(), body.as_bytes()].concat();
                let broken =
                    format!("the kept state cannot be read, its {name}: a field is missing or broken");
                assert_eq!(parts(&octets), [broken], "{body}");
            }
        }
        let long = format!("part {ACCOUNT} {} {}\n", MAX_STATE + 1, hex(&[0; 32]));
        let octets = [MAGIC, long.as_bytes(), &vec![0; MAX_STATE + 1]].concat();
        assert_eq!(parts(&octets), ["the kept state cannot be read, its account: it is cut off"]);
    });
}

/// Of two states behind each other, of which the first is whole or not: what is left of both makes one.
#[test]
fn what_is_left_of_two_makes_one() {
    run(async {
        let day = fata_libos::time::Duration::from_secs(86_400);
        let ends = |state: &mut State, days: u32| {
            let end = SystemTime::from_unix(SystemTime::now().since_unix() + days * day);
            state.certificate.as_mut().unwrap().issued =
                self_signed(&["a.test"], SystemTime::now(), end).unwrap();
        };
        let mut older = state(Some("https://a.test/acct/1"), &["a.test"]);
        ends(&mut older, 10);
        let mut newer = older.clone();
        newer.account.as_mut().unwrap().1 = Account::generate().unwrap();
        ends(&mut newer, 20);
        let flip = |state: &State, part: &str| {
            let mut octets = state.to_octets().unwrap().to_vec();
            let at = octets.windows(part.len()).position(|window| window == part.as_bytes()).unwrap();
            octets[at + 200] ^= 1;
            octets
        };
        let (begin, alone) = ("part account ", State { certificate: None, ..older.clone() });
        let whole = |state: &State| state.to_octets().unwrap().to_vec();
        for (first, second, accounts, certificates) in [
            // The newer account is lost, and its certificate is not.
            (whole(&older), flip(&newer, begin), &older, &newer),
            (whole(&alone), flip(&newer, begin), &older, &newer),
            (whole(&older), flip(&newer, "part certificate "), &older, &older),
            // Both are damaged, each somewhere else.
            (flip(&newer, begin), flip(&older, "part certificate "), &older, &newer),
            (flip(&newer, "part certificate "), flip(&older, begin), &newer, &older),
        ] {
            let (read, errors) = State::from_octets(&[first, second].concat());
            assert!(errors.is_empty(), "{errors:?}");
            assert_eq!(account(&read), account(accounts));
            assert_eq!(certificate(&read), certificate(certificates));
        }
        let many = flip(&older, begin).repeat(MAX_PARTS);
        let (read, errors) = State::from_octets(&[many, whole(&older)].concat());
        assert!(read.account.is_none() && errors.len() == 1, "{errors:?}");
    });
}

/// A key of a kind that this image cannot use is no reason to lose the account, nor the other way round.
#[test]
fn a_part_that_makes_no_sense_leaves_the_other() {
    run(async {
        let (state, other) = (state(None, &["a.test"]), state(None, &["b.test"]));
        let mut mixed = state.clone();
        mixed.certificate.as_mut().unwrap().issued.key_pem = other.certificate.unwrap().issued.key_pem;
        let (read, errors) = State::from_octets(&mixed.to_octets().unwrap());
        assert_eq!((account(&read), errors.len()), (account(&state), 1));
        assert!(read.certificate.is_none());
    });
}
