package splitpin

import "time"

// A DataKey is one of the keys that work on data, wrapped by the master key.
// The newest generation of a purpose is used; older ones are kept while
// something made with them may live.
type DataKey struct {
	Purpose    string // "codes", "refresh", "signing", …; "check" tells whether the master key is right
	Generation int    // from 1
	Wrapped    []byte // empty: destroyed; what was made with it is over for good
	CreatedAt  time.Time
}

// A SigningKey signs the tokens of one project. Each key passes announced,
// active, retiring and gone; the times say when it entered each, the zero time
// that it has not yet.
type SigningKey struct {
	Number     int64
	Project    int64
	Use        KeyUse
	KID        string // RFC 7638 thumbprint
	Public     []byte // ES256: uncompressed point, 65 bytes; Ed25519: 32 bytes
	Wrapped    []byte // the private key, sealed by the data key "signing"
	Generation int    // of that data key

	AnnouncedAt time.Time
	ActiveAt    time.Time
	RetiringAt  time.Time
	GoneAt      time.Time
}

// A KeyUse keeps the audiences of trust apart: a key of one use never signs for
// another.
type KeyUse string

const (
	TokenKey    KeyUse = "token"    // ES256: access and id tokens
	IdentityKey KeyUse = "identity" // Ed25519: identity and event tokens (contract 4.5)
)
