package token

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/splitpin/splitpin"
)

// Skew is the slack in every wait of the rotation machine. It covers the clocks
// of verifiers (60 s off), the clocks of our nodes (5 s off, each) and the time
// until every node has reloaded its keys: the server must see to it that this is
// at most ReloadWithin.
const Skew = 2 * time.Minute

// ReloadWithin is how soon every node must call Reload after the store's Version
// grew.
const ReloadWithin = 30 * time.Second

// A State is how far a signing key has come.
type State int

const (
	Announced State = iota // published; signs nothing yet
	Active                 // signs
	Retiring               // signs no more; published while tokens of it live
	Gone                   // forgotten
)

func (s State) String() string {
	return [...]string{"announced", "active", "retiring", "gone"}[s]
}

// StateOf returns the state of a key.
func StateOf(k *splitpin.SigningKey) State { return stateOf(k) }

func stateOf(k *splitpin.SigningKey) State {
	switch {
	case !k.GoneAt.IsZero():
		return Gone
	case !k.RetiringAt.IsZero():
		return Retiring
	case !k.ActiveAt.IsZero():
		return Active
	}
	return Announced
}

// order is the place of a key in the published sets: the one that signs first,
// a new one last.
func order(k *splitpin.SigningKey) int {
	return [...]int{Announced: 2, Active: 0, Retiring: 1, Gone: 3}[stateOf(k)]
}

// ActiveFrom returns when an announced key takes over. By then
//
//   - every verifier that honours the cache headers has the key: its copy of the
//     set, taken through one more cache that honours them, is at most two
//     KeySetMaxAge old;
//   - the tokens made before the announcement, with the project's ordinary
//     lifetime, have expired. Those made since live ShortLifetime. So few tokens
//     of the old key are about, which is what old verifiers, who know one key
//     only, stumble over.
func ActiveFrom(p *splitpin.Project, k *splitpin.SigningKey) time.Time {
	return k.AnnouncedAt.Add(max(2*KeySetMaxAge, settingOf(p)) + Skew)
}

// GoneFrom returns when a retiring key is forgotten: when the last token that it
// can have signed has expired, whatever lifetimes were set meanwhile.
func GoneFrom(k *splitpin.SigningKey) time.Time {
	return k.RetiringAt.Add(MaxLifetime + Skew)
}

// due returns the keys of project p that move on at now, altered, each a copy. A
// new key takes over and the old one retires in one go: there is always exactly
// one that signs.
func due(p *splitpin.Project, keys []*splitpin.SigningKey, now time.Time) []*splitpin.SigningKey {
	var moved []*splitpin.SigningKey
	flip := false
	for _, k := range keys {
		switch {
		case k.Project != p.Number:
		case stateOf(k) == Announced && !flip && !now.Before(ActiveFrom(p, k)):
			flip = true
			next := *k
			next.ActiveAt = now
			moved = append(moved, &next)
			for _, o := range keys {
				if o.Project == p.Number && o.Use == k.Use && stateOf(o) == Active {
					old := *o
					old.RetiringAt = now
					moved = append(moved, &old)
				}
			}
		case stateOf(k) == Retiring && !now.Before(GoneFrom(k)):
			old := *k
			old.GoneAt = now
			moved = append(moved, &old)
		}
	}
	return moved
}

