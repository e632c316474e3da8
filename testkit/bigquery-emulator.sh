#!/bin/sh
# Builds the BigQuery emulator (github.com/goccy/bigquery-emulator, pure Go) from Go's module proxy into the cache, once.
# It takes minutes and a Go of 1.25 or later. Tests that need it skip, loudly, where it is not there.
set -eu

VERSION=v0.8.1
cache="${STREAMIFY_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/streamify}/bigquery-emulator"
if [ -x "$cache/bigquery-emulator" ]; then
    exit 0
fi
if ! command -v go >/dev/null; then
    echo "bigquery-emulator: no Go here, so no emulator" >&2
    exit 0
fi
mkdir -p "$cache/build"
cd "$cache/build"
# A module of our own, because `go install` also asks for the list of all versions.
cat > go.mod <<MODULE
module streamify.local/bigquery-emulator

go 1.25

require github.com/goccy/bigquery-emulator $VERSION
MODULE
cat > tools.go <<TOOLS
//go:build tools

package tools

import _ "github.com/goccy/bigquery-emulator/cmd/bigquery-emulator"
TOOLS
if ! { go mod tidy && nice -n 19 go build -o "$cache/bigquery-emulator.part" github.com/goccy/bigquery-emulator/cmd/bigquery-emulator; }; then
    echo "bigquery-emulator: could not be built, so no emulator" >&2
    exit 0
fi
mv "$cache/bigquery-emulator.part" "$cache/bigquery-emulator"
