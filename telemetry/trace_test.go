package telemetry

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"go.opentelemetry.io/otel/codes"
	sdk "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	"github.com/splitpin/splitpin"
	"github.com/splitpin/splitpin/delivery"
	"github.com/splitpin/splitpin/server"
	"github.com/splitpin/splitpin/server/edge"
	"github.com/splitpin/splitpin/store"
)

const (
	traceID = "0af7651916cd43dd8448eb211c80319c"
	parent  = "00-" + traceID + "-b7ad6b7169203331-"
)

// A watched is a Watch whose spans are kept as they end.
type watched struct {
	*Watch
	spans *tracetest.InMemoryExporter
	edge  *edge.Edge
}

func newWatched(t *testing.T, o TraceOptions) *watched {
	t.Helper()
	w := &watched{spans: tracetest.NewInMemoryExporter(), edge: &edge.Edge{Proxies: []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")}}}
	traces, err := newTraces(t.Context(), o, sdk.WithSyncer(w.spans))
	if err != nil {
		t.Fatal(err)
	}
	w.Watch = New(Options{Version: "test", Traces: traces, Clock: time.Now})
	return w
}

// serve lets one request through, and inside what it does.
func (w *watched) serve(from string, header http.Header, inside func(context.Context, *edge.Visit)) *edge.Visit {
	r := httptest.NewRequest("POST", "/v1/attempts", nil)
	r.RemoteAddr = from
	for name, values := range header {
		r.Header[name] = values
	}
	ctx, v := w.edge.Enter(r)
	ctx, done := w.Requests()(ctx, r, v)
	v.Route = "POST /p/{project}/v1/attempts"
	if inside != nil {
		inside(ctx, v)
	}
	done()
	return v
}

const (
	proxy    = "192.0.2.7:80"
	stranger = "203.0.113.9:80"
)

func TestWhoseTraceCounts(t *testing.T) {
	tests := []struct {
		name        string
		from        string
		traceparent []string
		sample      float64
		recorded    bool
		joined      bool // the trace of the header goes on
	}{
		{name: "a proxy that records", from: proxy, traceparent: []string{parent + "01"}, sample: 1e-9, recorded: true, joined: true},
		{name: "a proxy that does not", from: proxy, traceparent: []string{parent + "00"}, sample: 1},
		{name: "a proxy that says nothing", from: proxy, sample: 1, recorded: true},
		{name: "a proxy that says nonsense", from: proxy, traceparent: []string{"00-nonsense-01"}, sample: 1, recorded: true},
		{name: "a proxy that passes on two", from: proxy, traceparent: []string{parent + "01", parent + "01"}, sample: 1, recorded: true},
		{name: "a stranger who wants to be recorded", from: stranger, traceparent: []string{parent + "01"}, sample: 1e-9},
		{name: "a stranger who does not", from: stranger, traceparent: []string{parent + "00"}, sample: 1, recorded: true},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			w := newWatched(t, TraceOptions{Sample: test.sample})
			header := http.Header{}
			if test.traceparent != nil {
				header["Traceparent"] = test.traceparent
			}
			w.serve(test.from, header, nil)
			spans := w.spans.GetSpans()
			if got := len(spans) == 1; got != test.recorded {
				t.Fatalf("got %d spans, want recorded %v", len(spans), test.recorded)
			}
			if test.recorded && (spans[0].SpanContext.TraceID().String() == traceID) != test.joined {
				t.Errorf("the trace is %s, want that of the header %v", spans[0].SpanContext.TraceID(), test.joined)
			}
		})
	}
}

func TestRequestIDs(t *testing.T) {
	w := newWatched(t, TraceOptions{Sample: 1e-9})
	tests := []struct {
		name  string
		from  string
		sent  []string
		taken bool
	}{
		{name: "of a proxy", from: proxy, sent: []string{"b7ad6b71-6920_3331"}, taken: true},
		{name: "of a stranger", from: stranger, sent: []string{"b7ad6b71-6920_3331"}},
		{name: "that breaks the line", from: proxy, sent: []string{"b7ad6b71\n6920"}},
		{name: "with a space, which a log would read as the next field", from: proxy, sent: []string{"b7ad6b71 level=ERROR"}},
		{name: "too short to be one", from: proxy, sent: []string{"1234567"}},
		{name: "too long", from: proxy, sent: []string{strings.Repeat("a", 65)}},
		{name: "twice", from: proxy, sent: []string{"b7ad6b71aaaa", "b7ad6b71bbbb"}},
		{name: "none", from: proxy},
	}
	seen := map[string]bool{}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			header := http.Header{}
			if test.sent != nil {
				header["X-Request-Id"] = test.sent
			}
			v := w.serve(test.from, header, nil)
			if taken := slices.Contains(test.sent, v.ID); taken != test.taken {
				t.Errorf("the request is called %q, want its own name %v", v.ID, test.taken)
			}
			if len(v.ID) < 8 || seen[v.ID] && !test.taken {
				t.Errorf("%q is no name of its own", v.ID)
			}
			seen[v.ID] = true
		})
	}
}

