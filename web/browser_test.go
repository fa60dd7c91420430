package web

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"html"
	"io"
	"math/bits"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	shot "github.com/chromedp/cdproto/page"
	"github.com/chromedp/chromedp"
)

// These tests hold the form in a real browser against a stand-in for /v1 that
// answers what no healthy server would: what the form does then is the point.
// The whole way with the real server and the published SDK is tested in e2e.

// A stage is a browser with a form in it and somebody who frames the form.
type stage struct {
	ctx      context.Context
	ours     string // origin of the form
	customer string // origin of the page that frames it; another site, not only another origin

	frames int // shown so far

	person *person // who is signed in, for the page about the account; nil: nobody

	mu    sync.Mutex
	calls []string // of /v1: method, path, body
}

// The stand-in for /v1 does what the name before the @ says.
func (s *stage) v1(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	var in struct {
		Method, Identifier, Puzzle, Captcha, Code, Link string
		Recover                                         bool
		Signature                                       string `json:"signature"` // of a browser's own key
	}
	json.Unmarshal(body, &in)
	s.mu.Lock()
	s.calls = append(s.calls, r.Method+" "+r.URL.Path+" "+string(body))
	s.mu.Unlock()

	reply := func(status int, v any) {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(status)
		json.NewEncoder(w).Encode(v)
	}
	type object = map[string]any
	attempt := func(name string) object {
		a := object{"id": name, "identifier": name + "@example.org", "state": "open", "tries_left": 5,
			"expires_in": 600, "resend_in": 0, "code": object{"length": 6, "alphabet": "0123456789"}}
		switch name {
		case "letters":
			a["code"] = object{"length": 8, "alphabet": "BCDFGHJKLMNPQRSTVWXZ"}
		case "short":
			a["expires_in"] = 0
		}
		return a
	}
	// A phone number is somebody by its last digit.
	if people := map[byte]string{'0': "ada", '1': "busy", '2': "elsewhere", '3': "letin", '4': "denied", '6': "rested", '7': "abroad", '8': "spent"}; strings.HasPrefix(in.Identifier, "+") {
		in.Identifier = people[in.Identifier[len(in.Identifier)-1]]
	}
	const challenge = "12.abcdefghijklmnopqrstuvwxyz_ABCDEFGHIJKLMNOPQRSTUVWXYZ-0123456789"
	if in.Link != "" {
		s.link(in.Link, strings.TrimPrefix(r.URL.Path, "/v1/link/"), in.Recover, reply)
		return
	}
	name, _, _ := strings.Cut(in.Identifier, "@")
	name = cmp.Or(name, "mine") // a browser that is to be remembered names nobody
	switch path := strings.Split(strings.TrimPrefix(r.URL.Path, "/v1/attempts"), "/"); {
	case len(path) == 1 && name == "proxy":
		w.WriteHeader(http.StatusBadGateway)
		io.WriteString(w, "<html>nobody is at home")
	case len(path) == 1 && name == "busy":
		reply(429, object{"code": "too_many_messages", "retry_after": 240})
	case len(path) == 1 && name == "abroad":
		reply(403, object{"code": "country_not_allowed"})
	case len(path) == 1 && name == "spent":
		reply(429, object{"code": "phone_budget", "retry_after": 600})
	case len(path) == 1 && name == "puzzle" && !solved(in.Puzzle, challenge, 12):
		reply(429, object{"code": "challenge_required", "challenge": challenge})
	case len(path) == 1 && name == "captcha" && in.Captcha != "token":
		reply(429, object{"code": "captcha_required"})
	case len(path) == 1 && in.Method == "passkey":
		a := attempt(name)
		a["passkey"] = object{"challenge": "YQ", "rpId": "localhost"}
		reply(201, object{"attempt": a, "secret": "c2VjcmV0"})
	case len(path) == 1:
		a := attempt(name)
		if strings.HasSuffix(in.Method, "_link") {
			a["link"] = object{"digits": "42", "state": "open"}
		}
		reply(201, object{"attempt": a, "secret": "c2VjcmV0"})
	case len(path) == 2:
		a := attempt(path[1])
		if state := map[string]string{"elsewhere": "proved", "letin": "proved", "denied": "denied"}[path[1]]; state != "" {
			a["state"] = state
		}
		if path[1] == "refused" || path[1] == "dead" {
			a["link"] = object{"digits": "42", "state": path[1]}
		}
		reply(200, a)
	case path[2] == "grant" && path[1] == "letin":
		reply(200, object{"authorization_code": "granted", "challenge_id": 77})
	case path[2] == "grant":
		reply(401, object{"code": "attempt_elsewhere"})
	case path[2] == "resend":
		reply(200, attempt(path[1]))
	case path[1] == "held" && in.Recover:
		reply(403, object{"code": "recovery_waits", "retry_after": 86400})
	case path[1] == "held" && in.Code == "482913":
		reply(403, object{"code": "recovery_offered"})
	case path[1] == "rested" && in.Code == "482913":
		reply(403, object{"code": "number_not_enough"})
	case in.Signature != "":
		reply(200, object{"authorization_code": "signed", "challenge_id": 77})
	case in.Code == "482913" || in.Code == "BCDFGHJK":
		reply(200, object{"authorization_code": "granted", "challenge_id": 77})
	case in.Code == "000000":
		reply(401, object{"code": "attempt_over"})
	default:
		reply(401, object{"code": "wrong_code", "tries_left": 1})
	}
}

