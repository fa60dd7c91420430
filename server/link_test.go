package server

import (
	"cmp"
	"encoding/json"
	"fmt"
	"html"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/splitpin/splitpin"
	"github.com/splitpin/splitpin/api"
	"github.com/splitpin/splitpin/delivery"
	"github.com/splitpin/splitpin/server/edge"
)

// asked starts an attempt with a link, as a page of ours does or as a program, and
// returns what the message said.
func (h *house) asked(fromPage bool) (started api.StartResponse, token string, cookies []*http.Cookie) {
	h.t.Helper()
	header := map[string]string{}
	if fromPage {
		header["Sec-Fetch-Site"] = "same-origin"
	}
	return h.askedBy(header, api.StartRequest{Origin: shop, RedirectURL: shop + "/login"})
}

// askedBy is asked, by a request of its own.
func (h *house) askedBy(header map[string]string, req api.StartRequest) (started api.StartResponse, token string, cookies []*http.Cookie) {
	h.t.Helper()
	req.Method, req.Identifier, req.CodeChallenge = "email_link", cmp.Or(req.Identifier, "ada@example.org"), cmp.Or(req.CodeChallenge, strings.Repeat("A", 43))
	w := h.do(ask{method: "POST", path: "/v1/attempts", header: header, body: req})
	if w.Code != http.StatusCreated {
		h.t.Fatalf("%d %s", w.Code, w.Body)
	}
	decode(h.t, w, &started)
	a, err := splitpin.ParseAttemptID(started.Attempt.ID)
	if err != nil {
		h.t.Fatal(err)
	}
	r, err := h.store.Load(h.t.Context(), splitpin.Reads{Attempt: a.Number})
	if err != nil {
		h.t.Fatal(err)
	}
	told, err := h.engine.Secret(r.Attempt)
	if err != nil {
		h.t.Fatal(err)
	}
	_, token, _ = strings.Cut(told.Link.Reveal(), "/link/")
	return started, token, w.Result().Cookies()
}

// A link is the same page for everybody and at every time, under a policy that nobody
// frames; asking for it, in whatever way, changes nothing and gives no cookie.
func TestLandingIsStatic(t *testing.T) {
	h := newHouse(t)
	started, token, _ := h.asked(false)
	get := func(method string, header map[string]string) *httptest.ResponseRecorder {
		t.Helper()
		w := h.do(ask{method: method, path: "/link/" + token, header: header})
		if w.Code != http.StatusOK || len(w.Result().Cookies()) != 0 || !strings.Contains(w.Header().Get("Content-Security-Policy"), "frame-ancestors 'none'") ||
			w.Header().Get("Referrer-Policy") != "no-referrer" || w.Header().Get("Cache-Control") != "no-store" {
			t.Fatalf("%s: %d %v", method, w.Code, w.Header())
		}
		return w
	}
	strip := func(w *httptest.ResponseRecorder) string { // the nonce is new each time
		_, nonce, _ := strings.Cut(w.Header().Get("Content-Security-Policy"), "'nonce-")
		nonce, _, _ = strings.Cut(nonce, "'")
		return strings.ReplaceAll(html.UnescapeString(w.Body.String()), nonce, "")
	}
	open := strip(get("GET", nil))
	for _, secret := range []string{token, started.Attempt.ID, "ada@", "example.org"} {
		if strings.Contains(open, secret) {
			t.Errorf("the page holds %q", secret)
		}
	}
	get("HEAD", nil)
	if w := h.do(ask{method: "POST", path: "/v1/link/refuse", body: api.LinkRequest{Link: token}}); w.Code != http.StatusNoContent {
		t.Fatalf("refusing: %d %s", w.Code, w.Body)
	}
	if strip(get("GET", map[string]string{"Cookie": "a=b", "Sec-Fetch-Site": "none"})) != open {
		t.Error("the page shows what became of the link")
	}
	if w := h.do(ask{method: "GET", path: "/link/" + token[:44]}); w.Code != http.StatusNotFound {
		t.Errorf("a link that is none: %d", w.Code)
	}
}

