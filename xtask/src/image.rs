//! `cargo xtask image`: the image's content without Docker. A minimal Debian root, filled by the Dockerfile's own script and entered with
//! chroot as the image's user, read-only and without rights: there the health check and `up --once` must pass.
//!
//! Needs root and debootstrap; where one is missing it says so and proves nothing (with `STREAMIFY_REQUIRE_TOOLS=1` it fails). Postgres runs outside, as it does for the image.

use crate::{ci, deploy, skips, tools};
use anyhow::{Context, Result, bail};
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

const USER: u32 = 10001;
const HEALTHY_WITHIN: Duration = Duration::from_secs(120);
const LOOK_EVERY: Duration = Duration::from_secs(1);
const CERTIFICATES: &str = "/etc/ssl/certs/ca-certificates.crt";

pub fn run(root: &Path, arguments: &[String]) -> Result<()> {
    let binary = match arguments {
        [] => ci::binary(root)?,
        [binary] => PathBuf::from(binary),
        _ => bail!("cargo xtask image [BINARY]"),
    };
    if let Some(missing) = missing() {
        return skips::skip("image", "it cannot be entered", &missing);
    }
    let place = Place::new()?;
    base(&place.root)?;
    step("assemble", &mut assemble(root, &place, &binary)?)?;
    let environment = environment(root)?;
    step("--version", &mut place.enter(root, &environment, &["streamify", "--version"]))?;
    step("dag validate", &mut place.enter(root, &environment, &["streamify", "dag", "validate"]))?;
    let mut writing = place.enter(
        root,
        &environment,
        &["sh", "-c", "! touch /opt/streamify/x && ! touch /etc/x && touch /tmp/x"],
    );
    step("the root is read-only", writing.stderr(Stdio::null()))?;
    pipeline(root, &place, &environment)?;
    eprintln!("image: all passed; /opt/streamify has {}", size(&place.root.join("opt/streamify"))?);
    Ok(())
}

fn missing() -> Option<String> {
    let is_root = Command::new("id").arg("-u").output().is_ok_and(|output| output.stdout == b"0\n");
    if !is_root {
        return Some("it needs root (chroot, mounts)".to_string());
    }
    let has = |program: &&str| Command::new(program).arg("--version").output().is_ok();
    if let Some(program) = ["debootstrap", "unshare"].into_iter().find(|program| !has(program)) {
        return Some(format!(
            "{program} is not here; apt-get install {}",
            if program == "unshare" { "util-linux" } else { program }
        ));
    }
    (!Path::new(CERTIFICATES).is_file())
        .then(|| format!("{CERTIFICATES} is not here; apt-get install ca-certificates"))
}

/// A folder outside the clone, removed in the end.
struct Place {
    folder: PathBuf,
    root: PathBuf,
    /// What is mounted on /var/lib/streamify.
    state: PathBuf,
}

impl Place {
    fn new() -> Result<Place> {
        let folder = std::env::temp_dir().join(format!("streamify-image-{}", std::process::id()));
        let (root, state) = (folder.join("root"), folder.join("state"));
        std::fs::create_dir_all(&state)?;
        // The database's user passes through here.
        std::fs::set_permissions(&folder, std::fs::Permissions::from_mode(0o755))?;
        chown(&state, Some(USER), Some(USER))?;
        Ok(Place { folder, root, state })
    }

