package main

import (
	"errors"
	"net/url"
)

// A scenario is one line of the table.
type scenario struct {
	name  string // for -only
	title string
	load
	// share of the rate that the scenario signin reached in the same round, for the
	// open model; zero: closed.
	share float64
	// plain scenarios do not ask the server but a bare net/http handler with an
	// answer as large as the key set.
	plain bool
}

const connections = 32

func scenarios() []scenario {
	signIn := func(w *worker) error { _, err := w.signIn(); return err }
	closed := func(connections int, one func(*worker) error) load {
		return load{connections: connections, address: manyAddresses, one: one}
	}
	signedIn := func(connections int, one func(*worker) error) load {
		return load{connections: connections, address: manyAddresses, one: one, sessions: true}
	}
	oneClient := closed(connections, signIn)
	oneClient.address = oneAddress
	oneDomain := closed(10*connections, signIn)
	oneDomain.oneDomain = true
	get := func(path string) func(*worker) error {
		return func(w *worker) error { return w.ask("GET", path, w.server.person(), "", "") }
	}
	bearer := func(path string) func(*worker) error {
		return func(w *worker) error {
			return w.ask("GET", path, w.server.person(), "Authorization: Bearer "+w.session().access+"\r\n", "")
		}
	}
	byAddress := func(w *worker) error {
		person := w.server.person()
		address := mailbox(person)
		err := w.ask("GET", "/v1/users?identifier="+url.QueryEscape(address), person, "Authorization: Bearer "+w.server.secret+"\r\n", "")
		if err == nil && w.text("identifier") != address {
			err = errors.New("the server does not know a user who is there")
		}
		return err
	}
	return []scenario{
		{name: "alone", title: "whole sign-in, one person alone", load: closed(1, signIn)},
		{name: "signin", title: "whole sign-in, 32 connections", load: closed(connections, signIn)},
		{name: "open", title: "whole sign-in, 70 % of that rate (open model)", load: closed(8*connections, signIn), share: 0.7},
		{name: "signin320", title: "whole sign-in, 320 connections", load: closed(10*connections, signIn)},
		{name: "campus", title: "whole sign-in, all from one client address", load: oneClient},
		{name: "domain320", title: "whole sign-in, 320 connections, all at one mail domain", load: oneDomain},
		{name: "refresh", title: "refresh with rotation", load: signedIn(connections, (*worker).refresh)},
		{name: "refresh320", title: "refresh with rotation, 320 connections", load: signedIn(10*connections, (*worker).refresh)},
		{name: "user", title: "look-up: the user of a token, at the server", load: signedIn(connections, bearer("/v1/user"))},
		{name: "sessions", title: "look-up: the sessions of a user", load: signedIn(connections, bearer("/v1/sessions"))},
		{name: "address", title: "look-up: a user by address, for a backend", load: closed(connections, byAddress)},
		{name: "keys", title: "key set", load: closed(connections, get("/v1/keys"))},
		{name: "plain", title: "the same bytes from a bare net/http handler", load: closed(connections, get("/v1/keys")), plain: true},
		{name: "plain1", title: "the same, one connection", load: closed(1, get("/v1/keys")), plain: true},
	}
}
