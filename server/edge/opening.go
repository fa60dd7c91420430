package edge

import (
	"net/http"
	"strings"

	"github.com/splitpin/splitpin"
)

// Opening tells how a link was asked for, as far as a request shows it. It is for the
// history of a message and decides nothing: who wants to look like a browser can.
func Opening(r *http.Request) splitpin.Opening {
	h := r.Header
	switch {
	case r.Method == http.MethodHead:
		return splitpin.OpenedByHead
	case strings.Contains(h.Get("Sec-Purpose")+h.Get("Purpose"), "prefetch"):
		return splitpin.OpenedByFetch
	case h.Get("Sec-Fetch-Mode") != "" && h.Get("Sec-Fetch-Mode") != "navigate":
		return splitpin.OpenedByFetch
	case !strings.Contains(h.Get("Accept"), "text/html") || !strings.HasPrefix(r.UserAgent(), "Mozilla/"):
		return splitpin.OpenedByFetch
	}
	// Programs that say so in a name that begins like a browser's.
	agent := strings.ToLower(r.UserAgent())
	for _, word := range []string{"bot", "preview", "crawler", "spider", "externalhit", "scanner", "proxy", "(compatible;"} {
		if strings.Contains(agent, word) {
			return splitpin.OpenedByFetch
		}
	}
	return splitpin.OpenedAsPage
}
