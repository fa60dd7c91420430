package signin

import (
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"math/bits"
	"strconv"
	"strings"
	"time"

	"github.com/splitpin/splitpin"
	"github.com/splitpin/splitpin/keyring"
)

// A puzzle is what a network has to solve that starts many sign-ins: an office
// at nine in the morning pays a moment of each browser's time, a machine that
// starts thousands pays for each. It is stateless until it is solved; a solution
// is good once, for the project and network it was made for.
//
//	challenge: "18.<base64url of expiry ‖ random ‖ MAC>"
//	solution:  challenge + ":" + n, so that SHA-256 of it begins with 18 zero bits
//
// A network that goes on gets harder ones.
const (
	easyBits       = 18 // about a quarter of a second in a browser
	hardBits       = 22 // some seconds
	puzzleLifetime = 5 * time.Minute
	puzzleLength   = 8 + 8 + 16
)

// ErrPuzzle refuses a solution that is wrong, old or for somebody else.
var ErrPuzzle = &splitpin.Error{Kind: splitpin.Invalid, Code: "invalid_request", Field: "puzzle",
	Message: "The puzzle was not solved in time. Please try again."}

// challenge returns the error that carries a new puzzle. cause is for the operator's log, where there is one.
func (e *Engine) challenge(now time.Time, p *splitpin.Project, by Caller, wait time.Duration, hard bool, cause error) error {
	difficulty := easyBits
	if hard {
		difficulty = hardBits
	}
	var b [puzzleLength]byte
	binary.BigEndian.PutUint64(b[:8], uint64(now.Add(puzzleLifetime).Unix()))
	if err := e.fill(b[8:16]); err != nil {
		return err
	}
	mac, err := e.puzzleMAC(p, by, difficulty, b[:16])
	if err != nil {
		return err
	}
	copy(b[16:], mac[:16])
	refusal := ErrChallenge.After(wait)
	if cause != nil {
		refusal = refusal.Because(cause)
	}
	refusal.Challenge = strconv.Itoa(difficulty) + "." + base64.RawURLEncoding.EncodeToString(b[:])
	return refusal
}

func (e *Engine) puzzleMAC(p *splitpin.Project, by Caller, difficulty int, b []byte) ([32]byte, error) {
	return e.ring.MAC(keyring.Puzzle, e.ring.Current(keyring.Puzzle), []byte(p.ID), []byte(by.Network()), []byte{byte(difficulty)}, b)
}

// solved checks a solution. It returns the charge that makes it good once, and
// whether it was of a hard puzzle.
func (e *Engine) solved(now time.Time, p *splitpin.Project, by Caller, solution string) (once splitpin.Charge, hard bool, err error) {
	refuse := func(why string) (splitpin.Charge, bool, error) {
		return splitpin.Charge{}, false, ErrPuzzle.Because(fmt.Errorf("puzzle: %s", why))
	}
	challenge, n, ok := strings.Cut(solution, ":")
	prefix, text, isOurs := strings.Cut(challenge, ".")
	difficulty := easyBits
	switch prefix {
	case strconv.Itoa(easyBits):
	case strconv.Itoa(hardBits):
		difficulty, hard = hardBits, true
	default:
		isOurs = false
	}
	b, err := base64.RawURLEncoding.Strict().DecodeString(text)
	// The decoder skips line ends, so the length of the text counts too: one
	// puzzle has one spelling, which the limit below remembers.
	if !ok || !isOurs || err != nil || len(b) != puzzleLength || len(text) != base64.RawURLEncoding.EncodedLen(puzzleLength) ||
		n == "" || len(n) > 20 {
		return refuse("malformed")
	}
	mac, err := e.puzzleMAC(p, by, difficulty, b[:16])
	if err != nil {
		return splitpin.Charge{}, false, err
	}
	switch {
	case subtle.ConstantTimeCompare(mac[:16], b[16:]) != 1:
		return refuse("not made for this project and network")
	case now.Unix() > int64(binary.BigEndian.Uint64(b[:8])):
		return refuse("too old")
	case zeroBits(sha256.Sum256([]byte(solution))) < difficulty:
		return refuse("not solved")
	}
	return splitpin.Charge{Key: splitpin.LimitKey("puzzle", challenge), Burst: 1, Period: 2 * puzzleLifetime, Cost: 1}, hard, nil
}

func zeroBits(sum [32]byte) int {
	for i, b := range sum {
		if b != 0 {
			return 8*i + bits.LeadingZeros8(b)
		}
	}
	return 256
}
