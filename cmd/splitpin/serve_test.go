package main

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"runtime/metrics"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/splitpin/splitpin/keyring"
)

// patience is how long a test waits for another process before it fails.
const patience = 30 * time.Second

// A process is the program as an operator runs it.
type process struct {
	t      testing.TB
	cmd    *exec.Cmd
	exited chan struct{}
	mu     sync.Mutex
	out    bytes.Buffer
	lines  chan string // what it prints, until nobody listens
	folder string
	url    string
}

// serving starts 'splitpin serve' on a folder of its own and waits for its
// address.
func serving(t testing.TB, folder string, settings ...string) *process {
	t.Helper()
	p := started(t, folder, serveEnv(t, folder, settings...), "serve")
	p.url = "http://" + p.await(`msg=serving .*listen=(\S+)`)
	return p
}

// serveEnv is a configuration of serve, with a master key in folder. settings are
// NAME=value, and win.
func serveEnv(t testing.TB, folder string, settings ...string) map[string]string {
	t.Helper()
	key := filepath.Join(folder, "key")
	if _, err := os.Stat(key); err != nil {
		if err := keyring.WriteMasterFile(key, keyring.NewMaster()); err != nil {
			t.Fatal(err)
		}
	}
	env := map[string]string{
		"SPLITPIN_PUBLIC_URL": "https://login.example.com", "SPLITPIN_LISTEN": "127.0.0.1:0",
		"SPLITPIN_DATA": filepath.Join(folder, "data"), "SPLITPIN_MASTER_KEY_FILE": key,
		"SPLITPIN_SMTP_HOST": "127.0.0.1", "SPLITPIN_SMTP_PORT": "1", "SPLITPIN_SMTP_TLS": "none",
		"SPLITPIN_SMTP_FROM": "login@example.com",
	}
	for _, pair := range settings {
		name, value, _ := strings.Cut(pair, "=")
		env[name] = value
	}
	return env
}

func started(t testing.TB, folder string, env map[string]string, args ...string) *process {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	p := &process{t: t, folder: folder, exited: make(chan struct{}), lines: make(chan string, 1000)}
	p.cmd = exec.Command(self, args...)
	p.cmd.Env = append(os.Environ(), "TEST_RUN_MAIN=1")
	for k, v := range env {
		p.cmd.Env = append(p.cmd.Env, k+"="+v)
	}
	r, w := io.Pipe()
	p.cmd.Stdout, p.cmd.Stderr = w, w
	p.cmd.WaitDelay = 5 * time.Second
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		for s := bufio.NewScanner(r); s.Scan(); {
			p.mu.Lock()
			p.out.WriteString(s.Text() + "\n")
			p.mu.Unlock()
			select {
			case p.lines <- s.Text():
			default: // nobody listens any more
			}
		}
	}()
	go func() {
		p.cmd.Wait()
		w.Close()
		close(p.exited)
	}()
	t.Cleanup(func() {
		p.cmd.Process.Kill()
		<-p.exited
		if t.Failed() {
			p.mu.Lock()
			defer p.mu.Unlock()
			t.Logf("the server printed:\n%s", p.out.String())
		}
	})
	return p
}

// await returns what the group of pattern finds in a line that is printed.
func (p *process) await(pattern string) string {
	p.t.Helper()
	re, limit := regexp.MustCompile(pattern), time.After(patience)
	for {
		select {
		case line := <-p.lines:
			if m := re.FindStringSubmatch(line); m != nil {
				return m[len(m)-1]
			}
		case <-limit:
			p.t.Fatalf("nothing was printed that matches %s", pattern)
		}
	}
}

func (p *process) status(path string) int {
	answer, err := http.Get(p.url + path)
	if err != nil {
		return 0
	}
	answer.Body.Close()
	return answer.StatusCode
}

// until asks again and again, because another process does it in its own time.
func (p *process) until(what string, is func() bool) {
	p.t.Helper()
	limit, tick := time.After(patience), time.NewTicker(10*time.Millisecond)
	defer tick.Stop()
	for !is() {
		select {
		case <-limit:
			p.t.Fatalf("waited in vain until %s", what)
		case <-tick.C:
		}
	}
}

// held sends a request whose body does not end yet. finish ends it and returns
// the status line.
func (p *process) held() (finish func() string) {
	p.t.Helper()
	conn, err := net.Dial("tcp", strings.TrimPrefix(p.url, "http://"))
	if err != nil {
		p.t.Fatal(err)
	}
	p.t.Cleanup(func() { conn.Close() })
	fmt.Fprintf(conn, "POST /v1/attempts HTTP/1.1\r\nHost: login.example.com\r\nContent-Type: application/json\r\n"+
		"Content-Length: 2\r\nExpect: 100-continue\r\n\r\n")
	in := bufio.NewReader(conn)
	conn.SetReadDeadline(time.Now().Add(patience))
	if line, err := in.ReadString('\n'); err != nil || !strings.Contains(line, "100") {
		p.t.Fatalf("the server does not read the request: %q %v", line, err)
	}
	return func() string {
		io.WriteString(conn, "{}")
		in.ReadString('\n') // the empty line after 100
		line, err := in.ReadString('\n')
		if err != nil {
			return err.Error()
		}
		return line
	}
}

