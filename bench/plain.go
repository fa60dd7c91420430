package main

import (
	"bufio"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"time"
)

// plainVariable makes this program the bare net/http server that ours is held
// against: a process of its own, so that its processor time can be told apart.
const plainVariable = "SPLITPIN_BENCH_PLAIN"

// servePlain answers every request with body until it is killed.
func servePlain(body string) error {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	fmt.Println(l.Addr())
	return http.Serve(l, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		w.Write([]byte(body))
	}))
}

// noDatabase is what a plain server has.
type noDatabase struct{}

func (noDatabase) setting() string         { return "" }
func (noDatabase) seed(int) error          { return nil }
func (noDatabase) cpu() time.Duration      { return 0 }
func (noDatabase) disk() int64             { return 0 }
func (noDatabase) meter() meter            { return noMeter{} }
func (noDatabase) perUser() (int64, error) { return 0, nil }
func (noDatabase) close()                  {}

type noMeter struct{}

func (noMeter) look()                 {}
func (noMeter) total() (int64, int64) { return 0, 0 }

// newPlain starts a plain server that answers what s answers to a request for its
// key set.
func newPlain(s *server) (*server, error) {
	w, err := s.worker(manyAddresses)
	if err != nil {
		return nil, err
	}
	defer w.Close()
	if err := w.ask("GET", "/v1/keys", 1, "", ""); err != nil {
		return nil, fmt.Errorf("fetching the key set: %w", err)
	}
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	cmd := exec.Command(self)
	cmd.Env = append(os.Environ(), plainVariable+"="+string(w.body))
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	address, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		return nil, fmt.Errorf("starting the plain server: %w", err)
	}
	return &server{name: "plain", address: strings.TrimSpace(address), base: s.base, users: s.users, db: noDatabase{}, cmd: cmd}, nil
}

func (s *server) kill() {
	s.cmd.Process.Kill()
	s.cmd.Wait()
}
