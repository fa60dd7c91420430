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

# Twilio's description of its API, which the tests hold our requests against, lies in a
# package of its command line. Nothing of that is installed or run.
TWILIO   := delivery/testdata/twilio-cli-core-9.0.0.tgz

