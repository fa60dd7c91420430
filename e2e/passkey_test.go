package e2e

import (
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/webauthn"
	"github.com/chromedp/chromedp"
)

// Passkeys, with the authenticator that Chromium has for tests.

// An authenticator is one that a tab has.
type authenticator struct {
	page *tab
	id   webauthn.AuthenticatorID
}

// authenticator gives a tab the lock of a device, where a person lets themselves be
// recognised at once.
func (p *tab) authenticator(alter ...func(*webauthn.VirtualAuthenticatorOptions)) *authenticator {
	p.t.Helper()
	o := webauthn.VirtualAuthenticatorOptions{Protocol: webauthn.AuthenticatorProtocolCtap2, Transport: webauthn.AuthenticatorTransportInternal,
		HasResidentKey: true, HasUserVerification: true, IsUserVerified: true, AutomaticPresenceSimulation: true}
	for _, a := range alter {
		a(&o)
	}
	a := &authenticator{page: p}
	p.do("adding an authenticator", chromedp.Func(func(ctx context.Context, t *chromedp.Target) error {
		if _, err := cdp.Call(ctx, t, webauthn.Enable, webauthn.EnableParams{}); err != nil {
			return err
		}
		added, err := cdp.Call(ctx, t, webauthn.AddVirtualAuthenticator, webauthn.AddVirtualAuthenticatorParams{Options: &o})
		if err == nil {
			a.id = added.AuthenticatorID
		}
		return err
	}))
	return a
}

func (a *authenticator) credentials() []*webauthn.Credential {
	a.page.t.Helper()
	ctx, cancel := context.WithTimeout(a.page.ctx, deadlines.step)
	defer cancel()
	got, err := chromedp.Call(ctx, webauthn.GetCredentials, webauthn.GetCredentialsParams{AuthenticatorID: a.id})
	if err != nil {
		a.page.t.Fatal(err)
	}
	return got.Credentials
}

// window is our window in the customer's page.
func (p *tab) window(site *project, kind string) *tab {
	p.t.Helper()
	return p.frame(site.url + "/webauthn?type=" + kind)
}

// passkeySite is a customer's site that lets strangers ask who has a passkey, as the old
// SDK needs.
func passkeySite(t *testing.T) (*dev, *customer, *project) {
	t.Helper()
	d, c := startDev(t), startCustomer(t).named(t, "shop.localhost")
	return d, c, d.createProjectWith(t, []string{"--lookup", "minimal"}, "Shop", c.URL)
}

// enrolWithSDK signs in by a code and takes the offer of a passkey.
func (p *tab) enrolWithSDK(d *dev, site *project, address string) json.RawMessage {
	p.t.Helper()
	eval[any](p, "void signInWithPasskey()")
	form := p.frame(site.url + "/signup?")
	form.giveAddress(address)
	form.giveCode(d.code(p.t, address))
	w := p.window(site, "REGISTRATION")
	w.awaitText("#choice-title", "Sign-in faster.")
	w.click("#choice-submit")
	return p.payload()
}

// Register after a code, then sign in with it: contract 8 and 12.3, by the unmodified
// SDK.
func TestWebSDKPasskey(t *testing.T) {
	t.Parallel()
	d, c, p := passkeySite(t)
	b := startBrowser(t)
	page := b.open(t, c.page(p))
	device := page.authenticator()

	made := decode[map[string]any](t, page.enrolWithSDK(d, p, "ada@example.org"))
	text(t, made, "payload", map[string]string{"status": "^SUCCESS$", "email": "^ada@example.org$", "identifier": "^ada@example.org$"})
	text(t, object(t, made, "oauth_token"), "oauth_token", map[string]string{"auth_method": "^WEBAUTHN$", "refresh_token": `^[0-9]+:`})
	if has := device.credentials(); len(has) != 1 || has[0].RpID != "shop.localhost" {
		t.Fatalf("the authenticator has %+v, want one passkey for shop.localhost", has)
	}
	page.go_(c.page(p))
	eval[any](page, "void signInWithPasskey()")
	form := page.frame(p.url + "/signup?")
	form.giveAddress("ada@example.org")
	w := page.window(p, "LOGIN")
	w.awaitText("#choice-skip", "ada@example.org")
	w.click("#choice-submit")
	login := decode[map[string]any](t, page.payload())
	text(t, login, "payload", map[string]string{"status": "^SUCCESS$", "email": "^ada@example.org$"})
	text(t, object(t, login, "oauth_token"), "oauth_token", map[string]string{"auth_method": "^WEBAUTHN$"})
	if got := eval[string](page, "token()"); got == "" {
		t.Error("the SDK has no access token")
	}
	if got, want := object(t, login, "user")["ID"], object(t, made, "user")["ID"]; got != want {
		t.Errorf("signed in as %v, want %v", got, want)
	}
	codes := 0
	for _, m := range d.messages(t, "ada@example.org") {
		if m.Code != "" {
			codes++
		}
	}
	if codes != 1 {
		t.Errorf("%d codes were sent, want 1: a passkey needs none", codes)
	}
}