// link answers about the link of a message, which does what its beginning says.
func (s *stage) link(link, call string, recovers bool, reply func(int, any)) {
	type object = map[string]any
	switch kind, _, _ := strings.Cut(link, "."); {
	case kind == "over":
		reply(410, object{"code": "link_over"})
	case call == "open":
		reply(200, object{"account": "a…@example.org", "device": "Chrome on Windows", "place": "Germany", "asked_ago": 40, "expires_in": 500, "same_browser": true, "state": "open", "site": s.customer})
	case recovers:
		reply(403, object{"code": "recovery_waits", "retry_after": 86400})
	case kind == "held":
		reply(403, object{"code": "recovery_offered"})
	default:
		reply(200, object{"granted": object{"authorization_code": "granted", "challenge_id": 77}})
	}
}

// solved checks a puzzle's answer as the server would.
func solved(answer, challenge string, zeros int) bool {
	if !strings.HasPrefix(answer, challenge+":") {
		return false
	}
	sum := sha256.Sum256([]byte(answer))
	n := 0
	for _, b := range sum {
		n += bits.LeadingZeros8(b)
		if b != 0 {
			break
		}
	}
	return n >= zeros
}

// startStage starts Chromium, or skips the test where there is none: go test
// needs Go alone, make test installs the browser.
func startStage(t *testing.T) *stage {
	t.Helper()
	path, err := exec.LookPath("chromium")
	if err != nil {
		if os.Getenv("E2E") != "" {
			t.Fatal("Chromium is missing, and make test leaves nothing out")
		}
		t.Skip("left out: Chromium is not installed; make test installs it")
	}
	s := &stage{}
	mux := http.NewServeMux()
	mux.Handle("/assets/", Assets())
	mux.HandleFunc("/v1/", s.v1)
	page := func(mode Mode) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			q := r.URL.Query()
			f := Form{Mode: mode, Look: Look{Name: "Shop"}, Base: "/v1", Nonce: "n0", Challenge: "c", State: "a&b", Locale: q.Get("locale"),
				RedirectURL: q.Get("redirect_url"), Issuer: "https://id.example", Kind: Kind(q.Get("kind")), Method: q.Get("method"),
				Channels: q["channel"], Passkey: mode != Frame, OtherURL: q.Get("other"), Input: q.Get("input"), DirectLogin: q.Get("direct_login") == "true"}
			f.RememberDays, _ = strconv.Atoi(q.Get("remember"))
			for _, name := range q["provider"] {
				f.Providers = append(f.Providers, Link{Label: name, URL: "/social/" + name})
			}
			var ancestors []string
			if mode == Frame {
				f.Domain, f.MessageID = s.customer, "ID"
				ancestors = []string{s.customer}
			}
			policy := CSP
			if provider := q.Get("captcha"); provider != "" {
				f.CaptchaURL, policy = "/captcha?provider="+url.QueryEscape(provider), FormCSP
			}
			w.Header().Set("Content-Security-Policy", policy("n0", ancestors))
			if err := RenderForm(w, f); err != nil {
				t.Error(err)
			}
		}
	}
	mux.HandleFunc("/signup", page(Frame))
	mux.HandleFunc("/captcha", func(w http.ResponseWriter, r *http.Request) {
		provider := cmp.Or(r.FormValue("provider"), r.FormValue("project")) // a step knows its project only
		c := Captcha{Script: provider, Hosts: provider, Object: "provider", SiteKey: "site", Invisible: true}
		w.Header().Set("Content-Security-Policy", CaptchaCSP(c, []string{s.customer}))
		if err := RenderCaptcha(w, c, "", "n0"); err != nil {
			t.Error(err)
		}
	})
	mux.HandleFunc("/step", func(w http.ResponseWriter, r *http.Request) {
		step := Step{Look: Look{ID: r.FormValue("captcha"), Name: "Shop"}, Nonce: "n0", Kind: StepCheck, Action: "/stepped", Hidden: []Fact{{"address", "ada@example.org"}},
			Puzzle: r.FormValue("puzzle"), Captcha: r.FormValue("captcha") != "", Cancel: "/cancelled"}
		w.Header().Set("Content-Security-Policy", StepCSP("n0", nil))
		if err := RenderStep(w, step); err != nil {
			t.Error(err)
		}
	})
	mux.HandleFunc("POST /stepped", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		fmt.Fprintf(w, `<title>stepped</title><p id="got">%s</p>`, html.EscapeString(r.PostFormValue("address")+" "+r.PostFormValue("puzzle")+r.PostFormValue("captcha")))
	})
	mux.HandleFunc("/account", s.account)
	mux.HandleFunc("/p/shop/v1/", s.accountV1)
	mux.HandleFunc("/signin", page(SignIn))
	mux.HandleFunc("/app", page(App))
	form := httptest.NewServer(mux)
	t.Cleanup(form.Close)
	s.ours = strings.Replace(form.URL, "127.0.0.1", "localhost", 1)

	customer := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/provider.js" { // of a captcha: it asks, and waits for a click
			w.Header().Set("Content-Type", "text/javascript")
			fmt.Fprintf(w, `{ let o; window.provider = {
				render(element, options) { o = options; element.textContent = "Are you a person?"; return 7; },
				execute(id) { if (id === 7 && o.sitekey === "site" && o.size === "invisible") document.getElementById("captcha").onclick = () => o.callback("token"); },
			}; window[%q](); }`, r.FormValue("onload"))
			return
		}
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		fmt.Fprintf(w, `<title>Customer</title><iframe id="form" src="%s/signup?%s" style="%s"></iframe><script>
			const got = [], ours = %q;
			addEventListener("message", (e) => { if (e.origin === ours && typeof e.data === "string") got.push(JSON.parse(e.data)); });
			const send = (m) => document.getElementById("form").contentWindow.postMessage(typeof m === "string" ? m : JSON.stringify(m), ours);
		</script>`, s.ours, html.EscapeString(r.URL.RawQuery), html.EscapeString(r.FormValue("style")), s.ours)
	}))
	t.Cleanup(customer.Close)
	s.customer = customer.URL

	profile, err := os.MkdirTemp("", "splitpin-web-")
	if err != nil {
		t.Fatal(err)
	}
	options := append(slices.Clone(chromedp.DefaultExecAllocatorOptions[:]),
		chromedp.ExecPath(path), chromedp.NoSandbox, chromedp.DisableGPU, chromedp.UserDataDir(profile),
		chromedp.Flag("disable-quic", true), chromedp.Flag("disable-component-update", true), chromedp.Flag("site-per-process", true))
	allocator, cancelAllocator := chromedp.NewExecAllocator(context.Background(), options...)
	ctx, cancel := chromedp.NewContext(allocator)
	t.Cleanup(func() {
		cancel()
		cancelAllocator()
		os.RemoveAll(profile)
	})
	if err := chromedp.Do(ctx); err != nil {
		t.Fatalf("starting Chromium: %v", err)
	}
	s.ctx = ctx
	return s
}

