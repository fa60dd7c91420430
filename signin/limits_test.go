package signin_test

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"math/bits"
	"net/netip"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/splitpin/splitpin"
	"github.com/splitpin/splitpin/signin"
)

// guess spends all tries of new attempts for an address until n wrong answers
// were given, each from elsewhere and when the lane has room.
func (h *house) guess(identifier string, n int) {
	h.t.Helper()
	for i := 0; n > 0; i++ {
		o := h.visitor(fmt.Sprintf("198.51.100.%d", 1+i%200)).patiently(identifier)
		for range min(n, 5) {
			if _, err := o.answer(o.wrong()); err == nil {
				h.t.Fatal("a wrong answer was right")
			}
			n--
		}
		h.clock.wait(time.Second)
	}
}

// patiently starts, waiting as long as it is told: after the clock went back,
// what was charged in the future counts as charged just now.
func (v *visitor) patiently(identifier string) *opened {
	v.t.Helper()
	for range 8 { // as many as there are limits, and some
		s, err := v.Start(v.t.Context(), v.request(identifier))
		if err == nil {
			return v.opened(s)
		}
		e := splitpin.ErrorOf(err)
		if e == nil || e.Kind != splitpin.TooMany || e.RetryAfter > 10*time.Minute {
			v.t.Fatalf("starting for %s: %v", identifier, err)
		}
		v.clock.wait(e.RetryAfter)
	}
	v.t.Fatalf("starting for %s: refused again and again after waiting as told", identifier)
	return nil
}

// generous settings leave the lane of messages aside.
func generous(s *splitpin.Settings) {
	s.Limits.MessagesPerAddress, s.Limits.MessagesPerDay = 8, 200
}

func TestGuessingBudget(t *testing.T) {
	t.Run("twenty a day", func(t *testing.T) {
		h := newHouse(t)
		h.shop, h.club = h.set(h.shop, generous), h.set(h.club, generous)
		v := h.visitor("203.0.113.7")
		h.guess(ada, 19)
		equal(t, "length after 19 wrong answers", v.start(ada).Form.CodeLength, 6)
		h.guess(ada, 1)
		o := v.start(ada)
		equal(t, "length after 20", o.Form.CodeLength, 10)
		equal(t, "length for somebody else", v.start("bob@example.org").Form.CodeLength, 6)
		there := *v
		there.project = h.club
		equal(t, "length in another project", there.start(ada).Form.CodeLength, 6)

		// Nobody is locked out.
		equal(t, "length of the code itself", len(o.right()), 10)
		if _, err := v.Collect(t.Context(), o.collection(o.mustAnswer())); err != nil {
			t.Errorf("signing in with the long code: %v", err)
		}

		// Midnight is no way around it; the day after is.
		h.clock.wait(start.Truncate(24 * time.Hour).Add(48*time.Hour - time.Microsecond).Sub(h.clock.now()))
		equal(t, "length at the end of the next day", v.start(ada).Form.CodeLength, 10)
		h.clock.wait(time.Microsecond)
		equal(t, "length on the day after", v.start(ada).Form.CodeLength, 6)
	})
	t.Run("fifty in thirty days", func(t *testing.T) {
		h := newHouse(t)
		h.shop = h.set(h.shop, generous)
		v := h.visitor("203.0.113.7")
		for range 9 {
			h.guess(ada, 5)
			h.clock.wait(2 * 24 * time.Hour)
		}
		h.guess(ada, 4)
		equal(t, "length after 49", v.start(ada).Form.CodeLength, 6)
		h.guess(ada, 1)
		equal(t, "length after 50", v.start(ada).Form.CodeLength, 10)
		h.clock.wait(start.Truncate(24 * time.Hour).Add(30*24*time.Hour - time.Microsecond).Sub(h.clock.now()))
		equal(t, "length on the thirtieth day", v.start(ada).Form.CodeLength, 10)
		h.clock.wait(time.Microsecond)
		equal(t, "length when the first day is out", v.start(ada).Form.CodeLength, 6)
	})
	t.Run("the clock goes back", func(t *testing.T) {
		h := newHouse(t)
		h.shop = h.set(h.shop, generous)
		v := h.visitor("203.0.113.7")
		h.guess(ada, 10)
		h.clock.wait(-24 * time.Hour)
		h.guess(ada, 10)
		equal(t, "length", v.patiently(ada).Form.CodeLength, 10)
	})
	t.Run("the clock was a year ahead", func(t *testing.T) {
		h := newHouse(t)
		h.shop = h.set(h.shop, generous)
		v := h.visitor("203.0.113.7")
		h.clock.wait(365 * 24 * time.Hour)
		h.guess(ada, 20)
		h.clock.wait(-365 * 24 * time.Hour)
		equal(t, "length right afterwards", v.patiently(ada).Form.CodeLength, 10)
		h.guess(ada, 1)
		h.clock.wait(31 * 24 * time.Hour)
		equal(t, "length a month later", v.start(ada).Form.CodeLength, 6)
	})
	t.Run("a code that is open stays as it is", func(t *testing.T) {
		h := newHouse(t)
		h.shop = h.set(h.shop, generous)
		o := h.visitor("203.0.113.7").start(ada)
		code := o.right()
		h.guess(ada, 25)
		equal(t, "code", o.right(), code)
		o.mustAnswer()
	})
}

