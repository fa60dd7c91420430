package delivery

import (
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/splitpin/splitpin"
)

// How the outbox shares its workers and its memory. Nothing here is exact, and
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

	// A send that takes longer than slowAfter makes its lane slow, until slowFor
	// after it ended.
	slowAfter = 2 * time.Second
	slowFor   = 30 * time.Second

	// downFor is how long a server that failed for everybody is not asked again.
	downFor = time.Second
)

// An entry is a message that this node holds: waiting, on its way, or sent and
// not yet recorded.
type entry struct {
	message *splitpin.Message
	attempt *splitpin.Attempt // nil: gone
	claim   int               // the message's Tries when it became ours

	beginBy time.Time // later its lease is too short for sending
	endBy   time.Time // when sending must have ended; zero: SendTimeout alone says so

	channel, domain, project *lane
}

// A lane counts what is under way of one kind: to one domain, over one channel,
// for one project.
type lane struct {
	held  int         // messages that this node holds
	begun []time.Time // of each send that runs
	slow  time.Time   // it counts as slow until then, whatever runs now

	down      *SendError // of a channel: its server failed for everybody
	downUntil time.Time
	failing   bool // and the log heard of it
}

// isSlow reports whether who begins here now may have to wait for long.
func (l *lane) isSlow(now time.Time) bool {
	return now.Before(l.slow) || slices.ContainsFunc(l.begun, func(at time.Time) bool { return now.Sub(at) >= slowAfter })
}

func (l *lane) end(begun, now time.Time) {
	if i := slices.IndexFunc(l.begun, begun.Equal); i >= 0 {
		l.begun = slices.Delete(l.begun, i, i+1)
	}
	switch {
	case now.Sub(begun) >= slowAfter:
		l.slow = now.Add(slowFor)
	case len(l.begun) == 0:
		l.slow = time.Time{} // it answers again
	}
}

// Keys of lanes. A channel's is its name alone.
func domainLane(m *splitpin.Message) string {
	return string(m.Channel) + "\x00" + m.To[strings.LastIndexByte(m.To, '@')+1:]
}

func projectLane(m *splitpin.Message) string { return "\x00" + strconv.FormatInt(m.Project, 10) }

// lane returns the lane of a key, which is made where it is missing. The caller
// holds o.mu.
func (o *Outbox) lane(key string) *lane {
	l := o.lanes[key]
	if l == nil {
		if o.lanes == nil {
			o.lanes = make(map[string]*lane)
		}
		l = new(lane)
		o.lanes[key] = l
	}
	return l
}

// forgetLanes drops those that say nothing any more.
func (o *Outbox) forgetLanes(now time.Time) {
	for key, l := range o.lanes {
		if l.held == 0 && !now.Before(l.slow) && !l.failing {
			delete(o.lanes, key)
		}
	}
}

func (o *Outbox) places() int { return or(o.Places, 2048) }

// share is how many workers one domain may hold: half, since many sites write to
// one domain mostly, and one where it is slow. What is left is for everybody else.
func (o *Outbox) share(l *lane, now time.Time) int {
	if l.isSlow(now) {
		return 1
	}
	return max(1, o.Workers/2)
}

// channelShare is how many workers one channel may hold where there are others:
// two thirds.
func (o *Outbox) channelShare() int {
	if len(o.Senders) < 2 {
		return max(1, o.Workers)
	}
	return max(1, o.Workers-max(1, o.Workers/3))
}

// room is how many messages to one domain this node holds: half of the places, and
// few where it is slow.
func (o *Outbox) room(l *lane, now time.Time) int {
	if l.isSlow(now) {
		return max(1, o.Workers/3)
	}
	return max(1, o.places()/2)
}

// enter counts an entry into its lanes. The caller holds o.mu.
func (o *Outbox) enter(e *entry) {
	o.held++
	e.channel, e.domain, e.project = o.lane(string(e.message.Channel)), o.lane(domainLane(e.message)), o.lane(projectLane(e.message))
	e.channel.held++
	e.domain.held++
	e.project.held++
}

// leave takes an entry out of its lanes. The caller holds o.mu.
func (o *Outbox) leave(e *entry) {
	o.held--
	e.channel.held--
	e.domain.held--
	e.project.held--
}

