package doctor_test

import (
	"context"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httputil"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/splitpin/splitpin/delivery"
	"github.com/splitpin/splitpin/doctor"
)

// answer returns an instead that answers paths by itself.
func answer(status int, paths ...string) func(http.ResponseWriter, *http.Request) bool {
	return func(w http.ResponseWriter, r *http.Request) bool {
		for _, path := range paths {
			if strings.HasPrefix(r.URL.Path, path) {
				w.WriteHeader(status)
				return true
			}
		}
		return false
	}
}

// gone returns an instead that breaks the connection where when says so.
func gone(when func(*http.Request) bool) func(http.ResponseWriter, *http.Request) bool {
	return func(_ http.ResponseWriter, r *http.Request) bool {
		if when(r) {
			panic(http.ErrAbortHandler)
		}
		return false
	}
}

func header(name, value string) func(*http.Response) {
	return func(r *http.Response) {
		if value == "" {
			r.Header.Del(name)
			return
		}
		r.Header.Set(name, value)
	}
}

// on applies modify to the answers of paths with a prefix or suffix only.
func on(part string, modify func(*http.Response)) func(*http.Response) {
	return func(r *http.Response) {
		if strings.HasPrefix(r.Request.URL.Path, part) || strings.HasSuffix(r.Request.URL.Path, part) {
			modify(r)
		}
	}
}

