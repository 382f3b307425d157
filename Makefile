# `make` alone lists the targets. Needs Rust, a C/C++ compiler, make and, for demo, test and check, Python >= 3.11.

PYTHON ?= python3
CARGO  ?= cargo
VENV   := .venv
BIN    := $(VENV)/bin

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

# --- the library for C and C++ -----------------------------------------------------------------------------------

VERSION := $(shell sed -n 's/^version = "\(.*\)"$$/\1/p' Cargo.toml)
ABI     := $(shell sed -n 's/^const ABI: u32 = \(.*\);$$/\1/p' bindings/c/build.rs)
TARGET  := $(or $(CARGO_TARGET_DIR),target)
RELEASE := $(TARGET)/$(if $(CARGO_BUILD_TARGET),$(CARGO_BUILD_TARGET)/)release
ARCHIVE := $(RELEASE)/static/libchunked_upload.a
OBJCOPY ?= objcopy
PREFIX  ?= /usr/local
libdir   = $(or $(LIBDIR),$(PREFIX)/lib)
absolute = $(if $(filter /%,$(PREFIX)),,$(error PREFIX=$(PREFIX) is not an absolute path))
# Packages find their files from where they themselves lie, so an installed tree can be moved.
prefix_from = $(shell realpath -ms --relative-to=$(1) $(PREFIX))
fill_in  = sed -e 's|@VERSION@|$(VERSION)|g' -e 's|@ABI@|$(ABI)|g' \
	-e 's|@PREFIX_FROM_PC@|$(call prefix_from,$(libdir)/pkgconfig)|' \
	-e 's|@PREFIX_FROM_CMAKE@|$(call prefix_from,$(libdir)/cmake/chunked_upload)|'

build: ## the C library, release: target/release/libchunked_upload.so, target/release/static/libchunked_upload.a
	$(CARGO) build --release --locked
	$(MAKE) --no-print-directory $(ARCHIVE)

# rustc's archive holds a whole Rust standard library: two of them cannot be linked into one program. In this archive
# only the functions of the header are global, and it holds nothing that they do not use. --force-group-allocation: a
# local symbol cannot name a section group.
$(ARCHIVE): $(RELEASE)/libchunked_upload.a bindings/c/abi/symbols.txt
	rm -rf $(@D) && install -d $(@D)
	sed '/^#/d; s/ .*//' bindings/c/abi/symbols.txt >$(@D)/symbols
	$(LD) -r --gc-sections --force-group-allocation $$(sed 's/^/--require-defined=/' $(@D)/symbols) -o $(@D)/whole.o $<
	$(OBJCOPY) --keep-global-symbols=$(@D)/symbols --strip-debug --remove-section=.llvmbc --remove-section=.llvmcmd \
		$(@D)/whole.o $(@D)/chunked_upload.o
	$(AR) rcs $@ $(@D)/chunked_upload.o
	rm $(@D)/whole.o $(@D)/chunked_upload.o

$(RELEASE)/libchunked_upload.a $(RELEASE)/libchunked_upload.so:
	$(error $@ is missing: run `make build` first)

# All that is needed is there, or nothing is written.
install: include/chunked_upload.h include/chunked_upload.hpp bindings/c/abi/abi.json bindings/c/pkg/chunked_upload.pc.in
install: $(addprefix bindings/c/pkg/chunked_upload-config,.cmake.in -version.cmake.in)
install: $(RELEASE)/libchunked_upload.so $(ARCHIVE)
install: ## after build: library, headers, pkg-config, CMake; PREFIX= DESTDIR= LIBDIR=
	$(absolute)
	install -d $(addprefix $(DESTDIR),$(PREFIX)/include $(PREFIX)/share/chunked_upload $(libdir)/pkgconfig $(libdir)/cmake/chunked_upload)
	install -m 644 include/chunked_upload.h include/chunked_upload.hpp $(DESTDIR)$(PREFIX)/include
	install -m 644 bindings/c/abi/abi.json $(DESTDIR)$(PREFIX)/share/chunked_upload
	install -m 644 $(ARCHIVE) $(DESTDIR)$(libdir)
	install -m 755 $(RELEASE)/libchunked_upload.so $(DESTDIR)$(libdir)/libchunked_upload.so.$(VERSION)
	ln -sf libchunked_upload.so.$(VERSION) $(DESTDIR)$(libdir)/libchunked_upload.so.$(ABI)
	ln -sf libchunked_upload.so.$(ABI) $(DESTDIR)$(libdir)/libchunked_upload.so
	$(fill_in) bindings/c/pkg/chunked_upload.pc.in | \
		install -m 644 /dev/stdin $(DESTDIR)$(libdir)/pkgconfig/chunked_upload.pc
	for file in config config-version; do $(fill_in) bindings/c/pkg/chunked_upload-$$file.cmake.in | \
		install -m 644 /dev/stdin $(DESTDIR)$(libdir)/cmake/chunked_upload/chunked_upload-$$file.cmake || exit; done

