package server

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// A street is a server of net/http over connections in memory, in a bubble of its
// own time.
type street struct {
	t     *testing.T
	comes chan net.Conn
	over  chan struct{}
}

// A from is a connection that comes from an address.
type from struct {
	net.Conn
	addr net.Addr
}

func (f from) RemoteAddr() net.Addr { return f.addr }

func (s *street) Accept() (net.Conn, error) {
	select {
	case c := <-s.comes:
		return c, nil
	case <-s.over:
		return nil, net.ErrClosed
	}
}

func (s *street) Close() error   { close(s.over); return nil }
func (s *street) Addr() net.Addr { return &net.TCPAddr{} }

func newStreet(t *testing.T, h http.Handler) *street {
	s := &street{t: t, comes: make(chan net.Conn), over: make(chan struct{})}
	server := &http.Server{Handler: h, ReadTimeout: 15 * time.Second, WriteTimeout: 75 * time.Second}
	done := make(chan error)
	go func() { done <- server.Serve(s) }()
	t.Cleanup(func() {
		server.Close()
		<-done
		synctest.Wait()
	})
	return s
}

// dial connects from an address and sends a text.
func (s *street) dial(addr, text string) net.Conn {
	ours, theirs := net.Pipe()
	s.t.Cleanup(func() { ours.Close() })
	s.comes <- from{theirs, &net.TCPAddr{IP: net.ParseIP(addr), Port: 1024}}
	if _, err := io.WriteString(ours, text); err != nil {
		s.t.Fatal(err)
	}
	synctest.Wait()
	return ours
}

// answer reads one answer and what is left of the connection's life.
func (s *street) answer(c net.Conn) (status int, body string) {
	s.t.Helper()
	r, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		s.t.Fatal("reading an answer:", err)
	}
	defer r.Body.Close()
	b, err := io.ReadAll(r.Body)
	if err != nil {
		s.t.Fatal("reading an answer:", err)
	}
	return r.StatusCode, string(b)
}

const (
	bare    = "GET /v1/project HTTP/1.1\r\nHost: login.example\r\n\r\n"
	stalled = "POST /v1/token HTTP/1.1\r\nHost: login.example\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{"
)

// Who sends its body byte by byte takes no place from others, and is told in time
// that it was too slow.
func TestSlowBodiesTakeNoPlace(t *testing.T) {
	h := newHouse(t)
	h.server.gate.places = 2
	synctest.Test(t, func(t *testing.T) {
		s := newStreet(t, h.server)
		var slow []net.Conn
		for range 10 {
			slow = append(slow, s.dial("198.51.100.1", stalled))
		}
		if got := h.server.Stats(); got.Busy != 0 || got.Waiting != 0 {
			t.Errorf("%d places are taken, %d wait", got.Busy, got.Waiting)
		}
		began := time.Now()
		if status, body := s.answer(s.dial("203.0.113.1", bare)); status != http.StatusOK || time.Since(began) != 0 {
			t.Errorf("somebody else got %d %s after %v", status, body, time.Since(began))
		}
		for _, c := range slow {
			status, body := s.answer(c)
			if status != http.StatusServiceUnavailable || time.Since(began) != bodyTime {
				t.Errorf("a slow one got %d %s after %v, want 503 after %v", status, body, time.Since(began), bodyTime)
			}
			if _, err := c.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
				t.Errorf("its connection goes on: %v", err)
			}
		}
		synctest.Wait()
		if g := h.server.gate; g.heldAll != 0 || len(g.held) != 0 {
			t.Errorf("%d bytes are held for %d networks", g.heldAll, len(g.held))
		}
		if strings.Contains(h.log.String(), "could not be served") {
			t.Error("the log has a line for each that was slow")
		}
	})
}