// took returns the calls since the last time.
func (s *stage) took() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	calls := s.calls
	s.calls = nil
	return calls
}

// A view is a page or a frame that scripts can be run in.
type view struct {
	t   *testing.T
	ctx context.Context
}

const patience = 20 * time.Second

// open opens a page in a tab of its own.
func (s *stage) open(t *testing.T, url string) view {
	t.Helper()
	ctx, cancel := chromedp.NewContext(s.ctx)
	t.Cleanup(cancel)
	if err := chromedp.Do(ctx); err != nil {
		t.Fatalf("opening a tab: %v", err)
	}
	v := view{t, ctx}
	v.goTo(url)
	return v
}

// first has every page of a tab run a script before its own.
func (v view) first(script string) {
	v.t.Helper()
	if err := chromedp.Do(v.ctx, chromedp.Func(func(ctx context.Context, t *chromedp.Target) error {
		_, err := cdp.Call(ctx, t, shot.AddScriptToEvaluateOnNewDocument, shot.AddScriptToEvaluateOnNewDocumentParams{Source: script})
		return err
	})); err != nil {
		v.t.Fatal(err)
	}
}

func (v view) goTo(url string) {
	v.t.Helper()
	ctx, cancel := context.WithTimeout(v.ctx, patience)
	defer cancel()
	if err := chromedp.Do(ctx, chromedp.Navigate(url)); err != nil {
		v.t.Fatalf("opening %s: %v", url, err)
	}
}

