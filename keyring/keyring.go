// Package keyring keeps the data keys: the keys that codes, refresh tokens and
// sealed private keys are made with. They lie in the database wrapped by the
// [Master], which lies elsewhere, so that nothing in the database alone lets its
// reader sign in.
//
// Each purpose has keys of its own, in generations. The newest is used; older
// ones stay while something made with them may live. A [Ring] holds them
// unwrapped and is safe for use by many goroutines without any lock.
//
// The master key wraps and does nothing else. To change it, [Rewrap] wraps every
// data key anew in one transaction. Nodes that run go on meanwhile, because they
// hold the data keys themselves; nodes that start are given both masters:
//
//	Open(ctx, store, now, newMaster, oldMaster)
//
// A master key that strangers may know takes its data keys with it: [Succeed]
// makes new generations and destroys the old ones. Of a destroyed generation the
// row stays, without the key, so that what was made with it is known to be over
// for good, and can be told from what a newer generation made that this node has
// not seen yet.
package keyring

import (
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/binary"
	"errors"
	"fmt"
	"hash"
	"reflect"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/splitpin/splitpin"
)

// The purposes of data keys. What is made with the keys of one is of no use for
// another.
const (
	Codes   = "codes"   // codes and links, derived when they are sent
	Refresh = "refresh" // refresh tokens
	Signing = "signing" // seals the private keys that sign tokens
	Audit   = "audit"   // pseudonyms in the audit log
	Browser = "browser" // cookies and recognition of browsers
	Puzzle  = "puzzle"  // challenges that slow strangers down
	Webhook = "webhook" // secrets by which backends of a project know what we tell them
	Social  = "social"  // seals what providers gave us: client secrets, and the tokens of people
	Doctor  = "doctor"  // passes by which 'splitpin doctor' shows a server that it belongs here
)

// check is the purpose of the record that tells whether a master is right. It
// holds no key.
const check = "check"

var purposes = []string{Codes, Refresh, Signing, Audit, Browser, Puzzle, Webhook, Social, Doctor}

// Purposes returns the purposes that every ring has keys for.
func Purposes() []string { return slices.Clone(purposes) }

var (
	// ErrWrongMaster is returned where none of the masters given is the one that
	// wrapped the database's keys.
	ErrWrongMaster = &splitpin.Error{Kind: splitpin.Internal, Code: "master_key_wrong",
		Message: "This master key does not open this database: its keys are wrapped with another one. " +
			"Give the key that was in use when this database was last served; after a change of the master key, give the new one. " +
			"Without it nobody can read the sessions and signing keys in here."}

	// ErrNoKey is returned where a purpose or a generation is not on the ring. A
	// generation that another node made a moment ago arrives with Reload.
	ErrNoKey = errors.New("no such data key")

	// ErrDestroyed is returned where a generation was destroyed because strangers
	// may know it. Nothing that was made with it is good any more, ever.
	ErrDestroyed = errors.New("data key destroyed")
)

// A Ring holds the data keys, unwrapped.
type Ring struct {
	store   splitpin.Store
	masters []Master
	keys    atomic.Pointer[map[string][]*dataKey] // by purpose, in order of generation; never altered, only replaced

	reloading sync.Mutex // one reload at a time, so that an older one cannot win
}

// Open reads the data keys and makes those that are missing; in a new database
// that is all of them. The masters are tried in order: the first is the current
// one, which wraps what is missing in a new database; the others are accepted
// while a change of the master key is under way.
//
// Where no master fits, the error is ErrWrongMaster and the database is as it
// was.
func Open(ctx context.Context, store splitpin.Store, now time.Time, masters ...Master) (*Ring, error) {
	if len(masters) == 0 || slices.ContainsFunc(masters, Master.IsZero) {
		return nil, errors.New("opening the data keys: there is no master key")
	}
	r := &Ring{store: store, masters: slices.Clone(masters)}

	err := Change(ctx, store, func(records *splitpin.Records) (splitpin.Writes, error) {
		missing, err := r.missing(records.DataKeys, now)
		return splitpin.Writes{Create: missing}, err
	})
	if err != nil {
		return nil, fmt.Errorf("opening the data keys: %w", err)
	}
	if err := r.Reload(ctx); err != nil {
		return nil, err
	}
	return r, nil
}