func TestFromOutside(t *testing.T) {
	tests := []struct {
		name  string
		spoil func(*house)
		want  map[string]string
	}{
		{name: "all is well"},
		{name: "port 80 redirects", spoil: func(h *house) {
			h.redirect = func(w http.ResponseWriter, r *http.Request) {
				http.Redirect(w, r, publicURL, http.StatusMovedPermanently)
			}
		}},
		{name: "nobody listens", spoil: func(h *house) {
			h.outside = func(o *doctor.Outside) {
				o.Dial = func(context.Context, string, string) (net.Conn, error) { return nil, errors.New("no route") }
			}
		}, want: map[string]string{"problem reach": "no route"}},
		{name: "the name is unknown", spoil: func(h *house) {
			h.outside = func(o *doctor.Outside) {
				o.Dial = func(context.Context, string, string) (net.Conn, error) { return nil, &net.DNSError{IsNotFound: true} }
			}
		}, want: map[string]string{"problem reach": "has no address"}},
		{name: "something else answers", spoil: func(h *house) { h.instead = answer(200, "/healthz") },
			want: map[string]string{"problem reach": "not as Splitpin does"}},
		{name: "a redirect to elsewhere", spoil: func(h *house) {
			h.instead = func(w http.ResponseWriter, r *http.Request) bool {
				http.Redirect(w, r, "https://www.login.example"+r.URL.Path, http.StatusMovedPermanently)
				return true
			}
		}, want: map[string]string{"problem redirect": "https://www.login.example/healthz"}},
		{name: "a certificate for another name", spoil: func(h *house) { h.names = []string{"other.example"} },
			want: map[string]string{"problem tls_certificate": "is not for login.example"}},
		{name: "a certificate of nobody", spoil: func(h *house) { h.outside = func(o *doctor.Outside) { o.RootCAs = x509.NewCertPool() } },
			want: map[string]string{"problem tls_certificate": "authority"}},
		{name: "an expired certificate", spoil: func(h *house) { h.lived = 91 * 24 * time.Hour },
			want: map[string]string{"problem tls_certificate": "not valid today"}},
		{name: "a certificate that dies soon", spoil: func(h *house) { h.lived = 85 * 24 * time.Hour },
			want: map[string]string{"problem tls_certificate": "for 5 days"}},
		{name: "a certificate that should have been renewed", spoil: func(h *house) { h.lived = 75 * 24 * time.Hour },
			want: map[string]string{"warning tls_certificate": "for 15 days"}},
		{name: "a short-lived certificate in its middle", spoil: func(h *house) { h.life, h.lived = 6*24*time.Hour, 3*24*time.Hour }},
		{name: "TLS of yesterday", spoil: func(h *house) { h.tls = 0x0301 },
			want: map[string]string{"warning tls_versions": "TLS 1.1"}},
		{name: "no HSTS", spoil: func(h *house) { h.modify = header("Strict-Transport-Security", "") },
			want: map[string]string{"warning hsts": "0 times"}},
		{name: "short HSTS", spoil: func(h *house) { h.modify = header("Strict-Transport-Security", "max-age=3600; includeSubDomains") },
			want: map[string]string{"warning hsts": "shorter than half a year"}},
		{name: "HSTS twice", spoil: func(h *house) {
			h.modify = func(r *http.Response) { r.Header.Add("Strict-Transport-Security", "max-age=1") }
		},
			want: map[string]string{"warning hsts": "2 times"}},
		{name: "served without TLS", spoil: func(h *house) {
			h.redirect = func(w http.ResponseWriter, r *http.Request) { w.Write([]byte("ok\n")) }
		}, want: map[string]string{"problem plain_http": "over plain http"}},
		{name: "not ready", spoil: func(h *house) { h.options.Ready = func(context.Context) error { return errors.New("no") } },
			want: map[string]string{"problem ready": "503"}},
		{name: "the inbox of development", spoil: func(h *house) { h.options.Inbox = &delivery.Inbox{} },
			want: map[string]string{"problem development": "/inbox answers 200"}},
		{name: "metrics for everybody", spoil: func(h *house) { h.instead = answer(200, "/metrics") },
			want: map[string]string{"problem metrics": ""}},
		{name: "another version", spoil: func(h *house) { h.options.Version = "v1.2.2" },
			want: map[string]string{"warning version": "v1.2.2, this command is v1.2.3"}},
		{name: "a server that was started otherwise", spoil: func(h *house) {
			h.modify = on("/doctor", func(r *http.Response) { replaceBody(r, publicURL, "https://old.example") })
		}, want: map[string]string{"problem issuer": "https://old.example"}},
		{name: "this machine's clock is 10 s off", spoil: func(h *house) {
			h.outside = func(o *doctor.Outside) { o.Clock = func() time.Time { return time.Now().Add(10 * time.Second) } }
		}, want: map[string]string{"warning clock": "differs"}},
		{name: "the proxy's clock is 2 minutes off", spoil: func(h *house) {
			h.now = func() time.Time { return time.Now().Add(-2 * time.Minute) }
			h.outside = func(o *doctor.Outside) { o.Clock = time.Now }
		}, want: map[string]string{"problem clock": "Date"}},

		{name: "pages lose their policy", spoil: func(h *house) { h.modify = header("Content-Security-Policy", "") },
			want: map[string]string{"problem page_headers": "0 times"}},
		{name: "a weaker policy", spoil: func(h *house) {
			h.modify = header("Content-Security-Policy", "default-src 'none'; script-src 'self' 'unsafe-inline'; frame-ancestors 'none'; base-uri 'none'")
		},
			want: map[string]string{"problem page_headers": "lacks script-src 'self'"}},
		{name: "a frame rule of the proxy", spoil: func(h *house) { h.modify = header("X-Frame-Options", "DENY") },
			want: map[string]string{"problem page_headers": "X-Frame-Options"}},
		{name: "sniffing", spoil: func(h *house) { h.modify = header("X-Content-Type-Options", "") },
			want: map[string]string{"problem page_headers": "X-Content-Type-Options"}},

		{name: "a key set that may be kept for a day", spoil: func(h *house) { h.modify = on("/v1/keys", header("Cache-Control", "max-age=86400")) },
			want: map[string]string{"problem key_set_cache": "max-age=86400"}},
		{name: "a key set without ETag", spoil: func(h *house) { h.modify = on("/v1/keys", header("Etag", "")) },
			want: map[string]string{"problem key_set_cache": "ETag is missing"}},
		{name: "a key set that is always sent whole", spoil: func(h *house) {
			h.rewrite = func(p *httputil.ProxyRequest) { p.Out.Header.Del("If-None-Match") }
		}, want: map[string]string{"problem key_set_cache": "sent again"}},
		{name: "an old key set", spoil: func(h *house) { h.modify = on("/v1/keys", header("Age", "4000")) },
			want: map[string]string{"problem key_set_cache": "4000 seconds old"}},
		{name: "a key set that pages may not read", spoil: func(h *house) { h.modify = on("/v1/keys", header("Access-Control-Allow-Origin", "")) },
			want: map[string]string{"problem key_set_cache": "may not read"}},
		{name: "a key set without the constant kid", spoil: func(h *house) {
			h.modify = on("/v1/keys", func(r *http.Response) { replaceBody(r, "SPACE_JWT_PUBLIC:", "SPACE:") })
		}, want: map[string]string{"problem key_set": "constant kid that old clients look for is missing"}},
		{name: "a key that is not P-256", spoil: func(h *house) {
			h.modify = on("/v1/keys", func(r *http.Response) { replaceBody(r, "P-256", "P-521") })
		}, want: map[string]string{"problem key_set": "not P-256"}},
		{name: "the key set of somebody else", spoil: func(h *house) {
			h.modify = on("/v1/keys", func(r *http.Response) { replaceBody(r, `"x":"`, `"x":"A`) })
		}, want: map[string]string{"problem key_set": "not the one that signs"}},
		{name: "no key set", spoil: func(h *house) { h.instead = answer(404, "/p/") },
			want: map[string]string{"problem key_set": "holds no keys", "problem key_set_cache": "", "problem cors": "", "problem cookie": ""}},

		{name: "CORS of the proxy beside ours", spoil: func(h *house) {
			h.modify = on("/v1/attempts", func(r *http.Response) { r.Header.Add("Access-Control-Allow-Origin", "*") })
		}, want: map[string]string{"problem cors": "may read answers"}},
		{name: "every origin let in", spoil: func(h *house) {
			h.modify = on("/v1/attempts", func(r *http.Response) {
				r.Header.Set("Access-Control-Allow-Origin", r.Request.Header.Get("Origin"))
				r.Header.Set("Access-Control-Allow-Credentials", "true")
			})
		}, want: map[string]string{"problem cors": "a site that is not listed may read answers, with cookies; the origin null"}},
		{name: "cookies lost on the way", spoil: func(h *house) { h.modify = on("/v1/attempts", header("Access-Control-Allow-Credentials", "")) },
			want: map[string]string{"problem cors": "may not send cookies"}},
		{name: "Vary lost on the way", spoil: func(h *house) { h.modify = on("/v1/attempts", header("Vary", "")) },
			want: map[string]string{"problem cors": "Vary does not name Origin"}},

		{name: "a cookie without its flags", spoil: func(h *house) {
			h.modify = on("/p/", func(r *http.Response) {
				r.Header.Set("Set-Cookie", strings.ReplaceAll(r.Header.Get("Set-Cookie"), "; HttpOnly", ""))
			})
		}, want: map[string]string{"problem cookie": "lacks one of"}},
		{name: "a cookie for the domain", spoil: func(h *house) {
			h.modify = on("/p/", func(r *http.Response) { r.Header.Set("Set-Cookie", r.Header.Get("Set-Cookie")+"; Domain=example") })
		}, want: map[string]string{"problem cookie": "domain example"}},
		{name: "a cookie with another path", spoil: func(h *house) {
			h.modify = on("/p/", func(r *http.Response) {
				r.Header.Set("Set-Cookie", strings.ReplaceAll(r.Header.Get("Set-Cookie"), "Path=/p/", "Path=/auth/"))
			})
		}, want: map[string]string{"problem cookie": "its path is"}},

		{name: "another installation", spoil: func(h *house) { h.options.CheckPass = nil },
			want: map[string]string{"problem request_view": "does not know our data"}},
		{name: "no data", spoil: func(h *house) { h.outside = func(o *doctor.Outside) { o.Pass, o.Projects = nil, nil } },
			want: map[string]string{"unknown request_view": "without the data"}},
		{name: "a proxy that hides the host name", spoil: func(h *house) { h.rewrite = func(p *httputil.ProxyRequest) { p.Out.Host = "127.0.0.1:8080" } },
			want: map[string]string{"problem host_header": "another host name than login.example"}},
		{name: "a proxy that answers for every host name", spoil: func(h *house) { h.rewrite = func(p *httputil.ProxyRequest) { p.Out.Host = "login.example" } },
			want: map[string]string{"problem unknown_host": "foreign host name is served"}},
		{name: "headers with an underscore are dropped", spoil: func(h *house) { h.rewrite = func(p *httputil.ProxyRequest) { p.Out.Header.Del("API_KEY_ID") } },
			want: map[string]string{"problem key_header": "does not arrive"}},
		{name: "a cache for everything", spoil: func(h *house) {
			var kept string
			h.modify = on("/doctor", func(r *http.Response) {
				if kept == "" {
					kept = bodyOf(r)
				}
				setBody(r, kept)
			})
		}, want: map[string]string{"problem cached": "a second request", "unknown forged_address": "", "unknown body_limit": "", "unknown header_limit": ""}},

		{name: "a proxy that is not trusted", spoil: func(h *house) { h.options.Edge.Proxies, h.proxies = nil, nil },
			want: map[string]string{"problem client_address": "192.0.2.1 passes X-Forwarded-For, but is not trusted"}},
		{name: "a proxy that is not trusted and says nothing", spoil: func(h *house) {
			h.options.Edge.Proxies, h.proxies = nil, nil
			h.rewrite = func(p *httputil.ProxyRequest) { p.Out.Header.Del("X-Forwarded-For") }
		}, want: map[string]string{"problem client_address": "everybody counts as one client, 192.0.2.1"}},
		{name: "a trusted proxy that says nothing", spoil: func(h *house) {
			h.rewrite = func(p *httputil.ProxyRequest) { p.Out.Header.Del("X-Forwarded-For") }
		}, want: map[string]string{"problem client_address": "writes no X-Forwarded-For"}},
		{name: "a proxy that passes on what clients write", spoil: func(h *house) {
			h.rewrite = func(p *httputil.ProxyRequest) { p.Out.Header["X-Forwarded-For"] = p.In.Header["X-Forwarded-For"] }
		}, want: map[string]string{"problem client_address": "writes no X-Forwarded-For", "problem forged_address": "chooses the address"}},
		{name: "a proxy that adds to what clients write", spoil: func(h *house) {
			h.rewrite = func(p *httputil.ProxyRequest) {
				p.Out.Header["X-Forwarded-For"] = append(p.In.Header["X-Forwarded-For"], p.Out.Header["X-Forwarded-For"]...)
			}
		}},
		{name: "a proxy that is not known before the one that is", spoil: func(h *house) {
			h.rewrite = func(p *httputil.ProxyRequest) {
				p.Out.Header.Set("X-Forwarded-For", p.Out.Header.Get("X-Forwarded-For")+", 198.51.100.9")
			}
		}, want: map[string]string{"problem client_address": "the server takes 198.51.100.9 for the client, the outermost proxy says 127.0.0.1"}},
		{name: "this machine is trusted itself", spoil: func(h *house) {
			h.proxies = append(h.proxies, netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("::1/128"))
			h.options.Edge.Proxies = h.proxies
			h.rewrite = func(p *httputil.ProxyRequest) {
				p.Out.Header["X-Forwarded-For"] = append(p.In.Header["X-Forwarded-For"], p.Out.Header["X-Forwarded-For"]...)
			}
		}, want: map[string]string{"warning client_address": "stands in trusted_proxies itself", "warning forged_address": "this machine stands in trusted_proxies"}},

		{name: "small bodies only", spoil: func(h *house) {
			h.instead = func(w http.ResponseWriter, r *http.Request) bool {
				if r.ContentLength > 16<<10 {
					w.WriteHeader(http.StatusRequestEntityTooLarge)
					return true
				}
				return false
			}
		}, want: map[string]string{"warning body_limit": "413"}},
		{name: "short headers only", spoil: func(h *house) {
			h.instead = func(w http.ResponseWriter, r *http.Request) bool {
				if len(r.URL.RawQuery) > 2<<10 {
					w.WriteHeader(http.StatusRequestURITooLong)
					return true
				}
				return false
			}
		}, want: map[string]string{"warning header_limit": "414"}},
		{name: "the proxy breaks off", spoil: func(h *house) {
			h.instead = gone(func(r *http.Request) bool { return r.URL.Path == "/doctor" })
		}, want: map[string]string{"unknown request_view": "no answer"}},
		{name: "the proxy breaks off later", spoil: func(h *house) {
			h.instead = gone(func(r *http.Request) bool {
				return strings.HasSuffix(r.URL.Path, "/v1/keys") || r.Method == http.MethodDelete
			})
		}, want: map[string]string{"unknown key_set": "no answer", "unknown cookie": "no answer"}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			h := newHouse(t)
			if test.spoil != nil {
				test.spoil(h)
			}
			var r doctor.Report
			h.front(t).Check(t.Context(), &r)
			expect(t, &r, test.want)
			if test.want == nil && r.Count(doctor.OK) < 25 {
				t.Errorf("only %d findings: %v", r.Count(doctor.OK), r.Findings)
			}
			for _, f := range r.Findings {
				if strings.Contains(f.Seen+f.Do, "Bearer") || strings.Contains(f.Seen+f.Do, "sps_") {
					t.Errorf("a finding holds a secret: %+v", f)
				}
			}
		})
	}
}

func bodyOf(r *http.Response) string {
	b, _ := io.ReadAll(r.Body)
	setBody(r, string(b))
	return string(b)
}

func setBody(r *http.Response, body string) {
	r.Body, r.ContentLength = io.NopCloser(strings.NewReader(body)), int64(len(body))
	r.Header.Del("Content-Length")
}

func replaceBody(r *http.Response, old, new string) {
	setBody(r, strings.ReplaceAll(bodyOf(r), old, new))
}
