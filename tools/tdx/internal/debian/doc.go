// Package debian fetches packages for acceptance tests, with apt and without installing anything.
package debian
