package e2e

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	mathrand "math/rand/v2"
	"mime"
	"net"
	"net/http"
	"net/mail"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/emersion/go-smtp"

	"github.com/splitpin/splitpin/api"
	"github.com/splitpin/splitpin/store/postgrestest"
)

// TestKilled kills the server in the middle of a storm of sign-ins and starts it
// again, fifty times, and ten on PostgreSQL (E2E_ROUNDS says otherwise). After each start, whatever the
// server had said yes to must be there, no code may sign in twice, and every
// message that was promised must go out.
//
// Production's own program and settings: "serve", a real SMTP conversation, and
// each person behind an address of their own through a trusted proxy, so that no
// limit has to be raised.
func TestKilled(t *testing.T) {
	t.Run("sqlite", func(t *testing.T) {
		killed(t, newServe(t, newClock(t), startPost(t)), rounds(t, 50), nil)
	})
	// Of PostgreSQL every other round kills the database too, with all its processes.
	t.Run("postgres", func(t *testing.T) {
		database := postgrestest.New(t, postgrestest.Options{Durable: true})
		s := newServe(t, newClock(t), startPost(t), "SPLITPIN_DATABASE="+database.Database(t))
		killed(t, s, rounds(t, 10), database)
	})
}

func killed(t *testing.T, s *serve, rounds int, database *postgrestest.Server) {
	s.start(t)
	p := s.firstProject(t)
	var total tally
	for round := range rounds {
		moment := 20*time.Millisecond + time.Duration(mathrand.IntN(300))*time.Millisecond
		both := database != nil && round%2 == 1
		people := storm(t, p, s.post, round, moment, both, func() {
			if both {
				if err := database.Kill(); err != nil {
					t.Error(err)
				}
			}
			s.program.kill()
		})
		if both {
			if err := database.Run(); err != nil {
				t.Fatal(err)
			}
		}
		s.start(t)
		p.known(t)
		for _, who := range people {
			who.mayFail = false
			who.afterRestart(t, &total)
		}
		// A message that was being sent when the server died is somebody's for two
		// minutes yet; then it is sent again.
		s.clock.advance(t, 3*time.Minute)
		for _, who := range people {
			who.afterLease(t, &total)
		}
		if database != nil {
			s.clock.set(t, 0) // or the server is not ready: the database's clock did not move
		}
		if t.Failed() {
			t.Fatalf("round %d: see above", round)
		}
	}
	t.Logf("%d rounds: %s", rounds, total)
	if total.started == 0 || total.collected == 0 || total.interrupted == 0 {
		t.Errorf("the storm was no storm: %s", total)
	}
}

// A tally says what the storm had, so that a run that tested nothing shows.
type tally struct {
	started, proved, collected, refreshed int // acknowledged before a kill
	interrupted                           int // requests whose answer the kill took
}

func (n tally) String() string {
	return fmt.Sprintf("acknowledged before a kill: %d starts, %d proofs, %d sessions, %d refreshes; %d requests interrupted",
		n.started, n.proved, n.collected, n.refreshed, n.interrupted)
}

// rounds is how often a test goes round: E2E_ROUNDS, or usually.
func rounds(t *testing.T, usually int) int {
	t.Helper()
	text := os.Getenv("E2E_ROUNDS")
	if text == "" {
		return usually
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 {
		t.Fatalf("E2E_ROUNDS is %q, not a number of rounds", text)
	}
	return n
}

// storm lets people sign in, after a while kills what they sign in to, and returns
// everybody who had begun.
func storm(t *testing.T, p *project, post *post, round int, length time.Duration, mayFail bool, kill func()) []*person {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var mu sync.Mutex
	var people []*person
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for ctx.Err() == nil {
				who := newPerson(p, post, round)
				who.mayFail = mayFail
				mu.Lock()
				people = append(people, who)
				mu.Unlock()
				if who.signIn(ctx); who.interrupted() {
					return // the server is dead
				}
			}
		})
	}
	<-time.After(length)
	kill()
	cancel()
	wg.Wait()
	return people
}

// A person signs in once, and keeps a record of what the server acknowledged.
type person struct {
	project             *project
	post                *post
	address, network    string
	verifier, challenge string
	client              *http.Client

	attempt       api.StartResponse
	granted       api.Granted
	first, newest api.Tokens

	start, answer, collect, refresh fact
	trouble                         error // an answer that should not have come
	mayFail                         bool  // the database is killed too: the server may say that it cannot
}

