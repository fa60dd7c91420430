// Package passkey is the method of passkeys: a key pair that a person's device keeps for
// one site, and uses after it has recognised the person. A passkey proves who somebody is
// without a message, and nobody can be talked into giving it to another site.
//
// # Sites
//
// A passkey belongs to a site, which WebAuthn calls the RP id: the exact host of the page
// that asked, one that the project lists, or of this server for its own pages. A project
// may name one site for all its pages (Settings.PasskeySite); browsers then ask that
// site's /.well-known/webauthn whether the page may.
//
// # What is kept
//
// No state of a ceremony is kept: the challenge is made of the attempt (signin.Challenge).
// An attempt keeps what was asked; a credential keeps the public key, the counter and
// whether a copy is kept elsewhere.
//
// # What is not here
//
// Attestation, which would tell the make of an authenticator, is not asked for and not
// looked at.
package passkey

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/splitpin/splitpin"
	"github.com/splitpin/splitpin/signin"
)

// Name is what attempts call this method.
const Name = "passkey"

const (
	// lifetime of an attempt. A page that waits for somebody to choose a passkey from
	// the field of the address asks again after this time.
	lifetime = 10 * time.Minute
	tries    = 5
	// timeout is what browsers are told. They take their own where it is longer.
	timeout = 5 * time.Minute
	// most is how many passkeys one person may have.
	most = 20
)

var (
	// ErrHost refuses pages for which there can be no passkeys.
	ErrHost = &splitpin.Error{Kind: splitpin.Invalid, Code: "passkey_site", Field: "origin",
		Message: "Passkeys need a site with a name and HTTPS. On your own machine, use localhost instead of an IP address."}
	// ErrRegistered refuses to make a second passkey of the same authenticator. Old
	// clients look for its words (contract 8.5).
	ErrRegistered = &splitpin.Error{Kind: splitpin.Conflict, Code: "passkey_registered",
		Message: "User credentials already registered: this device has a passkey for this account already. Please use that one to sign in."}
	// ErrMany refuses one passkey too many.
	ErrMany = &splitpin.Error{Kind: splitpin.Conflict, Code: "too_many_passkeys",
		Message: "This account has 20 passkeys, which is the most. Please remove one that you no longer use first."}
)

// CounterWentBack is the warning about a passkey whose counter was not above the last
// one: somebody may have copied it. Nobody is locked out for that (security 27).
const CounterWentBack = "counter_went_back"

// Method is the method "passkey".
type Method struct {
	// PublicURL is where the pages of this server stand.
	PublicURL string
}

var (
	_ signin.Fetcher = Method{}
	_ signin.Teller  = Method{}
	_ signin.Sharer  = Method{}
)

func (Method) Name() string                   { return Name }
func (Method) AuthMethod() string             { return "WEBAUTHN" }
func (Method) Knows() splitpin.CredentialKind { return splitpin.PasskeyCredential }

// asked is what an attempt keeps: the site, the page's origin, and what its browser is
// to be asked.
type asked struct {
	Site    string  `json:"site"`
	Origin  string  `json:"origin"`
	Options options `json:"options"`
}

// kept is what a credential keeps besides its site.
type kept struct {
	ID         bytes64  `json:"id"`
	Handle     bytes64  `json:"handle"` // the person, as the authenticator was told
	Key        []byte   `json:"key"`    // SubjectPublicKeyInfo
	Counter    uint32   `json:"counter,omitempty"`
	Eligible   bool     `json:"eligible,omitempty"` // a copy may be kept elsewhere
	BackedUp   bool     `json:"backed_up,omitempty"`
	WentBack   bool     `json:"went_back,omitempty"` // the counter did, once
	Transports []string `json:"transports,omitempty"`
}

// Site returns the RP id for a page of a project. An empty origin is a page of this
// server. Its error is ErrHost.
func (m Method) Site(p *splitpin.Project, origin string) (string, error) {
	if p.Settings.PasskeySite != "" {
		return p.Settings.PasskeySite, nil
	}
	return host(m.page(origin))
}

// page is the origin that a browser will name.
func (m Method) page(origin string) string {
	if origin == "" {
		origin = m.PublicURL
	}
	canonical, _ := splitpin.ParseOrigin(origin)
	return canonical
}

func host(origin string) (string, error) {
	u, err := url.Parse(origin)
	if err != nil {
		return "", ErrHost.Because(err)
	}
	name := u.Hostname()
	local := name == "localhost" || strings.HasSuffix(name, ".localhost")
	_, notIP := netip.ParseAddr(name)
	if name == "" || notIP == nil || u.Scheme != "https" && !(u.Scheme == "http" && local) {
		return "", ErrHost
	}
	return name, nil
}

