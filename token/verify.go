package token

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"math/big"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/splitpin/splitpin"
)

// Claims are what an access token says, once all of it was checked.
type Claims struct {
	Subject      splitpin.UUID
	ClientUserID string
	Identifier   string
	Method       string // authentication_method
	Audience     string // the project's ID
	Issuer       string
	IssuedAt     time.Time
	ExpiresAt    time.Time
	ID           splitpin.UUID // jti

	// Session is the number of the session that the token is from. Whether that
	// session is still live is not checked here.
	Session int64
	KID     string // of the key that signed it
}

// ErrInvalid is returned for an access token that is not valid here and now, for
// whatever reason. The reason is its cause, for the operator's log; it quotes
// nothing of the token.
var ErrInvalid = &splitpin.Error{Kind: splitpin.Unauthenticated, Code: "unauthenticated",
	Message: "This access token is not valid, or no longer. Please refresh it or sign in again."}

const (
	maxToken = 8 << 10
	// leeway allows for nodes whose clocks differ. It is short, because both ends
	// of a token are set by nodes of one installation.
	leeway = 10 * time.Second
)

// Verify checks an access token of project p: that one of the project's own live
// keys signed it as ES256, and its type, scope, audience, issuer and times.
//
// The signature is checked before anything else of the token is read, and the
// header is not parsed at all: every key of ours writes one header, byte for
// byte, so the header is looked up as a whole. That leaves no choice of algorithm
// or key to whoever made the token. A token that names CompatKID is refused,
// since no key of ours ever wrote one.
func (s *Service) Verify(p *splitpin.Project, accessToken string) (*Claims, error) {
	c, err := s.verify(p, accessToken)
	if err != nil {
		return nil, ErrInvalid.Because(err)
	}
	return c, nil
}

func (s *Service) verify(p *splitpin.Project, text string) (*Claims, error) {
	if len(text) > maxToken {
		return nil, fmt.Errorf("the token is %d bytes long", len(text))
	}
	snapshot := s.snapshot.Load()
	hash := sha256.Sum256(append(make([]byte, 0, 1<<10), text...)) // with room on the stack for what we make
	seen := &snapshot.seen[binary.LittleEndian.Uint64(hash[:])%uint64(len(snapshot.seen))]
	if e := seen.find(hash); e != nil && e.project == p.Number {
		c := e.claims
		return &c, s.admit(p, &c)
	}
	c, err := authenticate(snapshot, p, text)
	if err != nil {
		return nil, err
	}
	if err := s.admit(p, c); err != nil {
		return nil, err
	}
	seen.add(&seenToken{hash: hash, project: p.Number, claims: *c})
	return c, nil
}

// A seenToken is an access token that was verified before, with the keys of the
// snapshot that holds it: what does not change until those keys do.
type seenToken struct {
	hash    [32]byte // of the whole text, signature included
	project int64
	claims  Claims
}

// A seenSet holds those tokens seen before that share a remainder of their hash: a
// few, so that two in use do not drive each other out. There is no lock to wait for
// and nothing to sweep.
type seenSet [4]atomic.Pointer[seenToken]

const seenSets = 2048 // about 3 MB when all are full

func (s *seenSet) find(hash [32]byte) *seenToken {
	for i := range s {
		if e := s[i].Load(); e != nil && e.hash == hash {
			return e
		}
	}
	return nil
}

// add puts a token in a free place, or in that of the one that expires first. Where
// two are added at once, one may be lost: it is verified again.
func (s *seenSet) add(t *seenToken) {
	first := &s[0]
	var expires time.Time
	for i := range s {
		e := s[i].Load()
		if e == nil || e.hash == t.hash { // another request was as quick
			first = &s[i]
			break
		}
		if expires.IsZero() || e.claims.ExpiresAt.Before(expires) {
			first, expires = &s[i], e.claims.ExpiresAt
		}
	}
	first.Store(t)
}

