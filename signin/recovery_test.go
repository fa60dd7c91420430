package signin_test

import (
	"context"
	"crypto/sha256"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/splitpin/splitpin"
	"github.com/splitpin/splitpin/account"
	"github.com/splitpin/splitpin/signin"
)

// keys are passkeys as the engine sees them: cards of that kind.
type keys struct{ cards }

func (*keys) Name() string                   { return "key" }
func (*keys) Knows() splitpin.CredentialKind { return splitpin.PasskeyCredential }

func (k *keys) Fetch(ctx context.Context, req signin.FetchRequest) (signin.Fetched, bool, error) {
	f, wrong, err := k.cards.Fetch(ctx, req)
	f.Kind = splitpin.PasskeyCredential
	return f, wrong, err
}

func (k *keys) Check(c signin.Check) (signin.Proof, bool) {
	p, right := k.cards.Check(c)
	p.Credential.Kind = splitpin.PasskeyCredential
	return p, right
}

// strict is a house whose shop requires passkeys.
func strict(t *testing.T) (*house, *visitor) {
	t.Helper()
	h := newHouse(t)
	h.shop = h.set(h.shop, func(s *splitpin.Settings) { s.PasskeyRequired = true })
	return h, h.visitor("203.0.113.7")
}

func (v *visitor) withKey() *opened {
	v.t.Helper()
	return v.withCard(func(req *signin.StartRequest) { req.Method = "key" })
}

// makesKey gives somebody who is signed in a passkey of that name.
func (v *visitor) makesKey(c *signin.Collected, name string) *splitpin.Credential {
	v.t.Helper()
	o := v.withCard(func(req *signin.StartRequest) {
		req.Method, req.Purpose, req.User, req.Session, req.Challenge = "key", splitpin.Enrol, c.User, c.Session, ""
	})
	g, err := o.shows(card{Card: name})
	if err != nil {
		v.t.Fatalf("making a passkey: %v", err)
	}
	return byNumber(v.t, v.credentials(c.User.Number), g.Attempt.Credential)
}

// byCode is the way in of somebody who only reads the mail.
func (v *visitor) byCode() (*signin.Granted, *opened, error) {
	v.t.Helper()
	o := v.start(ada)
	g, err := o.recovers()
	return g, o, err
}

// recovers answers with the right code and the wish for a recovery, where one is needed.
func (o *opened) recovers() (*signin.Granted, error) {
	return o.Answer(o.t.Context(), o.handle, fmt.Appendf(nil, `{"code":%q,"recover":true}`, o.right()))
}

// undoes follows the link of a message.
func (v *visitor) undoes(c *splitpin.Credential) error {
	v.t.Helper()
	link, err := v.UndoLink(c)
	if err != nil {
		v.t.Fatal(err)
	}
	return v.Undo(v.t.Context(), v.project, strings.TrimPrefix(link.Reveal(), "https://login.example.org"+signin.UndoPath), v.by)
}

// recovery is the one of ada, as she and whoever asks may see it; nil: there is none.
func (h *house) recovery() *splitpin.Credential {
	h.t.Helper()
	for _, c := range h.credentials(h.userOf(ada).Number) {
		if c.Kind == splitpin.RecoveryCredential {
			return c
		}
	}
	return nil
}

