//! With a real authority: the ACME server of caddy, which looks on ports 80 and 443 whether names are ours. All of it runs in a network
//! namespace, where those ports are free and names mean what the test says.

mod appliance;
mod authority;

use appliance::{Appliance, Memory};
use authority::{Authority, inside};
use fata_acme::{Certificate, State, Url, Way};
use fata_libos::time::Duration;
use fata_tls::issue::Validity;
use fata_unix::testing;

const NAMES: [&str; 2] = ["appliance.test", "other.test"];

/// What curl gets over HTTPS from a name, trusting caddy's root alone.
fn curl(authority: &Authority, url: &'static str) -> impl Fn(&str) -> String + Clone + Send + 'static {
    let root = authority.root();
    move |_| authority::tool("curl", &["-sS", "--max-time", "20", "--cacert", root.to_str().unwrap(), url])
}

/// By both ways, with one authority, which takes some seconds to start.
#[test]
fn certificates_are_got_kept_and_got_again() {
    inside("certificates_are_got_kept_and_got_again", || {
        let authority = Authority::start();
        let storage = Memory::default();
        let appliance =
            |names: &[&str], ways: &[Way]| Appliance::new(&authority, names, ways, storage.clone());
        // For names, by http-01; curl finds it good.
        let page = curl(&authority, "https://other.test/");
        let look = move |chain: &str| (page(chain), chain.to_owned());
        let first = appliance(&NAMES, &[Way::Http]).run_until_certificates(1, look);
        assert_eq!(first[0].0, "hello over TLS");
        let (state, errors) = State::from_octets(&storage.octets());
        assert!(errors.is_empty(), "{errors:?}");
        let Certificate { names, issued, .. } = state.certificate.unwrap();
        assert_eq!(names.iter().map(ToString::to_string).collect::<Vec<_>>(), NAMES);
        let validity = Validity::of(&issued.chain_pem).unwrap();
        assert!(validity.not_before < validity.two_thirds() && validity.two_thirds() < validity.not_after);
        let account = state.account.unwrap().1;
        assert!(account.url.is_some());
        // It is there at the next start, and its time has not come.
        let same = |chain: &str| chain.to_owned();
        assert_eq!(appliance(&NAMES, &[Way::Http]).run_until_certificates(1, same), [first[0].1.clone()]);
        // Other names want another one, here a name and an address by tls-alpn-01; the account stays.
        let other = ["appliance.test", "127.0.0.1"];
        let page = curl(&authority, "https://127.0.0.1/");
        let old = first[0].1.clone();
        // The one that was kept is shown meanwhile, which is not for the address.
        let look = move |chain: &str| if chain == old { old.clone() } else { page(chain) };
        let shown = appliance(&other, &[Way::TlsAlpn, Way::Http]).run_until_certificates(2, look);
        assert_eq!(shown, [&*first[0].1, "hello over TLS"]);
        let after = State::from_octets(&storage.octets()).0.account.unwrap().1;
        assert_eq!((after.url, after.key.public()), (account.url, account.key.public()));
        assert!(!authority.log().contains("\"level\":\"error\""), "{}", authority.log());
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
        // Not what an authority's directory is.
        let mut lost = Appliance::new(&authority, &NAMES, &[Way::Http], Memory::default());
        lost.entry = Url::new("https://ca.test:14000/nothing").unwrap();
        let error = lost.try_once(Duration::from_secs(100)).unwrap_err();
        assert!(error.to_string().contains("say what it offers"), "{error}");
    });
}
