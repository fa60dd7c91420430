package account

import (
	"slices"
	"time"

	"github.com/splitpin/splitpin"
)

// ErrOtherUser refuses a proof of somebody else than the user who was asked for.
var ErrOtherUser = &splitpin.Error{Kind: splitpin.Forbidden, Code: "other_user",
	Message: "This does not belong to the account that you were asked to sign in to. Please use the address or number of that account."}

// ErrReassigned refuses a number that may belong to somebody else by now.
var ErrReassigned = &splitpin.Error{Kind: splitpin.Forbidden, Code: "number_not_enough",
	Message: "This number was not used here for a long time. Please sign in with your passkey or another way that you set up."}

// reassignedAfter is how long a number may rest before it alone opens no account that
// has something else to be opened with: providers give numbers to new people (security 32).
const reassignedAfter = 180 * day

const (
	day = 24 * time.Hour
	// seenAgain is how much SeenAt may be early where nothing hangs on it. Each move is a
	// row written.
	seenAgain = 30 * day
)

// Seen moves SeenAt and reports whether it did. Call it when a session opens.
func Seen(now time.Time, u *splitpin.User) bool {
	again := seenAgain
	if u.Kind == splitpin.Phone {
		again = day // see rested
	}
	if now.Sub(u.SeenAt) < again {
		return false
	}
	u.SeenAt = now.UTC().Truncate(day)
	return true
}

// LooksAtAll reports whether Decide must see all that a user has, sessions and
// credentials: u was never proved, is a number that rested for long, or must come with a
// passkey. u may be nil.
func LooksAtAll(now time.Time, p *splitpin.Project, u *splitpin.User) bool {
	return u != nil && (u.ProvedAt.IsZero() || rested(now, u) || RequiresPasskey(p, u))
}

func rested(now time.Time, u *splitpin.User) bool {
	return u.Kind == splitpin.Phone && !u.SeenAt.IsZero() && now.Sub(u.SeenAt) >= reassignedAfter
}

// A Claim is a right answer, and what was loaded to decide whose it is.
type Claim struct {
	Project *splitpin.Project
	Attempt *splitpin.Attempt
	Records *splitpin.Records // with Sessions and Credentials where LooksAtAll says so

	Shown   *splitpin.Credential // with a Number: of Records.User; without: new; nil: none
	Address string               // of somebody who showed a new one, as a provider says; empty: none
	Vouched bool                 // that provider decides over such addresses

	ByMessage bool // the answer came by a message to the identifier
	Recover   bool // the person lost the passkey, if one is required, and begins a recovery

	Person     Person // used where a user is to be made
	Credential int64  // a number for a new credential
}

// Proved is what a claim came to.
type Proved struct {
	User       *splitpin.User       // nil: an address must be proved besides
	Begun      *splitpin.Credential // it opens nothing: this recovery of User has begun. Nil: it does
	Credential *splitpin.Credential // that was shown or added; nil: none
	Added      bool                 // Credential was added, and its user should hear of it
	Writes     splitpin.Writes      // what to save of all that
}

// Decide finds or makes the user for whom a right answer stands, and what it changes
// about that user. It is pure. Its errors are ErrReassigned, ErrPasskeyRequired,
// ErrRecoveryOffered, ErrRecoveryWaits, and ErrOtherUser where the attempt is for one user and the proof is not
// of that one.
//
// A new credential never finds a user by an address alone: where somebody has that
// address here, or where nobody vouches for it, the address must be proved by a code
// first, whoever asks (security 2; design rule 6).
func Decide(now time.Time, c Claim) (Proved, error) {
	// What there is from before the first proof is nobody's, a passkey too.
	first := c.Shown == nil && (c.Records.User == nil || c.Records.User.ProvedAt.IsZero())
	p, err := c.decide(now)
	if err != nil || p.User == nil || first {
		return p, err
	}
	return c.heldBack(now, p)
}

func (c Claim) decide(now time.Time) (Proved, error) {
	var p Proved
	u, shown := c.Records.User, c.Shown
	if whose := c.Attempt.Whose; !whose.IsZero() && (u == nil || u.ID != whose) {
		return p, ErrOtherUser
	}
	switch {
	case c.Attempt.For != 0:
		if u == nil || u.Number != c.Attempt.For {
			return p, splitpin.ErrNotFound
		}
		p.User = u
	case shown == nil:
		return c.address(now)
	case shown.Number != 0:
		if u == nil || shown.User != u.Number {
			return p, splitpin.ErrNotFound
		}
		p.User = u
	case u == nil && c.Vouched && c.Address != "":
		var err error
		c.Person.Identifier, c.Person.Kind, err = ParseIdentifier(c.Address)
		if err != nil {
			return p, nil // not one that could be proved here; another must be
		}
		if p, err = c.address(now); err != nil {
			return p, err
		}
	default:
		return p, nil
	}
	p.keep(now, c)
	return p, nil
}

// keep saves what was shown.
func (p *Proved) keep(now time.Time, c Claim) {
	shown := c.Shown
	if shown == nil {
		return
	}
	p.Credential = shown
	if shown.Number != 0 {
		shown.UsedAt = now
		p.Writes.Put = append(p.Writes.Put, shown)
		return
	}
	shown.Number, shown.Project, shown.User = c.Credential, c.Attempt.Project, p.User.Number
	shown.CreatedAt, shown.Device = now, c.Attempt.Device
	p.Added = true
	p.Writes.Create = append(p.Writes.Create, shown)
}

// address decides over a proof of the identifier of c.Person.
func (c Claim) address(now time.Time) (Proved, error) {
	var p Proved
	found := c.Records.User
	if found != nil && rested(now, found) && slices.ContainsFunc(c.Records.Credentials, func(o *splitpin.Credential) bool { return o.Live(now) && o.Kind.Opens() }) {
		return p, ErrReassigned
	}
	if found != nil && found.ProvedAt.IsZero() {
		// Whoever came before the first proof may have been somebody else (security 1).
		for _, other := range c.Records.Credentials {
			p.Writes.Delete = append(p.Writes.Delete, other)
		}
		for _, s := range c.Records.Sessions {
			s.RevokedAt = now
			p.Writes.Put = append(p.Writes.Put, s)
		}
	}
	u, created, changed := Prove(now, found, c.Person)
	if created {
		p.Writes.Create = append(p.Writes.Create, u)
	} else if changed {
		p.Writes.Put = append(p.Writes.Put, u)
	}
	p.User = u
	return p, nil
}
