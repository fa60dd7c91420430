# `make run` is for a first look, `make test` is what CI runs. See CONTRIBUTING.md.

GO      ?= go
BIN     := bin/splitpin
NPM_CI  := npm ci --no-audit --no-fund --loglevel=error
STATICCHECK := honnef.co/go/tools/cmd/staticcheck@v0.8.2

# Longer proofs, for `make prove`.
ROUNDS   ?= 100
FAULTS   := TestKilled|TestPowerCut|TestFailingDisk|TestSilentMailServer|TestClockJumps|TestNode|TestRollingRestart|TestFailover|TestDatabaseGone
FUZZTIME ?= 10m
SOAK     ?= 20m
SIMULATE ?= 2h

# What is measured: sqlite, postgres or both.
ENGINE   ?= both

# Everything is built without C, so that vetting, tests and programs share one build; the
# race detector needs C, and a second build.
export CGO_ENABLED := 0
RACE := CGO_ENABLED=1

PACKAGES = $(filter-out %/e2e,$(shell $(GO) list ./...))
PROGRAMS = $(filter %/bench %/cmd/splitpin %/sdk %/web,$(PACKAGES))

# Twilio's description of its API, which the tests hold our requests against, lies in a
# package of its command line. Nothing of that is installed or run; the test knows its digest.
TWILIO   := delivery/testdata/twilio-cli-core-9.0.0.tgz

.PHONY: help run build sdk test check prove bench screenshots generate clean needs vet types unit programs postgres e2e

help:
	@echo 'make run       build, and serve on localhost with an inbox and a demo app'
	@echo 'make build     build $(BIN)'
	@echo 'make sdk       build bin/splitpin-sdk.tgz, the npm package for front ends (needs Node)'
	@echo 'make test      everything CI runs; on Debian it installs what it needs'
	@echo 'make check     the same, and static analysis'
	@echo 'make prove     hours: long fuzzing, simulation, kill rounds, a soak, many users'
	@echo 'make bench     minutes: ours, the limit of this machine, and the budget'
	@echo 'make screenshots  take the pictures of README.md again (needs Chromium)'
	@echo 'make generate  rebuild what is generated and committed'
	@echo 'make clean     remove what these made'

run: build
	$(BIN) dev

build:
	$(GO) build -trimpath -ldflags '-s -w' -o $(BIN) ./cmd/splitpin

# What npm would get; sdk/package_test.go takes the same steps and tries the result.
sdk: e2e/node_modules/.package-lock.json
	rm -rf sdk/dist
	e2e/node_modules/.bin/tsc -p sdk
	@mkdir -p bin
	cd sdk && mv "$$(npm pack --silent)" ../bin/splitpin-sdk.tgz

test: needs vet types unit e2e

check: test
	$(GO) run $(STATICCHECK) ./...

# Installs on Debian, elsewhere names what is missing.
needs:
	@.ci/needs

vet:
	@unformatted=$$(gofmt -l $$(git ls-files '*.go')); \
	if [ -n "$$unformatted" ]; then echo "gofmt would change:"; echo "$$unformatted"; exit 1; fi
	$(GO) vet ./...

# The browser code is bundled without looking at its types; this looks.
types: e2e/node_modules/.package-lock.json
	e2e/node_modules/.bin/tsc --noEmit -p web
	e2e/node_modules/.bin/tsc --noEmit -p sdk

# Unit tests, conformance suites, fuzz seeds. The end-to-end tests have a target of
# their own. The race detector looks at all but the programs and the browser code, whose
# tests wait for other processes more than they work: there it looks in `make prove`. They
# wait while what is built on stores runs once more, on PostgreSQL.
unit: e2e/node_modules/.package-lock.json $(TWILIO)
	E2E=1 $(RACE) SIMULATION_SEEDS=20 $(GO) test -race -timeout 15m $(filter-out $(PROGRAMS),$(PACKAGES))
	@$(MAKE) --no-print-directory --jobs=2 --output-sync programs postgres

# The simulation runs one actor at a time: a few worlds have shown that it has no race, so
# the many run without the detector.
programs: e2e/node_modules/.package-lock.json
	E2E=1 $(GO) test -timeout 15m $(PROGRAMS) ./simulation

postgres:
	E2E=1 TEST_ENGINE=postgres $(GO) test ./account ./delivery ./keyring ./project ./server/... ./signin/... ./token

# E2E=1 makes a missing need a failure; without it nothing of the
# package runs, and go test says so. Those with a browser wait more than they work, so
# three run at once.
e2e: e2e/node_modules/.package-lock.json examples/express/node_modules/.package-lock.json
	E2E=1 $(GO) test -count=1 -parallel 3 -timeout 15m ./e2e

%/node_modules/.package-lock.json: %/package-lock.json %/package.json
	cd $* && $(NPM_CI)
	@touch $@

$(TWILIO):
	@mkdir -p $(@D)
	cd $(@D) && npm pack --silent @twilio/cli-core@9.0.0

prove: needs e2e/node_modules/.package-lock.json examples/express/node_modules/.package-lock.json
	E2E=1 $(RACE) $(GO) test -race -timeout 1h $(PACKAGES)
	@for package in $$($(GO) list ./...); do \
		for target in $$($(GO) test -list '^Fuzz' $$package | grep '^Fuzz'); do \
			echo "$$package $$target"; \
			$(GO) test -run '^$$' -fuzz "^$$target$$" -fuzztime $(FUZZTIME) $$package || exit 1; \
		done; \
	done
	SIMULATION_TIME=$(SIMULATE) $(GO) test -count=1 -timeout 24h -v -run TestSeeds ./simulation
	E2E=1 E2E_ROUNDS=$(ROUNDS) $(GO) test -count=1 -timeout 24h -v -run '$(FAULTS)' ./e2e
	$(GO) run ./bench -engine $(ENGINE) -soak $(SOAK)
	$(GO) run ./bench -engine $(ENGINE) -sizes 1000000,10000000 -only signin,refresh,user,address

# ARGS are further flags, like -markdown bench/README.md.
bench:
	$(GO) run ./bench -engine $(ENGINE) $(ARGS)

screenshots: build
	$(GO) run ./docs/internal/screenshots $(BIN) docs/images

generate:
	$(GO) generate ./...

clean:
	rm -rf bin sdk/dist e2e/node_modules examples/express/node_modules
