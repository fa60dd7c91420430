package server

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/splitpin/splitpin"
	"github.com/splitpin/splitpin/api"
	"github.com/splitpin/splitpin/server/edge"
	"github.com/splitpin/splitpin/signin"
)

// A crowd is who waits before a gate, in a bubble of its own time.
type crowded struct {
	*gate
	t     *testing.T
	kept  sync.Mutex
	order []string // who was admitted, in that order
	ended map[string]time.Duration
}

func newCrowd(t *testing.T, places int) *crowded {
	g := newGate(nil)
	g.places = places
	return &crowded{gate: g, t: t, ended: map[string]time.Duration{}}
}

// come has somebody of a network ask, and returns when they wait or are in. Who
// does not get in is kept under the time they waited.
func (c *crowded) come(ctx context.Context, name, network string) {
	suspect := strings.HasPrefix(network, "10.")
	began := time.Now()
	go func() {
		own := netip.MustParsePrefix(network)
		err := c.enter(ctx, func() visitor { return visitor{own, signin.WiderNetwork(own.Addr()), suspect} })
		c.kept.Lock()
		defer c.kept.Unlock()
		switch {
		case err == nil:
			c.order = append(c.order, name)
		case !errors.Is(err, splitpin.ErrUnavailable) || splitpin.ErrorOf(err).RetryAfter <= 0:
			c.t.Errorf("%s was refused with %v", name, err)
		default:
			c.ended[name] = time.Since(began)
		}
	}()
	synctest.Wait()
}

// now looks at the counts while nobody changes them: those whose time has run out may
// leave at any moment.
func (c *crowded) now(look func()) {
	synctest.Wait()
	c.mu.Lock()
	defer c.mu.Unlock()
	c.kept.Lock()
	defer c.kept.Unlock()
	look()
}

// go one out, so that the next comes in.
func (c *crowded) out() {
	c.leave()
	synctest.Wait()
}

// A network that sends a hundred requests waits for itself: somebody of another
// network is the next but one.
func TestGateTakesTurns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCrowd(t, 1)
		c.come(t.Context(), "first", "203.0.113.1/32")
		for i := range 100 {
			c.come(t.Context(), fmt.Sprint("flood ", i), "198.51.100.1/32")
		}
		c.come(t.Context(), "ada", "203.0.113.2/32")
		c.come(t.Context(), "bob", "203.0.113.3/32")
		for range 5 {
			c.out()
		}
		c.now(func() {
			if got, want := strings.Join(c.order, ", "), "first, flood 0, ada, bob, flood 1, flood 2"; got != want {
				t.Errorf("came in as %s; want %s", got, want)
			}
		})
		for range 98 {
			c.out()
		}
		c.now(func() {
			if c.busy != 0 || c.waiting != 0 || len(c.networks) != 0 || c.turns.Len() != 0 || len(c.order) != 103 {
				t.Errorf("afterwards %d are busy, %d wait, of %d networks; %d came in", c.busy, c.waiting, len(c.networks), len(c.order))
			}
		})
	})
}

// Who waits for somebody outside holds no place, and gets the next one back before
// those who never had one.
func TestGateStepsOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCrowd(t, 1)
		own := netip.MustParsePrefix("203.0.113.1/32")
		c.come(t.Context(), "ada", "203.0.113.1/32")
		c.come(t.Context(), "bob", "203.0.113.2/32")
		c.come(t.Context(), "cyd", "203.0.113.3/32")
		if err := c.stepOut(own); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		go func() {
			c.stepIn(own)
			c.kept.Lock()
			defer c.kept.Unlock()
			c.order = append(c.order, "ada again")
		}()
		synctest.Wait()
		for range 3 {
			c.out()
		}
		c.now(func() {
			if got, want := strings.Join(c.order, ", "), "ada, bob, ada again, cyd"; got != want {
				t.Errorf("came in as %s; want %s", got, want)
			}
			if c.busy != 0 || c.away != 0 || len(c.outside) != 0 || len(c.back) != 0 {
				t.Errorf("afterwards %d are busy, %d away of %v, %d wait to come back", c.busy, c.away, c.outside, len(c.back))
			}
		})
	})
}

