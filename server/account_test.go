package server

import (
	"encoding/json"
	"net/url"
	"strings"
	"testing"

	"github.com/splitpin/splitpin"
	"github.com/splitpin/splitpin/project"
	"github.com/splitpin/splitpin/web"
)

// The page about an account stands alone, is there for every project that does not
// switch it off, and is where the sign-in page may lead without being listed.
func TestAccountPage(t *testing.T) {
	h := newHouse(t)
	page := "/account?project=" + h.first.ID
	type inPage struct {
		Here, Project, Issuer string
		Methods               []string
		Forgets               bool
	}
	read := func(path string) (in inPage) {
		t.Helper()
		w := h.do(ask{method: "GET", path: path, header: map[string]string{"Accept": "text/html"}})
		if policy := w.Header().Get("Content-Security-Policy"); w.Code != 200 || !strings.Contains(policy, "frame-ancestors 'none'") || w.Header().Get("Cache-Control") != "no-store" {
			t.Fatalf("%s: got %d with %s", path, w.Code, policy)
		}
		text := configElement.FindStringSubmatch(w.Body.String())
		if text == nil || json.Unmarshal([]byte(text[1]), &in) != nil {
			t.Fatalf("%s has no configuration: %s", path, w.Body)
		}
		return in
	}
	in := read(page)
	if in.Here != "https://login.example"+page || in.Project != h.first.ID || in.Issuer != "https://login.example" || len(in.Methods) == 0 || in.Forgets {
		t.Errorf("the page is told %+v", in)
	}
	if other := read("/account?project=" + h.next.ID); other.Issuer != "https://login.example/p/"+h.next.ID {
		t.Errorf("the page of another project is told %+v", other)
	}
	h.server.pages.Captcha = &web.Captcha{Script: "https://provider.example/api.js"}
	if in := read(page); !in.Forgets {
		t.Error("beside the script of a captcha the page keeps its session in the browser")
	}

	status := func(path string) int {
		return h.do(ask{method: "GET", path: path, header: map[string]string{"Accept": "text/html"}}).Code
	}
	signin := "/signin?" + url.Values{"project": {h.first.ID}, "code_challenge": {challenge()}, "redirect_url": {in.Here}}.Encode()
	if got := status(signin); got != 200 {
		t.Errorf("signing in for the page: %d", got)
	}
	if got := status(strings.Replace(signin, h.first.ID, h.next.ID, 1)); got != 403 {
		t.Errorf("signing in for the page of another project: %d, want 403", got)
	}
	if got := status("/account?project=nobody"); got != 404 {
		t.Errorf("the page of no project: %d, want 404", got)
	}

	admin := &project.Admin{Store: h.store, Tokens: h.server.tokens, Clock: h.server.Clock}
	if _, err := admin.Change(t.Context(), h.first.ID, func(p *splitpin.Project) error { p.Settings.NoAccountPage = true; return nil }); err != nil {
		t.Fatal(err)
	}
	if _, err := h.engine.Step(t.Context(), h.server.Clock()); err != nil {
		t.Fatal(err)
	}
	if got := status(page); got != 404 {
		t.Errorf("the page when it is off: %d, want 404", got)
	}
	if got := status(signin); got != 403 {
		t.Errorf("signing in for a page that is off: %d, want 403", got)
	}
}
