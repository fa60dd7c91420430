package e2e

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"regexp"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/webauthn"
	"github.com/chromedp/chromedp"
)

// What can go wrong with passkeys, in a real browser against /v1: the ceremony runs in a
// page of the customer's, and each row looks at what the server says of its result.

// A keeper of passkeys: somebody who is signed in, at a page of the customer's.
type keeper struct {
	t      *testing.T
	d      *dev
	p      *project
	c      *customer
	page   *tab
	bearer http.Header
}

// tell gives an authenticator a command.
func tell[P any](a *authenticator, command cdp.Command[P, cdp.Empty], params P) {
	a.page.t.Helper()
	a.page.do("telling the authenticator", chromedp.Func(func(ctx context.Context, t *chromedp.Target) error {
		_, err := cdp.Call(ctx, t, command, params)
		return err
	}))
}

func (a *authenticator) present(is bool) {
	a.page.t.Helper()
	tell(a, webauthn.SetAutomaticPresenceSimulation, webauthn.SetAutomaticPresenceSimulationParams{AuthenticatorID: a.id, Enabled: is})
}

// keep gives an authenticator a passkey that another had. The command of the library names
// members that Chromium takes of none of its authenticators.
func (a *authenticator) keep(c *webauthn.Credential) {
	a.page.t.Helper()
	type credential struct {
		ID       []byte  `json:"credentialId"`
		Resident bool    `json:"isResidentCredential"`
		Site     string  `json:"rpId"`
		Key      []byte  `json:"privateKey"`
		Handle   []byte  `json:"userHandle"`
		Count    float64 `json:"signCount"`
	}
	type params struct {
		Authenticator webauthn.AuthenticatorID `json:"authenticatorId"`
		Credential    credential               `json:"credential"`
	}
	tell(a, cdp.Command[params, cdp.Empty]{Method: webauthn.CommandAddCredential},
		params{a.id, credential{c.CredentialID, c.IsResidentCredential, c.RpID, c.PrivateKey, c.UserHandle, c.SignCount}})
}

type startedPasskey struct {
	Secret  string
	Attempt struct {
		ID      string
		Passkey json.RawMessage
	}
}

// asks starts an attempt with a passkey. more are members of the request besides.
func (k *keeper) asks(header http.Header, more map[string]string) startedPasskey {
	k.t.Helper()
	body := map[string]string{"method": "passkey", "origin": k.c.URL}
	for name, value := range more {
		body[name] = value
	}
	answer, text := call(k.t, "POST", k.p.v1()+"/attempts", header, body)
	if answer.StatusCode != http.StatusCreated {
		k.t.Fatalf("asking for a passkey: %d %s", answer.StatusCode, text)
	}
	return decode[startedPasskey](k.t, text)
}

// runs has a page's browser do what was asked, and returns what it gives, or the name of
// its own refusal after a !.
func (s startedPasskey) runs(page *tab, kind string) string {
	page.t.Helper()
	reader := map[string]string{"get": "parseRequestOptionsFromJSON", "create": "parseCreationOptionsFromJSON"}[kind]
	return eval[string](page, `navigator.credentials.`+kind+`({publicKey: PublicKeyCredential.`+reader+`(`+string(s.Attempt.Passkey)+`)})
		.then((c) => JSON.stringify(c.toJSON()), (e) => "!" + e.name)`)
}

// answers hands it to the server, and returns the status, the code of a refusal and what
// else is said.
func (k *keeper) answers(s startedPasskey, given string) (int, map[string]any) {
	k.t.Helper()
	answer, text := call(k.t, "POST", k.p.v1()+"/attempts/"+s.Attempt.ID+"/answer", http.Header{"Attempt-Secret": {s.Secret}}, json.RawMessage(given))
	return answer.StatusCode, decode[map[string]any](k.t, text)
}

// signsIn shows a passkey at a page, and returns the status and what the server says.
func (k *keeper) signsIn(page *tab) (int, map[string]any) {
	k.t.Helper()
	_, challenge := pkce()
	s := k.asks(nil, map[string]string{"code_challenge": challenge})
	given := s.runs(page, "get")
	if strings.HasPrefix(given, "!") {
		k.t.Fatalf("the browser refuses: %s", given)
	}
	return k.answers(s, given)
}

