# api-gateway: one command per need. `make help` lists them.

CARGO ?= cargo
# A test that hangs must not hold its machine.
TEST_LIMIT ?= 15m
# What scripts/tools installs.
PYTHON_TOOLS = $(or $(CARGO_TARGET_DIR),target)/tools/python/bin
.DEFAULT_GOAL := help
.PHONY: help run test build bench fuzz dev lint book docker clean setup tools

help: ## List the commands
	@grep -hE '^[a-z]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-8s %s\n", $$1, $$2}'

run: setup ## Build and start the gateway with sample backends
	$(CARGO) build --release --bin api-gateway
	exec ./target/release/api-gateway demo

test: setup tools ## Run all tests; installs what they need
	$(CARGO) test --workspace --quiet --no-run
	timeout --verbose $(TEST_LIMIT) $(CARGO) test --workspace --quiet
	@if [ -z "$$CONFORMANCE_DATA" ]; then echo "passed over: the HTTP/1 conformance cases (set CONFORMANCE_DATA to their folder)"; fi

build: setup ## Build the optimised program into build/api-gateway
	$(CARGO) build --profile dist --bin api-gateway
	@mkdir -p build
	cp target/dist/api-gateway build/api-gateway

bench: setup ## Measure against nginx, HAProxy, Envoy, Traefik and Caddy; writes docs/benchmarks.md
	scripts/bench --report docs/benchmarks.md

fuzz: setup ## Fuzz the wire and the cache for a minute per target (FUZZ_SECONDS)
	scripts/fuzz

dev: setup ## Rebuild and restart the demo on every change
	scripts/dev

lint: setup tools ## Check format, lints, licences and known weaknesses of dependencies
	$(CARGO) fmt --all --check
	$(CARGO) clippy --workspace --all-targets -- -D warnings
	scripts/deny

docker: ## Build the image api-gateway
	docker build --tag api-gateway .

book: tools ## Make the documentation into a book, target/book/index.html
	$(PYTHON_TOOLS)/mdbook build docs

clean: ## Remove everything that was built
	$(CARGO) clean
	rm -rf build

setup:
	@scripts/setup

tools:
	@scripts/tools
