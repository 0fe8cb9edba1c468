// Package disktest has trees for tests: a synthetic one with everything that a file system can get wrong, and those of folders.
package disktest