// From the code to the passkey, the whole way: nothing is opened before its time, and
// then once.
func TestRecovery(t *testing.T) {
	h, v := strict(t)
	g, o, err := v.byCode()
	if err != nil || !g.MakePasskey {
		t.Fatalf("without a passkey a code signs in and asks for one: %+v, %v", g, err)
	}
	c, err := v.Collect(t.Context(), o.collection(g))
	if err != nil {
		t.Fatal(err)
	}
	v.makesKey(c, "laptop")
	h.clock.wait(time.Hour)

	thief := h.visitor("203.0.113.8")
	_, o, err = thief.byCode()
	equal(t, "how long it waits", refused(t, "a code", err, account.ErrRecoveryWaits).RetryAfter, 24*time.Hour)
	if a := h.attempt(o.Attempt.ID); !a.ProvedAt.IsZero() {
		t.Error("the attempt counts as proved")
	}
	told := h.messages(o)
	if len(told) != 2 || told[0].Template != "recovery_begun" || told[0].To != ada {
		t.Fatalf("the messages are %+v", told)
	}
	text, _, err := h.Told(t.Context(), told[0], h.attempt(o.Attempt.ID))
	if err != nil || !text.Notice || !strings.Contains(text.Link.Reveal(), signin.UndoPath) {
		t.Errorf("the message says %+v (%v)", text, err)
	}
	h.clock.wait(time.Minute)
	_, err = o.answer(o.right())
	equal(t, "how long it still waits", refused(t, "the same code", err, account.ErrRecoveryWaits).RetryAfter, 24*time.Hour-time.Minute)
	_, again, err := thief.byCode()
	refused(t, "another code", err, account.ErrRecoveryWaits)
	equal(t, "messages of the second", len(h.messages(again)), 1)

	h.clock.wait(24*time.Hour - time.Minute - time.Microsecond)
	_, _, err = thief.byCode()
	refused(t, "a moment too early", err, account.ErrRecoveryWaits)
	h.clock.wait(time.Microsecond)
	g, o, err = v.byCode()
	if err != nil || !g.MakePasskey {
		t.Fatalf("in time: %+v, %v", g, err)
	}
	repeated, err := o.answer(o.right())
	if err != nil || repeated.Code != g.Code || !repeated.MakePasskey {
		t.Errorf("the same answer again: %+v, %v", repeated, err)
	}
	if c, err = v.Collect(t.Context(), o.collection(g)); err != nil {
		t.Fatal(err)
	}
	_, _, err = thief.byCode()
	refused(t, "once more after it was used", err, account.ErrRecoveryWaits)
	v.makesKey(c, "phone")
	if got := h.events(ada); strings.Count(got, "recovery_begun") != 2 {
		t.Errorf("what happened: %s", got)
	}
}

// A code that is typed by habit begins nothing and alarms nobody. The choice takes that same
// code, also where it was the last try.
func TestRecoveryIsChosen(t *testing.T) {
	h, v := strict(t)
	v.makesKey(v.signIn(ada), "laptop")
	o := v.start(ada)
	for o.Attempt.Tries = h.attempt(o.Attempt.ID).Tries; o.Attempt.Tries < o.Attempt.MaxTries-1; o.Attempt.Tries++ {
		_, err := o.answer(o.wrong())
		refused(t, "a wrong code", err, signin.ErrWrong)
	}
	_, err := o.answer(o.right())
	refused(t, "the right code", err, account.ErrRecoveryOffered)
	if h.recovery() != nil || len(h.messages(o)) != 1 {
		t.Errorf("a recovery has begun, or a message went out: %+v", h.messages(o))
	}
	if got := h.events(ada); !strings.Contains(got, "answer_refused") {
		t.Errorf("what happened: %s", got)
	}
	said := strings.Count(h.events(ada), "answer_refused")
	for range 10 {
		_, err := o.answer(o.right())
		refused(t, "the right code once more", err, account.ErrRecoveryOffered)
	}
	equal(t, "events of a right code that is shown over and over", strings.Count(h.events(ada), "answer_refused"), said)
	_, err = o.recovers()
	refused(t, "the choice", err, account.ErrRecoveryWaits)
	if h.recovery() == nil || len(h.messages(o)) != 2 {
		t.Errorf("no recovery has begun, or nobody was told: %+v", h.messages(o))
	}
}

// A link that is opened over and over says so a few times, and still lets the person choose.
func TestRecoveryIsChosenByLink(t *testing.T) {
	h, v := strict(t)
	v.makesKey(v.signIn(ada), "laptop")
	_, admit := v.sentLink()
	for range 10 {
		_, err := admit(false)
		refused(t, "the link", err, account.ErrRecoveryOffered)
	}
	if n := strings.Count(h.events(ada), "answer_refused"); n < 1 || n > signin.MaxLinkTries {
		t.Errorf("%d events of a link that was opened ten times", n)
	}
	_, err := admit(true)
	refused(t, "the choice", err, account.ErrRecoveryWaits)
}

