//! The story that `tenantry demo` tells, as an outside client.

mod client;
mod json;
mod place;
mod print;
mod receiver;
mod story;

use std::net::SocketAddr;
use std::time::Instant;

use clap::Parser;
use secrecy::ExposeSecret;
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::cli::{Cli, Command, Flags, KeyCommand, KeyOrder, exit};
use crate::clock::Clock;
use crate::program::{Program, Roles, Running, Stop};
use crate::telemetry;
use client::{Client, Failure, Key};
use place::{Address, Place};
use print::{Ink, Page};
use receiver::Receiver;
use story::{Names, Story};

/// Starts an installation in a folder of its own, tells the story against it and goes on serving until it is told
/// to stop, or ends with the story. The code is 1 if anything was not as told.
pub async fn run(flags: Flags, exit_after: bool) -> Result<u8, Stop> {
    if flags.database_url.is_some() {
        let reason = "the demo has a database of its own, on SQLite; leave --database-url out";
        return Err(Stop::because(exit::USAGE, reason));
    }
    let place = Place::choose(flags.data_dir.as_deref())?;
    let code = play(&place, &flags, exit_after).await;
    match code {
        // What went wrong can be looked into.
        Ok(exit::FAILED) => {}
        _ => place.leave()?,
    }
    code
}

async fn play(place: &Place, flags: &Flags, exit_after: bool) -> Result<u8, Stop> {
    let mut signals = Signals::new()?;
    let (page, clock) = (Page::new(), Clock::system());
    let names = Names::new(place.telling);
    let receiver = Receiver::start(&names.hook(), clock.clone()).map_err(Stop::failed)?;
    let hook = format!("127.0.0.1:{}", receiver.port);
    let config = place.config(flags, &hook)?;
    telemetry::init(&config.log, clock.clone()).map_err(Stop::failed)?;
    let metrics = telemetry::install_metrics().map_err(Stop::failed)?;

    let mut program = Program::open(config, clock).await?;
    let first = program.create_key(&first_key()).await?;
    let operator = Key { variable: "OPERATOR_KEY", secret: first.secret.expose_secret().to_owned() };
    let address = Address::choose(flags.listen)?;
    let base = format!("http://{}", address.api);
    program.config.server.listen = address.api;
    program.config.server.public_url = base.clone();
    let running = program.start(Roles { api: true, workers: true }, metrics).await?;
    let admin = running.admin_address;
    place.remember(&hook, address.api)?;

    let started = Instant::now();
    let told = tokio::select! {
        told = tell(page, &base, &address, place, receiver, names, operator) => told,
        () = signals.next() => {
            stop(running, &mut signals).await?;
            return Ok(exit::INTERRUPTED);
        }
    };
    let took = format!("All came as told, in {:.1} seconds.", started.elapsed().as_secs_f64());
    match told {
        Err(failure) => {
            report(page, &failure, place).map_err(unsaid)?;
            stop(running, &mut signals).await?;
            Ok(exit::FAILED)
        }
        Ok(_) if exit_after => {
            stop(running, &mut signals).await?;
            let left = match place.temporary {
                true => "The folder was a temporary one and goes; --data DIR keeps it.".to_owned(),
                false => format!("What it made is in {}.", place.dir.display()),
            };
            page.line("").and_then(|()| page.frame(&[took, left])).map_err(unsaid)?;
            Ok(exit::OK)
        }
        Ok(keys) => {
            farewell(page, &base, admin, place, &keys, took).map_err(unsaid)?;
            signals.next().await;
            page.line("\nStopping; Ctrl-C once more stops at once.").map_err(unsaid)?;
            stop(running, &mut signals).await?;
            page.line("Stopped.").map_err(unsaid)?;
            Ok(exit::OK)
        }
    }
}

