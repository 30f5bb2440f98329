.POSIX:
PYTHON = python3
export PYTHON
bin = .venv/bin

help: ## list these targets
	@sed -n 's/^\([a-z-]*\):.*## /\1	/p' Makefile | expand -t 13

run: ready ## run the pair once: both logs, the client's result, nothing left running
	@$(PYTHON) scripts/run.py

record: ready ## draw docs/run.svg from what make run shows
	@$(PYTHON) scripts/record.py

up: ready ## start the pair in the background
	@docker compose build --quiet
	@docker compose up --detach

down: ## stop what make up started
	@docker compose down

logs: ## show the logs of what make up started
	@docker compose logs

demo: ## run the same pair as two local processes, without Docker
	@scripts/python.sh
	@$(PYTHON) scripts/demo.py

fleet-check: ## let every node of a Docker Swarm make one check (deploy/README.md)
	@scripts/python.sh
	@scripts/docker.sh
	@$(PYTHON) scripts/fleet_check.py

test: ## run all tests; REQUIRE_DOCKER=1 fails where they cannot use Docker
	@scripts/test.sh

soak: ## keep the server under everything at once for ten minutes
	@scripts/venv.sh
	@SOAK_SECONDS=600 $(bin)/python -m pytest tests/hostile/test_soak.py

bench: ## measure speed beside other servers, in five minutes; QUICK=1 in one
	@scripts/venv.sh bench
	@bench/.venv/bin/python -m bench.run

lint: ## check formatting, code, types, Dockerfiles, scripts, workflows and documents
	@scripts/venv.sh
	$(bin)/ruff format --quiet --check .
	$(bin)/ruff check --quiet .
	$(bin)/mypy --no-error-summary
	$(bin)/shellcheck --external-sources --source-path SCRIPTDIR .ci/run scripts/*.sh
	$(bin)/hadolint Dockerfile.server Dockerfile.client
	$(bin)/yamllint --strict .
	$(bin)/check-jsonschema --quiet --builtin-schema vendor.compose-spec docker-compose.yml deploy/wait-for.yml
	$(bin)/check-jsonschema --quiet --builtin-schema vendor.github-workflows .github/workflows/*.yml
	$(bin)/zizmor --quiet --offline --pedantic .
	$(bin)/pymarkdown scan *.md docs deploy/README.md
	$(bin)/md-dead-link-check --no-color --untrack
	! docker compose version >/dev/null 2>&1 || docker compose --env-file .env.example config --quiet
	! docker compose version >/dev/null 2>&1 || docker compose --env-file .env.example \
		--file docker-compose.yml --file deploy/overlay.yml config --quiet
	! docker compose version >/dev/null 2>&1 || docker compose --env-file .env.example \
		--file deploy/wait-for.yml config --quiet
	! docker stack config --help >/dev/null 2>&1 || docker stack config \
		--compose-file deploy/stack.yml >/dev/null

ready:
	@scripts/python.sh
	@scripts/docker.sh
	@$(PYTHON) scripts/preflight.py
	@scripts/base-image.sh

.PHONY: help run record up down logs demo fleet-check test soak bench lint ready
