package e2e

import (
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/evanw/esbuild/pkg/api"

	v1 "github.com/splitpin/splitpin/api"
)

// The library of sdk/, in a page of another site than the server's, as an app
// without a backend of its own has it. What it does about failures that no
// healthy server shows is tested in sdk/test.

// bundledSDK is the library as one module.
var bundledSDK = sync.OnceValues(func() ([]byte, error) {
	result := api.Build(api.BuildOptions{
		EntryPoints: []string{filepath.Join(root, "sdk/src/index.ts")}, AbsWorkingDir: root, Bundle: true,
		Format: api.FormatESModule, Target: api.ES2022, LogLevel: api.LogLevelSilent,
	})
	if len(result.Errors) > 0 {
		return nil, fmt.Errorf("bundling the library: %v", result.Errors)
	}
	return result.OutputFiles[0].Contents, nil
})

// A singlePage is the app. Its clock is wrong by what the parameter skew says, in
// milliseconds, and by what a test adds to skew later.
type singlePage struct {
	*httptest.Server
	project *project
	mu      sync.Mutex
	refuses bool     // the API refuses every token
	refusal string   // the challenge with which it does
	tokens  []string // what the API was shown
}

const singlePageHTML = `<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>App</title></head><body><h1>App</h1>
<script>
const query = new URLSearchParams(location.search), real = Date.now;
let skew = Number(query.get("skew"));
Date.now = () => real() + skew;
const heard = [];
</script>
<script type="module">
import * as sdk from "/splitpin.js";
globalThis.sdk = sdk;
globalThis.auth = new sdk.Splitpin({ server: %q, project: %q, storage: query.get("storage") ?? "local", apis: [location.origin] });
auth.onChange((now) => heard.push(now && now.user.identifier));
globalThis.caught = (promise) => promise.then((value) => ({ value }), (e) => ({ code: e.code, message: e.message, triesLeft: e.triesLeft, status: e.status, name: e.name }));
globalThis.back = caught(auth.handleRedirect());
await back;
globalThis.ready = true;
</script></body></html>`

func startSinglePage(t *testing.T, d *dev) *singlePage {
	t.Helper()
	library, err := bundledSDK()
	if err != nil {
		t.Fatal(err)
	}
	a := &singlePage{}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /splitpin.js", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/javascript")
		w.Write(library)
	})
	mux.HandleFunc("GET /favicon.ico", func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(http.StatusNoContent) })
	mux.HandleFunc("/api/echo", func(w http.ResponseWriter, r *http.Request) {
		a.mu.Lock()
		defer a.mu.Unlock()
		a.tokens = append(a.tokens, strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer "))
		if a.refuses {
			w.Header().Set("WWW-Authenticate", a.refusal)
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		io.Copy(w, r.Body)
	})
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		fmt.Fprintf(w, singlePageHTML, a.project.url, a.project.id)
	})
	a.Server = httptest.NewServer(mux)
	t.Cleanup(a.Close)
	a.project = d.createProject(t, "App", a.URL, a.named().URL)
	return a
}

// named is the same app under a name: an IP address can have no passkeys.
func (a *singlePage) named() *singlePage {
	return &singlePage{Server: &httptest.Server{URL: strings.Replace(a.URL, "127.0.0.1", "localhost", 1)}, project: a.project}
}

// open opens the app in a new tab and waits until it runs.
func (a *singlePage) open(t *testing.T, b *browser, path string) *tab {
	t.Helper()
	page := b.open(t, a.URL+path)
	page.await("the app runs", "globalThis.ready")
	return page
}

// shown returns the tokens that the API saw since the last time.
func (a *singlePage) shown() []string {
	a.mu.Lock()
	defer a.mu.Unlock()
	tokens := a.tokens
	a.tokens = nil
	return tokens
}

func (a *singlePage) refuse(refuses bool, challenge string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.refuses, a.refusal = refuses, challenge
}

// signInWithForm signs in by a form of the app's own.
func (a *singlePage) signInWithForm(t *testing.T, page *tab, address string) {
	t.Helper()
	eval[any](page, fmt.Sprintf(`(async () => { globalThis.attempt = await auth.start({ identifier: %q }); })()`, address))
	if got := eval[string](page, fmt.Sprintf(`attempt.answer(%q).then((now) => now.user.identifier)`, a.project.code(t, address))); got != address {
		t.Fatalf("signed in as %q, want %s", got, address)
	}
}

