package e2e

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/splitpin/splitpin/api/apitest"
)

// A program is a running process whose output is kept for the report of a
// failing test.
type program struct {
	cmd    *exec.Cmd
	exited chan struct{} // closed when it ended
	out    output
}

// launch starts a program. It ends with the test, and what it printed is part
// of the log of a failed one.
func launch(t *testing.T, dir string, env []string, name string, args ...string) *program {
	t.Helper()
	p := &program{cmd: exec.Command(name, args...), exited: make(chan struct{})}
	p.cmd.Dir = dir
	p.cmd.Env = append(os.Environ(), env...)
	p.cmd.Stdout, p.cmd.Stderr = &p.out, &p.out
	if err := p.cmd.Start(); err != nil {
		t.Fatalf("starting %s: %v", name, err)
	}
	go func() {
		p.cmd.Wait()
		close(p.exited)
	}()
	t.Cleanup(func() {
		p.stop()
		if t.Failed() {
			t.Logf("%s printed:\n%s", filepath.Base(name), p.out.String())
		}
	})
	return p
}

// stop asks the program to end, and after five seconds ends it.
func (p *program) stop() {
	p.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-p.exited:
	case <-time.After(5 * time.Second):
		p.kill()
	}
}

// kill ends the program at once, as a power cut would.
func (p *program) kill() {
	p.cmd.Process.Kill()
	<-p.exited
}

// ready waits until url answers.
func (p *program) ready(t *testing.T, url string) {
	t.Helper()
	until(t, deadlines.start, url+" answers", func() bool {
		select {
		case <-p.exited:
			t.Fatalf("the program ended while starting:\n%s", p.out.String())
		default:
		}
		answer, err := http.Get(url)
		if err != nil {
			return false
		}
		answer.Body.Close()
		return answer.StatusCode < 500
	})
}

// until polls a condition of another process and fails the test if it does not
// come true in time.
func until(t *testing.T, limit time.Duration, what string, condition func() bool) {
	t.Helper()
	deadline := time.Now().Add(limit)
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for !condition() {
		if time.Now().After(deadline) {
			t.Fatalf("waited %v in vain until %s", limit, what)
		}
		<-tick.C
	}
}

// output collects what a program prints.
type output struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.buf.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.buf.String()
}

// freeAddr returns a loopback address that was free a moment ago, and that no other test
// was given.
func freeAddr(t *testing.T) string {
	t.Helper()
	for {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		addr := l.Addr().String()
		l.Close()
		if _, taken := givenAddrs.LoadOrStore(addr, true); !taken {
			return addr
		}
	}
}

var givenAddrs sync.Map

func port(addr string) string {
	_, port, _ := net.SplitHostPort(addr)
	return port
}

// ------------------------------------------------------------- splitpin dev

// A dev is a running "splitpin dev" with a data folder of its own.
type dev struct {
	*program
	url        string // of the server: http://localhost:PORT
	demo       string // of the demo app
	data       string // folder
	inboxToken string
	binary     string
	env        []string // of the server, and of commands on its data

	mu   sync.Mutex
	seen map[string]string // id of the newest message a test took, by address
}

// project is one project of it. Base paths hang below /p/ID.
type project struct {
	*dev
	id, secret string
	origin     string // the first that is listed
	isDefault  bool
}

// startDev runs the program on ports and a data folder of its own.
func startDev(t *testing.T) *dev {
	t.Helper()
	return startDevWith(t, built)
}

func startDevWith(t *testing.T, binary string, env ...string) *dev {
	t.Helper()
	return startDevAt(t, binary, freeAddr(t), env...)
}

