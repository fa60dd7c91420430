package signin

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/splitpin/splitpin"
	"github.com/splitpin/splitpin/account"
)

var (
	ErrNoCredential = &splitpin.Error{Kind: splitpin.NotFound, Code: "not_found",
		Message: "There is no such credential."}
	// ErrLast refuses to remove what a user could not sign in without.
	ErrLast = &splitpin.Error{Kind: splitpin.Conflict, Code: "last_credential",
		Message: "This is the only way left to sign in to your account. Please add another one first."}
	// ErrLabel refuses a name for a credential.
	ErrLabel = &splitpin.Error{Kind: splitpin.Invalid, Code: "invalid_request", Field: "label",
		Message: "A name may have at most 64 characters, and none that cannot be seen."}
	// ErrStale asks somebody who is signed in to prove it once more.
	ErrStale = &splitpin.Error{Kind: splitpin.Forbidden, Code: "proof_too_old",
		Message: "Please confirm that it is you first: this needs a sign-in of the last few minutes."}
)

// recently is how old a proof may be for what changes how somebody signs in (security 30).
const recently = 5 * time.Minute

// Credentials returns what a user can sign in with besides the identifier, newest first.
func (e *Engine) Credentials(ctx context.Context, u *splitpin.User) (_ []*splitpin.Credential, err error) {
	ctx, done := e.observe(ctx, "credentials")
	defer func() { done(err) }()
	r, err := e.store.Load(ctx, splitpin.Reads{User: u.Number, Credentials: true, Sessions: true})
	if err != nil {
		return nil, fmt.Errorf("listing credentials: %w", err)
	}
	now := e.moment()
	return slices.DeleteFunc(r.Credentials, func(c *splitpin.Credential) bool {
		return !e.lives(now, c, r.Sessions) || !c.Kind.Shown()
	}), nil
}

// Remembered returns the browser that was told to remember the sign-in of a session, and
// ends with it; nil: none was.
func (e *Engine) Remembered(ctx context.Context, s *splitpin.Session) (_ *splitpin.Credential, err error) {
	ctx, done := e.observe(ctx, "remembered")
	defer func() { done(err) }()
	r, err := e.store.Load(ctx, splitpin.Reads{User: s.User, Credentials: true})
	if err != nil {
		return nil, fmt.Errorf("loading credentials: %w", err)
	}
	for _, c := range r.Credentials {
		if c.Kind == splitpin.BrowserCredential && c.Session == s.Number && c.Live(e.moment()) {
			return c, nil
		}
	}
	return nil, nil
}

// lives reports whether a credential may still be shown: its time is not over, nor the
// session with which it ends, which is one of sessions then.
func (e *Engine) lives(now time.Time, c *splitpin.Credential, sessions []*splitpin.Session) bool {
	return c.Live(now) && (c.Session == 0 || e.sessionOf(now, c, sessions) != nil)
}

// sessionOf is the live session with which a credential ends.
func (e *Engine) sessionOf(now time.Time, c *splitpin.Credential, sessions []*splitpin.Session) *splitpin.Session {
	return e.liveSession(now, c.Session, sessions)
}

// liveSession is the session with that number among those of a user, while it lives.
func (e *Engine) liveSession(now time.Time, number int64, sessions []*splitpin.Session) *splitpin.Session {
	for _, s := range sessions {
		if s.Number == number && e.tokens.Live(s, now) {
			return s
		}
	}
	return nil
}

// remembered is the credential with that number and the session with which it ends, while
// both last.
func (e *Engine) remembered(now time.Time, r *splitpin.Records, number int64) (*splitpin.Credential, *splitpin.Session) {
	c := byNumber(r.Credentials, number)
	if c == nil || !c.Live(now) {
		return nil, nil
	}
	was := e.sessionOf(now, c, r.Sessions)
	if was == nil {
		return nil, nil
	}
	return c, was
}

