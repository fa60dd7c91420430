package simulation_test

import (
	"fmt"
	"os"
	"runtime"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"testing/cryptotest"
	"time"

	"github.com/splitpin/splitpin/simulation"
)

// What to run. Nothing set: the seeds from 1 to standardSeeds.
const (
	seedEnv     = "SIMULATION_SEED"  // this one alone
	seedsEnv    = "SIMULATION_SEEDS" // so many, from 1 on
	durationEnv = "SIMULATION_TIME"  // as many as fit into it ("2h"), from a seed that is different each time
)

const standardSeeds = 2000

// TestSeeds runs worlds, one after another on each processor, and stops at the
// first that breaks.
func TestSeeds(t *testing.T) {
	if text := os.Getenv(seedEnv); text != "" {
		seed, err := strconv.ParseUint(text, 10, 64)
		if err != nil {
			t.Fatalf("%s: %v", seedEnv, err)
		}
		cryptotest.SetGlobalRandom(t, seed) // keys and tokens are the same each time too
		report(t, simulation.Run(seed))
		return
	}
	first, last, end := uint64(1), uint64(standardSeeds), time.Time{}
	if testing.Short() {
		last = standardSeeds / 20
	}
	if text := os.Getenv(seedsEnv); text != "" {
		n, err := strconv.ParseUint(text, 10, 64)
		if err != nil || n == 0 {
			t.Fatalf("%s must be a number of seeds: %q", seedsEnv, text)
		}
		last = n
	}
	if text := os.Getenv(durationEnv); text != "" {
		d, err := time.ParseDuration(text)
		if err != nil {
			t.Fatalf("%s: %v", durationEnv, err)
		}
		first, last, end = uint64(time.Now().Unix())<<24, 1<<63, time.Now().Add(d)
	}
	var (
		next   atomic.Uint64
		broken atomic.Bool
		mu     sync.Mutex
		total  simulation.Counts
		group  sync.WaitGroup
	)
	next.Store(first)
	for range runtime.GOMAXPROCS(0) {
		group.Go(func() {
			for !broken.Load() && (end.IsZero() || time.Now().Before(end)) {
				seed := next.Add(1) - 1
				if seed > last {
					return
				}
				r := simulation.Run(seed)
				mu.Lock()
				total.Add(r.Counts)
				if r.Err != nil && !broken.Swap(true) {
					report(t, r)
				}
				mu.Unlock()
			}
		})
	}
	group.Wait()
	t.Logf("what happened:\n%s", total)
	if !broken.Load() && total.Runs >= 500 {
		for _, lack := range total.Lacks() {
			t.Errorf("the simulation is asleep: %s", lack)
		}
	}
}

func report(t *testing.T, r *simulation.Result) {
	t.Helper()
	if r.Err == nil {
		t.Logf("seed %d: nothing broke; trace %s, %d events\n%s", r.Seed, r.Trace, r.Counts.Events, r.Counts)
		return
	}
	t.Errorf("seed %d: %v\n\nagain: %s=%d go test -count=1 -run TestSeeds ./simulation\n\nthe last events (see docs/simulation.md):\n%s",
		r.Seed, r.Err, seedEnv, r.Seed, r.Last)
}

// The same seed gives the same course of events, to the byte, whatever keys and
// tokens chance makes.
func TestSameSeedSameTrace(t *testing.T) {
	seen := map[string]bool{}
	for seed := range uint64(40) {
		var traces [2]string
		for i := range traces {
			cryptotest.SetGlobalRandom(t, 1000*seed+uint64(i))
			r := simulation.Run(seed)
			if r.Err != nil {
				t.Fatalf("seed %d: %v", seed, r.Err)
			}
			traces[i] = fmt.Sprintf("%s %+v", r.Trace, r.Counts)
		}
		if traces[0] != traces[1] {
			t.Errorf("seed %d took two courses:\n%s\n%s", seed, traces[0], traces[1])
		}
		seen[traces[0]] = true
	}
	if len(seen) != 40 {
		t.Errorf("40 seeds took %d courses", len(seen))
	}
}
