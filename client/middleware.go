package client

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
)

// TokenCookie is the name of the cookie that holds an access token, where a
// [Site] keeps the token instead of a session of its own. The prefix makes
// browsers refuse it without Secure, with a Domain, or from a sub-domain.
const TokenCookie = "__Host-access"

type tokenKey struct{}

// FromContext returns the token that [Verifier.Require] or [Site.Require] found
// on the request. With a session of the app's own there is none.
func FromContext(ctx context.Context) (*Token, bool) {
	t, ok := ctx.Value(tokenKey{}).(*Token)
	return t, ok
}

// Require is middleware for an API: it lets a request through to next when it
// carries a valid access token, as "Authorization: Bearer …" or else in the cookie
// [TokenCookie], and refuses it otherwise as RFC 6750 says:
//
//   - no token: 401 with a plain challenge
//   - a token that is not valid: 401 with error="invalid_token"
//   - the keys cannot be had: 503, so that nobody is logged out by an outage
//
// A request that changes something (anything but GET, HEAD and OPTIONS) and is
// authenticated by the cookie must come from this origin: 403 otherwise. Requests
// with a bearer token may come from anywhere, as no browser adds one by itself.
func (v *Verifier) Require(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		t, err := v.fromRequest(r, TokenCookie, sameOrigin)
		if err != nil {
			v.refuse(w, r, err)
			return
		}
		next.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), tokenKey{}, t)))
	})
}

// sameOrigin refuses changing requests from other origins (Sec-Fetch-Site, and
// Origin where a browser does not send that).
var sameOrigin = http.NewCrossOriginProtection()

var errCrossOrigin = errors.New("the request comes from a page of another origin")

// fromRequest finds and verifies the token of a request.
func (v *Verifier) fromRequest(r *http.Request, cookie string, origins *http.CrossOriginProtection) (*Token, error) {
	token, err := bearer(r)
	if errors.Is(err, ErrNoToken) {
		c, noCookie := r.Cookie(cookie)
		if noCookie != nil || c.Value == "" {
			return nil, ErrNoToken
		}
		if err := origins.Check(r); err != nil {
			return nil, fmt.Errorf("%w: %w", errCrossOrigin, err)
		}
		token, err = c.Value, nil
	}
	if err != nil {
		return nil, err
	}
	return v.Verify(r.Context(), token)
}

// bearer returns the bearer token of a request, or ErrNoToken if it has none.
func bearer(r *http.Request) (string, error) {
	headers := r.Header.Values("Authorization")
	if len(headers) > 1 {
		return "", fmt.Errorf("%w: the request has several Authorization headers", ErrMalformed)
	}
	if len(headers) == 0 {
		return "", ErrNoToken
	}
	scheme, token, _ := strings.Cut(headers[0], " ")
	if !strings.EqualFold(scheme, "Bearer") {
		return "", ErrNoToken // somebody else's scheme
	}
	return strings.TrimLeft(token, " "), nil
}

// refuse answers a request whose token is missing or not valid. What is wrong in
// detail is for the log.
func (v *Verifier) refuse(w http.ResponseWriter, r *http.Request, err error) {
	w.Header().Set("Cache-Control", "no-store")
	realm := `Bearer realm="` + realmText(v.project) + `"`
	switch {
	case errors.Is(err, ErrNoToken):
		w.Header().Set("WWW-Authenticate", realm)
		http.Error(w, "Please sign in", http.StatusUnauthorized)
	case errors.Is(err, ErrInvalidToken):
		v.log.Info("refusing an access token", "path", r.URL.Path, "error", err)
		w.Header().Set("WWW-Authenticate", realm+`, error="invalid_token", error_description="`+description(err)+`"`)
		http.Error(w, "Invalid access token", http.StatusUnauthorized)
	case errors.Is(err, ErrKeysUnavailable):
		v.unavailable(w, r, err)
	case errors.Is(err, errCrossOrigin):
		v.log.Info("refusing a request from another origin", "path", r.URL.Path, "error", err)
		http.Error(w, "This page may not do that here", http.StatusForbidden)
	default:
		v.log.Error("authenticating a request", "path", r.URL.Path, "error", err)
		http.Error(w, "Something went wrong on our side", http.StatusInternalServerError)
	}
}

func (v *Verifier) unavailable(w http.ResponseWriter, r *http.Request, err error) {
	v.log.Error("verifying an access token", "path", r.URL.Path, "error", err)
	w.Header().Set("Retry-After", "5")
	http.Error(w, "Signing in is not possible at the moment, please try again", http.StatusServiceUnavailable)
}

// description returns the fixed part of a fault: nothing that somebody sent.
func description(err error) string {
	var f fault
	if errors.As(err, &f) {
		return f.Error()
	}
	return ErrInvalidToken.Error()
}

// realmText drops what may not stand in a quoted string.
func realmText(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r > '~' || r == '"' || r == '\\' {
			return -1
		}
		return r
	}, s)
}
