# SPDX-License-Identifier: BSD-2-Clause
# Builds, tests and installs efio. Sources are found by their place, so a new one needs no line here.
#
## all             libraries, the efio command and examples (default)
## demo            shows the examples at work: a server, its clients, its log
## check           unit and stress tests, tidy, man-lint, a trial installation: minutes
## check-quick     unit tests only
## check-long      the same as check with long stress runs and mutations
## check-asan      unit and stress tests under AddressSanitizer; also check-ubsan, check-tsan
## check-one-core  stress tests on one core
## check-yields    what has threads, with threads that lose the processor at random between any two steps; SEEDS=3
## coverage        lines and branches that the tests run of src/, lockfree/ and adapters/, and those that they do not
## valgrind        unit tests under memcheck
## analyse         clang-tidy and cppcheck over the library, the adapters and the command
## fuzz            libFuzzer makes sequences of calls that a model checks; FUZZ_SECONDS=60
## check-everywhere  the tests on files, on each file system and without io_uring (root)
## check-faults    the library's promises while power, disks and memory fail (root); EFIO_LONG=1 in half an hour
## check-defects   puts defects into the library, each of which a test has to notice; DEFECTS='name ...'
## tidy            floors, sizes, names, symbols, warnings
## man-lint        manual pages
## bench           side-by-side measurements; BENCH_ARGS=--help tells the options. As root it installs other loggers
## install         to $(DESTDIR)$(prefix); also uninstall
## dist            a release archive; distcheck tries it
## setup           installs what is missing (Debian packages); demo, check and bench do it by themselves
## clean           removes what was built
##
## B=DIR builds in DIR (default: build), V=1 shows the commands, CONFIGURE_FLAGS are for the first configure;
## or: mkdir o && cd o && ../configure --prefix=DIR && make

S := $(patsubst %/,%,$(dir $(lastword $(MAKEFILE_LIST))))
B ?= build
MAKEFLAGS += -r --no-print-directory
.SUFFIXES:
.DELETE_ON_ERROR:
.DEFAULT_GOAL := all

CHECKS := check check-quick check-long check-one-core check-yields check-everywhere check-faults check-defects \
  check-asan check-ubsan check-tsan coverage valgrind analyse fuzz
PLAIN := help setup clean
CONFIG ?= $(B)/config.mk

# ---- Configuration: on a clean clone the include below makes configure and runs it

ifneq ($(if $(MAKECMDGOALS),$(filter-out $(PLAIN),$(MAKECMDGOALS)),all),)
include $(CONFIG)
endif

$(S)/configure: $(S)/configure.ac
	@echo "  AUTOCONF configure"
	@command -v autom4te >/dev/null || { echo "autoconf is needed (or: make setup)" >&2; exit 1; }
	@cd $(S) && autom4te --no-cache --language=autoconf --warnings=all -o configure configure.ac

ifeq ($(CONFIG),$(B)/config.mk)
$(CONFIG): $(S)/configure $(S)/tools/config.mk.in
	@mkdir -p $(B)
	@if test -f $(B)/config.status; then cd $(B) && ./config.status --recheck && ./config.status; \
	  else top=$$(cd $(S) && pwd) && cd $(B) && $$top/configure $(CONFIGURE_FLAGS); fi
	@touch $@

# What the tests and the demo need is installed before it is looked for; the stamp is newer than config.mk only if
# something was installed.
ifneq ($(filter $(CHECKS) demo bench,$(MAKECMDGOALS)),)
$(CONFIG): $(B)/setup.stamp
$(S)/configure: | $(B)/setup.stamp
$(B)/setup.stamp: FORCE
	@mkdir -p $(B)
	@$(S)/tools/setup.sh $(addprefix --,$(filter bench check-faults valgrind analyse fuzz,$(MAKECMDGOALS))) $@
endif
endif

# ---- Flags

WARN := -Wall -Wextra
INCLUDES := -I$(S)/include -I$(S)/lockfree -I$(S)/src
ifeq ($(HAVE_URING),yes)
INCLUDES += -DEF_HAVE_URING=1 $(URING_CFLAGS)
endif
COMMON := -pthread -D_GNU_SOURCE -fPIC -fvisibility=hidden -fmacro-prefix-map=$(S)/= $(WARN) $(INCLUDES)
EF_CFLAGS := -std=c11 $(COMMON) -ftls-model=initial-exec -fno-semantic-interposition
EF_CXXFLAGS := -std=c++20 -fno-exceptions -fno-rtti -fno-threadsafe-statics $(COMMON) \
  -ftls-model=initial-exec -fno-semantic-interposition