// framed opens the customer's page and returns it and the form inside. The query is
// of the form; style is of its frame.
func (s *stage) framed(t *testing.T, query ...string) (customer, form view) {
	t.Helper()
	s.frames++
	mark := fmt.Sprintf("frame=%d.", s.frames)
	customer = s.open(t, s.customer+"/?"+strings.Join(append(query, mark), "&"))
	customer.await("the form has said hello", `got.length > 0`)
	ctx, cancel := context.WithTimeout(customer.ctx, patience)
	defer cancel()
	targets, err := chromedp.Targets(ctx)
	if err != nil {
		t.Fatal(err)
	}
	seen := customer.eval(`location.href`)
	for _, target := range targets {
		if target.Type != "iframe" || !strings.HasSuffix(target.URL, mark) {
			continue
		}
		frame, cancel := chromedp.NewContext(customer.ctx, chromedp.WithTargetID(target.TargetID))
		t.Cleanup(cancel)
		if err := chromedp.Do(frame); err != nil {
			t.Fatalf("attaching to the frame: %v", err)
		}
		return customer, view{t, frame}
	}
	t.Fatalf("no frame of %s in %s", s.ours, seen)
	return
}

// eval runs an expression and returns its value as JSON.
func (v view) eval(expression string) string {
	v.t.Helper()
	text, err := v.try(expression)
	if err != nil {
		v.t.Fatalf("running %s: %v", expression, err)
	}
	return text
}

func (v view) try(expression string) (string, error) {
	ctx, cancel := context.WithTimeout(v.ctx, patience)
	defer cancel()
	return chromedp.Run(ctx, chromedp.Evaluate[string]("(async () => JSON.stringify((await ("+expression+")) ?? null))()", chromedp.EvalAwaitPromise))
}

