package signin

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/splitpin/splitpin"
	"github.com/splitpin/splitpin/token"
)

// ErrOtherSession refuses a refresh token that is not from the sign-in of the token
// it came with.
var ErrOtherSession = &splitpin.Error{Kind: splitpin.Invalid, Code: "invalid_request", Field: "refresh_token",
	Message: "The token and the refresh token are from two different sign-ins. Send both from one."}

// A ClaimsRequest adds claims to a token that a backend was shown. Only a backend
// that showed a server secret may ask.
type ClaimsRequest struct {
	Project *splitpin.Project
	Token   splitpin.Secret // an access or id token
	Claims  json.RawMessage // an object: see token.ParseCustom
	Refresh splitpin.Secret // of the same session; empty: only this one token gets the claims
	By      Caller
}

// An Extended is a token with more claims, and where a refresh token was shown the
// one that is current now.
type Extended struct {
	Token        splitpin.Secret
	RefreshToken splitpin.Secret
}

// AddClaims adds claims to a token, whose kind and times stay as they are. With a
// refresh token it adds them to the session too: every later token of the session
// has them. What has a name that was there before takes its place, and null takes it
// away. Its errors are token.ErrClaims, ErrToken, ErrOtherSession and those of
// Refresh.
func (e *Engine) AddClaims(ctx context.Context, req ClaimsRequest) (_ *Extended, err error) {
	ctx, done := e.observe(ctx, "add_claims")
	defer func() { done(err) }()
	if _, err := token.ParseCustom(req.Claims); err != nil {
		return nil, err
	}
	shown, err := e.tokens.Inspect(req.Project, req.Token)
	if err != nil {
		return nil, ErrToken.Because(err)
	}
	r, err := e.store.Load(ctx, splitpin.Reads{Session: shown.Session})
	if err != nil {
		return nil, fmt.Errorf("loading a session: %w", err)
	}
	if r.Session == nil || r.User == nil || !e.tokens.Live(r.Session, e.moment()) ||
		r.Session.Project != req.Project.Number || r.User.ID != shown.Subject {
		return nil, ErrToken
	}
	custom, err := shown.Custom.Merge(req.Claims)
	if err != nil {
		return nil, err
	}
	out := &Extended{}
	if req.Refresh != "" {
		if presented, err := token.ParseRefresh(req.Refresh.Reveal()); err == nil && presented.Session != shown.Session {
			return nil, ErrOtherSession
		}
		renewed, err := e.renew(ctx, RefreshRequest{Project: req.Project, Token: req.Refresh, By: req.By},
			func(s *splitpin.Session) (string, error) {
				claims, err := token.Custom(s.Claims).Merge(req.Claims)
				s.Claims = string(claims)
				return "claims_added", err
			})
		if err != nil {
			return nil, err
		}
		out.RefreshToken = renewed.Tokens.RefreshToken
	}
	out.Token, err = e.tokens.Reissue(req.Project, r.User, r.Session, shown, custom)
	if err != nil {
		return nil, fmt.Errorf("signing a token anew: %w", err)
	}
	return out, nil
}

// SetClaims puts claims in the place of all that a backend had added to a session of
// u. Tokens have them from the next refresh on. Its errors are token.ErrClaims and
// ErrNoSession.
func (e *Engine) SetClaims(ctx context.Context, u *splitpin.User, session int64, claims json.RawMessage, by Caller) (_ *splitpin.Session, err error) {
	ctx, done := e.observe(ctx, "set_claims")
	defer func() { done(err) }()
	custom, err := token.ParseCustom(claims)
	if err != nil {
		return nil, err
	}
	now := e.moment()
	number, err := e.store.NextNumber(ctx)
	if err != nil {
		return nil, fmt.Errorf("asking for a number: %w", err)
	}
	var changed *splitpin.Session
	err = e.store.Change(ctx, splitpin.Reads{Session: session}, func(r *splitpin.Records) (splitpin.Writes, error) {
		s := r.Session
		if s == nil || r.User == nil || s.User != u.Number || !e.tokens.Live(s, now) {
			return splitpin.Writes{}, ErrNoSession
		}
		s.Claims = string(custom)
		changed = s
		event, err := e.sessionEvent(number, now, r.User, s.Number, by, "claims_set")
		if err != nil {
			return splitpin.Writes{}, err
		}
		return splitpin.Writes{Put: []splitpin.Record{s}, Create: []splitpin.Record{event}}, nil
	})
	if err != nil {
		return nil, fmt.Errorf("setting the claims of a session: %w", err)
	}
	return changed, nil
}
