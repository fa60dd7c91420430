package client_test

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	_ "modernc.org/sqlite"

	"github.com/splitpin/splitpin/client"
)

func openDB(t testing.TB) *sql.DB {
	t.Helper()
	db, err := sql.Open("sqlite", "file:"+filepath.Join(t.TempDir(), "app.db")+"?_pragma=busy_timeout(10000)&_pragma=journal_mode(WAL)")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	return db
}

func openUsers(t testing.TB, db *sql.DB) *client.SQLUsers {
	t.Helper()
	users := &client.SQLUsers{DB: db}
	for range 2 { // a second start of the app
		if err := users.CreateTable(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	return users
}

func count(t testing.TB, db *sql.DB, query string, args ...any) int {
	t.Helper()
	var n int
	if err := db.QueryRow(query, args...).Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}

// An app is a backend with a browser in front of it.
type app struct {
	*issuer
	t        testing.TB
	db       *sql.DB
	users    *client.SQLUsers
	verifier *client.Verifier
	handler  http.Handler
	jar      map[string]string
}

const (
	appURL   = "https://api.example.com"
	frontEnd = "https://www.example.com"
)

// newApp is an app with these changes to its configuration.
func newApp(t testing.TB, change func(*client.SiteConfig)) *app {
	t.Helper()
	s, v := start(t)
	a := &app{issuer: s, t: t, db: openDB(t), verifier: v, jar: map[string]string{}}
	a.users = openUsers(t, a.db)
	sessions := &client.SQLSessions{DB: a.db, Now: s.now}
	if err := sessions.CreateTable(t.Context()); err != nil {
		t.Fatal(err)
	}
	c := client.SiteConfig{Verifier: v, Users: a.users, Sessions: sessions, URL: appURL, FrontEnds: []string{frontEnd}}
	if change != nil {
		change(&c)
	}
	site, err := client.NewSite(c)
	if err != nil {
		t.Fatal(err)
	}
	mux := http.NewServeMux()
	mux.Handle("/login", site.Login())
	mux.Handle("/logout", site.Logout())
	mux.Handle("/me", site.Require(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		token, _ := client.FromContext(r.Context())
		method := ""
		if token != nil {
			method = token.Method
		}
		fmt.Fprint(w, client.UserID(r.Context()), " ", method)
	})))
	a.handler = mux
	return a
}

// keepsTokens is an app without sessions of its own.
func keepsTokens(c *client.SiteConfig) { c.Sessions = nil }

// do sends a request with the browser's cookies and keeps those that come back.
func (a *app) do(r *http.Request) *http.Response {
	a.t.Helper()
	for name, value := range a.jar {
		r.AddCookie(&http.Cookie{Name: name, Value: value})
	}
	w := httptest.NewRecorder()
	a.handler.ServeHTTP(w, r)
	for _, c := range w.Result().Cookies() {
		if c.MaxAge < 0 {
			delete(a.jar, c.Name)
		} else {
			a.jar[c.Name] = c.Value
		}
	}
	return w.Result()
}

// post makes a request as the app's own page does.
func post(path, body string) *http.Request {
	r := httptest.NewRequest("POST", appURL+path, strings.NewReader(body))
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("Origin", appURL)
	r.Header.Set("Sec-Fetch-Site", "same-origin")
	return r
}

// payload is what the published web SDK makes of a sign-in.
func payload(email, access string) string {
	b, _ := json.Marshal(map[string]any{
		"email": email,
		"token": claims{"identifier": email, "receiver": project},
		"oauth_token": claims{"access_token": access, "id_token": "x", "refresh_token": "27805:x", "expires_in": 3600,
			"token_type": "Bearer", "auth_method": "OTP"},
		"user": claims{"ID": "somebody", "identifier": email, "issuer": project, "created_at": "2026-03-02T10:11:12Z",
			"updated_at": "2026-03-02T10:11:12Z", "deleted_at": nil},
	})
	return string(b)
}

func text(resp *http.Response) string {
	b, _ := io.ReadAll(resp.Body)
	return strings.TrimSpace(string(b))
}

