package signin

import (
	"cmp"
	"context"
	"crypto/subtle"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/splitpin/splitpin"
	"github.com/splitpin/splitpin/account"
	"github.com/splitpin/splitpin/keyring"
)

var (
	// ErrLink answers whoever holds no link of this project.
	ErrLink = &splitpin.Error{Kind: splitpin.NotFound, Code: "link_unknown",
		Message: "This link is not valid any more. Please start again where you wanted to sign in."}
	// ErrLinkOver says that a link did its work, or that its time is over.
	ErrLinkOver = &splitpin.Error{Kind: splitpin.Unauthenticated, Code: "link_over",
		Message: "This link was used already, or its time is over. Please start again where you wanted to sign in."}
	// ErrLinkRefused says that somebody who opened the link said "this was not me".
	ErrLinkRefused = &splitpin.Error{Kind: splitpin.Unauthenticated, Code: "link_refused",
		Message: "Somebody who opened this link said that they did not ask for it, so it is switched off. If you did: the code in the same message still works where you asked."}
	// ErrDigits asks for the two digits of the screen that asked. It costs no try.
	ErrDigits = &splitpin.Error{Kind: splitpin.Invalid, Code: "digits_needed", Field: "digits",
		Message: "Please enter the two digits that the screen shows on which you asked to sign in."}
	// ErrWrongDigits is a wrong pair that leaves tries; TriesLeft says how many.
	ErrWrongDigits = &splitpin.Error{Kind: splitpin.Unauthenticated, Code: "wrong_digits", Field: "digits",
		Message: "These are not the digits of the screen on which you asked to sign in."}
	// ErrLinkTries says that there were too many wrong pairs.
	ErrLinkTries = &splitpin.Error{Kind: splitpin.Unauthenticated, Code: "link_tries",
		Message: "These digits were wrong too often, so this link is switched off. The code in the same message still works on the screen on which you asked."}
	// ErrLetIn refuses to let the asking screen in.
	ErrLetIn = &splitpin.Error{Kind: splitpin.Forbidden, Code: "link_not_here",
		Message: "This link cannot sign you in here. Please enter the code of the same message on the screen on which you asked, or open the link in the browser that shows that screen."}
	// ErrElsewhere tells the one who started that the link signed in where it was opened.
	ErrElsewhere = &splitpin.Error{Kind: splitpin.Unauthenticated, Code: "attempt_elsewhere",
		Message: "You signed in where you opened the link. You can close this screen."}
	// ErrNotProved tells the one who started that nothing is to be had yet.
	ErrNotProved = &splitpin.Error{Kind: splitpin.Conflict, Code: "attempt_open",
		Message: "This sign-in was not confirmed yet."}
	ErrWay = &splitpin.Error{Kind: splitpin.Invalid, Code: "invalid_request", Field: "way",
		Message: "way must be here, let_in or hand_over."}
)

const (
	// LinkPath is where the links of messages lead on this server: LinkPath + token.
	LinkPath = "/link/"

	// MaxLinkTries is how many wrong pairs of digits switch a link off. Each of a
	// hundred pairs is as likely.
	MaxLinkTries = 3

	// handOverFor is how long what a hand-over gave is good for.
	handOverFor = 2 * time.Minute
)

// A Bearer is what somebody shows who opened the link of a message. It is not the
// starter's secret: who holds a link may be anybody who reads or scans the mail, so a
// link alone proves nothing (security 28).
type Bearer struct {
	Project *splitpin.Project
	Link    splitpin.Secret // the token of the link
	Browser splitpin.Secret // what BrowserProof gave the browser that asked; empty: nothing
	By      Caller
}

// A Way is what a bearer wants.
type Way string

const (
	Here     Way = "here"      // the authorization code, for a challenge of the bearer's own
	LetIn    Way = "let_in"    // that the screen that asked gets it
	HandOver Way = "hand_over" // to go on at the site's own page
)

// An Admission is what a bearer asks for. Besides the link it takes a proof that the
// asking screen is at hand: that of its browser, its two digits, or what a hand-over
// gave, which only whoever had one of these can have.
type Admission struct {
	Way    Way
	Digits string // of the asking screen; empty: none are known

	Recover bool // begin a recovery where a passkey is required: see account.ErrRecoveryOffered

	// For Here: what the one who starts an attempt brings.
	Challenge   string
	Destination string
	Origin      string
	State       string
}

