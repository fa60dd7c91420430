package simulation

import (
	"context"
	"errors"
	"time"

	"github.com/splitpin/splitpin"
)

// errLost is why a node does not know that the database did what it was asked.
var errLost = errors.New("the answer of the database was lost")

// A faultyStore is one process's way to the database. At every call it parks
// before and after, and there the process may crash, the call fail, or time pass.
// Steps run a first time over what is stale by the time they commit, as where two
// met on a database that notices.
type faultyStore struct {
	splitpin.Store
	process *process

	next, last int64 // of a block of numbers
}

// scratch is what a step of the actor left for the model.
type scratch struct {
	deciding bool // inside a step
	looked   []look
	seq      int64 // of the last store call that was about records
	faults   int   // in a row: it gets no more than a few
}

// numberBlock is how many numbers a process takes at once, so that those of two
// nodes are in no order, and those of a crash are lost.
const numberBlock = 16

func (s *faultyStore) world() *world { return s.process.world }

var errDead = errors.New("this process is dead")

// before is where a call has not done anything yet.
func (s *faultyStore) before(what string) error {
	w, p := s.world(), s.process
	w.park()
	if !p.dead {
		w.slow(w.chaos.slowStore)
		w.maybeCrash(p)
	}
	if p.dead {
		return splitpin.ErrUnavailable.Because(errDead)
	}
	if w.fails(w.chaos.failBefore) {
		w.count.unavailable++
		w.note("store fails before", 0, 0, what)
		return splitpin.ErrUnavailable.After(time.Second).Because(errors.New("the simulation says so"))
	}
	return nil
}

// after is where a call is done and its caller does not know. err is the call's
// own.
func (s *faultyStore) after(what string, err error) error {
	w, p := s.world(), s.process
	w.running.scratch.seq = w.model.tick()
	w.park()
	if !p.dead {
		w.slow(w.chaos.slowStore)
		w.maybeCrash(p)
	}
	switch {
	case p.dead:
		return splitpin.ErrUnavailable.Because(errDead)
	case err == nil && w.fails(w.chaos.failAfter):
		w.count.lost++
		w.note("store's answer is lost", 0, 0, what)
		// The contract (splitpin.Store) has a word for a step of which nobody can tell;
		// of all else, ErrUnavailable says that it may have been done.
		if what == "change" {
			return splitpin.ErrUncertain.Because(errLost)
		}
		return splitpin.ErrUnavailable.Because(errLost)
	}
	return err
}

func (s *faultyStore) Change(ctx context.Context, reads splitpin.Reads, decide func(*splitpin.Records) (splitpin.Writes, error)) error {
	w := s.world()
	if err := s.before("change"); err != nil {
		return err
	}
	deciding := func(r *splitpin.Records) (splitpin.Writes, error) {
		x := &w.running.scratch
		x.deciding, x.looked = true, x.looked[:0]
		defer func() { x.deciding = false }()
		return decide(r)
	}
	if w.chance(w.chaos.stale) {
		seen, err := s.Store.Load(context.Background(), reads)
		if err != nil {
			return err
		}
		deciding(seen)
		commits := w.model.commits
		for range 1 + w.random.IntN(4) {
			w.park()
		}
		if s.process.dead {
			return splitpin.ErrUnavailable.Because(errDead)
		}
		w.count.stale++
		if commits != w.model.commits {
			w.count.conflicts++
		}
	}
	var was before
	var writes splitpin.Writes
	err := s.Store.Change(context.WithoutCancel(ctx), reads, func(r *splitpin.Records) (_ splitpin.Writes, err error) {
		was = keep(r)
		writes, err = deciding(r)
		return writes, err
	})
	if err == nil {
		w.model.commit(s.process, was, writes, w.running.scratch.looked)
	}
	w.running.scratch.looked = w.running.scratch.looked[:0]
	return s.after("change", err)
}

