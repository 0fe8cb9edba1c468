// Package cmdline is the frame of boardroom's command line: urfave/cli v2 with the conventions of this repository.
//
// Flags may stand before or after arguments. Results go to stdout, progress to stderr. "--output json" prints what
// "--output text" prints, as JSON. Exit codes tell a verdict from a fault: [ExitDone], [ExitRefused], [ExitUsage],
// [ExitUnknown].
package cmdline
