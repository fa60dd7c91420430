package e2e

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"html/template"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// The published loader, unmodified, in the one setting its author left for other
// servers: data-cotter-env="DEV", with three addresses of this machine.

// loaderPorts are those three: pages and assets, the API, the worker.
var loaderPorts = struct{ pages, api, worker string }{"3000", "1234", "8787"}

// startLoaderDev runs splitpin dev where the loader looks for it. The addresses are
// fixed, so only one test can have them: whoever comes second waits.
func startLoaderDev(t *testing.T) *dev {
	t.Helper()
	proxies := []*http.Server{}
	target := &url.URL{Scheme: "http", Host: "127.0.0.1:" + loaderPorts.pages}
	for _, port := range []string{loaderPorts.api, loaderPorts.worker} {
		var listener net.Listener
		until(t, deadlines.start, "port "+port+" is free", func() (free bool) {
			var err error
			listener, err = net.Listen("tcp", "127.0.0.1:"+port)
			if err != nil && !errors.Is(err, syscall.EADDRINUSE) {
				t.Fatal(err)
			}
			return err == nil
		})
		proxy := &http.Server{Handler: &httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(target)
			r.Out.Host = r.In.Host // any loopback name is the server's in development
		}}, ReadHeaderTimeout: time.Minute}
		go proxy.Serve(listener)
		proxies = append(proxies, proxy)
	}
	t.Cleanup(func() {
		for _, p := range proxies {
			p.Close()
		}
	})
	return startDevAt(t, built, "127.0.0.1:"+loaderPorts.pages)
}

// A loaderSite is somebody's web site of several pages, each with the loader on it.
type loaderSite struct {
	*httptest.Server
	mu    sync.Mutex
	hooks []hook // what its backend was sent
}

// A hook is one request to the site's backend.
type hook struct {
	header http.Header
	body   []byte
}

var loaderPage = template.Must(template.New("").Parse(`<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>Club</title>
<style>body { font: 16px sans-serif; } .title { color: rgb(1, 2, 3); font-size: 40px; } .modal { margin: 7px; }</style>
<script src="/cotter.loader.js" data-cotter-env="DEV" data-cotter-api-key-id="{{.Key}}"></script>
</head><body>
<h1 class="title">{{.Path}}</h1>
<p class="modal">An element of the site's own.</p>
<a id="in" href="#/ct/login/members">Sign in</a>
<a id="plain" href="#/ct/login/form_default">Sign in by a form that nobody changed</a>
<a id="out" href="#/ct/logout/members">Sign out</a>
{{if .Inline}}<div id="cotter-form-container-newsletter" style="width: 300px; height: 500px"></div>{{end}}
</body></html>`))

func startLoaderSite(t *testing.T, key string) *loaderSite {
	t.Helper()
	s := &loaderSite{}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /cotter.loader.js", func(w http.ResponseWriter, r *http.Request) {
		http.ServeFile(w, r, filepath.Join(root, "e2e/node_modules/cotter/dist/cotter.loader.js"))
	})
	mux.HandleFunc("GET /favicon.ico", func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(http.StatusNoContent) })
	mux.HandleFunc("GET /{page...}", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		if err := loaderPage.Execute(w, map[string]any{"Key": key, "Path": r.URL.Path, "Inline": r.URL.Path == "/newsletter"}); err != nil {
			t.Error(err)
		}
	})
	mux.HandleFunc("POST /hook", func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		s.mu.Lock()
		defer s.mu.Unlock()
		s.hooks = append(s.hooks, hook{r.Header, body})
	})
	s.Server = httptest.NewServer(mux)
	t.Cleanup(s.Close)
	return s
}

func (s *loaderSite) heard() []hook {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.hooks)
}