// When wrong answers outrun right ones over the whole installation, everybody's
// next code is long, until they have been few for a while.
func TestInstallationGuard(t *testing.T) {
	h := newHouse(t)
	h.db.once = true
	v := h.visitor("203.0.113.7")
	for i := range 60 {
		h.step()
		o := h.visitor(fmt.Sprintf("198.51.100.%d", i+1)).start(fmt.Sprintf("p%d@example.org", i))
		equal(t, "length before", o.Form.CodeLength, 6)
		for range 5 {
			o.answer(o.wrong())
		}
	}
	h.step()
	o := v.start(ada)
	equal(t, "length after 300 wrong answers", o.Form.CodeLength, 10)
	o.mustAnswer()
	h.clock.wait(time.Minute)
	h.step()
	equal(t, "length a minute later", v.start(ada).Form.CodeLength, 10)
	h.clock.wait(31 * time.Minute)
	h.step()
	equal(t, "length half an hour later", v.start(ada).Form.CodeLength, 6)
}

func TestStrangersShareOneLane(t *testing.T) {
	h := newHouse(t)
	stranger := func(i int) *visitor { return h.visitor(fmt.Sprintf("198.51.100.%d", i)) }
	there := stranger(2)
	there.project = h.club
	stranger(1).start(ada)
	there.start("Ada+news@example.org")
	stranger(3).start("a.d.a@example.org")

	_, err := stranger(4).Start(t.Context(), stranger(4).request(ada))
	wait := refused(t, "a fourth message within ten minutes", err, signin.ErrManyMessages).RetryAfter
	equal(t, "wait", wait, 200*time.Second)
	_, err = there.Start(t.Context(), there.request(ada))
	refused(t, "in the other project", err, signin.ErrManyMessages)
	stranger(4).start("bob@example.org")

	h.clock.wait(wait - time.Microsecond)
	_, err = stranger(4).Start(t.Context(), stranger(4).request(ada))
	refused(t, "a moment too soon", err, signin.ErrManyMessages)
	h.clock.wait(time.Microsecond)
	o := stranger(4).start(ada)

	h.clock.wait(time.Minute)
	_, err = h.Resend(t.Context(), o.handle, "")
	refused(t, "a resend that the lane has no room for", err, signin.ErrManyMessages)
}

func TestTenMessagesADay(t *testing.T) {
	h := newHouse(t)
	for i := range 10 {
		h.visitor(fmt.Sprintf("198.51.100.%d", i+1)).start(ada)
		h.clock.wait(10 * time.Minute)
	}
	v := h.visitor("203.0.113.7")
	_, err := v.Start(t.Context(), v.request(ada))
	wait := refused(t, "the eleventh", err, signin.ErrManyMessages).RetryAfter
	equal(t, "wait", wait, 24*time.Hour/10-100*time.Minute)
	h.clock.wait(wait)
	v.start(ada)
}

// A browser that signed in to the address before is not kept out by strangers.
func TestKnownBrowser(t *testing.T) {
	h := newHouse(t)
	v := h.visitor("203.0.113.7")
	known := h.known(ada)
	foreign, err := h.KnownBrowser(h.club, ada)
	if err != nil {
		t.Fatal(err)
	}
	for i := range 3 {
		h.visitor(fmt.Sprintf("198.51.100.%d", i+1)).start(ada)
	}
	for what, text := range map[string]string{
		"nothing": "", "garbage": "x", "that of another address": h.known("bob@example.org"), "that of another project": foreign,
		"a forged one": other(known, 20), "a longer life": other(known, 2),
	} {
		v.by.Known = text
		_, err := v.Start(t.Context(), v.request(ada))
		refused(t, what, err, signin.ErrManyMessages)
	}
	v.by.Known = known
	for range 5 {
		v.start(ada)
	}
	_, err = v.Start(t.Context(), v.request(ada))
	refused(t, "its own lane is full too, once", err, signin.ErrManyMessages)

	h.clock.wait(89 * 24 * time.Hour)
	for i := range 3 {
		h.visitor(fmt.Sprintf("198.51.100.%d", i+1)).start(ada)
	}
	v.start(ada)
	h.clock.wait(24 * time.Hour)
	for i := range 3 {
		h.visitor(fmt.Sprintf("198.51.100.%d", i+1)).start(ada)
	}
	_, err = v.Start(t.Context(), v.request(ada))
	refused(t, "after 90 days", err, signin.ErrManyMessages)
}