uninstall: ## remove what install wrote, with the same PREFIX= DESTDIR= LIBDIR=
	$(absolute)
	rm -f $(addprefix $(DESTDIR)$(PREFIX)/include/chunked_upload.,h hpp) $(DESTDIR)$(PREFIX)/share/chunked_upload/abi.json
	rm -f $(addprefix $(DESTDIR)$(libdir)/libchunked_upload.,a so so.$(ABI) so.$(VERSION))
	rm -f $(DESTDIR)$(libdir)/pkgconfig/chunked_upload.pc
	rm -f $(addprefix $(DESTDIR)$(libdir)/cmake/chunked_upload/chunked_upload-config,.cmake -version.cmake)
	for directory in $(PREFIX)/share/chunked_upload $(libdir)/cmake/chunked_upload; do \
		test ! -d $(DESTDIR)$$directory || rmdir --ignore-fail-on-non-empty $(DESTDIR)$$directory || exit; done

header: ## write include/chunked_upload.h and bindings/c/abi/abi.json from bindings/c/src
	BLESS=1 $(CARGO) test --locked -p chunked-upload-c --test header

abi: ## the C ABI against that of released versions; needs abidw (abigail-tools)
	$(CARGO) test --locked -p chunked-upload-c --test abi -- --include-ignored

# --- Python ------------------------------------------------------------------------------------------------------

# Of the venv alone: a PYTHONPATH would put other packages before the installed ones.
unexport PYTHONPATH PYTHONHOME

WHEEL_SOURCES := Cargo.toml Cargo.lock $(shell find src bindings/python -path bindings/python/tests -prune -o \
	-name .hypothesis -prune -o -name __pycache__ -prune -o -type f -print)

$(VENV)/.made: requirements-dev.txt
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "PYTHON=$(PYTHON) is older than 3.11")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet -r requirements-dev.txt
	touch $@

