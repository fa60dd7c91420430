package store

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
)

// A PostgresInspection is what a PostgreSQL server says about itself.
type PostgresInspection struct {
	Version int    // 150004 is 15.4
	Name    string // "15.4"
	Tables  int64  // version of the tables; zero: there are none yet
	Known   int64  // the newest version that this program knows

	Fsync             bool
	FullPageWrites    bool
	SynchronousCommit string // on, off, local, remote_write or remote_apply, as our sessions get it

	Standby  bool  // it follows another server and takes no writes
	Standbys int   // that follow it now
	SlotLag  int64 // bytes of log that the slowest replication slot holds back; zero: none does
	Size     int64 // bytes of this database

	Time    time.Time     // the server's clock, in the middle of the question
	TookFor time.Duration // how long the question was under way
}

// InspectPostgres asks a server about itself over a connection of its own, without
// changing anything.
func InspectPostgres(ctx context.Context, database string, o PostgresOptions) (i PostgresInspection, err error) {
	config, err := pgx.ParseConfig(database)
	if err != nil {
		return i, fmt.Errorf("reading the address of the database: %w", err) // pgx leaves the password out
	}
	if o.Password != "" {
		config.Password = o.Password.Reveal()
	}
	if o.Pooler {
		config.DefaultQueryExecMode = pgx.QueryExecModeExec
	}
	conn, err := pgx.ConnectConfig(ctx, config)
	if err != nil {
		return i, fmt.Errorf("connecting to the database: %w", err)
	}
	defer conn.Close(context.WithoutCancel(ctx))

	started := time.Now()
	if err := conn.QueryRow(ctx, "SELECT clock_timestamp()").Scan(&i.Time); err != nil {
		return i, fmt.Errorf("asking the database for the time: %w", err)
	}
	i.TookFor = time.Since(started)

	var fsync, pages string
	err = conn.QueryRow(ctx, `SELECT current_setting('server_version_num')::int, current_setting('server_version'),
		current_setting('fsync'), current_setting('full_page_writes'), current_setting('synchronous_commit'),
		pg_is_in_recovery(), (SELECT count(*) FROM pg_stat_replication)::int, pg_database_size(current_database()),
		CASE WHEN pg_is_in_recovery() THEN 0 ELSE
			coalesce((SELECT max(pg_wal_lsn_diff(pg_current_wal_lsn(), restart_lsn)) FROM pg_replication_slots), 0)::bigint END`).
		Scan(&i.Version, &i.Name, &fsync, &pages, &i.SynchronousCommit, &i.Standby, &i.Standbys, &i.Size, &i.SlotLag)
	if err != nil {
		return i, fmt.Errorf("asking the database about its settings: %w", err)
	}
	all, err := migrationsFor("postgres")
	if err != nil {
		return i, err
	}
	i.Known = int64(len(all))
	var there bool
	err = conn.QueryRow(ctx, "SELECT to_regclass('schema_version') IS NOT NULL").Scan(&there)
	if err == nil && there {
		err = conn.QueryRow(ctx, "SELECT version FROM schema_version").Scan(&i.Tables)
	}
	if err != nil {
		return i, fmt.Errorf("asking the database for the version of its tables: %w", err)
	}
	i.Fsync, i.FullPageWrites = fsync == "on", pages == "on"
	i.Name, _, _ = strings.Cut(i.Name, " ")
	return i, nil
}
