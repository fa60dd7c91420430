package passkey

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/subtle"
	"crypto/x509"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"math/big"

	"github.com/fxamacker/cbor/v2"
)

// What travels between browser and server: WebAuthn Level 3, sections 5.1, 5.8.1, 6.1
// and 6.5. Everything here is a stranger's.

// bytes64 is base64url as browsers write it; padding is taken too.
type bytes64 []byte

func (b bytes64) MarshalText() ([]byte, error) {
	return []byte(base64.RawURLEncoding.EncodeToString(b)), nil
}

func (b *bytes64) UnmarshalText(text []byte) error {
	for len(text) > 0 && text[len(text)-1] == '=' {
		text = text[:len(text)-1]
	}
	decoded, err := base64.RawURLEncoding.DecodeString(string(text))
	*b = decoded
	return err
}

// An entity is who asks for a passkey, or for whom.
type entity struct {
	ID          string `json:"id"`
	Name        string `json:"name"`
	DisplayName string `json:"displayName,omitempty"`
}

type parameter struct {
	Type string `json:"type"`
	Alg  int    `json:"alg"`
}

type descriptor struct {
	Type       string   `json:"type"`
	ID         bytes64  `json:"id"`
	Transports []string `json:"transports,omitempty"`
}

type selection struct {
	ResidentKey        string `json:"residentKey"`
	RequireResidentKey bool   `json:"requireResidentKey"`
	UserVerification   string `json:"userVerification"`
}

// options are for navigator.credentials.create, where RP is set, and else for get. The
// challenge is missing: it is made of a secret that is stored nowhere.
type options struct {
	RP                 *entity      `json:"rp,omitempty"`
	User               *entity      `json:"user,omitempty"`
	PubKeyCredParams   []parameter  `json:"pubKeyCredParams,omitempty"`
	ExcludeCredentials []descriptor `json:"excludeCredentials,omitempty"`
	Selection          *selection   `json:"authenticatorSelection,omitempty"`
	Attestation        string       `json:"attestation,omitempty"`

	RPID             string       `json:"rpId,omitempty"`
	AllowCredentials []descriptor `json:"allowCredentials,omitempty"`
	UserVerification string       `json:"userVerification,omitempty"`

	Timeout int `json:"timeout"` // in milliseconds
}

// A credential is what the browser gives back: PublicKeyCredential as JSON. Members that
// are not here are another client's and not looked at.
type credential struct {
	RawID    bytes64 `json:"rawId"`
	Type     string  `json:"type"`
	Response struct {
		ClientDataJSON    bytes64  `json:"clientDataJSON"`
		AttestationObject bytes64  `json:"attestationObject"`
		Transports        []string `json:"transports"`

		AuthenticatorData bytes64 `json:"authenticatorData"`
		Signature         bytes64 `json:"signature"`
		UserHandle        bytes64 `json:"userHandle"`
	} `json:"response"`
}

// maxID is the longest id of a credential (section 4, Credential ID).
const maxID = 1023

func parse(answer json.RawMessage) (*credential, error) {
	var c credential
	if err := json.Unmarshal(answer, &c); err != nil {
		return nil, err
	}
	if c.Type != "public-key" || len(c.RawID) == 0 || len(c.RawID) > maxID {
		return nil, errors.New("not a public key credential")
	}
	return &c, nil
}

// clientData is what the browser says it was asked, and by whom.
type clientData struct {
	Type        string `json:"type"`
	Challenge   string `json:"challenge"`
	Origin      string `json:"origin"`
	CrossOrigin bool   `json:"crossOrigin"`
}

// About returns the challenge that an answer is about, and the origin of the page that
// asked. They may be an invention of whoever answers; Check compares.
func About(answer json.RawMessage) (challenge, origin string, ok bool) {
	c, err := parse(answer)
	if err != nil {
		return "", "", false
	}
	var d clientData
	if json.Unmarshal(c.Response.ClientDataJSON, &d) != nil {
		return "", "", false
	}
	return d.Challenge, d.Origin, true
}

// authenticator is what the authenticator says (section 6.1).
type authenticator struct {
	SiteHash [32]byte
	Flags    byte
	Counter  uint32

	// Of a new credential.
	ID  []byte
	Key []byte // SubjectPublicKeyInfo
}

const (
	userPresent    = 0x01
	userVerified   = 0x04
	backupEligible = 0x08
	backedUp       = 0x10
	attested       = 0x40
	extended       = 0x80
)

// cborMode takes what CTAP2 writes and nothing that only an attacker would.
var cborMode = func() cbor.DecMode {
	mode, err := cbor.DecOptions{
		DupMapKey: cbor.DupMapKeyEnforcedAPF, IndefLength: cbor.IndefLengthForbidden, TagsMd: cbor.TagsForbidden,
		MaxNestedLevels: 8, MaxArrayElements: 64, MaxMapPairs: 64,
	}.DecMode()
	if err != nil {
		panic("passkey: " + err.Error()) // the options are wrong
	}
	return mode
}()

