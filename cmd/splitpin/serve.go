package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"os"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"strings"
	"syscall"
	"time"

	"github.com/splitpin/splitpin"
	"github.com/splitpin/splitpin/delivery"
	"github.com/splitpin/splitpin/doctor"
	"github.com/splitpin/splitpin/keyring"
	"github.com/splitpin/splitpin/outgoing"
	"github.com/splitpin/splitpin/project"
	"github.com/splitpin/splitpin/server"
	"github.com/splitpin/splitpin/server/edge"
	"github.com/splitpin/splitpin/signin"
	"github.com/splitpin/splitpin/store"
	"github.com/splitpin/splitpin/telemetry"
)

type serveCommand struct {
	Config string `help:"Configuration file (YAML)." placeholder:"FILE" env:"SPLITPIN_CONFIG_FILE"`
	Check  bool   `help:"Only say what is wrong with the configuration."`
}

// Run serves until it is told to stop, then lets requests end.
func (s serveCommand) Run(ctx context.Context, t terminal) error {
	d, wrong, err := describe(s.Config)
	if err != nil {
		return err
	}
	if err := wrong.err(); err != nil {
		return err
	}
	if s.Check {
		return check(ctx, t, d)
	}
	c, public, masters, senders := d.Config, d.public, d.masters, d.senders
	log := logger(t, c)
	if c.MetricsProfile {
		runtime.MemProfileRate = 512 << 10 // bytes for one sample, which is Go's own
	}
	if !c.shared() {
		if err := prepareFolder(c.Data, "serve"); err != nil {
			return err
		}
	}
	watch, traces, err := watching(ctx, c, log)
	if err != nil {
		return err
	}
	in, err := open(ctx, c.database(), public.String(), c.storeOptions(), masters, watch)
	if err != nil {
		return err
	}
	defer in.Close()
	in.masters = c.masters
	if err := checkProjects(ctx, in, &c); err != nil {
		return err
	}
	if !c.shared() {
		lock, err := occupy(c.Data, public.String(), "data in the configuration")
		if err != nil {
			return err
		}
		defer lock.Close()
	}
	listener, err := listen(c.Listen, "listen in the configuration")
	if err != nil {
		return err
	}
	// The database was opened before the folder was ours.
	if _, err := in.stillCurrent(ctx, now()); err != nil {
		return err
	}
	if senders, err = in.holdBack(ctx, senders, log); err != nil {
		return err
	}
	sites := make([]site, 1, 2)
	if c.MetricsListen != "" {
		metrics, err := listen(c.MetricsListen, "metrics_listen in the configuration")
		if err != nil {
			return err
		}
		sites = append(sites, site{rebindingRefused(watch.Handler(c.MetricsProfile)), metrics, nil})
		log.Info("metrics", "listen", metrics.Addr().String(), "profiles", c.MetricsProfile)
	}
	in.social.Client, in.social.Log = providerClient(c.OutgoingAllow), log
	handler := server.New(server.Options{
		Edge: &edge.Edge{Engine: in.engine, PublicURL: public, Proxies: c.TrustedProxies,
			AnyOrigin: c.InsecureAnyOrigin, Clock: now, Log: log},
		Tokens: in.tokens, People: in.people, Ready: in.ready, Observe: watch.Requests(),
		Captcha:        c.useCaptcha(in.engine, public),
		Report:         in.outbox.Report,
		Version:        programVersion(),
		TellCompletion: in.tellCompletions(outgoing.New(outgoing.Options{Except: c.OutgoingAllow})),
		CheckPass: func(now time.Time, pass splitpin.Secret) (string, bool) {
			return doctor.CheckPass(in.ring, public.String(), now, pass)
		},
	})
	watch.Gate(handler.Stats)
	sites[0] = site{handler, listener, handler.Drain}
	log.Info("serving", "public_url", public.String(), "listen", listener.Addr().String())
	for _, p := range in.engine.Projects() {
		if len(p.Settings.Origins) == 0 {
			log.Warn("this project lists no origin, so nobody can sign in: name its site with 'splitpin project set "+p.ID+" --add-origin https://…'", "project", p.ID)
		}
		for _, doubt := range unreachable(p, c.OutgoingAllow) {
			log.Warn("this project names an address that no request reaches", "project", p.ID, "reason", doubt+ifMeant)
		}
		log.Info("project", "id", p.ID, "name", p.Name(), "default", p.Default,
			"guess_probability_per_address_and_day", project.Odds(project.GuessProbability(p.Settings)),
			"phones_cost_at_most_per_day", signin.Amount(signin.WorstCost(p.Settings.Phone)))
	}
	if len(in.engine.Projects()) == 0 {
		log.Warn("there is no project yet: make one with 'splitpin project create'")
	}
	err = serve(ctx, log, in, in.mail(senders, log), c, sites...)
	ending, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	if unsent := traces.Close(ending); unsent != nil {
		log.Warn("the last traces were not sent", "error", unsent)
	}
	return err
}

