// Package mirror downloads from Debian's archives: what a lock is written from, and what a lock names.
//
// By default everything comes from the snapshot archive, which keeps every state of every archive; a mirror, which has the present
// one only, is used where the caller names it. What is downloaded is checked by package deb before it is used, so places are not
// trusted and need no TLS. Proxies are those of the environment, as net/http reads it.
package mirror
