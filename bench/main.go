// Command bench measures Splitpin against the hardware it runs on. It starts the
// real program, puts load on it, and prints one table: operation, ours, limit,
// share of the limit. README.md beside this file says how to read it.
package main

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"
)

type options struct {
	engines []string
	only    []string // names of scenarios; empty: all
	length  time.Duration
	warm    time.Duration
	runs    int
	users   int
	binary  string // empty: built from this tree
	against string // another binary, measured in turns
	dir     string
}

func main() {
	if body := os.Getenv(plainVariable); body != "" {
		fatal(servePlain(body))
	}
	o := options{}
	var names []string
	for _, s := range scenarios() {
		names = append(names, s.name)
	}
	engine := flag.String("engine", "sqlite", "sqlite, postgres or both")
	only := flag.String("only", "", "scenarios, separated by commas: "+strings.Join(names, ", "))
	seconds := flag.Float64("seconds", 4, "length of each run")
	flag.IntVar(&o.runs, "runs", 3, "runs of each scenario; what is shown are medians")
	flag.IntVar(&o.users, "users", 200_000, "users in the database")
	flag.StringVar(&o.binary, "binary", "", "the program to measure; empty: built from this tree")
	flag.StringVar(&o.against, "against", "", "another binary, measured in turns with the first; shows ratios")
	flag.Parse()
	if flag.NArg() > 0 {
		fatal(fmt.Errorf("what is %q? Everything is given by flags: see -help", flag.Arg(0)))
	}
	o.length = time.Duration(*seconds * float64(time.Second))
	o.warm = min(o.length/4, 2*time.Second)
	switch *engine {
	case "both":
		o.engines = []string{"sqlite", "postgres"}
	case "sqlite", "postgres":
		o.engines = []string{*engine}
	default:
		fatal(fmt.Errorf("there is no engine %q: say sqlite, postgres or both", *engine))
	}
	if *only != "" {
		o.only = strings.Split(*only, ",")
	}
	for _, name := range o.only {
		if !slices.Contains(names, name) {
			fatal(fmt.Errorf("there is no scenario %q: there are %s", name, strings.Join(names, ", ")))
		}
	}
	if slices.Contains(o.only, "open") && !slices.Contains(o.only, "signin") {
		fatal(errors.New("the scenario open takes its rate from the scenario signin: name both"))
	}
	fatal(bench(o))
}

// fatal ends the program; without an error, as a success.
func fatal(err error) {
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

func bench(o options) (err error) {
	if runtime.GOOS != "linux" {
		return fmt.Errorf("processor time and bytes written are read from /proc, so this runs on Linux only")
	}
	if o.dir, err = os.MkdirTemp("", "splitpin-bench"); err != nil {
		return err
	}
	defer os.RemoveAll(o.dir)
	if o.binary == "" {
		o.binary = filepath.Join(o.dir, "splitpin")
		progress("building")
		build := exec.Command("go", "build", "-trimpath", "-ldflags", "-s -w", "-o", o.binary, "github.com/splitpin/splitpin/cmd/splitpin")
		if out, err := build.CombinedOutput(); err != nil {
			return fmt.Errorf("building: %w\n%s", err, out)
		}
	}
	for _, engine := range o.engines {
		if err := o.engine(engine); err != nil {
			return err
		}
	}
	return nil
}

// open makes the database of an engine.
func (o options) open(engine, dir string) (database, error) {
	switch engine {
	case "sqlite":
		return &sqliteFile{path: filepath.Join(dir, "data", "splitpin.db")}, nil
	}
	return nil, fmt.Errorf("the engine %s is not there yet", engine)
}

// engine measures one engine.
func (o options) engine(engine string) error {
	binaries := []string{o.binary}
	if o.against != "" {
		binaries = append(binaries, o.against)
	}
	var servers []*server
	for i, binary := range binaries {
		dir := filepath.Join(o.dir, fmt.Sprintf("%s-%d", engine, i))
		db, err := o.open(engine, dir)
		if err != nil {
			return err
		}
		began := time.Now()
		s, err := newServer(binary, binary, dir, o.users, db)
		if err != nil {
			return err
		}
		defer s.close()
		progress("%s: %d users after %.1f s", engine, o.users, time.Since(began).Seconds())
		servers = append(servers, s)
	}
	plain, err := newPlain(servers[0])
	if err != nil {
		return err
	}
	defer plain.kill()

	found := map[string][][]*measurement{} // by scenario, by server
	for round := range o.runs {
		peak := make([]float64, len(servers))
		for _, c := range scenarios() {
			if len(o.only) > 0 && !slices.Contains(o.only, c.name) {
				continue
			}
			if found[c.name] == nil {
				found[c.name] = make([][]*measurement, len(servers))
			}
			for i := range servers {
				i = (i + round) % len(servers) // nobody always comes first
				s := servers[i]
				if c.plain {
					s = plain
				}
				c.rate = c.share * peak[i]
				m, err := s.run(c.load, o.warm, o.length)
				if err != nil {
					return fmt.Errorf("%s on %s: %w", c.name, engine, err)
				}
				if c.name == "signin" {
					peak[i] = m.Rate
				}
				found[c.name][i] = append(found[c.name][i], m)
				progress("%s %-10s %7.0f/s  p50 %.2f  p99 %.2f ms  CPU %.0f + %.0f µs%s", engine, c.name, m.Rate, m.P50, m.P99, m.CPU, m.Generator, failures(m.Errors))
			}
		}
	}
	for _, c := range scenarios() {
		if runs := found[c.name]; runs != nil {
			fmt.Printf("%s\n", c.title)
			for _, f := range figures {
				fmt.Printf("  %-14s", f.name)
				for i := range runs {
					fmt.Printf(" %10.2f", median(values(runs[i], f.of)))
				}
				if len(runs) == 2 {
					ours, other := values(runs[0], f.of), values(runs[1], f.of)
					ratios := make([]float64, len(ours))
					for i := range ours {
						ratios[i] = ours[i] / other[i]
					}
					fmt.Printf("   ratio %.3f (%.3f to %.3f)", median(ratios), slices.Min(ratios), slices.Max(ratios))
				}
				fmt.Println()
			}
		}
	}
	return nil
}
