# Two commands do all the set-up: `make demo` and `make test`.
.PHONY: demo test test-long campaign check format docs lock clean

PYTHON ?= python3
BIN := .venv/bin
# A virtual environment of its own, from locked versions with hashes.
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet
DEMO := runs/demo

demo: .venv/runtime ## search, show and export on scikit-learn's digits
	@mkdir -p $(DEMO)
	cd $(DEMO) && ../../$(BIN)/hpo search ../../configs/digits.yaml
	cd $(DEMO) && ../../$(BIN)/hpo show digits
	cd $(DEMO) && ../../$(BIN)/hpo export digits -o best.yaml --force

test: .venv/dev ## all tests but the long ones, in less than 8 minutes on two cores
	$(BIN)/python -m pytest -n auto --dist worksteal -m "not long"

test-long: .venv/dev ## the others: pages and configs word by word, real trainings, kills
	$(BIN)/python -m pytest -n auto --dist worksteal -m long

campaign: .venv/dev ## kills, broken files, faults and hostile files by the thousand
	$(BIN)/python -m tests.campaign --seed 1

check: .venv/dev ## format, lint, types
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

format: .venv/dev
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

docs: .venv/docs ## the documentation as a site; a broken link fails
	$(BIN)/python docs/reference.py build/docs
	$(BIN)/zensical build --strict -f build/docs/zensical.toml
	@echo "Open build/docs/site/index.html"

COMPILE := $(BIN)/uv pip compile pyproject.toml --universal --python-version 3.11 \
	--generate-hashes --no-header --no-annotate --upgrade

lock: .venv/dev ## resolve the newest versions that pyproject.toml allows, and the oldest
	$(PIP) install uv
	$(COMPILE) --extra build -o requirements.lock
	$(COMPILE) --extra dev --extra build -o requirements-dev.lock
	$(COMPILE) --extra dev --extra build --resolution lowest-direct -o requirements-oldest.lock

clean:
	rm -rf .venv runs build dist

.venv/created:
	$(PYTHON) -c 'import sys; sys.exit("hpo needs Python 3.11 or later") if sys.version_info < (3, 11) else None'
	$(PYTHON) -m venv .venv
	@touch $@

.venv/runtime: .venv/created requirements.lock pyproject.toml
	$(PIP) install --require-hashes -r requirements.lock
	$(PIP) install --no-build-isolation --no-deps -e .
	@touch $@

.venv/dev: .venv/created requirements-dev.lock pyproject.toml
	$(PIP) install --require-hashes -r requirements-dev.lock
	$(PIP) install --no-build-isolation --no-deps -e .
	@touch $@ .venv/runtime

# The site's generator is needed for nothing else, so that no lock holds it.
.venv/docs: .venv/runtime
	$(PIP) install --no-build-isolation -e '.[docs]'
	@touch $@
