package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/splitpin/splitpin"
	"github.com/splitpin/splitpin/store"
	"github.com/splitpin/splitpin/store/postgrestest"
)

// postgres is a PostgreSQL of our own, with the settings it comes with: durable, and
// on the same disk and processors as the server.
type postgres struct {
	server *postgrestest.Server
	url    string
	pid    int // of its first process
	admin  *pgx.Conn
}

func newPostgres() (*postgres, error) {
	s, err := postgrestest.Start(postgrestest.Options{Durable: true})
	if err != nil {
		return nil, err
	}
	p := &postgres{server: s}
	if err := p.connect(); err != nil {
		p.close()
		return nil, err
	}
	return p, nil
}

func (p *postgres) connect() (err error) {
	text, err := os.ReadFile(filepath.Join(p.server.Folder(), "data", "postmaster.pid"))
	if err != nil {
		return fmt.Errorf("finding PostgreSQL: %w", err)
	}
	if _, err := fmt.Sscan(string(text), &p.pid); err != nil {
		return fmt.Errorf("finding PostgreSQL: %w", err)
	}
	if p.url, err = p.server.Create(ctx); err != nil {
		return err
	}
	p.admin, err = pgx.Connect(ctx, p.url)
	return err
}

func (p *postgres) setting() string    { return p.url }
func (p *postgres) cpu() time.Duration { return cpuOfTree(p.pid) }

func (p *postgres) disk() int64 {
	sum := diskOf(p.pid)
	for _, child := range children(p.pid) {
		sum += diskOf(child)
	}
	return sum
}

func (p *postgres) close() {
	if p.admin != nil {
		p.admin.Close(ctx)
	}
	p.server.Stop()
}

// seed fills the tables with one statement each, before their indexes are made.
func (p *postgres) seed(users int) error {
	rows, err := p.admin.Query(ctx, `SELECT format('DROP INDEX %I', indexname), indexdef FROM pg_indexes
		WHERE schemaname = 'public' AND tablename IN ('users', 'sessions')
		AND indexname NOT IN (SELECT conname FROM pg_constraint)`)
	if err != nil {
		return err
	}
	type index struct{ Drop, Make string }
	indexes, err := pgx.CollectRows(rows, pgx.RowToStructByPos[index])
	if err != nil {
		return err
	}
	inserts, err := copies(users, "uuid_send(gen_random_uuid())", func(table string) ([]string, error) {
		rows, err := p.admin.Query(ctx, "SELECT attname::text FROM pg_attribute WHERE attrelid = $1::regclass AND attnum > 0 AND NOT attisdropped", table)
		if err != nil {
			return nil, err
		}
		return pgx.CollectRows(rows, pgx.RowTo[string])
	})
	if err != nil {
		return err
	}
	var statements []string
	for _, i := range indexes {
		statements = append(statements, i.Drop)
	}
	statements = append(statements, inserts...)
	for _, i := range indexes {
		statements = append(statements, i.Make)
	}
	for _, text := range append(statements, "VACUUM (ANALYZE) users", "VACUUM (ANALYZE) sessions") {
		if _, err := p.admin.Exec(ctx, text); err != nil {
			return fmt.Errorf("%s: %w", text, err)
		}
	}
	// As a checkpoint would have done long ago, if they had come one by one.
	return p.server.Exec(ctx, "CHECKPOINT")
}

// perUser makes users as the product does, in a database of their own.
func (p *postgres) perUser() (int64, error) {
	url, err := p.server.Create(ctx)
	if err != nil {
		return 0, err
	}
	defer p.server.Drop(context.WithoutCancel(ctx), url)
	return idleUser(func() (splitpin.Store, error) { return store.Open(ctx, url, store.Options{}) }, func() (size int64, err error) {
		c, err := pgx.Connect(ctx, url)
		if err != nil {
			return 0, err
		}
		defer c.Close(ctx)
		return size, c.QueryRow(ctx, "SELECT pg_total_relation_size('users')").Scan(&size)
	})
}

// A walMeter asks PostgreSQL how much it logged, the images of whole pages included
// that follow a checkpoint, and how often it synced the log. It learns of the
// latter up to a second late.
type walMeter struct {
	conn           *pgx.Conn
	bytes, commits int64
}

func (p *postgres) meter() meter {
	m := &walMeter{conn: p.admin}
	m.bytes, m.commits = m.total()
	return m
}

func (m *walMeter) look() {}

func (m *walMeter) total() (bytes, commits int64) {
	err := m.conn.QueryRow(ctx, "SELECT pg_wal_lsn_diff(pg_current_wal_insert_lsn(), '0/0')::bigint, wal_sync FROM pg_stat_wal").Scan(&bytes, &commits)
	if err != nil {
		progress("asking for the log of PostgreSQL: %v", err)
	}
	return bytes - m.bytes, commits - m.commits
}

// bareTransactions are what no server on this PostgreSQL can avoid.
func bareTransactions(p *postgres) []limitProgram {
	return []limitProgram{
		{"postgres1", "bare PostgreSQL, one row in a durable transaction, one connection", p.insert(1), p.cpu},
		{"postgres32", "bare PostgreSQL, one row in a durable transaction each, 32 connections", p.insert(connections), p.cpu},
	}
}

func (p *postgres) insert(n int) func(string, time.Duration) (tally, error) {
	return func(_ string, length time.Duration) (tally, error) {
		_, err := p.admin.Exec(ctx, "CREATE TABLE IF NOT EXISTS bare (number bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, at bigint, detail bytea)")
		if err != nil {
			return tally{}, err
		}
		free := make(chan *pgx.Conn, n)
		for range n {
			c, err := pgx.Connect(ctx, p.url)
			if err != nil {
				return tally{}, err
			}
			defer c.Close(ctx)
			free <- c
		}
		detail := make([]byte, 80)
		return together(n, length, func() error {
			c := <-free // as many as there are callers
			_, err := c.Exec(ctx, "INSERT INTO bare (at, detail) VALUES ($1, $2)", int64(1), detail)
			free <- c
			return err
		})
	}
}
