package outgoing

import (
	"crypto/tls"
	"crypto/x509"
	"net/netip"
)

// special are the networks that are not for everybody, out of those that IsPublic
// would else admit: the registries of IANA for special purposes (RFC 6890 and those
// after it), and the address under which a large cloud answers its own machines.
var special = prefixes(
	"0.0.0.0/8",        // this network
	"10.0.0.0/8",       // private
	"100.64.0.0/10",    // behind a carrier's NAT; some clouds' metadata
	"127.0.0.0/8",      // loopback
	"168.63.129.16/32", // Azure's host, for its own machines
	"169.254.0.0/16",   // link-local; most clouds' metadata
	"172.16.0.0/12",    // private
	"192.0.0.0/24",     // protocol assignments; a cloud's metadata
	"192.0.2.0/24",     // documentation
	"192.88.99.0/24",   // relays of 6to4, which are gone
	"192.168.0.0/16",   // private
	"198.18.0.0/15",    // benchmarks
	"198.51.100.0/24",  // documentation
	"203.0.113.0/24",   // documentation
	"224.0.0.0/4",      // multicast
	"240.0.0.0/4",      // reserved, broadcast

	"2001::/23",     // protocol assignments, Teredo among them, which holds an IPv4 address
	"2001:db8::/32", // documentation
	"2002::/16",     // 6to4, which holds an IPv4 address
	"3fff::/20",     // documentation
)

// Of IPv6, only this is assigned to anybody in public.
var unicast = netip.MustParsePrefix("2000::/3")

// nat64 is where networks without IPv4 reach it (RFC 6052): the last four bytes are the
// IPv4 address. A network may choose another prefix for that, which nobody can tell
// from the outside; such a gateway must refuse private addresses itself.
var nat64 = netip.MustParsePrefix("64:ff9b::/96")

// IsPublic reports whether an address belongs to the public internet: not to this
// machine, its network, a provider's inside, or nobody. An IPv6 address that stands
// for an IPv4 address is judged by that, or is refused where nobody uses its kind.
func IsPublic(a netip.Addr) bool {
	if a.Zone() != "" {
		return false
	}
	a = a.Unmap()
	if nat64.Contains(a) {
		b := a.As16()
		a = netip.AddrFrom4([4]byte(b[12:]))
	}
	if !a.IsValid() || a.Is6() && !unicast.Contains(a) {
		return false
	}
	for _, p := range special {
		if p.Contains(a) {
			return false
		}
	}
	return true
}

func prefixes(all ...string) []netip.Prefix {
	out := make([]netip.Prefix, len(all))
	for i, s := range all {
		out[i] = netip.MustParsePrefix(s)
	}
	return out
}

func tlsConfig(roots *x509.CertPool) *tls.Config {
	return &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: roots}
}
