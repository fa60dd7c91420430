package telemetry

import (
	"maps"
	"runtime"
	"sync"
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
)

// seconds are the buckets of every duration: from a tenth of a millisecond, which a
// commit on a fast disk takes, to ten seconds, by when a client has given up.
var seconds = []float64{.0001, .00025, .0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10}

// delays are the buckets of what a person waits for a message.
var delays = []float64{.01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600}

// metrics is every metric that something reports by itself. What is asked for
// when the metrics are read stands in gathered.go.
type metrics struct {
	registry *prometheus.Registry

	inFlight        prometheus.Gauge
	requests        *prometheus.CounterVec
	requestSeconds  *prometheus.HistogramVec
	requestRefusals *prometheus.CounterVec

	steps       *prometheus.CounterVec
	stepSeconds *prometheus.HistogramVec
	limited     *prometheus.CounterVec
	events      *prometheus.CounterVec

	storeSeconds  *prometheus.HistogramVec
	storeErrors   *prometheus.CounterVec
	commitSteps   prometheus.Histogram
	commitRun     prometheus.Histogram
	commitSync    prometheus.Histogram
	commitsFailed prometheus.Counter
	swept         prometheus.Counter

	messages       *prometheus.CounterVec
	reports        *prometheus.CounterVec
	messageSeconds *prometheus.HistogramVec
	messageDelay   *prometheus.HistogramVec

	work        *prometheus.CounterVec
	workSeconds *prometheus.HistogramVec
	workSuccess *prometheus.GaugeVec

	// Looking up the series of some labels takes longer than counting in it.
	requestSeries kept[requestKey, requestSeries]
	refusalSeries kept[[2]string, prometheus.Counter]
	stepSeries    kept[[2]string, stepSeries]
	eventSeries   kept[eventKey, prometheus.Counter]
	storeSeries   kept[string, prometheus.Observer]
}

func newMetrics(version string) *metrics {
	m := &metrics{registry: prometheus.NewRegistry()}
	counter := func(name, help string) prometheus.Counter {
		return with(m, prometheus.NewCounter(prometheus.CounterOpts{Name: "splitpin_" + name, Help: help}))
	}
	counters := func(name, help string, labels ...string) *prometheus.CounterVec {
		return with(m, prometheus.NewCounterVec(prometheus.CounterOpts{Name: "splitpin_" + name, Help: help}, labels))
	}
	histogram := func(name, help string, buckets []float64) prometheus.Histogram {
		return with(m, prometheus.NewHistogram(prometheus.HistogramOpts{Name: "splitpin_" + name, Help: help, Buckets: buckets}))
	}
	histograms := func(name, help string, buckets []float64, labels ...string) *prometheus.HistogramVec {
		return with(m, prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: "splitpin_" + name, Help: help, Buckets: buckets}, labels))
	}

	m.inFlight = with(m, prometheus.NewGauge(prometheus.GaugeOpts{Name: "splitpin_http_requests_in_flight", Help: "Requests not answered yet, those that wait for their turn among them."}))
	m.requests = counters("http_requests_total", "Requests answered.", "face", "route", "method", "status")
	m.requestSeconds = histograms("http_request_duration_seconds", "Time to answer a request.", seconds, "face", "route")
	m.requestRefusals = counters("http_refusals_total", "Requests answered with an error, by its code.", "face", "code")

	m.steps = counters("steps_total", "Steps of the engine, by what came of them.", "step", "code")
	m.stepSeconds = histograms("step_duration_seconds", "Time of a step of the engine, with its commit and signatures.", seconds, "step")
	m.limited = counters("limits_refused_total", "Steps refused by a limit, by its code.", "code")
	m.events = counters("audit_events_total", "Events of the audit log.", "project", "kind")

	m.storeSeconds = histograms("store_operation_duration_seconds", "Time of a call of the store, with waiting for its turn.", seconds, "operation")
	m.storeErrors = counters("store_errors_total", "Calls of the store that failed. Refusals by a rule of the engine are not among them.", "operation", "code")
	m.commitSteps = histogram("store_commit_steps", "Steps that shared one commit.", []float64{1, 2, 4, 8, 16, 32, 64, 128, 256})
	m.commitRun = histogram("store_commit_run_seconds", "Time of the statements of one commit, before it is made durable.", seconds)
	m.commitSync = histogram("store_commit_sync_seconds", "Time to make one commit durable.", seconds)
	m.commitsFailed = counter("store_commits_failed_total", "Commits that failed; nothing of them was kept.")
	m.swept = counter("swept_records_total", "Records deleted because their life was over.")

	m.messages = counters("messages_total", "Tries at a message, by what came of them.", "channel", "outcome", "reason")
	m.reports = counters("message_reports_total", "What providers told of messages after they took them.", "channel", "report")
	m.messageSeconds = histograms("message_send_duration_seconds", "Time to write a message and hand it over.", seconds, "channel")
	m.messageDelay = histograms("message_delay_seconds", "Time from the request that asked for a message until it was handed over.", delays, "channel")

	m.work = counters("work_total", "Runs of background work.", "work", "outcome")
	m.workSeconds = histograms("work_duration_seconds", "Time of a run of background work.", seconds, "work")
	m.workSuccess = with(m, prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "splitpin_work_last_success_timestamp_seconds",
		Help: "When background work last went right."}, []string{"work"}))

	with(m, prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "splitpin_build_info", Help: "The program: always 1."},
		[]string{"version", "goversion"})).WithLabelValues(version, runtime.Version()).Set(1)
	m.registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return m
}

func with[C prometheus.Collector](m *metrics, c C) C {
	m.registry.MustRegister(c)
	return c
}

// kept remembers what was made for a key. There are few keys, all seen soon: a
// reader takes no lock, whoever adds one copies.
type kept[K comparable, V any] struct {
	all    atomic.Pointer[map[K]V]
	adding sync.Mutex
}

func (k *kept[K, V]) get(key K, make func(K) V) V {
	if all := k.all.Load(); all != nil {
		if v, ok := (*all)[key]; ok {
			return v
		}
	}
	k.adding.Lock()
	defer k.adding.Unlock()
	next := map[K]V{}
	if all := k.all.Load(); all != nil {
		if v, ok := (*all)[key]; ok {
			return v
		}
		next = maps.Clone(*all)
	}
	v := make(key)
	next[key] = v
	k.all.Store(&next)
	return v
}