// Whoever does not want one goes on as before, at both windows.
func TestWebSDKPasskeySkipped(t *testing.T) {
	t.Parallel()
	d, c, p := passkeySite(t)
	page := startBrowser(t).open(t, c.page(p))
	page.authenticator()
	eval[any](page, "void signInWithPasskey()")
	form := page.frame(p.url + "/signup?")
	form.giveAddress("ada@example.org")
	form.giveCode(d.code(t, "ada@example.org"))
	page.window(p, "REGISTRATION").click("#choice-skip")
	first := decode[map[string]any](t, page.payload())
	text(t, first, "payload", map[string]string{"status": "^CANCELED$", "email": "^ada@example.org$"})
	text(t, object(t, first, "oauth_token"), "oauth_token", map[string]string{"auth_method": "^OTP$"})

	page.go_(c.page(p))
	page.enrolWithSDK(d, p, "ada@example.org")
	page.go_(c.page(p))
	eval[any](page, "void signInWithPasskey()")
	form = page.frame(p.url + "/signup?")
	form.giveAddress("ada@example.org")
	page.window(p, "LOGIN").click("#choice-skip")
	form.giveCode(d.code(t, "ada@example.org"))
	second := decode[map[string]any](t, page.payload())
	text(t, object(t, second, "oauth_token"), "oauth_token", map[string]string{"auth_method": "^OTP$"})

	// Where it is required, the code opens nothing, and the form asks the site for its window
	// again.
	d.command(t, "user", "require-passkey", "--project", p.id, "ada@example.org")
	page.go_(c.page(p))
	eval[any](page, "void signInWithPasskey()")
	form = page.frame(p.url + "/signup?")
	form.giveAddress("ada@example.org")
	page.window(p, "LOGIN").click("#choice-skip")
	form.giveCode(d.code(t, "ada@example.org"))
	page.noFrame(p.url + "/webauthn?")
	form.awaitText("#held-text", says(t, "recovery.offer"))
	checkAccessible(form, "the passkey is wanted")
	page.scheme("light")
	form.click("#held-submit")
	page.window(p, "LOGIN").awaitText("#choice-skip", "ada@example.org")
}

// Somebody who is signed in asks for a passkey. Our window knows nothing of that, so a
// code comes first; and a device that has one is told so.
func TestWebSDKRegistersPasskey(t *testing.T) {
	t.Parallel()
	d, c, p := passkeySite(t)
	page := startBrowser(t).open(t, c.page(p))
	device := page.authenticator()
	eval[any](page, `void register("ada@example.org")`)
	w := page.window(p, "REGISTRATION")
	w.click("#choice-submit")
	w.awaitText("#code-sent", "ada@example.org")
	code := d.code(t, "ada@example.org")
	w.fill("#code", wrongCode(code, 1))
	w.click("#code-submit")
	w.awaitText("#code-error", says(t, "code.wrong.tries.other", "n", "4"))
	w.fill("#code", code)
	w.click("#code-submit")
	made := decode[map[string]any](t, page.payload())
	text(t, made, "payload", map[string]string{"status": "^SUCCESS$", "": "^ada@example.org$"})
	if n := len(device.credentials()); n != 1 {
		t.Errorf("the authenticator has %d passkeys, want 1", n)
	}

	eval[any](page, `void register("ada@example.org")`)
	w = page.window(p, "REGISTRATION")
	w.click("#choice-submit")
	w.await("the window says what went wrong", `document.querySelector("#choice-error").textContent !== ""`)
	if said := w.text("#choice-error"); !strings.Contains(said, "excludeList") && !strings.Contains(said, "regist") {
		t.Errorf("the same device once more: the window says %q", said)
	}
	w.click("#choice-skip")
	page.await("the promise is settled", `outcome.state !== "pending"`)
	if o := page.outcome(); o.State != "rejected" {
		t.Errorf("leaving with an error on display: the promise is %s, want rejected", o.State)
	}
	if n := len(device.credentials()); n != 1 {
		t.Errorf("the authenticator has %d passkeys, want 1", n)
	}
}

