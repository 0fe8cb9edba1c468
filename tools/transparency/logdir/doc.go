// Package logdir reads a log from the folder that a static host serves (c2sp.org/tlog-tiles).
package logdir
