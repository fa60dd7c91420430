package telemetry

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/sdk/resource"
	sdk "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"

	"github.com/splitpin/splitpin"
	"github.com/splitpin/splitpin/server/edge"
)

// Traces makes spans and sends them away in the background. A nil Traces makes
// none: every method then returns the context it was given, and no span.
type Traces struct {
	provider *sdk.TracerProvider
	tracer   trace.Tracer
	ending   func() // before the last spans are sent; nil: nothing

	// Where the newest messages were asked for, by number: a message is sent by
	// another goroutine, later, and belongs to the trace of its request. One that
	// is overwritten, or that another node sends, is in no trace.
	mu    sync.Mutex
	asked [4096]origin
}

type origin struct {
	message int64
	span    trace.SpanContext
}

// TraceOptions say where traces go, and how many.
type TraceOptions struct {
	// Endpoint is the base URL of a collector that speaks OTLP over HTTP, as
	// http://127.0.0.1:4318. Empty: what OTEL_EXPORTER_OTLP_ENDPOINT or
	// OTEL_EXPORTER_OTLP_TRACES_ENDPOINT says; where that is empty too, there are
	// no traces. Headers, certificates and timeouts are taken from the other
	// OTEL_EXPORTER_OTLP_ variables.
	Endpoint string
	// Sample is the share of requests that are traced, above 0 and at most 1. Zero:
	// what OTEL_TRACES_SAMPLER says, else all. What a proxy decided wins.
	Sample  float64
	Version string       // of the program
	Log     *slog.Logger // hears of spans that could not be sent
}

// CheckEndpoint says what is wrong with an endpoint.
func CheckEndpoint(endpoint string) error {
	u, err := url.Parse(endpoint)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" {
		return errors.New("must be the address of an OTLP collector, like http://127.0.0.1:4318; what it needs to know you stands in the environment, as OTEL_EXPORTER_OTLP_HEADERS")
	}
	return nil
}

// OpenTraces returns where traces go, or nil where they are off. It connects
// nowhere.
func OpenTraces(ctx context.Context, o TraceOptions) (*Traces, error) {
	switch {
	case o.Endpoint != "":
	case os.Getenv("OTEL_EXPORTER_OTLP_ENDPOINT") == "" && os.Getenv("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT") == "",
		strings.EqualFold(os.Getenv("OTEL_SDK_DISABLED"), "true"):
		return nil, nil
	}
	to, err := newExporter(o.Endpoint, o.Version)
	if err != nil {
		return nil, fmt.Errorf("preparing to send traces: %w", err)
	}
	// The library tells what goes wrong later to one place for the whole process,
	// every few seconds while it lasts.
	var told atomic.Int64
	otel.SetErrorHandler(otel.ErrorHandlerFunc(func(err error) {
		if now, last := time.Now().Unix(), told.Load(); now-last >= 60 && told.CompareAndSwap(last, now) {
			o.Log.Warn("sending traces", "error", err)
		}
	}))
	t, err := newTraces(ctx, o, sdk.WithBatcher(to))
	if err != nil {
		return nil, err
	}
	t.ending = to.end
	return t, nil
}

func newTraces(ctx context.Context, o TraceOptions, to sdk.TracerProviderOption) (*Traces, error) {
	self, err := resource.New(ctx, resource.WithAttributes(
		attribute.String("service.name", "splitpin"), attribute.String("service.version", o.Version)), resource.WithFromEnv())
	if err != nil {
		return nil, fmt.Errorf("describing this program to the collector of traces: %w", err)
	}
	options := []sdk.TracerProviderOption{to, sdk.WithResource(self)}
	if o.Sample > 0 {
		options = append(options, sdk.WithSampler(sdk.ParentBased(sdk.TraceIDRatioBased(o.Sample))))
	}
	p := sdk.NewTracerProvider(options...)
	return &Traces{provider: p, tracer: p.Tracer("splitpin")}, nil
}

// Close sends what waits, as far as ctx allows.
func (t *Traces) Close(ctx context.Context) error {
	if t == nil {
		return nil
	}
	if t.ending != nil {
		t.ending()
	}
	return t.provider.Shutdown(ctx)
}

// request begins the span of a request, as part of the trace of a proxy we believe,
// or as a trace of its own. The span is nil where the request is not traced.
func (t *Traces) request(ctx context.Context, v *edge.Visit) (context.Context, trace.Span) {
	if t == nil {
		return ctx, nil
	}
	if v.Traceparent != "" {
		ctx = propagation.TraceContext{}.Extract(ctx, propagation.MapCarrier{"traceparent": v.Traceparent})
	}
	return t.start(ctx, "request", trace.SpanKindServer)
}

// within begins a span inside one that is being recorded, and none elsewhere.
func (t *Traces) within(ctx context.Context, name string) (context.Context, trace.Span) {
	if t == nil || !trace.SpanFromContext(ctx).IsRecording() {
		return ctx, nil
	}
	return t.start(ctx, name, trace.SpanKindInternal)
}

// queued remembers which request asked for a message.
func (t *Traces) queued(ctx context.Context, m *splitpin.Message) {
	if t == nil {
		return
	}
	span := trace.SpanContextFromContext(ctx)
	if !span.IsSampled() {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.asked[uint64(m.Number)%uint64(len(t.asked))] = origin{m.Number, span}
}

// message begins the span of a try at a message, inside the trace of the request
// that asked for it.
func (t *Traces) message(ctx context.Context, m *splitpin.Message) (context.Context, trace.Span) {
	if t == nil {
		return ctx, nil
	}
	t.mu.Lock()
	from := t.asked[uint64(m.Number)%uint64(len(t.asked))]
	t.mu.Unlock()
	if from.message != m.Number {
		return ctx, nil
	}
	return t.start(trace.ContextWithSpanContext(ctx, from.span), "send "+string(m.Channel), trace.SpanKindProducer)
}

func (t *Traces) start(ctx context.Context, name string, kind trace.SpanKind) (context.Context, trace.Span) {
	ctx, span := t.tracer.Start(ctx, name, trace.WithSpanKind(kind))
	if !span.IsRecording() {
		return ctx, nil
	}
	return ctx, span
}
