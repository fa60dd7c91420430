package signin

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/splitpin/splitpin"
	"github.com/splitpin/splitpin/account"
)

// ErrWrong is a wrong answer that leaves tries; TriesLeft says how many.
var ErrWrong = &splitpin.Error{Kind: splitpin.Unauthenticated, Code: "wrong_code",
	Message: "That code is not right. Please check the newest message and try again."}

var (
	// ErrFailed is ErrWrong of a method that sends no code.
	ErrFailed = &splitpin.Error{Kind: splitpin.Unauthenticated, Code: "wrong_answer",
		Message: "That did not work. Please try again, or choose another way to sign in."}
	// ErrNobodys says of a credential that was shown that nobody here has it, in any
	// project. Whoever keeps it may forget it.
	ErrNobodys = &splitpin.Error{Kind: splitpin.Unauthenticated, Code: "credential_unknown",
		Message: "What you chose is not known here any more. Please choose another way to sign in."}
)

// grantLifetime is how long an authorization code may be collected (contract 5.2).
const grantLifetime = 5 * time.Minute

// Granted is a proof and, where it opens a session, the right to collect that.
type Granted struct {
	Code        splitpin.Secret // the authorization code; empty: the proof was for something else
	ChallengeID int32
	Destination string
	ExpiresIn   time.Duration
	Attempt     *splitpin.Attempt // that was proved, with User and Credential

	// MakePasskey says that a passkey is required of this person, who has none or cannot use
	// it: the page should ask for one at once.
	MakePasskey bool
	// Recovery is one of this account that somebody else may have begun: whoever came with a
	// passkey should see it. Nil: there is none.
	Recovery *splitpin.Credential
}

// Answer answers an attempt. The try is charged before the answer is looked at: in the
// same commit or, where a [Fetcher] must look at the answer first, in a commit before.
//
// The right answer shown again by the starter, while the grant lives, gives the
// same authorization code again: a lost response costs nobody a sign-in.
//
// Granted holds a code where the purpose is SignIn, or where the attempt completed one
// whose purpose is SignIn: then it is that one's. Besides those of an answer that is not
// right its errors are ErrMore and ErrTaken, and account.ErrRecoveryOffered, after which the
// same answer with "recover": true begins a recovery.
func (e *Engine) Answer(ctx context.Context, h Handle, answer json.RawMessage) (_ *Granted, err error) {
	ctx, done := e.observe(ctx, "answer")
	defer func() { done(err) }()
	now := e.moment()
	if e.suspects.lookFirst(now, h.By) {
		if _, err := e.held(ctx, h); err != nil {
			return nil, err
		}
	}
	step := answerStep{handle: h, answer: answer, recover: recovers(answer), reads: splitpin.Reads{Attempt: h.ID.Number}}
	if err := e.answerOnce(ctx, now, &step); err != nil {
		return nil, err
	}
	if step.verdict == answerFetch {
		if err := e.fetch(ctx, now, &step); err != nil {
			return nil, err
		}
	}
	if step.verdict == answerUnknown {
		e.suspects.garbage(now, h.By)
	} else {
		e.suspects.genuine(now, h.By) // whoever answers started it
	}
	if step.guessed {
		e.countWrong(ctx, now, h.By)
	}
	if step.verdict == answerRight {
		e.entered(ctx, now, h.Project, step.attempt)
	}
	if step.refused != nil {
		return nil, fmt.Errorf("answering an attempt: %w", step.refused)
	}
	if a := step.attempt; a != nil && a.Purpose == splitpin.Complete && (step.verdict == answerRight || step.verdict == answerRepeated) {
		return e.completeParent(ctx, now, h, a)
	}
	if err := e.confirmed(ctx, &step); err != nil {
		return nil, err
	}
	if step.verdict == answerWrong && step.attempt.Purpose != splitpin.Enrol && e.nobodys(ctx, step.fetched) {
		return nil, ErrNobodys
	}
	return step.sequel.of(e.answered(now, step.verdict, step.attempt))
}

