package client_test

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/splitpin/splitpin/client"
)

// The rotation of a key that was announced costs nobody anything.
func TestRotation(t *testing.T) {
	s, v := start(t)
	old := s.key
	before := s.token(nil)
	if _, err := v.Verify(t.Context(), before); err != nil {
		t.Fatal(err)
	}
	next := newKey()
	s.publish(old, next)
	s.pass(5 * time.Minute)
	v.Verify(t.Context(), before)
	v.WaitFetch()
	s.publish(next, old)
	s.key = next
	fetches := s.fetched()
	for name, token := range map[string]string{"old": before, "new": s.token(nil)} {
		if _, err := v.Verify(t.Context(), token); err != nil {
			t.Errorf("%s key: %v", name, err)
		}
	}
	if s.fetched() != fetches {
		t.Error("the announced key was fetched again when it was used")
	}
}

// A key that nobody announced is found at once, but only once a minute: kids
// are made up easily.
func TestUnknownKids(t *testing.T) {
	s, v := start(t)
	if _, err := v.Verify(t.Context(), s.token(nil)); err != nil {
		t.Fatal(err)
	}
	s.pass(time.Minute)
	old := s.key
	s.key = newKey()
	s.publish(s.key, old)
	if _, err := v.Verify(t.Context(), s.token(nil)); err != nil {
		t.Errorf("new key after a minute: %v", err)
	}
	if s.fetched() != 2 {
		t.Fatalf("fetches: got %d, want 2", s.fetched())
	}
	made := newKey()
	for range 100 {
		_, err := v.Verify(t.Context(), made.sign(claims{"alg": "ES256", "typ": "JWT", "kid": made.kid}, s.claims(nil)))
		if !errors.Is(err, client.ErrUnknownKey) {
			t.Fatalf("made-up kid: got %v, want ErrUnknownKey", err)
		}
		s.pass(time.Second)
	}
	if s.fetched() != 3 {
		t.Errorf("fetches after 100 made-up kids in 100 seconds: got %d, want 3", s.fetched())
	}
}

// Everyone who waits for keys shares one fetch.
func TestFetchesAreFolded(t *testing.T) {
	s, v := start(t)
	gate := make(chan struct{})
	s.change(func() { s.gate = gate })
	token := s.token(nil)

	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := v.Verify(ctx, token); !errors.Is(err, client.ErrKeysUnavailable) || !errors.Is(err, context.Canceled) {
		t.Errorf("the one who went away: got %v", err)
	}
	// Its fetch goes on without it, and serves the others.
	var wg sync.WaitGroup
	for range 20 {
		wg.Go(func() {
			if _, err := v.Verify(t.Context(), token); err != nil {
				t.Error(err)
			}
		})
	}
	close(gate)
	wg.Wait()
	if s.fetched() != 1 {
		t.Errorf("fetches: got %d, want 1", s.fetched())
	}
}

// An outage of the server is not noticed for a day, and forgives at once.
func TestOutage(t *testing.T) {
	s, v := start(t)
	verify := func() error {
		_, err := v.Verify(t.Context(), s.token(nil))
		v.WaitFetch()
		return err
	}
	if err := verify(); err != nil {
		t.Fatal(err)
	}
	s.change(func() { s.status = http.StatusBadGateway })
	s.pass(24*time.Hour - time.Second)
	for range 10 {
		if err := verify(); err != nil {
			t.Errorf("keys of nearly a day: got %v", err)
		}
	}
	if s.fetched() != 2 {
		t.Errorf("fetches: got %d, want 2", s.fetched())
	}
	// A kid that may belong to a key we could not fetch is not called invalid.
	other := newKey()
	_, err := v.Verify(t.Context(), other.sign(claims{"alg": "ES256", "typ": "JWT", "kid": other.kid}, s.claims(nil)))
	if !errors.Is(err, client.ErrKeysUnavailable) || errors.Is(err, client.ErrInvalidToken) {
		t.Errorf("unknown kid in the outage: got %v, want ErrKeysUnavailable", err)
	}
	token := s.token(nil)
	if _, err := v.Verify(t.Context(), token); err != nil {
		t.Fatal(err)
	}
	s.pass(time.Second)
	for _, token := range []string{token, s.token(nil)} { // remembered, and not
		if _, err := v.Verify(t.Context(), token); !errors.Is(err, client.ErrKeysUnavailable) {
			t.Errorf("keys of a day: got %v, want ErrKeysUnavailable", err)
		}
	}
	s.change(func() { s.status = 0 })
	s.pass(5 * time.Second)
	if err := verify(); err != nil {
		t.Errorf("after the outage: got %v", err)
	}
}

func TestNoKeysAtAll(t *testing.T) {
	s, v := start(t)
	s.change(func() { s.status = http.StatusInternalServerError })
	for range 10 {
		if _, err := v.Verify(t.Context(), s.token(nil)); !errors.Is(err, client.ErrKeysUnavailable) {
			t.Fatalf("got %v, want ErrKeysUnavailable", err)
		}
		s.pass(time.Second)
	}
	if s.fetched() != 2 {
		t.Errorf("fetches in ten seconds: got %d, want 2", s.fetched())
	}
}

