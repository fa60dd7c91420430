package captcha

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/splitpin/splitpin/outgoing"
)

// verifier asks a stand-in that answers with status and body. There is no description of
// the providers' interface to be had from a package; the shapes are those of their manuals.
func verifier(t *testing.T, status int, body string, asked *url.Values) *Verifier {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if err := r.ParseForm(); err != nil || r.Method != http.MethodPost || r.URL.RawQuery != "" {
			t.Errorf("asked by %s %s: %v", r.Method, r.URL, err)
		}
		if asked != nil {
			*asked = r.PostForm
		}
		w.WriteHeader(status)
		fmt.Fprint(w, body)
	}))
	t.Cleanup(server.Close)
	local, err := outgoing.ParseExceptions("127.0.0.1")
	if err != nil {
		t.Fatal(err)
	}
	p, err := Find("turnstile")
	if err != nil {
		t.Fatal(err)
	}
	return &Verifier{Provider: p, Secret: "geheim", Host: "id.example", Client: outgoing.New(outgoing.Options{Except: local}), URL: server.URL}
}

func TestVerify(t *testing.T) {
	tests := []struct {
		name   string
		status int
		body   string
		person bool
		err    string
	}{
		{name: "a person", status: 200, body: `{"success":true,"hostname":"id.example"}`, person: true},
		{name: "a program", status: 200, body: `{"success":false,"error-codes":["invalid-input-response"]}`},
		{name: "used twice", status: 200, body: `{"success":false,"error-codes":["timeout-or-duplicate"]}`},
		{name: "of another page", status: 200, body: `{"success":true,"hostname":"evil.example"}`},
		{name: "of no page", status: 200, body: `{"success":true}`},
		{name: "a wrong secret", status: 200, body: `{"success":false,"error-codes":["invalid-input-secret"]}`, err: "invalid-input-secret"},
		{name: "a fault of theirs", status: 500, body: `{"success":true,"hostname":"id.example"}`, err: "500"},
		{name: "no JSON", status: 200, body: `<html>`, err: "reading its answer"},
		{name: "elsewhere", status: 302, body: `{"success":true,"hostname":"id.example"}`, err: "302"},
		{name: "without an end", status: 200, body: `{"success":true,"hostname":"` + strings.Repeat("x", 1<<20), err: "reading its answer"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			var asked url.Values
			person, err := verifier(t, test.status, test.body, &asked).Verify(t.Context(), "token")
			if person != test.person {
				t.Errorf("got %v, want %v", person, test.person)
			}
			if test.err == "" && err != nil || test.err != "" && (err == nil || !strings.Contains(err.Error(), test.err)) {
				t.Errorf("got the error %v, want one about %q", err, test.err)
			}
			if err != nil && strings.Contains(err.Error(), "geheim") {
				t.Errorf("the error tells the secret: %v", err)
			}
			// Nothing that tells who the person is goes along.
			if got := asked.Encode(); got != "response=token&secret=geheim" {
				t.Errorf("asked with %s", got)
			}
		})
	}
}

func TestVerifyAsksAboutTokensOnly(t *testing.T) {
	var asked url.Values
	v := verifier(t, 200, `{"success":true,"hostname":"id.example"}`, &asked)
	for _, token := range []string{"", strings.Repeat("x", longest+1)} {
		if person, err := v.Verify(t.Context(), token); person || err != nil || asked != nil {
			t.Errorf("%d bytes: got %v, %v; asked %v", len(token), person, err, asked)
		}
	}
}

func TestFind(t *testing.T) {
	if _, err := Find("hcaptcha"); err == nil || !strings.Contains(err.Error(), "recaptcha") {
		t.Errorf("got %v, want an error that names what there is", err)
	}
}
