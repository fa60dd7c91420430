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

// Lists reports whether the result of a sign-in may go to rawURL: its site is listed,
// and where pages of that site are named to return to, it is one of them.
func (p *Project) Lists(rawURL string) bool {
	return p.ListsSite(rawURL) && p.returnsTo(rawURL)
}

// returnsTo holds rawURL, whose site is listed, against the return pages. Of addresses
// written differently none is taken for another (RFC 3986, 6.2.1): those of the list
// stand as browsers have them, so a browser goes to the path that was compared.
func (p *Project) returnsTo(rawURL string) bool {
	origin, _ := ParseOrigin(rawURL)
	named := false
	for _, page := range p.Settings.ReturnPages {
		listed, _ := ParseOrigin(page)
		if listed == origin && pathOf(page) == pathOf(rawURL) {
			return true
		}
		named = named || party(listed) == party(origin)
	}
	return !named
}

// party is what belongs to one party: an origin of the web, or a whole app scheme.
func party(origin string) string {
	if IsWeb(origin) {
		return origin
	}
	scheme, _, _ := strings.Cut(origin, "://")
	return scheme
}

// pathOf is the path of what ParseOrigin takes, as it is written. A web page without one
// has that which browsers send.
func pathOf(rawURL string) string {
	scheme, rest, _ := strings.Cut(rawURL, "://")
	if i := strings.IndexAny(rest, "?#"); i >= 0 {
		rest = rest[:i]
	}
	if i := strings.IndexByte(rest, '/'); i >= 0 {
		return rest[i:]
	}
	if IsWeb(strings.ToLower(scheme) + "://") {
		return "/"
	}
	return ""
}

// ParseReturnPage returns the canonical form of an entry of Settings.ReturnPages: the
// origin as ParseOrigin writes it, and the path as browsers do. It reports false for
// what cannot be one: no absolute URL, or with user info, a query, a fragment, an empty
// segment or one of dots, however these are encoded.
func ParseReturnPage(raw string) (string, bool) {
	origin, ok := ParseOrigin(raw)
	if !ok || strings.ContainsAny(raw, "?#") {
		return "", false
	}
	path := pathOf(raw)
	decoded, err := url.PathUnescape(path)
	if err != nil || strings.Contains(decoded, "//") {
		return "", false
	}
	for segment := range strings.SplitSeq(decoded, "/") {
		if segment == "." || segment == ".." {
			return "", false
		}
	}
	u := url.URL{Path: decoded, RawPath: path}
	return origin + u.EscapedPath(), true
}

// ListsSite reports whether the project lists the origin of rawURL itself, not by
// AnyOrigin. An entry "scheme://" admits every host of an app scheme; the entry
// "://" of Cotter's documentation is tolerated and matches nothing.
func (p *Project) ListsSite(rawURL string) bool {
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
