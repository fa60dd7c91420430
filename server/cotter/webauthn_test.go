package cotter_test

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/descope/virtualwebauthn"

	"github.com/google/go-cmp/cmp"
	"github.com/splitpin/splitpin/signin/passkey/passkeytest"

	"github.com/splitpin/splitpin"
	"github.com/splitpin/splitpin/signin"
)

const (
	ada  = "ada@example.org"
	home = "192.0.2.1" // the network of the person; do asks from there
)

// A frame is our window in the customer's page: it holds a fresh proof.
type frame struct {
	s     *site
	proof signin.Handle
	by    signin.Caller
}

func (s *site) frame(address string) *frame {
	s.t.Helper()
	sum := sha256.Sum256([]byte(verifier))
	by := signin.Caller{Addr: netip.MustParseAddr(home), Device: "Chrome on Linux", Browser: true}
	started, err := s.engine.Start(s.t.Context(), signin.StartRequest{Project: s.a, Method: "email_code", Identifier: address,
		Challenge: base64.RawURLEncoding.EncodeToString(sum[:]), Origin: shop, By: by})
	if err != nil {
		s.t.Fatal(err)
	}
	told, err := s.engine.Secret(started.Attempt)
	if err != nil {
		s.t.Fatal(err)
	}
	f := &frame{s, signin.Handle{Project: s.a, ID: started.Attempt.ID, Secret: started.Secret, By: by}, by}
	if _, err := s.engine.Answer(s.t.Context(), f.proof, json.RawMessage(fmt.Sprintf(`{"code":%q}`, told.Code.Reveal()))); err != nil {
		s.t.Fatal(err)
	}
	return f
}

// arm is what the window does when its button is pressed.
func (f *frame) arm() error {
	_, err := f.s.engine.Start(f.s.t.Context(), signin.StartRequest{Project: f.s.a, Method: "passkey", Purpose: splitpin.Enrol,
		Origin: shop, Proof: &f.proof, HandOver: true, By: f.by})
	return err
}

func (f *frame) mustArm() {
	f.s.t.Helper()
	if err := f.arm(); err != nil {
		f.s.t.Fatalf("arming: %v", err)
	}
}

// webauthn is one call of the SDK.
func (s *site) webauthn(call, identifier, body string, change ...func(*ask)) reply {
	a := ask{method: "POST", path: "/api/v0/webauthn/" + call + "?identifier=" + url.QueryEscape(identifier), key: idA, origin: shop, body: body}
	for _, c := range change {
		c(&a)
	}
	return s.do(a)
}

func from(addr string) func(*ask) { return func(a *ask) { a.addr = addr } }

const fromShop = `{"origin":"` + shop + `"}`

// An authenticator of the person's device.
type authenticator struct {
	virtualwebauthn.Authenticator
	key virtualwebauthn.Credential
	rp  virtualwebauthn.RelyingParty
}

func newAuthenticator() *authenticator {
	return &authenticator{virtualwebauthn.NewAuthenticator(), passkeytest.NewCredential(virtualwebauthn.KeyTypeEC2),
		virtualwebauthn.RelyingParty{ID: "shop.example", Origin: shop}}
}

// creates is what the SDK sends after navigator.credentials.create.
func (a *authenticator) creates(t *testing.T, begun reply) string {
	t.Helper()
	o, err := virtualwebauthn.ParseAttestationOptions(begun.body)
	if err != nil {
		t.Fatalf("%v: %s", err, begun.body)
	}
	a.Options.UserHandle = []byte(o.UserID)
	return strings.TrimSuffix(virtualwebauthn.CreateAttestationResponse(a.rp, a.Authenticator, a.key, *o), "}") + `,"origin":"` + shop + `"}`
}

// gets is what the SDK sends after navigator.credentials.get: where the device was told
// which credential, the handle is an empty text.
func (a *authenticator) gets(t *testing.T, begun reply) string {
	t.Helper()
	o, err := virtualwebauthn.ParseAssertionOptions(begun.body)
	if err != nil {
		t.Fatalf("%v: %s", err, begun.body)
	}
	a.key.Counter++
	kept := a.Options.UserHandle
	a.Options.UserHandle = nil
	defer func() { a.Options.UserHandle = kept }()
	answer := virtualwebauthn.CreateAssertionResponse(a.rp, a.Authenticator, a.key, *o)
	answer = strings.Replace(answer, `"signature":`, `"userHandle":"","signature":`, 1)
	return strings.TrimSuffix(answer, "}") + `,"origin":"` + shop + `","public_key":"","identifier_type":"EMAIL","device_type":"BROWSER","device_name":"Mozilla/5.0"}`
}

