package main_test

import (
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/emersion/go-smtp"

	"github.com/splitpin/splitpin/api"
)

// A running is the real binary as `splitpin serve`: SQLite with full sync, limits
// and audit on, mail delivered to an SMTP sink in this process, and client
// addresses taken from a trusted proxy header. What is measured is therefore what
// a person waits for, without the network.
type running struct {
	url    string // with the project's base path
	client *http.Client
	sink   *sink
	cmd    *exec.Cmd
	dir    string
}

var (
	startOnce sync.Once
	theServer *running
	startErr  error
)

// TestMain ends the server that the benchmarks share.
func TestMain(m *testing.M) {
	code := m.Run()
	if theServer != nil {
		theServer.stop()
	}
	os.Exit(code)
}

func server(b *testing.B) *running {
	b.Helper()
	startOnce.Do(func() { theServer, startErr = start() })
	if startErr != nil {
		b.Fatal(startErr)
	}
	return theServer
}

func start() (*running, error) {
	dir, err := os.MkdirTemp("", "splitpin-bench")
	if err != nil {
		return nil, err
	}
	binary := filepath.Join(dir, "splitpin")
	if out, err := exec.Command("go", "build", "-o", binary, "github.com/splitpin/splitpin/cmd/splitpin").CombinedOutput(); err != nil {
		return nil, fmt.Errorf("building: %w\n%s", err, out)
	}
	mail, err := newSink()
	if err != nil {
		return nil, err
	}
	key := filepath.Join(dir, "master.key")
	if out, err := exec.Command(binary, "master-key", "new", key).CombinedOutput(); err != nil {
		return nil, fmt.Errorf("making a master key: %w\n%s", err, out)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	listen := l.Addr().String()
	l.Close()
	host, port, _ := net.SplitHostPort(mail.addr)
	data := filepath.Join(dir, "data")
	env := append(os.Environ(), "SPLITPIN_PUBLIC_URL=http://"+listen, "SPLITPIN_LISTEN="+listen, "SPLITPIN_DATA="+data,
		"SPLITPIN_MASTER_KEY_FILE="+key, "SPLITPIN_TRUSTED_PROXIES=127.0.0.1", "SPLITPIN_LOG_LEVEL=error",
		"SPLITPIN_SMTP_HOST="+host, "SPLITPIN_SMTP_PORT="+port, "SPLITPIN_SMTP_TLS=none", "SPLITPIN_SMTP_FROM=login@example.com")
	r := &running{sink: mail, dir: dir}
	r.cmd = exec.Command(binary, "serve")
	r.cmd.Env, r.cmd.Stderr = env, os.Stderr
	if err := r.cmd.Start(); err != nil {
		return nil, err
	}
	r.client = &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 64}}
	for range 1000 {
		if answer, err := r.client.Get("http://" + listen + "/readyz"); err == nil {
			answer.Body.Close()
			break
		}
		runtime.Gosched()
		time.Sleep(5 * time.Millisecond) // a server that starts says nothing to wait for
	}
	create := exec.Command(binary, "project", "create", "--name", "Bench", "--origin", "https://shop.example")
	create.Env = env
	out, err := create.CombinedOutput()
	if err != nil {
		return nil, fmt.Errorf("making a project: %w\n%s", err, out)
	}
	id := regexp.MustCompile(`[0-9a-f-]{36}`).FindString(string(out))
	r.url = "http://" + listen + "/p/" + id + "/v1"
	for range 1000 { // the server notices the project within a second
		answer, err := r.client.Get(r.url + "/keys")
		if err == nil {
			answer.Body.Close()
			if answer.StatusCode == 200 {
				return r, nil
			}
		}
		time.Sleep(5 * time.Millisecond)
	}
	return nil, fmt.Errorf("the server does not know its project")
}

func (r *running) stop() {
	r.cmd.Process.Signal(syscall.SIGTERM)
	r.cmd.Wait()
	r.sink.server.Close()
	os.RemoveAll(r.dir)
}

// cpu is what the server has used so far, user and system.
func (r *running) cpu() time.Duration {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", r.cmd.Process.Pid))
	if err != nil {
		return 0
	}
	fields := strings.Fields(string(b[bytes.LastIndexByte(b, ')')+1:]))
	var user, system int64
	fmt.Sscan(fields[11], &user)
	fmt.Sscan(fields[12], &system)
	return time.Duration(user+system) * 10 * time.Millisecond // in clock ticks of 1/100 s
}

var people atomic.Int64

func (r *running) post(path string, n int64, secret string, body, into any) error {
	b, err := json.Marshal(body)
	if err != nil {
		return err
	}
	req, err := http.NewRequest("POST", r.url+path, bytes.NewReader(b))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/json")
	// At least 10,000 client addresses, as an office or a campus never is one.
	req.Header.Set("X-Forwarded-For", fmt.Sprintf("10.%d.%d.%d", n>>16&0xff, n>>8&0xff, n&0xff))
	if secret != "" {
		req.Header.Set(api.AttemptSecretHeader, secret)
	}
	answer, err := r.client.Do(req)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		return err
	}
	if answer.StatusCode/100 != 2 {
		return fmt.Errorf("%s: %s: %s", path, answer.Status, text)
	}
	return json.Unmarshal(text, into)
}

