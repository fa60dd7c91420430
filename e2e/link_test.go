package e2e

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"html/template"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/chromedp/cdproto/cdp"
	browserpage "github.com/chromedp/cdproto/page"
	"github.com/chromedp/chromedp"
)

// Links, with the published web SDK unmodified and on our own pages; and the bench: who
// gets in by a link that should not, and who should and does not.

// linkPage is a customer's page as the SDK's manual has it. A page at which a link was
// opened shows its form by itself, as such pages do.
var linkPage = template.Must(template.New("").Parse(`<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>Shop</title></head>
<body>
<h1>Shop</h1>
<div id="cotter-form-container" style="width: 300px; height: 420px"></div>
<script src="/cotter.min.js"></script>
<script>
Cotter.CotterEnum.BackendURL = {{.API}};
Cotter.CotterEnum.JSURL = {{.JS}};
Cotter.CotterEnum.AssetURL = {{.JS}};
Cotter.CotterEnum.WorkerURL = {{.JS}};
window.outcome = {state: "none"};
window.signIn = () => {
  window.cotter = new Cotter({ApiKeyID: {{.Key}}, RedirectMagicLink: {{.Returns}},
    AdditionalFields: [{label: "Plan", name: "plan", initial_value: "gold"}]});
  window.outcome = {state: "pending"};
  cotter.signInWithLink()[{{.Show}}]().then(
    (payload) => { window.outcome = {state: "resolved", payload}; },
    (error) => { window.outcome = {state: "rejected", error: String(error && error.data ? JSON.stringify(error.data) : error)}; });
};
if (location.search.includes("auth_method=MAGIC_LINK")) signIn();
</script>
</body></html>`))

type linkCustomer struct{ *customer }

func startLinkCustomer(t *testing.T) *linkCustomer {
	t.Helper()
	return &linkCustomer{startPage(t, linkPage, func(r *http.Request) map[string]any {
		return map[string]any{"Returns": r.FormValue("returns") == "true", "Show": cmp.Or(r.FormValue("show"), "showEmailForm")}
	})}
}

func (c *linkCustomer) page(p *project, returns bool) string {
	return c.URL + "/?" + url.Values{"api": {p.cotter()}, "js": {p.url}, "key": {p.id}, "returns": {fmt.Sprint(returns)}}.Encode()
}

// An asking screen: the page, the form in it, and its two digits.
type asking struct {
	page, form *tab
	digits     string
}

// askForLink asks for a link on the customer's page.
func (b *browser) askForLink(t *testing.T, address string, c *linkCustomer, p *project, returns bool) *asking {
	t.Helper()
	at := c.page(p, returns)
	if strings.HasPrefix(address, "+") {
		at += "&show=showPhoneForm"
	}
	page := b.open(t, at)
	eval[any](page, "signIn()")
	form := page.frame(p.url + "/login?")
	form.giveAddress(address)
	form.await("the digits are shown", `/^\d\d$/.test(document.getElementById("link-digits").textContent)`)
	return &asking{page, form, form.text("#link-digits")}
}

func challengeOf(verifier string) string {
	sum := sha256.Sum256([]byte(verifier))
	return base64.RawURLEncoding.EncodeToString(sum[:])
}

// toFront shows a tab.
func (p *tab) toFront() {
	p.t.Helper()
	p.do("coming back", chromedp.Func(func(ctx context.Context, t *chromedp.Target) error {
		_, err := cdp.Call(ctx, t, browserpage.BringToFront, cdp.Empty{})
		return err
	}))
}

func wrongPair(digits string) string {
	if digits == "42" {
		return "43"
	}
	return "42"
}

