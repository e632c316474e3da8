#!/bin/sh
# Lays the content of the image into a root folder: the program with its library, the dags, CA certificates, the user, the folders for state.
# The Dockerfile's last stage calls it with `--root /`; without Docker it fills any Debian root that a person then enters with chroot.
# Needs root, a POSIX shell and coreutils; nothing is fetched.
set -eu

uid=10001
gid=10001
root='' binary='' library='' dags='' certificates='' notices=''

fail() { echo "assemble: $*" >&2; exit 1; }

while [ $# -gt 0 ]; do
    [ $# -ge 2 ] || fail "$1 needs a value"
    case "$1" in
        --root) root=${2%/} ;;
        --binary) binary=$2 ;;
        --library) library=$2 ;;
        --dags) dags=$2 ;;
        --certificates) certificates=$2 ;;
        --notices) notices=$2 ;;
        *) fail "unknown option $1; known: --root --binary --library --dags --certificates --notices" ;;
    esac
    shift 2
done
[ -x "$binary" ] || fail "--binary: $binary is no program"
[ -f "$library" ] || fail "--library: $library is not there; it is libduckdb.so, from xtask/duckdb.sh"
[ -d "$dags" ] || fail "--dags: $dags is no folder"
[ -s "$certificates" ] || fail "--certificates: $certificates is no bundle of CA certificates"
[ -f "$notices" ] || fail "--notices: $notices is not there; it is the LICENSE"
[ -f "$root/etc/passwd" ] || fail "--root: $root/etc/passwd is not there; it must be a Debian root"

home=$root/opt/streamify
install -d -m 0755 "$home" "$home/bin" "$root/etc/ssl/certs" "$root/usr/share/doc/streamify"
install -m 0755 "$binary" "$home/bin/streamify"
# Next to the program: its run path is $ORIGIN.
install -m 0644 "$library" "$home/bin/libduckdb.so"
rm -rf "$home/dags"
cp -R "$dags" "$home/dags"
chown -R 0:0 "$home"
chmod -R u=rwX,go=rX "$home/dags"
# Replaced by name, not written through: it may be the very file that is given.
install -m 0644 "$certificates" "$root/etc/ssl/certs/ca-certificates.crt.new"
mv "$root/etc/ssl/certs/ca-certificates.crt.new" "$root/etc/ssl/certs/ca-certificates.crt"
install -m 0644 "$notices" "$root/usr/share/doc/streamify/LICENSE"

grep -q '^streamify:' "$root/etc/group" || echo "streamify:x:$gid:" >>"$root/etc/group"
grep -q '^streamify:' "$root/etc/passwd" ||
    echo "streamify:x:$uid:$gid:Streamify:/var/lib/streamify:/usr/sbin/nologin" >>"$root/etc/passwd"
# An empty named volume takes over the owner of the folder that it is mounted on.
for folder in /var/lib/streamify /var/lib/streamify/lake /var/lib/streamify/warehouse; do
    install -d -m 0750 -o "$uid" -g "$gid" "$root$folder"
done

# Fails here, and not at the first start, when a library is missing. The run path wants /proc, which a bare root has not.
if [ -z "$root" ]; then
    /opt/streamify/bin/streamify --version
else
    chroot "$root" env LD_LIBRARY_PATH=/opt/streamify/bin /opt/streamify/bin/streamify --version
fi
