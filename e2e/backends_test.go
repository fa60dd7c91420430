package e2e

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/cookiejar"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// A site is one of the example backends, running, with a database of its own.
type site struct {
	name string
	url  string
	app  string // the origin whose pages may call it
}

// startSites starts the three examples for one project, as their READMEs say.
func startSites(t *testing.T, p *project, app string) []site {
	t.Helper()
	const secret = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
	start := func(name, app, dir string, env []string, program string, args ...string) site {
		addr := freeAddr(t)
		s := site{name: name, url: "http://localhost:" + port(addr), app: app}
		if app == "" {
			s.app = s.url // the page is the backend's own
		}
		for i := range env {
			env[i] = strings.NewReplacer("{addr}", addr, "{port}", port(addr), "{url}", s.url).Replace(env[i])
		}
		launch(t, dir, env, program, args...).ready(t, s.url+"/me")
		return s
	}
	database := func() string { return filepath.Join(t.TempDir(), "users.db") }
	env := func() []string {
		return []string{"PORT={port}", "API_KEY_ID=" + p.id, "LOGIN_URL=" + p.url, "LOGIN_ISSUER=" + p.issuer(), "APP_ORIGIN=" + app, "SESSION_SECRET=" + secret, "DATABASE=" + database()}
	}
	return []site{
		start("Go", "", t.TempDir(),
			[]string{"LOGIN_URL=" + p.url, "API_KEY_ID=" + p.id, "LOGIN_ISSUER=" + p.issuer(), "SHOP_URL={url}", "SHOP_LISTEN={addr}", "SHOP_DATABASE=" + database()}, backend),
		start("Express", app, filepath.Join(root, "examples/express"), env(), node, "server.js"),
		start("Flask", app, filepath.Join(root, "examples/flask"), env(), python, "app.py"),
	}
}

// A visitor is somebody's browser at a site: it keeps cookies.
type visitor struct {
	site
	client *http.Client
}

func (s site) visit(t *testing.T) *visitor {
	t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	return &visitor{s, &http.Client{Jar: jar}}
}

// call calls the site as its page would.
func (v *visitor) call(t *testing.T, method, path string, body any) (*http.Response, string) {
	t.Helper()
	answer, text, err := try(t.Context(), v.client, method, v.url+path, http.Header{"Origin": {v.app}}, body)
	if err != nil {
		t.Fatalf("%s: %s %s: %v", v.name, method, path, err)
	}
	return answer, string(text)
}

// login posts a payload and returns the id of the user's row, or "" if refused.
func (v *visitor) login(t *testing.T, payload any) (*http.Response, string) {
	t.Helper()
	answer, body := v.call(t, "POST", "/login", payload)
	if answer.StatusCode != http.StatusOK {
		return answer, ""
	}
	return answer, row(t, body)
}

// row finds the id of the user's row in an answer.
func row(t *testing.T, body string) string {
	t.Helper()
	user := decode[map[string]any](t, []byte(body))
	if inner, ok := user["user"].(map[string]any); ok {
		user = inner
	}
	id, err := json.Marshal(user["id"])
	if err != nil || user["id"] == nil {
		t.Fatalf("no row id in %s", body)
	}
	return string(id)
}

