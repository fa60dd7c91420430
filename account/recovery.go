package account

import (
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/splitpin/splitpin"
)

// Who must come with a passkey, and has one, is let in by nothing else: not by a code, a
// link, an account elsewhere or a browser that is remembered. Somebody who can only prove
// the address may have lost the passkey, or be somebody else who reads the mail. So that
// proof begins a recovery: it is announced, anybody whom it concerns can cancel it for as
// long as the delay is, and after that one more proof of the address opens the account,
// once (security 27). Who has no passkey yet cannot have lost one, and is asked to make one.

const (
	// DefaultRecoveryDelay is how long a recovery waits: somebody who looks into the mail
	// once a day hears of it in time.
	DefaultRecoveryDelay = 24 * time.Hour
	// RecoveryOpenFor is how long after that the account can be opened, and what was opened
	// be taken back by the link that announced it.
	RecoveryOpenFor = 7 * day
	// LastPasskeyUndoFor is how long the link that told of a passkey can take it back where
	// it is the only one of somebody who must come with one. Whoever finds that mail later
	// would turn the passkey off with it.
	LastPasskeyUndoFor = 7 * day
)

var (
	// ErrPasskeyRequired refuses every proof but that of a passkey.
	ErrPasskeyRequired = &splitpin.Error{Kind: splitpin.Forbidden, Code: "passkey_required",
		Message: "This account is opened with its passkey. If you cannot use it any more, sign in with a code: then you can begin a recovery."}
	// ErrRecoveryOffered says that the answer was right, and that the same answer with the
	// wish for a recovery begins one.
	ErrRecoveryOffered = &splitpin.Error{Kind: splitpin.Forbidden, Code: "recovery_offered",
		Message: "This account is opened with its passkey. Please use it. If you lost it, you can begin a recovery."}
	// ErrRecoveryWaits says that a recovery has begun, and RetryAfter when it opens.
	ErrRecoveryWaits = &splitpin.Error{Kind: splitpin.Forbidden, Code: "recovery_waits",
		Message: "This account is opened with its passkey. A recovery has begun, and a message about it was sent: when the waiting time is over, a new code signs you in once."}
)

// RequiresPasskey reports whether somebody who has a passkey must come with it.
func RequiresPasskey(p *splitpin.Project, u *splitpin.User) bool {
	return p.Settings.PasskeyRequired || u != nil && u.PasskeyRequired
}

// RecoveryDelay is how long recoveries of a project wait.
func RecoveryDelay(p *splitpin.Project) time.Duration {
	if d := p.Settings.RecoveryDelay; d != 0 {
		return d
	}
	return DefaultRecoveryDelay
}

func hasPasskey(now time.Time, all []*splitpin.Credential) bool {
	return slices.ContainsFunc(all, func(c *splitpin.Credential) bool { return c.Kind == splitpin.PasskeyCredential && c.Live(now) })
}

// ShouldMakePasskey reports whether somebody who just signed in should make a passkey at
// once: one is required, and this person has none, or came in by a recovery. shown is what
// the sign-in showed; nil: nothing.
func ShouldMakePasskey(now time.Time, p *splitpin.Project, u *splitpin.User, all []*splitpin.Credential, shown *splitpin.Credential) bool {
	return RequiresPasskey(p, u) && (!hasPasskey(now, all) || shown != nil && shown.Kind == splitpin.RecoveryCredential)
}

// A Recovery is what a credential of that kind keeps.
type recovery struct {
	OpensAt time.Time `json:"opens_at"`
}

// Recovery returns the recovery of a user that has begun and opened nothing yet, and from
// when on it opens; nil: there is none.
func Recovery(now time.Time, all []*splitpin.Credential) (c *splitpin.Credential, opensAt time.Time) {
	for _, c := range all {
		var r recovery
		if c.Kind == splitpin.RecoveryCredential && c.Live(now) && c.UsedAt.IsZero() && json.Unmarshal(c.Data, &r) == nil {
			return c, r.OpensAt
		}
	}
	return nil, time.Time{}
}

// NewRecovery makes the recovery of a user, with a number that the caller gives. A user has
// one at most: all, the credentials of the user, holds one that is to be deleted where
// was is not nil.
func NewRecovery(now time.Time, u *splitpin.User, delay time.Duration, device string, all []*splitpin.Credential) (c, was *splitpin.Credential, err error) {
	opens := now.Add(delay)
	data, err := json.Marshal(recovery{opens})
	if err != nil {
		return nil, nil, fmt.Errorf("writing down a recovery: %w", err)
	}
	for _, other := range all {
		if other.Kind == splitpin.RecoveryCredential {
			was = other
		}
	}
	return &splitpin.Credential{Project: u.Project, User: u.Number, Kind: splitpin.RecoveryCredential, Key: sha256.Sum256(u.ID[:]),
		Data: data, Device: device, CreatedAt: now, ExpiresAt: opens.Add(RecoveryOpenFor)}, was, nil
}

// heldBack decides whether a right answer of somebody is not enough because a passkey is
// required. p is what it came to otherwise; then nothing of that is saved.
func (c Claim) heldBack(now time.Time, p Proved) (Proved, error) {
	all := c.Records.Credentials
	shown := c.Shown != nil && c.Shown.Kind == splitpin.PasskeyCredential
	if shown || c.Attempt.Purpose == splitpin.Enrol || !RequiresPasskey(c.Project, p.User) || !hasPasskey(now, all) {
		return p, nil
	}
	if !c.ByMessage || c.Attempt.Purpose != splitpin.SignIn {
		return Proved{}, ErrPasskeyRequired
	}
	has, opens := Recovery(now, all)
	switch {
	case has == nil && !c.Recover:
		return Proved{}, ErrRecoveryOffered
	case has == nil:
		begun, was, err := NewRecovery(now, p.User, RecoveryDelay(c.Project), c.Attempt.Device, all)
		if err != nil {
			return Proved{}, err
		}
		begun.Number = c.Credential
		w := splitpin.Writes{Create: []splitpin.Record{begun}}
		if was != nil {
			w.Delete = append(w.Delete, was)
		}
		return Proved{User: p.User, Begun: begun, Writes: w}, nil
	case now.Before(opens):
		return Proved{}, ErrRecoveryWaits.After(opens.Sub(now))
	}
	has.UsedAt = now
	p.Credential = has
	p.Writes.Put = append(p.Writes.Put, has)
	return p, nil
}
