package e2e

import (
	"encoding/json"
	"fmt"
	"html/template"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"
)

// The forms of the published web SDK, unmodified, with what a site may ask of them
// (contract 12.2): addresses and phone numbers, codes and links.

var sitePage = template.Must(template.New("").Parse(`<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>Shop</title></head>
<body>
<div id="cotter-form-container" style="width: 340px; height: 560px"></div>
<script src="/cotter.min.js"></script>
<script>
Cotter.CotterEnum.BackendURL = {{.API}};
Cotter.CotterEnum.JSURL = {{.JS}};
Cotter.CotterEnum.AssetURL = {{.JS}};
Cotter.CotterEnum.WorkerURL = {{.JS}};
window.outcome = {state: "pending"};
new Cotter({ApiKeyID: {{.Key}}, ...{{.Config}}}){{.Calls}}.then(
  (payload) => { window.outcome = {state: "resolved", payload}; },
  (error) => { window.outcome = {state: "rejected", error: String(error && error.data ? JSON.stringify(error.data) : error)}; });
</script>
</body></html>`))

// startSite serves a page that shows a form at once: calls are those of the SDK's user
// manual, config is what the site asks of the form. The page's address names the project.
func startSite(t *testing.T, calls string, config map[string]any) *customer {
	t.Helper()
	return startPage(t, sitePage, func(*http.Request) map[string]any {
		return map[string]any{"Config": config, "Calls": template.JS(calls)}
	})
}

// A site asks for more than the address, and dresses the form; what was entered comes
// first in the payload (contract 2.3).
func TestWebSDKAsksForMore(t *testing.T) {
	t.Parallel()
	d, b := startDev(t), startBrowser(t)
	c := startSite(t, ".signInWithOTP().showEmailForm()", map[string]any{
		"AdditionalFields":      []map[string]any{{"label": "Full name", "name": "name", "placeholder": "Ada"}, {"label": "Seats", "name": "seats", "type": "number", "initial_value": 2}},
		"ButtonText":            "Let me in",
		"ButtonBackgroundColor": "#ffd400",
		"Styles":                map[string]any{"input_label": map[string]any{"color": "rgb(120, 10, 10)", "position": "fixed"}},
		"TermsOfServiceLink":    "https://shop.example/terms",
	})
	p := d.createProject(t, "Shop", c.URL)
	page := b.open(t, c.page(p))
	form := page.frame(p.url + "/signup?")
	form.awaitText("#address-submit", "Let me in")
	if got := eval[[]string](form, `(s => [s.color, s.position, getComputedStyle(document.getElementById("address-submit")).backgroundColor])(getComputedStyle(document.querySelector(".input_label")))`); !slices.Equal(got, []string{"rgb(120, 10, 10)", "static", "rgb(255, 212, 0)"}) {
		t.Errorf("the form is dressed in %v", got)
	}
	checkAccessible(form, "fields of the site")
	form.fill("#field-0", "Ada Lovelace")
	form.giveAddress("ada@example.org")
	form.giveCode(d.code(t, "ada@example.org"))
	payload := page.payload()
	top := decode[map[string]any](t, payload)
	if top["name"] != "Ada Lovelace" || top["seats"] != "2" || top["email"] != "ada@example.org" {
		t.Errorf("the payload is %s", payload)
	}
	if first := strings.Index(string(payload), `"name"`); first < 0 || first > strings.Index(string(payload), `"token"`) {
		t.Errorf("what was entered does not come first: %.100s", payload)
	}
}

// allowPhones lets a project send codes to the phones of countries, over both channels, and
// waits until the server knows.
func (p *project) allowPhones(t *testing.T, countries ...string) {
	t.Helper()
	args := []string{"project", "set", p.id, "--phone-channel", "sms", "--phone-channel", "whatsapp"}
	for _, c := range countries {
		args = append(args, "--add-phone-country", c)
	}
	p.dev.command(t, args...)
	until(t, deadlines.start, "the server knows of the phones of "+p.id, func() bool {
		_, body := call(t, "GET", p.v1()+"/project", nil, nil)
		return slices.Contains(decode[struct{ Methods []string }](t, body).Methods, "sms_code")
	})
}

// A phone number, as people write it, by WhatsApp and once more as a text message.
func TestWebSDKPhone(t *testing.T) {
	t.Parallel()
	d, b := startDev(t), startBrowser(t)
	c := startSite(t, ".signInWithOTP().showPhoneForm()", map[string]any{"PhoneChannels": []string{"SMS", "WHATSAPP"}, "CountryCode": []string{"+49", "+44"}})
	p := d.createProject(t, "Shop", c.URL)
	p.allowPhones(t, "DE", "GB")
	page := b.open(t, c.page(p))
	form := page.frame(p.url + "/signup?")
	form.awaitText("#whatsapp-note", says(t, "phone.whatsapp.note"))
	checkAccessible(form, "phone")
	form.fill("#address", "07400 123456")
	eval[any](form, `void (c => { c.value = "GB"; c.dispatchEvent(new Event("change")) })(document.getElementById("country"))`)
	form.click("#whatsapp-submit")
	form.awaitText("#code-title", "WhatsApp")
	checkAccessible(form, "code by WhatsApp")
	const number = "+447400123456"
	first := d.message(t, number)
	if first.Channel != "whatsapp" || first.Code == "" {
		t.Errorf("the message is %+v", first)
	}
	form.await("another may be asked for", `document.getElementById("code-other").getAttribute("aria-disabled") === "true"`)
	form.giveCode(first.Code)
	payload := page.payload()
	top := decode[map[string]any](t, payload)
	user, identity := object(t, top, "user"), object(t, top, "token")
	if top["phone"] != number || user["identifier"] != number || identity["identifier_type"] != "PHONE" {
		t.Errorf("the payload is %s", payload)
	}

	// A country that the project does not allow is refused beside the number.
	page.go_(c.page(p))
	form = page.frame(p.url + "/signup?")
	form.await("the form is there", `document.querySelector("#address").checkVisibility()`)
	form.fill("#address", "+1 202-555-0123")
	form.click("#address-submit")
	form.awaitText("#address-error", says(t, "phone.country.off"))
}

