# SPDX-FileCopyrightText: 2026 The rtseg_ros authors
# SPDX-License-Identifier: Apache-2.0
# On a machine without ROS: `make demo` and `make test` are all that is needed. On a robot, use colcon (see README).

# Of a ROS that the shell has sourced, nothing may get in front of what the virtual environment holds.
unexport PYTHONPATH LD_LIBRARY_PATH AMENT_PREFIX_PATH ROS_DISTRO RMW_IMPLEMENTATION

PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
PIP    := $(BIN)/python -m pip install --disable-pip-version-check --no-warn-script-location -q --progress-bar on

SOURCE ?=
MODEL  ?= fast_scnn-camvid
OUT    ?= out/demo
FRAMES ?= 150

.DEFAULT_GOAL := help
.PHONY: help demo test test-long lint typecheck develop colcon benchmark figures clean

help: ## Show this list
	@grep -hE '^[a-z-]+:.*## ' Makefile | sed -E 's/:.*## /\t/' | expand -t 14

demo: $(VENV)/.runtime ## Camera, node and recorder over real DDS: SOURCE= MODEL= OUT= FRAMES=
	@$(BIN)/python -m rtseg_ros.demo --source "$(SOURCE)" --model "$(MODEL)" --out "$(OUT)" --frames "$(FRAMES)"

test: $(VENV)/.develop ## The short tests (15 to 20 minutes on 2 cores)
	@$(BIN)/python -m pytest $(ARGS)

test-long: SHELL := bash
test-long: .SHELLFLAGS := -o pipefail -c
test-long: $(VENV)/.develop ## Soak, thousands of cycles and frames, paper sizes; log in docs/verification/
	@mkdir -p docs/verification
	@$(BIN)/python -m pytest -m long --timeout 3600 -v --no-header $(ARGS) \
		| tee docs/verification/test-long-$$(date -u +%Y-%m-%d).log

lint: $(VENV)/.develop ## Style
	@$(BIN)/ruff check . && $(BIN)/ruff format --check .

typecheck: $(VENV)/.develop ## Types, strictly
	@$(BIN)/mypy

colcon: $(VENV)/.develop ## Build the ROS package as on a robot, below out/colcon
	@PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/colcon --log-base out/colcon/log build --base-paths . \
		--build-base out/colcon/build --install-base out/colcon/install --event-handlers console_direct+

benchmark: $(VENV)/.develop ## A short form of rtseg benchmark, and what the node adds
	@$(BIN)/rtseg benchmark --model $(MODEL) --size 512x1024 --camera 720x1280 --baseline
	@$(BIN)/python -m rtseg_ros.node_benchmark --model $(MODEL)

figures: $(VENV)/.develop ## mIoU against speed of all bundles for the README: ROOT=<folder of CamVid>
	@rm -rf out/figures
	@$(BIN)/rtseg figures --dataset camvid --root "$(ROOT)" --plot out/figures/accuracy_speed.png \
		--table out/figures/input_sizes.md
	@cp out/figures/accuracy_speed.png docs/images/ && cp out/figures/input_sizes.md docs/benchmarks/

develop: $(VENV)/.develop ## Everything that development needs, PyTorch among it

$(VENV)/.python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10))' \
		|| { echo "rtseg_ros needs Python 3.10 or newer here; name one with: make PYTHON=python3.11 ..." >&2; exit 1; }
	@echo "[1/3] virtual environment in $(VENV)"
	@$(PYTHON) -m venv $(VENV) \
		|| { echo "python3 -m venv failed; on Debian and Ubuntu: apt install python3-venv" >&2; exit 1; }
	@touch $@

$(VENV)/.runtime: $(VENV)/.python requirements.txt requirements-lock.txt setup.py $(wildcard rtseg_models/engine/*.c)
	@echo "[2/3] ROS 2 client library, inference runtimes, OpenCV (about a minute, once)"
	@$(PIP) -r requirements.txt
	@echo "[3/3] rtseg_ros itself"
	@$(PIP) --no-build-isolation --no-deps --editable .
	@touch $@

$(VENV)/.develop: $(VENV)/.runtime requirements-dev.txt
	@echo "[+] PyTorch, test runner, linters, colcon (once)"
	@$(PIP) -r requirements-dev.txt
	@touch $@

clean: ## Remove everything that was made
	rm -rf $(VENV) build install log out *.egg-info .pytest_cache .mypy_cache .ruff_cache
