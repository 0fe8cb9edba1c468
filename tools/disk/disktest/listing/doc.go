// Package listing describes folders and trees in equal lines, so that tests can compare them: path, mode, owner, device, size, time,
// target, digest of the content. It is apart from disktest so that a program in a virtual machine need not have what tests have.
package listing
