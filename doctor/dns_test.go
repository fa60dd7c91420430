package doctor_test

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"fmt"
	"maps"
	"net"
	"net/netip"
	"strings"
	"testing"

	"github.com/splitpin/splitpin"
	"github.com/splitpin/splitpin/delivery"
	"github.com/splitpin/splitpin/doctor"
)

// A zone is a DNS of a few records: "TXT name", "MX name", "A name", "PTR address".
// A record "fail" gives no answer.
type zone map[string][]string

var errNoServer = &net.DNSError{Err: "server misbehaving", IsTemporary: true}

func (z zone) get(kind, name string) ([]string, error) {
	records := z[kind+" "+strings.TrimSuffix(strings.ToLower(name), ".")]
	switch {
	case len(records) == 1 && records[0] == "fail":
		return nil, errNoServer
	case len(records) == 0:
		return nil, &net.DNSError{Err: "no such host", Name: name, IsNotFound: true}
	}
	return records, nil
}

func (z zone) LookupTXT(_ context.Context, name string) ([]string, error) { return z.get("TXT", name) }

func (z zone) LookupAddr(_ context.Context, addr string) ([]string, error) { return z.get("PTR", addr) }

func (z zone) LookupMX(_ context.Context, name string) (list []*net.MX, err error) {
	records, err := z.get("MX", name)
	for i, host := range records {
		list = append(list, &net.MX{Host: host, Pref: uint16(i)})
	}
	return list, err
}

func (z zone) LookupIPAddr(_ context.Context, host string) (list []net.IPAddr, err error) {
	records, err := z.get("A", host)
	for _, text := range records {
		list = append(list, net.IPAddr{IP: net.ParseIP(text)})
	}
	return list, err
}

var _ doctor.Resolver = (*net.Resolver)(nil)

