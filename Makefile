.POSIX:
PYTHON ?= python3
export PYTHON
unexport PYTHONSAFEPATH  # which hides this folder from python3 -m
$(if $(wildcard scripts/venv.sh),,$(error make runs in its own folder: make -C FOLDER TARGET))
bin = .venv-lint/bin

help: ## list these targets
	@sed -n 's/^\([a-z-]*\):.*## /\1	/p' Makefile | expand -t 14

run: python ## run the pair once: both logs, the client's result, nothing left running
	@$(PYTHON) -m scripts.run

packets: python ## run the pair and explain every packet; LANGUAGE=pt: in Portuguese
	@$(PYTHON) -m packets.run $(KEPT)

picture: python ## draw docs/packets*.png from docs/packets.pcap, with Chromium
	@for language in en pt-BR; do \
		LANGUAGE=$$language $(PYTHON) -m packets.run docs/packets.pcap >/dev/null && \
		sed '/^<div class="row note/,/SYN-SENT/{/SYN-SENT/!d;}; /<b>ARP/d; /<b>17 bytes/s/class="packet"/& open/' \
			docs/packets.html >docs/part.html && \
		chromium --headless --no-sandbox --hide-scrollbars --window-size=1240,1600 \
			--screenshot=docs/packets.$$language.png docs/part.html; \
	done; rm docs/part.html

up: python ## start the pair in the background
	@$(PYTHON) -m scripts.ready
	@docker compose up --detach

down: docker ## stop what make up started
	@docker compose down

logs: docker ## show the logs of what make up started
	@docker compose logs

demo: python ## run the same pair as two local processes, without Docker
	@$(PYTHON) -m scripts.demo

fleet-check: python ## run one check on every node of a Docker Swarm (deploy/README.md)
	@$(PYTHON) -m deploy.fleet_check

test: venv ## test that the pair works here, in a minute; REQUIRE_DOCKER=1: fail without Docker
	@.venv/bin/python -m tools.run_tests $(TESTS)

test-all: venv ## run all tests, in four minutes; the Docker Swarm tests need root
	@.venv/bin/python -m tools.run_tests all

test-fast: venv ## run the quick tests of app/, which need no Docker
	@.venv/bin/python -m pytest -nauto -m "not slow" tests/unit tests/loopback

test-cluster: venv ## run the Docker Swarm tests, which need root
	@[ "$$(id -u)" = 0 ] || { echo 'Tests of Docker Swarm need root: sudo make test-cluster' >&2; exit 1; }
	@REQUIRE_DOCKER=1 .venv/bin/python -m tools.run_tests tests/all/swarm

soak: venv ## load the server in all ways at once for ten minutes, then in random order for ten more
	@SOAK_SECONDS=600 .venv/bin/python -m pytest tests/all/load/test_soak.py tests/all/load/test_any_order.py

faults: venv ## make every system call fail once, and write tests/all/faults/table.txt
	@FAULTS=all .venv/bin/python -m tools.run_tests tests/all/faults

bench: python ## compare the speed with other servers, in five minutes; QUICK=1: in one
	@scripts/venv.sh bench
	@.venv-bench/bin/python -m bench.run

dist: venv ## build dist/tcp-pair.pyz, one file that runs anywhere with Python, and a wheel
	@rm -rf dist && mkdir dist
	@.venv/bin/python -m tools.dist dist/tcp-pair.pyz
	@.venv/bin/python -m hatchling build --target wheel --directory dist

lint: python ## check formatting, code, types, Dockerfiles, scripts, workflows and documents
	@scripts/venv.sh lint
	$(bin)/ruff format --quiet --check .
	$(bin)/ruff check --quiet .
	$(bin)/mypy --no-error-summary
	$(bin)/shellcheck --external-sources --source-path SCRIPTDIR .ci/run scripts/*.sh tools/*.sh
	$(bin)/hadolint Dockerfile.server Dockerfile.client
	$(bin)/yamllint --strict .
	$(bin)/check-jsonschema --quiet --builtin-schema vendor.compose-spec docker-compose.yml examples/*.yml
	$(bin)/check-jsonschema --quiet --builtin-schema vendor.github-workflows .github/workflows/*.yml
	$(bin)/check-jsonschema --quiet --builtin-schema vendor.github-actions action.yml
	$(bin)/zizmor --quiet --offline --pedantic .
	$(bin)/pymarkdown scan *.md docs deploy/README.md
	if docker compose version >/dev/null 2>&1; then \
		docker compose --env-file .env.example config --quiet && \
		docker compose --env-file .env.example --file docker-compose.yml \
			--file deploy/overlay.yml config --quiet && \
		docker compose --env-file .env.example --file docker-compose.yml \
			--file packets/compose.yml config --quiet && \
		docker compose --env-file .env.example --file examples/wait-for.yml config --quiet; \
	fi
	if docker stack config --help >/dev/null 2>&1; then \
		docker stack config --compose-file deploy/stack.yml >/dev/null; \
	fi

clean: python ## remove what these targets made: environments, files, images, the Compose that make installed
	@rm -rf .venv .venv-* .hypothesis .*_cache dist packets.* docs/packets.html bench/results/quick.* \
		tests/all/faults/table.txt
	@find . -name __pycache__ -prune -exec rm -r {} +
	@$(PYTHON) -B -m scripts.clean

python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
		echo '$(PYTHON) does not run as Python 3.11 or later: install that, or name it' \
			'(make PYTHON=python3.12 ...).' >&2; exit 1; }

docker: python
	@$(PYTHON) -m scripts.docker

venv: python
	@scripts/venv.sh

.PHONY: help run packets picture up down logs demo fleet-check test test-all test-fast test-cluster soak faults bench dist lint \
	clean python docker venv
