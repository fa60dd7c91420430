package e2e

import (
	"fmt"
	"net/http"
	"net/url"
	"testing"
	"time"

	"github.com/chromedp/chromedp"

	"github.com/splitpin/splitpin/api"
)

// The page about an account, as people meet it: signed in to by our own sign-in page.

func accountPage(p *project) string {
	return p.url + "/account?" + url.Values{"project": {p.id}}.Encode()
}

// tabTo goes on by the keyboard alone until an element has the focus.
func (p *tab) tabTo(selector string, modifiers ...chromedp.Modifier) {
	p.t.Helper()
	for range 40 {
		p.key("Tab", 9, modifiers...)
		if eval[bool](p, fmt.Sprintf("document.activeElement === document.querySelector(%q)", selector)) {
			return
		}
	}
	p.t.Fatalf("no way to %s by the keyboard\n%s", selector, p.state())
}

// entries returns the names in a list of the page.
func (p *tab) entries(list string) []string {
	p.t.Helper()
	return eval[[]string](p, fmt.Sprintf("[...document.querySelectorAll('#%s .entry_name')].map((e) => e.textContent)", list))
}

func (p *tab) awaitEntries(list string, n int) {
	p.t.Helper()
	p.await(fmt.Sprintf("%s has %d entries", list, n), fmt.Sprintf("document.querySelector('#account-screen').checkVisibility() && document.querySelectorAll('#%s .entry').length === %d", list, n))
}

// confirmByCode answers "first, is it you?".
func (p *tab) confirmByCode(d *dev, address string) {
	p.t.Helper()
	p.awaitText("#confirm-title", says(p.t, "account.confirm.title"))
	p.click("#confirm-code")
	p.awaitText("#code-sent", address)
	p.giveCode(d.code(p.t, address))
}

