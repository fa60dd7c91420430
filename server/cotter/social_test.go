package cotter_test

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"html"
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/splitpin/splitpin"
	"github.com/splitpin/splitpin/outgoing"
	"github.com/splitpin/splitpin/signin"
	"github.com/splitpin/splitpin/signin/social"
)

func socialMethod(s *site) *social.Method {
	except, err := outgoing.ParseExceptions("127.0.0.1")
	if err != nil {
		s.t.Fatal(err)
	}
	return &social.Method{Ring: s.ring, PublicURL: "https://login.example", Clock: s.clock,
		Client: outgoing.New(outgoing.Options{Except: except, Timeout: 5 * time.Second})}
}

// withGitHub offers a GitHub of the test's own, where ada-l with ada@example.org signs in, or
// whom the test sets.
func (s *site) withGitHub() (account *string) {
	s.t.Helper()
	who := `{"id":20483939,"login":"ada-l"}`
	theirs := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		switch r.URL.Path {
		case "/login/oauth/access_token":
			fmt.Fprint(w, `{"access_token":"their-token","scope":"repo,user","token_type":"bearer"}`)
		case "/api/v3/user":
			fmt.Fprint(w, who)
		case "/api/v3/user/emails":
			fmt.Fprint(w, `[{"email":"ada@example.org","primary":true,"verified":true}]`)
		}
	}))
	s.t.Cleanup(theirs.Close)
	p := splitpin.Provider{Name: "GITHUB", Kind: "github", Issuer: theirs.URL, ClientID: "client"}
	if err := social.SealSecret(s.ring, s.a.ID, &p, "secret"); err != nil {
		s.t.Fatal(err)
	}
	s.a.Settings.Providers = []splitpin.Provider{p}
	s.changed()
	return &who
}

// changed saves the settings of the project, and has the engine notice.
func (s *site) changed() {
	s.t.Helper()
	s.a.UpdatedAt = s.a.UpdatedAt.Add(time.Second)
	err := s.store.Change(s.t.Context(), splitpin.Reads{Settings: true}, func(*splitpin.Records) (splitpin.Writes, error) {
		return splitpin.Writes{Put: []splitpin.Record{s.a}}, nil
	})
	if err != nil {
		s.t.Fatal(err)
	}
	if _, err := s.engine.Step(s.t.Context(), s.clock()); err != nil {
		s.t.Fatal(err)
	}
}

// A jar is a browser as far as cookies go.
type jar struct {
	*site
	cookies map[string]string
	oldest  []string // names, as browsers order them
}

func (s *site) jar() *jar { return &jar{site: s, cookies: map[string]string{}} }

func (b *jar) do(method, target string, form url.Values, headers ...string) *http.Response {
	b.t.Helper()
	r := httptest.NewRequest(method, target, strings.NewReader(form.Encode()))
	r.Host = "login.example"
	if method == http.MethodPost {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		r.Header.Set("Sec-Fetch-Site", "same-origin")
	}
	for i := 0; i < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	for _, name := range b.oldest {
		if value, kept := b.cookies[name]; kept {
			r.AddCookie(&http.Cookie{Name: name, Value: value})
		}
	}
	w := httptest.NewRecorder()
	b.mux.ServeHTTP(w, r)
	for _, c := range w.Result().Cookies() {
		if c.MaxAge < 0 {
			delete(b.cookies, c.Name)
			continue
		}
		if !c.Secure || !c.HttpOnly || c.Path != "/" || c.Domain != "" || c.SameSite != http.SameSiteLaxMode {
			b.t.Errorf("the cookie %s is %+v", c.Name, c)
		}
		b.cookies[c.Name] = c.Value
		if !slices.Contains(b.oldest, c.Name) {
			b.oldest = append(b.oldest, c.Name)
		}
	}
	return w.Result()
}

// bodyOf is what a page says, in which long addresses may break.
func bodyOf(r *http.Response) string {
	b, _ := io.ReadAll(r.Body)
	return html.UnescapeString(strings.ReplaceAll(string(b), "<wbr>", ""))
}

func location(t *testing.T, r *http.Response) *url.URL {
	t.Helper()
	u, err := url.Parse(r.Header.Get("Location"))
	if err != nil || r.StatusCode != http.StatusSeeOther {
		t.Fatalf("status %d, to %q: %s", r.StatusCode, r.Header.Get("Location"), bodyOf(r))
	}
	return u
}

// goes is where a page goes by itself.
func goes(t *testing.T, r *http.Response) *url.URL {
	t.Helper()
	to, ok := strings.CutPrefix(r.Header.Get("Refresh"), "0; url=")
	u, err := url.Parse(to)
	if err != nil || !ok {
		t.Fatalf("status %d goes nowhere: %s", r.StatusCode, bodyOf(r))
	}
	return u
}

