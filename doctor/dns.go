package doctor

import (
	"context"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"
	"net"
	"net/mail"
	"net/netip"
	"slices"
	"strings"
	"time"

	"blitiri.com.ar/go/spf"

	"github.com/splitpin/splitpin"
	"github.com/splitpin/splitpin/delivery"
)

// A Resolver asks the DNS. *net.Resolver is one.
type Resolver interface {
	LookupTXT(ctx context.Context, name string) ([]string, error)
	LookupMX(ctx context.Context, name string) ([]*net.MX, error)
	LookupIPAddr(ctx context.Context, host string) ([]net.IPAddr, error)
	LookupAddr(ctx context.Context, addr string) ([]string, error)
}

// A Mail looks at the way of a message: to the mail server, and what receivers
// look up about who sends it.
type Mail struct {
	From string // smtp.from
	Host string // smtp.host
	HELO string // smtp.helo; empty: this machine's name

	Resolver Resolver
	// Relays are the addresses from which messages reach receivers. Empty: those of
	// Host, which need not be the same, so that less can be said.
	Relays []netip.Addr
	// DKIM are the selectors under which the mail server signs: "s1", or
	// "s1@example.com" where the signing domain is not that of From.
	DKIM    []string
	Timeout time.Duration // for each question; zero: 10 seconds
}

// Steps turns the steps towards a mail server into findings.
func Steps(r *Report, steps []delivery.CheckStep) {
	for _, s := range steps {
		code := "smtp_" + string(s.Stage)
		if _, known := codes[code]; !known {
			code = "smtp_connect" // stopped on the way
		}
		step(r, code, "", s, "mail.md")
	}
}

// PhoneSteps turns the steps towards the provider that sends over a channel to phones
// into findings.
func PhoneSteps(r *Report, channel splitpin.Channel, steps []delivery.CheckStep) {
	for _, s := range steps {
		step(r, "phone_sender", string(channel), s, "phones.md")
	}
}

func step(r *Report, code, subject string, s delivery.CheckStep, page string) {
	if s.OK {
		r.ok(code, subject, s.Detail)
	} else {
		r.problem(code, subject, s.Detail, "See the row of the stage "+string(s.Stage)+" in docs/operate/"+page+".")
	}
}

// CheckDNS looks at what receivers look up.
func (m *Mail) CheckDNS(ctx context.Context, r *Report) {
	address, err := mail.ParseAddress(m.From)
	if err != nil {
		return // part of the configuration
	}
	_, domain, _ := strings.Cut(address.Address, "@")
	domain = strings.ToLower(domain)
	r.doing("asking the DNS about %s", domain)
	m.domain(ctx, r, domain)
	spfOK := m.spf(ctx, r, domain)
	signing := m.dkim(ctx, r, domain)
	policy, organisation, known := m.dmarc(ctx, r, domain)
	if known {
		alignment(r, domain, organisation, policy, spfOK, signing)
	}
	for _, relay := range m.Relays {
		m.ptr(ctx, r, relay)
	}
}

func (m *Mail) asking(ctx context.Context) (context.Context, context.CancelFunc) {
	if m.Timeout == 0 {
		return context.WithTimeout(ctx, 10*time.Second)
	}
	return context.WithTimeout(ctx, m.Timeout)
}

// absent reports whether an error of a look-up says that there is no such record,
// and not that nobody answered.
func absent(err error) bool {
	var dns *net.DNSError
	return errors.As(err, &dns) && dns.IsNotFound
}

const askAgain = "See that this machine reaches a name server, or leave the DNS out with --skip dns."

