package doctor

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/splitpin/splitpin"
	"github.com/splitpin/splitpin/api"
)

// How much a proxy must let through: what the API reads of a body, and more than
// tokens and parameters ever need.
const (
	largestBody   = 64 << 10
	largestHeader = 7 << 10
	longestQuery  = 4 << 10
)

// hosted looks whether the server takes a request for the public URL as one for
// itself. The addresses for health answer under any name; nothing else does.
func (o *Outside) hosted(ctx context.Context, r *Report) bool {
	e, ok := o.get(ctx, r, "host_header", "/")
	switch {
	case !ok:
		return false
	case e.status == http.StatusMisdirectedRequest:
		r.problem("host_header", "", "the server gets every request under another host name than "+o.URL.Host+", and refuses it; its log says which",
			"Let the proxy pass the Host header (nginx: proxy_set_header Host $http_host), and compare public_url. Further checks were left out.")
		return false
	}
	r.ok("host_header", "", "the host name of the public URL arrives")
	pageHeaders(r, e)
	return true
}

// views learns from the server how requests arrive there, and what it is.
func (o *Outside) views(ctx context.Context, r *Report) {
	if o.Pass == nil {
		r.unknown("request_view", "", "without the data and the master key the server cannot be asked how it sees requests", "See the findings about configuration, database and keys.")
		return
	}
	r.doing("asking the server how it sees us")
	e, plain, err := o.view(ctx, request{header: map[string]string{"API_KEY_ID": o.defaultProject()}})
	switch {
	case errors.Is(err, errStale):
		r.problem("cached", "", "a cache answered in the server's place", "Let the proxy cache nothing but what says that it may be cached.")
		return
	case err != nil:
		r.unknown("request_view", "", "/doctor gave no answer: "+cause(err), "Run the command again; if it stays, read the proxy's log.")
		return
	case plain == nil && e.status == http.StatusNotFound:
		r.problem("request_view", "", "the server at this address does not know our data: it belongs to another installation, is older than this program, or the proxy keeps /doctor from it",
			"Compare 'data' and 'public_url' with those of the running server, restart it after an upgrade, and let the proxy pass every path.")
		return
	case plain == nil:
		r.problem("request_view", "", fmt.Sprintf("/doctor answers %d, not as the server does", e.status), "Let the proxy pass every path to the server.")
		return
	}
	r.ok("request_view", "", "the server says how requests reach it")
	o.about(r, e, plain)
	if plain.KeyHeader {
		r.ok("key_header", "", "the header API_KEY_ID arrives")
	} else {
		r.problem("key_header", "", "the header API_KEY_ID does not arrive, so Cotter's clients look as if they sent no key", "Let the proxy pass headers with an underscore (nginx: underscores_in_headers on).")
	}

	_, again, err := o.view(ctx, request{})
	switch {
	case errors.Is(err, errStale):
		r.problem("cached", "", "a second request got the answer to the first", "Let the proxy cache nothing but what says that it may be cached.")
	case again == nil:
		r.unknown("cached", "", "a second request gave no answer", "Run the command again.")
	default:
		r.ok("cached", "", "personal answers come from no cache")
	}

	forgery := forgedClient.String()
	_, forged, err := o.view(ctx, request{header: map[string]string{
		"X-Forwarded-For": forgery, "Forwarded": "for=" + forgery, "X-Real-Ip": forgery, "True-Client-Ip": forgery,
		"X-Forwarded-Host": unlisted, "X-Forwarded-Proto": "http",
	}})
	clientAddress(r, o.Proxies, e.local, plain)
	if forged == nil || err != nil {
		r.unknown("forged_address", "", "a request with forged headers gave no answer", "Run the command again; if it stays, read the proxy's log.")
	} else {
		forgedAddress(r, o.Proxies, e.local, plain, forged)
	}

	body := bytes.Repeat([]byte{'x'}, largestBody)
	e, v, err := o.view(ctx, request{body: body})
	switch {
	case v != nil && err == nil && v.BodyBytes == largestBody:
		r.ok("body_limit", "", "bodies of 64 KiB arrive whole")
	case err != nil:
		r.unknown("body_limit", "", "a body of 64 KiB gave no answer", "Run the command again; if it stays, read the proxy's log.")
	default:
		r.warning("body_limit", "", fmt.Sprintf("a body of 64 KiB is answered with %d", e.status), "Let the proxy pass bodies of 64 KiB (nginx: client_max_body_size 64k).")
	}
	e, v, err = o.view(ctx, request{path: "/doctor?pad=" + strings.Repeat("x", longestQuery),
		header: map[string]string{"Splitpin-Doctor-Pad": strings.Repeat("x", largestHeader)}})
	switch {
	case v != nil && err == nil:
		r.ok("header_limit", "", "headers of 7 KiB and addresses of 4 KiB arrive")
	case err != nil:
		r.unknown("header_limit", "", "a request with long headers gave no answer", "Run the command again; if it stays, read the proxy's log.")
	default:
		r.warning("header_limit", "", fmt.Sprintf("a header of 7 KiB with an address of 4 KiB is answered with %d", e.status), "Let the proxy pass longer headers (nginx: large_client_header_buffers 4 8k).")
	}
}

