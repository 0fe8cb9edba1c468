// Package fwtest builds firmware images for tests: with real variable stores and metadata, and drivers that are nothing but the
// marks that package tdvf looks for. Real images are too large to keep in a repository.
package fwtest
