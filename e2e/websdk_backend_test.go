package e2e

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
)

// What the published web SDK does together with a backend of the site's own.

// A backend adds claims to the session; the page is handed the new refresh token and
// has them at once, and after every refresh and reload.
func TestWebSDKCustomClaims(t *testing.T) {
	t.Parallel()
	d, c, b := startDev(t), startCustomer(t), startBrowser(t)
	p := d.createProject(t, "Shop", c.URL)
	page := b.open(t, c.page(p))
	first := object(t, decode[map[string]any](t, page.signInThroughForm(p, "ada@example.org")), "oauth_token")

	answer, body := call(t, "POST", p.cotter()+"/token/custom", http.Header{"API_KEY_ID": {p.id}, "API_SECRET_KEY": {p.secret}}, map[string]any{
		"token": first["access_token"], "refresh_token": first["refresh_token"], "custom_attributes": map[string]any{"role": "admin", "user_id": 125},
	})
	if answer.StatusCode != http.StatusOK {
		t.Fatalf("adding claims: %s %s", answer.Status, body)
	}
	added := decode[map[string]string](t, body)
	if got := claims(t, added["token"])["role"]; got != "admin" {
		t.Errorf("the token that was sent comes back with role %v", got)
	}

	set := eval[map[string]any](page, fmt.Sprintf("cotter.tokenHandler.updateTokensWithRefreshToken(%q)", added["refresh_token"]))
	wanted := func(when, token string) {
		t.Helper()
		if got := claims(t, token); got["role"] != "admin" || got["user_id"] != float64(125) {
			t.Errorf("%s: got %v, want role and user_id", when, got)
		}
	}
	wanted("from the SDK", set["access_token"].(string))
	wanted("in the id token", set["id_token"].(string))
	if got, want := eval[string](page, `localStorage.getItem("rft")`), set["refresh_token"]; got != want {
		t.Errorf("the SDK keeps %v, want %v", got, want)
	}
	wanted("from getAccessToken", eval[string](page, "token()"))
	page.go_(c.page(p))
	wanted("after a reload", eval[string](page, "token()"))
	if got := eval[string](page, "cotter.getLoggedInUser().identifier"); got != "ada@example.org" {
		t.Errorf("getLoggedInUser().identifier after a reload: got %q", got)
	}
	if got := eval[any](page, `cotter.tokenHandler.updateTokensWithRefreshToken("1:garbage")`); got != nil {
		t.Errorf("with a refresh token that is none: got %v, want null", got)
	}
}

// A site that gave a RedirectURL: the SDK posts the whole payload there, and what that
// answers is what the sign-in resolves to, or is rejected with.
func TestWebSDKRedirectURL(t *testing.T) {
	t.Parallel()
	d, c, b := startDev(t), startCustomer(t), startBrowser(t)
	var mu sync.Mutex
	var posted []byte
	status, said := http.StatusOK, `{"welcome":"ada"}`
	site := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Access-Control-Allow-Origin", c.URL)
		w.Header().Set("Access-Control-Allow-Headers", "content-type")
		if r.Method == http.MethodOptions {
			return
		}
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		mu.Lock()
		defer mu.Unlock()
		posted = body
		if json.Valid([]byte(said)) {
			w.Header().Set("Content-Type", "application/json")
		} else {
			w.Header().Set("Content-Type", "text/plain")
		}
		w.WriteHeader(status)
		io.WriteString(w, said)
	}))
	t.Cleanup(site.Close)
	p := d.createProject(t, "Shop", c.URL, site.URL)
	redirected := func(url string) *tab {
		page := b.open(t, c.page(p))
		eval[any](page, fmt.Sprintf(`void (window.cotter = new Cotter({ApiKeyID: %q, Type: "", RedirectURL: %q}))`, p.id, url))
		return page
	}

	page := redirected(site.URL + "/login?from=form")
	if got := string(page.signInThroughForm(p, "ada@example.org")); got != said {
		t.Errorf("the sign-in resolved to %s, want what the site answered", got)
	}
	mu.Lock()
	checkPayload(t, p, posted, "ada@example.org")
	status, said = http.StatusForbidden, "Invalid access token"
	mu.Unlock()

	page = redirected(site.URL + "/login")
	form := page.signIn(p)
	form.giveAddress("bob@example.org")
	form.giveCode(d.code(t, "bob@example.org"))
	page.await("the promise is settled", `outcome.state !== "pending"`)
	if o := page.outcome(); o.State != "rejected" || !strings.Contains(o.Error, said) {
		t.Errorf("the sign-in was %s with %s, want rejected with what the site answered", o.State, o.Error)
	}
	form.awaitText("#status-title", says(t, "unfinished.title"))

	// A RedirectURL that the project does not list gets no form.
	page = redirected("https://evil.example/login")
	page.signIn(p).awaitText("main", "is not in the list of allowed URLs")
}
