package postgrestest

import (
	"context"
	"fmt"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

// Pooler starts a PgBouncer in transaction mode before the server of a database, and
// returns the URL of the same database by way of it. It holds fewer connections to the
// server than tests open to it, and ends with the test. Without PgBouncer it does as
// Database does without PostgreSQL.
func Pooler(t testing.TB, database string) string {
	t.Helper()
	program := Program(t, "pgbouncer")
	u, err := url.Parse(database)
	if err != nil {
		t.Fatal(err)
	}
	// As root PgBouncer does not run either, so it runs as the server does.
	s := &Server{}
	if s.folder, err = os.MkdirTemp("", "splitpin-pgbouncer-"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(s.folder) })
	if os.Geteuid() == 0 {
		if err := s.become("postgres"); err != nil {
			t.Fatal(err)
		}
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := l.Addr().(*net.TCPAddr)
	l.Close()
	users, settings := filepath.Join(s.folder, "users"), filepath.Join(s.folder, "ini")
	password, _ := u.User.Password()
	for path, text := range map[string]string{
		users: fmt.Sprintf("%q %q\n", u.User.Username(), password),
		settings: fmt.Sprintf(`[databases]
* = host=%s port=%s
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = %d
unix_socket_dir =
auth_type = trust
auth_file = %s
pool_mode = transaction
default_pool_size = 6
max_client_conn = 500
server_check_delay = 0
`, u.Hostname(), u.Port(), address.Port, users),
	} {
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	cmd := s.command("sh", "-c", guard, "sh", program, settings)
	cmd.Env = append(os.Environ(), "FOLDER="+s.folder)
	var log strings.Builder
	cmd.Stdout, cmd.Stderr = &log, &log
	in, out, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	cmd.Stdin = in
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	s.running, s.lifeline = cmd, out
	t.Cleanup(func() { s.end("\n") })

	u.Host = address.String()
	for end := time.Now().Add(10 * time.Second); ; {
		conn, err := pgx.Connect(context.Background(), u.String())
		if err == nil {
			conn.Close(context.Background())
			return u.String()
		}
		if time.Now().After(end) {
			s.end("\n")
			t.Fatalf("waiting for PgBouncer: %v\n%s", err, log.String())
		}
		time.Sleep(5 * time.Millisecond)
	}
}
