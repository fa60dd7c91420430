package sdk_test

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/evanw/esbuild/pkg/api"
)

// tool finds a program, or skips the test where there is none: go test needs Go
// alone, make test installs the rest.
func tool(t *testing.T, name string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		if os.Getenv("E2E") != "" {
			t.Fatalf("%s is missing, and make test leaves nothing out", name)
		}
		t.Skipf("left out: %s is missing; make test obtains it", name)
	}
	path, err = filepath.Abs(path)
	if err != nil {
		t.Fatal(err)
	}
	return path
}

func run(t *testing.T, dir string, name string, args ...string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), name, args...)
	cmd.Dir = dir
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%s %s: %v\n%s", filepath.Base(name), strings.Join(args, " "), err, out)
	}
	return string(out)
}

// compiled returns a copy of this folder with dist in it, as make sdk makes it.
func compiled(t *testing.T) string {
	t.Helper()
	tsc := tool(t, "../e2e/node_modules/.bin/tsc")
	dir := t.TempDir()
	for _, name := range []string{"src", "test"} {
		if err := os.CopyFS(filepath.Join(dir, name), os.DirFS(name)); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{"package.json", "tsconfig.json", "README.md", "LICENSE"} {
		write(t, filepath.Join(dir, name), read(t, name))
	}
	run(t, dir, tsc, "-p", ".")
	return dir
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

// The tests of test/, by node's own runner.
func TestInNode(t *testing.T) {
	node := tool(t, "node")
	dir := compiled(t)
	files, err := filepath.Glob(filepath.Join(dir, "test", "*.test.js"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no tests found (%v)", err)
	}
	out := run(t, dir, node, append([]string{"--test"}, files...)...)
	if m := regexp.MustCompile(`(?m)^. pass (\d+)$`).FindStringSubmatch(out); m == nil || len(m[1]) < 2 {
		t.Errorf("fewer than ten tests ran:\n%s", out)
	}
}

// The package as npm makes it, in somebody's empty project: imported in node,
// bundled, and type-checked, with every example of its page.
func TestPackage(t *testing.T) {
	npm, node, tsc := tool(t, "npm"), tool(t, "node"), tool(t, "../e2e/node_modules/.bin/tsc")
	dir, project := compiled(t), t.TempDir()
	var packed []struct {
		Filename string
		Size     int
		Files    []struct{ Path string }
	}
	if err := json.Unmarshal([]byte(run(t, dir, npm, "pack", "--json", "--loglevel=error", "--pack-destination", project)), &packed); err != nil || len(packed) != 1 {
		t.Fatalf("npm pack: %v", err)
	}

	// Nothing but what somebody needs who imports it.
	var listed []string
	for _, f := range packed[0].Files {
		listed = append(listed, f.Path)
	}
	slices.Sort(listed)
	want := []string{"LICENSE", "README.md", "package.json"}
	sources, err := filepath.Glob("src/*.ts")
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range sources {
		name := strings.TrimSuffix(filepath.Base(s), ".ts")
		want = append(want, "dist/"+name+".js", "dist/"+name+".d.ts")
	}
	slices.Sort(want)
	differ(t, "the package", listed, want)
	if packed[0].Size > 40<<10 {
		t.Errorf("the package has %d bytes, want at most 40 KiB", packed[0].Size)
	}

	write(t, filepath.Join(project, "package.json"), `{"name": "shop", "private": true, "type": "module"}`)
	run(t, project, npm, "install", "--offline", "--no-audit", "--no-fund", "--loglevel=error", packed[0].Filename)
	installed, err := os.ReadDir(filepath.Join(project, "node_modules"))
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range installed {
		if e.Name()[0] != '.' && e.Name() != "splitpin" {
			t.Errorf("%s came along: the library has no dependencies", e.Name())
		}
	}
	err = filepath.WalkDir(filepath.Join(project, "node_modules", "splitpin"), func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		if text := read(t, path); strings.Contains(text, dir) || strings.Contains(text, project) {
			t.Errorf("%s names a folder of the machine that built it", d.Name())
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}

	// In node, where there is no browser: as when a page is rendered on a server.
	write(t, filepath.Join(project, "server.js"), `
		import { Splitpin, SplitpinError, isPassing } from "splitpin";
		const auth = new Splitpin({ server: "https://id.example.com", project: "p", storage: "local" });
		if ((await auth.current()) !== null || (await auth.accessToken()) !== null) throw new Error("somebody is signed in");
		const error = await auth.fetch("https://elsewhere.example/").catch((e) => e);
		if (!(error instanceof SplitpinError) || error.code !== "origin_not_listed" || isPassing(error)) throw error;
		await import("splitpin/dist/session.js").then(() => { throw new Error("the inside can be imported"); }, () => {});
		console.log("fine");`)
	if out := run(t, project, node, "server.js"); strings.TrimSpace(out) != "fine" {
		t.Errorf("node printed %q", out)
	}

	// Under strict types, every example of the page, and of the package's own.
	count := 0
	for _, page := range []string{"../docs/sdk.md", "README.md"} {
		for _, m := range regexp.MustCompile("(?ms)^```ts\n(.*?)^```").FindAllStringSubmatch(read(t, page), -1) {
			count++
			write(t, filepath.Join(project, fmt.Sprintf("example%d.ts", count)), m[1])
		}
	}
	if count < 7 {
		t.Errorf("only %d examples found: does this test still see them?", count)
	}
	write(t, filepath.Join(project, "wrong.ts"), `
		import { Splitpin, SplitpinError } from "splitpin";
		// @ts-expect-error: the project is missing
		new Splitpin({ server: "https://id.example.com" });
		const auth = new Splitpin({ server: "https://id.example.com", project: "p" });
		// @ts-expect-error: it may be null
		(await auth.accessToken()).length;
		// @ts-expect-error: it may be null
		(await auth.handleRedirect()).user;
		const tries: number | undefined = new SplitpinError("wrong_code").triesLeft;
		console.log(tries);`)
	for _, resolution := range []string{"bundler", "nodenext"} {
		module := map[string]string{"bundler": "esnext", "nodenext": "nodenext"}[resolution]
		write(t, filepath.Join(project, "tsconfig.json"), `{"compilerOptions": {"strict": true, "exactOptionalPropertyTypes": true, "noUncheckedIndexedAccess": true,
			"target": "es2022", "lib": ["es2022", "dom", "dom.iterable"], "module": "`+module+`", "moduleResolution": "`+resolution+`", "types": [], "noEmit": true}, "include": ["*.ts"]}`)
		run(t, project, tsc, "-p", ".")
	}

	// Bundled as apps do.
	write(t, filepath.Join(project, "app.js"), `import { Splitpin } from "splitpin"; globalThis.auth = new Splitpin({ server: "https://id.example.com", project: "p" });`)
	result := api.Build(api.BuildOptions{
		EntryPoints: []string{filepath.Join(project, "app.js")}, AbsWorkingDir: project, Bundle: true, Format: api.FormatESModule, Target: api.ES2022,
		MinifyWhitespace: true, MinifyIdentifiers: true, MinifySyntax: true, LogLevel: api.LogLevelSilent,
	})
	if len(result.Errors)+len(result.Warnings) > 0 {
		t.Fatalf("bundling: %v %v", result.Errors, result.Warnings)
	}
	bundle := result.OutputFiles[0].Contents
	if !bytes.Contains(bundle, []byte("Passkeys do not work on this page.")) {
		t.Error("bundled, the library has no sentences for its errors")
	}
	var small bytes.Buffer
	z, err := gzip.NewWriterLevel(&small, gzip.BestCompression)
	if err != nil {
		t.Fatal(err)
	}
	z.Write(bundle)
	z.Close()
	t.Logf("the package has %d bytes; an app grows by %d bytes, %d compressed", packed[0].Size, len(bundle), small.Len())
	if small.Len() > 9<<10 {
		t.Errorf("an app grows by %d bytes compressed, want at most 9 KiB", small.Len())
	}
}
