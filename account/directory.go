package account

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/splitpin/splitpin"
	"github.com/splitpin/splitpin/keyring"
)

// PageSize is how many users a page of List holds (contract 3.3).
const PageSize = 50

// A Directory finds, creates, moves in and erases users. Its methods may be
// called from many goroutines.
type Directory struct {
	Store splitpin.Store
	Ring  *keyring.Ring
	Clock func() time.Time
}

func (d *Directory) moment() time.Time { return d.Clock().UTC().Truncate(time.Microsecond) }

// ByIdentifier returns the user with an identifier, as somebody wrote it. Its
// error is splitpin.ErrNotFound, also for what is no identifier.
func (d *Directory) ByIdentifier(ctx context.Context, project int64, raw string) (*splitpin.User, error) {
	identifier, _, err := ParseIdentifier(raw)
	if err != nil {
		return nil, splitpin.ErrNotFound
	}
	return d.one(ctx, splitpin.Reads{Name: splitpin.Name{Project: project, Identifier: identifier}})
}

// ByID returns a user by UUID or by the id an old app gave. Its error is
// splitpin.ErrNotFound.
func (d *Directory) ByID(ctx context.Context, project int64, id string) (*splitpin.User, error) {
	key := splitpin.UserKey{Project: project}
	if uuid, err := splitpin.ParseUUID(id); err == nil {
		key.ID = uuid
		u, err := d.one(ctx, splitpin.Reads{UserID: key})
		if !errors.Is(err, splitpin.ErrNotFound) {
			return u, err
		}
		key.ID = splitpin.UUID{} // an old app may have used UUIDs of its own
	}
	if id == "" {
		return nil, splitpin.ErrNotFound
	}
	key.ClientUserID = id
	return d.one(ctx, splitpin.Reads{UserID: key})
}

func (d *Directory) one(ctx context.Context, reads splitpin.Reads) (*splitpin.User, error) {
	r, err := d.Store.Load(ctx, reads)
	if err != nil {
		return nil, fmt.Errorf("loading a user: %w", err)
	}
	if r.User == nil {
		return nil, splitpin.ErrNotFound
	}
	return r.User, nil
}

// List returns a page of users, newest first, from page 0, and whether there is
// another.
func (d *Directory) List(ctx context.Context, project int64, page int) (users []*splitpin.User, more bool, err error) {
	if page < 0 || page > 1<<30/PageSize {
		return nil, false, nil
	}
	users, err = d.Store.Users(ctx, project, page*PageSize, PageSize+1)
	if err != nil {
		return nil, false, fmt.Errorf("listing users: %w", err)
	}
	if len(users) > PageSize {
		return users[:PageSize], true, nil
	}
	return users, false, nil
}

// Create makes a user without a proof. A caller that is not trusted, because it
// showed no server secret, may only make names (see Register). Its errors are
// ErrIdentifier, ErrVerifyFirst and ErrExists.
func (d *Directory) Create(ctx context.Context, project int64, raw, clientUserID string, trusted bool) (*splitpin.User, error) {
	p := Person{Project: project, ID: splitpin.NewUUID()}
	var err error
	if raw != "" {
		if p.Identifier, p.Kind, err = ParseIdentifier(raw); err != nil {
			return nil, err
		}
	}
	if clientUserID != "" {
		// An old app's own id also names the user where no identifier is given, so
		// it must not look like an address that nobody proved.
		name, kind, err := ParseIdentifier(clientUserID)
		if err != nil || name != clientUserID || kind != splitpin.OtherName {
			return nil, ErrIdentifier.In("client_user_id")
		}
	} else if raw == "" {
		return nil, ErrIdentifier
	}
	if p.Number, err = d.Store.NextNumber(ctx); err != nil {
		return nil, fmt.Errorf("asking for a number: %w", err)
	}
	u, err := Register(d.moment(), p, clientUserID, trusted)
	if err != nil {
		return nil, err
	}
	event, err := d.event(ctx, project, u.Identifier, "user_registered")
	if err != nil {
		return nil, err
	}
	event.User = u.Number
	// Backends of old apps find people by client_user_id, which is the ID of those
	// who have none of their own: nobody may take the ID of another for it.
	reads := splitpin.Reads{}
	if other, err := splitpin.ParseUUID(u.ClientUserID); err == nil {
		reads.UserID = splitpin.UserKey{Project: project, ID: other}
	}
	err = d.Store.Change(ctx, reads, func(r *splitpin.Records) (splitpin.Writes, error) {
		if r.User != nil {
			return splitpin.Writes{}, ErrExists
		}
		return splitpin.Writes{Create: []splitpin.Record{u, event}}, nil
	})
	if errors.Is(err, splitpin.ErrConflict) {
		return nil, ErrExists
	}
	if err != nil {
		return nil, fmt.Errorf("creating a user: %w", err)
	}
	return u, nil
}

func (d *Directory) event(ctx context.Context, project int64, identifier, kind string) (*splitpin.AuditEvent, error) {
	number, err := d.Store.NextNumber(ctx)
	if err != nil {
		return nil, fmt.Errorf("asking for a number: %w", err)
	}
	subject, err := Subject(d.Ring, project, identifier)
	if err != nil {
		return nil, fmt.Errorf("naming the subject: %w", err)
	}
	return &splitpin.AuditEvent{Number: number, Project: project, At: d.moment(), Kind: kind, Subject: subject}, nil
}

// Delete erases a user, the sessions and credentials, and what hangs on them. The audit log
// keeps its pseudonym. Its error is splitpin.ErrNotFound.
func (d *Directory) Delete(ctx context.Context, u *splitpin.User) error {
	event, err := d.event(ctx, u.Project, u.Identifier, "user_deleted")
	if err != nil {
		return err
	}
	event.User = u.Number
	err = d.Store.Change(ctx, splitpin.Reads{User: u.Number, Sessions: true, Credentials: true}, func(r *splitpin.Records) (splitpin.Writes, error) {
		if r.User == nil {
			return splitpin.Writes{}, splitpin.ErrNotFound
		}
		w := splitpin.Writes{Create: []splitpin.Record{event}, Delete: []splitpin.Record{r.User}}
		for _, s := range r.Sessions {
			w.Delete = append(w.Delete, s)
		}
		for _, c := range r.Credentials {
			w.Delete = append(w.Delete, c)
		}
		return w, nil
	})
	if err != nil {
		return fmt.Errorf("deleting a user: %w", err)
	}
	return nil
}

// RequirePasskey says whether a user who has a passkey must come with it, whatever the
// project says. It returns the user as saved.
func (d *Directory) RequirePasskey(ctx context.Context, u *splitpin.User, required bool) (*splitpin.User, error) {
	kind := "passkey_required"
	if !required {
		kind = "passkey_optional"
	}
	event, err := d.event(ctx, u.Project, u.Identifier, kind)
	if err != nil {
		return nil, err
	}
	event.User = u.Number
	err = d.Store.Change(ctx, splitpin.Reads{User: u.Number}, func(r *splitpin.Records) (splitpin.Writes, error) {
		if u = r.User; u == nil {
			return splitpin.Writes{}, splitpin.ErrNotFound
		}
		u.PasskeyRequired, u.UpdatedAt = required, event.At
		return splitpin.Writes{Put: []splitpin.Record{u}, Create: []splitpin.Record{event}}, nil
	})
	if err != nil {
		return nil, fmt.Errorf("changing a user: %w", err)
	}
	return u, nil
}