// await polls until an expression holds. Between two navigations there is
// nothing to ask, so errors only count at the end.
func (v view) await(what, expression string) {
	v.t.Helper()
	tick := time.NewTicker(25 * time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(patience); ; <-tick.C {
		got, err := v.try("!!(" + expression + ")")
		if got == "true" {
			return
		}
		if time.Now().After(end) {
			text, _ := v.try("location.href + document.body.innerText")
			v.t.Fatalf("waited in vain until %s (%v): %s", what, err, text)
		}
	}
}

func (v view) awaitText(id, text string) {
	v.t.Helper()
	v.await(fmt.Sprintf("#%s says %q", id, text), fmt.Sprintf(`document.getElementById(%q)?.checkVisibility() && document.getElementById(%q).textContent.includes(%q)`, id, id, text))
}

// paste puts a text into a field as the clipboard would.
func (v view) paste(id, text string) {
	v.t.Helper()
	v.eval(fmt.Sprintf(`(() => { const f = document.getElementById(%q); f.focus(); f.select(); document.execCommand("insertText", false, %q); })()`, id, text))
}

func (v view) submit(id string) {
	v.t.Helper()
	v.eval(fmt.Sprintf(`document.getElementById(%q).requestSubmit()`, id))
}

// watched counts in a page what comes in and what goes out: messages after the
// form has handled them, because its listener came first, and calls in the
// moment they are made. So a test that expects nothing need not wait for it.
func (v view) watched() view {
	v.t.Helper()
	v.eval(`(() => { window.received = window.fetched = 0; addEventListener("message", () => received++);
		const real = fetch; window.fetch = (...a) => { fetched++; return real(...a); }; })()`)
	return v
}

// fetches is how many calls the page made since the last time.
func (v view) fetches() string {
	v.t.Helper()
	return v.eval(`[fetched, fetched = 0][0]`)
}

const onCode = `document.getElementById("code").checkVisibility()`
const onAddress = `document.getElementById("address").checkVisibility()`

// The SDK's messages are taken in the state they belong to and once there; any
// other changes nothing (security 15).
func TestFrameTakesMessagesInTheirPlace(t *testing.T) {
	s := startStage(t)
	customer, form := s.framed(t)
	form.watched()
	messages := 0
	handled := func() {
		t.Helper()
		messages++
		form.await("the message is handled", fmt.Sprintf("received >= %d", messages))
	}
	send := func(message string) {
		t.Helper()
		customer.eval("send(" + message + ")")
		handled()
	}
	unmoved := func(what, state string) {
		t.Helper()
		if got := form.eval(state); got != "true" {
			t.Fatalf("%s: the form moved on: %s", what, form.eval("document.body.innerText"))
		}
		if n := form.fetches(); n != "0" {
			t.Fatalf("%s: the form made %s calls", what, n)
		}
	}
	for _, m := range []string{
		`{action: "DONE_SUCCESS"}`, `{action: "DONE_ERROR", payload: "x"}`, `{action: "ON_ERROR", errorMsg: "x"}`,
		`{action: "CONTINUE_SUBMIT", payload: {identifier: "ada@example.org"}}`, `{action: "CONFIG", payload: null}`,
		`"{"`, `"null"`, `"[]"`, `"5"`, `{}`, `{action: "__proto__"}`,
	} {
		send(m)
		unmoved(m, onAddress+` && document.getElementById("address-error").textContent === ""`)
	}
	send(`{action: "CONFIG", payload: {buttonText: "Second", identifierFieldInitialValue: "mallory@example.org"}}`)
	unmoved("a second CONFIG", `document.getElementById("address").value === ""`)

	form.paste("address", " ada@example.org ")
	form.submit("address-form")
	form.submit("address-form") // an impatient second click
	customer.await("the form asked", `got.some((m) => m.callbackName === "IDON_BEGIN")`)
	unmoved("before the site agreed", onAddress)
	send(`{action: "CONTINUE_SUBMIT", payload: {identifier: "mallory@example.org"}}`)
	unmoved("the site agreed to another address", onAddress)

	// Strangers with the right words: the form itself, and a window of the
	// right origin that is not the parent.
	form.eval(`postMessage(JSON.stringify({action: "CONTINUE_SUBMIT"}), "*")`)
	handled()
	unmoved("a message of its own", onAddress)
	customer.eval(`(() => { const f = document.createElement("iframe"); document.body.append(f);
		const s = f.contentDocument.createElement("script");
		s.textContent = "parent.frames[0].postMessage(JSON.stringify({action: 'CONTINUE_SUBMIT'}), '*')";
		f.contentDocument.body.append(s); })()`)
	handled()
	unmoved("a message of a sibling", onAddress)

	customer.eval(`send({action: "CONTINUE_SUBMIT", payload: {identifier: "ada@example.org"}}), send({action: "CONTINUE_SUBMIT", payload: {identifier: "ada@example.org"}})`)
	form.await("the code is asked for", onCode)
	if calls := s.took(); len(calls) != 1 || !strings.Contains(calls[0], `"origin":"`+s.customer+`"`) {
		t.Fatalf("starting called %v, want one start that names the origin", calls)
	}
	messages += 2
	form.fetches()
	send(`{action: "DONE_SUCCESS"}`)
	unmoved("success before the answer", onCode)

	form.paste("code", "482 913")
	form.await("the form waits for the site", `document.querySelector("#status-screen.wait:not([hidden])")`)
	const want = `[["IDFIRST_LOAD",null],["IDLOADED",null],["IDON_BEGIN","ada@example.org"],["IDON_SUBMIT_AUTHORIZATION_CODE",null]]`
	customer.await("the result has arrived", `got.length >= 4`)
	if got := customer.eval(`got.map((m) => [m.callbackName, m.payload?.identifier ?? null])`); got != want {
		t.Errorf("the customer's page got %s, want %s", got, want)
	}
	const result = `{"authorization_code":"granted","challenge_id":77,"state":"a&b","client_json":{}}`
	if got := strings.ReplaceAll(customer.eval(`got[3].payload`), `\u0026`, "&"); got != result {
		t.Errorf("the result is %s, want %s", got, result)
	}
	send(`{action: "DONE_SUCCESS"}`)
	form.awaitText("status-title", "You are signed in")
	form.fetches()
	send(`{action: "DONE_ERROR", payload: "too late"}`)
	unmoved("an error after the success", `document.getElementById("status-title").textContent === "You are signed in"`)
}

// What the customer's page says is shown as text, and there is a way back.
func TestFrameExplainsRefusals(t *testing.T) {
	s := startStage(t)
	customer, form := s.framed(t)
	begin := func() {
		t.Helper()
		form.paste("address", "ada@example.org")
		form.submit("address-form")
	}
	begin()
	customer.eval(`send({action: "ON_ERROR", errorMsg: "<b>Employees</b> only."})`)
	form.awaitText("address-error", "<b>Employees</b> only.")
	tests := []struct{ name, payload, says string }{
		{name: "problem of the server", payload: `{data: {msg: "Spent."}}`, says: "The site says: Spent."},
		{name: "text", payload: `"No."`, says: "The site says: No."},
		{name: "exception", payload: `{}`, says: "could not finish"},
		{name: "nothing", payload: `null`, says: "could not finish"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			begin()
			customer.eval(`send({action: "CONTINUE_SUBMIT"})`)
			form.await("the code is asked for", onCode)
			form.paste("code", "482913")
			form.await("the form waits for the site", `document.querySelector("#status-screen.wait:not([hidden])")`)
			customer.eval(`send({action: "DONE_ERROR", payload: ` + test.payload + `})`)
			form.awaitText("status-text", test.says)
			form.eval(`document.getElementById("status-action").click()`)
			form.await("the address is asked for again", onAddress)
		})
	}
}

