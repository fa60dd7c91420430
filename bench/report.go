package main

import (
	"bytes"
	"debug/buildinfo"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"time"
)

// A report is everything one invocation found.
type report struct {
	Commit  string        `json:"commit"`
	Date    time.Time     `json:"date"`
	Machine machine       `json:"machine"`
	Users   int           `json:"users"`
	Length  time.Duration `json:"length_ns"`
	Rounds  int           `json:"rounds"`

	Limits       map[string]*limit     `json:"limits,omitempty"`
	Verification *verification         `json:"client,omitempty"`
	Binary       *binaryFacts          `json:"binary,omitempty"`
	Engines      map[string][]*figured `json:"engines"` // of each, one for every target
	Rows         []row                 `json:"rows,omitempty"`
}

// figured is what was found of one target: a binary with a number of users.
type figured struct {
	Label     string              `json:"label"`
	Scenarios map[string]*summary `json:"scenarios"`
	Rest      *rest               `json:"rest,omitempty"`
}

// rest is what a server costs while it does nothing.
type rest struct {
	Start   float64 `json:"start_ms"` // until ready, median
	Idle    float64 `json:"idle_mib"`
	PerUser float64 `json:"disk_bytes_per_user,omitempty"`
}

type machine struct {
	CPU        string  `json:"cpu"`
	Cores      int     `json:"cores"`
	Memory     float64 `json:"memory_gib"`
	FileSystem string  `json:"file_system"`
	Kernel     string  `json:"kernel"`
	Go         string  `json:"go"`
	Load       string  `json:"load"` // average of the last minute, before anything ran
}

type binaryFacts struct {
	Size    float64 `json:"size_mib"`
	Modules int     `json:"modules"`
}

func thisMachine(dir string) machine {
	m := machine{Cores: runtime.GOMAXPROCS(0), Go: runtime.Version()}
	text := func(path string) string { b, _ := os.ReadFile(path); return string(b) }
	for line := range strings.Lines(text("/proc/cpuinfo")) {
		if name, value, _ := strings.Cut(line, ":"); strings.TrimSpace(name) == "model name" {
			m.CPU = strings.TrimSpace(value)
		}
	}
	var kib float64
	fmt.Sscanf(text("/proc/meminfo"), "MemTotal: %f", &kib)
	m.Memory = kib / (1 << 20)
	m.Kernel = strings.TrimSpace(text("/proc/sys/kernel/osrelease"))
	m.Load, _, _ = strings.Cut(text("/proc/loadavg"), " ")
	m.FileSystem = fileSystem(dir)
	return m
}

const inMemory = "tmpfs"

func fileSystem(dir string) string {
	var s syscall.Statfs_t
	if err := syscall.Statfs(dir, &s); err != nil {
		return "unknown"
	}
	names := map[int64]string{0xef53: "ext4", 0x01021994: inMemory, 0x58465342: "xfs", 0x9123683e: "btrfs", 0x794c7630: "overlay", 0x2fc12fc1: "zfs"}
	if name, ok := names[int64(s.Type)]; ok {
		return name
	}
	return fmt.Sprintf("type %#x", s.Type)
}

func thisCommit() string {
	out, err := exec.Command("git", "rev-parse", "--short", "HEAD").Output()
	if err != nil {
		return "unknown"
	}
	commit := string(bytes.TrimSpace(out))
	if dirty, _ := exec.Command("git", "status", "--porcelain", "--untracked-files=no").Output(); len(dirty) > 0 {
		commit += " with changes"
	}
	return commit
}

func factsOf(binary string) (*binaryFacts, error) {
	info, err := os.Stat(binary)
	if err != nil {
		return nil, err
	}
	built, err := buildinfo.ReadFile(binary)
	if err != nil {
		return nil, err
	}
	return &binaryFacts{float64(info.Size()) / (1 << 20), len(built.Deps)}, nil
}