// solve finds the answer to a puzzle as a browser does.
func solve(t testing.TB, challenge string) string {
	t.Helper()
	text, _, ok := strings.Cut(challenge, ".")
	want, err := strconv.Atoi(text)
	if !ok || err != nil || want < 16 || want > 22 {
		t.Fatalf("not a puzzle: %q", challenge)
	}
	for n := 0; ; n++ {
		solution := challenge + ":" + strconv.Itoa(n)
		sum := sha256.Sum256([]byte(solution))
		if leading := bits.LeadingZeros32(uint32(sum[0])<<24 | uint32(sum[1])<<16 | uint32(sum[2])<<8 | uint32(sum[3])); leading >= want {
			return solution
		}
	}
}

// puzzled starts until a puzzle is asked for and returns it.
func (v *visitor) puzzled() string {
	v.t.Helper()
	for i := range 11 {
		_, err := v.Start(v.t.Context(), v.request(fmt.Sprintf("%s-%d@example.org", strings.ReplaceAll(v.by.Addr.String(), ":", "-"), i)))
		if i < 10 && err != nil {
			v.t.Fatalf("start %d of one network: %v", i+1, err)
		}
		if i == 10 {
			return refused(v.t, "the eleventh start of one network", err, signin.ErrChallenge).Challenge
		}
	}
	panic("unreachable")
}

func TestPuzzle(t *testing.T) {
	h := newHouse(t)
	v := h.visitor("203.0.113.7")
	challenge := v.puzzled()
	solution := solve(t, challenge)
	unsolved := challenge + ":0"
	if solution == unsolved {
		unsolved = challenge + ":1"
	}
	begin := func(v *visitor, p *splitpin.Project, puzzle, identifier string) error {
		req := v.request(identifier)
		req.Project, req.Puzzle = p, puzzle
		_, err := v.Start(t.Context(), req)
		return err
	}
	refused(t, "unsolved", begin(v, h.shop, unsolved, ada), signin.ErrPuzzle)
	refused(t, "garbage", begin(v, h.shop, "18.AAAA:1", ada), signin.ErrPuzzle)
	refused(t, "an easier one", begin(v, h.shop, "1"+strings.TrimPrefix(solution, "18"), ada), signin.ErrPuzzle)
	refused(t, "from another network", begin(h.visitor("203.0.113.8"), h.shop, solution, ada), signin.ErrPuzzle)
	refused(t, "in another project", begin(v, h.club, solution, ada), signin.ErrPuzzle)
	if err := begin(v, h.shop, solution, ada); err != nil {
		t.Fatalf("solved: %v", err)
	}
	refused(t, "used again", begin(v, h.shop, solution, "bob@example.org"), signin.ErrChallenge)
	split := challenge[:20] + "\n" + challenge[20:]
	refused(t, "the same puzzle written differently", begin(v, h.shop, solve(t, split), "bob@example.org"), signin.ErrPuzzle)

	next := refused(t, "the next start without one", begin(v, h.shop, "", "bob@example.org"), signin.ErrChallenge).Challenge
	fresh := solve(t, next)
	h.clock.wait(5*time.Minute + time.Second)
	refused(t, "solved too late", begin(v, h.shop, fresh, "bob@example.org"), signin.ErrPuzzle)
	refused(t, "the first one, as late", begin(v, h.shop, solution, "bob@example.org"), signin.ErrPuzzle)
	if err := begin(v, h.shop, "", "bob@example.org"); err != nil {
		t.Errorf("after five quiet minutes: %v", err)
	}
}

// A puzzle that was solved at the last moment is not good for a second start a
// moment later, when its use is about to be forgotten.
func TestPuzzleStaysUsedWhileItLives(t *testing.T) {
	h := newHouse(t)
	v := h.visitor("203.0.113.7")
	req := v.request(ada)
	req.Puzzle = solve(t, v.puzzled())
	if _, err := v.Start(t.Context(), req); err != nil {
		t.Fatal(err)
	}
	h.clock.wait(5 * time.Minute)
	req.Identifier = "bob@example.org"
	_, err := v.Start(t.Context(), req)
	refused(t, "used again in its last second", err, signin.ErrChallenge)
}