// Admitted is what a bearer got.
type Admitted struct {
	// Granted holds the code for Here, and for LetIn where it is the asking browser
	// itself: its first page may be gone. Without: the code is empty.
	Granted
	// Location is where to go on, for HandOver.
	Location splitpin.Secret
}

// An Opened link is what a bearer may know before anything is decided.
type Opened struct {
	Attempt     *splitpin.Attempt
	Account     string // the identifier, masked
	SameBrowser bool   // this browser asked
	HandedOver  bool   // the digits were shown a moment ago, on our own page
	MayLetIn    bool   // LetIn is possible here
	MayHandOver bool   // HandOver is

	// SignedIn is what can be disowned: see Disown. The link does nothing else any more.
	// Nil: the link is open.
	SignedIn *SignIn
}

// Knock records that a link was asked for over HTTP, which changes nothing else, and
// returns its project. Its error is ErrLink.
func (e *Engine) Knock(ctx context.Context, link splitpin.Secret, opening splitpin.Opening, by Caller) (_ *splitpin.Project, err error) {
	ctx, done := e.observe(ctx, "knock")
	defer func() { done(err) }()
	a, _, err := e.borne(ctx, Bearer{Link: link, By: by})
	if err != nil {
		return nil, err
	}
	p, err := e.ProjectByNumber(a.Project)
	if err != nil {
		return nil, ErrLink
	}
	return p, e.opened(ctx, a, opening, by)
}

// Open tells a bearer what a link is for. It decides nothing; that it was asked is
// recorded. Of an attempt that signed somebody in, it tells as long as that can be
// disowned. Its errors are ErrLink, and ErrLinkOver, ErrLinkRefused and ErrLinkTries
// where the link does nothing any more. In the browser that asked, and let itself in, it
// tells of the attempt as before until that is collected: its first page may be gone.
func (e *Engine) Open(ctx context.Context, b Bearer) (_ *Opened, err error) {
	ctx, done := e.observe(ctx, "open_link")
	defer func() { done(err) }()
	a, proof, err := e.borne(ctx, b)
	if err != nil {
		return nil, err
	}
	if err := e.opened(ctx, a, splitpin.OpenedByScript, b.By); err != nil {
		return nil, err
	}
	now := e.moment()
	o := &Opened{Attempt: a, Account: account.Mask(a.Identifier), SameBrowser: proof == bearsBrowser}
	letIn := o.SameBrowser && a.Link == splitpin.LinkLetIn && a.State(now) == splitpin.Proved
	if v := decideOpen(now, a, proof); v != admitRight && !letIn {
		if o.SignedIn, err = e.signedIn(ctx, now, a, proof); err != nil {
			return nil, err
		}
		if o.SignedIn == nil {
			return nil, linkError(v, a)
		}
		return o, nil
	}
	_, o.MayHandOver = e.returnsTo(b.Project, a)
	o.HandedOver = proof == bearsHandOver
	o.MayLetIn = o.SameBrowser || proof == bearsLink && b.Project.Settings.LinkApproval
	return o, nil
}