// Reserve finds a place for a message that the next commit will create, and makes
// it this node's own: it sets Tries and DueAt as ClaimMessages would. False: there
// is no place, m stays as it was, and whichever node claims it will send it.
// Created must follow.
func (o *Outbox) Reserve(m *splitpin.Message) bool {
	now := m.CreatedAt
	o.mu.Lock()
	defer o.mu.Unlock()
	domain, project := o.lane(domainLane(m)), o.lane(projectLane(m))
	if o.stopped || o.held >= o.places() || domain.held >= o.room(domain, now) || project.held >= max(1, o.places()*3/4) {
		return false
	}
	m.Tries, m.DueAt = 1, now.Add(handLease)
	e := &entry{message: m, claim: m.Tries, beginBy: now.Add(handBegin), endBy: m.DueAt.Add(-handMargin)}
	o.enter(e)
	if o.reserved == nil {
		o.reserved = make(map[int64]*entry)
	}
	o.reserved[m.Number] = e
	return true
}

// Created says what became of the commit of a message. It happened: a is the
// message's attempt, and both are the outbox's from now on. It did not, or nobody
// knows: a is nil, and a place that Reserve found is free again; should the message
// be there after all, it is sent when its lease has run out.
func (o *Outbox) Created(m *splitpin.Message, a *splitpin.Attempt) {
	o.mu.Lock()
	e := o.reserved[m.Number]
	delete(o.reserved, m.Number)
	switch {
	case e != nil && a != nil:
		e.message, e.attempt = m, a
		o.waiting = append(o.waiting, e)
	case e != nil:
		o.leave(e)
	case a != nil:
		o.more = true // it lies in the store
	}
	o.mu.Unlock()
	if a != nil {
		o.wake()
	}
}

// Woken wakes one of those who call Step, for each message that was handed over.
func (o *Outbox) Woken() <-chan struct{} { return o.bell() }

func (o *Outbox) bell() chan struct{} {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.ring == nil {
		o.ring = make(chan struct{}, 64)
	}
	return o.ring
}

func (o *Outbox) wake() {
	select {
	case o.bell() <- struct{}{}:
	default: // many are on their way
	}
}

// next takes the entry whose turn it is out of the queue, or nothing where all that
// wait would take more than their share: of those that may begin, the oldest of
// the project with the fewest sends under way. Who comes too late is taken too, and
// given back by whoever handles it.
func (o *Outbox) next(now time.Time, stopping bool) (e *entry, late, crowded bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	best := -1
	for i, e := range o.waiting {
		allowed := len(e.channel.begun) < o.channelShare() && len(e.domain.begun) < o.share(e.domain, now)
		if stopping || now.After(e.beginBy) {
			best, late, crowded = i, true, !allowed
			break
		}
		if !allowed {
			continue
		}
		if best < 0 || len(e.project.begun) < len(o.waiting[best].project.begun) {
			best = i
			if len(e.project.begun) == 0 {
				break
			}
		}
	}
	if best < 0 {
		return nil, false, false
	}
	e = o.waiting[best]
	o.waiting = slices.Delete(o.waiting, best, best+1)
	if !late {
		for _, l := range []*lane{e.channel, e.domain, e.project} {
			l.begun = append(l.begun, now)
		}
	}
	return e, late, crowded
}

// ended notes that the handling of an entry, begun at that time, is over.
func (o *Outbox) ended(e *entry, begun, now time.Time) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, l := range []*lane{e.channel, e.domain, e.project} {
		l.end(begun, now)
	}
}

// An OutboxStats is what an outbox holds at one moment, of at most Places.
type OutboxStats struct {
	Held    int // messages in memory: reserved, waiting, being sent, or not yet recorded
	Waiting int // those whose turn has not come
	Sending int
	Places  int
	Slow    int // domains that answer slowly, which get one worker each
}

// Stats returns what the outbox holds now.
func (o *Outbox) Stats() OutboxStats {
	o.mu.Lock()
	defer o.mu.Unlock()
	s := OutboxStats{Held: o.held, Waiting: len(o.waiting), Places: o.places()}
	for key, l := range o.lanes {
		switch i := strings.IndexByte(key, 0); {
		case i < 0:
			s.Sending += len(l.begun)
		case i > 0 && o.Clock != nil && l.isSlow(o.Clock()):
			s.Slow++
		}
	}
	return s
}