type caught struct {
	Value     json.RawMessage
	Code      string
	Message   string
	Name      string
	Status    int
	TriesLeft *int
}

const waking = `globalThis.woken = caught(auth.accessToken())`

// rotations is how often the refresh token in the page's storage was replaced.
func rotations(t *testing.T, page *tab) uint32 {
	t.Helper()
	token := eval[string](page, `auth.current().then((now) => now.refresh_token)`)
	_, secret, _ := strings.Cut(token, ":")
	raw, err := base64.RawURLEncoding.DecodeString(secret)
	if err != nil || len(raw) < 4 {
		t.Fatalf("no refresh token: %q", token)
	}
	return binary.BigEndian.Uint32(raw)
}

func TestSDKSignsInOnOurPage(t *testing.T) {
	t.Parallel()
	d, b := startDev(t), startBrowser(t)
	a := startSinglePage(t, d)
	page := a.open(t, b, "/orders?page=2#part")
	if got := eval[any](page, "auth.current()"); got != nil {
		t.Fatalf("somebody is signed in: %v", got)
	}

	eval[any](page, `void auth.signIn({ loginHint: "ada@example.org" })`)
	page.await("our page asks", `location.pathname === "/signin" && document.querySelector("#address")?.value === "ada@example.org"`)
	page.click("#address-submit")
	page.giveCode(d.code(t, "ada@example.org"))
	page.click("#code-submit") // a program on this machine gets nothing without a tap (security 5)
	page.await("the app is back", "globalThis.ready")
	if got := eval[string](page, "location.href"); got != a.URL+"/orders" {
		t.Errorf("came back to %s: the code must leave the address bar", got)
	}
	if got := eval[string](page, "back.then((b) => b.value.user.identifier)"); got != "ada@example.org" {
		t.Errorf("handleRedirect gave %q", got)
	}
	if got := eval[bool](page, "auth.handleRedirect().then((now) => now.user.identifier === 'ada@example.org')"); !got {
		t.Error("a second handleRedirect gave something else")
	}
	if got := eval[[]string](page, "Object.keys(sessionStorage)"); len(got) != 0 {
		t.Errorf("the tab still keeps %v", got)
	}

	// It stays so over a reload, and in another tab.
	page.go_(a.URL + "/")
	page.await("the app runs", "globalThis.ready")
	for _, tab := range []*tab{page, a.open(t, b, "/")} {
		if got := eval[string](tab, "auth.user().then((u) => u.identifier)"); got != "ada@example.org" {
			t.Errorf("after a reload it is %q", got)
		}
	}
}

// What comes back is believed only where it answers this tab's own question.
func TestSDKRefusesForeignAnswers(t *testing.T) {
	t.Parallel()
	d, b := startDev(t), startBrowser(t)
	a := startSinglePage(t, d)
	verifier, challenge := pkce()
	_ = verifier // an attacker's, who has signed in and sends the result to somebody else
	granted := a.project.prove(t, "mallory@example.org", challenge)
	foreign := url.Values{"code": {granted.AuthorizationCode}, "challenge_id": {fmt.Sprint(granted.ChallengeID)}, "iss": {a.project.issuer()}, "state": {"s"}}

	page := a.open(t, b, "/?keep=1&"+foreign.Encode())
	if got := eval[caught](page, "back"); got.Code != "not_ours" {
		t.Errorf("an answer nobody asked for: got %+v, want not_ours", got)
	}
	if got := eval[string](page, "location.search"); got != "?keep=1" {
		t.Errorf("the address bar keeps %q", got)
	}

	// A question was asked, and the answer has its state but is another server's.
	ask := func() (state string) {
		t.Helper()
		eval[any](page, `void auth.signIn({ redirectUrl: "/done" })`)
		page.await("our page is there", `location.pathname === "/signin"`)
		return eval[string](page, `new URLSearchParams(location.search).get("state")`)
	}
	for name, change := range map[string]func(url.Values){
		"wrong_issuer":  func(v url.Values) { v.Set("iss", "https://id.example.net") },
		"not_ours":      func(v url.Values) { v.Set("state", v.Get("state")+"x") },
		"access_denied": func(v url.Values) { v.Del("code"); v.Set("error", "access_denied") },
		"expired":       func(v url.Values) { v.Del("code"); v.Set("error", "expired") },
		"grant_invalid": func(v url.Values) {}, // its code is for another verifier
	} {
		answer := url.Values{"code": {granted.AuthorizationCode}, "iss": {a.project.issuer()}, "state": {ask()}}
		change(answer)
		page.go_(a.URL + "/done?" + answer.Encode())
		page.await("the app runs", "globalThis.ready")
		if got := eval[caught](page, "back"); got.Code != name || got.Name != "SplitpinError" || len(got.Message) < 10 {
			t.Errorf("got %+v, want %s with a sentence for the person", got, name)
		}
		if got := eval[string](page, "location.search"); got != "" {
			t.Errorf("%s: the address bar keeps %q", name, got)
		}
	}
	if got := eval[any](page, "auth.current()"); got != nil {
		t.Errorf("somebody is signed in: %v", got)
	}
}

