package delivery

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/base32"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/splitpin/splitpin"
)

// An Outbox sends the messages that the store holds: those that are handed to it
// when they are made (Reserve), and those that it claims because their
// time has come. Several, in one process or in many, may work on one store. Store,
// Senders and Fill are required; every other field is useful at its zero value. Do
// not change it once one of its methods was called.
//
// No domain, channel or project can hold more than its share of workers and
// memory, so that a server that hangs holds up its own letters and few others.
type Outbox struct {
	Store   splitpin.Store
	Senders map[splitpin.Channel]Sender

	// Fill gives what a message shows: code and link, derived now and stored
	// nowhere, and the look of its project. It may leave device, network and
	// times zero. It is called from several goroutines at once. Where its error is a
	// splitpin.Error that will not pass, the message is given up.
	Fill func(context.Context, *splitpin.Message, *splitpin.Attempt) (Values, error)

	Templates *Templates // nil: Builtin

	// Subject is the keyed hash under which audit events name an identifier; nil:
	// events of the outbox name none.
	Subject func(project int64, identifier string) [12]byte

	// Receipt and ReadReceipt make and read the words by which providers report: see
	// Reporter. ReadReceipt returns false for what is none. Nil: nobody reports.
	Receipt     func(message int64, over splitpin.Channel) (string, error)
	ReadReceipt func(receipt string, over splitpin.Channel) (message int64, ok bool)
	// Told hears of each report that counted, and what it said: Delivered or a Stage. Nil:
	// nobody does.
	Told func(over splitpin.Channel, report string)

	// Clock is asked again for every message, since a batch takes a while; nil: the
	// whole step happens at the now it was given.
	Clock func() time.Time

	Log *slog.Logger // hears of failures; nil: nobody does

	// Observe, where it is set, is called before each message is handled, from
	// several goroutines; writing and sending go on under the context it returns.
	// done hears what came of it.
	Observe func(context.Context, *splitpin.Message) (_ context.Context, done func(Result))

	Batch   int // how many messages a step claims at most; zero: 128
	Places  int // how many are held in memory at most; zero: 2048
	Workers int // from how many goroutines Step is called at once, which sets the shares; zero: 1

	// Poll is how often the store is asked for messages that were not handed over,
	// unless it is known that there are some. Zero: in every step.
	Poll time.Duration

	// Lease is for how long claimed messages are ours. It should be several times
	// SendTimeout. Zero: two minutes.
	Lease time.Duration
	// SendTimeout bounds one call of a sender; zero: 45 seconds.
	SendTimeout time.Duration
	// Grace is how long letters that are being sent may take after ctx ended; zero:
	// 3 seconds; negative: none.
	Grace time.Duration

	// Until gives the context of a call of a sender, which ends at a time of Clock;
	// nil: it ends when the machine's clock has gone as far.
	Until func(context.Context, time.Time) (context.Context, context.CancelFunc)

	once     sync.Once // start
	queue    queue
	breakers map[splitpin.Channel]*breaker // never changed
	ring     chan struct{}

	mu        sync.Mutex
	claiming  bool       // a step asks the store
	asked     time.Time  // when one did so last
	more      bool       // the store holds messages that are due
	finished  []*outcome // not recorded yet
	recording bool       // somebody is at it
}

// start puts what is meant for the fields that were left zero, and makes ready what
// the methods work with.
func (o *Outbox) start() {
	if o.Templates == nil {
		o.Templates = Builtin()
	}
	o.Batch, o.Places, o.Workers = cmp.Or(o.Batch, 128), cmp.Or(o.Places, 2048), cmp.Or(o.Workers, 1)
	o.Lease, o.SendTimeout, o.Grace = cmp.Or(o.Lease, 2*time.Minute), cmp.Or(o.SendTimeout, 45*time.Second), cmp.Or(o.Grace, 3*time.Second)
	o.queue = queue{places: o.Places, workers: o.Workers, channels: len(o.Senders), tallies: make(map[tallyKey]*tally)}
	o.breakers = make(map[splitpin.Channel]*breaker, len(o.Senders))
	for channel := range o.Senders {
		o.breakers[channel] = new(breaker)
	}
	o.ring = make(chan struct{}, 64)
}

