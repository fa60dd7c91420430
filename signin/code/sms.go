package code

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/json"
	"slices"

	"github.com/splitpin/splitpin"
	"github.com/splitpin/splitpin/phone"
	"github.com/splitpin/splitpin/signin"
)

var (
	errNumber = &splitpin.Error{Kind: splitpin.Invalid, Code: "invalid_identifier", Field: "identifier",
		Message: "Please enter a phone number with its country code, like +44 7400 123456."}
	// ErrUnreachable refuses a number to which no message goes.
	ErrUnreachable = &splitpin.Error{Kind: splitpin.Invalid, Code: "phone_unreachable", Field: "identifier",
		Message: "Messages do not reach that kind of number. Please enter the number of a mobile phone."}
)

// SMS is the method "sms_code": the code goes to a phone, by SMS or by WhatsApp.
type SMS struct {
	short

	// Senders returns the channels that have a sender.
	Senders func() []splitpin.Channel
	// Provider returns who makes and checks the codes of a channel; nil, or nil for a
	// channel: we do.
	Provider func(splitpin.Channel) Provider
}

// A Provider sends codes of its own, and must be asked about them.
type Provider interface {
	// Verify reports whether code is the one that was sent for an attempt. An error is for
	// what may pass, and says so by its kind.
	Verify(ctx context.Context, a *splitpin.Attempt, code splitpin.Secret) (right bool, err error)
}

var (
	_ signin.Chooser     = SMS{}
	_ signin.PartFetcher = SMS{}
)

func (SMS) Name() string { return "sms_code" }

// Channels returns those of a project that have a sender; none where it allows no
// country.
func (m SMS) Channels(p *splitpin.Project) []splitpin.Channel {
	if len(p.Settings.Phone.Countries) == 0 {
		return nil
	}
	return m.channels(p)
}

func (m SMS) channels(p *splitpin.Project) []splitpin.Channel {
	wanted := p.Settings.Phone.Channels
	if len(wanted) == 0 {
		wanted = []splitpin.Channel{splitpin.SMSChannel}
	}
	have := m.Senders()
	return slices.DeleteFunc(slices.Clone(wanted), func(c splitpin.Channel) bool { return !slices.Contains(have, c) })
}

func (m SMS) Begin(_ context.Context, req signin.BeginRequest) (signin.Begun, error) {
	if req.Kind != splitpin.Phone {
		return signin.Begun{}, errNumber
	}
	offered := m.channels(req.Project) // which country, the engine decides
	way := data{Channel: req.Channel}
	switch {
	case len(offered) == 0:
		return signin.Begun{}, signin.ErrChannel
	case way.Channel == "":
		way.Channel = offered[0]
	case !slices.Contains(offered, way.Channel):
		return signin.Begun{}, signin.ErrChannel
	}
	number, err := phone.Parse(req.Identifier)
	if err != nil {
		return signin.Begun{}, errNumber
	}
	// A landline may have WhatsApp; nobody reads an SMS there.
	if number.Use == phone.Other || number.Use == phone.Fixed && way.Channel == splitpin.SMSChannel {
		return signin.Begun{}, ErrUnreachable
	}
	if req.Project.Settings.Phone.Fallback && number.Use != phone.Fixed {
		for _, c := range offered {
			// A message that goes on says the same code, so both must be ours.
			if c != way.Channel && m.provider(way.Channel) == nil && m.provider(c) == nil {
				way.Fallback = c
			}
		}
	}
	way.Theirs = m.provider(way.Channel) != nil
	begun := begin(req.Project.Settings, way)
	if way.Theirs {
		begun.Hardened = nil // how long its codes are is the provider's choice
	}
	return begun, nil
}

func (m SMS) provider(c splitpin.Channel) Provider {
	if m.Provider == nil {
		return nil
	}
	return m.Provider(c)
}

// theirs returns the channel whose provider made the code of an attempt; empty: we did.
func theirs(a *splitpin.Attempt) splitpin.Channel {
	var d data
	if json.Unmarshal(a.Data, &d) != nil || !d.Theirs {
		return ""
	}
	return d.Channel
}

// Fetches reports whether the provider must be asked about an attempt. It is asked about a
// right code once: providers forget a code that was entered.
func (SMS) Fetches(a *splitpin.Attempt) bool {
	var d data
	return theirs(a) != "" && json.Unmarshal(a.Data, &d) == nil && d.Right == nil
}

// found is what Fetch found: nothing but that the code is right.
type found struct{}

// Fetch asks the provider. A provider that was taken out of the configuration since finds
// every code wrong.
func (m SMS) Fetch(ctx context.Context, req signin.FetchRequest) (signin.Fetched, bool, error) {
	given, ok := typed(req.Answer)
	provider := m.provider(theirs(req.Attempt))
	if !ok || provider == nil {
		return signin.Fetched{}, true, nil
	}
	right := false
	err := signin.Outside(ctx, func(ctx context.Context) (err error) {
		right, err = provider.Verify(ctx, req.Attempt, splitpin.Secret(given))
		return err
	})
	return signin.Fetched{Value: found{}}, !right, err
}

// Check takes a code of a provider's for what Fetch found it to be.
func (m SMS) Check(c signin.Check) (signin.Proof, bool) {
	if theirs(c.Attempt) == "" {
		return m.short.Check(c)
	}
	var d data
	given, ok := typed(c.Answer)
	key, err := c.Derive("code of a provider")
	if !ok || err != nil || json.Unmarshal(c.Attempt.Data, &d) != nil {
		return signin.Proof{}, false
	}
	mac := hmac.New(sha256.New, key[:])
	mac.Write([]byte(given))
	if d.Right != nil { // the same code again: an answer of ours was lost, or the person chose
		return signin.Proof{}, hmac.Equal(mac.Sum(nil), d.Right)
	}
	if _, right := c.Fetched.Value.(found); !right {
		return signin.Proof{}, false
	}
	d.Right = mac.Sum(nil)
	kept, err := json.Marshal(d)
	return signin.Proof{Data: kept}, err == nil
}

// Secret is that of an Email, or empty where the provider makes the code.
func (m SMS) Secret(a *splitpin.Attempt, derive signin.Derive) (signin.Told, error) {
	if theirs(a) != "" {
		return signin.Told{}, nil
	}
	return m.short.Secret(a, derive)
}

// Message goes the way that was chosen at the beginning.
func (SMS) Message(a *splitpin.Attempt) signin.Message {
	var d data
	if json.Unmarshal(a.Data, &d) != nil || d.Channel == "" {
		return signin.Message{}
	}
	return signin.Message{Channel: d.Channel, Fallback: d.Fallback, Template: "code"}
}

// Over goes another way than was chosen at the beginning, and no other after that.
func (m SMS) Over(p *splitpin.Project, a *splitpin.Attempt, c splitpin.Channel) (signin.Message, error) {
	// It must be the same code, whoever made it.
	made := theirs(a)
	if !slices.Contains(m.channels(p), c) || made != "" && made != c || made == "" && m.provider(c) != nil {
		return signin.Message{}, signin.ErrChannel
	}
	number, err := phone.Parse(a.Identifier)
	if err != nil {
		return signin.Message{}, errNumber
	}
	if number.Use == phone.Fixed && c == splitpin.SMSChannel {
		return signin.Message{}, ErrUnreachable
	}
	return signin.Message{Channel: c, Template: "code"}, nil
}
