package social

import (
	"context"

	"github.com/splitpin/splitpin"
)

// discord decides over nobody's addresses.
var discord = kind{
	issuer: "https://discord.com", fixed: true, scopes: []string{"identify", "email"},
	endpoints: func(_ *splitpin.Provider, issuer string) endpoints {
		return endpoints{issuer + "/oauth2/authorize", issuer + "/api/oauth2/token", issuer + "/api/users/@me"}
	},
	who: func(ctx context.Context, c *conversation) (identity, error) {
		var user struct {
			ID       string `json:"id"`
			Username string `json:"username"`
			Email    string `json:"email"`
			Verified bool   `json:"verified"`
		}
		if err := c.getJSON(ctx, c.user, &user); err != nil {
			return identity{}, err
		}
		who := identity{Issuer: c.issuer, Subject: user.ID, Username: user.Username}
		if user.Verified {
			who.Address = user.Email
		}
		return who, nil
	},
}
