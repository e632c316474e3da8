//! Tables for people, JSON for programs.

use comfy_table::{ContentArrangement, Table, presets};

pub fn table(header: &[&str], rows: impl IntoIterator<Item = Vec<String>>) -> String {
    let mut table = Table::new();
    table
        .load_preset(presets::NOTHING)
        .set_content_arrangement(ContentArrangement::Disabled)
        .set_header(header.iter().copied());
    table.add_rows(rows);
    table.trim_fmt()
}

pub fn json(value: &impl serde::Serialize) -> anyhow::Result<()> {
    println!("{}", serde_json::to_string_pretty(value)?);
    Ok(())
}

/// Exit status 1 without a further message: what was wrong has been printed.
pub fn status(is_fine: bool) -> std::process::ExitCode {
    if is_fine { std::process::ExitCode::SUCCESS } else { std::process::ExitCode::FAILURE }
}