// TestOneTraceFromRequestToMessage follows what one request causes, to the message
// that another goroutine sends later.
func TestOneTraceFromRequestToMessage(t *testing.T) {
	w := newWatched(t, TraceOptions{Sample: 1})
	db, err := store.OpenSQLite(t.Context(), filepath.Join(t.TempDir(), "splitpin.db"), store.Options{Committed: w.Commits()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	s := w.Store(db)
	m := &splitpin.Message{Number: 70001, Channel: splitpin.EmailChannel, CreatedAt: time.Now()}
	w.serve(stranger, nil, func(ctx context.Context, _ *edge.Visit) {
		ctx, done := w.Steps()(ctx, "start")
		err := s.Change(ctx, splitpin.Reads{}, func(*splitpin.Records) (splitpin.Writes, error) {
			return splitpin.Writes{Create: []splitpin.Record{m}}, nil
		})
		done(err)
	})
	sent := func(m *splitpin.Message) {
		_, done := w.Messages()(t.Context(), m)
		done(delivery.Result{Outcome: "sent", At: time.Now()})
	}
	sent(m)
	sent(&splitpin.Message{Number: 70002, Channel: splitpin.EmailChannel})                              // of another node
	sent(&splitpin.Message{Number: 70001 + int64(len(w.traces.asked)), Channel: splitpin.EmailChannel}) // in the same place
	s.Load(t.Context(), splitpin.Reads{User: 1})                                                        // belongs to no request

	var path []string
	spans := w.spans.GetSpans()
	for i := slices.IndexFunc(spans, func(s tracetest.SpanStub) bool { return s.Name == "send email" }); i >= 0; {
		path = append(path, spans[i].Name)
		above := spans[i].Parent.SpanID()
		if spans[i].SpanContext.TraceID() != spans[0].SpanContext.TraceID() {
			t.Errorf("%s is in another trace", spans[i].Name)
		}
		i = slices.IndexFunc(spans, func(s tracetest.SpanStub) bool { return s.SpanContext.SpanID() == above })
	}
	if want := []string{"send email", "store change", "start", "POST /v1/attempts"}; !slices.Equal(path, want) || len(spans) != len(want) {
		t.Errorf("got the path %q of %d spans, want %q", path, len(spans), want)
	}
}

// TestSpansNameCodesOnly holds that the text of an error, which may say anything,
// goes to the log and nowhere else.
func TestSpansNameCodesOnly(t *testing.T) {
	w := newWatched(t, TraceOptions{Sample: 1})
	secret := errors.New("ada@example.org has the code 123456")
	for _, err := range []error{secret, splitpin.ErrUnavailable.Because(secret),
		splitpin.ErrUncertain.Because(secret), splitpin.ErrConflict.Because(secret), context.Canceled} {
		w.serve(stranger, nil, func(ctx context.Context, v *edge.Visit) {
			_, done := w.Steps()(ctx, "answer")
			done(err)
			v.Status, v.Code = 500, "internal"
		})
	}
	var names []string
	for _, span := range w.spans.GetSpans() {
		if text := span.Status.Description; strings.Contains(text, "123456") || len(span.Events) > 0 {
			t.Errorf("the span %s says %q and has %d events", span.Name, text, len(span.Events))
		}
		for _, a := range span.Attributes {
			if strings.Contains(a.Value.String(), "123456") {
				t.Errorf("the span %s has %s=%s", span.Name, a.Key, a.Value.String())
			}
			if a.Key == "error.type" && span.Name == "answer" {
				names = append(names, a.Value.AsString())
				if failed, want := span.Status.Code == codes.Error, a.Value.AsString() != "conflict"; failed != want {
					t.Errorf("the span of %s is marked as failed: %v, want %v", a.Value.AsString(), failed, want)
				}
			}
		}
	}
	if want := []string{"internal", "unavailable", "uncertain", "conflict", "unavailable"}; !slices.Equal(names, want) {
		t.Errorf("the spans name %q, want %q", names, want)
	}
}

func TestLinesSayWhichRequest(t *testing.T) {
	w := newWatched(t, TraceOptions{Sample: 1})
	var text strings.Builder
	log := slog.New(LogHandler(slog.NewTextHandler(&text, nil)))
	v := w.serve(stranger, nil, func(ctx context.Context, _ *edge.Visit) {
		log.InfoContext(ctx, "inside")
		log.With("a", 1).InfoContext(ctx, "with more")
	})
	log.InfoContext(t.Context(), "outside")
	trace := w.spans.GetSpans()[0].SpanContext.TraceID().String()
	for line := range strings.Lines(text.String()) {
		inside := !strings.Contains(line, "outside")
		if strings.Contains(line, "request_id="+v.ID) != inside || strings.Contains(line, "trace_id="+trace) != inside {
			t.Errorf("this line names the request where it should not, or not where it should: %s", line)
		}
	}
	if strings.Count(text.String(), "\n") != 3 {
		t.Errorf("got the lines %s", text.String())
	}
}

func TestOpenTraces(t *testing.T) {
	t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "")
	t.Setenv("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "")
	open := func(endpoint string) (*Traces, error) {
		return OpenTraces(t.Context(), TraceOptions{Endpoint: endpoint, Log: slog.New(slog.DiscardHandler)})
	}
	if traces, err := open(""); traces != nil || err != nil {
		t.Errorf("unasked, got %v and %v", traces, err)
	}
	for _, bad := range []string{"127.0.0.1:4318", "grpc://127.0.0.1:4317", "http://", "http://key@collector:4318", "http://collector:4318?key=1"} {
		if _, err := open(bad); err == nil || !strings.Contains(err.Error(), "http://127.0.0.1:4318") || strings.Contains(err.Error(), "key@") {
			t.Errorf("%s: got %v", bad, err)
		}
	}
	t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:1")
	traces, err := open("")
	if traces == nil || err != nil {
		t.Fatalf("with the standard variable, got %v and %v", traces, err)
	}
	if err := traces.Close(t.Context()); err != nil {
		t.Errorf("closing what had nothing to send: %v", err)
	}
	t.Setenv("OTEL_SDK_DISABLED", "true")
	if traces, _ := open(""); traces != nil {
		t.Error("traces are made although the environment forbids it")
	}
}

// TestGate holds that each number of a gate has its name.
func TestGate(t *testing.T) {
	w := New(Options{Clock: time.Now})
	w.Gate(func() server.GateStats {
		return server.GateStats{Busy: 3, Places: 4, Waiting: 5, Refused: 6}
	})
	rec := httptest.NewRecorder()
	w.Handler(false).ServeHTTP(rec, httptest.NewRequest("GET", "/metrics", nil))
	for _, want := range []string{"splitpin_gate_busy 3\n", "splitpin_gate_places 4\n", "splitpin_gate_waiting 5\n", "splitpin_gate_refused_total 6\n"} {
		if !strings.Contains(rec.Body.String(), want) {
			t.Errorf("the metrics do not say %q", want)
		}
	}
}

// TestNobodyWatches holds that a nil Watch can be wired everywhere.
func TestNobodyWatches(t *testing.T) {
	var w *Watch
	w.From(Sources{})
	w.Gate(nil)
	if w.Requests() != nil || w.Steps() != nil || w.Messages() != nil || w.Commits() != nil || w.Store(nil) != nil {
		t.Error("a nil Watch listens")
	}
	ran := false
	step := w.Work("sweep", func(context.Context, time.Time) (bool, error) { ran = true; return true, nil })
	if worked, err := step(t.Context(), time.Now()); !worked || err != nil || !ran {
		t.Errorf("the work came back as %v, %v", worked, err)
	}
	var traces *Traces
	if err := traces.Close(t.Context()); err != nil {
		t.Error(err)
	}
}

// A hesitant store runs every step twice, as one does that met another, and then
// says what it was told to.
type hesitant struct {
	splitpin.Store
	err error
}

func (h hesitant) Change(_ context.Context, _ splitpin.Reads, decide func(*splitpin.Records) (splitpin.Writes, error)) error {
	decide(&splitpin.Records{})
	if _, err := decide(&splitpin.Records{}); err != nil {
		return err
	}
	return h.err
}

// TestEventsCountOnce holds that an event counts when it was kept, and only then.
func TestEventsCountOnce(t *testing.T) {
	tests := []struct {
		name        string
		commit      error // of the store
		decided     error // of the step
		want, fails string
	}{
		{name: "kept", want: `splitpin_audit_events_total{kind="attempt_started",project=""} 1`},
		{name: "lost", commit: splitpin.ErrUnavailable.Because(errors.New("no disk")), fails: `splitpin_store_errors_total{code="unavailable",operation="change"} 1`},
		{name: "uncertain", commit: splitpin.ErrUncertain.Because(errors.New("no answer")), fails: `splitpin_store_errors_total{code="uncertain",operation="change"} 1`},
		{name: "refused by the step", decided: &splitpin.Error{Kind: splitpin.Unauthenticated, Code: "attempt_over"}},
		{name: "a fault of ours", decided: errors.New("nil where a user should be"), fails: `splitpin_store_errors_total{code="internal",operation="change"} 1`},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			w := New(Options{Version: "test", Clock: time.Now})
			err := w.Store(hesitant{err: test.commit}).Change(t.Context(), splitpin.Reads{}, func(*splitpin.Records) (splitpin.Writes, error) {
				return splitpin.Writes{Create: []splitpin.Record{&splitpin.AuditEvent{Kind: "attempt_started"}}}, test.decided
			})
			if !errors.Is(err, test.commit) && !errors.Is(err, test.decided) {
				t.Fatalf("got %v", err)
			}
			rec := httptest.NewRecorder()
			w.Handler(false).ServeHTTP(rec, httptest.NewRequest("GET", "/metrics", nil))
			for name, want := range map[string]string{"splitpin_audit_events_total{": test.want, "splitpin_store_errors_total{": test.fails} {
				if got := strings.Count(rec.Body.String(), name); want == "" && got != 0 {
					t.Errorf("%d series of %s… are there, want none", got, name)
				}
				if !strings.Contains(rec.Body.String(), want) {
					t.Errorf("the metrics do not say %s", want)
				}
			}
		})
	}
}
