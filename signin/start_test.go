package signin_test

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/splitpin/splitpin"
	"github.com/splitpin/splitpin/account"
	"github.com/splitpin/splitpin/signin"
	"github.com/splitpin/splitpin/signin/code"
)

func TestStart(t *testing.T) {
	tests := []struct {
		name   string
		change func(*house, *signin.StartRequest)
		want   *splitpin.Error
	}{
		{name: "as the form does", change: func(*house, *signin.StartRequest) {}},
		{name: "an unknown method", want: signin.ErrMethod, change: func(_ *house, r *signin.StartRequest) { r.Method = "carrier_pigeon" }},
		{name: "no method", want: signin.ErrNoMethod, change: func(_ *house, r *signin.StartRequest) { r.Method = "" }},
		{name: "purpose sign_in", change: func(_ *house, r *signin.StartRequest) { r.Purpose = splitpin.SignIn }},
		{name: "another purpose", want: signin.ErrPurpose, change: func(_ *house, r *signin.StartRequest) { r.Purpose = "link" }},
		{name: "no address", want: account.ErrIdentifier, change: func(_ *house, r *signin.StartRequest) { r.Identifier = " " }},
		{name: "a phone number, which this method cannot reach", want: account.ErrIdentifier,
			change: func(_ *house, r *signin.StartRequest) { r.Identifier = "+4917012345678" }},
		{name: "a name", want: account.ErrIdentifier, change: func(_ *house, r *signin.StartRequest) { r.Identifier = "ada" }},

		{name: "no challenge", want: signin.ErrChallengeForm, change: func(_ *house, r *signin.StartRequest) { r.Challenge = "" }},
		{name: "a challenge with padding", want: signin.ErrChallengeForm, change: func(_ *house, r *signin.StartRequest) { r.Challenge += "=" }},
		{name: "a challenge that is too short", want: signin.ErrChallengeForm, change: func(_ *house, r *signin.StartRequest) { r.Challenge = r.Challenge[1:] }},
		{name: "a challenge with a line end", want: signin.ErrChallengeForm,
			change: func(_ *house, r *signin.StartRequest) { r.Challenge = r.Challenge[:42] + "\n" }},
		{name: "a challenge whose last character says too much", want: signin.ErrChallengeForm,
			change: func(_ *house, r *signin.StartRequest) { r.Challenge = strings.Repeat("A", 42) + "B" }},
		{name: "standard base64", want: signin.ErrChallengeForm,
			change: func(_ *house, r *signin.StartRequest) { r.Challenge = "+" + r.Challenge[1:] }},

		{name: "a page that is not listed", want: signin.ErrOrigin, change: func(_ *house, r *signin.StartRequest) { r.Origin = "https://evil.example" }},
		{name: "a page of another project", want: signin.ErrOrigin, change: func(_ *house, r *signin.StartRequest) { r.Origin = clubOrigin }},
		{name: "an origin with a path", want: signin.ErrOrigin, change: func(_ *house, r *signin.StartRequest) { r.Origin += "/" }},
		{name: "an origin in capitals", want: signin.ErrOrigin, change: func(_ *house, r *signin.StartRequest) { r.Origin = "https://SHOP.example" }},
		{name: "a page that only * lists", want: signin.ErrOrigin, change: func(h *house, r *signin.StartRequest) {
			r.Project = h.set(h.shop, func(s *splitpin.Settings) { s.Origins = []string{"*"} })
		}},
		{name: "the origin null", want: signin.ErrOrigin, change: func(h *house, r *signin.StartRequest) { r.Origin = "null" }},

		{name: "a destination instead of an origin", change: func(_ *house, r *signin.StartRequest) { r.Origin, r.Destination = "", shopOrigin+"/done" }},
		{name: "a destination of an app", change: func(_ *house, r *signin.StartRequest) { r.Origin, r.Destination = "", "shop://auth" }},
		{name: "a destination of another app", want: signin.ErrRedirect,
			change: func(_ *house, r *signin.StartRequest) { r.Origin, r.Destination = "", "evil://auth" }},
		{name: "a destination that is not listed", want: signin.ErrRedirect,
			change: func(_ *house, r *signin.StartRequest) { r.Destination = "https://evil.example/" }},
		{name: "a destination that only * lists", want: signin.ErrRedirect, change: func(h *house, r *signin.StartRequest) {
			r.Project = h.set(h.shop, func(s *splitpin.Settings) { s.Origins = []string{"*"} })
			r.Origin, r.Destination = "", shopOrigin
		}},
		{name: "a destination that only :// lists", want: signin.ErrRedirect, change: func(h *house, r *signin.StartRequest) {
			r.Project = h.set(h.shop, func(s *splitpin.Settings) { s.Origins = []string{"://"} })
			r.Origin, r.Destination = "", "shop://auth"
		}},
		{name: "a return page, with a query", change: returning(shopOrigin + "/login?plan=gold#top")},
		{name: "a page of the same site that is none of its return pages", want: signin.ErrRedirect, change: returning(shopOrigin + "/out?to=https://evil.example")},
		{name: "the same, though the page that asks is listed", want: signin.ErrRedirect, change: func(h *house, r *signin.StartRequest) {
			returning(shopOrigin+"/out")(h, r)
			r.Origin = shopOrigin
		}},
		{name: "the origin of a site that has return pages, as its page gets the code itself", change: func(h *house, r *signin.StartRequest) {
			returning("")(h, r)
			r.Origin = shopOrigin
		}},
		{name: "another address of the same app", want: signin.ErrRedirect, change: returning("shop://elsewhere/done")},
		{name: "a script as destination", want: signin.ErrRedirect, change: func(_ *house, r *signin.StartRequest) { r.Destination = "javascript:alert(1)" }},
		{name: "user info in the destination", want: signin.ErrRedirect,
			change: func(_ *house, r *signin.StartRequest) { r.Destination = "https://shop.example@evil.example/" }},
		{name: "a destination of 3 KiB", want: signin.ErrRedirect,
			change: func(_ *house, r *signin.StartRequest) { r.Destination = shopOrigin + "/" + strings.Repeat("x", 3<<10) }},
		{name: "neither origin nor destination", want: signin.ErrRedirect, change: func(_ *house, r *signin.StartRequest) { r.Origin = "" }},
		{name: "an unlisted page before a listed destination", want: signin.ErrOrigin,
			change: func(_ *house, r *signin.StartRequest) {
				r.Origin, r.Destination = "https://evil.example", shopOrigin
			}},

		{name: "an address on the list", change: forms(map[string]splitpin.AllowList{"": {Identifiers: []string{ada}}}, "")},
		{name: "a domain on the list", change: forms(map[string]splitpin.AllowList{"": {Domains: []string{"example.org"}}}, "")},
		{name: "an address that is not on the list", want: signin.ErrNotAdmitted,
			change: forms(map[string]splitpin.AllowList{"": {Identifiers: []string{"bob@example.org"}, Domains: []string{"example.com", "ample.org"}}}, "")},
		{name: "an empty list", want: signin.ErrNotAdmitted, change: forms(map[string]splitpin.AllowList{"": {}}, "")},
		{name: "another form, where the project has a list of its own", want: signin.ErrNotAdmitted,
			change: forms(map[string]splitpin.AllowList{"": {}}, "newsletter")},
		{name: "another form, where only one form has a list", want: signin.ErrNotAdmitted, change: forms(map[string]splitpin.AllowList{"staff": {}}, "newsletter")},
		{name: "the form that has a list", want: signin.ErrNotAdmitted, change: forms(map[string]splitpin.AllowList{"staff": {}}, "staff")},
		{name: "a form name with a zero byte", want: &splitpin.Error{Kind: splitpin.Invalid, Code: "invalid_request", Field: "form_id"},
			change: func(_ *house, r *signin.StartRequest) { r.FormID = "shop\x00" }},
		{name: "a destination that is not UTF-8", want: &splitpin.Error{Kind: splitpin.Forbidden, Code: "redirect_not_allowed", Field: "redirect_url"},
			change: func(_ *house, r *signin.StartRequest) { r.Destination = shopOrigin + "/\xff" }},
		{name: "a form name of 3 KiB", want: &splitpin.Error{Kind: splitpin.Invalid, Code: "invalid_request", Field: "form_id"},
			change: func(_ *house, r *signin.StartRequest) { r.FormID = strings.Repeat("x", 3<<10) }},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			h := newHouse(t)
			v := h.visitor("203.0.113.7")
			req := v.request(ada)
			test.change(h, &req)
			s, err := h.Start(t.Context(), req)
			if test.want != nil {
				refused(t, "starting", err, test.want)
				messages, err := h.db.Messages(t.Context(), splitpin.MessageFilter{}, 10)
				if err != nil || len(messages) != 0 {
					t.Errorf("after a refusal: %d messages, %v", len(messages), err)
				}
				return
			}
			if err != nil {
				t.Fatalf("starting: %v", err)
			}
			equal(t, "purpose", h.attempt(s.Attempt.ID).Purpose, splitpin.SignIn)
		})
	}
}

