package token

import (
	"crypto/cipher"
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/splitpin/splitpin"
)

// Lives of access and id tokens.
const (
	// DefaultLifetime is that of projects that set none.
	DefaultLifetime = time.Hour
	// MaxLifetime bounds what a project can set. A key that retires stays
	// published for so long, whatever the settings were when its tokens were made.
	MaxLifetime = 24 * time.Hour
	// ShortLifetime is that of tokens made while a new key is announced, so that
	// few tokens of the old key are about when the new one takes over.
	ShortLifetime = 10 * time.Minute
)

// A Set is what an app gets from a sign-in or a refresh.
type Set struct {
	AccessToken  splitpin.Secret
	IDToken      splitpin.Secret
	RefreshToken splitpin.Secret
	ExpiresIn    int // seconds
	AuthMethod   string
}

// ErrUnproved is returned instead of a token that would name an address which
// nobody proved in this project (security 1).
var ErrUnproved = &splitpin.Error{Kind: splitpin.Forbidden, Code: "address_unproved",
	Message: "This address has not been verified here yet. Please verify it first."}

// Mint signs the access and id token of a session and derives its current
// refresh token. Call it after the commit that opened or moved the session.
//
// It refuses with ErrUnproved to name an address that was not proved, and with
// splitpin.ErrUnavailable while this node has no key of the project.
func (s *Service) Mint(p *splitpin.Project, u *splitpin.User, session *splitpin.Session) (Set, error) {
	keys, err := s.keys(p)
	if err != nil {
		return Set{}, err
	}
	if u.Project != p.Number || session.Project != p.Number || session.User != u.Number {
		return Set{}, fmt.Errorf("signing tokens: project %d, user %d and session %d do not belong together", p.Number, u.Number, session.Number)
	}
	if err := nameable(u); err != nil {
		return Set{}, err
	}
	refresh, err := s.RefreshToken(session)
	if err != nil {
		return Set{}, err
	}
	lifetime := keys.lifetime(p)
	c := s.claimsOf(p, u, session)
	c.custom = Custom(session.Claims)
	c.issuedAt = s.clock().Unix()
	c.expiresAt = c.issuedAt + int64(lifetime/time.Second)

	access, err := keys.active.sign(func(b []byte) []byte { return c.appendAccess(b, newJTI(keys.active.jti, session.Number)) })
	if err != nil {
		return Set{}, err
	}
	id, err := keys.active.sign(func(b []byte) []byte { return c.appendID(b, newJTI(keys.active.jti, session.Number)) })
	if err != nil {
		return Set{}, err
	}
	return Set{
		AccessToken: access, IDToken: id, RefreshToken: refresh,
		ExpiresIn: int(lifetime / time.Second), AuthMethod: session.AuthMethod,
	}, nil
}

// Reissue signs a token once more, with other custom claims: an access token anew as
// an access token, an id token as an id token. It says what is true of user and
// session today; its times stay those of the token that was shown. Its errors are
// those of Mint.
func (s *Service) Reissue(p *splitpin.Project, u *splitpin.User, session *splitpin.Session, shown *Issued, custom Custom) (splitpin.Secret, error) {
	keys, err := s.keys(p)
	if err != nil {
		return "", err
	}
	if u.Project != p.Number || session.Project != p.Number || session.User != u.Number || session.Number != shown.Session {
		return "", fmt.Errorf("signing a token anew: project %d, user %d and session %d do not belong together", p.Number, u.Number, session.Number)
	}
	if err := nameable(u); err != nil {
		return "", err
	}
	c := s.claimsOf(p, u, session)
	c.custom, c.issuedAt, c.expiresAt = custom, shown.issuedAt, shown.expiresAt
	write := c.appendAccess
	if shown.kind == idType {
		write = c.appendID
	}
	return keys.active.sign(func(b []byte) []byte { return write(b, newJTI(keys.active.jti, session.Number)) })
}

// claimsOf is what the tokens of a session say, but for their times and the custom
// claims.
func (s *Service) claimsOf(p *splitpin.Project, u *splitpin.User, session *splitpin.Session) claims {
	return claims{
		subject: u.ID.String(), clientUserID: u.LegacyID(), identifier: u.Identifier,
		audience: p.ID, issuer: s.Issuer(p), method: session.AuthMethod, authAt: session.AuthAt.Unix(),
	}
}

// lifetime returns how long tokens live that are made now: whole seconds.
func (k *projectKeys) lifetime(p *splitpin.Project) time.Duration {
	lifetime := settingOf(p)
	if k.short {
		lifetime = min(lifetime, ShortLifetime)
	}
	return lifetime
}

// settingOf returns the project's lifetime of tokens, in bounds.
func settingOf(p *splitpin.Project) time.Duration {
	lifetime := p.Settings.AccessLifetime
	if lifetime <= 0 {
		lifetime = DefaultLifetime
	}
	return max(min(lifetime, MaxLifetime), time.Second).Truncate(time.Second)
}

