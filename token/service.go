package token

import (
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/splitpin/splitpin"
	"github.com/splitpin/splitpin/keyring"
)

// A Service makes and checks the tokens of every project.
type Service struct {
	store     splitpin.Store
	ring      *keyring.Ring
	publicURL string // without a slash at its end
	clock     func() time.Time

	snapshot  atomic.Pointer[snapshot]
	reloading sync.Mutex // one reload at a time, so that an older one cannot win
}

// A snapshot is every live key, ready for use. It is never altered, but for the
// tokens it was seen to verify: those are forgotten together with it, so a key
// that is gone takes them along.
type snapshot struct {
	projects map[int64]*projectKeys // by Project.Number
	headers  map[string]*tokenKey   // by the first part of a token, in base64url
	seen     [seenSets]seenSet
}

// projectKeys are the live keys of one project.
type projectKeys struct {
	project  *splitpin.Project      // as of the last reload
	records  []*splitpin.SigningKey // what the rotation machine looks at
	active   *tokenKey              // nil while the project has none
	identity []*identityKey         // the active one first
	short    bool                   // a flip is near: tokens live shortLifetime

	keySet         published
	identityKeySet published
}

// A tokenKey signs access and id tokens, or did, or will.
type tokenKey struct {
	record  *splitpin.SigningKey
	private *ecdsa.PrivateKey
	header  string       // base64url of the header of every token it signs
	jti     cipher.Block // hides the session's number in the jti
}

type identityKey struct {
	record  *splitpin.SigningKey
	private ed25519.PrivateKey
}

// New returns a Service without keys: call Reload before anything else.
// publicURL is the address of this server, as in https://login.example.org.
func New(store splitpin.Store, ring *keyring.Ring, publicURL string, clock func() time.Time) *Service {
	s := &Service{store: store, ring: ring, publicURL: strings.TrimRight(publicURL, "/"), clock: clock}
	s.snapshot.Store(&snapshot{})
	return s
}

// Issuer returns the iss claim of a project's tokens: what its settings say, else
// the address under which its key set stands. That is the public URL for the
// default project and publicURL/p/ID for every other, whichever path a request
// came by: one project has one issuer.
func (s *Service) Issuer(p *splitpin.Project) string {
	switch {
	case p.Settings.Issuer != "":
		return p.Settings.Issuer
	case p.Default:
		return s.publicURL
	}
	return s.publicURL + "/p/" + p.ID
}

// Reload reads the data keys and signing keys again, and swaps them in at once
// for every caller. When it fails, what was there stays in use, with one
// exception: where new keys are there and the master key that opens them is not
// (keyring.ErrWrongMaster), keys that are gone are forgotten all the same. A
// project without a key gives no token until then.
func (s *Service) Reload(ctx context.Context) error {
	s.reloading.Lock()
	defer s.reloading.Unlock()
	closed := s.ring.Reload(ctx)
	if closed != nil && !errors.Is(closed, keyring.ErrWrongMaster) {
		return closed
	}
	stored, err := s.store.Load(ctx, splitpin.Reads{Settings: true})
	if err != nil {
		return fmt.Errorf("reading the signing keys: %w", err)
	}
	next, err := s.build(stored.Projects, stored.SigningKeys, closed != nil)
	if err != nil {
		return fmt.Errorf("reading the signing keys: %w", err)
	}
	s.snapshot.Store(next)
	return closed
}

// build unwraps the stored keys, taking over those that are unwrapped already.
// With some closed, it leaves out those whose data key is not on the ring.
func (s *Service) build(projects []*splitpin.Project, stored []*splitpin.SigningKey, closed bool) (*snapshot, error) {
	held := s.snapshot.Load()
	next := &snapshot{projects: make(map[int64]*projectKeys), headers: make(map[string]*tokenKey)}
	for _, p := range projects {
		next.projects[p.Number] = &projectKeys{project: p}
	}
	tokenKeys := make(map[int64][]*tokenKey)
	for _, record := range stored {
		if !record.GoneAt.IsZero() {
			continue
		}
		p := next.projects[record.Project]
		if p == nil {
			continue // of a project that was deleted
		}
		p.records = append(p.records, record)
		switch record.Use {
		case splitpin.TokenKey:
			header := headerOf(record.KID)
			k := held.headers[header]
			if k != nil && k.record.Project == record.Project {
				k = &tokenKey{record: record, private: k.private, header: header, jti: k.jti}
			} else {
				var err error
				k, err = s.openTokenKey(record)
				if closed && errors.Is(err, keyring.ErrNoKey) {
					continue
				}
				if err != nil {
					return nil, err
				}
			}
			next.headers[header] = k
			tokenKeys[record.Project] = append(tokenKeys[record.Project], k)
			switch stateOf(record) {
			case Active:
				p.active = k
			case Announced:
				p.short = true
			}
		case splitpin.IdentityKey:
			k, err := s.openIdentityKey(record)
			if closed && errors.Is(err, keyring.ErrNoKey) {
				continue
			}
			if err != nil {
				return nil, err
			}
			p.identity = append(p.identity, k)
		}
	}
	for number, p := range next.projects {
		slices.SortStableFunc(tokenKeys[number], func(a, b *tokenKey) int { return order(a.record) - order(b.record) })
		slices.SortStableFunc(p.identity, func(a, b *identityKey) int { return order(a.record) - order(b.record) })
		var err error
		if p.keySet, err = publishTokenKeys(tokenKeys[number]); err != nil {
			return nil, err
		}
		if p.identityKeySet, err = publishIdentityKeys(p.identity); err != nil {
			return nil, err
		}
	}
	return next, nil
}

