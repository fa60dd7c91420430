// Command splitpin is passwordless sign-in that you host yourself.
//
//	splitpin dev      try it: a server, an inbox and a demo on this machine
//	splitpin serve    the same for production, from a configuration
//
// and commands to manage projects, users and keys. Run it with --help.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"syscall"

	"github.com/alecthomas/kong"

	"github.com/splitpin/splitpin"
	"github.com/splitpin/splitpin/keyring"
)

// A command line. Each command is a type with a Run method in a file of its own.
type commandLine struct {
	Dev     devCommand     `cmd:"" help:"Run everything on this machine, to try it and to develop against it."`
	Serve   serveCommand   `cmd:"" help:"Run for production, from a configuration file and the environment."`
	Project projectCommand `cmd:"" help:"Make and change projects: the apps that people sign in to."`
	User    userCommand    `cmd:"" help:"Import, show, export and delete users."`
	Message messageCommand `cmd:"" help:"See what became of messages."`
	Keys    keysCommand    `cmd:"" help:"List and rotate the keys that sign tokens."`
	Audit   auditCommand   `cmd:"" help:"See what happened."`
	Master  masterCommand  `cmd:"" name:"master-key" help:"Make and change the key that wraps all others."`
	Backup  backupCommand  `cmd:"" help:"Write everything to one file, while servers run, or check such a file."`
	Restore restoreCommand `cmd:"" help:"Make an installation of a backup."`
	Doctor  doctorCommand  `cmd:"" help:"Look whether a running server is set up well, from outside and inside."`
	DB      dbCommand      `cmd:"" name:"db" help:"Move the installation to another database."`
	Version versionCommand `cmd:"" help:"Print the version."`
}

// A terminal is where a command reads and writes.
type terminal struct {
	in       io.Reader
	out, err io.Writer
}

func (t terminal) printf(format string, args ...any) { fmt.Fprintf(t.out, format, args...) }

func main() {
	// Samples of allocations cost memory and time for a profile that is hardly ever
	// asked for; serve takes them where it shows profiles.
	runtime.MemProfileRate = 0
	ctx, stop := context.WithCancel(context.Background())
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	go func() { // the first signal asks to end, a second one ends
		<-signals
		stop()
		<-signals
		fmt.Fprintln(os.Stderr, "splitpin: ended at once")
		os.Exit(1)
	}()
	os.Exit(run(ctx, terminal{os.Stdin, os.Stdout, os.Stderr}, os.Args[1:]))
}

// run is main without the process. It returns the exit status: 0 when all went
// well, 1 when it did not, 2 for a command line that makes no sense.
func run(ctx context.Context, t terminal, args []string) (status int) {
	var line commandLine
	exited := -1
	parser, err := kong.New(&line,
		kong.Name("splitpin"),
		kong.Description("Passwordless sign-in that you host yourself."),
		kong.Writers(t.out, t.err),
		kong.Exit(func(code int) { exited = code }),
		kong.ConfigureHelp(kong.HelpOptions{Compact: true}),
		kong.Vars{"groups": groupNames()},
		kong.BindTo(ctx, (*context.Context)(nil)),
		kong.Bind(t),
	)
	if err != nil {
		fmt.Fprintln(t.err, "splitpin:", err)
		return 2
	}
	switch {
	case len(args) == 0:
		args = []string{"--help"}
	case args[0] == "help":
		args = append(args[1:len(args):len(args)], "--help")
	case len(args) == 1 && args[0] == "--version":
		args = []string{"version"}
	}
	parsed, err := parser.Parse(args)
	if exited >= 0 {
		return exited
	}
	if err != nil {
		help := "splitpin --help"
		if wrong := (*kong.ParseError)(nil); errors.As(err, &wrong) && wrong.Context != nil && wrong.Context.Selected() != nil {
			help = "splitpin " + wrong.Context.Selected().Path() + " --help"
		}
		fmt.Fprintf(t.err, "splitpin: %v\nRun '%s' to see what there is.\n", err, help)
		return 2
	}
	err = parsed.Run()
	if exit := (*exit)(nil); errors.As(err, &exit) {
		if exit.err != nil {
			fmt.Fprintln(t.err, "splitpin:", explain(exit.err))
		}
		return exit.status
	}
	if err != nil {
		fmt.Fprintln(t.err, "splitpin:", explain(err))
		return 1
	}
	return 0
}

// An exit is the error of a command that chooses its exit status; err, where it is
// not nil, is said before.
type exit struct {
	status int
	err    error
}

func (e *exit) Error() string { return fmt.Sprintf("exit status %d: %v", e.status, e.err) }

// explain prefers the words that were written for people, and puts several
// complaints into a list.
func explain(err error) string {
	if all := parts(err); len(all) > 1 {
		text := fmt.Sprintf("%d things are wrong:", len(all))
		for _, e := range all {
			text += "\n  - " + explain(e)
		}
		return text
	}
	var known *splitpin.Error
	if errors.As(err, &known) && known.Kind != splitpin.Unavailable {
		return known.Message
	}
	return err.Error()
}

// parts returns what errors.Join put together, at any depth.
func parts(err error) []error {
	joined, ok := err.(interface{ Unwrap() []error })
	if !ok || err.Error() != errors.Join(joined.Unwrap()...).Error() { // fmt.Errorf with several %w has words of its own
		return []error{err}
	}
	var all []error
	for _, e := range joined.Unwrap() {
		all = append(all, parts(e)...)
	}
	return all
}

type versionCommand struct{}

func (versionCommand) Run(t terminal) error {
	t.printf("splitpin %s\n", programVersion())
	return nil
}

