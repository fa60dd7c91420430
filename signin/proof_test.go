package signin_test

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/splitpin/splitpin"
	"github.com/splitpin/splitpin/account"
	"github.com/splitpin/splitpin/signin"
)

// cards is a method whose answer is a member's card, looked at elsewhere: what any
// Fetcher is to the engine, without a stranger.
type cards struct {
	fetched atomic.Int32
	down    atomic.Bool
}

type card struct {
	Card    string `json:"card"`
	Address string `json:"address"`
	Vouched bool   `json:"vouched"`
	Ask     bool   `json:"ask"`
}

func (*cards) Name() string                           { return "card" }
func (*cards) AuthMethod() string                     { return "CARD" }
func (*cards) Describe(*splitpin.Attempt) signin.Form { return signin.Form{} }
func (*cards) Knows() splitpin.CredentialKind         { return splitpin.SocialCredential }
func (*cards) KnownAs(c *splitpin.Credential) string  { return c.Label }
func (*cards) Site(*splitpin.Project, string) (string, error) {
	return "cards.example", nil
}

func (*cards) Begin(context.Context, signin.BeginRequest) (signin.Begun, error) {
	return signin.Begun{Lifetime: 10 * time.Minute, Tries: 3}, nil
}

func (c *cards) Fetch(_ context.Context, req signin.FetchRequest) (signin.Fetched, bool, error) {
	c.fetched.Add(1)
	if c.down.Load() {
		return signin.Fetched{}, false, splitpin.ErrUnavailable
	}
	var given card
	if json.Unmarshal(req.Answer, &given) != nil || given.Card == "" {
		return signin.Fetched{}, true, nil
	}
	return signin.Fetched{Key: sha256.Sum256([]byte(given.Card)), Kind: splitpin.SocialCredential,
		Identifier: given.Address, Vouched: given.Vouched, Value: given}, false, nil
}

func (*cards) Check(c signin.Check) (signin.Proof, bool) {
	given := c.Fetched.Value.(card)
	if c.Credential != nil {
		c.Credential.Data = append(c.Credential.Data, '+')
		return signin.Proof{Credential: c.Credential, Ask: given.Ask}, true
	}
	return signin.Proof{Ask: given.Ask, Credential: &splitpin.Credential{Kind: splitpin.SocialCredential, Key: c.Fetched.Key,
		Label: given.Card, Data: []byte("new")}}, true
}

func show(c card) json.RawMessage {
	b, _ := json.Marshal(c)
	return b
}

// withCard starts an attempt that a card will prove.
func (v *visitor) withCard(alter func(*signin.StartRequest)) *opened {
	v.t.Helper()
	req := v.request("")
	req.Method = "card"
	if alter != nil {
		alter(&req)
	}
	s, err := v.Start(v.t.Context(), req)
	if err != nil {
		v.t.Fatalf("starting with a card: %v", err)
	}
	return v.opened(s)
}

func (o *opened) shows(c card) (*signin.Granted, error) {
	return o.Answer(o.t.Context(), o.handle, show(c))
}

// completing starts the attempt that proves an address for o.
func (o *opened) completing(address string) (*opened, error) {
	req := o.request(address)
	req.Purpose, req.Parent, req.Challenge = splitpin.Complete, &o.handle, ""
	s, err := o.Start(o.t.Context(), req)
	if err != nil {
		return nil, err
	}
	return o.opened(s), nil
}

func (o *opened) mustComplete(address string) *opened {
	o.t.Helper()
	child, err := o.completing(address)
	if err != nil {
		o.t.Fatalf("completing with %s: %v", address, err)
	}
	return child
}

func (h *house) credentials(user int64) []*splitpin.Credential {
	h.t.Helper()
	return h.load(splitpin.Reads{User: user, Credentials: true}).Credentials
}

func (h *house) userOf(identifier string) *splitpin.User {
	h.t.Helper()
	return h.load(splitpin.Reads{Name: splitpin.Name{Project: h.shop.Number, Identifier: identifier}}).User
}

func TestCardOfSomebodyNew(t *testing.T) {
	h := newHouse(t)
	v := h.visitor("203.0.113.7")
	o := v.withCard(nil)
	g, err := o.shows(card{Card: "ada's", Address: ada, Vouched: true})
	if err != nil {
		t.Fatal(err)
	}
	first, err := v.Collect(t.Context(), o.collection(g))
	if err != nil {
		t.Fatal(err)
	}
	equal(t, "the new user's address", first.User.Identifier, ada)
	equal(t, "the session's method", first.Session.AuthMethod, "CARD")
	all := h.credentials(first.User.Number)
	if len(all) != 1 || all[0].Label != "ada's" || first.Session.Credential != all[0].Number {
		t.Fatalf("the credentials are %+v, the session opened by %d", all, first.Session.Credential)
	}

	o = v.withCard(nil)
	if g, err = o.shows(card{Card: "ada's"}); err != nil {
		t.Fatalf("the same card again: %v", err)
	}
	equal(t, "whom it proves", g.Attempt.User, first.User.Number)
	all = h.credentials(first.User.Number)
	if len(all) != 1 || string(all[0].Data) != "new+" || all[0].UsedAt.IsZero() {
		t.Errorf("after it was shown again: %+v", all[0])
	}
}