// authenticate checks who made the token and that it is an access token.
func authenticate(snapshot *snapshot, p *splitpin.Project, text string) (*Claims, error) {
	k, raw, err := payloadOf(snapshot, p, text)
	if err != nil {
		return nil, err
	}
	c, kind, scope, err := parseAccess(raw)
	switch {
	case err != nil:
		return nil, err
	case kind != accessType:
		return nil, errors.New("it is no access token")
	case scope != accessScope:
		return nil, errors.New("its scope is not access")
	case c.Subject.IsZero():
		return nil, errors.New("it names no subject")
	}
	c.Session, c.KID = sessionOf(k.jti, c.ID), k.record.KID
	return c, nil
}

// payloadOf checks who made a token, and returns what was signed and by which key.
func payloadOf(snapshot *snapshot, p *splitpin.Project, text string) (*tokenKey, []byte, error) {
	header, rest, ok := strings.Cut(text, ".")
	if !ok {
		return nil, nil, errors.New("it is no token")
	}
	payload, signature, ok := strings.Cut(rest, ".")
	if !ok {
		return nil, nil, errors.New("it is no token")
	}
	k := snapshot.headers[header]
	if k == nil {
		return nil, nil, errors.New("its header is not one of ours, or its key is gone")
	}
	if k.record.Project != p.Number {
		return nil, nil, errors.New("it was signed for another project")
	}
	if !verifySignature(&k.private.PublicKey, text[:len(header)+1+len(payload)], signature) {
		return nil, nil, errors.New("its signature is wrong")
	}
	raw, err := base64.RawURLEncoding.Strict().DecodeString(payload)
	if err != nil {
		return nil, nil, errors.New("its payload is not base64url")
	}
	return k, raw, nil
}

// An Issued is an access or id token that was shown and is a good one of ours:
// enough to sign it once more with Reissue.
type Issued struct {
	Subject splitpin.UUID
	Session int64  // its number; whether it still lives is not checked here
	Custom  Custom // the claims that a backend had added

	kind                string
	issuedAt, expiresAt int64 // Unix seconds
}

// Inspect checks an access or id token of project p as Verify does. Its error is
// ErrInvalid.
func (s *Service) Inspect(p *splitpin.Project, text splitpin.Secret) (*Issued, error) {
	i, err := s.inspect(p, text.Reveal())
	if err != nil {
		return nil, ErrInvalid.Because(err)
	}
	return i, nil
}

func (s *Service) inspect(p *splitpin.Project, text string) (*Issued, error) {
	if len(text) > maxToken {
		return nil, fmt.Errorf("the token is %d bytes long", len(text))
	}
	k, raw, err := payloadOf(s.snapshot.Load(), p, text)
	if err != nil {
		return nil, err
	}
	// The key signs these two kinds of payload and no other, so this one was written
	// here: every claim of ours is there, once.
	var c struct {
		Type      string `json:"type"`
		Subject   string `json:"sub"`
		Audience  string `json:"aud"`
		Issuer    string `json:"iss"`
		ID        string `json:"jti"`
		IssuedAt  int64  `json:"iat"`
		ExpiresAt int64  `json:"exp"`
	}
	if err := json.Unmarshal(raw, &c); err != nil {
		return nil, fmt.Errorf("reading its payload: %w", err)
	}
	if c.Type != accessType && c.Type != idType {
		return nil, errors.New("it is neither an access token nor an id token")
	}
	i := &Issued{kind: c.Type, issuedAt: c.IssuedAt, expiresAt: c.ExpiresAt}
	if i.Custom, err = customOf(raw); err != nil {
		return nil, fmt.Errorf("reading its payload: %w", err)
	}
	if i.Subject, err = splitpin.ParseUUID(c.Subject); err != nil || i.Subject.IsZero() {
		return nil, errors.New("it names no subject")
	}
	id, err := splitpin.ParseUUID(c.ID)
	if err != nil {
		return nil, errors.New("its jti is no UUID")
	}
	i.Session = sessionOf(k.jti, id)
	return i, s.admit(p, &Claims{Audience: c.Audience, Issuer: c.Issuer,
		IssuedAt: time.Unix(c.IssuedAt, 0), ExpiresAt: time.Unix(c.ExpiresAt, 0)})
}

