package simulation

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/descope/virtualwebauthn"

	"github.com/splitpin/splitpin"
	"github.com/splitpin/splitpin/account"
	"github.com/splitpin/splitpin/api"
	"github.com/splitpin/splitpin/signin"
	recognised "github.com/splitpin/splitpin/signin/browser"
	"github.com/splitpin/splitpin/signin/passkey"
	"github.com/splitpin/splitpin/signin/passkey/passkeytest"
)

// Ways in besides the code: browsers that are remembered, passkeys, and the recovery of
// somebody who lost one, or says so.

// A browserKey is what a remembered browser keeps.
type browserKey struct {
	private *ecdsa.PrivateKey
	number  int64 // of the credential
}

// A passkeyOf is an authenticator with one passkey.
type passkeyOf struct {
	virtualwebauthn.Authenticator
	key    virtualwebauthn.Credential
	number int64
}

var shopSite = virtualwebauthn.RelyingParty{ID: strings.TrimPrefix(shopOrigin, "https://"), Origin: shopOrigin}

// prove answers an attempt until there is a final answer, or patience runs out. granted is
// nil where it was not right.
func (p *person) prove(t *ticket, body any) (granted *api.Granted, got reply) {
	for range 4 {
		if got = p.answers(t, t.secret, body); got.final() {
			break
		}
		p.sleep(p.between(0, 2*time.Second))
	}
	if got.status != http.StatusOK {
		return nil, got
	}
	granted = new(api.Granted)
	got.into(granted)
	return granted, got
}

// adds starts to add a way in to the account whose address t proved.
func (p *person) adds(method string, t *ticket) (*ticket, api.Attempt) {
	e, a, _ := p.starts(true, api.StartRequest{Method: method, Purpose: string(splitpin.Enrol),
		Proof: &api.AttemptRef{ID: t.id.String(), Secret: t.secret}}, "Sec-Fetch-Site", "same-origin")
	return e, a
}

func credentialOf(g *api.Granted) int64 {
	n, _ := strconv.ParseInt(g.CredentialID, 10, 64)
	return n
}

// remembers tells the browser to remember the sign-in that t proved.
func (p *person) remembers(t *ticket) {
	e, _ := p.adds(recognised.Name, t)
	if e == nil {
		return
	}
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		p.fail("making a key: %v", err)
		return
	}
	key := &browserKey{private: private}
	if granted, _ := p.prove(e, p.signed(e, key)); granted != nil {
		key.number = credentialOf(granted)
		p.key = key
		p.count.remembered++
	}
}

// signed is the answer of a remembered browser.
func (p *person) signed(t *ticket, key *browserKey) any {
	r, err := p.db.Load(context.Background(), splitpin.Reads{Attempt: t.id.Number})
	if err != nil || r.Attempt == nil {
		return map[string]string{} // swept by a node whose clock is ahead
	}
	text := base64.RawURLEncoding.EncodeToString
	challenge := signin.Challenge(t.id, splitpin.Secret(t.secret))
	hash := sha256.Sum256(recognised.Signed(p.shop, r.Attempt, challenge))
	x, y, err := ecdsa.Sign(rand.Reader, key.private, hash[:])
	if err != nil {
		p.fail("signing: %v", err)
		return nil
	}
	var signature [64]byte
	x.FillBytes(signature[:32])
	y.FillBytes(signature[32:])
	public, err := x509.MarshalPKIXPublicKey(key.private.Public())
	if err != nil {
		p.fail("writing a key: %v", err)
		return nil
	}
	return map[string]string{"public_key": text(public), "challenge": challenge, "signature": text(signature[:])}
}

