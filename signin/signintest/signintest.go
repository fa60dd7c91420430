// Package signintest holds what every sign-in method must pass. A method's own
// tests call [Run] and add what is peculiar to it:
//
//	func TestMethod(t *testing.T) {
//		signintest.Run(t, func() signin.Messenger { return code.Email{} }, signintest.Case{
//			Name: "six digits", Identifier: "ada@example.org", Kind: splitpin.Email,
//			Answer: func(secret string) json.RawMessage { … },
//		})
//	}
package signintest

import (
	"bytes"
	"cmp"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/splitpin/splitpin"
	"github.com/splitpin/splitpin/signin"
)

// A Case is one way in which a method is used: a project's settings and somebody
// who proves something.
type Case struct {
	Name       string
	Settings   splitpin.Settings
	Identifier string
	Kind       splitpin.IdentifierKind

	// Answer writes the right answer as a starter sends it, given what the message
	// said.
	Answer func(secret string) json.RawMessage

	// Wrong are answers of this method's form that must never pass. The suite adds
	// garbage and the answers of other attempts.
	Wrong []json.RawMessage

	// Refused are kinds of identifier that Begin must refuse.
	Refused []splitpin.IdentifierKind
}

// Bounds that hold for every method (OWASP ASVS 5, 6.5.5 and 6.6).
const (
	MaxLifetime = 10 * time.Minute // of what travels by another channel
	MaxTries    = 10
	// MinHardened is how many different secrets there must be at least where the
	// guessing budget of an identifier is spent.
	MinHardened = 1e10
	// MaxTyped bounds what people can be asked to type.
	MaxTyped = 16
)

// Run holds a method that sends a code or a link against what the engine relies on.
func Run(t *testing.T, method func() signin.Messenger, cases ...Case) {
	t.Run("names", func(t *testing.T) {
		m := method()
		if m.Name() == "" || m.Name() != strings.ToLower(m.Name()) || strings.ContainsAny(m.Name(), " -/") {
			t.Errorf("name %q: it must be lower-case words with underscores", m.Name())
		}
		if m.AuthMethod() == "" {
			t.Error("tokens have no name for this method")
		}
		if other := method(); m.Name() != other.Name() || m.AuthMethod() != other.AuthMethod() {
			t.Error("two of this method have different names")
		}
	})
	for _, c := range cases {
		t.Run(c.Name, func(t *testing.T) {
			s := &suite{t: t, m: method(), c: c}
			begun := s.begin()
			t.Run("begin", func(t *testing.T) { s.on(t).bounds(begun) })
			t.Run("check", func(t *testing.T) { s.on(t).checks(begun.Data) })
			t.Run("secret", func(t *testing.T) { s.on(t).secrets(begun.Data) })
			t.Run("form", func(t *testing.T) { s.on(t).forms(begun.Data) })
			t.Run("message", func(t *testing.T) { s.on(t).messages(begun.Data) })
			if len(begun.Hardened) > 0 {
				t.Run("hardened check", func(t *testing.T) { s.on(t).checks(begun.Hardened) })
				t.Run("hardened secret", func(t *testing.T) { s.on(t).secrets(begun.Hardened) })
				t.Run("hardened form", func(t *testing.T) { s.on(t).forms(begun.Hardened) })
				t.Run("hardened space", func(t *testing.T) { s.on(t).space(begun.Hardened) })
			}
			t.Run("broken data", func(t *testing.T) { s.on(t).brokenData(begun.Data) })
		})
	}
}

type suite struct {
	t *testing.T
	m signin.Messenger
	c Case
}

func (s *suite) on(t *testing.T) *suite { return &suite{t, s.m, s.c} }

func (s *suite) begin() signin.Begun {
	s.t.Helper()
	begun, err := s.m.Begin(s.t.Context(), signin.BeginRequest{
		Project: &splitpin.Project{Number: 1, Settings: s.c.Settings}, Purpose: splitpin.SignIn, Identifier: s.c.Identifier, Kind: s.c.Kind})
	if err != nil {
		s.t.Fatalf("beginning: %v", err)
	}
	return begun
}

// attempt is one of many: number, nonce and generation are what tells them
// apart.
func (s *suite) attempt(data []byte, number int64, generation int) *splitpin.Attempt {
	at := time.Date(2026, 3, 14, 9, 26, 53, 0, time.UTC)
	return &splitpin.Attempt{
		ID: splitpin.AttemptID{Number: number, Nonce: [8]byte{byte(number)}}, Project: 1, Purpose: splitpin.SignIn,
		Method: s.m.Name(), Identifier: s.c.Identifier, Kind: s.c.Kind, Data: bytes.Clone(data), KeyGeneration: generation,
		MaxTries: 5, Sends: 1, CreatedAt: at, ExpiresAt: at.Add(MaxLifetime),
	}
}

