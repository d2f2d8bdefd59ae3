# A thin front: every target is a few commands anybody can run by hand. `make help` lists them.
.DEFAULT_GOAL := help
SHELL := /bin/sh
export ASAN_OPTIONS UBSAN_OPTIONS

EXAMPLE := examples/01-first-run/scenario.yaml
RELEASE := build/release
QUIET := > build/log 2>&1 || { tail -40 build/log; exit 1; }

help: ## this list
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1|\2/p' Makefile | column -t -s'|'

setup: ## install what the build needs (Debian packages, ONNX Runtime)
	@sh tools/setup.sh

develop: ## install what the tests and checks need too
	@sh tools/setup.sh develop

quickstart: setup release ## build the release and run the main job on the first example
	$(RELEASE)/estran run $(EXAMPLE) --output out/quickstart

release: ## build the release
	@mkdir -p build
	@echo "building the release ..."
	@{ cmake --preset release -DBUILD_TESTING=OFF && cmake --build --preset release; } $(QUIET)

test: develop ## build and run every test (gcc, dev preset)
	@cmake --preset dev > /dev/null
	@cmake --build --preset dev
	@ctest --preset dev

test-clang test-asan test-tsan test-coverage: test-%: develop ## the same under another preset
	@cmake --preset $* > /dev/null
	@cmake --build --preset $*
	@ctest --preset $*

fuzz: develop ## run every fuzz target for FUZZ_SECONDS (default 60) on its kept corpus
	@sh tools/fuzz.sh $(or $(FUZZ_SECONDS),60)

bench: bench-all ## every benchmark: a table, and build/bench/<name>.json
bench-%: setup
	@python3 tools/bench.py $*

accuracy: release ## accuracies of trained and compressed nets, 3 seeds (hours): build/bench/accuracy-*.json
	@python3 tools/accuracy.py $(ROWS)

format: ## format the sources
	@clang-format -i $$(git ls-files 'src/*.[ch]' 'tests/*.[ch]' 'bench/*.[ch]' 'examples/*.[ch]')

tidy: develop ## clang-tidy over everything
	@cmake --preset clang > /dev/null && cmake --build --preset clang --target es_model > /dev/null
	@git ls-files 'src/*.c' | grep -v -E '_(fuzz|test).c|/testing/' | xargs -P 2 -n 1 clang-tidy -p build/clang --quiet 2> /dev/null

nightly: test test-clang test-asan test-tsan ## what takes longer than CI may: all presets, fuzz, benchmarks
	@ESTRAN_SOAK_S=3600 ctest --preset dev -R e2e.soak
	@$(MAKE) fuzz FUZZ_SECONDS=600
	@$(MAKE) tidy
	@$(MAKE) bench
	@$(MAKE) accuracy

clean: ## remove what was built (not .deps)
	@rm -rf build out

.PHONY: help setup develop quickstart release test test-clang test-asan test-tsan test-coverage \
	fuzz bench accuracy format tidy nightly clean