// A fact is when the server was asked for something, and when it said yes.
type fact struct{ asked, acknowledged time.Time }

type state int

const (
	never state = iota
	asked       // the server may have done it or not
	acknowledged
)

func (f fact) state() state {
	switch {
	case f.asked.IsZero():
		return never
	case f.acknowledged.IsZero():
		return asked
	}
	return acknowledged
}

var numbers atomic.Int64

func newPerson(p *project, post *post, round int) *person {
	n := numbers.Add(1)
	who := &person{
		project: p, post: post, client: http.DefaultClient,
		address: fmt.Sprintf("r%d-n%d@example.org", round, n),
		network: fmt.Sprintf("10.%d.%d.%d", n>>16&255, n>>8&255, n&255),
	}
	who.verifier, who.challenge = pkce()
	return who
}

// ask makes one request, and keeps in f how far it came. It reports whether the
// answer was the wanted one.
func (who *person) ask(ctx context.Context, f *fact, want int, path string, header http.Header, body, into any) bool {
	*f = fact{asked: time.Now()}
	status, text, err := who.request(ctx, "POST", path, header, body)
	if errors.Is(err, errUndescribed) {
		who.trouble = err
		return false
	}
	if err != nil {
		return false // the server died
	}
	if problem := new(api.Problem); who.mayFail && status >= http.StatusInternalServerError && json.Unmarshal(text, problem) == nil {
		if problem.Code == "unavailable" {
			*f = fact{} // nothing was done, it says
		}
		return false
	}
	if status != want {
		who.trouble = fmt.Errorf("%s: got %d %s, want %d", path, status, text, want)
		return false
	}
	if err := json.Unmarshal(text, into); err != nil {
		who.trouble = fmt.Errorf("%s: %w", path, err)
		return false
	}
	f.acknowledged = time.Now()
	return true
}

func (who *person) request(ctx context.Context, method, path string, header http.Header, body any) (int, []byte, error) {
	h := http.Header{"X-Forwarded-For": {who.network}}
	for k, v := range header {
		h[k] = v
	}
	answer, text, err := try(ctx, who.client, method, who.project.v1()+path, h, body)
	if err != nil {
		return 0, nil, err
	}
	return answer.StatusCode, text, nil
}

// interrupted reports whether the kill took the answer to a request.
func (who *person) interrupted() bool {
	for _, f := range []fact{who.start, who.answer, who.collect, who.refresh} {
		if f.state() == asked {
			return true
		}
	}
	return false
}

// signIn goes as far as the server lives.
func (who *person) signIn(ctx context.Context) {
	if !who.askStart(ctx) {
		return
	}
	code, ok := who.post.wait(ctx, who.address)
	if !ok {
		return
	}
	if who.askAnswer(ctx, code) && who.askCollect(ctx) {
		who.askRefresh(ctx)
	}
}

func (who *person) askStart(ctx context.Context) bool {
	return who.ask(ctx, &who.start, http.StatusCreated, "/attempts", nil, who.startRequest(), &who.attempt)
}

func (who *person) askAnswer(ctx context.Context, code string) bool {
	return who.ask(ctx, &who.answer, http.StatusOK, "/attempts/"+who.attempt.Attempt.ID+"/answer",
		http.Header{api.AttemptSecretHeader: {who.attempt.Secret}}, api.AnswerRequest{Code: code}, &who.granted)
}

func (who *person) askCollect(ctx context.Context) bool {
	ok := who.ask(ctx, &who.collect, http.StatusOK, "/token", nil, api.TokenRequest{
		GrantType: "authorization_code", Code: who.granted.AuthorizationCode, CodeVerifier: who.verifier, ChallengeID: &who.granted.ChallengeID,
		RedirectURL: who.project.origin + "/",
	}, &who.first)
	who.newest = who.first
	return ok
}

func (who *person) askRefresh(ctx context.Context) bool {
	var next api.Tokens
	ok := who.ask(ctx, &who.refresh, http.StatusOK, "/token", nil,
		api.TokenRequest{GrantType: "refresh_token", RefreshToken: who.newest.RefreshToken}, &next)
	if ok {
		who.newest = next
	}
	return ok
}

