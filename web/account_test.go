package web

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"os"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// A person who is signed in, and what the stand-in for /v1 answers about them.
type person struct {
	credentials, sessions []map[string]any
	refuse                map[string]string // code of the refusal, by method and end of the path
	methods               []string
	forgets               bool
}

// whole is somebody who has one of everything.
func whole() *person {
	at := func(ago time.Duration) string { return time.Now().Add(-ago).UTC().Format(time.RFC3339) }
	return &person{
		methods: []string{"email_code", "passkey"},
		credentials: []map[string]any{
			{"id": "4", "kind": "passkey", "label": "Work laptop", "device": "Chrome on Linux", "site": "localhost", "created_at": at(90 * time.Hour), "used_at": at(2 * time.Hour), "facts": []string{"synced"}},
			{"id": "3", "kind": "passkey", "label": strings.Repeat("Lopadotemachoselacho", 3), "site": "a.quite.long.name.of.a.shop.example", "created_at": at(900 * time.Hour), "facts": []string{"single_device", "counter_went_back"}},
			{"id": "2", "kind": "social", "label": "ada@github", "provider": "GITHUB", "created_at": at(2000 * time.Hour), "used_at": at(24 * time.Hour)},
			{"id": "1", "kind": "browser", "label": "", "device": "Firefox on Android", "created_at": at(2000 * time.Hour)},
		},
		sessions: []map[string]any{
			{"id": "11", "current": true, "auth_method": "OTP", "device": "Chrome on Linux", "created_at": at(time.Minute), "used_at": at(0), "expires_at": at(-time.Hour)},
			{"id": "10", "current": false, "auth_method": "OTP", "created_at": at(300 * time.Hour), "used_at": at(100 * time.Hour), "expires_at": at(-time.Hour)},
		},
		refuse: map[string]string{},
	}
}

// crowded gives somebody all the passkeys that one person can have, and a stranger who waits
// for the account.
func crowded(p *person) {
	passkey := p.credentials[0]
	p.credentials = []map[string]any{{"id": "30", "kind": "recovery", "device": "Firefox on Windows", "created_at": passkey["used_at"]}}
	for i := range 20 {
		c := maps.Clone(passkey)
		c["id"], c["label"] = strconv.Itoa(i), fmt.Sprintf("Passkey %d", i+1)
		p.credentials = append(p.credentials, c)
	}
}

func (s *stage) account(w http.ResponseWriter, r *http.Request) {
	a := Account{Look: Look{ID: "shop", Name: "Shop"}, Nonce: "n0", Locale: r.FormValue("locale"), Here: s.ours + "/account?project=shop", Issuer: s.ours,
		Site: "localhost", Providers: map[string]string{"GITHUB": "GitHub"}}
	if s.person != nil {
		a.Methods, a.Forgets = s.person.methods, s.person.forgets
	}
	w.Header().Set("Content-Security-Policy", CSP("n0", nil))
	RenderAccount(w, a)
}

func (s *stage) accountV1(w http.ResponseWriter, r *http.Request) {
	path := strings.TrimPrefix(r.URL.Path, "/p/shop/v1")
	s.mu.Lock()
	s.calls = append(s.calls, r.Method+" "+path)
	s.mu.Unlock()
	reply := func(status int, v any) {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(status)
		json.NewEncoder(w).Encode(v)
	}
	type object = map[string]any
	credentials := object{"credentials": s.person.credentials}
	for key, code := range s.person.refuse {
		method, end, _ := strings.Cut(key, " ")
		if r.Method != method || !strings.HasSuffix(path, end) {
			continue
		}
		if code == "gone" {
			panic(http.ErrAbortHandler) // the connection ends, without an answer
		}
		status := map[string]int{"passkey_required": 403, "too_many_passkeys": 409, "unauthenticated": 401, "last_credential": 409, "proof_too_old": 403, "internal": 500, "too_many_messages": 429, "wrong_code": 401, "too_many_tries": 401, "refresh_invalid": 400, "invalid_request": 400}[code]
		reply(status, object{"code": code, "retry_after": 240, "tries_left": 2})
		return
	}
	switch r.Method + " " + path {
	case "GET /user":
		reply(200, object{"id": "u", "identifier": "ada@example.org", "kind": "email", "proved": true})
	case "GET /sessions":
		reply(200, object{"sessions": s.person.sessions})
	case "POST /attempts":
		reply(201, object{"secret": "s", "attempt": object{"id": "a", "state": "open", "expires_in": 600, "resend_in": 30, "tries_left": 5, "code": object{"length": 6, "alphabet": "0123456789"}}})
	case "POST /token":
		reply(200, object{"access_token": "a", "id_token": "i", "refresh_token": "1:r", "expires_in": 3600, "token_type": "Bearer", "auth_method": "OTP", "user": object{"id": "u"}})
	case "POST /logout":
		w.WriteHeader(http.StatusNoContent)
	default:
		if r.Method == "DELETE" && strings.HasPrefix(path, "/sessions") {
			reply(200, object{"ended": 1})
			return
		}
		reply(200, credentials)
	}
}