// Admit decides over what a bearer asks for, in one commit: a pair of digits is
// charged before it is looked at, and none of it costs the starter a try. The first who
// is admitted spends the attempt; the same bearer who asks again, while the code lives,
// gets the same again.
//
// Its errors are ErrLink, ErrLinkOver, ErrLinkRefused, ErrLinkTries, ErrDigits,
// ErrWrongDigits, ErrLetIn, and what Start refuses of a challenge and a destination.
func (e *Engine) Admit(ctx context.Context, b Bearer, ask Admission) (_ *Admitted, err error) {
	ctx, done := e.observe(ctx, "admit")
	defer func() { done(err) }()
	now := e.moment()
	var challenge [32]byte
	switch ask.Way {
	case LetIn, HandOver:
	case Here:
		if challenge, err = parseChallenge(ask.Challenge); err != nil {
			return nil, err
		}
		own := StartRequest{Project: b.Project, Purpose: splitpin.SignIn, Destination: ask.Destination, Origin: ask.Origin, ClientState: ask.State}
		if err := e.checkDestinations(own); err != nil {
			return nil, err
		}
		if err := checkClient(own); err != nil {
			return nil, err
		}
	default:
		return nil, ErrWay
	}
	if e.suspects.lookFirst(now, b.By) {
		if _, _, err := e.borne(ctx, b); err != nil {
			return nil, err
		}
	}
	numbers, err := e.numbers(ctx, 4)
	if err != nil {
		return nil, err
	}
	var id [16]byte
	if err := e.fill(id[:]); err != nil {
		return nil, err
	}
	step := bearerStep{bearer: b, ask: ask, challenge: challenge, user: numbers[0], event: numbers[1], credential: numbers[2], message: numbers[3], id: splitpin.UUIDFrom(id)}
	if err := e.admit(ctx, now, &step); err != nil {
		return nil, err
	}
	if step.verdict == admitUnknown {
		e.suspects.garbage(now, b.By)
		return nil, ErrLink
	}
	e.suspects.genuine(now, b.By)
	a := step.attempt
	if step.refused != nil {
		return nil, fmt.Errorf("admitting by a link: %w", step.refused)
	}
	if step.verdict == admitRight {
		e.entered(ctx, now, b.Project, a) // as by Answer: the message was read
	}
	switch step.verdict {
	case admitHandedOver:
		to, _ := e.returnsTo(b.Project, a)
		token, err := e.handOver(now, a)
		if err != nil {
			return nil, err
		}
		location, err := ReturnLink(to, a, token, e.derive(a))
		return &Admitted{Granted: Granted{Attempt: a}, Location: location}, err
	case admitRight, admitRepeated:
		if ask.Way == LetIn && step.proof != bearsBrowser {
			if step.verdict == admitRight {
				e.balance.Add(-1)
			}
			return &Admitted{Granted: Granted{Attempt: a}}, nil
		}
		answer := answerRight
		if step.verdict == admitRepeated {
			answer = answerRepeated
		}
		g, err := step.sequel.of(e.answered(now, answer, a))
		if err != nil {
			return nil, err
		}
		return &Admitted{Granted: *g}, nil
	}
	if step.verdict == admitHeld {
		return nil, waits(b.Project)
	}
	return nil, linkError(step.verdict, a)
}

// RefuseLink is "this was not me": the link does nothing any more, and the one who
// started is told. Whoever reads the message may say so, so it costs nobody a sign-in:
// the code of the same message makes it good (security 31). Its errors are ErrLink,
// ErrLinkOver and ErrLinkRefused.
func (e *Engine) RefuseLink(ctx context.Context, b Bearer) (err error) {
	ctx, done := e.observe(ctx, "refuse_link")
	defer func() { done(err) }()
	now := e.moment()
	if _, _, err := e.borne(ctx, b); err != nil {
		return err
	}
	event, err := e.store.NextNumber(ctx)
	if err != nil {
		return fmt.Errorf("asking for a number: %w", err)
	}
	err = e.store.Change(ctx, splitpin.Reads{Attempt: bornNumber(b.Link)}, func(r *splitpin.Records) (splitpin.Writes, error) {
		a := r.Attempt
		proof, err := e.bears(now, b, a)
		if err != nil || proof == bearsNothing {
			return splitpin.Writes{}, cmp.Or(err, error(ErrLink))
		}
		if v := decideOpen(now, a, bearsHandOver); v != admitRight { // also of a link without tries
			return splitpin.Writes{}, linkError(v, a)
		}
		a.Link = splitpin.LinkRefused
		return e.audited(splitpin.Writes{Put: []splitpin.Record{a}}, event, now, a, nil, b.By, "link_refused")
	})
	if err != nil {
		return fmt.Errorf("refusing a link: %w", err)
	}
	return nil
}