// Asked to end, the server says that it is going away, answers what it had begun,
// and leaves with success.
func TestServeDrains(t *testing.T) {
	p := serving(t, t.TempDir())
	if s := p.status("/readyz"); s != http.StatusOK {
		t.Fatalf("/readyz says %d, want 200", s)
	}
	if s := p.status("/healthz"); s != http.StatusOK {
		t.Errorf("/healthz says %d, want 200", s)
	}
	create(t, p)
	finish := p.held()
	p.cmd.Process.Signal(syscall.SIGTERM)
	p.await("msg=stopping")
	select {
	case <-p.exited:
		t.Fatal("the server left while a request was under way")
	default:
	}
	if line := finish(); !strings.Contains(line, "400 Bad Request") {
		t.Errorf("the request under way got %q, want the answer it would have had", line)
	}
	p.ended(0)
}

// One SQLite folder has one server, until that ends, however it ends.
func TestServeIsAlone(t *testing.T) {
	folder := t.TempDir()
	p := serving(t, folder)
	env := map[string]string{"SPLITPIN_LISTEN": "127.0.0.1:0", "SPLITPIN_SMTP_HOST": "127.0.0.1", "SPLITPIN_SMTP_FROM": "login@example.com"}
	second := started(t, folder, env, "serve", "--config", configFile(t, folder))
	second.await("(is served already, at https://login.example.com. Stop that server, or choose another folder with data in the configuration)")
	second.ended(1)
	create(t, p) // commands work beside it
	p.cmd.Process.Kill()
	p.ended(-1)
	serving(t, folder)
}

// A project that nobody can sign in to is no secret.
func TestServeTellsOfProjectsWithoutOrigin(t *testing.T) {
	folder := t.TempDir()
	p := serving(t, folder)
	id := regexp.MustCompile(`API key id +(\S+)`).FindStringSubmatch(p.command("project", "create", "--name", "Shop"))[1]
	p.cmd.Process.Signal(syscall.SIGTERM)
	p.ended(0)
	serving(t, folder).await("level=WARN msg=\"this project lists no origin, so nobody can sign in: name its site with (.splitpin project set " + id + " --add-origin)")
}

// While it drains the server says so to load balancers, and serves everybody else.
func TestServeIsNotReadyWhileItDrains(t *testing.T) {
	p := serving(t, t.TempDir(), "SPLITPIN_DRAIN=3s")
	create(t, p)
	p.cmd.Process.Signal(syscall.SIGTERM)
	p.await("msg=stopping")
	p.until("/readyz says so", func() bool { return p.status("/readyz") == http.StatusServiceUnavailable })
	if s := p.get("/v1/project"); s != http.StatusOK {
		t.Errorf("another request is answered with %d, want 200", s)
	}
	p.ended(0)
}

// The second signal ends the server at once.
func TestServeSecondSignal(t *testing.T) {
	p := serving(t, t.TempDir())
	create(t, p)
	p.held()
	p.cmd.Process.Signal(syscall.SIGTERM)
	p.await("msg=stopping")
	p.cmd.Process.Signal(syscall.SIGTERM)
	p.await("ended at once")
	p.ended(1)
}

// ended waits for the end of the process.
func (p *process) ended(status int) {
	p.t.Helper()
	select {
	case <-p.exited:
	case <-time.After(patience):
		p.t.Fatal("the server does not end")
	}
	if got := p.cmd.ProcessState.ExitCode(); got != status {
		p.t.Errorf("the server ended with %v, want exit status %d", p.cmd.ProcessState, status)
	}
}

// create makes the default project while the server runs, which notices.
func create(t testing.TB, p *process) {
	t.Helper()
	p.command("project", "create", "--name", "Shop", "--origin", "https://shop.example")
	p.until("the server knows the project", func() bool { return p.get("/v1/project") == http.StatusOK })
}

// get asks under the public name.
func (p *process) get(path string) int {
	r, err := http.NewRequest("GET", p.url+path, nil)
	if err != nil {
		p.t.Fatal(err)
	}
	r.Host = "login.example.com"
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		return 0
	}
	answer.Body.Close()
	return answer.StatusCode
}