// returning asks for a destination where the shop names its return pages.
func returning(to string) func(*house, *signin.StartRequest) {
	return func(h *house, r *signin.StartRequest) {
		r.Project = h.set(h.shop, func(s *splitpin.Settings) {
			s.ReturnPages = []string{shopOrigin + "/login", "shop://auth/done"}
		})
		r.Origin, r.Destination = "", to
	}
}

func forms(lists map[string]splitpin.AllowList, form string) func(*house, *signin.StartRequest) {
	return func(h *house, r *signin.StartRequest) {
		r.Project = h.set(h.shop, func(s *splitpin.Settings) { s.Forms = lists })
		r.FormID = form
	}
}

// A stranger cannot tell from a start whether somebody signs in there.
func TestStartDoesNotTellWhoIsKnown(t *testing.T) {
	h := newHouse(t)
	v := h.visitor("203.0.113.7")
	v.signIn(ada)
	h.clock.wait(time.Hour)
	known, unknown := v.start(ada), v.start("bob@example.org")
	equal(t, "form", known.Form, unknown.Form)
	for _, o := range []*opened{known, unknown} {
		o.Attempt.ID, o.Attempt.Identifier, o.Attempt.Starter = splitpin.AttemptID{}, "", [16]byte{}
	}
	if a, b := known.Attempt, unknown.Attempt; string(a.Data) != string(b.Data) || a.ExpiresAt != b.ExpiresAt ||
		a.MaxTries != b.MaxTries || a.Sends != b.Sends || a.NextSendAt != b.NextSendAt || a.User != b.User {
		t.Errorf("the attempt for a user differs from one for nobody:\n%+v\n%+v", a, b)
	}
}

