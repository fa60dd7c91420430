package api

import (
	"encoding/json"
	"slices"
	"strconv"
	"time"
	"unicode/utf8"
)

// The two answers that are asked for most are written without reflection, in the bytes
// that encoding/json would write: a test holds every field and a fuzz test every text
// against it.

// AppendJSON appends what json.Marshal returns. Do not embed a User in another shape,
// which would be written as a User alone.
func (u User) AppendJSON(b []byte) []byte {
	b = appendText(b, `{"id":`, u.ID)
	b = appendText(b, `,"identifier":`, u.Identifier)
	b = appendText(b, `,"kind":`, u.Kind)
	b = append(b, `,"proved":`...)
	b = strconv.AppendBool(b, u.Proved)
	if u.ClientUserID != "" {
		b = appendText(b, `,"client_user_id":`, u.ClientUserID)
	}
	if u.Locale != "" {
		b = appendText(b, `,"locale":`, u.Locale)
	}
	b = appendTime(b, `,"created_at":`, u.CreatedAt)
	b = appendTime(b, `,"updated_at":`, u.UpdatedAt)
	return append(b, '}')
}

// AppendJSON appends what json.Marshal returns. Do not embed Tokens in another shape,
// which would be written as Tokens alone.
func (t Tokens) AppendJSON(b []byte) []byte {
	b = slices.Grow(b, len(t.AccessToken)+len(t.IDToken)+len(t.RefreshToken)+512)
	b = appendText(b, `{"access_token":`, t.AccessToken)
	b = appendText(b, `,"id_token":`, t.IDToken)
	b = appendText(b, `,"refresh_token":`, t.RefreshToken)
	b = append(b, `,"expires_in":`...)
	b = strconv.AppendInt(b, int64(t.ExpiresIn), 10)
	b = appendText(b, `,"token_type":`, t.TokenType)
	b = appendText(b, `,"auth_method":`, t.AuthMethod)
	if t.User != nil {
		b = t.User.AppendJSON(append(b, `,"user":`...))
	}
	return append(b, '}')
}

// appendText appends name, which is written as it is, and a JSON string.
func appendText(b []byte, name, s string) []byte {
	b = append(b, name...)
	for _, c := range []byte(s) {
		if c < ' ' || c >= utf8.RuneSelf || c == '"' || c == '\\' || c == '<' || c == '>' || c == '&' {
			quoted, _ := json.Marshal(s) // every string can be written
			return append(b, quoted...)
		}
	}
	b = append(b, '"')
	b = append(b, s...)
	return append(b, '"')
}

func appendTime(b []byte, name string, t time.Time) []byte {
	b = append(b, name...)
	b = append(b, '"')
	b = t.AppendFormat(b, time.RFC3339Nano)
	return append(b, '"')
}