// Nothing weaker than a passkey opens an account that has one, whatever it is.
func TestPasskeyRequired(t *testing.T) {
	confirm := func(v *visitor, c *signin.Collected) error {
		req := v.request(ada)
		req.Purpose, req.User, req.Session, req.Challenge = splitpin.Confirm, c.User, c.Session, ""
		s, err := v.Start(v.t.Context(), req)
		if err != nil {
			return err
		}
		o := v.opened(s)
		_, err = o.answer(o.right())
		return err
	}
	for _, test := range []struct {
		name string
		by   func(v *visitor, c *signin.Collected) error
		want *splitpin.Error // nil: it opens
	}{
		{"a passkey", func(v *visitor, _ *signin.Collected) error {
			_, err := v.withKey().shows(card{Card: "laptop"})
			return err
		}, nil},
		{"a code", func(v *visitor, _ *signin.Collected) error { _, _, err := v.byCode(); return err }, account.ErrRecoveryWaits},
		{"a link, in the browser that asked", func(v *visitor, _ *signin.Collected) error { return v.byLink(nil) }, account.ErrRecoveryWaits},
		{"an account elsewhere", func(v *visitor, _ *signin.Collected) error {
			_, err := v.withCard(nil).shows(card{Card: "hers"})
			return err
		}, account.ErrPasskeyRequired},
		{"an address proved for an account elsewhere", func(v *visitor, _ *signin.Collected) error {
			o := v.withCard(nil)
			if _, err := o.shows(card{Card: "new", Address: ada, Vouched: true}); splitpin.ErrorOf(err) != signin.ErrMore {
				v.t.Fatalf("a new card: %v", err)
			}
			child := o.mustComplete(ada)
			_, err := child.answer(child.right())
			return err
		}, account.ErrPasskeyRequired},
		{"a code that confirms", confirm, account.ErrPasskeyRequired},
	} {
		for _, whose := range []string{"of the project", "of the user"} {
			t.Run(test.name+", "+whose, func(t *testing.T) {
				h, v := strict(t)
				c := v.signIn(ada)
				if _, err := v.enrol(c, "hers"); err != nil {
					t.Fatal(err)
				}
				v.makesKey(c, "laptop")
				if whose == "of the user" {
					h.shop = h.set(h.shop, func(s *splitpin.Settings) { s.PasskeyRequired = false })
					v.project = h.shop
					h.requirePasskey(c.User)
				}
				h.clock.wait(time.Minute)
				err := test.by(v, c)
				if test.want == nil && err != nil {
					t.Fatal(err)
				}
				if test.want != nil {
					refused(t, test.name, err, test.want)
				}
				if begun := h.recovery() != nil; begun != (test.want == account.ErrRecoveryWaits) {
					t.Errorf("a recovery has begun: %v", begun)
				}
				if live, _ := h.Sessions(t.Context(), c.User); len(live) != 1 {
					t.Errorf("there are %d sessions", len(live))
				}
			})
		}
	}
}

func (h *house) requirePasskey(u *splitpin.User) {
	h.t.Helper()
	err := h.db.Change(h.t.Context(), splitpin.Reads{User: u.Number}, func(r *splitpin.Records) (splitpin.Writes, error) {
		r.User.PasskeyRequired = true
		return splitpin.Writes{Put: []splitpin.Record{r.User}}, nil
	})
	if err != nil {
		h.t.Fatal(err)
	}
}

// byLink opens the link of a message in the browser that asked, which v is told of.
func (v *visitor) byLink(admitted *signin.Granted) error {
	v.t.Helper()
	attempt, admit := v.sentLink()
	got, err := admit(true)
	if err == nil && admitted != nil {
		*admitted = got.Granted
	}
	if a := v.attempt(attempt.ID); err != nil && (!a.ProvedAt.IsZero() || a.Link != "") {
		v.t.Errorf("the link decided something: proved %v, %q", a.ProvedAt, a.Link)
	}
	return err
}

// sentLink asks for a link for ada. admit lets the asking screen in, in its browser.
func (v *visitor) sentLink() (a *splitpin.Attempt, admit func(recovers bool) (*signin.Admitted, error)) {
	v.t.Helper()
	req := v.request(ada)
	req.Method = "email_link"
	s, err := v.Start(v.t.Context(), req)
	if err != nil {
		v.t.Fatal(err)
	}
	v.linked = v.opened(s).handle
	told, err := v.Engine.Secret(s.Attempt)
	if err != nil {
		v.t.Fatal(err)
	}
	proof, err := v.BrowserProof(s.Attempt)
	if err != nil {
		v.t.Fatal(err)
	}
	token := told.Link.Reveal()[strings.LastIndex(told.Link.Reveal(), "/")+1:]
	return s.Attempt, func(recovers bool) (*signin.Admitted, error) {
		return v.Admit(v.t.Context(), signin.Bearer{Project: v.project, Link: splitpin.Secret(token), Browser: proof, By: v.by},
			signin.Admission{Way: signin.LetIn, Recover: recovers})
	}
}

// The link opens the account when the time has come, as a code does.
func TestRecoveryByLink(t *testing.T) {
	h, v := strict(t)
	v.makesKey(v.signIn(ada), "laptop")
	refused(t, "a link", v.byLink(nil), account.ErrRecoveryWaits)
	h.clock.wait(24 * time.Hour)
	var g signin.Granted
	if err := v.byLink(&g); err != nil || !g.MakePasskey || g.Code == "" {
		t.Fatalf("in time: %+v, %v", g, err)
	}
	asked, err := v.Grant(t.Context(), v.linked)
	if err != nil || asked.Code != g.Code || !asked.MakePasskey {
		t.Errorf("the screen that asked: %+v, %v", asked, err)
	}
}

