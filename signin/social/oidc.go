package social

import (
	"context"
	"slices"
	"strings"
)

// openID is any provider of OpenID Connect. Its operator may be trusted with the
// addresses of its own domains, by configuration.
var openID = kind{
	scopes: []string{"openid", "email", "profile"},
	who: func(ctx context.Context, c *conversation) (identity, error) {
		claims, err := c.idToken(ctx)
		if err != nil {
			return identity{}, err
		}
		who := claims.identity(c.issuer)
		who.Vouched = who.Address != "" && slices.Contains(c.provider.Domains, domainOf(who.Address))
		return who, nil
	},
}

// claims are what an id token says, and where that is not enough the UserInfo endpoint.
type claims struct {
	Issuer   string  `json:"iss"`
	Subject  string  `json:"sub"`
	Party    string  `json:"azp"`
	Nonce    string  `json:"nonce"`
	Email    string  `json:"email"`
	Verified boolean `json:"email_verified"`
	Name     string  `json:"name"`
	Username string  `json:"preferred_username"`
	Nickname string  `json:"nickname"`
	Hosted   string  `json:"hd"`  // Google: domain of the organisation
	Tenant   string  `json:"tid"` // Microsoft
}

// identity is whom the claims name. An address that is not verified is none.
func (c *claims) identity(issuer string) identity {
	who := identity{Issuer: issuer, Subject: c.Subject}
	if c.Verified {
		who.Address = c.Email
	}
	for _, name := range []string{c.Username, c.Nickname, c.Email, c.Name} {
		if who.Username == "" {
			who.Username = name
		}
	}
	return who
}

// idToken verifies the id token (OpenID Connect Core 3.1.3.7) and completes it.
func (c *conversation) idToken(ctx context.Context) (*claims, error) {
	raw, _ := c.token.Extra("id_token").(string)
	if raw == "" {
		return nil, refuse("there is no id token")
	}
	token, err := c.verifier.Verify(ctx, raw)
	switch {
	case err != nil && strings.Contains(err.Error(), "fetching keys"):
		return nil, err // its keys could not be had, which may pass
	case err != nil:
		return nil, refuse("the id token is not what it must be: " + why(err))
	}
	var out claims
	if err := token.Claims(&out); err != nil {
		return nil, refuse("the id token has claims of a wrong type")
	}
	switch {
	case !equal(out.Nonce, c.nonce):
		return nil, refuse("the id token is for another sign-in: its nonce is not ours")
	case len(token.Audience) > 1 && out.Party == "", out.Party != "" && out.Party != c.config.ClientID:
		return nil, refuse("the id token is for somebody else: azp is not our client id")
	case token.IssuedAt.After(c.now.Add(leeway)):
		return nil, refuse("the id token is of the future")
	}
	if out.Email == "" && c.user != "" {
		var more claims
		if err := c.getJSON(ctx, c.user, &more); err != nil {
			return nil, err
		}
		if more.Subject == "" || more.Subject != out.Subject { // Core 5.3.2
			return nil, refuse("the UserInfo endpoint tells of somebody else")
		}
		out.Email, out.Verified = more.Email, more.Verified
		if out.Username == "" {
			out.Username = more.Username
		}
	}
	return &out, nil
}

// why is what is wrong with an id token, in words that quote nothing of it.
func why(err error) string {
	text := err.Error()
	for _, known := range []struct{ part, said string }{
		{"issued by a different provider", "issuer"},
		{"expected audience", "audience"},
		{"expired", "expired"},
		{"before the nbf", "not valid yet"},
		{"malformed jwt", "form or algorithm"},
		{"verify signature", "signature"},
	} {
		if strings.Contains(text, known.part) {
			return known.said
		}
	}
	return "form"
}

// A boolean may be written as a text: Apple does.
type boolean bool

func (b *boolean) UnmarshalJSON(text []byte) error {
	*b = string(text) == "true" || string(text) == `"true"`
	return nil
}
