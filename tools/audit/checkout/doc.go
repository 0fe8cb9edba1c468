// Package checkout makes clean checkouts: exactly the files of a revision, in a Git repository of their own, with nothing of whoever
// else worked there.
//
// Git fetches and unpacks, without the user's configuration, hooks, filters or submodules. Whether what it left is the revision is
// computed here from the files themselves (package gitobject): a repository whose objects are not what their names say, and a
// conversion on the way, show as a tree of another name.
package checkout