var hiddenField = regexp.MustCompile(`<input type="hidden" name="([a-z_]+)" value="([^"]*)">`)

func fields(page string) url.Values {
	form := url.Values{}
	for _, m := range hiddenField.FindAllStringSubmatch(page, -1) {
		form.Set(m[1], m[2])
	}
	return form
}

const loginPath = "/p/" + idA + "/api/v0/oauth/credential/login/GITHUB"

func loginQuery() url.Values {
	return url.Values{"api_key_id": {idA}, "state": {"their-state"}, "redirect_url": {shop + "/login?x=1#top"}, "code_challenge": {challengeOf(verifier)}}
}

// sets out and comes back, up to what the callback says.
func (b *jar) comesBack(to *url.URL) *http.Response {
	b.t.Helper()
	callback, err := url.Parse(to.Query().Get("redirect_uri"))
	if err != nil || callback.Host != "login.example" {
		b.t.Fatalf("the callback is %v", callback)
	}
	return b.do("GET", callback.Path+"?"+url.Values{"code": {"c"}, "state": {to.Query().Get("state")}}.Encode(), nil)
}

func TestSocialLogin(t *testing.T) {
	s := newSite(t)
	s.withGitHub()
	b := s.jar()
	there := location(t, b.do("GET", loginPath+"?"+loginQuery().Encode(), nil))
	if len(b.cookies) != 1 || there.Path != "/login/oauth/authorize" || there.Query().Get("code_challenge_method") != "S256" {
		t.Fatalf("it goes to %s with %v", there, b.cookies)
	}
	for name, other := range map[string]*jar{"no browser": s.jar(), "another": s.jar()} {
		if name == "another" {
			location(t, other.do("GET", loginPath+"?"+loginQuery().Encode(), nil))
		}
		if r := other.comesBack(there); r.StatusCode != http.StatusNotFound || r.Header.Get("Location") != "" {
			t.Errorf("%s came back with the state: %d", name, r.StatusCode)
		}
	}

	// GitHub decides over nobody's address, so our window asks for a code.
	back := location(t, b.comesBack(there))
	q := back.Query()
	if back.Host != "shop.example" || back.Fragment != "top" || q.Get("x") != "1" || q.Get("action") != "O_CONNECT" || q.Get("provider") != "GITHUB" || q.Has("code") {
		t.Fatalf("it came back to %s", back)
	}
	connect := map[string]any{"token_id": q.Get("token_id"), "user_id": q.Get("user_id"), "identity_provider": "GITHUB",
		"login_state": map[string]string{"client_code_challenge": challengeOf(verifier), "client_redirect_url": shop + "/login?x=1#top",
			"client_state": "their-state", "action": "O_LOGIN", "company_id": idA}}
	finish := func(body map[string]any) *http.Response {
		b, _ := json.Marshal(body)
		r := httptest.NewRequest("POST", "/p/"+idA+"/api/v0/oauth/token/connect", strings.NewReader(string(b)))
		r.Header.Set("API_KEY_ID", idA)
		r.Header.Set("Origin", shop)
		r.Header.Set("Content-Type", "application/json")
		w := httptest.NewRecorder()
		s.mux.ServeHTTP(w, r)
		return w.Result()
	}
	if r := finish(connect); r.StatusCode != http.StatusBadRequest {
		t.Errorf("with what stood in the address alone: %d %s", r.StatusCode, bodyOf(r))
	}
	twice := url.QueryEscape
	window := "/social_connect?token_id=" + twice(q.Get("token_id")) + "&user_id=" + twice(q.Get("user_id")) + "&provider=GITHUB&api_key=" + idA +
		"&domain=" + twice(twice(shop)) + "&redirect_url=undefined&id=ID"
	if r := b.do("GET", strings.Replace(window, twice(twice(shop)), twice(twice(other)), 1), nil); r.StatusCode != http.StatusForbidden {
		t.Errorf("in a frame of a stranger: %d", r.StatusCode)
	}
	if r := b.do("GET", window, nil, "Sec-Fetch-Dest", "document"); r.StatusCode != http.StatusForbidden {
		t.Errorf("not in a frame: %d", r.StatusCode)
	}
	frame := s.jar() // cookies of ours do not reach it
	r := frame.do("GET", window, nil)
	if csp := r.Header.Get("Content-Security-Policy"); !strings.Contains(csp, "frame-ancestors "+shop) || !strings.Contains(csp, "form-action 'self'") {
		t.Errorf("the policy is %s", csp)
	}
	page := bodyOf(r)
	if !strings.Contains(page, "ada-l (GitHub)") || !strings.Contains(page, "ada@example.org") || !strings.Contains(page, `"first":true`) {
		t.Fatalf("the window says %s", page)
	}
	for _, site := range []string{"cross-site", "same-site", "none"} {
		if r := frame.do("POST", "/social/code", fields(page), "Sec-Fetch-Site", site); r.StatusCode != http.StatusNotFound {
			t.Errorf("posted from %s: %d", site, r.StatusCode)
		}
	}
	elsewhere := fields(page)
	elsewhere.Set("address", "eve@example.org")
	if again := bodyOf(frame.do("POST", "/social/code", elsewhere)); fields(again).Has("proof") {
		t.Error("a code was sent to another address")
	}
	page = bodyOf(frame.do("POST", "/social/code", fields(page)))
	form := fields(page)
	id, _, ok := signin.ParseChallenge(form.Get("proof"))
	if !ok {
		t.Fatalf("no code was sent: %s", page)
	}
	loaded, err := s.store.Load(t.Context(), splitpin.Reads{Attempt: id.Number})
	if err != nil {
		t.Fatal(err)
	}
	told, err := s.engine.Secret(loaded.Attempt)
	if err != nil {
		t.Fatal(err)
	}
	connect["token_id"] = form.Get("token_id") + "." + form.Get("proof")
	if r := finish(connect); r.StatusCode != http.StatusBadRequest || !strings.Contains(bodyOf(r), signin.ErrNotProved.Message) {
		t.Errorf("before the address was proved: %d %s", r.StatusCode, bodyOf(r))
	}
	form.Set("code", "wrong")
	page = bodyOf(frame.do("POST", "/social/proof", form))
	if !strings.Contains(page, signin.ErrWrong.Message) {
		t.Errorf("a wrong code: %s", page)
	}
	form = fields(page)
	form.Set("code", told.Code.Reveal())
	page = bodyOf(frame.do("POST", "/social/proof", form))
	if !strings.Contains(page, `"done":true`) || !strings.Contains(page, `"provider":"GITHUB"`) || strings.Contains(page, "authorization") {
		t.Fatalf("the right code: %s", page)
	}
	if !strings.Contains(page, `"tokenId":"`+connect["token_id"].(string)+`"`) {
		t.Errorf("the window does not hand on %s: %s", connect["token_id"], page)
	}
	proved, err := s.people.ByIdentifier(t.Context(), s.a.Number, "ada@example.org")
	if err != nil {
		t.Fatal(err)
	}
	if has, err := s.engine.Credentials(t.Context(), proved); err != nil || len(has) != 0 {
		t.Errorf("the account was connected before the tab that began asked for it: %v, %v", has, err)
	}
	for what, alter := range map[string]func(map[string]any){
		"another user":             func(c map[string]any) { c["user_id"] = "x" },
		"another token":            func(c map[string]any) { c["token_id"] = "x" },
		"the proof twice":          func(c map[string]any) { c["token_id"] = form.Get("proof") + "." + form.Get("proof") },
		"no proof":                 func(c map[string]any) { c["token_id"] = form.Get("token_id") },
		"a tab that did not begin": func(c map[string]any) { delete(c, "login_state") },
		"another provider":         func(c map[string]any) { c["identity_provider"] = "GOOGLE" },
		"another state": func(c map[string]any) {
			c["login_state"] = map[string]string{"client_code_challenge": challengeOf(verifier), "client_redirect_url": "https://evil.example", "client_state": "their-state", "company_id": idA}
		},
	} {
		body := map[string]any{}
		for k, v := range connect {
			body[k] = v
		}
		alter(body)
		if r := finish(body); r.StatusCode != http.StatusBadRequest {
			t.Errorf("%s: %d %s", what, r.StatusCode, bodyOf(r))
		}
	}
	r = finish(connect)
	var out struct{ URL string }
	if err := json.NewDecoder(r.Body).Decode(&out); err != nil || r.StatusCode != 200 {
		t.Fatalf("%d %v", r.StatusCode, err)
	}
	u, _ := url.Parse(out.URL)
	first := s.redeems(u)

	// What stood in the address adds nothing to the account.
	way, secret, _ := signin.ParseChallenge(q.Get("token_id"))
	kept, err := s.store.Load(t.Context(), splitpin.Reads{Attempt: way.Number})
	if err != nil {
		t.Fatal(err)
	}
	_, err = s.engine.Start(t.Context(), signin.StartRequest{Project: s.a, Method: "passkey", Purpose: splitpin.Enrol, Origin: kept.Attempt.Origin,
		Proof: &signin.Handle{Project: s.a, ID: way, Secret: secret}, By: signin.Caller{Addr: netip.MustParseAddr("192.0.2.1")}})
	if !errors.Is(err, signin.ErrStale) {
		t.Errorf("a passkey by what stood in the address: %v", err)
	}

	// The account is known now: a look and a tap.
	there = location(t, b.do("GET", loginPath+"?"+loginQuery().Encode(), nil))
	r = b.comesBack(there)
	if csp := r.Header.Get("Content-Security-Policy"); !strings.Contains(csp, "frame-ancestors 'none'") || r.Header.Get("Refresh") != "" || r.Header.Get("Location") != "" {
		t.Errorf("the page that asks: %s %s", csp, r.Header.Get("Refresh"))
	}
	page = bodyOf(r)
	if !strings.Contains(page, "ada-l (GitHub)") || !strings.Contains(page, "ada@example.org") || !strings.Contains(page, shop) || strings.Contains(page, "code=") {
		t.Fatalf("it asks %s", page)
	}
	if r := b.do("POST", "/social/agree", fields(page), "Sec-Fetch-Site", "cross-site"); r.Header.Get("Refresh") != "" {
		t.Error("a yes from another site counted")
	}
	if r := s.jar().do("POST", "/social/agree", fields(page)); r.Header.Get("Refresh") != "" {
		t.Error("a yes from another browser counted")
	}
	yes := b.do("POST", "/social/agree", fields(page))
	u = goes(t, yes)
	if u.Query().Get("x") != "1" || u.Fragment != "top" {
		t.Errorf("it goes to %s", u)
	}
	if c := yes.Cookies(); len(c) != 1 || c[0].MaxAge != 60 {
		t.Errorf("after the yes the way is remembered by %+v", c)
	}
	if second := goes(t, b.do("POST", "/social/agree", fields(page))); second.String() != u.String() {
		t.Errorf("a second click leads to %s, the first to %s", second, u)
	}
	if r := b.comesBack(there); r.StatusCode != http.StatusNotFound || r.Header.Get("Location") != "" {
		t.Errorf("going back: %d, to %s", r.StatusCode, r.Header.Get("Location"))
	}
	if again := s.redeems(u); again != first {
		t.Errorf("somebody else was signed in: %s, before %s", again, first)
	}

	// For backends.
	user := first
	ask := func(method, path, secret string) (*http.Response, string) {
		r := httptest.NewRequest(method, "/p/"+idA+"/api/v0/oauth/token/"+path, nil)
		r.Header.Set("API_KEY_ID", idA)
		r.Header.Set("API_SECRET_KEY", secret)
		w := httptest.NewRecorder()
		s.mux.ServeHTTP(w, r)
		return w.Result(), w.Body.String()
	}
	for _, path := range []string{"list/" + user, "GITHUB/" + user} {
		if r, body := ask("GET", path, appKeyA); r.StatusCode != http.StatusUnauthorized && r.StatusCode != http.StatusForbidden || strings.Contains(body, "their-token") {
			t.Errorf("%s without the secret: %d %s", path, r.StatusCode, body)
		}
	}
	if r, body := ask("GET", "GITHUB/"+user, secretA); r.StatusCode != 200 || !strings.Contains(body, `"tokens":{"access_token":"their-token","scope":"repo,user","token_type":"bearer"}`) ||
		!strings.Contains(body, `"provider_user_id":"20483939","provider_username":"ada-l","identity_provider":"GITHUB"`) {
		t.Errorf("the tokens: %d %s", r.StatusCode, body)
	}
	if r, body := ask("GET", "list/"+user, secretA); r.StatusCode != 200 || !strings.HasPrefix(body, `[{"ID":"`) {
		t.Errorf("the list: %d %s", r.StatusCode, body)
	}
	if r, _ := ask("GET", "GOOGLE/"+user, secretA); r.StatusCode != http.StatusNotFound {
		t.Errorf("another provider: %d", r.StatusCode)
	}
	if r, body := ask("DELETE", "GITHUB/"+user, secretA); r.StatusCode != 200 {
		t.Errorf("taking it away: %d %s", r.StatusCode, body)
	}
	if r, body := ask("GET", "list/"+user, secretA); r.StatusCode != 200 || strings.TrimSpace(body) != "[]" {
		t.Errorf("the list after that: %d %s", r.StatusCode, body)
	}
}

