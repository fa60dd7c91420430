package client

import (
	"cmp"
	"context"
	"crypto/ecdsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"
)

// MaxToken is the size in bytes of the largest token that is looked at.
const MaxToken = 8 << 10

// Config says whose tokens a [Verifier] accepts. ServerURL and ProjectID are
// required; the zero value of everything else is useful.
type Config struct {
	// ServerURL is the public URL of the sign-in server, as in its own
	// configuration: "https://auth.example.com". It must be https, except on this
	// machine (localhost, 127.0.0.1, [::1]).
	ServerURL string

	// ProjectID is the project's key id (API_KEY_ID). It is the audience of every
	// token, and part of the address of the keys.
	ProjectID string

	// Issuer is compared with the token's iss, to the letter. Empty means
	// ServerURL without a slash at its end, which is the issuer of the server's
	// default project. Other projects have ServerURL + "/p/" + ProjectID, and a
	// project that moved here from Cotter may have kept "https://www.cotter.app":
	// `splitpin project show` prints it.
	//
	// It is one value and not a list, because users are keyed on it: a backend that
	// took two would give people two accounts on the day the issuer changes, where
	// this one says in its log what to set.
	Issuer string

	// KeysURL is where the keys are, if not at ServerURL + "/p/" + ProjectID +
	// "/v1/keys": for a backend that reaches the server by another name than
	// browsers do. The same rule about https holds.
	KeysURL string

	// Remembered is the number of verified tokens that are kept, so that the next
	// request with one of them costs a hash instead of a signature check. Zero means
	// 4096 (about 6 MB when full), less than zero none.
	Remembered int

	// Transport does the requests for keys, if http.DefaultTransport should not.
	Transport http.RoundTripper

	// Log hears of key fetches that failed and of refused logins, without tokens
	// and addresses. Nil means slog.Default.
	Log *slog.Logger

	// Now is the clock. Nil means time.Now.
	Now func() time.Time
}

// A Verifier checks access tokens of one project. It works offline: the keys are
// fetched at the first token and renewed in the background. It is safe for
// concurrent use and needs no closing. Make one with [New] and share it.
type Verifier struct {
	project string
	issuer  string
	keys    *keySource
	seen    memory
	now     func() time.Time
	log     *slog.Logger
}

