// Package guestimagetest makes what a guest image is built from, as small as can be: a definition with its locks, packages, firmware and
// kernel that are complete as far as measurements go and run nothing. For acceptance tests it finds the packages of the real image.
package guestimagetest