func TestNetworks(t *testing.T) {
	t.Run("a /64 is one network, the one beside it another", func(t *testing.T) {
		h := newHouse(t)
		v := h.visitor("2001:db8:1:1::1")
		v.puzzled()
		v.by.Addr = netip.MustParseAddr("2001:db8:1:1:ffff::2")
		_, err := v.Start(t.Context(), v.request(ada))
		refused(t, "from the same /64", err, signin.ErrChallenge)
		v.by.Addr = netip.MustParseAddr("2001:db8:1:2::1")
		v.start(ada)
	})
	t.Run("an IPv4 address in IPv6 clothes", func(t *testing.T) {
		h := newHouse(t)
		v := h.visitor("203.0.113.7")
		v.puzzled()
		v.by.Addr = netip.MustParseAddr("::ffff:203.0.113.7")
		_, err := v.Start(t.Context(), v.request(ada))
		refused(t, "the same address", err, signin.ErrChallenge)
	})
	t.Run("a /48 is counted with more room", func(t *testing.T) {
		h := newHouse(t)
		h.shop = h.set(h.shop, func(s *splitpin.Settings) { s.Limits.RefusePerNetwork = 2 })
		for i := range 8 {
			h.visitor(fmt.Sprintf("2001:db8:1:%x::1", i)).start(fmt.Sprintf("p%d@example.org", i))
		}
		v := h.visitor("2001:db8:1:ff::1")
		_, err := v.Start(t.Context(), v.request(ada))
		refused(t, "a ninth /64 of one /48", err, signin.ErrManyStarts)
		h.visitor("2001:db8:2:ff::1").start(ada)
	})
	t.Run("refused in the end", func(t *testing.T) {
		h := newHouse(t)
		h.shop = h.set(h.shop, func(s *splitpin.Settings) { s.Limits.RefusePerNetwork = 10 })
		v := h.visitor("203.0.113.7")
		for i := range 10 {
			v.start(fmt.Sprintf("p%d@example.org", i))
		}
		_, err := v.Start(t.Context(), v.request(ada))
		wait := refused(t, "one more", err, signin.ErrManyStarts).RetryAfter
		equal(t, "wait", wait, 30*time.Second)
		h.visitor("203.0.113.8").start("bob@example.org")
		h.clock.wait(wait)
		v.start(ada)
	})
}

// A start that one limit refuses takes nothing of the others.
func TestRefusedStartsCostNothing(t *testing.T) {
	h := newHouse(t)
	v := h.visitor("203.0.113.7")
	for range 3 {
		v.start(ada)
	}
	for range 50 {
		_, err := v.Start(t.Context(), v.request(ada))
		refused(t, "the lane is full", err, signin.ErrManyMessages)
	}
	for i := range 7 {
		v.start(fmt.Sprintf("p%d@example.org", i))
	}
	_, err := v.Start(t.Context(), v.request("last@example.org"))
	refused(t, "the eleventh of the network", err, signin.ErrChallenge)
	refusal := splitpin.ErrorOf(err)
	if refusal.RetryAfter <= 0 {
		t.Error("it does not say how long to wait instead")
	}
}

func TestLookups(t *testing.T) {
	h := newHouse(t)
	v := h.visitor("203.0.113.7")
	for i := range signin.DefaultLookupsPerNetwork {
		if err := h.ChargeLookup(t.Context(), h.shop, v.by); err != nil {
			t.Fatalf("question %d: %v", i+1, err)
		}
	}
	refused(t, "one more", h.ChargeLookup(t.Context(), h.shop, v.by), signin.ErrManyLookups)
	if err := h.ChargeLookup(t.Context(), h.shop, h.visitor("203.0.113.8").by); err != nil {
		t.Errorf("from elsewhere: %v", err)
	}
}

// The chance is computed with the most codes that can be open at once: what a
// lane lets through while one code lives.
func TestGuessProbability(t *testing.T) {
	tests := []struct {
		name   string
		limits splitpin.Limits
		tries  int
		codes  float64
		want   float64
	}{
		{"defaults", splitpin.Limits{}, 5, 1e6, (20 + 5*5) / 1e6},
		{"one message in ten minutes", splitpin.Limits{MessagesPerAddress: 1}, 5, 1e6, (20 + 1*5) / 1e6},
		{"many in ten minutes, but few a day", splitpin.Limits{MessagesPerAddress: 100}, 5, 1e6, (20 + 11*5) / 1e6},
		{"ten digits", splitpin.Limits{}, 5, 1e10, (20 + 5*5) / 1e10},
	}
	for _, test := range tests {
		got := signin.GuessProbability(splitpin.Settings{Limits: test.limits}, test.codes, test.tries)
		if got != test.want {
			t.Errorf("%s: got %g, want %g", test.name, got, test.want)
		}
	}
}