// redeems trades what an address carries, and returns the user's id.
func (s *site) redeems(u *url.URL) string {
	s.t.Helper()
	q := u.Query()
	if u.Host != "shop.example" || q.Get("state") != "their-state" || q.Get("auth_method") != "SOCIAL_LOGIN" || q.Get("challenge_id") == "" || !strings.HasPrefix(q.Get("iss"), "https://login.example") {
		s.t.Fatalf("it came to %s", u)
	}
	c, err := s.engine.Collect(s.t.Context(), signin.CollectRequest{Project: s.a, Code: q.Get("code"), Verifier: verifier, Destination: shop + "/login?x=1#top"})
	if err != nil {
		s.t.Fatal(err)
	}
	return c.User.ID.String()
}

// Our own page leads to the providers of its project, without a script.
func TestSocialOnOurPages(t *testing.T) {
	s := newSite(t)
	page := func() string {
		q := url.Values{"api_key": {idA}, "redirect_url": {shop + "/login?x=1#top"}, "code_challenge": {challengeOf(verifier)}, "state": {"a&b \"c"}, "type": {"EMAIL"}}
		return bodyOf(s.jar().do("GET", "/app?"+q.Encode(), nil))
	}
	link := regexp.MustCompile(`<a class="button_container plain" href="(/social/[^"]*)"><span class="button_text">([^<]*)</span>`)
	if m := link.FindStringSubmatch(page()); m != nil {
		t.Fatalf("without a provider it leads to %s", m[1])
	}
	s.withGitHub()
	m := link.FindStringSubmatch(page())
	if m == nil || m[2] != "Continue with GitHub" {
		t.Fatalf("the button is %q", m)
	}
	b := s.jar()
	there := location(t, b.do("GET", m[1], nil))
	if there.Path != "/login/oauth/authorize" {
		t.Fatalf("it leads to %s", there)
	}
	a, err := splitpin.ParseAttemptID(there.Query().Get("state"))
	if err != nil {
		t.Fatal(err)
	}
	r, err := s.store.Load(t.Context(), splitpin.Reads{Attempt: a.Number})
	if err != nil || r.Attempt.ClientState != `a&b "c` || r.Attempt.Destination != shop+"/login?x=1#top" {
		t.Errorf("the attempt is %+v (%v)", r.Attempt, err)
	}

	// GitHub decides over nobody's address. Each step in which it is proved names where that
	// leads, and goes on only in the browser that began.
	sends := bodyOf(b.comesBack(there))
	asks := bodyOf(b.do("POST", "/social/code", fields(sends)))
	for what, page := range map[string]string{"before the code is sent": sends, "where it is typed": asks} {
		if !strings.Contains(page, `<dd dir="auto">`+shop+"</dd>") {
			t.Errorf("%s it names no destination: %s", what, page)
		}
	}
	for path, page := range map[string]string{"/social/code": sends, "/social/proof": asks} {
		if r := s.jar().do("POST", path, fields(page)); r.StatusCode != http.StatusNotFound {
			t.Errorf("%s in another browser: %d", path, r.StatusCode)
		}
	}
}

