//go:build linux

// Command boardroom-guest is process 1 of the confidential VM, see package guest. With build tag simtee it is that of the development
// flavour, whose quotes are simulated.
package main

import (
	"fmt"
	"os"

	"github.com/boardroom-tee/boardroom/tools/guest"
)

func main() {
	if err := guest.Main(os.Args[0]); err != nil {
		fmt.Fprintln(os.Stderr, "boardroom-guest:", err)
		os.Exit(1)
	}
}