// A form that is named: the list that goes with it is asked first, then the site's own
// OnBegin, which may take its time. What both admit gets a code (contract 12.2 and 17.1).
func TestWebSDKScreenedPhoneForm(t *testing.T) {
	t.Parallel()
	d, b := startDev(t), startBrowser(t)
	c := startSite(t, `.withFormID("members").signInWithOTP(({identifier}) =>
		new Promise(done => setTimeout(done, 0, identifier.startsWith("+44") ? "No numbers from Britain, sorry." : null))).showPhoneForm()`, nil)
	p := d.createProject(t, "Shop", c.URL)
	d.command(t, "project", "set", p.id, "--form", "members", "--admit", "+447400123456", "--admit", "+4915112345678")
	p.allowPhones(t, "DE", "GB")
	page := b.open(t, c.page(p))
	form := page.frame(p.url + "/signup?")
	for _, refused := range []struct{ number, says string }{
		{"+49 1511 2345679", "not on the list of people who may sign in here"},
		{"+44 7400 123456", "No numbers from Britain, sorry."},
	} {
		form.await("the form is there", `document.querySelector("#address").checkVisibility()`)
		form.giveAddress(refused.number)
		form.awaitText("#address-error", refused.says)
		if o := page.outcome(); o.State != "pending" {
			t.Errorf("%s: the promise is %s, want pending", refused.number, o.State)
		}
	}
	form.giveAddress("+49 1511 2345678")
	form.giveCode(d.code(t, "+4915112345678"))
	if top := decode[map[string]any](t, page.payload()); top["phone"] != "+4915112345678" {
		t.Errorf("the payload is %v", top)
	}
	for _, line := range b.requests(p.url) {
		if line == "GET /screening/form" {
			return
		}
	}
	t.Error("the list was never asked")
}

// The form for links: the two digits, and the code that the same message holds.
func TestWebSDKLinkForm(t *testing.T) {
	t.Parallel()
	d, b := startDev(t), startBrowser(t)
	c := startSite(t, ".signInWithLink().showEmailForm()", map[string]any{"AdditionalFields": []map[string]any{{"name": "name", "initial_value": "Ada"}}})
	p := d.createProject(t, "Shop", c.URL)
	page := b.open(t, c.page(p))
	form := page.frame(p.url + "/login?")
	form.await("the form is there", `document.querySelector("#address").checkVisibility()`)
	form.giveAddress("ada@example.org")
	m := d.message(t, "ada@example.org")
	if m.Code == "" {
		t.Fatalf("the message holds no code: %+v", m)
	}
	form.await("the digits are shown", `/^\d\d$/.test(document.querySelector("#link-digits").textContent) && document.querySelector("#link-digits").checkVisibility()`)
	checkAccessible(form, "link")
	form.click("#link-switch")
	checkAccessible(form, "code of a link")
	form.giveCode(m.Code)
	top := decode[map[string]any](t, page.payload())
	if top["email"] != "ada@example.org" || top["name"] != "Ada" {
		t.Errorf("the payload is %v", top)
	}
	// get_identity took the page's origin, although the form was opened with its whole
	// address (contract 6.1), and the token tells how it was proved.
	if got := object(t, top, "oauth_token")["auth_method"]; got != "MAGIC_LINK" {
		t.Errorf("auth_method is %v", got)
	}
}

// A mobile app opens /app for a phone: at once, over the channel it names (contract 12.6).
func TestAppPagePhone(t *testing.T) {
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
	p.allowPhones(t, "DE")
	verifier, challenge := pkce()
	redirect := client.URL + "/callback"
	page := b.open(t, p.url+"/app?"+url.Values{
		"api_key": {p.id}, "type": {"PHONE"}, "code_challenge": {challenge}, "state": {"s"}, "redirect_url": {redirect},
		"direct_login": {"true"}, "input": {"+4915112345678"}, "use_channel": {"WHATSAPP"}, "phone_channels[]": {"SMS", "WHATSAPP"},
	}.Encode())
	m := d.message(t, "+4915112345678")
	if m.Channel != "whatsapp" {
		t.Errorf("the message went by %s", m.Channel)
	}
	page.giveCode(m.Code)
	page.click("#code-submit")
	page.await("the client's page is shown", `document.title === "done"`)
	got := <-arrived
	var challengeID int
	if _, err := fmt.Sscan(got.Get("challenge_id"), &challengeID); err != nil {
		t.Fatalf("the redirect carries %v", got)
	}
	answer, body := call(t, "POST", p.cotter()+"/verify/get_identity?oauth_token=true", http.Header{"API_KEY_ID": {p.id}}, map[string]any{
		"code_verifier": verifier, "authorization_code": got.Get("code"), "challenge_id": challengeID, "redirect_url": redirect,
	})
	if answer.StatusCode != http.StatusOK {
		t.Fatalf("get_identity: %s %s", answer.Status, body)
	}
	if first := object(t, decode[map[string]any](t, json.RawMessage(body)), "identifier"); first["identifier"] != "+4915112345678" || first["identifier_type"] != "PHONE" {
		t.Errorf("get_identity: got %v", first)
	}
}