func TestSocialConnect(t *testing.T) {
	s := newSite(t)
	s.withGitHub()
	b := s.jar()
	in := s.signIn("ada@example.org")["oauth_token"].(map[string]any)["access_token"].(string)
	path := func(token string) string {
		return "/p/" + idA + "/api/v0/oauth/credential/connect/GITHUB?" + url.Values{"api_key_id": {idA}, "access_token": {token}, "redirect_url": {shop + "/me"}}.Encode()
	}
	there := location(t, b.do("GET", path(in), nil))
	if _, kept := b.cookies["__Host-connecting"]; kept {
		t.Error("the token is kept although nothing needs it")
	}
	if back := location(t, s.jar().do("GET", path(in), nil)); back.Host != "shop.example" || !back.Query().Has("error") {
		t.Errorf("the same token again leads to %s", back)
	}
	page := bodyOf(b.comesBack(there))
	if !strings.Contains(page, "ada-l (GitHub)") || !strings.Contains(page, "ada@example.org") {
		t.Fatalf("it asks %s", page)
	}
	user, err := s.people.ByIdentifier(t.Context(), s.a.Number, "ada@example.org")
	if err != nil {
		t.Fatal(err)
	}
	all, err := s.engine.Connected(t.Context(), user)
	if err != nil || len(all) != 0 {
		t.Errorf("connected before the yes: %v, %v", all, err)
	}
	if u := goes(t, b.do("POST", "/social/agree", fields(page))); u.String() != shop+"/me" {
		t.Errorf("it goes to %s", u)
	}
	if all, err := s.engine.Connected(t.Context(), user); err != nil || len(all) != 1 {
		t.Errorf("not connected: %v, %v", all, err)
	}
}

