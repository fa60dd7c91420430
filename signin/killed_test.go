package signin_test

import (
	"bufio"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/splitpin/splitpin"
	"github.com/splitpin/splitpin/keyring"
	"github.com/splitpin/splitpin/project"
	"github.com/splitpin/splitpin/signin"
	"github.com/splitpin/splitpin/signin/code"
	"github.com/splitpin/splitpin/store"
	"github.com/splitpin/splitpin/token"
)

// stormEnv names the folder in which the test binary, run again as a child,
// signs people in until it is killed.
const stormEnv = "TEST_STORM"

func TestMain(m *testing.M) {
	if folder := os.Getenv(stormEnv); folder != "" {
		if err := storm(folder); err != nil {
			fmt.Fprintln(os.Stderr, err)
		}
		os.Exit(1) // a storm ends by being killed
	}
	os.Exit(m.Run())
}

// A plant is an engine over the file in a folder, with the system's clock.
type plant struct {
	*signin.Engine
	db     *store.SQLite
	tokens *token.Service
	shop   *splitpin.Project
}

func openPlant(ctx context.Context, folder string) (*plant, error) {
	master, err := keyring.ReadMasterFile(filepath.Join(folder, "master.key"))
	if err != nil {
		return nil, err
	}
	db, err := store.OpenSQLite(ctx, filepath.Join(folder, "splitpin.db"), store.Options{})
	if err != nil {
		return nil, err
	}
	ring, err := keyring.Open(ctx, db, time.Now(), master)
	if err != nil {
		return nil, errors.Join(err, db.Close())
	}
	p := &plant{db: db, tokens: token.New(db, ring, "https://login.example.org", time.Now)}
	p.Engine, err = signin.New(ctx, signin.Options{Store: db, Ring: ring, Tokens: p.tokens, Methods: []signin.Method{code.Email{}}})
	if err != nil {
		return nil, errors.Join(err, db.Close())
	}
	p.shop, _ = p.Project("") // nil before there is one
	return p, nil
}

// acknowledged is one line of the child: what somebody was told.
type acknowledged struct {
	Step    string // started, proved, opened, refreshed, ended
	Attempt string `json:",omitempty"`
	Secret  string `json:",omitempty"`
	Code    string `json:",omitempty"`
	Session int64  `json:",omitempty"`
	Counter uint32 `json:",omitempty"`
	Refresh string `json:",omitempty"`
}

const stormVerifier = "f6eb75ce0123456789abcdef0123456789abcdef0123456789abcdef"

// storm signs people in from several sides and says so on the standard output,
// after each step, as a server does to its clients.
func storm(folder string) error {
	ctx := context.Background()
	p, err := openPlant(ctx, folder)
	if err != nil {
		return err
	}
	var mu sync.Mutex
	say := func(a acknowledged) {
		line, _ := json.Marshal(a)
		mu.Lock()
		defer mu.Unlock()
		os.Stdout.Write(append(line, '\n'))
	}
	sum := sha256.Sum256([]byte(stormVerifier))
	challenge := base64.RawURLEncoding.EncodeToString(sum[:])
	failed := make(chan error)
	for worker := range 6 {
		go func() {
			for n := 0; ; n++ {
				if err := person(ctx, p, challenge, fmt.Sprintf("p%d-%d-%d@example.org", os.Getpid(), worker, n), say); err != nil {
					failed <- err
				}
			}
		}()
	}
	return <-failed
}

// person signs in, with every step said; some answers come twice at once, some
// collections too.
func person(ctx context.Context, p *plant, challenge, address string, say func(acknowledged)) error {
	by := signin.Caller{Addr: netip.AddrFrom4([4]byte{10, byte(rand.Uint32()), byte(rand.Uint32()), byte(rand.Uint32())})}
	s, err := p.Start(ctx, signin.StartRequest{Project: p.shop, Method: "email_code", Identifier: address, Challenge: challenge, Origin: shopOrigin, By: by})
	if err != nil {
		return fmt.Errorf("starting: %w", err)
	}
	id := s.Attempt.ID.String()
	say(acknowledged{Step: "started", Attempt: id, Secret: s.Secret.Reveal()})
	right, err := p.Secret(s.Attempt)
	if err != nil {
		return err
	}
	h := signin.Handle{Project: p.shop, ID: s.Attempt.ID, Secret: s.Secret, By: by}
	g, err := twice(func() (*signin.Granted, error) { return p.Answer(ctx, h, said(right.Code.Reveal())) })
	if err != nil {
		return fmt.Errorf("answering: %w", err)
	}
	say(acknowledged{Step: "proved", Attempt: id, Code: g.Code.Reveal()})
	c, err := twice(func() (*signin.Collected, error) {
		return p.Collect(ctx, signin.CollectRequest{Project: p.shop, Code: g.Code.Reveal(), Verifier: stormVerifier, Destination: shopOrigin, By: by})
	})
	if err != nil {
		return fmt.Errorf("collecting: %w", err)
	}
	say(acknowledged{Step: "opened", Attempt: id, Code: g.Code.Reveal(), Session: c.Session.Number, Counter: c.Session.Counter, Refresh: c.Tokens.RefreshToken.Reveal()})
	text := c.Tokens.RefreshToken
	for range rand.IntN(3) {
		r, err := p.Refresh(ctx, signin.RefreshRequest{Project: p.shop, Token: text, By: by})
		if err != nil {
			return fmt.Errorf("refreshing: %w", err)
		}
		text = r.Tokens.RefreshToken
		say(acknowledged{Step: "refreshed", Session: r.Session.Number, Counter: r.Session.Counter, Refresh: text.Reveal()})
	}
	if rand.IntN(4) == 0 {
		if err := p.Logout(ctx, signin.RefreshRequest{Project: p.shop, Token: text, By: by}); err != nil {
			return fmt.Errorf("logging out: %w", err)
		}
		say(acknowledged{Step: "ended", Session: c.Session.Number})
	}
	return nil
}

