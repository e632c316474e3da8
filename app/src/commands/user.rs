//! `streamify user`: who may sign in with a password, in a browser or for an API token.

use crate::clock::SystemClock;
use crate::config::Config;
use crate::node;
use anyhow::{Context, Result, bail};
use model::Clock;
use std::io::IsTerminal;
use std::process::ExitCode;
use store::auth::Role;

const PASSWORD_LENGTH_MIN: usize = 12;

pub async fn run(config: Config, name: &str, role: &str) -> Result<ExitCode> {
    let Ok(role) = role.parse::<Role>() else { bail!("`{role}` is no role: viewer, operator or admin") };
    let store = node::connect(&config).await?;
    let password = tokio::task::spawn_blocking(password).await??;
    if password.chars().count() < PASSWORD_LENGTH_MIN {
        bail!("the password is too short: at least {PASSWORD_LENGTH_MIN} characters");
    }
    let hash = web::hash_password(password).await;
    let now = SystemClock.now();
    let user = store.put_user(name, role, Some(&hash), now).await?;
    store.audit("cli", "user.set", &user.name, serde_json::json!({ "role": user.role }), now).await?;
    println!("{} may sign in as {}", user.name, serde_json::to_string(&user.role)?.trim_matches('"'));
    Ok(ExitCode::SUCCESS)
}

fn password() -> Result<String> {
    if std::io::stdin().is_terminal() {
        return rpassword::prompt_password("Password: ").context("no password");
    }
    let mut line = String::new();
    std::io::stdin().read_line(&mut line).context("no password on standard input")?;
    Ok(line.trim_end_matches(['\r', '\n']).to_string())
}
