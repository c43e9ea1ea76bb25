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