// recovers reports whether an answer comes with the wish for a recovery: "recover": true.
// It is for every method that sends a message, so no method reads it.
func recovers(answer json.RawMessage) bool {
	var wish struct {
		Recover bool `json:"recover"`
	}
	return json.Unmarshal(answer, &wish) == nil && wish.Recover
}

// nobodys reports whether a credential that an answer named belongs to nobody. It is
// asked of every project: they may share a site, and who keeps the credential knows the
// site only. Where that would be a lot of asking, nothing is said of the credential.
func (e *Engine) nobodys(ctx context.Context, f Fetched) bool {
	projects := e.projects.Load().byNumber
	if f.Key == ([32]byte{}) || len(projects) > maxAsked {
		return false
	}
	for number := range projects {
		r, err := e.store.Load(ctx, splitpin.Reads{Credential: splitpin.CredentialKey{Project: number, Kind: f.Kind, Key: f.Key}})
		if err != nil || r.Credential != nil {
			return false
		}
	}
	return true
}

// maxAsked bounds what a stranger's made-up credential costs.
const maxAsked = 32

// An answerStep is one answer on its way through one commit or, for a Fetcher, two.
type answerStep struct {
	handle Handle
	answer json.RawMessage
	reads  splitpin.Reads

	recover bool // a recovery is to begin where a passkey is required

	paid    bool // the try was charged in a commit before this one
	waited  bool // until whoever handed the attempt over had time to ask: see handover.go
	fetched Fetched
	wrong   bool // as Fetch found
	agreed  bool // the person said yes to what was right before: see Agree

	verdict answerVerdict
	attempt *splitpin.Attempt
	guessed bool  // wrong, and it was a guess at something short
	refused error // why a right answer is not taken
	sequel  sequel
	notice  notice
}

// fetches reports whether an answer to an attempt must be looked at elsewhere.
func fetches(m Method, a *splitpin.Attempt) bool {
	if part, ok := m.(PartFetcher); ok {
		return part.Fetches(a)
	}
	_, ok := m.(Fetcher)
	return ok
}

// fetch has the method look at an answer whose try was charged, and decides over it.
func (e *Engine) fetch(ctx context.Context, now time.Time, step *answerStep) error {
	a := step.attempt
	method, _ := e.methods[a.Method].(Fetcher)
	var err error
	step.paid = true
	step.fetched, step.wrong, err = method.Fetch(ctx, FetchRequest{Project: step.handle.Project, Attempt: a, Answer: step.answer, Derive: e.derive(a)})
	if err != nil {
		return fmt.Errorf("looking at an answer: %w", err)
	}
	return e.decideFetched(ctx, now, step)
}

// decideFetched decides over an answer that was looked at.
func (e *Engine) decideFetched(ctx context.Context, now time.Time, step *answerStep) error {
	// Between looking for the way and taking it, somebody may sign in by the same new
	// credential: its creation is then refused, and the way leads elsewhere.
	for again := 0; ; again++ {
		if err := e.way(ctx, step); err != nil {
			return err
		}
		err := e.answerOnce(ctx, now, step)
		if err == nil && step.verdict == answerEarly {
			if now, err = e.letAsk(ctx, now, step); err == nil {
				err = e.answerOnce(ctx, now, step)
			}
		}
		if !errors.Is(err, splitpin.ErrConflict) || again == 2 {
			return err
		}
	}
}