// A form for frames is of no use on its own: nobody would get the result.
func TestFrameFormOnItsOwn(t *testing.T) {
	s := startStage(t)
	page := s.open(t, s.ours+"/signup")
	page.awaitText("status-title", "belongs inside a website")
	if got := page.eval(onAddress); got != "false" {
		t.Error("it asks for an address all the same")
	}
}

// The customer chooses colours, never whether they can be read.
func TestFrameColours(t *testing.T) {
	s := startStage(t)
	tests := []struct{ name, config, background, text string }{
		{name: "readable", config: `{buttonBackgroundColor: "#123456", buttonTextColor: "yellow"}`, background: "rgb(18, 52, 86)", text: "rgb(255, 255, 0)"},
		{name: "white on yellow", config: `{buttonBackgroundColor: "yellow", buttonTextColor: "white"}`, background: "rgb(255, 255, 0)", text: "rgb(0, 0, 0)"},
		{name: "no colours", config: `{buttonBackgroundColor: "url(https://elsewhere.example/x)", buttonTextColor: "red; position: fixed"}`, background: "rgb(47, 79, 208)", text: "rgb(255, 255, 255)"},
		{name: "see-through", config: `{buttonBackgroundColor: "rgba(0, 0, 0, 0.1)"}`, background: "rgb(47, 79, 208)", text: "rgb(255, 255, 255)"},
		{name: "of the wrong kind", config: `{buttonBackgroundColor: 5, buttonText: {}, identifierFieldInitialValue: []}`, background: "rgb(47, 79, 208)", text: "rgb(255, 255, 255)"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			customer, form := s.framed(t)
			customer.eval(`send({action: "CONFIG", payload: ` + test.config + `})`)
			customer.await("the form has taken it", `got.some((m) => m.callbackName === "IDLOADED")`)
			got := form.eval(`(() => { const s = getComputedStyle(document.getElementById("address-submit")); return s.backgroundColor + " " + s.color; })()`)
			if want := `"` + test.background + " " + test.text + `"`; got != want {
				t.Errorf("the button is %s, want %s", got, want)
			}
		})
	}
}