// Facts returns what the method that made a credential says of it.
func (e *Engine) Facts(c *splitpin.Credential) []string {
	for _, m := range e.methods {
		if t, ok := m.(Teller); ok && t.Knows() == c.Kind {
			return t.Facts(c)
		}
	}
	return nil
}

// Connected returns the accounts at providers that a user connected, newest first, with what
// those gave us: for backends.
func (e *Engine) Connected(ctx context.Context, u *splitpin.User) (_ []Connection, err error) {
	ctx, done := e.observe(ctx, "connected")
	defer func() { done(err) }()
	r, err := e.store.Load(ctx, splitpin.Reads{User: u.Number, Credentials: true})
	if err != nil {
		return nil, fmt.Errorf("listing credentials: %w", err)
	}
	var out []Connection
	for _, c := range r.Credentials {
		for _, m := range e.methods {
			connector, ok := m.(Connector)
			if !ok || c.Kind != splitpin.SocialCredential {
				continue
			}
			at, err := connector.Account(c)
			if err != nil {
				return nil, fmt.Errorf("reading a credential: %w", err)
			}
			out = append(out, Connection{at, c})
		}
	}
	return out, nil
}

// A Connection is an account at a provider, and the credential that it is here.
type Connection struct {
	ProviderAccount
	Credential *splitpin.Credential
}

// Disconnect takes an account at a provider from its user, as a backend asks for it, and ends
// the sessions that it opened. Its errors are ErrNoCredential and ErrLast.
func (e *Engine) Disconnect(ctx context.Context, u *splitpin.User, number int64, by Caller) (err error) {
	ctx, done := e.observe(ctx, "disconnect")
	defer func() { done(err) }()
	return e.remove(ctx, u, number, 0, splitpin.SocialCredential, by)
}

// Rename gives a credential another name. Its errors are ErrNoCredential and ErrLabel.
func (e *Engine) Rename(ctx context.Context, u *splitpin.User, number int64, label string) (err error) {
	ctx, done := e.observe(ctx, "rename_credential")
	defer func() { done(err) }()
	label, ok := account.Label(label)
	if !ok {
		return ErrLabel
	}
	return e.changeCredential(ctx, u.Number, func(r *splitpin.Records) (splitpin.Writes, error) {
		c := shownByNumber(r.Credentials, number)
		if c == nil {
			return splitpin.Writes{}, ErrNoCredential
		}
		c.Label = label
		return splitpin.Writes{Put: []splitpin.Record{c}}, nil
	})
}

// Remove takes a credential from its user, and ends the sessions that it opened. s is
// the session in which the user asks: it must be fresh, and is not ended itself. Its
// errors are ErrNoCredential, ErrLast and ErrStale.
func (e *Engine) Remove(ctx context.Context, s *splitpin.Session, u *splitpin.User, number int64, by Caller) (err error) {
	ctx, done := e.observe(ctx, "remove_credential")
	defer func() { done(err) }()
	now := e.moment()
	if !provedLately(now, s) {
		return ErrStale
	}
	return e.remove(ctx, u, number, s.Number, "", by)
}

// remove takes a credential of that kind, or of any where kind is empty, from its user.
func (e *Engine) remove(ctx context.Context, u *splitpin.User, number, spared int64, kind splitpin.CredentialKind, by Caller) error {
	now := e.moment()
	p, err := e.ProjectByNumber(u.Project)
	if err != nil {
		return fmt.Errorf("finding the project of a user: %w", err)
	}
	event, err := e.store.NextNumber(ctx)
	if err != nil {
		return fmt.Errorf("asking for a number: %w", err)
	}
	return e.changeCredential(ctx, u.Number, func(r *splitpin.Records) (splitpin.Writes, error) {
		c := shownByNumber(r.Credentials, number)
		if c == nil || r.User == nil || kind != "" && c.Kind != kind {
			return splitpin.Writes{}, ErrNoCredential
		}
		if !account.CanDoWithout(now, p, r.User, c, e.taken(p, r.Credentials), e.sendsTo(p, r.User)) {
			return splitpin.Writes{}, ErrLast
		}
		return e.without(event, now, r, c, spared, by, "credential_removed")
	})
}