// login logs in and returns the id of the user.
func (a *app) login(email, access string) (id string, created bool) {
	a.t.Helper()
	resp := a.do(post("/login", payload(email, access)))
	var got struct {
		ID      string
		Created bool
	}
	body := text(resp)
	if err := json.Unmarshal([]byte(body), &got); resp.StatusCode != 200 || err != nil || got.ID == "" {
		a.t.Fatalf("login: got %d %s", resp.StatusCode, body)
	}
	return got.ID, got.Created
}

func (a *app) me() string {
	a.t.Helper()
	resp := a.do(httptest.NewRequest("GET", appURL+"/me", nil))
	return fmt.Sprint(resp.StatusCode, " ", text(resp))
}

func TestLogin(t *testing.T) {
	for name, change := range map[string]func(*client.SiteConfig){"session": nil, "token": keepsTokens} {
		t.Run(name, func(t *testing.T) {
			a := newApp(t, change)
			if got := a.me(); got != "401 Please sign in" {
				t.Errorf("before: got %s", got)
			}
			id, created := a.login("ada@example.org", a.token(nil))
			if !created {
				t.Error("the first login did not say that it created the user")
			}
			method := ""
			if change != nil {
				method = "OTP"
			}
			if got, want := a.me(), strings.TrimSpace("200 "+id+" "+method); got != want {
				t.Errorf("after: got %s, want %s", got, want)
			}

			// A changed address in the payload changes nothing: neither who it is, nor
			// what the row says.
			again, created := a.login("mallory@example.org", a.token(nil))
			if again != id || created {
				t.Errorf("second login: got %s, created %v; want %s and false", again, created, id)
			}
			if n := count(t, a.db, "SELECT count(*) FROM users WHERE contact = 'ada@example.org'"); n != 1 {
				t.Errorf("rows of ada: got %d, want 1", n)
			}
			if n := count(t, a.db, "SELECT count(*) FROM users"); n != 1 {
				t.Errorf("rows: got %d, want 1", n)
			}

			// The same address under another subject is another person.
			other, _ := a.login("ada@example.org", a.token(claims{"sub": "another"}))
			if other == id {
				t.Error("two subjects got one row by their address")
			}

			if resp := a.do(post("/logout", "")); resp.StatusCode != 204 || len(a.jar) != 0 {
				t.Errorf("logout: got %d and cookies %v", resp.StatusCode, a.jar)
			}
			if got := a.me(); got != "401 Please sign in" {
				t.Errorf("after the logout: got %s", got)
			}
		})
	}
}

