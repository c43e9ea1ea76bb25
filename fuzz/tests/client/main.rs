//! Responses to an HTTP client, nearly good ones and bad ones, in pieces; URLs; and servers of all kinds for one that keeps
//! connections and follows redirections.

#[path = "../../../http/tests/common/mod.rs"]
mod common;
mod fetches;
#[allow(dead_code, reason = "only a server's end is of use here")]
#[path = "../../../http/tests/client/net.rs"]
mod net;
mod network;
#[allow(dead_code, reason = "only how it is written is of use here")]
#[path = "../../../http/tests/malformed/table.rs"]
mod requests;
#[path = "../../../http/tests/client/server.rs"]
mod server;
#[allow(dead_code, reason = "what becomes of them is tested elsewhere")]
#[path = "../../../http/tests/client/table.rs"]
mod table;

use fata_fuzz::{fuzz, mutated};
use fata_http::client::Url;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::Index;
use server::result_of;

/// Responses of all kinds.
fn corpus() -> Vec<Vec<u8>> {
    let table = table::cases().into_iter().map(|case| case.response);
    table.filter(|response| response.len() < 4096).collect()
}

/// Whatever comes is read alike, however it comes.
#[test]
fn responses() {
    let inputs = (vec(mutated(corpus()), 1..3), vec(any::<Index>(), 0..6), 0..3_usize, 1..200_usize);
    fuzz(&inputs, |(responses, cuts, request, room)| {
        let response = responses.concat();
        let cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(response.len() + 1)).collect();
        let request = ["GET", "HEAD", "UPGRADE"][request];
        fata_libos::testing::run(async {
            // Whether the connection is kept depends on whether what follows had come already.
            let lasting = |result: String| result.replace(" keep ", " ").replace(" close ", " ");
            let whole = lasting(result_of(request, &response, &[], 4096).await);
            let pieces = lasting(result_of(request, &response, &cuts, room).await);
            assert_eq!(pieces, whole, "it matters how they come: {cuts:?}");
        });
    });
}

/// What is a URL stays one, and what it leads to is one or an error.
#[test]
fn urls() {
    let good = [
        "http://example.org/",
        "https://h:8443/a/../b?c=d#e",
        "http://[2001:db8::1]:80/x",
        "http://192.0.2.1",
        "//o/x",
        "../a",
        "?q",
        "HTTP://xn--bcher-kva.example.:80/%20",
        "mailto:a@b",
    ];
    let corpus: Vec<Vec<u8>> = good.iter().map(|text| text.as_bytes().to_vec()).collect();
    fuzz(&(mutated(corpus.clone()), mutated(corpus)), |(base, reference)| {
        let Ok(text) = String::from_utf8(base) else { return };
        let Ok(url) = text.parse::<Url>() else { return };
        assert_eq!(url.to_string().parse::<Url>(), Ok(url.clone()), "{text}");
        assert!(url.target().starts_with('/') && url.target().bytes().all(|b| b.is_ascii_graphic()));
        if let Ok(joined) = url.join(&reference) {
            assert_eq!(joined.to_string().parse::<Url>(), Ok(joined));
        }
    });
}