// Read is Open for who only looks: it makes nothing. A purpose whose keys are missing
// has none on this ring either, and its use is ErrNoKey.
func Read(ctx context.Context, store splitpin.Store, masters ...Master) (*Ring, error) {
	if len(masters) == 0 || slices.ContainsFunc(masters, Master.IsZero) {
		return nil, errors.New("reading the data keys: there is no master key")
	}
	r := &Ring{store: store, masters: slices.Clone(masters)}
	if err := r.Reload(ctx); err != nil {
		return nil, err
	}
	return r, nil
}

// Change saves what prepare makes of the settings: all projects, data keys and
// signing keys. prepare runs before the step, so that it may draw keys and nonces
// and ask for numbers; it must not alter what it is given. Where the settings
// changed before the step, it runs again. With nothing to save there is no step:
// most starts find everything in place and write nothing.
func Change(ctx context.Context, store splitpin.Store, prepare func(*splitpin.Records) (splitpin.Writes, error)) error {
	settings := splitpin.Reads{Settings: true}
	for {
		seen, err := store.Load(ctx, settings)
		if err != nil {
			return err
		}
		writes, err := prepare(seen)
		if err != nil || len(writes.Create)+len(writes.Put)+len(writes.Delete) == 0 {
			return err
		}
		same := false
		err = store.Change(ctx, settings, func(found *splitpin.Records) (splitpin.Writes, error) {
			if same = reflect.DeepEqual(found, seen); !same {
				return splitpin.Writes{}, nil
			}
			return writes, nil
		})
		if err != nil || same {
			return err
		}
	}
}

// missing returns the data keys that a database with these lacks.
func (r *Ring) missing(stored []*splitpin.DataKey, now time.Time) ([]splitpin.Record, error) {
	var create []splitpin.Record
	master := r.masters[0]
	if len(stored) == 0 {
		create = append(create, checkRecord(master, now))
	} else {
		var err error
		if master, err = fitting(stored, r.masters); err != nil {
			return nil, err
		}
	}
	for _, purpose := range purposes {
		if newest(stored, purpose) == 0 {
			create = append(create, wrap(master, purpose, 1, newKey(), now))
		}
	}
	return create, nil
}

// Reload reads the data keys again, for generations that other nodes made. Keys
// that the ring holds already are kept as they are, so a ring goes on when the
// master key was changed while it was open; those destroyed meanwhile are
// forgotten in any case. When there are new generations and no master to unwrap
// them, the error is ErrWrongMaster: see Usable and Offer.
func (r *Ring) Reload(ctx context.Context) error {
	r.reloading.Lock()
	defer r.reloading.Unlock()
	stored, err := r.store.DataKeys(ctx)
	if err != nil {
		return fmt.Errorf("reading the data keys: %w", err)
	}
	var held map[string][]*dataKey
	if p := r.keys.Load(); p != nil {
		held = *p
	}
	keys := make(map[string][]*dataKey)
	master, wrong := fitting(stored, r.masters)
	var closed error // of keys that no master here opens
	for _, k := range stored {
		if k.Purpose == check {
			continue
		}
		key := find(held[k.Purpose], k.Generation)
		if destroyed(k) {
			key = &dataKey{generation: k.Generation}
		}
		if key == nil {
			if wrong != nil {
				closed = fmt.Errorf("reading the data keys: %w", wrong)
				continue
			}
			raw, err := unwrap(master, k)
			if err != nil {
				return fmt.Errorf("reading the data keys: %w", err)
			}
			if key, err = newDataKey(k.Generation, raw); err != nil {
				return fmt.Errorf("reading the data keys: %w", err)
			}
		}
		keys[k.Purpose] = append(keys[k.Purpose], key)
	}
	for _, list := range keys {
		slices.SortFunc(list, func(a, b *dataKey) int { return a.generation - b.generation })
	}
	r.keys.Store(&keys)
	return closed
}

