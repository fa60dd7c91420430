package delivery_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/splitpin/splitpin"
	"github.com/splitpin/splitpin/delivery"
	"github.com/splitpin/splitpin/delivery/deliverytest"
	"github.com/splitpin/splitpin/store"
	"github.com/splitpin/splitpin/store/enginetest"
)

// A room is an outbox on a real store, with a clock that the test moves.
type room struct {
	t      testing.TB
	db     store.Database
	now    atomic.Pointer[time.Time]
	mail   *deliverytest.Recorder
	outbox *delivery.Outbox
	log    bytes.Buffer
}

func newRoom(t testing.TB) *room { t.Helper(); return newRoomOn(t, enginetest.Open(t)) }

func newRoomOn(t testing.TB, db store.Database) *room {
	t.Helper()
	r := &room{t: t, db: db, mail: new(deliverytest.Recorder)}
	start := time.Date(2026, 11, 22, 14, 3, 7, 0, time.UTC)
	r.now.Store(&start)
	r.outbox = r.newOutbox(r.db)
	return r
}

func (r *room) newOutbox(db splitpin.Store) *delivery.Outbox {
	return &delivery.Outbox{
		Store: db, Senders: map[splitpin.Channel]delivery.Sender{splitpin.EmailChannel: r.mail}, Fill: fill,
		Subject: func(project int64, identifier string) (s [12]byte) { copy(s[:], identifier); return s },
		Clock:   r.clock, Log: slog.New(slog.NewTextHandler(&r.log, nil)),
		Grace: -1,
	}
}

// fill derives a code as the engine's method would: from the attempt alone.
func fill(_ context.Context, m *splitpin.Message, a *splitpin.Attempt) (delivery.Values, error) {
	return delivery.Values{Code: codeOf(a), Project: "Example"}, nil
}

func codeOf(a *splitpin.Attempt) splitpin.Secret {
	return splitpin.Secret(fmt.Sprintf("9%05d", a.ID.Number%100000))
}

func (r *room) clock() time.Time { return *r.now.Load() }

func (r *room) wait(d time.Duration) {
	later := r.clock().Add(d)
	r.now.Store(&later)
}

func (r *room) number() int64 {
	r.t.Helper()
	n, err := r.db.NextNumber(r.t.Context())
	if err != nil {
		r.t.Fatal(err)
	}
	return n
}

func (r *room) save(w splitpin.Writes) {
	r.t.Helper()
	err := r.db.Change(r.t.Context(), splitpin.Reads{}, func(*splitpin.Records) (splitpin.Writes, error) { return w, nil })
	if err != nil {
		r.t.Fatal(err)
	}
}

// queue saves an attempt of ten minutes and its message, as a start does. alter
// may be nil.
func (r *room) queue(to string, alter func(*splitpin.Attempt, *splitpin.Message)) *splitpin.Message {
	r.t.Helper()
	now := r.clock()
	a := &splitpin.Attempt{
		ID: splitpin.AttemptID{Number: r.number(), Nonce: [8]byte{1, 2, 3}}, Project: 1, Purpose: splitpin.SignIn, Method: "email_code",
		Identifier: to, Kind: splitpin.Email, MaxTries: 5, Sends: 1, KeyGeneration: 1,
		Device: "Chrome on Linux", Network: "203.0.113.7/32", Locale: "en",
		CreatedAt: now, ExpiresAt: now.Add(10 * time.Minute), NextSendAt: now,
	}
	m := &splitpin.Message{
		Number: r.number(), Project: 1, Attempt: a.ID.Number, Sequence: 1, Channel: splitpin.EmailChannel, To: to,
		Template: "code", Locale: "en", CreatedAt: now, ExpiresAt: a.ExpiresAt, DueAt: now,
	}
	if alter != nil {
		alter(a, m)
	}
	w := splitpin.Writes{Create: []splitpin.Record{m}}
	if !a.ID.IsZero() {
		w.Create = append(w.Create, a)
	}
	r.save(w)
	return m
}

// step runs the outbox once, and reports whether it found something to do.
func (r *room) step() bool {
	r.t.Helper()
	worked, err := r.outbox.Step(r.t.Context(), r.clock())
	if err != nil {
		r.t.Fatal(err)
	}
	return worked
}

// workers runs the outbox in n goroutines, as a program does, until over reports
// that all is done and it holds nothing any more.
func (r *room) workers(n int, over func() bool) {
	var running sync.WaitGroup
	for range n {
		running.Go(func() {
			for !over() || r.outbox.Stats().Held > 0 {
				if _, err := r.outbox.Step(r.t.Context(), r.clock()); err != nil {
					r.t.Error(err)
				}
				runtime.Gosched()
			}
		})
	}
	running.Wait()
}

// message reads a message as it is now.
func (r *room) message(number int64) *splitpin.Message {
	r.t.Helper()
	records, err := r.db.Load(r.t.Context(), splitpin.Reads{Messages: []int64{number}})
	if err != nil {
		r.t.Fatal(err)
	}
	if len(records.Messages) == 0 {
		return nil
	}
	return records.Messages[0]
}

