package code_test

import (
	"context"
	"encoding/json"
	"errors"
	"math"
	"strings"
	"testing"

	"github.com/splitpin/splitpin"
	"github.com/splitpin/splitpin/signin"
	"github.com/splitpin/splitpin/signin/code"
	"github.com/splitpin/splitpin/signin/signintest"
)

func answer(text string) json.RawMessage {
	b, _ := json.Marshal(map[string]string{"code": text})
	return b
}

func TestMethod(t *testing.T) {
	mk := func(name string, s splitpin.Settings) signintest.Case {
		return signintest.Case{Name: name, Settings: s, Identifier: "ada@example.org", Kind: splitpin.Email, Answer: answer,
			Wrong:   []json.RawMessage{json.RawMessage(`{"code":0}`), json.RawMessage(`{"code":["0"]}`), json.RawMessage(`{"Kode":"000000"}`)},
			Refused: []splitpin.IdentifierKind{splitpin.Phone, splitpin.OtherName}}
	}
	signintest.Run(t, func() signin.Messenger { return code.Email{} },
		mk("defaults", splitpin.Settings{}),
		mk("eight digits", splitpin.Settings{CodeLength: 8}),
		mk("letters", splitpin.Settings{CodeLength: 6, CodeAlphabet: "BCDFGHJKLMNPQRSTVWXZ"}),
		mk("lower case", splitpin.Settings{CodeLength: 6, CodeAlphabet: "bcdfghjkmnpqrstvwxyz23456789"}),
		mk("three characters", splitpin.Settings{CodeLength: 16, CodeAlphabet: "ABC"}),
		mk("the longest", splitpin.Settings{CodeLength: code.MaxLength}),
	)
}

func TestSMS(t *testing.T) {
	both := []splitpin.Channel{splitpin.SMSChannel, splitpin.WhatsAppChannel}
	mk := func(name string, s splitpin.Settings) signintest.Case {
		return signintest.Case{Name: name, Settings: s, Identifier: "+447400123456", Kind: splitpin.Phone, Answer: answer,
			Wrong:   []json.RawMessage{json.RawMessage(`{"code":0}`), json.RawMessage(`{"Kode":"000000"}`)},
			Refused: []splitpin.IdentifierKind{splitpin.Email, splitpin.OtherName}}
	}
	signintest.Run(t, func() signin.Messenger { return code.SMS{Senders: func() []splitpin.Channel { return both }} },
		mk("defaults", splitpin.Settings{}),
		mk("letters", splitpin.Settings{CodeAlphabet: "BCDFGHJKLMNPQRSTVWXZ"}),
		mk("both channels", splitpin.Settings{Phone: splitpin.PhoneSettings{Channels: both, Fallback: true}}),
	)
}