// A provider's word is no proof to take an account over by, whoever the provider is.
func TestCardNeedsAnAddressProved(t *testing.T) {
	for _, test := range []struct {
		name  string
		known bool // somebody has that address here
		card  card
	}{
		{"vouched for, and somebody has it", true, card{Card: "c", Address: ada, Vouched: true}},
		{"not vouched for, and somebody has it", true, card{Card: "c", Address: ada, Vouched: false}},
		{"not vouched for, and nobody has it", false, card{Card: "c", Address: ada, Vouched: false}},
		{"no address", false, card{Card: "c"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			h := newHouse(t)
			v := h.visitor("203.0.113.7")
			if test.known {
				v.signIn(ada)
			}
			o := v.withCard(nil)
			_, err := o.shows(test.card)
			refused(t, "a card", err, signin.ErrMore)
			if h.userOf(ada) != nil != test.known {
				t.Error("a user was made of an address that nobody proved")
			}
			_, err = o.shows(card{Card: "another", Address: ada, Vouched: true})
			refused(t, "another card after that", err, signin.ErrMore)

			if test.card.Address != "" {
				_, err = o.completing("bob@example.org")
				refused(t, "completing with another address", err, account.ErrIdentifier)
			}
			child := o.mustComplete(ada)
			if _, err := child.answer(child.wrong()); !errors.Is(err, signin.ErrWrong) {
				t.Errorf("a wrong code: %v", err)
			}
			if u := h.userOf(ada); u != nil && len(h.credentials(u.Number)) != 0 {
				t.Error("the card was added before the address was proved")
			}
			g := child.mustAnswer()
			again := child.mustAnswer()
			equal(t, "the code when the answer is repeated", again.Code, g.Code)
			c, err := v.Collect(t.Context(), o.collection(g))
			if err != nil {
				t.Fatalf("collecting: %v", err)
			}
			equal(t, "who is signed in", c.User.Identifier, ada)
			all := h.credentials(c.User.Number)
			if len(all) != 1 || all[0].Label != "c" {
				t.Errorf("the credentials are %+v", all)
			}
			_, err = child.answer(child.right())
			refused(t, "the answer after the collection", err, signin.ErrOver)
		})
	}
}

func TestCompleteIsForWhoStarted(t *testing.T) {
	h := newHouse(t)
	v, stranger := h.visitor("203.0.113.7"), h.visitor("203.0.113.8")
	o := v.withCard(nil)
	_, err := o.shows(card{Card: "c"})
	refused(t, "a card", err, signin.ErrMore)

	theirs := *o
	theirs.handle.Secret = "AAAAAAAAAAAAAAAAAAAAAA"
	_, err = theirs.completing(ada)
	refused(t, "completing without the secret", err, signin.ErrUnknown)

	other := stranger.withCard(nil) // still waits for its card
	_, err = other.completing(ada)
	refused(t, "completing what waits for nothing", err, signin.ErrOver)

	child := o.mustComplete(ada)
	h.clock.wait(10 * time.Minute)
	_, err = child.answer(child.right())
	refused(t, "completing too late", err, signin.ErrOver)

	req := v.request(ada)
	req.Purpose = splitpin.Complete
	_, err = v.Start(t.Context(), req)
	refused(t, "completing nothing", err, signin.ErrPurpose)
}

// Two tabs prove the address: one card, one session.
func TestCompletedTwice(t *testing.T) {
	h := newHouse(t)
	v := h.visitor("203.0.113.7")
	o := v.withCard(nil)
	_, err := o.shows(card{Card: "c"})
	refused(t, "a card", err, signin.ErrMore)
	a, b, bob := o.mustComplete(ada), o.mustComplete(ada), o.mustComplete("bob@example.org")
	first, second := a.mustAnswer(), b.mustAnswer()
	equal(t, "the second code", second.Code, first.Code)
	equal(t, "credentials", len(h.credentials(h.userOf(ada).Number)), 1)

	_, err = bob.answer(bob.right())
	refused(t, "completing for somebody else what is complete", err, signin.ErrOver)
	_, err = o.completing("bob@example.org")
	refused(t, "completing once it is complete", err, signin.ErrOver)
}