func (r *room) events() []*splitpin.AuditEvent {
	r.t.Helper()
	all, err := r.db.AuditEvents(r.t.Context(), splitpin.AuditFilter{Kind: "message_given_up"}, 1000)
	if err != nil {
		r.t.Fatal(err)
	}
	return all
}

func TestOutboxSends(t *testing.T) {
	r := newRoom(t)
	if r.step() {
		t.Error("an empty outbox had something to do")
	}
	m := r.queue("ada@example.com", nil)
	r.wait(2 * time.Second)
	if !r.step() {
		t.Error("a message was waiting, and the step found none")
	}
	l := r.mail.Last(t)
	code := fmt.Sprintf("9%05d", m.Attempt)
	if l.To != "ada@example.com" || l.From != "Example" || l.Code.Reveal() != code || l.Subject != code+" is your code for Example" ||
		l.Channel != splitpin.EmailChannel || !l.At.Equal(m.CreatedAt) || l.ID == "" {
		t.Errorf("the letter is %+v", l)
	}
	for _, want := range []string{"14:03 UTC on 22 November 2026, from Chrome on Linux", "203.0.113.7", "until 14:13 UTC", "10 minutes"} {
		if !strings.Contains(strings.ReplaceAll(l.Text, "\n", " "), want) {
			t.Errorf("the text does not say %q:\n%s", want, l.Text)
		}
	}
	got := r.message(m.Number)
	if !got.SentAt.Equal(r.clock()) || !got.GivenUpAt.IsZero() || got.Tries != 1 || got.Reason != "" {
		t.Errorf("the message is %+v", got)
	}
	if r.step(); r.mail.Tries() != 1 {
		t.Errorf("it was sent %d times", r.mail.Tries())
	}
}

// Letters of one kind come about by a form, which our sender of mail reads by itself.
// Every other sender gets them written.
func TestOutboxWritesForOtherSenders(t *testing.T) {
	r := newRoom(t)
	for n := range 3 {
		r.queue(fmt.Sprintf("ada%d@example.com", n), nil)
	}
	r.step()
	letters := r.mail.Letters()
	if len(letters) != 3 {
		t.Fatalf("%d letters were sent, want 3", len(letters))
	}
	for _, l := range letters {
		for part, text := range map[string]string{"subject": l.Subject, "text": l.Text, "HTML": l.HTML} {
			if !strings.Contains(text, l.Code.Reveal()) {
				t.Errorf("the %s of the letter to %s does not show its code: %q", part, l.To, text)
			}
		}
	}
}

