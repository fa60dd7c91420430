package e2e

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/splitpin/splitpin/api"
	"github.com/splitpin/splitpin/store/postgrestest"
)

// TestNodesShareLimits asks three nodes in turn for what is limited: the limits hold
// over all of them, one message is one message, and what one node learns the
// others know.
func TestNodesShareLimits(t *testing.T) {
	c := startNodes(t, postgrestest.New(t, postgrestest.Options{Durable: true}).Database(t))
	p := c.firstProject(t)

	t.Run("messages to an address", func(t *testing.T) {
		// Three strangers in ten minutes (security 9), each at another node.
		sent := 0
		var last *person
		for i := range 9 {
			who := c.at(i%3, newPerson(p, c.post, 0))
			if last != nil {
				who.address = last.address
			}
			last = who
			status, text, err := who.request(t.Context(), "POST", "/attempts", nil, who.startRequest())
			switch {
			case err == nil && status == http.StatusCreated:
				sent++
			case err != nil || status != http.StatusTooManyRequests:
				t.Fatalf("got %d %s, %v; want 201 or 429", status, text, err)
			}
		}
		if sent != 3 {
			t.Errorf("nine strangers at three nodes caused %d messages to one address; want 3", sent)
		}
		until(t, deadlines.step, "the messages arrive", func() bool { return c.post.count(last.address) == sent })
	})

	t.Run("tries", func(t *testing.T) {
		who := newPerson(p, c.post, 0)
		code := who.starts(t)
		var wrong, over atomic.Int64
		var wg sync.WaitGroup
		for i := range 30 {
			wg.Go(func() {
				guess := c.at(i%3, who)
				status, text, err := guess.request(t.Context(), "POST", "/attempts/"+who.attempt.Attempt.ID+"/answer",
					http.Header{api.AttemptSecretHeader: {who.attempt.Secret}}, api.AnswerRequest{Code: wrongCode(code, 1+i%9)})
				switch {
				case err != nil || status != http.StatusUnauthorized:
					t.Errorf("got %d %s, %v; want 401", status, text, err)
				case decode[api.Problem](t, text).Code == "wrong_code":
					wrong.Add(1)
				default:
					over.Add(1)
				}
			})
		}
		wg.Wait()
		// The last of the tries answers that it was the last.
		if n := wrong.Load(); n < 4 || n > 5 || n+over.Load() != 30 {
			t.Errorf("thirty guesses at once at three nodes: %d were looked at and %d refused; want 5 tries in all", n, over.Load())
		}
		if who.askAnswer(t.Context(), code) {
			t.Error("the right code still signs in after all tries were spent")
		}
	})

	t.Run("one code, one session", func(t *testing.T) {
		who := newPerson(p, c.post, 0)
		code := who.starts(t)
		if !who.askAnswer(t.Context(), code) {
			t.Fatal(who.trouble)
		}
		var wg sync.WaitGroup
		for i := range 12 {
			wg.Go(func() {
				again := c.at(i%3, who)
				if !again.askCollect(t.Context()) {
					t.Errorf("collecting twice at once: %v", again.trouble)
				}
			})
		}
		wg.Wait()
		if !who.askCollect(t.Context()) {
			t.Fatal(who.trouble)
		}
		who.onlyOnce(t)
	})

	t.Run("tabs", func(t *testing.T) {
		// The same refresh token at three nodes at once: all get the same successor.
		who := newPerson(p, c.post, 0)
		who.signsIn(t)
		successors := make([]string, 9)
		var wg sync.WaitGroup
		for i := range successors {
			wg.Go(func() {
				tab := c.at(i%3, who)
				if !tab.askRefresh(t.Context()) {
					t.Errorf("a tab was turned away: %v", tab.trouble)
				}
				successors[i] = tab.newest.RefreshToken
			})
		}
		wg.Wait()
		for _, s := range successors {
			if s != successors[0] {
				t.Error("two tabs got two successors of one refresh token")
			}
		}
	})

	t.Run("keys", func(t *testing.T) {
		who := newPerson(p, c.post, 0)
		who.signsIn(t)
		c.nodes[1].run(t, "keys", "rotate", "--compromised", "--accept-breakage", "--project", p.id)
		until(t, deadlines.step, "every node signs with the new key", func() bool {
			for i := range c.nodes {
				status, _, err := c.at(i, who).request(t.Context(), "GET", "/sessions", http.Header{"Authorization": {"Bearer " + who.newest.AccessToken}}, nil)
				if err != nil || status != http.StatusUnauthorized {
					return false // this node still takes what the old key signed
				}
			}
			return true
		})
		later := newPerson(p, c.post, 0)
		later.signsIn(t)
		for i := range c.nodes {
			c.at(i, later).onlyOnce(t)
		}
	})
}

