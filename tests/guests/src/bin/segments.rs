//! Sends TCP segments of tens of thousands of octets for the back end to cut up, has them echoed, and says how long the
//! frames are that come back. No stack: what it sends and receives is what netfront takes and gives.
#![no_std]
#![no_main]

extern crate alloc;

#[path = "../tcp_by_hand.rs"]
mod tcp_by_hand;

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::future::poll_fn;
use fata::net::{MacAddress, NetDevice};
use fata::prelude::*;
use fata::time::timeout;
use tcp_by_hand::{Connection, Family};

fata::main!(main);

/// The payload of each segment, whatever the family; how many of them a frame is to be cut into.
const SEGMENT: usize = 1400;
const SEGMENTS: usize = 41;

async fn main(env: Env) -> Result<()> {
    let peer = parse(env.param(params::PEER).ok_or("peer= is missing")?).ok_or("peer= is no address")?;
    let mut device = env.network_device(networks::MAIN).await?;
    while !device.is_up() {
        poll_fn(|cx| device.poll(cx)).await;
    }
    let offloads = device.offloads();
    println!(env, "offered: {} {}", offloads.tx_segmentation_v4, offloads.tx_segmentation_v6);
    for (family, port) in [(Family::V4, 4004), (Family::V6, 6006)] {
        let talk = talk(&env, &mut device, peer, family, port);
        timeout(Duration::from_secs(60), talk).await.map_err(|_| "no answer for a minute")??;
    }
    let counters = device.counters();
    println!(env, "faults {} errors {} {}", counters.faults, counters.rx_errors, counters.tx_errors);
    env.shutdown().await;
    Ok(())
}

fn parse(text: &str) -> Option<MacAddress> {
    let octets: Option<Vec<u8>> = text.split(':').map(|part| u8::from_str_radix(part, 16).ok()).collect();
    Some(MacAddress(octets?.try_into().ok()?))
}

async fn talk(
    env: &Env,
    device: &mut Box<dyn NetDevice>,
    peer: MacAddress,
    family: Family,
    port: u16,
) -> Result<()> {
    let rounds = env.param(params::ROUNDS);
    let mut connection = Connection::open(&mut **device, peer, family, port).await?;
    for round in 0..rounds as usize {
        let sent: Vec<u8> = (0..SEGMENT * SEGMENTS).map(|i| (i * 7 + round * 13 + i / 256) as u8).collect();
        connection.send(&sent, SEGMENT)?;
        let echoed = connection.receive(sent.len()).await?;
        if echoed != sent {
            return Err("what comes back is not what was sent".into());
        }
    }
    let seen = connection.close().await?;
    println!(
        env,
        "{family:?}: {rounds} rounds, {} frames, the longest of {}, long ones {}, unsummed {}",
        seen.frames,
        seen.longest,
        seen.long,
        seen.long_partial
    );
    Ok(())
}
