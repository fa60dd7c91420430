package main

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"path/filepath"
	"slices"
	"strings"

	"github.com/splitpin/splitpin"
	"github.com/splitpin/splitpin/delivery"
	"github.com/splitpin/splitpin/examples/go/shop"
	"github.com/splitpin/splitpin/keyring"
	"github.com/splitpin/splitpin/outgoing"
	"github.com/splitpin/splitpin/project"
	"github.com/splitpin/splitpin/server"
	"github.com/splitpin/splitpin/server/edge"
	"github.com/splitpin/splitpin/signin"
	"github.com/splitpin/splitpin/store"
	"github.com/splitpin/splitpin/telemetry"
)

type devCommand struct {
	Listen     string `help:"Where the server listens; loopback only." default:"127.0.0.1:8080" placeholder:"ADDR"`
	DemoListen string `help:"Where the demo app listens; loopback only." default:"127.0.0.1:8081" placeholder:"ADDR"`
	Data       string `help:"Data folder; made where it is missing." default:"splitpin-data" placeholder:"DIR"`
	Verbose    bool   `help:"Log every request."`
}

// Run makes what is missing and serves: a server with an inbox, and a demo app
// with a backend and a database of its own.
func (d devCommand) Run(ctx context.Context, t terminal) error {
	for _, a := range []struct{ address, flag string }{{d.Listen, "--listen"}, {d.DemoListen, "--demo-listen"}} {
		if err := loopbackOnly(a.address, a.flag); err != nil {
			return err
		}
	}
	listener, err := listen(d.Listen, "--listen")
	if err != nil {
		return err
	}
	defer listener.Close()
	demoListener, err := listen(d.DemoListen, "--demo-listen")
	if err != nil {
		return err
	}
	defer demoListener.Close()

	if err := prepareFolder(d.Data, "dev"); err != nil {
		return err
	}
	master, err := developmentKey(filepath.Join(d.Data, masterFile))
	if err != nil {
		return err
	}
	public, demoURL := loopbackURL(listener), loopbackURL(demoListener)
	lock, err := occupy(d.Data, public.String(), "--data")
	if err != nil {
		return err
	}
	defer lock.Close()
	watch := telemetry.New(telemetry.Options{Version: programVersion(), Clock: now})
	in, err := open(ctx, filepath.Join(d.Data, databaseFile), public.String(), store.Options{}, []keyring.Master{master}, watch)
	if err != nil {
		return err
	}
	defer in.Close()
	in.masters = func() ([]keyring.Master, error) {
		m, err := keyring.ReadMasterFile(filepath.Join(d.Data, masterFile))
		return []keyring.Master{m}, err
	}
	p, err := developmentProject(ctx, in, demoURL.String())
	if err != nil {
		return err
	}

	c := Config{LogLevel: "warn"}
	c.standard()
	if d.Verbose {
		c.LogLevel = "debug"
	}
	log := logger(t, c)
	inbox, token := &delivery.Inbox{}, perRunToken()
	in.social.Client, in.social.Log = providerClient(thisMachine), log
	handler := server.New(server.Options{
		Edge:   &edge.Edge{Engine: in.engine, PublicURL: public, AnyOrigin: true, Loopback: true, Clock: now, Log: log},
		Tokens: in.tokens, People: in.people, Ready: in.ready, Observe: watch.Requests(), Metrics: watch.Handler(false),
		TellCompletion: in.tellCompletions(outgoing.New(outgoing.Options{Except: thisMachine})),
		LinkHistory:    in.linkHistory,
		Inbox:          inbox, InboxToken: token, DemoURL: demoURL.String(),
	})
	watch.Gate(handler.Stats)
	inboxURL := public.JoinPath("inbox")
	inboxURL.RawQuery = url.Values{"token": {token}}.Encode()
	key := perRunToken()
	demoLink := demoURL.JoinPath("/")
	demoLink.RawQuery = url.Values{"token": {key}}.Encode()
	demo, err := shop.New(ctx, shop.Config{
		ServerURL: public.String(), ProjectID: p.ID, Issuer: in.tokens.Issuer(p), URL: demoURL.String(),
		Database: filepath.Join(d.Data, demoFile), InboxURL: demoURL.JoinPath("inbox").String(), Log: log,
	})
	if err != nil {
		return fmt.Errorf("starting the demo: %w", err)
	}
	defer demo.Close()

	welcome(t, d.Data, p, public, demoLink, inboxURL)
	senders := map[splitpin.Channel]delivery.Sender{splitpin.EmailChannel: inbox, splitpin.SMSChannel: inbox, splitpin.WhatsAppChannel: inbox}
	err = serve(ctx, log, in, in.mail(senders, log), c,
		site{handler, listener, handler.Drain}, site{door(demo, demoURL.Host, key, inboxURL.String()), demoListener, nil})
	if err == nil {
		t.printf("\nStopped. Everything is kept in %s.\n", d.Data)
	}
	return err
}

