# Micro's front door. `make` prints what there is; `make run` and `make test` need nothing but Swift,
# git and make: what else is missing is installed first, with apt-get on Debian and Ubuntu.
#
#     make run              the quickstart: services that find each other, call, publish and store
#     make test             everything that has to pass
#     make c-test JOBS=8    more compilers at once (2 without it)
#     make test-one NAME=retries    the Swift tests whose name contains "retries"
#
# Nothing is written outside .build and .venv; `make clean` removes both.

JOBS ?= 2
SHELL := /bin/bash
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

PYTHON     := .venv/bin/python
QUICKSTART := --package-path Examples/quickstart --scratch-path .build/quickstart -c release

# Built by their names: `swift build` alone builds the tools of the plugins of all packages too, and
# one of swift-protobuf's is protoc, ten minutes of C++ that nothing here uses.
TOOLS       := chat microctl micro-interop protoc-gen-micro-swift
SWIFT_TESTS := microPackageTests

# $(call build,PRODUCTS[,OPTIONS])
build = for product in $(1); do \
            swift build -j $(JOBS) $(2) --product $$product || exit; \
        done

# `swift run` builds what it runs alone, and that starts the others.
build_quickstart = $(call build,frontdoor greeter quickstart,$(QUICKSTART))

# What the integration tests start as processes of their own.
export MICRO_TEST_BIN        := $(CURDIR)/.build/debug
export MICRO_TEST_QUICKSTART := $(CURDIR)/.build/quickstart/release
export MICRO_TEST_PYTHON     := $(CURDIR)/$(PYTHON)

.PHONY: help
help: ## print this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "  make %-15s %s\n", $$1, $$2}' $(firstword $(MAKEFILE_LIST))

##### Set-up ######################################################################################

.PHONY: deps core-deps test-deps

deps: ## install the system packages that a build needs, if any is missing
	@Scripts/deps.sh build

core-deps: # of the C core alone, which needs no Swift
	@Scripts/deps.sh core

test-deps: deps ## the same for the tests, and a Python environment in .venv
	@Scripts/deps.sh test
	@$(MAKE) .venv/ready

# A gRPC and an HTTP/2 implementation that we did not write, for the integration tests.
.venv/ready: Scripts/requirements.txt
	rm -rf .venv
	python3 -m venv .venv
	$(PYTHON) -m pip install --quiet --disable-pip-version-check --requirement $<
	@touch $@

##### Build and run ###############################################################################

.PHONY: build run demo bench bench-micro soak measure

build: deps ## build the libraries and the tools
	$(call build,$(TOOLS))

run: deps ## build and run the quickstart, until Ctrl-C
	$(build_quickstart)
	swift run --skip-build $(QUICKSTART) quickstart

demo: deps ## build the quickstart, show each system once, and end
	$(build_quickstart)
	swift run --skip-build $(QUICKSTART) quickstart demo

# It installs and builds what it needs, and says what it can't get.
bench: deps ## compare with gRPC C++, gRPC Go, gRPC Swift and the limits (QUICK=1: 5 minutes)
	python3 -B bench/run.py $(if $(QUICK),--quick) $(BENCH_OPTIONS)

bench-micro: deps ## instructions and allocations of the C core, against bench/micro/thresholds.json
	@Scripts/deps.sh valgrind
	python3 -B bench/micro/run.py

# Where calls and streams come and go for a while, and what that leaves behind.
SECONDS := 120
SOAK    := --package-path bench --scratch-path .build/bench -c release -j $(JOBS) soak

soak: deps ## serve traffic for SECONDS=120, and print what memory and descriptors do meanwhile
	swift run $(SOAK) soak $(SECONDS)

measure: deps ## CPU per message of calls and streams, plain and TLS; what many of them leave behind
	swift run $(SOAK) measure

##### The core as a C library #####################################################################
#
#     make install PREFIX=/usr/local DESTDIR=/tmp/package
#
# CC, CPPFLAGS, CFLAGS and LDFLAGS are a packager's; LIBDIR and INCLUDEDIR are where PREFIX says,
# unless they are given. How it is built stands at the end of this file.

.PHONY: lib install uninstall

PREFIX     ?= /usr/local
LIBDIR     := $(PREFIX)/lib
INCLUDEDIR := $(PREFIX)/include

lib: core-deps ## build the C library, static and shared, in .build/lib
	@$(MAKE) -j $(JOBS) --output-sync=target c-lib

