# SPDX-License-Identifier: MIT
# A thin front of Meson. `make help` lists what there is.

PREFIX ?= /usr/local
DESTDIR ?=
SECONDS ?= 600
CUTS ?= 600
SIM ?= 120
MINUTES ?= 30
QUICK ?=
ONLY ?=
T ?=
TOUR ?=
BENCH_OPTIONS = $(if $(KEYS),--keys=$(KEYS)) $(if $(ENGINES),--engines=$(ENGINES)) $(if $(RUNS),--runs=$(RUNS)) \
  $(if $(CLOCK),--clock=$(CLOCK)) $(if $(ONLY),--only=$(ONLY)) $(if $(DIR),--dir=$(DIR))

all: ## build the release: build/bitcask, build/libbitcask.so, build/libbitcask.a
	@scripts/setup --check build
	@test -f build/build.ninja || meson setup build --buildtype=release -Dtests=false
	@ninja -C build $(if $(MAKECMDGOALS),--quiet)

setup: ## install what building and testing need (Debian packages; sudo unless root)
	@scripts/setup test

run: ## set up, build, and serve ./data with the dashboard (SRC=DIR: what is in it; TOUR=1: a tour)
	@scripts/setup test
	@$(MAKE) --no-print-directory all
	@$(if $(TOUR),scripts/tour,scripts/serve)

test: ## set up, build with sanitizers, run the tests (T=NAME: those whose name contains it)
	@scripts/setup test
	@scripts/test $(T)

check: ## what a change must pass before it is committed: compilers, threads, lint, fuzz
	@scripts/setup dev
	@scripts/check

docs: ## the API reference in HTML: build/reference/html; manual pages: man build/docs/bitcask.1
	@scripts/setup dev
	@scripts/check docs

fuzz: ## run each fuzz target for SECONDS (600)
	@scripts/setup dev
	@scripts/fuzz $(SECONDS)

fuzz-coverage: ## what the fuzz targets' corpora reach of the code that reads bytes from outside
	@scripts/setup dev
	@scripts/fuzz-coverage

sim: ## random histories on a simulated disk for SECONDS (600); SEED=N: that one; REPORT=FILE: a page
	@scripts/setup test
	@test -f build-sim/build.ninja || meson setup build-sim --buildtype=debugoptimized -Dtests=false
	@ninja -C build-sim --quiet tests/sim/sim
	@build-sim/tests/sim/sim $(if $(SEED),--seed=$(SEED),--seed=$$(date +%s)000000 --seconds=$(SECONDS)) \
	  --found=tests/sim/found --commit=$$(git describe --always --dirty 2>/dev/null || echo unknown) \
	  $(if $(REPORT),--report=$(REPORT))

soak: ## a store under mixed load for MINUTES (30), each answer checked
	@scripts/setup test
	@$(MAKE) --no-print-directory all
	@ninja -C build --quiet tests/soak/soak
	@mkdir -p soak-data && rm -rf soak-data/store soak-data/backup
	@build/tests/soak/soak --seconds $$(( $(MINUTES) * 60 )) soak-data && rm -rf soak-data

models: ## the two protocols that matter, searched by spin
	@scripts/setup dev
	@scripts/models

coverage: ## branch coverage of src/ by the tests and SIM (120) seconds of simulation
	@scripts/setup dev
	@scripts/coverage $(SIM)

realfs: ## power cuts, write errors, full disks on real file systems (root; CUTS=600 SEED=N)
	@scripts/setup realfs
	@$(MAKE) --no-print-directory all
	@python3 tests/realfs/realfs.py --cuts $(CUTS) $(if $(SEED),--seed $(SEED))

exhaustive: ## every crash point of short scripts, every fault of every sector (CASE=NAME: that one)
	@scripts/setup test
	@test -f build-sim/build.ninja || meson setup build-sim --buildtype=debugoptimized -Dtests=false
	@ninja -C build-sim --quiet tests/sim/exhaustive/exhaustive
	@build-sim/tests/sim/exhaustive/exhaustive $(if $(CASE),--case=$(CASE) --log)

planted: ## plant each known mistake and see that a test finds it (CI=1: with its known detector)
	@scripts/setup test
	@scripts/planted $(if $(CI),--ci)

