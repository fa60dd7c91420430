package signin

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"time"

	"github.com/splitpin/splitpin"
	"github.com/splitpin/splitpin/account"
)

// ErrWrong is a wrong answer that leaves tries; TriesLeft says how many.
var ErrWrong = &splitpin.Error{Kind: splitpin.Unauthenticated, Code: "wrong_code",
	Message: "That code is not right. Please check the newest message and try again."}

// grantLifetime is how long an authorization code may be collected (contract 5.2).
const grantLifetime = 5 * time.Minute

// Granted is a proof that may be collected.
type Granted struct {
	Code        splitpin.Secret // the authorization code
	ChallengeID int32
	Destination string
	ExpiresIn   time.Duration
	Identifier  string
}

// Answer answers an attempt. The try is charged before the answer is looked at,
// in the same commit.
//
// The right answer shown again by the starter, while the grant lives, gives the
// same authorization code again: a lost response costs nobody a sign-in.
func (e *Engine) Answer(ctx context.Context, h Handle, answer json.RawMessage) (_ *Granted, err error) {
	ctx, done := e.observe(ctx, "answer")
	defer func() { done(err) }()
	now := e.moment()
	if e.suspects.lookFirst(now, h.By) {
		if _, err := e.held(ctx, h); err != nil {
			return nil, err
		}
	}
	numbers, err := e.numbers(ctx, 2)
	if err != nil {
		return nil, err
	}
	var id [16]byte
	if err := e.fill(id[:]); err != nil {
		return nil, err
	}
	var (
		verdict answerVerdict
		a       *splitpin.Attempt
	)
	err = e.store.Change(ctx, splitpin.Reads{Attempt: h.ID.Number}, func(r *splitpin.Records) (splitpin.Writes, error) {
		verdict, a = answerUnknown, r.Attempt
		if !h.holds(a) {
			return splitpin.Writes{}, nil
		}
		method := e.methods[a.Method]
		if method == nil {
			return splitpin.Writes{}, ErrMethod
		}
		// Without its key no answer could be right, and nobody pays for that.
		code, err := e.grantCode(a)
		if err != nil {
			return splitpin.Writes{}, err
		}
		check := func() bool {
			return method.Check(Check{Attempt: a, Answer: answer, Derive: e.derive(a)})
		}
		verdict = decideAnswer(now, a, check)
		switch verdict {
		case answerWrong, answerLast:
			g, created := countGuess(now, r.Guesses, splitpin.GuessesKey(a.Project, a.Identifier))
			w := splitpin.Writes{Put: []splitpin.Record{a}}
			if created {
				w.Create = append(w.Create, g)
			} else {
				w.Put = append(w.Put, g)
			}
			return e.audited(w, numbers[1], now, a, h.By, verdict.audit())
		case answerRight:
			u, created, changed := account.Prove(now, r.User, account.Person{
				Number: numbers[0], ID: splitpin.UUIDFrom(id), Project: a.Project,
				Identifier: a.Identifier, Kind: a.Kind, Locale: a.Locale,
			})
			a.User = u.Number
			w := splitpin.Writes{
				Put:    []splitpin.Record{a},
				Create: []splitpin.Record{grant(now, a, code)},
			}
			if created {
				w.Create = append(w.Create, u)
			} else if changed {
				w.Put = append(w.Put, u)
			}
			return e.audited(w, numbers[1], now, a, h.By, verdict.audit())
		}
		if verdict.charged() {
			return splitpin.Writes{Put: []splitpin.Record{a}}, nil
		}
		return splitpin.Writes{}, nil
	})
	if err != nil {
		return nil, fmt.Errorf("answering an attempt: %w", err)
	}
	if verdict == answerUnknown {
		e.suspects.garbage(now, h.By)
	} else {
		e.suspects.genuine(now, h.By) // whoever answers started it
	}
	switch verdict {
	case answerWrong, answerLast:
		e.countWrong(ctx, now, h.By)
	}
	return e.answered(now, verdict, a)
}

