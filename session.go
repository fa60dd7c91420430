package splitpin

import (
	"cmp"
	"time"
)

// A Session is what a sign-in leaves: the right to fresh tokens until it ends.
// It is one row for its whole life; a refresh moves Counter.
type Session struct {
	Number  int64 // the first half of the refresh token; that of the attempt whose proof opened it, where one did
	Project int64
	User    int64

	// Salt is part of every refresh token of this session, so that a leaked data
	// key alone forges nothing. KeyGeneration names that data key.
	Salt          [16]byte
	KeyGeneration int
	Counter       uint32 // of the refresh token that is current

	// Older and Newer are moments at which the counter was known. They tell
	// whether a superseded token is older than the grace without a row for each:
	// what is below the counter of a mark was superseded at or before its time.
	Older, Newer Mark

	// Static sessions keep one refresh token for life. Fixed at birth, for the
	// clients that cannot rotate (contract 7.1).
	Static bool

	AuthMethod string    // as tokens name it: "OTP"
	AuthAt     time.Time // when the person proved something
	Device     string    // from our own vocabulary
	Network    string    // as a prefix
	Origin     string    // of the page that collected; empty: none
	Credential int64     // that was shown for it; zero: none
	// Proof is the attempt to whose proof this session goes back where that is another one: a
	// recognised browser proves nothing new, nor does an exchange, and what was added to an
	// account is no better than the proof by which it was. Zero: its own.
	Proof int64

	// Claims are what a backend added to the tokens of this session: a JSON object
	// of at most 4 KiB that shadows no claim of ours (contract 7.5). Empty: none.
	Claims string
	// ExchangedAt is when the identity token of this sign-in was exchanged for another
	// session, which it is once. Zero: never. A session that an exchange opened has it
	// from birth.
	ExchangedAt time.Time

	CreatedAt time.Time
	UsedAt    time.Time // last refresh
	IdleUntil time.Time // ends here unless refreshed before
	ExpiresAt time.Time // ends here in any case
	RevokedAt time.Time // zero until ended by a person, an operator or a reused token
}

// A Mark is a counter at a moment.
type Mark struct {
	Counter uint32
	At      time.Time
}

// ProvedBy is the number of the attempt to whose proof the session goes back.
func (s *Session) ProvedBy() int64 { return cmp.Or(s.Proof, s.Number) }

// Live reports whether the session still gives tokens.
func (s *Session) Live(now time.Time) bool {
	return s.RevokedAt.IsZero() && now.Before(s.IdleUntil) && now.Before(s.ExpiresAt)
}
