package shop_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/splitpin/splitpin/examples/go/shop"
)

const (
	project = "0d0c6b3e-0a53-4d0e-8d8e-2f6c0e5f7a11"
	allowed = "https://shop.example.com" // the origin that the project lists
)

// issuer stands for the sign-in server: it publishes a key and signs with it.
type issuer struct {
	*httptest.Server
	key *ecdsa.PrivateKey
}

func newIssuer(t *testing.T) *issuer {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	point, err := key.PublicKey.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /p/"+project+"/v1/keys", func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, `{"keys":[{"kty":"EC","crv":"P-256","x":"%s","y":"%s","kid":"one","use":"sig","alg":"ES256"}]}`,
			text(point[1:33]), text(point[33:]))
	})
	mux.HandleFunc("GET /p/"+project+"/v1/project", func(w http.ResponseWriter, r *http.Request) {
		if origin := r.Header.Get("Origin"); origin == allowed {
			w.Header().Set("Access-Control-Allow-Origin", origin)
		}
		io.WriteString(w, "{}")
	})
	mux.HandleFunc("GET /p/{other}/v1/project", func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(http.StatusUnauthorized)
	})
	s := &issuer{httptest.NewServer(mux), key}
	t.Cleanup(s.Close)
	return s
}

func text(b []byte) string { return base64.RawURLEncoding.EncodeToString(b) }

func (s *issuer) token(t *testing.T, subject, identifier string) string {
	now := time.Now().Unix()
	claims, err := json.Marshal(map[string]any{
		"sub": subject, "client_user_id": subject, "authentication_method": "OTP", "identifier": identifier,
		"type": "client_access_token", "scope": "access", "aud": project, "iss": s.URL, "iat": now, "exp": now + 3600, "jti": rand.Text(),
	})
	if err != nil {
		t.Fatal(err)
	}
	signed := text([]byte(`{"alg":"ES256","kid":"one","typ":"JWT"}`)) + "." + text(claims)
	sum := sha256.Sum256([]byte(signed))
	r, sig, err := ecdsa.Sign(rand.Reader, s.key, sum[:])
	if err != nil {
		t.Fatal(err)
	}
	signature := make([]byte, 64)
	r.FillBytes(signature[:32])
	sig.FillBytes(signature[32:])
	return signed + "." + text(signature)
}

// visitor is a browser at the shop.
type visitor struct {
	t   *testing.T
	url string
	*http.Client
}

// open starts a shop over real HTTP, with its data in dir.
func open(t *testing.T, s *issuer, dir string) visitor {
	t.Helper()
	var app *shop.Shop
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { app.ServeHTTP(w, r) }))
	app, err := shop.New(t.Context(), shop.Config{
		ServerURL: s.URL, ProjectID: project, URL: server.URL, Database: filepath.Join(dir, "shop.db"),
		InboxURL: "http://localhost:8080/inbox?token=x&y=</script>", Log: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		server.Close()
		t.Fatal(err)
	}
	t.Cleanup(func() {
		server.Close()
		if err := app.Close(); err != nil {
			t.Error(err)
		}
	})
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	return visitor{t, server.URL, &http.Client{Jar: jar}}
}

// do sends a request and returns status and body.
func (v visitor) do(method, path, body string) (int, string) {
	v.t.Helper()
	r, err := http.NewRequestWithContext(v.t.Context(), method, v.url+path, strings.NewReader(body))
	if err != nil {
		v.t.Fatal(err)
	}
	if body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	r.Header.Set("Origin", v.url)
	resp, err := v.Do(r)
	if err != nil {
		v.t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		v.t.Fatal(err)
	}
	return resp.StatusCode, strings.TrimSpace(string(b))
}

func (v visitor) login(access, email string) (int, string) {
	body, err := json.Marshal(map[string]any{"email": email, "oauth_token": map[string]any{"access_token": access}, "user": map[string]any{"identifier": email}})
	if err != nil {
		v.t.Fatal(err)
	}
	return v.do("POST", "/login", string(body))
}

