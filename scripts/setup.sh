#!/usr/bin/env bash
# Installs what the named parts need and this machine lacks; costs nothing when all is there.
#
#   scripts/setup.sh build postgres hypopg python node ruby java go prometheus clickhouse chdb haproxy pgbouncer web chromium container terminal valgrind faketime
#
# System packages come by apt, after the command was shown, with sudo unless we are root. Python packages go
# into target/venv, those of Node into target/node. Rust itself is a precondition.
set -euo pipefail
cd "$(dirname "$0")/.."

readonly POSTGRES_MAJOR=15
readonly TARGET=${CARGO_TARGET_DIR:-target}
readonly VENV=$TARGET/venv
readonly NODE=$TARGET/node
readonly NODE_MINIMUM=20.19.0 # what Prisma and Vite ask for
readonly WEB=dashboards/web
missing=()

fail() { printf 'setup: %s\n' "$*" >&2; exit 1; }
have() { command -v "$1" >/dev/null 2>&1; }

as_root() {
  if [ "$(id -u)" = 0 ]; then "$@"
  elif have sudo; then sudo "$@"
  else fail "needs root for: $* (become root, or install sudo, or run this yourself)"
  fi
}

# The folder with initdb and postgres: PGSONDE_PG_BIN, else the highest installed major.
server_bin() { scripts/pg-bin.sh 2>/dev/null; }

# The C interface; libclang-cpp, which other packages bring along, is another library.
libclang_found() {
  [ -n "${LIBCLANG_PATH:-}" ] && return 0
  compgen -G '/usr/lib/llvm-*/lib/libclang.so*' >/dev/null || compgen -G '/usr/lib/llvm-*/lib/libclang-[0-9]*.so*' >/dev/null \
    || ldconfig -p 2>/dev/null | grep -Eq 'libclang(-[0-9][^ ]*)?\.so'
}

want_build() {
  have cargo || fail "Rust is missing: install it from https://rustup.rs, then try again"
  have cc || missing+=(gcc libc6-dev)
  have make || missing+=(make)
  libclang_found || missing+=(libclang-dev)
}

want_postgres() { server_bin >/dev/null || missing+=("postgresql-$POSTGRES_MAJOR" "postgresql-client-$POSTGRES_MAJOR"); }
# For the server of the distribution; another one has what it has.
want_hypopg() {
  [ -n "${PGSONDE_PG_BIN:-}" ] || [ -e "/usr/share/postgresql/$POSTGRES_MAJOR/extension/hypopg.control" ] \
    || missing+=("postgresql-$POSTGRES_MAJOR-hypopg")
}
want_prometheus() { have promtool || missing+=(prometheus); }
# The server alone, as a program: the tests start it themselves, as their own user.
want_clickhouse() { have clickhouse-server || missing+=(clickhouse-server); }
# A current engine for the tests, as a Python package of 182 MB.
want_chdb() { want_python; }
# What the suites look through: a terminal, and a reader of captures.
want_terminal() { have tmux || missing+=(tmux); have jq || missing+=(jq); have zstd || missing+=(zstd); }
want_pgbouncer() { have pgbouncer || [ -x /usr/sbin/pgbouncer ] || missing+=(pgbouncer); }
# Bends the wall clock of one process.
want_faketime() { compgen -G '/usr/lib/*/faketime/libfaketime.so.1' >/dev/null || missing+=(libfaketime); }
# Counts instructions.
want_valgrind() { have valgrind || missing+=(valgrind); }
want_haproxy() { have haproxy || [ -x /usr/sbin/haproxy ] || missing+=(haproxy); }

want_python() {
  have python3 || missing+=(python3)
  python3 -c 'import ensurepip, venv' 2>/dev/null || missing+=(python3-venv)
}

want_node() {
  have node || missing+=(nodejs)
  have npm || missing+=(npm)
}

want_web() { want_node; }
want_container() { have buildah || missing+=(buildah); have ss || missing+=(iproute2); have strip || missing+=(binutils); }
want_chromium() { have chromium || missing+=(chromium); }

want_ruby() {
  ruby -e 'require "active_record"; require "pg"' 2>/dev/null || missing+=(ruby ruby-activerecord ruby-pg)
  have rspec || missing+=(ruby-rspec)
}

want_java() {
  have javac || missing+=(default-jdk-headless)
  [ -e /usr/share/java/postgresql.jar ] || missing+=(libpostgresql-jdbc-java)
}

want_go() {
  have go || missing+=(golang-go)
  [ -d /usr/share/gocode/src/github.com/jackc/pgx/v4 ] || missing+=(golang-github-jackc-pgx-v4-dev)
}

# Debian makes a cluster when a PostgreSQL server arrives and starts the services of what is installed; ours are
# private, so ask it not to, by drop-ins that are gone again afterwards.
readonly NO_CLUSTER=/etc/postgresql-common/createcluster.d/pgsonde.conf NO_SERVICES=/usr/sbin/policy-rc.d

