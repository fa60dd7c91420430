package e2e

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/input"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/cdproto/target"
	"github.com/chromedp/chromedp"
)

// ------------------------------------------------------------- who is asked

// A gate is the only way out of a test's browser: a proxy that lets loopback
// addresses through, refuses everything else, and remembers what was asked for.
type gate struct {
	secure map[string]string // sites with HTTPS, by host and port, and where they are; set before anything is asked
	*httptest.Server
	mu      sync.Mutex
	refused []string // URL, or host:port of a tunnel
	passed  []string // method and URL
	wrong   []error  // answers of /v1 that are not as described
	held    map[string]chan struct{}
	spoilt  map[string]http.HandlerFunc
}

func startGate(t *testing.T) *gate {
	t.Helper()
	g := &gate{}
	// No redirect is followed and no environment proxy used: what the browser
	// asks for is passed on as it is.
	transport := &http.Transport{DisableCompression: true, MaxIdleConnsPerHost: 16,
		DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
			// Every name that a page can have here is this machine; not every resolver knows.
			if host, port, err := net.SplitHostPort(address); err == nil && ours(host) {
				address = net.JoinHostPort("127.0.0.1", port)
			}
			return new(net.Dialer).DialContext(ctx, network, address)
		}}
	g.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		host := r.URL.Hostname()
		if site := g.secure[r.Host]; site != "" && r.Method == http.MethodConnect {
			tunnel(w, site)
			return
		}
		if r.Method == http.MethodConnect || !loopback(host) {
			g.mu.Lock()
			g.refused = append(g.refused, r.URL.String()+r.Host)
			g.mu.Unlock()
			w.WriteHeader(http.StatusForbidden)
			return
		}
		g.mu.Lock()
		g.passed = append(g.passed, r.Method+" "+r.URL.String())
		held := g.held[r.Method+" "+r.URL.Path]
		spoilt := g.spoilt[r.Method+" "+r.URL.Path]
		g.mu.Unlock()
		if spoilt != nil {
			spoilt(w, r)
			return
		}
		if held != nil {
			select {
			case <-held:
			case <-r.Context().Done():
				return
			}
		}
		out := r.Clone(r.Context())
		out.RequestURI = ""
		out.Header.Del("Proxy-Connection")
		answer, err := transport.RoundTrip(out)
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadGateway)
			return
		}
		defer answer.Body.Close()
		for name, values := range answer.Header {
			w.Header()[name] = values
		}
		w.WriteHeader(answer.StatusCode)
		var copied bytes.Buffer
		if _, err := io.Copy(io.MultiWriter(w, &copied), answer.Body); err != nil {
			return // one of the two ends is gone
		}
		if err := described(answer, copied.Bytes()); err != nil {
			g.mu.Lock()
			g.wrong = append(g.wrong, err)
			g.mu.Unlock()
		}
	}))
	t.Cleanup(func() {
		transport.CloseIdleConnections()
		g.Close()
	})
	return g
}

// tunnel passes on what the browser says to a site with HTTPS, which nobody can look into.
func tunnel(w http.ResponseWriter, site string) {
	there, err := net.Dial("tcp", site)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadGateway)
		return
	}
	defer there.Close()
	w.WriteHeader(http.StatusOK)
	here, buffered, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return
	}
	defer here.Close()
	go func() {
		defer there.Close()
		io.Copy(there, buffered)
	}()
	io.Copy(here, there)
}

// ours reports whether a host is a made-up name of this machine (RFC 6761). To our pages .test is
// a site on the web, .localhost a program of the person's own.
func ours(host string) bool {
	return strings.HasSuffix(host, ".localhost") || strings.HasSuffix(host, ".test")
}

func loopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ours(host) || ip != nil && ip.IsLoopback()
}

