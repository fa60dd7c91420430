package signin_test

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/splitpin/splitpin"
	"github.com/splitpin/splitpin/account"
	"github.com/splitpin/splitpin/keyring"
	"github.com/splitpin/splitpin/signin"
)

func TestWholeSignIn(t *testing.T) {
	h := newHouse(t)
	v := h.visitor("203.0.113.7")

	o := v.start(" Ada@Example.ORG ")
	equal(t, "identifier", o.Attempt.Identifier, ada)
	equal(t, "length of the code", o.Form.CodeLength, 6)
	messages := h.messages(o)
	if len(messages) != 1 {
		t.Fatalf("%d messages queued, want 1", len(messages))
	}
	m := messages[0]
	equal(t, "message to", m.To, ada)
	equal(t, "sequence", m.Sequence, 1)
	equal(t, "message expires with the code", m.ExpiresAt, o.Attempt.ExpiresAt)
	if r := h.load(splitpin.Reads{Name: splitpin.Name{Project: h.shop.Number, Identifier: ada}}); r.User != nil {
		t.Error("there is a user before anything was proved")
	}

	h.clock.wait(time.Minute)
	g := o.mustAnswer()
	equal(t, "code lives", g.ExpiresIn, 5*time.Minute)
	h.clock.wait(time.Second)
	c, err := v.Collect(t.Context(), o.collection(g))
	if err != nil {
		t.Fatal(err)
	}
	equal(t, "user", c.User.Identifier, ada)
	equal(t, "proved", c.User.ProvedAt, start.Add(time.Minute).Truncate(time.Microsecond))
	equal(t, "authenticated", c.Session.AuthAt, c.User.ProvedAt)
	equal(t, "method", c.Session.AuthMethod, "OTP")
	equal(t, "network", c.Session.Network, "203.0.113.7/32")

	session, u, err := h.Authenticate(t.Context(), h.shop, c.Tokens.AccessToken)
	if err != nil {
		t.Fatal(err)
	}
	equal(t, "session of the token", session.Number, c.Session.Number)
	equal(t, "user of the token", u.ID, c.User.ID)
	if _, _, err := h.Authenticate(t.Context(), h.club, c.Tokens.AccessToken); !errors.Is(err, signin.ErrToken) {
		t.Errorf("the token in another project: %v", err)
	}

	again := v.signIn("ADA@example.org")
	equal(t, "user of the second sign-in", again.User.ID, c.User.ID)
	if again.Session.Number == c.Session.Number {
		t.Error("two attempts gave one session")
	}
	equal(t, "events", h.events(ada), "attempt_started attempt_proved session_opened attempt_started attempt_proved session_opened")
}

