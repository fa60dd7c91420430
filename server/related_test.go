package server

import (
	"encoding/json"
	"slices"
	"testing"

	"github.com/splitpin/splitpin"
	"github.com/splitpin/splitpin/project"
	"github.com/splitpin/splitpin/token"
)

// A browser asks whose pages may use the passkeys of this host: those of projects that chose
// it for all their passkeys, and of no others.
func TestRelatedOrigins(t *testing.T) {
	h := newHouse(t)
	if got := h.do(ask{method: "GET", path: "/.well-known/webauthn"}); got.Code != 404 {
		t.Errorf("where no project chose it: %d %s", got.Code, got.Body.String())
	}
	admin := &project.Admin{Store: h.store, Tokens: &token.Service{}, Clock: h.server.Clock}
	if _, err := admin.Change(t.Context(), h.first.ID, func(p *splitpin.Project) error {
		p.Settings.PasskeySite = "login.example"
		p.Settings.Origins = append(p.Settings.Origins, "https://club.example", "http://127.0.0.1:3000")
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	if _, err := admin.Change(t.Context(), h.next.ID, func(p *splitpin.Project) error {
		p.Settings.PasskeySite = "other.example" // and this server's own pages are related to that
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	if _, err := h.engine.Step(t.Context(), h.server.Clock()); err != nil {
		t.Fatal(err)
	}
	got := h.do(ask{method: "GET", path: "/.well-known/webauthn"})
	var document map[string][]string
	if got.Code != 200 || got.Header().Get("Content-Type") != "application/json" || json.Unmarshal(got.Body.Bytes(), &document) != nil {
		t.Fatalf("got %d %v %s", got.Code, got.Header(), got.Body.String())
	}
	if want := []string{"https://shop.example", "https://club.example"}; len(document) != 1 || !slices.Equal(document["origins"], want) {
		t.Errorf("the document is %s, want the origins %v", got.Body.String(), want)
	}
}
