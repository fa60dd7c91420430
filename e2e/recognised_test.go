package e2e

import (
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/splitpin/splitpin/api"
)

// ends revokes every session of whom an access token is for, as the person would do
// from another device.
func (p *project) ends(t *testing.T, token string) {
	t.Helper()
	answer, body := call(t, "DELETE", p.v1()+"/sessions", http.Header{"Authorization": {"Bearer " + token}}, nil)
	if answer.StatusCode != http.StatusOK {
		t.Fatalf("ending sessions: %s: %s", answer.Status, body)
	}
}

// begun keeps what the site's OnBegin is told, and refuses nothing.
const begun = `(told) => { window.begun = told; return null; }`

// comesBack signs in on the customer's page by an address alone, as far as that leads, and
// returns the form.
func (p *tab) comesBack(c *customer, site *project, address string) *tab {
	p.t.Helper()
	p.go_(c.page(site))
	form := p.signIn(site, begun)
	form.giveAddress(address)
	return form
}

// The unmodified SDK, in a browser that was told to remember: the second sign-in asks for
// nothing, and says so to the site; without the tick, after logging out, and once the
// session is ended elsewhere, a code is asked for as always.
func TestWebSDKRecognisedBrowser(t *testing.T) {
	t.Parallel()
	d, c, b := startDev(t), startCustomer(t).named(t, "shop.localhost"), startBrowser(t)
	p := d.createProject(t, "Shop", c.URL)
	page := b.open(t, c.page(p))

	// Each part has a person of its own: nobody gets many codes in a row.
	code := func(form *tab, who string) json.RawMessage {
		t.Helper()
		form.await("a code is asked for", `!document.querySelector("#code-screen").hidden`)
		if told := eval[any](page, "window.begun.auth_required"); told != true {
			t.Errorf("the site was told auth_required %v before a code, want true", told)
		}
		form.giveCode(d.code(t, who))
		return page.payload()
	}
	remembered := func(who string) json.RawMessage {
		t.Helper()
		page.go_(c.page(p))
		form := page.signIn(p, begun)
		form.click("#remember")
		form.giveAddress(who)
		return code(form, who)
	}
	silent := func(who, typed string) json.RawMessage {
		t.Helper()
		before := len(d.messages(t, who))
		page.comesBack(c, p, typed)
		payload := page.payload()
		if told := eval[any](page, "window.begun.auth_required"); told != false {
			t.Errorf("the site was told auth_required %v, want false", told)
		}
		if n := len(d.messages(t, who)); n != before {
			t.Errorf("%d messages were sent, want none", n-before)
		}
		return payload
	}

	t.Run("not without the tick", func(t *testing.T) {
		form := page.signIn(p, begun)
		form.await("the box is there, and not ticked", `document.querySelector("#remember").checkVisibility() && !document.querySelector("#remember").checked`)
		form.giveAddress("tom@example.org")
		code(form, "tom@example.org")
		code(page.comesBack(c, p, "tom@example.org"), "tom@example.org")
	})
	t.Run("comes back", func(t *testing.T) {
		const ada = "ada@example.org"
		remembered(ada)
		if n := len(d.messages(t, ada)); n != 1 {
			t.Errorf("%d messages, want the code and no word about the browser: its address has just had one", n)
		}
		checkPayload(t, p, silent(ada, " Ada@Example.org"), ada)
		last := silent(ada, ada)

		// Another person in the same browser is nobody it knows.
		form := page.comesBack(c, p, "bob@example.org")
		form.await("a code is asked for", `!document.querySelector("#code-screen").hidden`)
		d.code(t, "bob@example.org")

		// The session is ended elsewhere.
		p.ends(t, object(t, decode[map[string]any](t, last), "oauth_token")["access_token"].(string))
		code(page.comesBack(c, p, ada), ada)
	})
	t.Run("not on another site of the project", func(t *testing.T) {
		const eve = "eve@example.org"
		other := startCustomer(t).named(t, "blog.localhost")
		d.command(t, "project", "set", p.id, "--add-origin", other.URL)
		until(t, deadlines.step, "the new site is listed", func() bool {
			answer, _ := call(t, "GET", p.url+"/signup?api_key="+p.id+"&domain="+other.URL+"&challenge="+strings.Repeat("A", 43), nil, nil)
			return answer.StatusCode == http.StatusOK
		})
		remembered(eve)
		code(page.comesBack(other, p, eve), eve)
		silent(eve, eve)
	})
	t.Run("not after logging out", func(t *testing.T) {
		const kim = "kim@example.org"
		remembered(kim)
		silent(kim, kim)
		eval[any](page, "cotter.logOut()")
		code(page.comesBack(c, p, kim), kim)
	})
	t.Run("not where the project does without", func(t *testing.T) {
		const joe = "joe@example.org"
		remembered(joe)
		d.command(t, "project", "set", p.id, "--recognise-days", "off")
		var form *tab
		until(t, deadlines.step, "the form has no box", func() bool {
			page.go_(c.page(p))
			form = page.signIn(p, begun)
			form.await("the form is there", `document.querySelector("#address").checkVisibility()`)
			return eval[bool](form, `!document.querySelector("#remember").checkVisibility()`)
		})
		form.giveAddress(joe)
		code(form, joe)
	})
}

