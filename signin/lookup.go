package signin

import (
	"context"
	"fmt"

	"github.com/splitpin/splitpin"
)

// DefaultLookupsPerNetwork is how many questions about users strangers from one
// network may ask in five minutes, over all endpoints that tell (security 35).
const DefaultLookupsPerNetwork = 60

// ErrManyLookups refuses a network that asks about users too often.
var ErrManyLookups = &splitpin.Error{Kind: splitpin.TooMany, Code: "too_many_lookups",
	Message: "Too many questions about users came from your network. Please wait a little and try again."}

// ChargeLookup takes what one question about a user costs somebody who showed no
// server secret. Its error is ErrManyLookups, which says when to come back.
func (e *Engine) ChargeLookup(ctx context.Context, p *splitpin.Project, by Caller) (err error) {
	ctx, done := e.observe(ctx, "lookup")
	defer func() { done(err) }()
	return e.chargeLookup(ctx, p, by)
}

func (e *Engine) chargeLookup(ctx context.Context, p *splitpin.Project, by Caller) error {
	refused, wait, err := e.take(ctx, e.moment(), networks("lookup", p, by, DefaultLookupsPerNetwork)...)
	if err != nil {
		return fmt.Errorf("charging the limits: %w", err)
	}
	if refused >= 0 {
		return ErrManyLookups.After(wait)
	}
	return nil
}
