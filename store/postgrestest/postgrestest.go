// Package postgrestest runs a PostgreSQL of its own for tests and benchmarks. It
// needs the server's programs on the PATH or where Debian puts them, and no rights:
// as root it runs them as the user postgres, which they insist on.
//
// TEST_POSTGRES may name a server that runs already, by the URL of a user
// who may create databases there. Then nothing is started, but what asks for a
// server of its own, to kill it or to set it up.
package postgrestest

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// ErrMissing is why there is no server: its programs are not installed.
var ErrMissing = errors.New("PostgreSQL is not installed: neither on the PATH nor under /usr/lib/postgresql (Debian: apt install postgresql)")

// Options of a server. The zero value is quick and loses everything in a crash of
// the machine, which unit tests do not mind.
type Options struct {
	// Durable runs with fsync and full-page writes, as PostgreSQL comes.
	Durable bool
	// Settings go to the server as they are: "wal_level=logical".
	Settings []string
}

// A Server is a running PostgreSQL with its data in a temporary folder. It ends with
// Stop, or with this process, however that ends.
type Server struct {
	bin, folder string
	owner       *syscall.Credential // nil: this process's own user
	port        int
	settings    []string

	running  *exec.Cmd
	lifeline *os.File // the server ends when this is closed

	outside string // the URL of a server that is not ours
}

// owner is the role that tests sign in as: it owns its databases and nothing else.
const owner = "splitpin"

// Start makes a database cluster and starts a server on it. The caller stops it.
func Start(o Options) (*Server, error) {
	bin, err := programs()
	if err != nil {
		return nil, err
	}
	s := &Server{bin: bin, settings: []string{
		"listen_addresses=127.0.0.1", "max_connections=300", "logging_collector=off", "timezone=UTC",
	}}
	if !o.Durable {
		s.settings = append(s.settings, "fsync=off", "full_page_writes=off", "autovacuum=off")
	}
	s.settings = append(s.settings, o.Settings...)
	if s.folder, err = os.MkdirTemp("", "splitpin-postgres-"); err != nil {
		return nil, fmt.Errorf("making a folder for PostgreSQL: %w", err)
	}
	if os.Geteuid() == 0 {
		if err := s.become("postgres"); err != nil {
			os.RemoveAll(s.folder)
			return nil, err
		}
	}
	initdb := s.command(filepath.Join(bin, "initdb"), "--pgdata", s.data(), "--no-sync", "--auth", "trust",
		"--username", "postgres", "--encoding", "UTF8", "--no-locale", "--no-instructions")
	if out, err := initdb.CombinedOutput(); err != nil {
		os.RemoveAll(s.folder)
		return nil, fmt.Errorf("making a database cluster: %w\n%s", err, out)
	}
	if err := s.Run(); err != nil {
		os.RemoveAll(s.folder)
		return nil, err
	}
	if err := s.Exec(context.Background(), "CREATE ROLE "+owner+" LOGIN"); err != nil {
		s.Stop()
		return nil, err
	}
	return s, nil
}

func (s *Server) data() string { return filepath.Join(s.folder, "data") }

// become has the server's programs run as another user.
func (s *Server) become(name string) error {
	u, err := user.Lookup(name)
	if err != nil {
		return fmt.Errorf("PostgreSQL does not run as root, and there is no other user for it: %w", err)
	}
	uid, err := strconv.ParseUint(u.Uid, 10, 32)
	if err != nil {
		return fmt.Errorf("reading the user %s: %w", name, err)
	}
	gid, err := strconv.ParseUint(u.Gid, 10, 32)
	if err != nil {
		return fmt.Errorf("reading the user %s: %w", name, err)
	}
	s.owner = &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}
	return os.Chown(s.folder, int(uid), int(gid))
}

func (s *Server) command(name string, args ...string) *exec.Cmd {
	cmd := exec.Command(name, args...)
	cmd.Dir = s.folder
	// A group of its own: an interrupt at the terminal is for the test alone.
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: s.owner, Setpgid: true}
	return cmd
}

// guard starts the server ($1, with its arguments) and, when the other end of its
// input is closed, stops it and removes its folder, unless $KEEP says so.
const guard = `"$@" <&- & server=$!
read -r keep
kill -INT $server 2>/dev/null
wait $server
[ "$keep" = keep ] || rm -rf "$FOLDER"`

