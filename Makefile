# The two commands of the README, and what they share.

CACHE ?= $(if $(XDG_CACHE_HOME),$(XDG_CACHE_HOME),$(HOME)/.cache)/streamify
# Outside the clone, so that clones share what they compile.
export CARGO_TARGET_DIR ?= $(CACHE)/target
export STREAMIFY_CACHE := $(CACHE)
ARGS ?=

.PHONY: help up test setup build

help: ## Show this help
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-8s %s\n", $$1, $$2 }' Makefile

up: build ## Build and run everything on the embedded defaults (ARGS="--users 5000" for options)
	@exec "$(CARGO_TARGET_DIR)/debug/streamify" up $(ARGS)

test: setup ## Install what tests need and run all checks and tests
	@cargo xtask ci

build: setup ## Build the binary
	@cargo build --package app

setup: ## Install what is missing from Debian and npm
	@./xtask/setup.sh
