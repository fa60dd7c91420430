package simulation

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"math/big"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/splitpin/splitpin"
	"github.com/splitpin/splitpin/keyring"
	"github.com/splitpin/splitpin/token"
)

// operators puts those in place who run the installation, and those who verify
// its tokens.
func (w *world) operators() {
	if w.chance(600) {
		w.engage("operator", func() {
			for range 1 + w.random.IntN(4) {
				w.sleep(w.between(0, 10*w.pace.high))
				w.operate(w.random.IntN(4))
			}
		})
	}
	if w.chance(350) {
		for i := range 1 + w.random.IntN(2) {
			v := &verifier{client: client{world: w, name: fmt.Sprintf("verifier%d", i+1), network: fmt.Sprintf("192.0.2.%d", i+1)}, checked: map[string]bool{}}
			if w.chance(500) {
				v.behind = &cache{}
			}
			w.engage(v.name, v.verify)
		}
		// Somebody stays for as long as a rotation takes, and so do those who rotate.
		d := w.person("dweller", "dan@example.org", 90)
		w.engage(d.name, d.dwell)
		w.engage("rotator", func() {
			for range 3 {
				w.sleep(w.between(0, 30*time.Minute))
				w.operate(0)
			}
		})
	}
	if w.drawn.mailOutage {
		w.engage("mail server", func() {
			for range 2 {
				w.sleep(w.between(0, 3*w.pace.high))
				w.mailDown = true
				w.sleep(w.between(time.Minute, 13*time.Minute))
				w.mailDown = false
			}
		})
	}
	if w.drawn.skew > 0 || w.drawn.jumps {
		w.engage("clockmaker", func() {
			for range 6 {
				w.sleep(w.between(0, 2*w.pace.high))
				n := w.nodes[w.random.IntN(len(w.nodes))]
				n.offset = w.skewed()
				if w.drawn.jumps && w.chance(500) {
					n.offset = oneOf(&w.schedule, -time.Hour, time.Hour)
					w.count.jumps++
				}
				w.note("clock of "+n.name+" is off by", 0, 0, n.offset.String())
			}
		})
	}
}

// operate does one of the things that operators do, on any node.
func (w *world) operate(thing int) {
	p := w.nodes[w.random.IntN(len(w.nodes))].process
	if p == nil {
		return
	}
	me := w.running
	me.process = p
	p.actors = append(p.actors, me)
	defer func() { me.process = nil }()
	ctx := context.Background()
	var what string
	var err error
	switch thing {
	case 0, 1:
		what = "rotate"
		leave := p.alone()
		_, err = p.tokens.Rotate(ctx, w.shop, p.clock(), token.RotateOptions{AcceptBreakage: true})
		leave()
		if err == nil {
			w.count.rotations++
		}
	case 2:
		what = "new data keys"
		leave := p.alone()
		err = p.ring.Advance(ctx, p.clock(), keyring.Codes, keyring.Refresh)
		leave()
		if err == nil {
			w.count.generations++
		}
	case 3:
		what = "settings"
		_, err = p.admin.Change(ctx, w.shop.ID, func(x *splitpin.Project) error {
			l := &x.Settings.Limits
			l.MessagesPerAddress = oneOf(&w.schedule, 2, 3, 9)
			l.MessagesPerDay = 9
			l.RefusePerNetwork = oneOf(&w.schedule, 3, 6, 200)
			x.Settings.AccessLifetime = oneOf(&w.schedule, 5*time.Minute, 2*time.Hour)
			return nil
		})
		if err == nil {
			w.count.settings++
		}
	}
	if p.dead {
		return
	}
	known := ""
	if err != nil {
		known = "an error"
		if e := splitpin.ErrorOf(err); e != nil {
			known = e.Code
		} else {
			w.fail("operator: %s: %v", what, err)
		}
	}
	w.note("operator: "+what, 0, 0, known)
}

// An issued is an access token that some backend holds.
type issued struct {
	text  string
	until time.Time
}

