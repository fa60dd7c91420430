package main

import (
	"context"
	"fmt"

	"github.com/splitpin/splitpin"
	"github.com/splitpin/splitpin/delivery"
	"github.com/splitpin/splitpin/signin"
	"github.com/splitpin/splitpin/signin/browser"
	"github.com/splitpin/splitpin/signin/code"
	"github.com/splitpin/splitpin/signin/link"
	"github.com/splitpin/splitpin/signin/passkey"
)

// methods is every way to sign in that this program has. publicURL is where its pages
// stand.
func (in *installation) methods(publicURL string) []signin.Method {
	return []signin.Method{
		code.Email{},
		code.SMS{Senders: in.phoneChannels, Provider: in.codeProvider},
		link.Email(publicURL),
		link.SMS(publicURL, in.phoneChannels),
		passkey.Method{PublicURL: publicURL},
		browser.Method{PublicURL: publicURL},
		in.social,
	}
}

// phoneChannels are the ways to a phone that have a sender.
func (in *installation) phoneChannels() []splitpin.Channel {
	var have []splitpin.Channel
	for _, c := range []splitpin.Channel{splitpin.SMSChannel, splitpin.WhatsAppChannel} {
		if in.outbox.Senders[c] != nil {
			have = append(have, c)
		}
	}
	return have
}

// codeProvider returns who makes the codes of a channel to phones; nil: we do.
func (in *installation) codeProvider(c splitpin.Channel) code.Provider {
	if v, ok := in.outbox.Senders[c].(delivery.Verifier); ok {
		return codeProvider{v}
	}
	return nil
}

type codeProvider struct{ delivery.Verifier }

func (p codeProvider) Verify(ctx context.Context, a *splitpin.Attempt, code splitpin.Secret) (bool, error) {
	right, err := p.Verifier.Verify(ctx, a.Identifier, delivery.AttemptRef(a), code)
	if err != nil {
		return false, splitpin.ErrUnavailable.Because(fmt.Errorf("asking the provider about a code: %w", err))
	}
	return right, nil
}
