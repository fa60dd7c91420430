package token

import (
	"crypto/subtle"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/splitpin/splitpin"
	"github.com/splitpin/splitpin/keyring"
)

// Lives of sessions and refresh tokens.
const (
	// Grace is how long a superseded refresh token still gives the current one:
	// several tabs of one browser race for it, and answers get lost.
	Grace = 60 * time.Second

	IdleLife       = 30 * 24 * time.Hour // a session that is not refreshed ends after this
	StaticIdleLife = 14 * 24 * time.Hour // the same, where the token never changes
	AbsoluteLife   = 90 * 24 * time.Hour // any session ends after this
)

// Presented is a refresh token as somebody showed it: what it claims to be. It
// prints without the part that is secret.
type Presented struct {
	Session int64
	counter uint32
	mac     [32]byte
}

// Format prints the session's number alone, for every verb.
func (p Presented) Format(f fmt.State, _ rune) { fmt.Fprintf(f, "%d:[redacted]", p.Session) }

// LogValue is what Format prints.
func (p Presented) LogValue() slog.Value { return slog.StringValue(fmt.Sprint(p)) }

// errNoRefresh tells nothing of the text, which may be most of a secret.
var errNoRefresh = errors.New("not a refresh token")

// ParseRefresh reads the text of a refresh token: the session's number in decimal,
// a colon, and the base64url of counter and HMAC. It accepts what RefreshToken
// writes and nothing else. That it parses does not make it genuine.
func ParseRefresh(text string) (Presented, error) {
	var p Presented
	number, secret, ok := strings.Cut(text, ":")
	if !ok || len(number) == 0 || len(number) > 19 || number[0] < '1' || number[0] > '9' || len(secret) != 48 {
		return p, errNoRefresh
	}
	n, err := strconv.ParseInt(number, 10, 64)
	if err != nil {
		return p, errNoRefresh
	}
	var raw [36]byte
	// 48 characters are exactly 36 bytes, so there are no trailing bits to check;
	// Strict is for who changes the length. The decoder skips line ends: hence n.
	if n, err := base64.RawURLEncoding.Strict().Decode(raw[:], []byte(secret)); err != nil || n != len(raw) {
		return p, errNoRefresh
	}
	p.Session, p.counter = n, binary.BigEndian.Uint32(raw[:])
	copy(p.mac[:], raw[4:])
	return p, nil
}

// RefreshToken derives the current refresh token of a session. Its error wraps
// splitpin.ErrUnavailable when the session was made with a data key that this node
// does not know yet.
func (s *Service) RefreshToken(session *splitpin.Session) (splitpin.Secret, error) {
	mac, err := s.refreshMAC(session, session.Counter)
	if errors.Is(err, keyring.ErrNoKey) { // another node made it a moment ago
		return "", splitpin.ErrUnavailable.Because(fmt.Errorf("deriving a refresh token: %w", err))
	}
	if err != nil {
		return "", fmt.Errorf("deriving a refresh token: %w", err)
	}
	var raw [36]byte
	binary.BigEndian.PutUint32(raw[:], session.Counter)
	copy(raw[4:], mac[:])
	text := strconv.AppendInt(make([]byte, 0, 72), session.Number, 10)
	text = append(text, ':')
	return splitpin.Secret(base64.RawURLEncoding.AppendEncode(text, raw[:])), nil
}

func (s *Service) refreshMAC(session *splitpin.Session, counter uint32) ([32]byte, error) {
	var numbers [20]byte
	binary.BigEndian.PutUint64(numbers[:], uint64(session.Project))
	binary.BigEndian.PutUint64(numbers[8:], uint64(session.Number))
	binary.BigEndian.PutUint32(numbers[16:], counter)
	return s.ring.MAC(keyring.Refresh, session.KeyGeneration, numbers[:8], numbers[8:16], session.Salt[:], numbers[16:])
}

// Live reports whether a session still gives tokens: it lives, and the data key
// of its tokens was not destroyed.
func (s *Service) Live(session *splitpin.Session, now time.Time) bool {
	return session.Live(now) && !s.ring.Destroyed(keyring.Refresh, session.KeyGeneration)
}

// NewSession returns a session that begins now, under the number and the random
// salt given. It is pure but for the data key, so it may run inside a step. The
// caller adds device, network and origin, and saves it. method is what tokens
// name: "OTP". static is fixed for its life: see Session.Static.
func (s *Service) NewSession(p *splitpin.Project, u *splitpin.User, number int64, salt [16]byte, method string, static bool, now time.Time) *splitpin.Session {
	session := &splitpin.Session{
		Number: number, Project: p.Number, User: u.Number, Salt: salt,
		KeyGeneration: s.ring.Current(keyring.Refresh), Counter: 1,
		Static: static, AuthMethod: method, AuthAt: now,
		CreatedAt: now, UsedAt: now, ExpiresAt: now.Add(AbsoluteLife),
	}
	session.IdleUntil = idleUntil(session, now)
	return session
}