func (s *site) register(f *frame, a *authenticator) map[string]any {
	s.t.Helper()
	f.mustArm()
	begun := s.webauthn("register/begin", ada, fromShop)
	begun.object(s.t)
	s.wait(signin.HandOverPause)
	return s.webauthn("register/finish", ada, a.creates(s.t, begun)).object(s.t)
}

func (s *site) exists() bool {
	s.t.Helper()
	r := s.do(ask{method: "GET", path: "/api/v0/webauthn/exists?identifier=" + ada, key: idA, origin: shop})
	return r.object(s.t)["exists"].(bool)
}

func TestWebAuthn(t *testing.T) {
	s := newSite(t)
	f, a := s.frame(ada), newAuthenticator()
	if s.exists() {
		t.Error("there is a passkey before one was made")
	}
	f.mustArm()
	begun := s.webauthn("register/begin", ada, fromShop)
	o := at(t, begun.object(t), "publicKey").(map[string]any)
	if len(text(t, o, "challenge")) != 43 || len(text(t, o, "user.id")) != 22 {
		t.Errorf("challenge and user.id: got %v and %v", o["challenge"], at(t, o, "user.id"))
	}
	delete(o, "challenge")
	delete(o["user"].(map[string]any), "id")
	want := decode[map[string]any](t, `{"rp":{"name":"Shop","id":"shop.example"},"user":{"name":"ada@example.org","displayName":"ada@example.org"},
		"pubKeyCredParams":[{"type":"public-key","alg":-7},{"type":"public-key","alg":-257}],
		"authenticatorSelection":{"authenticatorAttachment":"platform","userVerification":"required","residentKey":"preferred"},
		"attestation":"none","timeout":60000,"extensions":{}}`)
	if d := cmp.Diff(want, o); d != "" {
		t.Errorf("options (-contract 8.2 +got):\n%s", d)
	}
	s.wait(signin.HandOverPause)
	made := s.webauthn("register/finish", ada, a.creates(t, begun)).object(t)
	for _, o := range []map[string]any{made} {
		for path, want := range map[string]string{"identifier": ada, "user.identifier": ada, "oauth_token.auth_method": "WEBAUTHN", "token.identifier": ada} {
			if got := text(t, o, path); got != want {
				t.Errorf("%s: got %q, want %q", path, got, want)
			}
		}
	}
	if !s.exists() {
		t.Error("there is no passkey after one was made")
	}

	begun = s.webauthn("login/begin", ada, fromShop)
	o = at(t, begun.object(t), "publicKey").(map[string]any)
	if text(t, o, "rpId") != "shop.example" || text(t, o, "userVerification") != "required" || len(o["allowCredentials"].([]any)) != 20 {
		t.Errorf("options to sign in: %s", begun.body)
	}
	login := s.webauthn("login/finish", ada, a.gets(t, begun))
	if len(login.header.Values("Set-Cookie")) > 0 {
		t.Errorf("a cookie is set: %v", login.header)
	}
	if got := text(t, login.object(t), "user.ID"); got != text(t, made, "user.ID") {
		t.Errorf("signed in as %s, want %s", got, text(t, made, "user.ID"))
	}
	s.webauthn("login/finish", ada, a.gets(t, begun)).refused(t, 401) // once only
}