// Run starts the server again, on the port it had, after Kill.
func (s *Server) Run() (err error) {
	// A port that was free may be taken by now; and of a server that was killed the
	// children may live for a moment, which keep the next from starting.
	for range 15 {
		port := s.port
		if port == 0 {
			l, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				return fmt.Errorf("finding a port for PostgreSQL: %w", err)
			}
			port = l.Addr().(*net.TCPAddr).Port
			l.Close()
		}
		if err = s.run(port); err == nil {
			return nil
		}
	}
	return err
}

func (s *Server) run(port int) error {
	args := []string{"-c", guard, "sh", filepath.Join(s.bin, "postgres"), "-D", s.data(), "-p", strconv.Itoa(port), "-k", s.folder}
	for _, setting := range s.settings {
		args = append(args, "-c", setting)
	}
	cmd := s.command("sh", args...)
	cmd.Env = append(os.Environ(), "FOLDER="+s.folder)
	log, err := os.OpenFile(filepath.Join(s.folder, "log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("opening the log of PostgreSQL: %w", err)
	}
	defer log.Close()
	cmd.Stdout, cmd.Stderr = log, log
	in, out, err := os.Pipe()
	if err != nil {
		return fmt.Errorf("starting PostgreSQL: %w", err)
	}
	defer in.Close()
	cmd.Stdin = in
	if err := cmd.Start(); err != nil {
		out.Close()
		return fmt.Errorf("starting PostgreSQL: %w", err)
	}
	s.running, s.lifeline = cmd, out
	before := s.port
	s.port = port
	patience := time.Now().Add(3 * time.Second)
	for {
		err := s.Exec(context.Background(), "")
		var answer *pgconn.PgError
		switch {
		case err == nil:
			return nil
		case errors.As(err, &answer): // it is there, and recovers
			patience = time.Now().Add(time.Minute)
		case time.Now().After(patience):
			text, _ := os.ReadFile(log.Name())
			s.port = before
			s.end("keep\n")
			return fmt.Errorf("waiting for PostgreSQL: %w\n%s", err, text)
		}
		time.Sleep(5 * time.Millisecond)
	}
}

// end lets the guard stop the server and waits for both.
func (s *Server) end(word string) {
	if s.running == nil {
		return
	}
	s.Thaw() // a frozen one could not leave
	s.lifeline.WriteString(word)
	s.lifeline.Close()
	s.running.Wait()
	s.running = nil
}

// Stop ends the server and removes its data.
func (s *Server) Stop() {
	s.end("\n")
	if s.folder != "" {
		os.RemoveAll(s.folder)
	}
}

// Restart ends the server in order and starts it again.
func (s *Server) Restart() error {
	s.end("keep\n")
	return s.Run()
}

// Kill ends the server as a crash would, all its processes by SIGKILL. Run starts
// it again.
func (s *Server) Kill() error {
	first, err := s.first()
	if err != nil {
		return err
	}
	children := childrenOf(first)
	if err := syscall.Kill(first, syscall.SIGKILL); err != nil {
		return fmt.Errorf("killing the server: %w", err)
	}
	for _, pid := range append(children, childrenOf(first)...) {
		syscall.Kill(pid, syscall.SIGKILL)
	}
	s.end("keep\n")
	return nil
}

// Processes returns the ids of the server's processes that run now.
func (s *Server) Processes() ([]int, error) {
	first, err := s.first()
	if err != nil {
		return nil, err
	}
	return append([]int{first}, childrenOf(first)...), nil
}

// first returns the process that started the others.
func (s *Server) first() (int, error) {
	text, err := os.ReadFile(filepath.Join(s.data(), "postmaster.pid"))
	if err != nil {
		return 0, fmt.Errorf("finding the server: %w", err)
	}
	line, _, _ := strings.Cut(string(text), "\n")
	pid, err := strconv.Atoi(line)
	if err != nil {
		return 0, fmt.Errorf("finding the server: %w", err)
	}
	return pid, nil
}

// childrenOf returns the processes that a process started, where the system shows
// them; elsewhere those of a server that was killed leave by themselves a moment
// later.
func childrenOf(parent int) (children []int) {
	stats, _ := filepath.Glob("/proc/[0-9]*/stat")
	for _, path := range stats {
		text, err := os.ReadFile(path)
		if err != nil {
			continue // it ended meanwhile
		}
		_, rest, _ := strings.Cut(string(text), ") ") // pid (name) state parent
		if fields := strings.Fields(rest); len(fields) > 1 && fields[1] == strconv.Itoa(parent) {
			if pid, err := strconv.Atoi(filepath.Base(filepath.Dir(path))); err == nil {
				children = append(children, pid)
			}
		}
	}
	return children
}

// Exec runs statements as the superuser.
func (s *Server) Exec(ctx context.Context, statements string) error {
	return run(ctx, s.url("postgres", "postgres"), statements)
}

// Port is where the server listens, on 127.0.0.1.
func (s *Server) Port() int { return s.port }

// Folder is where the server keeps its socket, its log and, under data, its data.
func (s *Server) Folder() string { return s.folder }

func (s *Server) url(role, database string) string {
	if s.outside != "" {
		u, err := url.Parse(s.outside)
		if err != nil {
			return s.outside // what connects says what is wrong with it
		}
		if database != "postgres" {
			u.Path = "/" + database
		}
		return u.String()
	}
	return fmt.Sprintf("postgres://%s@127.0.0.1:%d/%s?sslmode=disable", role, s.port, database)
}

// Create makes an empty database and returns its URL, for a role that owns it and
// has no other rights.
func (s *Server) Create(ctx context.Context) (string, error) {
	name := "test_" + strings.ToLower(rand.Text())
	statement := "CREATE DATABASE " + name
	if s.outside == "" {
		statement += " OWNER " + owner
	}
	if err := s.Exec(ctx, statement); err != nil {
		return "", fmt.Errorf("making a database: %w", err)
	}
	return s.url(owner, name), nil
}

// Drop removes a database that Create made, whoever uses it still.
func (s *Server) Drop(ctx context.Context, database string) error {
	u, err := url.Parse(database)
	if err != nil {
		return fmt.Errorf("reading the URL of a database: %w", err)
	}
	return s.Exec(ctx, "DROP DATABASE IF EXISTS "+strings.TrimPrefix(u.Path, "/")+" WITH (FORCE)")
}

// shared is the server of all tests of this process.
var shared struct {
	once sync.Once
	*Server
	err error
}

// start starts the shared server, or ends the test as Database says.
func start(t testing.TB) *Server {
	t.Helper()
	shared.once.Do(func() {
		if outside := os.Getenv("TEST_POSTGRES"); outside != "" {
			shared.Server = &Server{outside: outside}
			return
		}
		shared.Server, shared.err = Start(Options{})
	})
	missing(t, shared.err)
	return shared.Server
}

// Database returns the URL of an empty database, which goes when the test ends. It
// is not durable. Without PostgreSQL the test is skipped, or where E2E=1 asks for
// everything, fails.
func Database(t testing.TB) string { t.Helper(); return start(t).database(t) }

// prepared are the databases of Prepared that no test has now.
var prepared struct {
	mu   sync.Mutex
	free []string
}

// Prepared returns the URL of a database that is as prepare left one: with its tables,
// and the rows in them. It is Database for tests that leave the tables as they are:
// what the test changed in them is undone when it ends, and the next test gets the
// same database, which takes a tenth of the time of making one. prepare is the same
// function for all tests of a process.
func Prepared(t testing.TB, prepare func(database string) error) string {
	t.Helper()
	s := start(t)
	prepared.mu.Lock()
	database := ""
	if last := len(prepared.free) - 1; last >= 0 {
		database, prepared.free = prepared.free[last], prepared.free[:last]
	}
	prepared.mu.Unlock()
	if database == "" {
		var err error
		if database, err = s.Create(context.WithoutCancel(t.Context())); err != nil {
			t.Fatal(err)
		}
		err = prepare(database)
		if err == nil {
			err = run(context.WithoutCancel(t.Context()), database, keepRows)
		}
		if err != nil {
			t.Fatalf("preparing a database: %v", errors.Join(err, s.Drop(context.Background(), database)))
		}
	}
	t.Cleanup(func() {
		err := run(context.Background(), database, undoRows)
		if err == nil && s.outside == "" { // of a server that goes on nothing may stay
			prepared.mu.Lock()
			prepared.free = append(prepared.free, database)
			prepared.mu.Unlock()
			return
		}
		if err := errors.Join(err, s.Drop(context.Background(), database)); err != nil {
			t.Errorf("giving a database back: %v", err)
		}
	})
	return database
}

// keepRows puts a copy of every table aside, and undoRows makes the tables what the
// copies are, once whoever is connected still is not any more. DELETE is quicker than
// TRUNCATE, which makes new files.
const (
	keepRows = `CREATE SCHEMA kept; DO $$ DECLARE name text; BEGIN
		FOR name IN SELECT tablename FROM pg_tables WHERE schemaname = 'public' LOOP
			EXECUTE format('CREATE TABLE kept.%1$I AS TABLE public.%1$I', name);
		END LOOP;
	END $$`
	undoRows = `SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid();
	DO $$ DECLARE name text; BEGIN
		FOR name IN SELECT tablename FROM pg_tables WHERE schemaname = 'kept' LOOP
			EXECUTE format('DELETE FROM public.%1$I', name);
			EXECUTE format('INSERT INTO public.%1$I TABLE kept.%1$I', name);
		END LOOP;
	END $$`
)

// run runs statements in a database.
func run(ctx context.Context, database, statements string) error {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	conn, err := pgx.Connect(ctx, database)
	if err != nil {
		return err
	}
	defer conn.Close(ctx)
	_, err = conn.Exec(ctx, statements, pgx.QueryExecModeSimpleProtocol)
	return err
}

// New starts a server for one test, which stops with it. Without PostgreSQL it does
// as Database does.
func New(t testing.TB, o Options) *Server {
	t.Helper()
	s, err := Start(o)
	missing(t, err)
	t.Cleanup(s.Stop)
	return s
}

// Database is Create for a test: what goes wrong ends it, and with it goes the
// database.
func (s *Server) Database(t testing.TB) string { t.Helper(); return s.database(t) }

func (s *Server) database(t testing.TB) string {
	t.Helper()
	database, err := s.Create(context.WithoutCancel(t.Context()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		// A server that the test killed takes its databases along.
		if err := s.Drop(context.Background(), database); err != nil && s.outside != "" {
			t.Logf("dropping a database: %v", err)
		}
	})
	return database
}

func missing(t testing.TB, err error) {
	t.Helper()
	switch {
	case errors.Is(err, ErrMissing) && os.Getenv("E2E") == "":
		t.Skip(err)
	case err != nil:
		t.Fatal(err)
	}
}

// Program returns where a program is that goes with PostgreSQL, like pgbouncer, or
// does as Database does without it.
func Program(t testing.TB, name string) string {
	t.Helper()
	for _, folder := range append(filepath.SplitList(os.Getenv("PATH")), "/usr/sbin") {
		if path := filepath.Join(folder, name); executable(path) {
			return path
		}
	}
	if os.Getenv("E2E") != "" {
		t.Fatalf("%s is not installed", name)
	}
	t.Skipf("%s is not installed", name)
	return ""
}

func executable(path string) bool {
	info, err := os.Stat(path)
	return err == nil && !info.IsDir() && info.Mode()&0o111 != 0
}

// programs returns the folder of initdb and postgres, the newest there is.
func programs() (string, error) {
	if path, err := exec.LookPath("initdb"); err == nil {
		if path, err = filepath.EvalSymlinks(path); err == nil && executable(filepath.Join(filepath.Dir(path), "postgres")) {
			return filepath.Dir(path), nil
		}
	}
	found, err := filepath.Glob("/usr/lib/postgresql/*/bin/initdb")
	if err != nil || len(found) == 0 {
		return "", ErrMissing
	}
	version := func(path string) int {
		n, _ := strconv.Atoi(filepath.Base(filepath.Dir(filepath.Dir(path))))
		return n
	}
	return filepath.Dir(slices.MaxFunc(found, func(a, b string) int { return version(a) - version(b) })), nil
}
