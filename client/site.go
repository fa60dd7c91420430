package client

import (
	"bytes"
	"cmp"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"mime"
	"net/http"
	"net/url"
	"strings"
	"time"
)

const (
	maxLogin    = 64 << 10        // bytes of a login payload
	maxAge      = 5 * time.Minute // of the token in a login payload
	sessionLife = 7 * 24 * time.Hour
	maxCookie   = 3800 // bytes of a token that browsers still take as a cookie

	sessionCookie = "__Host-session"
)

// SiteConfig says how a [Site] logs people in. Verifier, Users and URL are
// required.
type SiteConfig struct {
	Verifier *Verifier
	Users    Users

	// URL is the address under which browsers reach this backend:
	// "https://api.example.com". With http, which is for localhost only, cookies
	// carry neither the __Host- prefix nor Secure, as not every browser takes those
	// there.
	URL string

	// FrontEnds are the origins of pages elsewhere that may call this backend with
	// cookies: "https://www.example.com", scheme, host and port exactly. Not needed
	// for pages of URL itself. Such a page must be of the same site (example.com),
	// as the cookies are SameSite=Lax.
	FrontEnds []string

	// Sessions keeps who is logged in, in the app's own table. Nil means that the
	// access token itself is kept in a cookie, and verified with each request: the
	// person is logged out when it expires, within the hour, and the page logs in
	// again with the next token that its SDK fetches. The refresh token stays with
	// the SDK; this package never keeps one.
	Sessions Sessions

	// SessionLife is how long a session of the app lasts. Zero means 7 days. It does
	// not end with the session at the sign-in server.
	SessionLife time.Duration
}

// A Site logs people in at one backend: what Cotter's documentation asks a
// backend to do after sign-in. Its handlers are registered without a method, as
// they answer preflight requests too:
//
//	mux.Handle("/login", site.Login())
//	mux.Handle("/logout", site.Logout())
//	mux.Handle("/me", site.Require(me))
type Site struct {
	verifier *Verifier
	users    Users
	sessions Sessions
	life     time.Duration

	origins   *http.CrossOriginProtection
	frontEnds map[string]bool
	secure    bool // cookies
	now       func() time.Time
	log       *slog.Logger
}

// NewSite checks the configuration.
func NewSite(c SiteConfig) (*Site, error) {
	if c.Verifier == nil || c.Users == nil {
		return nil, errors.New("client: a Site needs a Verifier and Users")
	}
	if err := checkURL("SiteConfig.URL", c.URL); err != nil {
		return nil, err
	}
	s := &Site{
		verifier:  c.Verifier,
		users:     c.Users,
		sessions:  c.Sessions,
		life:      cmp.Or(c.SessionLife, sessionLife),
		origins:   http.NewCrossOriginProtection(),
		frontEnds: make(map[string]bool),
		secure:    strings.HasPrefix(c.URL, "https:"),
		now:       c.Verifier.now,
		log:       c.Verifier.log,
	}
	own, err := url.Parse(c.URL)
	if err != nil {
		return nil, fmt.Errorf("client: reading SiteConfig.URL: %w", err)
	}
	if err := s.origins.AddTrustedOrigin(own.Scheme + "://" + own.Host); err != nil {
		return nil, fmt.Errorf("client: reading SiteConfig.URL: %w", err)
	}
	for _, origin := range c.FrontEnds {
		if err := checkURL("SiteConfig.FrontEnds", origin); err != nil {
			return nil, err
		}
		if err := s.origins.AddTrustedOrigin(origin); err != nil {
			return nil, fmt.Errorf("client: SiteConfig.FrontEnds: %q is not an origin, like https://www.example.com: %w", origin, err)
		}
		s.frontEnds[origin] = true
	}
	return s, nil
}

