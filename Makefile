# One line per target; what each needs and lacks is installed first (scripts/setup.sh). ARGS goes to the program.
TARGET := $(or $(CARGO_TARGET_DIR),target)
SETUP := scripts/setup.sh
PYTHON := $(TARGET)/venv/bin/python

.PHONY: all build demo test lint fmt bench bench-exports advise-bench compat soak fuzz-smoke pieces idle docs ci web deb dist

all: build

build: ## the release binary, target/release/pgsonde, with the page inside
	$(SETUP) build web && cargo build --release -p pgsonde

web: ## the report page, dashboards/web/dist/index.html; costs nothing while it is up to date
	$(SETUP) web

demo: ## a throwaway PostgreSQL, the proxy and a sample shop; ARGS=--exit ends by itself and judges
	$(SETUP) build postgres python web && cargo build --release -p pgsonde && $(PYTHON) deploy/demo/demo.py $(ARGS)

test: ## everything, on a real PostgreSQL with real clients; ARGS goes to cargo test
	$(SETUP) build postgres hypopg python node ruby java go prometheus clickhouse chdb web chromium container terminal valgrind faketime && cargo build --workspace --bins --tests && cargo test --workspace $(ARGS)

lint: ## formatting, clippy, and licences and advisories where cargo-deny is there
	$(SETUP) build && cargo fmt --all --check && cargo clippy --workspace --all-targets -- -D warnings && scripts/deny.sh

fmt: ## rewrites the sources as rustfmt wants them
	cargo fmt --all

bench: ## what each relay costs as a multiple of a bare one; ARGS=--quick for two rounds
	$(SETUP) build postgres python haproxy pgbouncer && cargo build --release -p pgsonde \
	  && cargo build --release --locked --manifest-path tests/bench/floor/Cargo.toml --target-dir $(TARGET)/floor \
	  && $(PYTHON) tests/bench/bench.py $(ARGS)
	@$(MAKE) --no-print-directory bench-exports

bench-exports: ## what three proxies export to a store: rows a second per core, bytes of the wire and of the disk
	$(SETUP) build postgres clickhouse chdb && cargo build --release -p pgsonde \
	  && PGSONDE_BIN=$(TARGET)/release/pgsonde cargo test --workspace --test clickhouse_figures -- --ignored --nocapture

advise-bench: ## what the index advisor makes of a database like TPC-H's; ARGS="--scale 0.1" for a tenth of it
	$(SETUP) build postgres python && cargo build --release -p pgsonde && $(PYTHON) tests/bench/advise.py $(ARGS)

compat: ## the drivers' own test suites, directly and through the proxy; ARGS=--list names them, ARGS="asyncpg" picks, ARGS=--tls encrypts
	$(SETUP) build postgres python && cargo build --release -p pgsonde && $(PYTHON) tests/compat/compat.py $(ARGS)

soak: ## the long generated streams, each fault 20 times, then 8 hours of mixed load with restarts; ARGS="--minutes 10" for less
	$(SETUP) build postgres python terminal faketime && cargo build --release -p pgsonde && cargo build --workspace --bins --tests \
	  && scripts/faults.sh 20 && PGSONDE_SIMULATION_SEEDS=50000 cargo test --workspace --test simulation \
	  && cargo test --workspace --test streams -- --ignored --nocapture \
	  && $(PYTHON) tests/bench/soak.py $(ARGS)

fuzz-smoke: ## each fuzz body for a minute; ARGS="600 exchange" for ten, and for one body
	$(SETUP) build && scripts/fuzz-smoke.sh $(ARGS)

pieces: ## what each piece of the hot path costs by itself; ARGS="--save-baseline NAME", then ARGS="--baseline NAME"
	$(SETUP) build && cargo bench -p pgsonde-tests --bench pieces -- $(ARGS)

idle: ## memory of 10,000 idle sessions
	$(SETUP) build python && cargo build --release -p pgsonde && $(PYTHON) tests/bench/idle.py $(ARGS)

deb: ## the Debian package, target/deb/pgsonde_*.deb
	$(SETUP) build web && cargo build --release -p pgsonde && deploy/deb/build.sh $(TARGET)/release/pgsonde $(TARGET)/deb

dist: ## the release, target/dist: tarball, package, sums; DIST_TARGET=x86_64-unknown-linux-musl for a static binary
	$(SETUP) build web && cargo build --release --locked -p pgsonde $(if $(DIST_TARGET),--target $(DIST_TARGET)) \
	  && deploy/dist/build.sh $(TARGET)/$(DIST_TARGET)/release/pgsonde $(TARGET)/dist

docs: ## the documentation of all crates
	$(SETUP) build && cargo doc --workspace --no-deps

ci: lint test ## what .ci/run runs