// check fails the test for every answer of /v1 that was not as described, and
// for every request that left the machine. The web SDK
// asks for one web font of its own accord; that is not ours to stop, only to
// name.
func (g *gate) check(t *testing.T) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, err := range g.wrong {
		t.Error(err)
	}
	for _, target := range g.refused {
		switch {
		case strings.Contains(target, "cotter.app"):
			t.Errorf("a request to the dead vendor's hosts: %s", target)
		case strings.Contains(target, "fonts.googleapis.com"):
			// the SDK's style sheet import
		case strings.Contains(target, "redirector.gvt1.com"):
			// Chromium itself, after its own components; no page uses that host
		default:
			t.Errorf("a request left the machine: %s", target)
		}
	}
}

// hold makes the next requests of that method and path wait until release is
// called, so that a test can look at a page that waits.
func (g *gate) hold(method, path string) (release func()) {
	held := make(chan struct{})
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.held == nil {
		g.held = map[string]chan struct{}{}
	}
	g.held[method+" "+path] = held
	return sync.OnceFunc(func() {
		g.mu.Lock()
		defer g.mu.Unlock()
		delete(g.held, method+" "+path)
		close(held)
	})
}

// spoil answers the requests of that method and path in the server's place, as a
// broken proxy would, until it is called with nil.
func (g *gate) spoil(method, path string, answer http.HandlerFunc) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.spoilt == nil {
		g.spoilt = map[string]http.HandlerFunc{}
	}
	g.spoilt[method+" "+path] = answer
}

// requests lists what was asked of an origin, as "METHOD /path".
func (g *gate) requests(origin string) []string {
	g.mu.Lock()
	defer g.mu.Unlock()
	var list []string
	for _, line := range g.passed {
		method, target, _ := strings.Cut(line, " ")
		if u, err := url.Parse(target); err == nil && u.Scheme+"://"+u.Host == origin {
			list = append(list, method+" "+u.Path)
		}
	}
	return list
}

// ---------------------------------------------------------------- a browser

// A browser is one Chromium with a fresh profile; its tabs share storage.
type browser struct {
	*gate
	ctx context.Context
}

func startBrowser(t *testing.T) *browser {
	t.Helper()
	return startBrowserFor(t, nil)
}

// startBrowserFor starts a browser for which hosts with HTTPS are one server of a test.
func startBrowserFor(t *testing.T, secure *httptest.Server, hosts ...string) *browser {
	t.Helper()
	g := startGate(t)
	// The profile lies outside t.TempDir: Chromium may still be writing when the
	// test ends, and that is no failure of the test.
	profile, err := os.MkdirTemp("", "splitpin-e2e-profile-")
	if err != nil {
		t.Fatal(err)
	}
	options := append(slices.Clone(chromedp.DefaultExecAllocatorOptions[:]),
		chromedp.ExecPath(chromium),
		chromedp.NoSandbox, // tests run as root in CI
		chromedp.DisableGPU,
		chromedp.UserDataDir(profile),
		chromedp.Flag("disable-quic", true),
		chromedp.Flag("disable-component-update", true),

		// What the browser would ask its maker for on its own. The gate refuses it
		// anyway; silent, it leaves the list of refusals to the pages.
		chromedp.Flag("disable-field-trial-config", true),
		chromedp.Flag("disable-domain-reliability", true),
		chromedp.Flag("gaia-url", "http://127.0.0.1:1"),
		chromedp.Flag("component-updater", "url-source=http://127.0.0.1:1/none"),
		chromedp.Flag("disable-features", "Translate,OptimizationHints,MediaRouter,AutofillServerCommunication,NetworkTimeServiceQuerying,AutofillEnableServerPredictions"),
		chromedp.ProxyServer(g.URL),
		chromedp.Flag("proxy-bypass-list", "<-loopback>"), // loopback goes through the gate too
		chromedp.WindowSize(1280, 900),
	)
	if secure != nil {
		g.secure = map[string]string{}
		for _, host := range hosts {
			g.secure[host+":443"] = secure.Listener.Addr().String()
		}
		key := sha256.Sum256(secure.Certificate().RawSubjectPublicKeyInfo)
		options = append(options, chromedp.Flag("ignore-certificate-errors-spki-list", base64.StdEncoding.EncodeToString(key[:])))
	}
	allocator, cancelAllocator := chromedp.NewExecAllocator(context.Background(), options...)
	ctx, cancel := chromedp.NewContext(allocator)
	if err := chromedp.Do(ctx); err != nil {
		t.Fatalf("starting Chromium: %v", err)
	}
	t.Cleanup(func() {
		cancel()
		cancelAllocator()
		os.RemoveAll(profile)
		g.check(t)
	})
	return &browser{gate: g, ctx: ctx}
}