// The try is charged before anybody is asked.
func TestFetchIsPaidFor(t *testing.T) {
	h := newHouse(t)
	o := h.visitor("203.0.113.7").withCard(nil)
	h.cards.down.Store(true)
	for range 3 {
		_, err := o.shows(card{Card: "c"})
		refused(t, "a card nobody can look at", err, splitpin.ErrUnavailable)
	}
	equal(t, "tries", h.attempt(o.Attempt.ID).Tries, 3)
	h.cards.down.Store(false)
	_, err := o.shows(card{Card: "c"})
	refused(t, "the fourth", err, signin.ErrTries)
	equal(t, "how often the stranger was asked", h.cards.fetched.Load(), int32(3))

	o = h.visitor("203.0.113.8").withCard(nil)
	for range 2 {
		_, err := o.shows(card{})
		refused(t, "no card", err, signin.ErrFailed)
	}
	_, err = o.shows(card{})
	refused(t, "no card a third time", err, signin.ErrTries)

	o = h.visitor("203.0.113.9").withCard(nil)
	before := h.cards.fetched.Load()
	h.together(12, func(ctx context.Context, i int) { o.Answer(ctx, o.handle, show(card{})) })
	if asked := h.cards.fetched.Load() - before; asked > 3 {
		t.Errorf("twelve answers at once asked the stranger %d times, three tries were left", asked)
	}
}

func (v *visitor) enrol(c *signin.Collected, name string) (*signin.Granted, error) {
	v.t.Helper()
	req := v.request("")
	req.Method, req.Purpose, req.User, req.Session, req.Challenge = "card", splitpin.Enrol, c.User, c.Session, ""
	s, err := v.Start(v.t.Context(), req)
	if err != nil {
		return nil, err
	}
	return v.opened(s).shows(card{Card: name})
}

func TestEnrol(t *testing.T) {
	h := newHouse(t)
	v, bob := h.visitor("203.0.113.7"), h.visitor("203.0.113.8")
	c := v.signIn(ada)
	h.clock.wait(time.Minute)
	g, err := v.enrol(c, "hers")
	if err != nil {
		t.Fatal(err)
	}
	equal(t, "the code of an enrolment", g.Code, "")
	all := h.credentials(c.User.Number)
	if len(all) != 1 || all[0].Number != g.Attempt.Credential {
		t.Fatalf("the credentials are %+v", all)
	}
	told, err := h.db.Messages(t.Context(), splitpin.MessageFilter{Attempt: g.Attempt.ID.Number}, 10)
	if err != nil || len(told) != 1 || told[0].Template != "account_connected" || told[0].To != ada {
		t.Errorf("she was told by %+v (%v)", told, err)
	}

	theirs := bob.signIn("bob@example.org")
	_, err = bob.enrol(theirs, "hers")
	refused(t, "the card of another", err, signin.ErrTaken)

	_, err = v.Start(t.Context(), func() signin.StartRequest {
		req := v.request("")
		req.Method, req.Purpose, req.User, req.Session = "card", splitpin.Enrol, theirs.User, c.Session
		return req
	}())
	refused(t, "enrolling for somebody else", err, signin.ErrPurpose)

	h.clock.wait(5 * time.Minute)
	_, err = v.enrol(c, "late")
	refused(t, "enrolling long after the proof", err, signin.ErrStale)
	err = h.Remove(t.Context(), c.Session, c.User, all[0].Number, v.by)
	refused(t, "removing long after the proof", err, signin.ErrStale)

	// Who confirms, may again.
	req := v.request(ada)
	req.Purpose, req.User, req.Session, req.Challenge = splitpin.Confirm, c.User, c.Session, ""
	s, err := v.Start(t.Context(), req)
	if err != nil {
		t.Fatal(err)
	}
	g = v.opened(s).mustAnswer()
	equal(t, "the code of a confirmation", g.Code, "")
	c.Session = h.load(splitpin.Reads{Session: c.Session.Number}).Session
	if _, err := v.enrol(c, "late"); err != nil {
		t.Errorf("enrolling after confirming: %v", err)
	}
	req.Identifier = "bob@example.org"
	_, err = v.Start(t.Context(), req)
	refused(t, "confirming by another's address", err, account.ErrIdentifier)
}