$(VENV)/.wheel: $(VENV)/.made $(WHEEL_SOURCES)
	rm -rf build/wheels
	$(BIN)/python -m maturin build --release --locked --quiet -m bindings/python/Cargo.toml -i $(BIN)/python \
		-o build/wheels
	$(BIN)/python -m pip install --quiet --no-deps --force-reinstall build/wheels/*.whl
	touch $@

wheel: $(VENV)/.wheel ## the Python package: build/wheels/*.whl, installed into .venv

demo: $(VENV)/.wheel ## send FILE= (a large one is made when left out) over HTTP, in pieces, and compare
	$(BIN)/python demo/demo.py $${FILE:+"$$FILE"}

# Tests need a place for temporary files where all levels of durability are allowed.
export TMPDIR := $(shell tests/tmpdir)

# --- all of it ---------------------------------------------------------------------------------------------------

test: export UPLOAD_SKIPPED := $(CURDIR)/build/skipped
test: ## all tests, the Python ones against the installed wheel; names at the end those that could not run here
	@install -d build && : >$$UPLOAD_SKIPPED
	@$(MAKE) --no-print-directory test-rust test-c test-python test-gws
	@tests/skipped.sh

test-rust: ## the engine's tests
	$(CARGO) test --locked -p chunked-upload --features test-hooks
	tests/hidden.sh

test-kernels: ## the engine's tests and the C programs under Linux 5.10 and 6.1, in QEMU; needs Debian, root at first
	tests/kernels.sh

test-c: $(VENV)/.made ## the C library's tests; CMake and pkg-config come from .venv
	PATH="$(abspath $(BIN)):$$PATH" $(CARGO) test --locked -p chunked-upload-c

test-python: $(VENV)/.wheel ## the Python package's tests
	$(BIN)/python -m pytest -q bindings/python

storm: $(VENV)/.wheel ## a long storm of kills: KILLS= SEED=
	mkdir -p build
	dir=$$(TMPDIR=build tests/tmpdir)/chunked-upload-storm && rm -rf $$dir && mkdir $$dir && \
		$(BIN)/python bindings/python/tests/storm.py $$dir --kills $(or $(KILLS),20000) --seed $(or $(SEED),1)

storm-thin: $(VENV)/.wheel ## the same, as root, on an ext4 whose disk runs out again and again
	rm -rf build/storm-thin && mkdir -p build/storm-thin
	$(BIN)/python bindings/python/tests/thin_storm.py build/storm-thin --kills $(or $(KILLS),2000) --seed $(or $(SEED),1)

power-cuts: ## cut the power often, as root: of real file systems, and between system calls; ROUNDS= SEED=
	UPLOAD_SKIP_NOTHING=1 UPLOAD_ROUNDS=$(or $(ROUNDS),30) UPLOAD_SEED=$(or $(SEED),1) \
		$(CARGO) test --locked -p chunked-upload --features test-hooks --test crashes -- --nocapture \
		power_cuts:: crash_points::

test-gws: $(VENV)/.wheel ## the GWS plugin's tests; GWS_APP_DIR=.../app runs them in a real GWS
	$(BIN)/python -m pytest -q -p no:cacheprovider --ignore=bindings/gws/tests/test_uwsgi.py bindings/gws/tests

asan: ## C, C++ and Rust tests under AddressSanitizer, which must find planted faults
	tests/watched.sh $@

tsan: ## the same under ThreadSanitizer, as far as there are threads
	tests/watched.sh $@

valgrind: ## the same under valgrind, but for Rust tests it cannot run or takes minutes for
	tests/watched.sh $@

format: $(VENV)/.made ## write all sources as `check` wants them
	$(CARGO) fmt --all
	$(BIN)/python -m ruff check --fix --quiet . && $(BIN)/python -m ruff format .

check: $(VENV)/.wheel ## formats, lints, types and the Rust documentation
	$(CARGO) fmt --all --check
	RUSTDOCFLAGS='-D warnings' $(CARGO) doc --locked --no-deps -p chunked-upload
	PYO3_BUILD_EXTENSION_MODULE=1 $(CARGO) clippy --locked --workspace --all-targets --all-features -- -D warnings
	$(CARGO) check --locked --manifest-path fuzz/Cargo.toml --target-dir $(TARGET)/fuzz
	$(BIN)/python -m ruff check . && $(BIN)/python -m ruff format --check .
	$(BIN)/python -m mypy.stubtest chunked_upload
	$(BIN)/python -m mypy --config-file bindings/python/pyproject.toml bindings/python/tests demo tests/ctypes tests/python
	$(BIN)/python -m mypy --config-file bindings/python/pyproject.toml bindings/python/python
	$(BIN)/python -m mypy --config-file bindings/python/pyproject.toml benches/http

# In this order: small makes thousands of files, and what was just deleted on ext4 slows that down.
BENCHES := small receive get costs parallel concatenate crowded

bench: build $(VENV)/.wheel ## how fast all is, beside plain ways, into build/bench: BENCH= DIRECTORY= ROUNDS= MIB= GIB=
	for bench in $(or $(BENCH),$(BENCHES)); do $(CARGO) bench --locked -p chunked-upload --bench $$bench || exit; done

bench-smoke: ## each bench for a moment, to see that it works
	$(MAKE) bench BENCH_SMOKE=1

bench-compare: ## a bench of another revision and of this tree, in turn: BASE= BENCH= RUNS=
	$(PYTHON) benches/compare.py $(BASE) --bench $(or $(BENCH),receive) --runs $(or $(RUNS),3)

bench-plots: ## docs/performance/*.svg from build/bench/*.json
	$(PYTHON) -m venv build/bench/venv
	build/bench/venv/bin/python -m pip install --quiet -r benches/requirements-bench.txt
	build/bench/venv/bin/python benches/plot.py

bench-http: $(VENV)/.wheel ## our server beside others over HTTP, some of which need Node >= 20; ARGS=--smoke: a quick look
	$(BIN)/python benches/http/compare.py $(ARGS)

test-uwsgi: $(VENV)/.wheel ## the GWS plugin under a real uWSGI, which is built first
	$(BIN)/python -m pip install --quiet -r bindings/gws/requirements-uwsgi.txt
	$(BIN)/python -m pytest -q -p no:cacheprovider bindings/gws/tests/test_uwsgi.py

test-ts: ## the client for GWS's front end; needs Node >= 20 and npm
	install -d build/ts && cp bindings/gws/tests/package.json build/ts
	npm install --silent --prefix build/ts
	build/ts/node_modules/.bin/tsc -p bindings/gws/tests --typeRoots build/ts/node_modules/@types --outDir build/ts/out
	node --test build/ts/out/tests/upload.test.js

fuzz: ## hostile bytes, FUZZ_SECONDS= for each target; needs a nightly Rust and cargo-fuzz
	for target in state request texts c_calls; do mkdir -p fuzz/corpus/$$target && \
		$(CARGO) +nightly fuzz run --fuzz-dir fuzz $$target fuzz/corpus/$$target tests/corpus/$$target -- \
		-max_total_time=$(or $(FUZZ_SECONDS),600) -max_len=1024 -timeout=30 -dict=fuzz/words.dict || exit; done

dist: ## the packages of a release, into build/dist; see packaging/README.md
	PYTHON=$(PYTHON) packaging/dist.sh

clean: ## remove what was built
	rm -rf target build $(VENV)

.PHONY: test-kernels fuzz storm storm-thin power-cuts wheel demo test test-rust test-c test-python test-gws test-uwsgi test-ts
.PHONY: check clean dist
.PHONY: help build install uninstall header asan tsan valgrind abi bench bench-smoke bench-compare bench-plots bench-http
