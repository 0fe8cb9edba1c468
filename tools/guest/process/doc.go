// Package process starts the programs of the guest and buries their dead. The guest is process 1, to which the kernel gives every orphan,
// so it waits for all children in one place; os/exec, which waits for its own, can not be used beside.
package process
