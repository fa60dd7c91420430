package social

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/splitpin/splitpin"
)

// anyOAuth2 is any provider of OAuth 2 that tells of a person at one address. It decides
// over nobody's addresses. Its issuer, which keeps its people apart from those of
// others, is the address of its tokens.
var anyOAuth2 = kind{
	endpoints: func(p *splitpin.Provider, _ string) endpoints { return endpoints{p.AuthURL, p.TokenURL, p.UserURL} },
	who: func(ctx context.Context, c *conversation) (identity, error) {
		var user map[string]json.RawMessage
		if err := c.getJSON(ctx, c.user, &user); err != nil {
			return identity{}, err
		}
		field := c.provider.Subject
		if field == "" {
			field = "id"
		}
		who := identity{Issuer: c.provider.TokenURL, Subject: scalar(user[field])}
		for _, name := range []string{"username", "login", "preferred_username", "email", "name"} {
			if who.Username == "" {
				json.Unmarshal(user[name], &who.Username)
			}
		}
		var verified boolean
		if json.Unmarshal(user["email_verified"], &verified) == nil && bool(verified) {
			json.Unmarshal(user["email"], &who.Address)
		}
		return who, nil
	},
}

// scalar is a text or a whole number as text, and nothing for anything else.
func scalar(raw json.RawMessage) string {
	var text string
	if json.Unmarshal(raw, &text) == nil {
		return text
	}
	var number int64
	if json.Unmarshal(raw, &number) == nil {
		return fmt.Sprint(number)
	}
	return ""
}