LD_LIBRARY := -shared -pthread -Wl,-z,defs -Wl,-z,nodelete -Wl,--as-needed -static-libstdc++ -static-libgcc
LD_PROGRAM := -pthread

# SAN=address, undefined or thread: an instrumented build, in its own directory (see check-asan).
ifdef SAN
SAN_FLAGS := -fsanitize=$(SAN) -fno-sanitize-recover=all -fno-omit-frame-pointer -g -O1
override CFLAGS += $(SAN_FLAGS)
override CXXFLAGS += $(SAN_FLAGS)
override LDFLAGS += -fsanitize=$(SAN)
LD_LIBRARY := -shared -pthread -Wl,-z,nodelete
endif

ifdef V
say = @:
run = $(1)
else
say = @echo "  $(1)"
run = @$(1)
endif
# Warnings are kept beside the object: `make tidy` refuses them.
compile = $(call run,mkdir -p $(@D) && { $(1) -MMD -MP -c $< -o $@ 2>$(@:.o=.log); rc=$$?; \
  cat $(@:.o=.log) >&2; exit $$rc; })
link = $(call run,mkdir -p $(@D) && $(1))

# ---- Sources

found = $(patsubst $(S)/%,%,$(foreach f,$(1),$(wildcard $(S)/$(f))))
objects = $(patsubst %,$(B)/obj/%.o,$(basename $(1)))
programs = $(patsubst %,$(B)/%,$(basename $(1)))

