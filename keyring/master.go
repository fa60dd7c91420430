package keyring

import (
	"bytes"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"

	"github.com/splitpin/splitpin"
)

// A Master is the key that wraps all others: 32 random bytes that never enter
// the database. It prints as [redacted], also inside other values. The zero
// Master is no key; it opens nothing.
type Master struct {
	// A function, because fmt does not call the methods of unexported fields: it
	// would print an array there, and what a pointer points to for a wrong verb. Of
	// a function it prints an address.
	reveal func() *[32]byte
}

func masterOf(key *[32]byte) Master {
	return Master{reveal: func() *[32]byte { return key }}
}

// NewMaster returns a random Master.
func NewMaster() Master {
	key := new([32]byte)
	rand.Read(key[:]) // never fails: see crypto/rand
	return masterOf(key)
}

// ParseMaster reads what Text wrote: 43 characters of base64url, white space
// around them ignored. The error never quotes the text.
func ParseMaster(text string) (Master, error) {
	trimmed := bytes.TrimSpace([]byte(text))
	raw, err := base64.RawURLEncoding.Strict().DecodeString(string(trimmed))
	if err != nil || len(raw) != 32 || len(trimmed) != 43 {
		return Master{}, fmt.Errorf("this is not a master key: want 43 characters of base64url, got %d characters that are something else", len(trimmed))
	}
	return masterOf((*[32]byte)(raw)), nil
}

// ReadMasterFile reads a Master from a file of one line. It refuses a file that
// anyone but its owner may read or write.
func ReadMasterFile(path string) (Master, error) {
	f, err := os.Open(path)
	if err != nil {
		return Master{}, fmt.Errorf("reading the master key: %w", err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return Master{}, fmt.Errorf("reading the master key: %w", err)
	}
	if !info.Mode().IsRegular() {
		return Master{}, fmt.Errorf("reading the master key: %s is not a file", path)
	}
	if mode := info.Mode().Perm(); mode&0o077 != 0 {
		return Master{}, fmt.Errorf("reading the master key: %s can be read or changed by others than its owner (mode %04o); run: chmod 600 %s", path, mode, path)
	}
	text := make([]byte, 256) // a key is 43 characters; more than a line is something else
	n, err := f.Read(text)
	if err != nil {
		return Master{}, fmt.Errorf("reading the master key: %s is empty or unreadable: %w", path, err)
	}
	m, err := ParseMaster(string(text[:n]))
	if err != nil {
		return Master{}, fmt.Errorf("reading the master key in %s: %w", path, err)
	}
	return m, nil
}

// WriteMasterFile writes m to a new file that only its owner may read, and waits
// until it is on the disk. It never replaces a file: a master key that is
// overwritten takes the whole database with it.
func WriteMasterFile(path string, m Master) error {
	if m.IsZero() {
		return errors.New("writing the master key: there is none")
	}
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("writing the master key: %s exists already and is left as it is", path)
	}
	if err != nil {
		return fmt.Errorf("writing the master key: %w", err)
	}
	_, err = f.WriteString(m.Text().Reveal() + "\n")
	if err == nil {
		err = f.Sync()
	}
	if closing := f.Close(); err == nil {
		err = closing
	}
	if err != nil {
		os.Remove(path) // half a key helps nobody
		return fmt.Errorf("writing the master key: %w", err)
	}
	return nil
}

// Text returns the form that ParseMaster reads.
func (m Master) Text() splitpin.Secret {
	if m.IsZero() {
		return ""
	}
	return splitpin.Secret(base64.RawURLEncoding.EncodeToString(m.reveal()[:]))
}

// IsZero reports whether m is no key at all.
func (m Master) IsZero() bool { return m.reveal == nil }

func (Master) String() string               { return "[redacted]" }
func (Master) GoString() string             { return "[redacted]" }
func (Master) LogValue() slog.Value         { return slog.StringValue("[redacted]") }
func (Master) MarshalText() ([]byte, error) { return []byte("[redacted]"), nil }
