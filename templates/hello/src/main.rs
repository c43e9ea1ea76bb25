#![no_std]
#![no_main]

use fata::prelude::*;

// Names `main`, and makes `params` of what unikernel.toml declares.
fata::main!(main);

async fn main(env: Env) -> Result<()> {
    println!(env, "{} from {{name}}", env.param(params::GREETING));
    Ok(())
}
