package passkey

import (
	"slices"

	"github.com/splitpin/splitpin"
)

// MaxRelated is how many different names among related origins browsers look at; some look
// at no more (WebAuthn Level 3, section 5.11.1). The name is the part before the public
// suffix: shop in shop.co.uk.
const MaxRelated = 5

// Sites are those at which people of a project can make and use passkeys: the one for all
// its pages, or else the host of each, and that of the server's own pages. An empty
// publicURL is not known.
func Sites(s splitpin.Settings, publicURL string) []string {
	var sites []string
	p, method := &splitpin.Project{Settings: s}, Method{PublicURL: publicURL}
	for _, origin := range append([]string{""}, s.Origins...) {
		if origin == "" && publicURL == "" || origin != "" && !splitpin.IsWeb(origin) {
			continue
		}
		if site, err := method.Site(p, origin); err == nil && !slices.Contains(sites, site) {
			sites = append(sites, site)
		}
	}
	return sites
}

// RelatedOrigins are the pages of a project that ask for passkeys of its one site and are
// not at that host. Browsers look for them in the document /.well-known/webauthn of that
// site, or take them as they are below it. Empty: the project has no such site.
func RelatedOrigins(s splitpin.Settings, publicURL string) []string {
	if s.PasskeySite == "" {
		return nil
	}
	var related []string
	for _, origin := range append([]string{publicURL}, s.Origins...) {
		page, ok := splitpin.ParseOrigin(origin)
		if !ok || !splitpin.IsWeb(page) || slices.Contains(related, page) {
			continue
		}
		if site, err := host(page); err == nil && site != s.PasskeySite {
			related = append(related, page)
		}
	}
	return related
}