// Who did not begin it ends it: by the link of the message, or signed in with the passkey.
func TestRecoveryIsCancelled(t *testing.T) {
	for _, test := range []struct {
		name   string
		cancel func(h *house, v *visitor) error
	}{
		{"by the link", func(h *house, v *visitor) error { return v.undoes(h.recovery()) }},
		{"by the one with the passkey", func(h *house, v *visitor) error {
			o := v.withKey()
			g, err := o.shows(card{Card: "laptop"})
			if err != nil {
				return err
			}
			if g.Recovery == nil {
				v.t.Fatal("who comes with the passkey does not see it")
			}
			c, err := v.Collect(v.t.Context(), o.collection(g))
			if err != nil {
				return err
			}
			list, err := v.Credentials(v.t.Context(), c.User)
			if err != nil || len(list) != 2 || list[0].Kind != splitpin.RecoveryCredential {
				v.t.Fatalf("the list says %+v (%v)", list, err)
			}
			return v.Remove(v.t.Context(), c.Session, c.User, g.Recovery.Number, v.by)
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			h, v := strict(t)
			v.makesKey(v.signIn(ada), "laptop")
			_, _, err := v.byCode()
			refused(t, "a code", err, account.ErrRecoveryWaits)
			h.clock.wait(23 * time.Hour)
			if err := test.cancel(h, v); err != nil {
				t.Fatal(err)
			}
			h.clock.wait(time.Hour)
			_, _, err = v.byCode()
			equal(t, "how long the next one waits", refused(t, "a code when its time would have come", err, account.ErrRecoveryWaits).RetryAfter, 24*time.Hour)
			g, err := v.withKey().shows(card{Card: "laptop"})
			if err != nil || g.MakePasskey {
				t.Errorf("the passkey: %+v, %v", g, err)
			}
		})
	}
}

// What a recovery opened ends with it, for as long as the link lives that told of it.
func TestRecoveryTakenBackAfterwards(t *testing.T) {
	h, v := strict(t)
	v.makesKey(v.signIn(ada), "laptop")
	thief := h.visitor("203.0.113.8")
	thief.byCode()
	h.clock.wait(24 * time.Hour)
	g, o, err := thief.byCode()
	if err != nil {
		t.Fatal(err)
	}
	c, err := thief.Collect(t.Context(), o.collection(g))
	if err != nil {
		t.Fatal(err)
	}
	if err := v.undoes(h.recovery()); err != nil {
		t.Fatal(err)
	}
	_, err = thief.refresh(c.Tokens.RefreshToken)
	refused(t, "the session of the thief", err, signin.ErrRefresh)
}

// Nobody comes in after the week in which it was open.
func TestRecoveryEnds(t *testing.T) {
	h, v := strict(t)
	v.makesKey(v.signIn(ada), "laptop")
	v.byCode()
	h.clock.wait(24*time.Hour + account.RecoveryOpenFor)
	_, _, err := v.byCode()
	equal(t, "how long the next one waits", refused(t, "a week later", err, account.ErrRecoveryWaits).RetryAfter, 24*time.Hour)
}

// Two who answer in the same moment begin one recovery, and one message tells of it.
func TestRecoveriesAtOnce(t *testing.T) {
	h, v := strict(t)
	v.makesKey(v.signIn(ada), "laptop")
	a, b := v.start(ada), h.visitor("203.0.113.9").start(ada)
	h.db.meanwhile(func() {
		_, err := b.recovers()
		refused(t, "the second", err, account.ErrRecoveryWaits)
	})
	_, err := a.recovers()
	refused(t, "the first", err, account.ErrRecoveryWaits)
	if n := len(h.messages(a)) + len(h.messages(b)); n != 3 {
		t.Errorf("%d messages, want two codes and one that tells", n)
	}
}

