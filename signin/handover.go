package signin

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/splitpin/splitpin"
	"github.com/splitpin/splitpin/account"
)

// An old client asks for a new credential in the page of its site, which holds nothing of
// ours: it names the person and no more. So a frame of ours, which holds a fresh proof,
// starts the attempt first and hands it over: it is armed. For half a minute, the first who
// asks for that person from the same network and page gets it.
//
// Somebody else on that network may be the first. Then the real page asks second, and that
// ends everything: the arm, the attempt and whatever came of it. An answer to the attempt
// that is right is therefore decided over only when the real page had time to ask
// (HandOverPause). Its try was charged before, so nobody can have many of them wait.

const (
	armFor = 30 * time.Second

	// HandOverPause is how long after its start an attempt that was handed over is
	// answered. An earlier answer waits.
	HandOverPause = 3 * time.Second
)

var (
	// ErrUnarmed refuses to hand over what was not armed here a moment ago.
	ErrUnarmed = &splitpin.Error{Kind: splitpin.Forbidden, Code: "not_armed",
		Message: "Please press the button again: setting this up has to begin in our own window."}
	// ErrVoided says that two asked for the same attempt.
	ErrVoided = &splitpin.Error{Kind: splitpin.Forbidden, Code: "asked_twice",
		Message: "Somebody asked for this a second time, so nothing was set up. Please try again."}
)

// A TakeOverRequest asks to go on with an attempt that a frame of ours armed.
type TakeOverRequest struct {
	Project    *splitpin.Project
	Method     string
	Identifier string
	Origin     string // of the page that asks
	By         Caller
}

// armed is what an arm keeps.
type armed struct {
	Attempt int64  `json:"attempt"`
	Network string `json:"network"`
	Taken   bool   `json:"taken,omitempty"`
}

func armKey(project int64, identifier string) splitpin.CredentialKey {
	return splitpin.CredentialKey{Project: project, Kind: splitpin.ArmCredential, Key: sha256.Sum256([]byte(identifier))}
}

// provedBy is the user of a fresh proof that stands in the place of a session. Its error
// is ErrStale where the proof is too old, was for another page, is not enough, or is not that of whoever
// started: a link that signed in where it was opened proved somebody else, and the secret
// of a way to a provider stood in an address (contract 10.2). A proof ends with the session
// that came of it. was is that session; where none was collected yet, what it would be.
func (e *Engine) provedBy(ctx context.Context, now time.Time, req StartRequest) (a *splitpin.Attempt, was *splitpin.Session, u *splitpin.User, err error) {
	if a, err = e.held(ctx, *req.Proof); err != nil {
		return nil, nil, nil, err
	}
	if a.Purpose != splitpin.SignIn || a.ProvedAt.IsZero() || !a.DeniedAt.IsZero() || now.Sub(a.ProvedAt) > recently || a.Origin != req.Origin || a.Link == splitpin.LinkHere {
		return nil, nil, nil, ErrStale
	}
	if _, connects := e.methods[a.Method].(Connector); connects {
		return nil, nil, nil, ErrStale
	}
	// That a browser was recognised lets an old client's page make a passkey
	// (security 26) and adds nothing else. Above all it does not prolong itself.
	if recognises(e.methods[a.Method]) && (!req.HandOver || recognises(e.methods[req.Method])) {
		return nil, nil, nil, ErrStale
	}
	r, err := e.store.Load(ctx, splitpin.Reads{User: a.User, Sessions: true, Credentials: true})
	if err != nil {
		return nil, nil, nil, fmt.Errorf("loading a user: %w", err)
	}
	if r.User == nil || a.ProvedAt.Before(r.User.UndoneAt) {
		return nil, nil, nil, ErrStale
	}
	switch {
	case recognises(e.methods[a.Method]):
		_, was = e.remembered(now, r, a.Credential)
	case a.CollectedAt.IsZero():
		was = &splitpin.Session{Proof: a.ID.Number}
	default:
		was = e.liveSession(now, a.ID.Number, r.Sessions)
	}
	if was == nil {
		return nil, nil, nil, ErrStale
	}
	return a, was, r.User, nil
}

// arm lets the attempt a be taken over. An attempt that was armed for the same person
// before, and taken by whoever, can be finished no more.
func (e *Engine) arm(ctx context.Context, now time.Time, a *splitpin.Attempt, u *splitpin.User) error {
	key := armKey(u.Project, u.Identifier)
	number, err := e.store.NextNumber(ctx)
	if err != nil {
		return fmt.Errorf("asking for a number: %w", err)
	}
	data, err := json.Marshal(armed{Attempt: a.ID.Number, Network: a.Network})
	if err != nil {
		return err
	}
	before, err := e.armOf(ctx, key)
	if err != nil {
		return err
	}
	reads := splitpin.Reads{Attempt: before.Attempt, User: u.Number, Credentials: true}
	return e.store.Change(ctx, reads, func(r *splitpin.Records) (splitpin.Writes, error) {
		if r.User == nil {
			return splitpin.Writes{}, splitpin.ErrNotFound
		}
		w := splitpin.Writes{}
		c := &splitpin.Credential{Number: number, Project: key.Project, User: u.Number, Kind: key.Kind, Key: key.Key, CreatedAt: now}
		for _, other := range r.Credentials {
			if other.Kind == key.Kind && other.Key == key.Key {
				c = other
			}
		}
		if c.Number == number {
			w.Create = append(w.Create, c)
		} else {
			var was armed
			if json.Unmarshal(c.Data, &was) != nil || was.Attempt != before.Attempt {
				return splitpin.Writes{}, splitpin.ErrConflict // two windows at once
			}
			if old := r.Attempt; was.Taken && old != nil && old.Open(now) {
				old.DeniedAt = now
				w.Put = append(w.Put, old)
			}
			w.Put = append(w.Put, c)
		}
		c.Data, c.ExpiresAt = data, now.Add(armFor)
		return w, nil
	})
}