// way finds out by which way the step that decides over a fetched answer loads the user.
func (e *Engine) way(ctx context.Context, step *answerStep) error {
	a, f := step.attempt, step.fetched
	step.reads = splitpin.Reads{Attempt: a.ID.Number}
	key := splitpin.CredentialKey{Project: a.Project, Kind: f.Kind, Key: f.Key}
	var has *splitpin.Credential
	if f.Key != ([32]byte{}) {
		r, err := e.store.Load(ctx, splitpin.Reads{Credential: key})
		if err != nil {
			return fmt.Errorf("loading a credential: %w", err)
		}
		has = r.Credential
	}
	switch {
	case a.For != 0:
		if has != nil && has.User != a.For {
			return ErrTaken
		}
		step.reads.User, step.reads.Credentials, step.reads.Sessions = a.For, true, a.Session != 0
	case has != nil:
		step.reads.Credential = key
		if has.Session != 0 { // with which it ends
			step.reads.Sessions, step.reads.Credentials = true, true
		}
	case f.Identifier != "" && a.Identifier == "":
		step.reads.Name = splitpin.Name{Project: a.Project, Identifier: f.Identifier}
	}
	return nil
}

// answerOnce runs the commit that decides over an answer. It runs again with more
// loaded where the person who is proved has more than this to look at.
func (e *Engine) answerOnce(ctx context.Context, now time.Time, step *answerStep) error {
	numbers, err := e.numbers(ctx, 4)
	if err != nil {
		return err
	}
	var id [16]byte
	if err := e.fill(id[:]); err != nil {
		return err
	}
	fresh := fresh{user: numbers[0], event: numbers[1], credential: numbers[2], message: numbers[3], id: splitpin.UUIDFrom(id)}
	for {
		whole := false
		err = e.store.Change(ctx, step.reads, func(r *splitpin.Records) (splitpin.Writes, error) {
			step.guessed, step.notice.wanted, step.refused, whole = false, false, nil, false
			step.verdict, step.attempt = answerUnknown, r.Attempt
			a := r.Attempt
			if !step.handle.holds(a) {
				return splitpin.Writes{}, nil
			}
			if account.LooksAtAll(now, step.handle.Project, r.User) && !step.reads.Sessions {
				whole = true // everything the user has; nothing was decided yet
				return splitpin.Writes{}, nil
			}
			return e.decide(now, step, r, fresh)
		})
		if err != nil {
			return fmt.Errorf("answering an attempt: %w", err)
		}
		if step.notice.wanted {
			if err := e.pay(ctx, now, &step.notice, step.handle.Project, step.attempt, step.handle.By); err != nil {
				return err
			}
			continue
		}
		if !whole {
			return nil
		}
		step.reads.Sessions, step.reads.Credentials = true, true
	}
}

// fresh is what a step may use up: drawn before it, as it may run again.
type fresh struct {
	user, event, credential, message int64
	id                               splitpin.UUID
}

