package splitpin

import "time"

// An Attempt is one try at proving something, from the first request to the
// proof. It may be answered wrongly a few times and is spent by the first right
// answer: an Attempt never signs anyone in twice.
type Attempt struct {
	ID      AttemptID
	Project int64
	Purpose Purpose
	Method  string // name of the method that owns it: "email_code"

	Identifier string // canonical; what a right answer proves. Empty: the answer tells who it is. Never changes
	Kind       IdentifierKind

	// For is the user for whom something is to be added or confirmed, and Session the
	// one in which that user asked. Zero where the purpose is SignIn.
	For     int64
	Session int64
	// Parent is the attempt that this one is to complete: its answer was right, and an
	// address must be proved besides. Where something is to be added it is the one to whose
	// proof that goes back: the user asked by it, in the place of a session, or in a session
	// that came of it. Zero: none.
	Parent int64

	// Starter is the hash of the secret that the one who started holds. Only who
	// shows that secret may answer, resend or ask about the attempt.
	Starter [16]byte

	// Challenge is the PKCE S256 challenge that the grant of this attempt will
	// carry; Destination and Origin are where the answer may go.
	Challenge   [32]byte
	Destination string // the redirect URL as given; empty: none
	Origin      string // of the page that asked; empty: a top-level page of ours
	FormID      string // of the form that asked; empty: none
	// Whose is the user whose identifier must be proved; zero: anybody's will do.
	Whose UUID
	// ClientState and ClientData are the asking client's own, given back with the result as
	// they came: an opaque text, and a JSON object of at most 1 KiB. Kept only where
	// the result may come out at another place than the question. Empty: none.
	ClientState string
	ClientData  []byte

	// Pending is what will be added once an attempt that Completes this one is proved,
	// as package signin wrote it. Empty: this attempt needs no other.
	Pending []byte

	// Data is the method's own, as it wrote it when the attempt began or was answered
	// rightly. It never holds what would let a reader of the database sign in.
	Data []byte
	// KeyGeneration is the data key that codes and links are derived with.
	KeyGeneration int

	Tries      int // answers that were looked at, right or wrong
	MaxTries   int
	LinkTries  int       // the same for whoever holds the link of a message; they spend none of the starter's
	LinkOpens  LinkOpens // how the link was opened, as far as that is recorded
	Sends      int       // messages queued
	NextSendAt time.Time // a message asked for earlier is refused

	Device  string // of the starter, from our own vocabulary: "Chrome on Linux"
	Network string // of the starter, as a prefix: "203.0.113.7/32"
	Locale  string

	CreatedAt   time.Time
	ExpiresAt   time.Time
	ProvedAt    time.Time // zero until a right answer
	DeniedAt    time.Time // zero unless the tries ran out or somebody said no, be it after the proof: then nothing comes of that
	CollectedAt time.Time // zero until a session came of it
	User        int64     // whom a right answer proved, also where it opened nothing yet; zero until then
	Credential  int64     // what the proof showed or added; zero: no credential

	// Link is what somebody decided who opened the link of its message. Empty: nothing.
	Link LinkOutcome
}

// A LinkOutcome is what became of the link of a message.
type LinkOutcome string

const (
	// LinkHere: it signed in where it was opened. Challenge, Destination, Origin and
	// ClientState of the attempt are those of that place from then on.
	LinkHere LinkOutcome = "here"
	// LinkLetIn: it let the one in who started the attempt.
	LinkLetIn LinkOutcome = "let_in"
	// LinkRefused: "this was not me". The link does nothing any more.
	LinkRefused LinkOutcome = "refused"
)

// An Opening is a way in which a link is opened. None of them proves anything.
type Opening int

const (
	OpenedByHead   Opening = iota // asked for with HEAD
	OpenedByFetch                 // fetched by a program that is no browser: a preview, a scanner
	OpenedAsPage                  // loaded as a browser loads a page
	OpenedByScript                // the script of that page ran
	openings
)

// LinkOpens counts openings by kind, up to MaxLinkOpens of each.
type LinkOpens int

// MaxLinkOpens is how many openings of each kind are recorded.
const MaxLinkOpens = 20

const bitsOfOpening = 5

// Of returns how often the link was opened in that way.
func (o LinkOpens) Of(kind Opening) int {
	return int(o>>(bitsOfOpening*kind)) & (1<<bitsOfOpening - 1)
}

// Add counts one more opening. It returns o itself where no more are recorded.
func (o LinkOpens) Add(kind Opening) LinkOpens {
	if kind < 0 || kind >= openings || o.Of(kind) >= MaxLinkOpens {
		return o
	}
	return o + 1<<(bitsOfOpening*kind)
}

// Open reports whether the attempt can still be answered.
func (a *Attempt) Open(now time.Time) bool {
	return a.State(now) == Open
}

// A State is where an attempt stands.
type State string

const (
	Open      State = "open"
	Proved    State = "proved"
	Denied    State = "denied"
	Expired   State = "expired"
	Collected State = "collected"
)

// State tells where the attempt stands now.
func (a *Attempt) State(now time.Time) State {
	switch {
	case !a.DeniedAt.IsZero():
		return Denied
	case !a.CollectedAt.IsZero():
		return Collected
	case !a.ProvedAt.IsZero():
		return Proved
	case !now.Before(a.ExpiresAt):
		return Expired
	}
	return Open
}

// A Purpose tells what a proof is for. What a proof of each purpose changes is
// the business of package account.
type Purpose string

const (
	SignIn   Purpose = "sign_in"  // opens a session
	Enrol    Purpose = "enrol"    // adds a credential to the user it is For
	Complete Purpose = "complete" // proves the address that its Parent still needs
	Vouch    Purpose = "vouch"    // proves that address too; whoever holds both attempts joins them
	Confirm  Purpose = "confirm"  // shows that the user it is For is still there
)

// A Grant is an authorization code: the right to collect a session from a
// proved attempt. The code itself is 256 random bits and stored nowhere.
type Grant struct {
	Number  int64
	Hash    [32]byte // SHA-256 of the code
	Attempt int64
	Project int64
	User    int64

	Challenge   [32]byte // PKCE S256; the collector shows the verifier
	Destination string
	Origin      string

	CreatedAt time.Time
	ExpiresAt time.Time
	SpentAt   time.Time // zero until spent, rightly or wrongly
	Session   int64     // what it was spent on; zero: nothing, the collector was wrong
}

// Guesses counts the wrong answers for one identifier of one project over all
// attempts, by UTC day. It outlives attempts, so that starting anew gives a
// guesser nothing.
type Guesses struct {
	Key   int64     // GuessesKey of project and identifier
	Day   int64     // the newest day counted, in days since 1970
	Wrong [30]uint8 // Wrong[0] is that day, Wrong[1] the one before; saturates
}
