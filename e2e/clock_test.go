package e2e

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// A clock moves the wall clock of an otherwise unchanged splitpin. The program
// asks the kernel for the time itself, so nothing outside it can lie to it;
// what moves is the copy of package time that this one build sees ("go build
// -overlay"). Timers and sleeps are not touched.
type clock struct {
	binary string
	file   string // 8 bytes: nanoseconds to add, little-endian
	offset time.Duration
}

func newClock(t *testing.T) *clock {
	t.Helper()
	c := &clock{file: filepath.Join(t.TempDir(), "clock")}
	c.set(t, 0)
	var err error
	if c.binary, err = buildWithClock(); err != nil {
		t.Fatal(err)
	}
	return c
}

// env is the variable that the program finds its clock by.
func (c *clock) env() string { return "E2E_CLOCK=" + c.file }

// set moves the clock to an offset from this machine's.
func (c *clock) set(t *testing.T, offset time.Duration) {
	t.Helper()
	c.offset = offset
	// The file is mapped by the program: it is written in place.
	f, err := os.OpenFile(c.file, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var b [8]byte
	binary.LittleEndian.PutUint64(b[:], uint64(offset))
	if _, err := f.WriteAt(b[:], 0); err != nil {
		t.Fatal(err)
	}
}

// advance moves the clock on from where it is.
func (c *clock) advance(t *testing.T, by time.Duration) {
	t.Helper()
	c.set(t, c.offset+by)
}

// buildWithClock builds the program once for all tests that need it.
var buildWithClock = sync.OnceValues(func() (string, error) {
	goroot, err := exec.Command("go", "env", "GOROOT").Output()
	if err != nil {
		return "", err
	}
	timeDir := filepath.Join(strings.TrimSpace(string(goroot)), "src/time")
	source, err := os.ReadFile(filepath.Join(timeDir, "time.go"))
	if err != nil {
		return "", err
	}
	// Now reads the clock in its first statement. A time that was moved carries no
	// monotonic reading, so that it compares by the wall clock alone.
	const reads = "func Now() Time {\n\tif offset := clockOffset(); offset != 0 {\n\t\tsec, nsec, _ := now()\n\t\treturn unixTime(sec, nsec).Add(Duration(offset))\n\t}\n"
	changed := strings.Replace(string(source), "func Now() Time {\n", reads, 1)
	if changed == string(source) {
		return "", errors.New("time.Now does not look as expected in this version of Go")
	}
	dir, err := os.MkdirTemp(scratch, "clock-")
	if err != nil {
		return "", err
	}
	overlay, err := json.Marshal(map[string]any{"Replace": map[string]string{
		filepath.Join(timeDir, "time.go"):       filepath.Join(dir, "time.go"),
		filepath.Join(timeDir, "zclock_e2e.go"): filepath.Join(dir, "zclock.go"),
	}})
	if err != nil {
		return "", err
	}
	for name, text := range map[string]string{"time.go": changed, "zclock.go": clockSource, "overlay.json": string(overlay)} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			return "", err
		}
	}
	out := filepath.Join(dir, "splitpin")
	return out, build(out, "./cmd/splitpin", "-overlay", filepath.Join(dir, "overlay.json"))
})

const clockSource = `package time

import (
	"syscall"
	"unsafe"
)

var clockCell *int64

func clockOffset() int64 {
	if clockCell == nil {
		return 0
	}
	return *clockCell
}

func init() {
	path, ok := syscall.Getenv("E2E_CLOCK")
	if !ok {
		return
	}
	fd, err := syscall.Open(path, syscall.O_RDONLY, 0)
	if err != nil {
		panic("opening the clock: " + err.Error())
	}
	defer syscall.Close(fd)
	mem, err := syscall.Mmap(fd, 0, 8, syscall.PROT_READ, syscall.MAP_SHARED)
	if err != nil {
		panic("mapping the clock: " + err.Error())
	}
	clockCell = (*int64)(unsafe.Pointer(&mem[0]))
}
`
