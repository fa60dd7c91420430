//go:build !unix

package doctor

import "io/fs"

// ownerOf takes every file to be one user's, where files have no such number.
func ownerOf(fs.FileInfo) uint32 { return 0 }