// Login returns the handler to which the front end posts what a web sign-in
// resolves to, as JSON:
//
//	{"email": "…", "oauth_token": {"access_token": "…", …}, "user": {…}, …}
//
// Only oauth_token.access_token is read. The rest is what the browser says, and
// nobody is found, made or named by it. The token must be valid and at most five
// minutes old, or the answer is 403 "Invalid access token". Then the user with the
// token's subject is found, or created, a new session is started, and any earlier
// one of this browser ended. The answer is 200 {"id": "…", "created": false}.
//
// The request must be a POST of application/json, at most 64 KiB, from a page of
// the site's URL or one of its FrontEnds; programs that are no browser send no
// origin, and pass.
func (s *Site) Login() http.Handler {
	return s.post(func(w http.ResponseWriter, r *http.Request) {
		if kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || kind != "application/json" {
			http.Error(w, "Please send application/json", http.StatusUnsupportedMediaType)
			return
		}
		body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxLogin))
		if tooLarge := (*http.MaxBytesError)(nil); errors.As(err, &tooLarge) {
			http.Error(w, "This login is too large", http.StatusRequestEntityTooLarge)
			return
		} else if err != nil {
			http.Error(w, "This login did not arrive completely", http.StatusBadRequest)
			return
		}
		access, err := accessToken(body)
		if err != nil {
			http.Error(w, "This login is not JSON as the sign-in SDK makes it", http.StatusBadRequest)
			return
		}
		t, err := s.verifier.Verify(r.Context(), access)
		if err == nil {
			err = s.recent(t)
		}
		switch {
		case errors.Is(err, ErrInvalidToken):
			s.log.Info("refusing a login", "error", err)
			invalidAccessToken(w)
			return
		case err != nil:
			s.verifier.unavailable(w, r, err)
			return
		}
		id, created, err := s.findOrCreate(r.Context(), t)
		if err == nil {
			err = s.start(w, r, id, access, t)
		}
		if err != nil {
			s.log.Error("logging a user in", "token", t, "error", err)
			http.Error(w, "Something went wrong on our side, please try again", http.StatusInternalServerError)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		json.NewEncoder(w).Encode(struct {
			ID      string `json:"id"`
			Created bool   `json:"created"`
		}{id, created})
	})
}

// accessToken reads the one thing in a login payload that counts. A payload
// without it gives the empty text, which is no valid token.
func accessToken(body []byte) (string, error) {
	payload, err := members(bytes.TrimSpace(body))
	if err != nil {
		return "", err
	}
	raw, ok := find(payload, "oauth_token")
	if !ok || raw[0] != '{' {
		return "", nil
	}
	set, err := members(raw)
	if err != nil {
		return "", err
	}
	access, _ := findText(set, "access_token")
	return access, nil
}

// recent refuses a token that was lying around: logging in takes seconds, and a
// token found in an old log or backup should start nothing.
func (s *Site) recent(t *Token) error {
	if age := s.now().Sub(t.IssuedAt); age > maxAge {
		return fmt.Errorf("%w: %s ago, and %s is the most; post the payload right after the sign-in, or fetch a new access token first",
			ErrTooOld, age.Round(time.Second), maxAge)
	}
	return nil
}

func (s *Site) findOrCreate(ctx context.Context, t *Token) (id string, created bool, err error) {
	id, err = s.users.Find(ctx, t.Key())
	if !errors.Is(err, ErrNoUser) {
		return id, false, err
	}
	id, err = s.users.Create(ctx, t.Key(), t.Identifier)
	return id, true, err
}

// start begins a session in this browser, always under a new id: one that
// somebody planted before the login is worth nothing after it.
func (s *Site) start(w http.ResponseWriter, r *http.Request, userID, access string, t *Token) error {
	if s.sessions == nil {
		if len(access) > maxCookie {
			return fmt.Errorf("the access token has %d bytes, and browsers drop cookies of more than %d: use Sessions, or fewer custom claims",
				len(access), maxCookie)
		}
		s.setCookie(w, TokenCookie, access, t.ExpiresAt)
		return nil
	}
	if old, ok := s.presented(r); ok {
		if err := s.sessions.Delete(r.Context(), old); err != nil {
			return err
		}
	}
	secret := rand.Text() + rand.Text() // 256 bits and a little
	expires := s.now().Add(s.life)
	if err := s.sessions.Save(r.Context(), sha256.Sum256([]byte(secret)), userID, expires); err != nil {
		return err
	}
	s.setCookie(w, sessionCookie, secret, expires)
	return nil
}

// Logout returns the handler that ends the login in this browser, by POST. The
// session is deleted; a token that was kept in the cookie is forgotten, yet valid
// until it expires. The front end should also sign out at the sign-in server, or
// its SDK goes on fetching tokens. The answer is 204, also if nobody was logged
// in.
func (s *Site) Logout() http.Handler {
	return s.post(func(w http.ResponseWriter, r *http.Request) {
		if s.sessions == nil {
			s.setCookie(w, TokenCookie, "", time.Time{})
			w.WriteHeader(http.StatusNoContent)
			return
		}
		if id, ok := s.presented(r); ok {
			if err := s.sessions.Delete(r.Context(), id); err != nil {
				s.log.Error("logging a user out", "error", err)
				http.Error(w, "Something went wrong on our side, please try again", http.StatusInternalServerError)
				return
			}
		}
		s.setCookie(w, sessionCookie, "", time.Time{})
		w.WriteHeader(http.StatusNoContent)
	})
}

type userKey struct{}

// UserID returns the app's id of the user whom [Site.Require] found, and the empty
// string elsewhere.
func UserID(ctx context.Context) string {
	id, _ := ctx.Value(userKey{}).(string)
	return id
}