// sendsTo reports whether a project offers a method that reaches a user by a message.
func (e *Engine) sendsTo(p *splitpin.Project, u *splitpin.User) bool {
	for _, name := range e.Offered(p) {
		m, ok := e.methods[name].(Messenger)
		if !ok {
			continue
		}
		channels := e.Channels(p, name)
		if _, chooses := m.(Chooser); !chooses {
			channels = []splitpin.Channel{m.Message(&splitpin.Attempt{Project: p.Number, Method: name, Identifier: u.Identifier, Kind: u.Kind}).Channel}
		}
		for _, c := range channels {
			if (c == splitpin.EmailChannel) == (u.Kind == splitpin.Email) {
				return true
			}
		}
	}
	return false
}

// taken are the credentials that a project takes: those of methods and providers that it
// offers.
func (e *Engine) taken(p *splitpin.Project, all []*splitpin.Credential) []*splitpin.Credential {
	return slices.DeleteFunc(slices.Clone(all), func(c *splitpin.Credential) bool {
		return !slices.ContainsFunc(e.Offered(p), func(name string) bool { return takes(p, e.methods[name], c) })
	})
}

func takes(p *splitpin.Project, m Method, c *splitpin.Credential) bool {
	switch m := m.(type) {
	case Knower:
		return m.Knows() == c.Kind
	case Connector:
		at, err := m.Account(c)
		return c.Kind == splitpin.SocialCredential && err == nil &&
			slices.ContainsFunc(p.Settings.Providers, func(of splitpin.Provider) bool { return of.Name == at.Provider })
	}
	return false
}

// without removes a credential and ends the sessions that it opened, but not that with
// the number spared.
func (e *Engine) without(event int64, now time.Time, r *splitpin.Records, c *splitpin.Credential, spared int64, by Caller, kind string) (splitpin.Writes, error) {
	w := ended(now, r, c, spared)
	line, err := e.sessionEvent(event, now, r.User, 0, by, kind)
	if err != nil {
		return splitpin.Writes{}, err
	}
	line.Detail = string(c.Kind)
	w.Create = append(w.Create, line)
	return w, nil
}

// ended is what removing a credential changes: with it end the sessions that it opened,
// and the one that it would have ended with, but not that with the number spared.
func ended(now time.Time, r *splitpin.Records, c *splitpin.Credential, spared int64) splitpin.Writes {
	w := splitpin.Writes{Delete: []splitpin.Record{c}}
	for _, s := range r.Sessions {
		if (s.Credential == c.Number || s.Number == c.Session) && s.Number != spared {
			s.RevokedAt = now
			w.Put = append(w.Put, s)
		}
	}
	return w
}

func (e *Engine) changeCredential(ctx context.Context, user int64, decide func(*splitpin.Records) (splitpin.Writes, error)) error {
	err := e.store.Change(ctx, splitpin.Reads{User: user, Credentials: true, Sessions: true}, decide)
	if err != nil {
		return fmt.Errorf("changing a credential: %w", err)
	}
	return nil
}

// shownByNumber finds a credential that a person may see and remove. Notes of ours, which
// lie among them, are none.
func shownByNumber(credentials []*splitpin.Credential, number int64) *splitpin.Credential {
	if c := byNumber(credentials, number); c != nil && c.Kind.Shown() {
		return c
	}
	return nil
}

func byNumber(credentials []*splitpin.Credential, number int64) *splitpin.Credential {
	for _, c := range credentials {
		if c.Number == number {
			return c
		}
	}
	return nil
}

// provedLately reports whether the person behind a session proved something lately.
func provedLately(now time.Time, s *splitpin.Session) bool {
	return !s.AuthAt.IsZero() && now.Sub(s.AuthAt) <= recently
}