func TestAccountPage(t *testing.T) {
	t.Parallel()
	const ada = "ada@example.org"
	clock := newClock(t)
	d, b := startDevWith(t, clock.binary, clock.env()), startBrowser(t)
	p := d.createProject(t, "Shop", "https://shop.example")
	page := b.open(t, accountPage(p))

	// There and back by the sign-in page, although the project does not list us.
	page.await("the sign-in page is there", `location.pathname === "/signin" && document.querySelector("#address").checkVisibility()`)
	page.giveAddress(ada)
	page.giveCode(d.code(t, ada))
	page.awaitText("#account-who", ada)
	if at := eval[string](page, "location.search"); at != "?project="+p.id {
		t.Errorf("the address is left with %s", at)
	}
	if got := page.entries("ways"); len(got) != 1 || got[0] != ada {
		t.Errorf("the ways to sign in are %q", got)
	}
	checkAccessible(page, "account without a passkey")
	page.scheme("light")
	device := page.authenticator()

	t.Run("adds and renames by the keyboard alone", func(t *testing.T) {
		page := &tab{t: t, ctx: page.ctx}
		eval[any](page, `document.querySelector("#account-title").focus()`)
		page.tabTo("#add-passkey")
		page.key("Enter", 13)
		page.awaitEntries("ways", 2)
		if has := device.credentials(); len(has) != 1 || has[0].RpID != "localhost" {
			t.Fatalf("the authenticator has %+v", has)
		}
		const rename = `#ways [aria-label^="Rename"]`
		page.await("the new one has the focus", fmt.Sprintf("document.activeElement === document.querySelector(%q)", rename))
		page.key("Enter", 13)
		page.await("there is a field for the name", `document.activeElement.matches("#ways input")`)
		page.key("Escape", 27)
		page.await("Escape leads back", fmt.Sprintf("document.activeElement === document.querySelector(%q)", rename))
		page.key("Enter", 13)
		page.await("there is a field for the name", `document.activeElement.matches("#ways input")`)
		page.keys("Work laptop")
		page.key("Enter", 13)
		page.await("it has the name", `document.querySelectorAll("#ways .entry_name")[1]?.textContent === "Work laptop" && document.activeElement.textContent === "Rename"`)
		page.tabTo(`#ways [aria-label="Remove Work laptop"]`)
		page.key("Enter", 13)
		page.awaitText("#remove-title", "Work laptop")
		page.tabTo("#remove-cancel")
		page.key("Enter", 13)
		page.await("that leads back to where it began", `document.activeElement.ariaLabel === "Remove Work laptop"`)
	})

	t.Run("ends the session of a neighbour", func(t *testing.T) {
		page := &tab{t: t, ctx: page.ctx}
		p.origin = "https://shop.example"
		theirs, more := p.signIn(t, ada), p.signIn(t, ada)
		page.go_(accountPage(p))
		page.awaitEntries("sessions", 3)
		first := eval[string](page, `document.querySelector("#sessions .entry_actions button").closest("li").dataset.id`)
		page.click("#sessions .entry_actions button")
		page.awaitEntries("sessions", 2)
		lives := func(s api.Tokens) bool {
			answer, _ := call(t, "GET", p.v1()+"/user", http.Header{"Authorization": {"Bearer " + s.AccessToken}}, nil)
			return answer.StatusCode == http.StatusOK
		}
		if lives(theirs) == lives(more) {
			t.Errorf("session %s was ended: one of two should live", first)
		}
		page.click("#end-others")
		page.awaitEntries("sessions", 1)
		if lives(theirs) || lives(more) {
			t.Error("a neighbour's session lives")
		}
		if got := page.entries("sessions"); len(got) != 1 || eval[bool](page, `document.querySelector("#end-others").checkVisibility()`) {
			t.Errorf("what is left is %q", got)
		}
	})

	t.Run("asks who it is after five minutes", func(t *testing.T) {
		page := &tab{t: t, ctx: page.ctx}
		page.resize(300, 700)
		clock.advance(t, 6*time.Minute)
		page.click("#ways button:last-child")
		page.awaitText("#remove-title", "Work laptop")
		checkAccessible(page, "remove")
		page.click("#remove-submit")
		page.awaitText("#confirm-title", says(t, "account.confirm.title"))
		checkAccessible(page, "confirm")
		page.scheme("light")
		page.click("#confirm-cancel")
		page.awaitText("#remove-title", "Work laptop")
		page.click("#remove-cancel")
		page.awaitEntries("ways", 2)
		if n := len(device.credentials()); n != 1 {
			t.Fatalf("whoever did not confirm removed a passkey: the authenticator has %d", n)
		}

		page.click("#ways button:last-child")
		page.click("#remove-submit")
		page.click("#confirm-code")
		page.awaitText("#code-sent", ada)
		code := d.code(t, ada)
		page.giveCode(wrongCode(code, 1))
		page.awaitText("#code-error", says(t, "code.wrong.tries.other", "n", "4"))
		checkAccessible(page, "code")
		page.scheme("light")
		page.giveCode(code)
		page.awaitEntries("ways", 1)
		// The browser was told, and offers it no more.
		until(t, deadlines.step, "the authenticator forgot it", func() bool { return len(device.credentials()) == 0 })
		page.resize(1280, 900)
	})

	t.Run("a passkey confirms", func(t *testing.T) {
		page := &tab{t: t, ctx: page.ctx}
		page.click("#add-passkey")
		page.awaitEntries("ways", 2)
		clock.advance(t, 6*time.Minute)
		page.click("#ways button:last-child")
		page.click("#remove-submit")
		page.click("#confirm-passkey")
		page.awaitEntries("ways", 1)
	})

	t.Run("keeps the last, and says how to replace it", func(t *testing.T) {
		page := &tab{t: t, ctx: page.ctx}
		clock.advance(t, 6*time.Minute)
		page.click("#add-passkey")
		page.confirmByCode(d, ada)
		page.awaitEntries("ways", 2)
		d.command(t, "project", "set", p.id, "--method", "passkey")
		until(t, deadlines.step, "codes are off", func() bool {
			answer, _ := call(t, "POST", p.v1()+"/attempts", nil, api.StartRequest{Method: "email_code", Identifier: ada, Origin: "https://shop.example"})
			return answer.StatusCode == http.StatusForbidden
		})
		page.go_(accountPage(p))
		page.awaitEntries("ways", 1) // her address lets nobody in now
		page.click("#ways button:last-child")
		page.click("#remove-submit")
		page.awaitText("#ways-error", says(t, "account.remove.last"))
		page.await("what to do first has the focus", `document.activeElement.id === "add-passkey"`)
		checkAccessible(page, "last")
		page.scheme("light")
		page.awaitEntries("ways", 1)
		if n := len(device.credentials()); n != 1 {
			t.Errorf("the authenticator has %d passkeys, want 1", n)
		}
		checkAccessible(page, "account")
		page.scheme("light")
		page.resize(300, 900)
		checkAccessible(page, "account on a phone")
		page.scheme("light")
	})

	t.Run("logs out, and in again with a passkey", func(t *testing.T) {
		page := &tab{t: t, ctx: page.ctx}
		page.click("#log-out")
		page.awaitText("#status-title", says(t, "account.out.title"))
		checkAccessible(page, "logged out")
		page.click("#status-action")
		page.await("the sign-in page has a button, and no field", `document.querySelector("#passkey-submit")?.checkVisibility() && !document.querySelector("#address")?.checkVisibility()`)
		checkAccessible(page, "a passkey alone")
		page.scheme("light")
		page.click("#passkey-submit")
		page.awaitEntries("ways", 1)
	})

	// Switched off it is not there, and nothing leads to it.
	d.command(t, "project", "set", p.id, "--account-page", "off")
	until(t, deadlines.step, "the page is gone", func() bool {
		answer, _ := call(t, "GET", accountPage(p), http.Header{"Accept": {"text/html"}}, nil)
		return answer.StatusCode == http.StatusNotFound
	})
}