// checkLinkPayload is what the site's promise resolves with.
func checkLinkPayload(t *testing.T, page *tab, address string) {
	t.Helper()
	payload := decode[map[string]any](t, page.payload())
	user, tokens := object(t, payload, "user"), object(t, payload, "oauth_token")
	if user["identifier"] != address || cmp.Or(payload["email"], payload["phone"]) != address {
		t.Errorf("signed in as %v, with %v and %v", user["identifier"], payload["email"], payload["phone"])
	}
	access := claims(t, tokens["access_token"].(string))
	if access["authentication_method"] != "MAGIC_LINK" || access["identifier"] != address {
		t.Errorf("the access token says %v by %v", access["identifier"], access["authentication_method"])
	}
	if payload["plan"] != "gold" {
		t.Errorf("the site's own field came back as %v", payload["plan"])
	}
}

// redirect_link=true, and the link is opened in the browser that asked: one tap, no
// digits. The tab that asked is told.
func TestLinkReturnsToTheSameBrowser(t *testing.T) {
	t.Parallel()
	d, c, b := startDev(t), startLinkCustomer(t), startBrowser(t)
	p := d.createProject(t, "Shop", c.URL)
	p.allowPhones(t, "DE")
	for name, person := range map[string]struct{ address, within, masked string }{
		"by mail":         {"ada@example.org", "ada%40", "a…@example.org"},
		"by text message": {"+4915112345678", "15112345678", "…78"},
	} {
		t.Run(name, func(t *testing.T) { linkReturns(t, d, c, b, p, person.address, person.within, person.masked) })
	}
}

func linkReturns(t *testing.T, d *dev, c *linkCustomer, b *browser, p *project, address, within, masked string) {
	asked := b.askForLink(t, address, c, p, true)
	link := d.message(t, address).Link
	if !strings.HasPrefix(link, c.URL+"/?") || strings.Contains(link, within) || strings.Contains(link, "client_json") {
		t.Errorf("the link is %s", link)
	}
	second := b.open(t, link)
	form := second.frame(p.url + "/login?")
	form.await("the form knows its browser", `document.getElementById("bearer-screen").checkVisibility()`)
	if got := form.text("#bearer-lead"); got != says(t, "bearer.lead.same") {
		t.Errorf("it says %q", got)
	}
	if form.text("#bearer-digits") != "" {
		t.Error("it asks for digits in the browser that asked")
	}
	if got := form.text("#bearer-account"); !strings.HasSuffix(got, masked) {
		t.Errorf("it is for %q", got)
	}
	form.click("#bearer-submit")
	checkLinkPayload(t, second, address)
	asked.form.awaitText("#status-title", says(t, "elsewhere.title"))
	if o := asked.page.outcome(); o.State != "pending" {
		t.Errorf("the tab that asked is %s: %s", o.State, o.Error)
	}
}

// The same elsewhere: the two digits of the asking screen. A wrong pair costs one try of
// the link, and nothing else.
func TestLinkReturnsToAnotherBrowser(t *testing.T) {
	t.Parallel()
	d, c := startDev(t), startLinkCustomer(t)
	p := d.createProject(t, "Shop", c.URL)
	asked := startBrowser(t).askForLink(t, "ada@example.org", c, p, true)
	second := startBrowser(t).open(t, d.message(t, "ada@example.org").Link)
	form := second.frame(p.url + "/login?")
	form.click("#bearer-submit")
	form.awaitText("#digits-error", says(t, "bearer.digits.empty"))
	form.fill("#digits", wrongPair(asked.digits))
	form.click("#bearer-submit")
	form.awaitText("#digits-error", says(t, "bearer.digits.wrong.other")+" 2 more")
	form.fill("#digits", asked.digits)
	form.click("#bearer-submit")
	checkLinkPayload(t, second, "ada@example.org")
	asked.form.awaitText("#status-title", says(t, "elsewhere.title"))
}

