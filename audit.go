package splitpin

import "time"

// An AuditEvent is one line of what happened. It holds no address: Subject is a
// keyed hash of project and identifier, which stays meaningless after the user
// was deleted.
type AuditEvent struct {
	Number  int64
	Project int64
	At      time.Time
	Kind    string // "attempt_started", "answer_wrong", "session_ended", …
	Subject [12]byte
	User    int64
	Attempt int64
	Session int64
	Network string
	Detail  string // a code of ours or a short fact; never input
}
