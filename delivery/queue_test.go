package delivery_test

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/splitpin/splitpin"
	"github.com/splitpin/splitpin/delivery"
)

// hand creates an attempt and its message as the engine does: with a place in the
// outbox where there is one. It reports whether there was.
func (r *room) hand(to string) (m *splitpin.Message, placed bool) {
	r.t.Helper()
	var attempt splitpin.Attempt
	m = r.queue(to, func(a *splitpin.Attempt, m *splitpin.Message) {
		placed = r.outbox.Reserve(m)
		attempt = *a
	})
	r.outbox.Created(m, &attempt)
	return m, placed
}

// claimless is a store from which nothing can be claimed.
type claimless struct{ splitpin.Store }

func (claimless) ClaimMessages(context.Context, time.Time, time.Time, int) ([]splitpin.Claimed, error) {
	return nil, nil
}

// A message that was handed over is sent without being claimed, and by no other
// node meanwhile.
func TestHandOver(t *testing.T) {
	r := newRoom(t)
	other := r.newOutbox(r.db)
	r.outbox.Store = claimless{r.db}
	m, placed := r.hand("ada@example.com")
	if !placed || m.Tries != 1 || !m.DueAt.Equal(r.clock().Add(30*time.Second)) {
		t.Fatalf("placed: %v, %d tries, due in %v", placed, m.Tries, m.DueAt.Sub(r.clock()))
	}
	select {
	case <-r.outbox.Woken():
	default:
		t.Error("nobody was woken")
	}
	if worked, err := other.Step(t.Context(), r.clock()); worked || err != nil {
		t.Errorf("another node took the message: %v", err)
	}
	if !r.step() || r.mail.Tries() != 1 {
		t.Fatalf("it was sent %d times", r.mail.Tries())
	}
	if got := r.message(m.Number); !got.SentAt.Equal(r.clock()) || got.Tries != 1 {
		t.Errorf("the message is %+v", got)
	}
	if got := r.outbox.Stats(); got.Held != 0 {
		t.Errorf("the outbox still holds something: %+v", got)
	}
}

// A node that dies between the commit and the sending costs half a minute.
func TestHandOverToADyingNode(t *testing.T) {
	r := newRoom(t)
	other := r.newOutbox(r.db)
	m, _ := r.hand("ada@example.com")
	for _, wait := range []time.Duration{0, 30*time.Second - time.Microsecond} {
		r.wait(wait)
		if worked, _ := other.Step(t.Context(), r.clock()); worked {
			t.Fatalf("the message was taken after %v", wait)
		}
	}
	r.wait(time.Microsecond)
	if worked, err := other.Step(t.Context(), r.clock()); !worked || err != nil || r.mail.Tries() != 1 {
		t.Fatalf("another node did not take it: %v, %v", worked, err)
	}
	// Should the first one live after all, it is too late for it to begin.
	if r.step(); r.mail.Tries() != 1 {
		t.Error("it was sent twice")
	}
	if got := r.message(m.Number); got.SentAt.IsZero() || got.Tries != 2 {
		t.Errorf("the message is %+v", got)
	}
}

// What finds no place lies in the store, and is looked for soon; a commit that did
// not happen gives its place back.
func TestNoPlace(t *testing.T) {
	r := newRoom(t)
	r.outbox.Places, r.outbox.Poll = 4, time.Hour
	r.step() // asks the store, and then not for an hour
	for i := range 6 {
		m, placed := r.hand(fmt.Sprintf("user%d@domain%d.example", i, i))
		if want := i < 3; placed != want { // three quarters of the places for one project
			t.Errorf("message %d has a place: %v, want %v", i, placed, want)
		}
		if !placed && (m.Tries != 0 || !m.DueAt.Equal(r.clock())) {
			t.Errorf("message %d, without a place, has %d tries", i, m.Tries)
		}
	}
	for r.step() {
	}
	if n := len(r.mail.Letters()); n != 6 {
		t.Errorf("%d letters were sent, want 6", n)
	}
	lost := &splitpin.Message{Number: r.number(), Project: 1, Channel: splitpin.EmailChannel, To: "ada@example.com", CreatedAt: r.clock()}
	if !r.outbox.Reserve(lost) || r.outbox.Stats().Held != 1 {
		t.Fatal("no place")
	}
	r.outbox.Created(lost, nil)
	if r.step() || r.outbox.Stats().Held != 0 {
		t.Errorf("it holds %+v", r.outbox.Stats())
	}
}

// A process that stops gives back what it was handed and did not begin.
func TestStopGivesBack(t *testing.T) {
	r := newRoom(t)
	m, _ := r.hand("ada@example.com")
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := r.outbox.Step(ended, r.clock()); err == nil {
		t.Error("a store was asked under a context that had ended, and answered")
	}
	if got := r.message(m.Number); got.Tries != 0 || got.DueAt.After(r.clock()) || r.mail.Tries() != 0 {
		t.Errorf("the message is %+v", got)
	}
	if _, placed := r.hand("bob@example.com"); placed {
		t.Error("a message was taken in after the end")
	}
	if _, err := r.newOutbox(r.db).Step(t.Context(), r.clock()); err != nil || len(r.mail.Letters()) != 2 {
		t.Errorf("the next process sent %d letters, %v; want 2", len(r.mail.Letters()), err)
	}
}

