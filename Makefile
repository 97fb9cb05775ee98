# Everything runs from a private virtual environment, .venv, which `make install` builds.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

# Another Python than PYTHON, the newest that is here; `make test-newest NEWEST=...` takes a certain one.
NEWEST ?= $(lastword $(sort $(wildcard /usr/bin/python3.1[2-9] /usr/local/bin/python3.1[2-9] \
	$(HOME)/.pyenv/versions/3.1[2-9].*/bin/python)))

.PHONY: install lint types test test-slow test-lowest test-newest test-networks newest coverage mutants
.PHONY: benchmark benchmark-accuracy speed docs clean

install: $(VENV)/.installed

$(VENV)/.installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade "pip>=25.1"
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable . --group dev
	touch $@

lint: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports

types: install
	$(BIN)/mypy

test: lint types
	$(BIN)/pytest -n 2

test-slow: install
	$(BIN)/pytest -m slow

# Random use of everything that a user touches (tests/fuzz): about ten minutes; what fails is printed with the
# command that plays it again. `make fuzz SEED=1` draws other cases.
SEED ?= 0
.PHONY: fuzz
fuzz: install
	OMP_NUM_THREADS=1 $(BIN)/python -m tests.fuzz --seed $(SEED) --jobs 2
# The suite with the lowest versions that pyproject.toml declares. What they warn of is that they are old (and
# Gymnasium 1.2 of a fault in its own CartPole), which is no fault of ours.
test-lowest: $(VENV)-lowest/.installed
	$(VENV)-lowest/bin/python -m pytest -n 2 -W ignore::DeprecationWarning -W ignore::PendingDeprecationWarning \
		-W ignore::pytest.PytestUnraisableExceptionWarning

$(VENV)-lowest/.installed: pyproject.toml .ci/requirements.py
	$(PYTHON) -m venv $(VENV)-lowest
	$(PYTHON) .ci/requirements.py lowest > $(VENV)-lowest/constraints.txt
	$(VENV)-lowest/bin/python -m pip install --quiet --upgrade "pip>=25.1"
	$(VENV)-lowest/bin/python -m pip install --quiet --only-binary :all: --constraint $(VENV)-lowest/constraints.txt \
		--editable . --group test --group learning
	touch $@

# The environment and the baselines, as far as they need no torch, whose CPU build is there for one Python only, on the
# newest Python with the newest packages.
test-newest: $(VENV)-newest/.installed
	$(VENV)-newest/bin/python -m pytest -n 2 -p tests.without_torch \
		tests/sfl_env tests/sfl_baselines tests/project sfl_env baselines

newest:
	@echo $(NEWEST)

$(VENV)-newest/.installed: pyproject.toml .ci/requirements.py
	$(or $(NEWEST),$(error No Python newer than 3.11 found; name one with NEWEST=...)) -m venv $(VENV)-newest
	$(VENV)-newest/bin/python .ci/requirements.py without torch stable-baselines3 sb3-contrib optuna > $(VENV)-newest/requirements.txt
	$(VENV)-newest/bin/python -m pip install --quiet --upgrade "pip>=25.1"
	$(VENV)-newest/bin/python -m pip install --quiet --requirement $(VENV)-newest/requirements.txt --group test
	$(VENV)-newest/bin/python -m pip install --quiet --no-deps --editable .
	touch $@

# Networks as timm, torchvision and Hugging Face make them (tests/networks): profiled, trained for a step, and held
# against plain PyTorch. `make test-networks ONLY="resnet18 swin_t"` takes a few of them.
test-networks: $(VENV)-networks/.installed
	HF_HUB_OFFLINE=1 $(VENV)-networks/bin/python -m tests.networks $(if $(ONLY),--only $(ONLY)) --out runs/networks

# Pinned like .venv, or torchvision brings a torch with gigabytes of CUDA packages.
$(VENV)-networks/.installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)-networks
	$(VENV)-networks/bin/python -m pip install --quiet --upgrade "pip>=25.1"
	$(VENV)-networks/bin/python -m pip install --quiet --constraint constraints.txt --editable . --group networks
	touch $@

# Which lines and branches the suite does not run through, as a list and as pages in runs/coverage.
coverage: install
	$(BIN)/pytest -n 2 --cov --cov-report=term-missing:skip-covered --cov-report=html:runs/coverage

# Put faults into a package of sfl_env, one at a time, and list those that no test notices.
PACKAGE ?= rounds
SAMPLE ?= 200
mutants: install
	$(BIN)/python -m tests.mutants --package $(PACKAGE) --sample $(SAMPLE) --seed $(SEED) \
		--out runs/mutants/$(PACKAGE).json

# The main job: train an agent with five seeds, two at a time, and compare it with the optimum and the baselines.
TRAINING_SEEDS ?= 0 1 2 3 4
TRAININGS := $(TRAINING_SEEDS:%=ppo-%)
benchmark: install
	$(MAKE) --jobs 2 --output-sync=target $(TRAININGS)
	$(BIN)/sfl benchmark --env-id SFL-v0 --agents $(TRAININGS:%=runs/%) --out runs/benchmark --overwrite

.PHONY: $(TRAININGS)
$(TRAININGS): ppo-%: install
	$(BIN)/sfl train --algo ppo --env-id SFL-v0 --seed $* --out runs/$@ --overwrite

# Train an agent on the lengths of rounds, and a network under it and every scheme, each with its own step size and
# momentum: on data that all devices have alike, and on data of a few classes each.
SKEWED := partition=dirichlet partition_concentration=0.1
ACCURACY := $(BIN)/sfl benchmark --mode accuracy --episodes 7 --rounds 60 --overwrite
benchmark-accuracy: install
	$(BIN)/sfl train --algo ppo --env-id SFL-Accuracy-v0 --fields mode=latency model=digits-cnn --seed 0 \
		--out runs/accuracy/ppo --overwrite
	$(ACCURACY) --agents runs/accuracy/ppo --out runs/benchmark-accuracy
	$(ACCURACY) --agents runs/accuracy/ppo --fields $(SKEWED) --out runs/benchmark-accuracy-skewed

# Everything that is compared takes turns on one thread; tables on the terminal, and runs/speed/speed.json.
speed: $(VENV)/.speed
	OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 MKL_NUM_THREADS=1 $(BIN)/python -m speed.speed --out runs/speed

$(VENV)/.speed: $(VENV)/.installed
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --group speed
	touch $@

# Rewrite the pages and pictures that show computed figures; the results need `make benchmark` and
# `make benchmark-accuracy` before.
docs: install
	$(BIN)/python docs/build/tables.py
	$(BIN)/python docs/build/channel.py
	$(BIN)/python docs/build/measurement.py --page
	$(BIN)/python docs/build/difficulty.py
	$(BIN)/python docs/build/deadline.py
	$(BIN)/python docs/build/figures.py
	$(BIN)/python docs/build/results.py
	$(BIN)/python docs/build/coverage.py
	$(BIN)/python docs/build/speed.py
	$(BIN)/python docs/build/architecture.py

clean:
	rm -rf $(VENV) $(VENV)-lowest $(VENV)-newest $(VENV)-networks .mypy_cache .pytest_cache .ruff_cache \
		.hypothesis .coverage