func TestMaxAge(t *testing.T) {
	tests := []struct {
		header string
		fresh  time.Duration
	}{
		{"public, max-age=300", 5 * time.Minute},
		{"Max-Age=3600", time.Hour},
		{"", 5 * time.Minute},
		{"max-age=0", time.Minute},
		{"max-age=soon", time.Minute},
		{"max-age=-5", time.Minute},
		{"no-store", time.Minute},
		{"max-age=600, no-cache", time.Minute},
		{"max-age=2000000000", 24 * time.Hour},
	}
	for _, tt := range tests {
		t.Run(tt.header, func(t *testing.T) {
			s, v := start(t)
			s.change(func() { s.cache = tt.header })
			for _, step := range []struct {
				wait    time.Duration
				fetches int
			}{{0, 1}, {tt.fresh - time.Second, 1}, {time.Second, 2}} {
				s.pass(step.wait)
				if _, err := v.Verify(t.Context(), s.token(nil)); err != nil {
					t.Fatal(err)
				}
				v.WaitFetch()
				if s.fetched() != step.fetches {
					t.Errorf("after %s more: got %d fetches, want %d", step.wait, s.fetched(), step.fetches)
				}
			}
		})
	}
}

// What a key server must not be able to make a backend do.
func TestHostileKeyServer(t *testing.T) {
	asked := make(chan string, 10)
	elsewhere := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { asked <- r.URL.Path }))
	defer elsewhere.Close()
	k := newKey()
	tests := []struct {
		name   string
		answer http.HandlerFunc
		say    string
	}{
		{"redirect", func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, elsewhere.URL, http.StatusFound) }, "redirects are not followed"},
		{"endless", func(w http.ResponseWriter, r *http.Request) {
			w.Write([]byte(`{"keys":[` + k.jwk(k.kid) + `]}` + strings.Repeat(" ", 64<<10)))
		}, "larger than 65536 bytes"},
		{"not found", http.NotFound, "is the project id right?"},
		{"a page", func(w http.ResponseWriter, r *http.Request) { w.Write([]byte("<!doctype html>")) }, "not a JSON object"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			server := httptest.NewServer(tt.answer)
			defer server.Close()
			s, _ := start(t)
			c := s.config()
			c.KeysURL = server.URL
			v, err := client.New(c)
			if err != nil {
				t.Fatal(err)
			}
			_, err = v.Verify(t.Context(), s.token(nil))
			if !errors.Is(err, client.ErrKeysUnavailable) || !strings.Contains(err.Error(), tt.say) {
				t.Errorf("got %v, want ErrKeysUnavailable and %q in it", err, tt.say)
			}
		})
	}
	if len(asked) > 0 {
		t.Errorf("the redirect was followed to %s", <-asked)
	}
}

func TestParseKeySet(t *testing.T) {
	a, b := newKey(), newKey()
	x, y := coordinates(a.PrivateKey)
	key := a.jwk("a")
	replace := func(old, new string) string {
		changed := strings.Replace(key, old, new, 1)
		if changed == key {
			t.Fatalf("%s is not in %s", old, key)
		}
		return `{"keys":[` + changed + `]}`
	}
	tests := []struct {
		name string
		set  string
		kids string // sorted by us: "a", "a b"; empty: an error
	}{
		{"one", `{"keys":[` + key + `]}`, "a"},
		{"two", `{"keys":[` + key + `,` + b.jwk("b") + `]}`, "a b"},
		{"one key under two kids", `{"keys":[` + key + `,` + a.jwk("b") + `]}`, "a b"},
		{"the same twice", `{"keys":[` + key + `,` + key + `]}`, "a"},
		{"with space", " {\n\t\"keys\" : [ " + key + " , " + b.jwk("b") + " ]\r\n} ", "a b"},
		{"other kinds passed over", `{"keys":[{"kty":"OKP","crv":"Ed25519","kid":"c","x":"AA"},{"kty":"RSA"},{"kty":"EC","crv":"P-384"},7,` + key + `]}`, "a"},
		{"a broken one passed over", `{"keys":[{"kty":"EC","crv":"P-256","kid":"c","x":"AA","y":"AA"},` + key + `]}`, "a"},
		{"for verifying", replace(`"use":"sig"`, `"key_ops":["verify"]`), "a"},
		{"no use and no alg", replace(`,"use":"sig","alg":"ES256"`, ``), "a"},

		{"two keys of one kid", `{"keys":[` + key + `,` + b.jwk("a") + `]}`, ""},
		{"no key", `{"keys":[]}`, ""},
		{"no keys", `{}`, ""},
		{"keys an object", `{"keys":{}}`, ""},
		{"keys twice", `{"keys":[` + key + `],"keys":[]}`, ""},
		{"cut off", `{"keys":[` + key, ""},
		{"nothing", ``, ""},
		{"private key", replace(`"kty":"EC"`, `"kty":"EC","d":"AA"`), ""},
		{"for encryption", replace(`"use":"sig"`, `"use":"enc"`), ""},
		{"for signing only", replace(`"use":"sig"`, `"key_ops":["sign"]`), ""},
		{"for ES384", replace(`"alg":"ES256"`, `"alg":"ES384"`), ""},
		{"no kid", replace(`"kid":"a"`, `"kid":""`), ""},
		{"x in place of y", replace(y, x), ""},
		{"coordinate with padding", replace(`"x":"`+x, `"x":"`+x+"="), ""},
		{"coordinate too short", replace(x, x[:42]), ""},
		{"at infinity", `{"keys":[{"kty":"EC","crv":"P-256","kid":"a","x":"` + strings.Repeat("A", 43) + `","y":"` + strings.Repeat("A", 43) + `"}]}`, ""},
		{"x beyond the field", replace(x, strings.Repeat("_", 42)+"8"), ""},
		{"too many", `{"keys":[` + strings.Repeat(key+",", 100) + key + `]}`, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			keys, err := client.ParseKeySet([]byte(tt.set))
			var got []string
			for _, kid := range []string{"a", "b", "c", ""} {
				if keys[kid] != nil {
					got = append(got, kid)
				}
			}
			if strings.Join(got, " ") != tt.kids || (err == nil) != (tt.kids != "") {
				t.Errorf("got %q, %v; want %q", got, err, tt.kids)
			}
		})
	}
}
