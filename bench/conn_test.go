package main

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// TestConn reads what net/http answers: short, long enough to come in chunks, and
// without a body, one after the other on a connection.
func TestConn(t *testing.T) {
	long := strings.Repeat("0123456789", 2000)
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/short":
			w.Write([]byte(`{"id":"abc","challenge_id":27805,"secret":"x-Y_z"}`))
		case "/long":
			w.Write([]byte(long))
			w.(http.Flusher).Flush()
			w.Write([]byte(long))
		default:
			w.WriteHeader(http.StatusNoContent)
		}
	}))
	defer s.Close()
	c, err := dial(s.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	for range 2 {
		for path, want := range map[string]struct {
			status int
			body   string
		}{
			"/short": {200, `{"id":"abc","challenge_id":27805,"secret":"x-Y_z"}`},
			"/long":  {200, long + long},
			"/none":  {204, ""},
		} {
			c.out = append(c.out[:0], "GET "+path+" HTTP/1.1\r\nHost: localhost\r\n\r\n"...)
			if err := c.do(); err != nil {
				t.Fatal(err)
			}
			if c.status != want.status || string(c.body) != want.body {
				t.Errorf("%s: got %d with %d bytes, want %d with %d", path, c.status, len(c.body), want.status, len(want.body))
			}
			if path != "/short" {
				continue
			}
			if id, secret, number, none := c.text("id"), c.text("secret"), c.number("challenge_id"), c.text("code"); id != "abc" || secret != "x-Y_z" || number != "27805" || none != "" {
				t.Errorf("got id %q, secret %q, number %q and %q where there is nothing", id, secret, number, none)
			}
		}
	}
}