// Who was let in before an undo adds nothing after it: not by what was begun before, nor by
// a proof from before that was never a session.
func TestUndoEndsEnrolmentsByAProof(t *testing.T) {
	h := newHouse(t)
	v, thief := h.visitor("203.0.113.7"), h.visitor("203.0.113.8")
	_, has := v.member(ada, "stolen")
	proof := thief.start(ada)
	code := proof.mustAnswer()
	begin := func(by *opened) (*opened, error) {
		req := thief.request("")
		req.Method, req.Purpose, req.Challenge, req.Proof = "card", splitpin.Enrol, "", &by.handle
		s, err := thief.Start(t.Context(), req)
		if err != nil {
			return nil, err
		}
		return thief.opened(s), nil
	}
	begun, err := begin(proof)
	if err != nil {
		t.Fatal(err)
	}
	h.clock.wait(time.Second)
	if err := v.undoes(has); err != nil {
		t.Fatal(err)
	}
	_, err = begun.shows(card{Card: "theirs"})
	refused(t, "what was begun before", err, signin.ErrToken)
	_, err = begin(proof)
	refused(t, "a proof from before", err, signin.ErrStale)
	_, err = thief.Collect(t.Context(), proof.collection(code))
	refused(t, "its code, not collected yet", err, signin.ErrGrant)
	equal(t, "credentials", len(h.credentials(h.userOf(ada).Number)), 0)
	h.clock.wait(time.Second)
	again := v.start(ada)
	again.mustAnswer()
	if begun, err = begin(again); err != nil {
		t.Fatal(err)
	}
	if _, err = begun.shows(card{Card: "hers"}); err != nil {
		t.Errorf("a proof from after: %v", err)
	}
}

// Which proofs stand in the place of a session: of a sign-in, and on the page where it was.
func TestProofsThatAddNothing(t *testing.T) {
	h := newHouse(t)
	v := h.visitor("192.0.2.1")
	c := v.signIn(ada)
	confirm := v.request(ada)
	confirm.Purpose, confirm.User, confirm.Session, confirm.Challenge = splitpin.Confirm, c.User, c.Session, ""
	s, err := v.Start(t.Context(), confirm)
	if err != nil {
		t.Fatal(err)
	}
	confirmed := v.opened(s)
	confirmed.mustAnswer()
	o := v.start(ada)
	enrol := v.request("")
	enrol.Method, enrol.Purpose, enrol.Challenge, enrol.Proof = "card", splitpin.Enrol, "", &o.handle
	_, err = v.Start(t.Context(), enrol)
	refused(t, "before it is proved", err, signin.ErrStale)
	o.mustAnswer()
	for name, alter := range map[string]func(*signin.StartRequest){
		"on our own page":        func(req *signin.StartRequest) { req.Origin = "" },
		"on another page":        func(req *signin.StartRequest) { req.Origin = "https://blog.example" },
		"by what only confirmed": func(req *signin.StartRequest) { req.Proof = &confirmed.handle },
		"by the secret of others": func(req *signin.StartRequest) {
			req.Proof = &signin.Handle{Project: h.shop, ID: o.handle.ID, Secret: confirmed.handle.Secret, By: v.by}
		},
	} {
		req := enrol
		alter(&req)
		if _, err := v.Start(t.Context(), req); err == nil {
			t.Errorf("%s: something may be added", name)
		}
	}
	if _, err := v.Start(t.Context(), enrol); err != nil {
		t.Errorf("on the same page: %v", err)
	}
}

// A proof opens and adds nothing any more once the person ended all sessions, or the one
// that came of it.
func TestEndedSessionsEndProofs(t *testing.T) {
	for _, test := range []struct {
		name string
		ends func(h *house, owner, thief *visitor, mine, theirs *signin.Collected) error
		all  bool
	}{
		{"all sessions", func(h *house, owner, _ *visitor, mine, _ *signin.Collected) error {
			_, err := h.EndSessions(t.Context(), mine.User, 0, owner.by)
			return err
		}, true},
		{"all but one's own", func(h *house, owner, _ *visitor, mine, _ *signin.Collected) error {
			_, err := h.EndSessions(t.Context(), mine.User, mine.Session.Number, owner.by)
			return err
		}, true},
		{"that session", func(h *house, owner, _ *visitor, mine, theirs *signin.Collected) error {
			return h.EndSession(t.Context(), mine.User, theirs.Session.Number, owner.by)
		}, false},
		{"logging out", func(h *house, _, thief *visitor, _, theirs *signin.Collected) error {
			h.logOut(thief, theirs.Tokens.RefreshToken)
			return nil
		}, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			h := newHouse(t)
			owner, thief := h.visitor("192.0.2.1"), h.visitor("192.0.2.66")
			mine := owner.signIn(ada)
			h.clock.wait(time.Hour)
			o, kept := thief.start(ada), thief.start(ada)
			theirs, err := thief.Collect(t.Context(), o.collection(o.mustAnswer()))
			if err != nil {
				t.Fatal(err)
			}
			waits := kept.collection(kept.mustAnswer())
			enrol := func(proof signin.Handle) (*signin.Started, error) {
				req := thief.request("")
				req.Method, req.Purpose, req.Challenge, req.Proof = "card", splitpin.Enrol, "", &proof
				return thief.Start(t.Context(), req)
			}
			began, err := enrol(o.handle)
			if err != nil {
				t.Fatal(err)
			}
			h.clock.wait(time.Second)
			if err := test.ends(h, owner, thief, mine, theirs); err != nil {
				t.Fatal(err)
			}
			h.clock.wait(time.Second)
			_, err = enrol(o.handle)
			refused(t, "adding something by the proof", err, signin.ErrStale)
			_, err = thief.opened(began).shows(card{Card: "late"})
			refused(t, "adding what was begun before", err, signin.ErrToken)
			_, err = thief.Collect(t.Context(), waits)
			if test.all {
				refused(t, "collecting what was proved before", err, signin.ErrGrant)
			} else if err != nil {
				t.Errorf("another sign-in, which did not end: %v", err)
			}
			if len(h.credentials(mine.User.Number)) != 0 {
				t.Error("something was added")
			}
		})
	}
}

