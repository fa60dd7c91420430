package token

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/splitpin/splitpin"
)

// kidsOf returns the kids of a project's published set, in order.
func kidsOf(t testing.TB, s *Service, p *splitpin.Project) []string {
	t.Helper()
	body, _, err := s.KeySet(p)
	if err != nil {
		t.Fatal(err)
	}
	var set struct{ Keys []jwk }
	if err := json.Unmarshal(body, &set); err != nil {
		t.Fatal(err)
	}
	var kids []string
	for _, k := range set.Keys {
		kids = append(kids, k.KID)
	}
	return kids
}

func (d *desk) step(t testing.TB, want bool) {
	t.Helper()
	worked, err := d.Step(context.Background(), d.now())
	if err != nil || worked != want {
		t.Fatalf("step at %s: worked %t, %v; want %t", d.now(), worked, err, want)
	}
}

func TestPlannedRotation(t *testing.T) {
	d := newDesk(t)
	u := ada(d.project)
	old := kidsOf(t, d.Service, d.project)[0]
	before, _ := d.mint(t, d.project, u)

	// Without a word about the breakage nothing happens.
	_, err := d.Rotate(t.Context(), d.project, d.now(), RotateOptions{})
	if !errors.Is(err, ErrBreakage) {
		t.Fatalf("got %v, want ErrBreakage", err)
	}
	for _, word := range []string{CompatKID, "cotter-node", "2026-03-01 13:02:00 UTC", "10m0s"} {
		if message := splitpin.ErrorOf(err).Message; !strings.Contains(message, word) {
			t.Errorf("%s is missing in: %s", word, message)
		}
	}
	d.step(t, false)

	rotation, err := d.Rotate(t.Context(), d.project, d.now(), RotateOptions{AcceptBreakage: true})
	if err != nil {
		t.Fatal(err)
	}
	if want := start.Add(time.Hour + Skew); !rotation.ActiveAt.Equal(want) {
		t.Errorf("takes over at %s, want %s", rotation.ActiveAt, want)
	}
	if got, want := kidsOf(t, d.Service, d.project), []string{old, CompatKID, rotation.KID}; !slices.Equal(got, want) {
		t.Errorf("announced: %v, want %v", got, want)
	}
	short, _ := d.mint(t, d.project, u)
	if header, _ := open(t, short.AccessToken); !strings.Contains(header, old) || short.ExpiresIn != 600 {
		t.Errorf("announced: signed as %s for %d s", header, short.ExpiresIn)
	}
	if theirs, _ := d.mint(t, d.other, ada(d.other)); theirs.ExpiresIn != 3600 {
		t.Errorf("another project's tokens live %d s", theirs.ExpiresIn)
	}

	d.wait(10 * time.Minute)
	_, err = d.Rotate(t.Context(), d.project, d.now(), RotateOptions{AcceptBreakage: true})
	if refusal := splitpin.ErrorOf(err); !errors.Is(err, ErrRotationUnderWay) || refusal.RetryAfter != 52*time.Minute || !strings.Contains(refusal.Message, "2026-03-01 13:02:00 UTC") {
		t.Errorf("a second rotation: %v", err)
	}

	d.wait(52*time.Minute - time.Microsecond)
	d.step(t, false)
	d.wait(time.Microsecond)
	d.step(t, true)
	d.step(t, false)
	if got, want := kidsOf(t, d.Service, d.project), []string{rotation.KID, CompatKID, old}; !slices.Equal(got, want) {
		t.Errorf("active: %v, want %v", got, want)
	}
	after, _ := d.mint(t, d.project, u)
	if header, _ := open(t, after.AccessToken); !strings.Contains(header, rotation.KID) || after.ExpiresIn != 3600 {
		t.Errorf("active: signed as %s for %d s", header, after.ExpiresIn)
	}
	for name, token := range map[string]splitpin.Secret{"after": after.AccessToken} {
		if _, err := d.Verify(d.project, token.Reveal()); err != nil {
			t.Errorf("a token of %s the flip: %v", name, err)
		}
	}
	if _, err := d.Verify(d.project, before.AccessToken.Reveal()); !errors.Is(err, ErrInvalid) {
		t.Errorf("a token of an hour ago: %v", err)
	}

	d.wait(MaxLifetime + Skew - time.Microsecond)
	d.step(t, false)
	d.wait(time.Microsecond)
	d.step(t, true)
	if got, want := kidsOf(t, d.Service, d.project), []string{rotation.KID, CompatKID}; !slices.Equal(got, want) {
		t.Errorf("gone: %v, want %v", got, want)
	}
	want := []string{"key_announced token " + rotation.KID, "key_active token " + rotation.KID, "key_retiring token " + old, "key_gone token " + old}
	if got := d.events(t); !slices.Equal(got, want) {
		t.Errorf("the audit log says %q, want %q", got, want)
	}
	if _, err := d.Rotate(t.Context(), d.project, d.now(), RotateOptions{AcceptBreakage: true}); err != nil {
		t.Errorf("the next rotation: %v", err)
	}
}