install: lib ## install it, its headers and mcore.pc below PREFIX=/usr/local
	install -d $(LIB_FOLDERS:%='$(DESTDIR)%')
	install -m 644 include/mcore/*.h '$(DESTDIR)$(INCLUDEDIR)/mcore'
	install -m 644 .build/lib/libmcore.a .build/lib/$(LIB_FILE) '$(DESTDIR)$(LIBDIR)'
	$(foreach link,$(LIB_LINKS),ln -sf $(LIB_FILE) '$(DESTDIR)$(LIBDIR)/$(link)';)
	sed $(LIB_VALUES) Scripts/mcore.pc.in >'$(DESTDIR)$(LIBDIR)/pkgconfig/mcore.pc'
	chmod 644 '$(DESTDIR)$(LIBDIR)/pkgconfig/mcore.pc'

uninstall: ## remove what `make install` has installed, with the same PREFIX
	rm -f $(LIB_INSTALLED:%='$(DESTDIR)%')
	-rmdir '$(DESTDIR)$(INCLUDEDIR)/mcore'

##### Tests #######################################################################################

.PHONY: test tidy c-headers c-test plugins install-test c-tsan c-valgrind fuzz fuzz-merge swift-test test-one integration faults readme asan tsan

# One after the other, also under `make -j`, and the cheap ones first.
test: ## all that has to pass: tidy, c-test, plugins, install-test, bench-micro, swift-test, check-generated, integration
	@$(MAKE) test-deps
	@$(MAKE) tidy
	@$(MAKE) c-test
	@$(MAKE) plugins
	@$(MAKE) install-test
	@$(MAKE) bench-micro
	@$(MAKE) swift-test
	@$(MAKE) check-generated
	@$(MAKE) integration

tidy: ## check what compilers do not: layers, banned calls, sizes (Scripts/tidy.py)
	python3 -B Scripts/test_tidy.py
	cd bench && python3 -B -m unittest -q suite.test_figures suite.test_parsing
	python3 -B Scripts/powers_of_ten.py --check
	python3 -B Scripts/tidy.py

c-test: deps ## the C core under AddressSanitizer and UndefinedBehaviorSanitizer
	@$(MAKE) c-headers
	@$(MAKE) -j $(JOBS) --output-sync=target c-asan-programs
	python3 -B Scripts/tidy.py --symbols .build/c/asan
	Scripts/run_c_tests.sh $(call programs,asan,$(C_TESTS)) $(FUZZ_REPLAY)

install-test: deps ## install the C library into a folder, use it from there, and remove it
	JOBS=$(JOBS) Scripts/test_install.sh

PLUGIN_KIT := Examples/plugin-kit/.build/plugin_kit

plugins: core-deps ## the conformance kit on the example plugins, and on those that are bad on purpose
	@$(MAKE) -s -j $(JOBS) --output-sync=target -C Examples/plugin-kit CC="$(C_CC)"
	python3 -B Scripts/tidy.py --symbols Examples/plugin-kit/.build
	python3 -B Scripts/run_plugin_kit.py --kit $(PLUGIN_KIT) --build .build/plugins --cc "$(C_CC)" \
	    --jobs $(JOBS)

c-tsan: deps ## the C tests that start threads, under ThreadSanitizer
	@$(MAKE) -j $(JOBS) --output-sync=target c-tsan-programs
	Scripts/run_c_tests.sh $(call programs,tsan,$(C_THREAD_TESTS))

c-valgrind: deps ## the C tests, built plain, under valgrind
	@Scripts/deps.sh valgrind
	@$(MAKE) -j $(JOBS) --output-sync=target c-plain-programs
	SLOW_TIMES=30 RUNNER="valgrind --fair-sched=yes --quiet --error-exitcode=1 --leak-check=full" \
	    Scripts/run_c_tests.sh $(call programs,plain,$(C_TESTS))

# TARGET=json chooses some; docs/testing.md says what is looked for. What a run has found is there
# for the next one, until `make clean`.
FUZZ = python3 -B Scripts/fuzz.py --programs .build/c/fuzz/Tests/Fuzz --jobs $(JOBS)

fuzz: deps ## feed the decoders of the C core with what nobody would send, for SECONDS=120 in all
	@$(MAKE) -j $(JOBS) --output-sync=target c-fuzz-programs
	$(FUZZ) --seconds $(SECONDS) $(TARGET)

fuzz-merge: deps ## take what `make fuzz` has found into the inputs that are kept (Tests/Fuzz/corpus)
	@$(MAKE) -j $(JOBS) --output-sync=target c-fuzz-programs
	$(FUZZ) --merge $(TARGET)

# The simulations compute for a minute: beside them the tests with real time would see a machine
# that is busy with something else.
swift-test: deps ## the Swift tests that need no process but their own
	$(call build,$(SWIFT_TESTS))
	swift test --skip-build --skip '^IntegrationTests\.' --skip 'SimulationTests'
	swift test --skip-build --filter 'SimulationTests'

test-one: deps ## the Swift tests whose name contains NAME
	@test -n "$(NAME)" || { echo 'say which: make test-one NAME=retries'; exit 2; }
	$(call build,$(TOOLS) $(SWIFT_TESTS))
	swift test --skip-build --filter '$(NAME)'

integration: test-deps ## the Swift tests that start services, curl, nghttp and gRPC clients
	$(call build,$(TOOLS) $(SWIFT_TESTS))
	$(build_quickstart)
	swift test --skip-build --filter '^IntegrationTests\.'

# What the unit tests show in virtual time, with real processes. It takes 5 minutes, and wants the
# machine for itself.
FAULTS := --package-path Tests/Faults --scratch-path .build/faults -c release -j $(JOBS) --product faults

faults: deps ## kill, stall, cut off and overload real processes, and look whether callers notice
	@Scripts/deps.sh faults
	swift build $(FAULTS)
	python3 -B Tests/Faults/run.py --program .build/faults/release/faults $(FAULTS_OPTIONS)

readme: test-deps ## run every command and compile every file that README.md shows
	python3 -B Scripts/test_readme.py
	python3 -B Scripts/readme.py README.md

# The runner of the Swift tests leaks a little itself: leaks are looked for by c-test.
asan: test-deps ## the Swift tests under AddressSanitizer
	$(build_quickstart)
	$(call build,$(TOOLS) $(SWIFT_TESTS),--sanitize=address --scratch-path .build/asan)
	ASAN_OPTIONS=detect_leaks=0 MICRO_TEST_BIN=$(CURDIR)/.build/asan/debug \
	    swift test --skip-build --sanitize=address --scratch-path .build/asan

tsan: test-deps ## the Swift tests under ThreadSanitizer
	$(build_quickstart)
	$(call build,$(TOOLS) $(SWIFT_TESTS),--sanitize=thread --scratch-path .build/tsan)
	MICRO_TEST_BIN=$(CURDIR)/.build/tsan/debug \
	    swift test --skip-build --sanitize=thread --scratch-path .build/tsan

##### Generated code ##############################################################################

.PHONY: generate check-generated protoc-plugins

generate: protoc-plugins ## write the Swift code of the .proto files anew
	Scripts/generate.sh

check-generated: protoc-plugins ## check that it is what `make generate` would write
	Scripts/generate.sh --check

protoc-plugins:
	@Scripts/deps.sh test
	$(call build,protoc-gen-swift protoc-gen-micro-swift)

##### Habits ######################################################################################

.PHONY: format lint clean

SWIFT_FILES := Package.swift $(wildcard Sources Tests Examples bench)
C_FILES      = $(shell find include Sources/CMicroCore Sources/TransportKit Sources/ZstdCoding \
                   Tests/CMicroCore Tests/Fuzz \
                   Tests/TransportKit Examples bench \( -name '*.[ch]' -o -name '*.[ch]pp' \) \
                   -not -path '*/.build/*')

format: ## format Swift, and C where clang-format is installed
	swift format format --in-place --parallel --recursive $(SWIFT_FILES)
	@if command -v clang-format >/dev/null; then clang-format -i $(C_FILES); \
	else echo 'clang-format is not installed: the C files were left as they are'; fi

lint: ## report what `make format` would change, and what tidy finds
	python3 -B Scripts/tidy.py
	swift format lint --strict --parallel --recursive $(SWIFT_FILES)
	@if command -v clang-format >/dev/null; then clang-format --dry-run --Werror $(C_FILES); \
	else echo 'clang-format is not installed: the C files were not checked'; fi

clean: ## remove all that was built
	rm -rf .build .venv Examples/*/.build bench/.build