// Whoever proved nothing for some minutes proves it in place, by a code.
func TestSocialConnectConfirmsFirst(t *testing.T) {
	s := newSite(t)
	account := s.withGitHub()
	in := s.signIn("ada@example.org")["oauth_token"].(map[string]any)["access_token"].(string)
	s.wait(6 * time.Minute)
	path := "/p/" + idA + "/api/v0/oauth/credential/connect/GITHUB?"
	q := url.Values{"api_key_id": {idA}, "access_token": {in}, "redirect_url": {shop + "/me"}}
	b := s.jar()
	first := bodyOf(b.do("GET", path+q.Encode(), nil))
	if !strings.Contains(first, "Is it you?") || !strings.Contains(first, "ada@example.org") || strings.Contains(first, in) {
		t.Fatalf("it asks %s", first)
	}
	if len(s.codesTo("ada@example.org")) != 1 { // that of the sign-in
		t.Error("a code was sent before anybody asked for one")
	}

	// The page alone, or the cookie with another page, is nobody.
	if r := s.jar().do("POST", "/social/confirm", fields(first)); r.StatusCode != http.StatusNotFound {
		t.Errorf("from another browser: %d", r.StatusCode)
	}
	for what, alter := range map[string]func(url.Values){
		"another destination": func(q url.Values) { q.Set("redirect_url", "https://evil.example/") },
		"another person":      func(q url.Values) { q.Set("user", "00000000-0000-4000-8000-000000000000") },
	} {
		form := fields(first)
		alter(form)
		if r := b.do("POST", "/social/confirm", form); r.StatusCode != http.StatusNotFound || r.Header.Get("Refresh") != "" {
			t.Errorf("%s: %d, to %s", what, r.StatusCode, r.Header.Get("Refresh"))
		}
	}
	asks := bodyOf(b.do("POST", "/social/confirm", fields(first)))
	form := fields(asks)
	if !form.Has("proof") || !strings.Contains(asks, `href="`+shop+"/me?error=") {
		t.Fatalf("it asks for a code: %s", asks)
	}
	form.Set("code", "000000000")
	if again := bodyOf(b.do("POST", "/social/confirmed", form)); !strings.Contains(again, signin.ErrWrong.Message) {
		t.Errorf("a wrong code: %s", again)
	}
	form.Set("code", s.codesTo("ada@example.org")[1])
	there := goes(t, b.do("POST", "/social/confirmed", form))
	if there.Path != "/login/oauth/authorize" {
		t.Fatalf("it goes to %s", there)
	}
	if _, kept := b.cookies["__Host-connecting"]; kept {
		t.Error("the token is kept although nothing needs it any more")
	}
	page := bodyOf(b.comesBack(there))
	if !strings.Contains(page, "ada-l (GitHub)") || !strings.Contains(page, "ada@example.org") {
		t.Fatalf("it asks %s", page)
	}
	if u := goes(t, b.do("POST", "/social/agree", fields(page))); u.String() != shop+"/me" {
		t.Errorf("it goes to %s", u)
	}
	user, err := s.people.ByIdentifier(t.Context(), s.a.Number, "ada@example.org")
	if err != nil {
		t.Fatal(err)
	}
	if all, err := s.engine.Connected(t.Context(), user); err != nil || len(all) != 1 {
		t.Errorf("connected are %v, %v", all, err)
	}

	// Who is logged out between the question and the yes connects nothing.
	fresh := s.signIn("bob@example.org")["oauth_token"].(map[string]any)
	q.Set("access_token", fresh["access_token"].(string))
	b = s.jar()
	if back := location(t, b.comesBack(location(t, b.do("GET", path+q.Encode(), nil)))); !strings.Contains(back.Query().Get("error"), "another account") {
		t.Errorf("somebody else's account leads to %s", back)
	}
	q.Set("access_token", s.signIn("bob@example.org")["oauth_token"].(map[string]any)["access_token"].(string))
	*account = `{"id":7,"login":"bob"}`
	page = bodyOf(b.comesBack(location(t, b.do("GET", path+q.Encode(), nil))))
	bob, err := s.people.ByIdentifier(t.Context(), s.a.Number, "bob@example.org")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.engine.EndSessions(t.Context(), bob, 0, signin.Caller{}); err != nil {
		t.Fatal(err)
	}
	if u := goes(t, b.do("POST", "/social/agree", fields(page))); u.Host != "shop.example" || !u.Query().Has("error") {
		t.Errorf("after he was logged out it goes to %s", u)
	}
	if all, err := s.engine.Connected(t.Context(), bob); err != nil || len(all) != 0 {
		t.Errorf("connected are %v, %v", all, err)
	}
}