// The cookie of the browser that asked: given to our own pages alone, and believed from
// them alone. One tap is enough with it, and nothing less than the digits without.
func TestAskingBrowser(t *testing.T) {
	h := newHouse(t)
	if _, _, cookies := h.asked(false); len(cookies) != 0 {
		t.Errorf("a call that is from no page of ours got %v", cookies)
	}
	started, token, cookies := h.asked(true)
	if len(cookies) != 1 {
		t.Fatalf("got %v", cookies)
	}
	c := cookies[0]
	if c.Name != "__Host-splitpin-asked-"+started.Attempt.ID || !c.HttpOnly || !c.Secure || !c.Partitioned || c.Path != "/" || c.Domain != "" || c.MaxAge != 600 ||
		strings.Contains(token, c.Value) {
		t.Errorf("got %v", c)
	}
	look := func(header map[string]string) (l api.Link) {
		t.Helper()
		w := h.do(ask{method: "POST", path: "/v1/link/open", header: header, body: api.LinkRequest{Link: token}})
		if w.Code != http.StatusOK {
			t.Fatalf("%d %s", w.Code, w.Body)
		}
		decode(t, w, &l)
		return l
	}
	cookie := c.Name + "=" + c.Value
	for name, header := range map[string]map[string]string{
		"nothing": {}, "no word about the page": {"Cookie": cookie}, "a page of another site": {"Cookie": cookie, "Sec-Fetch-Site": "cross-site"},
		"a sister site": {"Cookie": cookie, "Sec-Fetch-Site": "same-site"}, "another value": {"Cookie": c.Name + "=" + strings.Repeat("A", 22), "Sec-Fetch-Site": "same-origin"},
	} {
		if l := look(header); l.SameBrowser || l.Account != "a…@example.org" || l.Site != shop {
			t.Errorf("%s: %+v", name, l)
		}
	}
	if l := look(map[string]string{"Cookie": cookie, "Sec-Fetch-Site": "same-origin"}); !l.SameBrowser {
		t.Error("the browser that asked is not known")
	}

	admit := api.AdmitRequest{Link: token, Way: "here", CodeChallenge: strings.Repeat("A", 43), Origin: shop}
	var p api.Problem
	w := h.do(ask{method: "POST", path: "/v1/link/admit", body: admit})
	if decode(t, w, &p); p.Code != "digits_needed" {
		t.Errorf("without: %d %s", w.Code, w.Body)
	}
	var admitted api.Admitted
	w = h.do(ask{method: "POST", path: "/v1/link/admit", header: map[string]string{"Cookie": cookie, "Sec-Fetch-Site": "same-origin"}, body: admit})
	if decode(t, w, &admitted); admitted.Granted == nil || admitted.Granted.AuthorizationCode == "" {
		t.Errorf("with: %d %s", w.Code, w.Body)
	}
	w = h.do(ask{method: "POST", path: "/v1/attempts/" + started.Attempt.ID + "/grant", header: map[string]string{api.AttemptSecretHeader: started.Secret}})
	if decode(t, w, &p); p.Code != "attempt_elsewhere" {
		t.Errorf("the starter: %d %s", w.Code, w.Body)
	}
}

