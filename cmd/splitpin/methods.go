package main

import (
	"github.com/splitpin/splitpin/signin"
	"github.com/splitpin/splitpin/signin/code"
)

// methods is every way to sign in that this program has.
func methods() []signin.Method {
	return []signin.Method{
		code.Email{},
	}
}