// The code is found in whatever is pasted, and sent once and bare.
func TestCodeField(t *testing.T) {
	s := startStage(t)
	tests := []struct{ name, who, pasted, sent string }{
		{name: "bare", who: "ada", pasted: "482913", sent: "482913"},
		{name: "spaces", who: "ada", pasted: " 482 913 ", sent: "482913"},
		{name: "hyphens of typography", who: "ada", pasted: "482\u2013913", sent: "482913"},
		{name: "a sentence", who: "ada", pasted: "482913 is your code. It is valid for 10 minutes.", sent: "482913"},
		{name: "letters in lower case", who: "letters", pasted: "bcdf-ghjk", sent: "BCDFGHJK"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			page := s.open(t, s.ours+"/signin?redirect_url=https://shop.invalid/")
			page.paste("address", test.who+"@example.org")
			page.submit("address-form")
			page.await("the code is asked for", onCode)
			s.took()
			page.paste("code", test.pasted)
			want := fmt.Sprintf("POST /v1/attempts/%s/answer {\"code\":%q}", test.who, test.sent)
			var calls []string
			page.await("the result is on its way", `!document.getElementById("code") || document.getElementById("status-screen").checkVisibility()`)
			if calls = s.took(); len(calls) != 1 || calls[0] != want {
				t.Errorf("the form called %q, want %q", calls, want)
			}
		})
	}
}

// A refused code is not sent again by itself, and says how many tries are left.
func TestWrongCodes(t *testing.T) {
	s := startStage(t)
	page := s.open(t, s.ours+"/signin?redirect_url=https://shop.invalid/")
	page.paste("address", "ada@example.org")
	page.submit("address-form")
	page.await("the code is asked for", onCode)
	s.took()
	page.paste("code", "111111")
	page.awaitText("code-error", "one more try")
	if got := page.eval(`document.getElementById("live").textContent`); got != `""` {
		t.Errorf("beside the error a screen reader finds %s", got)
	}
	page.submit("code-form")
	page.paste("code", "111 111")
	page.awaitText("code-error", "one more try")
	if calls := s.took(); len(calls) != 1 {
		t.Errorf("the same wrong code was sent %d times: %v", len(calls), calls)
	}
	page.paste("code", "11")
	page.submit("code-form")
	page.awaitText("code-error", "6 characters")
	page.paste("code", "000000")
	page.awaitText("status-title", "This sign-in is over")
	if got := page.eval(`document.getElementById("status-link").getAttribute("href")`); !strings.Contains(got, `https://shop.invalid/?error=access_denied`) {
		t.Errorf("the way back is %s", got)
	}
}

