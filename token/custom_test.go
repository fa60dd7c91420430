package token

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/splitpin/splitpin"
)

func TestParseCustom(t *testing.T) {
	nested := func(deep int) string {
		return `{"a":` + strings.Repeat("[", deep-1) + strings.Repeat("]", deep-1) + "}"
	}
	filling := func(total int) string { return `{"a":"` + strings.Repeat("x", total-len(`{"a":""}`)) + `"}` }
	tests := []struct {
		name string
		in   string
		want Custom // what stands in a token
		msg  string // part of the refusal; empty: accepted
	}{
		{name: "a text and a number", in: ` {"role" : "admin", "user_id": 125}`, want: `{"role":"admin","user_id":125}`},
		{name: "every kind of value", in: `{"a":[1.5e3,true,false,{"b":null}],"c":{}}`, want: `{"a":[1.5e3,true,false,{"b":null}],"c":{}}`},
		{name: "the order is kept", in: `{"z":1,"a":2}`, want: `{"z":1,"a":2}`},
		{name: "nothing", in: `{}`},
		{name: "null is no claim", in: `{"a":null}`},
		{name: "iOS reads it", in: `{"é>":"?~\u007f<"}`, want: `{"\u00e9\u003e":"\u003f\u007e\u007f<"}`},
		{name: "as deep as allowed", in: nested(5), want: Custom(nested(5))},
		{name: "as long as allowed", in: filling(MaxCustom), want: Custom(filling(MaxCustom))},

		{name: "no object", in: `[]`, msg: "one JSON object"},
		{name: "absent", in: ``, msg: "one JSON object"},
		{name: "two objects", in: `{}{}`, msg: "one JSON object"},
		{name: "cut off", in: `{"a":[1`, msg: "one JSON object"},
		{name: "a claim of ours", in: `{"sub":"5b1f3a52-0000-4000-8000-000000000001"}`, msg: "sub"},
		{name: "the same in capitals", in: `{"AUD":"x"}`, msg: "AUD"},
		{name: "the same in letters that fold", in: `{"i\u017fs":"x"}`, msg: "i\u017fs"},
		{name: "a claim of ours by escapes", in: `{"\u0065xp":1}`, msg: "exp"},
		{name: "a claim of ours that takes it away", in: `{"exp":null}`, msg: "exp"},
		{name: "what tells verifiers how strong a sign-in was", in: `{"acr":"high"}`, msg: "acr"},
		{name: "ours, further down", in: `{"shop":{"sub":"x"}}`, want: `{"shop":{"sub":"x"}}`},
		{name: "a name twice", in: `{"a":1,"b":2,"a":3}`, msg: "twice"},
		{name: "a name twice, further down", in: `{"x":[{"a":1,"\u0061":3}]}`, msg: "twice"},
		{name: "no name", in: `{"":1}`, msg: "1 to 128"},
		{name: "a long name", in: `{"` + strings.Repeat("n", 129) + `":1}`, msg: "1 to 128"},
		{name: "too deep", in: nested(6), msg: "5 deep"},
		{name: "far too deep", in: strings.Repeat(`{"a":`, 9000), msg: "5 deep"},
		{name: "too long", in: filling(MaxCustom + 1), msg: "These are 4097"},
		{name: "too long once escaped", in: `{"a":"` + strings.Repeat("é", 700) + `"}`, msg: "4096"},
		{name: "a number that overflows", in: `{"a":1e999}`, msg: "too large"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			got, err := ParseCustom([]byte(test.in))
			if test.msg == "" {
				if err != nil || got != test.want {
					t.Errorf("got %s, %v; want %s", got, err, test.want)
				}
				return
			}
			told := splitpin.ErrorOf(err)
			if !errors.Is(err, ErrClaims) || !strings.Contains(told.Message, test.msg) {
				t.Errorf("got %s, %v; want a refusal with %q", got, err, test.msg)
			}
		})
	}
}

func TestMergeCustom(t *testing.T) {
	for _, test := range []struct{ held, add, want Custom }{
		{``, `{"a":1}`, `{"a":1}`},
		{`{"a":1,"b":2}`, `{"c":3}`, `{"a":1,"b":2,"c":3}`},
		{`{"a":1,"b":2}`, `{"a":[3]}`, `{"b":2,"a":[3]}`},
		{`{"a":1,"b":2}`, `{"a":null}`, `{"b":2}`},
		{`{"a":1}`, `{"a":null}`, ``},
		{`{"a":1}`, `{}`, `{"a":1}`},
	} {
		got, err := test.held.Merge([]byte(test.add))
		if err != nil || got != test.want {
			t.Errorf("%s with %s: got %s, %v; want %s", test.held, test.add, got, err, test.want)
		}
	}
	full := Custom(`{"a":"` + strings.Repeat("x", MaxCustom-8) + `"}`)
	if _, err := full.Merge([]byte(`{"b":1}`)); !errors.Is(err, ErrClaims) {
		t.Errorf("a byte too many by merging: got %v, want a refusal", err)
	}
}

func payload(t *testing.T, token splitpin.Secret) map[string]any {
	t.Helper()
	raw, err := base64.RawURLEncoding.DecodeString(strings.Split(token.Reveal(), ".")[1])
	if err != nil {
		t.Fatal(err)
	}
	var claims map[string]any
	if err := json.Unmarshal(raw, &claims); err != nil {
		t.Fatalf("%s: %v", raw, err)
	}
	return claims
}

