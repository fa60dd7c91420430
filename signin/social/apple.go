package social

import (
	"context"
	"crypto/ecdsa"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/splitpin/splitpin"
)

// apple decides over the addresses of its own mail and of its relay. Its client secret is
// a token that we sign with the key configured; its answers come by POST.
var apple = kind{
	issuer: "https://appleid.apple.com", fixed: true, scopes: []string{"openid", "email"},
	extra:  map[string]string{"response_mode": "form_post"},
	secret: appleSecret,
	who: func(ctx context.Context, c *conversation) (identity, error) {
		claims, err := c.idToken(ctx)
		if err != nil {
			return identity{}, err
		}
		who := claims.identity(c.issuer)
		who.Vouched = who.Address != "" && slices.Contains([]string{"privaterelay.appleid.com", "icloud.com", "me.com", "mac.com"}, domainOf(who.Address))
		return who, nil
	},
}

// appleSecret signs the client secret that Apple wants, good for a few minutes.
func appleSecret(p *splitpin.Provider, configured []byte, now time.Time) (string, error) {
	key, err := applePrivateKey(configured)
	if err != nil {
		return "", err
	}
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.ES256, Key: jose.JSONWebKey{Key: key, KeyID: p.KeyID}}, nil)
	if err != nil {
		return "", fmt.Errorf("signing for Apple: %w", err)
	}
	payload, err := json.Marshal(map[string]any{"iss": p.TeamID, "sub": p.ClientID, "aud": "https://appleid.apple.com",
		"iat": now.Unix(), "exp": now.Add(5 * time.Minute).Unix()})
	if err != nil {
		return "", err
	}
	signed, err := signer.Sign(payload)
	if err != nil {
		return "", fmt.Errorf("signing for Apple: %w", err)
	}
	return signed.CompactSerialize()
}

func applePrivateKey(text []byte) (*ecdsa.PrivateKey, error) {
	block, _ := pem.Decode(text)
	if block == nil {
		return nil, errors.New("the secret of apple must be the private key as Apple gave it: a file AuthKey_….p8")
	}
	key, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return nil, fmt.Errorf("reading the private key of apple: %w", err)
	}
	ec, ok := key.(*ecdsa.PrivateKey)
	if !ok {
		return nil, errors.New("the private key of apple is none for ES256")
	}
	return ec, nil
}