func TestLoginRefuses(t *testing.T) {
	a := newApp(t, nil)
	good := payload("ada@example.org", a.token(nil))
	with := func(header, value string) *http.Request {
		r := post("/login", good)
		r.Header.Set(header, value)
		return r
	}
	tests := []struct {
		name   string
		r      *http.Request
		status int
		body   string
	}{
		{"good", post("/login", good), 200, ""},
		{"listed page of another origin", func() *http.Request {
			r := with("Origin", frontEnd)
			r.Header.Set("Sec-Fetch-Site", "same-site")
			return r
		}(), 200, ""},
		{"no browser", func() *http.Request {
			r := post("/login", good)
			r.Header.Del("Origin")
			r.Header.Del("Sec-Fetch-Site")
			return r
		}(), 200, ""},
		{"more fields", post("/login", `{"name":"Ada","oauth_token":{"access_token":"`+a.token(nil)+`"}}`), 200, ""},

		{"tampered", post("/login", payload("ada@example.org", a.token(nil)+"A")), 403, "Invalid access token"},
		{"expired", post("/login", payload("ada@example.org", a.token(claims{"iat": a.now().Unix() - 3700, "exp": a.now().Unix() - 100}))), 403, "Invalid access token"},
		{"five minutes old", post("/login", payload("ada@example.org", a.token(claims{"iat": a.now().Unix() - 300}))), 200, ""},
		{"older", post("/login", payload("ada@example.org", a.token(claims{"iat": a.now().Unix() - 301}))), 403, "Invalid access token"},
		{"id token", post("/login", payload("ada@example.org", a.token(claims{"type": "client_id_token"}))), 403, "Invalid access token"},
		{"other project", post("/login", payload("ada@example.org", a.token(claims{"aud": "other"}))), 403, "Invalid access token"},
		{"foreign key", post("/login", payload("ada@example.org", newKey().sign(a.header(), a.claims(nil)))), 403, "Invalid access token"},
		{"no token", post("/login", `{"email":"ada@example.org","user":{"ID":"x"}}`), 403, "Invalid access token"},
		{"token a number", post("/login", `{"oauth_token":{"access_token":7}}`), 403, "Invalid access token"},
		{"no set", post("/login", `{"oauth_token":null}`), 403, "Invalid access token"},
		{"two tokens", post("/login", `{"oauth_token":{"access_token":"x","access_token":"y"}}`), 400, ""},
		{"not JSON", post("/login", `email=ada`), 400, ""},
		{"nothing", post("/login", ``), 400, ""},
		{"form", with("Content-Type", "application/x-www-form-urlencoded"), 415, ""},
		{"text", with("Content-Type", "text/plain"), 415, ""},
		{"no type", with("Content-Type", ""), 415, ""},
		{"too large", post("/login", `{"x":"`+strings.Repeat("x", 64<<10)+`"}`), 413, ""},
		{"GET", httptest.NewRequest("GET", appURL+"/login", nil), 405, ""},
		{"page of another site", func() *http.Request {
			r := with("Origin", "https://evil.example")
			r.Header.Set("Sec-Fetch-Site", "cross-site")
			return r
		}(), 403, ""},
		{"neighbour that is not listed", func() *http.Request {
			r := with("Origin", "https://blog.example.com")
			r.Header.Set("Sec-Fetch-Site", "same-site")
			return r
		}(), 403, ""},
		{"old browser, other origin", func() *http.Request {
			r := with("Origin", "https://evil.example")
			r.Header.Del("Sec-Fetch-Site")
			return r
		}(), 403, ""},
		{"origin null", func() *http.Request {
			r := with("Origin", "null")
			r.Header.Del("Sec-Fetch-Site")
			return r
		}(), 403, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			a.jar = map[string]string{}
			resp := a.do(tt.r)
			body := text(resp)
			if resp.StatusCode != tt.status || tt.body != "" && body != tt.body {
				t.Errorf("got %d %q, want %d %q", resp.StatusCode, body, tt.status, tt.body)
			}
			if loggedIn := len(a.jar) > 0; loggedIn != (tt.status == 200) {
				t.Errorf("cookies: got %v", a.jar)
			}
			if got := resp.Header.Get("Cache-Control"); got != "no-store" {
				t.Errorf("Cache-Control: got %q", got)
			}
		})
	}
	if n := count(t, a.db, "SELECT count(*) FROM users"); n != 1 {
		t.Errorf("users: got %d, want 1", n)
	}
}

// An outage of the key server must not look like a bad login.
func TestLoginWithoutKeys(t *testing.T) {
	a := newApp(t, keepsTokens)
	a.change(func() { a.status = 502 })
	resp := a.do(post("/login", payload("ada@example.org", a.token(nil))))
	if resp.StatusCode != 503 || resp.Header.Get("Retry-After") == "" {
		t.Errorf("login: got %d, Retry-After %q", resp.StatusCode, resp.Header.Get("Retry-After"))
	}
	a.jar["__Host-access"] = a.token(nil)
	if resp := a.do(httptest.NewRequest("GET", appURL+"/me", nil)); resp.StatusCode != 503 || len(a.jar) != 1 {
		t.Errorf("me: got %d, cookies %v; want 503 and the cookie kept", resp.StatusCode, a.jar)
	}
}

// Whatever session a browser had before, it has another one after a login.
func TestSessionIsRegenerated(t *testing.T) {
	a := newApp(t, nil)
	a.jar["__Host-session"] = "planted"
	a.login("ada@example.org", a.token(nil))
	first := a.jar["__Host-session"]
	if first == "planted" || len(first) < 43 {
		t.Fatalf("got the session %q", first)
	}
	a.login("ada@example.org", a.token(nil))
	second := a.jar["__Host-session"]
	if first == second {
		t.Error("the second login kept the session")
	}
	a.jar["__Host-session"] = first
	if got := a.me(); got != "401 Please sign in" {
		t.Errorf("the session before: got %s", got)
	}
	if n := count(t, a.db, "SELECT count(*) FROM sessions"); n != 1 {
		t.Errorf("sessions: got %d, want 1", n)
	}
	// The table's reader gets no cookie out of it.
	var id string
	if err := a.db.QueryRow("SELECT id FROM sessions").Scan(&id); err != nil {
		t.Fatal(err)
	}
	a.jar["__Host-session"] = id
	if strings.Contains(second, id) || a.me() != "401 Please sign in" {
		t.Error("the id in the table works as a cookie")
	}
}

