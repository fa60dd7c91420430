package server

import (
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"testing"
)

// A drain is an http.ResponseWriter that keeps nothing, as little as there can be
// behind a handler. Its header is new for each request, as net/http gives it.
type drain struct {
	header http.Header
	status int
}

func (d *drain) Header() http.Header         { return d.header }
func (d *drain) Write(b []byte) (int, error) { return len(b), nil }
func (d *drain) WriteHeader(status int)      { d.status = status }

// BenchmarkRequests is what small requests cost after net/http has read them and
// before it writes the answer.
func BenchmarkRequests(b *testing.B) {
	h := newHouse(b)
	tokens := h.signIn("", "ada@example.org")
	h.server.Log = slog.New(slog.NewTextHandler(io.Discard, nil)) // as serve has it: no line for each request
	for _, way := range []struct{ name, path string }{
		{"key set", "/p/" + h.first.ID + "/v1/keys"},
		{"key set, as Cotter's", "/api/v0/token/jwks"},
		{"user", "/p/" + h.first.ID + "/v1/user"},
		{"refused", "/p/" + h.first.ID + "/v1/users"},
	} {
		b.Run(way.name, func(b *testing.B) {
			r := httptest.NewRequest("GET", "https://login.example"+way.path, nil)
			r.ContentLength = 0
			r.Header.Set("Authorization", "Bearer "+tokens.AccessToken)
			r.Header.Set("X-Forwarded-For", "10.0.3.4")
			b.ReportAllocs()
			for b.Loop() {
				d := &drain{header: http.Header{}}
				h.server.ServeHTTP(d, r)
				if way.name != "refused" && d.status >= 400 {
					b.Fatalf("refused: %d", d.status)
				}
			}
		})
	}
}
