package simulation

import (
	"context"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/splitpin/splitpin"
	"github.com/splitpin/splitpin/keyring"
	"github.com/splitpin/splitpin/project"
	"github.com/splitpin/splitpin/store"
	"github.com/splitpin/splitpin/token"
)

// epoch is when every world begins.
var epoch = time.Date(2026, 3, 14, 21, 0, 0, 0, time.UTC)

const (
	publicURL  = "https://login.example.org"
	shopOrigin = "https://shop.example"
)

// A world is one run: an installation, its nodes and everybody around them.
type world struct {
	schedule
	seed  uint64
	trace trace
	count Counts
	chaos chaos // what goes wrong now
	drawn chaos // what the seed decided
	pace  pace

	data     *store.Memory
	db       splitpin.Store // the same data, without faults: what is true
	master   keyring.Master
	shop     *splitpin.Project // as it was made
	secret   splitpin.Secret   // of its server
	nodes    []*node
	model    *model
	mail     map[string][]letter // by address, in the order of arrival
	copied   []stolen            // refresh tokens that somebody copied
	tokens   []issued            // access tokens for verifiers to look at
	leaked   []ticket            // attempt ids that strangers know
	busy     int                 // actors that the run waits for
	closing  bool                // everybody has ended; loops end too
	director *actor

	mailDown bool // the mail server is out of order
}

// chaos says what goes wrong, each as a chance in 1000 for every occasion.
type chaos struct {
	failBefore, failAfter int // of a call of the database
	slowStore             int
	stale                 int // a step runs over stale records first
	crash                 int // of a process at a call
	drop, lose            int // requests, and answers to them
	mailFails, mailSlow   int
	mailLost              int // the mail server took it, and the node does not know
	mailOutage            bool
	skew                  time.Duration
	jumps                 bool // clocks that jump by an hour
}

// A pace is how long people take.
type pace struct{ low, high time.Duration }

// A Result is what came of a run.
type Result struct {
	Seed   uint64
	Trace  string // hash of everything that happened
	Counts Counts
	Err    error  // what broke; nil: nothing did
	Last   string // the last events, for people, when something broke
}

// Run runs the world of a seed to its end, or until something breaks.
func Run(seed uint64) *Result {
	w := &world{seed: seed, trace: newTrace(), mail: map[string][]letter{}, data: store.NewMemory()}
	w.schedule = schedule{now: epoch, over: make(chan struct{})}
	w.random = rand.New(rand.NewPCG(seed, 0x5eed))
	w.onPanic = func(value any, stack []byte) { w.fail("panic: %v\n%s", value, stack) }
	w.db = w.data.Open()
	w.model = newModel(w)
	w.draw()
	w.drawn = w.chaos
	if err := w.install(); err != nil {
		return &Result{Seed: seed, Err: fmt.Errorf("installing: %w", err)}
	}
	w.populate()
	w.run()
	r := &Result{Seed: seed, Trace: w.trace.sum(), Counts: w.count, Err: w.stopped}
	r.Counts.Runs, r.Counts.Steps, r.Counts.Events = 1, w.steps, w.trace.count
	if r.Err != nil {
		r.Last = w.trace.text()
	}
	return r
}

// fail ends the run: something broke. The first failure counts.
func (w *world) fail(format string, args ...any) {
	if w.stopped == nil {
		w.stopped = fmt.Errorf(format, args...)
		w.note("BROKEN", 0, 0, w.stopped.Error())
	}
}

// draw decides what kind of world this is.
func (w *world) draw() {
	w.sticky = oneOf(&w.schedule, 0, 300, 700, 900)
	w.early = oneOf(&w.schedule, 5, 50, 200)
	w.pace = oneOf(&w.schedule,
		pace{0, 50 * time.Millisecond},
		pace{0, 3 * time.Second}, pace{0, 3 * time.Second},
		pace{time.Second, 90 * time.Second}, pace{time.Second, 90 * time.Second},
		pace{time.Minute, 40 * time.Minute},
		pace{time.Hour, 30 * time.Hour})
	c := &w.chaos
	c.stale = oneOf(&w.schedule, 0, 100, 500)
	if w.chance(150) {
		return // nothing else goes wrong: then everybody must succeed
	}
	c.failBefore = oneOf(&w.schedule, 0, 0, 3, 20, 60)
	c.failAfter = oneOf(&w.schedule, 0, 0, 3, 20, 60)
	c.slowStore = oneOf(&w.schedule, 0, 0, 2, 20)
	c.crash = oneOf(&w.schedule, 0, 0, 1, 4, 15)
	c.drop = oneOf(&w.schedule, 0, 10, 50)
	c.lose = oneOf(&w.schedule, 0, 10, 50, 150)
	c.mailFails = oneOf(&w.schedule, 0, 50, 400)
	c.mailSlow = oneOf(&w.schedule, 0, 50, 300)
	c.mailLost = oneOf(&w.schedule, 0, 0, 50)
	c.mailOutage = w.chance(200)
	c.skew = oneOf(&w.schedule, 0, 500*time.Millisecond, maxSkew)
	c.jumps = w.chance(100)
}