// A recognised browser stands in the place of a code where our window begins a passkey
// (security 26).
func TestWebSDKRecognisedBrowserArms(t *testing.T) {
	t.Parallel()
	d, c, p := passkeySite(t)
	b := startBrowser(t)
	page := b.open(t, c.page(p))
	form := page.signIn(p)
	form.click("#remember")
	form.giveAddress("ada@example.org")
	form.giveCode(d.code(t, "ada@example.org"))
	page.payload()

	page = b.open(t, c.page(p)) // in another tab there is no proof but the browser itself
	device := page.authenticator()
	eval[any](page, `void register("ada@example.org")`)
	page.window(p, "REGISTRATION").click("#choice-submit")
	text(t, decode[map[string]any](t, page.payload()), "payload", map[string]string{"status": "^SUCCESS$"})
	if n := len(device.credentials()); n != 1 {
		t.Errorf("the authenticator has %d passkeys, want 1", n)
	}
	codes := 0
	for _, m := range d.messages(t, "ada@example.org") {
		if m.Code != "" {
			codes++
		}
	}
	if codes != 1 {
		t.Errorf("%d codes were sent, want that of the sign-in alone", codes)
	}
}

// On a page of our own it costs a tap beside the name of where it leads, whoever opened
// the page (security 5).
func TestOwnPageRecognisedBrowser(t *testing.T) {
	t.Parallel()
	d, c, b := startDev(t), startCustomer(t).named(t, "shop.test"), startBrowser(t)
	p := d.createProject(t, "Shop", c.URL)
	page := b.open(t, "about:blank")
	verifier := ""
	visit := func() {
		t.Helper()
		var challenge string
		verifier, challenge = pkce()
		page.go_(p.url + "/signin?" + url.Values{"project": {p.id}, "redirect_url": {c.URL + "/"}, "code_challenge": {challenge}, "state": {"s"}}.Encode())
	}
	// collected is what the app does, where the person arrived.
	collected := func() (token string) {
		t.Helper()
		page.arrived(c)
		answer, body := call(t, "POST", p.v1()+"/token", nil, api.TokenRequest{GrantType: "authorization_code",
			Code: eval[string](page, `new URLSearchParams(location.search).get("code")`), CodeVerifier: verifier, RedirectURL: c.URL + "/"})
		if answer.StatusCode != http.StatusOK {
			t.Fatalf("collecting: %s: %s", answer.Status, body)
		}
		return decode[api.Tokens](t, body).AccessToken
	}
	visit()
	page.click("#remember")
	page.giveAddress("ada@example.org")
	page.giveCode(d.code(t, "ada@example.org"))
	collected()

	visit()
	page.awaitText("#known-account", "ada@example.org")
	page.awaitText("#known-destination", "shop.test")
	if at := eval[string](page, "document.activeElement.id"); at != "known-title" {
		t.Errorf("the focus is on %q, want known-title", at)
	}
	checkAccessible(page, "known")
	page.resize(300, 700)
	checkAccessible(page, "known, narrow")
	page.scheme("light")
	page.key("Tab", 9)
	page.key("Enter", 13)
	token := collected()
	if n := len(d.messages(t, "ada@example.org")); n != 1 {
		t.Errorf("%d messages, want 1", n)
	}

	// Somebody else is at this browser.
	visit()
	page.click("#known-other")
	page.await("the address is asked for", `document.querySelector("#address").checkVisibility()`)
	checkAccessible(page, "address with the box, narrow")
	page.resize(1280, 900)

	// The session is over: the tap leads to a code.
	p.ends(t, token)
	visit()
	page.click("#known-submit")
	page.await("a code is asked for", `!document.querySelector("#code-screen").hidden`)
	page.giveCode(d.code(t, "ada@example.org"))
	collected()
	visit()
	page.await("the address is asked for", `document.querySelector("#address").checkVisibility()`)
}