func (v visitor) me() (status int, id, contact string) {
	status, body := v.do("GET", "/me", "")
	var me struct {
		ID, Contact string
		Since       time.Time
	}
	if status == 200 {
		if err := json.Unmarshal([]byte(body), &me); err != nil || time.Since(me.Since) > time.Hour {
			v.t.Errorf("GET /me: got %s, %v", body, err)
		}
	}
	return status, me.ID, me.Contact
}

func TestSignInAndOut(t *testing.T) {
	s, dir := newIssuer(t), t.TempDir()
	v := open(t, s, dir)
	if status, _, _ := v.me(); status != 401 {
		t.Errorf("before: got %d", status)
	}
	if status, body := v.login(s.token(t, "ada", "ada@example.org"), "ada@example.org"); status != 200 {
		t.Fatalf("login: got %d %s", status, body)
	}
	status, id, contact := v.me()
	if status != 200 || id == "" || contact != "ada@example.org" {
		t.Errorf("after: got %d %q %q", status, id, contact)
	}
	// Again, with another address in the payload: the same row, unchanged.
	if status, body := v.login(s.token(t, "ada", "ada@example.org"), "mallory@example.org"); status != 200 {
		t.Fatalf("second login: got %d %s", status, body)
	}
	if _, again, contact := v.me(); again != id || contact != "ada@example.org" {
		t.Errorf("second login: got %q %q, want the first row", again, contact)
	}
	if status, body := v.login(s.token(t, "ada", "ada@example.org")+"x", "ada@example.org"); status != 403 || body != "Invalid access token" {
		t.Errorf("tampered token: got %d %q", status, body)
	}
	if status, _, _ := v.me(); status != 200 {
		t.Errorf("a refused login ended the session: got %d", status)
	}
	if status, _ := v.do("POST", "/logout", ""); status != 204 {
		t.Errorf("logout: got %d", status)
	}
	if status, _, _ := v.me(); status != 401 {
		t.Errorf("after the logout: got %d", status)
	}
}

func TestShopRemembers(t *testing.T) {
	s, dir := newIssuer(t), t.TempDir()
	v := open(t, s, dir)
	v.login(s.token(t, "ada", "ada@example.org"), "")
	_, id, _ := v.me()

	next := open(t, s, dir)
	next.login(s.token(t, "ada", "ada@example.org"), "")
	if _, again, _ := next.me(); again == "" || again != id {
		t.Errorf("after a restart: got the row %q, want %q", again, id)
	}
	info, err := os.Stat(filepath.Join(dir, "shop.db"))
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the database: got %v, %v; want a file of mode 0600", info.Mode(), err)
	}
}

func TestDeletedUserIsSignedOut(t *testing.T) {
	s, dir := newIssuer(t), t.TempDir()
	v := open(t, s, dir)
	v.login(s.token(t, "ada", "ada@example.org"), "")
	shop.DeleteUsers(t, filepath.Join(dir, "shop.db"))
	if status, _, _ := v.me(); status != 401 {
		t.Errorf("got %d, want 401", status)
	}
}

func TestPage(t *testing.T) {
	s := newIssuer(t)
	v := open(t, s, t.TempDir())
	for path, want := range map[string]string{
		"/":         `{"project":"` + project + `","server":"` + s.URL + `"}`,
		"/callback": "text/html; charset=utf-8",
		"/app.js":   "text/javascript; charset=utf-8",
		"/app.css":  "text/css; charset=utf-8",
		"/logo.svg": "image/svg+xml",
	} {
		resp, err := v.Get(v.url + path)
		if err != nil {
			t.Fatal(err)
		}
		b, _ := io.ReadAll(resp.Body)
		resp.Body.Close()
		if resp.StatusCode != 200 || !strings.Contains(string(b)+resp.Header.Get("Content-Type"), want) {
			t.Errorf("%s: got %d %s, want %s", path, resp.StatusCode, resp.Header.Get("Content-Type"), want)
		}
		policy := resp.Header.Get("Content-Security-Policy")
		for _, want := range []string{"default-src 'none'", "connect-src 'self' " + s.URL + ";", "frame-ancestors 'none'"} {
			if !strings.Contains(policy, want) {
				t.Errorf("%s: policy %q lacks %s", path, policy, want)
			}
		}
		if path == "/" && strings.Contains(string(b), `y=</script>`) {
			t.Error("the inbox address is not escaped")
		}
		if strings.Contains(string(b), "https://") || strings.Contains(string(b), "<style") || strings.Contains(string(b), "onclick") {
			t.Errorf("%s refers to elsewhere or has inline code", path)
		}
	}
}

