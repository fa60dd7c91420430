package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"slices"
	"strings"

	"github.com/splitpin/splitpin"
	"github.com/splitpin/splitpin/outgoing"
	"github.com/splitpin/splitpin/signin/social"
)

type providerCommand struct {
	Add    providerAdd    `cmd:"" help:"Offer to sign in with an account at a provider, or change how. Prints the address to register there."`
	List   providerList   `cmd:"" help:"List the providers that a project offers."`
	Check  providerCheck  `cmd:"" help:"Look at each provider's settings, and ask those that can be asked what they say about themselves."`
	Remove providerRemove `cmd:"" help:"Offer a provider no more. Accounts that people connected stay."`
}

type providerAdd struct {
	where
	Name    string `arg:"" help:"Name of the provider, in capitals: GOOGLE."`
	Project string `help:"API key id. Empty: the default project." placeholder:"ID"`

	Kind             string   `help:"google, github, apple, microsoft, gitlab, discord, oidc or oauth2. Empty: as the name says." placeholder:"KIND"`
	ClientID         string   `help:"Client id, as the provider gave it." placeholder:"ID"`
	ClientSecretFile string   `help:"File that holds the client secret, or Apple's private key. Kept sealed." placeholder:"FILE"`
	Label            *string  `help:"On the button. Empty: the provider's own name." placeholder:"TEXT"`
	Issuer           *string  `help:"Of a kind oidc, of one tenant of microsoft, or of a gitlab or github of your own." placeholder:"URL"`
	Scope            []string `help:"Asked for besides what is needed, replacing the list; repeat for several." placeholder:"NAME"`
	Domain           []string `help:"Of a kind oidc: its word is a proof of addresses at this domain; repeat for several." placeholder:"DOMAIN"`
	AuthURL          *string  `help:"Of a kind oauth2: where people sign in." placeholder:"URL"`
	TokenURL         *string  `help:"Of a kind oauth2: where codes are redeemed." placeholder:"URL"`
	UserURL          *string  `help:"Of a kind oauth2: what tells of the person." placeholder:"URL"`
	Subject          *string  `help:"Of a kind oauth2: key of the person in that answer. Empty: id." placeholder:"KEY"`
	TeamID           *string  `help:"Of apple." placeholder:"ID"`
	KeyID            *string  `help:"Of apple: id of the private key." placeholder:"ID"`
}

func (c *providerAdd) Run(ctx context.Context, t terminal) error {
	in, p, err := c.openProject(ctx, c.Project)
	if err != nil {
		return err
	}
	defer in.Close()
	p, err = in.projects.Change(ctx, p.ID, func(p *splitpin.Project) error { return c.apply(in, p) })
	if err != nil {
		return err
	}
	t.printf("%s is offered by %s (%s) within a second.\nRegister there  %s\n", c.Name, p.ID, p.Name(), social.Callback(in.social.PublicURL, p.ID, c.Name))
	if in.social.PublicURL == "" {
		t.printf("               below the public_url of the server, which is not known here\n")
	}
	return c.doubts(t, p)
}

func (c *providerAdd) apply(in *installation, p *splitpin.Project) error {
	next := splitpin.Provider{Name: c.Name, Kind: strings.ToLower(c.Name)}
	i := slices.IndexFunc(p.Settings.Providers, func(o splitpin.Provider) bool { return o.Name == c.Name })
	if i >= 0 {
		next = p.Settings.Providers[i]
	}
	next.Kind, next.ClientID = cmp.Or(c.Kind, next.Kind), cmp.Or(c.ClientID, next.ClientID)
	for to, from := range map[*string]*string{&next.Label: c.Label, &next.Issuer: c.Issuer, &next.AuthURL: c.AuthURL, &next.TokenURL: c.TokenURL,
		&next.UserURL: c.UserURL, &next.Subject: c.Subject, &next.TeamID: c.TeamID, &next.KeyID: c.KeyID} {
		set(to, from)
	}
	if c.Scope != nil {
		next.Scopes = named(c.Scope)
	}
	if c.Domain != nil {
		next.Domains = named(c.Domain)
	}
	if c.ClientSecretFile != "" {
		secret, err := readSecret(c.ClientSecretFile)
		if err != nil {
			return fmt.Errorf("--client-secret-file: %w", err)
		}
		if err := social.SealSecret(in.ring, p.ID, &next, splitpin.Secret(strings.TrimSpace(secret.Reveal()))); err != nil {
			return err
		}
	}
	if i >= 0 {
		p.Settings.Providers[i] = next
	} else {
		p.Settings.Providers = append(p.Settings.Providers, next)
	}
	return nil
}

