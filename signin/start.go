package signin

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/splitpin/splitpin"
	"github.com/splitpin/splitpin/account"
	"github.com/splitpin/splitpin/keyring"
)

var (
	ErrMethod = &splitpin.Error{Kind: splitpin.Invalid, Code: "method_unknown", Field: "method",
		Message: "This server does not offer that way to sign in."}
	ErrMethodOff = &splitpin.Error{Kind: splitpin.Forbidden, Code: "method_off", Field: "method",
		Message: "This site does not offer that way to sign in. Please choose another."}
	ErrNoMethod = &splitpin.Error{Kind: splitpin.Invalid, Code: "invalid_request", Field: "method",
		Message: "method is missing."}
	ErrChallengeForm = &splitpin.Error{Kind: splitpin.Invalid, Code: "invalid_request", Field: "code_challenge",
		Message: "code_challenge must be 43 characters of base64url: the SHA-256 of the verifier (PKCE, S256)."}
	ErrOrigin = &splitpin.Error{Kind: splitpin.Forbidden, Code: "origin_not_allowed", Field: "origin",
		Message: "This site is not in the list of allowed URLs. Please contact the site owner."}
	ErrRedirect = &splitpin.Error{Kind: splitpin.Forbidden, Code: "redirect_not_allowed", Field: "redirect_url",
		Message: "The redirect URL is not in the list of allowed URLs. Please contact the site owner."}
	ErrNotAdmitted = &splitpin.Error{Kind: splitpin.Forbidden, Code: "not_admitted", Field: "identifier",
		Message: "This address is not on the list of people who may sign in here. Please ask the site owner for access."}
	// ErrChannel refuses a channel that the project does not have.
	ErrChannel = &splitpin.Error{Kind: splitpin.Invalid, Code: "channel_not_offered", Field: "channel",
		Message: "Codes are not sent that way here. Please choose another."}
	ErrForm = &splitpin.Error{Kind: splitpin.Invalid, Code: "invalid_request", Field: "form_id",
		Message: "The name of the form is too long."}
	ErrWhose = &splitpin.Error{Kind: splitpin.Invalid, Code: "invalid_request", Field: "user_id",
		Message: "user_id must be the id of a user, 36 characters, and belongs to a sign-in."}
	// ErrNoIdentifier says that a method does not find out by itself who it is.
	ErrNoIdentifier = &splitpin.Error{Kind: splitpin.Invalid, Code: "invalid_request", Field: "identifier",
		Message: "identifier is missing."}
	ErrPurpose = &splitpin.Error{Kind: splitpin.Invalid, Code: "invalid_request", Field: "purpose",
		Message: "This purpose cannot be started this way."}

	// ErrUnknown answers whoever does not hold both the id and the starter's
	// secret of an attempt of this project.
	ErrUnknown = &splitpin.Error{Kind: splitpin.NotFound, Code: "attempt_unknown",
		Message: "This sign-in is not known here. Please start again."}
	ErrOver = &splitpin.Error{Kind: splitpin.Unauthenticated, Code: "attempt_over",
		Message: "This sign-in has expired. Please start again."}
	ErrTries = &splitpin.Error{Kind: splitpin.Unauthenticated, Code: "too_many_tries",
		Message: "That was wrong too often. Please start again to get a new code."}
	ErrSoon = &splitpin.Error{Kind: splitpin.TooMany, Code: "resend_too_soon",
		Message: "A message was just sent. Please wait a moment before you ask for another."}
	ErrNoMore = &splitpin.Error{Kind: splitpin.TooMany, Code: "too_many_messages",
		Message: "This code was sent several times already. Please look into your spam folder, or start again later."}
)

const (
	resendPause = 30 * time.Second // between two messages of one attempt
	maxSends    = 4                // messages of one attempt
	maxURL      = 2048             // bytes of a redirect URL or an origin
	maxForm     = 128              // bytes of the name of a form
)

