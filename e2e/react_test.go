package e2e

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"

	"github.com/evanw/esbuild/pkg/api"
)

// The published cotter-react, unmodified, in a small React app: its provider, its form,
// and its guard of a page.

const reactApp = `
import React from "react";
import ReactDOM from "react-dom";
import { CotterEnum } from "cotter";
import { CotterContext, CotterProvider, LoginForm, withAuthenticationRequired } from "cotter-react";

// Where modules are imported: the provider asks for tokens before its props could say where.
const { api, js, key, method } = Object.fromEntries(new URLSearchParams(location.search));
Object.assign(CotterEnum, { BackendURL: api, JSURL: js, AssetURL: js, WorkerURL: js });

const Dashboard = withAuthenticationRequired(() => {
  const { user, logout } = React.useContext(CotterContext);
  return <main><h1>Hello {user && user.identifier}</h1><button id="out" onClick={() => logout()}>Sign out</button></main>;
}, { loginPagePath: "/" + location.search, loadingComponent: () => <p>Loading</p> });

function Login() {
  const { isLoggedIn } = React.useContext(CotterContext);
  return <main>
    <h1>{isLoggedIn ? "Signed in" : "Sign in"}</h1>
    <LoginForm type="EMAIL" authMethod={method} width={300} height={400}
      additionalFields={[{ name: "company", label: "Your company" }]}
      styles={{ input_label: { color: "rgb(200, 0, 0)" } }}
      onSuccess={(payload) => { window.payload = payload; }} onError={(error) => { window.failed = String(error); }} />
  </main>;
}

ReactDOM.render(
  <CotterProvider apiKeyID={key}>{location.pathname === "/dashboard" ? <Dashboard /> : <Login />}</CotterProvider>,
  document.getElementById("app"),
);
`

func startReactApp(t *testing.T) *httptest.Server {
	t.Helper()
	result := api.Build(api.BuildOptions{
		Stdin:  &api.StdinOptions{Contents: reactApp, ResolveDir: filepath.Join(root, "e2e"), Sourcefile: "app.jsx", Loader: api.LoaderJSX},
		Bundle: true, Format: api.FormatIIFE, Platform: api.PlatformBrowser,
		Define: map[string]string{"process.env.NODE_ENV": `"production"`, "global": "window"},
	})
	if len(result.Errors) > 0 {
		t.Fatalf("bundling: %s", strings.Join(api.FormatMessages(result.Errors, api.FormatMessagesOptions{}), "\n"))
	}
	script := result.OutputFiles[0].Contents
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/app.js":
			w.Header().Set("Content-Type", "text/javascript; charset=utf-8")
			w.Write(script)
		case "/", "/dashboard":
			w.Header().Set("Content-Type", "text/html; charset=utf-8")
			fmt.Fprint(w, `<!doctype html><html lang="en"><head><meta charset="utf-8"><title>Shop</title></head><body><div id="app"></div><script src="/app.js"></script></body></html>`)
		default:
			w.WriteHeader(http.StatusNoContent)
		}
	}))
	t.Cleanup(s.Close)
	return s
}

func TestReact(t *testing.T) {
	t.Parallel()
	d, b, app := startDev(t), startBrowser(t), startReactApp(t)
	p := d.createProject(t, "Shop", app.URL)
	query := "?api=" + p.cotter() + "&js=" + p.url + "&key=" + p.id + "&method=OTP"

	// The guard leads away who is not signed in.
	page := b.open(t, app.URL+"/dashboard"+query)
	page.await("the guard leads to the form", `location.pathname === "/" && document.querySelector("h1")?.textContent === "Sign in"`)

	form := page.frame(p.url + "/signup?")
	form.await("the label has the colour that the app chose", `getComputedStyle(document.querySelector(".input_label")).color === "rgb(200, 0, 0)"`)
	form.fill(`input[name="company"]`, "Analytical Engines")
	form.giveAddress("ada@example.org")
	form.giveCode(d.code(t, "ada@example.org"))
	page.await("the app knows who it is", `window.payload && document.querySelector("h1").textContent === "Signed in"`)
	if got := eval[[]string](page, `[payload.company, payload.email, payload.oauth_token.token_type]`); strings.Join(got, " ") != "Analytical Engines ada@example.org Bearer" {
		t.Errorf("onSuccess got %q", got)
	}

	// Every page view refreshes.
	page.go_(app.URL + "/dashboard" + query)
	page.await("the guard lets in", `document.querySelector("h1")?.textContent === "Hello ada@example.org"`)
	page.click("#out")
	page.await("the guard leads away", `location.pathname === "/" && document.querySelector("h1")?.textContent === "Sign in"`)
}