func TestChannels(t *testing.T) {
	const sms, whatsApp = splitpin.SMSChannel, splitpin.WhatsAppChannel
	const mobile, landline, premium = "+447400123456", "+442079460123", "+449098790123"
	type channels = []splitpin.Channel
	tests := []struct {
		name          string
		have, offered channels
		fallback      bool
		number        string
		wish          splitpin.Channel
		goes, then    splitpin.Channel
		refused       *splitpin.Error
	}{
		{name: "no wish", have: channels{sms, whatsApp}, number: mobile, goes: sms},
		{name: "no wish, WhatsApp first", have: channels{sms, whatsApp}, offered: channels{whatsApp, sms}, number: mobile, goes: whatsApp},
		{name: "a wish", have: channels{sms, whatsApp}, offered: channels{sms, whatsApp}, wish: whatsApp, number: mobile, goes: whatsApp},
		{name: "a wish that the project does not offer", have: channels{sms, whatsApp}, wish: whatsApp, number: mobile, refused: signin.ErrChannel},
		{name: "a wish without a sender", have: channels{sms}, offered: channels{sms, whatsApp}, wish: whatsApp, number: mobile, refused: signin.ErrChannel},
		{name: "the first has no sender", have: channels{whatsApp}, offered: channels{sms, whatsApp}, number: mobile, goes: whatsApp},
		{name: "mail is no way to a phone", have: channels{sms}, wish: splitpin.EmailChannel, number: mobile, refused: signin.ErrChannel},
		{name: "no sender at all", number: mobile, refused: signin.ErrChannel},
		{name: "fallback", have: channels{sms, whatsApp}, offered: channels{sms, whatsApp}, fallback: true, number: mobile, goes: sms, then: whatsApp},
		{name: "fallback the other way", have: channels{sms, whatsApp}, offered: channels{sms, whatsApp}, fallback: true, wish: whatsApp, number: mobile, goes: whatsApp, then: sms},
		{name: "no fallback without a sender", have: channels{sms}, offered: channels{sms, whatsApp}, fallback: true, number: mobile, goes: sms},
		{name: "a landline", have: channels{sms, whatsApp}, number: landline, refused: code.ErrUnreachable},
		{name: "a landline with WhatsApp", have: channels{sms, whatsApp}, offered: channels{sms, whatsApp}, fallback: true, wish: whatsApp, number: landline, goes: whatsApp},
		{name: "premium rate", have: channels{sms, whatsApp}, offered: channels{sms, whatsApp}, wish: whatsApp, number: premium, refused: code.ErrUnreachable},
	}
	for _, test := range tests {
		m := code.SMS{Senders: func() []splitpin.Channel { return test.have }}
		p := &splitpin.Project{Settings: splitpin.Settings{Phone: splitpin.PhoneSettings{Channels: test.offered, Fallback: test.fallback}}}
		begun, err := m.Begin(t.Context(), signin.BeginRequest{Project: p, Identifier: test.number, Kind: splitpin.Phone, Channel: test.wish})
		if got := m.Channels(p); got != nil {
			t.Errorf("%s: without a country, the project offers %v", test.name, got)
		}
		if test.refused != nil {
			if !errors.Is(err, test.refused) {
				t.Errorf("%s: got %v, want %s", test.name, err, test.refused.Code)
			}
			continue
		}
		if err != nil {
			t.Errorf("%s: %v", test.name, err)
			continue
		}
		for _, data := range [][]byte{begun.Data, begun.Hardened} {
			if got, want := m.Message(&splitpin.Attempt{Data: data}), (signin.Message{Channel: test.goes, Fallback: test.then, Template: "code"}); got != want {
				t.Errorf("%s: got %+v, want %+v", test.name, got, want)
			}
		}
	}
}

// A message that is asked for once more may go another way, as far as it reaches the person.
func TestOver(t *testing.T) {
	const sms, whatsApp = splitpin.SMSChannel, splitpin.WhatsAppChannel
	both := []splitpin.Channel{sms, whatsApp}
	for _, test := range []struct {
		name          string
		have, offered []splitpin.Channel
		number        string
		over          splitpin.Channel
		refused       *splitpin.Error
	}{
		{name: "to WhatsApp", have: both, offered: both, number: "+447400123456", over: whatsApp},
		{name: "to SMS", have: both, offered: both, number: "+447400123456", over: sms},
		{name: "not offered", have: both, number: "+447400123456", over: whatsApp, refused: signin.ErrChannel},
		{name: "without a sender", have: both[:1], offered: both, number: "+447400123456", over: whatsApp, refused: signin.ErrChannel},
		{name: "by mail", have: both, offered: both, number: "+447400123456", over: splitpin.EmailChannel, refused: signin.ErrChannel},
		{name: "SMS to a landline", have: both, offered: both, number: "+442079460123", over: sms, refused: code.ErrUnreachable},
	} {
		m := code.SMS{Senders: func() []splitpin.Channel { return test.have }}
		p := &splitpin.Project{Settings: splitpin.Settings{Phone: splitpin.PhoneSettings{Channels: test.offered}}}
		got, err := m.Over(p, &splitpin.Attempt{Identifier: test.number, Kind: splitpin.Phone}, test.over)
		if test.refused != nil {
			if !errors.Is(err, test.refused) {
				t.Errorf("%s: got %v, want %s", test.name, err, test.refused.Code)
			}
		} else if want := (signin.Message{Channel: test.over, Template: "code"}); err != nil || got != want {
			t.Errorf("%s: got %+v, %v; want %+v", test.name, got, err, want)
		}
	}
}

// A provider makes the codes of one channel itself.
type provider struct {
	right error // of a right answer; nil: none
	asked int
}

func (p *provider) Verify(_ context.Context, _ *splitpin.Attempt, code splitpin.Secret) (bool, error) {
	p.asked++
	return code == "4711", p.right
}

