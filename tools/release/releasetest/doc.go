// Package releasetest makes small releases for tests: complete, with images and a guest image of tiny parts, in milliseconds.
//
// Keys are fresh for each process, and the same release of the same options is made of the same bytes in all of them.
package releasetest
