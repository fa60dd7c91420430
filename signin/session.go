package signin

import (
	"context"
	"crypto/sha256"
	"fmt"
	"time"

	"github.com/splitpin/splitpin"
	"github.com/splitpin/splitpin/token"
)

var (
	// ErrRefresh is every final reason why a refresh token gives no tokens. Its
	// words contain what the web SDK looks for (contract 7.1).
	ErrRefresh = &splitpin.Error{Kind: splitpin.Invalid, Code: "refresh_invalid",
		Message: "Refresh token is not valid"}
	// ErrToken refuses an access token.
	ErrToken = &splitpin.Error{Kind: splitpin.Unauthenticated, Code: "unauthenticated",
		Message: "Please sign in again."}
	ErrNoSession = &splitpin.Error{Kind: splitpin.NotFound, Code: "not_found",
		Message: "There is no such session."}
)

// A RefreshRequest asks for fresh tokens.
type RefreshRequest struct {
	Project *splitpin.Project
	Token   splitpin.Secret
	By      Caller
}

// Refreshed is a session and its fresh tokens.
type Refreshed struct {
	Session *splitpin.Session
	User    *splitpin.User
	Tokens  token.Set
}

// Refresh moves a session on. Which tokens it takes is decided by
// token.Service.DecideRefresh; its final error is ErrRefresh, and any other is
// worth another try and destroys nothing.
func (e *Engine) Refresh(ctx context.Context, req RefreshRequest) (_ *Refreshed, err error) {
	ctx, done := e.observe(ctx, "refresh")
	defer func() { done(err) }()
	return e.renew(ctx, req, nil)
}

// renew is Refresh. Where alter is set, it changes the session in the same step, and
// returns what the audit log says of it; what it refuses leaves the session as it
// was.
func (e *Engine) renew(ctx context.Context, req RefreshRequest, alter func(*splitpin.Session) (kind string, err error)) (*Refreshed, error) {
	now := e.moment()
	presented, err := token.ParseRefresh(req.Token.Reveal())
	if err != nil {
		return nil, e.forged(ctx, now, req.By)
	}
	if e.suspects.lookFirst(now, req.By) {
		forged, err := e.isForged(ctx, now, req, presented)
		if err != nil {
			return nil, err
		}
		if forged {
			return nil, e.forged(ctx, now, req.By)
		}
	}
	number, err := e.store.NextNumber(ctx)
	if err != nil {
		return nil, fmt.Errorf("asking for a number: %w", err)
	}
	var (
		verdict token.Verdict
		out     Refreshed
	)
	err = e.store.Change(ctx, splitpin.Reads{Session: presented.Session}, func(r *splitpin.Records) (splitpin.Writes, error) {
		s := r.Session
		out = Refreshed{Session: s, User: r.User}
		verdict = token.Forged
		if s == nil || r.User == nil || s.Project != req.Project.Number {
			return splitpin.Writes{}, nil
		}
		if s.Static && req.By.Browser {
			verdict = token.Ended // a copied token in a page: refuse, and keep the app's session
			return splitpin.Writes{}, nil
		}
		before := *s
		var err error
		if verdict, err = e.tokens.DecideRefresh(req.Project, s, presented, now); err != nil {
			return splitpin.Writes{}, err
		}
		kind := ""
		switch {
		case verdict == token.Reused || verdict == token.Ahead:
			kind = "refresh_" + verdict.String()
		case alter != nil && (verdict == token.Rotated || verdict == token.Same):
			if kind, err = alter(s); err != nil {
				return splitpin.Writes{}, err
			}
		}
		w := splitpin.Writes{}
		if *s != before {
			w.Put = append(w.Put, s)
		}
		if kind != "" {
			event, err := e.sessionEvent(number, now, r.User, s.Number, req.By, kind)
			if err != nil {
				return splitpin.Writes{}, err
			}
			w.Create = append(w.Create, event)
		}
		return w, nil
	})
	if err != nil {
		return nil, fmt.Errorf("refreshing a session: %w", err)
	}
	if verdict == token.Forged {
		return nil, e.forged(ctx, now, req.By)
	}
	e.suspects.genuine(now, req.By)
	switch verdict {
	case token.Rotated, token.Same:
		out.Tokens, err = e.tokens.Mint(req.Project, out.User, out.Session)
		if err != nil {
			return nil, fmt.Errorf("signing tokens: %w", err)
		}
		return &out, nil
	}
	return nil, ErrRefresh
}

// isForged looks at a refresh token without a step that could write. What it finds
// genuine may be so no longer when it is spent: that step looks again.
func (e *Engine) isForged(ctx context.Context, now time.Time, req RefreshRequest, presented token.Presented) (bool, error) {
	r, err := e.store.Load(ctx, splitpin.Reads{Session: presented.Session})
	if err != nil {
		return false, fmt.Errorf("loading a session: %w", err)
	}
	if r.Session == nil || r.User == nil || r.Session.Project != req.Project.Number {
		return true, nil
	}
	verdict, err := e.tokens.DecideRefresh(req.Project, r.Session, presented, now)
	return verdict == token.Forged, err
}

