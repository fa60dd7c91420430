package main

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"hash/maphash"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/splitpin/splitpin"
	"github.com/splitpin/splitpin/api"
)

var ctx = context.Background()

// addresses is how many client addresses the load comes from, unless a scenario
// says otherwise.
const addresses = 10_000

// A worker is one of those that send requests at once, with a connection of its
// own.
type worker struct {
	*conn
	server    *server
	code      chan string // where the sink puts what it found
	held      []*tokens   // this worker's share of the sessions
	next      int         // of held
	address   func(person int) int
	verifier  [43]byte
	oneDomain bool // signs in people of one mail domain only
	timer     *time.Timer
}

// tokens are what one session has.
type tokens struct{ access, refresh string }

// people hands out persons, and keeps what they signed in for.
type people struct {
	turn atomic.Int64
	mu   sync.Mutex
	live []*tokens
}

// person returns who comes next. Everybody comes once in a round, in an order that
// neither the table nor its indexes have.
func (s *server) person() int {
	const stride = 7_368_787 // prime, so that it meets everybody
	return int(s.people.turn.Add(1)*stride%int64(s.users)) + 1
}

// domains is how many mail domains people are spread over.
const domains = 10

func mailbox(person int) string {
	return "person" + strconv.Itoa(person) + "@mail" + strconv.Itoa(person%domains) + ".example.org"
}

func manyAddresses(person int) int { return person % addresses }
func oneAddress(int) int           { return 0 }

func (s *server) worker(address func(person int) int) (*worker, error) {
	c, err := dial(s.address)
	if err != nil {
		return nil, err
	}
	w := &worker{conn: c, server: s, code: make(chan string, 1), address: address, timer: time.NewTimer(time.Hour)}
	w.timer.Stop()
	return w, nil
}

// A refused is an answer other than 2xx.
type refused struct {
	status int
	body   string
}

func (r *refused) Error() string { return fmt.Sprintf("status %d: %s", r.status, r.body) }

var errNoMail = errors.New("no mail came for 30 seconds")

// ask sends a request and reads the answer.
func (w *worker) ask(method, path string, person int, header, body string) error {
	a := w.address(person)
	out := append(w.out[:0], method...)
	out = append(out, ' ')
	out = append(out, w.server.base...)
	out = append(out, path...)
	out = append(out, " HTTP/1.1\r\nHost: "...)
	out = append(out, w.server.address...)
	out = append(out, "\r\nX-Forwarded-For: 10.0."...)
	out = strconv.AppendInt(out, int64(a>>8), 10)
	out = append(out, '.')
	out = strconv.AppendInt(out, int64(a&0xff), 10)
	out = append(out, "\r\n"...)
	out = append(out, header...)
	if method == "POST" {
		out = append(out, "Content-Type: application/json\r\nContent-Length: "...)
		out = strconv.AppendInt(out, int64(len(body)), 10)
		out = append(out, "\r\n"...)
	}
	out = append(out, "\r\n"...)
	w.out = append(out, body...)
	if err := w.do(); err != nil {
		return err
	}
	if w.status/100 != 2 {
		return &refused{w.status, string(w.body)}
	}
	return nil
}

// signIn is the whole of it: ask, read the mail, answer, collect.
func (w *worker) signIn() (*tokens, error) {
	person := w.server.person()
	if w.oneDomain {
		person = max(person-person%domains, domains)
	}
	address := mailbox(person)
	var raw [32]byte
	rand.Read(raw[:])
	base64.RawURLEncoding.Encode(w.verifier[:], raw[:])
	challenge := sha256.Sum256(w.verifier[:])
	w.server.mail.expect(address, w.code)
	err := w.ask("POST", "/v1/attempts", person, "", `{"method":"email_code","identifier":"`+address+`","code_challenge":"`+
		base64.RawURLEncoding.EncodeToString(challenge[:])+`","origin":"`+origin+`"}`)
	if err != nil {
		return nil, err
	}
	id, secret := w.text("id"), w.text("secret")
	var code string
	w.timer.Reset(30 * time.Second)
	select {
	case code = <-w.code:
		w.timer.Stop()
	case <-w.timer.C:
		return nil, errNoMail
	}
	err = w.ask("POST", "/v1/attempts/"+id+"/answer", person, api.AttemptSecretHeader+": "+secret+"\r\n", `{"code":"`+code+`"}`)
	if err != nil {
		return nil, err
	}
	err = w.ask("POST", "/v1/token", person, "", `{"grant_type":"authorization_code","code":"`+w.text("authorization_code")+
		`","code_verifier":"`+string(w.verifier[:])+`","challenge_id":`+w.number("challenge_id")+`}`)
	if err != nil {
		return nil, err
	}
	t := &tokens{access: w.text("access_token"), refresh: w.text("refresh_token")}
	if t.access == "" || t.refresh == "" {
		return nil, errors.New("the answer to a sign-in has no tokens")
	}
	return t, nil
}