func TestOutboxOutcomes(t *testing.T) {
	temporary := &delivery.SendError{Stage: delivery.StageRecipient, Temporary: true, Detail: "450 later"}
	permanent := &delivery.SendError{Stage: delivery.StageRecipient, Detail: "550 <ada@example.com> unknown"}

	for _, tt := range []struct {
		name   string
		alter  func(*room, *splitpin.Attempt, *splitpin.Message)
		fail   error // of the sender
		wait   time.Duration
		tries  int    // of the sender
		gaveUp string // the audit's detail; empty: it will be tried again, or was sent
		reason string // part of it
		sent   bool
	}{
		{name: "sent", tries: 1, sent: true},
		{name: "may pass", fail: temporary, tries: 1, reason: "recipient: 450 later"},
		{name: "an error of another kind may pass", fail: errors.New("odd"), tries: 1, reason: "connect: odd"},
		{name: "will not pass", fail: permanent, tries: 1, gaveUp: "recipient", reason: "550 <…@example.com> unknown"},
		{name: "too late", wait: 10 * time.Minute, gaveUp: "expired", reason: "expired before it could be sent"},
		{name: "the message's own time is over", wait: time.Minute, gaveUp: "expired", reason: "expired",
			alter: func(_ *room, _ *splitpin.Attempt, m *splitpin.Message) { m.ExpiresAt = m.CreatedAt.Add(time.Minute) }},
		{name: "no time left for another try", wait: 10*time.Minute - time.Second, fail: temporary, tries: 1, gaveUp: "expired",
			reason: "expired before it could be sent; at last recipient: 450 later"},
		{name: "answered already", gaveUp: "no_longer_needed", reason: "answered already",
			alter: func(r *room, a *splitpin.Attempt, _ *splitpin.Message) { a.ProvedAt = r.clock() }},
		{name: "denied", gaveUp: "no_longer_needed", reason: "answered already",
			alter: func(r *room, a *splitpin.Attempt, _ *splitpin.Message) { a.DeniedAt = r.clock() }},
		{name: "no such template", gaveUp: "template", reason: `no template "poem"`,
			alter: func(_ *room, _ *splitpin.Attempt, m *splitpin.Message) { m.Template = "poem" }},
		{name: "no sender", reason: "config: no sender is configured for email",
			alter: func(r *room, _ *splitpin.Attempt, _ *splitpin.Message) { r.outbox.Senders = nil }},
		{name: "no code to be had", reason: "config: deriving what it says: no key",
			alter: func(r *room, _ *splitpin.Attempt, _ *splitpin.Message) {
				r.outbox.Fill = func(context.Context, *splitpin.Message, *splitpin.Attempt) (delivery.Values, error) {
					return delivery.Values{}, errors.New("no key")
				}
			}},
		{name: "its key was destroyed", gaveUp: "attempt_over", reason: "nobody could answer it any more: over: data key destroyed",
			alter: func(r *room, _ *splitpin.Attempt, _ *splitpin.Message) {
				r.outbox.Fill = func(context.Context, *splitpin.Message, *splitpin.Attempt) (delivery.Values, error) {
					return delivery.Values{}, (&splitpin.Error{Kind: splitpin.Unauthenticated, Code: "over"}).Because(errors.New("data key destroyed"))
				}
			}},
		{name: "its key is not here yet", reason: "config: deriving what it says",
			alter: func(r *room, _ *splitpin.Attempt, _ *splitpin.Message) {
				r.outbox.Fill = func(context.Context, *splitpin.Message, *splitpin.Attempt) (delivery.Values, error) {
					return delivery.Values{}, splitpin.ErrUnavailable
				}
			}},
		{name: "an orphan", gaveUp: "attempt_gone", reason: "gone",
			alter: func(_ *room, a *splitpin.Attempt, _ *splitpin.Message) { a.ID = splitpin.AttemptID{} }},
		{name: "a notice after the answer", tries: 1, sent: true,
			alter: func(r *room, a *splitpin.Attempt, _ *splitpin.Message) {
				a.ProvedAt = r.clock()
				r.outbox.Fill = func(context.Context, *splitpin.Message, *splitpin.Attempt) (delivery.Values, error) {
					return delivery.Values{Project: "Example", Link: "https://login.example.com/undo/x", Notice: true}, nil
				}
			}},
		{name: "a notice whose attempt is gone", wait: 71 * time.Hour, tries: 1, sent: true,
			alter: func(r *room, a *splitpin.Attempt, m *splitpin.Message) {
				a.ID = splitpin.AttemptID{}
				m.User, m.Credential, m.ExpiresAt = 4, 5, m.CreatedAt.Add(72*time.Hour)
				r.outbox.Fill = func(context.Context, *splitpin.Message, *splitpin.Attempt) (delivery.Values, error) {
					return delivery.Values{Project: "Example", Link: "https://login.example.com/undo/x", Notice: true}, nil
				}
			}},
		{name: "a notice of an enrolment, refused", tries: 1, fail: &delivery.SendError{Stage: delivery.StageRecipient, Detail: "no such mailbox"},
			gaveUp: "recipient", reason: "recipient: no such mailbox",
			alter: func(r *room, a *splitpin.Attempt, m *splitpin.Message) {
				a.Purpose, a.Identifier, m.User, m.Credential = splitpin.Enrol, "", 4, 5
			}},
		{name: "a notice after its attempt expired", wait: 30 * time.Minute, tries: 1, sent: true,
			alter: func(r *room, a *splitpin.Attempt, m *splitpin.Message) {
				m.ExpiresAt = a.CreatedAt.Add(time.Hour)
				r.outbox.Fill = func(context.Context, *splitpin.Message, *splitpin.Attempt) (delivery.Values, error) {
					return delivery.Values{Project: "Example", Notice: true}, nil
				}
			}},
		{name: "a code whose attempt expired before", wait: 30 * time.Minute, gaveUp: "expired", reason: "expired before it could be sent",
			alter: func(_ *room, a *splitpin.Attempt, m *splitpin.Message) { m.ExpiresAt = a.CreatedAt.Add(time.Hour) }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := newRoom(t)
			r.mail.Fail = func(context.Context, *delivery.Letter) error { return tt.fail }
			m := r.queue("ada@example.com", func(a *splitpin.Attempt, m *splitpin.Message) {
				if tt.alter != nil {
					tt.alter(r, a, m)
				}
			})
			r.wait(tt.wait)
			r.step()

			got := r.message(m.Number)
			if r.mail.Tries() != tt.tries {
				t.Errorf("the sender was called %d times, want %d", r.mail.Tries(), tt.tries)
			}
			if sent := !got.SentAt.IsZero(); sent != tt.sent {
				t.Errorf("sent: %v, want %v", sent, tt.sent)
			}
			if gaveUp := !got.GivenUpAt.IsZero(); gaveUp != (tt.gaveUp != "") {
				t.Errorf("given up: %v (%s)", gaveUp, got.Reason)
			}
			if !strings.Contains(got.Reason, tt.reason) || strings.Contains(got.Reason, "ada@") {
				t.Errorf("reason %q, want %q in it", got.Reason, tt.reason)
			}
			events := r.events()
			switch {
			case tt.gaveUp == "" && len(events) > 0:
				t.Errorf("there is an event: %+v", events[0])
			case tt.gaveUp != "":
				if len(events) != 1 {
					t.Fatalf("%d events, want 1", len(events))
				}
				e := events[0]
				if e.Detail != tt.gaveUp || e.Project != 1 || e.Attempt != m.Attempt || !e.At.Equal(r.clock()) || string(e.Subject[:3]) != "ada" {
					t.Errorf("the event is %+v", e)
				}
				if !strings.Contains(r.log.String(), tt.gaveUp) {
					t.Errorf("the log says %q", r.log.String())
				}
			case !tt.sent && !(got.DueAt.After(r.clock()) && got.DueAt.Before(r.clock().Add(3*time.Second))):
				t.Errorf("the next try is %v from now, want about two seconds", got.DueAt.Sub(r.clock()))
			}
			// What is over stays over.
			if before := r.mail.Tries(); tt.sent || tt.gaveUp != "" {
				r.wait(5 * time.Minute)
				if r.step(); r.mail.Tries() != before {
					t.Error("it was sent again")
				}
			}
		})
	}
}

