package signin_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// Every method that acts for a caller begins by telling who observes, under a name of
// its own, and ends by telling what it returned; docs/operate/watching.md lists the
// names. A method acts for a caller when it takes a context, but for Step, which
// nobody asked for.
func TestStepsAreObserved(t *testing.T) {
	files, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	var steps []string
	for _, name := range files {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		file, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range file.Decls {
			f, ok := d.(*ast.FuncDecl)
			if !ok || !f.Name.IsExported() || f.Name.Name == "Step" || f.Name.Name == "Told" || !ofEngine(f) || !takesContext(f) {
				continue
			}
			step := observed(f)
			switch {
			case step == "":
				t.Errorf("%s: %s is not observed: begin with ctx, done := e.observe(ctx, name); defer func() { done(err) }(), and name the result err", name, f.Name.Name)
			case slices.Contains(steps, step):
				t.Errorf("%s: another method is called %q too", name, step)
			default:
				steps = append(steps, step)
			}
		}
	}
	page, err := os.ReadFile("../docs/operate/watching.md")
	if err != nil {
		t.Fatal(err)
	}
	line := regexp.MustCompile("(?m)^\\| `splitpin_steps_total` \\|[^|]*\\|([^|]*?)`code` is").FindSubmatch(page)
	if line == nil {
		t.Fatal("docs/operate/watching.md has no line about splitpin_steps_total")
	}
	var listed []string
	for _, m := range regexp.MustCompile("`(\\w+)`").FindAllSubmatch(line[1], -1) {
		listed = append(listed, string(m[1]))
	}
	slices.Sort(steps)
	slices.Sort(listed)
	if !slices.Equal(steps, listed) {
		t.Errorf("the engine observes %q; docs/operate/watching.md lists %q", steps, listed)
	}
}

func ofEngine(f *ast.FuncDecl) bool {
	if f.Recv == nil {
		return false
	}
	pointer, ok := f.Recv.List[0].Type.(*ast.StarExpr)
	return ok && pointer.X.(*ast.Ident).Name == "Engine"
}

func takesContext(f *ast.FuncDecl) bool {
	if len(f.Type.Params.List) == 0 {
		return false
	}
	selected, ok := f.Type.Params.List[0].Type.(*ast.SelectorExpr)
	return ok && selected.Sel.Name == "Context"
}

// observed returns the name under which a method is observed from its first line to
// its end, or nothing.
func observed(f *ast.FuncDecl) string {
	results := f.Type.Results.List
	if last := results[len(results)-1]; len(last.Names) != 1 || last.Names[0].Name != "err" || len(f.Body.List) < 2 {
		return ""
	}
	assign, ok := f.Body.List[0].(*ast.AssignStmt)
	if !ok || len(assign.Lhs) != 2 || assign.Lhs[0].(*ast.Ident).Name != "ctx" {
		return ""
	}
	call, ok := assign.Rhs[0].(*ast.CallExpr)
	if !ok || len(call.Args) != 2 {
		return ""
	}
	if method, ok := call.Fun.(*ast.SelectorExpr); !ok || method.Sel.Name != "observe" {
		return ""
	}
	if _, ok := f.Body.List[1].(*ast.DeferStmt); !ok {
		return ""
	}
	name, ok := call.Args[1].(*ast.BasicLit)
	if !ok {
		return ""
	}
	step, _ := strconv.Unquote(name.Value)
	return step
}