// signedIn opens the page for somebody whose session lies in the browser.
func (s *stage) signedIn(t *testing.T, p *person, locale string) view {
	t.Helper()
	s.person = p
	v := s.open(t, s.ours+"/assets/none")
	kept, _ := json.Marshal(map[string]any{"id": "x", "user": map[string]string{"id": "u"}, "access_token": "a", "id_token": "i", "refresh_token": "1:r", "auth_method": "OTP",
		"lifetime": 3600, "at": time.Now().UnixMilli()})
	v.eval(fmt.Sprintf(`localStorage.setItem("splitpin:" + location.origin + "/p/shop", %q)`, kept))
	v.goTo(s.ours + "/account?project=shop&locale=" + locale)
	return v
}

const (
	onAccount = `document.getElementById("account-screen").checkVisibility()`
	remove1   = `document.querySelector('[data-id="4"] .entry_actions button:last-child').click()`
)

func TestAccountStates(t *testing.T) {
	s := startStage(t)
	longLocales(t)
	axe, err := os.ReadFile("../e2e/node_modules/axe-core/axe.min.js")
	if err != nil && os.Getenv("E2E") != "" {
		t.Fatal(err)
	}
	if err != nil {
		t.Log("left out: axe-core is not installed; make test installs it")
	}
	removes := remove1 + `; document.getElementById("remove-submit").click()`
	said := func(id, key string, pairs ...string) string {
		text, _, _ := strings.Cut(fill(tables["en"][key], pairs...), "{")
		return fmt.Sprintf(`document.getElementById(%q).checkVisibility() && document.getElementById(%q).textContent.includes(%q)`, id, id, text)
	}
	toCode := removes + `; until(() => document.getElementById("confirm-code").checkVisibility()).then(() => document.getElementById("confirm-code").click()).then(() => until(() => document.getElementById("code").checkVisibility()))`
	typed := `.then(() => { const c = document.getElementById("code"); c.value = "482913"; c.dispatchEvent(new Event("input")); })`
	states := []struct {
		name   string
		who    func(*person)
		refuse map[string]string
		act    string
		until  string
	}{
		{name: "everything", until: onAccount},
		{name: "nothing but a code", who: func(p *person) {
			p.credentials, p.sessions, p.methods = p.credentials[:0], p.sessions[:1], append(p.methods, "social")
		}, until: `document.getElementById("ways-none").checkVisibility()`},
		{name: "twenty passkeys and a recovery", who: crowded, refuse: map[string]string{"POST /attempts": "too_many_passkeys"}, act: `document.getElementById("add-passkey").click()`, until: said("ways-error", "passkey.many")},
		{name: "the network is gone", refuse: map[string]string{"POST /attempts": "gone"}, act: `document.getElementById("add-passkey").click()`, until: said("ways-error", "fault.offline")},
		{name: "the network was never there", refuse: map[string]string{"GET /user": "gone"}, until: said("status-text", "fault.offline")},
		{name: "a code where the passkey is wanted", refuse: map[string]string{"DELETE /4": "proof_too_old", "POST /answer": "passkey_required"}, act: toCode + typed,
			until: said("confirm-error", "account.confirm.passkey") + ` && document.activeElement.id === "confirm-passkey" && !document.getElementById("confirm-code").checkVisibility()`},
		{name: "renaming", act: `document.querySelector('[data-id="3"] .entry_actions button').click()`, until: `document.querySelector("#ways input")?.value.startsWith("Lopado")`},
		{name: "a name that is too long", refuse: map[string]string{"PATCH /3": "invalid_request"},
			act:   `document.querySelector('[data-id="3"] .entry_actions button').click(), document.querySelector("#ways form").requestSubmit()`,
			until: `document.querySelector("#ways .error")?.textContent !== ""`},
		{name: "a name that nobody took", refuse: map[string]string{"PATCH /3": "internal"},
			act:   `document.querySelector('[data-id="3"] .entry_actions button').click(), document.querySelector("#ways form").requestSubmit()`,
			until: `document.querySelector("#ways .error")?.textContent !== ""`},
		{name: "remove", act: remove1, until: said("remove-title", "account.remove.title")},
		{name: "the last", refuse: map[string]string{"DELETE /4": "last_credential"}, act: removes, until: said("ways-error", "account.remove.last")},
		{name: "confirm", refuse: map[string]string{"DELETE /4": "proof_too_old"}, act: removes, until: said("confirm-title", "account.confirm.title")},
		{name: "code", refuse: map[string]string{"DELETE /4": "proof_too_old"}, act: toCode,
			until: `document.getElementById("code").checkVisibility()`},
		{name: "no more codes", refuse: map[string]string{"DELETE /4": "proof_too_old", "POST /attempts": "too_many_messages"},
			act:   removes + `; until(() => document.getElementById("confirm-code").checkVisibility()).then(() => document.getElementById("confirm-code").click())`,
			until: said("confirm-error", "fault.too_many_messages")},
		{name: "too many wrong codes", refuse: map[string]string{"DELETE /4": "proof_too_old", "POST /answer": "too_many_tries"},
			act: toCode + typed, until: said("confirm-error", "tries.text")},
		{name: "a session that cannot be ended", refuse: map[string]string{"DELETE /10": "internal"}, act: `document.querySelector("#sessions button").click()`, until: `document.getElementById("sessions-error").textContent !== ""`},
		{name: "nothing works", refuse: map[string]string{"GET /user": "internal"}, until: said("status-title", "account.broken.title")},
		{name: "the session is over", refuse: map[string]string{"DELETE /4": "unauthenticated", "POST /token": "refresh_invalid"}, act: removes, until: said("status-title", "account.out.title")},
		{name: "logged out", act: `document.getElementById("log-out").click()`, until: said("status-title", "account.out.title")},
	}
	looks := []struct {
		name, scheme, locale string
		width                int64
	}{
		{"small", "light", "", 300},
		{"small dark rtl", "dark", "x-long-rtl", 300},
		{"wide long", "light", "x-long-ltr", 1024},
	}
	for i, look := range looks {
		t.Run(look.name, func(t *testing.T) {
			for _, state := range states {
				if i > 0 && state.refuse != nil && state.name != "code" && state.who == nil {
					continue // texts below fields and buttons, which the others have as well
				}
				p := whole()
				p.refuse = state.refuse
				if state.who != nil {
					state.who(p)
				}
				v := s.signedIn(t, p, look.locale)
				v.emulate(look.width, 900, look.scheme)
				v.await("the page is there", `!document.querySelector(".status.wait")?.checkVisibility()`)
				v.eval(`window.until = async (f) => { while (!f()) await new Promise(requestAnimationFrame); }, null`)
				if state.act != "" {
					v.await("the account is there", onAccount)
					v.eval("(() => { " + state.act + " })()")
				}
				until := state.until
				if look.locale != "" { // the same in other words
					until = regexp.MustCompile(`\.textContent\.includes\(.*\)$`).ReplaceAllString(until, `.textContent !== ""`)
				}
				v.await(state.name, until)
				if out := v.eval(`document.documentElement.scrollWidth - document.documentElement.clientWidth`); out != "0" {
					t.Errorf("%s: %s pixels stick out at the side", state.name, out)
				}
				if axe != nil {
					v.eval("window.axe ? 1 : (() => { " + string(axe) + "\n})()")
					if found := v.eval(`axe.run(document, {resultTypes: ["violations"]}).then((r) => r.violations.map((v) => v.id + ": " + v.nodes.map((n) => n.html + n.failureSummary)))`); found != "[]" {
						t.Errorf("%s: %s", state.name, found)
					}
				}
				v.keep("account " + look.name + " " + state.name)
			}
		})
	}
}

