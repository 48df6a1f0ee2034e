//! One row in one unit of work, many at once: what the product's store makes of the engine's cheapest write.

use std::time::{Duration, Instant};

use clap::Args;
use tenantry::model::Subtree;
use tenantry::store::Db;

use crate::figures::{Figures, own_cpu};

#[derive(Args)]
pub struct Settings {
    /// The database, as the product names it; a table is made beside the product's own
    #[arg(long)]
    database: String,
    #[arg(long, default_value_t = 64)]
    tasks: usize,
    #[arg(long, default_value_t = 3.0)]
    seconds: f64,
}

pub fn run(settings: Settings) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    println!("{}", runtime.block_on(inserting(settings))?);
    Ok(())
}

async fn inserting(settings: Settings) -> anyhow::Result<String> {
    let db = Db::connect(&settings.database, 16).await?;
    let mut tx = db.write(Subtree::everything()).await?;
    tx.query(
        "CREATE TABLE IF NOT EXISTS bench_rows (id INTEGER PRIMARY KEY, tenant TEXT NOT NULL, status TEXT NOT NULL,
             body TEXT NOT NULL)",
    )
    .execute()
    .await?;
    tx.commit().await?;
    // The first rows fill caches and are not counted.
    for_a_while(&db, settings.tasks, Duration::from_millis(300)).await?;
    let (begun, cpu) = (Instant::now(), own_cpu()?);
    let figures = for_a_while(&db, settings.tasks, Duration::from_secs_f64(settings.seconds)).await?;
    let (took, cpu) = (begun.elapsed(), own_cpu()? - cpu);
    let each = cpu as f64 / figures.requests() as f64;
    db.close().await;
    Ok(figures.line(took, Some(each))?)
}

async fn for_a_while(db: &Db, tasks: usize, span: Duration) -> anyhow::Result<Figures> {
    let until = Instant::now() + span;
    let tasks: Vec<_> = (0..tasks).map(|task| tokio::spawn(insert(db.clone(), task, until))).collect();
    let mut all = Figures::default();
    for task in tasks {
        all.join(task.await??);
    }
    Ok(all)
}

async fn insert(db: Db, task: usize, until: Instant) -> anyhow::Result<Figures> {
    let mut figures = Figures::default();
    let (tenant, body) = (format!("t{task}"), "x".repeat(500));
    while Instant::now() < until {
        let begun = Instant::now();
        let mut tx = db.write(Subtree::everything()).await?;
        tx.query("INSERT INTO bench_rows (tenant, status, body) VALUES ($1, $2, $3)")
            .bind(&tenant)
            .bind("pending")
            .bind(&body)
            .execute()
            .await?;
        tx.commit().await?;
        figures.add(begun.elapsed(), 200, b"");
    }
    Ok(figures)
}