// domain looks whether the domain of From can take answers: receivers refuse
// messages from one that is not there.
func (m *Mail) domain(ctx context.Context, r *Report, domain string) {
	ctx, cancel := m.asking(ctx)
	defer cancel()
	mx, err := m.Resolver.LookupMX(ctx, domain)
	if err != nil && !absent(err) {
		r.unknown("mail_domain", domain, "the DNS did not answer: "+cause(err), askAgain)
		return
	}
	if len(mx) == 1 && strings.TrimSuffix(mx[0].Host, ".") == "" {
		r.warning("mail_domain", domain, "it says that it takes no mail (null MX), so some receivers refuse messages from it", "Send from a domain that takes mail: smtp.from.")
		return
	}
	if len(mx) > 0 {
		r.ok("mail_domain", domain, fmt.Sprintf("%d mail exchangers", len(mx)))
		return
	}
	addrs, err := m.Resolver.LookupIPAddr(ctx, domain)
	switch {
	case err != nil && !absent(err):
		r.unknown("mail_domain", domain, "the DNS did not answer: "+cause(err), askAgain)
	case len(addrs) == 0:
		r.problem("mail_domain", domain, "it has neither MX nor address records, so receivers refuse messages from it", "Correct smtp.from, or give the domain an MX record.")
	default:
		r.warning("mail_domain", domain, "it has no MX record; receivers fall back on its address", "Give the domain an MX record.")
	}
}

// spf looks whether the domain of From lets the mail server send. The envelope
// bears the address of From, so what passes is aligned.
func (m *Mail) spf(ctx context.Context, r *Report, domain string) (pass bool) {
	const code = "spf"
	ask, cancel := m.asking(ctx)
	texts, err := m.Resolver.LookupTXT(ask, domain)
	cancel()
	if err != nil && !absent(err) {
		r.unknown(code, domain, "the DNS did not answer: "+cause(err), askAgain)
		return false
	}
	var records []string
	for _, text := range texts {
		if lower := strings.ToLower(text); lower == "v=spf1" || strings.HasPrefix(lower, "v=spf1 ") {
			records = append(records, text)
		}
	}
	switch len(records) {
	case 0:
		r.problem(code, domain, "there is no SPF record", "Publish one that names your mail server, such as the TXT record \"v=spf1 include:… -all\" of your provider's manual.")
		return false
	case 1:
	default:
		r.problem(code, domain, fmt.Sprintf("there are %d SPF records, so receivers believe none", len(records)), "Put them together into one TXT record.")
		return false
	}
	terms := strings.Fields(strings.ToLower(records[0]))
	if slices.Contains(terms, "+all") || slices.Contains(terms, "all") {
		r.warning(code, domain, "the SPF record lets everybody send (+all)", "End it in -all or ~all.")
		return false
	}

	relays, certain := m.Relays, true
	if len(relays) == 0 {
		certain = false
		if relays = m.hostAddrs(ctx); len(relays) == 0 {
			r.warning(code, domain, "there is an SPF record, but from which address messages reach receivers is not known: smtp.host is this machine", "Name that address with --relay.")
			return false
		}
	}
	good := 0
	for _, relay := range relays {
		ask, cancel := m.asking(ctx)
		// The sender's local part matters to macros only, and is nobody's.
		result, err := spf.CheckHostWithSender(relay.AsSlice(), m.HELO, "postmaster@"+domain, spf.WithResolver(m.Resolver), spf.WithContext(ask))
		cancel()
		switch result {
		case spf.Pass:
			good++
		case spf.PermError:
			r.problem(code, domain, "receivers cannot make out the SPF record: "+spfError(err), "Correct the record; all its includes together may ask the DNS ten times.")
			return false
		case spf.TempError:
			r.unknown(code, domain, "the DNS did not answer: "+spfError(err), askAgain)
			return false
		}
	}
	switch {
	case good == len(relays):
		r.ok(code, domain, "the SPF record lets "+addresses(relays)+" send")
		return true
	case certain:
		r.problem(code, domain, "the SPF record does not let "+addresses(relays)+" send", "Add the address, or your provider's include, to the SPF record.")
	default:
		r.warning(code, domain, "the SPF record does not name the addresses of smtp.host ("+addresses(relays)+"); your provider may send from others", "Ask your provider for its include, and name an address that messages come from with --relay to be sure.")
	}
	return false
}