// A row is one line of the table: ours, what the hardware allows, and what was
// promised. Zero stands for what does not apply.
type row struct {
	Engine    string  `json:"engine"`
	Operation string  `json:"operation"`
	Unit      string  `json:"unit"`
	Ours      float64 `json:"ours"`
	Spread    float64 `json:"spread,omitempty"`
	Limit     float64 `json:"limit,omitempty"`
	LimitIs   string  `json:"limit_is,omitempty"`
	Budget    float64 `json:"budget,omitempty"`
	More      bool    `json:"more_is_better"`
}

// share is how much of the limit is reached: 1 would be all.
func (r row) share() float64 {
	switch {
	case r.Limit == 0 || r.Ours == 0:
		return 0
	case r.More:
		return r.Ours / r.Limit
	}
	return r.Limit / r.Ours
}

// met says whether the budget is kept, which is a floor where more is better and
// a ceiling elsewhere. Empty where there is no budget.
func (r row) met() string {
	switch {
	case r.Budget == 0:
		return ""
	case r.More && r.Ours >= r.Budget, !r.More && r.Ours <= r.Budget:
		return "met"
	case r.More:
		return "missed: too low"
	}
	return "missed: too high"
}

// budget is what the project promises for each engine; see issue 3.
type budget struct {
	signInCPU, signInRate, signInP99, alone       float64
	refreshCPU, refreshRate, refreshP99           float64
	lookUps, logged, perUser, start, idle, loaded float64
}

var budgets = map[string]budget{
	"sqlite": {signInCPU: 420, signInRate: 2500, signInP99: 25, alone: 1.4, refreshCPU: 200, refreshRate: 7000, refreshP99: 15,
		lookUps: 28_000, logged: 6 << 10, perUser: 0.3 * 1024, start: 15, idle: 26, loaded: 48},
	"postgres": {signInCPU: 1200, signInRate: 1100, signInP99: 100, alone: 4, refreshCPU: 400, refreshRate: 3000,
		lookUps: 8000, logged: 6 << 10, perUser: 0.6 * 1024, start: 40, idle: 26, loaded: 48},
}

// A floor is the least that an operation can cost on this machine: so many
// requests, signatures and statements, each at what the limit programs took.
type floor struct{ requests, signatures, statements, commits float64 }

var (
	signInFloor  = floor{requests: 3, signatures: 2, statements: 10, commits: 3}
	refreshFloor = floor{requests: 1, signatures: 2, statements: 3, commits: 1}
)

func (f floor) String() string {
	return fmt.Sprintf("%g plain requests, %g signatures, %g bare statements", f.requests, f.signatures, f.statements)
}

// rows makes the table of what was measured.
func (r *report) rows() (rows []row) {
	for _, engine := range []string{"sqlite", "postgres"} {
		if of := r.Engines[engine]; len(of) > 0 {
			rows = append(rows, r.engineRows(engine, of[0])...)
		}
	}
	if v := r.Verification; v != nil {
		rows = append(rows,
			row{"", "`client` verifies a token, first sight", "µs", v.FirstSight / 1000, 0, v.Bare / 1000, "a bare P-256 verification", 1.15 * v.Bare / 1000, false},
			row{"", "`client` verifies a token, seen before", "µs", v.SeenBefore / 1000, 0, 0, "", 1.5, false})
	}
	if b := r.Binary; b != nil {
		rows = append(rows,
			row{"", "binary, stripped", "MiB", b.Size, 0, 0, "", 34, false},
			row{"", "modules linked", "", float64(b.Modules), 0, 0, "", 65, false})
	}
	return rows
}