// keys returns the keys of a project, or an error that may pass: another node
// may have made the project a moment ago.
func (s *Service) keys(p *splitpin.Project) (*projectKeys, error) {
	keys := s.snapshot.Load().projects[p.Number]
	if keys == nil || keys.active == nil {
		return nil, splitpin.ErrUnavailable.Because(fmt.Errorf("project %s has no signing key here (yet)", p.ID))
	}
	return keys, nil
}

// NewKeys makes the keys of a new project, active from now on, and saves
// nothing: give them to the step that creates the project, so that both are
// there or neither.
func (s *Service) NewKeys(ctx context.Context, p *splitpin.Project, now time.Time) ([]*splitpin.SigningKey, error) {
	var keys []*splitpin.SigningKey
	for _, use := range []splitpin.KeyUse{splitpin.TokenKey, splitpin.IdentityKey} {
		k, err := newKey(ctx, s.store, s.ring, p.Number, use, now)
		if err != nil {
			return nil, err
		}
		k.ActiveAt = now
		keys = append(keys, k)
	}
	return keys, nil
}

// newKey makes a key that was announced now, sealed by the ring. It saves nothing,
// and draws what is random, so it is no part of a step.
func newKey(ctx context.Context, store splitpin.Store, ring *keyring.Ring, project int64, use splitpin.KeyUse, now time.Time) (*splitpin.SigningKey, error) {
	number, err := store.NextNumber(ctx)
	if err != nil {
		return nil, fmt.Errorf("making a signing key: %w", err)
	}
	k := &splitpin.SigningKey{Number: number, Project: project, Use: use, AnnouncedAt: now}
	var private []byte
	switch use {
	case splitpin.TokenKey:
		key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			return nil, fmt.Errorf("making a signing key: %w", err)
		}
		if k.Public, err = key.PublicKey.Bytes(); err != nil {
			return nil, fmt.Errorf("making a signing key: %w", err)
		}
		if private, err = key.Bytes(); err != nil {
			return nil, fmt.Errorf("making a signing key: %w", err)
		}
	case splitpin.IdentityKey:
		public, key, err := ed25519.GenerateKey(rand.Reader)
		if err != nil {
			return nil, fmt.Errorf("making a signing key: %w", err)
		}
		k.Public, private = public, key.Seed()
	default:
		return nil, fmt.Errorf("making a signing key: unknown use %q", use)
	}
	k.KID = thumbprint(use, k.Public)
	if k.Generation, k.Wrapped, err = ring.Seal(keyring.Signing, private, sealedWith(k)); err != nil {
		return nil, fmt.Errorf("making a signing key: %w", err)
	}
	return k, nil
}

// sealedWith binds a private key to its place: a row that was copied to another
// project or use does not open.
func sealedWith(k *splitpin.SigningKey) []byte {
	return fmt.Appendf(nil, "splitpin signing key\x00%d\x00%s\x00%s", k.Project, k.Use, k.KID)
}

func (s *Service) openTokenKey(record *splitpin.SigningKey) (*tokenKey, error) {
	raw, err := s.ring.Unseal(keyring.Signing, record.Generation, record.Wrapped, sealedWith(record))
	if err != nil {
		return nil, fmt.Errorf("opening the key %s: %w", record.KID, err)
	}
	private, err := ecdsa.ParseRawPrivateKey(elliptic.P256(), raw)
	if err != nil {
		return nil, fmt.Errorf("opening the key %s: %w", record.KID, err)
	}
	public, err := private.PublicKey.Bytes()
	if err != nil || !slices.Equal(public, record.Public) || thumbprint(record.Use, public) != record.KID {
		return nil, fmt.Errorf("opening the key %s: its public half was altered", record.KID)
	}
	hide, err := s.ring.MAC(keyring.Signing, record.Generation, []byte("session in jti"), []byte(record.KID))
	if err != nil {
		return nil, fmt.Errorf("opening the key %s: %w", record.KID, err)
	}
	block, err := aes.NewCipher(hide[:])
	if err != nil {
		return nil, fmt.Errorf("opening the key %s: %w", record.KID, err)
	}
	return &tokenKey{record: record, private: private, header: headerOf(record.KID), jti: block}, nil
}

func (s *Service) openIdentityKey(record *splitpin.SigningKey) (*identityKey, error) {
	raw, err := s.ring.Unseal(keyring.Signing, record.Generation, record.Wrapped, sealedWith(record))
	if err != nil {
		return nil, fmt.Errorf("opening the key %s: %w", record.KID, err)
	}
	if len(raw) != ed25519.SeedSize {
		return nil, fmt.Errorf("opening the key %s: it is no Ed25519 key", record.KID)
	}
	private := ed25519.NewKeyFromSeed(raw)
	public := private.Public().(ed25519.PublicKey)
	if !slices.Equal(public, record.Public) || thumbprint(record.Use, public) != record.KID {
		return nil, fmt.Errorf("opening the key %s: its public half was altered", record.KID)
	}
	return &identityKey{record: record, private: private}, nil
}
