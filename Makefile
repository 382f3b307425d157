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
RELEASE := $(or $(CARGO_TARGET_DIR),target)/release
PREFIX  ?= /usr/local
libdir   = $(or $(LIBDIR),$(PREFIX)/lib)
# Packages find their files from where they themselves lie, so an installed tree can be moved.
prefix_from = $(shell realpath -ms --relative-to=$(1) $(PREFIX))
fill_in  = sed -e 's|@VERSION@|$(VERSION)|g' -e 's|@ABI@|$(ABI)|g' \
	-e 's|@PREFIX_FROM_PC@|$(call prefix_from,$(libdir)/pkgconfig)|' \
	-e 's|@PREFIX_FROM_CMAKE@|$(call prefix_from,$(libdir)/cmake/chunked_upload)|'

build: ## the C library, release: target/release/libchunked_upload.{so,a}
	$(CARGO) build --release --locked

install: ## after build: library, headers, pkg-config, CMake; PREFIX= DESTDIR= LIBDIR=
	install -d $(addprefix $(DESTDIR),$(PREFIX)/include $(PREFIX)/share/chunked_upload $(libdir)/pkgconfig $(libdir)/cmake/chunked_upload)
	install -m 644 include/chunked_upload.h include/chunked_upload.hpp $(DESTDIR)$(PREFIX)/include
	install -m 644 bindings/c/abi/abi.json $(DESTDIR)$(PREFIX)/share/chunked_upload
	install -m 644 $(RELEASE)/libchunked_upload.a $(DESTDIR)$(libdir)
	install -m 755 $(RELEASE)/libchunked_upload.so $(DESTDIR)$(libdir)/libchunked_upload.so.$(VERSION)
	ln -sf libchunked_upload.so.$(VERSION) $(DESTDIR)$(libdir)/libchunked_upload.so.$(ABI)
	ln -sf libchunked_upload.so.$(ABI) $(DESTDIR)$(libdir)/libchunked_upload.so
	$(fill_in) bindings/c/pkg/chunked_upload.pc.in > $(DESTDIR)$(libdir)/pkgconfig/chunked_upload.pc
	for file in config config-version; do $(fill_in) bindings/c/pkg/chunked_upload-$$file.cmake.in \
		> $(DESTDIR)$(libdir)/cmake/chunked_upload/chunked_upload-$$file.cmake || exit; done

header: ## write include/chunked_upload.h and bindings/c/abi/abi.json anew from bindings/c/src
	BLESS=1 $(CARGO) test --locked -p chunked-upload-c --test header

valgrind: ## the C and C++ test programs under valgrind
	UPLOAD_TEST_RUNNER=valgrind $(CARGO) test --locked -p chunked-upload-c --test programs

.PHONY: help build install header valgrind
