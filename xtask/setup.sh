#!/usr/bin/env bash
# Installs what the build and the tests need and this machine lacks: Debian packages, and the prebuilt DuckDB from npm.
# Works as root and as a user with sudo, as often as you like.
set -euo pipefail
cd "$(dirname "$0")/.."

say() { printf 'setup: %s\n' "$*" >&2; }
have() { command -v "$1" >/dev/null 2>&1; }

as_root() {
    if [ "$(id -u)" = 0 ]; then "$@"
    elif have sudo; then sudo "$@"
    else say "need root for: $*; run it as root, or install sudo"; exit 1
    fi
}

have cargo || { say "no Rust toolchain found; install rustup (https://rustup.rs), then try again"; exit 1; }
if ! cargo clippy --version >/dev/null 2>&1 || ! cargo fmt --version >/dev/null 2>&1; then
    say "adding clippy and rustfmt to the Rust toolchain"
    rustup component add clippy rustfmt
fi

missing=()
have clang || missing+=(clang)
have mold || missing+=(mold)
have make || missing+=(make)
have cc || missing+=(gcc libc6-dev)
have c++ || missing+=(g++)
have setpriv || missing+=(util-linux)
have npm || missing+=(npm)
# OpenSSL is configured by it.
perl -MFindBin -MIPC::Cmd -e 1 2>/dev/null || missing+=(perl)
python3 -c "import ensurepip, venv" >/dev/null 2>&1 || missing+=(python3-venv)
[ -e /usr/include/zlib.h ] || missing+=(zlib1g-dev)
compgen -G '/usr/lib/postgresql/*/bin/initdb' >/dev/null || missing+=(postgresql)
if [ ${#missing[@]} -gt 0 ]; then
    say "installing ${missing[*]}"
    as_root apt-get update -qq
    as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
fi

library=$(xtask/duckdb.sh)
mkdir -p .libs
ln -sfn "$library" .libs/duckdb
