package splitpin

import (
	"context"
	"time"
)

// A Store keeps the nouns and changes them atomically. Package store has the
// implementations, store/storetest what each must pass.
//
// Every method returns an error that wraps ErrUnavailable when it could not do its
// work just now, and trying again is safe. What it says of the work differs:
//
//   - Change left no trace. Where the answer to its commit was lost, and nobody can
//     tell any more whether there was one, Change returns ErrUncertain instead, which
//     no other method does.
//   - Take charged, or it did not: its commit is not asked after. Who tries again may
//     be charged twice, and never less than once.
//   - ClaimMessages may have claimed some. They are due again at until.
//   - NextNumber may have left a gap, and Sweep may have swept.
//   - All others read only.
//
// ErrConflict and ErrText come from Change alone. Any other error is what decide returned, or a fault
// of the caller or the store which the same call would meet again; nothing was done.
//
// All stores keep the same. A moment is kept in whole microseconds and comes back in
// UTC, what is smaller is cut off; an int has 32 bits; a text is what IsText says. A
// step that would save another text is refused with ErrText, one that would save a
// larger int with an internal error; nobody has a name or an id that is no text, so
// reading by one finds nothing.
type Store interface {
	// Change runs one step in one transaction: it loads what reads names, calls
	// decide, and saves what decide returns. When Change returns nil, the writes
	// are durable, unless they are Loose.
	//
	// decide must be pure: it does no I/O, draws neither time nor randomness, may
	// run more than once (only the last run counts), and lets nothing leave before
	// Change returned. The moment, numbers, keys and tokens that it needs are drawn
	// before; it should be quick, because others may wait for it. It owns the
	// records it is given and may alter them, but only what it returns in Writes is
	// saved. A refusal that must be remembered is a write and a verdict that the
	// caller's closure keeps; an error from decide rolls back and is returned as
	// it is.
	//
	// No other step sees or changes the loaded records between load and commit. Of
	// a record that was not there, only Create notices if it appeared meanwhile:
	// the step then runs again. So it does where another record has what must be
	// unique: the id of a project; within a project, the ID, the identifier and the
	// ClientUserID of a user, and kind and key of a credential. Three reads are of a whole set, to which nothing is
	// added before the commit either, so that a step may rely on what is absent:
	//
	//   - Settings: all projects, data keys and signing keys;
	//   - Sessions: those of the user that are not revoked. Therefore a step that
	//     creates a session loads its user;
	//   - Credentials: those of the user. A step that creates one loads its user too.
	//
	// A store that locks does so in one order, so that no two steps wait for each
	// other: the settings as one, also for Project; the user; sessions; credentials;
	// the attempt; the grant; guesses; messages; several of one kind by number. It
	// can, because what leads to a user never changes: the identifier of an attempt,
	// the user of a grant, session or credential.
	//
	// A context that ends while the step waits leaves no trace; one that ends later
	// does not stop it.
	Change(ctx context.Context, reads Reads, decide func(*Records) (Writes, error)) error

	// Load returns what reads names, as of one moment, without locking.
	Load(ctx context.Context, reads Reads) (*Records, error)

	// NextNumber returns a number that this installation never used before for
	// any kind of record. Numbers grow, roughly, and have gaps: one is larger than those that
	// were handed out a few minutes before it, whoever did.
	NextNumber(ctx context.Context) (int64, error)

	// Take charges limits in a commit of its own that need not be durable. It
	// charges all or, where some would be exceeded, none: then refused is the index
	// of the first of those, and wait how long until that one would admit its
	// charge. When all are charged, refused is -1. A key that stands in charges
	// twice is an error.
	//
	// A store that locks does so by ascending key, whatever the order of charges.
	// Every limit is exact, so it cannot be spread over several rows. It need not
	// be: what is admitted is bounded by the burst, and a refusal writes nothing,
	// unless a clock had jumped. Who counts what everybody does gathers it first.
	Take(ctx context.Context, now time.Time, charges ...Charge) (refused int, wait time.Duration, err error)

	// Lists. Each is ordered as it says and returns at most limit records.

	Projects(ctx context.Context) ([]*Project, error)                             // all, by number
	DataKeys(ctx context.Context) ([]*DataKey, error)                             // all, by purpose and generation
	SigningKeys(ctx context.Context) ([]*SigningKey, error)                       // all that are not gone, by number
	Users(ctx context.Context, project int64, offset, limit int) ([]*User, error) // newest first by CreatedAt, then Number
	Sessions(ctx context.Context, user int64) ([]*Session, error)                 // not revoked, newest first
	// Sites returns the credential with the least number of each site at which those of
	// a kind are good, by site. CountAt counts those of one site. Both look at what is over and not swept, too.
	Sites(ctx context.Context, project int64, kind CredentialKind) ([]*Credential, error)
	CountAt(ctx context.Context, project int64, kind CredentialKind, site string) (int64, error)
	Messages(ctx context.Context, filter MessageFilter, limit int) ([]*Message, error) // newest first
	// AuditEvents are newest first by At, then Number: processes take numbers in blocks. Where
	// there are more than limit, one whose number was handed out minutes before its At may be
	// missing.
	AuditEvents(ctx context.Context, filter AuditFilter, limit int) ([]*AuditEvent, error)

	// ClaimMessages returns at most limit messages that are due at now and neither
	// sent nor given up, oldest first, each with its attempt, and moves their DueAt
	// to until and their Tries up by one, so that no other node takes them before
	// then.
	ClaimMessages(ctx context.Context, now, until time.Time, limit int) ([]Claimed, error)

	// Version grows whenever a project, a data key or a signing key changed, in
	// this process or another.
	Version(ctx context.Context) (int64, error)

	// Sweep deletes at most limit records whose life is over: attempts, grants and
	// messages an hour after they expired, sessions when they ended, credentials when
	// they expired, limits that are full again, guesses after 31 days, audit events
	// older than the given time. It returns how many went. Zero means that this call found none: of a
	// large table it may look at the oldest records and a further part only, the
	// next call at the part after that, and so round and round.
	Sweep(ctx context.Context, now, auditBefore time.Time, limit int) (int, error)

	// Now is the database's clock, which the nodes that share it are held against.
	Now(ctx context.Context) (time.Time, error)

	Close() error
}

