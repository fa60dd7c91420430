package store

import (
	"fmt"
	"math/bits"
	"time"

	"github.com/splitpin/splitpin"
)

// charge decides about one charge by the generic cell rate algorithm. mark is
// the limit's only state: the moment, in microseconds since 1970, at which the
// bucket will be full again; zero or anything in the past is a full bucket.
//
// It returns the mark to keep, charged or not, and zero, or how long until the
// charge would be admitted. A charge that never can be (its cost exceeds the
// burst, or the burst is not positive) waits a whole period.
//
// A cost of zero asks whether one more would be admitted and takes nothing. A
// mark further ahead than an empty bucket could set it, because a clock jumped
// or the limit was changed, counts as an empty bucket from now on: nobody waits
// longer than the period. But as far ahead as another node's clock may be, it is that
// node's: two that took each other's debt for a jump would let it go in turns.
func charge(mark int64, c splitpin.Charge, now time.Time) (keep int64, wait time.Duration) {
	at, period := now.UnixMicro(), c.Period.Microseconds()
	if c.Burst <= 0 || period <= 0 {
		return mark, max(c.Period, time.Microsecond)
	}
	mark = max(mark, at)
	if mark > at+period+2*splitpin.ClockSkew.Microseconds() {
		mark = at + period
	}
	if c.Cost < 0 {
		return max(mark-share(period, -c.Cost, c.Burst), at), 0
	}
	next := mark + share(period, max(c.Cost, 1), c.Burst)
	if over := next - (at + period); over > 0 {
		return mark, time.Duration(min(over, period)) * time.Microsecond
	}
	if c.Cost == 0 {
		return mark, 0
	}
	return next, 0
}

// distinct returns an error where a key stands in charges twice: an engine that
// decides about all of them before it saves any would charge it once.
func distinct(charges []splitpin.Charge) error {
	for i, c := range charges {
		for _, other := range charges[:i] {
			if c.Key == other.Key {
				return fmt.Errorf("limit %d is charged twice at once", c.Key)
			}
		}
	}
	return nil
}

// share returns period × cost ÷ burst without overflow, at most twice the
// period, which no charge survives.
func share(period int64, cost, burst int) int64 {
	if cost > burst {
		return 2 * period
	}
	high, low := bits.Mul64(uint64(period), uint64(cost))
	part, _ := bits.Div64(high, low, uint64(burst))
	return int64(part)
}