// A browser keeps eight ways at most, and forgets the oldest.
func TestSocialWaysAreBounded(t *testing.T) {
	s := newSite(t)
	s.withGitHub()
	b := s.jar()
	var ways []*url.URL
	for range 12 {
		ways = append(ways, location(t, b.do("GET", loginPath+"?"+loginQuery().Encode(), nil)))
	}
	if len(b.cookies) != 8 {
		t.Errorf("twelve ways left %d cookies, want 8", len(b.cookies))
	}
	if r := b.comesBack(ways[3]); r.StatusCode != http.StatusNotFound {
		t.Errorf("the fourth of twelve: %d, want that it is forgotten", r.StatusCode)
	}
	if back := location(t, b.comesBack(ways[11])); back.Query().Get("action") != "O_CONNECT" {
		t.Errorf("the last leads to %s", back)
	}
}

// A network that sends many codes is asked for a puzzle, on these pages too.
func TestSocialCodeAfterAPuzzle(t *testing.T) {
	s := newSite(t)
	s.withGitHub()
	b := s.jar()
	q := url.Values{"project": {idA}, "redirect_url": {shop + "/login"}, "code_challenge": {challengeOf(verifier)}, "state": {"s"}}
	page := bodyOf(b.comesBack(location(t, b.do("GET", "/social/GITHUB?"+q.Encode(), nil))))
	for i := range signin.DefaultStartsPerNetwork {
		_, err := s.engine.Start(t.Context(), signin.StartRequest{Project: s.a, Method: "email_code", Identifier: fmt.Sprintf("p%d@example.org", i),
			Challenge: challengeOf(verifier), Origin: shop, By: signin.Caller{Addr: netip.MustParseAddr("192.0.2.1")}})
		if err != nil {
			t.Fatal(err)
		}
	}
	form := fields(page)
	r := b.do("POST", "/social/code", form)
	check := bodyOf(r)
	m := regexp.MustCompile(`"puzzle":"([^"]+)"`).FindStringSubmatch(check)
	if m == nil || !strings.Contains(check, `name="puzzle"`) || !strings.Contains(check, "<noscript>") {
		t.Fatalf("a busy network gets %s", check)
	}
	again := fields(check)
	for _, name := range []string{"project", "token_id", "address"} {
		if again.Get(name) == "" || again.Get(name) != form.Get(name) {
			t.Errorf("%s is %q on the page of the check, was %q", name, again.Get(name), form.Get(name))
		}
	}
	again.Set("puzzle", m[1]+":1")
	if page := bodyOf(b.do("POST", "/social/code", again)); !strings.Contains(page, signin.ErrPuzzle.Message) || strings.Contains(page, `"puzzle":`) {
		t.Errorf("a wrong solution gets %s", page)
	}
	again.Set("puzzle", m[1]+":"+solution(m[1]))
	if page := bodyOf(b.do("POST", "/social/code", again)); !fields(page).Has("proof") {
		t.Errorf("the right solution gets %s", page)
	}
	if page := bodyOf(b.do("POST", "/social/code", again)); strings.Contains(page, `"puzzle":`) || fields(page).Has("proof") {
		t.Errorf("the same solution again gets %s", page) // and not the next puzzle, without end
	}
}

