package e2e

import (
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"github.com/splitpin/splitpin/api"
)

// pkce returns a verifier of the form that the web SDK makes, and its challenge.
func pkce() (verifier, challenge string) {
	var b [28]byte
	rand.Read(b[:])
	verifier = hex.EncodeToString(b[:])
	return verifier, challengeOf(verifier)
}

// signIn signs an address in over /v1, without a browser, and returns the
// tokens. It is the short way for tests whose subject is what comes after.
func (p *project) signIn(t *testing.T, address string) api.Tokens {
	t.Helper()
	verifier, challenge := pkce()
	granted := p.prove(t, address, challenge)
	answer, body := call(t, "POST", p.v1()+"/token", nil, api.TokenRequest{
		GrantType: "authorization_code", Code: granted.AuthorizationCode, CodeVerifier: verifier, ChallengeID: &granted.ChallengeID,
		RedirectURL: p.origin + "/callback",
	})
	if answer.StatusCode != http.StatusOK {
		t.Fatalf("collecting: %s %s", answer.Status, body)
	}
	return decode[api.Tokens](t, body)
}

// prove goes as far as the right answer.
func (p *project) prove(t *testing.T, address, challenge string) api.Granted {
	t.Helper()
	answer, body := call(t, "POST", p.v1()+"/attempts", nil, api.StartRequest{
		Method: "email_code", Identifier: address, CodeChallenge: challenge, RedirectURL: p.origin + "/callback",
	})
	if answer.StatusCode != http.StatusCreated {
		t.Fatalf("starting: %s %s", answer.Status, body)
	}
	started := decode[api.StartResponse](t, body)
	answer, body = call(t, "POST", p.v1()+"/attempts/"+started.Attempt.ID+"/answer",
		http.Header{api.AttemptSecretHeader: {started.Secret}}, api.AnswerRequest{Code: p.code(t, address)})
	if answer.StatusCode != http.StatusOK {
		t.Fatalf("answering: %s %s", answer.Status, body)
	}
	return decode[api.Granted](t, body)
}

// claims decodes the payload of a token without looking at its signature.
func claims(t *testing.T, token string) map[string]any {
	t.Helper()
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		t.Fatalf("not a token: %q", token)
	}
	text, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil {
		t.Fatalf("decoding %q: %v", token, err)
	}
	return decode[map[string]any](t, text)
}

// unsigned is a token with the same claims that says it needs no signature.
func unsigned(token string) string {
	header := base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"none","typ":"JWT"}`))
	return header + "." + strings.Split(token, ".")[1] + "."
}

// sign makes a token under a key of our own, with the header of another.
func sign(t *testing.T, key *ecdsa.PrivateKey, header string, claims map[string]any) string {
	t.Helper()
	payload, err := json.Marshal(claims)
	if err != nil {
		t.Fatal(err)
	}
	signed := header + "." + base64.RawURLEncoding.EncodeToString(payload)
	sum := sha256.Sum256([]byte(signed))
	r, s, err := ecdsa.Sign(rand.Reader, key, sum[:])
	if err != nil {
		t.Fatal(err)
	}
	signature := append(r.FillBytes(make([]byte, 32)), s.FillBytes(make([]byte, 32))...)
	return signed + "." + base64.RawURLEncoding.EncodeToString(signature)
}

func b64(b []byte) string { return base64.RawURLEncoding.EncodeToString(b) }