// Grant gives the one who started the code of an attempt that was let in by its link.
// Its errors are ErrUnknown, ErrOver, ErrNotProved and ErrElsewhere.
func (e *Engine) Grant(ctx context.Context, h Handle) (_ *Granted, err error) {
	ctx, done := e.observe(ctx, "grant")
	defer func() { done(err) }()
	now := e.moment()
	a, err := e.held(ctx, h)
	if err != nil {
		return nil, err
	}
	switch {
	case a.Open(now):
		return nil, ErrNotProved
	case a.Link == splitpin.LinkHere:
		return nil, ErrElsewhere
	case a.Link != splitpin.LinkLetIn || a.State(now) != splitpin.Proved || !now.Before(a.ProvedAt.Add(grantLifetime)):
		return nil, ErrOver
	}
	r, err := e.store.Load(ctx, splitpin.Reads{User: a.User, Credentials: true})
	if err != nil {
		return nil, fmt.Errorf("loading a user: %w", err)
	}
	if r.User == nil {
		return nil, ErrOver
	}
	return sequelOf(now, h.Project, r.User, r.Credentials, byNumber(r.Credentials, a.Credential)).of(e.answered(now, answerRepeated, a))
}

// BrowserProof returns what the browser keeps in which a page of ours started an
// attempt, so that it is known again when it opens the link.
func (e *Engine) BrowserProof(a *splitpin.Attempt) (splitpin.Secret, error) {
	return linkSecret(e.derive(a), "browser")
}

// LinkToken returns what the link of an attempt's message must carry: 45 characters
// that are safe in a path and in a query.
func LinkToken(a *splitpin.Attempt, derive Derive) (splitpin.Secret, error) {
	secret, err := linkSecret(derive, "link")
	return splitpin.Secret(a.ID.String()+".") + secret, err
}

// returnsTo is the page of the customer's to which a hand-over leads: that on which
// the form stood, or that which the app's own form named. A page of ours that asked for
// an app has none: such an app waits for a code, and only where it asked.
func (e *Engine) returnsTo(p *splitpin.Project, a *splitpin.Attempt) (string, bool) {
	to := a.Destination
	if to == "" {
		to = a.Origin
	}
	theirs := a.Origin != "" || e.methods[a.Method].Describe(a).OwnForm
	return to, theirs && p.Lists(to) && splitpin.IsWeb(to)
}

// bears is what a bearer shows.
type bears int

const (
	bearsNothing  bears = iota // no link of this attempt
	bearsLink                  // the link, as everybody has it who reads the message
	bearsBrowser               // besides, this is the browser that asked
	bearsHandOver              // what a hand-over gave, which takes one of the proofs
)

// borne loads the attempt whose link a bearer shows. Its error is ErrLink for whoever
// shows none: they learn nothing. Without a project any is meant.
func (e *Engine) borne(ctx context.Context, b Bearer) (*splitpin.Attempt, bears, error) {
	now := e.moment()
	var proof bears
	r, err := e.store.Load(ctx, splitpin.Reads{Attempt: bornNumber(b.Link)})
	if err != nil {
		return nil, 0, fmt.Errorf("loading an attempt: %w", err)
	}
	if proof, err = e.bears(now, b, r.Attempt); err != nil {
		return nil, 0, err
	}
	if proof == bearsNothing {
		e.suspects.garbage(now, b.By)
		return nil, 0, ErrLink
	}
	return r.Attempt, proof, nil
}

// bears compares what a bearer shows with what only the data keys give, in constant time.
func (e *Engine) bears(now time.Time, b Bearer, a *splitpin.Attempt) (bears, error) {
	id, secret, ok := parseLink(b.Link)
	if !ok || a == nil || a.ID != id || b.Project != nil && a.Project != b.Project.Number {
		return bearsNothing, nil
	}
	m := e.methods[a.Method]
	if m == nil || !m.Describe(a).Link || e.ring.Destroyed(keyring.Codes, a.KeyGeneration) {
		return bearsNothing, nil
	}
	derive := e.derive(a)
	if at, mac, isHandOver := strings.Cut(secret, "~"); isHandOver {
		want, err := linkSecret(derive, "hand-over "+at)
		if err != nil {
			return bearsNothing, err
		}
		seconds, err := strconv.ParseInt(at, 36, 64)
		age := now.Sub(time.Unix(seconds, 0))
		if err != nil || age < -handOverFor || age > handOverFor || !same(want, mac) {
			return bearsNothing, nil
		}
		return bearsHandOver, nil
	}
	want, err := linkSecret(derive, "link")
	if err != nil {
		return bearsNothing, err
	}
	if !same(want, secret) {
		return bearsNothing, nil
	}
	if b.Browser == "" {
		return bearsLink, nil
	}
	if want, err = linkSecret(derive, "browser"); err != nil {
		return bearsNothing, err
	}
	if !same(want, b.Browser.Reveal()) {
		return bearsLink, nil
	}
	return bearsBrowser, nil
}

