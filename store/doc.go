// Package store keeps the nouns: it implements [splitpin.Store], on SQLite and on
// PostgreSQL. What every implementation must do is said there, and tested by package
// storetest.
//
// Where to read what:
//
//   - columns.go: which field of a noun is which column, once for binding and
//     for scanning;
//   - queries.go: the statements that every engine shares;
//   - limit.go: the arithmetic of limits;
//   - sqlite.go: opening, closing, reading; sqlite_writer.go: the one writer and
//     its group commit; sqlite_records.go: a step's reads and writes;
//     sqlite_limits.go: counters in memory; sqlite_sweep.go: the sweep;
//   - postgres.go: opening, the pool, what errors mean; postgres_trip.go: a round
//     trip; postgres_records.go: a step; postgres_limits.go: Take, gathered;
//     postgres_sweep.go: sweep and claim; postgres_migrate.go: migrations;
//     postgres_columns.go: values on the wire;
//   - marks.go: facts about the installation as a whole;
//   - copy.go: every table as rows that can be compared, whatever the engine
//     (copy_sqlite.go, copy_postgres.go); copy_whole.go: from one database to
//     another; backup.go and restore.go: to a file, and back to life;
//   - memory.go: a store without a database, for tests and simulations;
//   - migrate.go and migrations/: the tables.
package store
