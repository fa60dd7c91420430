package cotter

import (
	"errors"
	"slices"
	"strconv"

	"github.com/splitpin/splitpin"
	"github.com/splitpin/splitpin/server/edge"
)

// userByIdentifier is GET /user?identifier=.
func (f *Face) userByIdentifier(c *call) (any, error) {
	return f.lookUp(c, func() (*splitpin.User, error) {
		return f.people.ByIdentifier(c.r.Context(), c.project.Number, c.r.URL.Query().Get("identifier"))
	})
}

// userByID is GET /user/{user_id}, by Cotter's id or by the app's own.
func (f *Face) userByID(c *call) (any, error) {
	return f.lookUp(c, func() (*splitpin.User, error) {
		return f.people.ByID(c.r.Context(), c.project.Number, c.r.PathValue("user_id"))
	})
}

// lookUp answers who somebody is. Old clients need an answer before they sign in,
// so strangers may ask where the project says so; they are counted, and get the
// same zeros for whoever does not exist and for whoever they may not know.
func (f *Face) lookUp(c *call, find func() (*splitpin.User, error)) (any, error) {
	if !c.trusted {
		if err := f.engine.ChargeLookup(c.r.Context(), c.project, c.by); err != nil {
			return nil, err
		}
		if c.project.Settings.Lookup != splitpin.LookupMinimal {
			return nobody(), nil // before the store is asked: the answer takes no longer for some
		}
	}
	u, err := find()
	switch {
	case errors.Is(err, splitpin.ErrNotFound):
		return nobody(), nil
	case err != nil:
		return nil, err
	case c.trusted:
		return whole(c.project, u), nil
	}
	return minimal(c.project, u), nil
}

// listUsers is GET /user/list?page=, for backends: newest first, fifty a page. No
// source shows Cotter's shape; a bare array is what its other lists are.
func (f *Face) listUsers(c *call) (any, error) {
	if !c.trusted {
		return nil, edge.ErrSecret
	}
	page := 0
	if text := c.r.URL.Query().Get("page"); text != "" {
		var err error
		if page, err = strconv.Atoi(text); err != nil || page < 0 {
			return nil, errPage
		}
	}
	found, _, err := f.people.List(c.r.Context(), c.project.Number, page)
	if err != nil {
		return nil, err
	}
	users := make([]user, 0, len(found))
	for _, u := range found {
		users = append(users, whole(c.project, u))
	}
	return users, nil
}

// createUser is POST /user/create.
//
// It never gives tokens, though Cotter did with ?oauth_token=true: a token says
// that somebody proved something, and whoever is created here proved nothing
// (security 1). That holds for a backend with the secret too; the flag is
// accepted and the key oauth_token left out. No published SDK sends it.
//
// Without the secret, only names can be created that are neither address nor
// number, and only where the project lets strangers ask about users at all: the
// refusal of a duplicate tells as much as a look-up.
func (f *Face) createUser(c *call) (any, error) {
	var body struct {
		Identifier   string   `json:"identifier"`
		ClientUserID string   `json:"client_user_id"`
		Identifiers  []string `json:"identifiers"` // of old React Native versions
	}
	if err := edge.ReadJSON(c.w, c.r, &body); err != nil {
		return nil, err
	}
	if !c.trusted {
		if err := f.engine.ChargeLookup(c.r.Context(), c.project, c.by); err != nil {
			return nil, err
		}
		if c.project.Settings.Lookup != splitpin.LookupMinimal {
			return nil, errCreateOff
		}
	}
	names := []string{body.Identifier}
	names = append(names, body.Identifiers...)
	names = slices.DeleteFunc(names, func(s string) bool { return s == "" })
	names = slices.Compact(names)
	if len(names) > 1 {
		return nil, errOneIdentifier
	}
	name := ""
	if len(names) == 1 {
		name = names[0]
	}
	u, err := f.people.Create(c.r.Context(), c.project.Number, name, body.ClientUserID, c.trusted)
	if err != nil {
		return nil, err
	}
	return whole(c.project, u), nil
}