// Offer gives the ring further masters, for the next Reload to try: those of an
// operator who put a new key in the place of the old one while this node ran.
func (r *Ring) Offer(masters ...Master) {
	r.reloading.Lock()
	defer r.reloading.Unlock()
	r.masters = slices.DeleteFunc(slices.Clone(masters), Master.IsZero)
}

// Usable reports why nothing can be made with this ring: a purpose has no key
// that was not destroyed, because the master key was changed and the new one is
// not known here. The error is ErrWrongMaster then.
func (r *Ring) Usable() error {
	keys := *r.keys.Load()
	for _, purpose := range purposes {
		if list := keys[purpose]; len(list) == 0 || list[len(list)-1].destroyed() {
			return ErrWrongMaster
		}
	}
	return nil
}

// Destroyed reports whether that generation of purpose was destroyed. It does not
// call a generation destroyed that it never heard of.
func (r *Ring) Destroyed(purpose string, generation int) bool {
	k := find((*r.keys.Load())[purpose], generation)
	return k != nil && k.destroyed()
}

// Advance makes a new generation of each purpose, in one transaction, and uses
// it from now on. Other nodes learn of it when they reload; until then they go
// on with the generation before. Advance refuses with ErrWrongMaster when the
// master key was changed since the ring was opened.
func (r *Ring) Advance(ctx context.Context, now time.Time, names ...string) error {
	for _, purpose := range names {
		if !slices.Contains(purposes, purpose) {
			return fmt.Errorf("making a new data key: %w: %q", ErrNoKey, purpose)
		}
	}
	err := Change(ctx, r.store, func(records *splitpin.Records) (splitpin.Writes, error) {
		master, err := fitting(records.DataKeys, r.masters)
		if err != nil {
			return splitpin.Writes{}, err
		}
		var writes splitpin.Writes
		for _, purpose := range names {
			next := newest(records.DataKeys, purpose) + 1
			writes.Create = append(writes.Create, wrap(master, purpose, next, newKey(), now))
		}
		return writes, nil
	})
	if err != nil {
		return fmt.Errorf("making new data keys: %w", err)
	}
	return r.Reload(ctx)
}

// Rewrap changes the master key: it wraps every data key with the master next
// instead of old, in one transaction. Data keys and what was made with them stay
// the same, so nobody is signed out. Doing it again does nothing.
func Rewrap(ctx context.Context, store splitpin.Store, old, next Master, now time.Time) error {
	if old.IsZero() || next.IsZero() {
		return errors.New("changing the master key: there is none")
	}
	number, err := store.NextNumber(ctx)
	if err != nil {
		return fmt.Errorf("changing the master key: %w", err)
	}
	err = Change(ctx, store, func(records *splitpin.Records) (splitpin.Writes, error) {
		var writes splitpin.Writes
		if len(records.DataKeys) == 0 {
			return writes, errors.New("this database has no data keys yet; start with the new master key right away")
		}
		if _, err := fitting(records.DataKeys, []Master{next}); err == nil {
			return writes, nil
		}
		if _, err := fitting(records.DataKeys, []Master{old}); err != nil {
			return writes, err
		}
		for _, k := range records.DataKeys {
			var changed *splitpin.DataKey
			if destroyed(k) {
				continue
			}
			if k.Purpose == check {
				changed = checkRecord(next, now)
			} else {
				raw, err := unwrap(old, k)
				if err != nil {
					return splitpin.Writes{}, err
				}
				changed = wrap(next, k.Purpose, k.Generation, raw, k.CreatedAt)
			}
			writes.Put = append(writes.Put, changed)
		}
		writes.Create = append(writes.Create, &splitpin.AuditEvent{Number: number, At: now, Kind: "master_key_changed"})
		return writes, nil
	})
	if err != nil {
		return fmt.Errorf("changing the master key: %w", err)
	}
	return nil
}

