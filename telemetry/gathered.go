package telemetry

import (
	"context"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/splitpin/splitpin"
	"github.com/splitpin/splitpin/delivery"
	"github.com/splitpin/splitpin/server"
	"github.com/splitpin/splitpin/signin"
	"github.com/splitpin/splitpin/store"
	"github.com/splitpin/splitpin/token"
)

// Sources are asked whenever the metrics are read. All are required.
type Sources struct {
	Store interface {
		Stats() store.Stats
		Backlog(context.Context) (store.Backlog, error)
		Mark(context.Context, store.MarkName) (string, error)
		DataKeys(context.Context) ([]*splitpin.DataKey, error)
	}
	Engine *signin.Engine
	Outbox *delivery.Outbox
	Tokens *token.Service
	Ready  func(context.Context) error // as /readyz asks it
}

// From adds what is asked of sources when the metrics are read. Call it once.
func (w *Watch) From(s Sources) {
	if w == nil {
		return
	}
	w.engine.Store(s.Engine)
	w.registry.MustRegister(&gathered{s, w})
}

// Gate adds what is asked of a server's gate when the metrics are read. Call it
// once.
func (w *Watch) Gate(stats func() server.GateStats) {
	if w == nil {
		return
	}
	w.registry.MustRegister(gate(stats))
}

// patience is how long reading the metrics waits for the database. What did not
// come by then is absent.
const patience = 2 * time.Second

type gathered struct {
	Sources
	watch *Watch
}

func describe(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc("splitpin_"+name, help, labels, nil)
}

var (
	ready           = describe("ready", "Whether this node should get requests: 1 or 0.")
	phoneRefused    = describe("phone_refused_total", "Messages to phones refused by the budget or a limit below it, by the code of the error.", "code", "country")
	guarded         = describe("guard_active", "Whether all codes are longer, because wrong answers outrun right ones: 1 or 0.")
	storeWaiting    = describe("store_queue_waiting", "Steps that wait for the transaction under way to end.")
	storeTaking     = describe("store_limits_waiting", "Calls that charge limits and wait for the transaction before theirs.")
	storeQueue      = describe("store_queue_limit", "Calls that may wait for the writer, for a connection, or to charge limits; more are refused.")
	storeBusy       = describe("store_connections_busy", "Connections to the database at work.")
	storeLimit      = describe("store_connections_limit", "Connections to the database that there may be.")
	storeAwaiting   = describe("store_connections_awaited", "Calls that wait for a connection.")
	storeRefused    = describe("store_refused_total", "Calls refused because too much waited.")
	storeConflicts  = describe("store_conflicts_total", "Runs of a step that another one made vain, and that were repeated.")
	storeLimits     = describe("store_limits", "Limit counters in memory.")
	outboxWaiting   = describe("outbox_messages", "Messages neither sent nor given up; counted up to 10,000.")
	outboxOldest    = describe("outbox_oldest_seconds", "Age of the oldest message neither sent nor given up; 0 without one.")
	outboxOverdue   = describe("outbox_overdue_seconds", "How long a message has been due and nobody took it; 0 without one.")
	outboxHeld      = describe("outbox_held", "Messages that this node holds in memory.")
	outboxIdle      = describe("outbox_held_waiting", "Messages that this node holds and that wait for a worker.")
	outboxPlaces    = describe("outbox_held_limit", "Messages that this node may hold; more wait in the database.")
	outboxSlow      = describe("outbox_slow_domains", "Domains that answer this node slowly, which get one worker each.")
	keySince        = describe("signing_key_active_timestamp_seconds", "Since when the key signs that signs now.", "project", "use")
	keyNext         = describe("signing_key_next_change_timestamp_seconds", "When the next key takes over or an old one goes; absent when nothing is planned.", "project", "use")
	dataKeySince    = describe("data_key_created_timestamp_seconds", "When the newest data key was made.", "purpose")
	backupFinished  = describe("backup_timestamp_seconds", "When the last backup was finished; absent before the first.")
	gatheredSources = []*prometheus.Desc{ready, guarded, phoneRefused, storeWaiting, storeTaking, storeQueue, storeBusy, storeLimit, storeAwaiting, storeRefused,
		storeConflicts, storeLimits, outboxWaiting, outboxOldest, outboxOverdue, outboxHeld, outboxIdle, outboxPlaces, outboxSlow, keySince, keyNext, dataKeySince, backupFinished}
)