func (k *keeper) mustSignIn() map[string]any {
	k.t.Helper()
	status, said := k.signsIn(k.page)
	if status != http.StatusOK {
		k.t.Fatalf("signing in with a passkey: %d %v", status, said)
	}
	return said
}

// makes adds a passkey and returns its id.
func (k *keeper) makes() string {
	k.t.Helper()
	s := k.asks(k.bearer, map[string]string{"purpose": "enrol"})
	given := s.runs(k.page, "create")
	if strings.HasPrefix(given, "!") {
		k.t.Fatalf("the browser makes none: %s", given)
	}
	status, said := k.answers(s, given)
	if status != http.StatusOK {
		k.t.Fatalf("making a passkey: %d %v", status, said)
	}
	return said["credential_id"].(string)
}

func (k *keeper) facts(id string) []string {
	k.t.Helper()
	_, text := call(k.t, "GET", k.p.v1()+"/credentials", k.bearer, nil)
	list := decode[struct {
		Credentials []struct {
			ID    string
			Facts []string
		}
	}](k.t, text)
	for _, c := range list.Credentials {
		if c.ID == id {
			return c.Facts
		}
	}
	k.t.Fatalf("there is no credential %s in %s", id, text)
	return nil
}

// signedInByCode is an access token of somebody who typed a code.
func (d *dev) signedInByCode(t *testing.T, p *project, c *customer, address string) http.Header {
	t.Helper()
	verifier, challenge := pkce()
	_, text := call(t, "POST", p.v1()+"/attempts", nil, map[string]string{"method": "email_code", "identifier": address, "origin": c.URL, "code_challenge": challenge})
	s := decode[startedPasskey](t, text)
	_, text = call(t, "POST", p.v1()+"/attempts/"+s.Attempt.ID+"/answer", http.Header{"Attempt-Secret": {s.Secret}}, map[string]string{"code": d.code(t, address)})
	granted := decode[map[string]any](t, text)
	_, text = call(t, "POST", p.v1()+"/token", http.Header{"Origin": {c.URL}}, map[string]any{
		"grant_type": "authorization_code", "code": granted["authorization_code"], "code_verifier": verifier, "redirect_url": c.URL})
	token, ok := decode[map[string]any](t, text)["access_token"].(string)
	if !ok {
		t.Fatalf("no access token: %s", text)
	}
	return http.Header{"Authorization": {"Bearer " + token}}
}

