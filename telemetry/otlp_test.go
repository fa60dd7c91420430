package telemetry

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"go.opentelemetry.io/otel/sdk/resource"
	sdk "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"
	collectorpb "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/testing/protocmp"
)

// someSpans are spans as we make them, and as we do not.
func someSpans(t *testing.T) []sdk.ReadOnlySpan {
	t.Helper()
	kept := tracetest.NewInMemoryExporter()
	self := resource.NewWithAttributes("https://schema.example/1", attribute.String("service.name", "splitpin"), attribute.Int("pid", 7))
	p := sdk.NewTracerProvider(sdk.WithSyncer(kept), sdk.WithResource(self))
	tracer := p.Tracer("splitpin", trace.WithInstrumentationVersion("1.2"), trace.WithSchemaURL("https://schema.example/2"))
	state, err := trace.ParseTraceState("vendor=1")
	if err != nil {
		t.Fatal(err)
	}
	there := trace.NewSpanContext(trace.SpanContextConfig{TraceID: trace.TraceID{1: 9}, SpanID: trace.SpanID{7: 3},
		TraceFlags: trace.FlagsSampled, TraceState: state, Remote: true})
	ctx, remote := tracer.Start(trace.ContextWithSpanContext(t.Context(), there), "POST /v1/attempts", trace.WithSpanKind(trace.SpanKindServer))
	remote.SetAttributes(attribute.String("empty", ""), attribute.String("route", "/v1/…"), attribute.Int("status", 503), attribute.Int("zero", 0),
		attribute.Int("less", -1), attribute.Bool("yes", true), attribute.Bool("no", false), attribute.Float64("share", 0.25), attribute.Float64("none", 0))
	_, child := tracer.Start(ctx, strings.Repeat("long", 100), trace.WithSpanKind(trace.SpanKindProducer))
	child.SetStatus(codes.Ok, "")
	child.End()
	remote.SetStatus(codes.Error, "unavailable")
	remote.End()
	_, bare := tracer.Start(t.Context(), "", trace.WithTimestamp(time.Unix(1, 2)))
	bare.End(trace.WithTimestamp(time.Unix(3, 4)))
	return kept.GetSpans().Snapshots()
}

// unsetAll keeps the environment of whoever runs the tests away.
func unsetAll(t *testing.T) {
	t.Helper()
	for _, of := range []string{"ENDPOINT", "HEADERS", "TIMEOUT", "COMPRESSION", "CERTIFICATE", "CLIENT_CERTIFICATE", "CLIENT_KEY"} {
		t.Setenv("OTEL_EXPORTER_OTLP_"+of, "")
		t.Setenv("OTEL_EXPORTER_OTLP_TRACES_"+of, "")
	}
}

// A request as a collector sees it.
type sent struct {
	path, kind, key string
	traces          *collectorpb.ExportTraceServiceRequest
}

// listening is a collector that passes on what it gets.
func listening(t *testing.T) (http.Handler, chan sent) {
	got := make(chan sent, 1)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if r.Header.Get("Content-Encoding") == "gzip" && err == nil {
			var z *gzip.Reader
			if z, err = gzip.NewReader(bytes.NewReader(body)); err == nil {
				body, err = io.ReadAll(z)
			}
		}
		s := sent{r.URL.Path, r.Header.Get("Content-Type"), r.Header.Get("X-Key"), &collectorpb.ExportTraceServiceRequest{}}
		if err = errors.Join(err, proto.Unmarshal(body, s.traces)); err != nil {
			t.Errorf("reading what was sent: %v", err)
		}
		got <- s
		w.Header().Set("Content-Type", "application/x-protobuf")
	}), got
}