// The payload of a real sign-in logs in at each of the three examples, and
// nothing else does.
func TestBackends(t *testing.T) {
	t.Parallel()
	d, c, b := startDev(t), startCustomer(t), startBrowser(t)
	p := d.createProject(t, "Shop", c.URL)
	other := d.createProject(t, "Other shop", c.URL)
	sites := startSites(t, p, c.URL)
	payload := b.open(t, c.page(p)).signInThroughForm(p, "ada@example.org")
	second := p.signIn(t, "ada@example.org")
	somebody := p.signIn(t, "grace@example.org")
	foreign := other.signIn(t, "ada@example.org")

	// with returns the payload with other tokens or another address.
	with := func(change func(top, tokens map[string]any)) map[string]any {
		top := decode[map[string]any](t, payload)
		change(top, object(t, top, "oauth_token"))
		return top
	}
	for _, s := range sites {
		t.Run(s.name, func(t *testing.T) {
			v := s.visit(t)
			if answer, _ := v.call(t, "GET", "/me", nil); answer.StatusCode != http.StatusUnauthorized {
				t.Errorf("GET /me of a stranger: got %s, want 401", answer.Status)
			}
			answer, ada := v.login(t, payload)
			if ada == "" {
				t.Fatalf("the payload is refused: %s", answer.Status)
			}
			checkCookies(t, answer)
			me, body := v.call(t, "GET", "/me", nil)
			if me.StatusCode != http.StatusOK || row(t, body) != ada || !strings.Contains(body, "ada@example.org") {
				t.Errorf("GET /me: got %s %s, want the row %s of ada@example.org", me.Status, body, ada)
			}
			if got := me.Header.Get("Access-Control-Allow-Origin"); s.app != s.url && got != s.app {
				t.Errorf("Access-Control-Allow-Origin: got %q, want %q", got, s.app)
			}

			if _, again := s.visit(t).login(t, payload); again != ada {
				t.Errorf("the second login gives row %q, want %s", again, ada)
			}
			later := with(func(top, tokens map[string]any) { tokens["access_token"] = second.AccessToken })
			if _, again := s.visit(t).login(t, later); again != ada {
				t.Errorf("a later sign-in gives row %q, want %s", again, ada)
			}
			changed := with(func(top, tokens map[string]any) {
				top["email"] = "grace@example.org"
				object(t, top, "user")["identifier"] = "grace@example.org"
				object(t, top, "user")["ID"] = newUUID()
			})
			liar := s.visit(t)
			if _, got := liar.login(t, changed); got != ada {
				t.Errorf("a payload that claims another address gives row %q, want %s", got, ada)
			}
			if _, body := liar.call(t, "GET", "/me", nil); strings.Contains(body, "grace") {
				t.Errorf("the address of the payload was believed: %s", body)
			}
			grace := with(func(top, tokens map[string]any) { tokens["access_token"] = somebody.AccessToken })
			if _, got := s.visit(t).login(t, grace); got == "" || got == ada {
				t.Errorf("somebody else gets row %q", got)
			}

			access := object(t, decode[map[string]any](t, payload), "oauth_token")["access_token"].(string)
			for name, token := range map[string]any{
				"tampered":             tamper(access),
				"of another project":   foreign.AccessToken,
				"an id token":          second.IDToken,
				"a refresh token":      second.RefreshToken,
				"unsigned":             unsigned(access),
				"empty":                "",
				"a number":             7,
				"missing":              nil,
				"longer than we allow": access + strings.Repeat("A", 9000),
			} {
				answer, body := s.visit(t).call(t, "POST", "/login", with(func(top, tokens map[string]any) { tokens["access_token"] = token }))
				if answer.StatusCode != http.StatusForbidden || strings.TrimSpace(body) != "Invalid access token" {
					t.Errorf("a token that is %s: got %s %q, want 403 %q", name, answer.Status, body, "Invalid access token")
				}
			}

			// From another page, and too much of it.
			evil := s.visit(t)
			evil.app = "https://evil.example"
			answer, _ = evil.call(t, "POST", "/login", payload)
			if answer.StatusCode != http.StatusForbidden || answer.Header.Get("Access-Control-Allow-Origin") == evil.app {
				t.Errorf("a login from another origin: got %s with Access-Control-Allow-Origin %q, want 403 without", answer.Status, answer.Header.Get("Access-Control-Allow-Origin"))
			}
			answer, _ = s.visit(t).call(t, "POST", "/login", with(func(top, tokens map[string]any) { top["more"] = strings.Repeat("x", 1<<20) }))
			if answer.StatusCode != http.StatusRequestEntityTooLarge {
				t.Errorf("a megabyte: got %s, want 413", answer.Status)
			}

			// A session id from before the login is worth nothing after it, and one
			// from before the logout nothing either.
			before := cookies(v)
			if _, got := v.login(t, payload); got != ada {
				t.Fatalf("logging in again: got row %q", got)
			}
			if replay(t, v, before) == http.StatusOK {
				t.Error("the session id of the first login is good after the second")
			}
			kept := cookies(v)
			if answer, body := v.call(t, "POST", "/logout", nil); answer.StatusCode >= 300 {
				t.Errorf("POST /logout: %s %s", answer.Status, body)
			}
			if answer, _ := v.call(t, "GET", "/me", nil); answer.StatusCode != http.StatusUnauthorized {
				t.Errorf("GET /me after the logout: got %s, want 401", answer.Status)
			}
			if replay(t, v, kept) == http.StatusOK {
				t.Error("a copy of the cookie is good after the logout")
			}
		})
	}
}