// nameable refuses a user whose identifier is an address that was never proved.
// It does not rest on Kind alone: a name that looks like an address would be
// taken for one by whoever reads the token.
func nameable(u *splitpin.User) error {
	address := u.Kind != splitpin.OtherName || strings.ContainsRune(u.Identifier, '@') || strings.HasPrefix(u.Identifier, "+")
	if address && u.ProvedAt.IsZero() {
		return ErrUnproved.Because(fmt.Errorf("user %s: %s was never proved", u.ID, u.Kind))
	}
	return nil
}

// claims are what both tokens are made of. The order in which they are written
// is fixed.
type claims struct {
	subject, clientUserID, identifier string
	audience, issuer, method          string
	issuedAt, expiresAt, authAt       int64 // Unix seconds
	custom                            Custom
}

func (c *claims) appendAccess(b []byte, jti splitpin.UUID) []byte {
	b = append(b, '{')
	b = appendClaim(b, "sub", c.subject)
	b = appendClaim(b, "client_user_id", c.clientUserID)
	b = appendClaim(b, "authentication_method", c.method)
	b = appendClaim(b, "identifier", c.identifier)
	b = appendClaim(b, "type", accessType)
	b = appendClaim(b, "scope", accessScope)
	return c.appendRegistered(b, jti)
}

func (c *claims) appendID(b []byte, jti splitpin.UUID) []byte {
	b = append(b, '{')
	b = appendClaim(b, "sub", c.subject)
	b = appendClaim(b, "client_user_id", c.clientUserID)
	b = appendClaim(b, "identifier", c.identifier)
	// A string, because Flutter assigns it to one (contract 4.4).
	b = appendClaim(b, "auth_time", strconv.FormatInt(c.authAt, 10))
	b = appendClaim(b, "type", idType)
	return c.appendRegistered(b, jti)
}

func (c *claims) appendRegistered(b []byte, jti splitpin.UUID) []byte {
	b = appendClaim(b, "aud", c.audience)
	b = appendClaim(b, "iss", c.issuer)
	b = strconv.AppendInt(appendName(b, "iat"), c.issuedAt, 10)
	b = strconv.AppendInt(appendName(b, "exp"), c.expiresAt, 10)
	b = appendClaim(b, "jti", jti.String())
	b = appendCustom(b, c.custom)
	return append(b, '}')
}

const (
	accessType  = "client_access_token"
	idType      = "client_id_token"
	accessScope = "access"
)

// sign returns the JWS over the payload that write appends.
func (k *tokenKey) sign(write func([]byte) []byte) (splitpin.Secret, error) {
	payload := write(make([]byte, 0, 512))
	text := make([]byte, 0, len(k.header)+base64.RawURLEncoding.EncodedLen(len(payload))+88)
	text = append(text, k.header...)
	text = append(text, '.')
	text = base64.RawURLEncoding.AppendEncode(text, payload)
	hash := sha256.Sum256(text)
	r, s, err := ecdsa.Sign(rand.Reader, k.private, hash[:])
	if err != nil {
		return "", fmt.Errorf("signing a token: %w", err)
	}
	var signature [64]byte
	r.FillBytes(signature[:32])
	s.FillBytes(signature[32:])
	text = append(text, '.')
	text = base64.RawURLEncoding.AppendEncode(text, signature[:])
	return splitpin.Secret(text), nil
}

// newJTI returns a fresh jti that tells this server, and nobody else, the number
// of the session: see docs/decisions/0003-session-in-jti.md. Of the 122 free bits
// of the UUID, 58 are random; one AES block made of them hides the other 64.
func newJTI(block cipher.Block, session int64) splitpin.UUID {
	u := splitpin.NewUUID()
	var number [8]byte
	binary.BigEndian.PutUint64(number[:], uint64(session))
	u[7] = number[0]
	copy(u[9:], number[1:])
	maskJTI(block, &u)
	return u
}

// sessionOf returns the session number in a jti that newJTI made under the same
// key. Of any other UUID it makes a number that means nothing.
func sessionOf(block cipher.Block, jti splitpin.UUID) int64 {
	maskJTI(block, &jti)
	number := [8]byte{0: jti[7]}
	copy(number[1:], jti[9:])
	return int64(binary.BigEndian.Uint64(number[:]))
}

// maskJTI turns the hidden bits of a jti into plain ones and back.
func maskJTI(block cipher.Block, u *splitpin.UUID) {
	var seed, pad [16]byte
	copy(seed[:], u[:7])
	seed[8] = u[8]
	block.Encrypt(pad[:], seed[:])
	u[7] ^= pad[0]
	for i := range 7 {
		u[9+i] ^= pad[1+i]
	}
}
