//! Measures networks with iperf3's protocol: a server, or with `client=ADDRESS` a client that measures once and powers off.
//!
//!     cargo fata run iperf --forward 5201:5201
//!     iperf3 -c 127.0.0.1 --parallel 4
#![no_std]
#![no_main]

extern crate alloc;

use alloc::boxed::Box;
use alloc::format;
use core::net::{IpAddr, SocketAddr};
use fata::log;
use fata::net::Network;
use fata::prelude::*;
use iperf_core::options::amount;
use iperf_core::params::{Counter, Flow, Limits, Plan, Protocol, Until, block};
use iperf_core::{client, server};

fata::main!(main);

async fn main(env: Env) -> Result<()> {
    let window = usize::try_from(amount(env.param(params::WINDOW), 1024)?)?;
    match env.param(params::CLIENT) {
        Some(address) => measure(&env, address, window).await,
        None => serve(&env, window).await,
    }
}

async fn serve(env: &Env, window: usize) -> Result<()> {
    let streams = env.param(params::STREAMS);
    let streams =
        u32::try_from(streams).map_err(|_| format!("boot parameter streams: {streams} are too many"))?;
    let network = env.network(networks::MAIN).await?;
    let (port, printer) = (env.param(params::PORT), env.clone());
    let settings = server::Settings {
        port,
        limits: Limits { streams, longest: env.param(params::LONGEST) },
        idle: env.param(params::IDLE),
        window,
        print: Box::new(move |text| printer.print(format_args!("{text}"))),
    };
    let server = server::Server::bind(&network, settings)?;
    println!(env, "iperf: server on port {port}");
    Ok(server.serve().await?)
}

async fn measure(env: &Env, address: IpAddr, window: usize) -> Result<()> {
    let settings = client::Settings {
        server: SocketAddr::from((address, env.param(params::PORT))),
        plan: plan(env)?,
        idle: env.param(params::IDLE),
        window,
    };
    let network: Network = env.network(networks::MAIN).await?;
    network.interface().configured().await;
    println!(env, "iperf: measuring against {}", settings.server);
    let report = client::measure(&network, &settings).await?;
    print(env, &report.lines()).await;
    print(env, &report.json()).await;
    Ok(())
}

/// Prints what may be more than the console keeps for a slow reader, at a pace that a guest's console has.
async fn print(env: &Env, text: &str) {
    const PIECE: usize = 1024;
    // No line of the log comes between the pieces of one.
    let level = log::max_level();
    log::set_max_level(log::LevelFilter::Off);
    let mut rest = text;
    while !rest.is_empty() {
        let (piece, after) = rest.split_at(rest.floor_char_boundary(PIECE));
        env.print(format_args!("{piece}"));
        rest = after;
        if !rest.is_empty() {
            sleep(Duration::from_millis(10)).await;
        }
    }
    log::set_max_level(level);
}

/// What the boot parameters ask for.
fn plan(env: &Env) -> Result<Plan> {
    let protocol = if env.param(params::UDP) { Protocol::Udp } else { Protocol::Tcp };
    let flow = match (env.param(params::BIDIR), env.param(params::REVERSE)) {
        (true, true) => return Err("either bidir or reverse".into()),
        (true, false) => Flow::Both,
        (false, true) => Flow::ToClient,
        (false, false) => Flow::ToServer,
    };
    let until = match (env.param(params::OCTETS), env.param(params::BLOCKS)) {
        (Some(_), Some(_)) => return Err("either octets or blocks".into()),
        (Some(octets), None) => Until::Octets(amount(octets, 1024)?),
        (None, Some(blocks)) => Until::Blocks(blocks),
        (None, None) => Until::Time(env.param(params::TIME)),
    };
    let length = env.param(params::LENGTH).map(|length| amount(length, 1024)).transpose()?;
    let usual = if protocol == Protocol::Udp { "1M" } else { "0" };
    let plan = Plan {
        protocol,
        flow,
        parallel: u32::try_from(env.param(params::PARALLEL))?,
        block: block(protocol, length.map(|length| length as f64))?,
        until,
        omit: env.param(params::OMIT),
        bitrate: amount(env.param(params::BITRATE).unwrap_or(usual), 1000)?,
        window: None,
        nodelay: env.param(params::NODELAY),
        server_output: env.param(params::SERVER_OUTPUT),
        counter: Counter::Bits64,
    };
    // What a server with iperf3's limits would refuse.
    let limits = Limits { streams: 128 * 2, longest: Duration::from_secs(86_400) };
    Ok(Plan::of(&plan.to_params(), limits)?)
}