// Where a captcha's script runs on this origin, nothing of the session lies in the browser,
// and it ends with the page.
func TestAccountForgets(t *testing.T) {
	s := startStage(t)
	s.person = whole()
	for _, forgets := range []bool{true, false} {
		s.person.forgets = forgets
		v := s.open(t, s.ours+"/assets/none")
		v.eval(`sessionStorage.setItem("splitpin:" + location.origin + "/p/shop:redirect", JSON.stringify({ state: "s", verifier: "v", redirectUrl: location.origin + "/account?project=shop" }))`)
		v.goTo(s.ours + "/account?project=shop&" + url.Values{"code": {"c"}, "state": {"s"}, "challenge_id": {"1"}, "iss": {s.ours}}.Encode())
		v.await("the account is there", onAccount)
		lies := v.eval(`JSON.stringify(localStorage).includes("refresh_token")`) == "true"
		if lies == forgets {
			t.Errorf("forgets=%v: a refresh token lies in the browser: %v", forgets, lies)
		}
		s.took()
		v.goTo(s.ours + "/assets/none")
		v.await("another page is there", `location.pathname === "/assets/none"`)
		told := func() bool { return slices.Contains(s.took(), "POST /logout") }
		if !forgets {
			if told() {
				t.Error("leaving the page ended the session")
			}
			continue
		}
		for end := time.Now().Add(patience); !told(); {
			if time.Now().After(end) {
				t.Fatal("leaving the page did not end the session")
			}
			runtime.Gosched()
		}
	}
}
