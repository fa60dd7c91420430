package client

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

const (
	fetchTimeout = 5 * time.Second  // one fetch, from dialling to the last byte
	maxKeySet    = 64 << 10         // bytes of a key set
	maxKeys      = 100              // keys in a set
	staleAfter   = 24 * time.Hour   // keys older than this verify nothing
	askPause     = time.Minute      // between fetches for unknown kids, and for keys past their max-age
	retryPause   = 5 * time.Second  // between fetches while there is no key to use
	defaultFresh = 5 * time.Minute  // where the answer names no max-age
	leastFresh   = time.Minute      // whatever the answer says
	mostFresh    = 24 * time.Hour   // whatever the answer says
	leeway       = 60 * time.Second // between the clocks of server and backend
)

// A keySource fetches the server's key set and keeps it.
//
// The address comes from the configuration and from nowhere else: nothing in a
// token (iss, jku, jwk, x5u, kid) has a say in where keys are fetched.
type keySource struct {
	url  string
	http *http.Client
	now  func() time.Time
	log  *slog.Logger

	set atomic.Pointer[keySet] // nil until the first fetch succeeded

	mu      sync.Mutex
	flight  chan struct{} // closed when the running fetch is over; nil while none runs
	tried   time.Time     // when the last fetch began
	lastErr error         // how the last fetch ended
}

// A keySet is what one fetch brought. It is never changed.
type keySet struct {
	keys    map[string]*ecdsa.PublicKey // by kid
	fetched time.Time
	fresh   time.Time // until then nobody asks for a newer one
}

// key returns the key with this kid.
//
// A known kid waits for the network only when there is no key set at all or it is
// too old to be used. An unknown one may cause a fetch, once a minute: people who
// send made-up kids cannot make the backend hammer the server, and everyone who
// comes meanwhile shares the one that runs.
func (s *keySource) key(ctx context.Context, kid string) (*ecdsa.PublicKey, error) {
	set, err := s.current(ctx)
	if err != nil {
		return nil, err
	}
	if key, ok := set.keys[kid]; ok {
		return key, nil
	}
	if flight := s.start(askPause); flight != nil {
		if err := wait(ctx, flight); err != nil {
			return nil, err
		}
		if key, ok := s.set.Load().keys[kid]; ok {
			return key, nil
		}
	}
	if err := s.failure(); err != nil {
		// The key may be one of those that could not be fetched.
		return nil, err
	}
	return nil, fmt.Errorf("%w: no key %q at %s; if the keys were changed a moment ago this passes within a minute, "+
		"otherwise the token is from another server or project", ErrUnknownKey, shown(kid), s.url)
}

// current returns a key set that may be used, and sees to it that it is renewed
// in the background when its max-age is over.
func (s *keySource) current(ctx context.Context) (*keySet, error) {
	set, now := s.set.Load(), s.now()
	switch {
	case set != nil && now.Before(set.fresh):
		return set, nil
	case set != nil && now.Sub(set.fetched) < staleAfter:
		s.start(askPause)
		return set, nil
	}
	if flight := s.start(retryPause); flight != nil {
		if err := wait(ctx, flight); err != nil {
			return nil, err
		}
		set = s.set.Load()
	}
	if set == nil || now.Sub(set.fetched) >= staleAfter {
		if err := s.failure(); err != nil {
			return nil, err
		}
		return nil, ErrKeysUnavailable
	}
	return set, nil
}

// start begins a fetch, unless the last one began less than pause ago, and
// returns the channel that is closed when it is over. A fetch that runs already is
// joined. Nil: none runs.
func (s *keySource) start(pause time.Duration) <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.flight != nil {
		return s.flight
	}
	now := s.now()
	if !s.tried.IsZero() && now.Sub(s.tried) < pause {
		return nil
	}
	s.tried = now
	flight := make(chan struct{})
	s.flight = flight
	// The fetch is nobody's: a caller who goes away does not take it along. It
	// ends by its own time limit.
	go func() {
		set, err := s.fetch(now)
		if err != nil {
			s.log.Warn("fetching the keys of the sign-in server", "url", s.url, "error", err)
		} else {
			s.set.Store(set)
		}
		s.mu.Lock()
		s.lastErr, s.flight = err, nil
		s.mu.Unlock()
		close(flight)
	}()
	return flight
}

// failure returns why the last fetch failed, as an ErrKeysUnavailable.
func (s *keySource) failure() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.lastErr == nil {
		return nil
	}
	return fmt.Errorf("%w: %w", ErrKeysUnavailable, s.lastErr)
}

// wait waits for a fetch, at most as long as the caller does.
func wait(ctx context.Context, flight <-chan struct{}) error {
	select {
	case <-flight:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("%w: %w", ErrKeysUnavailable, ctx.Err())
	}
}