// A tab is one page, or a frame of another origin inside one: both can be asked
// to evaluate and be looked at; only a page navigates and gets keys and clicks.
type tab struct {
	t   *testing.T
	ctx context.Context
	top *tab   // the page that frames this one; nil in a page
	src string // how the URL of a frame begins
}

// open opens a new tab.
func (b *browser) open(t *testing.T, url string) *tab {
	t.Helper()
	ctx, cancel := chromedp.NewContext(b.ctx)
	t.Cleanup(cancel)
	page := &tab{t: t, ctx: ctx}
	page.go_(url)
	return page
}

func (p *tab) do(what string, actions ...chromedp.Action[chromedp.Void]) {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.ctx, deadlines.step)
	defer cancel()
	if err := chromedp.Do(ctx, actions...); err != nil {
		p.t.Fatalf("%s: %v\n%s", what, err, p.state())
	}
}

// go_ navigates.
func (p *tab) go_(url string) {
	p.t.Helper()
	// The tab must be started under its own context: it would end with a shorter one.
	if err := chromedp.Do(p.ctx); err != nil {
		p.t.Fatalf("opening a tab: %v", err)
	}
	p.do("opening "+url, chromedp.Navigate(url))
}

// eval evaluates an expression, awaiting it if it is a promise, and decodes its
// value.
func eval[T any](p *tab, expression string) T {
	p.t.Helper()
	v, err := tryEval[T](p, expression)
	if err != nil {
		p.t.Fatalf("evaluating %s: %v\n%s", expression, err, p.state())
	}
	return v
}

func tryEval[T any](p *tab, expression string) (T, error) {
	ctx, cancel := context.WithTimeout(p.ctx, deadlines.step)
	defer cancel()
	// Through JSON text, so that undefined and null are values and not errors.
	text, err := chromedp.Run(ctx, chromedp.Evaluate[string](
		"(async () => JSON.stringify((await ("+expression+")) ?? null))()", chromedp.EvalAwaitPromise))
	var v T
	if err != nil {
		return v, err
	}
	return v, json.Unmarshal([]byte(text), &v)
}

// await polls an expression until it is truthy.
func (p *tab) await(what, expression string) {
	p.t.Helper()
	deadline := time.Now().Add(deadlines.step)
	tick := time.NewTicker(30 * time.Millisecond)
	defer tick.Stop()
	for {
		// An error can be a navigation under way: the next look tells.
		ok, err := tryEval[bool](p, "!!("+expression+")")
		if ok {
			return
		}
		if time.Now().After(deadline) {
			p.t.Fatalf("waited in vain until %s (%v)\n%s", what, err, p.state())
		}
		<-tick.C
	}
}

// state describes what is on the screen, for the report of a failure.
func (p *tab) state() string {
	text, _ := tryEval[string](p, `location.href + "\n" + (document.body ? document.body.innerText : "")`)
	picture := ""
	if dir := os.Getenv("E2E_PICTURES"); dir != "" {
		page := p
		if p.top != nil {
			page = p.top
		}
		ctx, cancel := context.WithTimeout(page.ctx, 5*time.Second)
		defer cancel()
		if png, err := chromedp.Run(ctx, chromedp.CaptureScreenshot()); err == nil {
			picture = filepath.Join(dir, strings.NewReplacer("/", "-", " ", "-").Replace(p.t.Name())+".png")
			os.WriteFile(picture, png, 0o644)
		}
	}
	return "the page shows: " + text + "\n" + picture
}

