package signin

import (
	"context"
	"fmt"
	"time"

	"github.com/splitpin/splitpin"
	"github.com/splitpin/splitpin/account"
	"github.com/splitpin/splitpin/token"
)

// ErrIdentity is every reason why an identity token is exchanged for nothing. It does
// not say which, to whoever may have found the token.
var ErrIdentity = &splitpin.Error{Kind: splitpin.Invalid, Code: "identity_invalid",
	Message: "This identity token is too old or was used already. Please sign in again."}

// exchangeFor is how long after the proof an identity token can be exchanged: its own
// 30 days are for those who check its signature themselves (security 23).
const exchangeFor = 10 * time.Minute

// Exchange opens a session for an identity token of Cotter's older kind, once, for a
// backend that showed a server secret. The token alone proves little, as its
// signature covers neither its time nor its sign-in: what counts is the proof that
// the session keeps which the token was made for. That session must still live; the
// new one names the same proof. Its error is ErrIdentity.
func (e *Engine) Exchange(ctx context.Context, p *splitpin.Project, shown token.IdentityToken, by Caller) (_ *Refreshed, err error) {
	ctx, done := e.observe(ctx, "exchange")
	defer func() { done(err) }()
	now := e.moment()
	provedAt, err := e.tokens.VerifyIdentity(p, shown, now)
	if err != nil {
		return nil, ErrIdentity.Because(err)
	}
	identifier, _, err := account.ParseIdentifier(shown.Identifier)
	if err != nil || identifier != shown.Identifier {
		return nil, ErrIdentity
	}
	numbers, err := e.numbers(ctx, 2)
	if err != nil {
		return nil, err
	}
	var salt [16]byte
	if err := e.fill(salt[:]); err != nil {
		return nil, err
	}
	var out *Refreshed
	name := splitpin.Name{Project: p.Number, Identifier: identifier}
	err = e.store.Change(ctx, splitpin.Reads{Name: name, Sessions: true}, func(r *splitpin.Records) (splitpin.Writes, error) {
		out = nil
		if r.User == nil || token.IdentifierID(r.User) != shown.IdentifierID {
			return splitpin.Writes{}, nil
		}
		was := exchangeable(now, r.Sessions, provedAt)
		if was == nil || !e.tokens.Live(was, now) {
			return splitpin.Writes{}, nil
		}
		was.ExchangedAt = now
		s := e.tokens.NewSession(p, r.User, numbers[0], salt, was.AuthMethod, false, now)
		s.AuthAt, s.ExchangedAt = was.AuthAt, now
		s.Device, s.Network, s.Credential, s.Proof = was.Device, was.Network, was.Credential, was.ProvedBy()
		out = &Refreshed{Session: s, User: r.User}
		event, err := e.sessionEvent(numbers[1], now, r.User, s.Number, by, "identity_exchanged")
		if err != nil {
			return splitpin.Writes{}, err
		}
		return splitpin.Writes{Put: []splitpin.Record{was}, Create: []splitpin.Record{s, event}}, nil
	})
	if err != nil {
		return nil, fmt.Errorf("exchanging an identity token: %w", err)
	}
	if out == nil {
		return nil, ErrIdentity
	}
	if out.Tokens, err = e.tokens.Mint(p, out.User, out.Session); err != nil {
		return nil, fmt.Errorf("signing tokens: %w", err)
	}
	return out, nil
}

// exchangeable returns the session that keeps the proof of that second, if it is
// recent and nobody exchanged it; nil where there is none. Tokens of two sign-ins of
// one second are the same: each can be exchanged.
func exchangeable(now time.Time, sessions []*splitpin.Session, provedAt time.Time) *splitpin.Session {
	for _, s := range sessions {
		if s.AuthAt.Unix() == provedAt.Unix() && s.ExchangedAt.IsZero() && now.Sub(s.AuthAt) <= exchangeFor {
			return s
		}
	}
	return nil
}
