//! The store over a simulated disk.

mod basics;
mod checkpoints;
mod crash;
mod damage;
mod every_moment;
mod full;
mod histories;
mod large;
mod log_end;
mod queue;
mod reopen;
mod superblocks;
mod support;
