#!/bin/sh
# Puts a release together:   deploy/dist/build.sh BINARY OUTPUT-FOLDER
# A tarball (binary, manual, completions, units, licences of all that is inside, bill of materials), the Debian
# package, and SHA256SUMS of both. Equal inputs give an equal tarball: times are those of the last commit.
set -eu
binary=$1 out=$2
root=$(cd "$(dirname "$0")/../.." && pwd)
version=$("$binary" --version | cut -d' ' -f2)
if ldd "$binary" 2>&1 | grep -q -e 'statically linked' -e 'not a dynamic'; then libc=musl; else libc=gnu; fi
name=pgsonde-$version-$(uname -m)-linux-$libc
epoch=${SOURCE_DATE_EPOCH:-$(git -C "$root" log -1 --format=%ct)}
stage=$(mktemp -d)
trap 'rm -rf "$stage"' EXIT
umask 022
put() { install -D -m "$1" "$2" "$stage/$name/$3"; }

put 755 "$binary" pgsonde
strip --strip-unneeded "$stage/$name/pgsonde" 2>/dev/null || true
for file in README.md CHANGELOG.md SECURITY.md LICENSE-MIT LICENSE-APACHE; do put 644 "$root/$file" "$file"; done
put 644 "$root/deploy/pgsonde.example.toml" pgsonde.example.toml
put 644 "$root/deploy/systemd/pgsonde.service" systemd/pgsonde.service
put 644 "$root/deploy/systemd/pgsonde.socket" systemd/pgsonde.socket
mkdir -p "$stage/$name/man" "$stage/$name/completions"
"$binary" man >"$stage/$name/man/pgsonde.1"
"$binary" completions bash >"$stage/$name/completions/pgsonde.bash"
"$binary" completions zsh >"$stage/$name/completions/_pgsonde"
"$binary" completions fish >"$stage/$name/completions/pgsonde.fish"
python3 "$root/deploy/dist/parts.py" "$stage/$name"

mkdir -p "$out"
tar --create --directory "$stage" --sort=name --mtime="@$epoch" --owner=0 --group=0 --numeric-owner "$name" \
  | gzip -9n >"$out/$name.tar.gz"
package=$("$root/deploy/deb/build.sh" "$binary" "$out")
(cd "$out" && sha256sum ./*.tar.gz ./*.deb | sed 's|\./||' >SHA256SUMS)
echo "$out/$name.tar.gz"
echo "$package"
echo "$out/SHA256SUMS"
