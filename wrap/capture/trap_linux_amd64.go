package capture

import "golang.org/x/sys/unix"

func init() { opens[unix.SYS_OPEN] = offsetArg1 }