// frame waits for the frame whose URL begins with src, and attaches to it. The
// frames of these tests are of another site than the page, so the browser keeps
// them in a process of their own, as it would on the web.
func (p *tab) frame(src string) *tab {
	p.t.Helper()
	var f *tab
	until(p.t, deadlines.step, "the page frames "+src, func() bool {
		ctx, cancel := context.WithTimeout(p.ctx, deadlines.step)
		defer cancel()
		tree := eval[[]string](p, `[...document.querySelectorAll("iframe")].map(f => f.src)`)
		infos, err := chromedp.Targets(ctx)
		if err != nil {
			p.t.Fatal(err)
		}
		for _, info := range infos {
			if info.Type == "iframe" && strings.HasPrefix(info.URL, src) && slices.ContainsFunc(tree, func(s string) bool {
				return sameAddress(s, info.URL)
			}) {
				frame, cancel := chromedp.NewContext(p.ctx, chromedp.WithTargetID(info.TargetID))
				p.t.Cleanup(cancel)
				f = &tab{t: p.t, ctx: frame, top: p, src: info.URL}
				return chromedp.Do(frame) == nil
			}
		}
		return false
	})
	return f
}

// noFrame waits until the browser has ended every frame whose URL begins with src. The
// next one has the same URL.
func (p *tab) noFrame(src string) {
	p.t.Helper()
	until(p.t, deadlines.step, "no frame of "+src, func() bool {
		ctx, cancel := context.WithTimeout(p.ctx, deadlines.step)
		defer cancel()
		infos, err := chromedp.Targets(ctx)
		if err != nil {
			p.t.Fatal(err)
		}
		return !slices.ContainsFunc(infos, func(info *target.Info) bool { return info.Type == "iframe" && strings.HasPrefix(info.URL, src) })
	})
}

// sameAddress compares two URLs without their fragments.
func sameAddress(a, b string) bool {
	a, _, _ = strings.Cut(a, "#")
	b, _, _ = strings.Cut(b, "#")
	return a == b
}

// page is where keys and clicks go.
func (p *tab) page() *tab {
	if p.top != nil {
		return p.top
	}
	return p
}

type point struct{ X, Y float64 }

// at returns where the middle of an element is, in the page's coordinates. The
// element must be visible.
func (p *tab) at(selector string) point {
	p.t.Helper()
	p.await(selector+" is visible", fmt.Sprintf(`(e => document.readyState === "complete" && e && e.checkVisibility({visibilityProperty: true}) && e.getBoundingClientRect().width > 0)(document.querySelector(%q))`, selector))
	middle := eval[point](p, fmt.Sprintf(`(e => { e.scrollIntoView({block: "nearest"}); const r = e.getBoundingClientRect(); return {X: r.x + r.width / 2, Y: r.y + r.height / 2} })(document.querySelector(%q))`, selector))
	if p.top != nil {
		// A window that is still opening would move away from under the mouse.
		p.top.await("the window stands still", `document.getAnimations().every((a) => a.playState !== "running" || a.effect.getComputedTiming().iterations === Infinity)`)
		offset := eval[point](p.top, fmt.Sprintf(`(e => { e.scrollIntoView({block: "nearest"}); const r = e.getBoundingClientRect(); return {X: r.x, Y: r.y} })([...document.querySelectorAll("iframe")].find(f => f.src.startsWith(%q)))`, p.src))
		middle.X += offset.X
		middle.Y += offset.Y
	}
	return middle
}

