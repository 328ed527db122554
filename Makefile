# make demo | test | lint | docs | bench: each works on a fresh clone with Python 3.11+ and a package index.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.eyeline-installed

.PHONY: demo test slow lint docs bench clean

$(STAMP): pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --upgrade "pip>=24"
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable ".[dev,demo]"
	# without its dependencies: they are here already but for opencv-python, which needs the libGL of a desktop
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps "face-alignment>=1.5"
	touch $(STAMP)

# The commands of README's "The main job"; make prints each before it runs it.
demo: export PATH := $(CURDIR)/$(BIN):$(PATH)
demo: $(STAMP)
	eyeline-curate run face-or-not --out runs/demo/train --workers 2
	eyeline-curate run lfw-subset --out runs/demo/test
	eyeline-train fit --config face_or_not --data.root runs/demo/train --trainer.default_root_dir runs/demo/model
	eyeline-train test --config face_or_not --data.root runs/demo/test --trainer.default_root_dir runs/demo/model --ckpt_path runs/demo/model/checkpoints/last.ckpt
	eyeline-train evaluate --ckpt runs/demo/model/checkpoints/last.ckpt --root runs/demo/test
	eyeline-curate report runs/demo/train

test: $(STAMP)
	$(BIN)/python -m pytest -n auto --dist loadfile

slow: $(STAMP)
	$(BIN)/python -m pytest -m slow

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

docs: $(STAMP)
	$(BIN)/python docs/generate.py
	$(BIN)/python docs/pictures.py

bench: $(STAMP)
	$(BIN)/python -m benchmarks

clean:
	rm -rf $(VENV) runs
