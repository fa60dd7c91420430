package e2e

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"

	"github.com/splitpin/splitpin/signin/social/socialtest"
)

// Accounts at providers, with the published web SDK unmodified, in a browser that goes to a
// provider and back.

// A socialSite is a site that offers two: THEIRS speaks OpenID Connect and decides over
// addresses at trusted.example, GITHUB is as GitHub is.
type socialSite struct {
	*dev
	*project
	shop  *customer
	b     *browser
	clock *clock
	// Providers.
	theirs, github, posts *socialtest.Provider
	people                int64
}

// offered are the buttons, in their order.
var offered = []string{"GITHUB", "THEIRS", "POSTS"}

func startSocial(t *testing.T) *socialSite {
	t.Helper()
	s := &socialSite{clock: newClock(t), shop: startCustomer(t)}
	s.dev = startDevWith(t, s.clock.binary, s.clock.env())
	s.b = startBrowser(t)
	s.project = s.dev.createProject(t, "Shop", s.shop.URL)
	now := func() time.Time { return time.Now().Add(s.clock.offset) }
	s.theirs, s.github, s.posts = socialtest.NewPlain(t, now), socialtest.NewPlain(t, now), socialtest.NewPlain(t, now)
	s.posts.Document = map[string]any{"authorization_endpoint": s.posts.URL + "/authorize?response_mode=form_post"}
	s.offer(t, s.project)
	return s
}