// Those who are away are bounded, for each network and in all. Who may not leave keeps
// the place.
func TestGateFewStepOut(t *testing.T) {
	g := newGate(nil)
	g.busy = 4096
	away := map[byte]int{}
	for network := range byte(100) {
		for range outsideOfNetwork + 1 {
			err := g.stepOut(netip.PrefixFrom(netip.AddrFrom4([4]byte{203, 0, 113, network}), 32))
			if err == nil {
				away[network]++
			} else if !errors.Is(err, splitpin.ErrUnavailable) {
				t.Fatal(err)
			}
		}
	}
	if away[0] != outsideOfNetwork || away[99] != 0 && away[99] != outsideFew {
		t.Errorf("of the first network %d are away, of the last %d", away[0], away[99])
	}
	if full := outsideMost / 2 / outsideOfNetwork; away[byte(full)] != outsideFew {
		t.Errorf("once half of them are away, a network has %d", away[byte(full)])
	}
	if g.away != outsideMost || g.busy != 4096-outsideMost {
		t.Errorf("%d are away and %d places are held", g.away, g.busy)
	}
}

// A request that waits for somebody outside lets others have its place.
func TestWaitingOutsideTakesNoPlace(t *testing.T) {
	h := newHouse(t)
	h.server.gate.places = 1
	synctest.Test(t, func(t *testing.T) {
		answers := make(chan struct{})
		hanging := h.server.admitted(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			signin.Outside(r.Context(), func(ctx context.Context) error {
				return signin.Outside(ctx, func(context.Context) error { <-answers; return nil })
			})
		}))
		served := 0
		quick := h.server.admitted(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { served++ }))
		ask := func(h http.Handler) *httptest.ResponseRecorder {
			w := httptest.NewRecorder()
			h.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/", nil))
			return w
		}
		var waiting sync.WaitGroup
		for range 3 {
			waiting.Go(func() { ask(hanging) })
		}
		synctest.Wait()
		if w := ask(quick); w.Code != http.StatusOK || served != 1 {
			t.Errorf("somebody else got %d %s", w.Code, w.Body)
		}
		close(answers)
		waiting.Wait()
		if g := h.server.gate; g.busy != 0 || g.away != 0 {
			t.Errorf("afterwards %d are busy and %d away", g.busy, g.away)
		}
	})
}

// Whoever holds a /48 is one network, however many /64s of it ask; inside it they
// take turns again, and share one part of the queue.
func TestGateCountsWiderNetworks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCrowd(t, 1)
		c.queue = 64
		c.come(t.Context(), "first", "203.0.113.1/32")
		c.come(t.Context(), "a0", "2001:db8:1:a::/64")
		c.come(t.Context(), "a1", "2001:db8:1:a::/64")
		for i := range 40 {
			c.come(t.Context(), fmt.Sprint("f", i), fmt.Sprintf("2001:db8:1:%x::/64", 0x100+i))
		}
		c.come(t.Context(), "ada", "2001:db8:2:1::/64")
		c.now(func() {
			if c.waiting != 33 || len(c.networks) != 2 {
				t.Errorf("%d wait, of %d networks; want half of the queue and ada, of 2", c.waiting, len(c.networks))
			}
		})
		for range 4 {
			c.out()
		}
		c.now(func() {
			if got, want := strings.Join(c.order, ", "), "first, a0, ada, f0, f1"; got != want {
				t.Errorf("came in as %s; want %s", got, want)
			}
		})
		for range 30 {
			c.out()
		}
		c.now(func() {
			if last := c.order[len(c.order)-1]; last != "a1" && c.order[32] != "a1" {
				t.Errorf("came in as %v; want a1 when each /64 had its turn", c.order)
			}
			if c.busy != 0 || c.waiting != 0 || len(c.networks) != 0 || c.turns.Len() != 0 {
				t.Errorf("afterwards %d are busy, %d wait, of %d networks", c.busy, c.waiting, len(c.networks))
			}
		})
	})
}