// events returns what the audit log says of the keys of the project, oldest first;
// what happened in one step, by the order of its lines.
func (d *desk) events(t testing.TB) []string {
	t.Helper()
	list, err := d.store.AuditEvents(context.Background(), splitpin.AuditFilter{Project: d.project.Number}, 100)
	if err != nil {
		t.Fatal(err)
	}
	slices.SortFunc(list, func(a, b *splitpin.AuditEvent) int {
		return cmp.Or(a.At.Compare(b.At), cmp.Compare(a.Number, b.Number))
	})
	var out []string
	for _, e := range list {
		out = append(out, e.Kind+" "+e.Detail)
	}
	return out
}

func TestCompromisedKeyGoesAtOnce(t *testing.T) {
	d := newDesk(t)
	u := ada(d.project)
	set, _ := d.mint(t, d.project, u)
	identity, err := d.Identity(d.project, u, start)
	if err != nil {
		t.Fatal(err)
	}
	theirs, _ := d.mint(t, d.other, ada(d.other))
	if _, err := d.Rotate(t.Context(), d.project, start, RotateOptions{AcceptBreakage: true}); err != nil {
		t.Fatal(err)
	}
	if _, err := d.Rotate(t.Context(), d.project, start, RotateOptions{Compromised: true}); !errors.Is(err, ErrBreakage) || !strings.Contains(err.Error(), "BELIEVE THE OLD KEY") {
		t.Errorf("unasked: %v", err)
	}
	rotation, err := d.Rotate(t.Context(), d.project, start, RotateOptions{Compromised: true, AcceptBreakage: true})
	if err != nil || !rotation.ActiveAt.Equal(start) {
		t.Fatalf("got %+v, %v", rotation, err)
	}
	// The announced key lay beside the compromised one, so it goes too.
	if got, want := kidsOf(t, d.Service, d.project), []string{rotation.KID, CompatKID}; !slices.Equal(got, want) {
		t.Errorf("keys %v, want %v", got, want)
	}
	if _, err := d.Verify(d.project, set.AccessToken.Reveal()); !errors.Is(err, ErrInvalid) {
		t.Errorf("a token of the compromised key: %v", err)
	}
	if _, err := d.VerifyIdentity(d.project, identity, start); !errors.Is(err, ErrInvalid) {
		t.Errorf("an identity of the compromised key: %v", err)
	}
	fresh, _ := d.mint(t, d.project, u)
	if _, err := d.Verify(d.project, fresh.AccessToken.Reveal()); err != nil || fresh.ExpiresIn != 3600 {
		t.Errorf("a new token: %d s, %v", fresh.ExpiresIn, err)
	}
	if _, err := d.Identity(d.project, u, start); err != nil {
		t.Errorf("a new identity: %v", err)
	}
	if _, err := d.Verify(d.other, theirs.AccessToken.Reveal()); err != nil {
		t.Errorf("another project's token: %v", err)
	}
}

func TestRotationOfNoProject(t *testing.T) {
	d := newDesk(t)
	p := &splitpin.Project{Number: 999, ID: "none"}
	if _, err := d.Rotate(t.Context(), p, start, RotateOptions{AcceptBreakage: true}); !errors.Is(err, splitpin.ErrNotFound) {
		t.Errorf("got %v", err)
	}
}

