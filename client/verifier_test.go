package client_test

import (
	"encoding/base64"
	"errors"
	"fmt"
	"log/slog"
	"math/big"
	"strings"
	"testing"
	"time"

	"github.com/splitpin/splitpin/client"
)

func TestVerify(t *testing.T) {
	s, v := start(t)
	got, err := v.Verify(t.Context(), s.token(claims{"role": "admin"}))
	if err != nil {
		t.Fatal(err)
	}
	if got.Key() != (client.Key{Issuer: s.URL, Project: project, Subject: subject}) {
		t.Errorf("key: got %+v", got.Key())
	}
	if got.Identifier != "ada@example.org" || got.Method != "OTP" || got.ID != "0b0e3c83-9d8e-4b5e-8f38-5b0d1f9f4a10" ||
		!got.IssuedAt.Equal(s.now()) || !got.ExpiresAt.Equal(s.now().Add(time.Hour)) {
		t.Errorf("got %#v", got)
	}
	var custom struct{ Role string }
	if err := got.Claims(&custom); err != nil || custom.Role != "admin" {
		t.Errorf("custom claim: got %q, %v", custom.Role, err)
	}
	if s.fetched() != 1 {
		t.Errorf("fetches of the keys: got %d, want 1", s.fetched())
	}
}

// TestVerifyRefuses changes one thing of a good token at a time.
func TestVerifyRefuses(t *testing.T) {
	s, v := start(t)
	stranger := newKey()
	good := s.token(nil)
	header, rest, _ := strings.Cut(good, ".")
	payload, signature, _ := strings.Cut(rest, ".")
	raw, _ := base64.RawURLEncoding.DecodeString(signature)
	now := s.now().Unix()

	with := func(change claims) claims {
		h := s.header()
		for k, v := range change {
			h[k] = v
		}
		return h
	}
	claimed := func(change claims) string { return s.token(change) }
	headed := func(change claims) string { return s.key.sign(with(change), s.claims(nil)) }

	tests := []struct {
		name  string
		token string
		want  error // nil: good
	}{
		{"good", good, nil},
		{"constant kid", headed(claims{"kid": constantKid}), nil},
		{"typ in lower case", headed(claims{"typ": "jwt"}), nil},
		{"brings a key", headed(claims{"jku": "https://evil.example/keys", "jwk": claims{"kty": "EC"}}), nil}, // and is not listened to
		{"unknown claims", claimed(claims{"role": "admin", "nested": claims{"sub": "x"}}), nil},
		{"nbf passed", claimed(claims{"nbf": now}), nil},
		{"expired within the leeway", claimed(claims{"iat": now - 3659, "exp": now - 59}), nil},
		{"issued within the leeway", claimed(claims{"iat": now + 60}), nil},

		{"empty", "", client.ErrMalformed},
		{"two parts", header + "." + payload, client.ErrMalformed},
		{"four parts", good + ".x", client.ErrMalformed},
		{"no signature", header + "." + payload + ".", client.ErrSignature},
		{"padding", good + "==", client.ErrMalformed},
		{"line end", header + ".\n" + payload + "." + signature, client.ErrMalformed},
		{"other base64 of the same bytes", loosened(good), client.ErrMalformed},
		{"too large", good + strings.Repeat("A", client.MaxToken), client.ErrTooLarge},
		{"header no object", s.key.sign(`["ES256"]`, s.claims(nil)), client.ErrMalformed},
		{"header with two algs", s.key.sign(fmt.Sprintf(`{"alg":"none","alg":"ES256","typ":"JWT","kid":%q}`, s.key.kid), s.claims(nil)), client.ErrMalformed},
		{"alg in another case", s.key.sign(fmt.Sprintf(`{"ALG":"ES256","typ":"JWT","kid":%q}`, s.key.kid), s.claims(nil)), client.ErrAlgorithm},
		{"alg none", headed(claims{"alg": "none"}), client.ErrAlgorithm},
		{"alg HS256", headed(claims{"alg": "HS256"}), client.ErrAlgorithm},
		{"alg es256", headed(claims{"alg": "es256"}), client.ErrAlgorithm},
		{"crit", headed(claims{"crit": []string{"b64"}, "b64": false}), client.ErrMalformed},
		{"no kid", headed(claims{"kid": ""}), client.ErrMalformed},
		{"typ of another kind", headed(claims{"typ": "logout+jwt"}), client.ErrWrongType},
		{"unknown kid", headed(claims{"kid": "made-up"}), client.ErrUnknownKey},
		{"foreign key, its own kid", stranger.sign(with(claims{"kid": stranger.kid}), s.claims(nil)), client.ErrUnknownKey},
		{"foreign key, our kid", stranger.sign(s.header(), s.claims(nil)), client.ErrSignature},
		{"changed claims", header + "." + base64.RawURLEncoding.EncodeToString([]byte(`{}`)) + "." + signature, client.ErrSignature},
		{"signature of zeros", header + "." + payload + "." + encoded(make([]byte, 64)), client.ErrSignature},
		{"signature too long", header + "." + payload + "." + encoded(append(raw, 0)), client.ErrSignature},
		{"signature in DER", header + "." + payload + "." + encoded(der(raw)), client.ErrSignature},

		{"id token", claimed(claims{"type": "client_id_token", "scope": nil}), client.ErrWrongType},
		{"no type", claimed(claims{"type": nil}), client.ErrWrongType},
		{"other scope", claimed(claims{"scope": "access refresh"}), client.ErrWrongType},
		{"other project", claimed(claims{"aud": "1a46b2a5-0000-4000-8000-000000000000"}), client.ErrWrongAudience},
		{"audience a list", claimed(claims{"aud": []string{project}}), client.ErrWrongAudience},
		{"no audience", claimed(claims{"aud": nil}), client.ErrWrongAudience},
		{"other issuer", claimed(claims{"iss": "https://www.cotter.app"}), client.ErrWrongIssuer},
		{"issuer with a slash", claimed(claims{"iss": s.URL + "/"}), client.ErrWrongIssuer},
		{"no subject", claimed(claims{"sub": nil}), client.ErrMalformed},
		{"subject a number", claimed(claims{"sub": 7}), client.ErrMalformed},
		{"expired", claimed(claims{"iat": now - 3660, "exp": now - 60}), client.ErrExpired},
		{"no exp", claimed(claims{"exp": nil}), client.ErrMalformed},
		{"no iat", claimed(claims{"iat": nil}), client.ErrMalformed},
		{"exp as text", claimed(claims{"exp": fmt.Sprint(now + 3600)}), client.ErrMalformed},
		{"exp with a fraction", claimed(claims{"exp": float64(now) + 3600.5}), client.ErrMalformed},
		{"exp beyond counting", s.key.sign(s.header(), strings.Replace(string(mustJSON(s.claims(nil))), fmt.Sprint(now+3600), "9223372036854775807", 1)), client.ErrMalformed},
		{"nbf broken", claimed(claims{"nbf": "soon"}), client.ErrMalformed},
		{"from the future", claimed(claims{"iat": now + 61}), client.ErrNotYetValid},
		{"not before later", claimed(claims{"nbf": now + 61}), client.ErrNotYetValid},
		{"two subjects", s.key.sign(s.header(), strings.Replace(string(mustJSON(s.claims(nil))), `{`, `{"sub":"x",`, 1)), client.ErrMalformed},
		{"a subject twice, once escaped", s.key.sign(s.header(), strings.Replace(string(mustJSON(s.claims(nil))), `{`, `{"\u0073ub":"x",`, 1)), client.ErrMalformed},
		{"claims not UTF-8", s.key.sign(s.header(), strings.Replace(string(mustJSON(s.claims(nil))), "ada@", "ada\xff@", 1)), client.ErrMalformed},
		{"something after the claims", s.key.sign(s.header(), string(mustJSON(s.claims(nil)))+"{}"), client.ErrMalformed},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			for _, time := range []string{"first", "second"} { // with and without memory
				got, err := v.Verify(t.Context(), tt.token)
				if tt.want == nil {
					if err != nil || got.Subject != subject {
						t.Fatalf("%s time: got %v, %v; want a token", time, got, err)
					}
					continue
				}
				if !errors.Is(err, tt.want) || !errors.Is(err, client.ErrInvalidToken) || got != nil {
					t.Fatalf("%s time: got %v, %v; want %v", time, got, err, tt.want)
				}
				if tt.token != "" && strings.Contains(err.Error(), tt.token) {
					t.Errorf("the error holds the token: %v", err)
				}
			}
		})
	}
}