func (o *Outside) defaultProject() string {
	for _, p := range o.Projects {
		if p.Default {
			return p.ID
		}
	}
	return "none"
}

// about judges what the server says of itself.
func (o *Outside) about(r *Report, e *exchange, v *api.RequestView) {
	switch {
	case v.Version == o.Version && o.Unnamed:
		r.ok("version", "", "neither the server nor this command knows its revision, so they may differ: "+short(v.Version))
	case v.Version == o.Version:
		r.ok("version", "", "the server runs the version of this command: "+short(v.Version))
	default:
		r.warning("version", "", fmt.Sprintf("the server runs %s, this command is %s", short(v.Version), short(o.Version)), "Restart the server after an upgrade, or run the command of its version.")
	}
	if v.PublicURL == o.URL.String() {
		r.ok("issuer", "", "tokens and links name "+v.PublicURL)
	} else {
		r.problem("issuer", "", fmt.Sprintf("the server was started with public_url %s, the configuration says %s", short(v.PublicURL), o.URL), "Restart the server with this configuration, or name the one it was started with.")
	}
	clock(r, e, v)
}

// clock compares the server's clock, and the Date that its proxy writes, with this
// machine's. Half the way there and back is what cannot be told.
func clock(r *Report, e *exchange, v *api.RequestView) {
	middle := e.sent.Add(e.took / 2)
	off := v.Time.Sub(middle).Abs() - e.took/2
	seen := "the server's clock"
	if date, err := http.ParseTime(e.header.Get("Date")); err == nil {
		// Date has no fraction: it is up to a second early.
		if proxy := date.Add(500*time.Millisecond).Sub(middle).Abs() - e.took/2 - 500*time.Millisecond; proxy > off {
			off, seen = proxy, "the Date header of the public URL"
		}
	}
	off = max(off, 0).Round(100 * time.Millisecond)
	switch {
	case off > time.Minute:
		r.problem("clock", "", fmt.Sprintf("%s differs from this machine's by %s", seen, off), "Let the machines take their time from NTP: verifiers allow 60 seconds.")
	case off > splitpin.ClockSkew:
		r.warning("clock", "", fmt.Sprintf("%s differs from this machine's by %s", seen, off), fmt.Sprintf("Let the machines take their time from NTP; nodes may differ from the database by %v.", splitpin.ClockSkew))
	default:
		r.ok("clock", "", "the clocks of server, proxy and this machine agree")
	}
}

