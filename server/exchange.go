package server

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"net/netip"
	"sync"
	"time"

	"github.com/splitpin/splitpin"
	"github.com/splitpin/splitpin/server/edge"
	"github.com/splitpin/splitpin/signin"
)

const (
	// bodyTime is how long a request's body may take to come. The ordinary one comes
	// with its headers.
	bodyTime = 5 * time.Second
	// bodyRoom is how many bytes of bodies may be awaited and held at once, each
	// counted as large as it was announced, with bodyLeast for what the connection
	// takes. When half of it is taken, no wider network may have more than an eighth.
	bodyRoom  = 16 << 20
	bodyLeast = 2 << 10

	// exchangeKept is the largest buffer that is kept for the next request.
	exchangeKept = 32 << 10
)

// An exchange is one request and its answer in memory. Its client may be as slow as
// it likes: nobody works on the request before it is there, and nobody waits until
// the answer has left. It is the http.ResponseWriter of the handler.
type exchange struct {
	http.ResponseWriter // whose header the handler fills
	body, answer        bytes.Buffer
	status              int // zero until the handler named one
}

var exchanges = sync.Pool{New: func() any { return new(exchange) }}

func (x *exchange) WriteHeader(status int) {
	if x.status == 0 {
		x.status = status
	}
}

func (x *exchange) Write(b []byte) (int, error) {
	x.WriteHeader(http.StatusOK)
	return x.answer.Write(b)
}

// abandon has the connection closed after the answer, without waiting for the body
// of the request.
func (x *exchange) abandon() {
	x.Header().Set("Connection", "close")
	http.NewResponseController(x.ResponseWriter).SetReadDeadline(time.Now())
}

// send writes what the handler answered.
func (x *exchange) send() {
	if x.status != 0 {
		x.ResponseWriter.WriteHeader(x.status)
	}
	if x.answer.Len() > 0 {
		x.ResponseWriter.Write(x.answer.Bytes())
	}
}

// end keeps the buffers for another request. Nobody may use x any more.
func (x *exchange) end() {
	if x.body.Cap() > exchangeKept || x.answer.Cap() > exchangeKept {
		return
	}
	x.body.Reset()
	x.answer.Reset()
	x.ResponseWriter, x.status = nil, 0
	exchanges.Put(x)
}

// receive reads the body of r, which a handler then finds in memory: all of it, or
// one byte more than any handler takes. After an error the connection is not used
// again.
func (x *exchange) receive(r *http.Request) error {
	connection := http.NewResponseController(x.ResponseWriter)
	connection.SetReadDeadline(time.Now().Add(bodyTime)) // not where a test has no connection
	x.body.Grow(int(min(max(r.ContentLength, 0), 4<<10)) + bytes.MinRead)
	_, err := x.body.ReadFrom(io.LimitReader(r.Body, edge.MaxBody+1))
	if err != nil || x.body.Len() > edge.MaxBody {
		x.Header().Set("Connection", "close") // the deadline stays, for what net/http still reads
	} else {
		connection.SetReadDeadline(time.Time{})
	}
	r.Body = io.NopCloser(&x.body)
	if err != nil {
		return splitpin.ErrUnavailable.Because(errors.Join(edge.ErrLate, err))
	}
	return nil
}

// hold takes room for the body of r, which is to be given back. Its error is
// splitpin.ErrUnavailable.
func (g *gate) hold(r *http.Request, wider netip.Prefix) (room int, err error) {
	room = edge.MaxBody
	if r.ContentLength >= 0 {
		room = int(min(r.ContentLength, edge.MaxBody))
	}
	room += bodyLeast
	g.mu.Lock()
	if sum := g.heldAll + room; sum > g.bodies || sum > g.bodies/2 && g.held[wider]+room > g.bodies/8 {
		return 0, g.refuse(time.Now())
	}
	defer g.mu.Unlock()
	g.heldAll += room
	g.held[wider] += room
	return room, nil
}

// giveBack gives back what hold took.
func (g *gate) giveBack(room int, wider netip.Prefix) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.heldAll -= room
	if g.held[wider] -= room; g.held[wider] == 0 {
		delete(g.held, wider)
	}
}

// admitted returns a handler that serves a request when it is there and its turn has
// come, or refuses it in the words of its face.
func (s *Server) admitted(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodOptions {
			h.ServeHTTP(w, r) // what it asks about is decided when that comes
			return
		}
		x := exchanges.Get().(*exchange)
		x.ResponseWriter = w
		if err := s.work(x, r, h); err != nil {
			s.turnAway(w, r, err)
			return
		}
		x.send()
		x.end()
	})
}

// work has h serve a request into x, in its turn. Its error is why h was not asked.
func (s *Server) work(x *exchange, r *http.Request, h http.Handler) error {
	if r.ContentLength != 0 {
		wider := signin.WiderNetwork(s.Addr(r))
		room, err := s.gate.hold(r, wider)
		if err != nil {
			x.abandon()
			return err
		}
		defer s.gate.giveBack(room, wider)
		if err := x.receive(r); err != nil {
			return err
		}
	}
	if err := s.gate.enter(r.Context(), func() visitor { return s.visitor(r) }); err != nil {
		return err
	}
	defer s.gate.leave()
	h.ServeHTTP(x, r.WithContext(signin.WithPlace(r.Context(), seat{s, r})))
	return nil
}

func (s *Server) visitor(r *http.Request) visitor {
	a := s.Addr(r)
	return visitor{signin.Network(a), signin.WiderNetwork(a), s.Engine.Suspects(a)}
}