// A failing server is asked again and again, less and less often, until it
// answers or the code has expired; the tries say so.
func TestOutboxRetries(t *testing.T) {
	r := newRoom(t)
	r.mail.Fail = func(context.Context, *delivery.Letter) error {
		return &delivery.SendError{Stage: delivery.StageConnect, Temporary: true, Detail: "refuses connections"}
	}
	m := r.queue("ada@example.com", nil)
	var waits []time.Duration
	last := r.clock()
	for range 10 * 60 {
		before := r.mail.Tries()
		r.step()
		if r.mail.Tries() > before {
			waits = append(waits, r.clock().Sub(last))
			last = r.clock()
		}
		if len(waits) == 8 {
			break
		}
		r.wait(time.Second)
	}
	for i, want := range []time.Duration{0, 2, 4, 8, 16, 30, 30, 30} {
		want *= time.Second
		if i >= len(waits) || waits[i] < want*3/4 || waits[i] > want*5/4+time.Second {
			t.Fatalf("tries came after %v, want about 0, 2, 4, 8, 16, 30, 30, 30 seconds", waits)
		}
	}
	r.mail.Fail = nil
	r.wait(time.Minute)
	r.step()
	if got := r.message(m.Number); got.SentAt.IsZero() || got.Tries != 9 {
		t.Errorf("after the server came back the message is %+v", got)
	}
}

// While a server is down, one letter finds out for all of a batch.
func TestOutboxSparesADeadServer(t *testing.T) {
	r := newRoom(t)
	r.outbox.Workers = 1
	r.mail.Fail = func(context.Context, *delivery.Letter) error {
		return &delivery.SendError{Stage: delivery.StageAuth, Temporary: true, Detail: "535 no"}
	}
	var all []*splitpin.Message
	for i := range 20 {
		all = append(all, r.queue(fmt.Sprintf("user%d@example.com", i), nil))
	}
	r.step()
	if n := r.mail.Tries(); n != 1 {
		t.Errorf("the server was asked %d times, want once", n)
	}
	for _, m := range all {
		if got := r.message(m.Number); got.Reason != "auth: 535 no" || got.SentAt != (time.Time{}) || !got.DueAt.After(r.clock()) {
			t.Errorf("message %d: %+v", m.Number, got)
		}
	}
	if n := strings.Count(r.log.String(), "sending is failing"); n != 1 {
		t.Errorf("the log says so %d times, want once:\n%s", n, r.log.String())
	}
	// A refused recipient says nothing about the others.
	r = newRoom(t)
	r.outbox.Workers = 1
	r.mail.Fail = func(_ context.Context, l *delivery.Letter) error {
		if strings.HasPrefix(l.To, "user0@") {
			return &delivery.SendError{Stage: delivery.StageRecipient, Detail: "550"}
		}
		return nil
	}
	for i := range 3 {
		r.queue(fmt.Sprintf("user%d@example.com", i), nil)
	}
	r.step()
	if n := len(r.mail.Letters()); n != 2 {
		t.Errorf("%d letters were sent, want 2", n)
	}
}

// amnesiac is a store whose node dies before it records anything.
type amnesiac struct{ splitpin.Store }

func (amnesiac) Change(context.Context, splitpin.Reads, func(*splitpin.Records) (splitpin.Writes, error)) error {
	return splitpin.ErrUnavailable
}

// A node that dies between sending and recording: when the lease is over, another
// one sends the same letter, with the same id and the same code.
func TestOutboxSendsAgainAfterACrash(t *testing.T) {
	r := newRoom(t)
	m := r.queue("ada@example.com", nil)
	dying := r.newOutbox(amnesiac{r.db})
	if _, err := dying.Step(t.Context(), r.clock()); !errors.Is(err, splitpin.ErrUnavailable) {
		t.Errorf("a step that recorded nothing said %v", err)
	}
	r.wait(time.Minute)
	if r.step() {
		t.Error("the message was taken while the lease ran")
	}
	r.wait(time.Minute)
	r.step()
	letters := r.mail.Letters()
	if len(letters) != 2 || *letters[0] != *letters[1] {
		t.Fatalf("%d letters were sent, want the same one twice", len(letters))
	}
	if got := r.message(m.Number); got.SentAt.IsZero() || got.Tries != 2 {
		t.Errorf("the message is %+v", got)
	}
	// A resend of the same attempt is another letter.
	other := r.queue("ada@example.com", func(a *splitpin.Attempt, next *splitpin.Message) {
		a.ID, next.Attempt, next.Sequence = splitpin.AttemptID{}, m.Attempt, 2
	})
	r.step()
	letters = r.mail.Letters()
	if len(letters) != 3 || letters[2].ID == letters[0].ID || letters[2].Code != letters[0].Code {
		t.Errorf("message %d: the id differs: %v, the code is the same: %v; want both", other.Number, letters[2].ID != letters[0].ID, letters[2].Code == letters[0].Code)
	}
}

