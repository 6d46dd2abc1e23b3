# Glassbox GPT: everything starts here. `make` alone lists the targets.
# Kept to what GNU make 3.81 knows, the version that macOS brings.

.DEFAULT_GOAL := help
.PHONY: help run test bench class-check lint format clean

VENV ?= .venv
# Options for the program behind the target: make run ARGS="--server.port 8600", make test ARGS="-k sampling".
ARGS ?=
# Students of a class: make class-check N=60.
N ?= 30
python := $(VENV)/bin/python

# requirements.txt names a second package index. Where it cannot be reached, pip would ask it again and again for every
# package before it goes on with the first; one attempt is enough. After a real failure, call make again: what was
# downloaded is kept.
export PIP_RETRIES := 0
export PIP_DISABLE_PIP_VERSION_CHECK := 1

help: ## List the targets
	@sed -n 's/^\([a-z-]*\): .*## \(.*\)/  make \1|\2/p' Makefile | awk -F'|' '{ printf "%-14s %s\n", $$1, $$2 }'

run: $(VENV)/.runtime ## Start the program at http://localhost:8501 (sets itself up the first time)
	@$(python) -m gptcore.address $(ARGS)
	$(python) -m streamlit run app.py $(ARGS)

test: lint ## Check the code, then run every test
	$(python) -m pytest --numprocesses 2 --dist loadfile $(ARGS)

bench: $(VENV)/.dev ## Measure speed against peers
	$(python) -m benchmarks $(ARGS)

class-check: $(VENV)/.dev ## Play a class of N (30) on this machine and say whether it fits
	@$(python) -m benchmarks.class_check $(N)

lint: $(VENV)/.dev ## Check style and types, changing nothing
	$(python) -m ruff check .
	$(python) -m ruff format --check .
	$(python) -m mypy

format: $(VENV)/.dev ## Put the code into the common format
	$(python) -m ruff check --fix .
	$(python) -m ruff format .

clean: ## Remove the environment and all caches; training runs stay
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# The environment. Three stamps stand for what is done, so that a second call has nothing to do.

$(VENV)/.runtime: requirements.txt $(VENV)/.created
	$(python) -m pip install -r requirements.txt
	@touch $@

$(VENV)/.dev: requirements-dev.txt requirements.txt $(VENV)/.created
	$(python) -m pip install -r requirements-dev.txt
	@touch $@ $(VENV)/.runtime

# The first Python that fits; PYTHON=... asks for one. Some systems ship Python without venv, so venv is tried too.
candidates := $(if $(PYTHON),$(PYTHON),python3 python3.13 python3.12 python3.11 python)
fits := import ensurepip, sys, venv; sys.exit(not (3, 11) <= sys.version_info < (3, 14))

$(VENV)/.created:
	@for candidate in $(candidates); do \
		if "$$candidate" -c '$(fits)' 2>/dev/null; then \
			echo "Setting up $(VENV) with $$("$$candidate" --version), once; this takes some minutes."; \
			"$$candidate" -m venv $(VENV) && touch $@; exit; \
		fi; \
	done; \
	echo "No Python 3.11, 3.12 or 3.13 with venv was found (tried: $(candidates))." >&2; \
	echo "Install one, or name it: make run PYTHON=/path/to/python3.12" >&2; \
	exit 1