// A mail server that hangs for one domain holds its share of the workers; everybody
// else's letters arrive meanwhile.
func TestHangingDomain(t *testing.T) {
	for _, how := range []string{"handed over", "claimed"} {
		t.Run(how, func(t *testing.T) {
			r := newRoom(t)
			r.outbox.Workers = 6
			const others = 20
			var hanging atomic.Int32
			var arrived sync.WaitGroup
			arrived.Add(others)
			letGo := make(chan struct{})
			r.mail.Fail = func(_ context.Context, l *delivery.Letter) error {
				if strings.HasSuffix(l.To, "@hangs.example") {
					hanging.Add(1)
					<-letGo
				} else {
					arrived.Done()
				}
				return nil
			}
			add := func(to string) {
				if how == "claimed" {
					r.queue(to, nil)
				} else if _, placed := r.hand(to); !placed {
					t.Fatal("no place")
				}
			}
			for i := range 12 {
				add(fmt.Sprintf("user%d@hangs.example", i))
			}
			for i := range others {
				add(fmt.Sprintf("user%d@quick%d.example", i, i%4))
			}
			ended := make(chan struct{})
			go func() {
				r.workers(6, func() bool { return r.mail.Tries() == 12+others })
				close(ended)
			}()
			arrived.Wait() // for ever, if the hanging domain had all six
			if n := hanging.Load(); n > 3 {
				t.Errorf("%d letters hang at once, want 3 at most", n)
			}
			close(letGo)
			<-ended
			if n := len(r.mail.Letters()); n != 12+others {
				t.Errorf("%d letters were sent, want all", n)
			}
		})
	}
}

// A domain that was slow gets one worker and few places; what waits for it in the
// store does not stand before the others.
func TestSlowDomainIsPutOff(t *testing.T) {
	r := newRoom(t)
	r.outbox.Batch = 8
	r.mail.Fail = func(_ context.Context, l *delivery.Letter) error {
		if strings.HasSuffix(l.To, "@slow.example") {
			r.wait(10 * time.Second)
		}
		return nil
	}
	r.queue("first@slow.example", nil)
	r.step()
	var slow []*splitpin.Message
	for i := range 30 {
		slow = append(slow, r.queue(fmt.Sprintf("user%d@slow.example", i), nil))
	}
	r.wait(time.Millisecond)
	r.queue("ada@quick.example", nil)
	if _, placed := r.hand("one@slow.example"); !placed {
		t.Error("a slow domain has no place at all")
	}
	if _, placed := r.hand("two@slow.example"); placed {
		t.Error("a slow domain has a second place")
	}
	if _, placed := r.hand("bob@quick.example"); !placed {
		t.Error("a quick domain has no place")
	}
	sent := func() (list string) {
		for _, l := range r.mail.Letters() {
			if name, ok := strings.CutSuffix(l.To, "@quick.example"); ok {
				list += name + " "
			}
		}
		return list
	}
	// A letter that was handed over takes its ten seconds first; then the store is asked.
	before, later := r.clock(), 0
	r.step()
	for _, m := range slow {
		if got := r.message(m.Number); got.DueAt.Sub(before) >= 18*time.Second && got.SentAt.IsZero() && got.Tries == 0 {
			later++
		}
	}
	if later < 6 {
		t.Errorf("%d of the eight that were claimed were put off, want 6 at least", later)
	}
	for range 5 {
		r.step()
	}
	if got := sent(); got != "bob ada " {
		t.Errorf("sent to the quick domain: %q, want bob and ada, who came behind thirty slow ones", got)
	}
	for _, m := range slow {
		if got := r.message(m.Number); got.Tries > 1 {
			t.Errorf("being put off counted as a try: %+v", got)
		}
	}
}

// While one project has a thousand messages waiting, another's comes next.
func TestProjectsTakeTurns(t *testing.T) {
	r := newRoom(t)
	for i := range 20 {
		r.hand(fmt.Sprintf("user%d@example.com", i))
	}
	r.queue("ada@example.org", func(a *splitpin.Attempt, m *splitpin.Message) {
		a.Project, m.Project = 2, 2
		r.outbox.Reserve(m)
		copy := *a
		r.outbox.Created(m, &copy)
	})
	// The first letter's sending lets another worker choose.
	first := true
	r.outbox.Workers = 6
	r.mail.Fail = func(_ context.Context, l *delivery.Letter) error {
		if first {
			first = false
			r.step()
		}
		return nil
	}
	r.step()
	letters := r.mail.Letters()
	if len(letters) != 21 || letters[0].To != "ada@example.org" {
		t.Errorf("%d letters, the first that arrived to %s; want ada@example.org", len(letters), letters[0].To)
	}
}

// forgetful is a store that is not there for a while.
type forgetful struct {
	splitpin.Store
	gone *bool
}

func (f forgetful) Change(ctx context.Context, reads splitpin.Reads, decide func(*splitpin.Records) (splitpin.Writes, error)) error {
	if *f.gone {
		return splitpin.ErrUnavailable
	}
	return f.Store.Change(ctx, reads, decide)
}

// What was sent while the database was gone is not sent again when it is back.
func TestOutcomesAreKept(t *testing.T) {
	r := newRoom(t)
	gone := true
	m, _ := r.hand("ada@example.com")
	r.outbox.Store = forgetful{r.db, &gone}
	if _, err := r.outbox.Step(t.Context(), r.clock()); err == nil {
		t.Error("the store was gone, and the step says nothing")
	}
	if r.outbox.Stats().Held != 1 {
		t.Error("a letter whose outcome is not recorded holds no place")
	}
	gone = false
	r.wait(20 * time.Second)
	r.step()
	if got := r.message(m.Number); got.SentAt.IsZero() || got.Tries != 1 || r.mail.Tries() != 1 || r.outbox.Stats().Held != 0 {
		t.Errorf("it was sent %d times: %+v", r.mail.Tries(), got)
	}
}