// afterRestart holds the server to what it acknowledged about proofs, sessions
// and refreshes.
func (who *person) afterRestart(t *testing.T, n *tally) {
	t.Helper()
	if who.trouble != nil {
		t.Errorf("%s, before the kill: %v", who.address, who.trouble)
		return
	}
	for _, f := range []struct {
		fact  fact
		count *int
	}{{who.start, &n.started}, {who.answer, &n.proved}, {who.collect, &n.collected}, {who.refresh, &n.refreshed}} {
		switch f.fact.state() {
		case acknowledged:
			*f.count++
		case asked:
			n.interrupted++
		}
	}
	if who.answer.state() != acknowledged {
		return
	}
	// The proof was acknowledged, so its grant is worth a session: the first one,
	// or, if the kill took the answer, the same one again.
	if who.collect.state() != acknowledged && !who.askCollect(t.Context()) {
		t.Errorf("%s: the acknowledged proof gives no session: %v", who.address, who.trouble)
		return
	}
	// The newest refresh token that was acknowledged works. If the answer to a
	// refresh was lost, the one before it gives the successor (the grace).
	if !who.askRefresh(t.Context()) {
		t.Errorf("%s: the acknowledged session is gone: %v", who.address, who.trouble)
		return
	}
	who.onlyOnce(t)
}

// afterLease holds the server to its messages: every acknowledged start leads
// to one, and whoever had not answered can do so now.
func (who *person) afterLease(t *testing.T, n *tally) {
	t.Helper()
	if who.start.state() != acknowledged || t.Failed() {
		return
	}
	ctx, cancel := context.WithTimeout(t.Context(), deadlines.step)
	defer cancel()
	code, ok := who.post.wait(ctx, who.address)
	if !ok {
		t.Errorf("%s: the start was acknowledged, and no message came", who.address)
		return
	}
	switch who.answer.state() {
	case never:
		if !who.askAnswer(ctx, code) || !who.askCollect(ctx) {
			t.Errorf("%s: the code of an acknowledged start does not sign in: %v", who.address, who.trouble)
			return
		}
		who.onlyOnce(t)
	case asked:
		// The kill took the answer to the answer: it was done or it was not. Done, the
		// grant is lost and nobody has a session; not done, this is the first time.
		if who.askAnswer(ctx, code) {
			if !who.askCollect(ctx) {
				t.Errorf("%s: %v", who.address, who.trouble)
				return
			}
			who.onlyOnce(t)
		}
	}
	if who.answer.state() == acknowledged {
		status, text, err := who.request(ctx, "POST", "/attempts/"+who.attempt.Attempt.ID+"/answer",
			http.Header{api.AttemptSecretHeader: {who.attempt.Secret}}, api.AnswerRequest{Code: code})
		if err != nil || status != http.StatusUnauthorized {
			t.Errorf("%s: the same code a second time: got %d %s, %v; want 401", who.address, status, text, err)
		}
	}
}

// onlyOnce looks that the person has one session.
func (who *person) onlyOnce(t *testing.T) {
	t.Helper()
	status, text, err := who.request(t.Context(), "GET", "/sessions", http.Header{"Authorization": {"Bearer " + who.newest.AccessToken}}, nil)
	if err != nil || status != http.StatusOK {
		t.Errorf("%s: the sessions: %d %s, %v", who.address, status, text, err)
		return
	}
	if list := decode[api.Sessions](t, text); len(list.Sessions) != 1 {
		t.Errorf("%s signed in once and has %d sessions", who.address, len(list.Sessions))
	}
}

// ----------------------------------------------------------- splitpin serve

// A serve is "splitpin serve" with a data folder that outlives its processes.
type serve struct {
	*dev
	listen string
	env    []string
	clock  *clock
	post   *post
}

func newServe(t *testing.T, clock *clock, post *post, env ...string) *serve {
	t.Helper()
	listen, dir := freeAddr(t), t.TempDir()
	s := &serve{
		dev:    &dev{url: "http://localhost:" + port(listen), data: filepath.Join(dir, "data"), binary: clock.binary, seen: map[string]string{}},
		listen: listen, clock: clock, post: post,
	}
	key := filepath.Join(dir, "master.key")
	s.run(t, "master-key", "new", key)
	host, port, _ := net.SplitHostPort(post.addr)
	s.env = append([]string{
		clock.env(),
		"SPLITPIN_PUBLIC_URL=" + s.url, "SPLITPIN_LISTEN=" + listen, "SPLITPIN_DATA=" + s.data, "SPLITPIN_MASTER_KEY_FILE=" + key,
		"SPLITPIN_TRUSTED_PROXIES=127.0.0.1",
		"SPLITPIN_SMTP_HOST=" + host, "SPLITPIN_SMTP_PORT=" + port, "SPLITPIN_SMTP_TLS=none", "SPLITPIN_SMTP_FROM=login@shop.example",
		"SPLITPIN_LOG_LEVEL=warn",
	}, env...)
	s.dev.env = s.env
	return s
}

