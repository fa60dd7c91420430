package signin_test

import (
	"errors"
	"testing"
	"time"

	"github.com/splitpin/splitpin"
	"github.com/splitpin/splitpin/signin"
)

// member signs somebody in by an address, and gives them a card of that name.
func (v *visitor) member(address, name string) (*signin.Collected, *splitpin.Credential) {
	v.t.Helper()
	c := v.signIn(address)
	g, err := v.enrol(c, name)
	if err != nil {
		v.t.Fatalf("enrolling a card: %v", err)
	}
	return c, byNumber(v.t, v.credentials(c.User.Number), g.Attempt.Credential)
}

func byNumber(t testing.TB, all []*splitpin.Credential, number int64) *splitpin.Credential {
	t.Helper()
	for _, c := range all {
		if c.Number == number {
			return c
		}
	}
	t.Fatalf("no credential %d among %+v", number, all)
	return nil
}

// Whoever showed a credential and did not collect yet gets nothing once it is gone.
func TestGrantEndsWithItsCredential(t *testing.T) {
	for _, test := range []struct {
		name string
		take func(*visitor, *signin.Collected, *splitpin.Credential) error
	}{
		{"removed", func(v *visitor, c *signin.Collected, has *splitpin.Credential) error {
			return v.Remove(v.t.Context(), c.Session, c.User, has.Number, v.by)
		}},
		{"disconnected by the backend", func(v *visitor, c *signin.Collected, has *splitpin.Credential) error {
			return v.Disconnect(v.t.Context(), c.User, has.Number, v.by)
		}},
		{"taken back", func(v *visitor, c *signin.Collected, has *splitpin.Credential) error {
			link, err := v.UndoLink(has)
			if err != nil {
				return err
			}
			return v.Undo(v.t.Context(), v.project, link.Reveal()[len("https://login.example.org"+signin.UndoPath):], v.by)
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			h := newHouse(t)
			v, thief := h.visitor("203.0.113.7"), h.visitor("203.0.113.8")
			c, has := v.member(ada, "stolen")
			o := thief.withCard(nil)
			g, err := o.shows(card{Card: "stolen"})
			if err != nil {
				t.Fatal(err)
			}
			later := thief.withCard(nil)
			late, err := later.shows(card{Card: "stolen"})
			if err != nil {
				t.Fatal(err)
			}
			if _, err := thief.Collect(t.Context(), o.collection(g)); err != nil {
				t.Fatalf("collecting while the card is there: %v", err)
			}
			if err := test.take(v, c, has); err != nil {
				t.Fatal(err)
			}
			_, err = thief.Collect(t.Context(), later.collection(late))
			refused(t, "collecting afterwards", err, signin.ErrGrant)
			_, err = thief.Collect(t.Context(), o.collection(g))
			refused(t, "collecting the first once more", err, signin.ErrGrant)
			if live, err := h.Sessions(t.Context(), c.User); err != nil || test.name != "taken back" && (len(live) != 1 || live[0].Number != c.Session.Number) {
				t.Errorf("the sessions are %+v (%v), want hers alone", live, err)
			} else if test.name == "taken back" && len(live) != 0 {
				t.Errorf("the sessions are %+v, want none: a stranger's added it", live)
			}
		})
	}
}

// Between a first look and the commit that counts, the card is removed: nothing opens.
func TestGrantMeetsTheRemovalOfItsCredential(t *testing.T) {
	h := newHouse(t)
	v, thief := h.visitor("203.0.113.7"), h.visitor("203.0.113.8")
	c, has := v.member(ada, "stolen")
	o := thief.withCard(nil)
	g, err := o.shows(card{Card: "stolen"})
	if err != nil {
		t.Fatal(err)
	}
	h.db.meanwhile(func() {
		if err := v.Remove(t.Context(), c.Session, c.User, has.Number, v.by); err != nil {
			t.Errorf("removing: %v", err)
		}
	})
	_, err = thief.Collect(t.Context(), o.collection(g))
	refused(t, "collecting", err, signin.ErrGrant)
}

// What somebody could not sign in without stays, and goes once there is another way.
func TestLastCredential(t *testing.T) {
	for _, test := range []struct {
		name    string
		methods []string // that the project offers when she removes it
		alter   func(*splitpin.User)
		another bool // she has a second card
		last    bool
	}{
		{name: "her address gets codes"},
		{name: "the project sends no mail", methods: []string{"card", "sms_code"}, last: true},
		{name: "the project sends no mail, and there is a second", methods: []string{"card", "sms_code"}, another: true},
		{name: "the project sends no mail and takes no cards", methods: []string{"sms_code"}, another: true, last: true},
		{name: "links are enough", methods: []string{"email_link"}},
		{name: "she must use a passkey, and has none yet", alter: func(u *splitpin.User) { u.PasskeyRequired = true }},
		{name: "nobody proved the address", alter: func(u *splitpin.User) { u.ProvedAt = time.Time{} }, last: true},
		{name: "a name is no address", alter: func(u *splitpin.User) { u.Kind = splitpin.OtherName }, last: true},
		{name: "a phone, and the project sends no SMS", methods: []string{"card", "email_code"}, alter: func(u *splitpin.User) { u.Kind = splitpin.Phone }, last: true},
	} {
		t.Run(test.name, func(t *testing.T) {
			h := newHouse(t)
			v := h.visitor("203.0.113.7")
			c, has := v.member(ada, "hers")
			if test.another {
				if _, err := v.enrol(c, "another"); err != nil {
					t.Fatal(err)
				}
			}
			h.set(h.shop, func(s *splitpin.Settings) { s.Methods = test.methods })
			if test.alter != nil {
				err := h.db.Store.Change(t.Context(), splitpin.Reads{User: c.User.Number}, func(r *splitpin.Records) (splitpin.Writes, error) {
					test.alter(r.User)
					return splitpin.Writes{Put: []splitpin.Record{r.User}}, nil
				})
				if err != nil {
					t.Fatal(err)
				}
			}
			err := h.Remove(t.Context(), c.Session, c.User, has.Number, v.by)
			if got := errors.Is(err, signin.ErrLast); got != test.last || err != nil && !got {
				t.Errorf("removing it: %v; want it refused: %v", err, test.last)
			}
		})
	}
}