// check looks at the database of a configuration that is fine so far, for what serve
// would refuse. It makes and changes nothing, so that it can run before the first start,
// and with the program of the next version.
func check(ctx context.Context, t terminal, d deployment) error {
	made, known, err := tablesOf(ctx, d)
	switch {
	case err != nil:
		return err
	case made == 0:
		t.printf("The configuration is fine. There are no tables yet: the first start makes them.\n")
		return nil
	case made < known:
		t.printf("The configuration is fine. The start brings the tables from version %d to %d: make a backup before.\n", made, known)
		return nil
	}
	db, err := store.Open(ctx, d.database(), d.storeOptions()) // which refuses newer tables
	if err != nil {
		return err
	}
	defer db.Close()
	ring, err := keyring.Read(ctx, db, d.masters...)
	if err != nil {
		return err
	}
	if ring.Usable() == nil { // else the first start makes the keys
		in, err := wire(ctx, db, d.public.String(), nil, func(splitpin.Store) (*keyring.Ring, error) { return ring, nil })
		if err != nil {
			return err
		}
		if err := checkProjects(ctx, in, &d.Config); err != nil {
			return err
		}
		for _, p := range in.engine.Projects() {
			for _, doubt := range unreachable(p, d.OutgoingAllow) {
				t.printf("No request of project %s reaches %s%s.\n", p.ID, doubt, ifMeant)
			}
		}
	}
	t.printf("The configuration is fine.\n")
	return nil
}

// tablesOf returns the version of the tables in a database, zero where there are none
// yet, and the one that this program knows.
func tablesOf(ctx context.Context, d deployment) (made, known int64, err error) {
	if d.shared() {
		seen, err := store.InspectPostgres(ctx, d.database(), d.storeOptions().Postgres)
		return seen.Tables, seen.Known, err
	}
	if _, err := checkFolder(d.Data, "serve"); err != nil {
		return 0, 0, err
	}
	seen, err := store.InspectSQLite(d.database())
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return 0, 0, nil
	case err == nil && !seen.Ours:
		err = fmt.Errorf("%s belongs to another program: check data in the configuration", d.database())
	}
	return seen.Tables, seen.Known, err
}

// watching returns what observes the server, nil where the configuration asks for
// neither metrics nor traces.
func watching(ctx context.Context, c Config, log *slog.Logger) (*telemetry.Watch, *telemetry.Traces, error) {
	version := programVersion()
	traces, err := telemetry.OpenTraces(ctx, telemetry.TraceOptions{
		Endpoint: c.TracesEndpoint, Sample: c.TracesSample, Version: version, Log: log})
	if err != nil || traces == nil && c.MetricsListen == "" {
		return nil, nil, err
	}
	return telemetry.New(telemetry.Options{Version: version, Traces: traces, Clock: now}), traces, nil
}

// A deployment is what a configuration describes, read and judged, before
// anything of it is opened.
type deployment struct {
	Config
	public  *url.URL // empty where public_url is none
	masters []keyring.Master
	senders map[splitpin.Channel]delivery.Sender
}

