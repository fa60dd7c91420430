package splitpin

import "time"

// A Message is one entry of the outbox. It names the template and the attempt;
// the code or link it will contain is derived when it is sent and stored
// nowhere. One that tells of a credential names that, and outlives its attempt.
type Message struct {
	Number   int64
	Project  int64
	Attempt  int64
	Sequence int // which message of its attempt, from 1

	// User and Credential are who is told of what was added. Zero: it belongs to its attempt.
	User       int64
	Credential int64

	Channel  Channel
	Fallback Channel // used instead when Channel cannot reach this reader; empty: nothing
	To       string
	Template string // name within the channel: "code"
	Locale   string

	CreatedAt time.Time
	ExpiresAt time.Time // nothing is sent after this

	Tries     int       // handed to a sender so often
	DueAt     time.Time // not before this; moves into the future while a node tries
	SentAt    time.Time // zero until a sender accepted it
	GivenUpAt time.Time // zero unless it will never be sent
	Reason    string    // of the last failure, for the operator; holds no code

	// What its carrier told later about Channel. A message that then goes on over another
	// one starts anew.
	ReportedAt time.Time // zero: nothing was told
	Report     string    // "delivered", or the stage at which it failed: "recipient"

	// Cost is what was set aside of the project's budget for it, in millionths of the
	// price table's currency. Zero: nothing.
	Cost int64
}

// A Channel is a way to reach a person.
type Channel string

const (
	EmailChannel    Channel = "email"
	SMSChannel      Channel = "sms"
	WhatsAppChannel Channel = "whatsapp"
)
