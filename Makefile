# Everything runs from .venv in this checkout. Paths stay relative: a space in front of them does no harm.
ifeq ($(origin PYTHON), undefined)
PYTHON := $(shell for python in python3 python3.13 python3.12 python3.11; do \
	$$python -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$python && break; done)
endif
SPACE := $(subst ,, )
STAMP := .venv/.installed-$(subst $(SPACE),_,$(subst /,_,$(PYTHON)))
RUN := .venv/bin/python -m

.NOTPARALLEL:
.PHONY: help certify test install services lint types coverage wheel kills soak statistics statistics-live cost mutation benchmark \
	quality lab clean

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "make %-15s %s\n", $$1, $$2}' Makefile

certify: $(STAMP) ## measure SmolLM2-135M on this machine and write its level 1 certificate (ARGS=...)
	@.venv/bin/hxbench certify $(ARGS)

test: lint types wheel coverage ## everything: lint, types, wheel, tests with real services, coverage

install: $(STAMP) ## .venv with hxbench and all it needs

services: ## fetch what the tests need and pip does not have, without root
	@tools/services.sh

lint: $(STAMP) ## ruff: rules and format
	@$(RUN) ruff check .
	@$(RUN) ruff format --check .

types: $(STAMP) ## mypy, strict
	@$(RUN) mypy

coverage: $(STAMP) services ## the tests, with line and branch coverage and their limits
	@SCREENSHOTS=build/screenshots $(RUN) tools.quality tests line-coverage branch-coverage

wheel: $(STAMP) ## build the wheel and try it in an empty environment elsewhere
	@$(RUN) tools.wheel_smoke

kills: $(STAMP) ## kill each process of a run at 25 random moments
	@$(RUN) pytest --kills 25 tests/test_kills.py

soak: $(STAMP) ## memory over 8 cycles: a server that grows by its prompt cache is caught, one without it is not
	@$(RUN) tools.soak

statistics: $(STAMP) ## how often the gates err and what they miss, simulated (RUNS=1000, about twenty minutes)
	@$(RUN) simulation.error_rates $(RUNS)

statistics-live: $(STAMP) ## the relative gate on 40 trials of one server, split at random (POOL=folder, half an hour)
	@$(RUN) simulation.live $(POOL)

cost: $(STAMP) ## what judging 10 million tokens costs, against reading them
	@$(RUN) simulation.cost

mutation: $(STAMP) ## change each comparison of the gates: which change does no test notice? (ONLY=gates.py)
	@$(RUN) tools.mutation $(ONLY)

benchmark: $(STAMP) services ## the load generator beside httpx and aiohttp, with ARGS=--peers also vLLM and GuideLLM
	@.venv/bin/python -c 'import aiohttp' 2>/dev/null || \
		$(RUN) pip install --quiet --disable-pip-version-check --editable '.[benchmark]'
	@$(RUN) benchmarks $(ARGS)

quality: $(STAMP) services ## every criterion of the development gate: value, limit, ok or not
	@$(RUN) tools.quality

lab: $(STAMP) ## JupyterLab on the notebooks
	@$(RUN) jupyterlab --notebook-dir=notebooks

clean: ## remove all that make made; outputs/ stays
	@rm -rf .venv .venv-benchmark .services build dist .coverage .coverage.* .mypy_cache .ruff_cache .pytest_cache .hypothesis
	@find . -name __pycache__ -prune -exec rm -rf {} +

$(STAMP): pyproject.toml
	@"$(PYTHON)" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || \
		{ echo "make: PYTHON=$(PYTHON): does not start a Python 3.11 or newer; name one, as in make PYTHON=python3.12" >&2; exit 2; }
	@echo "setting up .venv (about 1.2 GB; minutes the first time, nothing afterwards)"
	@test -e $@ || "$(PYTHON)" -m venv --clear .venv
	@$(RUN) pip install --quiet --disable-pip-version-check --editable '.[embedded,sign,dev]'
	@touch $@
