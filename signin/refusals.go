package signin

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"sync"
	"time"

	"github.com/splitpin/splitpin"
)

// recordEvery is how often refused starts are written down, where there are any.
const recordEvery = time.Minute

// refusals counts the starts that were refused before there was an attempt.
// Writing each down would give whoever floods a server a row for every request
// (security 10).
type refusals struct {
	mu     sync.Mutex
	counts map[refusal]int
	since  time.Time // when the counts were last written down
	phones map[PhoneRefusal]uint64
}

// A PhoneRefusal is why messages to phones of a country were refused.
type PhoneRefusal struct {
	Code    string // of the error
	Country string
}

// PhoneRefusals counts, since the program began, the messages to phones that the budget
// and the limits below it refused on this node.
func (e *Engine) PhoneRefusals() map[PhoneRefusal]uint64 {
	e.refusals.mu.Lock()
	defer e.refusals.mu.Unlock()
	return maps.Clone(e.refusals.phones)
}

type refusal struct {
	project int64
	code    string
	about   string // the country, prefix or network that was refused, for messages to phones
}

// refusalsMax bounds what one minute names: whoever tries every prefix there is gets
// lines for the first of them, and one for the rest.
const refusalsMax = 100

func (r *refusals) count(p *splitpin.Project, err error) {
	known := splitpin.ErrorOf(err)
	if known == nil || p == nil {
		return // ours, and logged
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.counts == nil {
		r.counts = map[refusal]int{}
	}
	kind := refusal{project: p.Number, code: known.Code}
	var sliced *slicedError
	if errors.As(err, &sliced) {
		kind.about = sliced.about
		if r.phones == nil {
			r.phones = map[PhoneRefusal]uint64{}
		}
		r.phones[PhoneRefusal{known.Code, sliced.country}]++
	}
	if _, there := r.counts[kind]; !there && len(r.counts) >= refusalsMax {
		kind.about = ""
	}
	r.counts[kind]++
}

// due takes what was counted, when it is time to write it down.
func (r *refusals) due(now time.Time) map[refusal]int {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.counts) == 0 || now.Sub(r.since).Abs() < recordEvery {
		return nil
	}
	counts := r.counts
	r.counts, r.since = nil, now
	return counts
}

// recordRefusals writes one event a minute for each project and reason. A crash
// loses the counts of its minute.
func (e *Engine) recordRefusals(ctx context.Context, now time.Time) error {
	counts := e.refusals.due(now)
	if len(counts) == 0 {
		return nil
	}
	numbers, err := e.numbers(ctx, len(counts))
	if err != nil {
		return err
	}
	var w splitpin.Writes
	for r, n := range counts {
		detail := fmt.Sprintf("%s: %d", r.code, n)
		if r.about != "" {
			detail = fmt.Sprintf("%s, %s: %d", r.code, r.about, n)
		}
		w.Create = append(w.Create, &splitpin.AuditEvent{Number: numbers[len(w.Create)], Project: r.project, At: now,
			Kind: "starts_refused", Detail: detail})
	}
	err = e.store.Change(ctx, splitpin.Reads{}, func(*splitpin.Records) (splitpin.Writes, error) { return w, nil })
	if err != nil {
		return fmt.Errorf("recording refused starts: %w", err)
	}
	return nil
}
