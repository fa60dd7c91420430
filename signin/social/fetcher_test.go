package social_test

import (
	"crypto/x509"
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"github.com/splitpin/splitpin"
	"github.com/splitpin/splitpin/outgoing"
	"github.com/splitpin/splitpin/signin"
	"github.com/splitpin/splitpin/signin/signintest"
	"github.com/splitpin/splitpin/signin/social"
	"github.com/splitpin/splitpin/signin/social/socialtest"
)

func TestFetcher(t *testing.T) {
	providers := map[*signintest.House]*socialtest.Provider{}
	holders := 0
	signintest.RunFetcher(t, signintest.Fetching{
		Method: func(h *signintest.House) signin.Fetcher {
			theirs := socialtest.New(h.T, h.Now)
			providers[h] = theirs
			roots := x509.NewCertPool()
			roots.AddCert(theirs.Certificate())
			except, err := outgoing.ParseExceptions("127.0.0.1")
			if err != nil {
				h.T.Fatal(err)
			}
			return &social.Method{Ring: h.Ring, PublicURL: h.PublicURL, Clock: h.Now,
				Client: outgoing.New(outgoing.Options{Except: except, RootCAs: roots, Timeout: 10 * time.Second})}
		},
		Settings: func(h *signintest.House, project string, s *splitpin.Settings) {
			p := splitpin.Provider{Name: "THEIRS", Kind: "oidc", Issuer: providers[h].URL, ClientID: socialtest.ClientID}
			if err := social.SealSecret(h.Ring, project, &p, socialtest.ClientSecret); err != nil {
				h.T.Fatal(err)
			}
			s.Providers = []splitpin.Provider{p}
		},
		Request: func(req *signin.StartRequest) { req.Provider, req.Origin = "THEIRS", "" },
		Holder: func(h *signintest.House) signintest.Holder {
			holders++
			who := socialtest.Person{Subject: fmt.Sprint("person ", holders), Username: "somebody", Email: fmt.Sprintf("p%d@example.net", holders)}
			return func(_ testing.TB, s *signin.Started) json.RawMessage {
				code, _ := providers[h].SignIn(s.Form.Location, who)
				return answer(h.T, social.Answer{Code: code, Provider: "THEIRS"})
			}
		},
		Wrong: func(h *signintest.House, s *signin.Started, right json.RawMessage) map[string]json.RawMessage {
			var a social.Answer
			if err := json.Unmarshal(right, &a); err != nil {
				h.T.Fatal(err)
			}
			other, mixed, long := a, a, a
			other.Code, mixed.Issuer, long.Code = "AAAA", "https://evil.example", string(make([]byte, 5000))
			elsewhere := a
			elsewhere.Provider = "OTHER"
			return map[string]json.RawMessage{"a code of nobody": answer(h.T, other), "the issuer of another": answer(h.T, mixed),
				"a code without end": answer(h.T, long), "the callback of another": answer(h.T, elsewhere)}
		},
	})
}

func answer(t testing.TB, a social.Answer) json.RawMessage {
	b, err := json.Marshal(a)
	if err != nil {
		t.Fatal(err)
	}
	return b
}
