// Command bench measures Splitpin against the hardware it runs on. It starts the
// real program, puts load on it, and prints one table: operation, ours, limit,
// share of the limit. README.md beside this file says how to read it.
package main

import (
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

type options struct {
	engines []string
	only    []string // names of scenarios; empty: all
	length  time.Duration
	rounds  int
	users   int
	sizes   []int  // further numbers of users, measured in turns with the first
	binary  string // empty: built from this tree
	against string // another binary, measured in turns with the first
	dir     string // where databases lie, on the disk that is measured
}

func main() {
	if body := os.Getenv(plainVariable); body != "" {
		exit(servePlain(body))
	}
	var names []string
	for _, s := range scenarios() {
		names = append(names, s.name)
	}
	o := options{}
	engine := flag.String("engine", "sqlite", "`sqlite`, postgres or both")
	only := flag.String("only", "", "`scenarios`, separated by commas; empty: all of "+strings.Join(names, ", "))
	seconds := flag.Float64("seconds", 3, "length of each run")
	flag.IntVar(&o.rounds, "runs", 3, "runs of each scenario; what is shown are medians")
	flag.IntVar(&o.users, "users", 200_000, "users in the database")
	sizes := flag.String("sizes", "", "further `numbers` of users, separated by commas, measured in turns with the first")
	flag.StringVar(&o.binary, "binary", "", "the `program` to measure; empty: built from this tree")
	flag.StringVar(&o.against, "against", "", "another `program`, measured in turns with the first")
	flag.StringVar(&o.dir, "dir", "", "an existing `folder` on the disk to measure; empty: that of temporary files")
	soak := flag.Duration("soak", 0, "instead, hold 70 % of the largest rate for so long and say what grew")
	jsonFile := flag.String("json", "", "`file` for everything that was found, as JSON")
	markdownFile := flag.String("markdown", "", "`file` for the table, as Markdown: between its marks, where it has them, as README.md of this folder has")
	flag.Parse()
	if flag.NArg() > 0 {
		exit(fmt.Errorf("what is %q? Everything is given by flags: see -help", flag.Arg(0)))
	}
	var wrong []error
	o.length = time.Duration(*seconds * float64(time.Second))
	if o.length <= 0 || o.rounds < 1 || o.users < 1 {
		wrong = append(wrong, errors.New("-seconds, -runs and -users must be above zero"))
	}
	switch *engine {
	case "both":
		o.engines = []string{"sqlite", "postgres"}
	case "sqlite", "postgres":
		o.engines = []string{*engine}
	default:
		wrong = append(wrong, fmt.Errorf("there is no engine %q: say sqlite, postgres or both", *engine))
	}
	for _, name := range listed(*only) {
		if !slices.Contains(names, name) {
			wrong = append(wrong, fmt.Errorf("there is no scenario %q: there are %s", name, strings.Join(names, ", ")))
		}
		o.only = append(o.only, name)
	}
	if slices.Contains(o.only, "open") && !slices.Contains(o.only, "signin") {
		wrong = append(wrong, errors.New("the scenario open takes its rate from the scenario signin: name both"))
	}
	for _, text := range listed(*sizes) {
		n, err := strconv.Atoi(text)
		if err != nil || n < 1 {
			wrong = append(wrong, fmt.Errorf("-sizes: %q is no number of users", text))
		}
		o.sizes = append(o.sizes, n)
	}
	if o.against != "" && len(o.sizes) > 0 {
		wrong = append(wrong, errors.New("-against and -sizes do not go together: two things would differ"))
	}
	if runtime.GOOS != "linux" {
		wrong = append(wrong, errors.New("processor time and bytes written are read from /proc, so this runs on Linux only"))
	}
	if len(wrong) > 0 {
		exit(errors.Join(wrong...))
	}
	exit(o.prepared(func(o options) error {
		if *soak > 0 {
			return o.soak(*soak)
		}
		r, err := o.measure()
		if err != nil {
			return err
		}
		fmt.Print(r.comparison())
		if o.against == "" && len(o.sizes) == 0 {
			fmt.Print("\n", r.markdown())
		}
		if *markdownFile != "" {
			err = r.putMarkdown(*markdownFile)
		}
		if *jsonFile != "" && err == nil {
			var text []byte
			if text, err = json.MarshalIndent(r, "", "\t"); err == nil {
				err = os.WriteFile(*jsonFile, append(text, '\n'), 0o644)
			}
		}
		return err
	}))
}

func listed(text string) []string {
	return slices.DeleteFunc(strings.Split(text, ","), func(s string) bool { return s == "" })
}

// exit ends the program; without an error, as a success.
func exit(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
	os.Exit(0)
}

// progress tells whoever waits what is being done.
func progress(format string, args ...any) {
	fmt.Fprintf(os.Stderr, time.Now().Format("15:04:05 ")+format+"\n", args...)
}

// prepared calls f with a folder and a binary, and clears up.
func (o options) prepared(f func(options) error) (err error) {
	if o.dir, err = os.MkdirTemp(o.dir, "splitpin-bench"); err != nil {
		return err
	}
	defer os.RemoveAll(o.dir)
	interrupted := make(chan os.Signal, 1)
	signal.Notify(interrupted, os.Interrupt, syscall.SIGTERM)
	go func() {
		<-interrupted
		os.RemoveAll(o.dir) // what was started ends with this process
		exit(errors.New("interrupted"))
	}()
	// PostgreSQL, which does not run as root, makes its folder in there.
	if err := errors.Join(os.Chmod(o.dir, 0o711), os.Setenv("TMPDIR", o.dir)); err != nil {
		return err
	}
	if fileSystem(o.dir) == inMemory {
		progress("%s lies in memory, where a sync costs nothing: figures of what writes mean nothing. Name a folder on a disk with -dir", o.dir)
	}
	if o.binary == "" {
		o.binary = filepath.Join(o.dir, "splitpin")
		progress("building")
		// The code is that of the Makefile's. Without -trimpath, which changes paths only, what
		// the tests built is not built again.
		build := exec.Command("go", "build", "-ldflags", "-s -w", "-o", o.binary, "github.com/splitpin/splitpin/cmd/splitpin")
		build.Env = append(os.Environ(), "CGO_ENABLED=0")
		if out, err := build.CombinedOutput(); err != nil {
			return fmt.Errorf("building: %w\n%s", err, out)
		}
	}
	return f(o)
}

// measure runs everything that was asked for.
func (o options) measure() (*report, error) {
	r := &report{Commit: thisCommit(), Date: time.Now(), Machine: thisMachine(o.dir), Users: o.users, Length: o.length, Rounds: o.rounds,
		Engines: map[string][]*figured{}}
	whole := len(o.only) == 0 && o.against == "" && len(o.sizes) == 0
	if whole {
		r.Limits = map[string]*limit{}
		if err := o.limits(r.Limits, hardware()); err != nil {
			return nil, err
		}
		v, err := verifyTokens(o.length / 4)
		if err != nil {
			return nil, fmt.Errorf("measuring package client: %w", err)
		}
		r.Verification = &v
		if r.Binary, err = factsOf(o.binary); err != nil {
			return nil, fmt.Errorf("looking at the binary: %w", err)
		}
	}
	for _, engine := range o.engines {
		if err := o.engine(engine, whole, r); err != nil {
			return nil, fmt.Errorf("%s: %w", engine, err)
		}
	}
	r.Rows = r.rows()
	return r, nil
}

// limits runs limit programs, as often as the scenarios, and keeps medians.
func (o options) limits(found map[string]*limit, programs []limitProgram) error {
	runs := map[string][]*limit{}
	for range o.rounds {
		for _, p := range programs {
			l, err := p.measure(o.dir, o.length/4)
			if err != nil {
				return err
			}
			progress("limit %-10s %8.0f/s  p50 %.3f ms  CPU %.1f µs", p.name, l.Rate, l.P50, l.CPU)
			runs[p.name] = append(runs[p.name], l)
		}
	}
	for name, list := range runs {
		middle := func(of func(*limit) float64) float64 {
			values := make([]float64, len(list))
			for i, l := range list {
				values[i] = of(l)
			}
			return median(values)
		}
		found[name] = &limit{Title: list[0].Title, Rate: middle(func(l *limit) float64 { return l.Rate }),
			P50: middle(func(l *limit) float64 { return l.P50 }), CPU: middle(func(l *limit) float64 { return l.CPU })}
	}
	return nil
}

// target makes the server of a binary with a number of users.
func (o options) target(engine, label, binary string, users int) (*server, error) {
	dir, err := os.MkdirTemp(o.dir, engine)
	if err != nil {
		return nil, err
	}
	var db database = &sqliteFile{path: filepath.Join(dir, "data", "splitpin.db")}
	if engine == "postgres" {
		if db, err = newPostgres(); err != nil {
			return nil, err
		}
	}
	began := time.Now()
	s, err := newServer(label, binary, dir, users, db)
	if err != nil {
		db.close()
		return nil, err
	}
	progress("%s: %s users are there after %.1f s", engine, grouped(float64(users)), time.Since(began).Seconds())
	return s, nil
}

// targets makes what is to be measured in turns.
func (o options) targets(engine string) (servers []*server, err error) {
	add := func(label, binary string, users int) {
		if err != nil {
			return
		}
		var s *server
		if s, err = o.target(engine, label, binary, users); err == nil {
			servers = append(servers, s)
		}
	}
	add("ours", o.binary, o.users)
	if o.against != "" {
		add("against", o.against, o.users)
	}
	if len(o.sizes) > 0 && err == nil {
		servers[0].name = grouped(float64(o.users)) + " users"
	}
	for _, users := range o.sizes {
		add(grouped(float64(users))+" users", o.binary, users)
	}
	return servers, err
}

// engine measures one engine.
func (o options) engine(engine string, whole bool, r *report) (err error) {
	servers, err := o.targets(engine)
	defer func() {
		for _, s := range servers {
			err = errors.Join(err, s.close())
		}
	}()
	if err != nil {
		return err
	}
	if p, ok := servers[0].db.(*postgres); ok && whole {
		if err := o.limits(r.Limits, bareTransactions(p)); err != nil {
			return err
		}
	}
	rests := make([]*rest, len(servers))
	if whole || len(o.sizes) > 0 {
		for i, s := range servers {
			if rests[i], err = s.measureRest(5); err != nil {
				return err
			}
			progress("%s %s: ready after %.1f ms, %.1f MiB idle, %.0f bytes a user", engine, s.name, rests[i].Start, rests[i].Idle, rests[i].PerUser)
		}
	}
	found, err := o.inRounds(engine, servers)
	if err != nil {
		return err
	}
	for i, s := range servers {
		f := &figured{Label: s.name, Rest: rests[i], Scenarios: map[string]*summary{}}
		for name, runs := range found[i] {
			f.Scenarios[name] = summarise(runs)
		}
		r.Engines[engine] = append(r.Engines[engine], f)
	}
	return nil
}

// inRounds runs the scenarios, every round on each server in turn.
func (o options) inRounds(engine string, servers []*server) (found []map[string][]*measurement, err error) {
	plain, err := newPlain(servers[0])
	if err != nil {
		return nil, err
	}
	defer plain.kill()
	for range servers {
		found = append(found, map[string][]*measurement{})
	}
	for round := range o.rounds {
		peak := make([]float64, len(servers))
		for _, c := range scenarios() {
			if len(o.only) > 0 && !slices.Contains(o.only, c.name) {
				continue
			}
			for turn := range servers {
				i := (turn + round) % len(servers) // nobody always comes first
				s := servers[i]
				if c.plain {
					s = plain
				}
				c.rate = c.share * peak[i]
				m, err := s.run(c.load, o.length/4, o.length)
				if err != nil {
					return nil, fmt.Errorf("%s: %w", c.name, err)
				}
				if c.name == "signin" {
					peak[i] = m.Rate
				}
				found[i][c.name] = append(found[i][c.name], m)
				progress("%s %-10s %7.0f/s  p50 %.2f  p99 %.2f ms  CPU %.0f + %.0f µs%s", engine, c.name, m.Rate, m.P50, m.P99, m.CPU, m.Generator, failures(m.Errors))
			}
		}
	}
	return found, nil
}