// maxSkew is how far the clock of a node in service is off, either way.
const maxSkew = 2 * time.Second

// calm reports whether nothing goes wrong but what people do.
func (c chaos) calm() bool { return c == chaos{stale: c.stale} }

// slack is how much moments of different nodes may differ for the model.
const slack = 2*maxSkew + time.Second

// install makes the installation, before the trouble begins.
func (w *world) install() error {
	ctx := context.Background()
	w.master = keyring.NewMaster()
	clock := func() time.Time { return w.now }
	ring, err := keyring.Open(ctx, w.db, w.now, w.master)
	if err != nil {
		return err
	}
	tokens := token.New(w.db, ring, publicURL, clock)
	if err := tokens.Reload(ctx); err != nil {
		return err
	}
	admin := &project.Admin{Store: w.db, Tokens: tokens, Clock: clock}
	settings := splitpin.Settings{Name: "Shop", Origins: []string{shopOrigin}}
	settings.Limits.StartsPerNetwork = 200 // puzzles are hard work, and have tests of their own
	settings.Limits.RefusePerNetwork = oneOf(&w.schedule, 0, 6, 6)
	if w.chance(400) {
		settings.Limits.MessagesPerAddress, settings.Limits.MessagesPerDay = 9, 9 // room for those who guess
	}
	if w.chance(200) {
		settings.CodeLifetime = 2 * time.Minute
	}
	if w.chance(500) {
		settings.AccessLifetime = oneOf(&w.schedule, 5*time.Minute, 10*time.Minute, 2*time.Hour)
	}
	settings.PasskeyRequired = w.chance(120)
	w.shop, w.secret, err = admin.Create(ctx, project.Draft{ID: "11111111-2222-4333-8444-555555555555", Settings: settings})
	w.model.settings(w.shop)
	return err
}

// Read is the source of randomness of the product.
func (w *world) Read(b []byte) (int, error) {
	for i := 0; i < len(b); i += 8 {
		var word [8]byte
		binary.LittleEndian.PutUint64(word[:], w.random.Uint64())
		copy(b[i:], word[:])
	}
	return len(b), nil
}

// populate puts everybody in place.
func (w *world) populate() {
	for i := range 1 + w.random.IntN(3) {
		n := &node{world: w, name: fmt.Sprintf("n%d", i+1)}
		n.offset = w.skewed()
		w.nodes = append(w.nodes, n)
		n.keeper = w.begin(n.name, nil, n.keep)
	}
	w.director = w.begin("director", nil, w.direct)

	addresses := []string{"ada@example.org", "bob@example.com", "cyd@example.net"}
	for i := range 1 + w.random.IntN(4) {
		address := addresses[w.random.IntN(len(addresses))]
		w.person(fmt.Sprintf("person%d", i+1), address, i+1).begins()
	}
	if w.shop.Settings.PasskeyRequired {
		eve := w.person("keyholder", "eve@example.org", 80)
		w.engage(eve.name, eve.strict)
		if w.chance(800) {
			x := w.person("intruder", eve.address, 81)
			w.engage(x.name, func() { x.intrudes(eve) })
		}
	}
	w.attackers(addresses)
	w.operators()
}

func (w *world) skewed() time.Duration {
	if w.chaos.skew == 0 {
		return 0
	}
	return w.between(-w.chaos.skew, w.chaos.skew)
}

// engage begins an actor that the run waits for.
func (w *world) engage(name string, run func()) {
	w.busy++
	w.begin(name, nil, func() {
		defer func() {
			if w.busy--; w.busy == 0 {
				w.wake(w.director)
			}
		}()
		run()
	})
}

// direct waits until everybody has ended, lets the trouble end, and looks at what
// is left.
func (w *world) direct() {
	for w.busy > 0 {
		w.rest()
	}
	w.note("all have ended", 0, 0, "")
	w.chaos = chaos{}
	for _, n := range w.nodes {
		n.offset = 0
	}
	// Service returns by itself, and the outbox is emptied.
	for range 300 {
		w.stir()
		w.sleep(30 * time.Second)
		if w.model.quiet() {
			break
		}
	}
	w.model.atTheEnd()
	w.closing = true
	w.stir()
	for _, n := range w.nodes {
		w.wake(n.keeper)
	}
}

// stir tells the idle loops of every node that something changed.
func (w *world) stir() {
	for _, n := range w.nodes {
		if n.process != nil {
			for _, a := range n.process.idle {
				w.wake(a)
			}
			n.process.idle = n.process.idle[:0]
		}
	}
}

// fails decides whether a call fails. Nobody has bad luck for ever: what must
// happen within a time would not.
func (w *world) fails(perMille int) bool {
	x := &w.running.scratch
	if x.faults < 3 && w.chance(perMille) {
		x.faults++
		return true
	}
	x.faults = 0
	return false
}

// slow lets time pass for the actor that runs, perhaps.
func (w *world) slow(perMille int) {
	if w.chance(perMille) {
		w.sleep(w.between(0, oneOf(&w.schedule, 20*time.Millisecond, time.Second, 5*time.Second)))
	}
}
