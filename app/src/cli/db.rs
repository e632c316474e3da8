//! Words of `streamify db`.

use clap::Subcommand;

#[derive(Subcommand)]
pub enum DbCommand {
    /// Remove what is older than the settings keep_* allow; nodes do it by themselves every hour
    Prune {
        /// Only say what would go
        #[arg(long)]
        dry_run: bool,
    },
}