func TestSessionExpires(t *testing.T) {
	a := newApp(t, func(c *client.SiteConfig) { c.SessionLife = 2 * time.Hour })
	a.login("ada@example.org", a.token(nil))
	a.pass(2*time.Hour - time.Second)
	if got := a.me(); !strings.HasPrefix(got, "200 ") {
		t.Errorf("a second before: got %s", got)
	}
	a.pass(time.Second)
	if got := a.me(); got != "401 Please sign in" {
		t.Errorf("after: got %s", got)
	}
	clear(a.jar)
	a.login("ada@example.org", a.token(nil))
	if n := count(t, a.db, "SELECT count(*) FROM sessions"); n != 1 {
		t.Errorf("sessions: got %d, want the expired one swept", n)
	}
}

func TestDeleteUserSessions(t *testing.T) {
	a := newApp(t, nil)
	id, _ := a.login("ada@example.org", a.token(nil))
	sessions := &client.SQLSessions{DB: a.db}
	if err := sessions.DeleteUser(t.Context(), id); err != nil {
		t.Fatal(err)
	}
	if got := a.me(); got != "401 Please sign in" {
		t.Errorf("got %s", got)
	}
}

func TestCookies(t *testing.T) {
	tests := []struct {
		name   string
		url    string
		change func(*client.SiteConfig)
		want   string
	}{
		{"session", appURL, nil, "__Host-session=?; Path=/; Max-Age=604800; HttpOnly; Secure; SameSite=Lax"},
		{"token", appURL, keepsTokens, "__Host-access=?; Path=/; Max-Age=3600; HttpOnly; Secure; SameSite=Lax"},
		{"localhost", "http://localhost:8081", nil, "session=?; Path=/; Max-Age=604800; HttpOnly; SameSite=Lax"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			a := newApp(t, func(c *client.SiteConfig) {
				if c.URL = tt.url; tt.change != nil {
					tt.change(c)
				}
			})
			resp := a.do(post("/login", payload("ada@example.org", a.token(nil))))
			got := resp.Header.Get("Set-Cookie")
			_, rest, _ := strings.Cut(got, "; ")
			name, _, _ := strings.Cut(got, "=")
			if name+"=?; "+rest != tt.want {
				t.Errorf("got %s, want %s", got, tt.want)
			}
		})
	}
}

func TestTokenTooLargeForACookie(t *testing.T) {
	a := newApp(t, keepsTokens)
	resp := a.do(post("/login", payload("ada@example.org", a.token(claims{"custom": strings.Repeat("x", 3000)}))))
	if resp.StatusCode != 500 || len(a.jar) != 0 {
		t.Errorf("got %d and cookies %v, want 500 rather than a cookie that browsers drop", resp.StatusCode, a.jar)
	}
}

func TestCORS(t *testing.T) {
	a := newApp(t, nil)
	tests := []struct {
		origin string
		status int
		allow  string
	}{
		{frontEnd, 204, frontEnd},
		{"https://evil.example", 403, ""},
		{"https://www.example.com.evil.example", 403, ""},
		{"null", 403, ""},
	}
	for _, tt := range tests {
		for _, path := range []string{"/login", "/logout", "/me"} {
			r := httptest.NewRequest("OPTIONS", appURL+path, nil)
			r.Header.Set("Origin", tt.origin)
			r.Header.Set("Access-Control-Request-Method", "POST")
			resp := a.do(r)
			h := resp.Header
			if resp.StatusCode != tt.status || h.Get("Access-Control-Allow-Origin") != tt.allow ||
				(h.Get("Access-Control-Allow-Credentials") == "true") != (tt.allow != "") || !slices.Contains(h.Values("Vary"), "Origin") {
				t.Errorf("preflight of %s for %s: got %d %v", tt.origin, path, resp.StatusCode, h)
			}
		}
	}
	r := httptest.NewRequest("GET", appURL+"/me", nil)
	r.Header.Set("Origin", frontEnd)
	if resp := a.do(r); resp.Header.Get("Access-Control-Allow-Origin") != frontEnd {
		t.Error("a listed page cannot read the refusal")
	}
}

