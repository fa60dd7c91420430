package main

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"syscall"
	"time"
)

// A server is the real binary as `splitpin serve`, as an operator would run it:
// full sync, limits and audit on, mail handed to an SMTP sink in this process, and
// client addresses taken from a trusted proxy's header. Only the limits are raised,
// because all load comes from few people in a short time.
type server struct {
	name    string // of the binary, where there are two
	binary  string
	dir     string
	address string // host:port
	metrics string // the same of its metrics; empty: it shows none
	env     []string
	mail    *sink
	db      database

	base   string // path before /v1
	secret string // of the project, for calls of backends
	users  int    // persons 1 to users are there
	people people // who signed in, for what needs a session

	cmd *exec.Cmd
}

// A database is what lies under the server: which setting chooses it, how it is
// filled, and what it costs.
type database interface {
	setting() string         // value of SPLITPIN_DATABASE; empty: as it comes
	seed(users int) error    // copies the one user and session there are; the server is down
	cpu() time.Duration      // of processes other than the server
	disk() int64             // bytes those processes have had written
	meter() meter            // of the log; the server is up
	perUser() (int64, error) // bytes on disk for one more user
	close()
}

// A meter follows what a database logs.
type meter interface {
	look()                         // must be called every few milliseconds
	total() (bytes, commits int64) // since the meter was made
}

const origin = "https://shop.example"

// newServer makes an installation with users in it, and starts it.
func newServer(name, binary, dir string, users int, db database) (*server, error) {
	s := &server{name: name, binary: binary, dir: dir, db: db}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	var err error
	if s.mail, err = newSink(); err != nil {
		return nil, err
	}
	if s.address, err = freeAddress(); err != nil {
		return nil, err
	}
	key := filepath.Join(dir, "master.key")
	s.env = append(os.Environ(), "SPLITPIN_PUBLIC_URL=http://"+s.address, "SPLITPIN_LISTEN="+s.address,
		"SPLITPIN_DATA="+filepath.Join(dir, "data"), "SPLITPIN_MASTER_KEY_FILE="+key,
		"SPLITPIN_TRUSTED_PROXIES=127.0.0.1", "SPLITPIN_LOG_LEVEL=error",
		"SPLITPIN_SMTP_HOST=127.0.0.1", "SPLITPIN_SMTP_PORT="+s.mail.port(), "SPLITPIN_SMTP_TLS=none", "SPLITPIN_SMTP_FROM=login@example.com")
	if setting := db.setting(); setting != "" {
		s.env = append(s.env, "SPLITPIN_DATABASE="+setting)
	}
	if _, err := s.command("master-key", "new", key); err != nil {
		return nil, err
	}
	// Made before the first start, so that the server knows it from the beginning.
	// Eight messages in ten minutes and fifteen a day is as far as the program lets
	// codes of six digits go.
	const plenty = "10000000"
	out, err := s.command("project", "create", "--name", "Bench", "--origin", origin, "--starts-per-network", plenty,
		"--refuse-per-network", plenty, "--messages-per-address", "8", "--messages-per-day", "15")
	if err != nil {
		return nil, err
	}
	id := regexp.MustCompile(`[0-9a-f-]{36}`).Find(out)
	secret := regexp.MustCompile(`Server secret\s+(\S+)`).FindSubmatch(out)
	if id == nil || secret == nil {
		return nil, fmt.Errorf("'project create' named no project and secret: %s", out)
	}
	s.base, s.secret = "/p/"+string(id), string(secret[1])

	// The first person signs in; the others are made in their likeness.
	if _, err := s.start(); err != nil {
		return nil, err
	}
	s.users = 1
	if err := s.signInOnce(); err != nil {
		s.stop()
		return nil, err
	}
	if err := s.stop(); err != nil {
		return nil, err
	}
	if err := db.seed(users); err != nil {
		return nil, fmt.Errorf("seeding %d users: %w", users, err)
	}
	s.users = users
	_, err = s.start()
	return s, err
}

func freeAddress() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	defer l.Close()
	return l.Addr().String(), nil
}

func (s *server) command(args ...string) ([]byte, error) {
	cmd := exec.Command(s.binary, args...)
	cmd.Env = s.env
	var problem bytes.Buffer
	cmd.Stderr = &problem
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("running splitpin %s: %w\n%s", args[0], err, problem.Bytes())
	}
	return out, nil
}

// start starts the server and returns how long it took until it was ready.
func (s *server) start() (time.Duration, error) {
	log, err := os.OpenFile(filepath.Join(s.dir, "log"), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return 0, err
	}
	defer log.Close()
	s.cmd = exec.Command(s.binary, "serve")
	s.cmd.Env, s.cmd.Stderr = s.env, log
	// It ends with this process, however that ends.
	s.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	began := time.Now()
	if err := s.cmd.Start(); err != nil {
		return 0, err
	}
	for time.Since(began) < 5*time.Minute {
		if s.ready() {
			return time.Since(began), nil
		}
		if s.gone() {
			break
		}
		time.Sleep(200 * time.Microsecond) // a server that starts says nothing to wait for
	}
	s.cmd.Process.Kill()
	s.cmd.Wait()
	return 0, fmt.Errorf("the server did not become ready: %s", s.lastWords())
}

func (s *server) ready() bool {
	c, err := dial(s.address)
	if err != nil {
		return false
	}
	defer c.Close()
	c.out = append(c.out, "GET /readyz HTTP/1.1\r\nHost: "+s.address+"\r\n\r\n"...)
	return c.do() == nil && c.status == 200
}

// gone reports whether the process has ended; it stays a zombie until somebody
// waits for it.
func (s *server) gone() bool {
	fields := stat(s.cmd.Process.Pid)
	return len(fields) == 0 || fields[0] == "Z"
}

func (s *server) lastWords() string {
	b, _ := os.ReadFile(filepath.Join(s.dir, "log"))
	return string(b[max(0, len(b)-2000):])
}

func (s *server) stop() error {
	if s.cmd == nil {
		return nil
	}
	s.cmd.Process.Signal(syscall.SIGTERM)
	err := s.cmd.Wait()
	s.cmd = nil
	if err != nil {
		return fmt.Errorf("stopping the server: %w: %s", err, s.lastWords())
	}
	return nil
}

func (s *server) pid() int { return s.cmd.Process.Pid }

// close ends the server and removes its data.
func (s *server) close() error {
	err := s.stop()
	s.db.close()
	s.mail.listener.Close()
	return errors.Join(err, os.RemoveAll(s.dir))
}
