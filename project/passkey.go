package project

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/splitpin/splitpin"
	"github.com/splitpin/splitpin/signin/passkey"
)

// Bounds of the time that a recovery waits: shorter, nobody would hear of it before it
// opens; longer, nobody would wait.
const (
	leastRecoveryDelay = time.Hour
	mostRecoveryDelay  = 30 * 24 * time.Hour
)

// checkPasskeys returns everything that is wrong with how people must come in.
func checkPasskeys(s splitpin.Settings) error {
	var problems []error
	if s.RecoveryDelay != 0 && (s.RecoveryDelay < leastRecoveryDelay || s.RecoveryDelay > mostRecoveryDelay) {
		problems = append(problems, errors.New("recovery-delay: must be between 1h and 720h"))
	}
	offered := len(s.Methods) == 0 || slices.Contains(s.Methods, passkey.Name)
	if s.PasskeyRequired && (!offered || slices.Contains(s.Origins, splitpin.AnyOrigin)) {
		problems = append(problems, errors.New("passkey-required: the project offers no passkeys; offer them with --method passkey, and list the sites instead of *"))
	}
	problems = append(problems, checkHost(s.PasskeySite))
	return errors.Join(problems...)
}

// An Orphaned site has passkeys that nobody could use any more.
type Orphaned struct {
	Site     string
	Passkeys int64
}

// Orphans returns the sites that have passkeys of a project and are none of its sites with
// these settings; those that were given up are left out.
func (a *Admin) Orphans(ctx context.Context, p *splitpin.Project, s splitpin.Settings, publicURL string) ([]Orphaned, error) {
	there, err := a.Store.Sites(ctx, p.Number, splitpin.PasskeyCredential)
	if err != nil {
		return nil, fmt.Errorf("looking for passkeys: %w", err)
	}
	var all []Orphaned
	sites := passkey.Sites(s, publicURL)
	for _, c := range there {
		if slices.Contains(sites, c.Site) || slices.Contains(s.FormerSites, c.Site) {
			continue
		}
		n, err := a.Store.CountAt(ctx, p.Number, splitpin.PasskeyCredential, c.Site)
		if err != nil {
			return nil, fmt.Errorf("counting passkeys: %w", err)
		}
		all = append(all, Orphaned{c.Site, n})
	}
	return all, nil
}

// checkHost refuses a site that no page could have for its own. The empty one is fine.
func checkHost(host string) error {
	site, err := passkey.Method{PublicURL: "https://" + host}.Site(&splitpin.Project{}, "")
	if host != "" && (err != nil || site != host) {
		return fmt.Errorf("passkey-site: %q is no host; write it like shop.example, without https:// and port", host)
	}
	return nil
}

// CheckPasskeySite refuses one site for all pages that no page and no server of ours is at:
// nobody could say there which pages belong to it.
func CheckPasskeySite(s splitpin.Settings, publicURL string) error {
	site := s.PasskeySite
	if err := checkHost(site); err != nil {
		return err
	}
	s.PasskeySite = ""
	if sites := passkey.Sites(s, publicURL); site != "" && !slices.Contains(sites, site) {
		return fmt.Errorf("passkey-site: %q is the host of none of the project's pages; list https://%s first, or take one of: %s", site, site, strings.Join(sites, "  "))
	}
	return nil
}
