package social

import (
	"context"
	"strconv"

	"github.com/splitpin/splitpin"
)

// github decides over nobody's addresses: a verified one was verified once. An Issuer is
// that of an enterprise server.
var github = kind{
	issuer: "https://github.com", scopes: []string{"read:user", "user:email"},
	endpoints: func(_ *splitpin.Provider, issuer string) endpoints {
		api := issuer + "/api/v3"
		if issuer == "https://github.com" {
			api = "https://api.github.com"
		}
		return endpoints{issuer + "/login/oauth/authorize", issuer + "/login/oauth/access_token", api + "/user"}
	},
	who: func(ctx context.Context, c *conversation) (identity, error) {
		var user struct {
			ID    int64  `json:"id"`
			Login string `json:"login"`
		}
		if err := c.getJSON(ctx, c.user, &user); err != nil {
			return identity{}, err
		}
		if user.ID <= 0 {
			return identity{}, refuse("the provider named nobody")
		}
		who := identity{Issuer: c.issuer, Subject: strconv.FormatInt(user.ID, 10), Username: user.Login}
		var addresses []struct {
			Email             string
			Primary, Verified bool
		}
		if err := c.getJSON(ctx, c.user+"/emails", &addresses); err != nil {
			return identity{}, err
		}
		for _, a := range addresses {
			if a.Primary && a.Verified {
				who.Address = a.Email
			}
		}
		return who, nil
	},
}