type providerList struct {
	where
	Project string `help:"API key id. Empty: the default project." placeholder:"ID"`
}

func (c *providerList) Run(ctx context.Context, t terminal) error {
	in, p, err := c.openProject(ctx, c.Project)
	if err != nil {
		return err
	}
	defer in.Close()
	for _, o := range p.Settings.Providers {
		t.printf("%s  %s, client %s\n", o.Name, o.Kind, o.ClientID)
	}
	if len(p.Settings.Providers) == 0 {
		t.printf("%s", noProvider)
	}
	return nil
}

const noProvider = "There is none. Add one with 'splitpin project provider add'.\n"

type providerCheck struct {
	where
	Project string `help:"API key id. Empty: the default project." placeholder:"ID"`
}

func (c *providerCheck) Run(ctx context.Context, t terminal) error {
	in, p, err := c.openProject(ctx, c.Project)
	if err != nil {
		return err
	}
	defer in.Close()
	config, err := c.load()
	if err != nil {
		return err
	}
	except := config.reaches()
	in.social.Client = providerClient(except)
	if len(p.Settings.Providers) == 0 {
		t.printf("%s", noProvider)
	}
	var wrong []error
	for _, o := range p.Settings.Providers {
		var asked string
		err := reachableProvider(o, except)
		if err != nil {
			err = fmt.Errorf("%w%s", err, ifMeant)
		} else {
			asked, err = in.social.Try(ctx, p, &o)
		}
		if err != nil {
			wrong = append(wrong, fmt.Errorf("%s: %w", o.Name, advised(o, err)))
			continue
		}
		said := "providers of kind " + o.Kind + " say nothing about themselves, so nobody was asked"
		if asked != "" {
			said = asked + " says where people sign in and with which keys it signs"
		}
		t.printf("%s\n  checked      the client secret can be read here; %s\n", o.Name, said)
		t.printf("  not checked  whether the provider knows the client id and the secret, and this address: %s\n", social.Callback(in.social.PublicURL, p.ID, o.Name))
	}
	if len(p.Settings.Providers) > len(wrong) {
		t.printf("The first sign-in shows what was not checked; what went wrong then stands in the log of the server.\n")
	}
	return errors.Join(wrong...)
}

// advised says what to do where the DNS does not know the host of a provider, and returns
// every other error as it is.
func advised(o splitpin.Provider, err error) error {
	var lookup *net.DNSError
	switch {
	case !errors.As(err, &lookup):
		return err
	case lookup.IsNotFound && o.Issuer != "":
		return fmt.Errorf("there is no host %s: correct the issuer with 'splitpin project provider add %s --issuer https://…'; where it is right, look at the name servers of this machine (/etc/resolv.conf)",
			lookup.Name, o.Name)
	}
	return fmt.Errorf("the name servers of this machine do not say where %s is: look at /etc/resolv.conf, and whether a firewall lets their answers in (%w)", lookup.Name, lookup)
}

type providerRemove struct {
	where
	Name    string `arg:"" help:"Name of the provider: GOOGLE."`
	Project string `help:"API key id. Empty: the default project." placeholder:"ID"`
}

func (c *providerRemove) Run(ctx context.Context, t terminal) error {
	in, p, err := c.openProject(ctx, c.Project)
	if err != nil {
		return err
	}
	defer in.Close()
	_, err = in.projects.Change(ctx, p.ID, func(p *splitpin.Project) error {
		if p.Settings.Provider(c.Name) == nil {
			return fmt.Errorf("there is no provider %s", c.Name)
		}
		p.Settings.Providers = slices.DeleteFunc(p.Settings.Providers, func(o splitpin.Provider) bool { return o.Name == c.Name })
		return nil
	})
	if err != nil {
		return err
	}
	t.printf("%s is offered no more.\n", c.Name)
	return nil
}

// providerClient asks providers. Key sets are the longest that they answer.
func providerClient(except outgoing.Exceptions) *http.Client {
	return outgoing.New(outgoing.Options{Except: except, MaxAnswer: 256 << 10})
}
