package server

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"
)

// Strangers choose how often they ask for another host or whether the server is
// ready. The log hears of it once a minute, with how often it was.
func TestLogHearsOfStrangersSeldom(t *testing.T) {
	tests := []struct {
		name, line string
		ask        ask
		status     int
	}{
		{"another host", `msg="request for a host that is not ours`, ask{method: "GET", path: "/signin", host: "evil.example"}, 421},
		{"not ready", `msg="not ready"`, ask{method: "GET", path: "/readyz"}, 503},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			h := newHouse(t)
			clock := time.Now()
			h.server.Clock = func() time.Time { return clock }
			h.server.ready = newVerdict(func(context.Context) error { return errors.New("the database is away") })
			lines := func() (found []string) {
				for line := range strings.Lines(h.log.String()) {
					if strings.Contains(line, test.line) {
						found = append(found, line)
					}
				}
				return found
			}
			for range 50 {
				if w := h.do(test.ask); w.Code != test.status {
					t.Fatalf("got %d, want %d", w.Code, test.status)
				}
			}
			if told := lines(); len(told) != 1 || !strings.Contains(told[0], "times=1\n") {
				t.Errorf("after 50 at once the log has %q, want one line, of the first", told)
			}
			clock = clock.Add(time.Minute)
			h.do(test.ask)
			if told := lines(); len(told) != 2 || !strings.Contains(told[1], "times=50\n") {
				t.Errorf("a minute later the log has %q, want a second line, of 50", told)
			}
		})
	}
}
