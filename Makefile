# Everything a newcomer types. `make` alone lists it.

# The newest Python of those that the tests ran with, else any that is new enough; PYTHON=... names another.
PYTHON ?= $(firstword $(foreach name,python3.13 python3.12 python3.11 python3.14 python3,$(shell \
	$(name) -c 'import sys; sys.exit(sys.version_info < (3, 11, 4))' 2>/dev/null && echo $(name))))
HOST ?= 127.0.0.1# where `make ui` serves
PORT ?= 5000
PREFECT_PORT ?= 4200# where `make up` serves Prefect; MLflow at PORT
BIN := .venv/bin
INSTALLED := .venv/.installed

# No telemetry, from any of the tools.
export DO_NOT_TRACK := true
export MLFLOW_DISABLE_TELEMETRY := true
export DVC_NO_ANALYTICS := 1
export PREFECT_SERVER_ANALYTICS_ENABLED := false

.PHONY: help demo test test-all fuzz mutants check audit constraints size docs tutorial ui up down status clean

help: ## list these commands
	@sed -n 's/^\([a-z-]*\):.*## /  make \1\t/p' $(MAKEFILE_LIST)

demo: $(INSTALLED) ## install, run the pipeline on the bundled sample, and say what came out
	@$(BIN)/python -m winnow.local.demo

test: $(INSTALLED) ## run the test suite
	$(BIN)/python -m pytest --numprocesses 2 --dist loadfile

test-all: $(INSTALLED) ## the same, with the tests that take minutes, and with new random examples each time
	$(BIN)/python -m pytest --numprocesses 2 --dist loadfile -m "" --hypothesis-profile random

fuzz: $(INSTALLED) ## spoil sources at random for a minute, and see that each is read or refused
	WINNOW_FUZZ=3500 $(BIN)/python -m pytest -q --hypothesis-profile random tests/winnow/sources/test_fuzz.py

mutants: $(INSTALLED) ## make small mistakes in the code, one at a time, and see that a test finds each; takes an hour
	@[ -d .winnow/mutmut ] || $(BIN)/python -m pip install --quiet --no-deps --target .winnow/mutmut \
		--constraint constraints.txt mutmut libcst # apart: what mutmut brings along renames the processes of Dask
	PYTHONPATH=.winnow/mutmut $(BIN)/python .ci/mutants.py $(MUTANTS)

check: $(INSTALLED) ## lint and check types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

audit: $(INSTALLED) ## known vulnerabilities of the packages, and their licences
	$(BIN)/python .ci/audit.py

constraints: $(INSTALLED) ## write requirements.lock, the hashes of constraints.txt; UPGRADE=1: of the newest versions
	$(BIN)/python .ci/constraints.py $(if $(UPGRADE),--upgrade)

size: $(INSTALLED) ## say how large the installed packages are, and how large without the libraries of CUDA
	@du -sm .venv/lib/python*/site-packages | sed 's/\t.*/ MiB installed/'
	@du -sm --exclude='nvidia' --exclude='triton' --exclude='libtorch_cuda*' .venv/lib/python*/site-packages | sed 's/\t.*/ MiB without CUDA/'

docs: $(INSTALLED) ## build the documentation into site/
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict --quiet

tutorial: $(INSTALLED) ## run the commands of docs/tutorial.md, on the results of make demo
	$(BIN)/python .ci/tutorial.py

ui: $(INSTALLED) ## open MLflow on the versions of the subset, at http://127.0.0.1:5000
	@$(BIN)/winnow ui --host $(HOST) --port $(PORT)

up: $(INSTALLED) ## start Prefect, MLflow, the deployments and a worker for the schedule, and say where the pages are
	@$(BIN)/winnow up --prefect $(PREFECT_PORT) --mlflow $(PORT)

down: $(INSTALLED) ## end all of them
	@$(BIN)/winnow down

status: $(INSTALLED) ## say what of it is running
	@$(BIN)/winnow status

$(INSTALLED): pyproject.toml requirements.lock
	@[ -n "$(PYTHON)" ] || { echo "Winnow needs Python 3.11.4 or newer, and none is on the path; name one: make PYTHON=/path/to/python3" >&2; exit 2; }
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --no-compile --require-hashes --requirement requirements.lock
	$(BIN)/python -m pip install --no-compile --no-deps --no-build-isolation --editable . # a folder has no hash
	@$(BIN)/python -m compileall -qq -j 0 .venv/lib || true # pip would use one core; some files are not meant to compile
	touch $@

clean: ## remove the environment and what the stages made; ALL=1: also versions' history and other folders of data/
	@[ ! -d .winnow/services ] || [ ! -x $(BIN)/winnow ] || $(BIN)/winnow down
	@$$(command -v $(PYTHON) || command -v python3) -m winnow.local.clean $(if $(ALL),--all)
