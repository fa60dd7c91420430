package signin

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/splitpin/splitpin"
)

var (
	// ErrMore says that an answer was right and is not enough: an address must be proved
	// besides, by an attempt whose purpose is Complete. Needs tells which.
	ErrMore = &splitpin.Error{Kind: splitpin.Forbidden, Code: "address_proof_needed",
		Message: "One more step: please confirm your address with a code."}
	// ErrAsk says that an answer was right, and that the person must say yes first: see
	// Agree.
	ErrAsk = &splitpin.Error{Kind: splitpin.Forbidden, Code: "yes_needed",
		Message: "One more step: please look who you are signing in as, and continue."}
	// ErrTaken refuses a credential that another user of the project has.
	ErrTaken = &splitpin.Error{Kind: splitpin.Conflict, Code: "credential_taken",
		Message: "This is connected to another account here already. Please remove it there first, or use another."}
)

// A pending is what waits in an attempt until an address is proved besides, or until
// the person says yes.
type pending struct {
	Credential *splitpin.Credential
	Address    string // that should be proved, as a provider says; empty: any
	Vouched    bool   `json:",omitempty"` // that provider decides over the address
	Asks       bool   `json:",omitempty"` // it waits for the yes
}

func pack(p pending) ([]byte, error) {
	b, err := json.Marshal(p)
	if err != nil {
		return nil, fmt.Errorf("keeping a credential until more is known: %w", err)
	}
	return b, nil
}

func unpack(a *splitpin.Attempt) (pending, error) {
	var p pending
	if err := json.Unmarshal(a.Pending, &p); err != nil || p.Credential == nil {
		return p, fmt.Errorf("reading what attempt %d waits with: %w", a.ID.Number, err)
	}
	return p, nil
}

// Needs tells what an attempt waits for: the credential that will be added once an
// address is proved, and that address, or nothing where any will do. ok is false where
// it waits for nothing.
func Needs(a *splitpin.Attempt) (c *splitpin.Credential, address string, ok bool) {
	if len(a.Pending) == 0 || !a.ProvedAt.IsZero() {
		return nil, "", false
	}
	p, err := unpack(a)
	return p.Credential, p.Address, err == nil && !p.Asks
}

// A Question is what a person must say yes to: see Agree.
type Question struct {
	Attempt    *splitpin.Attempt
	Credential *splitpin.Credential // that was shown; without a Number: it would be added
	User       *splitpin.User       // who has it, or gets it; nil: one that would be made
	Address    string               // of the one who would be made
}

// Asked returns what an attempt asks the one who started it. ok is false where it waits
// for no answer.
func (e *Engine) Asked(ctx context.Context, h Handle) (q Question, ok bool, err error) {
	ctx, done := e.observe(ctx, "asked")
	defer func() { done(err) }()
	a, err := e.held(ctx, h)
	if err != nil || !a.Open(e.moment()) || len(a.Pending) == 0 {
		return q, false, err
	}
	p, err := unpack(a)
	if err != nil || !p.Asks {
		return q, false, err
	}
	q = Question{Attempt: a, Credential: p.Credential, Address: p.Address}
	if whose := cmp.Or(a.For, p.Credential.User); whose != 0 {
		r, err := e.store.Load(ctx, splitpin.Reads{User: whose})
		if err != nil {
			return q, false, fmt.Errorf("loading a user: %w", err)
		}
		q.User = r.User
	}
	return q, true, nil
}

// Agree is the yes of the person to whom an attempt answered ErrAsk. It decides over the
// answer as of now; it may still need an address. What it gives, it gives again while the
// grant lives. Its errors are those of Answer.
//
// Whoever calls it has seen the person press something that said what would happen.
func (e *Engine) Agree(ctx context.Context, h Handle) (_ *Granted, err error) {
	ctx, done := e.observe(ctx, "agree")
	defer func() { done(err) }()
	now := e.moment()
	a, err := e.held(ctx, h)
	if err != nil {
		return nil, err
	}
	if len(a.Pending) == 0 {
		return nil, ErrOver
	}
	p, err := unpack(a)
	if err != nil {
		return nil, err
	}
	step := answerStep{handle: h, paid: true, agreed: true, attempt: a,
		fetched: Fetched{Kind: p.Credential.Kind, Key: p.Credential.Key, Identifier: p.Address, Vouched: p.Vouched}}
	if err := e.decideFetched(ctx, now, &step); err != nil {
		return nil, err
	}
	if step.refused != nil {
		return nil, fmt.Errorf("agreeing to an answer: %w", step.refused)
	}
	if err := e.confirmed(ctx, &step); err != nil {
		return nil, err
	}
	return step.sequel.of(e.answered(now, step.verdict, step.attempt))
}

// agreedTo is the proof that an attempt waits with, as of now: has is the credential with
// that key, if there is one meanwhile.
// It is false where the attempt waits for something else.
func agreedTo(a *splitpin.Attempt, has *splitpin.Credential) (Proof, bool) {
	p, err := unpack(a)
	if err != nil || !p.Asks {
		return Proof{}, false
	}
	c := *p.Credential
	if has == nil {
		c.Number, c.Project, c.User = 0, 0, 0
		return Proof{Credential: &c}, true
	}
	has.Data, has.Sealed, has.KeyGeneration = c.Data, c.Sealed, c.KeyGeneration
	return Proof{Credential: has}, true
}

