// Package apitest holds answers of a running server against the OpenAPI document
// of /v1, so that the document cannot say one thing and the server another.
package apitest

import (
	"bytes"
	"errors"
	"fmt"
	"mime"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/goccy/go-yaml"
	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/splitpin/splitpin/api"
)

// A Description is the document, ready to hold answers against.
type Description struct {
	operations map[string]operation // "GET /v1/user"
}

type operation struct {
	responses map[string]response // by status, or "default"
}

type response struct {
	content map[string]*jsonschema.Schema // by media type; empty: no body
}

// Load reads the document once for the whole process.
var Load = sync.OnceValues(func() (*Description, error) { return parse(api.Description) })

const where = "openapi.json"

func parse(text []byte) (*Description, error) {
	asJSON, err := yaml.YAMLToJSON(text)
	if err != nil {
		return nil, fmt.Errorf("reading the description: %w", err)
	}
	document, err := jsonschema.UnmarshalJSON(bytes.NewReader(asJSON))
	if err != nil {
		return nil, fmt.Errorf("reading the description: %w", err)
	}
	c := jsonschema.NewCompiler()
	c.DefaultDraft(jsonschema.Draft2020)
	c.AssertFormat()
	if err := c.AddResource(where, document); err != nil {
		return nil, fmt.Errorf("reading the description: %w", err)
	}
	d := &Description{operations: map[string]operation{}}
	for path, methods := range at(document, "paths") {
		for method, o := range methods.(map[string]any) {
			op := operation{responses: map[string]response{}}
			for status, r := range at(o, "responses") {
				place := []string{"paths", path, method, "responses", status}
				if ref, ok := r.(map[string]any)["$ref"].(string); ok {
					name := strings.TrimPrefix(ref, "#/components/responses/")
					place = []string{"components", "responses", name}
					r = at(document, place...)
				}
				resp := response{content: map[string]*jsonschema.Schema{}}
				for media := range at(r, "content") {
					schema, err := c.Compile(where + pointer(append(place, "content", media, "schema")))
					if err != nil {
						return nil, fmt.Errorf("reading the answer %s of %s %s: %w", status, method, path, err)
					}
					resp.content[media] = schema
				}
				op.responses[status] = resp
			}
			d.operations[strings.ToUpper(method)+" "+path] = op
		}
	}
	return d, nil
}

func at(node any, path ...string) map[string]any {
	for _, p := range path {
		m, _ := node.(map[string]any)
		node = m[p]
	}
	m, _ := node.(map[string]any)
	return m
}

func pointer(path []string) string {
	var b strings.Builder
	b.WriteByte('#')
	for _, p := range path {
		b.WriteString("/" + strings.NewReplacer("~", "~0", "/", "~1", "{", "%7B", "}", "%7D").Replace(p))
	}
	return b.String()
}

// Operations lists what the document describes, as "GET /v1/user", sorted.
func (d *Description) Operations() []string {
	var out []string
	for name := range d.operations {
		out = append(out, name)
	}
	slices.Sort(out)
	return out
}

// ErrUndescribed is returned by Check for a request that the document does not
// know.
var ErrUndescribed = errors.New("the description does not know this operation")

// Check holds one answer against the document. path is that of the request, with
// or without the base path of a project.
func (d *Description) Check(method, path string, status int, header http.Header, body []byte) error {
	name, op, ok := d.match(method, path)
	if !ok {
		return fmt.Errorf("%s %s: %w", method, path, ErrUndescribed)
	}
	resp, ok := op.responses[strconv.Itoa(status)]
	if !ok {
		if resp, ok = op.responses["default"]; !ok || status < 400 {
			return fmt.Errorf("%s: the description knows no answer %d", name, status)
		}
	}
	if len(resp.content) == 0 {
		if len(body) > 0 {
			return fmt.Errorf("%s: the answer %d has a body that the description does not know", name, status)
		}
		return nil
	}
	media, _, err := mime.ParseMediaType(header.Get("Content-Type"))
	schema := resp.content[media]
	if err != nil || schema == nil {
		return fmt.Errorf("%s: the description knows no answer %d of type %q", name, status, header.Get("Content-Type"))
	}
	value, err := jsonschema.UnmarshalJSON(bytes.NewReader(body))
	if err != nil {
		return fmt.Errorf("%s: the answer %d is no JSON: %w", name, status, err)
	}
	if err := schema.Validate(value); err != nil {
		return fmt.Errorf("%s: the answer %d is not as described: %w", name, status, err)
	}
	return nil
}

// match finds the operation of a request: the most literal path wins.
func (d *Description) match(method, path string) (string, operation, bool) {
	if rest, ok := strings.CutPrefix(path, "/p/"); ok {
		if _, below, ok := strings.Cut(rest, "/"); ok {
			path = "/" + below
		}
	}
	parts := strings.Split(path, "/")
	best, variables := "", len(parts)+1
	for name := range d.operations {
		m, pattern, _ := strings.Cut(name, " ")
		if n, ok := fits(strings.Split(pattern, "/"), parts); ok && m == method && n < variables {
			best, variables = name, n
		}
	}
	return best, d.operations[best], best != ""
}

func fits(pattern, parts []string) (variables int, ok bool) {
	if len(pattern) != len(parts) {
		return 0, false
	}
	for i, p := range pattern {
		switch {
		case strings.HasPrefix(p, "{"):
			variables++
		case p != parts[i]:
			return 0, false
		}
	}
	return variables, true
}