// A neighbour on the same network asks for the passkey before the page does: nobody gets
// one.
func TestWebSDKPasskeyRace(t *testing.T) {
	t.Parallel()
	d, c, p := passkeySite(t)
	b := startBrowser(t)
	page := b.open(t, c.page(p))
	device := page.authenticator()
	eval[any](page, "void signInWithPasskey()")
	form := page.frame(p.url + "/signup?")
	form.giveAddress("ada@example.org")
	form.giveCode(d.code(t, "ada@example.org"))
	w := page.window(p, "REGISTRATION")
	w.awaitText("#choice-title", "Sign-in faster.")
	path := "/p/" + p.id + "/api/v0/webauthn/register/begin"
	release := b.hold("POST", path)
	defer release()
	w.click("#choice-submit")
	until(t, deadlines.step, "the page asks", func() bool {
		for _, line := range b.requests(p.url) {
			if line == "POST "+path {
				return true
			}
		}
		return false
	})
	stolen, body := call(t, "POST", p.cotter()+"/webauthn/register/begin?identifier="+url.QueryEscape("ada@example.org"),
		http.Header{"Api_key_id": {p.id}, "Origin": {c.URL}}, map[string]string{"origin": c.URL})
	if stolen.StatusCode != 200 {
		t.Fatalf("the neighbour got %d: %s", stolen.StatusCode, body)
	}
	release()
	w.await("the window says what went wrong", `document.querySelector("#choice-error").textContent.includes("second time")`)
	if n := len(device.credentials()); n != 0 {
		t.Errorf("the authenticator has %d passkeys, want none", n)
	}
	w.click("#choice-submit") // the honest person once more
	text(t, decode[map[string]any](t, page.payload()), "payload", map[string]string{"status": "^SUCCESS$"})
}

// ownPage is our sign-in page; the app it leads to is the customer's, which only shows
// what it was given.
func ownPage(p *project, c *customer) string {
	_, challenge := pkce()
	return p.url + "/signin?" + url.Values{"project": {p.id}, "redirect_url": {c.URL + "/"}, "code_challenge": {challenge}, "state": {"s"}}.Encode()
}

// arrived waits until the browser is back at the app, with a code.
func (p *tab) arrived(c *customer) {
	p.t.Helper()
	p.await("the app gets a code", `location.origin === "`+c.URL+`" && new URLSearchParams(location.search).get("code") !== null`)
}