func (w *worker) session() *tokens {
	w.next++
	return w.held[w.next%len(w.held)]
}

// refresh rotates one of the worker's sessions.
func (w *worker) refresh() error {
	t := w.session()
	err := w.ask("POST", "/v1/token", w.server.person(), "", `{"grant_type":"refresh_token","refresh_token":"`+t.refresh+`"}`)
	if err != nil {
		return err
	}
	t.access, t.refresh = w.text("access_token"), w.text("refresh_token")
	if t.refresh == "" {
		return errors.New("the answer to a refresh has no token")
	}
	return nil
}

// signInOnce proves that the whole works.
func (s *server) signInOnce() error {
	w, err := s.worker(manyAddresses)
	if err != nil {
		return err
	}
	defer w.Close()
	if _, err := w.signIn(); err != nil {
		return fmt.Errorf("signing in for the first time: %w", err)
	}
	return nil
}

// sessions makes sure that n people are signed in.
func (s *server) sessions(n int) error {
	s.people.mu.Lock()
	defer s.people.mu.Unlock()
	missing := n - len(s.people.live)
	if missing <= 0 {
		return nil
	}
	fresh := make(chan *tokens, missing)
	problems := make(chan error, 32)
	var left atomic.Int64
	left.Store(int64(missing))
	for range cap(problems) {
		go func() {
			w, err := s.worker(manyAddresses)
			if err == nil {
				defer w.Close()
			}
			for err == nil && left.Add(-1) >= 0 {
				var t *tokens
				if t, err = w.signIn(); err == nil {
					fresh <- t
				}
			}
			problems <- err
		}()
	}
	for range cap(problems) {
		if err := <-problems; err != nil {
			return fmt.Errorf("signing people in: %w", err)
		}
	}
	close(fresh)
	for t := range fresh {
		s.people.live = append(s.people.live, t)
	}
	return nil
}

// idleUser returns how many bytes of disk one user takes.
func idleUser(open func() (splitpin.Store, error), size func() (int64, error)) (int64, error) {
	const users, batch = 50_000, 1000
	db, err := open()
	if err != nil {
		return 0, err
	}
	defer db.Close()
	now := time.Now().UTC().Truncate(time.Microsecond)
	seed := maphash.MakeSeed()
	add := func(users int) error {
		for made := 0; made < users; made += batch {
			var w splitpin.Writes
			for range batch {
				number, err := db.NextNumber(ctx)
				if err != nil {
					return err
				}
				w.Create = append(w.Create, &splitpin.User{Number: number, ID: splitpin.NewUUID(), Project: 1, Kind: splitpin.Email,
					Identifier: fmt.Sprintf("person%x@example.org", maphash.Comparable(seed, number)>>24), ProvedAt: now, CreatedAt: now, UpdatedAt: now})
				now = now.Add(time.Millisecond)
			}
			if err := db.Change(ctx, splitpin.Reads{}, func(*splitpin.Records) (splitpin.Writes, error) { return w, nil }); err != nil {
				return err
			}
		}
		return nil
	}
	// The log is moved into the file when it closes, so what is in the log either
	// way would count as if it were one user's: hence a difference, and many.
	if err := add(batch); err != nil {
		return 0, err
	}
	if err := db.Close(); err != nil {
		return 0, err
	}
	before, err := size()
	if err != nil {
		return 0, err
	}
	if db, err = open(); err != nil {
		return 0, err
	}
	if err := errors.Join(add(users), db.Close()); err != nil {
		return 0, err
	}
	after, err := size()
	return (after - before) / users, err
}