// A StartRequest asks to begin an attempt.
type StartRequest struct {
	Project     *splitpin.Project
	Method      string
	Purpose     splitpin.Purpose // empty: SignIn
	Identifier  string           // as the person typed it; empty: the method finds out who it is
	Challenge   string           // PKCE S256; for SignIn, unless SameCall
	Destination string           // redirect URL; must be listed
	Origin      string           // of the page that frames the form; must be listed
	FormID      string
	Whose       string // id of the user whose identifier must be proved; empty: anybody's will do
	Locale      string
	Puzzle      string
	Captcha     string           // token of the captcha that was asked for; empty: none
	Channel     splitpin.Channel // to be reached by; empty: the method's choice
	Provider    string           // of a social account
	By          Caller

	// ClientState and ClientData come back with the result; see splitpin.Attempt.
	ClientState string
	ClientData  []byte

	// LinkReturns asks for a link that leads to Destination instead of a page of ours.
	LinkReturns bool
	// OwnForm says that no page of ours asked. Then the page at Destination may go on
	// where the link is opened: it is of those who know what a hand-over is. And no
	// browser is recognised.
	OwnForm bool

	// SameCall says that whoever answers collects with Finish, and no code is given out.
	SameCall bool

	// User and Session are who is signed in, for Enrol and Confirm. Enrol needs a session
	// whose proof is a few minutes old at most.
	User    *splitpin.User
	Session *splitpin.Session
	// Proof is, for Enrol, an attempt that was proved for the same page a few minutes ago
	// at most, in the place of User and Session.
	Proof *Handle
	// HandOver, for Enrol, lets a page go on that knows the identifier and nothing of
	// this attempt: see TakeOver.
	HandOver bool
	// Parent is the attempt to be completed, for Complete and Vouch.
	Parent *Handle
}

// Started is a new attempt and the secret of the one who started it, which is
// shown nowhere else.
type Started struct {
	Attempt *splitpin.Attempt
	Secret  splitpin.Secret
	Form    Form
	Digits  string // for whoever opens the link elsewhere; empty: the message has no link
}

// Start begins an attempt and queues its message. What it answers does not
// depend on whether the identifier belongs to a user.
func (e *Engine) Start(ctx context.Context, req StartRequest) (started *Started, err error) {
	ctx, done := e.observe(ctx, "start")
	defer func() { done(err) }()
	started, err = e.start(ctx, req)
	if err != nil {
		e.refusals.count(req.Project, err)
	}
	return started, err
}