func TestSDKWithAFormOfItsOwn(t *testing.T) {
	t.Parallel()
	d, b := startDev(t), startBrowser(t)
	a := startSinglePage(t, d)
	page := a.open(t, b, "/")

	if got := eval[caught](page, `caught(auth.start({ identifier: "not an address" }))`); got.Code != "invalid_identifier" || got.Status != 400 {
		t.Errorf("a bad address: got %+v", got)
	}
	eval[any](page, `(async () => { globalThis.attempt = await auth.start({ identifier: " Ada@Example.org" }); })()`)
	if got := eval[string](page, "attempt.told.identifier"); got != "ada@example.org" {
		t.Errorf("the attempt is for %q", got)
	}
	if in := eval[[]float64](page, "[attempt.expiresIn, attempt.resendIn]"); in[0] < 500 || in[0] > 600 || in[1] < 1 || in[1] > 30 {
		t.Errorf("expiresIn and resendIn are %v", in)
	}
	if got := eval[caught](page, `caught(attempt.resend())`); got.Code != "resend_too_soon" {
		t.Errorf("a resend at once: got %+v", got)
	}
	code := d.code(t, "ada@example.org")
	if got := eval[caught](page, fmt.Sprintf(`caught(attempt.answer(%q))`, wrongCode(code, 1))); got.Code != "wrong_code" || got.TriesLeft == nil || *got.TriesLeft != 4 {
		t.Errorf("a wrong code: got %+v", got)
	}

	// The phone threw the page away while the person read the mail.
	page.go_(a.URL + "/")
	page.await("the app runs", "globalThis.ready")
	if got := eval[int](page, `(async () => { globalThis.attempt = await auth.resume(); return attempt.told.tries_left; })()`); got != 4 {
		t.Errorf("the attempt that was found again has %d tries, want 4", got)
	}
	// The answer is right, and the collection fails: the same call goes on from there.
	b.spoil("POST", "/p/"+a.project.id+"/v1/token", func(w http.ResponseWriter, r *http.Request) { panic(http.ErrAbortHandler) })
	if got := eval[caught](page, fmt.Sprintf(`caught(attempt.answer(%q))`, code)); got.Code != "offline" && got.Code != "unavailable" {
		t.Errorf("a collection without a network: got %+v", got)
	}
	b.spoil("POST", "/p/"+a.project.id+"/v1/token", nil)
	if got := eval[string](page, fmt.Sprintf(`attempt.answer(%q).then((now) => now.user.identifier)`, code)); got != "ada@example.org" {
		t.Errorf("signed in as %q", got)
	}
	if got := eval[any](page, "auth.resume()"); got != nil {
		t.Errorf("the attempt is still kept: %v", got)
	}

	// The account.
	other := a.project.signIn(t, "ada@example.org")
	if got := eval[int](page, "auth.sessions().then((list) => list.length)"); got != 2 {
		t.Errorf("%d sessions, want 2", got)
	}
	if got := eval[int](page, "auth.endOtherSessions()"); got != 1 {
		t.Errorf("%d sessions ended, want 1", got)
	}
	if answer, _ := call(t, "GET", a.project.v1()+"/user", http.Header{"Authorization": {"Bearer " + other.AccessToken}}, nil); answer.StatusCode != http.StatusUnauthorized {
		t.Errorf("the other session lives: %s", answer.Status)
	}
	eval[any](page, `(async () => { globalThis.attempt = await auth.confirm({ identifier: "ada@example.org" }); })()`)
	if got := eval[bool](page, fmt.Sprintf(`(async () => { const before = await auth.current(), now = await attempt.answer(%q); return now.refresh_token === before.refresh_token; })()`,
		d.code(t, "ada@example.org"))); !got {
		t.Error("a confirmation is another session")
	}
	if got := eval[[]any](page, "auth.credentials()"); len(got) != 0 {
		t.Errorf("credentials: %v", got)
	}
	refresh := eval[string](page, "auth.current().then((now) => now.refresh_token)")
	eval[any](page, "auth.logOut()")
	if got := eval[caught](page, "caught(auth.user())"); got.Code != "signed_out" {
		t.Errorf("after logOut: got %+v, want signed_out", got)
	}
	if answer, _ := call(t, "POST", a.project.v1()+"/token", nil, v1.TokenRequest{GrantType: "refresh_token", RefreshToken: refresh}); answer.StatusCode != http.StatusBadRequest {
		t.Errorf("after logOut its refresh token gives %s", answer.Status)
	}
}

