// Package imagetest makes guest images for tests: a directory as package image reads it, with firmware, kernel and initrd that are
// complete as far as measurements go and run nothing.
package imagetest
