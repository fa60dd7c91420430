package delivery

import (
	"context"
	"crypto/sha256"
	"encoding/base32"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"time"

	"github.com/splitpin/splitpin"
)

// An Outbox sends the messages that the store holds. It keeps nothing of its own:
// several, in one process or in many, may work on one store. Store, Senders and
// Fill are required; every other field is useful at its zero value. Do not change
// it once Step was called.
type Outbox struct {
	Store   splitpin.Store
	Senders map[splitpin.Channel]Sender

	// Fill gives what a message shows: code and link, derived now and stored
	// nowhere, and the look of its project. It may leave device, network and
	// times zero. It is called from several goroutines at once.
	Fill func(context.Context, *splitpin.Message, *splitpin.Attempt) (Values, error)

	Templates *Templates // nil: Builtin

	// Subject is the keyed hash under which audit events name an identifier; nil:
	// events of the outbox name none.
	Subject func(project int64, identifier string) [12]byte

	// Clock is asked again for every message, since a batch takes a while; nil: the
	// whole step happens at the now it was given.
	Clock func() time.Time

	Log *slog.Logger // hears of failures; nil: nobody does

	// Observe, where it is set, is called before each claimed message is handled,
	// from several goroutines; writing and sending go on under the context it
	// returns. done hears what came of it.
	Observe func(context.Context, *splitpin.Message) (_ context.Context, done func(Result))

	Batch   int // how many messages a step claims at most; zero: 128
	Workers int // how many it sends at once; zero: 4

	// Lease is for how long claimed messages are ours. It should be several times
	// SendTimeout. Zero: two minutes.
	Lease time.Duration
	// SendTimeout bounds one call of a sender; zero: 45 seconds.
	SendTimeout time.Duration
	// Grace is how long letters that are being sent may take after ctx ended; zero:
	// 3 seconds; negative: none.
	Grace time.Duration

	once      sync.Once
	templates *Templates
}

// A Result is what came of one try at a message.
type Result struct {
	// Outcome is "sent", "retried", "given_up", or "released": untried and free
	// again, because the outbox stops or ran out of time.
	Outcome string
	// Reason says why a message was retried or given up: a Stage, or for what no
	// sender saw one of "expired", "no_longer_needed", "attempt_gone", "template".
	Reason string
	At     time.Time
}

// Audit details of a message given up, besides the stages of senders.
const (
	gaveUpExpired   = "expired"          // its time was over before a sender took it
	gaveUpNotNeeded = "no_longer_needed" // its attempt was answered or denied
	gaveUpOrphan    = "attempt_gone"     // its attempt is not there
	gaveUpTemplate  = "template"         // it cannot be written
)

func or[T comparable](value, otherwise T) T {
	var zero T
	if value == zero {
		return otherwise
	}
	return value
}

// Step claims the messages that are due at now, sends them, and records what came
// of each. It reports whether there were any: then there may be more. It may be
// called from several goroutines at once, and should be, so that one slow server
// does not hold up everybody.
//
// When ctx ends, letters on their way get Grace to arrive; what was not sent is
// free again at once for the next process. The error is the store's: messages
// whose outcome could not be recorded are sent again when the lease runs out.
func (o *Outbox) Step(ctx context.Context, now time.Time) (worked bool, err error) {
	o.once.Do(func() {
		if o.templates = o.Templates; o.templates == nil {
			o.templates = Builtin()
		}
	})
	lease := or(o.Lease, 2*time.Minute)
	claimed, err := o.Store.ClaimMessages(ctx, now, now.Add(lease), or(o.Batch, 128))
	if err != nil {
		return false, fmt.Errorf("claiming messages: %w", err)
	}
	if len(claimed) == 0 {
		return false, nil
	}

	b := &batch{Outbox: o, ctx: ctx, now: now, lease: lease, down: make(map[splitpin.Channel]*SendError)}
	jobs := make(chan splitpin.Claimed, len(claimed))
	for _, c := range claimed {
		jobs <- c
	}
	close(jobs)
	outcomes := make(chan *outcome, len(claimed))
	for range min(or(o.Workers, 4), len(claimed)) {
		go func() {
			for c := range jobs {
				outcomes <- b.handle(c)
			}
		}()
	}

	// Whatever is finished while a commit runs goes into the next one: under load
	// one commit records many messages, alone each is recorded at once.
	var failures []error
	for left := len(claimed); left > 0; {
		finished := []*outcome{<-outcomes}
		for more := true; more; {
			select {
			case x := <-outcomes:
				finished = append(finished, x)
			default:
				more = false
			}
		}
		left -= len(finished)
		if err := b.record(finished); err != nil {
			failures = append(failures, err)
		}
	}
	return true, errors.Join(failures...)
}