// Every row sends its answers in order; the last reply is checked. A wrong code
// is written x, the right one ok.
func TestAnswer(t *testing.T) {
	tests := []struct {
		name    string
		answers string
		wait    time.Duration // before the last answer
		handle  func(*house, *signin.Handle)
		want    *splitpin.Error
		left    int // tries left, as the refusal says
		tries   int // as the store counts them
		events  string
	}{
		{name: "right", answers: "ok", tries: 1, events: "attempt_started attempt_proved"},
		{name: "wrong", answers: "x", want: signin.ErrWrong, left: 4, tries: 1, events: "attempt_started answer_wrong"},
		{name: "wrong then right", answers: "x ok", tries: 2, events: "attempt_started answer_wrong attempt_proved"},
		{name: "four wrong then right", answers: "x x x x ok", tries: 5},
		{name: "the fifth wrong one ends it", answers: "x x x x x", want: signin.ErrTries, tries: 5,
			events: "attempt_started answer_wrong answer_wrong answer_wrong answer_wrong attempt_denied"},
		{name: "five wrong then right", answers: "x x x x x ok", want: signin.ErrTries, tries: 5},
		{name: "right again", answers: "ok ok", tries: 2, events: "attempt_started attempt_proved"},
		{name: "right, then wrong", answers: "ok x", want: signin.ErrOver, tries: 2},
		{name: "guessing after the proof", answers: "ok x x x x x x x x x ok", want: signin.ErrOver, tries: 10},
		{name: "right again while the grant lives", answers: "ok ok", wait: 5*time.Minute - time.Microsecond, tries: 2},
		{name: "right again when the grant is over", answers: "ok ok", wait: 5 * time.Minute, want: signin.ErrOver, tries: 1},
		{name: "in the last moment", answers: "ok", wait: 10*time.Minute - time.Microsecond, tries: 1},
		{name: "too late", answers: "ok", wait: 10 * time.Minute, want: signin.ErrOver, events: "attempt_started"},
		{name: "wrong and too late", answers: "x", wait: time.Hour, want: signin.ErrOver, events: "attempt_started"},
		{name: "right after the clock went back", answers: "x ok", wait: -time.Hour, tries: 2},
		{name: "with a wrong secret", answers: "ok", want: signin.ErrUnknown,
			handle: func(_ *house, hd *signin.Handle) { hd.Secret = "AAAAAAAAAAAAAAAAAAAAAA" }, events: "attempt_started"},
		{name: "with no secret", answers: "ok", want: signin.ErrUnknown, handle: func(_ *house, hd *signin.Handle) { hd.Secret = "" }},
		{name: "with another nonce", answers: "ok", want: signin.ErrUnknown, handle: func(_ *house, hd *signin.Handle) { hd.ID.Nonce[0]++ }},
		{name: "with an id that is none", answers: "ok", want: signin.ErrUnknown, handle: func(_ *house, hd *signin.Handle) { hd.ID = splitpin.AttemptID{} }},
		{name: "in another project", answers: "ok", want: signin.ErrUnknown, handle: func(h *house, hd *signin.Handle) { hd.Project = h.club }},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			h := newHouse(t)
			o := h.visitor("203.0.113.7").start(ada)
			if test.handle != nil {
				test.handle(h, &o.handle)
			}
			var g, first *signin.Granted
			var err error
			answers := strings.Fields(test.answers)
			for i, a := range answers {
				if i == len(answers)-1 {
					h.clock.wait(test.wait)
				}
				text := o.right()
				if a == "x" {
					text = o.wrong()
				}
				g, err = o.answer(text)
				if first == nil {
					first = g
				}
			}
			switch {
			case test.want != nil:
				equal(t, "tries left", refused(t, "the last answer", err, test.want).TriesLeft, test.left)
			case err != nil:
				t.Fatalf("the last answer: %v", err)
			default:
				equal(t, "authorization code", g.Code.Reveal(), first.Code.Reveal())
			}
			equal(t, "tries counted", h.attempt(o.Attempt.ID).Tries, test.tries)
			if test.events != "" {
				equal(t, "events", h.events(ada), test.events)
			}
		})
	}
}

func TestAnswerForms(t *testing.T) {
	h := newHouse(t)
	o := h.visitor("203.0.113.7").start(ada)
	r := o.right()
	if _, err := o.answer(" " + r[:3] + "-" + r[3:] + "\u00a0"); err != nil {
		t.Errorf("the right code with spaces and a hyphen: %v", err)
	}
}

// Guesses that arrive together gain nothing: all of them have read what they
// read before the first step begins, and still at most MaxTries are looked at.
func TestParallelGuesses(t *testing.T) {
	h := newHouse(t)
	o := h.visitor("203.0.113.7").start(ada)
	const guessers = 24
	var mu sync.Mutex
	count := map[string]int{}
	h.together(guessers, func(ctx context.Context, _ int) {
		_, err := h.Answer(ctx, o.handle, said(o.wrong()))
		mu.Lock()
		defer mu.Unlock()
		count[splitpin.ErrorOf(err).Code]++
	})
	equal(t, "answers called wrong", count["wrong_code"], 4)
	equal(t, "answers refused", count["too_many_tries"], guessers-4)
	equal(t, "tries", h.attempt(o.Attempt.ID).Tries, 5)
	g := h.load(splitpin.Reads{Name: splitpin.Name{Project: h.shop.Number, Identifier: ada}}).Guesses
	equal(t, "wrong answers counted for the address", g.Wrong[0], 5)
}