// start starts the server on the same folder again.
func (s *serve) start(t *testing.T) {
	t.Helper()
	s.dev.program = launch(t, filepath.Dir(s.data), s.env, s.binary, "serve")
	s.ready(t, "http://"+s.listen+"/readyz")
}

func (s *serve) firstProject(t *testing.T) *project {
	t.Helper()
	return s.createProject(t, "Shop", "https://shop.example")
}

// ---------------------------------------------------------------- the post

// A post is an SMTP server that keeps the code of each address.
type post struct {
	addr     string
	listener *muteListener

	mu   sync.Mutex
	code map[string]string
	sent map[string]int // messages by address
	came chan struct{}  // closed and replaced with every message
}

func startPost(t *testing.T) *post {
	t.Helper()
	p := &post{code: map[string]string{}, sent: map[string]int{}, came: make(chan struct{})}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p.addr = l.Addr().String()
	p.listener = &muteListener{Listener: l}
	server := smtp.NewServer(smtp.BackendFunc(func(*smtp.Conn) (smtp.Session, error) { return &delivery{post: p}, nil }))
	server.Domain = "localhost"
	server.ErrorLog = log.New(io.Discard, "", 0) // of connections that a kill cut off
	go server.Serve(p.listener)
	t.Cleanup(func() { server.Close() })
	return p
}

// has returns the code that was sent to an address, empty for none, and a channel
// that is closed when another message comes.
func (p *post) has(address string) (string, <-chan struct{}) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.code[address], p.came
}

// count returns how many messages came for an address.
func (p *post) count(address string) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.sent[address]
}

// silence makes the server answer nobody, or speak again: the connections it left
// without an answer are closed then.
func (p *post) silence(on bool) {
	p.listener.mu.Lock()
	defer p.listener.mu.Unlock()
	p.listener.silent = on
	for _, c := range p.listener.conns {
		if !on {
			c.Close()
		}
	}
	if !on {
		p.listener.conns = nil
	}
}

// A muteListener keeps connections to itself while it is silent.
type muteListener struct {
	net.Listener
	mu     sync.Mutex
	silent bool
	conns  []net.Conn
}

func (l *muteListener) Accept() (net.Conn, error) {
	for {
		c, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		l.mu.Lock()
		if !l.silent {
			l.mu.Unlock()
			return c, nil
		}
		l.conns = append(l.conns, c)
		l.mu.Unlock()
	}
}

// wait returns the code that was sent to an address.
func (p *post) wait(ctx context.Context, address string) (string, bool) {
	for {
		code, came := p.has(address)
		if code != "" {
			return code, true
		}
		select {
		case <-came:
		case <-ctx.Done():
			return "", false
		}
	}
}

// A delivery is one SMTP conversation.
type delivery struct {
	post *post
	to   []string
}

func (d *delivery) Mail(string, *smtp.MailOptions) error { return nil }

func (d *delivery) Rcpt(to string, _ *smtp.RcptOptions) error {
	d.to = append(d.to, to)
	return nil
}

func (d *delivery) Data(r io.Reader) error {
	m, err := mail.ReadMessage(r)
	if err != nil {
		return err
	}
	if _, err := io.Copy(io.Discard, m.Body); err != nil {
		return err
	}
	subject, err := new(mime.WordDecoder).DecodeHeader(m.Header.Get("Subject"))
	if err != nil {
		return err
	}
	code := regexp.MustCompile(`\b[0-9]{6,10}\b`).FindString(subject)
	d.post.mu.Lock()
	defer d.post.mu.Unlock()
	for _, to := range d.to {
		d.post.sent[to]++
		if old := d.post.code[to]; old != "" && old != code {
			return fmt.Errorf("two codes for one attempt of %s: %s and %s", to, old, code)
		}
		d.post.code[to] = code
	}
	close(d.post.came)
	d.post.came = make(chan struct{})
	return nil
}

func (d *delivery) Reset()        { d.to = nil }
func (d *delivery) Logout() error { return nil }