// A cookie comes along by itself, so that a changing request has to come from our
// pages; a bearer token does not.
func TestCrossSiteRequests(t *testing.T) {
	for name, change := range map[string]func(*client.SiteConfig){"session": nil, "token": keepsTokens} {
		t.Run(name, func(t *testing.T) {
			a := newApp(t, change)
			access := a.token(nil)
			a.login("ada@example.org", access)
			foreign := func(method string) *http.Request {
				r := httptest.NewRequest(method, appURL+"/me", nil)
				r.Header.Set("Origin", "https://evil.example")
				r.Header.Set("Sec-Fetch-Site", "cross-site")
				return r
			}
			if resp := a.do(foreign("POST")); resp.StatusCode != 403 {
				t.Errorf("POST with the cookie: got %d, want 403", resp.StatusCode)
			}
			if resp := a.do(foreign("GET")); resp.StatusCode != 200 {
				t.Errorf("GET with the cookie: got %d, want 200", resp.StatusCode)
			}
			r := foreign("POST")
			r.Header.Set("Authorization", "Bearer "+access)
			if resp := a.do(r); resp.StatusCode != 200 {
				t.Errorf("POST with the token: got %d, want 200", resp.StatusCode)
			}
			logout := foreign("POST")
			logout.URL.Path = "/logout"
			if resp := a.do(logout); resp.StatusCode != 403 || len(a.jar) != 1 {
				t.Errorf("logout: got %d, want 403", resp.StatusCode)
			}
		})
	}
}

// A cookie without the prefix could be planted by a neighbour host.
func TestUnprefixedCookiesAreNotRead(t *testing.T) {
	a := newApp(t, nil)
	a.login("ada@example.org", a.token(nil))
	a.jar = map[string]string{"session": a.jar["__Host-session"], "access": a.token(nil), "__Host-access": a.token(nil)}
	if got := a.me(); got != "401 Please sign in" {
		t.Errorf("got %s", got)
	}
}

func TestBearerOfAStranger(t *testing.T) {
	a := newApp(t, nil)
	r := httptest.NewRequest("GET", appURL+"/me", nil)
	r.Header.Set("Authorization", "Bearer "+a.token(nil))
	if resp := a.do(r); resp.StatusCode != 401 {
		t.Errorf("valid, but never logged in here: got %d, want 401", resp.StatusCode)
	}
	if n := count(t, a.db, "SELECT count(*) FROM users"); n != 0 {
		t.Errorf("users: got %d, want none made by the way", n)
	}
}

