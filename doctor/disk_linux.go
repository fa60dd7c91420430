package doctor

import "syscall"

// networkFileSystems are the magic numbers of file systems whose files lie on
// another machine, as statfs(2) gives them.
var networkFileSystems = map[int64]string{
	0x6969: "nfs", 0x517b: "smb", 0xff534d42: "cifs", 0xfe534d42: "smb2", 0x01021997: "9p", 0x00c36400: "ceph",
	0x564c: "ncp", 0x5346414f: "afs", 0x73757245: "coda", 0x7461636f: "ocfs2", 0x0bd00bd0: "lustre",
}

// DiskOf asks for the file system under a folder.
func DiskOf(folder string) Disk {
	var s syscall.Statfs_t
	if syscall.Statfs(folder, &s) != nil {
		return Disk{}
	}
	kind, network := networkFileSystems[int64(s.Type)&0xffffffff]
	return Disk{Known: true, Free: int64(s.Bavail) * int64(s.Bsize), Total: int64(s.Blocks) * int64(s.Bsize), Kind: kind, IsNetwork: network}
}