// Reserve finds a place for a message that the next commit will create, and makes
// it this node's own: it sets Tries and DueAt as ClaimMessages would. Where there is
// no place, m stays as it was, and whichever node claims it will send it.
//
// created must be called with what became of the commit; only the first call counts.
// It happened: a is the message's attempt, and both are the outbox's from now on. It
// did not, or nobody knows: a is nil, and the place is free again; should the message
// be there after all, it is sent when its lease has run out.
func (o *Outbox) Reserve(m *splitpin.Message) (created func(a *splitpin.Attempt)) {
	o.once.Do(o.start)
	e := o.queue.reserve(m)
	told := false
	return func(a *splitpin.Attempt) {
		if told {
			return
		}
		told = true
		switch {
		case a == nil:
			if e != nil {
				o.queue.leave(e)
			}
			return
		case e != nil:
			e.attempt = a
			o.queue.wait(e)
		default: // it lies in the store
			o.mu.Lock()
			o.more = true
			o.mu.Unlock()
		}
		o.wake()
	}
}

// Woken wakes one of those who call Step, for each message that was handed over.
func (o *Outbox) Woken() <-chan struct{} {
	o.once.Do(o.start)
	return o.ring
}

func (o *Outbox) wake() {
	select {
	case o.ring <- struct{}{}:
	default: // many are on their way
	}
}

// An OutboxStats is what an outbox holds at one moment, of at most Places.
type OutboxStats struct {
	Held    int // messages in memory: reserved, waiting, being sent, or not yet recorded
	Waiting int // those whose turn has not come
	Places  int
	Slow    int // domains that answer slowly, which get one worker each, and half of them together
}

// Stats returns what the outbox holds now.
func (o *Outbox) Stats() OutboxStats {
	o.once.Do(o.start)
	var now time.Time
	if o.Clock != nil {
		now = o.Clock()
	}
	return o.queue.stats(now)
}

// A Result is what came of one try at a message.
type Result struct {
	// Outcome is "sent", "retried", "given_up", or "released": untried and free
	// again, because the outbox stops, its turn came too late, or its domain had its share.
	Outcome string
	// Reason says why a message was retried or given up: a Stage, or for what no
	// sender saw one of "expired", "no_longer_needed", "attempt_gone", "attempt_over", "template".
	Reason string
	At     time.Time
}

// Audit details of a message given up, besides the stages of senders.
const (
	gaveUpExpired   = "expired"          // its time was over before a sender took it
	gaveUpNotNeeded = "no_longer_needed" // its attempt was answered or denied
	gaveUpOrphan    = "attempt_gone"     // its attempt is not there
	gaveUpTemplate  = "template"         // it cannot be written
	gaveUpOver      = "attempt_over"     // what it should say can never be derived again
)

// Step sends what was handed over, then claims the messages that are due at now
// and sends them, one after the other, and records what came of each. It reports
// whether there were any: then there may be more. It works in the goroutine of its
// caller; call it from several at once, so that one slow server does not hold up
// everybody. Each takes what the others left.
//
// When ctx ends, a letter on its way gets Grace to arrive; what was not sent is
// free again at once for the next process, and nothing more is taken in until a
// step has another context. The error is the store's: an outcome that could not be
// recorded is kept and tried again with the next; where the process ends before,
// the message is sent again when the lease runs out.
func (o *Outbox) Step(ctx context.Context, now time.Time) (worked bool, err error) {
	o.once.Do(o.start)
	o.queue.stop(ctx.Err() != nil)
	t := &turn{Outbox: o, ctx: ctx, now: now}
	failures := []error{t.record()}
	worked, err = t.work()
	failures = append(failures, err)
	claimed, err := t.claim()
	if failures = append(failures, err); claimed {
		_, err = t.work()
		worked, failures = true, append(failures, err)
	}
	return worked, errors.Join(failures...)
}

// A turn is one Step at work.
type turn struct {
	*Outbox
	ctx context.Context
	now time.Time
}