// describe reads the configuration of a server and says everything that is wrong
// with it. The error is for one that cannot be read at all.
func describe(file string) (d deployment, wrong problems, err error) {
	d.Config, wrong, err = loadConfig(file, environ())
	if err != nil {
		return d, nil, err
	}
	d.standard()
	d.public = d.checkServe(&wrong)
	if d.masters, err = d.Config.masters(); err != nil {
		wrong.add("%v", err)
	}
	mail := d.SMTP
	mail.MaxConns = outboxWorkers
	if mail.Host == "" {
		mail.Host = "localhost" // its lack was said; what else is wrong with mail is said too
	}
	config := d.Phones
	config.SMTP, config.Client = mail, outgoing.New(outgoing.Options{Except: d.OutgoingAllow})
	if d.public != nil && d.public.Scheme == "https" {
		config.ReportsURL = d.public.JoinPath("reports").String()
	}
	for _, out := range []struct{ key, address string }{{"webhook.url", config.Webhook.URL}, {"twilio.url", config.Twilio.URL},
		{"vonage.url", config.Vonage.URL}, {"sns.url", config.SNS.URL}, {"whatsapp.url", config.CloudAPI.URL}} {
		if err := d.OutgoingAllow.Refuse(out.address); err != nil {
			wrong.add("%s: %v%s", out.key, err, ifMeant)
		}
	}
	if d.senders, err = delivery.Open(config); err != nil {
		for line := range strings.SplitSeq(err.Error(), "\n") {
			wrong.add("%s", strings.Replace(line, ": is missing", " is missing", 1)) // as the others say it
		}
	}
	return d, wrong.withoutEchoes(), nil
}

// checkProjects refuses what serve must not serve.
func checkProjects(ctx context.Context, in *installation, c *Config) error {
	var wrong problems
	for _, p := range in.engine.Projects() {
		if p.ListsAny() && !c.InsecureAnyOrigin {
			wrong.add("project %s lists the origin *, so every site may use it: name its sites with 'splitpin project set', or set insecure_any_origin", p.ID)
		}
		if err := project.Check(p.Settings); err != nil {
			wrong.add("project %s: %v", p.ID, err)
		}
		if err := project.CheckPasskeySite(p.Settings, in.publicURL); err != nil {
			wrong.add("project %s: %v", p.ID, err)
		}
		lost, err := in.projects.Orphans(ctx, p, p.Settings, in.publicURL)
		if err != nil {
			return err
		}
		for _, o := range lost {
			wrong.add("project %s has %d passkeys for %s, which nobody could use: that is neither the host of public_url nor of a site of the project. Set public_url or the sites right, or give them up with 'splitpin project set %s --give-up-passkeys %s'",
				p.ID, o.Passkeys, o.Site, p.ID, o.Site)
		}
	}
	return wrong.err()
}

func (in *installation) ready(ctx context.Context) error {
	if err := in.agreesOnTime(ctx); err != nil {
		return err
	}
	return in.ring.Usable()
}

func (in *installation) agreesOnTime(ctx context.Context) error {
	asked := now()
	theirs, err := in.store.Now(ctx)
	if err != nil {
		return err
	}
	// The answer was true at some moment since it was asked for.
	if early, late := asked.Sub(theirs), theirs.Sub(now()); max(early, late) > splitpin.ClockSkew {
		return fmt.Errorf("the clock of this machine is %v away from the database's: set one of them right", max(early, late).Round(time.Second))
	}
	return nil
}

// A site is one listener and who answers on it.
type site struct {
	handler  http.Handler
	listener net.Listener
	drain    func() // before it stops; nil: nothing
}

// heapGrowth is by how many percent of lives, the bytes that a collection has to look
// at, the heap may grow until the next one. While they are few, 200 % costs little
// memory and saves a tenth of the processor time of a sign-in. Hundreds of connections
// make them many; then the room that is enough for few is enough, down to Go's own 100 %.
func heapGrowth(lives uint64) int {
	const room, least, most = 12 << 20, 100, 200
	return int(min(max(100*room/max(lives, 1), least), most))
}

// paceCollector sets what heapGrowth says after every collection, as long as the
// process lives.
func paceCollector() {
	lives := []metrics.Sample{{Name: "/gc/heap/live:bytes"}, {Name: "/gc/scan/stack:bytes"}}
	percent := heapGrowth(0)
	debug.SetGCPercent(percent)
	type collected struct{ _ [4]uint64 } // is of use only by being garbage
	var choose func(*collected)
	choose = func(*collected) {
		metrics.Read(lives)
		next := heapGrowth(lives[0].Value.Uint64() + lives[1].Value.Uint64())
		if next/10 != percent/10 { // each change stops the program for a moment
			percent = next
			debug.SetGCPercent(percent)
		}
		runtime.SetFinalizer(&collected{}, choose)
	}
	runtime.SetFinalizer(&collected{}, choose)
}