func (e *Engine) start(ctx context.Context, req StartRequest) (*Started, error) {
	now := e.moment()
	if err := e.ring.Usable(); err != nil { // no code could be derived
		return nil, splitpin.ErrUnavailable.Because(err)
	}
	if req.Method == "" {
		return nil, ErrNoMethod
	}
	method := e.methods[req.Method]
	if method == nil {
		return nil, ErrMethod
	}
	if !offers(req.Project, method) {
		return nil, ErrMethodOff
	}
	if req.Purpose == "" {
		req.Purpose = splitpin.SignIn
	}
	if (req.Proof != nil || req.HandOver) && req.Purpose != splitpin.Enrol {
		return nil, ErrPurpose
	}
	var challenge [32]byte
	var err error
	if req.Purpose == splitpin.SignIn && !req.SameCall {
		if challenge, err = parseChallenge(req.Challenge); err != nil {
			return nil, err
		}
	}
	req.Origin = e.asking(req.Project, req.Origin)
	if err := e.checkDestinations(req); err != nil {
		return nil, err
	}
	if len(req.FormID) > maxForm || !splitpin.IsText(req.FormID) {
		return nil, ErrForm
	}
	if err := checkClient(req); err != nil {
		return nil, err
	}
	var whose splitpin.UUID
	if req.Whose != "" {
		if whose, err = splitpin.ParseUUID(req.Whose); err != nil || whose.IsZero() || req.Purpose != splitpin.SignIn {
			return nil, ErrWhose
		}
	}
	var proof *splitpin.Attempt
	session := req.Session
	if req.Proof != nil {
		if proof, session, req.User, err = e.provedBy(ctx, now, req); err != nil {
			return nil, err
		}
	}
	parent, err := e.mayStart(ctx, now, req)
	if err != nil {
		return nil, err
	}
	var identifier string
	var kind splitpin.IdentifierKind
	if req.Identifier != "" || !findsOut(method) {
		if identifier, kind, err = account.ParseIdentifier(req.Identifier); err != nil {
			return nil, err
		}
	}
	if err := suits(req, parent, identifier); err != nil {
		return nil, err
	}
	knower, _ := method.(Knower)
	listed := len(req.Project.Settings.Forms) > 0 && req.Purpose != splitpin.Confirm
	shows := knower != nil && knower.Knows().Opens() && req.User == nil && !e.knows(now, req.Project, identifier, req.By.Known)
	if identifier != "" && (listed || shows) {
		// Who is on a list, or has what, is worth asking about, so asking is limited, and
		// costs the same whatever the answer is.
		if err := e.chargeLookup(ctx, req.Project, req.By); err != nil {
			return nil, err
		}
	}
	if identifier != "" && listed && !admits(req.Project, req.FormID, identifier) {
		return nil, ErrNotAdmitted
	}
	begin := BeginRequest{Project: req.Project, Purpose: req.Purpose, Identifier: identifier, Kind: kind, Origin: req.Origin,
		User: req.User, Channel: req.Channel, Provider: req.Provider,
		LinkReturns: req.LinkReturns, OwnForm: req.OwnForm, Destination: req.Destination, Derive: e.deriveFor(req.Project, identifier)}
	if proof != nil {
		_, sends := e.methods[proof.Method].(Messenger)
		begin.ByMessage = sends && proof.Identifier == req.User.Identifier
	}
	if begin.Credentials, err = e.known(ctx, now, method, begin); err != nil {
		return nil, err
	}
	messenger, reaches := method.(Messenger)
	if !reaches { // such a method may ask somebody before it knows how to begin
		if err := e.chargeStart(ctx, now, req.Project, toll{}, "", seen{}, req.By); err != nil {
			return nil, err
		}
	}
	begun, err := method.Begin(ctx, begin)
	if err != nil {
		return nil, err
	}
	var message toll
	var starter seen
	if reaches {
		if starter, err = e.seeStarter(ctx, now, req, kind); err != nil {
			return nil, err
		}
		asked := &splitpin.Attempt{Project: req.Project.Number, Purpose: req.Purpose, Method: req.Method,
			Identifier: identifier, Kind: kind, Destination: req.Destination, Origin: req.Origin, Data: begun.Data}
		if message, err = e.toll(ctx, now, req.Project, asked, messenger.Message(asked), req.By); err != nil {
			return nil, err
		}
		if err := e.chargeStart(ctx, now, req.Project, message, req.Puzzle, starter, req.By); err != nil {
			return nil, err
		}
	}

	numbers, err := e.numbers(ctx, 3)
	if err != nil {
		return nil, err
	}
	var random [8 + 16]byte
	if err := e.fill(random[:]); err != nil {
		return nil, err
	}
	secret := base64.RawURLEncoding.EncodeToString(random[8:])
	attempt := &splitpin.Attempt{
		ID:      splitpin.AttemptID{Number: numbers[0], Nonce: [8]byte(random[:8])},
		Project: req.Project.Number, Purpose: req.Purpose, Method: req.Method,
		Identifier: identifier, Kind: kind,
		Starter: starterHash(secret), Challenge: challenge,
		Destination: req.Destination, Origin: req.Origin, FormID: req.FormID, Whose: whose,
		Data: begun.Data, KeyGeneration: e.ring.Current(keyring.Codes), MaxTries: begun.Tries,
		Device: req.By.Device, Network: req.By.Network(), Locale: req.Locale,
		ClientState: req.ClientState, ClientData: req.ClientData,
		CreatedAt: now, ExpiresAt: now.Add(begun.Lifetime),
	}
	if req.User != nil {
		attempt.For = req.User.Number
	}
	if session != nil {
		attempt.Session = session.Number
		if req.Purpose == splitpin.Enrol {
			attempt.Parent = session.ProvedBy()
		}
	}
	if parent != nil {
		attempt.Parent = parent.ID.Number
	}
	audit, err := e.audit(numbers[2], now, attempt, req.User, "attempt_started")
	if err != nil {
		return nil, err
	}
	hardened := e.guarded.Load()
	var mail *splitpin.Message
	created := func(*splitpin.Attempt) {}
	if reaches {
		if what := messenger.Message(attempt); what.Channel != "" {
			attempt.Sends, attempt.NextSendAt = 1, now.Add(resendPause)
			mail = queued(numbers[1], now, attempt, what, message.cost)
			created = e.outbox.Reserve(mail)
			defer created(nil) // where it did not come to the other call
		}
	}
	err = e.store.Change(ctx, splitpin.Reads{Name: splitpin.Name{Project: attempt.Project, Identifier: identifier}, Unlocked: true},
		func(r *splitpin.Records) (splitpin.Writes, error) {
			attempt.Data = begun.Data
			if len(begun.Hardened) > 0 && (hardened || spent(now, r.Guesses)) {
				attempt.Data = begun.Hardened
			}
			w := splitpin.Writes{Create: []splitpin.Record{attempt, audit}}
			if mail != nil {
				mail.Locale = locale(attempt, r.User)
				w.Create = append(w.Create, mail)
			}
			return w, nil
		})
	if err == nil && req.HandOver {
		err = e.arm(ctx, now, attempt, req.User)
	}
	if err != nil {
		return nil, fmt.Errorf("starting an attempt: %w", err)
	}
	created(new(*attempt)) // a copy: the original is the caller's
	return e.started(method, attempt, splitpin.Secret(secret))
}