// signedWith checks the signature as a backend would, after Standard Webhooks.
func (h hook) signedWith(t *testing.T, secret string) bool {
	t.Helper()
	key, err := base64.StdEncoding.DecodeString(secret)
	if err != nil {
		t.Fatal(err)
	}
	mac := hmac.New(sha256.New, key)
	fmt.Fprintf(mac, "%s.%s.%s", h.header.Get("Webhook-Id"), h.header.Get("Webhook-Timestamp"), h.body)
	return h.header.Get("Webhook-Signature") == "v1,"+base64.StdEncoding.EncodeToString(mac.Sum(nil))
}

// awaitPath waits until the tab shows a page of the site.
func (s *loaderSite) awaitPath(p *tab, path string) {
	p.t.Helper()
	p.await("the page is "+path, fmt.Sprintf(`location.pathname === %q && document.readyState === "complete"`, path))
}

// known waits until the browser has what the loader keeps of the server's settings.
// A form in place on the very first view knows none of them; see docs/cotter.md.
func (s *loaderSite) known(p *tab) {
	p.t.Helper()
	p.await("the loader knows the settings", `localStorage.getItem("cotter_company_info")`)
}

// pictures keeps what is on the screen, light and dark, narrow and wide, where
// somebody asked for pictures.
func (p *tab) pictures(name string) {
	dir := os.Getenv("E2E_PICTURES")
	if dir == "" {
		return
	}
	for _, width := range []int64{320, 1280} {
		for _, scheme := range []string{"light", "dark"} {
			p.resize(width, 900)
			p.scheme(scheme)
			p.picture(filepath.Join(dir, fmt.Sprintf("%s-%s-%d.png", name, scheme, width)))
		}
	}
	p.resize(1280, 900)
	p.scheme("light")
}

// frameIn attaches to the frame inside an element.
func (p *tab) frameIn(selector string) *tab {
	p.t.Helper()
	src := fmt.Sprintf(`document.querySelector(%q)?.querySelector("iframe")?.src`, selector)
	p.await(selector+" frames a page", src)
	return p.frame(eval[string](p, src))
}

