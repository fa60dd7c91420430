package telemetry

import (
	"context"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"

	"github.com/splitpin/splitpin"
	"github.com/splitpin/splitpin/delivery"
	"github.com/splitpin/splitpin/server/edge"
)

type requestKey struct {
	pattern, method string
	status          int
}

type requestSeries struct {
	face, route string
	count       prometheus.Counter
	seconds     prometheus.Observer
}

// Requests is for server.Options.Observe.
func (w *Watch) Requests() func(context.Context, *http.Request, *edge.Visit) (context.Context, func()) {
	if w == nil {
		return nil
	}
	return func(ctx context.Context, r *http.Request, v *edge.Visit) (context.Context, func()) {
		began := time.Now()
		w.inFlight.Inc()
		ctx, span := w.traces.request(ctx, v)
		return ctx, func() {
			w.inFlight.Dec()
			s := w.requestSeries.get(requestKey{v.Route, methodOf(r), v.Status}, w.newRequestSeries)
			s.count.Inc()
			s.seconds.Observe(time.Since(began).Seconds())
			if v.Code != "" {
				w.refusalSeries.get([2]string{s.face, v.Code}, w.newRefusalSeries).Inc()
			}
			if span == nil {
				return
			}
			span.SetName(methodOf(r) + " " + s.route)
			span.SetAttributes(attribute.String("http.request.method", methodOf(r)), attribute.String("http.route", s.route),
				attribute.Int("http.response.status_code", v.Status), attribute.String("splitpin.request_id", v.ID))
			if v.Code != "" {
				span.SetAttributes(attribute.String("error.type", v.Code))
			}
			if v.Status >= 500 {
				span.SetStatus(codes.Error, v.Code)
			}
			span.End()
		}
	}
}

func (w *Watch) newRequestSeries(k requestKey) requestSeries {
	route := routeOf(k.pattern)
	face := faceOf(route)
	return requestSeries{face, route,
		w.requests.WithLabelValues(face, route, k.method, strconv.Itoa(k.status)),
		w.requestSeconds.WithLabelValues(face, route)}
}

func (w *Watch) newRefusalSeries(k [2]string) prometheus.Counter {
	return w.requestRefusals.WithLabelValues(k[0], k[1])
}

// methodOf is the method as a label: whatever a stranger makes up is one.
func methodOf(r *http.Request) string {
	switch r.Method {
	case http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodDelete, http.MethodOptions:
		return r.Method
	}
	return "other"
}

// routeOf is a pattern without its method and without the base path of a project:
// the same endpoint has one name, wherever it stands.
func routeOf(pattern string) string {
	if _, path, ok := strings.Cut(pattern, " "); ok {
		pattern = path
	}
	if pattern == "" {
		return "none"
	}
	return strings.TrimPrefix(pattern, "/p/{project}")
}

// faces tells by the first part of a route whom it is for.
var faces = map[string]string{
	"v1": "v1", "api": "cotter", "verify": "cotter", "screening": "cotter", "signup": "cotter", "app": "cotter",
	"assets": "assets", "favicon.ico": "assets", "logo": "assets",
	"healthz": "operations", "readyz": "operations", "metrics": "operations", "inbox": "inbox", "none": "none",
}

func faceOf(route string) string {
	first, _, _ := strings.Cut(strings.TrimPrefix(route, "/"), "/")
	if face := faces[first]; face != "" {
		return face
	}
	return "pages"
}

type stepSeries struct {
	count   prometheus.Counter
	seconds prometheus.Observer
}

// Steps is for signin.Options.Observe.
func (w *Watch) Steps() func(context.Context, string) (context.Context, func(error)) {
	if w == nil {
		return nil
	}
	return func(ctx context.Context, step string) (context.Context, func(error)) {
		began := time.Now()
		ctx, span := w.traces.within(ctx, step)
		return ctx, func(err error) {
			code := codeOf(err)
			s := w.stepSeries.get([2]string{step, code}, w.newStepSeries)
			s.count.Inc()
			s.seconds.Observe(time.Since(began).Seconds())
			if known := splitpin.ErrorOf(err); known != nil && known.Kind == splitpin.TooMany {
				w.limited.WithLabelValues(known.Code).Inc()
			}
			endSpan(span, code)
		}
	}
}

func (w *Watch) newStepSeries(k [2]string) stepSeries {
	return stepSeries{w.steps.WithLabelValues(k[0], k[1]), w.stepSeconds.WithLabelValues(k[0])}
}

// Messages is for delivery.Outbox.Observe.
func (w *Watch) Messages() func(context.Context, *splitpin.Message) (context.Context, func(delivery.Result)) {
	if w == nil {
		return nil
	}
	return func(ctx context.Context, m *splitpin.Message) (context.Context, func(delivery.Result)) {
		began := time.Now()
		channel := string(m.Channel)
		ctx, span := w.traces.message(ctx, m)
		return ctx, func(r delivery.Result) {
			w.messages.WithLabelValues(channel, r.Outcome, r.Reason).Inc()
			w.messageSeconds.WithLabelValues(channel).Observe(time.Since(began).Seconds())
			if r.Outcome == "sent" {
				w.messageDelay.WithLabelValues(channel).Observe(max(0, r.At.Sub(m.CreatedAt).Seconds()))
			}
			if span != nil {
				span.SetAttributes(attribute.String("splitpin.outcome", r.Outcome))
				endSpan(span, r.Reason)
			}
		}
	}
}

// Reports counts what providers told of messages after they took them, for
// delivery.Outbox.Told.
func (w *Watch) Reports() func(splitpin.Channel, string) {
	if w == nil {
		return nil
	}
	return func(over splitpin.Channel, report string) { w.reports.WithLabelValues(string(over), report).Inc() }
}

// Work observes one kind of background work under its name.
func (w *Watch) Work(name string, step func(context.Context, time.Time) (bool, error)) func(context.Context, time.Time) (bool, error) {
	if w == nil {
		return step
	}
	right, wrong := w.work.WithLabelValues(name, "ok"), w.work.WithLabelValues(name, "failed")
	took, success := w.workSeconds.WithLabelValues(name), w.workSuccess.WithLabelValues(name)
	return func(ctx context.Context, now time.Time) (bool, error) {
		began := time.Now()
		worked, err := step(ctx, now)
		took.Observe(time.Since(began).Seconds())
		if err != nil {
			wrong.Inc()
			return worked, err
		}
		right.Inc()
		success.Set(float64(w.clock().UnixMicro()) / 1e6)
		return worked, nil
	}
}

// endSpan ends a span with what came of it; "ok" and the empty code went well.
func endSpan(span trace.Span, code string) {
	if span == nil {
		return
	}
	if code != "" && code != "ok" {
		span.SetAttributes(attribute.String("error.type", code))
	}
	if isFailure(code) {
		span.SetStatus(codes.Error, code)
	}
	span.End()
}