// derive stands in for the ring: different for each generation and attempt.
func derive(a *splitpin.Attempt) signin.Derive {
	return func(label string) ([32]byte, error) {
		id := a.ID.Bytes()
		mac := hmac.New(sha256.New, fmt.Appendf(nil, "data key %d", a.KeyGeneration))
		fmt.Fprintf(mac, "%d\x00%s%x", len(label), label, id)
		return [32]byte(mac.Sum(nil)), nil
	}
}

func (s *suite) secret(a *splitpin.Attempt) string {
	s.t.Helper()
	secret, err := s.m.Secret(a, derive(a))
	if err != nil {
		s.t.Fatalf("the secret: %v", err)
	}
	return cmp.Or(secret.Code, secret.Link).Reveal()
}

func (s *suite) passes(a *splitpin.Attempt, answer json.RawMessage) bool {
	_, right := s.m.Check(signin.Check{Attempt: a, Answer: answer, Derive: derive(a), Now: a.CreatedAt})
	return right
}

func (s *suite) bounds(begun signin.Begun) {
	if begun.Lifetime <= 0 || begun.Lifetime > MaxLifetime {
		s.t.Errorf("lives %v: it must be at most %v", begun.Lifetime, MaxLifetime)
	}
	if begun.Tries < 1 || begun.Tries > MaxTries {
		s.t.Errorf("%d tries: they must be 1 to %d", begun.Tries, MaxTries)
	}
	if !reflect.DeepEqual(begun, s.begin()) {
		s.t.Error("beginning twice gave two results: what differs belongs into the attempt's own key")
	}
	for _, kind := range s.c.Refused {
		_, err := s.m.Begin(s.t.Context(), signin.BeginRequest{Project: &splitpin.Project{Number: 1, Settings: s.c.Settings}, Purpose: splitpin.SignIn,
			Identifier: "somebody", Kind: kind})
		if e := splitpin.ErrorOf(err); e == nil || e.Kind == splitpin.Internal {
			s.t.Errorf("identifier of kind %v: got %v, want a refusal that the person can read", kind, err)
		}
	}
}

// checks holds Check against right and wrong answers, and sees that it changes
// nothing.
func (s *suite) checks(data []byte) {
	a := s.attempt(data, 7, 1)
	before := *a
	before.Data = bytes.Clone(a.Data)
	right := s.c.Answer(s.secret(a))
	kept := bytes.Clone(right)
	for range 3 {
		if !s.passes(a, right) {
			s.t.Fatalf("the right answer does not pass: %s", right)
		}
	}
	if !reflect.DeepEqual(*a, before) || !bytes.Equal(right, kept) {
		s.t.Error("Check altered what it was given")
	}
	a.Tries, a.ProvedAt, a.Sends, a.Device = 4, a.CreatedAt, 3, "Firefox"
	if !s.passes(a, right) {
		s.t.Error("the right answer depends on tries, messages or device, which are the engine's business")
	}

	wrong := map[string]json.RawMessage{
		"nothing": nil, "an empty text": json.RawMessage(""), "null": json.RawMessage("null"), "an empty object": json.RawMessage("{}"),
		"an array": json.RawMessage("[]"), "a number": json.RawMessage("0"), "a string": json.RawMessage(`""`), "true": json.RawMessage("true"),
		"half an object": json.RawMessage(`{"code":`), "bytes that are no text": json.RawMessage("\xff\x00{"),
		"a mebibyte":       json.RawMessage(`{"code":"` + strings.Repeat("0", 1<<20) + `"}`),
		"a deep nest":      json.RawMessage(strings.Repeat(`{"code":`, 5000) + "1" + strings.Repeat("}", 5000)),
		"an empty secret":  s.c.Answer(""),
		"spaces":           s.c.Answer("   "),
		"one character":    s.c.Answer(s.secret(a)[:1]),
		"all but the last": s.c.Answer(s.secret(a)[:len(s.secret(a))-1]),
		"one too many":     s.c.Answer(s.secret(a) + s.secret(a)[:1]),
		"twice":            s.c.Answer(s.secret(a) + s.secret(a)),
		"right, and more":  append(bytes.Clone(right), "x"...),
	}
	for i, answer := range s.c.Wrong {
		wrong[fmt.Sprintf("wrong answer %d: %.40s", i, answer)] = answer
	}
	for i := range int64(20) {
		if other := s.attempt(data, 100+i, 1); s.secret(other) != s.secret(a) {
			wrong[fmt.Sprintf("the answer of attempt %d", other.ID.Number)] = s.c.Answer(s.secret(other))
		}
	}
	if later := s.attempt(data, 7, 2); s.secret(later) != s.secret(a) {
		wrong["the answer under another data key"] = s.c.Answer(s.secret(later))
	}
	for what, answer := range wrong {
		if s.passes(a, answer) {
			s.t.Errorf("%s passes: %.60s", what, answer)
		}
	}
	noKey := func(string) ([32]byte, error) { return [32]byte{}, splitpin.ErrUnavailable }
	for what, answer := range map[string]json.RawMessage{"right": right, "empty": s.c.Answer("")} {
		if _, passes := s.m.Check(signin.Check{Attempt: a, Answer: answer, Derive: noKey}); passes {
			s.t.Errorf("the %s answer passes without a data key", what)
		}
	}

	var wg sync.WaitGroup
	for range 8 { // for the race detector
		wg.Go(func() {
			if !s.passes(a, right) {
				s.t.Error("the right answer does not pass when others are checked meanwhile")
			}
		})
	}
	wg.Wait()
}

