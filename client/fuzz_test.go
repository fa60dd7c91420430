package client

import (
	"bytes"
	"encoding/json"
	"log/slog"
	"strings"
	"testing"
	"time"
)

// What our reader of objects takes, encoding/json takes too, and both read the
// same values.
func FuzzMembers(f *testing.F) {
	for _, seed := range []string{
		`{}`, ` { } `, `{"a":1}`, `{"a":{"b":[1,2,{"c":"}"}]},"d":"\"\\"}`, `{"a":1,"a":2}`, `{"a":1,"\u0061":2}`, `{"a" : "b" , "c" : null}`,
		`[]`, `"x"`, `{"a":-1.5e10}`, `{"a":true}`, "{\"a\":\"\xff\"}", `{"a":"\ud800"}`, `{"a":[]}`, `{"":""}`, `{"a":1}x`, `{`, ``,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		got, err := members(data)
		var want map[string]json.RawMessage
		if jsonErr := json.Unmarshal(data, &want); err == nil && (jsonErr != nil || len(want) != len(got)) {
			t.Fatalf("got %d members, encoding/json %d: %v", len(got), len(want), jsonErr)
		}
		for _, m := range got {
			if !bytes.Equal(m.value, want[m.name]) {
				t.Errorf("%q: got %s, encoding/json %s", m.name, m.value, want[m.name])
			}
			if s, ok := text(m.value); ok {
				var other string
				if err := json.Unmarshal(m.value, &other); err != nil || s != other {
					t.Errorf("%s: got %q, encoding/json %q, %v", m.value, s, other, err)
				}
			}
			if list, err := elements(m.value); err == nil {
				var other []json.RawMessage
				if err := json.Unmarshal(m.value, &other); err != nil || len(list) != len(other) {
					t.Errorf("%s: got %d elements, encoding/json %d, %v", m.value, len(list), len(other), err)
				}
			}
		}
	})
}

// No key set makes the reader fall over, and each key it gives is a point on the
// curve under a name.
func FuzzParseKeySet(f *testing.F) {
	f.Add([]byte(`{"keys":[{"kty":"EC","crv":"P-256","x":"a_U","y":"","kid":"a","use":"sig","alg":"ES256"}]}`))
	// The key of RFC 7515, appendix A.3.
	f.Add([]byte(`{"keys":[{"kty":"EC","crv":"P-256","kid":"a","x":"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU","y":"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"}]}`))
	f.Add([]byte(`{"keys":[7,[],{},{"kty":"RSA"}]}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		keys, err := parseKeySet(data)
		if (err == nil) != (len(keys) > 0) {
			t.Fatalf("got %d keys and %v", len(keys), err)
		}
		for kid, key := range keys {
			if _, err := key.ECDH(); err != nil || kid == "" {
				t.Errorf("%q: %v", kid, err)
			}
		}
	})
}

// No token without a signature passes or makes the verifier fall over, whatever
// its header and claims say.
func FuzzVerify(f *testing.F) {
	v, err := New(Config{ServerURL: "https://auth.example.com", ProjectID: "p", Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		f.Fatal(err)
	}
	keys, err := parseKeySet([]byte(`{"keys":[{"kty":"EC","crv":"P-256","kid":"a","x":"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU","y":"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"}]}`))
	if err != nil {
		f.Fatal(err)
	}
	v.keys.set.Store(&keySet{keys: keys, fetched: time.Now(), fresh: time.Now().Add(time.Hour)})
	v.keys.tried = time.Now()
	f.Add(`eyJhbGciOiJFUzI1NiIsInR5cCI6IkpXVCIsImtpZCI6ImEifQ.e30.` + strings.Repeat("A", 86))
	f.Add(`..`)
	f.Add(`e30.e30.e30`)
	f.Fuzz(func(t *testing.T, token string) {
		got, err := v.Verify(t.Context(), token)
		if got != nil || err == nil {
			t.Fatalf("got %v", got)
		}
		// And the claims alone, as if they had been signed.
		if claims, notBefore, err := v.parseClaims([]byte(token)); err == nil {
			if claims.Subject == "" || claims.Project != "p" || notBefore.Before(claims.IssuedAt) {
				t.Errorf("got %+v", claims)
			}
		}
	})
}