// TestManyNodesStepAtOnce: each transition happens once, and there is always one
// key that signs.
func TestManyNodesStepAtOnce(t *testing.T) {
	d := newDesk(t)
	rotation, err := d.Rotate(t.Context(), d.project, start, RotateOptions{AcceptBreakage: true})
	if err != nil {
		t.Fatal(err)
	}
	nodes := []*Service{d.Service, d.node(t), d.node(t), d.node(t)}
	now := d.wait(2 * time.Hour)
	worked := make([]bool, len(nodes))
	var group sync.WaitGroup
	for i, node := range nodes {
		group.Go(func() {
			var err error
			if worked[i], err = node.Step(context.Background(), now.Add(time.Duration(i)*time.Second)); err != nil {
				t.Error(err)
			}
		})
	}
	group.Wait()
	count := 0
	for _, w := range worked {
		if w {
			count++
		}
	}
	if count != 1 {
		t.Errorf("%d nodes moved the keys, want 1", count)
	}
	for i, node := range nodes {
		if err := node.Reload(t.Context()); err != nil {
			t.Fatal(err)
		}
		if kids := kidsOf(t, node, d.project); kids[0] != rotation.KID || len(kids) != 3 {
			t.Errorf("node %d: %v", i, kids)
		}
	}
}

func TestANodeThatDidNotReloadStillVerifies(t *testing.T) {
	d := newDesk(t)
	stale := d.node(t)
	if _, err := d.Rotate(t.Context(), d.project, start, RotateOptions{AcceptBreakage: true}); err != nil {
		t.Fatal(err)
	}
	if err := stale.Reload(t.Context()); err != nil {
		t.Fatal(err)
	}
	d.wait(2 * time.Hour)
	d.step(t, true)
	set, _ := d.mint(t, d.project, ada(d.project))
	if _, err := stale.Verify(d.project, set.AccessToken.Reveal()); err != nil {
		t.Errorf("a token of the new key: %v", err)
	}
	u := ada(d.project)
	late, err := stale.Mint(d.project, u, d.NewSession(d.project, u, 1, aSalt, "OTP", false, d.now()))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := d.Verify(d.project, late.AccessToken.Reveal()); err != nil {
		t.Errorf("a token that the stale node made with the old key: %v", err)
	}
}

// TestWorstCase puts every allowance at its worst at once, which a simulation
// seldom does: Skew is enough, and not by much.
func TestWorstCase(t *testing.T) {
	const node, verifier = 5 * time.Second, 60 * time.Second // how far clocks are off
	p := &splitpin.Project{Settings: splitpin.Settings{AccessLifetime: time.Minute}}

	// Announced by a node that is behind. The last node reloads as late as it may;
	// just before, a cache takes the set from it, and when that copy ends, a
	// verifier takes it from the cache. A node that is ahead makes the key active.
	announced := start.Add(-node)
	lastWithout := start.Add(ReloadWithin + KeySetMaxAge + KeySetMaxAge)
	activeAt := ActiveFrom(p, &splitpin.SigningKey{AnnouncedAt: announced}).Add(-node)
	if activeAt.Before(lastWithout) {
		t.Errorf("signs from %s, while a verifier may lack the key until %s", activeAt.Sub(start), lastWithout.Sub(start))
	}

	// Retired by a node that is behind. A node that is ahead reloads as late as it
	// may and signs with the old key just before; a verifier is behind. A node that
	// is ahead forgets the key.
	retired := start.Add(-node)
	lastValid := start.Add(ReloadWithin + node + MaxLifetime + verifier)
	goneAt := GoneFrom(&splitpin.SigningKey{RetiringAt: retired}).Add(-node)
	if goneAt.Before(lastValid) {
		t.Errorf("forgotten at %s, while a token may be valid until %s", goneAt.Sub(start), lastValid.Sub(start))
	}
	if spare := goneAt.Sub(lastValid); spare > time.Minute {
		t.Errorf("%s of the wait serve nothing", spare)
	}
}

