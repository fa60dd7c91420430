package account

import (
	"encoding/binary"

	"github.com/splitpin/splitpin/keyring"
)

// Subject is the pseudonym under which the audit log knows an identifier of a
// project: a keyed hash, so that the log names nobody by itself and can still be
// asked about somebody.
func Subject(ring *keyring.Ring, project int64, identifier string) ([12]byte, error) {
	var n [8]byte
	binary.BigEndian.PutUint64(n[:], uint64(project))
	mac, err := ring.MAC("audit", 1, n[:], []byte(identifier))
	return [12]byte(mac[:12]), err
}
