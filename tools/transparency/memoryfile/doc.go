// Package memoryfile keeps what a verifier saw of logs (transparency.Memory) in a file.
//
// The file is replaced whole and is on the disk before anybody acts on it. A lock beside it lets one process at a time read and replace
// it: of two that run at once the second knows what the first saw. A file that can not be read is an error and never an empty memory.
package memoryfile
