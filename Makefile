# For a machine with Python 3.10+, make and a package index:
#   make quickstart   the bundled model at work and a fine-tuning, in less than five minutes on a CPU
#   make test         the tests
#   make model        the bundled model anew, in some hours on one core, or RECIPE=gpu in some twenty
#                     minutes on one GPU and 16 cores
#   make pictures     the picture of the README anew
#   make docs         the documentation site in site/; runs the notebook
#   make gallery      the pictures of its gallery anew
#   make ablation     the tables of docs/ablation.md anew, in some three hours on two cores
PYTHON ?= python3
BIN := .venv/bin
OUT := quickstart
STEPS ?= 60
# Large blocks are kept and threads do not fight: about twice as fast on a CPU.
FAST_CPU := MALLOC_MMAP_MAX_=0 MALLOC_TRIM_THRESHOLD_=100000000000

.PHONY: quickstart quickstart-predict quickstart-pages quickstart-before quickstart-train \
	quickstart-after model pictures ablation test test-slow lint format benchmarks docs gallery clean

.venv/installed: pyproject.toml
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --upgrade pip
	$(BIN)/pip install --quiet -e ".[synthetic]"
	touch $@

.venv/dev: .venv/installed
	$(BIN)/pip install --quiet -e ".[synthetic,batch,serve,dev]"
	touch $@

# Each part does those before it first.
quickstart: quickstart-after
	@echo
	@$(BIN)/python -m tools.compare_metrics before=$(OUT)/before/metrics.json \
		after=$(OUT)/after/metrics.json
	@echo
	@echo "Regions of two pages:       $(OUT)/predictions/*.png"
	@echo "Worst held-back pages:      $(OUT)/before/pages/*.png, $(OUT)/after/pages/*.png"
	@echo "Scores by class:            $(OUT)/before/table.md, $(OUT)/after/table.md"
	@echo "Training curves, pictures:  $(OUT)/run/pictures/"

PREDICT := $(FAST_CPU) $(BIN)/lmv3det predict
HELD_BACK := $(OUT)/held-back
EVALUATE := $(FAST_CPU) $(BIN)/lmv3det evaluate --annotations $(HELD_BACK)/annotations.json \
	--images $(HELD_BACK)/images --ocr $(HELD_BACK)/OCR --worst 6
LOOK := --setting text_matters --share 0.7

quickstart-predict: .venv/installed
	$(PREDICT) examples/pages --out $(OUT)/predictions --overwrite

quickstart-pages: quickstart-predict
	$(BIN)/lmv3det synthetic $(OUT)/train --pages 60 --seed 1 $(LOOK)
	$(BIN)/lmv3det synthetic $(HELD_BACK) --pages 24 --seed 2 $(LOOK)

quickstart-before: quickstart-pages
	$(EVALUATE) lmv3det/assets/cdla --out $(OUT)/before

quickstart-train: quickstart-before
	$(FAST_CPU) $(BIN)/lmv3det train --config quickstart $(if $(wildcard $(OUT)/run/last.pth),--resume) \
		output_dir=$(OUT)/run solver.steps=$(STEPS)

quickstart-after: quickstart-train
	$(EVALUATE) $(OUT)/run/last.pth --out $(OUT)/after

pictures: .venv/installed
	$(PREDICT) examples/pages --out output/pictures --overwrite
	$(BIN)/python -m tools.side_by_side output/pictures/english.png output/pictures/chinese.png \
		docs/pictures/pages.png

# Goes on where it stopped. docs/model_card.md has the run that was released.
# To try it: make model FRACTION=0.002 SETTINGS="device=cpu solver.batch_size=2"
RECIPE ?= cpu
FRACTION ?= 1
SETTINGS ?=
model: .venv/installed
	$(FAST_CPU) OMP_NUM_THREADS=1 $(BIN)/python -m tools.bundled_model make \
		--recipe $(RECIPE) --fraction $(FRACTION) output/bundled $(SETTINGS)
	@echo "Put it in:  cp -r output/bundled/model lmv3det/assets/cdla"

