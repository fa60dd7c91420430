// Package telemetry tells operators how a server is doing: metrics for
// Prometheus, traces over OTLP, and the request's id on every line of the log.
//
// Nothing else knows of it. Server, engine, outbox and store each have a function
// in their options that hears what begins and what came of it; a [Watch] gives
// them those functions, and cmd/splitpin wires them. docs/operate/watching.md lists
// every metric, and a test holds the list.
//
// What is told stays bounded and free of secrets: labels are routes, names of
// steps, stable error codes, kinds of event and the API key ids of projects, never
// an address, a code, a token, the id of a user, attempt or session, or a path with
// its parameters filled in.
//
// # Reading
//
//   - metrics.go: every metric; gathered.go: those that are asked for when they are read
//   - observe.go: what server, engine, outbox and background work report
//   - store.go: the store, observed
//   - trace.go: what is a span; otlp.go: how spans are sent; log.go: the log's handler
package telemetry

import (
	"context"
	"errors"
	"sync/atomic"
	"time"

	"github.com/splitpin/splitpin"
	"github.com/splitpin/splitpin/signin"
)

// A Watch observes one server. A nil Watch observes nothing and costs nothing:
// its methods return what they were given, or nil for "nobody listens".
type Watch struct {
	*metrics
	traces *Traces // nil: off
	engine atomic.Pointer[signin.Engine]
	clock  func() time.Time
}

// Options are what a Watch is made of.
type Options struct {
	Version string  // of the program
	Traces  *Traces // nil: none are made
	Clock   func() time.Time
}

// New returns a Watch whose metrics are all zero.
func New(o Options) *Watch {
	return &Watch{metrics: newMetrics(o.Version), traces: o.Traces, clock: o.Clock}
}

// codeOf names what a step or an operation returned: "ok", or a stable code.
func codeOf(err error) string {
	switch known := splitpin.ErrorOf(err); {
	case err == nil:
		return "ok"
	case known != nil:
		return known.Code
	case errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded):
		return splitpin.ErrUnavailable.Code // as the faces answer it
	}
	return "internal"
}

// isFailure reports whether a code is that of an operation that could not be done, or
// may not have been, and of no refusal.
func isFailure(code string) bool {
	return code == "internal" || code == splitpin.ErrUnavailable.Code || code == splitpin.ErrUncertain.Code
}

// projectID is the label of a project, empty where the number is of none that is
// known here.
func (w *Watch) projectID(number int64) string {
	e := w.engine.Load()
	if e == nil || number == 0 {
		return ""
	}
	p, err := e.ProjectByNumber(number)
	if err != nil {
		return ""
	}
	return p.ID
}
