package signin

import (
	"context"
	"fmt"

	"github.com/splitpin/splitpin"
)

// Audit records an event that belongs to a project and to no attempt or user.
func (e *Engine) Audit(ctx context.Context, p *splitpin.Project, kind string, by Caller) (err error) {
	ctx, done := e.observe(ctx, "audit")
	defer func() { done(err) }()
	number, err := e.store.NextNumber(ctx)
	if err != nil {
		return fmt.Errorf("asking for a number: %w", err)
	}
	event := &splitpin.AuditEvent{Number: number, Project: p.Number, At: e.moment(), Kind: kind, Network: by.Network()}
	err = e.store.Change(ctx, splitpin.Reads{}, func(*splitpin.Records) (splitpin.Writes, error) {
		return splitpin.Writes{Create: []splitpin.Record{event}}, nil
	})
	if err != nil {
		return fmt.Errorf("recording an event: %w", err)
	}
	return nil
}
