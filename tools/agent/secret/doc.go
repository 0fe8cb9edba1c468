// Package secret holds values that must not appear in a log, an error or a document.
package secret