// Begin asks for a new passkey where the purpose is Enrol, and for one that there is
// elsewhere: any of the site where nobody is named, or else those of the person. Whoever
// names somebody without being signed in gets as many ids for everybody: see among.
func (m Method) Begin(_ context.Context, req signin.BeginRequest) (signin.Begun, error) {
	site, err := m.Site(req.Project, req.Origin)
	if err != nil {
		return signin.Begun{}, err
	}
	a := asked{Site: site, Origin: m.page(req.Origin), Options: options{Timeout: int(timeout.Milliseconds())}}
	var has []descriptor
	for _, c := range req.Credentials {
		var k kept
		if c.Site == site && json.Unmarshal(c.Data, &k) == nil {
			has = append(has, descriptor{Type: "public-key", ID: k.ID, Transports: k.Transports})
		}
	}
	o := &a.Options
	if req.Purpose == splitpin.Enrol {
		if len(req.Credentials) >= most {
			return signin.Begun{}, ErrMany
		}
		id := req.User.ID
		o.RP = &entity{ID: site, Name: req.Project.Name()}
		o.User = &entity{ID: text(id[:]), Name: req.User.Identifier, DisplayName: req.User.Identifier}
		o.PubKeyCredParams = []parameter{{"public-key", es256}, {"public-key", rs256}}
		o.ExcludeCredentials = has
		o.Selection = &selection{ResidentKey: "required", RequireResidentKey: true, UserVerification: "required"}
		o.Attestation = "none"
	} else {
		switch {
		case req.User != nil && len(has) == 0:
			has, err = among(nil, 1, site, req.Derive)
		case req.User == nil && req.Identifier != "":
			has, err = among(has, most, site, req.Derive)
		}
		if err != nil {
			return signin.Begun{}, err
		}
		o.RPID, o.UserVerification, o.AllowCredentials = site, "required", has
	}
	data, err := json.Marshal(a)
	return signin.Begun{Data: data, Lifetime: lifetime, Tries: tries}, err
}

func text(b []byte) string {
	t, _ := bytes64(b).MarshalText() // cannot fail
	return string(t)
}

// among hides passkeys among others that do not exist, up to size of them, so that the list
// tells neither how many there are nor whether there are any: there is one size for everybody,
// all are reached alike, and they stand in an order that says nothing. Browsers pass over those
// they do not know. Those that do not exist stay the same for a person and a site; a new passkey
// takes the place of one of them.
func among(has []descriptor, size int, site string, derive signin.Derive) ([]descriptor, error) {
	list := make([]descriptor, 0, max(len(has), size))
	for _, d := range has {
		list = append(list, descriptor{Type: d.Type, ID: d.ID, Transports: anyhow})
	}
	for i := len(has); i < size; i++ {
		id, err := derive("passkey " + strconv.Itoa(i) + " of nobody at " + site)
		if err != nil {
			return nil, err
		}
		length := []int{16, 20, 32, 32}[id[31]&3] // as of those that are common
		list = append(list, descriptor{Type: "public-key", ID: id[:length], Transports: anyhow})
	}
	slices.SortFunc(list, func(a, b descriptor) int { return bytes.Compare(a.ID, b.ID) })
	return list, nil
}

// anyhow are all ways on which browsers reach authenticators.
var anyhow = []string{"internal", "hybrid", "usb", "nfc", "ble", "smart-card"}

// Describe returns the options for the browser.
func (Method) Describe(a *splitpin.Attempt) signin.Form {
	var was asked
	if json.Unmarshal(a.Data, &was) != nil || was.Site == "" {
		return signin.Form{}
	}
	b, _ := json.Marshal(was.Options) // was read from JSON
	return signin.Form{Passkey: string(b)}
}

// Key is how a passkey is found: its id at its site.
func Key(site string, id []byte) [32]byte {
	return sha256.Sum256(append([]byte(site+"\x00"), id...))
}

// Fetch reads which passkey was shown or made. It asks nobody.
func (Method) Fetch(_ context.Context, req signin.FetchRequest) (signin.Fetched, bool, error) {
	var was asked
	answer, err := parse(req.Answer)
	if err != nil || json.Unmarshal(req.Attempt.Data, &was) != nil || was.Site == "" {
		return signin.Fetched{}, true, nil
	}
	return signin.Fetched{Kind: splitpin.PasskeyCredential, Key: Key(was.Site, answer.RawID), Value: answer}, false, nil
}

// Check follows WebAuthn Level 3, sections 7.1 and 7.2.
func (Method) Check(c signin.Check) (signin.Proof, bool) {
	var was asked
	answer, ok := c.Fetched.Value.(*credential)
	if !ok || json.Unmarshal(c.Attempt.Data, &was) != nil || was.Site == "" {
		return signin.Proof{}, false
	}
	enrols := c.Attempt.Purpose == splitpin.Enrol
	if !was.said(c.Attempt, answer, enrols) {
		return signin.Proof{}, false
	}
	if enrols {
		return was.made(c, answer)
	}
	return was.shown(c, answer)
}

