// Package outgoing makes the HTTP requests that leave for a server whose address
// somebody configured: a provider of messages, a social provider, a webhook. A name
// under a stranger's control must not lead such a request into the network that this
// program stands in, so one dialer refuses every address that is not public, after
// the name was resolved and for each connection anew.
//
// Nothing here says what is asked, or whom: that is its callers' business.
package outgoing

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"syscall"
	"time"
)

// Options of a client. The zero value is the strict one.
type Options struct {
	// Except are the places an operator named that need not be public.
	Except Exceptions

	// Timeout bounds a request from its first packet to the last byte of the
	// answer; zero: 10 seconds.
	Timeout time.Duration
	// MaxAnswer bounds the body of an answer, unpacked, in bytes; zero: 64 KiB.
	// Reading beyond it fails with ErrTooLong.
	MaxAnswer int64

	RootCAs  *x509.CertPool // nil: the authorities of this machine
	Resolver *net.Resolver  // nil: that of this machine
}

// ErrTooLong is what reading an answer returns that is longer than allowed. Such an
// answer must not be used, not even its beginning.
var ErrTooLong = errors.New("the answer is longer than allowed")

// A ForbiddenError refuses a connection to an address that is not public.
type ForbiddenError struct {
	Host    string // as the request named it
	Address netip.Addr
}

func (e *ForbiddenError) Error() string {
	if e.Host == e.Address.String() {
		return fmt.Sprintf("%s is not a public address", e.Host)
	}
	return fmt.Sprintf("%s is at %s, which is not a public address", e.Host, e.Address)
}