// redirect_link=false: our own page, and from there to the customer's, where the SDK
// finishes by what our page handed over.
func TestLinkToOurPage(t *testing.T) {
	t.Parallel()
	d, c := startDev(t), startLinkCustomer(t)
	p := d.createProject(t, "Shop", c.URL)
	asked := startBrowser(t).askForLink(t, "ada@example.org", c, p, false)
	link := d.message(t, "ada@example.org").Link
	if !strings.HasPrefix(link, d.url+"/link/") {
		t.Fatalf("the link is %s", link)
	}
	second := startBrowser(t).open(t, link)
	second.fill("#digits", asked.digits)
	second.click("#bearer-submit")
	second.await("the customer's page", fmt.Sprintf("location.origin === %q", c.URL))
	if u := eval[string](second, "location.href"); strings.Contains(u, link[strings.LastIndex(link, "."):]) {
		t.Errorf("the link of the message went along to %s", u)
	}
	form := second.frame(p.url + "/login?")
	form.awaitText("#bearer-lead", says(t, "bearer.lead.handed"))
	form.click("#bearer-submit")
	checkLinkPayload(t, second, "ada@example.org")
	asked.form.awaitText("#status-title", says(t, "elsewhere.title"))
}

// The code of the same message, on the screen that asked.
func TestLinkCode(t *testing.T) {
	t.Parallel()
	d, c := startDev(t), startLinkCustomer(t)
	p := d.createProject(t, "Shop", c.URL)
	asked := startBrowser(t).askForLink(t, "ada@example.org", c, p, false)
	asked.form.click("#link-switch")
	asked.form.giveCode(d.code(t, "ada@example.org"))
	checkLinkPayload(t, asked.page, "ada@example.org")
}

// On our own page the first tab goes on: it has what the app needs.
func TestLinkOnOurSignInPage(t *testing.T) {
	t.Parallel()
	d, c, b := startDev(t), startLinkCustomer(t), startBrowser(t)
	p := d.createProject(t, "Shop", c.URL)
	first := b.open(t, p.url+"/signin?"+url.Values{"project": {p.id}, "redirect_url": {c.URL + "/done"}, "state": {"s1"},
		"code_challenge": {challengeOf("0123456789abcdef0123456789abcdef0123456789abcdef")}, "auth_method": {"MAGIC_LINK"}}.Encode())
	first.giveAddress("ada@example.org")
	second := b.open(t, d.message(t, "ada@example.org").Link)
	second.awaitText("#bearer-lead", says(t, "bearer.lead.same"))
	if got := second.text("#bearer-goes"); got != strings.TrimPrefix(c.URL, "http://") {
		t.Errorf("it goes on at %q", got)
	}
	second.click("#bearer-submit")
	second.awaitText("#status-title", says(t, "bearer.done.title"))
	first.toFront() // a page that nobody sees asks nothing
	first.await("the app", fmt.Sprintf(`location.href.startsWith(%q)`, c.URL+"/done?"))
	q, err := url.ParseQuery(eval[string](first, "location.search.slice(1)"))
	if err != nil || q.Get("state") != "s1" || q.Get("code") == "" {
		t.Errorf("the app got %v", q)
	}
}

// "Not me" from whoever reads the message; the code makes it good.
func TestLinkRefused(t *testing.T) {
	t.Parallel()
	d, c := startDev(t), startLinkCustomer(t)
	p := d.createProject(t, "Shop", c.URL)
	asked := startBrowser(t).askForLink(t, "ada@example.org", c, p, false)
	m := d.message(t, "ada@example.org")
	reader := startBrowser(t).open(t, m.Link)
	reader.click("#bearer-refuse")
	reader.click("#refuse-yes")
	reader.awaitText("#status-title", says(t, "bearer.refused.title"))
	reader.go_(m.Link)
	reader.awaitText("#status-title", says(t, "bearer.off.title"))
	asked.form.awaitText("#code-error", says(t, "link.refused")) // it is told, and shows the field
	asked.form.giveCode(m.Code)
	checkLinkPayload(t, asked.page, "ada@example.org")
}

