# Two commands for a fresh machine with Python 3.10+, make and a package index:
#   make quickstart   pages, training, evaluation, prediction, in some ten minutes on a CPU
#   make test         the tests
PYTHON ?= python3
BIN := .venv/bin
OUT := quickstart
STEPS ?= 1200
# Large blocks are kept and threads do not fight: about twice as fast on a CPU.
FAST_CPU := MALLOC_MMAP_MAX_=0 MALLOC_TRIM_THRESHOLD_=100000000000

.PHONY: quickstart test test-slow lint format benchmarks docs clean

.venv/installed: pyproject.toml
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --upgrade pip
	$(BIN)/pip install --quiet -e ".[synthetic,dev]"
	touch $@

quickstart: .venv/installed
	$(BIN)/lmv3det synthetic $(OUT)/train --pages 240 --seed 1
	$(BIN)/lmv3det synthetic $(OUT)/held-back --pages 24 --seed 2
	test -d $(OUT)/tokenizer || $(BIN)/lmv3det train-tokenizer $(OUT)/train/OCR --out $(OUT)/tokenizer \
		--vocab-size 2000
	$(FAST_CPU) $(BIN)/python train.py --config configs/quickstart.yaml $(if $(wildcard $(OUT)/run/last.pth),--resume) \
		output_dir=$(OUT)/run solver.steps=$(STEPS)
	$(FAST_CPU) $(BIN)/python evaluate.py $(OUT)/run/last.pth --out $(OUT)/evaluation
	$(FAST_CPU) $(BIN)/python predict.py $(OUT)/held-back/images --ckpt $(OUT)/run/last.pth \
		--ocr $(OUT)/held-back/OCR --out $(OUT)/predictions
	@echo
	@echo "Scores by class:  $(OUT)/evaluation/table.md"
	@echo "Drawn detections: $(OUT)/predictions/*.png (from $(OUT)/predictions/detections.json)"
	@echo "Training curves:  $(OUT)/run/pictures/"

test: .venv/installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	OMP_NUM_THREADS=1 $(BIN)/pytest -n 2 --durations=15

test-slow: .venv/installed
	OMP_NUM_THREADS=1 $(BIN)/pytest -m slow

lint: .venv/installed
	$(BIN)/ruff check .
	$(BIN)/mypy

format: .venv/installed
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

benchmarks: .venv/installed
	$(BIN)/python -m benchmarks

docs: .venv/installed
	$(BIN)/python -m lmv3det.settings_doc > docs/settings.md

clean:
	rm -rf .venv $(OUT)
