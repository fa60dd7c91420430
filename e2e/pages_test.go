package e2e

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
)

// Our own pages, without an SDK around them.

const (
	tabKey   = 9
	enterKey = 13
)

// Signing in works without a mouse, and the focus is always where the person is.
func TestKeyboardAlone(t *testing.T) {
	t.Parallel()
	d, c, b := startDev(t), startCustomer(t), startBrowser(t)
	p := d.createProject(t, "Shop", c.URL)
	page := b.open(t, c.page(p))
	form := page.signIn(p)
	form.await("the form is there", `document.querySelector("#address").checkVisibility()`)
	focus := func(id string) {
		t.Helper()
		form.await("the focus is on "+id, fmt.Sprintf("document.hasFocus() && document.activeElement.id === %q", id))
	}
	reach := func(id string, modifiers ...chromedp.Modifier) {
		t.Helper()
		for range 8 {
			page.key("Tab", tabKey, modifiers...)
			if eval[bool](form, fmt.Sprintf("document.hasFocus() && document.activeElement.id === %q", id)) {
				return
			}
		}
		t.Fatalf("Tab does not reach %s; the focus is on %s", id, eval[string](form, "document.activeElement.outerHTML"))
	}
	if !eval[bool](form, `document.hasFocus() && document.activeElement.id === "address"`) {
		reach("address")
	}
	page.keys("ada@example.org")
	page.key("Enter", enterKey)
	focus("code")
	code := d.code(t, "ada@example.org")
	page.keys(wrongCode(code, 1))
	form.awaitText("#code-error", says(t, "code.wrong.tries.other", "n", "4"))
	focus("code")

	// The way back to the address and forth again.
	reach("code-change", chromedp.ModifierShift)
	page.key("Enter", enterKey)
	focus("address")
	page.keys("grace@example.org") // the old address is selected, so this replaces it
	page.key("Enter", enterKey)
	focus("code")
	page.keys(d.code(t, "grace@example.org"))
	checkPayload(t, p, page.payload(), "grace@example.org")
	focus("status-title")
}

// The demo of "splitpin dev": an app with an origin and a database of its own,
// where one signs in through our top-level page, and out, and is the same user
// the next time.
func TestDemo(t *testing.T) {
	t.Parallel()
	d, b := startDev(t), startBrowser(t)
	page := b.open(t, d.demo)
	signIn := func(address, greeting string) string {
		t.Helper()
		if eval[bool](page, `document.querySelector("#from-table").checkVisibility()`) {
			t.Error("a stranger is told that what they see comes from the table")
		}
		page.click("#sign-in")
		page.await("the sign-in page is there", `location.pathname === "/signin"`)
		page.giveAddress(address)
		page.giveCode(d.code(t, address))
		page.click("#code-submit") // the demo is on this machine: a tap is asked for
		page.awaitText("#contact", address)
		if at := eval[string](page, "location.href"); at != d.demo+"/" {
			t.Errorf("after signing in the address bar holds %s", at)
		}
		if got := page.text("#greeting"); got != greeting {
			t.Errorf("%s is greeted %q, want %q", address, got, greeting)
		}
		id := page.text("#id")
		page.go_(d.demo)
		page.awaitText("#contact", address) // a session, not a moment
		page.click("#sign-out")
		page.await("the way in is offered", `document.querySelector("#sign-in").checkVisibility()`)
		return id
	}
	ada := signIn("ada@example.org", "Welcome")
	grace := signIn("grace@example.org", "Welcome")
	if again := signIn("ada@example.org", "Hello again"); ada == "" || again != ada || grace == ada {
		t.Errorf("rows: ada is %q and then %q, grace %q", ada, again, grace)
	}
}

