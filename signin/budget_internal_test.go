package signin

import (
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/splitpin/splitpin"
)

// What a bucket of money holds, and what comes in again in its period, also by the
// earliest and the latest clock there may be, pays for no more than the budget.
func TestPortion(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		cost := rapid.Int64Range(1, 1e9).Draw(t, "cost")
		budget := rapid.Int64Range(1, 1e13).Draw(t, "budget")
		period := rapid.SampledFrom([]time.Duration{time.Hour, day}).Draw(t, "period")
		part := int64(portion(cost, budget, period))
		if part <= 0 {
			t.Fatalf("%d of %d takes %d", cost, budget, part)
		}
		all := 2 * (period + splitpin.ClockSkew).Microseconds()
		if sum := all / part * cost; sum > budget && part <= period.Microseconds() {
			t.Fatalf("%d messages of %d are paid from %d", all/part, cost, budget)
		}
		// And nearly all of it, where a message is small.
		if sum := all / part * cost; cost < budget/1000 && part > 1000 && sum < budget*99/100 {
			t.Fatalf("only %d of %d can be spent", sum, budget)
		}
	})
	if portion(0, 1, day) != 0 {
		t.Error("what costs nothing takes something")
	}
	for _, budget := range []int64{0, -1} {
		if got := portion(1, budget, day); int64(got) <= day.Microseconds() {
			t.Errorf("a budget of %d pays for a message, with %d", budget, got)
		}
	}
}