func same(want splitpin.Secret, got string) bool {
	return subtle.ConstantTimeCompare([]byte(want.Reveal()), []byte(got)) == 1
}

// handOver is a token that is good for a moment only. It is given to whoever proved
// that the asking screen is at hand, and carries that proof to another page.
func (e *Engine) handOver(now time.Time, a *splitpin.Attempt) (splitpin.Secret, error) {
	at := strconv.FormatInt(now.Unix(), 36)
	secret, err := linkSecret(e.derive(a), "hand-over "+at)
	return splitpin.Secret(a.ID.String()+"."+at+"~") + secret, err
}

// linkSecret is 128 bits that nobody stores.
func linkSecret(derive Derive, label string) (splitpin.Secret, error) {
	key, err := derive(label)
	if err != nil {
		return "", err
	}
	return splitpin.Secret(base64.RawURLEncoding.EncodeToString(key[:16])), nil
}

func digits(derive Derive) (string, error) {
	key, err := derive("digits")
	if err != nil {
		return "", err
	}
	return fmt.Sprintf("%02d", binary.BigEndian.Uint64(key[:8])%100), nil
}

func parseLink(link splitpin.Secret) (id splitpin.AttemptID, secret string, ok bool) {
	name, secret, found := strings.Cut(link.Reveal(), ".")
	id, err := splitpin.ParseAttemptID(name)
	return id, secret, found && err == nil
}

// bornNumber is the number of the attempt that a link names; zero names none.
func bornNumber(link splitpin.Secret) int64 {
	id, _, _ := parseLink(link)
	return id.Number
}

// opened records an opening, as far as there are not too many of its kind already.
func (e *Engine) opened(ctx context.Context, a *splitpin.Attempt, how splitpin.Opening, by Caller) error {
	if a.LinkOpens.Add(how) == a.LinkOpens {
		return nil
	}
	event, err := e.store.NextNumber(ctx)
	if err != nil {
		return fmt.Errorf("asking for a number: %w", err)
	}
	now := e.moment()
	err = e.store.Change(ctx, splitpin.Reads{Attempt: a.ID.Number}, func(r *splitpin.Records) (splitpin.Writes, error) {
		a := r.Attempt
		if a == nil || a.LinkOpens.Add(how) == a.LinkOpens {
			return splitpin.Writes{}, nil
		}
		a.LinkOpens = a.LinkOpens.Add(how)
		return e.noted(splitpin.Writes{Put: []splitpin.Record{a}}, event, now, a, nil, by, "link_opened", openingNames[how])
	})
	if err != nil {
		return fmt.Errorf("recording that a link was opened: %w", err)
	}
	return nil
}

var openingNames = map[splitpin.Opening]string{
	splitpin.OpenedByHead: "head", splitpin.OpenedByFetch: "fetch", splitpin.OpenedAsPage: "page", splitpin.OpenedByScript: "script",
}

// noted is audited with a detail.
func (e *Engine) noted(w splitpin.Writes, number int64, now time.Time, a *splitpin.Attempt, u *splitpin.User, by Caller, kind, detail string) (splitpin.Writes, error) {
	w, err := e.audited(w, number, now, a, u, by, kind)
	if err == nil {
		w.Create[len(w.Create)-1].(*splitpin.AuditEvent).Detail = detail
	}
	return w, err
}

// A bearerStep is one admission on its way through the commit that decides over it.
type bearerStep struct {
	bearer    Bearer
	ask       Admission
	challenge [32]byte
	id        splitpin.UUID

	user, event, credential, message int64

	verdict admitVerdict
	proof   bears
	attempt *splitpin.Attempt
	refused error // why what was right is not taken
	sequel  sequel
	notice  notice
}