// Resend queues the message of an open attempt once more: the same code, with
// the tries and the expiry it has. It goes the way it went, or over another channel where one is named.
func (e *Engine) Resend(ctx context.Context, h Handle, over splitpin.Channel) (_ *Started, err error) {
	ctx, done := e.observe(ctx, "resend")
	defer func() { done(err) }()
	now := e.moment()
	a, err := e.held(ctx, h)
	if err != nil {
		return nil, err
	}
	method, ok := e.methods[a.Method].(Messenger)
	if !ok {
		return nil, ErrMethod
	}
	if err := mayResend(now, a); err != nil {
		return nil, err
	}
	what, err := again(method, h.Project, a, over)
	if err != nil {
		return nil, err
	}
	message, err := e.toll(ctx, now, h.Project, a, what, h.By)
	if err != nil {
		return nil, err
	}
	refused, wait, err := e.take(ctx, now, message.take()...)
	if err != nil {
		return nil, fmt.Errorf("charging the limits: %w", err)
	}
	if refused >= 0 {
		err := message.refused(refused, wait)
		e.refusals.count(h.Project, err)
		return nil, err
	}
	numbers, err := e.numbers(ctx, 2)
	if err != nil {
		return nil, err
	}
	audit, err := e.audit(numbers[1], now, a, nil, "message_repeated")
	if err != nil {
		return nil, err
	}
	mail := queued(numbers[0], now, a, what, message.cost)
	created := e.outbox.Reserve(mail)
	defer created(nil) // where it did not come to the other call
	err = e.store.Change(ctx, splitpin.Reads{Attempt: h.ID.Number}, func(r *splitpin.Records) (splitpin.Writes, error) {
		if !h.holds(r.Attempt) {
			return splitpin.Writes{}, ErrUnknown
		}
		// Two clicks may have met: the second sees what the first did.
		if err := mayResend(now, r.Attempt); err != nil {
			return splitpin.Writes{}, err
		}
		a = r.Attempt
		a.Sends++
		a.NextSendAt = now.Add(resendPause)
		mail.Sequence, mail.Locale = a.Sends, locale(a, r.User)
		return splitpin.Writes{Put: []splitpin.Record{a}, Create: []splitpin.Record{mail, audit}}, nil
	})
	if err != nil {
		// Nothing was queued, so the lane gets back what it gave; but where nobody knows
		// what became of the commit, it may have been. Where giving back fails, somebody
		// waits a little longer.
		if splitpin.ErrorOf(err) != nil && !errors.Is(err, splitpin.ErrUncertain) {
			e.take(ctx, now, message.back()...)
		}
		return nil, fmt.Errorf("repeating a message: %w", err)
	}
	created(new(*a)) // a copy: the original is the caller's
	return e.started(method, a, "")
}