func (e *Engine) armOf(ctx context.Context, key splitpin.CredentialKey) (armed, error) {
	var is armed
	r, err := e.store.Load(ctx, splitpin.Reads{Credential: key})
	if err != nil {
		return is, fmt.Errorf("loading an arm: %w", err)
	}
	if r.Credential != nil {
		err = json.Unmarshal(r.Credential.Data, &is)
	}
	return is, err
}

// early is for how long an answer to an attempt must still wait because it was handed
// over: credentials are those of its user.
func early(now time.Time, a *splitpin.Attempt, credentials []*splitpin.Credential) time.Duration {
	for _, c := range credentials {
		var is armed
		if c.Kind == splitpin.ArmCredential && json.Unmarshal(c.Data, &is) == nil && is.Attempt == a.ID.Number {
			return a.CreatedAt.Add(HandOverPause).Sub(now)
		}
	}
	return 0
}

// letAsk waits until the other page had time to ask, and returns the moment that it is
// then. A clock that jumped holds nobody for longer than the pause.
func (e *Engine) letAsk(ctx context.Context, now time.Time, step *answerStep) (time.Time, error) {
	until := step.attempt.CreatedAt.Add(HandOverPause)
	err := Outside(ctx, func(ctx context.Context) error { return e.wait(ctx, min(until.Sub(now), HandOverPause)) })
	if err != nil {
		return now, splitpin.ErrUnavailable.Because(err)
	}
	step.waited = true
	return e.moment(), nil
}

// wait is Options.Wait where there is none.
func wait(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// TakeOver goes on with an attempt that a frame of ours armed for the person. Its errors
// are ErrUnarmed and ErrVoided.
func (e *Engine) TakeOver(ctx context.Context, req TakeOverRequest) (_ *Started, err error) {
	ctx, done := e.observe(ctx, "take_over")
	defer func() { done(err) }()
	now := e.moment()
	method := e.methods[req.Method]
	if method == nil {
		return nil, ErrMethod
	}
	identifier, _, err := account.ParseIdentifier(req.Identifier)
	if err != nil {
		return nil, err
	}
	if err := e.chargeStart(ctx, now, req.Project, toll{}, "", seen{}, req.By); err != nil {
		return nil, err
	}
	key := armKey(req.Project.Number, identifier)
	is, err := e.armOf(ctx, key)
	if err != nil {
		return nil, err
	}
	if is.Attempt == 0 {
		return nil, ErrUnarmed
	}
	event, err := e.store.NextNumber(ctx)
	if err != nil {
		return nil, fmt.Errorf("asking for a number: %w", err)
	}
	var random [16]byte
	if err := e.fill(random[:]); err != nil {
		return nil, err
	}
	secret := base64.RawURLEncoding.EncodeToString(random[:])
	var verdict error
	var a *splitpin.Attempt
	reads := splitpin.Reads{Attempt: is.Attempt, Credential: key, Credentials: true, Sessions: true}
	err = e.store.Change(ctx, reads, func(r *splitpin.Records) (splitpin.Writes, error) {
		a = r.Attempt
		verdict = decideTakeOver(now, req, is.Attempt, r)
		switch {
		case errors.Is(verdict, ErrVoided):
			return e.void(event, now, r, req.By)
		case verdict != nil:
			return splitpin.Writes{}, nil
		}
		a.Starter = starterHash(secret)
		return e.audited(splitpin.Writes{Put: []splitpin.Record{a, r.Credential}}, event, now, a, r.User, req.By, "attempt_taken_over")
	})
	if err != nil {
		return nil, fmt.Errorf("taking over an attempt: %w", err)
	}
	if verdict != nil {
		return nil, verdict
	}
	return &Started{Attempt: a, Secret: splitpin.Secret(secret), Form: method.Describe(a)}, nil
}

// void ends an attempt that two asked for, with the credential that came of it and what
// that opened.
func (e *Engine) void(event int64, now time.Time, r *splitpin.Records, by Caller) (splitpin.Writes, error) {
	a := r.Attempt
	w := splitpin.Writes{}
	if c := byNumber(r.Credentials, a.Credential); c != nil {
		w = ended(now, r, c, 0)
	}
	w.Delete = append(w.Delete, r.Credential, &splitpin.Grant{Number: a.ID.Number})
	a.DeniedAt = now
	w.Put = append(w.Put, a)
	return e.audited(w, event, now, a, r.User, by, "attempt_asked_twice")
}

// decideTakeOver decides who gets an armed attempt. It marks the arm as taken.
func decideTakeOver(now time.Time, req TakeOverRequest, attempt int64, r *splitpin.Records) error {
	var is armed
	c, a := r.Credential, r.Attempt
	if c == nil || a == nil || !c.Live(now) || json.Unmarshal(c.Data, &is) != nil {
		return ErrUnarmed
	}
	if is.Attempt != attempt || is.Network != req.By.Network() || a.Origin != req.Origin || a.Method != req.Method {
		return ErrUnarmed
	}
	if is.Taken {
		return ErrVoided
	}
	if !a.Open(now) {
		return ErrUnarmed
	}
	is.Taken = true
	data, err := json.Marshal(is)
	if err != nil {
		return err
	}
	c.Data = data
	return nil
}