func startDevAt(t *testing.T, binary, listen string, env ...string) *dev {
	t.Helper()
	demo := freeAddr(t)
	d := &dev{
		url:    "http://localhost:" + port(listen),
		demo:   "http://localhost:" + port(demo),
		data:   filepath.Join(t.TempDir(), "data"),
		binary: binary,
		seen:   map[string]string{},
	}
	d.env = env
	d.program = launch(t, t.TempDir(), env, binary, "dev", "--listen", listen, "--demo-listen", demo, "--data", d.data)
	d.ready(t, d.url+"/readyz")
	token := regexp.MustCompile(`/inbox\S*[?&#]token=([A-Za-z0-9_-]+)`)
	until(t, deadlines.start, "the address of the inbox is printed", func() bool {
		if m := token.FindStringSubmatch(d.out.String()); m != nil {
			d.inboxToken = m[1]
		}
		return d.inboxToken != ""
	})
	return d
}

// command runs another command of the program on the same data folder, while
// the server runs.
func (d *dev) command(t *testing.T, args ...string) string {
	t.Helper()
	return d.run(t, append(args, "--data", d.data)...)
}

// run runs a command of the program as it stands.
func (d *dev) run(t *testing.T, args ...string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), deadlines.start)
	defer cancel()
	cmd := exec.CommandContext(ctx, d.binary, args...)
	cmd.Env = append(os.Environ(), d.env...)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("splitpin %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return string(out)
}

// createProject makes a project that may be used from the given origins, and
// waits until the running server knows it.
func (d *dev) createProject(t *testing.T, name string, origins ...string) *project {
	t.Helper()
	return d.createProjectWith(t, nil, name, origins...)
}

// createProjectWith does so with more flags.
func (d *dev) createProjectWith(t *testing.T, flags []string, name string, origins ...string) *project {
	t.Helper()
	p := &project{dev: d, id: newUUID(), origin: origins[0]}
	args := append([]string{"project", "create", "--name", name, "--id", p.id}, flags...)
	for _, origin := range origins {
		args = append(args, "--origin", origin)
	}
	out := d.command(t, args...)
	if !strings.Contains(out, p.id) {
		t.Fatalf("project create does not print the id it was given:\n%s", out)
	}
	if m := regexp.MustCompile(`(?im)secret\W+(\S{20,})`).FindStringSubmatch(out); m != nil {
		p.secret = m[1]
	} else {
		t.Fatalf("project create prints no secret:\n%s", out)
	}
	p.known(t)
	return p
}

// defaultProject returns the project that dev made.
func (d *dev) defaultProject(t *testing.T) *project {
	t.Helper()
	var info struct {
		ID string `json:"id"`
	}
	answer, body := call(t, "GET", d.url+"/v1/project", nil, nil)
	if err := json.Unmarshal(body, &info); err != nil || answer.StatusCode != http.StatusOK || info.ID == "" {
		t.Fatalf("GET /v1/project: %s %s", answer.Status, body)
	}
	return &project{dev: d, id: info.ID, origin: d.demo, isDefault: true}
}

// known waits until the running server has noticed the project.
func (p *project) known(t *testing.T) {
	t.Helper()
	until(t, deadlines.step, "the server knows the project", func() bool {
		answer, _ := call(t, "GET", p.v1()+"/project", nil, nil)
		return answer.StatusCode == http.StatusOK
	})
}

// issuer is the iss claim of the project's tokens.
func (p *project) issuer() string {
	if p.isDefault {
		return p.url
	}
	return p.url + "/p/" + p.id
}

func (p *project) v1() string     { return p.url + "/p/" + p.id + "/v1" }
func (p *project) cotter() string { return p.url + "/p/" + p.id + "/api/v0" }

// -------------------------------------------------------------------- inbox

type message struct {
	ID      string `json:"id"`
	To      string `json:"to"`
	Channel string `json:"channel"`
	Subject string `json:"subject"`
	Text    string `json:"text"`
	HTML    string `json:"html"`
	Code    string `json:"code"`
	Link    string `json:"link"`
	At      string `json:"at"`
}

// message waits for the next message to an address that no call returned yet.
func (d *dev) message(t *testing.T, to string) message {
	t.Helper()
	d.mu.Lock()
	defer d.mu.Unlock()
	query := url.Values{"to": {to}, "timeout": {"20s"}}
	if after := d.seen[to]; after != "" {
		query.Set("after", after)
	}
	answer, body := call(t, "GET", d.url+"/inbox/api/wait?"+query.Encode(), http.Header{"Inbox-Token": {d.inboxToken}}, nil)
	var m message
	if err := json.Unmarshal(body, &m); err != nil || answer.StatusCode != http.StatusOK {
		t.Fatalf("waiting for a message to %s: %s %s", to, answer.Status, body)
	}
	d.seen[to] = m.ID
	return m
}

