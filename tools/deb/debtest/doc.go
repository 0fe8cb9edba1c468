// Package debtest makes small Debian packages and signed archives for tests.
package debtest
