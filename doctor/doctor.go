// Package doctor looks at a deployment the way a careful colleague would: from
// outside, over the network path that people take, and from inside, at the
// configuration, the database, the keys and the outbox. Each thing it looks at is
// one [Finding], which says what was seen and, where it is not well, what to do.
//
// Checks are functions over what was fetched. What fetches is at the edge: [Outside]
// asks the public URL, [Mail] the mail server and a [Resolver], [Inside] a store.
// Nothing here changes an installation, and no finding holds a secret or a full
// address of a person.
package doctor

import (
	"fmt"
	"slices"
)

// A Level is how a finding is to be taken.
type Level string

const (
	OK      Level = "ok"
	Warning Level = "warning" // works, and should be better
	Problem Level = "problem" // broken or unsafe for somebody
	Unknown Level = "unknown" // could not be checked
)

// A Group puts findings together that are about one thing.
type Group string

const (
	Configuration Group = "configuration"
	FromOutside   Group = "outside"
	Proxy         Group = "proxy"
	Database      Group = "database"
	Keys          Group = "keys"
	Messages      Group = "messages"
	SMTP          Group = "smtp"
	Phones        Group = "phones"
	DNS           Group = "dns"
)

// Groups returns every group, in the order in which they are checked.
func Groups() []Group {
	return []Group{Configuration, Database, Keys, Messages, FromOutside, Proxy, SMTP, DNS, Phones}
}

// A Finding is the result of one check. Code is stable, and docs/operate/doctor.md
// says what each means.
type Finding struct {
	Group   Group  `json:"group"`
	Code    string `json:"code"`
	Level   Level  `json:"level"`
	Subject string `json:"subject,omitempty"` // which of several: a project, a file; empty: there is one
	Seen    string `json:"seen"`
	Do      string `json:"do,omitempty"` // one sentence; empty where all is well
}

// codes is every finding there is, with its group. docs/operate/doctor.md lists
// them, and a test holds it against this table.
var codes = map[string]Group{
	"configuration": Configuration,
	"data_folder":   Configuration,
	"master_key":    Configuration,
	"projects":      Configuration,
	"methods":       Configuration,
	"captcha":       Configuration,
	"origins":       Configuration,
	"guessing":      Configuration,
	"lookup":        Configuration,
	"outgoing":      Configuration,

	"database":       Database,
	"durability":     Database,
	"replication":    Database,
	"database_clock": Database,
	"integrity":      Database,
	"size":           Database,
	"disk_space":     Database,
	"file_system":    Database,
	"backup":         Database,

	"signing_keys": Keys,
	"rotation":     Keys,
	"data_keys":    Keys,

	"outbox":   Messages,
	"senders":  Messages,
	"given_up": Messages,

	"reach":           FromOutside,
	"redirect":        FromOutside,
	"tls_certificate": FromOutside,
	"tls_versions":    FromOutside,
	"hsts":            FromOutside,
	"plain_http":      FromOutside,
	"ready":           FromOutside,
	"development":     FromOutside,
	"metrics":         FromOutside,
	"clock":           FromOutside,
	"version":         FromOutside,
	"issuer":          FromOutside,
	"key_set":         FromOutside,
	"key_set_cache":   FromOutside,
	"cors":            FromOutside,
	"cookie":          FromOutside,
	"page_headers":    FromOutside,

	"host_header":    Proxy,
	"request_view":   Proxy,
	"client_address": Proxy,
	"forged_address": Proxy,
	"unknown_host":   Proxy,
	"key_header":     Proxy,
	"body_limit":     Proxy,
	"header_limit":   Proxy,
	"cached":         Proxy,

	"smtp_resolve": SMTP,
	"smtp_connect": SMTP,
	"smtp_tls":     SMTP,
	"smtp_auth":    SMTP,
	"smtp_from":    SMTP,

	"phone_sender": Phones,

	"mail_domain": DNS,
	"spf":         DNS,
	"dkim":        DNS,
	"dmarc":       DNS,
	"alignment":   DNS,
	"ptr":         DNS,
}

// Codes returns the code of every finding, sorted.
func Codes() []string {
	all := make([]string, 0, len(codes))
	for code := range codes {
		all = append(all, code)
	}
	slices.Sort(all)
	return all
}

// A Report gathers findings. The zero value is ready for use, by one goroutine.
type Report struct {
	Findings []Finding

	// Doing, where it is not nil, hears what is looked at now, in a few words.
	Doing func(what string)
}

func (r *Report) doing(format string, args ...any) {
	if r.Doing != nil {
		r.Doing(fmt.Sprintf(format, args...))
	}
}

func (r *Report) add(f Finding) {
	group, known := codes[f.Code]
	if !known {
		panic("doctor: a finding that stands in no table: " + f.Code)
	}
	f.Group = group
	r.Findings = append(r.Findings, f)
}

func (r *Report) ok(code, subject, seen string) {
	r.add(Finding{Code: code, Level: OK, Subject: subject, Seen: seen})
}

func (r *Report) warning(code, subject, seen, do string) {
	r.add(Finding{Code: code, Level: Warning, Subject: subject, Seen: seen, Do: do})
}

func (r *Report) problem(code, subject, seen, do string) {
	r.add(Finding{Code: code, Level: Problem, Subject: subject, Seen: seen, Do: do})
}

func (r *Report) unknown(code, subject, seen, do string) {
	r.add(Finding{Code: code, Level: Unknown, Subject: subject, Seen: seen, Do: do})
}

// Grouped returns the findings of a group, in the order in which they were made.
func (r *Report) Grouped(g Group) []Finding {
	return slices.DeleteFunc(slices.Clone(r.Findings), func(f Finding) bool { return f.Group != g })
}

// Count returns how many findings have a level.
func (r *Report) Count(level Level) (n int) {
	for _, f := range r.Findings {
		if f.Level == level {
			n++
		}
	}
	return n
}

// Status is what a command exits with: 1 where there is a problem, or with strict
// a warning; else 2 where something could not be checked; else 0.
func (r *Report) Status(strict bool) int {
	switch {
	case r.Count(Problem) > 0, strict && r.Count(Warning) > 0:
		return 1
	case r.Count(Unknown) > 0:
		return 2
	}
	return 0
}