func spfError(err error) string {
	if errors.Is(err, spf.ErrLookupLimitReached) {
		return "it asks the DNS more than ten times"
	}
	if err == nil {
		return "no reason was given"
	}
	return short(err.Error())
}

// hostAddrs returns the addresses of smtp.host, none where that is this machine.
func (m *Mail) hostAddrs(ctx context.Context) (addrs []netip.Addr) {
	ctx, cancel := m.asking(ctx)
	defer cancel()
	if a, err := netip.ParseAddr(m.Host); err == nil {
		addrs = append(addrs, a)
	} else if found, err := m.Resolver.LookupIPAddr(ctx, m.Host); err == nil {
		for _, ip := range found {
			if a, ok := netip.AddrFromSlice(ip.IP); ok {
				addrs = append(addrs, a.Unmap())
			}
		}
	}
	return slices.DeleteFunc(addrs, func(a netip.Addr) bool { return a.IsLoopback() || a.IsPrivate() || a.IsLinkLocalUnicast() })
}

func addresses(list []netip.Addr) string {
	var text []string
	for _, a := range list {
		text = append(text, a.String())
	}
	return strings.Join(text, ", ")
}

// dkim looks at the keys under the selectors. It returns the signing domains whose
// keys are good.
func (m *Mail) dkim(ctx context.Context, r *Report, domain string) (signing []string) {
	if len(m.DKIM) == 0 {
		r.warning("dkim", domain, "whether messages are signed cannot be told without the selector", "Name it with --dkim: it is s= in the DKIM-Signature of a message that arrived.")
		return nil
	}
	for _, selector := range m.DKIM {
		selector, of, found := strings.Cut(selector, "@")
		if !found {
			of = domain
		}
		name := selector + "._domainkey." + of
		ask, cancel := m.asking(ctx)
		texts, err := m.Resolver.LookupTXT(ask, name)
		cancel()
		switch {
		case err != nil && !absent(err):
			r.unknown("dkim", name, "the DNS did not answer: "+cause(err), askAgain)
			continue
		case len(texts) == 0:
			r.problem("dkim", name, "there is no key", "Publish the TXT record that your mail server's manual gives, or correct --dkim.")
			continue
		case len(texts) > 1:
			r.problem("dkim", name, fmt.Sprintf("there are %d records in the place of one key", len(texts)), "Leave the one with which the mail server signs.")
			continue
		}
		key, err := parseDKIM(texts[0])
		switch {
		case err != nil:
			r.problem("dkim", name, err.Error(), "Publish the TXT record again, as your mail server's manual gives it.")
			continue
		case key.bits > 0 && key.bits < 1024:
			r.problem("dkim", name, fmt.Sprintf("the RSA key has %d bits, so receivers ignore it", key.bits), "Sign with an RSA key of 2048 bits.")
			continue
		case key.testing:
			r.warning("dkim", name, "the key is marked as a test (t=y), so receivers treat messages as unsigned", "Take t=y out of the record.")
			continue
		case key.bits > 0 && key.bits < 2048:
			r.warning("dkim", name, fmt.Sprintf("the RSA key has %d bits only", key.bits), "Sign with an RSA key of 2048 bits.")
		default:
			r.ok("dkim", name, "a sound "+key.kind+" key; that messages are signed with it shows in one that arrived")
		}
		signing = append(signing, strings.ToLower(of))
	}
	return signing
}

// A dkimKey is what a key record says.
type dkimKey struct {
	kind    string // "RSA" or "Ed25519"
	bits    int    // of RSA
	testing bool
}

