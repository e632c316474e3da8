//! `streamify login`: a link that logs a browser in as the local admin, once.

use crate::clock::SystemClock;
use crate::config::Config;
use crate::node;
use anyhow::Result;
use model::Clock;
use std::process::ExitCode;

pub async fn run(config: Config) -> Result<ExitCode> {
    let store = node::connect(&config).await?;
    let now = SystemClock.now();
    let base = match store.settings().await?.remove("web_url") {
        Some(url) => url,
        None => format!("http://{}:{}", config.text("host"), config.text("port")),
    };
    println!("{}", web::login_link(&store, &base, now).await?);
    Ok(ExitCode::SUCCESS)
}
