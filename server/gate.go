package server

import (
	"container/list"
	"context"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"net/netip"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/splitpin/splitpin"
	"github.com/splitpin/splitpin/server/edge"
	"github.com/splitpin/splitpin/signin"
)

// What a gate admits, where nothing else was said.
const (
	// gatePlaces is how many requests are worked on at once for each processor:
	// enough to fill the store's commits while others are parsed and signed, and few
	// enough that whoever is let in does not wait again inside, where no turns are
	// taken.
	gatePlaces = 32
	// gateQueue is how many may wait. When half of that do, no network may have more
	// than an eighth of it.
	gateQueue = 8192

	// patience is how long a request waits before it is refused, and briefPatience
	// the same once somebody has been waiting without a break for as long as
	// patience: then waiting longer would only make everybody late.
	patience      = time.Second
	briefPatience = 250 * time.Millisecond
	// outsideMost is how many may have left their place to wait for somebody outside, as
	// a provider, and outsideOfNetwork how many of those one wider network. Once half of
	// them are away, that is outsideFew. Each holds little more than a goroutine.
	outsideMost      = 1024
	outsideOfNetwork = 64
	outsideFew       = 8

	// crowd is how many of one network may wait before they are the crowd
	// themselves: then they wait for all of patience, because a program that is
	// refused at once comes back at once.
	crowd = 16
)

// A gate bounds how many requests are worked on at once. Those beyond wait, each
// network in a queue of its own, and the queues take turns: of two networks that
// wait, each gets every second place, however many requests they have. A network is
// the wider one (the /48 of an IPv6 address, which one customer may hold); inside
// it, the networks that count as one client take turns again. None is refused for
// being large while there is room (security 10). Networks that showed garbage lately
// get every fourth turn between them, and all that nobody else wants.
//
// A place is held while there is work to do, never while waiting for bytes of a
// client: bodies are read before, and answers are written after (see admitted); nor
// while waiting for somebody outside (see signin.Outside). Who comes back from there
// gets the next place that is free: they waited for theirs already.
//
// It decides by waiting time, before any work is done.
type gate struct {
	places, queue int
	bodies        int // bodyRoom, unless a test says otherwise

	mu       sync.Mutex
	busy     int
	waiting  int
	networks map[gatheringKey]*gathering // those of whom somebody waits
	turns    list.List                   // of those of the same that showed no garbage, next first
	suspects list.List                   // of the others
	turn     int                         // how many turns there were
	standing time.Time                   // since when somebody has waited without a break
	outside  map[netip.Prefix]int        // who is away from a place, by wider network
	away     int                         // all of them
	back     []chan struct{}             // those who came back and wait for a place, first first
	held     map[netip.Prefix]int        // room that bodies take, by wider network
	heldAll  int
	shed     uint64      // refused since the start
	untold   edge.Seldom // refusals that the log has not heard of
	log      *slog.Logger
}

// A visitor is what a gate asks about a client: its network, the wider one around
// it (the same where there is none), and whether they showed garbage lately.
type visitor struct {
	network, wider netip.Prefix
	suspect        bool
}

// A gathering is who waits of one wider network. Suspects and others of it are two.
type gathering struct {
	key     gatheringKey
	lines   map[netip.Prefix]*line
	turns   list.List // of the same lines, next first
	present int
	in      *list.List // that its own turn stands in
	turn    *list.Element
}

type gatheringKey struct {
	wider   netip.Prefix
	suspect bool
}

// A line is who waits of one network, oldest first.
type line struct {
	network netip.Prefix
	waiters []*waiter // some of them may have left
	present int
	turn    *list.Element
}

type waiter struct {
	admitted chan struct{} // closed when its turn has come
	gone     bool
}

func newGate(log *slog.Logger) *gate {
	return &gate{places: gatePlaces * max(2, runtime.GOMAXPROCS(0)), queue: gateQueue, bodies: bodyRoom,
		networks: map[gatheringKey]*gathering{}, outside: map[netip.Prefix]int{}, held: map[netip.Prefix]int{}, log: log}
}

// enter waits for a place, which must be left again. Its error is
// splitpin.ErrUnavailable. who is asked only when there is a queue.
func (g *gate) enter(ctx context.Context, who func() visitor) error {
	g.mu.Lock()
	if g.busy < g.places && g.waiting == 0 {
		g.busy++
		g.mu.Unlock()
		return nil
	}
	now := time.Now()
	if g.waiting == 0 {
		g.standing = now
	}
	v := who()
	key := gatheringKey{v.wider, v.suspect}
	c := g.networks[key]
	if c == nil {
		c = &gathering{key: key, lines: map[netip.Prefix]*line{}, in: &g.turns}
		if v.suspect {
			c.in = &g.suspects
		}
	}
	if g.waiting >= g.queue || g.waiting >= g.queue/2 && c.present >= g.queue/8 {
		return g.refuse(now)
	}
	if c.turn == nil {
		g.networks[key], c.turn = c, c.in.PushBack(c)
	}
	l := c.lines[v.network]
	if l == nil {
		l = &line{network: v.network}
		c.lines[v.network], l.turn = l, c.turns.PushBack(l)
	}
	wait := patience
	if now.Sub(g.standing) > patience && c.present < crowd {
		wait = briefPatience
	}
	for len(l.waiters) > 0 && l.waiters[0].gone {
		l.waiters = l.waiters[1:]
	}
	w := &waiter{admitted: make(chan struct{})}
	l.waiters = append(l.waiters, w)
	l.present++
	c.present++
	g.waiting++
	g.mu.Unlock()

	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-w.admitted:
		return nil
	case <-timer.C:
	case <-ctx.Done():
	}
	g.mu.Lock()
	select {
	case <-w.admitted: // both happened
		g.mu.Unlock()
		return nil
	default:
	}
	w.gone = true
	g.left(c, l)
	return g.refuse(time.Now())
}