func TestResend(t *testing.T) {
	h := newHouse(t)
	v := h.visitor("203.0.113.7")
	v.by.Known = h.known(ada) // a lane with room enough
	o := v.start(ada)
	code, expires := o.right(), o.Attempt.ExpiresAt
	resend := func() error {
		s, err := h.Resend(t.Context(), o.handle, "")
		if err == nil {
			equal(t, "expiry", s.Attempt.ExpiresAt, expires)
			o.Attempt = s.Attempt
		}
		return err
	}

	equal(t, "may be asked for again in", signin.ResendIn(h.clock.now(), o.Attempt), 30*time.Second)
	equal(t, "wait", refused(t, "at once", resend(), signin.ErrSoon).RetryAfter, 30*time.Second)
	h.clock.wait(30*time.Second - time.Microsecond)
	equal(t, "wait", refused(t, "a moment too soon", resend(), signin.ErrSoon).RetryAfter, time.Microsecond)
	if _, err := o.answer(o.wrong()); err == nil {
		t.Fatal("a wrong answer was right")
	}
	for i := range 3 {
		h.clock.wait(30 * time.Second)
		if err := resend(); err != nil {
			t.Fatalf("message %d: %v", i+2, err)
		}
		equal(t, "code", o.right(), code)
		equal(t, "tries", o.Attempt.Tries, 1)
	}
	h.clock.wait(30 * time.Second)
	refused(t, "a fifth message", resend(), signin.ErrNoMore)
	if wait := signin.ResendIn(h.clock.now(), o.Attempt); wait >= 0 {
		t.Errorf("a fifth message is offered in %v", wait)
	}
	for i, m := range h.messages(o) { // newest first
		equal(t, "sequence", m.Sequence, 4-i)
		equal(t, "message expires", m.ExpiresAt, expires)
	}
	if _, err := o.answer(code); err != nil {
		t.Errorf("the code of the first message: %v", err)
	}
	refused(t, "after the proof", resend(), signin.ErrOver)

	h.clock.wait(time.Hour)
	o = v.start(ada)
	h.clock.wait(10 * time.Minute)
	refused(t, "after it expired", resend(), signin.ErrOver)
}

