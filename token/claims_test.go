package token

import (
	"encoding/base64"
	"encoding/json"
	"strings"
	"testing"
	"unicode/utf8"

	"pgregory.net/rapid"
)

func base64url(b []byte) string { return base64.RawURLEncoding.EncodeToString(b) }

// TestStringsSurviveIOS holds the encoding against what the Cotter SDK for iOS
// does: it takes a payload for standard base64 and drops '-' and '_'.
func TestStringsSurviveIOS(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := rapid.OneOf(rapid.String(), rapid.StringOfN(rapid.SampledFrom([]rune("?>~\x7fé€😀\u2028\"\\\x00 a")), 0, 40, -1)).Draw(t, "text")
		checkString(t, s)
	})
}

func FuzzAppendString(f *testing.F) {
	f.Add("ada@example.org")
	f.Add("a?b>c~d\x7fe")
	f.Add("\xff\xfe\xed\xa0\x80")
	f.Add("😀 é \u2028")
	f.Fuzz(func(t *testing.T, s string) { checkString(t, s) })
}

type reporter interface {
	Fatalf(format string, args ...any)
}

func checkString(t reporter, s string) {
	encoded := appendString(nil, s)
	for _, c := range encoded {
		if c >= 0x7f || c < ' ' || strings.ContainsRune(">?~", rune(c)) {
			t.Fatalf("%q became %s, with %q", s, encoded, c)
		}
	}
	// At each of the three places that a byte can have in a group.
	for lead := range 3 {
		if text := base64url(append([]byte("{ :")[:lead:lead], encoded...)); strings.ContainsAny(text, "-_") {
			t.Fatalf("%q became %s", s, text)
		}
	}
	var back string
	if err := json.Unmarshal(encoded, &back); err != nil {
		t.Fatalf("%q became %s: %v", s, encoded, err)
	}
	want := s
	if !utf8.ValidString(s) {
		want = string([]rune(s)) // each wrong byte is U+FFFD
	}
	if back != want {
		t.Fatalf("%q became %s, read as %q", s, encoded, back)
	}
}

func FuzzParseAccess(f *testing.F) {
	c := claims{subject: "5b1f3a52-0000-4000-8000-000000000001", clientUserID: "x", identifier: "a@b", audience: "p", issuer: "i", method: "OTP", issuedAt: 1, expiresAt: 2}
	f.Add(c.appendAccess(nil, [16]byte{1}))
	f.Add([]byte(`{"sub":"a","sub":"b"}`))
	f.Add([]byte(`{"iat":1e3}`))
	f.Add([]byte(`[]`))
	f.Fuzz(func(t *testing.T, payload []byte) {
		c, kind, scope, err := parseAccess(payload)
		if err != nil {
			return
		}
		// What was accepted is read alike by a parser that knows nothing of ours.
		var other map[string]any
		if err := json.Unmarshal(payload, &other); err != nil {
			t.Fatalf("accepted %q, which is no JSON: %v", payload, err)
		}
		for name, got := range map[string]string{"type": kind, "scope": scope, "aud": c.Audience, "iss": c.Issuer, "identifier": c.Identifier} {
			if other[name] != got {
				t.Errorf("%s: got %q, another parser %q", name, got, other[name])
			}
		}
	})
}