/// The first credential is made on the server itself, by what `tenantry key create` does.
fn first_key() -> KeyOrder {
    let line = ["tenantry", "key", "create", "--bundle", "operator_admin", "--name", "First key"];
    match Cli::try_parse_from(line).map(|cli| cli.command) {
        Ok(Command::Key(KeyCommand::Create(order))) => order,
        other => unreachable!("the command line makes a key: {other:?}"),
    }
}

async fn tell(
    page: Page,
    base: &str,
    address: &Address,
    place: &Place,
    receiver: Receiver,
    names: Names,
    operator: Key,
) -> Result<Vec<Key>, Failure> {
    page.line(
        page.ink(
            Ink::Bold,
            "Tenantry: from an empty folder to a mailbox that is sold, suspended and resumed",
        ),
    )?;
    page.line("")?;
    if let Some(taken) = address.taken {
        page.note(&format!("{taken} is taken by another program, so this one listens on {}.", address.api))?;
    }
    page.note(&format!(
        "The server listens on {base}, with an embedded database and the files it hosts in {}. All that follows is \
         real: each call goes over HTTP and is shown as curl, with what came back (… stands for what is left out).",
        place.dir.display()
    ))?;
    page.note("The operator's first key was made on the server, as this does:")?;
    page.block(Ink::Call, "tenantry key create --bundle operator_admin --name 'First key'")?;
    page.note("To paste the calls below while the server is up, set it in your shell:")?;
    page.line(operator.export())?;
    let client = Client::new(base.to_owned(), page)?;
    let story = Story::new(page, client, receiver, names, place.hosting());
    story.tell(operator).await
}

fn report(page: Page, failure: &Failure, place: &Place) -> std::io::Result<()> {
    page.line("")?;
    match failure {
        Failure::Untold { expected, came } => {
            page.line(page.ink(Ink::Bad, "This is not as told."))?;
            page.line(format!("  expected: {expected}"))?;
            page.line(format!("  came:     {came}"))?;
        }
        Failure::Broken(reason) => {
            page.line(page.ink(Ink::Bad, "The story cannot go on."))?;
            page.line(format!("  {reason}"))?;
        }
    }
    page.note(&format!("The story ends here; what it left is in {}.", place.dir.display()))
}

fn farewell(
    page: Page,
    base: &str,
    admin: Option<SocketAddr>,
    place: &Place,
    keys: &[Key],
    took: String,
) -> std::io::Result<()> {
    let goes = if place.temporary { " (goes when it stops; --data DIR keeps it)" } else { "" };
    let admin = admin.map(|at| format!("Health   http://{at}/readyz and /metrics")).unwrap_or_default();
    let lines = [
        format!("{took} The server stays up:"),
        String::new(),
        format!("API      {base}/v1"),
        format!("Docs     {base}/docs (needs no network)"),
        admin,
        format!("Files    {}{goes}", place.dir.display()),
        "Keys     below; $OPERATOR_KEY may do everything, $CRM_KEY sells, $BILLING_KEY suspends".to_owned(),
        "Stop     Ctrl-C".to_owned(),
    ];
    page.line("")?;
    page.frame(&lines)?;
    keys.iter().try_for_each(|key| page.line(key.export()))?;
    page.line(page.ink(Ink::Call, format!("curl -sS {base}/v1/me -H \"Authorization: Bearer $CRM_KEY\"")))
}

fn unsaid(error: std::io::Error) -> Stop {
    Stop::because(exit::IO, format!("stdout: {error}"))
}

/// Stops in order, or at once when it is told to a second time.
async fn stop(running: Running, signals: &mut Signals) -> Result<(), Stop> {
    tokio::select! {
        () = running.stop() => Ok(()),
        () = signals.next() => Err(Stop { code: exit::INTERRUPTED, reasons: Vec::new() }),
    }
}

/// The wish that the process end.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    fn new() -> Result<Self, Stop> {
        let on = |kind| signal(kind).map_err(Stop::failed);
        Ok(Self { terminate: on(SignalKind::terminate())?, interrupt: on(SignalKind::interrupt())? })
    }

    async fn next(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}
