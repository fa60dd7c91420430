package signin

import (
	"crypto/subtle"
	"encoding/base64"
	"encoding/binary"
	"time"

	"github.com/splitpin/splitpin"
	"github.com/splitpin/splitpin/keyring"
)

// KnownFor is how long a browser that signed in to an address keeps a lane of
// its own for messages to that address.
const KnownFor = 90 * 24 * time.Hour

// KnownBrowser returns what a browser may keep to show later that it signed in
// to an identifier before. It opens nothing: it only spares its owner the limit
// that strangers share. A face stores it in an httpOnly cookie.
func (e *Engine) KnownBrowser(p *splitpin.Project, identifier string) (string, error) {
	var b [4 + 16]byte
	binary.BigEndian.PutUint32(b[:4], uint32(e.moment().Add(KnownFor).Unix()/3600))
	mac, err := e.knownMAC(p, identifier, b[:4])
	if err != nil {
		return "", err
	}
	copy(b[4:], mac[:16])
	return base64.RawURLEncoding.EncodeToString(b[:]), nil
}

func (e *Engine) knownMAC(p *splitpin.Project, identifier string, until []byte) ([32]byte, error) {
	return e.ring.MAC(keyring.Browser, e.ring.Current(keyring.Browser), []byte(p.ID), []byte(identifier), until)
}

func (e *Engine) knows(now time.Time, p *splitpin.Project, identifier, known string) bool {
	b, err := base64.RawURLEncoding.Strict().DecodeString(known)
	if err != nil || len(b) != 20 {
		return false
	}
	mac, err := e.knownMAC(p, identifier, b[:4])
	return err == nil && subtle.ConstantTimeCompare(mac[:16], b[4:]) == 1 &&
		now.Unix()/3600 < int64(binary.BigEndian.Uint32(b[:4]))
}
