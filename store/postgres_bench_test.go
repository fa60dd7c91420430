package store_test

import (
	"context"
	"fmt"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/splitpin/splitpin"
	"github.com/splitpin/splitpin/store"
	"github.com/splitpin/splitpin/store/postgrestest"
)

// BenchmarkPostgres does the store's part of what is done most, on a server with the
// settings that it comes with. cpu-µs is this process's part of each, server-µs
// the server's; wal-B what it appended to its log.
func BenchmarkPostgres(b *testing.B) {
	const people = 20_000
	server := postgrestest.New(b, postgrestest.Options{Durable: true})
	database := server.Database(b)
	s, err := store.OpenPostgres(b.Context(), database, store.PostgresOptions{})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { s.Close() })
	first := seed(b, s, people, true)
	now := time.Now().UTC().Truncate(time.Microsecond)
	var o outbox
	session := func(i int64) splitpin.Reads { return splitpin.Reads{Session: first + i*7919%people + 1<<40} }
	for _, bench := range []struct {
		name string
		step func(i int64) error
	}{
		{"refresh", func(i int64) error {
			return change(s, session(i), func(r *splitpin.Records) splitpin.Writes {
				r.Session.Counter++
				return splitpin.Writes{Put: []splitpin.Record{r.Session}}
			})
		}},
		{"load", func(i int64) error {
			r, err := s.Load(context.Background(), session(i))
			if err == nil && r.User == nil {
				panic("no user")
			}
			return err
		}},
		{"take", func(i int64) error {
			_, _, err := s.Take(context.Background(), now,
				splitpin.Charge{Key: i % 10_000, Burst: 1 << 20, Period: time.Hour, Cost: 1},
				splitpin.Charge{Key: 1 << 50, Burst: 1 << 20, Period: time.Hour, Cost: 1})
			return err
		}},
		{"sign-in", func(i int64) error { return o.signIn(s, i*7919%people) }},
	} {
		b.Run(bench.name, func(b *testing.B) {
			cpu, theirs, wal := cpuTime(b), serverTime(b, server), walBytes(b, database)
			parallel(b, bench.step)
			b.ReportMetric(float64((cpuTime(b)-cpu).Microseconds())/float64(b.N), "cpu-µs")
			b.ReportMetric(float64((serverTime(b, server)-theirs).Microseconds())/float64(b.N), "server-µs")
			b.ReportMetric(float64(walBytes(b, database)-wal)/float64(b.N), "wal-B")
		})
	}
}

func cpuTime(b *testing.B) time.Duration {
	b.Helper()
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		b.Fatal(err)
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}

// serverTime is what the server's processes used so far, of those that run.
func serverTime(b *testing.B, server *postgrestest.Server) (sum time.Duration) {
	b.Helper()
	processes, err := server.Processes()
	if err != nil {
		b.Fatal(err)
	}
	for _, pid := range processes {
		text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
		if err != nil {
			continue // it ended, or this system does not tell
		}
		_, rest, _ := strings.Cut(string(text), ") ")
		var user, system int64
		if fields := strings.Fields(rest); len(fields) > 12 {
			fmt.Sscan(fields[11], &user)
			fmt.Sscan(fields[12], &system)
		}
		sum += time.Duration(user+system) * 10 * time.Millisecond
	}
	return sum
}

func walBytes(b *testing.B, database string) (n int64) {
	b.Helper()
	conn, err := pgx.Connect(context.Background(), database)
	if err != nil {
		b.Fatal(err)
	}
	defer conn.Close(context.Background())
	if err := conn.QueryRow(context.Background(), "SELECT (pg_current_wal_lsn() - '0/0')::bigint").Scan(&n); err != nil {
		b.Fatal(err)
	}
	return n
}