// click clicks the middle of an element, as a mouse does, count times.
func (p *tab) click(selector string, count ...int) {
	p.t.Helper()
	at := p.at(selector)
	n := 1
	if len(count) > 0 {
		n = count[0]
	}
	for i := range n {
		p.page().do("clicking "+selector, chromedp.MouseClickXY(at.X, at.Y, chromedp.ClickCount(i+1)))
	}
}

// fill clicks into a field, empties it and types. A frame that has just come
// from another process may not hear a click yet; then the field has no focus, and
// a person would click again.
func (p *tab) fill(selector, text string) {
	p.t.Helper()
	if !p.clickFor(selector, 3, fmt.Sprintf("document.activeElement === document.querySelector(%q)", selector)) { // three clicks select what is there
		p.t.Fatalf("five clicks into %s did not give it the focus", selector)
	}
	p.keys(text)
}

// clickFor clicks until a frame has the focus and a condition holds, and reports whether
// that came true.
func (p *tab) clickFor(selector string, count int, condition string) bool {
	p.t.Helper()
	holds := fmt.Sprintf(`new Promise(done => {
		const until = performance.now() + 1000;
		(function look() {
			if (document.hasFocus() && %s) done(true);
			else if (performance.now() > until) done(false);
			else setTimeout(look, 20);
		})();
	})`, condition)
	for range 5 {
		p.click(selector, count)
		if eval[bool](p, holds) {
			return true
		}
	}
	return false
}

// wakes clicks at the title of a frame until it hears clicks.
func (p *tab) wakes() *tab {
	p.t.Helper()
	if !p.clickFor("h1", 1, "true") {
		p.t.Fatal("the frame hears no clicks")
	}
	return p
}

// keys types into whatever has the focus.
func (p *tab) keys(text string) {
	p.t.Helper()
	p.page().do("typing", chromedp.KeyEvent(text))
}

// key presses one named key ("Tab", "Enter") with modifiers.
func (p *tab) key(name string, code int64, modifiers ...chromedp.Modifier) {
	p.t.Helper()
	p.page().do("pressing "+name, chromedp.Func(func(ctx context.Context, t *chromedp.Target) error {
		params := input.DispatchKeyEventParams{Key: name, Code: name, WindowsVirtualKeyCode: code, NativeVirtualKeyCode: code}
		for _, m := range modifiers {
			params.Modifiers |= int64(m)
		}
		if name == "Enter" {
			params.Text = "\r"
		}
		for _, kind := range []input.DispatchKeyEventType{input.DispatchKeyEventTypeKeyDown, input.DispatchKeyEventTypeKeyUp} {
			params.Type = kind
			if kind == input.DispatchKeyEventTypeKeyUp {
				params.Text = ""
			}
			if _, err := cdp.Call(ctx, t, input.DispatchKeyEvent, params); err != nil {
				return err
			}
		}
		return nil
	}))
}

// resize sets the size of the page in CSS pixels.
func (p *tab) resize(width, height int64) {
	p.t.Helper()
	p.do("resizing", chromedp.EmulateViewport(width, height))
}

// scheme asks for the light or dark colours.
func (p *tab) scheme(name string) {
	p.t.Helper()
	p.do("choosing "+name+" colours", chromedp.Func(func(ctx context.Context, t *chromedp.Target) error {
		_, err := cdp.Call(ctx, t, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{
			Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: name}, {Name: "prefers-reduced-motion", Value: "reduce"}},
		})
		return err
	}))
}

// picture takes a screenshot into a file.
func (p *tab) picture(file string) {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.ctx, deadlines.step)
	defer cancel()
	png, err := chromedp.Call(ctx, page.CaptureScreenshot, page.CaptureScreenshotParams{Format: page.CaptureScreenshotFormatPng})
	if err != nil {
		p.t.Fatal(err)
	}
	if err := os.WriteFile(file, png.Data, 0o644); err != nil {
		p.t.Fatal(err)
	}
}
