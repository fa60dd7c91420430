package splitpin

import (
	"net/url"
	"slices"
	"strings"
)

// AnyOrigin is the entry of Settings.Origins that matches every site. It admits
// calls without cookies and nothing more: no code goes to a site that only it
// matches.
const AnyOrigin = "*"

// ParseOrigin returns the canonical origin of an absolute URL:
// scheme://host[:port] in lower case without a default port for http and https,
// scheme:// or scheme://host for app schemes. It reports false for what no
// origin can be made of, and for what no list may hold: javascript:, data:,
// "null", user info, backslashes, control characters (contract 13, row 15).
func ParseOrigin(raw string) (string, bool) {
	if raw == "" || raw == "null" || strings.ContainsAny(raw, "\\ \t\r\n\x00") {
		return "", false
	}
	u, err := url.Parse(raw)
	if err != nil || u.User != nil || u.Opaque != "" || u.Scheme == "" || strings.ContainsFunc(u.Host, notInHost) {
		return "", false
	}
	scheme, host := strings.ToLower(u.Scheme), strings.ToLower(u.Host)
	switch scheme {
	case "javascript", "data", "blob", "file", "about", "vbscript", "filesystem", "ws", "wss":
		return "", false
	case "http", "https":
		if u.Hostname() == "" {
			return "", false
		}
		if p := u.Port(); p == "80" && scheme == "http" || p == "443" && scheme == "https" {
			host = strings.TrimSuffix(host, ":"+p)
		}
		return scheme + "://" + strings.TrimSuffix(host, ":"), true
	}
	if !strings.HasPrefix(raw[len(scheme):], "://") {
		return "", false
	}
	return scheme + "://" + host, true
}

// notInHost refuses what no browser writes into an origin: there, a name outside
// ASCII stands in its xn-- form, and an address has no zone.
func notInHost(r rune) bool {
	return r <= ' ' || r > '~' || strings.ContainsRune("*'\"<>;,%", r)
}

// IsWeb reports whether an origin is one that a browser page can have.
func IsWeb(origin string) bool {
	return strings.HasPrefix(origin, "http://") || strings.HasPrefix(origin, "https://")
}

// Lists reports whether the project lists the origin of rawURL itself, not by
// AnyOrigin. An entry "scheme://" admits every host of an app scheme; the entry
// "://" of Cotter's documentation is tolerated and matches nothing.
func (p *Project) Lists(rawURL string) bool {
	origin, ok := ParseOrigin(rawURL)
	if !ok {
		return false
	}
	for _, entry := range p.Settings.Origins {
		if entry == AnyOrigin || entry == "://" {
			continue
		}
		listed, ok := ParseOrigin(entry)
		if !ok {
			continue
		}
		if listed == origin || !IsWeb(listed) && strings.HasSuffix(listed, "://") && strings.HasPrefix(origin, listed) {
			return true
		}
	}
	return false
}

// ListsOrigin reports whether the project lists exactly this origin, as a page
// has it: only that may call with cookies and frame a form. An entry for all
// hosts of an app scheme names none.
func (p *Project) ListsOrigin(origin string) bool {
	canonical, ok := ParseOrigin(origin)
	return ok && canonical == origin && slices.ContainsFunc(p.Settings.Origins, func(entry string) bool {
		listed, ok := ParseOrigin(entry)
		return ok && listed == origin
	})
}

// ListsAny reports whether the project admits every site for calls without
// cookies.
func (p *Project) ListsAny() bool {
	for _, entry := range p.Settings.Origins {
		if entry == AnyOrigin {
			return true
		}
	}
	return false
}