##### How the C core is built #####################################################################
#
# SwiftPM has no UndefinedBehaviorSanitizer, so the C core is built here a second time. Each
# Tests/CMicroCore/*_test.c is a program, linked with what it needs of the core. A variant is a set
# of flags and a folder, .build/c/<variant>; objects are rebuilt when a header or this file changes.
# The variant "lib" is the C library.

# The clang that comes with Swift; without it gcc, whose warnings are not errors.
SWIFT_DIR := $(dir $(shell readlink -f "$$(command -v swift)" 2>/dev/null))
CLANG     := $(firstword $(wildcard $(SWIFT_DIR)clang) $(shell command -v clang))
C_CC      := $(or $(CLANG),gcc)

C_LIBRARIES = libuv libnghttp2 openssl sqlite3 zlib
C_FLAGS     = -std=c11 -Wall -Wextra -Wpedantic \
              -Iinclude -ISources/CMicroCore $(shell pkg-config --cflags $(C_LIBRARIES))
C_LINK      = $(shell pkg-config --libs $(C_LIBRARIES)) -lpthread -ldl
# What the tests need besides: the coding that the core does without.
C_LINK_TEST = $(shell pkg-config --libs libzstd)

# Swift's own linker: GNU gold writes hundreds of warnings about the sanitizers' symbols.
C_LINKER := $(and $(filter $(SWIFT_DIR)clang,$(C_CC)),$(wildcard $(SWIFT_DIR)ld.lld),-fuse-ld=lld)