// TestSpansOnTheWire holds what is sent against what OpenTelemetry's own exporter sends of the
// same spans.
func TestSpansOnTheWire(t *testing.T) {
	unsetAll(t)
	t.Setenv("OTEL_EXPORTER_OTLP_HEADERS", "x-other=1, x-key=a%20key")
	handler, got := listening(t)
	there := httptest.NewServer(handler)
	t.Cleanup(there.Close)
	theirs, err := otlptracehttp.New(t.Context(), otlptracehttp.WithEndpointURL(there.URL+"/v1/traces"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { theirs.Shutdown(context.Background()) })
	spans := someSpans(t)
	if err := theirs.ExportSpans(t.Context(), spans); err != nil {
		t.Fatal(err)
	}
	want := <-got
	for _, compression := range []string{"none", "gzip"} {
		t.Run(compression, func(t *testing.T) {
			t.Setenv("OTEL_EXPORTER_OTLP_COMPRESSION", compression)
			ours, err := newExporter(there.URL, "1")
			if err != nil {
				t.Fatal(err)
			}
			if err := ours.ExportSpans(t.Context(), spans); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(want, <-got, cmp.AllowUnexported(sent{}), protocmp.Transform()); diff != "" {
				t.Error("what is sent differs (-the library, +ours):\n" + diff)
			}
		})
	}
}

// TestWhatIsNotSent holds that the text of a panic, which the library makes an event, stays
// here, and that no text spoils a batch.
func TestWhatIsNotSent(t *testing.T) {
	s := tracetest.SpanStub{Name: "not \xff text", Events: []sdk.Event{{Name: "exception", Attributes: []attribute.KeyValue{
		attribute.String("exception.message", "secret")}}},
		Attributes: []attribute.KeyValue{attribute.String("bad", "\xff"), attribute.StringSlice("many", []string{"a", "b"})}}
	body := appendTraces(nil, []sdk.ReadOnlySpan{s.Snapshot()})
	var m collectorpb.ExportTraceServiceRequest
	if err := proto.Unmarshal(body, &m); err != nil {
		t.Fatal(err)
	}
	span := m.ResourceSpans[0].ScopeSpans[0].Spans[0]
	if bytes.Contains(body, []byte("secret")) || len(span.Events) != 0 || span.DroppedEventsCount != 1 {
		t.Errorf("an event is sent, or not counted: %v", span)
	}
	if span.Name != "not \uFFFD text" || span.Attributes[0].Value.GetStringValue() != "\uFFFD" || span.Attributes[1].Value.GetStringValue() != `["a","b"]` {
		t.Errorf("got the texts %v", span)
	}
}

type answering func(*http.Request) (*http.Response, error)

func (f answering) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

func TestTriedAgain(t *testing.T) {
	unsetAll(t)
	partial, err := proto.Marshal(&collectorpb.ExportTraceServiceResponse{
		PartialSuccess: &collectorpb.ExportTracePartialSuccess{RejectedSpans: 2, ErrorMessage: "too old"}})
	if err != nil {
		t.Fatal(err)
	}
	type answer struct {
		status int // 0: none comes
		after  string
		body   string
	}
	busy := answer{status: 503}
	spans := someSpans(t)
	tests := []struct {
		name     string
		answers  []answer // the last one again and again
		ending   bool
		tries    int
		more     int           // tries that chance may add
		from, to time.Duration // how long it takes
		err      string
	}{
		{name: "taken", answers: []answer{{status: 200}}, tries: 1},
		{name: "taken with no content", answers: []answer{{status: 204}}, tries: 1},
		{name: "taken in part", answers: []answer{{status: 200, body: string(partial)}}, tries: 1, err: `refused 2 spans: "too old"`},
		{name: "taken, and nobody understands what is said", answers: []answer{{status: 200, body: "<html>"}}, tries: 1, err: "no message"},
		{name: "busy", answers: []answer{busy, {status: 429}, {status: 200}}, tries: 3, from: 1500 * time.Millisecond, to: 3 * time.Second},
		{name: "busy, and says how long", answers: []answer{{status: 503, after: "7"}, {status: 200}}, tries: 2, from: 7 * time.Second, to: 7 * time.Second},
		{name: "busy for longer than can be waited", answers: []answer{{status: 503, after: "60"}}, tries: 1, err: "503"},
		{name: "busy, and says how long in a way of its own", answers: []answer{{status: 502, after: "soon"}, {status: 200}}, tries: 2, from: 500 * time.Millisecond, to: time.Second},
		{name: "busy for ever", answers: []answer{busy}, tries: 4, more: 1, from: 3500 * time.Millisecond, to: 10 * time.Second, err: "503"},
		{name: "away", answers: []answer{{}, {status: 200}}, tries: 2, from: 500 * time.Millisecond, to: time.Second},
		{name: "away when the program ends", answers: []answer{{}}, ending: true, tries: 1, err: "nobody there"},
		{name: "refused", answers: []answer{{status: 400}}, tries: 1, err: "400"},
		{name: "sent elsewhere", answers: []answer{{status: 307}}, tries: 1, err: "307"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				e, err := newExporter("http://collector.example", "1")
				if err != nil {
					t.Fatal(err)
				}
				tries := 0
				e.client.Transport = answering(func(r *http.Request) (*http.Response, error) {
					body, _ := io.ReadAll(r.Body)
					if len(body) == 0 {
						t.Error("nothing is sent")
					}
					a := test.answers[min(tries, len(test.answers)-1)]
					tries++
					if a.status == 0 {
						return nil, errors.New("nobody there")
					}
					header := http.Header{"Retry-After": {a.after}, "Location": {"http://elsewhere.example/"}}
					return &http.Response{StatusCode: a.status, Status: strconv.Itoa(a.status) + strings.Repeat(" nonsense", 1000), Header: header, Body: io.NopCloser(strings.NewReader(a.body)), Request: r}, nil
				})
				if test.ending {
					e.end()
				}
				began := time.Now()
				err = e.ExportSpans(t.Context(), spans)
				if took := time.Since(began); took < test.from || took > test.to {
					t.Errorf("it took %v, want %v to %v", took, test.from, test.to)
				}
				if tries < test.tries || tries > test.tries+test.more {
					t.Errorf("it was tried %d times, want %d", tries, test.tries)
				}
				if test.err == "" && err != nil || test.err != "" && (err == nil || !strings.Contains(err.Error(), test.err)) {
					t.Errorf("got %v, want %q", err, test.err)
				}
				if err != nil && len(err.Error()) > 500 {
					t.Errorf("the error has %d bytes, and goes to the log", len(err.Error()))
				}
			})
		})
	}
}