# Goes on where it stopped. Runs whose metrics are in docs/ablation/ are not made again.
WORK := output/ablation
PLAIN := $(WORK)/plain
TABLES := docs/ablation
ABLATION := $(FAST_CPU) $(BIN)/lmv3det ablation --size tiny --jobs 2 --keep-checkpoints
TOKENIZER := text.tokenizer=$(WORK)/tokenizer
START = $(ABLATION) --data $(WORK)/start-pages --val-fraction 0.04 --steps 2200 --out $(TABLES)/start \
	$(TOKENIZER) model.weights=$(PLAIN)/last.pth
LOOKALIKES = $(ABLATION) --data $(WORK)/pages --val-fraction 0.1 --steps 600 --out $(TABLES)/text_matters \
	$(TOKENIZER) solver.lr=5e-4
FROM = model.weights=$(TABLES)/start/runs
DOCBANK ?=
ablation: .venv/installed
	$(BIN)/lmv3det synthetic $(WORK)/plain-pages --pages 400 --seed 1
	$(BIN)/lmv3det synthetic $(WORK)/start-pages --pages 1600 --seed 31 --setting text_matters --share 0.7
	$(BIN)/lmv3det synthetic $(WORK)/pages --pages 2000 --seed 21 --setting text_matters --share 0.7
	test -d $(WORK)/tokenizer || $(BIN)/lmv3det train-tokenizer $(WORK)/start-pages/OCR \
		--out $(WORK)/tokenizer --vocab-size 2000 --kind char_bpe
	$(FAST_CPU) OMP_NUM_THREADS=1 $(BIN)/python train.py --config tiny \
		$(if $(wildcard $(PLAIN)/last.pth),--resume) output_dir=$(PLAIN) solver.steps=2400 \
		data.train.annotations=$(WORK)/plain-pages/annotations.json \
		data.train.images=$(WORK)/plain-pages/images data.val.annotations=null data.val.images=null \
		'input.min_size_train=[320]' input.min_size_test=320
	$(START) --configs image_only we_f3 af1
	$(LOOKALIKES) --configs image_only --seeds 3 $(FROM)/image_only-seed0/model.pth
	$(LOOKALIKES) --configs we_f3 --seeds 3 $(FROM)/we_f3-seed0/model.pth
	$(LOOKALIKES) --configs two_column we_all we_f3_no_unk $(FROM)/we_f3-seed0/model.pth
	$(LOOKALIKES) --configs af1 af2 --seeds 3 $(FROM)/af1-seed0/model.pth
	$(LOOKALIKES) --configs se_af2 af2_rm concat roi_text af2:fusion.only_where_text=true \
		af2:fusion.gate_relu=false $(FROM)/af1-seed0/model.pth
	test -d $(WORK)/encoder || test ! -f $(TABLES)/start/runs/af1-seed0/model.pth || \
		$(BIN)/lmv3det convert $(TABLES)/start/runs/af1-seed0/model.pth --to huggingface \
		--out $(WORK)/encoder
	$(LOOKALIKES) --configs af2_rm_fpn768 model.weights=$(WORK)/encoder
	$(if $(DOCBANK),$(ABLATION) --data $(DOCBANK) --seeds 3 --resplit --val-fraction 0.143 --steps 300 \
		--configs image_only af2 --init $(TABLES)/text_matters --out $(TABLES)/docbank $(TOKENIZER) \
		solver.lr=5e-4)

test: .venv/dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	OMP_NUM_THREADS=1 $(BIN)/pytest -n 2 --durations=15

test-slow: .venv/dev
	OMP_NUM_THREADS=1 $(BIN)/pytest -m slow

lint: .venv/dev
	$(BIN)/ruff check .
	$(BIN)/mypy

format: .venv/dev
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

benchmarks: .venv/dev
	$(BIN)/python -m benchmarks

.venv/docs: .venv/installed
	$(BIN)/pip install --quiet -e ".[synthetic,docs]"
	touch $@

# Warnings are errors. mkdocs-material's notice on its successor is left out of the log.
docs: .venv/docs
	$(BIN)/python -m lmv3det.config.docs > docs/settings.md
	NO_MKDOCS_2_WARNING=1 $(FAST_CPU) $(BIN)/mkdocs build --strict --quiet
	@echo "The site: site/index.html"

gallery: .venv/installed
	$(BIN)/python -m tools.gallery output/gallery docs/pictures/gallery

clean:
	rm -rf .venv $(OUT) site