// An address that somebody proved before its owner took something back joins nothing.
func TestUndoEndsJoining(t *testing.T) {
	h := newHouse(t)
	owner, thief := h.visitor("192.0.2.1"), h.visitor("192.0.2.66")
	owner.signIn(ada)
	h.clock.wait(time.Hour)
	key := thief.makesKey(thief.signIn(ada), "theirs")
	o := thief.withCard(nil)
	_, err := o.shows(card{Card: "theirs elsewhere"})
	refused(t, "the card alone", err, signin.ErrMore)
	req := thief.request(ada)
	req.Purpose, req.Parent, req.Challenge = splitpin.Vouch, &o.handle, ""
	s, err := thief.Start(t.Context(), req)
	if err != nil {
		t.Fatal(err)
	}
	child := thief.opened(s)
	if _, err := child.answer(child.right()); err != nil {
		t.Fatal(err)
	}
	h.clock.wait(time.Second)
	if err := owner.undoes(key); err != nil {
		t.Fatal(err)
	}
	_, err = thief.Join(t.Context(), o.handle, child.handle)
	refused(t, "joining", err, signin.ErrOver)
	if len(h.credentials(h.userOf(ada).Number)) != 0 {
		t.Error("it was added")
	}
}

// A mail server may be away over a weekend: the news and its link do not hang on the attempt,
// which is swept long before.
func TestAnnouncementOutlivesItsAttempt(t *testing.T) {
	h := newHouse(t)
	v := h.visitor("203.0.113.7")
	c := v.signIn(ada)
	h.clock.wait(time.Minute)
	g, err := v.enrol(c, "hers")
	if err != nil {
		t.Fatal(err)
	}
	h.clock.wait(71 * time.Hour)
	for {
		n, err := h.db.Sweep(t.Context(), h.clock.now(), start, 100)
		if err != nil {
			t.Fatal(err)
		}
		if n == 0 {
			break
		}
	}
	due, err := h.db.ClaimMessages(t.Context(), h.clock.now(), h.clock.now().Add(time.Minute), 100)
	if err != nil {
		t.Fatal(err)
	}
	var told *splitpin.Message
	for _, claimed := range due {
		if m := claimed.Message; m.Template == "account_connected" {
			told = m
			if claimed.Attempt != nil {
				t.Error("the attempt is there still")
			}
		}
	}
	if told == nil || told.To != ada || told.User != c.User.Number || told.Credential != g.Attempt.Credential || !h.clock.now().Before(told.ExpiresAt) {
		t.Fatalf("what waits to be told: %+v", told)
	}
	says, _, err := h.Told(t.Context(), told, nil)
	if err != nil || !says.Notice || says.Label != "hers" || says.Device != v.by.Device {
		t.Errorf("it says %+v (%v)", says, err)
	}
	if err := h.Undo(t.Context(), h.shop, strings.TrimPrefix(says.Link.Reveal(), "https://login.example.org"+signin.UndoPath), v.by); err != nil {
		t.Errorf("taking it back: %v", err)
	}
	_, _, err = h.Told(t.Context(), told, nil)
	refused(t, "telling of what was taken back", err, signin.ErrOver)
}