func TestExporterVariables(t *testing.T) {
	tests := []struct {
		name, variable, value string
		want                  string // of the error
	}{
		{name: "no URL", variable: "ENDPOINT", value: "collector:4318", want: "OTEL_EXPORTER_OTLP_ENDPOINT must be the address"},
		{name: "no URL for traces", variable: "TRACES_ENDPOINT", value: "collector:4318", want: "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT must be the address"},
		{name: "no time", variable: "TIMEOUT", value: "10s", want: "OTEL_EXPORTER_OTLP_TIMEOUT must be a number of milliseconds"},
		{name: "no known compression", variable: "COMPRESSION", value: "zstd", want: "OTEL_EXPORTER_OTLP_COMPRESSION must be gzip or none"},
		{name: "no header", variable: "HEADERS", value: "a=b,hunter2", want: "OTEL_EXPORTER_OTLP_HEADERS must be name=value,name=value with values percent-encoded; number 2 is not"},
		{name: "no name", variable: "TRACES_HEADERS", value: "a b=hunter2", want: "OTEL_EXPORTER_OTLP_TRACES_HEADERS must be"},
		{name: "a header that breaks the line", variable: "HEADERS", value: "a=hunter2%0A", want: "number 1 is not"},
		{name: "no percent-encoding", variable: "HEADERS", value: "a=hunter2%", want: "number 1 is not"},
		{name: "no such file", variable: "CERTIFICATE", value: filepath.Join(t.TempDir(), "none"), want: "reading OTEL_EXPORTER_OTLP_CERTIFICATE: open"},
		{name: "no certificate", variable: "CERTIFICATE", value: "otlp_test.go", want: "OTEL_EXPORTER_OTLP_CERTIFICATE must name a file of certificates"},
		{name: "half of a pair", variable: "CLIENT_KEY", value: "otlp_test.go", want: "reading OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE and OTEL_EXPORTER_OTLP_CLIENT_KEY"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			unsetAll(t)
			t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:1")
			t.Setenv("OTEL_EXPORTER_OTLP_"+test.variable, test.value)
			_, err := OpenTraces(t.Context(), TraceOptions{Log: slog.New(slog.DiscardHandler)})
			if err == nil || !strings.Contains(err.Error(), test.want) || strings.Contains(err.Error(), "hunter2") {
				t.Errorf("got %v, want %q", err, test.want)
			}
		})
	}
	// What holds for traces wins, and its endpoint is taken as it stands.
	unsetAll(t)
	t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:1")
	t.Setenv("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "http://127.0.0.1:2/own/path")
	t.Setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "1")
	t.Setenv("OTEL_EXPORTER_OTLP_TRACES_TIMEOUT", "2500")
	e, err := newExporter("", "1")
	if err != nil {
		t.Fatal(err)
	}
	if e.to != "http://127.0.0.1:2/own/path" || e.timeout != 2500*time.Millisecond {
		t.Errorf("it sends to %s within %v", e.to, e.timeout)
	}
	// The setting wins over all of them; what comes below the path is the same with a
	// slash at its end.
	if e, err = newExporter("http://127.0.0.1:3/base/", "1"); err != nil || e.to != "http://127.0.0.1:3/base/v1/traces" {
		t.Errorf("with the setting, it sends to %s: %v", e.to, err)
	}
}

// TestExporterCertificates holds that a collector is believed by the certificate that was
// named, and learns who we are.
func TestExporterCertificates(t *testing.T) {
	unsetAll(t)
	handler, got := listening(t)
	there := httptest.NewUnstartedServer(handler)
	there.TLS = &tls.Config{ClientAuth: tls.RequireAnyClientCert}
	there.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelInfo)
	there.StartTLS()
	t.Cleanup(there.Close)
	spans := someSpans(t)
	send := func() error {
		e, err := newExporter(there.URL, "1")
		if err != nil {
			return err
		}
		e.end()
		return e.ExportSpans(t.Context(), spans)
	}
	if err := send(); err == nil || !strings.Contains(err.Error(), "certificate") {
		t.Errorf("a collector that nobody vouches for: got %v", err)
	}
	self := there.TLS.Certificates[0]
	cert := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: self.Certificate[0]})
	der, err := x509.MarshalPKCS8PrivateKey(self.PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	for name, text := range map[string][]byte{"cert": cert, "key": pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})} {
		if err := os.WriteFile(filepath.Join(dir, name), text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	t.Setenv("OTEL_EXPORTER_OTLP_CERTIFICATE", filepath.Join(dir, "cert"))
	if err := send(); err == nil {
		t.Error("a collector that wants to know us took spans from nobody")
	}
	t.Setenv("OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE", filepath.Join(dir, "cert"))
	t.Setenv("OTEL_EXPORTER_OTLP_CLIENT_KEY", filepath.Join(dir, "key"))
	if err := send(); err != nil {
		t.Fatal(err)
	}
	if s := <-got; len(s.traces.ResourceSpans) != 1 {
		t.Errorf("the collector got %v", s.traces)
	}
}
