package signin

import (
	"context"
	"encoding/json"
	"time"

	"github.com/splitpin/splitpin"
)

// A Method is one way to prove something: it knows how to ask and how to check.
// The engine owns everything that must hold for every attempt, so a method has
// no route, no limit, no database and no token code.
type Method interface {
	// Name is what attempts and requests call the method: "email_code".
	Name() string

	// AuthMethod is what tokens call it: "OTP" (contract 0.4).
	AuthMethod() string

	// Begin prepares an attempt. It may do I/O and runs before the transaction.
	// What it cannot accept it refuses with a splitpin.Error.
	Begin(ctx context.Context, req BeginRequest) (Begun, error)

	// Check reports whether the answer is right. It is pure: it may run again for
	// the same answer, and the try was charged already.
	Check(c Check) bool

	// Describe tells the starter what to ask the person for.
	Describe(a *splitpin.Attempt) Form

	// Message names the message that an attempt sends, the first time and when it
	// is asked for again. It is pure; without a channel there is no message.
	Message(a *splitpin.Attempt) Message

	// Secret returns what the message of an attempt carries: the code or the link.
	// It is called when the message is sent, and by Check; nobody stores it.
	Secret(a *splitpin.Attempt, derive Derive) (splitpin.Secret, error)
}

// A BeginRequest is what a method may know when an attempt begins.
type BeginRequest struct {
	Project    *splitpin.Project
	Identifier string // canonical; empty where the method finds the person itself
	Kind       splitpin.IdentifierKind
}

// Begun is what a method wants of the attempt.
type Begun struct {
	// Data is kept with the attempt. Hardened is kept instead where guesses for
	// this identifier are spent (security 8); a method whose answer cannot be
	// guessed leaves it empty.
	Data, Hardened []byte

	Lifetime time.Duration
	Tries    int
}

// A Message is a template and the way it goes.
type Message struct {
	Channel  splitpin.Channel
	Template string // name within the channel
}

// A Check is one answer to one attempt.
type Check struct {
	Attempt *splitpin.Attempt
	Answer  json.RawMessage // as the starter sent it: untrusted
	Derive  Derive
}

// Derive returns 32 bytes that only this attempt and this label give. It is how
// codes and links come to be without being stored.
type Derive func(label string) ([32]byte, error)

// A Form tells what the person is asked for.
type Form struct {
	CodeLength   int
	CodeAlphabet string
}