func TestRemoveAndUndo(t *testing.T) {
	h := newHouse(t)
	v := h.visitor("203.0.113.7")
	c := v.signIn(ada)
	h.clock.wait(time.Minute)
	byCard := func(name string) *signin.Collected {
		t.Helper()
		o := v.withCard(nil)
		g, err := o.shows(card{Card: name})
		if err != nil {
			t.Fatal(err)
		}
		opened, err := v.Collect(t.Context(), o.collection(g))
		if err != nil {
			t.Fatal(err)
		}
		return opened
	}
	live := func(s *splitpin.Session) bool {
		return h.load(splitpin.Reads{Session: s.Number}).Session.RevokedAt.IsZero()
	}

	g, err := v.enrol(c, "one")
	if err != nil {
		t.Fatal(err)
	}
	opened := byCard("one")
	if err := h.Remove(t.Context(), c.Session, c.User, g.Attempt.Credential, v.by); err != nil {
		t.Fatal(err)
	}
	equal(t, "credentials after removing", len(h.credentials(c.User.Number)), 0)
	equal(t, "the session it opened lives", live(opened.Session), false)
	equal(t, "the session that asked lives", live(c.Session), true)
	refused(t, "removing it again", h.Remove(t.Context(), c.Session, c.User, g.Attempt.Credential, v.by), signin.ErrNoCredential)

	if g, err = v.enrol(c, "two"); err != nil {
		t.Fatal(err)
	}
	told, err := h.db.Messages(t.Context(), splitpin.MessageFilter{Attempt: g.Attempt.ID.Number}, 10)
	if err != nil || len(told) != 1 {
		t.Fatalf("%d messages, %v", len(told), err)
	}
	said, _, err := h.Told(t.Context(), told[0], g.Attempt)
	if err != nil {
		t.Fatal(err)
	}
	token, ok := strings.CutPrefix(said.Link.Reveal(), "https://login.example.org/undo/")
	if !ok {
		t.Fatalf("the link is %q", said.Link.Reveal())
	}
	opened = byCard("two")
	what, err := h.LookUndo(t.Context(), h.shop, token)
	if err != nil || what.Credential.Label != "two" {
		t.Fatalf("looking: %+v, %v", what, err)
	}
	refused(t, "undoing in another project", h.Undo(t.Context(), h.club, token, v.by), signin.ErrUndo)
	for i := range len(token) {
		if err := h.Undo(t.Context(), h.shop, other(token, i), v.by); !errors.Is(err, signin.ErrUndo) {
			t.Fatalf("a token with another character %d: %v", i, err)
		}
	}
	if err := h.Undo(t.Context(), h.shop, token, v.by); err != nil {
		t.Fatal(err)
	}
	equal(t, "credentials after undoing", len(h.credentials(c.User.Number)), 0)
	equal(t, "the session it opened lives", live(opened.Session), false)
	equal(t, "the session that added it lives", live(c.Session), false)
	if p, err := h.UndoProject(token); err != nil || p.Number != h.shop.Number {
		t.Errorf("the project of the link: %v, %v", p, err)
	}
	_, err = h.UndoProject(other(token, 65))
	refused(t, "a token that names another project", err, signin.ErrUndo)
	refused(t, "undoing again", h.Undo(t.Context(), h.shop, token, v.by), signin.ErrUndo)

	// The same card added once more is another credential.
	c = v.signIn(ada)
	if _, err := v.enrol(c, "two"); err != nil {
		t.Fatal(err)
	}
	refused(t, "undoing what was added later", h.Undo(t.Context(), h.shop, token, v.by), signin.ErrUndo)
}

func TestFinish(t *testing.T) {
	h := newHouse(t)
	v := h.visitor("203.0.113.7")
	sameCall := func(req *signin.StartRequest) { req.SameCall, req.Challenge = true, "" }
	o := v.withCard(sameCall)
	c, err := v.Finish(t.Context(), o.handle, show(card{Card: "c", Address: ada, Vouched: true}), signin.CollectRequest{Origin: shopOrigin})
	if err != nil {
		t.Fatal(err)
	}
	equal(t, "who is signed in", c.User.Identifier, ada)

	o = v.withCard(sameCall)
	g, err := o.shows(card{Card: "c"})
	if err != nil {
		t.Fatal(err)
	}
	_, err = v.Collect(t.Context(), o.collection(g))
	refused(t, "a verifier for what has no challenge", err, signin.ErrGrant)

	o = v.withCard(nil)
	_, err = v.Finish(t.Context(), o.handle, show(card{Card: "c"}), signin.CollectRequest{Origin: shopOrigin})
	refused(t, "collecting in the same call what began with a challenge", err, signin.ErrGrant)
}