// uncertain is a store whose first steps are lost without anybody knowing.
type uncertain struct {
	splitpin.Store
	lost int
}

func (u *uncertain) Change(ctx context.Context, reads splitpin.Reads, decide func(*splitpin.Records) (splitpin.Writes, error)) error {
	if u.lost > 0 {
		u.lost--
		return splitpin.ErrUncertain
	}
	return u.Store.Change(ctx, reads, decide)
}

// What was sent is recorded again where nobody knows whether it was: or the letter
// would go out a second time when the lease is over.
func TestOutboxRecordsWhatIsUncertain(t *testing.T) {
	r := newRoom(t)
	m := r.queue("ada@example.com", nil)
	o := r.newOutbox(&uncertain{Store: r.db, lost: 4})
	if _, err := o.Step(t.Context(), r.clock()); !errors.Is(err, splitpin.ErrUncertain) {
		t.Errorf("a step that may have recorded nothing said %v", err)
	}
	if _, err := o.Step(t.Context(), r.clock()); err != nil {
		t.Errorf("the step after it: %v", err)
	}
	if got := r.message(m.Number); got.SentAt.IsZero() {
		t.Error("the message is not known to be sent")
	}
	r.wait(5 * time.Minute)
	r.step()
	if n := len(r.mail.Letters()); n != 1 {
		t.Errorf("%d letters were sent, want 1", n)
	}
}

// Shutting down records what was sent, frees what was not, and blames nobody.
func TestOutboxShutdown(t *testing.T) {
	r := newRoom(t)
	r.outbox.Workers = 1
	var all []*splitpin.Message
	for i := range 5 {
		all = append(all, r.queue(fmt.Sprintf("user%d@example.com", i), nil))
	}
	ctx, cancel := context.WithCancel(t.Context())
	var sends atomic.Int32
	r.mail.Fail = func(sending context.Context, l *delivery.Letter) error {
		if sends.Add(1) == 1 {
			return nil
		}
		cancel()
		<-sending.Done()
		return &delivery.SendError{Stage: delivery.StageCancelled, Temporary: true, Detail: "stopped"}
	}
	if _, err := r.outbox.Step(ctx, r.clock()); err != nil {
		t.Fatal(err)
	}
	for i, m := range all {
		got := r.message(m.Number)
		if (i == 0) != !got.SentAt.IsZero() || !got.GivenUpAt.IsZero() || got.Reason != "" {
			t.Errorf("message %d of five: %+v", i, got)
		}
		if i > 0 && (got.Tries != 0 || got.DueAt.After(r.clock())) {
			t.Errorf("message %d is not free again: %d tries, due %v", i, got.Tries, got.DueAt)
		}
	}
	if n := sends.Load(); n != 2 {
		t.Errorf("%d sends were begun, want 2", n)
	}
	// The next process sends the rest at once.
	r.mail.Fail = nil
	r.step()
	var to []string
	for _, l := range r.mail.Letters() {
		to = append(to, l.To)
	}
	slices.Sort(to)
	if want := "user0@example.com user1@example.com user2@example.com user3@example.com user4@example.com"; strings.Join(to, " ") != want {
		t.Errorf("sent to %v", to)
	}
}

// A letter that may have been taken when the program was told to stop is not sent by the
// next one.
func TestOutboxShutdownInDoubt(t *testing.T) {
	r := newRoom(t)
	m := r.queue("ada@example.com", nil)
	ctx, cancel := context.WithCancel(t.Context())
	r.mail.Fail = func(sending context.Context, _ *delivery.Letter) error {
		cancel()
		<-sending.Done()
		return &delivery.SendError{Stage: delivery.StageCancelled, Temporary: true, Uncertain: true, Detail: "stopped"}
	}
	if _, err := r.outbox.Step(ctx, r.clock()); err != nil {
		t.Fatal(err)
	}
	if got := r.message(m.Number); got.GivenUpAt.IsZero() {
		t.Errorf("the message is free again: %+v", got)
	}
}

// A letter on its way when the program is told to stop may arrive.
func TestOutboxGrace(t *testing.T) {
	r := newRoom(t)
	r.outbox.Grace = time.Hour
	m := r.queue("ada@example.com", nil)
	ctx, cancel := context.WithCancel(t.Context())
	r.mail.Fail = func(sending context.Context, _ *delivery.Letter) error {
		cancel()
		return sending.Err()
	}
	if _, err := r.outbox.Step(ctx, r.clock()); err != nil {
		t.Fatal(err)
	}
	if got := r.message(m.Number); got.SentAt.IsZero() {
		t.Errorf("the message is %+v", got)
	}
}