// A page that is missing looks like the shop, and runs nothing.
func TestMissingPage(t *testing.T) {
	v := open(t, newIssuer(t), t.TempDir())
	for accept, want := range map[string]string{"text/html,*/*;q=0.8": "Back to the shop", "application/json": "404 page not found"} {
		r, err := http.NewRequestWithContext(t.Context(), "GET", v.url+"/nope", nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Accept", accept)
		resp, err := v.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		b, _ := io.ReadAll(resp.Body)
		resp.Body.Close()
		if resp.StatusCode != 404 || !strings.Contains(string(b), want) || strings.Contains(string(b), "<script") {
			t.Errorf("%s: got %d %s, want %q", accept, resp.StatusCode, b, want)
		}
	}
}

// What would keep everybody from signing in is in the log from the start.
func TestAsk(t *testing.T) {
	s, gone := newIssuer(t), newIssuer(t)
	gone.Close()
	good := shop.Config{ServerURL: s.URL, ProjectID: project, URL: allowed}
	for _, test := range []struct {
		name   string
		change func(*shop.Config)
		want   string // in the log; empty: nothing is logged
	}{
		{name: "all is well", change: func(*shop.Config) {}},
		{"unknown project", func(c *shop.Config) { c.ProjectID = "00000000-0000-4000-8000-000000000000" }, "knows no project with this key id"},
		{"unlisted origin", func(c *shop.Config) { c.URL = "http://localhost:3000" }, "splitpin project set --add-origin http://localhost:3000"},
		{"no such server", func(c *shop.Config) { c.ServerURL = gone.URL }, "does not answer"},
		{"another server", func(c *shop.Config) { c.ServerURL = s.URL + "/elsewhere" }, "Is this its URL?"},
	} {
		var log bytes.Buffer
		c := good
		test.change(&c)
		c.Log, c.Database = slog.New(slog.NewTextHandler(&log, nil)), filepath.Join(t.TempDir(), "shop.db")
		app, err := shop.New(t.Context(), c)
		if err != nil {
			t.Fatal(err)
		}
		app.Ask(t.Context())
		if got := log.String(); !strings.Contains(got, test.want) || (got == "") != (test.want == "") {
			t.Errorf("%s: the log says %q, want %q", test.name, got, test.want)
		}
		if err := app.Close(); err != nil {
			t.Error(err)
		}
	}
}

func TestOtherHostNames(t *testing.T) {
	s := newIssuer(t)
	v := open(t, s, t.TempDir())
	r, err := http.NewRequestWithContext(t.Context(), "GET", v.url+"/", nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Host = "rebound.example"
	resp, err := v.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != http.StatusMisdirectedRequest {
		t.Errorf("got %d, want 421", resp.StatusCode)
	}
}

func TestNewRefuses(t *testing.T) {
	good := shop.Config{ServerURL: "https://auth.example.com", ProjectID: project, URL: "https://shop.example.com", Database: filepath.Join(t.TempDir(), "a.db")}
	for name, change := range map[string]func(*shop.Config){
		"good":        func(*shop.Config) {},
		"no project":  func(c *shop.Config) { c.ProjectID = "" },
		"no key id":   func(c *shop.Config) { c.ProjectID = "nope" },
		"no server":   func(c *shop.Config) { c.ServerURL = "" },
		"no URL":      func(c *shop.Config) { c.URL = "" },
		"plain http":  func(c *shop.Config) { c.URL = "http://shop.example.com" },
		"no database": func(c *shop.Config) { c.Database = "" },
		"no folder":   func(c *shop.Config) { c.Database = filepath.Join(t.TempDir(), "x", "a.db") },
	} {
		c := good
		change(&c)
		s, err := shop.New(t.Context(), c)
		if (err == nil) != (name == "good") {
			t.Errorf("%s: got %v", name, err)
		}
		if err == nil {
			s.Close()
		}
	}
}
