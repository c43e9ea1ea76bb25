//! Frames in any order: no panic, no memory without bound, and the server goes on.

use crate::client::*;
use crate::common::run_apart;
use crate::site;
use proptest::prelude::*;

/// A frame that is often right.
fn any_frame() -> impl Strategy<Value = Vec<u8>> {
    let stream = prop_oneof![Just(0), Just(1), Just(3), Just(5), 0_u32..9];
    let payload = prop_oneof![
        Just(block(&get("/"))),
        Just(block(&get("/big"))),
        Just(block(&[("x-trailer", "1")])),
        Just(vec![0; 4]),
        Just(vec![0, 4, 0, 0, 0, 9]),
        Just(vec![0, 0, 1, 0]),
        prop::collection::vec(any::<u8>(), 0..40),
    ];
    prop_oneof![
        8 => (0_u8..11, any::<u8>(), stream, payload).prop_map(|(k, f, s, p)| frame(k, f, s, &p)),
        2 => (0_u32..4).prop_map(|n| ask(2 * n + 1, "/")),
        2 => (0_u32..4).prop_map(|n| post(2 * n + 1, "/", &[])),
        1 => prop::collection::vec(any::<u8>(), 0..30),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn nothing_that_arrives_harms_the_server(frames in prop::collection::vec(any_frame(), 0..30), cut in 1_usize..200) {
        run_apart(|| async move {
            let site = site();
            let mut client = Client::new(&site).await;
            let sent = frames.concat();
            for piece in sent.chunks(cut) {
                client.send(piece).await;
                client.now().await;
            }
            drop(client.end);
            client.serving.await;
            assert_eq!(site.stats().connections_open(), 0);
            let mut next = Client::new(&site).await;
            next.send(&ask(1, "/")).await;
            assert_eq!(next.now().await, "HEADERS 1 200\nDATA 1 5 end\n");
        });
    }
}
