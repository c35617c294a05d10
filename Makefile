PORT ?= 8000
# Whatever the shell says: other modules, settings or folders are not this clone's.
unexport CDPATH DJANGO_SETTINGS_MODULE $(filter-out PYTHON,$(filter PYTHON%,$(.VARIABLES)))
unexport PIP_TARGET PIP_PREFIX PIP_ROOT PIP_USER PIP_DRY_RUN
python := .venv/bin/python
rooms := web audit accounts apikeys notices staff reachscore
uv_compile = .venv/bin/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes \
	--no-emit-index-url --custom-compile-command "make lock" --upgrade

# Its rules are ours and lie here; nothing is asked of its maker's servers.
semgrep := SEMGREP_ENABLE_VERSION_CHECK=0 SEMGREP_SEND_METRICS=off .venv-security/bin/semgrep

.PHONY: help run test test-fast test-ha coverage pictures lint check fuzz bench bench-growth bench-profile clients lock release clean install install-bench

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-13s %s\n", $$1, $$2 }' Makefile

run: install ## Install what is missing, start the service and its database; PORT=8000
	@exec $(python) manage.py run_demo --port $(PORT)

test: install ## Run the tests on a PostgreSQL of their own
	@exec $(python) -m pytest -n 3

test-fast: install ## Run the tests that start no server and no browser and race nobody
	@exec $(python) -m pytest -n 3 -m "not (slow or browser or server)"

test-ha: install ## Break a cluster on loopback under load: docs/ha.md; ROUNDS=2
	@exec $(python) -m tests.ha --rounds $(or $(ROUNDS),2)

coverage: install ## Run the tests and print which statements they do not reach
	@exec $(python) -m pytest -n 3 --cov --cov-report=term-missing:skip-covered

pictures: install ## Take the pictures of docs/staff.md anew
	@mkdir -p docs/pictures
	@PICTURES=docs/pictures $(python) -m pytest tests/browser/test_browser_staff.py

lint: install ## Format, lint, spelling, types
	$(python) -m ruff format --check .
	$(python) -m ruff check .
	.venv/bin/codespell
	$(python) -m mypy .

check: lint ## make lint, and migrations, OpenAPI document, imports, settings, security, known bugs
	$(python) manage.py makemigrations --check --dry-run
	$(python) manage.py spectacular --validate --fail-on-warn --file /dev/null
	.venv/bin/lint-imports
	bin/check-deploy
	@bin/install .venv-security requirements/security.txt
	.venv-security/bin/bandit --quiet --configfile pyproject.toml --recursive $(rooms)
	$(semgrep) --test security
	$(semgrep) scan --quiet --error --config security/semgrep.yaml $(rooms)
	@bin/audit-dependencies

fuzz: install ## Send what the OpenAPI document allows and forbids to the real server
	@bin/install .venv-security requirements/security.txt
	@$(python) security/fuzz.py

clients: install ## Run the guides' samples, clients made from the OpenAPI document, secret scanners
	@bin/install-node
	@$(python) security/scanners.py
	@$(python) security/samples.py
	@$(python) security/clients.py

bench: install-bench ## Measure against the peers and against the floor; ten minutes of a quiet machine
	@exec .venv-bench/bin/python -m bench results

bench-growth: install-bench ## Measure growth; hours; PARTS="calls straight" takes only these
	@exec .venv-bench/bin/python -m bench.growth $(PARTS)

bench-profile: install-bench ## Show where an authenticated request spends its time
	@exec .venv-bench/bin/python -m bench profile

lock: install ## Renew the lock files from pyproject.toml and security/package.json
	$(python) -m pip install --quiet uv
	$(uv_compile) pyproject.toml --output-file requirements/production.txt
	$(uv_compile) pyproject.toml --group dev --output-file requirements.txt
	$(uv_compile) --group security --output-file requirements/security.txt
	@bin/install-node
	cd security && PATH="$(CURDIR)/.venv-security/bin:$$PATH" npm update --package-lock-only
	$(uv_compile) --group ha --constraint requirements.txt --output-file requirements/ha.txt
	$(uv_compile) pyproject.toml --group bench --constraint requirements.txt --output-file requirements/bench.txt

release: check ## Check, then commit and tag the version that VERSION=… names; CHANGELOG.md must have it
	@$(python) bin/release.py $(VERSION)

clean: ## Remove .venv, the development database and its secrets
	@$$(command -v .venv/bin/python || command -v python3) -m reachscore.devdb.cluster .local/postgres .local/bench/postgres
	rm -rf .venv .venv-bench .venv-ha .venv-security .local staticfiles rendered .mypy_cache .pytest_cache .ruff_cache .import_linter_cache

install:
	@bin/install

install-bench:
	@bin/install .venv-bench requirements/bench.txt
