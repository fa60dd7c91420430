package signin

import (
	"cmp"
	"context"
	"fmt"
	"time"

	"github.com/splitpin/splitpin"
)

// A SignIn is what a message signed somebody in to, for whoever opens its link
// afterwards.
type SignIn struct {
	At     time.Time // of the proof
	Device string    // from our own vocabulary; empty: not known yet
}

// Disown is "this was not me" of a sign-in that is done already, by whoever opened the
// link of its message (security 31). It ends the session of that attempt, and what came
// of the same proof: what an identity token was exchanged for, and what a browser that was
// remembered in it opened. Credentials that were added by that proof or in those sessions
// are removed, and the sessions that they opened end. Nothing comes of the attempt
// afterwards, nor of what was begun or proved before. Other sessions stay, and whoever was
// signed out wrongly signs in again by a code.
//
// Whoever calls it has seen the person choose. Its errors are ErrLink, ErrNotProved, and
// ErrLinkOver where nothing is left to be ended.
func (e *Engine) Disown(ctx context.Context, b Bearer) (err error) {
	ctx, done := e.observe(ctx, "disown_link")
	defer func() { done(err) }()
	now := e.moment()
	a, _, err := e.borne(ctx, b)
	if err != nil {
		return err
	}
	if a.Open(now) {
		return ErrNotProved
	}
	event, err := e.store.NextNumber(ctx)
	if err != nil {
		return fmt.Errorf("asking for a number: %w", err)
	}
	reads := splitpin.Reads{Attempt: a.ID.Number, User: a.User, Sessions: true, Credentials: true}
	err = e.store.Change(ctx, reads, func(r *splitpin.Records) (splitpin.Writes, error) {
		a := r.Attempt
		proof, err := e.bears(now, b, a)
		if err != nil || proof == bearsNothing {
			return splitpin.Writes{}, cmp.Or(err, error(ErrLink))
		}
		came, added := e.cameOf(now, a, r)
		if r.User == nil || !decideDisown(now, a, proof, len(came)+len(added)) {
			return splitpin.Writes{}, ErrLinkOver
		}
		a.DeniedAt, r.User.UndoneAt = now, now
		w := splitpin.Writes{Put: []splitpin.Record{a, r.User}}
		for _, s := range came {
			s.RevokedAt = now
			w.Put = append(w.Put, s)
		}
		for _, c := range added {
			w.Delete = append(w.Delete, c)
		}
		line, err := e.audit(event, now, a, r.User, "link_disowned")
		if err != nil {
			return splitpin.Writes{}, err
		}
		line.Network = b.By.Network()
		if !a.CollectedAt.IsZero() {
			line.Session = a.ID.Number
		}
		w.Create = append(w.Create, line)
		return w, nil
	})
	if err != nil {
		return fmt.Errorf("ending what a link signed in: %w", err)
	}
	return nil
}

// signedIn is what a link can still disown; nil: nothing.
func (e *Engine) signedIn(ctx context.Context, now time.Time, a *splitpin.Attempt, proof bears) (*SignIn, error) {
	if a.ProvedAt.IsZero() {
		return nil, nil
	}
	r, err := e.store.Load(ctx, splitpin.Reads{User: a.User, Sessions: true, Credentials: true})
	if err != nil {
		return nil, fmt.Errorf("loading sessions: %w", err)
	}
	came, added := e.cameOf(now, a, r)
	if r.User == nil || !decideDisown(now, a, proof, len(came)+len(added)) {
		return nil, nil
	}
	// That of the screen that asked, where no other is meant: a session is often collected
	// by a server.
	is := &SignIn{At: a.ProvedAt, Device: a.Device}
	if a.Link == splitpin.LinkHere {
		is.Device = ""
		if len(came) > 0 {
			is.Device = came[len(came)-1].Device
		}
	}
	return is, nil
}

// cameOf is what goes back to the proof of an attempt, of what its user has: live sessions,
// the oldest last, and credentials. The sessions that those opened are among them.
func (e *Engine) cameOf(now time.Time, a *splitpin.Attempt, r *splitpin.Records) (came []*splitpin.Session, added []*splitpin.Credential) {
	for _, c := range r.Credentials {
		if c.Proof == a.ID.Number {
			added = append(added, c)
		}
	}
	for _, s := range r.Sessions {
		if (s.ProvedBy() == a.ID.Number || byNumber(added, s.Credential) != nil) && e.tokens.Live(s, now) {
			came = append(came, s)
		}
	}
	return came, added
}

// The deciding half.

// decideDisown decides whether a link may end what came of its attempt: so many sessions and
// credentials are there, or somebody may still collect. What a hand-over gave is for signing
// in alone.
func decideDisown(now time.Time, a *splitpin.Attempt, proof bears, came int) bool {
	return a.Purpose == splitpin.SignIn && !a.ProvedAt.IsZero() && a.DeniedAt.IsZero() && proof != bearsHandOver &&
		(came > 0 || a.CollectedAt.IsZero() && now.Before(a.ProvedAt.Add(grantLifetime)))
}