// Both tokens of a session carry its claims, the largest there may be included, and
// pass every check that they pass without.
func TestMintCarriesCustomClaims(t *testing.T) {
	d := newDesk(t)
	u := ada(d.project)
	session := d.NewSession(d.project, u, d.number(t), aSalt, "OTP", false, d.now())
	custom, err := ParseCustom([]byte(`{"role":"admin","nested":{"a":[1]},"much":"` + strings.Repeat("?", 650) + `"}`))
	if err != nil {
		t.Fatal(err)
	}
	session.Claims = string(custom)
	set, err := d.Mint(d.project, u, session)
	if err != nil {
		t.Fatal(err)
	}
	for name, token := range map[string]splitpin.Secret{"access": set.AccessToken, "id": set.IDToken} {
		claims := payload(t, token)
		if claims["role"] != "admin" || claims["sub"] != u.ID.String() {
			t.Errorf("%s token: got %v, want the custom claims beside ours", name, claims)
		}
		if strings.ContainsAny(strings.Split(token.Reveal(), ".")[1], "-_") {
			t.Errorf("%s token holds - or _, which the iOS SDK drops", name)
		}
	}
	verified, err := d.Verify(d.project, set.AccessToken.Reveal())
	if err != nil || verified.Session != session.Number {
		t.Errorf("the access token: got %+v, %v", verified, err)
	}
}

func TestReissue(t *testing.T) {
	d := newDesk(t)
	u := ada(d.project)
	session := d.NewSession(d.project, u, d.number(t), aSalt, "OTP", false, d.now())
	set, err := d.Mint(d.project, u, session)
	if err != nil {
		t.Fatal(err)
	}
	for name, old := range map[string]splitpin.Secret{"access": set.AccessToken, "id": set.IDToken} {
		t.Run(name, func(t *testing.T) {
			d.wait(time.Minute)
			shown, err := d.Inspect(d.project, old)
			if err != nil || shown.Session != session.Number || shown.Subject != u.ID || shown.Custom != "" {
				t.Fatalf("got %+v, %v", shown, err)
			}
			again, err := d.Reissue(d.project, u, session, shown, `{"role":"admin"}`)
			if err != nil {
				t.Fatal(err)
			}
			before, after := payload(t, old), payload(t, again)
			if after["role"] != "admin" || after["jti"] == before["jti"] {
				t.Errorf("got %v, want the claim and a jti of its own", after)
			}
			delete(after, "role")
			delete(after, "jti")
			delete(before, "jti")
			got, _ := json.Marshal(after)
			want, _ := json.Marshal(before)
			if string(got) != string(want) {
				t.Errorf("got %s, want what was there before: %s", got, want)
			}
			if shown, err = d.Inspect(d.project, again); err != nil || shown.Custom != `{"role":"admin"}` || shown.Session != session.Number {
				t.Errorf("the new token: got %+v, %v", shown, err)
			}
		})
	}
}

// What Verify refuses of access tokens, Inspect refuses of both kinds.
func TestInspectRefuses(t *testing.T) {
	d := newDesk(t)
	u := ada(d.project)
	session := d.NewSession(d.project, u, d.number(t), aSalt, "OTP", false, d.now())
	set, err := d.Mint(d.project, u, session)
	if err != nil {
		t.Fatal(err)
	}
	id := set.IDToken.Reveal()
	if _, err := d.Inspect(d.other, set.IDToken); !errors.Is(err, ErrInvalid) {
		t.Errorf("in another project: got %v", err)
	}
	for name, text := range map[string]string{
		"empty": "", "no token": "x.y", "a refresh token": set.RefreshToken.Reveal(), "too long": id + strings.Repeat("A", maxToken),
		"another signature": id[:len(id)-4] + "AAAA", "another payload": strings.Replace(id, ".", ".e30", 1),
	} {
		if _, err := d.Inspect(d.project, splitpin.Secret(text)); !errors.Is(err, ErrInvalid) {
			t.Errorf("%s: got %v, want %v", name, err, ErrInvalid)
		}
	}
	d.wait(DefaultLifetime)
	if _, err := d.Inspect(d.project, set.IDToken); !errors.Is(err, ErrInvalid) {
		t.Errorf("expired: got %v", err)
	}
}

func FuzzCustom(f *testing.F) {
	f.Add([]byte(`{"a":[1,{"b":"\ud800"}],"c":"é"}`), []byte(`{"a":null}`))
	f.Fuzz(func(t *testing.T, first, second []byte) {
		c, err := ParseCustom(first)
		if err != nil {
			return
		}
		if c != "" {
			again, err := ParseCustom([]byte(c))
			if err != nil || again != c {
				t.Fatalf("%s is read back as %s, %v", c, again, err)
			}
		}
		if len(c) > MaxCustom || strings.ContainsFunc(string(c), func(r rune) bool { return r > '~' || r == '>' || r == '?' || r == '~' || r < ' ' }) {
			t.Fatalf("what would stand in a token: %q", c)
		}
		merged, err := c.Merge(second)
		if err != nil {
			return
		}
		var claims map[string]any
		if merged != "" {
			if err := json.Unmarshal([]byte(merged), &claims); err != nil {
				t.Fatalf("%s with %s makes %s: %v", first, second, merged, err)
			}
		}
		for name := range claims {
			if isReserved(name) {
				t.Fatalf("%s with %s makes %s", first, second, merged)
			}
		}
	})
}
