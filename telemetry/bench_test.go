package telemetry

import (
	"context"
	"net/http/httptest"
	"testing"
	"time"

	sdk "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	"github.com/splitpin/splitpin"
	"github.com/splitpin/splitpin/delivery"
	"github.com/splitpin/splitpin/server/edge"
	"github.com/splitpin/splitpin/store"
)

// A void store does nothing, so that what remains is the cost of watching it.
type void struct{ splitpin.Store }

func (void) Change(_ context.Context, _ splitpin.Reads, decide func(*splitpin.Records) (splitpin.Writes, error)) error {
	_, err := decide(nil)
	return err
}

func (void) Take(context.Context, time.Time, ...splitpin.Charge) (int, time.Duration, error) {
	return -1, 0, nil
}

// BenchmarkWatchingASignIn is everything that is reported of one whole sign-in, and
// nothing else: three requests, their steps, four changes, a limit, a message, and
// the commits and runs of background work when nothing is shared.
func BenchmarkWatchingASignIn(b *testing.B) {
	traced := func(sample float64) *Traces {
		traces, err := newTraces(b.Context(), TraceOptions{Sample: sample}, sdk.WithBatcher(tracetest.NewNoopExporter()))
		if err != nil {
			b.Fatal(err)
		}
		return traces
	}
	for _, way := range []struct {
		name   string
		traces *Traces
	}{{"metrics", nil}, {"metrics and 1 in 1000 traced", traced(.001)}, {"metrics and all traced", traced(1)}} {
		b.Run(way.name, func(b *testing.B) {
			w := New(Options{Version: "test", Traces: way.traces, Clock: time.Now})
			requests, steps, messages, commits := w.Requests(), w.Steps(), w.Messages(), w.Commits()
			db := w.Store(void{})
			outbox := w.Work("outbox", func(context.Context, time.Time) (bool, error) { return false, nil })
			r := httptest.NewRequest("POST", "/v1/attempts", nil)
			m := &splitpin.Message{Number: 1, Channel: splitpin.EmailChannel, CreatedAt: time.Now()}
			writes := splitpin.Writes{Create: []splitpin.Record{&splitpin.AuditEvent{Kind: "attempt_started"}, m}}
			save := func(*splitpin.Records) (splitpin.Writes, error) { return writes, nil }
			b.ReportAllocs()
			for b.Loop() {
				for _, step := range []string{"start", "answer", "collect"} {
					v := &edge.Visit{ID: "8XFRb9h3qMbA", Route: "POST /v1/attempts", Status: 200}
					ctx, done := requests(context.Background(), r, v)
					ctx, ended := steps(ctx, step)
					if step == "start" {
						db.Take(ctx, time.Time{})
					}
					db.Change(ctx, splitpin.Reads{}, save)
					commits(store.Commit{Steps: 1, Ran: 100 * time.Microsecond, Synced: 300 * time.Microsecond})
					ended(nil)
					done()
				}
				_, sent := messages(context.Background(), m)
				sent(delivery.Result{Outcome: "sent", At: time.Now()})
				db.Change(context.Background(), splitpin.Reads{}, save)
				commits(store.Commit{Steps: 1})
				outbox(context.Background(), time.Time{})
				outbox(context.Background(), time.Time{})
			}
		})
	}
}
