package simulation

import (
	"fmt"
	"strings"
)

// Counts are what happened in a run, or in many: how often the simulation had
// occasion to see something break.
type Counts struct {
	Runs, Steps, Events int

	starts, proofs, sessions, users         int
	refreshes, sameAgain, reuses            int
	ended, verified                         int
	mails, handed, resends, mailLost, twice int
	wrong, hardened, limited                int
	strangers, stolenUsed, forged           int
	forgedRefused, scans                    int
	rotations, generations, settings        int
	crashes, restarts, jumps                int
	unavailable, lost, timeouts             int
	stale, conflicts, swept                 int
	remembered, cameBack                    int
	passkeys, byPasskey, undone             int
	removed, overtaken                      int
	recoveries, heldBack, recovered         int
}

// A counter is one of the counts, what it counts, and how many there are at least
// in a thousand runs.
type counter struct {
	n     *int
	words string
	least int
}

// counters are all counts but the first three, in the order in which they are
// printed.
func (c *Counts) counters() []counter {
	return []counter{
		{&c.starts, "attempts begun", 4000},
		{&c.proofs, "attempts proved", 1500},
		{&c.sessions, "sessions opened", 1500},
		{&c.users, "users made", 800},
		{&c.refreshes, "refreshes that rotated", 5000},
		{&c.sameAgain, "refreshes by superseded tokens within the grace", 50},
		{&c.reuses, "sessions revoked by a superseded token", 40},
		{&c.ended, "sessions ended by their people", 500},
		{&c.verified, "tokens verified by others", 20000},
		{&c.mails, "letters taken by the mail server", 3000},
		{&c.handed, "letters handed to the outbox of their own node", 3000},
		{&c.resends, "letters asked for again", 200},
		{&c.mailLost, "letters taken whose node did not hear of it", 30},
		{&c.twice, "letters that came twice, with an excuse", 40},
		{&c.wrong, "wrong answers", 6000},
		{&c.hardened, "attempts with long codes, after too many of them", 200},
		{&c.limited, "starts refused by a limit", 300},
		{&c.strangers, "answers by strangers", 1000},
		{&c.stolenUsed, "copied refresh tokens shown", 400},
		{&c.forged, "forged refresh tokens shown", 2500},
		{&c.forgedRefused, "of them refused by a limit", 300},
		{&c.scans, "scans by GET and HEAD", 100},
		{&c.rotations, "steps of key rotation", 600},
		{&c.generations, "new generations of data keys", 100},
		{&c.settings, "changes of settings", 100},
		{&c.crashes, "crashes", 1500},
		{&c.restarts, "restarts", 1300},
		{&c.jumps, "clocks that jumped by an hour", 80},
		{&c.unavailable, "calls of the database that failed before the deed", 3000},
		{&c.lost, "answers lost after the deed", 4000},
		{&c.timeouts, "answers that came too late", 15},
		{&c.stale, "steps that ran over stale records first", 5000},
		{&c.conflicts, "of them with another commit in between", 250},
		{&c.swept, "records swept", 10000},
		{&c.remembered, "browsers remembered", 400},
		{&c.cameBack, "sign-ins by a remembered browser", 80},
		{&c.passkeys, "passkeys made", 140},
		{&c.byPasskey, "sign-ins by a passkey", 100},
		{&c.recoveries, "recoveries begun", 80},
		{&c.heldBack, "right codes that waited for a recovery", 140},
		{&c.recovered, "sign-ins by a recovery", 30},
		{&c.undone, "credentials taken back by a link", 120},
		{&c.removed, "credentials removed by their people", 12},
		{&c.overtaken, "sign-ins overtaken by a log-out, a removal or an undo", 110},
	}
}

// Add adds the counts of another run.
func (c *Counts) Add(other Counts) {
	c.Runs, c.Steps, c.Events = c.Runs+other.Runs, c.Steps+other.Steps, c.Events+other.Events
	from := other.counters()
	for i, x := range c.counters() {
		*x.n += *from[i].n
	}
}

// String is a line for each counter.
func (c Counts) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%9d worlds, %d steps, %d events\n", c.Runs, c.Steps, c.Events)
	for _, x := range c.counters() {
		fmt.Fprintf(&b, "%9d %s\n", *x.n, x.words)
	}
	return b.String()
}

// Lacks names what happened too seldom, for so many runs, to say that it was
// simulated.
func (c Counts) Lacks() []string {
	var lacks []string
	for _, x := range c.counters() {
		if least := x.least * c.Runs / 1000; *x.n < least {
			lacks = append(lacks, fmt.Sprintf("%d %s in %d worlds, want %d", *x.n, x.words, c.Runs, least))
		}
	}
	return lacks
}
