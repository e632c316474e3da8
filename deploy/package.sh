#!/usr/bin/env bash
# Lays out what a machine without Rust needs, and packs it: package.sh TARGET_FOLDER VERSION TRIPLE OUTPUT_FOLDER
# The library of DuckDB lies beside the binary, which looks for it there ($ORIGIN).
set -euo pipefail
cd "$(dirname "$0")/.."

built=${1:?the folder with the binary} version=${2:?a version} triple=${3:?a target triple} out=${4:?a folder}
name="streamify-$version-$triple"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

mkdir -p "$work/$name" "$out"
install -m 755 "$built/streamify" "$work/$name/streamify"
for library in .libs/duckdb/libduckdb.so .libs/duckdb/libduckdb.dylib; do
    if [ -e "$library" ]; then install -m 644 "$library" "$work/$name/"; fi
done
cp -R LICENSE README.md dags "$work/$name/"
mkdir -p "$work/$name/deploy"
cp -R deploy/systemd deploy/grafana deploy/prometheus "$work/$name/deploy/"
tar -C "$work" -czf "$out/$name.tar.gz" "$name"
echo "$out/$name.tar.gz"