// What lets nobody make a passkey. Each row ends without one.
func TestWebAuthnRegistrationIsArmed(t *testing.T) {
	for _, test := range []struct {
		name string
		do   func(t *testing.T, s *site, f *frame, a *authenticator)
	}{
		{"nothing began it", func(t *testing.T, s *site, f *frame, a *authenticator) {
			s.webauthn("register/begin", ada, fromShop).refused(t, 403)
		}},
		{"for somebody else", func(t *testing.T, s *site, f *frame, a *authenticator) {
			f.mustArm()
			s.webauthn("register/begin", "bob@example.org", fromShop).refused(t, 403)
		}},
		{"from another network", func(t *testing.T, s *site, f *frame, a *authenticator) {
			f.mustArm()
			s.webauthn("register/begin", ada, fromShop, from("198.51.100.9")).refused(t, 403)
		}},
		{"for another page", func(t *testing.T, s *site, f *frame, a *authenticator) {
			f.mustArm()
			s.webauthn("register/begin", ada, `{"origin":"https://club.example"}`).refused(t, 403)
		}},
		{"after half a minute", func(t *testing.T, s *site, f *frame, a *authenticator) {
			f.mustArm()
			s.wait(30 * time.Second)
			s.webauthn("register/begin", ada, fromShop).refused(t, 403)
		}},
		{"by a proof of ten minutes ago", func(t *testing.T, s *site, f *frame, a *authenticator) {
			s.wait(5*time.Minute + time.Second)
			if err := f.arm(); splitpin.ErrorOf(err) == nil || splitpin.ErrorOf(err).Code != "proof_too_old" {
				t.Errorf("arming: got %v, want proof_too_old", err)
			}
			s.webauthn("register/begin", ada, fromShop).refused(t, 403)
		}},
		{"a neighbour asked first, the page second", func(t *testing.T, s *site, f *frame, a *authenticator) {
			f.mustArm()
			neighbours := s.webauthn("register/begin", ada, fromShop)
			neighbours.object(t)
			s.webauthn("register/begin", ada, fromShop).refused(t, 403)
			s.wait(signin.HandOverPause)
			s.webauthn("register/finish", ada, a.creates(t, neighbours)).refused(t, 401)
		}},
		{"the page asked first, a neighbour second", func(t *testing.T, s *site, f *frame, a *authenticator) {
			f.mustArm()
			begun := s.webauthn("register/begin", ada, fromShop)
			s.webauthn("register/begin", ada, fromShop).refused(t, 403)
			s.wait(signin.HandOverPause)
			s.webauthn("register/finish", ada, a.creates(t, begun)).refused(t, 401)
		}},
		{"a neighbour finished already when the page asks", func(t *testing.T, s *site, f *frame, a *authenticator) {
			f.mustArm()
			begun := s.webauthn("register/begin", ada, fromShop)
			s.wait(signin.HandOverPause)
			got := s.webauthn("register/finish", ada, a.creates(t, begun)).object(t)
			s.webauthn("register/begin", ada, fromShop).refused(t, 403)
			refresh := ask{method: "POST", path: "/api/v0/token/" + idA, key: idA, origin: shop, body: refreshBody(text(t, got, "oauth_token.refresh_token"))}
			s.do(refresh).refused(t, 400) // the session that came of it ended too
			login := s.webauthn("login/begin", ada, fromShop)
			s.webauthn("login/finish", ada, a.gets(t, login)).refused(t, 401)
		}},
		{"a neighbour took it, and the person presses the button again", func(t *testing.T, s *site, f *frame, a *authenticator) {
			f.mustArm()
			neighbours := s.webauthn("register/begin", ada, fromShop)
			f.mustArm()
			s.wait(signin.HandOverPause)
			s.webauthn("register/finish", ada, a.creates(t, neighbours)).refused(t, 401)
		}},
		{"the page in the body is not that of the ceremony", func(t *testing.T, s *site, f *frame, a *authenticator) {
			f.mustArm()
			begun := s.webauthn("register/begin", ada, fromShop)
			s.wait(signin.HandOverPause)
			s.webauthn("register/finish", ada, strings.Replace(a.creates(t, begun), `"origin":"`+shop, `"origin":"https://club.example`, 1)).refused(t, 401)
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := newSite(t, func(a, _ *splitpin.Project) { a.Settings.Origins = append(a.Settings.Origins, "https://club.example") })
			f, a := s.frame(ada), newAuthenticator()
			test.do(t, s, f, a)
			if s.exists() {
				t.Error("there is a passkey")
			}
			// What a stranger can do keeps the person from nothing for longer than that.
			s.wait(31 * time.Second)
			f = s.frame(ada)
			s.register(f, newAuthenticator())
		})
	}
}

// Who finishes early waits, for the rest of the pause: the page may still ask.
func TestWebAuthnFinishWaits(t *testing.T) {
	s := newSite(t)
	f, a := s.frame(ada), newAuthenticator()
	f.mustArm()
	begun := s.webauthn("register/begin", ada, fromShop)
	s.wait(time.Second)
	s.webauthn("register/finish", ada, a.creates(t, begun)).object(t)
	if want := []time.Duration{signin.HandOverPause - time.Second}; !slices.Equal(s.paused, want) {
		t.Errorf("it waited for %v, want %v", s.paused, want)
	}
	s.webauthn("register/finish", ada, a.creates(t, begun)) // again, later
	s.webauthn("login/finish", ada, a.gets(t, s.webauthn("login/begin", ada, fromShop))).object(t)
	if len(s.paused) > 1 {
		t.Errorf("it waited again: %v", s.paused)
	}
}

// The page that asks second, while the first who asked finishes already, ends it all.
func TestWebAuthnPageAsksInThePause(t *testing.T) {
	s := newSite(t)
	f, a := s.frame(ada), newAuthenticator()
	f.mustArm()
	begun := s.webauthn("register/begin", ada, fromShop)
	s.during = func() { s.webauthn("register/begin", ada, fromShop).refused(t, 403) }
	s.webauthn("register/finish", ada, a.creates(t, begun)).refused(t, 401)
	if s.exists() {
		t.Error("there is a passkey")
	}
}

