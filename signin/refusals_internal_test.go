package signin

import (
	"fmt"
	"testing"

	"github.com/splitpin/splitpin"
)

// Whoever tries every prefix there is fills no table with them.
func TestRefusalsAreBounded(t *testing.T) {
	var r refusals
	p := &splitpin.Project{Number: 1}
	const all = 10 * refusalsMax
	for i := range all {
		r.count(p, &slicedError{ErrPhonePaused, fmt.Sprintf("prefix +49%04d", i), "DE"})
	}
	if n := len(r.counts); n > refusalsMax+1 {
		t.Errorf("there are %d counts", n)
	}
	sum := 0
	for _, n := range r.counts {
		sum += n
	}
	if sum != all || r.phones[PhoneRefusal{"phone_paused", "DE"}] != all {
		t.Errorf("%d and %v were counted of %d", sum, r.phones, all)
	}
}
