package delivery

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"time"

	"github.com/splitpin/splitpin"
)

// A Report is what a provider tells of a letter after it took it.
type Report struct {
	Receipt string // Letter.Receipt
	// Stage is where it failed: recipient, region, from, data, auth, config or connect.
	// Empty: it was delivered.
	Stage Stage
}

// Delivered is the Message.Report of a letter that arrived.
const Delivered = "delivered"

// A Reporter is a sender whose provider tells later what became of letters.
type Reporter interface {
	Sender

	// Reports reads a request to the address for reports of a channel, and holds
	// its signature against the provider's, where there is one. receipt is what the
	// address ended in; it is none of a letter unless Outbox.Report says so. Statuses that
	// are no end ("on its way") make no report. answer is what to answer with; empty:
	// nothing. An error is ErrNotProvider or ErrNoReport.
	Reports(r *http.Request, over splitpin.Channel, receipt string, body []byte) (_ []Report, answer string, err error)
}

var (
	// ErrNotProvider refuses a report whose signature is missing or another.
	ErrNotProvider = &splitpin.Error{Kind: splitpin.Forbidden, Code: "report_not_signed",
		Message: "This report does not bear the signature of the provider. See docs/operate/phones.md, reports."}
	// ErrNoReport refuses what cannot be read, or is about no message of ours.
	ErrNoReport = &splitpin.Error{Kind: splitpin.NotFound, Code: "report_unknown",
		Message: "There is no such message, or this is no report. See docs/operate/phones.md, reports."}
)

// maxReports is how many reports one request may bring.
const maxReports = 100

// Report takes a request in which a provider tells what became of letters over a
// channel: see Reporter. Each counts once. Where a letter did not arrive, its code
// is still good, and it has another channel, it goes on over that.
func (o *Outbox) Report(ctx context.Context, r *http.Request, over splitpin.Channel, receipt string, body []byte) (answer string, err error) {
	o.once.Do(o.start)
	reporter, ok := o.Senders[over].(Reporter)
	if !ok || o.ReadReceipt == nil {
		return "", ErrNoReport
	}
	reports, answer, err := reporter.Reports(r, over, receipt, body)
	if err != nil {
		return "", err
	}
	known := receipt == ""
	for _, report := range reports[:min(len(reports), maxReports)] {
		number, ok := o.ReadReceipt(report.Receipt, over)
		if !ok {
			continue // of somebody else who shares the account
		}
		known = true
		if err := o.reported(ctx, number, over, report.Stage); err != nil {
			return "", err
		}
	}
	if _, ok := o.ReadReceipt(receipt, over); !known && !ok {
		return "", ErrNoReport
	}
	return answer, nil
}

// reported records one report.
func (o *Outbox) reported(ctx context.Context, number int64, over splitpin.Channel, failed Stage) error {
	r, err := o.Store.Load(ctx, splitpin.Reads{Messages: []int64{number}})
	if err != nil {
		return fmt.Errorf("loading a message: %w", err)
	}
	if len(r.Messages) == 0 || r.Messages[0].Channel != over || !r.Messages[0].ReportedAt.IsZero() {
		return nil // over, or told already
	}
	event, err := o.Store.NextNumber(ctx)
	if err != nil {
		return fmt.Errorf("recording a report: %w", err)
	}
	t := &turn{Outbox: o, ctx: ctx}
	if o.Clock == nil {
		if t.now, err = o.Store.Now(ctx); err != nil {
			return fmt.Errorf("recording a report: %w", err)
		}
	}
	var told *splitpin.Message
	reads := splitpin.Reads{Attempt: r.Messages[0].Attempt, Messages: []int64{number}}
	err = o.Store.Change(ctx, reads, func(r *splitpin.Records) (w splitpin.Writes, _ error) {
		if told = nil; len(r.Messages) == 0 {
			return w, nil
		}
		m := r.Messages[0]
		if m.Channel != over || !m.ReportedAt.IsZero() {
			return w, nil
		}
		told = m
		e := t.decideReport(m, r.Attempt, failed)
		w.Put = []splitpin.Record{m}
		if w.Loose = e == nil; e != nil {
			e.Number = event
			w.Create = []splitpin.Record{e}
		}
		return w, nil
	})
	if err != nil {
		return fmt.Errorf("recording a report: %w", err)
	}
	if told == nil {
		return nil
	}
	if o.Told != nil {
		o.Told(over, reportOf(failed))
	}
	if told.SentAt.IsZero() && told.GivenUpAt.IsZero() {
		o.mu.Lock()
		o.more = true
		o.mu.Unlock()
		o.wake()
	}
	return nil
}

func reportOf(failed Stage) string {
	if failed == "" {
		return Delivered
	}
	return string(failed)
}

// decideReport alters a message to what was told of it, and returns the event that says
// so, if any. a is its attempt; nil: gone. It may run again.
func (t *turn) decideReport(m *splitpin.Message, a *splitpin.Attempt, failed Stage) *splitpin.AuditEvent {
	now := t.clock()
	good := m.GivenUpAt.IsZero() && now.Before(m.ExpiresAt) && a != nil && a.State(now) == splitpin.Open
	if failed != "" && good && t.fallsBack(m, &SendError{Stage: failed}) {
		// Whoever hands it over just now finds that it moved on: see settle.
		m.SentAt, m.DueAt = time.Time{}, now
		return t.fallBack(m, a, "told after it was taken", failed)
	}
	m.ReportedAt, m.Report = now, reportOf(failed)
	if failed == "" {
		return nil
	}
	return t.event(m, a, "message_undelivered", string(m.Channel)+"_"+m.Report)
}

// finalStages are what a report may say, so that nothing else gets into histories and
// labels.
var finalStages = []Stage{StageConfig, StageConnect, StageAuth, StageFrom, StageRecipient, StageRegion, StageData}

// stageOf is the stage of a provider's error code in a report; one that is not known
// says nothing about the reader.
func stageOf(f fault) Stage {
	if slices.Contains(finalStages, f.stage) {
		return f.stage
	}
	return StageData
}
