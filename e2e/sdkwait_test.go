package e2e

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/splitpin/splitpin/api"
)

// What goes on elsewhere, as the library tells of it.
func TestSDKElsewhere(t *testing.T) {
	t.Parallel()
	d, b := startDev(t), startBrowser(t)
	a := startSinglePage(t, d)
	t.Run("a link opened elsewhere", func(t *testing.T) { a.takesLinks(t, b) })
	t.Run("links", func(t *testing.T) { a.waitsForLinks(t, a.open(t, b, "/")) })
	t.Run("a provider", func(t *testing.T) { a.comesBackFromNobody(t, a.open(t, b, "/")) })
}

// At default settings: whoever opens the link brings the digits to our page, which leads
// to the app's. There it takes a tap, and the screen that asked is told.
func (a *singlePage) takesLinks(t *testing.T, b *browser) {
	d := a.project.dev
	_, challenge := pkce()
	for name, test := range map[string]struct{ ask, path string }{
		"the library":             {`auth.start({ method: "email_link", identifier: %q })`, "/"},
		"the library with a page": {`auth.start({ method: "email_link", identifier: %q, linkUrl: "/welcome?a=b#c" })`, "/welcome?a=b#c"},
		"a form without it": {`fetch("` + a.project.v1() + `/attempts", { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(
			{ method: "email_link", identifier: %q, code_challenge: "` + challenge + `", redirect_url: location.origin + "/callback" }) })
			.then((answer) => answer.json()).then(({ attempt }) => ({ told: attempt }))`, "/callback"},
	} {
		t.Run(name, func(t *testing.T) {
			address := strings.ReplaceAll(name, " ", "-") + "@example.org"
			first := a.open(t, b, "/")
			digits := eval[string](first, fmt.Sprintf(`(async () => {
				const attempt = await %s;
				globalThis.waiting = attempt.wait ? caught(attempt.wait()) : null;
				return attempt.told.link.digits;
			})()`, fmt.Sprintf(test.ask, address)))
			second := b.open(t, d.message(t, address).Link)
			second.awaitText("#bearer-lead", says(t, "bearer.lead.digits"))
			if got := second.text("#bearer-goes"); got != strings.TrimPrefix(a.URL, "http://") {
				t.Errorf("the page says that it goes on at %q", got)
			}
			second.fill("#digits", digits)
			second.click("#bearer-submit")
			second.await("the app", fmt.Sprintf("location.origin === %q && globalThis.ready", a.URL))
			if handed := eval[string](second, "location.search"); !strings.Contains(handed, "auth_method=MAGIC_LINK") {
				t.Fatalf("the app got %s", handed)
			}
			if got := eval[any](second, "back.then((b) => b.value)"); got != nil {
				t.Errorf("handleRedirect took it for its own: %v", got)
			}
			account := eval[string](second, "auth.openedLink().then((opened) => (globalThis.opened = opened).told.account)")
			if account != address[:1]+"…@example.org" {
				t.Errorf("it is for %q", account)
			}
			if at := eval[string](second, "location.href"); at != a.URL+test.path {
				t.Errorf("the address is left as %s", at)
			}
			if now := eval[any](second, "auth.current().then((now) => now?.user.identifier)"); now == address {
				t.Error("signed in without a tap")
			}
			if got := eval[string](second, "opened.signIn().then((now) => now.user.identifier)"); got != address {
				t.Errorf("signed in as %q", got)
			}
			first.toFront() // a page that nobody sees asks nothing
			if got := eval[*caught](first, "waiting"); got != nil && got.Code != "attempt_elsewhere" {
				t.Errorf("the screen that asked got %+v", got)
			}
		})
	}
}

// The screen that asked waits, while the link of its message is opened elsewhere.
func (a *singlePage) waitsForLinks(t *testing.T, page *tab) {
	d := a.project.dev
	d.command(t, "project", "set", a.project.id, "--link-approval", "on")
	_, challenge := pkce()

	// All wait at once, each for its own link.
	people := []struct {
		name, path string
		ask        func(link, digits string) any
		want       string
	}{
		{"let-in", "/link/admit", func(link, digits string) any { return api.AdmitRequest{Link: link, Way: "let_in", Digits: digits} }, "let-in@example.org"},
		{"elsewhere", "/link/admit", func(link, digits string) any {
			return api.AdmitRequest{Link: link, Way: "here", Digits: digits, CodeChallenge: challenge, Origin: a.URL}
		}, "attempt_elsewhere"},
		{"refused", "/link/refuse", func(link, _ string) any { return api.LinkRequest{Link: link} }, "link_refused"},
	}
	eval[any](page, `void (globalThis.waits = {}, globalThis.tries = {})`)
	code := "" // of the last message
	for _, p := range people {
		address := p.name + "@example.org"
		digits := eval[string](page, fmt.Sprintf(`(async () => {
			const attempt = tries[%[1]q] = await auth.start({ method: "email_link", identifier: %[2]q });
			waits[%[1]q] = attempt.wait().then((now) => now.user.identifier, (e) => e.code);
			return attempt.told.link.digits;
		})()`, p.name, address))
		m := d.message(t, address)
		code = m.Code
		_, link, found := strings.Cut(m.Text, "/link/")
		if !found {
			t.Fatalf("the message to %s has no link: %s", address, m.Text)
		}
		link = strings.Fields(link)[0]
		until(t, deadlines.step, "the server knows of the approval", func() bool {
			_, body := call(t, "POST", a.project.v1()+"/link/open", nil, api.LinkRequest{Link: link})
			return decode[api.Link](t, body).MayLetIn
		})
		if answer, body := call(t, "POST", a.project.v1()+p.path, nil, p.ask(link, digits)); answer.StatusCode >= 300 {
			t.Fatalf("%s: %s %s", p.name, answer.Status, body)
		}
	}
	for _, p := range people {
		if got := eval[string](page, fmt.Sprintf("waits[%q]", p.name)); got != p.want {
			t.Errorf("%s: the screen that asked got %q, want %q", p.name, got, p.want)
		}
	}
	// Who was let in is signed in, and the code of a link that is off still works.
	if got := eval[string](page, "auth.current().then((now) => now.user.identifier)"); got != "let-in@example.org" {
		t.Errorf("signed in as %q", got)
	}
	if got := eval[string](page, fmt.Sprintf("tries.refused.answer(%q).then((now) => now.user.identifier)", code)); got != "refused@example.org" {
		t.Errorf("by the code of a link that was refused: %q", got)
	}
}

// What a provider's way back says without a result is told as the sign-in page tells it.
func (a *singlePage) comesBackFromNobody(t *testing.T, page *tab) {
	eval[any](page, `void auth.signIn({ provider: "NOBODY", redirectUrl: "/back?keep=1", replace: true })`)
	page.await("it is back", `location.pathname === "/back" && globalThis.ready`)
	if got := eval[caught](page, "back"); got.Code != "provider_unknown" || got.Status != 0 {
		t.Errorf("the way back: %+v, want provider_unknown", got)
	}
	if at := eval[string](page, "location.search"); at != "?keep=1" {
		t.Errorf("the address is left with %s", at)
	}
	to := url.Values{"project": {a.project.id}, "redirect_url": {"https://evil.example/"}, "code_challenge": {strings.Repeat("A", 43)}, "state": {"s"}}
	if answer, _ := call(t, "GET", a.project.url+"/social/NOBODY?"+to.Encode(), nil, nil); answer.StatusCode != http.StatusForbidden {
		t.Errorf("to a site that is not listed: %s", answer.Status)
	}
}
