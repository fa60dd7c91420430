// Command cmd writes web/dist from web/src. It is run by go generate in web.
package main

import (
	"fmt"
	"os"
	"path/filepath"

	"github.com/splitpin/splitpin/web/internal/bundle"
)

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run() error {
	files, err := bundle.Build("src")
	if err != nil {
		return err
	}
	if err := os.RemoveAll("dist"); err != nil {
		return fmt.Errorf("emptying dist: %w", err)
	}
	if err := os.MkdirAll("dist", 0o755); err != nil {
		return fmt.Errorf("making dist: %w", err)
	}
	for name, body := range files {
		if err := os.WriteFile(filepath.Join("dist", name), body, 0o644); err != nil {
			return fmt.Errorf("writing %s: %w", name, err)
		}
	}
	return nil
}
