package doctor

import (
	"crypto/rand"
	"crypto/subtle"
	"encoding/base64"
	"encoding/binary"
	"time"

	"github.com/splitpin/splitpin"
	"github.com/splitpin/splitpin/keyring"
)

// A pass opens the address at which a server says how it saw a request. It is
// derived from a data key, so only who holds both the database and the master key
// can make one, and the server needs to store none:
//
//	expiry (8 bytes) ‖ nonce (16) ‖ HMAC(data key "doctor", server's URL ‖ expiry ‖ nonce)
//
// It lives two minutes. Whoever catches one on its way, which ends at a proxy of
// the operator, can learn within that time how their own requests are seen, and
// nothing else.
const (
	passLife = 2 * time.Minute
	passSlip = 2 * time.Minute // how far the clocks of command and server may differ
	passHead = 8 + 16
)

// NewPass returns a pass for the server at publicURL, and the nonce that the
// server repeats.
func NewPass(ring *keyring.Ring, publicURL string, now time.Time) (pass splitpin.Secret, nonce string, err error) {
	b := binary.BigEndian.AppendUint64(nil, uint64(now.Add(passLife).Unix()))
	b = append(b, make([]byte, 16)...)
	rand.Read(b[8:]) // never fails: see crypto/rand
	mac, err := passMAC(ring, publicURL, b)
	if err != nil {
		return "", "", err
	}
	return splitpin.Secret(base64.RawURLEncoding.EncodeToString(append(b, mac...))), passNonce(b), nil
}

// CheckPass reports whether pass is one for the server at publicURL and still
// good, and returns its nonce.
func CheckPass(ring *keyring.Ring, publicURL string, now time.Time, pass splitpin.Secret) (nonce string, ok bool) {
	b, err := base64.RawURLEncoding.Strict().DecodeString(pass.Reveal())
	if err != nil || len(b) != passHead+32 {
		return "", false
	}
	mac, err := passMAC(ring, publicURL, b[:passHead])
	if err != nil || subtle.ConstantTimeCompare(mac, b[passHead:]) != 1 {
		return "", false
	}
	expires := time.Unix(int64(binary.BigEndian.Uint64(b)), 0)
	if now.After(expires.Add(passSlip)) || expires.After(now.Add(passLife+passSlip)) {
		return "", false
	}
	return passNonce(b), true
}

func passMAC(ring *keyring.Ring, publicURL string, head []byte) ([]byte, error) {
	mac, err := ring.MAC(keyring.Doctor, ring.Current(keyring.Doctor), []byte(publicURL), head)
	return mac[:], err
}

func passNonce(b []byte) string { return base64.RawURLEncoding.EncodeToString(b[8:passHead]) }
