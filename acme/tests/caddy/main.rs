//! With a real authority: the ACME server of caddy, which looks on ports 80 and 443 whether names are ours. All of it runs in a network
//! namespace, where those ports are free and names mean what the test says.

mod appliance;
mod authority;

use appliance::{Appliance, Memory};
use authority::{Authority, inside};
use fata_acme::{Certificate, Failure, Settings, State, Url, Way};
use fata_libos::time::Duration;
use fata_tls::issue::Validity;

const NAMES: [&str; 2] = ["appliance.test", "other.test"];

/// What curl gets over HTTPS from a name, trusting caddy's root alone.
fn curl(authority: &Authority, url: &'static str) -> impl Fn(&str) -> String + Clone + Send + 'static {
    let root = authority.root();
    move |_| authority::tool("curl", &["-sS", "--max-time", "20", "--cacert", root.to_str().unwrap(), url])
}

#[test]
fn a_certificate_by_http_01() {
    inside("a_certificate_by_http_01", || {
        let authority = Authority::start();
        let storage = Memory::default();
        let appliance = Appliance::new(&authority, &NAMES, &[Way::Http], storage.clone());
        let chains = appliance.run_until_certificates(1, curl(&authority, "https://other.test/"));
        assert_eq!(chains, ["hello over TLS"]);
        let (state, errors) = State::from_octets(&storage.octets());
        assert!(errors.is_empty(), "{errors:?}");
        let Certificate { names, issued, .. } = state.certificate.unwrap();
        assert_eq!(names.iter().map(ToString::to_string).collect::<Vec<_>>(), NAMES);
        let validity = Validity::of(&issued.chain_pem).unwrap();
        assert!(validity.not_before < validity.two_thirds() && validity.two_thirds() < validity.not_after);
        assert!(state.account.unwrap().1.url.is_some());
        // What is shown for challenges alone is gone.
        assert!(!authority.log().contains("\"level\":\"error\""), "{}", authority.log());
    });
}

#[test]
fn a_certificate_by_tls_alpn_01_for_a_name_and_an_address() {
    inside("a_certificate_by_tls_alpn_01_for_a_name_and_an_address", || {
        let authority = Authority::start();
        let names = ["appliance.test", "127.0.0.1"];
        let appliance = Appliance::new(&authority, &names, &[Way::TlsAlpn], Memory::default());
        let chains = appliance.run_until_certificates(1, curl(&authority, "https://127.0.0.1/"));
        assert_eq!(chains, ["hello over TLS"]);
    });
}

#[test]
fn a_kept_certificate_is_shown_at_once_and_another_one_comes_with_the_same_account() {
    inside("a_kept_certificate_is_shown_at_once_and_another_one_comes_with_the_same_account", || {
        let authority = Authority::start();
        let storage = Memory::default();
        let run = |names: &[&str], ways: &[Way], count| {
            let appliance = Appliance::new(&authority, names, ways, storage.clone());
            appliance.run_until_certificates(count, |chain| chain.to_owned())
        };
        let first = run(&NAMES, &[Way::Http], 1);
        let account = State::from_octets(&storage.octets()).0.account.unwrap().1;
        // It is there, and its time has not come.
        assert_eq!(run(&NAMES, &[Way::Http], 1), first);
        // Other names want another one.
        let second = run(&NAMES[..1], &[Way::TlsAlpn, Way::Http], 2);
        assert_eq!(second[0], first[0]);
        assert_ne!(second[1], first[0]);
        let after = State::from_octets(&storage.octets()).0.account.unwrap().1;
        assert_eq!((after.url, after.key.public()), (account.url, account.key.public()));
    });
}

#[test]
fn what_is_not_ours_is_refused_and_says_why() {
    inside("what_is_not_ours_is_refused_and_says_why", || {
        let authority = Authority::start();
        // There is nobody at that address.
        let appliance = Appliance::new(&authority, &["elsewhere.test"], &[Way::Http], Memory::default());
        let error = appliance.try_once(Duration::from_secs(100)).unwrap_err();
        let said = error.to_string();
        assert!(said.contains("elsewhere.test"), "{said}");
        let wildcard = Appliance::new(&authority, &["*.appliance.test"], &[Way::Http], Memory::default());
        let error = wildcard.try_once(Duration::from_secs(100)).unwrap_err();
        assert_eq!(error, fata_acme::Error::Wildcard("*.appliance.test".into()));
        // Not what an authority's directory is.
        let mut lost = Appliance::new(&authority, &NAMES, &[Way::Http], Memory::default());
        lost.entry = Url::new("https://ca.test:14000/nothing").unwrap();
        let error = lost.try_once(Duration::from_secs(100)).unwrap_err();
        assert!(error.to_string().contains("say what it offers"), "{error}");
    });
}

#[test]
fn settings_that_no_try_would_change_end_it() {
    inside("settings_that_no_try_would_change_end_it", || {
        let authority = Authority::start();
        let names = ["*.appliance.test"];
        let appliance = Appliance::new(&authority, &names, &[Way::Http], Memory::default());
        let end = appliance.keep(Settings::default());
        assert_eq!(end, Failure::Authority(fata_acme::Error::Wildcard(names[0].into())));
    });
}
