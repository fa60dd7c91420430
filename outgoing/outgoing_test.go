package outgoing_test

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/net/dns/dnsmessage"

	"github.com/splitpin/splitpin/outgoing"
)

var proxied atomic.Int32 // requests to the proxy that the environment names

// TestMain sets a proxy, which package net/http would read once and for all.
func TestMain(m *testing.M) {
	proxy := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { proxied.Add(1) }))
	os.Setenv("HTTP_PROXY", proxy.URL)
	os.Exit(m.Run())
}

func TestIsPublic(t *testing.T) {
	tests := []struct {
		address string
		public  bool
	}{
		{"8.8.8.8", true},
		{"1.1.1.1", true},
		{"172.32.0.1", true},
		{"100.128.0.1", true},
		{"2606:4700:4700::1111", true},
		{"2001:4860:4860::8888", true},

		{"0.0.0.0", false},
		{"0.1.2.3", false},
		{"10.0.0.1", false},
		{"100.64.0.1", false},
		{"100.100.100.200", false}, // metadata, behind CGNAT
		{"127.0.0.1", false},
		{"127.255.255.254", false},
		{"168.63.129.16", false},   // Azure's host
		{"169.254.169.254", false}, // metadata
		{"172.16.0.1", false},
		{"172.31.255.255", false},
		{"192.0.0.192", false}, // metadata
		{"192.0.2.1", false},
		{"192.88.99.1", false},
		{"192.168.1.1", false},
		{"198.19.255.255", false},
		{"198.51.100.7", false},
		{"203.0.113.7", false},
		{"224.0.0.1", false},
		{"240.0.0.1", false},
		{"255.255.255.255", false},

		{"::", false},
		{"::1", false},
		{"::7f00:1", false}, // IPv4-compatible
		{"fe80::1", false},
		{"fe80::1%eth0", false},
		{"2606:4700:4700::1111%eth0", false},
		{"fec0::1", false}, // site-local
		{"fc00::1", false},
		{"fd00:ec2::254", false}, // metadata
		{"ff02::1", false},
		{"2001:db8::1", false},
		{"3fff::1", false},
		{"100::1", false}, // discard

		{"::ffff:8.8.8.8", true},
		{"::ffff:127.0.0.1", false},
		{"::ffff:169.254.169.254", false},
		{"64:ff9b::8.8.8.8", true}, // NAT64
		{"64:ff9b::10.0.0.1", false},
		{"64:ff9b::a9fe:a9fe", false},
		{"64:ff9b:1::8.8.8.8", false}, // NAT64 of one network: the rest is anybody's guess
		{"2002:808:808::1", false},    // 6to4
		{"2002:7f00:1::1", false},
		{"2001:0:4136:e378::1", false}, // Teredo
	}
	for _, tt := range tests {
		if got := outgoing.IsPublic(netip.MustParseAddr(tt.address)); got != tt.public {
			t.Errorf("IsPublic(%s) = %v, want %v", tt.address, got, tt.public)
		}
	}
	if outgoing.IsPublic(netip.Addr{}) {
		t.Error("no address is public")
	}
}

// server is a server on loopback that counts who reaches it.
func server(t *testing.T, handler http.HandlerFunc) (port string, reached *atomic.Int32) {
	t.Helper()
	reached = new(atomic.Int32)
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		reached.Add(1)
		if handler != nil {
			handler(w, r)
		}
	}))
	t.Cleanup(s.Close)
	u, _ := url.Parse(s.URL)
	return u.Port(), reached
}

// resolver asks a name server of this test, which answers the first question for a
// name and kind with the first answer, the next with the next, and so on.
func resolver(t *testing.T, answers ...string) *net.Resolver {
	t.Helper()
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	go func() {
		asked := map[dnsmessage.Type]int{}
		buffer := make([]byte, 1500)
		for {
			n, from, err := conn.ReadFrom(buffer)
			if err != nil {
				return
			}
			var m dnsmessage.Message
			if m.Unpack(buffer[:n]) != nil || len(m.Questions) != 1 {
				continue
			}
			q := m.Questions[0]
			a := netip.MustParseAddr(answers[min(asked[q.Type], len(answers)-1)])
			asked[q.Type]++
			m.Response, m.RecursionAvailable, m.Additionals = true, true, nil
			header := dnsmessage.ResourceHeader{Name: q.Name, Class: dnsmessage.ClassINET, TTL: 0}
			switch {
			case q.Type == dnsmessage.TypeA && a.Is4():
				m.Answers = []dnsmessage.Resource{{Header: header, Body: &dnsmessage.AResource{A: a.As4()}}}
			case q.Type == dnsmessage.TypeAAAA && a.Is6():
				m.Answers = []dnsmessage.Resource{{Header: header, Body: &dnsmessage.AAAAResource{AAAA: a.As16()}}}
			}
			packed, err := m.Pack()
			if err == nil {
				conn.WriteTo(packed, from)
			}
		}
	}()
	return &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "udp", conn.LocalAddr().String())
	}}
}