// Step moves on every key whose time has come, on any number of nodes at once.
// It reports whether there was one. With nothing due it looks at the snapshot
// only, so it may be called often.
func (s *Service) Step(ctx context.Context, now time.Time) (worked bool, err error) {
	pending := 0
	for _, p := range s.snapshot.Load().projects {
		pending += len(due(p.project, p.records, now))
	}
	if pending == 0 {
		return false, nil
	}
	numbers := make([]int64, pending)
	for i := range numbers {
		if numbers[i], err = s.store.NextNumber(ctx); err != nil {
			return false, fmt.Errorf("asking for a number: %w", err)
		}
	}
	err = s.store.Change(ctx, splitpin.Reads{Settings: true}, func(records *splitpin.Records) (splitpin.Writes, error) {
		var writes splitpin.Writes
		for _, p := range records.Projects {
			moved := due(p, records.SigningKeys, now)
			if len(writes.Put)+len(moved) > len(numbers) {
				break // the snapshot knew of fewer: the next step moves the rest
			}
			for _, k := range moved {
				writes.Create = append(writes.Create, keyEvent(numbers[len(writes.Put)], k, now, "key_"+stateOf(k).String()))
				writes.Put = append(writes.Put, k)
			}
		}
		worked = len(writes.Put) > 0
		return writes, nil
	})
	if err != nil {
		return false, fmt.Errorf("moving signing keys on: %w", err)
	}
	return worked, s.Reload(ctx)
}

// RotateOptions say how to rotate.
type RotateOptions struct {
	// Compromised replaces every key of the project at once, the Ed25519 key too.
	// Tokens of the old keys fail as soon as verifiers fetch the new set.
	Compromised bool
	// AcceptBreakage says that whoever asks has read what Breakage tells.
	AcceptBreakage bool
}

// A Rotation is one that has begun.
type Rotation struct {
	KID      string    // of the new key
	ActiveAt time.Time // when it takes over
	Breakage string
}

var (
	// ErrBreakage is returned by Rotate until the breakage is accepted. Its message
	// is what Breakage tells.
	ErrBreakage = &splitpin.Error{Kind: splitpin.Conflict, Code: "rotation_breaks"}
	// ErrRotationUnderWay is returned by Rotate while an announced key waits.
	ErrRotationUnderWay = &splitpin.Error{Kind: splitpin.Conflict, Code: "rotation_under_way"}
)

// PlanRotation decides whether the token key of project p may be rotated at now,
// and tells when a key announced then would take over. While another announced
// key waits it refuses with ErrRotationUnderWay, whose message and RetryAfter tell
// when that one takes over.
func PlanRotation(p *splitpin.Project, keys []*splitpin.SigningKey, now time.Time) (activeAt time.Time, err error) {
	for _, k := range keys {
		if k.Project == p.Number && k.Use == splitpin.TokenKey && stateOf(k) == Announced {
			at := ActiveFrom(p, k)
			refusal := *ErrRotationUnderWay.After(max(at.Sub(now), time.Second))
			refusal.Message = fmt.Sprintf("The key %s was announced at %s and takes over at %s. A further rotation can begin after that.",
				k.KID, stamp(k.AnnouncedAt), stamp(at))
			return time.Time{}, &refusal
		}
	}
	return ActiveFrom(p, &splitpin.SigningKey{AnnouncedAt: now}), nil
}

// Rotate begins to replace the key that signs the tokens of project p. A planned
// rotation announces a new key; Step does the rest in its time. A compromised key
// goes at once.
func (s *Service) Rotate(ctx context.Context, p *splitpin.Project, now time.Time, o RotateOptions) (Rotation, error) {
	uses := []splitpin.KeyUse{splitpin.TokenKey}
	if o.Compromised {
		uses = append(uses, splitpin.IdentityKey)
	}
	var fresh []*splitpin.SigningKey
	var events []*splitpin.AuditEvent
	for _, use := range uses {
		k, err := newKey(ctx, s.store, s.ring, p.Number, use, now)
		if err != nil {
			return Rotation{}, err
		}
		number, err := s.store.NextNumber(ctx)
		if err != nil {
			return Rotation{}, fmt.Errorf("asking for a number: %w", err)
		}
		kind := "key_announced"
		if o.Compromised {
			kind = "key_replaced"
		}
		fresh, events = append(fresh, k), append(events, keyEvent(number, k, now, kind))
	}
	var rotation Rotation
	err := s.store.Change(ctx, splitpin.Reads{Settings: true}, func(records *splitpin.Records) (splitpin.Writes, error) {
		i := slices.IndexFunc(records.Projects, func(stored *splitpin.Project) bool { return stored.Number == p.Number })
		if i < 0 {
			return splitpin.Writes{}, splitpin.ErrNotFound
		}
		stored := records.Projects[i]
		rotation = Rotation{KID: fresh[0].KID, ActiveAt: now}
		if !o.Compromised {
			var err error
			if rotation.ActiveAt, err = PlanRotation(stored, records.SigningKeys, now); err != nil {
				return splitpin.Writes{}, err
			}
		}
		rotation.Breakage = Breakage(stored, rotation.ActiveAt, o)
		if !o.AcceptBreakage {
			refusal := *ErrBreakage
			refusal.Message = rotation.Breakage
			return splitpin.Writes{}, &refusal
		}
		var writes splitpin.Writes
		for i, k := range fresh {
			if o.Compromised {
				k.ActiveAt = now
			}
			writes.Create = append(writes.Create, k, events[i])
		}
		for _, k := range records.SigningKeys {
			if o.Compromised && k.Project == p.Number && stateOf(k) != Gone {
				k.GoneAt = now
				writes.Put = append(writes.Put, k)
			}
		}
		return writes, nil
	})
	if err != nil {
		return Rotation{}, fmt.Errorf("rotating the keys of project %s: %w", p.ID, err)
	}
	return rotation, s.Reload(ctx)
}

