package delivery

import (
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/splitpin/splitpin"
)

// How the queue shares its workers and its memory. Nothing here is exact, and
// none of it is about right and wrong: a message that finds no place waits in the
// store instead.
const (
	// handLease is for how long a message handed over belongs to its node, counted
	// from its creation. It is what a person waits for at most, and a second, when
	// the node dies between commit and sending. The sending must begin within
	// handBegin and is cut off handMargin before the end, so that nodes whose clocks
	// differ do not both send.
	handLease  = 30 * time.Second
	handBegin  = 10 * time.Second
	handMargin = 5 * time.Second

	// A send that takes longer than slowAfter makes its domain slow, until slowFor
	// after it ended.
	slowAfter = 2 * time.Second
	slowFor   = 30 * time.Second
)

// An entry is a message that this node holds: waiting, on its way, or sent and
// not yet recorded.
type entry struct {
	message *splitpin.Message
	attempt *splitpin.Attempt // nil: gone
	claim   int               // the message's Tries when it became ours
	over    splitpin.Channel  // and its channel

	beginBy time.Time // later its lease is too short for sending
	endBy   time.Time // when sending must have ended; zero: SendTimeout alone says so
	begun   time.Time // when it was taken out of the queue to be sent

	channel, domain, project *tally
}

func (e *entry) tallies() [3]*tally { return [...]*tally{e.channel, e.domain, e.project} }

// A tally counts what this node has of one kind: to one domain, over one channel,
// for one project.
type tally struct {
	held    int // messages
	running int // those of them that are being sent

	slow time.Time // of a domain: it counts as slow until then
}

type tallyKey struct {
	kind    tallyKind
	channel splitpin.Channel // of a domain, too
	name    string           // of a domain or project
}

type tallyKind uint8

const (
	ofChannel tallyKind = iota
	ofDomain
	ofProject
)

func domainKey(m *splitpin.Message) tallyKey {
	return tallyKey{ofDomain, m.Channel, m.To[strings.LastIndexByte(m.To, '@')+1:]}
}

func projectKey(m *splitpin.Message) tallyKey {
	return tallyKey{kind: ofProject, name: strconv.FormatInt(m.Project, 10)}
}

// A queue holds the messages of one node, and says whose turn it is.
type queue struct {
	places, workers, channels int // how many there are

	mu      sync.Mutex
	held    int      // entries: reserved, waiting, being handled or finished
	waiting []*entry // oldest first
	running []*entry // being handled
	tallies map[tallyKey]*tally
	stopped bool // nothing more is taken in
}

// tally returns the tally of a key, which is made where it is missing. The caller
// holds q.mu.
func (q *queue) tally(key tallyKey) *tally {
	t := q.tallies[key]
	if t == nil {
		t = new(tally)
		q.tallies[key] = t
	}
	return t
}

// noteSlow marks the domains to which a send takes long. The caller holds q.mu.
func (q *queue) noteSlow(now time.Time) {
	for _, e := range q.running {
		if now.Sub(e.begun) >= slowAfter {
			e.domain.slow = now.Add(slowFor)
		}
	}
}

// runningSlow counts the sends to domains that are slow. The caller holds q.mu.
func (q *queue) runningSlow(now time.Time) (n int) {
	for _, e := range q.running {
		if now.Before(e.domain.slow) {
			n++
		}
	}
	return n
}

// mayBegin reports whether an entry would take no more than its share of workers.
//
// A domain may hold as many as it leaves idle. So the only busy one gets half, since
// many sites write to one domain mostly; several that begin to hang together leave
// some to the others, before anybody can know that they hang. One that is known to
// be slow gets one, and all of these together half. The caller holds q.mu.
func (q *queue) mayBegin(e *entry, now time.Time, runningSlow int) bool {
	switch {
	case e.channel.running >= q.channelShare():
		return false
	case now.Before(e.domain.slow):
		return e.domain.running == 0 && runningSlow < max(1, q.workers/2)
	}
	return e.domain.running < q.workers-len(q.running)
}

// channelShare is how many workers one channel may hold where there are others:
// two thirds.
func (q *queue) channelShare() int {
	if q.channels < 2 {
		return q.workers
	}
	return max(1, q.workers-max(1, q.workers/3))
}

// room is how many messages to one domain this node holds: half of the places, and
// few where it is slow.
func (q *queue) room(domain *tally, now time.Time) int {
	if now.Before(domain.slow) {
		return max(1, q.workers/3)
	}
	return max(1, q.places/2)
}

