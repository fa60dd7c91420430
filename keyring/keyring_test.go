package keyring_test

import (
	"bytes"
	"context"
	"crypto/hmac"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/splitpin/splitpin"
	"github.com/splitpin/splitpin/keyring"
	"github.com/splitpin/splitpin/store/enginetest"
)

var now = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func newStore(t testing.TB) splitpin.Store {
	t.Helper()
	return enginetest.Open(t)
}

func open(t testing.TB, db splitpin.Store, masters ...keyring.Master) *keyring.Ring {
	t.Helper()
	ring, err := keyring.Open(context.Background(), db, now, masters...)
	if err != nil {
		t.Fatal(err)
	}
	return ring
}

// mac is what a ring makes of one text: rings that hold the same keys agree.
func mac(t testing.TB, ring *keyring.Ring, purpose string, generation int) string {
	t.Helper()
	sum, err := ring.MAC(purpose, generation, []byte("text"))
	if err != nil {
		t.Fatal(err)
	}
	return hex.EncodeToString(sum[:])
}

func TestOpenMakesKeysOnceAndFindsThemAgain(t *testing.T) {
	db, master := newStore(t), keyring.NewMaster()
	first := open(t, db, master)
	version, err := db.Version(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	second := open(t, db, master)
	if after, _ := db.Version(t.Context()); after != version {
		t.Errorf("opening again wrote: version %d, then %d", version, after)
	}
	seen := map[string]string{}
	for _, purpose := range keyring.Purposes() {
		a, b := mac(t, first, purpose, 1), mac(t, second, purpose, 1)
		if a != b {
			t.Errorf("%s: two rings of one database differ", purpose)
		}
		if other, twice := seen[a]; twice {
			t.Errorf("%s and %s have one key", purpose, other)
		}
		seen[a] = purpose
		if got := first.Current(purpose); got != 1 {
			t.Errorf("%s: current generation %d, want 1", purpose, got)
		}
	}
}

func TestOpenByManyNodesAtOnce(t *testing.T) {
	db, master := newStore(t), keyring.NewMaster()
	rings := make([]*keyring.Ring, 8)
	var group sync.WaitGroup
	for i := range rings {
		group.Go(func() {
			ring, err := keyring.Open(context.Background(), db, now, master)
			if err != nil {
				t.Error(err)
				return
			}
			rings[i] = ring
		})
	}
	group.Wait()
	if t.Failed() {
		return
	}
	for _, ring := range rings {
		if mac(t, ring, keyring.Codes, 1) != mac(t, rings[0], keyring.Codes, 1) {
			t.Fatal("two nodes that opened a new database at once have different keys")
		}
	}
}

func TestWrongMasterIsRefusedPlainly(t *testing.T) {
	db := newStore(t)
	open(t, db, keyring.NewMaster())
	version, _ := db.Version(t.Context())
	_, err := keyring.Open(t.Context(), db, now, keyring.NewMaster(), keyring.NewMaster())
	if !errors.Is(err, keyring.ErrWrongMaster) {
		t.Fatalf("got %v, want ErrWrongMaster", err)
	}
	if !strings.Contains(splitpin.ErrorOf(err).Message, "does not open this database") {
		t.Errorf("the refusal does not say so: %s", splitpin.ErrorOf(err).Message)
	}
	if after, _ := db.Version(t.Context()); after != version {
		t.Error("the refusal wrote something")
	}
	if _, err := keyring.Open(t.Context(), db, now); err == nil {
		t.Error("opened without any master")
	}
	if _, err := keyring.Open(t.Context(), db, now, keyring.Master{}); err == nil {
		t.Error("opened with the zero master")
	}
}

func TestChangeOfTheMasterKey(t *testing.T) {
	db, old, next := newStore(t), keyring.NewMaster(), keyring.NewMaster()
	running := open(t, db, old)
	if err := running.Advance(t.Context(), now, keyring.Codes); err != nil {
		t.Fatal(err)
	}
	want := mac(t, running, keyring.Codes, 1) + mac(t, running, keyring.Codes, 2)
	generation, sealed, err := running.Seal(keyring.Signing, []byte("private"), []byte("here"))
	if err != nil {
		t.Fatal(err)
	}

	both := open(t, db, next, old) // started before the change
	if err := keyring.Rewrap(t.Context(), db, keyring.NewMaster(), next, now); !errors.Is(err, keyring.ErrWrongMaster) {
		t.Fatalf("re-wrapping from a wrong master: %v", err)
	}
	if err := keyring.Rewrap(t.Context(), db, old, next, now); err != nil {
		t.Fatal(err)
	}
	if err := keyring.Rewrap(t.Context(), db, old, next, now); err != nil {
		t.Errorf("doing it again: %v", err)
	}
	for name, ring := range map[string]*keyring.Ring{
		"running with the old one": running, "running with both": both,
		"started with both": open(t, db, next, old), "started with the new one": open(t, db, next),
	} {
		if err := ring.Reload(t.Context()); err != nil {
			t.Errorf("%s: reloading: %v", name, err)
		}
		if got := mac(t, ring, keyring.Codes, 1) + mac(t, ring, keyring.Codes, 2); got != want {
			t.Errorf("%s: has other data keys than before", name)
		}
		if got, err := ring.Unseal(keyring.Signing, generation, sealed, []byte("here")); err != nil || string(got) != "private" {
			t.Errorf("%s: got %q, %v", name, got, err)
		}
	}
	if _, err := keyring.Open(t.Context(), db, now, old); !errors.Is(err, keyring.ErrWrongMaster) {
		t.Errorf("the old master: got %v, want ErrWrongMaster", err)
	}

	// A node that knows the old master only can neither wrap nor unwrap new keys,
	// and goes on with those it has.
	if err := running.Advance(t.Context(), now, keyring.Codes); !errors.Is(err, keyring.ErrWrongMaster) {
		t.Errorf("a new key under the old master: %v", err)
	}
	if err := both.Advance(t.Context(), now, keyring.Codes); err != nil {
		t.Fatal(err)
	}
	if err := running.Reload(t.Context()); !errors.Is(err, keyring.ErrWrongMaster) {
		t.Errorf("a new generation that the old master cannot open: %v", err)
	}
	if running.Current(keyring.Codes) != 2 || mac(t, running, keyring.Codes, 2) == "" {
		t.Error("the running node lost its keys")
	}
}

func TestAdvance(t *testing.T) {
	db, master := newStore(t), keyring.NewMaster()
	one, two := open(t, db, master), open(t, db, master)
	before := mac(t, one, keyring.Refresh, 1)
	if err := one.Advance(t.Context(), now, keyring.Refresh, keyring.Codes); err != nil {
		t.Fatal(err)
	}
	if one.Current(keyring.Refresh) != 2 || one.Current(keyring.Codes) != 2 || one.Current(keyring.Audit) != 1 {
		t.Errorf("generations %d, %d, %d", one.Current(keyring.Refresh), one.Current(keyring.Codes), one.Current(keyring.Audit))
	}
	if mac(t, one, keyring.Refresh, 1) != before || mac(t, one, keyring.Refresh, 2) == before {
		t.Error("the old generation changed, or the new one is the old")
	}
	if _, err := two.MAC(keyring.Refresh, 2); !errors.Is(err, keyring.ErrNoKey) {
		t.Errorf("the other node before it reloads: %v", err)
	}
	if err := two.Reload(t.Context()); err != nil {
		t.Fatal(err)
	}
	if mac(t, two, keyring.Refresh, 2) != mac(t, one, keyring.Refresh, 2) {
		t.Error("two nodes have different keys of one generation")
	}
	for _, purpose := range []string{"check", "nonsense", ""} {
		if err := one.Advance(t.Context(), now, purpose); !errors.Is(err, keyring.ErrNoKey) {
			t.Errorf("advancing %q: %v", purpose, err)
		}
	}
}

// succeed does with the data keys what a compromised master key asks for.
func succeed(t testing.TB, db splitpin.Store, old, next keyring.Master, at time.Time) (done bool, err error) {
	t.Helper()
	err = keyring.Change(t.Context(), db, func(r *splitpin.Records) (w splitpin.Writes, err error) {
		w, _, done, err = keyring.Succeed(r.DataKeys, []keyring.Master{old}, next, at)
		return w, err
	})
	return done, err
}

// A repeating store runs every step twice, as one whose commit met another, and
// lets somebody in before the first of them.
type repeating struct {
	splitpin.Store
	t      testing.TB
	before func()
	runs   int
}

func (s *repeating) Change(ctx context.Context, reads splitpin.Reads, decide func(*splitpin.Records) (splitpin.Writes, error)) error {
	if s.before != nil {
		s.before()
		s.before = nil
	}
	return s.Store.Change(ctx, reads, func(r *splitpin.Records) (splitpin.Writes, error) {
		first, _ := decide(r)
		again, err := decide(r)
		s.runs++
		if !reflect.DeepEqual(first, again) {
			s.t.Error("a step that ran again decided something else: it draws keys or nonces inside")
		}
		return again, err
	})
}

// Steps draw nothing, and what they save fits what they find, also where that
// changed since the keys were drawn.
func TestStepsAreDrawnBefore(t *testing.T) {
	old, next, last := keyring.NewMaster(), keyring.NewMaster(), keyring.NewMaster()
	db := newStore(t)
	s := &repeating{Store: db, t: t, before: func() { open(t, db, old) }}
	ring := open(t, s, old)
	if s.runs != 1 {
		t.Errorf("opening what another node made a moment ago took %d steps, want the one that finds out", s.runs)
	}
	other := open(t, db, old)
	advance := func() {
		if err := other.Advance(t.Context(), now, keyring.Codes); err != nil {
			t.Fatal(err)
		}
	}
	s.before = advance
	if err := ring.Advance(t.Context(), now, keyring.Codes, keyring.Refresh); err != nil || ring.Current(keyring.Codes) != 3 {
		t.Errorf("generation %d of the codes, %v; want the third", ring.Current(keyring.Codes), err)
	}
	s.before = advance
	if err := keyring.Rewrap(t.Context(), s, old, next, now); err != nil {
		t.Fatal(err)
	}
	if got := open(t, db, next).Current(keyring.Codes); got != 4 {
		t.Errorf("generation %d of the codes after the change of the master key, want the fourth", got)
	}
	err := keyring.Change(t.Context(), s, func(r *splitpin.Records) (splitpin.Writes, error) {
		w, _, _, err := keyring.Succeed(r.DataKeys, []keyring.Master{next}, last, now)
		return w, err
	})
	if err != nil {
		t.Fatal(err)
	}
	if got := open(t, db, last).Current(keyring.Codes); got != 5 {
		t.Errorf("generation %d of the codes after the succession, want the fifth", got)
	}
}

func TestSucceed(t *testing.T) {
	db, old, next := newStore(t), keyring.NewMaster(), keyring.NewMaster()
	running := open(t, db, old)
	if err := running.Advance(t.Context(), now, keyring.Codes); err != nil {
		t.Fatal(err)
	}
	audit := mac(t, running, keyring.Audit, 1)
	_, sealed, err := running.Seal(keyring.Signing, []byte("private"), nil)
	if err != nil {
		t.Fatal(err)
	}

	if _, err := succeed(t, db, keyring.NewMaster(), next, now); !errors.Is(err, keyring.ErrWrongMaster) {
		t.Fatalf("with another old master: got %v, want ErrWrongMaster", err)
	}
	if _, err := succeed(t, db, old, old, now); !errors.Is(err, keyring.ErrSameMaster) {
		t.Fatalf("with itself: got %v, want ErrSameMaster", err)
	}
	later := now.Add(time.Hour)
	if done, err := succeed(t, db, old, next, later); err != nil || done {
		t.Fatalf("done before: %v, %v", done, err)
	}
	if done, err := succeed(t, db, old, next, later.Add(time.Minute)); err != nil || !done {
		t.Fatalf("repeated: done before: %v, %v", done, err)
	}

	// The database holds no old key any more, whoever has the old master.
	stored, err := db.DataKeys(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, k := range stored {
		fresh := k.CreatedAt.Equal(later) || k.Purpose == keyring.Audit
		if fresh == (len(k.Wrapped) == 0) {
			t.Errorf("the key %s %d of %s has %d bytes", k.Purpose, k.Generation, k.CreatedAt, len(k.Wrapped))
		}
	}

	// A node with the old master forgets what was destroyed, and has nothing else.
	check := func(name string, ring *keyring.Ring) {
		t.Helper()
		for purpose, generations := range map[string][]int{keyring.Codes: {1, 2}, keyring.Refresh: {1}, keyring.Signing: {1}, keyring.Browser: {1}, keyring.Puzzle: {1}} {
			for _, g := range generations {
				if _, err := ring.MAC(purpose, g, nil); !errors.Is(err, keyring.ErrDestroyed) || !ring.Destroyed(purpose, g) {
					t.Errorf("%s: %s %d: got %v, want ErrDestroyed", name, purpose, g, err)
				}
			}
		}
		if _, err := ring.Unseal(keyring.Signing, 1, sealed, nil); !errors.Is(err, keyring.ErrDestroyed) {
			t.Errorf("%s: unsealing: got %v, want ErrDestroyed", name, err)
		}
		if mac(t, ring, keyring.Audit, 1) != audit {
			t.Errorf("%s: the log cannot be asked about anybody any more", name)
		}
	}
	if err := running.Reload(t.Context()); !errors.Is(err, keyring.ErrWrongMaster) {
		t.Errorf("reloading with the old master: got %v, want ErrWrongMaster", err)
	}
	check("the old master", running)
	if err := running.Usable(); !errors.Is(err, keyring.ErrWrongMaster) {
		t.Errorf("with the old master the ring is usable: %v", err)
	}
	if _, _, err := running.Seal(keyring.Signing, nil, nil); err == nil {
		t.Error("with the old master the ring seals")
	}
	if running.Destroyed(keyring.Codes, 3) {
		t.Error("a generation that the ring cannot open is called destroyed")
	}

	running.Offer(old, next)
	if err := running.Reload(t.Context()); err != nil {
		t.Fatal(err)
	}
	check("the new master", running)
	if err := running.Usable(); err != nil || running.Current(keyring.Codes) != 3 || running.Current(keyring.Audit) != 1 {
		t.Errorf("usable: %v; generations %d and %d", err, running.Current(keyring.Codes), running.Current(keyring.Audit))
	}
	if mac(t, open(t, db, next), keyring.Codes, 3) != mac(t, running, keyring.Codes, 3) {
		t.Error("two nodes have different keys of one generation")
	}

	// What was destroyed stays so, through everything that comes later.
	third := keyring.NewMaster()
	if err := keyring.Rewrap(t.Context(), db, next, third, later.Add(-time.Minute)); err != nil {
		t.Fatal(err)
	}
	check("after a change of the master key", open(t, db, third))
	if done, err := succeed(t, db, next, third, later.Add(time.Hour)); !errors.Is(err, keyring.ErrSameMaster) {
		t.Errorf("succeeding to the key in use: done %v, %v", done, err)
	}
	if _, err := succeed(t, db, third, keyring.NewMaster(), later.Add(2*time.Hour)); err != nil {
		t.Errorf("once more: %v", err)
	}
}

// TestPartsDoNotRunTogether: a MAC covers where its parts end.
func TestPartsDoNotRunTogether(t *testing.T) {
	ring := open(t, newStore(t), keyring.NewMaster())
	seen := map[[32]byte]string{}
	for _, parts := range [][]string{{"ab", "c"}, {"a", "bc"}, {"abc"}, {"abc", ""}, {"", "abc"}, {}, {""}, {"", ""},
		{"a", "b"}, {"a\x00\x00\x00\x00b"}, {"a\x00\x00\x00\x01b"}} {
		var raw [][]byte
		for _, p := range parts {
			raw = append(raw, []byte(p))
		}
		sum, err := ring.MAC(keyring.Codes, 1, raw...)
		if err != nil {
			t.Fatal(err)
		}
		if other, twice := seen[sum]; twice {
			t.Errorf("%q and %s have one MAC", parts, other)
		}
		seen[sum] = fmt.Sprintf("%q", parts)
		again, _ := ring.MAC(keyring.Codes, 1, raw...)
		if !hmac.Equal(sum[:], again[:]) {
			t.Errorf("%q: two MACs", parts)
		}
	}
}

func TestMACByManyAtOnce(t *testing.T) {
	ring := open(t, newStore(t), keyring.NewMaster())
	want := make([]string, 4)
	for i := range want {
		sum, _ := ring.MAC(keyring.Codes, 1, bytes.Repeat([]byte{byte(i)}, 10+300*i))
		want[i] = string(sum[:])
	}
	var group sync.WaitGroup
	for range 8 {
		group.Go(func() {
			for n := range 500 {
				i := n % len(want)
				sum, err := ring.MAC(keyring.Codes, 1, bytes.Repeat([]byte{byte(i)}, 10+300*i))
				if err != nil || string(sum[:]) != want[i] {
					t.Errorf("got another MAC, %v", err)
					return
				}
			}
		})
	}
	group.Wait()
}

func TestSealIsBoundToPurposeAndPlace(t *testing.T) {
	ring := open(t, newStore(t), keyring.NewMaster())
	generation, sealed, err := ring.Seal(keyring.Signing, []byte("private"), []byte("place"))
	if err != nil {
		t.Fatal(err)
	}
	if bytes.Contains(sealed, []byte("private")) {
		t.Error("the plaintext is in what was sealed")
	}
	flipped := bytes.Clone(sealed)
	flipped[len(flipped)/2] ^= 1
	tests := []struct {
		name, purpose string
		sealed        []byte
		place         string
		right         bool
	}{
		{"as it was", keyring.Signing, sealed, "place", true},
		{"another place", keyring.Signing, sealed, "elsewhere", false},
		{"another purpose", keyring.Codes, sealed, "place", false},
		{"one bit", keyring.Signing, flipped, "place", false},
		{"cut", keyring.Signing, sealed[:len(sealed)-1], "place", false},
		{"nothing", keyring.Signing, nil, "place", false},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			got, err := ring.Unseal(test.purpose, generation, test.sealed, []byte(test.place))
			if right := err == nil && string(got) == "private"; right != test.right {
				t.Errorf("got %q, %v", got, err)
			}
		})
	}
}