// ErrSameMaster is returned by Succeed where the new master key is the one in use.
var ErrSameMaster = &splitpin.Error{Kind: splitpin.Conflict, Code: "master_key_same",
	Message: "The data is wrapped with this master key already. In the place of one that strangers may know " +
		"a new one is needed: make it with 'splitpin master-key new FILE'."}

// Succeed prepares the end of a master key that strangers may know. It returns
// what to save of the data keys: a new generation of each, wrapped with next, and
// the old ones destroyed; and a ring that has the new generations, with which the
// rest of what is saved with it can be sealed. It draws keys, so it belongs into a
// Change of this package. The ring is good for that only.
//
// The key of the audit log alone stays as it is, wrapped anew: without it nobody
// could ask the log about a person any more. Who knows it can tell whose lines
// are in a log that they also have, and nothing else.
//
// Where this was done with the same next before, as by a command that was cut off
// after its commit, there is nothing to save and done is true.
func Succeed(stored []*splitpin.DataKey, olds []Master, next Master, now time.Time) (writes splitpin.Writes, successor *Ring, done bool, err error) {
	if _, err := fitting(stored, []Master{next}); err == nil {
		// A succession gives the check value and the new keys one moment; a mere
		// change of the master key leaves the keys their own.
		if succeeded(stored) {
			return writes, nil, true, nil
		}
		return writes, nil, false, ErrSameMaster
	}
	old, err := fitting(stored, olds)
	if err != nil {
		return writes, nil, false, err
	}
	keys := make(map[string][]*dataKey)
	writes.Put = append(writes.Put, checkRecord(next, now))
	for _, k := range stored {
		switch {
		case k.Purpose == check || destroyed(k):
			continue
		case k.Purpose == Audit:
			raw, err := unwrap(old, k)
			if err != nil {
				return splitpin.Writes{}, nil, false, err
			}
			writes.Put = append(writes.Put, wrap(next, k.Purpose, k.Generation, raw, k.CreatedAt))
		default:
			writes.Put = append(writes.Put, &splitpin.DataKey{Purpose: k.Purpose, Generation: k.Generation, CreatedAt: k.CreatedAt})
		}
	}
	for _, purpose := range purposes {
		if purpose == Audit {
			continue
		}
		raw, generation := newKey(), newest(stored, purpose)+1
		key, err := newDataKey(generation, raw)
		if err != nil {
			return splitpin.Writes{}, nil, false, err
		}
		keys[purpose] = []*dataKey{key}
		writes.Create = append(writes.Create, wrap(next, purpose, generation, raw, now))
	}
	successor = &Ring{}
	successor.keys.Store(&keys)
	return writes, successor, false, nil
}

// succeeded reports whether the oldest key in use of every purpose is exactly as
// old as the check value, and follows one that was destroyed.
func succeeded(stored []*splitpin.DataKey) bool {
	i := slices.IndexFunc(stored, func(k *splitpin.DataKey) bool { return k.Purpose == check })
	for _, purpose := range purposes {
		if purpose == Audit {
			continue
		}
		var oldest *splitpin.DataKey
		follows := false
		for _, k := range stored {
			switch {
			case k.Purpose != purpose:
			case destroyed(k):
				follows = true
			case oldest == nil || k.Generation < oldest.Generation:
				oldest = k
			}
		}
		if oldest == nil || !follows || i < 0 || !oldest.CreatedAt.Equal(stored[i].CreatedAt) {
			return false
		}
	}
	return true
}

