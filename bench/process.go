package main

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// What the kernel knows of processes. All of it is zero for a process that is
// gone, and on systems without /proc.

const tick = 10 * time.Millisecond // the unit of /proc/PID/stat

// stat returns the fields of /proc/PID/stat from the third one on.
func stat(pid int) []string {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return nil
	}
	return strings.Fields(string(b[bytes.LastIndexByte(b, ')')+1:]))
}

func ticks(fields []string, from, to int) time.Duration {
	sum := time.Duration(0)
	for i := from; i < min(to, len(fields)); i++ {
		n, _ := strconv.ParseInt(fields[i], 10, 64)
		sum += time.Duration(n) * tick
	}
	return sum
}

// cpuOf is the processor time of a process, user and system.
func cpuOf(pid int) time.Duration { return ticks(stat(pid), 11, 13) }

// cpuOfTree is that of a process, of its children, and of those that ended.
func cpuOfTree(pid int) time.Duration {
	sum := ticks(stat(pid), 11, 15)
	for _, child := range children(pid) {
		sum += cpuOf(child)
	}
	return sum
}

// cpuOfSelf is what this process has used, and is finer than a tick.
func cpuOfSelf() time.Duration {
	var u syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &u) != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

func children(pid int) (list []int) {
	lists, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", pid))
	for _, path := range lists {
		b, _ := os.ReadFile(path)
		for _, text := range strings.Fields(string(b)) {
			if child, err := strconv.Atoi(text); err == nil {
				list = append(list, child)
			}
		}
	}
	return list
}

// field returns the number behind a name in /proc/PID/FILE.
func field(pid int, file, name string) int64 {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/%s", pid, file))
	if err != nil {
		return 0
	}
	_, after, _ := strings.Cut("\n"+string(b), "\n"+name+":")
	var n int64
	fmt.Sscan(after, &n)
	return n
}

// residentOf is a process's memory in bytes.
func residentOf(pid int) int64 { return field(pid, "status", "VmRSS") << 10 }

// diskOf is how many bytes a process has had written to the disk, in whole pages of
// the page cache, and so with checkpoints.
func diskOf(pid int) int64 { return field(pid, "io", "write_bytes") }

// handlesOf is how many files and sockets a process has open.
func handlesOf(pid int) int {
	entries, _ := os.ReadDir(fmt.Sprintf("/proc/%d/fd", pid))
	return len(entries)
}

// A walReader follows the write-ahead log of a SQLite file from outside, by the
// header that SQLite keeps in the log's index. It must look more often than the
// log starts again from its beginning, and misses what came between the last look
// and that moment.
type walReader struct {
	index          string // path of the log's index
	frames, change uint32
	bytes, commits int64
}

// look adds what was written since the last look.
func (w *walReader) look() {
	var head [24]byte
	f, err := os.Open(w.index)
	if err != nil {
		return
	}
	defer f.Close()
	if _, err := f.ReadAt(head[:], 0); err != nil {
		return
	}
	// As sqlite.org/walformat.html has it: at 8 a counter of commits, at 14 the
	// page size, at 16 the number of frames in the log; in this machine's order.
	change, page, frames := binary.NativeEndian.Uint32(head[8:]), binary.NativeEndian.Uint16(head[14:]), binary.NativeEndian.Uint32(head[16:])
	const frameHead = 24
	size := int64(page) + frameHead
	if page == 1 {
		size = 65536 + frameHead
	}
	if frames >= w.frames {
		w.bytes += int64(frames-w.frames) * size
	} else {
		w.bytes += int64(frames) * size // it started again
	}
	w.commits += int64(change - w.change)
	w.frames, w.change = frames, change
}