// enter counts an entry. The caller holds q.mu.
func (q *queue) enter(e *entry) {
	q.held++
	m := e.message
	e.channel, e.domain, e.project = q.tally(tallyKey{ofChannel, m.Channel, ""}), q.tally(domainKey(m)), q.tally(projectKey(m))
	for _, t := range e.tallies() {
		t.held++
	}
}

// leave gives the place of an entry back.
func (q *queue) leave(e *entry) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.held--
	for _, t := range e.tallies() {
		t.held--
	}
}

// stop says whether the queue takes anything in.
func (q *queue) stop(stopped bool) {
	q.mu.Lock()
	q.stopped = stopped
	q.mu.Unlock()
}

// reserve finds a place for a message that is not there yet; nil: there is none.
func (q *queue) reserve(m *splitpin.Message) *entry {
	now := m.CreatedAt
	q.mu.Lock()
	defer q.mu.Unlock()
	q.noteSlow(now)
	domain, project := q.tally(domainKey(m)), q.tally(projectKey(m))
	if q.stopped || q.held >= q.places || domain.held >= q.room(domain, now) || project.held >= max(1, q.places*3/4) {
		return nil
	}
	m.Tries, m.DueAt = 1, now.Add(handLease)
	e := &entry{message: m, claim: m.Tries, over: m.Channel, beginBy: now.Add(handBegin), endBy: m.DueAt.Add(-handMargin)}
	q.enter(e)
	return e
}

// wait makes an entry that has a place wait for its turn.
func (q *queue) wait(e *entry) {
	q.mu.Lock()
	q.waiting = append(q.waiting, e)
	q.mu.Unlock()
}

// free is how many more the queue takes in.
func (q *queue) free() int {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.places - q.held
}

// forget drops the tallies that say nothing any more.
func (q *queue) forget(now time.Time) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for key, t := range q.tallies {
		if t.held == 0 && !now.Before(t.slow) {
			delete(q.tallies, key)
		}
	}
}

// admit takes entries in. Those whose domain has its share of places already do not
// wait: they are returned, and hold their places until they leave.
func (q *queue) admit(entries []*entry, now time.Time) (crowded []*entry) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.noteSlow(now)
	for _, e := range entries {
		q.enter(e)
		if e.domain.held > q.room(e.domain, now) {
			crowded = append(crowded, e)
			continue
		}
		q.waiting = append(q.waiting, e)
	}
	return crowded
}

// next takes the entry whose turn it is out of the queue, or nothing where all that
// wait would take more than their share: of those that may begin, the oldest of
// the project with the fewest sends under way. Who comes too late is taken too, and
// given back by whoever handles it.
func (q *queue) next(now time.Time, stopping bool) (e *entry, late, crowded bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.noteSlow(now)
	slow, best := q.runningSlow(now), -1
	for i, e := range q.waiting {
		allowed := q.mayBegin(e, now, slow)
		if stopping || now.After(e.beginBy) {
			best, late, crowded = i, true, !allowed
			break
		}
		if !allowed {
			continue
		}
		if best < 0 || e.project.running < q.waiting[best].project.running {
			best = i
			if e.project.running == 0 {
				break
			}
		}
	}
	if best < 0 {
		return nil, false, false
	}
	e = q.waiting[best]
	q.waiting = slices.Delete(q.waiting, best, best+1)
	if !late {
		e.begun = now
		q.running = append(q.running, e)
		for _, t := range e.tallies() {
			t.running++
		}
	}
	return e, late, crowded
}

// end notes that the handling of an entry is over.
func (q *queue) end(e *entry, now time.Time) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if i := slices.Index(q.running, e); i >= 0 {
		q.running = slices.Delete(q.running, i, i+1)
	}
	for _, t := range e.tallies() {
		t.running--
	}
	switch {
	case now.Sub(e.begun) >= slowAfter:
		e.domain.slow = now.Add(slowFor)
	case e.domain.running == 0:
		e.domain.slow = time.Time{} // it answers again
	}
}

// stats returns what the queue holds; now is zero where nobody knows the time.
func (q *queue) stats(now time.Time) OutboxStats {
	q.mu.Lock()
	defer q.mu.Unlock()
	s := OutboxStats{Held: q.held, Waiting: len(q.waiting), Places: q.places}
	if now.IsZero() {
		return s
	}
	q.noteSlow(now)
	for key, t := range q.tallies {
		if key.kind == ofDomain && now.Before(t.slow) {
			s.Slow++
		}
	}
	return s
}