// destroyed reports whether a stored key is what Succeed left of one.
func destroyed(k *splitpin.DataKey) bool { return len(k.Wrapped) == 0 }

// Current returns the generation that is used now. It panics for a purpose that
// is none: that is a mistake in the program.
func (r *Ring) Current(purpose string) int {
	list := (*r.keys.Load())[purpose]
	if len(list) == 0 {
		panic("keyring: no purpose " + purpose)
	}
	return list[len(list)-1].generation
}

// MAC returns HMAC-SHA256 over parts, each preceded by its length, under the key
// of that purpose and generation. The error is ErrNoKey where there is no such
// generation, ErrDestroyed where there was.
func (r *Ring) MAC(purpose string, generation int, parts ...[]byte) ([32]byte, error) {
	var sum [32]byte
	k, err := r.key(purpose, generation)
	if err != nil {
		return sum, err
	}
	// The parts are copied, because what is handed to a hash.Hash would have to be
	// allocated by the caller.
	s := k.macs.Get().(*macState)
	s.buf = s.buf[:0]
	for _, part := range parts {
		s.buf = binary.BigEndian.AppendUint32(s.buf, uint32(len(part)))
		s.buf = append(s.buf, part...)
	}
	s.mac.Write(s.buf)
	s.buf = s.mac.Sum(s.buf[:0])
	copy(sum[:], s.buf)
	s.mac.Reset() // cheap: the keyed state is kept
	k.macs.Put(s)
	return sum, nil
}

// Seal encrypts plaintext under the current key of purpose and binds it to aad.
// It returns the generation, which Unseal needs.
func (r *Ring) Seal(purpose string, plaintext, aad []byte) (generation int, sealed []byte, err error) {
	list := (*r.keys.Load())[purpose]
	if len(list) == 0 {
		return 0, nil, fmt.Errorf("%w: %s", ErrNoKey, purpose)
	}
	k, err := r.key(purpose, list[len(list)-1].generation)
	if err != nil {
		return 0, nil, err
	}
	return k.generation, k.aead.Seal(nil, nil, plaintext, aad), nil
}

// Unseal returns what Seal was given. It fails where sealed or aad is anything
// else than it was then.
func (r *Ring) Unseal(purpose string, generation int, sealed, aad []byte) ([]byte, error) {
	k, err := r.key(purpose, generation)
	if err != nil {
		return nil, err
	}
	plaintext, err := k.aead.Open(nil, nil, sealed, aad)
	if err != nil {
		return nil, fmt.Errorf("unsealing with the data key %s %d: %w", purpose, generation, err)
	}
	return plaintext, nil
}

// key returns the key of a purpose and generation.
func (r *Ring) key(purpose string, generation int) (*dataKey, error) {
	k := find((*r.keys.Load())[purpose], generation)
	switch {
	case k == nil:
		return nil, fmt.Errorf("%w: %s %d", ErrNoKey, purpose, generation)
	case k.destroyed():
		return nil, fmt.Errorf("%w: %s %d", ErrDestroyed, purpose, generation)
	}
	return k, nil
}

// A dataKey is one key, ready for use. Sealing and authenticating use keys of
// their own, derived from it. One that was destroyed has a generation only.
type dataKey struct {
	generation int
	aead       cipher.AEAD // draws its nonces itself and puts them first
	macs       *sync.Pool  // of *macState: keyed already, so that a MAC costs half
}

type macState struct {
	mac hash.Hash
	buf []byte
}

func (k *dataKey) destroyed() bool { return k.aead == nil }

func newDataKey(generation int, raw []byte) (*dataKey, error) {
	aead, err := newAEAD(raw, "splitpin data key: seal")
	if err != nil {
		return nil, err
	}
	macKey, err := hkdf.Key(sha256.New, raw, nil, "splitpin data key: authenticate", 32)
	if err != nil {
		return nil, err
	}
	macs := &sync.Pool{New: func() any {
		mac := hmac.New(sha256.New, macKey)
		mac.Reset() // keeps the keyed state for every Reset after this one
		return &macState{mac: mac, buf: make([]byte, 0, 256)}
	}}
	return &dataKey{generation: generation, aead: aead, macs: macs}, nil
}