func TestErrorsKeepTheirCodes(t *testing.T) {
	if errors.Is(signin.ErrOver, signin.ErrTries) || !errors.Is(signin.ErrSoon.After(time.Second), signin.ErrSoon) {
		t.Error("errors are told apart by their codes")
	}
}

// One network alone must not lengthen everybody's codes.
func TestOneNetworkCannotTripTheGuard(t *testing.T) {
	h := newHouse(t)
	h.db.once = true
	h.shop = h.set(h.shop, func(s *splitpin.Settings) { s.Limits.StartsPerNetwork = 1000; s.Limits.RefusePerNetwork = 1000 })
	for i := range 65 {
		o := h.visitor("198.51.100.9").start(fmt.Sprintf("p%d@example.org", i))
		for range 5 {
			o.answer(o.wrong())
		}
	}
	h.step()
	equal(t, "length after 325 wrong answers from one network", h.visitor("203.0.113.7").start(ada).Form.CodeLength, 6)
}

// Two mailboxes whose addresses fold to the same have lanes of their own where
// their owners' browsers are known.
func TestKnownBrowserOfANeighbour(t *testing.T) {
	h := newHouse(t)
	known := func(network, address string) *visitor {
		v := h.visitor(network)
		v.signIn(address)
		token, err := h.KnownBrowser(h.shop, address)
		if err != nil {
			t.Fatal(err)
		}
		v.by.Known = token
		return v
	}
	neighbour, victim := known("198.51.100.1", "john.doe@example.org"), known("203.0.113.7", "johndoe@example.org")
	for {
		if _, err := neighbour.Start(t.Context(), neighbour.request("john.doe@example.org")); err != nil {
			break
		}
	}
	victim.start("johndoe@example.org")
}

// Whether somebody is on a list costs the same question, whatever the answer.
func TestAskingWhoIsOnAList(t *testing.T) {
	h := newHouse(t)
	h.shop = h.set(h.shop, func(s *splitpin.Settings) {
		s.Forms = map[string]splitpin.AllowList{"": {Identifiers: []string{ada}}}
	})
	v := h.visitor("203.0.113.7")
	for range signin.DefaultLookupsPerNetwork {
		_, err := v.Start(t.Context(), v.request("bob@example.org"))
		refused(t, "not on the list", err, signin.ErrNotAdmitted)
	}
	_, err := v.Start(t.Context(), v.request("bob@example.org"))
	refused(t, "asking on, about somebody who is not", err, signin.ErrManyLookups)
	_, err = v.Start(t.Context(), v.request(ada))
	refused(t, "asking on, about somebody who is", err, signin.ErrManyLookups)
}

// A network that goes on gets harder puzzles, and easy ones are refused then.
func TestPuzzlesGetHarder(t *testing.T) {
	h := newHouse(t)
	h.shop = h.set(h.shop, func(s *splitpin.Settings) { s.Limits.StartsPerNetwork = 1 })
	v := h.visitor("203.0.113.7")
	v.start("p0@example.org")
	start := func(i int, puzzle string) error {
		req := v.request(fmt.Sprintf("p%d@example.org", i))
		req.Puzzle = puzzle
		_, err := v.Start(t.Context(), req)
		return err
	}
	kept := solve(t, refused(t, "the second start", start(1, ""), signin.ErrChallenge).Challenge)
	for i := range 4 {
		puzzle := refused(t, "a start without a puzzle", start(10+i, ""), signin.ErrChallenge).Challenge
		if !strings.HasPrefix(puzzle, "18.") {
			t.Fatalf("puzzle %d is %s, want an easy one", i, puzzle[:3])
		}
		if err := start(10+i, solve(t, puzzle)); err != nil {
			t.Fatal(err)
		}
	}
	hard := refused(t, "an easy one too many", start(20, kept), signin.ErrChallenge).Challenge
	if !strings.HasPrefix(hard, "22.") {
		t.Fatalf("the puzzle is %s, want a hard one", hard[:3])
	}
	refused(t, "a hard one passed off as easy", start(20, solve(t, "18"+strings.TrimPrefix(hard, "22"))), signin.ErrPuzzle)
	if err := start(20, solve(t, hard)); err != nil {
		t.Errorf("a hard one, solved: %v", err)
	}
}
