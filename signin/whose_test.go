package signin_test

import (
	"strings"
	"testing"
	"time"

	"github.com/splitpin/splitpin"
	"github.com/splitpin/splitpin/account"
	"github.com/splitpin/splitpin/signin"
)

// Who asks for the address of one user gets a proof of that user, and of nobody else; and
// learns nothing about that user's address, as whoever is asked must first prove one.
func TestSignInForOneUser(t *testing.T) {
	h := newHouse(t)
	shop := h.visitor("192.0.2.1")
	user := shop.signIn(ada).User.ID.String()
	other := shop.signIn("eve@example.org").User.ID.String()

	asked := func(address, whose string) (*opened, error) {
		req := shop.request(address)
		req.Whose = whose
		started, err := shop.Start(t.Context(), req)
		if err != nil {
			return nil, err
		}
		return shop.opened(started), nil
	}
	for _, tt := range []struct {
		name, address, whose string
		ok                   bool
	}{
		{"that user", ada, user, true},
		{"another user", ada, other, false},
		{"somebody new", "new@example.org", user, false},
		{"a user who is not there", ada, splitpin.NewUUID().String(), false},
	} {
		h.clock.wait(time.Hour) // messages to one address are limited
		o, err := asked(tt.address, tt.whose)
		if err != nil {
			t.Fatalf("%s: starting tells already: %v", tt.name, err)
		}
		_, err = o.answer(o.wrong())
		refused(t, tt.name+", by a wrong code", err, signin.ErrWrong)
		_, err = o.answer(o.right())
		if tt.ok && err != nil {
			t.Errorf("%s: %v", tt.name, err)
		} else if !tt.ok {
			refused(t, tt.name, err, account.ErrOtherUser)
			if a := h.attempt(o.Attempt.ID); !a.ProvedAt.IsZero() || a.User != 0 {
				t.Errorf("%s: the attempt is proved: %+v", tt.name, a)
			}
		}
	}
	if u := h.load(splitpin.Reads{Name: splitpin.Name{Project: h.shop.Number, Identifier: "new@example.org"}}).User; u != nil {
		t.Error("somebody new became a user")
	}

	h.clock.wait(time.Hour)
	l := shop.sendLink(func(req *signin.StartRequest) { req.Whose = other })
	before := strings.Count(h.events(ada), "answer_refused")
	for range signin.MaxLinkTries + 2 {
		_, err := h.Admit(t.Context(), l.same(), here(l.Digits))
		refused(t, "by a link", err, account.ErrOtherUser)
	}
	if a := h.attempt(l.Attempt.ID); !a.ProvedAt.IsZero() || a.Link != "" || a.LinkTries != signin.MaxLinkTries || a.Challenge != l.Attempt.Challenge {
		t.Errorf("what the link left: %+v", a)
	}
	equal(t, "what is remembered of it", strings.Count(h.events(ada), "answer_refused")-before, signin.MaxLinkTries)
	_, err := h.Admit(t.Context(), l.elsewhere(), here(l.Digits))
	refused(t, "by a link, with digits, when the tries are spent", err, signin.ErrLinkTries)

	_, err = asked(ada, "ada")
	refused(t, "an id that is none", err, signin.ErrWhose)
}
