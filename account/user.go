package account

import (
	"time"

	"github.com/splitpin/splitpin"
)

// Errors of creating a user. Their words are the ones that published clients
// compare with or show (contract 3.1; security 1).
var (
	ErrExists      = &splitpin.Error{Kind: splitpin.Conflict, Code: "user_exists", Message: "User already exists"}
	ErrVerifyFirst = &splitpin.Error{Kind: splitpin.Forbidden, Code: "verify_first",
		Message: "Please verify this address first: start a sign-in for it."}
)

// A Person is what is known of somebody before there is a user: fresh numbers
// that are used when one has to be created, and lost when not.
type Person struct {
	Number     int64
	ID         splitpin.UUID
	Project    int64
	Identifier string
	Kind       splitpin.IdentifierKind
	Locale     string
}

// Prove finds or creates the user for whom an identifier was just proved. found
// is the user who has that identifier, or nil. It is pure: the caller saves the
// user it returns, by creating it when created is set and by putting it when
// changed is set.
//
// A user who was never proved (created by a backend, imported) becomes proved by
// the first proof and keeps the id; such a user has no session that could
// survive it, because package token refuses to name an address that was not
// proved.
func Prove(now time.Time, found *splitpin.User, p Person) (u *splitpin.User, created, changed bool) {
	if found == nil {
		return &splitpin.User{
			Number: p.Number, ID: p.ID, Project: p.Project,
			Identifier: p.Identifier, Kind: p.Kind, ProvedAt: now,
			Locale: p.Locale, CreatedAt: now, UpdatedAt: now,
		}, true, false
	}
	if found.ProvedAt.IsZero() {
		found.ProvedAt, found.UpdatedAt = now, now
		return found, false, true
	}
	return found, false, false
}

// Register makes a user without a proof. Only a backend that showed a server
// secret may do so for an address; a stranger gets a name that proves nothing.
func Register(now time.Time, p Person, clientUserID string, trusted bool) (*splitpin.User, error) {
	if !trusted && p.Kind != splitpin.OtherName {
		return nil, ErrVerifyFirst
	}
	if p.Identifier == "" {
		p.Identifier, p.Kind = clientUserID, splitpin.OtherName
	}
	if !trusted || clientUserID == p.ID.String() {
		// The ids of an app are the app's to give: a stranger who took them could
		// keep the app's own users from moving in.
		clientUserID = ""
	}
	return &splitpin.User{
		Number: p.Number, ID: p.ID, Project: p.Project,
		Identifier: p.Identifier, Kind: p.Kind, ClientUserID: clientUserID,
		Locale: p.Locale, CreatedAt: now, UpdatedAt: now,
	}, nil
}
