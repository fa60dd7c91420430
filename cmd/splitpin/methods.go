package main

import (
	"github.com/splitpin/splitpin"
	"github.com/splitpin/splitpin/signin"
	"github.com/splitpin/splitpin/signin/code"
	"github.com/splitpin/splitpin/signin/link"
	"github.com/splitpin/splitpin/signin/passkey"
)

// methods is every way to sign in that this program has. publicURL is where its pages
// stand.
func (in *installation) methods(publicURL string) []signin.Method {
	return []signin.Method{
		code.Email{},
		code.SMS{Senders: in.phoneChannels},
		link.Email(publicURL),
		link.SMS(publicURL, in.phoneChannels),
		passkey.Method{PublicURL: publicURL},
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