// A batch is one Step at work.
type batch struct {
	*Outbox
	ctx   context.Context
	now   time.Time
	lease time.Duration

	mu   sync.Mutex
	down map[splitpin.Channel]*SendError // channels whose server failed in this step
}

// An outcome is what came of a claimed message.
type outcome struct {
	message *splitpin.Message    // as it should be now
	event   *splitpin.AuditEvent // of one that was given up
	claim   int                  // its Tries when it was claimed
	failed  Stage                // of a try that will be repeated
}

func (x *outcome) result(at time.Time) Result {
	switch {
	case !x.message.SentAt.IsZero():
		return Result{Outcome: "sent", At: at}
	case x.event != nil:
		return Result{Outcome: "given_up", Reason: x.event.Detail, At: at}
	case x.failed != "":
		return Result{Outcome: "retried", Reason: string(x.failed), At: at}
	}
	return Result{Outcome: "released", At: at}
}

// settle brings what the store holds up to the outcome, and reports whether there
// is anything to save. It is pure. A message that another node finished stays as it
// is. One that another node claimed, because our lease had run out, is that
// node's: only that it was sent is worth saying then, or it would be sent again.
func (x *outcome) settle(m *splitpin.Message) bool {
	ours := m.Tries == x.claim
	if !m.SentAt.IsZero() || !m.GivenUpAt.IsZero() || !ours && x.message.SentAt.IsZero() {
		return false
	}
	m.SentAt, m.GivenUpAt, m.Reason = x.message.SentAt, x.message.GivenUpAt, x.message.Reason
	if ours {
		m.Tries, m.DueAt = x.message.Tries, x.message.DueAt
	}
	return true
}

// clock is the present, in the store's precision.
func (b *batch) clock() time.Time {
	if b.Clock == nil {
		return b.now
	}
	return b.Clock().UTC().Truncate(time.Microsecond)
}

// handle takes one claimed message as far as it goes. It decides on what was
// there when the message was claimed; record looks again.
func (b *batch) handle(c splitpin.Claimed) *outcome {
	claim := c.Message.Tries
	ctx, done := b.ctx, func(Result) {}
	if b.Observe != nil {
		ctx, done = b.Observe(ctx, c.Message)
	}
	x := b.try(ctx, c.Message, c.Attempt)
	x.claim = claim
	done(x.result(b.clock()))
	return x
}

