# SPDX-License-Identifier: BSD-2-Clause
# Part of the Makefile: coverage, valgrind, analyse, fuzz and check-yields, which look at the library by way of other
# tools, and check-defects, which looks at the tests.

# COVERAGE=1: a build that counts (see coverage), as it is written: nothing inlined, nothing left out.
ifdef COVERAGE
COVERAGE_FLAGS := --coverage -fprofile-update=atomic -DEF_COVERAGE=1 -g -O0
override CFLAGS += $(COVERAGE_FLAGS)
override CXXFLAGS += $(COVERAGE_FLAGS)
override LDFLAGS += --coverage
endif

# Counts add up over all runs of a build: each run of this target begins anew. What checks the sources, not the library,
# and mutants that count for themselves are left out.
coverage: $(CONFIG)
	@+$(MAKE) -f $(S)/Makefile B=$(B)/coverage CONFIG=$(CONFIG) COVERAGE=1 covered
covered: build-tests
	@find $(B)/obj -name '*.gcda' -exec rm {} +
	@$(runner) $(UNIT) $(STRESS) $(filter-out %/mutate.sh %/readme.sh %/test_runner.sh,$(SCRIPTS)) $(ON_THREADS)
	@S='$(S)' B='$(B)' $(S)/tools/coverage.sh

# Memcheck looks for what was never written; leaks are AddressSanitizer's, and children that end at once have many. It
# sees nothing of what io_uring writes, and waits for ever where a thread sleeps in it (valgrind 3.19): it is hidden. It
# has no rseq: owner_store is off by itself. Left out: what switches stacks, and what counts the process's own memory.
MEMCHECK := env EFIO_MEMCHECK=1 $(abspath $(B))/tests/no_uring EPERM all valgrind -q --fair-sched=yes \
  --track-origins=yes --leak-check=no --error-exitcode=9
MEMCHECKED = $(filter-out $(B)/tests/test_crowd $(call programs,$(patsubst $(S)/%,%,$(shell \
  grep -l '"interleave' $(S)/tests/test_*.cc))),$(UNIT))
valgrind: build-tests $(B)/tests/no_uring
	@EFIO_WRAP='$(MEMCHECK)' $(runner) $(MEMCHECKED)

analyse: $(CONFIG)
	@$(export_all) $(S)/tools/analyse.sh

# FUZZ=1: a build for libFuzzer, which clang alone has, with AddressSanitizer.
ifdef FUZZ
FUZZ_FLAGS := -fsanitize=fuzzer-no-link,address -fno-omit-frame-pointer -g -O1 -DEF_FUZZ=1
override CFLAGS += $(FUZZ_FLAGS)
override CXXFLAGS += $(FUZZ_FLAGS)
override LDFLAGS += -fsanitize=fuzzer,address
endif

# New sequences are kept in $(B)/fuzz/corpus; a failure is a file crash-* there. FUZZ_SECONDS=3600 for longer.
FUZZ_SECONDS ?= 60
fuzz: $(CONFIG)
	@+$(MAKE) -f $(S)/Makefile B=$(B)/fuzz CONFIG=$(CONFIG) FUZZ=1 CC=clang CXX=clang++ fuzzed
fuzzed: $(B)/tests/fuzz/fuzz_calls
	@mkdir -p $(B)/corpus && cd $(B) && tests/fuzz/fuzz_calls -max_total_time=$(FUZZ_SECONDS) -max_len=2000 -timeout=100 \
	  -artifact_prefix=corpus/ corpus $(abspath $(S))/tests/fuzz/corpus

# YIELDS=1: a build whose threads may lose the processor before each access to memory: see tests/yields/yields.cc.
ifdef YIELDS
YIELD_FLAGS := -fsanitize=thread -U__SANITIZE_THREAD__ -DEF_YIELDS=1 -g -O1
override CFLAGS += $(YIELD_FLAGS)
override CXXFLAGS += $(YIELD_FLAGS)
override LDFLAGS += -fno-sanitize=thread $(B)/obj/tests/yields/yields.o
$(TESTS): | $(B)/obj/tests/yields/yields.o
$(B)/obj/tests/yields/yields.o: override CXXFLAGS := $(filter-out -fsanitize=thread,$(CXXFLAGS))
endif

# SEEDS=100 for more of what the threads may meet.
SEEDS ?= 3
check-yields: $(CONFIG)
	@+$(MAKE) -f $(S)/Makefile B=$(B)/yields CONFIG=$(CONFIG) YIELDS=1 yielded
yielded: $(sort $(STRESS) $(READING))
	@for seed in $$(seq $(SEEDS)); do echo "seed $$seed"; EFIO_SEED=$$seed $(runner) $^ || exit 1; done

# DEFECTS='name ...' puts in only these; JOBS=n at a time.
check-defects: build-tests
	@$(export_all) DEFECTS='$(DEFECTS)' $(S)/tools/defects.sh