// forged counts a token that is not genuine against its network. It touches no
// session.
func (e *Engine) forged(ctx context.Context, now time.Time, by Caller) error {
	e.suspects.garbage(now, by)
	refused, wait, err := e.take(ctx, now, splitpin.Charge{
		Key: splitpin.LimitKey("forged", by.Network()), Burst: forgedPerNetwork, Period: networkPeriod, Cost: 1})
	if err != nil {
		return fmt.Errorf("charging the limits: %w", err)
	}
	if refused >= 0 {
		return ErrManyForged.After(wait)
	}
	return ErrRefresh
}

// Logout ends the session of a genuine refresh token. One that was superseded
// longer ago than the grace ends it too, as it would at Refresh, and the audit
// log says so. Logout is content with anything: who logs out is logged out.
func (e *Engine) Logout(ctx context.Context, req RefreshRequest) (err error) {
	ctx, done := e.observe(ctx, "logout")
	defer func() { done(err) }()
	now := e.moment()
	presented, err := token.ParseRefresh(req.Token.Reveal())
	if err != nil {
		return nil
	}
	if e.suspects.lookFirst(now, req.By) {
		if forged, err := e.isForged(ctx, now, req, presented); forged || err != nil {
			return err
		}
	}
	number, err := e.store.NextNumber(ctx)
	if err != nil {
		return fmt.Errorf("asking for a number: %w", err)
	}
	verdict := token.Forged
	err = e.store.Change(ctx, splitpin.Reads{Session: presented.Session}, func(r *splitpin.Records) (_ splitpin.Writes, err error) {
		verdict = token.Forged
		s := r.Session
		if s == nil || r.User == nil || s.Project != req.Project.Number {
			return splitpin.Writes{}, nil
		}
		if !s.RevokedAt.IsZero() {
			verdict = token.Ended
			return splitpin.Writes{}, nil
		}
		if verdict, err = e.tokens.DecideRefresh(req.Project, s, presented, now); err != nil {
			return splitpin.Writes{}, err
		}
		if verdict == token.Forged || verdict == token.Ahead || verdict == token.Ended {
			return splitpin.Writes{}, nil
		}
		kind := "logged_out"
		if verdict == token.Reused {
			kind = "refresh_reused"
		}
		return e.end(number, now, s, r.User, req.By, kind)
	})
	if err != nil {
		return fmt.Errorf("ending a session: %w", err)
	}
	if verdict == token.Forged {
		e.suspects.garbage(now, req.By)
	} else {
		e.suspects.genuine(now, req.By)
	}
	return nil
}

// Authenticate verifies an access token and returns its session and user. The
// session must still live: a token outlives its session elsewhere, not here.
// Its error is ErrToken.
func (e *Engine) Authenticate(ctx context.Context, p *splitpin.Project, access splitpin.Secret) (_ *splitpin.Session, _ *splitpin.User, err error) {
	ctx, done := e.observe(ctx, "authenticate")
	defer func() { done(err) }()
	claims, err := e.tokens.Verify(p, access.Reveal())
	if err != nil {
		return nil, nil, ErrToken.Because(err)
	}
	r, err := e.store.Load(ctx, splitpin.Reads{Session: claims.Session})
	if err != nil {
		return nil, nil, fmt.Errorf("loading a session: %w", err)
	}
	if r.Session == nil || r.User == nil || !e.tokens.Live(r.Session, e.moment()) ||
		r.Session.Project != p.Number || r.User.ID != claims.Subject {
		return nil, nil, ErrToken
	}
	return r.Session, r.User, nil
}

// AuthenticateOnce is Authenticate for a token that came where others may have seen it, in
// an address. It takes each token once; its error is ErrToken.
func (e *Engine) AuthenticateOnce(ctx context.Context, p *splitpin.Project, access splitpin.Secret) (_ *splitpin.Session, _ *splitpin.User, err error) {
	ctx, done := e.observe(ctx, "authenticate_once")
	defer func() { done(err) }()
	session, u, err := e.Authenticate(ctx, p, access)
	if err != nil {
		return nil, nil, err
	}
	claims, err := e.tokens.Verify(p, access.Reveal())
	if err != nil {
		return nil, nil, ErrToken.Because(err)
	}
	number, err := e.store.NextNumber(ctx)
	if err != nil {
		return nil, nil, fmt.Errorf("asking for a number: %w", err)
	}
	// By its id: the same token can be written in two ways.
	now, id := e.moment(), claims.ID
	taken := &splitpin.Credential{Number: number, Project: p.Number, User: u.Number, Kind: splitpin.TokenCredential,
		Key: sha256.Sum256(id[:]), CreatedAt: now, ExpiresAt: claims.ExpiresAt.Add(time.Hour)}
	err = e.store.Change(ctx, splitpin.Reads{User: u.Number, Credentials: true}, func(r *splitpin.Records) (splitpin.Writes, error) {
		for _, c := range r.Credentials {
			if c.Kind == taken.Kind && c.Key == taken.Key {
				return splitpin.Writes{}, ErrToken
			}
		}
		if r.User == nil {
			return splitpin.Writes{}, ErrToken
		}
		return splitpin.Writes{Create: []splitpin.Record{taken}}, nil
	})
	if err != nil {
		return nil, nil, fmt.Errorf("taking a token once: %w", err)
	}
	return session, u, nil
}

