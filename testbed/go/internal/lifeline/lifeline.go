// Package lifeline ends this process together with the test that started it.
//
// The starter holds the write end of a pipe that is our standard input. A starter that is killed cannot
// clean up, but the kernel closes its descriptors: reading EOF is the one signal that always arrives.
package lifeline

import (
	"io"
	"os"
	"os/signal"
	"syscall"
)

// Hold watches standard input when TESTBED_EXIT_ON_STDIN_EOF=1. At its end it removes the folder named by
// TESTBED_REMOVE_AT_EOF, if any, and exits. The exit is as abrupt as a kill on purpose: nobody is left to
// read a goodbye, and the data goes anyway.
func Hold() {
	if os.Getenv("TESTBED_EXIT_ON_STDIN_EOF") != "1" {
		return
	}
	// A process that is stopped when its starter dies gets a hangup as it is continued: it would end before the
	// folder is gone.
	signal.Ignore(syscall.SIGHUP)
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		if folder := os.Getenv("TESTBED_REMOVE_AT_EOF"); folder != "" {
			_ = os.RemoveAll(folder)
		}
		os.Exit(70)
	}()
}
