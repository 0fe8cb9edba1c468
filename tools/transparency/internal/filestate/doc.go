// Package filestate has what state in files needs that several processes share: a lock, and writing that is whole or not at all.
package filestate