// again is the message of an attempt that is asked for once more.
func again(method Messenger, p *splitpin.Project, a *splitpin.Attempt, over splitpin.Channel) (Message, error) {
	what := method.Message(a)
	if over == "" || over == what.Channel {
		return what, nil
	}
	chooser, ok := method.(Chooser)
	if !ok {
		return Message{}, ErrChannel
	}
	return chooser.Over(p, a, over)
}

// Look returns an attempt to the one who started it.
func (e *Engine) Look(ctx context.Context, h Handle) (_ *Started, err error) {
	ctx, done := e.observe(ctx, "look")
	defer func() { done(err) }()
	a, err := e.held(ctx, h)
	if err != nil {
		return nil, err
	}
	method := e.methods[a.Method]
	if method == nil {
		return nil, ErrMethod
	}
	return e.started(method, a, "")
}

func (e *Engine) started(method Method, a *splitpin.Attempt, secret splitpin.Secret) (_ *Started, err error) {
	s := &Started{Attempt: a, Secret: secret, Form: method.Describe(a)}
	if s.Form.Link {
		s.Digits, err = digits(e.derive(a))
	}
	return s, err
}

// ResendIn returns how long until another message may be asked for; negative
// when none may.
func ResendIn(now time.Time, a *splitpin.Attempt) time.Duration {
	if !a.Open(now) || a.Sends == 0 || a.Sends >= maxSends || a.NextSendAt.After(a.ExpiresAt) {
		return -1
	}
	return max(0, a.NextSendAt.Sub(now))
}

// A Handle is what a starter shows to be let near an attempt.
type Handle struct {
	Project *splitpin.Project
	ID      splitpin.AttemptID
	Secret  splitpin.Secret
	By      Caller
}

// held loads the attempt that h holds. Its error is ErrUnknown for whoever lacks
// the id, the secret or the project: they learn nothing and spend nothing. It is
// ErrOver when the attempt's data key was destroyed.
func (e *Engine) held(ctx context.Context, h Handle) (*splitpin.Attempt, error) {
	r, err := e.store.Load(ctx, splitpin.Reads{Attempt: h.ID.Number})
	if err != nil {
		return nil, fmt.Errorf("loading an attempt: %w", err)
	}
	if !h.holds(r.Attempt) {
		e.suspects.garbage(e.moment(), h.By)
		return nil, ErrUnknown
	}
	if e.ring.Destroyed(keyring.Codes, r.Attempt.KeyGeneration) {
		return nil, ErrOver
	}
	return r.Attempt, nil
}

// The deciding half.

func (h Handle) holds(a *splitpin.Attempt) bool {
	if a == nil || a.Project != h.Project.Number || a.ID != h.ID {
		return false
	}
	hash := starterHash(h.Secret.Reveal())
	return subtle.ConstantTimeCompare(hash[:], a.Starter[:]) == 1
}

func starterHash(secret string) [16]byte {
	sum := sha256.Sum256([]byte(secret))
	return [16]byte(sum[:16])
}

func mayResend(now time.Time, a *splitpin.Attempt) error {
	switch {
	case !a.Open(now):
		return ErrOver
	case a.Sends == 0 || a.Sends >= maxSends:
		return ErrNoMore
	case now.Before(a.NextSendAt):
		return ErrSoon.After(a.NextSendAt.Sub(now))
	}
	return nil
}

// queued is the outbox entry of an attempt, due at once.
func queued(number int64, now time.Time, a *splitpin.Attempt, m Message, cost int64) *splitpin.Message {
	return &splitpin.Message{
		Number: number, Project: a.Project, Attempt: a.ID.Number, Sequence: a.Sends,
		Channel: m.Channel, Fallback: m.Fallback, To: a.Identifier, Template: m.Template,
		CreatedAt: now, DueAt: now, ExpiresAt: a.ExpiresAt, Cost: cost,
	}
}

// locale is the language of a message: that of the page that asked, or else of the
// user.
func locale(a *splitpin.Attempt, u *splitpin.User) string {
	if a.Locale == "" && u != nil {
		return u.Locale
	}
	return a.Locale
}

// CheckChallenge reports whether Start would take a code challenge: nil, or
// ErrChallengeForm. A page asks before it lets somebody type an address in vain.
func CheckChallenge(s string) error {
	_, err := parseChallenge(s)
	return err
}