// command runs another command with the server's configuration, in this process.
func (p *process) command(args ...string) string {
	p.t.Helper()
	var out bytes.Buffer
	if status := run(context.Background(), terminal{strings.NewReader(""), &out, &out}, append(args,
		"--config", configFile(p.t, p.folder))); status != 0 {
		p.t.Fatalf("splitpin %s:\n%s", strings.Join(args, " "), out.String())
	}
	return out.String()
}

func configFile(t testing.TB, folder string) string {
	t.Helper()
	file := filepath.Join(folder, "splitpin.yaml")
	text := fmt.Sprintf("public_url: https://login.example.com\ndata: %s/data\nmaster_key_file: %s/key\n", folder, folder)
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// The master key is changed under a running server, first as routine, then
// because strangers know it.
func TestServeWhileTheMasterKeyChanges(t *testing.T) {
	p := serving(t, t.TempDir())
	create(t, p)
	next := func(name string) string {
		path := filepath.Join(p.folder, name)
		if err := keyring.WriteMasterFile(path, keyring.NewMaster()); err != nil {
			t.Fatal(err)
		}
		return path
	}
	put := func(file string) { // in the place of the old one
		if err := os.Rename(file, filepath.Join(p.folder, "key")); err != nil {
			t.Fatal(err)
		}
	}

	second := next("second")
	p.command("master-key", "change", "--new-file", second)
	put(second)
	p.command("project", "set", "--name", "Shop two") // with the new key
	if s := p.status("/readyz"); s != http.StatusOK {
		t.Fatalf("after the change /readyz says %d, want 200", s)
	}

	keys := func() string {
		r, _ := http.NewRequest("GET", p.url+"/v1/keys", nil)
		r.Host = "login.example.com"
		answer, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		defer answer.Body.Close()
		b, _ := io.ReadAll(answer.Body)
		return string(b)
	}
	before := keys()
	third := next("third")
	p.command("master-key", "change", "--compromised", "--yes", "--new-file", third)
	p.until("the server is not ready", func() bool { return p.status("/readyz") == http.StatusServiceUnavailable })
	// The data keys are dropped a moment before the key set is made anew.
	p.until("the old keys are no longer published", func() bool { return keys() != before })
	put(third)
	p.until("the server found its new key", func() bool { return p.status("/readyz") == http.StatusOK })
	p.until("new keys are published", func() bool { now := keys(); return now != before && strings.Contains(now, `"kid"`) })
	p.cmd.Process.Signal(syscall.SIGTERM)
	p.ended(0)
}

// A name of somebody else that was made to point to this machine opens nothing on a
// listener that only this machine reaches.
func TestRebindingRefused(t *testing.T) {
	s := httptest.NewServer(rebindingRefused(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "all of it") })))
	defer s.Close()
	for host, want := range map[string]int{"": 200, "localhost": 200, "localhost:9181": 200, "127.0.0.1:9181": 200, "[::1]:9181": 200, "[::1]": 200,
		"evil.example": 421, "evil.example:9181": 421, "127.0.0.1.evil.example": 421, "10.0.0.7:9181": 421} {
		r, err := http.NewRequest("GET", s.URL+"/metrics", nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Host = host
		answer, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		body, _ := io.ReadAll(answer.Body)
		answer.Body.Close()
		if answer.StatusCode != want || strings.Contains(string(body), "all of it") != (want == 200) {
			t.Errorf("Host %q: got %d %q, want %d", host, answer.StatusCode, body, want)
		}
	}

	// On an address that others reach, every name may be ours.
	r := httptest.NewRequest("GET", "/metrics", nil)
	r.Host = "metrics.example.com"
	r = r.WithContext(context.WithValue(r.Context(), http.LocalAddrContextKey, &net.TCPAddr{IP: net.IPv4(10, 0, 0, 7), Port: 9181}))
	w := httptest.NewRecorder()
	rebindingRefused(http.NotFoundHandler()).ServeHTTP(w, r)
	if w.Code != http.StatusNotFound {
		t.Errorf("on a private network: got %d, want what the handler says", w.Code)
	}
}

func TestHeapGrowth(t *testing.T) {
	for lives, want := range map[uint64]int{0: 200, 4 << 20: 200, 8 << 20: 150, 12 << 20: 100, 1 << 40: 100} {
		if got := heapGrowth(lives); got != want {
			t.Errorf("%d bytes may grow by %d %%, want %d", lives, got, want)
		}
	}
	// It follows what lives, up and down.
	percent := func() uint64 {
		now := []metrics.Sample{{Name: "/gc/gogc:percent"}}
		metrics.Read(now)
		return now[0].Value.Uint64()
	}
	paceCollector()
	much := make([]byte, 64<<20)
	for percent() > 100 {
		runtime.GC()
	}
	runtime.KeepAlive(much)
	for percent() == 100 {
		runtime.GC()
	}
}