// ClockSkew is how far the clock of a node may be from [Store.Now]. Expiry, limits and
// grace hold across nodes as well as their clocks agree.
const ClockSkew = 5 * time.Second

// Reads names what a step loads. Zero fields load nothing. There is one way to the
// user: at most one of Attempt, Grant, Session, User, UserID, Name and Credential is
// set. Only an Attempt may be joined by one of User, Name and Credential, which then
// is the way instead of the attempt's identifier, also where it leads to nobody. A
// record that is there is loaded whether or not its user is.
type Reads struct {
	Project string  // by ID, into Records.Project
	Attempt int64   // into Records.Attempt, with what hangs on it: Records.User is the user who has its identifier, Records.Guesses its guesses; where a Name joins it, those of that
	Grant   int64   // into Records.Grant, with Records.Attempt and Records.User, the user it is for
	Session int64   // into Records.Session, with Records.User
	User    int64   // by number, into Records.User
	UserID  UserKey // by id, into Records.User
	Name    Name    // by identifier, into Records.User and, where there are any, Records.Guesses
	// Credential is by key, into Records.Credential, with Records.User. It may be over
	// and not swept yet, as a session may: see [Credential.Live].
	Credential CredentialKey

	Messages    []int64 // by number, each once, into Records.Messages; the order is free, and those that are not there are left out
	Sessions    bool    // every session of Records.User that is not revoked, newest first, into Records.Sessions
	Credentials bool    // every credential of Records.User, newest first by CreatedAt, then Number, into Records.Credentials
	Settings    bool    // every project, data key and signing key, into the slices of Records

	// Unlocked loads as Load does: of what is loaded nothing is kept from changing
	// before the commit, and none of it may be put. For a step that creates and only
	// looks. It waits for nobody, so that how long it takes does not tell whether what
	// it looked for is there.
	Unlocked bool
}

// A Name is an identifier within a project.
type Name struct {
	Project    int64
	Identifier string
}

// A UserKey finds a user within a project by UUID or, where ID is zero, by the
// ClientUserID an old app gave.
type UserKey struct {
	Project      int64
	ID           UUID
	ClientUserID string
}

// Records are what a step loaded. What was not asked for or not there is nil.
type Records struct {
	Project *Project
	Attempt *Attempt
	Grant   *Grant
	Session *Session
	User    *User
	Guesses *Guesses

	Credential *Credential // one of Credentials too, where both were asked for: the same pointer

	Messages    []*Message
	Sessions    []*Session
	Credentials []*Credential
	Projects    []*Project
	DataKeys    []*DataKey
	SigningKeys []*SigningKey
}

// Writes are what a step saves: of each kind in the order Delete, Create, Put, each
// record at most once. The zero value saves nothing.
type Writes struct {
	Create []Record // must not exist; where one does, the step runs again
	Put    []Record // was loaded by this step, so it is there and locked, or the step is refused with an internal error; replaces every field
	Delete []Record // found by its key alone; missing is fine

	// Loose writes need not be durable when Change returns: a crash of the database
	// may undo the whole step, for about a second after it. It is for what does no
	// harm when it is forgotten, and saves the wait for the disk where it can.
	Loose bool
}

// A Record is a pointer to one of the nouns that a store keeps.
type Record interface{ record() }

func (*Project) record()    {}
func (*User) record()       {}
func (*Attempt) record()    {}
func (*Grant) record()      {}
func (*Guesses) record()    {}
func (*Session) record()    {}
func (*Message) record()    {}
func (*AuditEvent) record() {}
func (*DataKey) record()    {}
func (*SigningKey) record() {}
func (*Credential) record() {}

// A Claimed is a message that is the caller's until the moment it asked for. When
// Tries has grown by then, another node has claimed it since.
type Claimed struct {
	Message *Message
	Attempt *Attempt // the one it belongs to; nil: gone
}

// A MessageFilter narrows Store.Messages. Zero fields do not narrow.
type MessageFilter struct {
	Project int64
	Attempt int64
	To      string
	GivenUp bool // only those given up
}

// An AuditFilter narrows Store.AuditEvents. Zero fields do not narrow.
type AuditFilter struct {
	Project int64
	Subject [12]byte
	User    int64
	Session int64
	Kind    string
}
