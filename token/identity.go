package token

import (
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"slices"
	"strconv"
	"time"

	"github.com/splitpin/splitpin"
)

// IdentityLife is how long a signed identity is valid for those who check its
// signature and expire_at.
const IdentityLife = 30 * 24 * time.Hour

// An IdentityToken is Cotter's older proof of an identifier (contract 4.5): an
// object with an Ed25519 signature. Its fields are written in this order; all of
// them are strings. The signature covers Identifier, IdentifierType, Receiver and
// ExpireAt, and neither of the other two.
type IdentityToken struct {
	IdentifierID   string `json:"identifier_id"`   // a UUID, always the same for one user
	Identifier     string `json:"identifier"`      //
	IdentifierType string `json:"identifier_type"` // EMAIL, PHONE or OTHER
	Receiver       string `json:"receiver"`        // the project's ID
	Timestamp      string `json:"timestamp"`       // Unix seconds: when it was proved
	ExpireAt       string `json:"expire_at"`       // Unix seconds: Timestamp and 30 days
	Signature      string `json:"signature"`       // standard base64 of 64 bytes
}

// message is what the signature is over: no separators, as old verifiers expect.
func (t *IdentityToken) message() []byte {
	return []byte(t.Identifier + t.IdentifierType + t.Receiver + t.ExpireAt)
}

// Identity signs that u proved its identifier at provedAt. It refuses with
// ErrUnproved for an address that was never proved.
func (s *Service) Identity(p *splitpin.Project, u *splitpin.User, provedAt time.Time) (IdentityToken, error) {
	if err := nameable(u); err != nil {
		return IdentityToken{}, err
	}
	key, err := s.identityKey(p)
	if err != nil {
		return IdentityToken{}, err
	}
	t := IdentityToken{
		IdentifierID: IdentifierID(u), Identifier: u.Identifier, IdentifierType: u.Kind.String(), Receiver: p.ID,
		Timestamp: strconv.FormatInt(provedAt.Unix(), 10),
		ExpireAt:  strconv.FormatInt(provedAt.Add(IdentityLife).Unix(), 10),
	}
	t.Signature = base64.StdEncoding.EncodeToString(ed25519.Sign(key.private, t.message()))
	return t, nil
}

// VerifyIdentity checks an identity token of ours: signature, receiver, that it
// has not expired, and that the unsigned timestamp fits the signed expire_at. It
// returns when the identifier was proved. It does not check that the token is
// fresh or used once; who exchanges one for tokens must (security 23).
func (s *Service) VerifyIdentity(p *splitpin.Project, t IdentityToken, now time.Time) (provedAt time.Time, err error) {
	provedAt, err = s.verifyIdentity(p, t, now)
	if err != nil {
		return time.Time{}, ErrInvalid.Because(err)
	}
	return provedAt, nil
}

func (s *Service) verifyIdentity(p *splitpin.Project, t IdentityToken, now time.Time) (time.Time, error) {
	var none time.Time
	keys := s.snapshot.Load().projects[p.Number]
	if keys == nil {
		return none, errors.New("the project has no keys")
	}
	signature, err := base64.StdEncoding.Strict().DecodeString(t.Signature)
	if err != nil || len(signature) != ed25519.SignatureSize {
		return none, errors.New("the signature is malformed")
	}
	right := false
	for _, k := range keys.identity {
		right = right || ed25519.Verify(k.record.Public, t.message(), signature)
	}
	if !right {
		return none, errors.New("the signature is wrong")
	}
	if t.Receiver != p.ID {
		return none, errors.New("it is for another receiver")
	}
	// The parts that are signed have no borders between them. These names are equally long,
	// so none of an identifier can be taken for a part of its type.
	if !slices.ContainsFunc([]splitpin.IdentifierKind{splitpin.Email, splitpin.Phone, splitpin.OtherName}, func(k splitpin.IdentifierKind) bool { return k.String() == t.IdentifierType }) {
		return none, errors.New("its type is none of ours")
	}
	at, err := seconds(t.Timestamp)
	if err != nil {
		return none, err
	}
	until, err := seconds(t.ExpireAt)
	if err != nil {
		return none, err
	}
	switch {
	case !until.Equal(at.Add(IdentityLife)):
		return none, errors.New("its timestamp was altered")
	case !now.Before(until):
		return none, errors.New("it has expired")
	case at.After(now.Add(leeway)):
		return none, errors.New("it is from the future")
	}
	return at, nil
}

// seconds reads Unix seconds in the one form in which they are written.
func seconds(text string) (time.Time, error) {
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil || n < 0 || n > 1<<40 || strconv.FormatInt(n, 10) != text {
		return time.Time{}, errors.New("its times are malformed")
	}
	return time.Unix(n, 0).UTC(), nil
}

// IdentityKey returns the document of the project's Ed25519 keys and its strong
// ETag: public_key, in the standard base64 that replaces the constant inside
// cotter-token-js, and keys, the same as a JSON Web Key Set. The caller must not
// alter body.
func (s *Service) IdentityKey(p *splitpin.Project) (body []byte, etag string, err error) {
	if _, err := s.identityKey(p); err != nil {
		return nil, "", err
	}
	set := s.snapshot.Load().projects[p.Number].identityKeySet
	return set.body, set.etag, nil
}

func (s *Service) identityKey(p *splitpin.Project) (*identityKey, error) {
	keys, err := s.keys(p)
	if err != nil {
		return nil, err
	}
	if len(keys.identity) == 0 || stateOf(keys.identity[0].record) != Active {
		return nil, splitpin.ErrUnavailable.Because(errors.New("project " + p.ID + " has no identity key here (yet)"))
	}
	return keys.identity[0], nil
}

// IdentifierID derives Cotter's id of an identifier from the user's: stable, and
// not the same as the user's, which it was not there either.
func IdentifierID(u *splitpin.User) string {
	sum := sha256.Sum256(append([]byte("splitpin identifier_id\x00"), u.ID[:]...))
	return splitpin.UUIDFrom([16]byte(sum[:16])).String()
}