// decide decides over one answer by the starter.
func (e *Engine) decide(now time.Time, step *answerStep, r *splitpin.Records, fresh fresh) (splitpin.Writes, error) {
	a := r.Attempt
	method := e.methods[a.Method]
	if method == nil {
		return splitpin.Writes{}, ErrMethod
	}
	// Without its key no answer could be right, and nobody pays for that.
	code, err := e.grantCode(a)
	if err != nil {
		return splitpin.Writes{}, err
	}
	fetches := fetches(method, a)
	var proof Proof
	var proved account.Proved
	var refused error
	tooEarly := false
	step.verdict = decideAnswer(now, a, step.paid, step.agreed, func() checked {
		if fetches && !step.paid {
			return checkedFetch
		}
		right := false
		switch {
		case step.agreed && !a.ProvedAt.IsZero():
			return checkedRight
		case step.agreed:
			if proof, right = agreedTo(a, shown(r, step.fetched)); !right {
				return checkedMore
			}
		case !step.wrong || !fetches: // nobody is asked about it any more
			has := shown(r, step.fetched)
			if has != nil && a.Purpose != splitpin.Enrol && !e.lives(now, has, r.Sessions) {
				has = nil
			}
			proof, right = method.Check(Check{Attempt: a, Answer: step.answer, Derive: e.derive(a), Now: now,
				Fetched: step.fetched, Credential: has, Credentials: r.Credentials})
		}
		if !right {
			return checkedWrong
		}
		if step.paid && !step.waited && early(now, a, r.Credentials) > 0 {
			tooEarly = true
			return checkedMore
		}
		if !a.ProvedAt.IsZero() {
			return checkedRight // nothing is to be changed any more
		}
		if proof.Refused != nil {
			refused = proof.Refused
			return checkedRefused
		}
		if !e.stillIn(now, a, r) {
			refused = ErrToken
			return checkedRefused
		}
		_, sends := method.(Messenger)
		proved, refused = account.Decide(now, account.Claim{Project: step.handle.Project, Attempt: a, Records: r, Shown: proof.Credential, ByMessage: sends, Recover: step.recover,
			Address: step.fetched.Identifier, Vouched: step.fetched.Vouched,
			Person: account.Person{Number: fresh.user, ID: fresh.id, Project: a.Project,
				Identifier: a.Identifier, Kind: a.Kind, Locale: a.Locale}, Credential: fresh.credential})
		switch {
		case refused != nil:
			return checkedRefused
		case proved.User == nil:
			return checkedMore
		case proved.Begun != nil:
			return checkedHeld
		case proof.Ask:
			return checkedAsk
		}
		return checkedRight
	})
	if refused != nil && !isVerdict(refused) {
		return splitpin.Writes{}, refused
	}
	if refused != nil {
		step.verdict, step.refused = answerRefused, refused
		if refused == account.ErrRecoveryOffered {
			if proof.Data != nil {
				a.Data = proof.Data // the choice comes with the same answer
			}
			again := a.User != 0
			a.User = r.User.Number
			if a.Tries >= a.MaxTries {
				a.Tries-- // one is left for the choice
				if again {
					return splitpin.Writes{}, nil // as it was, and it was said before
				}
			}
		}
		w := splitpin.Writes{Put: []splitpin.Record{a}}
		if w, err = e.audited(w, fresh.event, now, a, r.User, step.handle.By, "answer_refused"); err == nil {
			event(w).Detail = splitpin.ErrorOf(refused).Code
		}
		return w, err
	}
	if tooEarly {
		step.verdict = answerEarly
		return splitpin.Writes{}, nil // what was decided is decided again
	}
	if u := cmp.Or(proved.User, r.User); u != nil && (step.verdict == answerRight || step.verdict == answerRepeated) {
		step.sequel = sequelOf(now, step.handle.Project, u, r.Credentials, cmp.Or(proved.Credential, byNumber(r.Credentials, a.Credential)))
	}
	switch step.verdict {
	case answerHeld:
		return e.begin(now, &step.notice, a, proved, fresh.message, fresh.event, step.handle.By)
	case answerWrong, answerLast:
		w := splitpin.Writes{Put: []splitpin.Record{a}}
		if _, short := method.(Messenger); short && a.Identifier != "" {
			step.guessed = true
			g, created := countGuess(now, r.Guesses, splitpin.GuessesKey(a.Project, a.Identifier))
			if created {
				w.Create = append(w.Create, g)
			} else {
				w.Put = append(w.Put, g)
			}
		}
		return e.audited(w, fresh.event, now, a, r.User, step.handle.By, step.verdict.audit())
	case answerMore, answerAsk:
		if proof.Credential == nil {
			return splitpin.Writes{}, nil // it waited before
		}
		asks := step.verdict == answerAsk
		c := proof.Credential
		if asks {
			c = asShown(c, shown(r, step.fetched))
		}
		if a.Pending, err = pack(pending{c, step.fetched.Identifier, step.fetched.Vouched, asks}); err != nil {
			return splitpin.Writes{}, err
		}
		return e.audited(splitpin.Writes{Put: []splitpin.Record{a}}, fresh.event, now, a, nil, step.handle.By, step.verdict.audit())
	case answerRight:
		w := proved.Writes
		if proof.Data != nil {
			a.Data = proof.Data
		}
		a.User = proved.User.Number
		if proved.Credential != nil {
			a.Credential = proved.Credential.Number
		}
		w.Put = append(w.Put, a)
		if a.Purpose == splitpin.SignIn || a.Purpose == splitpin.Enrol {
			w.Create = append(w.Create, grant(now, a, code)) // that of Enrol is collected by Finish, or by nobody
		}
		if proved.Added && a.Purpose == splitpin.Enrol {
			proved.Credential.Proof = a.Parent
		}
		if proved.Added && !proof.Quiet {
			w.Create = append(w.Create, announcements(fresh.message, now, a, proved.User, proved.Credential)...)
		}
		w, err := e.audited(w, fresh.event, now, a, proved.User, step.handle.By, step.verdict.audit())
		if err == nil {
			event(w).Detail = proof.Warning
		}
		return w, err
	case answerFetch, answerRepeated, answerMissed:
		if step.paid && step.verdict != answerFetch {
			return splitpin.Writes{}, nil // the try was charged before
		}
		return splitpin.Writes{Put: []splitpin.Record{a}}, nil
	}
	return splitpin.Writes{}, nil
}