// New checks the configuration. It does not talk to the server, so that a
// backend starts in any order.
func New(c Config) (*Verifier, error) {
	if c.ServerURL == "" || c.ProjectID == "" {
		return nil, errors.New("client: ServerURL and ProjectID are required; `splitpin project show` prints both")
	}
	if strings.ContainsFunc(c.ProjectID, func(r rune) bool { return r <= ' ' || r >= 0x7f || r == '/' }) {
		return nil, fmt.Errorf("client: ProjectID %q is not the key id of a project", shown(c.ProjectID))
	}
	server := strings.TrimRight(c.ServerURL, "/")
	if err := checkURL("ServerURL", server); err != nil {
		return nil, err
	}
	keysURL := cmp.Or(c.KeysURL, server+"/p/"+url.PathEscape(c.ProjectID)+"/v1/keys")
	if err := checkURL("KeysURL", keysURL); err != nil {
		return nil, err
	}
	v := &Verifier{
		project: c.ProjectID,
		issuer:  cmp.Or(c.Issuer, server),
		now:     c.Now,
		log:     c.Log,
	}
	if v.now == nil {
		v.now = time.Now
	}
	if v.log == nil {
		v.log = slog.Default()
	}
	v.seen.most = cmp.Or(c.Remembered, 4096)
	v.keys = &keySource{
		url: keysURL,
		http: &http.Client{
			Transport:     c.Transport,
			Timeout:       fetchTimeout,
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
		now: v.now,
		log: v.log,
	}
	return v, nil
}

// checkURL refuses addresses at which keys must not be fetched: whoever can
// change them on the way can sign tokens for anyone.
func checkURL(field, text string) error {
	u, err := url.Parse(text)
	switch {
	case err != nil || u.Host == "" || u.User != nil || u.Fragment != "":
		return fmt.Errorf("client: %s %q is not the URL of a server", field, shown(text))
	case u.Scheme == "https", u.Scheme == "http" && loopback(u.Hostname()):
		return nil
	}
	return fmt.Errorf("client: %s %q must begin with https:// (http:// only for localhost)", field, shown(text))
}

// loopback tells whether a host name is this machine.
func loopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// A Token is what a verified access token says.
type Token struct {
	// Subject is the person: the id that never changes and is never given to
	// anybody else. Users are keyed on (Issuer, Project, Subject), see [Key].
	Subject string
	Issuer  string
	Project string

	// Identifier is what the person signed in with. If it is an email address or a
	// phone number, this person proved it in this project, at the latest when the
	// token was issued. Keep it to show and to write to; never find a user by it:
	// people change addresses, and addresses change people.
	Identifier string

	Method    string // how the person signed in: "OTP", "MAGIC_LINK", "WEBAUTHN" …
	ID        string // of the token (jti)
	IssuedAt  time.Time
	ExpiresAt time.Time

	claims []byte
}

// Key returns what the app's user rows are keyed on.
func (t *Token) Key() Key {
	return Key{Issuer: t.Issuer, Project: t.Project, Subject: t.Subject}
}

// Claims decodes all claims of the token, custom ones included, like
// json.Unmarshal.
func (t *Token) Claims(into any) error { return json.Unmarshal(t.claims, into) }

// LogValue keeps addresses out of logs.
func (t *Token) LogValue() slog.Value {
	return slog.GroupValue(slog.String("subject", t.Subject), slog.String("project", t.Project), slog.String("jti", t.ID))
}

// String keeps addresses out of logs.
func (t *Token) String() string { return "token " + t.ID + " of " + t.Subject }

// Verify checks an access token and returns what it says.
//
// It checks that the token is at most [MaxToken] bytes of strict base64url and
// JSON; that its header names ES256, JWT and a key which the server publishes for
// this project; the signature; that it is an access token (type, scope), of this
// issuer, for this project and nobody else; and that it is neither expired nor
// from the future, with a minute for the difference of clocks.
//
// It does not ask the server whether the session was ended since: an access token
// lives for an hour at most, and until then a signed-out person's token passes.
//
// An error either is [ErrInvalidToken] or, when the keys cannot be had,
// [ErrKeysUnavailable].
func (v *Verifier) Verify(ctx context.Context, token string) (*Token, error) {
	if token == "" {
		return nil, fmt.Errorf("%w: it is empty", ErrMalformed)
	}
	if len(token) > MaxToken {
		return nil, ErrTooLarge
	}
	now := v.now()
	sum := sha256.Sum256([]byte(token))
	if was, ok := v.seen.get(sum); ok {
		// A token outlives neither its time nor its key.
		set, err := v.keys.current(ctx)
		if err != nil {
			return nil, err
		}
		if set.keys[was.kid] == was.key {
			if err := inTime(&was.token, was.notBefore, now); err != nil {
				return nil, err
			}
			t := was.token
			return &t, nil
		}
	}

	parts, err := split(token)
	if err != nil {
		return nil, err
	}
	kid, err := parseHeader(parts.header)
	if err != nil {
		return nil, err
	}
	key, err := v.keys.key(ctx, kid)
	if err != nil {
		return nil, err
	}
	if !parts.signedBy(key) {
		return nil, fmt.Errorf("%w: it was changed on the way, or signed by somebody else", ErrSignature)
	}
	t, notBefore, err := v.parseClaims(parts.claims)
	if err != nil {
		return nil, err
	}
	if err := inTime(t, notBefore, now); err != nil {
		return nil, err
	}
	v.seen.put(sum, &sighting{token: *t, notBefore: notBefore, kid: kid, key: key}, now)
	return t, nil
}

// The parts of a JWS in compact form, decoded.
type parts struct {
	signed    string // what the signature covers: header and claims as they were sent
	header    []byte
	claims    []byte
	signature []byte
}

func split(token string) (parts, error) {
	header, rest, ok1 := strings.Cut(token, ".")
	claims, signature, ok2 := strings.Cut(rest, ".")
	if !ok1 || !ok2 || strings.Contains(signature, ".") {
		return parts{}, fmt.Errorf("%w: it does not have three parts", ErrMalformed)
	}
	p := parts{signed: token[:len(header)+1+len(claims)]}
	for _, part := range []struct {
		from string
		to   *[]byte
	}{{header, &p.header}, {claims, &p.claims}, {signature, &p.signature}} {
		bytes, err := unbase64(part.from)
		if err != nil {
			return parts{}, fmt.Errorf("%w: %w", ErrMalformed, err)
		}
		*part.to = bytes
	}
	return p, nil
}

// signedBy checks the signature: r and s, 32 bytes each.
func (p *parts) signedBy(key *ecdsa.PublicKey) bool {
	if len(p.signature) != 64 {
		return false
	}
	sum := sha256.Sum256([]byte(p.signed))
	r := new(big.Int).SetBytes(p.signature[:32])
	s := new(big.Int).SetBytes(p.signature[32:])
	return ecdsa.Verify(key, sum[:], r, s)
}

// parseHeader returns the kid of a header that we accept. Members that would let
// the token bring or point to its own key (jwk, jku, x5c, x5u) are never read.
func parseHeader(raw []byte) (kid string, err error) {
	header, err := members(raw)
	if err != nil {
		return "", fmt.Errorf("%w: its header: %w", ErrMalformed, err)
	}
	if alg, _ := findText(header, "alg"); alg != "ES256" {
		return "", fmt.Errorf("%w but with %q", ErrAlgorithm, shown(alg))
	}
	if typ, _ := findText(header, "typ"); !strings.EqualFold(typ, "JWT") {
		return "", fmt.Errorf("%w: its header says typ %q, not JWT", ErrWrongType, shown(typ))
	}
	if _, ok := find(header, "crit"); ok {
		return "", fmt.Errorf("%w: it demands an extension (crit), and none is known", ErrMalformed)
	}
	kid, _ = findText(header, "kid")
	if kid == "" {
		return "", fmt.Errorf("%w: its header has no kid", ErrMalformed)
	}
	return kid, nil
}

// parseClaims reads the claims of a token whose signature is good and checks
// that it is meant for us. Its times are checked apart, because that has to
// happen again each time it is seen.
func (v *Verifier) parseClaims(raw []byte) (t *Token, notBefore time.Time, err error) {
	claims, err := members(raw)
	if err != nil {
		return nil, notBefore, fmt.Errorf("%w: its claims: %w", ErrMalformed, err)
	}
	if kind, _ := findText(claims, "type"); kind != "client_access_token" {
		return nil, notBefore, fmt.Errorf("%w: its type is %q; send oauth_token.access_token, not the id token", ErrWrongType, shown(kind))
	}
	if scope, _ := findText(claims, "scope"); scope != "access" {
		return nil, notBefore, fmt.Errorf("%w: its scope is %q, not access", ErrWrongType, shown(scope))
	}
	if aud, ok := findText(claims, "aud"); !ok || aud != v.project {
		return nil, notBefore, fmt.Errorf("%w: it is for %q, this backend's Config.ProjectID is %q", ErrWrongAudience, shown(aud), v.project)
	}
	if iss, _ := findText(claims, "iss"); iss != v.issuer {
		return nil, notBefore, fmt.Errorf("%w: it is from %q, this backend expects %q; if the first one is right, set Config.Issuer to it",
			ErrWrongIssuer, shown(iss), v.issuer)
	}
	t = &Token{Issuer: v.issuer, Project: v.project, claims: raw}
	if t.Subject, _ = findText(claims, "sub"); t.Subject == "" {
		return nil, notBefore, fmt.Errorf("%w: it names no subject", ErrMalformed)
	}
	iat, _, ok1 := findSeconds(claims, "iat")
	exp, _, ok2 := findSeconds(claims, "exp")
	nbf, present, ok3 := findSeconds(claims, "nbf")
	if !ok1 || !ok2 || present && !ok3 {
		return nil, notBefore, fmt.Errorf("%w: iat or exp is missing, or a time is not a whole number of seconds", ErrMalformed)
	}
	t.IssuedAt, t.ExpiresAt = time.Unix(iat, 0).UTC(), time.Unix(exp, 0).UTC()
	notBefore = t.IssuedAt
	if present {
		notBefore = time.Unix(max(iat, nbf), 0).UTC()
	}
	t.Identifier, _ = findText(claims, "identifier")
	t.Method, _ = findText(claims, "authentication_method")
	t.ID, _ = findText(claims, "jti")
	return t, notBefore, nil
}

// inTime checks the times of a token against now.
func inTime(t *Token, notBefore, now time.Time) error {
	if !now.Before(t.ExpiresAt.Add(leeway)) {
		return fmt.Errorf("%w: at %s, and it is %s; fetch a new one with the refresh token, or sign in again",
			ErrExpired, t.ExpiresAt.Format(time.RFC3339), now.UTC().Format(time.RFC3339))
	}
	if now.Add(leeway).Before(notBefore) {
		return fmt.Errorf("%w: only from %s on, and it is %s here; is this machine's clock late?",
			ErrNotYetValid, notBefore.Format(time.RFC3339), now.UTC().Format(time.RFC3339))
	}
	return nil
}

// unbase64 decodes base64url without padding, and only its one canonical form.
// The standard decoder, even a strict one, skips line ends.
func unbase64(text string) ([]byte, error) {
	if strings.ContainsAny(text, "\r\n") {
		return nil, errors.New("a line end inside base64url")
	}
	return strictBase64.DecodeString(text)
}

var strictBase64 = base64.RawURLEncoding.Strict()

// memory keeps the tokens that were verified, by the hash of their text, so that
// the memory of a backend holds none that could be replayed. It only ever holds
// good ones: made-up tokens cannot push them out.
type memory struct {
	most int

	mu      sync.RWMutex
	entries map[[sha256.Size]byte]*sighting
}

// A sighting is one verified token and the key that proved it.
type sighting struct {
	token     Token
	notBefore time.Time
	kid       string
	key       *ecdsa.PublicKey
}

func (m *memory) get(sum [sha256.Size]byte) (*sighting, bool) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	was, ok := m.entries[sum]
	return was, ok
}

// put keeps a sighting. When the memory is full, expired tokens go, and if there
// are none an arbitrary eighth: they only have to be checked once more.
func (m *memory) put(sum [sha256.Size]byte, was *sighting, now time.Time) {
	if m.most < 0 {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.entries == nil {
		m.entries = make(map[[sha256.Size]byte]*sighting)
	}
	if len(m.entries) >= m.most {
		for sum, old := range m.entries {
			if !now.Before(old.token.ExpiresAt.Add(leeway)) {
				delete(m.entries, sum)
			}
		}
		spare := m.most - max(m.most/8, 1)
		for sum := range m.entries {
			if len(m.entries) <= spare {
				break
			}
			delete(m.entries, sum)
		}
	}
	m.entries[sum] = was
}
