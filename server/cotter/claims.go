package cotter

import (
	"encoding/json"

	"github.com/splitpin/splitpin"
	"github.com/splitpin/splitpin/server/edge"
	"github.com/splitpin/splitpin/signin"
)

// An extended is the answer of POST /token/custom. The documentation prints the
// second key with an n too many, and no client tells which one it reads.
type extended struct {
	Token         string `json:"token"`
	RefreshToken  string `json:"refresh_token,omitempty"`
	RefreshTokenn string `json:"refresh_tokenn,omitempty"`
}

// addClaims is POST /token/custom, for backends: claims of their own in a token and,
// where a refresh token comes along, in every later token of that session.
func (f *Face) addClaims(c *call) (any, error) {
	if !c.trusted {
		return nil, edge.ErrSecret
	}
	var body struct {
		Token        splitpin.Secret `json:"token"`
		Attributes   json.RawMessage `json:"custom_attributes"`
		RefreshToken string          `json:"refresh_token"`
	}
	if err := edge.ReadJSON(c.w, c.r, &body); err != nil {
		return nil, err
	}
	out, err := f.engine.AddClaims(c.r.Context(), signin.ClaimsRequest{
		Project: c.project, Token: body.Token, Claims: body.Attributes,
		Refresh: splitpin.Secret(given(body.RefreshToken)), By: c.by,
	})
	if err != nil {
		return nil, err
	}
	refresh := out.RefreshToken.Reveal()
	return extended{Token: out.Token.Reveal(), RefreshToken: refresh, RefreshTokenn: refresh}, nil
}
