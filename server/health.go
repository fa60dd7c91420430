package server

import (
	"context"
	"net/http"
	"time"
)

// healthz says that the process runs.
func (s *Server) healthz(w http.ResponseWriter, _ *http.Request) {
	w.Write([]byte("ok\n"))
}

// readyz says whether this node should get requests: not while it drains, and
// not while its database does not answer.
func (s *Server) readyz(w http.ResponseWriter, r *http.Request) {
	if s.draining.Load() {
		http.Error(w, "going away", http.StatusServiceUnavailable)
		return
	}
	if err := s.ready.now(r.Context()); err != nil {
		if times := s.unready.Happened(s.Clock()); times > 0 {
			s.Log.WarnContext(r.Context(), "not ready", "error", err, "times", times)
		}
		http.Error(w, "not ready", http.StatusServiceUnavailable)
		return
	}
	w.Write([]byte("ready\n"))
}

// verdictAge is how long a verdict counts. Anybody may ask for it.
const verdictAge = time.Second

// A verdict is whether a node is ready, asked once for all who want to know within
// verdictAge.
type verdict struct {
	ask func(context.Context) error

	turn chan struct{} // holds one while somebody uses what is below
	at   time.Time     // of the answer; zero: there is none yet
	err  error
}

func newVerdict(ask func(context.Context) error) *verdict {
	return &verdict{ask: ask, turn: make(chan struct{}, 1)}
}

// now returns why the node is not ready, or nil. The question does not end with the
// one who asks it: others wait for its answer.
func (v *verdict) now(ctx context.Context) error {
	select {
	case v.turn <- struct{}{}:
		defer func() { <-v.turn }()
	case <-ctx.Done():
		return ctx.Err()
	}
	if !v.at.IsZero() && time.Since(v.at) < verdictAge {
		return v.err
	}
	asking, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*time.Second)
	defer cancel()
	v.err = v.ask(asking)
	v.at = time.Now()
	return v.err
}