// Two clicks that meet send one message, and only that is charged.
// lost is a store whose steps are saved, and whose answers do not arrive.
type lost struct{ splitpin.Store }

func (l lost) Change(ctx context.Context, reads splitpin.Reads, decide func(*splitpin.Records) (splitpin.Writes, error)) error {
	if err := l.Store.Change(ctx, reads, decide); err != nil {
		return err
	}
	return splitpin.ErrUncertain
}

// A message whose commit nobody knows of may be queued, so the lane gets nothing
// back for it.
func TestResendWhoseAnswerIsLost(t *testing.T) {
	h := newHouse(t)
	v := h.visitor("203.0.113.7")
	o := v.start(ada)
	h.clock.wait(time.Minute)
	plain := h.db.Store
	h.db.Store = lost{plain}
	if _, err := h.Resend(t.Context(), o.handle, ""); !errors.Is(err, splitpin.ErrUncertain) {
		t.Fatalf("a lost answer: %v", err)
	}
	h.db.Store = plain
	equal(t, "messages", len(h.messages(o)), 2)
	if _, err := v.Start(t.Context(), v.request(ada)); err != nil {
		t.Errorf("the third message of the lane: %v", err)
	}
	_, err := v.Start(t.Context(), v.request(ada))
	refused(t, "a fourth one", err, signin.ErrManyMessages)
}

func TestDoubleClickSendsOnce(t *testing.T) {
	h := newHouse(t)
	v := h.visitor("203.0.113.7")
	o := v.start(ada)
	h.clock.wait(time.Minute)
	var mu sync.Mutex
	sent, soon := 0, 0
	h.together(2, func(ctx context.Context, _ int) {
		_, err := h.Resend(ctx, o.handle, "")
		mu.Lock()
		defer mu.Unlock()
		switch e := splitpin.ErrorOf(err); {
		case err == nil:
			sent++
		case e != nil && e.Code == signin.ErrSoon.Code:
			soon++
		default:
			t.Errorf("a click: %v", err)
		}
	})
	equal(t, "sent", sent, 1)
	equal(t, "refused", soon, 1)
	equal(t, "messages", len(h.messages(o)), 2)
	// The lane holds three: start, one click, and this one.
	if _, err := v.Start(t.Context(), v.request(ada)); err != nil {
		t.Errorf("the third message of the lane: %v", err)
	}
}