func encoded(b []byte) string { return base64.RawURLEncoding.EncodeToString(b) }

// der encodes a signature as X.509 does, which some JWT libraries have taken.
func der(raw []byte) []byte {
	integer := func(b []byte) []byte {
		n := new(big.Int).SetBytes(b).Bytes()
		if n[0]&0x80 != 0 {
			n = append([]byte{0}, n...)
		}
		return append([]byte{2, byte(len(n))}, n...)
	}
	body := append(integer(raw[:32]), integer(raw[32:])...)
	return append([]byte{0x30, byte(len(body))}, body...)
}

// loosened changes the bits of the last character that stand for nothing: 64
// bytes are 512 bits in 86 characters, of which the last carries two.
func loosened(token string) string {
	const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
	last := strings.IndexByte(alphabet, token[len(token)-1])
	return token[:len(token)-1] + string(alphabet[last^1])
}

func mustJSON(c claims) []byte {
	_, payload, _ := strings.Cut(newKeyOnce.sign("{}", c), ".")
	payload, _, _ = strings.Cut(payload, ".")
	b, err := base64.RawURLEncoding.DecodeString(payload)
	if err != nil {
		panic(err)
	}
	return b
}

var newKeyOnce = newKey()

// An error has to tell the person who set the backend up what to change.
func TestErrorsSayWhatToDo(t *testing.T) {
	s, v := start(t)
	tests := []struct {
		change claims
		want   []string
	}{
		{claims{"iss": "https://www.cotter.app"}, []string{`"https://www.cotter.app"`, `"` + s.URL + `"`, "Config.Issuer"}},
		{claims{"aud": "other"}, []string{`"other"`, `"` + project + `"`, "Config.ProjectID"}},
		{claims{"type": "client_id_token"}, []string{"oauth_token.access_token"}},
		{claims{"aud": strings.Repeat("x", 1000)}, []string{"xxx…"}},
	}
	for _, tt := range tests {
		_, err := v.Verify(t.Context(), s.token(tt.change))
		for _, want := range tt.want {
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("got %v, want %s in it", err, want)
			}
		}
	}
}