// Two right answers at once give one grant, and so one session.
func TestParallelRightAnswers(t *testing.T) {
	h := newHouse(t)
	o := h.visitor("203.0.113.7").start(ada)
	codes := make([]string, 8)
	h.together(len(codes), func(ctx context.Context, i int) {
		g, err := h.Answer(ctx, o.handle, said(o.right()))
		if err != nil {
			t.Errorf("a right answer: %v", err)
			return
		}
		codes[i] = g.Code.Reveal()
	})
	for _, c := range codes {
		equal(t, "authorization code", c, codes[0])
	}
	equal(t, "events", h.events(ada), "attempt_started attempt_proved")
}

// Two first proofs of one address at once make one user.
func TestFirstProofsAtOnce(t *testing.T) {
	h := newHouse(t)
	const people = 3
	var attempts []*opened
	for i := range people {
		attempts = append(attempts, h.visitor("203.0.113."+string('1'+rune(i))).start(ada))
	}
	grants := make([]*signin.Granted, people)
	h.together(people, func(ctx context.Context, i int) {
		grants[i], _ = h.Answer(ctx, attempts[i].handle, said(attempts[i].right()))
	})
	seen := map[splitpin.UUID]bool{}
	for i, g := range grants {
		if g == nil {
			t.Fatalf("proof %d was refused", i)
		}
		c, err := h.Collect(t.Context(), attempts[i].collection(g))
		if err != nil {
			t.Fatal(err)
		}
		seen[c.User.ID] = true
	}
	equal(t, "users", len(seen), 1)
	users, err := h.db.Users(t.Context(), h.shop.Number, 0, 10)
	if err != nil {
		t.Fatal(err)
	}
	equal(t, "users in the store", len(users), 1)
}

// Strangers next to the starter can neither look, nor ask for messages, nor
// learn that there is anything.
func TestOnlyTheStarterIsLetNear(t *testing.T) {
	h := newHouse(t)
	o := h.visitor("203.0.113.7").start(ada)
	h.clock.wait(time.Minute)
	stranger := o.handle
	stranger.Secret = "AAAAAAAAAAAAAAAAAAAAAA"
	_, err := h.Look(t.Context(), stranger)
	refused(t, "looking", err, signin.ErrUnknown)
	_, err = h.Resend(t.Context(), stranger, "")
	refused(t, "asking for a message", err, signin.ErrUnknown)
	for range 10 {
		_, err = h.Answer(t.Context(), stranger, said("000000"))
		refused(t, "guessing", err, signin.ErrUnknown)
	}
	equal(t, "messages", len(h.messages(o)), 1)
	if _, err := h.Look(t.Context(), o.handle); err != nil {
		t.Errorf("the starter looks: %v", err)
	}
	o.mustAnswer()
	if r := h.load(splitpin.Reads{Name: splitpin.Name{Project: h.shop.Number, Identifier: ada}}); r.Guesses != nil {
		t.Error("guesses of somebody who does not hold the secret were counted")
	}
}