// Whoever had something before the first proof may have been somebody else.
func TestFirstProofStartsAfresh(t *testing.T) {
	h := newHouse(t)
	v := h.visitor("203.0.113.7")
	people := &account.Directory{Store: h.db, Ring: h.ring, Clock: h.clock.now}
	u, err := people.Create(t.Context(), h.shop.Number, ada, "", true)
	if err != nil {
		t.Fatal(err)
	}
	planted := &splitpin.Credential{Number: 1 << 40, Project: h.shop.Number, User: u.Number, Kind: splitpin.SocialCredential, Key: [32]byte{1}, CreatedAt: start}
	session := h.tokens.NewSession(h.shop, u, 1<<40+1, [16]byte{1}, "CARD", false, h.clock.now())
	err = h.db.Store.Change(t.Context(), splitpin.Reads{User: u.Number}, func(*splitpin.Records) (splitpin.Writes, error) {
		return splitpin.Writes{Create: []splitpin.Record{planted, session}}, nil
	})
	if err != nil {
		t.Fatal(err)
	}
	c := v.signIn(ada)
	equal(t, "the user", c.User.Number, u.Number)
	equal(t, "credentials", len(h.credentials(u.Number)), 0)
	equal(t, "the session that was there lives", h.load(splitpin.Reads{Session: session.Number}).Session.RevokedAt.IsZero(), false)
	equal(t, "the new one lives", h.load(splitpin.Reads{Session: c.Session.Number}).Session.RevokedAt.IsZero(), true)
}

// A token that came in an address may have been read by others, who come at once or
// after everything was started anew.
func TestAuthenticateOnce(t *testing.T) {
	h := newHouse(t)
	v := h.visitor("203.0.113.7")
	c := v.signIn(ada)
	var taken atomic.Int32
	h.together(8, func(ctx context.Context, _ int) {
		switch _, _, err := h.AuthenticateOnce(ctx, h.shop, c.Tokens.AccessToken); {
		case err == nil:
			taken.Add(1)
		case !errors.Is(err, signin.ErrToken):
			t.Errorf("refused by %v", err)
		}
	})
	equal(t, "times it was taken", taken.Load(), 1)
	later, _, _ := h.node()
	_, _, err := later.AuthenticateOnce(t.Context(), h.shop, c.Tokens.AccessToken)
	refused(t, "at a node that was started later", err, signin.ErrToken)
	if shown, err := h.Credentials(t.Context(), c.User); err != nil || len(shown) != 0 {
		t.Errorf("people are shown %+v (%v)", shown, err)
	}
	for _, note := range h.credentials(c.User.Number) {
		err := h.Remove(t.Context(), c.Session, c.User, note.Number, v.by)
		refused(t, "removing what keeps the token from being taken again", err, splitpin.ErrNotFound)
	}
	if _, _, err := h.Authenticate(t.Context(), h.shop, c.Tokens.AccessToken); err != nil {
		t.Errorf("where it may be shown again: %v", err)
	}
}

// Where any site may ask, there is none that a credential would be good for.
func TestNoCredentialsForAnySite(t *testing.T) {
	h := newHouse(t)
	v := h.visitor("203.0.113.7")
	v.withCard(nil)
	v.project = h.set(h.shop, func(s *splitpin.Settings) { s.Origins = append(s.Origins, splitpin.AnyOrigin) })
	req := v.request("")
	req.Method = "card"
	_, err := v.Start(t.Context(), req)
	refused(t, "a card", err, signin.ErrMethodOff)
	if offered := strings.Join(h.Offered(v.project), " "); strings.Contains(offered, "card") {
		t.Errorf("offered: %s", offered)
	}
	v.start(ada)
}

func TestClientData(t *testing.T) {
	h := newHouse(t)
	v := h.visitor("203.0.113.7")
	for text, ok := range map[string]bool{
		``: true, `{}`: true, `{"name":"Ada","age":36,"new":true,"none":null}`: true,
		`null`: false, `[]`: false, `"text"`: false, `{"a":{}}`: false, `{"a":[1]}`: false, `{"a":`: false,
		`{"a":"` + strings.Repeat("x", 1024) + `"}`: false, `{"email":"eve@example.org"}`: false, `{"OAuth_Token":1}`: false,
	} {
		req := v.request(ada)
		req.ClientData = []byte(text)
		_, err := v.Start(t.Context(), req)
		v = h.visitor(v.by.Addr.Next().String())
		h.clock.wait(time.Hour)
		if ok != (err == nil) || !ok && !errors.Is(err, signin.ErrClientData) {
			t.Errorf("%.40s: %v", text, err)
		}
	}
}

// asking is a card that counts only when the person said yes.
func (v *visitor) asking(c card, alter func(*signin.StartRequest)) *opened {
	v.t.Helper()
	o := v.withCard(alter)
	c.Ask = true
	_, err := o.shows(c)
	refused(v.t, "a card that asks", err, signin.ErrAsk)
	return o
}