// signIn is the whole of it: ask, read the mail, answer, collect.
func (r *running) signIn() (api.Tokens, error) {
	var tokens api.Tokens
	n := people.Add(1)
	address := fmt.Sprintf("person%d@example.org", n)
	verifier := rand.Text() + rand.Text()
	sum := sha256.Sum256([]byte(verifier))
	arrived := r.sink.expect(address)
	var started api.StartResponse
	err := r.post("/attempts", n, "", api.StartRequest{Method: "email_code", Identifier: address,
		CodeChallenge: base64.RawURLEncoding.EncodeToString(sum[:]), Origin: "https://shop.example"}, &started)
	if err != nil {
		return tokens, err
	}
	var code string
	select {
	case code = <-arrived:
	case <-time.After(30 * time.Second):
		return tokens, fmt.Errorf("no mail came to %s", address)
	}
	var granted api.Granted
	if err := r.post("/attempts/"+started.Attempt.ID+"/answer", n, started.Secret, api.AnswerRequest{Code: code}, &granted); err != nil {
		return tokens, err
	}
	err = r.post("/token", n, "", api.TokenRequest{GrantType: "authorization_code", Code: granted.AuthorizationCode,
		CodeVerifier: verifier, ChallengeID: &granted.ChallengeID, RedirectURL: "https://shop.example"}, &tokens)
	return tokens, err
}

// BenchmarkSignInAlone is one person at a time: what somebody waits for.
func BenchmarkSignInAlone(b *testing.B) {
	r := server(b)
	before := r.cpu()
	for b.Loop() {
		if _, err := r.signIn(); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64((r.cpu()-before).Microseconds())/float64(b.N), "server-cpu-µs/op")
}

// BenchmarkSignIn is 32 people at a time, the mail included. The generator and
// the mail sink take their share of the same processors.
func BenchmarkSignIn(b *testing.B) {
	many(b, func(r *running) error { _, err := r.signIn(); return err })
}

// BenchmarkRefresh rotates 32 sessions at a time.
func BenchmarkRefresh(b *testing.B) {
	r := server(b)
	sessions := make(chan string, 32)
	for range cap(sessions) {
		tokens, err := r.signIn()
		if err != nil {
			b.Fatal(err)
		}
		sessions <- tokens.RefreshToken
	}
	many(b, func(r *running) error {
		token := <-sessions
		var tokens api.Tokens
		err := r.post("/token", people.Add(1), "", api.TokenRequest{GrantType: "refresh_token", RefreshToken: token}, &tokens)
		sessions <- tokens.RefreshToken
		return err
	})
}

// BenchmarkKeySet fetches what verifiers fetch.
func BenchmarkKeySet(b *testing.B) {
	many(b, func(r *running) error {
		answer, err := r.client.Get(r.url + "/keys")
		if err != nil {
			return err
		}
		defer answer.Body.Close()
		_, err = io.Copy(io.Discard, answer.Body)
		return err
	})
}

func many(b *testing.B, one func(*running) error) {
	r := server(b)
	b.SetParallelism((32 + runtime.GOMAXPROCS(0) - 1) / runtime.GOMAXPROCS(0))
	before, started := r.cpu(), time.Now()
	b.ResetTimer()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			if err := one(r); err != nil {
				b.Error(err)
				return
			}
		}
	})
	b.ReportMetric(float64(b.N)/time.Since(started).Seconds(), "op/s")
	b.ReportMetric(float64((r.cpu()-before).Microseconds())/float64(b.N), "server-cpu-µs/op")
}

// A sink is a mail server that hands each code to whoever waits for it.
type sink struct {
	addr    string
	server  *smtp.Server
	waiting sync.Map // address → chan string
}

func newSink() (*sink, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	s := &sink{addr: l.Addr().String()}
	s.server = smtp.NewServer(smtp.BackendFunc(func(*smtp.Conn) (smtp.Session, error) { return &letter{sink: s}, nil }))
	s.server.Domain = "localhost"
	go s.server.Serve(l)
	return s, nil
}

func (s *sink) expect(address string) <-chan string {
	arrived := make(chan string, 1)
	s.waiting.Store(address, arrived)
	return arrived
}

// A letter is one SMTP conversation.
type letter struct {
	sink *sink
	to   string
}

var codeInSubject = regexp.MustCompile(`(?m)^Subject: ([0-9]{6})`)

func (l *letter) Mail(string, *smtp.MailOptions) error      { return nil }
func (l *letter) Rcpt(to string, _ *smtp.RcptOptions) error { l.to = to; return nil }
func (l *letter) Reset()                                    {}
func (l *letter) Logout() error                             { return nil }

func (l *letter) Data(r io.Reader) error {
	b, err := io.ReadAll(r)
	if err != nil {
		return err
	}
	found := codeInSubject.FindSubmatch(b)
	if waiting, ok := l.sink.waiting.LoadAndDelete(l.to); ok && found != nil {
		waiting.(chan string) <- string(found[1])
	}
	return nil
}