// isVerdict reports whether an error is a decision about the answer, which is remembered,
// and no fault that may pass.
func isVerdict(err error) bool {
	known := splitpin.ErrorOf(err)
	return known != nil && known.Kind != splitpin.Unavailable && !errors.Is(err, splitpin.ErrConflict)
}

// stillIn reports whether the session lives in which somebody began to add a credential,
// or the one that came of the proof by which it was begun: who was logged out meanwhile, or
// began before the user took something back, adds nothing any more.
func (e *Engine) stillIn(now time.Time, a *splitpin.Attempt, r *splitpin.Records) bool {
	if a.Purpose != splitpin.Enrol {
		return true
	}
	return r.User != nil && !a.CreatedAt.Before(r.User.UndoneAt) && (a.Session == 0 || e.liveSession(now, a.Session, r.Sessions) != nil)
}

// shown is the credential that an answer named, among what was loaded.
func shown(r *splitpin.Records, f Fetched) *splitpin.Credential {
	if r.Credential != nil {
		return r.Credential
	}
	for _, c := range r.Credentials {
		if c.Kind == f.Kind && c.Key == f.Key {
			return c
		}
	}
	return nil
}

// answered turns the verdict into what the starter is told, after the commit.
func (e *Engine) answered(now time.Time, verdict answerVerdict, a *splitpin.Attempt) (*Granted, error) {
	switch verdict {
	case answerUnknown:
		return nil, ErrUnknown
	case answerOver, answerMissed:
		return nil, ErrOver
	case answerElsewhere:
		return nil, ErrElsewhere
	case answerHeld:
		p, err := e.ProjectByNumber(a.Project)
		if err != nil {
			return nil, err
		}
		return nil, waits(p)
	case answerMore, answerAsk:
		if p, err := unpack(a); err == nil && p.Asks {
			return nil, ErrAsk
		}
		return nil, ErrMore
	case answerTooMany:
		return nil, ErrTries
	case answerWrong, answerLast:
		if verdict == answerLast {
			return nil, ErrTries
		}
		wrong := *ErrWrong
		if _, sends := e.methods[a.Method].(Messenger); !sends {
			wrong = *ErrFailed
		}
		wrong.TriesLeft = a.MaxTries - a.Tries
		return nil, &wrong
	case answerRight:
		if _, short := e.methods[a.Method].(Messenger); short && a.Identifier != "" {
			e.balance.Add(-1) // of what can be guessed at, as countWrong
		}
	}
	if a.Purpose != splitpin.SignIn {
		return &Granted{Attempt: a}, nil
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
		ExpiresIn: a.ProvedAt.Add(grantLifetime).Sub(now), Attempt: a}, nil
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

// audited adds a line about an attempt to what is saved. u is whom it is about, where
// that is known.
func (e *Engine) audited(w splitpin.Writes, number int64, now time.Time, a *splitpin.Attempt, u *splitpin.User, by Caller, kind string) (splitpin.Writes, error) {
	event, err := e.audit(number, now, a, u, kind)
	if err != nil {
		return splitpin.Writes{}, err
	}
	event.Network = by.Network()
	w.Create = append(w.Create, event)
	return w, nil
}

// event is the line that audited added.
func event(w splitpin.Writes) *splitpin.AuditEvent {
	return w.Create[len(w.Create)-1].(*splitpin.AuditEvent)
}

// The deciding half.

type answerVerdict int

const (
	answerUnknown answerVerdict = iota // not the starter's to answer
	answerOver                         // expired, or proved and not repeatable
	answerTooMany                      // no try was left
	answerWrong
	answerLast  // wrong, and that was the last try
	answerFetch // charged, and to be looked at before it is decided
	answerMore  // right, and it waits: an address must be proved besides, or the person asked
	answerAsk   // right, and the person must say yes first
	answerRight
	answerRepeated  // right again, while the grant lives
	answerMissed    // wrong, after the attempt was proved
	answerElsewhere // proved where its link was opened, for a challenge that is not the starter's
	answerHeld      // right, and it opens nothing but began a recovery
	answerRefused   // right, and not taken: the try is spent
	answerEarly     // right, and handed over a moment ago: to be decided when the other page had time to ask
)

func (v answerVerdict) audit() string {
	switch v {
	case answerRight:
		return "attempt_proved"
	case answerMore:
		return "attempt_needs_address"
	case answerAsk:
		return "attempt_needs_yes"
	case answerLast:
		return "attempt_denied"
	}
	return "answer_wrong"
}

// checked is what looking at an answer gave.
type checked int

const (
	checkedWrong checked = iota
	checkedRight
	checkedMore    // right, and not enough
	checkedAsk     // right, if the person says yes
	checkedHeld    // right, and a passkey is required
	checkedRefused // right, and not taken
	checkedFetch   // it must be looked at elsewhere
)

// decideAnswer decides about one answer by the starter. It is pure: it sees what
// was loaded and alters what is to be saved. A wrong answer is saved too: the try
// is charged under the same lock that would have spent the attempt, so parallel
// guesses gain nothing. One that was charged before is paid; what is agreed to was right
// before.
func decideAnswer(now time.Time, a *splitpin.Attempt, paid, agreed bool, check func() checked) answerVerdict {
	switch {
	case !a.DeniedAt.IsZero() && !a.ProvedAt.IsZero():
		return answerOver // taken back
	case !a.DeniedAt.IsZero():
		return answerTooMany
	case a.Link == splitpin.LinkHere:
		return answerElsewhere // as Look tells the starter anyway
	case !a.ProvedAt.IsZero():
		if !a.CollectedAt.IsZero() || !now.Before(a.ProvedAt.Add(grantLifetime)) || !paid && a.Tries >= 2*a.MaxTries {
			return answerOver
		}
		if !paid {
			a.Tries++ // as many again as before the proof
		}
		switch check() {
		case checkedRight:
			return answerRepeated
		case checkedFetch:
			return answerFetch
		}
		return answerMissed
	case !now.Before(a.ExpiresAt):
		return answerOver
	case len(a.Pending) > 0 && !agreed:
		return answerMore
	case !paid && a.Tries >= a.MaxTries:
		return answerTooMany
	}
	if !paid {
		a.Tries++
	}
	switch check() {
	case checkedRight:
		a.ProvedAt = now
		return answerRight
	case checkedMore:
		return answerMore
	case checkedAsk:
		return answerAsk
	case checkedRefused:
		return answerRefused
	case checkedHeld:
		return answerHeld
	case checkedFetch:
		return answerFetch
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
