package main

import (
	"github.com/splitpin/splitpin/signin"
	"github.com/splitpin/splitpin/signin/code"
	"github.com/splitpin/splitpin/signin/passkey"
)

// methods is every way to sign in that this program has. publicURL is where its pages
// stand.
func methods(publicURL string) []signin.Method {
	return []signin.Method{
		code.Email{},
		passkey.Method{PublicURL: publicURL},
	}
}
