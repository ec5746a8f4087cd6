# Two commands: `make demo` shows live captions, `make test` checks everything. Both set up what they need.

PYTHON ?= $(shell for p in python3.11 python3.12 python3 python; do \
	$$p -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 12))' 2>/dev/null && echo $$p && break; done)
BIN := .venv/bin
INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt

SPEECH ?= ../shared/speech
TEXT ?= ../shared/text
RECIPE ?= english-small
UTTERANCES ?= 17000

.PHONY: demo test check lint types layers tests lm clients model clean

demo: .venv/.demo  ## live captions of the bundled recording
	$(BIN)/streaming-asr demo

test: lint types layers tests  ## everything that CI checks

check: lint types layers  ## what needs no test run

lint: .venv/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: .venv/.dev
	$(BIN)/mypy

layers: .venv/.dev
	$(BIN)/lint-imports

tests: .venv/.dev
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n auto --dist loadfile

lm: .venv/.dev  ## kenlm, which compiles from source, for the tests that compare with it
	$(INSTALL) --editable '.[lm]'

clients: .venv/.dev  ## the client packages of other services, each in its own environment, for the tests with them
	$(BIN)/python tests/clients/environments.py

model: prepared/.done  ## trains a model as RECIPE=english-small or english-medium (one GPU) says; goes on where it stopped
	$(BIN)/python -m training.train training/configs/$(RECIPE).toml
	$(BIN)/python -m training.evaluate runs/$(RECIPE)/final prepared/real --noise prepared/noise

prepared/.done: .venv/.dev
	$(BIN)/python -m training.prepare $(SPEECH)/manifest.tsv prepared/real
	$(BIN)/python -m training.prepare $(SPEECH)/noise/manifest.tsv prepared/noise --untranscribed --held-out 5-
	$(BIN)/python -m training.prepare $(SPEECH)/rir/manifest.tsv prepared/rooms --untranscribed
	$(BIN)/python -m training.synthesize $(TEXT) prepared/synthetic --utterances $(UTTERANCES)
	$(BIN)/python -m training.phones prepared/phones.tsv prepared/real prepared/synthetic
	$(BIN)/python -m training.align streaming_asr/embedded/english prepared/real
	@touch $@

.venv/bin/python:
	@test -n "$(PYTHON)" || { echo "Python 3.11 or 3.12 is needed and was not found; name it: make PYTHON=/path/to/python3.11"; exit 2; }
	$(PYTHON) -m venv .venv

.venv/.demo: .venv/bin/python pyproject.toml constraints.txt
	@echo "Setting up: this takes a minute or two, once."
	$(INSTALL) --editable '.[recognizer]'
	@touch $@

.venv/.dev: .venv/bin/python pyproject.toml constraints.txt
	@echo "Setting up: this takes a minute or two, once."
	$(INSTALL) --editable '.[dev]'
	@touch $@ .venv/.demo

clean:
	rm -rf .venv .venv-clients .mypy_cache .ruff_cache .pytest_cache .import_linter_cache build dist
