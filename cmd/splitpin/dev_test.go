package main

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// The printed link opens the way from the demo to the inbox; nobody else learns
// the inbox's token from the demo.
func TestDemoAndItsInbox(t *testing.T) {
	demo := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, "the demo at "+r.URL.Path) })
	const inbox = "http://localhost:8080/inbox?token=secret"
	server := httptest.NewServer(nil)
	defer server.Close()
	host := strings.TrimPrefix(server.URL, "http://")
	server.Config.Handler = door(demo, host, "key", inbox)

	tests := []struct {
		name   string
		before []string // opened first, in the same browser
		path   string
		host   string
		cookie string
		status int
		leads  string
	}{
		{name: "the demo needs nothing", path: "/", status: 200},
		{name: "the printed link loses its token", path: "/?token=key", status: 303, leads: "/"},
		{name: "a wrong one too", path: "/?token=yesterday", status: 303, leads: "/"},
		{name: "the inbox is not for everybody", path: "/inbox", status: 403},
		{name: "nor for a guess", before: []string{"/?token=guess"}, path: "/inbox", status: 403},
		{name: "nor with a cookie of yesterday", cookie: "yesterday", path: "/inbox", status: 403},
		{name: "nor with the key in its own address", path: "/inbox?token=key", status: 403},
		{name: "it is for who opened the printed link", before: []string{"/?token=key"}, path: "/inbox", status: 303, leads: inbox},
		{name: "another name is the demo's to refuse", path: "/inbox", host: "evil.example", status: 200},
		{name: "the callback is the demo's", path: "/callback?token=key", status: 200},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			jar, _ := cookiejar.New(nil)
			browser := &http.Client{Jar: jar, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
			open := func(path, host string) *http.Response {
				r, err := http.NewRequest("GET", server.URL+path, nil)
				if err != nil {
					t.Fatal(err)
				}
				r.Host = host
				if test.cookie != "" {
					r.AddCookie(&http.Cookie{Name: doorCookie, Value: test.cookie})
				}
				answer, err := browser.Do(r)
				if err != nil {
					t.Fatal(err)
				}
				answer.Body.Close()
				return answer
			}
			for _, path := range test.before {
				open(path, "")
			}
			got := open(test.path, test.host)
			if got.StatusCode != test.status || got.Header.Get("Location") != test.leads {
				t.Errorf("got %d to %q, want %d to %q", got.StatusCode, got.Header.Get("Location"), test.status, test.leads)
			}
			if c := got.Header.Get("Set-Cookie"); c != "" && !(strings.Contains(c, "HttpOnly") && strings.Contains(c, "SameSite=Lax")) {
				t.Errorf("the cookie is %q", c)
			}
		})
	}
}

// The first run of 'splitpin dev' asks nothing, prints where everything is, and
// what it prints works; the second finds everything again.
func TestDev(t *testing.T) {
	folder := filepath.Join(t.TempDir(), "data")
	var ids []string
	for range 2 {
		ctx, stop := context.WithCancel(t.Context())
		out := &printed{found: make(chan struct{})}
		done := make(chan int, 1)
		go func() {
			done <- run(ctx, terminal{strings.NewReader(""), out, io.Discard},
				[]string{"dev", "--listen", "127.0.0.1:0", "--demo-listen", "127.0.0.1:0", "--data", folder})
		}()
		select {
		case <-out.found:
		case status := <-done:
			t.Fatalf("dev ended with %d:\n%s", status, out.buf.String())
		}
		text := out.buf.String()
		links := regexp.MustCompile(`http://localhost:\S+`).FindAllString(text, -1)
		if len(links) != 4 {
			t.Fatalf("want the addresses of demo, inbox, server and key set:\n%s", text)
		}
		for i, link := range links {
			page, err := http.Get(link)
			if err != nil {
				t.Fatal(err)
			}
			body, _ := io.ReadAll(page.Body)
			page.Body.Close()
			if page.StatusCode != http.StatusOK && i != 2 { // the root of the server is nothing to look at
				t.Errorf("%s answers %s", link, page.Status)
			}
			u, _ := url.Parse(links[1])
			if secret := u.Query().Get("token"); secret == "" || i == 0 && bytes.Contains(body, []byte(secret)) {
				t.Error("the demo's page holds the token of the inbox")
			}
		}
		var second bytes.Buffer
		if status := run(t.Context(), terminal{strings.NewReader(""), &second, &second},
			[]string{"dev", "--listen", "127.0.0.1:0", "--demo-listen", "127.0.0.1:0", "--data", folder}); status != 1 ||
			!strings.Contains(second.String(), "is served already, at "+links[2]+". Stop that server, or choose another folder with --data") {
			t.Errorf("a second one on the same folder ended with %d: %s", status, second.String())
		}
		var shown bytes.Buffer
		if run(t.Context(), terminal{strings.NewReader(""), &shown, &shown}, []string{"project", "show", "--data", folder}); !regexp.MustCompile(`(?m)^Issuer +` + regexp.QuoteMeta(links[2]) + `$`).Match(shown.Bytes()) {
			t.Errorf("beside the server, project show does not know its issuer %s:\n%s", links[2], shown.String())
		}
		ids = append(ids, regexp.MustCompile(`[0-9a-f]{8}-[0-9a-f-]{27}`).FindString(text))
		stop()
		if status := <-done; status != 0 {
			t.Errorf("dev ended with %d", status)
		}
		if !strings.Contains(out.buf.String(), "Everything is kept in "+folder) {
			t.Errorf("dev does not say where things are:\n%s", out.buf.String())
		}
	}
	if ids[0] == "" || ids[0] != ids[1] {
		t.Errorf("the project was %q, then %q", ids[0], ids[1])
	}
}

// printed is what dev prints; found is closed with the last line of its welcome.
type printed struct {
	buf   bytes.Buffer
	found chan struct{}
	once  bool
}

func (p *printed) Write(b []byte) (int, error) {
	p.buf.Write(b)
	if !p.once && strings.Contains(p.buf.String(), "Ctrl-C") {
		p.once = true
		close(p.found)
	}
	return len(b), nil
}
