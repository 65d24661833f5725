#!/usr/bin/env bash
# Prints the folder that holds initdb, postgres, psql and pgbench: PGSONDE_PG_BIN, else the highest major
# under /usr/lib/postgresql, else where pg_config or the PATH points. Exit code 1 if there is none.
set -euo pipefail

complete() {
  local tool
  for tool in initdb postgres psql pgbench; do [ -x "$1/$tool" ] || return 1; done
  printf '%s\n' "$1"
  exit 0
}

if [ -n "${PGSONDE_PG_BIN:-}" ]; then
  complete "$PGSONDE_PG_BIN" || true
  printf 'PGSONDE_PG_BIN=%s lacks initdb, postgres, psql or pgbench\n' "$PGSONDE_PG_BIN" >&2
  exit 1
fi
while read -r folder; do complete "$folder" || true; done < <(ls -d /usr/lib/postgresql/*/bin /usr/pgsql-*/bin 2>/dev/null | sort -rV)
if command -v pg_config >/dev/null; then complete "$(pg_config --bindir)" || true; fi
if command -v initdb >/dev/null; then complete "$(dirname "$(command -v initdb)")" || true; fi
printf 'no PostgreSQL server binaries found; set PGSONDE_PG_BIN\n' >&2
exit 1