// A cache keeps a key set for as long as its headers say, for those behind it.
type cache struct {
	keys    map[string]*ecdsa.PublicKey // by kid
	fetched time.Time
}

func (c *cache) fresh(now time.Time) bool {
	return c.keys != nil && now.Sub(c.fetched) < token.KeySetMaxAge
}

// A verifier is a backend that honours the cache headers of the key set and the
// kid of each token. It fetches nothing because a kid is unknown to it: rotation
// must spare it all the same.
type verifier struct {
	client
	cache
	behind  *cache          // a cache on the way to the server; nil: none
	checked map[string]bool // tokens whose signature was seen to be right
}

func (v *verifier) verify() {
	for range 30 {
		v.sleep(v.between(0, 5*time.Minute))
		if !v.fresh(v.now) && !v.fetch() {
			continue
		}
		at := v.fetched
		for _, t := range slices.Clone(v.tokens) {
			if t.until.Before(v.now.Add(slack)) || !v.fresh(v.now) {
				continue
			}
			v.count.verified++
			// A clock that is an hour ahead moves keys on an hour early.
			if err := v.check(t.text); err != nil && !v.drawn.jumps {
				v.fail("%s refused a token that is good until %s, with keys fetched %s ago: %v", v.name, t.until.Sub(epoch), v.now.Sub(at), err)
			}
		}
		v.world.tokens = slices.DeleteFunc(v.tokens, func(t issued) bool { return t.until.Before(v.now) })
	}
}

// fetch gets the key set, from the cache on the way where that has it.
func (v *verifier) fetch() bool {
	if v.behind != nil && v.behind.fresh(v.now) {
		v.keys, v.fetched = v.behind.keys, v.now
		return true
	}
	asked := v.now
	got := v.ask(request{method: "GET", path: "/v1/keys"}, nil)
	if got.status != http.StatusOK {
		return false
	}
	if want := fmt.Sprintf("max-age=%d", int(token.KeySetMaxAge/time.Second)); !strings.Contains(got.header.Get("Cache-Control"), want) {
		v.fail("the key set may be kept for %q, rotation counts with %s", got.header.Get("Cache-Control"), want)
	}
	var set struct {
		Keys []struct{ KID, X, Y string }
	}
	got.into(&set)
	v.keys, v.fetched = map[string]*ecdsa.PublicKey{}, asked
	for _, k := range set.Keys {
		x, _ := base64.RawURLEncoding.DecodeString(k.X)
		y, _ := base64.RawURLEncoding.DecodeString(k.Y)
		key, err := ecdsa.ParseUncompressedPublicKey(elliptic.P256(), slices.Concat([]byte{4}, x, y))
		if err != nil {
			v.fail("%s read a key that is none: %v", v.name, err)
			continue
		}
		v.keys[k.KID] = key
	}
	if v.behind != nil {
		*v.behind = v.cache
	}
	return true
}

// check verifies a token offline, as any library does.
func (v *verifier) check(text string) error {
	signed, signature, _ := cutLast(text)
	first, _, _ := strings.Cut(text, ".")
	raw, err := base64.RawURLEncoding.DecodeString(first)
	if err != nil {
		return err
	}
	var header struct{ KID string }
	if err := json.Unmarshal(raw, &header); err != nil {
		return err
	}
	key := v.keys[header.KID]
	if key == nil {
		return errors.New("its kid is not in the key set")
	}
	if v.checked[text] {
		return nil // a kid names one key for ever
	}
	sig, err := base64.RawURLEncoding.DecodeString(signature)
	if err != nil || len(sig) != 64 {
		return errors.New("its signature is none")
	}
	hash := sha256.Sum256([]byte(signed))
	if !ecdsa.Verify(key, hash[:], new(big.Int).SetBytes(sig[:32]), new(big.Int).SetBytes(sig[32:])) {
		return errors.New("its signature does not verify")
	}
	v.checked[text] = true
	return nil
}

func cutLast(token string) (signed, signature string, ok bool) {
	at := strings.LastIndexByte(token, '.')
	if at < 0 {
		return token, "", false
	}
	return token[:at], token[at+1:], true
}
