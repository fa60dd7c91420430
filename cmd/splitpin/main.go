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
	"os"
	"os/signal"
	"path/filepath"
	"runtime/debug"
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
	Keys    keysCommand    `cmd:"" help:"List and rotate the keys that sign tokens."`
	Master  masterCommand  `cmd:"" name:"master-key" help:"Make and change the key that wraps all others."`
	Version versionCommand `cmd:"" help:"Print the version."`
}

// A terminal is where a command reads and writes.
type terminal struct {
	in       io.Reader
	out, err io.Writer
}

func (t terminal) printf(format string, args ...any) { fmt.Fprintf(t.out, format, args...) }

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := run(ctx, terminal{os.Stdin, os.Stdout, os.Stderr}, os.Args[1:])
	stop()
	os.Exit(code)
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
		kong.UsageOnError(),
		kong.ConfigureHelp(kong.HelpOptions{Compact: true}),
		kong.BindTo(ctx, (*context.Context)(nil)),
		kong.Bind(t),
	)
	if err != nil {
		fmt.Fprintln(t.err, "splitpin:", err)
		return 2
	}
	if len(args) == 0 {
		args = []string{"--help"}
	}
	parsed, err := parser.Parse(args)
	if exited >= 0 {
		return exited
	}
	if err != nil {
		fmt.Fprintf(t.err, "splitpin: %v\nRun 'splitpin --help' for the commands.\n", err)
		return 2
	}
	if err := parsed.Run(); err != nil {
		fmt.Fprintln(t.err, "splitpin:", explain(err))
		return 1
	}
	return 0
}

// explain prefers the words that were written for people.
func explain(err error) string {
	var known *splitpin.Error
	if errors.As(err, &known) && known.Kind != splitpin.Unavailable {
		return known.Message
	}
	return err.Error()
}

type versionCommand struct{}

func (versionCommand) Run(t terminal) error {
	version := "development"
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" {
		version = info.Main.Version
	}
	t.printf("splitpin %s\n", version)
	return nil
}

// where says which installation a command works on: the data folder of
// development, or the one that a configuration names.
type where struct {
	Data   string `help:"Data folder. Empty: the configuration's, else splitpin-data." placeholder:"DIR"`
	Config string `help:"Configuration file of the server." placeholder:"FILE" env:"SPLITPIN_CONFIG_FILE"`
}

// open opens the installation. The server may be running meanwhile.
func (w where) open(ctx context.Context) (*installation, error) {
	c, masters, err := w.config()
	if err != nil {
		return nil, err
	}
	return open(ctx, c.Data, c.PublicURL, masters)
}

func (w where) config() (Config, []keyring.Master, error) {
	c, wrong := loadConfig(w.Config, environ())
	if w.Data != "" {
		c.Data = w.Data
	}
	c.standard()
	if err := wrong.err(); err != nil {
		return c, nil, err
	}
	if _, err := os.Stat(filepath.Join(c.Data, databaseFile)); err != nil {
		return c, nil, fmt.Errorf("there is no database in %s: start 'splitpin dev' or 'splitpin serve' once, or name the folder with --data", c.Data)
	}
	masters, err := c.masters()
	if err == nil && len(masters) == 0 { // a folder of development has its key beside the data
		var m keyring.Master
		m, err = keyring.ReadMasterFile(filepath.Join(c.Data, masterFile))
		masters = []keyring.Master{m}
	}
	return c, masters, err
}

// environ is the environment less what is for the command line itself.
func environ() []string {
	var out []string
	for _, pair := range os.Environ() {
		if len(pair) < len("SPLITPIN_CONFIG_FILE") || pair[:len("SPLITPIN_CONFIG_FILE")] != "SPLITPIN_CONFIG_FILE" {
			out = append(out, pair)
		}
	}
	return out
}

// colour reports whether somebody looks at the output who wants colours.
func (t terminal) colour() bool {
	f, ok := t.out.(*os.File)
	if !ok || os.Getenv("NO_COLOR") != "" || os.Getenv("TERM") == "dumb" {
		return false
	}
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}