// returns comes back in a remembered browser; nil: there is none, or it did not work out.
// Sometimes another tab logs out meanwhile, or removes the browser: then nothing may come of it.
func (p *person) returns() *browser {
	key := p.key
	if key == nil || p.chance(200) {
		return nil
	}
	t, _, _ := p.starts(true, api.StartRequest{Method: recognised.Name, Identifier: p.address}, "Sec-Fetch-Site", "same-origin")
	if t == nil {
		return nil
	}
	p.meanwhile(key.number)
	good := p.model.lives(key.number)
	granted, got := p.prove(t, p.signed(t, key))
	if granted == nil {
		if got.problem.Code == "wrong_answer" && good && p.model.lives(key.number) {
			p.fail("%s was told that the key of a browser is not good which is: credential %d", p.name, key.number)
		}
		p.key = nil // as the page does
		return nil
	}
	p.count.cameBack++
	p.meanwhile(key.number)
	return p.opens(t, *granted)
}

// meanwhile is another tab that ends the newest session, or removes a credential in it.
func (p *person) meanwhile(credential int64) {
	switch {
	case p.last == nil || p.chance(650):
	case p.chance(500):
		p.logOut(p.last)
	default:
		p.removes(p.last, credential)
	}
}

// removes takes a credential from the account, in a session that was proved lately, or is
// told that it was not.
func (p *person) removes(b *browser, credential int64) {
	if b.over || credential == 0 {
		return
	}
	presented, _ := parseRefresh(b.refresh)
	got := p.insist(request{method: "DELETE", path: fmt.Sprintf("/v1/credentials/%d", credential), presented: presented},
		nil, "Authorization", "Bearer "+b.access)
	if got.status == http.StatusOK {
		p.count.removed++
		p.model.removeAcknowledged(credential)
	}
}

// makesPasskey adds a passkey to the account whose address t proved.
func (p *person) makesPasskey(t *ticket) {
	e, a := p.adds(passkey.Name, t)
	if e == nil {
		return
	}
	options, err := virtualwebauthn.ParseAttestationOptions(string(a.Passkey))
	if err != nil {
		p.fail("options for a passkey: %v", err)
		return
	}
	k := &passkeyOf{Authenticator: virtualwebauthn.NewAuthenticator(), key: passkeytest.NewCredential(virtualwebauthn.KeyTypeEC2)}
	k.Options.UserHandle = []byte(options.UserID)
	made := virtualwebauthn.CreateAttestationResponse(shopSite, k.Authenticator, k.key, *options)
	p.sleep(oneOf(&p.schedule, 0, 5*time.Second, time.Minute)) // the device asks for a finger
	granted, got := p.prove(e, json.RawMessage(made))
	if got.final() && granted == nil {
		return
	}
	p.passkeys = append(p.passkeys, k) // it may be good, though nobody said so
	if granted != nil {
		k.number = credentialOf(granted)
		p.count.passkeys++
	}
}

// byPasskey signs in by the newest passkey; nil: there is none, or it did not work out.
// Sometimes there is a second passkey afterwards; and sometimes the first is removed in
// another tab, before the tokens are collected.
func (p *person) byPasskey() *browser {
	if len(p.passkeys) == 0 {
		return nil
	}
	k := p.passkeys[len(p.passkeys)-1]
	t, a, _ := p.starts(true, api.StartRequest{Method: passkey.Name}, "Sec-Fetch-Site", "same-origin")
	if t == nil {
		return nil
	}
	options, err := virtualwebauthn.ParseAssertionOptions(string(a.Passkey))
	if err != nil {
		p.fail("options for a passkey: %v", err)
		return nil
	}
	good := p.model.lives(k.number)
	granted, got := p.prove(t, json.RawMessage(virtualwebauthn.CreateAssertionResponse(shopSite, k.Authenticator, k.key, *options)))
	if granted == nil {
		if (got.problem.Code == "wrong_answer" || got.problem.Code == "credential_unknown") && good && p.model.lives(k.number) {
			p.fail("%s was told that passkey %d is not good, and it is", p.name, k.number)
		}
		if got.final() && !p.model.lives(k.number) {
			p.forgets(k) // removed, or taken back
		}
		return nil
	}
	p.count.byPasskey++
	p.noticed()
	if len(p.passkeys) < 3 && p.chance(400) {
		p.makesPasskey(t)
	}
	if p.chance(200) {
		p.remembers(t)
	}
	if len(p.passkeys) > 1 {
		p.meanwhile(k.number)
	}
	return p.opens(t, *granted)
}