// parseDKIM reads a key record (RFC 6376, 3.6.1; RFC 8463). Its errors are for
// operators.
func parseDKIM(record string) (k dkimKey, err error) {
	tags, err := tagList(record)
	if err != nil {
		return k, err
	}
	if v, ok := tags["v"]; ok && v != "DKIM1" {
		return k, errors.New("the record is not of version DKIM1")
	}
	if h, ok := tags["h"]; ok && !listHas(h, "sha256") {
		return k, errors.New("the record allows no SHA-256 (h=), which every signer uses")
	}
	if s, ok := tags["s"]; ok && !listHas(s, "*") && !listHas(s, "email") {
		return k, errors.New("the key is not for mail (s=)")
	}
	k.testing = listHas(tags["t"], "y")
	text, ok := tags["p"]
	switch {
	case !ok:
		return k, errors.New("the record holds no key (p=)")
	case text == "":
		return k, errors.New("the key is revoked (p= is empty)")
	}
	raw, err := base64.StdEncoding.DecodeString(strings.Join(strings.Fields(text), ""))
	if err != nil {
		return k, errors.New("the key (p=) is not base64; perhaps a part of a long record is missing")
	}
	switch kind := tags["k"]; kind {
	case "", "rsa":
		k.kind = "RSA"
		public, err := x509.ParsePKIXPublicKey(raw)
		if err != nil {
			if plain, plainErr := x509.ParsePKCS1PublicKey(raw); plainErr == nil {
				public, err = plain, nil
			}
		}
		key, ok := public.(*rsa.PublicKey)
		if err != nil || !ok {
			return k, errors.New("the key (p=) is no RSA key; perhaps a part of a long record is missing")
		}
		k.bits = key.N.BitLen()
	case "ed25519":
		k.kind = "Ed25519"
		if len(raw) != ed25519.PublicKeySize {
			return k, errors.New("the key (p=) is no Ed25519 key")
		}
	default:
		return k, errors.New("receivers do not know keys of the kind " + short(kind))
	}
	return k, nil
}

// tagList reads "name=value; name=value", as DKIM and DMARC write it. White space
// around names and values is dropped.
func tagList(record string) (map[string]string, error) {
	tags := map[string]string{}
	for part := range strings.SplitSeq(record, ";") {
		if strings.TrimSpace(part) == "" {
			continue
		}
		name, value, ok := strings.Cut(part, "=")
		name = strings.TrimSpace(name)
		if !ok || name == "" {
			return nil, errors.New("the record is not a list of name=value")
		}
		if _, twice := tags[name]; twice {
			return nil, errors.New("the record says " + short(name) + "= twice")
		}
		tags[name] = strings.TrimSpace(value)
	}
	return tags, nil
}

func listHas(list, want string) bool {
	for item := range strings.SplitSeq(list, ":") {
		if strings.TrimSpace(item) == want {
			return true
		}
	}
	return false
}

// A dmarcPolicy is what receivers do with messages that are not aligned.
type dmarcPolicy struct {
	policy, subdomains string // none, quarantine or reject
	strictSPF          bool
	strictDKIM         bool
	reports            bool
}

// dmarc looks for the policy that holds for a domain: its own, or the nearest one
// above it. organisation is the domain that has it; known tells that the DNS
// answered and there is one.
func (m *Mail) dmarc(ctx context.Context, r *Report, domain string) (p dmarcPolicy, organisation string, known bool) {
	const code = "dmarc"
	for at := domain; strings.Contains(at, "."); _, at, _ = strings.Cut(at, ".") {
		ask, cancel := m.asking(ctx)
		texts, err := m.Resolver.LookupTXT(ask, "_dmarc."+at)
		cancel()
		if err != nil && !absent(err) {
			r.unknown(code, domain, "the DNS did not answer: "+cause(err), askAgain)
			return p, "", false
		}
		texts = slices.DeleteFunc(texts, func(t string) bool { return !strings.HasPrefix(strings.ReplaceAll(t, " ", ""), "v=DMARC1") })
		if len(texts) == 0 {
			continue
		}
		if len(texts) > 1 {
			r.problem(code, domain, fmt.Sprintf("there are %d DMARC records at _dmarc.%s, so receivers believe none", len(texts), at), "Leave one of them.")
			return p, "", false
		}
		if p, err = parseDMARC(texts[0]); err != nil {
			r.problem(code, domain, err.Error(), "Correct the TXT record _dmarc."+at+", such as \"v=DMARC1; p=quarantine; rua=mailto:…\".")
			return p, "", false
		}
		policy := p.policy
		if at != domain {
			policy = p.subdomains
		}
		if policy == "none" {
			r.warning(code, domain, "the policy at _dmarc."+at+" is none: whoever forges your codes is not refused", "Once reports show that your messages are aligned, set p=quarantine or p=reject.")
		} else {
			r.ok(code, domain, "receivers are told to "+policy+" what is not aligned, by _dmarc."+at)
		}
		return p, at, true
	}
	r.problem(code, domain, "there is no DMARC record; large providers want one", "Publish the TXT record _dmarc."+domain+", to begin with \"v=DMARC1; p=none; rua=mailto:…\".")
	return p, "", false
}

