package store

import (
	"testing"
	"time"

	"github.com/splitpin/splitpin"
)

// Nodes whose clocks differ as much as they may take no more out of a bucket together
// than one whose clock is the later of the two: no node takes the debt of another for a
// clock that jumped.
func TestClocksThatDiffer(t *testing.T) {
	memory := NewMemory()
	db := memory.Open()
	defer db.Close()
	now := time.Date(2026, 3, 14, 9, 26, 53, 0, time.UTC)
	c := splitpin.Charge{Key: 1, Burst: 1000, Period: 1000 * time.Second, Cost: 1}
	admitted := 0
	for i := range 10_000 {
		skew := splitpin.ClockSkew * time.Duration(2*(i/50%2)-1)
		refused, _, err := db.Take(t.Context(), now.Add(skew), c)
		if err != nil {
			t.Fatal(err)
		}
		if refused < 0 {
			admitted++
		}
	}
	if most := 1000 + 10; admitted > most {
		t.Errorf("%d were admitted, at most %d may be", admitted, most)
	}
}