// refuse counts a refusal and unlocks. The log hears of them once a minute.
func (g *gate) refuse(now time.Time) error {
	g.shed++
	busy, waiting := g.busy, g.waiting
	g.mu.Unlock()
	if n := g.untold.Happened(now); n > 0 && g.log != nil {
		g.log.Warn("refusing requests: more come than can be served", "refused", n, "working", busy, "waiting", waiting)
	}
	return splitpin.ErrUnavailable.After(time.Duration(1+rand.IntN(3)) * time.Second).Because(edge.ErrCrowded)
}

// left takes one who waited out of the counts. The caller holds g.mu.
func (g *gate) left(c *gathering, l *line) {
	l.present--
	c.present--
	g.waiting--
	if l.present == 0 {
		c.turns.Remove(l.turn)
		delete(c.lines, l.network)
	}
	if c.present == 0 {
		c.in.Remove(c.turn)
		delete(g.networks, c.key)
	}
}

// leave gives a place back, and to the next who waits.
func (g *gate) leave() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.pass()
}

// stepOut leaves a place until stepIn, for somebody of a wider network. Its error is
// splitpin.ErrUnavailable; then the place was kept.
func (g *gate) stepOut(wider netip.Prefix) error {
	g.mu.Lock()
	if n := g.outside[wider]; g.away >= outsideMost || n >= outsideOfNetwork || g.away >= outsideMost/2 && n >= outsideFew {
		return g.refuse(time.Now())
	}
	defer g.mu.Unlock()
	g.away++
	g.outside[wider]++
	g.pass()
	return nil
}

// stepIn waits for a place, which nobody is refused who had one.
func (g *gate) stepIn(wider netip.Prefix) {
	g.mu.Lock()
	g.away--
	if g.outside[wider]--; g.outside[wider] == 0 {
		delete(g.outside, wider)
	}
	if g.busy < g.places {
		g.busy++
		g.mu.Unlock()
		return
	}
	turn := make(chan struct{})
	g.back = append(g.back, turn)
	g.mu.Unlock()
	<-turn
}

// A seat is the place of a request, for the engine.
type seat struct {
	s *Server
	r *http.Request
}

func (p seat) Leave() error { return p.s.gate.stepOut(signin.WiderNetwork(p.s.Addr(p.r))) }
func (p seat) Return()      { p.s.gate.stepIn(signin.WiderNetwork(p.s.Addr(p.r))) }

// pass gives a place to the next who waits. The caller holds g.mu.
func (g *gate) pass() {
	if len(g.back) > 0 {
		close(g.back[0])
		g.back = g.back[1:]
		return
	}
	first := g.turns.Front()
	if g.turn++; first == nil || g.turn%4 == 0 && g.suspects.Len() > 0 {
		first = g.suspects.Front()
	}
	if first == nil {
		g.busy--
		return
	}
	c := first.Value.(*gathering)
	next := c.turns.Front()
	l := next.Value.(*line)
	for l.waiters[0].gone {
		l.waiters = l.waiters[1:]
	}
	w := l.waiters[0]
	l.waiters = l.waiters[1:]
	c.turns.MoveToBack(next)
	c.in.MoveToBack(first)
	g.left(c, l)
	close(w.admitted)
}

// A GateStats is what a server works on at one moment.
type GateStats struct {
	Busy, Places int    // requests that are worked on, and how many that may be
	Waiting      int    // requests that wait for a place
	Refused      uint64 // since the start
}

// Stats returns what the server works on now.
func (s *Server) Stats() GateStats {
	g := s.gate
	g.mu.Lock()
	defer g.mu.Unlock()
	return GateStats{Busy: g.busy, Places: g.places, Waiting: g.waiting, Refused: g.shed}
}

// turnAway tells whoever asked to come back. A browser that wanted a page does so
// by itself.
func (s *Server) turnAway(w http.ResponseWriter, r *http.Request, err error) {
	if r.Method == http.MethodGet && strings.Contains(r.Header.Get("Accept"), "text/html") {
		known := s.Refusal(r, err)
		edge.SetRetryAfter(w, known)
		w.Header().Set("Refresh", strconv.Itoa(edge.Seconds(known.RetryAfter)))
		w.Header().Set("Cache-Control", "no-store")
		http.Error(w, "Many people are signing in just now. This page tries again by itself in a moment.", http.StatusServiceUnavailable)
		return
	}
	p, _ := s.Project(r)
	s.CORS(w, r, p) // so that a page of the project can read what it is told
	s.refusal(w, r, err)
}