func TestPrivateAddressesAreRefused(t *testing.T) {
	port, reached := server(t, nil)
	for _, host := range []string{"127.0.0.1", "localhost", "[::ffff:127.0.0.1]", "[::1]", "0.0.0.0", "127.1", "[fe80::1]", "[64:ff9b::7f00:1]"} {
		_, err := outgoing.New(outgoing.Options{}).Get("http://" + host + ":" + port + "/")
		var forbidden *outgoing.ForbiddenError
		if host == "127.1" { // no resolver of ours reads that as an address
			if err == nil {
				t.Errorf("%s was reached", host)
			}
			continue
		}
		if !errors.As(err, &forbidden) {
			t.Errorf("%s: got %v, want a ForbiddenError", host, err)
		}
	}
	if n := reached.Load(); n != 0 {
		t.Errorf("%d requests arrived, want none", n)
	}
}

func TestNamesThatLeadInside(t *testing.T) {
	for _, inside := range []string{"127.0.0.1", "::1", "::ffff:127.0.0.1", "64:ff9b::7f00:1"} {
		port, reached := server(t, nil)
		client := outgoing.New(outgoing.Options{Resolver: resolver(t, inside)})
		_, err := client.Get("http://inside.example:" + port + "/")
		var forbidden *outgoing.ForbiddenError
		if !errors.As(err, &forbidden) {
			t.Errorf("%s: got %v, want a ForbiddenError", inside, err)
		} else if forbidden.Host != "inside.example" || !strings.Contains(err.Error(), "inside.example is at ") {
			t.Errorf("the error %q does not say where the name led", err)
		}
		if n := reached.Load(); n != 0 {
			t.Errorf("%s: %d requests arrived, want none", inside, n)
		}
	}
}

// A name may lead elsewhere each time it is asked for: what counts is the address
// that is connected to, so that a look beforehand would be of no use. Here the
// first address is allowed, and the second leads to the server.
func TestNameThatAnswersDifferently(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.2:0")
	if err != nil && os.Getenv("E2E") != "" {
		t.Fatal(err)
	}
	if err != nil {
		t.Skipf("this machine has no second loopback address: %v", err)
	}
	var reached atomic.Int32
	s := &http.Server{Handler: http.HandlerFunc(func(http.ResponseWriter, *http.Request) { reached.Add(1) })}
	go s.Serve(listener)
	t.Cleanup(func() { s.Close() })
	_, port, _ := net.SplitHostPort(listener.Addr().String())

	except, _ := outgoing.ParseExceptions("127.0.0.1")
	client := outgoing.New(outgoing.Options{Except: except, Resolver: resolver(t, "127.0.0.1", "127.0.0.2")})
	var forbidden *outgoing.ForbiddenError
	if _, err := client.Get("http://rebound.example:" + port + "/"); err == nil || errors.As(err, &forbidden) {
		t.Errorf("the first answer: got %v, want nobody there", err)
	}
	if _, err := client.Get("http://rebound.example:" + port + "/"); !errors.As(err, &forbidden) {
		t.Errorf("the second answer: got %v, want a ForbiddenError", err)
	}
	if n := reached.Load(); n != 0 {
		t.Errorf("%d requests arrived, want none", n)
	}
}

func TestExceptions(t *testing.T) {
	tests := []struct {
		list, host string
		allowed    bool
	}{
		{"127.0.0.1", "127.0.0.1", true},
		{"127.0.0.0/8", "127.0.0.1", true},
		{"10.0.0.0/8", "127.0.0.1", false},
		{"sms.example", "sms.example", true},
		{"SMS.Example.", "sms.example", true},
		{"10.0.0.1, sms.example", "sms.example", true},
		{"sms.example", "other.sms.example", false}, // none below it
		{"sms.example", "example", false},
		{"127.0.0.1", "sms.example", true}, // by the address it leads to
		{"", "sms.example", false},
	}
	for _, tt := range tests {
		t.Run(tt.list+" for "+tt.host, func(t *testing.T) {
			port, _ := server(t, nil)
			except, err := outgoing.ParseExceptions(tt.list)
			if err != nil {
				t.Fatal(err)
			}
			client := outgoing.New(outgoing.Options{Except: except, Resolver: resolver(t, "127.0.0.1")})
			res, err := client.Get("http://" + tt.host + ":" + port + "/")
			if err == nil {
				res.Body.Close()
			}
			if (err == nil) != tt.allowed {
				t.Errorf("got %v, want allowed %v", err, tt.allowed)
			}
		})
	}
	for _, list := range []string{"0.0.0.0/0", "::/0", "10.0.0.1/8", "*.example", "http://sms.example", "sms.example:443", "a b..c"} {
		if _, err := outgoing.ParseExceptions(list); err == nil {
			t.Errorf("%q was taken for a list of exceptions", list)
		}
	}
}

