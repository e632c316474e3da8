//! Lays the prebuilt DuckDB library next to the binaries, where their run path (`$ORIGIN`) looks for it.

use std::path::{Path, PathBuf};
use std::{env, fs, io, process};

fn main() {
    println!("cargo::rerun-if-env-changed=DUCKDB_LIB_DIR");
    println!("cargo::rerun-if-changed=build.rs");
    if let Err(problem) = lay_library() {
        println!("cargo::error={problem}");
        process::exit(1);
    }
}

fn lay_library() -> Result<(), String> {
    let name = match env::var("CARGO_CFG_TARGET_OS").as_deref() {
        Ok("macos") => "libduckdb.dylib",
        _ => "libduckdb.so",
    };
    let dir = env::var_os("DUCKDB_LIB_DIR").map(PathBuf::from).unwrap_or_default();
    let library = dir.join(name);
    if dir.as_os_str().is_empty() || !library.is_file() {
        return Err(format!("{name} is not in DUCKDB_LIB_DIR ({}): run `make setup`", dir.display()));
    }
    println!("cargo::rerun-if-changed={}", library.display());
    let out = PathBuf::from(env::var_os("OUT_DIR").ok_or("cargo sets OUT_DIR")?);
    // OUT_DIR is target/<profile>/build/warehouse-<hash>/out.
    let profile = out.ancestors().nth(3).ok_or("OUT_DIR is not below target/<profile>/build")?;
    for dir in [profile.to_path_buf(), profile.join("deps"), profile.join("examples")] {
        place(&library, &dir.join(name))
            .map_err(|error| format!("cannot copy {name} to {}: {error}", dir.display()))?;
    }
    Ok(())
}

/// Replaces by rename: a running program may have the old library mapped.
fn place(library: &Path, target: &Path) -> io::Result<()> {
    if let Some(dir) = target.parent() {
        fs::create_dir_all(dir)?;
    }
    let fresh = target.with_extension(format!("new-{}", process::id()));
    let source = fs::canonicalize(library)?;
    if fs::hard_link(&source, &fresh).is_err() {
        fs::copy(&source, &fresh)?;
    }
    fs::rename(&fresh, target)?;
    // Renaming a hard link over another link to the same file leaves both names.
    match fs::remove_file(&fresh) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}