func TestPasskeyScenarios(t *testing.T) {
	t.Parallel()
	d, c := startDev(t), startCustomer(t).named(t, "shop.localhost")
	phisher := startCustomer(t).named(t, "shop.localhost") // the same host, another port
	p := d.createProject(t, "Shop", c.URL)
	b := startBrowser(t)
	page, theirs := b.open(t, c.page(p)), b.open(t, phisher.page(p))
	device := page.authenticator()
	k := &keeper{t, d, p, c, page, d.signedInByCode(t, p, c, "ada@example.org")}
	first := k.makes()
	k.mustSignIn()

	t.Run("wrong origin", func(t *testing.T) {
		k, page := k.in(t), theirs.in(t)
		copied := page.authenticator()
		for _, has := range device.credentials() { // as if the person were there
			copied.keep(has)
		}
		if status, said := k.signsIn(page); status != 401 || said["code"] != "wrong_answer" {
			t.Errorf("what a page of another origin was given: %d %v, want 401 wrong_answer", status, said)
		}
		_, challenge := pkce()
		body := map[string]string{"method": "passkey", "origin": phisher.URL, "code_challenge": challenge}
		if answer, text := call(t, "POST", p.v1()+"/attempts", nil, body); answer.StatusCode != 403 {
			t.Errorf("asking for it by that page's name: %d %s", answer.StatusCode, text)
		}
	})

	t.Run("counter going back", func(t *testing.T) {
		k := k.in(t)
		was := device.credentials()[0]
		k.mustSignIn()
		tell(device, webauthn.RemoveCredential, webauthn.RemoveCredentialParams{AuthenticatorID: device.id, CredentialID: was.CredentialID})
		device.keep(was)
		if got := k.mustSignIn()["credential_id"]; got != first { // by a copy that is one behind
			t.Errorf("signed in by %v, want %s", got, first)
		}
		if facts := k.facts(first); !slices.Contains(facts, "counter_went_back") {
			t.Errorf("the passkey says %v", facts)
		}
		if log := d.command(t, "audit", "list"); !strings.Contains(log, "counter_went_back") {
			t.Errorf("the audit log does not say so:\n%s", log)
		}
	})

	t.Run("user verification missing", func(t *testing.T) {
		k, bad, good := k.in(t), true, false
		tell(device, webauthn.SetResponseOverrideBits, webauthn.SetResponseOverrideBitsParams{AuthenticatorID: device.id, IsBadUV: &bad})
		if status, said := k.signsIn(page); status != 401 || said["code"] != "wrong_answer" {
			t.Errorf("a device that did not look who it is: %d %v, want 401 wrong_answer", status, said)
		}
		tell(device, webauthn.SetResponseOverrideBits, webauthn.SetResponseOverrideBitsParams{AuthenticatorID: device.id, IsBadUV: &good})
		k.mustSignIn()
	})

	var second string
	var key *authenticator
	t.Run("two authenticators", func(t *testing.T) {
		k := k.in(t)
		key = page.authenticator(func(o *webauthn.VirtualAuthenticatorOptions) { o.Transport = webauthn.AuthenticatorTransportUsb })
		device.present(false)
		second = k.makes()
		if got := k.mustSignIn()["credential_id"]; got != second {
			t.Errorf("with the key: signed in by %v, want %s", got, second)
		}
		key.present(false)
		device.present(true)
		if got := k.mustSignIn()["credential_id"]; got != first {
			t.Errorf("with the device: signed in by %v, want %s", got, first)
		}
	})

	t.Run("removed credential", func(t *testing.T) {
		k := k.in(t)
		if answer, text := call(t, "DELETE", p.v1()+"/credentials/"+first, k.bearer, nil); answer.StatusCode != 200 {
			t.Fatalf("removing: %d %s", answer.StatusCode, text)
		}
		if status, said := k.signsIn(page); status != 401 || said["code"] != "credential_unknown" {
			t.Errorf("the passkey that was removed: %d %v, want 401 credential_unknown", status, said)
		}
		device.present(false)
		key.present(true)
		if got := k.mustSignIn()["credential_id"]; got != second {
			t.Errorf("the other one: signed in by %v, want %s", got, second)
		}
	})
}

func (k *keeper) in(t *testing.T) *keeper {
	own := *k
	own.t = t
	return &own
}

func (p *tab) in(t *testing.T) *tab {
	own := *p
	own.t = t
	return &own
}