// work handles what waits, until nothing is left that may begin.
func (t *turn) work() (worked bool, err error) {
	var failures []error
	for {
		now := t.clock()
		e, late, crowded := t.queue.next(now, t.ctx.Err() != nil)
		if e == nil {
			return worked, errors.Join(failures...)
		}
		worked = true
		var x *outcome
		switch {
		case late && crowded && t.ctx.Err() == nil:
			x = t.observed(e, t.putOff)
		case late:
			x = t.observed(e, t.giveBack)
		default:
			x = t.observed(e, t.try)
			t.queue.end(e, t.clock())
		}
		if err := t.finish(e, x); err != nil {
			failures = append(failures, err)
		}
	}
}

// claim takes what is due from the store into the queue.
func (t *turn) claim() (claimed bool, err error) {
	o := t.Outbox
	o.mu.Lock()
	limit := min(o.Batch, o.queue.free())
	due := o.more || o.Poll == 0 || o.asked.IsZero() || t.now.Sub(o.asked).Abs() >= o.Poll
	if o.claiming || !due || limit <= 0 {
		o.mu.Unlock()
		return false, nil
	}
	o.claiming, o.more, o.asked = true, false, t.now
	o.mu.Unlock()
	o.queue.forget(t.now)

	list, err := o.Store.ClaimMessages(t.ctx, t.now, t.now.Add(o.Lease), limit)

	o.mu.Lock()
	o.claiming = false
	if len(list) == limit {
		o.more = true
	}
	o.mu.Unlock()
	if err != nil {
		return false, fmt.Errorf("claiming messages: %w", err)
	}
	entries := make([]*entry, len(list))
	for i, c := range list {
		entries[i] = &entry{message: c.Message, attempt: c.Attempt, claim: c.Message.Tries, over: c.Message.Channel,
			beginBy: t.now.Add(o.Lease - o.SendTimeout)}
	}
	if crowded := o.queue.admit(entries, t.now); len(crowded) > 0 {
		for _, e := range crowded {
			t.keep(e, t.observed(e, t.putOff))
		}
		err = t.record()
	}
	for range min(len(list), o.Workers) - 1 {
		o.wake() // there is work for more than one
	}
	return len(list) > 0, err
}

// An outcome is what came of a claimed message.
type outcome struct {
	entry   *entry
	message *splitpin.Message    // as it should be now
	gaveUp  *splitpin.AuditEvent // of one that was given up
	events  []*splitpin.AuditEvent
	claim   int              // its Tries when it was claimed
	over    splitpin.Channel // and its channel; empty: nobody looks
	failed  Stage            // of a try that will be repeated
}