func parseAuthenticator(b []byte) (*authenticator, error) {
	if len(b) < 37 {
		return nil, errors.New("the authenticator data is too short")
	}
	a := &authenticator{SiteHash: [32]byte(b[:32]), Flags: b[32], Counter: binary.BigEndian.Uint32(b[33:37])}
	rest := b[37:]
	if a.Flags&attested != 0 {
		if len(rest) < 18 {
			return nil, errors.New("the attested data is too short")
		}
		n := int(binary.BigEndian.Uint16(rest[16:18])) // after the AAGUID
		rest = rest[18:]
		if n == 0 || n > maxID || len(rest) < n {
			return nil, errors.New("the credential id has no such length")
		}
		a.ID, rest = rest[:n], rest[n:]
		var cose coseKey
		var err error
		if rest, err = cborMode.UnmarshalFirst(rest, &cose); err != nil {
			return nil, fmt.Errorf("reading the public key: %w", err)
		}
		if a.Key, err = cose.marshal(); err != nil {
			return nil, err
		}
	}
	if a.Flags&extended != 0 {
		var outputs map[string]cbor.RawMessage
		var err error
		if rest, err = cborMode.UnmarshalFirst(rest, &outputs); err != nil {
			return nil, fmt.Errorf("reading the extensions: %w", err)
		}
	}
	if len(rest) > 0 {
		return nil, errors.New("the authenticator data is too long")
	}
	return a, nil
}

// parseAttestation reads what comes with a new credential. Whose make the authenticator
// is was not asked, so what it says about that is not looked at (section 7.1, step 22,
// leaves that to the relying party).
func parseAttestation(b []byte) (*authenticator, error) {
	var object struct {
		AuthData []byte `cbor:"authData"`
	}
	if err := cborMode.Unmarshal(b, &object); err != nil {
		return nil, fmt.Errorf("reading the attestation: %w", err)
	}
	a, err := parseAuthenticator(object.AuthData)
	if err == nil && a.Flags&attested == 0 {
		err = errors.New("there is no new credential in it")
	}
	return a, err
}

// Algorithms that are asked for, the better one first (RFC 9053; RFC 8812).
const (
	es256 = -7
	rs256 = -257
)

// A coseKey is a public key of those kinds (RFC 9052, section 7; RFC 8230).
type coseKey struct {
	Type  int             `cbor:"1,keyasint"`
	Alg   int             `cbor:"3,keyasint"`
	Curve cbor.RawMessage `cbor:"-1,keyasint"` // of an RSA key: the modulus
	X     cbor.RawMessage `cbor:"-2,keyasint"` // of an RSA key: the exponent
	Y     []byte          `cbor:"-3,keyasint"`
}

func (k coseKey) marshal() ([]byte, error) {
	switch {
	case k.Type == 2 && k.Alg == es256:
		var curve int
		var x []byte
		if cborMode.Unmarshal(k.Curve, &curve) != nil || cborMode.Unmarshal(k.X, &x) != nil || curve != 1 || len(x) != 32 || len(k.Y) != 32 {
			return nil, errors.New("not a key on P-256")
		}
		point := append(append([]byte{4}, x...), k.Y...)
		public, err := ecdsa.ParseUncompressedPublicKey(elliptic.P256(), point) // refuses what is not on the curve
		if err != nil {
			return nil, fmt.Errorf("reading a key on P-256: %w", err)
		}
		return x509.MarshalPKIXPublicKey(public)
	case k.Type == 3 && k.Alg == rs256:
		var n, e []byte
		if cborMode.Unmarshal(k.Curve, &n) != nil || cborMode.Unmarshal(k.X, &e) != nil || len(e) == 0 || len(e) > 4 {
			return nil, errors.New("not an RSA key")
		}
		modulus, exponent := new(big.Int).SetBytes(n), int(new(big.Int).SetBytes(e).Int64())
		if bits := modulus.BitLen(); bits < 2048 || bits > 4096 || exponent < 3 || exponent&1 == 0 {
			return nil, errors.New("an RSA key of an unfit size")
		}
		return x509.MarshalPKIXPublicKey(&rsa.PublicKey{N: modulus, E: exponent})
	}
	return nil, errors.New("a key of a kind that was not asked for")
}

// verify reports whether the key signed what the authenticator and the browser say.
func verify(key []byte, c *credential) bool {
	public, err := x509.ParsePKIXPublicKey(key)
	if err != nil {
		return false
	}
	client := sha256.Sum256(c.Response.ClientDataJSON)
	signed := sha256.New()
	signed.Write(c.Response.AuthenticatorData)
	signed.Write(client[:])
	digest := signed.Sum(nil)
	switch public := public.(type) {
	case *ecdsa.PublicKey:
		return ecdsa.VerifyASN1(public, digest, c.Response.Signature)
	case *rsa.PublicKey:
		return rsa.VerifyPKCS1v15(public, crypto.SHA256, digest, c.Response.Signature) == nil
	}
	return false
}

// of reports whether an authenticator speaks of that site.
func (a *authenticator) of(site string) bool {
	hash := sha256.Sum256([]byte(site))
	return subtle.ConstantTimeCompare(hash[:], a.SiteHash[:]) == 1
}

func (a *authenticator) has(flags byte) bool { return a.Flags&flags == flags }