// What a link tells once its message signed somebody in, and that saying "not me" takes a
// POST and the link. It tells nothing of the network, and of nobody who asked.
func TestDisownedLink(t *testing.T) {
	h := newHouse(t)
	started, token, _ := h.askedBy(map[string]string{"User-Agent": "Mozilla/5.0 (X11; Linux x86_64; rv:130.0) Gecko/20100101 Firefox/130.0"},
		api.StartRequest{Origin: shop, CodeChallenge: challenge()})
	g := into[api.Granted](t, h.do(ask{method: "POST", path: "/v1/attempts/" + started.Attempt.ID + "/answer",
		body: api.AnswerRequest{Code: h.read("ada@example.org")}, header: map[string]string{api.AttemptSecretHeader: started.Secret}}), 200)
	tokens := into[api.Tokens](t, h.do(ask{method: "POST", path: "/v1/token", body: api.TokenRequest{
		GrantType: "authorization_code", Code: g.AuthorizationCode, CodeVerifier: verifier, RedirectURL: shop}}), 200)
	got := into[api.Link](t, h.do(ask{method: "POST", path: "/v1/link/open", body: api.LinkRequest{Link: token}}), 200)
	if got.SignedIn == nil {
		t.Fatalf("the link tells %+v", got)
	}
	in := *got.SignedIn
	in.Ago, got.AskedAgo, got.SignedIn = 0, 0, nil // the clock is the real one
	if want := (api.Link{Account: "a…@example.org", Site: shop, State: "collected"}); got != want || in != (api.LinkSignIn{Device: "Firefox on Linux"}) {
		t.Errorf("the link tells %+v of %+v", got, in)
	}
	for _, method := range []string{"GET", "HEAD"} {
		h.do(ask{method: method, path: "/link/" + token})
	}
	refresh := ask{method: "POST", path: "/v1/token", body: api.TokenRequest{GrantType: "refresh_token", RefreshToken: tokens.RefreshToken}}
	next := into[api.Tokens](t, h.do(refresh), 200)
	refresh.body = api.TokenRequest{GrantType: "refresh_token", RefreshToken: next.RefreshToken}
	h.refused(h.do(ask{method: "POST", path: "/v1/link/disown", body: api.LinkRequest{Link: token[:23] + strings.Repeat("A", 22)}}), 404, "link_unknown")
	if w := h.do(ask{method: "POST", path: "/v1/link/disown", body: api.LinkRequest{Link: token}}); w.Code != http.StatusNoContent {
		t.Fatalf("disowning: %d %s", w.Code, w.Body)
	}
	h.refused(h.do(refresh), 400, "refresh_invalid")
	h.refused(h.do(ask{method: "POST", path: "/v1/link/disown", body: api.LinkRequest{Link: token}}), 401, "link_over")
}

// The page that an app's own form named takes over where its link is opened elsewhere. An
// app that sent the person to our page waits for a code, where it asked and nowhere else.
func TestOwnFormGoesOn(t *testing.T) {
	h := newHouse(t)
	for name, test := range map[string]struct {
		header map[string]string
		to     string
		want   bool
	}{
		"a program":                  {nil, shop + "/callback?a=b", true},
		"a page of the app":          {map[string]string{"Sec-Fetch-Site": "cross-site", "Origin": shop}, shop + "/callback", true},
		"an app on a phone":          {nil, "shopapp://callback", false},
		"our page":                   {map[string]string{"Sec-Fetch-Site": "same-origin"}, shop + "/callback", false},
		"our page in an old browser": {map[string]string{"Origin": "https://login.example"}, shop + "/callback", false},
	} {
		t.Run(name, func(t *testing.T) {
			started, token, _ := h.askedBy(test.header, api.StartRequest{Identifier: strings.ReplaceAll(name, " ", "-") + "@example.org", RedirectURL: test.to})
			var link api.Link
			decode(t, h.do(ask{method: "POST", path: "/v1/link/open", body: api.LinkRequest{Link: token}}), &link)
			if link.MayHandOver != test.want {
				t.Errorf("may hand over: %v, want %v", link.MayHandOver, test.want)
			}
			w := h.do(ask{method: "POST", path: "/v1/link/admit", body: api.AdmitRequest{Link: token, Way: "hand_over", Digits: started.Attempt.Link.Digits}})
			if !test.want {
				var p api.Problem
				if decode(t, w, &p); p.Code != "link_not_here" {
					t.Errorf("handing over: %d %s", w.Code, w.Body)
				}
				return
			}
			var admitted api.Admitted
			decode(t, w, &admitted)
			to, err := url.Parse(admitted.Location)
			if err != nil || !strings.HasPrefix(admitted.Location, test.to) || to.Query().Get("code") != "" {
				t.Fatalf("leads to %s (%v)", admitted.Location, err)
			}
			decode(t, h.do(ask{method: "POST", path: "/v1/link/admit", body: api.AdmitRequest{Link: to.Query().Get("challenge"), Way: "here",
				CodeChallenge: strings.Repeat("B", 42) + "A", RedirectURL: test.to}}), &admitted)
			if admitted.Granted == nil || admitted.Granted.AuthorizationCode == "" {
				t.Error("the page that took over got no code")
			}
		})
	}
}