func (x *outcome) result(at time.Time) Result {
	switch {
	case !x.message.SentAt.IsZero():
		return Result{Outcome: "sent", At: at}
	case x.gaveUp != nil:
		return Result{Outcome: "given_up", Reason: x.gaveUp.Detail, At: at}
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
	if x.over != "" && m.Channel != x.over {
		return false // a report came first, and it goes on over another channel
	}
	if !m.SentAt.IsZero() || !m.GivenUpAt.IsZero() || !ours && x.message.SentAt.IsZero() {
		return false
	}
	m.SentAt, m.GivenUpAt, m.Reason = x.message.SentAt, x.message.GivenUpAt, x.message.Reason
	if ours {
		m.Tries, m.DueAt = x.message.Tries, x.message.DueAt
		m.Channel, m.Fallback = x.message.Channel, x.message.Fallback
	}
	return true
}

// clock is the present, in the store's precision.
func (t *turn) clock() time.Time {
	if t.Clock == nil {
		return t.now
	}
	return t.Clock().UTC().Truncate(time.Microsecond)
}

// observed handles an entry in the given way, which alters its message to what came
// of it, and tells Observe.
func (t *turn) observed(e *entry, handle func(context.Context, *entry) *outcome) *outcome {
	if t.Observe == nil {
		return handle(t.ctx, e)
	}
	ctx, done := t.Observe(t.ctx, e.message)
	x := handle(ctx, e)
	done(x.result(t.clock()))
	return x
}

// try takes one message as far as it goes. It decides on what was there when the
// message became ours; record looks again. ctx ends when that of the turn does.
func (t *turn) try(ctx context.Context, e *entry) *outcome {
	m, a, now := e.message, e.attempt, t.clock()
	switch {
	case a == nil && m.Credential != 0: // what it tells does not hang on its attempt
		a = &splitpin.Attempt{ID: splitpin.AttemptID{Number: m.Attempt}, Project: m.Project, CreatedAt: m.CreatedAt, ExpiresAt: m.ExpiresAt}
		e.attempt = a
	case a == nil:
		return t.giveUp(m, nil, gaveUpOrphan, "the attempt it belongs to is gone")
	}
	if !now.Before(m.ExpiresAt) {
		return t.giveUp(m, a, gaveUpExpired, expiredReason(m.Reason))
	}

	v, err := t.Fill(ctx, m, a)
	switch {
	case err != nil && t.ctx.Err() != nil:
		return t.release(m)
	case isFinal(err):
		return t.giveUp(m, a, gaveUpOver, "nobody could answer it any more: "+Scrub(err.Error(), nil))
	case err != nil:
		return t.retry(m, a, &SendError{Stage: StageConfig, Temporary: true, Detail: Scrub("deriving what it says: "+err.Error(), nil)})
	}
	switch state := a.State(now); {
	case v.Notice:
	case state == splitpin.Expired:
		return t.giveUp(m, a, gaveUpExpired, expiredReason(m.Reason))
	case state != splitpin.Open:
		return t.giveUp(m, a, gaveUpNotNeeded, "the attempt was answered already")
	}
	v.Device, v.Network = cmp.Or(v.Device, a.Device), cmp.Or(v.Network, a.Network)
	if v.AskedAt.IsZero() {
		v.AskedAt = a.CreatedAt
	}
	if v.ExpiresAt.IsZero() {
		v.ExpiresAt = a.ExpiresAt
	}

	l, failure, err := t.deliver(ctx, e, &v, now)
	var fellBack *splitpin.AuditEvent
	// The first channel took its time: what is over by now goes nowhere any more.
	if now = t.clock(); failure != nil && now.Before(l.Until) && t.fallsBack(m, failure) {
		fellBack = t.fallBack(m, a, Scrub(failure.Detail, l), failure.Stage)
		l, failure, err = t.deliver(ctx, e, &v, now)
	}
	x := t.tried(m, a, l, failure, err)
	if fellBack != nil {
		x.events = append(x.events, fellBack)
	}
	return x
}

// deliver writes a message and hands it to the sender of its channel. now is the moment
// at which the message was found to be good still. err is that of a message that cannot
// be written.
func (t *turn) deliver(ctx context.Context, e *entry, v *Values, now time.Time) (l *Letter, failure *SendError, err error) {
	m, a := e.message, e.attempt
	l = &Letter{ID: letterID(m, a), Ref: AttemptRef(a), Attempt: m.Attempt, Channel: m.Channel, To: m.To, At: m.CreatedAt, Until: m.ExpiresAt}
	if a.ExpiresAt.Before(l.Until) && !v.Notice {
		l.Until = a.ExpiresAt
	}
	if _, ok := t.Senders[m.Channel].(Reporter); ok && t.Receipt != nil {
		if l.Receipt, err = t.Receipt(m.Number, m.Channel); err != nil {
			return l, &SendError{Stage: StageConfig, Temporary: true, Detail: Scrub("deriving its receipt: "+err.Error(), nil)}, nil
		}
	}
	if err := t.Templates.prepare(l, m.Channel, m.Template, m.Locale, v); err != nil {
		return l, nil, err
	}
	until := now.Add(t.SendTimeout)
	for _, end := range []time.Time{m.ExpiresAt, e.endBy} {
		if !end.IsZero() && end.Before(until) {
			until = end
		}
	}
	return l, t.send(ctx, l, now, until), nil
}

// fallsBack reports whether a message goes on over its other channel: this one has
// refused it for good, or must not be asked again, or needs an operator, or has failed
// twice. A person is waiting, and has minutes.
func (t *turn) fallsBack(m *splitpin.Message, failure *SendError) bool {
	if m.Fallback == "" || t.Senders[m.Fallback] == nil || failure.Stage == StageCancelled {
		return false
	}
	return !failure.Temporary || failure.Uncertain || failure.Stage == StageConfig || failure.Stage == StageAuth || m.Tries >= 2
}

// fallBack turns a message to its other channel, from which there is no way back, and
// returns the event that says so.
func (t *turn) fallBack(m *splitpin.Message, a *splitpin.Attempt, detail string, stage Stage) *splitpin.AuditEvent {
	from := m.Channel
	m.Channel, m.Fallback = m.Fallback, ""
	m.Reason = "not by " + string(from) + " (" + string(stage) + ": " + detail + ")"
	event := t.event(m, a, "message_fallback", string(from)+"_"+string(stage))
	if t.Log != nil {
		t.Log.Info("message goes on over another channel", "message", m.Number, "project", m.Project, "from", from, "to", m.Channel, "reason", m.Reason)
	}
	return event
}

// tried is what came of handing a message over.
func (t *turn) tried(m *splitpin.Message, a *splitpin.Attempt, l *Letter, failure *SendError, err error) *outcome {
	if err != nil {
		return t.giveUp(m, a, gaveUpTemplate, Scrub(err.Error(), l))
	}
	now := t.clock()
	switch {
	case failure == nil:
		m.SentAt = now
		if !strings.HasPrefix(m.Reason, "not by ") { // how it came here stays worth knowing
			m.Reason = ""
		}
		return &outcome{message: m}
	case t.ctx.Err() != nil && failure.Stage == StageCancelled && !failure.Uncertain:
		return t.release(m)
	case failure.Uncertain:
		return t.giveUp(m, a, string(failure.Stage), string(failure.Stage)+": "+Scrub(failure.Detail, l)+"; it may have been taken, and is not paid for twice")
	case !failure.Temporary:
		return t.giveUp(m, a, string(failure.Stage), string(failure.Stage)+": "+Scrub(failure.Detail, l))
	}
	failure.Detail = Scrub(failure.Detail, l)
	return t.retry(m, a, failure)
}

// isFinal reports whether what Fill said will not pass: the key of the attempt was
// destroyed.
func isFinal(err error) bool {
	known := splitpin.ErrorOf(err)
	return known != nil && known.Kind != splitpin.Unavailable && known.Kind != splitpin.Internal
}

// send hands the letter to its sender, unless the server was found to be down a
// moment ago.
func (t *turn) send(ctx context.Context, l *Letter, now, until time.Time) *SendError {
	sender := t.Senders[l.Channel]
	if sender == nil {
		return &SendError{Stage: StageConfig, Temporary: true, Detail: "no sender is configured for " + string(l.Channel)}
	}
	server := t.breakers[l.Channel]
	if failure := server.open(now); failure != nil {
		return failure
	}

	ctx, cancel := t.until(context.WithoutCancel(ctx), now, until)
	defer cancel()
	defer context.AfterFunc(t.ctx, func() {
		if t.Grace < 0 {
			cancel()
			return
		}
		time.AfterFunc(t.Grace, cancel)
	})()

	if _, ours := sender.(*SMTP); !ours {
		l.complete()
	}
	err := sender.Send(ctx, l)
	if err == nil {
		if again := server.sent(); again && t.Log != nil {
			t.Log.Info("sending works again", "channel", l.Channel)
		}
		return nil
	}
	failure := *asSendError(err)
	if ctx.Err() != nil && failure.Stage != StageCancelled && failure.Temporary {
		failure.Stage = StageCancelled
	}
	if failure.Stage.aboutServer() {
		if first := server.failed(failure, t.clock()); first && t.Log != nil {
			t.Log.Warn("sending is failing", "channel", l.Channel, "stage", failure.Stage, "detail", Scrub(failure.Detail, l))
		}
	}
	return &failure
}

// until gives the context of a call of a sender that begins now.
func (t *turn) until(ctx context.Context, now, until time.Time) (context.Context, context.CancelFunc) {
	if t.Until == nil {
		return context.WithTimeout(ctx, until.Sub(now))
	}
	return t.Until(ctx, until)
}

// release gives an untried message back: due at once, the try not counted.
func (t *turn) release(m *splitpin.Message) *outcome {
	m.DueAt = t.clock()
	m.Tries = max(0, m.Tries-1)
	return &outcome{message: m}
}

// giveBack releases an entry whose turn came too late.
func (t *turn) giveBack(_ context.Context, e *entry) *outcome { return t.release(e.message) }

// putOff gives back an untried message whose domain has its share of what this
// node holds: due in eight to ten seconds, so that those behind it come first.
func (t *turn) putOff(_ context.Context, e *entry) *outcome {
	x := t.release(e.message)
	x.message.DueAt = x.message.DueAt.Add(5*time.Second + backoff(e.message.Number, 1)*2).Truncate(time.Microsecond)
	return x
}

// retry puts the message off, or gives up where no time is left for another try.
func (t *turn) retry(m *splitpin.Message, a *splitpin.Attempt, failure *SendError) *outcome {
	now := t.clock()
	m.Reason = string(failure.Stage) + ": " + oneLine(failure.Detail, maxDetail)
	m.DueAt = now.Add(backoff(m.Number, m.Tries)).Truncate(time.Microsecond)
	if !m.DueAt.Before(m.ExpiresAt) {
		return t.giveUp(m, a, gaveUpExpired, expiredReason(m.Reason))
	}
	return &outcome{message: m, failed: failure.Stage}
}

func expiredReason(last string) string {
	if last == "" {
		return "expired before it could be sent"
	}
	return "expired before it could be sent; at last " + strings.TrimPrefix(last, "expired before it could be sent; at last ")
}

// backoff is how long to wait after so many tries: 2, 4, 8, 16, then 30 seconds, and after
// a quarter of an hour, when nobody waits for a code any more, ten minutes; a quarter more or less, so that what failed together does not come back
// together. It is the same for the same message and try.
func backoff(number int64, tries int) time.Duration {
	wait := 30 * time.Second
	if tries <= 4 {
		wait = time.Second << max(1, tries)
	}
	if tries > 30 {
		wait = 10 * time.Minute
	}
	var seed [16]byte
	binary.BigEndian.PutUint64(seed[:8], uint64(number))
	binary.BigEndian.PutUint64(seed[8:], uint64(tries))
	sum := sha256.Sum256(seed[:])
	return wait*3/4 + wait/2*time.Duration(binary.BigEndian.Uint16(sum[:2]))>>16
}

// giveUp ends a message unsent, visibly: reason for the operator, detail (a code of
// ours) for the audit. a may be nil.
func (t *turn) giveUp(m *splitpin.Message, a *splitpin.Attempt, detail, reason string) *outcome {
	m.GivenUpAt, m.Reason = t.clock(), reason
	event := t.event(m, a, "message_given_up", detail)
	return &outcome{message: m, gaveUp: event, events: []*splitpin.AuditEvent{event}}
}

// event is an audit event about a message, at the present. a may be nil.
func (t *turn) event(m *splitpin.Message, a *splitpin.Attempt, kind, detail string) *splitpin.AuditEvent {
	event := &splitpin.AuditEvent{Project: m.Project, At: t.clock(), Kind: kind, Attempt: m.Attempt, User: m.User, Detail: detail}
	if a != nil {
		event.Network = a.Network
	}
	if t.Subject != nil {
		event.Subject = t.Subject(m.Project, m.To) // an attempt to enrol has no identifier
	}
	return event
}

// finish has an outcome recorded. Whatever is finished while a commit runs goes into
// the next one, whoever finished it: under load one commit records many messages,
// alone each is recorded at once.
func (t *turn) finish(e *entry, x *outcome) error {
	t.keep(e, x)
	return t.record()
}

// keep keeps the outcome of an entry until it is recorded.
func (t *turn) keep(e *entry, x *outcome) {
	x.entry, x.claim, x.over = e, e.claim, e.over
	t.mu.Lock()
	t.finished = append(t.finished, x)
	t.mu.Unlock()
}

// record saves all outcomes that are finished, unless another turn is at it and
// takes them along. Where the store is unavailable they are kept.
func (t *turn) record() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.recording {
		return nil
	}
	t.recording = true
	defer func() { t.recording = false }()
	for len(t.finished) > 0 {
		group := t.finished[:min(len(t.finished), 128)]
		t.finished = slices.Clone(t.finished[len(group):])
		t.mu.Unlock()
		err := t.save(group)
		t.mu.Lock()
		if again(err) {
			t.finished = append(group, t.finished...)
			return err
		}
		for _, x := range group {
			t.queue.leave(x.entry)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// again reports whether recording is worth another try. Where nobody knows whether
// it was recorded it is, too: twice does no harm, and a letter whose sending nobody
// wrote down would be sent again.
func again(err error) bool {
	return errors.Is(err, splitpin.ErrUnavailable) || errors.Is(err, splitpin.ErrUncertain)
}

// save saves outcomes in one step, which a crash of the database may undo: then a
// letter goes out a second time. What was given up stays so. It goes on when ctx ended: what was sent must
// be known to be sent. A message that is not there any more (a user was deleted,
// say) is left out.
func (t *turn) save(outcomes []*outcome) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(t.ctx), 10*time.Second)
	defer cancel()

	var reads splitpin.Reads
	byNumber := make(map[int64]*outcome, len(outcomes))
	for _, x := range outcomes {
		reads.Messages = append(reads.Messages, x.message.Number)
		byNumber[x.message.Number] = x
		for _, event := range x.events {
			var err error
			if event.Number, err = t.Store.NextNumber(ctx); err != nil {
				return fmt.Errorf("recording what was sent: %w", err)
			}
		}
	}
	var settled []*outcome
	decide := func(r *splitpin.Records) (w splitpin.Writes, _ error) {
		settled, w.Loose = settled[:0], true
		for _, m := range r.Messages {
			x := byNumber[m.Number]
			if !x.settle(m) {
				continue
			}
			settled = append(settled, x)
			w.Put = append(w.Put, m)
			for _, event := range x.events {
				w.Create, w.Loose = append(w.Create, event), false
			}
		}
		return w, nil
	}
	var err error
	for range 3 {
		if err = t.Store.Change(ctx, reads, decide); !again(err) {
			break
		}
	}
	if err != nil {
		return fmt.Errorf("recording what was sent: %w", err)
	}
	for _, x := range settled {
		if m := x.message; x.gaveUp != nil && t.Log != nil {
			t.Log.Warn("message given up", "message", m.Number, "project", m.Project, "channel", m.Channel,
				"tries", m.Tries, "why", x.gaveUp.Detail, "reason", m.Reason)
		}
	}
	return nil
}

var lowerBase32 = base32.NewEncoding("abcdefghijklmnopqrstuvwxyz234567").WithPadding(base32.NoPadding)

// letterID is the same for every try at a message, on every node, and tells
// nothing about the attempt.
func letterID(m *splitpin.Message, a *splitpin.Attempt) string {
	id := a.ID.Bytes()
	if m.Credential != 0 {
		id = splitpin.AttemptID{Number: m.Attempt}.Bytes() // the attempt may be gone by the next try
	}
	var number [8]byte
	binary.BigEndian.PutUint64(number[:], uint64(m.Number))
	sum := sha256.Sum256(append(append([]byte("splitpin letter\x00"), id[:]...), number[:]...))
	return lowerBase32.EncodeToString(sum[:15])
}

// AttemptRef is the Letter.Ref of every letter of an attempt. It stands for an attempt towards a provider that makes the codes itself. It
// tells nothing about the attempt, and nobody can answer by it.
func AttemptRef(a *splitpin.Attempt) string {
	id := a.ID.Bytes()
	sum := sha256.Sum256(append([]byte("splitpin attempt\x00"), id[:]...))
	return lowerBase32.EncodeToString(sum[:15])
}