// clientAddress judges whose address the server counts limits for. plain is a
// request of ours without forwarding headers, so the first entry that arrived was
// written by the outermost proxy. local is our end of the connection: where the
// server sees just that, nothing stands between.
func clientAddress(r *Report, proxies []netip.Prefix, local string, plain *api.RequestView) {
	const code = "client_address"
	peer, err := netip.ParseAddrPort(plain.Peer)
	if err != nil {
		r.unknown(code, "", "the server was not reached over TCP", "Look at the proxy by hand: limits count client addresses.")
		return
	}
	from := peer.Addr().Unmap().String()
	switch {
	case plain.Peer == local:
		r.ok(code, "", "the server is reached without a proxy and sees this machine as "+plain.Client)
	case !plain.PeerTrusted && len(plain.ForwardedFor) > 0:
		r.problem(code, "", "everybody counts as one client: "+from+" passes X-Forwarded-For, but is not trusted", "Add "+from+" to trusted_proxies, if that is your proxy.")
	case !plain.PeerTrusted:
		r.problem(code, "", "everybody counts as one client, "+from, "Let the proxy write X-Forwarded-For, and add "+from+" to trusted_proxies.")
	case len(plain.ForwardedFor) == 0:
		r.problem(code, "", "everybody counts as one client: the proxy "+from+" writes no X-Forwarded-For", "Let the proxy write the client's address (nginx: proxy_set_header X-Forwarded-For $remote_addr).")
	case !sameAddr(plain.ForwardedFor[0], plain.Client):
		r.problem(code, "", fmt.Sprintf("the server takes %s for the client, the outermost proxy says %s", plain.Client, short(plain.ForwardedFor[0])), "Add "+plain.Client+" to trusted_proxies, if that is a proxy of yours.")
	case trusted(proxies, plain.Client):
		r.warning(code, "", "this machine's address "+plain.Client+" stands in trusted_proxies itself, so whose headers are believed cannot be seen from here", "Run the command once where the public URL is reached as people reach it, or narrow trusted_proxies.")
	default:
		r.ok(code, "", "the server takes "+plain.Client+" for this machine, on the word of the proxy "+from)
	}
}

// forgedAddress judges whether a client can choose the address that limits count.
func forgedAddress(r *Report, proxies []netip.Prefix, local string, plain, forged *api.RequestView) {
	const code = "forged_address"
	ours := trusted(proxies, plain.Client) && (plain.Peer == local || len(plain.ForwardedFor) > 0)
	switch {
	case !sameAddr(forged.Client, forgedClient.String()):
		r.ok(code, "", "forwarding headers that a client writes itself are not believed")
	case ours:
		r.warning(code, "", "a forged address was believed, but this machine stands in trusted_proxies, so its word counts", "Run the command where the public URL is reached as people reach it, or narrow trusted_proxies.")
	default:
		r.problem(code, "", "whoever sends X-Forwarded-For chooses the address that limits count: the proxy passes on what clients write", "Let the proxy replace the header or add the client's address at its end (nginx: proxy_set_header X-Forwarded-For $remote_addr).")
	}
}

func trusted(proxies []netip.Prefix, addr string) bool {
	a, err := netip.ParseAddr(addr)
	return err == nil && slices.ContainsFunc(proxies, func(p netip.Prefix) bool { return p.Contains(a) })
}

// sameAddr compares addresses as proxies write them: some add the port.
func sameAddr(a, b string) bool {
	parse := func(s string) netip.Addr {
		if withPort, err := netip.ParseAddrPort(s); err == nil {
			return withPort.Addr().Unmap()
		}
		addr, _ := netip.ParseAddr(strings.Trim(s, "[]"))
		return addr.Unmap()
	}
	x, y := parse(a), parse(b)
	return x.IsValid() && x == y
}

// unknownHost sends a foreign host name. The server refuses it with 421; a proxy
// may answer in its place. It must not be dressed up as ours.
func (o *Outside) unknownHost(ctx context.Context, r *Report) {
	if o.Pass == nil {
		return // said already
	}
	e, v, err := o.view(ctx, request{host: unlisted})
	switch {
	case err != nil && !errors.Is(err, errStale):
		r.ok("unknown_host", "", "a foreign host name gets no answer")
	case v != nil:
		r.problem("unknown_host", "", "a request for a foreign host name is served: the proxy replaces the name by ours", "Let the proxy pass the Host header as it comes (nginx: proxy_set_header Host $http_host), and answer for server_name only.")
	default:
		r.ok("unknown_host", "", fmt.Sprintf("a foreign host name is answered with %d", e.status))
	}
}

func sorted(list []string) []string {
	slices.Sort(list)
	return list
}