quiet_services() {
  as_root mkdir -p "${NO_CLUSTER%/*}"
  printf 'create_main_cluster = false\n' | as_root tee "$NO_CLUSTER" >/dev/null
  local undo="as_root rm -f $NO_CLUSTER; as_root rmdir --ignore-fail-on-non-empty ${NO_CLUSTER%/*}"
  if [ ! -e "$NO_SERVICES" ]; then
    printf '#!/bin/sh\nexit 101\n' | as_root tee "$NO_SERVICES" >/dev/null
    as_root chmod 755 "$NO_SERVICES"
    undo="as_root rm -f $NO_SERVICES; $undo"
  fi
  # shellcheck disable=SC2064 # the paths are fixed now on purpose
  trap "$undo" EXIT
}

install_missing() {
  [ ${#missing[@]} -gt 0 ] || return 0
  have apt-get || fail "please install by hand: ${missing[*]}"
  printf 'setup: apt-get install --no-install-recommends %s\n' "${missing[*]}" >&2
  as_root apt-get update -qq
  quiet_services
  as_root env DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends "${missing[@]}" >&2
}

python_packages() {
  local wanted=tests/drivers/requirements.txt stamp=$VENV/requirements.txt
  cmp -s "$wanted" "$stamp" && [ -x "$VENV/bin/python" ] && return 0
  printf 'setup: pip install -r %s (into %s)\n' "$wanted" "$VENV" >&2
  mkdir -p "$TARGET"
  [ -x "$VENV/bin/python" ] || python3 -m venv "$VENV"
  "$VENV/bin/python" -m pip install -q --disable-pip-version-check -r "$wanted"
  cp "$wanted" "$stamp"
}

chdb_package() {
  local wanted=tests/drivers/chdb.txt stamp=$VENV/chdb.txt
  cmp -s "$wanted" "$stamp" && return 0
  printf 'setup: pip install -r %s (into %s)\n' "$wanted" "$VENV" >&2
  mkdir -p "$TARGET"
  [ -x "$VENV/bin/python" ] || python3 -m venv "$VENV"
  "$VENV/bin/python" -m pip install -q --disable-pip-version-check --no-deps -r "$wanted"
  cp "$wanted" "$stamp"
}

node_is_new_enough() {
  have node && have npm && printf '%s\n%s\n' "$NODE_MINIMUM" "$(node -p process.versions.node)" | sort -CV
}

# Scripts of packages are never run. Prisma works through the driver pg here, so the engine that it would fetch is
# named away.
node_packages() {
  local wanted=tests/drivers/node stamp=$NODE/stamp
  [ -e "$stamp" ] && cat "$wanted"/package-lock.json "$wanted"/schema.prisma | cmp -s - "$stamp" && return 0
  node_is_new_enough ||
    { printf 'setup: skipped: the programs of Node: %s is older than %s\n' "$(node -p process.versions.node)" "$NODE_MINIMUM" >&2; return 0; }
  printf 'setup: npm ci (into %s)\n' "$NODE" >&2
  mkdir -p "$NODE"
  cp "$wanted"/package.json "$wanted"/package-lock.json "$wanted"/schema.prisma "$NODE"
  (cd "$NODE" && npm ci --ignore-scripts --no-audit --no-fund --loglevel=error >&2)
  (cd "$NODE" && PRISMA_SCHEMA_ENGINE_BINARY=/bin/true CHECKPOINT_DISABLE=1 node_modules/.bin/prisma generate --schema schema.prisma >/dev/null)
  cat "$wanted"/package-lock.json "$wanted"/schema.prisma >"$stamp"
}

# The stamp is a hash of all that the page is made of; packages come again only when the lock file changed.
web_page() {
  local dist=$WEB/dist packages=$WEB/node_modules/.stamp sources
  node_is_new_enough || {
    printf 'setup: skipped: the report page: needs Node %s or newer (/ then serves plain tables)\n' "$NODE_MINIMUM" >&2
    [ -z "${CI:-}" ]
    return
  }
  sources=$(cd "$WEB" && find src index.html package.json package-lock.json tsconfig.json vite.config.js -type f -print0 |
    LC_ALL=C sort -z | xargs -0 sha256sum)
  [ -e "$dist/index.html" ] && [ -e "$packages" ] && printf '%s\n' "$sources" | cmp -s - "$dist/.stamp" && return 0
  if ! cmp -s "$WEB/package-lock.json" "$packages"; then
    printf 'setup: npm ci (in %s)\n' "$WEB" >&2
    (cd "$WEB" && npm ci --ignore-scripts --no-audit --no-fund --loglevel=error >&2)
    cp "$WEB/package-lock.json" "$packages"
  fi
  printf 'setup: npm run build (in %s)\n' "$WEB" >&2
  (cd "$WEB" && npm run --silent build -- --logLevel warn >&2)
  printf '%s\n' "$sources" >"$dist/.stamp"
}

for part in "$@"; do
  declare -F "want_$part" >/dev/null || fail "unknown part: $part (build, postgres, hypopg, python, node, ruby, java, go, haproxy, pgbouncer, prometheus, clickhouse, chdb, web, chromium, container, terminal, valgrind, faketime)"
  "want_$part"
done
install_missing
[[ " $* " != *" python "* ]] || python_packages
[[ " $* " != *" chdb "* ]] || chdb_package
[[ " $* " != *" node "* ]] || node_packages
[[ " $* " != *" web "* ]] || web_page
[[ " $* " != *" postgres "* ]] || server_bin >/dev/null || fail "no PostgreSQL server found; set PGSONDE_PG_BIN"