func parseChallenge(s string) ([32]byte, error) {
	b, err := base64.RawURLEncoding.Strict().DecodeString(s)
	if err != nil || len(s) != 43 || len(b) != 32 {
		return [32]byte{}, ErrChallengeForm
	}
	return [32]byte(b), nil
}

// checkDestinations holds what was asked against the project's list. At least
// one of destination and origin is needed: a code that belongs nowhere could be
// asked for by anybody for anybody.
func (e *Engine) checkDestinations(req StartRequest) error {
	if len(req.Destination) > maxURL || len(req.Origin) > maxURL {
		return ErrRedirect
	}
	if req.Origin != "" && !req.Project.ListsOrigin(req.Origin) {
		return ErrOrigin
	}
	if req.Destination != "" && (!splitpin.IsText(req.Destination) || !e.Leads(req.Project, req.Destination)) {
		return ErrRedirect
	}
	if req.Destination == "" && req.Origin == "" && req.Purpose == splitpin.SignIn {
		return ErrRedirect
	}
	return nil
}

// findsOut reports whether a method can begin without an identifier.
func findsOut(m Method) bool {
	_, ok := m.(Fetcher)
	_, part := m.(PartFetcher)
	return ok && !part
}

// mayStart decides whether the caller may ask for a proof of that purpose. It returns the
// attempt that is to be completed.
func (e *Engine) mayStart(ctx context.Context, now time.Time, req StartRequest) (parent *splitpin.Attempt, err error) {
	if req.OwnForm && recognises(e.methods[req.Method]) {
		return nil, ErrPurpose // its keys are those of our pages, and no site has one of its own (security 11)
	}
	fetches := findsOut(e.methods[req.Method])
	signedIn := req.User != nil && req.Session != nil && req.Session.User == req.User.Number && e.tokens.Live(req.Session, now)
	switch req.Purpose {
	case splitpin.SignIn:
		if req.User == nil && req.Session == nil && req.Parent == nil {
			return nil, nil
		}
	case splitpin.Confirm:
		if signedIn {
			return nil, nil
		}
	case splitpin.Enrol:
		if signedIn && !provedLately(now, req.Session) {
			return nil, ErrStale
		}
		if (signedIn || req.Proof != nil) && fetches {
			return nil, nil
		}
	case splitpin.Complete, splitpin.Vouch:
		if req.Parent == nil || fetches {
			break
		}
		if parent, err = e.held(ctx, *req.Parent); err != nil {
			return nil, err
		}
		if _, _, waits := Needs(parent); !waits || !parent.Open(now) {
			return nil, ErrOver
		}
		return parent, nil
	}
	return nil, ErrPurpose
}

// suits holds an identifier against whom a proof is for.
func suits(req StartRequest, parent *splitpin.Attempt, identifier string) error {
	switch {
	case req.Purpose == splitpin.Confirm && identifier != "" && identifier != req.User.Identifier:
		return account.ErrIdentifier
	case parent != nil:
		if _, address, ok := Needs(parent); ok && address != "" && identifier != address {
			return account.ErrIdentifier
		}
	}
	return nil
}

// maxClient bounds what a client may have kept with an attempt, in bytes.
const maxClient = 1024

// ErrClientData refuses what a client would have kept.
var ErrClientData = &splitpin.Error{Kind: splitpin.Invalid, Code: "invalid_request", Field: "client_data",
	Message: "client_data must be a JSON object of at most 1024 bytes whose values are texts, numbers, true, false or null. Its names must not be those of a result: token, oauth_token, user, email, phone, status, identifier."}

// resultFields are the names that results of a sign-in have for old clients (contract 2.3).
// What somebody asked with comes back beside them, perhaps to whoever opened the link.
var resultFields = []string{"token", "oauth_token", "user", "email", "phone", "status", "identifier"}

