package web

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"fmt"
	"net/http"
	"path"
	"strconv"
	"strings"
	"sync"
)

//go:embed dist
var distFiles embed.FS

// An asset is one embedded file. The address of what our pages load carries a hash
// of the content, so it may be cached for ever: a new version has a new address. What
// other sites load has the address that their scripts know, and is asked after again.
type asset struct {
	url, mime, etag string
	shared          bool // other sites load it
	body            []byte
	gzipped         func() []byte // made on first use
}

// shared are the files that Cotter's SDK loads into pages of other sites, or names to
// our own, with their addresses (contract 1).
var shared = map[string]string{
	"modal.css":                    "/lib/modal.css",
	"cotter_transparent_light.png": "/assets/images/cotter_transparent_light.png",
	"check-purple.png":             "/assets/images/check-purple.png",
	"warning.png":                  "/assets/images/warning.png",
	"tapEmail.png":                 "/assets/images/tapEmail.png",
	"logo.png":                     DefaultLogo,
}

// DefaultLogo is the path of the image that stands for the logo of a project
// that has none.
const DefaultLogo = "/assets/images/logo.png"

var assets, assetsByURL = readAssets()

func readAssets() (byName, byURL map[string]*asset) {
	types := map[string]string{
		".js":  "text/javascript; charset=utf-8",
		".css": "text/css; charset=utf-8",
		".svg": "image/svg+xml",
		".png": "image/png",
	}
	byName, byURL = map[string]*asset{}, map[string]*asset{}
	entries, err := distFiles.ReadDir("dist")
	if err != nil {
		panic(fmt.Errorf("listing the assets: %w", err))
	}
	for _, e := range entries {
		body, err := distFiles.ReadFile("dist/" + e.Name())
		if err != nil {
			panic(fmt.Errorf("reading %s: %w", e.Name(), err))
		}
		sum := sha256.Sum256(body)
		hash := hex.EncodeToString(sum[:6])
		ext := path.Ext(e.Name())
		a := &asset{
			url:  "/assets/splitpin-" + strings.TrimSuffix(e.Name(), ext) + "-" + hash + ext,
			mime: types[ext],
			etag: `"` + hash + `"`,
			body: body,
			gzipped: sync.OnceValue(func() []byte {
				var b bytes.Buffer
				z, _ := gzip.NewWriterLevel(&b, gzip.BestCompression) // errs on unknown levels only
				z.Write(body)                                         // to memory: cannot err
				z.Close()
				return b.Bytes()
			}),
		}
		if at, ok := shared[e.Name()]; ok {
			a.url, a.shared = at, true
		}
		byName[e.Name()], byURL[a.url] = a, a
	}
	return byName, byURL
}

// assetURL is the address of an embedded file. Asking for one that does not
// exist is a programming error.
func assetURL(name string) string {
	a, ok := assets[name]
	if !ok {
		panic("web: no asset " + name)
	}
	return a.url
}

// Assets serves the embedded files under /assets/ and /lib/. Anything else is 404.
func Assets() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		a, ok := assetsByURL[r.URL.Path]
		if !ok {
			http.NotFound(w, r)
			return
		}
		h := w.Header()
		if r.Method != http.MethodGet && r.Method != http.MethodHead {
			h.Set("Allow", "GET, HEAD")
			http.Error(w, "Method Not Allowed", http.StatusMethodNotAllowed)
			return
		}
		h.Set("ETag", a.etag)
		h.Set("Vary", "Accept-Encoding")
		h.Set("X-Content-Type-Options", "nosniff")
		if a.shared {
			h.Set("Cache-Control", "public, max-age=3600")
			h.Set("Cross-Origin-Resource-Policy", "cross-origin")
			h.Set("Access-Control-Allow-Origin", "*")
		} else {
			h.Set("Cache-Control", "public, max-age=31536000, immutable")
			h.Set("Cross-Origin-Resource-Policy", "same-origin")
		}
		if strings.Contains(r.Header.Get("If-None-Match"), a.etag) {
			w.WriteHeader(http.StatusNotModified)
			return
		}
		body := a.body
		if acceptsGzip(r.Header.Get("Accept-Encoding")) {
			body = a.gzipped()
			h.Set("Content-Encoding", "gzip")
		}
		h.Set("Content-Type", a.mime)
		h.Set("Content-Length", strconv.Itoa(len(body)))
		if r.Method == http.MethodGet {
			w.Write(body)
		}
	})
}

// acceptsGzip reads Accept-Encoding as far as it matters: gzip is named and not
// given the weight zero.
func acceptsGzip(header string) bool {
	for part := range strings.SplitSeq(header, ",") {
		name, weight, _ := strings.Cut(strings.TrimSpace(part), ";")
		if strings.TrimSpace(name) == "gzip" {
			q := strings.ReplaceAll(weight, " ", "")
			return q != "q=0" && !strings.HasPrefix(q, "q=0.0")
		}
	}
	return false
}