// Several steps at once, in one process and in two, send every message once.
func TestOutboxSharedWork(t *testing.T) {
	r := newRoom(t)
	const n = 300
	for i := range n {
		r.queue(fmt.Sprintf("user%d@example.com", i), nil)
	}
	second := r.newOutbox(r.db)
	var wg sync.WaitGroup
	for i := range 6 {
		o := []*delivery.Outbox{r.outbox, second}[i%2]
		wg.Go(func() {
			for {
				worked, err := o.Step(t.Context(), r.clock())
				if err != nil {
					t.Error(err)
				}
				if !worked {
					return
				}
			}
		})
	}
	wg.Wait()
	seen := make(map[string]int)
	for _, l := range r.mail.Letters() {
		seen[l.To]++
		seen[l.ID]++
	}
	if len(seen) != 2*n || r.mail.Tries() != n {
		t.Errorf("%d different letters in %d sends, want %d in %d", len(seen)/2, r.mail.Tries(), n, n)
	}
}

// A message that is erased while its letter is on the way does not keep the
// outcome of its neighbours from being recorded.
func TestOutboxErasedMeanwhile(t *testing.T) {
	r := newRoom(t)
	r.outbox.Workers = 9
	gone, refused, kept := r.queue("gone@example.com", nil), r.queue("refused@example.com", nil), r.queue("kept@example.com", nil)
	var meet sync.WaitGroup
	meet.Add(3)
	r.mail.Fail = func(_ context.Context, l *delivery.Letter) error {
		if l.To == "gone@example.com" {
			r.save(splitpin.Writes{Delete: []splitpin.Record{gone}})
		}
		meet.Done()
		meet.Wait()
		if l.To == "refused@example.com" {
			return &delivery.SendError{Stage: delivery.StageRecipient, Detail: "550"}
		}
		return nil
	}
	r.workers(3, func() bool { return r.mail.Tries() == 3 })
	if r.message(gone.Number) != nil {
		t.Error("an erased message came back")
	}
	if got := r.message(kept.Number); got.SentAt.IsZero() {
		t.Errorf("its neighbour is %+v", got)
	}
	if got := r.message(refused.Number); got.GivenUpAt.IsZero() || len(r.events()) != 1 {
		t.Errorf("its other neighbour is %+v", got)
	}
}

// Neither the database nor the log ever holds a code, even where a server quotes it.
func TestOutboxKeepsNoCode(t *testing.T) {
	path := filepath.Join(t.TempDir(), "splitpin.db")
	db, err := store.OpenSQLite(t.Context(), path, store.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	r := newRoomOn(t, db)
	r.mail.Fail = func(_ context.Context, l *delivery.Letter) error {
		return &delivery.SendError{Stage: delivery.StageData, Detail: "554 spam: " + l.Subject + " for " + l.To}
	}
	m := r.queue("ada@example.com", nil)
	r.step()
	records, err := r.db.Load(t.Context(), splitpin.Reads{Attempt: m.Attempt})
	if err != nil {
		t.Fatal(err)
	}
	code := codeOf(records.Attempt).Reveal()
	if want := "data: 554 spam: [code] is your code for Example for …@example.com"; r.message(m.Number).Reason != want {
		t.Errorf("reason %q, want %q", r.message(m.Number).Reason, want)
	}
	if strings.Contains(r.log.String(), code) || strings.Contains(r.log.String(), "ada@") {
		t.Errorf("the log says %s", r.log.String())
	}
	r.db.Close()
	files, err := filepath.Glob(path + "*")
	if err != nil || len(files) == 0 {
		t.Fatalf("%v, %v", files, err)
	}
	for _, name := range files {
		content, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		if bytes.Contains(content, []byte(code)) {
			t.Errorf("%s holds the code", filepath.Base(name))
		}
	}
}

// A batch that takes longer than its lease stops in time: what was not begun is
// free for others, instead of being sent by two nodes.
func TestOutboxStopsBeforeTheLeaseEnds(t *testing.T) {
	r := newRoom(t)
	r.outbox.Workers, r.outbox.Lease, r.outbox.SendTimeout = 1, 2*time.Minute, 45*time.Second
	r.mail.Fail = func(context.Context, *delivery.Letter) error { r.wait(30 * time.Second); return nil }
	start := r.clock()
	for i := range 6 {
		r.queue(fmt.Sprintf("user%d@example.com", i), nil)
	}
	r.step()
	if n, took := len(r.mail.Letters()), r.clock().Sub(start); n != 3 || took != 90*time.Second {
		t.Errorf("%d letters were sent in %v, want 3 in 1m30s", n, took)
	}
	left, err := r.db.ClaimMessages(t.Context(), r.clock(), r.clock().Add(time.Minute), 10)
	if err != nil || len(left) != 3 {
		t.Fatalf("%d messages are free, %v; want 3", len(left), err)
	}
	for _, c := range left {
		if c.Message.Tries != 1 {
			t.Errorf("an untried message counts %d tries with this claim, want 1", c.Message.Tries)
		}
	}
}

// A node whose lease ran out while its sender hung has nothing more to say about
// the message, unless that it was sent after all: it is another node's by then.
func TestOutboxLateOutcomes(t *testing.T) {
	temporary := &delivery.SendError{Stage: delivery.StageConnect, Temporary: true, Detail: "hung up"}
	permanent := &delivery.SendError{Stage: delivery.StageRecipient, Detail: "550 unknown"}
	for _, tt := range []struct {
		name  string
		late  error // what the first node's sender says at last
		stop  bool  // the first node is being stopped when it does
		while bool  // the second node is sending then, and has not finished
		fails error // what the second node's sender says
	}{
		{name: "failed", late: temporary},
		{name: "refused", late: permanent},
		{name: "stopped", late: context.Canceled, stop: true},
		{name: "sent", late: nil},
		{name: "failed while another sends", late: temporary, while: true},
		{name: "refused while another sends", late: permanent, while: true},
		{name: "stopped while another sends", late: context.Canceled, stop: true, while: true},
		{name: "sent while another sends", late: nil, while: true},
		{name: "sent while another fails", late: nil, while: true, fails: temporary},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := newRoom(t)
			m := r.queue("ada@example.com", nil)
			ctx, stop := context.WithCancel(t.Context())
			defer stop()
			hangs, letGo := make(chan struct{}), make(chan struct{})
			first := r.newOutbox(r.db)
			first.Log = nil
			first.Senders = map[splitpin.Channel]delivery.Sender{splitpin.EmailChannel: &deliverytest.Recorder{
				Fail: func(context.Context, *delivery.Letter) error { close(hangs); <-letGo; return tt.late },
			}}
			ended := make(chan error, 1)
			go func() {
				_, err := first.Step(ctx, r.clock())
				ended <- err
			}()
			<-hangs
			r.wait(2 * time.Minute)
			end := sync.OnceFunc(func() {
				if tt.stop {
					stop()
				}
				close(letGo)
				if err := <-ended; err != nil {
					t.Error(err)
				}
			})
			if tt.while {
				r.mail.Fail = func(context.Context, *delivery.Letter) error {
					end()
					r.wait(time.Minute) // later than any next try, within the second lease
					if worked, err := r.newOutbox(r.db).Step(t.Context(), r.clock()); worked || err != nil {
						t.Errorf("a third node took the message from under the second: %v, %v", worked, err)
					}
					return tt.fails
				}
			}
			if !r.step() {
				t.Fatal("the lease is over, and the second node found nothing")
			}
			sent := r.message(m.Number)
			if !tt.while {
				r.wait(time.Second)
				end()
			}
			got := r.message(m.Number)
			if got.SentAt.IsZero() || !got.SentAt.Equal(sent.SentAt) || !got.GivenUpAt.IsZero() || got.Tries != 2 || got.Reason != "" {
				t.Errorf("the message is %+v", got)
			}
			if events := r.events(); len(events) > 0 {
				t.Errorf("there is an event: %+v", events[0])
			}
			r.wait(5 * time.Minute)
			if r.step() || r.mail.Tries() != 1 {
				t.Errorf("the second node sent it %d times", r.mail.Tries())
			}
		})
	}
}

