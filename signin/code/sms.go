package code

import (
	"context"
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
}

var _ signin.Chooser = SMS{}

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
			if c != way.Channel {
				way.Fallback = c
			}
		}
	}
	return begin(req.Project.Settings, way), nil
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
	if !slices.Contains(m.channels(p), c) {
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
