package cotter

import (
	"errors"
	"math"
	"strconv"
	"time"

	"github.com/splitpin/splitpin"
	"github.com/splitpin/splitpin/token"
)

// A wireTime is written as clients expect times: RFC 3339 in UTC, always with
// microseconds. The zero time stands for "never" and is what old databases held.
type wireTime time.Time

func (t wireTime) MarshalText() ([]byte, error) {
	at := time.Time(t).UTC()
	if at.IsZero() {
		return []byte("0001-01-01T00:00:00Z"), nil
	}
	return at.AppendFormat(nil, "2006-01-02T15:04:05.000000Z07:00"), nil
}

// A user is contract 2.1. iOS fails to decode one in which a string is missing
// or null.
type user struct {
	ID            string   `json:"ID"`
	CreatedAt     wireTime `json:"created_at"`
	UpdatedAt     wireTime `json:"updated_at"`
	UpdateAt      wireTime `json:"update_at"` // misspelt by old objects; the same value
	DeletedAt     wireTime `json:"deleted_at"`
	Issuer        string   `json:"issuer"` // later calls of clients use it as API key id
	ClientUserID  string   `json:"client_user_id"`
	Enrolled      []string `json:"enrolled"` // never null: Android makes a list of it
	DefaultMethod *string  `json:"default_method"`
	Identifier    string   `json:"identifier"`
	Identifiers   []string `json:"identifiers"` // null since there is one identifier
}

// nobody is the user who does not exist: React Native and Flutter compare the ID
// with zeros, and React Native gives up where this were an error.
func nobody() user {
	return user{ID: splitpin.UUID{}.String(), Enrolled: []string{}}
}

// whole is what a user's own session, or a backend with the secret, is told.
func whole(p *splitpin.Project, u *splitpin.User) user {
	w := minimal(p, u)
	w.UpdatedAt, w.UpdateAt = wireTime(u.UpdatedAt), wireTime(u.UpdatedAt)
	return w
}

// minimal is what a stranger who asked by name is told: the ids that clients need
// to go on, and nothing of what the user did since.
func minimal(p *splitpin.Project, u *splitpin.User) user {
	created := wireTime(u.CreatedAt)
	return user{
		ID: u.ID.String(), CreatedAt: created, UpdatedAt: created, UpdateAt: created,
		Issuer: p.ID, ClientUserID: u.LegacyID(), Enrolled: []string{}, Identifier: u.Identifier,
	}
}

// An oauthToken is contract 2.2. All six keys are there, always: iOS decodes all,
// and the web SDK keeps the word "undefined" for a refresh token that is missing.
type oauthToken struct {
	AccessToken  string `json:"access_token"`
	IDToken      string `json:"id_token"`
	RefreshToken string `json:"refresh_token"`
	ExpiresIn    int    `json:"expires_in"`
	TokenType    string `json:"token_type"`
	AuthMethod   string `json:"auth_method"`
}

func tokensOf(s token.Set) oauthToken {
	return oauthToken{
		AccessToken: s.AccessToken.Reveal(), IDToken: s.IDToken.Reveal(), RefreshToken: s.RefreshToken.Reveal(),
		ExpiresIn: s.ExpiresIn, TokenType: "Bearer", AuthMethod: s.AuthMethod,
	}
}

// An identifier is the proof of an address as get_identity describes it
// (contract 6.1). Every string is there; PublicKey is empty because no browser
// key stands behind a code.
type identifier struct {
	ID             string   `json:"ID"`
	CreatedAt      wireTime `json:"created_at"`
	UpdateAt       wireTime `json:"update_at"`
	UpdatedAt      wireTime `json:"updated_at"`
	DeletedAt      *string  `json:"deleted_at"`
	Identifier     string   `json:"identifier"`
	IdentifierType string   `json:"identifier_type"`
	PublicKey      string   `json:"public_key"`
	DeviceType     string   `json:"device_type"`
	DeviceName     string   `json:"device_name"`
	Expiry         wireTime `json:"expiry"`
	Timestamp      wireTime `json:"timestamp"`
}

// An identity is the answer of get_identity.
type identity struct {
	Identifier identifier          `json:"identifier"`
	Token      token.IdentityToken `json:"token"`
	OAuthToken oauthToken          `json:"oauth_token"`
	User       user                `json:"user"`
}

// A passkeyLogin is the answer of both calls that finish a ceremony.
type passkeyLogin struct {
	Identifier string              `json:"identifier"`
	Token      token.IdentityToken `json:"token"`
	OAuthToken oauthToken          `json:"oauth_token"`
	User       user                `json:"user"`
}

// A challengeID reads the number that clients send as a number or as text,
// because it passed through a URL. Absent, null and "" are nil.
type challengeID struct{ value *int32 }

func (c *challengeID) UnmarshalJSON(b []byte) error {
	text := string(b)
	if len(text) >= 2 && text[0] == '"' {
		text = text[1 : len(text)-1] // digits need no escapes, so what has some is refused below
	}
	if text == "null" || text == "" {
		c.value = nil
		return nil
	}
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil || n < 0 || n > math.MaxInt32 {
		return errors.New("challenge_id is no number of 31 bits")
	}
	id := int32(n)
	c.value = &id
	return nil
}

// given returns a text that a client may have meant as absent: old web SDKs keep
// the word "undefined" where a value was missing (contract 7.1).
func given(text string) string {
	if text == "undefined" || text == "null" {
		return ""
	}
	return text
}