// TestRollingRestart restarts three nodes in turn under load. With one retry nobody
// notices.
func TestRollingRestart(t *testing.T) {
	c := startNodes(t, postgrestest.New(t, postgrestest.Options{Durable: true}).Database(t))
	p := c.firstProject(t)
	load := c.storm(t, p)
	for range rounds(t, 1) {
		for _, n := range c.nodes {
			n.stop()
			n.start(t)
		}
	}
	load.await(t, 30)
	people := load.end()
	t.Logf("%d people, %d requests retried", len(people), load.retried.Load())
	for _, who := range people {
		if who.trouble != nil || who.interrupted() {
			t.Errorf("%s met the restart: %v", who.address, who.trouble)
		}
	}
}

// TestNodeKilled kills one node of three under load, and starts it again. What was
// acknowledged is there, and every message goes out.
func TestNodeKilled(t *testing.T) {
	c := startNodes(t, postgrestest.New(t, postgrestest.Options{Durable: true}).Database(t))
	p := c.firstProject(t)
	var total tally
	for i := range rounds(t, 6) {
		load := c.storm(t, p)
		load.await(t, 12)
		n := c.nodes[i%3]
		n.kill()
		load.await(t, 24)
		people := load.end()
		for _, who := range people {
			if who.trouble != nil || who.interrupted() {
				t.Errorf("%s met the kill in spite of a retry: %v", who.address, who.trouble)
			}
		}
		n.start(t)
		for _, who := range people {
			who.afterRestart(t, &total)
		}
		c.clock.advance(t, 3*time.Minute) // what the dead node was sending is free again
		for _, who := range people {
			who.afterLease(t, &total)
		}
		c.clock.set(t, 0) // or no node is ready: the clock of the database did not move
		if t.Failed() {
			t.Fatalf("round %d: see above", i)
		}
	}
	t.Log(total)
	if total.collected == 0 {
		t.Error("nobody had signed in")
	}
}

