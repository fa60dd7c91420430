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
	var created func(*splitpin.Attempt)
	m = r.queue(to, func(a *splitpin.Attempt, m *splitpin.Message) {
		created = r.outbox.Reserve(m)
		attempt = *a
	})
	created(&attempt)
	return m, m.Tries == 1
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
	created := r.outbox.Reserve(lost)
	if lost.Tries != 1 || r.outbox.Stats().Held != 1 {
		t.Fatal("no place")
	}
	created(nil)
	if created(new(splitpin.Attempt)); r.step() || r.outbox.Stats().Held != 0 {
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

// Mail servers that hang for some domains hold their share of the workers; everybody
// else's letters arrive meanwhile.
func TestHangingDomains(t *testing.T) {
	for _, tt := range []struct {
		name    string
		workers int
		domains int  // that begin to hang together
		letters int  // to each of them
		slow    bool // they were slow before
		most    int  // letters that may hang at once
	}{
		{name: "one", workers: 6, domains: 1, letters: 12, most: 3},
		{name: "two", workers: 12, domains: 2, letters: 12, most: 9},
		{name: "three", workers: 12, domains: 3, letters: 12, most: 11},
		{name: "a slow one", workers: 12, domains: 1, letters: 4, slow: true, most: 1},
		{name: "many slow ones", workers: 12, domains: 14, letters: 2, slow: true, most: 6},
	} {
		for _, how := range []string{"handed over", "claimed"} {
			t.Run(tt.name+", "+how, func(t *testing.T) {
				r := newRoom(t)
				r.outbox.Workers = tt.workers
				if tt.slow {
					r.mail.Fail = func(context.Context, *delivery.Letter) error { r.wait(2 * time.Second); return nil }
					for i := range tt.domains {
						r.queue(fmt.Sprintf("first@hangs%d.example", i), nil)
					}
					for r.step() {
					}
				}
				const others = 20
				before := r.mail.Tries()
				all := before + tt.domains*tt.letters + others
				var hanging atomic.Int32
				var arrived sync.WaitGroup
				arrived.Add(others)
				letGo := make(chan struct{})
				release := sync.OnceFunc(func() { close(letGo) })
				r.mail.Fail = func(_ context.Context, l *delivery.Letter) error {
					if !strings.Contains(l.To, "@hangs") {
						arrived.Done()
						return nil
					}
					select {
					case <-letGo:
						return nil
					default:
					}
					if n := int(hanging.Add(1)); n > tt.most {
						t.Errorf("%d letters hang at once, want %d at most", n, tt.most)
						release() // or nobody would be left to bring the others
					}
					<-letGo
					return nil
				}
				add := func(to string) {
					if how == "claimed" {
						r.queue(to, nil)
					} else {
						r.hand(to)
					}
				}
				for i := range tt.domains * tt.letters {
					add(fmt.Sprintf("user%d@hangs%d.example", i, i%tt.domains))
				}
				for i := range others {
					add(fmt.Sprintf("user%d@quick%d.example", i, i%4))
				}
				ended := make(chan struct{})
				go func() {
					r.workers(tt.workers, func() bool { return r.mail.Tries() == all })
					close(ended)
				}()
				arrived.Wait()
				release()
				<-ended
				if n := len(r.mail.Letters()); n != all {
					t.Errorf("%d letters were sent, want %d", n, all)
				}
			})
		}
	}
}

// What a step gives back untried is reported too: what came too late, what found its
// domain full when it was claimed, and what a program that ends did not begin.
func TestReleasedIsObserved(t *testing.T) {
	for _, tt := range []struct {
		name string
		make func(*room) // one message that will be given back
		ends bool        // the step's context
	}{
		{name: "too late", make: func(r *room) {
			r.hand("ada@example.com")
			r.wait(11 * time.Second)
		}},
		{name: "its domain is full", make: func(r *room) {
			r.outbox.Places = 2
			r.outbox.Reserve(&splitpin.Message{Number: r.number(), Channel: splitpin.EmailChannel, To: "bob@example.com", CreatedAt: r.clock()})
			r.queue("ada@example.com", nil)
		}},
		{name: "the end", ends: true, make: func(r *room) { r.hand("ada@example.com") }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := newRoom(t)
			var heard []string
			r.outbox.Observe = func(ctx context.Context, m *splitpin.Message) (context.Context, func(delivery.Result)) {
				return ctx, func(result delivery.Result) { heard = append(heard, m.To+" "+result.Outcome) }
			}
			tt.make(r)
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			if tt.ends {
				cancel()
			}
			r.outbox.Step(ctx, r.clock())
			if len(heard) == 0 || heard[0] != "ada@example.com released" {
				t.Errorf("heard of %q, want ada@example.com released", heard)
			}
		})
	}
}

// A send ends with the outbox's patience, the message's time, or the lease of what
// was handed over, whichever comes first.
func TestSendEnds(t *testing.T) {
	for _, tt := range []struct {
		name   string
		handed bool
		after  time.Duration // what the letter waits for
		want   time.Duration // from the message's creation
	}{
		{name: "patience", after: time.Minute, want: time.Minute + 45*time.Second},
		{name: "the message's time", after: 10*time.Minute - time.Second, want: 10 * time.Minute},
		{name: "handed over", handed: true, want: 25 * time.Second},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := newRoom(t)
			var got time.Time
			r.outbox.Until = func(ctx context.Context, until time.Time) (context.Context, context.CancelFunc) {
				got = until
				return context.WithCancel(ctx)
			}
			began := r.clock()
			if tt.handed {
				r.hand("ada@example.com")
			} else {
				r.queue("ada@example.com", nil)
			}
			r.wait(tt.after)
			if r.step(); got.Sub(began) != tt.want || len(r.mail.Letters()) != 1 {
				t.Errorf("the send ends after %v, want %v", got.Sub(began), tt.want)
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
	r.outbox.Workers = 6
	for i := range 20 {
		r.hand(fmt.Sprintf("user%d@example.com", i))
	}
	r.queue("ada@example.org", func(a *splitpin.Attempt, m *splitpin.Message) {
		a.Project, m.Project = 2, 2
		r.outbox.Reserve(m)(new(*a))
	})
	// The first letter's sending lets another worker choose.
	first := true
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