// serve runs sites and background work until ctx ends. Then the sites say that they
// are not ready and serve on for c.Drain, so that a load balancer notices; then
// requests get ten seconds to end, and the outbox finishes its batch.
func serve(ctx context.Context, log *slog.Logger, in *installation, outbox *delivery.Outbox, c Config, sites ...site) error {
	if os.Getenv("GOGC") == "" {
		paceCollector()
	}
	working, stopWork := context.WithCancel(context.WithoutCancel(ctx))
	done := make(chan struct{})
	go func() { in.work(working, outbox, c.AuditDays, log); close(done) }()
	defer func() {
		stopWork()
		<-done
		for _, s := range outbox.Senders {
			if c, ok := s.(io.Closer); ok {
				c.Close() // says goodbye to the mail server
			}
		}
	}()

	failed := make(chan error, len(sites))
	servers := make([]*http.Server, len(sites))
	for i, s := range sites {
		servers[i] = &http.Server{
			Handler: s.handler, ReadHeaderTimeout: 5 * time.Second, ReadTimeout: 15 * time.Second,
			WriteTimeout: 75 * time.Second, IdleTimeout: 90 * time.Second, MaxHeaderBytes: 32 << 10,
			ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelDebug),
		}
		go func() { failed <- servers[i].Serve(s.listener) }()
	}
	var err error
	select {
	case <-ctx.Done():
		log.Info("stopping")
		for _, s := range sites {
			if s.drain != nil {
				s.drain()
			}
		}
		select {
		case <-time.After(c.Drain):
		case err = <-failed:
			err = fmt.Errorf("serving: %w", err)
		}
	case err = <-failed:
		err = fmt.Errorf("serving: %w", err)
	case err = <-in.over:
		// At once: whatever is under way works on what is not true any more.
		stopWork()
		for _, s := range servers {
			s.Close()
		}
	}
	ending, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
	defer cancel()
	for _, s := range servers {
		if s.Shutdown(ending) != nil {
			s.Close()
		}
	}
	return err
}

// rebindingRefused answers who came over loopback only where they asked for a loopback
// host. Otherwise a page that somebody on this machine has open could read the answers,
// under a name of its own that it lets point here.
func rebindingRefused(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		at, _ := r.Context().Value(http.LocalAddrContextKey).(*net.TCPAddr)
		host, _, err := net.SplitHostPort(r.Host)
		if err != nil {
			host = strings.Trim(r.Host, "[]")
		}
		if at != nil && at.IP.IsLoopback() && !isLoopbackHost(host) {
			http.Error(w, "ask for localhost or 127.0.0.1: this address answers for no other host", http.StatusMisdirectedRequest)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// listen opens an address and says plainly when it is taken.
func listen(address, flag string) (net.Listener, error) {
	l, err := net.Listen("tcp", address)
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		return nil, fmt.Errorf("%s is in use by another program. Stop that one, or choose another address with %s", address, flag)
	case errors.Is(err, os.ErrPermission):
		return nil, fmt.Errorf("this user may not listen on %s. Choose a port above 1023 with %s, and put a proxy before it", address, flag)
	case err != nil:
		return nil, fmt.Errorf("listening on %s: %w", address, err)
	}
	return l, nil
}

func logger(t terminal, c Config) *slog.Logger {
	var level slog.Level
	if c.LogLevel != "" {
		_ = level.UnmarshalText([]byte(c.LogLevel)) // checkServe looked at it
	}
	options := &slog.HandlerOptions{Level: level}
	if c.LogFormat == "json" {
		return slog.New(telemetry.LogHandler(slog.NewJSONHandler(t.err, options)))
	}
	return slog.New(telemetry.LogHandler(slog.NewTextHandler(t.err, options)))
}

// loopbackURL is the address under which this machine reaches a listener.
func loopbackURL(l net.Listener) *url.URL {
	_, port, _ := net.SplitHostPort(l.Addr().String())
	return &url.URL{Scheme: "http", Host: "localhost:" + port}
}
