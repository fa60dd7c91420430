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
//   - marks.go: facts about the installation as a whole; current.go: whether the
//     database is still the one that was opened, and who else has it open;
//   - copy.go: every table as rows that can be compared, whatever the engine
//     (copy_sqlite.go, copy_postgres.go); copy_whole.go: from one database to
//     another; backup.go and restore.go: to a file, and back to life;
//   - memory.go: a store without a database, for tests and simulations;
//   - migrate.go and migrations/: the tables.
//
// Words that tell one state of a database from another:
//
//   - a mark is a fact about the installation, kept under a name in a table of its own.
//     (The mark of a limit is another thing: the moment at which it is full again.)
//   - the epoch is a mark: random, and another one after a backup was restored or the
//     installation moved to another database. It
//     identifies the history of the data.
//   - an era is what a process remembers of the database that it opened: its epoch, how
//     far its numbers had come, and on SQLite which file it was. Where the database is
//     of another era, the process must end ([ErrReplaced]).
//   - the incarnation identifies a PostgreSQL server from one crash to the next, for
//     after a crash it tells transaction ids a second time. It is in a table that a
//     crash empties.
package store