// Three tabs wake at once, again and again, each time long after what they have
// became worthless: one rotation each time, and nobody is signed out.
func TestSDKTabsShareOneRefresh(t *testing.T) {
	t.Parallel()
	for _, locks := range []bool{true, false} {
		t.Run(fmt.Sprintf("locks=%v", locks), func(t *testing.T) {
			clock := newClock(t)
			d, b := startDevWith(t, clock.binary, clock.env()), startBrowser(t)
			a := startSinglePage(t, d)
			tabs := []*tab{a.open(t, b, "/")}
			a.signInWithForm(t, tabs[0], "ada@example.org")
			tabs = append(tabs, a.open(t, b, "/"), a.open(t, b, "/"))
			if !locks {
				for _, tab := range tabs {
					eval[any](tab, `void Object.defineProperty(navigator, "locks", { value: undefined })`)
				}
			}
			eval[any](tabs[0], "void (heard.length = 0)") // of the sign-in
			before, path := rotations(t, tabs[0]), "POST /p/"+a.project.id+"/v1/token"
			count := func() (n int) {
				for _, line := range b.requests(a.project.url) {
					if line == path {
						n++
					}
				}
				return n
			}
			for expiry := uint32(1); expiry <= 4; expiry++ {
				clock.advance(t, 2*time.Hour)
				asked := count()
				release := b.hold("POST", "/p/"+a.project.id+"/v1/token")
				defer release()
				for _, tab := range tabs {
					eval[any](tab, `void (skew += 2 * 3600_000, `+waking+`)`)
				}
				if locks {
					tabs[0].await("one has the lock and two wait for it",
						`(({ held, pending }) => held.length === 1 && pending.length === 2)(await navigator.locks.query())`)
					until(t, deadlines.step, "one has asked", func() bool { return count() > asked })
					if n := count() - asked; n != 1 {
						t.Errorf("expiry %d: %d requests at once, want 1", expiry, n)
					}
				} else {
					until(t, deadlines.step, "all have asked", func() bool { return count() == asked+3 })
				}
				release()
				for i, tab := range tabs {
					got := eval[caught](tab, "woken")
					var token string
					json.Unmarshal(got.Value, &token)
					if strings.Count(token, ".") != 2 {
						t.Fatalf("expiry %d, tab %d: got %+v, want an access token", expiry, i, got)
					}
				}
				if got := rotations(t, tabs[0]); got != before+expiry {
					t.Errorf("expiry %d: the token rotated %d times", expiry, got-before)
				}
			}
			if got := eval[[]any](tabs[2], "heard"); len(got) != 0 {
				t.Errorf("a tab heard of a change: %v", got)
			}

			// The session is ended elsewhere: all of them hear of it, whoever asks.
			answer, body := call(t, "DELETE", a.project.v1()+"/users/"+eval[string](tabs[0], "auth.current().then((now) => now.user.id)")+"/sessions",
				http.Header{"Authorization": {"Bearer " + a.project.secret}}, nil)
			if answer.StatusCode != http.StatusOK {
				t.Fatalf("ending the sessions: %s %s", answer.Status, body)
			}
			if got := eval[any](tabs[1], `(skew += 2 * 3600_000, auth.accessToken())`); got != nil {
				t.Errorf("a session that has ended gives %v", got)
			}
			for i, tab := range tabs {
				tab.await(fmt.Sprintf("tab %d hears that it is over", i), `JSON.stringify(heard) === "[null]"`)
				if got := eval[any](tab, "auth.current()"); got != nil {
					t.Errorf("tab %d still has %v", i, got)
				}
			}
		})
	}
}