// A gate tells of the requests that a server admits in turns. Reading it waits for
// nothing.
type gate func() server.GateStats

var (
	gateBusy    = describe("gate_busy", "Requests that are being worked on.")
	gatePlaces  = describe("gate_places", "Requests that may be worked on at once; more wait.")
	gateWaiting = describe("gate_waiting", "Requests that wait for their turn.")
	gateRefused = describe("gate_refused_total", "Requests told to come back, because their turn did not come in time.")
)

func (gate) Describe(to chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{gateBusy, gatePlaces, gateWaiting, gateRefused} {
		to <- d
	}
}

func (g gate) Collect(to chan<- prometheus.Metric) {
	s := g()
	to <- prometheus.MustNewConstMetric(gateBusy, prometheus.GaugeValue, float64(s.Busy))
	to <- prometheus.MustNewConstMetric(gatePlaces, prometheus.GaugeValue, float64(s.Places))
	to <- prometheus.MustNewConstMetric(gateWaiting, prometheus.GaugeValue, float64(s.Waiting))
	to <- prometheus.MustNewConstMetric(gateRefused, prometheus.CounterValue, float64(s.Refused))
}

func (g *gathered) Describe(to chan<- *prometheus.Desc) {
	for _, d := range gatheredSources {
		to <- d
	}
}

func (g *gathered) Collect(to chan<- prometheus.Metric) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	now := g.watch.clock()
	gauge := func(d *prometheus.Desc, value float64, labels ...string) {
		to <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, value, labels...)
	}
	counter := func(d *prometheus.Desc, value uint64) {
		to <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, float64(value))
	}
	stamp := func(d *prometheus.Desc, at time.Time, labels ...string) {
		if !at.IsZero() {
			gauge(d, float64(at.UnixMicro())/1e6, labels...)
		}
	}
	yes := map[bool]float64{true: 1}

	gauge(ready, yes[g.Ready(ctx) == nil])
	gauge(guarded, yes[g.Engine.Guarded()])
	for of, n := range g.Engine.PhoneRefusals() {
		to <- prometheus.MustNewConstMetric(phoneRefused, prometheus.CounterValue, float64(n), of.Code, of.Country)
	}

	s := g.Store.Stats()
	gauge(storeWaiting, float64(s.Waiting))
	gauge(storeTaking, float64(s.Taking))
	gauge(storeQueue, float64(s.Queue))
	gauge(storeBusy, float64(s.Busy))
	gauge(storeLimit, float64(s.Connections))
	gauge(storeAwaiting, float64(s.Awaiting))
	gauge(storeLimits, float64(s.Limits))
	counter(storeRefused, s.Refused)
	counter(storeConflicts, s.Conflicts)

	o := g.Outbox.Stats()
	gauge(outboxHeld, float64(o.Held))
	gauge(outboxIdle, float64(o.Waiting))
	gauge(outboxPlaces, float64(o.Places))
	gauge(outboxSlow, float64(o.Slow))
	if b, err := g.Store.Backlog(ctx); err == nil {
		since := func(at time.Time) float64 {
			if at.IsZero() {
				return 0
			}
			return max(0, now.Sub(at).Seconds())
		}
		gauge(outboxWaiting, float64(b.Messages))
		gauge(outboxOldest, since(b.Oldest))
		gauge(outboxOverdue, since(b.OldestDue))
	}
	if text, err := g.Store.Mark(ctx, store.BackupAt); err == nil {
		if at, err := store.ParseMark(text); err == nil {
			stamp(backupFinished, at)
		}
	}
	if keys, err := g.Store.DataKeys(ctx); err == nil {
		newest := map[string]time.Time{}
		for _, k := range keys { // by generation
			newest[k.Purpose] = k.CreatedAt
		}
		for purpose, at := range newest {
			stamp(dataKeySince, at, purpose)
		}
	}
	for _, p := range g.Engine.Projects() {
		for _, use := range []splitpin.KeyUse{splitpin.TokenKey, splitpin.IdentityKey} {
			active, next := g.Tokens.Schedule(p, use)
			stamp(keySince, active, p.ID, string(use))
			stamp(keyNext, next, p.ID, string(use))
		}
	}
}