// TestFailover kills the database under load and promotes the standby that it waited
// for. Nothing acknowledged is lost, and sign-ins go on as soon as there is a
// database that takes them.
func TestFailover(t *testing.T) {
	primary := postgrestest.New(t, postgrestest.Options{Durable: true})
	database := primary.Database(t)
	standby, err := primary.Standby(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(standby.Stop)
	both := strings.Replace(database, primary.Address(), primary.Address()+","+standby.Address(), 1) + "&target_session_attrs=read-write"
	c := startNodes(t, both)
	p := c.firstProject(t)

	load := c.storm(t, p)
	load.await(t, 20)
	died := time.Now()
	if err := primary.Kill(); err != nil {
		t.Fatal(err)
	}
	if err := standby.Promote(t.Context()); err != nil {
		t.Fatal(err)
	}
	promoted := time.Now()
	var back time.Time
	until(t, deadlines.start, "somebody signs in again", func() bool {
		who := newPerson(p, c.post, 0)
		who.client = load.client
		if who.askStart(t.Context()) {
			back = who.start.acknowledged
		}
		return !back.IsZero()
	})
	t.Logf("the standby took over %v after the primary died; the first sign-in began %v after that",
		promoted.Sub(died).Round(time.Millisecond), back.Sub(promoted).Round(time.Millisecond))
	people := load.end()
	c.clock.advance(t, 3*time.Minute)
	var total tally
	for _, who := range people {
		who.trouble = nil // while there was no database, refusals are right
		who.afterFailover(t, &total)
	}
	t.Log(total)
	if total.collected == 0 {
		t.Error("nobody had signed in")
	}
}

// afterFailover is afterRestart for one whose last request may have been refused, and
// so was answered, but not granted.
func (who *person) afterFailover(t *testing.T, n *tally) {
	t.Helper()
	if who.answer.state() == acknowledged {
		who.afterRestart(t, n)
	}
}

// TestDatabaseGone takes the database away, by a crash and by silence. Whoever comes
// meanwhile is told at once to come again, each node says that it is not ready, and
// all is well when the database is back.
func TestDatabaseGone(t *testing.T) {
	server := postgrestest.New(t, postgrestest.Options{Durable: true})
	c := startNodes(t, server.Database(t))
	p := c.firstProject(t)
	gone := 3 * time.Second
	if rounds(t, 1) > 1 {
		gone = 30 * time.Second
	}
	for _, way := range []struct {
		name     string
		off, on  func() error
		patience time.Duration // of one who asks meanwhile
	}{
		{"crashed", server.Kill, server.Run, 5 * time.Second},
		{"silent", server.Freeze, server.Thaw, 15 * time.Second},
	} {
		t.Run(way.name, func(t *testing.T) {
			settled := newPerson(p, c.post, 0)
			settled.signsIn(t)
			halfway := newPerson(p, c.post, 0)
			code := halfway.starts(t)

			if err := way.off(); err != nil {
				t.Fatal(err)
			}
			for end := time.Now().Add(gone); time.Now().Before(end); {
				for _, ask := range []func(*person){
					func(who *person) { who.refused(t, "/attempts", nil, who.startRequest()) },
					func(who *person) {
						who.refused(t, "/attempts/"+halfway.attempt.Attempt.ID+"/answer",
							http.Header{api.AttemptSecretHeader: {halfway.attempt.Secret}}, api.AnswerRequest{Code: code})
					},
					func(who *person) {
						who.refused(t, "/token", nil, api.TokenRequest{GrantType: "refresh_token", RefreshToken: settled.newest.RefreshToken})
					},
				} {
					who := c.at(0, newPerson(p, c.post, 0))
					begun := time.Now()
					ask(who)
					if took := time.Since(begun); took > way.patience {
						t.Errorf("a refusal took %v", took)
					}
				}
				if t.Failed() {
					break
				}
			}
			answer, _ := call(t, "GET", "http://"+c.nodes[0].listen+"/readyz", nil, nil)
			if answer.StatusCode != http.StatusServiceUnavailable {
				t.Errorf("a node without its database says %s to /readyz", answer.Status)
			}
			if status, _, err := c.at(0, settled).request(t.Context(), "GET", "/keys", nil, nil); err != nil || status != http.StatusOK {
				t.Errorf("without the database, the key set: %d, %v", status, err)
			}
			if err := way.on(); err != nil {
				t.Fatal(err)
			}
			for _, n := range c.nodes {
				n.ready(t, "http://"+n.listen+"/readyz")
			}
			if !halfway.askAnswer(t.Context(), code) || !halfway.askCollect(t.Context()) {
				t.Errorf("afterwards the code does not sign in: %v", halfway.trouble)
			}
			if !settled.askRefresh(t.Context()) {
				t.Errorf("afterwards the session is gone: %v", settled.trouble)
			}
			halfway.onlyOnce(t)
			newPerson(p, c.post, 0).signsIn(t)
		})
	}
}

// ------------------------------------------------------------------ the nodes

// Nodes are three servers on one database, behind a proxy that asks them whether they
// are ready and sends each request to the next one that is. It retries nothing.
type nodes struct {
	nodes []*serve
	post  *post
	clock *clock
	proxy *httputil.ReverseProxy
	next  atomic.Uint64
	up    [3]atomic.Bool

	clients [3]*http.Client // each ends up at one node, whatever the address
}

func startNodes(t *testing.T, database string) *nodes {
	t.Helper()
	c := &nodes{post: startPost(t), clock: newClock(t)}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	public := "http://localhost:" + port(l.Addr().String())
	for range 3 {
		s := newServe(t, c.clock, c.post)
		key := filepath.Join(filepath.Dir(s.data), "master.key")
		if len(c.nodes) > 0 {
			key = filepath.Join(filepath.Dir(c.nodes[0].data), "master.key")
		}
		s.env = append(s.env, "SPLITPIN_DATABASE="+database, "SPLITPIN_PUBLIC_URL="+public, "SPLITPIN_MASTER_KEY_FILE="+key,
			"SPLITPIN_DRAIN=500ms") // the proxy asks ten times a second
		s.dev.env, s.dev.url = s.env, public
		c.clients[len(c.nodes)] = &http.Client{Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "tcp", s.listen)
		}}}
		c.nodes = append(c.nodes, s)
	}
	// All at once: the first to come makes the tables, the others wait for it.
	var wg sync.WaitGroup
	for _, n := range c.nodes {
		n.dev.program = launch(t, filepath.Dir(n.data), n.env, n.binary, "serve")
	}
	for _, n := range c.nodes {
		wg.Go(func() { n.ready(t, "http://"+n.listen+"/readyz") })
	}
	wg.Wait()

	c.proxy = &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) {
			r.Out.URL = &url.URL{Scheme: "http", Host: c.pick(), Path: r.In.URL.Path, RawQuery: r.In.URL.RawQuery}
			r.Out.Host = r.In.Host
			r.Out.Header["X-Forwarded-For"] = r.In.Header["X-Forwarded-For"] // who asks says who they are: the test
		},
		ErrorHandler: func(w http.ResponseWriter, _ *http.Request, err error) {
			http.Error(w, err.Error(), http.StatusBadGateway)
		},
	}
	server := &http.Server{Handler: c.proxy}
	ctx, cancel := context.WithCancel(context.Background())
	go server.Serve(l)
	wg.Go(func() { c.watch(ctx) })
	t.Cleanup(func() { cancel(); server.Close(); wg.Wait() })
	until(t, deadlines.step, "the proxy finds the nodes", func() bool { return c.up[0].Load() && c.up[1].Load() && c.up[2].Load() })
	return c
}