func (p *person) forgets(k *passkeyOf) {
	p.passkeys = slices.DeleteFunc(p.passkeys, func(o *passkeyOf) bool { return o == k })
}

// recovers signs in by a code where a passkey is required, and makes another one; nil:
// what somebody gets who has to wait.
func (p *person) recovers() *browser {
	t := p.start(p.address, true)
	if t == nil {
		return nil
	}
	code := p.read(t)
	if code == "" {
		return nil
	}
	granted, got := p.prove(t, map[string]any{"code": code, "recover": p.chance(900)})
	if granted == nil {
		if got.problem.Code == account.ErrRecoveryWaits.Code {
			p.count.heldBack++
		}
		return nil
	}
	p.noticed()
	if granted.MakePasskey {
		p.makesPasskey(t)
	}
	return p.opens(t, *granted)
}

// strict is somebody who must come with a passkey, loses it now and then, tries the browser
// that was told to remember, and takes back some of what messages tell of.
func (p *person) strict() {
	for range 5 {
		p.think()
		var s *browser
		switch {
		case len(p.passkeys) == 0 && p.chance(700):
			p.keeps = p.makesPasskey
			s = p.signIn()
		case len(p.passkeys) == 0 || p.chance(250):
			s = p.recovers()
		case p.chance(400):
			s = p.returns()
		default:
			s = p.byPasskey()
		}
		if s != nil {
			if p.last != nil && p.chance(300) {
				was, _ := parseRefresh(p.last.refresh)
				p.removes(s, p.model.sessions[was.session].credential) // by which the last one was opened, which ends
			}
			p.last = s
			if p.chance(500) {
				p.use(s)
			}
		}
		p.sleep(oneOf(&p.schedule, 0, time.Minute, 5*time.Hour, 26*time.Hour))
		p.minds()
	}
}

// intrudes is somebody who reads the mail of owner and has none of the passkeys: it waits,
// and tries. Sometimes the owner looks into the mail at that moment.
func (p *person) intrudes(owner *person) {
	p.noticed = func() {
		if p.chance(700) {
			p.engage(owner.name+"'", owner.looks)
			p.sleep(oneOf(&p.schedule, 0, time.Second, time.Minute))
		}
	}
	for range 5 {
		p.sleep(p.between(0, 30*time.Hour))
		s := p.byPasskey() // of its own, once it came in
		if s == nil {
			s = p.recovers()
		}
		if s != nil {
			p.refresh(s, s.refresh)
		}
	}
}

// looks takes back the newest of what messages tell that is still there.
func (p *person) looks() {
	p.sleep(p.between(0, oneOf(&p.schedule, 0, time.Second, time.Minute)))
	for _, l := range slices.Backward(p.mail[p.address]) {
		if l.credential != 0 && p.model.lives(l.credential) {
			p.takesBack(l)
			return
		}
	}
}

// minds reads the messages that tell of something, and takes some of that back.
func (p *person) minds() {
	letters := p.mail[p.address]
	for _, l := range letters[p.seen:] {
		if p.chance(400) {
			p.takesBack(l)
		}
	}
	p.seen = len(letters)
}

// takesBack presses the button behind the link of a message that tells of something.
func (p *person) takesBack(l letter) {
	if !strings.Contains(l.link, signin.UndoPath) {
		return
	}
	good := p.model.lives(l.credential)
	got := p.insist(request{method: "POST", path: strings.TrimPrefix(l.link, publicURL)}, url.Values{"choice": {"undo"}}, "Origin", publicURL)
	switch got.status {
	case http.StatusOK:
		p.model.removeAcknowledged(l.credential)
	case http.StatusNotFound:
		if good && p.model.lives(l.credential) && p.now.Sub(l.at) < account.LastPasskeyUndoFor-slack {
			p.fail("%s was told that there is no credential %d to be taken back, and there is", p.name, l.credential)
		}
	}
}
