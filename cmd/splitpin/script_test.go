package main

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/splitpin/splitpin/keyring"
	"github.com/splitpin/splitpin/store"
	"github.com/splitpin/splitpin/store/postgrestest"
)

func TestMain(m *testing.M) {
	if os.Getenv("TEST_RUN_MAIN") != "" { // as the program: see started
		os.Unsetenv("TEST_RUN_MAIN")
		main()
		return
	}
	testscript.Main(m, map[string]func(){"splitpin": main})
}

// The sessions in testdata, as somebody would type them. Besides the commands of
// testscript they know:
//
//	devfolder DIR    makes the data folder that 'splitpin dev' makes on its first run
//	occupy NAME      listens on a free port and puts its address into $NAME
//	postgres NAME    puts the URL of an empty PostgreSQL database into $NAME; the
//	                 condition [postgres] says whether there are any
//	serve DIR        holds a data folder as a server that runs there does
//	capture NAME RE  puts what the group of RE finds in the last output into $NAME
func TestSessions(t *testing.T) {
	databases := sync.OnceValues(func() (*postgrestest.Server, error) {
		s, err := postgrestest.Start(postgrestest.Options{})
		if err == nil {
			t.Cleanup(s.Stop)
		}
		return s, err
	})
	testscript.Run(t, testscript.Params{
		Dir: "testdata",
		Condition: func(name string) (bool, error) {
			if name != "postgres" {
				return false, fmt.Errorf("there is no condition %s", name)
			}
			_, err := databases()
			if err != nil && os.Getenv("E2E") == "1" {
				return false, err
			}
			return err == nil, nil
		},
		Setup: func(e *testscript.Env) error {
			var clean []string
			for _, pair := range e.Vars { // nobody's own settings reach a session
				if !strings.HasPrefix(pair, envPrefix) {
					clean = append(clean, pair)
				}
			}
			e.Vars = append(clean, "NO_COLOR=1")
			return nil
		},
		Cmds: map[string]func(ts *testscript.TestScript, neg bool, args []string){
			"devfolder": func(ts *testscript.TestScript, _ bool, args []string) {
				ts.Check(devFolder(context.Background(), ts.MkAbs(args[0])))
			},
			"occupy": func(ts *testscript.TestScript, _ bool, args []string) {
				l, err := net.Listen("tcp", "127.0.0.1:0")
				ts.Check(err)
				ts.Defer(func() { l.Close() })
				ts.Setenv(args[0], l.Addr().String())
			},
			"postgres": func(ts *testscript.TestScript, _ bool, args []string) {
				server, err := databases()
				ts.Check(err)
				database, err := server.Create(context.Background())
				ts.Check(err)
				ts.Setenv(args[0], database)
			},
			"serve": func(ts *testscript.TestScript, _ bool, args []string) {
				lock, err := occupy(ts.MkAbs(args[0]), "https://login.example.com", "")
				ts.Check(err)
				ts.Defer(func() { lock.Close() })
			},
			"capture": func(ts *testscript.TestScript, _ bool, args []string) {
				ts.Setenv(args[0], found(ts, ts.ReadFile("stdout"), args[1]))
			},
		},
	})
}

// What stands below the first file of a session is content of files, and is not run.
func TestSessionsRunWhole(t *testing.T) {
	sessions, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(sessions) == 0 {
		t.Fatalf("%d sessions, %v", len(sessions), err)
	}
	lost := regexp.MustCompile(`(?ms)^-- \S+ --$.*?^((?:! )?(?:exec|stdout|stderr) [^\n]*)`)
	for _, session := range sessions {
		text, err := os.ReadFile(session)
		if err != nil {
			t.Fatal(err)
		}
		if found := lost.FindSubmatch(text); found != nil {
			t.Errorf("%s: %q is content of a file: move it above the first one", session, found[1])
		}
	}
}

// devFolder does what the first run of 'splitpin dev' does before it listens.
func devFolder(ctx context.Context, folder string) error {
	if err := prepareFolder(folder, "dev"); err != nil {
		return err
	}
	master, err := developmentKey(folder + string(os.PathSeparator) + masterFile)
	if err != nil {
		return err
	}
	in, err := open(ctx, folder+string(os.PathSeparator)+databaseFile, "http://localhost:8080", store.Options{}, []keyring.Master{master}, nil)
	if err != nil {
		return err
	}
	defer in.Close()
	_, err = developmentProject(ctx, in, "http://localhost:8081")
	return err
}

func found(ts *testscript.TestScript, text, pattern string) string {
	re, err := regexp.Compile("(?m)" + pattern)
	ts.Check(err)
	m := re.FindStringSubmatch(text)
	if len(m) < 2 {
		ts.Fatalf("nothing in the output matches %s:\n%s", pattern, text)
	}
	return m[1]
}
