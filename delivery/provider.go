package delivery

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"strings"
	"sync/atomic"

	"github.com/splitpin/splitpin"
	"github.com/splitpin/splitpin/outgoing"
)

// A provider is the HTTP API of somebody who carries messages for us, and says how
// requests to it fail. It is what the senders for phones are built on.
type provider struct {
	name   string // for people: "Twilio"
	url    string // the setting that says where it is: "twilio.url"
	secret string // the settings that it knows us by: "twilio.account_sid and twilio.secret"
	client *http.Client

	// once says that a request made twice is fulfilled once: it bears a key by which
	// the provider can tell.
	once bool
}

// A fault is what an error code of a provider means to us.
type fault struct {
	stage     Stage
	temporary bool
	what      string // for the operator: what it is, and what to do
}

// A reply is how a provider answered.
type reply struct {
	status int
	body   []byte
}

// ok reports whether the provider did what it was asked for.
func (r reply) ok() bool { return r.status >= 200 && r.status < 300 }

// ask makes one request. Its error is a *SendError and means that there is no reply;
// every status is one.
func (p *provider) ask(req *http.Request) (reply, error) {
	req.Header.Set("User-Agent", "Splitpin")
	var left atomic.Bool // a part of the request at least
	req = req.WithContext(httptrace.WithClientTrace(req.Context(), &httptrace.ClientTrace{WroteHeaders: func() { left.Store(true) }}))
	r, err := p.exchange(req)
	if err != nil {
		failure := p.unreachable(req, err)
		failure.Uncertain = left.Load() && !p.once
		return reply{}, failure
	}
	return r, nil
}

func (p *provider) exchange(req *http.Request) (reply, error) {
	res, err := p.client.Do(req)
	if err != nil {
		return reply{}, err
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	return reply{res.StatusCode, body}, err
}

// unreachable says why there was no reply. Whatever it is may pass. The error of
// package net/http holds the address with its query, so that only its inside is shown.
func (p *provider) unreachable(req *http.Request, err error) *SendError {
	if req.Context().Err() != nil {
		return asSendError(stopped(req.Context(), err))
	}
	var (
		where     = req.URL.Host
		inside    = err
		request   *url.Error
		forbidden *outgoing.ForbiddenError
		dns       *net.DNSError
	)
	if errors.As(err, &request) {
		inside = request.Err
	}
	stage, detail := StageConnect, "asking "+where+": "+inside.Error()
	switch certificate := certificateDetail(req.URL.Hostname(), p.url, err); {
	case errors.As(err, &forbidden):
		stage, detail = StageConfig, forbidden.Error()+"; where that is meant, list the host in outgoing_allow, else check "+p.url
	case errors.As(err, &dns) && dns.IsNotFound:
		stage, detail = StageResolve, "there is no host "+req.URL.Hostname()+"; check "+p.url
	case errors.As(err, &dns):
		stage, detail = StageResolve, "the name server did not answer about "+req.URL.Hostname()+"; is the network up?"
	case certificate != "":
		stage, detail = StageTLS, certificate
	case errors.Is(err, outgoing.ErrTooLong):
		detail = where + " answered at such length that it cannot be " + p.name + "; check " + p.url
	case isRefused(err):
		detail = where + " refuses connections; check " + p.url + ", and that nothing in between blocks the way"
	case isTimeout(err):
		detail = fmt.Sprintf("%s did not answer within %s", where, p.client.Timeout)
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), isReset(err):
		detail = where + " closed the connection without an answer"
	}
	return &SendError{Stage: stage, Temporary: true, Detail: Scrub(detail, nil), cause: err}
}

// refused makes an error of a reply that is not what was asked for. known says
// what the provider's own code means, where it is one that we know; said is the
// provider's own explanation, which may be empty.
func (p *provider) refused(r reply, known fault, said string, l *Letter) error {
	f := known
	if f.what == "" {
		f = p.byStatus(r.status)
	}
	detail := fmt.Sprintf("%s: %d", f.what, r.status)
	if said != "" {
		detail += " " + said
	}
	e := &SendError{Stage: f.stage, Temporary: f.temporary, Detail: Scrub(detail, l)}
	// Who has a problem may have found it after the work was done. Who is overloaded
	// says so before, and so does everybody who names the fault.
	broken := known.what == "" && r.status >= 500 && r.status != http.StatusServiceUnavailable
	e.Uncertain = !p.once && (broken || r.ok())
	return e
}

