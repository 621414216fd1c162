# make parity   set everything up in .venv/ and run the main job on the bundled model
# make test     set everything up and run the linters and all tests
# make lint     ruff, mypy and clang-format alone
# make docs     the site, into build/site, with warnings as errors
# make sanitize the native core and its bindings under AddressSanitizer with UBSan, and under ThreadSanitizer
# make nightly  search deep for inputs that break formats, kernels and sessions (NIGHT=3600 seconds a group), and
#               make sanitize
# make clean    remove what make made
#
# Needs Python 3.11 or newer and a C++20 compiler; pip brings CMake and ninja.
# The first run builds llama.cpp (the package llama-cpp-python), about six minutes on two cores.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check
READY := $(VENV)/ready
# The installation is editable: a Python file may change without a new one, but not come or go; what is compiled
# or copied, and what libbitnet's tables are made from, may not change either.
INSTALLED := pyproject.toml CMakeLists.txt harness/bitparity/tokenizer/pre_tokenizers.py \
  $(wildcard harness/bitparity/architectures/*.py native/generate/*.py) \
  $(shell find native reference/bridge -type f ! -name '*.py*')

.PHONY: parity test lint docs sanitize nightly clean always
.DELETE_ON_ERROR:

parity: $(READY)
	$(BIN)/bitparity compare

# A test that needs llama.cpp fails without it; so does one that needs bitnet.cpp where BITNET_CPP_DIR is set.
REQUIRED := --require-reference llama.cpp $(if $(BITNET_CPP_DIR),--require-reference bitnet.cpp)
test: lint
	@begin=$$(date +%s); $(BIN)/python -m pytest $(REQUIRED) --durations=10 && echo "tests passed in $$(($$(date +%s) - begin)) s"

# NO_MKDOCS_2_WARNING keeps an advertisement of mkdocs-material out of the log.
docs: $(READY)
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

CPP := $(shell find examples harness native reference tests -name '*.[ch]' -o -name '*.[ch]pp')
lint: $(READY)
	@begin=$$(date +%s); $(BIN)/ruff check && $(BIN)/ruff format --check && $(BIN)/mypy \
	  && $(BIN)/clang-format --dry-run -Werror $(CPP) \
	  && echo "lint passed in $$(($$(date +%s) - begin)) s"

# Another seed each night; every target gets an equal share of its group's time.  All groups run, whatever breaks.
NIGHT ?= 3600
nightly: $(READY)
	@mkdir -p build; status=0; for group in formats kernels sessions; do \
	  $(BIN)/bitparity fuzz $$group --examples 1000000 --seed $$(date +%Y%m%d) --time-limit $(NIGHT) \
	    --json build/nightly-$$group.json || status=$$?; \
	done; $(BIN)/python -m pytest -q $(REQUIRED) --hypothesis-profile nightly $$(grep -rl "^@given" tests) || status=$$?; \
	$(MAKE) sanitize || status=$$?; \
	exit $$status

# GCC on Linux.  Each sanitizer has a build of its own and Python gets its library first, as every program must;
# -S keeps the editable installation out.  Leaks are not looked for: Python itself keeps much to its end.
# Tests that run references or other CPUs are left out: they are not what was built here.
SANITIZED := $(addprefix sanitize-,address thread)
sanitize-address: LIBRARY := libasan.so
sanitize-thread: LIBRARY := libtsan.so
sanitize-address: TESTS := $(filter-out %/test_exact.py %/test_other_cpus.py,$(wildcard tests/native/test_*.py))
sanitize-thread: TESTS := $(addprefix tests/native/test_,sanitizers.py thread_pool.py session.py tap.py)

.PHONY: $(SANITIZED)
sanitize: $(SANITIZED)

$(SANITIZED): sanitize-%: $(READY)
	CXX=g++ $(PIP) install -q --no-build-isolation --no-deps --upgrade --target build/sanitize/$*/packages \
	  -C build-dir=build/sanitize/$*/cmake -C cmake.define.BITPARITY_SANITIZE=$* -C install.strip=false .
	packages=$$($(BIN)/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))'); \
	PYTHONPATH=$(CURDIR)/build/sanitize/$*/packages:$$packages \
	  LD_PRELOAD="$$(g++ -print-file-name=$(LIBRARY)) $$(g++ -print-file-name=libstdc++.so)" \
	  ASAN_OPTIONS=detect_leaks=0 UBSAN_OPTIONS=print_stacktrace=1 TSAN_OPTIONS=halt_on_error=1 \
	  $(BIN)/python -S -m pytest -q --capture=sys -p no:cacheprovider $(TESTS)

# Without build isolation the compiler sees the same paths each time, and only what changed is compiled.
$(READY): $(VENV)/tools $(VENV)/modules $(INSTALLED)
	$(PIP) install --no-build-isolation --editable '.[llama-cpp,sweep,report,lint,docs]'
	@touch $@

$(VENV)/tools:
	@$(PYTHON) -c 'import sys; v = sys.version_info; sys.exit(None if v >= (3, 11) else f"Python 3.11 or newer is \
	needed, $(PYTHON) is {v.major}.{v.minor}; say for example: make PYTHON=python3.12")'
	$(PYTHON) -m venv $(VENV)
	$(PIP) install cmake ninja pybind11 'scikit-build-core>=0.10'
	@touch $@

$(VENV)/modules: $(VENV)/tools always
	@find harness native reference -name '*.py' | sort > $@.now; cmp -s $@.now $@ || cp $@.now $@

clean:
	rm -rf $(VENV) build .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
