# `make` alone lists what can be made.
SHELL := /bin/bash
.DEFAULT_GOAL := help
.PHONY: help setup services backends format lint unit check tests test verify bench audit sbom openapi

# What the tests need beside Rust: compilers, the databases' clients and the real servers they drive.
PACKAGES := build-essential ca-certificates curl jq python3 python3-venv strace \
    dovecot-core dovecot-imapd dovecot-lmtpd dovecot-sqlite dovecot-mysql dovecot-pgsql \
    postfix postfix-sqlite postfix-mysql postfix-pgsql bind9-utils nginx-light faketime haproxy

export TEST_POSTGRES_OWNER ?= postgres://tenantry_owner:tenantry@127.0.0.1:5432/tenantry_test
export TEST_POSTGRES_APP ?= postgres://tenantry_app:tenantry@127.0.0.1:5432/tenantry_test
export TEST_REDIS ?= redis://127.0.0.1:6379
export TEST_MARIADB ?= mysql://tenantry:tenantry@127.0.0.1:3306/tenantry_test

# cargo-nextest where it is installed, else cargo's own runner.
RUN_TESTS := $(shell cargo nextest --version >/dev/null 2>&1 && echo "cargo nextest run" || echo "cargo test --lib --bins --tests")

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: ## Install the Debian packages that the tests need (as root or through sudo)
	@command -v cargo >/dev/null || { echo "Rust is missing; https://rustup.rs says how to get it, rust-toolchain.toml which one" >&2; exit 1; }
	@scripts/packages $(PACKAGES)
	@command -v node >/dev/null && command -v npm >/dev/null || scripts/packages nodejs npm

services: ## Start PostgreSQL, Redis and MariaDB where they do not answer, and make the tests' roles
	@scripts/services

backends: ## Install and start the real mail servers, to drive by hand; tests start their own
	backends/install
	backends/start

format:
	cargo fmt --all --check

lint:
	cargo clippy --workspace --all-targets --locked -- -D warnings

unit:
	cargo test --workspace --locked --lib --bins

check: format lint unit ## Quick: format, clippy, unit tests

tests:
	CI=true $(RUN_TESTS) --workspace --locked --no-fail-fast
	cargo test --workspace --locked --doc
	python3 tests/outsider/story.py
	python3 tests/outsider/guides.py
	python3 tests/outsider/webhooks_run.py
	python3 tests/outsider/oauth_clients.py
	python3 tests/outsider/schemathesis_run.py

test: ## Everything that CI runs, with what it needs installed and started
	@$(MAKE) --no-print-directory setup
	@$(MAKE) --no-print-directory services
	@$(MAKE) --no-print-directory format
	@$(MAKE) --no-print-directory lint
	@$(MAKE) --no-print-directory tests

verify: ## The long campaigns: the same tests with far larger numbers (hours)
	@$(MAKE) --no-print-directory setup
	@$(MAKE) --no-print-directory services
	TEST_LONG=1 $(MAKE) --no-print-directory tests

bench: ## Measure the product beside the limits of its stack, in turns
	@$(MAKE) --no-print-directory services
	benches/run

audit: ## Licences, bans, sources and advisories of all dependencies; ADVISORY_DB=… reads a local clone
	@scripts/audit

sbom: ## Write the bill of materials of a release, target/tenantry.cdx.json (CycloneDX)
	@scripts/sbom

openapi: ## Write openapi/v1.json from the routes served
	@mkdir -p openapi
	cargo run --quiet --locked -- openapi > openapi/v1.json.new
	@mv openapi/v1.json.new openapi/v1.json
