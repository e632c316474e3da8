#!/bin/sh
# Makes what docker-compose.yml needs and what no repository or image holds: .env with the choices, .secrets with a new password.
# What is there already stays as it is.
set -eu
umask 077
cd "$(dirname "$0")/../.."
folder=${1:-.}

[ -f "$folder/.env" ] || { cp .env.example "$folder/.env"; echo "init: wrote $folder/.env"; }
mkdir -p "$folder/.secrets"
if [ ! -s "$folder/.secrets/database-url" ]; then
    password=$(od -An -N24 -tx1 /dev/urandom | tr -d ' \n')
    printf '%s\n' "$password" >"$folder/.secrets/postgres-password"
    printf 'postgres://streamify:%s@postgres:5432/streamify\n' "$password" >"$folder/.secrets/database-url"
    echo "init: wrote a new password into $folder/.secrets"
fi
# Each container sees only the file that it is given, as a user of its own, so the files are readable; the folder is not.
chmod 0700 "$folder/.secrets"
chmod 0444 "$folder/.secrets/postgres-password" "$folder/.secrets/database-url"
