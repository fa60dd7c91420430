package main

import (
	"errors"
	"net"
	"net/url"
	"strings"
	"testing"

	"github.com/splitpin/splitpin"
)

// A name that the DNS does not know is told from name servers that do not answer, and
// both with what to do.
func TestProvidersThatTheDNSDoesNotKnow(t *testing.T) {
	lookup := func(of net.DNSError) error {
		of.Name = "id.example"
		return &url.Error{Op: "Get", URL: "https://id.example/.well-known/openid-configuration", Err: &net.OpError{Op: "dial", Err: &of}}
	}
	other := errors.New("status 500")
	for _, test := range []struct {
		name   string
		issuer string
		err    error
		want   string
	}{
		{"misspelt", "https://id.example", lookup(net.DNSError{Err: "no such host", IsNotFound: true}), "there is no host id.example: correct the issuer with 'splitpin project provider add MINE --issuer"},
		{"of a kind with one issuer", "", lookup(net.DNSError{Err: "no such host", IsNotFound: true}), "the name servers of this machine do not say where id.example is: look at /etc/resolv.conf"},
		{"no name server", "https://id.example", lookup(net.DNSError{Err: "i/o timeout", IsTimeout: true}), "the name servers of this machine do not say where id.example is: look at /etc/resolv.conf"},
		{"something else", "https://id.example", other, "status 500"},
	} {
		if got := advised(splitpin.Provider{Name: "MINE", Issuer: test.issuer}, test.err); !strings.HasPrefix(got.Error(), test.want) {
			t.Errorf("%s: %v, want %q", test.name, got, test.want)
		}
	}
}
