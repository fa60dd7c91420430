package cotter_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"github.com/splitpin/splitpin"
	"github.com/splitpin/splitpin/signin"
	"github.com/splitpin/splitpin/signin/browser"
)

// get_identity names the key of a browser that was told to remember, and until when it is
// recognised; of any other an empty key, as iOS needs text.
func TestIdentityNamesTheBrowser(t *testing.T) {
	s := newSite(t, func(a, _ *splitpin.Project) { a.Settings.RecogniseDays = 7 })
	plain := at(t, s.signIn(ada), "identifier").(map[string]any)
	if plain["public_key"] != "" || plain["device_type"] != "BROWSER" {
		t.Errorf("without a key: %v", plain)
	}

	f := s.frame(ada)
	started, err := s.engine.Start(t.Context(), signin.StartRequest{Project: s.a, Method: browser.Name, Purpose: splitpin.Enrol,
		Origin: shop, Proof: &f.proof, By: f.by})
	if err != nil {
		t.Fatal(err)
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	challenge := signin.Challenge(started.Attempt.ID, started.Secret)
	hash := sha256.Sum256(browser.Signed(s.a, started.Attempt, challenge))
	r, sig, err := ecdsa.Sign(rand.Reader, key, hash[:])
	if err != nil {
		t.Fatal(err)
	}
	var raw [64]byte
	r.FillBytes(raw[:32])
	sig.FillBytes(raw[32:])
	spki, err := x509.MarshalPKIXPublicKey(key.Public())
	if err != nil {
		t.Fatal(err)
	}
	text := base64.RawURLEncoding.EncodeToString
	answer, _ := json.Marshal(map[string]string{"public_key": text(spki), "challenge": challenge, "signature": text(raw[:])})
	enrol := signin.Handle{Project: s.a, ID: started.Attempt.ID, Secret: started.Secret, By: f.by}
	if _, err := s.engine.Answer(t.Context(), enrol, answer); err != nil {
		t.Fatal(err)
	}

	// The code of the frame's own sign-in, shown again.
	looked, err := s.engine.Look(t.Context(), f.proof)
	if err != nil {
		t.Fatal(err)
	}
	told, err := s.engine.Secret(looked.Attempt)
	if err != nil {
		t.Fatal(err)
	}
	g, err := s.engine.Answer(t.Context(), f.proof, json.RawMessage(fmt.Sprintf(`{"code":%q}`, told.Code.Reveal())))
	if err != nil {
		t.Fatal(err)
	}
	known := at(t, s.do(getIdentity("", proof{code: g.Code.Reveal(), challengeID: g.ChallengeID})).object(t), "identifier").(map[string]any)
	sum := sha256.Sum256(spki)
	if known["public_key"] != base64.StdEncoding.EncodeToString(sum[:]) || known["device_type"] != "BROWSER" {
		t.Errorf("with a key: %v", known)
	}
	expiry, err := time.Parse(time.RFC3339Nano, known["expiry"].(string))
	if want := s.clock().Add(7 * 24 * time.Hour); err != nil || expiry.Sub(want).Abs() > time.Second {
		t.Errorf("expiry: got %v (%v), want %v", known["expiry"], err, want)
	}
}