// admit runs the commit. It runs again with more loaded where the person who is proved
// has more than this to look at.
func (e *Engine) admit(ctx context.Context, now time.Time, step *bearerStep) error {
	reads := splitpin.Reads{Attempt: bornNumber(step.bearer.Link)}
	for {
		whole := false
		err := e.store.Change(ctx, reads, func(r *splitpin.Records) (_ splitpin.Writes, err error) {
			whole, step.notice.wanted, step.refused = false, false, nil
			step.verdict, step.attempt = admitUnknown, r.Attempt
			if step.proof, err = e.bears(now, step.bearer, r.Attempt); err != nil || step.proof == bearsNothing {
				return splitpin.Writes{}, err
			}
			if account.LooksAtAll(now, step.bearer.Project, r.User) && !reads.Sessions {
				whole = true
				return splitpin.Writes{}, nil
			}
			return e.admitted(now, step, r)
		})
		if err != nil {
			return fmt.Errorf("admitting by a link: %w", err)
		}
		if step.notice.wanted {
			if err := e.pay(ctx, now, &step.notice, step.bearer.Project, step.attempt, step.bearer.By); err != nil {
				return err
			}
			continue
		}
		if !whole {
			return nil
		}
		reads.Sessions, reads.Credentials = true, true
	}
}

func (e *Engine) admitted(now time.Time, step *bearerStep, r *splitpin.Records) (splitpin.Writes, error) {
	a, ask := r.Attempt, step.ask
	_, mayHandOver := e.returnsTo(step.bearer.Project, a)
	want, err := digits(e.derive(a))
	if err != nil {
		return splitpin.Writes{}, err
	}
	code, err := e.grantCode(a)
	if err != nil {
		return splitpin.Writes{}, err
	}
	was := *a
	step.verdict = decideAdmit(now, a, asked{
		way: ask.Way, proof: step.proof, challenge: step.challenge, none: ask.Digits == "",
		mayLetIn: step.bearer.Project.Settings.LinkApproval, mayHandOver: mayHandOver,
		right: func() bool { return subtle.ConstantTimeCompare([]byte(want), []byte(ask.Digits)) == 1 },
	})
	w := splitpin.Writes{Put: []splitpin.Record{a}}
	switch step.verdict {
	case admitWrong:
		return e.audited(w, step.event, now, a, r.User, step.bearer.By, "link_wrong")
	case admitLast:
		return e.audited(w, step.event, now, a, r.User, step.bearer.By, "link_dead")
	case admitHandedOver:
		return e.audited(w, step.event, now, a, r.User, step.bearer.By, "link_handed_over")
	case admitRight:
		proved, err := account.Decide(now, account.Claim{Project: step.bearer.Project, Attempt: a, Records: r, ByMessage: true, Recover: ask.Recover, Credential: step.credential,
			Person: account.Person{Number: step.user, ID: step.id, Project: a.Project,
				Identifier: a.Identifier, Kind: a.Kind, Locale: a.Locale}})
		if err != nil && isVerdict(err) {
			*a = was // the link proved nothing
			step.verdict, step.refused = admitNotTaken, err
			if a.LinkTries >= MaxLinkTries {
				return splitpin.Writes{}, nil // it was said often enough
			}
			a.LinkTries++
			if err == account.ErrRecoveryOffered {
				again := a.User != 0
				a.User = r.User.Number
				if a.LinkTries >= MaxLinkTries {
					a.LinkTries-- // one is left for the choice
					if again {
						return splitpin.Writes{}, nil // as it was, and it was said before
					}
				}
			}
			return e.noted(w, step.event, now, a, r.User, step.bearer.By, "answer_refused", splitpin.ErrorOf(err).Code)
		}
		if err != nil {
			return splitpin.Writes{}, err
		}
		if proved.Begun != nil {
			*a = was // the link proved nothing yet
			step.verdict = admitHeld
			return e.begin(now, &step.notice, a, proved, step.message, step.event, step.bearer.By)
		}
		step.sequel = sequelOf(now, step.bearer.Project, proved.User, r.Credentials, proved.Credential)
		if ask.Way == Here {
			a.Destination, a.Origin, a.ClientState = ask.Destination, ask.Origin, ask.State
		}
		a.User = proved.User.Number
		if proved.Credential != nil {
			a.Credential = proved.Credential.Number
		}
		w = proved.Writes
		w.Put = append(w.Put, a)
		w.Create = append(w.Create, grant(now, a, code))
		return e.noted(w, step.event, now, a, proved.User, step.bearer.By, "attempt_proved", "link_"+string(a.Link))
	}
	return splitpin.Writes{}, nil // nothing changed
}