// The page for mobile and command-line clients: /app ends with a redirect that
// carries code, state and challenge_id, and that code is worth a session once.
func TestAppPage(t *testing.T) {
	t.Parallel()
	d, b := startDev(t), startBrowser(t)
	arrived := make(chan url.Values, 10)
	client := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/callback" {
			arrived <- r.URL.Query()
		}
		fmt.Fprint(w, "<title>done</title>You can close this window.")
	}))
	t.Cleanup(client.Close)
	p := d.createProject(t, "Tool", client.URL)
	verifier, challenge := pkce()
	redirect := client.URL + "/callback?from=splitpin"
	page := b.open(t, p.url+"/app?"+url.Values{
		"api_key": {p.id}, "type": {"EMAIL"}, "code_challenge": {challenge}, "state": {"st&te"}, "redirect_url": {redirect}, "auth_method": {"OTP"},
	}.Encode())
	page.giveAddress("ada@example.org")
	page.giveCode(d.code(t, "ada@example.org"))
	// Any program on this machine may have asked, so the page says where the
	// result goes and waits for a tap (security 5).
	page.awaitText("#code-destination", client.Listener.Addr().String())
	page.click("#code-submit")
	page.await("the client's page is shown", `document.title === "done"`)
	got := <-arrived
	if got.Get("state") != "st&te" || got.Get("from") != "splitpin" || got.Get("challenge_id") == "" || got.Get("error") != "" {
		t.Errorf("the redirect carries %v", got)
	}
	redeem := func() (*http.Response, []byte) {
		var challengeID int
		if _, err := fmt.Sscan(got.Get("challenge_id"), &challengeID); err != nil {
			t.Fatal(err)
		}
		return call(t, "POST", p.cotter()+"/verify/get_identity?oauth_token=true", http.Header{"API_KEY_ID": {p.id}}, map[string]any{
			"code_verifier": verifier, "authorization_code": got.Get("code"), "challenge_id": challengeID, "redirect_url": redirect,
		})
	}
	answer, body := redeem()
	if answer.StatusCode != http.StatusOK {
		t.Fatalf("get_identity: %s %s", answer.Status, body)
	}
	first := object(t, decode[map[string]any](t, body), "user")
	if first["identifier"] != "ada@example.org" {
		t.Errorf("get_identity: got user %v", first)
	}
}

// A destination that is not listed gets an explanation, not a form.
func TestAppPageUnlistedDestination(t *testing.T) {
	t.Parallel()
	d, b := startDev(t), startBrowser(t)
	p := d.createProject(t, "Tool", "https://tool.example")
	_, challenge := pkce()
	page := b.open(t, p.url+"/app?"+url.Values{
		"api_key": {p.id}, "type": {"EMAIL"}, "code_challenge": {challenge}, "state": {"s"}, "redirect_url": {"https://thief.example/"},
	}.Encode())
	page.awaitText("main", "is not in the list of allowed URLs")
	if eval[bool](page, `document.querySelector("form, script[src]") !== null`) {
		t.Error("the explanation comes with a form or a script")
	}
}

// violations asks axe-core about the document.
const violations = `axe.run(document, {resultTypes: ["violations"]}).then(r => r.violations.map(
	v => v.id + ": " + v.help + " in " + v.nodes.map(n => n.html + " (" + n.failureSummary + ")").join(", ")))`

// checkAccessible lets axe-core look at a page or frame, in light and dark
// colours, and looks itself that nothing sticks out at the side.
func checkAccessible(f *tab, state string) {
	t := f.t
	t.Helper()
	axe, err := os.ReadFile(filepath.Join(root, "e2e/node_modules/axe-core/axe.min.js"))
	if err != nil {
		t.Fatal(err)
	}
	for _, scheme := range []string{"light", "dark"} {
		f.scheme(scheme)
		f.page().scheme(scheme)
		if dark := eval[bool](f, `matchMedia("(prefers-color-scheme: dark)").matches`); dark != (scheme == "dark") {
			t.Fatalf("the colours are not %s", scheme)
		}
		if _, err := tryEval[any](f, "window.axe ? 1 : (() => { "+string(axe)+"\n})()"); err != nil {
			t.Fatalf("loading axe-core: %v", err)
		}
		for _, v := range eval[[]string](f, violations) {
			t.Errorf("%s, %s: %s", state, scheme, v)
		}
		if eval[bool](f, "document.documentElement.scrollWidth > document.documentElement.clientWidth") {
			t.Errorf("%s, %s: the page is wider than its window", state, scheme)
		}
	}
	if dir := os.Getenv("E2E_PICTURES"); dir != "" {
		f.page().picture(filepath.Join(dir, strings.NewReplacer(" ", "-", "/", "-").Replace(t.Name()+" "+state)+".png"))
	}
}

