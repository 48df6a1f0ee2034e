//! A closed loop: each connection sends its next request when the one before is answered. Or, with a rate, an open
//! one: requests come when they are due, whatever became of those before, as long as a connection is free.

use std::cell::Cell;
use std::path::PathBuf;
use std::rc::Rc;
use std::time::{Duration, Instant};

use clap::Args;
use tokio::task::LocalSet;

use crate::figures::Figures;
use crate::http::Connection;

#[derive(Args)]
pub struct Settings {
    /// Where the server listens
    #[arg(long)]
    target: String,
    #[arg(long, default_value_t = 16)]
    connections: usize,
    #[arg(long, default_value_t = 3.0)]
    seconds: f64,
    #[arg(long, default_value = "GET")]
    method: String,
    /// In the path, the headers and the body, {1} and {2} stand for the columns of a line of the items, {n} for
    /// a number that is new in each request
    #[arg(long)]
    path: String,
    #[arg(long = "header")]
    headers: Vec<String>,
    #[arg(long, default_value = "")]
    body: String,
    /// A file with a line for each request, columns apart by a tab; begun anew at its end
    #[arg(long)]
    items: Option<PathBuf>,
    /// Skip so many lines of the items
    #[arg(long, default_value_t = 0)]
    skip: usize,
    /// Send so many requests a second, each at its time; how long one took counts from then
    #[arg(long)]
    rate: Option<f64>,
    /// After how many milliseconds an answer helps nobody any more
    #[arg(long)]
    patience: Option<u64>,
    /// End at the last item rather than begin anew
    #[arg(long)]
    once: bool,
}

pub fn run(settings: Settings) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    println!("{}", LocalSet::new().block_on(&runtime, send(settings))?);
    Ok(())
}

async fn send(settings: Settings) -> anyhow::Result<String> {
    let items = match &settings.items {
        Some(file) => std::fs::read_to_string(file)?.lines().map(str::to_owned).collect(),
        None => vec![String::new()],
    };
    let mut open = Vec::new();
    for _ in 0..settings.connections {
        open.push(Connection::open(&settings.target).await?);
    }
    let begun = Instant::now();
    let shared = Rc::new(Shared {
        begun,
        until: begun + Duration::from_secs_f64(settings.seconds),
        run: std::process::id(),
        next: Cell::new(settings.skip),
        items,
        settings,
    });
    let connections: Vec<_> =
        open.into_iter().map(|one| tokio::task::spawn_local(connection(shared.clone(), one))).collect();
    let mut all = Figures::default();
    for connection in connections {
        all.join(connection.await??);
    }
    anyhow::ensure!(all.requests() > 0, "nothing was sent");
    Ok(all.line(begun.elapsed(), None)?)
}

struct Shared {
    settings: Settings,
    items: Vec<String>,
    next: Cell<usize>,
    begun: Instant,
    until: Instant,
    run: u32,
}

async fn connection(shared: Rc<Shared>, mut connection: Connection) -> anyhow::Result<Figures> {
    let mut figures = Figures::within(shared.settings.patience.map(Duration::from_millis));
    while let Some((due, request)) = shared.request() {
        let begun = if shared.settings.rate.is_some() { due } else { Instant::now() };
        if begun >= shared.until {
            break;
        }
        if shared.settings.rate.is_some() {
            tokio::time::sleep_until(due.into()).await;
        }
        let (status, body) = connection.ask(request.as_bytes()).await?;
        figures.add(begun.elapsed(), status, body);
    }
    Ok(figures)
}

impl Shared {
    /// The next request and when it is due; none when there is none left.
    fn request(&self) -> Option<(Instant, String)> {
        let number = self.next.replace(self.next.get() + 1);
        let sent = (number - self.settings.skip) as f64;
        let due =
            self.settings.rate.map_or(self.begun, |rate| self.begun + Duration::from_secs_f64(sent / rate));
        if self.settings.once && number >= self.items.len() {
            return None;
        }
        let columns: Vec<_> = self.items[number % self.items.len()].split('\t').collect();
        let unique = format!("{}-{number}", self.run);
        let fill = |text: &str| {
            let mut text = text.replace("{n}", &unique);
            for (at, column) in columns.iter().enumerate() {
                text = text.replace(&format!("{{{}}}", at + 1), column);
            }
            text
        };
        let Settings { method, path, headers, body, target, .. } = &self.settings;
        let body = fill(body);
        let mut request = format!("{method} {} HTTP/1.1\r\nhost: {target}\r\n", fill(path));
        for header in headers {
            request += &fill(header);
            request += "\r\n";
        }
        if method != "GET" {
            request += &format!("content-length: {}\r\n", body.len());
        }
        Some((due, request + "\r\n" + &body))
    }
}