// A Verdict is the decision over a refresh token.
type Verdict int

const (
	// Forged: not genuine. Charge a limit; the session is as it was.
	Forged Verdict = iota
	// Rotated: the session has a new current token. Save it, give the token.
	Rotated
	// Same: give the session's current token. The session of a static token was
	// prolonged: save it. Any other is as it was.
	Same
	// Reused: genuine, but superseded longer ago than the grace. Somebody copied
	// it; the session is revoked now. Save it and write it down.
	Reused
	// Ahead: genuine, but of a counter that the database has not reached: it was
	// restored from a backup. Refuse; the session is as it was.
	Ahead
	// Ended: genuine, but the session gives no more tokens, for whatever reason; or
	// its data key was destroyed, and then nobody can tell whether it is genuine.
	Ended
)

func (v Verdict) String() string {
	return [...]string{"forged", "rotated", "same", "reused", "ahead", "ended"}[v]
}

// DecideRefresh decides over a refresh token that was shown for session, and
// alters session as the verdict says. It is pure but for the data key, so it may
// run inside a step. What is not genuine is Forged, whatever state the session is
// in, and never touches it.
//
// The error means that nothing was decided, as when the session was made with a
// data key that this node does not know yet: the client must keep its token and
// try again.
func (s *Service) DecideRefresh(p *splitpin.Project, session *splitpin.Session, presented Presented, now time.Time) (Verdict, error) {
	if session.Project != p.Number || session.Number != presented.Session {
		return Forged, nil
	}
	mac, err := s.refreshMAC(session, presented.counter)
	if errors.Is(err, keyring.ErrDestroyed) {
		return Ended, nil
	}
	if err != nil {
		return Forged, splitpin.ErrUnavailable.Because(fmt.Errorf("checking a refresh token: %w", err))
	}
	if subtle.ConstantTimeCompare(mac[:], presented.mac[:]) != 1 {
		return Forged, nil
	}
	return decide(session, presented.counter, now), nil
}

// decide decides over a genuine token with that counter.
func decide(session *splitpin.Session, counter uint32, now time.Time) Verdict {
	switch {
	case !session.Live(now):
		return Ended
	case counter > session.Counter:
		return Ahead
	case counter < session.Counter && superseded(session, counter, now):
		session.RevokedAt = now
		return Reused
	case counter < session.Counter:
		return Same
	case session.Static:
		session.UsedAt = later(session.UsedAt, now)
		session.IdleUntil = idleUntil(session, now)
		return Same
	case session.Counter == math.MaxUint32:
		return Ended // one more would start over
	}
	rotate(session, now)
	return Rotated
}

// rotate makes the next token current. It keeps three moments at which the
// counter was known: UsedAt, when the current counter came to be, and behind it
// Newer and Older. Newer only makes way for a later moment once it is a grace
// old, so that at any time the tokens superseded two graces ago or longer lie
// below one of the three that is at least one grace old. Each moment says "what
// is below this counter was superseded at or before this time", so no token is
// ever taken for older than it is, however fast the rotations come.
func rotate(session *splitpin.Session, now time.Time) {
	if aged(session.Newer.At, now) {
		session.Older = session.Newer
		session.Newer = splitpin.Mark{Counter: session.Counter, At: session.UsedAt}
	}
	session.Counter++
	// A clock that was set back must not make older what was superseded before.
	session.UsedAt = later(session.UsedAt, now)
	session.IdleUntil = idleUntil(session, now)
}

// superseded reports whether a counter below the current one is known to have
// been superseded longer ago than the grace.
func superseded(session *splitpin.Session, counter uint32, now time.Time) bool {
	return aged(session.UsedAt, now) ||
		counter < session.Newer.Counter && aged(session.Newer.At, now) ||
		counter < session.Older.Counter && aged(session.Older.At, now)
}

func aged(at, now time.Time) bool { return now.Sub(at) >= Grace }

func idleUntil(session *splitpin.Session, now time.Time) time.Time {
	idle := IdleLife
	if session.Static {
		idle = StaticIdleLife
	}
	until := now.Add(idle)
	if until.After(session.ExpiresAt) {
		return session.ExpiresAt
	}
	return until
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}
