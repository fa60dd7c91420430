package signin_test

import (
	"context"
	"sync"

	"github.com/splitpin/splitpin"
)

// gathering is a store at which callers gather before the first of their steps
// runs. Whatever each read before its step, it read before any of the others
// changed it: the worst case of a race, every time.
type gathering struct{ splitpin.Store }

// arrival is how one caller of together says that it has come.
type arrival struct{}

func (g gathering) Change(ctx context.Context, reads splitpin.Reads, decide func(*splitpin.Records) (splitpin.Writes, error)) error {
	if arrive, ok := ctx.Value(arrival{}).(func()); ok {
		arrive()
	}
	return g.Store.Change(ctx, reads, decide)
}

// together runs f n times at once. Each call of f takes its first step only when
// all the others are about to, or have returned without one.
func (h *house) together(n int, f func(ctx context.Context, i int)) {
	h.t.Helper()
	var here, done sync.WaitGroup
	here.Add(n)
	plain := h.db.Store
	h.db.Store = gathering{plain}
	for i := range n {
		done.Go(func() {
			come := sync.OnceFunc(here.Done)
			defer come()
			f(context.WithValue(h.t.Context(), arrival{}, func() { come(); here.Wait() }), i)
		})
	}
	done.Wait()
	h.db.Store = plain
}
