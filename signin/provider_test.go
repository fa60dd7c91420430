package signin_test

import (
	"context"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/splitpin/splitpin"
	"github.com/splitpin/splitpin/account"
	"github.com/splitpin/splitpin/signin"
)

// A provider makes and checks codes by SMS: 4711, always. It forgets one that was entered.
type provider struct {
	asked   atomic.Int32
	down    atomic.Bool
	entered sync.Map // attempts
	waits   func()   // happens while it is asked; nil: nothing
}

func (p *provider) Verify(_ context.Context, a *splitpin.Attempt, code splitpin.Secret) (bool, error) {
	p.asked.Add(1)
	if p.waits != nil {
		p.waits()
	}
	if p.down.Load() {
		return false, splitpin.ErrUnavailable
	}
	if code != "4711" {
		return false, nil
	}
	_, before := p.entered.LoadOrStore(a.ID, true)
	return !before, nil
}

// Where a provider made the code it is asked within the attempt's tries, each of
// which is paid for before. A wrong one counts as a guess, and an attempt without an
// identifier is no more to be had than with codes of ours.
func TestCodesOfAProvider(t *testing.T) {
	h := phones(t, nil)
	h.db.once = false
	h.provider = new(provider)
	v := h.visitor("203.0.113.7")
	const number = "+447400123456"
	text := func() *opened {
		t.Helper()
		s, err := v.text(number)
		if err != nil {
			t.Fatal(err)
		}
		return v.opened(s)
	}

	o := text()
	if ours, err := o.Secret(o.Attempt); err != nil || ours.Code != "" {
		t.Errorf("we have a code %q too, %v", ours.Code.Reveal(), err)
	}
	_, err := o.answer("0815")
	refused(t, "a wrong code", err, signin.ErrWrong)
	g, err := o.answer("4711")
	if err != nil || g.Code == "" {
		t.Fatalf("the right code: %+v, %v", g, err)
	}
	equal(t, "tries", h.attempt(o.Attempt.ID).Tries, 2)
	equal(t, "how often the provider was asked", h.provider.asked.Load(), int32(2))
	again, err := o.answer("47 11")
	if err != nil || again.Code != g.Code {
		t.Errorf("the right code again, as after a lost answer: %+v, %v", again, err)
	}
	_, err = o.answer("4712")
	refused(t, "another code after the proof", err, signin.ErrOver)
	r, err := h.db.Load(t.Context(), splitpin.Reads{Name: splitpin.Name{Project: h.shop.Number, Identifier: number}})
	if err != nil || r.User == nil || r.User.ProvedAt.IsZero() || r.Guesses == nil || r.Guesses.Wrong[0] != 1 {
		t.Errorf("%+v, %+v, %v; want a user who proved the number, and one guess", r.User, r.Guesses, err)
	}

	h.clock.wait(5 * time.Minute)
	o = text()
	h.provider.down.Store(true)
	for range o.Attempt.MaxTries {
		_, err := o.answer("4711")
		refused(t, "a provider that is down", err, splitpin.ErrUnavailable)
	}
	h.provider.down.Store(false)
	_, err = o.answer("4711")
	refused(t, "one more", err, signin.ErrTries)

	h.clock.wait(5 * time.Minute)
	o = text()
	before := h.provider.asked.Load()
	h.together(12, func(ctx context.Context, i int) { o.Answer(ctx, o.handle, said("0000")) })
	if asked := h.provider.asked.Load() - before; int(asked) > o.Attempt.MaxTries {
		t.Errorf("twelve answers at once asked the provider %d times, %d tries were left", asked, o.Attempt.MaxTries)
	}

	if _, err := v.text(""); err == nil {
		t.Error("an attempt began without a number")
	}
	c := v.signIn(ada)
	req := v.request(number)
	req.Method, req.Purpose, req.User, req.Session, req.Challenge = "sms_code", splitpin.Enrol, c.User, c.Session, ""
	_, err = v.Start(t.Context(), req)
	refused(t, "a code as a credential", err, signin.ErrPurpose)
}

// Whoever lost a passkey that is required chooses a recovery by the answer that was right,
// which a provider is not asked about again.
func TestCodesOfAProviderBeginRecoveries(t *testing.T) {
	h := phones(t, nil)
	h.db.once = false
	h.provider = new(provider)
	v := h.visitor("203.0.113.7")
	text := func() *opened {
		t.Helper()
		s, err := v.text("+447400123456")
		if err != nil {
			t.Fatal(err)
		}
		return v.opened(s)
	}
	o := text()
	g, err := o.answer("4711")
	if err != nil {
		t.Fatal(err)
	}
	c, err := v.Collect(t.Context(), o.collection(g))
	if err != nil {
		t.Fatal(err)
	}
	v.makesKey(c, "laptop")
	h.shop = h.set(h.shop, func(s *splitpin.Settings) { s.PasskeyRequired = true })
	v.project = h.shop
	h.clock.wait(time.Hour)
	o = text()
	_, err = o.answer("4711")
	refused(t, "the right code", err, account.ErrRecoveryOffered)
	_, err = o.Answer(t.Context(), o.handle, []byte(`{"code":"4712","recover":true}`))
	refused(t, "another one, and the choice", err, signin.ErrWrong)
	_, err = o.Answer(t.Context(), o.handle, []byte(`{"code":"4711","recover":true}`))
	refused(t, "the right one, and the choice", err, account.ErrRecoveryWaits)
	equal(t, "how often the provider was asked", h.provider.asked.Load(), int32(2))
}