func TestVerifierRequire(t *testing.T) {
	s, v := start(t)
	handler := v.Require(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		token, ok := client.FromContext(r.Context())
		if !ok {
			t.Error("no token on the request")
		}
		fmt.Fprint(w, token.Subject)
	}))
	realm := `Bearer realm="` + project + `"`
	tests := []struct {
		name   string
		method string
		header http.Header
		status int
		www    string
	}{
		{"bearer", "POST", http.Header{"Authorization": {"Bearer " + s.token(nil)}}, 200, ""},
		{"scheme in lower case", "GET", http.Header{"Authorization": {"bearer  " + s.token(nil)}}, 200, ""},
		{"cookie", "GET", http.Header{"Cookie": {client.TokenCookie + "=" + s.token(nil)}}, 200, ""},
		{"bearer before cookie", "GET", http.Header{"Authorization": {"Bearer x"}, "Cookie": {client.TokenCookie + "=" + s.token(nil)}}, 401,
			realm + `, error="invalid_token", error_description="the access token is not a well-formed ES256 JWT"`},
		{"nothing", "GET", http.Header{}, 401, realm},
		{"another scheme", "GET", http.Header{"Authorization": {"Basic YTpi"}}, 401, realm},
		{"two tokens", "GET", http.Header{"Authorization": {"Bearer " + s.token(nil), "Bearer x"}}, 401,
			realm + `, error="invalid_token", error_description="the access token is not a well-formed ES256 JWT"`},
		{"no token in it", "GET", http.Header{"Authorization": {"Bearer "}}, 401,
			realm + `, error="invalid_token", error_description="the access token is not a well-formed ES256 JWT"`},
		{"expired", "GET", http.Header{"Authorization": {"Bearer " + s.token(claims{"exp": s.now().Unix() - 60})}}, 401,
			realm + `, error="invalid_token", error_description="the access token has expired"`},
		{"quotes in a claim", "GET", http.Header{"Authorization": {"Bearer " + s.token(claims{"iss": `x", error="y`})}}, 401,
			realm + `, error="invalid_token", error_description="the access token is from another issuer"`},
		{"cookie from another site", "POST", http.Header{"Cookie": {client.TokenCookie + "=" + s.token(nil)}, "Sec-Fetch-Site": {"cross-site"}}, 403, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := httptest.NewRequest(tt.method, "https://api.example.com/orders", nil)
			r.Header = tt.header
			w := httptest.NewRecorder()
			handler.ServeHTTP(w, r)
			if w.Code != tt.status || w.Header().Get("WWW-Authenticate") != tt.www || (w.Body.String() == subject) != (tt.status == 200) {
				t.Errorf("got %d %q %q, want %d %q", w.Code, w.Header().Get("WWW-Authenticate"), w.Body, tt.status, tt.www)
			}
		})
	}
}

func TestNewSiteRefuses(t *testing.T) {
	_, v := start(t)
	users := &client.SQLUsers{}
	tests := []struct {
		name string
		c    client.SiteConfig
		ok   bool
	}{
		{"good", client.SiteConfig{Verifier: v, Users: users, URL: appURL}, true},
		{"nothing", client.SiteConfig{}, false},
		{"no users", client.SiteConfig{Verifier: v, URL: appURL}, false},
		{"no URL", client.SiteConfig{Verifier: v, Users: users}, false},
		{"http", client.SiteConfig{Verifier: v, Users: users, URL: "http://api.example.com"}, false},
		{"any front end", client.SiteConfig{Verifier: v, Users: users, URL: appURL, FrontEnds: []string{"*"}}, false},
		{"front end with a path", client.SiteConfig{Verifier: v, Users: users, URL: appURL, FrontEnds: []string{frontEnd + "/"}}, false},
		{"front end over http", client.SiteConfig{Verifier: v, Users: users, URL: appURL, FrontEnds: []string{"http://www.example.com"}}, false},
		{"front end null", client.SiteConfig{Verifier: v, Users: users, URL: appURL, FrontEnds: []string{"null"}}, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if _, err := client.NewSite(tt.c); (err == nil) != tt.ok {
				t.Errorf("got %v, want ok %v", err, tt.ok)
			}
		})
	}
}

// meeting makes two first logins meet at the worst moment: both have looked, and
// neither has created.
type meeting struct {
	client.Users
	looked sync.WaitGroup
}

func (m *meeting) Create(ctx context.Context, key client.Key, contact string) (string, error) {
	m.looked.Done()
	m.looked.Wait()
	return m.Users.Create(ctx, key, contact)
}

// indexless is what one writes without thinking of two first logins: look, then
// insert, in a table without the unique index.
type indexless struct {
	*client.SQLUsers
	looked sync.WaitGroup
}

func (u *indexless) Create(ctx context.Context, key client.Key, contact string) (string, error) {
	u.looked.Done()
	u.looked.Wait()
	id := fmt.Sprintf("%p", &contact)
	_, err := u.DB.ExecContext(ctx, `INSERT INTO indexless (id, contact, issuer, project, subject) VALUES ($1, $2, $3, $4, $5)`,
		id, contact, key.Issuer, key.Project, key.Subject)
	return id, err
}