// fetch gets the key set once.
func (s *keySource) fetch(now time.Time) (*keySet, error) {
	ctx, cancel := context.WithTimeout(context.Background(), fetchTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, s.url, nil)
	if err != nil {
		return nil, fmt.Errorf("asking for the key set: %w", err)
	}
	req.Header.Set("Accept", "application/json")
	resp, err := s.http.Do(req)
	if err != nil {
		return nil, fmt.Errorf("asking for the key set: %w", err)
	}
	defer resp.Body.Close()
	switch {
	case resp.StatusCode >= 300 && resp.StatusCode < 400:
		return nil, fmt.Errorf("asking %s for the key set: it answered %s, and redirects are not followed; configure the address it points to",
			s.url, resp.Status)
	case resp.StatusCode == http.StatusNotFound:
		return nil, fmt.Errorf("asking %s for the key set: it answered %s; is the project id right?", s.url, resp.Status)
	case resp.StatusCode != http.StatusOK:
		return nil, fmt.Errorf("asking %s for the key set: it answered %s", s.url, resp.Status)
	}
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxKeySet+1))
	if err != nil {
		return nil, fmt.Errorf("reading the key set: %w", err)
	}
	if len(body) > maxKeySet {
		return nil, fmt.Errorf("reading the key set: it is larger than %d bytes", maxKeySet)
	}
	keys, err := parseKeySet(body)
	if err != nil {
		return nil, fmt.Errorf("reading the key set: %w", err)
	}
	// A key that was there before keeps its pointer: remembered tokens are tied to
	// it and die with it.
	if old := s.set.Load(); old != nil {
		for kid, key := range keys {
			if before, ok := old.keys[kid]; ok && before.Equal(key) {
				keys[kid] = before
			}
		}
	}
	return &keySet{keys: keys, fetched: now, fresh: now.Add(freshFor(resp.Header))}, nil
}

// freshFor reads how long an answer may be used without asking again.
func freshFor(h http.Header) time.Duration {
	fresh := defaultFresh
	for _, line := range h.Values("Cache-Control") {
		for directive := range strings.SplitSeq(line, ",") {
			name, arg, _ := strings.Cut(strings.TrimSpace(directive), "=")
			switch strings.ToLower(name) {
			case "no-store", "no-cache":
				return leastFresh
			case "max-age":
				seconds, err := strconv.ParseInt(strings.Trim(arg, `"`), 10, 32)
				if err != nil {
					return leastFresh
				}
				fresh = time.Duration(seconds) * time.Second
			}
		}
	}
	return min(max(fresh, leastFresh), mostFresh)
}

// parseKeySet reads a JWK set (RFC 7517) and returns its P-256 signing keys by
// kid. As the RFC has it, a key of another kind or a broken one is passed over;
// a set without a single usable key, or one that gives two keys the same kid, is
// an error.
func parseKeySet(body []byte) (map[string]*ecdsa.PublicKey, error) {
	top, err := members(body)
	if err != nil {
		return nil, err
	}
	raw, _ := find(top, "keys")
	list, err := elements(raw)
	if err != nil {
		return nil, fmt.Errorf("its member keys: %w", err)
	}
	if len(list) > maxKeys {
		return nil, fmt.Errorf("it holds more than %d keys", maxKeys)
	}
	keys := make(map[string]*ecdsa.PublicKey, len(list))
	var why error
	for i, raw := range list {
		kid, key, err := parseKey(raw)
		if err != nil {
			why = errors.Join(why, fmt.Errorf("key %d: %w", i, err))
			continue
		}
		if other, taken := keys[kid]; taken && !other.Equal(key) {
			return nil, fmt.Errorf("two different keys have the kid %q", shown(kid))
		}
		keys[kid] = key
	}
	if len(keys) == 0 {
		return nil, errors.Join(errors.New("it holds no P-256 key for ES256 signatures"), why)
	}
	return keys, nil
}

// parseKey reads one public P-256 key. Its point is checked to lie on the curve.
func parseKey(raw []byte) (kid string, key *ecdsa.PublicKey, err error) {
	jwk, err := members(raw)
	if err != nil {
		return "", nil, err
	}
	if kty, _ := findText(jwk, "kty"); kty != "EC" {
		return "", nil, fmt.Errorf("its type is %q, not EC", shown(kty))
	}
	if crv, _ := findText(jwk, "crv"); crv != "P-256" {
		return "", nil, fmt.Errorf("its curve is %q, not P-256", shown(crv))
	}
	if _, private := find(jwk, "d"); private {
		return "", nil, errors.New("it is a private key, which nobody may publish")
	}
	if alg, ok := find(jwk, "alg"); ok && string(alg) != `"ES256"` {
		return "", nil, errors.New("it is not for ES256")
	}
	if use, ok := find(jwk, "use"); ok && string(use) != `"sig"` {
		return "", nil, errors.New("it is not for signatures")
	}
	if ops, ok := find(jwk, "key_ops"); ok && !contains(ops, "verify") {
		return "", nil, errors.New("it is not for verifying")
	}
	kid, _ = findText(jwk, "kid")
	if kid == "" {
		return "", nil, errors.New("it has no kid")
	}
	x, _ := findText(jwk, "x")
	y, _ := findText(jwk, "y")
	point := make([]byte, 1, 65)
	point[0] = 4 // uncompressed
	for _, coordinate := range []string{x, y} {
		bytes, err := unbase64(coordinate)
		if err != nil || len(bytes) != 32 {
			return "", nil, errors.New("a coordinate is not 32 bytes in base64url")
		}
		point = append(point, bytes...)
	}
	key, err = ecdsa.ParseUncompressedPublicKey(elliptic.P256(), point)
	if err != nil {
		return "", nil, fmt.Errorf("its point: %w", err)
	}
	return kid, key, nil
}

// elements splits a JSON array, which must be valid JSON, into its elements.
func elements(raw []byte) ([][]byte, error) {
	if len(raw) == 0 || raw[0] != '[' {
		return nil, errors.New("not a JSON array")
	}
	var list [][]byte
	for i := space(raw, 1); raw[i] != ']'; {
		end := value(raw, i)
		list = append(list, raw[i:end])
		if i = space(raw, end); raw[i] == ',' {
			i = space(raw, i+1)
		}
	}
	return list, nil
}

// contains tells whether a JSON array holds this string.
func contains(raw []byte, want string) bool {
	list, err := elements(raw)
	if err != nil {
		return false
	}
	for _, e := range list {
		if s, ok := text(e); ok && s == want {
			return true
		}
	}
	return false
}