func TestSDKLogsOutInAllTabs(t *testing.T) {
	t.Parallel()
	d, b := startDev(t), startBrowser(t)
	a := startSinglePage(t, d)
	one, two := a.open(t, b, "/"), a.open(t, b, "/")
	a.signInWithForm(t, one, "ada@example.org")
	two.await("the other tab hears who signed in", `JSON.stringify(heard) === '["ada@example.org"]'`)
	if got := eval[string](two, "auth.user().then((u) => u.identifier)"); got != "ada@example.org" {
		t.Errorf("the other tab is %q", got)
	}
	eval[any](two, "auth.logOut()")
	one.await("the first tab hears who left", `JSON.stringify(heard) === '["ada@example.org",null]'`)
	if got := eval[caught](one, "caught(auth.fetch('/api/echo'))"); got.Code != "signed_out" || len(a.shown()) != 0 {
		t.Errorf("the first tab: got %+v, want signed_out", got)
	}
}

// A machine whose clock is wrong by days signs in, stays signed in, and does not
// refresh once more than others.
func TestSDKWrongClock(t *testing.T) {
	t.Parallel()
	d, b := startDev(t), startBrowser(t)
	a := startSinglePage(t, d)
	for _, days := range []int{-400, -3, 3, 400} {
		skew := fmt.Sprintf("/?skew=%d", time.Duration(days)*24*time.Hour/time.Millisecond)
		page := a.open(t, b, skew)
		address := fmt.Sprintf("ada%d@example.org", days+400)
		a.signInWithForm(t, page, address)
		before := rotations(t, page)
		page.go_(a.URL + skew)
		page.await("the app runs", "globalThis.ready")
		for _, tab := range []*tab{page, a.open(t, b, skew)} {
			eval[string](tab, "auth.accessToken()")
			if got := eval[string](tab, "auth.user().then((u) => u.identifier)"); got != address {
				t.Errorf("%d days: signed in as %q", days, got)
			}
		}
		if got := rotations(t, page); got != before {
			t.Errorf("%d days: %d refreshes, want none", days, got-before)
		}
		// Somebody sets the clock right: one refresh at the most.
		page.go_(a.URL + "/")
		page.await("the app runs", "globalThis.ready")
		for range 3 {
			if got := eval[string](page, "auth.accessToken()"); strings.Count(got, ".") != 2 {
				t.Errorf("%d days: after the clock was set right: %q", days, got)
			}
		}
		if got := rotations(t, page); got > before+1 {
			t.Errorf("%d days: %d refreshes after the clock was set right, want at most one", days, got-before)
		}
		eval[any](page, "auth.logOut()")
	}
}

// Whatever stands between the page and the server, nobody is signed out by it.
func TestSDKOutlivesFailures(t *testing.T) {
	t.Parallel()
	d, b := startDev(t), startBrowser(t)
	a := startSinglePage(t, d)
	page, other := a.open(t, b, "/"), a.open(t, b, "/")
	a.signInWithForm(t, page, "ada@example.org")
	eval[any](page, "void (heard.length = 0)")
	path := "/p/" + a.project.id + "/v1/token"
	says := func(status int, contentType, body string) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Access-Control-Allow-Origin", a.URL)
			w.Header().Set("Content-Type", contentType)
			w.WriteHeader(status)
			io.WriteString(w, body)
		}
	}
	failures := map[string]http.HandlerFunc{
		"no network":       func(w http.ResponseWriter, r *http.Request) { panic(http.ErrAbortHandler) },
		"429":              says(429, "application/problem+json", `{"code":"too_many_refreshes","retry_after":60}`),
		"500":              says(500, "application/problem+json", `{"code":"internal"}`),
		"503":              says(503, "text/html", "<html>starting"),
		"400 of a proxy":   says(400, "text/html", "<html>Bad Request"),
		"a captive portal": says(200, "text/html", "<html>Welcome to our Wi-Fi"),
		"a redirect to it": func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, a.URL+"/", http.StatusFound)
		},
	}
	rotated := rotations(t, page)
	for name, failure := range failures {
		b.spoil("POST", path, failure)
		if got := eval[caught](page, `caught((skew += 2 * 3600_000, auth.accessToken()))`); got.Name != "SplitpinError" || got.Code == "signed_out" {
			t.Errorf("%s: got %+v, want an error that passes", name, got)
		}
		if got := eval[string](page, "auth.current().then((now) => now.user.identifier)"); got != "ada@example.org" {
			t.Errorf("%s: it is %q now", name, got)
		}
		b.spoil("POST", path, nil)
		eval[any](page, `dispatchEvent(new Event("online"))`)
		if got := eval[string](page, "auth.accessToken()"); strings.Count(got, ".") != 2 {
			t.Errorf("%s: when it was over: %q", name, got)
		}
		rotated++
		if got := rotations(t, page); got != rotated {
			t.Errorf("%s: %d rotations too many", name, got-rotated)
		}
	}
	for _, tab := range []*tab{page, other} {
		if got := eval[[]any](tab, "heard.filter((h) => h === null)"); len(got) != 0 {
			t.Errorf("somebody heard that it is over: %v", got)
		}
	}
}