func TestTwoFirstLoginsAtOnce(t *testing.T) {
	const people = 8
	race := func(t *testing.T, a *app, access string) (ids []string) {
		var wg sync.WaitGroup
		var mu sync.Mutex
		for range people {
			wg.Go(func() {
				w := httptest.NewRecorder()
				a.handler.ServeHTTP(w, post("/login", payload("ada@example.org", access)))
				var got struct{ ID string }
				if json.Unmarshal(w.Body.Bytes(), &got); w.Code != 200 {
					t.Errorf("login: got %d %s", w.Code, w.Body)
				}
				mu.Lock()
				defer mu.Unlock()
				if !slices.Contains(ids, got.ID) {
					ids = append(ids, got.ID)
				}
			})
		}
		wg.Wait()
		return ids
	}
	meet := func(c *client.SiteConfig) {
		m := &meeting{Users: c.Users}
		m.looked.Add(people)
		c.Users = m
	}
	t.Run("new", func(t *testing.T) {
		a := newApp(t, meet)
		ids := race(t, a, a.token(nil))
		if n := count(t, a.db, "SELECT count(*) FROM users"); n != 1 || len(ids) != 1 {
			t.Errorf("got %d rows and the ids %v, want one", n, ids)
		}
	})
	t.Run("adopted", func(t *testing.T) {
		a := newApp(t, func(c *client.SiteConfig) {
			c.Users.(*client.SQLUsers).AdoptByAddress = true
			meet(c)
		})
		if _, err := a.db.Exec("INSERT INTO users (id, contact) VALUES ('old', 'Ada@Example.org')"); err != nil {
			t.Fatal(err)
		}
		ids := race(t, a, a.token(nil))
		if n := count(t, a.db, "SELECT count(*) FROM users"); n != 1 || !slices.Equal(ids, []string{"old"}) {
			t.Errorf("got %d rows and the ids %v, want the old one", n, ids)
		}
	})
	// The same race without the index makes several rows: this shows that the
	// logins above do meet.
	t.Run("without the index", func(t *testing.T) {
		a := newApp(t, func(c *client.SiteConfig) {
			u := &indexless{SQLUsers: &client.SQLUsers{DB: c.Users.(*client.SQLUsers).DB, Table: "indexless"}}
			u.looked.Add(people)
			if _, err := u.DB.Exec("CREATE TABLE indexless (id TEXT, contact TEXT, issuer TEXT, project TEXT, subject TEXT)"); err != nil {
				t.Fatal(err)
			}
			c.Users = u
		})
		race(t, a, a.token(nil))
		if n := count(t, a.db, "SELECT count(*) FROM indexless"); n != people {
			t.Errorf("got %d rows, want %d: the logins did not meet", n, people)
		}
	})
	// And the real one does not even try without it.
	t.Run("index lost", func(t *testing.T) {
		db := openDB(t)
		u := openUsers(t, db)
		if _, err := db.Exec("DROP INDEX users_subject"); err != nil {
			t.Fatal(err)
		}
		if id, err := u.Create(t.Context(), client.Key{Issuer: "i", Project: "p", Subject: "s"}, "x"); err == nil {
			t.Errorf("got %s, want an error", id)
		}
	})
}