// Attempts by different starters live side by side.
func TestNoAttemptEndsAnother(t *testing.T) {
	h := newHouse(t)
	owner, stranger := h.visitor("203.0.113.7").start(ada), h.visitor("198.51.100.1").start(ada)
	for range 5 {
		stranger.answer(stranger.wrong())
	}
	_, err := stranger.answer(stranger.right())
	refused(t, "the stranger's attempt", err, signin.ErrTries)
	if _, err := owner.answer(stranger.right()); err == nil && owner.right() != stranger.right() {
		t.Error("the code of another attempt was taken")
	}
	owner.mustAnswer()
}

func (h *house) known(identifier string) string {
	h.t.Helper()
	known, err := h.KnownBrowser(h.shop, identifier)
	if err != nil {
		h.t.Fatal(err)
	}
	return known
}

// What another process changed is noticed at the next step.
func TestProjectsOfAnotherProcess(t *testing.T) {
	h := newHouse(t)
	there, _, _ := h.node()
	h.set(h.shop, func(s *splitpin.Settings) { s.Name = "Emporium" })
	fresh := h.newProject(splitpin.Settings{Origins: []string{shopOrigin}})

	old, err := there.Project(h.shop.ID)
	if err != nil {
		t.Fatal(err)
	}
	equal(t, "name before the step", old.Name(), "Shop")
	if _, err := there.Project(fresh.ID); err == nil {
		t.Error("a new project is known before the step")
	}
	if _, err := there.Step(t.Context(), h.clock.now()); err != nil {
		t.Fatal(err)
	}
	changed, err := there.Project(h.shop.ID)
	if err != nil {
		t.Fatal(err)
	}
	equal(t, "name after the step", changed.Name(), "Emporium")
	equal(t, "name in what was given out before", old.Name(), "Shop")
	p, err := there.Project(fresh.ID)
	if err != nil {
		t.Fatal(err)
	}
	standard, err := there.Project("")
	if err != nil {
		t.Fatal(err)
	}
	equal(t, "default project", standard.ID, h.shop.ID)
	equal(t, "projects", len(there.Projects()), 3)

	// A person started here goes on there.
	v := h.visitor("203.0.113.7")
	v.project = p
	o := v.start(ada)
	g, err := there.Answer(t.Context(), o.handle, said(o.right()))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := there.Collect(t.Context(), o.collection(g)); err != nil {
		t.Errorf("collecting at the other node: %v", err)
	}
}

// places is an outbox that has a place for each message, and remembers what it was
// told of each.
type places struct{ told []*splitpin.Attempt }

func (p *places) Reserve(*splitpin.Message) func(*splitpin.Attempt) {
	open := true
	return func(a *splitpin.Attempt) {
		if open {
			p.told = append(p.told, a)
		}
		open = false
	}
}

// A step that panics, which HTTP survives, gives the place of its message back: or
// the outbox would be full one day.
func TestPanicFreesThePlace(t *testing.T) {
	h := newHouse(t)
	outbox := new(places)
	var err error
	h.Engine, err = signin.New(t.Context(), signin.Options{Store: h.db, Ring: h.ring, Tokens: h.tokens,
		Methods: []signin.Method{code.Email{}}, Clock: h.clock.now, Outbox: outbox})
	if err != nil {
		t.Fatal(err)
	}
	v := h.visitor("203.0.113.7")
	o := v.start(ada)
	if len(outbox.told) != 1 || outbox.told[0] == nil || outbox.told[0].ID != o.handle.ID {
		t.Fatalf("after a start the outbox was told of %v", outbox.told)
	}
	h.clock.wait(time.Minute)
	for name, step := range map[string]func(){
		"start":  func() { v.Start(t.Context(), v.request("bob@example.org")) },
		"resend": func() { h.Resend(t.Context(), o.handle, "") },
	} {
		outbox.told = nil
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%s: no panic", name)
				}
			}()
			h.db.meanwhile(func() { panic("a bug") })
			step()
		}()
		if len(outbox.told) != 1 || outbox.told[0] != nil {
			t.Errorf("after a %s that panicked the outbox was told of %v, want that nothing came of it", name, outbox.told)
		}
	}
}
