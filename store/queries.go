package store

import (
	"fmt"
	"slices"
	"strings"
)

// A query is a statement that every engine understands: placeholders $1, $2 …,
// ON CONFLICT, RETURNING. An engine keeps what it prepared of it under index.
type query struct {
	text       string
	index      int
	parameters int // $1 to this
}

var queries []*query

func newQuery(format string, args ...any) *query {
	text, parameters := fmt.Sprintf(format, args...), 0
	for strings.Contains(text, fmt.Sprintf("$%d", parameters+1)) {
		parameters++
	}
	return addQuery(text, parameters)
}

func addQuery(text string, parameters int) *query {
	q := &query{text: text, index: len(queries), parameters: parameters}
	queries = append(queries, q)
	return q
}

// A table is where one kind of record is kept, and the statements that save it.
// The parameters of each are the columns of the record, in order, as many as
// the statement names.
type table[R any] struct {
	name   string
	list   string // "number, id, …"
	visit  func(*R, columns)
	create *query
	put    *query
	delete *query

	// same is put for a record none of whose indexed columns changed; it matches
	// no row where one did. An UPDATE that names an indexed column rewrites the
	// index even when nothing changed, which would cost a page or two for each
	// refresh of a session. Nil where nothing but the key is indexed, or where what is
	// indexed changes each time anyway.
	same *query

	bumps bool // Store.Version tells about its changes

	kept *kept[R] // by the writer of SQLite; nil: not at all
}

// newTable describes a table by its columns; the first keys of them are its
// primary key, indexed are those others that an index mentions.
func newTable[R any](name string, visit func(*R, columns), keys int, indexed, list string) *table[R] {
	names := strings.Fields(list)
	t := &table[R]{name: name, list: strings.Join(names, ", "), visit: visit}

	var marks, where, set, fixed, loose []string
	for i, column := range names {
		mark := fmt.Sprintf("$%d", i+1)
		marks = append(marks, mark)
		switch {
		case i < keys:
			where = append(where, column+" = "+mark)
		case slices.Contains(strings.Fields(indexed), column):
			set = append(set, column+" = "+mark)
			fixed = append(fixed, column+" = "+mark)
		default:
			set = append(set, column+" = "+mark)
			loose = append(loose, column+" = "+mark)
		}
	}
	key := strings.Join(where, " AND ")
	t.create = newQuery("INSERT INTO %s (%s) VALUES (%s)", name, t.list, strings.Join(marks, ", "))
	t.put = newQuery("UPDATE %s SET %s WHERE %s", name, strings.Join(set, ", "), key)
	t.delete = newQuery("DELETE FROM %s WHERE %s", name, key)
	if len(fixed) > 0 {
		t.same = newQuery("UPDATE %s SET %s WHERE %s AND %s", name,
			strings.Join(loose, ", "), key, strings.Join(fixed, " AND "))
	}
	return t
}

// listOf is the list with the name of the table, or of what stands for it.
func (t *table[R]) listOf(name string) string {
	return name + "." + strings.ReplaceAll(t.list, ", ", ", "+name+".")
}

// where returns a query for whole records.
func (t *table[R]) where(rest string) *query {
	return newQuery("SELECT %s FROM %s %s", t.list, t.name, rest)
}

// Tables, each with the columns that its function in columns.go visits.
var (
	projects = newTable("projects", projectColumns, 1, "id",
		"number id is_default settings secrets created_at updated_at")
	dataKeys = newTable("data_keys", dataKeyColumns, 2, "",
		"purpose generation wrapped created_at")
	signingKeys = newTable("signing_keys", signingKeyColumns, 1, "",
		"number project use kid public wrapped generation announced_at active_at retiring_at gone_at")
	users = newTable("users", userColumns, 1, "id project identifier client_user_id created_at",
		"number id project identifier kind proved_at client_user_id locale created_at updated_at passkey_required seen_at undone_at")
	attempts = newTable("attempts", attemptColumns, 1, "",
		`number nonce project purpose method identifier kind starter challenge destination origin form_id data
		key_generation tries max_tries sends next_send_at device network locale
		created_at expires_at proved_at denied_at collected_at proved_user
		for_user for_session parent client_state client_data pending link_tries link_opens credential link whose`)
	grants = newTable("grants", grantColumns, 1, "",
		"number hash attempt project for_user challenge destination origin created_at expires_at spent_at session")
	guesses = newTable("guesses", guessesColumns, 1, "",
		"key day wrong")
	sessions = newTable("sessions", sessionColumns, 1, "of_user revoked_at",
		`number project of_user salt key_generation counter older_counter older_at newer_counter newer_at static
		auth_method auth_at device network origin created_at used_at idle_until expires_at revoked_at credential claims exchanged_at proof`)
	messages = newTable("messages", messageColumns, 1, "", // whoever saves one changes an indexed column
		`number project attempt sequence channel recipient template locale created_at expires_at
		tries due_at sent_at given_up_at reason fallback cost reported_at report of_user credential`)
	credentials = newTable("credentials", credentialColumns, 1, "project of_user kind key",
		`number project of_user kind key data sealed key_generation label site device session proof
		created_at used_at expires_at`)
	auditEvents = newTable("audit_events", auditEventColumns, 1, "",
		"number project at kind subject of_user attempt session network detail")
)

func init() { projects.bumps, dataKeys.bumps, signingKeys.bumps = true, true, true }

