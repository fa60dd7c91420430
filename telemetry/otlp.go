package telemetry

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	sdk "go.opentelemetry.io/otel/sdk/trace"
	"golang.org/x/net/http/httpguts"
	"google.golang.org/protobuf/encoding/protowire"
)

// An exporter sends spans to a collector: OTLP 1 over HTTP, in its binary form, which
// every collector takes. Only what our spans have is sent: they have no links, and no
// events either, since the one that the library makes, of a panic, may say anything.
type exporter struct {
	to      string // the URL
	header  http.Header
	zip     bool
	timeout time.Duration // of a batch, with what is tried again
	client  *http.Client

	// ending is closed when the program ends: nothing is tried again then.
	ending  chan struct{}
	endOnce sync.Once
}

// The standard has these for a batch, and for what is tried again.
const (
	sendTimeout = 10 * time.Second
	firstPause  = time.Second
)

// newExporter takes a collector's base URL, or where that is empty the standard's
// variables; the other variables of the standard hold in either case. It connects
// nowhere.
func newExporter(endpoint, version string) (*exporter, error) {
	e := &exporter{timeout: sendTimeout, ending: make(chan struct{}), header: http.Header{
		"Content-Type": {"application/x-protobuf"}, "User-Agent": {"splitpin/" + version}}}
	name := "otlp_endpoint"
	if endpoint == "" {
		name, endpoint = variable("ENDPOINT")
	}
	if err := CheckEndpoint(endpoint); err != nil {
		return nil, fmt.Errorf("%s %w", name, err)
	}
	e.to = endpoint
	if !strings.Contains(name, "_TRACES_") { // which is used as it stands
		e.to = strings.TrimSuffix(endpoint, "/") + "/v1/traces"
	}
	if name, text := variable("TIMEOUT"); text != "" {
		ms, err := strconv.Atoi(text)
		if err != nil || ms <= 0 {
			return nil, fmt.Errorf("%s must be a number of milliseconds", name)
		}
		e.timeout = time.Duration(ms) * time.Millisecond
	}
	switch name, text := variable("COMPRESSION"); text {
	case "", "none":
	case "gzip":
		e.zip = true
		e.header.Set("Content-Encoding", "gzip")
	default:
		return nil, fmt.Errorf("%s must be gzip or none", name)
	}
	if err := e.addHeaders(variable("HEADERS")); err != nil {
		return nil, err
	}
	secure, err := tlsFromVariables()
	if err != nil {
		return nil, err
	}
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.TLSClientConfig = secure
	// A collector that sends us elsewhere is a fault to be told of: the headers, with a
	// key among them, are for this one.
	e.client = &http.Client{Transport: transport, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	return e, nil
}

// variable returns the name and value of one of the standard's variables: what holds
// for traces wins over what holds for everything.
func variable(of string) (name, value string) {
	for _, name = range []string{"OTEL_EXPORTER_OTLP_TRACES_" + of, "OTEL_EXPORTER_OTLP_" + of} {
		if value = strings.TrimSpace(os.Getenv(name)); value != "" {
			break
		}
	}
	return name, value
}

// addHeaders reads name=value,name=value, where values are percent-encoded. Its errors
// say no value: those are keys.
func (e *exporter) addHeaders(variable, list string) error {
	for i, pair := range strings.Split(list, ",") {
		if strings.TrimSpace(pair) == "" {
			continue
		}
		name, value, ok := strings.Cut(pair, "=")
		name = strings.TrimSpace(name)
		value, err := url.PathUnescape(strings.TrimSpace(value))
		if !ok || err != nil || !httpguts.ValidHeaderFieldName(name) || !httpguts.ValidHeaderFieldValue(value) {
			return fmt.Errorf("%s must be name=value,name=value with values percent-encoded; number %d is not", variable, i+1)
		}
		e.header.Set(name, value)
	}
	return nil
}

func tlsFromVariables() (*tls.Config, error) {
	var c tls.Config
	if name, file := variable("CERTIFICATE"); file != "" {
		b, err := os.ReadFile(file)
		if err != nil {
			return nil, fmt.Errorf("reading %s: %w", name, err)
		}
		c.RootCAs = x509.NewCertPool()
		if !c.RootCAs.AppendCertsFromPEM(b) {
			return nil, fmt.Errorf("%s must name a file of certificates in PEM", name)
		}
	}
	certName, cert := variable("CLIENT_CERTIFICATE")
	keyName, key := variable("CLIENT_KEY")
	if cert == "" && key == "" {
		return &c, nil
	}
	pair, err := tls.LoadX509KeyPair(cert, key)
	if err != nil {
		return nil, fmt.Errorf("reading %s and %s: %w", certName, keyName, err)
	}
	c.Certificates = []tls.Certificate{pair}
	return &c, nil
}

// ExportSpans sends a batch. Where the collector is away or busy it is tried again, at
// growing distances, until the timeout.
func (e *exporter) ExportSpans(ctx context.Context, spans []sdk.ReadOnlySpan) error {
	if len(spans) == 0 {
		return nil
	}
	body := appendTraces(nil, spans)
	if e.zip {
		var short bytes.Buffer
		z := gzip.NewWriter(&short)
		if _, err := z.Write(body); err != nil {
			return err
		}
		if err := z.Close(); err != nil {
			return err
		}
		body = short.Bytes()
	}
	ctx, cancel := context.WithTimeout(ctx, e.timeout)
	defer cancel()
	for pause := firstPause; ; pause *= 2 {
		later, err := e.send(ctx, body)
		if err == nil || later < 0 {
			return err
		}
		// Somewhere in the upper half, so that nodes do not come back together.
		wait := max(later, pause/2+rand.N(pause/2))
		if end, _ := ctx.Deadline(); time.Until(end) < wait {
			return err
		}
		select {
		case <-time.After(wait):
		case <-e.ending:
			return err
		case <-ctx.Done():
			return err
		}
	}
}

// send sends a batch once. With an error, later is for how long the collector asked to
// be left alone, or below zero where asking again is of no use.
func (e *exporter) send(ctx context.Context, body []byte) (later time.Duration, err error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, e.to, bytes.NewReader(body))
	if err != nil {
		return -1, err
	}
	r.Header = e.header
	answer, err := e.client.Do(r)
	if err != nil {
		return 0, err
	}
	defer answer.Body.Close()
	const enough = 64 << 10
	text, err := io.ReadAll(io.LimitReader(answer.Body, enough))
	switch status := answer.StatusCode; {
	case status >= 200 && status <= 299 && err != nil:
		return -1, fmt.Errorf("reading the collector's answer: %w", err) // it has the spans
	case status >= 200 && status <= 299:
		return -1, refused(text)
	case status == 429 || status == 502 || status == 503 || status == 504:
		return retryAfter(answer.Header), fmt.Errorf("the collector answered %d", status)
	}
	return -1, fmt.Errorf("the collector answered %d", answer.StatusCode)
}

