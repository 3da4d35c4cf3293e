# Each target works on a bare machine with Python 3.11+ and nothing else.
PYTHON ?= python3
PIP_FLAGS ?= -q
STAMP := .venv/.installed

.PHONY: install demo test quick format docs

install: $(STAMP)

$(STAMP): pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "unpoison needs Python 3.11 or newer")'
	$(PYTHON) -m venv .venv
	.venv/bin/python -m pip install $(PIP_FLAGS) -c constraints.txt -e '.[all,dev,docs]'
	touch $(STAMP)

demo: install
	.venv/bin/unpoison demo

test: install
	scripts/check

# The checks that take under a minute: what to run before every commit.
quick: install
	scripts/check tests/core tests/dynamics tests/purifiers/test_contracts.py tests/data/safe tests/test_documents.py

format: install
	.venv/bin/ruff format .
	.venv/bin/ruff check --fix .

docs: install
	.venv/bin/mkdocs build --strict
