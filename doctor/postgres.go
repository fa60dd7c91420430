package doctor

import (
	"errors"
	"fmt"
	"net"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/splitpin/splitpin"
	"github.com/splitpin/splitpin/store"
)

// NoPostgres says that the server gives no answer.
func NoPostgres(r *Report, err error) {
	r.problem("database", "", "PostgreSQL gives no answer: "+strings.Join(perHost(err), "; "), "Check database in the configuration, and that the server lets this machine in.")
}

// perHost says of each host that was tried why it gave no answer, once.
func perHost(err error) (all []string) {
	for at := err; at != nil; at = errors.Unwrap(at) {
		several, ok := at.(interface{ Unwrap() []error })
		if !ok {
			continue
		}
		for _, e := range several.Unwrap() {
			for _, text := range perHost(e) {
				if !slices.Contains(all, text) {
					all = append(all, text)
				}
			}
		}
		return all
	}
	var dial *net.OpError
	if errors.As(err, &dial) && dial.Addr != nil {
		why := dial.Err
		if call := (*os.SyscallError)(nil); errors.As(why, &call) {
			why = call.Err
		}
		return []string{short(dial.Addr.String() + ": " + why.Error())}
	}
	return []string{short(err.Error())}
}

// Postgres looks at the server that the data lies on. now is this machine's clock
// when the answer came.
func Postgres(r *Report, now time.Time, seen store.PostgresInspection) {
	switch {
	case seen.Version/10000 < store.OldestPostgres:
		r.problem("database", "", "PostgreSQL "+short(seen.Name)+" is too old", fmt.Sprintf("Use version %d or later.", store.OldestPostgres))
	case seen.Standby:
		r.problem("database", "", "this PostgreSQL server follows another one and takes no writes", "Name the primary in database, or all servers with target_session_attrs=read-write.")
	case seen.Tables == 0:
		r.problem("database", "", "there are no tables in it yet", "Make the first project with 'splitpin project create'.")
	case seen.Tables != seen.Known:
		otherTables(r, seen.Tables, seen.Known)
	default:
		r.ok("database", "", fmt.Sprintf("PostgreSQL %s, tables of version %d", short(seen.Name), seen.Tables))
	}

	var lost []string
	if !seen.Fsync {
		lost = append(lost, "fsync is off")
	}
	if !seen.FullPageWrites {
		lost = append(lost, "full_page_writes is off")
	}
	if seen.SynchronousCommit == "off" {
		lost = append(lost, "synchronous_commit is off")
	}
	if len(lost) > 0 {
		r.problem("durability", "", strings.Join(lost, ", ")+": a crash can lose or damage what was acknowledged", "Switch it on in postgresql.conf, or for the role with ALTER ROLE.")
	} else {
		r.ok("durability", "", "every commit is synced (synchronous_commit = "+short(seen.SynchronousCommit)+")")
	}

	// The question was under way for TookFor, and its answer came at now.
	off := max(seen.Time.Sub(now.Add(-seen.TookFor/2)).Abs()-seen.TookFor/2, 0).Round(100 * time.Millisecond)
	if off > splitpin.ClockSkew {
		r.problem("database_clock", "", "the database's clock differs from this machine's by "+off.String(), fmt.Sprintf("Let both take their time from NTP: a node that differs by more than %v is not ready.", splitpin.ClockSkew))
	} else {
		r.ok("database_clock", "", "the database's clock agrees with this machine's")
	}

	switch {
	case seen.SlotLag > 10<<30:
		r.warning("replication", "", "a replication slot holds back "+bytesOf(seen.SlotLag)+" of log, which fills the disk", "Bring its standby back, or drop the slot.")
	case seen.Standbys == 0:
		r.ok("replication", "", "no standby follows; the backup is all there is when the disk is lost")
	default:
		r.ok("replication", "", fmt.Sprintf("standbys that follow: %d", seen.Standbys))
	}
	r.ok("size", "", bytesOf(seen.Size))
}