// twice does the same thing from two sides at once and returns either result.
func twice[T any](f func() (T, error)) (T, error) {
	other := make(chan error, 1)
	go func() { _, err := f(); other <- err }()
	v, err := f()
	return v, errors.Join(err, <-other)
}

// Killed at any moment: a process that signs people in is killed without warning,
// again and again, over one file. Whatever anybody was told is there afterwards,
// no attempt gave two sessions, and a code that was used gives no other.
func TestKilledAtAnyMoment(t *testing.T) {
	rounds := 20
	if testing.Short() {
		rounds = 3
	}
	if n, err := strconv.Atoi(os.Getenv("TEST_KILLS")); err == nil {
		rounds = n
	}
	folder := t.TempDir()
	if err := keyring.WriteMasterFile(filepath.Join(folder, "master.key"), keyring.NewMaster()); err != nil {
		t.Fatal(err)
	}
	p, err := openPlant(t.Context(), folder)
	if err != nil {
		t.Fatal(err)
	}
	admin := &project.Admin{Store: p.db, Tokens: p.tokens, Clock: time.Now}
	if _, _, err := admin.Create(t.Context(), project.Draft{Settings: splitpin.Settings{Origins: []string{shopOrigin}}}); err != nil {
		t.Fatal(err)
	}
	if err := p.db.Close(); err != nil {
		t.Fatal(err)
	}

	r := record{attempts: map[string]*trail{}, sessions: map[int64]*trail{}}
	random := rand.New(rand.NewPCG(20260314, 9))
	for round := range rounds {
		heard := rage(t, folder, 50+random.IntN(250))
		for _, a := range heard {
			r.hear(t, a)
		}
		p, err := openPlant(t.Context(), folder)
		if err != nil {
			t.Fatalf("round %d: opening after the kill: %v", round, err)
		}
		r.check(t, p)
		if err := p.db.Close(); err != nil {
			t.Errorf("round %d: %v", round, err)
		}
		if t.Failed() {
			t.Fatalf("in round %d", round)
		}
	}
	t.Logf("%d kills, %d lines acknowledged, %d attempts, %d sessions", rounds, r.lines, len(r.attempts), len(r.sessions))
	if len(r.sessions) < rounds {
		t.Errorf("only %d sessions in %d rounds: this storm shows nothing", len(r.sessions), rounds)
	}
}

// rage runs a storm, kills it after some lines, and returns the whole lines it
// said.
func rage(t *testing.T, folder string, lines int) []acknowledged {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	child := exec.CommandContext(t.Context(), self, "-test.run=^$")
	child.Env = append(os.Environ(), stormEnv+"="+folder)
	var trouble strings.Builder
	child.Stderr = &trouble
	out, err := child.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	var heard []acknowledged
	reader := bufio.NewReader(out)
	for {
		line, err := reader.ReadBytes('\n')
		if err != nil {
			break // half a line was never said
		}
		var a acknowledged
		if err := json.Unmarshal(line, &a); err != nil {
			t.Fatalf("the child said %q", line)
		}
		heard = append(heard, a)
		if len(heard) == lines {
			child.Process.Kill()
		}
	}
	child.Wait()
	if trouble.Len() > 0 {
		t.Fatalf("the child had trouble: %s", trouble.String())
	}
	if len(heard) < lines {
		t.Fatalf("the child said %d lines and stopped", len(heard))
	}
	return heard
}

// A trail is what was said about one attempt and its session.
type trail struct {
	attempt, secret, code string
	session               int64
	counter               uint32
	refresh               string
	ended                 bool
}

type record struct {
	attempts map[string]*trail
	sessions map[int64]*trail
	lines    int
	last     []*trail // since the last check
}