func TestProvider(t *testing.T) {
	const sms, whatsApp = splitpin.SMSChannel, splitpin.WhatsAppChannel
	p := new(provider)
	m := code.SMS{Senders: func() []splitpin.Channel { return []splitpin.Channel{sms, whatsApp} }, Provider: func(c splitpin.Channel) code.Provider {
		if c == sms && p != nil {
			return p
		}
		return nil
	}}
	settings := splitpin.Settings{Phone: splitpin.PhoneSettings{Channels: []splitpin.Channel{sms, whatsApp}, Fallback: true}}
	begin := func(wish splitpin.Channel) *splitpin.Attempt {
		t.Helper()
		begun, err := m.Begin(t.Context(), signin.BeginRequest{Project: &splitpin.Project{Settings: settings}, Identifier: "+447400123456", Kind: splitpin.Phone, Channel: wish})
		if err != nil {
			t.Fatal(err)
		}
		if theirs := wish == sms; (begun.Hardened == nil) != theirs {
			t.Errorf("by %s a code that is harder to guess: %s", wish, begun.Hardened)
		}
		return &splitpin.Attempt{Identifier: "+447400123456", Data: begun.Data}
	}
	derive := func(string) (key [32]byte, err error) { return key, nil }

	a := begin(sms)
	told, err := m.Secret(a, derive)
	if err != nil || told != (signin.Told{}) || !m.Fetches(a) || m.Message(a).Fallback != "" {
		t.Errorf("of a provider's code we tell %v, %v; it is fetched: %v; it goes on by %q", told, err, m.Fetches(a), m.Message(a).Fallback)
	}
	for _, tt := range []struct {
		answer json.RawMessage
		right  bool
	}{{answer("4711"), true}, {answer(" 47-11"), true}, {answer("4712"), false}, {answer(""), false}, {json.RawMessage(`{"code":4711}`), false}} {
		fetched, wrong, err := m.Fetch(t.Context(), signin.FetchRequest{Attempt: a, Answer: tt.answer})
		if err != nil || wrong == tt.right {
			t.Errorf("%s: wrong %v, %v", tt.answer, wrong, err)
		}
		if !wrong {
			if _, right := m.Check(signin.Check{Attempt: a, Answer: tt.answer, Fetched: fetched, Derive: derive}); !right {
				t.Errorf("%s is wrong after all", tt.answer)
			}
		}
	}
	// What nobody fetched is not right, whatever it says, and least of all our own code.
	ours, _ := m.Secret(begin(whatsApp), derive)
	for _, text := range []string{"4711", ours.Code.Reveal()} {
		if _, right := m.Check(signin.Check{Attempt: a, Answer: answer(text), Derive: derive}); right {
			t.Errorf("%s is right, and the provider was not asked", text)
		}
	}
	offered := &splitpin.Project{Settings: settings}
	for _, over := range []splitpin.Channel{sms, whatsApp} {
		if _, err := m.Over(offered, a, over); (err == nil) != (over == sms) {
			t.Errorf("a provider's code once more by %s: %v", over, err)
		}
		if _, err := m.Over(offered, begin(whatsApp), over); (err == nil) != (over == whatsApp) {
			t.Errorf("our code once more by %s: %v", over, err)
		}
	}
	p.right = splitpin.ErrUnavailable
	if _, _, err := m.Fetch(t.Context(), signin.FetchRequest{Attempt: a, Answer: answer("4711")}); !errors.Is(err, splitpin.ErrUnavailable) {
		t.Errorf("a provider that is down: %v", err)
	}
	p = nil
	if _, wrong, err := m.Fetch(t.Context(), signin.FetchRequest{Attempt: a, Answer: answer("4711")}); err != nil || !wrong {
		t.Errorf("a provider that is gone: wrong %v, %v", wrong, err)
	}

	p = new(provider)
	b := begin(whatsApp)
	if m.Fetches(b) || m.Message(b).Fallback != "" {
		t.Errorf("a code of ours is fetched: %v; it goes on by %q, whose code is another", m.Fetches(b), m.Message(b).Fallback)
	}
	if _, right := m.Check(signin.Check{Attempt: b, Answer: answer(ours.Code.Reveal()), Derive: derive}); !right || p.asked != 0 {
		t.Errorf("our code is right: %v; the provider was asked %d times", right, p.asked)
	}
}

