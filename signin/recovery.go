package signin

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/splitpin/splitpin"
	"github.com/splitpin/splitpin/account"
)

// What account decides about people of whom a passkey is required, carried out: a recovery
// that begins is announced, in the commit that begins it, with a link that cancels it.

// recoveryTemplate is the message that tells of a recovery.
const recoveryTemplate = "recovery_begun"

// A notice is the message that tells of a recovery. To a phone it costs money, which is set
// aside before the commit that queues it: nobody's recovery begins unannounced.
type notice struct {
	wanted bool // the commit needs it paid
	paid   bool
	cost   int64
}

// begin is what is saved where a recovery begins. Where its message must be paid first,
// nothing is.
func (e *Engine) begin(now time.Time, n *notice, a *splitpin.Attempt, proved account.Proved, message, event int64, by Caller) (splitpin.Writes, error) {
	u := proved.User
	m := recoveryMessage(u)
	if n.wanted = toPhone(m.Channel) && !n.paid; n.wanted {
		return splitpin.Writes{}, nil
	}
	a.User, a.Credential = u.Number, proved.Begun.Number
	w := proved.Writes
	w.Put = append(w.Put, a)
	told := announcement(message, now, a, u, proved.Begun, m)
	told.Cost = n.cost
	w.Create = append(w.Create, told)
	return e.audited(w, event, now, a, u, by, "recovery_begun")
}

func recoveryMessage(u *splitpin.User) Message {
	if u.Kind == splitpin.Phone {
		return Message{Channel: splitpin.SMSChannel, Template: recoveryTemplate}
	}
	return Message{Channel: splitpin.EmailChannel, Template: recoveryTemplate}
}

// pay sets aside what the message of a recovery costs. Its errors are those of a start that
// is refused for its message, and account.ErrPasskeyRequired where none can be sent.
func (e *Engine) pay(ctx context.Context, now time.Time, n *notice, p *splitpin.Project, a *splitpin.Attempt, by Caller) error {
	if !slices.Contains(e.Channels(p, a.Method), splitpin.SMSChannel) {
		return account.ErrPasskeyRequired
	}
	t, err := e.toll(ctx, now, p, a, Message{Channel: splitpin.SMSChannel, Template: recoveryTemplate}, by)
	if err != nil {
		return err
	}
	refused, wait, err := e.take(ctx, now, t.take()...)
	if err != nil {
		return fmt.Errorf("charging the limits: %w", err)
	}
	if refused >= 0 {
		return t.refused(refused, wait)
	}
	n.paid, n.cost = true, t.cost
	return nil
}

// waits is what somebody is told whose answer began a recovery.
func waits(p *splitpin.Project) error {
	return account.ErrRecoveryWaits.After(account.RecoveryDelay(p))
}

// A sequel is what somebody who signed in should see to next.
type sequel struct {
	makePasskey bool
	recovery    *splitpin.Credential
}

func sequelOf(now time.Time, p *splitpin.Project, u *splitpin.User, all []*splitpin.Credential, shown *splitpin.Credential) sequel {
	s := sequel{makePasskey: account.ShouldMakePasskey(now, p, u, all, shown)}
	if shown != nil && shown.Kind == splitpin.PasskeyCredential {
		s.recovery, _ = account.Recovery(now, all)
	}
	return s
}

func (s sequel) of(g *Granted, err error) (*Granted, error) {
	if err != nil {
		return nil, err
	}
	g.MakePasskey, g.Recovery = s.makePasskey, s.recovery
	return g, nil
}

// Recover begins a recovery for a user that an operator knows to have lost the passkey: it
// is open at once. No message tells of it: the operator spoke with the person. Who signs in
// with a passkey sees it like any other.
func (e *Engine) Recover(ctx context.Context, u *splitpin.User, by Caller) (err error) {
	ctx, done := e.observe(ctx, "recover")
	defer func() { done(err) }()
	now := e.moment()
	numbers, err := e.numbers(ctx, 2)
	if err != nil {
		return err
	}
	return e.changeCredential(ctx, u.Number, func(r *splitpin.Records) (splitpin.Writes, error) {
		if r.User == nil {
			return splitpin.Writes{}, splitpin.ErrNotFound
		}
		c, was, err := account.NewRecovery(now, r.User, 0, "", r.Credentials)
		if err != nil {
			return splitpin.Writes{}, err
		}
		c.Number = numbers[0]
		w := splitpin.Writes{Create: []splitpin.Record{c}}
		if was != nil {
			w.Delete = append(w.Delete, was)
		}
		line, err := e.sessionEvent(numbers[1], now, r.User, 0, by, "recovery_opened")
		if err != nil {
			return splitpin.Writes{}, err
		}
		w.Create = append(w.Create, line)
		return w, nil
	})
}