var (
	projectByID  = projects.where("WHERE id = $1")
	projectsAll  = projects.where("ORDER BY number")
	dataKeysAll  = dataKeys.where("ORDER BY purpose, generation")
	signingAll   = signingKeys.where("ORDER BY number")
	signingLeft  = signingKeys.where("WHERE gone_at = 0 ORDER BY number")
	userByNumber = users.where("WHERE number = $1")
	userByID     = users.where("WHERE project = $1 AND id = $2")
	userByName   = users.where("WHERE project = $1 AND identifier = $2")
	userByClient = users.where("WHERE project = $1 AND client_user_id = $2 AND client_user_id <> ''")
	usersNewest  = users.where("WHERE project = $1 ORDER BY created_at DESC, number DESC LIMIT $2 OFFSET $3")
	attemptByKey = attempts.where("WHERE number = $1")
	grantByKey   = grants.where("WHERE number = $1")
	guessesByKey = guesses.where("WHERE key = $1")
	sessionByKey = sessions.where("WHERE number = $1")
	sessionUser  = newQuery("SELECT %s, %s FROM sessions LEFT JOIN users ON users.number = sessions.of_user WHERE sessions.number = $1",
		sessions.listOf("sessions"), users.listOf("users"))
	sessionsLive    = sessions.where("WHERE of_user = $1 AND revoked_at = 0 ORDER BY created_at DESC, number DESC")
	credentialKeyed = credentials.where("WHERE project = $1 AND kind = $2 AND key = $3")
	credentialsOf   = credentials.where("WHERE of_user = $1 ORDER BY created_at DESC, number DESC")
	// From one site to the next by the index, however many credentials each has.
	credentialSites = credentials.where(`WHERE number IN (
		WITH RECURSIVE sites (site) AS (
			SELECT min(site) FROM credentials WHERE project = $1 AND kind = $2
			UNION ALL
			SELECT (SELECT min(c.site) FROM credentials c WHERE c.project = $1 AND c.kind = $2 AND c.site > sites.site)
			FROM sites WHERE sites.site IS NOT NULL)
		SELECT (SELECT min(c.number) FROM credentials c WHERE c.project = $1 AND c.kind = $2 AND c.site = sites.site)
		FROM sites WHERE sites.site IS NOT NULL) ORDER BY site`)
	credentialsAt = newQuery("SELECT count(*) FROM credentials WHERE project = $1 AND kind = $2 AND site = $3")
	messageByKey  = messages.where("WHERE number = $1")
	messagesDue   = messages.where("WHERE due_at <= $1 AND sent_at = 0 AND given_up_at = 0 ORDER BY due_at, number LIMIT $2")
	messageClaim  = newQuery("UPDATE messages SET due_at = $2, tries = tries + 1 WHERE number = $1")
	messagesNewer = messages.where(`WHERE ($1 = 0 OR project = $1) AND ($2 = 0 OR attempt = $2)
		AND ($3 = '' OR recipient = $3) AND ($4 = 0 OR given_up_at <> 0) ORDER BY number DESC LIMIT $5`)
	eventsNewer = auditEvents.where(eventsWanted + " ORDER BY number DESC LIMIT $7")
	// Those with numbers above the last event that is older than $8.
	eventsSince = auditEvents.where(eventsWanted + ` AND number > coalesce((SELECT old.number FROM audit_events AS old WHERE old.at < $8
		ORDER BY old.number DESC LIMIT 1), 0) ORDER BY at DESC, number DESC LIMIT $7`)

	counterAdd = newQuery("UPDATE counters SET value = value + $2 WHERE name = $1 RETURNING value")
	counterGet = newQuery("SELECT value FROM counters WHERE name = $1")
)

const eventsWanted = `WHERE ($1 = 0 OR project = $1) AND ($2 = 0 OR of_user = $2)
		AND ($3 = 0 OR session = $3) AND ($4 = '' OR kind = $4) AND ($5 = 0 OR subject = $6)`

// A sweeper finds and deletes the records of one table whose life is over. dead
// is the condition, with $1 for the moment that decides.
type sweeper struct {
	find      *query // numbers after $2, dead or not, at most $3, with whether they are dead
	remove    *query // by number $2, if it is dead still
	removeAll *query // PostgreSQL: those of $2 that are dead still and that nobody has locked
}

func newSweeper(table, key, dead string) sweeper {
	return sweeper{
		find:   newQuery("SELECT %s, %s FROM %s WHERE %s > $2 ORDER BY %s LIMIT $3", key, dead, table, key, key),
		remove: newQuery("DELETE FROM %s WHERE %s = $2 AND %s", table, key, dead),
		removeAll: newQuery("DELETE FROM %s WHERE %s IN (SELECT %s FROM %s WHERE %s = ANY($2) AND %s ORDER BY %s FOR UPDATE SKIP LOCKED)",
			table, key, key, table, key, dead, key),
	}
}

var (
	sweepGrants      = newSweeper("grants", "number", "expires_at <= $1")
	sweepMessages    = newSweeper("messages", "number", "expires_at <= $1")
	sweepAttempts    = newSweeper("attempts", "number", "expires_at <= $1")
	sweepSessions    = newSweeper("sessions", "number", "(revoked_at <> 0 OR idle_until <= $1 OR expires_at <= $1)")
	sweepCredentials = newSweeper("credentials", "number", "(expires_at <> 0 AND expires_at <= $1)")
	sweepGuesses     = newSweeper("guesses", "key", "day < $1")
	sweepEvents      = newSweeper("audit_events", "number", "at < $1")
)
