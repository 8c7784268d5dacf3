# lunport. `make build`, `make unit T=test/scsi/inquiry.test.ts`, `make test`; `make help` lists the rest.

SHELL := /bin/sh
BIN := node_modules/.bin
AVA := $(BIN)/ava
# Options of the programs below: make soak ARGS=--endings
ARGS ?=
# One test file, as source or compiled: make unit T=test/scsi/inquiry.test.ts
T ?=
COMPILED_T = $(patsubst %.ts,%.js,$(if $(filter dist/%,$(T)),$(T),dist/$(T)))
FAST_TESTS = 'dist/test/**/*.test.js' '!dist/test/guest/**'
SLOW_TESTS = 'dist/test/guest/**/*.test.js'

# Headers beside this Node spare node-gyp a download.
NODE_PREFIX = $(shell node -p 'require("path").resolve(process.execPath, "../..")')
NODE_DIR = $(if $(wildcard $(NODE_PREFIX)/include/node/node_api.h),--nodedir=$(NODE_PREFIX))
ADDON_SOURCES := $(shell find native -path native/build -prune -o -path native/test -prune -o -type f -print 2>/dev/null)

.PHONY: help setup build addon tsc lint lint-biome lint-oxlint lint-knip lint-imports format test unit guest \
  sanitize coverage demo conformance bench bench-compare flamegraph bench-guest bench-iscsi bench-io-uring \
  soak fuzz matrix docs clean
.DELETE_ON_ERROR:

help: ## this list
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  \1\t\2/p' Makefile | expand -t 20

setup: .stamps/packages node_modules/.package-lock.json ## Debian packages (when root) and npm packages

.stamps/packages: tools/setup.sh
	@tools/setup.sh
	@mkdir -p .stamps && touch $@

.stamps/build-packages: tools/setup.sh
	@tools/setup.sh build
	@mkdir -p .stamps && touch $@

node_modules/.package-lock.json: package-lock.json
	npm ci --ignore-scripts
	@touch $@

build: .stamps/build-packages node_modules/.package-lock.json ## addon and TypeScript, what has changed
	@$(MAKE) --no-print-directory addon tsc

addon: native/build/stamp

native/build/stamp: native/binding.gyp $(ADDON_SOURCES)
	$(BIN)/node-gyp rebuild -C native --release --jobs max --loglevel warn $(NODE_DIR)
	@touch $@

tsc:
	@node tools/prune-dist.mjs
	$(BIN)/tsc

lint: build ## format, lint, unused code, direction of imports
	@$(MAKE) --no-print-directory -k lint-biome lint-oxlint lint-knip lint-imports

lint-biome:
	$(BIN)/biome check --error-on-warnings .

lint-oxlint:
	$(BIN)/oxlint --type-aware --deny-warnings

lint-knip:
	$(BIN)/knip --no-progress

lint-imports:
	node dist/tools/check-imports.js

format: build ## repairs what biome and oxlint can repair
	$(BIN)/biome check --write .
	$(BIN)/oxlint --type-aware --fix
	$(BIN)/biome check --write .

test: ## everything; ends with "N passed, N failed, N skipped"
	@tools/setup.sh node || { echo '0 passed, 1 failed, 0 skipped'; exit 1; }
	@node tools/run-tests.mjs

unit: build ## the fast tests, or one: make unit T=test/scsi/inquiry.test.ts
	$(AVA) --timeout 60s $(if $(T),$(COMPILED_T),$(FAST_TESTS)) $(ARGS)

guest: build .stamps/packages ## the slow tests, which boot guests, or one of them: T=
	$(AVA) --concurrency 1 $(if $(T),$(COMPILED_T),$(SLOW_TESTS)) $(ARGS)

sanitize: .stamps/build-packages node_modules/.package-lock.json ## the addon's own tests under ASan and UBSan
	native/test/run-sanitized.sh

coverage: build ## line coverage of the fast tests
	$(BIN)/c8 --reporter=text --reporter=html --include 'dist/src/**' -- $(AVA) --timeout 5m $(FAST_TESTS) $(ARGS)

demo: build .stamps/packages ## a guest with a lunport disk
	node dist/qemu/demo.js $(ARGS)

conformance: build .stamps/packages ## suites by others
	node dist/tools/conformance.js $(ARGS)

bench: build .stamps/packages ## beside its peers and the machine's limit: BENCH_QUICK=1, BENCH_ROUNDS=9
	node dist/bench/main.js $(ARGS)

bench-compare: build .stamps/packages ## against another commit: make bench-compare BASE=HEAD~1
	BASE='$(BASE)' node dist/bench/compare.js $(ARGS)

bench-guest: build .stamps/packages ## fio in a guest, on our disk and on QEMU's own
	node dist/bench/guest.js $(ARGS)

bench-iscsi: build .stamps/packages ## beside tgt over iSCSI: ARGS=3 for three rounds
	node dist/bench/iscsi.js $(ARGS)

bench-io-uring: .stamps/build-packages ## what each option of io_uring saves, on FILE (64 MiB or more; overwritten)
	@mkdir -p dist/bench
	cc -O2 -Wall -Wextra -Werror -o dist/bench/io-uring-options bench/io-uring-options/io-uring-options.c
	dist/bench/io-uring-options '$(FILE)' $(ARGS)

flamegraph: build ## where the data path's CPU time goes, as an SVG: BENCH_DISKS=null ARGS='--poll-us 50'
	node dist/bench/flames.js $(ARGS)

soak: build .stamps/packages ## kill -9 and power cuts while a guest verifies: ROUNDS=20, ARGS=--endings
	node dist/tools/soak.js $(ARGS)

fuzz: build ## hostile commands, rings, messages and PDUs: SECONDS_EACH=600
	node dist/tools/fuzz.js $(ARGS)

matrix: build .stamps/packages ## guests by every firmware, QEMU and device option
	node dist/tools/matrix.js $(ARGS)

docs: build ## the pages made from the code
	node dist/tools/docs.js $(ARGS)

clean: ## removes all that was built, keeps node_modules
	rm -rf dist coverage .stamps native/build native/test/build