// retryAfter reads seconds or a date; zero: nothing that can be read.
func retryAfter(h http.Header) time.Duration {
	text := h.Get("Retry-After")
	if seconds, err := strconv.ParseUint(text, 10, 31); err == nil {
		return time.Duration(seconds) * time.Second
	}
	if at, err := http.ParseTime(text); err == nil {
		return max(0, time.Until(at))
	}
	return 0
}

// refused returns what the answer of success (an ExportTraceServiceResponse) says of
// spans that were not taken after all.
func refused(answer []byte) error {
	var spans uint64
	var why string
	err := fields(answer, func(number protowire.Number, _ uint64, partial []byte) error {
		if number != 1 {
			return nil
		}
		return fields(partial, func(number protowire.Number, n uint64, text []byte) error {
			switch number {
			case 1:
				spans = n
			case 2:
				why = string(text[:min(len(text), 200)]) // it goes to the log
			}
			return nil
		})
	})
	switch {
	case err != nil:
		return fmt.Errorf("reading the collector's answer: %w", err)
	case spans > 0:
		return fmt.Errorf("the collector refused %d spans: %q", spans, why)
	case why != "":
		return fmt.Errorf("the collector warns: %q", why)
	}
	return nil
}

var errNoMessage = errors.New("it is no message in the binary form of OTLP")

// fields calls f with each field of a message: a number for a varint, bytes for what
// has a length.
func fields(message []byte, f func(protowire.Number, uint64, []byte) error) error {
	for len(message) > 0 {
		number, kind, n := protowire.ConsumeTag(message)
		if n < 0 {
			return errNoMessage
		}
		message = message[n:]
		var value uint64
		var text []byte
		switch kind {
		case protowire.VarintType:
			value, n = protowire.ConsumeVarint(message)
		case protowire.BytesType:
			text, n = protowire.ConsumeBytes(message)
		default:
			n = protowire.ConsumeFieldValue(number, kind, message)
		}
		if n < 0 {
			return errNoMessage
		}
		message = message[n:]
		if err := f(number, value, text); err != nil {
			return err
		}
	}
	return nil
}

// end makes what is being sent the last try.
func (e *exporter) end() { e.endOnce.Do(func() { close(e.ending) }) }

// Shutdown is called after the last batch.
func (e *exporter) Shutdown(context.Context) error {
	e.end()
	e.client.CloseIdleConnections()
	return nil
}

// What follows writes messages of opentelemetry/proto/trace/v1/trace.proto. The
// numbers are those of its fields; one with the zero value is left out, as proto3 has
// it. A message that has a length before it is written in place, and its length then
// put before it.