// answered turns the verdict into what the starter is told, after the commit.
func (e *Engine) answered(now time.Time, verdict answerVerdict, a *splitpin.Attempt) (*Granted, error) {
	switch verdict {
	case answerUnknown:
		return nil, ErrUnknown
	case answerOver, answerMissed:
		return nil, ErrOver
	case answerTooMany:
		return nil, ErrTries
	case answerWrong, answerLast:
		if verdict == answerLast {
			return nil, ErrTries
		}
		wrong := *ErrWrong
		wrong.TriesLeft = a.MaxTries - a.Tries
		return nil, &wrong
	case answerRight:
		e.balance.Add(-1)
	}
	code, err := e.grantCode(a)
	if err != nil {
		return nil, err
	}
	id, err := e.ChallengeID(a)
	if err != nil {
		return nil, err
	}
	return &Granted{Code: splitpin.Secret(code), ChallengeID: id, Destination: a.Destination,
		ExpiresIn: a.ProvedAt.Add(grantLifetime).Sub(now), Identifier: a.Identifier}, nil
}

// grantCode is the authorization code of a proved attempt: its number and 256
// bits that only the ring can make, from what only the starter could prove.
func (e *Engine) grantCode(a *splitpin.Attempt) (string, error) {
	mac, err := e.derive(a)("authorization code")
	if err != nil {
		return "", err
	}
	var b [8 + 32]byte
	binary.BigEndian.PutUint64(b[:8], uint64(a.ID.Number))
	copy(b[8:], mac[:])
	return base64.RawURLEncoding.EncodeToString(b[:]), nil
}

func (e *Engine) audited(w splitpin.Writes, number int64, now time.Time, a *splitpin.Attempt, by Caller, kind string) (splitpin.Writes, error) {
	event, err := e.audit(number, now, a, kind)
	if err != nil {
		return splitpin.Writes{}, err
	}
	event.Network = by.Network()
	w.Create = append(w.Create, event)
	return w, nil
}

// The deciding half.

type answerVerdict int

const (
	answerUnknown answerVerdict = iota // not the starter's to answer
	answerOver                         // expired, or proved and not repeatable
	answerTooMany                      // no try was left
	answerWrong
	answerLast // wrong, and that was the last try
	answerRight
	answerRepeated // right again, while the grant lives
	answerMissed   // wrong, after the attempt was proved
)

// charged reports whether a try was charged that nothing else saves.
func (v answerVerdict) charged() bool { return v == answerRepeated || v == answerMissed }

func (v answerVerdict) audit() string {
	switch v {
	case answerRight:
		return "attempt_proved"
	case answerLast:
		return "attempt_denied"
	}
	return "answer_wrong"
}

// decideAnswer decides about one answer by the starter. It is pure: it sees what
// was loaded and alters what is to be saved. A wrong answer is saved too: the try
// is charged under the same lock that would have spent the attempt, so parallel
// guesses gain nothing.
func decideAnswer(now time.Time, a *splitpin.Attempt, check func() bool) answerVerdict {
	switch {
	case !a.DeniedAt.IsZero():
		return answerTooMany
	case !a.ProvedAt.IsZero():
		if !a.CollectedAt.IsZero() || !now.Before(a.ProvedAt.Add(grantLifetime)) || a.Tries >= 2*a.MaxTries {
			return answerOver
		}
		a.Tries++ // as many again as before the proof
		if check() {
			return answerRepeated
		}
		return answerMissed
	case !now.Before(a.ExpiresAt):
		return answerOver
	case a.Tries >= a.MaxTries:
		return answerTooMany
	}
	a.Tries++
	if check() {
		a.ProvedAt = now
		return answerRight
	}
	if a.Tries >= a.MaxTries {
		a.DeniedAt = now
		return answerLast
	}
	return answerWrong
}

// grant is the one grant of a proved attempt; it shares the attempt's number.
func grant(now time.Time, a *splitpin.Attempt, code string) *splitpin.Grant {
	return &splitpin.Grant{
		Number: a.ID.Number, Hash: sha256.Sum256([]byte(code)), Attempt: a.ID.Number,
		Project: a.Project, User: a.User,
		Challenge: a.Challenge, Destination: a.Destination, Origin: a.Origin,
		CreatedAt: now, ExpiresAt: now.Add(grantLifetime),
	}
}