// A project that asks for a captcha asks for it on these pages too.
func TestSocialCodeAfterACaptcha(t *testing.T) {
	s := newSite(t)
	s.withGitHub()
	s.engine.UseCaptcha(person{})
	s.a.Settings.Captcha = splitpin.CaptchaAlways
	s.changed()
	b := s.jar()
	q := url.Values{"project": {idA}, "redirect_url": {shop + "/login"}, "code_challenge": {challengeOf(verifier)}, "state": {"s"}}
	page := bodyOf(b.comesBack(location(t, b.do("GET", "/social/GITHUB?"+q.Encode(), nil))))
	r := b.do("POST", "/social/code", fields(page))
	check := bodyOf(r)
	if !strings.Contains(check, `data-src="/captcha?project=`+idA+`"`) || !strings.Contains(check, `name="captcha"`) || fields(check).Has("proof") {
		t.Fatalf("it asks %s", check)
	}
	if csp := r.Header.Get("Content-Security-Policy"); !strings.Contains(csp, "frame-src 'self'") || !strings.Contains(csp, "form-action 'self'") || !strings.Contains(csp, "script-src 'self';") {
		t.Errorf("the policy is %s", csp)
	}
	form := fields(check)
	form.Set("captcha", "a machine")
	if page := bodyOf(b.do("POST", "/social/code", form)); !strings.Contains(page, signin.ErrCaptcha.Message) || fields(page).Has("proof") {
		t.Errorf("a machine gets %s", page)
	}
	form.Set("captcha", "a person")
	if page := bodyOf(b.do("POST", "/social/code", form)); !fields(page).Has("proof") {
		t.Errorf("a person gets %s", page)
	}
}