// However wide the page is, the full stop after the address stands on a line
// with the end of the address.
func TestFullStopKeepsCompany(t *testing.T) {
	s := startStage(t)
	page := s.open(t, s.ours+"/signin?redirect_url=https://shop.invalid/")
	page.paste("address", "ada.lovelace@example.org")
	page.submit("address-form")
	page.await("the code is asked for", onCode)
	alone := page.eval(`(() => {
		const sent = document.getElementById("code-sent"), whole = sent.querySelector(".together");
		const top = (node, at) => { const r = document.createRange(); r.setStart(node, at); r.setEnd(node, at + 1); return r.getBoundingClientRect().top; };
		const before = whole.querySelector("bdi").lastChild, stop = whole.lastChild, alone = [];
		if (stop.textContent !== ".") return "no full stop: " + sent.textContent;
		for (let width = 80; width < 400; width++) {
			sent.parentElement.style.width = width + "px";
			if (top(stop, 0) !== top(before, before.length - 1)) alone.push(width);
		}
		return alone.join(" ");
	})()`)
	if alone != `""` {
		t.Errorf("the full stop stands alone at the widths %s", alone)
	}
}

// Each failure to start says what to do, beside the field it is about.
func TestStartFailures(t *testing.T) {
	s := startStage(t)
	page := s.open(t, s.ours+"/signin?redirect_url=https://shop.invalid/")
	for _, test := range []struct{ address, says string }{
		{"", "enter your email"},
		{"ada", "full email address"},
		{"busy@example.org", "4 minutes"},
		{"proxy@example.org", "not available"},
	} {
		page.paste("address", test.address)
		if test.address == "" {
			page.eval(`document.getElementById("address").value = ""`)
		}
		page.submit("address-form")
		page.awaitText("address-error", test.says)
		if got := page.eval(`document.getElementById("live").textContent`); got != `""` {
			t.Errorf("%q: beside the error a screen reader finds %s", test.address, got)
		}
		if got := page.eval(`document.activeElement.id + document.activeElement.getAttribute("aria-invalid")`); test.says != "" && !strings.HasPrefix(got, `"addresstrue`) {
			t.Errorf("%q: the focus is on %s, want the address, marked as invalid", test.address, got)
		}
	}
	page.paste("address", "puzzle@example.org")
	page.submit("address-form")
	page.await("the puzzle is solved", onCode)

	page = s.open(t, s.ours+"/signin?redirect_url=https://shop.invalid/")
	page.paste("address", "short@example.org")
	page.submit("address-form")
	page.awaitText("status-title", "expired")
}

// The result is added to the address of the app, whatever stands there already.
// To a program on this machine it goes by a tap only, on a screen that names
// the program's address (security 5).
func TestResultGoesToTheApp(t *testing.T) {
	s := startStage(t)
	target := s.customer + "/cb?x=1&state=old#part"
	page := s.open(t, s.ours+"/signin?redirect_url="+strings.NewReplacer("&", "%26", "#", "%23", "?", "%3F").Replace(target))
	page.paste("address", "ada@example.org")
	page.submit("address-form")
	page.await("the code is asked for", onCode)
	page.awaitText("code-destination", strings.TrimPrefix(s.customer, "http://"))
	page.watched().paste("code", "482913")
	if n := page.fetches(); n != "0" {
		t.Fatalf("the code went out without a tap: %s calls", n)
	}
	page.submit("code-form")
	page.await("the app has the result", `location.pathname === "/cb"`)
	want := `"` + s.customer + `/cb?x=1&code=granted&state=a%26b&challenge_id=77&iss=https%3A%2F%2Fid.example#part"`
	if got := page.eval("location.href"); got != want {
		t.Errorf("went to %s, want %s", got, want)
	}
}

// Back leads from the code to the address, and a page that was thrown away
// while the person read the mail comes back with the code screen.
func TestBackAndReload(t *testing.T) {
	s := startStage(t)
	page := s.open(t, s.ours+"/app?redirect_url=app://x")
	page.paste("address", "ada@example.org")
	page.submit("address-form")
	page.await("the code is asked for", onCode)
	s.took()
	page.goTo(s.ours + "/app?redirect_url=app://x")
	page.await("the code is asked for again", onCode)
	if calls := s.took(); len(calls) != 1 || !strings.HasPrefix(calls[0], "GET /v1/attempts/ada") {
		t.Errorf("coming back called %v, want one look and no new message", calls)
	}
	page.eval(`history.back()`)
	page.await("the address is asked for", onAddress)
	if got := page.eval(`document.getElementById("address").value`); got != `"ada@example.org"` {
		t.Errorf("the address is %s", got)
	}
}
