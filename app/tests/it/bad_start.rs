//! What cannot start says why, and what to do.

use crate::support::{open_folder, streamify, text};
use std::process::Command;

fn refused(command: &mut Command, wanted: &[&str]) {
    let output = command.output().unwrap();
    let said = text(&output);
    assert!(!output.status.success(), "{said}");
    for wanted in wanted {
        assert!(said.contains(wanted), "{wanted:?} is missing: {said}");
    }
    assert!(!said.contains("panicked"), "{said}");
}

#[test]
fn a_wrong_database_url_is_explained_without_its_password() {
    let folder = open_folder();
    let mut command = streamify();
    command
        .args(["up", "--data"])
        .arg(folder.path())
        .env("DATABASE_URL", "postgres://u:hunter2@127.0.0.1:1/d");
    refused(&mut command, &["127.0.0.1", "1"]);
    assert!(!text(&command.output().unwrap()).contains("hunter2"));
    let mut command = streamify();
    command.args(["up", "--data"]).arg(folder.path()).env("DATABASE_URL", "mysql://u@h/d");
    refused(&mut command, &["postgres"]);
}

#[test]
fn an_unknown_setting_names_file_and_line() {
    let folder = open_folder();
    let file = folder.path().join("streamify.toml");
    std::fs::write(&file, "port = 1\nprot = 2\n").unwrap();
    refused(streamify().args(["config", "--config-file"]).arg(&file), &["streamify.toml:2", "prot", "known"]);
}

#[test]
fn the_configuration_is_shown_with_origins_and_without_secrets() {
    let output = streamify()
        .arg("config")
        .env("DATABASE_URL", "postgres://u:hunter2@h/d")
        .env("STREAMIFY_PORT", "9")
        .output()
        .unwrap();
    let said = text(&output);
    assert!(
        output.status.success() && said.contains("environment STREAMIFY_PORT") && said.contains("***"),
        "{said}"
    );
    assert!(!said.contains("hunter2"));
}

#[test]
fn a_songs_file_with_missing_columns_is_named_with_what_is_missing() {
    let folder = open_folder();
    let file = folder.path().join("songs.csv");
    std::fs::write(&file, "artist_id,title\nA,B\n").unwrap();
    let mut command = streamify();
    command.arg("songs").arg(format!("--songs={}", file.display())).arg("--data").arg(folder.path());
    refused(&mut command, &["songs.csv", "artist_name", "duration"]);
}

#[test]
fn the_synthetic_catalogue_goes_to_the_lake() {
    let folder = open_folder();
    let output = streamify().arg("songs").arg("--data").arg(folder.path()).output().unwrap();
    assert!(output.status.success(), "{}", text(&output));
    let csv = std::fs::read_to_string(folder.path().join("lake/songs/songs.csv")).unwrap();
    assert_eq!(csv.lines().count(), 10_001);
}

#[test]
fn a_command_without_a_platform_says_how_to_get_one() {
    let folder = open_folder();
    refused(
        streamify().args(["run", "list", "--data"]).arg(folder.path()),
        &["DATABASE_URL", "streamify up"],
    );
}

#[test]
fn an_error_about_a_platform_that_nobody_named_says_which_it_was_about() {
    let folder = open_folder();
    let hint = ["This was about", ".streamify", "--data", "DATABASE_URL"];
    refused(streamify().args(["run", "show", "hello", "first"]).current_dir(folder.path()), &hint);
    let named = streamify().args(["run", "list", "--data"]).arg(folder.path()).output().unwrap();
    assert!(!text(&named).contains("This was about"), "{}", text(&named));
    let no_platform = streamify().args(["kind", "show", "nothing"]).output().unwrap();
    assert!(!no_platform.status.success() && !text(&no_platform).contains("This was about"));
}
