// Package browser is the method of recognised browsers: somebody who proved an address on
// a device of their own, and said that it is one, comes back without a message.
//
// # What is kept
//
// The browser keeps a key pair for one project and one site, whose private half no script
// can read, in the storage of our own origin. Here a hash of the public half is kept, with
// the address that was proved and the session of that proof. When the browser comes back,
// its next session takes that place. Whatever ends the session ends the recognition: the
// engine sees to that, as it does for every credential with a session.
//
// # What it is worth
//
// It proves that this browser is the one in which the person proved an address, no more
// and nothing new: tokens go on saying how and when that was. It confirms nothing
// (splitpin.Confirm), and adds nothing but what the engine names in Start. What is signed
// names all that a thief of a signature would want to change: see [Signed].
package browser

import (
	"cmp"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"math/big"
	"time"

	"github.com/splitpin/splitpin"
	"github.com/splitpin/splitpin/signin"
)

// Name is what attempts call this method.
const Name = "browser"

// MaxDays is for how many days a browser is recognised after the proof, at most and where
// the project says nothing (contract 5.1).
const MaxDays = 30

const (
	// lifetime of an attempt: a page that waits for a tap starts it after that.
	lifetime = 5 * time.Minute
	tries    = 3
	// most is how many browsers may be remembered for one person.
	most = 20
)

// ErrMany refuses to remember one browser too many.
var ErrMany = &splitpin.Error{Kind: splitpin.Conflict, Code: "too_many_browsers",
	Message: "This account is remembered in 20 browsers, which is the most. Please remove one that you no longer use first."}

// Days is for how long a project recognises a browser; negative: it does not.
func Days(s splitpin.Settings) int {
	if s.RecogniseDays == 0 {
		return MaxDays
	}
	return min(s.RecogniseDays, MaxDays)
}

const day = 24 * time.Hour

// Method is the method "browser".
type Method struct {
	// PublicURL is where the pages of this server stand.
	PublicURL string
}

var (
	_ signin.Fetcher = Method{}
	_ signin.Knower  = Method{}
)

func (Method) Name() string                   { return Name }
func (Method) Knows() splitpin.CredentialKind { return splitpin.BrowserCredential }

// AuthMethod is empty: tokens name the method by which the person proved the address.
func (Method) AuthMethod() string { return "" }

// asked is what an attempt keeps.
type asked struct {
	Site       string `json:"site"`
	Identifier string `json:"identifier"`      // of the person
	Quiet      bool   `json:"quiet,omitempty"` // nobody need hear of a new one
}

// kept is what a credential keeps besides its site.
type kept struct {
	Identifier string `json:"identifier"` // that was proved
}

// Begin takes attempts to sign in, for an identifier, and to be remembered.
func (m Method) Begin(_ context.Context, req signin.BeginRequest) (signin.Begun, error) {
	a := asked{Site: m.site(req.Origin), Identifier: req.Identifier}
	switch req.Purpose {
	case splitpin.SignIn:
		if a.Identifier == "" {
			return signin.Begun{}, signin.ErrNoIdentifier
		}
	case splitpin.Enrol:
		if len(req.Credentials) >= most {
			return signin.Begun{}, ErrMany
		}
		a.Identifier, a.Quiet = req.User.Identifier, req.ByMessage
	default:
		return signin.Begun{}, signin.ErrPurpose
	}
	data, err := json.Marshal(a)
	return signin.Begun{Data: data, Lifetime: lifetime, Tries: tries}, err
}

// site is the origin of the page that asks; an empty one is a page of this server.
func (m Method) site(origin string) string {
	if origin == "" {
		origin = m.PublicURL
	}
	canonical, _ := splitpin.ParseOrigin(origin)
	return canonical
}

// Describe is empty: what is to be signed the page knows itself.
func (Method) Describe(*splitpin.Attempt) signin.Form { return signin.Form{} }

// answer is what a page sends. Bytes are base64url without padding.
type answer struct {
	PublicKey string `json:"public_key"` // SubjectPublicKeyInfo of a P-256 key
	Challenge string `json:"challenge"`  // signin.Challenge of the attempt
	Signature string `json:"signature"`  // ECDSA over the SHA-256 of Signed: r and s, 32 bytes each
}

