package signin

import "context"

// A Place is that of a request among those that a server works on at once.
type Place interface {
	// Leave lets somebody else have the place. Its error wraps splitpin.ErrUnavailable
	// where too many are away already; then the place is kept.
	Leave() error
	// Return waits until there is a place again. It is called once after each Leave that
	// returned nil.
	Return()
}

type placeKey struct{}

// WithPlace returns a context for a request that holds a place.
func WithPlace(ctx context.Context, p Place) context.Context {
	return context.WithValue(ctx, placeKey{}, p)
}

// Outside calls wait, and the request leaves its place meanwhile. Whatever waits for
// somebody who is not ours, or for a time to pass, does so inside: a place is for who has
// work to do, and a provider that hangs would stop everybody. It returns what wait
// returns; where too many are away already, wait is not called, and the error wraps
// splitpin.ErrUnavailable.
func Outside(ctx context.Context, wait func(context.Context) error) error {
	p, _ := ctx.Value(placeKey{}).(Place)
	if p == nil {
		return wait(ctx)
	}
	if err := p.Leave(); err != nil {
		return err
	}
	defer p.Return()
	return wait(WithPlace(ctx, nil)) // which is left once
}