func rsaRecord(t *testing.T, bits int) string {
	t.Helper()
	t.Setenv("GODEBUG", "rsa1024min=0") // the weak key is the point
	key, err := rsa.GenerateKey(rand.Reader, bits)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKIXPublicKey(&key.PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	return "v=DKIM1; k=rsa; p=" + base64.StdEncoding.EncodeToString(der)
}

func TestDNS(t *testing.T) {
	strong, weak, useless := rsaRecord(t, 2048), rsaRecord(t, 1024), rsaRecord(t, 512)
	ed := "v=DKIM1; k=ed25519; p=" + base64.StdEncoding.EncodeToString(make([]byte, 32))
	const relay = "198.51.100.25"
	good := zone{
		"MX example.com":                {"mx.example.com."},
		"TXT example.com":               {"some-site-verification=abc", "v=spf1 include:_spf.provider.example -all"},
		"TXT _spf.provider.example":     {"v=spf1 ip4:198.51.100.0/24 ~all"},
		"TXT s1._domainkey.example.com": {strong},
		"TXT _dmarc.example.com":        {"v=DMARC1; p=reject; rua=mailto:d@example.com"},
		"A smtp.provider.example":       {relay},
		"PTR " + relay:                  {"out.provider.example."},
		"A out.provider.example":        {relay},
	}
	// A record of "" takes it out.
	with := func(pairs ...string) zone {
		z := maps.Clone(good)
		for i := 0; i < len(pairs); i += 2 {
			z[pairs[i]] = strings.Split(pairs[i+1], "|")
			if pairs[i+1] == "" {
				delete(z, pairs[i])
			}
		}
		return z
	}
	chain := []string{"TXT example.com", "v=spf1 include:l0.example -all"}
	for i := range 12 {
		chain = append(chain, fmt.Sprintf("TXT l%d.example", i), fmt.Sprintf("v=spf1 include:l%d.example -all", i+1))
	}
	both := []netip.Addr{netip.MustParseAddr(relay)}

	tests := []struct {
		name string
		zone zone
		mail doctor.Mail
		want map[string]string
	}{
		{name: "all is well", zone: good},
		{name: "and the relay is named", zone: good, mail: doctor.Mail{Relays: both}},
		{name: "no MX", zone: with("MX example.com", "", "A example.com", "192.0.2.7"), want: map[string]string{"warning mail_domain": "no MX"}},
		{name: "no domain", zone: with("MX example.com", ""), want: map[string]string{"problem mail_domain": "neither MX nor address"}},
		{name: "null MX", zone: with("MX example.com", "."), want: map[string]string{"warning mail_domain": "null MX"}},
		{name: "no answer about MX", zone: with("MX example.com", "fail"), want: map[string]string{"unknown mail_domain": "did not answer"}},

		{name: "no SPF", zone: with("TXT example.com", ""), want: map[string]string{"problem spf": "no SPF record"}},
		{name: "two SPF records", zone: with("TXT example.com", "v=spf1 -all|v=spf1 ip4:198.51.100.25 -all"), want: map[string]string{"problem spf": "2 SPF records"}},
		{name: "SPF for everybody", zone: with("TXT example.com", "v=spf1 +all"), want: map[string]string{"warning spf": "everybody"}},
		{name: "SPF by redirect", zone: with("TXT example.com", "v=spf1 redirect=_spf.provider.example")},
		{name: "SPF by name", zone: with("TXT example.com", "v=spf1 a:smtp.provider.example -all")},
		{name: "SPF by MX", zone: with("TXT example.com", "v=spf1 mx -all", "A mx.example.com", relay)},
		{name: "SPF without the host", zone: with("TXT example.com", "v=spf1 ip4:192.0.2.1 -all"), want: map[string]string{"warning spf": "does not name the addresses of smtp.host (198.51.100.25)"}},
		{name: "SPF without the relay", zone: with("TXT example.com", "v=spf1 ip4:192.0.2.1 -all"), mail: doctor.Mail{Relays: both}, want: map[string]string{"problem spf": "does not let 198.51.100.25 send"}},
		{name: "SPF with too many questions", zone: with(chain...), want: map[string]string{"problem spf": "more than ten times"}},
		{name: "SPF that asks itself", zone: with("TXT example.com", "v=spf1 include:example.com -all"), want: map[string]string{"problem spf": "more than ten times"}},
		{name: "SPF that is none", zone: with("TXT example.com", "v=spf1 ip4:198.51.100.0/99 -all"), want: map[string]string{"problem spf": "cannot make out"}},
		{name: "no answer about SPF", zone: with("TXT example.com", "fail"), want: map[string]string{"unknown spf": "did not answer"}},
		{name: "no answer about an include", zone: with("TXT _spf.provider.example", "fail"), want: map[string]string{"unknown spf": "did not answer"}},
		{name: "a relay on this machine", zone: good, mail: doctor.Mail{Host: "127.0.0.1"}, want: map[string]string{"warning spf": "not known"}},

		{name: "no selector", zone: good, mail: doctor.Mail{DKIM: []string{}}, want: map[string]string{"warning dkim": "without the selector"}},
		{name: "an Ed25519 key", zone: with("TXT s1._domainkey.example.com", ed)},
		{name: "a key record without a version", zone: with("TXT s1._domainkey.example.com", strings.TrimPrefix(strong, "v=DKIM1; "))},
		{name: "no key", zone: with("TXT s1._domainkey.example.com", ""), want: map[string]string{"problem dkim": "no key"}},
		{name: "two keys", zone: with("TXT s1._domainkey.example.com", strong+"|"+strong), want: map[string]string{"problem dkim": "2 records"}},
		{name: "a weak key", zone: with("TXT s1._domainkey.example.com", weak), want: map[string]string{"warning dkim": "1024 bits"}},
		{name: "a useless key", zone: with("TXT s1._domainkey.example.com", useless), want: map[string]string{"problem dkim": "512 bits"}},
		{name: "half a key", zone: with("TXT s1._domainkey.example.com", strong[:200]), want: map[string]string{"problem dkim": "is missing"}},
		{name: "a revoked key", zone: with("TXT s1._domainkey.example.com", "v=DKIM1; p="), want: map[string]string{"problem dkim": "revoked"}},
		{name: "a key for tests", zone: with("TXT s1._domainkey.example.com", ed+"; t=s:y"), want: map[string]string{"warning dkim": "a test"}},
		{name: "a key not for mail", zone: with("TXT s1._domainkey.example.com", ed+"; s=tlsrpt"), want: map[string]string{"problem dkim": "not for mail"}},
		{name: "a key for SHA-1", zone: with("TXT s1._domainkey.example.com", ed+"; h=sha1"), want: map[string]string{"problem dkim": "SHA-256"}},
		{name: "no answer about a key", zone: with("TXT s1._domainkey.example.com", "fail"), want: map[string]string{"unknown dkim": "did not answer"}},

		{name: "no DMARC", zone: with("TXT _dmarc.example.com", ""), want: map[string]string{"problem dmarc": "no DMARC"}},
		{name: "DMARC of none", zone: with("TXT _dmarc.example.com", "v=DMARC1; p=none"), want: map[string]string{"warning dmarc": "is none"}},
		{name: "DMARC without a policy", zone: with("TXT _dmarc.example.com", "v=DMARC1; rua=mailto:d@example.com"), want: map[string]string{"problem dmarc": "names no policy"}},
		{name: "DMARC twice", zone: with("TXT _dmarc.example.com", "v=DMARC1; p=reject|v=DMARC1; p=none"), want: map[string]string{"problem dmarc": "2 DMARC records"}},
		{name: "no answer about DMARC", zone: with("TXT _dmarc.example.com", "fail"), want: map[string]string{"unknown dmarc": "did not answer"}},
		{name: "DMARC of the domain above", zone: with("TXT mail.example.com", "v=spf1 ip4:198.51.100.25 -all", "MX mail.example.com", "mx.example.com."),
			mail: doctor.Mail{From: "Shop <login@mail.example.com>", DKIM: []string{"s1@example.com"}}},
		{name: "DMARC of the domain above is milder for those below", zone: with("TXT mail.example.com", "v=spf1 ip4:198.51.100.25 -all", "MX mail.example.com", "mx.example.com.", "TXT _dmarc.example.com", "v=DMARC1; p=reject; sp=none"),
			mail: doctor.Mail{From: "login@mail.example.com", DKIM: []string{"s1@example.com"}}, want: map[string]string{"warning dmarc": "is none"}},

		{name: "signed for another organisation", zone: with("TXT example.com", "v=spf1 ip4:192.0.2.1 -all", "TXT s1._domainkey.provider.example", strong), mail: doctor.Mail{Relays: both, DKIM: []string{"s1@provider.example"}},
			want: map[string]string{"problem spf": "", "problem alignment": "signature of provider.example"}},
		{name: "aligned by the signature alone", zone: with("TXT example.com", "v=spf1 ip4:192.0.2.1 -all"), want: map[string]string{"warning spf": ""}},
		{name: "signed for the domain above, where that does not count", zone: with("TXT mail.example.com", "v=spf1 ip4:192.0.2.1 -all", "MX mail.example.com", "mx.example.com.", "TXT _dmarc.example.com", "v=DMARC1; p=reject; adkim=s"),
			mail: doctor.Mail{From: "login@mail.example.com", DKIM: []string{"s1@example.com"}, Relays: both}, want: map[string]string{"problem spf": "", "problem alignment": "signature of example.com"}},
		{name: "nothing is known", zone: with("TXT example.com", "v=spf1 ip4:192.0.2.1 -all"), mail: doctor.Mail{DKIM: []string{}},
			want: map[string]string{"warning spf": "", "warning dkim": "", "warning alignment": "neither SPF nor DKIM"}},

		{name: "no name for the relay", zone: with("PTR "+relay, ""), mail: doctor.Mail{Relays: both}, want: map[string]string{"problem ptr": "no name"}},
		{name: "a name that leads elsewhere", zone: with("A out.provider.example", "192.0.2.99"), mail: doctor.Mail{Relays: both}, want: map[string]string{"problem ptr": "leads back"}},
		{name: "no answer about the name", zone: with("PTR "+relay, "fail"), mail: doctor.Mail{Relays: both}, want: map[string]string{"unknown ptr": "did not answer"}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			m := test.mail
			m.Resolver, m.HELO = test.zone, "app.example.com"
			if m.From == "" {
				m.From = "Example <login@example.com>"
			}
			if m.Host == "" {
				m.Host = "smtp.provider.example"
			}
			if m.DKIM == nil {
				m.DKIM = []string{"s1"}
			}
			var r doctor.Report
			m.CheckDNS(t.Context(), &r)
			expect(t, &r, test.want)
			if len(r.Findings) < 4 {
				t.Errorf("only %d findings", len(r.Findings))
			}
			for _, f := range r.Findings {
				if strings.Contains(f.Subject+f.Seen+f.Do, "login@") {
					t.Errorf("a finding holds an address: %+v", f)
				}
			}
		})
	}
}