// Garbage from a hundred networks gets a quarter of the turns, not a hundred of them,
// and all when nobody else waits.
func TestGateLetsSuspectsWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCrowd(t, 1)
		c.come(t.Context(), "first", "203.0.113.1/32")
		for i := range 100 {
			c.come(t.Context(), "garbage", fmt.Sprintf("10.0.0.%d/32", i))
		}
		for _, name := range []string{"ada", "bob", "cleo", "dan"} {
			c.come(t.Context(), name, "203.0.113."+fmt.Sprint(len(name)+2*len(c.order)+c.turns.Len()+10)+"/32")
		}
		for range 6 {
			c.out()
		}
		c.now(func() {
			if got, want := strings.Join(c.order, ", "), "first, ada, bob, cleo, garbage, dan, garbage"; got != want {
				t.Errorf("came in as %s; want %s", got, want)
			}
		})
		time.Sleep(patience + time.Millisecond)
		c.now(func() {
			if c.waiting != 0 || c.suspects.Len() != 0 || c.turns.Len() != 0 {
				t.Errorf("%d wait, %d of suspects", c.waiting, c.suspects.Len())
			}
		})
	})
}

// Who waits is told so in time; the longer the queue stands, the sooner, but for
// those who are the queue.
func TestGatePatience(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCrowd(t, 1)
		c.come(t.Context(), "first", "203.0.113.1/32")
		c.come(t.Context(), "ada", "203.0.113.2/32")
		time.Sleep(patience / 2)
		for i := range crowd {
			c.come(t.Context(), fmt.Sprint("flood ", i), "198.51.100.1/32")
		}
		time.Sleep(patience/2 + time.Millisecond)
		c.come(t.Context(), "bob", "203.0.113.3/32")
		c.come(t.Context(), "one more", "198.51.100.1/32")
		gone, leave := context.WithCancel(t.Context())
		c.come(gone, "eve", "203.0.113.4/32")
		leave()
		synctest.Wait()
		time.Sleep(patience + time.Millisecond)
		c.now(func() {
			for name, want := range map[string]time.Duration{
				"ada": patience, "flood 0": patience, "bob": briefPatience, "one more": patience, "eve": 0,
			} {
				if got, refused := c.ended[name]; !refused || got != want {
					t.Errorf("%s waited %v (refused: %v), want %v", name, got, refused, want)
				}
			}
			if c.waiting != 0 || len(c.networks) != 0 || c.shed != 4+crowd {
				t.Errorf("%d wait, of %d networks, %d were refused", c.waiting, len(c.networks), c.shed)
			}
		})
		// The place is free for whoever comes when it is.
		c.out()
		c.come(t.Context(), "cleo", "203.0.113.5/32")
		c.now(func() {
			if got := strings.Join(c.order, ", "); got != "first, cleo" {
				t.Errorf("came in: %s", got)
			}
		})
	})
}

// The queue is bounded, and no network can fill it.
func TestGateQueueIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCrowd(t, 1)
		c.queue = 32
		c.come(t.Context(), "first", "203.0.113.1/32")
		for i := range 40 {
			c.come(t.Context(), fmt.Sprint("flood ", i), "198.51.100.1/32")
		}
		c.now(func() {
			if c.waiting != 16 {
				t.Errorf("%d of one network wait, want half of the queue", c.waiting)
			}
		})
		for i := range 40 {
			c.come(t.Context(), fmt.Sprint("somebody ", i), fmt.Sprintf("192.0.2.%d/32", i))
		}
		c.now(func() {
			if c.waiting != 32 {
				t.Errorf("%d wait, want 32", c.waiting)
			}
		})
		time.Sleep(patience)
	})
}