// Unread bodies are bounded, in all and for each wider network.
func TestBodiesAreBounded(t *testing.T) {
	h := newHouse(t)
	h.server.gate.bodies = 16 * (bodyLeast + 100)
	synctest.Test(t, func(t *testing.T) {
		s := newStreet(t, h.server)
		held := func(what string, want int) {
			t.Helper()
			synctest.Wait()
			h.server.gate.mu.Lock()
			defer h.server.gate.mu.Unlock()
			if got := h.server.gate.heldAll / (bodyLeast + 100); got != want {
				t.Errorf("%s: %d bodies are awaited, want %d", what, got, want)
			}
		}
		refused := func(addr string) {
			t.Helper()
			began := time.Now()
			if status, _ := s.answer(s.dial(addr, stalled)); status != http.StatusServiceUnavailable || time.Since(began) != 0 {
				t.Errorf("got %d after %v, want 503 at once", status, time.Since(began))
			}
		}
		for i := range 8 {
			s.dial(fmt.Sprintf("2001:db8:1:%x::1", i), stalled)
		}
		refused("2001:db8:1:ffff::1")
		held("of one /48", 8)
		for i := range 8 {
			s.dial(fmt.Sprintf("2001:db8:%x::1", 16+i), stalled)
		}
		held("in all", 16)
		refused("203.0.113.1")
		if status, _ := s.answer(s.dial("203.0.113.1", bare)); status != http.StatusOK {
			t.Errorf("a request without a body got %d", status)
		}
		time.Sleep(bodyTime)
		held("afterwards", 0)
	})
}

// A body in two pieces is read whole; then its deadline is over, for the work and for
// the connection, which goes on.
func TestBodyInPieces(t *testing.T) {
	h := newHouse(t)
	synctest.Test(t, func(t *testing.T) {
		s := newStreet(t, h.server.admitted(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			body, err := io.ReadAll(r.Body)
			if err != nil {
				t.Error(err)
			}
			time.Sleep(4 * bodyTime)
			fmt.Fprint(w, len(body), " ", r.Context().Err())
		})))
		c := s.dial("203.0.113.1", stalled)
		time.Sleep(bodyTime - time.Millisecond)
		if _, err := io.WriteString(c, strings.Repeat(" ", 98)+"}"); err != nil {
			t.Fatal(err)
		}
		if status, body := s.answer(c); status != http.StatusOK || body != "100 <nil>" {
			t.Errorf("got %d %s", status, body)
		}
		if _, err := io.WriteString(c, bare); err != nil {
			t.Fatal(err)
		}
		if status, body := s.answer(c); status != http.StatusOK || body != "0 <nil>" {
			t.Errorf("the next request got %d %s", status, body)
		}
	})
}

// Who does not read its answer takes no place from others.
func TestSlowReadersTakeNoPlace(t *testing.T) {
	h := newHouse(t)
	h.server.gate.places = 1
	synctest.Test(t, func(t *testing.T) {
		s := newStreet(t, h.server.admitted(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			io.WriteString(w, strings.Repeat("a long answer ", 10_000))
		})))
		s.dial("198.51.100.1", bare)
		if got := h.server.Stats(); got.Busy != 0 {
			t.Errorf("%d places are taken", got.Busy)
		}
		if status, body := s.answer(s.dial("203.0.113.1", bare)); status != http.StatusOK || len(body) != 140_000 {
			t.Errorf("somebody else got %d and %d bytes", status, len(body))
		}
	})
}

// However many ask whether a node is ready, its database is asked once a second.
func TestReadyIsAskedOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var asked, answered atomic.Int32
		answer := make(chan error)
		v := newVerdict(func(ctx context.Context) error {
			asked.Add(1)
			select {
			case err := <-answer:
				return err
			case <-ctx.Done():
				return ctx.Err()
			}
		})
		gone, leave := context.WithCancel(t.Context())
		go v.now(gone)
		synctest.Wait()
		crowd := func(want error) {
			for range 100 {
				go func() {
					if err := v.now(t.Context()); !errors.Is(err, want) {
						t.Errorf("got %v, want %v", err, want)
					}
					answered.Add(1)
				}()
			}
			synctest.Wait()
		}
		count := func(wantAsked, wantAnswered int32) {
			t.Helper()
			synctest.Wait()
			if asked.Load() != wantAsked || answered.Load() != wantAnswered {
				t.Errorf("asked %d times, %d were answered; want %d and %d", asked.Load(), answered.Load(), wantAsked, wantAnswered)
			}
		}
		crowd(nil)
		leave() // who asked first; the others wait for the answer
		count(1, 0)
		answer <- nil
		count(1, 100)
		time.Sleep(verdictAge - time.Millisecond)
		crowd(nil)
		count(1, 200)
		time.Sleep(time.Millisecond)
		crowd(context.DeadlineExceeded)
		count(2, 200)
		time.Sleep(2 * time.Second) // nothing answers
		count(2, 300)
	})
}
