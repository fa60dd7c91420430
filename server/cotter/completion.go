package cotter

import (
	"context"
	"encoding/json"
	"errors"
	"maps"
	"slices"

	"github.com/splitpin/splitpin"
	"github.com/splitpin/splitpin/server/edge"
	"github.com/splitpin/splitpin/signin"
)

// A FormCompleted is what a project's backend is told of a completed form: who it was,
// and what they answered. It holds no token (contract 13, row 18). docs/cotter.md
// promises its shape.
type FormCompleted struct {
	ID      string         `json:"-"` // the same for every try at the same thing
	Form    string         `json:"form"`
	Project string         `json:"project"`
	User    completedUser  `json:"user"`
	Fields  map[string]any `json:"fields"` // as the browser says: texts, numbers and booleans
}

type completedUser struct {
	ID           string `json:"id"`
	Identifier   string `json:"identifier"`
	ClientUserID string `json:"client_user_id"`
}

// Bounds of what somebody answered.
const (
	maxAnswers  = 20
	maxAnswer   = 1 << 10
	maxQuestion = 64
)

var errNotTold = errors.New("this server tells no backend anything")

// completeForm is POST /completion/form: the loader hands over the whole of what a
// sign-in gave it. Only the access token in it is believed; who signed in is read from
// there, and of the rest the site's own fields go on.
func (f *Face) completeForm(c *call) (any, error) {
	p, err := f.workerProject(c.r)
	if err != nil {
		return nil, err
	}
	var body map[string]json.RawMessage
	if err := edge.ReadJSON(c.w, c.r, &body); err != nil {
		return nil, err
	}
	access, err := accessTokenIn(body["oauth_token"])
	if err != nil {
		access = "" // refused as any other that is none
	}
	req := signin.CompletionRequest{Project: p, Form: c.r.URL.Query().Get("form-id"), Token: splitpin.Secret(access), By: c.by}
	err = f.engine.CompleteForm(c.r.Context(), req, func(ctx context.Context, done *signin.Completion) error {
		if f.tell == nil {
			return errNotTold
		}
		return f.tell(ctx, p, FormCompleted{
			ID: done.ID, Form: done.Form, Project: p.ID, Fields: answers(body),
			User: completedUser{ID: done.User.ID.String(), Identifier: done.User.Identifier, ClientUserID: done.User.LegacyID()},
		})
	})
	if err != nil {
		return nil, err
	}
	return struct {
		Success bool `json:"success"`
	}{true}, nil
}

// answers are the site's own fields in a payload: what the SDK did not put there
// itself (contract 2.3), if it is short and simple.
func answers(body map[string]json.RawMessage) map[string]any {
	kept := map[string]any{}
	for _, name := range slices.Sorted(maps.Keys(body)) {
		raw := body[name]
		switch name {
		case "token", "oauth_token", "user", "email", "phone", "identifier", "status":
			continue
		}
		if name == "" || len(name) > maxQuestion || len(raw) > maxAnswer || len(kept) == maxAnswers {
			continue
		}
		var value any
		if json.Unmarshal(raw, &value) != nil {
			continue
		}
		switch v := value.(type) {
		case string, float64, bool:
			kept[name] = v
		}
	}
	return kept
}