// axe-core finds nothing to complain about on the landing page, and in the form that a
// link returns to, wide and narrow; and the page works by keyboard alone.
func TestLinkAccessibility(t *testing.T) {
	t.Parallel()
	d, c := startDev(t), startLinkCustomer(t)
	p := d.createProject(t, "Corner Shop", c.URL)
	asked := startBrowser(t).askForLink(t, "ada@example.org", c, p, false)
	m := d.message(t, "ada@example.org")
	page := startBrowser(t).open(t, m.Link)
	page.await("it asks for digits, with the focus there", `document.activeElement === document.getElementById("digits")`)
	checkAccessible(page, "landing")
	page.resize(300, 640)
	page.keys(wrongPair(asked.digits))
	page.key("Enter", 13)
	page.awaitText("#digits-error", says(t, "bearer.digits.wrong.other")+" 2 more")
	checkAccessible(page, "landing, wrong digits, narrow")
	page.click("#bearer-refuse")
	checkAccessible(page, "landing, refusing, narrow")
	page.key("Tab", 9)
	page.key("Enter", 13) // the heading had the focus, so this is the first button
	page.awaitText("#status-title", says(t, "bearer.refused.title"))
	page.resize(1280, 900)
	checkAccessible(page, "landing, refused")
	asked.form.giveCode(m.Code) // which makes it good
	checkLinkPayload(t, asked.page, "ada@example.org")
	page.go_(m.Link)
	page.await("it asks who that was", `document.activeElement === document.getElementById("disown-title")`)
	checkAccessible(page, "landing, signed in")
	page.resize(300, 640)
	page.key("Tab", 9)
	page.key("Tab", 9)
	page.key("Enter", 13) // neither is chosen
	page.awaitText("#disown-error", says(t, "bearer.disown.choose"))
	checkAccessible(page, "landing, nothing chosen, narrow")
	page.keys(" ") // the first, which has the focus
	page.key("Enter", 13)
	page.awaitText("#status-title", says(t, "bearer.disowned.title"))
	checkAccessible(page, "landing, disowned, narrow")
	// What was added meanwhile is for the person to look for.
	if leads := eval[string](page, `document.querySelector("#status-link:not([hidden])")?.href ?? ""`); leads != d.url+"/account?project="+p.id {
		t.Errorf("the page leads to %q", leads)
	}
	page.resize(1280, 900)

	other := startBrowser(t).askForLink(t, "grace@example.org", c, p, true)
	m = d.message(t, "grace@example.org")
	framing := startBrowser(t).open(t, m.Link)
	framed := framing.frame(p.url + "/login?")
	framed.fill("#digits", wrongPair(other.digits))
	framed.click("#bearer-submit")
	framed.awaitText("#digits-error", says(t, "bearer.digits.wrong.other")+" 2 more")
	checkAccessible(framed, "in a frame")
	other.form.click("#link-switch")
	other.form.giveCode(m.Code)
	checkLinkPayload(t, other.page, "grace@example.org")
	framing.go_(m.Link)
	framed = framing.frame(p.url + "/login?")
	framed.await("it asks who that was", `document.getElementById("disown-screen").checkVisibility()`)
	checkAccessible(framed, "in a frame, signed in")
}

// ------------------------------------------------------------------- the bench