func TestIssuerOfAProject(t *testing.T) {
	s, _ := start(t)
	c := s.config()
	c.Issuer = "https://www.cotter.app"
	v, err := client.New(c)
	if err != nil {
		t.Fatal(err)
	}
	got, err := v.Verify(t.Context(), s.token(claims{"iss": "https://www.cotter.app"}))
	if err != nil || got.Issuer != "https://www.cotter.app" {
		t.Errorf("got %v, %v", got, err)
	}
	if _, err := v.Verify(t.Context(), s.token(nil)); !errors.Is(err, client.ErrWrongIssuer) {
		t.Errorf("the server's own issuer: got %v, want ErrWrongIssuer", err)
	}
}

// A token that was verified before passes only while it would pass anyway.
func TestRememberedTokenDies(t *testing.T) {
	t.Run("with its time", func(t *testing.T) {
		s, v := start(t)
		token := s.token(nil)
		for _, tt := range []struct {
			wait time.Duration
			want error
		}{{0, nil}, {time.Hour + 59*time.Second, nil}, {time.Second, client.ErrExpired}} {
			s.pass(tt.wait)
			_, err := v.Verify(t.Context(), token)
			if !errors.Is(err, tt.want) {
				t.Errorf("after %s more: got %v, want %v", tt.wait, err, tt.want)
			}
			v.WaitFetch()
		}
		if v.Remembers() != 1 {
			t.Errorf("remembered: got %d, want 1", v.Remembers())
		}
	})
	t.Run("with its key", func(t *testing.T) {
		s, v := start(t)
		token := s.token(nil)
		if _, err := v.Verify(t.Context(), token); err != nil {
			t.Fatal(err)
		}
		s.publish(newKey()) // the old key was compromised, and is gone
		s.pass(6 * time.Minute)
		if _, err := v.Verify(t.Context(), token); err != nil {
			t.Errorf("while the new set is fetched: got %v", err)
		}
		v.WaitFetch()
		if _, err := v.Verify(t.Context(), token); !errors.Is(err, client.ErrUnknownKey) {
			t.Errorf("after the fetch: got %v, want ErrUnknownKey", err)
		}
	})
	t.Run("not with a new copy of its key", func(t *testing.T) {
		s, v := start(t)
		token := s.token(nil)
		v.Verify(t.Context(), token)
		s.publish(s.key, newKey())
		s.pass(6 * time.Minute)
		v.Verify(t.Context(), token)
		v.WaitFetch()
		if _, err := v.Verify(t.Context(), token); err != nil || v.Remembers() != 1 {
			t.Errorf("got %v and %d remembered, want none and 1", err, v.Remembers())
		}
	})
}