// A message that its channel will not bring goes on over the other at once, with the
// same code, and says so.
func TestOutboxFallsBack(t *testing.T) {
	recipient := &delivery.SendError{Stage: delivery.StageRecipient, Detail: "not on WhatsApp: +4915112345678"}
	later := &delivery.SendError{Stage: delivery.StageConnect, Temporary: true, Detail: "down"}
	tests := []struct {
		name     string
		fallback splitpin.Channel
		whatsapp error // of the sender; nil: it takes the letter
		sms      error
		absent   bool // there is no sender for WhatsApp
		steps    int  // of the outbox, some seconds apart; zero: one

		by     splitpin.Channel // that took it; empty: none
		detail string           // of the event; empty: there is none
		reason string
		gaveUp bool
		turned bool // its channel is another now
	}{
		{name: "taken", fallback: splitpin.SMSChannel, by: splitpin.WhatsAppChannel},
		{name: "not on it", fallback: splitpin.SMSChannel, whatsapp: recipient, by: splitpin.SMSChannel, detail: "whatsapp_recipient",
			reason: "not by whatsapp (recipient: not on WhatsApp: [recipient])", turned: true},
		{name: "not on it, and no other way", whatsapp: recipient, gaveUp: true, reason: "recipient: not on WhatsApp"},
		{name: "no sender", fallback: splitpin.SMSChannel, absent: true, by: splitpin.SMSChannel, detail: "whatsapp_config", reason: "not by whatsapp (config", turned: true},
		{name: "a wrong password", fallback: splitpin.SMSChannel, by: splitpin.SMSChannel, detail: "whatsapp_auth", reason: "not by whatsapp (auth", turned: true,
			whatsapp: &delivery.SendError{Stage: delivery.StageAuth, Temporary: true, Detail: "no"}},
		{name: "what may pass", fallback: splitpin.SMSChannel, whatsapp: later, reason: "connect: down"},
		{name: "what does not pass", fallback: splitpin.SMSChannel, whatsapp: later, steps: 2, by: splitpin.SMSChannel, detail: "whatsapp_connect", reason: "not by whatsapp (connect", turned: true},
		{name: "a channel without a sender", fallback: "pigeon", whatsapp: recipient, gaveUp: true, reason: "recipient: not on WhatsApp"},
		{name: "perhaps taken", fallback: splitpin.SMSChannel, by: splitpin.SMSChannel, detail: "whatsapp_connect", reason: "not by whatsapp (connect", turned: true,
			whatsapp: &delivery.SendError{Stage: delivery.StageConnect, Temporary: true, Uncertain: true, Detail: "no answer"}},
		{name: "perhaps taken, and no other way", gaveUp: true, reason: "connect: no answer; it may have been taken", steps: 3,
			whatsapp: &delivery.SendError{Stage: delivery.StageConnect, Temporary: true, Uncertain: true, Detail: "no answer"}},
		{name: "neither", fallback: splitpin.SMSChannel, whatsapp: recipient, gaveUp: true, detail: "whatsapp_recipient", reason: "region: none there", turned: true,
			sms: &delivery.SendError{Stage: delivery.StageRegion, Detail: "none there"}},
		{name: "the other may pass", fallback: splitpin.SMSChannel, whatsapp: recipient, sms: later, detail: "whatsapp_recipient", reason: "connect: down", turned: true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := newRoom(t)
			whatsapp := &deliverytest.Recorder{Fail: func(context.Context, *delivery.Letter) error { return tt.whatsapp }}
			sms := &deliverytest.Recorder{Fail: func(context.Context, *delivery.Letter) error { return tt.sms }}
			r.outbox.Senders = map[splitpin.Channel]delivery.Sender{splitpin.SMSChannel: sms}
			if !tt.absent {
				r.outbox.Senders[splitpin.WhatsAppChannel] = whatsapp
			}
			m := r.queue("+4915112345678", func(a *splitpin.Attempt, m *splitpin.Message) {
				a.Kind, a.Method = splitpin.Phone, "sms_code"
				m.Channel, m.Fallback = splitpin.WhatsAppChannel, tt.fallback
			})
			for range max(1, tt.steps) {
				r.step()
				r.wait(4 * time.Second)
			}

			got := r.message(m.Number)
			letters := append(whatsapp.Letters(), sms.Letters()...)
			switch {
			case tt.by == "" && (len(letters) > 0 || !got.SentAt.IsZero()):
				t.Errorf("%d letters were taken, sent at %v; want none", len(letters), got.SentAt)
			case tt.by != "" && (len(letters) != 1 || got.SentAt.IsZero()):
				t.Fatalf("%d letters were taken, sent at %v; want one", len(letters), got.SentAt)
			case tt.by != "":
				l, code := letters[0], fmt.Sprintf("9%05d", m.Attempt)
				if l.Channel != tt.by || l.Code.Reveal() != code || !strings.Contains(l.Text, code) {
					t.Errorf("the letter is %+v, want one by %s with code %s", l, tt.by, code)
				}
			}
			if gaveUp := !got.GivenUpAt.IsZero(); gaveUp != tt.gaveUp {
				t.Errorf("given up: %v", gaveUp)
			}
			if !strings.HasPrefix(got.Reason, tt.reason) || tt.reason == "" && got.Reason != "" {
				t.Errorf("reason %q, want %q", got.Reason, tt.reason)
			}
			want := splitpin.WhatsAppChannel
			if tt.turned {
				want = splitpin.SMSChannel
			}
			if got.Channel != want || tt.turned && got.Fallback != "" {
				t.Errorf("it stands there for %s, then %q; want %s", got.Channel, got.Fallback, want)
			}
			events, err := r.db.AuditEvents(t.Context(), splitpin.AuditFilter{Kind: "message_fallback"}, 10)
			if err != nil {
				t.Fatal(err)
			}
			switch {
			case tt.detail == "" && len(events) > 0:
				t.Errorf("there is an event: %+v", events[0])
			case tt.detail != "" && (len(events) != 1 || events[0].Detail != tt.detail || events[0].Attempt != m.Attempt):
				t.Errorf("the events are %+v, want one with %s", events, tt.detail)
			}
			if strings.Contains(r.log.String()+got.Reason, "15112345678") {
				t.Errorf("the number stands in %q or %q", r.log.String(), got.Reason)
			}
		})
	}
}

