#!/bin/sh
# Runs a command in an assembled root as a container would: the root read-only, /tmp in memory, the state on a volume, a user without rights.
# The mounts are private to it and go with it:
#   unshare --mount --pid --fork --kill-child deploy/image/enter.sh ROOT STATE COMMAND [ARGUMENT]..
set -eu
root=$1 state=$2
shift 2
mount --make-rprivate /
mount --bind "$root" "$root"
mount -o remount,bind,ro "$root"
mount -t proc proc "$root/proc"
mount -t tmpfs -o size=64m,mode=1777 tmpfs "$root/tmp"
mount --bind "$state" "$root/var/lib/streamify"
exec chroot "$root" setpriv --reuid=10001 --regid=10001 --clear-groups --bounding-set=-all --inh-caps=-all --no-new-privs -- "$@"