func TestMemoryIsBounded(t *testing.T) {
	s, _ := start(t)
	c := s.config()
	c.Remembered = 16
	v, err := client.New(c)
	if err != nil {
		t.Fatal(err)
	}
	for i := range 50 {
		if _, err := v.Verify(t.Context(), s.token(claims{"jti": fmt.Sprint(i)})); err != nil {
			t.Fatal(err)
		}
		if _, err := v.Verify(t.Context(), s.token(claims{"jti": fmt.Sprint(i), "aud": "other"})); err == nil {
			t.Fatal("a token for somebody else passed")
		}
		if n := v.Remembers(); n > 16 || n < min(i+1, 14) {
			t.Fatalf("after %d tokens: got %d remembered, want at most 16 and not much less", i+1, n)
		}
	}
	c.Remembered = -1
	v, _ = client.New(c)
	if _, err := v.Verify(t.Context(), s.token(nil)); err != nil || v.Remembers() != 0 {
		t.Errorf("without memory: got %v and %d remembered", err, v.Remembers())
	}
}

// What one caller does to its token must not reach the next.
func TestTokensAreCopies(t *testing.T) {
	s, v := start(t)
	token := s.token(nil)
	for range 3 {
		got, err := v.Verify(t.Context(), token)
		if err != nil || got.Subject != subject {
			t.Fatalf("got %v, %v", got, err)
		}
		got.Subject = "somebody else"
	}
}

func TestTokensPrintNoAddress(t *testing.T) {
	s, v := start(t)
	got, err := v.Verify(t.Context(), s.token(nil))
	if err != nil {
		t.Fatal(err)
	}
	var log strings.Builder
	slog.New(slog.NewTextHandler(&log, nil)).Info("x", "token", got)
	for _, text := range []string{log.String(), fmt.Sprint(got), fmt.Sprintf("%v %s", got, got)} {
		if strings.Contains(text, "ada@") || !strings.Contains(text, subject) {
			t.Errorf("got %s, want the subject and no address", text)
		}
	}
}

func TestNewRefuses(t *testing.T) {
	tests := []struct {
		name string
		c    client.Config
		ok   bool
	}{
		{"https", client.Config{ServerURL: "https://auth.example.com/", ProjectID: project}, true},
		{"localhost", client.Config{ServerURL: "http://localhost:8080", ProjectID: project}, true},
		{"loopback", client.Config{ServerURL: "http://127.0.0.1:8080", ProjectID: project}, true},
		{"loopback of IPv6", client.Config{ServerURL: "http://[::1]:8080", ProjectID: project}, true},
		{"nothing", client.Config{}, false},
		{"no project", client.Config{ServerURL: "https://auth.example.com"}, false},
		{"http elsewhere", client.Config{ServerURL: "http://auth.example.com", ProjectID: project}, false},
		{"a name that only begins like localhost", client.Config{ServerURL: "http://localhost.example.com", ProjectID: project}, false},
		{"no scheme", client.Config{ServerURL: "auth.example.com", ProjectID: project}, false},
		{"file", client.Config{ServerURL: "file:///keys", ProjectID: project}, false},
		{"password in it", client.Config{ServerURL: "https://a:b@auth.example.com", ProjectID: project}, false},
		{"keys over http", client.Config{ServerURL: "https://auth.example.com", KeysURL: "http://splitpin:8080/v1/keys", ProjectID: project}, false},
		{"project with a path", client.Config{ServerURL: "https://auth.example.com", ProjectID: "a/../b"}, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := client.New(tt.c)
			if (err == nil) != tt.ok {
				t.Errorf("got %v, want ok %v", err, tt.ok)
			}
		})
	}
}