// checkClient holds what comes back with the result to its bounds: flat scalars (security 29),
// under names that no result has.
func checkClient(req StartRequest) error {
	if len(req.ClientState) > maxClient || !splitpin.IsText(req.ClientState) {
		return ErrClientData.In("state")
	}
	if len(req.ClientData) == 0 {
		return nil
	}
	var flat map[string]any
	if len(req.ClientData) > maxClient || json.Unmarshal(req.ClientData, &flat) != nil || flat == nil {
		return ErrClientData
	}
	for name, value := range flat {
		if slices.Contains(resultFields, strings.ToLower(name)) {
			return ErrClientData.In("client_data." + name)
		}
		switch value.(type) {
		case map[string]any, []any:
			return ErrClientData
		}
	}
	return nil
}

// known returns the credentials that a Knower asks for: of the user whom the attempt is
// for, or who has the identifier. It looks whether there is such a user or not.
func (e *Engine) known(ctx context.Context, now time.Time, method Method, req BeginRequest) ([]*splitpin.Credential, error) {
	k, ok := method.(Knower)
	if !ok || req.User == nil && req.Identifier == "" {
		return nil, nil
	}
	reads := splitpin.Reads{Name: splitpin.Name{Project: req.Project.Number, Identifier: req.Identifier}, Credentials: true}
	if req.User != nil {
		reads = splitpin.Reads{User: req.User.Number, Credentials: true}
	}
	r, err := e.store.Load(ctx, reads)
	if err != nil {
		return nil, fmt.Errorf("loading credentials: %w", err)
	}
	return slices.DeleteFunc(r.Credentials, func(c *splitpin.Credential) bool { return c.Kind != k.Knows() || !c.Live(now) }), nil
}

// deriveFor is the Derive of BeginRequest. It gives the same until the data key
// of browsers is replaced.
func (e *Engine) deriveFor(p *splitpin.Project, identifier string) Derive {
	return func(label string) ([32]byte, error) {
		mac, err := e.ring.MAC(keyring.Browser, e.ring.Current(keyring.Browser), []byte("method"), []byte(label), []byte(p.ID), []byte(identifier))
		if err != nil {
			return mac, splitpin.ErrUnavailable.Because(fmt.Errorf("deriving for a method: %w", err))
		}
		return mac, nil
	}
}

// admits holds an identifier against the allow-lists. A form has its own list or
// else that of the project, under the empty id. A project that has lists, but
// none for this form, admits who is on any of them: naming another form is no way
// around a list.
func admits(p *splitpin.Project, form, identifier string) bool {
	lists := p.Settings.Forms
	if len(lists) == 0 {
		return true
	}
	for _, id := range []string{form, ""} {
		if list, ok := lists[id]; ok {
			return list.Admits(identifier)
		}
	}
	for _, list := range lists {
		if list.Admits(identifier) {
			return true
		}
	}
	return false
}

// Admits tells a form early what Start and Collect enforce (contract 11.4).
func (e *Engine) Admits(p *splitpin.Project, form, identifier string) bool {
	canonical, _, err := account.ParseIdentifier(identifier)
	return err == nil && admits(p, form, canonical)
}

// AdmitsSomewhere tells whether somebody may sign in through any form of the project,
// one that has no list of its own included.
func (e *Engine) AdmitsSomewhere(p *splitpin.Project, identifier string) bool {
	if e.Admits(p, "", identifier) {
		return true
	}
	for form := range p.Settings.Forms {
		if e.Admits(p, form, identifier) {
			return true
		}
	}
	return false
}

// audit is one line about an attempt. u is whom it is about, where that is known; an
// attempt that begins without an identifier is about nobody until then.
func (e *Engine) audit(number int64, now time.Time, a *splitpin.Attempt, u *splitpin.User, kind string) (*splitpin.AuditEvent, error) {
	who := a.Identifier
	if who == "" && u != nil {
		who = u.Identifier
	}
	var subject [12]byte
	if who != "" {
		var err error
		if subject, err = e.Subject(a.Project, who); err != nil {
			return nil, err
		}
	}
	return &splitpin.AuditEvent{
		Number: number, Project: a.Project, At: now, Kind: kind, Subject: subject,
		User: a.User, Attempt: a.ID.Number, Network: a.Network,
	}, nil
}

// Subject is the pseudonym under which the audit log knows an identifier.
func (e *Engine) Subject(project int64, identifier string) ([12]byte, error) {
	return account.Subject(e.ring, project, identifier)
}
