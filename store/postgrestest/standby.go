package postgrestest

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"
)

// Standby makes a copy of the server that follows it, and has the server wait for it
// at every commit: what was acknowledged is in both. The caller stops it.
func (s *Server) Standby(ctx context.Context) (*Server, error) {
	f := &Server{bin: s.bin, settings: s.settings}
	var err error
	if f.folder, err = os.MkdirTemp("", "splitpin-postgres-"); err != nil {
		return nil, fmt.Errorf("making a folder for a standby: %w", err)
	}
	fail := func(err error) (*Server, error) {
		f.Stop()
		return nil, err
	}
	if s.owner != nil {
		if err := f.become("postgres"); err != nil {
			return fail(err)
		}
	}
	backup := f.command(filepath.Join(s.bin, "pg_basebackup"), "--host", "127.0.0.1", "--port", strconv.Itoa(s.port), "--username", "postgres",
		"--pgdata", f.data(), "--write-recovery-conf", "--wal-method", "stream", "--checkpoint", "fast", "--no-sync")
	if out, err := backup.CombinedOutput(); err != nil {
		return fail(fmt.Errorf("copying the server: %w\n%s", err, out))
	}
	if err := f.Run(); err != nil {
		return fail(err)
	}
	for _, statement := range []string{"ALTER SYSTEM SET synchronous_standby_names = '*'", "SELECT pg_reload_conf()"} {
		if err := s.Exec(ctx, statement); err != nil {
			return fail(fmt.Errorf("having the server wait for its standby: %w", err))
		}
	}
	if err := s.await(ctx, "SELECT EXISTS (SELECT FROM pg_stat_replication WHERE sync_state = 'sync')"); err != nil {
		return fail(fmt.Errorf("waiting for the standby: %w", err))
	}
	return f, nil
}

// Promote makes a standby a server that may be written to, and returns when it is.
func (s *Server) Promote(ctx context.Context) error {
	if err := s.Exec(ctx, "SELECT pg_promote()"); err != nil {
		return fmt.Errorf("promoting the standby: %w", err)
	}
	return nil
}

// await asks until the answer is yes.
func (s *Server) await(ctx context.Context, question string) error {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	conn, err := pgx.Connect(ctx, s.url("postgres", "postgres"))
	if err != nil {
		return err
	}
	defer conn.Close(context.WithoutCancel(ctx))
	for {
		var yes bool
		if err := conn.QueryRow(ctx, question).Scan(&yes); err != nil || yes {
			return err
		}
		select {
		case <-time.After(10 * time.Millisecond):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// Freeze stops every process of the server where it is, so that it answers nothing
// and refuses nothing, as a machine that is gone; Thaw lets them go on.
func (s *Server) Freeze() error { return s.signal(syscall.SIGSTOP) }

// Thaw undoes Freeze.
func (s *Server) Thaw() error { return s.signal(syscall.SIGCONT) }

func (s *Server) signal(sig syscall.Signal) error {
	first, err := s.first()
	if err != nil {
		return err
	}
	// The first before its children: a frozen one starts no more of them.
	for _, pid := range append([]int{first}, childrenOf(first)...) {
		if err := syscall.Kill(pid, sig); err != nil && err != syscall.ESRCH {
			return fmt.Errorf("signalling the server: %w", err)
		}
	}
	return nil
}

// Address is where the server listens, as it stands in a URL of several servers.
func (s *Server) Address() string { return "127.0.0.1:" + strconv.Itoa(s.port) }
