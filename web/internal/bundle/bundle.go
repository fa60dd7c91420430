// Package bundle builds the browser code: TypeScript and style sheets of
// web/src become the files of web/dist, and the images are drawn. It is used by go generate and by the
// test that holds the committed files against their sources, never by the
// program, which embeds the result.
package bundle

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"strings"

	"github.com/evanw/esbuild/pkg/api"

	"github.com/splitpin/splitpin/web/internal/picture"
)

// entries are the files that pages load; what they import comes along.
// A line for each, so that two that are added do not meet.
var entries = []string{
	"form.ts",
	"phoneform.ts",
	"widget.ts",
	"inbox.ts",
	"step.ts",
	"landing.ts",
	"account.ts",
	"webauthn.ts",
	"style.css",
	"modal.css",
}

// copied are taken over as they are.
var copied = []string{"icon.svg"}

// Build returns the files of web/dist by name. src is the folder web/src.
func Build(src string) (map[string][]byte, error) {
	src, err := filepath.Abs(src)
	if err != nil {
		return nil, fmt.Errorf("finding the sources: %w", err)
	}
	var points []string
	for _, e := range entries {
		points = append(points, filepath.Join(src, e))
	}
	result := api.Build(api.BuildOptions{
		EntryPoints:       points,
		AbsWorkingDir:     src,
		Outdir:            "dist", // never written: only names the results
		Bundle:            true,
		MinifyWhitespace:  true,
		MinifyIdentifiers: true,
		MinifySyntax:      true,
		Charset:           api.CharsetUTF8,
		Format:            api.FormatIIFE,
		// The oldest browsers that are promised; passkeys need them too.
		Engines: []api.Engine{
			{Name: api.EngineChrome, Version: "90"},
			{Name: api.EngineFirefox, Version: "90"},
			{Name: api.EngineSafari, Version: "14.1"},
		},
		// All of them have it. Chrome 90 errs only where arguments are spread after one, for
		// which esbuild would write out every one; a test sees that nothing here does that.
		Supported:     map[string]bool{"optional-chain": true},
		LegalComments: api.LegalCommentsNone,
		Write:         false,
		LogLevel:      api.LogLevelSilent,
	})
	if len(result.Errors) > 0 {
		texts := api.FormatMessages(result.Errors, api.FormatMessagesOptions{Kind: api.ErrorMessage})
		return nil, fmt.Errorf("bundling: %s", strings.Join(texts, "\n"))
	}
	files := map[string][]byte{}
	for _, f := range result.OutputFiles {
		files[filepath.Base(f.Path)] = f.Contents
	}
	for _, name := range copied {
		b, err := os.ReadFile(filepath.Join(src, name))
		if err != nil {
			return nil, fmt.Errorf("reading %s: %w", name, err)
		}
		files[name] = b
	}
	pictures, err := picture.Draw()
	if err != nil {
		return nil, err
	}
	maps.Copy(files, pictures)
	return files, nil
}
