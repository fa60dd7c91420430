package social

import (
	"context"
	"strings"
)

// google decides over addresses of its own and of organisations that it hosts (the claim
// hd). Any other address it has verified once, and somebody else may have it by now.
var google = kind{
	issuer: "https://accounts.google.com", fixed: true,
	scopes: []string{"openid", "email", "profile"},
	who: func(ctx context.Context, c *conversation) (identity, error) {
		claims, err := c.idToken(ctx)
		if err != nil {
			return identity{}, err
		}
		who := claims.identity(c.issuer)
		who.Vouched = who.Address != "" && (claims.Hosted != "" || strings.HasSuffix(strings.ToLower(who.Address), "@gmail.com"))
		return who, nil
	},
}