// appendTraces appends a TracesData, which is an ExportTraceServiceRequest too. All
// spans are of one resource and one scope: there is one [Traces] to a process.
func appendTraces(b []byte, spans []sdk.ReadOnlySpan) []byte {
	return appendMessage(b, 1, func(b []byte) []byte { // ResourceSpans
		resource := spans[0].Resource()
		b = appendMessage(b, 1, func(b []byte) []byte { return appendAttributes(b, 1, resource.Attributes()) })
		b = appendMessage(b, 2, func(b []byte) []byte { // ScopeSpans
			scope := spans[0].InstrumentationScope()
			b = appendMessage(b, 1, func(b []byte) []byte { return appendString(appendString(b, 1, scope.Name), 2, scope.Version) })
			for _, s := range spans {
				b = appendMessage(b, 2, func(b []byte) []byte { return appendSpan(b, s) })
			}
			return appendString(b, 3, scope.SchemaURL)
		})
		return appendString(b, 3, resource.SchemaURL())
	})
}

func appendSpan(b []byte, s sdk.ReadOnlySpan) []byte {
	self, parent := s.SpanContext(), s.Parent()
	trace, span := self.TraceID(), self.SpanID()
	b = appendBytes(b, 1, trace[:])
	b = appendBytes(b, 2, span[:])
	b = appendString(b, 3, self.TraceState().String())
	if above := parent.SpanID(); above.IsValid() {
		b = appendBytes(b, 4, above[:])
	}
	b = appendString(b, 5, s.Name())
	b = appendNumber(b, 6, uint64(s.SpanKind())) // the library has the numbers of the standard
	b = protowire.AppendFixed64(protowire.AppendTag(b, 7, protowire.Fixed64Type), uint64(s.StartTime().UnixNano()))
	b = protowire.AppendFixed64(protowire.AppendTag(b, 8, protowire.Fixed64Type), uint64(s.EndTime().UnixNano()))
	b = appendAttributes(b, 9, s.Attributes())
	b = appendNumber(b, 10, uint64(s.DroppedAttributes()))
	b = appendNumber(b, 12, uint64(s.DroppedEvents()+len(s.Events())))
	b = appendNumber(b, 14, uint64(s.DroppedLinks()+len(s.Links())))
	b = appendMessage(b, 15, func(b []byte) []byte {
		number := [...]uint64{codes.Unset: 0, codes.Ok: 1, codes.Error: 2} // the library has others
		return appendNumber(appendString(b, 2, s.Status().Description), 3, number[s.Status().Code])
	})
	const remoteKnown, remote = 0x100, 0x200 // whether the parent is of another process
	flags := uint32(self.TraceFlags()) | remoteKnown
	if parent.IsRemote() {
		flags |= remote
	}
	return protowire.AppendFixed32(protowire.AppendTag(b, 16, protowire.Fixed32Type), flags)
}

func appendAttributes(b []byte, number protowire.Number, list []attribute.KeyValue) []byte {
	for _, a := range list {
		b = appendMessage(b, number, func(b []byte) []byte {
			b = appendString(b, 1, string(a.Key))
			return appendMessage(b, 2, func(b []byte) []byte { return appendValue(b, a.Value) })
		})
	}
	return b
}

// appendValue appends an AnyValue, of which a zero value is written too. Kinds that we
// do not use are texts.
func appendValue(b []byte, v attribute.Value) []byte {
	switch v.Type() {
	case attribute.BOOL:
		return protowire.AppendVarint(protowire.AppendTag(b, 2, protowire.VarintType), protowire.EncodeBool(v.AsBool()))
	case attribute.INT64:
		return protowire.AppendVarint(protowire.AppendTag(b, 3, protowire.VarintType), uint64(v.AsInt64()))
	case attribute.FLOAT64:
		return protowire.AppendFixed64(protowire.AppendTag(b, 4, protowire.Fixed64Type), math.Float64bits(v.AsFloat64()))
	}
	return protowire.AppendString(protowire.AppendTag(b, 1, protowire.BytesType), strings.ToValidUTF8(v.String(), "\uFFFD"))
}

func appendString(b []byte, number protowire.Number, s string) []byte {
	if s == "" {
		return b
	}
	return protowire.AppendString(protowire.AppendTag(b, number, protowire.BytesType), strings.ToValidUTF8(s, "\uFFFD"))
}

func appendBytes(b []byte, number protowire.Number, v []byte) []byte {
	return protowire.AppendBytes(protowire.AppendTag(b, number, protowire.BytesType), v)
}

func appendNumber(b []byte, number protowire.Number, n uint64) []byte {
	if n == 0 {
		return b
	}
	return protowire.AppendVarint(protowire.AppendTag(b, number, protowire.VarintType), n)
}

// appendMessage appends what f appends as a field of its own.
func appendMessage(b []byte, number protowire.Number, f func([]byte) []byte) []byte {
	b = protowire.AppendTag(b, number, protowire.BytesType)
	start := len(b)
	b = f(b)
	length := len(b) - start
	var head [10]byte
	return slices.Insert(b, start, protowire.AppendVarint(head[:0], uint64(length))...)
}