// programVersion names what runs.
func programVersion() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		info = &debug.BuildInfo{}
	}
	return versionOf(info)
}

// unnamedVersion is the version of every build that says nothing of its source, as with
// -buildvcs=false.
const unnamedVersion = "of an unknown revision: none was recorded when it was built"

// versionOf names the release that was built, or else the revision, as far as the
// build wrote it down.
func versionOf(info *debug.BuildInfo) string {
	// v0.0.0-… is what go build makes up where there is no tag.
	if v := info.Main.Version; v != "" && v != "(devel)" && !strings.HasPrefix(v, "v0.0.0-") {
		return v
	}
	vcs := map[string]string{}
	for _, s := range info.Settings {
		vcs[s.Key] = s.Value
	}
	text := unnamedVersion
	if revision := vcs["vcs.revision"]; revision != "" {
		text = "revision " + revision[:min(len(revision), 12)]
		if day, _, ok := strings.Cut(vcs["vcs.time"], "T"); ok {
			text += " of " + day
		}
		if vcs["vcs.modified"] == "true" {
			text += ", modified"
		}
	}
	return text
}

// where says which installation a command works on: the data folder of
// development, or the one that a configuration names.
type where struct {
	Data   string `help:"Data folder. Empty: the configuration's, else splitpin-data." placeholder:"DIR"`
	Config string `help:"Configuration file of the server." placeholder:"FILE" env:"SPLITPIN_CONFIG_FILE"`
}

// open opens the installation. The server may be running meanwhile.
func (w where) open(ctx context.Context) (*installation, error) { return w.opened(ctx, false) }

// opened is open; where there is no database yet and may is set, it makes one.
func (w where) opened(ctx context.Context, may bool) (*installation, error) {
	c, masters, err := w.config(may)
	if err != nil {
		return nil, err
	}
	public := ""
	if !c.shared() {
		public = servedAt(c.Data)
	}
	if origin, ok := splitpin.ParseOrigin(c.PublicURL); ok {
		public = origin // as serve keeps it
	}
	in, err := open(ctx, c.database(), public, c.storeOptions(), masters, nil)
	if err != nil {
		return nil, err
	}
	in.development = c.development()
	return in, nil
}

// openProject opens the installation for a command about one project, by its API key id;
// empty: the default one.
func (w where) openProject(ctx context.Context, id string) (*installation, *splitpin.Project, error) {
	in, err := w.open(ctx)
	if err != nil {
		return nil, nil, err
	}
	p, err := in.project(id)
	if err != nil {
		in.Close()
		return nil, nil, err
	}
	return in, p, nil
}

// config is the configuration with its master keys. Only with may it makes a folder for a
// database that is not there: a folder that was mistyped must not become one.
func (w where) config(may bool) (Config, []keyring.Master, error) {
	c, err := w.load()
	if err != nil {
		return c, nil, err
	}
	configured := c.MasterKey != "" || c.MasterKeyFile != ""
	if c.shared() && !configured {
		return c, nil, errors.New("master_key_file is missing: name the file that the servers of this database have")
	}
	if _, err := os.Stat(c.database()); err != nil && !c.shared() {
		if !configured {
			return c, nil, fmt.Errorf("there is no database in %s. Name the configuration of the server with --config, or the folder with --data; "+
				"'splitpin dev' makes a folder to try things in", c.Data)
		}
		if !may {
			return c, nil, fmt.Errorf("there is no database in %s. 'splitpin project create' makes one with the first project; if there should be one, look at data in the configuration, or at --data", c.Data)
		}
		// The first project of a server can be made before its first start.
		if err := prepareFolder(c.Data, "serve"); err != nil {
			return c, nil, err
		}
	}
	masters, err := c.masters()
	if err == nil && !configured { // a folder of development has its key beside the data
		var m keyring.Master
		m, err = keyring.ReadMasterFile(filepath.Join(c.Data, masterFile))
		if errors.Is(err, fs.ErrNotExist) {
			err = fmt.Errorf("the data folder %s has no master key beside it, so it belongs to a server: name its configuration with --config", c.Data)
		}
		masters = []keyring.Master{m}
	}
	return c, masters, err
}

// load reads the configuration as far as commands need it.
func (w where) load() (Config, error) {
	c, wrong, err := loadConfig(w.Config, environ())
	if err != nil {
		return c, err
	}
	if w.Data != "" {
		c.Data = w.Data
	}
	c.standard()
	c.Postgres.Command = true
	c.checkMaster(&wrong)
	c.checkDatabase(&wrong)
	return c, wrong.err()
}

// settings is config for who works on the data as they are, and needs no key.
func (w where) settings() (Config, error) {
	c, err := w.load()
	if err != nil {
		return c, err
	}
	if _, err := os.Stat(c.database()); err != nil && !c.shared() {
		return c, fmt.Errorf("there is no database in %s. Name the configuration of the server with --config, or the folder with --data", c.Data)
	}
	return c, nil
}

// environ is the environment less what is for the command line itself.
func environ() []string {
	return slices.DeleteFunc(os.Environ(), func(pair string) bool {
		return strings.HasPrefix(pair, "SPLITPIN_CONFIG_FILE=") || strings.HasPrefix(pair, "SPLITPIN_PROJECT_SECRET=")
	})
}

// colour reports whether somebody looks at the output who wants colours.
func (t terminal) colour() bool {
	return os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb" && watched(t.out)
}

// watched reports whether what is written there goes to a terminal.
func watched(w io.Writer) bool {
	f, ok := w.(*os.File)
	if !ok {
		return false
	}
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}
