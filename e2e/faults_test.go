package e2e

import (
	"net/http"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/splitpin/splitpin/api"
)

// TestFailingDisk makes the disk under the database fail while people sign in: a sync
// that is refused, and a disk that is full. They are told to try again, the
// operator is told why, nothing that was acknowledged is lost, and once the disk
// works again the server does too, by itself.
func TestFailingDisk(t *testing.T) {
	for _, fault := range []struct {
		name, inject string
		cause        string // what the operator must be able to read
	}{
		{"sync refused", "fsync,fdatasync:error=EIO", "disk I/O error"},
		{"write refused", "pwrite64,write:error=EIO", "disk I/O error"},
		{"disk full", "pwrite64,write,fallocate:error=ENOSPC", "disk is full"},
	} {
		t.Run(fault.name, func(t *testing.T) {
			post := startPost(t)
			s := newServe(t, newClock(t), post)
			s.start(t)
			p := s.firstProject(t)
			settled := newPerson(p, post, 0)
			settled.signsIn(t)
			halfway := newPerson(p, post, 0)
			code := halfway.starts(t)

			calls, _, _ := strings.Cut(fault.inject, ":")
			trace := s.strace(t, "-P", s.database(), "-P", s.database()+"-wal", "-e", "trace="+calls, "-e", "inject="+fault.inject)
			refusedByFault := 0
			for range 5 { // more than once: the first failure must not leave the server in another state
				stranger := newPerson(p, post, 0)
				stranger.refused(t, "/attempts", nil, stranger.startRequest())
				halfway.refused(t, "/attempts/"+halfway.attempt.Attempt.ID+"/answer",
					http.Header{api.AttemptSecretHeader: {halfway.attempt.Secret}}, api.AnswerRequest{Code: code})
				settled.refused(t, "/token", nil, api.TokenRequest{GrantType: "refresh_token", RefreshToken: settled.newest.RefreshToken})
				refusedByFault += 3
			}
			if out := s.program.out.String(); !strings.Contains(out, fault.cause) {
				t.Errorf("%d steps failed, and the log does not say %q:\n%s", refusedByFault, fault.cause, out)
			}
			trace.detach(t)

			// Those who were turned away come back, and find things as they left them.
			if !halfway.askAnswer(t.Context(), code) || !halfway.askCollect(t.Context()) {
				t.Errorf("after the fault the code does not sign in: %v", halfway.trouble)
			}
			if !settled.askRefresh(t.Context()) {
				t.Errorf("after the fault the session is gone: %v", settled.trouble)
			}
			later := newPerson(p, post, 0)
			later.signsIn(t)

			// What was said since the fault is as durable as before it.
			s.program.kill()
			s.start(t)
			for _, who := range []*person{settled, halfway, later} {
				who.afterRestart(t, new(tally))
			}
		})
	}
}

// TestSilentMailServer has the mail server accept connections and say nothing. Nobody
// who starts waits for it, and when it speaks again every message arrives.
func TestSilentMailServer(t *testing.T) {
	post := startPost(t)
	s := newServe(t, newClock(t), post)
	s.start(t)
	p := s.firstProject(t)
	post.silence(true)
	var people []*person
	for range 20 { // more than there are connections
		who := newPerson(p, post, 0)
		if !who.askStart(t.Context()) {
			t.Fatalf("with a silent mail server nobody can start: %v", who.trouble)
		}
		people = append(people, who)
	}
	if took := people[19].start.acknowledged.Sub(people[0].start.asked); took > 10*time.Second {
		t.Errorf("twenty starts took %v: they wait for the mail server", took)
	}
	post.silence(false)
	for _, who := range people {
		who.finishes(t)
	}
}

// TestClockJumps moves the server's clock by an hour, forth and back, under people
// who are signed in or about to be.
func TestClockJumps(t *testing.T) {
	clock, post := newClock(t), startPost(t)
	s := newServe(t, clock, post)
	s.start(t)
	p := s.firstProject(t)
	settled := newPerson(p, post, 0)
	settled.signsIn(t)
	for _, jump := range []time.Duration{time.Hour, -time.Hour, -time.Hour, time.Hour} {
		halfway := newPerson(p, post, 0)
		code := halfway.starts(t)
		clock.advance(t, jump)
		if !settled.askRefresh(t.Context()) {
			t.Fatalf("a jump by %v ends a session: %v", jump, settled.trouble)
		}
		settled.onlyOnce(t)

		// An attempt whose time is over says so. One that seems to come from the future
		// is good until it expires.
		if jump > 0 {
			status, text, err := halfway.request(t.Context(), "POST", "/attempts/"+halfway.attempt.Attempt.ID+"/answer",
				http.Header{api.AttemptSecretHeader: {halfway.attempt.Secret}}, api.AnswerRequest{Code: code})
			if err != nil || status != http.StatusUnauthorized || decode[api.Problem](t, text).Code != "attempt_over" {
				t.Errorf("an hour later the code: got %d %s, %v; want 401 attempt_over", status, text, err)
			}
		} else {
			halfway.finishes(t)
		}
		// And whoever begins now is not kept out by limits that lie in the future.
		for range 3 {
			newPerson(p, post, 0).signsIn(t)
		}
	}
}

func (who *person) startRequest() api.StartRequest {
	return api.StartRequest{Method: "email_code", Identifier: who.address, CodeChallenge: who.challenge, RedirectURL: who.project.origin + "/"}
}

// starts begins to sign in and returns the code.
func (who *person) starts(t *testing.T) string {
	t.Helper()
	if !who.askStart(t.Context()) {
		t.Fatalf("starting: %v", who.trouble)
	}
	return who.receives(t)
}

func (who *person) receives(t *testing.T) string {
	t.Helper()
	var code string
	until(t, 3*time.Minute, "the message arrives", func() bool {
		code, _ = who.post.has(who.address)
		return code != ""
	})
	return code
}

// finishes signs in a person who has started.
func (who *person) finishes(t *testing.T) {
	t.Helper()
	if code := who.receives(t); !who.askAnswer(t.Context(), code) || !who.askCollect(t.Context()) {
		t.Fatalf("signing in: %v", who.trouble)
	}
}

func (who *person) signsIn(t *testing.T) {
	t.Helper()
	who.starts(t)
	who.finishes(t)
}

// refused asks for something that cannot be done now, and looks that the refusal
// says so: come again, and when.
func (who *person) refused(t *testing.T, path string, header http.Header, body any) {
	t.Helper()
	begun := time.Now()
	status, text, err := who.request(t.Context(), "POST", path, header, body)
	if err != nil {
		t.Fatalf("%s: %v", path, err)
	}
	problem := decode[api.Problem](t, text)
	if status != http.StatusServiceUnavailable || problem.Code != "unavailable" || problem.RetryAfter == 0 {
		t.Errorf("%s: got %d %s; want 503 unavailable and when to come back", path, status, text)
	}
	if took := time.Since(begun); took > deadlines.step {
		t.Errorf("%s: the refusal took %v", path, took)
	}
}

// detach lets the server run on untraced.
func (s *strace) detach(t *testing.T) {
	t.Helper()
	if err := s.cmd.Process.Signal(os.Signal(syscall.SIGINT)); err != nil {
		t.Fatal(err)
	}
	select {
	case <-s.exited:
	case <-time.After(deadlines.step):
		t.Fatal("strace does not detach")
	}
}