func (r *report) engineRows(engine string, of *figured) (rows []row) {
	b := budgets[engine]
	plain, plain1 := of.Scenarios["plain"], of.Scenarios["plain1"]
	cores := float64(r.Machine.Cores)
	// cpu is the floor of an operation's processor time in µs, zero where a part of
	// it was not measured. On PostgreSQL statements come in bare transactions.
	cpu := func(f floor) float64 {
		statements := r.Limits["commit32"]
		n := f.statements
		if engine == "postgres" {
			statements, n = r.Limits["postgres32"], f.commits
		}
		if plain == nil || statements == nil || r.Limits["sign"] == nil {
			return 0
		}
		return f.requests*plain.CPU + f.signatures*r.Limits["sign"].CPU + n*statements.CPU
	}
	add := func(operation, unit string, ours, spread, limit float64, is string, budget float64, more bool) {
		if limit == 0 {
			is = ""
		}
		rows = append(rows, row{engine, operation, unit, ours, spread, limit, is, budget, more})
	}
	// rateAndCPU are the rows of an operation that writes.
	rateAndCPU := func(name, operation string, f floor, rate, processor, p99, logged float64) {
		s := of.Scenarios[name]
		if s == nil {
			return
		}
		least, is := cpu(f), f.String()
		if engine == "postgres" {
			is = fmt.Sprintf("%g plain requests, %g signatures, %g bare transactions", f.requests, f.signatures, f.commits)
		}
		most := 0.0
		if least > 0 {
			most = cores * 1e6 / (least + s.Generator)
		}
		add(operation+", 32 connections", "a second", s.Rate, s.Spread, most, "that processor time and the generator's, on all cores", rate, true)
		add(operation+", processor time of server and database", "µs", s.CPU, 0, least, is, processor, false)
		add(operation+", processor time of the generator and its mail sink", "µs", s.Generator, 0, 0, "", 0, false)
		add(operation+", p99", "ms", s.P99, 0, 0, "", p99, false)
		add(operation+", appended to the log", "bytes", s.Logged, 0, 0, "", logged, false)
		add(operation+", all that went to the disk", "bytes", s.Disk, 0, 0, "", 0, false)
		add(operation+", durable commits, shared ones by their share", "", s.Commits, 0, 0, "", 0, false)
		if wide := of.Scenarios[name+"320"]; wide != nil {
			add(operation+", 320 connections, share of the rate at 32", "%", 100*wide.Rate/s.Rate, wide.Spread, 0, "", 80, true)
			add(operation+", 320 connections, p99", "ms", wide.P99, 0, 0, "", 0, false)
		}
	}
	rateAndCPU("signin", "whole sign-in", signInFloor, b.signInRate, b.signInCPU, b.signInP99, b.logged)
	if s := of.Scenarios["campus"]; s != nil {
		limit, is := 0.0, ""
		if many := of.Scenarios["signin"]; many != nil {
			limit, is = many.Rate, "the same from 10,000 addresses"
		}
		add("whole sign-in, all from one client address", "a second", s.Rate, s.Spread, limit, is, 0, true)
	}
	if s := of.Scenarios["domain320"]; s != nil {
		limit := 0.0
		if many := of.Scenarios["signin320"]; many != nil {
			limit = many.Rate
		}
		add("whole sign-in, 320 connections, all at one mail domain", "a second", s.Rate, s.Spread, limit, "the same at ten domains", 0, true)
		add("whole sign-in, 320 connections, all at one mail domain, p99", "ms", s.P99, 0, 0, "", 0, false)
	}
	if s := of.Scenarios["open"]; s != nil {
		add("whole sign-in at 70 % of that rate (open model), p50", "ms", s.P50, 0, 0, "", 0, false)
		add("whole sign-in at 70 % of that rate (open model), p99", "ms", s.P99, 0, 0, "", 0, false)
	}
	if s := of.Scenarios["alone"]; s != nil {
		limit := 0.0
		durable := r.Limits["fsync"]
		if engine == "postgres" {
			durable = r.Limits["postgres1"]
		}
		if plain1 != nil && durable != nil && r.Limits["sign"] != nil {
			limit = signInFloor.requests*plain1.P50 + signInFloor.commits*durable.P50 + signInFloor.signatures*r.Limits["sign"].P50
		}
		add("whole sign-in, one person alone, p50", "ms", s.P50, s.Spread, limit, "3 plain requests, 3 durable writes, 2 signatures", b.alone, false)
	}
	rateAndCPU("refresh", "refresh with rotation", refreshFloor, b.refreshRate, b.refreshCPU, b.refreshP99, 0)
	for _, l := range []struct {
		name, title string
		budget      float64
	}{{"user", "look-up of a token's user", b.lookUps}, {"sessions", "look-up of a user's sessions", b.lookUps}, {"address", "look-up of a user by address", b.lookUps}, {"keys", "key set", 0}} {
		s := of.Scenarios[l.name]
		if s == nil {
			continue
		}
		limit := 0.0
		if plain != nil {
			limit = plain.Rate
			if l.name == "keys" {
				l.budget = 0.9 * limit
			}
		}
		add(l.title, "a second", s.Rate, s.Spread, limit, "a bare net/http handler", l.budget, true)
	}
	largest, refused := 0.0, 0
	for _, s := range of.Scenarios {
		if s != plain && s != plain1 {
			largest = max(largest, s.Memory)
		}
		for _, n := range s.Errors {
			refused += n
		}
	}
	if i := of.Rest; i != nil {
		add("start to ready", "ms", i.Start, 0, 0, "", b.start, false)
		add("memory of the server, idle", "MiB", i.Idle, 0, 0, "", b.idle, false)
		if i.PerUser > 0 {
			add("disk for an idle user", "bytes", i.PerUser, 0, 0, "", b.perUser, false)
		}
	}
	add("memory of the server, the most under any load", "MiB", largest, 0, 0, "", b.loaded, false)
	add("requests refused, in all", "", float64(refused), 0, 0, "", 0, false)
	return rows
}