// New returns a client that connects to public addresses and excepted places only,
// follows no redirect (the answer that redirects is returned as it is), uses no
// proxy, and bounds time and size. It is safe for concurrent use, and keeps
// connections open between requests: make one and keep it.
//
// Proxies of the environment (HTTPS_PROXY) are left out on purpose: behind one, nobody
// here could say which address is connected to.
func New(o Options) *http.Client {
	if o.Timeout == 0 {
		o.Timeout = 10 * time.Second
	}
	if o.MaxAnswer == 0 {
		o.MaxAnswer = 64 << 10
	}
	transport := &http.Transport{
		DialContext:            o.dial,
		TLSHandshakeTimeout:    o.Timeout,
		ForceAttemptHTTP2:      true,
		MaxIdleConns:           64,
		MaxIdleConnsPerHost:    16,
		IdleConnTimeout:        60 * time.Second,
		MaxResponseHeaderBytes: 64 << 10,
	}
	if o.RootCAs != nil {
		transport.TLSClientConfig = tlsConfig(o.RootCAs)
	}
	return &http.Client{
		Timeout:       o.Timeout,
		Transport:     bounded{transport, o.MaxAnswer},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// dial connects to host and port. The check stands in Control, which runs with the
// address that is about to be connected to: between that and the connection nobody
// can answer differently.
func (o *Options) dial(ctx context.Context, network, hostPort string) (net.Conn, error) {
	host, _, err := net.SplitHostPort(hostPort)
	if err != nil {
		return nil, err
	}
	d := net.Dialer{Timeout: o.Timeout, Resolver: o.Resolver}
	if !o.Except.host(host) {
		d.Control = func(_, address string, _ syscall.RawConn) error {
			at, err := netip.ParseAddrPort(address)
			if err != nil {
				return fmt.Errorf("connecting to something that is no address: %w", err)
			}
			if a := at.Addr(); !IsPublic(a) && !o.Except.address(a) {
				return &ForbiddenError{Host: host, Address: a}
			}
			return nil
		}
	}
	return d.DialContext(ctx, network, hostPort)
}

// A bounded transport cuts answers off at max bytes.
type bounded struct {
	http.RoundTripper
	max int64
}

func (b bounded) RoundTrip(r *http.Request) (*http.Response, error) {
	res, err := b.RoundTripper.RoundTrip(r)
	if err == nil {
		res.Body = &boundedBody{res.Body, b.max}
	}
	return res, err
}

// CloseIdleConnections closes what is kept open. Package net/http looks for it.
func (b bounded) CloseIdleConnections() { b.RoundTripper.(*http.Transport).CloseIdleConnections() }

type boundedBody struct {
	io.ReadCloser
	left int64
}

func (b *boundedBody) Read(p []byte) (int, error) {
	if int64(len(p)) > b.left+1 {
		p = p[:b.left+1]
	}
	n, err := b.ReadCloser.Read(p)
	if b.left -= int64(n); b.left < 0 {
		return 0, ErrTooLong
	}
	return n, err
}

// Exceptions are the places that need not be public. The zero value has none.
type Exceptions struct {
	hosts    map[string]bool
	networks []netip.Prefix
}

// ParseExceptions reads a list with commas or spaces between: host names, each of
// which stands for that very name and none below it, addresses, and networks like
// 10.1.0.0/16. An exception for everybody is refused.
func ParseExceptions(list string) (Exceptions, error) {
	e := Exceptions{hosts: map[string]bool{}}
	for _, entry := range strings.FieldsFunc(list, func(r rune) bool { return r == ',' || r == ' ' }) {
		if p, err := netip.ParsePrefix(entry); err == nil {
			if p.Bits() == 0 {
				return Exceptions{}, errors.New("would allow every address; name the host, or its network")
			}
			if p != p.Masked() {
				return Exceptions{}, fmt.Errorf("%s is no network: write %s, or the address alone", entry, p.Masked())
			}
			e.networks = append(e.networks, p)
			continue
		}
		if a, err := netip.ParseAddr(entry); err == nil {
			a = a.Unmap().WithZone("")
			e.networks = append(e.networks, netip.PrefixFrom(a, a.BitLen()))
			continue
		}
		if !isHostName(entry) {
			return Exceptions{}, fmt.Errorf("%q is neither a host name nor an address or a network like 10.1.0.0/16", entry)
		}
		e.hosts[canonical(entry)] = true
	}
	return e, nil
}

func isHostName(s string) bool {
	for label := range strings.SplitSeq(strings.TrimSuffix(s, "."), ".") {
		if label == "" || len(label) > 63 || strings.Trim(strings.ToLower(label), "abcdefghijklmnopqrstuvwxyz0123456789-_") != "" {
			return false
		}
	}
	return true
}

func canonical(host string) string { return strings.ToLower(strings.TrimSuffix(host, ".")) }

// Refuse says why a client with these exceptions would never reach the host of a URL, as a
// *ForbiddenError, as far as that shows without asking the DNS: for an address, and for
// localhost, that are neither public nor excepted. What is no URL it leaves to others.
func (e *Exceptions) Refuse(address string) error {
	u, err := url.Parse(address)
	if err != nil || u.Hostname() == "" || e.host(u.Hostname()) {
		return nil
	}
	host := u.Hostname()
	at := []netip.Addr{netip.AddrFrom4([4]byte{127, 0, 0, 1}), netip.IPv6Loopback()} // RFC 6761, 6.3
	if name := canonical(host); name != "localhost" && !strings.HasSuffix(name, ".localhost") {
		a, err := netip.ParseAddr(host)
		if err != nil {
			return nil
		}
		at = []netip.Addr{a}
	}
	if slices.ContainsFunc(at, func(a netip.Addr) bool { return IsPublic(a) || e.address(a) }) {
		return nil
	}
	return &ForbiddenError{Host: host, Address: at[0]}
}

func (e *Exceptions) host(name string) bool { return e.hosts[canonical(name)] }

func (e *Exceptions) address(a netip.Addr) bool {
	a = a.Unmap().WithZone("")
	for _, p := range e.networks {
		if p.Contains(a) {
			return true
		}
	}
	return false
}