// On our own page: a passkey is offered once after a code, and then the button and the
// browser itself, from the field of the address, sign in without one.
func TestOwnPagePasskey(t *testing.T) {
	t.Parallel()
	d, c := startDev(t), startCustomer(t).named(t, "shop.test")
	p := d.createProject(t, "Shop", c.URL)
	b := startBrowser(t)
	page := b.open(t, ownPage(p, c))
	device := page.authenticator(func(o *webauthn.VirtualAuthenticatorOptions) { o.AutomaticPresenceSimulation = false })
	present := func(is bool) {
		t.Helper()
		page.do("being there", chromedp.Func(func(ctx context.Context, target *chromedp.Target) error {
			_, err := cdp.Call(ctx, target, webauthn.SetAutomaticPresenceSimulation, webauthn.SetAutomaticPresenceSimulationParams{AuthenticatorID: device.id, Enabled: is})
			return err
		}))
	}
	page.go_(ownPage(p, c))
	page.giveAddress("ada@example.org")
	page.giveCode(d.code(t, "ada@example.org"))
	page.awaitText("#offer-title", says(t, "passkey.offer.title"))
	present(true)
	page.click("#offer-submit")
	page.arrived(c)
	if has := device.credentials(); len(has) != 1 || has[0].RpID != "localhost" || !has[0].IsResidentCredential {
		t.Fatalf("the authenticator has %+v, want one that the browser can offer, for localhost", has)
	}

	// Autofill: the person is there at once, so the browser's first choice is taken.
	page.go_(ownPage(p, c))
	page.arrived(c)

	present(false)
	page.go_(ownPage(p, c))
	page.await("the page is there", `document.querySelector("#passkey-submit")?.checkVisibility()`)
	present(true)
	page.click("#passkey-submit")
	page.arrived(c)

	// The mail about it leads to the way back, in any browser. Then the page says that it
	// is gone.
	undo := regexp.MustCompile(`http://\S+/undo/\S+`).FindString(d.message(t, "ada@example.org").Text)
	other := startBrowser(t).open(t, undo)
	other.awaitText("h1", says(t, "undo.title"))
	other.click(`input[value="undo"]`)
	other.click(`button[type="submit"]`)
	other.awaitText("h1", says(t, "undo.done.title"))
	present(false)
	page.go_(ownPage(p, c))
	page.await("the page is there", `document.querySelector("#passkey-submit")?.checkVisibility()`)
	present(true)
	page.click("#passkey-submit")
	page.awaitText("#passkey-error", says(t, "passkey.unknown"))
}

// Whoever says no to a passkey is signed in, and not asked again.
func TestOwnPagePasskeyDeclined(t *testing.T) {
	t.Parallel()
	d, c := startDev(t), startCustomer(t).named(t, "shop.test")
	p := d.createProject(t, "Shop", c.URL)
	page := startBrowser(t).open(t, ownPage(p, c))
	device := page.authenticator()
	page.go_(ownPage(p, c))
	page.giveAddress("ada@example.org")
	page.giveCode(d.code(t, "ada@example.org"))
	page.click("#offer-skip")
	page.arrived(c)
	page.go_(ownPage(p, c))
	page.giveAddress("ada@example.org")
	page.giveCode(d.code(t, "ada@example.org"))
	page.arrived(c)
	if n := len(device.credentials()); n != 0 {
		t.Errorf("the authenticator has %d passkeys, want none", n)
	}
}

// axe-core finds nothing in the pages and windows about passkeys.
func TestAccessibilityOfPasskeys(t *testing.T) {
	t.Parallel()
	d, c, p := passkeySite(t)
	b := startBrowser(t)
	shop := b.open(t, c.page(p))
	shop.authenticator()
	eval[any](shop, "void signInWithPasskey()")
	form := shop.frame(p.url + "/signup?")
	form.giveAddress("ada@example.org")
	form.giveCode(d.code(t, "ada@example.org"))
	w := shop.window(p, "REGISTRATION")
	w.awaitText("#choice-title", "Sign-in faster.")
	checkAccessible(w, "passkey-window")
	shop.scheme("light")
	w.click("#choice-submit")
	shop.payload()
	page := b.open(t, regexp.MustCompile(`http://\S+/undo/\S+`).FindString(d.message(t, "ada@example.org").Text))
	checkAccessible(page, "passkey-undo")

	own := b.open(t, ownPage(p, c))
	own.authenticator()
	own.go_(ownPage(p, c))
	own.await("the page is there", `document.querySelector("#passkey-submit")?.checkVisibility()`)
	own.resize(300, 700)
	checkAccessible(own, "passkey-signin")
	own.giveAddress("bob@example.org")
	own.giveCode(d.code(t, "bob@example.org"))
	own.click("#code-submit") // it leads to a program of the person's own
	own.awaitText("#offer-title", says(t, "passkey.offer.title"))
	checkAccessible(own, "passkey-offer")
}