func (s *faultyStore) Load(ctx context.Context, reads splitpin.Reads) (*splitpin.Records, error) {
	if err := s.before("load"); err != nil {
		return nil, err
	}
	r, err := s.Store.Load(ctx, reads)
	if err = s.after("load", err); err != nil {
		return nil, err
	}
	return r, nil
}

func (s *faultyStore) NextNumber(ctx context.Context) (int64, error) {
	if s.next == s.last {
		if err := s.before("numbers"); err != nil {
			return 0, err
		}
		n, err := s.Store.NextNumber(ctx)
		if err = s.after("numbers", err); err != nil {
			return 0, err
		}
		s.next, s.last = n*numberBlock, (n+1)*numberBlock
	}
	s.next++
	return s.next - 1, nil
}

func (s *faultyStore) Take(ctx context.Context, now time.Time, charges ...splitpin.Charge) (int, time.Duration, error) {
	if err := s.before("take"); err != nil {
		return -1, 0, err
	}
	refused, wait, err := s.Store.Take(ctx, now, charges...)
	return refused, wait, s.after("take", err)
}

func (s *faultyStore) Projects(ctx context.Context) ([]*splitpin.Project, error) {
	return listed(s, "projects", func() ([]*splitpin.Project, error) { return s.Store.Projects(ctx) })
}

func (s *faultyStore) DataKeys(ctx context.Context) ([]*splitpin.DataKey, error) {
	return listed(s, "data keys", func() ([]*splitpin.DataKey, error) { return s.Store.DataKeys(ctx) })
}

func (s *faultyStore) SigningKeys(ctx context.Context) ([]*splitpin.SigningKey, error) {
	return listed(s, "signing keys", func() ([]*splitpin.SigningKey, error) { return s.Store.SigningKeys(ctx) })
}

func (s *faultyStore) Sessions(ctx context.Context, user int64) ([]*splitpin.Session, error) {
	return listed(s, "sessions", func() ([]*splitpin.Session, error) { return s.Store.Sessions(ctx, user) })
}

func (s *faultyStore) Sites(ctx context.Context, project int64, kind splitpin.CredentialKind) ([]*splitpin.Credential, error) {
	return listed(s, "sites", func() ([]*splitpin.Credential, error) { return s.Store.Sites(ctx, project, kind) })
}

func (s *faultyStore) CountAt(ctx context.Context, project int64, kind splitpin.CredentialKind, site string) (int64, error) {
	return listed(s, "credentials of a site", func() (int64, error) { return s.Store.CountAt(ctx, project, kind, site) })
}

func (s *faultyStore) ClaimMessages(ctx context.Context, now, until time.Time, limit int) ([]splitpin.Claimed, error) {
	return listed(s, "claim", func() ([]splitpin.Claimed, error) {
		claimed, err := s.Store.ClaimMessages(ctx, now, until, limit)
		for _, c := range claimed {
			s.world().model.claimed(s.process, c, until)
		}
		return claimed, err
	})
}

func (s *faultyStore) Version(ctx context.Context) (int64, error) {
	return listed(s, "version", func() (int64, error) { return s.Store.Version(ctx) })
}

// Now is the true time: that is what the clock of a database is here.
func (s *faultyStore) Now(ctx context.Context) (time.Time, error) {
	return listed(s, "now", func() (time.Time, error) { return s.world().now, ctx.Err() })
}

func (s *faultyStore) Sweep(ctx context.Context, now, auditBefore time.Time, limit int) (int, error) {
	return listed(s, "sweep", func() (int, error) { return s.Store.Sweep(ctx, now, auditBefore, limit) })
}

// listed does what is done in one call.
func listed[T any](s *faultyStore, what string, call func() (T, error)) (T, error) {
	var zero T
	if err := s.before(what); err != nil {
		return zero, err
	}
	found, err := call()
	if err = s.after(what, err); err != nil {
		return zero, err
	}
	return found, nil
}
