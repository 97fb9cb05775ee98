# Everything runs from a private virtual environment, .venv, which `make install` builds.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.PHONY: install lint types test test-slow benchmark benchmark-accuracy speed docs clean

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
SEED := 0
.PHONY: fuzz
fuzz: install
	OMP_NUM_THREADS=1 $(BIN)/python -m tests.fuzz --seed $(SEED) --jobs 2

# The main job: train an agent and compare it with the optimum and the baselines.
benchmark: install
	$(BIN)/sfl train --algo ppo --env-id SFL-v0 --seed 0 --out runs/ppo --overwrite
	$(BIN)/sfl benchmark --env-id SFL-v0 --agents runs/ppo --out runs/benchmark --overwrite

# Train an agent on the lengths of rounds, and a network under it and every scheme: on data that all devices have
# alike, on data of a few classes each, and on the latter with a step size that suits split learning.
SKEWED := partition=dirichlet partition_concentration=0.1
ACCURACY := $(BIN)/sfl benchmark --mode accuracy --episodes 7 --rounds 60 --overwrite
benchmark-accuracy: install
	$(BIN)/sfl train --algo ppo --env-id SFL-Accuracy-v0 --fields mode=latency model=digits-cnn --seed 0 \
		--out runs/accuracy/ppo --overwrite
	$(ACCURACY) --agents runs/accuracy/ppo --out runs/benchmark-accuracy
	$(ACCURACY) --agents runs/accuracy/ppo --fields $(SKEWED) --out runs/benchmark-accuracy-skewed
	$(ACCURACY) --fields $(SKEWED) learning_rate=0.01 --policies alternating common-cut sequential \
		--out runs/benchmark-accuracy-slow

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
	$(BIN)/python docs/build/difficulty.py
	$(BIN)/python docs/build/figures.py
	$(BIN)/python docs/build/results.py
	$(BIN)/python docs/build/speed.py

clean:
	rm -rf $(VENV) .mypy_cache .pytest_cache .ruff_cache .hypothesis