// An answer that waits is right, and cost a try before, so that a stranger cannot have
// the server wait for thousands.
func TestWebAuthnFewWait(t *testing.T) {
	s := newSite(t)
	f := s.frame(ada)
	f.mustArm()
	begun := s.webauthn("register/begin", ada, fromShop)
	right := newAuthenticator().creates(t, begun)
	wrong := strings.Replace(right, `"attestationObject":"`, `"attestationObject":"AAAA`, 1)
	s.webauthn("register/finish", ada, wrong).refused(t, 401)
	if len(s.paused) != 0 {
		t.Errorf("a wrong answer waited for %v", s.paused)
	}
	came := 0
	var another func()
	another = func() {
		s.wait(-signin.HandOverPause) // as if all came at once
		if came++; came < 12 {
			s.mu.Lock()
			s.during = another
			s.mu.Unlock()
			s.webauthn("register/finish", ada, right)
		}
	}
	for came < 12 {
		another()
	}
	if len(s.paused) != 4 {
		t.Errorf("%d answers waited, want the 4 that the attempt still took", len(s.paused))
	}
}

// Two that meet in the same moment: never is there a passkey.
func TestWebAuthnTwoAtOnce(t *testing.T) {
	s := newSite(t)
	for round := range 10 {
		f := s.frame(fmt.Sprintf("ada%d@example.org", round))
		who := fmt.Sprintf("ada%d@example.org", round)
		f.mustArm()
		begins := make(chan reply, 2)
		for range 2 {
			go func() { begins <- s.webauthn("register/begin", who, fromShop) }()
		}
		first, second := <-begins, <-begins
		if first.status > second.status {
			first, second = second, first
		}
		if first.status != 200 || second.status != 403 {
			t.Fatalf("round %d: got %d and %d, want 200 and 403", round, first.status, second.status)
		}
		s.wait(10 * time.Minute / 4)
		if r := s.webauthn("register/finish", who, newAuthenticator().creates(t, first)); r.status != 401 {
			t.Errorf("round %d: finishing got %d %s, want 401", round, r.status, r.body)
		}
	}
}

// Whether somebody has a passkey is told where the project says so, and counted.
func TestWebAuthnExists(t *testing.T) {
	s := newSite(t, func(a, _ *splitpin.Project) { a.Settings.Lookup = splitpin.LookupOff })
	s.register(s.frame(ada), newAuthenticator())
	if s.exists() {
		t.Error("look-ups are off, and it is told")
	}
	r := s.do(ask{method: "GET", path: "/api/v0/webauthn/exists?identifier=" + ada, key: idA, secret: secretA})
	if r.object(t)["exists"] != false { // at the site of our own pages, which is another
		t.Errorf("a backend: got %s", r.body)
	}
	last := reply{}
	for range 200 {
		if last = s.do(ask{method: "GET", path: "/api/v0/webauthn/exists?identifier=nobody@example.org", key: idA, origin: shop}); last.status != 200 {
			break
		}
	}
	last.refused(t, 429)
}

func TestWebAuthnBadCalls(t *testing.T) {
	s := newSite(t)
	for _, test := range []struct {
		name, call, identifier, body string
		status                       int
	}{
		{"no origin", "login/begin", ada, `{}`, 403},
		{"a page that is not listed", "login/begin", ada, `{"origin":"https://evil.example"}`, 403},
		{"nobody named", "login/begin", "", fromShop, 400},
		{"not an address", "login/begin", "ada@", fromShop, 400},
		{"no credential", "login/finish", ada, fromShop, 401},
		{"no JSON", "register/finish", ada, `{`, 400},
		{"a challenge that is none", "login/finish", ada, credential("https://shop.example", "AAAA"), 404},
		{"a challenge of nothing", "register/finish", ada, credential("https://shop.example", signin.Challenge(splitpin.AttemptID{Number: 99}, "AAAAAAAAAAAAAAAAAAAAAA")), 404},
	} {
		t.Run(test.name, func(t *testing.T) { s.webauthn(test.call, test.identifier, test.body).refused(t, test.status) })
	}
}

func credential(origin, challenge string) string {
	client := base64.RawURLEncoding.EncodeToString(fmt.Appendf(nil, `{"type":"webauthn.get","challenge":%q,"origin":%q}`, challenge, origin))
	return fmt.Sprintf(`{"id":"AAAA","rawId":"AAAA","type":"public-key","origin":%q,"response":{"clientDataJSON":%q}}`, origin, client)
}

// A ceremony to sign in cannot be finished as one that registers, nor the other way
// round: only one of them waits.
func TestWebAuthnTheOtherCall(t *testing.T) {
	s := newSite(t)
	f, a := s.frame(ada), newAuthenticator()
	f.mustArm()
	begun := s.webauthn("register/begin", ada, fromShop)
	s.webauthn("login/finish", ada, a.creates(t, begun)).refused(t, 404)
	s.wait(31 * time.Second)
	s.register(s.frame(ada), a)
	login := s.webauthn("login/begin", ada, fromShop)
	s.webauthn("register/finish", ada, a.gets(t, login)).refused(t, 404)
}
