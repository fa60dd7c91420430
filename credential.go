package splitpin

import "time"

// A Credential is something a user can show besides proving the identifier: a
// passkey, an account at a provider, a browser that was told to remember. It is of
// one user for its whole life, and within its project nobody else can have the same.
type Credential struct {
	Number  int64
	Project int64
	User    int64
	Kind    CredentialKind

	// Key is what the credential is found by: a hash of what its kind makes of it
	// (the id of a passkey, issuer and subject of an account, the public key of a
	// browser). Unique for project and kind.
	Key [32]byte

	// Data is the kind's own. It never holds what would let a reader of the database
	// sign in: public keys, counters, names.
	Data []byte
	// Sealed is what only this installation may read: the tokens of a provider.
	// Empty: nothing. KeyGeneration names the data key it is sealed with.
	Sealed        []byte
	KeyGeneration int

	Label   string // for the person who has it, who may change it: "Work laptop"
	Site    string // where it is good: the RP id of a passkey, the site of a browser; empty: anywhere
	Device  string // that made it, from our own vocabulary: "Chrome on Linux"
	Session int64  // it ends with this session, or is not good yet where that was not collected; zero: with none
	Proof   int64  // the attempt to whose proof it goes back that it was added; zero: to none of a message's

	CreatedAt time.Time
	UsedAt    time.Time // last shown; zero: never since it was made
	ExpiresAt time.Time // zero: does not
}

// Live reports whether the credential may still be shown.
func (c *Credential) Live(now time.Time) bool {
	return c.ExpiresAt.IsZero() || now.Before(c.ExpiresAt)
}

// A CredentialKind tells what a credential is.
type CredentialKind string

const (
	PasskeyCredential CredentialKind = "passkey"
	SocialCredential  CredentialKind = "social"
	BrowserCredential CredentialKind = "browser"

	// RecoveryCredential says since when somebody waits who proved the address of a user,
	// and should have shown a passkey: see account.Recovery. By itself it opens nothing.
	RecoveryCredential CredentialKind = "recovery"
	// ArmCredential opens nothing. It says for half a minute that one page handed an
	// attempt over to another: see TakeOver of package signin.
	ArmCredential CredentialKind = "arm"
	// TokenCredential opens nothing. It says that an access token was taken once, where it
	// may be taken once only, for as long as that token lives.
	TokenCredential CredentialKind = "token"
)

// Shown reports whether people see credentials of this kind: the others are notes of ours.
func (k CredentialKind) Shown() bool {
	return k == PasskeyCredential || k == SocialCredential || k == BrowserCredential || k == RecoveryCredential
}

// Opens reports whether a credential of this kind lets its user in by itself. A browser
// does not: it ends with its session.
func (k CredentialKind) Opens() bool { return k == PasskeyCredential || k == SocialCredential }

// A CredentialKey finds a credential within a project.
type CredentialKey struct {
	Project int64
	Kind    CredentialKind
	Key     [32]byte
}

// IsZero reports whether k names no credential: none is found by an empty kind, or by
// a key of zeros.
func (k CredentialKey) IsZero() bool { return k.Kind == "" || k.Key == [32]byte{} }
