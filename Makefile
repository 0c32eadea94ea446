# Works with any POSIX shell and any make. `make` alone lists the targets.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
RHAI_PATH := PATH="$$PATH:$$HOME/.cargo/bin"
CARGO_PATH := PATH="$(CURDIR)/$(BIN):$$PATH:$$HOME/.cargo/bin"
PACKAGES := rbee rbee_cli rbee_policy rbee_quiet hive_agent inference billing tenants gdpr
RHAI := $(wildcard platform/rhai-py/src/* platform/rhai-py/src/*/*) platform/rhai-py/Cargo.toml platform/rhai-py/Cargo.lock \
        platform/rhai-py/pyproject.toml
accept = $(BIN)/python -m rbee_cli.up.binaries && \
         RBEE_ACCEPT_SCALE=$${RBEE_ACCEPT_SCALE:-1} $(BIN)/pytest tests/acceptance/$(1) $(ARGS)
say = sh -c 'if [ -t 1 ]; then printf "\033[1m%s\033[0m\n" "$$0"; else echo "$$0"; fi'

.DEFAULT_GOAL := help
.PHONY: help up test check test-engines test-faults test-rhai cover-rhai accept-core accept-policy accept-tenants \
        accept-billing accept-compliance \
        bench bench-check bench-rhai mini install clean

##@ Use

up: $(INSTALLED) ## Start everything and print a curl that works; ARGS="--port 8000" passes options
	@$(BIN)/rbee up $(ARGS)

install: $(INSTALLED) ## Put the `rbee` command into ~/.local/bin
	@mkdir -p "$$HOME/.local/bin"
	@ln -sf "$(CURDIR)/$(BIN)/rbee" "$$HOME/.local/bin/rbee"
	@echo "rbee is in $$HOME/.local/bin"
	@case ":$$PATH:" in *":$$HOME/.local/bin:"*) ;; *) \
	  echo "that folder is not on your PATH; this puts it there:"; \
	  echo "  echo 'export PATH=\"\$$HOME/.local/bin:\$$PATH\"' >> ~/.profile && . ~/.profile" ;; esac

##@ Develop

check: $(INSTALLED) ## Style, types, import contracts, the data map, migrations
	@$(say) "style"
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check --quiet .
	@$(say) "platform/ is a source root"
	@test ! -e platform/__init__.py || { echo "platform/__init__.py would shadow Python's own platform: remove it"; exit 1; }
	@$(say) "import contracts"
	@$(BIN)/lint-imports --no-cache
	@$(say) "data map"
	@$(BIN)/python manage.py check_privacy
	@$(say) "audit entries"
	@$(BIN)/python manage.py check_audit
	@$(say) "migrations"
	@$(BIN)/python manage.py makemigrations --check --dry-run
	@$(say) "types"
	@$(BIN)/mypy $(addprefix -p ,$(PACKAGES))

test: $(INSTALLED) ## Every test that needs no other environment; ARGS="-k name" passes options
	@$(BIN)/python -m rbee_cli.up.binaries
	@$(BIN)/pytest -m "not engines" --numprocesses 2 --dist loadfile $(ARGS)

test-engines: $(INSTALLED) ## Engines that need environments of their own (made on the way)
	@$(BIN)/python -m rbee_cli.up.binaries
	@$(BIN)/pytest -m engines $(ARGS)

test-faults: $(INSTALLED) ## Kill every process under load, and compare the books
	@$(BIN)/python -m rbee_cli.up.binaries
	@RBEE_ACCEPT_SCALE=$${RBEE_ACCEPT_SCALE:-1} $(BIN)/pytest -m faults $(ARGS)

test-rhai: $(INSTALLED) ## The Rust side of rhai-py: format, clippy, unit tests, and the stub against the module
	@cd platform/rhai-py && $(RHAI_PATH) cargo fmt --check
	@cd platform/rhai-py && $(RHAI_PATH) cargo clippy --quiet --locked --all-targets -- -D warnings
	@cd platform/rhai-py && $(RHAI_PATH) cargo test --quiet --locked
	@$(BIN)/stubtest rhai_py

cover-rhai: $(INSTALLED) ## What the tests of rhai-py reach, of Rust and of Python
	@$(RHAI_PATH) PYTHON="$(CURDIR)/$(BIN)/python" bash platform/rhai-py/coverage.sh $(ARGS)