// Sessions returns the live sessions of a user, newest first.
func (e *Engine) Sessions(ctx context.Context, u *splitpin.User) (_ []*splitpin.Session, err error) {
	ctx, done := e.observe(ctx, "list_sessions")
	defer func() { done(err) }()
	all, err := e.store.Sessions(ctx, u.Number)
	if err != nil {
		return nil, fmt.Errorf("listing sessions: %w", err)
	}
	now, live := e.moment(), all[:0]
	for _, s := range all {
		if e.tokens.Live(s, now) {
			live = append(live, s)
		}
	}
	return live, nil
}

// EndSession ends one session of a user. Its error is ErrNoSession when the
// session is not theirs or over.
func (e *Engine) EndSession(ctx context.Context, u *splitpin.User, session int64, by Caller) (err error) {
	ctx, done := e.observe(ctx, "end_session")
	defer func() { done(err) }()
	now := e.moment()
	number, err := e.store.NextNumber(ctx)
	if err != nil {
		return fmt.Errorf("asking for a number: %w", err)
	}
	err = e.store.Change(ctx, splitpin.Reads{Session: session}, func(r *splitpin.Records) (splitpin.Writes, error) {
		s := r.Session
		if s == nil || r.User == nil || s.User != u.Number || !e.tokens.Live(s, now) {
			return splitpin.Writes{}, ErrNoSession
		}
		return e.end(number, now, s, r.User, by, "session_ended")
	})
	if err != nil {
		return fmt.Errorf("ending a session: %w", err)
	}
	return nil
}

// EndSessions ends every session of a user but keep, which may be zero. What was proved
// before, and opened none yet, opens none any more. It returns how many it ended.
func (e *Engine) EndSessions(ctx context.Context, u *splitpin.User, keep int64, by Caller) (_ int, err error) {
	ctx, done := e.observe(ctx, "end_sessions")
	defer func() { done(err) }()
	now := e.moment()
	number, err := e.store.NextNumber(ctx)
	if err != nil {
		return 0, fmt.Errorf("asking for a number: %w", err)
	}
	ended := 0
	err = e.store.Change(ctx, splitpin.Reads{User: u.Number, Sessions: true}, func(r *splitpin.Records) (splitpin.Writes, error) {
		ended = 0
		w := splitpin.Writes{}
		for _, s := range r.Sessions {
			if s.Number == keep || !e.tokens.Live(s, now) {
				continue
			}
			s.RevokedAt = now
			w.Put = append(w.Put, s)
			ended++
		}
		if r.User == nil {
			return splitpin.Writes{}, nil
		}
		r.User.UndoneAt = now
		w.Put = append(w.Put, r.User)
		if ended == 0 {
			return w, nil
		}
		event, err := e.sessionEvent(number, now, r.User, 0, by, "sessions_ended")
		if err != nil {
			return splitpin.Writes{}, err
		}
		event.Detail = fmt.Sprintf("%d sessions", ended)
		w.Create = append(w.Create, event)
		return w, nil
	})
	if err != nil {
		return 0, fmt.Errorf("ending sessions: %w", err)
	}
	return ended, nil
}

func (e *Engine) end(number int64, now time.Time, s *splitpin.Session, u *splitpin.User, by Caller, kind string) (splitpin.Writes, error) {
	s.RevokedAt = now
	event, err := e.sessionEvent(number, now, u, s.Number, by, kind)
	if err != nil {
		return splitpin.Writes{}, err
	}
	return splitpin.Writes{Put: []splitpin.Record{s}, Create: []splitpin.Record{event}}, nil
}

// sessionEvent is what happened to one session of a user, or to several where
// session is zero. It names the network of who did it.
func (e *Engine) sessionEvent(number int64, now time.Time, u *splitpin.User, session int64, by Caller, kind string) (*splitpin.AuditEvent, error) {
	subject, err := e.Subject(u.Project, u.Identifier)
	if err != nil {
		return nil, err
	}
	return &splitpin.AuditEvent{Number: number, Project: u.Project, At: now, Kind: kind, Subject: subject,
		User: u.Number, Session: session, Network: by.Network()}, nil
}