// offer makes a project offer the providers.
func (s *socialSite) offer(t *testing.T, p *project) {
	t.Helper()
	secret := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(secret, []byte(socialtest.ClientSecret), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, flags := range map[string][]string{
		"THEIRS": {"--kind", "oidc", "--issuer", s.theirs.URL, "--domain", "trusted.example", "--label", "Theirs"},
		"GITHUB": {"--issuer", s.github.URL},
		"POSTS":  {"--kind", "oidc", "--issuer", s.posts.URL, "--domain", "trusted.example"},
	} {
		s.command(t, append([]string{"project", "provider", "add", name, "--project", p.id, "--client-id", socialtest.ClientID, "--client-secret-file", secret}, flags...)...)
	}
	for _, name := range offered {
		until(t, deadlines.step, "the server offers "+name, func() bool {
			_, challenge := pkce()
			client := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
			answer, _, err := try(t.Context(), client, "GET", p.cotter()+"/oauth/credential/login/"+name+"?"+url.Values{"api_key_id": {p.id}, "state": {"s"},
				"redirect_url": {p.origin}, "code_challenge": {challenge}}.Encode(), nil, nil)
			if err != nil {
				t.Fatal(err)
			}
			to := answer.Header.Get("Location")
			return to != "" && !strings.Contains(to, "error=")
		})
	}
}

// person is somebody with an account of that name at every provider. email may be empty.
func (s *socialSite) person(t *testing.T, name, email string) socialtest.Person {
	t.Helper()
	s.people++
	who := socialtest.Person{Subject: name + "-at-theirs", Username: name, Email: email, Number: s.people}
	for _, p := range []*socialtest.Provider{s.theirs, s.github, s.posts} {
		p.Offer(who)
	}
	return who
}

// page is the customer's page with buttons, which has parameters of its own.
func (s *socialSite) page() string {
	return s.shop.page(s.project, "400px") + "&with=" + strings.Join(offered, "&with=") + "&id=7&provider=none#top"
}

// on is a tab for one subtest.
func (s *socialSite) on(t *testing.T, address string) *tab {
	t.Helper()
	return s.b.open(t, address)
}

// leavesFor presses the button of a provider in the form, and chooses who one is there.
func (s *socialSite) leavesFor(p *tab, provider, choice string) {
	p.t.Helper()
	form := p.frame(s.project.url + "/signup?").wakes()
	form.click(fmt.Sprintf("#providers button:nth-of-type(%d)", 1+slices.Index(offered, provider)))
	s.chooses(p, choice)
}

// chooses chooses who one is, at the provider.
func (s *socialSite) chooses(p *tab, choice string) {
	p.t.Helper()
	p.await("the provider asks who one is", `document.title === "Theirs" && document.getElementById("`+choice+`") !== null`)
	p.click("#" + choice)
}

// takes follows the link to a provider on a page of ours. Not by the mouse: what the page
// learns of passkeys meanwhile moves the link away from under it, and the focus as well.
func (s *socialSite) takes(p *tab, provider string) {
	p.t.Helper()
	eval[any](p, fmt.Sprintf(`void setTimeout(() => document.querySelector("a[href*='/social/%s']").click())`, provider))
}

// isBack waits for the customer's page.
func (s *socialSite) isBack(p *tab) {
	p.t.Helper()
	p.await("the customer's page is there", fmt.Sprintf("location.origin === %q", s.shop.URL))
}

func (s *socialSite) awaitStep(p *tab, key string, pairs ...string) {
	p.t.Helper()
	p.awaitText("h1", says(p.t, key, pairs...))
	p.await("it is whole", `document.readyState === "complete"`)
}

// looked lets axe-core look at a step, light and dark, narrow and wide.
func looked(p *tab, state string) {
	p.t.Helper()
	for name, width := range map[string]int64{"wide": 1280, "narrow": 300} {
		p.resize(width, 800)
		checkAccessible(p, state+" "+name)
	}
	p.resize(1280, 900)
}

// accounts are the accounts at providers of somebody, as a backend sees them.
func (s *socialSite) accounts(t *testing.T, user string) (names []string) {
	t.Helper()
	answer, body := call(t, "GET", s.project.cotter()+"/oauth/token/list/"+user, http.Header{"API_KEY_ID": {s.id}, "API_SECRET_KEY": {s.secret}}, nil)
	if answer.StatusCode != http.StatusOK {
		t.Fatalf("listing accounts: %s %s", answer.Status, body)
	}
	for _, a := range decode[[]map[string]any](t, body) {
		names = append(names, fmt.Sprint(a["identity_provider"], " ", a["provider_username"]))
	}
	return names
}

func userOf(t *testing.T, payload json.RawMessage) (id, identifier, method string) {
	t.Helper()
	top := decode[map[string]any](t, payload)
	user, tokens := object(t, top, "user"), object(t, top, "oauth_token")
	return user["ID"].(string), user["identifier"].(string), claims(t, tokens["access_token"].(string))["authentication_method"].(string)
}

// signsInByCode is somebody with an account here already.
func (s *socialSite) signsInByCode(p *tab, address string) (id string) {
	p.t.Helper()
	form := p.frame(s.project.url + "/signup?")
	form.giveAddress(address)
	form.giveCode(s.code(p.t, address))
	id, _, _ = userOf(p.t, p.payload())
	return id
}

func TestWebSDKSocial(t *testing.T) {
	t.Parallel()
	s := startSocial(t)
	for _, scenario := range []struct {
		name string
		run  func(t *testing.T, s *socialSite)
	}{
		{"request and landing", socialLanding},
		{"an answer that is posted", socialPosted},
		{"link prompt", socialLinkPrompt},
		{"link prompt cancelled", socialLinkCancelled},
		{"the same address is not the same account", socialNeverByAddress},
		{"cancelled and denied", socialCancelled},
		{"provider down", socialDown},
		{"another browser comes back", socialOtherBrowser},
		{"back button", socialBack},
		{"connect", socialConnects},
		{"connect with an old proof", socialConnectsLater},
		{"connect what is somebody else's", socialConnectsTaken},
		{"buttons of our own page", socialOwnButtons},
		{"buttons of the page of a site without the SDK", socialDemo},
		{"the page about an account", socialAccountPage},
		{"a busy network", socialBusy},
	} {
		t.Run(scenario.name, func(t *testing.T) { scenario.run(t, s) })
	}
}

// Somebody new whose address the provider decides over: a look, a tap, and the promise of
// the form on the page resolves. A second click changes nothing.
func socialLanding(t *testing.T, s *socialSite) {
	who := s.person(t, "augusta-ada-king-countess-of-lovelace-1815", "augusta.ada.king.countess.of.lovelace.of.ockham@trusted.example")
	p := s.on(t, s.page())
	s.leavesFor(p, "THEIRS", who.Username)
	s.awaitStep(p, "step.agree.title", "name", "Shop")
	for _, fact := range []string{who.Username[:40] + " (Theirs)", who.Email, s.shop.URL} {
		p.awaitText("main", fact)
	}
	p.awaitText(".lead", says(t, "step.agree.new", "provider", "Theirs"))
	looked(p, "agree")
	p.click("#step-submit", 2)
	s.isBack(p)
	id, identifier, method := userOf(t, p.payload())
	if identifier != who.Email || method != "SOCIAL_LOGIN" {
		t.Errorf("signed in as %s by %s", identifier, method)
	}
	if list := s.accounts(t, id); len(list) != 1 || list[0] != "THEIRS "+who.Username[:40] {
		t.Errorf("the accounts are %v", list)
	}
	if at := eval[string](p, "location.href"); strings.Contains(at, "code=") {
		t.Errorf("the address still holds the code: %s", at)
	}
	if got := eval[string](p, "token()"); got == "" {
		t.Error("there is no access token")
	}

	// The second time it says that the account is known.
	p = s.on(t, s.page())
	s.leavesFor(p, "THEIRS", who.Username)
	p.awaitText(".lead", says(t, "step.agree.known", "provider", "Theirs"))
	p.click("#step-submit")
	s.isBack(p)
	if again, _, _ := userOf(t, p.payload()); again != id {
		t.Errorf("signed in as user %s, before as %s", again, id)
	}
}

// Apple's way back: a form that the provider's page posts.
func socialPosted(t *testing.T, s *socialSite) {
	who := s.person(t, "apple", "apple@trusted.example")
	p := s.on(t, s.page())
	s.leavesFor(p, "POSTS", who.Username)
	s.awaitStep(p, "step.agree.title", "name", "Shop")
	p.key("Tab", tabKey)
	p.await("the focus is on the button", `document.activeElement.id === "step-submit"`)
	p.key("Tab", tabKey)
	p.await("the focus is on the way out", `document.activeElement.id === "step-cancel"`)
	p.click("#step-submit")
	s.isBack(p)
	if _, identifier, _ := userOf(t, p.payload()); identifier != who.Email {
		t.Errorf("signed in as %s", identifier)
	}
}

// connectWindow is our window in the customer's page.
func (s *socialSite) connectWindow(p *tab) *tab {
	p.t.Helper()
	s.isBack(p)
	return p.frame(s.project.url + "/social_connect?").wakes()
}

// An address that GitHub names belongs to somebody here: the SDK opens our window, the
// address is proved by a code, and that is the same person from then on.
func socialLinkPrompt(t *testing.T, s *socialSite) {
	who := s.person(t, "hopper", "hopper@example.org")
	id := s.signsInByCode(s.on(t, s.page()), who.Email)
	p := s.on(t, s.page())
	s.leavesFor(p, "GITHUB", who.Username)
	w := s.connectWindow(p)
	s.awaitStep(w, "step.send.title")
	w.awaitText("main", who.Username+" (GitHub)")
	w.awaitText("main", who.Email)
	checkAccessible(w, "link prompt")
	if list := s.accounts(t, id); len(list) != 0 {
		t.Fatalf("before anything was proved the accounts are %v", list)
	}
	w.click("#step-submit")
	s.awaitStep(w, "step.code.title")
	checkAccessible(w, "link prompt code")
	code := s.code(t, who.Email)
	w.fill("#code", wrongCode(code, 1))
	w.click("#step-submit")
	w.awaitText("#step-error", "not right")
	checkAccessible(w, "link prompt wrong code")
	w.fill("#code", code)
	w.click("#step-submit")
	p.await("the promise is settled", `outcome.state === "resolved"`)
	got, identifier, method := userOf(t, p.payload())
	if got != id || identifier != who.Email || method != "SOCIAL_LOGIN" {
		t.Errorf("signed in as user %s %s by %s, want %s", got, identifier, method, id)
	}
	if list := s.accounts(t, id); len(list) != 1 || list[0] != "GITHUB "+who.Username {
		t.Errorf("the accounts are %v", list)
	}
	if m := s.message(t, who.Email); !strings.Contains(m.Text, "/undo/") {
		t.Errorf("the next message is %q, want that about the new account", m.Subject)
	}
}

func socialLinkCancelled(t *testing.T, s *socialSite) {
	who := s.person(t, "turing", "turing@example.org")
	id := s.signsInByCode(s.on(t, s.page()), who.Email)
	p := s.on(t, s.page())
	s.leavesFor(p, "GITHUB", who.Username)
	w := s.connectWindow(p)
	s.awaitStep(w, "step.send.title")
	w.click("#step-cancel")
	p.await("the window is gone", `!document.querySelector("iframe[src*='/social_connect']")?.checkVisibility()`)
	p.await("the SDK tidied the address", `!location.search.includes("O_CONNECT")`)
	if list := s.accounts(t, id); len(list) != 0 {
		t.Errorf("the accounts are %v", list)
	}
	// The form is still there, and works.
	p.frame(s.project.url+"/signup?").fill("#address", who.Email)
}

// The account of a victim is not opened by an account elsewhere that names the same address,
// as long as the address is not proved; and whoever owns both proves it.
func socialNeverByAddress(t *testing.T, s *socialSite) {
	victim := "victim@trusted.example"
	id := s.signsInByCode(s.on(t, s.page()), victim)
	mallory := s.person(t, "mallory", victim)
	p := s.on(t, s.page())
	s.leavesFor(p, "THEIRS", mallory.Username) // whose provider even vouches
	w := s.connectWindow(p)
	s.awaitStep(w, "step.send.title")
	q := eval[map[string]string](p, `Object.fromEntries(new URLSearchParams(location.search))`)
	body := map[string]any{"token_id": q["token_id"], "user_id": q["user_id"], "identity_provider": "THEIRS",
		"login_state": eval[map[string]any](p, `JSON.parse(atob(sessionStorage.getItem("oauth_sess")))`)}
	answer, text := call(t, "POST", s.project.cotter()+"/oauth/token/connect", http.Header{"API_KEY_ID": {s.id}, "Origin": {s.shop.URL}}, body)
	if answer.StatusCode < 400 || answer.StatusCode >= 500 || strings.Contains(string(text), "code=") {
		t.Errorf("connecting without a proof: %s %s", answer.Status, text)
	}
	w.click("#step-submit")
	s.awaitStep(w, "step.code.title")
	wrong := wrongCode(s.code(t, victim), 1)
	for range 5 { // she does not have the mail
		w.fill("#code", wrong)
		eval[any](w, `void (window.asked = true)`)
		w.key("Enter", 13)
		w.await("the answer is there", `window.asked === undefined && document.readyState === "complete"`)
	}
	s.awaitStep(w, "step.send.title") // the tries are over
	if list := s.accounts(t, id); len(list) != 0 {
		t.Errorf("the accounts are %v", list)
	}
	if o := p.outcome(); o.State != "pending" {
		t.Errorf("the promise is %s: %s", o.State, o.Payload)
	}
}

// Whoever says no, there or here, is back with a sentence to show.
func socialCancelled(t *testing.T, s *socialSite) {
	who := s.person(t, "cancel-there", "cancel-there@trusted.example")
	for what, run := range map[string]func(p *tab){
		"there": func(p *tab) { s.leavesFor(p, "THEIRS", "cancel") },
		"here": func(p *tab) {
			s.leavesFor(p, "THEIRS", who.Username)
			s.awaitStep(p, "step.agree.title", "name", "Shop")
			p.click("#step-cancel")
		},
	} {
		p := s.on(t, s.page())
		run(p)
		s.isBack(p)
		at := eval[map[string]string](p, `Object.fromEntries(new URLSearchParams(location.search))`)
		if !strings.Contains(at["error"], "cancelled") || at["code"] != "" || at["key"] != s.id || eval[string](p, "location.hash") != "#top" {
			t.Errorf("cancelled %s: back with %v", what, at)
		}
		p.frame(s.project.url+"/signup?").await("the form is there", `document.querySelector("#address").checkVisibility()`)
	}
}

func socialDown(t *testing.T, s *socialSite) {
	who := s.person(t, "unlucky", "unlucky@trusted.example")
	s.theirs.Break("/token", http.StatusServiceUnavailable)
	defer s.theirs.Break("/token", 0)
	p := s.on(t, s.page())
	s.leavesFor(p, "THEIRS", who.Username)
	s.isBack(p)
	if said := eval[string](p, `new URLSearchParams(location.search).get("error") ?? ""`); !strings.Contains(said, "does not answer") {
		t.Errorf("back with %q", said)
	}
}

// The address of the callback alone is worth nothing in another browser.
func socialOtherBrowser(t *testing.T, s *socialSite) {
	who := s.person(t, "lured", "lured@trusted.example")
	p := s.on(t, s.page())
	form := p.frame(s.project.url + "/signup?").wakes()
	form.click("#providers button:nth-of-type(2)")
	p.await("the provider asks who one is", `document.title === "Theirs"`)
	there := eval[string](p, "location.href")
	other, cancel := chromedp.NewContext(s.b.ctx, chromedp.WithNewBrowserContext())
	defer cancel()
	victim := &tab{t: t, ctx: other}
	victim.go_(there) // a link that somebody sent
	s.chooses(victim, who.Username)
	s.awaitStep(victim, "step.lost.title")
	looked(victim, "lost")
	if at := eval[string](victim, "location.origin"); at != s.project.url {
		t.Errorf("the other browser is at %s", at)
	}
	p.click("#" + who.Username) // where it was begun it goes on
	s.awaitStep(p, "step.agree.title", "name", "Shop")
}

// Going back after the end shows that this is over, and leads nowhere.
func socialBack(t *testing.T, s *socialSite) {
	who := s.person(t, "back", "back@trusted.example")
	_, challenge := pkce()
	p := s.on(t, s.project.cotter()+"/oauth/credential/login/THEIRS?"+url.Values{"api_key_id": {s.id}, "state": {"s"},
		"redirect_url": {s.shop.URL + "/?done"}, "code_challenge": {challenge}}.Encode())
	s.chooses(p, who.Username)
	s.awaitStep(p, "step.agree.title", "name", "Shop")
	p.go_(s.shop.URL + "/?elsewhere") // somebody changes their mind, and goes back
	p.back()
	s.awaitStep(p, "step.agree.title", "name", "Shop")
	p.click("#step-submit")
	s.isBack(p)
	if at := eval[string](p, "location.search"); !strings.Contains(at, "code=") {
		t.Errorf("it ends with %s", at)
	}
	p.back()
	s.awaitStep(p, "step.lost.title")
	if at := eval[string](p, "location.origin"); at != s.project.url {
		t.Errorf("back is at %s", at)
	}
}

// Somebody who is signed in connects an account: both are named, it counts with the yes,
// and a mail tells of it.
func socialConnects(t *testing.T, s *socialSite) {
	who := s.person(t, "noether", "noether@example.org")
	address := "emmy@example.org"
	p := s.on(t, s.page())
	id := s.signsInByCode(p, address)
	s.connects(p)
	s.chooses(p, who.Username)
	s.awaitStep(p, "step.connect.title")
	for _, fact := range []string{who.Username + " (GitHub)", address} {
		p.awaitText("main", fact)
	}
	looked(p, "connect")
	if list := s.accounts(t, id); len(list) != 0 {
		t.Errorf("before the yes the accounts are %v", list)
	}
	p.click("#step-submit", 2)
	s.isBack(p)
	if at := eval[string](p, "location.href"); at != s.shop.URL+"/?me" {
		t.Errorf("it ends at %s", at)
	}
	if list := s.accounts(t, id); len(list) != 1 || list[0] != "GITHUB "+who.Username {
		t.Errorf("the accounts are %v", list)
	}
	if m := s.message(t, address); !strings.Contains(m.Text, "/undo/") {
		t.Errorf("the next message is %q, want that about the new account", m.Subject)
	}
	for _, line := range strings.Split(s.out.String(), "\n") {
		if strings.Contains(line, "access_token") {
			t.Errorf("the log says %s", line)
		}
	}
}

// connects begins to connect an account at GitHub.
func (s *socialSite) connects(p *tab) {
	p.t.Helper()
	eval[any](p, fmt.Sprintf(`token().then((t) => { setTimeout(() => cotter.connectSocialLogin("GITHUB", t, %q)) })`, s.shop.URL+"/?me"))
}

// Whoever signed in some minutes ago confirms in place, by a code.
func socialConnectsLater(t *testing.T, s *socialSite) {
	who := s.person(t, "curie", "curie@example.org")
	address := "marie@example.org"
	p := s.on(t, s.page())
	id := s.signsInByCode(p, address)
	s.clock.advance(t, 6*time.Minute)
	p.passTime(s.clock.offset)
	s.connects(p)
	s.awaitStep(p, "step.confirm.title")
	p.awaitText("main", address)
	if eval[bool](p, `document.documentElement.innerHTML.includes("eyJ")`) {
		t.Error("the page holds the token")
	}
	looked(p, "confirm")
	p.click("#step-submit")
	s.awaitStep(p, "step.code.title")
	code := s.code(t, address)
	p.fill("#code", wrongCode(code, 1))
	p.click("#step-submit")
	p.awaitText("#step-error", "not right")
	looked(p, "wrong code")
	p.fill("#code", code)
	p.click("#step-submit")
	s.chooses(p, who.Username)
	s.awaitStep(p, "step.connect.title")
	p.click("#step-submit")
	s.isBack(p)
	if list := s.accounts(t, id); len(list) != 1 || list[0] != "GITHUB "+who.Username {
		t.Errorf("the accounts are %v", list)
	}
}

func socialConnectsTaken(t *testing.T, s *socialSite) {
	who := s.person(t, "shared", "shared@example.org")
	for i, address := range []string{"first@example.org", "second@example.org"} {
		p := s.on(t, s.page())
		id := s.signsInByCode(p, address)
		s.connects(p)
		s.chooses(p, who.Username)
		if i == 0 {
			s.awaitStep(p, "step.connect.title")
			p.click("#step-submit")
		}
		s.isBack(p)
		said := eval[string](p, `new URLSearchParams(location.search).get("error") ?? ""`)
		if list := s.accounts(t, id); len(list) != 1-i || (said == "") != (i == 0) {
			t.Errorf("%s has %v, and hears %q", address, list, said)
		}
	}
}

// The page about an account connects one, and says when nothing was connected.
func socialAccountPage(t *testing.T, s *socialSite) {
	who, address := s.person(t, "kovalevskaya", "sofya@example.org"), "sonya@example.org"
	p := s.on(t, accountPage(s.project))
	p.await("the sign-in page is there", `location.pathname === "/signin" && document.querySelector("#address").checkVisibility()`)
	p.giveAddress(address)
	p.giveCode(s.code(t, address))
	p.awaitText("#account-who", address)
	connect := "#connect button:first-child" // GITHUB
	p.click(connect)
	s.chooses(p, who.Username)
	s.awaitStep(p, "step.connect.title")
	p.click("main a")
	p.awaitText("#ways-error", says(t, "account.connect.stopped"))
	if got := p.entries("ways"); len(got) != 1 {
		t.Errorf("whoever said no has %q", got)
	}

	s.clock.advance(t, 6*time.Minute)
	p.click(connect)
	p.confirmByCode(s.dev, address)
	s.chooses(p, who.Username)
	s.awaitStep(p, "step.connect.title")
	p.click("#step-submit")
	p.awaitEntries("ways", 2)
	if got := p.entries("ways"); !strings.HasPrefix(got[1], who.Username) {
		t.Errorf("the ways to sign in are %q", got)
	}
	if n := eval[int](p, `document.querySelectorAll("#connect button").length`); n != len(offered)-1 {
		t.Errorf("%d more can be connected, want %d", n, len(offered)-1)
	}
	looked(p, "account")
}

// Without the SDK: the buttons of /signin, and an address that a person types.
func socialOwnButtons(t *testing.T, s *socialSite) {
	who := s.person(t, "plain", "")
	verifier, challenge := pkce()
	redirect := s.shop.URL + "/?done"
	p := s.on(t, s.project.url+"/app?"+url.Values{"api_key": {s.id}, "type": {"EMAIL"}, "code_challenge": {challenge}, "state": {"st&te"}, "redirect_url": {redirect}}.Encode())
	p.await("the buttons are there", `document.querySelector("a[href*='/social/THEIRS']") !== null`)
	s.takes(p, "THEIRS")
	s.chooses(p, who.Username)
	s.awaitStep(p, "step.send.title")
	looked(p, "address")
	p.fill("#address", "typed@example.org")
	p.click("#step-submit")
	s.awaitStep(p, "step.code.title")
	p.fill("#code", s.code(t, "typed@example.org"))
	p.key("Enter", enterKey)
	s.isBack(p)
	q := eval[map[string]string](p, `Object.fromEntries(new URLSearchParams(location.search))`)
	if q["state"] != "st&te" || q["iss"] != s.issuer() || q["auth_method"] != "SOCIAL_LOGIN" {
		t.Errorf("it ends with %v", q)
	}
	answer, body := call(t, "POST", s.project.cotter()+"/verify/get_identity?oauth_token=true", http.Header{"API_KEY_ID": {s.id}}, map[string]any{
		"code_verifier": verifier, "authorization_code": q["code"], "challenge_id": q["challenge_id"], "redirect_url": redirect})
	if answer.StatusCode != http.StatusOK || object(t, decode[map[string]any](t, body), "user")["identifier"] != "typed@example.org" {
		t.Errorf("get_identity: %s %s", answer.Status, body)
	}
}

// The demo goes to /signin, which has the buttons of its project. Nobody there knows of
// providers.
func socialDemo(t *testing.T, s *socialSite) {
	who := s.person(t, "demo", "demo@trusted.example")
	s.offer(t, s.dev.defaultProject(t))
	for _, greeting := range []string{"Welcome", "Hello again"} {
		p := s.on(t, s.demo)
		p.click("#sign-in")
		p.await("the sign-in page is there", `location.pathname === "/signin" && document.querySelector("a[href*='/social/THEIRS']") !== null`)
		s.takes(p, "THEIRS")
		s.chooses(p, who.Username)
		p.awaitText("main", s.demo)
		p.click("#step-submit")
		p.awaitText("#contact", who.Email)
		if got := p.text("#greeting"); got != greeting {
			t.Errorf("greeted %q, want %q", got, greeting)
		}
		p.click("#sign-out")
		p.await("the way in is offered", `document.querySelector("#sign-in").checkVisibility()`)
	}
	// Saying no there brings one back to the demo, which offers the way in again.
	p := s.on(t, s.demo)
	p.click("#sign-in")
	p.await("the sign-in page is there", `document.querySelector("a[href*='/social/THEIRS']") !== null`)
	s.takes(p, "THEIRS")
	s.chooses(p, "cancel")
	p.await("the way in is offered", fmt.Sprintf(`location.origin === %q && document.querySelector("#sign-in").checkVisibility()`, s.demo))
}

// A network from which many sign in: the page solves a puzzle by itself, and goes on.
func socialBusy(t *testing.T, s *socialSite) {
	who := s.person(t, "busy", "busy@example.org")
	busy := s.dev.createProject(t, "Busy", s.shop.URL)
	s.offer(t, busy)
	_, challenge := pkce()
	p := s.on(t, busy.cotter()+"/oauth/credential/login/GITHUB?"+url.Values{"api_key_id": {busy.id}, "state": {"s"},
		"redirect_url": {s.shop.URL + "/?done"}, "code_challenge": {challenge}}.Encode())
	p.await("the provider asks who one is", `document.title === "Theirs"`)
	s.chooses(p, who.Username)
	s.isBack(p) // the SDK would open our window; here it stands alone
	token := eval[string](p, `new URLSearchParams(location.search).get("token_id")`)
	if token == "" {
		t.Fatal("there is no window to open")
	}
	for i := range 10 {
		answer, body := call(t, "POST", busy.v1()+"/attempts", nil, map[string]any{"method": "email_code", "identifier": fmt.Sprintf("p%d@example.org", i),
			"code_challenge": challenge, "redirect_url": s.shop.URL})
		if answer.StatusCode != http.StatusCreated {
			t.Fatalf("start %d: %s %s", i, answer.Status, body)
		}
	}
	p.go_(s.shop.page(busy, "400px") + "&with=GITHUB&action=O_CONNECT&token_id=" + url.QueryEscape(token) + "&user_id=x&provider=GITHUB")
	w := p.frame(s.project.url + "/social_connect?").wakes()
	release := s.b.hold("POST", "/social/code")
	defer release()
	s.awaitStep(w, "step.send.title")
	w.click("#step-submit")
	release()
	w.await("the code is asked for", `document.querySelector("#code") !== null`)
	posts := 0
	for _, line := range s.b.requests(s.project.url) {
		if line == "POST /social/code" {
			posts++
		}
	}
	if posts < 2 {
		t.Error("no puzzle was asked")
	}
}

// back goes back in the history of a tab.
func (p *tab) back() {
	p.t.Helper()
	eval[any](p, `void setTimeout(() => history.back())`)
}
