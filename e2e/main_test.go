package e2e

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"
)

// What the tests run. Set once by TestMain.
var (
	root       string // of the repository
	scratch    string // a folder for what is built; gone when all tests are done
	built      string // splitpin, as anyone would build it
	backend    string // examples/go, likewise
	chromium   string
	python     string
	node       string
	stracePath string
	deadlines  = struct{ step, start time.Duration }{step: 20 * time.Second, start: 30 * time.Second}
)

// TestMain obtains what every test shares: the binaries and the paths of the
// programs they meet. Under a plain "go test ./..." it runs nothing, and go test
// says so; under "make test" (E2E=1) a missing program is a failure, so that
// nothing is ever skipped unnoticed.
func TestMain(m *testing.M) {
	if os.Getenv("E2E") != "1" {
		// With a pattern that matches no test, "go test" writes [no tests to run]
		// beside the package. It shows this line under -v only.
		fmt.Println("e2e: left out: the end-to-end tests need Chromium, Node.js and Python packages; run: make test")
		flag.Parse()
		if err := flag.Set("test.run", "^$"); err != nil {
			panic(err) // the flag is package testing's own
		}
		os.Exit(m.Run())
	}
	code, err := run(m)
	if err != nil {
		fmt.Fprintln(os.Stderr, "e2e:", err)
		code = 1
	}
	os.Exit(code)
}

func run(m *testing.M) (int, error) {
	if err := find(); err != nil {
		return 1, err
	}
	var err error
	if scratch, err = os.MkdirTemp("", "splitpin-e2e-"); err != nil {
		return 1, err
	}
	defer os.RemoveAll(scratch)
	built = filepath.Join(scratch, "splitpin")
	backend = filepath.Join(scratch, "backend")
	for out, pkg := range map[string]string{built: "./cmd/splitpin", backend: "./examples/go"} {
		if err := build(out, pkg); err != nil {
			return 1, err
		}
	}
	return m.Run(), nil
}

// find locates what the tests drive, and names everything that is missing.
func find() error {
	var missing []error
	program := func(what, variable, fallback string) string {
		name := os.Getenv(variable)
		if name == "" {
			name = fallback
		}
		path, err := exec.LookPath(name)
		if err != nil {
			missing = append(missing, fmt.Errorf("%s is missing (%q; %s names another)", what, name, variable))
		}
		return path
	}
	chromium = program("Chromium", "CHROMIUM", "chromium")
	python = program("Python 3", "PYTHON", "/usr/bin/python3")
	node = program("Node.js", "NODE", "node")
	stracePath = program("strace", "STRACE", "strace")

	wd, err := os.Getwd()
	if err != nil {
		return err
	}
	root = filepath.Dir(wd)
	for _, folder := range []string{"e2e", "examples/express"} {
		if _, err := os.Stat(filepath.Join(root, folder, "node_modules")); err != nil {
			missing = append(missing, fmt.Errorf("the npm packages of %s are not installed", folder))
		}
	}
	if len(missing) > 0 {
		return fmt.Errorf("%w\nrun: make test", errors.Join(missing...))
	}
	return nil
}

// build builds one command of this module.
func build(out, pkg string, flags ...string) error {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, "go", append(append([]string{"build", "-o", out}, flags...), pkg)...)
	cmd.Dir = root
	if text, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("building %s: %w\n%s", pkg, err, text)
	}
	return nil
}