// asShown is a credential as a method returned it: what account.Decide did with it
// besides is not to last yet.
func asShown(c, has *splitpin.Credential) *splitpin.Credential {
	kept := *c
	if has == nil {
		kept.Number, kept.Project, kept.User = 0, 0, 0
	}
	return &kept
}

// completeParent adds what the parent of a proved attempt waits with to the user who was
// proved, and grants what the parent asked for. It is a commit of its own: where it does
// not happen, the right answer shown again makes it happen, or Join called again.
func (e *Engine) completeParent(ctx context.Context, now time.Time, h Handle, child *splitpin.Attempt) (*Granted, error) {
	numbers, err := e.numbers(ctx, 3)
	if err != nil {
		return nil, err
	}
	var parent *splitpin.Attempt
	reads := splitpin.Reads{Attempt: child.Parent, User: child.User, Credentials: true}
	err = e.store.Change(ctx, reads, func(r *splitpin.Records) (splitpin.Writes, error) {
		parent = r.Attempt
		if parent == nil || parent.Project != child.Project || r.User == nil || child.ProvedAt.Before(r.User.UndoneAt) {
			return splitpin.Writes{}, ErrOver
		}
		again, err := decideCompleteParent(now, parent, r.User)
		if again || err != nil {
			return splitpin.Writes{}, err
		}
		waits, err := unpack(parent)
		if err != nil {
			return splitpin.Writes{}, err
		}
		if waits.Asks {
			return splitpin.Writes{}, ErrOver
		}
		code, err := e.grantCode(parent)
		if err != nil {
			return splitpin.Writes{}, err
		}
		c := waits.Credential
		w := splitpin.Writes{}
		if has := shown(r, Fetched{Kind: c.Kind, Key: c.Key}); has != nil {
			c = has // a second tab was quicker
		} else {
			c.Number, c.Project, c.User = numbers[0], parent.Project, r.User.Number
			c.CreatedAt, c.Device = now, parent.Device
			w.Create = append(w.Create, c)
			w.Create = append(w.Create, announcements(numbers[2], now, parent, r.User, c)...)
		}
		parent.User, parent.Credential = r.User.Number, c.Number
		w.Put = append(w.Put, parent)
		if parent.Purpose == splitpin.SignIn {
			w.Create = append(w.Create, grant(now, parent, code))
		}
		return e.audited(w, numbers[1], now, parent, r.User, h.By, "attempt_completed")
	})
	if splitpin.ErrorOf(err) == splitpin.ErrConflict {
		return nil, ErrTaken.Because(err)
	}
	if err != nil {
		return nil, fmt.Errorf("completing an attempt: %w", err)
	}
	return e.answered(now, answerRepeated, parent)
}

// Join completes an attempt by another that proved its address, for whoever holds both.
// It is for pages of a site, where the secret of the first may be known to others: it
// stood in an address. That of the second never did.
//
// Its errors are ErrUnknown, ErrNotProved, ErrOver, ErrStale and ErrTaken.
func (e *Engine) Join(ctx context.Context, parent, proof Handle) (_ *Granted, err error) {
	ctx, done := e.observe(ctx, "join")
	defer func() { done(err) }()
	now := e.moment()
	if _, err := e.held(ctx, parent); err != nil {
		return nil, err
	}
	a, err := e.held(ctx, proof)
	switch {
	case err != nil:
		return nil, err
	case a.Purpose != splitpin.Vouch || a.Parent != parent.ID.Number:
		return nil, ErrUnknown
	case a.ProvedAt.IsZero():
		return nil, ErrNotProved
	case now.Sub(a.ProvedAt) > recently:
		return nil, ErrStale
	}
	return e.completeParent(ctx, now, parent, a)
}

// confirmed does what a right answer of the purpose Confirm is for.
func (e *Engine) confirmed(ctx context.Context, step *answerStep) error {
	a := step.attempt
	if a == nil || a.Purpose != splitpin.Confirm || step.verdict != answerRight && step.verdict != answerRepeated {
		return nil
	}
	return e.confirm(ctx, a)
}

// confirm tells the session of a confirmed user that the person is there. Where it does
// not happen, the right answer shown again makes it happen.
func (e *Engine) confirm(ctx context.Context, a *splitpin.Attempt) error {
	err := e.store.Change(ctx, splitpin.Reads{Session: a.Session}, func(r *splitpin.Records) (splitpin.Writes, error) {
		s := r.Session
		if s == nil || s.User != a.For || !s.RevokedAt.IsZero() {
			return splitpin.Writes{}, ErrToken
		}
		if !a.ProvedAt.After(s.AuthAt) {
			return splitpin.Writes{}, nil
		}
		s.AuthAt = a.ProvedAt
		return splitpin.Writes{Put: []splitpin.Record{s}}, nil
	})
	if err != nil {
		return fmt.Errorf("confirming a session: %w", err)
	}
	return nil
}

// decideCompleteParent decides whether a user who was just proved completes an attempt. again
// is set where the same user did so before.
func decideCompleteParent(now time.Time, a *splitpin.Attempt, u *splitpin.User) (again bool, err error) {
	switch {
	case !a.ProvedAt.IsZero():
		if a.User != u.Number || !a.CollectedAt.IsZero() || !now.Before(a.ProvedAt.Add(grantLifetime)) {
			return false, ErrOver
		}
		return true, nil
	case !a.Open(now) || len(a.Pending) == 0:
		return false, ErrOver
	}
	a.ProvedAt = now
	return false, nil
}