// The two that sign their own cookies do not start without a secret, and say
// which setting is missing.
func TestBackendsNeedASecret(t *testing.T) {
	for name, command := range map[string][]string{
		"Express": {filepath.Join(root, "examples/express"), node, "server.js"},
		"Flask":   {filepath.Join(root, "examples/flask"), python, "app.py"},
	} {
		p := launch(t, command[0], []string{"API_KEY_ID=" + newUUID(), "SESSION_SECRET=", "DATABASE=" + filepath.Join(t.TempDir(), "users.db")}, command[1], command[2:]...)
		select {
		case <-p.exited:
		case <-time.After(deadlines.start):
			t.Fatalf("%s starts without a secret", name)
		}
		if code := p.cmd.ProcessState.ExitCode(); code == 0 || !strings.Contains(p.out.String(), "SESSION_SECRET") {
			t.Errorf("%s without a secret: exit status %d, %s", name, code, p.out.String())
		}
	}
}

// Twenty first logins at once are one user.
func TestBackendsFirstLoginsAtOnce(t *testing.T) {
	d := startDev(t)
	p := d.createProject(t, "Shop", "http://127.0.0.1:1")
	tokens := p.signIn(t, "ada@example.org")
	payload := map[string]any{"email": "ada@example.org", "oauth_token": map[string]any{"access_token": tokens.AccessToken}}
	for _, s := range startSites(t, p, "http://127.0.0.1:1") {
		rows := make(chan string)
		for range 20 {
			go func() {
				_, text, err := try(t.Context(), http.DefaultClient, "POST", s.url+"/login", http.Header{"Origin": {s.app}}, payload)
				if err != nil {
					rows <- err.Error()
					return
				}
				var user struct {
					ID   any `json:"id"`
					User struct {
						ID any `json:"id"`
					} `json:"user"`
				}
				if err := json.Unmarshal(text, &user); err != nil {
					rows <- string(text)
					return
				}
				rows <- fmt.Sprint(user.ID, user.User.ID)
			}()
		}
		seen := map[string]int{}
		for range 20 {
			seen[<-rows]++
		}
		if len(seen) != 1 {
			t.Errorf("%s: twenty first logins at once gave %v, want one row", s.name, seen)
		}
	}
}

// checkCookies holds the cookies of a login against security 36.
func checkCookies(t *testing.T, answer *http.Response) {
	t.Helper()
	if len(answer.Cookies()) == 0 {
		t.Error("the login sets no cookie")
	}
	for _, c := range answer.Cookies() {
		if !c.HttpOnly || c.SameSite != http.SameSiteLaxMode || c.Path != "/" || c.Domain != "" {
			t.Errorf("the cookie %s: want HttpOnly, SameSite=Lax, Path=/ and no domain", c)
		}
	}
}

func cookies(v *visitor) string {
	request, _ := http.NewRequest("GET", v.url, nil)
	var list []string
	for _, c := range v.client.Jar.Cookies(request.URL) {
		list = append(list, c.Name+"="+c.Value)
	}
	return strings.Join(list, "; ")
}

// replay asks who a cookie belongs to.
func replay(t *testing.T, v *visitor, cookie string) int {
	t.Helper()
	answer, _, err := try(t.Context(), http.DefaultClient, "GET", v.url+"/me", http.Header{"Cookie": {cookie}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	return answer.StatusCode
}

// tamper changes one bit of a token's signature.
func tamper(token string) string {
	i := len(token) - 20
	replacement := byte('A')
	if token[i] == 'A' {
		replacement = 'B'
	}
	return token[:i] + string(replacement) + token[i+1:]
}
