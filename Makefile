# The only task runner: `make` alone lists what there is.
PYTHON ?= python3
BIN := .venv/bin
# Made anew when what is installed changes.
READY := .venv/.ready

.PHONY: help demo test verify attacks lint types docs bench clean

help:  ## list the targets
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 10

$(READY): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit("Python 3.11 or newer is needed; set PYTHON=…, as in: make PYTHON=python3.12 $(MAKECMDGOALS)" if sys.version_info < (3, 11) else 0)'
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --disable-pip-version-check --constraint constraints.txt uv
	$(BIN)/uv pip install --quiet --python $(BIN)/python --constraint constraints.txt --editable '.[dev]'
	@touch $@

demo: $(READY)  ## grade the reference answer of lab-07 against a real database
	$(BIN)/grader check lab-07 --reference

test: $(READY)  ## run the grader's own tests, with the quick proof of every lab
	$(BIN)/python -m pytest

verify: $(READY)  ## the full proof of every lab: every program against every check, three seeds
	$(BIN)/grader verify --stress 3

attacks: $(READY)  ## the whole battery of hostile programs, at every level that this machine has
	$(BIN)/python -m pytest tests/test_attacks.py tests/test_right_programs.py tests/test_aftermath.py -m 'attacks or not attacks'

lint: $(READY)  ## ruff: rules and format
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/ruff check --isolated --line-length 120 --select E,F,W,B,UP labs solutions tests/toy_course tests/attacks/kinds tests/attacks/right

types: $(READY)  ## mypy --strict on grader and tests
	$(BIN)/mypy

docs: $(READY)  ## write the generated parts of README and docs anew
	$(BIN)/python -m tests.generated_docs --write

bench: $(READY)  ## measure, as ratios in one run
	$(BIN)/python -m benchmarks

clean:  ## remove what make made; your work/ stays
	rm -rf .venv build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .grader
