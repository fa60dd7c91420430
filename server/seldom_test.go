package server

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/splitpin/splitpin/api"
)

// Strangers choose how often they ask for another host or whether the server is
// ready, and how often somebody shows a captcha to a server whose provider is away.
// The log hears of it once a minute, with how often it was.
func TestLogHearsOfStrangersSeldom(t *testing.T) {
	shown := api.StartRequest{Method: "email_code", Identifier: "ada@example.org", CodeChallenge: challenge(), Origin: shop, Captcha: "of the person"}
	tests := []struct {
		name, line string
		ask        ask
		status     int
	}{
		{"another host", `msg="request for a host that is not ours`, ask{method: "GET", path: "/signin", host: "evil.example"}, 421},
		{"not ready", `msg="not ready"`, ask{method: "GET", path: "/readyz"}, 503},
		{"no captcha", `msg="the provider of captchas cannot be asked`, ask{method: "POST", path: "/v1/attempts", body: shown, header: map[string]string{"Origin": shop}}, 429},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			h := newHouse(t)
			h.engine.UseCaptcha(away{})
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
			if test.status == 429 && (!strings.Contains(h.log.String(), `error="asking somebody: no such host"`) || strings.Contains(h.log.String(), shown.Captcha)) {
				t.Errorf("the log has no cause, or the token:\n%s", h.log)
			}
		})
	}
}

// away is a captcha whose provider does not answer.
type away struct{}

func (away) Verify(context.Context, string) (bool, error) {
	return false, errors.New("asking somebody: no such host")
}
