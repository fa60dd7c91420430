package signin

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/splitpin/splitpin"
	"github.com/splitpin/splitpin/account"
	"github.com/splitpin/splitpin/token"
)

// ErrGrant is every reason why a code gives no session. It does not say which,
// to whoever may have found the code; the audit log does.
var ErrGrant = &splitpin.Error{Kind: splitpin.Invalid, Code: "grant_invalid",
	Message: "This sign-in code is not valid or was used already. Please sign in again."}

// ErrVerifier refuses what cannot be a PKCE verifier.
var ErrVerifier = &splitpin.Error{Kind: splitpin.Invalid, Code: "invalid_request", Field: "code_verifier",
	Message: "code_verifier must be 43 to 256 printable ASCII characters."}

// repeatFor is how long the same code with the same verifier gives the same
// session again (security 7).
const repeatFor = 30 * time.Second

// A CollectRequest trades an authorization code for a session.
type CollectRequest struct {
	Project     *splitpin.Project
	Code        string
	Verifier    string
	ChallengeID *int32 // compared when given
	Destination string // redirect URL as the collector knows it; compared when the attempt had one
	Origin      string // the request's Origin header; empty: none
	Static      bool   // the client cannot rotate its refresh token
	By          Caller

	sameCall bool // the caller has just answered the attempt: see Finish
}

// Collected is a session just opened, or opened less than 30 seconds ago by the
// same code and verifier, and its tokens.
type Collected struct {
	Session *splitpin.Session
	User    *splitpin.User
	Attempt *splitpin.Attempt
	Tokens  token.Set
}

// Finish answers an attempt and collects its session in the same call, for those that
// began with SameCall, and for those that added a credential: the session is that
// credential's, and ends with it where the person takes it back. Nobody but the one who
// answers gets to the code. Origin and Static of req count; its other fields are filled
// in. The errors are those of Answer and Collect.
func (e *Engine) Finish(ctx context.Context, h Handle, answer json.RawMessage, req CollectRequest) (_ *Collected, err error) {
	ctx, done := e.observe(ctx, "finish")
	defer func() { done(err) }()
	granted, err := e.Answer(ctx, h, answer)
	if err != nil {
		return nil, err
	}
	if a := granted.Attempt; a.Purpose != splitpin.SignIn && a.Purpose != splitpin.Enrol {
		return nil, ErrPurpose
	}
	code, err := e.grantCode(granted.Attempt)
	if err != nil {
		return nil, err
	}
	req.Project, req.By, req.sameCall = h.Project, h.By, true
	req.Code, req.Destination, req.ChallengeID = code, granted.Attempt.Destination, nil
	return e.Collect(ctx, req)
}