func (s *suite) secrets(data []byte) {
	a := s.attempt(data, 7, 1)
	secret := s.secret(a)
	if secret == "" {
		s.t.Fatal("the secret is empty")
	}
	a.Sends, a.Tries, a.NextSendAt = 3, 2, a.CreatedAt.Add(time.Minute)
	if s.secret(a) != secret {
		s.t.Error("a resend changes the secret: the message before would be worth nothing")
	}
	seen := map[string]int64{}
	same := 0
	for i := range int64(200) {
		text := s.secret(s.attempt(data, 1000+i, 1))
		if _, taken := seen[text]; taken {
			same++
		}
		seen[text] = i
	}
	if same > 3 { // of a million codes, 200 attempts share one once in fifty runs
		s.t.Errorf("of 200 attempts, %d have the secret of another", same)
	}
	differ := 0
	for generation := 2; generation < 12; generation++ {
		if s.secret(s.attempt(data, 7, generation)) != secret {
			differ++
		}
	}
	if differ < 9 {
		s.t.Errorf("of 10 data keys, %d give another secret", differ)
	}
	if text := string(a.Data); strings.Contains(text, secret) {
		s.t.Error("the attempt's data holds the secret: a reader of the database could sign in")
	}
	if _, err := s.m.Secret(a, func(string) ([32]byte, error) { return [32]byte{}, splitpin.ErrUnavailable }); err == nil {
		s.t.Error("there is a secret without a data key")
	}
}

// forms holds what people are asked for against what they are sent.
func (s *suite) forms(data []byte) {
	for i := range int64(50) {
		a := s.attempt(data, 1+i, 1)
		form, secret := s.m.Describe(a), s.secret(a)
		if form.CodeLength == 0 {
			return // nothing to type
		}
		if len(secret) != form.CodeLength {
			s.t.Fatalf("the form asks for %d characters, the message has %d", form.CodeLength, len(secret))
		}
		for _, r := range secret {
			if !strings.ContainsRune(form.CodeAlphabet, r) {
				s.t.Fatalf("the message has a character that is not in the form's alphabet %q", form.CodeAlphabet)
			}
		}
		if form.CodeLength > MaxTyped {
			s.t.Fatalf("the form asks for %d characters; nobody types more than %d", form.CodeLength, MaxTyped)
		}
	}
}

// messages are the same however often they are named, and whole.
func (s *suite) messages(data []byte) {
	a := s.attempt(data, 1, 1)
	m := s.m.Message(a)
	if (m.Channel == "") != (m.Template == "") {
		s.t.Errorf("channel %q with template %q: both or neither", m.Channel, m.Template)
	}
	if again := s.m.Message(a); again != m {
		s.t.Errorf("the message is %+v and then %+v", m, again)
	}
}

// space measures how many hardened secrets there are.
func (s *suite) space(data []byte) {
	form := s.m.Describe(s.attempt(data, 7, 1))
	space := 1.0
	for range form.CodeLength {
		space *= float64(len(form.CodeAlphabet))
	}
	if form.CodeLength > 0 && space < MinHardened {
		s.t.Errorf("%g different secrets; there must be %g", space, float64(MinHardened))
	}
}

// brokenData sees that data which this method never wrote lets nobody in and
// stops nothing.
func (s *suite) brokenData(data []byte) {
	broken := [][]byte{nil, []byte("{}"), []byte("null"), []byte("x"), []byte(`{"l":-1}`), []byte(`{"l":0}`), []byte(`{"l":1000000000}`)}
	if len(data) > 0 {
		broken = append(broken, data[:len(data)/2])
	}
	for _, d := range broken {
		a := s.attempt(d, 7, 1)
		s.m.Describe(a)
		for _, answer := range []json.RawMessage{s.c.Answer(""), s.c.Answer("0"), nil} {
			if s.passes(a, answer) {
				s.t.Errorf("with the data %q, %q passes", d, answer)
			}
		}
	}
}
