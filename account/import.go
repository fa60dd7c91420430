package account

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/splitpin/splitpin"
	"github.com/splitpin/splitpin/keyring"
)

// An Imported user is one object of Cotter's user list (contract 3.3). Other
// fields are ignored.
type Imported struct {
	ID           string     `json:"ID"`
	ClientUserID string     `json:"client_user_id"`
	Identifier   string     `json:"identifier"`
	CreatedAt    time.Time  `json:"created_at"`
	DeletedAt    *time.Time `json:"deleted_at"`
}

// Report tells how an import went.
type Report struct {
	Created int // users that are here now and were not before
	Known   int // users that were here already, with the same id and identifier
	Deleted int // users that the list calls deleted: left out
	Refused []Refused
}

// Refused is one object of the list that did not become a user.
type Refused struct {
	Index int // in the list, from 0
	Why   string
}

const importBatch = 200 // users in one commit

// Import moves users in from the JSON array of contract 3.3 and keeps ID,
// client_user_id and created_at. What is wrong with one user refuses that user
// and no other. Importing the same list again changes nothing, so an import that
// was cut off is simply repeated. progress, if not nil, hears after each commit
// how many were looked at.
//
// Imported addresses count as not proved: this project never saw the proof. The
// first sign-in proves them and keeps the id.
func (d *Directory) Import(ctx context.Context, project int64, list io.Reader, progress func(seen int)) (Report, error) {
	var report Report
	dec := json.NewDecoder(list)
	if t, err := dec.Token(); err != nil || t != json.Delim('[') {
		return report, errors.New("reading the list: it must be one JSON array of users")
	}
	var batch []*splitpin.User
	var places []int
	seen := 0
	flush := func(seen int) error {
		if err := d.importBatch(ctx, batch, places, &report); err != nil {
			return err
		}
		batch, places = batch[:0], places[:0]
		if progress != nil {
			progress(seen)
		}
		return nil
	}
	for ; dec.More(); seen++ {
		var one json.RawMessage
		if err := dec.Decode(&one); err != nil {
			// What came before is sound: an import that is repeated has less to do.
			err = errors.Join(fmt.Errorf("reading user %d of the list: %w", seen+1, err), flush(seen))
			return report, err
		}
		var in Imported
		if err := json.Unmarshal(one, &in); err != nil {
			report.Refused = append(report.Refused, Refused{seen, "a field has the wrong type: " + err.Error()})
			continue
		}
		if in.DeletedAt != nil && in.DeletedAt.Year() > 1 {
			report.Deleted++
			continue
		}
		u, why := d.imported(ctx, project, in)
		if why != nil {
			var refusal refusal
			if !errors.As(why, &refusal) {
				return report, why
			}
			report.Refused = append(report.Refused, Refused{seen, why.Error()})
			continue
		}
		batch, places = append(batch, u), append(places, seen)
		if len(batch) == importBatch {
			if err := flush(seen + 1); err != nil {
				return report, err
			}
		}
	}
	err := flush(seen) // before the report is looked at
	if _, end := dec.Token(); end != nil {
		return report, errors.Join(fmt.Errorf("reading the end of the list: %w", end), err)
	}
	if _, more := dec.Token(); more != io.EOF {
		return report, errors.Join(errors.New("reading the list: there is something after the end of it"), err)
	}
	return report, err
}

type refusal string

func (r refusal) Error() string { return string(r) }

func (d *Directory) imported(ctx context.Context, project int64, in Imported) (*splitpin.User, error) {
	if in.ID == "" {
		return nil, refusal("ID is missing")
	}
	id, err := splitpin.ParseUUID(in.ID)
	if err != nil || id.IsZero() {
		return nil, refusal("ID is not a UUID")
	}
	identifier, kind := in.Identifier, splitpin.OtherName
	if identifier == "" {
		identifier = in.ClientUserID
	}
	if identifier == "" {
		return nil, refusal("identifier is missing")
	}
	if identifier, kind, err = ParseIdentifier(identifier); err != nil {
		if why := splitpin.ErrorOf(err); why != nil && why != ErrIdentifier { // a number, with what is wrong about it
			return nil, refusal("identifier: " + why.Message)
		}
		return nil, refusal("identifier is neither an address, a number nor a name")
	}
	client := in.ClientUserID
	if !splitpin.IsText(client) {
		return nil, refusal("client_user_id is no text")
	}
	if client == id.String() {
		client = ""
	}
	number, err := d.Store.NextNumber(ctx)
	if err != nil {
		return nil, fmt.Errorf("asking for a number: %w", err)
	}
	created := in.CreatedAt.UTC().Truncate(time.Microsecond)
	if created.Year() <= 1 {
		created = d.moment()
	}
	return &splitpin.User{Number: number, ID: id, Project: project, Identifier: identifier, Kind: kind,
		ClientUserID: client, CreatedAt: created, UpdatedAt: d.moment()}, nil
}

// importBatch saves a batch in one commit, or one by one where something of it
// is here already.
func (d *Directory) importBatch(ctx context.Context, batch []*splitpin.User, places []int, report *Report) error {
	if len(batch) == 0 {
		return nil
	}
	err := d.create(ctx, batch...)
	if err == nil {
		report.Created += len(batch)
		return nil
	}
	if !errors.Is(err, splitpin.ErrConflict) {
		return fmt.Errorf("saving imported users: %w", err)
	}
	for i, u := range batch {
		switch err := d.create(ctx, u); {
		case err == nil:
			report.Created++
		case !errors.Is(err, splitpin.ErrConflict):
			return fmt.Errorf("saving an imported user: %w", err)
		default:
			here, err := d.ByID(ctx, u.Project, u.ID.String())
			if err != nil && !errors.Is(err, splitpin.ErrNotFound) {
				return err
			}
			if err == nil && here.ID == u.ID && here.Identifier == u.Identifier {
				report.Known++
				continue
			}
			report.Refused = append(report.Refused, Refused{places[i], "the ID, the identifier or the client_user_id belongs to another user already"})
		}
	}
	return nil
}