// loopbackOnly refuses an address that other machines could reach: the inbox
// shows every code.
func loopbackOnly(address, flag string) error {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return fmt.Errorf("%s %s: write an address like 127.0.0.1:8080", flag, address)
	}
	if host == "localhost" {
		return nil
	}
	if a, err := netip.ParseAddr(host); err != nil || !a.IsLoopback() {
		return fmt.Errorf("%s %s: development listens on this machine only, because its inbox shows every code. Use 127.0.0.1, or 'splitpin serve' for others", flag, address)
	}
	return nil
}

// developmentKey reads the master key beside the data, or makes it on the first
// run.
func developmentKey(path string) (keyring.Master, error) {
	m, err := keyring.ReadMasterFile(path)
	if !errors.Is(err, fs.ErrNotExist) {
		return m, err
	}
	m = keyring.NewMaster()
	return m, keyring.WriteMasterFile(path, m)
}

// developmentOrigins are listed from the start, besides the demo: where the
// development servers of common tools listen.
var developmentOrigins = []string{"http://localhost:3000", "http://localhost:5173"}

// developmentProject makes the default project on the first run, and sees to it
// that the demo may use it wherever the demo listens today.
func developmentProject(ctx context.Context, in *installation, demo string) (*splitpin.Project, error) {
	p, err := in.engine.Project("")
	if err != nil {
		_, _, err := in.projects.Create(ctx, project.Draft{Settings: splitpin.Settings{
			Name: "Corner Shop", Colour: "#0f766e", Logo: shop.Logo, LogoType: "image/svg+xml", Origins: append([]string{demo}, developmentOrigins...),
			// All of development comes from one network, and some of it in loops.
			Limits: splitpin.Limits{StartsPerNetwork: 1000, RefusePerNetwork: 2000},
			// The inbox takes messages to all phones there are, for nothing.
			Phone: splitpin.PhoneSettings{
				Channels: []splitpin.Channel{splitpin.SMSChannel, splitpin.WhatsAppChannel}, Fallback: true,
				Countries: []string{signin.AnyCountry}, Prices: map[string]int64{signin.AnyCountry: 0},
			},
		}})
		if err != nil {
			return nil, err
		}
	} else if !slices.Contains(p.Settings.Origins, demo) {
		_, err := in.projects.Change(ctx, p.ID, func(p *splitpin.Project) error {
			p.Settings.Origins = append(p.Settings.Origins, demo)
			return nil
		})
		if err != nil {
			return nil, err
		}
	}
	if _, err := in.engine.Step(ctx, now()); err != nil {
		return nil, err
	}
	return in.engine.Project("")
}

// doorCookie tells that a browser opened the printed link of the demo.
const doorCookie = "splitpin_demo"

// door stands before the demo. Everybody on this machine may look at the demo, so
// its pages must not hold the token of the inbox; its link to the inbox leads
// through here, and on only in a browser that opened the printed link, which holds
// key, before.
func door(demo http.Handler, host, key, inbox string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		toInbox, token := r.URL.Path == "/inbox", r.URL.Query().Get("token")
		if !strings.EqualFold(r.Host, host) || r.Method != http.MethodGet || !toInbox && (r.URL.Path != "/" || token == "") {
			demo.ServeHTTP(w, r)
			return
		}
		w.Header().Set("Referrer-Policy", "no-referrer")
		w.Header().Set("Cache-Control", "no-store")
		same := func(text string) bool { return subtle.ConstantTimeCompare([]byte(text), []byte(key)) == 1 }
		cookie, err := r.Cookie(doorCookie)
		switch {
		case !toInbox && same(token):
			// Lax, so that the cookie is there after a link in a mail led back here.
			http.SetCookie(w, &http.Cookie{Name: doorCookie, Value: key, Path: "/inbox", HttpOnly: true, SameSite: http.SameSiteLaxMode})
			fallthrough
		case !toInbox: // a link of yesterday's run: the demo is there all the same
			http.Redirect(w, r, "/", http.StatusSeeOther)
		case err == nil && same(cookie.Value):
			http.Redirect(w, r, inbox, http.StatusSeeOther)
		default:
			http.Error(w, "The inbox shows every code, so it needs the link that splitpin dev printed: open that one.", http.StatusForbidden)
		}
	})
}

func perRunToken() string {
	var b [18]byte
	rand.Read(b[:]) // never fails: see crypto/rand
	return base64.RawURLEncoding.EncodeToString(b[:])
}

func welcome(t terminal, data string, p *splitpin.Project, public, demo, inbox *url.URL) {
	bold, dim, plain := "\x1b[1m", "\x1b[2m", "\x1b[0m"
	if !t.colour() {
		bold, dim, plain = "", "", ""
	}
	t.printf("\n  %sSplitpin is running.%s Nothing leaves this machine.\n\n", bold, plain)
	row := func(what, value string) { t.printf("  %s%-28s%s%s%s%s\n", dim, what, plain, bold, value, plain) }
	row("Demo app: sign in here", demo.String())
	row("Inbox: messages come here", inbox.String())
	t.printf("\n")
	row("Server, for your own app", public.String())
	row("API key id", p.ID)
	row("Key set, for a backend", public.JoinPath("p", p.ID, "v1", "keys").String())
	t.printf("\n  Data is kept in %s. Press Ctrl-C to stop.\n\n", data)
}