// signature is what a P-256 signature cost on the machine of the budgets, in µs of one
// core. Machines of the same kind differ by a third from hour to hour.
const signature = 31

// markdown writes the table as bench/README.md has it.
func (r *report) markdown() string {
	var b strings.Builder
	m := r.Machine
	fmt.Fprintf(&b, "Commit `%s`, %s: %d cores (%s), %.0f GiB, %s, Linux %s, %s; %s users; medians of %d runs of %v. Load of the machine before: %s.\n\n",
		r.Commit, r.Date.Format("2 January 2006, 15:04"), m.Cores, m.CPU, m.Memory, m.FileSystem, m.Kernel, m.Go, grouped(float64(r.Users)), r.Rounds, r.Length, m.Load)
	if sign := r.Limits["sign"]; sign != nil {
		quick := signature / sign.CPU
		fmt.Fprintf(&b, "The budgets were set where a P-256 signature took %.0f µs of one core; in this run it took %.1f. As if on that machine: times × %.2f, rates ÷ %.2f.\n\n",
			float64(signature), sign.CPU, quick, quick)
	}
	engine := "?"
	for _, l := range r.Rows {
		if l.Engine != engine {
			engine = l.Engine
			title := map[string]string{"sqlite": "SQLite", "postgres": "PostgreSQL", "": "Either engine"}[engine]
			fmt.Fprintf(&b, "| %s | ours | spread | limit | share | budget | verdict |\n|---|--:|--:|--:|--:|--:|---|\n", title)
		}
		spread, limit, share, budget := "", "", "", ""
		if l.Spread > 0 {
			spread = fmt.Sprintf("%.0f %%", 100*l.Spread)
		}
		if l.Limit > 0 {
			limit, share = grouped(l.Limit), fmt.Sprintf("%.0f %%", 100*l.share())
		}
		if l.Budget > 0 {
			sign := "≤"
			if l.More {
				sign = "≥"
			}
			budget = sign + " " + grouped(l.Budget)
		}
		name := l.Operation
		if l.LimitIs != "" {
			name += " (limit: " + l.LimitIs + ")"
		}
		fmt.Fprintf(&b, "| %s | %s | %s | %s | %s | %s | %s |\n", name, strings.TrimSpace(grouped(l.Ours)+" "+l.Unit), spread, limit, share, budget, l.met())
		if i := slices.Index(r.Rows, l); i+1 < len(r.Rows) && r.Rows[i+1].Engine != engine {
			b.WriteString("\n")
		}
	}
	if len(r.Limits) > 0 {
		b.WriteString("\n| limit program | a second | p50 | processor time of one |\n|---|--:|--:|--:|\n")
		for _, p := range append(hardware(), bareTransactions(nil)...) {
			if l := r.Limits[p.name]; l != nil {
				fmt.Fprintf(&b, "| %s | %s | %.3g ms | %s µs |\n", l.Title, grouped(l.Rate), l.P50, grouped(l.CPU))
			}
		}
	}
	return b.String()
}