// Collect spends an authorization code. A code that exists but is shown with
// anything else that does not match is spent too (security 6); an unknown code
// charges nobody. Its errors are ErrGrant, ErrVerifier and ErrNotAdmitted.
func (e *Engine) Collect(ctx context.Context, req CollectRequest) (_ *Collected, err error) {
	ctx, done := e.observe(ctx, "collect")
	defer func() { done(err) }()
	now := e.moment()
	if !req.Project.ListsOrigin(req.Origin) {
		req.Origin = "" // input, until it is a name of ours
	}
	number, hash, ok := parseCode(req.Code)
	if !ok {
		return nil, ErrGrant
	}
	if !isVerifier(req.Verifier) && !req.sameCall {
		return nil, ErrVerifier
	}
	if e.suspects.lookFirst(now, req.By) {
		r, err := e.store.Load(ctx, splitpin.Reads{Grant: number})
		if err != nil {
			return nil, fmt.Errorf("loading a grant: %w", err)
		}
		if !unlocks(hash, r) {
			e.suspects.garbage(now, req.By)
			return nil, ErrGrant
		}
	}
	event, err := e.store.NextNumber(ctx)
	if err != nil {
		return nil, fmt.Errorf("asking for a number: %w", err)
	}
	var salt [16]byte
	if err := e.fill(salt[:]); err != nil {
		return nil, err
	}
	var (
		verdict collectVerdict
		out     *Collected
		opened  int64
	)
	reads := splitpin.Reads{Grant: number}
	collect := func(r *splitpin.Records) (splitpin.Writes, error) {
		g, a, u := r.Grant, r.Attempt, r.User
		out = nil
		if !unlocks(hash, r) {
			verdict = collectUnknown
			return splitpin.Writes{}, nil
		}
		method := e.methods[a.Method]
		if method == nil {
			return splitpin.Writes{}, ErrMethod
		}
		if a.Credential != 0 && !reads.Credentials {
			verdict = collectWhole
			return splitpin.Writes{}, nil
		}
		id, err := e.ChallengeID(a)
		if errors.Is(err, ErrOver) {
			verdict = collectOver
			return splitpin.Writes{}, nil
		}
		if err != nil {
			return splitpin.Writes{}, err
		}
		verdict = decideCollect(now, g, a, u, r.Credentials, req, id)
		switch verdict {
		case collectMismatch:
			return e.audited(splitpin.Writes{Put: []splitpin.Record{g}}, event, now, a, u, req.By, "grant_mismatch")
		case collectNotAdmitted:
			return e.audited(splitpin.Writes{Put: []splitpin.Record{g}}, event, now, a, u, req.By, "grant_not_admitted")
		case collectRepeat:
			opened = g.Session
			out = &Collected{Attempt: a, User: u}
		case collectOpen:
			s := e.tokens.NewSession(req.Project, u, a.ID.Number, salt, method.AuthMethod(), req.Static, now)
			s.AuthAt = a.ProvedAt
			if a.Purpose == splitpin.Enrol {
				s.Proof = a.Parent
			}
			w := splitpin.Writes{}
			if recognises(method) {
				c, was := e.remembered(now, r, a.Credential)
				if c == nil {
					verdict = collectOver
					return splitpin.Writes{}, nil
				}
				// What a browser was recognised by proves nothing new: how and when the
				// person did stays as it was.
				s.AuthMethod, s.AuthAt, s.Proof = was.AuthMethod, was.AuthAt, was.ProvedBy()
				c.Session = s.Number
				w.Put = append(w.Put, c)
			}
			s.Device, s.Network, s.Origin, s.Credential = req.By.Device, req.By.Network(), req.Origin, a.Credential
			g.Session = s.Number
			out = &Collected{Session: s, User: u, Attempt: a}
			w.Put = append(w.Put, g, a)
			w.Create = append(w.Create, s)
			if account.Seen(now, u) {
				w.Put = append(w.Put, u)
			}
			line, err := e.audit(event, now, a, u, "session_opened")
			if err != nil {
				return splitpin.Writes{}, err
			}
			line.Session, line.Network = s.Number, req.By.Network()
			w.Create = append(w.Create, line)
			return w, nil
		}
		return splitpin.Writes{}, nil
	}
	err = e.store.Change(ctx, reads, collect)
	if err == nil && verdict == collectWhole {
		reads.Sessions, reads.Credentials = true, true
		err = e.store.Change(ctx, reads, collect)
	}
	if err != nil {
		return nil, fmt.Errorf("collecting a session: %w", err)
	}
	if verdict == collectUnknown {
		e.suspects.garbage(now, req.By)
		return nil, ErrGrant
	}
	e.suspects.genuine(now, req.By)
	switch {
	case verdict == collectMismatch || verdict == collectOver:
		return nil, ErrGrant
	case verdict == collectNotAdmitted:
		return nil, ErrNotAdmitted
	case verdict == collectRepeat:
		r, err := e.store.Load(ctx, splitpin.Reads{Session: opened})
		if err != nil {
			return nil, fmt.Errorf("loading a session: %w", err)
		}
		if r.Session == nil || !e.tokens.Live(r.Session, now) {
			return nil, ErrGrant
		}
		out.Session = r.Session
	}
	out.Tokens, err = e.tokens.Mint(req.Project, out.User, out.Session)
	if err != nil {
		return nil, fmt.Errorf("signing tokens: %w", err)
	}
	return out, nil
}

