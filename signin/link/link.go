// Package link is the method of the link: one message that leads with a code and has one
// link. The one who asked may enter the code, as for the method of the code, whose codes
// these are. What happens where the link is opened is the engine's business, as for
// every method whose message has one: see signin/bearer.go.
package link

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/splitpin/splitpin"
	"github.com/splitpin/splitpin/signin"
	"github.com/splitpin/splitpin/signin/code"
)

// ErrLong refuses a page for the link of a text message, which is paid by its length.
var ErrLong = &splitpin.Error{Kind: splitpin.Invalid, Code: "redirect_too_long", Field: "redirect_url",
	Message: "The redirect URL is too long for a text message. With what is added to it, it may have 600 characters: please use a shorter one, or no redirect_link."}

// maxPhoneLink is how long a link may be in a message to a phone, as signin.PhoneLength
// counts: four parts.
const maxPhoneLink = 600

// Method is a method of the link, made by [Email]; that of [SMS] is one too.
type Method struct {
	code      signin.Messenger
	name      string
	publicURL string
}

var _ signin.Messenger = Method{}

// Email returns the method "email_link". publicURL is where the pages of this server
// stand.
func Email(publicURL string) Method { return over(code.Email{}, "email_link", publicURL) }

func over(code signin.Messenger, name, publicURL string) Method {
	return Method{code, name, strings.TrimSuffix(publicURL, "/")}
}

// Phone is the method "sms_link", made by [SMS].
type Phone struct {
	Method
	numbers code.SMS
}

var _ signin.Chooser = Phone{}

// SMS returns the method "sms_link". senders returns the channels that have a sender. A
// link goes by SMS alone: the templates of WhatsApp that carry a code have no place for
// one.
func SMS(publicURL string, senders func() []splitpin.Channel) Phone {
	numbers := code.SMS{Senders: func() []splitpin.Channel {
		return slices.DeleteFunc(senders(), func(c splitpin.Channel) bool { return c != splitpin.SMSChannel })
	}}
	return Phone{over(numbers, "sms_link", publicURL), numbers}
}

// Channels returns SMS where the project has it.
func (m Phone) Channels(p *splitpin.Project) []splitpin.Channel { return m.numbers.Channels(p) }

// Over knows no other channel: see [SMS].
func (Phone) Over(*splitpin.Project, *splitpin.Attempt, splitpin.Channel) (signin.Message, error) {
	return signin.Message{}, signin.ErrChannel
}

func (m Method) Name() string     { return m.name }
func (Method) AuthMethod() string { return "MAGIC_LINK" }

// data is what an attempt keeps of this method.
type data struct {
	Code    json.RawMessage `json:"c"`           // what that of the code keeps
	Returns bool            `json:"r,omitempty"` // the link leads to the redirect URL
	OwnForm bool            `json:"o,omitempty"`
}

// Begin accepts what the method of the code does. A link opens a session and nothing
// else: who adds or confirms something is at a screen already, and types a code.
func (m Method) Begin(ctx context.Context, req signin.BeginRequest) (signin.Begun, error) {
	if req.Purpose != splitpin.SignIn {
		return signin.Begun{}, signin.ErrPurpose
	}
	if req.LinkReturns && !splitpin.IsWeb(req.Destination) {
		return signin.Begun{}, signin.ErrRedirect
	}
	if to := (&splitpin.Attempt{Identifier: req.Identifier, Kind: req.Kind}); req.LinkReturns && req.Kind == splitpin.Phone &&
		signin.ReturnLinkLength(req.Destination, to) > maxPhoneLink {
		return signin.Begun{}, ErrLong
	}
	begun, err := m.code.Begin(ctx, req)
	if err != nil {
		return begun, err
	}
	for _, d := range []*[]byte{&begun.Data, &begun.Hardened} {
		if len(*d) == 0 {
			continue
		}
		if *d, err = json.Marshal(data{Code: *d, Returns: req.LinkReturns, OwnForm: req.OwnForm}); err != nil {
			return begun, fmt.Errorf("keeping how a link looks: %w", err)
		}
	}
	return begun, nil
}

// inner returns the attempt as the method of the code knows it.
func inner(a *splitpin.Attempt) (*splitpin.Attempt, data) {
	var d data
	if json.Unmarshal(a.Data, &d) != nil {
		d.Code = nil
	}
	of := *a
	of.Data = d.Code
	return &of, d
}

func (m Method) Message(a *splitpin.Attempt) signin.Message {
	of, d := inner(a)
	message := m.code.Message(of)
	message.Template = "link"
	if d.Returns {
		message.Link = signin.ReturnLinkLength(a.Destination, a)
	}
	return message
}

func (m Method) Describe(a *splitpin.Attempt) signin.Form {
	of, d := inner(a)
	form := m.code.Describe(of)
	form.Link, form.OwnForm = true, d.OwnForm
	return form
}

func (m Method) Check(c signin.Check) (signin.Proof, bool) {
	c.Attempt, _ = inner(c.Attempt)
	return m.code.Check(c)
}

// Secret returns the code and the link. Both are the same however often they are sent.
func (m Method) Secret(a *splitpin.Attempt, derive signin.Derive) (signin.Told, error) {
	of, d := inner(a)
	told, err := m.code.Secret(of, derive)
	if err != nil {
		return signin.Told{}, err
	}
	token, err := signin.LinkToken(a, derive)
	if err != nil {
		return signin.Told{}, err
	}
	told.Link = splitpin.Secret(m.publicURL+signin.LinkPath) + token
	if d.Returns {
		if told.Link, err = signin.ReturnLink(a.Destination, a, token, derive); err != nil {
			return signin.Told{}, err
		}
	}
	return told, nil
}
