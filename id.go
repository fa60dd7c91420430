package splitpin

import (
	"crypto/rand"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"fmt"
)

// A UUID names a thing outside this program: a user, an access token. The zero
// UUID names nothing.
type UUID [16]byte

// NewUUID returns a random (version 4) UUID.
func NewUUID() UUID {
	var u UUID
	rand.Read(u[:]) // never fails: see crypto/rand
	return u.asVersion4()
}

// UUIDFrom makes a version 4 UUID of 16 bytes that are random already.
func UUIDFrom(random [16]byte) UUID { return UUID(random).asVersion4() }

func (u UUID) asVersion4() UUID {
	u[6] = u[6]&0x0f | 0x40
	u[8] = u[8]&0x3f | 0x80
	return u
}

// ParseUUID reads the 36 character form, in either case.
func ParseUUID(s string) (UUID, error) {
	var u UUID
	if len(s) != 36 || s[8] != '-' || s[13] != '-' || s[18] != '-' || s[23] != '-' {
		return u, fmt.Errorf("not a UUID: %d characters", len(s))
	}
	plain := s[:8] + s[9:13] + s[14:18] + s[19:23] + s[24:]
	if _, err := hex.Decode(u[:], []byte(plain)); err != nil {
		return UUID{}, fmt.Errorf("not a UUID: %w", err)
	}
	return u, nil
}

func (u UUID) IsZero() bool { return u == UUID{} }

// String returns the lower-case 36 character form.
func (u UUID) String() string {
	var b [36]byte
	hex.Encode(b[0:8], u[0:4])
	hex.Encode(b[9:13], u[4:6])
	hex.Encode(b[14:18], u[6:8])
	hex.Encode(b[19:23], u[8:10])
	hex.Encode(b[24:36], u[10:16])
	b[8], b[13], b[18], b[23] = '-', '-', '-', '-'
	return string(b[:])
}

func (u UUID) MarshalText() ([]byte, error) { return []byte(u.String()), nil }

func (u *UUID) UnmarshalText(text []byte) error {
	parsed, err := ParseUUID(string(text))
	if err != nil {
		return err
	}
	*u = parsed
	return nil
}

// An AttemptID names an attempt to the one who started it. It is a handle, not
// a secret: who holds it must also show the starter's secret.
type AttemptID struct {
	Number int64   // the store's key
	Nonce  [8]byte // random, so that ids cannot be counted
}

func (id AttemptID) IsZero() bool { return id == AttemptID{} }

// Bytes returns the 16 bytes that stand for the id where keys are derived.
func (id AttemptID) Bytes() [16]byte {
	var b [16]byte
	binary.BigEndian.PutUint64(b[:8], uint64(id.Number))
	copy(b[8:], id.Nonce[:])
	return b
}

// String returns 22 characters that are safe in a URL.
func (id AttemptID) String() string {
	b := id.Bytes()
	return base64.RawURLEncoding.EncodeToString(b[:])
}

// ParseAttemptID reads what String wrote and nothing else.
func ParseAttemptID(s string) (AttemptID, error) {
	var id AttemptID
	b, err := base64.RawURLEncoding.Strict().DecodeString(s)
	if err != nil || len(s) != 22 || len(b) != 16 || int64(binary.BigEndian.Uint64(b)) <= 0 {
		return id, fmt.Errorf("not an attempt id")
	}
	id.Number = int64(binary.BigEndian.Uint64(b))
	copy(id.Nonce[:], b[8:])
	return id, nil
}