// The deciding half.

// unlocks reports whether a code with that hash is the one of the loaded grant.
func unlocks(hash [32]byte, r *splitpin.Records) bool {
	return r.Grant != nil && r.Attempt != nil && subtle.ConstantTimeCompare(r.Grant.Hash[:], hash[:]) == 1
}

type collectVerdict int

const (
	collectUnknown     collectVerdict = iota // no such code
	collectWhole                             // a credential was shown for it; nothing was decided yet
	collectOver                              // expired, or spent
	collectMismatch                          // the code is real and what came with it is not: spent
	collectNotAdmitted                       // the form's list changed since the attempt began
	collectRepeat                            // the same collector again, shortly after
	collectOpen                              // opens a session
)

// decideCollect decides over a collection. has are the credentials of u, where one was
// shown for the attempt: what it opened ends with it, also what was not collected yet.
func decideCollect(now time.Time, g *splitpin.Grant, a *splitpin.Attempt, u *splitpin.User, has []*splitpin.Credential, req CollectRequest, id int32) collectVerdict {
	sum := sha256.Sum256([]byte(req.Verifier))
	holds := subtle.ConstantTimeCompare(sum[:], g.Challenge[:]) == 1
	if g.Challenge == ([32]byte{}) {
		holds = req.sameCall // nobody was promised that a verifier would do
	}
	matches := holds &&
		g.Project == req.Project.Number &&
		(req.ChallengeID == nil || *req.ChallengeID == id) &&
		leadsTo(g, req.Destination)
	switch {
	case !a.DeniedAt.IsZero():
		return collectOver // somebody said that it was not them: see Disown
	case !g.SpentAt.IsZero():
		if matches && g.Session != 0 && now.Sub(g.SpentAt) <= repeatFor && u != nil {
			return collectRepeat
		}
		return collectOver
	case !now.Before(g.ExpiresAt) || u == nil || a.ProvedAt.IsZero():
		return collectOver
	case a.Credential != 0 && byNumber(has, a.Credential) == nil:
		return collectOver // removed, or taken back
	case a.ProvedAt.Before(u.UndoneAt):
		return collectOver // it may be theirs whose credential was taken back
	case !matches:
		g.SpentAt = now
		return collectMismatch
	case !admits(req.Project, a.FormID, u.Identifier):
		g.SpentAt = now
		return collectNotAdmitted
	}
	g.SpentAt, a.CollectedAt = now, now
	return collectOpen
}

// leadsTo reports whether a grant may be collected for a destination: the exact
// one, or for web pages the same origin, because the web SDK sends its page's
// origin whatever the form was opened with (contract 6.1). A collector that
// names none passes only where the attempt had none.
func leadsTo(g *splitpin.Grant, destination string) bool {
	if destination == g.Destination {
		return true
	}
	where := g.Destination
	if where == "" {
		where = g.Origin
	}
	want, ok := splitpin.ParseOrigin(where)
	got, ok2 := splitpin.ParseOrigin(destination)
	return ok && ok2 && want == got && splitpin.IsWeb(want)
}

func parseCode(code string) (number int64, hash [32]byte, ok bool) {
	b, err := base64.RawURLEncoding.Strict().DecodeString(code)
	if err != nil || len(b) != 40 {
		return 0, hash, false
	}
	number = int64(binary.BigEndian.Uint64(b))
	return number, sha256.Sum256([]byte(code)), number > 0
}

// isVerifier admits what published clients send: RFC 7636 allows fewer
// characters, but standard base64 occurs (contract 5.4).
func isVerifier(v string) bool {
	if len(v) < 43 || len(v) > 256 {
		return false
	}
	for i := range len(v) {
		if v[i] <= ' ' || v[i] > '~' {
			return false
		}
	}
	return true
}
