// Package modtest makes Go modules for tests: packed as a module proxy serves them (go.dev/ref/mod, "GOPROXY protocol"), with their lines in
// a go.sum.
package modtest