// parseDMARC reads a policy record (RFC 7489, 6.3). Its errors are for operators.
func parseDMARC(record string) (p dmarcPolicy, err error) {
	tags, err := tagList(record)
	if err != nil {
		return p, err
	}
	if tags["v"] != "DMARC1" {
		return p, errors.New("the record is not of version DMARC1")
	}
	known := func(policy string) bool { return policy == "none" || policy == "quarantine" || policy == "reject" }
	p.policy = strings.ToLower(tags["p"])
	if !known(p.policy) {
		return p, errors.New("the record names no policy: p= must be none, quarantine or reject")
	}
	p.subdomains = p.policy
	if sp, ok := tags["sp"]; ok {
		if p.subdomains = strings.ToLower(sp); !known(p.subdomains) {
			return p, errors.New("the record names no policy for subdomains: sp= must be none, quarantine or reject")
		}
	}
	p.strictSPF, p.strictDKIM = strings.EqualFold(tags["aspf"], "s"), strings.EqualFold(tags["adkim"], "s")
	p.reports = tags["rua"] != ""
	return p, nil
}

// alignment says whether DMARC will pass: by SPF, whose domain is that of From, or
// by a signature of the same organisation.
func alignment(r *Report, domain, organisation string, p dmarcPolicy, spfPass bool, signing []string) {
	var by []string
	if spfPass {
		by = append(by, "SPF")
	}
	for _, of := range signing {
		if of == domain || !p.strictDKIM && (of == organisation || strings.HasSuffix(of, "."+organisation)) {
			by = append(by, "DKIM of "+of)
		}
	}
	switch {
	case len(by) > 0:
		r.ok("alignment", domain, "From is aligned with "+strings.Join(by, " and "))
	case len(signing) > 0:
		r.problem("alignment", domain, "neither SPF nor the signature of "+strings.Join(signing, ", ")+" is aligned with From, so DMARC fails", "Let the mail server sign for the domain of smtp.from, or send from the domain that it signs for.")
	default:
		r.warning("alignment", domain, "neither SPF nor DKIM is known to be aligned with From", "Mend what is said about spf and dkim.")
	}
}

// ptr looks whether the name of a relay's address leads back to it, as large
// receivers demand.
func (m *Mail) ptr(ctx context.Context, r *Report, relay netip.Addr) {
	ctx, cancel := m.asking(ctx)
	defer cancel()
	names, err := m.Resolver.LookupAddr(ctx, relay.String())
	if err != nil && !absent(err) {
		r.unknown("ptr", relay.String(), "the DNS did not answer: "+cause(err), askAgain)
		return
	}
	for _, name := range names {
		addrs, err := m.Resolver.LookupIPAddr(ctx, name)
		if err != nil {
			continue
		}
		for _, ip := range addrs {
			if a, ok := netip.AddrFromSlice(ip.IP); ok && a.Unmap() == relay.Unmap() {
				r.ok("ptr", relay.String(), "its name is "+short(strings.TrimSuffix(name, "."))+", and back")
				return
			}
		}
	}
	r.problem("ptr", relay.String(), "it has no name that leads back to it, so many receivers refuse messages from it", "Ask who gave you the address for a PTR record with the mail server's name, and give that name this address.")
}
