package server

import (
	"strings"
	"testing"
	"time"

	"github.com/splitpin/splitpin"
	"github.com/splitpin/splitpin/api"
)

// How a request arrived is told to who shows a pass; to everybody else there is
// nothing at that address.
func TestRequestView(t *testing.T) {
	h := newHouse(t)
	ask1 := ask{method: "POST", path: "/doctor", body: "{}", from: "192.0.2.9:1234",
		header: map[string]string{"Authorization": "Bearer a-pass", "X-Forwarded-For": "203.0.113.7, 198.51.100.5", "API_KEY_ID": h.first.ID}}
	elsewhere := ask1
	elsewhere.path = "/nowhere"
	nothing := func(a ask) {
		t.Helper()
		got, want := h.do(a), h.do(elsewhere)
		strip := func(s string) string { before, _, _ := strings.Cut(s, `"request_id"`); return before }
		if got.Code != 404 || strip(got.Body.String()) != strip(want.Body.String()) || len(got.Header()) != len(want.Header()) {
			t.Errorf("got %d %s %v, want what every unknown address says", got.Code, got.Body, got.Header())
		}
	}
	nothing(ask1) // nobody checks passes here

	h.server.version = "v1"
	h.server.pass = func(now time.Time, pass splitpin.Secret) (string, bool) {
		return "a-nonce", pass.Reveal() == "a-pass" && time.Since(now) < time.Minute
	}
	got := into[api.RequestView](t, h.do(ask1), 200)
	if got.Peer != "192.0.2.9:1234" || !got.PeerTrusted || got.Client != "198.51.100.5" || strings.Join(got.ForwardedFor, " ") != "203.0.113.7 198.51.100.5" ||
		got.Nonce != "a-nonce" || got.Host != "login.example" || !got.KeyHeader || got.BodyBytes != 2 || got.Version != "v1" || !got.Development || got.PublicURL != "https://login.example" {
		t.Errorf("got %+v", got)
	}
	large := ask1
	large.body = strings.Repeat("x", 64<<10)
	if got := into[api.RequestView](t, h.do(large), 200); got.BodyBytes != 64<<10 {
		t.Errorf("got %d bytes", got.BodyBytes)
	}
	large.body = strings.Repeat("x", 64<<10+1)
	h.refused(h.do(large), 413, "too_large")

	for _, pass := range []string{"", "Bearer ", "Bearer another", "a-pass"} {
		other := ask1
		other.header = map[string]string{"Authorization": pass}
		nothing(other)
	}
	foreign := ask1
	foreign.host = "evil.example"
	h.refused(h.do(foreign), 421, "misdirected")
}
