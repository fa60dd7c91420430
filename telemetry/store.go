package telemetry

import (
	"context"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/splitpin/splitpin"
	"github.com/splitpin/splitpin/store"
)

// Store returns s observed: how long each call takes, what failed, which events
// were recorded. Numbers and versions, which come from memory or cost one look, are
// not timed.
func (w *Watch) Store(s splitpin.Store) splitpin.Store {
	if w == nil {
		return s
	}
	return &observed{Store: s, watch: w}
}

// Commits is for store.Options.Committed.
func (w *Watch) Commits() func(store.Commit) {
	if w == nil {
		return nil
	}
	return func(c store.Commit) {
		w.commitSteps.Observe(float64(c.Steps))
		w.commitRun.Observe(c.Ran.Seconds())
		w.commitSync.Observe(c.Synced.Seconds())
		if c.Failed {
			w.commitsFailed.Inc()
		}
	}
}

// An observed store passes everything on.
type observed struct {
	splitpin.Store
	watch *Watch
}

type eventKey struct {
	project string
	kind    string
}

// begin starts the clock of an operation; what it returns stops it.
func (o *observed) begin(ctx context.Context, operation string) (context.Context, func(error)) {
	began := time.Now()
	ctx, span := o.watch.traces.within(ctx, "store "+operation)
	return ctx, func(err error) {
		w := o.watch
		w.storeSeries.get(operation, w.newStoreSeries).Observe(time.Since(began).Seconds())
		if err == nil {
			endSpan(span, "")
			return
		}
		code := codeOf(err)
		// What a step decided comes back through Change as it is, and is no failure
		// of the store.
		if isFailure(code) || code == splitpin.ErrConflict.Code {
			w.storeErrors.WithLabelValues(operation, code).Inc()
		}
		endSpan(span, code)
	}
}

func (w *Watch) newStoreSeries(operation string) prometheus.Observer {
	return w.storeSeconds.WithLabelValues(operation)
}

func (o *observed) Change(ctx context.Context, reads splitpin.Reads, decide func(*splitpin.Records) (splitpin.Writes, error)) error {
	ctx, done := o.begin(ctx, "change")
	var created []splitpin.Record // by the last run, which is the one that counts
	err := o.Store.Change(ctx, reads, func(r *splitpin.Records) (splitpin.Writes, error) {
		w, err := decide(r)
		created = w.Create
		return w, err
	})
	done(err)
	if err != nil {
		return err
	}
	for _, record := range created {
		switch r := record.(type) {
		case *splitpin.AuditEvent:
			o.watch.eventSeries.get(eventKey{o.watch.projectID(r.Project), r.Kind}, o.watch.newEventSeries).Inc()
		case *splitpin.Message:
			o.watch.traces.queued(ctx, r)
		}
	}
	return nil
}

func (w *Watch) newEventSeries(k eventKey) prometheus.Counter {
	return w.events.WithLabelValues(k.project, k.kind)
}

func (o *observed) Load(ctx context.Context, reads splitpin.Reads) (_ *splitpin.Records, err error) {
	ctx, done := o.begin(ctx, "load")
	defer func() { done(err) }()
	return o.Store.Load(ctx, reads)
}

func (o *observed) Take(ctx context.Context, now time.Time, charges ...splitpin.Charge) (_ int, _ time.Duration, err error) {
	ctx, done := o.begin(ctx, "take")
	defer func() { done(err) }()
	return o.Store.Take(ctx, now, charges...)
}

func (o *observed) Users(ctx context.Context, project int64, offset, limit int) (_ []*splitpin.User, err error) {
	ctx, done := o.begin(ctx, "list")
	defer func() { done(err) }()
	return o.Store.Users(ctx, project, offset, limit)
}

func (o *observed) Sessions(ctx context.Context, user int64) (_ []*splitpin.Session, err error) {
	ctx, done := o.begin(ctx, "list")
	defer func() { done(err) }()
	return o.Store.Sessions(ctx, user)
}

func (o *observed) ClaimMessages(ctx context.Context, now, until time.Time, limit int) (_ []splitpin.Claimed, err error) {
	ctx, done := o.begin(ctx, "claim")
	defer func() { done(err) }()
	return o.Store.ClaimMessages(ctx, now, until, limit)
}

func (o *observed) Sweep(ctx context.Context, now, auditBefore time.Time, limit int) (n int, err error) {
	ctx, done := o.begin(ctx, "sweep")
	defer func() { done(err) }()
	n, err = o.Store.Sweep(ctx, now, auditBefore, limit)
	o.watch.swept.Add(float64(n))
	return n, err
}