// A server that perhaps took one letter, and is spared for a moment after that, took
// nothing of the others: they are tried again.
func TestOutboxSparedIsNotTaken(t *testing.T) {
	r := newRoom(t)
	sms := new(deliverytest.Recorder)
	sms.Fail = func(context.Context, *delivery.Letter) error {
		if sms.Tries() > 1 {
			return nil
		}
		return &delivery.SendError{Stage: delivery.StageConnect, Temporary: true, Uncertain: true, Detail: "no answer"}
	}
	r.outbox.Senders = map[splitpin.Channel]delivery.Sender{splitpin.SMSChannel: sms}
	var messages []*splitpin.Message
	for n := range 2 {
		messages = append(messages, r.queue(fmt.Sprintf("+491511234567%d", n), func(a *splitpin.Attempt, m *splitpin.Message) {
			a.Kind, a.Method, m.Channel = splitpin.Phone, "sms_code", splitpin.SMSChannel
		}))
	}
	for range 3 {
		r.step()
		r.wait(4 * time.Second)
	}
	sent, gaveUp := 0, 0
	for _, m := range messages {
		got := r.message(m.Number)
		if !got.SentAt.IsZero() {
			sent++
		}
		if !got.GivenUpAt.IsZero() {
			gaveUp++
		}
	}
	if sent != 1 || gaveUp != 1 || sms.Tries() != 2 {
		t.Errorf("%d sent, %d given up after %d tries; want one each, after two", sent, gaveUp, sms.Tries())
	}
}
