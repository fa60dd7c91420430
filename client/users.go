package client

import (
	"context"
	"crypto/rand"
	"database/sql"
	"errors"
	"fmt"
	"regexp"
	"strings"
)

// A Key is what an app's user rows are keyed on. Subjects are unique within one
// project of one issuer only, so all three count.
type Key struct {
	Issuer  string
	Project string
	Subject string
}

// ErrNoUser is what [Users.Find] returns when no row has the key.
var ErrNoUser = errors.New("no user has this key")

// Users is the app's own user table.
type Users interface {
	// Find returns the app's id of the user with this key, or ErrNoUser.
	Find(ctx context.Context, key Key) (id string, err error)

	// Create makes the user with this key and returns its id. Contact is what the
	// person signed in with, to show and to write to.
	//
	// Two first logins of one person may get here at once, on two machines: both
	// must return the id of one and the same row, which only a unique constraint on
	// the key can guarantee.
	Create(ctx context.Context, key Key, contact string) (id string, err error)
}

// SQLUsers is [Users] in a table of an SQL database, SQLite (3.35 or newer) and
// PostgreSQL alike. The table needs the columns
//
//	id, contact, issuer, project, subject
//
// and a unique index over (issuer, project, subject); [SQLUsers.CreateTable] makes
// one like that, and it may have any other columns that have defaults. Without the
// index no user can be created: the database refuses the statement.
//
// A table that exists already, such as that of an app moving over from Cotter, gets
// the last three columns, nullable, and the index.
type SQLUsers struct {
	DB    *sql.DB
	Table string // empty: "users"

	// Contact names the column for what the person signed in with. Empty means
	// "contact". A unique constraint on it will refuse people one day, as addresses
	// change hands.
	Contact string

	// DatabaseIDs leaves the id to the database (an integer key that counts). By
	// default it is 128 random bits as text.
	DatabaseIDs bool

	// AdoptByAddress is for the move to this server from another one, and only for
	// that. The first login of a person without a row then takes over the one row
	// that has the person's proven address or number as its contact, and no subject.
	// With this the row has a subject and is never bound again; two rows with that
	// contact, or a contact that is neither address nor number, adopt nothing.
	//
	// It trusts that whoever proves an address today is whom the row was made for.
	// Switch it off when most people have been back.
	AdoptByAddress bool
}

// CreateTable makes the table if there is none.
func (u *SQLUsers) CreateTable(ctx context.Context) error {
	table, contact, err := u.names()
	if err != nil {
		return err
	}
	id := "id TEXT PRIMARY KEY"
	if u.DatabaseIDs {
		return errors.New("client: CreateTable makes text ids; with DatabaseIDs make the table yourself")
	}
	for _, statement := range []string{
		`CREATE TABLE IF NOT EXISTS ` + table + ` (
			` + id + `,
			` + contact + ` TEXT NOT NULL,
			issuer  TEXT,
			project TEXT,
			subject TEXT,
			created_at TIMESTAMP NOT NULL DEFAULT CURRENT_TIMESTAMP
		)`,
		`CREATE UNIQUE INDEX IF NOT EXISTS ` + table + `_subject ON ` + table + ` (issuer, project, subject)`,
	} {
		if _, err := u.DB.ExecContext(ctx, statement); err != nil {
			return fmt.Errorf("creating the table %s: %w", table, err)
		}
	}
	return nil
}

// Find implements [Users].
func (u *SQLUsers) Find(ctx context.Context, key Key) (id string, err error) {
	table, _, err := u.names()
	if err != nil {
		return "", err
	}
	err = u.DB.QueryRowContext(ctx,
		`SELECT id FROM `+table+` WHERE issuer = $1 AND project = $2 AND subject = $3`,
		key.Issuer, key.Project, key.Subject).Scan(&id)
	if errors.Is(err, sql.ErrNoRows) {
		return "", ErrNoUser
	}
	if err != nil {
		return "", fmt.Errorf("finding a user: %w", err)
	}
	return id, nil
}

// Create implements [Users].
func (u *SQLUsers) Create(ctx context.Context, key Key, contact string) (id string, err error) {
	if key.Issuer == "" || key.Project == "" || key.Subject == "" {
		return "", errors.New("client: a user needs issuer, project and subject")
	}
	id, err = u.create(ctx, key, contact)
	if err == nil {
		return id, nil
	}
	// Somebody else's Create may have been first: then there is nothing left to do.
	// That is so for sql.ErrNoRows, which stands for the conflict, and may be so for
	// an error of the database.
	found, findErr := u.Find(ctx, key)
	if findErr == nil {
		return found, nil
	}
	if errors.Is(err, sql.ErrNoRows) {
		err = findErr
	}
	return "", fmt.Errorf("creating a user: %w", err)
}

// create adopts or inserts; sql.ErrNoRows says that the key has a row already.
func (u *SQLUsers) create(ctx context.Context, key Key, contact string) (id string, err error) {
	table, column, err := u.names()
	if err != nil {
		return "", err
	}
	if u.AdoptByAddress && provable(contact) {
		// One statement, so that of two people who prove the address at once only one
		// gets the row.
		err := u.DB.QueryRowContext(ctx,
			`UPDATE `+table+` SET issuer = $1, project = $2, subject = $3
			WHERE subject IS NULL AND lower(`+column+`) = $4
			AND (SELECT count(*) FROM `+table+` WHERE lower(`+column+`) = $4) = 1
			RETURNING id`,
			key.Issuer, key.Project, key.Subject, strings.ToLower(contact)).Scan(&id)
		if !errors.Is(err, sql.ErrNoRows) {
			return id, err
		}
	}
	const conflict = ` ON CONFLICT (issuer, project, subject) DO NOTHING RETURNING id`
	if u.DatabaseIDs {
		err = u.DB.QueryRowContext(ctx,
			`INSERT INTO `+table+` (issuer, project, subject, `+column+`) VALUES ($1, $2, $3, $4)`+conflict,
			key.Issuer, key.Project, key.Subject, contact).Scan(&id)
	} else {
		err = u.DB.QueryRowContext(ctx,
			`INSERT INTO `+table+` (issuer, project, subject, `+column+`, id) VALUES ($1, $2, $3, $4, $5)`+conflict,
			key.Issuer, key.Project, key.Subject, contact, rand.Text()).Scan(&id)
	}
	return id, err
}

// provable tells whether an identifier is an email address or a phone number. The
// server puts one in a token only if the person proved it; names that are neither
// may be anybody's.
func provable(identifier string) bool {
	return strings.Contains(identifier, "@") || phone.MatchString(identifier)
}

var phone = regexp.MustCompile(`^\+[1-9][0-9]{6,14}$`)

// names returns table and contact column, which become part of statements.
func (u *SQLUsers) names() (table, contact string, err error) {
	table, contact = u.Table, u.Contact
	if table == "" {
		table = "users"
	}
	if contact == "" {
		contact = "contact"
	}
	for _, name := range []string{table, contact} {
		if !isSQLName(name) {
			return "", "", fmt.Errorf("client: %q is not the name of a table or column", name)
		}
	}
	return table, contact, nil
}

// isSQLName takes names of up to 63 bytes, as PostgreSQL does.
func isSQLName(name string) bool { return len(name) <= 63 && sqlName.MatchString(name) }

var sqlName = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)
