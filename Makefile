# One line per target; what each needs and lacks is installed first (scripts/setup.sh). ARGS goes to the program.
TARGET := $(or $(CARGO_TARGET_DIR),target)
SETUP := scripts/setup.sh
PYTHON := $(TARGET)/venv/bin/python

.PHONY: all build demo test lint fmt bench soak docs ci

all: build

build: ## the release binary, target/release/pgsonde
	$(SETUP) build && cargo build --release -p pgsonde

demo: ## a throwaway PostgreSQL, the proxy and a sample shop; ARGS=--exit ends by itself and judges
	$(SETUP) build postgres python && cargo build --release -p pgsonde && $(PYTHON) deploy/demo/demo.py $(ARGS)

test: ## everything, on a real PostgreSQL with real clients; ARGS goes to cargo test
	$(SETUP) build postgres python && cargo build --workspace --bins --tests && cargo test --workspace $(ARGS)

lint: ## formatting, clippy, and licences and advisories where cargo-deny is there
	$(SETUP) build && cargo fmt --all --check && cargo clippy --workspace --all-targets -- -D warnings && scripts/deny.sh

fmt: ## rewrites the sources as rustfmt wants them
	cargo fmt --all

bench: ## pgbench direct, through haproxy and through pgsonde; ARGS=--quick for two rounds
	$(SETUP) build postgres python haproxy && cargo build --release -p pgsonde && $(PYTHON) tests/bench/bench.py $(ARGS)

soak: ## the long mixes of generated streams: more than a million clean statements, many planted loops
	$(SETUP) build && cargo test -p pgsonde-tests --test streams -- --ignored --nocapture

docs: ## the documentation of all crates
	$(SETUP) build && cargo doc --workspace --no-deps

ci: lint test ## what .ci/run runs