// A scanner is a program that checks the links of messages with a whole browser, of a
// profile that nobody asked anything with: it waits for the page's script, fills every
// field, and presses all there is to press, frames and the pages it is led to included.
// It knows a few numbers to try and no more.
func scan(t *testing.T, b *browser, link string) {
	t.Helper()
	page := b.open(t, link)
	for _, typed := range []string{"", "test@example.com", "12", "1234", "00", "99"} {
		for range 3 {
			places := []*tab{page}
			if eval[bool](page, `!!document.querySelector("iframe")`) {
				places = append(places, page.frame(eval[string](page, `new URL(document.querySelector("iframe").src).origin`)))
			}
			for _, place := range places {
				place.await("the scanner has a page to look at", `document.readyState === "complete" && [...document.querySelectorAll("h1")].some(e => e.checkVisibility())`)
				// What the page does with each press is given its time: until its requests are over.
				tryEval[bool](place, fmt.Sprintf(`(async () => {
					const quiet = () => new Promise(done => { let n = -1; (function look() {
						const now = performance.getEntriesByType("resource").length;
						if (now === n && !document.querySelector(".busy")) return done();
						n = now; setTimeout(look, 60);
					})(); });
					const seen = (e) => e.checkVisibility();
					for (const e of document.querySelectorAll("input")) if (seen(e)) { e.value = %q; e.dispatchEvent(new Event("input", {bubbles: true})); }
					for (const e of [...document.querySelectorAll("button, a, [role=button], label, input[type=radio], input[type=checkbox], input[type=submit]")]) {
						if (!seen(e)) continue;
						e.click();
						await quiet();
					}
					for (const f of document.forms) if (seen(f)) { f.requestSubmit(); await quiet(); }
					return true;
				})()`, typed))
			}
		}
		page.go_(link)
	}
}

// askUnguessed asks until the digits are none that the scanner tries: it has three of a
// hundred, which is what two digits promise.
func (b *browser) askUnguessed(t *testing.T, name string, c *linkCustomer, p *project, returns bool) (*asking, string) {
	t.Helper()
	for i := range 20 {
		address := fmt.Sprintf("%s%d@example.org", name, i)
		if a := b.askForLink(t, address, c, p, returns); a.digits != "12" && a.digits != "00" && a.digits != "99" {
			return a, address
		}
	}
	t.Fatal("the same digits twenty times")
	return nil, ""
}

// fetchAll asks for a link as programs do without a browser.
func fetchAll(t *testing.T, link string) {
	t.Helper()
	for _, who := range []struct{ method, agent string }{
		{"HEAD", "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 Chrome/120 Safari/537.36"},
		{"GET", "Slackbot-LinkExpanding 1.0 (+https://api.slack.com/robots)"},
		{"GET", "Mozilla/5.0 (compatible; SkypeUriPreview Preview/0.5)"},
		{"GET", "curl/8.0"},
		{"GET", "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 Chrome/120 Safari/537.36"},
	} {
		for range 3 {
			answer, body := call(t, who.method, link, http.Header{"User-Agent": {who.agent}, "Accept": {"text/html,*/*"}}, nil)
			if answer.StatusCode != http.StatusOK {
				t.Errorf("%s by %s: %s %s", who.method, who.agent, answer.Status, body)
			}
			if len(answer.Cookies()) != 0 {
				t.Errorf("%s by %s got cookies", who.method, who.agent)
			}
		}
	}
}

// events counts what the audit log has of a kind.
func (d *dev) events(t *testing.T, kind string) int {
	t.Helper()
	out := d.command(t, "audit", "list", "--kind", kind, "--limit", "1000")
	if strings.Contains(out, "No such event") {
		return 0
	}
	return strings.Count(out, " "+kind+" ")
}

