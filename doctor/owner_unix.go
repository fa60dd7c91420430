//go:build unix

package doctor

import (
	"io/fs"
	"syscall"
)

// ownerOf returns the number of the user whom a file belongs to.
func ownerOf(info fs.FileInfo) uint32 {
	if s, ok := info.Sys().(*syscall.Stat_t); ok {
		return s.Uid
	}
	return 0
}
