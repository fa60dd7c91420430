package token

import (
	"context"
	"fmt"
	"time"

	"github.com/splitpin/splitpin"
	"github.com/splitpin/splitpin/keyring"
)

// A Succession is what Succeed did.
type Succession struct {
	Projects []*splitpin.Project // whose keys were replaced
	Done     bool                // it was done before: this call changed nothing
}

// Succeed ends what a master key that strangers may know has protected: it wraps
// with next, destroys every data key but that of the audit log, and replaces
// every signing key. So every session, every open attempt and every token made so
// far is over, and nothing that strangers derive or unwrap is of use.
//
// All of it is one transaction, and its size does not depend on how many sessions
// there are: a session is over because its data key is gone. Doing it again
// with the same next does nothing, so a command that was cut off is repeated.
// Nodes that run notice when they reload; they serve again when they know next.
func Succeed(ctx context.Context, store splitpin.Store, olds []keyring.Master, next keyring.Master, now time.Time) (*Succession, error) {
	var out *Succession
	err := keyring.Change(ctx, store, func(records *splitpin.Records) (splitpin.Writes, error) {
		out = &Succession{Projects: records.Projects}
		writes, ring, done, err := keyring.Succeed(records.DataKeys, olds, next, now)
		if err != nil || done {
			out.Done = done
			return splitpin.Writes{}, err
		}
		number, err := store.NextNumber(ctx)
		if err != nil {
			return splitpin.Writes{}, fmt.Errorf("asking for a number: %w", err)
		}
		writes.Create = append(writes.Create, &splitpin.AuditEvent{Number: number, At: now,
			Kind: "master_key_changed", Detail: "compromised"})
		for _, p := range records.Projects {
			w, err := replaceKeys(ctx, store, ring, p, records.SigningKeys, now)
			if err != nil {
				return splitpin.Writes{}, err
			}
			writes.Create, writes.Put = append(writes.Create, w.Create...), append(writes.Put, w.Put...)
		}
		return writes, nil
	})
	if err != nil {
		return nil, fmt.Errorf("replacing a compromised master key: %w", err)
	}
	return out, nil
}

// replaceKeys gives a project new keys of every use, active from now on, and ends
// the old ones.
func replaceKeys(ctx context.Context, store splitpin.Store, ring *keyring.Ring, p *splitpin.Project, keys []*splitpin.SigningKey, now time.Time) (splitpin.Writes, error) {
	var writes splitpin.Writes
	for _, use := range []splitpin.KeyUse{splitpin.TokenKey, splitpin.IdentityKey} {
		k, err := newKey(ctx, store, ring, p.Number, use, now)
		if err != nil {
			return writes, err
		}
		k.ActiveAt = now
		number, err := store.NextNumber(ctx)
		if err != nil {
			return writes, fmt.Errorf("asking for a number: %w", err)
		}
		writes.Create = append(writes.Create, k, keyEvent(number, k, now, "key_replaced"))
	}
	for _, k := range keys {
		if k.Project == p.Number && stateOf(k) != Gone {
			gone := *k
			gone.GoneAt = now
			writes.Put = append(writes.Put, &gone)
		}
	}
	return writes, nil
}

// keyEvent is the line of the audit log about a signing key.
func keyEvent(number int64, k *splitpin.SigningKey, now time.Time, kind string) *splitpin.AuditEvent {
	return &splitpin.AuditEvent{Number: number, Project: k.Project, At: now, Kind: kind, Detail: string(k.Use) + " " + k.KID}
}