// Everybody who may come upon a link, and is not the person who asked: nobody gets in by
// our landing page. Then the person does, or is told how.
func TestLinkBench(t *testing.T) {
	t.Parallel()
	d, c := startDev(t), startLinkCustomer(t)
	p := d.createProject(t, "Shop", c.URL)
	honest := startBrowser(t)

	t.Run("fetchers and a neighbour", func(t *testing.T) {
		asked := honest.askForLink(t, "fetched@example.org", c, p, false)
		m := d.message(t, "fetched@example.org")
		fetchAll(t, m.Link)
		// A neighbour shares the network and nothing else: guesses of links and ids.
		token := m.Link[strings.LastIndex(m.Link, "/")+1:]
		id, _, _ := strings.Cut(token, ".")
		for _, guess := range []string{id, id + ".AAAAAAAAAAAAAAAAAAAAAA", "AAAAAAAAAAAAAAAAAAAAAA." + token} {
			answer, _ := call(t, "POST", p.v1()+"/link/admit", nil, map[string]string{"link": guess, "way": "hand_over", "digits": asked.digits})
			if answer.StatusCode != http.StatusNotFound {
				t.Errorf("the neighbour's %s was answered %s", guess, answer.Status)
			}
		}
		if n := d.events(t, "attempt_proved"); n != 0 {
			t.Errorf("%d sign-ins by programs and neighbours", n)
		}
		// The honest person, in another browser: it works as if nothing had happened.
		other := startBrowser(t).open(t, m.Link)
		other.fill("#digits", asked.digits)
		other.click("#bearer-submit")
		other.await("the customer's page", fmt.Sprintf("location.origin === %q", c.URL))
		form := other.frame(p.url + "/login?")
		form.click("#bearer-submit")
		checkLinkPayload(t, other, "fetched@example.org")
	})

	t.Run("a scanner with a whole browser", func(t *testing.T) {
		before := d.events(t, "attempt_proved")
		asked, address := honest.askUnguessed(t, "scanned", c, p, false)
		m := d.message(t, address)
		scan(t, startBrowser(t), m.Link)
		if n := d.events(t, "attempt_proved") - before; n != 0 {
			t.Fatalf("the scanner signed in %d times", n)
		}
		// The honest person, in another browser, is told what still works, and it does.
		other := startBrowser(t).open(t, m.Link)
		other.awaitText("#status-title", says(t, "bearer.off.title"))
		asked.form.await("the field of the code is shown", `document.getElementById("code").checkVisibility()`)
		asked.form.giveCode(m.Code)
		checkLinkPayload(t, asked.page, address)
	})

	t.Run("a scanner, and then the browser that asked", func(t *testing.T) {
		before := d.events(t, "attempt_proved")
		first := honest.open(t, p.url+"/signin?"+url.Values{"project": {p.id}, "redirect_url": {c.URL + "/done"}, "state": {"s1"},
			"code_challenge": {challengeOf("0123456789abcdef0123456789abcdef0123456789abcdef")}, "auth_method": {"MAGIC_LINK"}}.Encode())
		first.giveAddress("both@example.org")
		m := d.message(t, "both@example.org")
		scan(t, startBrowser(t), m.Link)
		if n := d.events(t, "attempt_proved") - before; n != 0 {
			t.Fatalf("the scanner signed in %d times", n)
		}
		second := honest.open(t, m.Link)
		second.awaitText("#bearer-lead", says(t, "bearer.lead.same"))
		second.click("#bearer-submit")
		second.awaitText("#status-title", says(t, "bearer.done.title"))
		first.toFront()
		first.await("the app", fmt.Sprintf(`location.href.startsWith(%q)`, c.URL+"/done?"))
	})

	// The question that a link asks once somebody signed in: such a program ends on the answer
	// that does nothing. The person chooses, and it ends that session and no other.
	t.Run("a scanner, after the person signed in", func(t *testing.T) {
		signIn := func(address string, returns bool) (link string, lives func() bool) {
			asked := honest.askForLink(t, address, c, p, returns)
			m := d.message(t, address)
			asked.form.click("#link-switch")
			asked.form.giveCode(m.Code)
			checkLinkPayload(t, asked.page, address)
			access := object(t, decode[map[string]any](t, asked.page.payload()), "oauth_token")["access_token"].(string)
			return m.Link, func() bool {
				answer, _ := call(t, "GET", p.v1()+"/user", http.Header{"Authorization": {"Bearer " + access}}, nil)
				return answer.StatusCode == http.StatusOK
			}
		}
		for _, name := range []string{"redirect mode", "landing page"} {
			address, returns := strings.ReplaceAll(name, " ", "")+"@example.org", name == "redirect mode"
			link, first := signIn(address, returns)
			other := startBrowser(t)
			scan(t, other, link)
			if n := d.events(t, "link_disowned"); n != 0 || !first() {
				t.Fatalf("%s: the scanner signed the person out", name)
			}
			place := other.open(t, link)
			if returns {
				place = place.frame(p.url + "/login?")
			}
			place.await("it asks", `document.activeElement === document.getElementById("disown-title")`)
			if eval[bool](place, `[...document.querySelectorAll("#disown-form input")].some(e => e.checked)`) {
				t.Errorf("%s: an answer is chosen already", name)
			}
			place.click("#disown-submit")
			place.awaitText("#disown-error", says(t, "bearer.disown.choose"))
			if returns {
				place.click("#disown-yes")
				place.click("#disown-submit")
				place.awaitText("#status-title", says(t, "bearer.disown.kept.title"))
				if !first() {
					t.Errorf("%s: yes ended the session", name)
				}
				continue
			}
			_, second := signIn(address, returns)
			place.click("#disown-no")
			place.click("#disown-submit")
			place.awaitText("#status-title", says(t, "bearer.disowned.title"))
			if first() || !second() {
				t.Errorf("%s: the session lives: %v; the other, by which the person made it good: %v", name, first(), second())
			}
			place.go_(link)
			place.awaitText("#status-title", says(t, "bearer.over.title"))
		}
		if n := d.events(t, "link_disowned"); n != 1 {
			t.Errorf("%d sign-ins were disowned, want 1", n)
		}
	})

	t.Run("redirect mode", func(t *testing.T) {
		before := d.events(t, "attempt_proved")
		_, address := honest.askUnguessed(t, "redirected", c, p, true)
		m := d.message(t, address)
		scan(t, startBrowser(t), m.Link)
		if n := d.events(t, "attempt_proved") - before; n != 0 {
			t.Fatalf("the scanner signed in %d times", n)
		}
		second := honest.open(t, m.Link) // the browser that asked: one tap
		form := second.frame(p.url + "/login?")
		form.click("#bearer-submit")
		checkLinkPayload(t, second, address)
	})

	// Not a protection, but what is not protected, as docs/links.md has it: the phisher whose
	// screen asked shows its victim the digits. Without the project's option that gives the
	// phisher nothing: the victim signs in, in the victim's own browser.
	t.Run("a phisher who shows the digits", func(t *testing.T) {
		phisher := startBrowser(t).askForLink(t, "victim@example.org", c, p, false)
		m := d.message(t, "victim@example.org")
		victim := startBrowser(t).open(t, m.Link)
		if victim.text("#bearer-other") != "" {
			t.Error("the page offers to let the other screen in, which the project has not switched on")
		}
		victim.fill("#digits", phisher.digits)
		victim.click("#bearer-submit")
		victim.await("the customer's page", fmt.Sprintf("location.origin === %q", c.URL))
		form := victim.frame(p.url + "/login?")
		form.click("#bearer-submit")
		checkLinkPayload(t, victim, "victim@example.org")
		phisher.form.awaitText("#status-title", says(t, "elsewhere.title"))
		if o := phisher.page.outcome(); o.State != "pending" {
			t.Errorf("the phisher's page is %s", o.State)
		}

		d.command(t, "project", "set", p.id, "--link-approval", "on", "--name", "Shop with approval")
		until(t, deadlines.step, "the server knows the setting", func() bool {
			_, body := call(t, "GET", p.v1()+"/project", nil, nil)
			return strings.Contains(string(body), "with approval")
		})
		phisher = startBrowser(t).askForLink(t, "victim2@example.org", c, p, false)
		victim = startBrowser(t).open(t, d.message(t, "victim2@example.org").Link)
		victim.fill("#digits", phisher.digits)
		victim.click("#bearer-other")
		victim.awaitText("#status-text", says(t, "bearer.done.other"))
		phisher.page.toFront()
		checkLinkPayload(t, phisher.page, "victim2@example.org") // the phisher is in: as with a code
	})
}