LIB_SOURCES := $(call found,src/*.cc lockfree/*.c)
EV_SOURCES := $(if $(filter yes,$(HAVE_EV)),$(call found,adapters/efio_ev*.c adapters/efio_ev*.cc))
UV_SOURCES := $(if $(filter yes,$(HAVE_UV)),$(call found,adapters/efio_uv*.c adapters/efio_uv*.cc))
EXAMPLE_SOURCES := $(call found,examples/*.c examples/*.cc)
TOOL_SOURCES := $(call found,tools/efio/*.cc)
BENCH_SOURCES := $(if $(filter yes,$(HAVE_SPDLOG)),$(call found,bench/*.cc))
TEST_SOURCES := $(if $(filter yes,$(HAVE_CMOCKA)),$(call found,tests/test_*.c tests/test_*.cc tests/stress_*.cc))
SHELL_TESTS := $(call found,tests/*.sh)
FAULT_SOURCES := $(if $(filter yes,$(HAVE_CMOCKA)),$(call found,tests/faults/*.cc))
FAULT_TESTS := $(filter-out tests/faults/lib.sh,$(call found,tests/faults/*.sh))

# What needs a loop, or a library for logs, is left out where that is.
needs_ev = $(foreach f,$(1),$(if $(filter test_ev_% stress_ev_% %_ev,$(basename $(notdir $(f)))),$(f)))
needs_uv = $(foreach f,$(1),$(if $(filter test_uv_% stress_uv_% %_uv,$(basename $(notdir $(f)))),$(f)))
needs_spdlog = $(filter %/spdlog_sink %/spdlog_sink.cc,$(1))
needs_fmt = $(filter %/print %/print.cc,$(1))
needs_fuse = $(filter %/faultfs %/faultfs.cc,$(1))
possible = $(filter-out $(if $(EV_SOURCES),,$(call needs_ev,$(1))) $(if $(UV_SOURCES),,$(call needs_uv,$(1))) \
  $(if $(filter yes,$(HAVE_SPDLOG)),,$(call needs_spdlog,$(1))) \
  $(if $(filter yes,$(HAVE_FMT)),,$(call needs_fmt,$(1))) \
  $(if $(filter yes,$(HAVE_FUSE)),,$(call needs_fuse,$(1))),$(1))
TEST_SOURCES := $(call possible,$(TEST_SOURCES))
FAULT_SOURCES := $(call possible,$(FAULT_SOURCES))
EXAMPLE_SOURCES := $(call possible,$(EXAMPLE_SOURCES))

# ---- Libraries

MAJOR := 0
STATIC := $(if $(LIB_SOURCES),$(B)/libefio.a) $(if $(EV_SOURCES),$(B)/libefio-ev.a) \
  $(if $(UV_SOURCES),$(B)/libefio-uv.a)
# The C face is the last file of the library: without it there is nothing to share.
CAPI := $(filter src/capi.cc,$(LIB_SOURCES))
SHARED := $(if $(CAPI),$(B)/libefio.so \
  $(if $(EV_SOURCES),$(B)/libefio-ev.so) $(if $(UV_SOURCES),$(B)/libefio-uv.so))

$(B)/libefio.a: $(call objects,$(LIB_SOURCES))
$(B)/libefio-ev.a: $(call objects,$(EV_SOURCES))
$(B)/libefio-uv.a: $(call objects,$(UV_SOURCES))
$(B)/%.a:
	$(call say,AR $(@F))
	$(call link,rm -f $@ && $(AR) rcs $@ $^)

$(B)/libefio.so: $(call objects,$(LIB_SOURCES)) $(S)/src/efio.map
$(B)/libefio-ev.so: $(call objects,$(EV_SOURCES)) $(S)/adapters/efio-ev.map $(B)/libefio.so
$(B)/libefio-uv.so: $(call objects,$(UV_SOURCES)) $(S)/adapters/efio-uv.map $(B)/libefio.so
$(B)/libefio.so: LOOP_LIBS = $(URING_LIBS)
$(B)/libefio-ev.so: LOOP_LIBS = $(EV_LIBS)
$(B)/libefio-uv.so: LOOP_LIBS = $(UV_LIBS)
LD_NAMES = -Wl,-soname,$(@F).$(MAJOR) $(patsubst %,-Wl$(comma)--version-script=%,$(filter %.map,$^))
# A program that calls the adapter alone must find the library below it all the same.
RPATH := '-Wl,-rpath,$$ORIGIN/..' -Wl,--no-as-needed
comma := ,
$(B)/%.so:
	$(call say,LD $(@F))
	$(call link,$(CXX) $(CXXFLAGS) $(LD_LIBRARY) $(LD_NAMES) $(LDFLAGS) \
	  $(filter %.o,$^) $(if $(filter %.so,$^),-L$(B) -lefio) $(LOOP_LIBS) $(LIBS) -o $@.$(VERSION))
	@ln -sf $(@F).$(VERSION) $@.$(MAJOR) && ln -sf $(@F).$(VERSION) $@

# ---- Objects

$(B)/obj/src/%.o: $(S)/src/%.cc $(CONFIG)
	$(call say,CXX src/$*)
	$(call compile,$(CXX) $(CPPFLAGS) $(EF_CXXFLAGS) $(CXXFLAGS))

$(B)/obj/lockfree/%.o: $(S)/lockfree/%.c $(CONFIG)
	$(call say,CC lockfree/$*)
	$(call compile,$(CC) $(CPPFLAGS) $(EF_CFLAGS) $(CFLAGS))

# Loggers that the benchmark measures where they are installed.
ifeq ($(HAVE_GLOG),yes)
LOGGER_CFLAGS += -DEF_HAVE_GLOG=1 $(GLOG_CFLAGS)
LOGGER_LIBS += $(GLOG_LIBS)
endif
ifeq ($(HAVE_LOG4CPLUS),yes)
LOGGER_CFLAGS += -DEF_HAVE_LOG4CPLUS=1 $(LOG4CPLUS_CFLAGS)
# An object of its own: see bench/peer_log4cplus.hh.
BENCH_OBJECTS := $(B)/bench-log4cplus.so
endif
ifeq ($(HAVE_BOOST_LOG),yes)
LOGGER_CFLAGS += -DEF_HAVE_BOOST_LOG=1 -DBOOST_LOG_DYN_LINK
LOGGER_LIBS += -lboost_log -lboost_filesystem -lboost_thread -lboost_system
endif

# Adapters, tests, examples and the benchmark see the loops' headers too; adapters, examples and the tool nothing of the
# inside.
PUBLIC_COMMON := $(filter-out -I%,$(COMMON)) -I$(S)/include $(EV_CFLAGS) $(UV_CFLAGS)
TEST_INCLUDES := -I$(S)/tests $(EV_CFLAGS) $(UV_CFLAGS) $(CMOCKA_CFLAGS)

$(B)/obj/adapters/%.o: $(S)/adapters/%.c $(CONFIG)
	$(call say,CC adapters/$*)
	$(call compile,$(CC) $(CPPFLAGS) -std=c11 $(PUBLIC_COMMON) $(CFLAGS))

$(B)/obj/adapters/%.o: $(S)/adapters/%.cc $(CONFIG)
	$(call say,CXX adapters/$*)
	$(call compile,$(CXX) $(CPPFLAGS) -std=c++20 -fno-exceptions -fno-rtti -fno-threadsafe-statics \
	  $(PUBLIC_COMMON) $(CXXFLAGS))

$(B)/obj/examples/%.o: $(S)/examples/%.c $(CONFIG)
	$(call say,CC examples/$*)
	$(call compile,$(CC) $(CPPFLAGS) -std=c11 $(PUBLIC_COMMON) $(CFLAGS))

$(B)/obj/examples/%.o: $(S)/examples/%.cc $(CONFIG)
	$(call say,CXX examples/$*)
	$(call compile,$(CXX) $(CPPFLAGS) -std=c++20 $(PUBLIC_COMMON) $(CXXFLAGS))

$(B)/obj/examples/spdlog_sink.o: PUBLIC_COMMON += $(SPDLOG_CFLAGS)
$(B)/obj/examples/print.o: PUBLIC_COMMON += $(FMT_CFLAGS)

$(B)/obj/tests/%.o: $(S)/tests/%.c $(CONFIG)
	$(call say,CC tests/$*)
	$(call compile,$(CC) $(CPPFLAGS) $(EF_CFLAGS) $(TEST_INCLUDES) $(CFLAGS))

$(B)/obj/tests/%.o: $(S)/tests/%.cc $(CONFIG)
	$(call say,CXX tests/$*)
	$(call compile,$(CXX) $(CPPFLAGS) $(EF_CXXFLAGS) $(TEST_INCLUDES) $(CXXFLAGS))

# The C++ face has more to offer where there are exceptions.
$(B)/obj/tests/test_hpp_throws.o: EF_CXXFLAGS := $(filter-out -fno-exceptions -fno-rtti,$(EF_CXXFLAGS))

$(B)/obj/bench/%.o: $(S)/bench/%.cc $(CONFIG)
	$(call say,CXX bench/$*)
	$(call compile,$(CXX) $(CPPFLAGS) -std=c++20 $(COMMON) -I$(S)/bench \
	  $(EV_CFLAGS) $(UV_CFLAGS) $(SPDLOG_CFLAGS) $(LOGGER_CFLAGS) $(CXXFLAGS))

$(B)/obj/tools/efio/%.o: $(S)/tools/efio/%.cc $(CONFIG)
	$(call say,CXX tools/efio/$*)
	$(call compile,$(CXX) $(CPPFLAGS) -std=c++20 $(PUBLIC_COMMON) $(CXXFLAGS))

-include $(wildcard $(foreach d,src lockfree adapters examples tests tests/* bench tools/efio,$(B)/obj/$(d)/*.d))

# ---- Programs

# Tests are linked with the archives, where the inside can be reached.
TESTS := $(call programs,$(TEST_SOURCES))
# Programs of tests/faults/ are what its scripts run.
FAULT_PROGRAMS := $(call programs,$(FAULT_SOURCES))
$(call needs_ev,$(TESTS) $(FAULT_PROGRAMS)): LOOP_LIBS = $(B)/libefio-ev.a
$(call needs_uv,$(TESTS) $(FAULT_PROGRAMS)): LOOP_LIBS = $(B)/libefio-uv.a
$(call needs_ev,$(TESTS) $(FAULT_PROGRAMS)): TEST_LIBS = $(EV_LIBS)
$(call needs_uv,$(TESTS) $(FAULT_PROGRAMS)): TEST_LIBS = $(UV_LIBS)
$(call needs_ev,$(TESTS) $(FAULT_PROGRAMS)): $(filter %-ev.a,$(STATIC))
$(call needs_uv,$(TESTS) $(FAULT_PROGRAMS)): $(filter %-uv.a,$(STATIC))
# What can run out is asked of these tests, which pass it on or not.
$(B)/tests/test_no_memory: WRAPPED = malloc calloc mmap pthread_create pthread_atfork eventfd memfd_create \
  _ZnwmRKSt9nothrow_t _ZnamRKSt9nothrow_t _ZnwmSt11align_val_tRKSt9nothrow_t _ZnamSt11align_val_tRKSt9nothrow_t
$(B)/tests/test_ev_trouble: WRAPPED = calloc ef_port_new ef_port_fd
$(B)/tests/test_uv_trouble: WRAPPED = malloc calloc uv_poll_init ef_port_new ef_port_fd
$(B)/tests/%: $(B)/obj/tests/%.o $(B)/libefio.a
	$(call say,LD tests/$*)
	$(call link,$(CXX) $(CXXFLAGS) $(LD_PROGRAM) $(LDFLAGS) $< \
	  $(addprefix -Wl$(comma)--wrap=,$(WRAPPED)) $(LOOP_LIBS) $(B)/libefio.a $(URING_LIBS) $(TEST_LIBS) \
	  $(CMOCKA_LIBS) $(LIBS) -o $@)

# Examples are linked as a user's program is: with the shared libraries.
EXAMPLES := $(if $(CAPI),$(call programs,$(EXAMPLE_SOURCES)))
$(call needs_ev,$(EXAMPLES)): LOOP_LIBS = -lefio-ev $(EV_LIBS)
$(call needs_uv,$(EXAMPLES)): LOOP_LIBS = -lefio-uv $(UV_LIBS)
$(call needs_spdlog,$(EXAMPLES)): LOOP_LIBS = $(SPDLOG_LIBS)
$(call needs_fmt,$(EXAMPLES)): LOOP_LIBS = $(FMT_LIBS)
$(B)/examples/%: $(B)/obj/examples/%.o $(SHARED)
	$(call say,LD examples/$*)
	$(call link,$(CXX) $(CXXFLAGS) $(LD_PROGRAM) $(LDFLAGS) $< \
	  -L$(B) $(RPATH) $(LOOP_LIBS) -lefio $(LIBS) -o $@)

# The command has the library inside: it runs from anywhere, and tells of what it was built with.
TOOL := $(if $(CAPI),$(if $(TOOL_SOURCES),$(B)/efio))
$(B)/efio: $(call objects,$(TOOL_SOURCES)) $(B)/libefio.a
	$(call say,LD $(@F))
	$(call link,$(CXX) $(CXXFLAGS) $(LD_PROGRAM) $(LDFLAGS) $^ $(URING_LIBS) $(LIBS) -o $@)

BENCH := $(if $(CAPI),$(if $(BENCH_SOURCES),$(B)/efio-bench $(BENCH_OBJECTS)))
BENCH_LIBS = $(SPDLOG_LIBS) $(LOGGER_LIBS) \
  $(if $(shell grep -l benchmark/benchmark.h $(addprefix $(S)/,$(BENCH_SOURCES))),$(BENCHMARK_LIBS))
$(B)/bench-log4cplus.so: $(B)/obj/bench/peer_log4cplus.o
	$(call say,LD $(@F))
	$(call link,$(CXX) $(CXXFLAGS) -shared -pthread $(LDFLAGS) $< $(LOG4CPLUS_LIBS) -o $@)

$(B)/efio-bench: $(call objects,$(filter-out bench/peer_%,$(BENCH_SOURCES))) $(STATIC) | $(BENCH_OBJECTS)
	$(call say,LD $(@F))
	$(call link,$(CXX) $(CXXFLAGS) $(LD_PROGRAM) $(LDFLAGS) $(filter %.o,$^) \
	  $(filter %-ev.a %-uv.a,$^) $(B)/libefio.a $(URING_LIBS) \
	  $(EV_LIBS) $(UV_LIBS) $(BENCH_LIBS) -ldl $(LIBS) -o $@)

.SECONDARY:
all: $(STATIC) $(SHARED) $(TOOL) $(EXAMPLES)

# ---- Tests: one runner, one count at the end

export_all = S='$(abspath $(S))' B='$(abspath $(B))' CC='$(CC)' CXX='$(CXX)' MAKE='$(MAKE)' MANDOC='$(MANDOC)' \
  SAN='$(SAN)' HAVE_EV='$(HAVE_EV)' HAVE_UV='$(HAVE_UV)' HAVE_URING='$(HAVE_URING)'
runner = $(export_all) $(S)/tools/run-tests.sh $(B)/test-logs
UNIT := $(filter $(B)/tests/test_%,$(TESTS))
STRESS := $(filter $(B)/tests/stress_%,$(TESTS))
SCRIPTS := $(addprefix $(S)/,$(SHELL_TESTS))
HOUSE := $(addprefix $(S)/tools/,tidy.sh man-lint.sh check-install.sh)

build-tests: all $(TESTS)
ifneq ($(HAVE_CMOCKA),yes)
	@echo "cmocka is missing: there is nothing to test with (make setup)" >&2; exit 1
endif

# What reads through a port runs on both engines: on the one that is chosen here, and on threads. Opening, writing,
# syncing, reopening and rotating are done by threads with either: their tests run once.
READING := $(filter $(patsubst %,$(B)/tests/%,test_ev_% test_uv_% test_hpp% test_requests% test_streams test_trouble \
  test_news test_calls test_child test_hostile_% stress_ev_% stress_uv_% stress_requests% stress_news stress_model \
  stress_races stress_held_news), $(TESTS))
ON_THREADS := engine=threads $(READING)

check: build-tests $(BENCH)
	@$(runner) $(HOUSE) $(UNIT) $(STRESS) $(SCRIPTS) $(ON_THREADS)

check-quick: build-tests
	@$(runner) $(UNIT)

check-one-core: build-tests
	@EFIO_WRAP='taskset -c 0' $(runner) $(STRESS)

# ROWS=... runs some of its rows only.
check-everywhere: build-tests
	@$(export_all) ROWS='$(ROWS)' $(S)/tools/check-everywhere.sh $(UNIT) $(STRESS) $(SCRIPTS)

$(B)/obj/tests/faults/faultfs.o: TEST_INCLUDES += $(FUSE_CFLAGS)
$(B)/tests/faults/faultfs: TEST_LIBS = $(FUSE_LIBS)
check-faults: all $(FAULT_PROGRAMS)
	@$(export_all) FAULTS='$(FAULTS)' $(S)/tools/check-faults.sh $(addprefix $(S)/,$(FAULT_TESTS))

check-long: build-tests $(BENCH)
	@EFIO_LONG=1 $(runner) $(HOUSE) $(UNIT) $(STRESS) $(SCRIPTS) $(ON_THREADS)

# Each instrumented build uses this build's configuration and has a directory of its own.
check-asan check-ubsan check-tsan: check-%: $(CONFIG)
	@+$(MAKE) -f $(S)/Makefile B=$(B)/$* CONFIG=$(CONFIG) SAN=$(SAN_$*) sanitized
SAN_asan := address
SAN_ubsan := undefined
SAN_tsan := thread
sanitized: build-tests
	@$(runner) $(UNIT) $(STRESS) $(SCRIPTS) $(ON_THREADS)

include $(S)/tools/analysis.mk

tidy: build-tests $(BENCH)
	@$(export_all) $(S)/tools/tidy.sh

man-lint:
	@$(export_all) $(S)/tools/man-lint.sh

demo: all
	@$(export_all) $(S)/tools/demo.sh

ifneq ($(BENCH),)
bench: $(BENCH)
	@$(export_all) $(B)/efio-bench $(BENCH_ARGS)
else
bench:
	@echo "nothing to measure: bench/ is empty or spdlog is missing (make setup)" >&2; exit 1
endif

# ---- Installation and release

INSTALL_ENV = S='$(S)' B='$(B)' DESTDIR='$(DESTDIR)' VERSION='$(VERSION)' MAJOR='$(MAJOR)' \
  prefix='$(prefix)' bindir='$(bindir)' libdir='$(libdir)' includedir='$(includedir)' mandir='$(mandir)' \
  URING_LIBS='$(URING_LIBS)' PARTS='efio $(if $(EV_SOURCES),efio-ev) $(if $(UV_SOURCES),efio-uv)'
install: $(STATIC) $(SHARED) $(TOOL)
	@$(INSTALL_ENV) $(S)/tools/install.sh install

uninstall:
	@$(INSTALL_ENV) $(S)/tools/install.sh uninstall

dist: $(S)/configure
	@S='$(S)' B='$(B)' VERSION='$(VERSION)' $(S)/tools/dist.sh

distcheck: dist
	@B='$(abspath $(B))' VERSION='$(VERSION)' MAKE='$(MAKE)' $(S)/tools/distcheck.sh

setup:
	@$(S)/tools/setup.sh

# Nothing but what this Makefile makes is removed: the build directory may be the reader's own.
clean:
	rm -rf $(B)/obj $(B)/tests $(B)/examples $(B)/test-logs $(B)/everywhere-logs $(B)/fault-logs $(B)/asan $(B)/ubsan \
	  $(B)/tsan $(B)/coverage $(B)/fuzz $(B)/dist
	rm -f $(B)/libefio*.a $(B)/libefio*.so* $(B)/efio $(B)/efio-bench $(B)/bench-*.so $(B)/bench.json $(B)/efio-*.tar.gz

help:
	@sed -n 's/^## \{0,1\}//p' $(S)/Makefile

FORCE:
.PHONY: all build-tests $(CHECKS) sanitized covered tidy man-lint demo bench install uninstall \
  dist distcheck setup clean help FORCE
