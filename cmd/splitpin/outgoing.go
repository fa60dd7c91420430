package main

import (
	"fmt"

	"github.com/splitpin/splitpin"
	"github.com/splitpin/splitpin/outgoing"
)

// reaches are the places that the server of these data may ask although they are not
// public.
func (c *Config) reaches() outgoing.Exceptions {
	if c.development() {
		return thisMachine
	}
	return c.OutgoingAllow
}

// ifMeant follows what was said of an address to which no request of ours goes.
const ifMeant = "; where that is meant, list the host in outgoing_allow"

// unreachable says to which addresses that a project names no request of ours goes, and why.
func unreachable(p *splitpin.Project, except outgoing.Exceptions) []string {
	var out []string
	for _, o := range p.Settings.Providers {
		if err := reachableProvider(o, except); err != nil {
			out = append(out, fmt.Sprintf("provider %s: %v", o.Name, err))
		}
	}
	if err := except.Refuse(p.Settings.Site.Completion.URL); err != nil {
		out = append(out, fmt.Sprintf("completion-url: %v", err))
	}
	return out
}

// reachableProvider refuses a provider that no request of ours can reach. Where people
// sign in is their browser's business.
func reachableProvider(o splitpin.Provider, except outgoing.Exceptions) error {
	for _, address := range []string{o.Issuer, o.TokenURL, o.UserURL} {
		if err := except.Refuse(address); err != nil {
			return err
		}
	}
	return nil
}

// thisMachine is what development may reach besides public addresses.
var thisMachine = func() outgoing.Exceptions {
	except, err := outgoing.ParseExceptions("localhost 127.0.0.0/8 ::1")
	if err != nil {
		panic(err) // our own text
	}
	return except
}()