// try alters m to what came of it. ctx ends when that of the batch does.
func (b *batch) try(ctx context.Context, m *splitpin.Message, a *splitpin.Attempt) *outcome {
	now := b.clock()
	switch {
	case b.ctx.Err() != nil || now.Sub(b.now) > b.lease-or(b.SendTimeout, 45*time.Second):
		return b.release(m)
	case a == nil:
		return b.giveUp(m, nil, gaveUpOrphan, "the attempt it belongs to is gone")
	case !now.Before(m.ExpiresAt) || !now.Before(a.ExpiresAt):
		return b.giveUp(m, a, gaveUpExpired, expiredReason(m.Reason))
	}

	v, err := b.Fill(ctx, m, a)
	switch {
	case err != nil && b.ctx.Err() != nil:
		return b.release(m)
	case err != nil:
		return b.retry(m, a, &SendError{Stage: StageConfig, Temporary: true, Detail: Scrub("deriving what it says: "+err.Error(), nil)})
	}
	asksForAnswer := v.Code != "" || v.Link != ""
	if asksForAnswer && !a.Open(now) {
		return b.giveUp(m, a, gaveUpNotNeeded, "the attempt was answered already")
	}
	v.Device, v.Network = or(v.Device, a.Device), or(v.Network, a.Network)
	if v.AskedAt.IsZero() {
		v.AskedAt = a.CreatedAt
	}
	if v.ExpiresAt.IsZero() {
		v.ExpiresAt = a.ExpiresAt
	}

	l := &Letter{ID: letterID(m, a), Channel: m.Channel, To: m.To, At: m.CreatedAt}
	if err := b.templates.Render(l, m.Channel, m.Template, m.Locale, &v); err != nil {
		return b.giveUp(m, a, gaveUpTemplate, Scrub(err.Error(), l))
	}

	failure := b.send(ctx, l, now, m.ExpiresAt)
	now = b.clock()
	switch {
	case failure == nil:
		m.SentAt, m.Reason = now, ""
		return &outcome{message: m}
	case b.ctx.Err() != nil && failure.Stage == StageCancelled:
		return b.release(m)
	case !failure.Temporary:
		return b.giveUp(m, a, string(failure.Stage), string(failure.Stage)+": "+Scrub(failure.Detail, l))
	}
	failure.Detail = Scrub(failure.Detail, l)
	return b.retry(m, a, failure)
}

// send hands the letter to its sender, unless the server was found to be down in
// this step already: then every letter would wait for the same timeout.
func (b *batch) send(ctx context.Context, l *Letter, now, expires time.Time) *SendError {
	sender := b.Senders[l.Channel]
	if sender == nil {
		return &SendError{Stage: StageConfig, Temporary: true, Detail: "no sender is configured for " + string(l.Channel)}
	}
	b.mu.Lock()
	down := b.down[l.Channel]
	b.mu.Unlock()
	if down != nil {
		copy := *down
		return &copy
	}

	timeout := min(or(b.SendTimeout, 45*time.Second), expires.Sub(now))
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), timeout)
	defer cancel()
	defer context.AfterFunc(b.ctx, func() {
		grace := or(b.Grace, 3*time.Second)
		if grace < 0 {
			cancel()
			return
		}
		time.AfterFunc(grace, cancel)
	})()

	err := sender.Send(ctx, l)
	if err == nil {
		return nil
	}
	failure := *asSendError(err)
	if ctx.Err() != nil && failure.Stage != StageCancelled && failure.Temporary {
		failure.Stage = StageCancelled
	}
	if failure.Stage.aboutServer() {
		b.mu.Lock()
		first := b.down[l.Channel] == nil
		b.down[l.Channel] = &failure
		b.mu.Unlock()
		if first && b.Log != nil {
			b.Log.Warn("sending is failing", "channel", l.Channel, "stage", failure.Stage, "detail", Scrub(failure.Detail, l))
		}
		copy := failure
		return &copy
	}
	return &failure
}

// release gives an untried message back: due at once, the try not counted.
func (b *batch) release(m *splitpin.Message) *outcome {
	m.DueAt = b.now
	m.Tries = max(0, m.Tries-1)
	return &outcome{message: m}
}

// retry puts the message off, or gives up where no time is left for another try.
func (b *batch) retry(m *splitpin.Message, a *splitpin.Attempt, failure *SendError) *outcome {
	now := b.clock()
	m.Reason = string(failure.Stage) + ": " + oneLine(failure.Detail, maxDetail)
	m.DueAt = now.Add(backoff(m.Number, m.Tries)).Truncate(time.Microsecond)
	if !m.DueAt.Before(m.ExpiresAt) {
		return b.giveUp(m, a, gaveUpExpired, expiredReason(m.Reason))
	}
	return &outcome{message: m, failed: failure.Stage}
}