func newKey() []byte {
	raw := make([]byte, 32)
	rand.Read(raw)
	return raw
}

func newAEAD(secret []byte, label string) (cipher.AEAD, error) {
	key, err := hkdf.Key(sha256.New, secret, nil, label, 32)
	if err != nil {
		return nil, err
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	return cipher.NewGCMWithRandomNonce(block)
}

// wrapping returns the cipher that a master wraps with. Its key and that of the
// check value are derived apart.
func wrapping(m Master) cipher.AEAD {
	aead, err := newAEAD(m.reveal()[:], "splitpin master key: wrap")
	if err != nil {
		panic(err) // lengths are ours and right
	}
	return aead
}

// wrapped names what is wrapped, so that no key passes for one of another purpose
// or generation.
func wrapped(purpose string, generation int) []byte {
	return fmt.Appendf(nil, "splitpin data key\x00%s\x00%d", purpose, generation)
}

func wrap(m Master, purpose string, generation int, raw []byte, createdAt time.Time) *splitpin.DataKey {
	return &splitpin.DataKey{
		Purpose: purpose, Generation: generation, CreatedAt: createdAt,
		Wrapped: wrapping(m).Seal(nil, nil, raw, wrapped(purpose, generation)),
	}
}

func unwrap(m Master, k *splitpin.DataKey) ([]byte, error) {
	raw, err := wrapping(m).Open(nil, nil, k.Wrapped, wrapped(k.Purpose, k.Generation))
	if err != nil || len(raw) != 32 {
		return nil, fmt.Errorf("the data key %s %d was altered: the master key is right, but does not unwrap it", k.Purpose, k.Generation)
	}
	return raw, nil
}

const saltSize = 16

// checkRecord returns the record by which a master is recognised: a random salt
// and a value derived from both.
func checkRecord(m Master, now time.Time) *splitpin.DataKey {
	salt := make([]byte, saltSize)
	rand.Read(salt)
	return &splitpin.DataKey{Purpose: check, Generation: 1, CreatedAt: now, Wrapped: append(salt, checkValue(m, salt)...)}
}

func checkValue(m Master, salt []byte) []byte {
	value, err := hkdf.Key(sha256.New, m.reveal()[:], salt, "splitpin master key: check", 32)
	if err != nil {
		panic(err) // lengths are ours and right
	}
	return value
}

// fitting returns the master that wrapped the stored keys, or ErrWrongMaster.
func fitting(stored []*splitpin.DataKey, masters []Master) (Master, error) {
	i := slices.IndexFunc(stored, func(k *splitpin.DataKey) bool { return k.Purpose == check })
	if i < 0 || len(stored[i].Wrapped) <= saltSize {
		return Master{}, errors.New("this database has data keys but no check value: it is damaged; restore a backup")
	}
	salt, value := stored[i].Wrapped[:saltSize], stored[i].Wrapped[saltSize:]
	for _, m := range masters {
		if subtle.ConstantTimeCompare(checkValue(m, salt), value) == 1 {
			return m, nil
		}
	}
	return Master{}, ErrWrongMaster
}

// newest returns the highest generation of purpose, zero where there is none.
func newest(stored []*splitpin.DataKey, purpose string) int {
	generation := 0
	for _, k := range stored {
		if k.Purpose == purpose {
			generation = max(generation, k.Generation)
		}
	}
	return generation
}

// find looks from the newest on, which is nearly always the one.
func find(list []*dataKey, generation int) *dataKey {
	for i := len(list) - 1; i >= 0; i-- {
		if list[i].generation == generation {
			return list[i]
		}
	}
	return nil
}
