package signin

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	"github.com/splitpin/splitpin"
)

// ErrProject refuses a project that is not here.
var ErrProject = &splitpin.Error{Kind: splitpin.Unauthenticated, Code: "unknown_project",
	Message: "This server knows no project with that key. Check the API key id."}

// directory is every project, as of one version of the store. It is replaced,
// never changed.
type directory struct {
	version  int64
	byID     map[string]*splitpin.Project
	byNumber map[int64]*splitpin.Project
	standard *splitpin.Project
}

// Project returns a project by its API key id; the empty id is the default
// project. What it returns is shared and must not be changed. Its error is
// ErrProject.
func (e *Engine) Project(id string) (*splitpin.Project, error) {
	d := e.projects.Load()
	p := d.byID[id]
	if id == "" {
		p = d.standard
	}
	if p == nil {
		return nil, ErrProject
	}
	return p, nil
}

// ProjectByNumber returns a project by the store's number.
func (e *Engine) ProjectByNumber(n int64) (*splitpin.Project, error) {
	if p := e.projects.Load().byNumber[n]; p != nil {
		return p, nil
	}
	return nil, ErrProject
}

// refreshIfChanged reloads projects and keys when another process, or another
// node, changed one.
func (e *Engine) refreshIfChanged(ctx context.Context) error {
	version, err := e.store.Version(ctx)
	if err != nil {
		return fmt.Errorf("asking for the version of the settings: %w", err)
	}
	if version == e.projects.Load().version {
		return nil
	}
	return e.reload(ctx)
}

func (e *Engine) reload(ctx context.Context) error {
	// The version is read first: what changes in between is loaded again, never
	// missed.
	version, err := e.store.Version(ctx)
	if err != nil {
		return fmt.Errorf("asking for the version of the settings: %w", err)
	}
	if err := e.tokens.Reload(ctx); err != nil { // and the data keys
		return fmt.Errorf("loading the keys: %w", err)
	}
	projects, err := e.store.Projects(ctx)
	if err != nil {
		return fmt.Errorf("loading the projects: %w", err)
	}
	d := &directory{version: version, byID: map[string]*splitpin.Project{}, byNumber: map[int64]*splitpin.Project{}}
	for _, p := range projects {
		d.byID[p.ID], d.byNumber[p.Number] = p, p
		if p.Default {
			d.standard = p
		}
	}
	e.projects.Store(d)
	return nil
}

// Projects returns every project, by number.
func (e *Engine) Projects() []*splitpin.Project {
	d := e.projects.Load()
	out := make([]*splitpin.Project, 0, len(d.byNumber))
	for _, p := range d.byNumber {
		out = append(out, p)
	}
	slices.SortFunc(out, func(a, b *splitpin.Project) int { return cmp.Compare(a.Number, b.Number) })
	return out
}