// A full server says so in the words of each face, and goes on answering what
// machines and verifiers need.
func TestFullServer(t *testing.T) {
	h := newHouse(t)
	h.server.gate.places, h.server.gate.queue = 0, 0
	routes := map[string]int{} // of what was refused
	h.server.observe = func(ctx context.Context, _ *http.Request, v *edge.Visit) (context.Context, func()) {
		return ctx, func() {
			if v.Status == http.StatusServiceUnavailable {
				routes[v.Route]++
			}
		}
	}
	before, err := h.store.NextNumber(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	start := api.StartRequest{Method: "email_code", Identifier: "ada@example.org", CodeChallenge: challenge(), Origin: shop}
	for _, base := range []string{"", "/p/" + h.first.ID} {
		w := h.do(ask{method: "POST", path: base + "/v1/attempts", body: start, header: map[string]string{"Origin": shop}})
		p := h.refused(w, http.StatusServiceUnavailable, "unavailable")
		if after := w.Header().Get("Retry-After"); p.RetryAfter < 1 || p.RetryAfter > 3 || after != fmt.Sprint(p.RetryAfter) {
			t.Errorf("come back after %d s, in the header %q", p.RetryAfter, after)
		}
		if w.Header().Get("Access-Control-Allow-Origin") != shop {
			t.Error("the site's page cannot read that it should come back")
		}
		w = h.do(ask{method: "POST", path: base + "/api/v0/token/" + h.first.ID, body: map[string]string{"grant_type": "refresh_token"}})
		if said := into[map[string]string](t, w, http.StatusServiceUnavailable); said["msg"] == "" || w.Header().Get("Retry-After") == "" {
			t.Errorf("Cotter's clients are told %v", said)
		}
	}
	w := h.do(ask{method: "GET", path: "/signin?project=" + h.first.ID, header: map[string]string{"Accept": "text/html"}})
	if w.Code != http.StatusServiceUnavailable || w.Header().Get("Refresh") == "" || !strings.Contains(w.Body.String(), "tries again") {
		t.Errorf("the page: %d, %q", w.Code, w.Body)
	}
	for _, path := range []string{"/healthz", "/readyz", "/favicon.ico", "/inbox", "/v1/keys", "/v1/keys/identity", "/p/" + h.first.ID + "/v1/keys",
		"/p/" + h.first.ID + "/v1/keys/identity", "/api/v0/token/jwks", "/p/" + h.first.ID + "/api/v0/token/ed25519"} {
		if w := h.do(ask{method: "GET", path: path}); w.Code >= 300 {
			t.Errorf("%s: got %d, want it answered", path, w.Code)
		}
	}
	for _, path := range []string{"/v1/attempts", "/api/v0/user"} {
		w := h.do(ask{method: "OPTIONS", path: path, header: map[string]string{"Origin": shop, "Access-Control-Request-Method": "POST"}})
		if w.Code != http.StatusNoContent {
			t.Errorf("a preflight for %s: got %d, want 204", path, w.Code)
		}
	}
	// An address that only looks like one of them when it is unescaped waits.
	for _, path := range []string{"/v1/sessions/5%2Fv1%2Fkeys", "/p/" + h.first.ID + "/v1/sessions/5%2Fv1%2Fkeys"} {
		r := httptest.NewRequest("DELETE", path, nil)
		r.Host = "login.example"
		w := httptest.NewRecorder()
		h.server.ServeHTTP(w, r)
		h.refused(w, http.StatusServiceUnavailable, "unavailable")
	}
	if after, err := h.store.NextNumber(t.Context()); err != nil || after != before+1 {
		t.Errorf("numbers were drawn for what was refused: %d after %d, %v", after, before, err)
	}
	if n := strings.Count(h.log.String(), "refusing requests"); n != 1 {
		t.Errorf("the log says so %d times, want once", n)
	}
	if strings.Contains(h.log.String(), "could not be served") {
		t.Error("the log has a line for a request that was refused")
	}
	for _, route := range []string{"POST /v1/attempts", "POST /p/{project}/v1/attempts", "/api/v0/token/{api_key_id}",
		"/p/{project}/api/v0/token/{api_key_id}", "GET /signin", "DELETE /v1/sessions/{id}", "DELETE /p/{project}/v1/sessions/{id}"} {
		if routes[route] != 1 {
			t.Errorf("%d refusals of %q, want 1; all are %v", routes[route], route, routes)
		}
	}
	if got := h.server.Stats(); got.Refused != 7 || got.Busy != 0 {
		t.Errorf("got %+v, want 7 refused", got)
	}
}
