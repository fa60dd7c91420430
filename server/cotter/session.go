package cotter

import (
	"errors"
	"net/http"
	"strings"
	"time"

	"github.com/splitpin/splitpin"
	"github.com/splitpin/splitpin/server/edge"
	"github.com/splitpin/splitpin/signin"
	"github.com/splitpin/splitpin/token"
)

// refreshCookie carries the refresh token of a page whose project lists it. Its
// path holds the project, so that one browser keeps one for each.
const refreshCookie = "__Secure-rft"

// refresh is POST /token and POST /token/{api_key_id}. Both treat a session
// alike: whether its token rotates was fixed at its birth (security 19).
func (f *Face) refresh(c *call) (any, error) {
	var body struct {
		GrantType     string              `json:"grant_type"`
		RefreshToken  string              `json:"refresh_token"`
		IdentityToken token.IdentityToken `json:"identity_token"`
	}
	if err := edge.ReadJSON(c.w, c.r, &body); err != nil {
		return nil, err
	}
	switch body.GrantType {
	case "refresh_token":
	case "identity_token":
		return f.exchange(c, body.IdentityToken)
	case "event_token":
		return nil, errEvents
	default:
		return nil, errGrantType
	}
	presented, fromCookie := given(body.RefreshToken), false
	if presented == "" {
		cookie, err := c.cookie()
		if err != nil {
			return nil, err
		}
		presented, fromCookie = cookie, true
	}
	if presented == "" {
		return nil, signin.ErrRefresh // nobody is logged in: pages stop asking
	}
	out, err := f.engine.Refresh(c.r.Context(), signin.RefreshRequest{
		Project: c.project, Token: splitpin.Secret(presented), By: c.by,
	})
	if err != nil {
		if fromCookie && errors.Is(err, signin.ErrRefresh) {
			c.dropCookie() // it will never work again
		}
		return nil, err
	}
	c.keepCookie(f.edge.Clock(), out.Session, out.Tokens.RefreshToken)
	return tokensOf(out.Tokens), nil
}

// exchange is the grant identity_token of POST /token, for backends.
func (f *Face) exchange(c *call, shown token.IdentityToken) (any, error) {
	if !c.trusted {
		return nil, edge.ErrSecret
	}
	out, err := f.engine.Exchange(c.r.Context(), c.project, shown, c.by)
	if err != nil {
		return nil, err
	}
	return tokensOf(out.Tokens), nil
}

// logout is DELETE /token/{api_key_id}. The web SDK sends no token, so the cookie
// says which session ends. Whoever shows none, or one that is over, is logged out
// and gets 200 like everybody: for any other answer the SDK would keep its user.
// Only a session that should have ended and could not is an error.
func (f *Face) logout(c *call) (any, error) {
	if c.origin() != "" {
		cookie, err := c.cookie()
		if err != nil {
			return nil, err
		}
		if cookie != "" {
			err := f.engine.Logout(c.r.Context(), signin.RefreshRequest{
				Project: c.project, Token: splitpin.Secret(cookie), By: c.by,
			})
			if err != nil {
				return nil, err
			}
		}
		c.dropCookie()
	}
	return struct {
		Success bool `json:"success"`
	}{true}, nil
}

// cookie returns the refresh token of the cookie, or nothing. A cookie travels
// with what any page asks for, so it counts only where the request says that it
// comes from a page the project lists; browsers always say so on POST and DELETE.
func (c *call) cookie() (string, error) {
	cookie, err := c.r.Cookie(refreshCookie)
	if err != nil || given(cookie.Value) == "" {
		return "", nil
	}
	if c.origin() == "" {
		return "", errCookieOrigin
	}
	return cookie.Value, nil
}

// keepCookie gives a listed page the cookie of its session. Apps get none: what
// has no cookie jar would ignore it, and a static token must stay out of
// browsers.
func (c *call) keepCookie(now time.Time, s *splitpin.Session, refresh splitpin.Secret) {
	if s.Static || c.origin() == "" {
		return
	}
	c.setCookie(refresh.Reveal(), max(1, int(s.IdleUntil.Sub(now)/time.Second))) // never after s.ExpiresAt
}

func (c *call) dropCookie() { c.setCookie("", -1) }

func (c *call) setCookie(value string, maxAge int) {
	http.SetCookie(c.w, &http.Cookie{
		Name: refreshCookie, Value: value, Path: c.cookiePath(), MaxAge: maxAge,
		Secure: true, HttpOnly: true, SameSite: http.SameSiteNoneMode, Partitioned: true,
	})
}

// cookiePath is where this client will refresh: below the base that it asked at,
// with the key as it spells it, since browsers compare paths letter by letter.
func (c *call) cookiePath() string {
	base, _, _ := strings.Cut(c.r.URL.EscapedPath(), apiBase+"/")
	key := c.project.ID
	for _, spelling := range []string{c.r.PathValue("api_key_id"), c.r.Header.Get("API_KEY_ID")} {
		if spelling != "" {
			key = spelling // edge.Project saw to it that only its case may differ
			break
		}
	}
	return base + apiBase + "/token/" + key
}