func TestNothingCountsBeforeTheYes(t *testing.T) {
	h := newHouse(t)
	v := h.visitor("203.0.113.7")
	o := v.asking(card{Card: "ada's", Address: ada, Vouched: true}, nil)
	if h.userOf(ada) != nil {
		t.Fatal("a user was made before the person said yes")
	}
	a := h.attempt(o.Attempt.ID)
	if !a.ProvedAt.IsZero() || a.User != 0 {
		t.Fatalf("proved before the person said yes: %+v", a)
	}
	_, err := o.shows(card{Card: "another", Address: "eve@example.org", Vouched: true})
	refused(t, "another card meanwhile", err, signin.ErrAsk)
	_, err = o.completing(ada)
	refused(t, "an address in the place of the yes", err, signin.ErrOver)

	q, ok, err := h.Asked(t.Context(), o.handle)
	if err != nil || !ok || q.User != nil || q.Address != ada || q.Credential.Label != "ada's" || q.Credential.Number != 0 {
		t.Fatalf("the question is %+v, %v, %v", q, ok, err)
	}
	theirs := o.handle
	theirs.Secret = "AAAAAAAAAAAAAAAAAAAAAA"
	_, err = h.Agree(t.Context(), theirs)
	refused(t, "the yes of a stranger", err, signin.ErrUnknown)

	g, err := h.Agree(t.Context(), o.handle)
	if err != nil {
		t.Fatal(err)
	}
	again, err := h.Agree(t.Context(), o.handle)
	if err != nil || again.Code != g.Code {
		t.Errorf("the yes again: %v, %v", again, err)
	}
	if _, ok, _ := h.Asked(t.Context(), o.handle); ok {
		t.Error("it asks on")
	}
	c, err := v.Collect(t.Context(), o.collection(g))
	if err != nil || c.User.Identifier != ada || len(h.credentials(c.User.Number)) != 1 {
		t.Fatalf("collecting: %+v, %v", c, err)
	}
	_, err = h.Agree(t.Context(), o.handle)
	refused(t, "the yes after the collection", err, signin.ErrOver)

	o = v.asking(card{Card: "ada's"}, nil)
	q, ok, err = h.Asked(t.Context(), o.handle)
	if err != nil || !ok || q.User == nil || q.User.Number != c.User.Number || q.Credential.Number == 0 {
		t.Fatalf("the question about a known card is %+v, %v, %v", q, ok, err)
	}
	if g, err = h.Agree(t.Context(), o.handle); err != nil || g.Attempt.User != c.User.Number {
		t.Fatalf("the yes: %+v, %v", g, err)
	}
	all := h.credentials(c.User.Number)
	if len(all) != 1 || string(all[0].Data) != "new+" || all[0].UsedAt.IsZero() {
		t.Errorf("after it was shown again: %+v", all[0])
	}

	o = v.asking(card{Card: "ada's"}, nil)
	h.clock.wait(10 * time.Minute)
	_, err = h.Agree(t.Context(), o.handle)
	refused(t, "the yes too late", err, signin.ErrOver)
}

// What was true when the person was asked need not be true when the yes comes.
func TestYesDecidesAfresh(t *testing.T) {
	h := newHouse(t)
	v, bob := h.visitor("203.0.113.7"), h.visitor("203.0.113.8")
	o := v.asking(card{Card: "c", Address: ada, Vouched: true}, nil)
	v.signIn(ada) // by a code, meanwhile
	_, err := h.Agree(t.Context(), o.handle)
	refused(t, "the yes when somebody has the address", err, signin.ErrMore)
	_, err = h.Agree(t.Context(), o.handle)
	refused(t, "the yes once more", err, signin.ErrMore)
	o.mustComplete(ada).mustAnswer()
	g, err := h.Agree(t.Context(), o.handle)
	if err != nil {
		t.Fatalf("after the address was proved: %v", err)
	}
	if c, err := v.Collect(t.Context(), o.collection(g)); err != nil || c.User.Identifier != ada {
		t.Fatalf("collecting: %+v, %v", c, err)
	}

	theirs := bob.signIn("bob@example.org")
	enrolment := func(req *signin.StartRequest) {
		req.Purpose, req.User, req.Session, req.Challenge = splitpin.Enrol, theirs.User, theirs.Session, ""
	}
	o = bob.asking(card{Card: "new"}, enrolment)
	equal(t, "credentials before the yes", len(h.credentials(theirs.User.Number)), 0)
	if q, ok, err := h.Asked(t.Context(), o.handle); err != nil || !ok || q.User == nil || q.User.Number != theirs.User.Number {
		t.Fatalf("the question is %+v, %v, %v", q, ok, err)
	}
	late := bob.asking(card{Card: "c2"}, enrolment)
	if _, err := h.Agree(t.Context(), o.handle); err != nil {
		t.Fatal(err)
	}
	equal(t, "credentials after the yes", len(h.credentials(theirs.User.Number)), 1)
	mine := v.withCard(nil)
	if _, err := mine.shows(card{Card: "c2", Address: "new@example.org", Vouched: true}); err != nil {
		t.Fatal(err)
	}
	_, err = h.Agree(t.Context(), late.handle)
	refused(t, "the yes to what another has meanwhile", err, signin.ErrTaken)
}
