package client

import (
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"io/fs"
	"testing"

	"github.com/c2sp/wycheproof"
)

func vectors(t *testing.T, file string, into any) {
	t.Helper()
	b, err := fs.ReadFile(wycheproof.TestVectors, file)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(b, into); err != nil {
		t.Fatal(err)
	}
}

// Project Wycheproof's JSON Web Signatures with EC keys. We differ in two of 43,
// which use a curve that no key of ours is on.
func TestWycheproofJWS(t *testing.T) {
	stricter := map[int]string{
		347: "only ES256 is taken, and this is ES512",
		351: "only ES256 is taken, and this is ES512",
	}
	var file struct {
		TestGroups []struct {
			Public json.RawMessage
			Tests  []struct {
				TcID    int
				Comment string
				JWS     json.RawMessage
				Result  string
			}
		}
	}
	vectors(t, "json_web_signature_test.json", &file)
	ran, passed := 0, 0
	for _, group := range file.TestGroups {
		var kind struct{ Kty string }
		if json.Unmarshal(group.Public, &kind) != nil || kind.Kty != "EC" {
			continue
		}
		for _, tt := range group.Tests {
			ran++
			var jws string
			if json.Unmarshal(tt.JWS, &jws) != nil {
				jws = string(tt.JWS) // in JSON form, which we do not take
			}
			got := verifiesJWS(group.Public, jws)
			if got {
				passed++
			}
			want := tt.Result == "valid"
			if reason, ok := stricter[tt.TcID]; ok && want && !got {
				t.Logf("%d %s: refused, because %s", tt.TcID, tt.Comment, reason)
			} else if got != want {
				t.Errorf("%d %s: got %v, want %v: %s with %s", tt.TcID, tt.Comment, got, want, jws, group.Public)
			}
		}
	}
	if ran < 40 || passed == 0 {
		t.Errorf("only %d ran and %d passed: have the vectors moved?", ran, passed)
	}
}

// verifiesJWS is the way of a token as far as its signature. The vectors are no
// JWTs, so that typ and claims are left out.
func verifiesJWS(jwk []byte, jws string) bool {
	keys, err := parseKeySet([]byte(`{"keys":[` + string(jwk) + `]}`))
	if err != nil {
		return false
	}
	parts, err := split(jws)
	if err != nil {
		return false
	}
	header, err := members(parts.header)
	if err != nil {
		return false
	}
	kid, _ := findText(header, "kid")
	alg, _ := findText(header, "alg")
	key, ok := keys[kid]
	return ok && alg == "ES256" && parts.signedBy(key)
}

// Wycheproof's signatures in the form of JOSE: edge cases of r, s and the curve.
func TestWycheproofECDSA(t *testing.T) {
	var file struct {
		TestGroups []struct {
			PublicKey struct{ Uncompressed string }
			Tests     []struct {
				TcID              int
				Comment, Msg, Sig string
				Result            string
			}
		}
	}
	vectors(t, "ecdsa_secp256r1_sha256_p1363_test.json", &file)
	ran := 0
	for _, group := range file.TestGroups {
		point := unhex(t, group.PublicKey.Uncompressed)
		_, key, err := parseKey([]byte(`{"kty":"EC","crv":"P-256","kid":"a","x":"` + base64.RawURLEncoding.EncodeToString(point[1:33]) +
			`","y":"` + base64.RawURLEncoding.EncodeToString(point[33:]) + `"}`))
		if err != nil {
			t.Fatal(err)
		}
		for _, tt := range group.Tests {
			ran++
			p := parts{signed: string(unhex(t, tt.Msg)), signature: unhex(t, tt.Sig)}
			if got, want := p.signedBy(key), tt.Result == "valid"; got != want {
				t.Errorf("%d %s: got %v, want %v", tt.TcID, tt.Comment, got, want)
			}
		}
	}
	if ran < 200 {
		t.Errorf("only %d ran: have the vectors moved?", ran)
	}
}

func unhex(t *testing.T, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}
