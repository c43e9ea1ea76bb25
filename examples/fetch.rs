//! Fetches a URL: shows status and fields, the beginning of what is text, and the length and SHA-256 of the content.
//!
//!     cargo fata run fetch --param url=http://example.org/
//!     cargo run --example fetch --features fetch,tls,webpki-roots -- url=https://example.org/ ca.file=ca.img
//!
//! A disk `ca` has the roots to trust: a text in PEM, filled up with zeros to whole sectors. Without it they are Mozilla's.
#![no_std]
#![no_main]

extern crate alloc;

use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;
use fata::block::Disk;
use fata::fetch::{Client, Connector, Response};
use fata::prelude::*;
use sha2::{Digest, Sha256};

fata::main!(main);

/// The longest text of roots, octets.
const MOST_ROOTS: u64 = 64 << 10;
/// What is shown of a text, octets.
const SHOWN: usize = 400;

async fn main(env: Env) -> Result<()> {
    let network = env.network(networks::MAIN).await?;
    let connector = Connector::new(&network);
    let connector = match env.optional_block(blocks::CA).await? {
        Some(disk) => connector.roots_pem(&roots(disk).await?)?,
        None => connector.webpki_roots()?,
    };
    let client = Client::new(connector);
    network.interface().configured().await;
    sleep(Duration::from_secs(env.param(params::AFTER))).await;
    for url in env.param(params::URL).split(',') {
        println!(env, "{url}");
        let started = Instant::now();
        // One that fails does not keep the others from being fetched.
        match client.get(url).send().await {
            Ok(response) => {
                println!(env, "head after {} ms", started.elapsed().as_millis());
                if let Err(error) = show(&env, response).await {
                    println!(env, "failed: {error}");
                }
            }
            Err(error) => println!(env, "failed: {error}"),
        }
    }
    let stats = client.stats();
    println!(env, "{} requests on {} connections", stats.requests(), stats.connections());
    Ok(())
}

async fn roots(disk: Disk) -> Result<String> {
    let geometry = disk.geometry();
    let len = geometry.octets().min(MOST_ROOTS);
    let octets = disk.read(0, len as usize / geometry.sector_size).await?;
    Ok(core::str::from_utf8(&octets)?.trim_end_matches('\0').into())
}

/// The content is as long as the server likes: it is looked at as it comes, and not kept.
async fn show(env: &Env, mut response: Response) -> Result<(), fata::fetch::Error> {
    println!(env, "{} {} from {}", response.status().code(), response.status().reason(), response.url());
    for (name, value) in response.head().fields() {
        println!(env, "{name}: {}", value.escape_ascii());
    }
    let is_text = response.field("Content-Type").is_some_and(|kind| kind.starts_with("text/"));
    let (mut hash, mut len, mut beginning) = (Sha256::new(), 0, Vec::new());
    let mut piece = vec![0; 8192];
    loop {
        let n = response.read(&mut piece).await?;
        if n == 0 {
            break;
        }
        if is_text && beginning.len() < SHOWN {
            beginning.extend_from_slice(&piece[..n.min(SHOWN - beginning.len())]);
        }
        hash.update(&piece[..n]);
        len += n;
    }
    if is_text {
        println!(env, "\n{}", String::from_utf8_lossy(&beginning));
    }
    let hash: String = hash.finalize().iter().map(|octet| alloc::format!("{octet:02x}")).collect();
    println!(env, "{len} octets, SHA-256 {hash}");
    Ok(())
}