func expiredReason(last string) string {
	if last == "" {
		return "expired before it could be sent"
	}
	return "expired before it could be sent; at last " + strings.TrimPrefix(last, "expired before it could be sent; at last ")
}

// backoff is how long to wait after so many tries: 2, 4, 8, 16, then 30 seconds,
// a quarter more or less, so that what failed together does not come back
// together. It is the same for the same message and try.
func backoff(number int64, tries int) time.Duration {
	wait := 30 * time.Second
	if tries <= 4 {
		wait = time.Second << max(1, tries)
	}
	var seed [16]byte
	binary.BigEndian.PutUint64(seed[:8], uint64(number))
	binary.BigEndian.PutUint64(seed[8:], uint64(tries))
	sum := sha256.Sum256(seed[:])
	return wait*3/4 + wait/2*time.Duration(binary.BigEndian.Uint16(sum[:2]))>>16
}

// giveUp ends a message unsent, visibly: reason for the operator, detail (a code of
// ours) for the audit. a may be nil.
func (b *batch) giveUp(m *splitpin.Message, a *splitpin.Attempt, detail, reason string) *outcome {
	m.GivenUpAt, m.Reason = b.clock(), reason
	event := &splitpin.AuditEvent{Project: m.Project, At: m.GivenUpAt, Kind: "message_given_up", Attempt: m.Attempt, Detail: detail}
	identifier := m.To
	if a != nil {
		identifier, event.Network = a.Identifier, a.Network
	}
	if b.Subject != nil {
		event.Subject = b.Subject(m.Project, identifier)
	}
	return &outcome{message: m, event: event}
}

// record saves outcomes in one step. It goes on when ctx ended: what was sent must
// be known to be sent. A message that is not there any more (a user was deleted,
// say) is left out.
func (b *batch) record(outcomes []*outcome) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(b.ctx), 10*time.Second)
	defer cancel()

	var reads splitpin.Reads
	byNumber := make(map[int64]*outcome, len(outcomes))
	for _, x := range outcomes {
		reads.Messages = append(reads.Messages, x.message.Number)
		byNumber[x.message.Number] = x
		if x.event != nil {
			var err error
			if x.event.Number, err = b.Store.NextNumber(ctx); err != nil {
				return fmt.Errorf("recording what was sent: %w", err)
			}
		}
	}
	var settled []*outcome
	decide := func(r *splitpin.Records) (w splitpin.Writes, _ error) {
		settled = settled[:0]
		for _, m := range r.Messages {
			x := byNumber[m.Number]
			if !x.settle(m) {
				continue
			}
			settled = append(settled, x)
			w.Put = append(w.Put, m)
			if x.event != nil {
				w.Create = append(w.Create, x.event)
			}
		}
		return w, nil
	}
	var err error
	for range 3 {
		if err = b.Store.Change(ctx, reads, decide); !errors.Is(err, splitpin.ErrUnavailable) {
			break
		}
	}
	if err != nil {
		return fmt.Errorf("recording what was sent: %w", err)
	}
	for _, x := range settled {
		if m := x.message; x.event != nil && b.Log != nil {
			b.Log.Warn("message given up", "message", m.Number, "project", m.Project, "channel", m.Channel,
				"tries", m.Tries, "why", x.event.Detail, "reason", m.Reason)
		}
	}
	return nil
}

var lowerBase32 = base32.NewEncoding("abcdefghijklmnopqrstuvwxyz234567").WithPadding(base32.NoPadding)

// letterID is the same for every try at a message, on every node, and tells
// nothing about the attempt.
func letterID(m *splitpin.Message, a *splitpin.Attempt) string {
	id := a.ID.Bytes()
	var number [8]byte
	binary.BigEndian.PutUint64(number[:], uint64(m.Number))
	sum := sha256.Sum256(append(append([]byte("splitpin letter\x00"), id[:]...), number[:]...))
	return lowerBase32.EncodeToString(sum[:15])
}