// linkError is what a bearer is told of a verdict that admits nobody; nil for one that
// does.
func linkError(v admitVerdict, a *splitpin.Attempt) error {
	switch v {
	case admitUnknown:
		return ErrLink
	case admitOver:
		return ErrLinkOver
	case admitRefused:
		return ErrLinkRefused
	case admitDead, admitLast:
		return ErrLinkTries
	case admitNotHere:
		return ErrLetIn
	case admitAsk:
		return ErrDigits
	case admitWrong:
		wrong := *ErrWrongDigits
		wrong.TriesLeft = MaxLinkTries - a.LinkTries
		return &wrong
	}
	return nil
}

// The deciding half.

type admitVerdict int

const (
	admitUnknown    admitVerdict = iota // no link of this project
	admitOver                           // expired, denied, or proved for somebody else
	admitRefused                        // somebody said "this was not me"
	admitDead                           // no try was left
	admitNotHere                        // this way is not open here
	admitAsk                            // the digits are needed; nothing was charged
	admitWrong                          // wrong digits
	admitLast                           // wrong, and the link is dead now
	admitHandedOver                     // may go on at the site's page
	admitHeld                           // right, and it opens nothing but began a recovery
	admitNotTaken                       // right, and not taken: the try is spent
	admitRight
	admitRepeated // right again, while the grant lives
)

// asked is an admission, as far as deciding over it goes.
type asked struct {
	way       Way
	proof     bears
	challenge [32]byte
	none      bool        // no digits came
	right     func() bool // looks at the digits

	mayLetIn    bool // the project lets bearers let the asking screen in
	mayHandOver bool
}

// decideOpen tells whether a link still does something: admitRight, or why not. What a
// scanner does who presses everything takes nothing from the browser that asked.
func decideOpen(now time.Time, a *splitpin.Attempt, proof bears) admitVerdict {
	switch {
	case !a.Open(now) || a.Purpose != splitpin.SignIn:
		return admitOver
	case a.Link == splitpin.LinkRefused && proof != bearsBrowser:
		return admitRefused
	case proof == bearsLink && a.LinkTries >= MaxLinkTries:
		return admitDead
	}
	return admitRight
}

// decideAdmit decides about one bearer. It is pure: it sees what was loaded and alters
// what is to be saved. A pair of digits is charged under the same lock that would have
// spent the attempt; a right one costs nothing. Of the starter's tries it takes none.
func decideAdmit(now time.Time, a *splitpin.Attempt, ask asked) admitVerdict {
	sure := ask.proof == bearsBrowser || ask.proof == bearsHandOver
	repeats := a.State(now) == splitpin.Proved && now.Before(a.ProvedAt.Add(grantLifetime)) &&
		(ask.way == Here && a.Link == splitpin.LinkHere && a.Challenge == ask.challenge ||
			ask.way == LetIn && a.Link == splitpin.LinkLetIn)
	if !repeats {
		if v := decideOpen(now, a, ask.proof); v != admitRight {
			return v
		}
	}
	switch {
	case ask.way == LetIn && ask.proof != bearsBrowser && (!ask.mayLetIn || ask.proof != bearsLink):
		return admitNotHere
	case ask.way == HandOver && (!ask.mayHandOver || ask.proof == bearsHandOver): // it would last for ever
		return admitNotHere
	case !sure && a.LinkTries >= MaxLinkTries:
		return admitDead
	case !sure && ask.none:
		return admitAsk
	}
	if !sure {
		a.LinkTries++
		if !ask.right() {
			if a.LinkTries >= MaxLinkTries {
				return admitLast
			}
			return admitWrong
		}
		a.LinkTries-- // only a wrong pair costs
	}
	switch {
	case repeats:
		return admitRepeated
	case ask.way == HandOver:
		return admitHandedOver
	case ask.way == Here:
		a.Link, a.Challenge = splitpin.LinkHere, ask.challenge
	default:
		a.Link = splitpin.LinkLetIn
	}
	a.ProvedAt = now
	return admitRight
}