// admit checks what depends on the moment and on the project's settings.
func (s *Service) admit(p *splitpin.Project, c *Claims) error {
	now := s.clock()
	switch {
	case c.Audience != p.ID:
		return errors.New("it is for another audience")
	case c.Issuer != s.Issuer(p):
		return errors.New("it is by another issuer")
	case !now.Before(c.ExpiresAt):
		return errors.New("it has expired")
	case c.IssuedAt.After(now.Add(leeway)):
		return errors.New("it is from the future")
	}
	return nil
}

// ProjectOf tells which project's key an access token names, by Project.Number.
// It checks nothing: use it to find the project to call Verify with, where a
// request names none.
func (s *Service) ProjectOf(accessToken string) (number int64, ok bool) {
	if len(accessToken) > maxToken {
		return 0, false
	}
	header, _, _ := strings.Cut(accessToken, ".")
	k := s.snapshot.Load().headers[header]
	if k == nil {
		return 0, false
	}
	return k.record.Project, true
}

// verifySignature checks an ES256 signature: r and s of 32 bytes each.
func verifySignature(public *ecdsa.PublicKey, signed, signature string) bool {
	var raw [64]byte
	if len(signature) != 86 {
		return false
	}
	if n, err := base64.RawURLEncoding.Strict().Decode(raw[:], []byte(signature)); err != nil || n != 64 {
		return false
	}
	hash := sha256.Sum256([]byte(signed))
	return ecdsa.Verify(public, hash[:], new(big.Int).SetBytes(raw[:32]), new(big.Int).SetBytes(raw[32:]))
}

// parseAccess reads the claims of an access token. Names count to the letter, one
// that occurs twice is refused, and so is a value of the wrong type; claims that
// are not ours are skipped.
func parseAccess(payload []byte) (c *Claims, kind, scope string, err error) {
	malformed := func(what string) (*Claims, string, string, error) {
		return nil, "", "", fmt.Errorf("its payload is malformed: %s", what)
	}
	d := json.NewDecoder(bytes.NewReader(payload))
	d.UseNumber()
	if t, err := d.Token(); err != nil || t != json.Delim('{') {
		return malformed("no object")
	}
	c = new(Claims)
	var subject, jti string
	var issuedAt, expiresAt int64
	texts := map[string]*string{
		"sub": &subject, "client_user_id": &c.ClientUserID, "authentication_method": &c.Method,
		"identifier": &c.Identifier, "type": &kind, "scope": &scope,
		"aud": &c.Audience, "iss": &c.Issuer, "jti": &jti,
	}
	numbers := map[string]*int64{"iat": &issuedAt, "exp": &expiresAt}
	seen := make(map[string]bool, 16)
	for d.More() {
		t, err := d.Token()
		name, ok := t.(string)
		if err != nil || !ok {
			return malformed("no name")
		}
		if seen[name] {
			return malformed("a claim occurs twice")
		}
		seen[name] = true
		var value any
		if err := d.Decode(&value); err != nil {
			return malformed("no value")
		}
		if into, ok := texts[name]; ok {
			if *into, ok = value.(string); !ok {
				return malformed(name + " is no string")
			}
		}
		if into, ok := numbers[name]; ok {
			n, _ := value.(json.Number)
			if *into, err = strconv.ParseInt(n.String(), 10, 64); err != nil || *into < 0 || *into > 1<<40 {
				return malformed(name + " is no whole number of seconds")
			}
		}
	}
	if t, err := d.Token(); err != nil || t != json.Delim('}') {
		return malformed("no end")
	}
	if len(bytes.TrimSpace(payload[d.InputOffset():])) > 0 {
		return malformed("something follows it")
	}
	for name := range texts {
		if !seen[name] {
			return malformed(name + " is missing")
		}
	}
	for name := range numbers {
		if !seen[name] {
			return malformed(name + " is missing")
		}
	}
	if c.Subject, err = splitpin.ParseUUID(subject); err != nil {
		return malformed("sub is no UUID")
	}
	if c.ID, err = splitpin.ParseUUID(jti); err != nil {
		return malformed("jti is no UUID")
	}
	c.IssuedAt, c.ExpiresAt = time.Unix(issuedAt, 0).UTC(), time.Unix(expiresAt, 0).UTC()
	return c, kind, scope, nil
}
