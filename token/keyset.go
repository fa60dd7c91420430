package token

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"time"

	"github.com/splitpin/splitpin"
)

// CompatKID is the kid under which old Cotter clients look for the signing key,
// whatever the header of a token says. The key set shows the signing key under
// it a second time; no token names it.
const CompatKID = "SPACE_JWT_PUBLIC:8028AAA3-EC2D-4BAA-BE7A-7C8359CCB9F9"

// KeySetMaxAge is how long verifiers may keep a key set. The server sends it as
// Cache-Control, and the rotation machine counts on it.
const KeySetMaxAge = 300 * time.Second

// published is a document that is the same for everybody until keys change.
type published struct {
	body []byte
	etag string
}

func publish(document any) (published, error) {
	body, err := json.Marshal(document)
	if err != nil {
		return published{}, fmt.Errorf("writing a key set: %w", err)
	}
	sum := sha256.Sum256(body)
	return published{body: body, etag: `"` + base64.RawURLEncoding.EncodeToString(sum[:12]) + `"`}, nil
}

// KeySet returns the JSON Web Key Set of a project, and its strong ETag. The
// signing key stands first, under its thumbprint, and once more under CompatKID;
// announced and retiring keys follow. All keys are P-256, because old clients
// fail at any other. The caller must not alter body.
func (s *Service) KeySet(p *splitpin.Project) (body []byte, etag string, err error) {
	keys, err := s.keys(p)
	if err != nil {
		return nil, "", err
	}
	return keys.keySet.body, keys.keySet.etag, nil
}

// jwk is a public key. The order of its fields is that of the examples in the
// contract.
type jwk struct {
	KeyType   string `json:"kty"`
	Curve     string `json:"crv"`
	X         string `json:"x"`
	Y         string `json:"y,omitempty"`
	KID       string `json:"kid"`
	Use       string `json:"use"`
	Algorithm string `json:"alg"`
}

func jwkOf(k *splitpin.SigningKey) jwk {
	text := base64.RawURLEncoding.EncodeToString
	if k.Use == splitpin.IdentityKey {
		return jwk{KeyType: "OKP", Curve: "Ed25519", X: text(k.Public), KID: k.KID, Use: "sig", Algorithm: "EdDSA"}
	}
	return jwk{KeyType: "EC", Curve: "P-256", X: text(k.Public[1:33]), Y: text(k.Public[33:65]), KID: k.KID, Use: "sig", Algorithm: "ES256"}
}

// publishTokenKeys writes the key set of keys, which come in order: the active
// one first.
func publishTokenKeys(keys []*tokenKey) (published, error) {
	set := struct {
		Keys []jwk `json:"keys"`
	}{Keys: []jwk{}}
	for _, k := range keys {
		key := jwkOf(k.record)
		set.Keys = append(set.Keys, key)
		if stateOf(k.record) == Active {
			key.KID = CompatKID
			set.Keys = append(set.Keys, key)
		}
	}
	return publish(set)
}

// publishIdentityKeys writes the document of the Ed25519 keys. It is a key set
// whose public_key is the first key once more, in the form in which
// cotter-token-js holds its constant.
func publishIdentityKeys(keys []*identityKey) (published, error) {
	set := struct {
		PublicKey string `json:"public_key"`
		Keys      []jwk  `json:"keys"`
	}{Keys: []jwk{}}
	for _, k := range keys {
		set.Keys = append(set.Keys, jwkOf(k.record))
	}
	if len(keys) > 0 {
		set.PublicKey = base64.StdEncoding.EncodeToString(keys[0].record.Public)
	}
	return publish(set)
}

// thumbprint is the SHA-256 thumbprint of RFC 7638 and RFC 8037: the hash of the
// required members alone, in the order of their names.
func thumbprint(use splitpin.KeyUse, public []byte) string {
	text := base64.RawURLEncoding.EncodeToString
	var canonical string
	if use == splitpin.IdentityKey {
		canonical = fmt.Sprintf(`{"crv":"Ed25519","kty":"OKP","x":"%s"}`, text(public))
	} else {
		canonical = fmt.Sprintf(`{"crv":"P-256","kty":"EC","x":"%s","y":"%s"}`, text(public[1:33]), text(public[33:65]))
	}
	sum := sha256.Sum256([]byte(canonical))
	return text(sum[:])
}