// Require is middleware that lets logged-in people through to next and tells it
// who they are ([UserID]): by the cookie of Login, or by a bearer token of a user
// who logged in before. It refuses like [Verifier.Require], and answers to
// FrontEnds with the headers that let them read the answer.
func (s *Site) Require(next http.Handler) http.Handler {
	return s.cors(func(w http.ResponseWriter, r *http.Request) {
		ctx, err := s.who(r)
		if err != nil {
			s.verifier.refuse(w, r, err)
			return
		}
		next.ServeHTTP(w, r.WithContext(ctx))
	})
}

// who finds out who sent a request.
func (s *Site) who(r *http.Request) (context.Context, error) {
	ctx := r.Context()
	if s.sessions != nil && len(r.Header.Values("Authorization")) == 0 {
		id, ok := s.presented(r)
		if !ok {
			return nil, ErrNoToken
		}
		if err := s.origins.Check(r); err != nil {
			return nil, fmt.Errorf("%w: %w", errCrossOrigin, err)
		}
		userID, expires, err := s.sessions.Find(ctx, id)
		if errors.Is(err, ErrNoSession) || err == nil && !s.now().Before(expires) {
			return nil, ErrNoToken
		}
		return context.WithValue(ctx, userKey{}, userID), err
	}
	cookie := "" // a name that no cookie has: sessions take bearer tokens, not both cookies
	if s.sessions == nil {
		cookie = s.cookieName(TokenCookie)
	}
	t, err := s.verifier.fromRequest(r, cookie, s.origins)
	if err != nil {
		return nil, err
	}
	userID, err := s.users.Find(ctx, t.Key())
	if errors.Is(err, ErrNoUser) {
		return nil, ErrNoToken // valid, but this person never logged in here, or was deleted
	}
	if err != nil {
		return nil, err
	}
	ctx = context.WithValue(ctx, tokenKey{}, t)
	return context.WithValue(ctx, userKey{}, userID), nil
}

// presented returns the id of the session whose cookie a request carries.
func (s *Site) presented(r *http.Request) (SessionID, bool) {
	c, err := r.Cookie(s.cookieName(sessionCookie))
	if err != nil || c.Value == "" {
		return SessionID{}, false
	}
	return sha256.Sum256([]byte(c.Value)), true
}

// cookieName drops the prefix on http://localhost, where Secure does not work in
// every browser.
func (s *Site) cookieName(name string) string {
	if s.secure {
		return name
	}
	return strings.TrimPrefix(name, "__Host-")
}

// setCookie sets a cookie, or removes it when value is empty.
func (s *Site) setCookie(w http.ResponseWriter, name, value string, expires time.Time) {
	age := -1
	if value != "" {
		age = max(int(expires.Sub(s.now())/time.Second), 1)
	}
	http.SetCookie(w, &http.Cookie{
		Name:     s.cookieName(name),
		Value:    value,
		Path:     "/",
		MaxAge:   age,
		Secure:   s.secure,
		HttpOnly: true,
		SameSite: http.SameSiteLaxMode,
	})
}

// post wraps what Login and Logout have in common.
func (s *Site) post(next http.HandlerFunc) http.Handler {
	return s.cors(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Cache-Control", "no-store")
		if r.Method != http.MethodPost {
			w.Header().Set("Allow", "POST, OPTIONS")
			http.Error(w, "Please use POST", http.StatusMethodNotAllowed)
			return
		}
		if err := s.origins.Check(r); err != nil {
			s.log.Info("refusing a request from another origin", "path", r.URL.Path, "origin", shown(r.Header.Get("Origin")), "error", err)
			http.Error(w, "This page may not do that here", http.StatusForbidden)
			return
		}
		next(w, r)
	})
}

// cors lets pages of FrontEnds call and read, with cookies. An origin that is not
// listed gets no header, and its browser keeps the answer from it.
func (s *Site) cors(next http.HandlerFunc) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		if len(s.frontEnds) > 0 {
			h.Add("Vary", "Origin")
		}
		origin := r.Header.Get("Origin")
		listed := s.frontEnds[origin]
		if listed {
			h.Set("Access-Control-Allow-Origin", origin)
			h.Set("Access-Control-Allow-Credentials", "true")
		}
		if r.Method == http.MethodOptions && r.Header.Get("Access-Control-Request-Method") != "" {
			if !listed {
				http.Error(w, "This page may not do that here", http.StatusForbidden)
				return
			}
			h.Set("Access-Control-Allow-Methods", "GET, POST, PUT, PATCH, DELETE")
			h.Set("Access-Control-Allow-Headers", "Authorization, Content-Type")
			h.Set("Access-Control-Max-Age", "600")
			w.WriteHeader(http.StatusNoContent)
			return
		}
		next(w, r)
	})
}

// invalidAccessToken answers what the documentation of Cotter tells backends to
// answer; front ends compare the body.
func invalidAccessToken(w http.ResponseWriter) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(http.StatusForbidden)
	io.WriteString(w, "Invalid access token")
}
