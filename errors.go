package splitpin

import (
	"errors"
	"time"
)

// A Kind tells how to treat an error. Each face has one table from kinds to
// status and body; nothing else knows HTTP.
type Kind int

const (
	Internal        Kind = iota // our fault; the text stays with us
	Invalid                     // the request cannot be understood or breaks a rule
	Unauthenticated             // what was shown proves nothing, or no longer
	Forbidden                   // known, and not allowed
	NotFound                    // no such thing, or none that the caller may see
	Conflict                    // exists already, or changed meanwhile
	TooMany                     // a limit; RetryAfter says when to come back
	Unavailable                 // may pass by itself; trying again is safe
)

// An Error is a refusal that was foreseen. Code is stable and documented;
// Message may be read by the person signing in and tells what to do next.
type Error struct {
	Kind    Kind
	Code    string
	Message string

	RetryAfter time.Duration // TooMany and Unavailable: how long to wait; zero: not known
	Field      string        // Invalid: the field of the request that is wrong, if one is
	Challenge  string        // TooMany with code challenge_required: the puzzle to solve
	TriesLeft  int           // wrong answers: how many tries remain

	cause error // for the operator's log only
}

func (e *Error) Error() string {
	if e.cause != nil {
		return e.Code + ": " + e.cause.Error()
	}
	return e.Code + ": " + e.Message
}

func (e *Error) Unwrap() error { return e.cause }

// Is reports whether target is an Error with the same code, so that
// errors.Is(err, ErrOver) holds for every copy of ErrOver.
func (e *Error) Is(target error) bool {
	t, ok := target.(*Error)
	return ok && t.Code == e.Code
}

// Because returns a copy that carries cause for the operator.
func (e *Error) Because(cause error) *Error {
	c := *e
	c.cause = cause
	return &c
}

// After returns a copy that says when to try again.
func (e *Error) After(wait time.Duration) *Error {
	c := *e
	c.RetryAfter = wait
	return &c
}

// In returns a copy that names the field of the request that is wrong.
func (e *Error) In(field string) *Error {
	c := *e
	c.Field = field
	return &c
}

// ErrorOf returns the Error inside err, or nil where there is none: then err is
// internal.
func ErrorOf(err error) *Error {
	var e *Error
	if errors.As(err, &e) {
		return e
	}
	return nil
}

var (
	// ErrNotFound is returned by those who were asked for one thing that is not there,
	// as package account is for a user. The store returns none: what it does not find
	// is nil.
	ErrNotFound = &Error{Kind: NotFound, Code: "not_found", Message: "There is no such thing here."}
	// ErrConflict is returned by the store when a record to create exists already
	// and running the step again did not settle it.
	ErrConflict = &Error{Kind: Conflict, Code: "conflict", Message: "This changed meanwhile. Please try again."}
	// ErrUnavailable is returned by the store when it cannot do its work just now: no
	// disk, no database, too many waiting. A step left no trace; what it means of other
	// calls stands at Store.
	ErrUnavailable = &Error{Kind: Unavailable, Code: "unavailable", Message: "This did not work just now. Please try again in a moment.", RetryAfter: time.Second}
	// ErrUncertain is returned by Store.Change when the answer to a commit was lost with the
	// connection and nobody can tell any more whether it happened.
	ErrUncertain = &Error{Kind: Unavailable, Code: "uncertain", Message: "It is not certain that this worked. Please look, and try again if it did not.", RetryAfter: time.Second}
)
