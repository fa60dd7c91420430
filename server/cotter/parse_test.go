package cotter

import (
	"encoding/json"
	"fmt"
	"math"
	"strings"
	"testing"

	"github.com/splitpin/splitpin"
	"github.com/splitpin/splitpin/account"
	"github.com/splitpin/splitpin/server/edge"
	"github.com/splitpin/splitpin/signin"
	"github.com/splitpin/splitpin/token"
)

func TestChallengeID(t *testing.T) {
	number := func(n int32) *int32 { return &n }
	tests := []struct {
		text string
		want *int32
		bad  bool
	}{
		{text: `7`, want: number(7)}, {text: `"7"`, want: number(7)}, {text: `2147483647`, want: number(math.MaxInt32)},
		{text: `null`}, {text: `""`},
		{text: `2147483648`, bad: true}, {text: `-1`, bad: true}, {text: `1.5`, bad: true}, {text: `1e3`, bad: true},
		{text: `"x"`, bad: true}, {text: `true`, bad: true}, {text: `[7]`, bad: true}, {text: `"\u0037"`, bad: true},
	}
	for _, test := range tests {
		var got challengeID
		err := json.Unmarshal([]byte(test.text), &got)
		if (err != nil) != test.bad || (got.value == nil) != (test.want == nil) || got.value != nil && *got.value != *test.want {
			t.Errorf("%s: got %v, %v", test.text, got.value, err)
		}
	}
}

func FuzzChallengeID(f *testing.F) {
	for _, seed := range []string{`7`, `"7"`, `null`, `""`, `"`, `1e9`, `"-0"`} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		var got challengeID
		if json.Unmarshal([]byte(text), &got) != nil || got.value == nil {
			return
		}
		if *got.value < 0 {
			t.Fatalf("%q gave %d", text, *got.value)
		}
		var again challengeID
		if err := json.Unmarshal(fmt.Appendf(nil, "%d", *got.value), &again); err != nil || *again.value != *got.value {
			t.Fatalf("%q gave %d, which is read as %v, %v", text, *got.value, again.value, err)
		}
	})
}

func FuzzAccessTokenBody(f *testing.F) {
	for _, seed := range []string{`{"oauth_token":"a.b.c"}`, `{"oauth_token":{"access_token":"a.b.c"}}`, `{"oauth_token":{}}`, `{}`, `null`, `[]`, ``} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		got, err := parseAccessToken(body)
		if err != nil {
			return
		}
		if !json.Valid(body) {
			t.Fatalf("%q is no JSON and gave %q", body, got)
		}
	})
}

// The web SDK ends its session for every msg that contains "not valid". Of all
// that a refresh can be answered with, only the final refusal may say so.
func TestOnlyOneErrorEndsASession(t *testing.T) {
	for _, err := range []*splitpin.Error{
		errPath, errMethod, errCookieOrigin, errGrantType, errEvents,
		edge.ErrBody, edge.ErrLarge, edge.ErrMedia, edge.ErrDisagree, edge.ErrNotDefault, edge.ErrSecretOrigin,
		signin.ErrProject, signin.ErrManyForged, token.ErrUnproved, account.ErrVerifyFirst,
		splitpin.ErrUnavailable, splitpin.ErrConflict, splitpin.ErrNotFound,
	} {
		if strings.Contains(err.Message, "not valid") {
			t.Errorf("%s: %q ends the session", err.Code, err.Message)
		}
	}
	if !strings.Contains(signin.ErrRefresh.Message, "not valid") || status(signin.ErrRefresh) != 400 {
		t.Errorf("the final refusal is %d %q", status(signin.ErrRefresh), signin.ErrRefresh.Message)
	}
}

func TestStatus(t *testing.T) {
	tests := []struct {
		err  *splitpin.Error
		want int
	}{
		{signin.ErrGrant, 400}, {account.ErrExists, 400}, {account.ErrIdentifier, 400}, {splitpin.ErrConflict, 400},
		{signin.ErrProject, 401}, {edge.ErrSecret, 401}, {edge.ErrSecretOrigin, 403}, {account.ErrVerifyFirst, 403},
		{errPath, 404}, {errMethod, 405}, {edge.ErrLarge, 413}, {edge.ErrMedia, 415},
		{signin.ErrManyLookups, 429}, {splitpin.ErrUnavailable, 503}, {&splitpin.Error{}, 500},
	}
	for _, test := range tests {
		if got := status(test.err); got != test.want {
			t.Errorf("%s: got %d, want %d", test.err.Code, got, test.want)
		}
	}
}