bench: ## measure this library and its peers (hours; KEYS=1M,10M ONLY=kv,.. ENGINES=.. RUNS=3 CLOCK=wall)
	@scripts/setup bench
	@$(MAKE) --no-print-directory all
	@meson configure build -Dpeers=enabled && ninja -C build --quiet bench/worker
	@bench/run build/bench/worker build/results $(BENCH_OPTIONS)

bench-quick: ## the same in three minutes: a million keys, the fastest peers
	@scripts/setup bench
	@$(MAKE) --no-print-directory all
	@meson configure build -Dpeers=enabled && ninja -C build --quiet bench/worker
	@bench/run build/bench/worker build/results-quick --quick --anew $(BENCH_OPTIONS)

bench-server: ## bitcask serve beside redis-server, in the same minutes (ROUNDS=5 SCALE=1 KEYS=10000000 ONLY= ALONE=1)
	@scripts/setup bench
	@$(MAKE) --no-print-directory all
	@ninja -C build --quiet bench/redis-rate
	@python3 bench/server.py build/bitcask build/bench/redis-rate --rounds $(or $(ROUNDS),5) \
	  --scale $(or $(SCALE),1) --keys $(or $(KEYS),10000000) --out build/bench-server.json \
	  $(if $(ONLY),--only $(ONLY)) $(if $(ALONE),--alone)

bench-instructions: ## instructions per operation against bench/budget.txt (UPDATE=1 writes it)
	@scripts/setup dev
	@test -f build-gcc/build.ninja || CC=gcc meson setup build-gcc --buildtype=release
	@ninja -C build-gcc --quiet bench/instructions
	@bench/instructions.py build-gcc/bench/instructions bench/budget.txt $(if $(UPDATE),--update)

bench-keydir: ## memory and time of the index, from 1 thousand to 20 million keys
	@scripts/setup test
	@$(MAKE) --no-print-directory all
	@ninja -C build --quiet bench/bench-keydir
	@build/bench/bench-keydir

bench-append: ## several writers: lock, queue or reservation; large values: through the caches or past them
	@scripts/setup test
	@$(MAKE) --no-print-directory all
	@ninja -C build --quiet bench/bench-append
	@build/bench/bench-append

bench-parts: ## where the nanoseconds of a get and of a put go
	@scripts/setup test
	@$(MAKE) --no-print-directory all
	@ninja -C build --quiet bench/bench-parts
	@rm -rf build/bench-parts-store && build/bench/bench-parts build/bench-parts-store

bench-views: ## what snapshots and batches cost
	@scripts/setup test
	@$(MAKE) --no-print-directory all
	@ninja -C build --quiet bench/bench-views
	@build/bench/bench-views

merge-curve: ## what merges cost and leave, in figures: trigger against amplification
	@scripts/setup test
	@$(MAKE) --no-print-directory all
	@ninja -C build --quiet bench/merge-curve
	@build/bench/merge-curve

bench-merge: ## latency of puts and gets with merges going on and without, alternating
	@scripts/setup test
	@$(MAKE) --no-print-directory all
	@ninja -C build --quiet bench/merge-latency
	@build/bench/merge-latency

bench-tombstones: ## how soon deletes are reclaimed, and how many searches the filters spare
	@scripts/setup test
	@$(MAKE) --no-print-directory all
	@ninja -C build --quiet bench/tombstones
	@build/bench/tombstones

experiments: ## measure what docs/EXPERIMENTS.md shows, and write it (QUICK=1: in small; ONLY=NAME)
	@scripts/setup experiments
	@$(MAKE) --no-print-directory all
	@ninja -C build --quiet bench/keys-in-memory
	@scripts/experiments/run build build/experiments $(if $(QUICK),build/quick --scale 0.002,docs) --only=$(ONLY)
	$(if $(QUICK),@echo "see build/quick/EXPERIMENTS.md")

install: all ## install into PREFIX (/usr/local), below DESTDIR if given
	@meson configure build -Dprefix="$(abspath $(PREFIX))"
	@DESTDIR="$(DESTDIR)" meson install -C build

format: ## apply .clang-format
	@scripts/setup dev
	@git ls-files '*.c' '*.h' | xargs clang-format -i

clean: ## remove all build directories
	rm -rf build build-*

help: ## this list
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1	\2/p' Makefile | expand -t 22

.PHONY: all $(shell sed -n 's/^\([a-z-]*\):.*\#\#.*/\1/p' $(firstword $(MAKEFILE_LIST)))