// Breakage tells an operator whom a rotation cannot spare, and for how long. It
// begins with what is done, or would be where o does not accept the breakage.
func Breakage(p *splitpin.Project, activeAt time.Time, o RotateOptions) string {
	if o.Compromised {
		first := "The keys of project %s are replaced at once."
		if !o.AcceptBreakage {
			first = "The keys of project %s would be replaced at once; nothing has been changed yet."
		}
		return fmt.Sprintf(first+`
- Every access and id token made so far fails at each verifier as soon as it fetches the key set again. Apps recover by themselves with their next refresh.
- Verifiers keep the key set for up to %s. Until then they refuse new tokens, unless they fetch again for a kid they do not know (package client does), and still believe whoever has the old key.
- Verifiers that keep the key for the life of their process (cotter-node, the Flutter package, samples that fetch once) refuse every new token, AND BELIEVE THE OLD KEY, until they are restarted. Restart them now.
- Signed identity tokens made so far fail, and the constant in a patched cotter-token-js must be replaced.
- Sessions go on. To end them too, revoke them.`, p.ID, KeySetMaxAge)
	}
	first := "The new key of project %s is published now and signs from %s on."
	if !o.AcceptBreakage {
		first = "The new key of project %s would be published now and sign from %s on; nothing has been changed yet."
	}
	return fmt.Sprintf(first+`
- Verifiers that follow the cache headers and the kid of each token (package client, most JWT libraries) notice nothing.
- Verifiers that know one key only, because they look for the kid %s or take the first key, and keep it for the life of their process (cotter-node, the Flutter package, samples that fetch once), refuse every token made after %s until they are restarted. Restart them right after it.
- Those of them that have the new key refuse tokens of the old one: for at most %s after it, since tokens live only that long from now on until then.`,
		p.ID, stamp(activeAt), CompatKID, stamp(activeAt), min(ShortLifetime, settingOf(p)))
}

func stamp(t time.Time) string { return t.UTC().Format("2006-01-02 15:04:05 MST") }

// Schedule returns since when the key of one use signs that signs now, and when a
// key of that use moves on next; zero where none does, or there is none.
func (s *Service) Schedule(p *splitpin.Project, use splitpin.KeyUse) (active, next time.Time) {
	keys := s.snapshot.Load().projects[p.Number]
	if keys == nil {
		return active, next
	}
	for _, k := range keys.records {
		if k.Use != use {
			continue
		}
		var at time.Time
		switch stateOf(k) {
		case Active:
			active = k.ActiveAt
			continue
		case Announced:
			at = ActiveFrom(p, k)
		case Retiring:
			at = GoneFrom(k)
		}
		if next.IsZero() || at.Before(next) {
			next = at
		}
	}
	return active, next
}
