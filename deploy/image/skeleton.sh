#!/usr/bin/env bash
# Copies what decides which dependencies are built (manifests, lock file, cargo's configuration) and puts an empty source file wherever
# cargo wants one. Built first, it is the image's layer of dependencies: it changes only when they do.
#   deploy/image/skeleton.sh SOURCE TARGET
set -euo pipefail
[ $# = 2 ] || { echo "usage: $0 SOURCE TARGET" >&2; exit 2; }
source=$(cd "$1" && pwd)
mkdir -p "$2"
target=$(cd "$2" && pwd)

mkdir -p "$target/.cargo"
cp "$source/.cargo/config.toml" "$target/.cargo/config.toml"
cp "$source/Cargo.toml" "$source/Cargo.lock" "$target/"
# The members, one a line, as Cargo.toml lists them.
members=$(sed -n '/^members = \[/,/^\]/s/^ *"\([^"]*\)",*$/\1/p' "$source/Cargo.toml")
[ -n "$members" ] || { echo "$source/Cargo.toml: found no members" >&2; exit 1; }
for member in $members; do
    mkdir -p "$target/$member/src"
    cp "$source/$member/Cargo.toml" "$target/$member/Cargo.toml"
    if [ -f "$source/$member/src/main.rs" ]; then echo 'fn main() {}' >"$target/$member/src/main.rs"; fi
    if [ -f "$source/$member/src/lib.rs" ]; then : >"$target/$member/src/lib.rs"; fi
done