// A user whom a backend imported is proved by the first sign-in and keeps the
// id.
func TestFirstProofOfAnImportedUser(t *testing.T) {
	h := newHouse(t)
	people := &account.Directory{Store: h.db, Ring: h.ring, Clock: h.clock.now}
	const id = "5b1f3a52-0000-4000-8000-000000000001"
	list := `[{"ID":"` + id + `","client_user_id":"1014","identifier":"Ada@example.org","created_at":"2020-05-01T00:00:00Z"}]`
	if _, err := people.Import(t.Context(), h.shop.Number, strings.NewReader(list), nil); err != nil {
		t.Fatal(err)
	}
	before, err := people.ByIdentifier(t.Context(), h.shop.Number, ada)
	if err != nil {
		t.Fatal(err)
	}
	if !before.ProvedAt.IsZero() {
		t.Error("an imported address counts as proved")
	}
	c := h.visitor("203.0.113.7").signIn(ada)
	equal(t, "id", c.User.ID.String(), id)
	equal(t, "client_user_id", c.User.ClientUserID, "1014")
	after := h.load(splitpin.Reads{User: c.User.Number}).User
	equal(t, "proved at", after.ProvedAt, start.Truncate(time.Microsecond))
	equal(t, "created at", after.CreatedAt.Year(), 2020)
}

// A data key of a new generation does not spoil the attempts, sessions and
// codes of the one before; a node that has not heard of it asks for patience and
// charges nobody.
func TestKeyGenerationsChangeMeanwhile(t *testing.T) {
	h := newHouse(t)
	late, _, _ := h.node()
	v := h.visitor("203.0.113.7")
	o := v.start(ada)
	secret := o.right()
	if err := h.ring.Advance(t.Context(), h.clock.now(), keyring.Purposes()...); err != nil {
		t.Fatal(err)
	}
	equal(t, "code after the change", o.right(), secret)
	c, err := v.Collect(t.Context(), o.collection(o.mustAnswer()))
	if err != nil {
		t.Fatalf("collecting after the change: %v", err)
	}
	if _, err := v.refresh(c.Tokens.RefreshToken); err != nil {
		t.Errorf("refreshing after the change: %v", err)
	}

	newer := v.start("bob@example.org")
	equal(t, "generation", newer.Attempt.KeyGeneration, 2)
	_, err = late.Answer(t.Context(), newer.handle, said(newer.right()))
	refused(t, "the right answer at a node that lacks the key", err, splitpin.ErrUnavailable)
	equal(t, "tries charged there", h.attempt(newer.Attempt.ID).Tries, 0)
	if _, err := late.Step(t.Context(), h.clock.now()); err != nil {
		t.Fatal(err)
	}
	if _, err := late.Answer(t.Context(), newer.handle, said(newer.right())); err != nil {
		t.Errorf("the right answer once it has noticed: %v", err)
	}
}

// A message of a project that another node made a moment ago waits, and is not given up.
func TestMessageOfAProjectNotHereYet(t *testing.T) {
	h := newHouse(t)
	late, _, _ := h.node()
	v := h.visitor("203.0.113.7")
	v.project = h.newProject(splitpin.Settings{Name: "Second shop", Origins: []string{shopOrigin}})
	o := v.start(ada)
	m := &splitpin.Message{Project: v.project.Number}
	_, _, err := late.Told(t.Context(), m, o.Attempt)
	refused(t, "a message at a node that lacks the project", err, splitpin.ErrUnavailable)
	equal(t, "the kind of that", splitpin.ErrorOf(err).Kind, splitpin.Unavailable)
	if _, err := late.Step(t.Context(), h.clock.now()); err != nil {
		t.Fatal(err)
	}
	told, p, err := late.Told(t.Context(), m, o.Attempt)
	if err != nil {
		t.Fatalf("a message once it has noticed: %v", err)
	}
	equal(t, "its code", told.Code.Reveal(), o.right())
	equal(t, "its project", p.ID, v.project.ID)
}

func TestAnswerOfGarbage(t *testing.T) {
	h := newHouse(t)
	for i, text := range []string{`{}`, `null`, `{"code":`, `{"code":null}`, `{"code":["a"]}`} {
		o := h.visitor("203.0.113.7").start("p" + string('0'+rune(i)) + "@example.org")
		_, err := h.Answer(t.Context(), o.handle, json.RawMessage(text))
		refused(t, text, err, signin.ErrWrong)
	}
}
