# make run    sets everything up and opens the gate before a demo service
# make test   sets everything up and runs all checks and tests
# make lint   the fast checks alone
# make bench  measures this gate beside nginx, HAProxy, Apache, Envoy and Caddy (about half an hour)

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := run

VENV ?= .venv
BIN := $(VENV)/bin
export UV_PROJECT_ENVIRONMENT := $(VENV)
TOOLS := .tools
ENSURE_UV = command -v uv >/dev/null || $(MAKE) --no-print-directory $(TOOLS)/bin/uv
UV = "$$(command -v uv || echo $(TOOLS)/bin/uv)"
MATURIN = VIRTUAL_ENV="$(abspath $(VENV))" PATH="$$PATH:$(abspath $(TOOLS))/bin" $(BIN)/maturin
# Python is the machine's own: what uv would download is another one.
export UV_PYTHON_DOWNLOADS := never
PYTEST_FLAGS ?= -n 2 --dist worksteal

RUST_SOURCES := $(shell find rust -path rust/target -prune -o \( -name '*.rs' -o -name '*.toml' -o -name '*.html' -o -name '*.css' \) -print) rust/Cargo.lock

.PHONY: run test lint bench wheel docs clean test-packages
run: $(VENV)/.built
	$(BIN)/mutualgate up

test: test-packages lint docs
# More at a time than there are processors: most of them wait for what takes its time.
	cd rust && cargo test --workspace --exclude mutualgate-binding -- --test-threads 4
	$(BIN)/pytest $(PYTEST_FLAGS)

lint: $(VENV)/.built
	cd rust && cargo fmt --check
	cd rust && cargo clippy --workspace --all-targets -- -D warnings
# A path to any file: what libFuzzer is in matters to the linker alone, and so no C++ compiler is needed.
	cd rust/fuzz && CUSTOM_LIBFUZZER_PATH="$(abspath rust/fuzz/Cargo.toml)" cargo check --locked --target-dir ../target
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/python -m mypy.stubtest mutualgate._engine
	$(BIN)/lint-imports

bench: $(VENV)/.release
	bench/install.sh
	PATH="$(abspath $(BIN)):$$PATH" bench/work/venv/bin/python bench/run.py

wheel: $(VENV)/.synced
	$(BIN)/maturin build --release --out dist

docs: $(VENV)/.synced
	$(ENSURE_UV)
	$(UV) sync --inexact --quiet --frozen --group dev --group docs
	$(BIN)/zensical build --clean --strict

clean:
	rm -rf $(VENV) $(TOOLS) rust/target dist site

test-packages:
	scripts/install-test-packages.sh

# uv installs what the lock file names; where the machine has none, it comes from its package, into a folder of its own.
$(TOOLS)/bin/uv:
	python3 -m venv $(TOOLS)
	$(TOOLS)/bin/pip install --quiet --disable-pip-version-check uv

$(VENV)/.synced: uv.lock pyproject.toml
	$(ENSURE_UV)
	$(UV) sync --inexact --quiet --frozen --group dev --compile-bytecode
	touch $@

# A development build: optimised enough to try everything, and built in a minute or two. Python's part is compiled, too,
# for those whom PYTHONDONTWRITEBYTECODE, or a folder that they may not write to, would have compile it at each command.
$(VENV)/.built: $(VENV)/.synced $(RUST_SOURCES)
	$(MATURIN) develop --uv --quiet
	$(BIN)/python -m compileall -q src/mutualgate
	rm -f $(VENV)/.release
	touch $@

# What the wheel holds: link-time optimisation, for measuring.
$(VENV)/.release: $(VENV)/.synced $(RUST_SOURCES)
	$(MATURIN) develop --uv --release --quiet
	$(BIN)/python -m compileall -q src/mutualgate
	touch $(VENV)/.built $@