func TestSteps(t *testing.T) {
	stages := []delivery.Stage{delivery.StageResolve, delivery.StageConnect, delivery.StageTLS, delivery.StageAuth, delivery.StageFrom}
	for i, stage := range stages {
		var steps []delivery.CheckStep
		for _, before := range stages[:i] {
			steps = append(steps, delivery.CheckStep{Stage: before, OK: true, Detail: "fine"})
		}
		steps = append(steps, delivery.CheckStep{Stage: stage, Detail: "broken"})
		var r doctor.Report
		doctor.Steps(&r, steps)
		expect(t, &r, map[string]string{"problem smtp_" + string(stage): "broken"})
	}
	var r doctor.Report
	doctor.Steps(&r, []delivery.CheckStep{{Stage: delivery.StageFrom, OK: true, Detail: "fine"}})
	doctor.Steps(&r, []delivery.CheckStep{{Stage: delivery.StageCancelled, Detail: "stopped"}})
	expect(t, &r, map[string]string{"problem smtp_connect": "stopped"})

	r = doctor.Report{}
	doctor.PhoneSteps(&r, splitpin.SMSChannel, []delivery.CheckStep{{Stage: delivery.StageAuth, OK: true, Detail: "known"}})
	doctor.PhoneSteps(&r, splitpin.WhatsAppChannel, []delivery.CheckStep{{Stage: delivery.StageConfig, Detail: "no such template"}})
	expect(t, &r, map[string]string{"problem phone_sender": "no such template"})
	if f := r.Findings[1]; f.Subject != "whatsapp" || !strings.Contains(f.Do, "the stage config in docs/operate/phones.md") {
		t.Errorf("the finding is %+v", f)
	}
}

// What a domain publishes is written by strangers.
func FuzzRecords(f *testing.F) {
	for _, seed := range []string{"v=DKIM1; k=rsa; p=AAAA", "v=DMARC1; p=reject; sp=none", "v=spf1 include:example.com -all", "v=spf1 redirect=%{i}.example.com", ";;=;", "p=;t=y:s"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, record string) {
		m := doctor.Mail{From: "login@example.com", Host: "smtp.example.com", HELO: "app.example.com", DKIM: []string{"s1"}, Relays: []netip.Addr{netip.MustParseAddr("2001:db8::1")},
			Resolver: zone{"MX example.com": {record}, "TXT example.com": {record}, "TXT s1._domainkey.example.com": {record}, "TXT _dmarc.example.com": {record},
				"PTR 2001:db8::1": {record}}}
		var r doctor.Report
		m.CheckDNS(context.Background(), &r)
		for _, f := range r.Findings {
			if strings.ContainsAny(f.Seen+f.Do, "\r\n\x1b") {
				t.Errorf("a finding prints what a stranger wrote: %q", f.Seen)
			}
		}
	})
}
