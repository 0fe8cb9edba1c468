// Package modcache collects the modules that a Go build needs into a folder that serves as GOPROXY=file://….
//
// The folder holds the .mod and .zip files of the modules whose packages the main module's packages and tests import, and
// the .mod files that the module graph takes; nothing else. Those files are fixed by go.sum, so the folder's NAR hash is the
// same whichever proxy served it. What differs between proxies, the .info files, is left out.
//
// Protocol: go.dev/ref/mod, "GOPROXY protocol" and "Module cache".
package modcache
