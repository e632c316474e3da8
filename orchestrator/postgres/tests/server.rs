//! The real server in a temp folder.

use postgres::{Options, Postgres};
use std::os::unix::fs::PermissionsExt;
use std::process::Command;

fn home() -> (tempfile::TempDir, Options) {
    let folder = tempfile::tempdir().expect("temp folder");
    std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o755)).expect("chmod");
    let options = Options { home: folder.path().join("pg"), fsync: false, max_connections: 20 };
    (folder, options)
}

fn ask(server: &Postgres, sql: &str) -> String {
    let output = Command::new("psql").args([&server.url(), "-Atc", sql]).output().expect("psql");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).trim().to_string()
}

#[test]
fn committed_rows_survive_a_kill_and_the_port_stays() {
    let (_folder, options) = home();
    let server = Postgres::start(&options).expect("start");
    let url = server.url();
    ask(&server, "create table kept(n int); insert into kept values (7)");
    nix::sys::signal::kill(
        nix::unistd::Pid::from_raw(server.pid() as i32),
        nix::sys::signal::Signal::SIGKILL,
    )
    .expect("kill");
    drop(server);
    let server = Postgres::start(&options).expect("start again");
    assert_eq!(ask(&server, "select n from kept"), "7");
    assert_eq!(server.url(), url, "the port and the password are those of before");
    server.stop();
}

#[test]
fn only_loopback_is_listened_on_and_the_password_is_private() {
    let (_folder, options) = home();
    let server = Postgres::start(&options).expect("start");
    assert_eq!(ask(&server, "show listen_addresses"), "127.0.0.1");
    assert_eq!(ask(&server, "show fsync"), "off");
    let mode = std::fs::metadata(server.home().join("password")).expect("password file").permissions().mode();
    assert_eq!(mode & 0o077, 0, "nobody else may read the password");
    let refused =
        Command::new("psql").args([&format!("{}x", server.url()), "-c", "select 1"]).output().expect("psql");
    assert!(!refused.status.success());
}

#[test]
fn a_half_made_cluster_is_made_anew() {
    let (_folder, options) = home();
    std::fs::create_dir_all(options.home.join("data/base")).expect("a torn initdb");
    let server = Postgres::start(&options).expect("start");
    assert_eq!(ask(&server, "select 1"), "1");
}
