package simulation

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime/debug"
	"slices"
	"time"
)

// A schedule runs actors one at a time. The actor that runs holds the baton, and
// passes it on whenever it parks or sleeps; who gets it, the seed decides.
//
// Everything here and all that the actors touch belongs to whoever holds the
// baton, so nothing needs a lock.
type schedule struct {
	random  *rand.Rand
	now     time.Time // the true time, which nobody in the world knows
	running *actor
	ready   []*actor // in the order in which they came; may go on at once
	asleep  []*actor // by the time at which they wake, then by number
	actors  int      // ever begun
	live    int      // not yet ended
	steps   int      // how often the baton was up for somebody
	stopped error    // why the run is over before its end
	over    chan struct{}

	// sticky is the chance, in 1000, that whoever parks goes on at once: between
	// runs that change hands all the time and such that seldom do.
	sticky int
	// early is the chance, in 1000, that time passes although somebody is ready.
	early int

	onPanic func(value any, stack []byte)

	ended bool // over is closed
}

// An actor is one thread of what happens: a person, a request, a node's loop.
type actor struct {
	name    string
	number  int
	baton   chan struct{}
	wakeAt  time.Time
	woken   bool // by wake, before its time
	resting bool // until somebody wakes it

	process *process // on whose behalf it runs; nil: nobody's, it cannot crash
	request *request // that it serves; nil: none
	scratch scratch  // of the store
}

// stepLimit ends a run that goes round in circles.
const stepLimit = 400_000

// begin makes a new actor, which is ready at once. Who begins one keeps the
// baton.
func (s *schedule) begin(name string, p *process, run func()) *actor {
	s.actors++
	s.live++
	a := &actor{name: name, number: s.actors, baton: make(chan struct{}, 1), process: p}
	s.ready = append(s.ready, a)
	go func() {
		<-a.baton
		defer func() {
			if value := recover(); value != nil {
				s.onPanic(value, debug.Stack())
			}
			s.end(a)
		}()
		run()
	}()
	return a
}

// end takes the actor that runs off the stage.
func (s *schedule) end(*actor) {
	s.live--
	s.pass()
}

// pass gives the baton to the next actor; with nobody left, or when the run was
// stopped, the run is over.
func (s *schedule) pass() {
	next := s.next()
	if next == nil {
		s.finish()
		return
	}
	s.running = next
	next.baton <- struct{}{}
}

func (s *schedule) finish() {
	if !s.ended {
		s.ended = true
		close(s.over)
	}
}

// park lets others go on before the actor that runs.
func (s *schedule) park() {
	a := s.running
	if a.process != nil && a.process.dead {
		return // what a dead process still does, nobody sees: it ends at once
	}
	if s.stopped == nil && (len(s.ready) == 0 && !s.mayJump() || s.chance(s.sticky)) {
		s.steps++
		s.now = s.now.Add(time.Duration(s.random.IntN(50)) * time.Microsecond)
		return
	}
	s.ready = append(s.ready, a)
	s.leave(a)
}

// sleep lets time pass for the actor that runs, unless somebody wakes it. It
// reports whether somebody did.
func (s *schedule) sleep(d time.Duration) (woken bool) {
	a := s.running
	if a.process != nil && a.process.dead {
		return true
	}
	a.wakeAt, a.woken = s.now.Add(max(d, 0)), false
	at, _ := slices.BinarySearchFunc(s.asleep, a, func(x, y *actor) int {
		if c := x.wakeAt.Compare(y.wakeAt); c != 0 {
			return c
		}
		return x.number - y.number
	})
	s.asleep = slices.Insert(s.asleep, at, a)
	s.leave(a)
	return a.woken
}

// rest waits until somebody wakes the actor that runs.
func (s *schedule) rest() {
	a := s.running
	if a.process != nil && a.process.dead {
		return
	}
	a.resting = true
	s.leave(a)
}

// wake makes a sleeping actor ready; any other goes on as it was.
func (s *schedule) wake(a *actor) {
	if a.resting {
		a.resting = false
		s.ready = append(s.ready, a)
	} else if at := slices.Index(s.asleep, a); at >= 0 {
		a.woken = true
		s.asleep = slices.Delete(s.asleep, at, at+1)
		s.ready = append(s.ready, a)
	}
}

// leave passes the baton and waits for it.
func (s *schedule) leave(a *actor) {
	next := s.next()
	if next == a {
		return
	}
	if next == nil {
		s.finish()
		select {} // the run was stopped in the middle
	}
	s.running = next
	next.baton <- struct{}{}
	<-a.baton
}

// next chooses who goes on, and lets time pass.
func (s *schedule) next() *actor {
	if s.stopped != nil {
		return nil
	}
	if s.steps++; s.steps > stepLimit {
		s.stopped = fmt.Errorf("the run does not end: %d steps", s.steps)
		return nil
	}
	if len(s.asleep) > 0 && (len(s.ready) == 0 || s.mayJump() && s.chance(s.early)) {
		a := s.asleep[0]
		s.asleep = slices.Delete(s.asleep, 0, 1)
		if a.wakeAt.After(s.now) {
			s.now = a.wakeAt
		}
		s.ready = append(s.ready, a)
	}
	if len(s.ready) == 0 {
		if s.live > 0 {
			s.stopped = errors.New("everybody waits for somebody else")
		}
		return nil
	}
	s.now = s.now.Add(time.Duration(s.random.IntN(200)) * time.Microsecond)
	at := s.random.IntN(len(s.ready))
	a := s.ready[at]
	s.ready = slices.Delete(s.ready, at, at+1)
	s.running = a
	return a
}

// mayJump reports whether time may pass although somebody is ready: a moment, as
// a machine that is busy makes one wait.
func (s *schedule) mayJump() bool {
	return len(s.asleep) > 0 && s.asleep[0].wakeAt.Sub(s.now) < time.Second
}

// chance is true in so many of 1000 cases.
func (s *schedule) chance(perMille int) bool {
	return perMille > 0 && s.random.IntN(1000) < perMille
}

// between returns a duration from low up to high.
func (s *schedule) between(low, high time.Duration) time.Duration {
	return low + time.Duration(s.random.Int64N(int64(high-low)+1))
}

// oneOf returns one of several.
func oneOf[T any](s *schedule, of ...T) T { return of[s.random.IntN(len(of))] }

// run passes the baton for the first time and returns when nobody is left, or
// the run was stopped. Then the others wait for a baton that never comes.
func (s *schedule) run() {
	s.pass()
	<-s.over
}