// The table stands between these lines of a document that has them.
const (
	figuresBegin = "<!-- figures: written by go run ./bench -markdown -->\n"
	figuresEnd   = "<!-- end of figures -->\n"
)

// putMarkdown writes the table into the document at path, in the place of the last
// one, or makes a document of it alone.
func (r *report) putMarkdown(path string) error {
	text := r.markdown()
	document, err := os.ReadFile(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	before, rest, begins := strings.Cut(string(document), figuresBegin)
	_, after, ends := strings.Cut(rest, figuresEnd)
	if begins && ends {
		text = before + figuresBegin + text + figuresEnd + after
	}
	return os.WriteFile(path, []byte(text), 0o644)
}

// comparison writes what several targets did side by side, with the medians of the
// ratios of each pair of runs.
func (r *report) comparison() string {
	var b strings.Builder
	for _, engine := range []string{"sqlite", "postgres"} {
		targets := r.Engines[engine]
		for _, c := range scenarios() {
			if len(targets) == 0 || targets[0].Scenarios[c.name] == nil {
				continue
			}
			fmt.Fprintf(&b, "%s, %s\n%16s", engine, c.title, "")
			for i, t := range targets {
				fmt.Fprintf(&b, "%16s", t.Label)
				if i > 0 {
					fmt.Fprintf(&b, "%28s", "ratio to the first")
				}
			}
			b.WriteString("\n")
			for _, f := range figures {
				first := values(targets[0].Scenarios[c.name].Runs, f.of)
				if slices.Min(first) == 0 {
					continue // there is nothing to take a ratio of
				}
				fmt.Fprintf(&b, "%16s", f.name)
				for i, t := range targets {
					these := values(t.Scenarios[c.name].Runs, f.of)
					fmt.Fprintf(&b, "%16s", grouped(median(these)))
					if i > 0 {
						ratios := make([]float64, len(these))
						for j := range these {
							ratios[j] = these[j] / first[j]
						}
						fmt.Fprintf(&b, "%10.3f (%.3f to %.3f)", median(ratios), slices.Min(ratios), slices.Max(ratios))
					}
				}
				b.WriteString("\n")
			}
			for _, t := range targets {
				if e := failures(t.Scenarios[c.name].Errors); e != "" {
					fmt.Fprintf(&b, "%16s refused:%s\n", t.Label, e)
				}
			}
		}
		for _, t := range targets {
			if t.Rest != nil && len(targets) > 1 {
				fmt.Fprintf(&b, "%s, %s: ready after %.1f ms, %.1f MiB idle\n", engine, t.Label, t.Rest.Start, t.Rest.Idle)
			}
		}
	}
	return b.String()
}

// grouped writes a number with three figures that count, or all of them where it
// is large, in groups.
func grouped(v float64) string {
	switch {
	case v == 0:
		return "0"
	case v < 100:
		return fmt.Sprintf("%.3g", v)
	}
	digits := fmt.Sprintf("%.0f", v)
	for i := len(digits) - 3; i > 0; i -= 3 {
		digits = digits[:i] + "," + digits[i:]
	}
	return digits
}

// measureRest measures what a server costs that does nothing. It starts it anew.
func (s *server) measureRest(starts int) (*rest, error) {
	var times, idle []float64
	for range starts {
		if err := s.stop(); err != nil {
			return nil, err
		}
		took, err := s.start()
		if err != nil {
			return nil, err
		}
		times = append(times, float64(took.Microseconds())/1000)
		time.Sleep(1200 * time.Millisecond) // its background steps have come by once
		idle = append(idle, float64(residentOf(s.pid()))/(1<<20))
	}
	perUser, err := s.db.perUser()
	if err != nil {
		return nil, fmt.Errorf("measuring what a user takes: %w", err)
	}
	return &rest{Start: median(times), Idle: median(idle), PerUser: float64(perUser)}, nil
}