// messages lists the messages to an address that have arrived.
func (d *dev) messages(t *testing.T, to string) []message {
	t.Helper()
	answer, body := call(t, "GET", d.url+"/inbox/api/messages?to="+url.QueryEscape(to), http.Header{"Inbox-Token": {d.inboxToken}}, nil)
	var list []message
	if err := json.Unmarshal(body, &list); err != nil || answer.StatusCode != http.StatusOK {
		t.Fatalf("listing the messages to %s: %s %s", to, answer.Status, body)
	}
	return list
}

// code waits for the next message with a code, and returns the code: a notice about
// something else may come before it.
func (d *dev) code(t *testing.T, to string) string {
	t.Helper()
	for range 5 {
		if m := d.message(t, to); m.Code != "" {
			return m.Code
		}
	}
	t.Fatalf("five messages to %s hold no code", to)
	return ""
}

// wrongCode returns a code of the same form that is certainly not that one; n
// from 1 to 9 gives different ones.
func wrongCode(code string, n int) string {
	last := int(code[len(code)-1] - '0')
	return fmt.Sprintf("%s%d", code[:len(code)-1], (last+n)%10)
}

// --------------------------------------------------------------------- HTTP

// call makes one request. A body that is not nil is sent as JSON, a
// json.RawMessage as it is.
func call(t *testing.T, method, target string, header http.Header, body any) (*http.Response, []byte) {
	t.Helper()
	answer, text, err := try(t.Context(), http.DefaultClient, method, target, header, body)
	if err != nil {
		if strings.HasSuffix(target, "/readyz") || errors.Is(err, syscall.ECONNREFUSED) {
			return &http.Response{Status: err.Error()}, nil
		}
		t.Fatalf("%s %s: %v", method, target, err)
	}
	return answer, text
}

// try is call for those who expect the other side to die.
func try(ctx context.Context, client *http.Client, method, target string, header http.Header, body any) (*http.Response, []byte, error) {
	var reader io.Reader
	if body != nil {
		text, err := json.Marshal(body)
		if err != nil {
			return nil, nil, err
		}
		reader = bytes.NewReader(text)
	}
	request, err := http.NewRequestWithContext(ctx, method, target, reader)
	if err != nil {
		return nil, nil, err
	}
	for name, values := range header {
		request.Header[http.CanonicalHeaderKey(name)] = values
	}
	if body != nil {
		request.Header.Set("Content-Type", "application/json")
	}
	answer, err := client.Do(request)
	if err != nil {
		return nil, nil, err
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		return nil, nil, err
	}
	return answer, text, described(answer, text)
}

// errUndescribed is wrapped by what try returns for an answer of /v1 that
// api/openapi.yaml does not describe.
var errUndescribed = errors.New("the OpenAPI description says otherwise")

// described holds an answer of /v1 against the OpenAPI description. Every answer
// that any test here sees goes through it, the browser's too.
func described(answer *http.Response, body []byte) error {
	request := answer.Request
	if !strings.Contains(request.URL.Path, "/v1/") || request.Method == http.MethodOptions {
		return nil
	}
	description, err := apitest.Load()
	if err != nil {
		return err
	}
	if err := description.Check(request.Method, request.URL.Path, answer.StatusCode, answer.Header, body); err != nil {
		return fmt.Errorf("%w: %w", errUndescribed, err)
	}
	return nil
}

// decode reads JSON into a value of type T, or fails.
func decode[T any](t *testing.T, text []byte) T {
	t.Helper()
	var v T
	if err := json.Unmarshal(text, &v); err != nil {
		t.Fatalf("decoding %s: %v", text, err)
	}
	return v
}

func newUUID() string {
	var b [16]byte
	rand.Read(b[:])
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}