// A 401 of the app's own API costs a refresh only where it says that the token is
// invalid, and then one.
func TestSDKFetch(t *testing.T) {
	t.Parallel()
	d, b := startDev(t), startBrowser(t)
	a := startSinglePage(t, d)
	page := a.open(t, b, "/")
	a.signInWithForm(t, page, "ada@example.org")
	before := rotations(t, page)

	if got := eval[string](page, `auth.fetch("/api/echo", { method: "POST", body: "hello" }).then((r) => r.text())`); got != "hello" {
		t.Errorf("the API heard %q", got)
	}
	if tokens := a.shown(); len(tokens) != 1 || strings.Count(tokens[0], ".") != 2 {
		t.Errorf("the API was shown %d tokens", len(tokens))
	}

	for _, challenge := range []string{`Bearer realm="x", error="insufficient_scope"`, `Bearer`, ``, `DPoP error="invalid_dpop_proof"`} {
		a.refuse(true, challenge)
		for range 5 {
			if got := eval[int](page, `auth.fetch("/api/echo").then((r) => r.status)`); got != 401 {
				t.Errorf("got %d, want the API's own 401", got)
			}
		}
		if n := len(a.shown()); n != 5 {
			t.Errorf("%s: %d requests for 5 calls", challenge, n)
		}
	}
	if got := rotations(t, page); got != before {
		t.Errorf("%d refreshes for a 401 of another kind, want none", got-before)
	}

	a.refuse(true, `Bearer realm="x", error="invalid_token"`)
	for range 5 {
		if got := eval[int](page, `auth.fetch("/api/echo", { method: "POST", body: "hello" }).then((r) => r.status)`); got != 401 {
			t.Errorf("got %d, want the API's own 401", got)
		}
	}
	tokens := a.shown()
	if len(tokens) != 6 || len(slices.Compact(slices.Clone(tokens))) != 2 {
		t.Errorf("%d requests with %d tokens for 5 calls, want 6 with 2", len(tokens), len(slices.Compact(tokens)))
	}
	if got := rotations(t, page); got != before+1 {
		t.Errorf("%d refreshes, want 1", got-before)
	}

	// A token that the API takes once it is fresh: the body is sent again.
	a.refuse(false, "")
	if got := eval[string](page, `auth.fetch(new Request("/api/echo", { method: "PUT", body: "again" })).then((r) => r.text())`); got != "again" {
		t.Errorf("the API heard %q", got)
	}

	foreign := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		t.Errorf("a request went to an origin that is not listed: %s", r.Method)
	}))
	defer foreign.Close()
	if got := eval[caught](page, fmt.Sprintf(`caught(auth.fetch(%q))`, foreign.URL)); got.Code != "origin_not_listed" {
		t.Errorf("an origin that is not listed: got %+v", got)
	}
}

// In memory: nothing is left behind.
func TestSDKInMemory(t *testing.T) {
	t.Parallel()
	d, b := startDev(t), startBrowser(t)
	a := startSinglePage(t, d)
	page := a.open(t, b, "/?storage=memory")
	a.signInWithForm(t, page, "ada@example.org")
	if got := eval[int](page, "localStorage.length + sessionStorage.length"); got != 0 {
		t.Errorf("%d things are kept, want none", got)
	}
	page.go_(a.URL + "/?storage=memory")
	page.await("the app runs", "globalThis.ready")
	if got := eval[any](page, "auth.current()"); got != nil {
		t.Errorf("after a reload: %v", got)
	}
}
