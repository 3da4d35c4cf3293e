# Each target works on a bare machine with Python 3.11+ and nothing else.
PYTHON ?= python3
PIP_FLAGS ?= -q
STAMP := .venv/.installed

.PHONY: install demo test

install: $(STAMP)

$(STAMP): pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "unpoison needs Python 3.11 or newer")'
	$(PYTHON) -m venv .venv
	.venv/bin/python -m pip install $(PIP_FLAGS) -c constraints.txt -e '.[all,dev]'
	touch $(STAMP)

demo: install
	.venv/bin/unpoison demo

test: install
	scripts/check