func (r *record) hear(t *testing.T, a acknowledged) {
	t.Helper()
	r.lines++
	switch a.Step {
	case "started":
		tr := &trail{attempt: a.Attempt, secret: a.Secret}
		r.attempts[a.Attempt] = tr
		r.last = append(r.last, tr)
	case "proved":
		r.attempts[a.Attempt].code = a.Code
	case "opened":
		tr := r.attempts[a.Attempt]
		if other := r.sessions[a.Session]; other != nil {
			t.Errorf("session %d was given to two attempts", a.Session)
		}
		tr.session, tr.counter, tr.refresh = a.Session, a.Counter, a.Refresh
		r.sessions[a.Session] = tr
	case "refreshed":
		tr := r.sessions[a.Session]
		tr.counter, tr.refresh = a.Counter, a.Refresh
	case "ended":
		r.sessions[a.Session].ended = true
	}
}

// check holds the file against what was said since the last check.
func (r *record) check(t *testing.T, p *plant) {
	t.Helper()
	for _, tr := range r.last {
		id, err := splitpin.ParseAttemptID(tr.attempt)
		if err != nil {
			t.Fatal(err)
		}
		found, err := p.db.Load(t.Context(), splitpin.Reads{Grant: id.Number})
		if err != nil {
			t.Fatal(err)
		}
		at, err := p.db.Load(t.Context(), splitpin.Reads{Attempt: id.Number})
		if err != nil {
			t.Fatal(err)
		}
		a := at.Attempt
		if a == nil || a.ID != id {
			t.Errorf("attempt %s was started and is not there", tr.attempt)
			continue
		}
		messages, err := p.db.Messages(t.Context(), splitpin.MessageFilter{Attempt: id.Number}, 10)
		if err != nil || len(messages) != 1 {
			t.Errorf("attempt %s has %d messages queued, want 1 (%v)", tr.attempt, len(messages), err)
		}
		if tr.code != "" && (a.ProvedAt.IsZero() || found.Grant == nil || found.User == nil || found.User.ProvedAt.IsZero()) {
			t.Errorf("attempt %s was proved and the file does not know", tr.attempt)
			continue
		}
		if found.Grant == nil {
			continue // killed between the start and the proof
		}
		sessions, err := p.db.AuditEvents(t.Context(), splitpin.AuditFilter{User: found.User.Number, Kind: "session_opened"}, 10)
		if err != nil || len(sessions) > 1 {
			t.Errorf("attempt %s gave %d sessions (%v)", tr.attempt, len(sessions), err)
		}
		if tr.session == 0 {
			// Proved, and perhaps collected, when the kill came: the same collector
			// comes again and gets that session, or the only one.
			if spent := found.Grant.SpentAt; tr.code != "" && (spent.IsZero() || time.Since(spent) < 20*time.Second) {
				c, err := p.Collect(t.Context(), collectAgain(p, tr.code))
				if err != nil {
					t.Errorf("collecting attempt %s after the kill: %v", tr.attempt, err)
				} else if g := found.Grant.Session; g != 0 && g != c.Session.Number {
					t.Errorf("attempt %s gave session %d before the kill and %d after", tr.attempt, g, c.Session.Number)
				}
			}
			continue
		}
		if found.Grant.Session != tr.session || found.Grant.SpentAt.IsZero() || a.CollectedAt.IsZero() {
			t.Errorf("attempt %s gave session %d; its grant says %d, spent at %v", tr.attempt, tr.session, found.Grant.Session, found.Grant.SpentAt)
		}
		s, err := p.db.Load(t.Context(), splitpin.Reads{Session: tr.session})
		if err != nil || s.Session == nil {
			t.Errorf("session %d was opened and is not there (%v)", tr.session, err)
			continue
		}
		// A refresh or a logout may have been committed and not said; never the
		// other way round.
		if s.Session.Counter < tr.counter {
			t.Errorf("session %d was told counter %d and has %d", tr.session, tr.counter, s.Session.Counter)
		}
		if tr.ended && s.Session.RevokedAt.IsZero() {
			t.Errorf("session %d was ended and lives", tr.session)
		}
		again, err := p.Collect(t.Context(), collectAgain(p, tr.code))
		if err == nil && again.Session.Number != tr.session {
			t.Errorf("code of attempt %s gave session %d and then %d", tr.attempt, tr.session, again.Session.Number)
		}
		if s.Session.RevokedAt.IsZero() {
			if _, err := p.Refresh(t.Context(), signin.RefreshRequest{Project: p.shop, Token: splitpin.Secret(tr.refresh)}); err != nil {
				t.Errorf("the token that session %d was given last: %v", tr.session, err)
			}
		}
	}
	r.last = nil
}

func collectAgain(p *plant, code string) signin.CollectRequest {
	return signin.CollectRequest{Project: p.shop, Code: code, Verifier: stormVerifier, Destination: shopOrigin}
}