// byStatus is what a status means by itself.
func (p *provider) byStatus(status int) fault {
	switch {
	case status >= 500:
		return fault{StageConnect, true, p.name + " has a problem of its own"}
	case status == http.StatusTooManyRequests:
		return fault{StageConnect, true, p.name + " gets more requests from us than it allows"}
	case status == http.StatusRequestTimeout:
		return fault{StageConnect, true, p.name + " says that we were too slow"}
	case status == http.StatusUnauthorized, status == http.StatusForbidden:
		return fault{StageAuth, true, p.name + " does not know us; check " + p.secret}
	case status == http.StatusNotFound, status >= 300 && status < 400:
		return fault{StageConfig, true, "this is not where " + p.name + " takes messages; check " + p.url}
	case status >= 400:
		return fault{StageData, false, p.name + " refuses the message"}
	}
	return fault{StageConnect, true, p.name + " answered with something that is no answer; check " + p.url}
}

// certificateDetail says what is wrong with the certificate of host, or with TLS
// altogether; empty: the error is about something else. setting is where the host
// comes from.
func certificateDetail(host, setting string, err error) string {
	var (
		name    x509.HostnameError
		unknown x509.UnknownAuthorityError
		invalid x509.CertificateInvalidError
		record  tls.RecordHeaderError
		alert   tls.AlertError
	)
	switch {
	case errors.As(err, &name):
		detail := "the certificate is not for " + host
		if name.Certificate != nil && len(name.Certificate.DNSNames) > 0 {
			detail += ", but for " + strings.Join(name.Certificate.DNSNames[:min(4, len(name.Certificate.DNSNames))], ", ")
		}
		return detail + "; set " + setting + " to the name in the certificate"
	case errors.As(err, &unknown):
		return "the certificate of " + host + " comes from an authority this machine does not know; install its root certificate"
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
		return "the certificate of " + host + " is not valid today (" + invalid.Detail + "); check it, and this machine's clock"
	case errors.As(err, &record), errors.Is(err, http.ErrSchemeMismatch):
		return host + " does not speak TLS there; check " + setting
	case errors.As(err, &alert):
		return host + " broke off the TLS handshake: " + alert.Error()
	}
	return ""
}

// baseURL checks the address of a provider: https, but for this machine.
func baseURL(setting, given string) (*url.URL, error) {
	u, err := url.Parse(given)
	switch {
	case err != nil || u.Host == "" || u.User != nil || u.Fragment != "":
		return nil, fmt.Errorf("%s: must be an address like https://example.com/path", setting)
	case u.Scheme == "http" && isLoopback(u.Hostname()):
	case u.Scheme != "https":
		return nil, fmt.Errorf("%s: must begin with https://, or codes would travel in the clear", setting)
	}
	return u, nil
}

// request makes a POST of a form or of JSON.
func request(ctx context.Context, to, kind, body string) (*http.Request, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, to, strings.NewReader(body))
	if err != nil {
		return nil, &SendError{Stage: StageConfig, Temporary: true, Detail: Scrub("making the request: "+err.Error(), nil), cause: err}
	}
	req.Header.Set("Content-Type", kind)
	req.Header.Set("Accept", "application/json")
	return req, nil
}

const (
	aForm  = "application/x-www-form-urlencoded"
	asJSON = "application/json"
)

// isPhone reports whether an address is a number as account.ParseIdentifier writes it.
func isPhone(to string) bool {
	return len(to) >= 8 && len(to) <= 16 && to[0] == '+' && to[1] != '0' && strings.Trim(to[1:], "0123456789") == ""
}

// errNoPhone is the error of a letter to something else.
var errNoPhone = &SendError{Stage: StageMessage, Detail: "the recipient is not a phone number in canonical form"}

// reportsAt is the address at which a provider tells what became of one letter.
func reportsAt(base string, over splitpin.Channel, receipt string) string {
	return strings.TrimSuffix(base, "/") + "/" + string(over) + "/" + receipt
}
