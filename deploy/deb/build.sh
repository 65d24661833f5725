#!/bin/sh
# Builds the Debian package with dpkg-deb alone:   deploy/deb/build.sh BINARY OUTPUT-FOLDER
# COMPRESSION=gzip is the quick one, for trying it out.
# (cargo-deb builds the same from the metadata in proxy/Cargo.toml; a test holds both lists of files together.)
set -eu
binary=$1 out=$2
root=$(cd "$(dirname "$0")/../.." && pwd)
version=$("$binary" --version | cut -d' ' -f2)
architecture=$(dpkg --print-architecture)
stage=$(mktemp -d)
trap 'rm -rf "$stage"' EXIT
umask 022
put() { install -D -m "$1" "$2" "$stage/$3"; }

put 755 "$binary" usr/bin/pgsonde
strip --strip-unneeded "$stage/usr/bin/pgsonde" 2>/dev/null || true
put 644 "$root/deploy/pgsonde.example.toml" etc/pgsonde/pgsonde.toml
put 644 "$root/deploy/systemd/pgsonde.service" lib/systemd/system/pgsonde.service
put 644 "$root/deploy/systemd/pgsonde.socket" lib/systemd/system/pgsonde.socket
put 644 "$root/LICENSE-MIT" usr/share/doc/pgsonde/LICENSE-MIT
put 644 "$root/LICENSE-APACHE" usr/share/doc/pgsonde/LICENSE-APACHE
put 644 "$root/deploy/deb/copyright" usr/share/doc/pgsonde/copyright
"$binary" man >"$stage/man"
put 644 "$stage/man" usr/share/man/man1/pgsonde.1
gzip -9n "$stage/usr/share/man/man1/pgsonde.1"
for shell in bash:usr/share/bash-completion/completions/pgsonde \
             zsh:usr/share/zsh/vendor-completions/_pgsonde \
             fish:usr/share/fish/vendor_completions.d/pgsonde.fish; do
  "$binary" completions "${shell%%:*}" >"$stage/completions"
  put 644 "$stage/completions" "${shell#*:}"
done
rm -f "$stage/man" "$stage/completions"

mkdir -p "$stage/DEBIAN"
size=$(du -ks "$stage" | cut -f1)
cat >"$stage/DEBIAN/control" <<CONTROL
Package: pgsonde
Version: $version
Section: database
Priority: optional
Architecture: $architecture
Installed-Size: $size
Depends: libc6 (>= 2.36), libgcc-s1
Suggests: systemd, prometheus
Maintainer: The pgsonde authors <maintainers@pgsonde.invalid>
Description: transparent PostgreSQL proxy that profiles every statement
 Point the connection string of an application at it: it forwards the conversation
 unchanged and shows where the time goes, N+1 queries and other slow access patterns.
CONTROL
echo /etc/pgsonde/pgsonde.toml >"$stage/DEBIAN/conffiles"
install -m 755 "$root/deploy/deb/postinst" "$root/deploy/deb/prerm" "$root/deploy/deb/postrm" "$stage/DEBIAN/"
mkdir -p "$out"
dpkg-deb --root-owner-group -Z"${COMPRESSION:-xz}" --build "$stage" "$out/pgsonde_${version}_$architecture.deb" >/dev/null
echo "$out/pgsonde_${version}_$architecture.deb"
