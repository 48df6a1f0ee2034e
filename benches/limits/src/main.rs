//! The limits that the product is measured against, and the load that both are put under. `benches/run` starts
//! each of these in turn and reads the line of JSON that it prints.

mod figures;
mod http;
mod inline;
mod insert;
mod limit;
mod load;
mod replay;
mod reserve;
mod stored;

use clap::Parser;
use mimalloc::MiMalloc;

// The product's own, so that the two differ in nothing but what they do.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

#[derive(Parser)]
enum Command {
    /// Serve accounts straight from the product's tables, with nothing around the statement
    Limit(limit::Settings),
    /// Send requests over kept connections, each as soon as the one before is answered
    Load(load::Settings),
    /// Insert single rows through the product's store, many tasks at once
    Insert(insert::Settings),
    /// Place orders by their bare statements, one after another, in the product's database
    Replay(replay::Settings),
    /// Take quota below a tree of ceilings, many tasks at once, and verify every level
    Reserve(reserve::Settings),
}

fn main() -> anyhow::Result<()> {
    match Command::parse() {
        Command::Limit(settings) => limit::serve(settings),
        Command::Load(settings) => load::run(settings),
        Command::Insert(settings) => insert::run(settings),
        Command::Replay(settings) => replay::run(settings),
        Command::Reserve(settings) => reserve::run(settings),
    }
}