// Signed is what a browser signs to answer an attempt. Each text is preceded by its length
// in bytes, in four: no two attempts, and no two readings of one, give the same.
//
// The page makes it of what it knows itself, and never of what it was told about the
// attempt: so a signature is good for the purpose, project, site, person, destination and
// collector that this page stands for, or for nothing.
func Signed(project *splitpin.Project, a *splitpin.Attempt, challenge string) []byte {
	var was asked
	if json.Unmarshal(a.Data, &was) != nil {
		return nil
	}
	pkce := ""
	if a.Challenge != ([32]byte{}) {
		pkce = base64.RawURLEncoding.EncodeToString(a.Challenge[:])
	}
	var b []byte
	for _, text := range []string{"splitpin recognised browser 1", string(a.Purpose), project.ID, was.Site, was.Identifier, a.Destination, pkce, challenge} {
		b = binary.BigEndian.AppendUint32(b, uint32(len(text)))
		b = append(b, text...)
	}
	return b
}

// Fetch checks the signature. It asks nobody.
func (Method) Fetch(_ context.Context, req signin.FetchRequest) (signin.Fetched, bool, error) {
	var given answer
	if json.Unmarshal(req.Answer, &given) != nil || !signin.Challenged(req.Attempt, given.Challenge) {
		return signin.Fetched{}, true, nil
	}
	key, canonical := parseKey(given.PublicKey)
	signature, err := base64.RawURLEncoding.Strict().DecodeString(given.Signature)
	if key == nil || err != nil || len(signature) != 64 {
		return signin.Fetched{}, true, nil
	}
	hash := sha256.Sum256(Signed(req.Project, req.Attempt, given.Challenge))
	r, s := new(big.Int).SetBytes(signature[:32]), new(big.Int).SetBytes(signature[32:])
	if !ecdsa.Verify(key, hash[:], r, s) {
		return signin.Fetched{}, true, nil
	}
	// The setting counts as it is now, for browsers that were remembered before, too.
	return signin.Fetched{Kind: splitpin.BrowserCredential, Key: sha256.Sum256(canonical), Value: day * time.Duration(Days(req.Project.Settings))}, false, nil
}

func parseKey(text string) (key *ecdsa.PublicKey, canonical []byte) {
	b, err := base64.RawURLEncoding.Strict().DecodeString(text)
	if err != nil || len(b) > 256 {
		return nil, nil
	}
	parsed, err := x509.ParsePKIXPublicKey(b)
	if err != nil {
		return nil, nil
	}
	key, ok := parsed.(*ecdsa.PublicKey)
	if !ok || key.Curve != elliptic.P256() {
		return nil, nil
	}
	canonical, err = x509.MarshalPKIXPublicKey(key)
	if err != nil {
		return nil, nil
	}
	return key, canonical
}

// Check holds the browser that signed against the one that is known.
func (Method) Check(c signin.Check) (signin.Proof, bool) {
	var was asked
	lasts, ok := c.Fetched.Value.(time.Duration)
	if !ok || lasts < 0 || json.Unmarshal(c.Attempt.Data, &was) != nil || was.Identifier == "" {
		return signin.Proof{}, false
	}
	has := c.Credential
	if c.Attempt.Purpose == splitpin.Enrol {
		// That in which the person asked, or that which the proof opens.
		session := cmp.Or(c.Attempt.Session, c.Attempt.Parent)
		if has != nil || session == 0 {
			return signin.Proof{}, false
		}
		data, err := json.Marshal(kept{Identifier: was.Identifier})
		if err != nil {
			return signin.Proof{}, false
		}
		return signin.Proof{Quiet: was.Quiet, Credential: &splitpin.Credential{
			Kind: splitpin.BrowserCredential, Key: c.Fetched.Key, Data: data, Site: was.Site, Label: c.Attempt.Device,
			Session: session, ExpiresAt: c.Now.Add(lasts),
		}}, true
	}
	var k kept
	if has == nil || has.Site != was.Site || json.Unmarshal(has.Data, &k) != nil || k.Identifier != was.Identifier {
		return signin.Proof{}, false
	}
	if !has.Live(c.Now) || !c.Now.Before(has.CreatedAt.Add(lasts)) {
		return signin.Proof{}, false
	}
	return signin.Proof{Credential: has}, true
}

// Thumbprint is how a browser is called where its key is asked for: 32 bytes, in base64.
func Thumbprint(c *splitpin.Credential) string { return base64.StdEncoding.EncodeToString(c.Key[:]) }