// said holds what the browser says it was asked against what it was asked. Members that
// are not known may be there (section 5.8.1).
func (was asked) said(a *splitpin.Attempt, answer *credential, enrols bool) bool {
	var d clientData
	if json.Unmarshal(answer.Response.ClientDataJSON, &d) != nil {
		return false
	}
	ceremony := "webauthn.get"
	if enrols {
		ceremony = "webauthn.create"
	}
	return d.Type == ceremony && d.Origin == was.Origin && !d.CrossOrigin && signin.Challenged(a, d.Challenge)
}

// made is a new passkey. Nothing is signed by anybody we know; that it belongs to the
// person follows from who could ask for it.
func (was asked) made(c signin.Check, answer *credential) (signin.Proof, bool) {
	a, err := parseAttestation(answer.Response.AttestationObject)
	if err != nil || !a.of(was.Site) || !a.has(userPresent|userVerified) || string(a.ID) != string(answer.RawID) || was.Options.User == nil {
		return signin.Proof{}, false
	}
	var handle bytes64
	if handle.UnmarshalText([]byte(was.Options.User.ID)) != nil {
		return signin.Proof{}, false
	}
	if c.Credential != nil {
		return signin.Proof{Refused: ErrRegistered}, true
	}
	has := 0 // more than when it began, where several began at once
	for _, other := range c.Credentials {
		if other.Kind == splitpin.PasskeyCredential && other.Live(c.Now) {
			has++
		}
	}
	if has >= most {
		return signin.Proof{Refused: ErrMany}, true
	}
	data, err := json.Marshal(kept{
		ID: a.ID, Handle: handle, Key: a.Key, Counter: a.Counter,
		Eligible: a.has(backupEligible), BackedUp: a.has(backupEligible | backedUp), Transports: transports(answer.Response.Transports),
	})
	if err != nil {
		return signin.Proof{}, false
	}
	return signin.Proof{Credential: &splitpin.Credential{
		Kind: splitpin.PasskeyCredential, Key: c.Fetched.Key, Data: data, Site: was.Site, Label: c.Attempt.Device,
	}}, true
}

// transports keeps what browsers may be told again: short words, few of them.
func transports(given []string) []string {
	return slices.DeleteFunc(slices.Clone(anyhow), func(t string) bool { return !slices.Contains(given, t) })
}

// shown is a passkey that there is already.
func (was asked) shown(c signin.Check, answer *credential) (signin.Proof, bool) {
	has := c.Credential
	if has == nil || has.Site != was.Site || !has.Live(c.Now) {
		return signin.Proof{}, false
	}
	var k kept
	if json.Unmarshal(has.Data, &k) != nil {
		return signin.Proof{}, false
	}
	if allowed := was.Options.AllowCredentials; len(allowed) > 0 &&
		!slices.ContainsFunc(allowed, func(d descriptor) bool { return string(d.ID) == string(k.ID) }) {
		return signin.Proof{}, false // somebody else's
	}
	if handle := answer.Response.UserHandle; len(handle) > 0 && string(handle) != string(k.Handle) {
		return signin.Proof{}, false
	}
	a, err := parseAuthenticator(answer.Response.AuthenticatorData)
	if err != nil || !a.of(was.Site) || !a.has(userPresent|userVerified) || !verify(k.Key, answer) {
		return signin.Proof{}, false
	}
	proof := signin.Proof{Credential: has}
	// Whether a copy may be kept was fixed when it was made, says the specification.
	// Some providers changed their mind about it; who would be locked out has done
	// nothing wrong, and nobody gains by it.
	k.Eligible, k.BackedUp = a.has(backupEligible), a.has(backupEligible|backedUp)
	if (a.Counter != 0 || k.Counter != 0) && a.Counter <= k.Counter {
		proof.Warning, k.WentBack = CounterWentBack, true
	} else {
		k.Counter = a.Counter
	}
	data, err := json.Marshal(k)
	if err != nil {
		return signin.Proof{}, false
	}
	has.Data = data
	return proof, true
}

// KnownAs is the id that the authenticator gave a passkey.
func (Method) KnownAs(c *splitpin.Credential) string {
	var k kept
	if json.Unmarshal(c.Data, &k) != nil {
		return ""
	}
	return text(k.ID)
}

// Facts tells what people should know of a passkey: "synced" where a copy is kept
// elsewhere, "single_device" where it is lost with its device, and CounterWentBack.
func (Method) Facts(c *splitpin.Credential) []string {
	var k kept
	if json.Unmarshal(c.Data, &k) != nil {
		return nil
	}
	facts := []string{"single_device"}
	if k.BackedUp {
		facts[0] = "synced"
	}
	if k.WentBack {
		facts = append(facts, CounterWentBack)
	}
	return facts
}
