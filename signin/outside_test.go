package signin_test

import (
	"context"
	"encoding/json"
	"errors"
	"testing"
	"time"

	"github.com/splitpin/splitpin"
	"github.com/splitpin/splitpin/signin"
)

// A seat is the place of a request. Full lets nobody leave.
type seat struct {
	left, returned int
	full           bool
}

func (s *seat) Leave() error {
	if s.full {
		return splitpin.ErrUnavailable
	}
	s.left++
	return nil
}

func (s *seat) Return() { s.returned++ }

func TestOutside(t *testing.T) {
	s := &seat{}
	ctx := signin.WithPlace(t.Context(), s)
	stop := errors.New("stop")
	err := signin.Outside(ctx, func(ctx context.Context) error {
		return signin.Outside(ctx, func(context.Context) error { return stop })
	})
	if !errors.Is(err, stop) || s.left != 1 || s.returned != 1 {
		t.Errorf("%v after %+v; want the error, and one way out and in", err, *s)
	}
	func() {
		defer func() { recover() }()
		signin.Outside(ctx, func(context.Context) error { panic("gone") })
	}()
	if s.returned != 2 {
		t.Errorf("after a panic: %+v", *s)
	}
	s.full = true
	if err := signin.Outside(ctx, func(context.Context) error { t.Error("it waited"); return nil }); !errors.Is(err, splitpin.ErrUnavailable) {
		t.Errorf("where too many are away: %v", err)
	}
}

// Whatever the engine waits for, it holds no place meanwhile.
func TestNobodyWaitsInAPlace(t *testing.T) {
	s := &seat{}
	asked := 0
	away := func() {
		t.Helper()
		if asked++; s.left != asked || s.returned != asked-1 {
			t.Errorf("wait %d: left %d times and came back %d times", asked, s.left, s.returned)
		}
	}
	h := phones(t, nil)
	h.db.once = false
	ctx := signin.WithPlace(t.Context(), s)
	v := h.visitor("203.0.113.7")

	h.provider = &provider{waits: away}
	text, err := v.text("+447400123456")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := v.Answer(ctx, v.opened(text).handle, said("4711")); err != nil {
		t.Fatal(err)
	}

	h.UseCaptcha(&doorman{waits: away})
	req := v.request(ada)
	req.Captcha = "person"
	if _, err := v.Start(ctx, req); err != nil {
		t.Fatal(err)
	}

	h.shop = h.set(h.shop, func(s *splitpin.Settings) {
		s.Site.Completion.URL = "https://shop.example/done"
		s.Site.Forms = map[string]splitpin.Form{"join": {}}
	})
	v.project = h.shop
	c := v.signIn(ada)
	completion := signin.CompletionRequest{Project: h.shop, Form: "join", Token: c.Tokens.AccessToken, By: v.by}
	if err := h.CompleteForm(ctx, completion, func(context.Context, *signin.Completion) error { away(); return nil }); err != nil {
		t.Fatal(err)
	}

	h.pause = func(_ context.Context, d time.Duration) error { away(); h.clock.wait(d); return nil }
	req = v.request("")
	req.Method, req.Purpose, req.User, req.Session, req.Challenge, req.HandOver = "card", splitpin.Enrol, c.User, c.Session, "", true
	if _, err := v.Start(ctx, req); err != nil {
		t.Fatal(err)
	}
	taken, err := v.TakeOver(ctx, signin.TakeOverRequest{Project: h.shop, Method: "card", Identifier: ada, Origin: v.origin, By: v.by})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := v.Answer(ctx, v.opened(taken).handle, json.RawMessage(`{"card":"hers"}`)); err != nil {
		t.Fatal(err)
	}
	equal(t, "how often the engine waited", asked, 4)
}
