package signin

import (
	"net/netip"
	"sync"
	"time"
)

// suspects is what one node knows of networks that show garbage: a token, a code or
// a secret that belongs to nothing. What comes from such a network is looked up by
// reading, and only what is genuine reaches a step that could write. It gets the
// same answers as anybody. The zero value is ready.
//
// Honest people show garbage too: whoever returns after their session was swept
// has a token of nothing. So a few tries make nobody suspect, and among many
// genuine requests neither do more.
type suspects struct {
	mu       sync.Mutex
	networks map[netip.Prefix]*tally // those that showed garbage, and the wider ones around them
	all      tally                   // of what no suspected network sent
}

const (
	// garbageWindow is how long tries are counted together, and how long a network
	// stays suspect after the last that counted.
	garbageWindow = 5 * time.Minute

	// A network is suspect after so many garbage tries, all of them together after
	// more: then the garbage comes from everywhere. A wider network stands between
	// them (the /48 of an IPv6 address), or one customer would be everywhere.
	garbageOfNetwork = 10
	garbageOfWider   = garbageOfNetwork * widerNetwork
	garbageOfAll     = 500

	// genuineShare is how many genuine requests make up for one try of garbage.
	genuineShare = 4
)

// A tally counts what came of requests that reached a step.
type tally struct {
	since            time.Time // of both counts
	garbage, genuine int
	until            time.Time // suspect until then
}

// suspect reports whether t is suspect now. A clock that went back makes that last
// no longer.
func (t *tally) suspect(now time.Time) bool {
	left := t.until.Sub(now)
	return left > 0 && left <= garbageWindow
}

// roll starts the counts anew when their time is over, or the clock went back.
func (t *tally) roll(now time.Time) {
	if age := now.Sub(t.since); age < 0 || age >= garbageWindow {
		t.since, t.garbage, t.genuine = now, 0, 0
	}
}

func (t *tally) addGarbage(now time.Time, enough int) {
	t.roll(now)
	if t.garbage++; t.garbage >= enough && t.garbage*genuineShare > t.genuine {
		t.until = now.Add(garbageWindow)
	}
}

func (t *tally) addGenuine(now time.Time) {
	t.roll(now)
	t.genuine++
}

// lookFirst reports whether what a caller shows is to be looked up before it may
// reach a step.
func (s *suspects) lookFirst(now time.Time, by Caller) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.all.suspect(now) || s.shown(now, by.Addr)
}

// shown reports whether the network of an address, or the wider one, itself showed
// enough garbage. The caller holds s.mu.
func (s *suspects) shown(now time.Time, addr netip.Addr) bool {
	for _, network := range networksOf(addr) {
		if t := s.networks[network]; t != nil && t.suspect(now) {
			return true
		}
	}
	return false
}

// networksOf returns what an address counts for: its network and the wider one.
// Those of an IPv4 address are the same, which counts once.
func networksOf(addr netip.Addr) []netip.Prefix {
	both := [...]netip.Prefix{Network(addr), WiderNetwork(addr)}
	if both[0] == both[1] {
		return both[:1]
	}
	return both[:]
}

// garbage notes that a caller showed garbage.
func (s *suspects) garbage(now time.Time, by Caller) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.shown(now, by.Addr) {
		s.all.addGarbage(now, garbageOfAll)
	}
	for i, network := range networksOf(by.Addr) {
		t := s.networks[network]
		if t == nil {
			if s.networks == nil {
				s.networks = map[netip.Prefix]*tally{}
			}
			if len(s.networks) >= tableMax {
				shrink(s.networks, func(t *tally) bool { return now.Sub(t.since).Abs() >= garbageWindow && !t.suspect(now) })
			}
			t = &tally{}
			s.networks[network] = t
		}
		t.addGarbage(now, [...]int{garbageOfNetwork, garbageOfWider}[i])
	}
}

// genuine notes that a step found what a caller showed genuine. Looking up alone
// does not count: it is cheap, and whoever has one good secret could go on with it.
func (s *suspects) genuine(now time.Time, by Caller) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.all.addGenuine(now)
	if len(s.networks) == 0 {
		return
	}
	for _, network := range networksOf(by.Addr) {
		if t := s.networks[network]; t != nil {
			t.addGenuine(now)
		}
	}
}

// Suspects reports whether the network of a client showed garbage lately, for a
// face that has to choose whom to serve first. Garbage from everywhere makes no
// network one: then there would be nobody to prefer.
func (e *Engine) Suspects(addr netip.Addr) bool {
	now := e.moment()
	e.suspects.mu.Lock()
	defer e.suspects.mu.Unlock()
	return e.suspects.shown(now, addr)
}
