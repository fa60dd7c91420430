package signin_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/splitpin/splitpin"
	"github.com/splitpin/splitpin/signin"
)

// A guard of the door: it says yes to one token, and breaks where told to.
type doorman struct {
	asked  []string
	broken error
	waits  func() // happens while it is asked; nil: nothing
}

func (d *doorman) Verify(_ context.Context, token string) (bool, error) {
	d.asked = append(d.asked, token)
	if d.waits != nil {
		d.waits()
	}
	return token == "person", d.broken
}

// The rule of the project says when a captcha is asked; a wrong one is asked for again.
func TestCaptchaRule(t *testing.T) {
	h := newHouse(t)
	d := &doorman{}
	h.UseCaptcha(d)
	start := func(v *visitor, rule splitpin.CaptchaRule, token string) error {
		h.shop = h.set(h.shop, func(s *splitpin.Settings) { s.Captcha = rule })
		req := v.request(ada)
		req.Project, req.Captcha = h.shop, token
		_, err := v.Start(t.Context(), req)
		return err
	}
	for i, test := range []struct {
		name  string
		rule  splitpin.CaptchaRule
		token string
		want  *splitpin.Error
		asked int
	}{
		{name: "never", rule: splitpin.CaptchaNever},
		{name: "for phones, and this is none", rule: splitpin.CaptchaPhone},
		{name: "on escalation, and this is none", rule: splitpin.CaptchaEscalation},
		{name: "always, and none was shown", rule: splitpin.CaptchaAlways, want: signin.ErrCaptcha},
		{name: "always, and a program", rule: splitpin.CaptchaAlways, token: "program", want: signin.ErrCaptcha, asked: 1},
		{name: "always, and a person", rule: splitpin.CaptchaAlways, token: "person", asked: 1},
		{name: "never, and a program shows one", rule: splitpin.CaptchaNever, token: "program", want: signin.ErrCaptcha, asked: 1},
	} {
		d.asked = nil
		h.clock.wait(10 * time.Minute)
		err := start(h.visitor(fmt.Sprintf("203.0.113.%d", i+1)), test.rule, test.token)
		if test.want != nil {
			refused(t, test.name, err, test.want)
		} else if err != nil {
			t.Errorf("%s: %v", test.name, err)
		}
		if len(d.asked) != test.asked {
			t.Errorf("%s: the provider was asked %d times, want %d", test.name, len(d.asked), test.asked)
		}
	}
}

// On escalation a captcha takes the place of the puzzle, and with one the network goes on.
func TestCaptchaOnEscalation(t *testing.T) {
	h := newHouse(t)
	h.UseCaptcha(&doorman{})
	h.shop = h.set(h.shop, func(s *splitpin.Settings) { s.Captcha, s.Limits.StartsPerNetwork = splitpin.CaptchaEscalation, 1 })
	v := h.visitor("203.0.113.7")
	v.start("p0@example.org")
	for i := range 3 {
		req := v.request(fmt.Sprintf("q%d@example.org", i))
		_, err := v.Start(t.Context(), req)
		refused(t, "a second start", err, signin.ErrCaptcha)
		req.Captcha = "person"
		if _, err := v.Start(t.Context(), req); err != nil {
			t.Fatalf("a person: %v", err)
		}
	}
}

// Where nobody can say who is a person, a hard puzzle takes the place of the captcha: an
// outage elsewhere neither locks people out nor lets programs in for nothing.
func TestCaptchaIsBroken(t *testing.T) {
	h := newHouse(t)
	d := &doorman{broken: errors.New("no answer")}
	h.UseCaptcha(d)
	h.shop = h.set(h.shop, func(s *splitpin.Settings) { s.Captcha = splitpin.CaptchaAlways })
	v := h.visitor("203.0.113.7")
	req := v.request(ada)
	req.Captcha = "person"
	_, err := v.Start(t.Context(), req)
	puzzle := refused(t, "the provider is away", err, signin.ErrChallenge)
	if puzzle.Challenge[:3] != "22." {
		t.Errorf("the puzzle is %s, want a hard one", puzzle.Challenge[:3])
	}
	if !errors.Is(err, d.broken) {
		t.Errorf("the operator is not told why: %v", err)
	}
	req.Puzzle = solve(t, puzzle.Challenge)
	if _, err := v.Start(t.Context(), req); err != nil {
		t.Errorf("solved: %v", err)
	}
	req.Puzzle, req.Identifier = "", "bob@example.org"
	_, err = v.Start(t.Context(), req)
	refused(t, "the next one", err, signin.ErrChallenge)

	// Who solves a puzzle while the provider is there has shown no captcha.
	d.broken = nil
	req.Captcha, req.Puzzle = "", solve(t, refused(t, "one more", err, signin.ErrChallenge).Challenge)
	_, err = v.Start(t.Context(), req)
	refused(t, "a puzzle in place of a captcha", err, signin.ErrCaptcha)
}

// One network cannot make us ask the provider without end.
func TestCaptchasOfANetworkAreBounded(t *testing.T) {
	h := newHouse(t)
	d := &doorman{}
	h.UseCaptcha(d)
	v := h.visitor("203.0.113.7")
	var err error
	for range 200 {
		req := v.request(ada)
		req.Captcha = "program"
		_, err = v.Start(t.Context(), req)
	}
	refused(t, "after many", err, signin.ErrManyStarts)
	if len(d.asked) > 60 {
		t.Errorf("the provider was asked %d times", len(d.asked))
	}
}
