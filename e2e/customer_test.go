package e2e

import (
	"encoding/json"
	"fmt"
	"html/template"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// A customer is somebody's web site: one page with the published web SDK, as
// the package's user manual shows it. Its origin is http://127.0.0.1:PORT and
// Splitpin's is http://localhost:PORT, so the browser treats them as two sites.
type customer struct {
	*httptest.Server
	URL string // its origin
}

var customerPage = template.Must(template.New("").Parse(`<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>Shop</title></head>
<body>
<h1>Shop</h1>
<div id="cotter-form-container" style="width: {{.Width}}; height: {{.Height}}"></div>
<script src="/cotter.min.js"></script>
<script>
Cotter.CotterEnum.BackendURL = {{.API}};
Cotter.CotterEnum.JSURL = {{.JS}};
Cotter.CotterEnum.AssetURL = {{.JS}};
Cotter.CotterEnum.WorkerURL = {{.JS}};
window.cotter = new Cotter({ApiKeyID: {{.Key}}, Type: "", SocialLoginProviders: {{.Providers}}});
window.outcome = {state: "none"};
window.signIn = (onBegin) => {
  window.outcome = {state: "pending"};
  cotter.signInWithOTP(onBegin).showEmailForm().then(
    (payload) => { window.outcome = {state: "resolved", payload}; },
    (error) => { window.outcome = {state: "rejected", error: String(error && error.data ? JSON.stringify(error.data) : error)}; });
};
window.signInWithPasskey = () => settle(cotter.signInWithWebAuthnOrOTP().showEmailForm());
window.register = (address) => settle(cotter.registerWebAuthn(address));
function settle(promise) {
  window.outcome = {state: "pending"};
  promise.then(
    (payload) => { window.outcome = {state: "resolved", payload}; },
    (error) => { window.outcome = {state: "rejected", error: String(error && error.data ? JSON.stringify(error.data) : error)}; });
}
window.token = async () => { const t = await cotter.tokenHandler.getAccessToken(); return t && t.token; };
if ({{.Providers}}.length) signIn(); // as a page does to which people come back from a provider
</script>
</body></html>`))

// startPage serves a page that loads the published SDK. data says what it is made of, by
// the parameters of its address, besides where the server is.
func startPage(t *testing.T, page *template.Template, data func(*http.Request) map[string]any) *customer {
	t.Helper()
	mux := http.NewServeMux()
	mux.HandleFunc("GET /cotter.min.js", func(w http.ResponseWriter, r *http.Request) {
		http.ServeFile(w, r, filepath.Join(root, "e2e/node_modules/cotter/dist/cotter.min.js"))
	})
	mux.HandleFunc("GET /favicon.ico", func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(http.StatusNoContent) })
	mux.HandleFunc("GET /done", func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, "<title>Done</title>") })
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, r *http.Request) {
		values := data(r)
		values["API"], values["JS"], values["Key"] = r.FormValue("api"), r.FormValue("js"), r.FormValue("key")
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		if err := page.Execute(w, values); err != nil {
			t.Error(err)
		}
	})
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)
	return &customer{server, server.URL}
}

// startCustomer serves the page. Which project it uses is told by its address.
func startCustomer(t *testing.T) *customer {
	t.Helper()
	return startPage(t, customerPage, func(r *http.Request) map[string]any {
		// 300 by 300 is what the SDK's manual recommends.
		width, height := r.FormValue("width"), "500px"
		if width == "" {
			width, height = "300px", "300px"
		}
		return map[string]any{"Width": template.CSS(width), "Height": template.CSS(height), "Providers": append([]string{}, r.Form["with"]...)}
	})
}

// named is the same site under a name: an IP address can have no passkeys. To the browser it is
// another site than localhost.
func (c *customer) named(t *testing.T, name string) *customer {
	t.Helper()
	u, err := url.Parse(c.URL)
	if err != nil {
		t.Fatal(err)
	}
	return &customer{c.Server, "http://" + name + ":" + u.Port()}
}

// page returns the address of the page for a project.
func (c *customer) page(p *project, width ...string) string {
	query := url.Values{"api": {p.cotter()}, "js": {p.url}, "key": {p.id}}
	if len(width) > 0 {
		query.Set("width", width[0])
	}
	return c.URL + "/?" + query.Encode()
}

// An outcome is what became of the promise that a sign-in returned.
type outcome struct {
	State   string          `json:"state"` // none, pending, resolved or rejected
	Payload json.RawMessage `json:"payload"`
	Error   string          `json:"error"`
}

// signIn shows the form, optionally with an OnBegin, and returns its frame.
func (p *tab) signIn(site *project, onBegin ...string) *tab {
	p.t.Helper()
	eval[any](p, "void signIn("+strings.Join(onBegin, ",")+")")
	return p.frame(site.url + "/signup?")
}

func (p *tab) outcome() outcome {
	p.t.Helper()
	return eval[outcome](p, "outcome")
}

// payload waits until the promise resolves and returns what with.
func (p *tab) payload() json.RawMessage {
	p.t.Helper()
	p.await("the promise is settled", `outcome.state !== "pending"`)
	o := p.outcome()
	if o.State != "resolved" {
		p.t.Fatalf("the sign-in was %s: %s", o.State, o.Error)
	}
	return o.Payload
}

// giveAddress types an address into the form and submits it.
func (f *tab) giveAddress(address string) {
	f.t.Helper()
	f.fill("#address", address)
	f.click("#address-submit")
}

// giveCode types a code; a complete one is submitted by the form itself.
func (f *tab) giveCode(code string) {
	f.t.Helper()
	f.fill("#code", code)
}

// text returns the text of an element, empty while it is hidden.
func (f *tab) text(selector string) string {
	f.t.Helper()
	return eval[string](f, fmt.Sprintf(`(e => e && e.checkVisibility() ? e.textContent.trim() : "")(document.querySelector(%q))`, selector))
}

// says returns what the pages say in English, by its key in web/text: the tests
// hold the form to its states, and leave the wording to who writes it. Pairs
// fill in placeholders; the text ends before the first that is not filled.
func says(t *testing.T, key string, pairs ...string) string {
	t.Helper()
	table, err := os.ReadFile(filepath.Join(root, "web/text/en.json"))
	if err != nil {
		t.Fatal(err)
	}
	said := decode[map[string]string](t, table)[key]
	for i := 0; i+1 < len(pairs); i += 2 {
		said = strings.ReplaceAll(said, "{"+pairs[i]+"}", pairs[i+1])
	}
	said, _, _ = strings.Cut(said, "{")
	if said = strings.TrimSpace(said); said == "" {
		t.Fatalf("web/text has no %q", key)
	}
	return said
}

// awaitText waits until an element shows a text.
func (f *tab) awaitText(selector, part string) {
	f.t.Helper()
	f.await(fmt.Sprintf("%s says %q", selector, part),
		fmt.Sprintf(`(e => e && e.checkVisibility() && e.textContent.includes(%q))(document.querySelector(%q))`, part, selector))
}

// signInThroughForm does the whole sign-in on an open customer page and returns
// the payload of contract 2.3.
func (p *tab) signInThroughForm(site *project, address string) json.RawMessage {
	p.t.Helper()
	form := p.signIn(site)
	form.giveAddress(address)
	form.giveCode(site.code(p.t, address))
	return p.payload()
}

// passTime moves the clock that the page reads.
func (f *tab) passTime(d time.Duration) {
	f.t.Helper()
	eval[any](f, fmt.Sprintf("void (now => { Date.now = () => now() + %d })(Date.now.bind(Date))", d.Milliseconds()))
}