// A passkey that is required: what somebody reads who comes with a code, what the one with
// the passkey sees, and how it is cancelled. Each state is looked at by axe-core.
func TestPasskeyRequiredPages(t *testing.T) {
	t.Parallel()
	d, c := startDev(t), startCustomer(t).named(t, "shop.test")
	p := d.createProjectWith(t, []string{"--passkey-required", "on"}, "Shop", c.URL)
	b := startBrowser(t)
	page := b.open(t, ownPage(p, c))
	device := page.authenticator(func(o *webauthn.VirtualAuthenticatorOptions) { o.AutomaticPresenceSimulation = false })
	byCode := func() {
		t.Helper()
		device.present(false)
		page.go_(ownPage(p, c))
		page.giveAddress("ada@example.org")
		page.giveCode(d.code(t, "ada@example.org"))
	}
	lost := func() {
		t.Helper()
		byCode()
		page.awaitText("#held-text", says(t, "recovery.offer"))
		page.click("#held-recover")
		page.awaitText("#held-text", "24 hours")
		page.await("there is nothing to begin any more", `!document.getElementById("held-recover").checkVisibility()`)
	}
	byPasskey := func() {
		t.Helper()
		device.present(false)
		page.go_(ownPage(p, c))
		page.await("the page is there", `document.querySelector("#passkey-submit")?.checkVisibility()`)
		device.present(true)
		page.click("#passkey-submit")
	}

	byCode()
	page.awaitText("#offer-title", says(t, "passkey.must.title"))
	page.resize(300, 700)
	checkAccessible(page, "must make one")
	page.click("#offer-skip")
	page.arrived(c)
	byCode() // it is asked again
	page.awaitText("#offer-title", says(t, "passkey.must.title"))
	device.present(true)
	page.click("#offer-submit")
	page.arrived(c)

	// A code that was typed by habit begins nothing: the passkey is at hand.
	byCode()
	page.awaitText("#held-text", says(t, "recovery.offer"))
	page.resize(300, 700)
	checkAccessible(page, "a code where a passkey is required")
	page.pictures("held")
	device.present(true)
	page.click("#held-submit")
	page.arrived(c)

	lost()
	checkAccessible(page, "a recovery has begun")

	byPasskey()
	page.awaitText("#recovery-title", says(t, "recovery.seen.title"))
	page.awaitText("#recovery-text", "24 hours")
	checkAccessible(page, "seen with the passkey")
	page.key("Tab", 9)
	page.key("Enter", 13)
	page.arrived(c)
	byPasskey() // it is cancelled
	page.arrived(c)

	lost()
	undo := b.open(t, regexp.MustCompile(`http://\S+/undo/\S+`).FindString(d.message(t, "ada@example.org").Text))
	undo.awaitText("p.lead", "without its passkey")
	checkAccessible(undo, "the link of the message")
	undo.click(`input[value="undo"]`)
	undo.click(`button[type="submit"]`)
	undo.awaitText("h1", says(t, "undo.recovery.done.title"))
	checkAccessible(undo, "cancelled")

	// Who lost the passkey, and is known to the operator.
	d.command(t, "user", "recover", "--yes", "--project", p.id, "ada@example.org")
	byCode()
	page.awaitText("#offer-title", says(t, "passkey.must.title"))
	page.click("#offer-skip")
	page.arrived(c)
}

// One site for all pages of a project: a page of another host uses its passkeys, because the
// site says what 'project set' printed; and no longer when it does not.
func TestRelatedOrigins(t *testing.T) {
	t.Parallel()
	var document atomic.Pointer[string]
	sites := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		text := document.Load()
		switch {
		case r.URL.Path == "/.well-known/webauthn" && r.Host == "shop.test" && text != nil:
			w.Header().Set("Content-Type", "application/json")
			io.WriteString(w, *text)
		case r.URL.Path == "/":
			w.Header().Set("Content-Type", "text/html")
			io.WriteString(w, "<!doctype html><title>"+r.Host+"</title>")
		default:
			w.WriteHeader(http.StatusNotFound)
		}
	}))
	defer sites.Close()
	shop, club := &customer{URL: "https://shop.test"}, &customer{URL: "https://club.test"}
	d := startDev(t)
	p := d.createProject(t, "Shop", shop.URL, club.URL)
	printed := d.command(t, "project", "set", "--passkey-site", "shop.test", p.id)
	text := regexp.MustCompile(`\{"origins":.*\}`).FindString(printed)
	if !strings.Contains(text, club.URL) {
		t.Fatalf("project set says: %s", printed)
	}
	b := startBrowserFor(t, sites, "shop.test", "club.test")
	page := b.open(t, club.URL+"/")
	page.authenticator()
	k := &keeper{t, d, p, club, page, d.signedInByCode(t, p, club, "ada@example.org")}
	if said := k.asks(k.bearer, map[string]string{"purpose": "enrol"}).runs(page, "create"); said != "!SecurityError" {
		t.Fatalf("while the site says nothing, the browser says %s, want !SecurityError", said)
	}
	document.Store(&text)
	made := k.makes()
	if got := k.mustSignIn()["credential_id"]; got != made {
		t.Errorf("signed in by %v, want %s", got, made)
	}
}