// watch asks every node ten times a second whether it is ready.
func (c *nodes) watch(ctx context.Context) {
	client := &http.Client{Timeout: time.Second}
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for {
		for i, n := range c.nodes {
			answer, err := client.Get("http://" + n.listen + "/readyz")
			c.up[i].Store(err == nil && answer.StatusCode == http.StatusOK)
			if err == nil {
				answer.Body.Close()
			}
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

// pick returns the next node that is ready, or where none is, the next.
func (c *nodes) pick() string {
	n := c.next.Add(1)
	for i := range uint64(3) {
		if at := (n + i) % 3; c.up[at].Load() {
			return c.nodes[at].listen
		}
	}
	return c.nodes[n%3].listen
}

// firstProject makes a project that every node knows.
func (c *nodes) firstProject(t *testing.T) *project {
	t.Helper()
	p := c.nodes[0].createProject(t, "Shop", "https://shop.example")
	for i := range c.nodes {
		until(t, deadlines.step, "every node knows the project", func() bool {
			status, _, err := c.at(i, newPerson(p, c.post, 0)).request(t.Context(), "GET", "/project", nil, nil)
			return err == nil && status == http.StatusOK
		})
	}
	return p
}

// at returns the person as one who meets one node, past the proxy.
func (c *nodes) at(i int, who *person) *person {
	there := *who
	there.client = c.clients[i]
	return &there
}

// A load is people who sign in through the proxy until it ends.
type load struct {
	client  *http.Client
	cancel  context.CancelFunc
	wg      sync.WaitGroup
	mu      sync.Mutex
	people  []*person
	retried atomic.Int64
}

func (c *nodes) storm(t *testing.T, p *project) *load {
	ctx, cancel := context.WithCancel(t.Context())
	l := &load{cancel: cancel}
	l.client = &http.Client{Transport: &retryOnce{next: http.DefaultTransport, retried: &l.retried}}
	for range 6 {
		l.wg.Go(func() {
			for ctx.Err() == nil {
				who := newPerson(p, c.post, 0)
				who.client = l.client
				l.mu.Lock()
				l.people = append(l.people, who)
				l.mu.Unlock()
				who.signIn(t.Context())
			}
		})
	}
	return l
}

// await waits until so many people have come.
func (l *load) await(t *testing.T, people int) {
	t.Helper()
	until(t, deadlines.start, fmt.Sprintf("%d people have come", people), func() bool {
		l.mu.Lock()
		defer l.mu.Unlock()
		return len(l.people) >= people
	})
}

// end lets everybody finish.
func (l *load) end() []*person {
	l.cancel()
	l.wg.Wait()
	return l.people
}

// retryOnce is a client that tries once more, a second later, what met a server that
// was gone or said to come again.
type retryOnce struct {
	next    http.RoundTripper
	retried *atomic.Int64
}

func (r *retryOnce) RoundTrip(request *http.Request) (*http.Response, error) {
	answer, err := r.next.RoundTrip(request)
	if err == nil && answer.StatusCode < http.StatusInternalServerError || request.Context().Err() != nil {
		return answer, err
	}
	if err == nil {
		answer.Body.Close()
	}
	r.retried.Add(1)
	again := request.Clone(request.Context())
	if request.GetBody != nil {
		body, err := request.GetBody()
		if err != nil {
			return nil, errors.Join(errors.New("reading the request again"), err)
		}
		again.Body = body
	}
	select {
	case <-time.After(time.Second):
	case <-request.Context().Done():
		return nil, fmt.Errorf("waiting to try again: %w", request.Context().Err())
	}
	return r.next.RoundTrip(again)
}