accept-core: $(INSTALLED) ## One real task end to end, at full figures
	@$(call accept,core)

accept-policy: $(INSTALLED) ## Scripts of operators and tenants, at full figures
	@$(call accept,policy)

accept-tenants: $(INSTALLED) ## Tenants, limits and fairness, at full figures
	@$(call accept,tenants)

accept-billing: $(INSTALLED) ## Balances, receipts and books, at full figures
	@$(call accept,billing)

accept-compliance: $(INSTALLED) ## Audit log, data protection and residency, at full figures
	@$(call accept,compliance)

##@ Measure

bench: $(INSTALLED) ## CPU per request and per token beside LiteLLM and Portkey; kept in bench/results
	@$(BIN)/python bench/run.py $(ARGS)

bench-rhai: $(INSTALLED) ## Scripts through rhai-py beside Rhai called from Rust directly
	@$(RHAI_PATH) $(BIN)/python platform/rhai-py/bench/compare.py

bench-check: $(INSTALLED) ## Compare the newest result with the goals
	@$(BIN)/python bench/check.py

##@ Make

mini: .venv-mini/.installed ## Train the embedded model rbee-mini again (two cores, about a quarter of an hour)
	@PYTHONPATH=platform .venv-mini/bin/python -m rbee_mini.train $(ARGS)

clean: ## Remove what these targets made here; data of `rbee up` is elsewhere and stays
	rm -rf $(VENV) .venv-mini platform/rhai-py/target .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

help: ## This list
	@awk 'BEGIN { FS = ":.*## " } \
	  /^##@ / { printf "\n%s\n", substr($$0, 5) } \
	  /^[a-z-]+:.*## / { printf "  make %-13s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

# The environment. Made again when the lock, the project file or the Rust sources are newer than the last time.

$(INSTALLED): uv.lock pyproject.toml $(RHAI)
	@$(MAKE) --no-print-directory require-python require-cargo
	@test -x $(BIN)/python && $(BIN)/python -c "" 2>/dev/null || \
	  { $(say) "making $(VENV)"; $(PYTHON) -m venv --clear $(VENV); }
	@test -x $(BIN)/uv || { $(say) "installing uv into $(VENV)"; \
	  $(BIN)/python -m pip install --quiet --disable-pip-version-check uv; }
	@$(say) "installing what uv.lock names, and building rhai-py by cargo (the first time takes minutes)"
	@$(CARGO_PATH) UV_PROJECT_ENVIRONMENT="$(CURDIR)/$(VENV)" $(BIN)/uv sync --frozen --python "$(CURDIR)/$(BIN)/python"
	@touch $@

.venv-mini/.installed: platform/rbee_mini/requirements.txt $(INSTALLED)
	@$(say) "making .venv-mini, with torch"
	@$(BIN)/uv venv --quiet --allow-existing --python "$(CURDIR)/$(BIN)/python" .venv-mini
	@VIRTUAL_ENV="$(CURDIR)/.venv-mini" $(BIN)/uv pip install --requirements platform/rbee_mini/requirements.txt
	@touch $@

.PHONY: require-python require-cargo

require-python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { \
	  echo "rbee needs Python 3.11 or later, and '$(PYTHON)' is not that. This fixes it:"; \
	  if command -v apt-get >/dev/null; then echo "  sudo apt-get install -y python3 python3-venv"; \
	  elif command -v brew >/dev/null; then echo "  brew install python@3.12 && make PYTHON=python3.12"; \
	  else echo "  install Python 3.12 and run: make PYTHON=python3.12"; fi; exit 1; }
	@$(PYTHON) -c 'import venv, ensurepip' 2>/dev/null || { \
	  echo "Python's venv is missing. This fixes it:"; echo "  sudo apt-get install -y python3-venv"; exit 1; }

require-cargo:
	@$(CARGO_PATH) command -v cargo >/dev/null || { \
	  echo "rbee builds its Rhai binding by Rust's cargo, which is missing. This fixes it:"; \
	  echo "  curl --proto '=https' --tlsv1.2 -sSf https://sh.rustup.rs | sh -s -- -y"; exit 1; }
