package link_test

import (
	"encoding/json"
	"net/url"
	"strings"
	"testing"

	"github.com/splitpin/splitpin"
	"github.com/splitpin/splitpin/signin"
	"github.com/splitpin/splitpin/signin/link"
	"github.com/splitpin/splitpin/signin/signintest"
)

const public = "https://login.example.org"

func TestMethod(t *testing.T) {
	answer := func(text string) json.RawMessage {
		b, _ := json.Marshal(map[string]string{"code": text})
		return b
	}
	mk := func(name string, s splitpin.Settings) signintest.Case {
		return signintest.Case{Name: name, Settings: s, Identifier: "ada@example.org", Kind: splitpin.Email, Answer: answer,
			Wrong:   []json.RawMessage{json.RawMessage(`{"link":"x"}`), json.RawMessage(`{"code":0}`)},
			Refused: []splitpin.IdentifierKind{splitpin.Phone, splitpin.OtherName}}
	}
	signintest.Run(t, func() signin.Messenger { return link.Email(public) },
		mk("defaults", splitpin.Settings{}), mk("letters", splitpin.Settings{CodeAlphabet: "BCDFGHJKLMNPQRSTVWXZ"}))
}

func TestPhone(t *testing.T) {
	both := func() []splitpin.Channel { return []splitpin.Channel{splitpin.SMSChannel, splitpin.WhatsAppChannel} }
	m := link.SMS(public, both)
	settings := splitpin.Settings{Phone: splitpin.PhoneSettings{Channels: both(), Fallback: true, Countries: []string{"DE"}}}
	signintest.Run(t, func() signin.Messenger { return m }, signintest.Case{Name: "by SMS", Settings: settings,
		Identifier: "+4915123456789", Kind: splitpin.Phone,
		Answer: func(text string) json.RawMessage {
			b, _ := json.Marshal(map[string]string{"code": text})
			return b
		},
		Refused: []splitpin.IdentifierKind{splitpin.Email, splitpin.OtherName}})
	begun, err := m.Begin(t.Context(), signin.BeginRequest{Project: &splitpin.Project{Settings: settings}, Purpose: splitpin.SignIn,
		Identifier: "+4915123456789", Kind: splitpin.Phone})
	if err != nil {
		t.Fatal(err)
	}
	want := signin.Message{Channel: splitpin.SMSChannel, Template: "link"}
	if got := m.Message(&splitpin.Attempt{Data: begun.Data}); got != want {
		t.Errorf("got %+v, want %+v: a link does not fall back to WhatsApp", got, want)
	}
}

// A link does not prove that somebody is still there, or completes anything: who is asked
// for that is at a screen.
func TestBeginRefuses(t *testing.T) {
	shop := &splitpin.Project{Number: 1}
	for _, req := range []signin.BeginRequest{
		{Purpose: splitpin.Confirm}, {Purpose: splitpin.Complete}, {Purpose: splitpin.Enrol},
		{Purpose: splitpin.SignIn, LinkReturns: true, Destination: "shop://login"},
		{Purpose: splitpin.SignIn, LinkReturns: true},
	} {
		req.Project, req.Identifier, req.Kind = shop, "ada@example.org", splitpin.Email
		if _, err := link.Email(public).Begin(t.Context(), req); splitpin.ErrorOf(err) == nil {
			t.Errorf("%s to %q: got %v, want a refusal", req.Purpose, req.Destination, err)
		}
	}
}

func derive(label string) (key [32]byte, err error) {
	copy(key[:], label+" 0123456789abcdef0123456789abcdef")
	return key, nil
}

func told(t *testing.T, destination string, returns bool) signin.Told {
	t.Helper()
	m := link.Email(public + "/")
	begun, err := m.Begin(t.Context(), signin.BeginRequest{Project: &splitpin.Project{Number: 1}, Purpose: splitpin.SignIn,
		Identifier: "ada@example.org", Kind: splitpin.Email, LinkReturns: returns, Destination: destination})
	if err != nil {
		t.Fatal(err)
	}
	a := &splitpin.Attempt{ID: splitpin.AttemptID{Number: 7}, Identifier: "ada@example.org", Kind: splitpin.Email, Data: begun.Data,
		Destination: destination, ClientData: []byte(`{"plan":"gold"}`)}
	got, err := m.Secret(a, derive)
	if err != nil {
		t.Fatal(err)
	}
	return got
}

func TestLinkOfOurs(t *testing.T) {
	got := told(t, "https://shop.example/cart?x=1", false)
	token, found := strings.CutPrefix(got.Link.Reveal(), public+"/link/")
	if !found || len(token) != 45 || url.PathEscape(token) != token {
		t.Errorf("got %s, want our landing page and 45 plain characters", got.Link.Reveal())
	}
	if len(got.Code) != 6 {
		t.Errorf("the message leads with a code of %d characters", len(got.Code))
	}
}

// Contract 12.5. What a former sign-in left in the address is gone, what is the site's
// own stays as it is, the fragment stays behind, and the address is not shown in full.
func TestLinkThatReturns(t *testing.T) {
	tests := []struct{ name, to, page, rest, fragment string }{
		{"plain", "https://shop.example/cart", "https://shop.example/cart", "", ""},
		{"own parameters", "https://shop.example/cart?b=2&a=%20x&b", "https://shop.example/cart", "b=2&a=%20x&b&", ""},
		{"a fragment", "https://shop.example/#/cart?x=1", "https://shop.example/", "", "#/cart?x=1"},
		{"of a former link", "https://shop.example/?a=1&auth_method=MAGIC_LINK&challenge_id=9&challenge=old&id_type=EMAIL&id=x%40y.z&client_json=%7B%7D&b=2",
			"https://shop.example/", "a=1&b=2&", ""},
		{"of a former link, spelt otherwise", "https://shop.example/?challeng%65=old&auth%5Fmethod=x&client_json", "https://shop.example/", "", ""},
		{"of a social sign-in", "https://shop.example/?code=c&state=s&challenge_id=1&auth_method=SOCIAL_LOGIN", "https://shop.example/", "", ""},
		{"outside ASCII", "https://shop.example/k\u00e4se?\u00fc=\"1\"", "https://shop.example/k%C3%A4se", "%C3%BC=%221%22&", ""},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			got := told(t, test.to, true).Link.Reveal()
			rest, found := strings.CutPrefix(got, test.page+"?"+test.rest)
			rest, hasFragment := strings.CutSuffix(rest, test.fragment)
			if !found || !hasFragment {
				t.Fatalf("got %s", got)
			}
			q, err := url.ParseQuery(rest)
			if err != nil || len(q) != 5 {
				t.Fatalf("%v, %v: want five parameters; an empty client_json makes the SDK throw", q, err)
			}
			if q.Get("auth_method") != "MAGIC_LINK" || q.Get("id_type") != "EMAIL" || q.Get("id") != "a…@example.org" || len(q.Get("challenge")) != 45 || q.Get("challenge_id") == "" {
				t.Errorf("got %v", q)
			}
			if strings.Contains(got, "ada@") || strings.Contains(got, "ada%40") || strings.Contains(got, "gold") {
				t.Errorf("%s tells more than it must", got)
			}
		})
	}
}
