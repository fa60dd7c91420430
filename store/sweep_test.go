package store

import (
	"errors"
	"slices"
	"testing"
)

// TestSweepGoesOn: a place without anything dead is looked at once a round, however many
// batches the others need. Otherwise a server whose limits come and go by the thousand
// would look through its tables without end.
func TestSweepGoesOn(t *testing.T) {
	dead := []int{0, 500, 3, 450}
	var s sweeps
	var looked [][]int
	for {
		var call []int
		swept, err := s.round(len(dead), 200, func(place, limit int) (int, error) {
			call = append(call, place)
			gone := min(dead[place], limit)
			dead[place] -= gone
			return gone, nil
		})
		if err != nil {
			t.Fatal(err)
		}
		if looked = append(looked, call); swept < 200 {
			break
		}
	}
	want := [][]int{{0, 1}, {1}, {1, 2, 3}, {3}, {3}}
	if !slices.EqualFunc(looked, want, slices.Equal) || slices.Max(dead) > 0 {
		t.Errorf("the calls looked at %v and left %v, want %v and nothing", looked, dead, want)
	}

	failure := errors.New("no")
	dead = []int{10, 10}
	sweep := func(place, limit int) (int, error) {
		if place == 1 && failure != nil {
			return 0, failure
		}
		gone := min(dead[place], limit)
		dead[place] -= gone
		return gone, nil
	}
	if swept, err := s.round(len(dead), 200, sweep); swept != 10 || err != failure {
		t.Errorf("with a place that fails: %d swept, error %v; want 10 and the failure", swept, err)
	}
	failure = nil
	if swept, err := s.round(len(dead), 200, sweep); swept != 10 || err != nil {
		t.Errorf("after that: %d swept, error %v; want the other 10", swept, err)
	}
}