C_FLAGS_test  := -O1 -g -fno-omit-frame-pointer $(if $(CLANG),-Werror)
C_FLAGS_asan  := $(C_FLAGS_test) -fsanitize=address,undefined -fno-sanitize-recover=undefined
C_FLAGS_tsan  := $(C_FLAGS_test) -fsanitize=thread
C_FLAGS_plain := $(C_FLAGS_test) -gdwarf-4

# The ThreadSanitizer of Swift's clang knows libdispatch, and wants it linked.
SWIFT_LIB   := $(and $(CLANG),$(wildcard $(SWIFT_DIR)../lib/swift/linux))
C_LINK_tsan := $(if $(SWIFT_LIB),-L$(SWIFT_LIB) -Xlinker -rpath -Xlinker $(SWIFT_LIB) \
                   -ldispatch -lBlocksRuntime)

C_TESTS        := $(sort $(wildcard Tests/CMicroCore/*_test.c))
C_THREAD_TESTS := $(wildcard $(foreach name,limiter loop server tls_rpc guard net,Tests/CMicroCore/$(name)_test.c))
C_CORE         := $(shell find Sources/CMicroCore -name '*.c' | sort)
C_KIT          := $(sort $(wildcard Sources/TransportKit/*.c))
C_ZSTD         := $(sort $(wildcard Sources/ZstdCoding/*.c))
C_FUZZ         := $(sort $(wildcard Tests/Fuzz/*.c))
C_SOURCES      := $(C_CORE) $(C_KIT) $(C_ZSTD) $(filter-out $(C_TESTS),$(wildcard Tests/CMicroCore/*.c))

programs = $(patsubst %.c,.build/c/$(1)/%,$(2))

# $(call C_OBJECTS,VARIANT,COMPILER,SOURCES)
define C_OBJECTS
.build/c/$(1)/%.o: %.c Makefile
	@mkdir -p $$(@D)
	@echo "cc ($(1)) $$<"
	@$(2) $$(C_FLAGS) $$(if $$(filter Tests/%,$$<),-D_GNU_SOURCE) \
	    $$(if $$(filter $(C_TESTS) $(C_KIT),$$<),-ISources/TransportKit/include) \
	    $$(if $$(filter $(C_TESTS) $(C_ZSTD) $(C_FUZZ),$$<),-ISources/ZstdCoding/include) $$(C_FLAGS_$(1)) -MMD -MP -c $$< -o $$@

-include $(patsubst %.c,.build/c/$(1)/%.d,$(3))
endef

# $(call C_VARIANT,VARIANT,TESTS)
define C_VARIANT
$(call C_OBJECTS,$(1),$(C_CC),$(C_SOURCES) $(C_TESTS) $(C_FUZZ))

.PHONY: c-$(1)-programs
c-$(1)-programs: $(call programs,$(1),$(2))

.build/c/$(1)/core.a: $(C_SOURCES:%.c=.build/c/$(1)/%.o)
	@rm -f $$@
	@ar rcs $$@ $$(filter %.o,$$^)

.build/c/$(1)/%_test: .build/c/$(1)/%_test.o .build/c/$(1)/core.a
	@$(C_CC) $$(C_FLAGS_$(1)) $$^ $$(C_LINK) $$(C_LINK_TEST) $$(C_LINKER) $$(C_LINK_$(1)) -o $$@
endef

.SECONDARY:
$(eval $(call C_VARIANT,asan,$(C_TESTS)))
$(eval $(call C_VARIANT,tsan,$(C_THREAD_TESTS)))
$(eval $(call C_VARIANT,plain,$(C_TESTS)))

# -- the fuzz targets

# Each Tests/Fuzz/*_fuzz.c is a program with libFuzzer, which comes with clang. Without it all of
# them together are one, which runs the inputs that are kept.
FUZZ_TARGETS := $(filter %_fuzz.c,$(C_FUZZ))
FUZZ_KIT     := $(filter-out %_fuzz.c %/replay.c,$(C_FUZZ))
FUZZ_REPLAY  := .build/c/asan/Tests/Fuzz/replay
# The folders with decoders, and what they stand on.
FUZZ_CORE    := $(filter $(patsubst %,Sources/CMicroCore/%/%,base codec dns frame hash http2 loop \
                    mdns net store),$(C_CORE)) $(C_ZSTD)

C_FLAGS_fuzz := $(C_FLAGS_asan) -O2 -fsanitize=fuzzer-no-link

$(eval $(call C_OBJECTS,fuzz,$(C_CC),$(FUZZ_CORE) $(C_FUZZ)))

.PHONY: c-fuzz-programs libfuzzer
c-fuzz-programs: $(call programs,fuzz,$(FUZZ_TARGETS))

.build/c/fuzz/core.a: $(FUZZ_CORE:%.c=.build/c/fuzz/%.o) $(FUZZ_KIT:%.c=.build/c/fuzz/%.o)
	@rm -f $@
	@ar rcs $@ $^

.build/c/fuzz/%_fuzz: .build/c/fuzz/%_fuzz.o .build/c/fuzz/core.a
	@$(C_CC) $(C_FLAGS_fuzz) -fsanitize=fuzzer $^ $(C_LINK) $(C_LINK_TEST) $(C_LINKER) -o $@

# Asked of the compiler itself: where it keeps the library is its own affair.
$(FUZZ_CORE:%.c=.build/c/fuzz/%.o) $(C_FUZZ:%.c=.build/c/fuzz/%.o): | libfuzzer
libfuzzer:
	@mkdir -p .build/c/fuzz
	@echo 'int LLVMFuzzerTestOneInput(void *bytes, unsigned long len) { return bytes && !len; }' \
	    | $(C_CC) -x c -fsanitize=fuzzer,address - $(C_LINKER) -o .build/c/fuzz/probe \
	        2>.build/c/fuzz/probe.log \
	    || { tail -n 3 .build/c/fuzz/probe.log; \
	         echo 'make fuzz needs libFuzzer, and $(C_CC) has none: clang has (-fsanitize=fuzzer)'; \
	         exit 1; } >&2

c-asan-programs: $(FUZZ_REPLAY)
$(FUZZ_REPLAY): $(C_FUZZ:%.c=.build/c/asan/%.o) .build/c/asan/core.a
	@$(C_CC) $(C_FLAGS_asan) $^ $(C_LINK) $(C_LINK_TEST) $(C_LINKER) -o $@

# -- the C library

# A release of 0.x may change what programs were compiled against, hence 0.1 in its soname.
mcore_version = $(shell awk '$$2 == "MCORE_VERSION_$(1)" { print $$3 }' include/mcore/version.h)
MAJOR        := $(call mcore_version,MAJOR)
MINOR        := $(call mcore_version,MINOR)
LIB_VERSION  := $(MAJOR).$(MINOR).$(call mcore_version,PATCH)
LIB_FILE     := libmcore.so.$(LIB_VERSION)
LIB_SONAME   := libmcore.so.$(if $(filter 0,$(MAJOR)),0.$(MINOR),$(MAJOR))
LIB_LINKS    := $(LIB_SONAME) libmcore.so
LIB_FOLDERS  := $(INCLUDEDIR)/mcore $(LIBDIR)/pkgconfig
LIB_INSTALLED = $(patsubst include/%,$(INCLUDEDIR)/%,$(wildcard include/mcore/*.h)) \
                $(addprefix $(LIBDIR)/,libmcore.a $(LIB_FILE) $(LIB_LINKS) pkgconfig/mcore.pc)
LIB_VALUES   := -e 's|@PREFIX@|$(PREFIX)|' -e 's|@VERSION@|$(LIB_VERSION)|' \
                -e 's|@LIBDIR@|$(LIBDIR:$(PREFIX)/%=$${prefix}/%)|' \
                -e 's|@INCLUDEDIR@|$(INCLUDEDIR:$(PREFIX)/%=$${prefix}/%)|'

# What stays visible: mcore_… and not mcore__…; a shell pattern to the linker and to objcopy.
LIB_SYMBOLS := mcore_[a-z]*

CFLAGS  ?= -O2 -g
OBJCOPY ?= objcopy

# Sections of their own let a program that is linked statically drop what it does not use. Objects
# for link-time optimisation have no symbols that could be hidden before the program is linked.
C_FLAGS_lib = $(CPPFLAGS) $(CFLAGS) -fPIC -fno-lto -ffunction-sections -fdata-sections \
              -fno-semantic-interposition -ffile-prefix-map=$(CURDIR)=.

$(eval $(call C_OBJECTS,lib,$(CC),$(C_CORE)))

LIB_OBJECTS := $(C_CORE:%.c=.build/c/lib/%.o)
LIB_TOOLS    = $(CC) $(C_FLAGS) $(C_FLAGS_lib) $(LDFLAGS) $(LIB_OBJECTS)

.PHONY: c-lib
c-lib: .build/lib/libmcore.a .build/lib/$(LIB_FILE)

# Changes when a tool, a flag or the list of sources does.
.build/c/lib/tools: export tools = $(LIB_TOOLS)
.build/c/lib/tools: FORCE
	@mkdir -p $(@D)
	@cmp -s - $@ <<<"$$tools" || cat >$@ <<<"$$tools"

.PHONY: FORCE
$(LIB_OBJECTS): .build/c/lib/tools

# One object, so that what its parts call of each other can be hidden from the program.
.build/lib/libmcore.a: $(LIB_OBJECTS) .build/c/lib/tools
	@mkdir -p $(@D)
	@$(LD) -r $(LIB_OBJECTS) -o $(@D)/mcore.o
	@$(OBJCOPY) --wildcard --keep-global-symbol='$(LIB_SYMBOLS)' $(@D)/mcore.o
	@rm -f $@
	@$(AR) rcsD $@ $(@D)/mcore.o
	@echo $@

.build/lib/$(LIB_FILE): $(LIB_OBJECTS) .build/c/lib/tools
	@mkdir -p $(@D)
	@echo '{ global: $(LIB_SYMBOLS); local: *; };' >$(@D)/mcore.map
	@$(CC) $(CFLAGS) -fno-lto -shared -Wl,-soname,$(LIB_SONAME) -Wl,--version-script,$(@D)/mcore.map \
	    -Wl,-Bsymbolic-functions -Wl,-z,defs $(LDFLAGS) $(LIB_OBJECTS) $(C_LINK) -o $@
	@echo $@

# -- the headers

# Each public header has to stand alone, and twice, in C11 and C++17, for gcc and clang. Authors of
# plugins copy the one that is for them, and what it includes.
C_PLUGIN_HEADERS := $(patsubst %,include/mcore/%.h,transport_plugin slice status)

c-headers: deps ## check that each public header compiles by itself
	@for header in include/mcore/*.h; do \
	    line="#include \"mcore/$${header##*/}\""; \
	    for compiler in gcc $(CLANG); do \
	        for language in "c -std=c11" "c++ -std=c++17"; do \
	            printf '%s\n' "$$line" "$$line" 'extern int not_empty;' \
	                | $$compiler -x $$language -Iinclude -Wall -Wextra -Wpedantic -Wconversion \
	                    -Werror -fsyntax-only - \
	                || { echo "$$header: $$compiler -x $$language"; exit 1; }; \
	        done; \
	    done; \
	done
	@included=$$(gcc -std=c11 -Iinclude -MM -MT plugin $(firstword $(C_PLUGIN_HEADERS)) \
	        | tr -d '\\\n'); \
	    test "$$(echo $$included)" = "plugin: $(C_PLUGIN_HEADERS)" \
	    || { echo "plugins need more than $(C_PLUGIN_HEADERS): $$included"; exit 1; }
	@echo "$$(ls include/mcore/*.h | wc -l) public headers stand alone: C11 and C++17, gcc $(CLANG)"