func TestLoader(t *testing.T) {
	t.Parallel()
	d, b := startLoaderDev(t), startBrowser(t)
	p := d.defaultProject(t)
	site := startLoaderSite(t, p.id)
	d.command(t, "project", "set", p.id, "--add-origin", site.URL, "--protect", "/members*", "--protect", "/account", "--denied-url", "/denied",
		"--form", "newsletter", "--admit", "@example.org")
	d.command(t, "project", "set", p.id, "--form", "members", "--admit", "@example.org")
	d.command(t, "project", "form", "members", "--project", p.id, "--method", "code", "--title", "Members <only>", "--background", "#fdf6e3",
		"--title-colour", "#073642", "--after-login", "/members/home", "--after-logout", "/bye")
	out := d.command(t, "project", "set", p.id, "--completion-url", site.URL+"/hook")
	secret := regexp.MustCompile(`whsec_(\S+)`).FindStringSubmatch(out)
	if secret == nil {
		t.Fatalf("no secret of completions is printed:\n%s", out)
	}
	d.command(t, "project", "form", "newsletter", "--project", p.id, "--method", "code", "--field", "company=Your company", "--after-login", "/thanks")
	until(t, deadlines.step, "the server tells the new settings", func() bool {
		_, body := call(t, "GET", "http://localhost:"+loaderPorts.api+"/api/v0/company/info/"+p.id, nil, nil)
		return strings.Contains(string(body), `"afterLoginURL":"/thanks"`)
	})
	page := b.open(t, site.URL+"/")
	site.known(page)

	// Nobody is signed in: protected pages lead away, others do not.
	page.go_(site.URL + "/members/secret")
	site.awaitPath(page, "/denied")
	page.go_(site.URL + "/account")
	site.awaitPath(page, "/denied")
	page.go_(site.URL + "/accounts")
	site.known(page)
	if got := eval[string](page, "location.pathname"); got != "/accounts" {
		t.Errorf("a page that is not protected leads to %s", got)
	}

	// The window opens by a button, closes by the key and by its ground, and opens again.
	window := "#cotter-modal-members"
	open := func() {
		page.click("#in")
		page.await("the window is open", fmt.Sprintf(`document.querySelector(%q)?.classList.contains("is-open") && !document.querySelector(%[1]q).getAnimations({subtree: true}).length`, window))
	}
	// The window gives the focus to the frame in it, and the loader hears keys of its own
	// page only.
	escape := func() {
		eval[any](page, "document.activeElement.blur()")
		page.key("Escape", 27)
	}
	closed := fmt.Sprintf(`!document.querySelector(%q).classList.contains("is-open") && !document.querySelector(%[1]q).checkVisibility()`, window)
	page.await("the loader made the window", fmt.Sprintf("document.querySelector(%q)", window))
	open()
	if got := eval[string](page, `document.querySelector(".modal-title-loader").textContent`); got != "Members <only>" {
		t.Errorf("the title is %q", got)
	}
	for _, image := range []string{".modal-cotter-logo", ".cotter-logo"} { // the second is there, and hidden
		page.await("an image is shown", fmt.Sprintf(`(i => i && i.complete && i.naturalWidth > 0)(document.querySelector(%q))`, image))
	}
	page.pictures("loader-window")
	page.frameIn(window).at("#address")
	page.click("h1") // the ground covers it
	page.await("a click beside it closes the window", closed)
	open()
	escape()
	page.await("the key closes the window", closed)
	if got := eval[[]string](page, `[getComputedStyle(document.querySelector("h1")).color, getComputedStyle(document.querySelector("h1")).fontSize, getComputedStyle(document.querySelector("p.modal")).margin]`); !slices.Equal(got, []string{"rgb(1, 2, 3)", "40px", "7px"}) {
		t.Errorf("the sheet reaches the site's own elements: %v", got)
	}

	// A form that nobody changed wears the colours that the person's screen asks for.
	page.scheme("dark")
	page.click("#plain")
	plain := "#cotter-modal-form_default"
	page.await("the other window is open", fmt.Sprintf(`document.querySelector(%q)?.classList.contains("is-open") && !document.querySelector(%[1]q).getAnimations({subtree: true}).length`, plain))
	if got := eval[string](page, fmt.Sprintf(`getComputedStyle(document.querySelector("%s .modal-content-content")).backgroundColor`, plain)); got != "rgb(23, 26, 33)" {
		t.Errorf("in the dark the window is %s", got)
	}
	page.pictures("loader-plain")
	page.scheme("light")
	escape()
	page.await("the key closes the other window", fmt.Sprintf(`!document.querySelector(%q).classList.contains("is-open")`, plain))

	// Somebody who is not on the list of the form is told so by the form.
	open()
	form := page.frameIn(window)
	form.giveAddress("mallory@elsewhere.example")
	form.await("the form says that the list does not have them", `document.querySelector("#address-error").textContent.trim().length > 10`)

	// A sign-in by the window leads on, and to the protected pages.
	form.giveAddress("ada@example.org")
	form.giveCode(d.code(t, "ada@example.org"))
	site.awaitPath(page, "/members/home")
	page.go_(site.URL + "/account")
	page.await("the loader looked whether the page may be seen", `performance.getEntriesByType("resource").some(r => r.name.includes("/screening/site"))`)
	site.awaitPath(page, "/account")

	// Whom the list has no more is led away, and so is who signed out.
	d.command(t, "project", "set", p.id, "--form", "members", "--admit-all")
	d.command(t, "project", "set", p.id, "--form", "newsletter", "--admit-all")
	d.command(t, "project", "set", p.id, "--form", "members", "--admit", "bob@example.org")
	until(t, deadlines.step, "the server knows the new list", func() bool {
		_, body := call(t, "GET", "http://localhost:"+loaderPorts.worker+"/screening/site?identifier=ada@example.org", http.Header{"API_KEY_ID": {p.id}}, nil)
		return strings.Contains(string(body), `"passed":false`)
	})
	page.go_(site.URL + "/account")
	site.awaitPath(page, "/denied")
	d.command(t, "project", "set", p.id, "--form", "members", "--admit-all")
	page.go_(site.URL + "/")
	site.known(page)
	page.await("the loader is done", fmt.Sprintf("document.querySelector(%q)", window))
	if eval[*string](page, `localStorage.getItem("rft")`) == nil {
		t.Fatal("the person is signed out before the button was pressed")
	}
	page.click("#out")
	site.awaitPath(page, "/bye")
	if got := eval[[]*string](page, `[localStorage.getItem("rft"), localStorage.getItem("COTTER_USER")]`); got[0] != nil || got[1] != nil {
		t.Errorf("after signing out the browser still holds %v", got)
	}
	page.go_(site.URL + "/members/home")
	site.awaitPath(page, "/denied")

	// The form in place asks what the operator set for it.
	page.go_(site.URL + "/newsletter")
	form = page.frame("http://localhost:" + loaderPorts.pages + "/signup?")
	form.await("the form asks for the company", `document.body.innerText.includes("Your company")`)
	page.pictures("loader-form")
	form.fill(`input[name="company"]`, "Analytical Engines")
	form.giveAddress("bob@example.org")
	form.giveCode(d.code(t, "bob@example.org"))
	site.awaitPath(page, "/thanks")
	user := decode[map[string]any](t, json.RawMessage(eval[string](page, `localStorage.getItem("COTTER_USER")`)))
	if user["identifier"] != "bob@example.org" {
		t.Errorf("the browser keeps the user %v", user)
	}

	// On a browser's very first view the loader shows a form in place before it knows any
	// setting, as one for links. The form itself knows.
	first := startBrowser(t)
	release := first.hold("GET", "/api/v0/company/info/"+p.id)
	defer release()
	fresh := first.open(t, site.URL+"/newsletter")
	form = fresh.frame("http://localhost:" + loaderPorts.pages + "/login?")
	release()
	form.await("the form asks for the company", `document.body.innerText.includes("Your company")`)
	form.fill(`input[name="company"]`, "Difference Engines")
	form.giveAddress("bob@example.org")
	form.giveCode(d.code(t, "bob@example.org"))
	fresh.await("the browser knows its user", `localStorage.getItem("COTTER_USER")`)
	until(t, deadlines.step, "the backend hears of that, too", func() bool { return len(site.heard()) == 3 })

	// The site's backend heard of all, and of no token.
	hooks := site.heard()
	for i, want := range []string{
		`"form":"members","project":"` + p.id + `","user":{"id":"…","identifier":"ada@example.org","client_user_id":"…"},"fields":{}`,
		`"form":"newsletter","project":"` + p.id + `","user":{"id":"…","identifier":"bob@example.org","client_user_id":"…"},"fields":{"company":"Analytical Engines"}`,
		`"form":"newsletter","project":"` + p.id + `","user":{"id":"…","identifier":"bob@example.org","client_user_id":"…"},"fields":{"company":"Difference Engines"}`,
	} {
		if !hooks[i].signedWith(t, secret[1]) {
			t.Errorf("completion %d is not signed with the secret that was printed", i)
		}
		said := decode[struct {
			Type string          `json:"type"`
			Data json.RawMessage `json:"data"`
		}](t, hooks[i].body)
		got := regexp.MustCompile(`[0-9a-f]{8}-[0-9a-f-]{27}"`).ReplaceAllStringFunc(string(said.Data), func(id string) string {
			if id == p.id+`"` {
				return id
			}
			return `…"`
		})
		if said.Type != "form.completed" || got != "{"+want+"}" {
			t.Errorf("completion %d is %s %s\nwant %s", i, said.Type, got, want)
		}
	}

	for _, line := range b.requests("http://localhost:" + loaderPorts.pages) {
		if strings.Contains(line, "/lib/modal.css") {
			return
		}
	}
	t.Error("the style sheet was never asked for")
}