    /// A command in the root, with nothing but the image's environment.
    fn enter(&self, repository: &Path, environment: &[(String, String)], command: &[&str]) -> Command {
        let mut enter = Command::new("/usr/bin/unshare");
        enter
            .args(["--mount", "--pid", "--fork", "--kill-child"])
            .arg(repository.join("deploy/image/enter.sh"));
        enter.arg(&self.root).arg(&self.state).args(command);
        enter.env_clear().envs(environment.iter().cloned()).current_dir("/");
        enter
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

/// A minimal root of this machine's own release, so that what was linked here runs there; made once, then copied.
fn base(target: &Path) -> Result<()> {
    let release = std::fs::read_to_string("/etc/os-release")?;
    let suite = release.lines().find_map(|line| line.strip_prefix("VERSION_CODENAME="));
    let suite = suite.context("/etc/os-release: no VERSION_CODENAME; is this Debian?")?;
    let cached =
        tools::cache().context("neither STREAMIFY_CACHE nor HOME is set")?.join(format!("rootfs-{suite}"));
    if !cached.join("etc/passwd").is_file() {
        let half = cached.with_extension(format!("new-{}", std::process::id()));
        step(
            "debootstrap",
            Command::new("debootstrap").args(["--variant=minbase", suite]).arg(&half).stdout(Stdio::null()),
        )?;
        std::fs::rename(&half, &cached)?;
    }
    step("copy the base", Command::new("cp").arg("-a").arg(&cached).arg(target))
}

fn assemble(root: &Path, place: &Place, binary: &Path) -> Result<Command> {
    let library =
        binary.parent().map(|folder| folder.join("libduckdb.so")).context("the binary has no folder")?;
    let mut command = Command::new(root.join("deploy/image/assemble.sh"));
    command.arg("--root").arg(&place.root).arg("--binary").arg(binary).arg("--library").arg(library);
    command.arg("--dags").arg(root.join("dags")).args(["--certificates", CERTIFICATES]);
    command.arg("--notices").arg(root.join("LICENSE"));
    Ok(command)
}

/// The image's own, but on loopback: nothing here is for others.
fn environment(root: &Path) -> Result<Vec<(String, String)>> {
    let mut environment = deploy::image_environment(&std::fs::read_to_string(root.join("Dockerfile"))?);
    if !environment.iter().any(|(name, _)| name == "STREAMIFY_DATA_DIR") {
        bail!("Dockerfile: found no ENV");
    }
    environment.retain(|(name, _)| name != "STREAMIFY_HOST" && name != "STREAMIFY_LOG_FORMAT");
    Ok(environment)
}

/// The whole pipeline in the root, and its health while it runs.
fn pipeline(root: &Path, place: &Place, environment: &[(String, String)]) -> Result<()> {
    let secret_here = ("DATABASE_URL_FILE".to_string(), "/var/lib/streamify/database-secret".to_string());
    let environment = &[environment, &[secret_here]].concat();
    let options =
        postgres::Options { home: place.folder.join("postgres"), fsync: false, max_connections: 100 };
    let server = postgres::Postgres::start(&options)?;
    let secret = place.state.join("database-secret");
    std::fs::write(&secret, server.url())?;
    std::fs::set_permissions(&secret, std::fs::Permissions::from_mode(0o400))?;
    chown(&secret, Some(USER), Some(USER))?;

    let mut up = place.enter(root, environment, &["streamify", "up", "--once", "--port", "0"]);
    let mut up = Running(up.spawn().context("cannot start `up --once`")?);
    let give_up = Instant::now() + HEALTHY_WITHIN;
    loop {
        let health = place.enter(root, environment, &["streamify", "health"]).output()?;
        let said = String::from_utf8_lossy(&health.stdout).trim().to_string();
        if health.status.success() {
            eprintln!("image: health check ok: {said}");
            break;
        }
        if let Some(status) = up.0.try_wait()? {
            bail!("`up --once` ended ({status}) before it was healthy: {said}");
        }
        if Instant::now() > give_up {
            bail!("not healthy within {} s: {said}", HEALTHY_WITHIN.as_secs());
        }
        std::thread::sleep(LOOK_EVERY);
    }
    let status = up.0.wait()?;
    if !status.success() {
        bail!("`up --once` failed ({status})");
    }
    eprintln!("image: up --once ok");
    let after = place.enter(root, environment, &["streamify", "health"]).output()?;
    if after.status.success() {
        bail!("the health check passes although nothing runs any more");
    }
    eprintln!("image: unhealthy once it has stopped: {}", String::from_utf8_lossy(&after.stdout).trim());
    Ok(())
}

struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn step(name: &str, command: &mut Command) -> Result<()> {
    let status = command.status().with_context(|| format!("image: {name}: cannot start"))?;
    if !status.success() {
        bail!("image: {name} failed ({status})");
    }
    eprintln!("image: {name} ok");
    Ok(())
}

fn size(folder: &Path) -> Result<String> {
    let output = Command::new("du").arg("-sh").arg(folder).output()?;
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    Ok(said.split_whitespace().next().unwrap_or("?").to_string())
}
