//! `streamify songs`: the catalogue, as a file in the lake.

use crate::cli::SongsArgs;
use crate::config::Config;
use crate::node;
use anyhow::{Context, Result};
use std::process::ExitCode;

const FILE: &str = "songs/songs.csv";

pub async fn run(mut config: Config, arguments: SongsArgs) -> Result<ExitCode> {
    node::share_settings_if_connected(&mut config).await;
    let lake = lake::Lake::open(&node::lake_url(&config))?;
    let songs = Some(arguments.songs).filter(|songs| !songs.is_empty());
    let mut csv = Vec::new();
    generator::catalogue_csv(songs.as_deref(), &mut csv).await?;
    let lines = csv.iter().filter(|byte| **byte == b'\n').count();
    lake.put_file(FILE, csv.into()).await.context("cannot write the catalogue")?;
    println!("{lines} lines in {}", lake.uri(FILE));
    Ok(ExitCode::SUCCESS)
}