func (d *Directory) create(ctx context.Context, users ...*splitpin.User) error {
	return d.Store.Change(ctx, splitpin.Reads{}, func(*splitpin.Records) (splitpin.Writes, error) {
		var w splitpin.Writes
		for _, u := range users {
			w.Create = append(w.Create, u)
		}
		return w, nil
	})
}

// An Export is everything this server holds about one person, for that person.
type Export struct {
	User        ExportedUser         `json:"user"`
	Sessions    []ExportedSession    `json:"sessions"`
	Credentials []ExportedCredential `json:"credentials"`
	Events      []ExportedEvent      `json:"events"`
}

// ExportedUser is the person as such.
type ExportedUser struct {
	ID           string    `json:"ID"` // names and spelling as Import reads them
	ClientUserID string    `json:"client_user_id"`
	Identifier   string    `json:"identifier"`
	Locale       string    `json:"locale,omitempty"`
	ProvedAt     time.Time `json:"proved_at,omitzero"`
	CreatedAt    time.Time `json:"created_at"`
	UpdatedAt    time.Time `json:"updated_at"`
}

// ExportedSession is one live session.
type ExportedSession struct {
	ID        int64     `json:"id"`
	Method    string    `json:"auth_method"`
	Device    string    `json:"device"`
	Network   string    `json:"network"`
	CreatedAt time.Time `json:"created_at"`
	UsedAt    time.Time `json:"used_at"`
	ExpiresAt time.Time `json:"expires_at"`

	Claims json.RawMessage `json:"claims,omitempty"` // what a backend added to its tokens
}

// ExportedCredential is something the person can sign in with besides the address. What
// it is checked by, and what a provider gave us, is not the person's to use and stays here.
type ExportedCredential struct {
	ID        int64     `json:"id"`
	Kind      string    `json:"kind"`
	Label     string    `json:"label"`
	Site      string    `json:"site,omitempty"`
	Device    string    `json:"device,omitempty"`
	CreatedAt time.Time `json:"created_at"`
	UsedAt    time.Time `json:"used_at,omitzero"`
	ExpiresAt time.Time `json:"expires_at,omitzero"`
}

// ExportedEvent is one line of the audit log.
type ExportedEvent struct {
	At      time.Time `json:"at"`
	Kind    string    `json:"kind"`
	Network string    `json:"network,omitempty"`
	Detail  string    `json:"detail,omitempty"`
}

// ExportUser renders a user as Import reads it.
func ExportUser(u *splitpin.User) ExportedUser {
	return ExportedUser{ID: u.ID.String(), ClientUserID: u.LegacyID(), Identifier: u.Identifier, Locale: u.Locale,
		ProvedAt: u.ProvedAt, CreatedAt: u.CreatedAt, UpdatedAt: u.UpdatedAt}
}

// Export gathers what is held about a user, with at most 1000 events.
func (d *Directory) Export(ctx context.Context, u *splitpin.User) (*Export, error) {
	out := &Export{User: ExportUser(u), Sessions: []ExportedSession{}, Credentials: []ExportedCredential{}, Events: []ExportedEvent{}}
	sessions, err := d.Store.Sessions(ctx, u.Number)
	if err != nil {
		return nil, fmt.Errorf("listing sessions: %w", err)
	}
	for _, s := range sessions {
		if !s.Live(d.moment()) || d.Ring.Destroyed(keyring.Refresh, s.KeyGeneration) {
			continue
		}
		out.Sessions = append(out.Sessions, ExportedSession{ID: s.Number, Method: s.AuthMethod, Device: s.Device,
			Network: s.Network, CreatedAt: s.CreatedAt, UsedAt: s.UsedAt, ExpiresAt: s.ExpiresAt,
			Claims: json.RawMessage(s.Claims)})
	}
	has, err := d.Store.Load(ctx, splitpin.Reads{User: u.Number, Credentials: true})
	if err != nil {
		return nil, fmt.Errorf("listing credentials: %w", err)
	}
	for _, c := range has.Credentials {
		if c.Live(d.moment()) && c.Kind.Shown() {
			out.Credentials = append(out.Credentials, ExportedCredential{ID: c.Number, Kind: string(c.Kind), Label: c.Label,
				Site: c.Site, Device: c.Device, CreatedAt: c.CreatedAt, UsedAt: c.UsedAt, ExpiresAt: c.ExpiresAt})
		}
	}
	subject, err := Subject(d.Ring, u.Project, u.Identifier)
	if err != nil {
		return nil, fmt.Errorf("naming the subject: %w", err)
	}
	events, err := d.Store.AuditEvents(ctx, splitpin.AuditFilter{Project: u.Project, Subject: subject}, 1000)
	if err != nil {
		return nil, fmt.Errorf("listing events: %w", err)
	}
	for _, e := range events {
		out.Events = append(out.Events, ExportedEvent{At: e.At, Kind: e.Kind, Network: e.Network, Detail: e.Detail})
	}
	return out, nil
}
