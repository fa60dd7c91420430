package social

import (
	"context"
	"strings"
)

// microsoftTenants is where tokens of every tenant come from: each has an issuer of its
// own, that discovery writes with a place for the tenant.
const (
	microsoftTenants = "https://login.microsoftonline.com/common/"
	microsoftPlace   = "{tenantid}"
)

// microsoft never decides over an address: whoever administers a tenant may write any
// address into an account there, so the claim email is not even asked for. An Issuer is
// that of one tenant.
var microsoft = kind{
	label: "Microsoft", issuer: microsoftTenants + "v2.0", scopes: []string{"openid", "profile"},
	who: func(ctx context.Context, c *conversation) (identity, error) {
		claims, err := c.idToken(ctx)
		if err != nil {
			return identity{}, err
		}
		issuer := c.issuer
		if strings.HasPrefix(issuer, microsoftTenants) {
			issuer = "https://login.microsoftonline.com/" + claims.Tenant + "/v2.0"
			if !isTenant(claims.Tenant) || claims.Issuer != issuer {
				return identity{}, refuse("the id token is not what it must be: issuer")
			}
		}
		who := claims.identity(issuer)
		who.Address = ""
		return who, nil
	},
}

func isTenant(s string) bool {
	return len(s) == 36 && strings.Trim(s, "0123456789abcdef-") == ""
}
