//! `cargo xtask <task>`: what developers and CI run.

mod bench;
mod changelog;
mod chaos;
mod ci;
mod deploy;
mod fuzz;
mod image;
mod psql;
mod skips;
mod terraform;
mod tidy;
mod tools;
mod workflows;

use anyhow::{Result, bail};
use std::path::PathBuf;

const HELP: &str = "cargo xtask <task>

  ci      everything that must hold: fmt, clippy, tidy, generated files, tests, smoke
  tidy    the shape of the house: arrows, owners, sizes, documents
  smoke   the whole pipeline over a bounded history, reconciled
  deploy-lint
          Dockerfile, docker-compose.yml and .env.example: our own rules, and the checkers that `tools` has fetched
  image [binary]
          the image's content without Docker: a Debian root filled by the Dockerfile's script, entered by chroot, running the pipeline
  terraform [--quick] [--fetch-provider]
          format, validation and tests of terraform/ against the provider in the cache; what is not there is skipped
  tools [--all]
          fetches the checkers of the next ones into the cache; `--all`: also what is built for minutes (Docker Compose, the BigQuery emulator)
  workflows, alerts
          actionlint and zizmor over .github/workflows, promtool over deploy/prometheus; what is not here is skipped
  fuzz [seconds]
          mutated inputs for every parser of what comes from outside; FUZZ_SEED plays a search again
  changelog <version> [--notes]
          makes a section of CHANGELOG.md of the fragments in changelog.d; `--notes` prints that section
  bench [targets | growth [dags | tasks | runs | history] | airflow]
          the figures of docs/benchmarks.md, each beside this machine's own commit time; `airflow`: the same shapes on Apache Airflow
  chaos engine [seconds]
          several nodes under kill, stop, cut and slow wires, lost replies, restarts of Postgres; then rows and traces must agree
  chaos pipeline [kills]
          kill -9 of the node, of Postgres and of the broker at random moments; then every layer must have every event
  upgrade [--from <revision> | --old <binary>] [--seconds <n>]
          nodes of an older version are replaced one by one under load, one goes back, the schema grows beneath them; nothing may even fail
";

fn main() -> Result<()> {
    let task = std::env::args().nth(1);
    let rest: Vec<String> = std::env::args().skip(2).collect();
    match task.as_deref() {
        Some("ci") => ci::run(&root()),
        Some("tidy") => tidy::run(&root()),
        Some("smoke") => ci::smoke(&root()),
        Some("deploy-lint") => deploy::run(&root()),
        Some("image") => image::run(&root(), &rest),
        Some("terraform") => terraform::run(&root(), &rest),
        Some("bench") => bench::run(&root(), &rest),
        Some("tools") => tools::run(&root(), &rest),
        Some("workflows") => workflows::run(&root()),
        Some("alerts") => workflows::alerts(&root()),
        Some("fuzz") => fuzz::run(&root(), &rest),
        Some("changelog") => changelog::run(&root(), &rest),
        Some("chaos") => chaos::run(&root(), &rest),
        Some("upgrade") => chaos::upgrade::run(&root(), &rest),
        Some("chaos-task") => chaos::task::run(&rest),
        None | Some("help" | "--help" | "-h") => {
            print!("{HELP}");
            Ok(())
        }
        Some(other) => bail!("unknown task `{other}`\n\n{HELP}"),
    }
}

fn root() -> PathBuf {
    // Cargo's, at run time: the build output may have been made in another clone.
    let own = std::env::var_os("CARGO_MANIFEST_DIR").unwrap_or_else(|| env!("CARGO_MANIFEST_DIR").into());
    let own = PathBuf::from(own);
    own.parent().map_or(own.clone(), PathBuf::from)
}
