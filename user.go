package splitpin

import "time"

// A User is a person in one project, known by one identifier.
type User struct {
	Number  int64
	ID      UUID // the subject of tokens; never changes, never reused
	Project int64

	// Identifier is an email address, a phone number or any other name, in the
	// canonical form of account.ParseIdentifier; unique within the project.
	Identifier string
	Kind       IdentifierKind
	// ProvedAt tells when this project first saw the identifier proved. Zero:
	// never, and then no token may name the identifier as an address.
	ProvedAt time.Time

	ClientUserID string // the id an old app gave; empty: the same as ID. Unique within the project
	Locale       string // of messages; empty: the project's

	// PasskeyRequired users are let in by a passkey; another proof only begins a
	// recovery, which takes time and is announced.
	PasskeyRequired bool
	// SeenAt is the day on which the user last signed in, at midnight UTC. It moves at most
	// once a month, so it is early by up to that; where Kind is Phone, once a day. Zero:
	// never since it is kept.
	SeenAt time.Time
	// UndoneAt is when the user last took something back that a stranger had added, said of a
	// sign-in that it was somebody else's, or ended all sessions: what was proved or begun
	// before adds nothing and opens nothing any more. Zero: never.
	UndoneAt time.Time

	CreatedAt time.Time
	UpdatedAt time.Time
}

// LegacyID is the client_user_id that old clients see.
func (u *User) LegacyID() string {
	if u.ClientUserID != "" {
		return u.ClientUserID
	}
	return u.ID.String()
}

// An IdentifierKind tells what an identifier is, and so what proves it.
type IdentifierKind int8

const (
	OtherName IdentifierKind = iota // anything that parses as neither of the next two
	Email
	Phone
)

// String returns the words of Cotter's wire (contract 6.1): EMAIL, PHONE, OTHER.
func (k IdentifierKind) String() string {
	switch k {
	case Email:
		return "EMAIL"
	case Phone:
		return "PHONE"
	}
	return "OTHER"
}