func TestAdoptByAddress(t *testing.T) {
	tests := []struct {
		name    string
		off     bool
		rows    []string // contact, or contact and subject
		contact string
		want    string // the id adopted, or "new"
	}{
		{"one row", false, []string{"ada@example.org"}, "ada@example.org", "row0"},
		{"in other case", false, []string{"Ada@Example.ORG"}, "ada@example.org", "row0"},
		{"phone", false, []string{"bob@example.org", "+4915112345678"}, "+4915112345678", "row1"},
		{"switched off", true, []string{"ada@example.org"}, "ada@example.org", "new"},
		{"nobody", false, []string{"bob@example.org"}, "ada@example.org", "new"},
		{"row with a subject", false, []string{"ada@example.org another"}, "ada@example.org", "new"},
		{"two rows", false, []string{"ada@example.org", "ADA@example.org"}, "ada@example.org", "new"},
		{"two rows, one with a subject", false, []string{"ada@example.org another", "ada@example.org"}, "ada@example.org", "new"},
		{"a name is no proof", false, []string{"ada"}, "ada", "new"},
		{"a number that is no phone", false, []string{"1014"}, "1014", "new"},
		{"no contact", false, []string{""}, "", "new"},
		{"no pattern", false, []string{"ada@example.org"}, "%@example.org", "new"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			db := openDB(t)
			u := openUsers(t, db)
			u.AdoptByAddress = !tt.off
			for i, row := range tt.rows {
				contact, subject, bound := strings.Cut(row, " ")
				_, err := db.Exec(`INSERT INTO users (id, contact, issuer, project, subject) VALUES ($1, $2, $3, $4, $5)`,
					fmt.Sprint("row", i), contact, sql.NullString{String: "i", Valid: bound},
					sql.NullString{String: "p", Valid: bound}, sql.NullString{String: subject, Valid: bound})
				if err != nil {
					t.Fatal(err)
				}
			}
			key := client.Key{Issuer: "i", Project: "p", Subject: "s"}
			got, err := u.Create(t.Context(), key, tt.contact)
			if err != nil {
				t.Fatal(err)
			}
			if (tt.want == "new") == strings.HasPrefix(got, "row") || tt.want != "new" && got != tt.want {
				t.Errorf("got %s, want %s", got, tt.want)
			}
			// Once bound it stays: the next person with that address is another.
			next, err := u.Create(t.Context(), client.Key{Issuer: "i", Project: "p", Subject: "next"}, tt.contact)
			if err != nil || next == got {
				t.Errorf("the next subject: got %s, %v; want another row", next, err)
			}
			if found, err := u.Find(t.Context(), key); err != nil || found != got {
				t.Errorf("found %s, %v; want %s", found, err, got)
			}
		})
	}
}

// A table that was there before, with integer ids and its own names.
func TestTableOfAnOldApp(t *testing.T) {
	db := openDB(t)
	for _, statement := range []string{
		`CREATE TABLE members (id INTEGER PRIMARY KEY, email TEXT NOT NULL, name TEXT NOT NULL DEFAULT '')`,
		`INSERT INTO members (id, email, name) VALUES (7, 'ada@example.org', 'Ada')`,
		`ALTER TABLE members ADD COLUMN issuer TEXT`,
		`ALTER TABLE members ADD COLUMN project TEXT`,
		`ALTER TABLE members ADD COLUMN subject TEXT`,
		`CREATE UNIQUE INDEX members_subject ON members (issuer, project, subject)`,
	} {
		if _, err := db.Exec(statement); err != nil {
			t.Fatal(err)
		}
	}
	u := &client.SQLUsers{DB: db, Table: "members", Contact: "email", DatabaseIDs: true, AdoptByAddress: true}
	for _, tt := range []struct{ subject, contact, id string }{
		{"s1", "ada@example.org", "7"}, {"s2", "bob@example.org", "8"}, {"s2", "bob@example.org", "8"}, {"s1", "x@example.org", "7"},
	} {
		got, err := u.Create(t.Context(), client.Key{Issuer: "i", Project: "p", Subject: tt.subject}, tt.contact)
		if err != nil || got != tt.id {
			t.Errorf("%s: got %s, %v; want %s", tt.subject, got, err, tt.id)
		}
	}
	// Where the same subject stands in another project or issuer it is another person.
	for _, key := range []client.Key{{Issuer: "i", Project: "q", Subject: "s1"}, {Issuer: "j", Project: "p", Subject: "s1"}} {
		if id, err := u.Find(t.Context(), key); !errors.Is(err, client.ErrNoUser) {
			t.Errorf("%+v: got %s, %v; want ErrNoUser", key, id, err)
		}
	}
}

func TestUsersRefuse(t *testing.T) {
	db := openDB(t)
	u := openUsers(t, db)
	for _, key := range []client.Key{{}, {Project: "p", Subject: "s"}, {Issuer: "i", Subject: "s"}, {Issuer: "i", Project: "p"}} {
		if id, err := u.Create(t.Context(), key, "x"); err == nil {
			t.Errorf("%+v: got the row %s, want an error: the index does not hold empty keys apart", key, id)
		}
	}
	for _, table := range []string{"users; DROP TABLE users", `"users"`, "a b", strings.Repeat("a", 64)} {
		u := &client.SQLUsers{DB: db, Table: table}
		if _, err := u.Find(t.Context(), client.Key{}); err == nil || errors.Is(err, client.ErrNoUser) {
			t.Errorf("table %q: got %v, want a refusal", table, err)
		}
	}
}