// TestDatabaseHoldsNoKey: what is stored of a data key is not the key, nor is one
// record of use in place of another.
func TestDatabaseHoldsNoKey(t *testing.T) {
	db, master := newStore(t), keyring.NewMaster()
	open(t, db, master)
	err := db.Change(t.Context(), splitpin.Reads{Settings: true}, func(r *splitpin.Records) (splitpin.Writes, error) {
		var codes, audit *splitpin.DataKey
		for _, k := range r.DataKeys {
			switch k.Purpose {
			case keyring.Codes:
				codes = k
			case keyring.Audit:
				audit = k
			}
		}
		codes.Wrapped = audit.Wrapped
		return splitpin.Writes{Put: []splitpin.Record{codes}}, nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := keyring.Open(t.Context(), db, now, master); err == nil || !strings.Contains(err.Error(), "codes 1 was altered") {
		t.Errorf("one key was put in place of another: %v", err)
	}
}

func TestMasterFile(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "master.key")
	master := keyring.NewMaster()
	if err := keyring.WriteMasterFile(path, master); err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if info.Mode().Perm() != 0o600 {
		t.Errorf("mode %04o, want 0600", info.Mode().Perm())
	}
	got, err := keyring.ReadMasterFile(path)
	if err != nil || got.Text() != master.Text() {
		t.Errorf("read another key than was written, %v", err)
	}
	if err := keyring.WriteMasterFile(path, keyring.NewMaster()); err == nil || !strings.Contains(err.Error(), "exists already") {
		t.Errorf("writing over a key: %v", err)
	}
	if got, err := keyring.ReadMasterFile(path); err != nil || got.Text() != master.Text() {
		t.Errorf("the key was replaced, %v", err)
	}
	for _, mode := range []os.FileMode{0o640, 0o604, 0o620, 0o666} {
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
		if _, err := keyring.ReadMasterFile(path); err == nil || !strings.Contains(err.Error(), "chmod 600 "+path) {
			t.Errorf("mode %04o: %v", mode, err)
		}
	}
	if _, err := keyring.ReadMasterFile(dir); err == nil {
		t.Error("a folder was read")
	}
	if _, err := keyring.ReadMasterFile(filepath.Join(dir, "none")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("no file: %v", err)
	}
}

func TestParseMaster(t *testing.T) {
	text := keyring.NewMaster().Text().Reveal()
	for _, good := range []string{text, text + "\n", " " + text + "\r\n"} {
		if m, err := keyring.ParseMaster(good); err != nil || m.Text().Reveal() != text {
			t.Errorf("a right text was refused: %v", err)
		}
	}
	for _, bad := range []string{"", text[1:], text + "A", text + "\n" + text, text[:20] + "\n" + text[20:], text[:42] + "=", strings.Repeat("+", 43), text[:42] + "B"} {
		m, err := keyring.ParseMaster(bad)
		if err == nil {
			t.Errorf("%d characters were accepted", len(bad))
		} else if len(bad) > 10 && strings.Contains(err.Error(), bad[:10]) {
			t.Errorf("the error quotes the key: %v", err)
		}
		if !m.IsZero() {
			t.Error("an error came with a key")
		}
	}
}

// TestMasterDoesNotPrint, however it is printed and whatever it is in.
func TestMasterDoesNotPrint(t *testing.T) {
	master, err := keyring.ParseMaster("QUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUE") // 32 times 'A'
	if err != nil {
		t.Fatal(err)
	}
	inside := struct {
		Name   string
		master keyring.Master
		Shown  keyring.Master
	}{"x", master, master}
	ring := open(t, newStore(t), master)
	var out bytes.Buffer
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
		for _, value := range []any{master, &master, inside, &inside, []keyring.Master{master}, ring} {
			fmt.Fprintf(&out, verb+"\n", value)
		}
	}
	slog.New(slog.NewJSONHandler(&out, nil)).Info("x", "master", master, "inside", inside)
	for _, leak := range []string{"AAAAAAAA", "41414141", "65 65 65", "0x41, 0x41", "41 41 41", "QUFBQUFB"} {
		if strings.Contains(out.String(), leak) {
			t.Errorf("%q is in the output", leak)
		}
	}
}

func BenchmarkSeal(b *testing.B) {
	ring := open(b, newStore(b), keyring.NewMaster())
	text, place := make([]byte, 32), []byte("place")
	b.ReportAllocs()
	for b.Loop() {
		if _, _, err := ring.Seal(keyring.Signing, text, place); err != nil {
			b.Fatal(err)
		}
	}
}