// A person is a captcha that believes what it is told.
type person struct{}

func (person) Verify(_ context.Context, token string) (bool, error) { return token == "a person", nil }

// codesTo are the codes that were sent to an address, oldest first.
func (s *site) codesTo(address string) (codes []string) {
	s.t.Helper()
	list, err := s.store.Messages(s.t.Context(), splitpin.MessageFilter{Project: s.a.Number, To: address}, 100)
	if err != nil {
		s.t.Fatal(err)
	}
	for _, m := range slices.Backward(list) {
		r, err := s.store.Load(s.t.Context(), splitpin.Reads{Attempt: m.Attempt})
		if err != nil || r.Attempt == nil {
			s.t.Fatalf("loading an attempt: %v", err)
		}
		told, err := s.engine.Secret(r.Attempt)
		if err != nil {
			s.t.Fatal(err)
		}
		codes = append(codes, told.Code.Reveal())
	}
	return codes
}

// solution is what a browser finds for a puzzle.
func solution(puzzle string) string {
	zeros, _, _ := strings.Cut(puzzle, ".")
	want, _ := strconv.Atoi(zeros)
	for n := 0; ; n++ {
		sum := sha256.Sum256(fmt.Append(nil, puzzle, ":", n))
		if binary.BigEndian.Uint32(sum[:])>>(32-want) == 0 {
			return strconv.Itoa(n)
		}
	}
}

func TestSocialRefusals(t *testing.T) {
	s := newSite(t)
	s.withGitHub()
	b := s.jar()
	there := location(t, b.do("GET", loginPath+"?"+loginQuery().Encode(), nil))
	callback, _ := url.Parse(there.Query().Get("redirect_uri"))
	answer := url.Values{"state": {there.Query().Get("state")}, "error": {"access_denied"}, "error_description": {"<b>"}}
	// As Apple answers: by POST, without cookies of ours.
	again := location(t, s.jar().do("POST", callback.Path, answer, "Sec-Fetch-Site", "cross-site"))
	if again.Path != callback.Path || again.Query().Get("state") != answer.Get("state") || again.Query().Has("error_description") {
		t.Fatalf("a posted answer leads to %s", again)
	}
	back := location(t, b.do("GET", again.String(), nil))
	if back.Host != "shop.example" || !strings.Contains(back.Query().Get("error"), "cancelled") || back.Query().Has("state") || len(b.cookies) != 0 {
		t.Errorf("cancelled: %s, cookies %v", back, b.cookies)
	}
	// From a page of ours: as the sign-in page says it.
	ours := url.Values{"project": {idA}, "redirect_url": {shop + "/me"}, "code_challenge": loginQuery()["code_challenge"], "state": {"mine"}}
	there = location(t, b.do("GET", "/social/GITHUB?"+ours.Encode(), nil))
	back = location(t, b.do("GET", callback.Path+"?"+url.Values{"state": {there.Query().Get("state")}, "error": {"access_denied"}}.Encode(), nil))
	if want := "error=provider_denied&state=mine"; back.Host != "shop.example" || back.RawQuery != want {
		t.Errorf("cancelled on the way from our page: %s, want %s", back, want)
	}
	back = location(t, b.do("GET", "/social/OTHER?"+ours.Encode(), nil))
	if want := "error=provider_unknown&state=mine"; back.Host != "shop.example" || back.RawQuery != want {
		t.Errorf("our page to a provider that is not offered: %s, want %s", back, want)
	}

	for what, change := range map[string]func(url.Values){
		"another site":    func(q url.Values) { q.Set("redirect_url", "https://evil.example/") },
		"a script":        func(q url.Values) { q.Set("redirect_url", "javascript:alert(1)") },
		"no way back":     func(q url.Values) { q.Del("redirect_url") },
		"another project": func(q url.Values) { q.Set("api_key_id", idB) },
	} {
		q := loginQuery()
		change(q)
		if r := s.jar().do("GET", loginPath+"?"+q.Encode(), nil); r.Header.Get("Location") != "" || r.StatusCode < 400 {
			t.Errorf("%s: %d %s", what, r.StatusCode, r.Header.Get("Location"))
		}
	}
	q := loginQuery()
	unknown := location(t, s.jar().do("GET", strings.Replace(loginPath, "GITHUB", "OTHER", 1)+"?"+q.Encode(), nil))
	if unknown.Host != "shop.example" || !unknown.Query().Has("error") {
		t.Errorf("a provider that is not offered: %s", unknown)
	}
}

func challengeOf(verifier string) string {
	sum := sha256.Sum256([]byte(verifier))
	return base64.RawURLEncoding.EncodeToString(sum[:])
}