// axe-core finds nothing to complain about, in any state of the form, light and
// dark, in a frame of 300 by 300 pixels and on a wide page.
func TestAccessibility(t *testing.T) {
	t.Parallel()
	for name, width := range map[string]int64{"narrow": 300, "wide": 1280} {
		t.Run(name, func(t *testing.T) {
			d, c, b := startDev(t), startCustomer(t), startBrowser(t)
			p := d.createProject(t, "Shop", c.URL)
			size := []string{"100%"}
			if name == "narrow" {
				size = nil // as the customer's page has it
			}
			page := b.open(t, c.page(p, size...))
			page.resize(width+16, 900) // the body's margin

			form := page.signIn(p, `({identifier}) => identifier.startsWith("slow") ? new Promise(go => { window.answer = go }) : null`)
			form.await("the form is there", `document.querySelector("#address").checkVisibility()`)
			checkAccessible(form, "address")
			form.giveAddress("not an address")
			form.awaitText("#address-error", says(t, "address.invalid"))
			checkAccessible(form, "address with an error")

			form.giveAddress("slow@example.org")
			form.awaitText("#address-submit", says(t, "address.asking"))
			checkAccessible(form, "asking the site")
			release := b.hold("POST", "/p/"+p.id+"/v1/attempts")
			defer release()
			page.await("the site was asked", "globalThis.answer")
			eval[any](page, "void answer(null)")
			form.awaitText("#address-submit", says(t, "address.busy"))
			checkAccessible(form, "sending")
			release()
			code := d.code(t, "slow@example.org")
			form.await("the code is asked for", `!document.querySelector("#code-screen").hidden`)
			checkAccessible(form, "code")
			for try := 1; try <= 4; try++ {
				form.giveCode(wrongCode(code, try))
				left := 5 - try
				if left > 1 {
					form.awaitText("#code-error", says(t, "code.wrong.tries.other", "n", strconv.Itoa(left)))
				} else {
					form.awaitText("#code-error", says(t, "code.wrong.tries.one"))
				}
				if try == 1 {
					checkAccessible(form, "wrong code")
				}
			}
			form.giveCode(wrongCode(code, 5))
			form.awaitText("#status-title", says(t, "tries.title"))
			checkAccessible(form, "too many wrong codes")

			form.click("#status-action")
			form.giveAddress("ada@example.org")
			d.code(t, "ada@example.org")
			form.await("the code is asked for", `!document.querySelector("#code-screen").hidden`)
			form.passTime(11 * time.Minute)
			form.awaitText("#status-title", says(t, "expired.title"))
			checkAccessible(form, "expired code")
			form.click("#status-action")
			code = d.code(t, "ada@example.org")
			form.await("the code is asked for", `!document.querySelector("#code-screen").hidden`)
			release = b.hold("POST", "/p/"+p.id+"/api/v0/verify/get_identity")
			defer release()
			form.giveCode(code)
			form.awaitText("#status-title", says(t, "finishing.title"))
			checkAccessible(form, "finishing")
			release()
			form.awaitText("#status-title", says(t, "success.title"))
			checkAccessible(form, "success")

			stranger := startCustomer(t)
			other := b.open(t, stranger.page(p, size...))
			other.resize(width+16, 900)
			refusal := other.signIn(p)
			refusal.awaitText("main", "is not in the list of allowed URLs")
			checkAccessible(refusal, "refused")
			// What looks must be able to see.
			if eval[any](form, `void document.documentElement.removeAttribute("lang")`); len(eval[[]string](form, violations)) == 0 {
				t.Error("axe-core does not notice that the language is gone")
			}
		})
	}
}

// The same for the pages that are no form: sign-in without a frame, the demo,
// the inbox, and what explains.
func TestAccessibilityOfOtherPages(t *testing.T) {
	t.Parallel()
	for name, width := range map[string]int64{"narrow": 320, "wide": 1280} {
		t.Run(name, func(t *testing.T) {
			d, b := startDev(t), startBrowser(t)
			page := b.open(t, d.demo)
			page.resize(width, 900)
			page.await("the way in is offered", `document.querySelector("#sign-in").checkVisibility()`)
			checkAccessible(page, "demo signed out")
			page.click("#sign-in")
			page.await("the sign-in page is there", `location.pathname === "/signin"`)
			checkAccessible(page, "signin address")
			page.giveAddress("ada@example.org")
			page.giveCode(d.code(t, "ada@example.org"))
			checkAccessible(page, "signin code")
			page.click("#code-submit")
			page.awaitText("#contact", "ada@example.org")
			checkAccessible(page, "demo signed in")

			inbox := b.open(t, d.url+"/inbox?token="+d.inboxToken)
			inbox.resize(width, 900)
			inbox.awaitText("main", "ada@example.org")
			checkAccessible(inbox, "inbox")

			locked := b.open(t, d.url+"/inbox")
			locked.resize(width, 900)
			locked.awaitText("#denied", says(t, "inbox.denied.title"))
			if eval[bool](locked, `document.querySelector("#lead").checkVisibility()`) {
				t.Error("the inbox without its token says that messages arrive here")
			}
			checkAccessible(locked, "inbox without its token")

			missing := b.open(t, d.demo+"/nope")
			missing.resize(width, 900)
			missing.awaitText("main", "Back to the shop")
			checkAccessible(missing, "demo not found")

			for state, path := range map[string]string{
				"root": "/", "challenge that is none": "/signin?code_challenge=abc&redirect_url=" + d.demo, "unlisted": "/signin?code_challenge=" + strings.Repeat("A", 43) + "&redirect_url=https://thief.example",
				"not found": "/nowhere", "unknown project": "/app?api_key=" + newUUID(), "form without its frame": "/signup?api_key=" + d.defaultProject(t).id + "&domain=" + d.demo,
			} {
				refusal := b.open(t, d.url+path)
				refusal.resize(width, 900)
				refusal.await("something is explained", `document.querySelector("main h1") !== null`)
				checkAccessible(refusal, state)
			}
		})
	}
}