// The mail that told of a passkey does not turn it off for whoever finds it later.
func TestLastPasskeyUndo(t *testing.T) {
	h, v := strict(t)
	c := v.signIn(ada)
	first := v.makesKey(c, "laptop")
	h.clock.wait(account.LastPasskeyUndoFor + time.Second)
	refused(t, "an old mail about the only passkey", v.undoes(first), signin.ErrUndo)
	if _, err := v.withKey().shows(card{Card: "laptop"}); err != nil {
		t.Errorf("the passkey: %v", err)
	}
	byKey := func() *signin.Collected {
		t.Helper()
		o := v.withKey()
		g, _ := o.shows(card{Card: "laptop"})
		c, err := v.Collect(t.Context(), o.collection(g))
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	c = byKey()
	refused(t, "removing the last", v.Remove(t.Context(), c.Session, c.User, first.Number, v.by), signin.ErrLast)
	second := v.makesKey(c, "phone")
	if err := v.undoes(second); err != nil {
		t.Errorf("a new one: %v", err)
	}
	third := v.makesKey(byKey(), "tablet")
	if err := v.undoes(first); err != nil {
		t.Errorf("an old one beside another: %v", err)
	}
	if err := v.undoes(third); err != nil {
		t.Errorf("the only one, which is new: %v", err)
	}
}

// A passkey that somebody made before the address was proved opens and holds back nothing.
func TestPasskeyFromBeforeTheProof(t *testing.T) {
	h, v := strict(t)
	u := &splitpin.User{ID: splitpin.NewUUID(), Project: h.shop.Number, Identifier: ada, Kind: splitpin.Email, CreatedAt: start}
	key := &splitpin.Credential{Project: h.shop.Number, Kind: splitpin.PasskeyCredential, Key: sha256.Sum256([]byte("squat")), CreatedAt: start}
	u.Number, _ = h.db.NextNumber(t.Context())
	key.Number, _ = h.db.NextNumber(t.Context())
	key.User = u.Number
	if err := h.db.Change(t.Context(), splitpin.Reads{}, func(*splitpin.Records) (splitpin.Writes, error) {
		return splitpin.Writes{Create: []splitpin.Record{u}}, nil
	}); err != nil {
		t.Fatal(err)
	}
	if err := h.db.Change(t.Context(), splitpin.Reads{User: u.Number}, func(*splitpin.Records) (splitpin.Writes, error) {
		return splitpin.Writes{Create: []splitpin.Record{key}}, nil
	}); err != nil {
		t.Fatal(err)
	}
	if _, _, err := v.byCode(); err != nil {
		t.Fatalf("the first proof: %v", err)
	}
	if all := h.credentials(u.Number); len(all) != 0 {
		t.Errorf("there is %+v", all)
	}
}

// What tells of a recovery to a phone is paid first, and where there is no money for it,
// nothing begins.
func TestRecoveryOfANumber(t *testing.T) {
	h := phones(t, func(s *splitpin.PhoneSettings) { s.BudgetDay = 100 * dollar })
	h.shop = h.set(h.shop, func(s *splitpin.Settings) { s.PasskeyRequired = true })
	ann := h.from(1)
	answered := func() (*opened, error) {
		s, err := ann.text(german(1))
		if err != nil {
			t.Fatal(err)
		}
		o := ann.opened(s)
		_, err = o.recovers()
		return o, err
	}
	s, err := ann.text(german(1))
	if err != nil {
		t.Fatal(err)
	}
	o := ann.opened(s)
	c, err := ann.Collect(t.Context(), o.collection(o.mustAnswer()))
	if err != nil {
		t.Fatal(err)
	}
	ann.makesKey(c, "phone")

	h.clock.wait(time.Hour)
	o, err = answered()
	refused(t, "a code", err, account.ErrRecoveryWaits)
	told := h.messages(o)
	if len(told) != 2 || told[0].Channel != splitpin.SMSChannel || told[0].Template != "recovery_begun" || told[0].Cost < dollar/10 {
		t.Fatalf("the messages are %+v", told)
	}
	if err := ann.undoes(h.credentials(c.User.Number)[0]); err != nil {
		t.Fatal(err)
	}
	s, err = ann.text(german(1))
	if err != nil {
		t.Fatal(err)
	}
	h.shop = h.set(h.shop, func(s *splitpin.Settings) { s.Phone.Limits.Number = splitpin.Rate{Hour: 1, Day: 1} })
	ann.project = h.shop
	o = ann.opened(s)
	_, err = o.recovers()
	refused(t, "a code without money for the message", err, signin.ErrManyMessages)
	for _, c := range h.credentials(c.User.Number) {
		if c.Kind == splitpin.RecoveryCredential {
			t.Error("a recovery has begun that nobody was told of")
		}
	}
}

// An operator who knows the person opens the account at once.
func TestRecover(t *testing.T) {
	h, v := strict(t)
	v.makesKey(v.signIn(ada), "laptop")
	if err := h.Recover(t.Context(), h.userOf(ada), signin.Caller{}); err != nil {
		t.Fatal(err)
	}
	if g, _, err := v.byCode(); err != nil || !g.MakePasskey {
		t.Errorf("a code: %+v, %v", g, err)
	}
	if got := h.events(ada); !strings.Contains(got, "recovery_opened") {
		t.Errorf("what happened: %s", got)
	}
}