func TestHardenedShape(t *testing.T) {
	tests := []struct {
		name     string
		settings splitpin.Settings
		length   int
		alphabet string
	}{
		{"six digits", splitpin.Settings{}, 10, code.DefaultAlphabet},
		{"twelve digits stay", splitpin.Settings{CodeLength: 12}, 12, code.DefaultAlphabet},
		{"letters", splitpin.Settings{CodeAlphabet: "BCDFGHJKLMNPQRSTVWXZ"}, 8, "BCDFGHJKLMNPQRSTVWXZ"},
		{"too few characters for a length one types", splitpin.Settings{CodeLength: 16, CodeAlphabet: "ABC"}, 10, code.DefaultAlphabet},
		{"an alphabet that is none", splitpin.Settings{CodeAlphabet: "A"}, 10, code.DefaultAlphabet},
	}
	for _, test := range tests {
		begun, err := code.Email{}.Begin(t.Context(), signin.BeginRequest{
			Project: &splitpin.Project{Settings: test.settings}, Identifier: "ada@example.org", Kind: splitpin.Email})
		if err != nil {
			t.Fatalf("%s: %v", test.name, err)
		}
		form := code.Email{}.Describe(&splitpin.Attempt{Data: begun.Hardened})
		if form.CodeLength != test.length || form.CodeAlphabet != test.alphabet {
			t.Errorf("%s: got %d of %q, want %d of %q", test.name, form.CodeLength, form.CodeAlphabet, test.length, test.alphabet)
		}
	}
}

// What people make of a code on its way from the message to the form.
func TestLenience(t *testing.T) {
	attempt := func(data string) *splitpin.Attempt { return &splitpin.Attempt{Data: []byte(data)} }
	derive := func(string) ([32]byte, error) { return [32]byte{31: 137}, nil } // 000137; in letters BBBBJX
	digits, letters, both := attempt(`{"l":6}`), attempt(`{"l":6,"a":"BCDFGHJKLMNPQRSTVWXZ"}`), attempt(`{"l":6,"a":"aAbB"}`)
	tests := []struct {
		name    string
		attempt *splitpin.Attempt
		given   string
		passes  bool
	}{
		{"as it is", digits, "000137", true},
		{"in two groups", digits, "000 137", true},
		{"with a hyphen", digits, "000-137", true},
		{"pasted with white space around", digits, "\t 000137\u00a0\n", true},
		{"without leading zeros", digits, "137", false},
		{"as a sum", digits, "+000137", false},
		{"letters", letters, spelled(letters, derive), true},
		{"letters in lower case", letters, strings.ToLower(spelled(letters, derive)), true},
		{"an alphabet with both cases, as it is", both, spelled(both, derive), true},
		{"an alphabet with both cases, in capitals", both, strings.ToUpper(spelled(both, derive)), false},
	}
	for _, test := range tests {
		_, got := code.Email{}.Check(signin.Check{Attempt: test.attempt, Answer: answer(test.given), Derive: derive})
		if got != test.passes {
			t.Errorf("%s (%q): passes is %v, want %v", test.name, test.given, got, test.passes)
		}
	}
}

func spelled(a *splitpin.Attempt, derive signin.Derive) string {
	s, _ := code.Email{}.Secret(a, derive)
	return s.Code.Reveal()
}

// Each digit is about as frequent as the others, at each place.
func TestCodesAreEven(t *testing.T) {
	const n = 20000
	var seen [6][10]int
	for i := range n {
		derive := func(string) ([32]byte, error) {
			var key [32]byte
			x := uint64(i)*0x9e3779b97f4a7c15 + 1
			for j := range key {
				x ^= x << 13
				x ^= x >> 7
				x ^= x << 17
				key[j] = byte(x >> 24)
			}
			return key, nil
		}
		for place, digit := range spelled(&splitpin.Attempt{Data: []byte(`{"l":6}`)}, derive) {
			seen[place][digit-'0']++
		}
	}
	for place, digits := range seen {
		for digit, count := range digits {
			if math.Abs(float64(count)-n/10) > 6*math.Sqrt(n/10) {
				t.Errorf("digit %d at place %d: %d of %d", digit, place, count, n)
			}
		}
	}
}

func FuzzCheck(f *testing.F) {
	f.Add([]byte(`{"code":"000137"}`), []byte(`{"l":6}`))
	f.Add([]byte(`{"code":""}`), []byte(`{}`))
	f.Add([]byte(`{`), []byte(`{"l":3,"a":"é"}`))
	f.Fuzz(func(t *testing.T, given, data []byte) {
		a := &splitpin.Attempt{Data: data}
		derive := func(string) ([32]byte, error) { return [32]byte{31: 137}, nil }
		_, passes := code.Email{}.Check(signin.Check{Attempt: a, Answer: given, Derive: derive})
		secret, err := code.Email{}.Secret(a, derive)
		if passes && (err != nil || secret.Code.Reveal() == "") {
			t.Fatalf("%q passes where there is no code (data %q)", given, data)
		}
	})
}
