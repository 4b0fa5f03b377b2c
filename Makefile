# python3.11 or newer, make and git are all that a machine needs.
PYTHON ?= $(firstword $(shell command -v python3.11 python3.12 python3.13 python3 2>/dev/null))
BIN := .venv/bin
export PATH := $(CURDIR)/$(BIN):$(PATH)
export DVC_NO_ANALYTICS := 1
export MLFLOW_DISABLE_TELEMETRY := true
export GX_ANALYTICS_ENABLED := false
export NO_ALBUMENTATIONS_UPDATE := 1

.PHONY: help install demo test check ui lock clean
help:
	@echo "make demo    install, run the whole graph on the embedded digits, say where the report is"
	@echo "make test    install, run the test suite"
	@echo "make check   ruff and mypy --strict"
	@echo "make ui      Dagster and MLflow on 127.0.0.1, until Ctrl-C"
	@echo "make lock    resolve requirements.lock again from pyproject.toml"
	@echo "make clean   remove everything that was made, but the data and models that DVC keeps"

install: .venv/.installed

.venv/.installed: requirements.lock pyproject.toml
	@test -n "$(PYTHON)" || { echo "no python3 found: install Python 3.11 or newer"; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv
	@$(BIN)/python -m pip install -q --disable-pip-version-check $$(grep -oE '^uv==[0-9.]+' requirements.lock)
	@# Compiled once here: where Python may not write bytecode, every process would compile torch and numpy again.
	$(BIN)/uv pip install -q --compile-bytecode --require-hashes -r requirements.lock
	$(BIN)/uv pip install -q --no-deps --no-build-isolation -e .
	@touch $@

demo: install
	$(BIN)/dvc repro
	@$(BIN)/aigc summary

test: install
	$(BIN)/pytest -n 2 --dist loadfile --no-loadscope-reorder

check: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

ui: install
	@$(BIN)/python -m pipelines.ui

lock: install
	$(BIN)/uv pip compile -q --universal --generate-hashes --python-version 3.11 --no-emit-index-url --no-header \
		--prerelease=if-necessary-or-explicit --extra dev --extra bench pyproject.toml -o requirements.lock

clean:
	rm -rf .venv .work .pytest_cache .mypy_cache .ruff_cache *.egg-info
