#!/usr/bin/env bash
# Fetches the prebuilt DuckDB from npm and prints the folder that holds libduckdb.so. Nothing is done if it is there.
#   xtask/duckdb.sh [x86_64 | amd64 | aarch64 | arm64]     this machine's architecture if none is named
set -euo pipefail

cache=${STREAMIFY_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/streamify}

case "${1:-$(uname -m)}" in
    x86_64 | amd64) platform=x64 version=1.5.6-r.1 ;;
    # The newest of this line that npm has for arm64; it has every function that the program imports.
    aarch64 | arm64) platform=arm64 version=1.5.5-r.5 ;;
    *) echo "duckdb: there is no prebuilt DuckDB for ${1:-$(uname -m)}; put libduckdb.so into .libs/duckdb yourself" >&2; exit 1 ;;
esac
library="$cache/duckdb-$version-$platform"
if [ ! -f "$library/libduckdb.so" ]; then
    echo "duckdb: fetching DuckDB $version for $platform" >&2
    mkdir -p "$cache"
    work=$(mktemp -d "$cache/duckdb.XXXXXX")
    trap 'rm -rf "$work"' EXIT
    package="@duckdb/node-bindings-linux-$platform@$version"
    (cd "$work" && npm pack --silent "$package" >/dev/null && tar xzf ./*.tgz) ||
        { echo "duckdb: npm does not give $package" >&2; exit 1; }
    mv -T "$work/package" "$library" 2>/dev/null || [ -f "$library/libduckdb.so" ]
fi
echo "$library"
