// Package tilelog writes a log into a folder that any static host can serve.
//
// The tree is kept by Tessera (github.com/transparency-dev/tessera, storage/posix), which makes the files of c2sp.org/tlog-tiles and its
// own in .state. This package sees to it that the log can not fork: one writer at a time holds the folder's lock, and the key signs no
// checkpoint that does not continue the last one that it signed. What it signed is remembered beside the key and not in the folder, so
// that a folder that came back from an older backup, or a second folder, is refused. A writer that was killed left at most a tree that
// nobody signed; the next one signs it or replaces it.
package tilelog