// TestRotationRefusesNobody simulates rotations before verifiers that honour the
// cache headers and the kid, and do nothing clever beyond that: no fetching for
// an unknown kid. The keys move by the real rules; nodes learn of it late and
// have clocks of their own; a set reaches a verifier through one more cache;
// verifiers restart and have clocks of their own; lifetimes are changed. No token
// that is valid may be refused, and there must be one signing key at any moment.
func TestRotationRefusesNobody(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		seconds := func(name string, low, high int) time.Duration {
			return time.Duration(rapid.IntRange(low, high).Draw(t, name)) * time.Second
		}
		now := start
		p := &splitpin.Project{Number: 1, Settings: splitpin.Settings{AccessLifetime: seconds("lifetime", 60, 7200)}}
		keys := []*splitpin.SigningKey{{Number: 1, Project: 1, Use: splitpin.TokenKey, KID: "1", AnnouncedAt: now, ActiveAt: now}}

		type set struct {
			kids []string
			at   time.Time
		}
		type node struct {
			skew   time.Duration
			kids   []string
			signer string
			short  bool
			lag    time.Duration // at most, until it reloads
			due    time.Time
		}
		type verifier struct {
			skew  time.Duration
			cache set
		}
		type tok struct {
			kid string
			exp time.Time // as written
		}
		reload := func(n *node) {
			n.kids, n.signer, n.short = nil, "", false
			for _, k := range keys {
				switch stateOf(k) {
				case Active:
					n.signer = k.KID
				case Announced:
					n.short = true
				case Gone:
					continue
				}
				n.kids = append(n.kids, k.KID)
			}
			n.due = time.Time{}
		}
		nodes := make([]*node, rapid.IntRange(1, 3).Draw(t, "nodes"))
		for i := range nodes {
			nodes[i] = &node{skew: seconds("node skew", -5, 5), lag: seconds("lag", 0, 30)}
			reload(nodes[i])
		}
		any := func(name string) *node { return nodes[rapid.IntRange(0, len(nodes)-1).Draw(t, name)] }
		shared := set{nodes[0].kids, now} // a cache in front of all of us
		verifiers := make([]*verifier, rapid.IntRange(1, 6).Draw(t, "verifiers"))
		for i := range verifiers {
			verifiers[i] = &verifier{skew: seconds("verifier skew", -55, 55), cache: set{nil, now.Add(-time.Hour)}}
		}
		var tokens []tok

		fetch := func(v *verifier) {
			if now.Sub(shared.at) > KeySetMaxAge {
				shared = set{any("asked").kids, now}
			}
			v.cache = set{shared.kids, now}
		}
		change := func(moved ...*splitpin.SigningKey) {
			for _, m := range moved {
				i := slices.IndexFunc(keys, func(k *splitpin.SigningKey) bool { return k.Number == m.Number })
				if i < 0 {
					keys = append(keys, m)
				} else {
					keys[i] = m
				}
			}
			for _, n := range nodes {
				if n.due.IsZero() {
					n.due = now.Add(n.lag)
				}
			}
		}
		gap := rapid.OneOf(rapid.IntRange(1, 60), rapid.IntRange(60, 600), rapid.SampledFrom([]int{300, 3600, 86400}))
		for range rapid.IntRange(20, 150).Draw(t, "steps") {
			// Time passes in jumps no longer than it takes the nodes to reload.
			for until := now.Add(time.Duration(gap.Draw(t, "gap")) * time.Second); now.Before(until); {
				next := until
				for _, n := range nodes {
					if !n.due.IsZero() && n.due.Before(next) {
						next = n.due
					}
				}
				now = next
				for _, n := range nodes {
					if !n.due.IsZero() && !n.due.After(now) {
						reload(n)
					}
				}
			}
			if n := any("stepping"); true {
				if moved := due(p, keys, now.Add(n.skew)); len(moved) > 0 {
					change(moved...)
				}
			}
			switch rapid.IntRange(0, 9).Draw(t, "what") {
			case 0:
				n := any("rotating")
				if _, err := PlanRotation(p, keys, now.Add(n.skew)); err == nil {
					number := int64(len(keys) + 1)
					change(&splitpin.SigningKey{Number: number, Project: 1, Use: splitpin.TokenKey, KID: fmt.Sprint(number), AnnouncedAt: now.Add(n.skew)})
				}
			case 1:
				p.Settings.AccessLifetime = seconds("new lifetime", 60, 100000)
			case 2, 3:
				fetch(verifiers[rapid.IntRange(0, len(verifiers)-1).Draw(t, "restarting")])
			default:
				n := any("minting")
				life := (&projectKeys{short: n.short}).lifetime(p)
				tokens = append(tokens, tok{n.signer, now.Add(n.skew).Add(life)})
			}
			active := 0
			for _, k := range keys {
				if stateOf(k) == Active {
					active++
				}
			}
			if active != 1 {
				t.Fatalf("%d keys sign", active)
			}
			for i, v := range verifiers {
				for _, token := range tokens {
					if !now.Add(v.skew).Before(token.exp) {
						continue
					}
					if now.Sub(v.cache.at) > KeySetMaxAge {
						fetch(v)
					}
					if !slices.Contains(v.cache.kids, token.kid) {
						t.Fatalf("at %s verifier %d (set %v of %s) refuses a token of key %s that expires %s",
							now.Sub(start), i, v.cache.kids, v.cache.at.Sub(start), token.kid, token.exp.Sub(start))
					}
				}
			}
			tokens = slices.DeleteFunc(tokens, func(token tok) bool { return now.Sub(token.exp) > 2*time.Minute })
		}
	})
}
