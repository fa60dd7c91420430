package splitpin

import (
	"crypto/sha256"
	"encoding/binary"
	"time"
)

// A Charge takes part of a limit: Cost out of a bucket that holds Burst and
// refills over Period. Limits follow the generic cell rate algorithm: one
// number a key. Which limits there are, and how much each holds, is set in
// signin/limits.go.
type Charge struct {
	Key    int64         // LimitKey of what is limited
	Burst  int           // how many at once
	Period time.Duration // in which Burst becomes free again
	Cost   int           // usually 1; negative gives back; zero takes nothing and is refused where 1 would be
}

// LimitKey folds a kind of limit and what it counts into the store's key. It
// collides as often as 63 bits of SHA-256 do.
func LimitKey(kind, what string) int64 {
	return hashKey(kind, what)
}

// GuessesKey folds project and identifier into the key of their Guesses.
func GuessesKey(project int64, identifier string) int64 {
	var n [8]byte
	binary.BigEndian.PutUint64(n[:], uint64(project))
	return hashKey("guesses\x00"+string(n[:]), identifier)
}

func hashKey(kind, what string) int64 {
	sum := sha256.Sum256([]byte(kind + "\x00" + what))
	return int64(binary.BigEndian.Uint64(sum[:8]) >> 1)
}