func TestOpenings(t *testing.T) {
	const chrome = "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/120.0.0.0 Safari/537.36"
	tests := []struct {
		name, method string
		header       map[string]string
		want         splitpin.Opening
	}{
		{"HEAD", "HEAD", map[string]string{"User-Agent": chrome, "Accept": "text/html"}, splitpin.OpenedByHead},
		{"a browser", "GET", map[string]string{"User-Agent": chrome, "Accept": "text/html,*/*", "Sec-Fetch-Mode": "navigate"}, splitpin.OpenedAsPage},
		{"an old browser", "GET", map[string]string{"User-Agent": chrome, "Accept": "text/html,*/*"}, splitpin.OpenedAsPage},
		{"a prefetch", "GET", map[string]string{"User-Agent": chrome, "Accept": "text/html,*/*", "Sec-Purpose": "prefetch;prerender"}, splitpin.OpenedByFetch},
		{"a script's fetch", "GET", map[string]string{"User-Agent": chrome, "Accept": "text/html,*/*", "Sec-Fetch-Mode": "cors"}, splitpin.OpenedByFetch},
		{"a program", "GET", map[string]string{"User-Agent": "Slackbot-LinkExpanding 1.0", "Accept": "text/html"}, splitpin.OpenedByFetch},
		{"a program like a browser", "GET", map[string]string{"User-Agent": "Mozilla/5.0 (compatible; Googlebot/2.1)", "Accept": "text/html"}, splitpin.OpenedByFetch},
		{"nobody knows", "GET", nil, splitpin.OpenedByFetch},
	}
	for _, test := range tests {
		r := httptest.NewRequest(test.method, "/link/x", nil)
		for k, v := range test.header {
			r.Header.Set(k, v)
		}
		if got := edge.Opening(r); got != test.want {
			t.Errorf("%s: got %d, want %d", test.name, got, test.want)
		}
	}
}

func decode(t testing.TB, w *httptest.ResponseRecorder, v any) {
	t.Helper()
	if err := json.Unmarshal(w.Body.Bytes(), v); err != nil {
		t.Fatalf("%d %s: %v", w.Code, w.Body, err)
	}
}

// The inbox tells what became of a link; of a message without one there is nothing to tell.
func TestInboxTellsOfLinks(t *testing.T) {
	h := newHouse(t)
	started, _, _ := h.asked(true)
	a, err := splitpin.ParseAttemptID(started.Attempt.ID)
	if err != nil {
		t.Fatal(err)
	}
	h.start("", "grace@example.org")
	h.read("grace@example.org")
	list := into[[]delivery.InboxMessage](t, h.do(ask{method: "GET", path: "/inbox/api/messages?token=" + inboxTo}), 200)
	for _, m := range list {
		want := ""
		if m.Link != "" {
			want = fmt.Sprint("of attempt ", a.Number)
		}
		if got := strings.Join(m.History, "\n"); got != want {
			t.Errorf("of the message to %s is told %q, want %q", m.To, got, want)
		}
	}
	if len(list) != 2 {
		t.Errorf("there are %d messages, want 2", len(list))
	}
}