// What can be told of an address without the DNS is told, and is what the client does.
func TestRefuse(t *testing.T) {
	for _, tt := range []struct {
		list, host string
		refused    bool
	}{
		{"", "127.0.0.1", true},
		{"", "[::1]", true},
		{"", "10.1.2.3", true},
		{"10.0.0.0/8", "10.1.2.3", false},
		{"127.0.0.1", "127.0.0.1", false},
		{"", "[::ffff:127.0.0.1]", true},
		{"", "8.8.8.8", false},
		{"", "localhost", true},
		{"", "LocalHost.", true},
		{"", "sms.localhost", true},
		{"localhost", "localhost", false},
		{"localhost", "sms.localhost", true},
		{"127.0.0.1", "localhost", false},
		{"::1", "localhost", false},
		{"", "sms.example", false}, // the DNS knows
		{"sms.example", "sms.example", false},
	} {
		except, err := outgoing.ParseExceptions(tt.list)
		if err != nil {
			t.Fatal(err)
		}
		err = except.Refuse("https://" + tt.host + ":8443/hook")
		forbidden := (*outgoing.ForbiddenError)(nil)
		if errors.As(err, &forbidden) != tt.refused {
			t.Errorf("%q for %s: got %v, want refused %v", tt.list, tt.host, err, tt.refused)
		}
		// Of names the resolver of this machine has the last word.
		if _, err := netip.ParseAddr(strings.Trim(tt.host, "[]")); err == nil && tt.refused {
			_, err := outgoing.New(outgoing.Options{Except: except}).Get("http://" + tt.host + ":1/")
			if !errors.As(err, &forbidden) {
				t.Errorf("%q for %s: the client says %v", tt.list, tt.host, err)
			}
		}
	}
	var none outgoing.Exceptions
	for _, nothing := range []string{"", "hook", "://", "https:///x"} {
		if err := none.Refuse(nothing); err != nil {
			t.Errorf("%q: %v", nothing, err)
		}
	}
}

// local is a client that may talk to this machine.
func local(t *testing.T, o outgoing.Options) *http.Client {
	t.Helper()
	var err error
	if o.Except, err = outgoing.ParseExceptions("127.0.0.1"); err != nil {
		t.Fatal(err)
	}
	return outgoing.New(o)
}

func TestRedirectsAreNotFollowed(t *testing.T) {
	port, reached := server(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/" {
			http.Redirect(w, r, "/inside", http.StatusTemporaryRedirect)
		}
	})
	res, err := local(t, outgoing.Options{}).Post("http://127.0.0.1:"+port+"/", "text/plain", strings.NewReader("secret"))
	if err != nil {
		t.Fatal(err)
	}
	res.Body.Close()
	if res.StatusCode != http.StatusTemporaryRedirect || reached.Load() != 1 {
		t.Errorf("status %d after %d requests, want 307 after 1", res.StatusCode, reached.Load())
	}
}

func TestProxiesOfTheEnvironmentAreLeftOut(t *testing.T) {
	port, reached := server(t, nil)
	except, _ := outgoing.ParseExceptions("sms.example")
	res, err := outgoing.New(outgoing.Options{Except: except, Resolver: resolver(t, "127.0.0.1")}).Get("http://sms.example:" + port + "/")
	if err != nil {
		t.Fatal(err)
	}
	res.Body.Close()
	if reached.Load() != 1 || proxied.Load() != 0 {
		t.Errorf("the server was asked %d times and the proxy %d, want 1 and 0", reached.Load(), proxied.Load())
	}
}

func TestLongAnswers(t *testing.T) {
	for _, tt := range []struct {
		size int
		ok   bool
	}{{0, true}, {999, true}, {1000, true}, {1001, false}, {1 << 20, false}} {
		port, _ := server(t, func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, strings.Repeat("x", tt.size)) })
		res, err := local(t, outgoing.Options{MaxAnswer: 1000}).Get("http://127.0.0.1:" + port + "/")
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(res.Body)
		res.Body.Close()
		switch {
		case tt.ok && (err != nil || len(body) != tt.size):
			t.Errorf("of %d bytes came %d, %v", tt.size, len(body), err)
		case !tt.ok && !errors.Is(err, outgoing.ErrTooLong):
			t.Errorf("%d bytes: got %v, want ErrTooLong", tt.size, err)
		case len(body) > 1000:
			t.Errorf("%d bytes were handed on", len(body))
		}
	}
}

func TestSlowAnswers(t *testing.T) {
	release := make(chan struct{})
	port, _ := server(t, func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(http.StatusOK)
		w.(http.Flusher).Flush()
		<-release // the body never comes
	})
	defer close(release)
	res, err := local(t, outgoing.Options{Timeout: 50 * time.Millisecond}).Get("http://127.0.0.1:" + port + "/")
	if err == nil {
		_, err = io.ReadAll(res.Body)
		res.Body.Close()
	}
	var timeout net.Error
	if !errors.As(err, &timeout) || !timeout.Timeout() {
		t.Errorf("got %v, want a timeout", err)
	}
}
