package social

import (
	"context"
	"net/url"
	"strings"
)

// microsoftTenants is where tokens of every tenant come from: each has an issuer of its
// own, that discovery writes with a place for the tenant.
const (
	microsoftHost    = "login.microsoftonline.com"
	microsoftTenants = "https://login.microsoftonline.com/common/"
	microsoftPlace   = "{tenantid}"
)

// microsoft never decides over an address: whoever administers a tenant may write any
// address into an account there, so the claim email is not even asked for. An Issuer is
// that of one tenant.
var microsoft = kind{
	issuer: microsoftTenants + "v2.0", scopes: []string{"openid", "profile"},
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

// ofManyTenants reports whether an issuer at Microsoft is that of no tenant: what it says
// its issuer is, no token names.
func ofManyTenants(u *url.URL) bool {
	tenant, _, _ := strings.Cut(strings.TrimPrefix(u.Path, "/"), "/")
	switch strings.ToLower(tenant) {
	case "common", "organizations", "consumers", "{tenantid}", "":
		return true
	}
	return false
}

func isTenant(s string) bool {
	return len(s) == 36 && strings.Trim(s, "0123456789abcdef-") == ""
}
